//! Text that strangers wrote, shown so that it can do nothing but be read.

use maud::{Markup, Render, html};

/// The most characters of foreign text that stand in a line; more are cut off with their number told.
const LINE_CHARS: usize = 300;

/// One line of foreign text: isolated from its surroundings' writing direction, control and direction characters drawn.
#[derive(Debug, Clone, Copy)]
pub struct Foreign<'a>(pub &'a str);

impl Render for Foreign<'_> {
    fn render(&self) -> Markup {
        let (shown, left) = cut(self.0, LINE_CHARS);
        html! {
            bdi { (Drawn { text: shown, lines: false }) }
            @if left > 0 { span .meta { " (" (left) " more characters)" } }
        }
    }
}

/// Foreign text of many lines, up to a number of characters.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a>(pub &'a str, pub usize);

impl Render for Passage<'_> {
    fn render(&self) -> Markup {
        let (shown, left) = cut(self.0, self.1);
        html! {
            bdi { (Drawn { text: shown, lines: true }) }
            @if left > 0 { span .meta { " (" (left) " more characters)" } }
        }
    }
}

/// Foreign text where no markup can stand (an option, a title): what cannot be seen is written out, what is long is cut.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars().take(LINE_CHARS) {
        if is_drawn(letter) {
            out.push_str(&picture(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

/// What is shown instead of a character that cannot be seen.
fn picture(letter: char) -> String {
    let code = letter as u32;
    match code {
        0x00..=0x1f => char::from_u32(0x2400 + code).unwrap_or('?').to_string(),
        0x7f => '\u{2421}'.to_string(),
        _ => format!("U+{code:04X}"),
    }
}

/// The text's beginning, and how many characters are left out.
fn cut(text: &str, chars: usize) -> (&str, usize) {
    match text.char_indices().nth(chars) {
        None => (text, 0),
        Some((end, _)) => {
            let (shown, rest) = text.split_at(end);
            (shown, rest.chars().count())
        }
    }
}

struct Drawn<'a> {
    text: &'a str,
    lines: bool,
}

impl Render for Drawn<'_> {
    fn render_to(&self, out: &mut String) {
        let mut plain = 0;
        for (at, letter) in self.text.char_indices() {
            if !is_drawn(letter) || (self.lines && matches!(letter, '\n' | '\t')) {
                continue;
            }
            self.text.get(plain..at).unwrap_or_default().render_to(out);
            let code = letter as u32;
            let title = format!("character U+{code:04X}");
            html! { span .drawn title=(title) { (picture(letter)) } }.render_to(out);
            plain = at + letter.len_utf8();
        }
        self.text.get(plain..).unwrap_or_default().render_to(out);
    }
}

/// Characters that change how their neighbours look, or cannot be seen: control characters, and those that turn the writing
/// direction or take no room (Unicode TR 36, "Unicode Security Considerations"). Joiners stay: scripts and emoji need them.
fn is_drawn(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        let shown = Foreign("<script>alert(1)</script>\"'&")
            .render()
            .into_string();
        assert!(!shown.contains("<script"), "{shown}");
        assert!(shown.contains("&lt;script&gt;"), "{shown}");
    }

    #[test]
    fn what_cannot_be_seen_is_drawn() {
        let shown = Foreign("a\u{0}b\u{202e}c\u{7f}\n").render().into_string();
        assert!(
            shown.contains('\u{2400}') && shown.contains("U+202E") && shown.contains('\u{2421}'),
            "{shown}"
        );
        assert!(
            !shown.contains('\u{202e}') && !shown.contains('\u{0}') && !shown.contains('\n'),
            "{shown}"
        );
    }

    #[test]
    fn a_passage_keeps_its_lines() {
        assert!(Passage("a\nb", 10).render().into_string().contains("a\nb"));
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let shown = Foreign(&"x".repeat(100_000)).render().into_string();
        assert!(
            shown.len() < 500 && shown.contains("99700 more characters"),
            "{shown}"
        );
    }
}

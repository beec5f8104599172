//! A quick look at JSON: most documents are of the plain kind, and for those one pass over the bytes is enough.
//!
//! [`skim`] accepts a part of what the thorough readers accept (`json.rs`, `reference.rs`) in a fraction of their time, and notes where
//! the outer members stand. What it does not accept goes to those readers, which alone decide, and say what is wrong. So it may be
//! wrong in one direction only, and property tests hold it against them.

/// More digits than this are left to the thorough reader: a double holds 308 before the point.
const MAX_DIGITS: usize = 300;
/// The deepest nesting kept track of here: a bit for each level.
const MAX_DEPTH: usize = 127;
/// More outer members than this are left to the thorough readers.
const MAX_MEMBERS: usize = 512;

/// A member of an object, as places in the text that was skimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member<'a> {
    /// 1 for members of the root.
    pub(super) depth: usize,
    /// Its name; without escapes.
    pub(super) name: &'a str,
    /// Its value, without space around it.
    pub(super) value: &'a str,
}

/// The members down to depth `kept` of the object that `text` is, each before those inside it; members of objects inside arrays are left out.
///
/// `None` says nothing about the text but that it takes a thorough look. Otherwise it is one JSON object without space around it,
/// nested at most `limit` deep, whose numbers have no exponent, whose texts have no surrogates, and whose members down to `kept` are
/// named without escapes.
pub(super) fn skim(text: &str, limit: usize, kept: usize) -> Option<Vec<Member<'_>>> {
    let mut scan = Scan {
        text,
        bytes: text.as_bytes(),
        limit: limit.min(MAX_DEPTH),
        kept,
        members: Vec::with_capacity(48),
    };
    (scan.object()? == text.len()).then_some(scan.members)
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    limit: usize,
    kept: usize,
    members: Vec<Member<'a>>,
}

/// What may stand at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A value.
    Value,
    /// A value, or the end of an array that has just begun.
    FirstItem,
    /// A name, or the end of an object that has just begun.
    FirstName,
    /// A name.
    Name,
    /// A comma, or the end of the object or array.
    Next,
}

impl<'a> Scan<'a> {
    /// The end of the object that begins the text.
    fn object(&mut self) -> Option<usize> {
        if self.bytes.first() != Some(&b'{') || self.limit == 0 {
            return None;
        }
        let (mut at, mut depth) = (1, 1);
        // Bit n: at depth n stands an object, else an array.
        let mut objects = 0b10_u128;
        // How deep only objects stand above: members below an array are not noted.
        let mut plain = 1;
        // The members whose objects are open, by place in `members`, with the beginning of their values.
        let mut open: Vec<(usize, usize)> = Vec::with_capacity(4);
        let mut expect = Expect::FirstName;
        loop {
            at = self.after_space(at);
            let byte = *self.bytes.get(at)?;
            let in_object = objects >> depth & 1 == 1;
            match (expect, byte) {
                (Expect::Next, b',') => {
                    expect = if in_object {
                        Expect::Name
                    } else {
                        Expect::Value
                    };
                    at += 1;
                }
                (Expect::FirstName | Expect::Name, b'"') => {
                    let end = self.after_text(at)?;
                    let colon = self.after_space(end);
                    if self.bytes.get(colon) != Some(&b':') {
                        return None;
                    }
                    if depth <= self.kept && depth == plain {
                        self.note(depth, at, end)?;
                    }
                    at = colon + 1;
                    expect = Expect::Value;
                }
                (Expect::Value | Expect::FirstItem, b'{' | b'[') => {
                    if depth == self.limit {
                        return None;
                    }
                    let is_object = byte == b'{';
                    if in_object && depth <= self.kept && depth == plain {
                        open.push((self.members.len() - 1, at));
                    }
                    if is_object && depth == plain {
                        plain += 1;
                    }
                    depth += 1;
                    objects = objects & !(1 << depth) | u128::from(is_object) << depth;
                    expect = if is_object {
                        Expect::FirstName
                    } else {
                        Expect::FirstItem
                    };
                    at += 1;
                }
                (Expect::Value | Expect::FirstItem, _) if byte != b']' => {
                    let end = self.after_scalar(at, byte)?;
                    if in_object && depth <= self.kept && depth == plain {
                        self.value(self.members.len() - 1, at, end);
                    }
                    at = end;
                    expect = Expect::Next;
                }
                (Expect::FirstName, b'}')
                | (Expect::FirstItem, b']')
                | (Expect::Next, b'}' | b']') => {
                    if in_object != (byte == b'}') {
                        return None;
                    }
                    at += 1;
                    if in_object && depth == plain {
                        plain -= 1;
                    }
                    depth -= 1;
                    if depth == 0 {
                        return Some(at);
                    }
                    if depth <= self.kept && depth == plain && objects >> depth & 1 == 1 {
                        let (member, begin) = open.pop()?;
                        self.value(member, begin, at);
                    }
                    expect = Expect::Next;
                }
                _ => return None,
            }
        }
    }

    /// Notes a member whose name, quotes included, stands from `at` to `end`.
    fn note(&mut self, depth: usize, at: usize, end: usize) -> Option<()> {
        let name = self.text.get(at + 1..end - 1)?;
        if self.members.len() == MAX_MEMBERS || name.as_bytes().contains(&b'\\') {
            return None;
        }
        self.members.push(Member {
            depth,
            name,
            value: "",
        });
        Some(())
    }

    fn value(&mut self, member: usize, from: usize, to: usize) {
        let value = self.text.get(from..to).unwrap_or_default();
        if let Some(member) = self.members.get_mut(member) {
            member.value = value;
        }
    }

    fn after_space(&self, mut at: usize) -> usize {
        while matches!(self.bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        at
    }

    fn after_scalar(&self, at: usize, first: u8) -> Option<usize> {
        let word = |word: &[u8]| {
            let end = at + word.len();
            (self.bytes.get(at..end) == Some(word)).then_some(end)
        };
        match first {
            b'"' => self.after_text(at),
            b't' => word(b"true"),
            b'f' => word(b"false"),
            b'n' => word(b"null"),
            b'-' | b'0'..=b'9' => self.after_number(at),
            _ => None,
        }
    }

    /// Behind the closing quote of the text whose opening one is at `at`.
    fn after_text(&self, mut at: usize) -> Option<usize> {
        at += 1;
        loop {
            at = self.next_special(at)?;
            match self.bytes.get(at)? {
                b'"' => return Some(at + 1),
                b'\\' => match self.bytes.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                    b'u' => {
                        let digits = self.bytes.get(at + 2..at + 6)?;
                        // A surrogate begins with D8 to DF.
                        let is_surrogate = matches!(
                            digits,
                            [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
                        );
                        if is_surrogate || !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        at += 6;
                    }
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    /// The next quote, backslash or control character, eight bytes at a time.
    fn next_special(&self, mut at: usize) -> Option<usize> {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES << 7;
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        while let Some(chunk) = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
            let quote = is_zero(word ^ (ONES * u64::from(b'"')));
            let backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
            // The lowest bit that is set is right even where a borrow has set higher ones wrongly.
            let found = control | quote | backslash;
            if found != 0 {
                return Some(at + found.trailing_zeros() as usize / 8);
            }
            at += 8;
        }
        let rest = self.bytes.get(at..)?;
        let place = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        Some(at + place)
    }

    fn after_number(&self, start: usize) -> Option<usize> {
        let digits = |at: usize| {
            let rest = self.bytes.get(at..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let whole = start + usize::from(self.bytes.get(start) == Some(&b'-'));
        let count = digits(whole);
        let leading_zero = count > 1 && self.bytes.get(whole) == Some(&b'0');
        if count == 0 || count > MAX_DIGITS || leading_zero {
            return None;
        }
        let mut end = whole + count;
        if self.bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return None;
            }
            end += 1 + fraction;
        }
        let has_exponent = matches!(self.bytes.get(end), Some(b'e' | b'E'));
        (!has_exponent).then_some(end)
    }
}

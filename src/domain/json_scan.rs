//! A quick look at a payload: most are of the plain kind, and for those one pass over the bytes is enough.
//!
//! [`is_plain`] accepts a part of what the thorough reader in `json.rs` accepts and needs a fraction of its time; what it
//! does not accept goes to that reader, which alone decides, and says what is wrong. So it may be wrong in one direction only, and a
//! property test holds the two against each other.

/// More digits than this are left to the thorough reader: a double holds 308 before the point.
const MAX_DIGITS: usize = 300;
/// The deepest nesting kept track of here.
const MAX_DEPTH: usize = 120;

/// Whether `text` is one JSON object, without space around it, nested at most `limit` deep, whose numbers have no exponent,
/// whose texts have no surrogates, and whose root has no member `name` nor any member spelled with escapes.
///
/// `false` says nothing about the text but that it takes a thorough look.
pub(super) fn is_plain(text: &str, limit: usize, name: &str) -> bool {
    let scan = Scan {
        bytes: text.as_bytes(),
        limit: limit.min(MAX_DEPTH),
        name: name.as_bytes(),
    };
    scan.object() == Some(text.len())
}

struct Scan<'a> {
    bytes: &'a [u8],
    limit: usize,
    name: &'a [u8],
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

impl Scan<'_> {
    /// The end of the object that begins the text.
    fn object(&self) -> Option<usize> {
        if self.bytes.first() != Some(&b'{') || self.limit == 0 {
            return None;
        }
        let (mut at, mut depth) = (1, 1);
        // Bit n: at depth n stands an object, else an array.
        let mut objects = 0b10_u128;
        let mut expect = Expect::FirstName;
        loop {
            at = self.after_space(at);
            let byte = *self.bytes.get(at)?;
            let in_object = objects >> depth & 1 == 1;
            match (expect, byte) {
                (Expect::FirstName, b'}') | (Expect::FirstItem, b']') => {}
                (Expect::Next, b'}') if in_object => {}
                (Expect::Next, b']') if !in_object => {}
                (Expect::Next, b',') => {
                    expect = if in_object {
                        Expect::Name
                    } else {
                        Expect::Value
                    };
                    at += 1;
                    continue;
                }
                (Expect::FirstName | Expect::Name, b'"') => {
                    at = self.after_name(at, depth == 1)?;
                    expect = Expect::Value;
                    continue;
                }
                (Expect::Value | Expect::FirstItem, b'{' | b'[') => {
                    if depth == self.limit {
                        return None;
                    }
                    depth += 1;
                    objects = objects & !(1 << depth) | u128::from(byte == b'{') << depth;
                    expect = if byte == b'{' {
                        Expect::FirstName
                    } else {
                        Expect::FirstItem
                    };
                    at += 1;
                    continue;
                }
                (Expect::Value | Expect::FirstItem, _) => {
                    at = self.after_scalar(at, byte)?;
                    expect = Expect::Next;
                    continue;
                }
                _ => return None,
            }
            // The end of an object or array.
            at += 1;
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
            expect = Expect::Next;
        }
    }

    fn after_space(&self, mut at: usize) -> usize {
        while matches!(self.bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        at
    }

    /// Behind the colon of the name that begins at `at`.
    fn after_name(&self, at: usize, at_root: bool) -> Option<usize> {
        let end = self.after_text(at)?;
        if at_root {
            let name = self.bytes.get(at + 1..end - 1)?;
            if name == self.name || name.contains(&b'\\') {
                return None;
            }
        }
        let colon = self.after_space(end);
        (self.bytes.get(colon) == Some(&b':')).then_some(colon + 1)
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
            let rest = self.bytes.get(at..)?;
            at += rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
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

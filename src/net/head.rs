//! The head of an answer, looked at before awc's decoder sees it, and put right where that decoder would misread it.
//!
//! Found by reading actix-http 3.20 (`h1/decoder.rs`) and tried: it takes an interim answer for the final one; an
//! HTTP/1.1 answer with neither length nor chunks for one without a body (RFC 9112, 6.3 says: it ends with the
//! connection); waits for the body that a 204 or 304 with a `Content-Length` never has; reads an empty HTTP/1.0 answer
//! until the connection closes; and ignores the length of an answer that offers `Upgrade: websocket`. Each is put right
//! by overwriting a byte or two in place: the minor version, or the first letter of a header's name. Once the decoder
//! does these by itself, this file can shrink to the interim answers.

use httparse::{EMPTY_HEADER, Error as ParseError, ParserConfig, Status};

use super::failure::Malformed;

/// As many header lines as awc's decoder accepts.
const MAX_HEADERS: usize = 96;

/// How the body of an answer ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Not a whole head yet.
    Partial,
    /// A whole interim answer (1xx) of so many bytes.
    Interim {
        /// Its length.
        bytes: usize,
    },
    /// The final answer's head, put right.
    Final {
        /// How its body ends.
        framing: Framing,
        /// The head's length.
        bytes: usize,
    },
}

/// Reads the head at the beginning of `bytes`, and puts a final one right in place (its length stays).
pub(super) fn read_head(bytes: &mut [u8]) -> Result<Head, Malformed> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    // The same parser with the same leniency as awc's decoder, so that both see a head end at the same byte.
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    let length = match config.parse_response(&mut response, bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(Head::Partial),
        Err(error) => return Err(reason(error)),
    };
    let status = response.code.unwrap_or(0);
    match status {
        101 => return Err(Malformed::SwitchesProtocol),
        100..=199 => return Ok(Head::Interim { bytes: length }),
        200..=999 => {}
        _ => return Err(Malformed::StatusLine),
    }

    let is_http_11 = response.version == Some(1);
    let mut chunked = false;
    let mut content_length = None;
    // Almost always empty, and then free.
    let mut hidden = Vec::new();
    let has_no_body = matches!(status, 204 | 304);
    let base = bytes.as_ptr() as usize;
    for header in response.headers.iter() {
        let is_length = header.name.eq_ignore_ascii_case("content-length");
        let is_coding = header.name.eq_ignore_ascii_case("transfer-encoding");
        if is_length {
            content_length = number(header.value);
        }
        chunked |= is_coding && header.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        if header.name.eq_ignore_ascii_case("upgrade") || (has_no_body && (is_length || is_coding))
        {
            hidden.push(header.name.as_ptr() as usize - base);
        }
    }
    let framing = if has_no_body {
        Framing::Empty
    } else if chunked && is_http_11 {
        Framing::Chunked
    } else {
        match content_length {
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        }
    };

    for at in hidden {
        if let Some(letter) = bytes.get_mut(at) {
            *letter = b'x';
        }
    }
    let minor = match framing {
        Framing::Empty => Some(b'1'),
        Framing::UntilClose => Some(b'0'),
        Framing::Length(_) | Framing::Chunked => None,
    };
    if let Some(minor) = minor {
        // The parser skips empty lines before the status line, which then begins with `HTTP/1.`.
        let start = bytes.iter().position(|byte| *byte == b'H').unwrap_or(0);
        if let Some(digit) = bytes.get_mut(start + b"HTTP/1.".len()) {
            *digit = minor;
        }
    }
    Ok(Head::Final {
        framing,
        bytes: length,
    })
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn reason(error: ParseError) -> Malformed {
    match error {
        ParseError::TooManyHeaders => Malformed::TooManyHeaders,
        ParseError::HeaderName | ParseError::HeaderValue | ParseError::NewLine => Malformed::Header,
        ParseError::Status | ParseError::Token | ParseError::Version => Malformed::StatusLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Result<Head, Malformed>, String) {
        let mut bytes = text.as_bytes().to_vec();
        let head = read_head(&mut bytes);
        (head, String::from_utf8(bytes).expect("text stays text"))
    }

    fn framing_of(text: &str) -> Framing {
        match read(text).0 {
            Ok(Head::Final { framing, .. }) => framing,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn an_ordinary_head_stays_as_it_is() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let (head, after) = read(text);
        let framing = Framing::Length(5);
        let bytes = text.len() - "hello".len();
        assert_eq!(head, Ok(Head::Final { framing, bytes }));
        assert_eq!(after, text);
        assert_eq!(
            framing_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"),
            Framing::Chunked
        );
    }

    #[test]
    fn interim_answers_are_measured_and_a_switch_of_protocols_is_refused() {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let (head, _) = read(&format!("{interim}HTTP/1.1 200 OK\r\n\r\n"));
        assert_eq!(
            head,
            Ok(Head::Interim {
                bytes: interim.len()
            })
        );
        let (head, _) = read("HTTP/1.1 101 Switching Protocols\r\n\r\n");
        assert_eq!(head, Err(Malformed::SwitchesProtocol));
    }

    #[test]
    fn every_beginning_of_a_head_is_partial() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]).0, Ok(Head::Partial), "{end}");
        }
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let text = "\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}";
        assert_eq!(framing_of(text), Framing::UntilClose);
        let (_, after) = read(text);
        assert!(after.starts_with("\r\nHTTP/1.0 200 OK"));
    }

    #[test]
    fn an_answer_that_may_have_no_body_is_not_waited_for() {
        let text = "HTTP/1.0 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(framing_of(text), Framing::Empty);
        let (_, after) = read(text);
        assert!(after.starts_with("HTTP/1.1 304"));
        assert!(after.contains("xontent-Length"));
        assert_eq!(
            framing_of("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Framing::Empty
        );
    }

    #[test]
    fn an_offer_of_web_sockets_does_not_hide_the_length() {
        let text = "HTTP/1.1 426 No\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(framing_of(text), Framing::Length(2));
        let (_, after) = read(text);
        assert!(after.contains("xpgrade: websocket"));
    }

    #[test]
    fn what_is_no_http_is_told_apart() {
        assert_eq!(read("SSH-2.0-x\r\n").0, Err(Malformed::StatusLine));
        assert_eq!(read("HTTP/1.1 abc\r\n\r\n").0, Err(Malformed::StatusLine));
        assert_eq!(read("HTTP/1.1 099 x\r\n\r\n").0, Err(Malformed::StatusLine));
        assert_eq!(
            read("HTTP/1.1 200 OK\r\nno colon\r\n\r\n").0,
            Err(Malformed::Header)
        );
        let many = "a: b\r\n".repeat(MAX_HEADERS + 1);
        assert_eq!(
            read(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")).0,
            Err(Malformed::TooManyHeaders)
        );
    }
}

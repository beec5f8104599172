//! Inflating bodies that came compressed although `identity` was asked for, with a bound on what comes out.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// How a body is encoded, as far as this hub can read it (RFC 9110, 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// zlib (RFC 1950), or the bare deflate that some servers send under that name.
    Deflate,
    /// Something else, or several at once.
    Unknown,
}

impl Coding {
    /// Reads the value of `Content-Encoding`.
    pub(super) fn named(value: &[u8]) -> Self {
        let is = |name: &[u8]| value.trim_ascii().eq_ignore_ascii_case(name);
        if is(b"") || is(b"identity") {
            Self::Identity
        } else if is(b"gzip") || is(b"x-gzip") {
            Self::Gzip
        } else if is(b"deflate") {
            Self::Deflate
        } else {
            Self::Unknown
        }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inflated {
    /// The whole body.
    Whole(Bytes),
    /// The first bytes, up to the limit, of a body that is larger.
    CutAtLimit(Bytes),
    /// It is not what it says.
    Broken,
}

/// Inflates `body` to at most `limit` bytes. An empty body is empty in every coding.
pub(super) fn inflate(body: &[u8], coding: Coding, limit: usize) -> Inflated {
    if body.is_empty() {
        return Inflated::Whole(Bytes::new());
    }
    match coding {
        Coding::Identity | Coding::Unknown => bounded(body, limit),
        Coding::Gzip => bounded(MultiGzDecoder::new(body), limit),
        // A zlib stream begins with the method 8 and a header divisible by 31; bare deflate hardly ever does.
        Coding::Deflate => match body {
            [cmf, flg, ..]
                if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flg)) % 31 == 0 =>
            {
                bounded(ZlibDecoder::new(body), limit)
            }
            _ => bounded(DeflateDecoder::new(body), limit),
        },
    }
}

fn bounded(source: impl Read, limit: usize) -> Inflated {
    let mut out = Vec::new();
    let read: io::Result<usize> = source.take(limit as u64 + 1).read_to_end(&mut out);
    if out.len() > limit {
        out.truncate(limit);
        return Inflated::CutAtLimit(out.into());
    }
    match read {
        Ok(_) => Inflated::Whole(out.into()),
        Err(_) => Inflated::Broken,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    const TEXT: &[u8] = b"{\"message_id\":\"55f2\"} and some more text";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("a Vec takes all");
        encoder.finish().expect("a Vec takes all")
    }

    #[test]
    fn gzip_zlib_and_bare_deflate_are_inflated() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(TEXT).expect("a Vec takes all");
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(TEXT).expect("a Vec takes all");
        let whole = Inflated::Whole(Bytes::from_static(TEXT));
        assert_eq!(inflate(&gzip(TEXT), Coding::Gzip, 100), whole);
        for body in [zlib.finish(), bare.finish()] {
            assert_eq!(
                inflate(&body.expect("a Vec takes all"), Coding::Deflate, 100),
                whole
            );
        }
    }

    #[test]
    fn the_limit_is_on_what_comes_out() {
        let body = gzip(&vec![b'a'; 1 << 20]);
        assert!(body.len() < 4096);
        let Inflated::CutAtLimit(kept) = inflate(&body, Coding::Gzip, 4096) else {
            panic!("not cut");
        };
        assert_eq!(kept.len(), 4096);
        let exact = inflate(&gzip(TEXT), Coding::Gzip, TEXT.len());
        assert_eq!(exact, Inflated::Whole(Bytes::from_static(TEXT)));
    }

    #[test]
    fn a_body_cut_short_or_of_another_kind_is_broken() {
        let body = gzip(TEXT);
        assert_eq!(
            inflate(&body[..body.len() - 9], Coding::Gzip, 100),
            Inflated::Broken
        );
        assert_eq!(inflate(TEXT, Coding::Gzip, 100), Inflated::Broken);
    }

    #[test]
    fn names_are_read_without_regard_to_case() {
        assert_eq!(Coding::named(b" GZip "), Coding::Gzip);
        assert_eq!(Coding::named(b"identity"), Coding::Identity);
        assert_eq!(Coding::named(b"br"), Coding::Unknown);
        assert_eq!(Coding::named(b"gzip, gzip"), Coding::Unknown);
    }
}

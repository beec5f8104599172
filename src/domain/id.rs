//! Ids as the outside sees them (24 hex digits, the form of an ObjectId) and how they follow from sequence numbers.
//!
//! Every row of the hub has a sequence number, given out once and never again. Its public id is *sealed* from that
//! number: four bytes with the second it was made, as in an ObjectId, then the number passed through a keyed
//! permutation of 64 bits. So an id is unique because the number is, it tells nobody how many messages there are,
//! and the database needs no index from ids to rows: opening the id gives the row's number. For each delivery that
//! saves an index entry made at acceptance, removed at settlement and made again in the archive.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::Micros;

/// A public id: twelve bytes, shown as 24 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 12]);

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an id of 24 hex digits")]
pub struct IdError;

impl Id {
    /// The second it was made, since the epoch, modulo 2^32.
    #[must_use]
    pub fn second(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 24];
        // The buffer is twice the input's length, the one thing this call can fail for.
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0u8; 12];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The key of one database's permutation; made at random when the database is made, kept in it for ever.
///
/// A four-round Feistel network over two halves of 32 bits (Luby and Rackoff, 1988: four rounds of a good round
/// function make a permutation that is hard to tell from a random one). It hides counts from the curious; it is not
/// what keeps one store out of another's rows: every query names its store as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdSeal {
    key: u64,
}

impl IdSeal {
    /// The permutation of this key.
    #[must_use]
    pub fn new(key: u64) -> Self {
        Self { key }
    }

    /// The id of row `seq`, made at `at`.
    #[must_use]
    pub fn seal(self, seq: i64, at: Micros) -> Id {
        let second = (at.seconds() & 0xffff_ffff) as u32;
        let mut bytes = [0u8; 12];
        bytes[..4].copy_from_slice(&second.to_be_bytes());
        bytes[4..].copy_from_slice(&self.permute(seq as u64).to_be_bytes());
        Id(bytes)
    }

    /// The sequence number inside `id`. An id that this database never made opens to a number all the same: whoever
    /// reads the row compares [`Id::second`] with it, or seals the row again and compares the ids.
    #[must_use]
    pub fn open(self, id: Id) -> i64 {
        let [_, _, _, _, rest @ ..] = id.0;
        self.invert(u64::from_be_bytes(rest)) as i64
    }

    fn round(self, half: u32, round: u32) -> u32 {
        let mut mixed =
            u64::from(half) ^ self.key.rotate_left(round * 16) ^ (u64::from(round) << 32);
        // The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as u32
    }

    fn permute(self, value: u64) -> u64 {
        let (mut left, mut right) = ((value >> 32) as u32, value as u32);
        for round in 0..4 {
            (left, right) = (right, left ^ self.round(right, round));
        }
        (u64::from(left) << 32) | u64::from(right)
    }

    fn invert(self, value: u64) -> u64 {
        let (mut left, mut right) = ((value >> 32) as u32, value as u32);
        for round in (0..4).rev() {
            (left, right) = (right ^ self.round(left, round), left);
        }
        (u64::from(left) << 32) | u64::from(right)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sealed_number_opens_to_itself(seq: i64, key: u64, at in 0i64..4_000_000_000_000_000) {
            let seal = IdSeal::new(key);
            let id = seal.seal(seq, Micros(at));
            prop_assert_eq!(seal.open(id), seq);
            prop_assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
            prop_assert_eq!(i64::from(id.second()), at / 1_000_000);
        }
    }

    #[test]
    fn ids_stay_the_same_for_ever() {
        let seal = IdSeal::new(0x0123_4567_89ab_cdef);
        let id = seal.seal(1, Micros(1_425_305_160_999_999));
        assert_eq!(id.to_string(), "54f46e48801362ef27673c74");
    }

    #[test]
    fn neighbours_do_not_look_alike() {
        let seal = IdSeal::new(7);
        let (one, two) = (
            seal.seal(1, Micros(0)).to_string(),
            seal.seal(2, Micros(0)).to_string(),
        );
        let same = one
            .bytes()
            .zip(two.bytes())
            .skip(8)
            .filter(|(a, b)| a == b)
            .count();
        assert!(same < 8, "{one} and {two}");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "55f2",
            "55f2a0b784a8160c7b0000zz",
            "55f2a0b784a8160c7b00000100",
        ] {
            assert_eq!(text.parse::<Id>(), Err(IdError), "{text}");
        }
    }
}

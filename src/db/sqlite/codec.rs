//! Small encodings: numbers as the domain has them, composed keys, the routing record.

use serde_json::Value;

use crate::{
    db::{DbError, Skip},
    domain::{
        delivery::{ArchiveReason, SkipReason, WaitState},
        key::MappingKey,
    },
};

/// The store and number of a row of a queue.
pub(super) type RowKey = (i64, i64);

/// A stored count as the domain has it; out of range (which no writer makes) it stops at the range's end.
pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// A reason or state of the domain as it is bound.
pub(super) fn state_number(state: WaitState) -> i64 {
    i64::from(state.number())
}

/// The state stored as this number; an unknown one is parked, for a person to look at.
pub(super) fn state_read(number: i64) -> WaitState {
    i32::try_from(number)
        .ok()
        .and_then(WaitState::from_number)
        .unwrap_or(WaitState::Parked)
}

/// The reason stored as this number; an unknown one is unreadable.
pub(super) fn reason_read(number: i64) -> ArchiveReason {
    i32::try_from(number)
        .ok()
        .and_then(ArchiveReason::from_number)
        .unwrap_or(ArchiveReason::Unreadable)
}

/// The key of part `part` of row `key`: an attempt of a delivery, a chunk of a routing record. A row has at most 65,535
/// parts and numbers stay below 2^47, so that one integer key, in order, needs no second index.
pub(super) fn part_key(key: i64, part: u32) -> i64 {
    (key << 16) | i64::from(part.min(0xffff))
}

/// The part of a composed key.
pub(super) fn part_of(key: i64) -> u32 {
    u32::try_from(key & 0xffff).unwrap_or(0)
}

/// The row of a composed key.
pub(super) fn row_of(key: i64) -> i64 {
    key >> 16
}

/// One message's (or chunk's) routing record: who got it and who did not.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::db) struct RoutingRecord {
    /// Delivery and mapping.
    pub(in crate::db) deliveries: Vec<(i64, i64)>,
    /// Who subscribed and did not get it.
    pub(in crate::db) skipped: Vec<Skip>,
}

impl RoutingRecord {
    /// `[1, [[delivery, mapping], ...], [[mapping, reason, text], ...]]`; the first number is the format's version.
    /// JSON, because people and other programs read tables too, and a number costs a few bytes more than as a varint.
    pub(in crate::db) fn encode(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(16 + 24 * self.deliveries.len());
        text.push_str("[1,[");
        for (at, (delivery, mapping)) in self.deliveries.iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(
                text,
                "{}[{delivery},{mapping}]",
                if at > 0 { "," } else { "" }
            );
        }
        text.push_str("],[");
        for (at, skip) in self.skipped.iter().enumerate() {
            let (reason, detail) = match &skip.reason {
                SkipReason::Filtered(detail) => (0, detail.as_str()),
                SkipReason::Duplicate(detail) => (1, detail.as_str()),
                SkipReason::Disabled => (2, ""),
            };
            let detail = Value::from(detail);
            let _ = write!(
                text,
                "{}[{},{reason},{detail}]",
                if at > 0 { "," } else { "" },
                skip.mapping
            );
        }
        text.push_str("]]");
        text
    }

    /// Reads what [`RoutingRecord::encode`] wrote; `key` is the row's, for the error.
    pub(in crate::db) fn decode(key: i64, text: &str) -> Result<Self, DbError> {
        let unreadable = |reason: String| DbError::Unreadable {
            table: "routing",
            key,
            reason,
        };
        type Record = (i64, Vec<(i64, i64)>, Vec<(i64, i64, String)>);
        let (version, deliveries, skipped): Record =
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if version != 1 {
            return Err(unreadable(format!("format {version}")));
        }
        let skipped = skipped
            .into_iter()
            .map(|(mapping, reason, detail)| {
                let reason = match reason {
                    0 => SkipReason::Filtered(detail),
                    1 => SkipReason::Duplicate(detail),
                    2 => SkipReason::Disabled,
                    other => return Err(unreadable(format!("reason {other}"))),
                };
                Ok(Skip {
                    mapping: MappingKey(mapping),
                    reason,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            deliveries,
            skipped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_record_reads_back_as_written() {
        let record = RoutingRecord {
            deliveries: vec![(70_000, 3), (70_001, 9)],
            skipped: vec![
                Skip {
                    mapping: MappingKey(4),
                    reason: SkipReason::Filtered("payload.order.status eq \"complete\"".into()),
                },
                Skip {
                    mapping: MappingKey(5),
                    reason: SkipReason::Duplicate("order_number=R1\n".into()),
                },
                Skip {
                    mapping: MappingKey(6),
                    reason: SkipReason::Disabled,
                },
            ],
        };
        assert_eq!(RoutingRecord::decode(1, &record.encode()).unwrap(), record);
        assert!(RoutingRecord::decode(1, "[2,[],[]]").is_err());
    }

    #[test]
    fn parts_of_a_row_come_in_order_and_apart_from_the_next_rows() {
        assert!(part_key(7, 1) < part_key(7, 2) && part_key(7, 0xffff) < part_key(8, 0));
        assert_eq!((row_of(part_key(7, 9)), part_of(part_key(7, 9))), (7, 9));
        assert_eq!(part_of(part_key(7, u32::MAX)), 0xffff);
    }
}

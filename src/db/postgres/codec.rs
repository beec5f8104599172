//! Small encodings: days, numbers as the domain has them, text that the server takes.

use std::borrow::Cow;

use crate::domain::{
    delivery::{ArchiveReason, WaitState},
    time::Micros,
};

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;

/// The day an instant falls on, in days since the epoch: the partition of what was made then.
pub(super) fn day_of(at: i64) -> i32 {
    i32::try_from(at.div_euclid(DAY)).unwrap_or(if at < 0 { i32::MIN } else { i32::MAX })
}

/// The day of the second inside an id.
pub(super) fn day_of_second(second: u32) -> i32 {
    day_of(i64::from(second) * 1_000_000)
}

/// A stored count as the domain has it; out of range (which no writer makes) it stops at the range's end.
pub(super) fn small(number: i32) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The state stored as this number; an unknown one is parked, for a person to look at.
pub(super) fn state_read(number: i32) -> WaitState {
    WaitState::from_number(number).unwrap_or(WaitState::Parked)
}

/// The reason stored as this number; an unknown one is unreadable.
pub(super) fn reason_read(number: i32) -> ArchiveReason {
    ArchiveReason::from_number(number).unwrap_or(ArchiveReason::Unreadable)
}

/// The text as PostgreSQL takes it: without U+0000, which its `text` cannot hold and which is shown as a replacement.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether an instant lies in the second that an id names.
pub(super) fn is_of_second(at: i64, second: u32) -> bool {
    u32::try_from(Micros(at).seconds() & 0xffff_ffff).is_ok_and(|own| own == second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc_and_ids_say_it() {
        assert_eq!(
            (day_of(0), day_of(DAY - 1), day_of(DAY), day_of(-1)),
            (0, 0, 1, -1)
        );
        assert_eq!(day_of_second(86_400), 1);
        assert!(is_of_second(1_999_999, 1) && !is_of_second(2_000_000, 1));
    }

    #[test]
    fn text_keeps_everything_but_what_the_server_cannot_hold() {
        assert_eq!(text("größe\u{1}"), "größe\u{1}");
        assert_eq!(text("a\0b"), "a\u{fffd}b");
    }
}

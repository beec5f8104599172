use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(text: &str) -> Micros {
    serde_json::from_value(json!(text)).unwrap()
}

fn read(value: serde_json::Value) -> Result<Schedule, String> {
    serde_json::from_value(value).map_err(|error: serde_json::Error| error.to_string())
}

fn every(count: u32, interval: Interval) -> Schedule {
    Schedule::every(count, interval).unwrap()
}

fn runs(schedule: &Schedule, anchor: &str, after: &str, count: usize) -> Vec<String> {
    schedule
        .next_runs(at(anchor), at(after), count)
        .into_iter()
        .map(Micros::rfc3339)
        .collect()
}

#[test]
fn a_count_may_be_a_text_and_a_unit_singular() {
    let half_hour = every(30, Interval::Minutes);
    assert_eq!(
        read(json!({"count": "30", "interval": "minutes"})).unwrap(),
        half_hour
    );
    assert_eq!(
        read(json!({"count": 30, "interval": "Minute"})).unwrap(),
        half_hour
    );
    assert_eq!(
        serde_json::to_value(&half_hour).unwrap(),
        json!({"count": 30, "interval": "minutes"})
    );
    assert_eq!(
        read(json!({"interval": "hours"})).unwrap(),
        every(1, Interval::Hours)
    );
}

#[test]
fn what_cannot_be_a_schedule_is_said_by_field() {
    for (value, expected) in [
        (json!({"count": 0, "interval": "minutes"}), "count:"),
        (json!({"count": "soon", "interval": "minutes"}), "count:"),
        (json!({"count": -1, "interval": "minutes"}), "count:"),
        (json!({"count": 1, "interval": "fortnights"}), "interval:"),
        (json!({"count": 1}), "interval:"),
        (json!({}), "count:"),
        (
            json!({"count": 1, "interval": "days", "cron": "@daily"}),
            "count:",
        ),
        (json!({"cron": "61 * * * *"}), "cron:"),
        (json!({"cron": "* * * * * *"}), "cron:"),
        (json!({"cron": "0 0 30 2 *"}), "cron: never"),
        (json!({"cron": "ж * * * *"}), "cron:"),
        (
            json!({"cron": "@daily", "time_zone": "Mars/Base"}),
            "time_zone:",
        ),
    ] {
        let sentence = read(value.clone()).unwrap_err();
        assert!(sentence.starts_with(expected), "{value}: {sentence}");
    }
}

#[test]
fn intervals_tick_from_the_anchor_whatever_was_asked_last() {
    let schedule = every(30, Interval::Minutes);
    assert_eq!(
        runs(&schedule, "2026-01-01T00:10:00Z", "2026-01-01T01:00:00Z", 3),
        [
            "2026-01-01T01:10:00.000Z",
            "2026-01-01T01:40:00.000Z",
            "2026-01-01T02:10:00.000Z"
        ]
    );
}

#[test]
fn a_month_after_31_january_is_the_end_of_february_and_then_31_march_again() {
    let schedule = every(1, Interval::Months);
    assert_eq!(
        runs(&schedule, "2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z", 4),
        [
            "2026-02-28T10:00:00.000Z",
            "2026-03-31T10:00:00.000Z",
            "2026-04-30T10:00:00.000Z",
            "2026-05-31T10:00:00.000Z"
        ]
    );
    let leap = every(1, Interval::Months);
    assert_eq!(
        runs(&leap, "2028-01-31T10:00:00Z", "2028-02-01T00:00:00Z", 1),
        ["2028-02-29T10:00:00.000Z"]
    );
    let quarter = every(3, Interval::Months);
    assert_eq!(
        runs(&quarter, "2025-11-30T00:00:00Z", "2026-01-15T00:00:00Z", 2),
        ["2026-02-28T00:00:00.000Z", "2026-05-30T00:00:00.000Z"]
    );
}

#[test]
fn missed_ticks_are_pushed_once() {
    let anchor = at("2026-01-01T00:00:00Z");
    let schedule = every(10, Interval::Minutes);
    let due = schedule.due(
        anchor,
        Some(at("2026-01-01T01:00:00Z")),
        at("2026-01-01T03:05:00Z"),
    );
    assert_eq!(
        due,
        Due::Now {
            tick: at("2026-01-01T03:00:00Z"),
            missed: 11,
            next: Some(at("2026-01-01T03:10:00Z")),
        }
    );
    let Due::Now { tick, .. } = due else { panic!() };
    assert_eq!(
        schedule.due(anchor, Some(tick), at("2026-01-01T03:05:00Z")),
        Due::NotYet {
            next: Some(at("2026-01-01T03:10:00Z"))
        }
    );
}

#[test]
fn missed_ticks_of_a_cron_expression_are_pushed_once_too() {
    let schedule = Schedule::cron("0 6 * * *", "Europe/Berlin").unwrap();
    let due = schedule.due(
        at("2026-01-01T00:00:00Z"),
        Some(at("2026-01-05T05:00:00Z")),
        at("2026-01-08T12:00:00Z"),
    );
    assert_eq!(
        due,
        Due::Now {
            tick: at("2026-01-08T05:00:00Z"),
            missed: 2,
            next: Some(at("2026-01-09T05:00:00Z")),
        }
    );
}

#[test]
fn the_first_tick_is_one_interval_after_the_anchor() {
    let anchor = at("2026-01-01T00:00:00Z");
    let schedule = every(1, Interval::Hours);
    assert_eq!(
        schedule.due(anchor, None, at("2026-01-01T00:59:59Z")),
        Due::NotYet {
            next: Some(at("2026-01-01T01:00:00Z"))
        }
    );
    assert!(matches!(
        schedule.due(anchor, None, at("2026-01-01T01:00:00Z")),
        Due::Now { missed: 0, .. }
    ));
}

#[test]
fn a_clock_that_goes_back_pushes_no_tick_twice() {
    let anchor = at("2026-01-01T00:00:00Z");
    let schedule = every(1, Interval::Hours);
    assert_eq!(
        schedule.due(
            anchor,
            Some(at("2026-01-01T05:00:00Z")),
            at("2026-01-01T04:00:30Z")
        ),
        Due::NotYet {
            next: Some(at("2026-01-01T06:00:00Z"))
        }
    );
}

// New York, 8 March 2026: 02:00 is followed by 03:00 (07:00 UTC).
#[test]
fn a_time_that_the_clock_skips_runs_once_right_after_the_gap() {
    let schedule = Schedule::cron("30 2 * * *", "America/New_York").unwrap();
    assert_eq!(
        runs(&schedule, "2026-03-07T00:00:00Z", "2026-03-07T12:00:00Z", 2),
        ["2026-03-08T07:00:00.000Z", "2026-03-09T06:30:00.000Z"]
    );
}

// New York, 1 November 2026: 01:00 to 02:00 comes twice (05:00 and 06:00 UTC).
#[test]
fn a_time_that_the_clock_repeats_runs_once_and_an_interval_in_both_hours() {
    let fixed = Schedule::cron("30 1 * * *", "America/New_York").unwrap();
    assert_eq!(
        runs(&fixed, "2026-10-31T00:00:00Z", "2026-10-31T12:00:00Z", 2),
        ["2026-11-01T05:30:00.000Z", "2026-11-02T06:30:00.000Z"]
    );
    let often = Schedule::cron("*/30 * * * *", "America/New_York").unwrap();
    assert_eq!(
        runs(&often, "2026-10-31T00:00:00Z", "2026-11-01T05:00:00Z", 4),
        [
            "2026-11-01T05:30:00.000Z",
            "2026-11-01T06:00:00.000Z",
            "2026-11-01T06:30:00.000Z",
            "2026-11-01T07:00:00.000Z"
        ]
    );
}

#[test]
fn a_schedule_is_told_in_words_and_written_as_it_is_read() {
    assert_eq!(every(1, Interval::Months).describe(), "every month");
    assert_eq!(every(5, Interval::Days).describe(), "every 5 days");
    let cron = Schedule::cron(" 30  2 * *  mon ", "Europe/Berlin").unwrap();
    assert!(
        cron.describe().ends_with("(Europe/Berlin)"),
        "{}",
        cron.describe()
    );
    let written = serde_json::to_value(&cron).unwrap();
    assert_eq!(
        written,
        json!({"cron": "30 2 * * mon", "time_zone": "Europe/Berlin"})
    );
    assert_eq!(read(written).unwrap(), cron);
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let cron = prop::sample::select(vec![
        ("*/7 * * * *", "Europe/London"),
        ("15 2 * * *", "America/New_York"),
        ("0 0 L * *", "Asia/Kolkata"),
        ("30 1 29 2 *", "UTC"),
        ("5 4 * * sun", "Australia/Lord_Howe"),
    ])
    .prop_map(|(text, zone)| Schedule::cron(text, zone).unwrap());
    let interval = (1u32..500, prop::sample::select(Interval::ALL.to_vec()))
        .prop_map(|(count, interval)| every(count, interval));
    prop_oneof![cron, interval]
}

proptest! {
    #[test]
    fn the_next_tick_is_later_and_none_lies_between(
        schedule in any_schedule(),
        anchor in 1_500_000_000i64..1_900_000_000,
        wait in 0i64..100_000_000,
    ) {
        let anchor = Micros(anchor * 1_000_000 + 123_456);
        let after = Micros(anchor.0 + wait * 1_000_000);
        let next = schedule.next_after(anchor, after).unwrap();
        prop_assert!(next > after);
        let middle = Micros(after.0 + (next.0 - after.0) / 2);
        prop_assert_eq!(schedule.next_after(anchor, middle), Some(next));
    }

    #[test]
    fn what_is_due_is_the_newest_tick_and_afterwards_nothing_is(
        schedule in any_schedule(),
        anchor in 1_500_000_000i64..1_900_000_000,
        wait in 0i64..100_000_000,
    ) {
        let anchor = Micros(anchor * 1_000_000);
        let now = Micros(anchor.0 + wait * 1_000_000);
        if let Due::Now { tick, next, .. } = schedule.due(anchor, None, now) {
            prop_assert!(anchor < tick && tick <= now);
            prop_assert_eq!(schedule.next_after(anchor, tick), next);
            prop_assert_eq!(schedule.due(anchor, Some(tick), now), Due::NotYet { next });
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-0-9*/,?LW#@+a-z ]{0,40}") {
        let _ = Schedule::cron(&text, "UTC");
    }
}

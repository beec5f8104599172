use super::*;

const T0: Micros = Micros(1_800_000_000_000_000);

fn job(count: u64, per_sec: u32) -> Job {
    let new = NewJob {
        store: StoreKey(1),
        kind: JobKind::Retry,
        chosen: Chosen {
            keys: None,
            kinds: None,
            states: Some(vec![WaitState::Parked]),
            reasons: None,
            mapping: None,
            from: None,
            until: None,
            above: 0,
            upper: 1000,
            asked_at: T0,
        },
        asked: "{}".into(),
        count,
        per_sec,
        who: "anna".into(),
        begins_at: T0.plus(Duration::from_secs(10)),
    };
    Job::asked(new, JobKey(7), "07".repeat(12).parse().expect("an id"), T0)
}

fn step(up_to: i64, done: u64) -> Stepped {
    Stepped {
        up_to,
        done,
        skipped: 0,
        is_last: false,
    }
}

#[test]
fn nothing_happens_in_the_undo_window() {
    let job = job(12, 100);
    assert_eq!(job.turn(T0), Turn::NotBefore(job.new.begins_at));
    assert_eq!(job.turn(job.new.begins_at), Turn::Step(20));
    let undone = job.ended(JobEnd::Stopped, T0);
    assert!(undone.is_undone());
    assert_eq!(undone.turn(job.new.begins_at), Turn::Over);
}

#[test]
fn steps_keep_to_the_speed_asked_for() {
    for per_sec in [1, 2, 3, 7, 100, 999, 1000, 4321, FASTEST] {
        let (rows, pause) = pace(per_sec);
        let speed = f64::from(rows) / pause.as_secs_f64();
        assert!(speed <= f64::from(per_sec) * 1.01, "{per_sec}: {speed}");
        assert!(speed >= f64::from(per_sec) * 0.99, "{per_sec}: {speed}");
        assert!((1..=STEP_ROWS).contains(&rows));
    }
    let begun = job(12, 50).stepped(step(90, 10), T0);
    assert_eq!(
        begun.turn(T0),
        Turn::NotBefore(T0.plus(Duration::from_millis(200)))
    );
}

#[test]
fn the_last_step_accounts_for_everything_that_was_counted() {
    let begun = job(12, 100).stepped(step(90, 9), T0);
    assert_eq!(
        (begun.state, begun.cursor, begun.left()),
        (JobState::Running, 90, 3)
    );
    let done = begun.stepped(
        Stepped {
            up_to: 1000,
            done: 1,
            skipped: 1,
            is_last: true,
        },
        T0,
    );
    assert_eq!(
        (done.state, done.done, done.skipped, done.left()),
        (JobState::Done, 10, 2, 0)
    );
    assert_eq!(done.turn(T0.plus(Duration::from_secs(3600))), Turn::Over);
}

#[test]
fn a_stop_keeps_what_was_done() {
    let begun = job(12, 100).stepped(step(90, 9), T0);
    let stopped = begun.ended(JobEnd::Stopped, T0);
    assert_eq!((stopped.state, stopped.done), (JobState::Stopped, 9));
    assert!(!stopped.is_undone());
}

#[test]
fn numbers_and_kinds_agree() {
    for kind in JobKind::ALL {
        assert_eq!(JobKind::from_number(kind.number()), Some(kind));
    }
    for state in JobState::ALL {
        assert_eq!(JobState::from_number(state.number()), Some(state));
        assert_eq!(state.is_open(), state.number() < 2);
    }
    assert!(!JobKind::Retry.acts_on(WaitState::Held) && JobKind::Archive.acts_on(WaitState::Held));
}

#[test]
fn a_choice_reads_back_as_written() {
    let chosen = job(1, 1).new.chosen;
    let text = serde_json::to_string(&chosen).expect("writes");
    assert_eq!(
        serde_json::from_str::<Chosen>(&text).expect("reads"),
        chosen
    );
}

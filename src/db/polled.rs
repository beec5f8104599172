//! What is stored about polled shops, as the columns of both databases have it: rows read into values, values into numbers.

use sha2::{Digest, Sha256};

use super::{
    Backfill, BackfillState, FoundRow, NewBackfill, PollCursor, PollJob, PollState, Pulse,
    PulseState, SetAsideRow,
};
use crate::domain::{
    id::{Id, IdSeal},
    key::{BackfillKey, StoreKey},
    snapshot::Known,
    store_object::Noun,
    time::Micros,
};

/// How long a webhook's event is remembered.
pub(in crate::db) const HOOK_MICROS: i64 = 7 * 86_400 * 1_000_000;

/// The longest reason kept with a document set aside or a heartbeat, in bytes.
pub(in crate::db) const WHY_BYTES: usize = 1000;

/// Backfills of a store that are shown.
pub(in crate::db) const BACKFILLS: i64 = 100;

/// Noun, job, cursor, mark, done.
pub(in crate::db) type CursorRow = (String, i64, String, Option<i64>, bool);

/// Name, state, failures, since, last success, last failure, last error. `N` is the type of a small number.
pub(in crate::db) type PulseRow<N> = (
    String,
    N,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

/// Settings, found, report, when.
pub(in crate::db) type ProbeRow = (Vec<u8>, Option<String>, String, i64);

/// Key, nouns, since, per minute, state, documents, messages, requests, created, ended.
pub(in crate::db) type BackfillRow<N> = (i64, String, i64, i64, N, i64, i64, i64, i64, Option<i64>);

/// Key, noun, token, why, lasting, occurrences, first, last.
pub(in crate::db) type OddRow = (i64, String, String, String, bool, i64, i64, i64);

/// How much of an object is known, as it is stored: a number, a digest, the document.
pub(in crate::db) fn known_parts(known: &Known) -> (i32, Option<&[u8]>, Option<&str>) {
    match known {
        Known::Listed { canceled } => (i32::from(*canceled), None, None),
        Known::Whole { digest, raw } => (2, Some(&digest[..]), Some(raw.as_str())),
        Known::Erased { digest } => (3, Some(&digest[..]), None),
    }
}

/// How much of an object is known; what cannot be read counts as erased.
pub(in crate::db) fn known_of(
    number: impl Into<i64>,
    digest: Option<Vec<u8>>,
    raw: Option<String>,
) -> Known {
    let digest = digest
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .unwrap_or_default();
    match (number.into(), raw) {
        (2, Some(raw)) => Known::Whole { digest, raw },
        (0, _) => Known::Listed { canceled: false },
        (1, _) => Known::Listed { canceled: true },
        _ => Known::Erased { digest },
    }
}

/// Everything a poller starts from.
pub(in crate::db) fn state_of<N: Into<i64>>(
    seal: IdSeal,
    store: StoreKey,
    cursors: Vec<CursorRow>,
    pulses: Vec<PulseRow<N>>,
    found: Option<ProbeRow>,
    backfills: Vec<BackfillRow<N>>,
) -> PollState {
    let backfill = |row| backfill_of(seal, store, row);
    PollState {
        cursors: cursors.into_iter().filter_map(cursor_of).collect(),
        pulses: pulses.into_iter().map(pulse_of).collect(),
        found: found.map(|(settings, found, report, probed_at)| FoundRow {
            settings,
            found,
            report,
            probed_at: Micros(probed_at),
        }),
        backfills: backfills.into_iter().map(backfill).collect(),
    }
}

fn noun_of(name: &str) -> Option<Noun> {
    Noun::ALL.into_iter().find(|noun| noun.name() == name)
}

/// `None` for a kind of object that a newer version knew.
fn cursor_of((noun, job, cursor, mark, done): CursorRow) -> Option<PollCursor> {
    Some(PollCursor {
        noun: noun_of(&noun)?,
        job: PollJob::of_number(job),
        cursor,
        mark: mark.map(Micros),
        done,
    })
}

fn pulse_of<N: Into<i64>>(row: PulseRow<N>) -> Pulse {
    let (name, state, failures, since, success, failure, error) = row;
    Pulse {
        name,
        state: match state.into() {
            1 => PulseState::Up,
            2 => PulseState::Down,
            _ => PulseState::Unknown,
        },
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        since: since.map(Micros),
        last_success_at: success.map(Micros),
        last_failure_at: failure.map(Micros),
        last_error: error,
    }
}

/// The number a heartbeat's state is stored as.
pub(in crate::db) fn pulse_number(state: PulseState) -> i32 {
    match state {
        PulseState::Unknown => 0,
        PulseState::Up => 1,
        PulseState::Down => 2,
    }
}

fn backfill_of<N: Into<i64>>(seal: IdSeal, store: StoreKey, row: BackfillRow<N>) -> Backfill {
    let (key, nouns, since, per_minute, state, documents, messages, requests, created_at, ended_at) =
        row;
    Backfill {
        key: BackfillKey(key),
        id: seal.seal(key, Micros(created_at)),
        job: NewBackfill {
            store,
            nouns: nouns.split(',').filter_map(noun_of).collect(),
            since: Micros(since),
            per_minute: u32::try_from(per_minute).unwrap_or(1),
        },
        state: match state.into() {
            0 => BackfillState::Running,
            1 => BackfillState::Done,
            _ => BackfillState::Stopped,
        },
        documents: documents.cast_unsigned(),
        messages: messages.cast_unsigned(),
        requests: requests.cast_unsigned(),
        created_at: Micros(created_at),
        ended_at: ended_at.map(Micros),
    }
}

/// What a backfill reads, as one text.
pub(in crate::db) fn nouns_text(nouns: &[Noun]) -> String {
    let names: Vec<&str> = nouns.iter().map(|noun| noun.name()).collect();
    names.join(",")
}

/// A backfill that begins now.
pub(in crate::db) fn begun(key: i64, id: Id, new: &NewBackfill, now: Micros) -> Backfill {
    Backfill {
        key: BackfillKey(key),
        id,
        job: new.clone(),
        state: BackfillState::Running,
        documents: 0,
        messages: 0,
        requests: 0,
        created_at: now,
        ended_at: None,
    }
}

/// The number an ended backfill's state is stored as; `None` for one that runs.
pub(in crate::db) fn end_number(state: BackfillState) -> Option<i32> {
    match state {
        BackfillState::Running => None,
        BackfillState::Done => Some(1),
        BackfillState::Stopped => Some(2),
    }
}

/// A document set aside.
pub(in crate::db) fn set_aside_of(row: OddRow) -> SetAsideRow {
    let (key, noun, token, why, lasting, occurrences, first_at, last_at) = row;
    SetAsideRow {
        key,
        noun,
        token,
        why,
        lasting,
        occurrences: occurrences.cast_unsigned(),
        first_at: Micros(first_at),
        last_at: Micros(last_at),
    }
}

/// What a webhook's event is remembered as.
pub(in crate::db) fn hook_digest(event: &str) -> Vec<u8> {
    let digest = Sha256::digest(event.as_bytes());
    digest.get(..16).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_an_object_reads_back_as_written() {
        let (digest, raw) = ([7; 16], "{}".to_owned());
        for known in [
            Known::Listed { canceled: false },
            Known::Listed { canceled: true },
            Known::Whole { digest, raw },
            Known::Erased { digest },
        ] {
            let (number, digest, raw) = known_parts(&known);
            let (digest, raw) = (digest.map(<[u8]>::to_vec), raw.map(str::to_owned));
            assert_eq!(known_of(number, digest, raw), known);
        }
    }

    #[test]
    fn states_read_back_as_written() {
        for state in [PulseState::Unknown, PulseState::Up, PulseState::Down] {
            let row = ("".into(), pulse_number(state), 0, None, None, None, None);
            assert_eq!(pulse_of(row).state, state);
        }
        let seal = IdSeal::new(7);
        for state in [BackfillState::Done, BackfillState::Stopped] {
            let number = end_number(state).unwrap();
            let row = (1, "orders".into(), 0, 1, number, 0, 0, 0, 0, Some(1));
            assert_eq!(backfill_of(seal, StoreKey(1), row).state, state);
        }
        assert_eq!(end_number(BackfillState::Running), None);
    }

    #[test]
    fn a_kind_of_object_that_a_newer_version_knew_is_passed_over() {
        let cursor = |noun: &str| cursor_of((noun.into(), 0, "{}".into(), None, false));
        assert_eq!(cursor("weather"), None);
        let noun = Noun::ALL[0];
        assert_eq!(cursor(noun.name()).map(|cursor| cursor.noun), Some(noun));
        assert_eq!(nouns_text(&Noun::ALL[..2]).split(',').count(), 2);
    }
}

//! How each table of the embedded database becomes one of PostgreSQL: which rows, in which order, and where each value comes from.
//!
//! What differs there: days (of the time a row's id was made from), keys that were composed into one number, and rows that say when
//! their message was made. Rows of messages and deliveries that are gone (retention takes them later than those) stay behind.

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Kind {
    /// A number.
    Int,
    /// 0 or 1, a BOOLEAN there.
    Flag,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(in crate::db) struct Column {
    /// Its name on PostgreSQL.
    pub(in crate::db) name: &'static str,
    /// What it holds.
    pub(in crate::db) kind: Kind,
    /// What it is on SQLite.
    pub(in crate::db) value: &'static str,
}

/// A step of the copy: the rows of one table, or some of them.
#[derive(Debug)]
pub(in crate::db) struct Table {
    /// The step's name.
    pub(in crate::db) step: &'static str,
    /// The table on PostgreSQL.
    pub(in crate::db) name: &'static str,
    /// The table that is walked on SQLite, as `t`.
    pub(in crate::db) walk: &'static str,
    /// The key it is walked by.
    pub(in crate::db) keys: &'static [&'static str],
    /// What belongs to its rows.
    pub(in crate::db) join: &'static str,
    /// Which of them; empty for all.
    pub(in crate::db) filter: &'static str,
    /// About how many bytes a row brings.
    pub(in crate::db) weigh: &'static str,
    /// The columns.
    pub(in crate::db) columns: &'static [Column],
    /// The last two columns name an object (or nothing), of which, with the store and the number before them, PostgreSQL keeps the
    /// routing shard instead.
    pub(in crate::db) sharded: bool,
}

const fn int(name: &'static str, value: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Int,
        value,
    }
}

const fn flag(name: &'static str, value: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Flag,
        value,
    }
}

const fn text(name: &'static str, value: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Text,
        value,
    }
}

const fn bytes(name: &'static str, value: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Bytes,
        value,
    }
}

/// Every step, in order.
#[rustfmt::skip]
pub(in crate::db) const TABLES: &[Table] = &[
    Table {
        step: "registry", name: "registry", walk: "registry", keys: &["t.key"],
        join: "",
        filter: "", weigh: "length(t.body)",
        columns: &[
            int("key", "t.key"), text("kind", "t.kind"), int("store", "t.store"), int("subject", "t.subject"),
            text("name", "t.name"), text("body", "t.body"), int("created_at", "t.created_at"), int("updated_at", "t.updated_at"),
            flag("deleted", "t.deleted"), int("version", "t.version"),
        ],
        sharded: false,
    },
    Table {
        step: "owner", name: "owner", walk: "owner", keys: &["t.kind", "t.key"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("kind", "t.kind"), int("key", "t.key"), int("epoch", "t.epoch"),
        ],
        sharded: false,
    },
    Table {
        step: "message_type", name: "message_type", walk: "message_type", keys: &["t.key"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("key", "t.key"), int("store", "t.store"), text("kind", "t.kind"),
        ],
        sharded: false,
    },
    Table {
        step: "message", name: "message", walk: "message", keys: &["t.seq"],
        join: "",
        filter: "", weigh: "length(t.payload)",
        columns: &[
            int("store", "t.store"), int("seq", "t.seq"), int("day", "t.accepted_at / 86400000000"), int("depth", "t.depth"),
            int("accepted_at", "t.accepted_at"), int("parent", "t.parent"), int("parent_made", "t.parent_made"),
            int("root", "t.root"), flag("test", "t.test"), text("kind", "t.kind"), text("object_type", "t.object_type"),
            text("object_token", "t.object_token"), text("source_kind", "t.source_kind"), text("source_name", "t.source_name"),
            text("extra", "t.extra"), text("payload", "t.payload"),
        ],
        sharded: false,
    },
    Table {
        step: "object_message", name: "object_message", walk: "object_message", keys: &["t.bucket", "t.object_hash", "t.message"],
        join: "JOIN message m ON m.seq = t.message",
        filter: "", weigh: "0",
        columns: &[
            int("object_hash", "t.object_hash"), int("message", "t.message"), int("day", "m.accepted_at / 86400000000"),
        ],
        sharded: false,
    },
    Table {
        step: "incoming", name: "incoming", walk: "incoming", keys: &["t.store", "t.seq"],
        join: "JOIN message m ON m.seq = t.seq",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), int("seq", "t.seq"), int("kind", "t.kind"), int("accepted_at", "t.accepted_at"),
            int("routed_up_to", "t.routed_up_to"), text("object_type", "m.object_type"), text("object_token", "m.object_token"),
        ],
        sharded: true,
    },
    Table {
        step: "routing", name: "routing", walk: "routing", keys: &["t.key"],
        join: "JOIN message m ON m.seq = t.key >> 16",
        filter: "", weigh: "length(t.body)",
        columns: &[
            int("message", "t.key >> 16"), int("day", "m.accepted_at / 86400000000"), int("part", "t.key & 65535"),
            text("body", "t.body"),
        ],
        sharded: false,
    },
    Table {
        step: "accepted", name: "accepted", walk: "accepted", keys: &["t.store", "t.seq"],
        join: "LEFT JOIN message m ON m.seq = t.message",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), int("seq", "t.seq"), int("endpoint", "t.endpoint"), int("mapping", "t.mapping"),
            int("kind", "t.kind"), int("message", "t.message"), int("made_at", "coalesce(m.accepted_at, t.created_at)"),
            int("lane", "t.lane"), int("pos", "t.pos"), int("due_at", "t.due_at"), int("since", "t.since"),
            int("created_at", "t.created_at"), int("attempted_at", "t.attempted_at"), int("replay_of", "t.replay_of"),
            int("state", "t.state"), int("attempts", "t.attempts"), int("failures", "t.failures"), flag("head", "t.head"),
            bytes("claim", "t.claim"), text("last_error", "t.last_error"), text("asynchronous", "t.asynchronous"),
        ],
        sharded: false,
    },
    Table {
        step: "archived", name: "archived", walk: "archived", keys: &["t.store", "t.seq"],
        join: "LEFT JOIN message m ON m.seq = t.message",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), int("seq", "t.seq"), int("day", "t.created_at / 86400000000"), int("reason", "t.reason"),
            int("endpoint", "t.endpoint"), int("mapping", "t.mapping"), int("kind", "t.kind"), int("message", "t.message"),
            int("made_at", "coalesce(m.accepted_at, t.created_at)"), int("created_at", "t.created_at"),
            int("attempted_at", "t.attempted_at"), int("completed_at", "t.completed_at"), int("replay_of", "t.replay_of"),
            int("attempts", "t.attempts"), text("last_error", "t.last_error"), text("result", "t.result"),
        ],
        sharded: false,
    },
    Table {
        step: "attempt of archived", name: "attempt", walk: "archived", keys: &["t.store", "t.seq"],
        join: "JOIN attempt a ON a.key BETWEEN t.seq * 65536 AND t.seq * 65536 + 65535",
        filter: "", weigh: "(SELECT sum(length(a.answer_body) + 1000) FROM attempt a WHERE a.key BETWEEN t.seq * 65536 AND t.seq * 65536 + 65535)",
        columns: &[
            int("store", "t.store"), int("delivery", "t.seq"), int("number", "a.key & 65535"),
            int("day", "t.created_at / 86400000000"), int("started_at", "a.started_at"), int("duration_us", "a.duration_us"),
            int("request_bytes", "a.request_bytes"), int("answer_bytes", "a.answer_bytes"), int("status", "a.status"),
            text("url", "a.url"), text("outcome", "a.outcome"), text("error", "a.error"),
            text("request_headers", "a.request_headers"), text("answer_headers", "a.answer_headers"),
            text("answer_body", "a.answer_body"),
        ],
        sharded: false,
    },
    Table {
        step: "attempt of accepted", name: "attempt", walk: "accepted", keys: &["t.store", "t.seq"],
        join: "JOIN attempt a ON a.key BETWEEN t.seq * 65536 AND t.seq * 65536 + 65535",
        filter: "", weigh: "(SELECT sum(length(a.answer_body) + 1000) FROM attempt a WHERE a.key BETWEEN t.seq * 65536 AND t.seq * 65536 + 65535)",
        columns: &[
            int("store", "t.store"), int("delivery", "t.seq"), int("number", "a.key & 65535"),
            int("day", "t.created_at / 86400000000"), int("started_at", "a.started_at"), int("duration_us", "a.duration_us"),
            int("request_bytes", "a.request_bytes"), int("answer_bytes", "a.answer_bytes"), int("status", "a.status"),
            text("url", "a.url"), text("outcome", "a.outcome"), text("error", "a.error"),
            text("request_headers", "a.request_headers"), text("answer_headers", "a.answer_headers"),
            text("answer_body", "a.answer_body"),
        ],
        sharded: false,
    },
    Table {
        step: "event", name: "event", walk: "event", keys: &["t.seq"],
        join: "",
        filter: "", weigh: "length(t.description)",
        columns: &[
            int("store", "t.store"), int("seq", "t.seq"), int("day", "t.first_at / 86400000000"), int("level", "t.level"),
            int("message", "t.message"), int("delivery", "t.delivery"), int("arose_at", "t.arose_at"),
            int("occurrences", "t.occurrences"), int("first_at", "t.first_at"), int("last_at", "t.last_at"),
            text("subject", "t.subject"), text("description", "t.description"), text("ref_type", "t.ref_type"),
            text("ref_token", "t.ref_token"), text("ref_fold", "t.ref_fold"), text("origin", "t.origin"),
            text("attributes", "t.attributes"),
        ],
        sharded: false,
    },
    Table {
        step: "event_repeat", name: "event_repeat", walk: "event", keys: &["t.seq"],
        join: "",
        filter: "t.dedupe IS NOT NULL", weigh: "0",
        columns: &[
            bytes("dedupe", "t.dedupe"), int("store", "t.store"), int("event", "t.seq"), int("day", "t.first_at / 86400000000"),
        ],
        sharded: false,
    },
    Table {
        step: "claim", name: "claim", walk: "claim", keys: &["t.mapping", "t.key"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("mapping", "t.mapping"), bytes("key", "t.key"), int("delivery", "t.delivery"), int("expires_at", "t.expires_at"),
        ],
        sharded: false,
    },
    Table {
        step: "idempotency", name: "idempotency", walk: "idempotency", keys: &["t.token", "t.key"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("token", "t.token"), bytes("key", "t.key"), bytes("body", "t.body"), int("message", "t.message"),
            int("accepted_at", "t.accepted_at"), int("expires_at", "t.expires_at"),
        ],
        sharded: false,
    },
    Table {
        step: "queue_count", name: "queue_count", walk: "queue_count", keys: &["t.store", "t.place"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), int("place", "t.place"), int("writer", "0"), int("n", "t.n"),
        ],
        sharded: false,
    },
    Table {
        step: "lineage", name: "lineage", walk: "lineage", keys: &["t.root"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("root", "t.root"), int("descendants", "t.descendants"),
            int("day", "coalesce((SELECT accepted_at FROM message ORDER BY seq DESC LIMIT 1), 0) / 86400000000"),
        ],
        sharded: false,
    },
    Table {
        step: "repetition", name: "repetition", walk: "repetition", keys: &["t.hour", "t.hash"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("hour", "t.hour"), int("hash", "t.hash"), int("n", "t.n"),
        ],
        sharded: false,
    },
    Table {
        step: "session", name: "session", walk: "session", keys: &["t.digest"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            text("digest", "t.digest"), int("account", "t.account"), int("created_at", "t.created_at"),
            int("expires_at", "t.expires_at"),
        ],
        sharded: false,
    },
    Table {
        step: "audit", name: "audit", walk: "audit", keys: &["t.seq"],
        join: "",
        filter: "", weigh: "coalesce(length(t.was), 0) + coalesce(length(t.is_now), 0)",
        columns: &[
            int("seq", "t.seq"), int("store", "t.store"), int("at", "t.at"), text("who", "t.who"), text("action", "t.action"),
            text("subject", "t.subject"), text("was", "t.was"), text("is_now", "t.is_now"),
        ],
        sharded: false,
    },
    Table {
        step: "known_object", name: "known_object", walk: "known_object", keys: &["t.key"],
        join: "",
        filter: "", weigh: "length(t.raw)",
        columns: &[
            int("store", "t.store"), text("kind", "t.kind"), text("token", "t.token"), int("updated_at", "t.updated_at"),
            bytes("digest", "t.digest"), text("raw", "t.raw"),
        ],
        sharded: false,
    },
    Table {
        step: "schedule_run", name: "schedule_run", walk: "schedule_run", keys: &["t.scheduler"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("scheduler", "t.scheduler"), int("store", "t.store"), int("tick", "t.tick"), int("ran_at", "t.ran_at"),
            int("missed", "t.missed"),
        ],
        sharded: false,
    },
    Table {
        step: "snapshot", name: "snapshot", walk: "snapshot", keys: &["t.key"],
        join: "",
        filter: "", weigh: "coalesce(length(t.raw), 0)",
        columns: &[
            int("store", "t.store"), text("noun", "t.noun"), text("token", "t.token"), int("known", "t.known"),
            text("updated_at", "t.updated_at"), bytes("digest", "t.digest"), text("raw", "t.raw"),
        ],
        sharded: false,
    },
    Table {
        step: "poll_cursor", name: "poll_cursor", walk: "poll_cursor", keys: &["t.store", "t.noun", "t.job"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), text("noun", "t.noun"), int("job", "t.job"), text("cursor", "t.cursor"),
            int("mark", "t.mark"), flag("done", "t.done"),
        ],
        sharded: false,
    },
    Table {
        step: "set_aside", name: "set_aside", walk: "set_aside", keys: &["t.key"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("key", "t.key"), int("store", "t.store"), text("noun", "t.noun"), text("token", "t.token"), text("why", "t.why"),
            flag("lasting", "t.lasting"), int("occurrences", "t.occurrences"), int("first_at", "t.first_at"),
            int("last_at", "t.last_at"),
        ],
        sharded: false,
    },
    Table {
        step: "source_found", name: "source_found", walk: "source_found", keys: &["t.store"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), bytes("settings", "t.settings"), text("found", "t.found"), text("report", "t.report"),
            int("probed_at", "t.probed_at"),
        ],
        sharded: false,
    },
    Table {
        step: "pulse", name: "pulse", walk: "pulse", keys: &["t.store", "t.name"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), text("name", "t.name"), int("state", "t.state"), int("failures", "t.failures"),
            int("since", "t.since"), int("last_success_at", "t.last_success_at"), int("last_failure_at", "t.last_failure_at"),
            text("last_error", "t.last_error"),
        ],
        sharded: false,
    },
    Table {
        step: "backfill", name: "backfill", walk: "backfill", keys: &["t.key"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("key", "t.key"), int("store", "t.store"), text("nouns", "t.nouns"), int("since", "t.since"),
            int("per_minute", "t.per_minute"), int("state", "t.state"), int("documents", "t.documents"),
            int("messages", "t.messages"), int("requests", "t.requests"), int("created_at", "t.created_at"),
            int("ended_at", "t.ended_at"),
        ],
        sharded: false,
    },
    Table {
        step: "hook_event", name: "hook_event", walk: "hook_event", keys: &["t.store", "t.event"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("store", "t.store"), bytes("event", "t.event"), int("seen_at", "t.seen_at"),
        ],
        sharded: false,
    },
    Table {
        step: "erasure", name: "erasure", walk: "erasure", keys: &["t.key"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("key", "t.key"), int("store", "t.store"), int("kind", "t.kind"), bytes("digest", "t.digest"), text("who", "t.who"),
            int("asked_at", "t.asked_at"), int("done_at", "t.done_at"), text("email", "t.email"), int("phase", "t.phase"),
            // Copies of objects have no numbers there: they are searched from the beginning.
            int("position", "CASE WHEN t.phase IN (1, 2) THEN -1 ELSE t.position END"), int("objects", "t.objects"),
            int("messages", "t.messages"), int("deliveries", "t.deliveries"), int("attempts", "t.attempts"),
            int("events", "t.events"), int("copies", "t.copies"),
        ],
        sharded: false,
    },
    Table {
        step: "erasure_work", name: "erasure_work", walk: "erasure_work", keys: &["t.erasure", "t.kind", "t.token"],
        join: "",
        filter: "", weigh: "0",
        columns: &[
            int("erasure", "t.erasure"), text("kind", "t.kind"), text("token", "t.token"),
        ],
        sharded: false,
    },
    Table {
        step: "job", name: "job", walk: "job", keys: &["t.key"],
        join: "",
        filter: "", weigh: "length(t.chosen) + length(t.asked)",
        columns: &[
            int("key", "t.key"), int("store", "t.store"), int("kind", "t.kind"), int("state", "t.state"), int("cursor", "t.cursor"),
            int("next_at", "t.next_at"), int("done", "t.done"), int("skipped", "t.skipped"), int("count", "t.count"),
            int("per_sec", "t.per_sec"), text("who", "t.who"), int("created_at", "t.created_at"), int("begins_at", "t.begins_at"),
            int("began_at", "t.began_at"), int("ended_at", "t.ended_at"), text("error", "t.error"), text("asked", "t.asked"),
            text("chosen", "t.chosen"),
        ],
        sharded: false,
    },
    Table {
        step: "job_mark", name: "job_mark", walk: "job_mark", keys: &["t.delivery", "t.job"],
        join: "",
        filter: "", weigh: "0",
        columns: &[int("delivery", "t.delivery"), int("job", "t.job")],
        sharded: false,
    },
];

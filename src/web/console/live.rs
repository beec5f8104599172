//! Live updates: one stream of server-sent events per visible tab. It carries no content: only that something may have changed, and
//! that the hub is there. The page then asks for itself again, through the same door and the same templates.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web::Bytes};
use futures_util::stream;

use crate::{db::QueueStats, domain::key::StoreKey};

use super::people::{Fields, Person, Refusal};

/// Between two looks.
const STEP: Duration = Duration::from_secs(1);
/// Looks after which a page is asked to read itself again though nothing is known to have changed: times and attempts move.
const BEAT: u32 = 5;
/// A stream ends after so many looks and is opened anew, so that a person signed out elsewhere is found out.
const LOOKS: u32 = 120;

struct Looking {
    person: Person,
    store: Option<StoreKey>,
    seen: Option<(QueueStats, i64)>,
    looks: u32,
}

/// `GET /console/live?store=`
pub async fn stream(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person
        .store(fields.some("store"))
        .ok()
        .map(|store| store.store.key);
    let looking = Looking {
        person,
        store,
        seen: None,
        looks: 0,
    };
    let events = stream::unfold(looking, |mut looking| async move {
        if looking.looks >= LOOKS {
            return None;
        }
        if looking.looks > 0 {
            tokio::time::sleep(STEP).await;
        }
        looking.looks += 1;
        let words = match look(&mut looking).await {
            true => "event: changed\ndata: 1\n\n",
            false if looking.looks % BEAT == 0 => "event: beat\ndata: 1\n\n",
            false => ": here\n\n",
        };
        let words = if looking.looks == 1 {
            "retry: 2000\nevent: beat\ndata: 0\n\n"
        } else {
            words
        };
        Some((
            Ok::<_, actix_web::Error>(Bytes::from_static(words.as_bytes())),
            looking,
        ))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events))
}

/// Whether counts or configuration are others than at the last look. A database that is away changes nothing.
async fn look(looking: &mut Looking) -> bool {
    let Some(store) = looking.store else {
        return false;
    };
    let hub = &looking.person.hub;
    let Ok(stats) = hub.backend().queue_stats(store).await else {
        return false;
    };
    let now = Some((stats, hub.registry().version));
    let changed = looking.seen.is_some() && looking.seen != now;
    looking.seen = now;
    changed
}

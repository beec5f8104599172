//! An object's page: what happened to an order, told to a shopkeeper; for people who are signed in, and in a frame of the
//! shop's own admin through a signed link.
//!
//! The link holds store, object, expiry and the origin that may frame it; all are signed, so nothing can be changed, and a
//! link is of no use elsewhere. The frame is read-only: it knows no cookie and shows no payload.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use hmac::{Hmac, KeyInit, Mac};
use maud::{Markup, html};
use serde_json::json;
use sha2::Sha256;

use crate::{
    actors::Hub,
    db::{EntityChange, PageKey, Timeline},
    domain::{
        id::Id,
        reference::ObjectRef,
        registry::{Entity, Registry, StoreSnapshot},
        time::Micros,
    },
    web::{
        ApiError,
        auth::{InStore, Read},
        console::{
            answer_under,
            html::{Foreign, Frame, Notice, bare_page},
            links, ok,
            people::{Fields, Person, Refusal, hub_of},
        },
        extract::Body,
        fields::Fields as ApiFields,
    },
};

use super::story::{Story, Viewer};

/// Entries that one page reads.
const ENTRIES: usize = 300;
/// How long a link works when nothing is said.
const USUAL_TIME: Duration = Duration::from_secs(15 * 60);
/// The longest that can be asked for.
const LONGEST_TIME: u32 = 24 * 3_600;

/// `GET /objects/:type/:token?store=`
pub async fn page(
    person: Person,
    place: web::Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let object = ObjectRef::new(&place.0, &place.1).map_err(|_| Refusal::Missing("object"))?;
    let before = fields.get("before").parse().ok().map(PageKey);
    let timeline = person
        .hub
        .backend()
        .timeline(store.store.key, object.clone(), before, ENTRIES)
        .await?;
    let title = title_of(&object);
    let body = html! {
        div .story {
            h1 { (Foreign(&title)) }
            (told(&store, &object, &timeline, Viewer::Person { store: store.store.id }, person.now))
            @if person.changes(store.store.key) {
                p .meta { "All messages about it: " a href=(links::queue(store.store.id, "accepted", &[("object", &object.to_string())])) { "waiting" } ", " a href=(links::queue(store.store.id, "archived", &[("object", &object.to_string())])) { "done" } "." }
            }
            @if person.is_operator() {
                p .meta { a href=(links::erase(store.store.id, &object)) { "Erase it on request" } }
            }
        }
    };
    Ok(ok(Frame {
        title: &title,
        person: &person,
        store: Some(&store),
        place: "/objects",
        notice: Notice::of(fields.get("notice")),
        live: true,
    }
    .around(body)))
}

fn title_of(object: &ObjectRef) -> String {
    let mut kind = object.kind().to_owned();
    if let Some(first) = kind.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    format!("{kind} {}", object.token())
}

/// The regions of a story; the same for page and frame.
fn told(
    store: &StoreSnapshot,
    object: &ObjectRef,
    timeline: &Timeline,
    viewer: Viewer,
    now: Micros,
) -> Markup {
    let story = Story::of(store, timeline, now);
    html! {
        div #now data-region="" { (story.now(viewer)) }
        @if let (Some(older), Viewer::Person { store }) = (timeline.older, viewer) {
            p { a href=(format!("{}&before={}", links::object(store, object), older.0)) { "What was before" } }
        }
        div #story data-region="" { (story.list(viewer)) }
        @if timeline.entries.is_empty() { div .panel .empty { p { "Nothing has happened to it here yet." } p .meta { "Its messages appear as soon as the shop sends the first one." } } }
    }
}

/// The signature of a link: HMAC-SHA256 over everything in it, as hex. `None` for a key that is none.
#[must_use]
pub fn signature_of(
    key: &str,
    store: Id,
    object: &ObjectRef,
    expires: i64,
    origin: &str,
) -> Option<String> {
    Some(hex::encode(
        signer(key, store, object, expires, origin)?
            .finalize()
            .into_bytes(),
    ))
}

fn signer(
    key: &str,
    store: Id,
    object: &ObjectRef,
    expires: i64,
    origin: &str,
) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&hex::decode(key).ok()?).ok()?;
    mac.update(
        format!(
            "embed 1\n{store}\n{}\n{}\n{expires}\n{origin}",
            object.kind(),
            object.token()
        )
        .as_bytes(),
    );
    Some(mac)
}

/// The policy of an embedded page: as of every page, but the shop's origin may frame it.
#[must_use]
pub fn embed_policy(origin: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors {origin}"
    )
}

/// An origin as browsers write it: scheme, host and perhaps a port, nothing else. `None` for anything else.
fn origin_of(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && matches!(url.path(), "" | "/");
    // `*` is a host to the URL parser, and everybody to a policy.
    let origin = url.origin().ascii_serialization();
    (plain
        && origin.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'/' | b'.' | b'-' | b'[' | b']')
        }))
    .then_some(origin)
}

/// `GET /embed/objects/:type/:token?store&expires&origin&signature`
pub async fn embedded(
    place: web::Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let hub = hub_of(&request)?;
    let fields = Fields::read(request.query_string());
    let refused = |origin: &str, sentence: &str| {
        let body = html! { h1 { "Please reload the page around this" } p { (sentence) } };
        Ok(answer_under(
            StatusCode::FORBIDDEN,
            bare_page("Not shown", Some("embedded"), body),
            &embed_policy(origin),
        ))
    };
    let object = ObjectRef::new(&place.0, &place.1).map_err(|_| Refusal::Missing("object"))?;
    let named = fields.get("store").parse::<Id>().ok();
    let store_in = |registry: &Registry| named.and_then(|id| registry.store_by_id(id).cloned());
    let mut registry = hub.registry();
    if registry.link_key.is_none() || store_in(&registry).is_none() {
        registry = hub.registry_before_refusing().await?;
    }
    let store = store_in(&registry);
    let expires = fields.get("expires").parse::<i64>().unwrap_or(0);
    let origin = fields.get("origin");
    let signature = hex::decode(fields.get("signature")).unwrap_or_default();
    let signer = store.as_ref().and_then(|store| {
        signer(
            registry.link_key.as_deref()?,
            store.store.id,
            &object,
            expires,
            origin,
        )
    });
    let (Some(store), Some(signer)) = (store, signer) else {
        return refused("'none'", "This link is not one of this hub's.");
    };
    if signer.verify_slice(&signature).is_err() {
        return refused("'none'", "This link is not one of this hub's.");
    }
    let now = hub.now();
    if now.seconds() >= expires {
        return refused(
            origin,
            "This view has expired. Reload the order's page, and it is made anew.",
        );
    }
    let timeline = hub
        .backend()
        .timeline(store.store.key, object.clone(), None, ENTRIES)
        .await?;
    let title = title_of(&object);
    let body = html! {
        div .story data-refresh="4" {
            h1 .unseen { (Foreign(&title)) }
            (told(&store, &object, &timeline, Viewer::Frame, now))
            p .meta { span #live data-state="still" { "As of " (crate::web::console::html::clock(now)) } " UTC" }
        }
    };
    Ok(answer_under(
        StatusCode::OK,
        bare_page(&title, Some("embedded"), body),
        &embed_policy(origin),
    ))
}

/// `POST /api/stores/:id/objects/:type/:token/link` with `{"origin":"https://shop.example","expires_in":900}`: 201 `{"url","expires_at"}`.
pub async fn make_link(
    call: InStore<Read>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let mut fields = ApiFields::read(body.json()?, "", &[]);
    let origin = fields.text("origin").value();
    let seconds = fields
        .count("expires_in", LONGEST_TIME)
        .value()
        .map_or(USUAL_TIME, |seconds| Duration::from_secs(seconds.into()));
    let checked = origin.as_deref().and_then(origin_of);
    if checked.is_none() {
        fields.note(
            "origin",
            "must be the shop's origin, such as https://shop.example",
        );
    }
    let part = |name: &str| request.match_info().query(name).to_owned();
    let object = ObjectRef::new(&part("type"), &part("token"));
    if let Err(error) = &object {
        fields.note("object", error);
    }
    fields.finish("link")?;
    let (Some(origin), Ok(object)) = (checked, object) else {
        return Err(ApiError::not_found("object"));
    };
    let key = link_key(call.hub()).await?;
    let at = call.hub().now().plus(seconds);
    let store = call.store.store.id;
    let signature = signature_of(&key, store, &object, at.seconds(), &origin)
        .ok_or_else(|| ApiError::internal(&"the key of links is damaged"))?;
    let base = match &call.hub().config().server.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => {
            let info = request.connection_info();
            format!("{}://{}", info.scheme(), info.host())
        }
    };
    let path = format!(
        "{base}/embed/objects/{}/{}",
        links::part(object.kind()),
        links::part(object.token())
    );
    let url = links::with(
        &path,
        &[
            ("store", &store.to_string()),
            ("expires", &at.seconds().to_string()),
            ("origin", &origin),
            ("signature", &signature),
        ],
    );
    Ok(HttpResponse::Created()
        .json(json!({ "url": url, "expires_at": Micros(at.seconds() * 1_000_000) })))
}

/// The key that signs links, made the first time it is needed.
async fn link_key(hub: &Hub) -> Result<String, ApiError> {
    if let Some(key) = &hub.registry().link_key {
        return Ok(key.clone());
    }
    let key = hex::encode(rand::random::<[u8; 32]>());
    let change = EntityChange::Create {
        store: None,
        subject: None,
        entity: Entity::LinkKey { key: key.clone() },
    };
    match hub.change_registry(vec![change]).await {
        Ok(_) => Ok(key),
        // Somebody else was first.
        Err(crate::db::DbError::Taken { .. }) => hub
            .newest_registry()
            .await
            .link_key
            .clone()
            .ok_or_else(|| ApiError::internal(&"the key of links is missing")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_origin_may_frame() {
        assert_eq!(
            origin_of("https://shop.example/").as_deref(),
            Some("https://shop.example")
        );
        assert_eq!(
            origin_of("http://localhost:3000").as_deref(),
            Some("http://localhost:3000")
        );
        for text in [
            "*",
            "https://*",
            "https://*.shop.example",
            "https://a b",
            "javascript:alert(1)",
            "https://shop.example/admin",
            "https://u:p@shop.example",
            "'self'",
            "https://shop.example; script-src *",
        ] {
            assert_eq!(origin_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_signature_covers_everything_in_a_link() {
        let key = "ab".repeat(32);
        let id: Id = "5f0000000000000000000001".parse().expect("an id");
        let other: Id = "5f0000000000000000000002".parse().expect("an id");
        let order = ObjectRef::new("order", "R1").expect("an object");
        let second = ObjectRef::new("order", "R2").expect("an object");
        let all = [
            signature_of(&key, id, &order, 10, "https://a"),
            signature_of(&key, other, &order, 10, "https://a"),
            signature_of(&key, id, &second, 10, "https://a"),
            signature_of(&key, id, &order, 11, "https://a"),
            signature_of(&key, id, &order, 10, "https://b"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(one.is_some() && all.iter().skip(at + 1).all(|other| other != one));
        }
    }
}

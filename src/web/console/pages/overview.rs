//! The overview: what needs a person, how much waits where, how fast it flows, who is well.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::{
    actors::{BreakerState, DispatcherState, EndpointState},
    db::QueueStats,
    domain::{id::Id, registry::StoreSnapshot, time::Micros},
    web::console::{
        ConsoleState,
        html::{Foreign, Frame, Mark, Notice, Series, When, chart},
        links, ok,
        people::{Fields, Person, Refusal},
    },
};

use super::{
    endpoints::{endpoint_name, health},
    pulse::Pulse,
    queues::count_words,
};

/// Stores whose troubles are gathered; a hub with more shows the first by name and says so.
const STORES: usize = 200;

struct Seen {
    store: Arc<StoreSnapshot>,
    stats: QueueStats,
    endpoints: Vec<EndpointState>,
}

/// `GET /console`
pub async fn page(
    person: Person,
    state: web::Data<ConsoleState>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let mut seen = Vec::new();
    for store in person.stores().into_iter().take(STORES) {
        let stats = person.hub.backend().queue_stats(store.store.key).await?;
        let endpoints = person.hub.endpoint_states(store.store.key).await;
        seen.push(Seen {
            store,
            stats,
            endpoints,
        });
    }
    let chosen = match fields.some("store") {
        Some(id) => Some(person.store(Some(id))?),
        None => seen.first().map(|first| Arc::clone(&first.store)),
    };
    let body = match &chosen {
        None => first_steps(&person, None),
        Some(store) => {
            let shown = seen
                .iter()
                .find(|seen| seen.store.store.key == store.store.key);
            let day = fields.get("span") == "day";
            html! {
                h1 .unseen { "Overview" }
                section #needs data-region="" { (needs(&seen)) }
                @if let Some(shown) = shown {
                    section #flow data-region="" aria-label="Queues" { (flow(shown)) }
                    @if store.mappings.is_empty() || everything(&shown.stats) == 0 { (first_steps(&person, Some(store))) }
                    section .panel #rates data-region="" { (rates(&state.pulse, store.store.id, day, person.now)) }
                    section .panel #health data-region="" { (endpoint_table(shown, person.now)) }
                }
                @if seen.len() > 1 { section .panel #stores data-region="" { (store_table(&seen)) } }
            }
        }
    };
    let frame = Frame {
        title: "Overview",
        person: &person,
        store: chosen.as_deref(),
        place: "",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

fn everything(stats: &QueueStats) -> u64 {
    stats.incoming + stats.pending + stats.failing + stats.scheduled + stats.parked + stats.archived
}

fn needs(seen: &[Seen]) -> Markup {
    let mut troubles: Vec<Markup> = Vec::new();
    for Seen {
        store,
        stats,
        endpoints,
    } in seen
    {
        let id = store.store.id;
        let at = html! { @if seen.len() > 1 { " in " (Foreign(&store.store.value.name)) } };
        if stats.parked > 0 {
            troubles.push(html! { span .s-parked { (Mark::Parked.shape()) } span { a href=(links::queue(id, "accepted", &[("state", "parked")])) { strong { (count_words(stats.parked)) " parked" } } (at) ": each waits for a person" } });
        }
        for endpoint in endpoints {
            let name = endpoint_name(store, endpoint.endpoint);
            let link = html! { a href=(format!("/console/endpoints?store={id}#e{}", endpoint.endpoint)) { (Foreign(&name)) } };
            if endpoint.breaker == BreakerState::Open
                || endpoint.state == DispatcherState::BreakerOpen
            {
                troubles.push(html! { span .s-parked { (Mark::Held.shape()) } span { (link) (at) " answers nobody; deliveries are held, no try is spent" } });
            } else if endpoint.state == DispatcherState::Paused {
                troubles.push(html! { span .s-failing { (Mark::Held.shape()) } span { (link) (at) " is paused by a person" } });
            }
            if endpoint.restarts > 0 {
                troubles.push(html! { span .s-failing { (Mark::Failing.shape()) } span { "The dispatcher of " (link) (at) " was restarted " (endpoint.restarts) @if endpoint.restarts == 1 { " time" } @else { " times" } } });
            }
        }
    }
    html! {
        @if troubles.is_empty() {
            div .notice .good { span .s-done { (Mark::Completed.shape()) } p { "Nothing needs a person." } }
        } @else {
            div .notice .bad { ul .needs { @for trouble in troubles.iter().take(20) { li { (trouble) } } @if troubles.len() > 20 { li { "and " (troubles.len() - 20) " more" } } } }
        }
    }
}

fn flow(seen: &Seen) -> Markup {
    let Seen { store, stats, .. } = seen;
    let places = [
        (Mark::Incoming, stats.incoming, "incoming", ""),
        (Mark::Pending, stats.pending, "accepted", "pending"),
        (Mark::Failing, stats.failing, "accepted", "failing"),
        (Mark::Scheduled, stats.scheduled, "accepted", "scheduled"),
        (Mark::Parked, stats.parked, "accepted", "parked"),
        (Mark::Completed, stats.archived, "archived", ""),
    ];
    html! {
        ul .flow {
            @for (mark, count, queue, state) in places {
                @let exception = count > 0 && matches!(mark, Mark::Parked | Mark::Failing);
                li { a .zero[count == 0] href=(links::queue(store.store.id, queue, &[("state", state)])) {
                    span .state .(if exception { mark.class() } else { "muted" }) { (mark.shape()) @if queue == "archived" { "Archived" } @else { (mark.word()) } }
                    strong { (count_words(count)) }
                } }
            }
        }
    }
}

fn rates(pulse: &Pulse, store: Id, day: bool, now: Micros) -> Markup {
    let (points, minutes, span) = if day {
        (96, 15, "last 24 hours")
    } else {
        (60, 1, "last hour")
    };
    let rates = pulse.rates(points, minutes, now);
    html! {
        div .head {
            h2 { "Flow" }
            span {
                a href=(format!("/console?store={store}")) aria-current=[(!day).then_some("true")] { "1 h" } " "
                a href=(format!("/console?store={store}&span=day")) aria-current=[day.then_some("true")] { "24 h" }
            }
        }
        div .charts {
            (chart(&Series { name: "Accepted per minute, all stores", points: &rates.accepted, unit: "/min", span }))
            (chart(&Series { name: "Delivered per minute, all stores", points: &rates.delivered, unit: "/min", span }))
        }
        p .meta { "Counted since this process started; what was before is a gap." }
    }
}

fn endpoint_table(seen: &Seen, now: Micros) -> Markup {
    let id = seen.store.store.id;
    html! {
        div .head { h2 { "Endpoints" } a href=(format!("/console/endpoints?store={id}")) { "All about them" } }
        @if seen.endpoints.is_empty() {
            p .muted { "No application is connected to this store yet. " a href=(format!("/console/mappings/new?store={id}")) { "Register one" } }
        } @else {
            table .cards {
                thead { tr { th scope="col" { "Endpoint" } th scope="col" { "Health" } th .number scope="col" { "In flight" } th .number scope="col" { "Completed" } th .number scope="col" { "Failed" } th scope="col" { "Last delivery" } } }
                tbody { @for endpoint in seen.endpoints.iter().take(50) { tr {
                    td { a href=(format!("/console/endpoints?store={id}#e{}", endpoint.endpoint)) { (Foreign(&endpoint_name(&seen.store, endpoint.endpoint))) } }
                    td { (health(endpoint)) }
                    td .number data-label="in flight" { (endpoint.in_flight) }
                    td .number data-label="completed" { (count_words(endpoint.completed)) }
                    td .number data-label="failed" { (count_words(endpoint.failed)) }
                    td data-label="last delivery" { @match endpoint.last_completed_at { Some(at) => { (When { at, now }) } None => { "-" } } }
                } } }
            }
        }
    }
}

fn store_table(seen: &[Seen]) -> Markup {
    html! {
        h2 { "Stores" }
        table .cards {
            thead { tr { th scope="col" { "Store" } th .number scope="col" { "Waiting" } th .number scope="col" { "Failing" } th .number scope="col" { "Parked" } th .number scope="col" { "Archived" } } }
            tbody { @for Seen { store, stats, .. } in seen { tr {
                td { a href=(format!("/console?store={}", store.store.id)) { (Foreign(&store.store.value.name)) } }
                td .number data-label="waiting" { (count_words(stats.incoming + stats.pending + stats.scheduled)) }
                td .number data-label="failing" { (count_words(stats.failing)) }
                td .number data-label="parked" { (count_words(stats.parked)) }
                td .number data-label="archived" { (count_words(stats.archived)) }
            } } }
        }
        @if seen.len() == STORES { p .meta { "The first " (STORES) " stores by name." } }
    }
}

fn first_steps(person: &Person, store: Option<&Arc<StoreSnapshot>>) -> Markup {
    let id = store
        .map(|store| store.store.id.to_string())
        .unwrap_or_default();
    let mapped = store.is_some_and(|store| !store.mappings.is_empty());
    html! {
        section .panel {
            h2 { "First steps" }
            ol .first-steps {
                li .is-done[store.is_some()] { div { strong { "Add a store" } p .muted { "The shop whose orders travel. It gets a token to push with." } @if store.is_none() { @if person.is_operator() { a .button .main href="/console/stores" { "Add a store" } } @else { p { "An operator adds stores." } } } } }
                li .is-done[mapped] { div { strong { "Register an application" } p .muted { "Which messages go to which address: a mapping." } @if store.is_some() && !mapped { a .button .main href=(format!("/console/mappings/new?store={id}")) { "Register an application" } } } }
                li { div { strong { "Push a test message" } p .muted { "Watch it come in, find its way, and be answered." } @if mapped { a .button .main href=(format!("/console/test?store={id}")) { "Push a test message" } } } }
            }
        }
    }
}

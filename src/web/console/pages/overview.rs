//! The overview: what needs a person, how much waits where, how fast it flows, who is well.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};

use crate::{
    actors::{BreakerState, DispatcherState, EndpointState},
    db::{NodeRow, Pulse, PulseState, QueueStats},
    domain::{id::Id, registry::StoreSnapshot, time::Micros},
    web::console::{
        ConsoleState,
        html::{Foreign, Frame, Mark, Notice, Series, When, chart, span_words},
        links, ok,
        people::{Fields, Person, Refusal},
    },
};

use super::{
    endpoints::{backlog_of, endpoint_name, health, p95_words, waiting_words},
    pulse,
    queues::count_words,
    stores::{pulse_mark, pulse_of},
};

/// Stores whose troubles are gathered; a hub with more shows the first by name and says so.
const STORES: usize = 200;

struct Seen {
    store: Arc<StoreSnapshot>,
    stats: QueueStats,
    endpoints: Vec<EndpointState>,
    /// The heartbeat of its shop; `None` for one that is push only.
    pulse: Option<Pulse>,
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
        let pulse = pulse_of(&person, &store).await?;
        seen.push(Seen {
            store,
            stats,
            endpoints,
            pulse,
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
                section #needs data-region="" { (needs(&person, &seen)) }
                @if let Some(shown) = shown {
                    section #flow data-region="" aria-label="Queues" { (flow(shown)) }
                    @if store.mappings.is_empty() || everything(&shown.stats) == 0 { (first_steps(&person, Some(store))) }
                    section .panel #rates data-region="" { (rates(&state.pulse, store.store.id, day, person.now)) }
                    section .panel #health data-region="" { (endpoint_table(&person, shown).await?) }
                }
                @if person.is_operator() && !person.hub.is_alone() { section .panel #nodes data-region="" { (node_table(&person.hub.nodes().await?)) } }
                @if seen.len() > 1 || seen.iter().any(|seen| seen.pulse.is_some()) { section .panel #stores data-region="" { (store_table(&seen, person.now)) } }
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

fn needs(person: &Person, seen: &[Seen]) -> Markup {
    let mut troubles: Vec<Markup> = Vec::new();
    // Offices of the node itself are an operator's business.
    for (office, times) in person.hub.restarts() {
        if times > 0 && person.is_operator() {
            troubles.push(html! { span .s-failing { (Mark::Failing.shape()) } span { "The hub's " (office) " was restarted " (times_words(times)) ": its log says why" } });
        }
    }
    for Seen {
        store,
        stats,
        endpoints,
        pulse,
    } in seen
    {
        let id = store.store.id;
        let at = html! { @if seen.len() > 1 { " in " (Foreign(&store.store.value.name)) } };
        if stats.parked > 0 {
            troubles.push(html! { span .s-parked { (Mark::Parked.shape()) } span { a href=(links::queue(id, "accepted", &[("state", "parked")])) { strong { (count_words(stats.parked)) " parked" } } (at) ": each waits for a person" } });
        }
        if let Some(pulse) = pulse
            .as_ref()
            .filter(|pulse| pulse.state == PulseState::Down)
        {
            troubles.push(html! { span .s-parked { (Mark::Parked.shape()) } span { "The shop " a href=(format!("/console/stores/{id}")) { (Foreign(&store.store.value.name)) } " does not answer" @if let Some(since) = pulse.since { " since " (When { at: since, now: person.now }) } @if let Some(error) = &pulse.last_error { span .meta { (Foreign(error)) } } } });
        }
        for endpoint in endpoints {
            let name = endpoint_name(store, endpoint.endpoint);
            let link = html! { a href=(format!("/console/endpoints?store={id}#e{}", endpoint.endpoint)) { (Foreign(&name)) } };
            if endpoint.breaker == BreakerState::Open
                || endpoint.state == DispatcherState::BreakerOpen
            {
                troubles.push(html! { span .s-parked { (Mark::Held.shape()) } span { (link) (at) " answers nobody; deliveries are held, no try is spent" @if let Some(until) = endpoint.paused_until { ". It is tried again " (When { at: until, now: person.now }) } } });
            } else if endpoint.state == DispatcherState::Paused {
                troubles.push(html! { span .s-failing { (Mark::Held.shape()) } span { (link) (at) " is paused by a person" } });
            }
            if endpoint.restarts > 0 {
                troubles.push(html! { span .s-failing { (Mark::Failing.shape()) } span { "The dispatcher of " (link) (at) " was restarted " (times_words(endpoint.restarts)) } });
            }
        }
        for entry in store
            .integrations
            .values()
            .filter(|entry| !entry.value.error_messages.is_empty())
        {
            troubles.push(html! { span .s-failing { (Mark::Failing.shape()) } span { "The description of " a href=(format!("/console/integrations/{}?store={id}", entry.id)) { (Foreign(&entry.value.name)) } (at) " cannot be used" } });
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

fn times_words(times: u32) -> String {
    match times {
        1 => "once".into(),
        times => format!("{times} times"),
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

fn rates(pulse: &pulse::Pulse, store: Id, day: bool, now: Micros) -> Markup {
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

/// Endpoints of the overview, those in trouble first.
const ENDPOINTS: usize = 50;

async fn endpoint_table(person: &Person, seen: &Seen) -> Result<Markup, Refusal> {
    let (id, now) = (seen.store.store.id, person.now);
    let is_well = |endpoint: &EndpointState| {
        endpoint.breaker == BreakerState::Closed
            && endpoint.last_failed_at <= endpoint.last_completed_at
    };
    let mut endpoints: Vec<&EndpointState> = seen.endpoints.iter().collect();
    endpoints.sort_by_key(|endpoint| is_well(endpoint));
    let mut rows = Vec::new();
    let mut oldest: Option<Micros> = None;
    for endpoint in endpoints.into_iter().take(ENDPOINTS) {
        let backlog = backlog_of(person, endpoint).await?;
        oldest = match (oldest, backlog.oldest_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        rows.push((endpoint, backlog));
    }
    Ok(html! {
        div .head { h2 { "Endpoints" } a href=(format!("/console/endpoints?store={id}")) { "All about them" } }
        @if rows.is_empty() {
            p .muted { "No application is connected to this store yet. " a href=(format!("/console/integrations/new?store={id}")) { "Connect one" } }
        } @else {
            @match oldest {
                Some(at) => { p { "The oldest delivery that waits was accepted " (When { at, now }) "." } }
                None => { p .muted { "Nothing waits for any of them." } }
            }
            table .cards {
                thead { tr { th scope="col" { "Endpoint" } th scope="col" { "Health" } th .number scope="col" { "Waiting" } th scope="col" { "Oldest" } th .number scope="col" { "p95" } th .number scope="col" { "Completed" } th .number scope="col" { "Failed" } th scope="col" { "Last delivery" } } }
                tbody { @for (endpoint, backlog) in &rows { tr {
                    td { a href=(format!("/console/endpoints?store={id}#e{}", endpoint.endpoint)) { (Foreign(&endpoint_name(&seen.store, endpoint.endpoint))) } }
                    td { (health(endpoint)) }
                    td .number data-label="waiting" { (waiting_words(backlog)) }
                    td data-label="oldest" { @match backlog.oldest_at { Some(at) => { (When { at, now }) } None => { "-" } } }
                    td .number data-label="p95" { (p95_words(endpoint)) }
                    td .number data-label="completed" { (count_words(endpoint.completed)) }
                    td .number data-label="failed" { (count_words(endpoint.failed)) }
                    td data-label="last delivery" { @match endpoint.last_completed_at { Some(at) => { (When { at, now }) } None => { "-" } } }
                } } }
            }
            p .meta { "p95: 95 of 100 of the last attempts were answered within this time." @if seen.endpoints.len() > ENDPOINTS { " The first " (ENDPOINTS) ", those in trouble before the others." } }
        }
    })
}

fn node_table(nodes: &[NodeRow]) -> Markup {
    html! {
        div .head { h2 { "Nodes" } }
        table .cards {
            thead { tr { th scope="col" { "Node" } th scope="col" { "Heartbeat" } th .number scope="col" { "Routing shards" } th .number scope="col" { "Endpoints" } th .number scope="col" { "Shops" } th .number scope="col" { "Schedules" } } }
            tbody { @for node in nodes { tr {
                td { (Foreign(&node.name)) @if node.is_own { " " span .meta { "answers here" } } }
                td data-label="heartbeat" { @if node.lives { span .s-done { (Mark::Completed.shape()) } " lives" } @else { span .s-failing { (Mark::Failing.shape()) } " silent for " (span_words(node.silent)) } }
                td .number data-label="routing shards" { (node.share.routing_shards) }
                td .number data-label="endpoints" { (node.share.dispatchers) }
                td .number data-label="shops" { (node.share.pollers) }
                td .number data-label="schedules" { (node.share.schedules) }
            } } }
        }
        p .meta { "What each serves of what only one may do. Others take over what a silent node owned within seconds; it is shown for a day." }
    }
}

fn store_table(seen: &[Seen], now: Micros) -> Markup {
    html! {
        div .head { h2 { "Stores" } a href="/console/stores" { "All about them" } }
        table .cards {
            thead { tr { th scope="col" { "Store" } th scope="col" { "Pulse" } th scope="col" { "Last answer" } th .number scope="col" { "Waiting" } th .number scope="col" { "Failing" } th .number scope="col" { "Parked" } th .number scope="col" { "Archived" } } }
            tbody { @for Seen { store, stats, pulse, .. } in seen { tr {
                td { a href=(format!("/console?store={}", store.store.id)) { (Foreign(&store.store.value.name)) } }
                td { @match pulse { Some(pulse) => { (pulse_mark(Some(pulse))) } None => { span .muted { "push only" } } } }
                td data-label="last answer" { @match pulse.as_ref().and_then(|pulse| pulse.last_success_at) { Some(at) => { (When { at, now }) } None => { "-" } } }
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
                li .is-done[store.is_some()] { div { strong { "Add a store" } p .muted { "The shop whose orders travel. It gets a token to push with." } @if store.is_none() { @if person.is_operator() { a .button .main href="/console/stores/new" { "Add a store" } } @else { p { "An operator adds stores." } } } } }
                li .is-done[mapped] { div { strong { "Register an application" } p .muted { "Connect one that describes itself, by its address; or register a single service: which messages go to which address." } @if store.is_some() && !mapped { div .actions { a .button .main href=(format!("/console/integrations/new?store={id}")) { "Connect an application" } a .button href=(format!("/console/mappings/new?store={id}")) { "Register an application" } } } } }
                li { div { strong { "Push a test message" } p .muted { "Watch it come in, find its way, and be answered." } @if mapped { a .button .main href=(format!("/console/test?store={id}")) { "Push a test message" } } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::db::NodeShare;

    #[test]
    fn a_node_that_says_nothing_is_told_from_one_that_lives() {
        let node = |name: &str, lives| NodeRow {
            name: name.into(),
            is_own: lives,
            lives,
            silent: Duration::from_secs(if lives { 1 } else { 90 }),
            share: NodeShare {
                routing_shards: 64,
                ..NodeShare::default()
            },
        };
        let page = node_table(&[node("one, pid 1", true), node("two, pid 2", false)]).into_string();
        let (living, silent) = page.split_once("two, pid 2").unwrap();
        assert!(living.contains("answers here") && living.contains(" lives"));
        assert!(silent.contains("silent for 1 min") && !silent.contains(" lives"));
    }
}

//! Schedulers: what is pushed at an interval or by the calendar, with its last and its next runs.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use maud::{Markup, html};
use serde_json::{Map, Value, value::to_raw_value};

use crate::{
    db::{EntityChange, ScheduleRun},
    domain::{
        id::Id,
        key::SchedulerKey,
        registry::{Entity, Entry, StoreSnapshot},
        schedule::{Due, Interval, Schedule},
        scheduler::Scheduler,
        time::Micros,
    },
    web::{
        api::schedulers::read,
        console::{
            audit, go_to,
            html::{
                Foreign, Frame, Mark, Notice, Problems, When, check_box, delete_fold, hidden,
                select_field, text_area, text_field,
            },
            links, ok,
            people::{Fields, Person, Post, Refusal},
        },
        fields,
    },
};

use super::mapping_form::problems_of;

/// Next runs that a row shows, and a preview.
const NEXT: usize = 3;
const PREVIEWED: usize = 5;

type Stored = Entry<SchedulerKey, Scheduler>;

fn address(store: &StoreSnapshot, id: Id) -> String {
    format!("/console/schedulers/{id}?store={}", store.store.id)
}

fn find(store: &StoreSnapshot, id: &str) -> Result<Stored, Refusal> {
    let id: Id = id.parse().map_err(|_| Refusal::Missing("scheduler"))?;
    let mut entries = store.schedulers.values();
    entries
        .find(|entry| entry.id == id)
        .cloned()
        .ok_or(Refusal::Missing("scheduler"))
}

async fn runs(person: &Person) -> Result<HashMap<SchedulerKey, ScheduleRun>, Refusal> {
    let runs = person.hub.backend().schedule_runs().await?;
    Ok(runs.into_iter().map(|run| (run.scheduler, run)).collect())
}

/// The next runs; none when it is off.
fn next_runs(own: &Scheduler, run: Option<&ScheduleRun>, now: Micros, count: usize) -> Vec<Micros> {
    if !own.enabled {
        return Vec::new();
    }
    match own.schedule.due(own.anchor, run.map(|run| run.tick), now) {
        Due::NotYet { next: None } => Vec::new(),
        Due::NotYet { next: Some(next) } => std::iter::once(next)
            .chain(
                own.schedule
                    .next_runs(own.anchor, next, count.saturating_sub(1)),
            )
            .collect(),
        Due::Now { .. } => std::iter::once(now)
            .chain(
                own.schedule
                    .next_runs(own.anchor, now, count.saturating_sub(1)),
            )
            .collect(),
    }
}

fn state_of(own: &Scheduler) -> Markup {
    html! { @if own.enabled { span .state .s-done { (Mark::Completed.shape()) "On" } } @else { span .state .s-held { (Mark::Held.shape()) "Off" } } }
}

/// `GET /console/schedulers`
pub async fn list(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let runs = runs(&person).await?;
    let new = format!("/console/schedulers/new?store={}", store.store.id);
    let may = person.changes(store.store.key);
    let body = html! {
        div .head { h1 { "Schedulers" } @if may && !store.schedulers.is_empty() { a .button .main href=(new) { "Add a scheduler" } } }
        div #schedulers data-region="" {
            @if store.schedulers.is_empty() { div .panel .empty { p { "None yet. A scheduler pushes a message at an interval or by the calendar: " code { "acme:poll" } " every 5 minutes has an application asked for news." } @if may { a .button .main href=(new) { "Add a scheduler" } } } }
            @else { (table(&store, &runs, person.now)) }
        }
    };
    let frame = Frame {
        title: "Schedulers",
        person: &person,
        store: Some(&store),
        place: "/schedulers",
        notice: Notice::of(fields.get("notice")),
        live: true,
    };
    Ok(ok(frame.around(body)))
}

fn table(store: &StoreSnapshot, runs: &HashMap<SchedulerKey, ScheduleRun>, now: Micros) -> Markup {
    html! {
        table .cards {
            thead { tr { th scope="col" { "Pushes" } th scope="col" { "When" } th scope="col" { "State" } th scope="col" { "Last run" } th scope="col" { "Next runs" } } }
            tbody { @for entry in store.schedulers.values() {
                @let run = runs.get(&entry.key);
                tr {
                    td { a href=(address(store, entry.id)) { (Foreign(entry.value.key.as_str())) } }
                    td { (Foreign(&entry.value.schedule.describe())) }
                    td { (state_of(&entry.value)) }
                    td data-label="last run" { (last_run(run, now)) }
                    td data-label="next runs" { (next_list(&next_runs(&entry.value, run, now, NEXT), now)) }
                }
            } }
        }
    }
}

fn last_run(run: Option<&ScheduleRun>, now: Micros) -> Markup {
    html! { @match run {
        Some(run) => { (When { at: run.ran_at, now }) @if run.missed > 0 { span .meta { (run.missed) " earlier ones were missed and not made up for" } } }
        None => { "-" }
    } }
}

fn next_list(next: &[Micros], now: Micros) -> Markup {
    html! { @if next.is_empty() { "-" } @for at in next { div { (When { at: *at, now }) } } }
}

/// `GET /console/schedulers/new`
pub async fn new(person: Person, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    person.admin(store.store.key)?;
    let on = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let typed = Fields(vec![
        on("key", fields.get("key")),
        on("how", "interval"),
        on("count", "5"),
        on("interval", "minutes"),
        on("enabled", "true"),
    ]);
    Ok(edit_page(
        &person,
        &store,
        None,
        &typed,
        &Problems::default(),
        &html! {},
        None,
    ))
}

/// `POST /console/schedulers/new`
pub async fn create(post: Post, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    save(post, &request, None).await
}

/// `GET /console/schedulers/:id`
pub async fn page(
    person: Person,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let entry = find(&store, &place)?;
    let runs = runs(&person).await?;
    let (run, now) = (runs.get(&entry.key), person.now);
    let times = html! {
        div #times data-region="" { dl .facts {
            dt { "When" } dd { (Foreign(&entry.value.schedule.describe())) }
            dt { "Last run" } dd { (last_run(run, now)) }
            dt { "Next runs" } dd { (next_list(&next_runs(&entry.value, run, now, PREVIEWED), now)) }
        } }
    };
    let typed = stored_as_fields(&entry.value);
    let notice = Notice::of(fields.get("notice"));
    Ok(edit_page(
        &person,
        &store,
        Some(&entry),
        &typed,
        &Problems::default(),
        &times,
        notice,
    ))
}

/// `POST /console/schedulers/:id` with `action=save`, `try` or `delete`.
pub async fn act(
    post: Post,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let store = post
        .person
        .store(Fields::read(request.query_string()).some("store"))?;
    let entry = find(&store, &place)?;
    if post.fields.get("action") != "delete" {
        return save(post, &request, Some(entry)).await;
    }
    let Post { person, fields } = post;
    person.admin(store.store.key)?;
    if fields.get("confirm") != entry.value.key.as_str() {
        let mut problems = Problems::default();
        problems.add(
            "confirm",
            "This is not what it pushes. Nothing was deleted.",
        );
        let typed = stored_as_fields(&entry.value);
        return Ok(edit_page(
            &person,
            &store,
            Some(&entry),
            &typed,
            &problems,
            &html! {},
            None,
        ));
    }
    audit::change(&person, vec![EntityChange::Delete { key: entry.key.0 }]).await?;
    let list = format!("/console/schedulers?store={}", store.store.id);
    Ok(go_to(&links::noticed(&list, "deleted")))
}

fn stored_as_fields(own: &Scheduler) -> Fields {
    let mut pairs = vec![("key".to_owned(), own.key.to_string())];
    let mut on = |name: &str, value: String| pairs.push((name.to_owned(), value));
    match &own.schedule {
        Schedule::Every { count, interval } => {
            on("how", "interval".into());
            on("count", count.to_string());
            on("interval", interval.word().into());
        }
        Schedule::Cron(cron) => {
            on("how", "cron".into());
            on("cron", cron.text().into());
            on("time_zone", cron.zone().into());
        }
    }
    on("payload", own.payload.clone().unwrap_or_default());
    if own.enabled {
        on("enabled", "true".into());
    }
    Fields(pairs)
}

/// What a form's fields mean as a body of the API.
fn body_of(fields: &Fields) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("key".into(), Value::from(fields.get("key")));
    let names: &[&str] = if fields.get("how") == "cron" {
        &["cron", "time_zone"]
    } else {
        &["count", "interval"]
    };
    for name in names {
        body.insert((*name).to_owned(), Value::from(fields.get(name)));
    }
    let payload = fields.some("payload").map_or(Value::Null, Value::from);
    body.insert("payload".into(), payload);
    body.insert(
        "enabled".into(),
        Value::from(fields.some("enabled").is_some()),
    );
    body
}

async fn save(
    post: Post,
    request: &HttpRequest,
    entry: Option<Stored>,
) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let store = person.store(Fields::read(request.query_string()).some("store"))?;
    person.admin(store.store.key)?;
    let raw = to_raw_value(&body_of(&fields)).map_err(|error| Refusal::failed(&error, false))?;
    let mut reader = fields::Fields::read(&raw, "", &[]);
    let stored = entry.as_ref().map(|entry| &entry.value);
    let scheduler = read(&mut reader, stored, person.now);
    let scheduler = match (reader.finish("scheduler"), scheduler) {
        (Ok(()), Some(scheduler)) => scheduler,
        (Ok(()), None) => {
            return Err(Refusal::failed(
                &"a scheduler without faults could not be read",
                false,
            ));
        }
        (Err(error), _) => {
            let problems = problems_of(&error);
            return Ok(edit_page(
                &person,
                &store,
                entry.as_ref(),
                &fields,
                &problems,
                &html! {},
                None,
            ));
        }
    };
    if fields.get("action") == "try" {
        let next = scheduler
            .schedule
            .next_runs(person.now, person.now, PREVIEWED);
        let tried = html! { div .notice role="status" { div { p { strong { "It would run: " (Foreign(&scheduler.schedule.describe())) } ". Saved now, the next runs are:" } (next_list(&next, person.now)) } } };
        return Ok(edit_page(
            &person,
            &store,
            entry.as_ref(),
            &fields,
            &Problems::default(),
            &tried,
            None,
        ));
    }
    let entity = Entity::Scheduler(scheduler);
    let change = match &entry {
        Some(entry) => EntityChange::Replace {
            key: entry.key.0,
            entity,
        },
        None => EntityChange::Create {
            store: Some(store.store.key),
            subject: None,
            entity,
        },
    };
    let delta = audit::change(&person, vec![change]).await?;
    let id = delta.rows.first().map(|row| row.id);
    let back = id.map_or_else(
        || format!("/console/schedulers?store={}", store.store.id),
        |id| address(&store, id),
    );
    let said = if entry.is_some() { "saved" } else { "created" };
    Ok(go_to(&links::noticed(&back, said)))
}

fn edit_page(
    person: &Person,
    store: &StoreSnapshot,
    entry: Option<&Stored>,
    typed: &Fields,
    problems: &Problems,
    top: &Markup,
    notice: Option<Notice>,
) -> HttpResponse {
    let may = person.changes(store.store.key);
    let action = entry.map_or_else(
        || format!("/console/schedulers/new?store={}", store.store.id),
        |entry| address(store, entry.id),
    );
    let title = entry.map_or("Add a scheduler", |entry| entry.value.key.as_str());
    let body = html! {
        p .crumbs { a href=(format!("/console/schedulers?store={}", store.store.id)) { "Schedulers" } }
        div .head { h1 { (Foreign(title)) } @if let Some(entry) = entry { (state_of(&entry.value)) } }
        (top)
        @if may {
            section .panel { (form(person, &action, typed, problems)) }
            @if let Some(entry) = entry { (delete_fold(&action, &person.form_token, entry.value.key.as_str(), "Nothing is pushed any more. What was pushed stays.", problems)) }
        } @else { p .muted { "You may look, not change." } }
    };
    ok(Frame {
        title,
        person,
        store: Some(store),
        place: "/schedulers",
        notice,
        live: entry.is_some(),
    }
    .around(body))
}

fn form(person: &Person, action: &str, typed: &Fields, problems: &Problems) -> Markup {
    let cron = typed.get("how") == "cron";
    let words = Interval::ALL.map(|interval| (interval.word(), interval.word()));
    html! {
        form method="post" action=(action) {
            (problems.summary()) (hidden("form_token", &person.form_token))
            (text_field("key", "Pushes", "text", typed.get("key"), "A message type, such as acme:poll.", problems))
            fieldset { legend { "When" }
                label .check { input type="radio" name="how" value="interval" checked[!cron]; span { "At an interval" } }
                div .bound data-needs="how=interval" { div .pair {
                    (text_field("count", "Every", "number", typed.get("count"), "", problems))
                    (select_field("interval", "Unit", words, typed.some("interval").unwrap_or("minutes"), "", problems))
                } }
                label .check { input type="radio" name="how" value="cron" checked[cron]; span { "By the calendar" } }
                div .bound data-needs="how=cron" { div .pair {
                    (text_field("cron", "Cron expression", "text", typed.get("cron"), "Minute, hour, day, month, weekday: 30 6 * * 1-5 is 6:30 on working days.", problems))
                    (text_field("time_zone", "Time zone", "text", typed.get("time_zone"), "Such as Europe/Berlin. Empty: UTC.", problems))
                } }
            }
            (text_area("payload", "Payload", 3, typed.raw("payload"), "A JSON object. Empty: {}.", problems))
            (check_box("enabled", "true", "On", typed.some("enabled").is_some()))
            div .actions { button .main name="action" value="save" { "Save" } button name="action" value="try" { "When would it run?" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(own: &Scheduler) -> Scheduler {
        let raw = to_raw_value(&body_of(&stored_as_fields(own))).expect("JSON");
        let mut reader = fields::Fields::read(&raw, "", &[]);
        let again = read(&mut reader, Some(own), Micros(5));
        reader.finish("scheduler").expect("no fault");
        again.expect("a scheduler")
    }

    #[test]
    fn a_scheduler_sent_back_as_shown_changes_nothing() {
        let cron = Schedule::cron("30 6 * * 1-5", "Europe/Berlin").expect("a schedule");
        let every = Schedule::every(5, Interval::Minutes).expect("a schedule");
        for schedule in [cron, every] {
            let own = Scheduler {
                schedule,
                key: "acme:poll".parse().expect("a type"),
                payload: Some(r#"{"a":1}"#.into()),
                enabled: true,
                anchor: Micros(1),
            };
            assert_eq!(read_back(&own), own);
        }
    }

    #[test]
    fn one_that_is_off_has_no_next_run() {
        let mut own = Scheduler {
            schedule: Schedule::every(1, Interval::Hours).expect("a schedule"),
            key: "acme:poll".parse().expect("a type"),
            payload: None,
            enabled: true,
            anchor: Micros(0),
        };
        let hour = 3_600_000_000;
        assert_eq!(
            next_runs(&own, None, Micros(1), 2),
            [Micros(hour), Micros(2 * hour)]
        );
        own.enabled = false;
        assert_eq!(next_runs(&own, None, Micros(1), 2), []);
    }
}

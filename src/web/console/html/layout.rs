//! The frame around every page: head, top, navigation, foot.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    domain::registry::StoreSnapshot,
    web::console::{assets, pages, people::Person},
};

use super::{
    foreign::{Foreign, plain},
    form::hidden,
    when::clock,
};

/// A word to the person on top of a page.
#[derive(Debug, Clone)]
pub enum Notice {
    /// It worked.
    Good(String),
    /// It did not.
    Bad(String),
}

impl Notice {
    /// The notice that an address carries after a form was sent: one of the console's own sentences, by its key, so that
    /// nobody can put words of theirs on a page through a link.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        let good = |text: &str| Some(Self::Good(text.to_owned()));
        let bad = |text: &str| Some(Self::Bad(text.to_owned()));
        match key {
            "saved" => good("Saved. It is in force at once."),
            "created" => good("Made. It is in force at once."),
            "deleted" => good("Deleted."),
            "tried" => good("Asked for: it is tried now, at the end of its lane."),
            "archived" => good("Archived. It can be sent again from the archive."),
            "pushed" => good("Pushed. Below is what becomes of it."),
            "paused" => good("Paused. Everything for this endpoint waits; nothing is lost."),
            "resumed" => good("Resumed. What waited goes out now."),
            "password" => good("The password is changed. All your other sessions are signed out."),
            "gone" => bad("It went on meanwhile, so nothing was done. This is how it stands now."),
            "undone" => good("Stopped before it began: nothing was done."),
            "stopped" => good("Stopped. What was done so far stays done."),
            _ => None,
        }
    }

    fn show(&self) -> Markup {
        match self {
            Self::Good(text) => html! { div .notice .good role="status" { p { (text) } } },
            Self::Bad(text) => html! { div .notice .bad role="alert" { p { (text) } } },
        }
    }
}

/// A page for somebody signed in.
pub struct Frame<'a> {
    /// Its title.
    pub title: &'a str,
    /// Who looks.
    pub person: &'a Person,
    /// The store it is about.
    pub store: Option<&'a StoreSnapshot>,
    /// Which entry of the navigation it belongs to: its path below `/console`.
    pub place: &'a str,
    /// A word on top.
    pub notice: Option<Notice>,
    /// Whether it follows what happens.
    pub live: bool,
}

const LOGO: &str = r#"<svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><path d="M12 8V3M8.5 14 4 18M15.5 14l4.5 4" fill="none" stroke="currentColor" stroke-width="2"/><circle cx="12" cy="12" r="4" fill="none" stroke="currentColor" stroke-width="2"/><circle cx="12" cy="3" r="2" fill="currentColor"/><circle cx="4" cy="19" r="2" fill="currentColor"/><circle cx="20" cy="19" r="2" fill="currentColor"/></svg>"#;

const PLACES: [(&str, &str); 10] = [
    ("", "Overview"),
    ("/queues/accepted", "Queues"),
    ("/actions", "Actions"),
    ("/endpoints", "Endpoints"),
    ("/events", "Events"),
    ("/mappings", "Mappings"),
    ("/parameters", "Parameters"),
    ("/stores", "Stores"),
    ("/test", "Test"),
    ("/audit", "Audit"),
];

impl Frame<'_> {
    /// The whole document around `body`.
    #[must_use]
    pub fn around(&self, body: Markup) -> Markup {
        let store = self
            .store
            .map(|store| store.store.id.to_string())
            .unwrap_or_default();
        let query = if store.is_empty() {
            String::new()
        } else {
            format!("?store={store}")
        };
        let live = self.live.then(|| format!("/console/live{query}"));
        html! {
            (DOCTYPE)
            html lang="en" data-theme=[(!self.person.theme.is_empty()).then_some(&self.person.theme)] {
                (head(self.title))
                body data-live=[live] data-read-at=(self.person.now.0 / 1_000) {
                    a .skip href="#main" { "To the content" }
                    header .top {
                        div .top-row {
                            a .brand href=(format!("/console{query}")) { (PreEscaped(LOGO)) "Integrator" }
                            (self.store_choice(&store))
                            form .goto role="search" action="/console/go" {
                                (hidden("store", &store))
                                label .unseen for="goto" { "Go to a message, an object or events" }
                                input #goto name="q" type="search" placeholder="R123, a message id, or words" autocomplete="off" spellcheck="false";
                                button { "Go" }
                            }
                            div .who {
                                span .live #live role="status" data-state="still" { "As of " (clock(self.person.now)) }
                                @if self.live { button .plain #pause type="button" hidden { "Pause" } }
                                a href="/console/me" { (Foreign(self.person.name())) }
                                form method="post" action="/console/sign-out" {
                                    (hidden("form_token", &self.person.form_token))
                                    button .plain { "Sign out" }
                                }
                            }
                        }
                        nav .main aria-label="Pages" { ul {
                            @for (path, word) in PLACES {
                                li { a href=(format!("/console{path}{query}")) aria-current=[(path == self.place).then_some("page")] { (word) } }
                            }
                            @if self.person.is_operator() { li { a href="/console/people" aria-current=[(self.place == "/people").then_some("page")] { "People" } } }
                        } }
                    }
                    main #main tabindex="-1" {
                        @if let Some(notice) = &self.notice { (notice.show()) }
                        (pages::waiting(self.person))
                        (body)
                    }
                    footer {
                        span { "Times are UTC. Read " (clock(self.person.now)) "." }
                        span { "Integrator " (env!("CARGO_PKG_VERSION")) }
                        form method="post" action="/console/theme" {
                            (hidden("form_token", &self.person.form_token))
                            (hidden("back", &self.person.address))
                            @for (value, word) in [("", "As the system"), ("light", "Light"), ("dark", "Dark")] {
                                button .plain name="theme" value=(value) aria-pressed=(if self.person.theme == value { "true" } else { "false" }) { (word) }
                            }
                        }
                        button .plain #keys type="button" hidden { "Keys" }
                    }
                    div .unseen #announcer aria-live="polite" {}
                }
            }
        }
    }

    fn store_choice(&self, chosen: &str) -> Markup {
        let stores = self.person.stores();
        html! {
            @if stores.len() > 1 {
                form method="get" action=(format!("/console{}", self.place)) data-choose="" {
                    label .unseen for="store-choice" { "Store" }
                    select #store-choice name="store" {
                        @for store in stores.iter().take(500) {
                            option value=(store.store.id) selected[store.store.id.to_string() == chosen] { (plain(&store.store.value.name)) }
                        }
                    }
                    button { "Show" }
                }
            } @else if let Some(store) = stores.first() {
                span .muted { (Foreign(&store.store.value.name)) }
            }
        }
    }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="robots" content="noindex";
            meta name="referrer" content="same-origin";
            title { (plain(title)) " - Integrator" }
            link rel="stylesheet" href=(assets::path("console.css"));
            link rel="icon" href=(assets::path("icon.svg")) type="image/svg+xml";
            script src=(assets::path("console.js")) defer {}
        }
    }
}

/// A page without navigation: the door, refusals, and objects' pages (`class` is the body's).
#[must_use]
pub fn bare_page(title: &str, class: Option<&str>, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body class=[class] {
                main #main .(if class.is_some() { "wide" } else { "plain-page" }) { (body) }
            }
        }
    }
}

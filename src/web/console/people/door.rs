//! The two extractors that every page passes: [`Person`] for looking, [`Post`] for changing.

use std::{pin::Pin, sync::Arc};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{StatusCode, header},
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt;

use crate::{
    actors::Hub,
    db::{DbError, JobQuery},
    domain::{
        id::Id,
        job::{Job, JobKind, JobState},
        key::{AccountKey, StoreKey},
        registry::{Account, Entry, Registry, Role, StoreSnapshot},
        time::Micros,
    },
    web::console::{answer, html::bare_page},
};

use super::session::{digest_of_session, fits_form, form_token, text_of};

/// The largest form that is read, in bytes: a payload edited by hand fits.
const MAX_FORM_BYTES: usize = 8 * 1024 * 1024;

/// Open jobs that are looked at for those that can be undone, and how many of these a page shows.
const OPEN_JOBS: usize = 200;
const UNDOABLE: usize = 5;

/// Why a page is not shown. Renders itself as a page.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody is signed in: to the door, and back here afterwards.
    SignIn {
        /// Where they wanted to go.
        next: String,
    },
    /// There is no store yet: to the first steps.
    NoStore,
    /// They may not do this; what it takes.
    Forbidden(&'static str),
    /// There is no such thing (for them).
    Missing(&'static str),
    /// The form did not come from this console's own page, or is too old.
    Forged,
    /// What was asked for makes no sense.
    Unreadable(String),
    /// The database did not answer, or the hub failed.
    Failed {
        /// The id that stands in the log.
        request_id: String,
        /// Whether trying again may help.
        transient: bool,
    },
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Missing(what) => Self::Missing(what),
            error => Self::failed(&error, error.is_transient()),
        }
    }
}

impl Refusal {
    /// A failure, logged here once.
    #[must_use]
    pub fn failed(cause: &dyn std::fmt::Display, transient: bool) -> Self {
        let request_id = hex::encode(rand::random::<[u8; 6]>());
        log::error!(request_id = request_id.as_str(); "a page of the console failed: {cause}");
        Self::Failed {
            request_id,
            transient,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the page is not shown")
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::SignIn { .. } | Self::NoStore => StatusCode::SEE_OTHER,
            Self::Forbidden(_) | Self::Forged => StatusCode::FORBIDDEN,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Failed {
                transient: true, ..
            } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::SignIn { next } = self {
            let next = serde_urlencoded::to_string([("next", next)]).unwrap_or_default();
            return HttpResponse::SeeOther()
                .insert_header((header::LOCATION, format!("/console/sign-in?{next}")))
                .finish();
        }
        if matches!(self, Self::NoStore) {
            return HttpResponse::SeeOther()
                .insert_header((header::LOCATION, "/console"))
                .finish();
        }
        let (title, what, todo) = match self {
            Self::Forbidden(needs) => ("Not yours to do", format!("This takes {needs}."), "Ask an operator of this hub; people and their roles are on the page People."),
            Self::Missing(what) => ("Not here", format!("There is no such {what}, or not any more."), "Finished messages are dropped after the days that are configured. Look in the archive, or go back to the overview."),
            Self::Forged => ("Please try again", "This form is older than your session, or came from another site. Nothing was changed.".to_owned(), "Go back, reload the page, and send it again."),
            Self::Unreadable(why) => ("Not understood", format!("{why}."), "Go back and correct it."),
            Self::Failed { request_id, transient: true } => ("No answer from the database", format!("The page could not be read (request {request_id})."), "Reload in a moment. If it stays so, the hub's log says why."),
            Self::Failed { request_id, .. } => ("The hub failed", format!("This is a defect of the hub (request {request_id})."), "The log has the reason under that request id."),
            Self::SignIn { .. } | Self::NoStore => ("Sign in", String::new(), ""),
        };
        answer(
            self.status_code(),
            bare_page(
                title,
                None,
                maud::html! {
                    h1 { (title) }
                    p { (what) }
                    p .muted { (todo) }
                    p { a .button href="/console" { "To the overview" } }
                },
            ),
        )
    }
}

/// Somebody who is signed in.
#[derive(Clone)]
pub struct Person {
    /// The hub.
    pub hub: Hub,
    /// The registry as it was when the request came.
    pub registry: Arc<Registry>,
    /// Their account.
    pub account: Entry<AccountKey, Account>,
    /// The token of their forms.
    pub form_token: String,
    /// The digest of their session.
    pub session: String,
    /// The address they asked for, with its query.
    pub address: String,
    /// `light`, `dark`, or empty: as the system has it.
    pub theme: String,
    /// Bulk actions and replays of their stores that can still be undone.
    pub waiting: Vec<Job>,
    /// When the request came.
    pub now: Micros,
}

impl Person {
    /// Their name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.account.value.name
    }

    /// Whether they are an operator.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.account.value.role == Role::Operator
    }

    /// Fails unless they are an operator.
    ///
    /// # Errors
    /// 403.
    pub fn operator(&self) -> Result<(), Refusal> {
        if self.is_operator() {
            Ok(())
        } else {
            Err(Refusal::Forbidden("the role operator"))
        }
    }

    /// The stores they see, by name.
    #[must_use]
    pub fn stores(&self) -> Vec<Arc<StoreSnapshot>> {
        let mut stores: Vec<_> = self
            .registry
            .stores
            .values()
            .filter(|store| self.account.value.sees(store.store.key))
            .cloned()
            .collect();
        stores.sort_by(|a, b| {
            a.store
                .value
                .name
                .cmp(&b.store.value.name)
                .then(a.store.key.cmp(&b.store.key))
        });
        stores
    }

    /// The store with this id; without an id, the first they see.
    ///
    /// # Errors
    /// 404 when there is none for them.
    pub fn store(&self, id: Option<&str>) -> Result<Arc<StoreSnapshot>, Refusal> {
        let found = match id.filter(|id| !id.is_empty()) {
            Some(id) => id
                .parse::<Id>()
                .ok()
                .and_then(|id| self.registry.store_by_id(id).cloned()),
            None => return self.stores().into_iter().next().ok_or(Refusal::NoStore),
        };
        found
            .filter(|store| self.account.value.sees(store.store.key))
            .ok_or(Refusal::Missing("store"))
    }

    /// Whether they may change what belongs to this store.
    #[must_use]
    pub fn changes(&self, store: StoreKey) -> bool {
        self.account.value.changes(store)
    }

    /// Fails unless they may change what belongs to this store.
    ///
    /// # Errors
    /// 403.
    pub fn admin(&self, store: StoreKey) -> Result<(), Refusal> {
        if self.changes(store) {
            Ok(())
        } else {
            Err(Refusal::Forbidden("the role operator or store admin"))
        }
    }

    async fn of(request: HttpRequest) -> Result<Self, Refusal> {
        let hub = hub_of(&request)?;
        let address = request
            .uri()
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        let sign_in = || Refusal::SignIn {
            next: if request.method() == actix_web::http::Method::GET {
                address.clone()
            } else {
                "/console".into()
            },
        };
        let text = text_of(&hub, &request).ok_or_else(sign_in)?;
        let session = digest_of_session(&text);
        let now = hub.now();
        let row = hub
            .backend()
            .session_find(session.clone())
            .await?
            .filter(|row| now < row.expires_at)
            .ok_or_else(sign_in)?;
        let registry = hub.newest_registry().await;
        let account = registry
            .accounts
            .get(&row.account)
            .cloned()
            .ok_or_else(sign_in)?;
        let theme = request
            .cookie("theme")
            .map(|cookie| cookie.value().to_owned())
            .filter(|theme| matches!(theme.as_str(), "light" | "dark"))
            .unwrap_or_default();
        let waiting = waiting(&hub, &account.value, now).await;
        Ok(Self {
            hub,
            registry,
            account,
            form_token: form_token(&text),
            session,
            address,
            theme,
            waiting,
            now,
        })
    }
}

/// What was asked for and has not begun, in the stores that this account may change. A database that does not answer hides it.
async fn waiting(hub: &Hub, account: &Account, now: Micros) -> Vec<Job> {
    let open = JobQuery {
        stores: None,
        kinds: JobKind::ALL.to_vec(),
        id: None,
        open: true,
        after: None,
        limit: OPEN_JOBS,
    };
    let mut jobs = hub.backend().job_list(open).await.unwrap_or_default();
    jobs.retain(|job| {
        job.state == JobState::Waiting && now < job.next_at && account.changes(job.new.store)
    });
    jobs.truncate(UNDOABLE);
    jobs
}

impl FromRequest for Person {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Box::pin(Self::of(request.clone()))
    }
}

/// The fields of a form or a query, in order.
#[derive(Debug, Clone, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded` text.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self(serde_urlencoded::from_str(text).unwrap_or_default())
    }

    /// A field's value without white space around it; empty when it is not there.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map_or("", |(_, value)| value.trim())
    }

    /// A field's value as it came.
    #[must_use]
    pub fn raw(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map_or("", |(_, value)| value)
    }

    /// A field's value when it has one.
    #[must_use]
    pub fn some(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// All values of a field that may be there more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A form that somebody signed in has sent from this console's own page.
pub struct Post {
    /// Who.
    pub person: Person,
    /// What.
    pub fields: Fields,
}

impl Post {
    async fn of(request: HttpRequest, mut payload: Payload) -> Result<Self, Refusal> {
        let person = Person::of(request.clone()).await?;
        let fields = read_form(&mut payload).await?;
        let text = text_of(&person.hub, &request).unwrap_or_default();
        if is_foreign(&person.hub, &request) || !fits_form(&text, fields.get("form_token")) {
            return Err(Refusal::Forged);
        }
        Ok(Self { person, fields })
    }
}

impl FromRequest for Post {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Box::pin(Self::of(request.clone(), payload.take()))
    }
}

/// The hub that the server was made with.
///
/// # Errors
/// 500 when it was made without.
pub fn hub_of(request: &HttpRequest) -> Result<Hub, Refusal> {
    request
        .app_data::<Hub>()
        .cloned()
        .ok_or_else(|| Refusal::failed(&"the server was made without a hub", false))
}

/// The fields of a form's body.
///
/// # Errors
/// 400 when it is too long or breaks off.
pub async fn read_form(payload: &mut Payload) -> Result<Fields, Refusal> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk: Bytes = chunk.map_err(|_| Refusal::Unreadable("The form broke off".into()))?;
        if body.len() + chunk.len() > MAX_FORM_BYTES {
            return Err(Refusal::Unreadable("The form is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    let text = std::str::from_utf8(&body)
        .map_err(|_| Refusal::Unreadable("The form is not UTF-8".into()))?;
    Ok(Fields::read(text))
}

/// Whether a browser says that another site made this request (`Origin`, RFC 6454; `Sec-Fetch-Site`, Fetch Metadata). A browser
/// that says nothing is judged by the form's token alone.
#[must_use]
pub fn is_foreign(hub: &Hub, request: &HttpRequest) -> bool {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let Some(origin) = header("origin") else {
        return false;
    };
    let Some(host) = origin.split_once("://").map(|(_, host)| host) else {
        return origin != "null" || header("sec-fetch-site").is_none();
    };
    let public = hub
        .config()
        .server
        .public_url
        .as_ref()
        .and_then(|url| Some((url.host_str()?, url.port())));
    let is_public = public.is_some_and(|(name, port)| match port {
        Some(port) => host == format!("{name}:{port}"),
        None => host == name,
    });
    !is_public && header("host") != Some(host)
}

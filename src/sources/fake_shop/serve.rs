//! The routes, their keys and their refusals.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    http::StatusCode,
    web::{self, Bytes, Data},
};
use futures_util::stream;
use serde_json::{Value, json};

use super::{
    ADMIN_KEY, CLIENT_ID, CLIENT_SECRET, Control, Fault, Flavor, KEY,
    select::{self, Facts, Pairs, Selection, value},
    show,
    stock::{Sale, Stock},
};
use crate::domain::time::Micros;

type Shared = Arc<Mutex<Control>>;

/// Opens a shop on a free port.
pub(super) fn open(control: Shared) -> io::Result<(u16, ServerHandle)> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(Arc::clone(&control)))
            .default_service(web::to(answer))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))?;
    let port = server.addrs().first().map_or(0, |address| address.port());
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((port, handle))
}

/// A status and a document.
type Said = (u16, Value);

async fn answer(control: Data<Shared>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let path = request.path().trim_matches('/').to_owned();
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(request.query_string()).unwrap_or_default();
    let readable = pairs.iter().fold(path.clone(), |text, (name, value)| {
        format!("{text} {name}={value}")
    });
    let (fault, said, date, remaining) = {
        let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = control.notice(&readable);
        let nonce = control
            .shuffles_ties
            .then_some(control.requests.len() as u64);
        let call = Call {
            request: &request,
            path: &path,
            pairs: &pairs,
            body: &body,
            nonce,
        };
        let said = call.answer(&control);
        (fault, said, control.stock.now, control.remaining)
    };
    let mut response = match fault {
        None => plain(said),
        Some(Fault::Slow(wait)) => {
            actix_rt::time::sleep(wait).await;
            plain(said)
        }
        Some(Fault::Status(status)) => plain((status, json!({"error": "Something is wrong here"}))),
        Some(Fault::Html(status)) => HttpResponse::build(code(status))
            .content_type("text/html")
            .body(format!("<html><head><title>Please sign in</title></head><body>Welcome {KEY}</body></html>")),
        Some(Fault::RateLimited(seconds)) => HttpResponse::TooManyRequests()
            .insert_header(("retry-after", seconds.to_string()))
            .json(json!({"error": {"code": "rate_limit_exceeded", "message": "Too many requests. Please retry later."}})),
        Some(Fault::Endless) => HttpResponse::Ok()
            .content_type("application/json")
            .streaming(stream::unfold(0u8, |_| async {
                actix_rt::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, actix_web::Error>(Bytes::from_static(b"{\"orders\":[ ")), 0))
            })),
        Some(Fault::HalfJson) => {
            let text = said.1.to_string();
            let half = text.get(..text.len() / 2).unwrap_or("{").to_owned();
            HttpResponse::Ok().content_type("application/json").body(half)
        }
    };
    let headers = response.headers_mut();
    let date = UNIX_EPOCH + Duration::from_micros(u64::try_from(date.0).unwrap_or(0));
    if let Ok(date) = httpdate::fmt_http_date(date).parse() {
        headers.insert(actix_web::http::header::DATE, date);
    }
    if let Some(Ok(remaining)) = remaining.map(|remaining| remaining.to_string().parse()) {
        headers.insert(
            actix_web::http::header::HeaderName::from_static("x-ratelimit-remaining"),
            remaining,
        );
    }
    response
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn plain((status, document): Said) -> HttpResponse {
    HttpResponse::build(code(status)).json(document)
}

struct Call<'a> {
    request: &'a HttpRequest,
    path: &'a str,
    pairs: &'a Pairs,
    body: &'a [u8],
    nonce: Option<u64>,
}

impl Call<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    fn answer(&self, control: &Control) -> Said {
        let (flavor, stock) = (control.flavor, &control.stock);
        let parts: Vec<&str> = self.path.split('/').collect();
        match (flavor, parts.as_slice()) {
            (Flavor::Connector | Flavor::OldConnector, ["api", "integrator", rest @ ..]) => {
                self.keyed(flavor, |call| call.connector(stock, flavor, rest))
            }
            (
                Flavor::Spree13
                | Flavor::Spree20
                | Flavor::Spree304
                | Flavor::Solidus
                | Flavor::Connector
                | Flavor::OldConnector,
                ["api", rest @ ..],
            )
            | (Flavor::Spree37, ["api", "v1", rest @ ..]) => {
                self.keyed(flavor, |call| call.classic(stock, flavor, rest))
            }
            (Flavor::PlatformV2, ["spree_oauth", "token"]) => self.token(control),
            (Flavor::PlatformV2, ["api", "v2", "platform", rest @ ..]) => {
                if self.header("authorization")
                    != Some(format!("Bearer token-{}", control.tokens).as_str())
                {
                    return (401, json!({"error": "The access token is invalid"}));
                }
                self.platform(stock, rest)
            }
            (Flavor::AdminV3, ["api", "v3", "admin", rest @ ..]) => {
                match self.header("x-spree-api-key") {
                    Some(ADMIN_KEY) => self.admin(stock, rest),
                    _ => (
                        401,
                        json!({"error": {"code": "authentication_required", "message": "Authentication required"}}),
                    ),
                }
            }
            (Flavor::Spree54 | Flavor::AdminV3, ["api", "v3", "store", ..]) => (
                401,
                json!({"error": {"code": "authentication_required", "message": "A publishable key is required"}}),
            ),
            _ => (
                404,
                json!({"error": "The resource you were looking for could not be found."}),
            ),
        }
    }

    fn keyed(&self, flavor: Flavor, then: impl FnOnce(&Self) -> Said) -> Said {
        let key = match flavor {
            Flavor::Solidus => self
                .header("authorization")
                .and_then(|header| header.strip_prefix("Bearer ")),
            _ => self.header("x-spree-token"),
        };
        match key {
            None => (401, json!({"error": "You must specify an API key."})),
            Some(KEY) => then(self),
            Some(other) => (
                401,
                json!({"error": format!("Invalid API key ({other}) specified.")}),
            ),
        }
    }

    fn classic(&self, stock: &Stock, flavor: Flavor, rest: &[&str]) -> Said {
        let listed = |name: &str, rows: Vec<Value>, selection: &Selection| {
            let current: Value = match value(self.pairs, "page") {
                Some(page) if matches!(flavor, Flavor::Spree13 | Flavor::Spree20) => page.into(),
                _ => selection.page.into(),
            };
            let mut answer = json!({name: rows, "count": selection.ids.len(), "current_page": current, "pages": selection.pages});
            if let (Flavor::Solidus, Some(answer)) = (flavor, answer.as_object_mut()) {
                answer.insert("total_count".to_owned(), selection.total.into());
                answer.insert("per_page".to_owned(), selection.per_page.into());
            }
            (200, answer)
        };
        match rest {
            ["orders"] => {
                let selection = select::sales(stock, flavor, self.pairs, self.nonce);
                listed("orders", self.rows(stock, flavor, &selection), &selection)
            }
            ["orders", number] => match stock.sale(number) {
                Some(sale) => (200, show::document(stock, flavor, sale)),
                None => not_found(),
            },
            [name @ ("users" | "products")] => {
                let selection = self.others(stock, flavor, name);
                listed(name, others(stock, flavor, name, &selection), &selection)
            }
            [name @ ("users" | "products"), id] => match id
                .parse()
                .ok()
                .and_then(|id| other(stock, flavor, name, id))
            {
                Some(document) => (200, document),
                None => not_found(),
            },
            _ => not_found(),
        }
    }

    fn connector(&self, stock: &Stock, flavor: Flavor, rest: &[&str]) -> Said {
        let Some(name) = rest.first() else {
            if flavor == Flavor::OldConnector {
                return (
                    200,
                    json!({
                        "orders": self.collection(stock, flavor, "orders", "page", "orders_"),
                        "stock_transfers": {"page": [], "count": 0, "current_page": 1, "pages": 0},
                    }),
                );
            }
            let of = |name: &str, token: &str| json!({"name": name, "token": token, "frequency": "5.minutes"});
            return (
                200,
                json!({"collections": [of("orders", "number"), of("users", "email"), of("carts", "number"), of("products", "sku")]}),
            );
        };
        if flavor == Flavor::OldConnector {
            return not_found();
        }
        (200, self.collection(stock, flavor, name, name, ""))
    }

    /// Sorted by `updated_at` without a tie-break; from one day ago unless told otherwise.
    fn collection(
        &self,
        stock: &Stock,
        flavor: Flavor,
        name: &str,
        list: &str,
        prefix: &str,
    ) -> Value {
        let day_ago = stock.now.minus(Duration::from_secs(86_400)).rfc3339();
        let mut pairs = vec![
            (
                "q[updated_at_gteq]".to_owned(),
                value(self.pairs, "since").unwrap_or(&day_ago).to_owned(),
            ),
            ("q[s]".to_owned(), "updated_at asc".to_owned()),
        ];
        match name {
            "orders" => pairs.push(("q[completed_at_not_null]".to_owned(), "1".to_owned())),
            "carts" => pairs.push(("q[completed_at_null]".to_owned(), "1".to_owned())),
            _ => {}
        }
        for member in ["page", "per_page"] {
            if let Some(asked) = value(self.pairs, &format!("{prefix}{member}")) {
                pairs.push((member.to_owned(), asked.to_owned()));
            }
        }
        let call = Call {
            pairs: &pairs,
            ..*self
        };
        let (rows, selection) = match name {
            "orders" | "carts" => {
                let selection = select::sales(stock, flavor, &pairs, self.nonce);
                (call.rows(stock, flavor, &selection), selection)
            }
            other => {
                let selection = call.others(stock, flavor, other);
                (others(stock, flavor, other, &selection), selection)
            }
        };
        let current = value(&pairs, "page").map_or(json!(1), |page| json!(page));
        json!({list: rows, "count": selection.ids.len(), "current_page": current, "pages": selection.pages})
    }

    fn token(&self, control: &Control) -> Said {
        let form: Vec<(String, String)> =
            serde_urlencoded::from_bytes(self.body).unwrap_or_default();
        if value(&form, "client_id") != Some(CLIENT_ID)
            || value(&form, "client_secret") != Some(CLIENT_SECRET)
        {
            return (
                401,
                json!({"error": "invalid_client", "error_description": "Client authentication failed"}),
            );
        }
        (
            200,
            json!({"access_token": format!("token-{}", control.tokens), "token_type": "Bearer", "expires_in": control.token_secs}),
        )
    }

    fn platform(&self, stock: &Stock, rest: &[&str]) -> Said {
        let flavor = Flavor::PlatformV2;
        let joined = |sales: Vec<&Sale>| {
            let parts = sales.into_iter().flat_map(show::included);
            parts.chain(show::included_once()).collect::<Vec<Value>>()
        };
        match rest {
            [name] => {
                let (data, included, selection) = if *name == "orders" {
                    let selection = select::sales(stock, flavor, self.pairs, self.nonce);
                    let sales = selection
                        .ids
                        .iter()
                        .filter_map(|id| stock.sales.get(id))
                        .collect();
                    (
                        self.rows(stock, flavor, &selection),
                        joined(sales),
                        selection,
                    )
                } else {
                    let selection = self.others(stock, flavor, name);
                    (
                        others(stock, flavor, name, &selection),
                        Vec::new(),
                        selection,
                    )
                };
                // At the end `next` names the last page again.
                let next = format!("?page={}", (selection.page + 1).min(selection.pages.max(1)));
                (
                    200,
                    json!({"data": data, "included": included, "links": {"next": next},
                    "meta": {"count": data.len(), "total_count": selection.total, "total_pages": selection.pages}}),
                )
            }
            ["orders", number] => match stock.sale(number) {
                Some(sale) => (
                    200,
                    json!({"data": show::row(stock, flavor, sale), "included": joined(vec![sale])}),
                ),
                None => not_found(),
            },
            [name, id] => match id
                .parse()
                .ok()
                .and_then(|id| other(stock, flavor, name, id))
            {
                Some(document) => (200, json!({"data": document})),
                None => not_found(),
            },
            _ => not_found(),
        }
    }

    fn admin(&self, stock: &Stock, rest: &[&str]) -> Said {
        let flavor = Flavor::AdminV3;
        let listed = |rows: Vec<Value>, selection: &Selection| {
            (
                200,
                json!({"data": rows, "meta": {"page": selection.page, "limit": selection.per_page, "count": selection.total, "pages": selection.pages}}),
            )
        };
        match rest {
            ["orders"] => match value(self.pairs, "q[number_eq]") {
                Some(number) => {
                    let rows: Vec<Value> = stock
                        .sale(number)
                        .map(|sale| show::row(stock, flavor, sale))
                        .into_iter()
                        .collect();
                    (
                        200,
                        json!({"data": rows, "meta": {"page": 1, "count": rows.len(), "pages": 1}}),
                    )
                }
                None => {
                    let selection = select::sales(stock, flavor, self.pairs, self.nonce);
                    listed(self.rows(stock, flavor, &selection), &selection)
                }
            },
            ["orders", id] => {
                let id = id.strip_prefix("or_").and_then(|id| id.parse().ok());
                match id.and_then(|id: u64| stock.sales.get(&id)) {
                    Some(sale) => (200, show::row(stock, flavor, sale)),
                    None => (
                        404,
                        json!({"error": {"code": "record_not_found", "message": "Order not found"}}),
                    ),
                }
            }
            [name] => {
                let name = if *name == "customers" { "users" } else { name };
                let selection = self.others(stock, flavor, name);
                listed(others(stock, flavor, name, &selection), &selection)
            }
            _ => not_found(),
        }
    }

    fn rows(&self, stock: &Stock, flavor: Flavor, selection: &Selection) -> Vec<Value> {
        let sales = selection.ids.iter().filter_map(|id| stock.sales.get(id));
        sales.map(|sale| show::row(stock, flavor, sale)).collect()
    }

    fn others(&self, stock: &Stock, flavor: Flavor, name: &str) -> Selection {
        let facts = |id: u64, created_at: Micros, updated_at: Micros| Facts {
            id,
            created_at,
            updated_at,
            completed_at: None,
            state: "",
            shipment_state: None,
        };
        let rows = match name {
            "users" => stock
                .customers
                .values()
                .map(|one| facts(one.id, one.created_at, one.updated_at))
                .collect(),
            "products" => stock
                .articles
                .values()
                .map(|one| facts(one.id, one.created_at, one.updated_at))
                .collect(),
            _ => Vec::new(),
        };
        select::others(rows, flavor, self.pairs, self.nonce)
    }
}

fn others(stock: &Stock, flavor: Flavor, name: &str, selection: &Selection) -> Vec<Value> {
    let one = |id: &u64| other(stock, flavor, name, *id);
    selection.ids.iter().filter_map(one).collect()
}

fn other(stock: &Stock, flavor: Flavor, name: &str, id: u64) -> Option<Value> {
    match name {
        "users" => Some(show::customer(stock, flavor, stock.customers.get(&id)?)),
        "products" => Some(show::article(stock, flavor, stock.articles.get(&id)?)),
        _ => None,
    }
}

fn not_found() -> Said {
    (
        404,
        json!({"error": "The resource you were looking for could not be found."}),
    )
}

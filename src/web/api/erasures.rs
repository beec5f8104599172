//! `/api/stores/:store/erasures`, and `DELETE` of an object: forgetting on request, and the record that it was done.
//!
//! Erasing takes a while, so the answer is 202 with the record; it is done when `done_at` has a time. The record never says what was
//! erased: whoever knows that finds it by its digest.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::{
    db::{ErasedRows, Erasure, NewErasure, PageKey},
    domain::{
        erasure::{Email, ErasureSubject},
        id::Id,
        reference::ObjectRef,
        time::Micros,
    },
};

use super::super::{
    auth::{Admin, InStore},
    error::ApiError,
    extract::Body,
    fields::Fields,
    query::{Query, write_key},
};

/// Erasures of one page.
const PER_PAGE: usize = 50;

/// One erasure.
#[derive(Debug, Serialize)]
struct ErasureDocument {
    id: Id,
    /// `object` or `customer`.
    what: &'static str,
    /// SHA-256 of what it was, cut to 16 bytes, as hex.
    digest: String,
    who: String,
    /// `running` or `done`.
    state: &'static str,
    asked_at: Micros,
    done_at: Option<Micros>,
    erased: RowsDocument,
}

#[derive(Debug, Serialize)]
struct RowsDocument {
    objects: u64,
    messages: u64,
    deliveries: u64,
    attempts: u64,
    events: u64,
    copies: u64,
}

#[derive(Debug, Serialize)]
struct ListDocument {
    erasures: Vec<ErasureDocument>,
    next: Option<String>,
}

/// `DELETE objects/:type/:token`: 202.
pub async fn object(
    call: InStore<Admin>,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (_, kind, token) = path.into_inner();
    let object = ObjectRef::new(&kind, &token)
        .map_err(|error| ApiError::invalid("object", vec![error.to_string()]))?;
    begin(&call, ErasureSubject::Object(object)).await
}

/// `POST erasures` with `{"email": "ada@example.org"}`: 202. The address travels in the body, for addresses of requests are logged.
pub async fn customer(call: InStore<Admin>, body: Body) -> Result<HttpResponse, ApiError> {
    let mut fields = Fields::read(body.json()?, "", &[]);
    let email = match fields.text("email").value() {
        None => {
            fields.note("email", "is missing");
            None
        }
        Some(text) => Email::parse(&text)
            .map_err(|error| fields.note("email", error))
            .ok(),
    };
    fields.finish("erasure")?;
    let email =
        email.ok_or_else(|| ApiError::internal(&"an address was neither read nor refused"))?;
    begin(&call, ErasureSubject::Customer(email)).await
}

/// `GET erasures`, newest first; with `next` older ones.
pub async fn list(call: InStore<Admin>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::read(request.query_string(), &["after", "next"]);
    let page = query.page();
    query.finish()?;
    let mut rows = call
        .hub()
        .backend()
        .erasure_list(call.key(), page.after, PER_PAGE + 1)
        .await?;
    let more = rows.len() > PER_PAGE;
    rows.truncate(PER_PAGE);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| write_key(PageKey(last.key.0)));
    Ok(HttpResponse::Ok().json(ListDocument {
        erasures: rows.into_iter().map(document).collect(),
        next,
    }))
}

async fn begin(call: &InStore<Admin>, subject: ErasureSubject) -> Result<HttpResponse, ApiError> {
    let erasure = NewErasure {
        store: call.key(),
        subject,
        who: call.caller.name().to_owned(),
    };
    let erasure = call.hub().erase(erasure).await?;
    Ok(HttpResponse::Accepted().json(document(erasure)))
}

fn document(erasure: Erasure) -> ErasureDocument {
    let ErasedRows {
        objects,
        messages,
        deliveries,
        attempts,
        events,
        copies,
    } = erasure.rows;
    ErasureDocument {
        id: erasure.id,
        what: if erasure.is_customer {
            "customer"
        } else {
            "object"
        },
        digest: hex::encode(erasure.digest),
        who: erasure.who,
        state: if erasure.done_at.is_some() {
            "done"
        } else {
            "running"
        },
        asked_at: erasure.asked_at,
        done_at: erasure.done_at,
        erased: RowsDocument {
            objects,
            messages,
            deliveries,
            attempts,
            events,
            copies,
        },
    }
}

//! Erasing an object on request: a page that says what goes and what stays, and the deed. For operators only.

use actix_web::{HttpRequest, HttpResponse, web};
use maud::html;

use crate::{
    db::NewErasure,
    domain::{erasure::ErasureSubject, reference::ObjectRef},
    web::console::{
        go_to,
        html::{Foreign, Frame, hidden},
        links, ok,
        people::{Fields, Person, Post, Refusal},
    },
};

/// `GET /objects/:type/:token/erase?store=`
pub async fn page(
    person: Person,
    place: web::Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    person.operator()?;
    let fields = Fields::read(request.query_string());
    let store = person.store(fields.some("store"))?;
    let object = ObjectRef::new(&place.0, &place.1).map_err(|_| Refusal::Missing("object"))?;
    let name = object.to_string();
    let body = html! {
        h1 { "Erase " (Foreign(&name)) "?" }
        section .panel {
            p { "This cannot be undone. Payloads of all messages about it, what endpoints answered, errors and events go; what waits for it is not sent any more." }
            p { "What stays: that there were messages at these times, and a record that you erased something, without its name." }
            p .meta { "What endpoints were sent they still have. What comes in later is new: erase it in the shop first." }
            form method="post" {
                (hidden("form_token", &person.form_token))
                (hidden("store", &store.store.id.to_string()))
                p .actions {
                    button .danger name="action" value="erase" { "Erase it" }
                    " " a href=(links::object(store.store.id, &object)) { "Keep it" }
                }
            }
        }
    };
    Ok(ok(Frame {
        title: "Erase",
        person: &person,
        store: Some(&store),
        place: "/objects",
        notice: None,
        live: false,
    }
    .around(body)))
}

/// `POST /objects/:type/:token/erase`
pub async fn act(post: Post, place: web::Path<(String, String)>) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    person.operator()?;
    let store = person.store(fields.some("store"))?;
    let object = ObjectRef::new(&place.0, &place.1).map_err(|_| Refusal::Missing("object"))?;
    let erasure = NewErasure {
        store: store.store.key,
        subject: ErasureSubject::Object(object.clone()),
        who: person.name().to_owned(),
    };
    person.hub.erase(erasure).await?;
    let address = links::object(store.store.id, &object);
    Ok(go_to(&links::noticed(&address, "erased")))
}

//! What the forms of an integration's page do.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, value::to_raw_value};

use crate::{
    db::EntityChange,
    domain::{
        integration::{Integration, ServicesFrom},
        key::IntegrationKey,
        registry::{Entry, StoreSnapshot},
    },
    web::{
        ApiError,
        api::{
            integrations::{changes_of, read, removal_of, switching_of},
            signup::{mapping_changes, plan_in, value_changes},
        },
        console::{
            audit, go_to,
            html::Problems,
            links,
            pages::mapping_form::problems_of,
            people::{Fields, Person, Post, Refusal},
        },
        fields,
    },
};

use super::{
    address, find, is_global,
    page::{Refused, by_hand, show},
    settings::{problems_of_signup, signup_of},
};

/// An integration and who changes it.
struct Deed<'a> {
    person: &'a Person,
    store: &'a StoreSnapshot,
    entry: &'a Entry<IntegrationKey, Integration>,
    address: String,
}

/// `POST /console/integrations/:id` with `action=signup`, `refresh`, `described`, `enable`, `disable`, `save`, `services` or
/// `delete`.
pub async fn act(
    post: Post,
    place: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let Post { person, fields } = post;
    let store = person.store(Fields::read(request.query_string()).some("store"))?;
    person.admin(store.store.key)?;
    let entry = find(&store, &place)?;
    let deed = Deed {
        person: &person,
        store: &store,
        entry: &entry,
        address: address(&store, entry.id),
    };
    let action = fields.get("action");
    if is_global(&store, entry.key)
        && matches!(action, "refresh" | "described" | "save" | "services")
    {
        person.operator()?;
    }
    match action {
        "signup" => deed.sign_up(fields).await,
        "refresh" => deed.refresh().await,
        "described" => deed.described().await,
        "enable" => deed.switch(true).await,
        "disable" => deed.switch(false).await,
        "save" => deed.save(fields).await,
        "services" => deed.enter_services(fields).await,
        "delete" => deed.delete(fields).await,
        _ => Err(Refusal::Unreadable(
            "The form does not say what to do".into(),
        )),
    }
}

impl Deed<'_> {
    fn done(&self, notice: &str) -> HttpResponse {
        go_to(&links::noticed(&self.address, notice))
    }

    async fn change(&self, changes: Vec<EntityChange>) -> Result<(), Refusal> {
        if !changes.is_empty() {
            audit::change(self.person, changes).await?;
        }
        Ok(())
    }

    /// What the form's members come to over what is stored.
    fn read(&self, body: Map<String, Value>) -> Result<Result<Integration, ApiError>, Refusal> {
        let raw = to_raw_value(&body).map_err(|error| Refusal::failed(&error, false))?;
        let mut reader = fields::Fields::read(&raw, "", &[]);
        let integration = read(&mut reader, Some(&self.entry.value));
        Ok(reader.finish("integration").map(|()| integration))
    }

    async fn sign_up(&self, fields: Fields) -> Result<HttpResponse, Refusal> {
        let signup = signup_of(&fields, self.store, &self.entry.value);
        let mut plan = match plan_in(self.store, self.entry, &signup) {
            Ok(plan) => plan,
            Err(errors) => {
                let refused = Refused {
                    typed: fields,
                    signup: Some(problems_of_signup(&errors)),
                    ..Refused::default()
                };
                return show(self.person, self.store, self.entry, &refused, None).await;
            }
        };
        // Values first: mappings name their parameters by key. Should the second step fail, the form can be sent again.
        self.change(value_changes(self.store, &mut plan)).await?;
        let registry = self.person.hub.registry();
        let key = self.store.store.key;
        let store = registry.stores.get(&key).map_or(self.store, |store| store);
        let now = self.person.hub.now();
        self.change(mapping_changes(store, self.entry.key, plan, now))
            .await?;
        Ok(self.done("connected"))
    }

    async fn refresh(&self) -> Result<HttpResponse, Refusal> {
        if self.entry.value.services_from == ServicesFrom::Hand {
            return Err(Refusal::Unreadable(
                "Its services were entered by hand, and its endpoint.json is not read".into(),
            ));
        }
        self.person.hub.survey(self.entry.key);
        let subject = format!("integration {}", self.entry.value.name);
        let store = Some(self.store.store.key);
        audit::note(self.person, store, "refreshed", subject).await?;
        Ok(self.done("refreshed"))
    }

    /// Forgets the services that were entered by hand; its endpoint.json is read then.
    async fn described(&self) -> Result<HttpResponse, Refusal> {
        let body = Map::from_iter([("services".to_owned(), Value::Null)]);
        let after = self.read(body)?;
        let after =
            after.map_err(|error| Refusal::Unreadable(error.document().error.to_owned()))?;
        self.change(changes_of(&self.person.hub.registry(), self.entry, after))
            .await?;
        self.person.hub.survey(self.entry.key);
        Ok(self.done("refreshed"))
    }

    async fn switch(&self, enabled: bool) -> Result<HttpResponse, Refusal> {
        let now = self.person.hub.now();
        self.change(switching_of(self.store, self.entry.key, enabled, now))
            .await?;
        Ok(self.done("switched"))
    }

    async fn save(&self, fields: Fields) -> Result<HttpResponse, Refusal> {
        let mut body = Map::new();
        for name in ["url", "display", "category"] {
            body.insert(name.into(), Value::from(fields.get(name)));
        }
        // An empty field keeps the token: it is never shown, so it cannot be sent back.
        if fields.some("no_token").is_some() {
            body.insert("token".into(), Value::from(""));
        } else if let Some(token) = fields.some("token") {
            body.insert("token".into(), Value::from(token));
        }
        match self.read(body)? {
            Ok(after) => {
                let moved = after.url != self.entry.value.url;
                self.change(changes_of(&self.person.hub.registry(), self.entry, after))
                    .await?;
                if moved {
                    self.person.hub.survey(self.entry.key);
                }
                Ok(self.done("saved"))
            }
            Err(error) => {
                let refused = Refused {
                    typed: fields,
                    edit: Some(problems_of(&error)),
                    ..Refused::default()
                };
                show(self.person, self.store, self.entry, &refused, None).await
            }
        }
    }

    async fn enter_services(&self, fields: Fields) -> Result<HttpResponse, Refusal> {
        let text = fields.raw("services");
        let problems = match serde_json::from_str::<Value>(text) {
            Err(error) => {
                let mut problems = Problems::default();
                problems.add("services", format!("This is not JSON: {error}"));
                problems
            }
            Ok(services) => {
                let body = Map::from_iter([("services".to_owned(), services)]);
                match self.read(body)? {
                    Ok(after) => {
                        self.change(changes_of(&self.person.hub.registry(), self.entry, after))
                            .await?;
                        return Ok(self.done("saved"));
                    }
                    Err(error) => {
                        let mut problems = Problems::default();
                        for sentence in error.document().errors {
                            problems.add("services", sentence.clone());
                        }
                        problems
                    }
                }
            }
        };
        let refused = Refused {
            typed: fields,
            services: Some(problems),
            ..Refused::default()
        };
        Ok(by_hand(self.person, self.store, self.entry, &refused))
    }

    async fn delete(&self, fields: Fields) -> Result<HttpResponse, Refusal> {
        if fields.get("confirm") != self.entry.value.name {
            let mut problems = Problems::default();
            problems.add("confirm", "This is not its name. Nothing was deleted.");
            let refused = Refused {
                delete: Some(problems),
                ..Refused::default()
            };
            return show(self.person, self.store, self.entry, &refused, None).await;
        }
        self.change(removal_of(self.store, self.entry.key)).await?;
        let list = format!("/console/integrations?store={}", self.store.store.id);
        Ok(go_to(&links::noticed(&list, "deleted")))
    }
}

//! `integrator demo`: the whole thing in one go, for somebody who has never heard of it.
//!
//! A hub on a throwaway database, a simulated shop that the hub polls and whose customers lead a few orders a second through their
//! lives, and four endpoints of different temper. Everything speaks HTTP, as the real things do: the demo uses the API that
//! everybody uses and nothing else, so each line that it prints works when it is pasted.
//!
//! `shop.rs` has the shop's customers, `endpoints.rs` the four applications.

mod endpoints;
mod shop;

use std::{io::Write, net::TcpListener};

use actix_web::{App, HttpServer, web};

use super::{
    ConfigArgs, Outcome, environment,
    hub_client::{HubClient, random_token, text},
    init_logging, serve,
};
use crate::{
    config::Secret,
    domain::time::Micros,
    sources::fake_shop::{FakeShop, Flavor, KEY},
};

/// Show everything working: a hub, a shop with customers, four endpoints
///
/// Uses a throwaway database, removed at the end. Stop it with Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the hub listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Stop by itself after so many seconds
    #[arg(long, value_name = "SECONDS", hide = true)]
    seconds: Option<u64>,
}

/// The mapping of each endpoint: name, path, message types, further members.
fn mappings() -> [(&'static str, &'static str, &'static str); 4] {
    [
        (
            "mail.confirm_order",
            "/mail/confirm_order",
            r#""messages":["order:new","order:canceled"]"#,
        ),
        (
            "books.record",
            "/books/record",
            r#""messages":["order:new","order:updated","order:canceled"]"#,
        ),
        (
            "warehouse.ship",
            "/warehouse/ship",
            r#""messages":["shipment:ready"],"identifiers":{"shipment":"payload.shipment.number"}"#,
        ),
        (
            "fraud.check",
            "/fraud/check",
            r#""messages":["order:new"],"filters":[{"path":"payload.order.totals.order","operator":"gt","value":"300"}],"options":{"retries_allowed":false}"#,
        ),
    ]
}

/// Runs until it is interrupted.
pub fn run(args: Args) -> Outcome {
    let folder = tempfile::Builder::new()
        .prefix("integrator-demo-")
        .tempdir()?;
    let config_args = ConfigArgs {
        listen: Some(args.listen),
        database: Some(format!(
            "sqlite://{}",
            folder.path().join("demo.db").display()
        )),
        ..ConfigArgs::default()
    };
    // The demo's endpoints are on this machine, and it retries sooner than a real hub so that there is something to see.
    let demo_defaults = [
        ("INTEGRATOR__EGRESS__ALLOW_NETWORKS", "127.0.0.0/8"),
        ("INTEGRATOR__RETRY__BASE_SECS", "2"),
        ("INTEGRATOR__POLL__INTERVAL_SECS", "1"),
        ("INTEGRATOR__LOG__LEVEL", "warn"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given: Vec<(String, String)> = environment().collect();
    let unset = demo_defaults
        .into_iter()
        .filter(|(name, _)| !given.iter().any(|(own, _)| own == name));
    let effective = config_args.load(unset.collect::<Vec<_>>().into_iter().chain(given.clone()))?;
    init_logging(
        &effective.config.log,
        std::env::var("RUST_LOG").ok().as_deref(),
    );
    let token = random_token();
    serve::Program {
        config: effective.config,
        operator_token: Some(Secret::new(token.clone())),
        quiet: true,
    }
    .run(move |base| async move { play(base, token, args.seconds).await })
}

/// Sets the stage, says what to look at, and lets the shop live until the hub stops.
async fn play(base: String, operator: String, seconds: Option<u64>) -> Outcome {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let endpoints = format!("http://{}", listener.local_addr()?);
    let temper = web::Data::new(endpoints::Temper::default());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(temper.clone())
            .configure(endpoints::configure)
    })
    .workers(1)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    actix_rt::spawn(server);

    let shop = FakeShop::start(Flavor::Spree37)?;
    let mut customers = shop::Customers::default();
    // Something is there already, so that the hub's first look has something to see.
    customers.step(&shop, wall_clock());
    let hub = HubClient::new(&base)?;
    let body = format!(
        r#"{{"store":{{"name":"Tidewater Outfitters","api_url":"{}/api/","api_key":"{KEY}"}}}}"#,
        shop.address()
    );
    let store = hub.post(&operator, "/api/stores", &body).await?;
    let id = text(&store, "id")?;
    let token = text(&store, "token")?;
    let parameter = hub
        .post(&token, &format!("/api/stores/{id}/parameters"), r#"{"name":"mail.from","data_type":"string","value":"shop@tidewater.example","secret":false}"#)
        .await?;
    let parameter = text(&parameter, "id")?;
    for (name, path, rest) in mappings() {
        let parameters = if name == "mail.confirm_order" {
            format!("\"{parameter}\"")
        } else {
            String::new()
        };
        let body = format!(
            r#"{{"mapping":{{"name":"{name}","url":"{endpoints}{path}","token":"","enabled":true,"parameters":[{parameters}],{rest}}}}}"#
        );
        hub.post(&token, &format!("/api/stores/{id}/mappings"), &body)
            .await?;
    }
    explain(&base, &id, &token, &operator)?;

    let started = tokio::time::Instant::now();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(350));
    loop {
        tick.tick().await;
        if seconds.is_some_and(|seconds| started.elapsed().as_secs() >= seconds) {
            handle.stop(false).await;
            return Ok(());
        }
        customers.step(&shop, wall_clock());
    }
}

/// The time of day: the shop's clock is right.
fn wall_clock() -> Micros {
    chrono::Utc::now().into()
}

fn explain(base: &str, store: &str, token: &str, operator: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    write!(
        out,
        r#"
Integrator runs at {base} and polls a simulated shop, "Tidewater Outfitters", every second. Orders are placed there,
changed, shipped and canceled; four small applications listen:

  mail.confirm_order   confirms each order, answers with a notification
  books.record         works asynchronously: "ask me again in 3 s"
  warehouse.ship       flaky: about one request in three fails, then it is retried; ships and says shipment:confirm
  fraud.check          refuses orders it does not like, and may not be retried: those wait for a person

Open the console in a browser: {base}/console
Its first page makes your account; the token that it asks for is {operator}

Or look at it from another terminal:

  export T={token} S={base}/api/stores/{store}

  curl -H "X-Augury-Token: $T" $S/queues                         # how many messages wait where
  curl -H "X-Augury-Token: $T" "$S/queues/accepted?state=parked" # what needs a person, and why
  curl -H "X-Augury-Token: $T" $S/queues/archived                # what was delivered
  curl -H "X-Augury-Token: $T" "$S/notifications?level=error"    # what the applications complained about
  curl -H "X-Augury-Token: $T" $S/endpoints                      # how each application does
  curl -H "X-Augury-Token: $T" $S/objects/order/R100000002       # everything that happened to an order
  curl -H "X-Augury-Token: $T" $S/health                         # how the shop answers

  # push a message of your own
  curl -H "X-Augury-Token: $T" -H 'Content-Type: application/json' $S/messages \
    -d '{{"message":"order:new","payload":{{"order":{{"number":"R1","status":"complete","totals":{{"order":12.5}}}}}}}}'

Ctrl-C stops it and removes its database.
"#
    )?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mapping_is_json() {
        for (name, _, rest) in mappings() {
            assert!(
                serde_json::from_str::<serde_json::Value>(&format!("{{{rest}}}")).is_ok(),
                "{name}"
            );
        }
    }
}

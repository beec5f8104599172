//! Four endpoint applications of different temper, each a few lines, as their authors would write them.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

/// What the applications remember.
#[derive(Debug, Default)]
pub struct Temper {
    requests: AtomicU64,
}

impl Temper {
    /// Which request this is, from 0.
    fn count(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }
}

/// The services' paths.
pub fn configure(app: &mut web::ServiceConfig) {
    app.app_data(web::JsonConfig::default().limit(10 * 1024 * 1024))
        .route("/mail/confirm_order", web::post().to(confirm_order))
        .route("/books/record", web::post().to(record))
        .route("/books/status/{number}", web::post().to(recorded))
        .route("/warehouse/ship", web::post().to(ship))
        .route("/fraud/check", web::post().to(check));
}

fn text<'a>(request: &'a Value, pointer: &str) -> &'a str {
    request
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("?")
}

async fn confirm_order(request: web::Json<Value>) -> HttpResponse {
    let (number, email) = (
        text(&request, "/payload/order/number"),
        text(&request, "/payload/order/email"),
    );
    let what = if request["message"] == "order:canceled" {
        "Cancellation"
    } else {
        "Confirmation"
    };
    HttpResponse::Ok().json(json!({
        "message_id": request["message_id"],
        "notifications": [{"level": "info", "subject": format!("{what} mailed"), "description": format!("{number} to {email}")}],
    }))
}

async fn record(request: web::Json<Value>) -> HttpResponse {
    let number = text(&request, "/payload/order/number");
    HttpResponse::Ok().json(json!({
        "message_id": request["message_id"], "delay": 3, "update_url": format!("/books/status/{number}"),
    }))
}

async fn recorded(number: web::Path<String>, request: web::Json<Value>) -> HttpResponse {
    HttpResponse::Ok()
        .json(json!({"message_id": request["message_id"], "entry": format!("journal/{number}")}))
}

async fn ship(request: web::Json<Value>, temper: web::Data<Temper>) -> HttpResponse {
    let shipment = &request["payload"]["shipment"];
    if temper.count() % 3 == 1 {
        return HttpResponse::InternalServerError().json(json!({
            "message_id": request["message_id"],
            "notifications": [{"level": "error", "subject": "Scanner offline",
                "description": format!("could not print the label of {}", text(&request, "/payload/shipment/number"))}],
        }));
    }
    let confirmed = json!({
        "number": shipment["number"], "order_number": shipment["order_number"], "status": "shipped",
        "tracking": format!("1Z{}", text(&request, "/payload/shipment/number")),
    });
    HttpResponse::Ok().json(json!({
        "message_id": request["message_id"],
        "messages": [{"message": "shipment:confirm", "payload": {"shipment": confirmed}}],
        "notifications": [{"level": "info", "subject": "Shipped", "description": text(&request, "/payload/shipment/number")}],
    }))
}

async fn check(request: web::Json<Value>) -> HttpResponse {
    HttpResponse::InternalServerError().json(json!({
        "message_id": request["message_id"],
        "notifications": [{"level": "warn", "subject": "Somebody should look at this order",
            "description": format!("{} is above our limit", text(&request, "/payload/order/number"))}],
    }))
}

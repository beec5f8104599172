//! The console's own files, compiled in: a style sheet, two scripts and an icon. Their addresses carry a digest of what is in
//! them, so browsers keep them for ever and never hold an old one.

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header, web};
use sha2::{Digest, Sha256};

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
    digest: String,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    let asset = |name, kind, text: &'static str| {
        let digest = Sha256::digest(text.as_bytes());
        Asset {
            name,
            kind,
            text,
            digest: hex::encode(digest.get(..8).unwrap_or_default()),
        }
    };
    [
        asset(
            "console.css",
            "text/css; charset=utf-8",
            include_str!("static/console.css"),
        ),
        asset(
            "console.js",
            "text/javascript; charset=utf-8",
            include_str!("static/console.js"),
        ),
        asset(
            "embed.js",
            "text/javascript; charset=utf-8",
            include_str!("static/embed.js"),
        ),
        asset("icon.svg", "image/svg+xml", include_str!("static/icon.svg")),
    ]
});

/// The address of a file.
#[must_use]
pub fn path(name: &str) -> String {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => format!("/console/assets/{}/{name}", asset.digest),
        None => String::from("/console/assets/none"),
    }
}

/// `GET /console/assets/:digest/:name`
pub async fn serve(place: web::Path<(String, String)>) -> HttpResponse {
    let (digest, name) = place.into_inner();
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => {
            let kept = if asset.digest == digest {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            };
            HttpResponse::Ok()
                .insert_header((header::CACHE_CONTROL, kept))
                .content_type(asset.kind)
                .body(asset.text)
        }
        None => HttpResponse::NotFound().finish(),
    }
}

/// `GET /embed.js`: for existing pages of a shop's admin, at an address that does not change.
pub async fn embed_script() -> HttpResponse {
    let asset = ASSETS.iter().find(|asset| asset.name == "embed.js");
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .content_type("text/javascript; charset=utf-8")
        .body(asset.map_or("", |asset| asset.text))
}

//! The console: static files built by `console/`, embedded. Any path that is no file is the application's own to route.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::Embed;

use super::problem::Problematic;

#[derive(Embed)]
#[folder = "$HOOP_CONSOLE_DIST"]
struct Files;

/// Stands in the page where the nonce goes.
const NONCE: &str = "__CSP_NONCE__";
/// Files under this folder have their content's hash in their name.
const HASHED: &str = "assets/";

pub(super) async fn serve(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") || path.starts_with("v1/") {
        return Problematic::not_found("endpoint").into_response();
    }
    if path == "index.html" {
        return page().unwrap_or_else(|| StatusCode::NOT_FOUND.into_response());
    }
    if let Some(found) = file(path) {
        return found;
    }
    // A missing asset must not come back as a page.
    if path.starts_with(HASHED) || path.rsplit('/').next().is_some_and(|name| name.contains('.')) {
        return StatusCode::NOT_FOUND.into_response();
    }
    page().unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// The page, with a nonce for the few inline styles of the console's component library. Scripts are never inline.
fn page() -> Option<Response> {
    let found = Files::get("index.html")?;
    let mut bytes = [0_u8; 18];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let nonce = data_encoding::BASE64URL.encode(&bytes);
    let text = String::from_utf8_lossy(&found.data).replace(NONCE, &nonce);
    let mut response = Body::from(text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let policy = super::CSP.replace("style-src 'self'", &format!("style-src 'self' 'nonce-{nonce}'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).ok()?);
    Some(response)
}

fn file(path: &str) -> Option<Response> {
    let found = Files::get(path)?;
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = Body::from(found.data.into_owned()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Some(response)
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

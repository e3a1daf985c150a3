//! What hoop itself answers: `Status` objects, as an API server would, so that every client shows them.

use bytes::Bytes;
use hoop_model::{Blame, Fault};
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};

/// The body of an answer. An error breaks it off.
pub(crate) type Body = BoxBody<Bytes, Broken>;

/// An answer that cannot go on.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer was broken off")]
pub(crate) struct Broken;

/// All of it at once.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// The status and the word for it that clients look at.
fn reason(fault: &Fault) -> (StatusCode, &'static str) {
    match (fault.blame, fault.code.as_str()) {
        (_, "HOOP-5054") => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
        (Blame::Caller, _) => (StatusCode::BAD_REQUEST, "BadRequest"),
        (Blame::Policy, _) => (StatusCode::FORBIDDEN, "Forbidden"),
        (Blame::Target, _) => (StatusCode::BAD_GATEWAY, "ServiceUnavailable"),
        (Blame::Network, _) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        (Blame::System, _) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

/// What a person reads of a fault.
pub(crate) fn message(fault: &Fault) -> String {
    let hint = fault.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{} ({}){hint}", fault.message, fault.code)
}

/// The `Status` object of a fault.
pub(crate) fn status(fault: &Fault) -> Bytes {
    let (code, reason) = reason(fault);
    let message = message(fault);
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    status.to_string().into()
}

/// An answer that says why not, to a request for this path. What learns an API by two of them shows no words but those of a plain text.
pub(crate) fn of(fault: &Fault, path: &str) -> Response<Body> {
    if matches!(path, "/api" | "/apis") {
        return refused(fault, message(fault).into(), "text/plain; charset=utf-8");
    }
    refused(fault, status(fault), "application/json")
}

fn refused(fault: &Fault, body: Bytes, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = reason(fault).0;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

//! JSON in and out. What cannot be read is told as a problem, with its place.

use axum::{
    extract::{FromRequest, Request, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hoop_model::{Blame, Fault};
use serde::{Serialize, de::DeserializeOwned};

use super::problem::Problematic;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problematic;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problematic> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(problem(&rejection)),
        }
    }
}

fn problem(rejection: &JsonRejection) -> Problematic {
    let status = rejection.status();
    let message = match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            "the body must be `content-type: application/json`".to_owned()
        }
        // The parser's own words name field and place, and hold nothing but the caller's input's shape.
        JsonRejection::JsonDataError(error) => format!("the body does not fit: {}", inner(error)),
        JsonRejection::JsonSyntaxError(error) => format!("the body is not JSON: {}", inner(error)),
        _ if status == StatusCode::PAYLOAD_TOO_LARGE => "the body is too large".to_owned(),
        _ => "the body cannot be read".to_owned(),
    };
    Problematic::with_status(status, Fault::new("HOOP-7003", Blame::Caller, message))
}

/// What people call things of theirs.
const LONGEST_LINE: usize = 100;

/// A text of one line that is not empty, in any script; `what` names the field.
pub(crate) fn line<'a>(what: &str, text: &'a str) -> Result<&'a str, Problematic> {
    let letters = text.chars().count();
    if text.trim().is_empty() || letters > LONGEST_LINE || text.chars().any(char::is_control) {
        return Err(Problematic::bad_request(format!(
            "{what} must be 1 to {LONGEST_LINE} characters in one line"
        )));
    }
    Ok(text)
}

fn inner(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().chars().filter(|c| !c.is_control()).take(300).collect()
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

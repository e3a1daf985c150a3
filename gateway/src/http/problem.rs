//! How a failure leaves the API: a [`Problem`] with its status. Inner errors are logged here, once, and stay here.

use std::fmt::Display;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hoop_api::Problem;
use hoop_model::{Blame, Fault};
use hoop_store::{Conflict, StoreError};

/// A failure on its way out.
#[derive(Debug)]
pub(crate) struct Problematic {
    status: StatusCode,
    fault: Box<Fault>,
    retry_after: Option<u64>,
}

/// What handlers answer.
pub(crate) type Answer<T> = Result<T, Problematic>;

impl Problematic {
    pub(crate) fn with_status(status: StatusCode, fault: Fault) -> Self {
        Self { status, fault: Box::new(fault), retry_after: None }
    }

    /// Our own failure: logged, and not told.
    pub(crate) fn internal(error: impl Display) -> Self {
        tracing::error!(%error, "request failed inside");
        Self::with_status(
            StatusCode::INTERNAL_SERVER_ERROR,
            Fault::new("HOOP-9001", Blame::System, "the gateway failed to handle this")
                .with_hint("its log says why"),
        )
    }

    /// Nobody is signed in, or not any more.
    pub(crate) fn unauthenticated() -> Self {
        let fault =
            Fault::new("HOOP-3002", Blame::Policy, "you are not signed in, or your sign-in has ended");
        Self::with_status(
            StatusCode::UNAUTHORIZED,
            fault.with_hint("sign in: `hoop login`, or in the console"),
        )
    }

    /// A sign-in that failed. One answer for every reason.
    pub(crate) fn wrong_credentials() -> Self {
        let fault = Fault::new("HOOP-3001", Blame::Policy, "name, password or code is wrong");
        let hint =
            "a code is good once: wait for the next; after several failures sign-in is locked for a while";
        Self::with_status(StatusCode::UNAUTHORIZED, fault.with_hint(hint))
    }

    /// Another sign-in that failed: as that, one answer for every reason.
    pub(crate) fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::UNAUTHORIZED, Fault::new(code, Blame::Policy, message))
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::FORBIDDEN, Fault::new(code, Blame::Policy, message))
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let fault =
            Fault::new("HOOP-7002", Blame::Caller, format!("there is no such {what} that you may see"));
        Self::with_status(StatusCode::NOT_FOUND, fault)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::BAD_REQUEST, Fault::new("HOOP-7003", Blame::Caller, message))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::with_status(StatusCode::CONFLICT, Fault::new("HOOP-7006", Blame::Caller, message))
    }

    pub(crate) fn too_many(seconds: u64) -> Self {
        let fault = Fault::new("HOOP-7007", Blame::Caller, "too many attempts")
            .with_hint("wait a minute, then try again");
        Self { retry_after: Some(seconds), ..Self::with_status(StatusCode::TOO_MANY_REQUESTS, fault) }
    }

    /// Its stable code.
    pub(crate) fn code(&self) -> &str {
        self.fault.code.as_str()
    }

    /// What happened, for people.
    pub(crate) fn message(&self) -> &str {
        &self.fault.message
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// As a message has it, where there is no status to tell.
    pub(crate) fn into_problem(self) -> Problem {
        Problem::from(&*self.fault)
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.fault.hint = Some(hint.to_owned());
        self
    }
}

impl From<Fault> for Problematic {
    fn from(fault: Fault) -> Self {
        let status = match fault.blame {
            Blame::Caller => StatusCode::BAD_REQUEST,
            Blame::Policy => StatusCode::FORBIDDEN,
            Blame::Target => StatusCode::BAD_GATEWAY,
            Blame::Network => StatusCode::SERVICE_UNAVAILABLE,
            Blame::System => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::with_status(status, fault)
    }
}

impl From<StoreError> for Problematic {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(what),
            StoreError::Conflict(Conflict::NameTaken) => Self::conflict("the name is taken"),
            StoreError::Conflict(conflict) => Self::conflict(conflict.to_string()),
            StoreError::Unavailable(_) => {
                tracing::error!(%error, "store is not available");
                let fault = Fault::new("HOOP-9002", Blame::System, "the gateway's store is not available");
                Self::with_status(
                    StatusCode::SERVICE_UNAVAILABLE,
                    fault.with_hint("try again; `/readyz` tells operators"),
                )
            }
            StoreError::Corrupt(_) | StoreError::Setting(_) => Self::internal(error),
        }
    }
}

impl IntoResponse for Problematic {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Problem::from(&*self.fault))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_errors_stay_inside() {
        let problem = Problematic::internal("secret path /var/lib/x");
        assert!(!format!("{} {:?}", problem.fault.message, problem.fault.hint).contains("/var"));
        let problem = Problematic::from(StoreError::Unavailable("postgres://hoop:pw@db".into()));
        assert!(!problem.fault.message.contains("postgres"));
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn blame_decides_the_status() {
        for (blame, status) in
            [(Blame::Caller, 400), (Blame::Policy, 403), (Blame::Target, 502), (Blame::Network, 503)]
        {
            assert_eq!(Problematic::from(Fault::new("HOOP-0000", blame, "x")).status.as_u16(), status);
        }
    }
}

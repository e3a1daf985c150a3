//! What can go wrong on the person's side, said so that they know whose fault it is and what to do next.
//!
//! An error that the gateway sent is shown as the gateway put it; ours have codes `HOOP-1xxx`.

use hoop_api::Problem;
use hoop_model::{Blame, Code, Fault};
use serde::{Deserialize, Serialize};

/// Where an error comes from, which decides the exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// This program or this machine.
    Own,
    /// What the person asked for makes no sense.
    Usage,
    /// Not allowed, or not there: the two look alike on purpose.
    Denied,
    /// No valid sign-in.
    NotSignedIn,
    /// The gateway, the agent or the target cannot be reached.
    Away,
}

/// An error of the client library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{fault}")]
pub struct ClientError {
    /// Where it comes from.
    pub class: Class,
    /// What to tell the person.
    pub fault: Fault,
}

/// Shorthand of this crate.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

impl ClientError {
    /// A fault of this machine or program.
    pub fn own(code: &'static str, message: impl Into<String>) -> Self {
        Self { class: Class::Own, fault: Fault::new(code, Blame::System, message) }
    }

    /// A request that makes no sense.
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self { class: Class::Usage, fault: Fault::new(code, Blame::Caller, message) }
    }

    /// Something is out of reach.
    pub fn away(code: &'static str, message: impl Into<String>) -> Self {
        Self { class: Class::Away, fault: Fault::new(code, Blame::Network, message) }
    }

    /// Nobody is signed in here.
    #[must_use]
    pub fn not_signed_in(message: impl Into<String>) -> Self {
        Self { class: Class::NotSignedIn, fault: Fault::new("HOOP-1001", Blame::Caller, message) }
            .hint("run `hoop login`")
    }

    /// Not allowed, by this side's own check.
    pub fn denied(code: &'static str, message: impl Into<String>) -> Self {
        Self { class: Class::Denied, fault: Fault::new(code, Blame::Policy, message) }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.fault = self.fault.with_hint(hint);
        self
    }

    /// What the gateway answered instead of what was asked for.
    #[must_use]
    pub fn answered(status: u16, problem: Option<Problem>) -> Self {
        let (class, blame) = match status {
            401 => (Class::NotSignedIn, Blame::Caller),
            403 | 404 => (Class::Denied, Blame::Policy),
            502 => (Class::Away, Blame::Target),
            503 | 504 => (Class::Away, Blame::Network),
            400..=499 => (Class::Usage, Blame::Caller),
            _ => (Class::Own, Blame::System),
        };
        let Some(problem) = problem else {
            let message = format!("the gateway answered with HTTP status {status} and no explanation");
            return Self { class, fault: Fault::new("HOOP-1009", blame, message) };
        };
        let code =
            serde_json::from_value(serde_json::Value::String(problem.code)).unwrap_or(Code::new("HOOP-1009"));
        Self { class, fault: Fault { code, blame, message: problem.message, hint: problem.hint } }
    }

    /// Carries this code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.fault.code.as_str() == code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_the_class_and_the_text_stays_the_gateways() {
        let problem =
            Problem { code: "HOOP-2003".into(), message: "not allowed".into(), hint: Some("ask".into()) };
        let table = [
            (400, Class::Usage),
            (401, Class::NotSignedIn),
            (403, Class::Denied),
            (404, Class::Denied),
            (409, Class::Usage),
            (429, Class::Usage),
            (500, Class::Own),
            (502, Class::Away),
            (503, Class::Away),
        ];
        for (status, class) in table {
            let error = ClientError::answered(status, Some(problem.clone()));
            assert_eq!(error.class, class, "{status}");
            assert!(error.is("HOOP-2003"));
            assert_eq!(error.to_string(), "not allowed (HOOP-2003)\nhint: ask");
        }
    }

    #[test]
    fn an_answer_without_explanation_is_an_error_of_its_own() {
        assert!(ClientError::answered(500, None).is("HOOP-1009"));
    }
}

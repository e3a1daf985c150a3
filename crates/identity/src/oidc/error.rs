//! What can go wrong in a sign-in through a provider, and whose fault it is.

use hoop_model::{Blame, Fault};

/// The caller's HTTP function got no answer. The text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpFailure(pub String);

/// A sign-in through a provider failed. `Display` is for the log; a person gets the [`Fault`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The operator's fault.
    #[error("the identity provider is configured wrongly: {0}")]
    Setting(String),
    /// The provider cannot be reached, or answers with an error of its own.
    #[error("the identity provider did not answer: {0}")]
    Unreachable(String),
    /// The provider (or somebody in its place) answers what cannot be accepted.
    #[error("the identity provider's answer was not accepted: {0}")]
    Untrusted(String),
    /// The provider said no: its error code, such as `access_denied`.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// The callback does not belong to this browser's sign-in: forged, repeated, or of another tab.
    #[error("the answer does not belong to a sign-in that was begun here: {0}")]
    Callback(&'static str),
    /// The provider does not stand by a sign-in of before any more: the person was removed there, or its time is over.
    #[error("the identity provider ended the sign-in")]
    Ended,
    /// The provider's word is good, but the person cannot have an account here.
    #[error("the provider's claims make no account: {0}")]
    Claims(String),
    /// Our own fault.
    #[error("the system's random source failed")]
    NoRandomness,
}

impl From<&OidcError> for Fault {
    fn from(error: &OidcError) -> Self {
        let again = "begin the sign-in again";
        let admin = "tell your administrator: the gateway's log says more";
        match error {
            OidcError::Setting(_) => {
                Self::new("HOOP-3101", Blame::System, "the identity provider is not set up rightly")
                    .with_hint(admin)
            }
            OidcError::Unreachable(_) => {
                Self::new("HOOP-3102", Blame::Network, "the identity provider does not answer")
                    .with_hint(again)
            }
            OidcError::Untrusted(_) => {
                Self::new("HOOP-3103", Blame::Policy, "the identity provider's answer was not accepted")
                    .with_hint(admin)
            }
            OidcError::Refused(code) => Self::new(
                "HOOP-3104",
                Blame::Policy,
                format!("the identity provider refused the sign-in ({code})"),
            ),
            OidcError::Callback(_) => {
                Self::new("HOOP-3105", Blame::Caller, "this sign-in was not begun here, or is over")
                    .with_hint(again)
            }
            OidcError::Ended => {
                Self::new("HOOP-3108", Blame::Policy, "the identity provider ended your sign-in")
                    .with_hint("sign in again: `hoop login`")
            }
            OidcError::Claims(_) => {
                Self::new("HOOP-3106", Blame::Policy, "the identity provider's account cannot be used here")
                    .with_hint(admin)
            }
            OidcError::NoRandomness => {
                Self::new("HOOP-9010", Blame::System, "the sign-in could not be begun")
            }
        }
    }
}

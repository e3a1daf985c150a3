//! What crosses HTTP: request and response types of the public API, and nothing else crosses.
//!
//! The gateway's handlers, the `hoop` command, and (through the OpenAPI document made from these types) the console all
//! share them. Field names are `snake_case`, times RFC 3339, ids text with a prefix, errors a [`Problem`]. Unknown
//! fields in requests are refused.

pub mod audit;
pub mod auth;
pub mod capabilities;
pub mod holds;
pub mod manage;
pub mod notices;
pub mod passkeys;
pub mod recording_keys;
pub mod requests;
pub mod rules;
pub mod sealed_codes;
pub mod services;
pub mod sessions;
pub mod terminals;

pub use hoop_model::Fault;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The path that every endpoint starts with.
pub const PREFIX: &str = "/api/v1";

/// The header that carries the CSRF token of a browser session (double submit, with a `SameSite=Strict` cookie).
pub const CSRF_HEADER: &str = "x-hoop-csrf";
/// A page asks by itself, with nobody there: its request is no use of the sign-in, which ends when it is not used.
pub const UNATTENDED_HEADER: &str = "x-hoop-unattended";

/// An error: HTTP status by `blame`, body as here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable code such as `HOOP-3001`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&Fault> for Problem {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.code.to_string(), message: fault.message.clone(), hint: fault.hint.clone() }
    }
}

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, newest first unless said otherwise.
    pub items: Vec<T>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `GET /info` (anonymous): what a client must know before sign-in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Info {
    /// Version of the gateway.
    pub version: String,
    /// Host name that session data is dialled under (SNI).
    pub public_host: String,
    /// Port of session data.
    pub public_port: u16,
    /// Certificates of the internal CA, PEM.
    pub ca_pem: String,
    /// Built-in accounts can sign in.
    pub password_login: bool,
    /// People can have passkeys: the gateway's public host is a name.
    #[serde(default)]
    pub passkeys: bool,
    /// Label of the identity provider's button, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_label: Option<String>,
    /// Protocols that this build speaks.
    pub protocols: Vec<String>,
}

//! The side towards targets: credentials, dialling, cancel requests.

pub(crate) mod cancel;
pub(crate) mod credential;
pub(crate) mod dial;

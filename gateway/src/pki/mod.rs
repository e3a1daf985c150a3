//! The internal CA and what it issues.

mod authority;

pub use authority::{
    Authority, Issued, PkiError, ServerIdentity, agent_of, agent_uri, expiry_of, request_key_sha256,
    session_uri, sha256_hex,
};

//! SCIM 2.0 (RFC 7643, RFC 7644) as far as identity providers use it to provision people and groups: filters, resources
//! and PATCH, read from bytes that anybody may have written.
//!
//! It must not know stores, sockets or who may do what. Unknown attributes are left alone (RFC 7644 §3.5.2 lets a service
//! ignore what it does not have); what is known and wrong is refused; everything is bounded.

mod filter;
mod patch;
mod path;
mod resource;

pub use filter::Filter;
pub use patch::{GroupChange, GroupPatch, UserChange, group_patch, user_patch};
pub use path::Path;
pub use resource::{Group, User};

/// Longest filter or path, bytes.
pub const LONGEST_TEXT: usize = 512;
/// Most operations of one PATCH.
pub const MOST_OPERATIONS: usize = 1000;
/// Most members that one request names.
pub const MOST_MEMBERS: usize = 10_000;

/// Why a request is refused; the words of RFC 7644 §3.12.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScimError {
    /// The filter is none of those that are supported.
    #[error("filters are `attribute eq \"value\"`")]
    InvalidFilter,
    /// The body is no JSON object, or not of the form that it should have.
    #[error("{0}")]
    InvalidSyntax(&'static str),
    /// The path of a PATCH cannot be read, or leads to nothing that can be changed.
    #[error("the path cannot be read, or names nothing that can be changed")]
    InvalidPath,
    /// A value is missing or of the wrong kind.
    #[error("{0}")]
    InvalidValue(&'static str),
    /// More than one request may bring.
    #[error("{0}")]
    TooMany(&'static str),
}

impl ScimError {
    /// The `scimType` of the error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::InvalidSyntax(_) => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::InvalidValue(_) => "invalidValue",
            Self::TooMany(_) => "tooMany",
        }
    }
}

/// For fuzzing: whatever the bytes are, reading them ends with a value or an error.
pub fn fuzz_reader(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (Filter::parse(text), Path::parse(text));
    }
    let _ = (User::parse(data), Group::parse(data), user_patch(data), group_patch(data));
}

//! Sealed codes: a way in while the identity provider is away.

use hoop_model::{CodeSetId, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /sealed-codes` (admin): one code for each holder.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCodeSet {
    /// Who keeps a code each: 2 to 20 different people.
    #[schema(value_type = Vec<String>)]
    pub holders: Vec<UserName>,
    /// How many of them it takes, at least 2.
    pub needed: u32,
    /// Void after so many seconds, at most 366 days.
    pub valid_for_seconds: u64,
}

/// The codes, shown this once: to be printed, and given to their holders in envelopes.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CodeSetMade {
    /// The set.
    #[schema(value_type = String)]
    pub id: CodeSetId,
    /// How many holders it takes.
    pub needed: u32,
    /// Void after.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
    /// One for each holder.
    pub codes: Vec<HolderCode>,
}

/// A holder's code.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct HolderCode {
    /// Whose.
    #[schema(value_type = String)]
    pub holder: UserName,
    /// The secret.
    pub code: String,
}

/// `GET /sealed-codes` (admin, auditor), newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CodeSetView {
    /// The set.
    #[schema(value_type = String)]
    pub id: CodeSetId,
    /// How many holders it takes.
    pub needed: u32,
    /// Enough codes are left, and it is neither revoked nor too old.
    pub good: bool,
    /// Who made it.
    #[schema(value_type = String)]
    pub made_by: UserName,
    /// When.
    #[schema(value_type = String)]
    pub made_at: Timestamp,
    /// Void after.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
    /// Void since.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub revoked_at: Option<Timestamp>,
    /// By holder, without the codes.
    pub codes: Vec<CodeView>,
}

/// What became of a code.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CodeView {
    /// Who keeps it.
    #[schema(value_type = String)]
    pub holder: UserName,
    /// Used when.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub used_at: Option<Timestamp>,
    /// For whose sign-in.
    #[serde(default)]
    pub used_by: Option<String>,
}

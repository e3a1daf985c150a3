//! Service accounts and their API tokens.

use hoop_model::{Role, Timestamp, TokenId, TokenScope, UserId, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /service-accounts` (admin, auditor): a program that opens sessions or reads evidence.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceAccountView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Its name, as `subjects.service_accounts` of an access rule names it.
    #[schema(value_type = String)]
    pub name: UserName,
    /// `user` or `auditor`.
    #[schema(value_type = String)]
    pub role: Role,
    /// Its tokens are void and it gets no new ones.
    pub locked: bool,
    /// How many of its tokens are good.
    pub tokens: u64,
    /// Last use of one of them, to the minute.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub used_at: Option<Timestamp>,
}

/// `POST /service-accounts` (admin). It can do nothing before it has a token, and nothing that no rule lets it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// Its name; nobody else has or had it.
    #[schema(value_type = String)]
    pub name: UserName,
    /// `user` or `auditor`.
    #[serde(default = "default_role")]
    #[schema(value_type = String)]
    pub role: Role,
}

const fn default_role() -> Role {
    Role::User
}

/// `PATCH /service-accounts/{name}` (admin).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountChange {
    /// Lock (revokes its tokens and ends its sessions) or unlock (it needs new tokens).
    pub locked: bool,
}

/// `GET /service-accounts/{name}/tokens` (admin, auditor), newest first; void ones for 30 days after their end.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiTokenView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TokenId,
    /// What it is for, as its maker put it.
    pub name: String,
    /// `connect`, `evidence:read` or `scim`: all that it opens.
    #[schema(value_type = String)]
    pub scope: TokenScope,
    /// Who made it.
    #[schema(value_type = String)]
    pub made_by: UserName,
    /// When.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// Void after.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
    /// Last use, to the minute.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub used_at: Option<Timestamp>,
    /// Ended early.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub revoked_at: Option<Timestamp>,
    /// It can be used.
    pub good: bool,
}

/// `POST /service-accounts/{name}/tokens` (admin).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiToken {
    /// What it is for: 1 to 100 characters in one line.
    pub name: String,
    /// `connect`, `evidence:read` (the account must be an auditor) or `scim`.
    #[schema(value_type = String)]
    pub scope: TokenScope,
    /// Seconds that it is good for: 90 days if not said, at most 366.
    #[serde(default = "default_ttl")]
    pub ttl_seconds: u64,
}

const fn default_ttl() -> u64 {
    90 * 24 * 3600
}

/// What every API token begins with.
pub const TOKEN_PREFIX: &str = "hoop_sa_";

/// An API token, shown once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiTokenMade {
    /// `hoop_sa_…`, for `Authorization: Bearer` or `HOOP_TOKEN`. The gateway keeps a hash.
    pub token: String,
    /// What can be read of it later.
    pub view: ApiTokenView,
}

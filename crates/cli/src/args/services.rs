//! `hoop admin service-accounts` and `hoop admin tokens`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hoop_model::{TokenId, TokenScope, UserName};

use super::{Form, period};

/// `hoop admin service-accounts`
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAccounts {
    /// List service accounts
    Ls(Form),
    /// Add one: it can do nothing before it has a token and a rule that names it
    Add(AddServiceAccount),
    /// Lock one: its tokens are void and its sessions end now
    Lock(OneServiceAccount),
    /// Unlock one: it needs new tokens
    Unlock(OneServiceAccount),
    /// Remove one for good: its tokens are void, its sessions end, its name is not given again
    Rm(OneServiceAccount),
}

/// What a service account may do besides what rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceRole {
    /// Opens the connections that rules allow
    User,
    /// Reads all sessions and evidence, with a token for that
    Auditor,
}

impl From<ServiceRole> for hoop_model::Role {
    fn from(role: ServiceRole) -> Self {
        match role {
            ServiceRole::User => Self::User,
            ServiceRole::Auditor => Self::Auditor,
        }
    }
}

/// `hoop admin service-accounts add`
#[derive(Debug, Args)]
pub(crate) struct AddServiceAccount {
    /// Its name, as `subjects.service_accounts` of a rule names it
    pub(crate) name: UserName,
    /// What it may do besides what rules say
    #[arg(long, value_enum, default_value_t = ServiceRole::User)]
    pub(crate) role: ServiceRole,
    #[command(flatten)]
    pub(super) form: Form,
}

/// A service account.
#[derive(Debug, Args)]
pub(crate) struct OneServiceAccount {
    /// Its name
    pub(crate) name: UserName,
    #[command(flatten)]
    pub(super) form: Form,
}

/// `hoop admin tokens`
#[derive(Debug, Subcommand)]
pub(crate) enum ApiTokens {
    /// List an account's tokens, newest first
    Ls(OneServiceAccount),
    /// Make a token, and print it: it is shown only now
    #[command(after_help = "\
Scopes:
  connect        opens sessions on the connections that rules allow, and sees its own
  evidence:read  reads sessions, recordings and the ledger; the account must be an auditor
  scim           for the provisioning of an identity provider, and nothing else

Examples:
  hoop admin tokens add ci --name 'nightly report' > token
  hoop admin tokens add ci --name 'nightly report' --for 7d -o json
  HOOP_GATEWAY=https://hoop.example.org HOOP_TOKEN_FILE=token hoop connect pg -- psql -c 'select 1'")]
    Add(AddApiToken),
    /// Revoke a token, or all of an account: sessions that rest on them end now
    Revoke(RevokeApiToken),
}

/// `hoop admin tokens add`
#[derive(Debug, Args)]
pub(crate) struct AddApiToken {
    /// Whose it is
    pub(crate) account: UserName,
    /// What it is for: people read it when they wonder whether it can go
    #[arg(long)]
    pub(crate) name: String,
    /// All that it opens
    #[arg(long, default_value = "connect")]
    pub(crate) scope: TokenScope,
    /// How long it is good, at most 366d
    #[arg(long = "for", value_name = "TIME", value_parser = period, default_value = "90d")]
    pub(crate) life: Duration,
    #[command(flatten)]
    pub(super) form: Form,
}

/// `hoop admin tokens revoke`
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false, args = ["id", "all"])]
pub(crate) struct RevokeApiToken {
    /// Whose it is
    pub(crate) account: UserName,
    /// Which one (tok_..., see `hoop admin tokens ls`)
    pub(crate) id: Option<TokenId>,
    /// All of the account
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(super) form: Form,
}

//! `hoop admin holds`.

use clap::{Args, Subcommand};
use hoop_model::{ConnectionName, HoldId, SessionId, UserName};

use super::Form;

/// `hoop admin holds`
#[derive(Debug, Subcommand)]
pub(crate) enum Holds {
    /// List them, those in force first
    Ls(Form),
    /// Keep recordings: nothing that the hold covers is deleted until it is released
    #[command(after_help = "\
Examples:
  hoop admin holds place --session ses_... --reason 'case 2026-17'
  hoop admin holds place --user ada --reason 'case 2026-17'             all of hers, also those to come
  hoop admin holds place --connection pg-prod --reason 'incident 4711'")]
    Place(PlaceHold),
    /// Let them be deleted when their time is over
    Release(ReleaseHold),
}

impl Holds {
    pub(super) const fn form(&self) -> Form {
        match self {
            Self::Ls(form) => *form,
            Self::Place(args) => args.form,
            Self::Release(args) => args.form,
        }
    }
}

/// `hoop admin holds place`
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["session", "user", "connection"])]
pub(crate) struct PlaceHold {
    /// The recording of one session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<SessionId>,
    /// The recordings of a person
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<UserName>,
    /// The recordings of a connection
    #[arg(long, value_name = "NAME")]
    pub(crate) connection: Option<ConnectionName>,
    /// Why: the matter, the case
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin holds release`
#[derive(Debug, Args)]
pub(crate) struct ReleaseHold {
    /// Its id: hld_…
    pub(crate) id: HoldId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    form: Form,
}

//! `hoop admin sealed-codes`.

use std::time::Duration;

use clap::{Args, Subcommand};
use hoop_model::{CodeSetId, UserName};

use super::{Form, period};

/// `hoop admin sealed-codes`
#[derive(Debug, Subcommand)]
pub(crate) enum SealedCodes {
    /// List sets, who holds codes of them, and which were used
    Ls(Form),
    /// Make a set: one code for each holder, shown once
    Make(MakeSealedCodes),
    /// Make all codes of a set void
    Revoke(RevokeSealedCodes),
}

impl SealedCodes {
    pub(super) const fn form(&self) -> Form {
        match self {
            Self::Ls(form) => *form,
            Self::Make(args) => args.form,
            Self::Revoke(args) => args.form,
        }
    }
}

/// `hoop admin sealed-codes make`
#[derive(Debug, Args)]
#[command(after_help = "\
Print what it shows, one code a page, and give each holder theirs in a sealed envelope. When nobody can sign in:
  hoop login --sealed-codes --user ada      asks for the codes of as many holders as --needed says
  hoop break-glass pg-prod --reason ... --incident ...
The access rules decide for whom: break_glass rules with `sealed_codes: true`. Everybody is told of each use.

Examples:
  hoop admin sealed-codes make --holder ben --holder cat --holder dan --needed 2 --for 180d")]
pub(crate) struct MakeSealedCodes {
    /// Somebody who keeps a code; again for each
    #[arg(long = "holder", value_name = "NAME", required = true)]
    pub(crate) holders: Vec<UserName>,
    /// How many of them it takes
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub(crate) needed: u32,
    /// Void after this time (180d, 12h)
    #[arg(long = "for", value_name = "TIME", value_parser = period, default_value = "180d")]
    pub(crate) life: Duration,
    #[command(flatten)]
    pub(super) form: Form,
}

/// `hoop admin sealed-codes revoke`
#[derive(Debug, Args)]
pub(crate) struct RevokeSealedCodes {
    /// Its id, as `ls` shows it
    pub(crate) id: CodeSetId,
    #[command(flatten)]
    pub(super) form: Form,
}

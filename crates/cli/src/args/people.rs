//! `hoop admin users`.

use clap::{Args, Subcommand, ValueEnum};
use hoop_model::{GroupName, LoginId, UserName};

use super::Form;

/// `hoop admin users`
#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// List people
    Ls(Form),
    /// Add a built-in account, and print the one-use link to hand over
    Add(AddUser),
    /// Change role or groups
    Set(SetUser),
    /// Make a new one-use link: password and second factor are set anew
    Reset(OneUser),
    /// Lock an account: its sign-ins and sessions end now
    Lock(OneUser),
    /// Unlock an account
    Unlock(OneUser),
    /// Show one person
    Show(OneUser),
    /// Say that two accounts are the same person's
    #[command(after_help = "\
Where somebody must be another than somebody else, persons count and not accounts: nobody approves, reviews or counts twice
under a second name, and an admin changes neither the account of their own that they work with nor what it may open.

  hoop admin users link ada-admin ada")]
    Link(LinkUsers),
    /// Take an account out again: it is nobody's second one
    Unlink(OneUser),
    /// List somebody's sign-ins
    SignIns(OneUser),
    /// End one of somebody's sign-ins, or all of them with their sessions
    SignOut(EndSignIns),
}

impl Users {
    pub(super) const fn form(&self) -> Form {
        match self {
            Self::Ls(form) => *form,
            Self::Add(args) => args.form,
            Self::Set(args) => args.form,
            Self::Reset(one)
            | Self::Lock(one)
            | Self::Unlock(one)
            | Self::Show(one)
            | Self::Unlink(one)
            | Self::SignIns(one) => one.form,
            Self::Link(args) => args.form,
            Self::SignOut(args) => args.form,
        }
    }
}

/// What somebody may do in the system as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Opens the connections that policy allows
    User,
    /// The same, and decides on requests where a rule names the role
    Approver,
    /// Sees all sessions and evidence, changes nothing
    Auditor,
    /// Manages people, agents and connections
    Admin,
}

impl From<Role> for hoop_model::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Approver => Self::Approver,
            Role::Auditor => Self::Auditor,
            Role::Admin => Self::Admin,
        }
    }
}

/// `hoop admin users add`
#[derive(Debug, Args)]
pub(crate) struct AddUser {
    /// Login name
    pub(crate) name: UserName,
    /// What they may do
    #[arg(long, value_enum, default_value_t = Role::User)]
    pub(crate) role: Role,
    /// A group; may be repeated
    #[arg(short, long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<GroupName>,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin users set`
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["role", "groups", "no_groups"])]
pub(crate) struct SetUser {
    /// Login name
    pub(crate) name: UserName,
    /// New role
    #[arg(long, value_enum)]
    pub(crate) role: Option<Role>,
    /// The groups from now on; may be repeated
    #[arg(short, long = "group", value_name = "GROUP", conflicts_with = "no_groups")]
    pub(crate) groups: Vec<GroupName>,
    /// No groups from now on
    #[arg(long)]
    pub(crate) no_groups: bool,
    #[command(flatten)]
    form: Form,
}

/// A person.
#[derive(Debug, Args)]
pub(crate) struct OneUser {
    /// Login name
    pub(crate) name: UserName,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin users link`
#[derive(Debug, Args)]
pub(crate) struct LinkUsers {
    /// One account, such as the one they administer with
    pub(crate) name: UserName,
    /// The other, such as the one they work with
    pub(crate) account: UserName,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin users sign-out`
#[derive(Debug, Args)]
#[group(id = "which", required = true, args = ["id", "all"])]
pub(crate) struct EndSignIns {
    /// Login name
    pub(crate) name: UserName,
    /// Which one (see `hoop admin users sign-ins NAME`)
    pub(crate) id: Option<LoginId>,
    /// All, and every live session
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    form: Form,
}

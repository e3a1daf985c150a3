//! Who may open what, and which requests may go on to a target.
//!
//! Two questions, neither with I/O or a clock (`now` is an argument), each denying what it does not know:
//!
//! - [`rules::Policy::decide`]: may this person open this connection? Answers with a [`rules::Permission`] or a
//!   [`rules::Refusal`].
//! - [`Warrant::decide`]: may this request of a running session go to the target? Answers with a [`Permit`] or a
//!   [`Denial`].
//!
//! [`cases`] asks both questions of a rule file without a gateway: its tests.
//!
//! A [`Permit`] cannot be made outside this crate. Code that moves a request to a target takes one, so a path that
//! forgot to ask does not compile.

pub mod bundle;
pub mod cases;
mod cluster;
mod column;
mod commands;
mod explained;
mod hash;
mod known;
mod masking;
pub mod rego;
mod request;
pub mod rules;
mod statement;
mod statements;
mod terms;

pub use cluster::{
    ClusterRequest, ClusterRule, ClusterVerb, KnownLabels, NotOfACluster, ObjectPattern, PathPattern,
    ResourcePattern,
};
pub use column::{ColumnPattern, NotAColumn};
pub use commands::{AllowOrDeny, CommandPattern, CommandRule, NotACommand};
pub use explained::{Explained, Held, Questions, Ruling};
pub use hash::{NotAHash, Sha256};
pub use masking::{ColumnFate, ColumnRule, Computed, Hosts, Keeping, Masking, MaskingRules, Show, View};
pub use rego::BoundValue;
pub use request::{Action, Channel, Denial, Forwarding, Permit, Rules, Verdict, Warning, Warrant};
pub use statement::{OnlyStatement, StatementHash};
pub use statements::{
    Condition, Message, NotAMessage, NotATable, StatementAction, StatementRule, TablePattern, TextPattern,
};
pub use terms::{AtMost, Meters, NotASize, Rate, Returned, Size, Terms};

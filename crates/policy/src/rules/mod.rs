//! Access rules: who may open which connections, when, on what conditions and within which limits.
//!
//! An [`AccessPolicy`] is the rule file, read and checked; [`Policy`] is the same, indexed, and decides. Everything is
//! a pure function of its arguments, `now` among them, and everything that is not allowed by a rule is denied.
//!
//! The first rule in the file that allows a session decides its terms. Service accounts are named as such: a rule for
//! a group is about people, who prove a second factor.

mod asking;
mod check;
mod compiled;
mod decide;
mod diff;
mod document;
mod parse;
mod reach;
mod refusal;
mod windows;
mod words;

pub use asking::{
    Approval, Asking, BreakGlassPermission, ConnectionFacts, Decider, MfaProof, Permission, Person,
    PersonKind, Stay, Staying,
};
pub use check::Problem;
pub use compiled::Policy;
pub use decide::{Unapprovable, Wanted};
pub use diff::{Diff, FieldDiff, Reordered, RuleDiff};
pub use document::{
    ApprovalRule, BreakGlassLimits, BreakGlassRule, Conditions, Connections, Deciders, Limits, MfaRule,
    People, Rule, Subjects, TimeWindow,
};
pub(crate) use document::{filled, present};
pub use parse::{AccessPolicy, LONGEST_FILE, Place, PolicyError};
pub(crate) use parse::{place, read_yaml};
pub use reach::{Considered, Outcome, Reach};
pub use refusal::{Leave, Missing, Refusal, Term};
pub(crate) use words::is_visible;
pub use words::{
    Clock, ConnectionPattern, Day, DecidingRole, MfaMethod, Network, OpenedBy, Period, RecordingMode,
    Retention, TargetUser, WordError, Zone,
};

//! Why not, in words that say what to do.

use std::time::Duration;

use hoop_model::{Blame, ConnectionName, Fault, RuleName, Timestamp};
use serde::{Deserialize, Serialize};

use super::words::{MfaMethod, Period};
use crate::rego::{Answer, When};

const ONLY_ADMINISTERS: &str = "this account is for administration alone: it opens nothing";
const USE_YOUR_OWN: &str = "sign in with your own user account: `hoop login`";

/// Why a person may not open a connection now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No rule names this person and this connection, or there is no such connection: the two look alike.
    #[error("no access rule allows this")]
    NotAllowed,
    /// The account is locked.
    #[error("this account is locked")]
    Locked,
    /// The account administers, and whoever does opens nothing with the same account.
    #[error("{ONLY_ADMINISTERS}")]
    OnlyAdministers,
    /// A rule would allow it if this held. Never empty; what the person cannot help comes first.
    #[error("{}", sentences(what))]
    Missing {
        /// The rule that is nearest to allowing it.
        rule: RuleName,
        /// What it misses.
        what: Vec<Missing>,
    },
}

/// One condition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Missing {
    /// The request comes from elsewhere.
    #[error("it is not allowed from this network")]
    Network,
    /// No time window is open.
    #[error("it is closed at this time{}", opens_at.map(|at| format!(" and opens at {at}")).unwrap_or_default())]
    Closed {
        /// When one opens next.
        opens_at: Option<Timestamp>,
    },
    /// A condition in Rego is not `true`.
    #[error("condition {path} {answer}")]
    When {
        /// Which rule of which package.
        path: When,
        /// What came of it.
        answer: Answer,
    },
    /// The gateway could read along.
    #[error("it is allowed end to end only")]
    EndToEnd,
    /// As many sessions live as may.
    #[error("at most {limit} sessions may be open at once")]
    TooManySessions {
        /// How many may.
        limit: u32,
    },
    /// Others must approve, or their approval is over or was for something else.
    #[error("it needs the approval of {count}")]
    Approval {
        /// How many different people.
        count: u8,
        /// For how long at most.
        longest: Period,
    },
    /// No fresh second factor of the right kind.
    #[error("it needs a second factor ({}) proven in the last {max_age}", listed(methods))]
    Mfa {
        /// How fresh.
        max_age: Period,
        /// Which kind.
        methods: Vec<MfaMethod>,
    },
    /// No reason was given.
    #[error("it needs a reason")]
    Reason,
}

impl Missing {
    /// What the sentence leaves out: for those who write rules, not for whoever is refused.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::When { answer: Answer::Failed { error }, .. } => Some(error),
            _ => None,
        }
    }

    /// How far it is from holding: what the person can do at once, what others must do, what only time or place helps.
    pub(super) const fn distance(&self) -> u32 {
        match self {
            Self::Reason | Self::Mfa { .. } => 1,
            Self::TooManySessions { .. } | Self::EndToEnd => 2,
            Self::Approval { .. } => 3,
            Self::Network | Self::Closed { .. } | Self::When { .. } => 4,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Mfa { .. } => "HOOP-2003",
            Self::Reason => "HOOP-2006",
            Self::Approval { .. } => "HOOP-2007",
            Self::Closed { .. } => "HOOP-2008",
            Self::Network => "HOOP-2009",
            Self::When { .. } => "HOOP-2017",
            Self::TooManySessions { .. } => "HOOP-2010",
            Self::EndToEnd => "HOOP-2011",
        }
    }

    fn hint(&self, connection: &ConnectionName) -> String {
        match self {
            Self::Mfa { .. } => "run `hoop login` again".into(),
            Self::Reason => format!("hoop connect {connection} --reason …"),
            Self::Approval { longest, .. } => {
                let period = (*longest).min(Period::seconds(2 * 3600));
                format!("hoop request {connection} --for {period} --reason …")
            }
            Self::Closed { opens_at: Some(at) } => format!("come back at {at}"),
            Self::Closed { opens_at: None } => "ask an admin when it opens".into(),
            Self::When { .. } => "ask an admin what the condition wants".into(),
            Self::Network => "connect from a network that the rule names, or ask an admin".into(),
            Self::TooManySessions { .. } => "end one: `hoop sessions ls`, `hoop sessions kill ID`".into(),
            Self::EndToEnd => format!("use `hoop connect {connection}` on your own machine"),
        }
    }
}

fn listed(methods: &[MfaMethod]) -> String {
    methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
}

fn sentences(what: &[Missing]) -> String {
    what.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The fault that tells what is missing: its code is that of the first.
fn missing_fault(what: &[Missing], message: String, connection: &ConnectionName) -> Fault {
    let code = what.first().map_or("HOOP-2001", Missing::code);
    let hints: Vec<_> = what.iter().map(|missing| missing.hint(connection)).collect();
    Fault::new(code, Blame::Policy, message).with_hint(hints.join("; "))
}

impl Refusal {
    /// The form a person reads, with its stable code.
    #[must_use]
    pub fn to_fault(&self, connection: &ConnectionName) -> Fault {
        let message = self.to_string();
        match self {
            Self::NotAllowed => Fault::new("HOOP-2001", Blame::Policy, message)
                .with_hint("run `hoop ls` to see what you may open, or ask an admin"),
            Self::Locked => {
                Fault::new("HOOP-2002", Blame::Policy, message).with_hint("ask an admin to unlock it")
            }
            Self::OnlyAdministers => Fault::new("HOOP-2015", Blame::Policy, message).with_hint(USE_YOUR_OWN),
            Self::Missing { what, .. } => missing_fault(what, message, connection),
        }
    }
}

/// Why a session that lives must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Leave {
    /// The account is locked.
    #[error("this account is locked")]
    Locked,
    /// The account has become one that administers, and opens nothing.
    #[error("{ONLY_ADMINISTERS}")]
    OnlyAdministers,
    /// Its time is over, as it was granted or as the rule has it now.
    #[error("the time of this session is over")]
    Over,
    /// No rule names this person and this connection any more.
    #[error("no access rule allows this any more")]
    NotAllowed,
    /// A rule still names them, but its conditions do not hold any more.
    #[error("rule {rule} does not allow this any more: {}", sentences(what))]
    Missing {
        /// The rule that is nearest to allowing it.
        rule: RuleName,
        /// What it misses.
        what: Vec<Missing>,
    },
    /// A rule still names them, but wants another kind of session.
    #[error("rule {rule} has changed what a session is: {term}")]
    Terms {
        /// The rule.
        rule: RuleName,
        /// What differs.
        term: Term,
    },
}

/// What a rule lays down for a session, and a live one cannot change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Term {
    /// It must be recorded strictly.
    #[error("it must be recorded strictly")]
    Recording,
    /// It runs as another user at the target.
    #[error("it runs as another user")]
    TargetUser,
    /// It may not replicate any more.
    #[error("it may not replicate")]
    Replication,
    /// It may not forward what it may any more.
    #[error("it may not forward as much")]
    Forwarding,
    /// Other statement rules hold.
    #[error("its statements are held against other rules")]
    Statements,
    /// Other command rules hold.
    #[error("its commands are held against other rules")]
    Commands,
    /// Other cluster rules hold.
    #[error("its requests of a cluster are held against other rules")]
    Cluster,
    /// It may only read.
    #[error("it may only read")]
    ReadOnly,
    /// Answers are masked by other rules.
    #[error("its answers are masked by other rules")]
    Masking,
}

impl Leave {
    /// The form a person reads, with its stable code.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let (code, hint) = match self {
            Self::Locked => ("HOOP-2002", "ask an admin to unlock it"),
            Self::OnlyAdministers => ("HOOP-2015", USE_YOUR_OWN),
            Self::Over => ("HOOP-2004", "run `hoop connect` again for a new session"),
            Self::NotAllowed => ("HOOP-2012", "run `hoop ls` to see what you may open, or ask an admin"),
            Self::Missing { .. } | Self::Terms { .. } => {
                ("HOOP-2012", "run `hoop connect` again: it says what is needed now")
            }
        };
        Fault::new(code, Blame::Policy, self.to_string()).with_hint(hint)
    }
}

/// For rules whose age is compared with `now`: proven within `max_age`, and not in the future.
pub(super) fn is_fresh(at: Timestamp, max_age: Duration, now: Timestamp) -> bool {
    at <= now && now.since(at) <= max_age
}

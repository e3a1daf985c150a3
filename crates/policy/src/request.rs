//! May this request of a running session go to the target?

use std::time::Duration;

use hoop_model::{Blame, Fault, Timestamp};
use serde::{Deserialize, Serialize};

/// What the requests of a session may be. `Default` is the strictest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Streaming or logical replication (`replication=` at start-up).
    #[serde(default)]
    pub allow_replication: bool,
}

/// What a client asks of a target, as far as policy looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// To log in to a database (or another name space of the target) as a user.
    LogIn {
        /// The database named by the client.
        database: &'a str,
    },
    /// To run a statement.
    Statement {
        /// Its text, in the encoding of the session.
        text: &'a [u8],
    },
    /// To run something prepared earlier, whose statement was permitted then.
    Execute,
    /// To call a function by its number (PostgreSQL's function-call message).
    FunctionCall {
        /// The function's object id.
        function: u32,
    },
    /// To become a replica.
    Replicate,
    /// To cancel what runs.
    Cancel,
}

/// Proof that policy was asked and said yes. Only [`decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    _made_here: (),
}

/// Policy's answer.
pub type Verdict = Result<Permit, Denial>;

/// Why not. Safe to show to the person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The person is locked.
    #[error("this account is locked")]
    Locked,
    /// No second factor was proven.
    #[error("a second factor is needed")]
    MfaMissing,
    /// It was proven too long ago.
    #[error("the second factor was proven more than {} min ago", max_age.as_secs() / 60)]
    MfaTooOld {
        /// The age allowed.
        max_age: Duration,
    },
    /// The grant has ended.
    #[error("the grant for this session has ended")]
    GrantEnded,
    /// Replication is off for this connection.
    #[error("replication is not allowed on this connection")]
    Replication,
}

impl Denial {
    /// The form a person reads, with its stable code.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let (code, hint) = match self {
            Self::Locked => ("HOOP-2002", "ask an admin to unlock it"),
            Self::MfaMissing | Self::MfaTooOld { .. } => ("HOOP-2003", "run `hoop login` again"),
            Self::GrantEnded => ("HOOP-2004", "run `hoop connect` again for a new session"),
            Self::Replication => ("HOOP-2005", "an admin can set allow_replication in the access rule"),
        };
        Fault::new(code, Blame::Policy, self.to_string()).with_hint(hint)
    }
}

/// Decides one request of a session that runs under `rules` until `ends_at`.
///
/// # Errors
/// The [`Denial`] to tell the client.
pub fn decide(rules: &Rules, ends_at: Timestamp, action: &Action<'_>, now: Timestamp) -> Verdict {
    if now >= ends_at {
        return Err(Denial::GrantEnded);
    }
    match action {
        Action::Replicate if !rules.allow_replication => Err(Denial::Replication),
        Action::Replicate
        | Action::LogIn { .. }
        | Action::Statement { .. }
        | Action::Execute
        | Action::FunctionCall { .. }
        | Action::Cancel => Ok(Permit { _made_here: () }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn replication_needs_the_rule() {
        let later = NOW.after(Duration::from_secs(60));
        assert_eq!(
            decide(&Rules::default(), later, &Action::Replicate, NOW).unwrap_err(),
            Denial::Replication
        );
        let rules = Rules { allow_replication: true };
        assert!(decide(&rules, later, &Action::Replicate, NOW).is_ok());
    }

    #[test]
    fn nothing_runs_at_the_deadline() {
        let all = [
            Action::LogIn { database: "clinic" },
            Action::Statement { text: b"select 1" },
            Action::Execute,
            Action::FunctionCall { function: 1 },
            Action::Replicate,
            Action::Cancel,
        ];
        let rules = Rules { allow_replication: true };
        for action in all {
            assert_eq!(decide(&rules, NOW, &action, NOW).unwrap_err(), Denial::GrantEnded);
        }
    }
}

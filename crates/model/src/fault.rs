//! An error that a person may read: a stable code, whose fault it is, what happened, and what to do.
//!
//! Inner errors never reach a client through `Display`; they are logged, and one of these is sent instead.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// Whose fault it is: decides the HTTP status, the exit code, and whether anyone is alerted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The caller sent something wrong.
    Caller,
    /// The caller may not do this (or must not learn whether it exists).
    Policy,
    /// The target behind the agent.
    Target,
    /// The network between the parts, or a part that is away.
    Network,
    /// Our own.
    System,
}

/// A stable code such as `HOOP-1203`, listed in `docs/ERRORS.md`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// A code known at compile time.
    #[must_use]
    pub const fn new(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error for a person: safe to send to any client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code}){}", hint.as_ref().map(|h| format!("\nhint: {h}")).unwrap_or_default())]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// Whose fault.
    pub blame: Blame,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    /// The code of a target that shows another key than the one it is known by: its session ends, and somebody is told.
    pub const OTHER_HOST_KEY: &str = "HOOP-5031";

    /// A fault without a hint.
    pub fn new(code: &'static str, blame: Blame, message: impl Into<String>) -> Self {
        Self { code: Code::new(code), blame, message: message.into(), hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

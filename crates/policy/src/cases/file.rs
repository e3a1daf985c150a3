//! A file of cases: read, bounded and checked like a rule file.

use std::collections::BTreeSet;

use hoop_model::{Blame, Fault, RuleName};
use serde::{Deserialize, Deserializer, Serialize};
use serde_saphyr::Spanned;

use super::facts::{Facts, Lacks, Situation};
use crate::{
    AllowOrDeny, ClusterRequest, StatementAction,
    rules::{Place, PolicyError, place, read_yaml},
};

/// Cases of one file.
const MOST_CASES: usize = 10_000;
/// Statements of one case.
const MOST_STATEMENTS: usize = 1_000;
/// Characters of a name.
const LONGEST_NAME: usize = 200;

/// The cases of a file.
#[derive(Debug, Clone)]
pub struct Cases {
    /// The file of the rules that it tests, in the same folder; the only one there if it does not say.
    pub rules: Option<String>,
    cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is about, in the words of whoever wrote it.
    pub name: String,
    /// Where it stands in its file.
    pub place: Place,
    /// The question.
    pub situation: Situation,
    /// What must come of it.
    pub expected: Expected,
    /// Whether answers must be masked then; nothing is said of it if absent.
    pub masked: Option<bool>,
    /// What the session may then run.
    pub statements: Vec<StatementCase>,
    /// What it may then run on a host.
    pub commands: Vec<CommandCase>,
    /// What it may then ask of a cluster's API.
    pub cluster: Vec<ClusterCase>,
}

/// What must come of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// This rule allows it.
    Allow(RuleName),
    /// This rule wants the approval of others, and nothing else is missing.
    Ask(RuleName),
    /// It is refused with this code.
    Refuse(RefusalCode),
}

/// `HOOP-2008`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RefusalCode(String);

impl RefusalCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for RefusalCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_code = |digits: &str| digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_digit());
        if text.strip_prefix("HOOP-").is_some_and(is_code) {
            return Ok(Self(text));
        }
        Err(serde::de::Error::custom("a code is HOOP- and four digits, as docs/ERRORS.md lists them"))
    }
}

/// A statement, and what the rules must say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementCase {
    /// Its text.
    pub text: String,
    /// Whose SQL it is.
    #[serde(default)]
    pub dialect: DialectName,
    /// The values that are bound to it, as text.
    #[serde(default)]
    pub parameters: Vec<Option<String>>,
    /// What becomes of it: `ask` where an approval is all that it lacks, `warn` where it may run and something is said to it.
    pub expect: StatementAction,
    /// Which statement rule must say so; any if absent.
    #[serde(default)]
    pub rule: Option<RuleName>,
}

/// A command of a host, and what the rules must say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandCase {
    /// Its text.
    pub text: String,
    /// What becomes of it.
    pub expect: AllowOrDeny,
    /// Which command rule must say so; any if absent.
    #[serde(default)]
    pub rule: Option<RuleName>,
}

/// A request of a cluster's API, and what the rules must say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterCase {
    /// What is asked.
    pub request: ClusterRequest,
    /// What becomes of it.
    pub expect: AllowOrDeny,
    /// Which cluster rule must say so; any if absent.
    #[serde(default)]
    pub rule: Option<RuleName>,
}

/// Whose SQL, read as a new session reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialectName {
    /// PostgreSQL's.
    #[default]
    Postgres,
}

impl DialectName {
    pub(super) fn dialect(self) -> hoop_sql::Dialect {
        match self {
            Self::Postgres => hoop_sql::Dialect::Postgres(hoop_sql::postgres::Mode::default()),
        }
    }
}

/// Why a text is no file of cases. The author's fault, and safe to show to them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// Not of the form.
    #[error(transparent)]
    Unreadable(#[from] PolicyError),
    /// More than are run.
    #[error("{found} {what}: at most {most} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A name that is none.
    #[error("{place}: a case's name is one line of 1 to {LONGEST_NAME} visible characters")]
    Name {
        /// Where.
        place: Place,
    },
    /// Two cases have one name.
    #[error("{place}: another case is called {name:?}: give each its own name")]
    SameName {
        /// Where.
        place: Place,
        /// Which.
        name: String,
    },
    /// A fact is missing.
    #[error("{place}: case {name:?}: {lacks}")]
    Lacks {
        /// Where.
        place: Place,
        /// Which case.
        name: String,
        /// What.
        lacks: Lacks,
    },
}

impl CaseError {
    /// Where in the file, if that is known.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        match self {
            Self::Unreadable(error) => error.place(),
            Self::TooMany { .. } => None,
            Self::Name { place } | Self::SameName { place, .. } | Self::Lacks { place, .. } => Some(*place),
        }
    }

    /// The form a person reads, with its stable code.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        match self {
            Self::Unreadable(error) => error.to_fault(),
            other => Fault::new("HOOP-2016", Blame::Caller, other.to_string())
                .with_hint("mend the case there; docs/POLICY.md shows what a case looks like"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// The only one there is.
    version: u8,
    #[serde(default)]
    rules: Option<String>,
    /// As with `admin_identity = "separate"`: admins open nothing.
    #[serde(default)]
    separate_admins: bool,
    #[serde(default)]
    given: Facts,
    cases: Vec<Spanned<Written>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    given: Facts,
    expect: Expected,
    #[serde(default)]
    masked: Option<bool>,
    #[serde(default)]
    statements: Vec<StatementCase>,
    #[serde(default)]
    commands: Vec<CommandCase>,
    #[serde(default)]
    cluster: Vec<ClusterCase>,
}

impl Cases {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// [`CaseError`] says where and what is wrong.
    pub fn from_yaml(text: &str) -> Result<Self, CaseError> {
        let Document { version, rules, separate_admins, given, cases } = read_yaml(text)?;
        if version != 1 {
            let message = format!("version {version} is not known: write version: 1");
            let place = Place { line: 1, column: 1 };
            return Err(PolicyError::Unreadable { place, message }.into());
        }
        most("cases", cases.len(), MOST_CASES)?;
        let mut names = BTreeSet::new();
        let read = |written: Spanned<Written>| {
            let place = place(&written.referenced);
            let Written { name, given: own, expect, masked, statements, commands, cluster } = written.value;
            let visible = !name.is_empty() && name.chars().all(crate::rules::is_visible);
            if !visible || name.chars().count() > LONGEST_NAME {
                return Err(CaseError::Name { place });
            }
            most("statements in a case", statements.len(), MOST_STATEMENTS)?;
            most("commands in a case", commands.len(), MOST_STATEMENTS)?;
            most("requests in a case", cluster.len(), MOST_STATEMENTS)?;
            if !names.insert(name.clone()) {
                return Err(CaseError::SameName { place, name });
            }
            match own.or(&given).situation(separate_admins) {
                Ok(situation) => Ok(Case {
                    name,
                    place,
                    situation,
                    expected: expect,
                    masked,
                    statements,
                    commands,
                    cluster,
                }),
                Err(lacks) => Err(CaseError::Lacks { place, name, lacks }),
            }
        };
        Ok(Self { rules, cases: cases.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// In order.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

const fn most(what: &'static str, found: usize, most: usize) -> Result<(), CaseError> {
    if found > most { Err(CaseError::TooMany { what, found, most }) } else { Ok(()) }
}

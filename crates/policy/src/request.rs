//! May this request of a running session go to the target?

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hoop_model::{Blame, Fault, RuleName, Timestamp};
use hoop_sql::{Class, Copying, Dialect, Reading, Statement, Text, Unreadable, Wanted};
use serde::{Deserialize, Serialize};

use crate::{
    BoundValue, Explained, Masking, MaskingRules, Message, Meters, OnlyStatement, StatementRule, Terms, View,
    known::{self, Known},
    rego::{Asked, Modules, StatementRego, Values},
    rules::Period,
    terms::Again,
};

/// What the requests of a session may be. `Default` is the strictest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Streaming or logical replication (`replication=` at start-up).
    #[serde(default)]
    pub allow_replication: bool,
    /// Nothing but this statement, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<OnlyStatement>,
    /// The statement rule that asks, and whose approvers have approved `only`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<RuleName>,
    /// The database itself is to refuse changes: each transaction is read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What each statement is held against; none: any may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementRule>,
    /// What is shown of the answers.
    #[serde(default)]
    pub masking: Masking,
    /// What conditions in Rego of these are asked of, if any has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rego: Option<StatementRego>,
}

impl Rules {
    fn mask_columns(&self) -> bool {
        self.masking.rules().is_some_and(MaskingRules::masks_columns)
    }

    /// What was permitted is looked at again: when values are bound, each time it is run, and by what it returns.
    #[must_use]
    pub fn look_again(&self) -> bool {
        self.statements
            .iter()
            .any(|rule| rule.at_most.is_some() || rule.rate.is_some() || rule.when.is_some())
    }

    /// What is asked of the words of a text, if they may be enough. Conditions in Rego may turn on anything, also on what is
    /// not there; and which rule allows a statement matters where one has limits.
    fn wanted_of_words(&self) -> Option<Wanted> {
        (!self.look_again()).then(|| Wanted {
            spelling: self.statements.iter().any(|rule| !rule.text.is_empty()),
            answer: self.masking != Masking::None,
            mentions: self.mask_columns(),
            columns: self.statements.iter().any(|rule| !rule.columns.is_empty()),
        })
    }
}

/// What a client asks of a target, as far as policy looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// To log in to a database (or another name space of the target) as a user.
    LogIn {
        /// The database named by the client.
        database: &'a str,
        /// The first setting it brings along that changes what a statement's text means.
        setting: Option<&'a str>,
        /// The first setting it brings along that may change how texts are read, or who one is.
        risk: Option<&'a str>,
    },
    /// To run a statement.
    Statement {
        /// Its text, in the encoding of the session.
        text: &'a [u8],
        /// How it is read.
        dialect: Dialect,
    },
    /// To prepare a statement, for an [`Action::Execute`].
    Prepare {
        /// Its text, in the encoding of the session.
        text: &'a [u8],
        /// How it is read.
        dialect: Dialect,
    },
    /// To bind values to something prepared earlier. Asked only where rules look again.
    Bind {
        /// What it may be held to; nothing: it is not known what was prepared.
        terms: &'a [Terms],
        /// The values, in order.
        values: &'a [BoundValue],
    },
    /// To run something prepared earlier, whose statement was permitted then.
    Execute {
        /// Values may be bound to it, which its text does not show.
        bound: bool,
        /// What it may be held to; nothing: it is not known what was prepared, or rules do not look again.
        terms: &'a [Terms],
    },
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

/// Proof that policy was asked and said yes. Only [`Warrant::decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    view: Option<View>,
    terms: Option<Terms>,
    warnings: Vec<Warning>,
    gives_names: bool,
}

/// What whoever runs a statement is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("statement rule {rule}: {}", message.as_ref().map_or_else(|| "this statement is watched".to_owned(), ToString::to_string))]
pub struct Warning {
    /// By which rule.
    rule: RuleName,
    message: Option<Message>,
}

impl Warning {
    /// Its stable code.
    pub const CODE: &str = "HOOP-2039";
}

impl Permit {
    const PLAIN: Self = Self { view: None, terms: None, warnings: Vec::new(), gives_names: false };

    /// What the text of a statement says about its answer; only where answers are masked.
    #[must_use]
    pub fn take_view(&mut self) -> Option<View> {
        self.view.take()
    }

    /// What it is held to from now on; only where rules look again.
    #[must_use]
    pub fn take_terms(&mut self) -> Option<Terms> {
        self.terms.take()
    }

    /// What the person is told about it.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// It may give a name to something else than what was known by it: a prepared statement, a cursor.
    #[must_use]
    pub const fn gives_names(&self) -> bool {
        self.gives_names
    }
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
    /// The session is for one statement, and this is none or another.
    #[error("this session is for one approved statement alone, and this is another")]
    OtherStatement,
    /// Its text is right, but not all that it would run with.
    #[error("this session is for one approved statement alone, and bound values are no part of its text")]
    BoundValues,
    /// It was run.
    #[error("the approved statement has been run: it was approved for once")]
    StatementRan,
    /// The approval names another database.
    #[error("this session is for one approved statement in database {database}")]
    OtherDatabase {
        /// The one approved.
        database: String,
    },
    /// The client brings a setting under which the approved text may mean something else.
    #[error("this session is for one approved statement alone, and setting {setting} may change its meaning")]
    Setting {
        /// Its name.
        setting: String,
    },
    /// A statement rule says no, or none says yes.
    #[error("{} does not allow this statement ({class}){}", rule.as_ref().map_or_else(|| "the access rule".to_owned(), |rule| format!("statement rule {rule}")), said(message.as_ref()))]
    Statement {
        /// Which rule; none fits if absent.
        rule: Option<RuleName>,
        /// The worst of what the statement does.
        class: Class,
        /// What the rule says to it.
        message: Option<Message>,
    },
    /// A statement rule asks for an approval of this text, and there is none.
    #[error("statement rule {rule} wants an approval of exactly this statement{}", said(message.as_ref()))]
    NeedsApproval {
        /// Which rule.
        rule: RuleName,
        /// What the rule says to it.
        message: Option<Message>,
    },
    /// An answer is larger than its rule allows.
    #[error("statement rule {rule} allows no answer of more than {most}")]
    TooMuch {
        /// Which rule.
        rule: RuleName,
        /// How much it allows.
        most: String,
    },
    /// More than a rule allows within a time.
    #[error("statement rule {rule} allows no more than {what} in {per}")]
    TooOften {
        /// Which rule.
        rule: RuleName,
        /// How much it allows.
        what: String,
        /// Within which time.
        per: Period,
    },
    /// It is not known what was prepared under a name, so not what it is held to.
    #[error("it is not known any more what was prepared under this name")]
    Forgotten,
    /// The session only reads, and this would let it write again.
    #[error("this session only reads, and the statement might let it write")]
    ReadOnly,
    /// There are statement rules, and the text cannot be read.
    #[error("this statement cannot be held against the statement rules: {0}")]
    Unreadable(#[from] Unreadable),
    /// Answers are masked, and how this `COPY` writes them is not known.
    #[error("what this COPY sends cannot be masked")]
    Copy,
    /// Answers are masked, and replication has none.
    #[error("what replication sends cannot be masked")]
    MaskedReplication,
    /// There are statement rules, and this setting might lead around them.
    #[error("setting {setting} at start-up might lead around the statement rules")]
    Risk {
        /// Its name.
        setting: String,
    },
}

fn said(message: Option<&Message>) -> String {
    message.map(|message| format!(": {message}")).unwrap_or_default()
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
            Self::OtherStatement => ("HOOP-2027", "send it exactly as it was approved: `psql -X -c TEXT`"),
            Self::BoundValues => ("HOOP-2027", "write the values into the text, and have that approved"),
            Self::StatementRan => ("HOOP-2028", "ask anew: `hoop request NAME --statement TEXT`"),
            Self::OtherDatabase { .. } => ("HOOP-2027", "connect to that one"),
            Self::Setting { .. } => ("HOOP-2027", "connect without it"),
            Self::Statement { class: Class::Server, .. } => (
                "HOOP-2030",
                "what is not understood, and functions that are not known, count as the worst; name tables with their schema",
            ),
            Self::Statement { .. } => {
                ("HOOP-2030", "name tables with their schema, or ask an admin what this session is for")
            }
            Self::NeedsApproval { .. } => (
                "HOOP-2034",
                "ask: `hoop request NAME --statement TEXT --reason WHY`; then `hoop connect NAME --statement TEXT`",
            ),
            Self::TooMuch { .. } => {
                ("HOOP-2035", "ask for less: a `LIMIT`, a narrower `WHERE`; what was open is undone")
            }
            Self::TooOften { .. } => ("HOOP-2036", "wait, or ask for less at a time"),
            Self::Forgotten => {
                ("HOOP-2037", "prepare it anew in the protocol, not by PREPARE or DECLARE; fewer at a time")
            }
            Self::ReadOnly => ("HOOP-2038", "leave out READ WRITE and transaction_read_only"),
            Self::Unreadable(_) => {
                ("HOOP-2031", "write it in plain UTF-8, with every quote and comment closed")
            }
            Self::Copy => (
                "HOOP-2033",
                "send it alone, as COPY table (columns) TO STDOUT in text, CSV or binary with the usual delimiters and quotes",
            ),
            Self::MaskedReplication => {
                ("HOOP-2033", "an admin can allow it by a rule that has `masking: none`")
            }
            Self::Risk { .. } => ("HOOP-2032", "connect without it"),
        };
        Fault::new(code, Blame::Policy, self.to_string()).with_hint(hint)
    }
}

/// What the requests of a running session are decided by. All its streams share one.
#[derive(Debug)]
pub struct Warrant {
    rules: Rules,
    ends_at: Timestamp,
    /// The one statement that `rules` allow was run.
    ran: AtomicBool,
    /// The modules of `rules`, compiled when they are first needed.
    modules: OnceLock<Modules>,
    /// What is asked of the words of a text. `None`: they are never enough.
    wanted: Option<Wanted>,
    /// What may be run though its words alone refuse it.
    known: Known,
    /// What was had by whose rates.
    meters: Arc<Meters>,
}

/// What was read of a text that may run, and what was said to it.
struct Allowed {
    reading: Reading,
    said: Said,
}

/// What the statement rules say to a text that may run.
#[derive(Default)]
struct Said {
    terms: Option<Terms>,
    warnings: Vec<Warning>,
}

impl Warrant {
    /// For a session that runs under `rules` until `ends_at`.
    #[must_use]
    pub fn new(rules: Rules, ends_at: Timestamp) -> Self {
        Self::metered(rules, ends_at, Arc::default())
    }

    /// The same, for somebody who has had this much of the connection already.
    #[must_use]
    pub fn metered(rules: Rules, ends_at: Timestamp, meters: Arc<Meters>) -> Self {
        let wanted = rules.wanted_of_words();
        Self {
            rules,
            ends_at,
            ran: AtomicBool::new(false),
            modules: OnceLock::new(),
            wanted,
            known: Known::default(),
            meters,
        }
    }

    /// Decides one request.
    ///
    /// # Errors
    /// The [`Denial`] to tell the client.
    pub fn decide(&self, action: &Action<'_>, now: Timestamp) -> Verdict {
        if now >= self.ends_at {
            return Err(Denial::GrantEnded);
        }
        if matches!(action, Action::Replicate) {
            self.may_replicate()?;
        }
        let allowed = self.read(action)?;
        if let Some(only) = &self.rules.only {
            self.is_all_approved(only, action)?;
        }
        let Some(Allowed { reading, said }) = allowed else { return Ok(Permit::PLAIN) };
        let view = (self.rules.masking != Masking::None).then(|| MaskingRules::view(&reading));
        if view.as_ref().is_some_and(|view| view.copy == Copying::Unclear) {
            return Err(Denial::Copy);
        }
        // The last thing, so that nothing that is refused is counted. What is prepared is counted when it is run.
        if let (
            Some(terms),
            Action::Statement { .. } | Action::FunctionCall { .. } | Action::Execute { .. },
        ) = (&said.terms, action)
        {
            terms.run(now)?;
        }
        let gives_names = reading.statements.iter().any(Statement::gives_names);
        Ok(Permit { view, terms: said.terms, warnings: said.warnings, gives_names })
    }

    fn may_replicate(&self) -> Result<(), Denial> {
        if !self.rules.allow_replication {
            return Err(Denial::Replication);
        }
        if self.rules.read_only {
            return Err(Denial::ReadOnly);
        }
        if self.rules.masking != Masking::None { Err(Denial::MaskedReplication) } else { Ok(()) }
    }

    /// What is asked for, if anything depends on it and the statement rules allow it. What was prepared was read then.
    fn read(&self, action: &Action<'_>) -> Result<Option<Allowed>, Denial> {
        let wanted = match action {
            // Detectors look into whatever comes; but how `COPY` writes it must be known, and which names are given anew.
            Action::Statement { .. } | Action::Prepare { .. } => self.rules.masking != Masking::None,
            _ => self.rules.mask_columns(),
        };
        if !wanted && !self.has_fences() {
            return Ok(None);
        }
        Ok(match *action {
            Action::Statement { text, dialect } => Some(self.permitted(text, dialect, Values::Given(&[]))?),
            Action::Prepare { text, dialect } => Some(self.permitted(text, dialect, values_to_come(text))?),
            Action::Bind { terms, values } => self.bound(terms, values)?,
            Action::Execute { terms, .. } => self.run_again(terms)?,
            Action::LogIn { risk: Some(setting), .. } if self.has_fences() => {
                return Err(Denial::Risk { setting: setting.to_owned() });
            }
            Action::LogIn { .. } | Action::Cancel => None,
            Action::FunctionCall { .. } | Action::Replicate => {
                let reading = Reading::of_anything();
                let said = self.is_allowed(&reading, Values::Given(&[]))?;
                Some(Allowed { reading, said })
            }
        })
    }

    /// What a setting might lead around.
    const fn has_fences(&self) -> bool {
        !self.rules.statements.is_empty() || self.rules.read_only
    }

    /// Values are bound: conditions look at them, and the rule that allows the statement with these may be another.
    fn bound(&self, terms: &[Terms], values: &[BoundValue]) -> Result<Option<Allowed>, Denial> {
        if !self.rules.look_again() {
            return Ok(None);
        }
        let mut held = Vec::with_capacity(terms.len());
        for terms in terms {
            held.push(match terms.again() {
                None => terms.clone(),
                Some(Again { text, dialect }) => {
                    let allowed = self.permitted(text, *dialect, Values::Given(values))?;
                    allowed.said.terms.ok_or(Denial::Forgotten)?
                }
            });
        }
        self.run_again(&held)
    }

    /// What was prepared is held to what its text was.
    fn run_again(&self, terms: &[Terms]) -> Result<Option<Allowed>, Denial> {
        if !self.rules.look_again() {
            return Ok(None);
        }
        let terms = Terms::all(terms).ok_or(Denial::Forgotten)?;
        let reading = Reading { statements: Vec::new(), unreadable: None };
        Ok(Some(Allowed { reading, said: Said { terms: Some(terms), warnings: Vec::new() } }))
    }

    /// What may be run by its words may be run: the parser would find no more. Where they refuse it, it may find less, and what
    /// it has found is remembered.
    fn permitted(&self, text: &[u8], dialect: Dialect, values: Values<'_>) -> Result<Allowed, Denial> {
        let cut = Text::new(text, dialect);
        let parsed = || {
            let reading = cut.parsed();
            let mut said = self.is_allowed(&reading, values)?;
            if let (Some(terms), Values::ToCome) = (&mut said.terms, values) {
                *terms = terms.read_again(text, dialect);
            }
            Ok(Allowed { reading, said })
        };
        let Some(by_words) = self.wanted.and_then(|wanted| cut.by_words(wanted)) else { return parsed() };
        // A warning that the parser would not give is none.
        let said = self.is_allowed(&by_words, values).ok().filter(|said| said.warnings.is_empty());
        if self.rules.mask_columns() {
            // A table too many would hide what may be shown.
            let plain = said.filter(|_| by_words.statements.iter().all(Statement::is_plain));
            return plain.map_or_else(parsed, |said| Ok(Allowed { reading: by_words, said }));
        }
        if let Some(said) = said {
            return Ok(Allowed { reading: by_words, said });
        }
        let digest = known::digest(text, dialect);
        if !digest.is_some_and(|digest| self.known.holds(&digest)) {
            let allowed = parsed()?;
            if !allowed.said.warnings.is_empty() {
                return Ok(allowed);
            }
            digest.into_iter().for_each(|digest| self.known.remember(digest));
        }
        Ok(Allowed { reading: by_words, said: Said::default() })
    }

    /// What the statement rules say.
    fn is_allowed(&self, reading: &Reading, values: Values<'_>) -> Result<Said, Denial> {
        let Rules { statements, approved, rego, .. } = &self.rules;
        if self.rules.read_only && reading.statements.iter().any(|statement| statement.read_write) {
            return Err(Denial::ReadOnly);
        }
        if statements.is_empty() {
            return Ok(Said::default());
        }
        let rego = rego.as_ref().map(|rego| (rego, self.modules.get_or_init(|| rego.compile())));
        let asked = Asked::new(rego).with(values);
        let explained = Explained::asking(statements, approved.as_ref(), reading, &asked);
        if let Some(denial) = explained.denial() {
            return Err(denial);
        }
        let warning =
            |rule: &StatementRule| Warning { rule: rule.name.clone(), message: rule.message.clone() };
        Ok(Said {
            warnings: explained.warns().into_iter().map(warning).collect(),
            terms: self.rules.look_again().then(|| self.terms(&explained)),
        })
    }

    /// What answers to rows that were put by before is not known from its text: every rule's limits hold.
    fn terms(&self, explained: &Explained<'_>) -> Terms {
        let mut statements = explained.reading().statements.iter();
        if statements.any(|statement| ["fetch", "execute"].iter().any(|verb| statement.verbs.contains(*verb)))
        {
            return Terms::new(self.rules.statements.iter(), &self.meters, explained);
        }
        Terms::new(explained.allowing(), &self.meters, explained)
    }

    fn is_all_approved(&self, only: &OnlyStatement, action: &Action<'_>) -> Result<(), Denial> {
        match action {
            Action::LogIn { setting: Some(setting), .. } => {
                Err(Denial::Setting { setting: (*setting).to_owned() })
            }
            Action::LogIn { database, setting: None, .. } if *database != only.database() => {
                Err(Denial::OtherDatabase { database: only.database().to_owned() })
            }
            Action::LogIn { .. } | Action::Cancel => Ok(()),
            Action::Statement { text, .. } | Action::Prepare { text, .. } if !only.is(text) => {
                Err(Denial::OtherStatement)
            }
            Action::Bind { values: [_, ..], .. } => Err(Denial::BoundValues),
            Action::Prepare { .. } | Action::Bind { values: [], .. } => Ok(()),
            Action::Execute { bound: true, .. } => Err(Denial::BoundValues),
            Action::Statement { .. } | Action::Execute { bound: false, .. } => {
                if self.ran.swap(true, Ordering::AcqRel) { Err(Denial::StatementRan) } else { Ok(()) }
            }
            Action::FunctionCall { .. } | Action::Replicate => Err(Denial::OtherStatement),
        }
    }
}

/// Only where a text has a place for values is anything bound to it.
fn values_to_come(text: &[u8]) -> Values<'static> {
    if text.contains(&b'$') { Values::ToCome } else { Values::Given(&[]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: Dialect = Dialect::Postgres(hoop_sql::postgres::Mode { standard_strings: true, utf8: true });
    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn warrant(rules: Rules) -> Warrant {
        Warrant::new(rules, NOW.after(Duration::from_secs(60)))
    }

    fn only(text: &str) -> Warrant {
        let only = Some(OnlyStatement::new(text, "clinic"));
        warrant(Rules { allow_replication: true, only, masking: Masking::None, ..Rules::default() })
    }

    #[test]
    fn replication_needs_the_rule() {
        assert_eq!(
            warrant(Rules::default()).decide(&Action::Replicate, NOW).unwrap_err(),
            Denial::Replication
        );
        let rules = Rules { allow_replication: true, only: None, ..Rules::default() };
        assert_eq!(
            warrant(rules.clone()).decide(&Action::Replicate, NOW).unwrap_err(),
            Denial::MaskedReplication
        );
        let rules = Rules { masking: Masking::None, ..rules };
        assert!(warrant(rules).decide(&Action::Replicate, NOW).is_ok());
    }

    const EVERY: [Action<'static>; 8] = [
        Action::LogIn { database: "clinic", setting: None, risk: None },
        Action::Statement { text: b"select 1", dialect: SQL },
        Action::Prepare { text: b"select 1", dialect: SQL },
        Action::Execute { bound: false, terms: &[] },
        Action::Execute { bound: true, terms: &[] },
        Action::FunctionCall { function: 1 },
        Action::Replicate,
        Action::Cancel,
    ];

    #[test]
    fn nothing_runs_at_the_deadline() {
        let ended = Warrant::new(Rules { allow_replication: true, only: None, ..Rules::default() }, NOW);
        for action in EVERY {
            assert_eq!(ended.decide(&action, NOW).unwrap_err(), Denial::GrantEnded);
        }
    }

    #[test]
    fn an_approved_statement_runs_once_by_either_way() {
        let text = Action::Statement { text: b"select 1", dialect: SQL };
        let twice = only("select 1");
        assert!(twice.decide(&text, NOW).is_ok());
        assert_eq!(twice.decide(&text, NOW).unwrap_err(), Denial::StatementRan);
        assert_eq!(
            twice.decide(&Action::Execute { bound: false, terms: &[] }, NOW).unwrap_err(),
            Denial::StatementRan,
            "prepared before, run after"
        );

        let prepared = only("select 1");
        for _ in 0..2 {
            assert!(
                prepared.decide(&Action::Prepare { text: b"select 1", dialect: SQL }, NOW).is_ok(),
                "it runs nothing"
            );
        }
        assert!(prepared.decide(&Action::Execute { bound: false, terms: &[] }, NOW).is_ok());
        assert_eq!(
            prepared.decide(&Action::Execute { bound: false, terms: &[] }, NOW).unwrap_err(),
            Denial::StatementRan
        );
    }

    /// Statement rules, without masking.
    fn held_against(yaml: &str) -> Warrant {
        let statements = serde_saphyr::from_str(yaml).unwrap();
        warrant(Rules { statements, masking: Masking::None, ..Rules::default() })
    }

    #[test]
    fn what_only_the_parser_allows_is_remembered_and_what_is_refused_is_not() {
        let warrant = held_against("[{name: a, action: allow, tables: [clinic.*]}]");
        let decide = |text: &str, dialect| {
            warrant.decide(&Action::Statement { text: text.as_bytes(), dialect }, NOW).is_ok()
        };
        let is_known =
            |text: &str, dialect| warrant.known.holds(&known::digest(text.as_bytes(), dialect).unwrap());
        let plain = "select * from clinic.patients";
        let given =
            "with recursive p as (select * from clinic.patients union select * from p) select * from p";
        let other =
            "with recursive p as (select * from billing.claims union select * from p) select * from p";
        let old = Dialect::Postgres(hoop_sql::postgres::Mode { standard_strings: false, utf8: true });
        for _ in 0..2 {
            assert!(decide(plain, SQL) && decide(given, SQL) && !decide(other, SQL));
            assert!(!is_known(plain, SQL), "its words were enough");
            assert!(is_known(given, SQL) && !is_known(other, SQL) && !is_known(given, old));
        }
    }

    #[test]
    fn conditions_in_rego_are_asked_of_all_that_can_be_read() {
        let when = held_against("[{name: a, action: allow, when: data.x.y}]");
        assert_eq!(when.wanted, None);
        let text = held_against("[{name: a, action: allow, text: [select ?]}]");
        assert_eq!(
            text.wanted,
            Some(Wanted { spelling: true, answer: false, mentions: false, columns: false })
        );
        let words = held_against("[{name: a, action: allow, classes: [read]}]");
        assert_eq!(
            words.wanted,
            Some(Wanted { spelling: false, answer: false, mentions: false, columns: false })
        );
        let masked = warrant(Rules::default());
        assert_eq!(
            masked.wanted,
            Some(Wanted { spelling: false, answer: true, mentions: false, columns: false })
        );
    }

    #[test]
    fn an_approval_of_one_statement_is_good_for_no_other() {
        let warrant = only("update bed set free = true where id = 7");
        for other in [
            "update bed set free = true where id = 8",
            "update bed set free = true where id = 7 or true",
            "update bed set free = true where id = 7; drop table bed",
            "update bed set free = true where id = 7 -- ;",
            "update bed set free = true  where id = 7",
            "UPDATE bed set free = true where id = 7",
            "update b\u{435}d set free = true where id = 7",
            "begin",
            "",
            ";",
        ] {
            for action in [
                Action::Statement { text: other.as_bytes(), dialect: SQL },
                Action::Prepare { text: other.as_bytes(), dialect: SQL },
            ] {
                assert_eq!(warrant.decide(&action, NOW).unwrap_err(), Denial::OtherStatement, "{other:?}");
            }
        }
        let denied = |action: Action<'_>| warrant.decide(&action, NOW).unwrap_err();
        assert_eq!(denied(Action::FunctionCall { function: 1 }), Denial::OtherStatement);
        assert_eq!(denied(Action::Replicate), Denial::OtherStatement);
        assert_eq!(denied(Action::Execute { bound: true, terms: &[] }), Denial::BoundValues);
        assert_eq!(
            denied(Action::LogIn { database: "billing", setting: None, risk: None }),
            Denial::OtherDatabase { database: "clinic".into() }
        );
        assert_eq!(
            denied(Action::LogIn { database: "clinic", setting: Some("options"), risk: None }),
            Denial::Setting { setting: "options".into() }
        );
        let whole = b"update bed set free = true where id = 7";
        assert!(
            warrant.decide(&Action::Statement { text: whole, dialect: SQL }, NOW).is_ok(),
            "none of that used it up"
        );
    }

    #[test]
    fn of_all_that_come_at_once_one_runs() {
        let warrant = only("select 1");
        let ran = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        warrant.decide(&Action::Statement { text: b"select 1", dialect: SQL }, NOW).is_ok()
                    })
                })
                .collect();
            tries.into_iter().map(|one| u32::from(one.join().unwrap())).sum::<u32>()
        });
        assert_eq!(ran, 1);
    }
}

//! May this request of a running session go to the target?

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hoop_model::{Blame, Fault, RuleName, Timestamp};
use hoop_sql::{Class, Copying, Dialect, Reading, Statement, Text, Unreadable, Wanted};
use serde::{Deserialize, Serialize};

use crate::{
    Explained, Masking, MaskingRules, OnlyStatement, StatementRule, View,
    known::{self, Known},
    rego::{Asked, Modules, StatementRego},
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

    /// What is asked of the words of a text, if they may be enough. Conditions in Rego may turn on anything, also on what is
    /// not there.
    fn wanted_of_words(&self) -> Option<Wanted> {
        let asks = self.statements.iter().any(|rule| rule.when.is_some());
        (!asks).then(|| Wanted {
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
    /// To run something prepared earlier, whose statement was permitted then.
    Execute {
        /// Values may be bound to it, which its text does not show.
        bound: bool,
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
    /// To open a channel to a host.
    Channel(Channel),
}

/// What somebody wants of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// A shell, with a terminal or without.
    Shell,
    /// One command, which the host's shell reads.
    Command,
    /// Files, by the subsystem for them.
    Files,
    /// Another subsystem.
    Subsystem,
    /// A connection onward, or back: ports, sockets, an authentication agent, a display.
    Forward,
}

/// Proof that policy was asked and said yes. Only [`Warrant::decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    view: Option<View>,
}

impl Permit {
    /// What the text of a statement says about its answer; only where answers are masked.
    #[must_use]
    pub fn into_view(self) -> Option<View> {
        self.view
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
    #[error("{} does not allow this statement ({class})", rule.as_ref().map_or_else(|| "the access rule".to_owned(), |rule| format!("statement rule {rule}")))]
    Statement {
        /// Which rule; none fits if absent.
        rule: Option<RuleName>,
        /// The worst of what the statement does.
        class: Class,
    },
    /// There are statement rules, and the text cannot be read.
    #[error("this statement cannot be held against the statement rules: {0}")]
    Unreadable(#[from] Unreadable),
    /// Answers are masked, and how this `COPY` writes them is not known.
    #[error("what this COPY sends cannot be masked")]
    Copy,
    /// Answers are masked, and replication has none.
    #[error("what replication sends cannot be masked")]
    MaskedReplication,
    /// There are rules about statements, and what a host runs is not read as one.
    #[error("this session's rule is about statements, and what a host runs cannot be held against it")]
    ChannelStatements,
    /// Answers are masked, and what a host prints is not.
    #[error("this session's rule masks answers, and what a host prints cannot be masked")]
    ChannelMasking,
    /// Forwarding is off.
    #[error("forwarding is not allowed: this session reaches one host, not what is behind it or before it")]
    Forward,
    /// There are statement rules, and this setting might lead around them.
    #[error("setting {setting} at start-up might lead around the statement rules")]
    Risk {
        /// Its name.
        setting: String,
    },
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
            Self::ChannelStatements => {
                ("HOOP-2040", "an admin gives hosts a rule of their own, without `statements`")
            }
            Self::ChannelMasking => {
                ("HOOP-2041", "an admin gives hosts a rule of their own, with `masking: none`")
            }
            Self::Forward => (
                "HOOP-2042",
                "ask for a connection of its own to what you want to reach, and use `hoop connect`",
            ),
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
}

impl Warrant {
    /// For a session that runs under `rules` until `ends_at`.
    #[must_use]
    pub fn new(rules: Rules, ends_at: Timestamp) -> Self {
        let wanted = rules.wanted_of_words();
        Self {
            rules,
            ends_at,
            ran: AtomicBool::new(false),
            modules: OnceLock::new(),
            wanted,
            known: Known::default(),
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
            if !self.rules.allow_replication {
                return Err(Denial::Replication);
            }
            if self.rules.masking != Masking::None {
                return Err(Denial::MaskedReplication);
            }
        }
        if let Action::Channel(channel) = action {
            return self.may_open(*channel).map(|()| Permit { view: None });
        }
        let reading = self.read(action)?;
        if let Some(only) = &self.rules.only {
            self.is_all_approved(only, action)?;
        }
        let view = reading.filter(|_| self.rules.masking != Masking::None).as_ref().map(MaskingRules::view);
        if view.as_ref().is_some_and(|view| view.copy == Copying::Unclear) {
            return Err(Denial::Copy);
        }
        Ok(Permit { view })
    }

    /// What is known of SQL alone is never taken for something that a shell obeys: such rules refuse hosts altogether.
    fn may_open(&self, channel: Channel) -> Result<(), Denial> {
        if channel == Channel::Forward {
            return Err(Denial::Forward);
        }
        if self.rules.only.is_some() {
            return Err(Denial::OtherStatement);
        }
        if !self.rules.statements.is_empty() {
            return Err(Denial::ChannelStatements);
        }
        if self.rules.masking != Masking::None {
            return Err(Denial::ChannelMasking);
        }
        Ok(())
    }

    /// What is asked for, if anything depends on it and the statement rules allow it. What was prepared was read then.
    fn read(&self, action: &Action<'_>) -> Result<Option<Reading>, Denial> {
        let wanted = match (action, self.rules.masking.rules()) {
            _ if !self.rules.statements.is_empty() => true,
            // Detectors look into whatever comes; only how `COPY` writes it must be known.
            (Action::Statement { text, .. } | Action::Prepare { text, .. }, Some(masking)) => {
                masking.masks_columns() || text.windows(4).any(|word| word.eq_ignore_ascii_case(b"copy"))
            }
            (_, masking) => masking.is_some_and(MaskingRules::masks_columns),
        };
        if !wanted {
            return Ok(None);
        }
        Ok(Some(match action {
            Action::Statement { text, dialect } | Action::Prepare { text, dialect } => {
                self.permitted(text, *dialect)?
            }
            Action::LogIn { risk: Some(setting), .. } if !self.rules.statements.is_empty() => {
                return Err(Denial::Risk { setting: (*setting).to_owned() });
            }
            Action::LogIn { .. } | Action::Execute { .. } | Action::Cancel | Action::Channel(_) => {
                return Ok(None);
            }
            Action::FunctionCall { .. } | Action::Replicate => {
                let anything = Reading::of_anything();
                self.is_allowed(&anything)?;
                anything
            }
        }))
    }

    /// What may be run by its words may be run: the parser would find no more. Where they refuse it, it may find less, and what
    /// it has found is remembered.
    fn permitted(&self, text: &[u8], dialect: Dialect) -> Result<Reading, Denial> {
        let cut = Text::new(text, dialect);
        let Some(by_words) = self.wanted.and_then(|wanted| cut.by_words(wanted)) else {
            let reading = cut.parsed();
            return self.is_allowed(&reading).map(|()| reading);
        };
        let is_allowed = self.is_allowed(&by_words).is_ok();
        if self.rules.mask_columns() {
            // A table too many would hide what may be shown.
            if is_allowed && by_words.statements.iter().all(Statement::is_plain) {
                return Ok(by_words);
            }
            let reading = cut.parsed();
            return self.is_allowed(&reading).map(|()| reading);
        }
        if is_allowed {
            return Ok(by_words);
        }
        let digest = known::digest(text, dialect);
        if !digest.is_some_and(|digest| self.known.holds(&digest)) {
            self.is_allowed(&cut.parsed())?;
            digest.into_iter().for_each(|digest| self.known.remember(digest));
        }
        Ok(by_words)
    }

    /// What the statement rules say.
    fn is_allowed(&self, reading: &Reading) -> Result<(), Denial> {
        if self.rules.statements.is_empty() {
            return Ok(());
        }
        let rego = self.rules.rego.as_ref();
        let asked = Asked::new(rego.map(|rego| (rego, self.modules.get_or_init(|| rego.compile()))));
        Explained::asking(&self.rules.statements, reading, &asked).denial().map_or(Ok(()), Err)
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
            Action::Prepare { .. } => Ok(()),
            Action::Execute { bound: true } => Err(Denial::BoundValues),
            Action::Statement { .. } | Action::Execute { bound: false } => {
                if self.ran.swap(true, Ordering::AcqRel) { Err(Denial::StatementRan) } else { Ok(()) }
            }
            Action::FunctionCall { .. } | Action::Replicate | Action::Channel(_) => {
                Err(Denial::OtherStatement)
            }
        }
    }
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

    #[test]
    fn what_cannot_be_judged_or_masked_at_a_host_is_refused() {
        let decide = |rules: Rules, channel| warrant(rules).decide(&Action::Channel(channel), NOW).map(drop);
        let plain = Rules { masking: Masking::None, ..Rules::default() };
        let statements: Vec<StatementRule> =
            serde_saphyr::from_str("[{name: reads, action: allow, classes: [read]}]").unwrap();
        let only = Some(OnlyStatement::new("uptime", "clinic"));
        for channel in [Channel::Shell, Channel::Command, Channel::Files, Channel::Subsystem] {
            assert_eq!(decide(plain.clone(), channel), Ok(()));
            assert_eq!(decide(Rules::default(), channel), Err(Denial::ChannelMasking));
            let ruled = Rules { statements: statements.clone(), ..plain.clone() };
            assert_eq!(decide(ruled, channel), Err(Denial::ChannelStatements));
            let single = Rules { only: only.clone(), ..plain.clone() };
            assert_eq!(decide(single, channel), Err(Denial::OtherStatement));
        }
        assert_eq!(decide(plain, Channel::Forward), Err(Denial::Forward));
    }

    const EVERY: [Action<'static>; 9] = [
        Action::LogIn { database: "clinic", setting: None, risk: None },
        Action::Statement { text: b"select 1", dialect: SQL },
        Action::Prepare { text: b"select 1", dialect: SQL },
        Action::Execute { bound: false },
        Action::Execute { bound: true },
        Action::FunctionCall { function: 1 },
        Action::Replicate,
        Action::Cancel,
        Action::Channel(Channel::Shell),
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
            twice.decide(&Action::Execute { bound: false }, NOW).unwrap_err(),
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
        assert!(prepared.decide(&Action::Execute { bound: false }, NOW).is_ok());
        assert_eq!(
            prepared.decide(&Action::Execute { bound: false }, NOW).unwrap_err(),
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
        assert_eq!(denied(Action::Execute { bound: true }), Denial::BoundValues);
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

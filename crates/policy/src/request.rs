//! May this request of a running session go to the target?

use std::{
    collections::BTreeSet,
    fmt,
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
    AllowOrDeny, BoundValue, ClusterRequest, ClusterRule, CommandRule, Explained, Hosts, Masking,
    MaskingRules, Message, Meters, OnlyStatement, StatementRule, Terms, View, cluster, commands,
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
    /// What may be forwarded over a host's session; nothing if empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub forwarding: BTreeSet<Forwarding>,
    /// What each statement is held against; none: any may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementRule>,
    /// What each command on a host is held against; none: any may run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandRule>,
    /// What each request of a cluster's API is held against; none: any may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<ClusterRule>,
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
        self.have_limits() || self.have_conditions()
    }

    /// Whether a request is decided by labels of its object that nobody has looked at yet.
    #[must_use]
    pub fn want_labels(&self, request: &ClusterRequest) -> bool {
        cluster::want_labels(&self.cluster, request)
    }

    fn have_limits(&self) -> bool {
        self.statements.iter().any(|rule| rule.at_most.is_some() || rule.rate.is_some())
    }

    fn have_conditions(&self) -> bool {
        self.statements.iter().any(|rule| rule.when.is_some())
    }

    /// What is asked of a text. Conditions in Rego may turn on its spelling.
    fn wanted(&self) -> Wanted {
        let any = |asks: fn(&StatementRule) -> bool| self.statements.iter().any(asks);
        Wanted {
            spelling: any(|rule| !rule.text.is_empty() || rule.when.is_some()),
            answer: self.masking != Masking::None,
            mentions: self.mask_columns(),
            columns: any(|rule| !rule.columns.is_empty()),
        }
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
    /// To open a channel to a host.
    Channel(Channel),
    /// To run one command on a host, which its shell reads.
    Command {
        /// The text.
        text: &'a [u8],
        /// It does nothing but move files.
        moves_files: bool,
    },
    /// To ask something of a cluster's API.
    Cluster(&'a ClusterRequest),
}

/// What somebody wants of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// A shell, with a terminal or without.
    Shell,
    /// Files, by the subsystem for them.
    Files,
    /// Another subsystem.
    Subsystem,
    /// A connection onward, or back.
    Forward(Forwarding),
}

/// What may be forwarded over a session of a host. The words are those of OpenSSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarding {
    /// From the person through the host to a port or socket that it reaches: `-L`, `-D`, `-W`, `-J`.
    Local,
    /// From a port or socket of the host back to the person: `-R`.
    Remote,
    /// The person's authentication agent: whoever rules the host can use its keys for as long as that lasts.
    Agent,
    /// The person's display: whoever rules the host can look at it and type into it.
    X11,
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local forwarding",
            Self::Remote => "remote forwarding",
            Self::Agent => "forwarding of the authentication agent",
            Self::X11 => "forwarding of the display",
        })
    }
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
    /// There are rules about statements, and what a host runs is not read as one.
    #[error("this session's rule is about statements, and what a host runs cannot be held against it")]
    ChannelStatements,
    /// Answers are masked, and what a host prints is not.
    #[error("this session's rule masks answers, and what a host prints cannot be masked")]
    ChannelMasking,
    /// The rule does not allow this forwarding.
    #[error("{0} is not allowed by this session's rule")]
    Forward(Forwarding),
    /// Output is masked, and what a file holds is not.
    #[error("this session's rule masks what hosts print, and what files and forwards hold cannot be masked")]
    MaskedFiles,
    /// A command rule says no, or none says yes.
    #[error("{} does not allow this command{}", rule.as_ref().map_or_else(|| "the access rule".to_owned(), |rule| format!("command rule {rule}")), said(message.as_ref()))]
    Command {
        /// Which rule; none fits if absent.
        rule: Option<RuleName>,
        /// What the rule says to it.
        message: Option<Message>,
    },
    /// A cluster rule says no, or none says yes.
    #[error("{} does not allow this request{}", rule.as_ref().map_or_else(|| "the access rule".to_owned(), |rule| format!("cluster rule {rule}")), said(message.as_ref()))]
    Cluster {
        /// Which rule; none fits if absent.
        rule: Option<RuleName>,
        /// What the rule says to it.
        message: Option<Message>,
    },
    /// The session only reads, and this would change something, or run something.
    #[error("this session only reads, and the request would change or run something")]
    ClusterReadOnly,
    /// There are command rules, and this is no command.
    #[error("this session is for commands that its rule lists, not for shells or files")]
    OnlyCommands,
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
            Self::ChannelStatements => {
                ("HOOP-2040", "an admin gives hosts a rule of their own, without `statements`")
            }
            Self::ChannelMasking => (
                "HOOP-2041",
                "an admin gives hosts a rule of their own, with `masking: none`, or with `hosts: detect` as a best effort",
            ),
            Self::MaskedFiles => {
                ("HOOP-2045", "an admin gives files and forwards a rule of their own, with `masking: none`")
            }
            Self::Command { .. } => (
                "HOOP-2046",
                "a command must be spelled as the rule has it, from its first character to its last",
            ),
            Self::Cluster { .. } => (
                "HOOP-2048",
                "name the namespace; an admin sees in the access rule, under `cluster`, what this session is for",
            ),
            Self::ClusterReadOnly => {
                ("HOOP-2048", "an admin gives changes a rule of their own, without `read_only`")
            }
            Self::OnlyCommands => ("HOOP-2047", "run one command: `hoop ssh NAME COMMAND`"),
            Self::Forward(_) => (
                "HOOP-2042",
                "ask for a connection of its own to what you want to reach; an admin can set `forwarding` in the access rule",
            ),
        };
        Fault::new(code, Blame::Policy, self.to_string()).with_hint(hint)
    }
}

/// What the requests of a running session are decided by. All its streams share one.
#[derive(Debug)]
pub struct Warrant {
    rules: Arc<Rules>,
    ends_at: Timestamp,
    /// The one statement that `rules` allow was run.
    ran: AtomicBool,
    /// The modules of `rules`, compiled when they are first needed.
    modules: OnceLock<Modules>,
    /// What is asked of a text.
    wanted: Wanted,
    /// What the parser read.
    known: Known,
    /// What was had by whose rates.
    meters: Arc<Meters>,
}

/// What was read of a text that may run, and what was said to it.
struct Allowed {
    /// Nothing where no text came: it was read when it was prepared.
    reading: Option<Arc<Reading>>,
    said: Said,
}

impl Allowed {
    /// What conditions are asked about once values are bound.
    fn read_again(mut self, text: &[u8], dialect: Dialect, values: Values<'_>) -> Self {
        if let (Some(terms), Values::ToCome) = (&mut self.said.terms, values) {
            *terms = terms.read_again(text, dialect);
        }
        self
    }
}

/// What the statement rules say to a text that may run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
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
        let wanted = rules.wanted();
        Self {
            rules: Arc::new(rules),
            ends_at,
            ran: AtomicBool::new(false),
            modules: OnceLock::new(),
            wanted,
            known: Known::default(),
            meters,
        }
    }

    /// What it decides by, for whoever moves the requests.
    #[must_use]
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
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
        match action {
            Action::Channel(channel) => return self.may_open(*channel).map(|()| Permit::PLAIN),
            Action::Command { text, moves_files } => {
                return self.may_command(text, *moves_files).map(|()| Permit::PLAIN);
            }
            Action::Cluster(request) => return self.may_ask(request).map(|()| Permit::PLAIN),
            _ => {}
        }
        let Some(Allowed { reading, said }) = self.read(action)? else {
            return self.is_all_approved(action).map(|()| Permit::PLAIN);
        };
        let view = reading.as_deref().filter(|_| self.rules.masking != Masking::None).map(MaskingRules::view);
        if view.as_ref().is_some_and(|view| view.copy == Copying::Unclear) {
            return Err(Denial::Copy);
        }
        // The last things, so that what is refused is not counted, and uses up no approval. What is prepared is counted when it is run.
        if let (
            Some(terms),
            Action::Statement { .. } | Action::FunctionCall { .. } | Action::Execute { .. },
        ) = (&said.terms, action)
        {
            terms.run(now)?;
        }
        self.is_all_approved(action)?;
        let gives_names = reading
            .is_some_and(|reading| reading.statements.iter().any(Statement::gives_names))
            || said.terms.as_ref().is_some_and(Terms::give_names);
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

    /// What is known of SQL alone is never taken for something that a shell obeys: such rules refuse hosts altogether.
    fn may_open(&self, channel: Channel) -> Result<(), Denial> {
        if let Channel::Forward(way) = channel
            && !self.rules.forwarding.contains(&way)
        {
            return Err(Denial::Forward(way));
        }
        self.may_reach_a_host(matches!(channel, Channel::Files | Channel::Forward(_)))?;
        if self.rules.commands.is_empty() { Ok(()) } else { Err(Denial::OnlyCommands) }
    }

    fn may_command(&self, text: &[u8], moves_files: bool) -> Result<(), Denial> {
        self.may_reach_a_host(moves_files)?;
        match commands::decided(&self.rules.commands, text) {
            (AllowOrDeny::Allow, _) => Ok(()),
            (AllowOrDeny::Deny, rule) => Err(Denial::Command {
                rule: rule.map(|rule| rule.name.clone()),
                message: rule.and_then(|rule| rule.message.clone()),
            }),
        }
    }

    /// A cluster shows and does what its own rules let the person; these are the fence before that.
    fn may_ask(&self, request: &ClusterRequest) -> Result<(), Denial> {
        let Rules { only, statements, read_only, cluster, commands, .. } = &*self.rules;
        if only.is_some() {
            return Err(Denial::OtherStatement);
        }
        if !statements.is_empty() {
            return Err(Denial::ChannelStatements);
        }
        if *read_only && !request.only_reads() {
            return Err(Denial::ClusterReadOnly);
        }
        if self.rules.masking.rules().is_some_and(|masking| masking.hosts == Hosts::Refuse) {
            return Err(Denial::ChannelMasking);
        }
        // Whoever makes a pod runs what they like in it: a list of commands alone is meant for `exec`.
        let is_exec = request.resource == "pods" && request.subresource == "exec";
        if !commands.is_empty() && cluster.is_empty() && !is_exec && !request.only_reads() {
            return Err(Denial::OnlyCommands);
        }
        match cluster::decided(cluster, request) {
            (AllowOrDeny::Allow, _) => Ok(()),
            (AllowOrDeny::Deny, rule) => Err(Denial::Cluster {
                rule: rule.map(|rule| rule.name.clone()),
                message: rule.and_then(|rule| rule.message.clone()),
            }),
        }
    }

    fn may_reach_a_host(&self, moves_data: bool) -> Result<(), Denial> {
        if self.rules.only.is_some() {
            return Err(Denial::OtherStatement);
        }
        if self.has_fences() {
            return Err(Denial::ChannelStatements);
        }
        match self.rules.masking.rules().map(|masking| masking.hosts) {
            None => Ok(()),
            Some(Hosts::Detect) if !moves_data => Ok(()),
            Some(Hosts::Detect) => Err(Denial::MaskedFiles),
            Some(Hosts::Refuse) => Err(Denial::ChannelMasking),
        }
    }

    /// What is asked for, if anything depends on it and the statement rules allow it. What was prepared was read then.
    fn read(&self, action: &Action<'_>) -> Result<Option<Allowed>, Denial> {
        let wanted = match action {
            // Detectors look into whatever comes; but how `COPY` writes it must be known, and which names are given anew.
            Action::Statement { .. } | Action::Prepare { .. } | Action::FunctionCall { .. } => {
                self.rules.masking != Masking::None
            }
            _ => self.rules.mask_columns(),
        };
        if !wanted && !self.has_fences() {
            return Ok(None);
        }
        Ok(match *action {
            Action::Statement { text, dialect } => Some(self.permitted(text, dialect, Values::Given(&[]))?),
            Action::Prepare { text, dialect } => {
                Some(self.permitted(text, dialect, self.values_to_come(text))?)
            }
            Action::Bind { terms, values } => self.bound(terms, values)?,
            Action::Execute { terms, .. } => self.run_again(terms)?,
            Action::LogIn { risk: Some(setting), .. } if self.has_fences() => {
                return Err(Denial::Risk { setting: setting.to_owned() });
            }
            Action::LogIn { .. }
            | Action::Cancel
            | Action::Channel(_)
            | Action::Command { .. }
            | Action::Cluster(_) => None,
            Action::FunctionCall { .. } | Action::Replicate => {
                let reading = Arc::new(Reading::of_anything());
                let said = self.is_allowed(&reading, Values::Given(&[]))?;
                Some(Allowed { reading: Some(reading), said })
            }
        })
    }

    /// What a setting might lead around.
    fn has_fences(&self) -> bool {
        !self.rules.statements.is_empty() || self.rules.read_only
    }

    /// Values are bound: conditions look at them, and the rule that allows the statement with these may be another.
    fn bound(&self, terms: &[Terms], values: &[BoundValue]) -> Result<Option<Allowed>, Denial> {
        if !self.rules.look_again() {
            return Ok(None);
        }
        let (mut held, mut warnings) = (Vec::with_capacity(terms.len()), Vec::new());
        for terms in terms {
            held.push(match terms.again() {
                None => terms.clone(),
                Some(Again { text, dialect }) => {
                    let allowed = self.permitted(text, *dialect, Values::Given(values))?;
                    warnings.extend(allowed.said.warnings);
                    allowed.said.terms.ok_or(Denial::Forgotten)?
                }
            });
        }
        let allowed = self.run_again(&held)?;
        Ok(allowed.map(|allowed| Allowed { said: Said { warnings, ..allowed.said }, ..allowed }))
    }

    /// What was prepared is held to what its text was.
    fn run_again(&self, terms: &[Terms]) -> Result<Option<Allowed>, Denial> {
        if !self.rules.look_again() {
            return Ok(None);
        }
        let terms = Terms::all(terms).ok_or(Denial::Forgotten)?;
        Ok(Some(Allowed { reading: None, said: Said { terms: Some(terms), warnings: Vec::new() } }))
    }

    /// Its words decide where the parser could not decide otherwise. What it has read is remembered, for drivers send the same
    /// texts again and again.
    fn permitted(&self, text: &[u8], dialect: Dialect, values: Values<'_>) -> Result<Allowed, Denial> {
        let digest = known::digest(text, dialect);
        if let Some(known) = digest.and_then(|digest| self.known.of(&digest)) {
            let reading = known.reading;
            let said = match known.said.filter(|_| values.are_none()) {
                Some(said) => said,
                None => self.is_allowed(&reading, values)?,
            };
            return Ok(Allowed { reading: Some(reading), said }.read_again(text, dialect, values));
        }
        let cut = Text::new(text, dialect);
        let words = cut.by_words(self.wanted).map(Arc::new);
        if let Some(decided) = words.as_ref().and_then(|reading| self.by_words(reading)) {
            return decided;
        }
        // Conditions are asked about what is read exactly.
        let exact = words.filter(|reading| is_exact(reading));
        let reading = exact.unwrap_or_else(|| Arc::new(cut.parsed_for(self.wanted)));
        let said = self.is_allowed(&reading, values);
        if let Some(digest) = digest {
            self.known.remember(digest, &reading, said.as_ref().ok().filter(|_| values.are_none()));
        }
        Ok(Allowed { reading: Some(reading), said: said? }.read_again(text, dialect, values))
    }

    /// What the words of a text come to. `None`: the parser must be asked.
    ///
    /// They may run if no condition is needed for it: the parser would find no more, and a rule that denies, asks or warns fits no more
    /// then. They may not if the parser would find no less.
    fn by_words(&self, reading: &Arc<Reading>) -> Option<Result<Allowed, Denial>> {
        let is_certain = reading.statements.iter().all(|statement| statement.is_certain);
        if self.may_write_again(reading) {
            return is_certain.then_some(Err(Denial::ReadOnly));
        }
        if self.runs_what_was_not_asked(reading) {
            return Some(Err(Denial::Forgotten));
        }
        if self.rules.statements.is_empty() {
            let said = Said::default();
            let is_enough = is_certain || !self.rules.mask_columns();
            return is_enough.then(|| Ok(Allowed { reading: Some(Arc::clone(reading)), said }));
        }
        let Rules { statements, approved, .. } = &*self.rules;
        let unasked = Explained::asking(statements, approved.as_ref(), reading, &Asked::new(None));
        // Which rules fit is what the parser and the conditions would say, and not only what they would come to.
        let is_exact = is_exact(reading) && !self.rules.have_conditions();
        if let Some(denial) = unasked.denial() {
            return is_exact.then_some(Err(denial));
        }
        let said = self.said(&unasked);
        let turns_on_the_rule = self.rules.have_limits() || !said.warnings.is_empty();
        // A table too many would hide what may be shown.
        let is_enough = is_exact || (!turns_on_the_rule && (is_certain || !self.rules.mask_columns()));
        is_enough.then(|| Ok(Allowed { reading: Some(Arc::clone(reading)), said }))
    }

    /// A session that only reads does not let this by.
    fn may_write_again(&self, reading: &Reading) -> bool {
        self.rules.read_only && reading.statements.iter().any(|statement| statement.read_write)
    }

    /// What was prepared with places for values waits to be asked about until they are bound: `EXECUTE` would run it before.
    fn runs_what_was_not_asked(&self, reading: &Reading) -> bool {
        self.rules.have_conditions() && reading.statements.iter().any(|one| one.verbs.contains("execute"))
    }

    /// What the statement rules say.
    fn is_allowed(&self, reading: &Reading, values: Values<'_>) -> Result<Said, Denial> {
        let Rules { statements, approved, rego, .. } = &*self.rules;
        if self.may_write_again(reading) {
            return Err(Denial::ReadOnly);
        }
        if self.runs_what_was_not_asked(reading) {
            return Err(Denial::Forgotten);
        }
        if statements.is_empty() {
            return Ok(Said::default());
        }
        let rego = rego.as_ref().map(|rego| (rego, self.modules.get_or_init(|| rego.compile())));
        let asked = Asked::new(rego).with(values);
        let explained = Explained::asking(statements, approved.as_ref(), reading, &asked);
        explained.denial().map_or_else(|| Ok(self.said(&explained)), Err)
    }

    /// What is said to a text that may run.
    fn said(&self, explained: &Explained<'_>) -> Said {
        let warning =
            |rule: &StatementRule| Warning { rule: rule.name.clone(), message: rule.message.clone() };
        Said {
            warnings: explained.warns().into_iter().map(warning).collect(),
            terms: self.rules.look_again().then(|| self.terms(explained)),
        }
    }

    /// Only where a text has a place for values is anything bound to it, and only conditions look at that.
    fn values_to_come(&self, text: &[u8]) -> Values<'static> {
        let come = self.rules.have_conditions() && text.contains(&b'$');
        if come { Values::ToCome } else { Values::Given(&[]) }
    }

    /// What answers to rows that were put by before is not known from its text: every rule's limits hold.
    fn terms(&self, explained: &Explained<'_>) -> Terms {
        if explained.reading().statements.iter().any(Statement::answers_with_others) {
            return Terms::new(self.rules.statements.iter(), &self.meters, explained);
        }
        Terms::new(explained.allowing(), &self.meters, explained)
    }

    fn is_all_approved(&self, action: &Action<'_>) -> Result<(), Denial> {
        let Some(only) = &self.rules.only else { return Ok(()) };
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
            Action::FunctionCall { .. }
            | Action::Replicate
            | Action::Channel(_)
            | Action::Command { .. }
            | Action::Cluster(_) => Err(Denial::OtherStatement),
        }
    }
}

/// The words of a text say what the parser would: nothing that is not there, and nothing that it would bound.
fn is_exact(reading: &Reading) -> bool {
    reading.statements.iter().all(|statement| statement.is_certain && !statement.unbounded)
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
        let decide = |rules: Rules, action: Action<'_>| warrant(rules).decide(&action, NOW).map(drop);
        let plain = Rules { masking: Masking::None, ..Rules::default() };
        let statements: Vec<StatementRule> =
            serde_saphyr::from_str("[{name: reads, action: allow, classes: [read]}]").unwrap();
        let only = Some(OnlyStatement::new("uptime", "clinic"));
        let command = Action::Command { text: b"uptime", moves_files: false };
        for channel in [
            command,
            Action::Channel(Channel::Shell),
            Action::Channel(Channel::Files),
            Action::Channel(Channel::Subsystem),
        ] {
            assert_eq!(decide(plain.clone(), channel), Ok(()));
            assert_eq!(decide(Rules::default(), channel), Err(Denial::ChannelMasking));
            let ruled = Rules { statements: statements.clone(), ..plain.clone() };
            assert_eq!(decide(ruled, channel), Err(Denial::ChannelStatements));
            let single = Rules { only: only.clone(), ..plain.clone() };
            assert_eq!(decide(single, channel), Err(Denial::OtherStatement));
        }
        for way in [Forwarding::Local, Forwarding::Remote, Forwarding::Agent, Forwarding::X11] {
            let channel = Action::Channel(Channel::Forward(way));
            assert_eq!(decide(plain.clone(), channel), Err(Denial::Forward(way)));
            let others = [Forwarding::Local, Forwarding::Remote, Forwarding::Agent, Forwarding::X11];
            let others = others.into_iter().filter(|other| *other != way).collect();
            assert_eq!(
                decide(Rules { forwarding: others, ..plain.clone() }, channel),
                Err(Denial::Forward(way))
            );
            let allowed = Rules { forwarding: BTreeSet::from([way]), ..plain.clone() };
            assert_eq!(decide(allowed.clone(), channel), Ok(()));
            let masked = Rules { masking: Masking::default(), ..allowed.clone() };
            assert_eq!(decide(masked, channel), Err(Denial::ChannelMasking), "nothing is masked in it");
            let masking = serde_saphyr::from_str("{hosts: detect}").unwrap();
            assert_eq!(decide(Rules { masking, ..allowed }, channel), Err(Denial::MaskedFiles));
        }
    }

    const SCP: Action<'static> = Action::Command { text: b"scp -f /etc/passwd", moves_files: true };

    #[test]
    fn where_output_is_masked_by_detectors_files_are_refused() {
        let masking: Masking = serde_saphyr::from_str("{hosts: detect}").unwrap();
        let warrant = warrant(Rules { masking, ..Rules::default() });
        let decide = |action| warrant.decide(&action, NOW).map(drop);
        assert_eq!(decide(Action::Channel(Channel::Shell)), Ok(()));
        assert_eq!(decide(Action::Command { text: b"uptime", moves_files: false }), Ok(()));
        assert_eq!(decide(Action::Channel(Channel::Files)), Err(Denial::MaskedFiles));
        assert_eq!(decide(SCP), Err(Denial::MaskedFiles));
    }

    #[test]
    fn where_commands_are_listed_nothing_else_runs() {
        let commands = serde_saphyr::from_str(
            "[{name: not-now, action: deny, text: [reboot], message: ask the operators}, {name: look, action: allow, text: [uptime]}]",
        );
        let warrant =
            warrant(Rules { commands: commands.unwrap(), masking: Masking::None, ..Rules::default() });
        let decide = |action| warrant.decide(&action, NOW).map(drop);
        let command = |text| decide(Action::Command { text, moves_files: false });
        assert_eq!(command(b"uptime"), Ok(()));
        assert_eq!(command(b"uptime; id"), Err(Denial::Command { rule: None, message: None }));
        let denied = command(b"reboot").unwrap_err().to_string();
        assert_eq!(denied, "command rule not-now does not allow this command: ask the operators");
        assert_eq!(decide(SCP), Err(Denial::Command { rule: None, message: None }));
        for channel in [Channel::Shell, Channel::Files, Channel::Subsystem] {
            assert_eq!(decide(Action::Channel(channel)), Err(Denial::OnlyCommands));
        }
    }

    #[test]
    fn requests_of_a_cluster_are_held_against_their_own_rules_and_refused_by_those_of_others() {
        let decide = |rules: Rules, request: &ClusterRequest| {
            warrant(rules).decide(&Action::Cluster(request), NOW).map(drop)
        };
        let request = |verb: &str, resource: &str, subresource: &str| ClusterRequest {
            verb: verb.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: "shop".into(),
            name: "web".into(),
            ..ClusterRequest::default()
        };
        let (get, patch) = (request("get", "pods", ""), request("patch", "pods", ""));
        let exec = request("create", "pods", "exec");
        let plain = Rules { masking: Masking::None, ..Rules::default() };
        assert_eq!(decide(plain.clone(), &patch), Ok(()));
        assert_eq!(decide(Rules::default(), &get), Err(Denial::ChannelMasking));
        let masking = serde_saphyr::from_str("{hosts: detect}").unwrap();
        assert_eq!(decide(Rules { masking, ..Rules::default() }, &get), Ok(()));
        let reads = Rules { read_only: true, ..plain.clone() };
        assert_eq!(decide(reads.clone(), &get), Ok(()));
        for request in [&patch, &exec] {
            assert_eq!(decide(reads.clone(), request), Err(Denial::ClusterReadOnly));
        }
        let only = Some(OnlyStatement::new("select 1", "clinic"));
        assert_eq!(decide(Rules { only, ..plain.clone() }, &get), Err(Denial::OtherStatement));
        let statements = serde_saphyr::from_str("[{name: reads, action: allow, classes: [read]}]").unwrap();
        assert_eq!(decide(Rules { statements, ..plain.clone() }, &get), Err(Denial::ChannelStatements));
        let commands = serde_saphyr::from_str("[{name: a, action: allow, text: [ls]}]").unwrap();
        let commands = Rules { commands, ..plain.clone() };
        assert_eq!(decide(commands.clone(), &patch), Err(Denial::OnlyCommands), "a pod runs what it is told");
        assert_eq!((decide(commands.clone(), &get), decide(commands.clone(), &exec)), (Ok(()), Ok(())));
        let cluster = serde_saphyr::from_str(
            "[{name: p, action: allow, verbs: [patch]}, {name: no, action: deny, message: ask}]",
        );
        let cluster = Rules { cluster: cluster.unwrap(), ..commands };
        assert_eq!(decide(cluster.clone(), &patch), Ok(()));
        let denied = decide(cluster, &get).unwrap_err().to_string();
        assert_eq!(denied, "cluster rule no does not allow this request: ask");
    }

    const EVERY: [Action<'static>; 10] = [
        Action::LogIn { database: "clinic", setting: None, risk: None },
        Action::Statement { text: b"select 1", dialect: SQL },
        Action::Prepare { text: b"select 1", dialect: SQL },
        Action::Execute { bound: false, terms: &[] },
        Action::Execute { bound: true, terms: &[] },
        Action::FunctionCall { function: 1 },
        Action::Replicate,
        Action::Cancel,
        Action::Channel(Channel::Shell),
        Action::Command { text: b"uptime", moves_files: false },
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
    fn what_the_parser_read_is_remembered_and_may_run_no_more_for_it() {
        let warrant = held_against("[{name: a, action: allow, tables: [clinic.*]}]");
        let decide = |text: &str, dialect| {
            warrant.decide(&Action::Statement { text: text.as_bytes(), dialect }, NOW).is_ok()
        };
        let of = |text: &str, dialect| {
            let known = warrant.known.of(&known::digest(text.as_bytes(), dialect).unwrap());
            known.map(|known| known.said.is_some())
        };
        let plain = "select * from clinic.patients";
        let given = "explain create table clinic.p as select * from clinic.patients";
        let other = "explain create table clinic.p as select * from billing.claims";
        let old = Dialect::Postgres(hoop_sql::postgres::Mode { standard_strings: false, utf8: true });
        for _ in 0..2 {
            assert!(decide(plain, SQL) && decide(given, SQL) && !decide(other, SQL));
            assert_eq!(of(plain, SQL), None, "its words were enough");
            assert_eq!((of(given, SQL), of(other, SQL)), (Some(true), Some(false)));
            assert_eq!(of(given, old), None);
        }
    }

    #[test]
    fn what_words_refuse_for_certain_is_refused_and_what_they_allow_needs_no_condition() {
        let asked = |yaml: &str, text: &str| {
            let warrant = held_against(yaml);
            let action = Action::Statement { text: text.as_bytes(), dialect: SQL };
            let known = known::digest(text.as_bytes(), SQL).unwrap();
            (warrant.decide(&action, NOW).is_ok(), warrant.known.of(&known).is_some())
        };
        let allow = "{name: a, action: allow, classes: [read], tables: [clinic.*]}";
        let (only, later) =
            (format!("[{allow}]"), format!("[{{name: w, action: allow, when: data.x.y}}, {allow}]"));
        let denies = format!("[{{name: w, action: deny, when: data.x.y, classes: [read]}}, {allow}]");
        let elsewhere = format!("[{{name: w, action: deny, when: data.x.y, classes: [ddl]}}, {allow}]");
        let (good, bad) = ("select a from clinic.b", "select a from billing.b");
        assert_eq!([asked(&only, good), asked(&only, bad)], [(true, false), (false, false)]);
        assert_eq!(asked(&only, "update clinic.b set a = 1"), (false, true), "the parser might find a WHERE");
        assert_eq!(asked(&later, good), (true, false), "whatever comes of the condition");
        assert_eq!(asked(&later, bad), (false, true), "it might have allowed it");
        assert_eq!(asked(&denies, good), (false, true), "it has no value here");
        assert_eq!(asked(&elsewhere, good), (true, false));
    }

    #[test]
    fn only_what_rules_turn_on_is_read() {
        let wanted = |spelling| Wanted { spelling, answer: false, mentions: false, columns: false };
        for (yaml, spelling) in [
            ("[{name: a, action: allow, when: data.x.y}]", true),
            ("[{name: a, action: allow, text: [select ?]}]", true),
            ("[{name: a, action: allow, classes: [read]}]", false),
        ] {
            assert_eq!(held_against(yaml).wanted, wanted(spelling), "{yaml}");
        }
        assert_eq!(warrant(Rules::default()).wanted, Wanted { answer: true, ..wanted(false) });
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

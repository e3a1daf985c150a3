//! Whether a document that could be read makes sense.

use std::collections::BTreeSet;

use hoop_masking::Kind;
use hoop_model::RuleName;

use crate::{
    AllowOrDeny, ClusterRule, ColumnPattern, ColumnRule, CommandRule, Hosts, Masking, Show, StatementAction,
    StatementRule,
    rego::{LONGEST_IN_GRANT, ModuleError, Modules, When},
};

use super::{
    document::{ApprovalRule, BreakGlassRule, Conditions, Connections, Deciders, Rule, TimeWindow},
    words::{Clock, ConnectionPattern, Period, is_visible},
};

/// Rules of one kind in a document.
const MOST_RULES: usize = 20_000;
/// Entries of one list.
const MOST_ENTRIES: usize = 10_000;
/// Time windows of one rule: each costs time in each decision.
const MOST_WINDOWS: usize = 50;
/// Networks of one rule.
const MOST_NETWORKS: usize = 1_000;
/// Statement rules of one rule: each costs time for each statement.
const MOST_STATEMENTS: usize = 100;
/// Patterns of one command rule: each is held against each command.
const MOST_PATTERNS: usize = 1_000;
/// Patterns of columns that are held against every column of a database.
const MOST_WIDE: usize = 100;
/// Different conditions in Rego: each costs up to its time in a decision.
const MOST_WHEN: usize = 50;
/// Bytes of a description.
const LONGEST_DESCRIPTION: usize = 1_000;
/// Approvers of one request.
const MOST_APPROVERS: u8 = 10;
/// Sessions of one person.
const MOST_SESSIONS: u32 = 10_000;
/// Thirty days.
const LONGEST: Period = Period::seconds(30 * 86_400);

/// What makes no sense, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Two rules have one name.
    #[error("another rule has this name: give each its own")]
    SameName,
    /// Nobody.
    #[error("`{field}` names nobody: put a user or a group in")]
    Nobody {
        /// Where.
        field: &'static str,
    },
    /// No connection.
    #[error("`connections` selects nothing: put names or labels in, or names: [\"*\"] for all")]
    NoConnection,
    /// `*` beside other names, or beside labels.
    #[error(
        "`connections` has \"*\" and something else: \"*\" already selects all, so leave it alone or out"
    )]
    StarAndMore,
    /// Longer than allowed.
    #[error("`{field}` is {found}: at most {LONGEST} is allowed")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: Period,
    },
    /// Outside of what is allowed.
    #[error("`{field}` is {found}: from {least} to {most} is allowed")]
    Range {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u32,
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// A list that is too long.
    #[error("`{field}` has {found} entries: at most {most} are allowed; use groups or labels, or split it")]
    TooMany {
        /// Which field.
        field: &'static str,
        /// How many there are.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A window without length.
    #[error("a time window opens and closes at {at}: for the whole day write from \"00:00\" to \"24:00\"")]
    EmptyWindow {
        /// When.
        at: Clock,
    },
    /// `24:00` is an end only.
    #[error("a time window opens at 24:00: write \"00:00\" and the next day")]
    OpensAtMidnight,
    /// No day.
    #[error("a time window has no day: name one or leave `days` out")]
    NoDay,
    /// No method.
    #[error("`mfa.methods` is empty: name one or leave it out")]
    NoMethod,
    /// Two statement rules of a rule have one name.
    #[error("another statement rule has the name {name}: give each its own")]
    SameStatementName {
        /// Which.
        name: RuleName,
    },
    /// A verb that no statement has.
    #[error("statement rule {name}: a verb is one word in small letters, such as truncate")]
    Verb {
        /// Of which rule.
        name: RuleName,
    },
    /// What may touch every row is never sure, so nothing would be allowed.
    #[error("statement rule {name}: `without_where` is for rules that deny")]
    AllowsWithoutWhere {
        /// Of which rule.
        name: RuleName,
    },
    /// A field that this kind of rule has no use for, or that it must have.
    #[error("statement rule {name}: {what}")]
    Misplaced {
        /// Of which rule.
        name: RuleName,
        /// What to do.
        what: &'static str,
    },
    /// A command rule that says what it cannot mean.
    #[error("command rule {name}: {what}")]
    MisplacedCommand {
        /// Of which rule.
        name: RuleName,
        /// What to do.
        what: &'static str,
    },
    /// A cluster rule that says what it cannot mean.
    #[error("cluster rule {name}: {what}")]
    MisplacedCluster {
        /// Of which rule.
        name: RuleName,
        /// What to do.
        what: &'static str,
    },
    /// What hosts print is to be looked through, for nothing.
    #[error("`masking.hosts: detect` without detectors: leave `detect` on, and some kind masked")]
    NothingToDetect,
    /// A masking rule that does not say what a column holds.
    #[error("masking of {column}: say its `kind`, or mode: clear or mode: null")]
    NoKind {
        /// The first column of the rule.
        column: ColumnPattern,
    },
    /// A condition that names no rule of a module.
    #[error("`when` or `unless` names {path}, and no module has such a rule")]
    NoSuchRule {
        /// What it names.
        path: When,
    },
    /// More than fits into a grant.
    #[error(
        "a statement rule has a `when`, and `modules` has {bytes} bytes: then at most {LONGEST_IN_GRANT} are allowed"
    )]
    TooMuchForGrants {
        /// How many there are.
        bytes: usize,
    },
    /// Modules that cannot be used.
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// A text that is too long or could act on a terminal.
    #[error(
        "`description` must have at most {LONGEST_DESCRIPTION} bytes and no control characters but line ends"
    )]
    Description,
}

/// A problem, and where: which list and which of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) list: &'static str,
    pub(super) index: usize,
    pub(super) rule: Option<RuleName>,
    pub(super) problem: Problem,
}

/// Looks at everything; the first problem counts.
pub(super) fn check(rules: &[Rule], break_glass: &[BreakGlassRule], modules: &Modules) -> Result<(), Found> {
    let whole = |list, found| {
        let problem = Problem::TooMany { field: list, found, most: MOST_RULES };
        if found > MOST_RULES { Err(Found { list, index: 0, rule: None, problem }) } else { Ok(()) }
    };
    whole("rules", rules.len())?;
    whole("break_glass", break_glass.len())?;
    let mut names = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let outcome = if names.insert(&rule.name) { check_rule(rule) } else { Err(Problem::SameName) };
        at("rules", index, &rule.name, outcome)?;
    }
    for (index, rule) in break_glass.iter().enumerate() {
        let outcome = if names.insert(&rule.name) { check_break_glass(rule) } else { Err(Problem::SameName) };
        at("break_glass", index, &rule.name, outcome)?;
    }
    check_when(rules, break_glass, modules)
}

/// Each path is looked up once.
fn check_when(rules: &[Rule], break_glass: &[BreakGlassRule], modules: &Modules) -> Result<(), Found> {
    let mut known = BTreeSet::new();
    let mut look = |path: &When| {
        if !known.insert(path.clone()) {
            return Ok(());
        }
        most("when", known.len(), MOST_WHEN)?;
        if modules.has(path) { Ok(()) } else { Err(Problem::NoSuchRule { path: path.clone() }) }
    };
    for (index, rule) in rules.iter().enumerate() {
        let of_statements = || rule.statements.iter().filter_map(|statement| statement.when.as_ref());
        if of_statements().next().is_some() {
            let bytes = modules.sources().values().map(String::len).sum();
            let outcome =
                if bytes > LONGEST_IN_GRANT { Err(Problem::TooMuchForGrants { bytes }) } else { Ok(()) };
            at("rules", index, &rule.name, outcome)?;
        }
        let paths = rule.conditions.when.iter().chain(rule.masking.unless()).chain(of_statements());
        paths.into_iter().try_for_each(|path| at("rules", index, &rule.name, look(path)))?;
    }
    for (index, rule) in break_glass.iter().enumerate() {
        let path = rule.masking.unless();
        path.into_iter().try_for_each(|path| at("break_glass", index, &rule.name, look(path)))?;
    }
    Ok(())
}

fn at(list: &'static str, index: usize, name: &RuleName, outcome: Result<(), Problem>) -> Result<(), Found> {
    outcome.map_err(|problem| Found { list, index, rule: Some(name.clone()), problem })
}

fn check_rule(rule: &Rule) -> Result<(), Problem> {
    describe(rule.description.as_deref())?;
    let subjects = &rule.subjects;
    let counts = [subjects.users.len(), subjects.groups.len(), subjects.service_accounts.len()];
    some("subjects", &counts)?;
    check_connections(&rule.connections)?;
    check_conditions(&rule.conditions)?;
    within("limits.duration", rule.limits.duration)?;
    within("limits.idle", rule.limits.idle)?;
    check_statements(&rule.statements)?;
    check_commands(&rule.commands, &rule.statements)?;
    check_cluster(rule)?;
    check_masking(&rule.masking)?;
    rule.limits.sessions.map_or(Ok(()), |found| range("limits.sessions", found, MOST_SESSIONS))
}

fn check_statements(rules: &[StatementRule]) -> Result<(), Problem> {
    most("statements", rules.len(), MOST_STATEMENTS)?;
    let mut names = BTreeSet::new();
    for rule in rules {
        let StatementRule { name, action, verbs, tables, text, without_where, .. } = rule;
        let name = name.clone();
        most("statements.tables", tables.len(), MOST_ENTRIES)?;
        most("statements.text", text.len(), MOST_ENTRIES)?;
        if !verbs.iter().all(|verb| !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_lowercase())) {
            return Err(Problem::Verb { name });
        }
        if *without_where && *action == StatementAction::Allow {
            return Err(Problem::AllowsWithoutWhere { name });
        }
        if !names.insert(name.clone()) {
            return Err(Problem::SameStatementName { name });
        }
        misplaced(rule).map_or(Ok(()), |what| Err(Problem::Misplaced { name, what }))?;
        rule.approval.as_ref().map_or(Ok(()), check_approval)?;
        rule.rate.map_or(Ok(()), |rate| within("statements.rate.per", rate.per))?;
    }
    let last = |wanted: &[StatementAction]| rules.iter().rposition(|rule| wanted.contains(&rule.action));
    let adds = last(&[StatementAction::Ask, StatementAction::Warn]);
    match adds.filter(|at| Some(*at) > last(&[StatementAction::Allow])).and_then(|at| rules.get(at)) {
        Some(StatementRule { name, .. }) => {
            let what =
                "no rule behind it allows anything: put one that does behind the rules that ask or warn";
            Err(Problem::Misplaced { name: name.clone(), what })
        }
        None => Ok(()),
    }
}

fn check_commands(rules: &[CommandRule], statements: &[StatementRule]) -> Result<(), Problem> {
    most("commands", rules.len(), MOST_STATEMENTS)?;
    let mut names: BTreeSet<_> = statements.iter().map(|rule| &rule.name).collect();
    for CommandRule { name, action, text, message } in rules {
        most("commands.text", text.len(), MOST_PATTERNS)?;
        let what = if !names.insert(name) {
            "another rule about commands or statements has this name: give each its own"
        } else if message.is_some() && *action == AllowOrDeny::Allow {
            "`message` is for rules that deny"
        } else {
            continue;
        };
        return Err(Problem::MisplacedCommand { name: name.clone(), what });
    }
    Ok(())
}

fn check_cluster(rule: &Rule) -> Result<(), Problem> {
    most("cluster", rule.cluster.len(), MOST_STATEMENTS)?;
    let mut names: BTreeSet<_> = rule.statements.iter().map(|rule| &rule.name).collect();
    names.extend(rule.commands.iter().map(|rule| &rule.name));
    for ClusterRule {
        name,
        action,
        verbs: _,
        resources,
        namespaces,
        names: objects,
        labels,
        paths,
        message,
    } in &rule.cluster
    {
        let counts = [resources.len(), namespaces.len(), objects.len(), labels.len(), paths.len()];
        counts.into_iter().try_for_each(|found| most("cluster", found, MOST_ENTRIES))?;
        labels.values().try_for_each(|values| most("cluster.labels", values.len(), MOST_ENTRIES))?;
        let about_resources =
            !(resources.is_empty() && namespaces.is_empty() && objects.is_empty() && labels.is_empty());
        let what = if !names.insert(name) {
            "another rule about requests, commands or statements has this name: give each its own"
        } else if message.is_some() && *action == AllowOrDeny::Allow {
            "`message` is for rules that deny"
        } else if !paths.is_empty() && about_resources {
            "`paths` are no resources: give them a rule of their own"
        } else if labels.values().any(BTreeSet::is_empty) {
            "a label without values fits nothing"
        } else {
            continue;
        };
        return Err(Problem::MisplacedCluster { name: name.clone(), what });
    }
    Ok(())
}

/// What to do about a field that a statement rule has or lacks.
fn misplaced(rule: &StatementRule) -> Option<&'static str> {
    let StatementRule { action, approval, message, at_most, rate, .. } = rule;
    let (asks, allows) = (*action == StatementAction::Ask, *action == StatementAction::Allow);
    if approval.is_some() != asks {
        return Some(if asks {
            "it asks, so it needs `approval` with `approvers`"
        } else {
            "`approval` is for rules that ask"
        });
    }
    if (at_most.is_some() || rate.is_some()) && !allows {
        return Some("`at_most` and `rate` are for rules that allow");
    }
    if message.is_some() && allows {
        return Some("`message` is for rules that deny, ask or warn");
    }
    if at_most.is_some_and(|limit| !limit.is_filled()) {
        return Some("`at_most` says nothing: give `rows` or `bytes`");
    }
    rate.is_some_and(|rate| !rate.is_filled())
        .then_some("`rate` says nothing: give `statements`, `rows` or `bytes`")
}

fn check_masking(masking: &Masking) -> Result<(), Problem> {
    let Some(rules) = masking.rules() else { return Ok(()) };
    if rules.hosts == Hosts::Detect && !Kind::ALL.into_iter().any(|kind| rules.detectors().looks_for(kind)) {
        return Err(Problem::NothingToDetect);
    }
    most("masking.columns", rules.patterns().count(), MOST_ENTRIES)?;
    let wide = rules.patterns().filter(|(pattern, _)| pattern.is_wide()).count();
    most("masking.columns with *", wide, MOST_WIDE)?;
    let unsaid =
        |rule: &&ColumnRule| rule.kind.is_none() && !matches!(rule.mode, Some(Show::Clear | Show::Null));
    match rules.columns.iter().find(unsaid).and_then(|rule| rule.columns.first()) {
        Some(column) => Err(Problem::NoKind { column: column.clone() }),
        None => Ok(()),
    }
}

fn check_break_glass(rule: &BreakGlassRule) -> Result<(), Problem> {
    describe(rule.description.as_deref())?;
    some("subjects", &[rule.subjects.users.len(), rule.subjects.groups.len()])?;
    check_connections(&rule.connections)?;
    within("mfa.max_age", rule.mfa.max_age)?;
    if rule.mfa.methods.is_empty() {
        return Err(Problem::NoMethod);
    }
    within("limits.duration", rule.limits.duration)?;
    within("limits.idle", rule.limits.idle)?;
    check_masking(&rule.masking)?;
    rule.reviewers.as_ref().map_or(Ok(()), |reviewers| check_deciders("reviewers", reviewers))
}

fn check_connections(connections: &Connections) -> Result<(), Problem> {
    let Connections { names, labels } = connections;
    if names.is_empty() && labels.is_empty() || labels.values().any(BTreeSet::is_empty) {
        return Err(Problem::NoConnection);
    }
    if names.contains(&ConnectionPattern::All) && (names.len() > 1 || !labels.is_empty()) {
        return Err(Problem::StarAndMore);
    }
    most("connections.names", names.len(), MOST_ENTRIES)?;
    most("connections.labels", labels.values().map(BTreeSet::len).sum(), MOST_ENTRIES)
}

fn check_conditions(conditions: &Conditions) -> Result<(), Problem> {
    within("mfa.max_age", conditions.mfa.max_age)?;
    if conditions.mfa.methods.is_empty() {
        return Err(Problem::NoMethod);
    }
    most("times", conditions.times.len(), MOST_WINDOWS)?;
    conditions.times.iter().try_for_each(check_window)?;
    most("networks", conditions.networks.len(), MOST_NETWORKS)?;
    conditions.approval.as_ref().map_or(Ok(()), check_approval)
}

fn check_window(window: &TimeWindow) -> Result<(), Problem> {
    if window.days.is_empty() {
        return Err(Problem::NoDay);
    }
    if window.from == Clock::MIDNIGHT {
        return Err(Problem::OpensAtMidnight);
    }
    if window.from == window.to {
        return Err(Problem::EmptyWindow { at: window.from });
    }
    Ok(())
}

fn check_approval(approval: &ApprovalRule) -> Result<(), Problem> {
    check_deciders("approvers", &approval.approvers)?;
    range("approval.count", approval.count.into(), MOST_APPROVERS.into())?;
    within("approval.longest", approval.longest)
}

fn check_deciders(field: &'static str, deciders: &Deciders) -> Result<(), Problem> {
    some(field, &[deciders.users.len(), deciders.groups.len(), deciders.roles.len()])
}

fn some(field: &'static str, counts: &[usize]) -> Result<(), Problem> {
    let found = counts.iter().sum();
    if found == 0 { Err(Problem::Nobody { field }) } else { most(field, found, MOST_ENTRIES) }
}

const fn most(field: &'static str, found: usize, most: usize) -> Result<(), Problem> {
    if found > most { Err(Problem::TooMany { field, found, most }) } else { Ok(()) }
}

fn within(field: &'static str, found: Period) -> Result<(), Problem> {
    if found > LONGEST { Err(Problem::TooLong { field, found }) } else { Ok(()) }
}

fn range(field: &'static str, found: u32, most: u32) -> Result<(), Problem> {
    if (1..=most).contains(&found) { Ok(()) } else { Err(Problem::Range { field, found, least: 1, most }) }
}

fn describe(text: Option<&str>) -> Result<(), Problem> {
    let fine =
        |text: &str| text.len() <= LONGEST_DESCRIPTION && text.chars().all(|c| c == '\n' || is_visible(c));
    if text.is_none_or(fine) { Ok(()) } else { Err(Problem::Description) }
}

//! The decisions: may this person open this, may this session live on, who may approve and review.
//!
//! All deny what they do not know. A person learns what is missing only from a rule that names both them and the
//! connection; to everybody else it does not exist.

use std::{collections::BTreeSet, net::IpAddr};

use hoop_model::{RuleName, Timestamp, UserName};

use super::{
    asking::{
        Approval, Asking, BreakGlassPermission, ConnectionFacts, Decider, Permission, Person, PersonKind,
        Stay, Staying,
    },
    compiled::{Policy, is_same},
    document::{ApprovalRule, BreakGlassRule, MfaRule, People, Rule, Subjects, TimeWindow},
    refusal::{Leave, Missing, Refusal, Term, is_fresh},
    windows,
    words::{DecidingRole, MfaMethod, OpenedBy, RecordingMode, TargetUser},
};
use crate::{
    Masking, OnlyStatement, Questions, Rules, StatementAction, StatementRule,
    rego::{AccessInput, Answer, Evaluation, Modules, StatementRego},
};

impl Policy {
    /// May this person open this connection now?
    ///
    /// # Errors
    /// The [`Refusal`] to tell them.
    pub fn decide(&self, asking: &Asking<'_>, now: Timestamp) -> Result<Permission, Refusal> {
        barred(asking.person)?;
        let (mut nearest, when) = (Nearest::default(), when(self, asking, now));
        for rule in self.rules_for(asking.person, asking.connection) {
            let found = missing(self, rule, asking, &when, now);
            if found.missing.is_empty() {
                return Ok(permit(self, rule, asking, &when, &found, now));
            }
            nearest.consider(&rule.name, &rule.conditions.times, found.missing);
        }
        Err(nearest.refusal(now))
    }

    /// May this person break the glass? The caller has yet to see that no review of their last use is open.
    ///
    /// # Errors
    /// The [`Refusal`] to tell them.
    pub fn break_glass(&self, asking: &Asking<'_>, now: Timestamp) -> Result<BreakGlassPermission, Refusal> {
        let person = asking.person;
        barred(person)?;
        let (mut nearest, when) = (Nearest::default(), when(self, asking, now));
        for rule in self.break_glass_for(person, asking.connection) {
            let missing = missing_in_emergency(rule, asking, now);
            if missing.is_empty() {
                return Ok(permit_emergency(rule, asking, &when, now));
            }
            nearest.consider(&rule.name, &[], missing);
        }
        Err(nearest.refusal(now))
    }

    /// May this session live on? Asked after every change of rules, people, connections and approvals, and when the
    /// time of the last answer is over. The age of the second factor and the number of sessions are not asked again.
    ///
    /// # Errors
    /// The [`Leave`] to tell the person.
    pub fn may_stay(&self, staying: &Staying<'_>, now: Timestamp) -> Result<Stay, Leave> {
        if staying.person.locked {
            return Err(Leave::Locked);
        }
        if staying.person.only_administers {
            return Err(Leave::OnlyAdministers);
        }
        if now >= staying.ends_at {
            return Err(Leave::Over);
        }
        if staying.opened_by != OpenedBy::Rule {
            return self.may_stay_in_emergency(staying, now);
        }
        let (mut nearest, mut other) = (Nearest::default(), None);
        let when = Evaluation::new(self.document().modules(), || {
            let Staying { person, connection, address, reason, opened_at, .. } = *staying;
            AccessInput::new(person, connection, (address, reason), (opened_at, now)).into_json()
        });
        for rule in self.rules_for(staying.person, staying.connection) {
            let found = missing_of_live(rule, staying, &when, now);
            if !found.missing.is_empty() {
                nearest.consider(&rule.name, &rule.conditions.times, found.missing);
                continue;
            }
            match stay(self, rule, staying, &when, found.approval, now) {
                Ok(stay) => return Ok(stay),
                Err(leave) => other = other.or(Some(leave)),
            }
        }
        Err(other.unwrap_or_else(|| match nearest.refusal(now) {
            Refusal::Missing { rule, what } => Leave::Missing { rule, what },
            Refusal::NotAllowed | Refusal::Locked | Refusal::OnlyAdministers => Leave::NotAllowed,
        }))
    }

    fn may_stay_in_emergency(&self, staying: &Staying<'_>, now: Timestamp) -> Result<Stay, Leave> {
        // Without the gateway nothing can be strict: there the agent's own disk has each record before it goes on.
        let kept_at_once =
            staying.recording == RecordingMode::Strict || staying.opened_by == OpenedBy::Capability;
        let mut leave = Leave::NotAllowed;
        for rule in self.break_glass_for(staying.person, staying.connection) {
            let ends_at = staying.ends_at.min(staying.opened_at.after(rule.limits.duration.duration()));
            let term = if !kept_at_once {
                Some(Term::Recording)
            } else if staying.target_user != rule.target_user.as_ref() {
                Some(Term::TargetUser)
            } else {
                let forwards = (!staying.rules.forwarding.is_empty()).then_some(Term::Forwarding);
                staying.rules.allow_replication.then_some(Term::Replication).or(forwards)
            };
            leave = match term {
                Some(term) => Leave::Terms { rule: rule.name.clone(), term },
                None if ends_at <= now => Leave::Over,
                None => {
                    let idle_timeout = rule.limits.idle.duration();
                    return Ok(Stay { rule: rule.name.clone(), ends_at, idle_timeout });
                }
            };
        }
        Err(leave)
    }

    /// May this person approve what somebody else wants under this rule, or what one of its statement rules asks for? That
    /// approvers are different people is the caller's to count.
    #[must_use]
    pub fn may_approve(&self, decider: &Decider<'_>, rule: &RuleName, statement: Option<&RuleName>) -> bool {
        let approval = self.rule(rule).and_then(|rule| rule.approval_of(statement));
        let is_approver = |approval: &ApprovalRule| approval.approvers.include(decider);
        decider.may_decide_at_all() && approval.is_some_and(is_approver)
    }

    /// May this person close the review of somebody else's emergency? Reviews outlive their rule: where it says nothing,
    /// or is gone, admins close them.
    #[must_use]
    pub fn may_review(&self, decider: &Decider<'_>, rule: &RuleName) -> bool {
        let rule = self.document().break_glass().iter().find(|candidate| candidate.name == *rule);
        decider.may_decide_at_all()
            && match rule.and_then(|rule| rule.reviewers.as_ref()) {
                Some(reviewers) => reviewers.include(decider),
                None => decider.role == Some(DecidingRole::Admin),
            }
    }
}

impl Policy {
    /// The rules whose requests this person may approve, and those whose emergencies they may review because a rule says so.
    #[must_use]
    pub fn decided_by(&self, decider: &Decider<'_>) -> (Vec<RuleName>, Vec<RuleName>) {
        let approves =
            |rule: &&Rule| rule.all_approvals().any(|approval| approval.approvers.include(decider));
        let reviews = |rule: &&BreakGlassRule| {
            rule.reviewers.as_ref().is_some_and(|reviewers| reviewers.include(decider))
        };
        let document = self.document();
        (
            document.rules().iter().filter(approves).map(|rule| rule.name.clone()).collect(),
            document.break_glass().iter().filter(reviews).map(|rule| rule.name.clone()).collect(),
        )
    }
}

impl Decider<'_> {
    fn may_decide_at_all(&self) -> bool {
        !self.is_concerned && !self.person.locked && self.person.kind == PersonKind::Human
    }
}

/// Whether an account opens nothing at all, whatever the rules say.
const fn barred(person: &Person) -> Result<(), Refusal> {
    if person.locked {
        Err(Refusal::Locked)
    } else if person.only_administers {
        Err(Refusal::OnlyAdministers)
    } else {
        Ok(())
    }
}

/// The approval that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Who gives it.
    pub approval: &'a ApprovalRule,
    /// The user at the target.
    pub target_user: Option<&'a TargetUser>,
    /// The statement rule that asks for it; the whole rule does if absent.
    pub statement_rule: Option<RuleName>,
}

/// Why no approval helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unapprovable {
    /// The rule wants none, or is gone.
    #[error("no access rule wants an approval of this")]
    NoRule,
    /// Two statement rules ask.
    #[error("its statements want two approvals, of statement rules {one} and {other}")]
    Several {
        /// The first.
        one: RuleName,
        /// Another.
        other: RuleName,
    },
}

/// The rule that misses least, of those that miss something; the first of several.
#[derive(Default)]
struct Nearest<'a> {
    found: Option<(u32, &'a RuleName, &'a [TimeWindow], Vec<Missing>)>,
}

impl<'a> Nearest<'a> {
    fn consider(&mut self, rule: &'a RuleName, times: &'a [TimeWindow], missing: Vec<Missing>) {
        // One condition fewer is always nearer, whatever the conditions are.
        let count = u32::try_from(missing.len()).unwrap_or(u32::MAX);
        let distance =
            missing.iter().map(Missing::distance).sum::<u32>().saturating_add(count.saturating_mul(100));
        if self.found.as_ref().is_none_or(|(least, ..)| distance < *least) {
            self.found = Some((distance, rule, times, missing));
        }
    }

    fn refusal(self, now: Timestamp) -> Refusal {
        let Some((_, rule, times, mut what)) = self.found else { return Refusal::NotAllowed };
        for missing in &mut what {
            // Only now, for one rule: it is dear to find out.
            if let Missing::Closed { opens_at } = missing {
                *opens_at = windows::opens_at(times, now);
            }
        }
        what.sort();
        Refusal::Missing { rule: rule.clone(), what }
    }
}

/// What a rule asks of whoever is at the other end, when they come and as long as they stay.
struct Circumstances<'a> {
    person: &'a Person,
    connection: &'a ConnectionFacts,
    address: IpAddr,
    reason: Option<&'a str>,
    end_to_end: bool,
    only: Option<&'a OnlyStatement>,
    /// The statement rule that asks for an approval of it.
    asks: Option<&'a RuleName>,
    approvals: &'a [Approval],
    /// An approval is no good for longer than the rule says, counted from here.
    since: Timestamp,
}

/// What a rule misses, and what it found.
pub(super) struct Found {
    pub(super) missing: Vec<Missing>,
    /// Which of the approvals, and until when it is good.
    approval: Option<(usize, Timestamp)>,
    /// The statement rule that asks for it.
    asks: Option<RuleName>,
}

/// The conditions in Rego of whoever asks.
pub(super) fn when<'a>(policy: &'a Policy, asking: &'a Asking<'_>, now: Timestamp) -> Evaluation<'a> {
    Evaluation::new(policy.document().modules(), move || asking.input(now).into_json())
}

impl Asking<'_> {
    /// What a condition in Rego sees of it.
    #[must_use]
    pub fn input(&self, now: Timestamp) -> AccessInput<'_> {
        AccessInput::new(self.person, self.connection, (self.address, self.reason), (now, now))
    }
}

pub(super) fn missing(
    policy: &Policy,
    rule: &Rule,
    asking: &Asking<'_>,
    when: &Evaluation<'_>,
    now: Timestamp,
) -> Found {
    let Asking { person, connection, address, reason, end_to_end, only, approvals, live_sessions, .. } =
        *asking;
    // Where several ask, one is as good as the other: the agent refuses what the others ask for.
    let asks = rule.asks(policy.document().modules(), asking).into_iter().next();
    let around = Circumstances {
        person,
        connection,
        address,
        reason,
        end_to_end,
        only,
        asks: asks.as_ref(),
        approvals,
        since: now,
    };
    let (mut missing, approval) = missing_always(rule, &around, when, now);
    missing.extend(missing_mfa(&rule.conditions.mfa, person, now));
    if let Some(limit) = rule.limits.sessions.filter(|limit| live_sessions >= *limit) {
        missing.push(Missing::TooManySessions { limit });
    }
    Found { missing, approval, asks }
}

fn missing_of_live(rule: &Rule, staying: &Staying<'_>, when: &Evaluation<'_>, now: Timestamp) -> Found {
    let Staying { person, connection, address, reason, end_to_end, approvals, .. } = *staying;
    let (only, asks) = (staying.rules.only.as_ref(), staying.rules.approved.as_ref());
    let since = staying.opened_at;
    let around =
        Circumstances { person, connection, address, reason, end_to_end, only, asks, approvals, since };
    let (missing, approval) = missing_always(rule, &around, when, now);
    Found { missing, approval, asks: None }
}

fn missing_always(
    rule: &Rule,
    around: &Circumstances<'_>,
    when: &Evaluation<'_>,
    now: Timestamp,
) -> (Vec<Missing>, Option<(usize, Timestamp)>) {
    let conditions = &rule.conditions;
    let mut missing = Vec::new();
    let networks = &conditions.networks;
    if !networks.is_empty() && !networks.iter().any(|network| network.contains(around.address)) {
        missing.push(Missing::Network);
    }
    if !conditions.times.is_empty() && !windows::is_open(&conditions.times, now) {
        missing.push(Missing::Closed { opens_at: None });
    }
    if conditions.end_to_end_only && !around.end_to_end {
        missing.push(Missing::EndToEnd);
    }
    // Dear to find out, and of no interest where time or place already say no.
    if let Some(path) = conditions.when.as_ref().filter(|_| missing.is_empty()) {
        let answer = when.ask(path);
        if answer != Answer::True {
            missing.push(Missing::When { path: path.clone(), answer });
        }
    }
    if conditions.reason {
        missing.extend(missing_reason(around.reason));
    }
    let mut used = None;
    if let Some(approval) = rule.approval_of(around.asks) {
        used = approved(rule, approval, around, now);
        if used.is_none() {
            missing.push(Missing::Approval { count: approval.count, longest: approval.longest });
        }
    } else if around.asks.is_some() {
        // What was asked for is asked for no more, and nobody can say by whom else.
        missing.push(Missing::Approval { count: 1, longest: ApprovalRule::LONGEST });
    }
    (missing, used)
}

/// The approval that fits in everything and lasts longest.
fn approved(
    rule: &Rule,
    wanted: &ApprovalRule,
    around: &Circumstances<'_>,
    now: Timestamp,
) -> Option<(usize, Timestamp)> {
    let latest = around.since.after(wanted.longest.duration());
    let fits = |approval: &Approval| {
        approval.rule == rule.name
            && is_same(&approval.person, &around.person.name)
            && approval.connection == around.connection.name
            && approval.target_user == rule.target_user
            && approval.only.as_ref() == around.only
            && approval.statement_rule.as_ref() == around.asks
    };
    let fitting = around.approvals.iter().enumerate().filter(|(_, approval)| fits(approval));
    fitting
        .map(|(index, approval)| (index, approval.until.min(latest)))
        .filter(|(_, until)| *until > now)
        .max_by_key(|(_, until)| *until)
}

fn missing_mfa(wanted: &MfaRule, person: &Person, now: Timestamp) -> Option<Missing> {
    let proven = person.mfa.is_some_and(|proof| {
        is_fresh(proof.at, wanted.max_age.duration(), now) && wanted.methods.contains(&proof.method)
    });
    if proven || person.kind == PersonKind::Service {
        return None;
    }
    Some(Missing::Mfa { max_age: wanted.max_age, methods: wanted.methods.iter().copied().collect() })
}

pub(super) fn missing_in_emergency(
    rule: &BreakGlassRule,
    asking: &Asking<'_>,
    now: Timestamp,
) -> Vec<Missing> {
    let mfa = missing_emergency_mfa(rule, asking.person, now);
    mfa.into_iter().chain(missing_reason(asking.reason)).collect()
}

/// Sealed codes were all used up at sign-in, which ends within the hour: their age is not asked.
fn missing_emergency_mfa(rule: &BreakGlassRule, person: &Person, now: Timestamp) -> Option<Missing> {
    let by_codes = person.mfa.is_some_and(|proof| proof.method == MfaMethod::SealedCodes);
    if by_codes && rule.sealed_codes { None } else { missing_mfa(&rule.mfa, person, now) }
}

fn missing_reason(reason: Option<&str>) -> Option<Missing> {
    let given = reason.is_some_and(|text| text.chars().any(char::is_alphanumeric));
    (!given).then_some(Missing::Reason)
}

impl Rule {
    /// What the requests of a session under it may be. Conditions in Rego need a session: without one those of statement rules
    /// have no value, and answers are masked.
    #[must_use]
    pub fn requests(&self) -> Rules {
        // Who approves is the gateway's business.
        let statements = self.statements.iter().cloned();
        Rules {
            allow_replication: self.allow_replication,
            only: None,
            approved: None,
            read_only: self.read_only,
            forwarding: self.forwarding.clone(),
            statements: statements.map(|rule| StatementRule { approval: None, ..rule }).collect(),
            commands: self.commands.clone(),
            cluster: self.cluster.clone(),
            masking: self.masking.masked(),
            rego: None,
        }
    }

    /// The same in a session of whoever asks: conditions of statement rules have a value then.
    #[must_use]
    pub fn requests_of(&self, modules: &Modules, asking: &Asking<'_>) -> Rules {
        Rules {
            only: asking.only.cloned(),
            rego: StatementRego::of(&self.statements, modules, asking),
            ..self.requests()
        }
    }

    /// The approval that is wanted: of a statement, what that statement rule asks for; else, that of the whole rule.
    pub(super) fn approval_of(&self, statement: Option<&RuleName>) -> Option<&ApprovalRule> {
        match statement {
            None => self.conditions.approval.as_ref(),
            Some(name) => self.statements.iter().find(|rule| rule.name == *name)?.approval.as_ref(),
        }
    }

    fn all_approvals(&self) -> impl Iterator<Item = &ApprovalRule> {
        let of_statements = self.statements.iter().filter_map(|rule| rule.approval.as_ref());
        self.conditions.approval.iter().chain(of_statements)
    }

    /// The statement rules that ask for an approval of the one statement that is wanted.
    fn asks(&self, modules: &Modules, asking: &Asking<'_>) -> BTreeSet<RuleName> {
        let ask = self.statements.iter().any(|rule| rule.action == StatementAction::Ask);
        let Some(reading) = asking.reading.filter(|_| ask && asking.only.is_some()) else {
            return BTreeSet::new();
        };
        let rules = self.requests_of(modules, asking);
        Questions::of(&rules).explain(reading).asks().into_iter().cloned().collect()
    }
}

impl BreakGlassRule {
    /// What the requests of a session under it may be. Where a condition says whether answers are masked, they are.
    #[must_use]
    pub fn requests(&self) -> Rules {
        Rules { masking: self.masking.masked(), ..Rules::default() }
    }
}

fn permit(
    policy: &Policy,
    rule: &Rule,
    asking: &Asking<'_>,
    when: &Evaluation<'_>,
    found: &Found,
    now: Timestamp,
) -> Permission {
    let through = rule.subjects.through(asking.person).unwrap_or_default();
    Permission {
        rule: rule.name.clone(),
        ends_at: end(rule, now, found.approval, now),
        idle_timeout: rule.limits.idle.duration(),
        recording: rule.limits.recording,
        retention: rule.limits.retention,
        target_user: rule.target_user.clone(),
        rules: Rules {
            masking: rule.masking.outcome(|path| when.ask(path)),
            approved: found.asks.clone(),
            ..rule.requests_of(policy.document().modules(), asking)
        },
        because: format!("rule {}: {through}", rule.name),
        approval_used: found.approval.map(|(index, _)| index),
    }
}

fn permit_emergency(
    rule: &BreakGlassRule,
    asking: &Asking<'_>,
    when: &Evaluation<'_>,
    now: Timestamp,
) -> BreakGlassPermission {
    let through = rule.subjects.through(asking.person).unwrap_or_default();
    BreakGlassPermission {
        rule: rule.name.clone(),
        ends_at: now.after(rule.limits.duration.duration()),
        idle_timeout: rule.limits.idle.duration(),
        recording: RecordingMode::Strict,
        retention: rule.limits.retention,
        target_user: rule.target_user.clone(),
        rules: Rules {
            only: asking.only.cloned(),
            masking: rule.masking.outcome(|path| when.ask(path)),
            ..rule.requests()
        },
        because: format!("break-glass rule {}: {through}", rule.name),
        review_before_next_use: rule.review_before_next_use,
        reviewers: rule.reviewers.clone(),
    }
}

/// The earliest of everything that ends a session which began at `start`.
fn end(rule: &Rule, start: Timestamp, approval: Option<(usize, Timestamp)>, now: Timestamp) -> Timestamp {
    let longest = start.after(rule.limits.duration.duration());
    let limit = approval.map_or(longest, |(_, until)| until.min(longest));
    if rule.conditions.times.is_empty() {
        limit
    } else {
        windows::closes_at(&rule.conditions.times, now, limit)
    }
}

/// A rule whose conditions hold: does it also want such a session, and for how long?
fn stay(
    policy: &Policy,
    rule: &Rule,
    staying: &Staying<'_>,
    when: &Evaluation<'_>,
    approval: Option<(usize, Timestamp)>,
    now: Timestamp,
) -> Result<Stay, Leave> {
    let wants_strict = rule.limits.recording == RecordingMode::Strict;
    let term = if wants_strict && staying.recording != RecordingMode::Strict {
        Some(Term::Recording)
    } else if staying.target_user != rule.target_user.as_ref() {
        Some(Term::TargetUser)
    } else {
        let replicates = staying.rules.allow_replication && !rule.allow_replication;
        let term = replicates.then_some(Term::Replication);
        let (modules, rego) = (policy.document().modules(), staying.rules.rego.as_ref());
        let same = rego.is_none_or(|rego| rego.is_still(modules, staying.person, staying.connection));
        let same = same && staying.rules.statements == rule.requests().statements;
        let term = term.or((!same).then_some(Term::Statements));
        let term =
            term.or((!staying.rules.forwarding.is_subset(&rule.forwarding)).then_some(Term::Forwarding));
        let same = staying.rules.commands == rule.commands;
        let term = term.or((!same).then_some(Term::Commands));
        let term = term.or((staying.rules.cluster != rule.cluster).then_some(Term::Cluster));
        let term = term.or((rule.read_only && !staying.rules.read_only).then_some(Term::ReadOnly));
        term.or((!is_masked_as(rule, staying, when)).then_some(Term::Masking))
    };
    if let Some(term) = term {
        return Err(Leave::Terms { rule: rule.name.clone(), term });
    }
    let ends_at = end(rule, staying.opened_at, approval, now).min(staying.ends_at);
    if ends_at <= now {
        return Err(Leave::Over);
    }
    Ok(Stay { rule: rule.name.clone(), ends_at, idle_timeout: rule.limits.idle.duration() })
}

/// Whether the session shows no more than the rule would now. What is masked stays so, also when it need not be any more; what is
/// shown because of a condition is asked again.
fn is_masked_as(rule: &Rule, staying: &Staying<'_>, when: &Evaluation<'_>) -> bool {
    let masking = &staying.rules.masking;
    *masking == rule.masking.masked()
        || (*masking == Masking::None && rule.masking.outcome(|path| when.ask(path)) == Masking::None)
}

impl Subjects {
    /// By which entry this account is meant, in words.
    pub(super) fn through(&self, person: &Person) -> Option<String> {
        match person.kind {
            PersonKind::Human => through(&self.users, &self.groups, person),
            PersonKind::Service => self
                .service_accounts
                .iter()
                .any(|service| is_same(service, &person.name))
                .then(|| format!("service account {}", person.name)),
        }
    }
}

impl People {
    pub(super) fn through(&self, person: &Person) -> Option<String> {
        (person.kind == PersonKind::Human).then(|| through(&self.users, &self.groups, person)).flatten()
    }
}

fn through(
    users: &std::collections::BTreeSet<UserName>,
    groups: &std::collections::BTreeSet<hoop_model::GroupName>,
    person: &Person,
) -> Option<String> {
    if users.iter().any(|user| is_same(user, &person.name)) {
        return Some(format!("user {}", person.name));
    }
    person.groups.iter().find(|group| groups.contains(*group)).map(|group| format!("member of {group}"))
}

impl Policy {
    /// For a request of somebody who gets in already: the first rule that would decide instead if others approved. The first that
    /// allows decides, so it stands before the one that does now.
    #[must_use]
    pub fn better_with_approval(&self, asking: &Asking<'_>, now: Timestamp) -> Option<&RuleName> {
        let when = when(self, asking, now);
        for rule in self.rules_for(asking.person, asking.connection) {
            match missing(self, rule, asking, &when, now).missing[..] {
                [] => return None,
                [Missing::Approval { .. }] => return Some(&rule.name),
                _ => {}
            }
        }
        None
    }

    /// For a request: of the rule that would allow it but for an approval, who approves, and what the request is to be bound to:
    /// the user at the target, and the statement rule that asks.
    ///
    /// # Errors
    /// [`Unapprovable`]: no approval helps.
    pub fn approval_wanted(&self, rule: &RuleName, asking: &Asking<'_>) -> Result<Wanted<'_>, Unapprovable> {
        let rule = self.rule(rule).ok_or(Unapprovable::NoRule)?;
        let mut asks = rule.asks(self.document().modules(), asking).into_iter();
        let statement_rule = asks.next();
        if let (Some(one), Some(other)) = (&statement_rule, asks.next()) {
            return Err(Unapprovable::Several { one: one.clone(), other });
        }
        let approval = rule.approval_of(statement_rule.as_ref()).ok_or(Unapprovable::NoRule)?;
        Ok(Wanted { approval, target_user: rule.target_user.as_ref(), statement_rule })
    }
}

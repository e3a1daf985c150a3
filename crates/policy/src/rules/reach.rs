//! Answers for admins: who can reach this, what can she reach, and why did a decision fall as it did.

use hoop_model::{ConnectionName, RuleName, Timestamp, UserName};
use serde::Serialize;

use super::{
    asking::{Asking, ConnectionFacts, Person, PersonKind},
    compiled::Policy,
    decide::{missing, missing_in_emergency, when},
    document::{BreakGlassRule, Conditions, Connections, MfaRule, Rule},
    parse::AccessPolicy,
    refusal::Missing,
};

/// One person, one connection, one rule that joins them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Who.
    pub person: UserName,
    /// What.
    pub connection: ConnectionName,
    /// Under which rule.
    pub rule: RuleName,
    /// Whether it is a rule for emergencies.
    pub break_glass: bool,
    /// By which of its subjects: `user ada`, `member of engineers`.
    pub through: String,
    /// What must hold besides, a sentence each.
    pub needs: Vec<String>,
}

/// A rule that was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// The rule.
    pub rule: RuleName,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// It is not enabled.
    Disabled,
    /// It is not about this person.
    OtherSubject,
    /// It is not about this connection.
    OtherConnection,
    /// The account is locked, or for administration alone, so it does not matter.
    Locked,
    /// It would allow this if these held.
    Misses {
        /// What does not hold.
        what: Vec<Missing>,
    },
    /// It allows this, and decides.
    Decides,
    /// It would allow this too, but an earlier one decides.
    AllowsToo,
}

impl AccessPolicy {
    /// The enabled rules that this person is a subject of, in order, and those for their emergencies: all that they may
    /// ever open rests on these.
    #[must_use]
    pub fn about(&self, person: &Person) -> (Vec<&Rule>, Vec<&BreakGlassRule>) {
        (
            self.rules()
                .iter()
                .filter(|rule| rule.enabled && rule.subjects.through(person).is_some())
                .collect(),
            self.break_glass()
                .iter()
                .filter(|rule| rule.enabled && rule.subjects.through(person).is_some())
                .collect(),
        )
    }
}

impl Policy {
    /// Everybody of `people` who can reach the connection, by every rule that says so. Locked accounts reach nothing, nor do
    /// those that are for administration alone.
    /// Lazy: the caller takes as many as fit on the page.
    pub fn who_can_reach<'a>(
        &'a self,
        connection: &'a ConnectionFacts,
        people: impl IntoIterator<Item = &'a Person> + 'a,
    ) -> impl Iterator<Item = Reach> + 'a {
        people.into_iter().flat_map(move |person| self.reach(person, connection))
    }

    /// Everything of `connections` that a person can reach, by every rule that says so.
    pub fn what_can_reach<'a>(
        &'a self,
        person: &'a Person,
        connections: impl IntoIterator<Item = &'a ConnectionFacts> + 'a,
    ) -> impl Iterator<Item = Reach> + 'a {
        connections.into_iter().flat_map(move |connection| self.reach(person, connection))
    }

    fn reach(&self, person: &Person, connection: &ConnectionFacts) -> Vec<Reach> {
        if person.locked || person.only_administers {
            return Vec::new();
        }
        let entry = |rule: &RuleName, break_glass, through: Option<String>, needs| Reach {
            person: person.name.clone(),
            connection: connection.name.clone(),
            rule: rule.clone(),
            break_glass,
            through: through.unwrap_or_default(),
            needs,
        };
        let rules = self.rules_for(person, connection);
        let ordinary = rules
            .map(|rule| entry(&rule.name, false, rule.subjects.through(person), needs(rule, person.kind)));
        let emergencies = self.break_glass_for(person, connection);
        let emergency = emergencies
            .map(|rule| entry(&rule.name, true, rule.subjects.through(person), needs_in_emergency(rule)));
        ordinary.chain(emergency).collect()
    }

    /// Every rule, in order, and why it did or did not apply. For admins: it tells what exists.
    #[must_use]
    pub fn explain(&self, asking: &Asking<'_>, now: Timestamp) -> Vec<Considered> {
        let (mut decided, when) = (false, when(self, asking, now));
        let consider = |rule: &Rule| {
            let is_subject = rule.subjects.through(asking.person).is_some();
            let about = before_conditions(rule.enabled, is_subject, &rule.connections, asking);
            let outcome = about
                .unwrap_or_else(|| outcome(missing(self, rule, asking, &when, now).missing, &mut decided));
            Considered { rule: rule.name.clone(), outcome }
        };
        self.document().rules().iter().map(consider).collect()
    }

    /// As [`Self::explain`], of the rules for emergencies.
    #[must_use]
    pub fn explain_break_glass(&self, asking: &Asking<'_>, now: Timestamp) -> Vec<Considered> {
        let mut decided = false;
        let consider = |rule: &BreakGlassRule| {
            let is_subject = rule.subjects.through(asking.person).is_some();
            let about = before_conditions(rule.enabled, is_subject, &rule.connections, asking);
            let missing = || missing_in_emergency(rule, asking, now);
            let outcome = about.unwrap_or_else(|| outcome(missing(), &mut decided));
            Considered { rule: rule.name.clone(), outcome }
        };
        self.document().break_glass().iter().map(consider).collect()
    }
}

/// What keeps a rule from being asked at all.
fn before_conditions(
    enabled: bool,
    is_subject: bool,
    connections: &Connections,
    asking: &Asking<'_>,
) -> Option<Outcome> {
    if !enabled {
        Some(Outcome::Disabled)
    } else if !is_subject {
        Some(Outcome::OtherSubject)
    } else if !connections.select(asking.connection) {
        Some(Outcome::OtherConnection)
    } else {
        (asking.person.locked || asking.person.only_administers).then_some(Outcome::Locked)
    }
}

fn outcome(what: Vec<Missing>, decided: &mut bool) -> Outcome {
    if !what.is_empty() {
        Outcome::Misses { what }
    } else if std::mem::replace(decided, true) {
        Outcome::AllowsToo
    } else {
        Outcome::Decides
    }
}

fn needs(rule: &Rule, kind: PersonKind) -> Vec<String> {
    let Conditions { mfa, times, networks, reason, approval, end_to_end_only, when } = &rule.conditions;
    let mut needs = Vec::new();
    if kind == PersonKind::Human {
        needs.push(second_factor(mfa));
    }
    if !times.is_empty() {
        let windows: Vec<_> = times
            .iter()
            .map(|window| {
                let days: Vec<_> = window.days.iter().map(|day| format!("{day:?}").to_lowercase()).collect();
                format!("{} {}-{} {}", days.join(","), window.from, window.to, window.zone)
            })
            .collect();
        needs.push(format!("open: {}", windows.join("; ")));
    }
    if !networks.is_empty() {
        let networks: Vec<_> = networks.iter().take(10).map(ToString::to_string).collect();
        needs.push(format!("from: {}", networks.join(", ")));
    }
    if *reason {
        needs.push("a reason".into());
    }
    if let Some(approval) = approval {
        needs.push(format!("the approval of {}, for at most {}", approval.count, approval.longest));
    }
    if *end_to_end_only {
        needs.push("end to end".into());
    }
    if let Some(when) = when {
        needs.push(format!("condition {when}"));
    }
    needs
}

fn needs_in_emergency(rule: &BreakGlassRule) -> Vec<String> {
    vec![second_factor(&rule.mfa), "a reason".into(), "a review afterwards".into()]
}

fn second_factor(mfa: &MfaRule) -> String {
    let methods: Vec<_> = mfa.methods.iter().map(|method| method.as_str()).collect();
    format!("a second factor ({}) of the last {}", methods.join(", "), mfa.max_age)
}

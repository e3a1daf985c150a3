//! Running cases: the decisions are those of the product, only compared.

use std::fmt;

use hoop_model::RuleName;
use serde::Serialize;

use super::{
    coverage::Coverage,
    facts::Situation,
    file::{Case, Cases, ClusterCase, CommandCase, DialectName, Expected, StatementCase},
};
use crate::{
    AllowOrDeny, BoundValue, Explained, Held, Masking, Rules, StatementAction, StatementRule, cluster,
    commands,
    rego::{Asked, Values},
    rules::{Missing, Policy, Refusal},
};

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Whether everything was as expected.
    pub passed: bool,
    /// The decision.
    pub decided: Decided,
    /// What was not as expected, a sentence each.
    pub differs: Vec<String>,
}

/// What policy said to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decided {
    /// Yes.
    Allow {
        /// By this rule.
        rule: RuleName,
    },
    /// Others have to approve, and nothing else is missing.
    Ask {
        /// By this rule.
        rule: RuleName,
    },
    /// No.
    Refuse {
        /// The code a person reads.
        code: String,
        /// And the sentence.
        message: String,
        /// The rule that is nearest to allowing it.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<RuleName>,
    },
}

/// What the statement rules said to a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementDecided {
    /// What becomes of it: it may run, it may not, it waits for an approval, it may run and something is said to it.
    pub action: StatementAction,
    /// The rule that says so; `None`: none fits.
    pub by: Option<RuleName>,
    /// The rules that had a say in it, as far as they were looked at.
    pub rules: Vec<RuleName>,
    /// Why the text cannot be read, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow { rule } => write!(f, "rule {rule} allows it"),
            Self::Ask { rule } => write!(f, "rule {rule} wants it approved"),
            Self::Refuse { code, message, rule: None } => write!(f, "it is refused with {code}: {message}"),
            Self::Refuse { code, message, rule: Some(rule) } => {
                write!(f, "it is refused with {code}, nearest is rule {rule}: {message}")
            }
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(rule) => write!(f, "rule {rule} to allow it"),
            Self::Ask(rule) => write!(f, "rule {rule} to want it approved"),
            Self::Refuse(code) => write!(f, "a refusal with {}", code.as_str()),
        }
    }
}

impl Expected {
    fn is(&self, decided: &Decided) -> bool {
        match (self, decided) {
            (Self::Allow(expected), Decided::Allow { rule })
            | (Self::Ask(expected), Decided::Ask { rule }) => expected == rule,
            (Self::Refuse(expected), Decided::Refuse { code, .. }) => expected.as_str() == code,
            _ => false,
        }
    }
}

/// Asks the question. With a yes come the rules for statements.
#[must_use]
pub fn decide(policy: &Policy, situation: &Situation) -> (Decided, Option<Rules>) {
    let (asking, now) = (situation.asking(), situation.at);
    let answer = if situation.emergency {
        policy.break_glass(&asking, now).map(|terms| (terms.rule, terms.rules))
    } else {
        policy.decide(&asking, now).map(|terms| (terms.rule, terms.rules))
    };
    match answer {
        Ok((rule, rules)) => (Decided::Allow { rule }, Some(rules)),
        Err(Refusal::Missing { rule, what }) if matches!(what[..], [Missing::Approval { .. }]) => {
            (Decided::Ask { rule }, None)
        }
        Err(refusal) => {
            let fault = refusal.to_fault(&situation.connection().name);
            let (code, mut message) = (fault.code.as_str().to_owned(), fault.message);
            let rule = match refusal {
                Refusal::Missing { rule, what } => {
                    what.iter()
                        .filter_map(Missing::detail)
                        .for_each(|detail| message += &format!(" ({detail})"));
                    Some(rule)
                }
                Refusal::NotAllowed | Refusal::Locked | Refusal::OnlyAdministers => None,
            };
            (Decided::Refuse { code, message, rule }, None)
        }
    }
}

/// Holds a text against the statement rules of a session, with the values that are bound to it.
#[must_use]
pub fn decide_statement(
    rules: &Rules,
    text: &str,
    parameters: &[Option<String>],
    dialect: DialectName,
) -> StatementDecided {
    let mut decided =
        StatementDecided { action: StatementAction::Allow, by: None, rules: Vec::new(), unreadable: None };
    if rules.statements.is_empty() {
        return decided;
    }
    let reading = hoop_sql::read(text.as_bytes(), dialect.dialect());
    decided.unreadable = reading.unreadable.map(|why| why.to_string());
    let compiled = rules.rego.as_ref().map(|rego| (rego, rego.compile()));
    let value = |value: &Option<String>| match value {
        Some(text) => BoundValue::Text(text.clone().into()),
        None => BoundValue::Null,
    };
    let values: Vec<_> = parameters.iter().map(value).collect();
    let asked = Asked::new(compiled.as_ref().map(|(rego, modules)| (*rego, modules)));
    let asked = asked.with(Values::Given(&values));
    for (_, held) in Explained::asking(&rules.statements, None, &reading, &asked).statements() {
        let said = held.warns.iter().copied().chain(held.asks).chain(held.by.rule());
        decided.rules.extend(said.map(|rule| rule.name.clone()));
        let (action, by) = outcome(held);
        // The first statement that may not run decides; else, one that something is said to.
        if decided.action == StatementAction::Allow || !held.allows(None) {
            (decided.action, decided.by) = (action, by.map(|rule| rule.name.clone()));
        }
        if !held.allows(None) {
            break;
        }
    }
    decided
}

fn outcome<'r>(held: &Held<'r>) -> (StatementAction, Option<&'r StatementRule>) {
    if !held.by.allows() {
        (StatementAction::Deny, held.by.rule())
    } else if let Some(rule) = held.asks {
        (StatementAction::Ask, Some(rule))
    } else if let Some(rule) = held.warns.first() {
        (StatementAction::Warn, Some(rule))
    } else {
        (StatementAction::Allow, held.by.rule())
    }
}

impl Cases {
    /// Runs all of them.
    #[must_use]
    pub fn run(&self, policy: &Policy, coverage: &mut Coverage) -> Vec<CaseReport> {
        self.cases().iter().map(|case| case.run(policy, coverage)).collect()
    }
}

impl Case {
    /// Runs it.
    #[must_use]
    pub fn run(&self, policy: &Policy, coverage: &mut Coverage) -> CaseReport {
        let (decided, rules) = decide(policy, &self.situation);
        let mut differs = Vec::new();
        if !self.expected.is(&decided) {
            differs.push(format!("expected {}, but {decided}", self.expected));
        }
        match (&decided, &rules) {
            (Decided::Allow { rule }, Some(rules)) => {
                coverage.count(rule, None);
                differs.extend(self.masking_differs(rules));
                for (number, statement) in (1..).zip(&self.statements) {
                    differs.extend(statement.run(number, rule, rules, coverage));
                }
                for (number, command) in (1..).zip(&self.commands) {
                    differs.extend(command.run(number, rule, rules, coverage));
                }
                for (number, request) in (1..).zip(&self.cluster) {
                    differs.extend(request.run(number, rule, rules, coverage));
                }
            }
            _ => {
                if !self.statements.is_empty() {
                    differs.push("no statement was tried, for nobody was let in".to_owned());
                }
                if !self.commands.is_empty() {
                    differs.push("no command was tried, for nobody was let in".to_owned());
                }
                if !self.cluster.is_empty() {
                    differs.push("no request was tried, for nobody was let in".to_owned());
                }
                if self.masked.is_some() {
                    differs.push("nothing is masked or shown, for nobody was let in".to_owned());
                }
            }
        }
        CaseReport { name: self.name.clone(), passed: differs.is_empty(), decided, differs }
    }

    fn masking_differs(&self, rules: &Rules) -> Option<String> {
        let masked = rules.masking != Masking::None;
        let word = |masked| if masked { "masked" } else { "shown as they are" };
        let expected = self.masked.filter(|expected| *expected != masked)?;
        Some(format!("expected answers to be {}, but they are {}", word(expected), word(masked)))
    }
}

impl StatementCase {
    /// What differs, if anything does.
    fn run(&self, number: u32, rule: &RuleName, rules: &Rules, coverage: &mut Coverage) -> Option<String> {
        let decided = decide_statement(rules, &self.text, &self.parameters, self.dialect);
        decided.rules.iter().for_each(|by| coverage.count(rule, Some(by)));
        let last = decided.by.as_ref();
        let as_expected =
            decided.action == self.expect && self.rule.as_ref().is_none_or(|expected| Some(expected) == last);
        if as_expected {
            return None;
        }
        let word = |action| match action {
            StatementAction::Allow => "allowed",
            StatementAction::Deny => "denied",
            StatementAction::Ask => "asked about",
            StatementAction::Warn => "allowed with a warning",
        };
        let by = |rule: Option<&RuleName>| rule.map(|rule| format!(" by {rule}")).unwrap_or_default();
        let why = decided.unreadable.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let none =
            if decided.action == StatementAction::Deny && last.is_none() { ": no rule fits" } else { "" };
        let text: String = self.text.chars().take(60).collect();
        Some(format!(
            "statement {number} ({text}): expected to be {}{}, but is {}{}{none}{why}",
            word(self.expect),
            by(self.rule.as_ref()),
            word(decided.action),
            by(last),
        ))
    }
}

impl CommandCase {
    /// What differs, if anything does.
    fn run(&self, number: u32, rule: &RuleName, rules: &Rules, coverage: &mut Coverage) -> Option<String> {
        let (action, by) = commands::decided(&rules.commands, self.text.as_bytes());
        let by = by.map(|by| &by.name);
        by.iter().for_each(|by| coverage.count(rule, Some(by)));
        differs((self.expect, self.rule.as_ref()), (action, by), || {
            format!("command {number} ({})", short(&self.text))
        })
    }
}

impl ClusterCase {
    /// What differs, if anything does.
    fn run(&self, number: u32, rule: &RuleName, rules: &Rules, coverage: &mut Coverage) -> Option<String> {
        let (action, by) = cluster::decided(&rules.cluster, &self.request);
        let by = by.map(|by| &by.name);
        by.iter().for_each(|by| coverage.count(rule, Some(by)));
        let told = || format!("request {number} ({})", short(&self.request.to_string()));
        differs((self.expect, self.rule.as_ref()), (action, by), told)
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// What became of something, and by which rule, beside what must.
fn differs(
    (expected, by): (AllowOrDeny, Option<&RuleName>),
    (action, rule): (AllowOrDeny, Option<&RuleName>),
    told: impl FnOnce() -> String,
) -> Option<String> {
    if action == expected && by.is_none_or(|by| Some(by) == rule) {
        return None;
    }
    let word = |action| match action {
        AllowOrDeny::Allow => "allowed",
        AllowOrDeny::Deny => "denied",
    };
    let named = |rule: Option<&RuleName>| rule.map(|rule| format!(" by {rule}")).unwrap_or_default();
    let none = if action == AllowOrDeny::Deny && rule.is_none() { ": no rule fits" } else { "" };
    let told = told();
    Some(format!(
        "{told}: expected to be {}{}, but is {}{}{none}",
        word(expected),
        named(by),
        word(action),
        named(rule)
    ))
}

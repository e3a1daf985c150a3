//! What statement rules say of a text, statement by statement: [`crate::Warrant`] decides by it, and whoever writes rules
//! reads it.

use std::collections::BTreeSet;

use hoop_model::RuleName;
use hoop_sql::{Reading, Statement};

use crate::{
    Condition, Denial, Rules, StatementAction, StatementRule,
    rego::{Answer, Asked, Modules, When},
    statements,
};

/// What the conditions in Rego of a session's statement rules are asked of, compiled once for many texts.
#[derive(Debug)]
pub struct Questions<'r> {
    rules: &'r Rules,
    modules: Modules,
}

impl<'r> Questions<'r> {
    /// Of these rules. Without facts of a session the conditions have no value.
    #[must_use]
    pub fn of(rules: &'r Rules) -> Self {
        let modules = rules.rego.as_ref().map(crate::rego::StatementRego::compile).unwrap_or_default();
        Self { rules, modules }
    }

    /// For one text, which is asked about so often and no more.
    fn asked(&self) -> Asked<'_> {
        Asked::new(self.rules.rego.as_ref().map(|rego| (rego, &self.modules)))
    }

    /// Holds what was read of a text against the rules, as in a session.
    #[must_use]
    pub fn explain(&self, reading: &'r Reading) -> Explained<'r> {
        Explained::asking(&self.rules.statements, self.rules.approved.as_ref(), reading, &self.asked())
    }

    /// The conditions of the rules, and what comes of each for a statement; none without the facts of a session.
    #[must_use]
    pub fn answers(&self, statement: &Statement) -> Vec<(&'r StatementRule, &'r When, Answer)> {
        if self.rules.rego.is_none() {
            return Vec::new();
        }
        let asked = self.asked();
        let answer = |rule: &'r StatementRule| {
            let when = rule.when.as_ref()?;
            Some((rule, when, asked.ask(when, statement)))
        };
        self.rules.statements.iter().filter_map(answer).collect()
    }

    /// The rules that allow, and of each the first condition that a statement does not meet.
    #[must_use]
    pub fn missed(&self, statement: &Statement) -> Vec<(&'r StatementRule, Condition)> {
        missed(&self.rules.statements, statement, &self.asked()).collect()
    }
}

fn missed<'r>(
    rules: &'r [StatementRule],
    statement: &Statement,
    asked: &Asked<'_>,
) -> impl Iterator<Item = (&'r StatementRule, Condition)> {
    let allowing = rules.iter().filter(|rule| rule.action == StatementAction::Allow);
    allowing.filter_map(|rule| Some((rule, rule.misfit(statement, asked)?)))
}

/// What decides one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling<'r> {
    /// There are no statement rules: any may run.
    Free,
    /// The first rule that fits.
    By(&'r StatementRule),
    /// There are rules and none fits: it is refused.
    NoneFits,
}

impl<'r> Ruling<'r> {
    /// Whether the statement may run.
    #[must_use]
    pub const fn allows(self) -> bool {
        match self {
            Self::Free => true,
            Self::By(rule) => matches!(rule.action, StatementAction::Allow),
            Self::NoneFits => false,
        }
    }

    /// The rule that decides, if one does.
    #[must_use]
    pub const fn rule(self) -> Option<&'r StatementRule> {
        match self {
            Self::By(rule) => Some(rule),
            Self::Free | Self::NoneFits => None,
        }
    }
}

/// All that the rules say of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<'r> {
    /// What decides it.
    pub by: Ruling<'r>,
    /// The first rule before that which asks for an approval.
    pub asks: Option<&'r StatementRule>,
    /// Those before that which warn.
    pub warns: Vec<&'r StatementRule>,
}

impl<'r> Held<'r> {
    /// The rule that asks, where nothing else stands in the way.
    #[must_use]
    pub fn waits_for(&self) -> Option<&'r StatementRule> {
        self.asks.filter(|_| self.by.allows())
    }

    /// Whether the statement may run, where others have approved what this rule asks for.
    #[must_use]
    pub fn allows(&self, approved: Option<&RuleName>) -> bool {
        self.by.allows() && self.asks.is_none_or(|rule| approved == Some(&rule.name))
    }
}

/// A text as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'r> {
    /// What was read of it.
    reading: &'r Reading,
    /// One for each statement of it.
    held: Vec<Held<'r>>,
    /// The rule that asks, of which others have approved the text.
    approved: Option<&'r RuleName>,
}

impl<'r> Explained<'r> {
    /// Holds what was read against the rules. Conditions in Rego need a session: here they have no value.
    #[must_use]
    pub fn new(rules: &'r [StatementRule], reading: &'r Reading) -> Self {
        Self::asking(rules, None, reading, &Asked::new(None))
    }

    /// The same in a session, where the text may have been approved.
    pub(crate) fn asking(
        rules: &'r [StatementRule],
        approved: Option<&'r RuleName>,
        reading: &'r Reading,
        asked: &Asked<'_>,
    ) -> Self {
        let held = reading.statements.iter().map(|statement| statements::held(rules, statement, asked));
        Self { reading, held: held.collect(), approved }
    }

    /// What was read.
    #[must_use]
    pub const fn reading(&self) -> &'r Reading {
        self.reading
    }

    /// Each statement, and what the rules say of it.
    pub fn statements(&self) -> impl ExactSizeIterator<Item = (&'r Statement, &Held<'r>)> {
        self.reading.statements.iter().zip(&self.held)
    }

    /// Which statement refuses the text, counted from 0: the first that may not run.
    #[must_use]
    pub fn refused_at(&self) -> Option<usize> {
        self.held.iter().position(|held| !held.allows(self.approved))
    }

    /// Why the text may not run; `None`: it may.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        let (statement, held) = self.statements().nth(self.refused_at()?)?;
        if let Some(why) = self.reading.unreadable {
            return Some(Denial::Unreadable(why));
        }
        let rule = held.waits_for().or_else(|| held.by.rule());
        let (name, message) =
            (rule.map(|rule| rule.name.clone()), rule.and_then(|rule| rule.message.clone()));
        Some(match (held.waits_for(), name) {
            (Some(_), Some(rule)) => Denial::NeedsApproval { rule, message },
            (_, rule) => Denial::Statement { rule, class: statement.worst(), message },
        })
    }

    /// The rules that ask for an approval without which the text may not run; none where it may not run anyway.
    #[must_use]
    pub fn asks(&self) -> BTreeSet<&'r RuleName> {
        let runs = self.held.iter().all(|held| held.by.allows());
        self.held.iter().filter_map(|held| held.asks.filter(|_| runs)).map(|rule| &rule.name).collect()
    }

    /// The rules that warn, each once, in order.
    pub(crate) fn warns(&self) -> Vec<&'r StatementRule> {
        let mut seen = BTreeSet::new();
        let all = self.held.iter().flat_map(|held| held.warns.iter().copied());
        all.filter(|rule| seen.insert(&rule.name)).collect()
    }

    /// The rules that allow its statements.
    pub(crate) fn allowing(&self) -> impl Iterator<Item = &'r StatementRule> {
        self.held.iter().filter_map(|held| held.by.rule())
    }
}

#[cfg(test)]
mod tests {
    use hoop_model::Timestamp;
    use hoop_sql::{Class, Dialect, postgres::Mode, read};

    use super::*;
    use crate::{Action, Rules, Warrant};

    const SQL: Dialect = Dialect::Postgres(Mode { standard_strings: true, utf8: true });
    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn rules() -> Vec<StatementRule> {
        let yaml = "
- {name: no-billing, action: deny, tables: [billing.*]}
- {name: read, action: allow, classes: [read]}
";
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn reading(text: &str) -> Reading {
        read(text.as_bytes(), SQL)
    }

    #[test]
    fn each_statement_has_its_ruling_and_the_first_that_may_not_run_refuses_the_text() {
        let rules = rules();
        let reading = reading("select 1; delete from a.b; select * from billing.c; begin");
        let explained = Explained::new(&rules, &reading);
        let told: Vec<_> = explained
            .statements()
            .map(|(_, held)| (held.by.rule().map(|rule| rule.name.to_string()), held.allows(None)))
            .collect();
        let by = |name: &str| Some(name.to_owned());
        assert_eq!(told, [(by("read"), true), (None, false), (by("no-billing"), false), (by("read"), true)]);
        assert_eq!(explained.refused_at(), Some(1));
        assert_eq!(
            explained.denial(),
            Some(Denial::Statement { rule: None, class: Class::Write, message: None })
        );
    }

    #[test]
    fn without_rules_any_statement_is_free() {
        let reading = reading("drop table a; select '");
        let explained = Explained::new(&[], &reading);
        assert!(explained.statements().all(|(_, held)| held.by == Ruling::Free));
        assert_eq!((explained.refused_at(), explained.denial()), (None, None));
    }

    #[test]
    fn of_each_rule_that_allows_it_is_said_which_condition_is_not_met() {
        let yaml = "
- {name: never, action: deny, verbs: [merge]}
- {name: classes, action: allow, classes: [read]}
- {name: verbs, action: allow, verbs: [insert]}
- {name: tables, action: allow, tables: [clinic.*]}
- {name: text, action: allow, text: [select ?]}
";
        let rules: Vec<StatementRule> = serde_saphyr::from_str(yaml).unwrap();
        let missed = |text: &str| {
            let reading = reading(text);
            let explained = Explained::new(&rules, &reading);
            let (statement, held) = explained.statements().next().unwrap();
            let asked = Asked::new(None);
            let missed = super::missed(&rules, statement, &asked);
            let missed: Vec<_> = missed.map(|(rule, condition)| (rule.name.to_string(), condition)).collect();
            assert!(missed.iter().all(|(name, condition)| *name == condition.as_str()), "{missed:?}");
            (missed.len(), held.allows(None))
        };
        assert_eq!(missed("update billing.claims set a = 1 where id = 2"), (4, false));
        assert_eq!(missed("update clinic.notes set a = 1 where id = 2"), (3, true));
        assert_eq!(missed("select '"), (4, false), "what cannot be read meets nothing");
        assert_eq!(missed("select 1"), (1, true));
    }

    #[test]
    fn what_is_explained_is_what_a_session_is_told() {
        let statements = rules();
        let warrant = Warrant::new(
            Rules { statements: statements.clone(), ..Rules::default() },
            NOW.after(std::time::Duration::from_secs(60)),
        );
        for text in [
            "",
            "select 1",
            "select 1; select 2",
            "select 1; drop table a",
            "select * from claims",
            "select * from clinic.claims",
            "select unheard_of()",
            "select * from only (billing.a)",
            "with billing as (select 1) select * from billing",
            "insert into clinic.a (b) select c from only (billing.d)",
            "explain analyze delete from billing.a",
            "create table a as select * from clinic.b",
            "select '",
            "se\0lect",
        ] {
            let told = warrant.decide(&Action::Statement { text: text.as_bytes(), dialect: SQL }, NOW).err();
            assert_eq!(Explained::new(&statements, &reading(text)).denial(), told, "{text}");
        }
    }
}

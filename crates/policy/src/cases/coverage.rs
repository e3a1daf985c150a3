//! Which rules have decided anything, of those that could.

use hoop_model::RuleName;
use serde::Serialize;

use crate::rules::AccessPolicy;

/// How often each enabled rule of a file has decided: an access rule by letting somebody in, a rule about statements,
/// commands or requests of a cluster by saying yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    rules: Vec<Covered>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// The access rule.
    pub rule: RuleName,
    /// Its rule about statements, commands or requests of a cluster, if it is about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<RuleName>,
    /// Whether it is a rule for emergencies.
    pub break_glass: bool,
    /// How often it has decided.
    pub decided: u32,
}

impl Coverage {
    /// Nothing was decided yet.
    #[must_use]
    pub fn of(policy: &AccessPolicy) -> Self {
        let mut rules = Vec::new();
        let mut add = |rule: &RuleName, statement: Option<&RuleName>, break_glass| {
            let (rule, statement) = (rule.clone(), statement.cloned());
            rules.push(Covered { rule, statement, break_glass, decided: 0 });
        };
        for rule in policy.rules().iter().filter(|rule| rule.enabled) {
            add(&rule.name, None, false);
            rule.statements.iter().for_each(|statement| add(&rule.name, Some(&statement.name), false));
            rule.commands.iter().for_each(|command| add(&rule.name, Some(&command.name), false));
            rule.cluster.iter().for_each(|request| add(&rule.name, Some(&request.name), false));
        }
        for rule in policy.break_glass().iter().filter(|rule| rule.enabled) {
            add(&rule.name, None, true);
        }
        Self { rules }
    }

    pub(super) fn count(&mut self, rule: &RuleName, statement: Option<&RuleName>) {
        let is_it = |covered: &&mut Covered| covered.rule == *rule && covered.statement.as_ref() == statement;
        if let Some(covered) = self.rules.iter_mut().find(is_it) {
            covered.decided = covered.decided.saturating_add(1);
        }
    }

    /// Every rule that could decide, in the order of the file.
    #[must_use]
    pub fn rules(&self) -> &[Covered] {
        &self.rules
    }

    /// How many have decided, and how many there are.
    #[must_use]
    pub fn figures(&self) -> (usize, usize) {
        (self.rules.iter().filter(|covered| covered.decided > 0).count(), self.rules.len())
    }

    /// Rounded down, so that 100 is all of them; of no rules at all, all are covered.
    #[must_use]
    pub fn percent(&self) -> usize {
        let (decided, all) = self.figures();
        (decided * 100).checked_div(all).unwrap_or(100)
    }
}

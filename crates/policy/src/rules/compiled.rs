//! Rules in the form in which they are asked: an index from each name to the rules that it is in.

use std::collections::HashMap;

use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, RuleName, UserName};

use super::{
    asking::{ConnectionFacts, Decider, Person, PersonKind},
    document::{BreakGlassRule, Connections, Deciders, Rule},
    parse::AccessPolicy,
    words::ConnectionPattern,
};

/// Access rules, ready to decide.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    document: AccessPolicy,
    rules: Index,
    break_glass: Index,
    by_name: HashMap<RuleName, usize>,
}

impl Policy {
    /// Indexes rules. Those that are not enabled are left out.
    #[must_use]
    pub fn compile(document: AccessPolicy) -> Self {
        let mut rules = Index::default();
        let mut by_name = HashMap::new();
        for (at, rule) in document.rules().iter().enumerate() {
            by_name.insert(rule.name.clone(), at);
            if rule.enabled {
                rules.add(at, &rule.subjects.users, &rule.subjects.groups, &rule.connections);
                rules.add_services(at, &rule.subjects.service_accounts);
            }
        }
        let mut break_glass = Index::default();
        for (at, rule) in document.break_glass().iter().enumerate().filter(|(_, rule)| rule.enabled) {
            break_glass.add(at, &rule.subjects.users, &rule.subjects.groups, &rule.connections);
        }
        Self { document, rules, break_glass, by_name }
    }

    /// The rules as written.
    #[must_use]
    pub const fn document(&self) -> &AccessPolicy {
        &self.document
    }

    /// The enabled rules about this person and this connection, in order.
    pub(super) fn rules_for(
        &self,
        person: &Person,
        connection: &ConnectionFacts,
    ) -> impl Iterator<Item = &Rule> {
        let found = self.rules.find(person, connection).into_iter();
        found
            .filter_map(|at| self.document.rules().get(at))
            .filter(move |rule| rule.connections.select(connection))
    }

    /// The enabled rules for this person's emergencies with this connection, in order.
    pub(super) fn break_glass_for(
        &self,
        person: &Person,
        connection: &ConnectionFacts,
    ) -> impl Iterator<Item = &BreakGlassRule> {
        let found = self.break_glass.find(person, connection).into_iter();
        found
            .filter_map(|at| self.document.break_glass().get(at))
            .filter(move |rule| rule.connections.select(connection))
    }

    /// An enabled rule by its name.
    pub(super) fn rule(&self, name: &RuleName) -> Option<&Rule> {
        self.document.rules().get(*self.by_name.get(name)?).filter(|rule| rule.enabled)
    }
}

/// Which rules are about whom, and which may be about what.
#[derive(Debug, Clone, Default)]
struct Index {
    size: usize,
    names: HashMap<ConnectionName, Vec<usize>>,
    everything: Vec<usize>,
    /// A rule with several labels stands under the first: it is a first sieve only.
    labels: HashMap<LabelKey, HashMap<LabelValue, Vec<usize>>>,
    users: HashMap<String, Vec<usize>>,
    groups: HashMap<GroupName, Vec<usize>>,
    services: HashMap<String, Vec<usize>>,
}

impl Index {
    fn add<'a>(
        &mut self,
        rule: usize,
        users: impl IntoIterator<Item = &'a UserName>,
        groups: impl IntoIterator<Item = &'a GroupName>,
        connections: &Connections,
    ) {
        self.size = self.size.max(rule + 1);
        for pattern in &connections.names {
            match pattern {
                ConnectionPattern::All => self.everything.push(rule),
                ConnectionPattern::Name(name) => self.names.entry(name.clone()).or_default().push(rule),
            }
        }
        for (key, values) in connections.labels.iter().take(1) {
            let by_value = self.labels.entry(key.clone()).or_default();
            values.iter().for_each(|value| by_value.entry(value.clone()).or_default().push(rule));
        }
        for user in users {
            self.users.entry(user.folded()).or_default().push(rule);
        }
        for group in groups {
            self.groups.entry(group.clone()).or_default().push(rule);
        }
    }

    fn add_services<'a>(&mut self, rule: usize, services: impl IntoIterator<Item = &'a UserName>) {
        for service in services {
            self.services.entry(service.folded()).or_default().push(rule);
        }
    }

    /// Their numbers in ascending order, each once. Some may not select the connection after all.
    fn find(&self, person: &Person, connection: &ConnectionFacts) -> Vec<usize> {
        let name = person.name.folded();
        let lists: Vec<&Vec<usize>> = match person.kind {
            PersonKind::Service => self.services.get(&name).into_iter().collect(),
            PersonKind::Human => {
                let groups = person.groups.iter().filter_map(|group| self.groups.get(group));
                self.users.get(&name).into_iter().chain(groups).collect()
            }
        };
        let about = self.mark(lists);
        let labelled = connection.labels.iter().filter_map(|(key, value)| self.labels.get(key)?.get(value));
        let named = self.names.get(&connection.name).into_iter().chain([&self.everything]);
        both(&about, &self.mark(named.chain(labelled)))
    }

    /// A bit a rule sorts and removes what is double in one pass, however many groups a person is in.
    fn mark<'a>(&self, lists: impl IntoIterator<Item = &'a Vec<usize>>) -> Vec<u64> {
        let mut marks = vec![0_u64; self.size / 64 + 1];
        for rule in lists.into_iter().flatten() {
            if let Some(word) = marks.get_mut(rule / 64) {
                *word |= 1 << (rule % 64);
            }
        }
        marks
    }
}

/// The numbers that are marked in both.
fn both(one: &[u64], other: &[u64]) -> Vec<usize> {
    let mut found = Vec::new();
    for (at, (one, other)) in one.iter().zip(other).enumerate() {
        let mut word = one & other;
        while word != 0 {
            found.push(at * 64 + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
    found
}

impl Connections {
    /// Whether they include this one.
    #[must_use]
    pub fn select(&self, connection: &ConnectionFacts) -> bool {
        self.names.contains("*")
            || self.names.contains(connection.name.as_str())
            || self.select_by_label(connection)
    }

    fn select_by_label(&self, connection: &ConnectionFacts) -> bool {
        let has = |(key, values): (&_, &std::collections::BTreeSet<_>)| {
            connection.labels.get(key).is_some_and(|value| values.contains(value))
        };
        !self.labels.is_empty() && self.labels.iter().all(has)
    }
}

impl Deciders {
    /// Whether this person is among them. A service account never is.
    #[must_use]
    pub fn include(&self, decider: &Decider<'_>) -> bool {
        let person = decider.person;
        person.kind == PersonKind::Human
            && (person.groups.iter().any(|group| self.groups.contains(group))
                || decider.role.is_some_and(|role| self.roles.contains(&role))
                || self.users.iter().any(|user| is_same(user, &person.name)))
    }
}

/// Whether two login names are one person.
pub(super) fn is_same(one: &UserName, other: &UserName) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

//! The indexes against the plain way: every rule looked at, one after the other.

use std::collections::BTreeSet;

use hoop_policy::rules::{ConnectionFacts, Person, PersonKind, Policy, Refusal, Rule};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::{NOW, asking, connection, person, read, service};

fn some(of: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<&'static str>> {
    proptest::collection::btree_set(proptest::sample::select(of), 0..3)
}

/// A rule in which lists may be absent, as long as somebody and something is named.
fn rule() -> impl Strategy<Value = Value> {
    let subjects = (some(&["ada", "Bob", "eve"]), some(&["g1", "g2", "g3"]), some(&["ci", "ada"]));
    let selected = (some(&["c1", "c2", "*"]), some(&["prod", "test"]), some(&["east", "west"]));
    (subjects, selected, any::<bool>()).prop_filter_map("nobody or nothing", |(who, what, enabled)| {
        let (users, groups, services) = who;
        let (mut names, mut env, mut site) = what;
        if names.contains("*") {
            (names, env, site) = (BTreeSet::from(["*"]), BTreeSet::new(), BTreeSet::new());
        }
        let mut labels = json!({});
        for (key, values) in [("env", env), ("site", site)] {
            if !values.is_empty() {
                labels[key] = json!(values);
            }
        }
        let nothing = names.is_empty() && labels == json!({});
        let nobody = users.is_empty() && groups.is_empty() && services.is_empty();
        let filled = |lists: [(&str, Value); 3]| -> Value {
            let full = lists
                .into_iter()
                .filter(|(_, list)| !matches!(list.as_array(), Some(list) if list.is_empty()));
            full.filter(|(_, list)| *list != json!({})).collect()
        };
        let subjects = filled([
            ("users", json!(users)),
            ("groups", json!(groups)),
            ("service_accounts", json!(services)),
        ]);
        let connections = filled([("names", json!(names)), ("labels", labels), ("unused", json!([]))]);
        (!nobody && !nothing)
            .then(|| json!({ "enabled": enabled, "subjects": subjects, "connections": connections }))
    })
}

fn is_about(rule: &Rule, person: &Person) -> bool {
    let same = |name: &hoop_model::UserName| name.as_str().eq_ignore_ascii_case(person.name.as_str());
    match person.kind {
        PersonKind::Service => rule.subjects.service_accounts.iter().any(same),
        PersonKind::Human => {
            rule.subjects.users.iter().any(same) || !rule.subjects.groups.is_disjoint(&person.groups)
        }
    }
}

fn selects(rule: &Rule, connection: &ConnectionFacts) -> bool {
    let names: Vec<_> = rule.connections.names.iter().map(ToString::to_string).collect();
    let labels = &rule.connections.labels;
    names.iter().any(|name| name == "*" || *name == connection.name.to_string())
        || (!labels.is_empty()
            && labels
                .iter()
                .all(|(key, values)| connection.labels.get(key).is_some_and(|value| values.contains(value))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_first_rule_that_fits_is_the_one_that_is_found(
        rules in proptest::collection::vec(rule(), 0..150),
        name in proptest::sample::select(&["ada", "ADA", "bob", "eve", "ci", "zoe"][..]),
        is_service in any::<bool>(),
        groups in some(&["g1", "g2", "g3", "g4"]),
        to in proptest::sample::select(&["c1", "c2", "c3"][..]),
        env in proptest::option::of(proptest::sample::select(&["prod", "test", "dev"][..])),
        site in proptest::option::of(proptest::sample::select(&["east", "west"][..])),
    ) {
        let mut rules = rules;
        for (number, rule) in rules.iter_mut().enumerate() {
            rule["name"] = json!(format!("r{number}"));
        }
        let document = read(&json!({ "version": 1, "rules": rules }).to_string());
        let groups: Vec<_> = groups.into_iter().collect();
        let who = if is_service { service(name) } else { person(name, &groups) };
        let labels: Vec<_> = [env.map(|env| ("env", env)), site.map(|site| ("site", site))].into_iter().flatten().collect();
        let what = connection(to, &labels);
        let plainly = document.rules().iter().find(|rule| rule.enabled && is_about(rule, &who) && selects(rule, &what));
        let plainly = plainly.map(|rule| rule.name.clone());
        let found = Policy::compile(document.clone()).decide(&asking(&who, &what), NOW);
        match (plainly, found) {
            (Some(rule), Ok(permission)) => prop_assert_eq!(permission.rule, rule),
            (None, Err(Refusal::NotAllowed)) => {}
            (plainly, found) => prop_assert!(false, "{:?} but {:?}", plainly, found),
        }
    }
}

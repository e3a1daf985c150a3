//! What admins are told: who can reach what, and why.

use hoop_policy::rules::{Outcome, Person};

use crate::world::{FULL, NOW, asking, connection, person, policy, rule_name, service};

#[test]
fn who_can_reach_names_rule_and_conditions() {
    let policy = policy(FULL);
    let people = [
        person("ada", &["oncall"]),
        person("bob", &["engineers"]),
        person("eve", &["others"]),
        service("ci"),
        person("ci", &[]),
        Person { locked: true, ..person("zoe", &["engineers"]) },
    ];
    let pg = connection("demo-pg", &[]);
    let found: Vec<_> = policy.who_can_reach(&pg, &people).collect();
    let short: Vec<_> =
        found.iter().map(|r| (r.person.as_str(), r.rule.as_str(), r.through.as_str())).collect();
    assert_eq!(
        short,
        [
            ("ada", "clinic-engineers", "user ada"),
            ("ada", "oncall", "member of oncall"),
            ("bob", "clinic-engineers", "member of engineers"),
            ("ci", "clinic-engineers", "service account ci"),
        ]
    );
    assert_eq!(
        found[0].needs,
        [
            "a second factor (totp, passkey) of the last 12h",
            "open: mon,fri 08:00-18:00 Europe/Berlin",
            "from: 10.0.0.0/8, 2001:db8::/32",
            "a reason",
            "the approval of 2, for at most 4h",
            "end to end",
        ]
    );
    assert!(found[1].break_glass && found[1].needs.contains(&"a review afterwards".to_owned()));
    assert!(!found[3].needs.iter().any(|need| need.contains("second factor")));
}

#[test]
fn what_can_reach_lists_connections() {
    let policy = policy(FULL);
    let connections =
        [connection("demo-pg", &[]), connection("a", &[("env", "prod")]), connection("b", &[("env", "dev")])];
    let (bob, eve) = (person("bob", &["engineers"]), person("eve", &[]));
    let found: Vec<_> = policy.what_can_reach(&bob, &connections).map(|r| r.connection.to_string()).collect();
    assert_eq!(found, ["demo-pg", "a"]);
    assert_eq!(policy.what_can_reach(&eve, &connections).count(), 0);
}

#[test]
fn every_rule_is_explained() {
    let policy = policy(
        "version: 1
rules:
- {name: off, enabled: false, subjects: {users: [ada]}, connections: {names: [pg]}}
- {name: bobs, subjects: {users: [bob]}, connections: {names: [pg]}}
- {name: other, subjects: {users: [ada]}, connections: {names: [x]}}
- {name: reason, subjects: {users: [ada]}, connections: {names: [pg]}, conditions: {reason: true}}
- {name: yes, subjects: {users: [ada]}, connections: {names: [pg]}}
- {name: also, subjects: {users: [ada]}, connections: {names: [\"*\"]}}
",
    );
    let (ada, pg) = (person("ada", &[]), connection("pg", &[]));
    let told = policy.explain(&asking(&ada, &pg), NOW);
    let outcomes: Vec<_> =
        told.iter().map(|considered| (considered.rule.as_str(), &considered.outcome)).collect();
    assert!(matches!(
        outcomes[..],
        [
            ("off", Outcome::Disabled),
            ("bobs", Outcome::OtherSubject),
            ("other", Outcome::OtherConnection),
            ("reason", Outcome::Misses { .. }),
            ("yes", Outcome::Decides),
            ("also", Outcome::AllowsToo),
        ]
    ));
    assert_eq!(policy.decide(&asking(&ada, &pg), NOW).unwrap().rule, rule_name("yes"), "as decided");
    let locked = Person { locked: true, ..ada };
    let told = policy.explain(&asking(&locked, &pg), NOW);
    assert!(told.iter().all(|considered| considered.outcome != Outcome::Decides));
}

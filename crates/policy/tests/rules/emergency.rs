//! Break-glass: who may, and who may not although it is an emergency.

use hoop_policy::rules::{
    AccessPolicy, Asking, Decider, DecidingRole, MfaMethod, MfaProof, Missing, Person, PersonKind,
    RecordingMode, Refusal,
};

use crate::world::{NOW, ago, asking, connection, decider, minutes, person, policy, rule_name, service};

const RULES: &str = "version: 1
rules: []
break_glass:
- {name: b, subjects: {groups: [oncall]}, connections: {labels: {env: [prod]}}, mfa: {methods: [passkey]}, reviewers: {groups: [security]}}
- {name: off, enabled: false, subjects: {users: [eve]}, connections: {names: [\"*\"]}}
- {name: plain, subjects: {users: [zoe]}, connections: {names: [\"*\"]}, review_before_next_use: false}
";

fn ada() -> Person {
    let mfa = Some(MfaProof { at: ago(minutes(5)), method: MfaMethod::Passkey });
    Person { mfa, ..person("ada", &["oncall"]) }
}

#[test]
fn the_one_on_call_is_in_at_once_strictly_recorded_and_not_for_long() {
    let pg = connection("pg", &[("env", "prod")]);
    let ada = ada();
    let asking = Asking { reason: Some("the ward is down"), live_sessions: 99, ..asking(&ada, &pg) };
    let permission = policy(RULES).break_glass(&asking, NOW).unwrap();
    assert_eq!((permission.rule, permission.ends_at), (rule_name("b"), NOW.after(minutes(60))));
    assert_eq!((permission.idle_timeout, permission.recording), (minutes(15), RecordingMode::Strict));
    assert!(permission.review_before_next_use && permission.reviewers.is_some());
    assert!(!permission.rules.allow_replication);
    assert_eq!(permission.because, "break-glass rule b: member of oncall");
    assert_eq!(policy(RULES).decide(&asking, NOW), Err(Refusal::NotAllowed), "it is no ordinary way in");
}

#[test]
fn every_missing_field_denies_also_in_an_emergency() {
    type Spoil = fn(&mut Person);
    let pg = connection("pg", &[("env", "prod")]);
    let spoils: [(&str, Spoil); 8] = [
        ("not on call", |p| p.groups.clear()),
        ("locked", |p| p.locked = true),
        ("no second factor", |p| p.mfa = None),
        ("a stale one", |p| p.mfa = Some(MfaProof { at: ago(minutes(6)), method: MfaMethod::Passkey })),
        ("one of the future", |p| {
            p.mfa = Some(MfaProof { at: NOW.after(minutes(1)), method: MfaMethod::Passkey })
        }),
        ("one of another kind", |p| p.mfa = Some(MfaProof { at: NOW, method: MfaMethod::Totp })),
        ("a program", |p| p.kind = PersonKind::Service),
        ("a rule that is off", |p| *p = person("eve", &[])),
    ];
    for (what, spoil) in spoils {
        let mut person = ada();
        spoil(&mut person);
        let asking = Asking { reason: Some("why"), ..asking(&person, &pg) };
        assert!(policy(RULES).break_glass(&asking, NOW).is_err(), "{what}");
    }
    let ada = ada();
    for reason in [None, Some(""), Some("  ")] {
        let Err(Refusal::Missing { what, .. }) =
            policy(RULES).break_glass(&Asking { reason, ..asking(&ada, &pg) }, NOW)
        else {
            panic!("in without a reason")
        };
        assert_eq!(what, [Missing::Reason]);
    }
    let dev = connection("pg", &[("env", "dev")]);
    let asking = Asking { reason: Some("why"), ..asking(&ada, &dev) };
    assert_eq!(policy(RULES).break_glass(&asking, NOW), Err(Refusal::NotAllowed));
}

#[test]
fn a_review_is_closed_by_somebody_else() {
    let policy = policy(RULES);
    let may = |person: &Person, role, rule: &str| {
        policy.may_review(&Decider { role, ..decider(person) }, &rule_name(rule))
    };
    let (guard, root) = (person("grace", &["security"]), person("root", &[]));
    let (admin, approver) = (Some(DecidingRole::Admin), Some(DecidingRole::Approver));
    assert!(may(&guard, None, "b"));
    assert!(may(&root, admin, "plain"), "admins where nobody is named");
    assert!(may(&root, admin, "gone"), "and where the rule is gone");
    assert!(!may(&root, admin, "b"), "but not where somebody is");
    for role in [None, approver] {
        assert!(!may(&guard, role, "plain"));
        assert!(!may(&guard, role, "gone"));
    }
    for rule in ["b", "plain"] {
        let own = Decider { role: admin, is_concerned: true, ..decider(&guard) };
        assert!(!policy.may_review(&own, &rule_name(rule)), "never one's own");
    }
    assert!(!may(&Person { locked: true, ..guard.clone() }, admin, "b"));
    assert!(!may(&Person { groups: guard.groups, ..service("bot") }, admin, "b"));
}

#[test]
fn a_rule_can_let_approvers_review() {
    let rules = policy(
        "version: 1\nrules: []\nbreak_glass:\n- {name: b, subjects: {groups: [oncall]}, connections: {names: [pg]}, \
         reviewers: {roles: [approver]}}\n",
    );
    let eve = person("eve", &[]);
    let may = |role| rules.may_review(&Decider { role, ..decider(&eve) }, &rule_name("b"));
    assert!(may(Some(DecidingRole::Approver)));
    assert!(!may(Some(DecidingRole::Admin)) && !may(None));
}

#[test]
fn an_account_for_administration_alone_breaks_no_glass_and_keeps_none_broken() {
    let ada = Person { only_administers: true, ..ada() };
    let pg = connection("pg", &[]);
    let asking = Asking { reason: Some("down"), ..asking(&ada, &pg) };
    assert_eq!(policy(RULES).break_glass(&asking, NOW), Err(Refusal::OnlyAdministers));
}

#[test]
fn sealed_codes_are_for_emergencies_that_name_them() {
    let sealed = Some(MfaProof { at: ago(minutes(55)), method: MfaMethod::SealedCodes });
    let ada = Person { mfa: sealed, ..person("ada", &["oncall"]) };
    let pg = connection("pg", &[]);
    let asking = Asking { reason: Some("the provider is down"), ..asking(&ada, &pg) };
    let rules = |word: &str| {
        policy(&format!(
            "version: 1\nrules:\n- {{name: r, subjects: {{groups: [oncall]}}, connections: {{names: [pg]}}}}\n\
             break_glass:\n- {{name: b, subjects: {{groups: [oncall]}}, connections: {{names: [pg]}}{word}}}\n"
        ))
    };
    assert_eq!(rules(", sealed_codes: true").break_glass(&asking, NOW).unwrap().rule, rule_name("b"));
    for word in ["", ", sealed_codes: false"] {
        assert!(matches!(rules(word).break_glass(&asking, NOW), Err(Refusal::Missing { .. })), "{word}");
    }
    let daily = rules(", sealed_codes: true").decide(&asking, NOW);
    assert!(matches!(daily, Err(Refusal::Missing { .. })), "no ordinary way in: {daily:?}");
    for word in [", mfa: {methods: [sealed_codes]}", ", sealed_codes: yes please"] {
        let yaml = format!(
            "version: 1\nrules: []\nbreak_glass:\n- {{name: b, subjects: {{groups: [x]}}, connections: {{names: [pg]}}{word}}}\n"
        );
        assert!(AccessPolicy::from_yaml(&yaml).is_err(), "{word}");
    }
}

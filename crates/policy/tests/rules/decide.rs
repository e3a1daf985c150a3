//! Who gets in. Every test that lets somebody in has many that do not.

use std::net::IpAddr;

use hoop_model::{GroupName, Timestamp, UserName};
use hoop_policy::{
    OnlyStatement,
    rules::{
        Approval, Asking, ConnectionFacts, Decider, DecidingRole, MfaMethod, MfaProof, Missing, Person,
        PersonKind, Policy, RecordingMode, Refusal,
    },
};
use proptest::prelude::*;

use crate::world::{
    NOW, ago, approval, asking, at, connection, decider, minutes, person, policy, rule_name, service, with,
};

fn refusal(policy: &Policy, asking: &Asking<'_>) -> Refusal {
    match policy.decide(asking, NOW) {
        Err(refusal) => refusal,
        Ok(permission) => panic!("let in: {permission:?}"),
    }
}

fn missing(policy: &Policy, asking: &Asking<'_>) -> Vec<Missing> {
    match refusal(policy, asking) {
        Refusal::Missing { what, .. } => what,
        other => panic!("{other:?}"),
    }
}

/// A rule with every condition, and a question that fits all of them.
const STRICT: &str = "version: 1
rules:
- name: strict
  subjects: {groups: [engineers]}
  connections: {labels: {env: [prod], tier: [one, two]}}
  conditions:
    mfa: {max_age: 1h, methods: [passkey]}
    times: [{days: [tue], from: \"22:00\", to: \"23:00\", zone: UTC}]
    networks: [10.0.0.0/8]
    reason: true
    approval: {approvers: {groups: [leads]}, count: 2, longest: 4h}
    end_to_end_only: true
  limits: {duration: 8h, idle: 10m, sessions: 2, recording: strict}
  become: clinic_ro
  allow_replication: true
";

struct World {
    person: Person,
    connection: ConnectionFacts,
    address: IpAddr,
    reason: Option<&'static str>,
    end_to_end: bool,
    approvals: Vec<Approval>,
    live_sessions: u32,
    now: Timestamp,
}

fn fitting() -> World {
    let mut ada = person("ada", &["engineers"]);
    ada.mfa = Some(MfaProof { at: ago(minutes(10)), method: MfaMethod::Passkey });
    let good = Approval {
        target_user: Some("clinic_ro".parse().unwrap()),
        ..approval("ada", "strict", "pg", NOW.after(minutes(20)))
    };
    World {
        person: ada,
        connection: connection("pg", &[("env", "prod"), ("tier", "two"), ("else", "x")]),
        address: IpAddr::from([10, 0, 0, 1]),
        reason: Some("ticket 4711"),
        end_to_end: true,
        approvals: vec![good],
        live_sessions: 1,
        now: NOW,
    }
}

impl World {
    fn ask(&self, policy: &Policy) -> Result<hoop_policy::rules::Permission, Refusal> {
        let asking = Asking {
            address: self.address,
            reason: self.reason,
            end_to_end: self.end_to_end,
            approvals: &self.approvals,
            live_sessions: self.live_sessions,
            ..asking(&self.person, &self.connection)
        };
        policy.decide(&asking, self.now)
    }
}

#[test]
fn who_fits_in_everything_gets_in_on_the_rules_terms() {
    let permission = fitting().ask(&policy(STRICT)).unwrap();
    assert_eq!(permission.rule, rule_name("strict"));
    assert_eq!(permission.ends_at, NOW.after(minutes(20)), "the approval ends first");
    assert_eq!(permission.idle_timeout, minutes(10));
    assert_eq!(permission.recording, RecordingMode::Strict);
    assert_eq!(permission.target_user.unwrap().as_str(), "clinic_ro");
    assert!(permission.rules.allow_replication);
    assert_eq!(permission.because, "rule strict: member of engineers");
    assert_eq!(permission.approval_used, Some(0));
}

/// THREATS A4: each thing that a rule asks for, taken away or spoiled alone.
#[test]
fn every_missing_field_denies() {
    type Spoil = fn(&mut World);
    let spoils: [(&str, Spoil); 30] = [
        ("no group", |w| w.person.groups.clear()),
        ("another group", |w| w.person.groups = [GroupName::new("Engineers").unwrap()].into()),
        ("a service account", |w| w.person.kind = PersonKind::Service),
        ("locked", |w| w.person.locked = true),
        ("no second factor", |w| w.person.mfa = None),
        ("an old one", |w| {
            w.person.mfa = Some(MfaProof { at: ago(minutes(61)), method: MfaMethod::Passkey })
        }),
        ("one of the future", |w| {
            w.person.mfa = Some(MfaProof {
                at: NOW.after(std::time::Duration::from_micros(1)),
                method: MfaMethod::Passkey,
            });
        }),
        ("one of another kind", |w| w.person.mfa = Some(MfaProof { at: NOW, method: MfaMethod::Totp })),
        ("the provider's word for it", |w| w.person.mfa = Some(MfaProof { at: NOW, method: MfaMethod::Idp })),
        ("no labels", |w| w.connection.labels.clear()),
        ("one of two labels", |w| w.connection = connection("pg", &[("env", "prod")])),
        ("another value", |w| w.connection = connection("pg", &[("env", "prod"), ("tier", "three")])),
        ("a value in another case", |w| w.connection = connection("pg", &[("env", "PROD"), ("tier", "one")])),
        ("another network", |w| w.address = IpAddr::from([11, 0, 0, 1])),
        ("an IPv6 address that looks similar", |w| w.address = "::10.0.0.1".parse().unwrap()),
        ("no reason", |w| w.reason = None),
        ("an empty reason", |w| w.reason = Some("")),
        ("blanks for a reason", |w| w.reason = Some(" \t\u{a0} - ")),
        ("the gateway could read along", |w| w.end_to_end = false),
        ("too many sessions", |w| w.live_sessions = 2),
        ("far too many", |w| w.live_sessions = u32::MAX),
        ("before the window", |w| w.now = at("2023-11-14T21:59:59.999999Z")),
        ("after the window", |w| w.now = at("2023-11-14T23:00:00Z")),
        ("another day", |w| w.now = at("2023-11-15T22:30:00Z")),
        ("the clock is put back", |w| w.now = Timestamp::EPOCH),
        ("the clock says nonsense", |w| w.now = Timestamp::from_micros(i64::MAX)),
        ("or the opposite", |w| w.now = Timestamp::from_micros(i64::MIN)),
        ("no approval", |w| w.approvals.clear()),
        ("an approval that is over", |w| w.approvals[0].until = NOW),
        ("one that was over long ago", |w| w.approvals[0].until = Timestamp::EPOCH),
    ];
    let policy = policy(STRICT);
    for (what, spoil) in spoils {
        let mut world = fitting();
        assert!(world.ask(&policy).is_ok());
        spoil(&mut world);
        assert!(world.ask(&policy).is_err(), "{what}");
    }
}

/// THREATS A4: the rule loses a field; what is left is no wider than the defaults, which still ask for a second factor.
#[test]
fn nothing_at_all_lets_nobody_in() {
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[]));
    for yaml in [
        "version: 1\nrules: []",
        "version: 1\nrules: [{name: r, enabled: false, subjects: {users: [ada]}, connections: {names: [\"*\"]}}]",
        "version: 1\nrules: [{name: r, subjects: {service_accounts: [ada]}, connections: {names: [\"*\"]}}]",
        "version: 1\nrules: []\nbreak_glass: [{name: r, subjects: {users: [ada]}, connections: {names: [\"*\"]}}]",
    ] {
        assert_eq!(refusal(&policy(yaml), &asking(&ada, &pg)), Refusal::NotAllowed, "{yaml}");
    }
    assert_eq!(refusal(&Policy::default(), &asking(&ada, &pg)), Refusal::NotAllowed);
    let without = Person { mfa: None, ..ada };
    assert!(matches!(missing(&with(""), &asking(&without, &pg))[..], [Missing::Mfa { .. }]));
}

/// THREATS A7: there is no way in without a second factor, for no kind of connection, and no rule can say so.
#[test]
fn a_person_always_proves_a_second_factor() {
    let pg = connection("demo-pg", &[]);
    let ada = Person { mfa: None, ..person("ada", &["engineers", "oncall"]) };
    for more in
        ["", "  conditions: {}\n", "  conditions: {mfa: {}}\n", "  conditions: {mfa: {max_age: 30d}}\n"]
    {
        for end_to_end in [true, false] {
            let asking = Asking { end_to_end, reason: Some("x"), ..asking(&ada, &pg) };
            assert!(matches!(missing(&with(more), &asking)[..], [Missing::Mfa { .. }]), "{more}");
        }
    }
}

/// THREATS A7: a name that both a person and a program have opens nothing for the other.
#[test]
fn people_and_service_accounts_are_not_mixed_up() {
    let yaml = "version: 1\nrules:\n- {name: r, subjects: {service_accounts: [ci]}, connections: {names: [pg]}}\n\
                - {name: s, subjects: {users: [ada], groups: [bots]}, connections: {names: [pg]}}";
    let (policy, pg) = (policy(yaml), connection("pg", &[]));
    assert_eq!(
        policy.decide(&asking(&service("ci"), &pg), NOW).unwrap().because,
        "rule r: service account ci"
    );
    assert_eq!(refusal(&policy, &asking(&person("ci", &[]), &pg)), Refusal::NotAllowed);
    assert_eq!(refusal(&policy, &asking(&service("ada"), &pg)), Refusal::NotAllowed);
    let bot = Person { groups: [GroupName::new("bots").unwrap()].into(), ..service("bot") };
    assert_eq!(refusal(&policy, &asking(&bot, &pg)), Refusal::NotAllowed, "a group does not free from MFA");
}

/// THREATS A6: case makes no second person, and no second group, value or user at the target.
#[test]
fn case_opens_nothing() {
    let yaml = "version: 1\nrules:\n- {name: r, subjects: {users: [Ada], groups: [Engineers]}, connections: {names: [pg]}}";
    let (policy, pg) = (policy(yaml), connection("pg", &[]));
    for name in ["ada", "ADA", "Ada"] {
        assert!(policy.decide(&asking(&person(name, &[]), &pg), NOW).is_ok(), "one person: {name}");
    }
    for group in ["engineers", "ENGINEERS", "Engineers "] {
        let stranger = person("eve", &[]);
        let groups = GroupName::new(group).into_iter().collect();
        assert_eq!(refusal(&policy, &asking(&Person { groups, ..stranger }, &pg)), Refusal::NotAllowed);
    }
}

/// THREATS A5: names that look like a pattern, a list or another name stay that name.
#[test]
fn names_with_special_characters_are_only_themselves() {
    let yaml = "version: 1\nrules:\n- {name: r, subjects: {users: [a.a], groups: [\"a/b\", \"a b\"]}, connections: {names: [pg.x]}}";
    let (policy, pg) = (policy(yaml), connection("pg.x", &[]));
    assert!(policy.decide(&asking(&person("a.a", &[]), &pg), NOW).is_ok());
    for (name, groups) in
        [("aaa", vec![]), ("a-a", vec![]), ("a.a.a", vec![]), ("b", vec!["a", "b", "a/b/c", "a.b"])]
    {
        assert_eq!(refusal(&policy, &asking(&person(name, &groups), &pg)), Refusal::NotAllowed, "{name}");
    }
    assert_eq!(refusal(&policy, &asking(&person("a.a", &[]), &connection("pgxx", &[]))), Refusal::NotAllowed);
}

/// THREATS A13: an approval of one statement opens a session for that statement in that database, and no other; one of
/// whole sessions opens no session for a statement that nobody read.
#[test]
fn an_approval_of_one_statement_is_good_for_that_one() {
    let (policy, approved) = (policy(STRICT), OnlyStatement::new("select 1", "clinic"));
    let mut world = fitting();
    let whole = world.approvals[0].clone();
    world.approvals = vec![whole.clone(), Approval { only: Some(approved.clone()), ..whole.clone() }];
    let ask = |world: &World, only: Option<&OnlyStatement>| {
        let (person, connection) = (&world.person, &world.connection);
        let World { address, reason, end_to_end, ref approvals, live_sessions, .. } = *world;
        let asking = Asking {
            person,
            connection,
            address,
            reason,
            end_to_end,
            only,
            reading: None,
            approvals,
            live_sessions,
        };
        policy.decide(&asking, world.now)
    };
    let permission = ask(&world, Some(&approved)).unwrap();
    assert_eq!((permission.approval_used, permission.rules.only.as_ref()), (Some(1), Some(&approved)));
    let permission = ask(&world, None).unwrap();
    assert_eq!((permission.approval_used, permission.rules.only), (Some(0), None));
    for other in [OnlyStatement::new("select 2", "clinic"), OnlyStatement::new("select 1", "billing")] {
        assert!(ask(&world, Some(&other)).is_err(), "{other:?}");
    }
    world.approvals = vec![whole];
    assert!(ask(&world, Some(&approved)).is_err());
}

/// THREATS A13: an approval is good for one person, rule, connection, user at the target and time.
#[test]
fn an_approval_is_good_for_nothing_else() {
    type Spoil = fn(&mut Approval);
    let spoils: [(&str, Spoil); 7] = [
        ("another person", |a| a.person = UserName::new("bob").unwrap()),
        ("another rule", |a| a.rule = rule_name("other")),
        ("another connection", |a| a.connection = hoop_model::ConnectionName::new("pg2").unwrap()),
        ("another user", |a| a.target_user = Some("postgres".parse().unwrap())),
        ("the user in another case", |a| a.target_user = Some("Clinic_ro".parse().unwrap())),
        ("no user", |a| a.target_user = None),
        ("one statement", |a| a.only = Some(OnlyStatement::new("select 1", "clinic"))),
    ];
    let policy = policy(STRICT);
    for (what, spoil) in spoils {
        let mut world = fitting();
        spoil(&mut world.approvals[0]);
        let Err(Refusal::Missing { what: missing, .. }) = world.ask(&policy) else { panic!("{what}") };
        assert!(matches!(missing[..], [Missing::Approval { count: 2, .. }]), "{what}: {missing:?}");
    }
    let mut world = fitting();
    let mut long = world.approvals[0].clone();
    long.until = NOW.after(minutes(100_000));
    world.approvals.push(long);
    world.now = NOW;
    let permission = world.ask(&policy).unwrap();
    assert_eq!(permission.approval_used, Some(1), "the one that lasts longest");
    assert!(permission.ends_at <= NOW.after(minutes(240)), "and no longer than the rule says");
}

#[test]
fn an_admins_group_is_a_group_like_any_other() {
    let admin = person("root", &["admins", "admin"]);
    assert_eq!(refusal(&with(""), &asking(&admin, &connection("demo-pg", &[]))), Refusal::NotAllowed);
}

#[test]
fn a_stranger_cannot_tell_a_connection_from_none() {
    let policy = with("  conditions: {reason: true, networks: [192.168.0.0/16]}\n");
    let stranger = person("eve", &["others"]);
    let there = refusal(&policy, &asking(&stranger, &connection("demo-pg", &[])));
    let not_there = refusal(&policy, &asking(&stranger, &connection("no-such", &[])));
    assert_eq!(there, not_there);
    let name = connection("demo-pg", &[]).name;
    assert_eq!(there.to_fault(&name), not_there.to_fault(&name));
    let ada = person("ada", &["engineers"]);
    assert_eq!(refusal(&policy, &asking(&ada, &connection("no-such", &[]))), Refusal::NotAllowed);
}

#[test]
fn the_first_rule_that_allows_decides() {
    let yaml = "version: 1
rules:
- {name: closed, subjects: {users: [ada]}, connections: {names: [pg]}, conditions: {reason: true}}
- {name: first, subjects: {users: [ada]}, connections: {names: [pg]}, limits: {duration: 1h}}
- {name: second, subjects: {users: [ada]}, connections: {names: [\"*\"]}, limits: {duration: 2h}}
";
    let (policy, ada, pg) = (policy(yaml), person("ada", &[]), connection("pg", &[]));
    assert_eq!(policy.decide(&asking(&ada, &pg), NOW).unwrap().rule, rule_name("first"));
    let with_reason = Asking { reason: Some("why"), ..asking(&ada, &pg) };
    assert_eq!(policy.decide(&with_reason, NOW).unwrap().rule, rule_name("closed"));
    assert_eq!(policy.decide(&asking(&ada, &connection("x", &[])), NOW).unwrap().rule, rule_name("second"));
}

#[test]
fn the_rule_that_misses_least_is_told() {
    let yaml = "version: 1
rules:
- {name: far, subjects: {users: [ada]}, connections: {names: [pg]}, conditions: {networks: [192.168.0.0/16]}}
- {name: two, subjects: {users: [ada]}, connections: {names: [pg]}, conditions: {reason: true, end_to_end_only: true}}
- {name: near, subjects: {users: [ada]}, connections: {names: [pg]}, conditions: {reason: true}}
";
    let (ada, pg) = (person("ada", &[]), connection("pg", &[]));
    let refusal = refusal(&policy(yaml), &asking(&ada, &pg));
    assert_eq!(refusal, Refusal::Missing { rule: rule_name("near"), what: vec![Missing::Reason] });
}

#[test]
fn a_refusal_says_what_to_do() {
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[]));
    let no_mfa = Person { mfa: None, ..ada.clone() };
    let from = |conditions: &str| with(&format!("  conditions: {{{conditions}}}\n"));
    let cases = [
        (from(""), &no_mfa, "HOOP-2003", "hoop login"),
        (from("reason: true"), &ada, "HOOP-2006", "hoop connect demo-pg --reason …"),
        (
            from("approval: {approvers: {groups: [leads]}}"),
            &ada,
            "HOOP-2007",
            "hoop request demo-pg --for 2h --reason …",
        ),
        (from("approval: {approvers: {groups: [leads]}, longest: 1h}"), &ada, "HOOP-2007", "--for 1h"),
        (
            from("times: [{from: \"08:00\", to: \"09:00\", zone: UTC}]"),
            &ada,
            "HOOP-2008",
            "2023-11-15T08:00:00",
        ),
        (from("networks: [192.168.0.0/16]"), &ada, "HOOP-2009", "network"),
        (with("  limits: {sessions: 3}\n"), &ada, "HOOP-2010", "hoop sessions kill"),
        (from("end_to_end_only: true"), &ada, "HOOP-2011", "hoop connect demo-pg"),
        (from("reason: true, networks: [192.168.0.0/16]"), &no_mfa, "HOOP-2009", "hoop login"),
    ];
    for (policy, person, code, hint) in cases {
        let fault = refusal(&policy, &Asking { live_sessions: 3, ..asking(person, &pg) }).to_fault(&pg.name);
        assert_eq!(fault.code.as_str(), code, "{fault}");
        assert!(fault.hint.as_deref().unwrap().contains(hint), "{fault}");
    }
    let locked = Person { locked: true, ..ada };
    assert_eq!(refusal(&with(""), &asking(&locked, &pg)).to_fault(&pg.name).code.as_str(), "HOOP-2002");
}

#[test]
fn approvers_approve_for_others_only() {
    let policy = with("  conditions: {approval: {approvers: {users: [Bob, ada], groups: [leads]}}}\n");
    let rule = rule_name("r");
    assert!(policy.may_approve(&decider(&person("bob", &[])), &rule, None));
    assert!(policy.may_approve(&decider(&person("eve", &["leads"])), &rule, None));
    let own = person("ada", &["leads"]);
    assert!(!policy.may_approve(&Decider { is_concerned: true, ..decider(&own) }, &rule, None));
    for (person, rule) in [
        (person("eve", &["engineers", "Leads", "admins"]), "r"),
        (person("bob", &["leads"]), "other"),
        (Person { locked: true, ..person("bob", &["leads"]) }, "r"),
        (Person { kind: PersonKind::Service, ..person("bob", &["leads"]) }, "r"),
    ] {
        assert!(!policy.may_approve(&decider(&person), &rule_name(rule), None), "{person:?}");
    }
    assert!(!with("").may_approve(&decider(&person("bob", &["leads"])), &rule, None), "the rule needs none");
    let off = with("  enabled: false\n  conditions: {approval: {approvers: {users: [bob]}}}\n");
    assert!(!off.may_approve(&decider(&person("bob", &[])), &rule, None));
    let wanted = with("  become: x\n  conditions: {approval: {approvers: {users: [bob]}, count: 2}}\n");
    let (ada, pg) = (person("ada", &[]), connection("demo-pg", &[]));
    let wanted = wanted.approval_wanted(&rule, &asking(&ada, &pg)).unwrap();
    assert_eq!((wanted.approval.count, wanted.target_user.unwrap().as_str()), (2, "x"));
    assert_eq!(wanted.statement_rule, None);
}

#[test]
fn a_role_decides_where_the_rule_names_it_and_nowhere_else() {
    use DecidingRole::{Admin, Approver};
    let eve = person("eve", &[]);
    let may = |approvers: &str, role| {
        let policy = with(&format!("  conditions: {{approval: {{approvers: {{{approvers}}}}}}}\n"));
        policy.may_approve(&Decider { role, ..decider(&eve) }, &rule_name("r"), None)
    };
    for (approvers, role, wanted) in [
        ("roles: [approver]", Some(Approver), true),
        ("roles: [approver]", Some(Admin), false),
        ("roles: [approver]", None, false),
        ("roles: [admin, approver]", Some(Admin), true),
        ("roles: [admin]", Some(Approver), false),
        // A role alone decides nothing, an admin's neither.
        ("users: [bob]", Some(Approver), false),
        ("users: [bob]", Some(Admin), false),
        ("groups: [approver, admin]", Some(Admin), false),
        ("users: [eve]", None, true),
    ] {
        assert_eq!(may(approvers, role), wanted, "{approvers} {role:?}");
    }
    let policy = with("  conditions: {approval: {approvers: {roles: [approver, admin]}}}\n");
    let robot = service("robot");
    let robot = Decider { role: Some(Approver), ..decider(&robot) };
    assert!(!policy.may_approve(&robot, &rule_name("r"), None), "no program approves");
    let own = Decider { role: Some(Admin), is_concerned: true, ..decider(&eve) };
    assert!(!policy.may_approve(&own, &rule_name("r"), None), "never one's own");
}

#[test]
fn an_account_for_administration_alone_opens_nothing() {
    let policy = with("");
    let ada = Person { only_administers: true, ..person("ada", &["engineers"]) };
    let pg = connection("demo-pg", &[]);
    let refused = refusal(&policy, &asking(&ada, &pg));
    assert_eq!(refused, Refusal::OnlyAdministers);
    assert_eq!(refused.to_fault(&pg.name).code.as_str(), "HOOP-2015");
    assert_eq!(policy.what_can_reach(&ada, [&pg]).count(), 0);
}

proptest! {
    /// Whatever is allowed ends, later than now and not later than the longest duration.
    #[test]
    fn every_permission_ends(micros in any::<i64>(), hours in 1..720_u64, from in 0..24_u32) {
        let to = (from + 9) % 24;
        let policy = with(&format!(
            "  limits: {{duration: {hours}h}}\n  conditions: {{mfa: {{max_age: 30d}}, times: [{{from: \"{from:02}:00\", to: \"{to:02}:00\", zone: America/New_York}}]}}\n"));
        let now = Timestamp::from_micros(micros);
        let ada = Person { mfa: Some(MfaProof { at: now, method: MfaMethod::Idp }), ..person("ada", &["engineers"]) };
        if let Ok(permission) = policy.decide(&asking(&ada, &connection("demo-pg", &[])), now) {
            prop_assert!(permission.ends_at > now);
            prop_assert!(permission.ends_at <= now.after(minutes(60 * hours.min(10))), "the window, with an hour of DST");
        }
    }
}

#[test]
fn who_gets_in_already_may_ask_for_an_earlier_rule() {
    let rule = |name: &str, more: &str| {
        format!(
            "- {{name: {name}, subjects: {{groups: [engineers]}}, connections: {{names: [demo-pg]}}{more}}}\n"
        )
    };
    let asked = ", conditions: {approval: {approvers: {groups: [leads]}}}";
    let more = ", conditions: {end_to_end_only: true, approval: {approvers: {groups: [leads]}}}";
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[]));
    let better = |rules: &[String]| {
        let policy = policy(&format!("version: 1\nrules:\n{}", rules.concat()));
        policy.better_with_approval(&asking(&ada, &pg), NOW).map(ToString::to_string)
    };
    assert_eq!(better(&[rule("a", asked), rule("b", "")]).as_deref(), Some("a"));
    assert_eq!(better(&[rule("b", ""), rule("a", asked)]), None, "it would change nothing");
    assert_eq!(better(&[rule("a", more), rule("b", "")]), None, "an approval is not all that is missing");
    assert_eq!(better(&[rule("a", more), rule("c", asked), rule("b", "")]).as_deref(), Some("c"));
}

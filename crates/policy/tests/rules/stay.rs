//! Sessions that live, looked at again after something has changed.

use std::net::IpAddr;

use hoop_model::{RuleName, Timestamp};
use hoop_policy::{
    OnlyStatement, Rules,
    rules::{
        Approval, ConnectionFacts, Leave, Missing, OpenedBy, Person, Policy, RecordingMode, Stay, Staying,
        TargetUser, Term,
    },
};

use crate::world::{NOW, ago, approval, connection, minutes, person, policy, rule_name, with};

struct Live {
    person: Person,
    connection: ConnectionFacts,
    rule: RuleName,
    address: IpAddr,
    reason: Option<&'static str>,
    opened_at: Timestamp,
    ends_at: Timestamp,
    opened_by: OpenedBy,
    recording: RecordingMode,
    target_user: Option<TargetUser>,
    rules: Rules,
    approvals: Vec<Approval>,
    end_to_end: bool,
}

/// Opened an hour ago for eight hours, by somebody whose second factor is forgotten by now.
fn live() -> Live {
    Live {
        person: Person { mfa: None, ..person("ada", &["engineers"]) },
        connection: connection("demo-pg", &[]),
        rule: rule_name("r"),
        address: IpAddr::from([10, 1, 2, 3]),
        reason: None,
        opened_at: ago(minutes(60)),
        ends_at: NOW.after(minutes(420)),
        opened_by: OpenedBy::Rule,
        recording: RecordingMode::Bounded,
        target_user: None,
        rules: Rules::default(),
        approvals: Vec::new(),
        end_to_end: false,
    }
}

impl Live {
    fn ask(&self, policy: &Policy) -> Result<Stay, Leave> {
        let staying = Staying {
            person: &self.person,
            connection: &self.connection,
            address: self.address,
            reason: self.reason,
            opened_at: self.opened_at,
            ends_at: self.ends_at,
            rule: &self.rule,
            opened_by: self.opened_by,
            recording: self.recording,
            target_user: self.target_user.as_ref(),
            rules: &self.rules,
            approvals: &self.approvals,
            end_to_end: self.end_to_end,
        };
        policy.may_stay(&staying, NOW)
    }
}

#[test]
fn who_becomes_an_admin_leaves_where_administration_is_apart() {
    let mut live = live();
    assert!(live.ask(&with("")).is_ok());
    live.person.only_administers = true;
    assert_eq!(live.ask(&with("")), Err(Leave::OnlyAdministers));
    live.opened_by = OpenedBy::BreakGlass;
    assert_eq!(live.ask(&with("")), Err(Leave::OnlyAdministers));
}

#[test]
fn what_has_not_changed_stays_and_is_not_asked_for_a_second_factor() {
    let stay = live().ask(&with("")).unwrap();
    assert_eq!((stay.rule, stay.ends_at), (rule_name("r"), NOW.after(minutes(420))));
    assert!(live().ask(&with("  limits: {sessions: 1}\n")).is_ok(), "the number is not asked again");
    let elsewhere =
        "version: 1\nrules: [{name: other, subjects: {users: [ada]}, connections: {names: [\"*\"]}}]";
    assert_eq!(live().ask(&policy(elsewhere)).unwrap().rule, rule_name("other"), "another rule keeps it");
}

/// THREATS A12: the rules change under a session that lives.
#[test]
fn a_rule_that_changes_ends_what_it_does_not_allow() {
    let none = "version: 1\nrules: []";
    assert_eq!(live().ask(&policy(none)), Err(Leave::NotAllowed));
    let with_conditions = |conditions: &str| with(&format!("  conditions: {{{conditions}}}\n"));
    for (what, policy) in [
        ("off", with("  enabled: false\n")),
        ("network", with_conditions("networks: [192.168.0.0/16]")),
        ("window", with_conditions("times: [{from: \"08:00\", to: \"18:00\", zone: UTC}]")),
        ("reason", with_conditions("reason: true")),
        ("approval", with_conditions("approval: {approvers: {groups: [leads]}}")),
        ("end to end", with_conditions("end_to_end_only: true")),
        ("duration", with("  limits: {duration: 1h}\n")),
        ("recording", with("  limits: {recording: strict}\n")),
        ("user", with("  become: clinic_ro\n")),
    ] {
        assert!(live().ask(&policy).is_err(), "{what}");
    }
}

/// THREATS A11, A12: the person or the session is not what it was.
#[test]
fn a_person_who_changes_loses_the_session() {
    type Spoil = fn(&mut Live);
    let spoils: [(&str, Leave, Spoil); 9] = [
        ("locked", Leave::Locked, |l| l.person.locked = true),
        ("the group is gone", Leave::NotAllowed, |l| l.person.groups.clear()),
        ("the connection has another name", Leave::NotAllowed, |l| l.connection = connection("x", &[])),
        ("its time is over", Leave::Over, |l| l.ends_at = NOW),
        ("its time as the rule has it is over", Leave::Over, |l| l.opened_at = ago(minutes(480))),
        ("its statements", Leave::Terms { rule: rule_name("r"), term: Term::Statements }, |l| {
            l.rules.statements = serde_saphyr::from_str("[{name: a, action: allow}]").unwrap();
        }),
        ("it replicates", Leave::Terms { rule: rule_name("r"), term: Term::Replication }, |l| {
            l.rules.allow_replication = true;
        }),
        ("it forwards", Leave::Terms { rule: rule_name("r"), term: Term::Forwarding }, |l| {
            l.rules.forwarding = [hoop_policy::Forwarding::Local].into();
        }),
        ("it is another user", Leave::Terms { rule: rule_name("r"), term: Term::TargetUser }, |l| {
            l.target_user = Some("postgres".parse().unwrap());
        }),
    ];
    for (what, leave, spoil) in spoils {
        let mut live = live();
        spoil(&mut live);
        let outcome = live.ask(&with(""));
        assert_eq!(outcome, Err(leave), "{what}");
        let fault = outcome.unwrap_err().to_fault();
        assert!(["HOOP-2002", "HOOP-2004", "HOOP-2012"].contains(&fault.code.as_str()), "{fault}");
    }
}

#[test]
fn shorter_limits_shorten_the_session_and_longer_ones_do_not_lengthen_it() {
    let shorter = live().ask(&with("  limits: {duration: 2h, idle: 5m}\n")).unwrap();
    assert_eq!((shorter.ends_at, shorter.idle_timeout), (NOW.after(minutes(60)), minutes(5)));
    let longer = live().ask(&with("  limits: {duration: 30d}\n")).unwrap();
    assert_eq!(longer.ends_at, NOW.after(minutes(420)));
    // 22:13 by the clock: the window closes at 23:00.
    let window =
        live().ask(&with("  conditions: {times: [{from: \"20:00\", to: \"23:00\", zone: UTC}]}\n")).unwrap();
    assert_eq!(window.ends_at, "2023-11-14T23:00:00Z".parse().unwrap());
}

/// THREATS A13: an approval that is revoked, over, or for something else keeps nothing.
#[test]
fn an_approval_that_ends_takes_the_session_with_it() {
    let rule = with("  conditions: {approval: {approvers: {groups: [leads]}, longest: 2h}}\n");
    let mut live = live();
    live.approvals = vec![approval("ada", "r", "demo-pg", NOW.after(minutes(30)))];
    assert_eq!(live.ask(&rule).unwrap().ends_at, NOW.after(minutes(30)));
    live.approvals[0].until = NOW.after(minutes(10_000));
    assert_eq!(live.ask(&rule).unwrap().ends_at, NOW.after(minutes(60)), "two hours from its start");
    let one = Some(OnlyStatement::new("select 1", "clinic"));
    for spoiled in [
        vec![],
        vec![Approval { only: one, ..approval("ada", "r", "demo-pg", NOW.after(minutes(30))) }],
        vec![approval("ada", "r", "demo-pg", NOW)],
        vec![approval("bob", "r", "demo-pg", NOW.after(minutes(30)))],
        vec![approval("ada", "r", "other", NOW.after(minutes(30)))],
        vec![approval("ada", "s", "demo-pg", NOW.after(minutes(30)))],
    ] {
        live.approvals = spoiled;
        let Err(Leave::Missing { what, .. }) = live.ask(&rule) else {
            panic!("stays by {:?}", live.approvals)
        };
        assert!(matches!(what[..], [Missing::Approval { .. }]));
    }
}

#[test]
fn an_emergency_is_kept_by_its_own_kind_of_rule_only() {
    let emergency = policy(
        "version: 1\nrules: []\nbreak_glass: [{name: b, subjects: {users: [ada]}, connections: {names: [\"*\"]}, limits: {duration: 90m}}]",
    );
    let ordinary = with("");
    let mut live = live();
    live.rule = rule_name("b");
    live.opened_by = OpenedBy::BreakGlass;
    live.recording = RecordingMode::Strict;
    let stay = live.ask(&emergency).unwrap();
    assert_eq!((stay.rule, stay.ends_at), (rule_name("b"), NOW.after(minutes(30))));
    assert_eq!(live.ask(&ordinary), Err(Leave::NotAllowed));
    live.recording = RecordingMode::Bounded;
    assert!(matches!(live.ask(&emergency), Err(Leave::Terms { term: Term::Recording, .. })));
    live.opened_by = OpenedBy::Capability;
    assert!(live.ask(&emergency).is_ok(), "the gateway was away: its agent kept each record at once");
    assert_eq!(live.ask(&ordinary), Err(Leave::NotAllowed), "not under any rule");
    live.opened_by = OpenedBy::BreakGlass;
    live.recording = RecordingMode::Strict;
    live.opened_at = ago(minutes(90));
    assert_eq!(live.ask(&emergency), Err(Leave::Over));
    live.opened_at = NOW;
    live.opened_by = OpenedBy::Rule;
    assert_eq!(
        live.ask(&emergency),
        Err(Leave::NotAllowed),
        "an ordinary session is not kept by an emergency"
    );
}

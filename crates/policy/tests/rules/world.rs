//! People, connections and questions that the tests start from and then spoil.

use std::net::IpAddr;

use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, RuleName, Timestamp, UserName};
use hoop_policy::rules::{
    AccessPolicy, Approval, Asking, ConnectionFacts, Decider, MfaMethod, MfaProof, Person, PersonKind, Policy,
};

/// A Tuesday, 2023-11-14 22:13:20 UTC.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn minutes(count: u64) -> std::time::Duration {
    std::time::Duration::from_secs(60 * count)
}

/// Earlier than `NOW`.
pub(crate) fn ago(duration: std::time::Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap();
    Timestamp::from_micros(NOW.as_micros() - micros)
}

pub(crate) fn person(name: &str, groups: &[&str]) -> Person {
    Person {
        name: UserName::new(name).unwrap(),
        kind: PersonKind::Human,
        groups: groups.iter().map(|group| GroupName::new(*group).unwrap()).collect(),
        locked: false,
        only_administers: false,
        mfa: Some(MfaProof { at: ago(minutes(1)), method: MfaMethod::Totp }),
    }
}

/// Somebody without a role, asked about somebody else.
pub(crate) const fn decider(person: &Person) -> Decider<'_> {
    Decider { person, role: None, is_concerned: false }
}

pub(crate) fn service(name: &str) -> Person {
    Person { kind: PersonKind::Service, mfa: None, ..person(name, &[]) }
}

pub(crate) fn connection(name: &str, labels: &[(&str, &str)]) -> ConnectionFacts {
    let label =
        |(key, value): &(&str, &str)| (LabelKey::new(*key).unwrap(), LabelValue::new(*value).unwrap());
    ConnectionFacts { name: ConnectionName::new(name).unwrap(), labels: labels.iter().map(label).collect() }
}

pub(crate) fn asking<'a>(person: &'a Person, connection: &'a ConnectionFacts) -> Asking<'a> {
    Asking {
        person,
        connection,
        address: IpAddr::from([10, 1, 2, 3]),
        reason: None,
        end_to_end: false,
        only: None,
        reading: None,
        approvals: &[],
        live_sessions: 0,
    }
}

pub(crate) fn rule_name(name: &str) -> RuleName {
    RuleName::new(name).unwrap()
}

pub(crate) fn approval(person: &str, rule: &str, connection: &str, until: Timestamp) -> Approval {
    Approval {
        person: UserName::new(person).unwrap(),
        rule: rule_name(rule),
        connection: ConnectionName::new(connection).unwrap(),
        target_user: None,
        only: None,
        statement_rule: None,
        until,
    }
}

pub(crate) fn read(yaml: &str) -> AccessPolicy {
    AccessPolicy::from_yaml(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

pub(crate) fn policy(yaml: &str) -> Policy {
    Policy::compile(read(yaml))
}

/// One rule for engineers and demo-pg, with more lines below it (two spaces deeper than `- name`).
pub(crate) fn with(more: &str) -> Policy {
    policy(&format!(
        "version: 1\nrules:\n- name: r\n  subjects: {{groups: [engineers]}}\n  connections: {{names: [demo-pg]}}\n{more}"
    ))
}

/// Every field there is.
pub(crate) const FULL: &str = r#"version: 1
rules:
  - name: clinic-engineers
    description: Engineers in the clinic's databases
    enabled: true
    subjects: {users: [ada], groups: [engineers], service_accounts: [ci]}
    connections: {names: [demo-pg], labels: {env: [prod, staging]}}
    conditions:
      mfa: {max_age: 12h, methods: [totp, passkey]}
      times: [{days: [mon, fri], from: "08:00", to: "18:00", zone: Europe/Berlin}]
      networks: [10.0.0.0/8, "2001:db8::/32"]
      reason: true
      approval:
        approvers: {groups: [leads]}
        count: 2
        longest: 4h
      end_to_end_only: true
    limits: {duration: 8h, idle: 30m, sessions: 5, recording: strict}
    become: clinic_ro
    allow_replication: false
    statements: [{name: claims, action: deny, verbs: [truncate], tables: ["billing.*"], without_where: true}, {name: read, action: allow, classes: [read]}]
break_glass:
  - name: oncall
    subjects: {groups: [oncall]}
    connections: {names: ["*"]}
    mfa: {max_age: 5m, methods: [passkey]}
    limits: {duration: 1h, idle: 15m}
    review_before_next_use: true
    reviewers: {groups: [security]}
"#;

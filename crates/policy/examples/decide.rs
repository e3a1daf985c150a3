//! How long a decision takes: 10,000 rules, 100,000 people in 20 groups each. `cargo xtask bench policy` runs it.
//!
//! Prints `case value unit` a line. The wall clock is that of the example, not of the crate.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::{fmt::Write as _, net::IpAddr, time::Instant};

use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, Timestamp, UserName};
use hoop_policy::rules::{
    AccessPolicy, Asking, ConnectionFacts, MfaMethod, MfaProof, Person, PersonKind, Policy,
};

const RULES: usize = 10_000;
const PEOPLE: usize = 100_000;
const GROUPS: usize = 2_000;
const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// Spreads numbers without a source of chance: each run is the same.
const fn scatter(number: usize) -> usize {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17) % 1_000_003
}

fn rules() -> String {
    let mut yaml = "version: 1\nrules:\n".to_owned();
    for n in 0..RULES {
        let (one, two, value) = (scatter(n) % GROUPS, scatter(n + RULES) % GROUPS, n % 50);
        writeln!(
            yaml,
            "- {{name: r{n}, subjects: {{users: [p{n}], groups: [g{one}, g{two}]}}, connections: {{names: [c{n}], \
             labels: {{env: [e{value}, prod]}}}}, conditions: {{reason: true, networks: [10.0.0.0/8], \
             times: [{{days: [mon, tue, wed], from: \"06:00\", to: \"23:30\", zone: Europe/Berlin}}]}}}}"
        )
        .unwrap();
    }
    yaml
}

fn person(number: usize) -> Person {
    let groups = (0..20).map(|n| GroupName::new(format!("g{}", scatter(number * 20 + n) % GROUPS)).unwrap());
    Person {
        name: UserName::new(format!("p{number}")).unwrap(),
        kind: PersonKind::Human,
        groups: groups.collect(),
        locked: false,
        only_administers: false,
        mfa: Some(MfaProof { at: NOW, method: MfaMethod::Totp }),
    }
}

fn connection(number: usize) -> ConnectionFacts {
    let label = (LabelKey::new("env").unwrap(), LabelValue::new(format!("e{}", number % 60)).unwrap());
    ConnectionFacts { name: ConnectionName::new(format!("c{number}")).unwrap(), labels: [label].into() }
}

/// The worst person: in every group there is, and refused by each rule.
fn everywhere(policy: &Policy) -> f64 {
    let groups = (0..GROUPS).map(|n| GroupName::new(format!("g{n}")).unwrap()).collect();
    let person = Person { groups, ..person(0) };
    let mut taken = Vec::new();
    for n in 0..1_000 {
        let connection = connection(n);
        let asking = Asking {
            person: &person,
            connection: &connection,
            address: IpAddr::from([192, 168, 0, 1]),
            reason: None,
            end_to_end: false,
            only: None,
            reading: None,
            approvals: &[],
            live_sessions: 0,
        };
        let begun = Instant::now();
        assert!(policy.decide(&asking, NOW).is_err());
        taken.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    taken[990]
}

/// A rule with a condition in Rego: what an evaluation costs, its stack and its input among it.
fn when() {
    let policy = "version: 1\nmodules:\n  m: |\n    package m\n    open if {\n      input.request.time.hour >= 8\n      some g in \
                  input.person.groups\n      startswith(g, \"g\")\n    }\nrules:\n- {name: r, subjects: {users: [p0]}, connections: \
                  {names: [c0]}, conditions: {when: data.m.open}}\n";
    let policy = Policy::compile(AccessPolicy::from_yaml(policy).unwrap());
    let (person, connection) = (person(0), connection(0));
    let asking = Asking {
        person: &person,
        connection: &connection,
        address: IpAddr::from([10, 1, 2, 3]),
        reason: None,
        end_to_end: false,
        only: None,
        reading: None,
        approvals: &[],
        live_sessions: 0,
    };
    let mut taken = Vec::new();
    for _ in 0..5_000 {
        let begun = Instant::now();
        assert!(policy.decide(&asking, NOW).is_ok());
        taken.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    println!("policy.when.p50 {:.2} us", taken[2_500]);
    // No p99, which is judged: starting a thread takes what else the machine does.
    println!("policy.when.p95 {:.2} us", taken[4_750]);
}

fn main() {
    when();
    let started = Instant::now();
    let policy = Policy::compile(AccessPolicy::from_yaml(&rules()).unwrap());
    println!("policy.load {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let everybody: Vec<_> = (0..PEOPLE).map(person).collect();
    println!("policy.everywhere.p99 {:.2} us", everywhere(&policy));
    // With a reason many get in; without one each rule about the person is walked to the end.
    for (case, reason) in [("decide", Some("ticket 1")), ("refuse", None)] {
        let mut taken = Vec::with_capacity(PEOPLE);
        let mut allowed = 0_u32;
        for (number, person) in everybody.iter().enumerate() {
            let connection = connection(scatter(number) % 5_000);
            let asking = Asking {
                person,
                connection: &connection,
                address: IpAddr::from([10, 1, 2, 3]),
                reason,
                end_to_end: false,
                only: None,
                reading: None,
                approvals: &[],
                live_sessions: 0,
            };
            let begun = Instant::now();
            let answer = policy.decide(&asking, NOW);
            taken.push(begun.elapsed().as_secs_f64() * 1e6);
            allowed += u32::from(answer.is_ok());
        }
        taken.sort_by(f64::total_cmp);
        for (name, permille) in [("p50", 500), ("p99", 990), ("p999", 999)] {
            println!("policy.{case}.{name} {:.2} us", taken[PEOPLE * permille / 1000]);
        }
        println!("policy.{case}.allowed {allowed} people");
    }
}

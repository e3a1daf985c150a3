//! Tests of rule files: cases that pass, cases that must not, and what is counted as covered.

use hoop_policy::{
    StatementAction,
    cases::{CaseError, CaseReport, Cases, Coverage, Decided},
    rules::{AccessPolicy, Policy},
};

use crate::world::policy;

const RULES: &str = r#"version: 1
rules:
- name: analysts
  subjects: {groups: [analysts]}
  connections: {labels: {app: [clinic]}}
  conditions:
    networks: [10.0.0.0/8]
    times: [{from: "08:00", to: "18:00", zone: UTC}]
  statements:
  - {name: no-billing, action: deny, tables: ["billing.*"]}
  - {name: read, action: allow, classes: [read]}
- name: production
  subjects: {groups: [analysts]}
  connections: {names: [pg-prod]}
  conditions: {reason: true, approval: {approvers: {groups: [leads]}, count: 2}}
- name: off
  enabled: false
  subjects: {groups: [analysts]}
  connections: {names: [pg-prod]}
break_glass:
- {name: oncall, subjects: {groups: [oncall]}, connections: {names: ["*"]}}
"#;

const GIVEN: &str = "version: 1
given:
  at: 2026-03-02T09:30:00Z
  address: 10.1.2.3
  person: {name: ada, groups: [analysts]}
  mfa: {by: passkey, age: 5m}
  connection: {name: pg-clinic, labels: {app: clinic}}
cases:
";

fn run(cases: &str) -> (Vec<CaseReport>, Coverage) {
    let policy = policy(RULES);
    let cases = Cases::from_yaml(&format!("{GIVEN}{cases}")).unwrap();
    let mut coverage = Coverage::of(policy.document());
    (cases.run(&policy, &mut coverage), coverage)
}

/// What differs in the one case there is.
fn differs(case: &str) -> Vec<String> {
    run(&format!("- {{name: one, {case}}}")).0.remove(0).differs
}

#[test]
fn each_kind_of_answer_can_be_expected() {
    for as_expected in [
        "expect: {allow: analysts}",
        "given: {at: 2026-03-02T18:00:00Z}, expect: {refuse: HOOP-2008}",
        "given: {address: 192.0.2.1}, expect: {refuse: HOOP-2009}",
        "given: {mfa: {by: none}}, expect: {refuse: HOOP-2003}",
        "given: {mfa: {by: totp, age: 13h}}, expect: {refuse: HOOP-2003}",
        "given: {person: {name: eve}}, expect: {refuse: HOOP-2001}",
        "given: {person: {name: ada, groups: [analysts], locked: true}}, expect: {refuse: HOOP-2002}",
        "given: {person: {name: ci, kind: service, groups: [analysts]}}, expect: {refuse: HOOP-2001}",
        "given: {connection: {name: pg-prod}, reason: INC-1}, expect: {ask: production}",
        "given: {connection: {name: pg-prod}}, expect: {refuse: HOOP-2007}",
        "given: {connection: {name: pg-prod}, reason: INC-1, \
         approvals: [{rule: production, until: 2026-03-02T10:00:00Z}]}, expect: {allow: production}",
        "given: {connection: {name: pg-prod}, reason: INC-1, \
         approvals: [{rule: production, until: 2026-03-02T09:00:00Z}]}, expect: {ask: production}",
        "given: {connection: {name: pg-prod}, reason: INC-1, \
         approvals: [{rule: production, person: eve, until: 2026-03-02T10:00:00Z}]}, expect: {ask: production}",
        "given: {emergency: true, reason: INC-1, mfa: {by: totp}, person: {name: bo, groups: [oncall]}}, \
         expect: {allow: oncall}",
        "given: {emergency: true, reason: INC-1, mfa: {by: totp, age: 6m}, person: {name: bo, groups: [oncall]}}, \
         expect: {refuse: HOOP-2003}",
    ] {
        assert_eq!(differs(as_expected), [] as [&str; 0], "{as_expected}");
    }
}

#[test]
fn what_is_not_as_expected_fails_and_says_what_differs() {
    for (case, what) in [
        ("expect: {allow: production}", "expected rule production to allow it, but rule analysts allows it"),
        ("expect: {refuse: HOOP-2001}", "expected a refusal with HOOP-2001, but rule analysts allows it"),
        (
            "given: {person: {name: eve}}, expect: {allow: analysts}",
            "expected rule analysts to allow it, but it is refused with HOOP-2001: no access rule allows this",
        ),
        (
            "given: {connection: {name: pg-prod}, reason: INC-1}, expect: {refuse: HOOP-2007}",
            "expected a refusal with HOOP-2007, but rule production wants it approved",
        ),
        (
            "expect: {allow: analysts}, statements: [{text: \"select * from billing.claims\", expect: allow}]",
            "statement 1 (select * from billing.claims): expected to be allowed, but is denied by no-billing",
        ),
        (
            "expect: {allow: analysts}, statements: [{text: \"insert into a.b values (1)\", expect: allow, rule: read}]",
            "statement 1 (insert into a.b values (1)): expected to be allowed by read, but is denied: no rule fits",
        ),
        (
            "expect: {allow: analysts}, statements: [{text: \"select 1\", expect: allow, rule: no-billing}]",
            "statement 1 (select 1): expected to be allowed by no-billing, but is allowed by read",
        ),
        (
            "given: {person: {name: eve}}, expect: {refuse: HOOP-2001}, statements: [{text: select 1, expect: deny}]",
            "no statement was tried, for nobody was let in",
        ),
    ] {
        assert_eq!(differs(case), [what], "{case}");
    }
}

#[test]
fn commands_are_tried_against_the_rules_about_them() {
    let rules = RULES.replace(
        "- name: production",
        "  commands:
  - {name: no-reboot, action: deny, text: [reboot]}
  - {name: look, action: allow, text: [uptime, 'df .*']}
- name: production",
    );
    let policy = policy(&rules);
    let run = |commands: &str| {
        let case = format!("{GIVEN}- {{name: one, expect: {{allow: analysts}}, commands: [{commands}]}}");
        let mut coverage = Coverage::of(policy.document());
        let report = Cases::from_yaml(&case).unwrap().run(&policy, &mut coverage).remove(0);
        (report.differs, coverage.figures().0)
    };
    let all = "{text: uptime, expect: allow, rule: look}, {text: reboot, expect: deny, rule: no-reboot}, \
        {text: uptime -p, expect: deny}";
    assert_eq!(run(all), (vec![], 3));
    for (command, what) in [
        ("{text: reboot, expect: allow}", "expected to be allowed, but is denied by no-reboot"),
        ("{text: uptime;id, expect: allow}", "expected to be allowed, but is denied: no rule fits"),
        // The shell would run `id`: this is what such a test is for.
        ("{text: df -h;id, expect: deny}", "expected to be denied, but is allowed by look"),
    ] {
        let differs = run(command).0.remove(0);
        assert!(differs.ends_with(what), "{differs}");
    }
}

#[test]
fn rules_about_commands_that_mean_nothing_are_refused() {
    for (wrong, what) in [
        (
            "commands: [{name: a, action: allow, text: [x]}, {name: a, action: deny, text: [y]}]",
            "give each its own",
        ),
        ("commands: [{name: no-billing, action: allow, text: [x]}]", "give each its own"),
        ("commands: [{name: a, action: allow, text: [x], message: no}]", "for rules that deny"),
        ("commands: [{name: a, action: allow, text: []}]", "an empty list"),
        ("commands: []", "an empty list"),
        ("commands: [{name: a, action: allow}]", "text"),
        ("commands: [{name: a, action: ask, text: [x]}]", "ask"),
        ("commands: [{name: a, action: allow, text: ['(']}]", "no regular expression"),
        ("commands: [{name: a, action: allow, text: ['^x']}]", "leave them out"),
        ("masking: {hosts: detect, detect: false}", "without detectors"),
        ("masking: {hosts: maybe}", "maybe"),
    ] {
        let rules = RULES.replace("- name: production", &format!("  {wrong}\n- name: production"));
        let error = AccessPolicy::from_yaml(&rules).unwrap_err().to_string();
        assert!(error.contains(what), "{wrong}: {error}");
    }
}

#[test]
fn what_decided_is_covered_and_nothing_else() {
    let (reports, coverage) = run("
- {name: refused, given: {person: {name: eve}}, expect: {refuse: HOOP-2001}}
- {name: asked, given: {connection: {name: pg-prod}, reason: x}, expect: {ask: production}}
- name: read
  expect: {allow: analysts}
  statements:
  - {text: select 1; select 2, expect: allow, rule: read}
  - {text: insert into a.b values (1), expect: deny}
");
    assert!(reports.iter().all(|report| report.passed), "{reports:?}");
    let counted: Vec<_> = coverage
        .rules()
        .iter()
        .map(|covered| {
            let statement = covered.statement.as_ref().map(|name| name.as_str());
            (covered.rule.as_str(), statement, covered.decided)
        })
        .collect();
    assert_eq!(
        counted,
        [
            ("analysts", None, 1),
            ("analysts", Some("no-billing"), 0),
            ("analysts", Some("read"), 2),
            ("production", None, 0),
            ("oncall", None, 0),
        ],
        "a rule that is off could not decide; one that asks has let nobody in"
    );
    assert_eq!((coverage.figures(), coverage.percent()), ((2, 5), 40));
    assert_eq!(Coverage::default().percent(), 100, "of nothing, all is covered");
}

#[test]
fn an_admin_opens_nothing_where_administration_is_kept_apart() {
    let admin = "{name: one, given: {person: {name: ada, groups: [analysts], role: admin}}, expect: {allow: analysts}}";
    let policy = policy(RULES);
    let mut coverage = Coverage::default();
    for (apart, passes) in [("", true), ("separate_admins: true\n", false)] {
        let cases = Cases::from_yaml(&format!("{apart}{GIVEN}- {admin}")).unwrap();
        let report = cases.run(&policy, &mut coverage).remove(0);
        assert_eq!(report.passed, passes, "{report:?}");
        let refused = matches!(report.decided, Decided::Refuse { code, .. } if code == "HOOP-2015");
        assert_eq!(refused, !passes);
    }
}

#[test]
fn a_file_that_is_none_is_refused_with_its_place() {
    let error = |text: &str| Cases::from_yaml(text).unwrap_err();
    let case = "expect: {allow: analysts}}\n";
    for (text, line, message) in [
        (format!("{GIVEN}- {{name: a, {case}- {{name: a, {case}"), 10, "another case is called"),
        (format!("{GIVEN}- {{name: \"a\\e[2J\", {case}"), 9, "a case's name"),
        (format!("{GIVEN}- {{name: \"\", {case}"), 9, "a case's name"),
        (format!("{GIVEN}- {{name: a, given: {{day: mon}}, {case}"), 9, "unknown field"),
        (format!("{GIVEN}- {{name: a, expect: {{refuse: NO}}}}"), 9, "four digits"),
        (format!("{GIVEN}- {{name: a, expect: {{permit: analysts}}}}"), 9, "unknown variant"),
        (format!("{GIVEN}- {{name: a}}"), 9, "missing field"),
        (format!("version: 1\ncases:\n- {{name: a, {case}"), 3, "nothing is said about `at`"),
        ("version: 2\ncases: []\n".into(), 1, "version 2 is not known"),
    ] {
        let error = error(&text);
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.place().unwrap().line, line, "{error}");
    }
    let many = format!("{GIVEN}{}", "- {name: a, expect: {allow: a}}\n".repeat(10_001));
    assert!(matches!(error(&many), CaseError::TooMany { found: 10_001, .. }));
    assert_eq!(error(&many).to_fault().code.as_str(), "HOOP-2016");
    assert_eq!(StatementAction::Deny, serde_json::from_str("\"deny\"").unwrap());
}

#[test]
fn a_case_says_whether_answers_are_masked() {
    let rules = "version: 1
rules:
- {name: a, subjects: {groups: [g]}, connections: {names: [pg]}}
- {name: b, subjects: {groups: [h]}, connections: {names: [pg]}, masking: none}
";
    let cases = |group: &str, masked: &str| {
        let text = format!(
            "version: 1
cases:
- name: x
  given: {{at: 2026-03-02T09:30:00Z, address: 10.0.0.1, mfa: {{by: totp}}, connection: {{name: pg}}, person: {{name: ada, groups: [{group}]}}}}
  expect: {{allow: {}}}
  masked: {masked}
",
            if group == "g" { "a" } else { "b" }
        );
        let document = AccessPolicy::from_yaml(rules).unwrap();
        let mut coverage = Coverage::of(&document);
        let report = Cases::from_yaml(&text).unwrap().run(&Policy::compile(document), &mut coverage);
        report[0].differs.concat()
    };
    assert_eq!((cases("g", "true"), cases("h", "false")), (String::new(), String::new()));
    assert_eq!(cases("g", "false"), "expected answers to be shown as they are, but they are masked");
    assert_eq!(cases("h", "true"), "expected answers to be masked, but they are shown as they are");
    assert!(cases("nobody", "true").contains("nobody was let in"));
}

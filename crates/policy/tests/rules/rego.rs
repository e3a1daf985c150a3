//! Conditions in Rego: what lets somebody in, and all that does not. Modules here are wrong on purpose.

use std::collections::BTreeMap;

use hoop_policy::rego::{Answer, ModuleError, ModuleName, Modules, When};
use hoop_policy::rules::{
    AccessPolicy, ConnectionFacts, Diff, Leave, Missing, OpenedBy, Person, Policy, PolicyError, Problem,
    Refusal, Staying,
};
use hoop_policy::{Action, BoundValue, Denial, Masking, Rules, Warrant};
use serde_json::{Value, json};

use crate::world::{NOW, asking, connection, person, policy, read};

fn sources(list: &[(&str, &str)]) -> BTreeMap<ModuleName, String> {
    list.iter().map(|(name, text)| (ModuleName::new(name).unwrap(), (*text).to_owned())).collect()
}

fn module(body: &str) -> Modules {
    Modules::compile(sources(&[("m", &format!("package a\n{body}\n"))])).unwrap()
}

fn ask(body: &str, input: &Value) -> Answer {
    module(body).ask(&"data.a.r".parse().unwrap(), input)
}

fn refused(text: &str) -> ModuleError {
    Modules::compile(sources(&[("m", text)])).unwrap_err()
}

#[test]
fn only_exactly_true_holds() {
    let input = json!({"n": 1, "groups": ["a", "b"]});
    for (body, answer) in [
        ("r if input.n == 1", Answer::True),
        ("r if { some g in input.groups; g == \"b\" }", Answer::True),
        ("r if net.cidr_contains(\"10.0.0.0/8\", \"10.1.2.3\")", Answer::True),
        ("r if regex.match(`^a+$`, input.groups[0])", Answer::True),
        ("r if input.n == 2", Answer::Undefined),
        ("r if input.nothing.there", Answer::Undefined),
        ("default r := false\nr if input.n == 2", Answer::False),
        ("r := 1", Answer::OtherType),
        ("r := \"true\"", Answer::OtherType),
        ("r := null", Answer::OtherType),
        ("r := {true}", Answer::OtherType),
        ("r contains true", Answer::OtherType),
    ] {
        assert_eq!(ask(body, &input), answer, "{body}");
    }
}

/// What fails must not become true by a `not`, nor by the other value of a rule that has several.
#[test]
fn what_fails_does_not_hold_whatever_is_made_of_it() {
    for body in [
        "r if no_such_function(1)",
        "r if not no_such_function(1)",
        "r if to_number(\"x\") == 1",
        "r if not startswith(1, \"a\")",
        "r := true\nr := false",
        "r if r",
        "r if not s\ns if not r",
    ] {
        // Some of these are found when they are compiled, which is as good.
        let text = format!("package a\n{body}\n");
        let Ok(modules) = Modules::compile(sources(&[("m", &text)])) else { continue };
        let answer = modules.ask(&"data.a.r".parse().unwrap(), &json!({}));
        assert!(matches!(answer, Answer::Failed { .. }), "{body}: {answer:?}");
    }
}

#[test]
fn what_makes_much_of_little_is_refused() {
    for call in [
        "numbers.range(1, 100000000000)",
        "numbers.range_step(1, 100000000000, 1)",
        "bits.lsh(1, 4000000000)",
        "sprintf(\"%999999999d\", [1])",
        "net.cidr_expand(\"::/0\")",
        "rand.intn(\"x\", 10)",
        "to_number(\"1e999999999\")",
        "units.parse(\"1e999999999\")",
        "replace(\"aaa\", \"a\", \"b\")",
        "concat(\"x\", [\"a\", \"b\"])",
        "json.unmarshal(\"1\")",
        "json.marshal(1)",
        "print(1)",
        "trace(\"x\")",
    ] {
        for body in
            [format!("r if {call}"), format!("r if not {call}"), format!("r if count([1 | {call}]) == 0")]
        {
            let answer = ask(&body, &json!({}));
            let Answer::Failed { error } = answer else { panic!("{body}: {answer:?}") };
            assert!(error.contains("is not allowed here"), "{error}");
        }
    }
    let detour = "package a\nr if f(1, 100000000000) with f as numbers.range\nf(x, y) := 1\n";
    if let Ok(modules) = Modules::compile(sources(&[("m", detour)])) {
        let answer = modules.ask(&"data.a.r".parse().unwrap(), &json!({}));
        assert!(matches!(answer, Answer::Failed { .. }), "{answer:?}");
    }
    for absent in ["http.send({})", "time.now_ns()", "opa.runtime()", "uuid.rfc4122(\"x\")"] {
        let answer = ask(&format!("r if {absent}"), &json!({}));
        assert!(matches!(answer, Answer::Failed { .. }), "{absent}: {answer:?}");
    }
}

#[test]
fn what_takes_too_long_does_not_hold() {
    let many: Vec<u32> = (0..200).collect();
    let body = "r if not s\ns if { some a in input.l; some b in input.l; some c in input.l; some d in input.l; a + b + c + d > 9000000 }";
    let begun = std::time::Instant::now();
    assert_eq!(ask(body, &json!({ "l": many })), Answer::OutOfTime);
    assert!(begun.elapsed().as_secs() < 20, "1.6 billion steps were not taken");
}

/// As deep as may be written: an answer, not a crash.
#[test]
fn the_deepest_that_may_be_written_is_answered() {
    let chain: String = (0..998).map(|n| format!("r{n} if r{}\n", n + 1)).collect();
    let answer = ask(&format!("r if r0\n{chain}r998 := true"), &json!({}));
    assert!(matches!(answer, Answer::True | Answer::OutOfTime), "{answer:?}");
    let sums: String = (0..300).map(|n| format!("r{n} := 0{} + r{}\n", "+1".repeat(90), n + 1)).collect();
    let answer = ask(&format!("r if r0 == 27000\n{sums}r300 := 0"), &json!({}));
    assert!(matches!(answer, Answer::True | Answer::OutOfTime), "{answer:?}");
}

#[test]
fn what_is_no_module_is_refused_with_its_line() {
    for (text, line) in [
        ("package a\nx if {\n", 3),
        ("package a\nallow { true }\n", 2),
        ("package a\n\nallow if y\n", 3),
        ("allow := true\n", 1),
        ("package a\nx := 1e999999999\n", 2),
        ("package a\nx := [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 2),
    ] {
        let error = refused(text);
        let ModuleError::Unusable { module, line: found, .. } = &error else { panic!("{error}") };
        assert_eq!((module.to_string().as_str(), *found), ("m", line), "{error}");
    }
    assert!(matches!(refused(&format!("package a\n{}", "#".repeat(65_536))), ModuleError::TooLong { .. }));
    let large = format!("package a\n{}", "#\n".repeat(30_000));
    let names: Vec<_> = (0..5).map(|n| format!("m{n}")).collect();
    let five: Vec<_> = names.iter().map(|name| (name.as_str(), large.as_str())).collect();
    let error = Modules::compile(sources(&five)).unwrap_err();
    assert!(matches!(error, ModuleError::TooMany { what: "bytes", .. }), "{error}");
    let rules: String = (0..1_001).map(|n| format!("r{n} := 1\n")).collect();
    assert!(matches!(refused(&format!("package a\n{rules}")), ModuleError::TooMany { what: "rules", .. }));
}

const RULES: &str = "version: 1
modules:
  hours: |
    package hours
    open if {
      input.request.time.hour >= 20
      \"engineers\" in input.person.groups
      input.connection.labels.env == \"prod\"
    }
    late if input.request.time.hour >= 23
    odd := 1
rules:
- name: r
  subjects: {groups: [engineers]}
  connections: {names: [demo-pg]}
  conditions: {when: data.hours.WHICH}
";

fn rules(which: &str) -> String {
    RULES.replace("WHICH", which)
}

#[test]
fn a_condition_that_does_not_hold_refuses_with_its_own_code() {
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[("env", "prod")]));
    let open = policy(&rules("open"));
    assert!(open.decide(&asking(&ada, &pg), NOW).is_ok(), "it is 22:13");
    for (which, answer) in [("late", Answer::Undefined), ("odd", Answer::OtherType)] {
        let refusal = policy(&rules(which)).decide(&asking(&ada, &pg), NOW).unwrap_err();
        let path: When = format!("data.hours.{which}").parse().unwrap();
        let Refusal::Missing { what, .. } = &refusal else { panic!("{refusal}") };
        assert_eq!(what, &[Missing::When { path, answer }]);
        let fault = refusal.to_fault(&pg.name);
        assert_eq!(fault.code.as_str(), "HOOP-2017");
        assert!(fault.message.starts_with(&format!("condition data.hours.{which} does not hold")), "{fault}");
    }
    let other = connection("demo-pg", &[("env", "test")]);
    assert!(open.decide(&asking(&ada, &other), NOW).is_err(), "another label");
}

#[test]
fn a_rule_file_with_modules_is_written_and_read_back() {
    let read_back = |policy: &AccessPolicy| read(&policy.to_yaml().unwrap());
    let first = read(&rules("open"));
    assert_eq!(read_back(&first), first);
    let json = serde_json::to_string(&first).unwrap();
    assert_eq!(AccessPolicy::from_json(&json).unwrap(), first);
    let other = read(&rules("open").replace(">= 20", ">= 21"));
    assert_ne!(first, other, "the sources are part of it");
    let diff = Diff::between(&first, &other);
    assert!(!diff.is_empty() && diff.to_string().starts_with("~ module hours: 1"), "{diff}");
}

#[test]
fn a_rule_file_that_cannot_be_asked_is_refused_with_its_place() {
    let refused = |text: &str| AccessPolicy::from_yaml(text).unwrap_err();
    for (text, code, line, message) in [
        (rules("nothing"), "HOOP-2014", 13, "rule r: `when` or `unless` names data.hours.nothing"),
        (
            rules("open").replace("package hours", "package other"),
            "HOOP-2014",
            13,
            "no module has such a rule",
        ),
        (rules("open.a-b"), "HOOP-2013", 16, "names no rule of a module"),
        (rules("open").replace("late if", "late {"), "HOOP-2014", 10, "module hours, line 7: "),
    ] {
        let error = refused(&text);
        assert_eq!(error.to_fault().code.as_str(), code, "{error}");
        assert_eq!(error.place().unwrap().line, line, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    let alone = "version: 1\nrules:\n- {name: r, subjects: {users: [a]}, connections: {names: [b]}, conditions: {when: data.a.b}}\n";
    assert!(
        matches!(refused(alone), PolicyError::Senseless { problem: Problem::NoSuchRule { .. }, .. }),
        "there are no modules at all"
    );
}

/// A condition of one rule costs nothing where another decides, and is asked once however many rules share it.
#[test]
fn an_outcome_is_explained() {
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[]));
    let considered = policy(&rules("open")).explain(&asking(&ada, &pg), NOW);
    let shown = serde_json::to_value(&considered).unwrap();
    assert_eq!(
        shown[0]["outcome"]["what"][0],
        json!({"kind": "when", "path": "data.hours.open", "answer": {"kind": "undefined"}})
    );
}

const STATEMENTS: &str = "version: 1
modules:
  s: |
    package s
    # Nobody reads more than the table of their own ward.
    own if {
      some t in input.statement.tables
      t == concat_free[input.connection.labels.ward]
    }
    concat_free := {\"7\": \"clinic.ward_7\", \"8\": \"clinic.ward_8\"}
    default night := false
    night if input.reason == \"night\"
    broken if no_such_function(1)
    slow if { some a in input.person.groups; a == \"x\" }
    secret if contains(input.statement.text, \"secret\")
rules:
- name: r
  subjects: {groups: [engineers]}
  connections: {names: [demo-pg]}
  statements:
WHICH
";

fn allowed(rules: &str, reason: &str, text: &str) -> Result<(), Denial> {
    let policy = policy(&STATEMENTS.replace("WHICH", rules));
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[("ward", "7")]));
    let question = hoop_policy::rules::Asking { reason: Some(reason), ..asking(&ada, &pg) };
    let terms = policy.decide(&question, NOW).unwrap();
    // As it reaches the agent.
    let rules: Rules = serde_json::from_str(&serde_json::to_string(&terms.rules).unwrap()).unwrap();
    assert_eq!(rules, terms.rules);
    let warrant = Warrant::new(rules, terms.ends_at);
    let dialect = hoop_sql::Dialect::Postgres(hoop_sql::postgres::Mode::default());
    warrant.decide(&Action::Statement { text: text.as_bytes(), dialect }, NOW).map(drop)
}

#[test]
fn a_condition_of_a_statement_rule_counts_against_the_statement() {
    let own = "  - {name: own, action: allow, classes: [read], when: data.s.own}";
    assert_eq!(allowed(own, "x", "select * from clinic.ward_7"), Ok(()));
    assert!(allowed(own, "x", "select * from clinic.ward_8").is_err());
    assert!(allowed(own, "x", "select * from clinic.ward_7; select * from clinic.ward_8").is_err());
    assert!(allowed(own, "x", "delete from clinic.ward_7").is_err(), "the other conditions hold as well");
    for path in ["own", "broken"] {
        let rules = format!("  - {{name: own, action: allow, when: data.s.{path}}}");
        assert!(allowed(&rules, "x", "select 1").is_err(), "{path}: what has no value allows nothing");
    }
    let denying = |path: &str| {
        format!("  - {{name: no, action: deny, when: data.s.{path}}}\n  - {{name: all, action: allow}}")
    };
    assert_eq!(allowed(&denying("night"), "day", "select 1"), Ok(()), "exactly false");
    for (path, reason, why) in [
        ("night", "night", "true"),
        ("own", "x", "no value"),
        ("broken", "x", "an error"),
        ("concat_free", "x", "another type"),
    ] {
        let Err(Denial::Statement { rule, .. }) = allowed(&denying(path), reason, "select 1") else {
            panic!("{why} denies")
        };
        assert_eq!(rule.unwrap().as_str(), "no", "{why}");
    }
}

#[test]
fn a_text_of_many_statements_is_asked_about_so_often_and_no_more() {
    let rules = "  - {name: own, action: allow, when: data.s.own}";
    let text = |count| "select * from clinic.ward_7;".repeat(count);
    assert_eq!(allowed(rules, "x", &text(3)), Ok(()));
    assert!(allowed(rules, "x", &text(101)).is_err());
}

#[test]
fn a_session_ends_when_its_statements_would_be_held_against_others() {
    let rules = STATEMENTS.replace("WHICH", "  - {name: own, action: allow, when: data.s.own}");
    let (mut ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[("ward", "7")]));
    let terms = policy(&rules).decide(&asking(&ada, &pg), NOW).unwrap();
    let stays = |policy: &Policy, person: &Person, connection: &ConnectionFacts| {
        let staying = Staying {
            person,
            connection,
            address: [10, 1, 2, 3].into(),
            reason: None,
            opened_at: NOW,
            ends_at: terms.ends_at,
            rule: &terms.rule,
            opened_by: OpenedBy::Rule,
            recording: terms.recording,
            target_user: None,
            rules: &terms.rules,
            approvals: &[],
            end_to_end: true,
        };
        policy.may_stay(&staying, NOW).is_ok()
    };
    let changed = policy(&rules.replace("clinic.ward_8", "clinic.ward_9"));
    assert!(stays(&policy(&rules), &ada, &pg));
    assert!(!stays(&changed, &ada, &pg), "another module");
    assert!(!stays(&policy(&rules), &ada, &connection("demo-pg", &[("ward", "8")])), "another label");
    ada.groups.insert(hoop_model::GroupName::new("leads").unwrap());
    assert!(!stays(&policy(&rules), &ada, &pg), "another group");
}

const PURPOSES: &str = "version: 1
modules:
  p: |
    package p
    care if startswith(input.request.reason, \"treatment: \")
    day if input.request.time.hour < 23
    no := false
    odd := \"true\"
    broken if no_such_function(1)
    slow if { some a in [1]; not broken }
rules:
- name: r
  subjects: {groups: [engineers]}
  connections: {names: [demo-pg]}
  masking: {modes: {ssn: partial}, unless: data.p.WHICH}
break_glass:
- name: e
  subjects: {groups: [engineers]}
  connections: {names: [demo-pg]}
  masking: {unless: data.p.WHICH}
";

#[test]
fn answers_are_shown_if_a_condition_is_exactly_true_and_masked_otherwise() {
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[]));
    let ssn = "modes: {ssn: partial}";
    let masked = policy(&PURPOSES.replace(", unless: data.p.WHICH", "").replace("unless: data.p.WHICH", ssn));
    let masked = masked.decide(&asking(&ada, &pg), NOW).unwrap().rules.masking;
    assert_ne!(masked, Masking::None);
    for (which, reason, shown) in [
        ("care", "treatment: bed 7", true),
        ("care", "curiosity", false),
        ("no", "treatment: bed 7", false),
        ("odd", "treatment: bed 7", false),
        ("broken", "treatment: bed 7", false),
        ("slow", "treatment: bed 7", false),
    ] {
        let policy = policy(&PURPOSES.replace("WHICH", which));
        let question = hoop_policy::rules::Asking { reason: Some(reason), ..asking(&ada, &pg) };
        let rules = policy.decide(&question, NOW).unwrap().rules;
        assert_eq!(rules.masking, if shown { Masking::None } else { masked.clone() }, "{which}, {reason}");
        let carried = serde_json::to_string(&rules).unwrap();
        assert!(!carried.contains("unless") && !carried.contains("data.p"), "the outcome only: {carried}");
        let emergency = policy.break_glass(&question, NOW).unwrap().rules.masking;
        assert_eq!(emergency == Masking::None, shown, "{which}, {reason}");
    }
    let nobody_asks = policy(&PURPOSES.replace("WHICH", "care"));
    for rules in
        [nobody_asks.document().rules()[0].requests(), nobody_asks.document().break_glass()[0].requests()]
    {
        assert!(rules.masking.rules().is_some_and(|rules| rules.unless.is_none()));
    }
}

#[test]
fn what_is_shown_because_of_a_condition_is_asked_again() {
    let (ada, pg) = (person("ada", &["engineers"]), connection("demo-pg", &[]));
    let shown = |which: &str| {
        let question = hoop_policy::rules::Asking { reason: Some("treatment: bed 7"), ..asking(&ada, &pg) };
        policy(&PURPOSES.replace("WHICH", which)).decide(&question, NOW).unwrap()
    };
    let stays = |terms: &hoop_policy::rules::Permission, rules: &str, now| {
        let staying = Staying {
            person: &ada,
            connection: &pg,
            address: [10, 1, 2, 3].into(),
            reason: Some("treatment: bed 7"),
            opened_at: NOW,
            ends_at: terms.ends_at,
            rule: &terms.rule,
            opened_by: OpenedBy::Rule,
            recording: terms.recording,
            target_user: None,
            rules: &terms.rules,
            approvals: &[],
            end_to_end: true,
        };
        policy(rules).may_stay(&staying, now).map(drop)
    };
    let (day, care) = (PURPOSES.replace("WHICH", "day"), PURPOSES.replace("WHICH", "care"));
    // NOW is 22:13.
    let (later, term) = (NOW.after(std::time::Duration::from_secs(3600)), hoop_policy::rules::Term::Masking);
    let over = Err(Leave::Terms { rule: "r".parse().unwrap(), term });
    assert_eq!(stays(&shown("day"), &day, NOW), Ok(()));
    assert_eq!(stays(&shown("day"), &day, later), over);
    assert_eq!(stays(&shown("care"), &care, later), Ok(()));
    assert_eq!(stays(&shown("care"), &PURPOSES.replace("WHICH", "no"), NOW), over);
    assert_eq!(stays(&shown("no"), &care, NOW), Ok(()), "what is masked stays so");
    assert_eq!(stays(&shown("no"), &care.replace("partial", "redact"), NOW), over);
}

#[test]
fn a_condition_on_masking_must_name_a_rule() {
    for text in [PURPOSES.replacen("WHICH", "nothing", 1), PURPOSES.replacen("WHICH", "care", 1)] {
        let error = AccessPolicy::from_yaml(&text.replace("WHICH", "nothing")).unwrap_err();
        assert!(error.to_string().contains("`when` or `unless` names data.p.nothing"), "{error}");
    }
}

#[test]
fn modules_for_statements_fit_into_a_grant() {
    let large = format!("    # {}\n", "x".repeat(90)).repeat(400);
    let more = format!("  t: |\n    package t\n{large}  u: |\n    package u\n{large}rules:");
    let with = |rule: &str| STATEMENTS.replace("WHICH", rule).replace("rules:", &more);
    let error =
        AccessPolicy::from_yaml(&with("  - {name: own, action: allow, when: data.s.own}")).unwrap_err();
    assert!(
        matches!(error, PolicyError::Senseless { problem: Problem::TooMuchForGrants { .. }, .. }),
        "{error}"
    );
    assert!(AccessPolicy::from_yaml(&with("  - {name: own, action: allow}")).is_ok(), "without `when`");
    let nothing = STATEMENTS.replace("WHICH", "  - {name: own, action: allow, when: data.s.nothing}");
    assert!(AccessPolicy::from_yaml(&nothing).is_err());
}

/// As much of JSON Schema as ours uses. What it does not know fails.
fn fits(schema: &Value, value: &Value, at: &str) {
    for (word, wanted) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "$id" | "title" | "description" | "format" | "required" => {}
            "type" => {
                let name = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                let allowed = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                assert!(allowed.iter().any(|allowed| allowed == name), "{at} is of type {name}");
            }
            "enum" => assert!(wanted.as_array().unwrap().contains(value), "{at} is {value}"),
            "minimum" => assert!(value.as_i64() >= wanted.as_i64(), "{at} is {value}"),
            "maximum" => assert!(value.as_i64() <= wanted.as_i64(), "{at} is {value}"),
            "items" => value.as_array().into_iter().flatten().for_each(|item| fits(wanted, item, at)),
            "properties" => {
                let Some(object) = value.as_object() else { continue };
                let names: Vec<_> = wanted.as_object().unwrap().keys().collect();
                assert_eq!(object.keys().collect::<Vec<_>>(), names, "{at}: each is there, and no other");
                object.iter().for_each(|(name, value)| fits(&wanted[name], value, &format!("{at}.{name}")));
            }
            "additionalProperties" if wanted.is_object() => {
                value.as_object().unwrap().values().for_each(|value| fits(wanted, value, at));
            }
            "additionalProperties" => assert_eq!(wanted, false, "{at}"),
            other => panic!("{at}: {other} is not known here"),
        }
    }
}

#[test]
fn what_conditions_see_of_a_statement_is_as_its_schema_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy-statement-input.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(page).unwrap()).unwrap();
    let policy = policy(
        "version: 1\nmodules: {m: \"package m\\nimport rego.v1\\nyes := true\"}\n\
         rules: [{name: r, subjects: {users: [ada]}, connections: {names: [\"*\"]}, statements: [{name: a, action: allow, when: data.m.yes}]}]",
    );
    let (ada, pg) = (person("ada", &["leads"]), connection("demo-pg", &[("env", "prod")]));
    let rego = policy.decide(&asking(&ada, &pg), NOW).unwrap().rules.rego.unwrap();
    let values = [
        BoundValue::Text("7".into()),
        BoundValue::Null,
        BoundValue::Binary(vec![0, 255].into()),
        BoundValue::Cut,
        BoundValue::Text("x".repeat(70_000).into()),
    ];
    for text in ["update a.b set c = f($1) where d = 'x'", "do $$ $$", "select '", "begin"] {
        let reading =
            hoop_sql::read(text.as_bytes(), hoop_sql::Dialect::Postgres(hoop_sql::postgres::Mode::default()));
        let input = rego.input(&reading.statements[0], &values);
        fits(&schema, &input, "input");
        let seen = json!(["7", null, {"binary": "00ff"}, {"cut": true}, {"cut": true}]);
        assert_eq!(input["statement"]["parameters"], seen);
    }
}

/// The document as a module sees it: a rule whose name tells what it saw.
#[test]
fn the_input_document_is_as_its_schema_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy-input.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(page).unwrap()).unwrap();
    let mut ada = person("ada", &["engineers", "leads"]);
    let pg = connection("demo-pg", &[("env", "prod")]);
    for (mfa, reason) in [(ada.mfa, Some("INC-1")), (None, None)] {
        ada.mfa = mfa;
        let question = hoop_policy::rules::Asking { reason, ..asking(&ada, &pg) };
        let input = question.input(NOW).into_json();
        fits(&schema, &input, "input");
        assert_eq!(input["request"]["mfa"]["age_seconds"], mfa.map_or(Value::Null, |_| json!(60)));
        assert_eq!(input["request"]["time"]["rfc3339"], "2023-11-14T22:13:20.000000Z");
        assert_eq!(input["person"]["groups"], json!(["engineers", "leads"]));
    }
}

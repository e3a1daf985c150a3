//! Rule files: what is refused and where it is said to be; what is read is printed and read again.

use hoop_policy::rules::{AccessPolicy, LONGEST_FILE, PolicyError};
use proptest::prelude::*;

use crate::world::{FULL, read};

fn refused(yaml: &str) -> PolicyError {
    match AccessPolicy::from_yaml(yaml) {
        Err(error) => error,
        Ok(policy) => panic!("accepted: {policy:?}\n{yaml}"),
    }
}

/// Where in `text` the mark `needle` stands, counted from 1.
fn place(text: &str, needle: &str) -> (u64, u64) {
    let at = text.find(needle).unwrap();
    let line = text[..at].matches('\n').count() + 1;
    let column = at - text[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
    (line as u64, column as u64)
}

#[test]
fn every_field_is_read_and_kept() {
    let policy = read(FULL);
    let printed = policy.to_yaml().unwrap();
    assert_eq!(read(&printed), policy);
    assert_eq!(read(&printed).to_yaml().unwrap(), printed, "printing is canonical");
    let json = serde_json::to_string(&policy).unwrap();
    assert_eq!(AccessPolicy::from_json(&json).unwrap(), policy);
    assert_eq!(serde_json::from_str::<AccessPolicy>(&json).unwrap(), policy);
    assert_eq!(policy.rules()[0].target_user.as_ref().unwrap().as_str(), "clinic_ro");
}

#[test]
fn absent_fields_have_the_strict_defaults() {
    let policy = read(
        "version: 1\nrules: [{name: r, subjects: {users: [ada]}, connections: {names: [pg]}}]\n\
         break_glass: [{name: b, subjects: {users: [ada]}, connections: {names: [pg]}, mfa: {methods: [totp]}}]",
    );
    let rule = serde_json::to_value(&policy.rules()[0]).unwrap();
    assert_eq!(rule["conditions"]["mfa"]["max_age"], "12h");
    assert_eq!(rule["limits"], serde_json::json!({"duration": "8h", "idle": "30m", "recording": "bounded"}));
    let emergency = serde_json::to_value(&policy.break_glass()[0]).unwrap();
    assert_eq!(emergency["mfa"], serde_json::json!({"max_age": "5m", "methods": ["totp"]}));
    assert_eq!(emergency["limits"], serde_json::json!({"duration": "1h", "idle": "15m"}));
    assert_eq!(emergency["review_before_next_use"], true);
}

#[test]
fn only_roles_that_decide_stand_in_a_rule_and_only_where_somebody_decides() {
    let with_roles =
        FULL.replacen("approvers: {groups: [leads]}", "approvers: {roles: [approver, admin]}", 1);
    let read = AccessPolicy::from_yaml(&with_roles).unwrap();
    assert_eq!(AccessPolicy::from_yaml(&read.to_yaml().unwrap()).unwrap(), read);
    for (old, new) in [
        ("approvers: {groups: [leads]}", "approvers: {roles: [user]}"),
        ("approvers: {groups: [leads]}", "approvers: {roles: [auditor]}"),
        ("approvers: {groups: [leads]}", "approvers: {roles: [Approver]}"),
        ("approvers: {groups: [leads]}", "approvers: {roles: []}"),
        ("subjects: {users", "subjects: {roles: [approver], users"),
        ("subjects: {groups: [oncall]", "subjects: {roles: [admin], groups: [oncall]"),
    ] {
        let yaml = FULL.replacen(old, new, 1);
        assert_ne!(yaml, FULL, "{old:?} is in the file");
        assert!(matches!(refused(&yaml), PolicyError::Unreadable { .. }), "{new}");
    }
}

/// A field nobody knows, put into every mapping there is.
#[test]
fn an_unknown_field_is_refused_at_every_level_with_its_place() {
    let places = [
        ("version: 1\n", "version: 1\nsurprise: 1\n"),
        ("- name: clinic-engineers\n", "- name: clinic-engineers\n    surprise: 1\n"),
        ("subjects: {users", "subjects: {surprise: 1, users"),
        ("connections: {names: [demo-pg]", "connections: {surprise: 1, names: [demo-pg]"),
        ("conditions:\n", "conditions:\n      surprise: 1\n"),
        ("mfa: {max_age: 12h", "mfa: {surprise: 1, max_age: 12h"),
        ("times: [{days", "times: [{surprise: 1, days"),
        ("approval:\n", "approval:\n        surprise: 1\n"),
        ("approvers: {groups", "approvers: {surprise: 1, groups"),
        ("limits: {duration: 8h", "limits: {surprise: 1, duration: 8h"),
        ("statements: [{name", "statements: [{surprise: 1, name"),
        ("- name: oncall\n", "- name: oncall\n    surprise: 1\n"),
        ("subjects: {groups: [oncall]", "subjects: {surprise: 1, groups: [oncall]"),
        ("connections: {names: [\"*\"]", "connections: {surprise: 1, names: [\"*\"]"),
        ("mfa: {max_age: 5m", "mfa: {surprise: 1, max_age: 5m"),
        ("limits: {duration: 1h", "limits: {surprise: 1, duration: 1h"),
        ("reviewers: {groups", "reviewers: {surprise: 1, groups"),
    ];
    for (old, new) in places {
        let yaml = FULL.replacen(old, new, 1);
        assert_ne!(yaml, FULL, "{old:?} is in the file");
        let (line, column) = place(&yaml, "surprise");
        let message = refused(&yaml).to_string();
        assert!(message.starts_with(&format!("line {line}, column {column}: ")), "{message}\n{yaml}");
        assert!(message.contains("surprise"), "{message}");
    }
}

#[test]
fn an_unknown_field_in_json_is_refused_with_its_place() {
    let json = "{\"version\": 1,\n \"rules\": [],\n \"surprise\": 1}";
    let message = AccessPolicy::from_json(json).unwrap_err().to_string();
    assert!(message.starts_with("line 3, column "), "{message}");
    for json in
        ["", "null", "[]", "{}", "{\"rules\": []}", "{\"version\": 2, \"rules\": []}", "{\"version\": 1}"]
    {
        assert!(AccessPolicy::from_json(json).is_err(), "{json}");
        assert!(serde_json::from_str::<AccessPolicy>(json).is_err(), "{json}");
    }
}

/// What a line of the full file is replaced with, and what the message must say.
#[test]
fn a_bad_value_is_refused_with_its_place_and_what_to_write() {
    let cases = [
        ("version: 1", "version: 2", "version: 1"),
        ("version: 1", "version: one", ""),
        ("name: clinic-engineers", "name: Clinic", "'C'"),
        ("name: clinic-engineers", "name: \"a b\"", "' '"),
        ("name: clinic-engineers", "name: \"a\\u202eb\"", "must not contain"),
        ("name: clinic-engineers", "name: \"a\\nb\"", "must not contain"),
        ("enabled: true", "enabled: yes", ""),
        ("enabled: true", "enabled: ~", ""),
        ("enabled: true", "enabled: 1", ""),
        ("users: [ada]", "users: [\"ada,bob\"]", "','"),
        ("users: [ada]", "users: [\"*\"]", "'*'"),
        ("users: [ada]", "users: []", "leave the field out"),
        ("users: [ada]", "users: ~", ""),
        ("users: [ada]", "users: [~]", ""),
        ("users: [ada]", "users: ada", ""),
        ("groups: [engineers]", "groups: [\"eng*\"]", "'*'"),
        ("names: [demo-pg]", "names: [\"demo-*\"]", "'*'"),
        ("names: [demo-pg]", "names: []", "leave the field out"),
        ("labels: {env: [prod, staging]}", "labels: {}", "leave the field out"),
        ("labels: {env: [prod, staging]}", "labels: {env: []}", "leave the field out"),
        ("labels: {env: [prod, staging]}", "labels: {Env: [prod]}", "'E'"),
        ("labels: {env: [prod, staging]}", "labels: {env: [\"pr\\0d\"]}", "must not contain"),
        ("mfa: {max_age: 12h, methods: [totp, passkey]}", "mfa: false", ""),
        ("mfa: {max_age: 12h, methods: [totp, passkey]}", "mfa: none", ""),
        ("max_age: 12h", "max_age: 0s", "must not be 0"),
        ("max_age: 12h", "max_age: 12", "8h"),
        ("max_age: 12h", "max_age: -1h", "8h"),
        ("methods: [totp, passkey]", "methods: []", "leave the field out"),
        ("methods: [totp, passkey]", "methods: [sms]", "passkey"),
        ("methods: [totp, passkey]", "methods: [TOTP]", "totp"),
        ("days: [mon, fri]", "days: []", "leave the field out"),
        ("days: [mon, fri]", "days: [monday]", "mon"),
        ("from: \"08:00\"", "from: \"8:00\"", "08:00"),
        ("from: \"08:00\"", "from: 480", "08:00"),
        ("zone: Europe/Berlin", "zone: Europe/Bergamo", "IANA"),
        ("zone: Europe/Berlin", "zone: CET-1", "IANA"),
        (", zone: Europe/Berlin", "", "zone"),
        ("networks: [10.0.0.0/8, \"2001:db8::/32\"]", "networks: []", "leave the field out"),
        ("networks: [10.0.0.0/8, \"2001:db8::/32\"]", "networks:", ""),
        ("10.0.0.0/8", "10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.0/8", "all", "10.0.0.0/8"),
        ("reason: true", "reason: maybe", ""),
        ("reason: true", "reason:", ""),
        ("count: 2", "count: -1", ""),
        ("count: 2", "count: 2.5", ""),
        ("count: 2", "count: 300", ""),
        ("sessions: 5", "sessions: ~", ""),
        ("recording: strict", "recording: off", "bounded"),
        ("recording: strict", "recording: none", "bounded"),
        ("become: clinic_ro", "become: \"\"", "1 to 63"),
        ("become: clinic_ro", "become: ~", ""),
        ("become: clinic_ro", "become: \"a\\x1b[2Jb\"", "visible"),
        ("end_to_end_only: true", "end_to_end_only: !!str true", ""),
        ("end_to_end_only: true", "<<: {reason: false}", ""),
        ("end_to_end_only: true", "reason: false", ""),
    ];
    for (old, new, says) in cases {
        let yaml = FULL.replacen(old, new, 1);
        assert_ne!(yaml, FULL, "{old:?} is in the file");
        let error = refused(&yaml);
        let PolicyError::Unreadable { place, message } = &error else { panic!("{error}") };
        assert!(message.contains(says), "{new:?}: {message}");
        assert!(
            place.line >= 1 && place.column >= 1 && message.chars().all(|c| !c.is_control()),
            "{message:?}"
        );
        let fault = error.to_fault();
        assert_eq!(fault.code.as_str(), "HOOP-2013");
        assert!(fault.hint.is_some());
    }
}

/// `approval:` with everything below it commented out must not turn into "no approval".
#[test]
fn a_condition_without_a_value_is_refused() {
    let without =
        FULL.replace("        approvers: {groups: [leads]}\n        count: 2\n        longest: 4h\n", "");
    assert_ne!(without, FULL);
    refused(&without);
    for null in ["~", "null", "{}", "[]", "false"] {
        refused(&without.replace("approval:\n", &format!("approval: {null}\n")));
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_rule_and_its_line() {
    let cases = [
        ("name: oncall", "name: clinic-engineers", "its own"),
        ("subjects: {users: [ada], groups: [engineers], service_accounts: [ci]}", "subjects: {}", "nobody"),
        ("{names: [demo-pg], labels: {env: [prod, staging]}}", "{}", "selects nothing"),
        ("names: [demo-pg]", "names: [\"*\"]", "\"*\""),
        ("to: \"18:00\"", "to: \"08:00\"", "24:00"),
        ("from: \"08:00\"", "from: \"24:00\"", "00:00"),
        ("name: read, action", "name: claims, action", "another statement rule has the name claims"),
        ("verbs: [truncate]", "verbs: [TRUNCATE]", "small letters"),
        ("action: deny, verbs", "action: allow, verbs", "for rules that deny"),
        ("count: 2", "count: 0", "1 to 10"),
        ("count: 2", "count: 11", "1 to 10"),
        ("approvers: {groups: [leads]}", "approvers: {}", "nobody"),
        ("longest: 4h", "longest: 31d", "30d"),
        ("duration: 8h", "duration: 31d", "30d"),
        ("idle: 30m", "idle: 721h", "30d"),
        ("max_age: 12h", "max_age: 31d", "30d"),
        ("sessions: 5", "sessions: 0", "from 1"),
        ("sessions: 5", "sessions: 4294967295", "from 1"),
        ("Engineers in the clinic's databases", "\"\\e[2J\"", "control"),
    ];
    for (old, new, says) in cases {
        let yaml = FULL.replacen(old, new, 1);
        assert_ne!(yaml, FULL, "{old:?} is in the file");
        let error = refused(&yaml);
        let PolicyError::Senseless { place: Some(place), rule: Some(rule), .. } = &error else {
            panic!("{error}")
        };
        let line = if yaml.contains("- name: oncall") { 3 } else { place.line };
        assert_eq!(place.line, line);
        assert!(["clinic-engineers", "oncall"].contains(&rule.as_str()));
        assert!(error.to_string().contains(says), "{new:?}: {error}");
        assert_eq!(error.to_fault().code.as_str(), "HOOP-2014");
    }
}

#[test]
fn the_line_is_that_of_the_rule() {
    let error = refused(&FULL.replace("name: oncall", "name: clinic-engineers"));
    let PolicyError::Senseless { place: Some(place), .. } = error else { panic!("{error}") };
    assert_eq!(place.line, place_of_second_list());
}

fn place_of_second_list() -> u64 {
    place(FULL, "name: oncall").0
}

#[test]
fn what_is_no_single_document_is_refused() {
    for yaml in [
        "",
        "~",
        "[]",
        "rules: []",
        "version: 1",
        "version: 1\nrules: ~",
        "version: 1\nversion: 1\nrules: []",
        "version: 1\nrules: []\nrules: []",
        "version: 1\nrules: []\n---\nversion: 1\nrules: []",
        "version: 1\nrules: [",
        "version: 1\n\trules: []",
        "version: 1\nrules: [*nowhere]",
        "version: 1\nrules: !!python/object:os.system [x]",
        "version: 1\nrules: {}",
        "\u{0}",
    ] {
        let error = refused(yaml);
        assert!(error.to_string().starts_with("line "), "{error}");
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let error = refused(&format!("version: 1\nrules: []\n{}", "#".repeat(LONGEST_FILE)));
    assert!(matches!(error, PolicyError::TooLarge { .. }), "{error}");
    assert!(matches!(
        AccessPolicy::from_json(&" ".repeat(LONGEST_FILE + 1)),
        Err(PolicyError::TooLarge { .. })
    ));
}

#[test]
fn aliases_do_not_blow_up() {
    let mut yaml = "version: 1\nrules:\n- name: r\n  subjects:\n    users:\n".to_owned();
    yaml.push_str("      - &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (this, last) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        let many = vec![format!("*{last}"); 10].join(", ");
        yaml.push_str(&format!("      - &{this} [{many}]\n"));
    }
    refused(&yaml);
    // Also where the types fit: a list of names, taken by thousands of rules.
    let names: Vec<_> = (0..5_000).map(|n| format!("u{n}")).collect();
    let mut yaml = format!(
        "version: 1\nrules:\n- {{name: r, subjects: {{users: &u [{}]}}, connections: {{names: [pg]}}}}\n",
        names.join(", ")
    );
    for n in 0..900 {
        yaml.push_str(&format!("- {{name: r{n}, subjects: {{users: *u}}, connections: {{names: [pg]}}}}\n"));
    }
    refused(&yaml);
    refused(&format!("version: 1\nrules: {}{}", "[".repeat(10_000), "]".repeat(10_000)));
}

#[test]
fn ten_thousand_rules_are_read() {
    let mut yaml = "version: 1\nrules:\n".to_owned();
    for n in 0..10_000 {
        yaml.push_str(&format!(
            "- name: r{n}\n  subjects: {{groups: [g{n}, h{n}]}}\n  connections: {{labels: {{env: [prod, dev]}}}}\n  \
             conditions: {{reason: true, approval: {{approvers: {{groups: [leads]}}}}}}\n"
        ));
    }
    assert_eq!(read(&yaml).rules().len(), 10_000);
}

fn text(pattern: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(pattern).unwrap()
}

fn a_list(items: impl Strategy<Value = String>) -> impl Strategy<Value = serde_json::Value> {
    proptest::collection::vec(items, 1..4).prop_map(|list| serde_json::json!(list))
}

fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        text("[a-z0-9][a-z0-9._-]{0,8}"),
        "true|null|no|on|1|1e3|0x1f|1_000|y|0\\.1|nan|2023-01-01".prop_map(|s| s)
    ]
}

fn a_period() -> impl Strategy<Value = String> {
    (1..1000_u32, "[sm]").prop_map(|(n, unit)| format!("{n}{unit}"))
}

fn a_window() -> impl Strategy<Value = serde_json::Value> {
    let zone =
        prop_oneof![Just("Europe/Berlin"), Just("UTC"), Just("America/New_York"), Just("Asia/Kolkata")];
    (0..24_u32, 0..60_u32, zone, any::<bool>()).prop_map(|(hour, minute, zone, days)| {
        let mut window = serde_json::json!({
            "from": format!("{hour:02}:{minute:02}"), "to": format!("{:02}:00", (hour + 1) % 24 ), "zone": zone,
        });
        if minute == 0 && (hour + 1) % 24 == hour {
            window["to"] = "24:00".into();
        }
        if days {
            window["days"] = serde_json::json!(["mon", "sun"]);
        }
        window
    })
}

fn a_rule() -> impl Strategy<Value = serde_json::Value> {
    let conditions = (
        a_period(),
        any::<bool>(),
        proptest::option::of(a_list(a_name())),
        proptest::collection::vec(a_window(), 0..3),
    );
    let optional = (
        proptest::option::of(text("[ -~\\n]{0,200}")),
        proptest::option::of(text("[!-~]([ -~]{0,10}[!-~])?")),
    );
    let who = (a_list(a_name()), a_list(text("[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,10}")));
    (who, a_list(a_name()), conditions, optional, any::<bool>()).prop_map(
        |((users, groups), names, (max_age, reason, approvers, times), (description, target), enabled)| {
            let mut rule = serde_json::json!({
                "subjects": {"users": users, "groups": groups}, "connections": {"names": names, "labels": {"env": groups}},
                "conditions": {"mfa": {"max_age": max_age}, "reason": reason}, "limits": {"duration": max_age},
                "enabled": enabled,
            });
            if let Some(approvers) = approvers {
                rule["conditions"]["approval"] = serde_json::json!({"approvers": {"users": approvers}});
            }
            if !times.is_empty() {
                rule["conditions"]["times"] = times.into();
            }
            if let Some(description) = description {
                rule["description"] = description.into();
            }
            if let Some(target) = target {
                rule["become"] = target.into();
            }
            rule
        },
    )
}

proptest! {
    #[test]
    fn printing_and_reading_gives_the_same_rules(rules in proptest::collection::vec(a_rule(), 0..4)) {
        let mut rules = rules;
        for (n, rule) in rules.iter_mut().enumerate() {
            rule["name"] = format!("r{n}").into();
        }
        let json = serde_json::json!({"version": 1, "rules": rules}).to_string();
        let policy = AccessPolicy::from_json(&json).unwrap();
        let yaml = policy.to_yaml().unwrap();
        let again = AccessPolicy::from_yaml(&yaml).map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
        prop_assert_eq!(&again, &policy, "{}", yaml);
        prop_assert_eq!(again.to_yaml().unwrap(), yaml);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}") {
        let _ = AccessPolicy::from_yaml(&text);
        let _ = AccessPolicy::from_json(&text);
    }

    /// One character of a good file is another: refused, or read as something that prints and reads the same.
    #[test]
    fn a_spoiled_file_is_refused_or_means_what_it_prints(at in 0..FULL.len(), with in any::<char>()) {
        if FULL.is_char_boundary(at) && FULL.is_char_boundary(at + 1) {
            let spoiled = format!("{}{with}{}", &FULL[..at], &FULL[at + 1..]);
            if let Ok(policy) = AccessPolicy::from_yaml(&spoiled) {
                prop_assert_eq!(AccessPolicy::from_yaml(&policy.to_yaml().unwrap()).unwrap(), policy);
            }
        }
    }
}

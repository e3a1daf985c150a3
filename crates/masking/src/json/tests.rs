//! Values change, structure does not; whatever is no JSON is masked all the same.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::rule::MaskingKey;

fn rule(mode: Mode) -> Rule {
    Rule::new(mode, MaskingKey::new(&[9; 32]).unwrap())
}

fn masked(text: &str, mode: Mode) -> String {
    String::from_utf8(mask_json(text.as_bytes(), &Detectors::all(), &rule(mode)).bytes).unwrap()
}

#[test]
fn values_are_masked_and_all_else_stays() {
    for (text, answer) in [
        (r#" {"a" : "see 123-45-6789" , "n":1.50e3 } "#, r#" {"a" : "see [ssn]" , "n":1.50e3 } "#),
        (r#"{"ssn":123456789,"ssn2":"x"}"#, r#"{"ssn":"[ssn]","ssn2":"x"}"#),
        (
            r#"{"dateOfBirth":"1975-03-04","seen":"2020-03-04"}"#,
            r#"{"dateOfBirth":"[birth_date]","seen":"2020-03-04"}"#,
        ),
        (r#"{"date_of_birth":{"value":"1975-03-04"}}"#, r#"{"date_of_birth":{"value":"[birth_date]"}}"#),
        (r#"{"phones":["2125550123","x"]}"#, r#"{"phones":["[phone]","x"]}"#),
        (r#"{"patientName":"Xiomara Quellbrook"}"#, r#"{"patientName":"[name]"}"#),
        (r#"{"password":"abc","token_count":5}"#, r#"{"password":"[secret]","token_count":5}"#),
        (r#"{"123-45-6789":true,"x":[null,false,{},[]]}"#, r#"{"123-45-6789":true,"x":[null,false,{},[]]}"#),
        (r#""123\u002d45-6789""#, r#""[ssn]""#),
        (r#""quote \" and 123-45-6789\n""#, r#""quote \" and [ssn]\u000a""#),
        (r#"{"ssn":123456789.0}"#, r#"{"ssn":"[ssn]"}"#),
        ("\"no \\ud83d\\ude00 finding\"", "\"no \\ud83d\\ude00 finding\""),
    ] {
        assert_eq!(masked(text, Mode::Redact), answer);
    }
}

#[test]
fn numbers_stay_numbers_where_they_can() {
    let text = r#"{"ssn":123456789,"card":4111111111111111,"note":"4111111111111111"}"#;
    let fake: Value = serde_json::from_str(&masked(text, Mode::Fake)).unwrap();
    assert!(fake["ssn"].is_u64() && fake["card"].is_u64() && fake["note"].is_string());
    assert_eq!(fake["card"].to_string(), fake["note"].as_str().unwrap(), "joinable");
    assert_eq!(masked(text, Mode::Null), r#"{"ssn":null,"card":null,"note":null}"#);
    assert_eq!(masked(r#"["see 123-45-6789"]"#, Mode::Null), r#"["see "]"#);
}

#[test]
fn a_fake_number_is_none_that_readers_refuse() {
    for exponent in 100..309 {
        let text = format!(r#"{{"api_key":1.5e{exponent}}}"#);
        let fake = masked(&text, Mode::Fake);
        let read: Value =
            serde_json::from_str(&fake).unwrap_or_else(|error| panic!("{text}: {fake}: {error}"));
        assert_ne!(read, serde_json::from_str::<Value>(&text).unwrap());
    }
}

#[test]
fn what_is_no_json_is_text() {
    for text in [
        "{\"a\":123-45-6789",
        "{'a':'123-45-6789'}",
        "[\"123-45-6789\",]",
        "{\"a\":\"123-45-6789\"} x",
        "[\"123-45-6789\" \"b\"]",
        "\"123-45-6789\u{1}\"",
        "[01, \"123-45-6789\"]",
        "{\"a\" \"123-45-6789\"}",
        "[\"\\x 123-45-6789\"]",
        "123-45-6789",
    ] {
        let masked = masked(text, Mode::Redact);
        assert!(masked.contains("[ssn]") && !masked.contains("6789"), "{masked}");
    }
    let deep = |depth: usize| format!("{}\"123\\u002d45-6789\"{}", "[".repeat(depth), "]".repeat(depth));
    assert!(masked(&deep(DEEPEST_JSON), Mode::Redact).contains("[ssn]"));
    assert!(!masked(&deep(DEEPEST_JSON + 1), Mode::Redact).contains("[ssn]"), "as text, an escape hides it");
    assert_eq!(masked("", Mode::Redact), "");
}

fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        Just("123-45-6789".to_owned()),
        Just("Dr. Miller \"x\" a@b.example".to_owned()),
        "\\PC{0,6}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            "[a-z]{1,4}",
            Just("ssn".to_owned()),
            Just("name".to_owned()),
            Just("api_key".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Everything but what strings and numbers say.
fn structure(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(structure).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), structure(value))).collect())
        }
        Value::String(_) | Value::Number(_) => Value::Null,
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn the_structure_stays(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        for mode in [Mode::Redact, Mode::Partial, Mode::Hash, Mode::Null, Mode::Fake] {
            let masked = masked(&text, mode);
            let read: Value = serde_json::from_str(&masked).unwrap();
            prop_assert_eq!(structure(&read), structure(&value));
            prop_assert!(!masked.contains("123-45-6789"));
        }
        let nothing = mask_json(text.as_bytes(), &Detectors::new([]), &rule(Mode::Redact));
        prop_assert_eq!(nothing.bytes, text.into_bytes());
    }

    #[test]
    fn bytes_are_json_when_serde_says_so(text in "[\\[\\]{}\",:0-9.eE+\\-truefalsn\\\\ ]{0,24}") {
        let detectors = Detectors::all();
        let rule = rule(Mode::Redact);
        let mut reader = Reader {
            text: text.as_bytes(), at: 0, detectors: &detectors, rule: &rule, out: Vec::new(), counts: Counts::default(),
        };
        prop_assert_eq!(reader.document().is_some(), serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok());
    }
}

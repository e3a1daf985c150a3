//! Arrays and hstore stay what they are; whatever is neither is masked all the same.

use proptest::prelude::*;

use super::*;
use crate::rule::{MaskingKey, Mode};

fn rule(mode: Mode) -> Rule {
    Rule::new(mode, MaskingKey::new(&[9; 32]).unwrap())
}

fn array(text: &str, mode: Mode) -> String {
    String::from_utf8(mask_array(text.as_bytes(), &Detectors::all(), &rule(mode)).bytes).unwrap()
}

fn hstore(text: &str, mode: Mode) -> String {
    String::from_utf8(mask_hstore(text.as_bytes(), &Detectors::all(), &rule(mode)).bytes).unwrap()
}

#[test]
fn elements_are_masked_one_by_one() {
    for (text, answer) in [
        ("{a,123-45-6789,NULL}", "{a,\"[ssn]\",NULL}"),
        (r#"{"say \"123-45-6789\"","b c"}"#, r#"{"say \"[ssn]\"","b c"}"#),
        ("{{123-45-6789,b},{c, d }}", "{{\"[ssn]\",b},{c, d }}"),
        ("[0:1]={123-45-6789,b}", "[0:1]={\"[ssn]\",b}"),
        (r"{123\-45-6789}", "{\"[ssn]\"}"),
        ("{}", "{}"),
        (" { a , \"NULL\" } ", " { a , \"NULL\" } "),
        ("{DOB,1975-03-04}", "{DOB,1975-03-04}"),
    ] {
        assert_eq!(array(text, Mode::Redact), answer);
    }
    assert_eq!(array("{a,123-45-6789}", Mode::Null), "{a,NULL}");
}

#[test]
fn values_of_an_hstore_are_masked_with_their_keys_as_labels() {
    for (text, answer) in [
        (r#""dob"=>"1975-03-04", "seen"=>"2020-01-01""#, r#""dob"=>"[birth_date]", "seen"=>"2020-01-01""#),
        ("ssn=>123456789,x=>NULL", "ssn=>\"[ssn]\",x=>NULL"),
        (r#""123-45-6789"=>"x""#, r#""123-45-6789"=>"x""#),
        (r#""password"=>"a\"b""#, r#""password"=>"[secret]""#),
        ("", ""),
    ] {
        assert_eq!(hstore(text, Mode::Redact), answer);
    }
    assert_eq!(hstore("ssn=>123456789", Mode::Null), "ssn=>NULL");
}

#[test]
fn what_is_neither_is_text() {
    for text in [
        "{123-45-6789",
        "{123-45-6789}}",
        "123-45-6789",
        "{\"123-45-6789}",
        "{123-45-6789,}",
        "{{{{{{{123-45-6789}}}}}}}",
        "{a\"123-45-6789\"}",
        "{123-45-6789} x",
    ] {
        assert!(array(text, Mode::Redact).contains("[ssn]"), "{text}");
        assert_eq!(array(text, Mode::Redact), text.replace("123-45-6789", "[ssn]"), "nothing is quoted anew");
    }
    for text in
        ["a=>123-45-6789,", "a=123-45-6789", "a=>", "123-45-6789", "a=>b c=>123-45-6789", "\"a=>123-45-6789"]
    {
        assert!(!hstore(text, Mode::Redact).contains("6789"), "{text}");
    }
}

/// An array's elements as the server reads them; for tests, of one dimension.
fn read(text: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    let (mut value, mut quoted, mut inside) = (String::new(), false, false);
    let mut characters = text.strip_prefix('{').unwrap().chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.push(characters.next().unwrap()),
            '"' => (quoted, inside) = (true, !inside),
            ',' | '}' if !inside => {
                let null = !quoted && value == "NULL";
                values.push((!null).then(|| std::mem::take(&mut value)));
                value.clear();
                quoted = false;
            }
            _ => value.push(character),
        }
    }
    values
}

proptest! {
    #[test]
    fn arrays_stay_arrays(values in prop::collection::vec(prop_oneof![
        Just(None), "[ -~]{0,8}".prop_map(Some), Just(Some("x\\123-45-6789\"".to_owned())), Just(Some("a@b.example".to_owned())),
    ], 1..6)) {
        let quote = |value: &Option<String>| value.as_ref().map_or_else(
            || "NULL".to_owned(), |value| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
        let text = format!("{{{}}}", values.iter().map(quote).collect::<Vec<_>>().join(","));
        prop_assert_eq!(read(&text), values.clone());
        for mode in [Mode::Redact, Mode::Partial, Mode::Hash, Mode::Fake] {
            let expected: Vec<Option<String>> = values.iter().map(|value| value.as_ref().map(|value| {
                String::from_utf8(mask_text(value.as_bytes(), &Detectors::all(), &rule(mode)).bytes).unwrap()
            })).collect();
            prop_assert_eq!(read(&array(&text, mode)), expected);
        }
    }
}

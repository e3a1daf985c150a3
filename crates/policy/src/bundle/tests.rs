//! Bundles that were made elsewhere, changed, or made too large.

use super::*;

const RULES: &str = "version: 1\nrules:\n- {name: a, subjects: {groups: [g]}, connections: {names: [pg]}}\n";

fn key() -> (BundleKey, BundlePublicKey) {
    let (_, key) = BundleKey::generate().unwrap();
    let public = key.public().unwrap();
    (key, public)
}

fn bundle(version: u64) -> Bundle {
    let files = [("rules.yaml", RULES), ("rules.test.yaml", "version: 1\ncases: []\n")];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    Bundle { version, rules: "rules.yaml".to_owned(), files }
}

#[test]
fn what_was_signed_is_read_back() {
    let (key, public) = key();
    let text = bundle(7).sign(&key).unwrap();
    assert!(Bundle::is_one(&text) && !Bundle::is_one(RULES));
    let read = Bundle::verify(&text, &public).unwrap();
    assert_eq!(read.contents(), &bundle(7));
    assert_eq!(read.policy(), &AccessPolicy::from_yaml(RULES).unwrap());
    assert_eq!(read.sha256(), Sha256::of(text.as_bytes()));
}

#[test]
fn another_key_or_one_changed_byte_is_refused() {
    let ((ours, public), (theirs, _)) = (key(), key());
    assert_eq!(
        Bundle::verify(&bundle(7).sign(&theirs).unwrap(), &public).unwrap_err(),
        BundleError::Signature
    );
    let text = bundle(7).sign(&ours).unwrap();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert!(Bundle::verify(&changed, &public).is_err(), "byte {at}");
    }
    for changed in
        [format!("{text} "), format!("\n{text}"), text.trim_end().to_owned(), text.replace('\n', "\r\n")]
    {
        assert!(Bundle::verify(&changed, &public).is_err(), "{changed}");
    }
}

#[test]
fn what_the_key_signed_for_something_else_is_no_bundle() {
    let (key, public) = key();
    let body = serde_json::to_string(&bundle(7)).unwrap();
    for context in [&b""[..], b"hoop grant v1\n"] {
        let signature = BASE64.encode(key.sign(&[context, body.as_bytes()].concat()));
        let text = format!("{MAGIC}{signature}\n{body}");
        assert_eq!(Bundle::verify(&text, &public).unwrap_err(), BundleError::Signature);
    }
}

#[test]
fn bundles_that_make_no_sense_are_neither_made_nor_taken() {
    let (key, public) = key();
    let named = |name: &str| {
        let mut bundle = bundle(1);
        bundle.files.insert(name.to_owned(), String::new());
        bundle
    };
    let with_rules = |rules: &str| {
        let mut bundle = bundle(1);
        bundle.files.insert("rules.yaml".to_owned(), rules.to_owned());
        bundle
    };
    let many =
        Bundle { files: (0..101).map(|at| (format!("{at}.yaml"), RULES.to_owned())).collect(), ..bundle(1) };
    for wrong in [
        bundle(0),
        bundle(u64::MAX),
        named("../rules.yaml"),
        named("/etc/passwd"),
        named(".hidden"),
        named("a\u{202e}b"),
        named(""),
        named(&"a".repeat(101)),
        many,
        Bundle { rules: "other.yaml".to_owned(), ..bundle(1) },
        with_rules("version: 2\nrules: []\n"),
        with_rules(&format!("# {}\n{RULES}", "x".repeat(LONGEST_BUNDLE))),
    ] {
        assert!(wrong.sign(&key).is_err(), "{:?}", wrong.version);
        // Somebody else's program may sign it all the same.
        let body = serde_json::to_string(&wrong).unwrap();
        let signature = BASE64.encode(key.sign(&[CONTEXT, body.as_bytes()].concat()));
        let refused = Bundle::verify(&format!("{MAGIC}{signature}\n{body}"), &public).unwrap_err();
        assert_ne!(refused, BundleError::Signature);
        assert!(["HOOP-2018", "HOOP-2013"].contains(&refused.to_fault().code.as_str()));
    }
}

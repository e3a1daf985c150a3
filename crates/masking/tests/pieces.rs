//! Where a text is cut does not matter; whatever the bytes are, nothing panics.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoop_masking::{Detectors, LOOKAHEAD, Masker, MaskingKey, Mode, Rule, mask_text};
use proptest::prelude::*;

fn rule(mode: Mode) -> Rule {
    Rule::new(mode, MaskingKey::new(&[3; 32]).unwrap())
}

fn in_pieces(text: &[u8], cuts: &[usize], rule: &Rule) -> Vec<u8> {
    let detectors = Detectors::all();
    let mut masker = Masker::new(&detectors, rule);
    let mut out = Vec::new();
    let mut from = 0;
    for cut in cuts {
        out.extend(masker.push(&text[from..*cut]));
        assert!(masker.held() <= LOOKAHEAD + 16, "{} bytes are held", masker.held());
        from = *cut;
    }
    out.extend(masker.push(&text[from..]));
    out.extend(masker.finish());
    assert_eq!(masker.counts(), &mask_text(text, &detectors, rule).counts);
    out
}

/// Text in which everything happens, long enough that a masker decides before the end.
fn eventful() -> String {
    let unit = "Patient: Maria Gonzalez, DOB 03/04/1975, SSN 123-45-6789 (MRN 00123456).\nCall (212) 555-0123 or \
                +44 20 7946 0958; m.g@example.org\thttps://x.example/p?q=1 NPI 1234567893 E11.9, I10\\n4111 1111 1111 1111 \
                12 N Main St Apt 4, Springfield, IL 62704 DE89 3704 0044 0532 0130 00 password=hunter2 10.1.2.3 ";
    format!("{unit}https://x.example/{} {unit}{}@x.example {unit}", "é/".repeat(500), "b.".repeat(700))
}

#[test]
fn a_cut_at_every_byte_changes_nothing() {
    let text = eventful().into_bytes();
    for mode in [Mode::Redact, Mode::Hash] {
        let rule = rule(mode);
        let whole = mask_text(&text, &Detectors::all(), &rule).bytes;
        assert_ne!(whole, text);
        for cut in 0..=text.len() {
            assert!(in_pieces(&text, &[cut], &rule) == whole, "cut at {cut}");
        }
        let every: Vec<usize> = (0..text.len()).collect();
        assert!(in_pieces(&text, &every, &rule) == whole, "cut everywhere");
    }
}

#[test]
fn no_character_is_cut() {
    for before in 0..4 {
        for character in ["é", "患", "😀"] {
            let text = format!("{}{}@x.example", "a".repeat(before), character.repeat(1000));
            for mode in [Mode::Redact, Mode::Partial, Mode::Fake] {
                let masked = mask_text(text.as_bytes(), &Detectors::all(), &rule(mode)).bytes;
                assert!(std::str::from_utf8(&masked).is_ok(), "{character} {before}");
                assert!(masked.len() < text.len());
            }
        }
    }
}

#[test]
fn what_is_decided_is_answered() {
    let rule = rule(Mode::Redact);
    let detectors = Detectors::all();
    let mut masker = Masker::new(&detectors, &rule);
    let out = masker.push("word ".repeat(1000).as_bytes());
    assert!(out.len() >= 5000 - LOOKAHEAD - 16);
}

/// Bits of text that are worth joining.
fn bits() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "ssn ",
        "123-45-6789",
        "(212) ",
        "555-0123",
        " ",
        "\n",
        "\\n",
        "dob ",
        "03/04/1975",
        "@",
        "x.example",
        "a.b",
        "https://",
        "password",
        "=",
        ": ",
        "Dr. ",
        "Maria ",
        "Smith",
        ", ",
        "MRN",
        "1234567",
        "E11.9",
        "4111",
        "1111",
        "-",
        "+",
        "(",
        ")",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "é",
        "eyJ",
        "12 Main St",
        " IL 62704",
        "::",
        "2001:db8",
        "'",
        "\"",
        "St. ",
        "version ",
    ]);
    prop_oneof![
        8 => known.prop_map(str::to_owned),
        1 => "[a-z0-9.@:/ -]{0,12}",
        1 => ("[a-zé1./@-]", 1..1500_usize).prop_map(|(unit, count)| unit.repeat(count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_cuts_change_nothing(parts in prop::collection::vec(bits(), 1..60), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let text = parts.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let rule = rule(Mode::Redact);
        let whole = mask_text(&text, &Detectors::all(), &rule).bytes;
        let pieces = in_pieces(&text, &cuts, &rule);
        prop_assert!(std::str::from_utf8(&whole).is_ok(), "no character is cut");
        prop_assert_eq!(String::from_utf8_lossy(&pieces), String::from_utf8_lossy(&whole));
    }

    #[test]
    fn any_bytes_do_no_harm(text in prop::collection::vec(any::<u8>(), 0..3000)) {
        hoop_masking::fuzz(&text);
    }

    #[test]
    fn any_text_does_no_harm(parts in prop::collection::vec(bits(), 1..12)) {
        hoop_masking::fuzz(parts.concat().as_bytes());
    }

    #[test]
    fn findings_are_in_order_and_apart(parts in prop::collection::vec(bits(), 1..40)) {
        let text = parts.concat();
        let mut end = 0;
        for finding in Detectors::all().find(text.as_bytes()) {
            prop_assert!(finding.range.start >= end && finding.range.end > finding.range.start);
            end = finding.range.end;
        }
        prop_assert!(end <= text.len());
    }
}

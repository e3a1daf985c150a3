//! What each mode keeps, and what it must not.

use proptest::prelude::*;

use super::*;
use crate::{check, detect::Detectors, rule::MaskingKey, text::mask_text};

fn rule(mode: Mode) -> Rule {
    Rule::new(mode, MaskingKey::new(&[9; 32]).unwrap())
}

fn cell(kind: Kind, value: &str, mode: Mode) -> String {
    match mask_cell(kind, value.as_bytes(), &rule(mode)) {
        Cell::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        Cell::Null => "NULL".to_owned(),
    }
}

#[test]
fn partial_keeps_what_it_says_and_no_more() {
    for (kind, value, kept) in [
        (Kind::Ssn, "123-45-6789", "***-**-6789"),
        (Kind::Ssn, "12", "*2"),
        (Kind::Phone, "+1 (212) 555-0123", "+* (***) ***-0123"),
        (Kind::Card, "4111 1111 1111 1234", "**** **** **** 1234"),
        (Kind::Iban, "DE89370400440532013000", "******************3000"),
        (Kind::Npi, "1234567893", "******7893"),
        (Kind::Mrn, "AB-123456", "**-**3456"),
        (Kind::Mrn, "12345", "***45"),
        (Kind::Mrn, "1234", "****"),
        (Kind::Email, "o.brien@x.example", "*.*****@x.example"),
        (Kind::Email, "no address", "** *******"),
        (Kind::Icd10, "E11.9", "E**.*"),
        (Kind::BirthDate, "1975-03-04", "****-**-**"),
        (Kind::Name, "Zoë O'Brien", "*** *'*****"),
        (Kind::Zip, "02139", "*****"),
        (Kind::Url, "https://x.example/a?b", "https://*.*******/*?*"),
        (Kind::IpAddress, "10.1.2.3", "**.*.*.*"),
        (Kind::Secret, "hunter2", "********"),
        (Kind::Secret, "x", "********"),
    ] {
        assert_eq!(cell(kind, value, Mode::Partial), kept, "{kind} {value}");
    }
}

#[test]
fn the_other_modes_and_what_is_too_long() {
    assert_eq!(cell(Kind::Ssn, "123-45-6789", Mode::Redact), "[ssn]");
    assert_eq!(cell(Kind::Ssn, "123-45-6789", Mode::Null), "NULL");
    assert_eq!(cell(Kind::Ssn, "", Mode::Redact), "");
    for mode in [Mode::Redact, Mode::Partial, Mode::Hash, Mode::Fake] {
        assert_eq!(cell(Kind::Name, &"x".repeat(LONGEST + 1), mode), "[name]");
    }
    assert_eq!(cell(Kind::Zip, "---", Mode::Fake), "[zip]", "no other value has this form");
}

#[test]
fn one_value_written_differently_has_one_hash() {
    for (kind, one, other) in [
        (Kind::Ssn, "123-45-6789", "123 45 6789"),
        (Kind::Phone, "+1 (212) 555-0123", "212.555.0123"),
        (Kind::Email, "A.B@X.example", "a.b@x.EXAMPLE"),
        (Kind::BirthDate, "03/04/1975", "March 4, 1975"),
        (Kind::BirthDate, "04.03.1975", "1975-03-04"),
        (Kind::Iban, "DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        (Kind::Name, "MARIA  GONZALEZ", "Maria Gonzalez"),
        (Kind::Icd10, "E11.9", "e119"),
        (Kind::IpAddress, "2001:DB8::1", "2001:db8:0::1"),
        (Kind::Mrn, "ab-1234", "AB1234"),
    ] {
        assert_eq!(cell(kind, one, Mode::Hash), cell(kind, other, Mode::Hash), "{one} {other}");
    }
    let hash = cell(Kind::Ssn, "123-45-6789", Mode::Hash);
    assert_eq!(hash.len(), HASH);
    assert!(hash.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)));
    assert_ne!(hash, cell(Kind::Ssn, "123-45-6788", Mode::Hash));
    assert_ne!(hash, cell(Kind::Mrn, "123-45-6789", Mode::Hash), "kinds are apart");
    let other_key = Rule::new(Mode::Hash, MaskingKey::new(&[8; 32]).unwrap());
    assert_ne!(mask_cell(Kind::Ssn, b"123-45-6789", &other_key), Cell::Bytes(hash.into_bytes()));
    assert!(MaskingKey::new(&[1; 31]).is_err());
    assert!(!format!("{other_key:?}").contains('8'), "a key is not shown");
}

#[test]
fn a_fake_date_is_written_like_the_date() {
    for value in [
        "1975-03-04",
        "3/4/75",
        "04.03.1975",
        "19750304",
        "March 14, 1975",
        "4 MAR 1975",
        "04-Mar-1975",
        "4. März 1975",
    ] {
        let fake = cell(Kind::BirthDate, value, Mode::Fake);
        let (length, form) = DateForm::read(fake.as_bytes()).unwrap();
        assert_eq!(length, fake.len(), "{fake}");
        assert_ne!(form.date(), DateForm::read(value.as_bytes()).unwrap().1.date());
        let shape = |text: &str| text.bytes().filter(|byte| b"-/., ".contains(byte)).collect::<Vec<_>>();
        assert_eq!(shape(&fake), shape(value), "{fake}");
    }
    assert_ne!(cell(Kind::BirthDate, "29 February 2024", Mode::Fake), "29 February 2024");
}

#[test]
fn dates_that_are_none_are_not_read() {
    for text in [
        "",
        "1975",
        "1975-13-04",
        "31.02.1975",
        "1975-03/04",
        "3/4",
        "1/2/3",
        "99999999",
        "12 foo 1975",
        "1-2-12345",
        "٣/٤/٧٥",
    ] {
        assert_eq!(DateForm::read(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_fake_is_found_as_what_it_stands_for() {
    let text = "SSN 123-45-6789, MRN 00123456, NPI 1234567893, (212) 555-0123, a.b@mail.example.org, DOB 03/04/1975, \
                4111 1111 1111 1111, DE89 3704 0044 0532 0130 00, https://x.example/a, 10.1.2.3, Boston, MA 02139";
    let detectors = Detectors::all();
    let once = mask_text(text.as_bytes(), &detectors, &rule(Mode::Fake));
    let kinds =
        |text: &[u8]| detectors.find(text).into_iter().map(|finding| finding.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&once.bytes), kinds(text.as_bytes()), "{}", String::from_utf8_lossy(&once.bytes));
    assert_eq!(once.bytes.len(), text.len());
}

fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
}

proptest! {
    #[test]
    fn a_fake_has_the_same_form_and_is_another(value in "[A-Za-z0-9 .+-]{0,6}[0-9]{3}[A-Za-z0-9 .+-]{0,6}", place in 0..Kind::ALL.len()) {
        let kind = Kind::ALL[place];
        prop_assume!(!matches!(kind, Kind::BirthDate | Kind::IpAddress | Kind::Iban | Kind::Card | Kind::Npi));
        let fake = cell(kind, &value, Mode::Fake);
        prop_assert_ne!(&fake, &value);
        prop_assert_eq!(&fake, &cell(kind, &value, Mode::Fake), "the same each time");
        let form = |text: &str| text.chars().map(|c| match c {
            '0'..='9' => '0',
            'a'..='z' => 'a',
            'A'..='Z' => 'A',
            other => other,
        }).collect::<String>();
        prop_assert_eq!(form(&fake), form(&value));
    }

    #[test]
    fn check_digits_stay_right(body in "[0-9]{8}", long in "[0-9]{13}") {
        let npi = format!("1{body}");
        let npi = format!("{npi}{}", check::luhn_digit(&digits(&npi), check::NPI_PREFIX));
        let fake = cell(Kind::Npi, &npi, Mode::Fake);
        prop_assert!(check::npi(&digits(&fake)) && fake != npi);
        let card = format!("52{long}");
        let card = format!("{card}{}", check::luhn_digit(&digits(&card), 0));
        let fake = cell(Kind::Card, &card, Mode::Fake);
        prop_assert!(check::card(&digits(&fake)) && fake != card);
    }

    #[test]
    fn accounts_stay_right(account in "[0-9]{18}") {
        let rest = check::mod97(format!("DE00{account}").as_bytes());
        let value = format!("DE{:02}{account}", 98 - rest);
        prop_assert_eq!(check::mod97(value.as_bytes()), 1);
        let fake = cell(Kind::Iban, &value, Mode::Fake);
        prop_assert_eq!(check::mod97(fake.as_bytes()), 1);
        prop_assert_ne!(fake, value);
    }

    #[test]
    fn partial_never_shows_more_than_four(value in "[0-9]{0,20}") {
        for kind in [Kind::Ssn, Kind::Mrn, Kind::Npi, Kind::Phone, Kind::Card, Kind::Zip, Kind::BirthDate, Kind::Name] {
            let shown = digits(&cell(kind, &value, Mode::Partial)).len();
            prop_assert!(shown <= 4 && shown * 2 <= value.len(), "{} of {}", shown, value);
        }
    }

    #[test]
    fn any_value_can_be_masked(value in prop::collection::vec(any::<u8>(), 1..80)) {
        for mode in [Mode::Redact, Mode::Partial, Mode::Hash, Mode::Null, Mode::Fake] {
            for kind in Kind::ALL {
                if mode != Mode::Partial {
                    prop_assert_ne!(mask_cell(kind, &value, &rule(mode)), Cell::Bytes(value.clone()));
                }
            }
        }
    }
}

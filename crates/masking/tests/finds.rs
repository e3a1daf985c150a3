//! What is found where, what is not, and that hostile text takes no more time than other text.

use std::time::{Duration, Instant};

use hoop_masking::{Detectors, Kind, LONGEST, MaskingKey, Mode, Rule, mask_column, mask_text};

fn found(text: &str) -> Vec<(Kind, &str)> {
    Detectors::all().find(text.as_bytes()).into_iter().map(|f| (f.kind, &text[f.range])).collect()
}

#[test]
fn each_kind_is_found() {
    let pem = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIOx7\nabc=\n-----END EC PRIVATE KEY-----";
    let github = format!("ghp_{}", "a1B2".repeat(9));
    for (text, kind, value) in [
        ("ssn 123-45-6789.", Kind::Ssn, "123-45-6789"),
        ("SSN: 123456789", Kind::Ssn, "123456789"),
        ("social security number 123 45 6789", Kind::Ssn, "123 45 6789"),
        ("MRN: 00123456", Kind::Mrn, "00123456"),
        ("MRN1234567 came", Kind::Mrn, "1234567"),
        ("medical record number AB-12345", Kind::Mrn, "AB-12345"),
        ("NPI 1234567893", Kind::Npi, "1234567893"),
        ("(212) 555-0123", Kind::Phone, "(212) 555-0123"),
        ("at 212.555.0123 x12", Kind::Phone, "212.555.0123 x12"),
        ("+44 20 7946 0958", Kind::Phone, "+44 20 7946 0958"),
        ("+1 (212) 555-0123", Kind::Phone, "+1 (212) 555-0123"),
        ("Tel. 089 1234567", Kind::Phone, "089 1234567"),
        ("phone: 2125550123", Kind::Phone, "2125550123"),
        ("<o.brien+x@mail.example.org>", Kind::Email, "o.brien+x@mail.example.org"),
        (
            "at 12 N Main St. Apt 4B, Springfield, IL 62704 now",
            Kind::Address,
            "12 N Main St. Apt 4B, Springfield, IL 62704",
        ),
        ("P.O. Box 991", Kind::Address, "P.O. Box 991"),
        ("Boston, MA 02139-4307", Kind::Zip, "02139-4307"),
        ("zip code 02139", Kind::Zip, "02139"),
        ("DOB: 03/04/1975", Kind::BirthDate, "03/04/1975"),
        ("born on March 4th, 1975", Kind::BirthDate, "March 4th, 1975"),
        ("DOB 4 Mar 1975", Kind::BirthDate, "4 Mar 1975"),
        ("DOB 04-Mar-1975", Kind::BirthDate, "04-Mar-1975"),
        ("DOB February 4, 1975", Kind::BirthDate, "February 4, 1975"),
        ("DOB 4. März 1975", Kind::BirthDate, "4. März 1975"),
        ("D.O.B. 03/04/1975", Kind::BirthDate, "03/04/1975"),
        ("Dx: E11.65/I10, J45", Kind::Icd10, "I10"),
        ("Dx: E11.65, I25.10, N18.30, M54.50, F32.1, S72.001A, J45", Kind::Icd10, "J45"),
        ("45-12 Ditmars Blvd, Queens", Kind::Address, "45-12 Ditmars Blvd"),
        ("in der Hauptstraße 12a, München", Kind::Address, "Hauptstraße 12a"),
        ("CA 90210", Kind::Zip, "90210"),
        ("ZIP+4 02139-4307", Kind::Zip, "02139-4307"),
        ("Dear Mrs. Van der Berg,", Kind::Name, "Van der Berg"),
        ("Acct #: 12345678", Kind::Mrn, "12345678"),
        ("gb82west12345698765432", Kind::Iban, "gb82west12345698765432"),
        ("password_hash: abc123def", Kind::Secret, "abc123def"),
        ("Authorization: Basic dXNlcjpwYXNz", Kind::Secret, "dXNlcjpwYXNz"),
        ("geb. 04.03.1975", Kind::BirthDate, "04.03.1975"),
        ("date of birth 1975-03-04T00:00:00", Kind::BirthDate, "1975-03-04"),
        ("has E11.9 now", Kind::Icd10, "E11.9"),
        ("ICD-10: I10", Kind::Icd10, "I10"),
        ("S72.001A", Kind::Icd10, "S72.001A"),
        ("card 4111 1111 1111 1111", Kind::Card, "4111 1111 1111 1111"),
        ("378282246310005", Kind::Card, "378282246310005"),
        ("DE89 3704 0044 0532 0130 00", Kind::Iban, "DE89 3704 0044 0532 0130 00"),
        ("by Dr. Xiomara Quellbrook today", Kind::Name, "Xiomara Quellbrook"),
        ("with Maria J. Gonzalez today", Kind::Name, "Maria J. Gonzalez"),
        ("GONZALEZ, MARIA", Kind::Name, "GONZALEZ, MARIA"),
        ("Patient: Quellbrook", Kind::Name, "Quellbrook"),
        ("Mr O'Brien", Kind::Name, "O'Brien"),
        ("AKIAIOSFODNN7EXAMPLE", Kind::Secret, "AKIAIOSFODNN7EXAMPLE"),
        (&github, Kind::Secret, &github),
        ("xoxb-123456789012-abcdef", Kind::Secret, "xoxb-123456789012-abcdef"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", Kind::Secret, "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl"),
        ("password=hunter2", Kind::Secret, "hunter2"),
        ("api_key: 'a b'", Kind::Secret, "a b"),
        ("\"a b c\" password: \"a b\"", Kind::Secret, "a b"),
        ("Authorization: Bearer abcdef0123456789", Kind::Secret, "abcdef0123456789"),
        (pem, Kind::Secret, pem),
        ("see https://x.example/a?b=c#d.", Kind::Url, "https://x.example/a?b=c#d"),
        ("www.example.org", Kind::Url, "www.example.org"),
        ("from 10.1.2.3:80", Kind::IpAddress, "10.1.2.3"),
        ("2001:db8::8a2e:370:7334", Kind::IpAddress, "2001:db8::8a2e:370:7334"),
        ("患者电话2125550123 phone 212-555-0123", Kind::Phone, "212-555-0123"),
        ("row\\n123-45-6789\\t", Kind::Ssn, "123-45-6789"),
        ("scan_123-45-6789_2.pdf 123-45-6789A", Kind::Ssn, "123-45-6789A".strip_suffix('A').unwrap()),
        ("SSN\u{a0}123456789", Kind::Ssn, "123456789"),
        ("“Maria’s daughter", Kind::Name, "Maria"),
        ("患者，电话：212-555-0123。", Kind::Phone, "212-555-0123"),
    ] {
        assert!(found(text).contains(&(kind, value)), "{text}: {:?}", found(text));
    }
}

#[test]
fn look_alikes_are_left_alone() {
    for text in [
        "vitamin B12 deficiency",
        "diagnosis: B12 deficiency",
        "version 10.2.3.4 and v1.2.3",
        "2024-03-04 12:30:45 born",
        "order 8005551234",
        "part no 800-555-1234",
        "800-555-1234-A",
        "123e4567-e89b-12d3-a456-426614174000",
        "000-12-3456",
        "4111 1111 1111 1112",
        "DE88 3704 0044 0532 0130 00",
        "NPI 1234567890",
        "Crohn's disease, Parkinson's",
        "St. James Hospital",
        "with Wilson disease",
        "moved to Austin",
        "Foley catheter",
        "Physical Therapy",
        "Patient Portal",
        "the password must be changed",
        "token_count: 12345",
        "basic metabolic panel",
        "H1N1 and T4 and 12.5 mg",
        "may mark the rose",
        "x::y std::fmt",
        "seen 03/04/2020",
        "user@localhost",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn an_organisation_has_its_own_record_numbers() {
    let detectors = Detectors::new([]).with_record_pattern("HX-#{6,8}".parse().unwrap());
    let text = b"see hx-123456 and HX-12345 and 123-45-6789";
    let findings = detectors.find(text);
    assert_eq!(findings.iter().map(|f| (f.kind, f.range.clone())).collect::<Vec<_>>(), [(Kind::Mrn, 4..13)]);
}

#[test]
fn only_what_is_looked_for_is_found() {
    let text = "123-45-6789 a@b.example https://x.example Dr. Miller E11.9 password=hunter2 10.1.2.3";
    for kind in Kind::ALL {
        let kinds: Vec<Kind> = Detectors::new([kind]).find(text.as_bytes()).iter().map(|f| f.kind).collect();
        assert!(kinds.iter().all(|found| *found == kind), "{kind}: {kinds:?}");
    }
    assert_eq!(Detectors::new([]).find(text.as_bytes()), []);
}

#[test]
fn what_is_too_long_is_masked_to_its_end() {
    let rule = |mode| Rule::new(mode, MaskingKey::new(&[1; 32]).unwrap());
    let long = "a".repeat(5000);
    for (before, value, marker) in [
        ("", format!("https://x.example/{long}"), "[url]"),
        ("", format!("{long}@x.example"), "[email]"),
        ("", format!("x@{long}.example"), "[email]"),
        ("password=", long.clone(), "[secret]"),
        ("", format!("eyJ{long}.{long}.{long}"), "[secret]"),
        ("", format!("-----BEGIN PRIVATE KEY-----\n{long}\n-----END PRIVATE KEY-----"), "[secret]"),
    ] {
        for mode in [Mode::Redact, Mode::Partial, Mode::Hash, Mode::Fake] {
            let masked =
                mask_text(format!("{before}{value} after").as_bytes(), &Detectors::all(), &rule(mode));
            let text = String::from_utf8(masked.bytes).unwrap();
            assert!(text.ends_with(&format!("{marker} after")), "{text}");
            // Of a local part that no address may have, what is far from the @ may stay: it is no address.
            assert!(text.len() < 100 || marker == "[email]", "{text}");
        }
    }
    let exact = format!("https://{}", "a".repeat(LONGEST - 8));
    for (text, whole) in [(exact.clone(), true), (exact + "a", false)] {
        let masked = mask_text(text.as_bytes(), &Detectors::all(), &rule(Mode::Fake)).bytes;
        assert_eq!(masked.starts_with(b"https://"), whole);
    }
}

#[test]
fn hostile_text_takes_linear_time() {
    let size = 1 << 18;
    let detectors = Detectors::all().with_record_pattern("#{1,20}*{1,20}@{1,20}###".parse().unwrap());
    for unit in [
        "a",
        "1",
        "1 ",
        "1-",
        "1.",
        "A ",
        "A-",
        "a@",
        "a.",
        "@",
        "eyJ.",
        "eyJa-",
        "ghp_",
        "password=",
        "password: ",
        "1 A ",
        "https://",
        "::",
        "a:",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "DE89 ",
        "MRN ",
        "dob 1/1/",
        "Mr A",
        "+1 ",
        "(1",
        "4111 ",
        "\\",
        "\\n",
        "é",
        "\u{ff}1",
        "E11.",
        "A11                ",
        "Maria ",
        "Smith, ",
        "1 A B C D E ",
        "Apt ",
        "1 Main St, A A A ",
        "token: 'a",
        "www.",
        "xoxb-",
        "\0",
        "St. ",
    ] {
        let text = unit.repeat(size / unit.len());
        let begin = Instant::now();
        let _ = detectors.find(text.as_bytes());
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(6), "{unit:?} took {took:?}");
        println!("{unit:?} {took:?}");
    }
}

#[test]
fn the_name_of_a_column_is_a_label() {
    let rule = Rule::new(Mode::Redact, MaskingKey::new(&[1; 32]).unwrap());
    for (column, value, masked) in [
        ("birth_date", "1975-03-04", "[birth_date]"),
        ("visit_date", "1975-03-04", "1975-03-04"),
        ("patientSsn", "123456789", "[ssn]"),
        ("SSN", "123456789", "[ssn]"),
        ("total", "123456789", "123456789"),
        ("patient_id", "00123456", "[mrn]"),
        ("api_key", "abc", "[secret]"),
        ("", "123-45-6789", "[ssn]"),
    ] {
        let bytes = mask_column(column.as_bytes(), value.as_bytes(), &Detectors::all(), &rule)
            .map_or_else(|| value.as_bytes().to_vec(), |masked| masked.bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), masked, "{column}");
    }
}

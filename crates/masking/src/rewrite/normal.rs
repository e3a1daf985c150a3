//! The normal form of a value: what is the same thing written differently gets the same hash.

use std::net::IpAddr;

use super::DateForm;
use crate::kind::Kind;

/// The value as it is compared.
pub(super) fn normal(kind: Kind, value: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Ssn | Kind::Npi | Kind::Card | Kind::Zip => only(value, u8::is_ascii_digit),
        Kind::Phone => phone(value),
        Kind::Mrn | Kind::Icd10 | Kind::Iban => only(value, u8::is_ascii_alphanumeric).to_ascii_uppercase(),
        Kind::Email | Kind::Name | Kind::Address => words(value),
        Kind::BirthDate => DateForm::read(value)
            .filter(|(length, _)| *length == value.len())
            .map_or_else(|| words(value), |(_, form)| form.date().to_string().into_bytes()),
        Kind::IpAddress => std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse::<IpAddr>().ok())
            .map_or_else(|| value.to_vec(), |address| address.to_string().into_bytes()),
        Kind::Secret | Kind::Url => value.to_vec(),
    }
}

/// What has nothing of the kind asked for stays as it is, or two such values would be one.
fn only(value: &[u8], kept: fn(&u8) -> bool) -> Vec<u8> {
    let kept: Vec<u8> = value.iter().copied().filter(kept).collect();
    if kept.is_empty() { value.to_vec() } else { kept }
}

/// Without the country of the North American plan.
fn phone(value: &[u8]) -> Vec<u8> {
    let digits = only(value, u8::is_ascii_digit);
    match digits.split_first() {
        Some((b'1', national)) if national.len() == 10 => national.to_vec(),
        _ => digits,
    }
}

/// In lower case, with single spaces.
fn words(value: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(value) else { return value.to_ascii_lowercase() };
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ").into_bytes()
}

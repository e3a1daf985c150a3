//! One value in, what stands for it out. Knows the kind, and nothing of the text around.

mod date;
mod fake;
mod normal;

pub(crate) use date::DateForm;

use crate::{
    kind::Kind,
    rule::{Mode, Rule},
    scan::LONGEST,
};

/// How many characters a hash has: 100 bits.
const HASH: usize = 20;

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// No value.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Masks a whole value whose kind is known, whatever it looks like: where the column says it. An empty value stays.
///
/// The marker and the hash are text: a column of numbers or dates takes [`Mode::Null`] and [`Mode::Fake`] only.
#[must_use]
pub fn mask_cell(kind: Kind, value: &[u8], rule: &Rule) -> Cell {
    if value.is_empty() {
        return Cell::Bytes(Vec::new());
    }
    rewrite(kind, value, value.len() > LONGEST, rule).map_or(Cell::Null, Cell::Bytes)
}

/// What stands for the value; `None` for nothing. `long` values become the marker.
pub(crate) fn rewrite(kind: Kind, value: &[u8], long: bool, rule: &Rule) -> Option<Vec<u8>> {
    match rule.mode(kind) {
        Mode::Null => None,
        Mode::Redact => Some(marker(kind)),
        _ if long => Some(marker(kind)),
        Mode::Partial => Some(partial(kind, value)),
        Mode::Hash => Some(hash(kind, value, rule)),
        Mode::Fake => Some(fake::fake(kind, value, rule.key()).unwrap_or_else(|| marker(kind))),
    }
}

/// As [`rewrite`], behind what is there.
pub(crate) fn rewrite_into(kind: Kind, value: &[u8], long: bool, rule: &Rule, out: &mut Vec<u8>) {
    match rule.mode(kind) {
        Mode::Redact => put_marker(kind, out),
        _ => out.extend(rewrite(kind, value, long, rule).unwrap_or_default()),
    }
}

fn marker(kind: Kind) -> Vec<u8> {
    let mut marker = Vec::new();
    put_marker(kind, &mut marker);
    marker
}

fn put_marker(kind: Kind, out: &mut Vec<u8>) {
    out.push(b'[');
    out.extend_from_slice(kind.name().as_bytes());
    out.push(b']');
}

fn hash(kind: Kind, value: &[u8], rule: &Rule) -> Vec<u8> {
    let tag =
        rule.key().mac(&[b"hoop masking: hash 1", kind.name().as_bytes(), &normal::normal(kind, value)]);
    let mut text = data_encoding::BASE32_NOPAD.encode(tag.as_ref()).into_bytes();
    text.truncate(HASH);
    text
}

/// The shape and what [`Mode::Partial`] says.
fn partial(kind: Kind, value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    let characters = text.chars().filter(|character| character.is_alphanumeric()).count();
    let (from, to) = match kind {
        Kind::Ssn | Kind::Npi | Kind::Phone | Kind::Card | Kind::Iban => {
            (characters - 4.min(characters / 2), characters)
        }
        Kind::Mrn => (
            characters
                - if characters >= 8 {
                    4
                } else if characters >= 5 {
                    2
                } else {
                    0
                },
            characters,
        ),
        Kind::Icd10 => (0, usize::from(characters >= 3)),
        Kind::Email => {
            let local = value.iter().rposition(|byte| *byte == b'@').and_then(|at| value.get(..at));
            let local = local
                .map(|local| String::from_utf8_lossy(local).chars().filter(|c| c.is_alphanumeric()).count());
            (local.unwrap_or(characters), characters)
        }
        Kind::Url => {
            let scheme = text.find("://").and_then(|end| text.get(..end)).unwrap_or("");
            (0, scheme.chars().filter(|character| character.is_alphanumeric()).count())
        }
        Kind::Secret => return b"********".to_vec(),
        _ => (0, 0),
    };
    let mut seen = 0;
    let masked = text.chars().map(|character| {
        if !character.is_alphanumeric() {
            return if character.is_ascii() { character } else { '*' };
        }
        seen += 1;
        if seen > from && seen <= to { character } else { '*' }
    });
    masked.collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests;

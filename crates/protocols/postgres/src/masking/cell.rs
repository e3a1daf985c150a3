//! One value: what is shown of it.

use hoop_masking::{Cell, Kind, Mode, mask_array, mask_cell, mask_column, mask_hstore, mask_json};
use jiff::civil::Date;

use super::{
    Act, HIDDEN, Masks, Treated,
    shape::{Form, Shape},
};

/// What becomes of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It stays as it is.
    Same,
    /// This stands for it.
    Other(Vec<u8>),
    /// Nothing does.
    Null,
}

/// What makes another value of a text, if it can.
type Fake<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;

/// Arrays in arrays are read so deep: the type of an element cannot be an array, but composites may be.
const DEEPEST: u8 = 4;

impl Masks {
    /// What is shown of a value that is no NULL, and counts it.
    #[inline]
    pub(super) fn cell(&mut self, treated: &Treated, value: &[u8]) -> Shown {
        match treated.act {
            Act::Clear => Shown::Same,
            Act::Null => {
                self.tally.hidden += 1;
                Shown::Null
            }
            Act::Hide => {
                self.tally.hidden += 1;
                hidden(treated.shape)
            }
            Act::Mask(kind, mode) => {
                self.tally.kinds.add(kind);
                self.masked(kind, mode, treated.shape, value)
            }
            Act::Detect => self.looked_through(&treated.name, treated.shape, value, DEEPEST),
        }
    }

    /// A value of which the column says what it is.
    fn masked(&self, kind: Kind, mode: Mode, shape: Shape, value: &[u8]) -> Shown {
        let rule = self.rule_of(mode);
        let fake = |text: &[u8]| match mask_cell(kind, text, rule) {
            Cell::Bytes(other) if mode == Mode::Fake => Some(other),
            _ => None,
        };
        match shape.form {
            Form::Text => match mask_cell(kind, value, rule) {
                Cell::Bytes(other) => Shown::Other(other),
                Cell::Null => Shown::Null,
            },
            Form::Other if !shape.binary => match mask_cell(kind, value, rule) {
                // An enum, say, takes none of it; who reads the answer as text does.
                Cell::Bytes(other) => Shown::Other(other),
                Cell::Null => Shown::Null,
            },
            Form::Integer(_) | Form::Float | Form::Numeric => renumbered(shape, value, &fake),
            Form::Date | Form::Timestamp if kind == Kind::BirthDate => redated(shape, value, &fake),
            _ => Shown::Null,
        }
    }

    /// A value of which nothing is known but its type.
    fn looked_through(&mut self, name: &[u8], shape: Shape, value: &[u8], depth: u8) -> Shown {
        match (shape.form, shape.binary) {
            (Form::Harmless, _) => Shown::Same,
            (Form::Text, _) => self.text(name, value),
            (Form::Json, _) | (Form::Jsonb, false) => self.rewritten(value, mask_json),
            (Form::Jsonb, true) => match value.split_first() {
                Some((1, json)) => match self.rewritten(json, mask_json) {
                    Shown::Other(other) => Shown::Other([&[1], &other[..]].concat()),
                    shown => shown,
                },
                _ => self.opaque(value),
            },
            (Form::Array, false) => self.rewritten(value, mask_array),
            (Form::Array, true) => self.array(name, value, depth),
            (Form::Integer(_) | Form::Float | Form::Numeric, _) => {
                self.found_in(name, shape, value, as_number, renumbered)
            }
            (Form::Date | Form::Timestamp, _) => self.found_in(name, shape, value, as_date, redated),
            (Form::Bytes, false) => match value.strip_prefix(b"\\x").and_then(from_hex) {
                Some(bytes) => self.opaque(&bytes),
                None => self.text(name, value),
            },
            (Form::Other, false) if looks_like_hstore(value) => self.rewritten(value, mask_hstore),
            (Form::Other, false) => self.text(name, value),
            (Form::Bytes | Form::Other, true) => self.opaque(value),
        }
    }

    fn text(&mut self, name: &[u8], value: &[u8]) -> Shown {
        match mask_column(name, value, &self.detectors, &self.rule) {
            None => Shown::Same,
            Some(masked) => {
                self.tally.kinds.merge(&masked.counts);
                // A value that is one finding, under the mode that shows nothing.
                if masked.bytes.is_empty() { Shown::Null } else { Shown::Other(masked.bytes) }
            }
        }
    }

    fn rewritten(
        &mut self,
        value: &[u8],
        mask: fn(&[u8], &hoop_masking::Detectors, &hoop_masking::Rule) -> hoop_masking::Masked,
    ) -> Shown {
        let masked = mask(value, &self.detectors, &self.rule);
        if masked.counts.total() == 0 {
            return Shown::Same;
        }
        self.tally.kinds.merge(&masked.counts);
        Shown::Other(masked.bytes)
    }

    /// Bytes that could not be written anew: not shown if anything is found in them.
    fn opaque(&mut self, value: &[u8]) -> Shown {
        let found = self.detectors.find(value);
        found.iter().for_each(|finding| self.tally.kinds.add(finding.kind));
        if found.is_empty() { Shown::Same } else { Shown::Null }
    }

    /// A number or a date in which something is found is another one, or none.
    fn found_in(
        &mut self,
        name: &[u8],
        shape: Shape,
        value: &[u8],
        read: fn(Shape, &[u8]) -> Option<Vec<u8>>,
        write: fn(Shape, &[u8], Fake<'_>) -> Shown,
    ) -> Shown {
        let Some(text) = read(shape, value) else { return Shown::Same };
        let Some(masked) = mask_column(name, &text, &self.detectors, &self.rule) else { return Shown::Same };
        self.tally.kinds.merge(&masked.counts);
        let kind = masked.counts.iter().next().map(|(kind, _)| kind);
        let is_fake = kind.is_some_and(|kind| self.rule.mode(kind) == Mode::Fake);
        write(shape, value, &|text| {
            let kind = kind.filter(|_| is_fake)?;
            match mask_cell(kind, text, &self.rule) {
                Cell::Bytes(other) => Some(other),
                Cell::Null => None,
            }
        })
    }

    /// An array in binary: its elements one by one (`array_send`). What is none is not shown if anything is found.
    fn array(&mut self, name: &[u8], value: &[u8], depth: u8) -> Shown {
        match self.elements(name, value, depth) {
            Some(Some(other)) => Shown::Other(other),
            Some(None) => Shown::Same,
            None => self.opaque(value),
        }
    }

    fn elements(&mut self, name: &[u8], value: &[u8], depth: u8) -> Option<Option<Vec<u8>>> {
        let depth = depth.checked_sub(1)?;
        let mut rest = value;
        let dimensions = usize::try_from(take_i32(&mut rest)?).ok().filter(|dimensions| *dimensions <= 6)?;
        let _has_nulls = take_i32(&mut rest)?;
        let element = u32::try_from(take_i32(&mut rest)?).ok()?;
        let shape = Shape::of(element, true);
        rest = rest.get(dimensions * 8..)?;
        let mut out = value.get(..value.len() - rest.len())?.to_vec();
        let mut changed = false;
        while !rest.is_empty() {
            let length = take_i32(&mut rest)?;
            let Ok(size) = usize::try_from(length) else {
                out.extend(length.to_be_bytes());
                continue;
            };
            let (item, behind) = rest.split_at_checked(size)?;
            rest = behind;
            match self.looked_through(name, shape, item, depth) {
                Shown::Same => {
                    out.extend(length.to_be_bytes());
                    out.extend_from_slice(item);
                    continue;
                }
                Shown::Other(other) => {
                    out.extend(i32::try_from(other.len()).ok()?.to_be_bytes());
                    out.extend(other);
                }
                Shown::Null => {
                    out.extend((-1_i32).to_be_bytes());
                    // It has NULLs now.
                    out.get_mut(4..8)?.copy_from_slice(&1_i32.to_be_bytes());
                }
            }
            changed = true;
        }
        Some(changed.then_some(out))
    }
}

fn hidden(shape: Shape) -> Shown {
    if shape.form == Form::Text { Shown::Other(HIDDEN.to_vec()) } else { Shown::Null }
}

fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*first))
}

fn integer(value: &[u8]) -> Option<i64> {
    match value {
        [a, b] => Some(i16::from_be_bytes([*a, *b]).into()),
        [a, b, c, d] => Some(i32::from_be_bytes([*a, *b, *c, *d]).into()),
        value => value.try_into().ok().map(i64::from_be_bytes),
    }
}

/// A number as text; what is none of these forms has nothing that could be found.
fn as_number(shape: Shape, value: &[u8]) -> Option<Vec<u8>> {
    match (shape.form, shape.binary) {
        (_, false) => Some(value.to_vec()),
        (Form::Integer(_), true) => Some(integer(value)?.to_string().into_bytes()),
        (Form::Float, true) => float(value),
        (_, true) => whole_part(value),
    }
}

fn float(value: &[u8]) -> Option<Vec<u8>> {
    let text = match value.len() {
        4 => f32::from_be_bytes(value.try_into().ok()?).to_string(),
        _ => f64::from_be_bytes(value.try_into().ok()?).to_string(),
    };
    Some(text.into_bytes())
}

/// Of a binary `numeric`: digits of base 10,000, of which the first counts 10,000 to the power of the weight.
fn whole_part(value: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| value.get(at..at + 2)?.try_into().ok().map(i16::from_be_bytes);
    let (digits, weight) = (word(0)?, word(2)?);
    let mut text = String::new();
    // What identifies somebody has not so many digits.
    for at in 0..=weight.clamp(-1, 100) {
        let digit = if at < digits { word(8 + 2 * usize::try_from(at).ok()?)? } else { 0 };
        text += &if text.is_empty() { digit.to_string() } else { format!("{digit:04}") };
    }
    Some(text.into_bytes())
}

/// Another number of the same form, or none.
fn renumbered(shape: Shape, value: &[u8], fake: Fake<'_>) -> Shown {
    let is_number = |text: &[u8]| text.iter().all(|byte| byte.is_ascii_digit() || b"+-.".contains(byte));
    let other = as_number(shape, value).and_then(|text| fake(&text)).filter(|other| is_number(other));
    let parsed = |other: &[u8]| std::str::from_utf8(other).ok()?.parse::<i64>().ok();
    let shown = other.and_then(|other| match (shape.form, shape.binary) {
        (Form::Integer(2), true) => Some(i16::try_from(parsed(&other)?).ok()?.to_be_bytes().to_vec()),
        (Form::Integer(4), true) => Some(i32::try_from(parsed(&other)?).ok()?.to_be_bytes().to_vec()),
        (Form::Integer(_), true) => Some(parsed(&other)?.to_be_bytes().to_vec()),
        (Form::Integer(2), false) => i16::try_from(parsed(&other)?).ok().map(|_| other),
        (Form::Integer(4), false) => i32::try_from(parsed(&other)?).ok().map(|_| other),
        (Form::Integer(_), false) => parsed(&other).map(|_| other),
        (_, false) => Some(other),
        (_, true) => None,
    });
    shown.map_or(Shown::Null, Shown::Other)
}

const MICROS_A_DAY: i64 = 86_400_000_000;

/// Binary dates count from here.
fn epoch() -> Date {
    Date::constant(2000, 1, 1)
}

fn date_of(days: i64) -> Option<Date> {
    epoch().checked_add(jiff::Span::new().try_days(days).ok()?).ok()
}

/// The date of a value as text. An infinite one tells nothing.
fn as_date(shape: Shape, value: &[u8]) -> Option<Vec<u8>> {
    match (shape.form, shape.binary) {
        (_, false) => Some(split_date(value).0.to_vec()),
        (Form::Date, true) => date_of(integer(value)?).map(|date| date.to_string().into_bytes()),
        (_, true) => {
            date_of(integer(value)?.div_euclid(MICROS_A_DAY)).map(|date| date.to_string().into_bytes())
        }
    }
}

/// `1970-01-02 03:04:05`: the date, and what follows.
fn split_date(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'T')).unwrap_or(value.len());
    value.split_at(end)
}

/// Another date of the same form, or none.
fn redated(shape: Shape, value: &[u8], fake: Fake<'_>) -> Shown {
    let Some(other) = as_date(shape, value).and_then(|text| fake(&text)) else { return Shown::Null };
    let shown = if shape.binary {
        let days = std::str::from_utf8(&other)
            .ok()
            .and_then(|text| text.parse::<Date>().ok())
            .and_then(|date| epoch().until(date).ok().map(|span| i64::from(span.get_days())));
        days.and_then(|days| match shape.form {
            Form::Date => Some(i32::try_from(days).ok()?.to_be_bytes().to_vec()),
            _ => {
                let within = integer(value)?.rem_euclid(MICROS_A_DAY);
                Some((days.checked_mul(MICROS_A_DAY)? + within).to_be_bytes().to_vec())
            }
        })
    } else {
        let is_date = other.iter().all(|byte| byte.is_ascii_digit() || b"-/.".contains(byte));
        is_date.then(|| [&other, split_date(value).1].concat())
    };
    shown.map_or(Shown::Null, Shown::Other)
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn looks_like_hstore(value: &[u8]) -> bool {
    value.first() == Some(&b'"') && value.windows(4).any(|window| window == b"\"=>\"")
}

//! Values as text: cells of an answer and bind values, in text or in PostgreSQL's binary form.
//!
//! What is not known is shown in hex and never guessed. All text that leaves here went through [`visible`].

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::{Span, civil};

use crate::{
    event::{Column, Parameter},
    hex,
    visible::{visible, visible_bytes},
};

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A row's cells; `None`: NULL.
pub type Row = Vec<Option<Bytes>>;

/// Cuts the data of a `Rows` event into rows. Ends early where it does not add up.
pub fn rows(data: &Bytes) -> impl Iterator<Item = Row> + use<> {
    let mut rest = data.clone();
    std::iter::from_fn(move || {
        let length = row_frame(&rest)?;
        let mut frame = rest.split_to(length);
        let _ = frame.split_to(ROW_PREFIX);
        cells(frame)
    })
}

/// `D` and the length.
const ROW_PREFIX: usize = 5;

/// How long the whole row frame at the front is; `None` if there is no whole one.
pub(crate) fn row_frame(data: &[u8]) -> Option<usize> {
    let (tag, rest) = data.split_first()?;
    let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
    (*tag == b'D' && length >= 4 && length <= rest.len()).then_some(length + 1)
}

fn cells(mut row: Bytes) -> Option<Row> {
    let high = row.first_chunk::<2>().copied()?;
    let count = u16::from_be_bytes(high);
    let _ = row.split_to(2);
    let mut cells = Vec::with_capacity(usize::from(count).min(row.len() / 4 + 1));
    for _ in 0..count {
        let length = take_u32(&mut row)?;
        if length == u32::MAX {
            cells.push(None);
            continue;
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= row.len())?;
        cells.push(Some(row.split_to(length)));
    }
    Some(cells)
}

fn take_u32(bytes: &mut Bytes) -> Option<u32> {
    let number = u32::from_be_bytes(*bytes.first_chunk::<4>()?);
    let _ = bytes.split_to(4);
    Some(number)
}

/// A cell as text on one line.
#[must_use]
pub fn render(column: Option<&Column>, cell: &[u8]) -> String {
    match column {
        Some(column) if column.binary => binary(column.type_id, cell)
            .map_or_else(|| format!("\\x{}", hex::encode(cell)), |text| visible(&text)),
        _ => text_or_hex(cell),
    }
}

/// A bind value as text on one line: its type is not known here, so a binary one is shown in hex.
#[must_use]
pub fn render_parameter(parameter: &Parameter) -> Option<String> {
    parameter.value.as_ref().map(|value| match parameter.binary {
        true => format!("\\x{}", hex::encode(value)),
        false => text_or_hex(value),
    })
}

fn text_or_hex(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => visible(text),
        Err(_) => format!("\\x{}", hex::encode(bytes)),
    }
}

/// At most `limit` characters, with an ellipsis where some are left out.
#[must_use]
pub fn bounded(mut text: String, limit: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(limit) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// PostgreSQL's binary form of its common types, by object id; `None` for others and for what does not fit its type.
fn binary(type_id: u32, bytes: &[u8]) -> Option<String> {
    Some(match type_id {
        16 => match bytes {
            [0] => "f".to_owned(),
            [1] => "t".to_owned(),
            _ => return None,
        },
        17 => format!("\\x{}", hex::encode(bytes)),
        18 | 19 | 25 | 114 | 142 | 705 | 1042 | 1043 => std::str::from_utf8(bytes).ok()?.to_owned(),
        20 => i64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        21 => i16::from_be_bytes(bytes.try_into().ok()?).to_string(),
        23 => i32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        26 => u32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        700 => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
        701 => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
        1082 => date(i32::from_be_bytes(bytes.try_into().ok()?))?,
        1083 => time_of_day(i64::from_be_bytes(bytes.try_into().ok()?))?,
        1114 => timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "")?,
        1184 => timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "+00")?,
        1700 => numeric(bytes)?,
        2950 => uuid(bytes)?,
        3802 => match bytes.split_first() {
            Some((1, json)) => std::str::from_utf8(json).ok()?.to_owned(),
            _ => return None,
        },
        _ => return None,
    })
}

fn date(days: i32) -> Option<String> {
    match days {
        i32::MAX => Some("infinity".to_owned()),
        i32::MIN => Some("-infinity".to_owned()),
        _ => {
            let span = Span::new().try_days(days).ok()?;
            civil::date(2000, 1, 1).checked_add(span).ok().map(|date| date.to_string())
        }
    }
}

fn time_of_day(micros: i64) -> Option<String> {
    let span = Span::new().try_microseconds(micros).ok()?;
    civil::Time::midnight().checked_add(span).ok().map(|time| time.to_string())
}

fn timestamp(micros: i64, zone: &str) -> Option<String> {
    match micros {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let at = jiff::Timestamp::from_microsecond(micros.checked_add(POSTGRES_EPOCH_US)?).ok()?;
    let civil = jiff::tz::Offset::UTC.to_datetime(at);
    Some(format!("{}{zone}", civil.to_string().replace('T', " ")))
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let mut text = String::new();
    for (at, digit) in hex::encode(&bytes).chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    Some(text)
}

/// Base-10000 digits with a weight: `count, weight, sign, scale, digits...`, each an `i16`.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes));
    let (count, weight, sign, scale) =
        (words.next()?, words.next()?.cast_signed(), words.next()?, words.next()?);
    match sign {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        0 | 0x4000 => {}
        _ => return None,
    }
    let digits: Vec<u16> = words.collect();
    if digits.len() != usize::from(count) || digits.iter().any(|digit| *digit > 9_999) || scale > 0x3fff {
        return None;
    }
    let digit =
        |place: i32| usize::try_from(place).ok().and_then(|place| digits.get(place)).copied().unwrap_or(0);
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    let weight = i32::from(weight);
    let _ = write!(text, "{}", if weight < 0 { 0 } else { digit(0) });
    for place in 1..=weight {
        let _ = write!(text, "{:04}", digit(place));
    }
    if scale > 0 {
        let groups = i32::from(scale.div_ceil(4));
        let fraction: String = (1..=groups).map(|group| format!("{:04}", digit(weight + group))).collect();
        let _ = write!(text, ".{}", fraction.get(..usize::from(scale))?);
    }
    Some(text)
}

/// A column's name as text.
#[must_use]
pub fn column_name(column: &Column) -> String {
    visible_bytes(&column.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(type_id: u32, bytes: &[u8]) -> String {
        render(Some(&Column { name: Bytes::new(), type_id, binary: true }), bytes)
    }

    #[test]
    fn binary_values_read_as_psql_shows_them() {
        let cases: &[(u32, &[u8], &str)] = &[
            (16, &[1], "t"),
            (21, &[0xff, 0xfe], "-2"),
            (23, &[0, 0, 1, 0], "256"),
            (20, &[0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
            (700, &1.5_f32.to_be_bytes(), "1.5"),
            (701, &(-0.25_f64).to_be_bytes(), "-0.25"),
            (25, "Grüße".as_bytes(), "Grüße"),
            (3802, b"\x01{\"a\":1}", "{\"a\":1}"),
            (17, &[0xde, 0xad], "\\xdead"),
            (2950, &[0x11; 16], "11111111-1111-1111-1111-111111111111"),
            (1082, &0_i32.to_be_bytes(), "2000-01-01"),
            (1082, &(-10_957_i32).to_be_bytes(), "1970-01-01"),
            (1082, &i32::MAX.to_be_bytes(), "infinity"),
            (1114, &1_500_000_i64.to_be_bytes(), "2000-01-01 00:00:01.5"),
            (1184, &0_i64.to_be_bytes(), "2000-01-01 00:00:00+00"),
            (1184, &i64::MIN.to_be_bytes(), "-infinity"),
            (1083, &3_600_000_000_i64.to_be_bytes(), "01:00:00"),
            (1700, &[0, 2, 0, 0, 0, 0, 0, 2, 0, 12, 0x0d, 0x48], "12.34"),
            (1700, &[0, 2, 0, 1, 0x40, 0, 0, 0, 0, 1, 0, 5], "-10005"),
            (1700, &[0, 1, 0xff, 0xff, 0, 0, 0, 4, 0, 5], "0.0005"),
            (1700, &[0, 1, 0xff, 0xfe, 0, 0, 0, 6, 0x03, 0xe8], "0.000010"),
            (1700, &[0, 0, 0, 0, 0xc0, 0, 0, 0], "NaN"),
            (1700, &[0, 0, 0, 0, 0, 0, 0, 2], "0.00"),
            (1700, &[0, 1, 0, 1, 0, 0, 0, 0, 0, 7], "70000"),
        ];
        for (type_id, bytes, text) in cases {
            assert_eq!(shown(*type_id, bytes), *text);
        }
    }

    #[test]
    fn what_does_not_fit_its_type_is_hex() {
        for (type_id, bytes) in
            [(16, &[2][..]), (23, &[1]), (1700, &[0]), (1700, &[0, 9, 0, 0, 0, 0, 0, 0]), (25, &[0xff])]
        {
            assert_eq!(shown(type_id, bytes), format!("\\x{}", hex::encode(bytes)));
        }
        assert_eq!(shown(600, &[1, 2]), "\\x0102");
        assert_eq!(render(None, b"a\x1b[2J"), "a\\x1b[2J");
        assert_eq!(render(None, &[0xc3]), "\\xc3");
    }

    #[test]
    fn rows_are_cut_as_they_were_written() {
        let row = [&b"D\0\0\0\x10\0\x02\0\0\0\x02ab"[..], &[0xff; 4]].concat();
        let data = Bytes::from([row.clone(), row.clone(), vec![b'D', 0, 0, 0, 99, 1]].concat());
        let expected = vec![Some(Bytes::from_static(b"ab")), None];
        assert_eq!(rows(&data).collect::<Vec<_>>(), vec![expected.clone(), expected]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), pick in 0..20_usize) {
            let types = [16, 17, 18, 20, 21, 23, 25, 26, 700, 701, 1082, 1083, 1114, 1184, 1700, 2950, 3802, 0, 1, 2];
            let _ = shown(types[pick], &bytes);
            let _ = rows(&Bytes::from(bytes)).count();
        }
    }
}

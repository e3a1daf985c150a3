//! One bind value, as it came and as the server logged it.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use hoop_recording::{cells::render, event::Column, visible::visible};
use serde_json::Value;

/// Is what was recorded what was logged?
pub(crate) fn same_value(ours: &Value, theirs: Option<&str>) -> bool {
    match (ours, theirs) {
        (Value::Null, None) => true,
        (Value::String(ours), Some(theirs)) => {
            ours == theirs || spelled(ours) == spelled(theirs) || is_same_document(ours, theirs)
        }
        (Value::Object(ours), Some(theirs)) => {
            let bytes = HEXLOWER.decode(ours["binary"].as_str().unwrap().as_bytes()).unwrap();
            TYPES.iter().any(|type_id| shown(*type_id, &bytes) == visible(theirs))
                || bytes
                    .first_chunk::<8>()
                    .filter(|_| bytes.len() == 8)
                    .is_some_and(|bytes| theirs.parse() == Ok(f64::from_be_bytes(*bytes)))
                || array(&bytes).is_some_and(|list| list == theirs)
                || interval(&bytes).is_some_and(|span| span == theirs)
        }
        _ => false,
    }
}

/// Types whose binary form a replay reads too.
const TYPES: [u32; 16] = [16, 17, 20, 21, 23, 25, 26, 700, 701, 1082, 1083, 1114, 1184, 1700, 2950, 3802];

fn shown(type_id: u32, bytes: &[u8]) -> String {
    render(Some(&Column { name: Bytes::new(), type_id, binary: true }), bytes)
}

/// JSON, with other white space.
fn is_same_document(ours: &str, theirs: &str) -> bool {
    let read = |text| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    read(ours).is_some_and(|ours| read(theirs) == Some(ours))
}

/// Booleans by their first letter, numbers without an exponent's sign, times without the T, the zone of UTC and zeros at an end, no white
/// space, small letters.
fn spelled(text: &str) -> String {
    let text = text.trim().to_lowercase();
    match text.as_str() {
        "t" | "true" => "true".to_owned(),
        "f" | "false" => "false".to_owned(),
        "inf" => "infinity".to_owned(),
        // A UUID, with or without its hyphens.
        digits if is_uuid(digits) => digits.replace('-', ""),
        // An array, whose quotes may be more than needed.
        list if list.starts_with('{') => list.replace('"', ""),
        name if !name.starts_with(|c: char| c.is_ascii_digit() || c == '-') => name.to_owned(),
        _ => {
            let text = text
                .strip_suffix("+00:00")
                .or_else(|| text.strip_suffix("+00"))
                .or_else(|| text.strip_suffix('z'))
                .unwrap_or(&text);
            let text =
                if text.contains(':') && text.contains('.') { text.trim_end_matches('0') } else { text };
            text.trim_end_matches('.')
                .replace(" 0:", " 00:")
                .replace("e+", "e")
                .replace('t', " ")
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect()
        }
    }
}

fn is_uuid(text: &str) -> bool {
    let digits = text.chars().filter(|c| *c != '-');
    digits.clone().count() == 32 && digits.clone().all(|c| c.is_ascii_hexdigit())
}

/// Dimensions, a flag, the elements' type; for each dimension length and first index; then the elements.
fn array(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap()));
    let (dimensions, _nulls, type_id) = (words.next()?, words.next()?, words.next()?);
    if dimensions == 0 {
        return Some("{}".to_owned());
    }
    let count = words.next().filter(|_| dimensions == 1)?;
    let mut rest = bytes.get(20..)?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let (value, after) = after.split_at_checked(usize::try_from(length).unwrap_or(0))?;
        rest = after;
        elements.push(if length < 0 { "NULL".to_owned() } else { quoted(&shown(type_id, value)) });
    }
    rest.is_empty().then(|| format!("{{{}}}", elements.join(",")))
}

fn quoted(element: &str) -> String {
    let plain = !element.is_empty()
        && !element.eq_ignore_ascii_case("null")
        && !element.contains(|c: char| c.is_whitespace() || "{},\"\\".contains(c));
    if plain {
        element.to_owned()
    } else {
        format!("\"{}\"", element.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Microseconds, days, months: here only of days and whole seconds.
fn interval(bytes: &[u8]) -> Option<String> {
    let (micros, rest) = bytes.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let (seconds, days) = (i64::from_be_bytes(*micros) / 1_000_000, i32::from_be_bytes(*days));
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    (months == [0; 4]).then(|| format!("{days} day{} {clock}", if days == 1 { "" } else { "s" }))
}

//! CBOR (RFC 8949) as Kubernetes writes it (KEP-4222): self-described, maps by name, texts as byte strings too.

use data_encoding::BASE64;
use serde_json::{Map, Number, Value};

/// Levels of arrays and maps.
const DEEPEST: usize = 100;

/// Reads one value and nothing behind it.
pub(super) fn read(bytes: &[u8]) -> Result<Value, &'static str> {
    let mut input = bytes;
    let value = value(&mut input, 0)?;
    if input.is_empty() { Ok(value) } else { Err("there is something behind its CBOR") }
}

fn take<'b>(input: &mut &'b [u8], count: usize) -> Result<&'b [u8], &'static str> {
    let (head, rest) = input.split_at_checked(count).ok_or("its CBOR is cut off")?;
    *input = rest;
    Ok(head)
}

/// A head: the kind, and what stands with it; `None`: a length that is not said.
fn head(input: &mut &[u8]) -> Result<(u8, u8, Option<u64>), &'static str> {
    let first = take(input, 1)?.first().copied().unwrap_or_default();
    let (kind, low) = (first >> 5, first & 31);
    let long = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
    let argument = match low {
        0..=23 => Some(u64::from(low)),
        24..=27 => Some(long(take(input, 1 << (low - 24))?)),
        31 if (2..=5).contains(&kind) || kind == 7 => None,
        _ => return Err("its CBOR has a head that means nothing"),
    };
    Ok((kind, low, argument))
}

fn value(input: &mut &[u8], depth: usize) -> Result<Value, &'static str> {
    if depth > DEEPEST {
        return Err("its CBOR is too deep");
    }
    let (kind, low, argument) = head(input)?;
    Ok(match (kind, argument) {
        (0, Some(number)) => number.into(),
        (1, Some(number)) => {
            let number = i64::try_from(number).map_err(|_| "its CBOR has a number that is too small")?;
            (-1 - number).into()
        }
        (2 | 3, length) => Value::String(text(input, kind, length)?),
        (4, length) => {
            let mut values = Vec::new();
            let mut left = length;
            while goes_on(input, &mut left)? {
                values.push(value(input, depth + 1)?);
            }
            values.into()
        }
        (5, length) => {
            let mut fields = Map::new();
            let mut left = length;
            while goes_on(input, &mut left)? {
                let Value::String(name) = value(input, depth + 1)? else {
                    return Err("its CBOR has a name that is no text");
                };
                if fields.insert(name, value(input, depth + 1)?).is_some() {
                    return Err("a name stands twice in its CBOR");
                }
            }
            fields.into()
        }
        (6, Some(tag)) => tagged(tag, input, depth)?,
        (7, Some(argument)) => match low {
            20 => false.into(),
            21 => true.into(),
            22 | 23 => Value::Null,
            25 => float(f64::from(half(argument))),
            26 => float(f64::from(f32::from_bits(u32::try_from(argument).unwrap_or_default()))),
            27 => float(f64::from_bits(argument)),
            _ => return Err("its CBOR has a value that means nothing"),
        },
        _ => return Err("its CBOR has a head that means nothing"),
    })
}

/// Behind a tag. One says that Kubernetes reads bytes as their base64 (RFC 8949, 3.4.5.2): what is a label there is the same here. Its
/// neighbours, which Kubernetes does not write, say the like of other alphabets, and of whole values.
fn tagged(tag: u64, input: &mut &[u8], depth: usize) -> Result<Value, &'static str> {
    const TO_BASE64: u64 = 22;
    const TO_BASE64URL: u64 = 21;
    const TO_BASE16: u64 = 23;
    match tag {
        TO_BASE64 => match head(input)? {
            (2, _, length) => Ok(Value::String(BASE64.encode(&bytes(input, 2, length)?))),
            _ => Err("its CBOR has a tag for bytes at what is none"),
        },
        TO_BASE64URL | TO_BASE16 => Err("its CBOR has bytes that two readers could read differently"),
        // What another tag says of a value changes nothing for us.
        _ => value(input, depth + 1),
    }
}

fn float(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// Half precision (RFC 8949, appendix D).
fn half(bits: u64) -> f32 {
    let bits = u16::try_from(bits).unwrap_or_default();
    let (exponent, mantissa) = (i32::from((bits >> 10) & 31), f32::from(bits & 1023));
    let value = match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (mantissa + 1024.0) * 2f32.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { value } else { -value }
}

fn text(input: &mut &[u8], kind: u8, length: Option<u64>) -> Result<String, &'static str> {
    let bytes = bytes(input, kind, length)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| format!("({} bytes)", error.as_bytes().len())))
}

fn bytes(input: &mut &[u8], kind: u8, length: Option<u64>) -> Result<Vec<u8>, &'static str> {
    Ok(match length {
        Some(length) => take(input, usize::try_from(length).map_err(|_| "its CBOR is cut off")?)?.to_vec(),
        None => {
            let mut all = Vec::new();
            while goes_on(input, &mut None)? {
                let (piece, _, Some(length)) = head(input)? else {
                    return Err("its CBOR has pieces within pieces");
                };
                if piece != kind {
                    return Err("its CBOR has pieces of another kind");
                }
                all.extend_from_slice(take(
                    input,
                    usize::try_from(length).map_err(|_| "its CBOR is cut off")?,
                )?);
            }
            all
        }
    })
}

/// Another element follows: so many are left, or there is no break yet.
fn goes_on(input: &mut &[u8], left: &mut Option<u64>) -> Result<bool, &'static str> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None if input.first() == Some(&0xff) => take(input, 1).map(|_| false),
        None => Ok(true),
    }
}

/// For tests.
#[cfg(test)]
pub(super) fn write(value: &Value) -> Vec<u8> {
    fn head(kind: u8, length: usize) -> Vec<u8> {
        let length = u32::try_from(length).unwrap();
        let mut out = vec![(kind << 5) | 26];
        out.extend(length.to_be_bytes());
        out
    }
    fn one(value: &Value) -> Vec<u8> {
        match value {
            Value::Null => vec![0xf6],
            Value::Bool(value) => vec![if *value { 0xf5 } else { 0xf4 }],
            Value::Number(number) => head(0, usize::try_from(number.as_u64().unwrap()).unwrap()),
            Value::String(text) => [head(2, text.len()), text.as_bytes().to_vec()].concat(),
            Value::Array(values) => [head(4, values.len()), values.iter().flat_map(one).collect()].concat(),
            Value::Object(fields) => {
                let fields_of =
                    |(name, value): (&String, &Value)| [one(&name.as_str().into()), one(value)].concat();
                [head(5, fields.len()), fields.iter().flat_map(fields_of).collect()].concat()
            }
        }
    }
    [vec![0xd9, 0xd9, 0xf7], one(value)].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_is_read() {
        for (bytes, wanted) in [
            (&b"\x18\x64"[..], serde_json::json!(100)),
            (b"\x29", serde_json::json!(-10)),
            (b"\x63abc", serde_json::json!("abc")),
            (b"\x5f\x42ab\x41c\xff", serde_json::json!("abc")),
            (b"\x9f\x01\x02\xff", serde_json::json!([1, 2])),
            (b"\xbf\x61a\xf5\xff", serde_json::json!({"a": true})),
            (b"\xf9\x3e\x00", serde_json::json!(1.5)),
            (b"\xfa\x3f\xc0\x00\x00", serde_json::json!(1.5)),
            (b"\xd6\x43war", serde_json::json!("d2Fy")),
            (b"\xd6\x5f\x42wa\x41r\xff", serde_json::json!("d2Fy")),
        ] {
            assert_eq!(read(bytes), Ok(wanted));
        }
        for bytes in [
            &b"\x1c"[..],
            b"\x44abc",
            b"\xa1\x01\x02",
            b"\xa2\x61a\x01\x61a\x02",
            b"\x01\x02",
            b"",
            b"\xff",
            b"\xd6\x63war",
            b"\xd6\x81\x43war",
            b"\xd5\x43war",
            b"\xd7\x43war",
            &[0x81; 200],
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(read(bytes).is_err(), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}

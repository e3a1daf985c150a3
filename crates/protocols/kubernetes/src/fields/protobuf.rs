//! Kubernetes' protobuf: an envelope, and an object whose fields have numbers. Those of the metadata are known.
//!
//! Source: `k8s.io/apimachinery/pkg/runtime/generated.proto` (`Unknown`) and `meta/v1/generated.proto` (`ObjectMeta`).

use serde_json::{Map, Value};

const MAGIC: &[u8] = b"k8s\0";
/// Levels of messages; what is deeper is told by its length.
const DEEPEST: usize = 20;
const LARGEST_NUMBER: u64 = (1 << 29) - 1;

/// One field of a message.
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// Reads one object.
pub(super) fn read(bytes: &[u8]) -> Result<Value, &'static str> {
    let envelope = bytes.strip_prefix(MAGIC).ok_or("it is no protobuf of Kubernetes")?;
    let (mut kind, mut raw) = (None, None);
    for (number, field) in fields(envelope)? {
        match (number, field) {
            (1, Field::Bytes(bytes)) if kind.replace(bytes).is_none() => {}
            (2, Field::Bytes(bytes)) if raw.replace(bytes).is_none() => {}
            (3 | 4, Field::Bytes(b"")) => {}
            _ => return Err("its envelope of protobuf has what is not known"),
        }
    }
    let mut object = Map::new();
    for (number, field) in fields(kind.unwrap_or_default())? {
        let name = match number {
            1 => "apiVersion",
            2 => "kind",
            _ => return Err("its envelope of protobuf has what is not known"),
        };
        put(&mut object, name.to_owned(), leaf(&field));
    }
    for (number, field) in fields(raw.unwrap_or_default())? {
        match (number, field) {
            // Of two, a reader makes one.
            (1, _) if object.contains_key("metadata") => return Err("its metadata stands twice"),
            (1, Field::Bytes(bytes)) => put(&mut object, "metadata".to_owned(), metadata(bytes)?),
            (number, field) => {
                let name = name_of(object.get("kind").and_then(Value::as_str), number);
                put(&mut object, name, guess(&field, 0));
            }
        }
    }
    Ok(Value::Object(object))
}

/// Most objects have a spec and a status.
fn name_of(kind: Option<&str>, number: u64) -> String {
    let name = match (kind.unwrap_or_default(), number) {
        ("ConfigMap" | "Secret", 2) => "data",
        ("ConfigMap", 3) => "binaryData",
        ("Secret", 3) => "type",
        ("Secret", 4) => "stringData",
        ("Role" | "ClusterRole", 2) => "rules",
        ("RoleBinding" | "ClusterRoleBinding", 2) => "subjects",
        ("RoleBinding" | "ClusterRoleBinding", 3) => "roleRef",
        (_, 2) => "spec",
        (_, 3) => "status",
        (_, number) => return format!("#{number}"),
    };
    name.to_owned()
}

fn metadata(bytes: &[u8]) -> Result<Value, &'static str> {
    let mut object = Map::new();
    for (number, field) in fields(bytes)? {
        let name = match number {
            1 => "name",
            2 => "generateName",
            3 => "namespace",
            5 => "uid",
            6 => "resourceVersion",
            11 | 12 => {
                let name = if number == 11 { "labels" } else { "annotations" };
                let Field::Bytes(bytes) = field else {
                    return Err("its metadata of protobuf cannot be read");
                };
                let (mut key, mut value) = (String::new(), Value::String(String::new()));
                for (number, field) in fields(bytes)? {
                    match (number, leaf(&field)) {
                        (1, Value::String(text)) => key = text,
                        (2, text) => value = text,
                        _ => return Err("its metadata of protobuf cannot be read"),
                    }
                }
                let entries = object.entry(name).or_insert_with(|| Map::new().into());
                if let Value::Object(entries) = entries
                    && entries.insert(key, value).is_some()
                {
                    return Err("a label or annotation stands twice");
                }
                continue;
            }
            17 => continue,
            _ => {
                put(&mut object, format!("#{number}"), guess(&field, 0));
                continue;
            }
        };
        if object.insert(name.to_owned(), leaf(&field)).is_some() {
            return Err("a field of its metadata stands twice");
        }
    }
    Ok(Value::Object(object))
}

/// A field that stands more than once is a list.
fn put(object: &mut Map<String, Value>, name: String, value: Value) {
    match object.get_mut(&name) {
        None => drop(object.insert(name, value)),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![std::mem::take(first), value]),
    }
}

fn leaf(field: &Field<'_>) -> Value {
    match field {
        Field::Number(number) => (*number).into(),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => format!("({} bytes)", bytes.len()).into(),
        },
    }
}

/// Text, a message, or neither: it is not written which, and text is likelier.
fn guess(field: &Field<'_>, depth: usize) -> Value {
    let Field::Bytes(bytes) = field else { return leaf(field) };
    let is_text = std::str::from_utf8(bytes)
        .is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
    if is_text || depth >= DEEPEST {
        return leaf(field);
    }
    let Ok(inner) = fields(bytes) else { return leaf(field) };
    let mut object = Map::new();
    for (number, field) in inner {
        put(&mut object, format!("#{number}"), guess(&field, depth + 1));
    }
    Value::Object(object)
}

fn varint(input: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = input.split_first().ok_or("its protobuf is cut off")?;
        *input = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("its protobuf has a number that is too long")
}

fn take<'b>(input: &mut &'b [u8], count: u64) -> Result<&'b [u8], &'static str> {
    let count = usize::try_from(count).map_err(|_| "its protobuf is cut off")?;
    let (head, rest) = input.split_at_checked(count).ok_or("its protobuf is cut off")?;
    *input = rest;
    Ok(head)
}

/// Little endian.
fn fixed(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

fn fields(mut input: &[u8]) -> Result<Vec<(u64, Field<'_>)>, &'static str> {
    let mut all = Vec::new();
    while !input.is_empty() {
        let key = varint(&mut input)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut input)?),
            1 => Field::Number(fixed(take(&mut input, 8)?)),
            5 => Field::Number(fixed(take(&mut input, 4)?)),
            2 => {
                let length = varint(&mut input)?;
                Field::Bytes(take(&mut input, length)?)
            }
            _ => return Err("its protobuf has a field of a kind that is not known"),
        };
        // Beyond the largest number there is, other readers cut off bits, and read another field.
        if !(1..=LARGEST_NUMBER).contains(&(key >> 3)) {
            return Err("its protobuf has a field without a number, or with none that can be");
        }
        all.push((key >> 3, field));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[(number << 3) | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn envelope(raw: &[u8]) -> Vec<u8> {
        let kind = [field(1, b"apps/v1"), field(2, b"Deployment")].concat();
        [MAGIC, &field(1, &kind), &field(2, raw)].concat()
    }

    #[test]
    fn metadata_has_names_and_the_rest_has_numbers() {
        let label = [field(1, b"app"), field(2, b"web")].concat();
        let metadata = [field(1, b"web"), field(3, b"shop"), field(11, &label)].concat();
        let spec = [&[1 << 3, 3][..], &field(2, &[2 << 3, 1])].concat();
        let object = read(&envelope(&[field(1, &metadata), field(2, &spec)].concat())).unwrap();
        let wanted = serde_json::json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
            "spec": {"#1": 3, "#2": {"#2": 1}},
        });
        assert_eq!(object, wanted);
    }

    #[test]
    fn what_says_two_names_is_refused() {
        let twice = [field(1, b"web"), field(1, b"other")].concat();
        assert!(read(&envelope(&field(1, &twice))).is_err());
        let label = [field(1, b"team"), field(2, b"a")].concat();
        assert!(read(&envelope(&field(1, &[field(11, &label), field(11, &label)].concat()))).is_err());
        assert!(read(b"{}").is_err() && read(b"k8s\0\x0a").is_err());
        // Field 2^32 + 1: whoever reads 32 bits takes it for the first.
        let cut = [&[0x8a, 0x80, 0x80, 0x80, 0x80, 0x01, 5][..], b"other"].concat();
        assert!(read(&envelope(&field(1, &cut))).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&envelope(&bytes[..bytes.len().min(100)]));
        }
    }
}

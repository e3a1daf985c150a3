//! What a request writes: the fields that it sets, for the recording, whatever the encoding of its body.
//!
//! JSON, YAML and CBOR are read to the last field. Protobuf has numbers in place of names; those of an object's metadata are known, the
//! others stay numbers. A body that cannot be read, or that two readers could read differently, goes no further.

mod cbor;
mod protobuf;

use std::fmt;

use bytes::Bytes;
use hoop_model::Fault;
use hoop_policy::{ClusterRequest, KnownLabels};
use http::{HeaderMap, header};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::fault;

/// Fields that are told of one request, and bytes of each.
const MOST: usize = 200;
const LONGEST: usize = 300;
const NOT_RECORDED: &str = " = (not recorded)";
/// Levels of a body.
const DEEPEST: usize = 100;

/// What was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// `spec.replicas = 3`.
    pub(crate) fields: Vec<String>,
    /// The object's name, if the body has one.
    pub(crate) name: String,
    /// And its labels.
    pub(crate) labels: KnownLabels,
}

/// How a body is written.
enum Encoding {
    Json,
    Yaml,
    Cbor,
    Protobuf,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map_or(Some("application/json"), |value| value.to_str().ok())?;
        Some(match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json"
            | "application/json-patch+json"
            | "application/merge-patch+json"
            | "application/strategic-merge-patch+json" => Self::Json,
            "application/yaml" | "application/apply-patch+yaml" => Self::Yaml,
            "application/cbor" | "application/apply-patch+cbor" => Self::Cbor,
            "application/vnd.kubernetes.protobuf" => Self::Protobuf,
            _ => return None,
        })
    }
}

impl Written {
    /// Reads a body. Of one that is `sensitive` no value is told but its metadata.
    ///
    /// # Errors
    /// [`fault::body`].
    pub(crate) fn read(
        headers: &HeaderMap,
        request: &ClusterRequest,
        body: &Bytes,
        sensitive: bool,
    ) -> Result<Self, Fault> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        // What is behind a proxy is no object of Kubernetes.
        if request.subresource == "proxy" {
            return Ok(Self { fields: vec![format!("{} bytes", body.len())], ..Self::default() });
        }
        let encoding = Encoding::of(headers).ok_or_else(|| fault::body("its Content-Type is not known"))?;
        let value = match encoding {
            Encoding::Json => {
                let read = serde_json::from_slice::<Strict>(body).map(|Strict(value)| value);
                read.map_err(|error| fault::body(&format!("it is no JSON with each name once ({error})")))?
            }
            Encoding::Yaml => {
                let text = std::str::from_utf8(body).map_err(|_| fault::body("it is no UTF-8"))?;
                // What the parser says could quote a value.
                let read = serde_saphyr::from_str::<Strict>(text).map(|Strict(value)| value);
                read.map_err(|_| fault::body("it is no YAML of one document with each name once"))?
            }
            Encoding::Cbor => cbor::read(body).map_err(fault::body)?,
            Encoding::Protobuf => protobuf::read(body).map_err(fault::body)?,
        };
        let mut told = Told { fields: Vec::new(), more: 0, sensitive };
        match &value {
            Value::Array(changes) => changes.iter().for_each(|change| told.change(change)),
            value => told.all(&mut String::new(), value, 0),
        }
        let Told { mut fields, more, .. } = told;
        if more > 0 {
            fields.push(format!("and {more} more"));
        }
        let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        Ok(Self { fields, name: name.to_owned(), labels: labels(&value) })
    }
}

/// All labels of an object.
pub(crate) fn labels(object: &Value) -> KnownLabels {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    KnownLabels { all: true, known: labels.into_iter().flatten().filter_map(text).collect() }
}

fn cut(text: &str, longest: usize) -> String {
    let cut: String = text.chars().take(longest).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

struct Told {
    fields: Vec<String>,
    more: usize,
    sensitive: bool,
}

impl Told {
    fn tell(&mut self, field: &str, value: &Value, shown: bool) {
        if self.fields.len() >= MOST {
            self.more += 1;
            return;
        }
        self.fields.push(match value {
            // However long its name is.
            _ if !shown => format!("{}{NOT_RECORDED}", cut(field, LONGEST - NOT_RECORDED.len())),
            Value::String(text) => cut(&format!("{field} = {text}"), LONGEST),
            other => cut(&format!("{field} = {other}"), LONGEST),
        });
    }

    fn may_show(&self, path: &str) -> bool {
        let is_copy = path.contains("last-applied-configuration");
        !is_copy
            && (!self.sensitive
                || path.starts_with("metadata.")
                || matches!(path, "kind" | "apiVersion" | "type"))
    }

    fn all(&mut self, path: &mut String, value: &Value, depth: usize) {
        // Who set which field when is the cluster's own book.
        if path == "metadata.managedFields" {
            return;
        }
        let length = path.len();
        match value {
            Value::Object(fields) if !fields.is_empty() && depth < DEEPEST => {
                for (name, value) in fields {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                    self.all(path, value, depth + 1);
                    path.truncate(length);
                }
            }
            Value::Array(values) if !values.is_empty() && depth < DEEPEST => {
                for (number, value) in values.iter().enumerate() {
                    path.push_str(&format!("[{number}]"));
                    self.all(path, value, depth + 1);
                    path.truncate(length);
                }
            }
            value => {
                let shown = self.may_show(path);
                self.tell(path, value, shown);
            }
        }
    }

    /// One step of a JSON patch (RFC 6902).
    fn change(&mut self, change: &Value) {
        let text = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default();
        let (operation, path) = (text("op"), text("path"));
        let field = format!("{operation} {path}");
        let shown = !self.sensitive || path.starts_with("/metadata/");
        let shown = shown && !path.contains("last-applied-configuration");
        match (change.get("value"), change.get("from")) {
            (Some(value), _) => self.tell(&field, value, shown),
            (None, Some(from)) => self.tell(&format!("{field} from"), from, true),
            (None, None) => self.tell(&field, &Value::Null, true),
        }
    }
}

/// A value in which each name stands once: of two, readers do not take the same one.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Self)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Strict::deserialize(deserializer).map(|Strict(value)| value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(value)) = values.next_element()? {
            all.push(value);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Strict(value))) = fields.next_entry::<String, Strict>()? {
            // What YAML merges, another reader sees.
            if name == "<<" || all.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(all.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &[u8], sensitive: bool) -> Result<Written, Fault> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
        Written::read(&headers, &ClusterRequest::default(), &Bytes::copy_from_slice(body), sensitive)
    }

    const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"app":"web"},"managedFields":[{"a":1}]},"spec":{"replicas":3,"paused":false}}"#;

    #[test]
    fn the_same_write_is_told_alike_in_every_encoding() {
        let json = read("application/json", DEPLOYMENT.as_bytes(), false).unwrap();
        assert_eq!(
            json.fields,
            [
                "apiVersion = apps/v1",
                "kind = Deployment",
                "metadata.labels.app = web",
                "metadata.name = web",
                "spec.paused = false",
                "spec.replicas = 3"
            ]
        );
        assert_eq!((json.name.as_str(), json.labels.known["app"].as_str()), ("web", "web"));
        let yaml = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  labels: {app: web}\nspec:\n  replicas: 3\n  paused: false\n";
        assert_eq!(read("application/apply-patch+yaml", yaml.as_bytes(), false).unwrap(), json);
        let value: Value = serde_json::from_str(DEPLOYMENT).unwrap();
        assert_eq!(read("application/cbor", &cbor::write(&value), false).unwrap(), json);
        for kind in [
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/json; charset=utf-8",
        ] {
            assert_eq!(read(kind, DEPLOYMENT.as_bytes(), false).unwrap(), json);
        }
    }

    /// Written by Python's cbor2 6.3.0 in canonical form, with byte strings for texts as Kubernetes' encoder has them: self-described,
    /// integers of each length, floats of 2 and 8 bytes, null, an empty map.
    const CBOR_OBJECT: &str = "d9d9f7a4446b696e644743726f6e5461624473706563ac436269671a0001117044687567651b000000012a05f200446c6f6e67581e\
        787878787878787878787878787878787878787878787878787878787878446e6f6e65f645656d707479a0456578616374fb3fb999999999999a45686f73747382\
        41614162\
        45726174696ff93e00466f6666736574264773757370656e64f44863726f6e537065634935202a202a202a202a487265706c6963617303486d65746164617461\
        a3446e616d65476e696768746c79466c6162656c73a1447465616d4477617264496e616d65737061636544776172644a61706956657273696f6e4e6578616d\
        706c652e6f72672f7631";
    /// The same, of a Secret: a value as Go's bytes stand in CBOR, to be read as base64.
    const CBOR_SECRET: &str = "d9d9f7a54464617461a14870617373776f7264d646733363726574446b696e64465365637265744474797065464f7061717565486d\
        65746164617461a1446e616d654264624a61706956657273696f6e427631";

    #[test]
    fn what_another_writer_of_cbor_wrote_is_told() {
        let read = |hex: &str, sensitive: bool| {
            read("application/cbor", &data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap(), sensitive)
                .unwrap()
        };
        let written = read(CBOR_OBJECT, false);
        assert_eq!(
            written.fields,
            [
                "apiVersion = example.org/v1",
                "kind = CronTab",
                "metadata.labels.team = ward",
                "metadata.name = nightly",
                "metadata.namespace = ward",
                "spec.big = 70000",
                "spec.cronSpec = 5 * * * *",
                "spec.empty = {}",
                "spec.exact = 0.1",
                "spec.hosts[0] = a",
                "spec.hosts[1] = b",
                "spec.huge = 5000000000",
                "spec.long = xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "spec.none = null",
                "spec.offset = -7",
                "spec.ratio = 1.5",
                "spec.replicas = 3",
                "spec.suspend = false",
            ]
        );
        assert_eq!((written.name.as_str(), written.labels.known["team"].as_str()), ("nightly", "ward"));
        let shown = read(CBOR_SECRET, false).fields;
        assert!(shown.contains(&"data.password = czNjcmV0".to_owned()), "{shown:?}");
        let secret = read(CBOR_SECRET, true).fields;
        assert!(secret.contains(&"data.password = (not recorded)".to_owned()), "{secret:?}");
    }

    #[test]
    fn steps_of_a_patch_are_told() {
        let patch = br#"[{"op":"replace","path":"/spec/replicas","value":3},{"op":"remove","path":"/metadata/labels/app"},{"op":"move","from":"/a","path":"/b"}]"#;
        let told = read("application/json-patch+json", patch, false).unwrap().fields;
        assert_eq!(
            told,
            ["replace /spec/replicas = 3", "remove /metadata/labels/app = null", "move /b from = /a"]
        );
    }

    #[test]
    fn of_a_secret_no_value_is_told() {
        let secret = br#"{"kind":"Secret","metadata":{"name":"db","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"s3cret"}},"data":{"password":"s3cret"},"stringData":{"a":"s3cret"},"type":"Opaque"}"#;
        let patch = br#"[{"op":"add","path":"/data/password","value":"s3cret"}]"#;
        for (kind, body) in [("application/json", &secret[..]), ("application/json-patch+json", &patch[..])] {
            let told = read(kind, body, true).unwrap().fields.join("\n");
            assert!(!told.contains("s3cret") && told.contains("password"), "{told}");
        }
        let told = read("application/json", secret, false).unwrap().fields.join("\n");
        assert!(!told.contains("last-applied-configuration = s3cret"), "{told}");
    }

    #[test]
    fn what_two_readers_could_read_differently_goes_no_further() {
        for (kind, body) in [
            ("application/json", r#"{"metadata":{"labels":{"team":"billing"}},"metadata":{"name":"x"}}"#),
            ("application/json", r#"{"a":1}{"b":2}"#),
            ("application/json", "k8s"),
            ("application/yaml", "a: 1\na: 2\n"),
            ("application/yaml", "a: 1\n---\nb: 2\n"),
            ("application/yaml", "a: &a {team: billing}\nmetadata:\n  labels:\n    '<<': *a\n"),
            ("text/plain", "{}"),
            ("application/cbor", "\u{1}\u{2}"),
            ("application/vnd.kubernetes.protobuf", "{}"),
        ] {
            assert!(read(kind, body.as_bytes(), false).is_err(), "{kind} {body}");
        }
    }

    #[test]
    fn what_is_told_is_bounded() {
        let many: Map<String, Value> =
            (0..1000).map(|n| (format!("f{n}"), Value::from("x".repeat(1000)))).collect();
        let told =
            read("application/json", Value::Object(many).to_string().as_bytes(), false).unwrap().fields;
        assert_eq!(told.len(), MOST + 1);
        assert!(told.iter().all(|field| field.len() < LONGEST + 10));
        assert_eq!(told.last().unwrap(), "and 800 more");
        assert!(read("application/json", "[".repeat(5000).as_bytes(), false).is_err());
    }
}

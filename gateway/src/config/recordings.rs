//! `recordings.*`: where recordings are, how long they may be, how long they are kept.

use std::{fs, path::PathBuf, time::Duration};

use hoop_model::Redacted;
use hoop_policy::rules::Retention;
use reqwest::Url;

use super::{ConfigError, Layers, at_least, bytes, invalid, parse, secret_or_text};

/// Recordings: where, how long, for how long.
#[derive(Debug, Clone)]
pub struct Recordings {
    /// Folder.
    pub dir: PathBuf,
    /// Longest recording of one session, bytes.
    pub limit: u64,
    /// Kept so long where the rule says nothing of it; `None`: for ever.
    pub retention: Option<Retention>,
    /// Finished ones go there; `None`: they stay in the folder.
    pub s3: Option<S3>,
}

/// An S3-compatible store.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Bucket.
    pub bucket: String,
    /// Objects' names begin with it.
    pub prefix: String,
    /// Region.
    pub region: String,
    /// Where, if not AWS; without a slash at the end.
    pub endpoint: Option<String>,
    /// Key and secret; `None`: those of the machine.
    pub key: Option<(String, Redacted<String>)>,
    /// Certificates to trust in place of the system's, PEM.
    pub authorities: Option<String>,
    /// Whether objects are locked.
    pub lock: ObjectLock,
    /// Longest time for one request.
    pub timeout: Duration,
    /// Bytes on their way, at most.
    pub behind_bytes: u64,
    /// Time that the store may be away, at most.
    pub behind: Duration,
}

/// How objects are kept from being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLock {
    /// Not at all.
    Off,
    /// Until their retention is over, but for whoever may bypass it.
    Governance,
    /// Until their retention is over, for everybody.
    Compliance,
}

pub(super) fn check(layers: &Layers, dir: PathBuf) -> Result<Recordings, ConfigError> {
    let retention = match layers.value("recordings.retention").text {
        text if text.is_empty() => None,
        text => Some(
            text.parse::<Retention>()
                .map_err(|error| wrong(layers, "recordings.retention", &error.to_string()))?,
        ),
    };
    let s3 = match layers.value("recordings.store").text.as_str() {
        "disk" => None,
        "s3" => Some(s3(layers, retention)?),
        other => {
            let problem = format!("`{other}` is neither `disk` nor `s3`");
            return Err(wrong(layers, "recordings.store", &problem));
        }
    };
    Ok(Recordings { dir, limit: bytes(layers, "recordings.max_bytes")?, retention, s3 })
}

fn wrong(layers: &Layers, key: &str, problem: &str) -> ConfigError {
    invalid(&layers.value(key), key, problem)
}

fn s3(layers: &Layers, retention: Option<Retention>) -> Result<S3, ConfigError> {
    let text = |key: &str| layers.value(key).text;
    let bucket = text("recordings.s3.bucket");
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(fits) {
        return Err(wrong(layers, "recordings.s3.bucket", "it must be the name of a bucket"));
    }
    let prefix = text("recordings.s3.prefix");
    check_prefix(&prefix).map_err(|problem| wrong(layers, "recordings.s3.prefix", problem))?;
    let lock = match text("recordings.s3.object_lock").as_str() {
        "off" => ObjectLock::Off,
        "governance" => ObjectLock::Governance,
        "compliance" => ObjectLock::Compliance,
        other => {
            let problem = format!("`{other}` is not `off`, `governance` or `compliance`");
            return Err(wrong(layers, "recordings.s3.object_lock", &problem));
        }
    };
    if lock != ObjectLock::Off && retention.is_none() {
        let problem = "a lock needs an end: set `recordings.retention`";
        return Err(wrong(layers, "recordings.s3.object_lock", problem));
    }
    Ok(S3 {
        bucket,
        prefix,
        region: parse(layers, "recordings.s3.region", "a region")?,
        endpoint: endpoint(layers)?,
        key: key(layers)?,
        authorities: authorities(layers)?,
        lock,
        timeout: at_least(layers, "recordings.s3.timeout", Duration::from_millis(100))?,
        behind_bytes: bytes(layers, "recordings.s3.behind_bytes")?,
        behind: at_least(layers, "recordings.s3.behind", Duration::from_secs(1))?,
    })
}

/// What names of objects may begin with.
pub(super) fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let parts = !prefix.split('/').any(|part| part.trim_matches('.').is_empty());
    let good = parts && prefix.chars().all(plain);
    good.then_some(()).ok_or("it must be letters, digits, `-`, `_` and `.`, in parts separated by `/`")
}

/// Nothing goes in the clear to another machine: recordings are encrypted, but who wrote them is not.
fn endpoint(layers: &Layers) -> Result<Option<String>, ConfigError> {
    let key = "recordings.s3.endpoint";
    let text = layers.value(key).text;
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(&text).map_err(|error| wrong(layers, key, &format!("it is no URL: {error}")))?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(wrong(layers, key, "it must be an https:// URL (http:// for loopback addresses)"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong(layers, key, "it must be a URL without user, query and fragment"));
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

fn key(layers: &Layers) -> Result<Option<(String, Redacted<String>)>, ConfigError> {
    let id = layers.value("recordings.s3.access_key_id").text;
    let secret = secret_or_text(layers, "recordings.s3.secret_access_key")?;
    match (id.is_empty(), secret.expose().is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some((id, secret))),
        (false, true) => {
            let problem = "it is missing beside `recordings.s3.access_key_id`";
            Err(wrong(layers, "recordings.s3.secret_access_key", problem))
        }
        (true, false) => {
            let problem = "it is missing beside `recordings.s3.secret_access_key`";
            Err(wrong(layers, "recordings.s3.access_key_id", problem))
        }
    }
}

fn authorities(layers: &Layers) -> Result<Option<String>, ConfigError> {
    let key = "recordings.s3.ca_file";
    let path = layers.value(key).text;
    if path.is_empty() {
        return Ok(None);
    }
    let pem = fs::read_to_string(&path)
        .map_err(|error| wrong(layers, key, &format!("{path} cannot be read: {error}")))?;
    match reqwest::Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(found) if !found.is_empty() => Ok(Some(pem)),
        _ => Err(wrong(layers, key, &format!("{path} holds no certificate"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Origin};

    const GOOD: [(&str, &str); 4] = [
        ("data_dir", "/tmp/x"),
        ("recordings.store", "s3"),
        ("recordings.s3.bucket", "evidence"),
        ("recordings.retention", "7y"),
    ];

    fn with(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        for (key, text) in GOOD.iter().chain(pairs) {
            layers.set(key, *text, Origin::Flag(key.to_string()))?;
        }
        Config::from_layers(&layers)
    }

    #[test]
    fn a_store_of_objects() {
        let recordings = with(&[("recordings.s3.endpoint", "https://s3.example.org/")]).unwrap().recordings;
        let s3 = recordings.s3.unwrap();
        assert_eq!(s3.endpoint.as_deref(), Some("https://s3.example.org"));
        assert_eq!((s3.key, s3.lock), (None, ObjectLock::Off));
        assert_eq!(recordings.retention.unwrap().to_string(), "7y");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        for (key, text) in [
            ("recordings.store", "tape"),
            ("recordings.retention", "for ever"),
            ("recordings.s3.bucket", ""),
            ("recordings.s3.bucket", "A/../b"),
            ("recordings.s3.prefix", "a/../b"),
            ("recordings.s3.endpoint", "http://s3.example.org"),
            ("recordings.s3.endpoint", "https://user@s3.example.org"),
            ("recordings.s3.endpoint", "ftp://s3"),
            ("recordings.s3.object_lock", "on"),
            ("recordings.s3.secret_access_key", "in the clear"),
            ("recordings.s3.access_key_id", "alone"),
            ("recordings.s3.ca_file", "/nowhere"),
        ] {
            let told = with(&[(key, text)]).unwrap_err().to_string();
            assert!(told.contains("recordings."), "{key} = {text}: {told}");
        }
        let told = with(&[("recordings.s3.object_lock", "compliance"), ("recordings.retention", "")]);
        assert!(told.unwrap_err().to_string().contains("recordings.retention"));
    }
}

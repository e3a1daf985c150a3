//! A connection's settings: the JSON an admin writes, checked once, and the [`Target`] made of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use hoop_engine::{
    Address, Credential, CredentialSource, Protocol, RecordingLimits, SecretSource, SettingsError, Started,
    StreamContext, Target, TlsPolicy, hosted::HostedLook,
};
use hoop_model::{GroupName, ProtocolId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{credential::Form, engine::KubernetesEngine, identity::Mapping, look::Look, streams::Over};

/// Kubernetes.
#[derive(Debug)]
pub struct Kubernetes;

const NAME: &str = "kubernetes";
/// Bytes kept of the outputs of a program in a container, and of a log.
const COMMAND_BYTES: u64 = 64 << 20;
/// Bytes kept of each other answer.
const ANSWER_BYTES: u64 = 64 << 10;
/// MiB that the requests of one session may hold at a time.
const ROOM: usize = 32;
/// The same of answers that are read whole.
const ROOM_TO_HIDE: usize = 64;
/// Groups that may be mapped, and groups of the cluster for each.
const MOST_GROUPS: usize = 200;

impl Protocol for Kubernetes {
    fn id(&self) -> ProtocolId {
        #[expect(clippy::expect_used, reason = "a constant, tested")]
        ProtocolId::new(NAME).expect("a valid name")
    }

    fn takes_groups(&self) -> bool {
        true
    }

    fn settings_schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }

    fn configure(&self, settings: &serde_json::Value) -> Result<Arc<dyn Target>, SettingsError> {
        let settings = Settings::deserialize(settings).map_err(|error| wrong(error.to_string()))?;
        Ok(Arc::new(ClusterTarget::check(settings)?))
    }
}

/// Settings of a Kubernetes connection.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Host name or address of the API server, as the agent sees it. Inside the cluster: `kubernetes.default.svc`.
    host: String,
    /// TCP port.
    #[serde(default = "default_port")]
    port: u16,
    /// Where the agent finds a bearer token: `env:NAME`, `file:/absolute/path` or `sealed:BASE64`. Inside the cluster:
    /// `file:/var/run/secrets/kubernetes.io/serviceaccount/token`, which is read anew for each stream.
    #[serde(default)]
    token: Option<String>,
    /// Where the agent finds a kubeconfig, written as `token` is. Of its current context the credential and the authorities are used;
    /// the address is `host` and `port`. Files that it names are not read: make it by `kubectl config view --minify --flatten --raw`.
    #[serde(default)]
    kubeconfig: Option<String>,
    /// How the API server's certificate is checked; it always is.
    #[serde(default)]
    tls: Tls,
    /// Who people are in the cluster. By default each is `hoop:` and their own name.
    #[serde(default)]
    user: Option<String>,
    /// What stands before people's own names.
    #[serde(default = "default_prefix")]
    user_prefix: String,
    /// The groups of the cluster that people are in, by their own groups. Whoever is in none of these is in none.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    groups: BTreeMap<GroupName, Vec<String>>,
    /// Let people be the credential's own account, in place of themselves: for clusters that let nobody impersonate. Their own log
    /// then does not name who it was.
    #[serde(default)]
    as_agent: bool,
    /// By which transport `exec`, `attach` and `portforward` reach the cluster.
    #[serde(default)]
    streams: Transport,
    /// How much is kept in recordings. What a terminal shows is always kept whole.
    #[serde(default)]
    recording: Recording,
}

/// How the API server's certificate is checked.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// PEM file on the agent's host with the authorities to trust in place of the system's. Inside the cluster:
    /// `/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`.
    #[serde(default)]
    ca_file: Option<String>,
    /// The name that must stand in the certificate, if it is not the host.
    #[serde(default)]
    server_name: Option<String>,
    /// PEM file on the agent's host: a client certificate, in place of a token.
    #[serde(default)]
    client_certificate: Option<String>,
    /// PEM file on the agent's host: its private key.
    #[serde(default)]
    client_key: Option<String>,
}

/// By which transport streams reach the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    /// By WebSocket where the cluster speaks its version 5 (from 1.30 on), else by SPDY.
    #[default]
    Auto,
    /// By SPDY/3.1, which every version speaks, but not every proxy before it.
    Spdy,
    /// By WebSocket.
    Websocket,
}

/// How much is kept in recordings.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Bytes kept of the streams of a program without a terminal together, and of a log (default 64 MiB).
    #[serde(default)]
    command_bytes: Option<u64>,
    /// Bytes kept of each other answer of the API (default 64 KiB). Answers about Secrets are never kept.
    #[serde(default)]
    answer_bytes: Option<u64>,
    /// Bytes kept of each forwarded connection (default none).
    #[serde(default)]
    forward_bytes: u64,
    /// Bytes kept of the content of each file that `kubectl cp` moves (default none).
    #[serde(default)]
    file_copies: u64,
}

const fn default_port() -> u16 {
    6443
}

fn default_prefix() -> String {
    "hoop:".to_owned()
}

fn wrong(what: impl Into<String>) -> SettingsError {
    SettingsError { protocol: NAME.to_owned(), what: what.into() }
}

/// What an engine needs of the settings.
#[derive(Debug)]
pub(crate) struct ClusterSettings {
    pub(crate) address: Address,
    pub(crate) form: Form,
    pub(crate) mapping: Mapping,
    pub(crate) streams: Transport,
    /// By which transport the cluster took an exec, and a port-forward, once that is known.
    pub(crate) known: [OnceLock<Over>; 2],
    /// MiB that a session's requests may hold at a time; who wants more waits.
    pub(crate) room: Semaphore,
    /// The same of answers that are read whole: no write waits for a slow one.
    pub(crate) room_to_hide: Semaphore,
    pub(crate) command_bytes: u64,
    pub(crate) answer_bytes: u64,
    pub(crate) forward_bytes: u64,
    pub(crate) file_copies: u64,
}

/// A cluster with checked settings.
#[derive(Debug)]
struct ClusterTarget {
    credential: Option<CredentialSource>,
    tls: TlsPolicy,
    settings: Arc<ClusterSettings>,
}

impl ClusterTarget {
    fn check(settings: Settings) -> Result<Self, SettingsError> {
        let host = text("host", &settings.host)?;
        if host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | ',' | '\\')) {
            return Err(wrong("host: expected one name or address, no path, list or URL"));
        }
        if settings.port == 0 {
            return Err(wrong("port: must not be 0"));
        }
        let secret = |field: &str, source: &str| {
            source.parse::<SecretSource>().map_err(|what| wrong(format!("{field}: {what}")))
        };
        let identity = match (settings.tls.client_certificate, settings.tls.client_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(wrong("tls: client_certificate and client_key go together")),
        };
        let (form, source) = match (&settings.token, &settings.kubeconfig, &identity) {
            (Some(token), None, None) => (Form::Token, Some(secret("token", token)?)),
            (None, Some(config), None) => (Form::Kubeconfig, Some(secret("kubeconfig", config)?)),
            (None, None, Some(_)) => (Form::Certificate, None),
            _ => return Err(wrong("token, kubeconfig, tls.client_certificate: one of them")),
        };
        for (field, value) in
            [("tls.ca_file", &settings.tls.ca_file), ("tls.server_name", &settings.tls.server_name)]
        {
            value.as_deref().map_or(Ok(()), |value| text(field, value).map(drop))?;
        }
        let mapping = mapping(settings.as_agent, settings.user, settings.user_prefix, settings.groups)?;
        let tls = TlsPolicy::Custom {
            authorities: settings.tls.ca_file,
            server_name: settings.tls.server_name,
            identity,
        };
        let cluster = ClusterSettings {
            address: Address { host, port: settings.port },
            form,
            mapping,
            streams: settings.streams,
            known: [OnceLock::new(), OnceLock::new()],
            room: Semaphore::new(ROOM),
            room_to_hide: Semaphore::new(ROOM_TO_HIDE),
            command_bytes: settings.recording.command_bytes.unwrap_or(COMMAND_BYTES),
            answer_bytes: settings.recording.answer_bytes.unwrap_or(ANSWER_BYTES),
            forward_bytes: settings.recording.forward_bytes,
            file_copies: settings.recording.file_copies,
        };
        // There is no user to log in as: the secret says it all.
        let credential =
            source.map(|secret| CredentialSource { user: String::new(), password: Some(secret) });
        Ok(Self { credential, tls, settings: Arc::new(cluster) })
    }
}

fn text(field: &str, value: &str) -> Result<String, SettingsError> {
    match value {
        "" => Err(wrong(format!("{field}: must not be empty"))),
        v if v.len() > 253 => Err(wrong(format!("{field}: longer than 253 bytes"))),
        v if v.chars().any(char::is_control) => {
            Err(wrong(format!("{field}: must not contain control characters")))
        }
        v => Ok(v.to_owned()),
    }
}

/// Names that mean something to Kubernetes itself are given to nobody: `system:masters` may do everything, unseen by its rules.
fn mapping(
    as_agent: bool,
    user: Option<String>,
    prefix: String,
    groups: BTreeMap<GroupName, Vec<String>>,
) -> Result<Mapping, SettingsError> {
    if as_agent {
        return match user.is_none() && groups.is_empty() {
            true => Ok(Mapping::AsAgent),
            false => Err(wrong("as_agent: people are the agent's account then, leave out user and groups")),
        };
    }
    let name = |field: &str, name: &str| -> Result<String, SettingsError> {
        let name = text(field, name)?;
        let is_plain = name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '*' | ',' | '"' | '\\'));
        if !is_plain {
            return Err(wrong(format!("{field}: expected letters, digits and - _ . : / @ +")));
        }
        if name.starts_with("system:") {
            return Err(wrong(format!("{field}: names of Kubernetes' own (system:) are given to nobody")));
        }
        Ok(name)
    };
    // People are called `system` as little as `system:` may stand before their names.
    if !prefix.is_empty() {
        name("user_prefix", &prefix)?;
    }
    let most = groups.len().max(groups.values().map(Vec::len).max().unwrap_or(0));
    if most > MOST_GROUPS {
        return Err(wrong(format!("groups: at most {MOST_GROUPS}, and so many for each")));
    }
    for group in groups.values().flatten() {
        name("groups", group)?;
    }
    let user = user.as_deref().map(|user| name("user", user)).transpose()?;
    Ok(Mapping::People { user, prefix, groups })
}

impl Target for ClusterTarget {
    fn address(&self) -> Address {
        self.settings.address.clone()
    }

    fn tls(&self) -> TlsPolicy {
        self.tls.clone()
    }

    fn credential(&self) -> Option<CredentialSource> {
        self.credential.clone()
    }

    /// Tokens of service accounts are renewed every hour.
    fn credential_changes(&self) -> bool {
        true
    }

    fn look_hosted(&self) -> Option<Box<dyn HostedLook>> {
        Some(Box::new(Look(Arc::clone(&self.settings))))
    }

    fn recording_limits(&self) -> RecordingLimits {
        RecordingLimits { copy_per_request: self.settings.command_bytes, ..RecordingLimits::default() }
    }

    fn start(&self, stream: StreamContext, credential: Credential, _: Timestamp) -> Started {
        Started::Hosted(Box::new(KubernetesEngine::new(Arc::clone(&self.settings), credential, stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn configure(settings: &Value) -> Result<Arc<dyn Target>, String> {
        Kubernetes.configure(settings).map_err(|error| error.to_string())
    }

    fn with(change: Value) -> Value {
        let mut settings = json!({"host": "api", "token": "env:TOKEN"});
        settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        settings
    }

    #[test]
    fn the_least_is_enough() {
        let target = configure(&with(json!({}))).unwrap();
        assert_eq!(target.address(), Address { host: "api".into(), port: 6443 });
        assert_eq!(Kubernetes.id().as_str(), "kubernetes");
        assert!(matches!(
            target.tls(),
            TlsPolicy::Custom { authorities: None, server_name: None, identity: None }
        ));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, named) in [
            (json!({"host": ""}), "host"),
            (json!({"host": "https://api"}), "host"),
            (json!({"port": 0}), "port"),
            (json!({"token": "hunter2"}), "token"),
            (json!({"token": null}), "one of them"),
            (json!({"kubeconfig": "file:/k"}), "one of them"),
            (json!({"tls": {"client_certificate": "/c"}}), "go together"),
            (json!({"tls": {"client_certificate": "/c", "client_key": "/k"}}), "one of them"),
            (json!({"tls": {"insecure": true}}), "insecure"),
            (json!({"user": "system:admin"}), "system:"),
            (json!({"user_prefix": "system:"}), "system:"),
            (json!({"user_prefix": "a\nb"}), "user_prefix"),
            (json!({"groups": {"engineers": ["system:masters"]}}), "system:"),
            (json!({"groups": {"engineers": ["*"]}}), "groups"),
            (json!({"as_agent": true, "user": "x"}), "as_agent"),
            (json!({"streams": "http"}), "streams"),
        ] {
            let error = configure(&with(change.clone())).err().unwrap_or_default();
            assert!(error.contains(named) || error.contains("unknown variant"), "{change}: {error:?}");
            assert!(!error.contains("hunter2"), "a secret is shown: {error}");
        }
    }
}

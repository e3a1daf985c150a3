//! A connection's settings: the JSON an admin writes, checked once, and the [`Target`] made of it.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use hoop_engine::{
    Address, Credential, CredentialSource, Protocol, RecordingLimits, SecretSource, SettingsError, Started,
    StreamContext, Target, TlsPolicy, hosted::HostedLook,
};
use hoop_model::{ProtocolId, Redacted, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    engine::{SshEngine, Way},
    login::{CertificateLimits, Login},
    place::Registered,
    trust::{Trust, host_key_line},
    upstream::Look,
};

/// SSH.
#[derive(Debug)]
pub struct Ssh;

const NAME: &str = "ssh";
/// Bytes kept of a command's streams together.
pub(crate) const COMMAND_BYTES: u64 = 64 << 20;
/// Bytes kept of a transfer of files beside what it does to them: none, so that contents lie in one place.
const FILE_BYTES: u64 = 0;
/// Principals, and addresses, of one connection's certificates.
const MOST_NAMED: usize = 20;
/// Places that may be registered for forwarding, each way.
const MOST_REGISTERED: usize = 200;
/// Variables that a client may bring along, unless the settings say otherwise: language, and git's protocol.
const VARIABLES: [&str; 4] = ["LANG", "LANGUAGE", "LC_*", "GIT_PROTOCOL"];

impl Protocol for Ssh {
    fn id(&self) -> ProtocolId {
        #[expect(clippy::expect_used, reason = "a constant, tested")]
        ProtocolId::new(NAME).expect("a valid name")
    }

    fn own_key(&self, stream_key: &Redacted<[u8; 32]>) -> Option<String> {
        Some(host_key_line(stream_key))
    }

    fn settings_schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }

    fn configure(&self, settings: &serde_json::Value) -> Result<Arc<dyn Target>, SettingsError> {
        let settings = Settings::deserialize(settings).map_err(|error| wrong(error.to_string()))?;
        Ok(Arc::new(SshTarget::check(settings)?))
    }
}

/// Settings of an SSH connection.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Host name or address, as the agent sees it.
    host: String,
    /// TCP port.
    #[serde(default = "default_port")]
    port: u16,
    /// The user that sessions become on the host.
    user: String,
    /// Where the agent finds that user's password: `env:NAME`, `file:/absolute/path` or `sealed:BASE64`.
    #[serde(default)]
    password: Option<String>,
    /// Where the agent finds a private key that lets that user in, written as `password` is. In place of a password.
    #[serde(default)]
    private_key: Option<String>,
    /// Where the agent finds the private key of an SSH authority that the host takes users from (`TrustedUserCAKeys`), written as
    /// `password` is. In place of a password: each log-in gets a certificate of its own, good for minutes.
    #[serde(default)]
    user_authority: Option<String>,
    /// Whom the host lets in by such a certificate. By default `user`.
    #[serde(default)]
    principals: Vec<String>,
    /// Addresses and networks from which such a certificate is good: the agent's, as the host sees it. By default any.
    #[serde(default)]
    source_addresses: Vec<String>,
    /// The host's public keys, as `known_hosts` has them: `ssh-ed25519 AAAA…`. Any other key is refused; without any
    /// nobody gets in, and a test of the connection tells which key the host shows, for an admin to compare and put here.
    #[serde(default)]
    host_keys: Vec<String>,
    /// Public keys of authorities that certify hosts. A certificate must name the host.
    #[serde(default)]
    host_authorities: Vec<String>,
    /// The name that must stand in the host's certificate, if it is not `host`.
    #[serde(default)]
    host_name: Option<String>,
    /// What sessions may be: `shell`, `command`, `files`. By default all three.
    #[serde(default = "everything")]
    allow: BTreeSet<Use>,
    /// Variables that a client may bring along: names, or beginnings of names and `*`. By default `LANG`, `LANGUAGE`, `LC_*`
    /// and `GIT_PROTOCOL`.
    #[serde(default)]
    environment: Option<Vec<String>>,
    /// What may be forwarded to and from, for people whose access rule has `forwarding`. By default nothing.
    #[serde(default)]
    forwarding: Forwards,
    /// How much is kept in recordings. What a terminal shows is always kept whole.
    #[serde(default)]
    recording: Recording,
}

/// Where forwards may lead, and where they may come from: `host:port`, `host:*`, `[address]:port` or the path of a socket, as the
/// host resolves them. A name stands for itself alone: `localhost` is not `127.0.0.1`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Forwards {
    /// What the host may be asked to connect to (`-L`, `-D`, `-W`).
    #[serde(default)]
    to: Vec<String>,
    /// What the host may be asked to listen on (`-R`). `*` as its name: every address of the host.
    #[serde(default)]
    listen: Vec<String>,
}

/// What a session may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Use {
    /// A shell.
    Shell,
    /// One command.
    Command,
    /// Files, by sftp.
    Files,
}

/// How much is kept in recordings.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Bytes kept of a command's streams together, or of a shell's without a terminal (default 64 MiB).
    #[serde(default)]
    command_bytes: Option<u64>,
    /// Bytes kept of the packets of each transfer by sftp, contents of files among them (default none). What a transfer does to
    /// files is always kept.
    #[serde(default)]
    file_bytes: Option<u64>,
    /// Bytes kept of each forwarded connection (default none).
    #[serde(default)]
    forward_bytes: u64,
    /// Bytes kept of the content of each file that is read or written (default none).
    #[serde(default)]
    file_copies: u64,
}

const fn default_port() -> u16 {
    22
}

fn everything() -> BTreeSet<Use> {
    [Use::Shell, Use::Command, Use::Files].into()
}

fn wrong(what: impl Into<String>) -> SettingsError {
    SettingsError { protocol: NAME.to_owned(), what: what.into() }
}

/// How the credential lets hoop in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialKind {
    Password,
    PrivateKey,
    Authority,
}

/// What an engine needs to reach a host.
#[derive(Debug)]
pub(crate) struct HostSettings {
    pub(crate) address: Address,
    pub(crate) trust: Trust,
    pub(crate) kind: CredentialKind,
    pub(crate) certificates: CertificateLimits,
    offer: Arc<Offer>,
}

/// What a connection offers to clients, and what its recordings keep.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) allow: BTreeSet<Use>,
    pub(crate) variables: Vec<String>,
    pub(crate) command_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) forward_to: Vec<Registered>,
    pub(crate) forward_from: Vec<Registered>,
    pub(crate) forward_bytes: u64,
    pub(crate) file_copies: u64,
}

impl Offer {
    /// Whether a client may bring this variable along.
    pub(crate) fn takes_variable(&self, name: &str) -> bool {
        is_variable(name)
            && self.variables.iter().any(|known| match known.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == known,
            })
    }
}

/// A host with checked settings.
#[derive(Debug)]
struct SshTarget {
    credential: CredentialSource,
    settings: Arc<HostSettings>,
}

impl SshTarget {
    fn check(settings: Settings) -> Result<Self, SettingsError> {
        let host = text("host", &settings.host, 253)?;
        if host.contains(|c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | ',' | '\\')
        }) {
            return Err(wrong("host: expected one name or address, no path, list or URL"));
        }
        if settings.port == 0 {
            return Err(wrong("port: must not be 0"));
        }
        let user = text("user", &settings.user, 255)?;
        let secret = |field: &str, source: &str| {
            source.parse::<SecretSource>().map_err(|what| wrong(format!("{field}: {what}")))
        };
        let (kind, secret) = match (&settings.password, &settings.private_key, &settings.user_authority) {
            (Some(password), None, None) => (CredentialKind::Password, secret("password", password)?),
            (None, Some(key), None) => (CredentialKind::PrivateKey, secret("private_key", key)?),
            (None, None, Some(key)) => (CredentialKind::Authority, secret("user_authority", key)?),
            _ => return Err(wrong("password, private_key, user_authority: one of them")),
        };
        let certificates = certificates(kind, &user, settings.principals, settings.source_addresses)?;
        let name = settings.host_name.as_deref().unwrap_or(&host);
        let trust = Trust::new(&settings.host_keys, &settings.host_authorities, name).map_err(wrong)?;
        if settings.allow.is_empty() {
            return Err(wrong("allow: at least one of shell, command, files"));
        }
        let variables = variables(settings.environment).map_err(wrong)?;
        let registered = |field: &str, places: &[String]| -> Result<Vec<_>, SettingsError> {
            if places.len() > MOST_REGISTERED {
                return Err(wrong(format!("forwarding.{field}: at most {MOST_REGISTERED}")));
            }
            let parse = |place: &String| {
                Registered::parse(place)
                    .map_err(|what| wrong(format!("forwarding.{field}: {place:?}: {what}")))
            };
            places.iter().map(parse).collect()
        };
        let offer = Offer {
            forward_to: registered("to", &settings.forwarding.to)?,
            forward_from: registered("listen", &settings.forwarding.listen)?,
            forward_bytes: settings.recording.forward_bytes,
            allow: settings.allow,
            variables,
            command_bytes: settings.recording.command_bytes.unwrap_or(COMMAND_BYTES),
            file_bytes: settings.recording.file_bytes.unwrap_or(FILE_BYTES),
            file_copies: settings.recording.file_copies,
        };
        let address = Address { host, port: settings.port };
        let host = HostSettings { address, trust, kind, certificates, offer: Arc::new(offer) };
        let credential = CredentialSource { user, password: Some(secret) };
        Ok(Self { credential, settings: Arc::new(host) })
    }
}

fn text(field: &str, value: &str, most: usize) -> Result<String, SettingsError> {
    match value {
        "" => Err(wrong(format!("{field}: must not be empty"))),
        v if v.len() > most => Err(wrong(format!("{field}: longer than {most} bytes"))),
        v if v.chars().any(char::is_control) => {
            Err(wrong(format!("{field}: must not contain control characters")))
        }
        v => Ok(v.to_owned()),
    }
}

/// Principals and addresses stand in lists that are split at commas, and some hosts take patterns for them.
fn certificates(
    kind: CredentialKind,
    user: &str,
    principals: Vec<String>,
    addresses: Vec<String>,
) -> Result<CertificateLimits, SettingsError> {
    if kind != CredentialKind::Authority {
        return match principals.is_empty() && addresses.is_empty() {
            true => Ok(CertificateLimits::default()),
            false => Err(wrong("principals, source_addresses: they are for user_authority")),
        };
    }
    let principals = if principals.is_empty() { vec![user.to_owned()] } else { principals };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+' | ':');
    let is_principal = |name: &String| (1..=255).contains(&name.len()) && name.chars().all(is_plain);
    if principals.len() > MOST_NAMED || !principals.iter().all(is_principal) {
        return Err(wrong("principals: expected at most 20 names of letters, digits and . _ - @ + :"));
    }
    let is_network = |text: &String| {
        let (address, length) = text.split_once('/').unwrap_or((text, "0"));
        let longest = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= longest)
    };
    if addresses.len() > MOST_NAMED || !addresses.iter().all(is_network) {
        return Err(wrong("source_addresses: expected at most 20 addresses or networks like 10.0.0.0/8"));
    }
    Ok(CertificateLimits { principals, addresses })
}

fn is_variable(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a client may bring along, as settings say it.
pub(crate) fn variables(listed: Option<Vec<String>>) -> Result<Vec<String>, String> {
    let variables = listed.unwrap_or_else(|| VARIABLES.map(str::to_owned).into());
    variables.iter().try_for_each(|name| check_variable(name))?;
    Ok(variables)
}

/// A pattern that lets in what changes which code runs is no list of what is harmless.
fn check_variable(pattern: &str) -> Result<(), String> {
    const NEVER: [&str; 14] = [
        "LD_",
        "DYLD_",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PATH",
        "SHELLOPTS",
        "PS4",
        "PROMPT_COMMAND",
        "PYTHON",
        "PERL",
        "RUBY",
        "NODE_",
        "GIT_SSH",
    ];
    let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
    let leads_astray = |never: &&str| {
        beginning.starts_with(*never) || (pattern.ends_with('*') && never.starts_with(beginning))
    };
    if !is_variable(beginning) {
        return Err("environment: expected names, or beginnings of names and `*`".to_owned());
    }
    if NEVER.iter().any(leads_astray) {
        return Err(format!("environment: {pattern} can change what runs on the host"));
    }
    Ok(())
}

impl Target for SshTarget {
    fn address(&self) -> Address {
        self.settings.address.clone()
    }

    /// SSH protects itself.
    fn tls(&self) -> TlsPolicy {
        TlsPolicy::Disabled
    }

    fn credential(&self) -> Option<CredentialSource> {
        Some(self.credential.clone())
    }

    fn look_hosted(&self) -> Option<Box<dyn HostedLook>> {
        Some(Box::new(Look(Arc::clone(&self.settings))))
    }

    fn recording_limits(&self) -> RecordingLimits {
        RecordingLimits { copy_per_request: self.settings.offer.command_bytes, ..RecordingLimits::default() }
    }

    fn start(&self, stream: StreamContext, credential: Credential, _: Timestamp) -> Started {
        let HostSettings { kind, certificates, offer, .. } = &*self.settings;
        let login = Login::new(*kind, credential, certificates, Some(&stream));
        let way = Way::Host(Arc::clone(&self.settings), login);
        Started::Hosted(Box::new(SshEngine::new(Arc::clone(offer), way, stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn configure(settings: &Value) -> Result<Arc<dyn Target>, String> {
        Ssh.configure(settings).map_err(|error| error.to_string())
    }

    fn with(change: Value) -> Value {
        let mut settings = json!({"host": "web", "user": "deploy", "password": "env:PW", "host_keys": [KEY]});
        settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        settings
    }

    #[test]
    fn the_least_is_enough() {
        let target = configure(&with(json!({}))).unwrap();
        assert_eq!(target.address(), Address { host: "web".into(), port: 22 });
        assert_eq!(target.credential().unwrap().user, "deploy");
        assert_eq!(Ssh.id().as_str(), "ssh");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, named) in [
            (json!({"host": ""}), "host"),
            (json!({"host": "u@web"}), "host"),
            (json!({"host": "-oProxyCommand=id,x"}), "host"),
            (json!({"port": 0}), "port"),
            (json!({"user": "a\nb"}), "user"),
            (json!({"password": "hunter2"}), "password"),
            (json!({"password": null}), "one of them"),
            (json!({"private_key": "file:/k"}), "one of them"),
            (json!({"user_authority": "file:/k"}), "one of them"),
            (json!({"principals": ["root"]}), "user_authority"),
            (json!({"password": null, "user_authority": "file:/k", "principals": ["a,root"]}), "principals"),
            (json!({"password": null, "user_authority": "file:/k", "principals": ["*"]}), "principals"),
            (json!({"password": null, "user_authority": "file:/k", "user": "a*"}), "principals"),
            (
                json!({"password": null, "user_authority": "file:/k", "source_addresses": ["10.0.0.0/33"]}),
                "source_addresses",
            ),
            (json!({"host_keys": ["web ssh-ed25519 AAAA"]}), "host_keys"),
            (json!({"host_authorities": ["nonsense"]}), "host_authorities"),
            (json!({"allow": []}), "allow"),
            (json!({"allow": ["forwards"]}), "forwards"),
            (json!({"forwarding": {"to": ["db"]}}), "forwarding.to"),
            (json!({"forwarding": {"listen": ["8080"]}}), "forwarding.listen"),
            (json!({"forwarding": {"to": ["/run/../x"]}}), "forwarding.to"),
            (json!({"forwarding": {"anywhere": true}}), "anywhere"),
            (json!({"strict_host_key_checking": "no"}), "strict_host_key_checking"),
        ] {
            let error = configure(&with(change.clone())).err().unwrap_or_default();
            assert!(error.contains(named), "{change}: {error:?}");
            assert!(!error.contains("hunter2"), "a secret is shown: {error}");
        }
    }

    #[test]
    fn variables_that_change_what_runs_are_never_taken() {
        for pattern in ["LD_PRELOAD", "LD_*", "L*", "*", "BASH_ENV", "PATH", "PYTHON*", "P*", "A=B", "", "1"]
        {
            let error = configure(&with(json!({"environment": [pattern]}))).err().unwrap_or_default();
            assert!(error.contains("environment"), "{pattern}: {error:?}");
        }
        assert!(configure(&with(json!({"environment": ["LC_*", "TZ", "EDITOR"]}))).is_ok());
        let target = SshTarget::check(Settings::deserialize(with(json!({}))).unwrap()).unwrap();
        for (name, taken) in [
            ("LANG", true),
            ("LC_ALL", true),
            ("LC_", true),
            ("LANGUAGES", false),
            ("LD_PRELOAD", false),
            ("LC_ALL=x", false),
            ("", false),
        ] {
            assert_eq!(target.settings.offer.takes_variable(name), taken, "{name}");
        }
    }
}

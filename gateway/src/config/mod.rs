//! The gateway's configuration: defaults, then a file, then the environment, then flags.
//!
//! [`Layers`] holds texts and where they came from; [`Config`] is what the rest of the gateway sees: checked once, here.

pub(crate) mod channels;
mod layers;
pub(crate) mod ledger;
pub(crate) mod lists;
pub mod options;
pub mod recording_keys;
mod recordings;
mod units;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use hoop_model::{GroupName, Redacted};
use hoop_policy::bundle::BundlePublicKey;
use hoop_telemetry::LogFormat;

pub use channels::Channel;
pub use layers::{ConfigError, Layers, Origin, Raw};
pub use ledger::{Sink, Witness};
pub use recordings::{ObjectLock, Recordings, S3};

/// A certificate of a shorter life would be renewed all the time.
const SHORTEST_CERTIFICATE: Duration = Duration::from_secs(10);

/// Everything the gateway needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of state.
    pub data_dir: PathBuf,
    /// The public port.
    pub listen: SocketAddr,
    /// Name under which the gateway is reached.
    pub public_host: String,
    /// Port under which it is reached; 0: that of the listener.
    pub public_port: u16,
    /// Metrics and health.
    pub ops_listen: Option<SocketAddr>,
    /// Threads of the runtime.
    pub worker_threads: usize,
    /// Where state is kept. May carry a password.
    pub store_url: Redacted<String>,
    /// Recordings.
    pub recordings: Recordings,
    /// Key file that seals secrets in the store.
    pub master_key_file: PathBuf,
    /// Who keeps the organisation's recording key.
    pub recording_keys: recording_keys::RecordingKeys,
    /// Certificate and key given by the operator.
    pub tls_files: Option<TlsFiles>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which are written.
    pub log_level: String,
    /// Built-in accounts may sign in.
    pub password_login: bool,
    /// An account that administers opens nothing.
    pub separate_admins: bool,
    /// Who signs the bundles that rules come in; none: admins write them.
    pub policy_key: Option<BundlePublicKey>,
    /// The identity provider.
    pub oidc: Option<Oidc>,
    /// Bounds.
    pub limits: Limits,
    /// Lives of sign-ins.
    pub tokens: Tokens,
    /// Lives of certificates.
    pub certificates: Certificates,
    /// Data connections that an agent keeps waiting.
    pub dial_ahead: u32,
    /// Interval of pings.
    pub agent_ping: Duration,
    /// How often a grown ledger is signed.
    pub checkpoint_interval: Duration,
    /// Ways by which people are told.
    pub channels: Vec<Channel>,
    /// Where checkpoints of the ledger go.
    pub publish: Vec<Sink>,
    /// Who signs them beside the gateway.
    pub witnesses: Vec<Witness>,
}

/// A certificate chain and its key, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Chain.
    pub cert: PathBuf,
    /// Key.
    pub key: PathBuf,
}

/// The identity provider, and what its claims mean.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// Issuer URL.
    pub issuer: String,
    /// Our client id.
    pub client_id: String,
    /// Our client secret.
    pub client_secret: Option<Redacted<String>>,
    /// Text of the button.
    pub label: String,
    /// Claim that holds groups.
    pub groups_claim: String,
    /// Scopes beside `openid`.
    pub scopes: Vec<String>,
    /// `amr` values that prove a second factor.
    pub mfa_amr: Vec<String>,
    /// `acr` values that prove a second factor.
    pub mfa_acr: Vec<String>,
    /// Whose members are admins.
    pub admin_groups: Vec<GroupName>,
    /// Whose members are auditors.
    pub auditor_groups: Vec<GroupName>,
    /// Whose members are approvers.
    pub approver_groups: Vec<GroupName>,
    /// How often it is asked again about people.
    pub recheck: Duration,
}

/// Bounds on what others can make us hold or do.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections from one address.
    pub connections_per_address: usize,
    /// Connections that have not finished their handshake.
    pub half_open: usize,
    /// Time for that.
    pub handshake_timeout: Duration,
    /// Longest `ClientHello`.
    pub pre_auth_bytes: usize,
    /// Longest body.
    pub body: usize,
    /// Live sessions of one person.
    pub sessions_per_user: usize,
    /// Open connections of one session.
    pub streams_per_session: usize,
    /// Connections of people that wait for one agent.
    pub waiting_per_agent: usize,
    /// Attempts from one address.
    pub login_attempts_per_minute: u32,
}

/// Lives of sign-ins.
#[derive(Debug, Clone, Copy)]
pub struct Tokens {
    /// Access token.
    pub access: Duration,
    /// CLI sign-in without a refresh.
    pub idle: Duration,
    /// Any sign-in.
    pub absolute: Duration,
    /// Browser sign-in without use.
    pub cookie_idle: Duration,
    /// How long a proof of the second factor is good for changes of privilege.
    pub fresh_mfa: Duration,
}

/// Lives of certificates.
#[derive(Debug, Clone, Copy)]
pub struct Certificates {
    /// A session's.
    pub session: Duration,
    /// An agent's.
    pub agent: Duration,
}

impl Config {
    /// The defaults with a folder for state, as tests and demos use them.
    ///
    /// # Errors
    /// Never for a folder whose path is UTF-8.
    pub fn in_folder(data_dir: &Path) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        layers.set("data_dir", data_dir.display().to_string(), Origin::Flag("data-dir".to_owned()))?;
        Self::from_layers(&layers)
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`ConfigError`] for the first wrong one.
    pub fn from_layers(layers: &Layers) -> Result<Self, ConfigError> {
        let data_dir = PathBuf::from(layers.value("data_dir").text);
        let in_data = |key: &str, name: &str| match layers.value(key).text {
            text if text.is_empty() => data_dir.join(name),
            text => PathBuf::from(text),
        };
        let store_url = match secret_or_text(layers, "store.url")? {
            url if url.expose().is_empty() => {
                Redacted::new(format!("sqlite:{}", data_dir.join("hoop.db").display()))
            }
            url => url,
        };
        let recordings = recordings::check(layers, in_data("recordings.dir", "recordings"))?;
        Ok(Self {
            listen: parse(layers, "listen", "such as 127.0.0.1:8443")?,
            public_host: host(layers)?,
            public_port: parse(layers, "public_port", "0 to 65535")?,
            ops_listen: optional(layers, "ops_listen")?,
            worker_threads: parse::<usize>(layers, "worker_threads", "1 or more")?.clamp(1, 1024),
            store_url,
            master_key_file: in_data("keys.master_file", "keys/master.key"),
            recording_keys: recording_keys::read(layers, &data_dir)?,
            tls_files: tls_files(layers)?,
            log_format: parse(layers, "log.format", "`pretty` or `json`")?,
            log_level: log_level(layers)?,
            password_login: switch(layers, "login.password")?,
            separate_admins: one_of(layers, "admin_identity", "same", "separate")?,
            policy_key: policy_key(layers)?,
            oidc: oidc(layers)?,
            limits: limits(layers)?,
            tokens: tokens(layers)?,
            certificates: Certificates {
                session: at_least(layers, "certificates.session", SHORTEST_CERTIFICATE)?,
                agent: at_least(layers, "certificates.agent", SHORTEST_CERTIFICATE)?,
            },
            dial_ahead: parse(layers, "agents.dial_ahead", "0 or more")?,
            agent_ping: at_least(layers, "agents.ping", Duration::from_millis(100))?,
            channels: channels::check(layers.list(&channels::LIST))?,
            publish: ledger::sinks(layers.list(&ledger::PUBLISH), recordings.s3.is_some())?,
            recordings,
            witnesses: ledger::witnesses(layers.list(&ledger::WITNESSES))?,
            checkpoint_interval: at_least(layers, "ledger.checkpoint_interval", Duration::from_millis(50))?,
            data_dir,
        })
    }
}

fn limits(layers: &Layers) -> Result<Limits, ConfigError> {
    let count = |key| parse::<usize>(layers, key, "a whole number");
    Ok(Limits {
        connections_per_address: count("limits.connections_per_address")?,
        half_open: count("limits.half_open")?,
        handshake_timeout: at_least(layers, "limits.handshake_timeout", Duration::from_millis(100))?,
        pre_auth_bytes: size(layers, "limits.pre_auth_bytes", 1024)?,
        body: size(layers, "limits.body", 1024)?,
        sessions_per_user: count("limits.sessions_per_user")?,
        streams_per_session: count("limits.streams_per_session")?,
        waiting_per_agent: count("limits.waiting_per_agent")?,
        login_attempts_per_minute: parse(layers, "limits.login_attempts_per_minute", "a whole number")?,
    })
}

fn tokens(layers: &Layers) -> Result<Tokens, ConfigError> {
    Ok(Tokens {
        access: at_least(layers, "tokens.access", Duration::from_secs(1))?,
        idle: at_least(layers, "tokens.idle", Duration::from_secs(1))?,
        absolute: at_least(layers, "tokens.absolute", Duration::from_secs(1))?,
        cookie_idle: at_least(layers, "tokens.cookie_idle", Duration::from_secs(1))?,
        fresh_mfa: at_least(layers, "tokens.fresh_mfa", Duration::from_secs(30))?,
    })
}

fn oidc(layers: &Layers) -> Result<Option<Oidc>, ConfigError> {
    let issuer = layers.value("oidc.issuer");
    if issuer.text.is_empty() {
        return Ok(None);
    }
    let text = |key| layers.value(key).text;
    let client_id = text("oidc.client_id");
    if client_id.is_empty() {
        return Err(ConfigError::new(
            issuer.origin,
            "`oidc.issuer` is set, `oidc.client_id` is not",
            "set both",
        ));
    }
    let client_secret =
        Some(secret_or_text(layers, "oidc.client_secret")?).filter(|s| !s.expose().is_empty());
    Ok(Some(Oidc {
        issuer: issuer.text,
        client_id,
        client_secret,
        label: text("oidc.label"),
        groups_claim: text("oidc.groups_claim"),
        scopes: list(layers, "oidc.scopes"),
        mfa_amr: list(layers, "oidc.mfa_amr"),
        mfa_acr: list(layers, "oidc.mfa_acr"),
        admin_groups: groups(layers, "oidc.admin_groups")?,
        auditor_groups: groups(layers, "oidc.auditor_groups")?,
        approver_groups: groups(layers, "oidc.approver_groups")?,
        recheck: at_least(layers, "oidc.recheck", Duration::from_secs(1))?,
    }))
}

fn invalid(raw: &Raw, key: &str, problem: &str) -> ConfigError {
    match options::find(key) {
        Some(row) => layers::wrong(row, &raw.origin, problem),
        None => ConfigError::new(&raw.origin, problem, "see docs/CONFIG.md"),
    }
}

fn parse<T: FromStr>(layers: &Layers, key: &str, wanted: &str) -> Result<T, ConfigError> {
    let raw = layers.value(key);
    raw.text.trim().parse().map_err(|_| invalid(&raw, key, &format!("`{}` is not {wanted}", raw.text)))
}

fn optional(layers: &Layers, key: &str) -> Result<Option<SocketAddr>, ConfigError> {
    if layers.value(key).text.is_empty() {
        return Ok(None);
    }
    parse(layers, key, "an address and port").map(Some)
}

fn duration(layers: &Layers, key: &str) -> Result<Duration, ConfigError> {
    let raw = layers.value(key);
    units::duration(&raw.text).ok_or_else(|| invalid(&raw, key, &format!("`{}` is not a duration", raw.text)))
}

fn at_least(layers: &Layers, key: &str, least: Duration) -> Result<Duration, ConfigError> {
    let given = duration(layers, key)?;
    if given < least {
        return Err(invalid(&layers.value(key), key, &format!("it must be at least {least:?}")));
    }
    Ok(given)
}

fn bytes(layers: &Layers, key: &str) -> Result<u64, ConfigError> {
    let raw = layers.value(key);
    units::bytes(&raw.text).ok_or_else(|| invalid(&raw, key, &format!("`{}` is not a size", raw.text)))
}

fn size(layers: &Layers, key: &str, least: u64) -> Result<usize, ConfigError> {
    let given = bytes(layers, key)?;
    if given < least {
        return Err(invalid(&layers.value(key), key, &format!("it must be at least {least} bytes")));
    }
    usize::try_from(given).map_err(|_| invalid(&layers.value(key), key, "it is too large"))
}

fn switch(layers: &Layers, key: &str) -> Result<bool, ConfigError> {
    one_of(layers, key, "off", "on")
}

/// Which of two words it is: whether the second.
fn one_of(layers: &Layers, key: &str, no: &str, yes: &str) -> Result<bool, ConfigError> {
    let raw = layers.value(key);
    match raw.text.as_str() {
        text if text == yes => Ok(true),
        text if text == no => Ok(false),
        other => Err(invalid(&raw, key, &format!("`{other}` is neither `{yes}` nor `{no}`"))),
    }
}

fn list(layers: &Layers, key: &str) -> Vec<String> {
    let text = layers.value(key).text;
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn groups(layers: &Layers, key: &str) -> Result<Vec<GroupName>, ConfigError> {
    let group = |name: String| {
        GroupName::new(name).map_err(|error| invalid(&layers.value(key), key, &error.to_string()))
    };
    list(layers, key).into_iter().map(group).collect()
}

fn host(layers: &Layers) -> Result<String, ConfigError> {
    let raw = layers.value("public_host");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    if raw.text.is_empty() || raw.text.len() > 253 || !raw.text.chars().all(allowed) {
        return Err(invalid(
            &raw,
            "public_host",
            "it must be a host name or an IP address, without scheme or port",
        ));
    }
    Ok(raw.text)
}

fn log_level(layers: &Layers) -> Result<String, ConfigError> {
    let raw = layers.value("log.level");
    hoop_telemetry::check_filter(&raw.text)
        .map_err(|error| invalid(&raw, "log.level", &error.to_string()))?;
    Ok(raw.text)
}

fn policy_key(layers: &Layers) -> Result<Option<BundlePublicKey>, ConfigError> {
    let raw = layers.value("policy_key");
    if raw.text.is_empty() {
        return Ok(None);
    }
    let wrong = |problem: String| invalid(&raw, "policy_key", &problem);
    let pem =
        std::fs::read_to_string(&raw.text).map_err(|error| wrong(format!("`{}`: {error}", raw.text)))?;
    BundlePublicKey::from_pem(&pem).map(Some).map_err(|error| wrong(format!("`{}`: {error}", raw.text)))
}

fn tls_files(layers: &Layers) -> Result<Option<TlsFiles>, ConfigError> {
    let (cert, key) = (layers.value("tls.cert_file"), layers.value("tls.key_file"));
    match (cert.text.is_empty(), key.text.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(TlsFiles { cert: cert.text.into(), key: key.text.into() })),
        (false, true) => {
            Err(invalid(&cert, "tls.cert_file", "`tls.key_file` is missing; set both or neither"))
        }
        (true, false) => {
            Err(invalid(&key, "tls.key_file", "`tls.cert_file` is missing; set both or neither"))
        }
    }
}

/// `env:NAME` and `file:PATH` are followed; other text stands for itself (and is refused for secrets).
fn secret_or_text(layers: &Layers, key: &str) -> Result<Redacted<String>, ConfigError> {
    let raw = layers.value(key);
    let secret = options::find(key).is_some_and(|row| row.kind == options::Kind::SecretSource);
    source(&raw, secret, |problem| invalid(&raw, key, &problem))
}

/// A secret of the command line, by its source; other text stands for itself.
///
/// # Errors
/// When the source cannot be followed.
pub fn secret(text: &str) -> Result<Redacted<String>, ConfigError> {
    let origin = Origin::Flag("store".to_owned());
    let raw = Raw { text: text.to_owned(), origin: origin.clone() };
    source(&raw, false, |problem| ConfigError::new(&origin, problem, "env:NAME, file:PATH, or the URL"))
}

fn source(
    raw: &Raw,
    secret: bool,
    fail: impl Fn(String) -> ConfigError,
) -> Result<Redacted<String>, ConfigError> {
    if let Some(name) = raw.text.strip_prefix("env:") {
        return std::env::var(name)
            .map(Redacted::new)
            .map_err(|_| fail(format!("the variable {name} is not set")));
    }
    if let Some(path) = raw.text.strip_prefix("file:") {
        let text = std::fs::read_to_string(path).map_err(|e| fail(format!("{path} cannot be read: {e}")))?;
        return Ok(Redacted::new(text.trim_end().to_owned()));
    }
    if secret && !raw.text.is_empty() {
        return Err(fail("a secret is given by its source, not by its value".to_owned()));
    }
    Ok(Redacted::new(raw.text.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        for (key, text) in pairs {
            layers.set(key, *text, Origin::Flag(key.to_string())).unwrap();
        }
        Config::from_layers(&layers)
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        let config = with(&[("data_dir", "/tmp/x")]).unwrap();
        assert_eq!(config.listen, "127.0.0.1:8443".parse().unwrap());
        assert_eq!(config.store_url.expose(), "sqlite:/tmp/x/hoop.db");
        assert_eq!(config.recordings.dir, Path::new("/tmp/x/recordings"));
        assert_eq!(config.tokens.access, Duration::from_secs(900));
        assert!(config.oidc.is_none());
    }

    #[test]
    fn wrong_values_name_the_key_and_the_flag() {
        let cases: [(&[(&str, &str)], &str); 14] = [
            (&[("listen", "8443")], "listen"),
            (&[("public_host", "https://x")], "public_host"),
            (&[("public_host", "a\nb")], "public_host"),
            (&[("public_port", "70000")], "public_port"),
            (&[("limits.body", "12")], "limits.body"),
            (&[("tokens.access", "soon")], "tokens.access"),
            (&[("log.format", "xml")], "log.format"),
            (&[("log.level", "hoop=loud")], "log.level"),
            (&[("tls.cert_file", "x.pem")], "tls.cert_file"),
            (&[("oidc.issuer", "https://idp")], "oidc.issuer"),
            (
                &[("oidc.issuer", "https://idp"), ("oidc.client_id", "x"), ("oidc.client_secret", "s3cret")],
                "oidc.client_secret",
            ),
            (&[("login.password", "yes")], "login.password"),
            (&[("admin_identity", "")], "admin_identity"),
            (&[("admin_identity", "Separate")], "admin_identity"),
        ];
        for (pairs, key) in cases {
            let error = with(pairs).unwrap_err();
            assert!(error.message.contains(key), "{error}");
            assert!(error.origin.starts_with("flag --"), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_store_url_does_not_show_itself() {
        let config = with(&[("store.url", "postgres://hoop:s3cret@db/hoop")]).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}

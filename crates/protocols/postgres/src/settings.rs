//! A connection's settings: the JSON an admin writes, checked once, and the [`Target`] made of it.
//!
//! There is no connection string anywhere: a host, a user or a database is a value and stays one, whatever it holds.

use std::sync::Arc;

use hoop_engine::{
    Accounts, Address, Credential, CredentialSource, Errand, Protocol, RecordingLimits, SecretSource,
    SettingsError, Started, StreamContext, Target, TlsPolicy,
};
use hoop_model::{ProtocolId, Timestamp};
use hoop_sql::{Dialect, postgres::Mode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    account::{AccountSettings, AccountTerms, Look, PostgresAccounts, Scan},
    engine::PostgresEngine,
};

/// PostgreSQL.
#[derive(Debug)]
pub struct Postgres;

const NAME: &str = "postgres";

impl Protocol for Postgres {
    fn id(&self) -> ProtocolId {
        // A literal that satisfies the rule for names; the test below holds it to that.
        #[expect(clippy::expect_used, reason = "a constant, tested")]
        ProtocolId::new(NAME).expect("a valid name")
    }

    fn settings_schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }

    fn socket_name(&self) -> &'static str {
        // What libpq makes of a folder and its default port.
        ".s.PGSQL.5432"
    }

    fn dialect(&self) -> Option<Dialect> {
        Some(Dialect::Postgres(Mode::default()))
    }

    fn configure(&self, settings: &serde_json::Value) -> Result<Arc<dyn Target>, SettingsError> {
        let settings = Settings::deserialize(settings).map_err(|error| wrong(error.to_string()))?;
        Ok(Arc::new(PostgresTarget::check(settings)?))
    }
}

/// Settings of a PostgreSQL connection.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Host name or address of the server, as the agent sees it.
    host: String,
    /// TCP port.
    #[serde(default = "default_port")]
    port: u16,
    /// The database user that sessions become.
    user: String,
    /// Where the agent finds that user's password: `env:NAME`, `file:/absolute/path` or `sealed:BASE64`.
    #[serde(default)]
    password: Option<String>,
    /// Where the agent finds the key with which masked values are hashed or faked (at least 32 characters), written as
    /// `password` is. If absent, each agent has one of its own: values masked by different agents cannot be joined.
    #[serde(default)]
    masking_key: Option<String>,
    /// The database for a client that names none.
    #[serde(default)]
    database: Option<String>,
    /// How the connection to the server is protected.
    #[serde(default)]
    tls: Tls,
    /// Let the server ask for an MD5 answer although the connection has no TLS.
    #[serde(default)]
    allow_md5_without_tls: bool,
    /// How much of the answers is kept in recordings.
    #[serde(default)]
    recording: Recording,
    /// A database account of its own for each session. `user` then makes and removes them.
    #[serde(default)]
    accounts: Option<AccountSettings>,
}

/// How the connection to the server is protected.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// What is checked.
    #[serde(default)]
    mode: TlsMode,
    /// PEM file on the agent's host with the authorities to trust in place of the system's.
    #[serde(default)]
    ca_file: Option<String>,
    /// The name that must stand in the certificate, if it is not the host.
    #[serde(default)]
    server_name: Option<String>,
    /// PEM file on the agent's host: certificate to show to the server.
    #[serde(default)]
    client_certificate: Option<String>,
    /// PEM file on the agent's host: its private key.
    #[serde(default)]
    client_key: Option<String>,
}

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TlsMode {
    /// The chain and the name.
    #[default]
    VerifyFull,
    /// The chain alone.
    VerifyCa,
    /// No TLS at all.
    Disabled,
}

/// How much of the answers is kept in recordings.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Bytes of rows kept of each request (default 16 MiB).
    #[serde(default)]
    rows_per_request_bytes: Option<u64>,
    /// Bytes of COPY data kept of each request (default 1 MiB).
    #[serde(default)]
    copy_per_request_bytes: Option<u64>,
}

const fn default_port() -> u16 {
    5432
}

pub(crate) fn wrong(what: impl Into<String>) -> SettingsError {
    SettingsError { protocol: NAME.to_owned(), what: what.into() }
}

/// A PostgreSQL server with checked settings.
#[derive(Debug)]
struct PostgresTarget {
    address: Address,
    tls: TlsPolicy,
    credential: CredentialSource,
    masking_key: Option<SecretSource>,
    limits: RecordingLimits,
    engine: Arc<EngineSettings>,
    accounts: Option<Arc<AccountTerms>>,
}

/// What an engine needs of the settings.
#[derive(Debug, Clone)]
pub(crate) struct EngineSettings {
    pub(crate) database: Option<String>,
    pub(crate) tls: bool,
    pub(crate) allow_md5_without_tls: bool,
    pub(crate) limits: RecordingLimits,
}

impl PostgresTarget {
    fn check(settings: Settings) -> Result<Self, SettingsError> {
        let text = |field: &str, value: &str, most: usize| match value {
            "" => Err(wrong(format!("{field}: must not be empty"))),
            v if v.len() > most => Err(wrong(format!("{field}: longer than {most} bytes"))),
            v if v.contains('\0') => Err(wrong(format!("{field}: must not contain a NUL"))),
            v => Ok(v.to_owned()),
        };
        let host = text("host", &settings.host, 253)?;
        if host.contains(|c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | ',' | '\\')
        }) {
            return Err(wrong("host: expected one name or address, no path, list or URL"));
        }
        if settings.port == 0 {
            return Err(wrong("port: must not be 0"));
        }
        // PostgreSQL's own limit for identifiers is 63 bytes; a user of a pooler may be longer (`name.tenant`).
        let user = text("user", &settings.user, 255)?;
        let database = settings.database.as_deref().map(|d| text("database", d, 255)).transpose()?;
        let password = settings
            .password
            .map(|source| source.parse::<SecretSource>().map_err(|what| wrong(format!("password: {what}"))))
            .transpose()?;
        let masking_key = settings
            .masking_key
            .map(|source| source.parse().map_err(|what: String| wrong(format!("masking_key: {what}"))))
            .transpose()?;
        let tls = settings.tls.check()?;
        let default = RecordingLimits::default();
        let limits = RecordingLimits {
            rows_per_request: settings.recording.rows_per_request_bytes.unwrap_or(default.rows_per_request),
            copy_per_request: settings.recording.copy_per_request_bytes.unwrap_or(default.copy_per_request),
            value: default.value,
        };
        let accounts = settings.accounts.map(|accounts| accounts.check(&user, database.as_deref()));
        let accounts = accounts.transpose()?.map(Arc::new);
        // A session's own account has no database of its name.
        let database = database.or_else(|| accounts.is_some().then(|| user.clone()));
        let engine = EngineSettings {
            database,
            tls: tls != TlsPolicy::Disabled,
            allow_md5_without_tls: settings.allow_md5_without_tls,
            limits,
        };
        Ok(Self {
            address: Address { host, port: settings.port },
            tls,
            credential: CredentialSource { user, password },
            masking_key,
            limits,
            engine: Arc::new(engine),
            accounts,
        })
    }
}

impl Tls {
    fn check(self) -> Result<TlsPolicy, SettingsError> {
        let identity = match (self.client_certificate, self.client_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(wrong("tls: client_certificate and client_key go together")),
        };
        match self.mode {
            TlsMode::Disabled => {
                if identity.is_some() || self.ca_file.is_some() || self.server_name.is_some() {
                    return Err(wrong("tls: with mode disabled nothing else may be set"));
                }
                Ok(TlsPolicy::Disabled)
            }
            TlsMode::VerifyCa => match (self.ca_file, self.server_name, identity) {
                (Some(authorities), None, None) => Ok(TlsPolicy::VerifyAuthority { authorities }),
                (None, ..) => Err(wrong("tls.ca_file: needed with mode verify_ca")),
                _ => Err(wrong("tls: with mode verify_ca only ca_file may be set")),
            },
            TlsMode::VerifyFull
                if self.ca_file.is_none() && self.server_name.is_none() && identity.is_none() =>
            {
                Ok(TlsPolicy::VerifyFull)
            }
            TlsMode::VerifyFull => {
                Ok(TlsPolicy::Custom { authorities: self.ca_file, server_name: self.server_name, identity })
            }
        }
    }
}

impl Target for PostgresTarget {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn tls(&self) -> TlsPolicy {
        self.tls.clone()
    }

    fn credential(&self) -> Option<CredentialSource> {
        Some(self.credential.clone())
    }

    fn accounts(&self) -> Option<Arc<dyn Accounts>> {
        let terms = Arc::clone(self.accounts.as_ref()?);
        Some(Arc::new(PostgresAccounts(terms)))
    }

    fn look(&self) -> Option<Box<dyn Errand>> {
        Some(Box::new(Look::new(self.engine.database.as_deref())))
    }

    fn scan(&self) -> Option<Box<dyn Errand>> {
        let database = self.engine.database.as_deref().unwrap_or(&self.credential.user);
        Some(Box::new(Scan::new(database)?))
    }

    fn masking_key(&self) -> Option<SecretSource> {
        self.masking_key.clone()
    }

    fn recording_limits(&self) -> RecordingLimits {
        self.limits
    }

    fn start(&self, stream: StreamContext, credential: Credential, now: Timestamp) -> Started {
        let engine = PostgresEngine::new(Arc::clone(&self.engine), stream, credential, now);
        Started::Fed(Box::new(engine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn configure(settings: &Value) -> Result<Arc<dyn Target>, String> {
        Postgres.configure(settings).map_err(|error| error.to_string())
    }

    fn with(change: Value) -> Value {
        let mut settings = json!({"host": "db", "user": "app"});
        settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        settings
    }

    #[test]
    fn the_least_is_checked_in_full_by_default() {
        let target = configure(&with(json!({}))).unwrap();
        assert_eq!(target.address(), Address { host: "db".into(), port: 5432 });
        assert_eq!(target.tls(), TlsPolicy::VerifyFull);
        assert_eq!(target.credential().unwrap().password, None);
        assert_eq!(Postgres.id().as_str(), "postgres");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (json!({}), "host"),
            (with(json!({"host": ""})), "host"),
            (with(json!({"host": "db/../x"})), "host"),
            (with(json!({"host": "u@db"})), "host"),
            (with(json!({"host": "a,b"})), "host"),
            (with(json!({"port": 0})), "port"),
            (with(json!({"port": 70000})), "u16"),
            (with(json!({"user": ""})), "user"),
            (with(json!({"user": "a\0b"})), "user"),
            (with(json!({"database": "\0"})), "database"),
            (with(json!({"password": "hunter2"})), "password"),
            (with(json!({"masking_key": "hunter2"})), "masking_key"),
            (with(json!({"sslmode": "disable"})), "sslmode"),
            (with(json!({"tls": {"mode": "off"}})), "verify_full"),
            (with(json!({"tls": {"mode": "prefer"}})), "prefer"),
            (with(json!({"tls": {"mode": "verify_ca"}})), "ca_file"),
            (with(json!({"tls": {"client_key": "/k"}})), "client_certificate"),
            (with(json!({"tls": {"mode": "disabled", "ca_file": "/ca"}})), "disabled"),
            (with(json!({"recording": {"rows": 1}})), "rows"),
            (with(json!({"accounts": {"in_roles": ["app"]}})), "own user"),
        ];
        for (settings, named) in cases {
            let error = configure(&settings).err().unwrap_or_default();
            assert!(error.contains(named), "{settings}: {error:?}");
            assert!(!error.contains("hunter2"), "a secret is shown: {error}");
        }
    }

    #[test]
    fn a_value_stays_a_value() {
        for text in ["a?sslmode=disable", "a/b", "a@b", "a%00", "options=-c role=x", "host=evil", "'", "a b"]
        {
            let target = configure(&with(json!({"user": text, "database": text}))).unwrap();
            assert_eq!(target.credential().unwrap().user, text);
            assert_eq!(target.tls(), TlsPolicy::VerifyFull);
            assert_eq!(target.address().host, "db");
        }
    }

    #[test]
    fn the_schema_names_every_field() {
        let schema = Postgres.settings_schema();
        for field in [
            "host",
            "port",
            "user",
            "password",
            "masking_key",
            "tls",
            "recording",
            "database",
            "allow_md5_without_tls",
            "accounts",
        ] {
            assert!(schema["properties"].get(field).is_some(), "{field}");
        }
        assert_eq!(schema["additionalProperties"], json!(false));
    }
}

//! What a protocol tells the rest of the system about itself: its name, its settings, how to reach a target, and an
//! engine for each stream.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hoop_masking::MaskingKey;
use hoop_model::{GroupName, ProtocolId, Redacted, SessionId, StreamId, Timestamp, UserName};

use hoop_policy::Rules;
use hoop_sql::Dialect;

use crate::{
    Accounts, Credential, Engine, Errand,
    hosted::{HostedEngine, HostedLook},
};

/// One protocol this build speaks. The registry holds one value of each.
pub trait Protocol: Send + Sync {
    /// Its name in settings, on the command line and in the console.
    fn id(&self) -> ProtocolId;

    /// Its targets are told the groups of a person.
    fn takes_groups(&self) -> bool {
        false
    }

    /// The JSON Schema of its settings: console forms and CLI help are made from it.
    fn settings_schema(&self) -> serde_json::Value;

    /// The name that its clients expect of a socket in a folder.
    fn socket_name(&self) -> &'static str {
        "socket"
    }

    /// The key that clients of a session find at this agent, as `known_hosts` has it; `None`: they look for none.
    fn own_key(&self, _: &Redacted<[u8; 32]>) -> Option<String> {
        None
    }

    /// How the texts of its requests are read by a session that has just begun; `None`: they are not read.
    fn dialect(&self) -> Option<Dialect> {
        None
    }

    /// Reads a connection's settings.
    ///
    /// # Errors
    /// [`SettingsError`] names the field.
    fn configure(&self, settings: &serde_json::Value) -> Result<Arc<dyn Target>, SettingsError>;
}

/// A target as its settings describe it.
pub trait Target: Send + Sync {
    /// Where it listens. An agent dials this and nothing else.
    fn address(&self) -> Address;

    /// The account of the agent's own machine that its programs run as; `None`: it is dialled.
    fn runs_as(&self) -> Option<&str> {
        None
    }

    /// How its TLS is checked, if the protocol ever asks for [`crate::Output::StartTargetTls`].
    fn tls(&self) -> TlsPolicy;

    /// Where the credential comes from; `None`: the target asks for none.
    fn credential(&self) -> Option<CredentialSource>;

    /// The credential is looked up anew for each stream, because whoever provides it changes it now and then.
    fn credential_changes(&self) -> bool {
        false
    }

    /// Makes the accounts of sessions; `None`: sessions use the credential itself.
    fn accounts(&self) -> Option<Arc<dyn Accounts>> {
        None
    }

    /// Looks whether the target is there: logs in, asks for its version, leaves. The second thing that it sends goes out
    /// once it is logged in. `None`: the protocol has no such look.
    fn look(&self) -> Option<Box<dyn Errand>> {
        None
    }

    /// The same, of a protocol whose engines are hosted.
    fn look_hosted(&self) -> Option<Box<dyn HostedLook>> {
        None
    }

    /// Looks for columns that seem to hold personal data. `None`: the protocol has no such look.
    fn scan(&self) -> Option<Box<dyn Errand>> {
        None
    }

    /// Where the key is with which masked values are hashed or faked; `None`: the agent has one of its own.
    fn masking_key(&self) -> Option<SecretSource> {
        None
    }

    /// Limits for what the recording keeps.
    fn recording_limits(&self) -> RecordingLimits;

    /// A fresh engine for one stream.
    fn start(&self, stream: StreamContext, credential: Credential, now: Timestamp) -> Started;
}

/// An engine, in the form that its protocol has.
pub enum Started {
    /// Bytes, verdicts and time are fed to it.
    Fed(Box<dyn Engine>),
    /// It runs by itself, with what its host gives it.
    Hosted(Box<dyn HostedEngine>),
}

impl Started {
    /// The engine, if it is one that is fed.
    #[must_use]
    pub fn fed(self) -> Option<Box<dyn Engine>> {
        match self {
            Self::Fed(engine) => Some(engine),
            Self::Hosted(_) => None,
        }
    }
}

/// Host and port of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How a target's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TlsPolicy {
    /// Chain and name must be right (`verify-full`). The default.
    #[default]
    VerifyFull,
    /// As `VerifyFull`, but trusting only the authorities in this PEM file on the agent's host, and with a client
    /// certificate if one is named.
    Custom {
        /// PEM file with the authorities; `None`: the system's.
        authorities: Option<String>,
        /// Name to check instead of the host.
        server_name: Option<String>,
        /// Client certificate and key, PEM files on the agent's host.
        identity: Option<(String, String)>,
    },
    /// The chain must be right, the name may differ (`verify-ca`).
    VerifyAuthority {
        /// PEM file with the authorities.
        authorities: String,
    },
    /// No TLS: an admin's explicit choice, shown in every recording.
    Disabled,
}

/// Where the agent finds a credential. The text form is what settings hold: `env:NAME`, `file:PATH`, `sealed:BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSource {
    /// The user to become at the target.
    pub user: String,
    /// Where its password is; `None`: no password (certificate or trust).
    pub password: Option<SecretSource>,
}

/// Where one secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the agent.
    Environment(String),
    /// A file on the agent's host, trailing newline ignored.
    File(String),
    /// Sealed to the agent's public key, base64 (see `hoop_control::seal`).
    Sealed(String),
}

impl std::str::FromStr for SecretSource {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.to_owned())),
            Some(("sealed", data)) if !data.is_empty() => Ok(Self::Sealed(data.to_owned())),
            _ => Err(
                "expected env:NAME, file:/absolute/path or sealed:BASE64; a bare password is never stored"
                    .into(),
            ),
        }
    }
}

/// How much of the answers a recording keeps. What is beyond is counted, and the recording says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordingLimits {
    /// Bytes of rows kept a request.
    pub rows_per_request: u64,
    /// Bytes of bulk data (COPY) kept a request.
    pub copy_per_request: u64,
    /// Bytes kept of one bind value. A statement's text is always kept whole: what is not recorded does not run.
    pub value: usize,
}

impl Default for RecordingLimits {
    fn default() -> Self {
        Self { rows_per_request: 16 << 20, copy_per_request: 1 << 20, value: 1 << 20 }
    }
}

/// Which stream of which session an engine serves.
#[derive(Debug, Clone)]
pub struct StreamContext {
    /// The session.
    pub session: SessionId,
    /// The stream within it.
    pub stream: StreamId,
    /// The person, for `application_name` and the like.
    pub person: UserName,
    /// Their groups, if the protocol takes any.
    pub groups: Vec<GroupName>,
    /// What its requests may be. The engine asks policy about each; this is for what it must do by itself: masking, read-only
    /// transactions, what to ask again.
    pub rules: Arc<Rules>,
    /// With what values are hashed or faked.
    pub masking_key: MaskingKey,
    /// The cancel key this stream shows to its client, random bytes of the driver's making (36: 4 of process id, 32
    /// of secret). Secret, because who knows it can cancel.
    pub cancel_seed: Redacted<Vec<u8>>,
    /// Remembered log-in work of this connection (salted passwords), shared by its streams.
    pub login_cache: Arc<LoginCache>,
    /// The longest a log-in at the target may take.
    pub login_timeout: Duration,
}

/// Key material derived from a credential, kept so that further streams need not derive it again.
///
/// SCRAM's salted password takes 4096 rounds of HMAC; the salt rarely changes. Bounded to a few entries.
#[derive(Debug, Default)]
pub struct LoginCache(std::sync::Mutex<BTreeMap<Vec<u8>, Redacted<Vec<u8>>>>);

impl LoginCache {
    const MOST: usize = 8;

    /// What was derived under this key.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<Redacted<Vec<u8>>> {
        self.0.lock().ok()?.get(key).cloned()
    }

    /// Keeps what was derived; forgets everything first when full.
    pub fn keep(&self, key: Vec<u8>, derived: Redacted<Vec<u8>>) {
        if let Ok(mut entries) = self.0.lock() {
            if entries.len() >= Self::MOST {
                entries.clear();
            }
            entries.insert(key, derived);
        }
    }
}

/// A connection's settings are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("settings of protocol {protocol}: {what}")]
pub struct SettingsError {
    /// The protocol.
    pub protocol: String,
    /// Field and reason.
    pub what: String,
}

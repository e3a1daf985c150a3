//! The gateway's own keys: the master key's file, and what it seals in the store.
//!
//! The first gateway that starts makes them; all that share its store use the same. The organisation's recording key is
//! in `recording`, and who keeps it in `keeper` and the files beside it.

mod calls;
mod file;
mod keeper;
mod kms;
mod recording;
mod vault;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use hoop_control::grant::GrantSigner;
use hoop_identity::secretbox::{SecretBox, SecretError};
use hoop_model::{Redacted, RequestId, SessionId, UserId};
use hoop_recording::SigningKey;
use hoop_store::{Store, StoreError};
use hoop_tunnel::ticket::SessionSecret;
use serde::{Deserialize, Serialize};

pub(crate) use self::recording::{RecordingKeys, State as RecordingKeyState, watch};
use crate::{
    config::Config,
    hub::now,
    pki::{Authority, PkiError},
    recordings::make_private_dir,
};

/// Why the keys cannot be had. The operator's files or store, or our own library.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key file.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sealed key does not open: another master key, most often.
    #[error(
        "the gateway's {what} in the store cannot be opened: {error}; is `keys.master_file` the one it was made with?"
    )]
    Sealed {
        /// Which key.
        what: &'static str,
        /// Why.
        error: SecretError,
    },
    /// A key was opened, and is none.
    #[error("the gateway's {0} cannot be read")]
    Malformed(&'static str),
    /// The CA.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// No randomness.
    #[error("the system's random source failed")]
    Randomness,
    /// Whoever keeps the recording key, at the very first start: without its public half nothing can be recorded.
    #[error("the recording key cannot be had: {0}; the first start needs it")]
    RecordingKey(String),
}

/// All of them.
pub(crate) struct Keys {
    sealer: SecretBox,
    pub(crate) authority: Authority,
    pub(crate) grants: GrantSigner,
    pub(crate) checkpoint: SigningKey,
    pub(crate) recording: RecordingKeys,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({:?})", self.authority)
    }
}

/// The CA as it is sealed.
#[derive(Serialize, Deserialize)]
struct StoredAuthority {
    key: Vec<u8>,
    pem: String,
}

impl Keys {
    /// Opens the keys, and makes those that are not there yet.
    pub(crate) async fn open(config: &Config, store: &Store) -> Result<Self, KeysError> {
        let sealer = sealer(config)?;
        let authority = authority(&sealer, store).await?;
        let grants = sealed(&sealer, store, "grant signing key", new_signing_key).await?;
        let grants = signing_key(&grants, "grant signing key")?;
        let grants =
            GrantSigner::from_pkcs8(&grants).map_err(|_| KeysError::Malformed("grant signing key"))?;
        let checkpoint = sealed(&sealer, store, "checkpoint key", new_signing_key).await?;
        let checkpoint = text(&checkpoint, "checkpoint key")?;
        let checkpoint =
            SigningKey::from_pem(checkpoint.expose()).map_err(|_| KeysError::Malformed("checkpoint key"))?;
        let recording = RecordingKeys::new(&config.recording_keys)?;
        Ok(Self { sealer, authority, grants, checkpoint, recording })
    }

    pub(crate) fn seal_session_secret(
        &self,
        id: SessionId,
        secret: &SessionSecret,
    ) -> Result<Vec<u8>, SecretError> {
        self.sealer.seal(&format!("session {id}"), secret.expose())
    }

    pub(crate) fn open_session_secret(
        &self,
        id: SessionId,
        sealed: &[u8],
    ) -> Result<SessionSecret, SecretError> {
        let bytes = self.sealer.open(&format!("session {id}"), sealed)?;
        let bytes: [u8; 32] = bytes.expose().as_slice().try_into().map_err(|_| SecretError::Open)?;
        Ok(SessionSecret::from_bytes(bytes))
    }

    pub(crate) fn seal_totp(&self, user: UserId, secret: &Redacted<Vec<u8>>) -> Result<Vec<u8>, SecretError> {
        self.sealer.seal(&format!("totp {user}"), secret.expose())
    }

    pub(crate) fn open_totp(&self, user: UserId, sealed: &[u8]) -> Result<Redacted<Vec<u8>>, SecretError> {
        self.sealer.open(&format!("totp {user}"), sealed)
    }

    /// Seals the text of a statement that is asked for.
    pub(crate) fn seal_statement(&self, request: RequestId, text: &str) -> Result<Vec<u8>, SecretError> {
        self.sealer.seal(&format!("statement {request}"), text.as_bytes())
    }

    pub(crate) fn open_statement(&self, request: RequestId, sealed: &[u8]) -> Result<String, SecretError> {
        let opened = self.sealer.open(&format!("statement {request}"), sealed)?;
        String::from_utf8(opened.expose().clone()).map_err(|_| SecretError::Open)
    }

    /// Seals what a flow remembers.
    pub(crate) fn seal_flow(&self, kind: &str, secret: &str) -> Result<String, SecretError> {
        Ok(data_encoding::BASE64.encode(&self.sealer.seal(&format!("flow {kind}"), secret.as_bytes())?))
    }

    pub(crate) fn open_flow(&self, kind: &str, sealed: &str) -> Result<Redacted<String>, SecretError> {
        let sealed = data_encoding::BASE64.decode(sealed.as_bytes()).map_err(|_| SecretError::Open)?;
        let opened = self.sealer.open(&format!("flow {kind}"), &sealed)?;
        String::from_utf8(opened.expose().clone()).map(Redacted::new).map_err(|_| SecretError::Open)
    }
}

/// What seals secrets in the store: from the master key's file, which is made when it is not there.
pub(crate) fn sealer(config: &Config) -> Result<SecretBox, KeysError> {
    let path = &config.master_key_file;
    let wrong = |reason: String| KeysError::File { path: path.display().to_string(), reason };
    let text = read_or_create(path, || {
        let mut bytes = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeysError::Randomness)?;
        Ok(Redacted::new(format!("{}\n", data_encoding::HEXLOWER.encode(&bytes))))
    })?;
    let key = data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.expose().trim().as_bytes())
        .map_err(|_| wrong("the master key must be 64 hex digits".to_owned()))?;
    SecretBox::new(&Redacted::new(key)).map_err(|error| wrong(error.to_string()))
}

async fn authority(sealer: &SecretBox, store: &Store) -> Result<Authority, KeysError> {
    let what = "certificate authority";
    let make = || {
        let (key, pem) = Authority::create(now())?;
        let stored = StoredAuthority { key: key.expose().clone(), pem };
        serde_json::to_vec(&stored).map(Redacted::new).map_err(|_| KeysError::Malformed(what))
    };
    let opened = sealed(sealer, store, what, make).await?;
    let stored: StoredAuthority =
        serde_json::from_slice(opened.expose()).map_err(|_| KeysError::Malformed(what))?;
    Ok(Authority::open(&Redacted::new(stored.key), &stored.pem)?)
}

/// A sealed secret of the store; made and kept first if there is none. Of two gateways that make it at once, one wins.
async fn sealed(
    sealer: &SecretBox,
    store: &Store,
    what: &'static str,
    make: impl FnOnce() -> Result<Redacted<Vec<u8>>, KeysError>,
) -> Result<Redacted<Vec<u8>>, KeysError> {
    let purpose = format!("gateway {what}");
    let failed = |error| KeysError::Sealed { what, error };
    let kept = match store.secret(what).await? {
        Some(kept) => kept,
        None => {
            let fresh = sealer.seal(&purpose, make()?.expose()).map_err(failed)?;
            store.put_secret_if_absent(what, &fresh, now(), &[]).await?.0
        }
    };
    sealer.open(&purpose, &kept).map_err(failed)
}

fn new_signing_key() -> Result<Redacted<Vec<u8>>, KeysError> {
    let key = SigningKey::generate().map_err(|_| KeysError::Randomness)?;
    Ok(Redacted::new(key.to_pem().expose().clone().into_bytes()))
}

fn text(bytes: &Redacted<Vec<u8>>, what: &'static str) -> Result<Redacted<String>, KeysError> {
    String::from_utf8(bytes.expose().clone()).map(Redacted::new).map_err(|_| KeysError::Malformed(what))
}

fn signing_key(pem: &Redacted<Vec<u8>>, what: &'static str) -> Result<Vec<u8>, KeysError> {
    use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.expose()).map_err(|_| KeysError::Malformed(what))?;
    Ok(key.secret_pkcs8_der().to_vec())
}

/// Reads a key file that only its owner may read; makes it when it is not there.
pub(crate) fn read_or_create(
    path: &Path,
    make: impl FnOnce() -> Result<Redacted<String>, KeysError>,
) -> Result<Redacted<String>, KeysError> {
    let failed =
        |error: io::Error| KeysError::File { path: path.display().to_string(), reason: error.to_string() };
    match fs::read_to_string(path) {
        Ok(text) => {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
            if mode & 0o077 != 0 {
                let reason = format!("others may read this key (mode {:o}); run chmod 600", mode & 0o777);
                return Err(KeysError::File { path: path.display().to_string(), reason });
            }
            Ok(Redacted::new(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                make_private_dir(folder).map_err(failed)?;
            }
            let text = make()?;
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            file.write_all(text.expose().as_bytes()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            Ok(text)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn keys(folder: &Path) -> Result<Keys, KeysError> {
        let config = Config::in_folder(folder).unwrap();
        let store = Store::open(config.store_url.expose()).await.unwrap();
        Keys::open(&config, &store).await
    }

    #[tokio::test]
    async fn a_restart_finds_the_same_keys_and_nothing_lies_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let first = keys(folder.path()).await.unwrap();
        let second = keys(folder.path()).await.unwrap();
        assert_eq!(first.authority.fingerprint(), second.authority.fingerprint());
        assert_eq!(first.grants.public_key(), second.grants.public_key());
        let database = fs::read(folder.path().join("hoop.db")).unwrap();
        assert!(!database.windows(11).any(|bytes| bytes == b"PRIVATE KEY"));
    }

    #[tokio::test]
    async fn another_master_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        keys(folder.path()).await.unwrap();
        fs::remove_file(folder.path().join("keys/master.key")).unwrap();
        assert!(matches!(keys(folder.path()).await, Err(KeysError::Sealed { .. })));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let config = Config::in_folder(folder.path()).unwrap();
        sealer(&config).unwrap();
        let mode = fs::metadata(&config.master_key_file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(&config.master_key_file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(sealer(&config), Err(KeysError::File { .. })));
    }
}

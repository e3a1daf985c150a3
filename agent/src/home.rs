//! The agent's state folder: its keys, its certificate, who it is.
//!
//! ```text
//! STATE/lock            held while an agent runs: one process an identity
//! STATE/tls.key         P-256, PKCS #8 PEM: the agent's mutual TLS
//! STATE/sealing.key     P-256: opens credentials sealed to this agent
//! STATE/signing.key     Ed25519, PEM: signs recordings
//! STATE/masking.key     32 random bytes: masks values so that they can be joined, and not guessed
//! STATE/identity.json   id, certificate, the gateway's CA and grant key; written once enrolled
//! STATE/accounts/       accounts at targets that have to be removed
//! STATE/spool/          recordings that the gateway has not acknowledged to the end
//! ```
//! All files are 0600 in a 0700 folder, replaced by rename after fsync.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use hoop_control::seal::OpeningKey;
use hoop_masking::MaskingKey;
use hoop_model::{AgentId, AgentName, Redacted};
use hoop_recording::{hex, keys::SigningKey};
use rand::TryRng;
use serde::{Deserialize, Serialize};

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The file system said no.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another agent runs on it.
    #[error("{0} is in use by another agent process: one process an identity")]
    InUse(PathBuf),
    /// Others may look into it, and this process may not change that.
    #[error("{0} belongs to another user. Name a folder within it, which the agent makes itself")]
    Foreign(PathBuf),
    /// A file does not hold what it should.
    #[error("{path} cannot be read: {what}. Restore it, or remove the folder and enrol again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Who this agent is to its gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub agent: AgentId,
    /// Its name.
    pub name: AgentName,
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// The gateway's internal CA, PEM.
    pub ca_pem: String,
    /// The gateway's key for grants, Ed25519.
    pub grant_key: Vec<u8>,
}

/// The folder, locked, with its keys.
pub struct Home {
    folder: PathBuf,
    /// Key of the agent's mutual TLS, PKCS #8 PEM.
    pub tls_key_pem: Redacted<String>,
    /// Opens credentials.
    pub opening_key: OpeningKey,
    /// Signs recordings.
    pub signing_key: Arc<SigningKey>,
    /// Hashes and fakes masked values, where a connection names no key of its own.
    pub masking_key: MaskingKey,
    _lock: File,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Home({})", self.folder.display())
    }
}

impl Home {
    /// Opens the folder, and makes it and its keys if they are not there.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(folder: &Path) -> Result<Self, HomeError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| HomeError::File { path, error }
        };
        let spool = folder.join("spool");
        fs::create_dir_all(&spool).map_err(at(&spool))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::PermissionDenied => HomeError::Foreign(folder.to_owned()),
                _ => at(folder)(error),
            }
        })?;
        let lock = lock(&folder.join("lock"))?;
        let tls_key_pem = keep(&folder.join("tls.key"), || {
            rcgen::KeyPair::generate().map(|key| key.serialize_pem().into()).map_err(|e| e.to_string())
        })?;
        let sealing = folder.join("sealing.key");
        let opening_key = keep(&sealing, || {
            let bytes = OpeningKey::generate().and_then(|key| key.to_bytes()).map_err(|e| e.to_string())?;
            Ok(hex::encode(bytes.expose()).into())
        })
        .and_then(|text| {
            let damaged = |what: &str| HomeError::Damaged { path: sealing.clone(), what: what.to_owned() };
            let bytes = hex::decode_array::<32>(text.expose().trim())
                .map(Redacted::new)
                .ok_or_else(|| damaged("not 32 bytes in hexadecimal"))?;
            OpeningKey::from_bytes(bytes.expose()).map_err(|_| damaged("not a P-256 key"))
        })?;
        let signing = folder.join("signing.key");
        let signing_key =
            keep(&signing, || SigningKey::generate().map(|key| key.to_pem()).map_err(|e| e.to_string()))
                .and_then(|pem| {
                    SigningKey::from_pem(pem.expose())
                        .map_err(|e| HomeError::Damaged { path: signing.clone(), what: e.to_string() })
                })?;
        let signing_key = Arc::new(signing_key);
        let masking = folder.join("masking.key");
        let masking_key = keep(&masking, || {
            let mut bytes = [0; 32];
            rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|error| error.to_string())?;
            Ok(hex::encode(&bytes).into())
        })
        .and_then(|text| {
            let bytes = hex::decode_array::<32>(text.expose().trim()).map(Redacted::new);
            bytes.and_then(|bytes| MaskingKey::new(bytes.expose()).ok()).ok_or_else(|| HomeError::Damaged {
                path: masking.clone(),
                what: "not 32 bytes in hexadecimal".to_owned(),
            })
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            tls_key_pem,
            opening_key,
            signing_key,
            masking_key,
            _lock: lock,
        })
    }

    /// Where recordings wait.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Where accounts at targets are written down.
    #[must_use]
    pub fn accounts(&self) -> PathBuf {
        self.folder.join("accounts")
    }

    /// Who this agent is, once it has enrolled.
    ///
    /// # Errors
    /// [`HomeError::Damaged`].
    pub fn identity(&self) -> Result<Option<Identity>, HomeError> {
        let path = self.folder.join("identity.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| HomeError::Damaged { path, what: e.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(HomeError::File { path, error }),
        }
    }

    /// Keeps who this agent is.
    ///
    /// # Errors
    /// [`HomeError::File`].
    pub fn keep_identity(&self, identity: &Identity) -> Result<(), HomeError> {
        let path = self.folder.join("identity.json");
        let text = serde_json::to_vec_pretty(identity)
            .map_err(|e| HomeError::Damaged { path: path.clone(), what: e.to_string() })?;
        replace(&path, &text).map_err(|error| HomeError::File { path, error })
    }
}

/// Takes the lock file for the life of the process.
fn lock(path: &Path) -> Result<File, HomeError> {
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = open.map_err(|error| HomeError::File { path: path.to_owned(), error })?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| HomeError::InUse(path.to_owned()))?;
    Ok(file)
}

/// The text of a secret file, made first if there is none.
fn keep(
    path: &Path,
    make: impl FnOnce() -> Result<Redacted<String>, String>,
) -> Result<Redacted<String>, HomeError> {
    let file = |error| HomeError::File { path: path.to_owned(), error };
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = make().map_err(|what| HomeError::Damaged { path: path.to_owned(), what })?;
            replace(path, made.expose().as_bytes()).map_err(file)?;
            Ok(made)
        }
        Err(error) => Err(file(error)),
    }
}

/// Writes a file so that a crash leaves the old one or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_and_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let (sealing, tls) = (home.opening_key.public_key().unwrap(), home.tls_key_pem.clone());
        drop(home);
        let again = Home::open(folder.path()).unwrap();
        assert_eq!(again.opening_key.public_key().unwrap(), sealing);
        assert!(again.tls_key_pem == tls);
        for name in ["tls.key", "sealing.key", "signing.key", "masking.key", "lock"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn two_processes_cannot_be_one_agent() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Home::open(folder.path()).unwrap();
        assert!(matches!(Home::open(folder.path()), Err(HomeError::InUse(_))));
    }

    #[test]
    fn a_damaged_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        drop(Home::open(folder.path()).unwrap());
        fs::write(folder.path().join("sealing.key"), "zz").unwrap();
        let error = Home::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("sealing.key"), "{error}");
    }
}

//! Who keeps the private half of the recording key: one face for a folder of files, Vault, AWS KMS, or nobody here.
//!
//! A keeper names the key that it would have used now, opens data keys, and makes the next key where it can. What is in
//! force is not its to say: that stands in the store (`recording`).

use hoop_model::{Blame, Fault, Redacted};
use hoop_recording::{Header, KeyId, OpenedKey, RecordingPublicKey};
use hoop_store::RecordingKey;

use super::{KeysError, file::Folder, kms::Kms, vault::Vault};
use crate::config::recording_keys::{Keeper as Wanted, RecordingKeys as Config};

/// Least length of a key, in bits: smaller ones are no longer approved for what is to be kept for years.
const LEAST_BITS: usize = 3072;

/// Why a recording key cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    /// The gateway is set up so that it cannot open recordings.
    #[error("the private half of the recording key is not at this gateway")]
    Elsewhere,
    /// The service does not answer, or not with sense.
    #[error("the key service cannot be used: {0}")]
    Away(String),
    /// The service answered, and said no.
    #[error("the key service refuses: {0}")]
    Refused(String),
    /// The key that the recording names is not one that this gateway can ask for.
    #[error("recording key {0} is not known or not kept here")]
    NotHere(KeyId),
    /// The wrapping was altered, or is for another key than it says.
    #[error("the wrapped data key does not open: it was altered")]
    Altered,
    /// There is nothing to rotate to.
    #[error("{0}")]
    NoNext(String),
    /// The file, or what it holds.
    #[error("{0}")]
    File(String),
}

impl KeeperError {
    /// As whoever wants to read a recording is told.
    pub(crate) fn to_fault(&self) -> Fault {
        match self {
            Self::Elsewhere => {
                let what = "this gateway cannot open recordings: the auditor has the key";
                Fault::new("HOOP-6030", Blame::Policy, what)
                    .with_hint("the auditor plays it: `hoop sessions replay ID --key auditor.pem`")
            }
            Self::Away(why) => {
                Fault::new("HOOP-6031", Blame::Network, format!("the key service does not answer: {why}"))
                    .with_hint("recording goes on; try again, and tell who runs the key service")
            }
            Self::Refused(why) => {
                Fault::new("HOOP-6032", Blame::System, format!("the key service refuses the gateway: {why}"))
                    .with_hint(
                        "recording goes on; who runs the key service sees to the gateway's rights there",
                    )
            }
            Self::NotHere(id) => {
                let what = format!("the recording was made for key {id}, which is not kept here");
                Fault::new("HOOP-6033", Blame::System, what)
                    .with_hint("`hoop admin keys ls` says where each key was kept")
            }
            Self::Altered => {
                Fault::new("HOOP-6002", Blame::System, format!("the recording cannot be played: {self}"))
                    .with_hint("`hoop sessions verify` names everything that is wrong with it")
            }
            Self::NoNext(what) => Fault::new("HOOP-6034", Blame::Caller, what.clone())
                .with_hint("see docs/KEYS.md, on rotation"),
            Self::File(what) => Fault::new("HOOP-6035", Blame::System, format!("recording key: {what}"))
                .with_hint("look at the folder of keys on the gateway's host"),
        }
    }
}

/// A key as its keeper names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) public: RecordingPublicKey,
    /// Where it is: a file's name, a version, an ARN.
    pub(super) place: String,
}

impl Named {
    /// Of a service: long enough, and RSA.
    pub(super) fn of_service(
        public: Result<RecordingPublicKey, String>,
        place: String,
    ) -> Result<Self, KeeperError> {
        let public = public.map_err(|error| KeeperError::Refused(format!("its key is {error}")))?;
        match public.bits() {
            bits if bits < LEAST_BITS => {
                let what = format!("its key has {bits} bits, and {LEAST_BITS} are the least");
                Err(KeeperError::Refused(what))
            }
            _ => Ok(Self { public, place }),
        }
    }
}

/// Who keeps the private half.
#[derive(Debug)]
pub(super) enum Keeper {
    File(Folder),
    Public(RecordingPublicKey),
    Vault(Vault, Folder),
    Kms(Box<Kms>, Folder),
}

impl Keeper {
    pub(super) fn new(config: &Config) -> Result<Self, KeysError> {
        let folder = Folder::new(&config.dir);
        let set_up = |error: KeeperError| KeysError::RecordingKey(error.to_string());
        Ok(match &config.keeper {
            Wanted::File => Self::File(folder),
            Wanted::Public { file } => {
                let wrong = |reason: String| KeysError::File { path: file.display().to_string(), reason };
                let pem = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
                let public = RecordingPublicKey::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
                if folder.holds_any() {
                    tracing::warn!(
                        folder = %config.dir.display(),
                        "private recording keys lie here although this gateway is not to open recordings; take them away"
                    );
                }
                Self::Public(public)
            }
            Wanted::Vault(vault) => Self::Vault(Vault::new(vault).map_err(set_up)?, folder),
            Wanted::Kms(kms) => Self::Kms(Box::new(Kms::new(kms).map_err(set_up)?), folder),
        })
    }

    /// As it is kept in the store.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Public(_) => "public",
            Self::Vault(..) => "vault",
            Self::Kms(..) => "aws-kms",
        }
    }

    /// The key that it would have used now. `in_force` is what is used.
    pub(super) async fn named(&self, in_force: Option<KeyId>) -> Result<Named, KeeperError> {
        match self {
            Self::File(folder) => folder.named(in_force),
            Self::Public(public) => Ok(Named { public: public.clone(), place: String::new() }),
            Self::Vault(vault, _) => vault.latest().await,
            Self::Kms(kms, _) => kms.configured().await,
        }
    }

    /// The next key: one that the keeper already names, or one that is made now.
    pub(super) async fn next(&self, in_force: Option<KeyId>) -> Result<Named, KeeperError> {
        let same = |named: &Named| Some(named.public.id()) == in_force;
        match self {
            Self::File(folder) => folder.make(),
            Self::Public(_) => {
                let named = self.named(in_force).await?;
                let what = "`keys.recording_public_file` holds the key that is in force; put the next one there and \
                            start the gateway anew, then rotate";
                if same(&named) { Err(KeeperError::NoNext(what.to_owned())) } else { Ok(named) }
            }
            Self::Vault(vault, _) => match vault.latest().await? {
                named if same(&named) => {
                    vault.rotate().await?;
                    let named = vault.latest().await?;
                    let what = "Vault was asked for a new version and still names the old one".to_owned();
                    if same(&named) { Err(KeeperError::Refused(what)) } else { Ok(named) }
                }
                named => Ok(named),
            },
            Self::Kms(..) => {
                let named = self.named(in_force).await?;
                let what = "`keys.aws_key` names the key that is in force; make another in KMS, name it there and start \
                            the gateway anew, then rotate";
                if same(&named) { Err(KeeperError::NoNext(what.to_owned())) } else { Ok(named) }
            }
        }
    }

    /// Can it be expected to open what was made for this key?
    pub(super) fn opens(&self, key: &RecordingKey) -> bool {
        match self {
            Self::Public(_) => false,
            Self::File(folder) => folder.find(key.id).is_some(),
            Self::Vault(_, folder) | Self::Kms(_, folder) => {
                key.keeper == self.word() || folder.find(key.id).is_some()
            }
        }
    }

    /// Opens a recording's data key.
    pub(super) async fn open(
        &self,
        key: Option<&RecordingKey>,
        header: &Header,
    ) -> Result<OpenedKey, KeeperError> {
        let (id, wrapped) = (header.key_id, header.wrapped_key.as_slice());
        let folder = match self {
            Self::Public(_) => return Err(KeeperError::Elsewhere),
            Self::File(folder) | Self::Vault(_, folder) | Self::Kms(_, folder) => folder,
        };
        if let Some(private) = folder.find(id) {
            return OpenedKey::with(&private, id, wrapped).map_err(|_| KeeperError::Altered);
        }
        let key = key.filter(|key| key.keeper == self.word()).ok_or(KeeperError::NotHere(id))?;
        let opened: Redacted<Vec<u8>> = match self {
            Self::Vault(vault, _) => vault.decrypt(&key.place, wrapped).await?,
            Self::Kms(kms, _) => kms.decrypt(&key.place, wrapped).await?,
            Self::File(_) | Self::Public(_) => return Err(KeeperError::NotHere(id)),
        };
        OpenedKey::new(id, wrapped, &opened).map_err(|_| KeeperError::Altered)
    }
}

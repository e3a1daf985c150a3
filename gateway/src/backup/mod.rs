//! `hoop-gateway backup` and `restore`: the gateway's whole state in one file that only the holder of a key can read.
//!
//! What is encrypted is a sequence of lines of JSON, some followed by the bytes that they announce:
//!
//! ```text
//! {"backup": 1, "version", "schema", "origin"}
//! {"table", "columns"}  [cell, ...] ...  {"rows": n}        each table, as of one moment
//! {"recording": session, "bytes": n} and n bytes            each recording, as long as it was after that moment
//! {"elsewhere": session}                                    a recording that left the folder after that moment
//! {"key": name, "bytes": n} and n bytes                     key files, only if asked
//! {"end": {"tables", "rows", "recordings", "keys"}}
//! ```
//!
//! Encrypting, chaining and signing are `hoop_recording::sealed`'s, rows are the store's.

mod check;
mod items;
mod make;
mod restore;
mod rows;

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use hoop_ledger::CheckpointKey;
use hoop_recording::{RecordingPrivateKey, VerifyingKey, sealed::sealed_error};
use hoop_store::{ExportError, StoreError};
use serde::{Deserialize, Serialize};

pub use self::{
    check::Checked,
    make::{Made, make},
    restore::{Restore, restore},
};
use crate::bootstrap::BootstrapError;

/// Version of the lines.
const FORMAT: u32 = 1;
/// Beside the other keys: whom backups are encrypted for.
const PUBLIC_KEY: &str = "keys/backup.pub.pem";

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The gateway's folder, keys or store.
    #[error(transparent)]
    Start(#[from] BootstrapError),
    /// The store.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A file or folder.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A key file.
    #[error("{path}: {reason} (HOOP-7101)")]
    Key {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The backup is damaged, of another key, or of another version.
    #[error("the backup cannot be used: {0} (HOOP-7102)")]
    Unusable(String),
    /// What it is to be restored into.
    #[error("{0} (HOOP-7103)")]
    Target(String),
    /// What it holds does not agree with itself: it was so when it was made.
    #[error("the backup is whole, and what was backed up is not as it should be (HOOP-7104):\n  {}\nrestore it all the same with --accept-findings", .0.join("\n  "))]
    Findings(Vec<String>),
    /// Nothing shows that the gateway which it is of made it.
    #[error("the backup is not shown to be your gateway's: {0} (HOOP-7105)")]
    Unproven(String),
    /// All was restored, and is not where it was to be.
    #[error(
        "all is restored, and its folder could not be moved to {}: {error}\nit lies at {}: move it there by hand",
        into.display(), beside.display()
    )]
    Unmoved {
        /// Where it is.
        beside: PathBuf,
        /// Where it was to be.
        into: PathBuf,
        /// Why it is not.
        error: io::Error,
    },
    /// The database was lost from sight while it took the rows.
    #[error(
        "it is not known whether the database took the rows: {error}\nif it did, move {} to {}; if it is empty, remove \
         that folder and restore again",
        beside.display(), into.display()
    )]
    Unsure {
        /// Where the files are.
        beside: PathBuf,
        /// Where they belong.
        into: PathBuf,
        /// What the store said.
        error: StoreError,
    },
}

impl BackupError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::File { path: path.display().to_string(), error }
    }

    /// What reading a backup failed of: the seal's own words where it is that.
    fn reading(error: &io::Error) -> Self {
        Self::Unusable(sealed_error(error).map_or_else(|| error.to_string(), ToString::to_string))
    }
}

impl From<ExportError> for BackupError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => Self::Store(error),
            ExportError::Taker(error) => Self::File { path: "the backup".to_owned(), error },
        }
    }
}

/// How much there is of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Tables.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Recordings.
    pub recordings: u64,
    /// Key files.
    pub keys: u64,
}

/// For the fuzzer: reads anything as the lines of a backup whose seal was good, and must not panic.
#[doc(hidden)]
pub fn fuzz_lines(data: &[u8]) {
    if let Ok(checked) = check::check(data, &VerifyingKey::from_bytes([7; 32])) {
        let Counts { tables, rows, recordings, keys } = checked.counts;
        let things = [tables, rows, recordings, keys].into_iter().fold(0, u64::saturating_add);
        assert!(usize::try_from(things).is_ok_and(|things| things <= data.len()), "more than there can be");
    }
}

/// Makes the pair of keys for backups: the private half at `private`, the public one where `backup` looks for it.
///
/// The private half is there first: without it, a public one would make backups that nobody reads.
///
/// # Errors
/// When either file is there already, or cannot be written; then neither is made.
pub fn make_key(data_dir: &Path, private: &Path) -> Result<String, BackupError> {
    let public = data_dir.join(PUBLIC_KEY);
    let key = RecordingPrivateKey::generate().map_err(|error| BackupError::Key {
        path: private.display().to_string(),
        reason: error.to_string(),
    })?;
    create(private, 0o600, key.to_pem().expose())?;
    let keys = folder_of(&public);
    let made = crate::recordings::make_private_dir(keys).map_err(BackupError::file(keys));
    if let Err(error) = made.and_then(|()| create(&public, 0o644, &key.public().to_pem())) {
        let _ = fs::remove_file(private);
        return Err(error);
    }
    Ok(key.public().id().to_string())
}

/// A new file, durable with its name, or none.
fn create(path: &Path, mode: u32, text: &str) -> Result<(), BackupError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(BackupError::file(path))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let written = written.and_then(|()| sync_folder(folder_of(path)));
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.map_err(BackupError::file(path))
}

/// The folder that a file's name is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Names must survive a power cut as well as what they name. Not every file system can promise it for a folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced,
    }
}

/// The name under which a gateway of this host signs its ledger.
fn ledger_name(host: &str) -> String {
    format!("{host}/ledger")
}

/// Who signs a backup, as `hoop audit checkpoint` shows it.
fn ledger_key(name: &str, signer: hoop_recording::VerifyingKey) -> Result<CheckpointKey, BackupError> {
    CheckpointKey::new(name, signer)
        .map_err(|_| BackupError::Unusable("its ledger has a name that none has".to_owned()))
}

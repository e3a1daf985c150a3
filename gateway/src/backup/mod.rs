//! `hoop-gateway backup` and `restore`: the gateway's whole state in one file that only the holder of a key can read.
//!
//! What is encrypted is a sequence of lines of JSON, some followed by the bytes that they announce:
//!
//! ```text
//! {"backup": 1, "version", "schema", "origin"}
//! {"table", "columns"}  [cell, ...] ...  {"rows": n}        each table, as of one moment
//! {"recording": session, "bytes": n} and n bytes            each recording, as long as it was after that moment
//! {"key": name, "bytes": n} and n bytes                     key files, only if asked
//! {"end": {"tables", "rows", "recordings", "keys"}}
//! ```
//!
//! Encrypting, chaining and signing are `hoop_recording::sealed`'s, rows are the store's.

mod check;
mod items;
mod make;
mod restore;

use std::{io, path::Path};

use hoop_recording::{RecordingPrivateKey, sealed::sealed_error};
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

/// Makes the pair of keys for backups: the private half at `private`, the public one where `backup` looks for it.
///
/// # Errors
/// When either file is there already, or cannot be written.
pub fn make_key(data_dir: &Path, private: &Path) -> Result<String, BackupError> {
    use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let public = data_dir.join(PUBLIC_KEY);
    let key = RecordingPrivateKey::generate().map_err(|error| BackupError::Key {
        path: private.display().to_string(),
        reason: error.to_string(),
    })?;
    if let Some(folder) = public.parent() {
        crate::recordings::make_private_dir(folder).map_err(BackupError::file(folder))?;
    }
    for (path, mode, text) in
        [(&*public, 0o644, &key.public().to_pem()), (private, 0o600, key.to_pem().expose())]
    {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        let written = file.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(BackupError::file(path))?;
    }
    Ok(key.public().id().to_string())
}

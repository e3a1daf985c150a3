//! Restores a backup: read twice, once to check it and once to write it. Everything is written beside the target first, and
//! moved there at the end, so that nothing is left half done.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use hoop_ledger::EventCode;
use hoop_model::{Actor, Redacted, SessionId};
use hoop_recording::{RecordingPrivateKey, sealed::SealedReader};
use hoop_store::{Conflict, NewEvent, Store, StoreError};
use serde_json::json;

use super::{
    BackupError, PUBLIC_KEY,
    check::{self, Checked, is_key_name},
    items::{Items, Line},
};
use crate::{
    hub::event,
    recordings::{make_private_dir, month},
};

/// What is to be restored, and where to.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The backup.
    pub from: PathBuf,
    /// Private half of its key.
    pub key: PathBuf,
    /// The new gateway's folder: not there, or empty.
    pub into: PathBuf,
    /// Another store than SQLite in that folder: an empty database.
    pub store: Option<Redacted<String>>,
    /// Also when what was backed up was not as it should be.
    pub accept_findings: bool,
}

/// Restores it, and says what it held.
///
/// # Errors
/// [`BackupError`]; then nothing is there that was not before.
pub async fn restore(wanted: &Restore) -> Result<Checked, BackupError> {
    refuse_filled(&wanted.into)?;
    let key = private_key(&wanted.key)?;
    let sealed = open(&wanted.from, &key)?;
    let (signer, made_at) = (sealed.header().signer, sealed.header().made_at);
    let checked = check::check(BufReader::new(sealed), &signer)?;
    if !checked.findings.is_empty() && !wanted.accept_findings {
        return Err(BackupError::Findings(checked.findings));
    }
    let beside = beside(&wanted.into)?;
    make_private_dir(&beside).map_err(BackupError::file(&beside))?;
    let facts = json!({
        "checkpoint": checked.checkpoint, "ledger": checked.ledger, "made_at": made_at,
        "findings": checked.findings.len(), "signer": signer,
    });
    let told = event(&Actor::System, EventCode::GatewayRestored, [], facts);
    let done = fill(wanted, &key, &checked, &beside, told).await;
    if done.is_err() {
        let _ = fs::remove_dir_all(&beside);
    }
    done.map(|()| checked)
}

fn refuse_filled(into: &Path) -> Result<(), BackupError> {
    let count = match fs::read_dir(into) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        entries => entries.map_err(BackupError::file(into))?.count(),
    };
    match count {
        0 => Ok(()),
        _ => Err(BackupError::Target(format!("{} is not empty: restore into a new folder", into.display()))),
    }
}

fn private_key(path: &Path) -> Result<RecordingPrivateKey, BackupError> {
    let pem = fs::read_to_string(path).map(Redacted::new).map_err(BackupError::file(path))?;
    RecordingPrivateKey::from_pem(pem.expose())
        .map_err(|error| BackupError::Key { path: path.display().to_string(), reason: error.to_string() })
}

fn open(from: &Path, key: &RecordingPrivateKey) -> Result<SealedReader<BufReader<File>>, BackupError> {
    let file = File::open(from).map_err(BackupError::file(from))?;
    SealedReader::open(BufReader::new(file), key).map_err(|error| BackupError::reading(&error))
}

/// In the same folder, so that moving it is one step.
fn beside(into: &Path) -> Result<PathBuf, BackupError> {
    let mut name =
        into.file_name().ok_or_else(|| BackupError::Target("--into names no folder".to_owned()))?.to_owned();
    name.push(format!(".restoring-{}", std::process::id()));
    Ok(into.with_file_name(name))
}

async fn fill(
    wanted: &Restore,
    key: &RecordingPrivateKey,
    checked: &Checked,
    beside: &Path,
    told: NewEvent,
) -> Result<(), BackupError> {
    let url = match &wanted.store {
        Some(url) => url.clone(),
        None => Redacted::new(format!("sqlite:{}", beside.join("hoop.db").display())),
    };
    let store = Store::open(url.expose()).await?;
    let filled = rows_and_files(wanted, key, checked, beside, &store, told).await;
    store.close().await;
    filled?;
    // An empty folder may be there; whatever came into it meanwhile keeps us out.
    match fs::remove_dir(&wanted.into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(BackupError::file(&wanted.into)(error));
        }
        _ => {}
    }
    fs::rename(beside, &wanted.into).map_err(BackupError::file(&wanted.into))?;
    // The name must survive a power cut as well as what it names.
    let parent =
        wanted.into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(BackupError::file(parent))
}

async fn rows_and_files(
    wanted: &Restore,
    key: &RecordingPrivateKey,
    checked: &Checked,
    beside: &Path,
    store: &Store,
    told: NewEvent,
) -> Result<(), BackupError> {
    let here = store.schema().await?;
    if here != checked.schema {
        let newer = checked.schema.iter().any(|version| !here.contains(version));
        let which = if newer {
            "a newer version; use that one"
        } else {
            "an older version; restore with that one, then upgrade"
        };
        return Err(BackupError::Unusable(format!("its tables are of {which}")));
    }
    let mut import = store.import().await.map_err(|error| match error {
        StoreError::Conflict(Conflict::NameTaken) => {
            BackupError::Target("the database is not empty".to_owned())
        }
        other => other.into(),
    })?;
    let mut items = Items::new(BufReader::new(open(&wanted.from, key)?));
    while let Some(line) = items.next().map_err(|error| BackupError::reading(&error))? {
        match line {
            Line::Table(table) => import.table(&table)?,
            Line::Row(cells) => import.row(cells).await?,
            Line::Recording { recording, bytes } => {
                let session: SessionId =
                    recording.parse().map_err(|_| BackupError::Unusable("no session".to_owned()))?;
                let path = beside.join("recordings").join(month(session)).join(format!("{session}.hoopr"));
                write(&path, &mut items.bytes(bytes))?;
            }
            Line::Key { key, bytes } if is_key_name(&key) => {
                write(&beside.join("keys").join(key), &mut items.bytes(bytes))?;
            }
            Line::Key { .. } => {
                return Err(BackupError::Unusable("a key file has a name that none has".to_owned()));
            }
            Line::Begin(_) | Line::Rows { .. } | Line::End { .. } => {}
        }
    }
    // The next backup is for the same key.
    write(&beside.join(PUBLIC_KEY), &mut key.public().to_pem().as_bytes())?;
    // Last of all, since another database is not undone with the folder.
    refuse_filled(&wanted.into)?;
    Ok(import.finish(&[told]).await?)
}

fn write(path: &Path, from: &mut impl io::Read) -> Result<(), BackupError> {
    if let Some(folder) = path.parent() {
        make_private_dir(folder).map_err(BackupError::file(folder))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(BackupError::file(path))?;
    io::copy(from, &mut file).map_err(|error| BackupError::reading(&error))?;
    file.sync_all().map_err(BackupError::file(path))
}

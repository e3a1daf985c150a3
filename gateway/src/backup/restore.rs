//! Restores a backup: read twice, once to check it and once to write it. Everything is written beside the target first, and
//! moved there at the end, so that nothing is left half done.
//!
//! A backup says itself who signed it. That it is the gateway whose backup is wanted, only the key says that was kept
//! elsewhere.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Seek as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use hoop_ledger::{CheckpointKey, EventCode};
use hoop_model::{Actor, Redacted, SessionId};
use hoop_recording::{
    RecordingPrivateKey,
    sealed::{SealedEnd, SealedHeader, SealedReader},
};
use hoop_store::{Conflict, NewEvent, Store, StoreError};
use serde_json::json;

use super::{
    BackupError, PUBLIC_KEY,
    check::{self, Checked, is_key_name},
    folder_of,
    items::{Items, Line},
    sync_folder,
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
    /// The key that signs the ledger which is wanted back.
    pub ledger_key: Option<CheckpointKey>,
    /// Also without that key, or when no checkpoint in the backup is signed by it.
    pub accept_unproven: bool,
    /// Also when what was backed up was not as it should be.
    pub accept_findings: bool,
}

/// Restores it, and says what it held.
///
/// # Errors
/// [`BackupError`]; then nothing is there that was not before, unless it says where what was restored lies.
pub async fn restore(wanted: &Restore) -> Result<Checked, BackupError> {
    refuse_filled(&wanted.into)?;
    let source = Source::open(wanted)?;
    let (checked, seal) = read(&source)?;
    vouched(wanted, &checked)?;
    if !checked.findings.is_empty() && !wanted.accept_findings {
        return Err(BackupError::Findings(checked.findings));
    }
    let beside = beside(&wanted.into)?;
    make_private_dir(&beside).map_err(BackupError::file(&beside))?;
    let done = fill(wanted, &source, &checked, &seal, &beside).await;
    if let Err(error) = done {
        if !matches!(error, BackupError::Unsure { .. }) {
            let _ = fs::remove_dir_all(&beside);
        }
        return Err(error);
    }
    place(&beside, &wanted.into)?;
    Ok(checked)
}

/// A backup that is open: both readings are of one file, whatever is laid in its place meanwhile.
pub(super) struct Source {
    path: PathBuf,
    file: File,
    key: RecordingPrivateKey,
}

type Reading<'a> = BufReader<SealedReader<BufReader<&'a File>>>;

impl Source {
    pub(super) fn open(wanted: &Restore) -> Result<Self, BackupError> {
        let key = private_key(&wanted.key)?;
        let file = File::open(&wanted.from).map_err(BackupError::file(&wanted.from))?;
        Ok(Self { path: wanted.from.clone(), file, key })
    }

    /// From its beginning.
    fn reading(&self) -> Result<Reading<'_>, BackupError> {
        (&self.file).rewind().map_err(BackupError::file(&self.path))?;
        let sealed = SealedReader::open(BufReader::new(&self.file), &self.key);
        sealed.map(BufReader::new).map_err(|error| BackupError::reading(&error))
    }
}

/// What both readings must have in common: the end stands for every piece before it.
#[derive(Debug, PartialEq)]
pub(super) struct Seal {
    header: SealedHeader,
    end: SealedEnd,
}

impl Seal {
    /// Of what was read to its end.
    fn of(reading: &Reading<'_>) -> Result<Self, BackupError> {
        let sealed = reading.get_ref();
        let end = sealed.end().ok_or_else(|| BackupError::Unusable("it has no end".to_owned()))?;
        Ok(Self { header: sealed.header().clone(), end: end.clone() })
    }
}

/// The first reading.
pub(super) fn read(source: &Source) -> Result<(Checked, Seal), BackupError> {
    let mut reading = source.reading()?;
    let signer = reading.get_ref().header().signer;
    let checked = check::check(&mut reading, &signer)?;
    Ok((checked, Seal::of(&reading)?))
}

/// Who can write to where backups lie can make one that is clean in itself, of a gateway with admins of his own.
fn vouched(wanted: &Restore, checked: &Checked) -> Result<(), BackupError> {
    let signed_by = &checked.signed_by;
    let why = match &wanted.ledger_key {
        // This is no lack of proof: it is another gateway's.
        Some(key) if key != signed_by => {
            return Err(BackupError::Unproven(format!("it is signed by {signed_by}, and not by {key}")));
        }
        Some(_) if checked.proven => return Ok(()),
        _ if wanted.accept_unproven => return Ok(()),
        Some(key) => {
            format!("its ledger is not one that {key} signed; --accept-unproven restores it all the same")
        }
        None => format!(
            "it is signed by\n  {signed_by}\nand there is no --ledger-key to hold that against. Name the key that you kept \
             (`hoop audit checkpoint` shows it); --accept-unproven takes the backup's word"
        ),
    };
    Err(BackupError::Unproven(why))
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

/// In the same folder, so that moving it is one step.
fn beside(into: &Path) -> Result<PathBuf, BackupError> {
    let mut name =
        into.file_name().ok_or_else(|| BackupError::Target("--into names no folder".to_owned()))?.to_owned();
    name.push(format!(".restoring-{}", std::process::id()));
    Ok(into.with_file_name(name))
}

/// The second reading: all rows and files, and none of the rows unless all of it is durable.
pub(super) async fn fill(
    wanted: &Restore,
    source: &Source,
    checked: &Checked,
    seal: &Seal,
    beside: &Path,
) -> Result<(), BackupError> {
    let url = match &wanted.store {
        Some(url) => url.clone(),
        None => Redacted::new(format!("sqlite:{}", beside.join("hoop.db").display())),
    };
    let facts = json!({
        "checkpoint": checked.checkpoint, "ledger": checked.ledger, "made_at": seal.header.made_at,
        "findings": checked.findings.len(), "signer": seal.header.signer,
    });
    let told = event(&Actor::System, EventCode::GatewayRestored, [], facts);
    let store = Store::open(url.expose()).await?;
    let filled = rows_and_files(wanted, source, checked, seal, beside, &store, told).await;
    store.close().await;
    filled
}

/// Moves what was restored to where it belongs. It stays where it is if that fails: a database that has the rows takes no
/// others.
pub(super) fn place(beside: &Path, into: &Path) -> Result<(), BackupError> {
    // An empty folder may be there; whatever came into it meanwhile keeps us out.
    let emptied = match fs::remove_dir(into) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    emptied.and_then(|()| fs::rename(beside, into)).map_err(|error| BackupError::Unmoved {
        beside: beside.to_owned(),
        into: into.to_owned(),
        error,
    })?;
    sync_folder(folder_of(into)).map_err(BackupError::file(into))
}

async fn rows_and_files(
    wanted: &Restore,
    source: &Source,
    checked: &Checked,
    seal: &Seal,
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
    let mut reading = source.reading()?;
    let mut items = Items::new(&mut reading);
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
            Line::Begin(_) | Line::Rows { .. } | Line::Elsewhere { .. } | Line::End { .. } => {}
        }
    }
    if Seal::of(&reading)? != *seal {
        return Err(BackupError::Unusable("it was changed while it was read".to_owned()));
    }
    // The next backup is for the same key.
    write(&beside.join(PUBLIC_KEY), &mut source.key.public().to_pem().as_bytes())?;
    sync_folders(beside).and_then(|()| sync_folder(folder_of(beside))).map_err(BackupError::file(beside))?;
    // Last of all, since another database is not undone with the folder.
    refuse_filled(&wanted.into)?;
    let Err(error) = import.finish(&[told]).await else { return Ok(()) };
    // A connection that was lost does not say whether the rows are there.
    let empty = store.ledger_head().await.is_ok_and(|head| head.size == 0);
    if empty || wanted.store.is_none() {
        return Err(error.into());
    }
    Err(BackupError::Unsure { beside: beside.to_owned(), into: wanted.into.clone(), error })
}

/// A folder and all that are in it.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
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

//! Makes a backup beside a running gateway: rows as of one moment, then recordings, which only grow.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use hoop_ledger::{CheckpointKey, EventCode};
use hoop_model::{Actor, SessionId};
use hoop_recording::{RecordingPublicKey, sealed::SealedWriter};
use hoop_store::{Exported, Store, Table};
use serde_json::json;

use super::{
    BackupError, Counts, FORMAT, PUBLIC_KEY, folder_of,
    items::{Begin, Line},
    ledger_key, ledger_name,
    rows::Row,
    sync_folder,
};
use crate::{
    bootstrap,
    config::Config,
    hub::{event, now},
};

/// What came of it.
#[derive(Debug, Clone)]
pub struct Made {
    /// For whose key.
    pub key: String,
    /// Whose signature it carries: what a restore is to be given.
    pub ledger_key: CheckpointKey,
    /// Length of the file.
    pub bytes: u64,
    /// What is in it.
    pub counts: Counts,
}

/// Writes a backup to `to`, for the given public key or the one that lies beside the others.
///
/// # Errors
/// [`BackupError`]; nothing is left at `to`.
pub async fn make(
    config: &Config,
    to: &Path,
    public: Option<&Path>,
    with_keys: bool,
) -> Result<Made, BackupError> {
    let public = public.map_or_else(|| config.data_dir.join(PUBLIC_KEY), Path::to_owned);
    let wrong = |reason: String| BackupError::Key { path: public.display().to_string(), reason };
    let pem = fs::read_to_string(&public).map_err(|error| {
        wrong(format!("{error}; make one with `hoop-gateway backup-key`, or name one with --to-key"))
    })?;
    let key = RecordingPublicKey::from_pem(&pem).map_err(|error| wrong(error.to_string()))?;
    if fs::symlink_metadata(to).is_ok() {
        return Err(taken(to));
    }
    let partial = Partial::create(to)?;
    let (store, keys) = bootstrap::open(config).await?;
    let ledger_key = ledger_key(&ledger_name(&config.public_host), keys.checkpoint.verifying_key())?;
    // Before the moment that is backed up: the backup tells of itself.
    let facts = json!({ "key": key.id(), "with_keys": with_keys });
    store.append(&[event(&Actor::System, EventCode::GatewayBackedUp, [], facts)]).await?;
    let made = write(config, &store, &partial, &key, &keys.checkpoint, with_keys).await;
    store.close().await;
    let counts = made?;
    partial.keep_as(to)?;
    let bytes = fs::metadata(to).map_err(BackupError::file(to))?.len();
    Ok(Made { key: key.id().to_string(), ledger_key, bytes, counts })
}

fn taken(to: &Path) -> BackupError {
    BackupError::Target(format!("{} is there already", to.display()))
}

/// A backup that is not finished: a file beside the target that is ours alone, and gone again unless it is kept.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    pub(super) fn create(to: &Path) -> Result<Self, BackupError> {
        let mut random = [0; 8];
        let failed = |_| BackupError::file(to)(io::Error::other("the system's random source failed"));
        SystemRandom::new().fill(&mut random).map_err(failed)?;
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", hoop_recording::hex::encode(&random)));
        let path = to.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(BackupError::file(&path))?;
        Ok(Self { path, file })
    }

    /// Gives it its name, and takes that of nothing else.
    pub(super) fn keep_as(self, to: &Path) -> Result<(), BackupError> {
        let named = fs::hard_link(&self.path, to).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Err(error),
            // A file system without links.
            _ => self.rename(to),
        });
        named.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(to),
            _ => BackupError::file(to)(error),
        })?;
        drop(self);
        sync_folder(folder_of(to)).map_err(BackupError::file(to))
    }

    /// Over an empty file of our own, since renaming does not ask.
    fn rename(&self, to: &Path) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        fs::rename(&self.path, to).inspect_err(|_| {
            let _ = fs::remove_file(to);
        })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

type Out<'a> = SealedWriter<BufWriter<&'a File>>;

async fn write(
    config: &Config,
    store: &Store,
    partial: &Partial,
    to: &RecordingPublicKey,
    signer: &hoop_recording::SigningKey,
    with_keys: bool,
) -> Result<Counts, BackupError> {
    let failed = || BackupError::file(&partial.path);
    let begin = Begin {
        backup: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: store.schema().await?,
        origin: config.public_host.clone(),
    };
    let facts = vec![
        ("of".to_owned(), format!("hoop-gateway {}", config.public_host)),
        ("version".to_owned(), begin.version.clone()),
    ];
    let out = SealedWriter::begin(BufWriter::new(&partial.file), to, signer.verifying_key(), now(), facts);
    let mut out = out.map_err(failed())?;
    line(&mut out, &Line::Begin(begin)).map_err(failed())?;
    let mut counts = Counts::default();
    let mut whole = tables(store, &mut out, &mut counts).await?;
    for copied in recordings(&config.recordings.dir, &mut out)? {
        counts.recordings += 1;
        whole.remove(&copied);
    }
    for session in elsewhere(store, whole).await? {
        line(&mut out, &Line::Elsewhere { elsewhere: session.to_string() }).map_err(failed())?;
    }
    if with_keys {
        key_files(config, &mut out, &mut counts)?;
    }
    line(&mut out, &Line::End { end: counts }).map_err(failed())?;
    let (out, _) = out.finish(signer).map_err(failed())?;
    let file = out.into_inner().map_err(|error| failed()(error.into_error()))?;
    file.sync_all().map_err(failed())?;
    Ok(counts)
}

fn line(out: &mut Out<'_>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Writes them; answers the sessions whose recordings are in the folder, by their rows.
async fn tables(
    store: &Store,
    out: &mut Out<'_>,
    counts: &mut Counts,
) -> Result<BTreeSet<SessionId>, BackupError> {
    let (mut rows, mut whole, mut sessions) = (0, BTreeSet::new(), None::<Table>);
    let exported = store.export(|exported| match exported {
        Exported::Table(table) => {
            (counts.tables, rows) = (counts.tables + 1, 0);
            sessions = (table.table == "sessions").then(|| table.clone());
            line(out, &Line::Table(table.clone()))
        }
        Exported::Row(cells) => {
            rows += 1;
            counts.rows += 1;
            let session = sessions.as_ref().and_then(|table| Row { table, cells }.session());
            whole.extend(session.filter(|session| session.whole).map(|session| session.id));
            serde_json::to_writer(&mut *out, cells)?;
            out.write_all(b"\n")
        }
        Exported::End => line(out, &Line::Rows { rows }),
    });
    exported.await?;
    Ok(whole)
}

/// Recordings in their folders by month. One that began after the moment is left out only if it is not there yet: more
/// than the rows know of does no harm, less would.
fn recordings(dir: &Path, out: &mut Out<'_>) -> Result<Vec<SessionId>, BackupError> {
    let mut recordings = Vec::new();
    for month in sorted(dir)? {
        if !month.is_dir() {
            continue;
        }
        for path in sorted(&month)? {
            let session = path.file_stem().and_then(|name| name.to_str()?.parse::<SessionId>().ok());
            let Some(session) = session.filter(|_| path.extension().is_some_and(|end| end == "hoopr")) else {
                continue;
            };
            let announce = |bytes| Line::Recording { recording: session.to_string(), bytes };
            match copy(&path, out, announce) {
                // It went to the store of objects in this moment, and is no part of the backup.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => {
                    copied.map_err(BackupError::file(&path))?;
                    recordings.push(session);
                }
            }
        }
    }
    Ok(recordings)
}

/// Which of the recordings that were in the folder are known to have left it since: to the store of objects, or for good.
pub(super) async fn elsewhere(
    store: &Store,
    missing: BTreeSet<SessionId>,
) -> Result<Vec<SessionId>, BackupError> {
    let mut elsewhere = Vec::new();
    for id in missing {
        let keeping = store.session(id).await?.map(|session| session.keeping);
        if keeping.is_some_and(|keeping| keeping.stored_at.is_some() || keeping.deleted_at.is_some()) {
            elsewhere.push(id);
        }
    }
    Ok(elsewhere)
}

fn key_files(config: &Config, out: &mut Out<'_>, counts: &mut Counts) -> Result<(), BackupError> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("recording") && name.ends_with(".pem")
    };
    let recording = sorted(&config.recording_keys.dir)?.into_iter().filter(ours);
    let master = std::iter::once((config.master_key_file.clone(), "master.key".to_owned()));
    let named = recording.filter_map(|path| Some((path.clone(), path.file_name()?.to_str()?.to_owned())));
    for (path, name) in master.chain(named) {
        let announce = |bytes| Line::Key { key: name.clone(), bytes };
        copy(&path, out, announce).map_err(BackupError::file(&path))?;
        counts.keys += 1;
    }
    Ok(())
}

/// As long as it is now: it may grow meanwhile.
fn copy(path: &Path, out: &mut Out<'_>, announce: impl FnOnce(u64) -> Line) -> io::Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    line(out, &announce(length))?;
    if io::copy(&mut file.take(length), out)? < length {
        return Err(io::Error::other("it became shorter while it was read"));
    }
    Ok(())
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(BackupError::file(dir))?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    if let Ok(paths) = &mut paths {
        paths.sort();
    }
    paths.map_err(BackupError::file(dir))
}

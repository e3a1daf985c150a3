//! Makes a backup beside a running gateway: rows as of one moment, then recordings, which only grow.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use hoop_ledger::EventCode;
use hoop_model::{Actor, SessionId};
use hoop_recording::{RecordingPublicKey, sealed::SealedWriter};
use hoop_store::{Exported, Store};
use serde_json::json;

use super::{
    BackupError, Counts, FORMAT, PUBLIC_KEY,
    items::{Begin, Line},
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
    if to.exists() {
        return Err(BackupError::Target(format!("{} is there already", to.display())));
    }
    let (store, keys) = bootstrap::open(config).await?;
    // Before the moment that is backed up: the backup tells of itself.
    let facts = json!({ "key": key.id(), "with_keys": with_keys });
    store.append(&[event(&Actor::System, EventCode::GatewayBackedUp, [], facts)]).await?;
    let partial = partial(to);
    let made = write(config, &store, &partial, &key, &keys.checkpoint, with_keys).await;
    store.close().await;
    let counts = match made {
        Ok(counts) => counts,
        Err(error) => {
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
    };
    fs::rename(&partial, to).map_err(BackupError::file(to))?;
    let bytes = fs::metadata(to).map_err(BackupError::file(to))?.len();
    Ok(Made { key: key.id().to_string(), bytes, counts })
}

fn partial(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    to.with_file_name(name)
}

type Out = SealedWriter<BufWriter<File>>;

async fn write(
    config: &Config,
    store: &Store,
    path: &Path,
    to: &RecordingPublicKey,
    signer: &hoop_recording::SigningKey,
    with_keys: bool,
) -> Result<Counts, BackupError> {
    let failed = || BackupError::file(path);
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed())?;
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
    let out = SealedWriter::begin(BufWriter::new(file), to, signer.verifying_key(), now(), facts);
    let mut out = out.map_err(failed())?;
    line(&mut out, &Line::Begin(begin)).map_err(failed())?;
    let mut counts = Counts::default();
    tables(store, &mut out, &mut counts).await?;
    recordings(&config.recordings.dir, &mut out, &mut counts)?;
    if with_keys {
        key_files(config, &mut out, &mut counts)?;
    }
    line(&mut out, &Line::End { end: counts }).map_err(failed())?;
    let (out, _) = out.finish(signer).map_err(failed())?;
    let file = out.into_inner().map_err(|error| failed()(error.into_error()))?;
    file.sync_all().map_err(failed())?;
    Ok(counts)
}

fn line(out: &mut Out, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

async fn tables(store: &Store, out: &mut Out, counts: &mut Counts) -> Result<(), BackupError> {
    let mut rows = 0;
    let exported = store.export(|exported| match exported {
        Exported::Table(table) => {
            (counts.tables, rows) = (counts.tables + 1, 0);
            line(out, &Line::Table(table.clone()))
        }
        Exported::Row(cells) => {
            rows += 1;
            counts.rows += 1;
            serde_json::to_writer(&mut *out, cells)?;
            out.write_all(b"\n")
        }
        Exported::End => line(out, &Line::Rows { rows }),
    });
    Ok(exported.await?)
}

/// Recordings in their folders by month. One that began after the moment is left out only if it is not there yet: more
/// than the rows know of does no harm, less would.
fn recordings(dir: &Path, out: &mut Out, counts: &mut Counts) -> Result<(), BackupError> {
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
                    counts.recordings += 1;
                }
            }
        }
    }
    Ok(())
}

fn key_files(config: &Config, out: &mut Out, counts: &mut Counts) -> Result<(), BackupError> {
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
fn copy(path: &Path, out: &mut Out, announce: impl FnOnce(u64) -> Line) -> io::Result<()> {
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

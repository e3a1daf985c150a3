//! What a crash or a full disk left in the spool: cut to its last whole chunk, and signed for as interrupted.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Write},
    path::Path,
    sync::Arc,
};

use hoop_model::Timestamp;
use hoop_recording::{
    SigningKey,
    chain::{ScanError, Scanned},
    scan,
};

use super::{
    keeper::Bell,
    tape::{SessionTape, TapeLimits},
};

const REASON: &str = "the agent process ended before the session did";
const LOST: &str = "what came after the recording could not be written any more";
const MISSING: &str = "answers and COPY data of the last 20 ms, and a request that was being written";

/// Every recording in the folder, ready to be sent.
pub(super) fn restore(
    folder: &Path,
    key: &SigningKey,
    limits: TapeLimits,
    bell: &Arc<Bell>,
) -> io::Result<Vec<Arc<SessionTape>>> {
    let mut tapes = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "hoopr") {
            continue;
        }
        match restore_one(&path, key, limits, bell) {
            Ok(Some(tape)) => tapes.push(tape),
            Ok(None) => std::fs::remove_file(&path)?,
            // The disk, not the recording: it stays where it is, and the agent does not start over it.
            Err(ScanError::Input(error)) => return Err(error),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a spooled recording is damaged and set aside");
                std::fs::rename(&path, path.with_extension("damaged"))?;
            }
        }
    }
    Ok(tapes)
}

/// `None`: nothing was recorded, not even the header.
fn restore_one(
    path: &Path,
    key: &SigningKey,
    limits: TapeLimits,
    bell: &Arc<Bell>,
) -> Result<Option<Arc<SessionTape>>, ScanError> {
    let scanned = match scan(BufReader::new(File::open(path)?)) {
        Ok(scanned) => scanned,
        Err(ScanError::NoHeader) => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = OpenOptions::new().read(true).append(true).open(path)?;
    if scanned.trailer.is_none() {
        sign_off(&file, &scanned, REASON, MISSING, key)?;
        tracing::warn!(session = %scanned.chain.session(), chunks = scanned.chain.chunks(), "a recording was cut off by a crash; it is sent as interrupted");
    }
    let length = file.metadata()?.len();
    Ok(Some(SessionTape::restored(
        scanned.chain.session(),
        path.to_owned(),
        file,
        length,
        limits,
        Arc::clone(bell),
    )))
}

/// Cuts a recording to its last whole chunk and signs for it as interrupted. `file` is opened for appending.
fn sign_off(
    mut file: &File,
    scanned: &Scanned,
    reason: &str,
    missing: &str,
    key: &SigningKey,
) -> io::Result<()> {
    file.set_len(scanned.chain.bytes())?;
    let now = Timestamp::from(jiff::Timestamp::now());
    let trailer = scanned.chain.interrupted(now, reason, missing, Vec::new(), key);
    let frame = trailer.and_then(|trailer| trailer.to_frame()).map_err(io::Error::other)?;
    file.write_all(&frame.bytes)?;
    file.sync_all()
}

/// The same for a recording of this process that could not be written to its end. Answers its length. May be tried
/// again: what a try before left behind is cut off.
pub(super) fn mend(path: &Path, file: &File, reason: &str, key: &SigningKey) -> Result<u64, ScanError> {
    let scanned = scan(BufReader::new(File::open(path)?))?;
    if scanned.trailer.is_none() {
        sign_off(file, &scanned, reason, LOST, key)?;
    }
    Ok(file.metadata()?.len())
}

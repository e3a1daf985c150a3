//! Recordings on disk: `<dir>/<yyyy-mm>/<session>.hoopr`, appended at an offset, durable before they are acknowledged.
//!
//! To this file a recording is bytes; what they mean is `hoop_recording`'s. Everything here blocks: call it from
//! `spawn_blocking`.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use hoop_model::{SessionId, Timestamp};

/// A piece of a recording.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) session: SessionId,
    pub(crate) offset: u64,
    pub(crate) data: Bytes,
}

/// What became of a session's pieces.
#[derive(Debug)]
pub(crate) enum Stored {
    /// So many bytes from the start are durable.
    Durable(u64),
    /// The recording reached its limit: no more is taken.
    Full(u64),
    /// The disk failed; what was not acknowledged is to be sent again.
    Failed(io::Error),
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
    /// So many bytes were made durable by this process: what it found may be in memory alone.
    synced: u64,
}

impl Open {
    /// Adds what is new of each piece. `false`: the limit was reached.
    fn add(&mut self, pieces: &[Piece], limit: u64) -> io::Result<bool> {
        for piece in pieces {
            let Some(skip) = self.length.checked_sub(piece.offset) else { break };
            let fresh =
                usize::try_from(skip).ok().and_then(|skip| piece.data.get(skip..)).unwrap_or_default();
            if self.length.saturating_add(fresh.len() as u64) > limit {
                return Ok(false);
            }
            self.file.write_all_at(fresh, self.length)?;
            self.length += fresh.len() as u64;
        }
        Ok(true)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.length > self.synced {
            self.file.sync_data()?;
            self.synced = self.length;
        }
        Ok(())
    }
}

/// All recordings.
#[derive(Debug)]
pub(crate) struct Recordings {
    dir: PathBuf,
    limit: u64,
    open: Mutex<HashMap<SessionId, Arc<Mutex<Open>>>>,
    /// Recordings sealed since the start: what was looked up before the latest is to be looked up again.
    seals: AtomicU64,
}

impl Recordings {
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn new(dir: &Path, limit: u64) -> io::Result<Self> {
        make_private_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), limit, open: Mutex::default(), seals: AtomicU64::new(0) })
    }

    /// Where a session's recording is: the month is that of its id.
    pub(crate) fn path(&self, session: SessionId) -> PathBuf {
        self.dir.join(month(session)).join(format!("{session}.hoopr"))
    }

    /// Opens a recording to read it.
    pub(crate) fn read(&self, session: SessionId) -> io::Result<File> {
        File::open(self.path(session))
    }

    /// What stands from an offset to the end, if it can be a trailer.
    pub(crate) fn tail(&self, session: SessionId, offset: u64) -> io::Result<Option<Bytes>> {
        let file = self.read(session)?;
        let length = file.metadata()?.len().saturating_sub(offset);
        let longest = hoop_recording::container::MAX_TRAILER + hoop_recording::container::FRAME_PREFIX;
        let Some(length) = usize::try_from(length).ok().filter(|length| *length > 0 && *length <= longest)
        else {
            return Ok(None);
        };
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(Some(bytes.into()))
    }

    /// Bytes that are there.
    pub(crate) fn length(&self, session: SessionId) -> u64 {
        fs::metadata(self.path(session)).map_or(0, |facts| facts.len())
    }

    /// How many recordings were sealed since the start.
    pub(crate) fn seals(&self) -> u64 {
        self.seals.load(Ordering::Acquire)
    }

    /// One more was sealed: it gets no more.
    pub(crate) fn sealed(&self, session: SessionId) {
        self.seals.fetch_add(1, Ordering::AcqRel);
        self.close(session);
    }

    /// Forgets the open file of a session that gets no more.
    pub(crate) fn close(&self, session: SessionId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }

    /// Writes pieces, makes them durable with one `fsync` a file, and says how far each recording has come.
    ///
    /// A piece that overlaps what is there adds only what is new (nothing durable is ever overwritten); one that
    /// leaves a gap adds nothing: the answer tells the agent where to go on.
    pub(crate) fn store(&self, pieces: Vec<Piece>) -> BTreeMap<SessionId, Stored> {
        let mut by_session: BTreeMap<SessionId, Vec<Piece>> = BTreeMap::new();
        for piece in pieces {
            by_session.entry(piece.session).or_default().push(piece);
        }
        let store = |(session, pieces): (SessionId, Vec<Piece>)| {
            let stored = self.store_one(session, &pieces).unwrap_or_else(Stored::Failed);
            (session, stored)
        };
        by_session.into_iter().map(store).collect()
    }

    fn store_one(&self, session: SessionId, pieces: &[Piece]) -> io::Result<Stored> {
        let open = self.opened(session)?;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = open.add(pieces, self.limit)?;
        if let Err(error) = open.sync() {
            // What the kernel dropped cannot be told from what it kept: look again at the next piece.
            self.close(session);
            return Err(error);
        }
        Ok(if fits { Stored::Durable(open.length) } else { Stored::Full(open.length) })
    }

    fn opened(&self, session: SessionId) -> io::Result<Arc<Mutex<Open>>> {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get(&session) {
            return Ok(Arc::clone(open));
        }
        let path = self.path(session);
        let folder = path.parent().unwrap_or(&self.dir);
        make_private_dir(folder)?;
        let fresh = !path.exists();
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        if fresh {
            // The name must survive a power cut as well as the bytes.
            File::open(folder)?.sync_all()?;
            File::open(&self.dir)?.sync_all()?;
        }
        let length = file.metadata()?.len();
        let open = Arc::new(Mutex::new(Open { file, length, synced: 0 }));
        all.insert(session, Arc::clone(&open));
        Ok(open)
    }
}

/// Makes a folder that only we may enter.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// `2026-11`: a UUIDv7 begins with milliseconds since the epoch.
pub(crate) fn month(session: SessionId) -> String {
    let [a, b, c, d, e, f, ..] = *session.as_bytes();
    let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let at = Timestamp::from_micros(i64::try_from(millis.saturating_mul(1000)).unwrap_or(0)).to_string();
    at.get(..7)
        .filter(|text| text.bytes().all(|c| c.is_ascii_digit() || c == b'-'))
        .unwrap_or("unknown")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recordings(limit: u64) -> (tempfile::TempDir, Recordings) {
        let folder = tempfile::tempdir().unwrap();
        let recordings = Recordings::new(&folder.path().join("rec"), limit).unwrap();
        (folder, recordings)
    }

    fn put(recordings: &Recordings, session: SessionId, parts: &[(u64, &str)]) -> Stored {
        let piece = |(offset, data): &(u64, &str)| Piece {
            session,
            offset: *offset,
            data: Bytes::copy_from_slice(data.as_bytes()),
        };
        recordings.store(parts.iter().map(piece).collect()).remove(&session).unwrap()
    }

    #[test]
    fn pieces_are_appended_and_nothing_is_overwritten() {
        let (_folder, recordings) = recordings(100);
        let session = SessionId::generate();
        assert!(matches!(put(&recordings, session, &[(0, "hello "), (6, "world")]), Stored::Durable(11)));
        assert!(matches!(put(&recordings, session, &[(0, "HELLO WORLD!")]), Stored::Durable(12)));
        assert_eq!(fs::read(recordings.path(session)).unwrap(), b"hello world!");
    }

    #[test]
    fn a_gap_adds_nothing() {
        let (_folder, recordings) = recordings(100);
        let session = SessionId::generate();
        assert!(matches!(put(&recordings, session, &[(3, "late")]), Stored::Durable(0)));
        assert!(matches!(put(&recordings, session, &[(0, "ab"), (9, "late"), (2, "c")]), Stored::Durable(2)));
    }

    #[test]
    fn a_restart_goes_on_where_the_file_ends() {
        let (folder, first) = recordings(100);
        let session = SessionId::generate();
        put(&first, session, &[(0, "abc")]);
        let second = Recordings::new(&folder.path().join("rec"), 100).unwrap();
        assert_eq!(second.length(session), 3);
        assert!(matches!(put(&second, session, &[(2, "cd")]), Stored::Durable(4)));
    }

    #[test]
    fn what_was_found_is_made_durable_before_it_is_acknowledged() {
        let (folder, first) = recordings(100);
        let session = SessionId::generate();
        put(&first, session, &[(0, "abc")]);
        let second = Recordings::new(&folder.path().join("rec"), 100).unwrap();
        let open = second.opened(session).unwrap();
        assert_eq!(open.lock().unwrap().synced, 0, "a process before may have died between write and fsync");
        assert!(matches!(put(&second, session, &[(0, "abc")]), Stored::Durable(3)), "nothing new");
        assert_eq!(open.lock().unwrap().synced, 3);
    }

    #[test]
    fn a_write_that_failed_in_the_middle_leaves_its_first_part_to_be_made_durable() {
        let (_folder, recordings) = recordings(100);
        let session = SessionId::generate();
        put(&recordings, session, &[(0, "abc")]);
        let open = recordings.opened(session).unwrap();
        open.lock()
            .unwrap()
            .add(&[Piece { session, offset: 3, data: Bytes::from_static(b"de") }], 100)
            .unwrap();
        assert_eq!(open.lock().unwrap().synced, 3);
        assert!(matches!(put(&recordings, session, &[(3, "de")]), Stored::Durable(5)));
        assert_eq!(open.lock().unwrap().synced, 5);
    }

    #[test]
    fn the_limit_holds() {
        let (_folder, recordings) = recordings(4);
        let session = SessionId::generate();
        assert!(matches!(put(&recordings, session, &[(0, "abc"), (3, "de")]), Stored::Full(3)));
    }

    #[test]
    fn names_come_from_the_id_alone() {
        let (_folder, recordings) = recordings(4);
        let session = SessionId::generate();
        let path = recordings.path(session);
        let month = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(month.len(), 7);
        assert!(month.starts_with("20"), "{month}");
    }
}

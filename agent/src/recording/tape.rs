//! One session's recording: encrypted as it comes, appended to its spool file, watched for how far the gateway is behind.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use hoop_model::{Blame, Fault, SessionId, Timestamp};
use hoop_recording::{Carried, RecordingPublicKey, SigningKey, Start, Writer, chain::ScanError};
use hoop_session::{Mark, TapeError};

use tokio_util::sync::CancellationToken;

use super::{keeper::Bell, restore};

/// When a session stalls because its recording does not get through, and when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapeLimits {
    /// Bytes written here that the gateway has not acknowledged.
    pub(crate) behind_bytes: u64,
    /// Age of the oldest of them.
    pub(crate) behind: Duration,
    /// Longest stall.
    pub(crate) stall: Duration,
    /// What is written reaches the disk itself before it counts.
    pub(crate) sync: bool,
}

/// The recording of one session at the agent.
pub(crate) struct SessionTape {
    session: SessionId,
    path: PathBuf,
    limits: TapeLimits,
    inner: Mutex<Inner>,
    file: File,
    written: AtomicU64,
    durable: AtomicU64,
    /// Bytes that are on the disk itself.
    synced: AtomicU64,
    /// Bytes up to `marker` have been outstanding since `marker_at` ([`ticks`]; 0: nothing is outstanding).
    /// Who writes and who acknowledges change all of this at once, and hold `marker` meanwhile.
    marker: Mutex<u64>,
    marker_at: AtomicU64,
    finished: AtomicBool,
    broken: Mutex<Option<Fault>>,
    pub(super) is_broken: AtomicBool,
    /// A write failed in the middle: what follows the tear would be unreadable, so nothing follows.
    torn: AtomicBool,
    /// The gateway does not take it, or it cannot be read here: it stays where it is.
    pub(super) refused: AtomicBool,
    /// The part that holds the trailer was sent.
    last_sent: AtomicBool,
    /// Cancelled when the recording fails, so that its session ends at once.
    failed: CancellationToken,
    pub(super) waiting: Mutex<Vec<Waker>>,
    /// Records that are encrypted and in the file; of a strict recording: that the gateway has stored durably.
    kept: AtomicU64,
    /// Records that are encrypted and in the file.
    pub(super) sealed: AtomicU64,
    /// Of a strict recording: how many records end at which byte of the file, until the gateway has stored that byte.
    pub(super) awaited: Option<Mutex<VecDeque<(u64, u64)>>>,
    /// Streams that wait until theirs are, and whether one of them is about to see to it.
    pub(super) unkept: Mutex<Vec<Waker>>,
    pub(super) led: AtomicBool,
    pub(super) bell: Arc<Bell>,
    /// Already in the bell's lists.
    pub(super) to_commit: AtomicBool,
    pub(super) to_upload: AtomicBool,
}

/// The file, and how much is in it.
struct Spooled {
    path: PathBuf,
    file: File,
    written: u64,
}

pub(super) struct Inner {
    /// `None` once finished, or when this was restored from a crash.
    pub(super) writer: Option<Writer>,
    /// Records taken.
    pub(super) taken: u64,
}

/// Microseconds on a clock that nobody sets, never 0: a wall clock that jumps makes no recording late.
fn ticks() -> u64 {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(ORIGIN.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
}

fn since_tick(tick: u64) -> Duration {
    Duration::from_micros(ticks().saturating_sub(tick))
}

pub(super) fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

pub(super) fn failed(what: impl std::fmt::Display) -> Fault {
    tracing::error!(error = %what, "a recording cannot be written");
    Fault::new(
        "HOOP-6011",
        Blame::System,
        "the recording of this session cannot be written, so the session ends",
    )
    .with_hint("the agent's owner finds the reason in its log; a full disk is the usual one")
}

impl SessionTape {
    /// Begins a recording: makes its file and writes its header.
    pub(super) fn create(
        folder: &Path,
        start: Start,
        key: &RecordingPublicKey,
        strict: bool,
        limits: TapeLimits,
        bell: Arc<Bell>,
    ) -> Result<Arc<Self>, Fault> {
        let session = start.session;
        let path = folder.join(format!("{session}.hoopr"));
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(format_args!("{}: {error}", path.display())))?;
        let (writer, header) = Writer::create(start, key).map_err(failed)?;
        let tape =
            Self::assemble(session, Spooled { path, file, written: 0 }, Some(writer), strict, limits, bell);
        tape.write(&header.bytes).map_err(|TapeError(fault)| fault)?;
        let tape = Arc::new(tape);
        tape.bell.ring_upload(&tape);
        Ok(tape)
    }

    /// A recording that ended with the process before this one: it is whole in its file and only has to be sent.
    pub(super) fn restored(
        session: SessionId,
        path: PathBuf,
        file: File,
        length: u64,
        limits: TapeLimits,
        bell: Arc<Bell>,
    ) -> Arc<Self> {
        let tape =
            Self::assemble(session, Spooled { path, file, written: length }, None, false, limits, bell);
        tape.finished.store(true, Ordering::Release);
        Arc::new(tape)
    }

    fn assemble(
        session: SessionId,
        Spooled { path, file, written }: Spooled,
        writer: Option<Writer>,
        strict: bool,
        limits: TapeLimits,
        bell: Arc<Bell>,
    ) -> Self {
        Self {
            session,
            path,
            limits,
            inner: Mutex::new(Inner { writer, taken: 0 }),
            file,
            written: AtomicU64::new(written),
            durable: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            marker: Mutex::default(),
            marker_at: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            broken: Mutex::new(None),
            is_broken: AtomicBool::new(false),
            torn: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            last_sent: AtomicBool::new(false),
            failed: CancellationToken::new(),
            waiting: Mutex::default(),
            kept: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            awaited: strict.then(Mutex::default),
            unkept: Mutex::default(),
            led: AtomicBool::new(false),
            bell,
            to_commit: AtomicBool::new(false),
            to_upload: AtomicBool::new(false),
        }
    }

    pub(crate) const fn session(&self) -> SessionId {
        self.session
    }

    /// Where its file is.
    #[cfg(feature = "bench-unrecorded")]
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Bytes in the file.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether what is recorded is kept only when the gateway has it.
    pub(super) const fn is_strict(&self) -> bool {
        self.awaited.is_some()
    }

    /// Bytes that the gateway has stored durably.
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The trailer is written: nothing more comes.
    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Everything is at the gateway.
    pub(super) fn is_delivered(&self) -> bool {
        self.is_finished() && self.last_sent.load(Ordering::Acquire) && self.durable() >= self.written()
    }

    /// The end is on its way to the gateway.
    pub(super) fn sent_last(&self) {
        self.last_sent.store(true, Ordering::Release);
    }

    /// Waits until the recording fails, and says why. Cancel safe.
    pub(crate) async fn failure(&self) -> Fault {
        self.failed.cancelled().await;
        self.reason().0
    }

    /// A piece of the file for the gateway.
    pub(super) fn read(&self, offset: u64, most: usize) -> std::io::Result<Bytes> {
        let left = usize::try_from(self.written().saturating_sub(offset)).unwrap_or(most);
        let mut piece = BytesMut::zeroed(left.min(most));
        self.file.read_exact_at(&mut piece, offset)?;
        Ok(piece.freeze())
    }

    /// The gateway has stored so many bytes durably.
    pub(super) fn acknowledge(&self, durable: u64) {
        let durable = durable.min(self.written());
        // Less than before: the gateway lost what it had (a restored backup). The spool still has it all.
        let mut marker = self.marker();
        self.durable.store(durable, Ordering::Release);
        if durable >= *marker {
            *marker = self.written();
            let since = if durable >= *marker { 0 } else { ticks() };
            self.marker_at.store(since, Ordering::Release);
        }
        drop(marker);
        if let Some(stored) = self.awaited.as_ref().and_then(|awaited| stored_up_to(awaited, durable)) {
            self.kept.fetch_max(stored, Ordering::AcqRel);
        }
        self.wake();
    }

    /// The recording cannot go on; its streams end with this reason.
    pub(super) fn fail(&self, fault: Fault) {
        if let Ok(mut broken) = self.broken.lock() {
            broken.get_or_insert(fault);
        }
        self.is_broken.store(true, Ordering::Release);
        self.failed.cancel();
        self.wake();
    }

    /// The disk did not take it, or does not give it back.
    pub(super) fn fail_for(&self, error: &std::io::Error) -> TapeError {
        let fault = failed(format_args!("{}: {error}", self.path.display()));
        self.fail(fault.clone());
        TapeError(fault)
    }

    /// Fails the recording if it has stalled for too long.
    pub(super) fn check_stall(&self) {
        let since = self.marker_at.load(Ordering::Acquire);
        let behind = if since == 0 { Duration::ZERO } else { since_tick(since) };
        if behind > self.limits.behind + self.limits.stall && !self.is_finished() {
            self.fail(
                Fault::new(
                    "HOOP-6012",
                    Blame::System,
                    format!("the gateway has not stored this session's recording for {} s", behind.as_secs()),
                )
                .with_hint("the gateway's owner looks at its storage; then open a new session"),
            );
        }
    }

    fn marker(&self) -> MutexGuard<'_, u64> {
        self.marker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of it is stored by the gateway, or on the disk itself.
    pub(super) fn is_safe(&self) -> bool {
        self.synced.load(Ordering::Acquire).max(self.durable()) >= self.written()
    }

    /// How long bytes have waited that are neither stored by the gateway nor on the disk itself; zero: there are none.
    pub(super) fn unsafe_for(&self) -> Duration {
        let since = self.marker_at.load(Ordering::Acquire);
        if since == 0 || self.is_safe() { Duration::ZERO } else { since_tick(since) }
    }

    /// Pushes the file to the disk itself; where that cannot be done, the recording fails. Blocks.
    pub(super) fn sync(&self) -> Result<(), TapeError> {
        let written = self.written();
        match self.file.sync_data() {
            Ok(()) => {
                self.synced.fetch_max(written, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => Err(self.fail_for(&error)),
        }
    }

    /// Removes the file once the gateway has it all.
    pub(super) fn remove(&self) -> std::io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    /// Writes the signed end. Nothing can be recorded after it. Blocks for a disk write.
    pub(crate) fn finish(
        self: &Arc<Self>,
        reason: &str,
        carried: Carried,
        key: &SigningKey,
    ) -> Result<(), TapeError> {
        // A recording that only got stuck on its way is whole here, and gets its end.
        let mut inner =
            self.inner.lock().map_err(|_| TapeError(failed("a thread died while it recorded")))?;
        if self.torn.load(Ordering::Acquire) {
            return Err(self.reason());
        }
        let Some(mut writer) = inner.writer.take() else { return Ok(()) };
        writer.note_carried(carried);
        let finished = writer.finish(now(), reason, key).map_err(failed)?;
        if let Some(last) = finished.last {
            self.write(&last.bytes)?;
        }
        self.write(&finished.trailer_frame)?;
        self.finished.store(true, Ordering::Release);
        self.keep_up_to(inner.taken, self.written());
        drop(inner);
        self.bell.ring_upload(self);
        self.sync()
    }

    /// Ends a recording whose own end could not be written: cut to its last whole chunk, signed for as interrupted, and
    /// sent. Blocks; may be tried again.
    pub(super) fn mend(self: &Arc<Self>, reason: &str, key: &SigningKey) -> Result<(), ScanError> {
        let mut inner =
            self.inner.lock().map_err(|_| std::io::Error::other("a thread died while it recorded"))?;
        inner.writer = None;
        let length = restore::mend(&self.path, &self.file, reason, key)?;
        self.written.store(length, Ordering::Release);
        self.finished.store(true, Ordering::Release);
        drop(inner);
        self.bell.ring_upload(self);
        Ok(())
    }

    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Inner>, TapeError> {
        let inner = self.inner.lock().map_err(|_| TapeError(failed("a thread died while it recorded")))?;
        // Looked at under the lock: whoever waited for it while a write failed must not write behind the tear.
        if self.is_broken.load(Ordering::Acquire) {
            drop(inner);
            return Err(self.reason());
        }
        Ok(inner)
    }

    pub(super) fn reason(&self) -> TapeError {
        let reason = self.broken.lock().ok().and_then(|broken| broken.clone());
        TapeError(reason.unwrap_or_else(|| failed("unknown")))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), TapeError> {
        if let Err(error) = (&self.file).write_all(bytes) {
            self.torn.store(true, Ordering::Release);
            return Err(self.fail_for(&error));
        }
        let mut marker = self.marker();
        let written = self.written.fetch_add(bytes.len() as u64, Ordering::AcqRel) + bytes.len() as u64;
        if self.marker_at.load(Ordering::Acquire) == 0 {
            *marker = written;
            self.marker_at.store(ticks(), Ordering::Release);
        }
        Ok(())
    }

    pub(super) fn is_behind(&self) -> bool {
        let behind = self.written().saturating_sub(self.durable());
        if behind == 0 {
            return false;
        }
        let since = self.marker_at.load(Ordering::Acquire);
        behind > self.limits.behind_bytes || (since != 0 && since_tick(since) > self.limits.behind)
    }

    fn wake(&self) {
        wake_all(&self.waiting);
        wake_all(&self.unkept);
    }

    /// So many records are in the file, which now ends at `written`.
    fn keep_up_to(&self, taken: u64, written: u64) {
        if self.sealed.fetch_max(taken, Ordering::AcqRel) >= taken {
            return;
        }
        match &self.awaited {
            None => {
                self.kept.fetch_max(taken, Ordering::AcqRel);
            }
            Some(awaited) => {
                if let Ok(mut awaited) = awaited.lock() {
                    awaited.push_back((taken, written));
                }
            }
        }
        wake_all(&self.unkept);
    }

    /// Whether everything before `mark` is kept; `None`: not yet.
    pub(super) fn look(&self, mark: Mark) -> Option<Result<(), TapeError>> {
        if self.kept.load(Ordering::Acquire) >= mark.0 {
            return Some(Ok(()));
        }
        self.is_broken.load(Ordering::Acquire).then(|| Err(self.reason()))
    }

    /// Writes what was taken so far, as one chunk.
    pub(super) fn commit_pending(self: &Arc<Self>) -> Result<(), TapeError> {
        let mut inner = self.lock()?;
        let taken = inner.taken;
        let Some(writer) = inner.writer.as_mut() else { return Ok(()) };
        let sealed = writer.seal_chunk().map_err(|error| TapeError(failed(error)))?;
        if let Some(chunk) = &sealed {
            self.write(&chunk.bytes)?;
        }
        if self.limits.sync {
            self.sync()?;
        }
        self.keep_up_to(taken, self.written());
        drop(inner);
        if sealed.is_some() {
            self.bell.ring_upload(self);
        }
        Ok(())
    }
}

/// The records that are stored when so many bytes of the file are; `None`: no more than were.
fn stored_up_to(awaited: &Mutex<VecDeque<(u64, u64)>>, durable: u64) -> Option<u64> {
    let mut awaited = awaited.lock().ok()?;
    let mut stored = None;
    while let Some((taken, _)) = awaited.front().copied().filter(|(_, end)| *end <= durable) {
        awaited.pop_front();
        stored = Some(taken);
    }
    stored
}

pub(super) fn wake_all(waiting: &Mutex<Vec<Waker>>) {
    let waiting = waiting.lock().map(|mut waiting| std::mem::take(&mut *waiting));
    waiting.unwrap_or_default().into_iter().for_each(Waker::wake);
}

pub(super) fn register(waiting: &Mutex<Vec<Waker>>, cx: &Context<'_>) {
    if let Ok(mut waiting) = waiting.lock() {
        waiting.retain(|waker| !waker.will_wake(cx.waker()));
        waiting.push(cx.waker().clone());
    }
}

/// What tests begin recordings with.
#[cfg(test)]
pub(super) mod testing {
    use hoop_recording::Compression;

    use super::{Duration, SessionId, SigningKey, Start, TapeLimits, now};

    pub(in super::super) const LIMITS: TapeLimits = TapeLimits {
        behind_bytes: 1 << 20,
        behind: Duration::from_secs(5),
        stall: Duration::from_secs(5),
        sync: false,
    };

    pub(in super::super) fn start() -> Start {
        Start {
            session: SessionId::generate(),
            at: now(),
            facts: Vec::new(),
            signer: SigningKey::generate().unwrap().verifying_key(),
            compression: Compression::Off,
        }
    }
}

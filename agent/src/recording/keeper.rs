//! The spool: all tapes of this agent, and the task that commits what streams left pending.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, Weak, atomic::Ordering},
    time::Duration,
};

use hoop_model::{Fault, SessionId};
use hoop_recording::{RecordingPublicKey, SigningKey, Start, chain::ScanError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    restore,
    tape::{SessionTape, TapeLimits},
};

/// Answers wait at most so long before they are in the spool; requests never wait.
const COMMIT_AFTER: Duration = Duration::from_millis(20);
/// At its end the agent waits so long for a gateway that is away: it may only have restarted.
const AWAY: Duration = Duration::from_secs(3);
/// How often stalls are looked at, and what the gateway has not stored since the last look is synced: it may be away, and
/// nobody knows it yet.
const STALL_CHECK: Duration = Duration::from_secs(1);

/// Tapes that something is to be done for.
#[derive(Default)]
pub(super) struct Bell {
    commit: Mutex<Vec<Weak<SessionTape>>>,
    commit_rung: Notify,
    upload: Mutex<Vec<Weak<SessionTape>>>,
    pub(super) upload_rung: Notify,
    /// Rung as well by recordings that somebody waits for.
    pub(super) awaited_rung: Notify,
    /// A recording was delivered to its end or refused; the upload began, or broke off.
    pub(super) delivery_rung: Notify,
}

impl Bell {
    pub(super) fn ring_commit(&self, tape: &Arc<SessionTape>) {
        if !tape.to_commit.swap(true, Ordering::AcqRel) {
            push(&self.commit, tape);
            self.commit_rung.notify_one();
        }
    }

    pub(super) fn ring_upload(&self, tape: &Arc<SessionTape>) {
        if !tape.to_upload.swap(true, Ordering::AcqRel) {
            push(&self.upload, tape);
            self.upload_rung.notify_one();
            if tape.is_strict() {
                self.awaited_rung.notify_one();
            }
        }
    }

    pub(super) fn take_uploads(&self) -> Vec<Arc<SessionTape>> {
        let tapes = take(&self.upload);
        tapes.iter().for_each(|tape| tape.to_upload.store(false, Ordering::Release));
        tapes
    }
}

fn push(list: &Mutex<Vec<Weak<SessionTape>>>, tape: &Arc<SessionTape>) {
    if let Ok(mut list) = list.lock() {
        list.push(Arc::downgrade(tape));
    }
}

fn take(list: &Mutex<Vec<Weak<SessionTape>>>) -> Vec<Arc<SessionTape>> {
    let taken = list.lock().map(|mut list| std::mem::take(&mut *list)).unwrap_or_default();
    taken.iter().filter_map(Weak::upgrade).collect()
}

/// A recording whose end could not be written, and what its end says.
struct Unfinished {
    tape: Arc<SessionTape>,
    reason: String,
    key: Arc<SigningKey>,
}

/// All recordings that are not yet at the gateway to their end.
pub(crate) struct Spool {
    folder: PathBuf,
    limits: TapeLimits,
    tapes: Mutex<HashMap<SessionId, Arc<SessionTape>>>,
    unfinished: Mutex<Vec<Unfinished>>,
    /// Recordings of sessions that the gateway does not know yet: it would refuse them.
    held: Mutex<HashSet<SessionId>>,
    pub(super) bell: Arc<Bell>,
    /// An upload to the gateway is under way.
    pub(super) connected: std::sync::atomic::AtomicBool,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spool({})", self.folder.display())
    }
}

impl Spool {
    /// Opens the folder, and signs for what a crash left there: those recordings are sent as interrupted.
    pub(crate) fn open(folder: PathBuf, limits: TapeLimits, key: &SigningKey) -> std::io::Result<Arc<Self>> {
        let bell = Arc::new(Bell::default());
        let tapes = restore::restore(&folder, key, limits, &bell)?;
        tapes.iter().for_each(|tape| bell.ring_upload(tape));
        let tapes = tapes.into_iter().map(|tape| (tape.session(), tape)).collect();
        let (tapes, unfinished, held) = (Mutex::new(tapes), Mutex::default(), Mutex::default());
        Ok(Arc::new(Self { folder, limits, tapes, unfinished, held, bell, connected: false.into() }))
    }

    /// Begins a recording.
    pub(crate) fn begin(
        &self,
        start: Start,
        key: &RecordingPublicKey,
        strict: bool,
    ) -> Result<Arc<SessionTape>, Fault> {
        self.begin_with(start, key, strict, self.limits)
    }

    /// Begins one that cannot reach the gateway: everything is on the disk itself before it counts, and nothing is sent
    /// before the gateway knows of the session.
    pub(crate) fn begin_offline(
        &self,
        start: Start,
        key: &RecordingPublicKey,
    ) -> Result<Arc<SessionTape>, Fault> {
        self.hold(start.session);
        let endless = Duration::from_secs(u64::from(u32::MAX));
        let limits = TapeLimits { behind_bytes: u64::MAX, behind: endless, stall: endless, sync: true };
        self.begin_with(start, key, false, limits)
    }

    fn begin_with(
        &self,
        start: Start,
        key: &RecordingPublicKey,
        strict: bool,
        limits: TapeLimits,
    ) -> Result<Arc<SessionTape>, Fault> {
        let tape = SessionTape::create(&self.folder, start, key, strict, limits, Arc::clone(&self.bell))?;
        if let Ok(mut tapes) = self.tapes.lock() {
            tapes.insert(tape.session(), Arc::clone(&tape));
        }
        Ok(tape)
    }

    /// Keeps a recording here until it is released.
    pub(crate) fn hold(&self, session: SessionId) {
        if let Ok(mut held) = self.held.lock() {
            held.insert(session);
        }
    }

    /// A recording may go.
    pub(crate) fn release(&self, session: SessionId) {
        if let Ok(mut held) = self.held.lock() {
            held.remove(&session);
        }
        if let Some(tape) = self.find(session) {
            self.bell.ring_upload(&tape);
        }
    }

    pub(super) fn is_held(&self, session: SessionId) -> bool {
        self.held.lock().map_or(true, |held| held.contains(&session))
    }

    /// Every recording that is not yet delivered.
    pub(crate) fn tapes(&self) -> Vec<Arc<SessionTape>> {
        self.tapes.lock().map(|tapes| tapes.values().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn find(&self, session: SessionId) -> Option<Arc<SessionTape>> {
        self.tapes.lock().ok()?.get(&session).cloned()
    }

    /// Waits until the gateway has every recording that has ended, to its end. Whether it has: a gateway that is away for
    /// longer than [`AWAY`] is waited for no more. One may wait.
    pub(crate) async fn all_delivered(&self) -> bool {
        while self.has_undelivered() {
            let changed = self.bell.delivery_rung.notified();
            if self.connected.load(Ordering::Acquire) {
                changed.await;
            } else if tokio::time::timeout(AWAY, changed).await.is_err() {
                return false;
            }
        }
        true
    }

    /// What waits for something else than the gateway is left out: to be told of, to be read or written at all.
    fn has_undelivered(&self) -> bool {
        let is_on_its_way = |tape: &SessionTape| {
            tape.is_finished() && !tape.refused.load(Ordering::Acquire) && !self.is_held(tape.session())
        };
        self.tapes().iter().any(|tape| is_on_its_way(tape))
    }

    /// Forgets a recording that the gateway has to its end, and removes its file.
    pub(super) fn delivered(&self, tape: &SessionTape) {
        if let Ok(mut tapes) = self.tapes.lock() {
            tapes.remove(&tape.session());
        }
        if let Err(error) = tape.remove() {
            tracing::warn!(session = %tape.session(), %error, "a delivered recording's spool file was not removed");
        }
        self.bell.delivery_rung.notify_one();
    }

    /// Ends a recording whose end could not be written, as soon as it can be: when the disk has room again, say.
    pub(crate) fn finish_later(&self, tape: Arc<SessionTape>, reason: String, key: Arc<SigningKey>) {
        if let Ok(mut unfinished) = self.unfinished.lock() {
            unfinished.push(Unfinished { tape, reason, key });
        }
    }

    /// Tries each once more. Blocks.
    fn finish_what_can_be(&self) {
        let Ok(mut unfinished) = self.unfinished.lock() else { return };
        unfinished.retain(|one| match one.tape.mend(&one.reason, &one.key) {
            Ok(()) => {
                tracing::warn!(session = %one.tape.session(), "a recording that could not be written is sent as interrupted");
                false
            }
            Err(ScanError::Input(_)) => true,
            Err(error) => {
                tracing::error!(session = %one.tape.session(), %error, "a recording that could not be written is left to the next start");
                false
            }
        });
    }

    fn has_unfinished(&self) -> bool {
        self.unfinished.lock().is_ok_and(|unfinished| !unfinished.is_empty())
    }

    /// Commits what streams left pending, syncs while the gateway is away, ends what stalled too long.
    ///
    /// What waits for the disk has loops of its own: no answer stays uncommitted behind it.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let committed = Notify::new();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.commit(&committed) => {}
            () = self.sync_all(&committed) => {}
            () = self.look_after_all() => {}
        }
    }

    async fn commit(&self, committed: &Notify) {
        loop {
            self.bell.commit_rung.notified().await;
            tokio::time::sleep(COMMIT_AFTER).await;
            let tapes = take(&self.bell.commit);
            for tape in &tapes {
                tape.to_commit.store(false, Ordering::Release);
                if let Err(error) = tape.commit_pending() {
                    tape.fail(error.0);
                }
            }
            if !self.connected.load(Ordering::Acquire) {
                committed.notify_one();
            }
        }
    }

    /// Each time that something was committed while the gateway is away.
    async fn sync_all(&self, committed: &Notify) {
        loop {
            committed.notified().await;
            sync(self.tapes().into_iter().filter(|tape| !tape.is_safe()).collect()).await;
        }
    }

    async fn look_after_all(self: &Arc<Self>) {
        let mut stalls = tokio::time::interval(STALL_CHECK);
        stalls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            stalls.tick().await;
            let tapes = self.tapes();
            tapes.iter().for_each(|tape| tape.check_stall());
            sync(tapes.into_iter().filter(|tape| tape.unsafe_for() > STALL_CHECK).collect()).await;
            if self.has_unfinished() {
                let spool = Arc::clone(self);
                let _ = tokio::task::spawn_blocking(move || spool.finish_what_can_be()).await;
            }
        }
    }
}

/// To the disk itself. What fails there has failed as a recording, and said so.
async fn sync(tapes: Vec<Arc<SessionTape>>) {
    if !tapes.is_empty() {
        let _ = tokio::task::spawn_blocking(move || tapes.iter().for_each(|tape| drop(tape.sync()))).await;
    }
}

/// What tests keep recordings in.
#[cfg(test)]
pub(super) mod testing {
    use hoop_recording::RecordingPrivateKey;

    use super::{
        super::tape::testing::{LIMITS, start},
        *,
    };

    pub(in super::super) fn spool(folder: &std::path::Path) -> Arc<Spool> {
        let spool = Spool::open(folder.to_owned(), LIMITS, &SigningKey::generate().unwrap()).unwrap();
        spool.connected.store(true, Ordering::Release);
        spool
    }

    pub(in super::super) fn begin(spool: &Spool) -> Arc<SessionTape> {
        spool.begin(start(), RecordingPrivateKey::generate().unwrap().public(), false).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use hoop_recording::Carried;

    use super::{
        testing::{begin, spool},
        *,
    };

    fn ended(spool: &Spool) -> Arc<SessionTape> {
        let tape = begin(spool);
        tape.finish("over", Carried::default(), &SigningKey::generate().unwrap()).unwrap();
        tape
    }

    /// A gateway that hangs looks as one that is there.
    #[tokio::test]
    async fn what_the_gateway_does_not_store_for_a_while_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path());
        let tape = begin(&spool);
        let kept = tokio::spawn(Arc::clone(&spool).keep(CancellationToken::new()));
        while tape.unsafe_for() == Duration::ZERO {
            tokio::task::yield_now().await;
        }
        let synced = async {
            while tape.unsafe_for() != Duration::ZERO {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), synced).await.unwrap();
        assert_eq!(tape.durable(), 0);
        kept.abort();
    }

    /// Not for what goes on, is kept back or refused, and not for long without a gateway.
    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_the_gateway_takes() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path());
        let _goes_on = begin(&spool);
        let [held, refused, taken] = [(); 3].map(|()| ended(&spool));
        spool.hold(held.session());
        let mut waiting = std::pin::pin!(spool.all_delivered());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
        refused.refused.store(true, Ordering::Release);
        spool.bell.delivery_rung.notify_one();
        assert!(waiting.as_mut().poll(cx).is_pending(), "one can still be delivered");
        // The upload breaks off, and begins anew: it goes on.
        for connected in [false, true] {
            spool.connected.store(connected, Ordering::Release);
            spool.bell.delivery_rung.notify_one();
            assert!(waiting.as_mut().poll(cx).is_pending());
        }
        spool.delivered(&taken);
        assert_eq!(waiting.as_mut().poll(cx), Poll::Ready(true));

        let _left = ended(&spool);
        spool.connected.store(false, Ordering::Release);
        assert!(!spool.all_delivered().await, "there is no gateway to wait for");
    }
}

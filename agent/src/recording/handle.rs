//! The tape as one of its session's streams holds it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use hoop_model::{Blame, Fault};
use hoop_recording::Record;
use hoop_session::{Mark, Tape, TapeError};

use super::tape::{SessionTape, failed, register, wake_all};

/// Requests are kept in groups: the first stream that asks leads, and lets the others that are ready right now ask too
/// before it writes for all of them. What costs most, sealing and writing a chunk, is then shared by who came together.
pub(crate) struct TapeHandle {
    tape: Arc<SessionTape>,
    leads: AtomicBool,
}

impl TapeHandle {
    pub(crate) const fn new(tape: Arc<SessionTape>) -> Self {
        Self { tape, leads: AtomicBool::new(false) }
    }
}

impl Tape for TapeHandle {
    fn append(&self, record: Record) -> Result<Mark, TapeError> {
        let mut inner = self.tape.lock()?;
        let Some(writer) = inner.writer.as_mut() else {
            return Err(TapeError(Fault::new(
                "HOOP-6013",
                Blame::System,
                "the recording of this session has ended",
            )));
        };
        let full = writer.append(&record).map_err(|error| TapeError(failed(error)))?;
        for chunk in &full {
            self.tape.write(&chunk.bytes)?;
        }
        inner.taken += 1;
        let mark = Mark(inner.taken);
        drop(inner);
        if !full.is_empty() {
            self.tape.bell.ring_upload(&self.tape);
        }
        self.tape.bell.ring_commit(&self.tape);
        Ok(mark)
    }

    fn poll_kept(&self, mark: Mark, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        let tape = &self.tape;
        if self.leads.swap(false, Ordering::AcqRel) {
            tape.led.store(false, Ordering::Release);
            if let Err(error) = tape.commit_pending() {
                return Poll::Ready(Err(error));
            }
        }
        if let Some(known) = tape.look(mark) {
            return Poll::Ready(known);
        }
        register(&tape.unkept, cx);
        let is_sealed = tape.sealed.load(Ordering::Acquire) >= mark.0;
        if !is_sealed && !tape.led.swap(true, Ordering::AcqRel) {
            self.leads.store(true, Ordering::Release);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // It may have been kept, or failed, between the look and the waker.
        tape.look(mark).map_or(Poll::Pending, Poll::Ready)
    }

    fn is_strict(&self) -> bool {
        self.tape.is_strict()
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        let tape = &self.tape;
        if tape.is_broken.load(Ordering::Acquire) {
            return Poll::Ready(Err(tape.reason()));
        }
        if !tape.is_behind() {
            return Poll::Ready(Ok(()));
        }
        register(&tape.waiting, cx);
        // An acknowledgement may have come between the look and the waker.
        if tape.is_behind() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl Drop for TapeHandle {
    /// A stream that is cut while it leads: another one has to.
    fn drop(&mut self) {
        if self.leads.swap(false, Ordering::AcqRel) {
            self.tape.led.store(false, Ordering::Release);
            wake_all(&self.tape.unkept);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::atomic::AtomicUsize,
        task::{Wake, Waker},
    };

    use hoop_recording::{Event, RecordingPrivateKey};

    use super::{
        super::tape::{
            now,
            testing::{LIMITS, start},
        },
        *,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn tape_of(folder: &Path, strict: bool) -> Arc<SessionTape> {
        let key = RecordingPrivateKey::generate().unwrap();
        SessionTape::create(folder, start(), key.public(), strict, LIMITS, Arc::default()).unwrap()
    }

    fn say(handle: &TapeHandle) -> Mark {
        handle.append(Record { at: now(), stream: None, event: Event::Gap { reason: "x".into() } }).unwrap()
    }

    fn chunks(tape: &SessionTape) -> u64 {
        tape.lock().unwrap().writer.as_ref().unwrap().next_seq()
    }

    /// Two streams of one session that wait for what they said.
    struct Pair {
        tape: Arc<SessionTape>,
        ada: (TapeHandle, Mark),
        bob: (TapeHandle, Mark),
        /// How often bob was woken.
        woken: Arc<Count>,
        _folder: tempfile::TempDir,
    }

    impl Pair {
        fn waiting() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tape = tape_of(folder.path(), false);
            let [ada, bob] = [(); 2].map(|()| {
                let handle = TapeHandle::new(Arc::clone(&tape));
                let mark = say(&handle);
                (handle, mark)
            });
            let pair = Self { tape, ada, bob, woken: Arc::default(), _folder: folder };
            assert!(pair.ada().is_pending() && pair.bob().is_pending());
            assert_eq!((pair.woken(), chunks(&pair.tape)), (0, 0));
            pair
        }

        fn ada(&self) -> Poll<Result<(), TapeError>> {
            self.ada.0.poll_kept(self.ada.1, &mut Context::from_waker(Waker::noop()))
        }

        fn bob(&self) -> Poll<Result<(), TapeError>> {
            let waker = Waker::from(Arc::clone(&self.woken));
            self.bob.0.poll_kept(self.bob.1, &mut Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn who_asks_together_is_served_by_one_chunk() {
        let pair = Pair::waiting();
        assert!(pair.ada().is_ready());
        assert_eq!((pair.woken(), chunks(&pair.tape)), (1, 1));
        assert_eq!(pair.bob(), Poll::Ready(Ok(())));
        assert_eq!(chunks(&pair.tape), 1);
    }

    #[test]
    fn a_leader_that_is_cut_is_followed_by_another() {
        let mut pair = Pair::waiting();
        pair.ada.0 = TapeHandle::new(Arc::clone(&pair.tape));
        assert_eq!(pair.woken(), 1);
        assert!(pair.bob().is_pending(), "it leads now");
        assert_eq!(pair.bob(), Poll::Ready(Ok(())));
    }

    #[test]
    fn who_waits_hears_of_a_failure() {
        let pair = Pair::waiting();
        pair.tape.fail(failed("the disk is on fire"));
        assert_eq!(pair.woken(), 1);
        for kept in [pair.ada(), pair.bob()] {
            assert!(matches!(kept, Poll::Ready(Err(_))), "{kept:?}");
        }
    }

    #[test]
    fn a_strict_recording_is_kept_when_the_gateway_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let tape = tape_of(folder.path(), true);
        let ada = TapeHandle::new(Arc::clone(&tape));
        assert!(ada.is_strict());
        let (count, mark) = (Arc::new(Count::default()), say(&ada));
        let waker = Waker::from(Arc::clone(&count));
        let cx = &mut Context::from_waker(&waker);
        assert!(ada.poll_kept(mark, cx).is_pending());
        assert!(ada.poll_kept(mark, cx).is_pending(), "it is in the spool, and not at the gateway");
        assert_eq!(chunks(&tape), 1);
        tape.acknowledge(tape.written() - 1);
        assert!(ada.poll_kept(mark, cx).is_pending(), "a byte is missing");
        let woken = count.0.load(Ordering::SeqCst);
        tape.acknowledge(tape.written());
        assert!(count.0.load(Ordering::SeqCst) > woken);
        assert_eq!(ada.poll_kept(mark, cx), Poll::Ready(Ok(())));
        assert_eq!(chunks(&tape), 1);
    }
}

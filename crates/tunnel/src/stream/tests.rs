//! What one poll finds for another: no wait may go on behind what it waited for.

use std::{
    collections::VecDeque,
    io::IoSlice,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use super::*;
use crate::core::Limits;

/// A carrier in hand: what is written is looked at, what is to be read is put there.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    to_read: VecDeque<u8>,
    written: Vec<u8>,
    is_shut: bool,
}

impl AsyncRead for Hand {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut held = self.0.lock().unwrap();
        if held.to_read.is_empty() {
            return Poll::Pending;
        }
        let count = held.to_read.len().min(buf.remaining());
        let bytes: Vec<u8> = held.to_read.drain(..count).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Hand {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut held = self.0.lock().unwrap();
        if held.is_shut {
            return Poll::Pending;
        }
        held.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// An agent's stream, the connector that it talks with, and how often its task was woken.
struct Talk {
    stream: Box<ResumableStream<Hand>>,
    hand: Hand,
    other: Core,
    woken: Arc<Count>,
    waker: Waker,
}

impl Talk {
    async fn begun() -> Self {
        let hand = Hand::default();
        let mut other = Core::connector(StreamId(0), Limits::default(), now());
        other.attach(now());
        let streams = SessionStreams::new(Limits::default(), 1);
        let mut talk = {
            say(&mut other, &hand);
            let Attached::New(stream) = streams.attach(hand.clone()).await.unwrap() else { panic!() };
            let woken = Arc::new(Count::default());
            Self { stream, hand, other, waker: Waker::from(Arc::clone(&woken)), woken }
        };
        assert!(talk.read().is_pending());
        talk.hear();
        assert!(talk.other.is_open());
        talk
    }

    fn with<T>(&mut self, act: impl FnOnce(Pin<&mut ResumableStream<Hand>>, &mut Context<'_>) -> T) -> T {
        let waker = self.waker.clone();
        act(Pin::new(&mut *self.stream), &mut Context::from_waker(&waker))
    }

    fn read(&mut self) -> Poll<Vec<u8>> {
        let mut bytes = BytesMut::new();
        let polled = self.with(|mut stream, cx| stream.poll_read_buf(cx, &mut bytes, 1024));
        polled.map(|count| {
            assert_eq!(count.unwrap(), bytes.len());
            bytes.to_vec()
        })
    }

    fn write(&mut self, bytes: &[u8]) {
        assert!(matches!(self.with(|stream, cx| stream.poll_write(cx, bytes)), Poll::Ready(Ok(_))));
    }

    fn flush(&mut self) -> Poll<()> {
        self.with(|stream, cx| stream.poll_flush(cx)).map(Result::unwrap)
    }

    fn drive(&mut self) {
        assert!(self.with(|stream, cx| stream.get_mut().poll_drive(cx)).is_pending());
    }

    fn shut_down(&mut self) -> Poll<()> {
        self.with(|stream, cx| stream.poll_shutdown(cx)).map(Result::unwrap)
    }

    /// The carrier takes no more, or takes again.
    fn shut(&self, is_shut: bool) {
        self.hand.0.lock().unwrap().is_shut = is_shut;
    }

    /// The other end says this, and whatever is due.
    fn say(&mut self, bytes: &[u8]) {
        assert_eq!(self.other.write(bytes), bytes.len());
        say(&mut self.other, &self.hand);
    }

    /// The other end hears all that was written, and reads it to its end.
    fn hear(&mut self) {
        let written = std::mem::take(&mut self.hand.0.lock().unwrap().written);
        self.other.handle_input(&written, now(), |data| data.len()).unwrap();
        self.other.read_end(now());
    }

    /// Since the last look.
    fn woken(&self) -> bool {
        self.woken.0.swap(0, Ordering::SeqCst) > 0
    }
}

/// What a core has to say, onto its carrier.
fn say(core: &mut Core, hand: &Hand) {
    while core.has_output() {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = core.transmit(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        hand.0.lock().unwrap().to_read.extend(&bytes);
        core.transmitted(bytes.len());
    }
}

#[tokio::test]
async fn data_that_a_flush_finds_wakes_the_reader() {
    let mut talk = Talk::begun().await;
    talk.shut(true);
    talk.write(b"up");
    assert!(talk.read().is_pending() && talk.flush().is_pending());
    assert!(!talk.woken());
    talk.say(b"down");
    assert!(talk.flush().is_pending());
    assert!(talk.woken());
    assert_eq!(talk.read(), Poll::Ready(b"down".to_vec()));
}

#[tokio::test]
async fn data_that_a_shutdown_finds_wakes_the_reader() {
    let mut talk = Talk::begun().await;
    assert!(talk.read().is_pending() && talk.shut_down().is_pending());
    assert!(!talk.woken());
    talk.say(b"down");
    assert!(talk.shut_down().is_pending());
    assert!(talk.woken());
    assert_eq!(talk.read(), Poll::Ready(b"down".to_vec()));
}

#[tokio::test]
async fn a_flush_that_the_reader_does_wakes_who_waits_for_it() {
    let mut talk = Talk::begun().await;
    talk.shut(true);
    talk.write(b"up");
    assert!(talk.flush().is_pending() && talk.read().is_pending());
    assert!(!talk.woken());
    talk.shut(false);
    assert!(talk.read().is_pending());
    assert!(talk.woken());
    assert!(talk.flush().is_ready());
}

#[tokio::test]
async fn an_end_that_the_reader_finds_wakes_who_waits_for_it() {
    let mut talk = Talk::begun().await;
    assert!(talk.shut_down().is_pending() && talk.read().is_pending());
    assert!(!talk.woken());
    talk.hear();
    say(&mut talk.other, &talk.hand);
    assert!(talk.read().is_pending());
    assert!(talk.woken());
    assert!(talk.shut_down().is_ready());
}

#[tokio::test]
async fn what_is_found_while_nobody_reads_wakes_who_waits_for_it() {
    let mut talk = Talk::begun().await;
    assert!(talk.shut_down().is_pending());
    talk.drive();
    assert!(!talk.woken());
    talk.hear();
    say(&mut talk.other, &talk.hand);
    talk.drive();
    assert!(talk.woken());
    assert!(talk.shut_down().is_ready());
}

//! The gateway's part: copies ciphertext both ways between a connector's connection and an agent's.
//!
//! One task a pair, and no buffer of its own while both sides keep up: bytes go through a buffer that all relays of a
//! thread share, and many of them from socket to socket within the kernel ([`bulk`]). What a slow side did not take is held, at most
//! one read of it, and the other side is not read until then. It cannot read what it copies, and does not try.

#[cfg(target_os = "linux")]
mod bulk;
#[cfg(not(target_os = "linux"))]
#[path = "relay/no_bulk.rs"]
mod bulk;

use std::{
    cell::Cell,
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use self::bulk::Bulk;

/// One read at most: also the most that is held here for one direction of a blocked pair.
const CHUNK: usize = 64 * 1024;
/// Whoever sends so much at once sends more. A TLS record is 16 KiB at most.
const MUCH: usize = 16 * 1024;
/// Who sent much goes on, as long as it is no less.
const LITTLE: usize = 4 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bounds of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// After one direction ended, how long the other may still go on. 60 s.
    pub half_open: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self { half_open: Duration::from_secs(60) }
    }
}

/// Why a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayReason {
    /// Both directions ended.
    Closed,
    /// One side broke.
    Broken,
    /// One direction ended, and the other did not in time.
    HalfOpen,
    /// Cancelled: the gateway, or the session, ends.
    Cancelled,
}

/// How a relay went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayEnd {
    /// Bytes from the first side to the second.
    pub forth: u64,
    /// Bytes from the second side to the first.
    pub back: u64,
    /// Why it ended.
    pub reason: RelayReason,
}

/// Counts what passes while it passes: several relays may share one.
#[derive(Debug, Default)]
pub struct Tally {
    /// Bytes from the first side to the second.
    pub forth: AtomicU64,
    /// Bytes from the second side to the first.
    pub back: AtomicU64,
}

/// What a relay copies between.
pub trait End: AsyncRead + AsyncWrite + Unpin {
    /// The socket, if what is read and written here is what passes there, byte for byte.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl End for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// Copies between two connections until both directions end. Cancel safe: dropping it closes both.
pub async fn relay<A: End, B: End>(
    a: A,
    b: B,
    limits: RelayLimits,
    cancel: &CancellationToken,
    tally: &Tally,
) -> RelayEnd {
    for socket in [a.socket(), b.socket()].into_iter().flatten() {
        // Nagle's algorithm would hold the small records of a session back.
        let _ = socket.set_nodelay(true);
    }
    let mut pair = Pair { a, b, forth: Direction::new(&tally.forth), back: Direction::new(&tally.back) };
    let reason = tokio::select! {
        biased;
        () = cancel.cancelled() => RelayReason::Cancelled,
        reason = run(&mut pair, limits) => reason,
    };
    RelayEnd { forth: pair.forth.copied, back: pair.back.copied, reason }
}

async fn run<A: End, B: End>(pair: &mut Pair<'_, A, B>, limits: RelayLimits) -> RelayReason {
    match std::future::poll_fn(|cx| pair.poll(cx, Ends::One)).await {
        Ok(()) => {}
        Err(_) => return RelayReason::Broken,
    }
    // Only now is there a timer at all.
    let both = std::future::poll_fn(|cx| pair.poll(cx, Ends::Both));
    match tokio::time::timeout(limits.half_open, both).await {
        Ok(Ok(())) => RelayReason::Closed,
        Ok(Err(_)) => RelayReason::Broken,
        Err(_) => RelayReason::HalfOpen,
    }
}

struct Pair<'t, A, B> {
    a: A,
    b: B,
    forth: Direction<'t>,
    back: Direction<'t>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    One,
    Both,
}

impl<A: End, B: End> Pair<'_, A, B> {
    fn poll(&mut self, cx: &mut Context<'_>, until: Ends) -> Poll<io::Result<()>> {
        let forth = self.forth.poll(cx, &mut self.a, &mut self.b)?;
        let back = self.back.poll(cx, &mut self.b, &mut self.a)?;
        let done = match until {
            Ends::One => forth.is_ready() || back.is_ready(),
            Ends::Both => forth.is_ready() && back.is_ready(),
        };
        if done { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Copying,
    Closing,
    Ended,
}

/// Read, but not taken by the other side yet.
#[derive(Debug)]
enum Held {
    Nothing,
    /// The first `at` bytes are.
    Bytes {
        bytes: Vec<u8>,
        at: usize,
    },
    Pages(Bulk),
}

/// One direction.
struct Direction<'t> {
    copied: u64,
    tally: &'t AtomicU64,
    held: Held,
    unflushed: bool,
    /// Much comes.
    much: bool,
    stage: Stage,
}

impl<'t> Direction<'t> {
    const fn new(tally: &'t AtomicU64) -> Self {
        Self { copied: 0, tally, held: Held::Nothing, unflushed: false, much: false, stage: Stage::Copying }
    }

    /// Ready when this direction ended.
    fn poll<R: End, W: End>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.stage == Stage::Copying {
            std::task::ready!(self.poll_held(cx, to))?;
            match self.poll_next(cx, from, to) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => {
                    std::task::ready!(self.poll_flush(cx, to))?;
                    return Poll::Pending;
                }
            }
        }
        if self.stage == Stage::Closing {
            std::task::ready!(self.poll_held(cx, to))?;
            std::task::ready!(Pin::new(to).poll_shutdown(cx))?;
            self.stage = Stage::Ended;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            std::task::ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_held<W: End>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        loop {
            let count = match &mut self.held {
                Held::Nothing => return Poll::Ready(Ok(())),
                Held::Bytes { bytes, at } => {
                    let rest = bytes.get(*at..).unwrap_or_default();
                    let count = std::task::ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                    *at += count;
                    count
                }
                Held::Pages(bulk) => std::task::ready!(bulk.poll_give(cx, to.socket()))?,
            };
            self.took(count)?;
            let over = match &self.held {
                Held::Nothing => true,
                Held::Bytes { bytes, at } => *at >= bytes.len(),
                Held::Pages(bulk) => bulk.is_empty(),
            };
            if over && let Held::Pages(bulk) = std::mem::replace(&mut self.held, Held::Nothing) {
                bulk.done();
            }
        }
    }

    /// What comes next: within the kernel, where much comes between sockets.
    fn poll_next<R: End, W: End>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        let source = from.socket().filter(|_| self.much && to.socket().is_some());
        let Some((source, mut bulk)) = source.and_then(|source| Some((source, Bulk::any()?))) else {
            return self.poll_copy(cx, from, to);
        };
        let taken = bulk.poll_take(cx, source);
        if bulk.is_empty() {
            bulk.done();
        } else {
            self.held = Held::Pages(bulk);
        }
        match std::task::ready!(taken)? {
            0 => self.stage = Stage::Closing,
            count => self.much = count >= LITTLE,
        }
        Poll::Ready(Ok(()))
    }

    /// One read, and as much of a write as the other side takes.
    fn poll_copy<R: End, W: End>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        let mut buffer = BUFFER.take();
        if buffer.is_empty() {
            buffer.resize(CHUNK, 0);
        }
        let mut target = ReadBuf::new(&mut buffer);
        let outcome = match Pin::new(from).poll_read(cx, &mut target) {
            Poll::Ready(Ok(())) if target.filled().is_empty() => {
                self.stage = Stage::Closing;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                self.much = target.filled().len() >= MUCH;
                Poll::Ready(self.write_or_hold(cx, target.filled(), to))
            }
            other => other,
        };
        BUFFER.set(buffer);
        outcome
    }

    fn write_or_hold<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        to: &mut W,
    ) -> io::Result<()> {
        let count = match Pin::new(to).poll_write(cx, bytes) {
            Poll::Ready(Ok(count)) => {
                self.took(count)?;
                count
            }
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => 0,
        };
        if let Some(rest) = bytes.get(count..).filter(|rest| !rest.is_empty()) {
            self.held = Held::Bytes { bytes: rest.to_vec(), at: 0 };
        }
        Ok(())
    }

    fn took(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let count = u64::try_from(count).unwrap_or(0);
        self.copied += count;
        self.tally.fetch_add(count, Ordering::Relaxed);
        self.unflushed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    impl End for DuplexStream {}

    fn limits() -> RelayLimits {
        RelayLimits::default()
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_are_counted() {
        let ((mut client, a), (b, mut server)) = (duplex(64), duplex(64));
        let (token, tally) = (CancellationToken::new(), Tally::default());
        let relaying = relay(a, b, limits(), &token, &tally);
        let talking = async {
            let up: Vec<u8> = (0..=255).cycle().take(10_000).collect();
            let (mut seen, mut answer) = (vec![0; 10_000], Vec::new());
            let (sent, read) = tokio::join!(client.write_all(&up), server.read_exact(&mut seen));
            sent.unwrap();
            read.unwrap();
            assert_eq!(seen, up);
            client.shutdown().await.unwrap();
            assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "the end passes too");
            server.write_all(b"after the end").await.unwrap();
            drop(server);
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"after the end");
        };
        let (end, ()) = tokio::join!(relaying, talking);
        assert_eq!(end, RelayEnd { forth: 10_000, back: 13, reason: RelayReason::Closed });
        assert_eq!((tally.forth.into_inner(), tally.back.into_inner()), (10_000, 13));
    }

    async fn tcp() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (dialled, listener.accept().await.unwrap().0)
    }

    /// Bytes of which no two places look alike.
    fn pattern(length: u32) -> Vec<u8> {
        (0..length).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
    }

    #[tokio::test]
    async fn much_and_little_pass_between_sockets_in_order_and_are_counted() {
        let ((mut client, a), (b, mut server)) = (tcp().await, tcp().await);
        let (token, tally) = (CancellationToken::new(), Tally::default());
        let relaying = relay(a, b, limits(), &token, &tally);
        let (up, down) = (pattern(1_000_000), pattern(700_000));
        let talking = async {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            let sent = async |to: &mut tokio::net::tcp::WriteHalf<'_>, bytes: &[u8], pieces: &[usize]| {
                let (mut rest, mut pieces) = (bytes, pieces.iter().cycle());
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
                    to.write_all(piece).await.unwrap();
                    rest = after;
                }
                to.shutdown().await.unwrap();
            };
            let read = async |from: &mut tokio::net::tcp::ReadHalf<'_>| {
                let mut seen = Vec::new();
                from.read_to_end(&mut seen).await.unwrap();
                seen
            };
            tokio::join!(
                sent(&mut to_client, &up, &[300_000, 1, 100, 65_536, 16_384, 7]),
                sent(&mut to_server, &down, &[1, 200_000]),
                read(&mut from_server),
                read(&mut from_client),
            )
        };
        let (end, ((), (), seen_up, seen_down)) = tokio::join!(relaying, talking);
        assert!(seen_up == up && seen_down == down);
        assert_eq!(end, RelayEnd { forth: 4_000_000, back: 2_800_000, reason: RelayReason::Closed });
        assert_eq!((tally.forth.into_inner(), tally.back.into_inner()), (4_000_000, 2_800_000));
        assert_eq!(bulk::kept() > 0, cfg!(target_os = "linux"), "much passed within the kernel");
    }

    #[tokio::test]
    async fn a_blocked_socket_stops_the_reading_of_the_other_and_loses_nothing() {
        let ((mut client, a), (b, mut server)) = (tcp().await, tcp().await);
        let (token, tally) = (CancellationToken::new(), Tally::default());
        let relaying = relay(a, b, limits(), &token, &tally);
        let talking = async {
            // Until no more goes in: both sockets and the pipe are full then.
            let chunk = pattern(16 * 1024);
            let mut sent = 0;
            let blocked = Duration::from_millis(300);
            while let Ok(count) =
                tokio::time::timeout(blocked, client.write(&chunk[sent % chunk.len()..])).await
            {
                sent += count.unwrap();
                assert!(sent < 256 << 20, "somebody takes it");
            }
            let stuck = tally.forth.load(Ordering::Relaxed);
            let sending = async {
                client.write_all(&chunk[sent % chunk.len()..]).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let reading = async {
                let mut seen = Vec::new();
                server.read_to_end(&mut seen).await.unwrap();
                drop(server);
                seen
            };
            let ((), seen) = tokio::join!(sending, reading);
            assert!(seen.len() as u64 > stuck && seen.len() % chunk.len() == 0);
            assert!(seen.chunks(chunk.len()).all(|one| one == chunk));
            let _ = client.read(&mut [0]).await;
            seen.len() as u64
        };
        let (end, passed) = tokio::join!(relaying, talking);
        assert_eq!((end.forth, end.reason), (passed, RelayReason::Closed));
    }

    #[tokio::test]
    async fn a_blocked_side_stops_the_reading_of_the_other() {
        let ((mut client, a), (b, server)) = (duplex(1024), duplex(16));
        let (token, tally) = (CancellationToken::new(), Tally::default());
        let relaying = relay(a, b, limits(), &token, &tally);
        let flooding = async {
            let mut taken = 0;
            loop {
                match std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_write(cx, &[7; 512])))
                    .await
                {
                    Poll::Ready(count) => taken += count.unwrap(),
                    Poll::Pending if taken >= 1024 + 16 => break,
                    Poll::Pending => tokio::task::yield_now().await,
                }
                assert!(taken <= 16 + CHUNK + 1024);
                tokio::task::yield_now().await;
            }
            token.cancel();
        };
        let (end, ()) = tokio::join!(relaying, flooding);
        assert_eq!((end.forth, end.reason), (16, RelayReason::Cancelled));
        drop(server);
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_open_pair_ends_in_time() {
        let ((client, a), (b, _server)) = (duplex(64), duplex(64));
        drop(client);
        let end = relay(a, b, limits(), &CancellationToken::new(), &Tally::default()).await;
        assert_eq!(end.reason, RelayReason::HalfOpen);
    }

    #[test]
    fn an_idle_pair_is_small() {
        let direction = size_of::<Direction>();
        assert!(direction < 128, "{direction}");
        let whole = relay_future_size(relay::<TcpStream, TcpStream>);
        assert!(whole < 2048, "{whole}");
    }

    fn relay_future_size<'a, F, R>(_: F) -> usize
    where
        F: Fn(TcpStream, TcpStream, RelayLimits, &'a CancellationToken, &'a Tally) -> R,
    {
        size_of::<R>()
    }
}

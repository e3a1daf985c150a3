//! The gateway's part: copies ciphertext both ways between a connector's connection and an agent's.
//!
//! One task a pair, and no buffer of its own while both sides keep up: bytes go through a buffer that all relays of a
//! thread share. What a slow side did not take is held, at most one read of it, and the other side is not read until
//! then. It cannot read what it copies, and does not try.

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

/// One read at most: also the most that is held for one direction of a blocked pair.
const CHUNK: usize = 64 * 1024;

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

/// Copies between two TCP connections until both directions end. Cancel safe: dropping it closes both.
pub async fn relay(
    a: TcpStream,
    b: TcpStream,
    limits: RelayLimits,
    cancel: &CancellationToken,
    tally: &Tally,
) -> RelayEnd {
    // Nagle's algorithm would hold the small records of a session back.
    let _ = a.set_nodelay(true);
    let _ = b.set_nodelay(true);
    relay_any(a, b, limits, cancel, tally).await
}

/// The same between any two connections, such as a WebSocket's.
pub async fn relay_any<A, B>(
    a: A,
    b: B,
    limits: RelayLimits,
    cancel: &CancellationToken,
    tally: &Tally,
) -> RelayEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut pair = Pair { a, b, forth: Direction::new(&tally.forth), back: Direction::new(&tally.back) };
    let reason = tokio::select! {
        biased;
        () = cancel.cancelled() => RelayReason::Cancelled,
        reason = run(&mut pair, limits) => reason,
    };
    RelayEnd { forth: pair.forth.copied, back: pair.back.copied, reason }
}

async fn run<A, B>(pair: &mut Pair<'_, A, B>, limits: RelayLimits) -> RelayReason
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
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

impl<A, B> Pair<'_, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
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

/// One direction.
struct Direction<'t> {
    copied: u64,
    tally: &'t AtomicU64,
    /// Read, but not taken by the other side yet; the first `held_at` bytes are.
    held: Vec<u8>,
    held_at: usize,
    unflushed: bool,
    stage: Stage,
}

impl<'t> Direction<'t> {
    const fn new(tally: &'t AtomicU64) -> Self {
        Self { copied: 0, tally, held: Vec::new(), held_at: 0, unflushed: false, stage: Stage::Copying }
    }

    /// Ready when this direction ended.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while self.stage == Stage::Copying {
            std::task::ready!(self.poll_held(cx, to))?;
            match self.poll_copy(cx, from, to) {
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

    fn poll_held<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.held_at..)
            && !rest.is_empty()
        {
            let count = std::task::ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            self.took(count)?;
            self.held_at += count;
        }
        if !self.held.is_empty() {
            self.held = Vec::new();
            self.held_at = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// One read, and as much of a write as the other side takes.
    fn poll_copy<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
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
            Poll::Ready(Ok(())) => Poll::Ready(self.write_or_hold(cx, target.filled(), to)),
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
        self.held = bytes.get(count..).unwrap_or_default().to_vec();
        self.held_at = 0;
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    fn limits() -> RelayLimits {
        RelayLimits::default()
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_are_counted() {
        let ((mut client, a), (b, mut server)) = (duplex(64), duplex(64));
        let (token, tally) = (CancellationToken::new(), Tally::default());
        let relaying = relay_any(a, b, limits(), &token, &tally);
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

    #[tokio::test]
    async fn a_blocked_side_stops_the_reading_of_the_other() {
        let ((mut client, a), (b, server)) = (duplex(1024), duplex(16));
        let (token, tally) = (CancellationToken::new(), Tally::default());
        let relaying = relay_any(a, b, limits(), &token, &tally);
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
        let end = relay_any(a, b, limits(), &CancellationToken::new(), &Tally::default()).await;
        assert_eq!(end.reason, RelayReason::HalfOpen);
    }

    #[test]
    fn an_idle_pair_is_small() {
        let direction = size_of::<Direction>();
        assert!(direction < 128, "{direction}");
        let whole = relay_future_size(relay);
        assert!(whole < 2048, "{whole}");
    }

    fn relay_future_size<'a, F, R>(_: F) -> usize
    where
        F: Fn(TcpStream, TcpStream, RelayLimits, &'a CancellationToken, &'a Tally) -> R,
    {
        size_of::<R>()
    }
}

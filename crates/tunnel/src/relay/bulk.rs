//! Bulk within the kernel: pages of one socket become pages of the other, by way of a pipe (splice(2)). Nothing is copied, and
//! nothing comes here.
//!
//! A pipe is two descriptors, so a direction has one only while bytes are in it; between, a thread keeps a few.

use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// At most at once. A pipe has 16 places, for a page or more each.
const AT_ONCE: usize = 256 * 1024;
/// Pipes that a thread keeps.
const KEPT: usize = 8;

thread_local! {
    static IDLE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

/// Pipes of the process: they count against its descriptors, which connections need more.
static PIPES: AtomicUsize = AtomicUsize::new(0);
const MOST_PIPES: usize = 2048;

#[derive(Debug)]
struct Ends {
    out: OwnedFd,
    into: OwnedFd,
}

impl Ends {
    fn new() -> Option<Self> {
        if PIPES.fetch_add(1, Ordering::Relaxed) < MOST_PIPES
            && let Ok((out, into)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        {
            return Some(Self { out, into });
        }
        PIPES.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        PIPES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A pipe, and what is on its way in it.
#[derive(Debug)]
pub(super) struct Bulk {
    ends: Ends,
    held: usize,
}

impl Bulk {
    /// One that is empty; none, if the process has as many as it may.
    pub(super) fn any() -> Option<Self> {
        let ends = IDLE.with_borrow_mut(Vec::pop).or_else(Ends::new);
        Some(Self { ends: ends?, held: 0 })
    }

    /// Takes what there is, if it is empty, and says how much. Zero: `from` has ended.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> Poll<io::Result<usize>> {
        let into = &self.ends.into;
        let moved = ready!(poll_moved(
            || from.poll_read_ready(cx),
            || from.try_io(Interest::READABLE, || Ok(splice(from, None, into, None, AT_ONCE, FLAGS)?)),
        ))?;
        self.held = moved;
        Poll::Ready(Ok(moved))
    }

    /// Gives some of it, and says how much. Zero: nobody takes it.
    pub(super) fn poll_give(
        &mut self,
        cx: &mut Context<'_>,
        to: Option<&TcpStream>,
    ) -> Poll<io::Result<usize>> {
        let Some(to) = to else { return Poll::Ready(Ok(0)) };
        let (out, held) = (&self.ends.out, self.held);
        let moved = ready!(poll_moved(
            || to.poll_write_ready(cx),
            || to.try_io(Interest::WRITABLE, || Ok(splice(out, None, to, None, held, FLAGS)?)),
        ))?;
        self.held = held.saturating_sub(moved);
        Poll::Ready(Ok(moved))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// If it is empty, its pipe is used again.
    pub(super) fn done(self) {
        if self.is_empty() {
            IDLE.with_borrow_mut(|idle| {
                if idle.len() < KEPT {
                    idle.push(self.ends);
                }
            });
        }
    }
}

fn poll_moved(
    mut is_ready: impl FnMut() -> Poll<io::Result<()>>,
    mut moved: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(is_ready())?;
        match moved() {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

#[cfg(test)]
pub(super) fn kept() -> usize {
    IDLE.with_borrow(Vec::len)
}

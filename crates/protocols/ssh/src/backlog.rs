//! What a client has sent that no program has taken yet, of all its channels together.
//!
//! The library grants a channel more window as bytes arrive, not as they are taken; and where a channel is full, the whole connection
//! waits. So what waits is counted here, and a connection that has too much of it stands still until some is taken. With others on
//! that connection it stands so for a while only: then the channel with the most waiting ends, for one program that never reads must
//! not hold up what is beside it for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use russh::{ChannelMsg, ChannelReadHalf};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::locked;

/// Bytes that may wait.
const MOST: usize = 16 << 20;
/// A message counts for so much at least: with more of them than [`MESSAGES`] a channel would be full before.
const LEAST: usize = MOST / 1024;
/// Messages that a channel takes, those without data among them.
pub(crate) const MESSAGES: usize = 2048;
/// For so long a connection stands still while others are on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of one connection.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// By the library's numbers.
    channels: Mutex<HashMap<u32, Waiting>>,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    over: CancellationToken,
}

impl Backlog {
    /// Bytes have come for a channel. Waits while there are too many; dropping it is harmless.
    pub(crate) async fn came(&self, channel: u32, bytes: usize) {
        if let Some(waiting) = locked(&self.channels).get_mut(&channel) {
            waiting.bytes += bytes.max(LEAST);
        }
        loop {
            let taken = self.taken.notified();
            if self.total() <= MOST {
                return;
            }
            if tokio::time::timeout(PATIENCE, taken).await.is_err() {
                self.end_the_fullest();
            }
        }
    }

    fn total(&self) -> usize {
        locked(&self.channels).values().map(|waiting| waiting.bytes).sum()
    }

    /// Alone on its connection it holds up nobody.
    fn end_the_fullest(&self) {
        let channels = locked(&self.channels);
        if channels.len() > 1
            && let Some(fullest) = channels.values().max_by_key(|waiting| waiting.bytes)
        {
            fullest.over.cancel();
        }
    }

    fn took(&self, channel: u32, bytes: usize) {
        if let Some(waiting) = locked(&self.channels).get_mut(&channel) {
            waiting.bytes = waiting.bytes.saturating_sub(bytes.max(LEAST));
        }
        self.taken.notify_waiters();
    }
}

/// What a client sends on one channel.
pub(crate) struct FromClient {
    read: ChannelReadHalf,
    id: u32,
    backlog: Arc<Backlog>,
    over: CancellationToken,
}

impl FromClient {
    pub(crate) fn new(id: u32, read: ChannelReadHalf, backlog: &Arc<Backlog>) -> Self {
        let over = CancellationToken::new();
        locked(&backlog.channels).insert(id, Waiting { bytes: 0, over: over.clone() });
        Self { read, id, backlog: Arc::clone(backlog), over }
    }

    /// The next message. Cancel safe.
    pub(crate) async fn wait(&mut self) -> Option<ChannelMsg> {
        let message = self.read.wait().await;
        if let Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) = &message {
            self.backlog.took(self.id, data.len());
        }
        message
    }

    /// Told once too much of it waits, and others have to.
    pub(crate) fn over(&self) -> CancellationToken {
        self.over.clone()
    }
}

impl Drop for FromClient {
    fn drop(&mut self) {
        locked(&self.backlog.channels).remove(&self.id);
        self.backlog.taken.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn with(channels: &[u32]) -> (Backlog, Vec<CancellationToken>) {
        let backlog = Backlog::default();
        let tokens = channels.iter().map(|id| {
            let waiting = Waiting::default();
            let over = waiting.over.clone();
            locked(&backlog.channels).insert(*id, waiting);
            over
        });
        let tokens = tokens.collect();
        (backlog, tokens)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stands_still_while_too_much_waits_and_goes_on_when_some_is_taken() {
        let (backlog, _) = with(&[1, 2]);
        let came = |id: u32, bytes| backlog.came(id, bytes);
        assert!(came(1, MOST / 2).now_or_never().is_some());
        assert!(came(2, MOST / 2).now_or_never().is_some());
        let mut late = Box::pin(came(2, 1));
        assert!(late.as_mut().now_or_never().is_none());
        backlog.took(1, MOST / 2);
        assert!(late.now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn small_messages_are_bounded_before_the_library_is_full() {
        let (backlog, _) = with(&[1]);
        let taken = (0..MESSAGES).take_while(|_| backlog.came(1, 1).now_or_never().is_some());
        assert_eq!(taken.count(), 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_never_read_ends_and_the_others_go_on() {
        let (backlog, over) = with(&[1, 2]);
        backlog.came(1, MOST).await;
        let freed = async {
            over[0].cancelled().await;
            locked(&backlog.channels).remove(&1);
            backlog.taken.notify_waiters();
        };
        tokio::join!(backlog.came(2, 1), freed);
        assert!(!over[1].is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_alone_is_waited_for() {
        let (backlog, over) = with(&[1]);
        let came = tokio::time::timeout(PATIENCE * 10, backlog.came(1, MOST + 1)).await;
        assert!(came.is_err() && !over[0].is_cancelled());
    }
}

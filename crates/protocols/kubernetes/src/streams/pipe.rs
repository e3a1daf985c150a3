//! One stream of a connection, whatever carries it: a queue of few pieces each way.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::StreamError;

/// Pieces that wait in one direction of a stream.
const QUEUE: usize = 4;

/// What the streams of one connection share.
#[derive(Debug, Default)]
pub(super) struct Connection {
    /// Why it ended, once it has.
    ended: OnceLock<StreamError>,
    /// Nothing passes any more.
    pub(super) over: CancellationToken,
    /// Nothing can be said any more, though something may still come.
    pub(super) unheard: CancellationToken,
    /// All is said: what still comes is thrown away.
    pub(super) draining: CancellationToken,
    /// Nobody holds any of its streams.
    pub(super) abandoned: CancellationToken,
}

impl Connection {
    /// With what keeps it from being abandoned.
    pub(super) fn new() -> (Arc<Self>, Held) {
        let connection = Arc::new(Self::default());
        let held = Held(Arc::new(connection.abandoned.clone().drop_guard()));
        (connection, held)
    }

    /// Why it is going to end. The first reason is the true one.
    pub(super) fn note(&self, why: StreamError) {
        let _ = self.ended.set(why);
    }

    pub(super) fn end(&self, why: StreamError) {
        self.note(why);
        self.over.cancel();
    }

    pub(super) fn why(&self) -> StreamError {
        self.ended.get().cloned().unwrap_or(StreamError::Cut)
    }
}

/// Whoever has one holds the connection.
#[derive(Debug, Clone)]
pub(super) struct Held(Arc<DropGuard>);

impl Held {
    pub(super) fn downgrade(&self) -> std::sync::Weak<DropGuard> {
        Arc::downgrade(&self.0)
    }

    pub(super) fn upgrade(weak: &std::sync::Weak<DropGuard>) -> Option<Self> {
        weak.upgrade().map(Self)
    }
}

/// What the peer said.
#[derive(Debug)]
pub(super) enum Came {
    Data(Bytes),
    End,
    Reset,
}

/// What we say.
#[derive(Debug)]
pub(super) enum Said {
    Data(Bytes),
    End,
    /// Nobody is left who could say more, and it was not ended.
    Dropped,
    /// The peer wants no more.
    Unwanted,
}

/// What comes from the peer.
#[derive(Debug)]
pub(super) struct In {
    queue: mpsc::Receiver<Came>,
    over: Option<Result<(), StreamError>>,
    connection: Arc<Connection>,
    _held: Held,
}

impl In {
    pub(super) fn new(connection: &Arc<Connection>, held: &Held) -> (mpsc::Sender<Came>, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let connection = Arc::clone(connection);
        (sender, Self { queue, over: None, connection, _held: held.clone() })
    }

    /// The next piece; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        if let Some(over) = &self.over {
            return over.clone().map(|()| None);
        }
        let over = match self.queue.recv().await {
            Some(Came::Data(data)) => return Ok(Some(data)),
            Some(Came::End) => Ok(()),
            Some(Came::Reset) => Err(StreamError::Reset),
            None => Err(self.connection.why()),
        };
        self.over = Some(over.clone());
        over.map(|()| None)
    }
}

#[derive(Debug)]
struct Pieces {
    receiver: mpsc::Receiver<Message>,
    reset: CancellationToken,
    last_words: Bytes,
}

#[derive(Debug)]
enum Message {
    Data(Bytes),
    End,
    /// What to say if it is dropped.
    LastWords(Bytes),
    /// To be told once all before it was taken.
    Mark(oneshot::Sender<()>),
}

impl Pieces {
    async fn next(&mut self) -> Said {
        loop {
            let message = tokio::select! {
                biased;
                () = self.reset.cancelled() => return Said::Unwanted,
                message = self.receiver.recv() => message,
            };
            match message {
                Some(Message::Data(data)) => return Said::Data(data),
                Some(Message::End) => return Said::End,
                Some(Message::LastWords(words)) => self.last_words = words,
                Some(Message::Mark(taken)) => {
                    let _ = taken.send(());
                }
                None if self.last_words.is_empty() => return Said::Dropped,
                None => {
                    // The end comes after them.
                    let (sender, receiver) = mpsc::channel(1);
                    let _ = sender.try_send(Message::End);
                    self.receiver = receiver;
                    return Said::Data(std::mem::take(&mut self.last_words));
                }
            }
        }
    }
}

/// What goes to the peer. Dropped before its end, the stream is broken off.
#[derive(Debug)]
pub(super) struct Out {
    queue: mpsc::Sender<Message>,
    is_ended: bool,
    reset: CancellationToken,
    connection: Arc<Connection>,
    _held: Held,
}

impl Out {
    /// With what the driver takes from it, each piece with the mark. `reset` says that the peer wants no more.
    pub(super) fn new<M: Copy + Send + 'static>(
        mark: M,
        reset: CancellationToken,
        connection: &Arc<Connection>,
        held: &Held,
    ) -> (BoxStream<'static, (M, Said)>, Self) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let pieces = Pieces { receiver, reset: reset.clone(), last_words: Bytes::new() };
        let pieces = stream::unfold(Some(pieces), move |pieces| async move {
            let mut pieces = pieces?;
            let said = pieces.next().await;
            let more = matches!(said, Said::Data(_)).then_some(pieces);
            Some(((mark, said), more))
        });
        let connection = Arc::clone(connection);
        (Box::pin(pieces), Self { queue, is_ended: false, reset, connection, _held: held.clone() })
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Cancelled once the peer wants no more.
    pub(super) fn reset(&self) -> &CancellationToken {
        &self.reset
    }

    /// Waits while the peer does not read.
    pub(super) async fn send(&mut self, data: Bytes) -> Result<(), StreamError> {
        if data.is_empty() {
            return Ok(());
        }
        self.say(Message::Data(data)).await
    }

    /// No more follows.
    pub(super) async fn end(&mut self) -> Result<(), StreamError> {
        if self.is_ended {
            return Ok(());
        }
        self.is_ended = true;
        self.say(Message::End).await
    }

    /// If it is dropped before its end, this is said, and then it ends; with nothing to say it is broken off.
    pub(super) async fn last_words(&mut self, words: Bytes) -> Result<(), StreamError> {
        self.say(Message::LastWords(words)).await
    }

    /// Waits until all was taken, so that what is said elsewhere comes after it.
    pub(super) async fn taken(&mut self) -> Result<(), StreamError> {
        let (sender, taken) = oneshot::channel();
        self.say(Message::Mark(sender)).await?;
        tokio::select! {
            biased;
            () = self.connection.unheard.cancelled() => Err(StreamError::Reset),
            // It is not told if the peer wants no more, or has gone: then there is nothing to wait for.
            _ = taken => Ok(()),
        }
    }

    async fn say(&mut self, message: Message) -> Result<(), StreamError> {
        tokio::select! {
            biased;
            () = self.connection.over.cancelled() => Err(self.connection.why()),
            () = self.reset.cancelled() => Err(StreamError::Reset),
            () = self.connection.unheard.cancelled() => Err(StreamError::Reset),
            sent = self.queue.send(message) => sent.map_err(|_| self.connection.why()),
        }
    }
}

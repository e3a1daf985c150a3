//! The streams of a SPDY connection.
//!
//! Whoever serves decides on each stream that is opened; whoever is a client opens them, and waits for the reply.

mod reader;
mod writer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt as _,
    stream::{BoxStream, SelectAll},
};
use tokio::{
    io::AsyncWriteExt as _,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use self::{reader::Reader, writer::Writer};
use super::{
    Driver, Io, StreamError,
    driver::{Side, both},
    pipe::{Came, Connection, Held, In, Out, Said},
};
use crate::spdy::{Frame, Headers, Reset, StreamId};

/// Frames that wait to be written, besides data.
const ORDERS: usize = 16;
/// Streams that were opened and that nobody has looked at.
const WAITING: usize = 8;

type Pieces = BoxStream<'static, (StreamId, Said)>;

/// For whoever writes.
enum Order {
    Frame(Frame),
    /// Opens or accepts a stream; then its pieces follow.
    Start(Frame, Pieces),
}

#[derive(Debug, Default)]
struct Streams {
    open: HashMap<StreamId, Entry>,
    /// The highest that was opened, by whichever side opens.
    last: u32,
    /// The peer opens no more, or takes no more.
    gone_away: bool,
}

#[derive(Debug)]
struct Entry {
    /// `None` once the peer has said all.
    queue: Option<mpsc::Sender<Came>>,
    /// Told of the reply.
    reply: Option<oneshot::Sender<()>>,
    /// Cancelled once the peer wants no more.
    reset: CancellationToken,
    /// We have said all.
    is_said: bool,
}

#[derive(Debug)]
struct Shared {
    connection: Arc<Connection>,
    streams: Mutex<Streams>,
    /// Streams at a time.
    most: usize,
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room, and says whether there is any for one more.
    fn has_room(&self, streams: &mut Streams) -> bool {
        if streams.open.len() >= self.most {
            // What nobody reads, and nobody writes to, is only there because the peer has not ended it.
            streams.open.retain(|_, entry| {
                !entry.is_said || entry.queue.as_ref().is_some_and(|queue| !queue.is_closed())
            });
        }
        streams.open.len() < self.most
    }
}

/// Both directions of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) input: In,
    pub(super) output: Out,
}

/// A stream that the client has opened.
pub(super) struct Opened {
    pub(super) id: StreamId,
    pub(super) headers: Headers,
    stream: Stream,
    pieces: Pieces,
    orders: mpsc::Sender<Order>,
}

impl Opened {
    /// Lets it be.
    pub(super) async fn accept(self) -> Result<Stream, StreamError> {
        let reply = Frame::SynReply { stream: self.id, fin: false, headers: Headers::new() };
        order(&self.orders, &self.stream.output, Order::Start(reply, self.pieces)).await?;
        Ok(self.stream)
    }

    /// Does not.
    pub(super) async fn refuse(self) -> Result<(), StreamError> {
        let reset = Frame::RstStream { stream: self.id, status: Reset::Refused as u32 };
        order(&self.orders, &self.stream.output, Order::Frame(reset)).await
    }
}

async fn order(orders: &mpsc::Sender<Order>, output: &Out, order: Order) -> Result<(), StreamError> {
    let connection = output.connection();
    tokio::select! {
        biased;
        () = connection.over.cancelled() => Err(connection.why()),
        () = connection.unheard.cancelled() => Err(StreamError::Reset),
        sent = orders.send(order) => sent.map_err(|_| connection.why()),
    }
}

/// Of a server: what clients open.
#[derive(Debug)]
pub(super) struct Acceptor {
    opened: mpsc::Receiver<Opened>,
    connection: Arc<Connection>,
    _held: Held,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Opened").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// The next stream. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Opened, StreamError> {
        self.opened.recv().await.ok_or_else(|| self.connection.why())
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

/// Of a client: opens streams.
pub(super) struct Opener {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    held: Held,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Opener")
    }
}

/// A stream that the server has not accepted yet.
pub(super) struct Opening {
    pub(super) stream: Stream,
    reply: oneshot::Receiver<()>,
}

impl Opening {
    /// The stream, once the server has said that it is one.
    pub(super) async fn accepted(self) -> Result<Stream, StreamError> {
        let connection = Arc::clone(self.stream.output.connection());
        let reset = self.stream.output.reset().clone();
        tokio::select! {
            biased;
            reply = self.reply => match reply {
                Ok(()) => Ok(self.stream),
                Err(_) if reset.is_cancelled() => Err(StreamError::Reset),
                Err(_) => Err(connection.why()),
            },
            () = connection.over.cancelled() => Err(connection.why()),
        }
    }
}

impl Opener {
    /// Asks for a stream.
    pub(super) async fn open(&mut self, headers: Headers) -> Result<Opening, StreamError> {
        let connection = &self.shared.connection;
        let (queue, input) = In::new(connection, &self.held);
        let (told, reply) = oneshot::channel();
        let reset = CancellationToken::new();
        let id = {
            let mut streams = self.shared.streams();
            if streams.gone_away || connection.over.is_cancelled() {
                return Err(StreamError::Closed);
            }
            if !self.shared.has_room(&mut streams) {
                return Err(StreamError::Forwards(self.shared.most));
            }
            let number = if streams.last == 0 { 1 } else { streams.last + 2 };
            // Numbers are used up after a thousand million streams.
            let id = StreamId::new(number).ok_or(StreamError::Closed)?;
            streams.last = number;
            let entry = Entry { queue: Some(queue), reply: Some(told), reset: reset.clone(), is_said: false };
            streams.open.insert(id, entry);
            id
        };
        let (pieces, output) = Out::new(id, reset, connection, &self.held);
        let syn = Frame::SynStream { stream: id, fin: false, unidirectional: false, headers };
        order(&self.orders, &output, Order::Start(syn, pieces)).await?;
        Ok(Opening { stream: Stream { input, output }, reply })
    }
}

/// What a client has on its end of the connection, `most` streams at a time.
pub(super) fn server<S: Io>(
    io: impl Future<Output = S> + Send + 'static,
    side: Side,
    most: usize,
) -> (Acceptor, Driver) {
    let (opened_sender, opened) = mpsc::channel(WAITING);
    let (shared, orders, held, driver) = start(io, side, most, Some(opened_sender));
    drop(orders);
    (Acceptor { opened, connection: Arc::clone(&shared.connection), _held: held }, driver)
}

/// As [`server`], of a connection to a server.
pub(super) fn client<S: Io>(io: impl Future<Output = S> + Send + 'static, most: usize) -> (Opener, Driver) {
    let (shared, orders, held, driver) = start(io, Side::Client, most, None);
    (Opener { shared, orders, held }, driver)
}

fn start<S: Io>(
    io: impl Future<Output = S> + Send + 'static,
    side: Side,
    most: usize,
    opened: Option<mpsc::Sender<Opened>>,
) -> (Arc<Shared>, mpsc::Sender<Order>, Held, Driver) {
    let (connection, held) = Connection::new();
    let shared = Arc::new(Shared { connection, streams: Mutex::default(), most });
    let (order_sender, orders) = mpsc::channel(ORDERS);
    let driver = Driver::new({
        let (shared, order_sender) = (Arc::clone(&shared), order_sender.clone());
        let held = held.downgrade();
        // Queues close when they are taken away: why it ended is told before, also if this future is dropped.
        let cleared = Cleared(Arc::clone(&shared));
        async move {
            let (read, write) = tokio::io::split(io.await);
            let mut reader =
                Reader { io: read, side, shared: Arc::clone(&shared), orders: order_sender, opened, held };
            let mut writer =
                Writer { io: write, side, shared: Arc::clone(&shared), orders, pieces: SelectAll::new() };
            let result = both(&shared.connection, side, reader.run(), writer.run()).await;
            cleared.with(&result);
            // A peer that does not read has had its time.
            let _ = writer.io.shutdown().now_or_never();
            result
        }
    });
    (shared, order_sender, held, driver)
}

/// Tells the streams how it ended, also if the driver is dropped.
struct Cleared(Arc<Shared>);

impl Cleared {
    fn with(&self, result: &Result<(), StreamError>) {
        self.0.connection.end(result.clone().err().unwrap_or(StreamError::Closed));
    }
}

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.connection.end(StreamError::Cut);
        self.0.streams().open.clear();
    }
}

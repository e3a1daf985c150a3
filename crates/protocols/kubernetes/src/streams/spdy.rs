//! The streams of a SPDY connection.
//!
//! Whoever serves decides on each stream that is opened; whoever is a client opens them, and waits for the reply.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt as _, StreamExt as _,
    stream::{BoxStream, SelectAll},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    BATCH, Driver, Io, PIECE, PING_EVERY, StreamError,
    driver::{Side, both},
    pipe::{Came, Connection, Held, In, Out, Said},
};
use crate::spdy::{Decoder, Encoder, Frame, Headers, Reset, StreamId};

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

struct Reader<S> {
    io: ReadHalf<S>,
    side: Side,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    opened: Option<mpsc::Sender<Opened>>,
    held: Weak<DropGuard>,
}

impl<S: Io> Reader<S> {
    async fn run(&mut self) -> Result<(), StreamError> {
        let (mut decoder, mut buffer) = (Decoder::new(), BytesMut::new());
        loop {
            while let Some(frame) = decoder.next(&mut buffer)? {
                self.take(frame).await?;
            }
            buffer.reserve(PIECE);
            if self.io.read_buf(&mut buffer).await? == 0 {
                return if buffer.is_empty() && !decoder.is_within_data() {
                    Ok(())
                } else {
                    Err(StreamError::Cut)
                };
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), StreamError> {
        match frame {
            Frame::SynStream { stream, fin, unidirectional, headers } => {
                self.open(stream, fin, unidirectional, headers).await
            }
            Frame::SynReply { stream, fin, .. } => {
                if self.side.is_server() {
                    return Err(StreamError::UnexpectedStream);
                }
                self.check_known(stream)?;
                let reply = self.shared.streams().open.get_mut(&stream).and_then(|entry| entry.reply.take());
                if let Some(reply) = reply {
                    // Nobody may wait for it any more.
                    let _ = reply.send(());
                }
                self.data(stream, Bytes::new(), fin).await
            }
            Frame::Headers { stream, fin, .. } => self.data(stream, Bytes::new(), fin).await,
            Frame::Data { stream, data, fin } => self.data(stream, data, fin).await,
            Frame::RstStream { stream, .. } => {
                self.check_known(stream)?;
                let entry = self.shared.streams().open.remove(&stream);
                if let Some(entry) = entry {
                    entry.reset.cancel();
                    if let Some(queue) = entry.queue {
                        self.deliver(&queue, Came::Reset).await;
                    }
                }
                Ok(())
            }
            Frame::Ping(id) => {
                let is_peers = (id % 2 == 1) == self.side.is_server();
                if is_peers {
                    self.order(Order::Frame(Frame::Ping(id))).await;
                }
                Ok(())
            }
            Frame::GoAway { .. } => {
                self.shared.streams().gone_away = true;
                Ok(())
            }
            Frame::Settings { .. } | Frame::WindowUpdate { .. } => Ok(()),
        }
    }

    async fn open(
        &mut self,
        id: StreamId,
        fin: bool,
        unidirectional: bool,
        headers: Headers,
    ) -> Result<(), StreamError> {
        if !self.side.is_server() {
            return Err(StreamError::UnexpectedStream);
        }
        let Some(opened) = self.entered(id, unidirectional, headers)? else {
            self.refuse(id).await;
            return Ok(());
        };
        let draining = &self.shared.connection.draining;
        let is_taken = match &self.opened {
            Some(acceptor) => tokio::select! {
                biased;
                () = draining.cancelled() => true,
                sent = acceptor.send(opened) => sent.is_ok(),
            },
            None => false,
        };
        if !is_taken {
            self.shared.streams().open.remove(&id);
            self.refuse(id).await;
            return Ok(());
        }
        self.data(id, Bytes::new(), fin).await
    }

    /// The stream, if there is room for it and somebody to take it.
    fn entered(
        &self,
        id: StreamId,
        unidirectional: bool,
        headers: Headers,
    ) -> Result<Option<Opened>, StreamError> {
        let mut streams = self.shared.streams();
        if !id.is_clients() || id.number() <= streams.last {
            return Err(StreamError::StreamNumber(id.number()));
        }
        streams.last = id.number();
        let is_wanted = !unidirectional && !streams.gone_away && self.shared.has_room(&mut streams);
        let Some(held) = Held::upgrade(&self.held).filter(|_| is_wanted) else { return Ok(None) };
        let connection = &self.shared.connection;
        let (queue, input) = In::new(connection, &held);
        let reset = CancellationToken::new();
        let (pieces, output) = Out::new(id, reset.clone(), connection, &held);
        streams.open.insert(id, Entry { queue: Some(queue), reply: None, reset, is_said: false });
        let stream = Stream { input, output };
        Ok(Some(Opened { id, headers, stream, pieces, orders: self.orders.clone() }))
    }

    async fn refuse(&mut self, id: StreamId) {
        self.order(Order::Frame(Frame::RstStream { stream: id, status: Reset::Refused as u32 })).await;
    }

    fn check_known(&self, id: StreamId) -> Result<(), StreamError> {
        let last = self.shared.streams().last;
        if id.is_clients() && id.number() <= last {
            Ok(())
        } else {
            Err(StreamError::UnknownStream(id.number()))
        }
    }

    async fn data(&mut self, id: StreamId, data: Bytes, fin: bool) -> Result<(), StreamError> {
        self.check_known(id)?;
        let queue = self.shared.streams().open.get(&id).and_then(|entry| entry.queue.clone());
        // What comes after its end was on its way when we broke it off.
        let Some(queue) = queue else { return Ok(()) };
        let mut is_read = true;
        if !data.is_empty() {
            is_read = self.deliver(&queue, Came::Data(data)).await;
        }
        if fin {
            self.deliver(&queue, Came::End).await;
        }
        if fin || !is_read {
            self.forget(id);
        }
        if !fin && !is_read {
            self.order(Order::Frame(Frame::RstStream { stream: id, status: Reset::Cancel as u32 })).await;
        }
        Ok(())
    }

    /// The peer has said all on it.
    fn forget(&self, id: StreamId) {
        let mut streams = self.shared.streams();
        if let Some(entry) = streams.open.get_mut(&id) {
            entry.queue = None;
            if entry.is_said {
                streams.open.remove(&id);
            }
        }
    }

    /// Waits while nobody takes it. Says whether somebody did.
    async fn deliver(&mut self, queue: &mpsc::Sender<Came>, came: Came) -> bool {
        tokio::select! {
            biased;
            () = self.shared.connection.draining.cancelled() => true,
            sent = queue.send(came) => sent.is_ok(),
        }
    }

    async fn order(&mut self, order: Order) {
        tokio::select! {
            biased;
            () = self.shared.connection.draining.cancelled() => {}
            () = self.shared.connection.unheard.cancelled() => {}
            // The driver ends when whoever writes does.
            _ = self.orders.send(order) => {}
        }
    }
}

struct Writer<S> {
    io: WriteHalf<S>,
    side: Side,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    pieces: SelectAll<Pieces>,
}

impl<S: Io> Writer<S> {
    async fn run(&mut self) -> Result<(), StreamError> {
        let (mut encoder, mut buffer) = (Encoder::new(), BytesMut::new());
        let mut ping = (1_u32, Instant::now() + PING_EVERY);
        let mut has_begun = false;
        loop {
            let abandoned = &self.shared.connection.abandoned;
            let is_over = self.pieces.is_empty()
                && (abandoned.is_cancelled() || (has_begun && self.side == Side::Server));
            let next = tokio::select! {
                biased;
                Some(order) = self.orders.recv() => Next::Order(order),
                Some((id, said)) = self.pieces.next(), if !self.pieces.is_empty() => Next::Said(id, said),
                () = abandoned.cancelled(), if self.pieces.is_empty() && !is_over => continue,
                () = std::future::ready(()), if is_over => break,
                () = tokio::time::sleep_until(ping.1), if !self.side.is_server() => {
                    let id = ping.0;
                    ping = (id.checked_add(2).unwrap_or(1), Instant::now() + PING_EVERY);
                    Next::Order(Order::Frame(Frame::Ping(id)))
                }
            };
            has_begun |= matches!(next, Next::Order(Order::Start(..)));
            self.put(next, &mut encoder, &mut buffer)?;
            while buffer.len() < BATCH {
                let ready = async {
                    tokio::select! {
                        biased;
                        Some(order) = self.orders.recv() => Some(Next::Order(order)),
                        Some((id, said)) = self.pieces.next(), if !self.pieces.is_empty() => Some(Next::Said(id, said)),
                        else => None,
                    }
                };
                let Some(Some(next)) = ready.now_or_never() else { break };
                has_begun |= matches!(next, Next::Order(Order::Start(..)));
                self.put(next, &mut encoder, &mut buffer)?;
            }
            self.io.write_all_buf(&mut buffer).await?;
            self.io.flush().await?;
        }
        if !self.side.is_server() {
            encoder.put(&Frame::GoAway { last: 0, status: 0 }, &mut buffer)?;
            self.io.write_all_buf(&mut buffer).await?;
            self.io.flush().await?;
        }
        Ok(())
    }

    fn put(&mut self, next: Next, encoder: &mut Encoder, buffer: &mut BytesMut) -> Result<(), StreamError> {
        match next {
            Next::Order(Order::Frame(frame)) => {
                if let Frame::RstStream { stream, .. } = &frame {
                    self.broken_off(*stream);
                }
                encoder.put(&frame, buffer)?;
            }
            Next::Order(Order::Start(frame, pieces)) => {
                encoder.put(&frame, buffer)?;
                self.pieces.push(pieces);
            }
            Next::Said(stream, Said::Data(data)) => {
                encoder.put(&Frame::Data { stream, data, fin: false }, buffer)?;
            }
            Next::Said(stream, Said::End) => {
                self.said(stream);
                encoder.put(&Frame::Data { stream, data: Bytes::new(), fin: true }, buffer)?;
            }
            Next::Said(stream, Said::Dropped) => {
                self.broken_off(stream);
                encoder.put(&Frame::RstStream { stream, status: Reset::Cancel as u32 }, buffer)?;
            }
            Next::Said(_, Said::Unwanted) => {}
        }
        Ok(())
    }

    /// We have said all on it.
    fn said(&self, id: StreamId) {
        let mut streams = self.shared.streams();
        if let Some(entry) = streams.open.get_mut(&id) {
            entry.is_said = true;
            if entry.queue.is_none() {
                streams.open.remove(&id);
            }
        }
    }

    fn broken_off(&self, id: StreamId) {
        if let Some(entry) = self.shared.streams().open.remove(&id) {
            entry.reset.cancel();
        }
    }
}

enum Next {
    Order(Order),
    Said(StreamId, Said),
}

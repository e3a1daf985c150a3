//! Streams in the messages of a WebSocket: the first byte of each says which channel it is of.
//!
//! Binary messages, or, in the variants with base64, text whose first character is the channel's digit. In version 5 the message
//! `[255, channel]` says that the sender has said all on that channel: before, only the end of the connection ends a channel.
//!
//! Kubernetes: `k8s.io/apiserver/pkg/util/wsstream`, and its proposal KEP-4006 for version 5.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use data_encoding::BASE64;
use futures::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    stream::{BoxStream, SelectAll, SplitSink, SplitStream},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    BATCH, Driver, Io, LINGER, PIECE, PING_EVERY, StreamError,
    driver::{Ending, Side, both},
    pipe::{Came, Connection, Held, In, Out, Said},
};

/// Longest message that is read.
const LONGEST_MESSAGE: usize = 1 << 20;
/// Longest payload that is sent.
const LONGEST_PAYLOAD: usize = 32 << 10;
/// Stands where a channel does, and ends the one that follows.
const CLOSE_CHANNEL: u8 = 255;

/// How messages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Text in base64, not bytes.
    pub(super) is_base64: bool,
    /// Channels can be ended.
    pub(super) has_ends: bool,
}

/// What passes on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Channel {
    /// From the peer. What comes elsewhere is thrown away, as API servers do.
    pub(super) is_read: bool,
    /// To the peer.
    pub(super) is_written: bool,
}

/// Both directions of a channel, where it has them.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) input: Option<In>,
    pub(super) output: Option<Out>,
}

type Pieces = BoxStream<'static, (u8, Said)>;

/// For all that is read or written of a WebSocket.
pub(super) async fn web_socket<S: Io>(io: S, side: Side) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(PIECE)
        .write_buffer_size(PIECE)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    let role = if side.is_server() { Role::Server } else { Role::Client };
    WebSocketStream::from_raw_socket(io, role, Some(config)).await
}

/// The channels of a connection, from 0; and what moves their bytes.
pub(super) fn channels<S: Io>(
    io: S,
    side: Side,
    framing: Framing,
    wanted: &[Channel],
) -> (Vec<Ends>, Arc<Connection>, Driver) {
    let (connection, held) = Connection::new();
    let (mut ends, mut queues, mut pieces) = (Vec::new(), Vec::new(), SelectAll::new());
    for (channel, number) in wanted.iter().zip(0_u8..) {
        let (queue, input) = In::new(&connection, &held);
        queues.push(channel.is_read.then_some(queue));
        let output = channel.is_written.then(|| output(number, &connection, &held, &mut pieces));
        ends.push(Ends { input: channel.is_read.then_some(input), output });
    }
    let shared = Arc::clone(&connection);
    let ending = Ending(Arc::clone(&shared));
    let driver = Driver::new(async move {
        let (sink, messages) = web_socket(io, side).await.split();
        let mut reader = Reader { messages, side, framing, queues, connection: Arc::clone(&shared) };
        let mut writer = Writer { sink, side, framing, pieces, connection: Arc::clone(&shared) };
        let result = both(&shared, side, reader.run(), writer.run()).await;
        // Queues close when they are dropped: why it ended is told before.
        ending.with(&result);
        result
    });
    (ends, connection, driver)
}

fn output(number: u8, connection: &Arc<Connection>, held: &Held, all: &mut SelectAll<Pieces>) -> Out {
    let (pieces, output) = Out::new(number, CancellationToken::new(), connection, held);
    all.push(pieces);
    output
}

struct Reader<S> {
    messages: SplitStream<WebSocketStream<S>>,
    side: Side,
    framing: Framing,
    /// `None` where nothing is read, or the peer has said all.
    queues: Vec<Option<mpsc::Sender<Came>>>,
    connection: Arc<Connection>,
}

impl<S: Io> Reader<S> {
    async fn run(&mut self) -> Result<(), StreamError> {
        while let Some(message) = self.messages.next().await {
            let payload = match message? {
                Message::Binary(payload) => self.unframed(payload)?,
                // Python's client sends text as text, whatever was agreed on, and API servers do not mind.
                Message::Text(text) if self.side.is_server() => self.unframed(text.into())?,
                Message::Text(_) => return Err(StreamError::WrongKind),
                Message::Close(frame) => return self.closed(frame).await,
                // The library answers pings.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            self.take(payload).await?;
        }
        Ok(())
    }

    fn unframed(&self, payload: Bytes) -> Result<Bytes, StreamError> {
        if self.framing.is_base64 { decoded(&payload) } else { Ok(payload) }
    }

    async fn take(&mut self, mut payload: Bytes) -> Result<(), StreamError> {
        if payload.is_empty() {
            return Ok(());
        }
        let first = payload.split_to(1);
        let number = first.first().copied().unwrap_or_default();
        if number == CLOSE_CHANNEL && self.framing.has_ends {
            let [ended] = *payload else {
                return Err(StreamError::BadMessage("it ends a channel and does not say which"));
            };
            let queue = self.queues.get_mut(usize::from(ended)).ok_or(StreamError::UnknownChannel(ended))?;
            if let Some(queue) = queue.take() {
                deliver(&self.connection, &queue, Came::End).await;
            }
            return Ok(());
        }
        let queue = self.queues.get(usize::from(number)).ok_or(StreamError::UnknownChannel(number))?;
        if let Some(queue) = queue
            && !payload.is_empty()
        {
            // Nobody may want it any more: one channel cannot be broken off alone.
            deliver(&self.connection, queue, Came::Data(payload)).await;
        }
        Ok(())
    }

    async fn closed(&mut self, frame: Option<CloseFrame>) -> Result<(), StreamError> {
        // The library answers, while it is read. Streams need not wait for that.
        let code = frame.map_or(CloseCode::Normal, |frame| frame.code);
        let why = match code {
            CloseCode::Normal | CloseCode::Away | CloseCode::Status => StreamError::Closed,
            code => StreamError::Abandoned(code.into()),
        };
        self.connection.note(why.clone());
        self.queues.clear();
        let _ = tokio::time::timeout(LINGER, async { while let Some(Ok(_)) = self.messages.next().await {} })
            .await;
        if why == StreamError::Closed { Ok(()) } else { Err(why) }
    }
}

async fn deliver(connection: &Connection, queue: &mpsc::Sender<Came>, came: Came) {
    tokio::select! {
        biased;
        () = connection.draining.cancelled() => {}
        _ = queue.send(came) => {}
    }
}

fn decoded(text: &Bytes) -> Result<Bytes, StreamError> {
    let Some((digit, rest)) = text.split_first() else { return Ok(Bytes::new()) };
    let number =
        digit.checked_sub(b'0').ok_or(StreamError::BadMessage("its first character is no channel"))?;
    let data = BASE64.decode(rest).map_err(|_| StreamError::BadMessage("it is not base64"))?;
    let mut payload = BytesMut::with_capacity(data.len() + 1);
    payload.put_u8(number);
    payload.put_slice(&data);
    Ok(payload.freeze())
}

struct Writer<S> {
    sink: SplitSink<WebSocketStream<S>, Message>,
    side: Side,
    framing: Framing,
    pieces: SelectAll<Pieces>,
    connection: Arc<Connection>,
}

impl<S: Io> Writer<S> {
    async fn run(&mut self) -> Result<(), StreamError> {
        let mut ping_at = Instant::now() + PING_EVERY;
        loop {
            let abandoned = &self.connection.abandoned;
            if self.pieces.is_empty() && (self.side.is_server() || abandoned.is_cancelled()) {
                break;
            }
            let (number, said) = tokio::select! {
                biased;
                Some(next) = self.pieces.next(), if !self.pieces.is_empty() => next,
                () = abandoned.cancelled(), if self.pieces.is_empty() => break,
                () = tokio::time::sleep_until(ping_at), if !self.side.is_server() => {
                    ping_at = Instant::now() + PING_EVERY;
                    self.sink.send(Message::Ping(Bytes::new())).await?;
                    continue;
                }
            };
            let mut length = self.put(number, said).await?;
            while length < BATCH
                && let Some(Some((number, said))) = self.pieces.next().now_or_never()
            {
                length += self.put(number, said).await?;
            }
            self.sink.flush().await?;
        }
        let all_is_said = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.sink.send(Message::Close(Some(all_is_said))).await?;
        Ok(())
    }

    async fn put(&mut self, number: u8, said: Said) -> Result<usize, StreamError> {
        match said {
            Said::Data(data) => {
                for payload in data.chunks(LONGEST_PAYLOAD) {
                    self.sink.feed(self.message(number, payload)).await?;
                }
                Ok(data.len())
            }
            Said::End => {
                if self.framing.has_ends && !self.side.is_server() {
                    // Clients take no such message.
                    self.sink.feed(Message::Binary(Bytes::from(vec![CLOSE_CHANNEL, number]))).await?;
                }
                Ok(1)
            }
            // A channel cannot be broken off alone.
            Said::Dropped | Said::Unwanted => Ok(0),
        }
    }

    fn message(&self, number: u8, payload: &[u8]) -> Message {
        if self.framing.is_base64 {
            let mut text = String::with_capacity(1 + payload.len().div_ceil(3) * 4);
            text.push(char::from(number.wrapping_add(b'0')));
            BASE64.encode_append(payload, &mut text);
            return Message::text(text);
        }
        let mut message = BytesMut::with_capacity(1 + payload.len());
        message.put_u8(number);
        message.put_slice(payload);
        Message::Binary(message.freeze())
    }
}

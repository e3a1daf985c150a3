//! What comes of a connection, and to which stream it goes.

use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, ReadHalf},
    sync::mpsc,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Entry, Opened, Order, Shared, Stream};
use crate::{
    spdy::{Decoder, Frame, Headers, Reset, StreamId},
    streams::{
        Io, PIECE, StreamError,
        driver::Side,
        pipe::{Came, Held, In, Out},
    },
};

/// Reads until the peer has closed.
pub(super) struct Reader<S> {
    pub(super) io: ReadHalf<S>,
    pub(super) side: Side,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) opened: Option<mpsc::Sender<Opened>>,
    pub(super) held: Weak<DropGuard>,
}

impl<S: Io> Reader<S> {
    pub(super) async fn run(&mut self) -> Result<(), StreamError> {
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

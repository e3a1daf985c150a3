//! What goes to a connection: frames, and the pieces of all its streams as they come.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, StreamExt as _, stream::SelectAll};
use tokio::{
    io::{AsyncWriteExt as _, WriteHalf},
    sync::mpsc,
    time::Instant,
};

use super::{Order, Pieces, Shared};
use crate::{
    spdy::{Encoder, Frame, Reset, StreamId},
    streams::{BATCH, Io, PING_EVERY, StreamError, driver::Side, pipe::Said},
};

/// Writes until all is said.
pub(super) struct Writer<S> {
    pub(super) io: WriteHalf<S>,
    pub(super) side: Side,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) pieces: SelectAll<Pieces>,
}

impl<S: Io> Writer<S> {
    pub(super) async fn run(&mut self) -> Result<(), StreamError> {
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

//! A stream of bytes in the binary messages of a WebSocket: SPDY is tunnelled so. Where messages begin and end means nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{BATCH, Io, StreamError, channels::web_socket, driver::Side};

/// Those bytes.
pub(super) struct Tunnel<S> {
    messages: WebSocketStream<S>,
    /// Of the last message, what has not been read.
    rest: Bytes,
    is_over: bool,
}

/// Of a connection that was upgraded to a WebSocket.
pub(super) async fn tunnel<S: Io>(io: S, side: Side) -> Tunnel<S> {
    Tunnel { messages: web_socket(io, side).await, rest: Bytes::new(), is_over: false }
}

impl<S: Io> AsyncRead for Tunnel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.is_over {
            match ready!(Pin::new(&mut self.messages).poll_next(context)) {
                Some(Ok(Message::Binary(data))) => self.rest = data,
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(StreamError::WrongKind.into())),
                // The library answers pings.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => match StreamError::from(error) {
                    // SPDY itself says whether that was the end.
                    StreamError::Cut => self.is_over = true,
                    error => return Poll::Ready(Err(error.into())),
                },
                Some(Ok(Message::Close(_))) | None => self.is_over = true,
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

fn failed(error: tokio_tungstenite::tungstenite::Error) -> io::Error {
    StreamError::from(error).into()
}

impl<S: Io> AsyncWrite for Tunnel<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut messages = Pin::new(&mut self.messages);
        ready!(messages.as_mut().poll_ready(context)).map_err(failed)?;
        let length = from.len().min(BATCH);
        let message = Message::Binary(Bytes::copy_from_slice(from.get(..length).unwrap_or_default()));
        messages.start_send(message).map_err(failed)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_flush(context).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_close(context).map_err(failed)
    }
}

//! The same bytes in binary WebSocket messages (RFC 6455), for networks where something in front of the gateway
//! terminates TLS and passes HTTP only.
//!
//! What runs inside is the same inner TLS with the same ClientHello, so nothing is trusted here. Message borders mean
//! nothing: bytes in, bytes out.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use futures::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        protocol::{Role, WebSocketConfig},
    },
};

/// Where the gateway answers.
pub const PATH: &str = "/v1/tunnel";

/// Largest message written, and taken: more breaks the connection.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The host is none.
    #[error("the gateway's host cannot be put into a request")]
    Host,
    /// The gateway, or something in front of it, does not answer as a WebSocket.
    #[error("no WebSocket at the gateway: {0}")]
    Handshake(#[source] Box<tungstenite::Error>),
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_LIMIT))
        .max_frame_size(Some(MESSAGE_LIMIT))
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MESSAGE_LIMIT)
}

/// A WebSocket as a byte stream.
#[derive(Debug)]
pub struct WebSocketIo<IO> {
    socket: WebSocketStream<IO>,
    /// The rest of a message that was read.
    rest: Bytes,
}

/// Asks for a WebSocket over a connection on which the outer TLS is done. `authority` is the gateway's host,
/// with its port if that is not 443. Bound its time: it has no limit of its own.
///
/// # Errors
/// [`WebSocketError`].
pub(crate) async fn connect<IO>(io: IO, authority: &str) -> Result<WebSocketIo<IO>, WebSocketError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let uri: http::Uri = format!("wss://{authority}{PATH}").parse().map_err(|_| WebSocketError::Host)?;
    let (socket, _) = client_async_with_config(uri, io, Some(config()))
        .await
        .map_err(|error| WebSocketError::Handshake(Box::new(error)))?;
    Ok(WebSocketIo { socket, rest: Bytes::new() })
}

/// The gateway's side, over a connection that an HTTP server has upgraded already.
pub async fn upgraded<IO>(io: IO) -> WebSocketIo<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config())).await;
    WebSocketIo { socket, rest: Bytes::new() }
}

impl<IO> From<WebSocketStream<IO>> for WebSocketIo<IO> {
    /// Around a WebSocket that is open already; its limits are its maker's.
    fn from(socket: WebSocketStream<IO>) -> Self {
        Self { socket, rest: Bytes::new() }
    }
}

fn broken(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
            io::ErrorKind::BrokenPipe.into()
        }
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketIo<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a text message")));
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed)) => {
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let count = self.rest.len().min(buf.remaining());
        if let Some(bytes) = self.rest.get(..count) {
            buf.put_slice(bytes);
        }
        self.rest.advance(count);
        if self.rest.is_empty() {
            self.rest = Bytes::new(); // lets go of the message's memory
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketIo<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(broken)?;
        let message = buf.get(..buf.len().min(MESSAGE_LIMIT)).unwrap_or_default();
        socket.start_send(Message::Binary(Bytes::copy_from_slice(message))).map_err(broken)?;
        Poll::Ready(Ok(message.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Ok(()) | Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio_tungstenite::accept_async;

    async fn pair() -> (WebSocketIo<tokio::io::DuplexStream>, WebSocketIo<tokio::io::DuplexStream>) {
        let (client, server) = duplex(8 * 1024);
        let (client, server) = tokio::join!(connect(client, "gateway.example"), accept_async(server));
        let server = upgraded(server.unwrap().into_inner()).await;
        (client.unwrap(), server)
    }

    #[tokio::test]
    async fn bytes_pass_whatever_the_messages() {
        let (mut client, mut server) = pair().await;
        let sent: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        let writing = async {
            client.write_all(&sent).await.unwrap();
            client.flush().await.unwrap();
            client
        };
        let mut seen = vec![0; sent.len()];
        let (mut client, _) = tokio::join!(writing, server.read_exact(&mut seen));
        assert_eq!(seen, sent);
        server.write_all(b"answer").await.unwrap();
        server.flush().await.unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    }

    #[tokio::test]
    async fn the_end_is_an_end() {
        let (mut client, mut server) = pair().await;
        let (closed, read) = tokio::join!(client.shutdown(), server.read_u8());
        closed.unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_message_beyond_the_limit_breaks_the_connection() {
        let (client, server) = duplex(1024 * 1024);
        let mut server = upgraded(server).await;
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let message = Message::Binary(vec![0; MESSAGE_LIMIT + 1].into());
        std::future::poll_fn(|cx| Pin::new(&mut client).poll_ready(cx)).await.unwrap();
        Pin::new(&mut client).start_send(message).unwrap();
        std::future::poll_fn(|cx| Pin::new(&mut client).poll_flush(cx)).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn garbage_and_text_break_the_connection() {
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x81, 0x81, 0, 0, 0, 0, b'x'], &[0xff; 64]] {
            let (mut client, server) = duplex(1024);
            let mut server = upgraded(server).await;
            client.write_all(garbage).await.unwrap();
            assert!(server.read_u8().await.is_err(), "{garbage:?}");
        }
    }
}

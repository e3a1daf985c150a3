//! Peers made by hand, frame by frame and message by message, against the legs; and in `recorded` what a client really sent.

mod exec;
mod forward;
mod hostile;
mod negotiate;
mod recorded;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::*;
use crate::spdy::{BadFrame, Decoder, Encoder, Frame, Headers, StreamId};

pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

pub(super) fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// The upgrade that a client with this protocol wants.
pub(super) fn upgrade(over: Over, wanted: Wanted, protocol: &str) -> Upgrade {
    let headers = match over {
        Over::Spdy => headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", protocol),
        ]),
        Over::WebSocket => headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-protocol", protocol),
        ]),
    };
    Upgrade::of(&headers, wanted).unwrap().unwrap()
}

/// What a cluster that understands an offer has agreed to.
pub(super) fn agreed(over: Over, wanted: Wanted) -> Agreed {
    let offer = Offer::new(over, wanted);
    offer.check(StatusCode::SWITCHING_PROTOCOLS, &answer_to(&offer)).unwrap()
}

pub(super) fn answer_to(offer: &Offer) -> HeaderMap {
    let mut answer = offer.headers();
    if let Some(key) = answer.remove("sec-websocket-key") {
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).unwrap();
        answer.insert("sec-websocket-accept", accept);
    }
    answer
}

pub(super) fn drive(driver: Driver) -> JoinHandle<Result<(), StreamError>> {
    tokio::spawn(driver)
}

pub(super) fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

pub(super) fn syn(number: u32, headers: &[(&'static str, &str)]) -> Frame {
    let headers = headers.iter().fold(Headers::new(), |all, (name, value)| all.with(name, value.to_string()));
    Frame::SynStream { stream: id(number), fin: false, unidirectional: false, headers }
}

pub(super) fn data(number: u32, bytes: impl Into<Bytes>, fin: bool) -> Frame {
    Frame::Data { stream: id(number), data: bytes.into(), fin }
}

/// Speaks SPDY.
pub(super) struct Spdy<S = DuplexStream> {
    pub(super) io: S,
    encoder: Encoder,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<S: Io> Spdy<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, encoder: Encoder::new(), decoder: Decoder::new(), buffer: BytesMut::new() }
    }

    pub(super) async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        self.encoder.put(&frame, &mut bytes).unwrap();
        // A leg that has ended reads no more.
        let _ = self.io.write_all(&bytes).await;
        let _ = self.io.flush().await;
    }

    /// `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Opens a stream and waits for the reply.
    pub(super) async fn open(&mut self, number: u32, headers: &[(&'static str, &str)]) {
        self.send(syn(number, headers)).await;
        let reply = self.next().await;
        assert!(
            matches!(&reply, Some(Frame::SynReply { stream, .. }) if stream.number() == number),
            "{reply:?}"
        );
    }

    /// Takes a stream, as a server does.
    pub(super) async fn take(&mut self) -> (u32, Headers) {
        let Some(Frame::SynStream { stream, headers, .. }) = self.next().await else { panic!() };
        self.send(Frame::SynReply { stream, fin: false, headers: Headers::new() }).await;
        (stream.number(), headers)
    }
}

/// Speaks WebSocket with channels.
pub(super) struct Channels {
    pub(super) socket: WebSocketStream<DuplexStream>,
    pub(super) is_base64: bool,
}

impl Channels {
    pub(super) async fn new(io: DuplexStream, role: Role, is_base64: bool) -> Self {
        Self { socket: WebSocketStream::from_raw_socket(io, role, None).await, is_base64 }
    }

    pub(super) async fn send(&mut self, channel: u8, data: &[u8]) {
        let message = if self.is_base64 {
            Message::text(format!("{}{}", char::from(b'0' + channel), BASE64.encode(data)))
        } else {
            Message::binary([&[channel], data].concat())
        };
        let _ = self.socket.send(message).await;
    }

    /// `None` if the connection was closed as it should.
    pub(super) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            return match self.socket.next().await.unwrap().unwrap() {
                Message::Binary(bytes) if !self.is_base64 => Some((bytes[0], bytes[1..].to_vec())),
                Message::Text(text) if self.is_base64 => {
                    Some((text.as_bytes()[0] - b'0', BASE64.decode(&text.as_bytes()[1..]).unwrap()))
                }
                Message::Close(Some(CloseFrame { code: CloseCode::Normal, .. })) => None,
                Message::Ping(_) | Message::Pong(_) => continue,
                other => panic!("{other:?}"),
            };
        }
    }

    pub(super) async fn close(&mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = self.socket.send(Message::Close(Some(frame))).await;
    }
}

pub(super) const ALL: Asked = Asked { stdin: true, stdout: true, stderr: true, tty: false };
pub(super) const TERMINAL: Asked = Asked { stdin: true, stdout: true, stderr: true, tty: true };

pub(super) const SHORT: Duration = Duration::from_millis(1);

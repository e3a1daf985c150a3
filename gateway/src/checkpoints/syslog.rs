//! Syslog: RFC 5424 messages, by datagram (RFC 5426, a unix socket) or TCP with octet counting (RFC 6587 §3.4.1).
//!
//! The message is JSON in ASCII on one line, so that no server on the way has anything to escape: `hoop audit` reads the
//! note from it. A datagram may be lost, and nobody knows: TCP is the one that counts.

use std::{fmt::Write as _, io, net::SocketAddr};

use hoop_ledger::SignedCheckpoint;
use hoop_model::Timestamp;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, UnixDatagram, lookup_host},
};

use crate::config::ledger::Syslog;

/// Facility 13 (log audit), severity 5 (notice).
const PRIORITY: u8 = 13 * 8 + 5;
/// Longest HOSTNAME of RFC 5424.
const LONGEST_HOST: usize = 255;

/// The message of a checkpoint.
pub(super) fn message(host: &str, at: Timestamp, note: &SignedCheckpoint) -> String {
    let signed = note.unverified();
    let body = json!({
        "origin": signed.origin, "size": signed.size, "root": signed.root.to_string(), "note": note.to_string(),
    });
    let host: String = host.chars().filter(char::is_ascii_graphic).take(LONGEST_HOST).collect();
    let (host, process) = (if host.is_empty() { "-" } else { &host }, std::process::id());
    format!("<{PRIORITY}>1 {at} {host} hoop-gateway {process} checkpoint - {}", ascii(&body.to_string()))
}

/// JSON whose texts are ASCII: the rest is escaped.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// Sends one message. By TCP it has arrived when the server has read to the end and closes too.
pub(super) async fn send(server: &Syslog, message: &[u8]) -> io::Result<()> {
    match server {
        Syslog::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            whole(socket.send(message).await?, message)
        }
        Syslog::Udp(place) => {
            let to = resolve(place).await?;
            let from: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = UdpSocket::bind(from).await?;
            socket.connect(to).await?;
            whole(socket.send(message).await?, message)
        }
        Syslog::Tcp(place) => {
            let mut stream = TcpStream::connect(place).await?;
            stream.write_all(format!("{} ", message.len()).as_bytes()).await?;
            stream.write_all(message).await?;
            stream.shutdown().await?;
            closed(&mut stream).await
        }
    }
}

/// A syslog server has nothing to say: it reads, and closes.
async fn closed(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0; 64]).await? {
        0 => Ok(()),
        _ => Err(io::Error::other("it answers, and so is no syslog server")),
    }
}

async fn resolve(place: &str) -> io::Result<SocketAddr> {
    lookup_host(place).await?.next().ok_or_else(|| io::Error::other("the name has no address"))
}

fn whole(sent: usize, message: &[u8]) -> io::Result<()> {
    if sent == message.len() { Ok(()) } else { Err(io::Error::other("the message was cut")) }
}

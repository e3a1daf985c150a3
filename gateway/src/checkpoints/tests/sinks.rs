//! Files, syslog servers that read RFC 5424 to the letter, and a webhook that checks signatures.

use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::{Router, extract::State, routing};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_store::ReceiverKind;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, UdpSocket, UnixDatagram},
};

use super::*;

/// A message of RFC 5424, read strictly: header, no structured data, and what it carries.
struct Message {
    priority: u32,
    host: String,
    id: String,
    body: Value,
}

impl Message {
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.chars().all(|c| c.is_ascii_graphic() || c == ' '), "one line of ASCII: {text:?}");
        let (priority, rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
        let fields: Vec<_> = rest.splitn(8, ' ').collect();
        let [version, time, host, app, process, id, structured, body] = fields[..] else { panic!("{text}") };
        assert_eq!((version, app, structured), ("1", "hoop-gateway", "-"));
        // At most 6 digits of a second, and Z: so RFC 5424 wants it.
        let at: Timestamp = time.parse().unwrap();
        assert!(at >= Timestamp::from_micros(START) && time.ends_with('Z') && time.len() <= 27, "{time}");
        assert!(
            process.parse::<u32>().is_ok() && priority.parse::<u8>().is_ok_and(|priority| priority <= 191)
        );
        assert!(host.len() <= 255 && id.len() <= 32 && app.len() <= 48);
        Self {
            priority: priority.parse().unwrap(),
            host: host.to_owned(),
            id: id.to_owned(),
            body: serde_json::from_str(body).unwrap(),
        }
    }

    /// It carries this note, whole.
    fn carries(&self, note: &SignedCheckpoint) {
        assert_eq!((self.priority, self.id.as_str(), self.host.as_str()), (109, "checkpoint", "hoop.test"));
        assert_eq!(self.body["note"].as_str().unwrap().parse::<SignedCheckpoint>().unwrap(), *note);
        assert_eq!(self.body["size"], note.unverified().size);
    }
}

#[tokio::test]
async fn a_file_gets_each_newest_checkpoint_once() {
    let bench = Bench::new().await;
    let sink = bench.sink("kind='file'\npath='DIR/out.txt'");
    assert_eq!(bench.turn(&sink).await, Turn::Idle, "nothing is signed yet");
    let first = bench.grow(3).await;
    assert_eq!(bench.turn(&sink).await, Turn::Delivered(3));
    assert_eq!(bench.turn(&sink).await, Turn::Idle);
    bench.grow(1).await;
    let third = bench.grow(1).await;
    assert_eq!(bench.turn(&sink).await, Turn::Delivered(5));
    let held = std::fs::read_to_string(bench.path("out.txt")).unwrap();
    assert_eq!(held, format!("{first}\n{third}\n"), "the one in between is not sent later");
    assert!(third.verify(&bench.verifier()).is_ok());
}

#[tokio::test]
async fn a_syslog_server_by_tcp_counts_octets() {
    let bench = Bench::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = bench.sink(&format!("kind='syslog'\naddress='tcp:{}'", server.local_addr().unwrap()));
    let note = bench.grow(300).await;
    let reading = async {
        let mut bytes = Vec::new();
        server.accept().await.unwrap().0.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let (bytes, turn) = tokio::join!(reading, bench.turn(&sink));
    assert_eq!(turn, Turn::Delivered(300));
    let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
    let count: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
    assert_eq!(count, bytes.len() - space - 1);
    Message::parse(&bytes[space + 1..]).carries(&note);
}

#[tokio::test]
async fn a_syslog_server_by_datagrams() {
    let bench = Bench::new().await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let unix = UnixDatagram::bind(bench.path("log")).unwrap();
    let sinks = bench.receivers(&format!(
        "[[ledger.publish]]\nname='udp'\nkind='syslog'\naddress='udp:{}'\n\
         [[ledger.publish]]\nname='unix'\nkind='syslog'\naddress='unix:DIR/log'\n",
        udp.local_addr().unwrap()
    ));
    let note = bench.grow(2).await;
    let mut bytes = [0; 4096];
    assert_eq!(bench.turn(&sinks[0]).await, Turn::Delivered(2));
    let length = udp.recv(&mut bytes).await.unwrap();
    Message::parse(&bytes[..length]).carries(&note);
    assert_eq!(bench.turn(&sinks[1]).await, Turn::Delivered(2));
    let length = unix.recv(&mut bytes).await.unwrap();
    Message::parse(&bytes[..length]).carries(&note);
}

#[tokio::test]
async fn a_server_that_is_away_gets_the_newest_when_it_is_back() {
    let bench = Bench::new().await;
    let sink = bench.sink("kind='syslog'\naddress='unix:DIR/log'");
    bench.grow(1).await;
    for attempts in 1..4 {
        assert_eq!(bench.turn(&sink).await, Turn::Failed(attempts));
    }
    assert!(bench.failure(&sink).await.contains("syslog"));
    let server = UnixDatagram::bind(bench.path("log")).unwrap();
    let newest = bench.grow(1).await;
    assert_eq!(bench.turn(&sink).await, Turn::Delivered(2));
    let mut bytes = [0; 4096];
    let length = server.recv(&mut bytes).await.unwrap();
    Message::parse(&bytes[..length]).carries(&newest);
    let stands = bench.store.receiver(ReceiverKind::Sink, &sink.name).await.unwrap();
    assert_eq!((stands.size, stands.failing_since, stands.attempts, stands.last_error), (2, None, 0, None));
}

/// Somebody who answers, or who hangs up in the middle, has not taken it.
#[tokio::test]
async fn a_server_that_is_no_syslog_server_has_taken_nothing() {
    use tokio::io::AsyncWriteExt as _;
    let bench = Bench::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = bench.sink(&format!("kind='syslog'\naddress='tcp:{}'", server.local_addr().unwrap()));
    bench.grow(1).await;
    let answering = async {
        let (mut stream, _) = server.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let ((), error) = tokio::join!(answering, bench.failure(&sink));
    assert!(error.contains("no syslog server"), "{error}");
    drop(server);
    assert!(bench.failure(&sink).await.contains("cannot be reached"));
}

type Seen = Arc<Mutex<Vec<(HeaderMap, Vec<u8>)>>>;

/// A web server that keeps what it gets, and answers so.
async fn web(status: StatusCode) -> (String, Seen) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/canary-url", socket.local_addr().unwrap());
    let seen = Seen::default();
    let take = move |State(seen): State<Seen>, headers: HeaderMap, body: axum::body::Bytes| async move {
        seen.lock().unwrap().push((headers, body.to_vec()));
        (status, "canary-answer")
    };
    let router = Router::new().route("/canary-url", routing::post(take)).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(socket, router).await });
    (url, seen)
}

#[tokio::test]
async fn a_webhook_gets_it_signed_with_one_id_for_all_attempts() {
    let bench = Bench::new().await;
    let (url, seen) = web(StatusCode::NO_CONTENT).await;
    let sink = bench.sink(&format!("kind='webhook'\nurl='{url}'\nsecret='file:DIR/secret'"));
    let note = bench.grow(4).await;
    assert_eq!(bench.turn(&sink).await, Turn::Delivered(4));
    let (headers, body) = seen.lock().unwrap().remove(0);
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(header("webhook-id"), "checkpoint_4");
    let signed = [header("webhook-id").as_bytes(), b".", header("webhook-timestamp").as_bytes(), b".", &body];
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let signature = STANDARD.decode(header("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed.concat(), &signature).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["type"], &body["data"]["size"]), (&"ledger.checkpoint".into(), &4.into()));
    assert_eq!(body["data"]["note"].as_str().unwrap().parse::<SignedCheckpoint>().unwrap(), note);
}

#[tokio::test]
async fn a_webhook_that_refuses_is_told_of_without_its_url_or_words() {
    let bench = Bench::new().await;
    bench.grow(1).await;
    for (status, word) in [(500, "500"), (404, "404"), (307, "redirects")] {
        let (url, _) = web(StatusCode::from_u16(status).unwrap()).await;
        let sink = bench.sink(&format!("kind='webhook'\nurl='{url}'\nsecret='file:DIR/secret'"));
        let error = bench.failure(&sink).await;
        assert!(error.contains(word) && !error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn one_receiver_that_hangs_has_its_time_and_no_more() {
    let bench = Bench::new().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("kind='syslog'\naddress='tcp:{}'", server.local_addr().unwrap());
    let mut sink = Arc::into_inner(bench.sink(&address)).unwrap();
    sink.patience = Duration::from_millis(50);
    bench.grow(1).await;
    // It is connected by the kernel, and nobody reads.
    assert!(bench.failure(&sink).await.contains("did not take it"));
}

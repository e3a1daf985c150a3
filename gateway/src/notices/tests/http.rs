//! Webhooks and chat against a server that can be told how to answer.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_store::NoticeState;
use parking::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use super::*;

mod parking {
    //! Locks of tests: a poisoned one fails the test anyway.
    #[derive(Debug, Default)]
    pub(super) struct Mutex<T>(std::sync::Mutex<T>);
    impl<T> Mutex<T> {
        pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
        pub(super) fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }
    }
}

/// How the server answers one request.
#[derive(Debug, Clone)]
enum Act {
    Status(u16),
    Redirect(String),
    Hang,
    EndlessBody,
    EndlessHeaders,
    Garbage,
}

/// A request as it came.
#[derive(Debug, Clone)]
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let line =
            self.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:"))).unwrap();
        line.split_once(':').unwrap().1.trim()
    }
}

struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        Self::with(acts, None).await
    }

    async fn with(acts: impl IntoIterator<Item = Act>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}/hook/canary-url?x=1", socket.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (acts, log) =
            (Arc::new(Mutex::new(acts.into_iter().collect::<VecDeque<_>>())), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let (acts, log, tls) = (Arc::clone(&acts), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, &acts, &log).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, &acts, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().clone()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    acts: &Mutex<VecDeque<Act>>,
    log: &Mutex<Vec<Request>>,
) {
    let mut bytes = Vec::new();
    let request = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
            let request = Request { head, body: bytes[at + 4..].to_vec() };
            if request.body.len() >= request.header("content-length").parse::<usize>().unwrap() {
                break request;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    log.lock().push(request);
    let act = acts.lock().pop_front().unwrap_or(Act::Status(200));
    let head = |status: &str, rest: &str| format!("HTTP/1.1 {status}\r\n{rest}\r\n\r\n").into_bytes();
    let (first, forever) = match act {
        Act::Status(status) => (head(&format!("{status} x"), "content-length: 0"), None),
        Act::Redirect(to) => (head("307 x", &format!("location: {to}\r\ncontent-length: 0")), None),
        Act::Hang => (Vec::new(), Some(Vec::new())),
        Act::EndlessBody => (head("200 x", "content-length: 1000000000"), Some(vec![b'x'; 65_536])),
        Act::EndlessHeaders => {
            (b"HTTP/1.1 200 x\r\n".to_vec(), Some(b"a: bbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(1000)))
        }
        Act::Garbage => (b"\0\xff not HTTP at all\r\n\r\n".to_vec(), None),
    };
    let _ = stream.write_all(&first).await;
    match forever {
        None => {}
        Some(silence) if silence.is_empty() => std::future::pending().await,
        Some(noise) => while stream.write_all(&noise).await.is_ok() {},
    }
    let _ = stream.shutdown().await;
}

/// Checks a request as the specification says, with nothing of what made it.
fn verify(request: &Request) -> bool {
    let (id, time) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", &request.body].concat();
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    request.header("webhook-signature").split(' ').any(|word| {
        let signature = word.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| hmac::verify(&key, &signed, &signature).is_ok())
    })
}

#[tokio::test]
async fn a_webhook_is_signed_so_that_others_can_check_it() {
    let bench = Bench::new().await;
    let server = Server::start([]).await;
    let outlet = bench.webhook(&server.url);
    assert_eq!(bench.try_once(&outlet, &bench.notice("ada asks for \"pg\" – é")).await, None);
    let [request] = &server.seen()[..] else { panic!("one request") };
    assert!(request.head.starts_with("POST /hook/canary-url?x=1 HTTP/1.1"));
    assert!(verify(request));
    assert_eq!(request.header("webhook-id"), bench.kept().await.id.to_string());
    assert_eq!(request.header("webhook-timestamp"), (START / 1_000_000).to_string());
    assert_eq!(request.header("content-type"), "application/json");
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["title"]),
        (&json!("request.created"), &json!("ada asks for \"pg\" – é"))
    );
    // A check that cannot fail checks nothing.
    let mut forged = request.clone();
    forged.body.push(b' ');
    assert!(!verify(&forged));
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_with_the_same_id_and_another_time() {
    let bench = Bench::new().await;
    let server = Server::start([Act::Status(500), Act::Status(404)]).await;
    let outlet = bench.webhook(&server.url);
    bench.write(&outlet, &bench.notice("ada asks")).await;
    assert_eq!(bench.turn(&outlet).await, Turn::Failed);
    assert_eq!(bench.kept().await.last_error.unwrap(), "it answered with status 500");
    bench.later(23);
    assert_eq!(bench.turn(&outlet).await, Turn::Idle);
    bench.later(14);
    assert_eq!(bench.turn(&outlet).await, Turn::Failed);
    bench.later(73);
    assert_eq!(bench.turn(&outlet).await, Turn::Delivered);
    assert_eq!(bench.turn(&outlet).await, Turn::Idle);
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(verify));
    assert!(seen.iter().all(|request| request.header("webhook-id") == seen[0].header("webhook-id")));
    let times: Vec<i64> =
        seen.iter().map(|request| request.header("webhook-timestamp").parse().unwrap()).collect();
    assert_eq!((times[1] - times[0], times[2] - times[1]), (37, 73));
    let kept = bench.kept().await;
    assert_eq!((kept.state, kept.attempts, kept.last_error), (NoticeState::Delivered(bench.now()), 3, None));
}

#[tokio::test]
async fn a_gateway_that_dies_while_it_sends_is_followed_by_another() {
    let bench = Bench::new().await;
    let server = Server::start([Act::Hang]).await;
    let outlet = bench.webhook(&server.url);
    bench.write(&outlet, &bench.notice("ada asks")).await;
    // Dropped in the middle: as if the process were gone.
    let dying = timeout(Duration::from_millis(300), bench.turn(&outlet)).await;
    assert!(dying.is_err());
    assert_eq!(server.seen().len(), 1);
    let again = Store::open(&format!("sqlite:{}", bench.path("x.db"))).await.unwrap();
    let (survivor, clock) = (bench.webhook(&server.url), || bench.now());
    assert_eq!(worker::deliver_one(&again, &survivor, &clock).await.unwrap(), Turn::Idle);
    bench.later(60);
    assert_eq!(worker::deliver_one(&again, &survivor, &clock).await.unwrap(), Turn::Delivered);
    let seen = server.seen();
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_time_and_no_more() {
    let bench = Bench::new().await;
    let server = Server::start([Act::Hang]).await;
    let lines = format!("kind='slack'\nurl='{}'", server.url);
    let outlet = bench.outlet(&lines, Duration::from_millis(200));
    let error = timeout(Duration::from_secs(5), bench.try_once(&outlet, &bench.notice("x"))).await.unwrap();
    assert_eq!(error.unwrap(), "it did not answer within 10 s");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let bench = Bench::new().await;
    let server = Server::start([Act::EndlessBody, Act::EndlessHeaders, Act::Garbage]).await;
    let outlet = bench.webhook(&server.url);
    let began = std::time::Instant::now();
    assert_eq!(bench.try_once(&outlet, &bench.notice("x")).await, None);
    for _ in 0..2 {
        let error = bench.try_once(&outlet, &bench.notice("x")).await.unwrap();
        assert!(error.contains("cannot be reached"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() {
    let bench = Bench::new().await;
    let elsewhere = Server::start([]).await;
    for to in [elsewhere.url.as_str(), "file:///etc/passwd", "//127.0.0.1/", "/hook", "gopher://x"] {
        let server = Server::start([Act::Redirect(to.to_owned())]).await;
        let error = bench.try_once(&bench.webhook(&server.url), &bench.notice("x")).await.unwrap();
        assert_eq!(error, "it answered with status 307, and redirects are not followed");
        assert_eq!(server.seen().len(), 1);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn no_error_tells_the_url() {
    let bench = Bench::new().await;
    for url in [
        "http://127.0.0.1:9/canary-url",
        "http://canary-host.invalid/canary-url",
        "https://127.0.0.1:9/canary-url",
    ] {
        let error = bench.try_once(&bench.webhook(url), &bench.notice("x")).await.unwrap();
        assert!(error.contains("cannot be reached") && !error.contains("canary-url"), "{error}");
    }
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_nowhere_else() {
    let bench = Bench::new().await;
    let (pem, tls) = certificate();
    std::fs::write(bench.path("ca.pem"), pem).unwrap();
    let server = Server::with([], Some(tls)).await;
    let lines = |ca: &str| format!("kind='slack'\nurl='{}'\n{ca}", server.url);
    let trusting = bench.outlet(&lines("ca_file='DIR/ca.pem'"), PATIENCE);
    assert_eq!(bench.try_once(&trusting, &bench.notice("x")).await, None);
    let error = bench.try_once(&bench.outlet(&lines(""), PATIENCE), &bench.notice("x")).await.unwrap();
    assert!(error.contains("certificate"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

fn certificate() -> (String, tokio_rustls::TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    (made.cert.pem(), Arc::new(config).into())
}

#[tokio::test]
async fn a_chat_message_calls_nobody() {
    let bench = Bench::new().await;
    let server = Server::start([]).await;
    let outlet = bench.outlet(&format!("kind='slack'\nurl='{}'", server.url), PATIENCE);
    let notice = bench.notice("<!channel> asks").fact("incident", "<@U1> &lt;!here&gt;\"}],\"text\":\"x");
    assert_eq!(bench.try_once(&outlet, &notice).await, None);
    let [request] = &server.seen()[..] else { panic!("one request") };
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 2);
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("&lt;!channel&gt; asks") && !text.contains('<'), "{text}");
    assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
    assert!(!request.head.contains("webhook-"));
}

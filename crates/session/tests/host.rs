//! The promises of a host to its engine, and of an engine's types to everybody: with an engine of one line, and parts that
//! misbehave.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use hoop_engine::{
    Channel, CloseReason, Event, Question, RequestId, TargetTls, Timestamp,
    hosted::{ByteStream, Doing, Host, HostedEngine, HostedParts, Refused, Shown},
};
use hoop_model::{Blame, Fault, Redacted, StreamId};
use hoop_policy::{Masking, Permit, Rules, Warrant};
use hoop_recording::event::{Direction, Form, Record};
use hoop_session::{
    Activity, Dial, HostParts, Limits, Mark, Pending, SocketPipe, StreamEnd, Tape, TapeError, TargetStream,
    Terminator, ending, host,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

async fn read(stream: &mut dyn ByteStream) -> Option<Bytes> {
    let mut buffer = [0; 1024];
    let count = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await.ok()?;
    (count > 0).then(|| Bytes::copy_from_slice(&buffer[..count]))
}

async fn write(stream: &mut dyn ByteStream, bytes: &[u8]) {
    let mut left = bytes;
    while !left.is_empty() {
        let count = poll_fn(|cx| stream.poll_write(cx, left)).await.unwrap();
        left = &left[count..];
    }
}

/// The only ways to the two sides, as an engine would have them.
async fn to_target(stream: &mut dyn ByteStream, _: Permit, bytes: &[u8]) {
    write(stream, bytes).await;
}

async fn to_client(stream: &mut dyn ByteStream, shown: Shown) {
    write(stream, &shown.into_bytes()).await;
}

/// Each read of the client is a command; its answer is one read of the target.
struct LineEngine {
    /// What it was asked to run that is refused.
    forward: bool,
    /// It hears no end.
    deaf: bool,
}

impl HostedEngine for LineEngine {
    fn run(self: Box<Self>, parts: HostedParts) -> Doing<CloseReason> {
        Box::pin(async move {
            let HostedParts { mut client, host, .. } = parts;
            let ended = host.clone();
            let deaf = self.deaf;
            let fault = tokio::select! {
                biased;
                fault = ended.ended(), if !deaf => fault,
                outcome = self.serve(client.as_mut(), &host) => match outcome {
                    Ok(()) => return CloseReason::Client,
                    Err(fault) => fault,
                },
            };
            to_client(client.as_mut(), Shown::own_words(&fault)).await;
            CloseReason::Fault(fault)
        })
    }
}

impl LineEngine {
    async fn serve(&self, client: &mut dyn ByteStream, host: &Host) -> Result<(), Fault> {
        let mut id = 0;
        while let Some(text) = read(client).await {
            let question = match self.forward {
                true => Question::Channel(Channel::Forward(hoop_policy::Forwarding::Local)),
                false => Question::Command { text: text.clone(), moves_files: false },
            };
            let form = Form::Command { terminal: None };
            let asked = host.ask(RequestId(id), form, text.clone(), &question).await;
            match asked {
                Ok(permit) => {
                    let mut target = host.dial().await?;
                    to_target(target.as_mut(), permit, &text).await;
                    let data = read(target.as_mut()).await.unwrap_or_default();
                    let event =
                        Event::Copy { id: RequestId(id), direction: Direction::Out, data: data.clone() };
                    to_client(client, host.show(data, Some(event)).await?).await;
                }
                Err(Refused::Denied(fault)) => to_client(client, Shown::own_words(&fault)).await,
                Err(Refused::Over(fault)) => return Err(fault),
            }
            id += 1;
        }
        Ok(())
    }
}

#[derive(Default)]
struct TestTape {
    records: Mutex<Vec<Event>>,
    strict: bool,
    refuses: AtomicBool,
    keeps_back: AtomicBool,
    asked: Mutex<Option<Waker>>,
}

impl TestTape {
    async fn is_asked(&self) {
        while self.asked.lock().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }

    fn keep(&self) {
        self.keeps_back.store(false, Ordering::SeqCst);
        self.asked.lock().unwrap().take().unwrap().wake();
    }

    fn kinds(&self) -> Vec<&'static str> {
        let kind = |event: &Event| match event {
            Event::Request { .. } => "request",
            Event::Copy { .. } => "copy",
            Event::Denied { .. } => "denied",
            Event::Closed { .. } => "closed",
            _ => "other",
        };
        self.records.lock().unwrap().iter().map(kind).collect()
    }
}

impl Tape for TestTape {
    fn append(&self, record: Record) -> Result<Mark, TapeError> {
        let mut records = self.records.lock().unwrap();
        records.push(record.event);
        Ok(Mark(records.len().try_into().unwrap()))
    }

    fn poll_kept(&self, _: Mark, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        if self.refuses.load(Ordering::SeqCst) {
            return Poll::Ready(Err(TapeError(Fault::new("HOOP-6001", Blame::System, "disk full"))));
        }
        if self.keeps_back.load(Ordering::SeqCst) {
            *self.asked.lock().unwrap() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn is_strict(&self) -> bool {
        self.strict
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        Poll::Ready(Ok(()))
    }
}

struct Loopback(std::net::SocketAddr);

impl Dial for Loopback {
    fn dial(&self) -> Pending<TcpStream> {
        let address = self.0;
        Box::pin(async move { Ok(TcpStream::connect(address).await.unwrap()) })
    }

    fn start_tls(&self, _: TcpStream) -> Pending<(TargetStream, TargetTls)> {
        Box::pin(async { Err(Fault::new("HOOP-4031", Blame::Target, "none")) })
    }
}

struct Stage {
    client: DuplexStream,
    target: TcpListener,
    tape: Arc<TestTape>,
    terminator: Terminator,
    running: JoinHandle<StreamEnd>,
}

const FAREWELL: Duration = Duration::from_millis(300);

async fn stage(engine: impl HostedEngine + 'static, tape: TestTape) -> Stage {
    let (client, near) = tokio::io::duplex(64 << 10);
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (terminator, _) = ending();
    let tape = Arc::new(tape);
    let now = Timestamp::from(jiff::Timestamp::now());
    let rules = Rules { masking: Masking::None, ..Rules::default() };
    let parts = HostParts {
        stream: StreamId(0),
        engine: Box::new(engine),
        client: SocketPipe(near),
        dial: Arc::new(Loopback(target.local_addr().unwrap())),
        tape: Arc::clone(&tape) as _,
        warrant: Arc::new(Warrant::new(rules, now.after(Duration::from_secs(600)))),
        activity: Arc::new(Activity::new(now)),
        terminator: terminator.clone(),
        limits: Limits { farewell: FAREWELL, ..Limits::default() },
        stream_key: Redacted::new([0; 32]),
    };
    Stage { client, target, tape, terminator, running: tokio::spawn(host(parts)) }
}

fn plain() -> LineEngine {
    LineEngine { forward: false, deaf: false }
}

impl Stage {
    /// Hears the command that came to the target, and answers.
    async fn answer(&self, answer: &[u8]) -> (TcpStream, String) {
        let (mut stream, _) = self.target.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await.unwrap();
        stream.write_all(answer).await.unwrap();
        (stream, String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    async fn hear(&mut self) -> String {
        let mut buffer = [0; 1024];
        let count = self.client.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    /// Nobody has come to the target.
    fn is_untouched(&self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        self.target.poll_accept(cx).is_pending()
    }
}

#[tokio::test]
async fn what_was_not_kept_never_reaches_the_target() {
    let tape = TestTape { keeps_back: true.into(), ..TestTape::default() };
    let mut stage = stage(plain(), tape).await;
    stage.client.write_all(b"uptime").await.unwrap();
    stage.tape.is_asked().await;
    assert_eq!(stage.tape.kinds(), ["request"]);
    assert!(stage.is_untouched());
    stage.tape.keep();
    let (_stream, command) = stage.answer(b"up").await;
    assert_eq!((command.as_str(), stage.hear().await.as_str()), ("uptime", "up"));
    drop(stage.client);
    assert_eq!(stage.running.await.unwrap().reason, CloseReason::Client);
    assert_eq!(stage.tape.kinds(), ["request", "copy", "closed"]);
}

#[tokio::test]
async fn strictly_recorded_nothing_is_shown_before_it_is_kept() {
    let mut stage = stage(plain(), TestTape { strict: true, ..TestTape::default() }).await;
    stage.client.write_all(b"uptime").await.unwrap();
    let (stream, _) = {
        let (mut stream, _) = stage.target.accept().await.unwrap();
        let mut buffer = [0; 16];
        let count = stream.read(&mut buffer).await.unwrap();
        (stream, count)
    };
    stage.tape.keeps_back.store(true, Ordering::SeqCst);
    let mut stream = stream;
    stream.write_all(b"secret").await.unwrap();
    stage.tape.is_asked().await;
    let mut buffer = [0; 16];
    let shown = tokio::time::timeout(Duration::ZERO, stage.client.read(&mut buffer)).await;
    assert!(shown.is_err(), "it was shown");
    stage.tape.keep();
    assert_eq!(stage.hear().await, "secret");
}

#[tokio::test]
async fn what_cannot_be_recorded_ends_the_stream_and_reaches_nobody() {
    let mut stage = stage(plain(), TestTape { refuses: true.into(), ..TestTape::default() }).await;
    stage.client.write_all(b"uptime").await.unwrap();
    assert!(stage.hear().await.contains("HOOP-6001"));
    assert!(stage.is_untouched());
    let end = stage.running.await.unwrap();
    assert!(matches!(end.reason, CloseReason::Fault(fault) if fault.code.as_str() == "HOOP-6001"));
}

#[tokio::test]
async fn a_refusal_is_recorded_with_what_was_asked_and_the_stream_goes_on() {
    let mut stage = stage(LineEngine { forward: true, deaf: false }, TestTape::default()).await;
    for _ in 0..2 {
        stage.client.write_all(b"db:5432").await.unwrap();
        assert!(stage.hear().await.contains("HOOP-2042"));
    }
    assert!(stage.is_untouched());
    assert_eq!(stage.tape.kinds(), ["request", "denied", "request", "denied"]);
}

fn killed() -> Fault {
    Fault::new("HOOP-4002", Blame::Policy, "killed")
}

#[tokio::test]
async fn the_end_is_told_and_nothing_is_permitted_after_it() {
    let mut stage = stage(plain(), TestTape::default()).await;
    stage.terminator.end(killed());
    assert!(stage.hear().await.contains("HOOP-4002"));
    assert_eq!(stage.running.await.unwrap().reason, CloseReason::Fault(killed()));
    // An engine that does not listen gets no permit all the same.
    let mut stage = self::stage(LineEngine { forward: false, deaf: true }, TestTape::default()).await;
    stage.terminator.end(killed());
    stage.client.write_all(b"uptime").await.unwrap();
    assert!(stage.hear().await.contains("HOOP-4002"));
    assert!(stage.is_untouched());
    assert!(!stage.tape.kinds().contains(&"request"));
}

#[tokio::test]
async fn an_engine_that_does_not_end_is_cut() {
    let stage = stage(LineEngine { forward: false, deaf: true }, TestTape::default()).await;
    let start = std::time::Instant::now();
    stage.terminator.end(killed());
    assert_eq!(stage.running.await.unwrap().reason, CloseReason::Fault(killed()));
    assert!(start.elapsed() < FAREWELL * 10, "{:?}", start.elapsed());
    assert_eq!(stage.tape.kinds(), ["closed"]);
}

/// Its library has tasks of its own, which nobody told.
struct Careless;

impl HostedEngine for Careless {
    fn run(self: Box<Self>, mut parts: HostedParts) -> Doing<CloseReason> {
        Box::pin(async move {
            let mut target = parts.host.dial().await.unwrap();
            write(target.as_mut(), b"hello").await;
            tokio::spawn(async move { while read(target.as_mut()).await.is_some() {} });
            read(parts.client.as_mut()).await;
            CloseReason::Client
        })
    }
}

#[tokio::test]
async fn what_an_engine_leaves_behind_loses_its_target() {
    let stage = stage(Careless, TestTape::default()).await;
    let (mut stream, _) = stage.answer(b"").await;
    drop(stage.client);
    stage.running.await.unwrap();
    let mut buffer = [0; 1];
    // The end of file, or a reset: nobody is there any more.
    assert!(!matches!(stream.read(&mut buffer).await, Ok(count) if count > 0));
}

//! The driver's promises, with an engine of one line and parts that misbehave.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hoop_engine::{
    CancelKey, CancelKeys, CloseReason, Engine, Event, Output, Question, RequestId, Side, TargetTls,
    Timestamp,
};
use hoop_model::{Blame, Fault, StreamId};
use hoop_policy::{Denial, Permit, Rules, Warrant};
use hoop_recording::event::{Form, Record};
use hoop_session::{
    Activity, CancelDesk, Dial, Ending, Limits, Mark, Parts, Pending, SocketPipe, StreamEnd, Tape, TapeError,
    TargetStream, Terminator, drive, ending,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Every read of the client is a statement; everything else goes through as it is. "remind me" wants an answer in a while, and
/// "be secret" TLS.
#[derive(Default)]
struct LineEngine {
    next: u64,
    waiting: VecDeque<(RequestId, Bytes)>,
    out: VecDeque<Output>,
    works: bool,
    wake: Option<Timestamp>,
}

impl Engine for LineEngine {
    fn handle_input(&mut self, from: Side, input: &mut BytesMut, _: Timestamp) -> Result<(), Fault> {
        let bytes = input.split().freeze();
        self.works = from == Side::Client;
        if from == Side::Target {
            self.out.push_back(Output::Send { to: Side::Client, bytes });
            return Ok(());
        }
        let id = RequestId(self.next);
        self.next += 1;
        self.out.push_back(Output::Decide {
            id,
            question: Question::Statement {
                text: bytes.clone(),
                dialect: hoop_engine::Dialect::Postgres(hoop_sql::postgres::Mode::default()),
            },
        });
        self.waiting.push_back((id, bytes));
        Ok(())
    }
    fn handle_eof(&mut self, from: Side, _: Timestamp) {
        let reason = if from == Side::Client { CloseReason::Client } else { CloseReason::Target };
        self.out.push_back(Output::Close { reason });
    }
    fn handle_verdict(&mut self, id: RequestId, verdict: Result<Permit, Denial>, now: Timestamp) {
        let Some((_, text)) = self.waiting.pop_front() else { return };
        match verdict {
            Ok(_permit) => {
                let event =
                    Event::Request { id, form: Form::Query, text: text.clone(), parameters: Vec::new() };
                self.out.push_back(Output::Record(event));
                match text.as_ref() {
                    b"remind me" => self.wake = Some(now.after(Duration::from_millis(10))),
                    b"be secret" => self.out.push_back(Output::StartTargetTls),
                    _ => {}
                }
                self.out.push_back(Output::Send { to: Side::Target, bytes: text });
            }
            Err(denial) => {
                let bytes = Bytes::from(format!("denied: {denial}"));
                self.out.push_back(Output::Send { to: Side::Client, bytes });
            }
        }
    }
    fn handle_target_tls(&mut self, _: TargetTls, _: Timestamp) {}
    fn handle_timeout(&mut self, now: Timestamp) {
        if self.wake.take_if(|at| *at <= now).is_some() {
            self.out.push_back(Output::Send { to: Side::Client, bytes: Bytes::from_static(b"it is time") });
        }
    }
    fn handle_end(&mut self, fault: Fault, _: Timestamp) {
        let bytes = Bytes::from(format!("ended: {}", fault.code));
        self.out.push_back(Output::Send { to: Side::Client, bytes });
        self.out.push_back(Output::Close { reason: CloseReason::Fault(fault) });
    }
    fn poll_output(&mut self) -> Output {
        self.out.pop_front().unwrap_or(Output::Idle { wake: self.wake })
    }
    fn is_congested(&self, _: Side) -> bool {
        false
    }
    fn is_working(&self) -> bool {
        self.works
    }
    fn cancel_keys(&self) -> Option<CancelKeys> {
        None
    }
}

#[derive(Default)]
struct TestTape {
    records: Mutex<Vec<Event>>,
    refuses: AtomicBool,
    keeps_back: AtomicBool,
    asked: Mutex<Option<(Mark, Waker)>>,
    stalls: AtomicBool,
    fails: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl TestTape {
    fn go_on(&self) {
        self.stalls.store(false, Ordering::SeqCst);
        self.waker.lock().unwrap().take().unwrap().wake();
    }
    async fn asked(&self) -> Mark {
        loop {
            if let Some((mark, _)) = *self.asked.lock().unwrap() {
                return mark;
            }
            tokio::task::yield_now().await;
        }
    }
    fn keep(&self) {
        self.keeps_back.store(false, Ordering::SeqCst);
        self.asked.lock().unwrap().take().unwrap().1.wake();
    }
    fn texts(&self) -> Vec<Bytes> {
        let records = self.records.lock().unwrap();
        records
            .iter()
            .filter_map(|event| match event {
                Event::Request { text, .. } => Some(text.clone()),
                _ => None,
            })
            .collect()
    }
}

impl Tape for TestTape {
    fn append(&self, record: Record) -> Result<Mark, TapeError> {
        let mut records = self.records.lock().unwrap();
        records.push(record.event);
        Ok(Mark(records.len().try_into().unwrap()))
    }
    fn poll_kept(&self, mark: Mark, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        if self.refuses.load(Ordering::SeqCst) {
            return Poll::Ready(Err(TapeError(Fault::new("HOOP-6001", Blame::System, "disk full"))));
        }
        if self.keeps_back.load(Ordering::SeqCst) {
            *self.asked.lock().unwrap() = Some((mark, cx.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        if self.fails.load(Ordering::SeqCst) {
            return Poll::Ready(Err(TapeError(Fault::new(
                "HOOP-6002",
                Blame::System,
                "not stored for too long",
            ))));
        }
        if self.stalls.load(Ordering::SeqCst) {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct TestDesk(Mutex<Vec<(StreamId, bool)>>);

impl CancelDesk for TestDesk {
    fn cancel(&self, _: &CancelKey) {}
    fn register(&self, _: StreamId, _: CancelKey, _: Bytes) {}
    fn forget(&self, stream: StreamId, working: bool) {
        self.0.lock().unwrap().push((stream, working));
    }
}

struct Loopback(std::net::SocketAddr);

impl Dial for Loopback {
    fn dial(&self) -> Pending<TcpStream> {
        let address = self.0;
        Box::pin(async move {
            TcpStream::connect(address)
                .await
                .map_err(|e| Fault::new("HOOP-4030", Blame::Target, e.to_string()))
        })
    }
    fn start_tls(&self, _: TcpStream) -> Pending<(TargetStream, TargetTls)> {
        Box::pin(async { Err(Fault::new("HOOP-4031", Blame::Target, "none")) })
    }
}

struct Stage {
    client: DuplexStream,
    target: TcpListener,
    tape: Arc<TestTape>,
    desk: Arc<TestDesk>,
    terminator: Terminator,
    end: JoinHandle<StreamEnd>,
}

impl Stage {
    async fn new(ends_at: Timestamp) -> Self {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, ours) = tokio::io::duplex(1 << 16);
        let (tape, desk) = (Arc::new(TestTape::default()), Arc::new(TestDesk::default()));
        let (terminator, heard): (Terminator, Ending) = ending();
        let parts = Parts {
            stream: StreamId(3),
            engine: Box::<LineEngine>::default(),
            client: SocketPipe(ours),
            dial: Arc::new(Loopback(target.local_addr().unwrap())),
            tape: Arc::clone(&tape) as _,
            desk: Arc::clone(&desk) as _,
            warrant: Arc::new(Warrant::new(Rules::default(), ends_at)),
            activity: Arc::new(Activity::default()),
            ending: heard,
            limits: Limits { high_water: 64 * 1024, farewell: Duration::from_secs(1) },
        };
        let end = tokio::spawn(drive(parts));
        Self { client, target, tape, desk, terminator, end }
    }

    /// A request was taken, and is not kept yet.
    async fn waiting_for_the_tape(request: &[u8]) -> Self {
        let mut stage = Self::open().await;
        stage.tape.keeps_back.store(true, Ordering::SeqCst);
        stage.client.write_all(request).await.unwrap();
        assert_eq!(stage.tape.asked().await, Mark(1));
        stage
    }

    /// One request went through, the next one waits for a tape that is behind.
    async fn stalled() -> (Self, TcpStream) {
        let mut stage = Self::open().await;
        stage.client.write_all(b"first").await.unwrap();
        let (mut target, _) = stage.target.accept().await.unwrap();
        assert_eq!(read_some(&mut target).await, "first");
        stage.tape.stalls.store(true, Ordering::SeqCst);
        stage.client.write_all(b"second").await.unwrap();
        while stage.tape.waker.lock().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        (stage, target)
    }

    async fn open() -> Self {
        Self::new(Timestamp::from_micros(i64::MAX)).await
    }

    async fn hear(&mut self) -> String {
        let mut heard = vec![0; 100];
        let count = self.client.read(&mut heard).await.unwrap();
        String::from_utf8(heard[..count].to_vec()).unwrap()
    }
}

async fn read_some(target: &mut TcpStream) -> String {
    let mut heard = vec![0; 100];
    let count = target.read(&mut heard).await.unwrap();
    String::from_utf8(heard[..count].to_vec()).unwrap()
}

#[tokio::test]
async fn bytes_go_both_ways_and_requests_are_kept() {
    let mut stage = Stage::open().await;
    stage.client.write_all(b"select 1").await.unwrap();
    let (mut target, _) = stage.target.accept().await.unwrap();
    assert_eq!(read_some(&mut target).await, "select 1");
    target.write_all(b"one").await.unwrap();
    assert_eq!(stage.hear().await, "one");
    drop(stage.client);
    let end = stage.end.await.unwrap();
    assert_eq!((end.reason, end.bytes_in, end.bytes_out), (CloseReason::Client, 8, 3));
    assert_eq!(stage.tape.texts(), ["select 1"]);
    assert!(matches!(stage.tape.records.lock().unwrap().last(), Some(Event::Closed { .. })));
}

#[tokio::test]
async fn what_cannot_be_recorded_never_reaches_the_target() {
    let mut stage = Stage::open().await;
    stage.tape.refuses.store(true, Ordering::SeqCst);
    stage.client.write_all(b"drop table patients").await.unwrap();
    assert_eq!(stage.hear().await, "ended: HOOP-6001");
    let end = stage.end.await.unwrap();
    assert!(matches!(end.reason, CloseReason::Fault(fault) if fault.code.as_str() == "HOOP-6001"));
    let accepted = tokio::time::timeout(Duration::from_millis(50), stage.target.accept()).await;
    assert!(accepted.is_err(), "the target was dialled");
}

#[tokio::test]
async fn nothing_is_written_before_it_is_kept() {
    let mut stage = Stage::waiting_for_the_tape(b"drop table patients").await;
    stage.client.write_all(b"and more").await.unwrap();
    let accepted = tokio::time::timeout(Duration::from_millis(50), stage.target.accept()).await;
    assert!(accepted.is_err(), "the target was dialled");
    assert_eq!(stage.tape.texts(), ["drop table patients"], "no side is read meanwhile");
    stage.tape.keep();
    let (mut target, _) = stage.target.accept().await.unwrap();
    let mut heard = [0; 27];
    target.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"drop table patientsand more");
}

/// A dial, a timer, a handshake: nothing else wakes the stream.
#[tokio::test]
async fn what_a_kept_request_begins_goes_on_by_itself() {
    let mut stage = Stage::waiting_for_the_tape(b"select 1").await;
    stage.tape.keep();
    let accepted = tokio::time::timeout(Duration::from_secs(10), stage.target.accept()).await;
    let (mut target, _) = accepted.expect("the target was not dialled").unwrap();
    assert_eq!(read_some(&mut target).await, "select 1");
    for (request, answer) in [(b"remind me", "it is time"), (b"be secret", "ended: HOOP-4031")] {
        stage.tape.keeps_back.store(true, Ordering::SeqCst);
        stage.client.write_all(request).await.unwrap();
        stage.tape.asked().await;
        stage.tape.keep();
        let heard = tokio::time::timeout(Duration::from_secs(10), stage.hear()).await;
        assert_eq!(heard.expect(answer), answer);
    }
}

#[tokio::test]
async fn an_end_that_comes_before_a_request_is_kept_comes_in_order() {
    let mut stage = Stage::waiting_for_the_tape(b"select 1").await;
    stage.terminator.end(Fault::new("HOOP-4002", Blame::Policy, "killed"));
    stage.tape.keep();
    assert_eq!(stage.hear().await, "ended: HOOP-4002");
    stage.end.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_even_if_nothing_is_ever_kept() {
    let stage = Stage::waiting_for_the_tape(b"select 1").await;
    stage.terminator.end(Fault::new("HOOP-4002", Blame::Policy, "killed"));
    stage.terminator.cut();
    let end = tokio::time::timeout(Duration::from_secs(2), stage.end).await.unwrap().unwrap();
    assert!(matches!(end.reason, CloseReason::Fault(fault) if fault.code.as_str() == "HOOP-4002"));
}

#[tokio::test]
async fn a_tape_that_is_behind_stops_reading_until_it_catches_up() {
    let (stage, mut target) = Stage::stalled().await;
    assert_eq!(stage.tape.texts(), ["first"]);
    stage.tape.go_on();
    assert_eq!(read_some(&mut target).await, "second");
}

#[tokio::test]
async fn a_tape_that_fails_while_it_stalls_is_told_at_once() {
    let (mut stage, _target) = Stage::stalled().await;
    stage.tape.fails.store(true, Ordering::SeqCst);
    stage.tape.go_on();
    let heard = tokio::time::timeout(Duration::from_millis(500), stage.hear()).await;
    assert_eq!(heard.unwrap(), "ended: HOOP-6002");
    assert_eq!(stage.tape.texts(), ["first"]);
}

#[tokio::test]
async fn the_client_hears_why_it_ends_and_the_target_is_cancelled() {
    let mut stage = Stage::open().await;
    stage.client.write_all(b"select pg_sleep(600)").await.unwrap();
    let (mut target, _) = stage.target.accept().await.unwrap();
    assert_eq!(read_some(&mut target).await, "select pg_sleep(600)");
    stage.terminator.end(Fault::new("HOOP-4002", Blame::Policy, "killed"));
    assert_eq!(stage.hear().await, "ended: HOOP-4002");
    stage.end.await.unwrap();
    assert_eq!(*stage.desk.0.lock().unwrap(), [(StreamId(3), true)]);
    assert_eq!(target.read(&mut [0]).await.unwrap(), 0, "the target's connection is closed");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_in_time() {
    let stage = Stage::open().await;
    let mut client = stage.client;
    client.write_all(b"select everything").await.unwrap();
    let (mut target, _) = stage.target.accept().await.unwrap();
    let flood = tokio::spawn(async move {
        let block = vec![7; 64 * 1024];
        while target.write_all(&block).await.is_ok() {}
    });
    stage.terminator.end(Fault::new("HOOP-4002", Blame::Policy, "killed"));
    let end = tokio::time::timeout(Duration::from_secs(2), stage.end).await;
    assert!(end.is_ok(), "still there after 2 s");
    flood.await.unwrap();
}

#[tokio::test]
async fn both_directions_move_while_one_is_blocked() {
    let stage = Stage::open().await;
    let requests: Vec<u8> = vec![b'q'; 300_000];
    let sent = requests.len();
    let (mut reader, mut writer) = tokio::io::split(stage.client);
    let writing = tokio::spawn(async move { writer.write_all(&requests).await.map(|()| writer) });
    let (mut target, _) = stage.target.accept().await.unwrap();
    // The target reads nothing at first and floods; the client reads the flood while its own writes are stuck.
    let flood = vec![b'r'; 1_000_000];
    let (mut from, mut to) = target.split();
    let flooding = async { to.write_all(&flood).await.unwrap() };
    let mut got = vec![0; flood.len()];
    let (_, read) = tokio::join!(flooding, reader.read_exact(&mut got));
    read.unwrap();
    let mut heard = vec![0; sent];
    from.read_exact(&mut heard).await.unwrap();
    writing.await.unwrap().unwrap();
    stage.terminator.end(Fault::new("HOOP-4002", Blame::Policy, "done"));
    stage.end.await.unwrap();
}

#[tokio::test]
async fn after_the_grant_ends_requests_are_denied() {
    let mut stage = Stage::new(Timestamp::EPOCH).await;
    stage.client.write_all(b"select 1").await.unwrap();
    assert_eq!(stage.hear().await, "denied: the grant for this session has ended");
}

#[tokio::test]
async fn a_target_that_is_away_is_told_to_the_client() {
    let mut stage = Stage::open().await;
    let address = stage.target.local_addr().unwrap();
    drop(stage.target);
    stage.target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_ne!(stage.target.local_addr().unwrap(), address);
    stage.client.write_all(b"select 1").await.unwrap();
    assert_eq!(stage.hear().await, "ended: HOOP-4030");
}

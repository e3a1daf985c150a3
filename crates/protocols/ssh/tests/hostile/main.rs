//! Hosts and clients that mean ill, made of the library: what no OpenSSH does. Between them the engine, hosted as an agent does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod host;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use hoop_engine::{Credential, Event, Protocol as _, Started, StreamContext, TargetTls, Timestamp};
use hoop_masking::MaskingKey;
use hoop_model::{Blame, Fault, Redacted, SessionId, StreamId, UserName};
use hoop_policy::{Forwarding, Masking, Rules, Warrant};
use hoop_recording::event::Record;
use hoop_session::{
    Activity, Dial, HostParts, Limits, Mark, Pending, SocketPipe, StreamEnd, Tape, TapeError, TargetStream,
    Terminator, ending, host as run,
};
use hoop_ssh::{Ssh, host_key_line};
use russh::{
    Channel, ChannelMsg,
    client::{Handle, Msg},
    keys::PublicKeyOrCertificate,
};
use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use host::{BadHost, PASSWORD};

#[derive(Default)]
pub(crate) struct Notes {
    events: Mutex<Vec<Event>>,
    /// Who waits for the record of a program's end, where that is kept back.
    waits: Mutex<Option<Waker>>,
    keeps_ends_back: AtomicBool,
}

impl Notes {
    pub(crate) fn all(&self) -> String {
        format!("{:?}", self.events.lock().unwrap())
    }

    fn is_end(&self, mark: Mark) -> bool {
        let events = self.events.lock().unwrap();
        matches!(events.get(usize::try_from(mark.0).unwrap() - 1), Some(Event::Completed { .. }))
    }
}

impl Tape for Notes {
    fn append(&self, record: Record) -> Result<Mark, TapeError> {
        let mut notes = self.events.lock().unwrap();
        notes.push(record.event);
        Ok(Mark(notes.len().try_into().unwrap()))
    }

    fn poll_kept(&self, mark: Mark, cx: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        if self.keeps_ends_back.load(Ordering::SeqCst) && self.is_end(mark) {
            *self.waits.lock().unwrap() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn is_strict(&self) -> bool {
        true
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
        Box::pin(std::future::pending())
    }
}

/// The engine between a host and whoever comes.
pub(crate) struct Stage {
    pub(crate) client: DuplexStream,
    pub(crate) notes: Arc<Notes>,
    pub(crate) running: JoinHandle<StreamEnd>,
    pub(crate) host: BadHost,
    pub(crate) terminator: Terminator,
}

const STREAM_KEY: [u8; 32] = [9; 32];

impl Stage {
    pub(crate) async fn new(password: &str) -> Self {
        Self::as_user("deploy", password).await
    }

    pub(crate) async fn as_user(user: &str, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = BadHost::start(listener);
        let settings = serde_json::json!({
            "host": "127.0.0.1", "port": address.port(), "user": user, "password": "env:X", "host_keys": [host.key],
            "forwarding": {"listen": ["127.0.0.1:7000"]},
        });
        let context = StreamContext {
            groups: Vec::new(),
            session: SessionId::generate(),
            stream: StreamId(0),
            person: UserName::new("ada").unwrap(),
            rules: Arc::new(Rules { masking: Masking::None, ..Rules::default() }),
            masking_key: MaskingKey::new(&[1; 32]).unwrap(),
            cancel_seed: Redacted::new(vec![0; 36]),
            login_cache: Arc::default(),
            login_timeout: Duration::from_secs(10),
        };
        let now = Timestamp::from(jiff::Timestamp::now());
        let credential = Credential { user: user.into(), password: Some(Redacted::new(password.to_owned())) };
        let Started::Hosted(engine) = Ssh.configure(&settings).unwrap().start(context, credential, now)
        else {
            unreachable!("it is hosted")
        };
        let (client, near) = tokio::io::duplex(64 << 10);
        let (terminator, _) = ending();
        let notes = Arc::new(Notes::default());
        let forwarding = [Forwarding::Remote].into();
        let rules = Rules { masking: Masking::None, forwarding, ..Rules::default() };
        let parts = HostParts {
            stream: StreamId(0),
            engine,
            client: SocketPipe(near),
            dial: Arc::new(Loopback(address)),
            tape: Arc::clone(&notes) as _,
            warrant: Arc::new(Warrant::new(rules, now.after(Duration::from_secs(600)))),
            activity: Arc::new(Activity::new(now)),
            terminator: terminator.clone(),
            limits: Limits::default(),
            stream_key: Redacted::new(STREAM_KEY),
        };
        Self { client, notes, running: tokio::spawn(run(parts)), host, terminator }
    }

    /// A client that behaves, until it is told otherwise.
    pub(crate) async fn connect(self) -> Connected {
        let config = Arc::new(russh::client::Config::default());
        let mut handle = russh::client::connect_stream(config, self.client, Person).await.unwrap();
        assert!(handle.authenticate_none("whoever").await.unwrap().success());
        Connected {
            handle,
            notes: self.notes,
            host: self.host,
            _running: self.running,
            _terminator: self.terminator,
        }
    }
}

/// Takes the key that the session's other end derives, and no other.
pub(crate) struct Person;

impl russh::client::Handler for Person {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let expected = host_key_line(&Redacted::new(STREAM_KEY));
        Ok(shown.public_key().to_openssh().unwrap() == expected)
    }
}

pub(crate) struct Connected {
    pub(crate) handle: Handle<Person>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) host: BadHost,
    _running: JoinHandle<StreamEnd>,
    _terminator: Terminator,
}

impl Connected {
    /// Output, complaints, exit status of a command.
    pub(crate) async fn command(&self, text: &str) -> (String, String, Option<u32>) {
        let channel = self.handle.channel_open_session().await.unwrap();
        channel.exec(true, text).await.unwrap();
        heard(channel).await
    }
}

/// Until it is so.
pub(crate) async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let polling = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), polling).await.is_ok(), "{what} did not come");
}

pub(crate) async fn heard(mut channel: Channel<Msg>) -> (String, String, Option<u32>) {
    let (mut out, mut err, mut status) = (Vec::new(), Vec::new(), None);
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Data { data } => out.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => err.extend_from_slice(&data),
            ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(out), text(err), status)
}

#[tokio::test]
async fn a_password_lets_in_and_a_wrong_one_is_shown_to_nobody() {
    let good = Stage::new(PASSWORD).await.connect().await;
    assert_eq!(good.command("hello").await, ("ran hello".into(), String::new(), Some(0)));
    assert!(!good.notes.all().contains(PASSWORD));
    let bad = Stage::new("canary-wrong-password").await.connect().await;
    let (out, err, status) = bad.command("hello").await;
    assert!(out.is_empty() && err.contains("HOOP-5032") && status == Some(255), "{err}");
    assert!(!err.contains("canary") && !bad.notes.all().contains("canary"), "{err}");
}

/// A password is told to a prompt that hides it, once, and to no other.
#[tokio::test]
async fn prompts_are_answered_as_far_as_they_are_ours_to_answer() {
    let good = Stage::as_user("prompted", PASSWORD).await.connect().await;
    assert_eq!(good.command("hello").await, ("ran hello".into(), String::new(), Some(0)));
    for (user, told) in [("nosy", 0), ("double", 0), ("greedy", 1)] {
        let bad = Stage::as_user(user, PASSWORD).await.connect().await;
        let (_, err, status) = bad.command("hello").await;
        assert!(err.contains("HOOP-5032") && status == Some(255), "{user}: {err}");
        assert_eq!(bad.host.told.lock().unwrap().len(), told, "{user}");
        assert!(!bad.notes.all().contains(PASSWORD));
    }
}

#[tokio::test]
async fn how_a_program_ended_is_recorded_before_it_is_told() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let notes = Arc::clone(&person.notes);
    notes.keeps_ends_back.store(true, Ordering::SeqCst);
    let mut channel = person.handle.channel_open_session().await.unwrap();
    channel.exec(true, "hello").await.unwrap();
    let released = async {
        while notes.waits.lock().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        // What is on its way to the client arrives: everything here runs on one thread.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        notes.keeps_ends_back.store(false, Ordering::SeqCst);
        notes.waits.lock().unwrap().take().unwrap().wake();
    };
    let ended = async {
        while !matches!(channel.wait().await.unwrap(), ChannelMsg::ExitStatus { exit_status: 0 }) {}
        assert!(!notes.keeps_ends_back.load(Ordering::SeqCst), "told before it was recorded");
    };
    tokio::join!(released, ended);
}

#[tokio::test]
async fn an_end_is_told_on_every_channel_and_by_the_protocol() {
    let stage = Stage::new(PASSWORD).await;
    let (terminator, notes) = (stage.terminator, Arc::clone(&stage.notes));
    let config = Arc::new(russh::client::Config::default());
    let mut handle = russh::client::connect_stream(config, stage.client, Person).await.unwrap();
    assert!(handle.authenticate_none("whoever").await.unwrap().success());
    let mut channels = Vec::new();
    for _ in 0..3 {
        let mut channel = handle.channel_open_session().await.unwrap();
        channel.exec(true, "wait").await.unwrap();
        while !matches!(channel.wait().await.unwrap(), ChannelMsg::Data { .. }) {}
        channels.push(channel);
    }
    terminator.end(Fault::new("HOOP-4002", Blame::Policy, "an admin ended it"));
    for channel in channels {
        let (_, err, status) = heard(channel).await;
        assert!(err.contains("an admin ended it (HOOP-4002)") && status == Some(255), "{err}");
    }
    stage.running.await.unwrap();
    assert_eq!(notes.all().matches("HOOP-4002").count(), 3 + 1, "{}", notes.all());
}

//! Connections to the host: logged in with the connection's credential, each for one channel at a time.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hoop_engine::{
    Credential, Event,
    hosted::{Doing, Host, HostedLook, Keep},
};
use hoop_model::Fault;
use hoop_policy::Permit;
use hoop_recording::event::{Said, Terminal};
use russh::{
    AlgorithmKind, Channel, ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Limits, Preferred, Pty,
    Sig, cipher,
    client::{self, ChannelOpenHandle, Handle, Msg},
    keys::PublicKeyOrCertificate,
};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    fault,
    forward::{Back, BackKind, Display, Granted},
    locked,
    login::Login,
    place::Place,
    refusals::{NOT_GRANTED, Refusals, TOO_MANY},
    settings::HostSettings,
    stream::Stream,
    trust::name_of,
};

/// Longest handshake and log-in.
const LOGIN: Duration = Duration::from_secs(20);
/// Longest answer to a request on a channel.
const ANSWER: Duration = Duration::from_secs(20);
/// Log-ins of one stream at the same time: OpenSSH begins to drop clients at ten (`MaxStartups`).
const MOST_LOGGING_IN: usize = 4;
/// Connections kept for the next channel.
const MOST_IDLE: usize = 4;
/// Messages of a channel that may wait.
const WAITING: usize = 64;

/// What processors have instructions for comes first; the library's own order costs a third of a transfer more.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

/// What is to run on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Program {
    Shell,
    Command(Bytes),
    Subsystem(String),
}

/// A terminal as the client asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Screen {
    pub(crate) terminal: Terminal,
    pub(crate) pixels: (u32, u32),
    pub(crate) modes: Vec<(Pty, u32)>,
}

/// The connections of one stream.
pub(crate) struct Upstreams {
    settings: Arc<HostSettings>,
    login: Login,
    host: Host,
    config: Arc<client::Config>,
    idle: Mutex<Vec<Connection>>,
    /// Log-ins at a time: hosts drop clients that come with many.
    logging_in: Semaphore,
    /// What hosts open towards the client.
    opened: mpsc::Sender<Back>,
    /// What the host called itself last.
    version: Arc<Mutex<String>>,
}

/// A connection that is logged in.
pub(crate) struct Connection {
    handle: Handle<HostSide>,
    /// What the host may open on it.
    may_open: Arc<Mutex<MayOpen>>,
}

/// What was granted on it ends with it, however long its library takes to hang up.
impl Drop for Connection {
    fn drop(&mut self) {
        *self.may_open() = MayOpen::default();
    }
}

/// What a host may open on one connection.
#[derive(Debug, Default)]
struct MayOpen {
    /// What comes to this, as the client asked for it.
    from: Option<Place>,
    agent: bool,
    display: bool,
}

/// Longest version that a host says (RFC 4253 §4.2).
const VERSION: usize = 255;

/// Whether a host lets the connection's user in.
pub(crate) struct Look(pub(crate) Arc<HostSettings>);

impl HostedLook for Look {
    fn run(self: Box<Self>, host: Host, credential: Credential) -> Doing<Result<String, Fault>> {
        Box::pin(async move {
            let nobody = mpsc::channel(1).0;
            let settings = self.0;
            let login = Login::new(settings.kind, credential, &settings.certificates, None);
            let upstreams = Upstreams::new(settings, login, host, nobody);
            let connection = upstreams.take().await?;
            let version = locked(&upstreams.version).clone();
            drop(connection);
            Ok(version)
        })
    }
}

impl Upstreams {
    pub(crate) fn new(
        settings: Arc<HostSettings>,
        login: Login,
        host: Host,
        opened: mpsc::Sender<Back>,
    ) -> Self {
        let (config, version) = (Arc::new(config(&settings)), Arc::default());
        let (idle, logging_in) = (Mutex::default(), Semaphore::new(MOST_LOGGING_IN));
        Self { settings, login, host, config, idle, logging_in, opened, version }
    }

    pub(crate) fn facts(&self) -> [(&'static str, String); 2] {
        let address = &self.settings.address;
        [("host", format!("{}:{}", address.host, address.port)), ("user", self.login.user().to_owned())]
    }

    /// A connection that nobody uses, or a new one.
    pub(crate) async fn take(&self) -> Result<Connection, Fault> {
        loop {
            let idle = locked(&self.idle).pop();
            match idle {
                Some(connection) if connection.handle.is_closed() => {}
                Some(connection) => return Ok(connection),
                // In a box of its own: whoever may connect would hold the room for it for as long as a channel lives.
                None => return Box::pin(self.connect()).await,
            }
        }
    }

    /// Keeps a connection whose channel was closed in order. One on which the host may open something ends with its channel.
    pub(crate) fn give_back(&self, connection: Connection) {
        let mut idle = locked(&self.idle);
        if idle.len() < MOST_IDLE && !connection.handle.is_closed() && connection.opens_nothing() {
            idle.push(connection);
        }
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let _turn = self.logging_in.acquire().await.map_err(|_| fault::lost())?;
        let late = |_| fault::handshake(&format!("it did not let hoop in within {} s", LOGIN.as_secs()));
        tokio::time::timeout(LOGIN, self.log_in()).await.map_err(late)?
    }

    async fn log_in(&self) -> Result<Connection, Fault> {
        self.login.is_good()?;
        let stream = Stream(self.host.dial().await?);
        let judged = Arc::new(Mutex::new(None));
        let may_open = Arc::default();
        let side = HostSide {
            opened: self.opened.clone(),
            may_open: Arc::clone(&may_open),
            refusals: Refusals::default(),
            is_known: AtomicBool::new(false),
            settings: Arc::clone(&self.settings),
            host: self.host.clone(),
            judged: Arc::clone(&judged),
            version: Arc::clone(&self.version),
        };
        let connecting = client::connect_stream(Arc::clone(&self.config), stream, side).await;
        let judged = locked(&judged).take();
        let mut handle = match (connecting, judged) {
            (Ok(handle), Some(Ok(key))) => {
                self.tell(&key).await?;
                handle
            }
            (_, Some(Err(what))) if self.settings.trust.is_empty() => return Err(fault::no_host_key(&what)),
            (_, Some(Err(what))) => return Err(self.another_host(&what)),
            (Ok(_), None) => return Err(self.another_host("it showed none")),
            (Err(error), _) => return Err(self.explain(&error)),
        };
        self.login.at(&mut handle, self.host.now()).await?;
        Ok(Connection { handle, may_open })
    }

    /// Somebody else may stand in the host's place: nothing of this session goes on.
    fn another_host(&self, what: &str) -> Fault {
        let fault = fault::host_key(what);
        self.host.end_session(fault.clone());
        fault
    }

    async fn tell(&self, key: &str) -> Result<(), Fault> {
        let address = &self.settings.address;
        let text = format!(
            "connected to {}:{} as {}, host key {key}",
            address.host,
            address.port,
            self.login.user()
        );
        self.host.note(Event::Said { kind: Said::Notice, text: text.into() }, Keep::IfStrict).await
    }

    fn explain(&self, error: &russh::Error) -> Fault {
        match error {
            russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }
                if !self.settings.trust.is_empty() =>
            {
                self.another_host("it has no key of a kind that is pinned")
            }
            russh::Error::NoCommonAlgo { kind, .. } => {
                fault::handshake(&format!("it offers no {kind:?} algorithm that hoop uses"))
            }
            _ => fault::handshake("the handshake failed"),
        }
    }
}

fn config(settings: &HostSettings) -> client::Config {
    client::Config {
        client_id: russh::SshId::Standard("SSH-2.0-hoop".into()),
        limits: Limits::default(),
        maximum_packet_size: 32 << 10,
        channel_buffer_size: WAITING,
        preferred: Preferred {
            cipher: CIPHERS.into(),
            key: settings.trust.key_kinds().into(),
            host_key_certificates: settings.trust.certificate_kinds().into(),
            compression: vec![russh::compression::NONE].into(),
            ..Preferred::DEFAULT
        },
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(30)),
        keepalive_max: 3,
        ..client::Config::default()
    }
}

/// What the host must show, said back through `judged`: the library's errors tell it less.
pub(crate) struct HostSide {
    settings: Arc<HostSettings>,
    host: Host,
    judged: Arc<Mutex<Option<Result<String, String>>>>,
    version: Arc<Mutex<String>>,
    opened: mpsc::Sender<Back>,
    may_open: Arc<Mutex<MayOpen>>,
    refusals: Refusals,
    /// It has shown the right key once.
    is_known: AtomicBool,
}

impl HostSide {
    /// What the host opens, if it may and somebody takes it; else it is dropped, which refuses it.
    async fn take(
        &self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        name: &'static str,
        kind: impl FnOnce(&MayOpen) -> Option<BackKind>,
    ) -> Result<(), russh::Error> {
        let kind = kind(&locked(&self.may_open));
        let Some(kind) = kind else { return self.refused(name, NOT_GRANTED).await };
        match self.opened.try_send(Back { kind, channel, reply }) {
            Ok(()) => Ok(()),
            Err(_) => self.refused(name, TOO_MANY).await,
        }
    }

    /// The recording has what the host wanted in vain; where it is broken, the connection ends.
    async fn refused(&self, kind: &'static str, why: &'static str) -> Result<(), russh::Error> {
        let told = self.refusals.tell(&self.host, "the host", kind, why).await;
        told.map_err(|_| russh::Error::Disconnect)
    }

    fn judge(&self, shown: &PublicKeyOrCertificate) -> bool {
        let verdict = self.settings.trust.judge(shown, self.host.now());
        let good = verdict.is_ok();
        if let (Err(what), true) = (&verdict, self.is_known.load(Ordering::Relaxed)) {
            // At a new exchange of keys in the midst of a session.
            self.host.end_session(fault::host_key(what));
        }
        self.is_known.fetch_or(good, Ordering::Relaxed);
        let verdict = verdict.map(|()| name_of(&shown.public_key()));
        *locked(&self.judged) = Some(verdict);
        good
    }
}

/// Whatever else a host wants to open towards us is refused by dropping its `reply`.
impl client::Handler for HostSide {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(self.judge(shown))
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        _: &russh::Names,
        session: &mut client::Session,
    ) -> Result<(), russh::Error> {
        let version = String::from_utf8_lossy(session.remote_sshid());
        let version = version.chars().filter(|c| !c.is_control()).take(VERSION).collect();
        *locked(&self.version) = version;
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _: &str,
        port: u32,
        host: &str,
        from_port: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        // The host's own words for where somebody came to are not passed on.
        self.take(channel, reply, "forwarded-tcpip", |may| match &may.from {
            Some(to @ Place::Port(_, listens)) if u32::from(*listens) == port => {
                Some(BackKind::Came { to: to.clone(), from: Some((named(host), from_port)) })
            }
            _ => None,
        })
        .await
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.take(channel, reply, "forwarded-streamlocal", |may| match &may.from {
            Some(to @ Place::Socket(listens)) if listens == path => {
                Some(BackKind::Came { to: to.clone(), from: None })
            }
            _ => None,
        })
        .await
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.take(channel, reply, "auth-agent", |may| may.agent.then_some(BackKind::Agent)).await
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.refused("session", NOT_GRANTED).await
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.refused("direct-tcpip", NOT_GRANTED).await
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.refused("direct-streamlocal", NOT_GRANTED).await
    }

    async fn should_accept_unknown_server_channel(&mut self, _: ChannelId, _: &str) -> bool {
        // Where the recording is broken, what shows something next finds out.
        let _ = self.refused("of a kind that is not known", NOT_GRANTED).await;
        false
    }

    async fn server_channel_open_x11(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        reply: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        let from = (named(host), port);
        self.take(channel, reply, "x11", |may| may.display.then_some(BackKind::Display { from })).await
    }
}

impl Connection {
    /// Starts a program on the host: takes the proof that it may be.
    pub(crate) async fn start(
        &self,
        _: Permit,
        program: &Program,
        screen: Option<&Screen>,
        variables: &[(String, String)],
        granted: Granted,
    ) -> Result<AtHost, Fault> {
        in_time(self.start_now(program, screen, variables, granted)).await
    }

    /// Opens a connection from the host onward: takes the proof that it may be.
    pub(crate) async fn open(&self, _: Permit, place: &Place) -> Result<AtHost, Fault> {
        let opening = async {
            match place {
                Place::Port(host, port) => {
                    self.handle.channel_open_direct_tcpip(host, (*port).into(), "127.0.0.1", 0).await
                }
                Place::Socket(path) => self.handle.channel_open_direct_streamlocal(path).await,
            }
        };
        in_time(async { opening.await.map_err(|_| fault::refused(&format!("a connection to {place}"))) })
            .await
            .map(AtHost::from)
    }

    /// Has the host listen: takes the proof that it may. Answers with where, if it chose the port.
    pub(crate) async fn listen(&self, _: Permit, place: Place) -> Result<Place, Fault> {
        let refused = |_| fault::refused(&format!("to listen on {place}"));
        // Before it listens: somebody may come at once.
        self.may_open().from = Some(place.clone());
        match &place {
            Place::Socket(path) => {
                in_time(async { self.handle.streamlocal_forward(path).await.map_err(refused) }).await?;
                Ok(place)
            }
            Place::Port(host, port) => {
                let listening = self.handle.tcpip_forward(host, (*port).into());
                let chosen = in_time(async { listening.await.map_err(refused) }).await?;
                let port = if *port == 0 { u16::try_from(chosen).unwrap_or(0) } else { *port };
                let place = Place::Port(host.clone(), port);
                self.may_open().from = Some(place.clone());
                Ok(place)
            }
        }
    }

    fn may_open(&self) -> MutexGuard<'_, MayOpen> {
        locked(&self.may_open)
    }

    fn opens_nothing(&self) -> bool {
        matches!(&*self.may_open(), MayOpen { from: None, agent: false, display: false })
    }

    /// Lends the program the person's agent and display. Where the host does not take them, it runs without, as OpenSSH has it.
    async fn lend(&self, at_host: &mut AtHost, granted: Granted) -> Result<(), Fault> {
        if granted.agent.is_some() {
            self.may_open().agent = true;
            at_host.write.agent_forward(true).await.map_err(|_| fault::lost())?;
            self.may_open().agent = at_host.takes().await?;
        }
        if let Some((display, _)) = granted.display {
            let Display { single, protocol, cookie, screen } = display;
            self.may_open().display = true;
            let asked = at_host.write.request_x11(true, single, protocol, cookie, screen).await;
            asked.map_err(|_| fault::lost())?;
            self.may_open().display = at_host.takes().await?;
        }
        Ok(())
    }

    async fn start_now(
        &self,
        program: &Program,
        screen: Option<&Screen>,
        variables: &[(String, String)],
        granted: Granted,
    ) -> Result<AtHost, Fault> {
        let channel =
            self.handle.channel_open_session().await.map_err(|_| fault::refused("another channel"))?;
        let mut at_host = AtHost::from(channel);
        for (name, value) in variables {
            // A host that takes no such variable says nothing, as OpenSSH's client has it.
            at_host.write.set_env(false, name.as_str(), value.as_str()).await.map_err(|_| fault::lost())?;
        }
        if let Some(screen) = screen {
            let Screen { terminal, pixels, modes } = screen;
            let name = String::from_utf8_lossy(&terminal.name);
            at_host
                .write
                .request_pty(true, &name, terminal.columns, terminal.rows, pixels.0, pixels.1, modes)
                .await
                .map_err(|_| fault::lost())?;
            at_host.answer("a terminal").await?;
        }
        self.lend(&mut at_host, granted).await?;
        let (asked, what) = match program {
            Program::Shell => (at_host.write.request_shell(true).await, "a shell"),
            Program::Command(text) => (at_host.write.exec(true, text.to_vec()).await, "the command"),
            Program::Subsystem(name) => {
                (at_host.write.request_subsystem(true, name.as_str()).await, "the subsystem")
            }
        };
        asked.map_err(|_| fault::lost())?;
        at_host.answer(what).await?;
        Ok(at_host)
    }
}

/// Answers of a host do not come for ever.
async fn in_time<T>(asking: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(ANSWER, asking).await.map_err(|_| fault::refused("an answer for too long"))?
}

/// A name or an address that a host says, without what could be anything else.
fn named(host: &str) -> String {
    host.chars().filter(char::is_ascii_graphic).take(VERSION).collect()
}

/// A channel at the host: a program that runs there, or a connection.
pub(crate) struct AtHost {
    pub(crate) read: ChannelReadHalf,
    pub(crate) write: ChannelWriteHalf<Msg>,
}

impl From<Channel<Msg>> for AtHost {
    fn from(channel: Channel<Msg>) -> Self {
        let (read, write) = channel.split();
        Self { read, write }
    }
}

impl AtHost {
    async fn answer(&mut self, what: &str) -> Result<(), Fault> {
        if self.takes().await? { Ok(()) } else { Err(fault::refused(what)) }
    }

    /// Whether the host grants what was asked last.
    async fn takes(&mut self) -> Result<bool, Fault> {
        loop {
            match self.read.wait().await {
                Some(ChannelMsg::Success) => return Ok(true),
                Some(ChannelMsg::Failure) => return Ok(false),
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                Some(ChannelMsg::Close) | None => return Err(fault::lost()),
                Some(_) => {}
            }
        }
    }
}

/// A signal's name, as recordings have it.
pub(crate) fn signal_name(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.chars().filter(|c| c.is_ascii_graphic()).take(32).collect(),
        known => format!("{known:?}"),
    }
}

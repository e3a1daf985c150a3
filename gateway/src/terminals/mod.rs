//! Terminals in the browser, for people without a command line: a session that is opened, recorded and ended as any other, whose
//! connector is in this process.
//!
//! ```text
//! browser ⇄ WebSocket ⇄ [this] ⇄ client of SSH, or of exec ⇄ resumable stream ⇄ inner TLS ⇄ relay ⇄ agent ⇄ host or cluster
//! ```
//! So the gateway reads what is typed and shown, here and nowhere else. A rule forbids that with `end_to_end_only`; the ledger
//! says of each session whether it was so. Nothing is kept: who does not read stops the shell, a shell that does not read stops
//! who types.

mod carrier;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use hoop_api::{
    sessions::{OpenSession, SessionOpened},
    terminals::{BrowserSays, OpenTerminal, PodPlace, TerminalSays},
};
use hoop_model::{Blame, Fault, SessionId};
use hoop_store::SessionState;
use hoop_terminal::{Keys, Pod, Said, ShellError, Shown, Size};
use hoop_tunnel::{
    core::Limits,
    stream::{Backoff, Connector, Sharing},
    ticket::{SessionSecret, TicketMint},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::Notify,
    time::{interval, sleep, timeout},
};

use self::carrier::{InProcess, Key};
use crate::{
    http::{
        caller::Caller,
        problem::{Answer, Problematic},
        tokens,
    },
    hub::{Shared, now},
    live::Live,
    sessions::{self, Opening, definition_of},
};

/// Longest message of a browser.
pub(crate) const LONGEST: usize = 64 << 10;
/// So much may be on the way to a browser that did not draw it yet.
const AHEAD: u64 = 1 << 20;
/// For the first message.
const FIRST: Duration = Duration::from_secs(10);
/// How often it is looked whether the person is still signed in.
const LOOK: Duration = Duration::from_millis(1_000);
/// Proxies close what is silent, and who went away is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// For the last words.
const FAREWELL: Duration = Duration::from_secs(1);
/// The status of a shell that did not end by itself.
const BROKEN: u32 = 255;
/// While somebody types, their sign-in is in use: noted so often.
const TOUCH: Duration = Duration::from_secs(60);

type ToBrowser = SplitSink<WebSocket, Message>;
type FromBrowser = SplitStream<WebSocket>;

/// A terminal from its first message to its end, whoever ends it.
pub(crate) async fn serve(hub: Shared, caller: Caller, address: IpAddr, socket: WebSocket) {
    let (mut to, mut from) = socket.split();
    let last = tokio::select! {
        biased;
        () = hub.stopping.cancelled() => failed(stopping().into()),
        last = run(&hub, &caller, address, &mut to, &mut from) => last,
    };
    let farewell = async {
        say(&mut to, &last).await;
        let _ = to.close().await;
    };
    let _ = timeout(FAREWELL, farewell).await;
}

async fn run(
    hub: &Shared,
    caller: &Caller,
    address: IpAddr,
    to: &mut ToBrowser,
    from: &mut FromBrowser,
) -> TerminalSays {
    let asked = match first(caller, from).await {
        Ok(asked) => asked,
        Err(problem) => return failed(problem),
    };
    let size = Size::new(asked.columns, asked.rows);
    let opened = match Terminal::open(hub, caller, address, asked).await {
        Ok(opened) => opened,
        Err(problem) => return failed(problem),
    };
    let last = opened.run(size, to, from).await;
    opened.held.let_go().await;
    last
}

/// The first message, from the console's own page.
async fn first(caller: &Caller, from: &mut FromBrowser) -> Answer<OpenTerminal> {
    let message = timeout(FIRST, from.next()).await.ok().flatten().and_then(Result::ok);
    let Some(Message::Text(text)) = message else { return Err(not_understood().into()) };
    let asked: OpenTerminal = read(&text)?;
    if !caller.csrf.as_deref().is_some_and(|own| tokens::same(&asked.csrf, own)) {
        metrics::counter!("hoop_http_refused_total", "reason" => "csrf").increment(1);
        return Err(
            Problematic::forbidden("HOOP-3030", "the CSRF token is missing or wrong").hint("reload the page")
        );
    }
    Ok(asked)
}

/// An open session, and the way to its agent.
struct Terminal {
    hub: Shared,
    caller: Caller,
    opened: SessionOpened,
    live: Arc<Live>,
    streams: Connector<InProcess>,
    secret: SessionSecret,
    /// Where, if it is a cluster.
    pod: Option<Pod>,
    held: Held,
}

/// What the halves of a terminal know of each other.
#[derive(Default)]
struct Pace {
    /// Something was typed since somebody looked.
    typed: AtomicBool,
    /// Bytes that the browser has drawn.
    drawn: AtomicU64,
    drew: Notify,
}

/// Why it ends.
enum End {
    /// The browser went away, or closed it.
    Left,
    Exit(Option<u32>),
    Cut,
    Fault(Fault),
    /// The cluster ended it.
    Stopped(Fault),
}

impl Terminal {
    async fn open(hub: &Shared, caller: &Caller, address: IpAddr, asked: OpenTerminal) -> Answer<Self> {
        has_shell(hub, &asked).await?;
        let pod = asked.pod.map(|PodPlace { namespace, name, container }| Pod { namespace, name, container });
        let key = Key::generate()?;
        let request = OpenSession {
            connection: asked.connection,
            csr_pem: key.request()?,
            reason: asked.reason,
            statement: None,
        };
        let opening = Opening {
            caller: caller.signed_in.clone(),
            actor: caller.actor.clone(),
            address,
            request,
            end_to_end: false,
        };
        let opened = Box::pin(sessions::open(hub, opening)).await?;
        // Whatever becomes of the rest: a session that nobody holds is not left behind.
        let held = Held { hub: hub.clone(), caller: caller.clone(), id: opened.id };
        let live = hub.live.find(opened.id).ok_or_else(|| Problematic::from(over()))?;
        let secret = secret(&opened.secret)?;
        let dial = InProcess::new(hub, caller.actor.clone(), key, &opened)?;
        let tickets = TicketMint::new(opened.id, secret.clone(), opened.first_ticket);
        let streams = Connector::new(dial, tickets, Limits::default(), Backoff::default(), Sharing::Never);
        let (hub, caller) = (hub.clone(), caller.clone());
        Ok(Self { hub, caller, opened, live, streams, secret, pod, held })
    }

    /// Until it is over; answers the last words.
    async fn run(&self, size: Size, to: &mut ToBrowser, from: &mut FromBrowser) -> TerminalSays {
        let pace = Pace::default();
        let end = tokio::select! {
            biased;
            () = self.live.cut.cancelled() => End::Cut,
            () = self.until_signed_out(&pace) => End::Fault(signed_out()),
            end = self.carry(size, &pace, to, from) => end,
        };
        self.last_words(end).await
    }

    async fn carry(&self, size: Size, pace: &Pace, to: &mut ToBrowser, from: &mut FromBrowser) -> End {
        let person = self.caller.signed_in.user.name.as_str();
        let stream = match self.streams.open().await {
            Ok(stream) => stream,
            Err(failure) => {
                tracing::debug!(%failure, session.id = %self.opened.id, "no stream for a terminal");
                return End::Fault(no_shell("its agent cannot be reached just now"));
            }
        };
        let shell = match &self.pod {
            Some(pod) => hoop_terminal::open_in_pod(stream, pod, size).await,
            None => hoop_terminal::open(stream, &self.secret.stream_key(), person, size).await,
        };
        let (mut keys, mut shown) = match shell {
            Ok(shell) => shell,
            Err(ShellError::Ended | ShellError::Lost) => return End::Exit(None),
            Err(ShellError::NotInPod(refusal)) => return End::Fault(not_in_pod(&refusal.to_string())),
            Err(error) => return End::Fault(no_shell(&error.to_string())),
        };
        let says = TerminalSays::Opened { session: self.opened.id, ends_at: self.opened.ends_at };
        if !say(to, &says).await {
            return End::Left;
        }
        let end = tokio::select! {
            biased;
            end = show(&mut shown, pace, to) => end,
            end = type_in(from, &mut keys, pace) => end,
        };
        keys.close().await;
        end
    }

    /// Looks whether the sign-in still is; typing keeps it in use.
    async fn until_signed_out(&self, pace: &Pace) {
        let (login, user) = (self.caller.signed_in.login.id, self.caller.signed_in.user.id);
        let mut touched = now();
        loop {
            sleep(LOOK).await;
            let at = now();
            let (login, user) = match (self.hub.store.login(login).await, self.hub.store.user(user).await) {
                (Ok(Some(login)), Ok(Some(user))) => (login, user),
                _ => return,
            };
            if !login.is_good(at) || user.locked {
                return;
            }
            if at.since(touched) >= TOUCH && pace.typed.swap(false, Ordering::Relaxed) {
                let until = at.after(self.hub.config.tokens.cookie_idle);
                if self.hub.store.touch_login(login.id, at, until).await.is_err() {
                    return;
                }
                touched = at;
            }
        }
    }

    /// An end that somebody made has its reason in the store.
    async fn last_words(&self, end: End) -> TerminalSays {
        let fault = match end {
            End::Fault(fault) => {
                let ended = sessions::end_by_system(&self.hub, self.opened.id, &fault).await;
                log(ended, self.opened.id);
                fault
            }
            End::Left => return TerminalSays::Ended { exit: None },
            End::Cut => self.end_reason().await.unwrap_or_else(over),
            End::Stopped(fault) => self.why_exit(None).await.unwrap_or(fault),
            End::Exit(exit) => match self.why_exit(exit).await {
                Some(fault) => fault,
                None if exit.is_some() => return TerminalSays::Ended { exit },
                None => no_shell("the host closed the connection"),
            },
        };
        failed(fault.into())
    }

    /// An agent that ends a session ends its shells first, as if broken, and then says why.
    async fn why_exit(&self, exit: Option<u32>) -> Option<Fault> {
        let told = async {
            loop {
                match self.end_reason().await {
                    None if exit.is_none_or(|status| status == BROKEN) => sleep(LOOK / 10).await,
                    reason => return reason,
                }
            }
        };
        timeout(FAREWELL, told).await.unwrap_or_default()
    }

    /// Why somebody ended the session, if somebody did.
    async fn end_reason(&self) -> Option<Fault> {
        let session = self.hub.store.session(self.opened.id).await.ok().flatten()?;
        let goes_on = matches!(session.state, SessionState::Opening | SessionState::Live);
        (!goes_on).then(|| session.end_reason.map_or_else(over, ended))
    }
}

/// What the shell shows, to the browser.
async fn show(shown: &mut Shown, pace: &Pace, to: &mut ToBrowser) -> End {
    let (mut exit, mut sent, mut signs) = (None, 0_u64, interval(SIGN_OF_LIFE));
    loop {
        let ahead = sent.saturating_sub(pace.drawn.load(Ordering::Acquire)) > AHEAD;
        let message = tokio::select! {
            biased;
            () = pace.drew.notified(), if ahead => continue,
            said = shown.next(), if !ahead => match said {
                Some(Said::Shown(data)) => {
                    sent = sent.saturating_add(data.len() as u64);
                    Message::Binary(data)
                }
                Some(Said::Exit(status)) => {
                    exit = Some(status);
                    continue;
                }
                Some(Said::Stopped(refusal)) => return End::Stopped(not_in_pod(&refusal.to_string())),
                None => return End::Exit(exit),
            },
            _ = signs.tick() => Message::Ping(bytes::Bytes::new()),
        };
        if to.send(message).await.is_err() {
            return End::Left;
        }
    }
}

/// What the browser says, to the shell.
async fn type_in(from: &mut FromBrowser, keys: &mut Keys, pace: &Pace) -> End {
    loop {
        let pressed = match from.next().await {
            Some(Ok(Message::Binary(data))) => {
                pace.typed.store(true, Ordering::Relaxed);
                keys.press(data).await
            }
            Some(Ok(Message::Text(text))) => match read(&text) {
                Ok(BrowserSays::Resize { columns, rows }) => keys.resize(Size::new(columns, rows)).await,
                Ok(BrowserSays::Drawn { bytes }) => {
                    pace.drawn.store(bytes, Ordering::Release);
                    pace.drew.notify_one();
                    Ok(())
                }
                Err(_) => return End::Fault(not_understood()),
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_))) | None => return End::Left,
            // Larger than a message may be, or none at all.
            Some(Err(_)) => return End::Fault(not_understood()),
        };
        if pressed.is_err() {
            // The other half says why.
            return std::future::pending().await;
        }
    }
}

/// The session of a terminal: dropped, it is over.
struct Held {
    hub: Shared,
    caller: Caller,
    id: SessionId,
}

impl Held {
    async fn let_go(self) {
        let fault = Fault::new("HOOP-4000", Blame::Caller, "the person closed it");
        let (actor, code) = (&self.caller.actor, fault.code.as_str());
        log(sessions::end_as(&self.hub, self.id, actor, &fault.message, code, Some(&fault)).await, self.id);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(live) = self.hub.live.find(self.id) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let hub = self.hub.clone();
        self.hub.tasks.spawn_on(
            async move { log(sessions::end_by_system(&hub, live.id, &stopping()).await, live.id) },
            &runtime,
        );
    }
}

fn log(ended: Result<bool, hoop_store::StoreError>, id: SessionId) {
    if let Err(error) = ended {
        tracing::error!(%error, session.id = %id, "the session of a terminal cannot be ended");
    }
}

/// Nothing else has a shell, and those of clusters are in pods. What the person may not see is left to be refused as what is not there.
async fn has_shell(hub: &Shared, asked: &OpenTerminal) -> Answer<()> {
    let Some(connection) = hub.store.connection_by_name(&asked.connection).await? else { return Ok(()) };
    let protocol = definition_of(&connection)?.protocol;
    if !protocol.is_reached_by_ssh() && !protocol.is_cluster() {
        let fault = Fault::new(
            "HOOP-4241",
            Blame::Caller,
            "only hosts, agents' own machines and pods have terminals",
        );
        return Err(fault.with_hint("`hoop connect NAME` opens the others").into());
    }
    if protocol.is_cluster() == asked.pod.is_some() { Ok(()) } else { Err(not_understood().into()) }
}

async fn say(to: &mut ToBrowser, says: &TerminalSays) -> bool {
    let Ok(text) = serde_json::to_string(says) else { return false };
    to.send(Message::Text(text.into())).await.is_ok()
}

fn read<T: DeserializeOwned>(text: &str) -> Answer<T> {
    serde_json::from_str(text).map_err(|_| not_understood().into())
}

fn secret(text: &str) -> Answer<SessionSecret> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.map(SessionSecret::from_bytes).ok_or_else(|| Problematic::internal("a session's secret"))
}

fn failed(problem: Problematic) -> TerminalSays {
    TerminalSays::Failed { problem: problem.into_problem() }
}

fn no_shell(why: &str) -> Fault {
    Fault::new("HOOP-4246", Blame::Network, format!("there is no shell: {why}"))
        .with_hint("try again; the session's recording and the agent's log say more")
}

/// The cluster's words, or those of the rule before it.
fn not_in_pod(why: &str) -> Fault {
    Fault::new("HOOP-7090", Blame::Target, format!("there is no shell in that pod: {why}"))
        .with_hint("look at namespace, pod and container; what you may do in the cluster, its admins decide")
}

fn not_understood() -> Fault {
    Fault::new("HOOP-4242", Blame::Caller, "what the browser sent is not understood, or too long")
        .with_hint("reload the page")
}

fn signed_out() -> Fault {
    Fault::new("HOOP-4243", Blame::Policy, "the sign-in that opened this terminal has ended")
        .with_hint("sign in again")
}

fn stopping() -> Fault {
    Fault::new("HOOP-4244", Blame::System, "the gateway is being stopped").with_hint("open it again")
}

fn over() -> Fault {
    ended("it was ended".to_owned())
}

fn ended(reason: String) -> Fault {
    Fault::new("HOOP-4245", Blame::Policy, format!("the session is over: {reason}"))
}

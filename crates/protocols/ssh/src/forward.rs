//! What is forwarded: connections onward from the host (`-L`, `-D`, `-W`), back from it (`-R`), and what programs there open
//! towards the person's authentication agent or display.
//!
//! Whatever it is, policy is asked for each connection, and the recording has the request before anything is opened. Where it
//! leads or comes from must be registered in the connection's settings besides. Its bytes are counted; the recording keeps those
//! that `recording.forward_bytes` asks for.
//!
//! A port of the host that is listened on has a connection to the host of its own, and so has a program that was given the
//! agent or the display: what a host may open on a connection is what was granted for that one.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hoop_engine::{
    Channel as Wanted, Event, Question, RequestId,
    hosted::{Keep, Refused},
};
use hoop_model::Fault;
use hoop_policy::{Forwarding, Permit};
use hoop_recording::event::{Direction, Form};
use russh::{
    Channel, ChannelId, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf,
    client::{ChannelOpenHandle as HostReply, Msg as HostMsg},
    server::{ChannelOpenHandle, Handle, Msg},
};

use crate::{
    backlog::FromClient,
    course,
    engine::Shared,
    fault, locked,
    place::{Place, Registered},
    tally::Tally,
    upstream::{AtHost, Connection},
};

/// Ports and sockets of the host that one stream may listen on.
const MOST_LISTENING: usize = 16;
/// Longest text of what somebody wants forwarded, characters.
const LONGEST: usize = 1000;
/// Longest name of a display's protocol, and cookie; that of MIT-MAGIC-COOKIE-1 has 32 characters.
const LONGEST_COOKIE: usize = 256;
/// Longest that a client may take to open what it asked for.
const ANSWER: Duration = Duration::from_secs(20);
/// Longest until a host listens, its log-in among it: meanwhile the client's whole connection waits.
const LISTEN: Duration = Duration::from_secs(15);
/// Longest that a host may take to close what the client closed, for its connection to be used again.
const LAST_CLOSE: Duration = Duration::from_secs(1);

/// A display, as a client offers it.
pub(crate) struct Display {
    pub(crate) single: bool,
    pub(crate) protocol: String,
    /// Lets in whoever has it: into the client alone, which has its own for the display.
    pub(crate) cookie: String,
    pub(crate) screen: u32,
}

/// What a program on the host may open towards the person.
#[derive(Default)]
pub(crate) struct Granted {
    pub(crate) agent: Option<Permit>,
    pub(crate) display: Option<(Display, Permit)>,
}

/// The forwards of a stream that outlast one connection.
#[derive(Default)]
pub(crate) struct Forwards {
    listening: Mutex<Vec<(Place, Connection)>>,
    granted: Mutex<HashMap<ChannelId, Granted>>,
}

impl Forwards {
    /// What was granted to a channel whose program is about to start.
    pub(crate) fn granted(&self, channel: ChannelId) -> Granted {
        locked(&self.granted).remove(&channel).unwrap_or_default()
    }

    /// From now on something may be granted to this channel, whose program has not started.
    pub(crate) fn expect(&self, channel: ChannelId) {
        locked(&self.granted).insert(channel, Granted::default());
    }

    /// Whether it was granted: only to a channel that waits for its program.
    fn grant(&self, channel: ChannelId, grant: impl FnOnce(&mut Granted)) -> bool {
        locked(&self.granted).get_mut(&channel).map(grant).is_some()
    }

    fn listening(&self) -> MutexGuard<'_, Vec<(Place, Connection)>> {
        locked(&self.listening)
    }
}

/// What a host opens on a connection.
pub(crate) struct Back {
    pub(crate) kind: BackKind,
    pub(crate) channel: Channel<HostMsg>,
    pub(crate) reply: HostReply,
}

/// What for.
pub(crate) enum BackKind {
    /// Somebody came to a port or a socket that is listened on: which, and from where.
    Came {
        to: Place,
        from: Option<(String, u32)>,
    },
    Agent,
    Display {
        from: (String, u32),
    },
}

impl BackKind {
    const fn way(&self) -> Forwarding {
        match self {
            Self::Came { .. } => Forwarding::Remote,
            Self::Agent => Forwarding::Agent,
            Self::Display { .. } => Forwarding::X11,
        }
    }

    /// What the protocol calls such a channel.
    pub(crate) const fn channel(&self) -> &'static str {
        match self {
            Self::Came { to: Place::Port(..), .. } => "forwarded-tcpip",
            Self::Came { to: Place::Socket(_), .. } => "forwarded-streamlocal",
            Self::Agent => "auth-agent",
            Self::Display { .. } => "x11",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Came { to, from: Some((host, port)) } => format!("{host}:{port} came to {to}"),
            Self::Came { to, from: None } => format!("somebody came to {to}"),
            Self::Agent => "a program on the host came to the client's authentication agent".to_owned(),
            Self::Display { from: (host, port) } => format!("{host}:{port} came to the client's display"),
        }
    }
}

/// Why there is no forward. The recording says it.
struct NotForwarded;

/// Asks policy, then the settings. Both the request and a refusal are recorded.
async fn ask(
    shared: &Shared,
    id: RequestId,
    way: Forwarding,
    text: String,
    is_registered: bool,
) -> Result<Permit, NotForwarded> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let question = Question::Channel(Wanted::Forward(way));
    let never = shared.upstream.hosts().err();
    match shared.course.host.ask(id, Form::Forward, Bytes::from(text), &question).await {
        Ok(permit) if is_registered && never.is_none() => Ok(permit),
        Ok(_) => {
            let why = never.unwrap_or_else(fault::not_registered);
            let code = why.code.to_string();
            note(shared, Event::Denied { id, code, message: why.message }, Keep::First).await;
            Err(NotForwarded)
        }
        Err(Refused::Denied(_)) => Err(NotForwarded),
        Err(Refused::Over(fault)) => {
            shared.course.break_off(fault);
            Err(NotForwarded)
        }
    }
}

async fn note(shared: &Shared, event: Event, keep: Keep) {
    if let Err(fault) = shared.course.host.note(event, keep).await {
        shared.course.break_off(fault);
    }
}

/// It was permitted, and came to nothing.
async fn failed(shared: &Shared, id: RequestId, fault: &Fault) {
    note(shared, course::failed(id, fault, 0), Keep::IfStrict).await;
}

fn is_registered(known: &[Registered], place: Option<&Place>) -> bool {
    place.is_some_and(|place| known.iter().any(|known| known.is(place)))
}

/// Opens a connection onward, and carries it to its end. `asked` says in words what the client wants; `place` is where that is,
/// if it is anywhere.
pub(crate) async fn onward(
    shared: &Shared,
    (asked, place): (String, Option<Place>),
    channel: Channel<Msg>,
    reply: ChannelOpenHandle,
) {
    let id = shared.course.next();
    let known = is_registered(&shared.settings.forward_to, place.as_ref());
    let (Ok(permit), Some(place)) = (ask(shared, id, Forwarding::Local, asked, known).await, place) else {
        return reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
    };
    let opening = async {
        let connection = shared.upstream.hosts()?.take().await?;
        let at_host = connection.open(permit, &place).await?;
        Ok((connection, at_host))
    };
    match opening.await {
        Ok((connection, at_host)) => {
            reply.accept().await;
            if carry(shared, id, channel, at_host).await
                && let Ok(hosts) = shared.upstream.hosts()
            {
                hosts.give_back(connection);
            }
        }
        Err(fault) => {
            failed(shared, id, &fault).await;
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
    }
}

/// Has the host listen. Answers with the port, where it is one.
pub(crate) async fn listen(shared: &Shared, asked: String, place: Option<Place>) -> Option<u16> {
    let id = shared.course.next();
    let known = is_registered(&shared.settings.forward_from, place.as_ref());
    let permit = ask(shared, id, Forwarding::Remote, asked, known).await.ok()?;
    let listening = async {
        if shared.forwards.listening().len() >= MOST_LISTENING {
            return Err(fault::client("wants the host to listen on too many ports"));
        }
        let connection = shared.upstream.hosts()?.take().await?;
        let place = connection.listen(permit, place.ok_or_else(fault::not_registered)?).await?;
        Ok((place, connection))
    };
    let late = |_| fault::refused("to listen in time");
    match tokio::time::timeout(LISTEN, listening).await.unwrap_or_else(|over| Err(late(over))) {
        Ok((place, connection)) => {
            let port = if let Place::Port(_, port) = &place { *port } else { 0 };
            let tag = format!("the host listens on {place}").into();
            shared.forwards.listening().push((place, connection));
            note(shared, Event::Completed { id, tag, rows: 0, bytes: 0, duration_us: 0 }, Keep::IfStrict)
                .await;
            Some(port)
        }
        Err(fault) => {
            failed(shared, id, &fault).await;
            None
        }
    }
}

/// The host is to listen no more: the connection that it did so on ends.
pub(crate) fn listen_no_more(shared: &Shared, place: Option<&Place>) -> bool {
    let mut listening = shared.forwards.listening();
    let before = listening.len();
    listening.retain(|(known, _)| place != Some(known));
    listening.len() < before
}

/// A program that is about to start may open the person's agent.
pub(crate) async fn lend_agent(shared: &Shared, channel: ChannelId) -> bool {
    let asked = "the client's authentication agent".to_owned();
    let permit = ask(shared, shared.course.next(), Forwarding::Agent, asked, true).await;
    permit.is_ok_and(|permit| shared.forwards.grant(channel, |granted| granted.agent = Some(permit)))
}

/// The same of their display.
pub(crate) async fn lend_display(shared: &Shared, channel: ChannelId, display: Display) -> bool {
    let fits = display.protocol.len().max(display.cookie.len()) <= LONGEST_COOKIE;
    let permit =
        ask(shared, shared.course.next(), Forwarding::X11, "the client's display".to_owned(), fits).await;
    permit.is_ok_and(|permit| {
        shared.forwards.grant(channel, |granted| granted.display = Some((display, permit)))
    })
}

/// Opens to the client what the host opened to us, and carries it to its end.
pub(crate) async fn back(shared: &Shared, client: &Handle, back: Back) {
    let Back { kind, channel, reply } = back;
    let id = shared.course.next();
    if ask(shared, id, kind.way(), kind.text(), true).await.is_err() {
        return reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
    }
    let opened = tokio::time::timeout(ANSWER, open_at_client(client, kind)).await;
    match opened {
        Ok(Ok(at_client)) => {
            reply.accept().await;
            carry(shared, id, at_client, channel.into()).await;
        }
        Ok(Err(_)) | Err(_) => {
            failed(shared, id, &fault::client("takes no connection that it asked for")).await;
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
        }
    }
}

async fn open_at_client(client: &Handle, kind: BackKind) -> Result<Channel<Msg>, russh::Error> {
    match kind {
        BackKind::Came { to: Place::Port(host, port), from } => {
            let (from, from_port) = from.unwrap_or_default();
            client.channel_open_forwarded_tcpip(host, port.into(), from, from_port).await
        }
        BackKind::Came { to: Place::Socket(path), .. } => {
            client.channel_open_forwarded_streamlocal(path).await
        }
        BackKind::Agent => client.channel_open_agent().await,
        BackKind::Display { from: (host, port) } => client.channel_open_x11(host, port).await,
    }
}

/// One forwarded connection.
struct Carried<'a> {
    shared: &'a Shared,
    tally: Tally,
    /// Bytes away from the client.
    onward: AtomicU64,
}

/// Moves bytes both ways until either side closes. Whether the connection to the host can be used for another channel.
async fn carry(shared: &Shared, id: RequestId, at_client: Channel<Msg>, at_host: AtHost) -> bool {
    let began = shared.course.host.now();
    let tally = Tally::new(id, Some(shared.settings.forward_bytes));
    let carried = Carried { shared, tally, onward: AtomicU64::new(0) };
    let number = at_client.id().into();
    let (from_client, to_client) = at_client.split();
    let mut from_client = FromClient::new(number, from_client, &shared.backlog);
    let too_much = from_client.over();
    let AtHost { read: mut from_host, write: to_host } = at_host;
    let moved = tokio::select! {
        biased;
        fault = shared.course.ended() => Err(fault),
        () = too_much.cancelled() => Err(fault::unread()),
        () = shared.gone.cancelled() => Ok(()),
        moved = carried.back(&mut from_host, &to_client) => moved,
        moved = carried.onward(&mut from_client, &to_host) => moved,
    };
    // Who takes nothing does not keep the end from being told.
    let closing = async { tokio::join!(to_host.close(), to_client.close()) };
    let _ = tokio::time::timeout(LAST_CLOSE, closing).await;
    let (onward, total) = (carried.onward.load(Ordering::Relaxed), carried.tally.total());
    let duration_us = shared.course.micros(began);
    let event = match &moved {
        Ok(()) => {
            let tag = format!("{onward} bytes onward, {} back", total - onward).into();
            Event::Completed { id, tag, rows: 0, bytes: total, duration_us }
        }
        Err(fault) => course::failed(id, fault, duration_us),
    };
    note(shared, event, Keep::IfStrict).await;
    if let Err(fault) = moved {
        if fault::ends_stream(&fault) {
            shared.course.break_off(fault);
        }
        return false;
    }
    let closed = async {
        while from_host.wait().await.is_some_and(|message| !matches!(message, ChannelMsg::Close)) {}
    };
    tokio::time::timeout(LAST_CLOSE, closed).await.is_ok()
}

impl Carried<'_> {
    async fn onward(&self, from: &mut FromClient, to: &ChannelWriteHalf<HostMsg>) -> Result<(), Fault> {
        while let Some(message) = from.wait().await {
            let moved = match message {
                ChannelMsg::Data { data } => {
                    self.shared.course.host.touch();
                    self.onward.fetch_add(data.len() as u64, Ordering::Relaxed);
                    if let Some(event) = self.tally.take(Direction::In, &data).event() {
                        self.shared.course.host.note(event, Keep::IfStrict).await?;
                    }
                    to.data_bytes(data).await
                }
                ChannelMsg::Eof => to.eof().await,
                ChannelMsg::Close => break,
                _ => Ok(()),
            };
            if moved.is_err() {
                // The other way sees why.
                std::future::pending::<()>().await;
            }
        }
        Ok(())
    }

    async fn back(&self, from: &mut ChannelReadHalf, to: &ChannelWriteHalf<Msg>) -> Result<(), Fault> {
        loop {
            // A client that is gone closes its channel; the other way sees that.
            let _ = match from.wait().await {
                Some(ChannelMsg::Data { data }) => {
                    let event = self.tally.take(Direction::Out, &data).event();
                    let shown = self.shared.course.host.show(data, event).await?;
                    to.data_bytes(shown.into_bytes()).await
                }
                Some(ChannelMsg::Eof) => to.eof().await,
                Some(ChannelMsg::Close) => return Ok(()),
                Some(_) => Ok(()),
                None => return Err(fault::lost()),
            };
        }
    }
}

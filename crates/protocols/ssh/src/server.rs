//! What the client's library asks of us. Answers at once, or hands over to a task of the channel's own: whatever waits here holds
//! up the whole connection.

use std::sync::Arc;

use hoop_engine::{Event, hosted::Keep};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Pty,
    server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, Session},
};

use crate::{
    channel,
    engine::{Seat, Shared},
    forward::{self, Display},
    place::Place,
    refusals::{NOT_GRANTED, TOO_MANY},
};

/// The server's side of a client's connection.
pub(crate) struct ClientSide {
    shared: Arc<Shared>,
    /// The name under which the client came. It says nothing: who they are was proven before.
    name: String,
}

type Answer<T = ()> = Result<T, russh::Error>;

impl ClientSide {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, name: String::new() }
    }

    async fn open_session(&self, channel: Channel<Msg>, reply: ChannelOpenHandle, handle: Handle) {
        let Some(seat) = self.seat("session").await else {
            return reply.reject(ChannelOpenFailure::ResourceShortage).await;
        };
        self.shared.course.spawn(async move {
            seat.0.forwards.expect(channel.id());
            reply.accept().await;
            channel::serve(&seat.0, channel, handle).await;
        });
    }

    /// Somebody wants to be connected to `place`, which `asked` says in words.
    async fn open_onward(
        &self,
        kind: &'static str,
        (asked, place): (String, Option<Place>),
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
    ) {
        let Some(seat) = self.seat(kind).await else {
            return reply.reject(ChannelOpenFailure::ResourceShortage).await;
        };
        self.shared.course.spawn(async move {
            forward::onward(&seat.0, (asked, place), channel, reply).await;
        });
    }

    /// Room for one more channel, or the recording has that there was none.
    async fn seat(&self, kind: &'static str) -> Option<Seat> {
        let seat = Seat::take(&self.shared);
        if seat.is_none() {
            self.shared.refused("the client", kind, TOO_MANY).await;
        }
        seat
    }

    /// What a client has no reason to open.
    async fn refuse(&self, kind: &'static str, reply: ChannelOpenHandle) {
        self.shared.refused("the client", kind, NOT_GRANTED).await;
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
    }
}

impl Handler for ClientSide {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Answer<Auth> {
        self.name = user.chars().filter(|c| !c.is_control()).take(100).collect();
        Ok(Auth::Accept)
    }

    /// The recording is begun before anything can be asked.
    async fn auth_succeeded(&mut self, session: &mut Session) -> Answer {
        let client = String::from_utf8_lossy(session.remote_sshid()).chars().take(200).collect::<String>();
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let [place, user] = self.shared.upstream.facts().map(|(name, value)| fact(name, value));
        let facts = vec![
            fact("person", self.shared.person.clone()),
            place,
            user,
            fact("asked_for_user", self.name.clone()),
            fact("client", client),
        ];
        match self.shared.course.host.note(Event::Opened { facts }, Keep::First).await {
            Ok(()) => {
                self.shared.let_in.notify_one();
                Ok(())
            }
            Err(fault) => {
                self.shared.course.break_off(fault);
                Err(russh::Error::Disconnect)
            }
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Answer {
        self.open_session(channel, reply, session.handle()).await;
        Ok(())
    }

    /// Only a host has programs that open a display; a client has none.
    async fn channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        self.refuse("x11", reply).await;
        Ok(())
    }

    /// The same of what came to a port.
    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        self.refuse("forwarded-tcpip", reply).await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        let asked = format!("direct-tcpip to {host}:{port}");
        self.open_onward("direct-tcpip", (asked, Place::port(host, port)), channel, reply).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        let asked = format!("direct-streamlocal to {path}");
        self.open_onward("direct-streamlocal", (asked, Place::socket(path)), channel, reply).await;
        Ok(())
    }

    /// The library sends the answer when this is done: so long the connection waits, and the listening has a limit.
    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, _: &mut Session) -> Answer<bool> {
        let asked = format!("tcpip-forward of {address}:{port}");
        let listens = forward::listen(&self.shared, asked, Place::port(address, *port)).await;
        *port = listens.map_or(*port, u32::from);
        Ok(listens.is_some())
    }

    async fn cancel_tcpip_forward(&mut self, address: &str, port: u32, _: &mut Session) -> Answer<bool> {
        Ok(forward::listen_no_more(&self.shared, Place::port(address, port).as_ref()))
    }

    async fn streamlocal_forward(&mut self, path: &str, _: &mut Session) -> Answer<bool> {
        let asked = format!("streamlocal-forward of {path}");
        Ok(forward::listen(&self.shared, asked, Place::socket(path)).await.is_some())
    }

    async fn cancel_streamlocal_forward(&mut self, path: &str, _: &mut Session) -> Answer<bool> {
        Ok(forward::listen_no_more(&self.shared, Place::socket(path).as_ref()))
    }

    async fn agent_request(&mut self, channel: ChannelId, _: &mut Session) -> Answer<bool> {
        Ok(forward::lend_agent(&self.shared, channel).await)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        single: bool,
        protocol: &str,
        cookie: &str,
        screen: u32,
        session: &mut Session,
    ) -> Answer {
        let display = Display { single, protocol: protocol.to_owned(), cookie: cookie.to_owned(), screen };
        if forward::lend_display(&self.shared, channel, display).await {
            session.channel_success(channel)
        } else {
            session.channel_failure(channel)
        }
    }

    /// The library has put it in the channel's way; too much of it stops the connection here.
    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Answer {
        self.shared.backlog.came(channel.into(), data.len()).await;
        Ok(())
    }

    async fn extended_data(&mut self, channel: ChannelId, _: u32, data: &[u8], _: &mut Session) -> Answer {
        self.shared.backlog.came(channel.into(), data.len()).await;
        Ok(())
    }

    /// What is asked before the program starts is taken note of by the channel's task, in order; these two are answered here,
    /// because an answer that came later could be taken for another one's.
    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Answer {
        session.channel_success(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        _: &str,
        session: &mut Session,
    ) -> Answer {
        if self.shared.settings.takes_variable(name) {
            session.channel_success(channel)
        } else {
            session.channel_failure(channel)
        }
    }
}

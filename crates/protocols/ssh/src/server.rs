//! What the client's library asks of us. Answers at once, or hands over to a task of the channel's own: whatever waits here holds
//! up the whole connection.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use hoop_engine::{
    Channel as Wanted, Event, Question,
    hosted::{Keep, Refused},
};
use hoop_recording::event::Form;
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Pty,
    server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, Session},
};

use crate::{channel, engine::Shared};

/// Channels of one connection at the same time.
const MOST_CHANNELS: usize = 64;
/// Longest text of what somebody wants forwarded.
const LONGEST: usize = 1000;

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

    /// Runs for as long as the stream does.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.shared.stop.clone();
        self.shared.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(work).await;
        });
    }

    async fn open_session(&self, channel: Channel<Msg>, reply: ChannelOpenHandle, handle: Handle) {
        let shared = Arc::clone(&self.shared);
        if shared.channels.fetch_add(1, Ordering::AcqRel) >= MOST_CHANNELS {
            shared.channels.fetch_sub(1, Ordering::AcqRel);
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return;
        }
        self.spawn(async move {
            reply.accept().await;
            channel::serve(&shared, channel, handle).await;
            shared.channels.fetch_sub(1, Ordering::AcqRel);
        });
    }

    /// Something is to be forwarded: policy is asked, and the recording has both. No way of forwarding is built yet, so a policy
    /// that allowed one would find nothing that does it: whatever the answer, it is not done.
    async fn note_forward(shared: &Shared, what: String) {
        let text: String = what.chars().take(LONGEST).collect();
        let question = Question::Channel(Wanted::Forward);
        let asked = shared.host.ask(shared.next(), Form::Forward, Bytes::from(text), &question).await;
        if let Err(Refused::Over(fault)) = asked {
            shared.break_off(fault);
        }
    }

    /// Answered here: whoever asks without end waits for each answer, and so does their connection.
    async fn refuse_forward(&self, what: String, reply: ChannelOpenHandle) {
        Self::note_forward(&self.shared, what).await;
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
        let address = &self.shared.settings.address;
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let facts = vec![
            fact("person", self.shared.person.clone()),
            fact("host", format!("{}:{}", address.host, address.port)),
            fact("user", self.shared.user.clone()),
            fact("asked_for_user", self.name.clone()),
            fact("client", client),
        ];
        match self.shared.host.note(Event::Opened { facts }, Keep::First).await {
            Ok(()) => {
                self.shared.let_in.notify_one();
                Ok(())
            }
            Err(fault) => {
                self.shared.break_off(fault);
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

    async fn channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        address: &str,
        port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        self.refuse_forward(format!("x11 from {address}:{port}"), reply).await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        self.refuse_forward(format!("direct-tcpip to {host}:{port}"), reply).await;
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        self.refuse_forward(format!("forwarded-tcpip of {host}:{port}"), reply).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Answer {
        self.refuse_forward(format!("direct-streamlocal to {path}"), reply).await;
        Ok(())
    }

    async fn tcpip_forward(&mut self, address: &str, port: &mut u32, _: &mut Session) -> Answer<bool> {
        Self::note_forward(&self.shared, format!("tcpip-forward of {address}:{port}")).await;
        Ok(false)
    }

    async fn streamlocal_forward(&mut self, path: &str, _: &mut Session) -> Answer<bool> {
        Self::note_forward(&self.shared, format!("streamlocal-forward of {path}")).await;
        Ok(false)
    }

    async fn agent_request(&mut self, _: ChannelId, _: &mut Session) -> Answer<bool> {
        Self::note_forward(&self.shared, "the client's authentication agent".into()).await;
        Ok(false)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Answer {
        Self::note_forward(&self.shared, "the client's display".into()).await;
        session.channel_failure(channel)
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

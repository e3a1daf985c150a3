//! The client of shells on hosts: SSH. The agent must show the key that only the ends of its session can derive.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hoop_model::Redacted;
use russh::{
    Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Preferred,
    client::{self, Handle, Msg},
    keys::PublicKeyOrCertificate,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use crate::{Said, ShellError, Size};

/// Messages that may wait to be read.
const WAITING: usize = 16;
const WINDOW: u32 = 256 << 10;
/// As the browser's emulator behaves.
const KIND: &str = "xterm-256color";

impl From<russh::Error> for ShellError {
    fn from(_: russh::Error) -> Self {
        Self::Lost
    }
}

pub(crate) struct Keys {
    channel: ChannelWriteHalf<Msg>,
    handle: Handle<AgentSide>,
}

pub(crate) struct Shown(ChannelReadHalf);

pub(crate) async fn open<S>(
    stream: S,
    host_key: &Redacted<[u8; 32]>,
    person: &str,
    size: Size,
) -> Result<(Keys, Shown), ShellError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let expected = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(host_key.expose());
    let expected = russh::keys::PrivateKey::from(expected).public_key().clone();
    let mut handle = client::connect_stream(Arc::new(config()), stream, AgentSide { expected }).await?;
    if !handle.authenticate_none(person).await?.success() {
        return Err(ShellError::Refused("log-in"));
    }
    let (mut shown, channel) = handle.channel_open_session().await?.split();
    channel.request_pty(true, KIND, size.columns.into(), size.rows.into(), 0, 0, &[]).await?;
    answered(&mut shown, "terminal").await?;
    channel.request_shell(true).await?;
    answered(&mut shown, "shell").await?;
    Ok((Keys { channel, handle }, Shown(shown)))
}

async fn answered(shown: &mut ChannelReadHalf, what: &'static str) -> Result<(), ShellError> {
    loop {
        match shown.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => return Err(ShellError::Refused(what)),
            Some(ChannelMsg::Close) | None => return Err(ShellError::Ended),
            Some(_) => {}
        }
    }
}

fn config() -> client::Config {
    client::Config {
        client_id: russh::SshId::Standard("SSH-2.0-hoop-console".into()),
        window_size: WINDOW,
        maximum_packet_size: 32 << 10,
        channel_buffer_size: WAITING,
        preferred: Preferred { compression: vec![russh::compression::NONE].into(), ..Preferred::DEFAULT },
        inactivity_timeout: None,
        ..client::Config::default()
    }
}

impl Keys {
    pub(crate) async fn press(&self, keys: Bytes) -> Result<(), ShellError> {
        Ok(self.channel.data_bytes(keys).await?)
    }

    pub(crate) async fn resize(&self, size: Size) -> Result<(), ShellError> {
        Ok(self.channel.window_change(size.columns.into(), size.rows.into(), 0, 0).await?)
    }

    pub(crate) async fn close(self) {
        let bye = self.handle.disconnect(Disconnect::ByApplication, "the terminal was closed", "");
        let _ = timeout(Duration::from_secs(1), bye).await;
    }
}

impl Shown {
    pub(crate) async fn next(&mut self) -> Option<Said> {
        loop {
            match self.0.wait().await? {
                ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                    return Some(Said::Shown(data));
                }
                ChannelMsg::ExitStatus { exit_status } => return Some(Said::Exit(exit_status)),
                ChannelMsg::Close => return None,
                _ => {}
            }
        }
    }
}

/// Whom we talk to.
pub(crate) struct AgentSide {
    expected: russh::keys::PublicKey,
}

/// Whatever the agent wants to open towards us is refused, by dropping `reply`.
macro_rules! refuse {
    ($($name:ident($($argument:ty),*);)*) => {$(
        async fn $name(
            &mut self,
            _: Channel<Msg>,
            $(_: $argument,)*
            reply: client::ChannelOpenHandle,
            _: &mut client::Session,
        ) -> Result<(), ShellError> {
            drop(reply);
            Ok(())
        }
    )*};
}

impl client::Handler for AgentSide {
    type Error = ShellError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, ShellError> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } if key.key_data() == self.expected.key_data() => {
                Ok(true)
            }
            _ => Err(ShellError::WrongKey),
        }
    }

    refuse! {
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
    }
}

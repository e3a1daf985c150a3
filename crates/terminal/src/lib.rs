//! A shell over one stream of a session: the SSH client of those who have none, because they sit at a browser.
//!
//! ```text
//! browser ⇄ gateway ⇄ [Shell: SSH client] ⇄ stream ⇄ agent (SSH server) ⇄ host
//! ```
//! It asks for a terminal and a shell and for nothing else: no command, no files, no forwards. The agent must show the key that only
//! the ends of its session can derive. Knows neither gateway nor browser nor how the stream came to be. Nothing is kept: what is not
//! read stops the stream.

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

/// Longest handshake, and longest answer to a request.
const WITHIN: Duration = Duration::from_secs(20);
/// Messages that may wait to be read.
const WAITING: usize = 16;
const WINDOW: u32 = 256 << 10;
/// As the browser's emulator behaves.
const KIND: &str = "xterm-256color";
const MOST_COLUMNS: u32 = 500;
const MOST_ROWS: u32 = 300;

/// A size in characters that a terminal can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    columns: u32,
    rows: u32,
}

impl Size {
    /// The nearest that is possible.
    #[must_use]
    pub fn new(columns: u32, rows: u32) -> Self {
        Self { columns: columns.clamp(1, MOST_COLUMNS), rows: rows.clamp(1, MOST_ROWS) }
    }
}

/// Why there is no shell, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// It is not the agent of this session.
    #[error("the other end is not the agent of this session")]
    WrongKey,
    /// A rule or the host gives no shell.
    #[error("the host gives no {0}")]
    Refused(&'static str),
    /// It took too long.
    #[error("there was no answer in time")]
    Late,
    /// The stream broke, or ended.
    #[error("the connection broke")]
    Lost(#[from] russh::Error),
    /// The agent said good-bye.
    #[error("the agent ended it")]
    Ended,
}

/// What a shell says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// To be shown.
    Shown(Bytes),
    /// It ended with this status.
    Exit(u32),
}

/// What is typed into a shell.
pub struct Keys {
    channel: ChannelWriteHalf<Msg>,
    handle: Handle<AgentSide>,
}

/// What a shell shows.
pub struct Shown(ChannelReadHalf);

/// Opens a shell. `host_key` is what the key that the agent must show is derived from (`SessionSecret::stream_key`).
///
/// # Errors
/// [`ShellError`].
pub async fn open<S>(
    stream: S,
    host_key: &Redacted<[u8; 32]>,
    person: &str,
    size: Size,
) -> Result<(Keys, Shown), ShellError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    timeout(WITHIN, open_now(stream, host_key, person, size)).await.map_err(|_| ShellError::Late)?
}

async fn open_now<S>(
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
    channel.request_pty(true, KIND, size.columns, size.rows, 0, 0, &[]).await?;
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
    /// Types this. Waits while the shell takes no more. Cancel safe only at its end.
    ///
    /// # Errors
    /// When the shell is gone.
    pub async fn press(&self, keys: Bytes) -> Result<(), ShellError> {
        Ok(self.channel.data_bytes(keys).await?)
    }

    /// The terminal has another size from now on.
    ///
    /// # Errors
    /// When the shell is gone.
    pub async fn resize(&self, size: Size) -> Result<(), ShellError> {
        Ok(self.channel.window_change(size.columns, size.rows, 0, 0).await?)
    }

    /// Says good-bye.
    pub async fn close(self) {
        let bye = self.handle.disconnect(Disconnect::ByApplication, "the terminal was closed", "");
        let _ = timeout(Duration::from_secs(1), bye).await;
    }
}

impl Shown {
    /// The next thing; `None` when there is no more. Cancel safe.
    pub async fn next(&mut self) -> Option<Said> {
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
struct AgentSide {
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

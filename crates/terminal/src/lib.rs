//! A shell over one stream of a session: the client of those who have none, because they sit at a browser.
//!
//! ```text
//! browser ⇄ gateway ⇄ [host: SSH client]      ⇄ stream ⇄ agent (SSH server) ⇄ host
//!                     [pod:  exec, WebSocket]             agent (API server) ⇄ cluster
//! ```
//! It asks for a terminal and a shell and for nothing else: no command, no files, no forwards. Knows neither gateway nor browser nor how
//! the stream came to be. Nothing is kept: what is not read stops the stream.

mod host;
mod pod;

use std::time::Duration;

use bytes::Bytes;
use hoop_model::{DnsLabel, DnsName, Redacted};
use hoop_pod::Refusal;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// For the handshake and the answers to what it asks: the agent's own patience with a host's log-in and answer, 20 s each, and a bit.
const WITHIN: Duration = Duration::from_secs(45);
const MOST_COLUMNS: u16 = 500;
const MOST_ROWS: u16 = 300;

/// A size in characters that a terminal can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    columns: u16,
    rows: u16,
}

impl Size {
    /// The nearest that is possible.
    #[must_use]
    pub fn new(columns: u32, rows: u32) -> Self {
        let nearest = |asked: u32, most: u16| u16::try_from(asked).map_or(most, |asked| asked.clamp(1, most));
        Self { columns: nearest(columns, MOST_COLUMNS), rows: nearest(rows, MOST_ROWS) }
    }
}

/// Which pod of a cluster. Its names are checked: none is more than a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: DnsLabel,
    /// Its name.
    pub name: DnsName,
    /// Which of its containers; the only one, or the usual one, if none is named.
    pub container: Option<DnsLabel>,
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
    /// The API server, or the agent in its place, gives no shell.
    #[error(transparent)]
    NotInPod(#[from] Refusal),
    /// It took too long.
    #[error("there was no answer in time")]
    Late,
    /// The stream broke, or ended.
    #[error("the connection broke")]
    Lost,
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
    /// It was ended, in the words of the cluster.
    Stopped(Refusal),
}

/// What is typed into a shell.
pub struct Keys(KeysTo);

enum KeysTo {
    Host(host::Keys),
    Pod(pod::Keys),
}

/// What a shell shows.
pub struct Shown(ShownBy);

enum ShownBy {
    Host(host::Shown),
    Pod(pod::Shown),
}

/// Opens a shell on a host. `host_key` is what the key that the agent must show is derived from (`SessionSecret::stream_key`).
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
    let opening = host::open(stream, host_key, person, size);
    let (keys, shown) = timeout(WITHIN, opening).await.map_err(|_| ShellError::Late)??;
    Ok((Keys(KeysTo::Host(keys)), Shown(ShownBy::Host(shown))))
}

/// Opens a shell in a pod.
///
/// # Errors
/// [`ShellError`].
pub async fn open_in_pod<S>(stream: S, pod: &Pod, size: Size) -> Result<(Keys, Shown), ShellError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opening = pod::open(stream, pod, size);
    let (keys, shown) = timeout(WITHIN, opening).await.map_err(|_| ShellError::Late)??;
    Ok((Keys(KeysTo::Pod(keys)), Shown(ShownBy::Pod(shown))))
}

impl Keys {
    /// Types this. Waits while the shell takes no more. Cancel safe only at its end.
    ///
    /// # Errors
    /// When the shell is gone.
    pub async fn press(&mut self, keys: Bytes) -> Result<(), ShellError> {
        match &mut self.0 {
            KeysTo::Host(host) => host.press(keys).await,
            KeysTo::Pod(pod) => pod.press(&keys).await,
        }
    }

    /// The terminal has another size from now on.
    ///
    /// # Errors
    /// When the shell is gone.
    pub async fn resize(&mut self, size: Size) -> Result<(), ShellError> {
        match &mut self.0 {
            KeysTo::Host(host) => host.resize(size).await,
            KeysTo::Pod(pod) => pod.resize(size).await,
        }
    }

    /// Says good-bye.
    pub async fn close(self) {
        match self.0 {
            KeysTo::Host(host) => host.close().await,
            KeysTo::Pod(pod) => pod.close().await,
        }
    }
}

impl Shown {
    /// The next thing; `None` when there is no more. Cancel safe.
    pub async fn next(&mut self) -> Option<Said> {
        match &mut self.0 {
            ShownBy::Host(host) => host.next().await,
            ShownBy::Pod(pod) => pod.next().await,
        }
    }
}

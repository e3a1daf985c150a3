//! Runs a command in a pod, over one stream to an API server: its input, output, terminal size and exit code.
//!
//! ```text
//! GET /api/v1/namespaces/NS/pods/POD/exec?command=…    ── 101, or a v1.Status that says why not
//! frames of a WebSocket (v5.channel.k8s.io): one byte of channel, then data
//!   0 stdin ▶   4 terminal size ▶   255 "this channel is done" ▶   ◀ 1 stdout   ◀ 2 stderr   ◀ 3 how it ended
//! ```
//! Knows no terminal and no session.

mod frames;
mod open;
mod status;
#[cfg(test)]
mod tests;

use futures::{SinkExt as _, StreamExt as _};
use hoop_model::{Blame, Fault};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use self::frames::Heard;
pub use self::{frames::Size, open::PodCommand};
use crate::error::{Class, ClientError, Result};

/// One read of stdin is one frame.
const PIECE: usize = 32 * 1024;
/// Whoever read the output has had enough: as a shell gives it for SIGPIPE.
const HAD_ENOUGH: u8 = 141;
/// For the last word to a peer that may be gone.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// What is here of the command's input and output.
#[derive(Debug)]
pub struct Ends<I, O, E> {
    /// Its input; `None` gives it none.
    pub stdin: Option<I>,
    /// Its output.
    pub stdout: O,
    /// Its complaints; with a terminal they are output too.
    pub stderr: E,
    /// The terminal's size, where there is one.
    pub size: Option<watch::Receiver<Size>>,
}

/// Runs it to its end, and gives its exit code. Not cancel safe: whoever drops it leaves the command to the API server.
///
/// # Errors
/// What the API server says, or that the stream or an end broke.
pub async fn run<S, I, O, E>(stream: S, command: &PodCommand, ends: Ends<I, O, E>) -> Result<u8>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let socket = Box::pin(open::open(stream, command)).await?;
    let (mut sink, mut frames) = socket.split();
    let Ends { stdin, stdout, stderr, size } = ends;
    let ended = {
        let mut saying = std::pin::pin!(say(&mut sink, stdin, size));
        let mut hearing = std::pin::pin!(hear(&mut frames, stdout, stderr));
        let mut may_say = true;
        loop {
            tokio::select! {
                biased;
                ended = &mut hearing => break ended,
                said = &mut saying, if may_say => match said {
                    // The peer takes no more: why, it may still tell.
                    Ok(()) | Err(Unsaid::Peer) => may_say = false,
                    Err(Unsaid::Input(error)) => break Err(local("its input", &error)),
                },
            }
        }
    };
    let _ = timeout(FAREWELL, sink.close()).await;
    ended
}

enum Unsaid {
    Peer,
    Input(std::io::Error),
}

/// Input and sizes, as they come.
async fn say<K, I>(
    sink: &mut K,
    mut stdin: Option<I>,
    mut size: Option<watch::Receiver<Size>>,
) -> Result<(), Unsaid>
where
    K: futures::Sink<Message> + Unpin,
    I: AsyncRead + Unpin,
{
    if let Some(size) = &mut size {
        let first = *size.borrow_and_update();
        sink.send(frames::size(first)).await.map_err(|_| Unsaid::Peer)?;
    }
    let mut buffer = vec![0; PIECE];
    loop {
        let frame = tokio::select! {
            read = read_some(&mut stdin, &mut buffer) => match read.map_err(Unsaid::Input)? {
                0 => {
                    stdin = None;
                    frames::end_of_stdin()
                }
                count => frames::stdin(buffer.get(..count).unwrap_or_default()),
            },
            changed = changed(&mut size) => match changed {
                Some(size) => frames::size(size),
                None => {
                    size = None;
                    continue;
                }
            },
        };
        sink.send(frame).await.map_err(|_| Unsaid::Peer)?;
        if stdin.is_none() && size.is_none() {
            return Ok(());
        }
    }
}

async fn read_some<I: AsyncRead + Unpin>(stdin: &mut Option<I>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.read(buffer).await,
        None => std::future::pending().await,
    }
}

async fn changed(size: &mut Option<watch::Receiver<Size>>) -> Option<Size> {
    match size {
        Some(size) => size.changed().await.ok().map(|()| *size.borrow_and_update()),
        None => std::future::pending().await,
    }
}

/// Output, until it is said how the command ended.
async fn hear<F, O, E>(frames: &mut F, mut stdout: O, mut stderr: E) -> Result<u8>
where
    F: futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "the stream of the command broke");
            broke("the stream broke off")
        })?;
        let written = match frames::read(&frame)? {
            Heard::Stdout(bytes) => write(&mut stdout, bytes).await,
            Heard::Stderr(bytes) => write(&mut stderr, bytes).await,
            Heard::Ended(status) => return status::ended(status),
            Heard::Nothing => Ok(()),
        };
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(HAD_ENOUGH),
            other => other.map_err(|error| local("its output", &error))?,
        }
    }
    Err(broke("the stream ended, and nobody said how the command did"))
}

async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

fn local(what: &str, error: &std::io::Error) -> ClientError {
    ClientError::own("HOOP-1016", format!("{what} is of no more use here: {error}"))
}

fn broke(what: &str) -> ClientError {
    ClientError::away("HOOP-1074", format!("the command's end is not known: {what}"))
        .hint("it may still run there; `hoop sessions ls` shows whether the session lives")
}

/// What the API server, or the agent in its place, has against it.
fn refused(class: Class, message: String, hint: Option<String>) -> ClientError {
    let fault = Fault::new("HOOP-1073", Blame::Target, message);
    let fault = match hint {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    };
    ClientError { class, fault }
}

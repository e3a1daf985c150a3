//! The client's leg.

use std::{future::ready, sync::Arc};

use bytes::Bytes;

use super::{Asked, CHANNELS, FromPod, MOST_STREAMS, ToPod, next_of, say};
use crate::streams::{
    Driver, Io, PATIENCE, StreamError, Upgrade,
    channels::{self, Channel, Ends},
    driver::Side,
    negotiate::Client,
    pipe::{Connection, In, Out},
    resize::{Size, Sizes},
    spdy::{self, Acceptor},
    status,
    tunnel::tunnel,
};

/// The client's leg, until all its streams are there.
#[derive(Debug)]
pub struct ClientExec(ClientState);

#[derive(Debug)]
enum ClientState {
    /// The client has yet to open them. From version 3 on it opens one for sizes.
    Spdy {
        acceptor: Acceptor,
        asked: Asked,
        version: u8,
    },
    Channels {
        ends: Vec<Ends>,
        connection: Arc<Connection>,
        asked: Asked,
        version: u8,
    },
}

/// Serves a client that asked to be upgraded, and was.
pub fn client_exec<S: Io>(io: S, upgrade: &Upgrade, asked: Asked) -> (ClientExec, Driver) {
    let (acceptor, driver, version) = match upgrade.client() {
        Client::Spdy { version } => {
            let (acceptor, driver) = spdy::server(ready(io), Side::Server, MOST_STREAMS);
            (acceptor, driver, version)
        }
        Client::Tunnel => {
            let (acceptor, driver) = spdy::server(tunnel(io, Side::Server), Side::Server, MOST_STREAMS);
            (acceptor, driver, 4)
        }
        Client::Channels { framing, version } => {
            let input = |is_read| Channel { is_read, is_written: false };
            let output = |is_written| Channel { is_read: false, is_written };
            let wanted: [Channel; CHANNELS] = [
                input(asked.stdin),
                output(asked.stdout),
                output(asked.has_stderr()),
                output(true),
                input(asked.tty),
            ];
            let (ends, connection, driver) = channels::channels(io, Side::Server, framing, &wanted);
            return (ClientExec(ClientState::Channels { ends, connection, asked, version }), driver);
        }
    };
    (ClientExec(ClientState::Spdy { acceptor, asked, version }), driver)
}

#[derive(Debug, Default)]
struct ClientStreams {
    stdin: Option<In>,
    sizes: Option<In>,
    stdout: Option<Out>,
    stderr: Option<Out>,
    status: Option<Out>,
    /// Nothing is said on these; they end with the others.
    silent: Vec<Out>,
}

impl ClientExec {
    /// Waits until the client has opened what it asked for. The driver must be polled meanwhile.
    ///
    /// # Errors
    /// It did not in time, or opened something else, or has gone.
    pub async fn ready(self) -> Result<(FromClient, ToClient), StreamError> {
        let (streams, connection, version) = match self.0 {
            ClientState::Spdy { mut acceptor, asked, version } => {
                let connection = Arc::clone(acceptor.connection());
                let opened = opened(&mut acceptor, asked, version);
                let streams =
                    tokio::time::timeout(PATIENCE, opened).await.map_err(|_| StreamError::Late)??;
                (streams, connection, version)
            }
            ClientState::Channels { ends, connection, asked, version } => {
                let mut streams = ClientStreams::default();
                let mut ends = ends.into_iter();
                let mut next = || ends.next().map_or((None, None), |ends| (ends.input, ends.output));
                streams.stdin = next().0;
                streams.stdout = next().1;
                streams.stderr = next().1;
                streams.status = next().1;
                streams.sizes = next().0.filter(|_| asked.tty);
                (streams, connection, version)
            }
        };
        let ClientStreams { stdin, sizes, stdout, stderr, status, silent } = streams;
        let mut status = status.ok_or(StreamError::UnexpectedStream)?;
        status.last_words(of_version(version, &Bytes::from_static(status::UNKNOWN.as_bytes()))).await?;
        let from = FromClient { stdin, sizes, reader: Sizes::default(), connection };
        let to = ToClient { stdout, stderr, status, silent, version, is_told: false };
        Ok((from, to))
    }
}

async fn opened(acceptor: &mut Acceptor, asked: Asked, version: u8) -> Result<ClientStreams, StreamError> {
    let mut streams = ClientStreams::default();
    let is_complete = |streams: &ClientStreams| {
        streams.status.is_some()
            && streams.stdin.is_some() == asked.stdin
            && streams.stdout.is_some() == asked.stdout
            && streams.stderr.is_some() == asked.has_stderr()
            && streams.sizes.is_some() == (asked.tty && version >= 3)
    };
    while !is_complete(&streams) {
        let opened = acceptor.next().await?;
        let kind = opened.headers.value("streamtype").unwrap_or_default().to_owned();
        let (slot_in, slot_out) = match kind.as_slice() {
            b"stdin" if asked.stdin => (Some(&mut streams.stdin), None),
            b"resize" if asked.tty => (Some(&mut streams.sizes), None),
            b"stdout" if asked.stdout => (None, Some(&mut streams.stdout)),
            b"stderr" if asked.has_stderr() => (None, Some(&mut streams.stderr)),
            b"error" => (None, Some(&mut streams.status)),
            _ => {
                opened.refuse().await?;
                continue;
            }
        };
        if slot_in.as_ref().is_some_and(|slot| slot.is_some())
            || slot_out.as_ref().is_some_and(|slot| slot.is_some())
        {
            return Err(StreamError::UnexpectedStream);
        }
        let stream = opened.accept().await?;
        if let Some(slot) = slot_in {
            *slot = Some(stream.input);
            streams.silent.push(stream.output);
        } else if let Some(slot) = slot_out {
            *slot = Some(stream.output);
        }
    }
    Ok(streams)
}

fn of_version(version: u8, status: &Bytes) -> Bytes {
    if version >= 4 { status.clone() } else { status::words(status) }
}

/// What a client says.
#[derive(Debug)]
pub struct FromClient {
    stdin: Option<In>,
    sizes: Option<In>,
    reader: Sizes,
    connection: Arc<Connection>,
}

impl FromClient {
    /// The next of it; `None` once the client has gone. Cancel safe.
    ///
    /// # Errors
    /// The connection was cut, or what came is wrong. Input may be cut off then: it must not be taken for all of it.
    pub async fn next(&mut self) -> Result<Option<ToPod>, StreamError> {
        loop {
            if let Some(Size { columns, rows }) = self.reader.next()? {
                return Ok(Some(ToPod::Resize { columns, rows }));
            }
            tokio::select! {
                biased;
                size = next_of(&mut self.sizes) => match size {
                    Ok(Some(piece)) => self.reader.push(&piece),
                    Ok(None) | Err(StreamError::Reset) => self.sizes = None,
                    Err(error) => return gone(error),
                },
                input = next_of(&mut self.stdin) => match input {
                    Ok(Some(data)) => return Ok(Some(ToPod::Stdin(data))),
                    Ok(None) => {
                        self.stdin = None;
                        return Ok(Some(ToPod::StdinEnd));
                    }
                    Err(error) => return gone(error),
                },
                () = self.connection.over.cancelled(), if self.stdin.is_none() && self.sizes.is_none() => {
                    return gone(self.connection.why());
                }
            }
        }
    }
}

fn gone(error: StreamError) -> Result<Option<ToPod>, StreamError> {
    if error == StreamError::Closed { Ok(None) } else { Err(error) }
}

/// What a client is told. Dropped before [`ToClient::finish`], the client is told that nobody knows how the command ended.
#[derive(Debug)]
pub struct ToClient {
    stdout: Option<Out>,
    stderr: Option<Out>,
    status: Out,
    silent: Vec<Out>,
    version: u8,
    is_told: bool,
}

impl ToClient {
    /// Says it; waits while the client does not read. What the client has not asked for is not said. Dropped before it is ready, it is
    /// not said, or not to its end: nothing else must be said then.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn send(&mut self, piece: FromPod) -> Result<(), StreamError> {
        match piece {
            FromPod::Stdout(data) => ended_or_unwanted(say(&mut self.stdout, data).await),
            FromPod::Stderr(data) => ended_or_unwanted(say(&mut self.stderr, data).await),
            FromPod::Status(_) if self.is_told => Ok(()),
            FromPod::Status(status) => {
                for output in self.stdout.iter_mut().chain(&mut self.stderr) {
                    ended_or_unwanted(output.taken().await)?;
                }
                self.status.send(of_version(self.version, &status)).await?;
                self.status.last_words(Bytes::new()).await?;
                self.is_told = true;
                Ok(())
            }
        }
    }

    /// All is said. Without a status before, the client is told that nobody knows how the command ended: it would take that for
    /// success.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn finish(mut self) -> Result<(), StreamError> {
        if !self.is_told {
            self.send(FromPod::Status(Bytes::from_static(status::UNKNOWN.as_bytes()))).await?;
        }
        // That of the status is the last: clients wait for it.
        let all = self.stdout.iter_mut().chain(&mut self.stderr).chain(&mut self.silent);
        for output in all {
            ended_or_unwanted(output.end().await)?;
        }
        self.status.end().await
    }
}

/// A client may want no more of one stream.
fn ended_or_unwanted(result: Result<(), StreamError>) -> Result<(), StreamError> {
    if result == Err(StreamError::Reset) { Ok(()) } else { result }
}

//! The cluster's leg.

use std::future::ready;

use bytes::{Bytes, BytesMut};

use super::{Asked, CHANNELS, FromPod, MOST_STREAMS, ToPod, next_of, say};
use crate::{
    spdy::Headers,
    streams::{
        Agreed, Driver, Io, PATIENCE, StreamError,
        channels::{self, Channel, Ends},
        driver::Side,
        negotiate::Cluster,
        pipe::{In, Out},
        resize::Size,
        spdy::{self, Opener},
        status,
        tunnel::tunnel,
    },
};

/// The cluster's leg, until it has accepted all streams.
#[derive(Debug)]
pub struct ClusterExec(ClusterState);

#[derive(Debug)]
enum ClusterState {
    Spdy { opener: Opener, asked: Asked },
    Channels { ends: Vec<Ends> },
}

/// Goes on where a cluster has agreed to an offer.
pub fn cluster_exec<S: Io>(io: S, agreed: &Agreed, asked: Asked) -> (ClusterExec, Driver) {
    let (opener, driver) = match agreed.cluster() {
        Cluster::Spdy => spdy::client(ready(io), MOST_STREAMS),
        Cluster::Tunnel => spdy::client(tunnel(io, Side::Client), MOST_STREAMS),
        Cluster::Channels { framing } => {
            let input = |is_read| Channel { is_read, is_written: false };
            let output = |is_written| Channel { is_read: false, is_written };
            let wanted: [Channel; CHANNELS] = [
                output(asked.stdin),
                input(asked.stdout),
                input(asked.has_stderr()),
                input(true),
                output(asked.tty),
            ];
            let (ends, _, driver) = channels::channels(io, Side::Client, framing, &wanted);
            return (ClusterExec(ClusterState::Channels { ends }), driver);
        }
    };
    (ClusterExec(ClusterState::Spdy { opener, asked }), driver)
}

impl ClusterExec {
    /// Waits until the cluster has accepted all streams. The driver must be polled meanwhile.
    ///
    /// # Errors
    /// It did not in time, or refused, or has gone.
    pub async fn ready(self) -> Result<(FromCluster, ToCluster), StreamError> {
        let mut from = FromCluster::default();
        let mut to = ToCluster::default();
        match self.0 {
            ClusterState::Spdy { mut opener, asked } => {
                let accepted = accepted(&mut opener, asked, &mut from, &mut to);
                tokio::time::timeout(PATIENCE, accepted).await.map_err(|_| StreamError::Late)??;
            }
            ClusterState::Channels { ends } => {
                let mut ends = ends.into_iter();
                let mut next = || ends.next().map_or((None, None), |ends| (ends.input, ends.output));
                to.stdin = next().1;
                from.stdout = next().0;
                from.stderr = next().0;
                from.status = next().0;
                to.sizes = next().1;
                from.closing_is_end = true;
            }
        }
        Ok((from, to))
    }
}

/// All are asked for before the first is waited for.
async fn accepted(
    opener: &mut Opener,
    asked: Asked,
    from: &mut FromCluster,
    to: &mut ToCluster,
) -> Result<(), StreamError> {
    let mut opening = Vec::new();
    for (kind, is_asked) in [
        ("error", true),
        ("stdin", asked.stdin),
        ("stdout", asked.stdout),
        ("stderr", asked.has_stderr()),
        ("resize", asked.tty),
    ] {
        if is_asked {
            opening.push((kind, opener.open(Headers::new().with("streamtype", kind)).await?));
        }
    }
    for (kind, stream) in opening {
        let stream = stream.accepted().await?;
        let (input, output) = (Some(stream.input), stream.output);
        match kind {
            "stdin" => to.stdin = Some(output),
            "resize" => to.sizes = Some(output),
            kind => {
                to.silent.push(output);
                match kind {
                    "stdout" => from.stdout = input,
                    "stderr" => from.stderr = input,
                    _ => from.status = input,
                }
            }
        }
    }
    Ok(())
}

/// What a cluster says.
#[derive(Debug, Default)]
pub struct FromCluster {
    stdout: Option<In>,
    stderr: Option<In>,
    status: Option<In>,
    words: BytesMut,
    /// Channels end with their connection; SPDY streams have ends of their own.
    closing_is_end: bool,
}

impl FromCluster {
    /// The next of it; `None` at the end. A status is the last; there is none if the cluster did not say how the command ended. Cancel
    /// safe.
    ///
    /// # Errors
    /// The connection ended before all was said, or what came is wrong.
    pub async fn next(&mut self) -> Result<Option<FromPod>, StreamError> {
        while self.stdout.is_some() || self.stderr.is_some() || self.status.is_some() {
            tokio::select! {
                data = next_of(&mut self.stdout) => match self.ended(data)? {
                    Some(data) => return Ok(Some(FromPod::Stdout(data))),
                    None => self.stdout = None,
                },
                data = next_of(&mut self.stderr) => match self.ended(data)? {
                    Some(data) => return Ok(Some(FromPod::Stderr(data))),
                    None => self.stderr = None,
                },
                data = next_of(&mut self.status) => match self.ended(data)? {
                    Some(data) if self.words.len() + data.len() > status::LONGEST => {
                        return Err(StreamError::StatusTooLong);
                    }
                    Some(data) => self.words.extend_from_slice(&data),
                    None => self.status = None,
                },
            }
        }
        let words = std::mem::take(&mut self.words);
        Ok((!words.is_empty()).then(|| FromPod::Status(words.freeze())))
    }

    /// Kubelets break streams off when a command has ended.
    fn ended(&self, data: Result<Option<Bytes>, StreamError>) -> Result<Option<Bytes>, StreamError> {
        match data {
            Err(StreamError::Reset) => Ok(None),
            Err(StreamError::Closed) if self.closing_is_end => Ok(None),
            data => data,
        }
    }
}

/// What a cluster is told.
#[derive(Debug, Default)]
pub struct ToCluster {
    stdin: Option<Out>,
    sizes: Option<Out>,
    /// Nothing is said on these.
    silent: Vec<Out>,
}

impl ToCluster {
    /// Says it; waits while the cluster does not read. What was not asked for, and what the command reads no more, is not said: that
    /// it has ended is heard from [`FromCluster`]. Dropped before it is ready, it is not said.
    ///
    /// # Errors
    /// The cluster has gone.
    pub async fn send(&mut self, piece: ToPod) -> Result<(), StreamError> {
        let (output, sent) = match piece {
            ToPod::Stdin(data) => {
                let sent = say(&mut self.stdin, data).await;
                (&mut self.stdin, sent)
            }
            ToPod::StdinEnd => {
                let sent = match &mut self.stdin {
                    Some(stdin) => stdin.end().await,
                    None => Ok(()),
                };
                (&mut self.stdin, sent)
            }
            ToPod::Resize { columns, rows } => {
                let sent = say(&mut self.sizes, Size { columns, rows }.line()?).await;
                (&mut self.sizes, sent)
            }
        };
        if sent == Err(StreamError::Reset) {
            *output = None;
            return Ok(());
        }
        sent
    }
}

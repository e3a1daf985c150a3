//! `portforward`: what passes between a client and ports of a pod, each on its own.
//!
//! Over SPDY, tunnelled or not, a client opens a pair of streams for each: one for data, one for words about a failure. The channels of
//! WebSocket messages know the ports from the query, and each pair of them begins with its port.

use std::{
    collections::HashMap,
    future::{pending, ready},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{
    Agreed, Driver, Io, MOST_FORWARDS, PATIENCE, StreamError, Upgrade,
    channels::{self, Channel, Ends, Framing},
    driver::Side,
    negotiate::{Client, Cluster},
    pipe::{Connection, In, Out},
    spdy::{self, Acceptor, Opened, Opener},
    tunnel::tunnel,
};
use crate::spdy::Headers;

/// Two streams each, and some that are just being closed.
const MOST_STREAMS: usize = MOST_FORWARDS * 2 + 8;
/// Longest words about a failure.
const LONGEST_FAILURE: usize = 16 << 10;
/// Forwards over channels with base64: each has two characters, which are ASCII.
const MOST_IN_BASE64: usize = 32;

const BROKEN_OFF: &[u8] = b"the forward was broken off";

/// One connection to a port.
#[derive(Debug)]
pub struct Forward {
    /// Of the pod.
    pub port: u16,
    /// Number of it on its connection, as the client counts.
    pub request: u64,
    /// What the peer of this leg says.
    pub from: FromForward,
    /// What it is told.
    pub to: ToForward,
}

/// What comes on a forward.
#[derive(Debug)]
pub struct FromForward {
    data: In,
    failure: Option<In>,
}

impl FromForward {
    /// The next piece; `None` when no more follows. Cancel safe.
    ///
    /// # Errors
    /// It was broken off, or its connection has ended: that was not all.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.data.next().await
    }

    /// What a cluster says about why it failed, if it did. To be asked for once [`Self::next`] has told of the end. On a client's leg
    /// there is nothing.
    ///
    /// # Errors
    /// It says too much.
    pub async fn failure(&mut self) -> Result<Option<Bytes>, StreamError> {
        let mut words = BytesMut::new();
        if let Some(mut failure) = self.failure.take() {
            // However the stream ends, the forward has ended before.
            while let Ok(Some(piece)) = failure.next().await {
                if words.len() + piece.len() > LONGEST_FAILURE {
                    return Err(StreamError::StatusTooLong);
                }
                words.extend_from_slice(&piece);
            }
        }
        Ok((!words.is_empty()).then(|| words.freeze()))
    }
}

/// What is said on a forward. Dropped before its end it is broken off.
#[derive(Debug)]
pub struct ToForward {
    data: Out,
    failure: Option<Out>,
}

impl ToForward {
    /// Says it; waits while the peer does not read.
    ///
    /// # Errors
    /// The peer wants no more, or has gone.
    pub async fn send(&mut self, data: Bytes) -> Result<(), StreamError> {
        self.data.send(data).await
    }

    /// No more data follows, though some may still come. Over channels a peer learns of it at the end only.
    ///
    /// # Errors
    /// The peer has gone.
    pub async fn end(&mut self) -> Result<(), StreamError> {
        self.data.end().await
    }

    /// Nothing follows; with words for a client if it failed.
    ///
    /// # Errors
    /// The peer has gone.
    pub async fn close(mut self, failure: Option<Bytes>) -> Result<(), StreamError> {
        let ended = self.data.end().await;
        if let Some(mut output) = self.failure.take() {
            if let Some(words) = failure {
                output.send(words).await?;
            }
            output.end().await?;
        }
        ended
    }
}

// --- the client's leg

/// The client's leg.
pub struct ClientForwards {
    state: ClientState,
    /// What was begun with a stream, and is not done: it must not be lost if nobody waits for it any more.
    under_way: Option<BoxFuture<'static, Result<Taken, StreamError>>>,
}

impl std::fmt::Debug for ClientForwards {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClientForwards").field("state", &self.state).finish_non_exhaustive()
    }
}

impl From<ClientState> for ClientForwards {
    fn from(state: ClientState) -> Self {
        Self { state, under_way: None }
    }
}

/// What became of a stream.
enum Taken {
    Refused,
    Half(u64, Half),
    Forward(Box<Forward>),
}

#[derive(Debug)]
enum ClientState {
    Spdy {
        acceptor: Acceptor,
        waiting: HashMap<u64, Half>,
    },
    Channels {
        pairs: std::vec::IntoIter<Pair>,
        connection: Arc<Connection>,
    },
    /// The query named too many ports, or none.
    Unfit(usize),
}

/// Port, number, data both ways, and where to say why it failed.
type Pair = (u16, u64, In, Out, Out);

/// A forward whose other stream has not come yet.
#[derive(Debug)]
struct Half {
    port: u16,
    is_failure: bool,
    stream: spdy::Stream,
    until: Instant,
}

/// Serves a client that asked to be upgraded, and was. `ports` are those of the query; who speaks SPDY names them later.
///
/// All forwards share the connection: one that is not read stalls the others, and so do forwards that nobody accepts.
pub fn client_forwards<S: Io>(io: S, upgrade: &Upgrade, ports: &[u16]) -> (ClientForwards, Driver) {
    let (acceptor, driver) = match upgrade.client() {
        Client::Spdy { .. } => spdy::server(ready(io), Side::ServerOfMany, MOST_STREAMS),
        Client::Tunnel => spdy::server(tunnel(io, Side::ServerOfMany), Side::ServerOfMany, MOST_STREAMS),
        Client::Channels { framing, .. } => return pairs(io, framing, ports),
    };
    (ClientState::Spdy { acceptor, waiting: HashMap::new() }.into(), driver)
}

fn pairs<S: Io>(io: S, framing: Framing, ports: &[u16]) -> (ClientForwards, Driver) {
    let most = if framing.is_base64 { MOST_IN_BASE64 } else { MOST_FORWARDS };
    let is_fit = (1..=most).contains(&ports.len());
    let data = Channel { is_read: true, is_written: true };
    let failure = Channel { is_read: false, is_written: true };
    let wanted: Vec<_> = ports.iter().filter(|_| is_fit).flat_map(|_| [data, failure]).collect();
    let (ends, connection, driver) = channels::channels(io, Side::ServerOfMany, framing, &wanted);
    if !is_fit {
        return (ClientState::Unfit(ports.len()).into(), driver);
    }
    let mut ends = ends.into_iter();
    let pairs = ports.iter().zip(0..).filter_map(|(port, request)| {
        let (Ends { input: Some(input), output: Some(output) }, Ends { output: Some(failure), .. }) =
            (ends.next()?, ends.next()?)
        else {
            return None;
        };
        Some((*port, request, input, output, failure))
    });
    let pairs: Vec<Pair> = pairs.collect();
    (ClientState::Channels { pairs: pairs.into_iter(), connection }.into(), driver)
}

impl ClientForwards {
    /// The next that the client wants; `None` once it has gone. Cancel safe.
    ///
    /// # Errors
    /// The connection was cut, or what came is wrong.
    pub async fn accept(&mut self) -> Result<Option<Forward>, StreamError> {
        match self.accepted().await {
            Ok(forward) => Ok(Some(forward)),
            Err(StreamError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn accepted(&mut self) -> Result<Forward, StreamError> {
        loop {
            if let Some(under_way) = &mut self.under_way {
                let taken = under_way.await;
                self.under_way = None;
                match taken? {
                    Taken::Refused => {}
                    Taken::Half(request, half) => {
                        if let ClientState::Spdy { waiting, .. } = &mut self.state {
                            waiting.insert(request, half);
                        }
                    }
                    Taken::Forward(forward) => return Ok(*forward),
                }
            }
            self.under_way = Some(match &mut self.state {
                ClientState::Spdy { acceptor, waiting } => next_of(acceptor, waiting).await?,
                ClientState::Channels { pairs, connection } => match pairs.next() {
                    Some(pair) => Box::pin(begun(pair)),
                    None => {
                        connection.over.cancelled().await;
                        return Err(connection.why());
                    }
                },
                ClientState::Unfit(count) => return Err(StreamError::Forwards(*count)),
            });
        }
    }
}

/// Each channel of a pair begins with the port, low byte first.
async fn begun((port, request, data, mut output, mut failure): Pair) -> Result<Taken, StreamError> {
    let head = Bytes::copy_from_slice(&port.to_le_bytes());
    output.send(head.clone()).await?;
    failure.send(head).await?;
    failure.last_words(Bytes::from_static(BROKEN_OFF)).await?;
    let from = FromForward { data, failure: None };
    let to = ToForward { data: output, failure: Some(failure) };
    Ok(Taken::Forward(Box::new(Forward { port, request, from, to })))
}

/// What is to be done with the next stream.
async fn next_of(
    acceptor: &mut Acceptor,
    waiting: &mut HashMap<u64, Half>,
) -> Result<BoxFuture<'static, Result<Taken, StreamError>>, StreamError> {
    let opened = loop {
        let first = waiting.values().map(|half| half.until).min();
        let too_late = async {
            match first {
                Some(first) => tokio::time::sleep_until(first).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            opened = acceptor.next() => break opened?,
            // Their streams are broken off.
            () = too_late => waiting.retain(|_, half| half.until > Instant::now()),
        }
    };
    let Some((request, port, is_failure)) = wanted(&opened) else { return Ok(Box::pin(refused(opened))) };
    let other = waiting.remove(&request);
    let fits = other.as_ref().is_none_or(|other| other.port == port && other.is_failure != is_failure);
    if !fits || waiting.len() >= MOST_FORWARDS {
        return Ok(Box::pin(refused(opened)));
    }
    Ok(Box::pin(async move {
        let stream = opened.accept().await?;
        let Some(other) = other else {
            let half = Half { port, is_failure, stream, until: Instant::now() + PATIENCE };
            return Ok(Taken::Half(request, half));
        };
        let (failure, data) = if is_failure { (stream, other.stream) } else { (other.stream, stream) };
        let mut failure = failure.output;
        failure.last_words(Bytes::from_static(BROKEN_OFF)).await?;
        let from = FromForward { data: data.input, failure: None };
        let to = ToForward { data: data.output, failure: Some(failure) };
        Ok(Taken::Forward(Box::new(Forward { port, request, from, to })))
    }))
}

async fn refused(opened: Opened) -> Result<Taken, StreamError> {
    opened.refuse().await?;
    Ok(Taken::Refused)
}

/// Number, port, and whether the stream is the one for failures.
fn wanted(opened: &Opened) -> Option<(u64, u16, bool)> {
    let text = |name| opened.headers.value(name).and_then(|value| std::str::from_utf8(value).ok());
    let is_failure = match text("streamtype")? {
        "error" => true,
        "data" => false,
        _ => return None,
    };
    let port = text("port")?.parse().ok().filter(|port| *port > 0)?;
    let request = match text("requestid") {
        Some(request) => request.parse().ok()?,
        // Clients without numbers open the one for failures first, and the other right after it.
        None => u64::from(opened.id.number()).checked_sub(if is_failure { 0 } else { 2 })?,
    };
    Some((request, port, is_failure))
}

// --- the cluster's leg

/// The cluster's leg.
#[derive(Debug)]
pub struct ClusterForwards {
    opener: Opener,
    requests: u64,
}

/// Goes on where a cluster has agreed to an offer.
///
/// All forwards share the connection: one that is not read stalls the others. Whoever must not let that happen has a connection for each.
pub fn cluster_forwards<S: Io>(io: S, agreed: &Agreed) -> (ClusterForwards, Driver) {
    let (opener, driver) = match agreed.cluster() {
        Cluster::Spdy => spdy::client(ready(io), MOST_STREAMS),
        Cluster::Tunnel | Cluster::Channels { .. } => spdy::client(tunnel(io, Side::Client), MOST_STREAMS),
    };
    (ClusterForwards { opener, requests: 0 }, driver)
}

impl ClusterForwards {
    /// One more connection to a port of the pod. That it is there does not say that the port answers.
    ///
    /// # Errors
    /// The cluster refused, did not answer in time, or has gone; or there are too many.
    pub async fn open(&mut self, port: u16) -> Result<Forward, StreamError> {
        let request = self.requests;
        self.requests += 1;
        let headers = |kind: &'static str| {
            let headers = Headers::new().with("streamtype", kind);
            headers.with("port", port.to_string()).with("requestid", request.to_string())
        };
        let opened = async {
            let failure = self.opener.open(headers("error")).await?;
            let data = self.opener.open(headers("data")).await?;
            let mut failure = failure.accepted().await?;
            // Only the cluster says something there.
            failure.output.end().await?;
            Ok::<_, StreamError>((failure.input, data.accepted().await?))
        };
        let opened = tokio::time::timeout(PATIENCE, opened).await.map_err(|_| StreamError::Late)?;
        let (failure, data) = opened?;
        let from = FromForward { data: data.input, failure: Some(failure) };
        Ok(Forward { port, request, from, to: ToForward { data: data.output, failure: None } })
    }
}

//! Connections to the cluster's API server, as the person and with the agent's proof.
//!
//! Requests share one HTTP/2 connection where the server speaks it; streams (`exec`, `attach`, `portforward`) have a connection each.
//! Code that sends something takes a [`Permit`], which only policy makes.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hoop_engine::hosted::{Handshake, Host};
use hoop_hosted::stream::Stream;
use hoop_model::Fault;
use hoop_policy::Permit;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, header, request::Parts, uri::PathAndQuery,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::{
    credential::Proof,
    fault,
    identity::Identity,
    settings::{ClusterSettings, Transport},
    streams::{Agreed, Offer, Over, Wanted},
};

/// From a request to the head of its answer. API servers have a limit of their own, of 60 s.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a stream of an answer may have under way, and all of a connection. Bytes.
const WINDOW: u32 = 256 << 10;
const WINDOWS: u32 = 2 << 20;
/// Headers of an answer, bytes.
const HEADERS: u32 = 64 << 10;
/// Connections of HTTP/1.1 that wait for the next request.
const MOST_IDLE: usize = 8;
/// Why a connection could not be made is true for so long, for who waited meanwhile.
const JUST_NOW: Duration = Duration::from_secs(1);
/// Connections that one request may find closed.
const MOST_TRIES: usize = MOST_IDLE + 2;
/// Bytes of an answer that refuses a stream.
const REFUSAL: usize = 64 << 10;

type Sender = http1::SendRequest<Full<Bytes>>;
type Multiplexed = http2::SendRequest<Full<Bytes>>;

/// The cluster, for one stream of a session.
pub(crate) struct Upstream {
    host: Host,
    authority: String,
    proof: Proof,
    identity: Identity,
    shared: tokio::sync::Mutex<Shared>,
    idle: Mutex<Vec<Sender>>,
}

/// What requests share. Whoever connects holds it: the others wait, and find what came of it.
#[derive(Default)]
struct Shared {
    multiplexed: Option<Multiplexed>,
    failed: Option<(Instant, Fault)>,
}

/// A connection for requests.
enum Way {
    Multiplexed(Multiplexed),
    Single(Sender),
}

/// What a stream was answered.
pub(crate) enum Streaming {
    /// It is open.
    Open(TokioIo<Upgraded>, Agreed),
    /// It was refused: the cluster's own words.
    Refused(Response<Bytes>),
}

impl Upstream {
    pub(crate) fn new(host: Host, settings: &ClusterSettings, proof: Proof, identity: Identity) -> Self {
        let address = &settings.address;
        let name =
            if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
        Self {
            host,
            authority: format!("{name}:{}", address.port),
            proof,
            identity,
            shared: tokio::sync::Mutex::default(),
            idle: Mutex::default(),
        }
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Asks, and waits for the head of the answer.
    pub(crate) async fn ask(
        &self,
        parts: &Parts,
        body: Bytes,
        _: &Permit,
    ) -> Result<Response<Incoming>, Fault> {
        let answered = tokio::time::timeout(PATIENCE, self.send(parts, body)).await;
        answered.map_err(|_| fault::lost("it did not answer in time"))?
    }

    /// What is looked up for a decision, or for an admin's test: it is shown to nobody.
    pub(crate) async fn look(
        &self,
        method: Method,
        path: &PathAndQuery,
        body: Bytes,
        most: usize,
    ) -> Result<Response<Bytes>, Fault> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(path.clone());
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json.clone());
        if !body.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        let parts = request.into_parts().0;
        let looking = async {
            let (head, body) = self.send(&parts, body).await?.into_parts();
            let body = Limited::new(body, most).collect().await;
            let body = body.map_err(|_| fault::lost("its answer broke off, or is too large"))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let looked = tokio::time::timeout(PATIENCE, looking).await;
        looked.map_err(|_| fault::lost("it did not answer in time"))?
    }

    async fn send(&self, parts: &Parts, body: Bytes) -> Result<Response<Incoming>, Fault> {
        for _ in 0..MOST_TRIES {
            let (way, waited) = self.way().await?;
            let multiplexed = matches!(way, Way::Multiplexed(_));
            let request = self.request(parts, body.clone(), multiplexed)?;
            let answered = match way {
                Way::Multiplexed(mut sender) => sent(sender.try_send_request(request).await)?,
                Way::Single(mut sender) => {
                    let answered = sent(sender.try_send_request(request).await)?;
                    answered.inspect(|_| self.keep(sender))
                }
            };
            match answered {
                Some(response) => return Ok(response),
                // It was closed by then: what was not sent is sent again.
                None if waited && multiplexed => self.shared.lock().await.multiplexed = None,
                None if waited => {}
                None => break,
            }
        }
        Err(fault::lost("the connection broke"))
    }

    /// A connection that takes a request, and whether it waited for one.
    async fn way(&self) -> Result<(Way, bool), Fault> {
        if let Some(sender) = self.idle() {
            return Ok((Way::Single(sender), true));
        }
        let mut shared = self.shared.lock().await;
        // Whoever held the lock may have made one, or tried.
        if let Some(way) = self.made(&shared) {
            return Ok((way, true));
        }
        if let Some((_, fault)) = shared.failed.take_if(|(since, _)| since.elapsed() < JUST_NOW) {
            return Err(fault);
        }
        let way = self.connect().await?;
        if let Way::Multiplexed(sender) = &way {
            shared.multiplexed = Some(sender.clone());
        }
        Ok((way, false))
    }

    /// Connects before anything is asked. The first request waits for it, and is told why it failed.
    pub(crate) async fn warm(&self) {
        let mut shared = self.shared.lock().await;
        if self.made(&shared).is_some() {
            return;
        }
        match self.connect().await {
            Ok(Way::Multiplexed(sender)) => shared.multiplexed = Some(sender),
            Ok(Way::Single(mut sender)) => {
                // Only then is it found.
                if sender.ready().await.is_ok() {
                    self.keep(sender);
                }
            }
            Err(fault) => shared.failed = Some((Instant::now(), fault)),
        }
    }

    fn made(&self, shared: &Shared) -> Option<Way> {
        let multiplexed = shared.multiplexed.as_ref().filter(|sender| !sender.is_closed());
        self.idle().map(Way::Single).or_else(|| multiplexed.cloned().map(Way::Multiplexed))
    }

    /// There will be no more requests, only streams that run.
    pub(crate) async fn rest(&self) {
        self.shared.lock().await.multiplexed = None;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn connect(&self) -> Result<Way, Fault> {
        let secured = self.host.dial_secured(self.handshake(&[b"h2", b"http/1.1"])).await?;
        let stream = TokioIo::new(Stream(secured.stream));
        if secured.protocol.as_deref() == Some(b"h2") {
            return Ok(Way::Multiplexed(multiplex(stream).await?));
        }
        Ok(Way::Single(single(stream).await?))
    }

    fn idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let ready = idle.iter().position(Sender::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    /// It is ready again when its answer has been read.
    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(sender);
        }
    }

    fn handshake(&self, protocols: &[&'static [u8]]) -> Handshake {
        Handshake { protocols: protocols.to_vec(), keys: self.proof.keys.clone() }
    }

    fn request(&self, parts: &Parts, body: Bytes, multiplexed: bool) -> Result<Request<Full<Bytes>>, Fault> {
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = parts.method.clone();
        *request.headers_mut() = parts.headers.clone();
        let wrong = || fault::lost("its address cannot stand in a request");
        *request.uri_mut() = if multiplexed {
            let uri = Uri::builder().scheme("https").authority(self.authority.as_str()).path_and_query(path);
            uri.build().map_err(|_| wrong())?
        } else {
            let host = HeaderValue::from_str(&self.authority).map_err(|_| wrong())?;
            request.headers_mut().insert(header::HOST, host);
            Uri::from(path)
        };
        self.prove(request.headers_mut());
        Ok(request)
    }

    /// The only place that says who asks.
    fn prove(&self, headers: &mut HeaderMap) {
        if let Some(authorization) = &self.proof.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        self.identity.put(headers);
    }

    /// Opens a stream.
    pub(crate) async fn stream(
        &self,
        path: &PathAndQuery,
        wanted: Wanted,
        settings: &ClusterSettings,
        _: &Permit,
    ) -> Result<Streaming, Fault> {
        let [exec, forward] = &settings.known;
        let known = if wanted == Wanted::Exec { exec } else { forward };
        let over = match settings.streams {
            Transport::Spdy => return self.open(path, Over::Spdy, wanted).await,
            Transport::Websocket => return self.open(path, Over::WebSocket, wanted).await,
            Transport::Auto => known.get().copied().unwrap_or(Over::WebSocket),
        };
        let opened = self.open(path, over, wanted).await?;
        match (&opened, over) {
            // Nothing has run yet: an older cluster does not know the version that is asked for.
            (Streaming::Refused(_), Over::WebSocket) => {
                let second = self.open(path, Over::Spdy, wanted).await?;
                if matches!(second, Streaming::Open(..)) {
                    let _ = known.set(Over::Spdy);
                }
                Ok(second)
            }
            (Streaming::Open(..), over) => {
                let _ = known.set(over);
                Ok(opened)
            }
            (Streaming::Refused(_), Over::Spdy) => Ok(opened),
        }
    }

    async fn open(&self, path: &PathAndQuery, over: Over, wanted: Wanted) -> Result<Streaming, Fault> {
        let offer = Offer::new(over, wanted);
        let opening = async {
            let secured = self.host.dial_secured(self.handshake(&[b"http/1.1"])).await?;
            let mut sender = single(TokioIo::new(Stream(secured.stream))).await?;
            let mut request = Request::new(());
            *request.method_mut() = if over == Over::Spdy { Method::POST } else { Method::GET };
            *request.uri_mut() = Uri::from(path.clone());
            *request.headers_mut() = offer.headers();
            let request = self.request(&request.into_parts().0, Bytes::new(), false)?;
            let mut response = sender.send_request(request).await.map_err(|error| lost(&error))?;
            if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
                let agreed = offer.check(response.status(), response.headers());
                let agreed = agreed.map_err(|error| fault::cluster_stream(&error.to_string()))?;
                let upgraded = hyper::upgrade::on(&mut response).await.map_err(|error| lost(&error))?;
                return Ok(Streaming::Open(TokioIo::new(upgraded), agreed));
            }
            let (head, body) = response.into_parts();
            let body =
                Limited::new(body, REFUSAL).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Ok(Streaming::Refused(Response::from_parts(head, body)))
        };
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        opened.map_err(|_| fault::lost("it did not answer in time"))?
    }
}

/// `None`: it was not sent, because the connection was closed by then.
fn sent(
    outcome: Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>,
) -> Result<Option<Response<Incoming>>, Fault> {
    match outcome {
        Ok(response) => Ok(Some(response)),
        Err(mut error) => match error.take_message() {
            Some(_) => Ok(None),
            None => Err(lost(error.error())),
        },
    }
}

fn lost(error: &hyper::Error) -> Fault {
    tracing::debug!(%error, "the cluster could not be asked");
    let what = if error.is_timeout() {
        "it was silent for too long"
    } else if error.is_parse() {
        "what it answers is no HTTP"
    } else {
        "the connection broke"
    };
    fault::lost(what)
}

/// Whoever polls a connection ends with it, and it ends with the engine: its stream breaks then.
async fn multiplex(stream: TokioIo<Stream>) -> Result<Multiplexed, Fault> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .max_header_list_size(HEADERS);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| lost(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the cluster ended");
        }
    });
    Ok(sender)
}

async fn single(stream: TokioIo<Stream>) -> Result<Sender, Fault> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADERS as usize * 2);
    let (sender, connection) = builder.handshake(stream).await.map_err(|error| lost(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to the cluster ended");
        }
    });
    Ok(sender)
}

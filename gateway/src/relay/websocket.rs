//! The fallback: the same connections inside a WebSocket, where something in front of the gateway terminates TLS.
//!
//! Nobody is signed in here; what counts is the `ClientHello` inside, as on a bare connection.

use std::sync::Arc;

use axum::{extract::Request, http::StatusCode, response::Response};
use data_encoding::BASE64;
use hoop_model::ClientAddress;
use hoop_tunnel::{
    dispatch::Dispatch,
    hello::{HelloPeek, Peek},
    websocket,
};
use http::header;
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, timeout_at},
};

use super::Pipe;
use crate::{
    http::problem::Problematic,
    hub::Shared,
    listener::{
        self, Listener,
        limits::{Half, Place},
        prefixed::Prefixed,
    },
};

/// RFC 6455 §1.3.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Upgrades, and goes on as the listener would.
pub(crate) async fn upgrade(hub: Shared, mut request: Request) -> Result<Response, Problematic> {
    let headers = request.headers();
    let has = |name: header::HeaderName, wanted: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted)))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned();
    let key = key.filter(|_| has(header::UPGRADE, "websocket") && has(header::SEC_WEBSOCKET_VERSION, "13"));
    let Some(key) = key else {
        return Err(Problematic::bad_request("this path is for WebSocket upgrades over HTTP/1.1"));
    };
    // A page has no business here: a browser always sends its origin with a WebSocket (THREATS E3).
    if headers.contains_key(header::ORIGIN) {
        return Err(Problematic::forbidden("HOOP-3031", "this request comes from a web page"));
    }
    let from = request.extensions().get::<ClientAddress>().copied();
    let from = from.ok_or_else(|| Problematic::internal("a request without an address"))?;
    let place = request.extensions().get::<Place>().cloned();
    let place = place.ok_or_else(|| Problematic::internal("a request without a place"))?;
    let door = request.extensions().get::<Arc<Listener>>().cloned();
    let door = door.ok_or_else(|| Problematic::internal("a request without a listener"))?;
    let upgrading = hyper::upgrade::on(&mut request);
    hub.tasks.spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        // Nobody is authenticated by an upgrade: half-open as a bare connection is.
        let half = place.half_open.enter();
        let socket = websocket::upgraded(TokioIo::new(upgraded)).await;
        go_on(&door, Pipe::Web(Box::new(socket)), from, half, place).await;
    });
    let accept = BASE64.encode(
        aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            &[key.as_bytes(), ACCEPT_SUFFIX].concat(),
        )
        .as_ref(),
    );
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(axum::body::Body::empty())
        .map_err(Problematic::internal)
}

async fn go_on(door: &Listener, mut pipe: Pipe, from: ClientAddress, half: Half, place: Place) {
    let hub = &door.hub;
    let deadline = Instant::now() + hub.config.limits.handshake_timeout;
    let opened = tokio::select! {
        biased;
        () = hub.stopping.cancelled() => return,
        () = half.pushed_out.cancelled() => {
            metrics::counter!("hoop_connections_refused_total", "reason" => "pushed_out").increment(1);
            return;
        }
        opened = timeout_at(deadline, open(&mut pipe, hub.config.limits.pre_auth_bytes)) => opened,
    };
    let Ok(Some((dispatch, bytes))) = opened else {
        metrics::counter!("hoop_connections_refused_total", "reason" => "websocket").increment(1);
        return;
    };
    let outcome = match &dispatch {
        Dispatch::Session(ticket) => match super::ticket(hub, ticket, bytes, pipe, (half, place)).await {
            Err(why) => {
                super::tell(hub, ticket, why, from.0).await;
                Err(why)
            }
            Ok(()) => Ok(()),
        },
        Dispatch::Claim(claim) => super::claim(hub, claim, pipe),
        Dispatch::Control => {
            listener::control(door, Prefixed::new(bytes, pipe), from.0, deadline, half).await;
            drop(place);
            return;
        }
        // Whoever got here speaks HTTP already.
        Dispatch::Http => {
            metrics::counter!("hoop_connections_refused_total", "reason" => "websocket").increment(1);
            return;
        }
    };
    if let Err(why) = outcome {
        why.count();
    }
}

/// Reads up to the end of the `ClientHello`.
pub(super) async fn open(pipe: &mut Pipe, limit: usize) -> Option<(Dispatch, Vec<u8>)> {
    let mut peek = HelloPeek::default();
    let mut buffer = [0_u8; 2048];
    let mut total = 0;
    loop {
        let count = pipe.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        total += count;
        if total > limit {
            return None;
        }
        match peek.feed(buffer.get(..count)?) {
            Peek::NeedMore => {}
            Peek::Hello(hello) => {
                let dispatch = Dispatch::of(&hello).ok()?;
                let fits = !matches!(dispatch, Dispatch::Claim(_)) || hello.length == total;
                return fits.then(|| (dispatch, peek.into_bytes()));
            }
            Peek::NotTls | Peek::Malformed(_) => return None,
        }
    }
}

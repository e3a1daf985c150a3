//! Metrics and health over plain HTTP, for machines: nothing here is about people.
//!
//! As bounded as the public port: so many connections, the idle ones first to go, and a request's head within the time of a
//! handshake. It answers until the very end, so that whoever balances load sees a gateway that stops.

use std::time::Duration;

use axum::{
    Router, body::Body, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get,
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tower::ServiceExt as _;

use crate::{
    hub::Shared,
    listener::{self, limits::HalfOpen},
};

const STORE_PATIENCE: Duration = Duration::from_secs(3);
/// Connections at once: a few scrapers and probes. One more pushes the oldest out.
const CONNECTIONS: usize = 64;

/// Serves until it is aborted, with all its connections.
pub(crate) async fn serve(hub: Shared, socket: TcpListener) {
    let patience = hub.config.limits.handshake_timeout;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(hub);
    let open = HalfOpen::new(CONNECTIONS);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Some((tcp, _)) = listener::accept(&socket).await else { continue };
        let (place, router) = (open.enter(), router.clone());
        connections.spawn(async move {
            let service = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                router.clone().oneshot(request.map(Body::new))
            });
            let builder = listener::builder(patience, listener::STREAMS_OF_STRANGERS);
            tokio::select! {
                biased;
                () = place.pushed_out.cancelled() => listener::refuse("pushed_out_ops"),
                _ = builder.serve_connection(TokioIo::new(tcp), TowerToHyperService::new(service)) => {}
            }
        });
    }
}

async fn metrics(State(hub): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], hub.metrics.render())
}

/// Ready: not stopping, and the store answers.
async fn ready(State(hub): State<Shared>) -> (StatusCode, &'static str) {
    if hub.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    match timeout(STORE_PATIENCE, hub.store.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
    }
}

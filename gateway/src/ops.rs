//! Metrics and health over plain HTTP, for machines: nothing here is about people.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, http::header, response::IntoResponse, routing::get};
use tokio::{net::TcpListener, time::timeout};

use crate::hub::Shared;

const STORE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// Serves until the gateway has stopped.
pub(crate) async fn serve(hub: Shared, socket: TcpListener) {
    let stopping = hub.stopping.clone();
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(&hub));
    let served = axum::serve(socket, router).with_graceful_shutdown(stopping.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the listener of metrics and health failed");
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

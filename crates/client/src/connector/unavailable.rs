//! Tells an HTTP client that there is no way to its server just now, in the words of Kubernetes: a v1.Status.
//!
//! A connection that only breaks off is told by kubectl as "EOF", which helps nobody.

use std::{convert::Infallible, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::error::ClientError;

/// A client that was let in asks at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers the first request with the error, and closes.
pub(super) async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    why: &ClientError,
) {
    let body = Bytes::from(status(why));
    let answered = Notify::new();
    let service = service_fn(|_: Request<Incoming>| {
        answered.notify_one();
        let response = response(body.clone());
        async move { Ok::<_, Infallible>(response) }
    });
    let io = TokioIo::new(stream);
    let told = if http2 {
        let tasks = Tasks(TaskTracker::new());
        let mut connection =
            std::pin::pin!(server::conn::http2::Builder::new(tasks).serve_connection(io, service));
        timeout(PATIENCE, async {
            tokio::select! {
                ended = &mut connection => return ended,
                () = answered.notified() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        })
        .await
    } else {
        let mut http1 = server::conn::http1::Builder::new();
        timeout(PATIENCE, http1.keep_alive(false).serve_connection(io, service)).await
    };
    if !matches!(told, Ok(Ok(()))) {
        tracing::debug!("a client was not told why there is no way");
    }
}

/// Streams of the one connection; each is answered at once.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

fn status(why: &ClientError) -> String {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": why.fault.to_string(), "reason": "ServiceUnavailable", "code": 503,
    });
    status.to_string()
}

fn response(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};
    use hyper::client;
    use tokio::io::duplex;

    use super::*;

    fn why() -> ClientError {
        ClientError::away("HOOP-1013", "no way to \"k8s\"").hint("try again")
    }

    fn question() -> Request<Empty<Bytes>> {
        Request::get("http://k8s/api").body(Empty::new()).unwrap()
    }

    async fn read(response: Response<Incoming>) -> (u16, serde_json::Value) {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn check((code, status): &(u16, serde_json::Value)) {
        assert_eq!((*code, &status["reason"]), (503, &"ServiceUnavailable".into()));
        assert_eq!(status["message"], "no way to \"k8s\" (HOOP-1013)\nhint: try again");
    }

    #[tokio::test]
    async fn a_client_of_either_version_is_told_why_and_let_go() {
        let why = why();
        let (ours, theirs) = duplex(1 << 16);
        let asking = async {
            let (mut sender, connection) =
                client::conn::http1::handshake(TokioIo::new(theirs)).await.unwrap();
            let (answer, ended) = tokio::join!(
                async { read(sender.send_request(question()).await.unwrap()).await },
                connection
            );
            ended.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(answer(ours, false, &why), asking);
        check(&answer);

        let (ours, theirs) = duplex(1 << 16);
        let asking = async {
            let tasks = Tasks(TaskTracker::new());
            let (mut sender, connection) =
                client::conn::http2::handshake(tasks, TokioIo::new(theirs)).await.unwrap();
            let (answer, ended) = tokio::join!(
                async { read(sender.send_request(question()).await.unwrap()).await },
                connection
            );
            ended.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(super::answer(ours, true, &why), asking);
        check(&answer);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_without_end() {
        for http2 in [false, true] {
            let (ours, _theirs) = duplex(1 << 16);
            answer(ours, http2, &why()).await;
        }
    }
}

//! The request that begins a command in a pod, and the WebSocket that it becomes.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{
    error::{PodError, Refusal},
    frames::PROTOCOL,
    status,
};

/// A stream to an API server that has become a WebSocket.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A frame of output is far smaller.
const LARGEST_FRAME: usize = 4 << 20;
const LARGEST_STATUS: usize = 256 * 1024;
/// A container runtime may take its time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What to run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCommand {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// Which of its containers; the only one, or the usual one, if none is named.
    pub container: Option<String>,
    /// Program and arguments.
    pub words: Vec<String>,
    /// It has input.
    pub stdin: bool,
    /// It has a terminal.
    pub tty: bool,
}

impl PodCommand {
    /// Path and query, in which every name stays what it is.
    fn target(&self) -> String {
        let mut target = format!(
            "/api/v1/namespaces/{}/pods/{}/exec?stdin={}&stdout=true&stderr={}&tty={}",
            escaped(&self.namespace),
            escaped(&self.pod),
            self.stdin,
            !self.tty,
            self.tty,
        );
        let named = self.container.iter().map(|container| ("container", container));
        for (name, value) in named.chain(self.words.iter().map(|word| ("command", word))) {
            target.push_str(&format!("&{name}={}", escaped(value)));
        }
        target
    }
}

/// RFC 3986 §2.3: everything but unreserved characters. A name of dots alone would be a step in the path.
fn escaped(text: &str) -> String {
    let dots = text.bytes().all(|byte| byte == b'.');
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !dots) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

/// Asks for it.
pub(crate) async fn open<S>(stream: S, command: &PodCommand) -> Result<Socket, PodError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let key = generate_key();
    let request = Request::get(command.target())
        .header(header::HOST, "kubernetes")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(Empty::<Bytes>::new())
        .map_err(|_| PodError::TooLong)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| unanswered(&error))?;
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| unanswered(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await.into());
        }
        agreed(&response, &key)?;
        hyper::upgrade::on(response).await.map_err(|error| unanswered(&error))
    };
    let answered = async {
        let (mut asking, mut lives) = (std::pin::pin!(asking), true);
        loop {
            tokio::select! {
                biased;
                answer = &mut asking => return answer,
                _ = &mut connection, if lives => lives = false,
            }
        }
    };
    let upgraded = timeout(PATIENCE, answered)
        .await
        .map_err(|_| PodError::Broke("the API server does not answer"))??;
    let config =
        WebSocketConfig::default().max_message_size(Some(LARGEST_FRAME)).max_frame_size(Some(LARGEST_FRAME));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await)
}

/// RFC 6455 §4.1: the answer is to this very question, and speaks what we speak.
fn agreed(response: &Response<Incoming>, key: &str) -> Result<(), PodError> {
    let says = |name, value: &str| {
        response.headers().get(name).is_some_and(|said| said.as_bytes() == value.as_bytes())
    };
    if !says(header::SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes())) {
        return Err(PodError::Broke("the answer is not that of a WebSocket"));
    }
    if !says(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return Err(PodError::Broke(
            "the API server does not speak v5.channel.k8s.io (Kubernetes 1.30 and later do)",
        ));
    }
    Ok(())
}

async fn refusal(response: Response<Incoming>) -> Refusal {
    let http = response.status().as_u16();
    let body = Limited::new(response.into_body(), LARGEST_STATUS).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    status::answered(http, &bytes)
}

fn unanswered(error: &hyper::Error) -> PodError {
    tracing::debug!(%error, "no answer to exec");
    PodError::Broke("the request was not answered")
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn no_name_leaves_its_place() {
        let command = PodCommand {
            namespace: "..".into(),
            pod: "a/b?c=d#e".into(),
            container: Some("x&tty=true".into()),
            words: vec!["sh".into(), "-c".into(), "echo 'é' $HOME+1\n&command=rm".into()],
            stdin: true,
            tty: false,
        };
        assert_eq!(
            command.target(),
            "/api/v1/namespaces/%2E%2E/pods/a%2Fb%3Fc%3Dd%23e/exec?stdin=true&stdout=true&stderr=true&tty=false\
             &container=x%26tty%3Dtrue&command=sh&command=-c\
             &command=echo%20%27%C3%A9%27%20%24HOME%2B1%0A%26command%3Drm"
        );
    }
}

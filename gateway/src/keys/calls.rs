//! Calls to a key service: in bounded time, of bounded length, tried again where that can help, and never to where an
//! answer points. Neither URL nor answer is in an error: both may hold secrets.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, redirect::Policy};

use super::keeper::KeeperError;
use crate::config::lists::Ca;

const AGENT: &str = concat!("hoop/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(3);
/// One try.
const PATIENCE: Duration = Duration::from_secs(5);
/// All of them: somebody waits for the answer.
const ALTOGETHER: Duration = Duration::from_secs(8);
/// After each try but the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];
/// The longest are public keys of every version that there ever was.
const LONGEST: usize = 1 << 20;

/// What a service answered.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// A client for one service.
pub(super) fn client(ca: Option<&Ca>) -> Result<Client, KeeperError> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(AGENT);
    let builder = match ca {
        Some(Ca(pem)) => {
            let trusted = Certificate::from_pem_bundle(pem.as_bytes());
            builder
                .tls_certs_only(trusted.map_err(|_| KeeperError::Away("its CA cannot be read".to_owned()))?)
        }
        None => builder,
    };
    builder.build().map_err(|error| KeeperError::Away(error.without_url().to_string()))
}

/// Sends what `build` makes, each time anew, until there is an answer that another try would not change.
pub(super) async fn call<'a>(
    build: impl Fn() -> BoxFuture<'a, Result<RequestBuilder, KeeperError>>,
) -> Result<Answered, KeeperError> {
    let answered = tokio::time::timeout(ALTOGETHER, tries(build)).await;
    answered.unwrap_or_else(|_| {
        metrics::counter!("hoop_key_service_failures_total").increment(1);
        Err(KeeperError::Away("it took too long".to_owned()))
    })
}

async fn tries<'a>(
    build: impl Fn() -> BoxFuture<'a, Result<RequestBuilder, KeeperError>>,
) -> Result<Answered, KeeperError> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let outcome = once(build().await?).await;
        let again = match &outcome {
            Ok(answered) => {
                answered.status.is_server_error() || answered.status == StatusCode::TOO_MANY_REQUESTS
            }
            Err(_) => true,
        };
        match pauses.next().filter(|_| again) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => {
                if again {
                    metrics::counter!("hoop_key_service_failures_total").increment(1);
                }
                return outcome;
            }
        }
    }
}

async fn once(request: RequestBuilder) -> Result<Answered, KeeperError> {
    let mut response = request.send().await.map_err(failed)?;
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > LONGEST {
            return Err(KeeperError::Away("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answered { status: response.status(), body: body.freeze() })
}

fn failed(error: reqwest::Error) -> KeeperError {
    if error.is_timeout() {
        return KeeperError::Away("it took too long".to_owned());
    }
    let error = error.without_url();
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    KeeperError::Away(inner.to_string())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A server that gives one answer a connection, the last one for ever; and how often it was asked.
    async fn asked(answers: Vec<String>) -> (Result<Answered, KeeperError>, usize) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&count);
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let number = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let answer = &answers[number.min(answers.len() - 1)];
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let client = client(None).unwrap();
        let outcome = call(|| std::future::ready(Ok(client.get(&url))).boxed()).await;
        server.abort();
        (outcome, count.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn answer(status: &str, more: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n{body}")
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_not_for_ever() {
        let (outcome, times) = asked(vec![answer("503 No", "", ""), answer("200 OK", "", "yes")]).await;
        assert_eq!((&*outcome.unwrap().body, times), (&b"yes"[..], 2));
        let (outcome, times) = asked(vec![answer("500 No", "", "")]).await;
        assert_eq!((outcome.unwrap().status.as_u16(), times), (500, 3));
        let (outcome, times) = asked(vec![answer("403 No", "", "")]).await;
        assert_eq!((outcome.unwrap().status.as_u16(), times), (403, 1), "a no is a no");
        let (outcome, times) = asked(vec!["garbage".to_owned()]).await;
        assert!(matches!(outcome, Err(KeeperError::Away(_))));
        assert_eq!(times, 3);
    }

    #[tokio::test]
    async fn no_answer_leads_elsewhere_or_fills_memory() {
        let (outcome, times) =
            asked(vec![answer("302 Found", "Location: http://127.0.0.1:1/\r\n", "")]).await;
        assert_eq!((outcome.unwrap().status.as_u16(), times), (302, 1));
        let (outcome, _) = asked(vec![answer("200 OK", "", &"x".repeat(LONGEST + 1))]).await;
        assert!(matches!(outcome, Err(KeeperError::Away(why)) if why.contains("too long")));
    }
}

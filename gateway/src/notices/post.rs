//! One request to a webhook: no redirects (they could lead inside), no second more than there is, and of the answer the
//! status alone, so that no answer is too long. The URL counts as a secret and is in no error.

use std::time::Duration;

use hoop_model::Redacted;
use http::{HeaderMap, HeaderValue, header};
use reqwest::{Certificate, Client, redirect::Policy};

use super::SendError;
use crate::config::lists::Ca;

const AGENT: &str = concat!("hoop/", env!("CARGO_PKG_VERSION"));

/// A client for one channel.
pub(crate) fn client(ca: Option<&Ca>, patience: Duration) -> Result<Client, reqwest::Error> {
    // Notices are rare: a connection kept for the next one would be stale by then.
    let builder = Client::builder().redirect(Policy::none()).timeout(patience).pool_max_idle_per_host(0);
    let builder = match ca {
        Some(Ca(pem)) => builder.tls_certs_only(Certificate::from_pem_bundle(pem.as_bytes())?),
        None => builder,
    };
    builder.user_agent(AGENT).build()
}

/// Posts JSON.
pub(crate) async fn post(
    client: &Client,
    url: &Redacted<String>,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Result<(), SendError> {
    let request = client.post(url.expose()).headers(headers);
    let request =
        request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
    let answer = request.send().await.map_err(failed)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(SendError::Redirected(status.as_u16())),
        status => Err(SendError::Answered(status.as_u16())),
    }
}

pub(crate) fn failed(error: reqwest::Error) -> SendError {
    if error.is_timeout() {
        return SendError::NoAnswer;
    }
    let error = error.without_url();
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    SendError::Unreachable(inner.to_string())
}

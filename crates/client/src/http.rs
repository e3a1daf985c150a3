//! HTTP towards the gateway: bearer tokens that refresh themselves, answers of bounded size, errors that explain.
//!
//! Knows how to ask, not what there is to ask for (see [`crate::calls`]).

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use hoop_api::{Problem, auth::Tokens};
use hoop_model::{Redacted, Timestamp};
use reqwest::{Method, Response, StatusCode, Url};
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    address::GatewayUrl,
    error::{Class, ClientError, Result},
    profile::{Profile, ProfileStore, StoredTokens},
    step_up::{self, StepUp},
    tls,
};

const USER_AGENT: &str = concat!("hoop/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that waits for the next call. Who holds a session open for hours makes calls once in a while, and the gateway
/// should not hold two connections for them.
const IDLE: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Opening a session waits for the agent; a stream of events says something at least this often.
const SILENCE_LIMIT: Duration = Duration::from_secs(90);
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
const LARGEST_PROBLEM: usize = 64 * 1024;
/// A token is renewed when it has less than this left.
const REFRESH_AHEAD: Duration = Duration::from_secs(30);

/// A gateway that can be asked, with a sign-in or without.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    gateway: GatewayUrl,
    tls: Arc<ClientConfig>,
    credential: Credential,
    step_up: OnceLock<Box<dyn StepUp>>,
}

/// What calls are signed with.
enum Credential {
    Nothing,
    /// The tokens of the profile, which renew themselves.
    SignIn(Mutex<SignIn>),
    /// A service account's token, which lasts until it is over.
    ApiToken(Redacted<String>),
}

struct SignIn {
    store: ProfileStore,
    profile: Profile,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("gateway", &self.0.gateway).finish_non_exhaustive()
    }
}

/// The present, by this machine's clock.
#[must_use]
pub fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

impl Api {
    /// A gateway that is asked anonymously.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn anonymous(gateway: GatewayUrl, ca_pem: Option<&str>) -> Result<Self> {
        Self::build(gateway, tls::config(ca_pem)?, Credential::Nothing)
    }

    /// The gateway of the profile, asked as the person who signed in.
    ///
    /// # Errors
    /// When nobody is signed in, or the profile cannot be used.
    pub fn signed_in(store: ProfileStore) -> Result<Self> {
        let profile =
            store.load()?.ok_or_else(|| ClientError::not_signed_in("no gateway is known here yet"))?;
        if profile.tokens.is_none() {
            return Err(ClientError::not_signed_in("you are signed out"));
        }
        let gateway = GatewayUrl::parse(&profile.gateway)?;
        let tls = tls::config(profile.ca_pem.as_deref())?;
        Self::build(gateway, tls, Credential::SignIn(Mutex::new(SignIn { store, profile })))
    }

    /// A gateway that is asked as the service account whose token this is. Nothing is read from a profile or kept.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn with_token(gateway: GatewayUrl, ca_pem: Option<&str>, token: Redacted<String>) -> Result<Self> {
        Self::build(gateway, tls::config(ca_pem)?, Credential::ApiToken(token))
    }

    /// A gateway whose certificate is not checked: only to read what is checked by other means.
    pub(crate) fn unverified(gateway: GatewayUrl) -> Result<Self> {
        Self::build(gateway, tls::unverified_config()?, Credential::Nothing)
    }

    fn build(gateway: GatewayUrl, tls: ClientConfig, credential: Credential) -> Result<Self> {
        // Whatever other crates of the same build make of reqwest.
        let http = reqwest::Client::builder()
            .http1_only()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(tls.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .read_timeout(SILENCE_LIMIT)
            .https_only(true)
            // A gateway has no reason to send us elsewhere, token and all.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| ClientError::own("HOOP-9001", "the HTTP client cannot be set up"))?;
        let step_up = OnceLock::new();
        Ok(Self(Arc::new(Inner { http, gateway, tls: Arc::new(tls), credential, step_up })))
    }

    /// Whom to ask when a call needs a fresh second factor. The first one given stays.
    #[must_use]
    pub fn with_step_up(self, step_up: impl StepUp + 'static) -> Self {
        let _ = self.0.step_up.set(Box::new(step_up));
        self
    }

    /// The gateway's address.
    #[must_use]
    pub fn gateway(&self) -> &GatewayUrl {
        &self.0.gateway
    }

    /// TLS as it is used towards the gateway.
    #[must_use]
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.tls)
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// What the gateway says, or that it cannot be reached.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T> {
        self.call(Method::GET, self.0.gateway.api(path, query), None).await
    }

    /// Sends JSON, and reads JSON back.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let body = to_json(body)?;
        self.call(method, self.0.gateway.api(path, &[]), Some(body)).await
    }

    /// Asks for something that answers without a body.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn command(&self, method: Method, path: &str, body: Option<&serde_json::Value>) -> Result<()> {
        let body = body.map(to_json).transpose()?;
        let url = self.0.gateway.api(path, &[]);
        let limit = Some(ANSWER_TIMEOUT);
        self.authorized(method, url, body, limit).await.map(drop)
    }

    /// Asks for a body to be read piece by piece: there is no limit to how long it may take, only to silence.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn stream(&self, path: &str, query: &[(&str, String)]) -> Result<Body> {
        let url = self.0.gateway.api(path, query);
        self.authorized(Method::GET, url, None, None).await.map(Body)
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, url: Url, body: Option<Vec<u8>>) -> Result<T> {
        let response = self.authorized(method, url, body, Some(ANSWER_TIMEOUT)).await?;
        let bytes = read_limited(response, LARGEST_ANSWER).await?;
        serde_json::from_slice(&bytes).map_err(|_| not_understood())
    }

    /// As [`Self::send`], for the calls that prove a second factor: nobody is asked for another one meanwhile.
    pub(crate) async fn send_once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let (url, body) = (self.0.gateway.api(path, &[]), to_json(body)?);
        let response = self.as_signed_in(method, url, Some(body), Some(ANSWER_TIMEOUT)).await?;
        let bytes = read_limited(response, LARGEST_ANSWER).await?;
        serde_json::from_slice(&bytes).map_err(|_| not_understood())
    }

    /// As [`Self::command`], in the same way.
    pub(crate) async fn command_once(
        &self,
        method: Method,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<()> {
        let (url, body) = (self.0.gateway.api(path, &[]), to_json(body)?);
        self.as_signed_in(method, url, Some(body), Some(ANSWER_TIMEOUT)).await.map(drop)
    }

    /// The one place where a fresh second factor is asked for: the call is repeated once it was proven.
    async fn authorized(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        limit: Option<Duration>,
    ) -> Result<Response> {
        let answer = self.as_signed_in(method.clone(), url.clone(), body.clone(), limit).await;
        let Err(error) = answer else { return answer };
        let Some(step_up) = self.0.step_up.get().filter(|_| step_up::is_needed(&error)) else {
            return Err(error);
        };
        if !step_up.is_possible() {
            return Err(step_up::unattended(error));
        }
        step_up.prove(self).await?;
        self.as_signed_in(method, url, body, limit).await
    }

    async fn as_signed_in(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        limit: Option<Duration>,
    ) -> Result<Response> {
        let token = self.bearer().await?;
        let answer = self.once(method.clone(), url.clone(), body.clone(), token.as_ref(), limit).await;
        match (answer, token) {
            (Err(error), Some(stale)) if error.class == Class::NotSignedIn => {
                let fresh = self.replace(&stale).await?;
                self.once(method, url, body, Some(&fresh), limit).await
            }
            (answer, _) => answer,
        }
    }

    async fn once(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        token: Option<&Redacted<String>>,
        limit: Option<Duration>,
    ) -> Result<Response> {
        let mut request = self.0.http.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(refusal(status, response).await),
        }
    }

    /// The token to send, renewed if it is about to end. `None` when asking anonymously.
    async fn bearer(&self) -> Result<Option<Redacted<String>>> {
        let sign_in = match &self.0.credential {
            Credential::Nothing => return Ok(None),
            Credential::ApiToken(token) => return Ok(Some(token.clone())),
            Credential::SignIn(sign_in) => sign_in,
        };
        let mut sign_in = sign_in.lock().await;
        if !sign_in.is_fresh() {
            self.refresh(&mut sign_in).await?;
        }
        sign_in.access().map(Some)
    }

    /// A token in place of one that the gateway just refused.
    async fn replace(&self, stale: &Redacted<String>) -> Result<Redacted<String>> {
        let sign_in = match &self.0.credential {
            Credential::Nothing => return Err(ClientError::not_signed_in("you are not signed in")),
            Credential::ApiToken(_) => {
                return Err(ClientError::not_signed_in("the gateway does not take this API token").hint(
                    "it is expired, revoked or mistyped, or its account is locked: ask an admin for another",
                ));
            }
            Credential::SignIn(sign_in) => sign_in,
        };
        let mut sign_in = sign_in.lock().await;
        if sign_in.access()? == *stale {
            self.refresh(&mut sign_in).await?;
        }
        sign_in.access()
    }

    /// Trades the refresh token. It is good for one use among all hoop processes, hence the lock and the second look.
    async fn refresh(&self, sign_in: &mut SignIn) -> Result<()> {
        let store = sign_in.store.clone();
        let guard = tokio::task::spawn_blocking(move || store.lock())
            .await
            .map_err(|_| ClientError::own("HOOP-9001", "the profile's lock was not waited for"))??;
        let stored = sign_in.store.load()?.filter(|stored| stored.gateway == sign_in.profile.gateway);
        let stored =
            stored.ok_or_else(|| ClientError::not_signed_in("another sign-in has replaced this one"))?;
        let by_another_process = stored.tokens != sign_in.profile.tokens;
        sign_in.profile = stored;
        if by_another_process && sign_in.is_fresh() {
            return Ok(());
        }
        let Some(tokens) = &sign_in.profile.tokens else {
            return Err(ClientError::not_signed_in("you are signed out"));
        };
        let body = json!({ "grant_type": "refresh_token", "refresh_token": tokens.refresh.expose() });
        let fresh = self.token(&body).await.map_err(|error| match error.class {
            Class::NotSignedIn | Class::Denied | Class::Usage => {
                ClientError { class: Class::NotSignedIn, ..error }
                    .hint("your sign-in has ended: run `hoop login`")
            }
            _ => error,
        })?;
        sign_in.profile.tokens = Some(stored_tokens(&fresh));
        sign_in.store.save(&sign_in.profile)?;
        drop(guard);
        Ok(())
    }

    /// `POST /token`, anonymously.
    pub(crate) async fn token(&self, body: &serde_json::Value) -> Result<Tokens> {
        let url = self.0.gateway.api("/token", &[]);
        let response = self.once(Method::POST, url, Some(to_json(body)?), None, Some(ANSWER_TIMEOUT)).await?;
        let bytes = read_limited(response, LARGEST_PROBLEM).await?;
        serde_json::from_slice(&bytes).map_err(|_| not_understood())
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let gateway = &self.0.gateway;
        tracing::debug!(error = ?error, "request failed");
        if is_untrusted(error) {
            return ClientError::away(
                "HOOP-1007",
                format!("the certificate of {gateway} is not trusted here"),
            )
            .hint("if it uses its own CA: hoop login URL --ca FILE, or --ca-fingerprint SHA256");
        }
        if error.is_timeout() {
            return ClientError::away("HOOP-1006", format!("{gateway} did not answer in time"))
                .hint("try again; check the network and HTTPS_PROXY");
        }
        ClientError::away("HOOP-1006", format!("{gateway} cannot be reached{}", innermost(error)))
            .hint("check the address, the network and HTTPS_PROXY")
    }
}

impl SignIn {
    fn is_fresh(&self) -> bool {
        let soon = now().after(REFRESH_AHEAD);
        self.profile.tokens.as_ref().is_some_and(|tokens| tokens.expires_at > soon)
    }

    fn access(&self) -> Result<Redacted<String>> {
        let tokens = self.profile.tokens.as_ref();
        tokens
            .map(|tokens| tokens.access.clone())
            .ok_or_else(|| ClientError::not_signed_in("you are signed out"))
    }
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub struct Body(Response);

impl Body {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        self.0.chunk().await.map_err(|_| broken_off())
    }

    /// All of it, up to `limit` bytes.
    ///
    /// # Errors
    /// When the connection breaks, or there is more.
    pub async fn read_all(self, limit: usize) -> Result<Vec<u8>> {
        read_limited(self.0, limit).await
    }
}

/// The pair as it is kept.
#[must_use]
pub fn stored_tokens(tokens: &Tokens) -> StoredTokens {
    StoredTokens {
        access: tokens.access_token.clone().into(),
        refresh: tokens.refresh_token.clone().into(),
        expires_at: now().after(Duration::from_secs(tokens.expires_in)),
    }
}

fn to_json(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body)
        .map_err(|_| ClientError::own("HOOP-9001", "the request cannot be written as JSON"))
}

fn not_understood() -> ClientError {
    ClientError::own("HOOP-1009", "the gateway's answer is not understood")
        .hint("is this a hoop gateway, and of a version near to that of this command?")
}

fn broken_off() -> ClientError {
    ClientError::away("HOOP-1006", "the connection to the gateway broke off in the middle of an answer")
        .hint("try again")
}

async fn read_limited(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|_| broken_off())? {
        if bytes.len() + piece.len() > limit {
            return Err(ClientError::own(
                "HOOP-1009",
                format!("the gateway's answer is longer than {limit} bytes"),
            ));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn refusal(status: StatusCode, response: Response) -> ClientError {
    let bytes = read_limited(response, LARGEST_PROBLEM).await.unwrap_or_default();
    ClientError::answered(status.as_u16(), serde_json::from_slice::<Problem>(&bytes).ok())
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn is_untrusted(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        let inner = cause.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        let direct = cause.downcast_ref::<rustls::Error>();
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        matches!(direct.or(inner), Some(rustls::Error::InvalidCertificate(_)))
    })
}

/// `: connection refused` and the like: what the operating system said.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).filter_map(|cause| cause.downcast_ref::<std::io::Error>()).last().map_or_else(
        || causes(error).last().map_or_else(String::new, |cause| format!(": {cause}")),
        |cause| format!(": {cause}"),
    )
}

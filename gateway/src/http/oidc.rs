//! Sign-in through an OpenID Connect provider: the gateway is the relying party.
//!
//! What is remembered between the two halves is sealed in the store under the hash of `state`, given out once, and bound
//! to the browser by a cookie of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hoop_api::auth::Answer as Wanted;
use hoop_identity::{
    oidc::{self, Callback, HttpFailure, Identity, MfaEvidence, OidcConfig, OidcError, Pending, Wish},
    redirect::ReturnPath,
    token::{Kind, Token, sha256},
};
use hoop_ledger::EventCode;
use hoop_model::{
    Actor, AuthMethod, Blame, FactorKind, Fault, LoginId, Mfa, Redacted, Role, Timestamp, UserId,
};
use hoop_store::{
    Conflict, Factor, FlowKind, NewEvent, NewFlow, OidcUser, Proof, SignedIn, StoreError, User, UserSource,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{runtime::Handle, sync::Mutex};

use super::{
    caller::{From, SignedInCaller, cookie},
    login::{self, Proven},
    problem::{Answer, Problematic},
    tokens,
};
use crate::{
    config::Oidc,
    hub::{Hub, Shared, event, now},
    jobs,
};

/// Ties a sign-in to the browser that began it. `Lax`, for the provider sends the browser back from another site.
const COOKIE: &str = "__Host-hoop-oidc";
const FLOW_LIFE: Duration = Duration::from_secs(600);
const DISCOVERED_FOR: Duration = Duration::from_secs(600);
const HTTP_TIME: Duration = Duration::from_secs(10);
const HTTP_BYTES: usize = 1024 * 1024;

/// The provider: its settings, and what it last said about itself.
pub(crate) struct Provider {
    settings: Option<Oidc>,
    http: Option<Arc<oidc::Http>>,
    discovered: Mutex<Option<(Instant, oidc::Provider)>>,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Provider {
    pub(crate) fn new(settings: Option<Oidc>) -> Self {
        let http = settings.as_ref().and_then(|_| http_client());
        Self { settings, http, discovered: Mutex::default() }
    }

    /// Is there one?
    const fn is_configured(&self) -> bool {
        self.settings.is_some()
    }

    pub(crate) const fn settings(&self) -> Option<&Oidc> {
        self.settings.as_ref()
    }

    /// How often it is asked about people.
    pub(crate) fn recheck(&self) -> Option<Duration> {
        self.settings.as_ref().map(|settings| settings.recheck)
    }

    /// The provider as it described itself lately.
    pub(crate) async fn current(
        &self,
        redirect_url: String,
    ) -> Result<(oidc::Provider, Arc<oidc::Http>, &Oidc), Problematic> {
        let settings = self.settings.as_ref().ok_or_else(|| Problematic::not_found("identity provider"))?;
        let http = self
            .http
            .clone()
            .ok_or_else(|| Problematic::internal("no HTTP client for the identity provider"))?;
        let mut discovered = self.discovered.lock().await;
        if let Some((at, provider)) = &*discovered
            && at.elapsed() < DISCOVERED_FOR
        {
            return Ok((provider.clone(), http, settings));
        }
        let (config, call) = (config(settings, redirect_url), Arc::clone(&http));
        let provider =
            aside(move |runtime| runtime.block_on(oidc::Provider::discover(config, &*call))).await?;
        let provider = provider.map_err(|error| failed(&error))?;
        *discovered = Some((Instant::now(), provider.clone()));
        Ok((provider, http, settings))
    }
}

fn config(settings: &Oidc, redirect_url: String) -> OidcConfig {
    OidcConfig {
        issuer: settings.issuer.clone(),
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret.clone(),
        redirect_url,
        scopes: settings.scopes.clone(),
        groups_claim: Some(settings.groups_claim.clone()).filter(|claim| !claim.is_empty()),
        mfa: MfaEvidence { amr: settings.mfa_amr.clone(), acr: settings.mfa_acr.clone() },
        acr_values: settings.mfa_acr.clone(),
    }
}

/// No redirects (they could lead inside), bounded time and size.
fn http_client() -> Option<Arc<oidc::Http>> {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(HTTP_TIME);
    let client = builder.build().inspect_err(|error| tracing::error!(%error, "no HTTP client")).ok()?;
    Some(Arc::new(move |request: http::Request<Vec<u8>>| {
        let client = client.clone();
        Box::pin(async move { call(&client, request).await })
    }))
}

async fn call(
    client: &reqwest::Client,
    request: http::Request<Vec<u8>>,
) -> Result<http::Response<Vec<u8>>, HttpFailure> {
    let failed = |error: reqwest::Error| HttpFailure(error.without_url().to_string());
    let request = reqwest::Request::try_from(request).map_err(failed)?;
    let mut answer = client.execute(request).await.map_err(failed)?;
    let mut response = http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > HTTP_BYTES {
            return Err(HttpFailure("the answer is too long".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    response.body(body).map_err(|error| HttpFailure(error.to_string()))
}

fn failed(error: &OidcError) -> Problematic {
    tracing::warn!(%error, "sign-in through the identity provider failed");
    Fault::from(error).into()
}

/// Runs the relying party's work on a thread of its own: its futures borrow the HTTP function in a way that cannot be
/// shown to be `Send`, and checking signatures is no work for the thread that relays.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce(&Handle) -> T + Send + 'static) -> Answer<T> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || work(&runtime)).await.map_err(Problematic::internal)
}

/// What is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    pending: String,
    browser: String,
    return_to: String,
    /// For this sign-in of this person a second factor is to be proven again.
    #[serde(default)]
    step_up: Option<(UserId, LoginId)>,
}

/// Query of the start.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Start {
    #[serde(rename = "return")]
    return_to: Option<String>,
}

pub(crate) fn redirect_url(hub: &Hub) -> String {
    format!("{}{}/oidc/callback", hub.origin(), hoop_api::PREFIX)
}

/// `GET /oidc/start`.
pub(super) async fn start(
    State(hub): State<Shared>,
    From(address): From,
    Query(start): Query<Start>,
) -> Answer<Response> {
    if !hub.throttle.address(address) {
        return Err(Problematic::too_many(60));
    }
    begin(&hub, &start, Wish::default(), None).await
}

/// `GET /auth/step-up/oidc`: the provider is asked to see the person anew.
pub(super) async fn step_up(
    State(hub): State<Shared>,
    From(address): From,
    SignedInCaller(caller): SignedInCaller,
    Query(start): Query<Start>,
) -> Answer<Response> {
    if !hub.throttle.address(address) {
        return Err(Problematic::too_many(60));
    }
    let SignedIn { user, login } = &caller.signed_in;
    if user.source == UserSource::Builtin {
        return Err(Problematic::forbidden("HOOP-3041", "your second factor is with this gateway")
            .hint("type its code"));
    }
    let wish = Wish { fresh: true, max_age: Some(Duration::ZERO) };
    begin(&hub, &start, wish, Some((user.id, login.id))).await
}

async fn begin(hub: &Hub, start: &Start, wish: Wish, step_up: Option<(UserId, LoginId)>) -> Answer<Response> {
    let (provider, _, _) = hub.oidc.current(redirect_url(hub)).await?;
    let (url, pending) = provider.begin(wish).map_err(|error| failed(&error))?;
    let return_to = start.return_to.as_deref().and_then(ReturnPath::parse).unwrap_or_else(ReturnPath::home);
    let browser = tokens::fresh(Kind::Code)?;
    let text = Redacted::new(String::from_utf8_lossy(pending.to_secret().expose()).into_owned());
    let remembered = Remembered {
        pending: hub.keys.seal_flow("oidc", text.expose()).map_err(Problematic::internal)?,
        browser: data_encoding::HEXLOWER.encode(&browser.hash()),
        return_to: return_to.as_str().to_owned(),
        step_up,
    };
    let at = now();
    let flow = NewFlow {
        kind: FlowKind::Oidc,
        key: sha256(pending.state.expose().as_bytes()),
        user_code: None,
        payload: serde_json::to_value(remembered).map_err(Problematic::internal)?,
        created_at: at,
        expires_at: at.after(FLOW_LIFE),
    };
    hub.store.begin_flow(&flow).await?;
    let cookie = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600",
        browser.secret().expose()
    );
    go_to(&url, &[cookie])
}

fn go_to(url: &str, cookies: &[String]) -> Answer<Response> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(url).map_err(Problematic::internal)?);
    for cookie in cookies {
        headers.append(header::SET_COOKIE, HeaderValue::from_str(cookie).map_err(Problematic::internal)?);
    }
    Ok(response)
}

/// `GET /oidc/callback`. A failure is shown by the console's sign-in page.
pub(super) async fn callback(
    State(hub): State<Shared>,
    From(address): From,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Answer<Response> {
    // Anybody can call this: nothing is written for a gateway without a provider, nor without limit.
    if !hub.oidc.is_configured() {
        return Err(Problematic::not_found("identity provider"));
    }
    if !hub.throttle.address(address) {
        return Err(Problematic::too_many(60));
    }
    let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    match finish(&hub, address, &headers, &callback).await {
        Ok((mut response, return_to)) => {
            *response.status_mut() = StatusCode::SEE_OTHER;
            let location = HeaderValue::from_str(&return_to).map_err(Problematic::internal)?;
            response.headers_mut().insert(header::LOCATION, location);
            let gone = HeaderValue::from_str(&gone).map_err(Problematic::internal)?;
            response.headers_mut().append(header::SET_COOKIE, gone);
            Ok(response)
        }
        Err(problem) => {
            let facts = json!({ "address": address.to_string(), "flow": "oidc", "reason": problem.code() });
            hub.store.append(&[event(&Actor::Anonymous, EventCode::LoginFailed, [], facts)]).await?;
            metrics::counter!("hoop_logins_refused_total", "reason" => "oidc").increment(1);
            go_to(&format!("/login?error={}", problem.code()), &[gone])
        }
    }
}

async fn finish(
    hub: &Shared,
    address: std::net::IpAddr,
    headers: &HeaderMap,
    callback: &Callback,
) -> Answer<(Response, String)> {
    let foreign = |why| failed(&OidcError::Callback(why));
    let state = callback.state.as_ref().ok_or_else(|| foreign("no state"))?;
    let taken = hub.store.take_flow(FlowKind::Oidc, &sha256(state.expose().as_bytes()), now()).await?;
    let remembered: Remembered = serde_json::from_value(taken.ok_or_else(|| foreign("unknown state"))?)
        .map_err(Problematic::internal)?;
    let browser = cookie(headers, COOKIE).and_then(|text| Token::parse(Kind::Code, text).ok());
    let same = browser.is_some_and(|token| {
        tokens::same(&data_encoding::HEXLOWER.encode(&token.hash()), &remembered.browser)
    });
    if !same {
        return Err(foreign("another browser"));
    }
    let opened = hub.keys.open_flow("oidc", &remembered.pending).map_err(Problematic::internal)?;
    let pending = Pending::from_secret(&Redacted::new(opened.expose().clone().into_bytes()));
    let pending = pending.ok_or_else(|| Problematic::internal("a remembered sign-in cannot be read"))?;
    let (provider, http, settings) = hub.oidc.current(redirect_url(hub)).await?;
    let callback = callback.clone();
    let finishing =
        move |runtime: &Handle| runtime.block_on(provider.finish(&callback, &pending, now(), &*http));
    let identity = aside(finishing).await?.map_err(|error| failed(&error))?;
    for note in &identity.notes {
        tracing::warn!(note, "a claim of the identity provider was left out");
    }
    let mfa_at = identity.mfa.then(|| identity.auth_time.unwrap_or_else(now));
    let step_up = remembered.step_up;
    let again = identity.refresh_token.clone();
    // Groups may have changed with this sign-in: what they no longer allow ends now.
    let (task, of_task) = (hub.clone(), settings.clone());
    let user = jobs::change(hub, async move { account(&task, identity, &of_task).await }).await?;
    if user.locked {
        return Err(Problematic::forbidden("HOOP-2002", "this account is locked"));
    }
    if let Some(token) = again {
        let sealed = hub.keys.seal_flow("provider", token.expose()).map_err(Problematic::internal)?;
        let at = now();
        hub.store.keep_provider_token(user.id, &sealed, at, at.after(settings.recheck)).await?;
    }
    if let Some(waiting) = step_up {
        prove(hub, &user, waiting, mfa_at, address).await?;
        return Ok((StatusCode::SEE_OTHER.into_response(), remembered.return_to));
    }
    let proof = Proof::Provider;
    let mfa = mfa_at.map(|at| Mfa { at, by: FactorKind::Idp });
    let proven = Proven { user, method: AuthMethod::Oidc, mfa, proof, address, flow: "oidc", told: None };
    Ok((login::keep(hub, &proven, Wanted::Cookie).await?, remembered.return_to))
}

/// Whoever came back must be who was sent, and must have proven a second factor there.
async fn prove(
    hub: &Hub,
    user: &User,
    (person, login): (UserId, LoginId),
    mfa_at: Option<Timestamp>,
    address: std::net::IpAddr,
) -> Answer<()> {
    if user.id != person {
        return Err(Problematic::forbidden("HOOP-3043", "somebody else signed in at the identity provider"));
    }
    let Some(mfa_at) = mfa_at else {
        return Err(Problematic::forbidden("HOOP-3044", "the identity provider saw no second factor")
            .hint("enrol one there; your administrator knows how"));
    };
    let facts = json!({ "by": "identity provider", "address": address.to_string(), "name": user.name });
    let told = event(&Actor::System, EventCode::MfaProven, [user.id.into(), login.into()], facts);
    hub.store.prove_mfa(login, &Factor::Provider, mfa_at, now(), &[told]).await?;
    metrics::counter!("hoop_step_ups_total", "by" => "identity provider").increment(1);
    Ok(())
}

pub(crate) async fn account(hub: &Hub, identity: Identity, settings: &Oidc) -> Answer<User> {
    let role = role(&identity, settings);
    let (issuer, subject) = (identity.issuer.clone(), identity.subject.clone());
    let person = OidcUser {
        id: UserId::generate(),
        issuer: identity.issuer,
        subject: identity.subject,
        name: identity.name,
        groups: identity.groups,
        role,
        at: now(),
    };
    let events = move |before: Option<&User>, after: &User| -> Vec<NewEvent> {
        let facts = json!({
            "name": after.name, "role": after.role, "groups": after.groups, "issuer": issuer, "subject": subject,
        });
        match before {
            None => vec![event(&Actor::System, EventCode::UserCreated, [after.id.into()], facts)],
            Some(before)
                if before.groups != after.groups
                    || before.role != after.role
                    || before.name != after.name =>
            {
                vec![event(&Actor::System, EventCode::UserChanged, [after.id.into()], facts)]
            }
            Some(_) => Vec::new(),
        }
    };
    match hub.store.upsert_oidc(&person, events).await {
        Ok(user) => Ok(user),
        Err(StoreError::Conflict(Conflict::NameTaken)) => {
            let fault = Fault::new("HOOP-3107", Blame::Policy, "another account has this name");
            Err(fault
                .with_hint(
                    "an admin must rename or remove the other account: people are never merged by name",
                )
                .into())
        }
        Err(error) => Err(error.into()),
    }
}

/// `None` when the operator maps no groups to roles: then admins give roles here.
pub(crate) fn role(identity: &Identity, settings: &Oidc) -> Option<Role> {
    let in_any =
        |groups: &[hoop_model::GroupName]| identity.groups.iter().any(|group| groups.contains(group));
    let Oidc { admin_groups, auditor_groups, approver_groups, .. } = settings;
    let mapped =
        [(admin_groups, Role::Admin), (auditor_groups, Role::Auditor), (approver_groups, Role::Approver)];
    if mapped.iter().all(|(groups, _)| groups.is_empty()) {
        return None;
    }
    Some(mapped.iter().find(|(groups, _)| in_any(groups)).map_or(Role::User, |(_, role)| *role))
}

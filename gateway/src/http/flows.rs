//! Sign-in of the `hoop` command: by the browser with a loopback redirect, or by a code from another device. Both are
//! approved in a browser that is signed in, and end in `POST /token`.

use std::{net::IpAddr, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use hoop_api::auth::{
    Answer as Wanted, CliLoginApproval, DeviceApproval, DeviceStart, RedirectTo, TokenRequest,
};
use hoop_identity::token::{Kind, PkceChallenge, Token, UserCode};
use hoop_ledger::event::EventCode;
use hoop_model::{AuthMethod, Blame, Fault, LoginId, Mfa, Redacted, UserId};
use hoop_store::{DevicePoll, FlowKind, NewFlow, Proof, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    body::Json,
    caller::{Caller, From, SignedInCaller},
    login::{self, Proven},
    problem::{Answer, Problematic},
    tokens,
};
use crate::hub::{Hub, Shared, event, now};

const CODE_LIFE: Duration = Duration::from_secs(60);
const DEVICE_LIFE: Duration = Duration::from_secs(600);
const DEVICE_INTERVAL: u64 = 3;

/// Whose sign-in is passed on, and how it was proven.
#[derive(Debug, Serialize, Deserialize)]
struct Approved {
    user: UserId,
    login: LoginId,
    method: AuthMethod,
    mfa: Option<Mfa>,
    #[serde(default)]
    challenge: Option<String>,
}

impl Approved {
    fn by(caller: &Caller, challenge: Option<String>) -> Self {
        let login = &caller.signed_in.login;
        Self { user: login.user, login: login.id, method: login.method, mfa: login.mfa, challenge }
    }
}

/// `POST /cli-login`: the console page approves a CLI's browser flow.
pub(super) async fn cli_login(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Json(request): Json<CliLoginApproval>,
) -> Answer<Json<RedirectTo>> {
    if PkceChallenge::parse(&request.code_challenge).is_err() {
        return Err(Problematic::bad_request(
            "code_challenge must be the base64url of a SHA-256 (RFC 7636, S256)",
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if request.port == 0
        || request.state.is_empty()
        || request.state.len() > 256
        || !request.state.chars().all(plain)
    {
        return Err(Problematic::bad_request(
            "port must not be 0, and state 1 to 256 characters of A-Z a-z 0-9 - _ . ~",
        ));
    }
    let code = tokens::fresh(Kind::Code)?;
    let at = now();
    let payload = serde_json::to_value(Approved::by(&caller, Some(request.code_challenge)))
        .map_err(Problematic::internal)?;
    let flow = NewFlow {
        kind: FlowKind::CliCode,
        key: code.hash(),
        user_code: None,
        payload,
        created_at: at,
        expires_at: at.after(CODE_LIFE),
    };
    hub.store.begin_flow(&flow).await?;
    // The host is a constant: wherever the port leads, it is this very machine of the person's.
    let location = format!(
        "http://127.0.0.1:{}/callback?code={}&state={}",
        request.port,
        code.secret().expose(),
        request.state
    );
    Ok(Json(RedirectTo { location }))
}

/// `POST /device`: starts a sign-in from a machine without a browser.
pub(super) async fn device_start(
    State(hub): State<Shared>,
    From(address): From,
) -> Answer<Json<DeviceStart>> {
    if !hub.throttle.address(address) {
        return Err(Problematic::too_many(60));
    }
    let device = tokens::fresh(Kind::Device)?;
    let user_code = UserCode::generate().map_err(Problematic::internal)?;
    let at = now();
    let flow = NewFlow {
        kind: FlowKind::Device,
        key: device.hash(),
        user_code: Some(user_code.hash()),
        payload: json!({ "address": address.to_string() }),
        created_at: at,
        expires_at: at.after(DEVICE_LIFE),
    };
    hub.store.begin_flow(&flow).await?;
    Ok(Json(DeviceStart {
        device_code: device.secret().expose().clone(),
        user_code: user_code.shown(),
        verification_uri: format!("{}/device", hub.origin()),
        expires_in: DEVICE_LIFE.as_secs(),
        interval: DEVICE_INTERVAL,
    }))
}

/// What a device is told in the end.
#[derive(Debug, Serialize, Deserialize)]
struct Decision {
    approved: Option<Approved>,
}

/// `POST /device/approve`.
pub(super) async fn device_approve(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Json(request): Json<DeviceApproval>,
) -> Answer<StatusCode> {
    let user = &caller.signed_in.user;
    // 34 bits are few against somebody who may guess without end.
    if !hub.throttle.name(&format!("device {}", user.id)) {
        return Err(Problematic::too_many(60));
    }
    let unknown = || Problematic::not_found("device code").hint("check the code, or start the sign-in again");
    let code = UserCode::parse(&request.user_code).map_err(|_| unknown())?;
    let decision = Decision { approved: request.approve.then(|| Approved::by(&caller, None)) };
    let decision = serde_json::to_value(decision).map_err(Problematic::internal)?;
    match hub.store.decide_flow(FlowKind::Device, &code.hash(), &decision, now(), &[]).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(StoreError::NotFound(_)) => Err(unknown()),
        Err(error) => Err(error.into()),
    }
}

/// `POST /token`.
pub(super) async fn token(
    State(hub): State<Shared>,
    From(address): From,
    Json(request): Json<TokenRequest>,
) -> Answer<Response> {
    if !hub.throttle.poll(address) {
        let fault = Fault::new("HOOP-3021", Blame::Caller, "slower, please")
            .with_hint("wait five seconds more between attempts");
        return Err(Problematic::with_status(StatusCode::TOO_MANY_REQUESTS, fault));
    }
    match request {
        TokenRequest::RefreshToken { refresh_token } => login::refresh(&hub, address, &refresh_token).await,
        TokenRequest::AuthorizationCode { code, code_verifier } => {
            authorization_code(&hub, address, &code, &code_verifier).await
        }
        TokenRequest::DeviceCode { device_code } => poll(&hub, address, &device_code).await,
    }
}

fn void() -> Problematic {
    let fault = Fault::new(
        "HOOP-3023",
        Blame::Caller,
        "this sign-in is void: it was used, refused, or took too long",
    );
    Problematic::with_status(StatusCode::BAD_REQUEST, fault.with_hint("start it again: `hoop login`"))
}

async fn authorization_code(
    hub: &Hub,
    address: IpAddr,
    code: &Redacted<String>,
    verifier: &Redacted<String>,
) -> Answer<Response> {
    let code = Token::parse(Kind::Code, code.expose()).map_err(|_| void())?;
    // Taken whatever the verifier: a code that somebody tried to use without it is used up.
    let payload = hub.store.take_flow(FlowKind::CliCode, &code.hash(), now()).await?.ok_or_else(void)?;
    let approved: Approved = serde_json::from_value(payload).map_err(Problematic::internal)?;
    let challenge = approved.challenge.as_deref().and_then(|text| PkceChallenge::parse(text).ok());
    if !challenge.is_some_and(|challenge| challenge.matches(verifier)) {
        let facts = json!({ "address": address.to_string(), "reason": "PKCE verifier is wrong" });
        let told =
            event(&hoop_model::Actor::Anonymous, EventCode::LoginFailed, [approved.user.into()], facts);
        hub.store.append(&[told]).await?;
        return Err(void());
    }
    finish(hub, address, approved, "browser").await
}

async fn poll(hub: &Hub, address: IpAddr, code: &Redacted<String>) -> Answer<Response> {
    let code = Token::parse(Kind::Device, code.expose()).map_err(|_| void())?;
    match hub.store.poll_flow(FlowKind::Device, &code.hash(), now()).await? {
        DevicePoll::Pending => {
            let fault = Fault::new("HOOP-3020", Blame::Caller, "nobody has approved this sign-in yet");
            Err(Problematic::with_status(StatusCode::BAD_REQUEST, fault))
        }
        DevicePoll::Gone => Err(void()),
        DevicePoll::Decided(decision) => {
            let decision: Decision = serde_json::from_value(decision).map_err(Problematic::internal)?;
            let refused = || Problematic::forbidden("HOOP-3022", "the sign-in was refused in the browser");
            finish(hub, address, decision.approved.ok_or_else(refused)?, "device").await
        }
    }
}

/// The approving sign-in must still be good, and its person too: the store looks once more when it keeps the new one.
async fn finish(hub: &Hub, address: IpAddr, approved: Approved, flow: &'static str) -> Answer<Response> {
    let user = hub.store.user(approved.user).await?.filter(|user| !user.locked).ok_or_else(void)?;
    let Approved { method, mfa, login, .. } = approved;
    let proven = Proven { user, method, mfa, proof: Proof::Login(login), address, flow, told: None };
    match login::keep(hub, &proven, Wanted::Tokens).await {
        Err(problem) if problem.is_conflict() => Err(void()),
        answer => answer,
    }
}

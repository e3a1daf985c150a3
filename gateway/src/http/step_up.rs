//! Step-up: a second factor proven again for a sign-in that there is, at the moment when it is needed.
//!
//! By a code; by a browser that a command line sends its person to; or by the identity provider (in [`super::oidc`]).
//! The proof is kept by the store, which looks once more whether it is in force and uses it up.

use std::{net::IpAddr, time::Duration};

use axum::{extract::State, http::StatusCode};
use hoop_api::auth::{DeviceApproval, StepUp, StepUpPoll, StepUpStarted, WhoAmI};
use hoop_identity::{
    lockout,
    recovery::RecoveryCode,
    token::{Kind, Token, UserCode},
    totp::TotpSecret,
};
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, Fault, LoginId, Mfa, Redacted, Timestamp, UserId};
use hoop_store::{DevicePoll, Factor, FlowKind, NewEvent, NewFlow, StoreError, User, UserSource};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    body::Json,
    caller::{Caller, From, SignedInCaller},
    login,
    problem::{Answer, Problematic},
    tokens,
};
use crate::hub::{Hub, Shared, event, now};

const LIFE: Duration = Duration::from_secs(300);
const INTERVAL: u64 = 2;

/// The second factor that a code is, if it is one of this person's: a TOTP code or a recovery code. It is used up later,
/// with what it proves.
pub(super) async fn factor(
    hub: &Hub,
    user: &User,
    code: &Redacted<String>,
    at: Timestamp,
) -> Answer<Option<Factor>> {
    if let Ok(code) = RecoveryCode::parse(code.expose()) {
        let known = hub.store.has_recovery_code(user.id, &code.hash()).await?;
        return Ok(known.then(|| Factor::RecoveryCode(code.hash())));
    }
    let Some(sealed) = &user.totp_secret_sealed else { return Ok(None) };
    let secret = TotpSecret::from_bytes(hub.keys.open_totp(user.id, sealed).map_err(Problematic::internal)?);
    let step = secret.verify(code, at);
    Ok(step.map(|step| Factor::Totp { secret_sealed: sealed.clone(), step }))
}

/// `POST /auth/step-up`.
pub(super) async fn by_code(
    State(hub): State<Shared>,
    From(address): From,
    SignedInCaller(caller): SignedInCaller,
    Json(request): Json<StepUp>,
) -> Answer<Json<WhoAmI>> {
    let user = &caller.signed_in.user;
    if !hub.throttle.address(address) || !hub.throttle.name(&format!("step-up {}", user.id)) {
        return Err(Problematic::too_many(60));
    }
    if user.source != UserSource::Builtin {
        return Err(Problematic::forbidden("HOOP-3041", "your second factor is with your identity provider")
            .hint("`hoop step-up --browser`, or in the console"));
    }
    let at = now();
    if user.locked_until.is_some_and(|until| until > at) {
        return Err(fail(&hub, &caller, address, "locked").await?);
    }
    let Some(factor) = factor(&hub, user, &request.code, at).await? else {
        return Err(fail(&hub, &caller, address, "wrong code").await?);
    };
    let mfa = match prove(&hub, &caller, &factor, at).await {
        Ok(mfa) => mfa,
        Err(StoreError::Conflict(_)) => return Err(fail(&hub, &caller, address, "code used before").await?),
        Err(error) => return Err(error.into()),
    };
    let mut caller = caller;
    caller.signed_in.login.mfa = Some(mfa);
    Ok(Json(login::who_am_i(&caller)))
}

/// Keeps a proof for the caller's own sign-in.
pub(super) async fn prove(
    hub: &Hub,
    caller: &Caller,
    factor: &Factor,
    at: Timestamp,
) -> Result<Mfa, StoreError> {
    let (user, login) = (caller.signed_in.user.id, caller.signed_in.login.id);
    let subjects = [user.into(), login.into()];
    let (word, passkey) = match factor {
        Factor::RecoveryCode(_) => ("recovery code", None),
        Factor::Passkey(usage) => ("passkey", Some(usage.id.into())),
        _ => ("code", None),
    };
    let all = subjects.into_iter().chain(passkey);
    let mut told = vec![event(&caller.actor, EventCode::MfaProven, all, json!({ "by": word }))];
    if matches!(factor, Factor::RecoveryCode(_)) {
        told.push(event(&caller.actor, EventCode::RecoveryCodeUsed, subjects, json!({})));
    }
    let by = hub.store.prove_mfa(login, factor, at, now(), &told).await?;
    metrics::counter!("hoop_step_ups_total", "by" => word).increment(1);
    Ok(Mfa { at, by })
}

/// One answer for every reason.
async fn fail(hub: &Hub, caller: &Caller, address: IpAddr, reason: &'static str) -> Answer<Problematic> {
    failed(hub, caller, address, reason, Vec::new()).await?;
    Ok(Problematic::forbidden("HOOP-3040", "the code is wrong")
        .hint("a code is good once: wait for the next; after several failures they are refused for a while"))
}

/// The ledger is told, and the same lockout is in force as at sign-in: whoever holds a token must not guess on.
pub(super) async fn failed(
    hub: &Hub,
    caller: &Caller,
    address: IpAddr,
    reason: &'static str,
    also: Vec<NewEvent>,
) -> Answer<()> {
    metrics::counter!("hoop_step_ups_refused_total", "reason" => reason).increment(1);
    let (user, login) = (caller.signed_in.user.id, caller.signed_in.login.id);
    let facts = json!({ "address": address.to_string(), "reason": reason });
    let subjects = [user.into(), login.into()];
    let mut told = vec![event(&caller.actor, EventCode::MfaFailed, subjects, facts.clone())];
    told.extend(also);
    if reason == "locked" {
        hub.store.append(&told).await?;
    } else {
        let locked = login::locked_out(hub, &caller.signed_in.user, facts);
        hub.store.record_failed_attempt(user, now(), lockout::lock_for, &told, &[locked]).await?;
    }
    Ok(())
}

/// Which sign-in waits for it.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    user: UserId,
    login: LoginId,
}

/// `POST /auth/step-up/browser`.
pub(super) async fn start(
    State(hub): State<Shared>,
    From(address): From,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Json<StepUpStarted>> {
    let login = &caller.signed_in.login;
    if !hub.throttle.address(address) || !hub.throttle.name(&format!("step-up {}", login.user)) {
        return Err(Problematic::too_many(60));
    }
    let secret = tokens::fresh(Kind::Device)?;
    let user_code = UserCode::generate().map_err(Problematic::internal)?;
    let waiting = Waiting { user: login.user, login: login.id };
    let at = now();
    let flow = NewFlow {
        kind: FlowKind::StepUp,
        key: secret.hash(),
        user_code: Some(user_code.hash()),
        payload: serde_json::to_value(waiting).map_err(Problematic::internal)?,
        created_at: at,
        expires_at: at.after(LIFE),
    };
    hub.store.begin_flow(&flow).await?;
    Ok(Json(StepUpStarted {
        poll_code: secret.secret().expose().clone(),
        verification_uri: format!("{}/step-up?code={}", hub.origin(), user_code.shown()),
        user_code: user_code.shown(),
        expires_in: LIFE.as_secs(),
        interval: INTERVAL,
    }))
}

/// `POST /auth/step-up/approve`: in a browser that proved its own second factor a moment ago (the route's row asks).
pub(super) async fn approve(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Json(request): Json<DeviceApproval>,
) -> Answer<StatusCode> {
    let own = &caller.signed_in.login;
    if !hub.throttle.name(&format!("step-up approval {}", own.user)) {
        return Err(Problematic::too_many(60));
    }
    let unknown = || Problematic::not_found("code").hint("check the code, or begin again");
    let code = UserCode::parse(&request.user_code).map_err(|_| unknown())?;
    let at = now();
    let waiting = hub.store.undecided_flow(FlowKind::StepUp, &code.hash(), at).await?.ok_or_else(unknown)?;
    let waiting: Waiting = serde_json::from_value(waiting).map_err(Problematic::internal)?;
    // Nobody proves anything for somebody else (THREATS A3, A16).
    if waiting.user != own.user {
        return Err(unknown());
    }
    match hub.store.decide_flow(FlowKind::StepUp, &code.hash(), &json!(request.approve), at, &[]).await {
        Ok(()) => {}
        Err(StoreError::NotFound(_)) => return Err(unknown()),
        Err(error) => return Err(error.into()),
    }
    let Some(mfa) = own.mfa.filter(|_| request.approve) else { return Ok(StatusCode::NO_CONTENT) };
    let subjects = [own.user.into(), waiting.login.into(), own.id.into()];
    let told = event(&caller.actor, EventCode::MfaProven, subjects, json!({ "by": "browser" }));
    hub.store.prove_mfa(waiting.login, &Factor::Login(own.id), mfa.at, at, &[told]).await?;
    metrics::counter!("hoop_step_ups_total", "by" => "browser").increment(1);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /auth/step-up/poll`.
pub(super) async fn poll(
    State(hub): State<Shared>,
    From(address): From,
    SignedInCaller(_): SignedInCaller,
    Json(request): Json<StepUpPoll>,
) -> Answer<StatusCode> {
    if !hub.throttle.poll(address) {
        return Err(Problematic::too_many(5));
    }
    let void = || {
        let fault =
            Fault::new("HOOP-3023", Blame::Caller, "this is void: it was used, refused, or took too long");
        Problematic::with_status(StatusCode::BAD_REQUEST, fault.with_hint("begin again"))
    };
    let secret = Token::parse(Kind::Device, request.poll_code.expose()).map_err(|_| void())?;
    match hub.store.poll_flow(FlowKind::StepUp, &secret.hash(), now()).await? {
        DevicePoll::Pending => {
            let fault = Fault::new("HOOP-3020", Blame::Caller, "nobody has approved this yet");
            Err(Problematic::with_status(StatusCode::BAD_REQUEST, fault))
        }
        DevicePoll::Gone => Err(void()),
        DevicePoll::Decided(serde_json::Value::Bool(true)) => Ok(StatusCode::NO_CONTENT),
        DevicePoll::Decided(_) => Err(Problematic::forbidden("HOOP-3022", "it was refused in the browser")),
    }
}

//! What a passkey proves: a sign-in that needs nothing else, or a second factor for a sign-in that there is.

use std::net::IpAddr;

use axum::{extract::State, http::HeaderMap, response::Response};
use hoop_api::{
    auth::{Answer as Wanted, WhoAmI},
    passkeys::{PasskeyCeremony, PasskeyProof},
};
use hoop_model::{Actor, AuthMethod, FactorKind, Mfa};
use hoop_store::{Factor, FlowKind, Proof, StoreError, User, UserSource};
use serde_json::json;

use super::ceremony::{Held, Refused, alarm, begin, hold, relying_party, take};
use crate::{
    http::{
        body::Json,
        caller::{Caller, From, SignedInCaller},
        login::{self, Proven},
        problem::{Answer, Problematic},
        step_up,
    },
    hub::{Hub, Shared, now},
};

/// One answer for every reason: it tells nobody which passkeys or accounts there are.
fn nobody() -> Problematic {
    Problematic::unauthorized("HOOP-3071", "nobody is signed in by this passkey")
        .hint("sign in another way and look at the passkeys of your account; people of an identity provider sign in there")
}

/// Are there built-in accounts to sign in with?
fn open(hub: &Hub) -> Answer<()> {
    if hub.config.password_login {
        return Ok(());
    }
    Err(Problematic::forbidden("HOOP-3007", "sign-in with a built-in account is off here")
        .hint("use single sign-on"))
}

/// `POST /login/passkey/begin`.
pub(super) async fn begin_sign_in(
    State(hub): State<Shared>,
    From(address): From,
) -> Answer<Json<PasskeyCeremony>> {
    open(&hub)?;
    if !hub.throttle.address(address) {
        return Err(Problematic::too_many(60));
    }
    let begun = relying_party(&hub)?.begin_assertion([]).map_err(Problematic::internal)?;
    begin(&hub, FlowKind::PasskeySignIn, None, begun).await
}

/// `POST /login/passkey`.
pub(super) async fn sign_in(
    State(hub): State<Shared>,
    From(address): From,
    headers: HeaderMap,
    Json(request): Json<PasskeyProof>,
) -> Answer<Response> {
    open(&hub)?;
    login::from_this_site(&headers)?;
    if !hub.throttle.address(address) {
        metrics::counter!("hoop_logins_refused_total", "reason" => "throttled").increment(1);
        return Err(Problematic::too_many(60));
    }
    let state = take(&hub, FlowKind::PasskeySignIn, &request.ceremony, None).await?;
    match hold(&hub, state, request.credential, None).await? {
        Ok(held) => admit(&hub, held, address).await,
        Err(refused) => {
            let owner = match &refused.passkey {
                Some(passkey) => hub.store.user(passkey.user).await?,
                None => None,
            };
            refuse(&hub, owner.as_ref(), &refused, address, true).await
        }
    }
}

/// The passkey is right; is its owner somebody who may come in by it?
async fn admit(hub: &Hub, held: Held, address: IpAddr) -> Answer<Response> {
    let Held { passkey, usage } = held;
    let Some(user) = hub.store.user(passkey.user).await? else { return Err(nobody()) };
    let at = now();
    if user.source != UserSource::Builtin || !user.is_active() {
        let refused = Refused::all_the_same(passkey, "not an active built-in account");
        return refuse(hub, Some(&user), &refused, address, false).await;
    }
    if user.locked || user.locked_until.is_some_and(|until| until > at) {
        return refuse(hub, Some(&user), &Refused::all_the_same(passkey, "locked"), address, false).await;
    }
    let proven = Proven {
        user,
        method: AuthMethod::Passkey,
        mfa: Some(Mfa { at, by: FactorKind::Passkey }),
        proof: Proof::Passkey(usage),
        address,
        flow: "passkey",
        told: None,
    };
    match login::keep(hub, &proven, Wanted::Cookie).await {
        // It was removed, or the account locked or reset, or another use of it was faster.
        Err(problem) if problem.is_conflict() => {
            let refused = Refused::all_the_same(passkey, "used before");
            refuse(hub, Some(&proven.user), &refused, address, true).await
        }
        answer => answer,
    }
}

/// `guessed`: it counts towards the lock of the account.
async fn refuse(
    hub: &Hub,
    owner: Option<&User>,
    refused: &Refused,
    address: IpAddr,
    guessed: bool,
) -> Answer<Response> {
    metrics::counter!("hoop_logins_refused_total", "reason" => "passkey").increment(1);
    let address = address.to_string();
    let facts = json!({
        "name": owner.map(|owner| &owner.name), "address": address, "flow": "passkey", "reason": refused.reason,
        "passkey": refused.passkey.as_ref().map(|passkey| passkey.id),
    });
    let also = owner.map_or_else(Vec::new, |owner| alarm(hub, &Actor::Anonymous, owner, refused, &address));
    login::failed(hub, owner, facts, guessed, also).await?;
    Err(nobody())
}

/// `POST /auth/step-up/passkey/begin`.
pub(super) async fn begin_step_up(
    State(hub): State<Shared>,
    From(address): From,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Json<PasskeyCeremony>> {
    throttled(&hub, &caller, address)?;
    let own = hub.store.passkeys_of(caller.signed_in.user.id).await?;
    if own.is_empty() {
        return Err(Problematic::not_found("passkey").hint("register one on the page of your account"));
    }
    let own = own.into_iter().map(|passkey| passkey.credential_id);
    let begun = relying_party(&hub)?.begin_assertion(own).map_err(Problematic::internal)?;
    begin(&hub, FlowKind::PasskeyStepUp, Some(caller.signed_in.login.id), begun).await
}

/// `POST /auth/step-up/passkey`.
pub(super) async fn step_up(
    State(hub): State<Shared>,
    From(address): From,
    SignedInCaller(caller): SignedInCaller,
    Json(request): Json<PasskeyProof>,
) -> Answer<Json<WhoAmI>> {
    throttled(&hub, &caller, address)?;
    let user = &caller.signed_in.user;
    let state =
        take(&hub, FlowKind::PasskeyStepUp, &request.ceremony, Some(caller.signed_in.login.id)).await?;
    let at = now();
    if user.locked_until.is_some_and(|until| until > at) {
        return Err(not_proven(&hub, &caller, address, &Refused::because("locked")).await?);
    }
    let held = match hold(&hub, state, request.credential, Some(user.id)).await? {
        Ok(held) => held,
        Err(refused) => return Err(not_proven(&hub, &caller, address, &refused).await?),
    };
    let mfa = match step_up::prove(&hub, &caller, &Factor::Passkey(held.usage), at).await {
        Ok(mfa) => mfa,
        Err(StoreError::Conflict(_)) => {
            return Err(not_proven(&hub, &caller, address, &Refused::because("used before")).await?);
        }
        Err(error) => return Err(error.into()),
    };
    let mut caller = caller;
    caller.signed_in.login.mfa = Some(mfa);
    Ok(Json(login::who_am_i(&caller)))
}

fn throttled(hub: &Hub, caller: &Caller, address: IpAddr) -> Answer<()> {
    let user = caller.signed_in.user.id;
    let admitted = hub.throttle.address(address) && hub.throttle.name(&format!("passkey {user}"));
    if admitted { Ok(()) } else { Err(Problematic::too_many(60)) }
}

async fn not_proven(hub: &Hub, caller: &Caller, address: IpAddr, refused: &Refused) -> Answer<Problematic> {
    let also = alarm(hub, &caller.actor, &caller.signed_in.user, refused, &address.to_string());
    step_up::failed(hub, caller, address, refused.reason, also).await?;
    Ok(Problematic::forbidden("HOOP-3072", "the passkey did not prove your second factor")
        .hint("use a passkey of this account; after several failures every factor is refused for a while"))
}

//! A new built-in account: its holder chooses a password and enrols a second factor, with the one-use link of an admin.

use axum::extract::State;
use hoop_api::auth::{SetUp, SetUpStep};
use hoop_identity::{
    password::PasswordHash,
    token::{Kind, Token},
    totp::TotpSecret,
};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, Blame, Fault};
use hoop_store::User;
use serde_json::json;

use super::{
    body::Json,
    caller::From,
    problem::{Answer, Problematic},
    recovery,
};
use crate::hub::{Shared, event, now};

/// `POST /setup`: without a code shows the secret to enrol; with one that is right, activates the account.
pub(super) async fn set_up(
    State(hub): State<Shared>,
    From(address): From,
    Json(request): Json<SetUp>,
) -> Answer<Json<SetUpStep>> {
    if !hub.throttle.address(address) {
        return Err(Problematic::too_many(60));
    }
    let void = || {
        Problematic::forbidden("HOOP-3008", "this set-up link is not good: it was used, or its time is over")
            .hint("ask an admin for a new one")
    };
    let token = Token::parse(Kind::SetUp, request.token.expose()).map_err(|_| void())?;
    let user = hub.store.user_by_setup_token(&token.hash(), now()).await?.ok_or_else(void)?;
    let hash = {
        let _one_of_few = hub.hashing.acquire().await.map_err(Problematic::internal)?;
        let password = request.password;
        let hashed = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
        hashed.map_err(Problematic::internal)?.map_err(|error| Problematic::from(Fault::from(error)))?
    };
    let secret = staged(&hub, &token, &user).await?;
    let Some(code) = request.code else {
        let url = secret.otpauth_url(&user.name).expose().clone();
        let (name, recovery_codes) = (user.name.to_string(), Vec::new());
        return Ok(Json(SetUpStep { name, otpauth_url: Some(url), active: false, recovery_codes }));
    };
    if !hub.throttle.name(&format!("setup {}", user.id)) {
        return Err(Problematic::too_many(60));
    }
    let Some(step) = secret.verify(&code, now()) else {
        let fault = Fault::new("HOOP-3009", Blame::Caller, "the code is wrong");
        return Err(Problematic::from(fault).hint("is the clock of the phone right?"));
    };
    let told = [
        event(
            &Actor::Anonymous,
            EventCode::TotpEnrolled,
            [user.id.into()],
            json!({ "address": address.to_string() }),
        ),
        event(&Actor::Anonymous, EventCode::UserChanged, [user.id.into()], json!({ "set_up": true })),
    ];
    hub.store.finish_setup(&token.hash(), hash.stored(), step, now(), &told).await?;
    let recovery_codes = recovery::make(&hub, user.id, &Actor::Anonymous).await?;
    Ok(Json(SetUpStep { name: user.name.to_string(), otpauth_url: None, active: true, recovery_codes }))
}

/// The secret being enrolled: made once, and shown again if the page is reloaded.
async fn staged(hub: &Shared, token: &Token, user: &User) -> Answer<TotpSecret> {
    let sealed = match &user.pending_totp_sealed {
        Some(sealed) => sealed.clone(),
        None => {
            let fresh = TotpSecret::generate().map_err(Problematic::internal)?;
            let sealed = hub.keys.seal_totp(user.id, fresh.bytes()).map_err(Problematic::internal)?;
            hub.store.stage_totp(&token.hash(), &sealed, now()).await?
        }
    };
    let bytes = hub.keys.open_totp(user.id, &sealed).map_err(Problematic::internal)?;
    Ok(TotpSecret::from_bytes(bytes))
}

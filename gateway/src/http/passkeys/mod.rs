//! Passkeys (WebAuthn): people register them here, sign in with them and prove their second factor with them.
//!
//! - here: one's own passkeys. Every change of them asks for a fresh factor, like any change of rights.
//! - `ceremony`: a challenge and its answer; what both halves have in common.
//! - `proof`: what an answer is good for: a sign-in (built-in accounts alone: for everybody else the identity provider
//!   decides who may come in), or a step-up of whoever is signed in.

mod ceremony;
mod proof;

use axum::{
    extract::{Path, State},
    http::{Method, StatusCode},
};
use hoop_api::{
    Page,
    auth::WhoAmI,
    passkeys::{NewPasskey, PasskeyCeremony, PasskeyChange, PasskeyProof, PasskeyView},
};
use hoop_identity::passkey::PasskeyError;
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, Fault, PasskeyId};
use hoop_store::{Conflict, FlowKind, Passkey, StoreError};
use serde_json::json;

use self::ceremony::{begin, relying_party, take};
use super::{
    body::{self, Json},
    caller::{From, SignedInCaller},
    problem::{Answer, Problematic},
    table::{Endpoint, Who},
};
use crate::hub::{Hub, Shared, event, now};

/// Of one person; the store counts again.
const MOST: usize = 20;

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    const OWN: &str = "/me/passkeys";
    const ONE: &str = "/me/passkeys/{id}";
    vec![
        Endpoint::get(OWN, Who::SignedIn, "One's own passkeys.", list).answers_page::<PasskeyView>(),
        Endpoint::post("/me/passkeys/begin", Who::Browser, "Begins to register one.", begin_registration)
            .answers::<PasskeyCeremony>()
            .fresh(),
        Endpoint::post(OWN, Who::Browser, "Registers it.", register)
            .takes::<NewPasskey>()
            .answers::<PasskeyView>()
            .fresh(),
        Endpoint::new(Method::PATCH, ONE, Who::Browser, "Renames one.", rename)
            .takes::<PasskeyChange>()
            .answers::<PasskeyView>()
            .fresh(),
        Endpoint::new(Method::DELETE, ONE, Who::Browser, "Removes one.", remove).answers_nothing().fresh(),
        Endpoint::post("/login/passkey/begin", Who::Anyone, "Begins to sign in.", proof::begin_sign_in)
            .answers::<PasskeyCeremony>(),
        Endpoint::post("/login/passkey", Who::Anyone, "Signs in with a passkey alone.", proof::sign_in)
            .takes::<PasskeyProof>()
            .answers::<WhoAmI>(),
        Endpoint::post("/auth/step-up/passkey/begin", Who::Browser, "Begins it.", proof::begin_step_up)
            .answers::<PasskeyCeremony>(),
        Endpoint::post(
            "/auth/step-up/passkey",
            Who::Browser,
            "Proves the second factor again by passkey.",
            proof::step_up,
        )
        .takes::<PasskeyProof>()
        .answers::<WhoAmI>(),
    ]
}

/// Can people have passkeys here? Not at an address: they are bound to a host name.
pub(super) fn are_possible(hub: &Hub) -> bool {
    relying_party(hub).is_ok()
}

fn view(passkey: Passkey) -> PasskeyView {
    let Passkey { id, name, created_at, used_at, .. } = passkey;
    PasskeyView { id, name, created_at, used_at }
}

/// `GET /me/passkeys`.
async fn list(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Json<Page<PasskeyView>>> {
    let passkeys = hub.store.passkeys_of(caller.signed_in.user.id).await?;
    Ok(Json(Page { items: passkeys.into_iter().map(view).collect(), next: None }))
}

fn too_many() -> Problematic {
    Problematic::conflict(format!("you have {MOST} passkeys, and can have no more"))
        .hint("remove one that you do not use")
}

/// `POST /me/passkeys/begin`.
async fn begin_registration(
    State(hub): State<Shared>,
    From(address): From,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Json<PasskeyCeremony>> {
    if !hub.throttle.address(address) {
        return Err(Problematic::too_many(60));
    }
    let (user, party) = (&caller.signed_in.user, relying_party(&hub)?);
    let known = hub.store.passkeys_of(user.id).await?;
    if known.len() >= MOST {
        return Err(too_many());
    }
    let known = known.into_iter().map(|passkey| passkey.credential_id);
    let begun = party.begin_registration(user.id, &user.name, known).map_err(Problematic::internal)?;
    begin(&hub, FlowKind::PasskeyRegistration, Some(caller.signed_in.login.id), begun).await
}

/// `POST /me/passkeys`.
async fn register(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Json(request): Json<NewPasskey>,
) -> Answer<Json<PasskeyView>> {
    let (user, login) = (caller.signed_in.user.id, caller.signed_in.login.id);
    let name = body::line("name", &request.name)?;
    let party = relying_party(&hub)?;
    let state = take(&hub, FlowKind::PasskeyRegistration, &request.ceremony, Some(login)).await?;
    let kept = party.finish_registration(state, request.credential).map_err(|error| match error {
        PasskeyError::Kept => Problematic::internal(error),
        refused => {
            let message = format!("this passkey cannot be registered: {refused}");
            Problematic::from(Fault::new("HOOP-3073", Blame::Caller, message))
                .hint("begin again; an authenticator must verify its holder, by PIN, finger or face")
        }
    })?;
    let new = hoop_store::NewPasskey {
        id: PasskeyId::generate(),
        user,
        name: name.to_owned(),
        credential_id: kept.credential_id,
        credential: kept.credential,
        counter: kept.counter,
        created_at: now(),
    };
    let subjects = [user.into(), new.id.into()];
    let told = event(&caller.actor, EventCode::PasskeyAdded, subjects, json!({ "name": new.name }));
    match hub.store.add_passkey(&new, login, &[told]).await {
        Ok(passkey) => Ok(Json(view(passkey))),
        Err(StoreError::Conflict(Conflict::NameTaken)) => {
            Err(Problematic::forbidden("HOOP-3074", "this passkey is registered already")
                .hint("each person registers one of their own"))
        }
        Err(StoreError::Conflict(Conflict::TooMany)) => Err(too_many()),
        Err(error) => Err(error.into()),
    }
}

fn own_id(text: &str) -> Answer<PasskeyId> {
    text.parse().map_err(|_| Problematic::not_found("passkey"))
}

/// `PATCH /me/passkeys/{id}`.
async fn rename(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    Json(request): Json<PasskeyChange>,
) -> Answer<Json<PasskeyView>> {
    let (user, id, name) = (caller.signed_in.user.id, own_id(&id)?, body::line("name", &request.name)?);
    let told =
        event(&caller.actor, EventCode::PasskeyRenamed, [user.into(), id.into()], json!({ "name": name }));
    Ok(Json(view(hub.store.rename_passkey(user, id, name, &[told]).await?)))
}

/// `DELETE /me/passkeys/{id}`.
async fn remove(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let (user, id) = (caller.signed_in.user.id, own_id(&id)?);
    let told = event(&caller.actor, EventCode::PasskeyRemoved, [user.into(), id.into()], json!({}));
    hub.store.remove_passkey(user, id, &[told]).await?;
    Ok(StatusCode::NO_CONTENT)
}

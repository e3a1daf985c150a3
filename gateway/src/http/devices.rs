//! One's own sign-ins: where one is signed in, ending one of them, and signing out everywhere.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use hoop_api::{Page, auth::LoginView};
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, Fault, LoginId, UserId};
use serde_json::json;

use super::{
    body::Json,
    caller::{Caller, SignedInCaller},
    login,
    problem::{Answer, Problematic},
};
use crate::{
    hub::{Hub, Shared, event, now},
    jobs, sessions,
};

/// `GET /me/logins`.
pub(super) async fn list(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Json<Page<LoginView>>> {
    list_of(&hub, &caller, caller.signed_in.user.id).await
}

/// Somebody's.
pub(super) async fn list_of(hub: &Hub, caller: &Caller, user: UserId) -> Answer<Json<Page<LoginView>>> {
    let logins = hub.store.logins_of(user, now()).await?;
    let view = |login: hoop_store::Login| LoginView {
        current: login.id == caller.signed_in.login.id,
        id: login.id,
        created_at: login.created_at,
        used_at: login.used_at,
        address: login.address,
        client: login::client_name(login.client).to_owned(),
    };
    Ok(Json(Page { items: logins.into_iter().map(view).collect(), next: None }))
}

/// `DELETE /me/logins/{id}`.
pub(super) async fn end_one(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    end_one_of(&hub, &caller, caller.signed_in.user.id, &id).await
}

pub(super) async fn end_one_of(hub: &Hub, caller: &Caller, user: UserId, id: &str) -> Answer<StatusCode> {
    let id: LoginId = id.parse().map_err(|_| Problematic::not_found("sign-in"))?;
    login::end(hub, caller, user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /me/logins`: this sign-in too, and every live session, whichever sign-in opened it.
pub(super) async fn end_all(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<StatusCode> {
    let user = caller.signed_in.user.id;
    end_all_of(&hub, caller, user).await
}

pub(super) async fn end_all_of(hub: &Shared, caller: Caller, user: UserId) -> Answer<StatusCode> {
    let task = hub.clone();
    jobs::change(hub, async move {
        let told = event(&caller.actor, EventCode::LoginEnded, [user.into()], json!({ "everywhere": true }));
        task.store.revoke_logins_of(user, now(), &[told]).await?;
        let fault = Fault::new("HOOP-4016", Blame::Policy, "whose session this is was signed out everywhere")
            .with_hint("sign in again: `hoop login`");
        sessions::end_of_user(&task, user, &caller.actor, &fault).await?;
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

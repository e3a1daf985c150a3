//! Recovery codes: one-use codes for who lost the second factor. Shown once; the store keeps hashes.

use axum::extract::State;
use hoop_api::auth::{RecoveryCodes, RecoveryCodesLeft};
use hoop_identity::recovery::RecoveryCode;
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, UserId};
use hoop_store::UserSource;
use serde_json::json;

use super::{
    body::Json,
    caller::SignedInCaller,
    problem::{Answer, Problematic},
};
use crate::hub::{Hub, Shared, event, now};

/// `GET /me/recovery-codes`.
pub(super) async fn left(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Json<RecoveryCodesLeft>> {
    let user = &caller.signed_in.user;
    let left = hub.store.recovery_codes_left(user.id).await?;
    Ok(Json(RecoveryCodesLeft { left, available: user.source == UserSource::Builtin }))
}

/// `POST /me/recovery-codes`.
pub(super) async fn renew(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Json<RecoveryCodes>> {
    let user = &caller.signed_in.user;
    if user.source != UserSource::Builtin {
        return Err(Problematic::forbidden("HOOP-3042", "recovery codes are for built-in accounts")
            .hint("your identity provider has its own way back"));
    }
    Ok(Json(RecoveryCodes { codes: make(&hub, user.id, &caller.actor).await? }))
}

/// New codes for a person; those there were are void.
pub(super) async fn make(hub: &Hub, user: UserId, actor: &Actor) -> Answer<Vec<String>> {
    let codes = RecoveryCode::generate_all().map_err(Problematic::internal)?;
    let hashes: Vec<_> = codes.iter().map(RecoveryCode::hash).collect();
    let told = event(actor, EventCode::RecoveryCodesMade, [user.into()], json!({ "codes": codes.len() }));
    hub.store.replace_recovery_codes(user, &hashes, now(), &[told]).await?;
    Ok(codes.iter().map(RecoveryCode::shown).collect())
}

//! Ways in while the gateway is down, over HTTP.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use hoop_api::{
    Page,
    capabilities::{CapabilityMade, CapabilityView, NewCapability},
};
use hoop_model::CapabilityId;

use super::{
    body::Json,
    caller::{Admin, Evidence},
    problem::Answer,
    table::{Endpoint, Who},
};
use crate::{capabilities, hub::Shared};

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/capabilities", Who::Evidence, "Ways in while the gateway is down.", list)
            .answers_page::<CapabilityView>(),
        Endpoint::post("/capabilities", Who::Admin, "Makes one: text and code, once.", make)
            .takes::<NewCapability>()
            .answers::<CapabilityMade>()
            .fresh(),
        Endpoint::post("/capabilities/{id}/revoke", Who::Admin, "Takes one back.", revoke)
            .answers_nothing()
            .fresh(),
    ]
}

pub(super) async fn list(
    State(hub): State<Shared>,
    Evidence(_): Evidence,
) -> Answer<Json<Page<CapabilityView>>> {
    let view = |kept: hoop_store::Capability| CapabilityView {
        id: kept.made.id,
        holder: kept.made.holder_name,
        connection: kept.made.connection_name,
        made_by: kept.made.made_by,
        made_at: kept.made.made_at,
        valid_until: kept.made.valid_until,
        most_uses: kept.made.most_uses,
        uses: kept.uses,
        revoked_at: kept.revoked_at,
    };
    let items = hub.store.capabilities().await?.into_iter().map(view).collect();
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn make(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Json(wanted): Json<NewCapability>,
) -> Answer<Json<CapabilityMade>> {
    capabilities::make(&hub, &caller, &wanted).await.map(Json)
}

pub(super) async fn revoke(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(id): Path<CapabilityId>,
) -> Answer<StatusCode> {
    capabilities::revoke(&hub, &caller.actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

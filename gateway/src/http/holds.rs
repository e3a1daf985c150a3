//! Legal holds, over HTTP: whoever may look at evidence may keep it; only an admin lets it go.

use axum::extract::{Path, State};
use hoop_api::{
    Page,
    holds::{HoldKind, HoldView, PlaceHold, ReleaseHold},
};
use hoop_ledger::event::{EventCode, Subject};
use hoop_model::{Blame, Fault, HoldId};
use hoop_store::{Conflict, HoldSubject, LegalHold, NewHold, StoreError};
use serde_json::json;

use super::{
    body::Json,
    caller::{Admin, Evidence},
    problem::{Answer, Problematic},
    table::{Endpoint, Who},
};
use crate::{
    hub::{Hub, Shared, event, now},
    requests::text,
};

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/holds", Who::Evidence, "Legal holds, those in force first.", list)
            .answers_page::<HoldView>(),
        Endpoint::post("/holds", Who::Evidence, "Keeps recordings from being deleted.", place)
            .takes::<PlaceHold>()
            .answers::<HoldView>()
            .fresh(),
        Endpoint::post(
            "/holds/{id}/release",
            Who::Admin,
            "Lets them be deleted when their time is over.",
            release,
        )
        .takes::<ReleaseHold>()
        .answers::<HoldView>()
        .fresh(),
    ]
}

fn view(hold: LegalHold) -> HoldView {
    let (kind, subject) = match hold.placed.subject {
        HoldSubject::Session(id) => (HoldKind::Session, id.to_string()),
        HoldSubject::User(id) => (HoldKind::User, id.to_string()),
        HoldSubject::Connection(id) => (HoldKind::Connection, id.to_string()),
    };
    let (released_by, released_at, release_reason) = match hold.released {
        Some((by, at, reason)) => (Some(by), Some(at), Some(reason)),
        None => (None, None, None),
    };
    HoldView {
        id: hold.placed.id,
        kind,
        subject,
        name: hold.placed.subject_name,
        reason: hold.placed.reason,
        placed_by: hold.placed.placed_by,
        placed_at: hold.placed.placed_at,
        released_by,
        released_at,
        release_reason,
    }
}

const fn about(subject: HoldSubject) -> Subject {
    match subject {
        HoldSubject::Session(id) => Subject::Session(id),
        HoldSubject::User(id) => Subject::User(id),
        HoldSubject::Connection(id) => Subject::Connection(id),
    }
}

pub(super) async fn list(State(hub): State<Shared>, Evidence(_): Evidence) -> Answer<Json<Page<HoldView>>> {
    let items = hub.store.holds().await?.into_iter().map(view).collect();
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn place(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Json(wanted): Json<PlaceHold>,
) -> Answer<Json<HoldView>> {
    text("reason", &wanted.reason)?;
    let (subject, subject_name) = subject(&hub, &wanted).await?;
    let placed = NewHold {
        id: HoldId::generate(),
        subject,
        subject_name,
        reason: wanted.reason,
        placed_by: caller.actor.display_name().to_string(),
        placed_at: now(),
    };
    let facts = json!({ "hold": placed.id, "name": placed.subject_name, "reason": placed.reason });
    let told = event(&caller.actor, EventCode::HoldPlaced, [about(subject)], facts);
    match hub.store.place_hold(&placed, &[told]).await {
        Ok(()) => Ok(Json(view(LegalHold { placed, released: None }))),
        Err(StoreError::Conflict(Conflict::TooMany)) => {
            Err(Problematic::conflict("there are 1,000 legal holds in force: release some first"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn subject(hub: &Hub, wanted: &PlaceHold) -> Answer<(HoldSubject, String)> {
    match (&wanted.session, &wanted.user, &wanted.connection) {
        (Some(id), None, None) => {
            let session = hub.store.session(*id).await?.ok_or_else(|| Problematic::not_found("session"))?;
            if session.keeping.deleted_at.is_some() {
                let fault = Fault::new("HOOP-6005", Blame::Caller, "this recording was deleted already");
                return Err(fault.into());
            }
            let name = format!("{} on {}", session.user_name, session.connection_name);
            Ok((HoldSubject::Session(session.id), name))
        }
        (None, Some(name), None) => {
            let user = hub.store.user_by_name(name).await?.ok_or_else(|| Problematic::not_found("person"))?;
            Ok((HoldSubject::User(user.id), user.name.to_string()))
        }
        (None, None, Some(name)) => {
            let found = hub.store.connection_by_name(name).await?;
            let connection = found.ok_or_else(|| Problematic::not_found("connection"))?;
            Ok((HoldSubject::Connection(connection.id), connection.name.to_string()))
        }
        _ => Err(Problematic::bad_request("name exactly one of session, user and connection")),
    }
}

pub(super) async fn release(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(id): Path<HoldId>,
    Json(wanted): Json<ReleaseHold>,
) -> Answer<Json<HoldView>> {
    text("reason", &wanted.reason)?;
    let hold = hub.store.hold(id).await?.ok_or_else(|| Problematic::not_found("legal hold"))?;
    let (by, at) = (caller.actor.display_name().to_string(), now());
    let facts = json!({
        "hold": id, "name": hold.placed.subject_name, "reason": wanted.reason,
        "placed_by": hold.placed.placed_by, "placed_at": hold.placed.placed_at,
    });
    let told = event(&caller.actor, EventCode::HoldReleased, [about(hold.placed.subject)], facts);
    match hub.store.release_hold(id, (&by, at, &wanted.reason), &[told]).await {
        Ok(()) => Ok(Json(view(LegalHold { released: Some((by, at, wanted.reason)), ..hold }))),
        Err(StoreError::Conflict(Conflict::Changed)) => {
            Err(Problematic::conflict("this legal hold was released before"))
        }
        Err(error) => Err(error.into()),
    }
}

//! People, as an identity provider provisions them.

use std::collections::HashMap;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::IntoResponse,
};
use hoop_ledger::event::EventCode;
use hoop_model::{UserId, UserName};
use hoop_scim::ScimError;
use hoop_store::{NewScimUser, ScimChange, User, UserSource};
use serde_json::{Value, json};

use super::{Answer, PREFIX, Refused, USER, Wanted, answer, change, id_of, list, name_of, ok};
use crate::{
    http::caller::{Caller, SignedInCaller},
    hub::{Hub, Shared, event, now},
};

fn user_resource(hub: &Hub, user: &User) -> Value {
    let subject = match &user.source {
        UserSource::Oidc { subject, .. } => subject.as_str(),
        UserSource::Builtin | UserSource::Service => "",
    };
    json!({
        "schemas": [USER], "id": user.id, "externalId": subject, "userName": user.name, "active": !user.locked,
        "meta": { "resourceType": "User", "location": format!("{}{PREFIX}/Users/{}", hub.origin(), user.id) },
    })
}

async fn known_user(hub: &Hub, id: &str) -> Result<User, Refused> {
    hub.store.provisioned_user(id_of(id)?).await?.ok_or_else(Refused::not_found)
}

pub(super) async fn users(State(hub): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Answer {
    let wanted = Wanted::of(&query)?;
    let nobody = || ok(&list(Vec::new(), 0, wanted.start));
    let (mut name, mut subject) = (None, None);
    match wanted.filter.as_ref().map(|filter| (filter.attribute.as_str(), &filter.value)) {
        None => {}
        // Nobody has a name that is none.
        Some(("username", value)) => match UserName::new(value.as_str()) {
            Ok(found) => name = Some(found),
            Err(_) => return nobody(),
        },
        Some(("externalid", value)) => subject = Some(value.as_str()),
        Some(("id", value)) => {
            let Ok(id) = value.parse() else { return nobody() };
            let found = hub.store.provisioned_user(id).await?;
            let items: Vec<_> = found.iter().map(|user| user_resource(&hub, user)).collect();
            let total = u64::try_from(items.len()).unwrap_or_default();
            return ok(&list(items, total, 1));
        }
        Some(_) => return Err(ScimError::InvalidFilter.into()),
    }
    let page = hub.store.provisioned_users(name.as_ref(), subject, wanted.skip(), wanted.count).await?;
    let items = page.users.iter().map(|user| user_resource(&hub, user)).collect();
    ok(&list(items, page.total, wanted.start))
}

pub(super) async fn user(State(hub): State<Shared>, Path(id): Path<String>) -> Answer {
    let user = known_user(&hub, &id).await?;
    ok(&user_resource(&hub, &user))
}

pub(super) async fn add_user(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    body: Bytes,
) -> Answer {
    let wanted = hoop_scim::User::parse(&body)?;
    let Some(settings) = hub.oidc.settings() else {
        return Err(Refused::new(
            StatusCode::NOT_IMPLEMENTED,
            None,
            "there is no identity provider that people could sign in at",
        ));
    };
    let subject = wanted
        .external_id
        .ok_or(ScimError::InvalidValue("externalId is needed: the `sub` that the person signs in with"))?;
    let new = NewScimUser {
        id: UserId::generate(),
        issuer: settings.issuer.clone(),
        subject,
        name: name_of("userName", &wanted.user_name)?,
        active: wanted.active,
        at: now(),
    };
    let told = move |user: &User| {
        let facts = json!({ "name": user.name, "source": "scim", "active": wanted.active });
        vec![event(&caller.actor, EventCode::UserCreated, [user.id.into()], facts)]
    };
    let task = hub.clone();
    let made = change(&hub, async move { task.store.provision_user(&new, told).await }).await?;
    Ok(answer(StatusCode::CREATED, &user_resource(&hub, &made)))
}

/// One change of a person, with its event; nothing is written where nothing differs.
async fn change_user(hub: &Shared, caller: Caller, id: &str, wanted: hoop_scim::UserChange) -> Answer {
    let known = known_user(hub, id).await?;
    let same_subject =
        |text: &String| matches!(&known.source, UserSource::Oidc { subject, .. } if subject == text);
    if wanted.external_id.as_ref().is_some_and(|text| !same_subject(text)) {
        let detail = "externalId is who somebody is, and does not change: remove them and add another";
        return Err(Refused::new(StatusCode::BAD_REQUEST, Some("mutability"), detail));
    }
    let name = wanted.user_name.as_deref().map(|text| name_of::<UserName>("userName", text)).transpose()?;
    let name = name.filter(|name| *name != known.name);
    // On is nothing new for who is on; off is, also for somebody whom an admin has locked and may unlock.
    let active = wanted.active.filter(|active| !*active || known.locked);
    if name.is_none() && active.is_none() {
        return ok(&user_resource(hub, &known));
    }
    let facts = json!({
        "source": "scim", "name": name, "active": active, "before": { "name": known.name, "locked": known.locked },
    });
    let code = if active.is_some() { EventCode::UserLocked } else { EventCode::UserChanged };
    let told = event(&caller.actor, code, [known.id.into()], facts);
    let (task, change_wanted) = (hub.clone(), ScimChange { name, active });
    let changing =
        async move { task.store.change_provisioned(known.id, &change_wanted, now(), &[told]).await };
    let changed = change(hub, changing).await?;
    ok(&user_resource(hub, &changed))
}

pub(super) async fn put_user(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let hoop_scim::User { user_name, external_id, active } = hoop_scim::User::parse(&body)?;
    let wanted = hoop_scim::UserChange { user_name: Some(user_name), external_id, active: Some(active) };
    Box::pin(change_user(&hub, caller, &id, wanted)).await
}

pub(super) async fn patch_user(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    Box::pin(change_user(&hub, caller, &id, hoop_scim::user_patch(&body)?)).await
}

pub(super) async fn delete_user(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
) -> Answer {
    let known = known_user(&hub, &id).await?;
    let facts = json!({ "source": "scim", "name": known.name });
    let told = event(&caller.actor, EventCode::UserRemoved, [known.id.into()], facts);
    let task = hub.clone();
    change(&hub, async move { task.store.remove_provisioned(known.id, now(), &[told]).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

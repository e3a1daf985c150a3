//! Groups, as an identity provider provisions them.

use std::collections::HashMap;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::IntoResponse,
};
use hoop_ledger::event::{EventCode, Subject};
use hoop_model::{GroupId, UserId};
use hoop_scim::{GroupChange, ScimError};
use hoop_store::{GroupStep, ScimGroup};
use serde_json::{Value, json};

use super::{Answer, GROUP, PREFIX, Refused, Wanted, answer, change, id_of, list, name_of, ok};
use crate::{
    http::caller::{Caller, SignedInCaller},
    hub::{Hub, Shared, event, now},
};

fn group_resource(hub: &Hub, group: &ScimGroup, with_members: bool) -> Value {
    let mut shown = json!({
        "schemas": [GROUP], "id": group.id, "displayName": group.name,
        "meta": { "resourceType": "Group", "location": format!("{}{PREFIX}/Groups/{}", hub.origin(), group.id) },
    });
    if let Some(external) = &group.external_id {
        shown["externalId"] = external.as_str().into();
    }
    if with_members {
        let place = |id: &UserId| format!("{}{PREFIX}/Users/{id}", hub.origin());
        let members =
            group.members.iter().map(|id| json!({ "value": id, "$ref": place(id), "type": "User" }));
        shown["members"] = members.collect();
    }
    shown
}

async fn known_group(hub: &Hub, id: &str) -> Result<ScimGroup, Refused> {
    hub.store.group(id_of(id)?).await?.ok_or_else(Refused::not_found)
}

fn member_ids(members: &[String]) -> Result<Vec<UserId>, Refused> {
    let one = |id: &String| id.parse().map_err(|_| unknown_member());
    members.iter().map(one).collect()
}

fn unknown_member() -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, Some("invalidValue"), "a member is nobody who is provisioned")
}

/// A member who is not there is the caller's mistake, and not the group's absence.
fn about_members(refused: Refused) -> Refused {
    if refused.status == StatusCode::NOT_FOUND { unknown_member() } else { refused }
}

fn about(group: GroupId, members: &[UserId]) -> Vec<Subject> {
    // Whoever looks for a person finds the group's changes; a thousand of them are in the facts.
    std::iter::once(group.into()).chain(members.iter().take(100).map(|id| (*id).into())).collect()
}

pub(super) async fn groups(
    State(hub): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let wanted = Wanted::of(&query)?;
    let (mut name, mut external) = (None, None);
    match wanted.filter.as_ref().map(|filter| (filter.attribute.as_str(), &filter.value)) {
        None => {}
        Some(("displayname", value)) => name = Some(value.as_str()),
        Some(("externalid", value)) => external = Some(value.as_str()),
        Some(_) => return Err(ScimError::InvalidFilter.into()),
    }
    let (total, found) = hub.store.groups(name, external, wanted.skip(), wanted.count).await?;
    let items = found.iter().map(|group| group_resource(&hub, group, wanted.with_members)).collect();
    ok(&list(items, total, wanted.start))
}

pub(super) async fn group(
    State(hub): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let group = known_group(&hub, &id).await?;
    ok(&group_resource(&hub, &group, Wanted::of(&query)?.with_members))
}

pub(super) async fn add_group(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    body: Bytes,
) -> Answer {
    let wanted = hoop_scim::Group::parse(&body)?;
    let new = ScimGroup {
        id: GroupId::generate(),
        name: name_of("displayName", &wanted.display_name)?,
        external_id: wanted.external_id,
        members: member_ids(&wanted.members)?,
    };
    let facts = json!({ "name": new.name, "members": new.members, "source": "scim" });
    let told = event(&caller.actor, EventCode::GroupCreated, about(new.id, &new.members), facts);
    let task = hub.clone();
    let making = async move { task.store.create_group(&new, now(), &[told]).await };
    let made = change(&hub, making).await.map_err(about_members)?;
    Ok(answer(StatusCode::CREATED, &group_resource(&hub, &made, true)))
}

async fn change_group(hub: &Shared, caller: Caller, id: &str, steps: Vec<GroupStep>) -> Answer {
    let known = known_group(hub, id).await?;
    let (mut added, mut removed, mut all, mut name) = (Vec::new(), Vec::new(), None, None);
    for step in &steps {
        match step {
            GroupStep::Add(more) => added.extend(more),
            GroupStep::Remove(fewer) => removed.extend(fewer),
            GroupStep::Replace(members) => all = Some(members),
            GroupStep::Rename(new) => name = Some(new),
            GroupStep::ExternalId(_) => {}
        }
    }
    let facts = json!({
        "source": "scim", "group": known.name, "name": name, "added": added, "removed": removed, "members": all,
    });
    let told_of: Vec<UserId> = added.iter().chain(&removed).copied().collect();
    let told = event(&caller.actor, EventCode::GroupChanged, about(known.id, &told_of), facts);
    let (task, id) = (hub.clone(), known.id);
    let changing = async move { task.store.change_group(id, &steps, &[told]).await };
    let changed = change(hub, changing).await.map_err(about_members)?;
    ok(&group_resource(hub, &changed, true))
}

pub(super) async fn put_group(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let wanted = hoop_scim::Group::parse(&body)?;
    let mut steps = vec![GroupStep::Rename(name_of("displayName", &wanted.display_name)?)];
    steps.extend(wanted.external_id.map(GroupStep::ExternalId));
    steps.push(GroupStep::Replace(member_ids(&wanted.members)?));
    change_group(&hub, caller, &id, steps).await
}

pub(super) async fn patch_group(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let step = |change: GroupChange| {
        Ok(match change {
            GroupChange::Rename(name) => GroupStep::Rename(name_of("displayName", &name)?),
            GroupChange::ExternalId(id) => GroupStep::ExternalId(id),
            GroupChange::Add(members) => GroupStep::Add(member_ids(&members)?),
            // Who is no member need not be removed, whatever they are called.
            GroupChange::Remove(members) => {
                GroupStep::Remove(members.iter().filter_map(|id| id.parse().ok()).collect())
            }
            GroupChange::Replace(members) => GroupStep::Replace(member_ids(&members)?),
        })
    };
    let steps = hoop_scim::group_patch(&body)?.into_iter().map(step).collect::<Result<Vec<_>, Refused>>()?;
    change_group(&hub, caller, &id, steps).await
}

pub(super) async fn delete_group(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
) -> Answer {
    let known = known_group(&hub, &id).await?;
    let facts = json!({ "source": "scim", "name": known.name, "members": known.members });
    let told = event(&caller.actor, EventCode::GroupRemoved, about(known.id, &known.members), facts);
    let task = hub.clone();
    change(&hub, async move { task.store.remove_group(known.id, &[told]).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

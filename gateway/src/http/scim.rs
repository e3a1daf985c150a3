//! SCIM 2.0: an identity provider provisions people and groups, with an API token of the scope `scim`.
//!
//! A person is matched by issuer and `externalId`, which must be the `sub` that they sign in with, and never by name or
//! address (docs/decisions/0008-provisioning-by-subject.md). Built-in accounts, service accounts, admins and roles are out
//! of reach.

use std::{collections::HashMap, str::FromStr};

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hoop_ledger::event::{EventCode, Subject};
use hoop_model::{GroupId, NameError, TokenScope, UserId, UserName};
use hoop_scim::{Filter, GroupChange, ScimError};
use hoop_store::{Conflict, GroupStep, NewScimUser, ScimChange, ScimGroup, StoreError, User, UserSource};
use serde_json::{Value, json};

use super::{
    caller::SignedInCaller,
    problem::Problematic,
    table::{Endpoint, Who},
};
use crate::{
    hub::{Hub, Shared, event, now},
    jobs,
};

/// Where providers expect it.
pub(super) const PREFIX: &str = "/scim/v2";
const SCOPE: &[TokenScope] = &[TokenScope::Scim];
/// Longest body: a group with as many members as one request may name.
const BODY: usize = 2 << 20;
const PAGE: u32 = 100;
const MOST: u32 = 200;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let rows = vec![
        Endpoint::get("/ServiceProviderConfig", Who::Program, "What this service can do.", config),
        Endpoint::get("/ResourceTypes", Who::Program, "People and groups.", resource_types),
        Endpoint::get("/Schemas", Who::Program, "Their attributes.", schemas),
        Endpoint::get("/Users", Who::Program, "Provisioned people.", users),
        Endpoint::post("/Users", Who::Program, "Provisions a person.", add_user),
        Endpoint::get("/Users/{id}", Who::Program, "One of them.", user),
        Endpoint::new(Method::PUT, "/Users/{id}", Who::Program, "Replaces one.", put_user),
        Endpoint::new(Method::PATCH, "/Users/{id}", Who::Program, "Changes one.", patch_user),
        Endpoint::new(Method::DELETE, "/Users/{id}", Who::Program, "Removes one.", delete_user)
            .answers_nothing(),
        Endpoint::get("/Groups", Who::Program, "Provisioned groups.", groups),
        Endpoint::post("/Groups", Who::Program, "Makes a group.", add_group),
        Endpoint::get("/Groups/{id}", Who::Program, "One of them.", group),
        Endpoint::new(Method::PUT, "/Groups/{id}", Who::Program, "Replaces one.", put_group),
        Endpoint::new(Method::PATCH, "/Groups/{id}", Who::Program, "Changes one.", patch_group),
        Endpoint::new(Method::DELETE, "/Groups/{id}", Who::Program, "Removes one.", delete_group)
            .answers_nothing(),
    ];
    let row = |row: Endpoint| {
        row.token(SCOPE).body(BODY).answers_media("application/scim+json").under(PREFIX, refusal)
    };
    rows.into_iter().map(row).collect()
}

// --- refusals, in SCIM's own form (RFC 7644 §3.12)

/// Why a request is refused.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    kind: Option<&'static str>,
    detail: String,
}

type Answer = Result<Response, Refused>;

impl Refused {
    fn new(status: StatusCode, kind: Option<&'static str>, detail: &str) -> Self {
        Self { status, kind, detail: detail.to_owned() }
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, None, "there is no such resource")
    }
}

impl From<ScimError> for Refused {
    fn from(error: ScimError) -> Self {
        let status = match error {
            ScimError::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, Some(error.kind()), &error.to_string())
    }
}

impl From<Problematic> for Refused {
    fn from(problem: Problematic) -> Self {
        Self::new(problem.status(), None, &format!("{} ({})", problem.message(), problem.code()))
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(_) => Self::not_found(),
            StoreError::Conflict(Conflict::NameTaken) => Self::new(
                StatusCode::CONFLICT,
                Some("uniqueness"),
                "the name or externalId belongs to another: people are never merged by name",
            ),
            StoreError::Conflict(Conflict::OtherName) => {
                Self::new(StatusCode::FORBIDDEN, None, "provisioning does not reach admins")
            }
            other => Problematic::from(other).into(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut body =
            json!({ "schemas": [ERROR], "status": self.status.as_u16().to_string(), "detail": self.detail });
        if let Some(kind) = self.kind {
            body["scimType"] = kind.into();
        }
        answer(self.status, &body)
    }
}

fn refusal(problem: Problematic) -> Response {
    Refused::from(problem).into_response()
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/scim+json")], body.to_string()).into_response()
}

fn ok(body: &Value) -> Answer {
    Ok(answer(StatusCode::OK, body))
}

/// Carries out a change, with what it ends; the store's words become SCIM's.
async fn change<T: Send + 'static>(
    hub: &Shared,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, Refused> {
    // A refusal by the store is an answer, and no failure of the change.
    jobs::change(hub, async move { Ok(work.await) }).await?.map_err(Refused::from)
}

// --- what there is

async fn config() -> Response {
    let no = json!({ "supported": false });
    answer(
        StatusCode::OK,
        &json!({
            "schemas": [CONFIG], "patch": { "supported": true }, "changePassword": no, "sort": no, "etag": no,
            "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
            "filter": { "supported": true, "maxResults": MOST },
            "authenticationSchemes": [{
                "type": "oauthbearertoken", "name": "API token",
                "description": "an API token of a service account, of the scope scim",
            }],
        }),
    )
}

fn list(items: Vec<Value>, total: u64, start: u64) -> Value {
    json!({
        "schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": items.len(),
        "Resources": items,
    })
}

async fn resource_types() -> Response {
    let one = |name: &str, place: &str, schema: &str| json!({ "schemas": [RESOURCE_TYPE], "id": name, "name": name, "endpoint": place, "schema": schema });
    let items = vec![one("User", "/Users", USER), one("Group", "/Groups", GROUP)];
    answer(StatusCode::OK, &list(items, 2, 1))
}

async fn schemas() -> Response {
    let attribute = |name: &str, kind: &str, required: bool| {
        json!({
            "name": name, "type": kind, "multiValued": name == "members", "required": required,
            "mutability": "readWrite", "returned": "default", "caseExact": false,
            "uniqueness": if required { "server" } else { "none" },
        })
    };
    let user = [
        attribute("userName", "string", true),
        attribute("externalId", "string", true),
        attribute("active", "boolean", false),
    ];
    let group = [
        attribute("displayName", "string", true),
        attribute("externalId", "string", false),
        attribute("members", "complex", false),
    ];
    let items = vec![
        json!({ "schemas": [SCHEMA], "id": USER, "name": "User", "attributes": user }),
        json!({ "schemas": [SCHEMA], "id": GROUP, "name": "Group", "attributes": group }),
    ];
    answer(StatusCode::OK, &list(items, 2, 1))
}

/// What a list was asked for. Numbers that make no sense are as good as none (RFC 7644 §3.4.2.4).
struct Wanted {
    filter: Option<Filter>,
    start: u64,
    count: u32,
    with_members: bool,
}

impl Wanted {
    fn of(query: &HashMap<String, String>) -> Result<Self, ScimError> {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
        let start = number("startIndex").and_then(|start| u64::try_from(start).ok()).unwrap_or(1).max(1);
        let count =
            number("count").map_or(PAGE, |count| u32::try_from(count.max(0)).unwrap_or(MOST).min(MOST));
        let without = query.get("excludedAttributes").is_some_and(|text| text.contains("members"));
        let filter = query.get("filter").map(|text| Filter::parse(text)).transpose()?;
        Ok(Self { filter, start, count, with_members: !without })
    }

    fn skip(&self) -> u64 {
        // Further than any store goes, and no further.
        (self.start - 1).min(u64::from(u32::MAX))
    }
}

/// What is no id is nobody's.
fn id_of<T: FromStr>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::not_found())
}

fn name_of<T: FromStr<Err = NameError>>(attribute: &str, text: &str) -> Result<T, Refused> {
    let wrong =
        |error| Refused::new(StatusCode::BAD_REQUEST, Some("invalidValue"), &format!("{attribute}: {error}"));
    text.parse().map_err(wrong)
}

// --- people

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

async fn users(State(hub): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Answer {
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

async fn user(State(hub): State<Shared>, Path(id): Path<String>) -> Answer {
    let user = known_user(&hub, &id).await?;
    ok(&user_resource(&hub, &user))
}

async fn add_user(State(hub): State<Shared>, SignedInCaller(caller): SignedInCaller, body: Bytes) -> Answer {
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
async fn change_user(
    hub: &Shared,
    caller: super::caller::Caller,
    id: &str,
    wanted: hoop_scim::UserChange,
) -> Answer {
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

async fn put_user(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let hoop_scim::User { user_name, external_id, active } = hoop_scim::User::parse(&body)?;
    let wanted = hoop_scim::UserChange { user_name: Some(user_name), external_id, active: Some(active) };
    Box::pin(change_user(&hub, caller, &id, wanted)).await
}

async fn patch_user(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    Box::pin(change_user(&hub, caller, &id, hoop_scim::user_patch(&body)?)).await
}

async fn delete_user(
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

// --- groups

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

async fn groups(State(hub): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Answer {
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

async fn group(
    State(hub): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let group = known_group(&hub, &id).await?;
    ok(&group_resource(&hub, &group, Wanted::of(&query)?.with_members))
}

async fn add_group(State(hub): State<Shared>, SignedInCaller(caller): SignedInCaller, body: Bytes) -> Answer {
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

async fn change_group(
    hub: &Shared,
    caller: super::caller::Caller,
    id: &str,
    steps: Vec<GroupStep>,
) -> Answer {
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

async fn put_group(
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

async fn patch_group(
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

async fn delete_group(
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

//! SCIM 2.0: an identity provider provisions people and groups, with an API token of the scope `scim`.
//!
//! A person is matched by issuer and `externalId`, which must be the `sub` that they sign in with, and never by name or
//! address (docs/decisions/0008-provisioning-by-subject.md). Built-in accounts, service accounts, admins and roles are out
//! of reach.

mod groups;
mod people;

use std::{collections::HashMap, str::FromStr};

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use hoop_model::{NameError, TokenScope};
use hoop_scim::{Filter, ScimError};
use hoop_store::{Conflict, StoreError};
use serde_json::{Value, json};

use super::{
    problem::Problematic,
    table::{Endpoint, Who},
};
use crate::{hub::Shared, jobs};

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
        Endpoint::get("/Users", Who::Program, "Provisioned people.", people::users),
        Endpoint::post("/Users", Who::Program, "Provisions a person.", people::add_user),
        Endpoint::get("/Users/{id}", Who::Program, "One of them.", people::user),
        Endpoint::new(Method::PUT, "/Users/{id}", Who::Program, "Replaces one.", people::put_user),
        Endpoint::new(Method::PATCH, "/Users/{id}", Who::Program, "Changes one.", people::patch_user),
        Endpoint::new(Method::DELETE, "/Users/{id}", Who::Program, "Removes one.", people::delete_user)
            .answers_nothing(),
        Endpoint::get("/Groups", Who::Program, "Provisioned groups.", groups::groups),
        Endpoint::post("/Groups", Who::Program, "Makes a group.", groups::add_group),
        Endpoint::get("/Groups/{id}", Who::Program, "One of them.", groups::group),
        Endpoint::new(Method::PUT, "/Groups/{id}", Who::Program, "Replaces one.", groups::put_group),
        Endpoint::new(Method::PATCH, "/Groups/{id}", Who::Program, "Changes one.", groups::patch_group),
        Endpoint::new(Method::DELETE, "/Groups/{id}", Who::Program, "Removes one.", groups::delete_group)
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

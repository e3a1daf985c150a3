//! Access rules: read, tried, put in force, explained.

use axum::extract::{Path, Query, State};
use hoop_api::{
    Page,
    rules::{ReachView, RulesChange, RulesChanged, RulesVersion, RulesView},
};
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, ConnectionName, Fault, UserName};
use hoop_policy::rules::{AccessPolicy, Diff, PolicyError, Reach};
use hoop_store::{NewPolicy, PolicyVersion, StoreError};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::{Admin, Caller, Evidence},
    people,
    problem::{Answer, Problematic},
};
use crate::{
    hub::{Shared, event, now},
    jobs,
    rules::{self, Edition, InForce},
    sessions,
};

const LONGEST_NOTE: usize = 1000;
/// Answers of one question; who asks about more asks about one connection or person at a time.
const MOST_REACHED: usize = 5000;

pub(super) async fn show(State(hub): State<Shared>, _: Evidence) -> Answer<Json<RulesView>> {
    let latest = hub.store.policy().await?;
    Ok(Json(view(latest.as_ref())?))
}

pub(super) async fn version(
    State(hub): State<Shared>,
    _: Evidence,
    Path(version): Path<u64>,
) -> Answer<Json<RulesView>> {
    let known =
        hub.store.policy_version(version).await?.ok_or(StoreError::NotFound("version of the rules"))?;
    Ok(Json(view(Some(&known))?))
}

fn view(version: Option<&PolicyVersion>) -> Answer<RulesView> {
    let policy = version.map(rules::document_of).transpose()?.unwrap_or_default();
    let edition = Edition::of(version);
    Ok(RulesView {
        version: edition.version,
        sha256: edition.sha256.to_string(),
        yaml: policy.to_yaml().map_err(|error| error.to_fault())?,
        document: match version {
            Some(version) => version.document.clone(),
            None => serde_json::to_value(&policy).map_err(Problematic::internal)?,
        },
        author: version.map(|version| version.author_name.clone()),
        note: version.and_then(|version| version.note.clone()),
        created_at: version.map(|version| version.created_at),
    })
}

/// Query of the list of versions.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichVersions {
    after: Option<u64>,
    limit: Option<u32>,
}

pub(super) async fn versions(
    State(hub): State<Shared>,
    _: Evidence,
    Query(which): Query<WhichVersions>,
) -> Answer<Json<Page<RulesVersion>>> {
    let page = hub.store.policy_versions(which.after, which.limit.unwrap_or(100).clamp(1, 100)).await?;
    let item = |version: PolicyVersion| RulesVersion {
        version: version.version,
        sha256: AccessPolicy::sha256_of(&version.document).to_string(),
        author: version.author_name,
        note: version.note,
        created_at: version.created_at,
    };
    let next = page.next.map(|version| version.to_string());
    Ok(Json(Page { items: page.items.into_iter().map(item).collect(), next }))
}

pub(super) async fn change(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Json(change): Json<RulesChange>,
) -> Answer<Json<RulesChanged>> {
    let wanted = read(&change)?;
    let known = hub.store.policy().await?;
    let version = known.as_ref().map_or(0, |known| known.version);
    if change.version.is_some_and(|expected| expected != version) {
        return Err(StoreError::Conflict(hoop_store::Conflict::Changed).into());
    }
    let before = known.as_ref().map(rules::document_of).transpose()?.unwrap_or_default();
    let diff = Diff::between(&before, &wanted);
    people::rules_not_for_oneself(&hub, &caller, (&before, &wanted)).await?;
    let answer = |version, changed| -> Answer<RulesChanged> {
        let changes = serde_json::to_value(&diff).map_err(Problematic::internal)?;
        Ok(RulesChanged { version, changed, dry_run: change.dry_run, diff: diff.to_string(), changes })
    };
    // The same rules again are no new version.
    if change.dry_run || (diff.is_empty() && known.is_some()) {
        return Ok(Json(answer(version, !diff.is_empty())?));
    }
    let stored = put(&hub, &caller, version, &wanted, &diff, change.note.clone()).await?;
    Ok(Json(answer(stored.version, true)?))
}

async fn put(
    hub: &Shared,
    caller: &Caller,
    version: u64,
    wanted: &AccessPolicy,
    diff: &Diff,
    note: Option<String>,
) -> Answer<PolicyVersion> {
    let document = serde_json::to_value(wanted).map_err(Problematic::internal)?;
    let sha256 = AccessPolicy::sha256_of(&document);
    let facts = json!({ "version": version + 1, "rules_sha256": sha256, "changes": diff, "note": note });
    let told = event(&caller.actor, EventCode::RulesChanged, [], facts);
    let new = NewPolicy {
        document,
        author: Some(caller.signed_in.user.id),
        author_name: caller.signed_in.user.name.to_string(),
        note,
        created_at: now(),
    };
    let task = hub.clone();
    jobs::change(hub, async move { Ok(task.store.replace_policy(version, &new, &[told]).await?) }).await
}

fn read(change: &RulesChange) -> Answer<AccessPolicy> {
    let note_fits = change
        .note
        .as_ref()
        .is_none_or(|note| note.len() <= LONGEST_NOTE && !note.chars().any(char::is_control));
    if !note_fits {
        return Err(Problematic::bad_request("the note is too long or holds control characters"));
    }
    let read = |result: Result<AccessPolicy, PolicyError>| result.map_err(|error| error.to_fault().into());
    match (&change.yaml, &change.document) {
        (Some(yaml), None) => read(AccessPolicy::from_yaml(yaml)),
        (None, Some(document)) => read(AccessPolicy::from_json(&document.to_string())),
        _ => Err(Problematic::bad_request("give the rules as `yaml` or as `document`")),
    }
}

/// Query of who reaches what.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichReach {
    connection: Option<ConnectionName>,
    person: Option<UserName>,
}

pub(super) async fn reach(
    State(hub): State<Shared>,
    _: Evidence,
    Query(which): Query<WhichReach>,
) -> Answer<Json<Page<ReachView>>> {
    let in_force = hub.rules.in_force(&hub.store).await?;
    let items = match (which.connection, which.person) {
        (Some(connection), None) => who_reaches(&hub, &in_force, &connection).await?,
        (None, Some(person)) => what_is_reached(&hub, &in_force, &person).await?,
        _ => return Err(Problematic::bad_request("give `connection` or `person`")),
    };
    Ok(Json(Page { items, next: None }))
}

async fn who_reaches(hub: &Shared, in_force: &InForce, name: &ConnectionName) -> Answer<Vec<ReachView>> {
    let connection = hub.store.connection_by_name(name).await?.ok_or(StoreError::NotFound("connection"))?;
    let facts = rules::facts(&connection, &sessions::definition_of(&connection)?);
    let services = hub.store.service_accounts(now()).await?;
    let services: Vec<_> = services.iter().map(|account| in_force.person(&account.user, None)).collect();
    let mut items: Vec<_> = in_force.policy.who_can_reach(&facts, &services).map(reach_view).collect();
    let mut after = None;
    loop {
        let page = hub.store.users(after.as_ref(), 500).await?;
        let people: Vec<_> = page.items.iter().map(|user| in_force.person(user, None)).collect();
        items.extend(in_force.policy.who_can_reach(&facts, &people).map(reach_view));
        if items.len() > MOST_REACHED {
            let message = format!("more than {MOST_REACHED} people reach this connection");
            return Err(Fault::new("HOOP-7015", Blame::Caller, message)
                .with_hint("ask about single people: `hoop admin rules reach --person NAME`")
                .into());
        }
        after = page.next;
        if after.is_none() {
            return Ok(items);
        }
    }
}

async fn what_is_reached(hub: &Shared, in_force: &InForce, name: &UserName) -> Answer<Vec<ReachView>> {
    let user = match hub.store.user_by_name(name).await? {
        Some(user) => user,
        None => hub.store.service_account(name).await?.ok_or(StoreError::NotFound("user"))?,
    };
    let person = in_force.person(&user, None);
    let connections = hub.store.connections().await?;
    let facts = connections.iter().map(|connection| {
        sessions::definition_of(connection).map(|definition| rules::facts(connection, &definition))
    });
    let facts = facts.collect::<Result<Vec<_>, _>>()?;
    Ok(in_force.policy.what_can_reach(&person, &facts).map(reach_view).collect())
}

fn reach_view(reach: Reach) -> ReachView {
    let Reach { person, connection, rule, break_glass, through, needs } = reach;
    ReachView { person, connection, rule, break_glass, through, needs }
}

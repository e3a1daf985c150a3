//! Access rules: read, tried, put in force, explained.

use std::net::IpAddr;

use axum::extract::{Path, Query, State};
use hoop_api::{
    Page,
    rules::{BundleView, ReachView, RulesChange, RulesChanged, RulesVersion, RulesView},
};
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, ConnectionName, Fault, UserName};
use hoop_policy::{
    Sha256,
    bundle::Bundle,
    rules::{AccessPolicy, Diff, PolicyError, Reach},
};
use hoop_store::{NewPolicy, PolicyBundle, PolicyVersion, StoreError};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::{Admin, Caller, Evidence, From},
    people,
    problem::{Answer, Problematic},
};
use crate::{
    hub::{Shared, event, now},
    jobs,
    notices::{Notice, Topic},
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
        bundle: version.and_then(|version| version.bundle.as_ref()).map(bundle_view),
    })
}

fn bundle_view(bundle: &PolicyBundle) -> BundleView {
    BundleView { version: bundle.version, sha256: bundle.sha256.clone() }
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
        bundle: version.bundle.as_ref().map(bundle_view),
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
    From(address): From,
    Json(change): Json<RulesChange>,
) -> Answer<Json<RulesChanged>> {
    check_note(&change)?;
    let known = hub.store.policy().await?;
    let version = known.as_ref().map_or(0, |known| known.version);
    let wanted = match wanted(&hub, &change, known.as_ref()).await? {
        Ok(wanted) => wanted,
        Err(refused) if change.dry_run => return Err(refused.fault.into()),
        Err(refused) => return Err(refused.tell(&hub, &caller, address).await),
    };
    if change.version.is_some_and(|expected| expected != version) {
        return Err(StoreError::Conflict(hoop_store::Conflict::Changed).into());
    }
    let before = known.as_ref().map(rules::document_of).transpose()?.unwrap_or_default();
    let diff = Diff::between(&before, &wanted.policy);
    people::rules_not_for_oneself(&hub, &caller, (&before, &wanted.policy)).await?;
    let answer = |version, changed| -> Answer<RulesChanged> {
        let changes = serde_json::to_value(&diff).map_err(Problematic::internal)?;
        Ok(RulesChanged { version, changed, dry_run: change.dry_run, diff: diff.to_string(), changes })
    };
    // The same rules again are no new version; in a newer bundle they are, for the older ones are void then.
    let same_bundle =
        known.as_ref().is_some_and(|known| wanted.bundle.is_none() || known.bundle == wanted.bundle);
    if change.dry_run || (diff.is_empty() && same_bundle) {
        return Ok(Json(answer(version, !diff.is_empty())?));
    }
    let stored = put(&hub, &caller, version, wanted, &diff, change.note.clone()).await?;
    Ok(Json(answer(stored.version, true)?))
}

/// Rules that somebody wants in force.
struct Wanted {
    policy: AccessPolicy,
    bundle: Option<PolicyBundle>,
    /// Its file.
    text: Option<String>,
}

/// An attempt past the bundles that this gateway wants.
struct Refused {
    fault: Fault,
    bundle_version: Option<u64>,
    bundle_sha256: Option<Sha256>,
}

impl Refused {
    async fn tell(self, hub: &Shared, caller: &Caller, address: IpAddr) -> Problematic {
        metrics::counter!("hoop_rules_refused_total").increment(1);
        let facts = json!({
            "code": self.fault.code.as_str(), "reason": self.fault.message, "bundle_version": self.bundle_version,
            "bundle_sha256": self.bundle_sha256, "address": address.to_string(),
        });
        let told = event(&caller.actor, EventCode::RulesRefused, [], facts);
        let notice = Notice::new(Topic::RulesRefused, now(), "Rules were refused that nobody released")
            .text(format!("by {}: {}", caller.actor.display_name(), self.fault.message))
            .fact("address", address);
        match hub.store.append(&[hub.notices.tell(told, &notice)]).await {
            Ok(_) => self.fault.into(),
            Err(error) => error.into(),
        }
    }
}

/// What is wanted, if this gateway takes rules in this way. Where there is a key, rules come in no other way than signed.
async fn wanted(
    hub: &Shared,
    change: &RulesChange,
    known: Option<&PolicyVersion>,
) -> Answer<Result<Wanted, Refused>> {
    let plain = |read: Result<AccessPolicy, PolicyError>| -> Answer<Result<Wanted, Refused>> {
        let policy = read.map_err(|error| error.to_fault())?;
        if hub.config.policy_key.is_none() || change.dry_run {
            return Ok(Ok(Wanted { policy, bundle: None, text: None }));
        }
        let fault =
            Fault::new("HOOP-2018", Blame::Policy, "this gateway takes rules in signed bundles alone")
                .with_hint("apply the bundle that those who release rules have made");
        Ok(Err(Refused { fault, bundle_version: None, bundle_sha256: None }))
    };
    match (&change.yaml, &change.document, &change.bundle) {
        (Some(yaml), None, None) => plain(AccessPolicy::from_yaml(yaml)),
        (None, Some(document), None) => plain(AccessPolicy::from_json(&document.to_string())),
        (None, None, Some(text)) => bundled(hub, text, known).await,
        _ => Err(Problematic::bad_request("give the rules as `yaml`, as `document` or as `bundle`")),
    }
}

async fn bundled(hub: &Shared, text: &str, known: Option<&PolicyVersion>) -> Answer<Result<Wanted, Refused>> {
    let Some(key) = &hub.config.policy_key else {
        let what = "this gateway has no `policy_key`: it cannot tell who signed the bundle";
        let fault = Fault::new("HOOP-2018", Blame::Caller, what);
        return Err(fault.with_hint("set `policy_key`, or apply the rule file itself").into());
    };
    let refused = |fault, bundle_version| {
        Ok(Err(Refused { fault, bundle_version, bundle_sha256: Some(Sha256::of(text.as_bytes())) }))
    };
    let verified = match Bundle::verify(text, key) {
        Ok(verified) => verified,
        Err(error) => return refused(error.to_fault(), None),
    };
    let bundle = PolicyBundle { version: verified.contents().version, sha256: verified.sha256().to_string() };
    // Whoever writes a version meanwhile makes this one a conflict: the number cannot have grown when it is kept.
    let last = hub.store.policy_bundle_number().await?;
    let is_in_force = known.is_some_and(|known| known.bundle.as_ref() == Some(&bundle));
    if bundle.version <= last && !is_in_force {
        let what =
            format!("the bundle has version {}, and version {last} was in force already", bundle.version);
        let fault = Fault::new("HOOP-2019", Blame::Policy, what)
            .with_hint("to go back to older rules, release them with a new version");
        return refused(fault, Some(bundle.version));
    }
    let (policy, text) = (verified.policy().clone(), Some(text.to_owned()));
    Ok(Ok(Wanted { policy, bundle: Some(bundle), text }))
}

async fn put(
    hub: &Shared,
    caller: &Caller,
    version: u64,
    wanted: Wanted,
    diff: &Diff,
    note: Option<String>,
) -> Answer<PolicyVersion> {
    let Wanted { policy, bundle, text } = wanted;
    let document = serde_json::to_value(&policy).map_err(Problematic::internal)?;
    let sha256 = AccessPolicy::sha256_of(&document);
    let facts = json!({
        "version": version + 1, "rules_sha256": sha256, "changes": diff, "note": note,
        "bundle_version": bundle.as_ref().map(|bundle| bundle.version),
        "bundle_sha256": bundle.as_ref().map(|bundle| &bundle.sha256),
    });
    let told = event(&caller.actor, EventCode::RulesChanged, [], facts);
    let title = format!("Version {} of the access rules is in force", version + 1);
    let mut notice = Notice::new(Topic::RulesChanged, now(), title)
        .text(format!("by {}", caller.actor.display_name()))
        .link(format!("{}/rules", hub.origin()));
    if let Some(note) = &note {
        notice = notice.fact("note", note);
    }
    let told = hub.notices.tell(told, &notice);
    let new = NewPolicy {
        document,
        author: Some(caller.signed_in.user.id),
        author_name: caller.signed_in.user.name.to_string(),
        note,
        created_at: now(),
        bundle,
        bundle_text: text,
    };
    let task = hub.clone();
    jobs::change(hub, async move { Ok(task.store.replace_policy(version, &new, &[told]).await?) }).await
}

fn check_note(change: &RulesChange) -> Answer<()> {
    let fits = |note: &String| note.len() <= LONGEST_NOTE && !note.chars().any(char::is_control);
    if change.note.as_ref().is_none_or(fits) {
        return Ok(());
    }
    Err(Problematic::bad_request("the note is too long or holds control characters"))
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

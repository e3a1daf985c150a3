//! What happens without being asked: sessions that may not go on are ended, what is void is removed, the ledger is signed.

pub(crate) mod index;
pub(crate) mod reread;

use std::{
    collections::{HashMap, hash_map::Entry},
    io::Write as _,
    time::{Duration, Instant},
};

use hoop_api::manage::ConnectionDefinition;
use hoop_control::grant::Grant;
use hoop_ledger::{Checkpoint, CheckpointError, CheckpointKey};
use hoop_model::{Blame, Fault, Mfa, UserId};
use hoop_policy::{Denial, rules::Staying};
use hoop_store::{Connection, SessionRecord, StoreError, StoredCheckpoint, User, UserSource};
use tokio::time::MissedTickBehavior;

use crate::{
    http::problem::Problematic,
    hub::{Hub, Shared, now},
    requests,
    rules::{self, InForce, Standing},
    sessions,
};

/// How often sessions are looked at: with the farewell that a client gets, an end takes effect within 2 s when it is found
/// by its own event, and within this and that when only a clock tells.
const SWEEP: Duration = Duration::from_millis(500);
const TIDY: Duration = Duration::from_secs(300);
/// Subtrees of the ledger that are hashed at once at most: a quarter of a million events.
const SUBTREES: u32 = 1024;

/// Runs until the gateway stops.
pub(crate) async fn run(hub: Shared) {
    let mut sweep = tokio::time::interval(SWEEP);
    let mut tidy = tokio::time::interval(TIDY);
    let mut sign = tokio::time::interval(hub.config.checkpoint_interval);
    for interval in [&mut sweep, &mut tidy, &mut sign] {
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut again = false;
    loop {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            () = hub.sweep_again.notified() => again = true,
            _ = sweep.tick() => {
                report("requests", requests::expire(&hub, now()).await);
                report("sweep", end_late(&hub).await);
                if again {
                    let outcome = sweep_sessions(&hub).await;
                    again = outcome.is_err();
                    report("rules", outcome);
                }
            }
            _ = sign.tick() => report("checkpoint", sign_if_grown(&hub).await),
            _ = tidy.tick() => {
                hub.metrics.upkeep();
                report("tidy", tidy_up(&hub).await);
            }
        }
    }
}

fn report(job: &'static str, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        metrics::counter!("hoop_job_failures_total", "job" => job).increment(1);
        tracing::error!(%error, job, "a background job failed");
    }
}

async fn tidy_up(hub: &Shared) -> Result<(), StoreError> {
    hub.store.sweep(now()).await?;
    sweep_sessions(hub).await
}

/// Sessions in memory whose time is over: cheap, and so looked at often.
async fn end_late(hub: &Shared) -> Result<(), StoreError> {
    let (at, on_the_clock) = (now(), Instant::now());
    for live in hub.live.all().into_iter().filter(|live| live.is_late(at, on_the_clock)) {
        sessions::end_by_system(hub, live.id, &Denial::GrantEnded.to_fault()).await?;
    }
    Ok(())
}

/// Carries out a change that may end sessions, and ends those that it ends.
///
/// Goes on when the caller goes away: what was written is always acted on. If that fails, it is tried again until it is
/// done.
pub(crate) async fn change<T: Send + 'static>(
    hub: &Shared,
    work: impl Future<Output = Result<T, Problematic>> + Send + 'static,
) -> Result<T, Problematic> {
    let task = hub.clone();
    let changing = hub.tasks.spawn(async move {
        let changed = work.await;
        // Also after a failure: part of it may have been written.
        let swept = sweep_sessions(&task).await;
        if swept.is_err() || changed.is_err() {
            task.sweep_again.notify_one();
        }
        let changed = changed?;
        swept?;
        Ok(changed)
    });
    changing.await.map_err(Problematic::internal)?
}

/// Every live session against the rules of this moment: called after each change that may end one, and now and then.
pub(crate) async fn sweep_sessions(hub: &Shared) -> Result<(), StoreError> {
    let live = hub.store.live_sessions().await?;
    if live.is_empty() {
        return Ok(());
    }
    let in_force = hub.rules.in_force(&hub.store).await?;
    let connections: HashMap<_, _> =
        hub.store.connections().await?.into_iter().map(|connection| (connection.id, connection)).collect();
    let mut people: HashMap<UserId, Option<User>> = HashMap::new();
    for session in live {
        let user = match people.entry(session.user) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(hub.store.user(session.user).await?),
        };
        let connection = connections.get(&session.connection);
        if let Some(fault) = no_longer(hub, &in_force, &session, user.as_ref(), connection).await? {
            sessions::end_by_system(hub, session.id, &fault).await?;
        }
    }
    Ok(())
}

/// Why a session may not go on. Its second factor was proven when it was opened, and counts for its whole time.
pub(crate) async fn no_longer(
    hub: &Shared,
    in_force: &InForce,
    session: &SessionRecord,
    user: Option<&User>,
    connection: Option<&Connection>,
) -> Result<Option<Fault>, StoreError> {
    if session.ends_at <= now() {
        return Ok(Some(Denial::GrantEnded.to_fault()));
    }
    let over = |code: &'static str, what: &'static str| Ok(Some(Fault::new(code, Blame::Policy, what)));
    let Some(connection) = connection else {
        return over("HOOP-4014", "the connection of this session was removed");
    };
    let Some(user) = user else { return Ok(Some(Denial::Locked.to_fault())) };
    if let Some(fault) = without_token(hub, session, user).await? {
        return Ok(Some(fault));
    }
    let Ok(definition) = sessions::definition_of(connection) else {
        return over("HOOP-4014", "the connection of this session cannot be read any more");
    };
    if definition.protocol != session.protocol || definition.agent != session.agent_name {
        return over("HOOP-4015", "the connection of this session leads elsewhere now");
    }
    let Ok(grant) = serde_json::from_slice::<Grant>(&session.grant) else {
        return elsewhere("what this session was granted cannot be read any more");
    };
    if let Some(fault) = leads_elsewhere(&grant, &definition) {
        return Ok(Some(fault));
    }
    let Ok(address) = session.address.parse() else {
        return elsewhere("where this session came from cannot be read any more");
    };
    let (mut standing, mut reason) = (Standing::default(), session.reason.as_deref());
    if let Some(request) = session.request {
        standing = Standing::load(&hub.store, user, connection).await?;
        // It was given back or taken away, or its time is over.
        let Some(request) = standing.find(request) else {
            return Ok(Some(Denial::GrantEnded.to_fault()));
        };
        reason = reason.or(Some(&request.asked.reason));
    }
    let person = in_force.person(user, grant.mfa_by.map(|by| Mfa { at: session.started_at, by }));
    let target_user = grant.target_user.as_deref().and_then(|name| name.parse().ok());
    let staying = Staying {
        person: &person,
        connection: &rules::facts(connection, &definition),
        address,
        reason,
        opened_at: session.started_at,
        ends_at: session.ends_at,
        rule: &grant.rule,
        opened_by: grant.opened_by,
        recording: grant.recording,
        target_user: target_user.as_ref(),
        rules: &grant.rules(),
        approvals: &standing.approvals,
        end_to_end: !grant.through_gateway,
    };
    Ok(match in_force.policy.may_stay(&staying, now()) {
        // A session runs under its grant: its agent knows nothing else. If that would be narrower now, it is over.
        Ok(stay)
            if stay.idle_timeout.as_secs() < grant.idle_timeout_seconds || stay.ends_at < grant.ends_at =>
        {
            return elsewhere("the rule of this session allows less now");
        }
        Ok(_) => None,
        Err(leave) => Some(leave.to_fault()),
    })
}

/// A service account's session lives as long as the token that opened it.
async fn without_token(
    hub: &Shared,
    session: &SessionRecord,
    user: &User,
) -> Result<Option<Fault>, StoreError> {
    if user.source != UserSource::Service || user.locked {
        return Ok(None);
    }
    let login = match session.login {
        Some(login) => hub.store.login(login).await?,
        None => None,
    };
    let good = login.is_some_and(|login| login.is_good(now()));
    Ok((!good).then(|| {
        Fault::new("HOOP-4017", Blame::Policy, "the API token of this session was revoked")
            .with_hint("ask an admin for another token")
    }))
}

fn elsewhere(what: &'static str) -> Result<Option<Fault>, StoreError> {
    let fault = Fault::new("HOOP-4015", Blame::Policy, what);
    Ok(Some(fault.with_hint("connect again: the new rules are then yours")))
}

/// What the agent was told, against what it would be told now.
fn leads_elsewhere(grant: &Grant, definition: &ConnectionDefinition) -> Option<Fault> {
    // Which password the agent uses says nothing about where the session leads.
    let place = |mut settings: serde_json::Value| {
        settings.as_object_mut().map(|settings| settings.remove("password"));
        settings
    };
    let target_user = grant.target_user.as_deref().and_then(|name| name.parse().ok());
    let now = sessions::settings(definition, target_user.as_ref());
    (place(grant.settings.clone()) != place(now)).then(|| {
        Fault::new("HOOP-4015", Blame::Policy, "the connection of this session leads elsewhere now")
            .with_hint("connect again: the new rules are then yours")
    })
}

/// The name of the ledger.
fn origin(hub: &Hub) -> String {
    format!("{}/ledger", hub.config.public_host)
}

/// The key that checkpoints are verified with.
pub(crate) fn checkpoint_key(hub: &Hub) -> Result<CheckpointKey, CheckpointError> {
    CheckpointKey::new(&origin(hub), hub.keys.checkpoint.verifying_key())
}

async fn sign_if_grown(hub: &Shared) -> Result<(), StoreError> {
    // Proofs need them. A ledger of an older version gets them piece by piece.
    hub.store.keep_subtrees(SUBTREES).await?;
    let head = hub.store.ledger_head().await?;
    let signed = hub.store.latest_checkpoint().await?.map_or(0, |checkpoint| checkpoint.size);
    if head.size <= signed {
        return Ok(());
    }
    match sign_checkpoint(hub).await {
        Ok(_) => Ok(()),
        Err(_) => Err(StoreError::Unavailable("the ledger cannot be signed".to_owned())),
    }
}

/// Signs the ledger as it stands, unless that was done; answers the note.
pub(crate) async fn sign_checkpoint(hub: &Shared) -> Result<String, Problematic> {
    let head = hub.store.ledger_head().await?;
    if let Some(latest) = hub.store.latest_checkpoint().await?.filter(|latest| latest.size == head.size) {
        return Ok(latest.note);
    }
    let root = head.appender.frontier().root();
    let checkpoint = Checkpoint::new(&origin(hub), head.size, root).map_err(Problematic::internal)?;
    let note = checkpoint.sign(&hub.keys.checkpoint).to_string();
    let stored = StoredCheckpoint { size: head.size, root: *root.as_bytes(), note: note.clone(), at: now() };
    hub.store.save_checkpoint(&stored).await?;
    append_to_file(hub, &note).await;
    hub.publishing.signed(head.size);
    Ok(note)
}

/// A copy outside the database: for the operator to keep elsewhere, so that a rollback shows.
async fn append_to_file(hub: &Shared, note: &str) {
    let path = hub.config.data_dir.join("checkpoints.txt");
    let text = format!("{note}\n");
    let written = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the checkpoint cannot be appended to checkpoints.txt"),
        Err(error) => tracing::error!(%error, "the checkpoint cannot be appended to checkpoints.txt"),
    }
}

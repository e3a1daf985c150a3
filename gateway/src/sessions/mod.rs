//! What happens to a session: it is opened, confirmed or refused by its agent, ended by whoever, and sealed.
//!
//! Each step is one transaction with its events. The first reason for an end stands.

mod open;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hoop_control::grant::LetInBy;
use hoop_ledger::event::{EventCode, Subject, recording_facts};
use hoop_model::{Actor, Blame, Fault, SessionId, Timestamp, UserId};
use hoop_recording::{Ended, Frame, VerifyingKey, verify::Report};
use hoop_store::{
    Agent, Conflict, NewEvent, RecordingEnd, RecordingEnding, SessionEnd, SessionRecord, SessionState,
    StoreError,
};
use serde_json::json;

pub(crate) use self::open::{Opening, definition_of, open, renew_certificate, settings};
use crate::{
    agents::control,
    hub::{Hub, Shared, event, now},
    notices::{Notice, Topic},
};

/// The client hears from its agent why its session ended; connections that are still there after this are cut. With the
/// time it takes to get here, the last byte passes within 2 s.
const FAREWELL: Duration = Duration::from_millis(1500);

/// What an event of a session is about.
pub(crate) fn subjects(session: &SessionRecord) -> Vec<Subject> {
    vec![session.id.into(), session.user.into(), session.connection.into(), session.agent.into()]
}

fn agent_actor(session: &SessionRecord) -> Actor {
    Actor::Agent { id: session.agent, name: session.agent_name.clone() }
}

/// What an agent is told about a session that ended while it was away.
pub(crate) fn ended_fault(session: &SessionRecord) -> Fault {
    let reason = session.end_reason.clone().unwrap_or_else(|| "the session has ended".to_owned());
    Fault::new("HOOP-4003", Blame::Policy, reason)
}

fn facts(session: &SessionRecord) -> serde_json::Value {
    let by = LetInBy::read(&session.grant);
    json!({
        "user": session.user_name, "connection": session.connection_name, "agent": session.agent_name,
        "rule": by.as_ref().map(|by| &by.rule), "rules_version": by.as_ref().map(|by| by.rules_version),
        "rules_sha256": by.as_ref().map(|by| by.rules_sha256),
    })
}

/// The agent confirmed it: its recording has begun.
pub(crate) async fn ready(hub: &Shared, session: &SessionRecord) -> Result<(), StoreError> {
    let told = event(&agent_actor(session), EventCode::SessionOpened, subjects(session), facts(session));
    match hub
        .store
        .change_session_state(session.id, &[SessionState::Opening], SessionState::Live, &[told])
        .await
    {
        Ok(_) => {
            hub.live.settle(session.id, Ok(()));
            Ok(())
        }
        // It was ended meanwhile (the opening took too long, say), and the agent has not heard.
        Err(StoreError::Conflict(_)) => {
            let now = hub.store.session(session.id).await?;
            if let Some(now) = now.filter(|now| now.state != SessionState::Live)
                && let Some(link) = hub.agents.link(now.agent)
            {
                link.end_session(now.id, &ended_fault(&now));
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The agent refused it: nothing was opened, there is no recording.
pub(crate) async fn refused(hub: &Shared, session: &SessionRecord, fault: Fault) -> Result<(), StoreError> {
    match session.state {
        SessionState::Opening => {
            end_as(hub, session.id, &agent_actor(session), &fault.message, fault.code.as_str(), None).await?;
            hub.live.settle(session.id, Err(fault));
            let ended = hub.store.session(session.id).await?.ok_or(StoreError::NotFound("session"))?;
            interrupted(hub, &ended, "its agent refused it: there is no recording").await
        }
        // It was ended, and its agent has nothing of it to deliver.
        SessionState::Ending => interrupted(hub, session, "its agent has no recording of it").await,
        SessionState::Live | SessionState::Ended | SessionState::Interrupted => Ok(()),
    }
}

/// The session is over and no seal will come.
pub(crate) async fn interrupted(hub: &Shared, session: &SessionRecord, why: &str) -> Result<(), StoreError> {
    let at = now();
    let facts = json!({
        "ending": "interrupted", "reason": why, "bytes": hub.recordings.length(session.id),
        "retain_until": retain_until(session, at), "relay": hub.live.carried(session.id),
    });
    let mut events = vec![event(&Actor::System, EventCode::RecordingInterrupted, subjects(session), facts)];
    events.extend(end_event(session, &Actor::System, why, "HOOP-4007"));
    let recording = RecordingEnd { ending: RecordingEnding::Interrupted, manifest: None, trailer: None, at };
    let end = SessionEnd { at, reason: why.to_owned(), code: "HOOP-4007".to_owned() };
    tolerate_conflict(hub.store.end_recording(session.id, &recording, &end, &events).await)?;
    // Its agent may come back with a signed end, which is held against it.
    hub.live.forget_carried(session.id, false);
    cut_now(hub, session.id);
    Ok(())
}

/// Until when the recording of a session is kept that ends then; `None`: for ever.
fn retain_until(session: &SessionRecord, ended_at: Timestamp) -> Option<Timestamp> {
    session.keeping.retention_seconds.map(|seconds| ended_at.after(Duration::from_secs(seconds)))
}

/// The event of the end, if the session has not ended yet.
fn end_event(session: &SessionRecord, actor: &Actor, reason: &str, code: &str) -> Option<NewEvent> {
    let running = matches!(session.state, SessionState::Opening | SessionState::Live);
    let facts = json!({ "reason": reason, "code": code, "recorded": session.state != SessionState::Opening });
    running.then(|| event(actor, EventCode::SessionEnded, subjects(session), facts))
}

fn tolerate_conflict<T>(result: Result<T, StoreError>) -> Result<(), StoreError> {
    match result {
        Ok(_) | Err(StoreError::Conflict(Conflict::Changed)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The agent's last part came and was checked.
pub(crate) async fn sealed(
    hub: &Shared,
    agent: &Agent,
    id: SessionId,
    report: &Report,
    trailer: Option<Frame>,
) -> Result<(), StoreError> {
    let session = hub.store.session(id).await?.ok_or(StoreError::NotFound("session"))?;
    // Encrypted for a key that is none of ours, it is for nobody to read.
    let right_key = match report.recording_key {
        Some(key) => hub.store.recording_key(key).await?.is_some(),
        None => true,
    };
    let own = report.session == Some(id) && right_key;
    let (ending, reason) = match &report.manifest {
        Some(manifest) if own && report.is_clean() => match &manifest.ended {
            Ended::Sealed { reason } => (RecordingEnding::Sealed, reason.clone()),
            // The agent's signature still covers what is there; that something is missing is said in it.
            Ended::Interrupted { reason, .. } => (RecordingEnding::Interrupted, reason.clone()),
        },
        Some(_) if !right_key => (
            RecordingEnding::Interrupted,
            "the recording is encrypted for a key that is not the gateway's".to_owned(),
        ),
        _ => (RecordingEnding::Interrupted, "the recording does not agree with itself".to_owned()),
    };
    let code = match ending {
        RecordingEnding::Sealed => EventCode::RecordingSealed,
        RecordingEnding::Interrupted => EventCode::RecordingInterrupted,
    };
    let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let at = now();
    let key = agent.signing_key.as_slice().try_into().map(VerifyingKey::from_bytes).ok();
    let named = trailer.as_ref().zip(key).map(|(trailer, key)| recording_facts(trailer, &key));
    let mut facts = named.unwrap_or_default();
    facts.insert("retain_until".to_owned(), json!(retain_until(&session, at)));
    facts.insert("relay".to_owned(), json!(hub.live.carried(id)));
    facts.insert("contents".to_owned(), json!(report.manifest));
    facts.insert("findings".to_owned(), json!(findings));
    facts.insert("own".to_owned(), json!(own));
    let facts = serde_json::Value::Object(facts);
    let actor = control::actor(agent);
    let mut events = vec![event(&actor, code, subjects(&session), facts)];
    events.extend(end_event(&session, &actor, &reason, "closed"));
    let manifest = report.manifest.as_ref().and_then(|manifest| serde_json::to_vec(manifest).ok());
    let trailer = trailer.map(|trailer| trailer.bytes.to_vec());
    let recording = RecordingEnd { ending, manifest, trailer, at };
    let end = SessionEnd { at, reason, code: "closed".to_owned() };
    let signed = recording.manifest.is_some();
    hub.store.end_recording(id, &recording, &end, &events).await?;
    hub.live.forget_carried(id, signed);
    if let Some(key) = report.recording_key.filter(|_| own) {
        hub.store.session_recording_key(id, key).await?;
    }
    let recording_bytes = hub.recordings.length(id);
    let progress = hoop_store::SessionProgress { recording_bytes, ..hoop_store::SessionProgress::default() };
    hub.store.session_progress(id, &progress).await?;
    cut_now(hub, id);
    Ok(())
}

/// Ends a session. `false`: it had ended before. With `tell`, the agent is told, and tells the client.
///
/// Goes on when the caller goes away: an end that was written is always carried out.
pub(crate) async fn end_as(
    hub: &Shared,
    id: SessionId,
    actor: &Actor,
    reason: &str,
    code: &str,
    tell: Option<&Fault>,
) -> Result<bool, StoreError> {
    let (task, actor, tell) = (hub.clone(), actor.clone(), tell.cloned());
    let end = SessionEnd { at: now(), reason: reason.to_owned(), code: code.to_owned() };
    let ending = hub.tasks.spawn(async move { carry_out(&task, id, &actor, end, tell.as_ref()).await });
    ending.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("ending a session: {error}"))))
}

async fn carry_out(
    hub: &Shared,
    id: SessionId,
    actor: &Actor,
    end: SessionEnd,
    tell: Option<&Fault>,
) -> Result<bool, StoreError> {
    let session = hub.store.session(id).await?.ok_or(StoreError::NotFound("session"))?;
    let ended = write_end(hub, &session, actor, &end).await?;
    if ended {
        metrics::counter!("hoop_sessions_ended_total", "code" => code_label(&end.code)).increment(1);
    }
    // Also of a session that was ending already: whoever wrote that may not have come this far.
    if let Some(fault) = tell {
        let over = matches!(session.state, SessionState::Ended | SessionState::Interrupted);
        if let Some(link) = hub.agents.link(session.agent).filter(|_| !over) {
            link.end_session(id, fault);
        }
        hub.live.settle(id, Err(fault.clone()));
    }
    cut_soon(hub, id);
    Ok(ended)
}

/// Writes the end with its events. `false`: it stood there already.
async fn write_end(
    hub: &Shared,
    session: &SessionRecord,
    actor: &Actor,
    end: &SessionEnd,
) -> Result<bool, StoreError> {
    let (reason, code) = (end.reason.as_str(), end.code.as_str());
    let Some(told) = end_event(session, actor, reason, code) else { return Ok(false) };
    // Whoever closes their own session kills nothing.
    // Its own end, by the person or through their agent, is no kill.
    let own = match actor {
        Actor::Agent { .. } => true,
        Actor::User { id, .. } | Actor::ServiceAccount { id, .. } => *id == session.user,
        Actor::System | Actor::Anonymous => false,
    };
    let killed = (!own).then(|| {
        event(actor, EventCode::SessionKilled, subjects(session), json!({ "reason": reason, "code": code }))
    });
    let events: Vec<NewEvent> = killed.into_iter().chain([told]).collect();
    match hub.store.end_session(session.id, end, &events).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict(Conflict::Changed)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A target showed another key, which ended this session: told once, whoever else ended it meanwhile.
pub(crate) async fn other_host_key(
    hub: &Shared,
    session: &SessionRecord,
    actor: &Actor,
    reason: &str,
) -> Result<(), StoreError> {
    let facts = json!({ "user": session.user_name, "connection": session.connection_name, "reason": reason });
    let told = event(actor, EventCode::OtherHostKey, subjects(session), facts);
    let title = format!("{} shows another host key than the one that is known", session.connection_name);
    let notice = Notice::new(Topic::HostKeyChanged, now(), title)
        .fact("connection", &session.connection_name)
        .fact("user", &session.user_name)
        .fact("reason", reason);
    hub.store.append(&[hub.notices.tell(told, &notice)]).await.map(drop)
}

/// A code as a metric's label: agents send codes, and a label must not grow with what they say.
fn code_label(code: &str) -> String {
    let digits = code.strip_prefix("HOOP-").unwrap_or_default();
    let known = digits.len() == 4 && digits.bytes().all(|c| c.is_ascii_digit());
    if known { code.to_owned() } else { "other".to_owned() }
}

/// Ends a session for a reason of the gateway's own.
pub(crate) async fn end_by_system(hub: &Shared, id: SessionId, fault: &Fault) -> Result<bool, StoreError> {
    end_as(hub, id, &Actor::System, &fault.message, fault.code.as_str(), Some(fault)).await
}

/// Ends all sessions of a person.
pub(crate) async fn end_of_user(
    hub: &Shared,
    user: UserId,
    actor: &Actor,
    fault: &Fault,
) -> Result<(), StoreError> {
    for session in hub.store.live_sessions_of_user(user).await? {
        end_as(hub, session.id, actor, &fault.message, fault.code.as_str(), Some(fault)).await?;
    }
    Ok(())
}

fn cut_soon(hub: &Shared, id: SessionId) {
    let Some(live) = hub.live.remove(id) else { return };
    let stopping = hub.stopping.clone();
    hub.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(FAREWELL) => {}
        }
        live.cut.cancel();
    });
}

/// The agent is done with it: what is still connected is of no use to anybody.
fn cut_now(hub: &Hub, id: SessionId) {
    if let Some(live) = hub.live.remove(id) {
        live.cut.cancel();
    }
}

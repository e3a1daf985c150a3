//! The control stream of one agent: hello and welcome, pings, what becomes of its sessions.
//!
//! The agent's messages are checked against the store before they change anything: it can speak of its own sessions
//! alone.

use std::{sync::Arc, time::Duration};

use hoop_control::v1::{
    AccountChanged, FromAgent, Hello, Ping, SessionEnded, SessionProgress, ToAgent, Welcome,
    from_agent::Message as From, to_agent::Message as To,
};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, Blame, Fault, SessionId};
use hoop_store::{Agent, SessionRecord, SessionState, StoreError};
use hoop_tunnel::ticket::ClaimSecret;
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Status, Streaming};

use super::{Link, enrol::clip, server::Peer, server::unavailable};
use crate::{
    capabilities,
    hub::{Hub, Shared, event, now},
    sessions,
};

/// A stream whose first message does not come is closed.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// Sessions that a hello may name.
const MOST_SESSIONS: usize = 100_000;
const MOST_FEATURES: usize = 100;
/// Silent for so many pings: gone.
const MISSED_PINGS: u32 = 3;

type Answers = ReceiverStream<Result<ToAgent, Status>>;

/// Takes a control stream. The answer begins when the hello has come.
pub(crate) async fn accept(
    hub: &Shared,
    agent: Agent,
    peer: Peer,
    mut messages: Streaming<FromAgent>,
) -> Result<Answers, Status> {
    if hub.stopping.is_cancelled() {
        return Err(Status::unavailable("the gateway is shutting down"));
    }
    // Answer at once: a client may send its hello only when the response's head has come.
    let (answers, receiver) = mpsc::channel(super::OUTBOX);
    let hub = Arc::clone(hub);
    let task = Arc::clone(&hub);
    hub.tasks.spawn(async move {
        let first = tokio::time::timeout(FIRST_MESSAGE, messages.next()).await;
        let Ok(Some(Ok(FromAgent { message: Some(From::Hello(hello)) }))) = first else {
            let _ = answers.try_send(Err(Status::invalid_argument("the first message must be a hello")));
            return;
        };
        match begin(&task, &agent, &hello).await {
            Ok((link, outbox)) => run(&task, &agent, &peer, link, outbox, messages, answers).await,
            Err(status) => {
                let _ = answers.try_send(Err(status));
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

async fn begin(
    hub: &Shared,
    agent: &Agent,
    hello: &Hello,
) -> Result<(Arc<Link>, mpsc::Receiver<ToAgent>), Status> {
    let version = clip(&hello.version);
    let actor = actor(agent);
    let told = event(
        &actor,
        EventCode::AgentConnected,
        [agent.id.into()],
        json!({ "name": agent.name, "version": version, "gateway": hub.name() }),
    );
    let recording_key = hub.keys.recording.in_force(&hub.store).await.map_err(|error| unavailable(&error))?;
    let epoch = hub
        .store
        .agent_connected(agent.id, &hub.name(), &version, now(), &[told])
        .await
        .map_err(|error| unavailable(&error))?;
    let features = hello.features.iter().take(MOST_FEATURES).map(|feature| clip(feature)).collect();
    let secret = ClaimSecret::generate().map_err(|_| Status::internal("no randomness"))?;
    let (link, outbox) = Link::new(agent.id, agent.name.clone(), epoch, (version, features), secret);
    link.say(To::Welcome(Welcome {
        claim_secret: link.claim_secret.expose().to_vec().into(),
        claim_epoch: epoch,
        dial_ahead: hub.config.dial_ahead,
        data_host: String::new(),
        data_port: 0,
        recording_key_pem: recording_key.to_pem(),
    }));
    // Before anybody can open a session on this stream: what is known now is what the hello can be held against.
    let known = hub.store.open_sessions_of_agent(agent.id).await.map_err(|error| unavailable(&error))?;
    let ahead = usize::try_from(hub.config.dial_ahead).unwrap_or(0);
    let waiting = hub.relay.begin_epoch(agent.id, epoch, ahead);
    hub.agents.connect(&link);
    if let Err(error) = capabilities::tell_revoked(hub, &link).await {
        finish(hub, agent, &link, "store failed").await;
        return Err(unavailable(&error));
    }
    if waiting > 0 {
        link.dial_out(waiting);
    }
    // Removed while it said hello: the removal found no stream to cut.
    if hub.agents.is_removed(agent.id) {
        finish(hub, agent, &link, "removed").await;
        return Err(Status::unauthenticated("this agent was removed"));
    }
    if let Err(error) = reconcile(hub, known, hello, &link).await {
        finish(hub, agent, &link, "store failed").await;
        return Err(unavailable(&error));
    }
    tracing::info!(agent.id = %agent.id, agent.name = %agent.name, epoch, "agent connected");
    Ok((link, outbox))
}

/// Compares what the agent holds with what the store knows: sessions that only one of the two has are ended.
async fn reconcile(
    hub: &Shared,
    known: Vec<SessionRecord>,
    hello: &Hello,
    link: &Link,
) -> Result<(), StoreError> {
    let parse = |ids: &[String]| -> Vec<SessionId> {
        ids.iter().take(MOST_SESSIONS).filter_map(|id| id.parse().ok()).collect()
    };
    let held = parse(&hello.live_sessions);
    let spooled: Vec<SessionId> =
        hello.spool.iter().take(MOST_SESSIONS).filter_map(|spool| spool.session_id.parse().ok()).collect();
    for session in &known {
        let running = matches!(session.state, SessionState::Opening | SessionState::Live);
        match (running, held.contains(&session.id), spooled.contains(&session.id)) {
            // The rest of the recording, or the agent's own word, tells the end and its reason.
            (true, true, _) | (_, false, true) => {}
            // Ended while the agent was away.
            (false, true, _) => {
                link.end_session(session.id, &sessions::ended_fault(session));
            }
            (_, false, false) => {
                sessions::interrupted(hub, session, "the agent does not hold this session any more").await?
            }
        }
    }
    for id in held {
        if !known.iter().any(|session| session.id == id) {
            let fault = Fault::new(
                "HOOP-4004",
                Blame::Policy,
                "the gateway does not know this session as a live one",
            );
            link.end_session(id, &fault);
        }
    }
    Ok(())
}

async fn run(
    hub: &Shared,
    agent: &Agent,
    peer: &Peer,
    link: Arc<Link>,
    mut outbox: mpsc::Receiver<ToAgent>,
    mut messages: Streaming<FromAgent>,
    answers: mpsc::Sender<Result<ToAgent, Status>>,
) {
    let interval = hub.config.agent_ping;
    let mut ping = tokio::time::interval(interval);
    let mut heard = Instant::now();
    let certificate_left = peer.expires_at.since(now());
    let certificate_end = tokio::time::sleep(certificate_left);
    tokio::pin!(certificate_end);
    let why = loop {
        tokio::select! {
            biased;
            () = link.ended.cancelled() => break "cut",
            () = &mut certificate_end => break "certificate ended",
            Some(message) = outbox.recv() => {
                let is_last = matches!(message.message, Some(To::Drain(_)));
                // The network's own backpressure: an agent that reads nothing for three pings is gone.
                match tokio::time::timeout(interval * MISSED_PINGS, answers.send(Ok(message))).await {
                    Ok(Ok(())) if is_last => break "the gateway stops",
                    Ok(Ok(())) => {}
                    _ => break "stopped reading",
                }
            }
            message = messages.next() => match message {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    if let Err(error) = handle(hub, agent, message).await {
                        tracing::error!(%error, agent.id = %agent.id, "message of an agent cannot be handled");
                        break "store failed";
                    }
                }
                Some(Err(_)) | None => break "stream ended",
            },
            _ = ping.tick() => {
                if heard.elapsed() > interval * MISSED_PINGS {
                    break "silent";
                }
                link.say(To::Ping(Ping { nonce: link.next_ping() }));
            }
        }
    };
    finish(hub, agent, &link, why).await;
}

async fn finish(hub: &Hub, agent: &Agent, link: &Link, why: &str) {
    link.ended.cancel();
    hub.agents.disconnect(link);
    hub.relay.end_epoch(agent.id, link.epoch);
    tracing::info!(agent.id = %agent.id, agent.name = %agent.name, reason = why, "agent disconnected");
    let told = event(
        &actor(agent),
        EventCode::AgentDisconnected,
        [agent.id.into()],
        json!({ "name": agent.name, "reason": why }),
    );
    if let Err(error) = hub.store.agent_disconnected(agent.id, link.epoch, now(), &[told]).await {
        tracing::error!(%error, agent.id = %agent.id, "end of a control stream cannot be noted");
    }
}

pub(crate) fn actor(agent: &Agent) -> Actor {
    Actor::Agent { id: agent.id, name: agent.name.clone() }
}

async fn handle(hub: &Shared, agent: &Agent, message: FromAgent) -> Result<(), StoreError> {
    match message.message {
        Some(From::SessionReady(ready)) => {
            let Some(session) = own(hub, agent, &ready.session_id).await? else { return Ok(()) };
            sessions::ready(hub, &session).await
        }
        Some(From::SessionRefused(refused)) => {
            let Some(session) = own(hub, agent, &refused.session_id).await? else { return Ok(()) };
            let unnamed = || Fault::new("HOOP-4005", Blame::System, "the agent refused the session");
            let fault = refused.fault.map_or_else(unnamed, |fault| fault.to_fault());
            sessions::refused(hub, &session, fault).await
        }
        Some(From::SessionProgress(progress)) => {
            let Some(session) = own(hub, agent, &progress.session_id).await? else { return Ok(()) };
            hub.store.session_progress(session.id, &counters(&progress)).await
        }
        Some(From::SessionEnded(ended)) => {
            let Some(session) = own(hub, agent, &ended.session_id).await? else { return Ok(()) };
            ended_by_agent(hub, agent, &session, ended).await
        }
        Some(From::AccountChanged(changed)) => {
            let Some(session) = own(hub, agent, &changed.session_id).await? else { return Ok(()) };
            account_changed(hub, agent, &session, &changed).await
        }
        Some(From::ConnectionTested(answer)) => {
            hub.tests.answer(agent.id, answer);
            Ok(())
        }
        Some(From::EmergencyUsed(heard)) => capabilities::used(hub, agent, &heard).await,
        Some(From::Pong(_) | From::Hello(_)) | None => Ok(()),
    }
}

/// What the agent did with a session's own account at the target.
async fn account_changed(
    hub: &Shared,
    agent: &Agent,
    session: &SessionRecord,
    changed: &AccountChanged,
) -> Result<(), StoreError> {
    let code = match changed.change.as_str() {
        "made" => EventCode::AccountMade,
        "removed" => EventCode::AccountRemoved,
        _ => EventCode::AccountLeft,
    };
    let detail: String = changed.detail.chars().filter(|c| !c.is_control()).take(500).collect();
    let facts = json!({
        "account": clip(&changed.account), "change": clip(&changed.change), "detail": detail,
        "user": session.user_name, "connection": session.connection_name,
    });
    if code == EventCode::AccountLeft {
        metrics::counter!("hoop_accounts_left_total").increment(1);
        tracing::error!(agent.id = %agent.id, session.id = %session.id, account = clip(&changed.account), detail, "the account of a session could not be removed");
    }
    let told = event(&actor(agent), code, sessions::subjects(session), facts);
    hub.store.append(&[told]).await.map(drop)
}

async fn ended_by_agent(
    hub: &Shared,
    agent: &Agent,
    session: &SessionRecord,
    ended: SessionEnded,
) -> Result<(), StoreError> {
    if let Some(totals) = &ended.totals {
        hub.store.session_progress(session.id, &counters(totals)).await?;
    }
    let reason: String = ended.reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let code = if ended.code.is_empty() { "closed".to_owned() } else { clip(&ended.code) };
    if code == Fault::OTHER_HOST_KEY {
        sessions::other_host_key(hub, session, &actor(agent), &reason).await?;
    }
    sessions::end_as(hub, session.id, &actor(agent), &reason, &code, None).await.map(|_| ())
}

/// A session, if it is this agent's (THREATS F3, A18).
pub(crate) async fn own(hub: &Hub, agent: &Agent, id: &str) -> Result<Option<SessionRecord>, StoreError> {
    let Ok(id) = id.parse::<SessionId>() else { return Ok(None) };
    let session = hub.store.session(id).await?;
    let own = session.filter(|session| session.agent == agent.id);
    if own.is_none() {
        metrics::counter!("hoop_agent_refused_total", "reason" => "foreign_session").increment(1);
        tracing::warn!(agent.id = %agent.id, session.id = %id, "an agent spoke of a session that is not its own");
    }
    Ok(own)
}

const fn counters(progress: &SessionProgress) -> hoop_store::SessionProgress {
    hoop_store::SessionProgress {
        requests: progress.requests,
        rows: progress.rows,
        bytes_out: progress.bytes_out,
        recording_bytes: 0,
    }
}

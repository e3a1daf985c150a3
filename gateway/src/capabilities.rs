//! Ways in while the gateway is down: made and revoked here, used at an agent, heard of afterwards.
//!
//! A use that is heard of is an emergency like any other: everybody is told, its session is kept as one of the holder's,
//! and its review waits for somebody else. What the agent says is held against both signatures.

use std::{net::Ipv4Addr, time::Duration};

use hoop_api::capabilities::{CapabilityMade, NewCapability};
use hoop_control::{
    capability::{Capability, HolderKey, Statement},
    v1,
};
use hoop_ledger::event::EventCode;
use hoop_model::{
    Actor, Blame, CapabilityId, FactorKind, Fault, Mfa, RequestId, RuleName, SessionId, Timestamp,
};
use hoop_policy::{Masking, rules::Policy};
use hoop_recording::RecordingPublicKey;
use hoop_store::{
    Agent, CapabilityUse, NewCapability as Kept, NewRequest, NewSession, RequestKind, StoreError, UserSource,
};
use hoop_tunnel::ticket::SessionSecret;
use serde_json::json;

use crate::{
    agents::Link,
    http::{caller::Caller, problem::Problematic},
    hub::{Hub, Shared, event, now},
    notices::{Notice, Topic},
    rules::Question,
    sessions,
};

/// Longest life of a capability.
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);
/// Most uses of one.
const MOST_USES: u32 = 10;

/// Makes one.
pub(crate) async fn make(
    hub: &Shared,
    by: &Caller,
    wanted: &NewCapability,
) -> Result<CapabilityMade, Problematic> {
    let (valid, session) =
        (Duration::from_secs(wanted.valid_seconds), Duration::from_secs(wanted.session_seconds));
    if valid.is_zero() || valid > LONGEST || session.is_zero() || !(1..=MOST_USES).contains(&wanted.uses) {
        let what = "valid_seconds must be at most 90 days, session_seconds more than 0, uses 1 to 10";
        return Err(Problematic::bad_request(what));
    }
    let at = now();
    let connection = hub.store.connection_by_name(&wanted.connection).await?;
    let connection = connection.ok_or(StoreError::NotFound("connection"))?;
    let definition = sessions::definition_of(&connection)?;
    let agent = hub.store.agent_by_name(&definition.agent).await?.ok_or(StoreError::NotFound("agent"))?;
    let holder = hub.store.user_by_name(&wanted.holder).await?.ok_or(StoreError::NotFound("user"))?;
    if holder.source == UserSource::Service {
        return Err(Problematic::bad_request("a capability is for a person"));
    }
    let oneself = &by.signed_in.user;
    if holder.person == oneself.person && holder.id != oneself.id {
        let what = "nobody makes a capability for another account of their own";
        return Err(Problematic::forbidden("HOOP-3006", what).hint("ask another admin"));
    }
    // As if the emergency were now: the same rule, its limits, its reviewers.
    let in_force = hub.rules.in_force(&hub.store).await?;
    let person = in_force.person(&holder, Some(Mfa { at, by: FactorKind::Totp }));
    let question = Question::new(person, &connection, &definition, Ipv4Addr::LOCALHOST.into());
    let allowed = in_force.policy.break_glass(&question.asking(Some("a capability"), None, &[], 0), at);
    let allowed = allowed.map_err(|refusal| refusal.to_fault(&connection.name))?;
    let (code, key) = HolderKey::generate().map_err(Problematic::internal)?;
    let longest = session.min(allowed.ends_at.since(at));
    let capability = Capability {
        id: CapabilityId::generate(),
        agent: agent.id,
        holder: holder.id,
        holder_name: holder.name.clone(),
        holder_key: key.public_key(),
        connection: connection.id,
        connection_name: connection.name.clone(),
        protocol: definition.protocol.clone(),
        settings: sessions::settings(&definition, allowed.target_user.as_ref()),
        recording_key_pem: hub.keys.recording.in_force(&hub.store).await?.to_pem(),
        rule: allowed.rule.clone(),
        rules_version: in_force.edition.version,
        rules_sha256: in_force.edition.sha256,
        target_user: allowed.target_user.as_ref().map(ToString::to_string),
        idle_timeout_seconds: allowed.idle_timeout.as_secs(),
        valid_from: at,
        valid_until: at.after(valid),
        longest_seconds: longest.as_secs(),
        uses: wanted.uses,
        masking: masked(&in_force.policy, &allowed.rule),
    };
    let (body, text) = capability.sign(&hub.keys.grants).map_err(Problematic::internal)?;
    let facts = json!({
        "capability": capability.id, "capability_sha256": Capability::sha256(&body), "holder": holder.name,
        "connection": connection.name, "agent": agent.name, "valid_until": capability.valid_until,
        "session_seconds": capability.longest_seconds, "uses": wanted.uses, "rule": capability.rule,
        "rules_version": capability.rules_version, "rules_sha256": capability.rules_sha256,
    });
    let subjects = [holder.id.into(), connection.id.into(), agent.id.into()];
    let told = event(&by.actor, EventCode::CapabilityMade, subjects, facts);
    let kept = Kept {
        id: capability.id,
        agent: agent.id,
        holder: holder.id,
        holder_name: holder.name,
        connection: connection.id,
        connection_name: connection.name,
        body,
        made_by: by.actor.display_name().to_owned(),
        made_at: at,
        valid_until: capability.valid_until,
        most_uses: wanted.uses,
    };
    hub.store.create_capability(&kept, &[told]).await?;
    Ok(CapabilityMade {
        id: capability.id,
        agent: agent.name,
        capability: text,
        code: code.expose().clone(),
        valid_until: capability.valid_until,
        session_seconds: capability.longest_seconds,
    })
}

/// Whether answers are masked is asked when a session is opened: here nobody can, and what a condition would show is not shown.
fn masked(policy: &Policy, rule: &RuleName) -> Masking {
    let rule = policy.document().break_glass().iter().find(|candidate| candidate.name == *rule);
    rule.map(|rule| rule.requests().masking).unwrap_or_default()
}

/// Revokes one. Its agent hears of it now, or when it comes.
pub(crate) async fn revoke(hub: &Shared, actor: &Actor, id: CapabilityId) -> Result<(), Problematic> {
    let known = hub.store.capability(id).await?.ok_or(StoreError::NotFound("capability"))?.made;
    let facts = json!({ "capability": id, "holder": known.holder_name, "connection": known.connection_name });
    let subjects = [known.holder.into(), known.connection.into(), known.agent.into()];
    let told = event(actor, EventCode::CapabilityRevoked, subjects, facts);
    hub.store.revoke_capability(id, now(), &[told]).await?;
    if let Some(link) = hub.agents.link(known.agent) {
        link.capabilities_revoked(&[id]);
    }
    Ok(())
}

/// Tells an agent that comes what was revoked.
pub(crate) async fn tell_revoked(hub: &Hub, link: &Link) -> Result<(), StoreError> {
    let revoked = hub.store.revoked_capabilities(link.agent, now()).await?;
    if !revoked.is_empty() {
        link.capabilities_revoked(&revoked);
    }
    Ok(())
}

/// An agent tells of a use. It is answered in any case.
pub(crate) async fn used(hub: &Shared, agent: &Agent, heard: &v1::EmergencyUsed) -> Result<(), StoreError> {
    let Ok(session) = heard.session_id.parse::<SessionId>() else { return Ok(()) };
    let refused = match check(hub, agent, heard).await? {
        Ok((capability, statement)) => {
            keep(hub, agent, session, heard, &capability, &statement).await?;
            None
        }
        Err(why) => {
            metrics::counter!("hoop_agent_refused_total", "reason" => "capability").increment(1);
            tracing::error!(agent.id = %agent.id, session.id = %session, why, "an agent tells of an emergency that cannot have been");
            let facts = json!({ "session": session, "agent": agent.name, "reason": why });
            let told = event(
                &crate::agents::control::actor(agent),
                EventCode::CapabilityRefused,
                [agent.id.into()],
                facts,
            );
            hub.store.append(&[told]).await?;
            Some(Fault::new(
                "HOOP-4018",
                Blame::Policy,
                format!("the gateway does not accept this use: {why}"),
            ))
        }
    };
    if let Some(link) = hub.agents.link(agent.id) {
        link.emergency_known(session, refused.as_ref());
    }
    Ok(())
}

/// Our own bytes, this agent's capability, and the holder's signature.
async fn check(
    hub: &Shared,
    agent: &Agent,
    heard: &v1::EmergencyUsed,
) -> Result<Result<(Capability, Statement), String>, StoreError> {
    let Ok(capability) = serde_json::from_slice::<Capability>(&heard.capability) else {
        return Ok(Err("the capability cannot be read".to_owned()));
    };
    let kept = hub.store.capability(capability.id).await?;
    if kept.is_none_or(|kept| kept.made.body != heard.capability || kept.made.agent != agent.id) {
        return Ok(Err("this gateway made no such capability for this agent".to_owned()));
    }
    let at = Timestamp::from_micros(heard.started_at_us);
    let statement = capability.read_statement(&heard.statement, &heard.statement_signature, at);
    Ok(statement.map(|statement| (capability, statement)).map_err(|error| error.to_string()))
}

async fn keep(
    hub: &Shared,
    agent: &Agent,
    session: SessionId,
    heard: &v1::EmergencyUsed,
    capability: &Capability,
    statement: &Statement,
) -> Result<(), StoreError> {
    let started_at = Timestamp::from_micros(heard.started_at_us);
    let mut grant = capability.grant(session, statement, started_at);
    let emergency = emergency(capability, statement, started_at, grant.ends_at);
    grant.request = Some(emergency.id);
    let failed = |error: &dyn std::fmt::Display| StoreError::Unavailable(format!("a grant: {error}"));
    let (bytes, signature) = hub.keys.grants.sign(&grant).map_err(|error| failed(&error))?;
    // Nobody comes to it through the tunnel: a secret that nobody knows.
    let secret = SessionSecret::generate().map_err(|_| failed(&"no randomness"))?;
    let sealed = hub.keys.seal_session_secret(session, &secret).map_err(|error| failed(&error))?;
    let new = NewSession {
        id: session,
        user: grant.user,
        user_name: grant.user_name.clone(),
        connection: grant.connection,
        connection_name: grant.connection_name.clone(),
        protocol: grant.protocol.clone(),
        agent: agent.id,
        agent_name: agent.name.clone(),
        grant: bytes,
        grant_signature: signature,
        secret_sealed: sealed,
        connector_key_sha256: [0; 32],
        certificate_expires_at: grant.ends_at,
        address: grant.address.clone(),
        reason: grant.reason.clone(),
        allowed_because: grant.allowed_because.clone(),
        request: grant.request,
        recording_key: RecordingPublicKey::from_pem(&capability.recording_key_pem).ok().map(|key| key.id()),
        started_at,
        ends_at: grant.ends_at,
        login: None,
        retention_seconds: hub.config.recordings.retention.map(|retention| retention.duration().as_secs()),
    };
    let told = told(hub, agent, heard, &emergency, capability, &grant.ends_at);
    let ends_at = grant.ends_at;
    let heard = CapabilityUse { capability: capability.id, emergency, ends_at, session: new };
    if hub.store.use_capability(&heard, &[told]).await? {
        metrics::counter!("hoop_break_glass_total").increment(1);
        tracing::warn!(person = %capability.holder_name, session.id = %session, "the glass was broken while the gateway was down");
    }
    Ok(())
}

fn emergency(
    capability: &Capability,
    statement: &Statement,
    started_at: Timestamp,
    ends_at: Timestamp,
) -> NewRequest {
    NewRequest {
        id: RequestId::generate(),
        kind: RequestKind::BreakGlass,
        user: capability.holder,
        user_name: capability.holder_name.clone(),
        connection: capability.connection,
        connection_name: capability.connection_name.clone(),
        rule: capability.rule.to_string(),
        become_user: capability.target_user.clone(),
        statement: None,
        reason: statement.reason.clone(),
        incident: Some(statement.incident.clone()),
        duration_seconds: ends_at.since(started_at).as_secs(),
        needed: 0,
        created_at: started_at,
        decide_until: started_at,
    }
}

/// The event, with both clocks, and the notice to everybody.
fn told(
    hub: &Hub,
    agent: &Agent,
    heard: &v1::EmergencyUsed,
    emergency: &NewRequest,
    capability: &Capability,
    ends_at: &Timestamp,
) -> hoop_store::NewEvent {
    let facts = json!({
        "request": emergency.id, "session": heard.session_id, "capability": capability.id,
        "capability_sha256": Capability::sha256(&heard.capability), "person": capability.holder_name,
        "connection": capability.connection_name, "agent": agent.name, "rule": capability.rule,
        "rules_version": capability.rules_version, "rules_sha256": capability.rules_sha256, "reason": emergency.reason, "incident": emergency.incident, "started_at": emergency.created_at,
        "heard_at": now(), "ends_at": ends_at, "gateway_away_seconds": heard.away_seconds,
    });
    let subjects = [capability.holder.into(), capability.connection.into(), agent.id.into()];
    let told = event(&crate::agents::control::actor(agent), EventCode::BreakGlassOffline, subjects, facts);
    let (person, connection) = (&capability.holder_name, &capability.connection_name);
    let title = format!("The glass was broken while the gateway was down: {person} on {connection}");
    let mut notice = Notice::new(Topic::BreakGlassStarted, now(), title)
        .text(format!("at the agent {}", agent.name))
        .fact("reason", &emergency.reason)
        .fact("started_at", emergency.created_at)
        .fact("ends_at", *ends_at)
        .link(format!("{}/requests/{}", hub.origin(), emergency.id));
    if let Some(incident) = &emergency.incident {
        notice = notice.fact("incident", incident);
    }
    hub.notices.tell(told, &notice)
}

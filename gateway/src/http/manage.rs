//! Agents and connections.

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_api::{
    Page,
    manage::{
        AgentView, ConnectionDefinition, ConnectionScan, ConnectionTest, ConnectionView, JoinToken,
        JoinTokenRequest,
    },
};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, AgentId, AgentName, Blame, ConnectionId, ConnectionName, Fault};
use hoop_store::{Connection, NewConnection, StoreError};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::{Admin, Caller, Evidence, SignedInCaller},
    people,
    problem::{Answer, Problematic},
};
use crate::{
    agents::enrol,
    connection_tests,
    hub::{Hub, Shared, event, now},
    jobs,
    rules::{self, InForce},
    sessions,
};

const LONGEST_JOIN: u64 = 24 * 3600;

/// Query of the list of connections.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichConnections {
    #[serde(default)]
    all: bool,
}

pub(super) async fn connections(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Query(which): Query<WhichConnections>,
) -> Answer<Json<Page<ConnectionView>>> {
    if which.all && !caller.sees_all() {
        return Err(super::caller::wrong_role("an admin or auditor"));
    }
    let in_force = hub.rules.in_force(&hub.store).await?;
    let mut items = Vec::new();
    for connection in hub.store.connections().await? {
        let view = connection_view(&hub, &in_force, &caller, &connection)?;
        if which.all || view.may_connect || view.break_glass {
            items.push(view);
        }
    }
    Ok(Json(Page { items, next: None }))
}

fn connection_view(
    hub: &Hub,
    in_force: &InForce,
    caller: &Caller,
    connection: &Connection,
) -> Answer<ConnectionView> {
    let definition = sessions::definition_of(connection)?;
    let (person, facts) = (in_force.caller(&caller.signed_in), rules::facts(connection, &definition));
    let ways: Vec<_> = in_force.policy.what_can_reach(&person, [&facts]).collect();
    let ordinary = ways.iter().find(|way| !way.break_glass);
    let database = definition.settings.get("database").and_then(serde_json::Value::as_str).map(str::to_owned);
    Ok(ConnectionView {
        id: connection.id,
        name: connection.name.clone(),
        protocol: definition.protocol.clone(),
        description: definition.description.clone(),
        online: hub.agents.is_online_by_name(&definition.agent),
        may_connect: ordinary.is_some(),
        needs: ordinary.map(|way| way.needs.clone()).unwrap_or_default(),
        break_glass: ways.iter().any(|way| way.break_glass),
        default_database: database,
        definition: caller.sees_all().then_some(definition),
    })
}

pub(super) async fn put_connection(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<ConnectionName>,
    Json(definition): Json<ConnectionDefinition>,
) -> Answer<Json<ConnectionView>> {
    check_definition(&definition)?;
    people::not_for_oneself(&hub, &caller, &name, &definition).await?;
    let value = serde_json::to_value(&definition).map_err(Problematic::internal)?;
    let known = hub.store.connection_by_name(&name).await?;
    let facts = json!({ "name": name.as_str(), "definition": value });
    let (task, actor) = (hub.clone(), caller.actor.clone());
    let connection = jobs::change(&hub, async move {
        Ok(match known {
            Some(known) => {
                let told = event(&actor, EventCode::ConnectionChanged, [known.id.into()], facts);
                task.store.replace_connection(known.id, known.version, &value, now(), &[told]).await?
            }
            None => {
                let id = ConnectionId::generate();
                let told = event(&actor, EventCode::ConnectionCreated, [id.into()], facts);
                let new = NewConnection { id, name, definition: value, created_at: now() };
                task.store.create_connection(&new, &[told]).await?
            }
        })
    });
    let connection = connection.await?;
    let in_force = hub.rules.in_force(&hub.store).await?;
    Ok(Json(connection_view(&hub, &in_force, &caller, &connection)?))
}

fn check_definition(definition: &ConnectionDefinition) -> Answer<()> {
    let wrong = |message: String| Fault::new("HOOP-7010", Blame::Caller, message);
    if definition.description.len() > 1000 {
        return Err(wrong("the description is longer than 1000 bytes".to_owned()).into());
    }
    if definition.labels.len() > 50 {
        return Err(wrong("a connection may have at most 50 labels".to_owned()).into());
    }
    super::protocols::check(&definition.protocol, &definition.settings)
        .map_err(|message| wrong(message).into())
}

pub(super) async fn test_connection(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<ConnectionName>,
) -> Answer<Json<ConnectionTest>> {
    connection_tests::run(&hub, &caller, name).await.map(Json)
}

pub(super) async fn scan_connection(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<ConnectionName>,
) -> Answer<Json<ConnectionScan>> {
    connection_tests::scan(&hub, &caller, name).await.map(Json)
}

pub(super) async fn delete_connection(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<ConnectionName>,
) -> Answer<StatusCode> {
    let known = hub.store.connection_by_name(&name).await?.ok_or(StoreError::NotFound("connection"))?;
    let facts = json!({ "name": name.as_str() });
    let told = event(&caller.actor, EventCode::ConnectionDeleted, [known.id.into()], facts);
    let task = hub.clone();
    jobs::change(&hub, async move { Ok(task.store.remove_connection(known.id, &[told]).await?) }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn agents(State(hub): State<Shared>, _: Evidence) -> Answer<Json<Page<AgentView>>> {
    let live = hub.store.live_sessions().await?;
    let view = |agent: hoop_store::Agent| AgentView {
        online: hub.agents.is_online(agent.id),
        sessions: u32::try_from(live.iter().filter(|session| session.agent == agent.id).count())
            .unwrap_or(u32::MAX),
        id: agent.id,
        name: agent.name,
        version: hub.agents.link(agent.id).map_or(agent.version, |link| link.version.clone()),
        enrolled_at: agent.enrolled_at,
        certificate_expires_at: agent.certificate_expires_at,
        sealing_key: STANDARD.encode(agent.sealing_key),
    };
    let items = hub.store.agents().await?.into_iter().map(view).collect();
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn join_token(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Json(request): Json<JoinTokenRequest>,
) -> Answer<Json<JoinToken>> {
    if request.ttl_seconds == 0 || request.ttl_seconds > LONGEST_JOIN {
        return Err(Problematic::bad_request("ttl_seconds must be between 1 and 86400"));
    }
    let life = std::time::Duration::from_secs(request.ttl_seconds);
    let fingerprint = hub.keys.authority.fingerprint();
    let (token, new) =
        enrol::make_join_token(&fingerprint, &request.agent, now(), life).map_err(Problematic::internal)?;
    let facts = json!({ "agent": request.agent, "expires_at": new.expires_at });
    let told = event(&caller.actor, EventCode::JoinTokenCreated, [new.id.into()], facts);
    hub.store.create_join_token(&new, &[told]).await?;
    Ok(Json(JoinToken { token: token.expose().clone(), expires_at: new.expires_at }))
}

pub(super) async fn remove_agent(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<AgentName>,
) -> Answer<StatusCode> {
    let agent = hub.store.agent_by_name(&name).await?.ok_or(StoreError::NotFound("agent"))?;
    let facts = json!({ "name": name.as_str() });
    let told = event(&caller.actor, EventCode::AgentRemoved, [agent.id.into()], facts);
    let (task, id) = (hub.clone(), agent.id);
    jobs::change(&hub, async move {
        task.store.remove_agent(id, now(), &[told]).await?;
        without_agent(&task, id, &caller.actor).await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends what ran through an agent that was removed. No session can begin through it any more: the store refuses.
async fn without_agent(hub: &Shared, agent: AgentId, actor: &Actor) -> Answer<()> {
    let fault = Fault::new("HOOP-4013", Blame::Policy, "the agent of this session was removed");
    for session in hub.store.open_sessions_of_agent(agent).await? {
        sessions::end_as(hub, session.id, actor, &fault.message, fault.code.as_str(), Some(&fault)).await?;
    }
    hub.agents.remove(agent);
    hub.relay.forget(agent);
    // Nobody will send the rest of their recordings.
    for session in hub.store.open_sessions_of_agent(agent).await? {
        sessions::interrupted(hub, &session, "its agent was removed").await?;
    }
    Ok(())
}

//! Connections tried at their agents, for admins who want to know that they work.
//!
//! The gateway asks, the agent dials; one at a time of each connection, and an answer counts only from the agent that was
//! asked. What came of it is an event, whether or not somebody still waits for it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hoop_api::manage::{ColumnFound, ConnectionScan, ConnectionTest, TargetTls, TestStep};
use hoop_control::{features, order::TestOrder, v1};
use hoop_ledger::event::EventCode;
use hoop_masking::Kind;
use hoop_model::{Actor, AgentId, AgentName, Blame, ConnectionId, ConnectionName, Fault, TestId, UserName};
use hoop_store::{Agent, Connection, StoreError};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    agents::{Link, offline},
    http::{caller::Caller, problem::Problematic},
    hub::{Hub, Shared, event, now},
    sessions,
};

/// The agent takes at most 10 s for a test, and 60 s for a scan.
const PATIENCE: Duration = Duration::from_secs(13);
const PATIENCE_SCAN: Duration = Duration::from_secs(65);
/// Findings of a scan that are taken.
const FINDINGS: usize = 10_000;
/// Characters kept of a text that an agent or a target wrote.
const TEXT: usize = 500;
/// Steps that an agent tells of.
const STEPS: usize = 10;

/// Those that run.
#[derive(Debug, Default)]
pub(crate) struct ConnectionTests(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    connections: HashSet<ConnectionId>,
    waiting: HashMap<TestId, (AgentId, oneshot::Sender<v1::ConnectionTested>)>,
}

/// One that runs, until dropped.
struct Place<'a>(&'a ConnectionTests, ConnectionId, TestId);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut running = self.0.running();
        running.connections.remove(&self.1);
        running.waiting.remove(&self.2);
    }
}

impl ConnectionTests {
    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while this connection is tested already.
    fn begin(
        &self,
        connection: ConnectionId,
        agent: AgentId,
    ) -> Option<(Place<'_>, TestId, oneshot::Receiver<v1::ConnectionTested>)> {
        let (sender, receiver) = oneshot::channel();
        let id = TestId::generate();
        let mut running = self.running();
        if !running.connections.insert(connection) {
            return None;
        }
        running.waiting.insert(id, (agent, sender));
        drop(running);
        Some((Place(self, connection, id), id, receiver))
    }

    /// An agent's answer: taken from the one that was asked, once.
    pub(crate) fn answer(&self, agent: AgentId, answer: v1::ConnectionTested) {
        let Ok(id) = answer.test_id.parse::<TestId>() else { return };
        let mut running = self.running();
        if running.waiting.get(&id).is_none_or(|(asked, _)| *asked != agent) {
            return;
        }
        if let Some((_, sender)) = running.waiting.remove(&id) {
            // Whoever waited may have gone away.
            let _ = sender.send(answer);
        }
    }
}

/// Tests one. Goes on when the caller goes away, so that its event is written.
pub(crate) async fn run(
    hub: &Shared,
    caller: &Caller,
    name: ConnectionName,
) -> Result<ConnectionTest, Problematic> {
    let (agent, answer) = ask(hub, caller, name, false).await?;
    Ok(view(agent, answer))
}

/// Scans one for columns that seem to hold personal data. Goes on when the caller goes away.
pub(crate) async fn scan(
    hub: &Shared,
    caller: &Caller,
    name: ConnectionName,
) -> Result<ConnectionScan, Problematic> {
    let (agent, answer) = ask(hub, caller, name, true).await?;
    Ok(scanned(agent, answer))
}

async fn ask(
    hub: &Shared,
    caller: &Caller,
    name: ConnectionName,
    scan: bool,
) -> Result<(AgentName, v1::ConnectionTested), Problematic> {
    let by = &caller.signed_in.user;
    if !hub.throttle.connection_test(by.id) {
        return Err(Problematic::too_many(60));
    }
    let connection = hub.store.connection_by_name(&name).await?.ok_or(StoreError::NotFound("connection"))?;
    let (task, actor, by) = (hub.clone(), caller.actor.clone(), by.name.clone());
    let testing = hub.tasks.spawn(async move { order(&task, &actor, by, connection, scan).await });
    testing.await.map_err(Problematic::internal)?
}

async fn order(
    hub: &Shared,
    actor: &Actor,
    by: UserName,
    connection: Connection,
    scan: bool,
) -> Result<(AgentName, v1::ConnectionTested), Problematic> {
    let definition = sessions::definition_of(&connection)?;
    let agent = hub.store.agent_by_name(&definition.agent).await?;
    let away = || Problematic::from(offline(&definition.agent));
    let agent = agent.ok_or_else(away)?;
    let link = hub.agents.link(agent.id).ok_or_else(away)?;
    let (feature, can) = if scan {
        (features::SCAN_CONNECTION, "scan connections")
    } else {
        (features::TEST_CONNECTION, "test connections")
    };
    if !link.knows(feature) {
        let what = format!("the agent {} is of version {}, which cannot {can}", agent.name, link.version);
        return Err(Fault::new("HOOP-4034", Blame::System, what).with_hint("upgrade the agent").into());
    }
    let Some((_place, id, answer)) = hub.tests.begin(connection.id, agent.id) else {
        let fault = Fault::new("HOOP-4035", Blame::Caller, "this connection is being tested already");
        return Err(fault.with_hint("its result is there within 65 s").into());
    };
    let order = TestOrder {
        id,
        agent: agent.id,
        by,
        connection_name: connection.name.clone(),
        protocol: definition.protocol.clone(),
        settings: sessions::settings(&definition, None),
        issued_at: now(),
        scan,
    };
    let (order, signature) = order.sign(&hub.keys.grants).map_err(Problematic::internal)?;
    let ask = v1::TestConnection { order: order.into(), signature: signature.into() };
    link.test_connection(ask);
    let patience = if scan { PATIENCE_SCAN } else { PATIENCE };
    let outcome = heard(&link, answer, patience).await.unwrap_or_else(|fault| {
        let fault = Some(v1::Fault::from(&fault));
        v1::ConnectionTested { fault, ..Default::default() }
    });
    tell(hub, actor, &connection, &agent, scan, &outcome).await?;
    Ok((agent.name, outcome))
}

/// The agent's answer, or why there is none.
async fn heard(
    link: &Link,
    answer: oneshot::Receiver<v1::ConnectionTested>,
    patience: Duration,
) -> Result<v1::ConnectionTested, Fault> {
    tokio::select! {
        biased;
        answer = answer => answer.map_err(|_| offline(&link.name)),
        () = link.ended.cancelled() => Err(offline(&link.name)),
        () = tokio::time::sleep(patience) => {
            let what = format!("the agent {} did not say what came of it", link.name);
            Err(Fault::new("HOOP-4037", Blame::Network, what).with_hint("try again; then look at the agent's log"))
        }
    }
}

/// What the agent said, as far as it is taken: texts come from a target that may be hostile.
fn view(agent: AgentName, answer: v1::ConnectionTested) -> ConnectionTest {
    let maybe = |value: &str| Some(text(value)).filter(|value| !value.is_empty());
    let fault = answer.fault.as_ref().map(fault);
    let steps = answer.steps.iter().take(STEPS);
    ConnectionTest {
        ok: fault.is_none(),
        agent,
        steps: steps.map(|step| TestStep { name: text(&step.name), micros: step.micros }).collect(),
        server_version: maybe(&answer.server_version),
        tls: maybe(&answer.tls_version).map(|version| TargetTls {
            version,
            cipher: text(&answer.tls_cipher),
            certificate: certificate(&answer.certificate),
        }),
        failed_step: maybe(&answer.failed_step),
        problem: fault.as_ref().map(Into::into),
    }
}

/// What the agent found, as far as it is taken. A name is told whole or not at all: a rule is to be made of it.
fn scanned(agent: AgentName, answer: v1::ConnectionTested) -> ConnectionScan {
    let fault = answer.fault.as_ref().map(fault);
    let is_plain =
        |name: &String| !name.is_empty() && name.len() <= TEXT && !name.chars().any(char::is_control);
    let take = |found: &v1::ColumnFinding| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == found.kind)?;
        let named = [&found.schema, &found.table, &found.column].into_iter().all(is_plain);
        named.then(|| ColumnFound {
            schema: found.schema.clone(),
            table: found.table.clone(),
            column: found.column.clone(),
            type_name: text(&found.type_name),
            kind: kind.name().to_owned(),
            rows: found.rows,
            hits: found.hits.min(found.rows),
            by_name: found.by_name,
        })
    };
    let findings: Vec<_> = answer.findings.iter().take(FINDINGS).filter_map(take).collect();
    ConnectionScan {
        ok: fault.is_none(),
        agent,
        columns: answer.columns,
        partial: answer.partial || findings.len() < answer.findings.len(),
        findings,
        problem: fault.as_ref().map(Into::into),
    }
}

fn text(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT).collect()
}

fn fault(fault: &v1::Fault) -> Fault {
    let fault = fault.clone().to_fault();
    Fault { message: text(&fault.message), hint: fault.hint.as_deref().map(text), ..fault }
}

/// Whose it is and until when, in a line.
fn certificate(der: &[u8]) -> Option<String> {
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).ok()?;
    let ends = certificate.validity().not_after.timestamp();
    let ends = hoop_model::Timestamp::from_micros(ends.checked_mul(1_000_000)?);
    let line = format!("{}, by {}, until {ends}", certificate.subject(), certificate.issuer());
    Some(line.chars().filter(|c| !c.is_control()).take(TEXT).collect())
}

async fn tell(
    hub: &Hub,
    actor: &Actor,
    connection: &Connection,
    agent: &Agent,
    scan: bool,
    outcome: &v1::ConnectionTested,
) -> Result<(), StoreError> {
    if scan {
        let found = scanned(agent.name.clone(), outcome.clone());
        let facts = json!({
            "name": connection.name, "agent": agent.name, "ok": found.ok, "columns": found.columns,
            "findings": found.findings.len(), "code": found.problem.as_ref().map(|problem| &problem.code),
        });
        let subjects = [connection.id.into(), agent.id.into()];
        let told = event(actor, EventCode::ConnectionScanned, subjects, facts);
        return hub.store.append(&[told]).await.map(drop);
    }
    let result = view(agent.name.clone(), outcome.clone());
    let micros = result.steps.iter().fold(0_u64, |sum, step| sum.saturating_add(step.micros));
    let facts = json!({
        "name": connection.name, "agent": agent.name, "ok": result.ok, "version": result.server_version,
        "failed_step": result.failed_step, "code": result.problem.as_ref().map(|problem| &problem.code),
        "ms": micros / 1000,
    });
    let outcome = if result.ok { "ok" } else { "failed" };
    metrics::counter!("hoop_connection_tests_total", "outcome" => outcome).increment(1);
    let told = event(actor, EventCode::ConnectionTested, [connection.id.into(), agent.id.into()], facts);
    hub.store.append(&[told]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_only_the_agent_that_was_asked_answers() {
        let (tests, agent, connection) =
            (ConnectionTests::default(), AgentId::generate(), ConnectionId::generate());
        let (place, id, mut answer) = tests.begin(connection, agent).unwrap();
        assert!(tests.begin(connection, agent).is_none());
        assert!(tests.begin(ConnectionId::generate(), agent).is_some());
        let said = |id: TestId| v1::ConnectionTested { test_id: id.to_string(), ..Default::default() };
        tests.answer(AgentId::generate(), said(id));
        tests.answer(agent, said(TestId::generate()));
        tests.answer(agent, v1::ConnectionTested::default());
        assert!(answer.try_recv().is_err(), "none of these was the answer");
        tests.answer(agent, said(id));
        assert!(answer.try_recv().is_ok());
        tests.answer(agent, said(id));
        drop(place);
        assert!(tests.begin(connection, agent).is_some());
        assert!(tests.running().waiting.is_empty(), "nothing is kept");
    }

    #[test]
    fn what_a_hostile_target_says_is_short_and_acts_on_nothing() {
        let long = format!("\u{1b}[2J{}\r\n", "x".repeat(9000));
        let answer = v1::ConnectionTested {
            steps: vec![v1::TestStep { name: long.clone(), micros: u64::MAX }; 1000],
            server_version: long.clone(),
            tls_version: long.clone(),
            tls_cipher: long.clone(),
            certificate: vec![0x30; 9000].into(),
            fault: Some(v1::Fault { message: long.clone(), hint: long.clone(), ..Default::default() }),
            failed_step: long,
            ..Default::default()
        };
        let shown = serde_json::to_string(&view("a".parse().unwrap(), answer)).unwrap();
        assert!(shown.len() < (STEPS + 8) * (TEXT + 100), "{}", shown.len());
        assert!(!shown.contains("\\u001b") && !shown.contains("\\r"));
    }
}

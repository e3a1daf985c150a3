//! Opening a session: policy, certificate, grant, one transaction, the agent's word.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hoop_api::{
    manage::ConnectionDefinition,
    sessions::{OpenSession, RenewedCertificate, SessionOpened},
};
use hoop_control::{grant::Grant, v1};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, Blame, Fault, GrantId, GroupName, RequestId, SessionId, Timestamp};
use hoop_policy::{
    Denial,
    rules::{Asking, OpenedBy, Permission, Refusal, TargetUser},
};
use hoop_recording::RecordingPublicKey;
use hoop_store::{
    Agent, Conflict, Connection, NewSession, SessionRecord, SessionState, SignedIn, StoreError, User,
};
use hoop_tunnel::ticket::SessionSecret;
use serde_json::json;
use tokio::sync::oneshot;

use super::subjects;
use crate::{
    agents::{Link, offline},
    http::problem::Problematic,
    hub::{Shared, event, now},
    jobs,
    live::Live,
    pki::{self, Issued, PkiError},
    requests::statements,
    rules::{Edition, Question, Standing},
};

/// How long the agent may take to say that it is ready.
const READY: Duration = Duration::from_secs(10);
const LONGEST_REASON: usize = 1000;

/// Who opens what, from where.
pub(crate) struct Opening {
    pub(crate) caller: SignedIn,
    pub(crate) actor: Actor,
    pub(crate) address: IpAddr,
    pub(crate) request: OpenSession,
    /// Whether the gateway cannot read along: its connector is elsewhere.
    pub(crate) end_to_end: bool,
}

/// Everything that was decided before anything was written.
struct Granted {
    connection: Connection,
    definition: ConnectionDefinition,
    agent: Agent,
    link: std::sync::Arc<Link>,
    terms: Permission,
    /// The request that it rests on.
    request: Option<RequestId>,
    opened_by: OpenedBy,
    edition: Edition,
    recording_key: RecordingPublicKey,
    at: Timestamp,
}

/// A session that was opened for somebody who may have gone away: dropped before it is taken over, it ends the session.
pub(super) struct Orphan {
    hub: Shared,
    id: Option<SessionId>,
}

impl Orphan {
    pub(super) fn new(hub: &Shared, id: SessionId) -> Self {
        Self { hub: hub.clone(), id: Some(id) }
    }

    pub(super) fn taken_over(mut self) {
        self.id = None;
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        // Without a runtime everything is over; the store's sweep finds the session after the next start.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let hub = self.hub.clone();
        let end = async move {
            let fault = Fault::new("HOOP-4000", Blame::Caller, "the caller went away");
            if let Err(error) = super::end_by_system(&hub, id, &fault).await {
                tracing::error!(%error, session.id = %id, "a session that nobody waits for cannot be ended");
            }
        };
        self.hub.tasks.spawn_on(end, &runtime);
    }
}

/// Opens a session, or says why not. A caller who goes away meanwhile leaves none behind.
pub(crate) async fn open(hub: &Shared, opening: Opening) -> Result<SessionOpened, Problematic> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let task = hub.clone();
    hub.tasks.spawn(async move {
        let opened = open_now(&task, &opening).await;
        let opened = opened.map(|opened| {
            let orphan = Orphan::new(&task, opened.id);
            (opened, orphan)
        });
        // What cannot be sent is dropped here.
        let _ = answer.send(opened);
    });
    let (opened, orphan) = answered.await.map_err(Problematic::internal)??;
    orphan.taken_over();
    Ok(opened)
}

async fn open_now(hub: &Shared, opening: &Opening) -> Result<SessionOpened, Problematic> {
    check_reason(opening.request.reason.as_deref())?;
    let granted = grant(hub, opening).await?;
    let id = SessionId::generate();
    let life = hub.config.certificates.session.min(granted.terms.ends_at.since(granted.at));
    let issued = hub
        .keys
        .authority
        .issue_session(id, &opening.request.csr_pem, granted.at, life)
        .map_err(bad_request)?;
    let secret = SessionSecret::generate().map_err(|_| Problematic::internal("no randomness"))?;
    let streams = u32::try_from(hub.config.limits.streams_per_session).unwrap_or(u32::MAX);
    let grant = write_grant(opening, &granted, id, &issued, streams);
    let (bytes, signature) = hub.keys.grants.sign(&grant).map_err(Problematic::internal)?;
    // Before it can be found: whoever ends it then is heard here.
    let word = hub.live.expect(id);
    let kept = keep(hub, opening, &granted, &grant, (&bytes, &signature), &issued, &secret).await?;
    let confirmed = async {
        still_allowed(hub, opening, &kept).await?;
        confirm(hub, &granted, id, (bytes, signature), &secret, word).await
    };
    if let Err(problem) = confirmed.await {
        hub.live.forget(id);
        // Whatever refused it has ended it, unless that failed too.
        if hub.live.find(id).is_some() {
            drop(Orphan::new(hub, id));
        }
        return Err(problem);
    }
    metrics::counter!("hoop_sessions_opened_total").increment(1);
    let database = granted.definition.settings.get("database").and_then(serde_json::Value::as_str);
    Ok(SessionOpened {
        id,
        protocol: granted.definition.protocol,
        agent: granted.agent.id,
        certificate_pem: issued.pem,
        ca_pem: hub.keys.authority.pem().to_owned(),
        secret: URL_SAFE_NO_PAD.encode(secret.expose()),
        first_ticket: 0,
        host: hub.config.public_host.clone(),
        port: hub.public_port(),
        default_database: database.map(str::to_owned),
        ends_at: granted.terms.ends_at,
        certificate_expires_at: issued.expires_at,
        idle_timeout_seconds: granted.terms.idle_timeout.as_secs(),
    })
}

fn check_reason(reason: Option<&str>) -> Result<(), Problematic> {
    let too_long =
        reason.is_some_and(|text| text.len() > LONGEST_REASON || text.chars().any(char::is_control));
    if too_long {
        let fault =
            Fault::new("HOOP-7004", Blame::Caller, "the reason is too long or holds control characters");
        return Err(fault.into());
    }
    Ok(())
}

/// The rules once more: what changed between the decision and the write was not seen by the sweep that came with it.
async fn still_allowed(hub: &Shared, opening: &Opening, session: &SessionRecord) -> Result<(), Problematic> {
    let login = hub.store.login(opening.caller.login.id).await?;
    if login.is_none_or(|login| login.revoked_at.is_some()) {
        let fault = Fault::new("HOOP-3002", Blame::Policy, "the sign-in that opened this session has ended");
        super::end_by_system(hub, session.id, &fault).await?;
        return Err(Problematic::unauthenticated());
    }
    let user = hub.store.user(session.user).await?;
    let connection = hub.store.connection(session.connection).await?;
    let in_force = hub.rules.in_force(&hub.store).await?;
    match jobs::no_longer(hub, &in_force, session, user.as_ref(), connection.as_ref()).await? {
        None => Ok(()),
        Some(fault) => {
            super::end_by_system(hub, session.id, &fault).await?;
            Err(fault.into())
        }
    }
}

async fn grant(hub: &Shared, opening: &Opening) -> Result<Granted, Problematic> {
    let at = now();
    let name = &opening.request.connection;
    let Some(connection) = hub.store.connection_by_name(name).await? else {
        return Err(refuse(hub, opening, &Refusal::NotAllowed).await);
    };
    let definition = definition_of(&connection)?;
    let running = hub.store.live_sessions_of_user(opening.caller.user.id).await?.len();
    let decided = decide(hub, opening, &connection, &definition, running, at).await?;
    let (mut terms, request, opened_by, edition) = match decided {
        Ok(decided) => decided,
        Err(refusal) => return Err(refuse(hub, opening, &refusal).await),
    };
    // People sign in anew and work on; a token that is over is over.
    if opening.caller.login.api_token().is_some() {
        terms.ends_at = terms.ends_at.min(opening.caller.login.expires_at);
    }
    // Said early; the store counts again when it keeps the session.
    if running >= hub.config.limits.sessions_per_user {
        return Err(too_many(running));
    }
    let agent = hub.store.agent_by_name(&definition.agent).await?;
    let agent = agent.ok_or_else(|| offline(&definition.agent))?;
    let link = hub.agents.link(agent.id).ok_or_else(|| offline(&definition.agent))?;
    let recording_key = hub.keys.recording.in_force(&hub.store).await?;
    Ok(Granted { connection, definition, agent, link, terms, request, opened_by, edition, recording_key, at })
}

type Decided = (Permission, Option<RequestId>, OpenedBy, Edition);

/// The rules' answer. An emergency that is in force counts where no ordinary rule lets the person in.
async fn decide(
    hub: &Shared,
    opening: &Opening,
    connection: &Connection,
    definition: &ConnectionDefinition,
    running: usize,
    at: Timestamp,
) -> Result<Result<Decided, Refusal>, Problematic> {
    let in_force = hub.rules.in_force(&hub.store).await?;
    let standing = Standing::load(&hub.store, &opening.caller.user, connection).await?;
    let question = Question::new(in_force.caller(&opening.caller), connection, definition, opening.address);
    let running = u32::try_from(running).unwrap_or(u32::MAX);
    let statement = opening.request.statement.as_ref();
    let single = statement.map(|statement| statements::single(definition, statement)).transpose()?;
    let reason = opening.request.reason.as_deref();
    let asking = Asking {
        end_to_end: opening.end_to_end,
        ..question.asking(reason, single.as_ref(), &standing.approvals, running)
    };
    let refusal = match in_force.policy.decide(&asking, at) {
        Ok(terms) => {
            let request = terms.approval_used.and_then(|used| standing.behind(used));
            return Ok(Ok((terms, request, OpenedBy::Rule, in_force.edition)));
        }
        Err(refusal) => refusal,
    };
    let Some(emergency) = &standing.emergency else { return Ok(Err(refusal)) };
    let asking = Asking { reason: Some(&emergency.asked.reason), ..asking };
    Ok(in_force.policy.break_glass(&asking, at).map(|terms| {
        let until = emergency.ends_at.unwrap_or(at);
        let terms = Permission {
            rule: terms.rule,
            ends_at: until,
            idle_timeout: terms.idle_timeout,
            recording: terms.recording,
            retention: terms.retention,
            target_user: terms.target_user,
            rules: terms.rules,
            because: format!("{}; emergency {}", terms.because, emergency.asked.id),
            approval_used: None,
        };
        (terms, Some(emergency.asked.id), OpenedBy::BreakGlass, in_force.edition)
    }))
}

fn too_many(running: usize) -> Problematic {
    let message = format!("you have {running} live sessions, and may have no more");
    let fault = Fault::new("HOOP-4006", Blame::Policy, message);
    fault.with_hint("end some: `hoop sessions ls --live`, `hoop sessions kill`").into()
}

async fn refuse(hub: &Shared, opening: &Opening, refusal: &Refusal) -> Problematic {
    metrics::counter!("hoop_sessions_refused_total").increment(1);
    let name = &opening.request.connection;
    let facts = json!({ "connection": name.as_str(), "reason": refusal.to_string(), "address": opening.address.to_string() });
    let told = event(&opening.actor, EventCode::SessionDenied, [opening.caller.user.id.into()], facts);
    match hub.store.append(&[told]).await {
        Ok(_) => refusal.to_fault(name).into(),
        Err(error) => error.into(),
    }
}

/// A definition as it was stored.
pub(crate) fn definition_of(connection: &Connection) -> Result<ConnectionDefinition, Problematic> {
    serde_json::from_value(connection.definition.clone()).map_err(Problematic::internal)
}

fn write_grant(opening: &Opening, granted: &Granted, id: SessionId, issued: &Issued, streams: u32) -> Grant {
    let SignedIn { login, user } = &opening.caller;
    Grant {
        id: GrantId::generate(),
        session: id,
        agent: granted.agent.id,
        user: user.id,
        user_name: user.name.clone(),
        groups: groups_told(&granted.definition, user),
        method: login.method,
        mfa_at: login.mfa.map(|mfa| mfa.at),
        mfa_by: login.mfa.map(|mfa| mfa.by),
        address: opening.address.to_string(),
        reason: opening.request.reason.clone(),
        connection: granted.connection.id,
        connection_name: granted.connection.name.clone(),
        protocol: granted.definition.protocol.clone(),
        settings: settings(&granted.definition, granted.terms.target_user.as_ref()),
        connector_key_sha256: issued.key_sha256.clone(),
        issued_at: granted.at,
        ends_at: granted.terms.ends_at,
        idle_timeout_seconds: granted.terms.idle_timeout.as_secs(),
        streams: Some(streams),
        allow_replication: granted.terms.rules.allow_replication,
        only: granted.terms.rules.only.clone(),
        approved: granted.terms.rules.approved.clone(),
        read_only: granted.terms.rules.read_only,
        forwarding: granted.terms.rules.forwarding.clone(),
        statements: granted.terms.rules.statements.clone(),
        commands: granted.terms.rules.commands.clone(),
        cluster: granted.terms.rules.cluster.clone(),
        masking: granted.terms.rules.masking.clone(),
        rego: granted.terms.rules.rego.clone(),
        rule: granted.terms.rule.clone(),
        rules_version: granted.edition.version,
        rules_sha256: granted.edition.sha256,
        recording: granted.terms.recording,
        target_user: granted.terms.target_user.as_ref().map(ToString::to_string),
        request: granted.request,
        opened_by: granted.opened_by,
        through_gateway: !opening.end_to_end,
        allowed_because: granted.terms.because.clone(),
    }
}

/// The groups of somebody, for a target that is told them.
fn groups_told(definition: &ConnectionDefinition, user: &User) -> Vec<GroupName> {
    let takes = hoop_protocols::find(&definition.protocol).is_some_and(|protocol| protocol.takes_groups());
    if takes { user.groups.clone() } else { Vec::new() }
}

/// What the agent is to do: as the connection has it, but as the user that the rule lays down; where sessions have
/// accounts of their own, with that user's rights alone.
pub(crate) fn settings(
    definition: &ConnectionDefinition,
    target_user: Option<&TargetUser>,
) -> serde_json::Value {
    let mut settings = definition.settings.clone();
    if let (Some(settings), Some(user)) = (settings.as_object_mut(), target_user) {
        match settings.get_mut("accounts").and_then(serde_json::Value::as_object_mut) {
            Some(accounts) => {
                accounts.insert("in_roles".to_owned(), json!([user.as_str()]));
                accounts.remove("objects_to");
            }
            None => drop(settings.insert("user".to_owned(), user.as_str().into())),
        }
    }
    settings
}

async fn keep(
    hub: &Shared,
    opening: &Opening,
    granted: &Granted,
    grant: &Grant,
    (bytes, signature): (&[u8], &[u8]),
    issued: &Issued,
    secret: &SessionSecret,
) -> Result<SessionRecord, Problematic> {
    let retention = granted.terms.retention.or(hub.config.recordings.retention);
    let new = NewSession {
        id: grant.session,
        user: grant.user,
        user_name: grant.user_name.clone(),
        login: Some(opening.caller.login.id),
        connection: grant.connection,
        connection_name: grant.connection_name.clone(),
        protocol: grant.protocol.clone(),
        agent: grant.agent,
        agent_name: granted.agent.name.clone(),
        grant: bytes.to_vec(),
        grant_signature: signature.to_vec(),
        secret_sealed: hub.keys.seal_session_secret(grant.session, secret).map_err(Problematic::internal)?,
        connector_key_sha256: sha256_of_hex(&issued.key_sha256)?,
        certificate_expires_at: issued.expires_at,
        address: grant.address.clone(),
        reason: grant.reason.clone(),
        allowed_because: grant.allowed_because.clone(),
        request: grant.request,
        recording_key: Some(granted.recording_key.id()),
        started_at: granted.at,
        ends_at: granted.terms.ends_at,
        retention_seconds: retention.map(|retention| retention.duration().as_secs()),
    };
    let facts = json!({
        "session": grant.session, "grant": grant.id, "grant_sha256": pki::sha256_hex(bytes), "user": grant.user_name,
        "connection": grant.connection_name, "connection_version": granted.connection.version,
        "protocol": grant.protocol, "agent": granted.agent.name, "address": grant.address, "reason": grant.reason,
        "allowed_because": grant.allowed_because, "ends_at": grant.ends_at,
        "idle_timeout_seconds": grant.idle_timeout_seconds, "connector_key_sha256": grant.connector_key_sha256,
        "rule": grant.rule, "rules_version": grant.rules_version,
        "rules_sha256": grant.rules_sha256, "recording": grant.recording, "request": grant.request,
        "break_glass": grant.opened_by != OpenedBy::Rule, "retention": retention,
        "retention_seconds": retention.map(|retention| retention.duration().as_secs()), "target_user": grant.target_user, "only": grant.only, "statement_rule": grant.approved, "read_only": grant.read_only,
        "forwarding": grant.forwarding,
        "end_to_end": opening.end_to_end,
    });
    let subjects = [
        grant.session.into(),
        grant.user.into(),
        grant.connection.into(),
        grant.agent.into(),
        grant.id.into(),
    ];
    // Before it can be found in the store: whoever ends it then finds what to cut.
    hub.live.insert(Live::new(grant.session, grant.agent, grant.ends_at, secret.clone()));
    let told = event(&opening.actor, EventCode::SessionRequested, subjects, facts);
    let most = hub.config.limits.sessions_per_user;
    let kept = hub.store.create_session(&new, u64::try_from(most).unwrap_or(u64::MAX), &[told]).await;
    kept.map_err(|error| {
        hub.live.remove(grant.session);
        hub.live.forget(grant.session);
        match error {
            StoreError::Conflict(Conflict::TooMany) => too_many(most),
            StoreError::Conflict(Conflict::Locked) => Denial::Locked.to_fault().into(),
            StoreError::Conflict(Conflict::Used) => {
                let message = "the approval of this statement was good for one session, which there was";
                let fault = Fault::new("HOOP-2028", Blame::Policy, message);
                fault.with_hint("ask anew: `hoop request NAME --statement TEXT`").into()
            }
            StoreError::Conflict(Conflict::Revoked) => offline(&granted.agent.name).into(),
            other => Problematic::from(other),
        }
    })
}

fn sha256_of_hex(hex: &str) -> Result<[u8; 32], Problematic> {
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(Problematic::internal)?;
    bytes.try_into().map_err(|_| Problematic::internal("not a SHA-256"))
}

/// Sends the grant to the agent and waits for its word. Whatever goes wrong ends the session.
async fn confirm(
    hub: &Shared,
    granted: &Granted,
    id: SessionId,
    (grant, signature): (Vec<u8>, Vec<u8>),
    secret: &SessionSecret,
    mut word: oneshot::Receiver<Result<(), Fault>>,
) -> Result<(), Problematic> {
    // Ended before the agent heard of it: it need not.
    if let Ok(Err(fault)) = word.try_recv() {
        return Err(fault.into());
    }
    let open = v1::OpenSession {
        grant: grant.into(),
        signature: signature.into(),
        session_secret: secret.expose().to_vec().into(),
        recording_key_pem: granted.recording_key.to_pem(),
    };
    let fault = if granted.link.open_session(open) {
        match tokio::time::timeout(READY, word).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(fault))) => fault,
            Ok(Err(_)) | Err(_) => {
                Fault::new("HOOP-4008", Blame::Network, "the agent did not confirm the session in time")
                    .with_hint("try again; if it stays so, look at the agent's log")
            }
        }
    } else {
        offline(&granted.agent.name)
    };
    hub.live.settle(id, Err(fault.clone()));
    super::end_by_system(hub, id, &fault).await?;
    Err(fault.into())
}

/// A new certificate for the session's own key.
pub(crate) async fn renew_certificate(
    hub: &Shared,
    session: &SessionRecord,
    actor: &Actor,
    csr_pem: &str,
) -> Result<RenewedCertificate, Problematic> {
    let at = now();
    if !matches!(session.state, SessionState::Opening | SessionState::Live) || session.ends_at <= at {
        return Err(super::ended_fault(session).into());
    }
    let key = pki::request_key_sha256(csr_pem).map_err(bad_request)?;
    if sha256_of_hex(&key)? != session.connector_key_sha256 {
        let fault = Fault::new(
            "HOOP-4009",
            Blame::Policy,
            "the key is not the one that this session was opened with",
        );
        return Err(fault.into());
    }
    let life = hub.config.certificates.session.min(session.ends_at.since(at));
    let issued = hub.keys.authority.issue_session(session.id, csr_pem, at, life).map_err(bad_request)?;
    let told = event(
        actor,
        EventCode::CertificateIssued,
        subjects(session),
        json!({ "certificate_serial": issued.serial, "expires_at": issued.expires_at }),
    );
    match hub.store.renew_session_certificate(session.id, issued.expires_at, &[told]).await {
        Ok(()) => {
            Ok(RenewedCertificate { certificate_pem: issued.pem, certificate_expires_at: issued.expires_at })
        }
        Err(StoreError::Conflict(_)) => Err(super::ended_fault(session).into()),
        Err(error) => Err(error.into()),
    }
}

fn bad_request(error: PkiError) -> Problematic {
    match error {
        PkiError::Request(why) => {
            Fault::new("HOOP-7005", Blame::Caller, format!("the certificate request cannot be used: {why}"))
                .into()
        }
        other => Problematic::internal(other),
    }
}

//! Sessions: open, look at, end, renew.

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
};
use hoop_api::{
    Page,
    sessions::{
        KillSession, OpenSession, RenewCertificate, RenewedCertificate, SessionOpened,
        SessionState as ViewState, SessionView,
    },
};
use hoop_control::grant::LetInBy;
use hoop_model::{Blame, ConnectionName, Fault, RequestId, SessionId, Timestamp, UserName};
use hoop_policy::Denial;
use hoop_store::{SessionFilter, SessionRecord, SessionState};
use serde::Deserialize;

use super::{
    body::Json,
    caller::{Admin, Caller, From, SignedInCaller},
    problem::{Answer, Problematic},
};
use crate::{
    hub::{Hub, Shared, now},
    sessions::{self, Opening},
};

const MOST: u32 = 200;

pub(super) async fn open(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    Json(request): Json<OpenSession>,
) -> Answer<Json<SessionOpened>> {
    let opening =
        Opening { caller: caller.signed_in, actor: caller.actor, address, request, end_to_end: true };
    Ok(Json(Box::pin(sessions::open(&hub, opening)).await?))
}

/// Query of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<LiveOrPast>,
    user: Option<UserName>,
    connection: Option<ConnectionName>,
    request: Option<RequestId>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    after: Option<SessionId>,
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LiveOrPast {
    Live,
    Past,
}

pub(super) async fn list(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Query(which): Query<Which>,
) -> Answer<Json<Page<SessionView>>> {
    let filter = SessionFilter {
        live: which.state.map(|state| state == LiveOrPast::Live),
        user: (!caller.sees_all()).then_some(caller.signed_in.user.id),
        user_name: which.user,
        connection: which.connection,
        agent: None,
        request: which.request,
        since: which.since,
        until: which.until,
        after: which.after,
        limit: which.limit.unwrap_or(50).clamp(1, MOST),
    };
    let page = hub.store.sessions(&filter).await?;
    let items = page.items.into_iter().map(|session| view(&hub, session)).collect();
    Ok(Json(Page { items, next: page.next.map(|id| id.to_string()) }))
}

/// A session that the caller may see; another's looks as if it were not there.
pub(super) async fn visible(hub: &Hub, caller: &Caller, id: &str) -> Answer<SessionRecord> {
    let unknown = || Problematic::not_found("session");
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    let session = hub.store.session(id).await?.ok_or_else(unknown)?;
    if caller.sees_all() || session.user == caller.signed_in.user.id { Ok(session) } else { Err(unknown()) }
}

pub(super) async fn show(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
) -> Answer<Json<SessionView>> {
    let session = visible(&hub, &caller, &id).await?;
    Ok(Json(view(&hub, session)))
}

pub(super) async fn kill(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    Json(request): Json<KillSession>,
) -> Answer<StatusCode> {
    let session = visible(&hub, &caller, &id).await?;
    let reason: String = request.reason.chars().filter(|c| !c.is_control()).take(500).collect();
    let message = match reason.as_str() {
        "" => format!("{} ended this session", caller.signed_in.user.name),
        reason => format!("{} ended this session: {reason}", caller.signed_in.user.name),
    };
    let fault =
        Fault::new("HOOP-4001", Blame::Policy, message).with_hint("ask them before you connect again");
    let ended =
        sessions::end_as(&hub, session.id, &caller.actor, &fault.message, fault.code.as_str(), Some(&fault))
            .await?;
    if ended {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problematic::conflict("the session has ended already"))
    }
}

/// The person is done: no one else's business, and no error if it is over already.
pub(super) async fn end(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let session = visible(&hub, &caller, &id).await?;
    if session.user != caller.signed_in.user.id {
        return Err(Problematic::forbidden("HOOP-3003", "only the session's owner may do this"));
    }
    if session.ends_at <= now() {
        // Its agent ended it, and the connector says good-bye before the agent's word is here.
        sessions::end_by_system(&hub, session.id, &Denial::GrantEnded.to_fault()).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let fault = Fault::new("HOOP-4000", Blame::Caller, "the person closed it");
    sessions::end_as(&hub, session.id, &caller.actor, &fault.message, fault.code.as_str(), Some(&fault))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn renew_certificate(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
    Json(request): Json<RenewCertificate>,
) -> Answer<Json<RenewedCertificate>> {
    let session = visible(&hub, &caller, &id).await?;
    if session.user != caller.signed_in.user.id {
        return Err(Problematic::forbidden("HOOP-3003", "only the session's owner may do this"));
    }
    // A service account has no second factor; whether its token opens this stands in the table of endpoints.
    if caller.signed_in.login.mfa.is_none() && caller.signed_in.login.scope.is_none() {
        return Err(Denial::MfaMissing.to_fault().into());
    }
    Ok(Json(sessions::renew_certificate(&hub, &session, &caller.actor, &request.csr_pem).await?))
}

pub(super) fn view(hub: &Hub, session: SessionRecord) -> SessionView {
    let running = matches!(session.state, SessionState::Opening | SessionState::Live | SessionState::Ending);
    let stored = if running { hub.recordings.length(session.id) } else { 0 };
    let by = LetInBy::read(&session.grant);
    SessionView {
        id: session.id,
        user: session.user_name,
        connection: session.connection_name,
        protocol: session.protocol,
        agent: session.agent_name,
        state: match session.state {
            SessionState::Opening => ViewState::Opening,
            SessionState::Live => ViewState::Live,
            SessionState::Ending => ViewState::Ending,
            SessionState::Ended => ViewState::Ended,
            SessionState::Interrupted => ViewState::Interrupted,
        },
        started_at: session.started_at,
        ended_at: session.ended_at,
        end_reason: session.end_reason,
        address: session.address,
        reason: session.reason,
        allowed_because: session.allowed_because,
        rules_version: by.as_ref().map(|by| by.rules_version),
        rules_sha256: by.map(|by| by.rules_sha256.to_string()),
        requests: session.progress.requests,
        rows: session.progress.rows,
        bytes_out: session.progress.bytes_out,
        recording_bytes: session.progress.recording_bytes.max(stored),
        retain_until: session.keeping.retain_until,
        recording_deleted_at: session.keeping.deleted_at,
    }
}

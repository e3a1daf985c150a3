//! Opening and closing sessions, for all commands that do.

use hoop_api::requests::RequestState;
use hoop_api::requests::SingleStatement;
use hoop_client::{
    Api, ClientError,
    connector::{Carriage, Happening, SessionConnector, Wanted},
};
use hoop_model::ConnectionName;

use super::{account::word, requests};
use crate::{
    args::Transport,
    failure::Result,
    output::{Out, text},
};

/// The gateway's answer that others must approve first.
pub(super) const APPROVAL: &str = "HOOP-2007";

pub(super) const fn carriage(transport: Transport) -> Carriage {
    match transport {
        Transport::Tcp => Carriage::Tcp,
        Transport::Websocket => Carriage::WebSocket,
    }
}

/// Opens one; where a request of one's own waits for approval, with it.
pub(super) async fn open_session(api: &Api, wanted: &Wanted, out: &Out) -> Result<SessionConnector> {
    let opening = SessionConnector::open(api, wanted.clone());
    let refused = match out.waiting("Opening the session", opening).await {
        Err(error) if error.is(APPROVAL) => error,
        other => return Ok(other?),
    };
    approved(api, &wanted.connection, wanted.statement.as_ref(), refused, out).await?;
    Ok(SessionConnector::open(api, wanted.clone()).await?)
}

/// Waits until one's own request is approved. There is none: the refusal stands.
pub(super) async fn approved(
    api: &Api,
    name: &ConnectionName,
    only: Option<&SingleStatement>,
    refused: ClientError,
    out: &Out,
) -> Result {
    let Some(request) = requests::open_request(api, name, only).await? else { return Err(refused.into()) };
    let what = format!("Waiting for approval of {} (by {} of those in charge)", request.id, request.needed);
    if !out.is_json() && request.state == RequestState::Pending {
        let page = api.gateway().page(&format!("/requests/{}", request.id), &[]);
        out.note(format!(
            "It is not decided yet; Ctrl-C leaves it as it is. Who decides finds it here:\n  {page}"
        ));
    }
    let decided = out.waiting(&what, requests::decided(api, request.id)).await?;
    if decided.state == RequestState::Approved {
        return Ok(());
    }
    let by = decided.decisions.iter().find(|word| !word.approves);
    let said = by.map(|word| format!(" by {}", word.by)).unwrap_or_default();
    let note = by.and_then(|word| word.note.as_deref()).map(|note| format!(": {note}")).unwrap_or_default();
    let message =
        format!("request {} was not approved, but {}{said}{note}", decided.id, word(&decided.state));
    Err(ClientError::denied("HOOP-1024", text::line(&message))
        .hint("ask those in charge, or make another")
        .into())
}

pub(super) fn tell(happening: &Happening, out: &Out) {
    match happening {
        Happening::TurnedAway(error) | Happening::Failed(error) => out.error(&error.fault),
    }
}

/// The session is of no use without us: the gateway is told, so that it does not wait for the idle limit.
pub(super) async fn farewell(api: &Api, session: &SessionConnector) {
    let closing = api.close_session(session.facts().id);
    if let Ok(Err(error)) = tokio::time::timeout(std::time::Duration::from_secs(2), closing).await {
        tracing::debug!(%error, "the session was not closed; it ends by its idle limit");
    }
}

#[cfg(unix)]
pub(super) async fn stop_asked() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
pub(super) async fn stop_asked() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// Each local connection takes two descriptors; the usual soft limit of 1024 is soon reached, the hard one is not.
pub(super) fn raise_descriptor_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

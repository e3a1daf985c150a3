//! The door of terminals in the browser: only the console's own page, by the cookie of its sign-in, gets a WebSocket here.

use std::sync::Arc;

use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use http::{HeaderMap, header};

use super::{
    caller::{From, SignedInCaller},
    problem::{Answer, Problematic},
};
use crate::{hub::Shared, terminals};

/// Upgrades. The guard has found the sign-in, and that the origin, if one was said, is ours.
pub(super) async fn open(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    // A browser always says where a WebSocket comes from. Who does not is none, and has `hoop ssh`.
    if !headers.contains_key(header::ORIGIN) {
        metrics::counter!("hoop_http_refused_total", "reason" => "origin").increment(1);
        return Err(Problematic::forbidden("HOOP-3031", "this request comes from no page of the console"));
    }
    let upgrade = upgrade.map_err(|_| Problematic::bad_request("this path is for WebSocket upgrades"))?;
    let own = hub.terminals_each.admit(caller.signed_in.user.id).ok_or_else(|| Problematic::too_many(10))?;
    let one_of_few = Arc::clone(&hub.terminals).try_acquire_owned().map_err(|_| Problematic::too_many(10))?;
    let counted = hub.tasks.token();
    let upgrade = upgrade.max_message_size(terminals::LONGEST).max_frame_size(terminals::LONGEST);
    Ok(upgrade.on_upgrade(async move |socket| {
        let _held = (own, one_of_few, counted);
        Box::pin(terminals::serve(hub, caller, address, socket)).await;
    }))
}

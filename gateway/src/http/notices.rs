//! What people were told outside, and a test of the channels.

use axum::extract::{Query, State};
use hoop_api::{
    Page,
    notices::{NoticeOutcome, NoticeView, TestNotice, TestNoticeSent},
};
use hoop_ledger::EventCode;
use hoop_model::{Actor, ChannelName, NoticeId};
use hoop_store::{NoticeState, StoredNotice};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::{Admin, Evidence},
    problem::{Answer, Problematic},
};
use crate::{
    hub::{Shared, event, now},
    notices::{Notice, Outlet, Topic},
};

const MOST: u32 = 200;

/// Query of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    after: Option<NoticeId>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(hub): State<Shared>,
    _: Evidence,
    Query(which): Query<Which>,
) -> Answer<Json<Page<NoticeView>>> {
    let page = hub.store.notices(which.after, which.limit.unwrap_or(MOST).clamp(1, MOST)).await?;
    let items = page.items.into_iter().map(view).collect();
    Ok(Json(Page { items, next: page.next.map(|id| id.to_string()) }))
}

fn view(stored: StoredNotice) -> NoticeView {
    let (outcome, delivered_at, next_at) = match stored.state {
        NoticeState::Waiting(at) => (NoticeOutcome::Waiting, None, Some(at)),
        NoticeState::Delivered(at) => (NoticeOutcome::Delivered, Some(at), None),
        NoticeState::Failed => (NoticeOutcome::Failed, None, None),
    };
    NoticeView {
        id: stored.id.to_string(),
        title: stored.payload.get("title").and_then(|title| title.as_str()).unwrap_or_default().to_owned(),
        channel: stored.channel,
        topic: stored.topic,
        outcome,
        attempts: stored.attempts,
        created_at: stored.created_at,
        delivered_at,
        next_at,
        last_error: stored.last_error,
    }
}

pub(super) async fn test(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Json(request): Json<TestNotice>,
) -> Answer<Json<TestNoticeSent>> {
    let name = ChannelName::new(request.channel).ok();
    let outlet = name.and_then(|name| hub.notices.outlet(&name)).map(std::sync::Arc::clone);
    let outlet = outlet.ok_or_else(|| {
        Problematic::not_found("channel")
            .hint("channels stand in the gateway's configuration, under [[notices.channels]]")
    })?;
    let (task, actor) = (hub.clone(), caller.actor.clone());
    // Goes on when the caller goes away: the outcome is noted in any case.
    let sending = hub.tasks.spawn(async move { send(&task, &outlet, &actor).await });
    Ok(Json(sending.await.map_err(Problematic::internal)??))
}

async fn send(hub: &Shared, outlet: &Outlet, actor: &Actor) -> Answer<TestNoticeSent> {
    let at = now();
    let notice =
        Notice::new(Topic::NoticeTest, at, format!("A test from hoop on {}", hub.config.public_host))
            .text("Somebody checks that this channel works. There is nothing to do.")
            .fact("sent by", actor.display_name())
            .fact("channel", outlet.name())
            .link(hub.origin());
    let row =
        outlet.row(&notice, false).ok_or_else(|| Problematic::internal("a test notice cannot be written"))?;
    let id = row.id;
    let facts = json!({ "channel": outlet.name(), "kind": outlet.kind(), "notice": id });
    let told = event(actor, EventCode::NoticeTested, [], facts).with_notices([row]);
    hub.store.append(&[told]).await?;
    let error = match outlet.send(id, &notice, at).await {
        Ok(()) => {
            hub.store.notice_delivered(id, now()).await?;
            None
        }
        Err(error) => {
            let error = error.to_string();
            hub.store.notice_failed(id, None, &error).await?;
            Some(error)
        }
    };
    Ok(TestNoticeSent { id: id.to_string(), delivered: error.is_none(), error })
}

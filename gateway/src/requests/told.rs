//! What the ledger keeps of a request's life, and what people are told of it.

use hoop_ledger::event::EventCode;
use hoop_model::{Actor, Timestamp};
use hoop_store::{NewEvent, NewRequest, Request, RequestKind};
use serde_json::{Value, json};

use crate::{
    hub::{Shared, event, now},
    notices::{Notice, Topic},
};

/// The event of something that happened to a request, with the notice of it.
pub(super) fn told(
    hub: &Shared,
    request: &Request,
    actor: &Actor,
    code: EventCode,
    facts: Value,
) -> NewEvent {
    told_of(hub, &request.asked, request.ends_at, actor, code, facts)
}

/// The same for one that is not kept yet.
pub(super) fn told_of(
    hub: &Shared,
    asked: &NewRequest,
    ends_at: Option<Timestamp>,
    actor: &Actor,
    code: EventCode,
    facts: Value,
) -> NewEvent {
    let told = record(asked, actor, code, facts);
    let Some((topic, headline)) = topic(code) else { return told };
    let title = format!("{headline}: {} on {}", asked.user_name, asked.connection_name);
    let mut notice = Notice::new(topic, now(), title)
        .text(format!("by {}", actor.display_name()))
        .fact("reason", &asked.reason)
        .link(format!("{}/requests/{}", hub.origin(), asked.id));
    if asked.statement.is_some() {
        notice = notice.fact("for", "one statement");
    }
    if let Some(incident) = &asked.incident {
        notice = notice.fact("incident", incident);
    }
    if let Some(end) = ends_at {
        notice = notice.fact("ends_at", end);
    }
    hub.notices.tell(told, &notice)
}

const fn topic(code: EventCode) -> Option<(Topic, &'static str)> {
    Some(match code {
        EventCode::RequestCreated => (Topic::RequestCreated, "Access is asked for"),
        EventCode::RequestApproved => (Topic::RequestApproved, "Somebody approved access"),
        EventCode::RequestDenied => (Topic::RequestDenied, "Access was denied"),
        EventCode::RequestEnded => (Topic::RequestEnded, "Access ended"),
        EventCode::BreakGlassStarted => (Topic::BreakGlassStarted, "The glass was broken"),
        EventCode::BreakGlassExtended => (Topic::BreakGlassExtended, "An emergency goes on"),
        EventCode::BreakGlassEnded => {
            (Topic::BreakGlassReviewDue, "An emergency ended and is to be reviewed")
        }
        EventCode::BreakGlassReviewed => (Topic::BreakGlassReviewed, "An emergency was reviewed"),
        _ => return None,
    })
}

/// The event that ends a request of this kind.
pub(super) const fn end_code(kind: RequestKind) -> EventCode {
    match kind {
        RequestKind::Access => EventCode::RequestEnded,
        RequestKind::BreakGlass => EventCode::BreakGlassEnded,
    }
}

fn record(asked: &NewRequest, actor: &Actor, code: EventCode, facts: Value) -> NewEvent {
    let mut all = json!({
        "request": asked.id, "person": asked.user_name, "connection": asked.connection_name, "rule": asked.rule,
    });
    if let (Some(all), Value::Object(facts)) = (all.as_object_mut(), facts) {
        all.extend(facts);
    }
    event(actor, code, [asked.user.into(), asked.connection.into()], all)
}

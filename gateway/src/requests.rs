//! Requests and emergencies: asked, decided by others, ended in time, reviewed.
//!
//! An approval is bound to person, connection, rule and user at the target, and to an absolute end. Every change that
//! may end a session goes through [`jobs::change`].

use std::time::Duration;

use hoop_ledger::event::{EventCode, Subject};
use hoop_model::{Actor, Blame, ConnectionName, Fault, RequestId, Timestamp};
use hoop_policy::rules::{Asking, Missing, Refusal};
use hoop_store::{
    Conflict, Connection, Decision, NewRequest, Request, RequestKind, RequestState, Review, SignedIn,
    StoreError,
};
use serde_json::json;

use crate::{
    http::problem::Problematic,
    hub::{Shared, event, now},
    jobs,
    notices::{Notice, Topic},
    rules, sessions,
};

/// Requests of one person that are pending or in force.
const MOST: u64 = 20;
/// Somebody has so long to decide.
const DECIDE_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Longest free text of a request, bytes.
const LONGEST_TEXT: usize = 1000;

/// Who asks or decides.
#[derive(Debug, Clone)]
pub(crate) struct By {
    pub(crate) caller: SignedIn,
    pub(crate) actor: Actor,
    pub(crate) address: std::net::IpAddr,
}

fn text(what: &str, text: &str) -> Result<(), Problematic> {
    if text.trim().is_empty() || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        let fault = Fault::new(
            "HOOP-7016",
            Blame::Caller,
            format!("the {what} must be 1 to {LONGEST_TEXT} bytes of text in one line"),
        );
        return Err(fault.into());
    }
    Ok(())
}

/// The event, and people told of it.
fn told(
    hub: &Shared,
    request: &Request,
    actor: &Actor,
    code: EventCode,
    facts: serde_json::Value,
) -> hoop_store::NewEvent {
    let told = record(request, actor, code, facts);
    let Some(topic) = topic(code) else { return told };
    let title = format!("{}: {} on {}", headline(code), request.user_name, request.connection_name);
    let mut notice = Notice::new(topic, now(), title)
        .text(format!("by {}", actor.display_name()))
        .fact("reason", &request.reason)
        .link(format!("{}/requests/{}", hub.origin(), request.id));
    if let Some(incident) = &request.incident {
        notice = notice.fact("incident", incident);
    }
    if let Some(end) = request.ends_at {
        notice = notice.fact("ends_at", end);
    }
    hub.notices.tell(told, &notice)
}

const fn topic(code: EventCode) -> Option<Topic> {
    Some(match code {
        EventCode::RequestCreated => Topic::RequestCreated,
        EventCode::RequestApproved => Topic::RequestApproved,
        EventCode::RequestDenied => Topic::RequestDenied,
        EventCode::RequestEnded => Topic::RequestEnded,
        EventCode::BreakGlassStarted => Topic::BreakGlassStarted,
        EventCode::BreakGlassExtended => Topic::BreakGlassExtended,
        EventCode::BreakGlassEnded => Topic::BreakGlassReviewDue,
        EventCode::BreakGlassReviewed => Topic::BreakGlassReviewed,
        _ => return None,
    })
}

const fn headline(code: EventCode) -> &'static str {
    match code {
        EventCode::RequestCreated => "Access is asked for",
        EventCode::RequestApproved => "Somebody approved access",
        EventCode::RequestDenied => "Access was denied",
        EventCode::RequestEnded => "Access ended",
        EventCode::BreakGlassStarted => "The glass was broken",
        EventCode::BreakGlassExtended => "An emergency goes on",
        EventCode::BreakGlassEnded => "An emergency ended and is to be reviewed",
        EventCode::BreakGlassReviewed => "An emergency was reviewed",
        _ => "Notice",
    }
}

fn record(
    request: &Request,
    actor: &Actor,
    code: EventCode,
    facts: serde_json::Value,
) -> hoop_store::NewEvent {
    let mut all = json!({
        "request": request.id, "person": request.user_name, "connection": request.connection_name, "rule": request.rule,
    });
    if let (Some(all), Some(facts)) = (all.as_object_mut(), facts.as_object()) {
        all.extend(facts.clone());
    }
    event(actor, code, subjects(request), all)
}

fn subjects(request: &Request) -> [Subject; 2] {
    [request.user.into(), request.connection.into()]
}

/// The connection. One that does not exist is told like one that nothing allows.
async fn connection(hub: &Shared, name: &ConnectionName) -> Result<Connection, Problematic> {
    let found = hub.store.connection_by_name(name).await?;
    found.ok_or_else(|| Refusal::NotAllowed.to_fault(name).into())
}

/// Asks for access that others must approve.
pub(crate) async fn ask(
    hub: &Shared,
    by: &By,
    name: &ConnectionName,
    wanted: Duration,
    reason: &str,
) -> Result<Request, Problematic> {
    text("reason", reason)?;
    let connection = connection(hub, name).await?;
    let definition = sessions::definition_of(&connection)?;
    let in_force = hub.rules.in_force(&hub.store).await?;
    let (person, facts) = (rules::caller(&by.caller), rules::facts(&connection, &definition));
    let asking = Asking {
        person: &person,
        connection: &facts,
        address: by.address,
        reason: Some(reason),
        end_to_end: true,
        approvals: &[],
        live_sessions: 0,
    };
    let rule = match in_force.policy.decide(&asking, now()) {
        Ok(_) => {
            let fault = Fault::new("HOOP-2020", Blame::Caller, "this needs no approval");
            return Err(fault.with_hint(format!("hoop connect {name} --reason …")).into());
        }
        Err(Refusal::Missing { rule, what })
            if what.iter().all(|missing| matches!(missing, Missing::Approval { .. })) =>
        {
            rule
        }
        Err(refusal) => return Err(refusal.to_fault(name).into()),
    };
    let Some((approval, target_user)) = in_force.policy.approval_wanted(&rule) else {
        return Err(Refusal::NotAllowed.to_fault(name).into());
    };
    let longest = approval.longest.duration();
    let duration = wanted.min(longest);
    if duration.is_zero() {
        return Err(Problematic::bad_request("duration_seconds must not be 0"));
    }
    let at = now();
    let new = NewRequest {
        id: RequestId::generate(),
        kind: RequestKind::Access,
        user: by.caller.user.id,
        user_name: by.caller.user.name.clone(),
        connection: connection.id,
        connection_name: connection.name.clone(),
        rule: rule.to_string(),
        become_user: target_user.map(ToString::to_string),
        statement: None,
        reason: reason.to_owned(),
        incident: None,
        duration_seconds: duration.as_secs(),
        needed: approval.count.into(),
        created_at: at,
        decide_until: at.after(DECIDE_WITHIN),
    };
    let facts = json!({
        "reason": new.reason, "duration_seconds": new.duration_seconds, "needed": new.needed,
        "target_user": new.become_user,
    });
    let told = told(hub, &as_asked(&new, None), &by.actor, EventCode::RequestCreated, facts);
    hub.store.create_request(&new, MOST, false, &[told]).await.map_err(refused)
}

/// Opens an emergency: in force at once, with an absolute end.
pub(crate) async fn break_glass(
    hub: &Shared,
    by: &By,
    name: &ConnectionName,
    reason: &str,
    incident: &str,
) -> Result<Request, Problematic> {
    text("reason", reason)?;
    text("incident", incident)?;
    let connection = connection(hub, name).await?;
    let definition = sessions::definition_of(&connection)?;
    let in_force = hub.rules.in_force(&hub.store).await?;
    let (person, facts) = (rules::caller(&by.caller), rules::facts(&connection, &definition));
    let asking = Asking {
        person: &person,
        connection: &facts,
        address: by.address,
        reason: Some(reason),
        end_to_end: true,
        approvals: &[],
        live_sessions: 0,
    };
    let at = now();
    let terms = in_force.policy.break_glass(&asking, at).map_err(|refusal| refusal.to_fault(name))?;
    let new = NewRequest {
        id: RequestId::generate(),
        kind: RequestKind::BreakGlass,
        user: by.caller.user.id,
        user_name: by.caller.user.name.clone(),
        connection: connection.id,
        connection_name: connection.name.clone(),
        rule: terms.rule.to_string(),
        become_user: terms.target_user.as_ref().map(ToString::to_string),
        statement: None,
        reason: reason.to_owned(),
        incident: Some(incident.to_owned()),
        duration_seconds: terms.ends_at.since(at).as_secs(),
        needed: 0,
        created_at: at,
        decide_until: at,
    };
    let facts = json!({
        "reason": new.reason, "incident": new.incident, "ends_at": terms.ends_at, "address": by.address.to_string(),
    });
    let told =
        told(hub, &as_asked(&new, Some(terms.ends_at)), &by.actor, EventCode::BreakGlassStarted, facts);
    tracing::warn!(person = %new.user_name, connection = %new.connection_name, "the glass was broken");
    metrics::counter!("hoop_break_glass_total").increment(1);
    let kept = hub.store.create_request(&new, MOST, terms.review_before_next_use, &[told]).await;
    kept.map_err(|error| match error {
        StoreError::Conflict(Conflict::Changed) => {
            let message = "your last emergency has not been reviewed yet";
            let fault = Fault::new("HOOP-2022", Blame::Policy, message);
            fault.with_hint("ask a reviewer: `hoop requests --reviews`").into()
        }
        other => refused(other),
    })
}

/// What is about to be kept.
fn as_asked(new: &NewRequest, ends_at: Option<Timestamp>) -> Request {
    Request {
        id: new.id,
        kind: new.kind,
        user: new.user,
        user_name: new.user_name.clone(),
        connection: new.connection,
        connection_name: new.connection_name.clone(),
        rule: new.rule.clone(),
        become_user: new.become_user.clone(),
        statement: new.statement.clone(),
        reason: new.reason.clone(),
        incident: new.incident.clone(),
        duration_seconds: new.duration_seconds,
        needed: new.needed,
        state: RequestState::Pending,
        created_at: new.created_at,
        decide_until: new.decide_until,
        decided_at: None,
        ends_at,
        ended_at: None,
        end_reason: None,
        extended_by: None,
        review: None,
    }
}

/// The words of the store for a request that it does not take.
fn refused(error: StoreError) -> Problematic {
    let fault = |code: &'static str, message: &'static str, hint: &'static str| {
        Fault::new(code, Blame::Policy, message).with_hint(hint).into()
    };
    match error {
        StoreError::Conflict(Conflict::TooMany) => {
            fault("HOOP-2021", "you have as many requests open as you may", "end some: `hoop requests`")
        }
        StoreError::Conflict(Conflict::Changed) => {
            Problematic::conflict("the request was decided or ended meanwhile: look at it again")
        }
        StoreError::Conflict(Conflict::OtherName) => {
            fault("HOOP-2023", "nobody decides on their own request", "ask somebody else")
        }
        StoreError::Conflict(Conflict::Used) => {
            fault("HOOP-2024", "you have decided on this request already", "another person has to")
        }
        StoreError::Conflict(Conflict::Expired) => {
            fault("HOOP-2025", "the time to decide on this request is over", "it has to be made anew")
        }
        StoreError::Conflict(Conflict::Locked) => hoop_policy::Denial::Locked.to_fault().into(),
        other => other.into(),
    }
}

/// What the caller may do with a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct May {
    pub(crate) decide: bool,
    pub(crate) review: bool,
}

/// By the rules of this moment.
pub(crate) async fn may(hub: &Shared, caller: &SignedIn, request: &Request) -> Result<May, Problematic> {
    let Ok(rule) = request.rule.parse() else { return Ok(May::default()) };
    let in_force = hub.rules.in_force(&hub.store).await?;
    let person = rules::caller(caller);
    let is_admin = caller.user.role == hoop_model::Role::Admin;
    Ok(match request.kind {
        RequestKind::Access => {
            May { decide: in_force.policy.may_approve(&person, &rule, &request.user_name), review: false }
        }
        RequestKind::BreakGlass => May {
            decide: false,
            review: in_force.policy.may_review(&person, is_admin, &rule, &request.user_name),
        },
    })
}

fn not_yours() -> Problematic {
    Problematic::forbidden("HOOP-2026", "the rules do not name you for this")
}

/// One person's word on a request.
pub(crate) async fn decide(
    hub: &Shared,
    by: &By,
    request: &Request,
    approves: bool,
    note: Option<String>,
) -> Result<Request, Problematic> {
    note.as_deref().map_or(Ok(()), |note| text("note", note))?;
    if request.user == by.caller.user.id {
        return Err(refused(Conflict::OtherName.into()));
    }
    if !may(hub, &by.caller, request).await?.decide {
        return Err(not_yours());
    }
    let code = if approves { EventCode::RequestApproved } else { EventCode::RequestDenied };
    let told = told(hub, request, &by.actor, code, json!({ "note": note, "needed": request.needed }));
    let word =
        Decision { by: by.caller.user.id, by_name: by.caller.user.name.clone(), approves, note, at: now() };
    hub.store.decide_request(request.id, &word, &[told]).await.map_err(refused)
}

/// Withdraws or revokes: whatever rests on it ends.
pub(crate) async fn end(
    hub: &Shared,
    by: &By,
    request: &Request,
    reason: String,
) -> Result<Request, Problematic> {
    text("reason", &reason)?;
    let may = may(hub, &by.caller, request).await?;
    let is_admin = by.caller.user.role == hoop_model::Role::Admin;
    if request.user != by.caller.user.id && !may.decide && !may.review && !is_admin {
        return Err(not_yours());
    }
    let told = told(hub, request, &by.actor, end_code(request.kind), json!({ "reason": reason }));
    let (task, id) = (hub.clone(), request.id);
    jobs::change(hub, async move {
        task.store.end_request(id, RequestState::Ended, now(), &reason, &[told]).await.map_err(refused)
    })
    .await
}

const fn end_code(kind: RequestKind) -> EventCode {
    match kind {
        RequestKind::Access => EventCode::RequestEnded,
        RequestKind::BreakGlass => EventCode::BreakGlassEnded,
    }
}

/// Lets an emergency go on: somebody else's word.
pub(crate) async fn extend(
    hub: &Shared,
    by: &By,
    request: &Request,
    by_time: Duration,
) -> Result<Request, Problematic> {
    if !may(hub, &by.caller, request).await?.review {
        return Err(not_yours());
    }
    let before = request.ends_at.filter(|_| request.is_in_force(now()));
    let Some(before) = before.filter(|_| request.kind == RequestKind::BreakGlass) else {
        return Err(Problematic::conflict("only an emergency that is in force can be extended"));
    };
    if by_time.is_zero() || by_time.as_secs() > request.duration_seconds {
        return Err(Problematic::bad_request(format!("seconds must be 1 to {}", request.duration_seconds)));
    }
    let ends_at = before.after(by_time);
    let told = told(hub, request, &by.actor, EventCode::BreakGlassExtended, json!({ "ends_at": ends_at }));
    let who = (by.caller.user.id, &by.caller.user.name);
    hub.store.extend_request(request.id, who, before, ends_at, &[told]).await.map_err(refused)
}

/// Closes the review of an emergency.
pub(crate) async fn review(
    hub: &Shared,
    by: &By,
    request: &Request,
    finding: String,
) -> Result<Request, Problematic> {
    text("finding", &finding)?;
    if !may(hub, &by.caller, request).await?.review {
        return Err(not_yours());
    }
    let told = told(hub, request, &by.actor, EventCode::BreakGlassReviewed, json!({ "finding": finding }));
    let review =
        Review { by: by.caller.user.id, by_name: by.caller.user.name.to_string(), at: now(), finding };
    match hub.store.review_request(request.id, &review, &[told]).await {
        Err(StoreError::Conflict(Conflict::Changed)) => {
            Err(Problematic::conflict("this is no emergency that is over and waits for its review"))
        }
        other => other.map_err(refused),
    }
}

/// Marks what is over by the clock: each with its event.
pub(crate) async fn expire(hub: &Shared, at: Timestamp) -> Result<(), StoreError> {
    for request in hub.store.open_requests().await? {
        let over = match request.state {
            RequestState::Pending => request.decide_until <= at,
            _ => request.ends_at.is_none_or(|end| end <= at),
        };
        if !over {
            continue;
        }
        let reason = "its time is over";
        let told = told(hub, &request, &Actor::System, end_code(request.kind), json!({ "reason": reason }));
        match hub.store.end_request(request.id, RequestState::Expired, at, reason, &[told]).await {
            Ok(_) | Err(StoreError::Conflict(_)) => hub.sweep_again.notify_one(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

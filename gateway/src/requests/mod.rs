//! Requests and emergencies: asked, decided by others, ended in time, reviewed.
//!
//! An approval is bound to person, connection, rule and user at the target, and to an absolute end. Every change that
//! may end a session goes through [`jobs::change`].

pub(crate) mod statements;
mod told;

use std::{net::IpAddr, time::Duration};

use hoop_api::{manage::ConnectionDefinition, requests::NewRequest as Asked};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, Blame, ConnectionName, Fault, RequestId, Role, RuleName, Timestamp};
use hoop_policy::rules::{Decider, DecidingRole, Missing, Refusal, Unapprovable, Wanted};
use hoop_store::{
    AskedStatement, Conflict, Connection, Decision, NewRequest, Request, RequestKind, RequestState, Review,
    SeenBy, SignedIn, StoreError,
};
use serde_json::json;
use told::{end_code, told, told_of};

use crate::{
    http::problem::Problematic,
    hub::{Shared, now},
    jobs,
    rules::{InForce, Question},
    sessions,
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
    pub(crate) address: IpAddr,
}

/// A request, for somebody who may see it.
#[derive(Debug)]
pub(crate) struct Concerned {
    pub(crate) by: By,
    pub(crate) request: Request,
    /// What was said on it.
    pub(crate) words: Vec<Decision>,
    pub(crate) may: May,
}

impl Concerned {
    /// `None` when there is no such request for them.
    pub(crate) async fn find(hub: &Shared, by: By, id: RequestId) -> Result<Option<Self>, StoreError> {
        let Some(request) = hub.store.request(id).await? else { return Ok(None) };
        let in_force = hub.rules.in_force(&hub.store).await?;
        let words = hub.store.decisions(id).await?;
        let may = May::of(&in_force, &by.caller, &request, &words);
        Ok(may.see.then_some(Self { by, request, words, may }))
    }
}

/// What somebody may do with a request, by the rules of this moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct May {
    pub(crate) see: bool,
    pub(crate) decide: bool,
    pub(crate) review: bool,
    pub(crate) end: bool,
}

impl May {
    pub(crate) fn of(in_force: &InForce, caller: &SignedIn, request: &Request, words: &[Decision]) -> Self {
        let (asked, role) = (&request.asked, caller.role());
        let own = request.person == caller.user.person;
        let person = in_force.caller(caller);
        let decider = Decider { person: &person, role: deciding(role), is_concerned: own };
        let (mut decide, mut review) = (false, false);
        if let Ok(rule) = asked.rule.parse() {
            match asked.kind {
                RequestKind::Access => decide = may_approve(in_force, &decider, &rule, asked),
                RequestKind::BreakGlass => review = in_force.policy.may_review(&decider, &rule),
            }
        }
        // Whoever gave something may take it back, whatever the rules say by now.
        let gave = words.iter().any(|word| word.approves && word.by == caller.user.id);
        let end = own || decide || review || gave || role == Role::Admin;
        let waits = role == Role::Approver && request.state == RequestState::Pending;
        Self { see: end || waits || role == Role::Auditor, decide, review, end }
    }
}

/// What cannot be read of it can be approved by nobody.
fn may_approve(in_force: &InForce, decider: &Decider<'_>, rule: &RuleName, asked: &NewRequest) -> bool {
    match asked.statement.as_ref().and_then(|statement| statement.rule.as_deref()) {
        None => in_force.policy.may_approve(decider, rule, None),
        Some(name) => name.parse().is_ok_and(|name| in_force.policy.may_approve(decider, rule, Some(&name))),
    }
}

/// What of the list somebody sees before it is cut into pages; [`May`] has the last word on each.
pub(crate) fn seen_by(in_force: &InForce, caller: &SignedIn) -> Option<SeenBy> {
    let (role, person) = (caller.role(), in_force.caller(caller));
    if matches!(role, Role::Admin | Role::Auditor) {
        return None;
    }
    let decider = Decider { person: &person, role: deciding(role), is_concerned: false };
    let (approves, reviews) = in_force.policy.decided_by(&decider);
    let (account, pending) = (caller.user.id, role == Role::Approver);
    Some(SeenBy { person: caller.user.person, account, approves, reviews, pending })
}

const fn deciding(role: Role) -> Option<DecidingRole> {
    match role {
        Role::Admin => Some(DecidingRole::Admin),
        Role::Approver => Some(DecidingRole::Approver),
        Role::User | Role::Auditor => None,
    }
}

pub(crate) fn text(what: &str, text: &str) -> Result<(), Problematic> {
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

/// Somebody, a connection, and the rules: what both ways of asking begin with.
struct Wish<'a> {
    by: &'a By,
    connection: Connection,
    definition: ConnectionDefinition,
    question: Question,
    in_force: std::sync::Arc<InForce>,
    at: Timestamp,
}

impl<'a> Wish<'a> {
    /// A connection that does not exist is told like one that nothing allows.
    async fn new(hub: &Shared, by: &'a By, name: &ConnectionName) -> Result<Self, Problematic> {
        let connection = hub.store.connection_by_name(name).await?;
        let connection = connection.ok_or_else(|| Problematic::from(Refusal::NotAllowed.to_fault(name)))?;
        let definition = sessions::definition_of(&connection)?;
        let in_force = hub.rules.in_force(&hub.store).await?;
        let question = Question::new(in_force.caller(&by.caller), &connection, &definition, by.address);
        Ok(Self { by, connection, definition, question, in_force, at: now() })
    }

    /// The terms are the rules', not the person's.
    fn request(self, kind: RequestKind, terms: Terms, reason: &str) -> NewRequest {
        let user = &self.by.caller.user;
        NewRequest {
            id: terms.id,
            kind,
            user: user.id,
            user_name: user.name.clone(),
            connection: self.connection.id,
            connection_name: self.connection.name,
            rule: terms.rule,
            become_user: terms.become_user,
            statement: terms.statement,
            reason: reason.to_owned(),
            incident: terms.incident,
            duration_seconds: terms.duration.as_secs(),
            needed: terms.needed,
            created_at: self.at,
            decide_until: self.at.after(terms.decide_within),
        }
    }
}

struct Terms {
    id: RequestId,
    statement: Option<AskedStatement>,
    rule: String,
    become_user: Option<String>,
    incident: Option<String>,
    duration: Duration,
    needed: u32,
    decide_within: Duration,
}

/// Asks for access that others must approve.
pub(crate) async fn ask(hub: &Shared, by: &By, wanted: &Asked) -> Result<Request, Problematic> {
    let (name, reason) = (&wanted.connection, wanted.reason.as_str());
    text("reason", reason)?;
    let wish = Wish::new(hub, by, name).await?;
    let statement = wanted.statement.as_ref();
    let single = statement.map(|statement| statements::single(&wish.definition, statement)).transpose()?;
    let only = single.as_ref().map(|single| &single.only);
    let asking = wish.question.asking(Some(reason), single.as_ref(), &[], 0);
    let rule = match wish.in_force.policy.decide(&asking, wish.at) {
        Ok(_) => match wish.in_force.policy.better_with_approval(&asking, wish.at) {
            Some(rule) => rule.clone(),
            None => {
                let fault = Fault::new("HOOP-2020", Blame::Caller, "this needs no approval");
                return Err(fault.with_hint(format!("hoop connect {name} --reason …")).into());
            }
        },
        Err(Refusal::Missing { rule, what })
            if what.iter().all(|missing| matches!(missing, Missing::Approval { .. })) =>
        {
            rule
        }
        Err(refusal) => return Err(refusal.to_fault(name).into()),
    };
    let wanted_approval = wish.in_force.policy.approval_wanted(&rule, &asking);
    let Wanted { approval, target_user, statement_rule } = match wanted_approval {
        Ok(wanted) => wanted,
        Err(Unapprovable::NoRule) => return Err(Refusal::NotAllowed.to_fault(name).into()),
        Err(several @ Unapprovable::Several { .. }) => {
            let fault = Fault::new("HOOP-2029", Blame::Caller, several.to_string());
            return Err(fault.with_hint("ask for each of its statements alone").into());
        }
    };
    let duration = Duration::from_secs(wanted.duration_seconds).min(approval.longest.duration());
    if duration.is_zero() {
        return Err(Problematic::bad_request("duration_seconds must not be 0"));
    }
    let id = RequestId::generate();
    let sealed = statement
        .zip(only)
        .map(|(text, only)| statements::seal(hub, id, text, only, statement_rule.as_ref()));
    let terms = Terms {
        id,
        statement: sealed.transpose()?,
        rule: rule.to_string(),
        become_user: target_user.map(ToString::to_string),
        incident: None,
        duration,
        needed: approval.count.into(),
        decide_within: DECIDE_WITHIN,
    };
    let new = wish.request(RequestKind::Access, terms, reason);
    let facts = json!({
        "reason": new.reason, "duration_seconds": new.duration_seconds, "needed": new.needed,
        "target_user": new.become_user, "only": only, "statement_rule": statement_rule,
    });
    let told = told_of(hub, &new, None, &by.actor, EventCode::RequestCreated, facts);
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
    let wish = Wish::new(hub, by, name).await?;
    let asking = wish.question.asking(Some(reason), None, &[], 0);
    let allowed = wish.in_force.policy.break_glass(&asking, wish.at);
    let allowed = allowed.map_err(|refusal| refusal.to_fault(name))?;
    let terms = Terms {
        id: RequestId::generate(),
        statement: None,
        rule: allowed.rule.to_string(),
        become_user: allowed.target_user.as_ref().map(ToString::to_string),
        incident: Some(incident.to_owned()),
        duration: allowed.ends_at.since(wish.at),
        needed: 0,
        decide_within: Duration::ZERO,
    };
    let new = wish.request(RequestKind::BreakGlass, terms, reason);
    let facts = json!({
        "reason": new.reason, "incident": new.incident, "ends_at": allowed.ends_at,
        "address": by.address.to_string(),
    });
    let ends_at = Some(allowed.ends_at);
    let told = told_of(hub, &new, ends_at, &by.actor, EventCode::BreakGlassStarted, facts);
    let kept = hub.store.create_request(&new, MOST, allowed.review_before_next_use, &[told]).await;
    let request = kept.map_err(|error| match error {
        StoreError::Conflict(Conflict::Changed) => {
            let message = "your last emergency has not been reviewed yet";
            let fault = Fault::new("HOOP-2022", Blame::Policy, message);
            fault.with_hint("ask a reviewer: `hoop requests --reviews`").into()
        }
        other => refused(other),
    })?;
    tracing::warn!(person = %new.user_name, connection = %new.connection_name, "the glass was broken");
    metrics::counter!("hoop_break_glass_total").increment(1);
    Ok(request)
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

fn not_yours() -> Problematic {
    Problematic::forbidden("HOOP-2026", "the rules do not name you for this")
}

/// One person's word on a request.
pub(crate) async fn decide(
    hub: &Shared,
    on: &Concerned,
    approves: bool,
    note: Option<String>,
) -> Result<Request, Problematic> {
    let Concerned { by, request, may, .. } = on;
    note.as_deref().map_or(Ok(()), |note| text("note", note))?;
    if request.person == by.caller.user.person {
        return Err(refused(Conflict::OtherName.into()));
    }
    if !may.decide {
        return Err(not_yours());
    }
    let code = if approves { EventCode::RequestApproved } else { EventCode::RequestDenied };
    let facts = json!({ "note": note, "needed": request.asked.needed });
    let told = told(hub, request, &by.actor, code, facts);
    let word =
        Decision { by: by.caller.user.id, by_name: by.caller.user.name.clone(), approves, note, at: now() };
    hub.store.decide_request(request.asked.id, &word, &[told]).await.map_err(refused)
}

/// Withdraws or revokes: whatever rests on it ends.
pub(crate) async fn end(hub: &Shared, on: &Concerned, reason: String) -> Result<Request, Problematic> {
    text("reason", &reason)?;
    if !on.may.end {
        return Err(not_yours());
    }
    let asked = &on.request.asked;
    let facts = json!({ "reason": reason });
    let told = told(hub, &on.request, &on.by.actor, end_code(asked.kind), facts);
    let (task, id) = (hub.clone(), asked.id);
    jobs::change(hub, async move {
        task.store.end_request(id, RequestState::Ended, now(), &reason, &[told]).await.map_err(refused)
    })
    .await
}

/// Lets an emergency go on: somebody else's word.
pub(crate) async fn extend(hub: &Shared, on: &Concerned, by_time: Duration) -> Result<Request, Problematic> {
    let Concerned { by, request, may, .. } = on;
    if !may.review {
        return Err(not_yours());
    }
    let Some(before) = request.ends_at.filter(|_| request.is_in_force(now())) else {
        return Err(Problematic::conflict("only an emergency that is in force can be extended"));
    };
    let longest = request.asked.duration_seconds;
    if by_time.is_zero() || by_time.as_secs() > longest {
        return Err(Problematic::bad_request(format!("seconds must be 1 to {longest}")));
    }
    let ends_at = before.after(by_time);
    let facts = json!({ "ends_at": ends_at });
    let told = told_of(hub, &request.asked, Some(ends_at), &by.actor, EventCode::BreakGlassExtended, facts);
    let who = (by.caller.user.id, &by.caller.user.name);
    hub.store.extend_request(request.asked.id, who, before, ends_at, &[told]).await.map_err(refused)
}

/// Closes the review of an emergency.
pub(crate) async fn review(hub: &Shared, on: &Concerned, finding: String) -> Result<Request, Problematic> {
    let Concerned { by, request, may, .. } = on;
    text("finding", &finding)?;
    if !may.review {
        return Err(not_yours());
    }
    let facts = json!({ "finding": finding });
    let told = told(hub, request, &by.actor, EventCode::BreakGlassReviewed, facts);
    let review =
        Review { by: by.caller.user.id, by_name: by.caller.user.name.to_string(), at: now(), finding };
    match hub.store.review_request(request.asked.id, &review, &[told]).await {
        Err(StoreError::Conflict(Conflict::Changed)) => {
            Err(Problematic::conflict("this is no emergency that is over and waits for its review"))
        }
        other => other.map_err(refused),
    }
}

/// Marks what is over by the clock: each with its event.
pub(crate) async fn expire(hub: &Shared, at: Timestamp) -> Result<(), StoreError> {
    for request in hub.store.due_requests(at).await? {
        let (id, reason) = (request.asked.id, "its time is over");
        let code = end_code(request.asked.kind);
        let told = told(hub, &request, &Actor::System, code, json!({ "reason": reason }));
        match hub.store.end_request(id, RequestState::Expired, at, reason, &[told]).await {
            Ok(_) | Err(StoreError::Conflict(_)) => hub.sweep_again.notify_one(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

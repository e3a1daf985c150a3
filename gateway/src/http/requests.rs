//! Requests and emergencies over HTTP.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use hoop_api::{
    Page,
    requests::{
        BreakGlass, DecisionView, EndRequest, Extend, NewRequest, RequestKind as Kind,
        RequestState as ViewState, RequestView, ReviewFinding, ReviewView, Word,
    },
};
use hoop_model::RequestId;
use hoop_store::{Request, RequestFilter, RequestKind, RequestState};
use serde::Deserialize;

use super::{
    body::Json,
    caller::{Caller, From, SignedInCaller},
    problem::{Answer, Problematic},
};
use crate::{
    hub::Shared,
    requests::{self, By},
};

const MOST: u32 = 200;

fn by(caller: Caller, address: std::net::IpAddr) -> By {
    By { caller: caller.signed_in, actor: caller.actor, address }
}

/// Query of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    mine: bool,
    state: Option<ViewState>,
    kind: Option<Kind>,
    /// Emergencies that wait for their review.
    #[serde(default)]
    unreviewed: bool,
    after: Option<RequestId>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Query(which): Query<Which>,
) -> Answer<Json<Page<RequestView>>> {
    let filter = RequestFilter {
        user: which.mine.then_some(caller.signed_in.user.id),
        kind: which.kind.map(|kind| match kind {
            Kind::Access => RequestKind::Access,
            Kind::BreakGlass => RequestKind::BreakGlass,
        }),
        state: which.state.map(|state| match state {
            ViewState::Pending => RequestState::Pending,
            ViewState::Approved => RequestState::Approved,
            ViewState::Denied => RequestState::Denied,
            ViewState::Expired => RequestState::Expired,
            ViewState::Ended => RequestState::Ended,
        }),
        unreviewed: which.unreviewed,
        before: which.after,
        limit: which.limit.unwrap_or(50).clamp(1, MOST),
    };
    let page = hub.store.requests(&filter).await?;
    let mut items = Vec::new();
    for request in page.items {
        if let Some(view) = visible_view(&hub, &caller, request).await? {
            items.push(view);
        }
    }
    Ok(Json(Page { items, next: page.next.map(|id| id.to_string()) }))
}

pub(super) async fn show(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Path(id): Path<String>,
) -> Answer<Json<RequestView>> {
    let request = find(&hub, &id).await?;
    let view = visible_view(&hub, &caller, request).await?;
    Ok(Json(view.ok_or_else(|| Problematic::not_found("request"))?))
}

async fn find(hub: &Shared, id: &str) -> Answer<Request> {
    let id: RequestId = id.parse().map_err(|_| Problematic::not_found("request"))?;
    hub.store.request(id).await?.ok_or_else(|| Problematic::not_found("request"))
}

/// Whoever may not see a request is told that there is none.
async fn visible(hub: &Shared, caller: &Caller, id: &str) -> Answer<Request> {
    let request = find(hub, id).await?;
    let may = requests::may(hub, &caller.signed_in, &request).await?;
    let own = request.user == caller.signed_in.user.id;
    if own || may.decide || may.review || caller.sees_all() {
        return Ok(request);
    }
    Err(Problematic::not_found("request"))
}

async fn visible_view(hub: &Shared, caller: &Caller, request: Request) -> Answer<Option<RequestView>> {
    let may = requests::may(hub, &caller.signed_in, &request).await?;
    let own = request.user == caller.signed_in.user.id;
    if !(own || may.decide || may.review || caller.sees_all()) {
        return Ok(None);
    }
    let decisions = hub.store.decisions(request.id).await?;
    let decided = decisions.iter().any(|decision| decision.by == caller.signed_in.user.id);
    let pending = request.state == RequestState::Pending;
    Ok(Some(RequestView {
        id: request.id,
        kind: match request.kind {
            RequestKind::Access => Kind::Access,
            RequestKind::BreakGlass => Kind::BreakGlass,
        },
        state: match request.state {
            RequestState::Pending => ViewState::Pending,
            RequestState::Approved => ViewState::Approved,
            RequestState::Denied => ViewState::Denied,
            RequestState::Expired => ViewState::Expired,
            RequestState::Ended => ViewState::Ended,
        },
        may_decide: may.decide && pending && !decided,
        may_review: may.review && request.review.is_none(),
        person: request.user_name,
        connection: request.connection_name,
        rule: request.rule,
        target_user: request.become_user,
        reason: request.reason,
        incident: request.incident,
        duration_seconds: request.duration_seconds,
        needed: request.needed,
        decisions: decisions
            .into_iter()
            .map(|word| DecisionView {
                by: word.by_name,
                approves: word.approves,
                note: word.note,
                at: word.at,
            })
            .collect(),
        created_at: request.created_at,
        decide_until: request.decide_until,
        ends_at: request.ends_at,
        ended_at: request.ended_at,
        end_reason: request.end_reason,
        extended_by: request.extended_by,
        review: request.review.map(|review| ReviewView {
            by: review.by_name,
            at: review.at,
            finding: review.finding,
        }),
    }))
}

async fn answer(hub: &Shared, caller: &Caller, request: Request) -> Answer<Json<RequestView>> {
    let view = visible_view(hub, caller, request).await?;
    Ok(Json(view.ok_or_else(|| Problematic::not_found("request"))?))
}

pub(super) async fn ask(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    Json(new): Json<NewRequest>,
) -> Answer<Json<RequestView>> {
    let who = by(caller.clone(), address);
    let wanted = Duration::from_secs(new.duration_seconds);
    let request = requests::ask(&hub, &who, &new.connection, wanted, &new.reason).await?;
    answer(&hub, &caller, request).await
}

pub(super) async fn break_glass(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    Json(new): Json<BreakGlass>,
) -> Answer<Json<RequestView>> {
    let who = by(caller.clone(), address);
    let request = requests::break_glass(&hub, &who, &new.connection, &new.reason, &new.incident).await?;
    answer(&hub, &caller, request).await
}

pub(super) async fn approve(
    state: State<Shared>,
    caller: SignedInCaller,
    from: From,
    id: Path<String>,
    word: Json<Word>,
) -> Answer<Json<RequestView>> {
    decide(state, caller, from, id, word, true).await
}

pub(super) async fn deny(
    state: State<Shared>,
    caller: SignedInCaller,
    from: From,
    id: Path<String>,
    word: Json<Word>,
) -> Answer<Json<RequestView>> {
    decide(state, caller, from, id, word, false).await
}

async fn decide(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    Path(id): Path<String>,
    Json(word): Json<Word>,
    approves: bool,
) -> Answer<Json<RequestView>> {
    let request = visible(&hub, &caller, &id).await?;
    let decided = requests::decide(&hub, &by(caller.clone(), address), &request, approves, word.note).await?;
    answer(&hub, &caller, decided).await
}

pub(super) async fn end(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    Path(id): Path<String>,
    Json(end): Json<EndRequest>,
) -> Answer<Json<RequestView>> {
    let request = visible(&hub, &caller, &id).await?;
    let ended = requests::end(&hub, &by(caller.clone(), address), &request, end.reason).await?;
    answer(&hub, &caller, ended).await
}

pub(super) async fn extend(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    Path(id): Path<String>,
    Json(extend): Json<Extend>,
) -> Answer<Json<RequestView>> {
    let request = visible(&hub, &caller, &id).await?;
    let by_time = Duration::from_secs(extend.seconds);
    let extended = requests::extend(&hub, &by(caller.clone(), address), &request, by_time).await?;
    answer(&hub, &caller, extended).await
}

pub(super) async fn review(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    From(address): From,
    Path(id): Path<String>,
    Json(finding): Json<ReviewFinding>,
) -> Answer<Json<RequestView>> {
    let request = visible(&hub, &caller, &id).await?;
    let reviewed = requests::review(&hub, &by(caller.clone(), address), &request, finding.finding).await?;
    answer(&hub, &caller, reviewed).await
}

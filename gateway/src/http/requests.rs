//! Requests and emergencies over HTTP.

use std::time::Duration;

use axum::{
    extract::{FromRequestParts, Path, Query, State},
    http::request::Parts,
};
use hoop_api::{
    Page,
    requests::{
        BreakGlass, DecisionView, EndRequest, Extend, NewRequest, RequestKind as Kind,
        RequestState as ViewState, RequestView, ReviewFinding, ReviewView, Word,
    },
};
use hoop_model::{ConnectionName, RequestId, UserName};
use hoop_store::{Decision, Request, RequestFilter, RequestKind, RequestState, SignedIn};
use serde::Deserialize;
use utoipa::openapi::Type;

use super::{
    body::Json,
    caller::{From, SignedInCaller},
    problem::{Answer, Problematic},
    table::{Endpoint, Who},
};
use crate::{
    hub::Shared,
    requests::{self, By, Concerned, May, statements},
    rules::InForce,
};

const MOST: u32 = 200;

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let filter = [
        ("mine", Type::Boolean),
        ("state", Type::String),
        ("kind", Type::String),
        ("person", Type::String),
        ("connection", Type::String),
        ("unreviewed", Type::Boolean),
        ("after", Type::String),
        ("limit", Type::Integer),
    ];
    vec![
        Endpoint::get("/requests", Who::SignedIn, "Requests: one's own, those one may decide.", list)
            .query(&filter)
            .answers_page::<RequestView>()
            .in_emergency(),
        Endpoint::post("/requests", Who::Proven, "Asks for access that others approve.", ask)
            .takes::<NewRequest>()
            .answers::<RequestView>(),
        Endpoint::post("/break-glass", Who::Proven, "Opens an emergency.", break_glass)
            .takes::<BreakGlass>()
            .answers::<RequestView>()
            .fresh()
            .in_emergency(),
        Endpoint::get("/requests/{id}", Who::SignedIn, "One of them.", show)
            .answers::<RequestView>()
            .in_emergency(),
        Endpoint::post("/requests/{id}/approve", Who::Proven, "Says yes.", approve)
            .takes::<Word>()
            .answers::<RequestView>()
            .fresh(),
        Endpoint::post("/requests/{id}/deny", Who::Proven, "Says no.", deny)
            .takes::<Word>()
            .answers::<RequestView>()
            .fresh(),
        Endpoint::post("/requests/{id}/end", Who::Proven, "Withdraws or revokes.", end)
            .takes::<EndRequest>()
            .answers::<RequestView>()
            .in_emergency(),
        Endpoint::post("/requests/{id}/extend", Who::Proven, "Lets an emergency go on.", extend)
            .takes::<Extend>()
            .answers::<RequestView>()
            .fresh(),
        Endpoint::post("/requests/{id}/review", Who::Proven, "Closes its review.", review)
            .takes::<ReviewFinding>()
            .answers::<RequestView>()
            .fresh(),
    ]
}

/// Who may see the request of the path. Others are told that there is none.
impl FromRequestParts<Shared> for Concerned {
    type Rejection = Problematic;
    async fn from_request_parts(parts: &mut Parts, hub: &Shared) -> Answer<Self> {
        let by = By::from_request_parts(parts, hub).await?;
        let id = Path::<RequestId>::from_request_parts(parts, hub).await;
        let Path(id) = id.map_err(|_| Problematic::not_found("request"))?;
        Self::find(hub, by, id).await?.ok_or_else(|| Problematic::not_found("request"))
    }
}

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problematic;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let SignedInCaller(caller) = SignedInCaller::from_request_parts(parts, state).await?;
        let From(address) = From::from_request_parts(parts, state).await?;
        Ok(Self { caller: caller.signed_in, actor: caller.actor, address })
    }
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
    person: Option<UserName>,
    connection: Option<ConnectionName>,
    after: Option<RequestId>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
    Query(which): Query<Which>,
) -> Answer<Json<Page<RequestView>>> {
    let in_force = hub.rules.in_force(&hub.store).await?;
    let filter = RequestFilter {
        user_name: which.person,
        connection: which.connection,
        seen_by: requests::seen_by(&in_force, &caller.signed_in),
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
        items.extend(seen(&hub, &in_force, &caller.signed_in, request).await?);
    }
    Ok(Json(Page { items, next: page.next.map(|id| id.to_string()) }))
}

/// The request as somebody sees it, if they do.
async fn seen(
    hub: &Shared,
    in_force: &InForce,
    caller: &SignedIn,
    request: Request,
) -> Answer<Option<RequestView>> {
    let words = hub.store.decisions(request.asked.id).await?;
    let may = May::of(in_force, caller, &request, &words);
    may.see.then(|| view(hub, caller, request, words, may)).transpose()
}

fn view(
    hub: &Shared,
    caller: &SignedIn,
    request: Request,
    words: Vec<Decision>,
    may: May,
) -> Answer<RequestView> {
    let decided = words.iter().any(|word| word.by == caller.user.id);
    let pending = request.state == RequestState::Pending;
    let asked = request.asked;
    let statement = statements::open(hub, &asked)?;
    Ok(RequestView {
        id: asked.id,
        kind: match asked.kind {
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
        person: asked.user_name,
        connection: asked.connection_name,
        rule: asked.rule,
        statement_rule: asked.statement.and_then(|statement| statement.rule),
        target_user: asked.become_user,
        reason: asked.reason,
        statement,
        incident: asked.incident,
        duration_seconds: asked.duration_seconds,
        needed: asked.needed,
        decisions: words
            .into_iter()
            .map(|word| DecisionView {
                by: word.by_name,
                approves: word.approves,
                note: word.note,
                at: word.at,
            })
            .collect(),
        created_at: asked.created_at,
        decide_until: asked.decide_until,
        ends_at: request.ends_at,
        ended_at: request.ended_at,
        end_reason: request.end_reason,
        extended_by: request.extended_by,
        review: request.review.map(|review| ReviewView {
            by: review.by_name,
            at: review.at,
            finding: review.finding,
        }),
    })
}

/// The request as it is now, for whoever changed it.
async fn answer(hub: &Shared, by: &By, request: Request) -> Answer<Json<RequestView>> {
    let in_force = hub.rules.in_force(&hub.store).await?;
    let seen = seen(hub, &in_force, &by.caller, request).await?;
    seen.map(Json).ok_or_else(|| Problematic::not_found("request"))
}

pub(super) async fn show(State(hub): State<Shared>, on: Concerned) -> Answer<Json<RequestView>> {
    let Concerned { by, request, words, may } = on;
    view(&hub, &by.caller, request, words, may).map(Json)
}

pub(super) async fn ask(
    State(hub): State<Shared>,
    by: By,
    Json(new): Json<NewRequest>,
) -> Answer<Json<RequestView>> {
    let request = requests::ask(&hub, &by, &new).await?;
    answer(&hub, &by, request).await
}

pub(super) async fn break_glass(
    State(hub): State<Shared>,
    by: By,
    Json(new): Json<BreakGlass>,
) -> Answer<Json<RequestView>> {
    let request = requests::break_glass(&hub, &by, &new.connection, &new.reason, &new.incident).await?;
    answer(&hub, &by, request).await
}

pub(super) async fn approve(
    State(hub): State<Shared>,
    on: Concerned,
    Json(word): Json<Word>,
) -> Answer<Json<RequestView>> {
    answer(&hub, &on.by, requests::decide(&hub, &on, true, word.note).await?).await
}

pub(super) async fn deny(
    State(hub): State<Shared>,
    on: Concerned,
    Json(word): Json<Word>,
) -> Answer<Json<RequestView>> {
    answer(&hub, &on.by, requests::decide(&hub, &on, false, word.note).await?).await
}

pub(super) async fn end(
    State(hub): State<Shared>,
    on: Concerned,
    Json(end): Json<EndRequest>,
) -> Answer<Json<RequestView>> {
    answer(&hub, &on.by, requests::end(&hub, &on, end.reason).await?).await
}

pub(super) async fn extend(
    State(hub): State<Shared>,
    on: Concerned,
    Json(extend): Json<Extend>,
) -> Answer<Json<RequestView>> {
    let by_time = Duration::from_secs(extend.seconds);
    answer(&hub, &on.by, requests::extend(&hub, &on, by_time).await?).await
}

pub(super) async fn review(
    State(hub): State<Shared>,
    on: Concerned,
    Json(finding): Json<ReviewFinding>,
) -> Answer<Json<RequestView>> {
    answer(&hub, &on.by, requests::review(&hub, &on, finding.finding).await?).await
}

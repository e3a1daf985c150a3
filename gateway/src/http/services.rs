//! Service accounts and their API tokens, as admins manage them. What a token opens stands in the table of endpoints.

use std::time::Duration;

use axum::{
    extract::{Path, State},
    http::{Method, StatusCode},
};
use hoop_api::{
    Page,
    services::{
        ApiTokenMade, ApiTokenView, NewApiToken, NewServiceAccount, ServiceAccountChange, ServiceAccountView,
    },
};
use hoop_identity::token::Kind;
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, Fault, Role, TokenId, TokenScope, UserId, UserName};
use hoop_store::{ApiToken, Conflict, ServiceAccount, StoreError, User};
use serde_json::json;

use super::{
    body::{self, Json},
    caller::{Admin, Evidence, From},
    problem::{Answer, Problematic},
    table::{Endpoint, Who},
    tokens,
};
use crate::{
    hub::{Hub, Shared, event, now},
    jobs,
};

const LONGEST_LIFE: u64 = 366 * 24 * 3600;
/// Good tokens of one account: enough to exchange them one after another, too few to lose sight of.
const MOST_TOKENS: u64 = 20;

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    const ALL: &str = "/service-accounts";
    const ONE: &str = "/service-accounts/{name}";
    const TOKENS: &str = "/service-accounts/{name}/tokens";
    const TOKEN: &str = "/service-accounts/{name}/tokens/{id}";
    vec![
        Endpoint::get(ALL, Who::Evidence, "Service accounts.", list).answers_page::<ServiceAccountView>(),
        Endpoint::post(ALL, Who::Admin, "Makes one.", add)
            .takes::<NewServiceAccount>()
            .answers::<ServiceAccountView>()
            .fresh(),
        Endpoint::new(Method::PATCH, ONE, Who::Admin, "Locks or unlocks one.", change)
            .takes::<ServiceAccountChange>()
            .answers::<ServiceAccountView>()
            .fresh(),
        Endpoint::new(Method::DELETE, ONE, Who::Admin, "Removes one.", remove).answers_nothing().fresh(),
        Endpoint::get(TOKENS, Who::Evidence, "Its API tokens.", tokens_of).answers_page::<ApiTokenView>(),
        Endpoint::post(TOKENS, Who::Admin, "Makes an API token, shown once.", make_token)
            .takes::<NewApiToken>()
            .answers::<ApiTokenMade>()
            .fresh(),
        Endpoint::new(Method::DELETE, TOKENS, Who::Admin, "Revokes all of them.", revoke_all)
            .answers_nothing()
            .fresh(),
        Endpoint::new(Method::DELETE, TOKEN, Who::Admin, "Revokes one.", revoke).answers_nothing().fresh(),
    ]
}

async fn account(hub: &Hub, name: &UserName) -> Answer<User> {
    Ok(hub.store.service_account(name).await?.ok_or(StoreError::NotFound("service account"))?)
}

fn view(account: ServiceAccount) -> ServiceAccountView {
    let ServiceAccount { user, tokens, used_at } = account;
    ServiceAccountView { id: user.id, name: user.name, role: user.role, locked: user.locked, tokens, used_at }
}

fn fresh_view(user: User) -> ServiceAccountView {
    view(ServiceAccount { user, tokens: 0, used_at: None })
}

fn token_view(token: ApiToken) -> ApiTokenView {
    ApiTokenView {
        good: token.revoked_at.is_none() && token.expires_at > now(),
        id: token.id,
        name: token.name,
        scope: token.scope,
        made_by: token.made_by,
        created_at: token.created_at,
        expires_at: token.expires_at,
        used_at: token.used_at,
        revoked_at: token.revoked_at,
    }
}

/// `GET /service-accounts`.
async fn list(State(hub): State<Shared>, _: Evidence) -> Answer<Json<Page<ServiceAccountView>>> {
    let accounts = hub.store.service_accounts(now()).await?;
    Ok(Json(Page { items: accounts.into_iter().map(view).collect(), next: None }))
}

/// `POST /service-accounts`.
async fn add(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Json(request): Json<NewServiceAccount>,
) -> Answer<Json<ServiceAccountView>> {
    if !matches!(request.role, Role::User | Role::Auditor) {
        return Err(Problematic::forbidden("HOOP-3051", "a service account is a user or an auditor"));
    }
    let new = hoop_store::NewServiceAccount {
        id: UserId::generate(),
        name: request.name,
        role: request.role,
        created_at: now(),
    };
    let facts = json!({ "name": new.name, "role": new.role, "source": "service" });
    let told = event(&caller.actor, EventCode::UserCreated, [new.id.into()], facts);
    Ok(Json(fresh_view(hub.store.create_service_account(&new, &[told]).await?)))
}

/// `PATCH /service-accounts/{name}`.
async fn change(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
    Json(change): Json<ServiceAccountChange>,
) -> Answer<Json<ServiceAccountView>> {
    let known = account(&hub, &name).await?;
    let facts = json!({ "locked": change.locked, "before": { "locked": known.locked } });
    let told = event(&caller.actor, EventCode::UserLocked, [known.id.into()], facts);
    let wanted = hoop_store::UserChange { locked: Some(change.locked), ..hoop_store::UserChange::default() };
    let task = hub.clone();
    let changed =
        jobs::change(
            &hub,
            async move { Ok(task.store.change_user(known.id, &wanted, now(), &[told]).await?) },
        );
    Ok(Json(fresh_view(changed.await?)))
}

/// `DELETE /service-accounts/{name}`.
async fn remove(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
) -> Answer<StatusCode> {
    let known = account(&hub, &name).await?;
    let told = event(&caller.actor, EventCode::UserRemoved, [known.id.into()], json!({ "name": known.name }));
    let task = hub.clone();
    let removing = async move { Ok(task.store.remove_service_account(known.id, now(), &[told]).await?) };
    jobs::change(&hub, removing).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /service-accounts/{name}/tokens`.
async fn tokens_of(
    State(hub): State<Shared>,
    _: Evidence,
    Path(name): Path<UserName>,
) -> Answer<Json<Page<ApiTokenView>>> {
    let known = account(&hub, &name).await?;
    let items = hub.store.api_tokens(known.id).await?.into_iter().map(token_view).collect();
    Ok(Json(Page { items, next: None }))
}

/// `POST /service-accounts/{name}/tokens`.
async fn make_token(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    From(address): From,
    Path(name): Path<UserName>,
    Json(request): Json<NewApiToken>,
) -> Answer<Json<ApiTokenMade>> {
    let known = account(&hub, &name).await?;
    check(&request, known.role)?;
    let (at, token) = (now(), tokens::fresh(Kind::Api)?);
    let new = hoop_store::NewApiToken {
        id: TokenId::generate(),
        account: known.id,
        name: request.name,
        scope: request.scope,
        hash: token.hash(),
        made_by: caller.signed_in.user.name.clone(),
        address: address.to_string(),
        created_at: at,
        expires_at: at.after(Duration::from_secs(request.ttl_seconds)),
    };
    let facts = json!({
        "account": known.name, "name": new.name, "scope": new.scope, "expires_at": new.expires_at,
    });
    let told = event(&caller.actor, EventCode::ApiTokenCreated, [known.id.into(), new.id.into()], facts);
    let kept = hub.store.create_api_token(&new, MOST_TOKENS, &[told]).await.map_err(|error| match error {
        StoreError::Conflict(Conflict::TooMany) => {
            let message = format!("this account has {MOST_TOKENS} good tokens, and may have no more");
            Problematic::conflict(message).hint("revoke those that nobody uses: `hoop admin tokens ls`")
        }
        other => other.into(),
    })?;
    Ok(Json(ApiTokenMade { token: token.secret().expose().clone(), view: token_view(kept) }))
}

fn check(request: &NewApiToken, role: Role) -> Answer<()> {
    body::line("name", &request.name)?;
    if request.ttl_seconds == 0 || request.ttl_seconds > LONGEST_LIFE {
        return Err(Problematic::bad_request("ttl_seconds must be between 1 and 31622400 (366 days)"));
    }
    if request.scope == TokenScope::EvidenceRead && role != Role::Auditor {
        let fault = Fault::new(
            "HOOP-3052",
            Blame::Policy,
            "only an auditor's token can have the scope evidence:read",
        );
        return Err(fault.with_hint("make a service account with the role auditor").into());
    }
    Ok(())
}

/// `DELETE /service-accounts/{name}/tokens/{id}`.
async fn revoke(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path((name, id)): Path<(UserName, String)>,
) -> Answer<StatusCode> {
    let known = account(&hub, &name).await?;
    let id: TokenId = id.parse().map_err(|_| Problematic::not_found("API token"))?;
    let facts = json!({ "account": known.name });
    let told = event(&caller.actor, EventCode::TokenRevoked, [known.id.into(), id.into()], facts);
    let (task, login) = (hub.clone(), ApiToken::login_of(id));
    let revoking = async move {
        match task.store.revoke_login(login, Some(known.id), now(), &[told]).await {
            Err(StoreError::NotFound(_)) => Err(Problematic::not_found("API token")),
            other => Ok(other?),
        }
    };
    jobs::change(&hub, revoking).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /service-accounts/{name}/tokens`.
async fn revoke_all(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
) -> Answer<StatusCode> {
    let known = account(&hub, &name).await?;
    let facts = json!({ "account": known.name, "all": true });
    let told = event(&caller.actor, EventCode::TokenRevoked, [known.id.into()], facts);
    let task = hub.clone();
    let revoking = async move { Ok(task.store.revoke_logins_of(known.id, now(), &[told]).await?) };
    jobs::change(&hub, revoking).await?;
    Ok(StatusCode::NO_CONTENT)
}

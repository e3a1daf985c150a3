//! People: built-in accounts, roles, groups, locks, sign-ins, and which accounts are the same person's.
//!
//! Nobody changes, resets, raises or unlinks an account of their own person, whichever of their accounts they use for it
//! (THREATS A16).

use std::collections::BTreeMap;

use axum::{
    extract::{Path, Query, State},
    http::{Method, StatusCode},
};
use hoop_api::{
    Page,
    auth::LoginView,
    manage::{ConnectionDefinition, LinkAccount, NewUser, NewUserCreated, UserChange, UserView},
};
use hoop_identity::token::{Kind, Token};
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, ConnectionName, Fault, PersonId, UserId, UserName};
use hoop_policy::rules::{AccessPolicy, ConnectionFacts};
use hoop_store::{Conflict, StoreError, User, UserSource};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::{Admin, Caller, Evidence},
    devices,
    problem::{Answer, Problematic},
    table::{Endpoint, Who},
    tokens,
};
use crate::{
    hub::{Hub, Shared, event, now},
    jobs, sessions,
};

const SETUP_LIFE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    const ALL: &str = "/users";
    const ONE: &str = "/users/{name}";
    const LINK: &str = "/users/{name}/link";
    const LOGINS: &str = "/users/{name}/logins";
    vec![
        Endpoint::get(ALL, Who::Evidence, "People.", users).query(&super::LIST).answers_page::<UserView>(),
        Endpoint::post(ALL, Who::Admin, "Makes a built-in account.", add_user)
            .takes::<NewUser>()
            .answers::<NewUserCreated>()
            .fresh(),
        Endpoint::get(ONE, Who::Evidence, "One of them.", user).answers::<UserView>(),
        Endpoint::new(Method::PATCH, ONE, Who::Admin, "Changes a person.", change_user)
            .takes::<UserChange>()
            .answers::<UserView>()
            .fresh(),
        Endpoint::post("/users/{name}/reset", Who::Admin, "Opens set-up again.", reset_user)
            .answers::<NewUserCreated>()
            .fresh(),
        Endpoint::post(LINK, Who::Admin, "Says that another account is the same person's.", link)
            .takes::<LinkAccount>()
            .answers::<UserView>()
            .fresh(),
        Endpoint::new(Method::DELETE, LINK, Who::Admin, "Says that it is nobody's second one.", unlink)
            .answers_nothing()
            .fresh(),
        Endpoint::get(LOGINS, Who::Admin, "Somebody's sign-ins.", logins).answers_page::<LoginView>(),
        Endpoint::new(Method::DELETE, LOGINS, Who::Admin, "Signs them out everywhere.", end_logins)
            .answers_nothing(),
        Endpoint::new(Method::DELETE, "/users/{name}/logins/{id}", Who::Admin, "Ends one.", end_login)
            .answers_nothing(),
    ]
}

/// Query of the list of people.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichUsers {
    after: Option<UserName>,
    limit: Option<u32>,
}

async fn users(
    State(hub): State<Shared>,
    _: Evidence,
    Query(which): Query<WhichUsers>,
) -> Answer<Json<Page<UserView>>> {
    let page = hub.store.users(which.after.as_ref(), which.limit.unwrap_or(500).clamp(1, 500)).await?;
    let linked = hub.store.linked_accounts().await?;
    let items = page.items.iter().map(|user| user_view(user, &linked)).collect();
    Ok(Json(Page { items, next: page.next.map(|name| name.to_string()) }))
}

/// `GET /users/{name}`.
async fn user(State(hub): State<Shared>, _: Evidence, Path(name): Path<UserName>) -> Answer<Json<UserView>> {
    let user = known(&hub, &name).await?;
    view(&hub, &user).await.map(Json)
}

async fn known(hub: &Hub, name: &UserName) -> Answer<User> {
    Ok(hub.store.user_by_name(name).await?.ok_or(StoreError::NotFound("user"))?)
}

async fn view(hub: &Hub, user: &User) -> Answer<UserView> {
    Ok(user_view(user, &hub.store.linked_accounts().await?))
}

fn user_view(user: &User, linked: &BTreeMap<PersonId, Vec<UserName>>) -> UserView {
    let accounts = linked.get(&user.person).into_iter().flatten();
    UserView {
        other_accounts: accounts.filter(|name| **name != user.name).cloned().collect(),
        id: user.id,
        name: user.name.clone(),
        role: user.role,
        groups: user.groups.iter().map(ToString::to_string).collect(),
        source: match &user.source {
            UserSource::Builtin => "builtin".to_owned(),
            UserSource::Oidc { .. } => "oidc".to_owned(),
            UserSource::Service => "service".to_owned(),
        },
        locked: user.locked,
        active: user.is_active(),
        last_login_at: user.last_login_at,
    }
}

fn setup_url(hub: &Hub, token: &Token) -> String {
    // In the fragment: it reaches no server log and no referrer.
    format!("{}/setup#{}", hub.origin(), token.secret().expose())
}

async fn add_user(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Json(request): Json<NewUser>,
) -> Answer<Json<NewUserCreated>> {
    if request.groups.len() > 100 {
        return Err(Problematic::bad_request("a person may be in at most 100 groups"));
    }
    let (id, at, token) = (UserId::generate(), now(), tokens::fresh(Kind::SetUp)?);
    let new = hoop_store::NewUser {
        id,
        name: request.name.clone(),
        role: request.role,
        groups: request.groups.clone(),
        setup_token_hash: token.hash(),
        setup_expires_at: at.after(SETUP_LIFE),
        created_at: at,
    };
    let facts =
        json!({ "name": request.name, "role": request.role, "groups": request.groups, "source": "builtin" });
    let told = event(&caller.actor, EventCode::UserCreated, [id.into()], facts);
    let user = hub.store.create_user(&new, &[told]).await?;
    Ok(Json(NewUserCreated { user: view(&hub, &user).await?, setup_url: setup_url(&hub, &token) }))
}

async fn change_user(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
    Json(change): Json<UserChange>,
) -> Answer<Json<UserView>> {
    let user = known(&hub, &name).await?;
    another(&caller, &user, "nobody may change their own role, groups or lock")?;
    if change.groups.as_ref().is_some_and(|groups| groups.len() > 100) {
        return Err(Problematic::bad_request("a person may be in at most 100 groups"));
    }
    let facts = json!({
        "role": change.role, "groups": change.groups, "locked": change.locked,
        "before": { "role": user.role, "groups": user.groups, "locked": user.locked },
    });
    let code = if change.locked.is_some_and(|locked| locked != user.locked) {
        EventCode::UserLocked
    } else {
        EventCode::UserChanged
    };
    let told = event(&caller.actor, code, [user.id.into()], facts);
    let wanted = hoop_store::UserChange { role: change.role, groups: change.groups, locked: change.locked };
    let task = hub.clone();
    let changed = jobs::change(&hub, async move {
        let changed = task.store.change_user(user.id, &wanted, now(), &[told]).await?;
        if changed.locked {
            let fault = Fault::new("HOOP-2002", Blame::Policy, "this account is locked")
                .with_hint("ask an admin to unlock it");
            sessions::end_of_user(&task, changed.id, &caller.actor, &fault).await?;
        }
        Ok(changed)
    });
    view(&hub, &changed.await?).await.map(Json)
}

async fn reset_user(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
) -> Answer<Json<NewUserCreated>> {
    let user = known(&hub, &name).await?;
    another(&caller, &user, "nobody may reset their own account")?;
    let (at, token) = (now(), tokens::fresh(Kind::SetUp)?);
    let told = event(&caller.actor, EventCode::UserChanged, [user.id.into()], json!({ "reset": true }));
    let hash = token.hash();
    let user = hub.store.reset_user(user.id, &hash, at.after(SETUP_LIFE), at, &[told]).await?;
    Ok(Json(NewUserCreated { user: view(&hub, &user).await?, setup_url: setup_url(&hub, &token) }))
}

// --- several accounts of one person

fn own(what: &str) -> Problematic {
    Problematic::forbidden("HOOP-3006", what.to_owned()).hint("ask another admin")
}

/// Whether it is somebody else's account.
fn another(caller: &Caller, user: &User, what: &str) -> Answer<()> {
    if user.person == caller.signed_in.user.person { Err(own(what)) } else { Ok(()) }
}

/// `POST /users/{name}/link`: makes rights fewer, never more, and so may be done to one's own accounts too.
async fn link(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
    Json(LinkAccount { account }): Json<LinkAccount>,
) -> Answer<Json<UserView>> {
    let (one, other) = (known(&hub, &name).await?, known(&hub, &account).await?);
    if one.id == other.id {
        return Err(Problematic::bad_request("name two different accounts"));
    }
    let facts = json!({ "accounts": [one.name, other.name] });
    let told = event(&caller.actor, EventCode::UserLinked, [one.id.into(), other.id.into()], facts);
    let task = hub.clone();
    // What they approved for themself is void from now on.
    let linked = jobs::change(&hub, async move {
        match task.store.link_accounts(one.id, other.id, &[told]).await {
            Err(StoreError::Conflict(Conflict::TooMany)) => {
                Err(Problematic::bad_request("these would be too many accounts of one person"))
            }
            other => Ok(other?),
        }
    });
    view(&hub, &linked.await?).await.map(Json)
}

/// `DELETE /users/{name}/link`.
async fn unlink(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
) -> Answer<StatusCode> {
    let user = known(&hub, &name).await?;
    another(&caller, &user, "nobody may unlink an account of their own")?;
    let others = hub.store.other_accounts(&user).await?;
    let names: Vec<_> = others.iter().map(|other| &other.name).collect();
    let facts = json!({ "account": user.name, "from": names });
    let subjects = std::iter::once(&user).chain(&others).map(|user| user.id.into());
    let told = event(&caller.actor, EventCode::UserUnlinked, subjects, facts);
    match hub.store.unlink_account(user.id, &[told]).await {
        Err(StoreError::Conflict(Conflict::Changed)) => {
            Err(Problematic::conflict("this account is linked with no other"))
        }
        other => other.map(|_| StatusCode::NO_CONTENT).map_err(Into::into),
    }
}

/// A connection that another account of one's own reaches is made and changed by somebody else: it could lead anywhere.
pub(super) async fn not_for_oneself(
    hub: &Shared,
    caller: &Caller,
    name: &ConnectionName,
    definition: &ConnectionDefinition,
) -> Answer<()> {
    let in_force = hub.rules.in_force(&hub.store).await?;
    let facts = ConnectionFacts { name: name.clone(), labels: definition.labels.clone() };
    for other in hub.store.other_accounts(&caller.signed_in.user).await? {
        if in_force.policy.what_can_reach(&in_force.person(&other, None), [&facts]).next().is_some() {
            return Err(own("nobody may make or change a connection that another account of theirs reaches"));
        }
    }
    Ok(())
}

/// Rules about another account of one's own are changed by somebody else, to and fro.
pub(super) async fn rules_not_for_oneself(
    hub: &Shared,
    caller: &Caller,
    (before, wanted): (&AccessPolicy, &AccessPolicy),
) -> Answer<()> {
    let in_force = hub.rules.in_force(&hub.store).await?;
    for other in hub.store.other_accounts(&caller.signed_in.user).await? {
        let person = in_force.person(&other, None);
        if before.about(&person) != wanted.about(&person) {
            return Err(own("nobody may change the rules about another account of theirs"));
        }
    }
    Ok(())
}

// --- sign-ins

async fn logins(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
) -> Answer<Json<Page<LoginView>>> {
    devices::list_of(&hub, &caller, known(&hub, &name).await?.id).await
}

async fn end_logins(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(name): Path<UserName>,
) -> Answer<StatusCode> {
    let user = known(&hub, &name).await?.id;
    devices::end_all_of(&hub, caller, user).await
}

async fn end_login(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path((name, id)): Path<(UserName, String)>,
) -> Answer<StatusCode> {
    let user = known(&hub, &name).await?.id;
    devices::end_one_of(&hub, &caller, user, &id).await
}

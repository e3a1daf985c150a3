//! Service accounts and API tokens.

use hoop_model::{AuthMethod, LoginId, Role, TokenId, TokenScope, UserId};
use hoop_store::{
    ApiToken, ClientKind, Conflict, NewApiToken, NewServiceAccount, Proof, Store, StoreError, TokenKind,
    User, UserChange, UserSource,
};

use crate::fixtures::*;

crate::cases![
    an_account_is_no_person,
    names_are_shared_with_people,
    nobody_makes_one_an_admin_or_puts_it_into_a_group,
    a_token_is_good_within_its_time,
    a_token_is_no_other_kind,
    a_token_is_revoked_alone_or_with_all,
    a_locked_account_has_no_token_and_gets_none,
    a_removed_account_is_gone_and_its_name_is_kept,
    tokens_are_bounded_also_for_those_who_race,
    a_person_gets_no_api_token,
    a_session_knows_its_sign_in,
];

fn new_account(text: &str) -> NewServiceAccount {
    NewServiceAccount { id: UserId::generate(), name: name(text), role: Role::User, created_at: NOW }
}

async fn account(store: &Store, text: &str) -> User {
    store.create_service_account(&new_account(text), &[]).await.unwrap()
}

fn new_token(account: &User, seed: &str) -> NewApiToken {
    NewApiToken {
        id: TokenId::generate(),
        account: account.id,
        name: "nightly".into(),
        scope: TokenScope::Connect,
        hash: hash(seed),
        made_by: name("root"),
        address: "127.0.0.1".into(),
        created_at: NOW,
        expires_at: later(3600),
    }
}

async fn is_good(store: &Store, token: &NewApiToken, seconds: u64) -> bool {
    store.login_by_token(TokenKind::Api, &token.hash, later(seconds)).await.unwrap().is_some()
}

async fn an_account_is_no_person(store: Store) {
    let ci = store.create_service_account(&new_account("CI"), &events(1)).await.unwrap();
    assert_eq!((ci.source.clone(), ci.is_active(), size(&store).await), (UserSource::Service, false, 1));
    assert_eq!(store.service_account(&name("ci")).await.unwrap(), Some(ci.clone()));
    assert_eq!(store.user(ci.id).await.unwrap(), Some(ci.clone()));
    // Wherever people are looked for, it is not found.
    assert_eq!(store.user_by_name(&name("ci")).await.unwrap(), None);
    assert_eq!((store.count_users().await.unwrap(), store.users(None, 9).await.unwrap().items.len()), (0, 0));
    not_found(store.reset_user(ci.id, &hash("x"), later(60), NOW, &[]).await);
    let login = new_login(ci.id);
    for proof in [Proof::factors(&ci, 11), Proof::Provider, Proof::Login(LoginId::generate())] {
        assert_eq!(conflict(store.create_login(&login, &[], &proof, &[]).await), Conflict::Revoked);
    }
    // And a person is no service account.
    user(&store, "ada").await;
    assert_eq!(store.service_account(&name("ada")).await.unwrap(), None);
    let listed = store.service_accounts(NOW).await.unwrap();
    assert_eq!(listed.iter().map(|one| (&one.user, one.tokens)).collect::<Vec<_>>(), [(&ci, 0)]);
}

async fn names_are_shared_with_people(store: Store) {
    user(&store, "ada").await;
    account(&store, "ci").await;
    assert_eq!(
        conflict(store.create_service_account(&new_account("ADA"), &events(1)).await),
        Conflict::NameTaken
    );
    assert_eq!(conflict(store.create_user(&new_user("Ci"), &events(1)).await), Conflict::NameTaken);
    assert_eq!(size(&store).await, 0);
}

async fn nobody_makes_one_an_admin_or_puts_it_into_a_group(store: Store) {
    let corrupt = |result: Result<User, StoreError>| assert!(matches!(result, Err(StoreError::Corrupt(_))));
    corrupt(
        store
            .create_service_account(&NewServiceAccount { role: Role::Admin, ..new_account("x") }, &events(1))
            .await,
    );
    let ci = account(&store, "ci").await;
    for change in [
        UserChange { role: Some(Role::Admin), ..UserChange::default() },
        UserChange { groups: Some(groups(&["dba"])), ..UserChange::default() },
    ] {
        corrupt(store.change_user(ci.id, &change, NOW, &events(1)).await);
    }
    assert_eq!(size(&store).await, 0);
}

async fn a_token_is_good_within_its_time(store: Store) {
    let ci = account(&store, "ci").await;
    let new = new_token(&ci, "t");
    let kept = store.create_api_token(&new, 9, &events(1)).await.unwrap();
    assert_eq!((kept.id, kept.scope, kept.used_at, size(&store).await), (new.id, new.scope, None, 1));
    let found = store.login_by_token(TokenKind::Api, &new.hash, NOW).await.unwrap().unwrap();
    assert_eq!(found.user, ci);
    assert_eq!(found.login.api_token(), Some((new.id, TokenScope::Connect)));
    assert_eq!((found.login.method, found.login.mfa), (AuthMethod::ApiToken, None));
    assert_eq!(found.login.client, ClientKind::Service);
    assert!(is_good(&store, &new, 3599).await && !is_good(&store, &new, 3600).await);
    // Its use is noted, and does not make it last longer.
    store.touch_login(found.login.id, later(600), found.login.idle_until).await.unwrap();
    assert_eq!(store.api_tokens(ci.id).await.unwrap()[0].used_at, Some(later(600)));
    assert_eq!(store.service_accounts(later(700)).await.unwrap()[0].used_at, Some(later(600)));
    assert!(!is_good(&store, &new, 3600).await);
    // A sweep leaves it in the list for a while, void.
    store.sweep(later(4000)).await.unwrap();
    assert_eq!(store.api_tokens(ci.id).await.unwrap().len(), 1);
    assert_eq!(store.service_accounts(later(4000)).await.unwrap()[0].tokens, 0);
}

async fn a_token_is_no_other_kind(store: Store) {
    let ci = account(&store, "ci").await;
    let new = new_token(&ci, "t");
    store.create_api_token(&new, 9, &[]).await.unwrap();
    for kind in [TokenKind::Access, TokenKind::Cookie, TokenKind::Refresh] {
        assert_eq!(store.login_by_token(kind, &new.hash, NOW).await.unwrap(), None);
    }
    let rotated = store.rotate_refresh(&new.hash, &[], NOW, later(60), |_| Vec::new()).await.unwrap();
    assert_eq!(rotated, hoop_store::Rotation::Refused);
    assert_eq!(store.api_tokens(user(&store, "ada").await.id).await.unwrap(), []);
}

async fn a_token_is_revoked_alone_or_with_all(store: Store) {
    let (ci, other) = (account(&store, "ci").await, account(&store, "etl").await);
    let tokens = ["a", "b", "c"].map(|seed| new_token(&ci, seed));
    for token in &tokens {
        store.create_api_token(token, 9, &[]).await.unwrap();
    }
    let foreign = new_token(&other, "d");
    store.create_api_token(&foreign, 9, &[]).await.unwrap();
    let login = ApiToken::login_of(tokens[0].id);
    not_found(store.revoke_login(login, Some(other.id), NOW, &events(1)).await);
    assert!(is_good(&store, &tokens[0], 1).await);
    assert!(store.revoke_login(login, Some(ci.id), NOW, &events(1)).await.unwrap());
    assert!(!store.revoke_login(login, Some(ci.id), NOW, &events(1)).await.unwrap());
    assert!(!is_good(&store, &tokens[0], 1).await && is_good(&store, &tokens[1], 1).await);
    assert_eq!(store.revoke_logins_of(ci.id, NOW, &events(1)).await.unwrap(), 2);
    assert!(!is_good(&store, &tokens[2], 1).await && is_good(&store, &foreign, 1).await);
    assert!(store.api_tokens(ci.id).await.unwrap().iter().all(|token| token.revoked_at == Some(NOW)));
    assert_eq!(size(&store).await, 2);
}

async fn a_locked_account_has_no_token_and_gets_none(store: Store) {
    let ci = account(&store, "ci").await;
    let new = new_token(&ci, "t");
    store.create_api_token(&new, 9, &[]).await.unwrap();
    let lock = |locked| UserChange { locked: Some(locked), ..UserChange::default() };
    store.change_user(ci.id, &lock(true), NOW, &[]).await.unwrap();
    assert!(!is_good(&store, &new, 1).await);
    let more = store.create_api_token(&new_token(&ci, "u"), 9, &events(1)).await;
    assert_eq!(conflict(more), Conflict::Locked);
    // Unlocking brings no token back: whoever had it may have been the reason.
    store.change_user(ci.id, &lock(false), NOW, &[]).await.unwrap();
    assert!(!is_good(&store, &new, 1).await);
    assert_eq!(size(&store).await, 0);
}

async fn a_removed_account_is_gone_and_its_name_is_kept(store: Store) {
    let ci = account(&store, "ci").await;
    let new = new_token(&ci, "t");
    store.create_api_token(&new, 9, &[]).await.unwrap();
    let person = user(&store, "ada").await;
    not_found(store.remove_service_account(person.id, NOW, &events(1)).await);
    store.remove_service_account(ci.id, NOW, &events(1)).await.unwrap();
    not_found(store.remove_service_account(ci.id, NOW, &events(1)).await);
    assert!(!is_good(&store, &new, 1).await);
    assert_eq!(store.service_account(&ci.name).await.unwrap(), None);
    assert_eq!(store.service_accounts(NOW).await.unwrap(), []);
    assert_eq!(conflict(store.create_api_token(&new_token(&ci, "u"), 9, &events(1)).await), Conflict::Locked);
    // Rules that name it must mean nobody else.
    assert_eq!(
        conflict(store.create_service_account(&new_account("Ci"), &events(1)).await),
        Conflict::NameTaken
    );
    assert_eq!(conflict(store.create_user(&new_user("ci"), &events(1)).await), Conflict::NameTaken);
    assert!(store.user(ci.id).await.unwrap().unwrap().locked);
    assert_eq!(size(&store).await, 1);
}

async fn tokens_are_bounded_also_for_those_who_race(store: Store) {
    let ci = account(&store, "ci").await;
    let made = race(6, |number| {
        let (store, token) = (store.clone(), new_token(&ci, &format!("t{number}")));
        async move { store.create_api_token(&token, 3, &[]).await.is_ok() }
    });
    assert_eq!(made.await.iter().filter(|made| **made).count(), 3);
    // Those whose time is over do not count.
    let late = NewApiToken { created_at: later(4000), expires_at: later(5000), ..new_token(&ci, "late") };
    assert!(store.create_api_token(&late, 3, &[]).await.is_ok());
}

async fn a_person_gets_no_api_token(store: Store) {
    let ada = user(&store, "ada").await;
    not_found(store.create_api_token(&new_token(&ada, "t"), 9, &events(1)).await);
    assert_eq!(size(&store).await, 0);
}

async fn a_session_knows_its_sign_in(store: Store) {
    let (ada, agent) = (user(&store, "ada").await, agent(&store, "east").await);
    let new = new_session(&ada, &agent, "pg");
    let kept = store.create_session(&new, 9, &[]).await.unwrap();
    assert_eq!(kept.login, new.login);
    assert_eq!(store.live_sessions().await.unwrap()[0].login, new.login);
}

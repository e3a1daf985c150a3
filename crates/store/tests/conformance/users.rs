//! People.

use std::time::Duration;

use hoop_model::{Redacted, Role, UserId};
use hoop_store::{Conflict, OidcUser, Proof, Store, UserChange, UserSource};

use crate::fixtures::*;

crate::cases![
    names_are_unique_whatever_the_case,
    an_admin_is_left_also_in_a_race,
    a_refused_change_appends_nothing,
    set_up_is_done_once,
    set_up_races_have_one_winner,
    set_up_needs_a_staged_second_factor_and_a_good_token,
    failures_lock_and_unlocking_clears,
    failures_at_once_are_all_counted,
    an_admins_change_is_seen,
    reset_voids_everything,
    a_password_is_rehashed_only_if_unchanged,
    a_person_of_a_provider_is_refreshed,
    a_name_of_another_identity_is_refused,
    people_are_listed_in_pages,
];

async fn names_are_unique_whatever_the_case(store: Store) {
    store.create_user(&new_user("Ada"), &events(1)).await.unwrap();
    assert_eq!(conflict(store.create_user(&new_user("aDA"), &[]).await), Conflict::NameTaken);
    let found = store.user_by_name(&name("ADA")).await.unwrap().unwrap();
    assert_eq!(found.name, name("Ada"));
    assert_eq!(store.user(found.id).await.unwrap(), Some(found));
    assert_eq!(store.user(UserId::generate()).await.unwrap(), None);
    assert_eq!(store.count_users().await.unwrap(), 1);
}

async fn a_refused_change_appends_nothing(store: Store) {
    store.create_user(&new_user("ada"), &events(1)).await.unwrap();
    conflict(store.create_user(&new_user("ada"), &events(2)).await);
    not_found(store.change_user(UserId::generate(), &UserChange::default(), NOW, &events(2)).await);
    assert_eq!(size(&store).await, 1);
}

async fn set_up_is_done_once(store: Store) {
    let new = new_user("ada");
    let made = store.create_user(&new, &[]).await.unwrap();
    assert!(!made.is_active());
    let token = new.setup_token_hash;
    assert_eq!(store.stage_totp(&token, b"first", NOW).await.unwrap(), b"first");
    assert_eq!(store.stage_totp(&token, b"second", NOW).await.unwrap(), b"first");
    let holder = store.user_by_setup_token(&token, NOW).await.unwrap().unwrap();
    assert_eq!(holder.pending_totp_sealed.as_deref(), Some(&b"first"[..]));
    let password = Redacted::new("hash".to_owned());
    let done = store.finish_setup(&token, &password, 5, NOW, &events(1)).await.unwrap();
    assert!(done.is_active());
    assert_eq!((done.totp_secret_sealed.as_deref(), done.totp_last_step), (Some(&b"first"[..]), Some(5)));
    not_found(store.finish_setup(&token, &password, 6, NOW, &events(1)).await);
    assert_eq!(store.user_by_setup_token(&token, NOW).await.unwrap(), None);
    assert_eq!(size(&store).await, 1);
}

async fn set_up_races_have_one_winner(store: Store) {
    let new = new_user("ada");
    store.create_user(&new, &[]).await.unwrap();
    store.stage_totp(&new.setup_token_hash, b"x", NOW).await.unwrap();
    let results = race(4, |n| {
        let (store, token) = (store.clone(), new.setup_token_hash);
        let password = Redacted::new(format!("hash{n}"));
        async move { store.finish_setup(&token, &password, 5, NOW, &events(1)).await.is_ok() }
    })
    .await;
    assert_eq!(results.iter().filter(|won| **won).count(), 1);
    assert_eq!(size(&store).await, 1);
}

async fn set_up_needs_a_staged_second_factor_and_a_good_token(store: Store) {
    let new = new_user("ada");
    store.create_user(&new, &[]).await.unwrap();
    let (token, password) = (new.setup_token_hash, Redacted::new("hash".to_owned()));
    not_found(store.finish_setup(&token, &password, 5, NOW, &[]).await);
    not_found(store.stage_totp(&hash("guess"), b"x", NOW).await);
    not_found(store.stage_totp(&token, b"x", later(60)).await);
    store.stage_totp(&token, b"x", NOW).await.unwrap();
    not_found(store.finish_setup(&token, &password, 5, later(60), &[]).await);
    store
        .change_user(new.id, &UserChange { locked: Some(true), ..Default::default() }, NOW, &[])
        .await
        .unwrap();
    not_found(store.finish_setup(&token, &password, 5, NOW, &[]).await);
}

fn lock_at_three(failures: u32) -> Option<Duration> {
    (failures >= 3).then_some(Duration::from_secs(60))
}

async fn failures_lock_and_unlocking_clears(store: Store) {
    let user = user(&store, "ada").await;
    for expected in 1..=2 {
        let attempt =
            store.record_failed_attempt(user.id, NOW, lock_at_three, &events(1), &events(1)).await.unwrap();
        assert_eq!((attempt.failures, attempt.locked_until), (expected, None));
    }
    let third =
        store.record_failed_attempt(user.id, NOW, lock_at_three, &events(1), &events(1)).await.unwrap();
    assert_eq!((third.failures, third.locked_until), (3, Some(later(60))));
    assert_eq!(size(&store).await, 4);
    let mut login = new_login(user.id);
    assert_eq!(
        conflict(store.create_login(&login, &[], &Proof::factors(&user, 11), &events(1)).await),
        Conflict::Locked
    );
    login.created_at = later(60);
    let signed_in = store.create_login(&login, &[], &Proof::factors(&user, 11), &events(1)).await.unwrap();
    assert_eq!((signed_in.user.failed_attempts, signed_in.user.locked_until), (0, None));
    not_found(store.record_failed_attempt(UserId::generate(), NOW, lock_at_three, &events(1), &[]).await);
    assert_eq!(size(&store).await, 5);
}

async fn failures_at_once_are_all_counted(store: Store) {
    let user = user(&store, "ada").await;
    let mut counts = race(8, |_| {
        let (store, id) = (store.clone(), user.id);
        async move { store.record_failed_attempt(id, NOW, lock_at_three, &[], &[]).await.unwrap().failures }
    })
    .await;
    counts.sort_unstable();
    assert_eq!(counts, (1..=8).collect::<Vec<_>>());
}

async fn an_admins_change_is_seen(store: Store) {
    let user = user(&store, "ada").await;
    let change = UserChange { role: Some(Role::Auditor), groups: Some(groups(&["a", "b c"])), locked: None };
    let changed = store.change_user(user.id, &change, NOW, &events(1)).await.unwrap();
    assert_eq!(
        (changed.role, changed.groups.clone(), changed.locked),
        (Role::Auditor, groups(&["a", "b c"]), false)
    );
    let same = store.change_user(user.id, &UserChange::default(), NOW, &[]).await.unwrap();
    assert_eq!(same, changed);
    store.record_failed_attempt(user.id, NOW, lock_at_three, &[], &[]).await.unwrap();
    let unlock = UserChange { locked: Some(false), ..Default::default() };
    assert_eq!(store.change_user(user.id, &unlock, NOW, &[]).await.unwrap().failed_attempts, 0);
}

async fn reset_voids_everything(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    store.create_login(&login, &[], &Proof::factors(&user, 11), &[]).await.unwrap();
    let reset = store.reset_user(user.id, &hash("again"), later(60), NOW, &events(1)).await.unwrap();
    assert!(!reset.is_active());
    assert_eq!(store.login(login.id).await.unwrap().unwrap().revoked_at, Some(NOW));
    assert!(store.user_by_setup_token(&hash("again"), NOW).await.unwrap().is_some());
}

async fn a_password_is_rehashed_only_if_unchanged(store: Store) {
    let user = user(&store, "ada").await;
    let (old, new) = (user.password_hash.clone().unwrap(), Redacted::new("new".to_owned()));
    store.rehash_password(user.id, &old, &new).await.unwrap();
    assert_eq!(conflict(store.rehash_password(user.id, &old, &new).await), Conflict::Changed);
}

fn oidc(subject: &str, text: &str) -> OidcUser {
    OidcUser {
        id: UserId::generate(),
        issuer: "https://idp.example".into(),
        subject: subject.into(),
        name: name(text),
        groups: groups(&["dba"]),
        role: None,
        at: NOW,
    }
}

async fn a_person_of_a_provider_is_refreshed(store: Store) {
    let made = store
        .upsert_oidc(&oidc("1", "ada"), |before, _| events(usize::from(before.is_none())))
        .await
        .unwrap();
    assert_eq!((made.role, made.is_active()), (Role::User, true));
    assert!(matches!(made.source, UserSource::Oidc { .. }));
    let fewer = OidcUser { groups: vec![], role: Some(Role::Admin), ..oidc("1", "Ada.L") };
    let again = store.upsert_oidc(&fewer, |before, _| events(usize::from(before.is_none()))).await.unwrap();
    assert_eq!((again.id, again.groups.len(), again.role), (made.id, 0, Role::Admin));
    let kept = store.upsert_oidc(&oidc("1", "Ada.L"), |_, _| vec![]).await.unwrap();
    assert_eq!(kept.role, Role::Admin);
    assert_eq!(store.user_by_identity("https://idp.example", "1").await.unwrap(), Some(kept));
    assert_eq!(size(&store).await, 1);
    not_found(store.reset_user(made.id, &hash("x"), later(1), NOW, &[]).await);
}

async fn a_name_of_another_identity_is_refused(store: Store) {
    user(&store, "ada").await;
    store.upsert_oidc(&oidc("1", "grace"), |_, _| vec![]).await.unwrap();
    for (subject, taken) in [("2", "ADA"), ("2", "Grace"), ("1", "ada")] {
        let refused = store.upsert_oidc(&oidc(subject, taken), |_, _| events(1)).await;
        assert_eq!(conflict(refused), Conflict::NameTaken, "{subject} as {taken}");
    }
    let other_issuer = OidcUser { issuer: "https://other.example".into(), ..oidc("1", "grace") };
    assert_eq!(conflict(store.upsert_oidc(&other_issuer, |_, _| events(1)).await), Conflict::NameTaken);
    assert_eq!((store.count_users().await.unwrap(), size(&store).await), (2, 0));
}

async fn people_are_listed_in_pages(store: Store) {
    for text in ["cy", "Ada", "bob", "a_z", "Zed"] {
        store.create_user(&new_user(text), &[]).await.unwrap();
    }
    let first = store.users(None, 2).await.unwrap();
    let second = store.users(first.next.as_ref(), 2).await.unwrap();
    let third = store.users(second.next.as_ref(), 2).await.unwrap();
    let all: Vec<_> = [first.items, second.items, third.items].concat();
    let names: Vec<_> = all.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["a_z", "Ada", "bob", "cy", "Zed"]);
    assert_eq!(third.next, None);
}

async fn an_admin_is_left_also_in_a_race(store: Store) {
    let (ada, bob) = (user(&store, "ada").await, user(&store, "bob").await);
    let role = |role| UserChange { role: Some(role), ..Default::default() };
    let lock = UserChange { locked: Some(true), ..Default::default() };
    for admin in [&ada, &bob] {
        store.change_user(admin.id, &role(Role::Admin), NOW, &[]).await.unwrap();
    }
    let changed = race(2, |number| {
        let (store, id, change) = (store.clone(), [ada.id, bob.id][number], lock.clone());
        async move { store.change_user(id, &change, NOW, &events(1)).await.is_ok() }
    })
    .await;
    assert_eq!(changed.iter().filter(|changed| **changed).count(), 1, "each locked the other");
    let (left, gone) = if changed[0] { (bob, ada) } else { (ada, bob) };
    for change in [lock, role(Role::User), role(Role::Auditor)] {
        assert_eq!(conflict(store.change_user(left.id, &change, NOW, &events(1)).await), Conflict::LastAdmin);
    }
    let unlock = UserChange { locked: Some(false), ..Default::default() };
    store.change_user(gone.id, &unlock, NOW, &[]).await.unwrap();
    store.change_user(left.id, &role(Role::User), NOW, &[]).await.unwrap();
}

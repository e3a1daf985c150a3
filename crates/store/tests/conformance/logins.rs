//! Sign-ins and tokens.

use hoop_model::{LoginId, UserId};
use hoop_store::{Conflict, Factor, NewToken, Proof, Rotation, Store, TokenKind, UserChange};

use crate::fixtures::*;

crate::cases![
    a_totp_step_is_accepted_once,
    a_totp_race_has_one_winner,
    a_proof_that_is_void_meanwhile_keeps_no_login,
    a_login_passed_on_needs_one_that_is_good,
    step_up_takes_a_step_too,
    step_up_in_another_sign_in_needs_one_of_the_same_person,
    a_recovery_code_is_good_once_and_for_its_owner,
    a_token_is_good_for_its_kind_and_time,
    a_locked_person_has_no_login,
    a_login_is_revoked_by_its_owner_alone,
    use_prolongs_a_login_but_not_past_its_end,
    a_refresh_token_rotates,
    a_refresh_token_used_twice_revokes,
    a_refresh_race_has_one_winner,
    a_void_refresh_token_is_refused,
    what_is_void_is_swept,
    ones_logins_are_listed,
];

async fn a_totp_step_is_accepted_once(store: Store) {
    let user = user(&store, "ada").await;
    for (step, good) in [(10, false), (11, true), (11, false), (9, false), (12, true)] {
        let result =
            store.create_login(&new_login(user.id), &[], &Proof::factors(&user, step), &events(1)).await;
        if good {
            assert_eq!(result.unwrap().user.totp_last_step, Some(step));
        } else {
            assert_eq!(conflict(result), Conflict::Used, "{step}");
        }
    }
    assert_eq!((size(&store).await, store.logins_of(user.id, NOW).await.unwrap().len()), (2, 2));
}

async fn a_totp_race_has_one_winner(store: Store) {
    let user = user(&store, "ada").await;
    let won = race(6, |_| {
        let (store, login, proof) = (store.clone(), new_login(user.id), Proof::factors(&user, 11));
        async move { store.create_login(&login, &[], &proof, &events(1)).await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(size(&store).await, 1);
}

async fn a_proof_that_is_void_meanwhile_keeps_no_login(store: Store) {
    let before = user(&store, "ada").await;
    let proof = Proof::factors(&before, 11);
    store.reset_user(before.id, &hash("again"), later(60), NOW, &[]).await.unwrap();
    let late = store.create_login(&new_login(before.id), &[], &proof, &events(1)).await;
    assert_eq!(conflict(late), Conflict::Revoked);
    // Set up anew, even with the same password: the code was of a secret that is not in force any more.
    store.stage_totp(&hash("again"), b"another", NOW).await.unwrap();
    let password = before.password_hash.clone().unwrap();
    let after = store.finish_setup(&hash("again"), &password, 10, NOW, &[]).await.unwrap();
    let late = store.create_login(&new_login(before.id), &[], &proof, &events(1)).await;
    assert_eq!(conflict(late), Conflict::Revoked);
    // Nor does a provider's word make a built-in account's sign-in.
    let late = store.create_login(&new_login(before.id), &[], &Proof::Provider, &events(1)).await;
    assert_eq!(conflict(late), Conflict::Revoked);
    assert_eq!((size(&store).await, store.logins_of(before.id, NOW).await.unwrap().len()), (0, 0));
    store.create_login(&new_login(after.id), &[], &Proof::factors(&after, 11), &[]).await.unwrap();
}

async fn a_login_passed_on_needs_one_that_is_good(store: Store) {
    let (ada, eve) = (user(&store, "ada").await, user(&store, "eve").await);
    let parent = new_login(ada.id);
    store.create_login(&parent, &[], &Proof::factors(&ada, 11), &[]).await.unwrap();
    let pass_on = |to, parent, at| {
        let (store, login) = (store.clone(), hoop_store::NewLogin { created_at: at, ..new_login(to) });
        async move { store.create_login(&login, &[], &Proof::Login(parent), &events(1)).await }
    };
    pass_on(ada.id, parent.id, later(599)).await.unwrap();
    // Another person's, an unknown one, one that is idle, one that is over.
    for (to, parent, at) in [
        (eve.id, parent.id, NOW),
        (ada.id, LoginId::generate(), NOW),
        (ada.id, parent.id, later(600)),
        (ada.id, parent.id, later(3600)),
    ] {
        assert_eq!(conflict(pass_on(to, parent, at).await), Conflict::Revoked, "{at}");
    }
    store.reset_user(ada.id, &hash("again"), later(60), NOW, &[]).await.unwrap();
    assert_eq!(conflict(pass_on(ada.id, parent.id, NOW).await), Conflict::Revoked);
    assert_eq!(size(&store).await, 1);
}

async fn step_up_takes_a_step_too(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    store.create_login(&login, &[], &Proof::factors(&user, 11), &[]).await.unwrap();
    let totp = |step| Factor::Totp { secret_sealed: b"sealed".to_vec(), step };
    let prove = |factor: Factor, at| {
        let store = store.clone();
        async move { store.prove_mfa(login.id, &factor, at, at, &events(1)).await }
    };
    let mfa_at = async || store.login(login.id).await.unwrap().unwrap().mfa.map(|mfa| mfa.at);
    assert_eq!(conflict(prove(totp(11), later(1)).await), Conflict::Used);
    let another = Factor::Totp { secret_sealed: b"another".to_vec(), step: 12 };
    assert_eq!(conflict(prove(another, later(1)).await), Conflict::Revoked);
    assert_eq!(conflict(prove(Factor::Provider, later(1)).await), Conflict::Revoked);
    assert_eq!(mfa_at().await, Some(NOW));
    prove(totp(12), later(1)).await.unwrap();
    assert_eq!(mfa_at().await, Some(later(1)));
    // A clock that was set back does not take a proof away.
    prove(totp(13), NOW).await.unwrap();
    assert_eq!(mfa_at().await, Some(later(1)));
    store.revoke_login(login.id, None, later(2), &[]).await.unwrap();
    assert_eq!(conflict(prove(totp(14), later(3)).await), Conflict::Revoked);
    assert_eq!(size(&store).await, 2);
}

async fn step_up_in_another_sign_in_needs_one_of_the_same_person(store: Store) {
    let (ada, eve) = (user(&store, "ada").await, user(&store, "eve").await);
    let (cli, browser, hers) = (new_login(ada.id), new_login(ada.id), new_login(eve.id));
    for (login, proof) in [
        (&cli, Proof::factors(&ada, 11)),
        (&browser, Proof::factors(&ada, 12)),
        (&hers, Proof::factors(&eve, 11)),
    ] {
        store.create_login(login, &[], &proof, &[]).await.unwrap();
    }
    let prove = |other, mfa_at| {
        let (store, cli) = (store.clone(), cli.id);
        async move { store.prove_mfa(cli, &Factor::Login(other), mfa_at, later(10), &events(1)).await }
    };
    for (other, mfa_at) in [(hers.id, NOW), (LoginId::generate(), NOW), (browser.id, later(1))] {
        assert_eq!(conflict(prove(other, mfa_at).await), Conflict::Revoked);
    }
    prove(browser.id, NOW).await.unwrap();
    store.revoke_login(browser.id, None, NOW, &[]).await.unwrap();
    assert_eq!(conflict(prove(browser.id, NOW).await), Conflict::Revoked);
    let lock = UserChange { locked: Some(true), ..UserChange::default() };
    store.change_user(ada.id, &lock, NOW, &[]).await.unwrap();
    assert_eq!(conflict(prove(cli.id, NOW).await), Conflict::Revoked);
    assert_eq!(size(&store).await, 1);
}

async fn a_recovery_code_is_good_once_and_for_its_owner(store: Store) {
    let (ada, eve) = (user(&store, "ada").await, user(&store, "eve").await);
    store.replace_recovery_codes(ada.id, &[hash("r1"), hash("r2")], NOW, &events(1)).await.unwrap();
    assert!(store.has_recovery_code(ada.id, &hash("r1")).await.unwrap());
    assert!(!store.has_recovery_code(eve.id, &hash("r1")).await.unwrap());
    let sign_in = |user: &hoop_store::User, code: &str| {
        let (store, login) = (store.clone(), new_login(user.id));
        let proof = Proof::of(user, Factor::RecoveryCode(hash(code)));
        async move { store.create_login(&login, &[], &proof, &[]).await }
    };
    assert_eq!(conflict(sign_in(&eve, "r1").await), Conflict::Used);
    let won = race(4, |_| {
        let attempt = sign_in(&ada, "r1");
        async move { attempt.await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(store.recovery_codes_left(ada.id).await.unwrap(), 1);
    // New ones, or a reset, make the old ones void.
    store.replace_recovery_codes(ada.id, &[hash("r3")], NOW, &[]).await.unwrap();
    assert_eq!(conflict(sign_in(&ada, "r2").await), Conflict::Used);
    store.reset_user(ada.id, &hash("again"), later(60), NOW, &[]).await.unwrap();
    assert_eq!(store.recovery_codes_left(ada.id).await.unwrap(), 0);
    not_found(store.replace_recovery_codes(ada.id, &[hash("r4")], NOW, &events(1)).await);
}

async fn a_token_is_good_for_its_kind_and_time(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    let tokens = [token(TokenKind::Access, "a"), token(TokenKind::Refresh, "r")];
    store.create_login(&login, &tokens, &Proof::factors(&user, 11), &[]).await.unwrap();
    let good = store.login_by_token(TokenKind::Access, &hash("a"), later(599)).await.unwrap().unwrap();
    assert_eq!((good.login.id, good.user.id), (login.id, user.id));
    let refused = [
        (TokenKind::Cookie, "a", NOW),
        (TokenKind::Refresh, "a", NOW),
        (TokenKind::Access, "r", NOW),
        (TokenKind::Access, "guess", NOW),
        (TokenKind::Access, "a", later(600)),
        (TokenKind::Access, "a", later(1800)),
        (TokenKind::Access, "a", later(3600)),
    ];
    for (kind, seed, at) in refused {
        assert_eq!(store.login_by_token(kind, &hash(seed), at).await.unwrap(), None, "{kind:?} {seed} {at}");
    }
}

async fn a_locked_person_has_no_login(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    store
        .create_login(&login, &[token(TokenKind::Cookie, "c")], &Proof::factors(&user, 11), &[])
        .await
        .unwrap();
    let lock = UserChange { locked: Some(true), ..Default::default() };
    store.change_user(user.id, &lock, later(1), &events(1)).await.unwrap();
    assert_eq!(store.login_by_token(TokenKind::Cookie, &hash("c"), later(1)).await.unwrap(), None);
    assert_eq!(
        conflict(store.create_login(&new_login(user.id), &[], &Proof::factors(&user, 12), &[]).await),
        Conflict::Locked
    );
    let unlock = UserChange { locked: Some(false), ..Default::default() };
    store.change_user(user.id, &unlock, later(2), &[]).await.unwrap();
    let revived = store.login_by_token(TokenKind::Cookie, &hash("c"), later(2)).await.unwrap();
    assert_eq!(revived, None, "unlocking revives no login");
}

async fn a_login_is_revoked_by_its_owner_alone(store: Store) {
    let (ada, eve) = (user(&store, "ada").await, user(&store, "eve").await);
    let login = new_login(ada.id);
    store
        .create_login(&login, &[token(TokenKind::Access, "a")], &Proof::factors(&ada, 11), &[])
        .await
        .unwrap();
    not_found(store.revoke_login(login.id, Some(eve.id), NOW, &events(1)).await);
    not_found(store.revoke_login(LoginId::generate(), None, NOW, &events(1)).await);
    assert!(store.login_by_token(TokenKind::Access, &hash("a"), NOW).await.unwrap().is_some());
    assert!(store.revoke_login(login.id, Some(ada.id), NOW, &events(1)).await.unwrap());
    assert!(!store.revoke_login(login.id, Some(ada.id), NOW, &events(1)).await.unwrap());
    assert_eq!(store.login_by_token(TokenKind::Access, &hash("a"), NOW).await.unwrap(), None);
    assert_eq!(size(&store).await, 1);
    assert_eq!(store.revoke_logins_of(UserId::generate(), NOW, &[]).await.unwrap(), 0);
}

async fn use_prolongs_a_login_but_not_past_its_end(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    let long = NewToken { expires_at: later(9000), ..token(TokenKind::Cookie, "c") };
    store.create_login(&login, &[long], &Proof::factors(&user, 11), &[]).await.unwrap();
    store.touch_login(login.id, later(500), later(1100)).await.unwrap();
    assert!(store.login_by_token(TokenKind::Cookie, &hash("c"), later(1000)).await.unwrap().is_some());
    store.touch_login(login.id, later(1200), later(1800)).await.unwrap();
    assert_eq!(
        store.login(login.id).await.unwrap().unwrap().idle_until,
        later(1100),
        "it was over: not revived"
    );
    let other = new_login(user.id);
    let long = NewToken { expires_at: later(9000), ..token(TokenKind::Cookie, "d") };
    store.create_login(&other, &[long], &Proof::factors(&user, 12), &[]).await.unwrap();
    store.touch_login(other.id, later(500), later(9000)).await.unwrap();
    assert_eq!(store.login_by_token(TokenKind::Cookie, &hash("d"), later(3600)).await.unwrap(), None);
}

fn pair(seed: &str) -> [NewToken; 2] {
    [token(TokenKind::Access, &format!("a{seed}")), token(TokenKind::Refresh, &format!("r{seed}"))]
}

fn told(rotation: &Rotation) -> Vec<hoop_store::NewEvent> {
    match rotation {
        Rotation::Reused(_) => vec![event(hoop_ledger::EventCode::TokenRevoked)],
        _ => vec![],
    }
}

async fn a_refresh_token_rotates(store: Store) {
    let user = user(&store, "ada").await;
    store.create_login(&new_login(user.id), &pair("1"), &Proof::factors(&user, 11), &[]).await.unwrap();
    let rotated = store.rotate_refresh(&hash("r1"), &pair("2"), later(5), later(605), told).await.unwrap();
    let Rotation::Rotated(signed_in) = rotated else { panic!("{rotated:?}") };
    assert_eq!((signed_in.login.used_at, signed_in.login.idle_until), (later(5), later(605)));
    assert_eq!(store.login_by_token(TokenKind::Access, &hash("a1"), later(6)).await.unwrap(), None);
    assert!(store.login_by_token(TokenKind::Access, &hash("a2"), later(6)).await.unwrap().is_some());
    let next = store.rotate_refresh(&hash("r2"), &pair("3"), later(6), later(606), told).await.unwrap();
    assert!(matches!(next, Rotation::Rotated(_)));
    assert_eq!(size(&store).await, 0);
}

async fn a_refresh_token_used_twice_revokes(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    store.create_login(&login, &pair("1"), &Proof::factors(&user, 11), &[]).await.unwrap();
    store.rotate_refresh(&hash("r1"), &pair("2"), later(5), later(605), told).await.unwrap();
    let again = store.rotate_refresh(&hash("r1"), &pair("3"), later(6), later(606), told).await.unwrap();
    let Rotation::Reused(signed_in) = again else { panic!("{again:?}") };
    assert_eq!(signed_in.login.revoked_at, Some(later(6)));
    assert_eq!(store.login_by_token(TokenKind::Access, &hash("a2"), later(7)).await.unwrap(), None);
    for seed in ["r1", "r2", "r3"] {
        let refused =
            store.rotate_refresh(&hash(seed), &pair("4"), later(7), later(607), told).await.unwrap();
        assert_eq!(refused, Rotation::Refused, "{seed}");
    }
    assert_eq!(size(&store).await, 1);
}

async fn a_refresh_race_has_one_winner(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    store.create_login(&login, &pair("1"), &Proof::factors(&user, 11), &[]).await.unwrap();
    let results = race(2, |n| {
        let (store, tokens) = (store.clone(), pair(&format!("x{n}")));
        async move { store.rotate_refresh(&hash("r1"), &tokens, later(5), later(605), told).await.unwrap() }
    })
    .await;
    let rotated = results.iter().filter(|result| matches!(result, Rotation::Rotated(_))).count();
    let reused = results.iter().filter(|result| matches!(result, Rotation::Reused(_))).count();
    assert_eq!((rotated, reused, size(&store).await), (1, 1, 1));
    assert!(store.login(login.id).await.unwrap().unwrap().revoked_at.is_some());
}

async fn a_void_refresh_token_is_refused(store: Store) {
    let user = user(&store, "ada").await;
    store.create_login(&new_login(user.id), &pair("1"), &Proof::factors(&user, 11), &[]).await.unwrap();
    for (seed, at) in [("guess", 1), ("a1", 1), ("r1", 600), ("r1", 1800), ("r1", 3600)] {
        let refused =
            store.rotate_refresh(&hash(seed), &pair("2"), later(at), later(9000), told).await.unwrap();
        assert_eq!(refused, Rotation::Refused, "{seed} at {at}");
    }
    assert!(store.login_by_token(TokenKind::Access, &hash("a1"), later(1)).await.unwrap().is_some());
}

async fn what_is_void_is_swept(store: Store) {
    let user = user(&store, "ada").await;
    let login = new_login(user.id);
    store.create_login(&login, &pair("1"), &Proof::factors(&user, 11), &[]).await.unwrap();
    assert_eq!(store.sweep(NOW).await.unwrap(), Default::default());
    let swept = store.sweep(later(1800)).await.unwrap();
    assert_eq!((swept.tokens, swept.logins), (2, 0));
    assert_eq!(store.sweep(later(3600 + 31 * 24 * 3600)).await.unwrap().logins, 1);
    assert_eq!(store.login(login.id).await.unwrap(), None);
}

async fn ones_logins_are_listed(store: Store) {
    let (ada, eve) = (user(&store, "ada").await, user(&store, "eve").await);
    let (first, second, hers) = (new_login(ada.id), new_login(ada.id), new_login(eve.id));
    for (login, user, step) in [(&first, &ada, 11), (&second, &ada, 12), (&hers, &eve, 11)] {
        store.create_login(login, &[], &Proof::factors(user, step), &[]).await.unwrap();
    }
    let ids: Vec<_> = store.logins_of(ada.id, NOW).await.unwrap().iter().map(|login| login.id).collect();
    assert_eq!(ids, [second.id, first.id]);
    assert_eq!(store.revoke_logins_of(ada.id, NOW, &events(1)).await.unwrap(), 2);
    assert!(store.logins_of(ada.id, NOW).await.unwrap().is_empty());
    assert_eq!(store.logins_of(eve.id, NOW).await.unwrap().len(), 1);
}

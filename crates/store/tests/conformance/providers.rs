//! Tokens of the identity provider: claimed by one at a time, replaced by a new sign-in, gone with the last one.

use hoop_store::{Proof, ProviderToken, Store, User};

use crate::fixtures::*;

crate::cases![
    what_is_due_is_claimed_once,
    only_those_who_are_signed_in_are_asked_about,
    a_live_session_is_reason_enough_to_ask,
    an_answer_is_kept_unless_somebody_signed_in_meanwhile,
    a_refresh_asks_unless_that_was_done_a_moment_ago,
    a_claim_that_was_left_is_free_again,
    tokens_of_those_who_are_gone_are_removed,
];

/// Signed in from now for an hour; to be asked about in a minute.
async fn signed_in(store: &Store, name: &str) -> User {
    let user = user(store, name).await;
    signed_in_as(store, &user, 11).await;
    store.keep_provider_token(user.id, "first", NOW, later(60)).await.unwrap();
    user
}

async fn signed_in_as(store: &Store, user: &User, step: u64) {
    store.create_login(&new_login(user.id), &[], &Proof::factors(user, step), &[]).await.unwrap();
}

async fn due(store: &Store, at: u64) -> Vec<ProviderToken> {
    store.claim_provider_tokens(later(at), later(at + 30), 10).await.unwrap()
}

async fn what_is_due_is_claimed_once(store: Store) {
    let ada = signed_in(&store, "ada").await;
    assert_eq!(due(&store, 59).await, []);
    let claims = race(4, |_| {
        let store = store.clone();
        async move { due(&store, 60).await }
    })
    .await;
    let won: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(
        won.iter().map(|token| (token.user, token.sealed.as_str())).collect::<Vec<_>>(),
        [(ada.id, "first")]
    );
}

async fn only_those_who_are_signed_in_are_asked_about(store: Store) {
    let ada = signed_in(&store, "ada").await;
    store.revoke_logins_of(ada.id, later(1), &[]).await.unwrap();
    assert_eq!(due(&store, 60).await, []);
    let idle = signed_in(&store, "idle").await;
    assert_eq!(due(&store, 600).await, [], "{} was idle for too long", idle.name);
}

async fn a_live_session_is_reason_enough_to_ask(store: Store) {
    let ada = signed_in(&store, "ada").await;
    store.revoke_logins_of(ada.id, later(1), &[]).await.unwrap();
    let agent = agent(&store, "east").await;
    let session = new_session(&ada, &agent, "pg");
    store.create_session(&session, 10, &[]).await.unwrap();
    assert_eq!(due(&store, 60).await.len(), 1);
}

async fn an_answer_is_kept_unless_somebody_signed_in_meanwhile(store: Store) {
    let ada = signed_in(&store, "ada").await;
    let first = due(&store, 60).await.remove(0);
    store.renew_provider_token(&first, Some("second"), later(61), later(120)).await.unwrap();
    let second = due(&store, 120).await.remove(0);
    assert_eq!(second.sealed, "second");
    store.keep_provider_token(ada.id, "of a new sign-in", later(121), later(180)).await.unwrap();
    store.renew_provider_token(&second, Some("stale"), later(122), later(300)).await.unwrap();
    store.release_provider_token(&second, later(300)).await.unwrap();
    assert!(!store.drop_provider_token(&second).await.unwrap(), "it is not the one that was refused");
    let third = due(&store, 180).await.remove(0);
    assert_eq!(third.sealed, "of a new sign-in");
    store.renew_provider_token(&third, None, later(181), later(240)).await.unwrap();
    let same = due(&store, 240).await.remove(0);
    assert_eq!(same.sealed, "of a new sign-in", "the provider gave no new one");
    assert!(store.drop_provider_token(&same).await.unwrap());
    assert_eq!(due(&store, 300).await, []);
}

async fn a_refresh_asks_unless_that_was_done_a_moment_ago(store: Store) {
    let ada = signed_in(&store, "ada").await;
    let claim = async |not_since: u64, at: u64| {
        store.claim_provider_token(ada.id, later(not_since), later(at), later(at + 30)).await.unwrap()
    };
    let claimed = claim(0, 10).await.unwrap();
    assert_eq!(claim(0, 11).await, None, "somebody else has it");
    store.renew_provider_token(&claimed, None, later(12), later(60)).await.unwrap();
    assert_eq!(claim(11, 41).await, None, "asked a moment ago");
    assert!(claim(12, 42).await.is_some());
    let stranger = user(&store, "bob").await;
    assert_eq!(store.claim_provider_token(stranger.id, later(9), later(9), later(19)).await.unwrap(), None);
}

async fn a_claim_that_was_left_is_free_again(store: Store) {
    signed_in(&store, "ada").await;
    assert_eq!(due(&store, 60).await.len(), 1);
    assert_eq!(due(&store, 89).await, []);
    let again = due(&store, 90).await.remove(0);
    store.release_provider_token(&again, later(100)).await.unwrap();
    assert_eq!(due(&store, 99).await, []);
    assert_eq!(due(&store, 100).await.len(), 1);
}

async fn tokens_of_those_who_are_gone_are_removed(store: Store) {
    let (ada, bob) = (signed_in(&store, "ada").await, signed_in(&store, "bob").await);
    store.revoke_logins_of(ada.id, later(1), &[]).await.unwrap();
    let agent = agent(&store, "east").await;
    let session = new_session(&bob, &agent, "pg");
    store.create_session(&session, 10, &[]).await.unwrap();
    store.revoke_logins_of(bob.id, later(1), &[]).await.unwrap();
    store.sweep(later(2)).await.unwrap();
    signed_in_as(&store, &ada, 12).await;
    let claimed: Vec<_> = due(&store, 60).await.into_iter().map(|token| token.user).collect();
    assert_eq!(claimed, [bob.id], "bob's session lives");
}

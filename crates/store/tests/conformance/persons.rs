//! Several accounts of one person.

use hoop_model::{ConnectionId, ConnectionName, RequestId, UserId};
use hoop_store::{
    Conflict, Decision, NewRequest, Request, RequestKind, RequestState, Review, Store, StoreError, User,
};

use crate::fixtures::*;

crate::cases![
    accounts_are_joined_and_taken_out,
    one_person_has_only_so_many_accounts,
    two_accounts_are_one_decider_and_none_of_their_own,
    two_accounts_at_once_count_once,
    a_link_voids_what_stood_on_ones_own_word,
    a_link_voids_what_stood_on_one_other_twice,
    requests_and_reviews_are_counted_for_the_person,
];

async fn people(store: &Store) -> [User; 4] {
    [user(store, "ann").await, user(store, "ben").await, user(store, "cat").await, user(store, "dan").await]
}

async fn link(store: &Store, one: &User, other: &User) {
    store.link_accounts(one.id, other.id, &events(1)).await.unwrap();
}

async fn is_same(store: &Store, one: &User, other: &User) -> bool {
    let person = async |user: &User| store.user(user.id).await.unwrap().unwrap().person;
    person(one).await == person(other).await
}

fn asked(by: &User, kind: RequestKind, needed: u32) -> NewRequest {
    NewRequest {
        id: RequestId::generate(),
        kind,
        user: by.id,
        user_name: by.name.clone(),
        connection: ConnectionId::generate(),
        connection_name: ConnectionName::new("clinic").unwrap(),
        rule: "dba".into(),
        become_user: None,
        statement: None,
        reason: "ticket 7".into(),
        incident: Some("INC-7".into()),
        duration_seconds: 3600,
        needed,
        created_at: NOW,
        decide_until: later(60),
    }
}

async fn ask(store: &Store, by: &User, needed: u32) -> Request {
    store.create_request(&asked(by, RequestKind::Access, needed), 20, false, &[]).await.unwrap()
}

async fn decide(store: &Store, on: &Request, by: &User) -> Result<Request, StoreError> {
    let word = Decision { by: by.id, by_name: by.name.clone(), approves: true, note: None, at: later(1) };
    store.decide_request(on.asked.id, &word, &[]).await
}

async fn accounts_are_joined_and_taken_out(store: Store) {
    let [ann, ben, cat, dan] = people(&store).await;
    let before = size(&store).await;
    link(&store, &ben, &ann).await;
    link(&store, &ann, &ben).await;
    assert_eq!(size(&store).await, before + 1, "what was known is no news");
    link(&store, &cat, &dan).await;
    assert!(!is_same(&store, &ann, &cat).await);
    link(&store, &dan, &ann).await;
    for other in [&ben, &cat, &dan] {
        assert!(is_same(&store, &ann, other).await);
    }
    let ben_now = store.user(ben.id).await.unwrap().unwrap();
    let others = store.other_accounts(&ben_now).await.unwrap();
    let names: Vec<_> = others.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["ann", "cat", "dan"]);
    let linked = store.linked_accounts().await.unwrap();
    assert_eq!(linked.len(), 1);
    assert_eq!(linked[&ben_now.person].len(), 4);
    // Also the one that stands for the others.
    for gone in [&ann, &ben, &cat, &dan] {
        let is_last = gone.id == dan.id;
        let unlinked = store.unlink_account(gone.id, &events(1)).await;
        if is_last {
            assert_eq!(conflict(unlinked), Conflict::Changed);
        } else {
            unlinked.unwrap();
            assert!(!is_same(&store, gone, &dan).await);
        }
    }
    assert!(store.linked_accounts().await.unwrap().is_empty());
    let before = size(&store).await;
    not_found(store.link_accounts(ann.id, UserId::generate(), &events(1)).await);
    not_found(store.unlink_account(UserId::generate(), &events(1)).await);
    assert_eq!(size(&store).await, before);
}

async fn one_person_has_only_so_many_accounts(store: Store) {
    let first = user(&store, "first").await;
    for number in 1..10 {
        let more = user(&store, &format!("more{number}")).await;
        link(&store, &first, &more).await;
    }
    let one_more = user(&store, "one-more").await;
    assert_eq!(conflict(store.link_accounts(one_more.id, first.id, &events(1)).await), Conflict::TooMany);
    assert!(!is_same(&store, &first, &one_more).await);
}

async fn two_accounts_are_one_decider_and_none_of_their_own(store: Store) {
    let [ann, ben, cat, dan] = people(&store).await;
    link(&store, &ann, &ben).await;
    link(&store, &cat, &dan).await;
    let request = ask(&store, &ben, 2).await;
    assert_eq!(conflict(decide(&store, &request, &ann).await), Conflict::OtherName);
    assert_eq!(decide(&store, &request, &dan).await.unwrap().state, RequestState::Pending);
    assert_eq!(conflict(decide(&store, &request, &cat).await), Conflict::Used);
    let emergency = asked(&ann, RequestKind::BreakGlass, 0);
    let emergency = store.create_request(&emergency, 20, false, &[]).await.unwrap();
    let until = emergency.ends_at.unwrap();
    let extended =
        store.extend_request(emergency.asked.id, (ben.id, &ben.name), until, later(9000), &[]).await;
    assert_eq!(conflict(extended), Conflict::OtherName);
    store.end_request(emergency.asked.id, RequestState::Ended, later(1), "over", &[]).await.unwrap();
    let review = Review { by: ben.id, by_name: ben.name.to_string(), at: later(2), finding: "fine".into() };
    let reviewed = store.review_request(emergency.asked.id, &review, &[]).await;
    assert_eq!(conflict(reviewed), Conflict::OtherName);
}

async fn two_accounts_at_once_count_once(store: Store) {
    let [ann, ben, cat, _] = people(&store).await;
    link(&store, &ben, &cat).await;
    let request = ask(&store, &ann, 2).await;
    let raced = race(4, |number| {
        let (store, request) = (store.clone(), request.clone());
        let by = if number % 2 == 0 { ben.clone() } else { cat.clone() };
        async move { decide(&store, &request, &by).await.is_ok() }
    })
    .await;
    assert_eq!(raced.iter().filter(|taken| **taken).count(), 1);
    let now = store.request(request.asked.id).await.unwrap().unwrap();
    assert_eq!(now.state, RequestState::Pending);
}

async fn in_force(store: &Store, request: &Request) -> bool {
    let found = store.approvals(request.asked.user, request.asked.connection, later(2)).await.unwrap();
    !found.is_empty()
}

async fn a_link_voids_what_stood_on_ones_own_word(store: Store) {
    let [ann, ben, cat, _] = people(&store).await;
    let request = ask(&store, &ann, 1).await;
    decide(&store, &request, &ben).await.unwrap();
    assert!(in_force(&store, &request).await);
    link(&store, &cat, &ann).await;
    assert!(in_force(&store, &request).await, "cat has said nothing");
    link(&store, &ben, &ann).await;
    assert!(!in_force(&store, &request).await);
    let emergency = asked(&ann, RequestKind::BreakGlass, 0);
    let emergency = store.create_request(&emergency, 20, false, &[]).await.unwrap();
    assert!(in_force(&store, &emergency).await, "it needs nobody's word");
}

async fn a_link_voids_what_stood_on_one_other_twice(store: Store) {
    let [ann, ben, cat, dan] = people(&store).await;
    let (two, three) = (ask(&store, &ann, 2).await, ask(&store, &ann, 2).await);
    for by in [&ben, &cat] {
        decide(&store, &two, by).await.unwrap();
    }
    decide(&store, &three, &ben).await.unwrap();
    link(&store, &ben, &cat).await;
    assert!(!in_force(&store, &two).await);
    // A word from before the link is not counted for a second one.
    assert_eq!(conflict(decide(&store, &three, &cat).await), Conflict::Used);
    assert_eq!(decide(&store, &three, &dan).await.unwrap().state, RequestState::Approved);
    assert!(in_force(&store, &three).await);
}

async fn requests_and_reviews_are_counted_for_the_person(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    link(&store, &ann, &ben).await;
    store.create_request(&asked(&ann, RequestKind::BreakGlass, 0), 20, true, &[]).await.unwrap();
    let next = store.create_request(&asked(&ben, RequestKind::BreakGlass, 0), 20, true, &[]).await;
    assert_eq!(conflict(next), Conflict::Changed, "the review of the first is open");
    let more = store.create_request(&asked(&ben, RequestKind::Access, 1), 1, false, &[]).await;
    assert_eq!(conflict(more), Conflict::TooMany);
}

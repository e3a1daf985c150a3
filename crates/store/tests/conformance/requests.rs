//! Requests and emergencies: who decided, races, ends, reviews.

use hoop_ledger::EventCode;
use hoop_model::{ConnectionId, ConnectionName, RequestId, UserId};
use hoop_store::{
    AskedStatement, Conflict, Decision, NewRequest, NewSession, Request, RequestFilter, RequestKind,
    RequestState, Review, SeenBy, Store, User, UserChange,
};

use crate::fixtures::*;

crate::cases![
    a_request_is_kept_as_it_was_asked,
    the_last_approval_needed_puts_it_in_force,
    one_no_ends_it,
    nobody_decides_on_their_own_twice_or_late,
    two_approvers_at_once_both_count,
    an_approval_and_a_denial_at_once_are_decided_one_way,
    approval_and_withdrawal_at_once_leave_nothing_in_force,
    an_end_is_final,
    most_requests_hold_also_in_a_race,
    a_locked_person_asks_for_nothing,
    an_emergency_is_in_force_at_once,
    an_emergency_is_extended_by_somebody_else_once,
    an_emergency_is_reviewed_once_when_it_is_over_by_somebody_else,
    the_next_emergency_waits_for_the_review,
    what_is_due_is_found_by_the_clock,
    lists_are_filtered_and_paged,
    a_page_is_of_what_somebody_may_see,
    approvals_are_those_in_force_of_one_person_on_one_connection,
    an_event_that_cannot_be_written_takes_the_change_with_it,
    an_approval_of_one_statement_is_good_for_one_session,
];

const HOUR: u64 = 3600;

fn asked(user: &User, kind: RequestKind, needed: u32) -> NewRequest {
    NewRequest {
        id: RequestId::generate(),
        kind,
        user: user.id,
        user_name: user.name.clone(),
        connection: ConnectionId::generate(),
        connection_name: ConnectionName::new("clinic").unwrap(),
        rule: "dba".into(),
        become_user: Some("reader".into()),
        statement: (kind == RequestKind::Access).then(|| AskedStatement {
            sealed: b"\0sealed".to_vec(),
            sha256: "a hash".into(),
            database: "clinic".into(),
            rule: Some("fix".into()),
        }),
        reason: "ticket 7".into(),
        incident: (kind == RequestKind::BreakGlass).then(|| "INC-7".into()),
        duration_seconds: HOUR,
        needed,
        created_at: NOW,
        decide_until: later(60),
    }
}

async fn ask(store: &Store, user: &User, needed: u32) -> Request {
    store.create_request(&asked(user, RequestKind::Access, needed), 20, false, &events(1)).await.unwrap()
}

async fn emergency(store: &Store, user: &User) -> Request {
    store.create_request(&asked(user, RequestKind::BreakGlass, 0), 20, false, &[]).await.unwrap()
}

fn word(by: &User, approves: bool, at: u64) -> Decision {
    Decision {
        by: by.id,
        by_name: by.name.clone(),
        approves,
        note: Some("looks right".into()),
        at: later(at),
    }
}

fn finding(by: &User) -> Review {
    Review { by: by.id, by_name: by.name.to_string(), at: later(9), finding: "as it should be".into() }
}

async fn decide(store: &Store, on: &Request, word: &Decision) -> Result<Request, hoop_store::StoreError> {
    store.decide_request(on.asked.id, word, &events(1)).await
}

async fn end(store: &Store, on: &Request, at: u64) -> Result<Request, hoop_store::StoreError> {
    store.end_request(on.asked.id, RequestState::Ended, later(at), "given back", &events(1)).await
}

async fn people(store: &Store) -> [User; 4] {
    [user(store, "ann").await, user(store, "ben").await, user(store, "cat").await, user(store, "dan").await]
}

async fn a_request_is_kept_as_it_was_asked(store: Store) {
    let [ann, ..] = people(&store).await;
    let new = asked(&ann, RequestKind::Access, 2);
    let made = store.create_request(&new, 20, false, &events(1)).await.unwrap();
    assert_eq!(made.asked, new);
    assert_eq!((made.state, made.ends_at, made.decided_at), (RequestState::Pending, None, None));
    assert_eq!(store.request(new.id).await.unwrap(), Some(made));
    assert_eq!(store.request(RequestId::generate()).await.unwrap(), None);
    assert!(store.create_request(&new, 20, false, &[]).await.is_err(), "one id twice");
}

async fn the_last_approval_needed_puts_it_in_force(store: Store) {
    let [ann, ben, cat, dan] = people(&store).await;
    let request = ask(&store, &ann, 2).await;
    let request = decide(&store, &request, &word(&ben, true, 1)).await.unwrap();
    assert_eq!((request.state, request.ends_at), (RequestState::Pending, None));
    let request = decide(&store, &request, &word(&cat, true, 5)).await.unwrap();
    assert_eq!((request.state, request.ends_at), (RequestState::Approved, Some(later(5 + HOUR))));
    assert!(request.is_in_force(later(5)) && !request.is_in_force(later(5 + HOUR)));
    assert_eq!(conflict(decide(&store, &request, &word(&dan, true, 6)).await), Conflict::Changed);
    let words = store.decisions(request.asked.id).await.unwrap();
    assert_eq!(words, [word(&ben, true, 1), word(&cat, true, 5)]);
}

async fn one_no_ends_it(store: Store) {
    let [ann, ben, cat, _] = people(&store).await;
    let request = ask(&store, &ann, 2).await;
    decide(&store, &request, &word(&ben, true, 1)).await.unwrap();
    let request = decide(&store, &request, &word(&cat, false, 2)).await.unwrap();
    assert_eq!((request.state, request.ends_at), (RequestState::Denied, None));
    assert_eq!(conflict(end(&store, &request, 3).await), Conflict::Changed);
}

async fn nobody_decides_on_their_own_twice_or_late(store: Store) {
    let [ann, ben, cat, _] = people(&store).await;
    let request = ask(&store, &ann, 3).await;
    assert_eq!(conflict(decide(&store, &request, &word(&ann, true, 1)).await), Conflict::OtherName);
    decide(&store, &request, &word(&ben, true, 1)).await.unwrap();
    for approves in [true, false] {
        assert_eq!(conflict(decide(&store, &request, &word(&ben, approves, 2)).await), Conflict::Used);
    }
    assert_eq!(conflict(decide(&store, &request, &word(&cat, true, 60)).await), Conflict::Expired);
    assert_eq!(store.decisions(request.asked.id).await.unwrap().len(), 1);
}

async fn two_approvers_at_once_both_count(store: Store) {
    let [ann, ben, cat, dan] = people(&store).await;
    let request = ask(&store, &ann, 3).await;
    let words = [word(&ben, true, 1), word(&cat, true, 1), word(&dan, true, 1)];
    let states = race(3, |number| {
        let (store, request, word) = (store.clone(), request.clone(), words[number].clone());
        async move { decide(&store, &request, &word).await.unwrap().state }
    })
    .await;
    assert_eq!(states.iter().filter(|state| **state == RequestState::Approved).count(), 1, "{states:?}");
}

async fn an_approval_and_a_denial_at_once_are_decided_one_way(store: Store) {
    let [ann, ben, cat, _] = people(&store).await;
    for _ in 0..8 {
        let request = ask(&store, &ann, 1).await;
        let words = [word(&ben, true, 1), word(&cat, false, 1)];
        let outcomes = race(2, |number| {
            let (store, request, word) = (store.clone(), request.clone(), words[number].clone());
            async move { decide(&store, &request, &word).await.ok().map(|request| request.state) }
        })
        .await;
        let won: Vec<_> = outcomes.into_iter().flatten().collect();
        let kept = store.request(request.asked.id).await.unwrap().unwrap().state;
        assert_eq!(won, [kept], "one word alone decides");
    }
}

async fn approval_and_withdrawal_at_once_leave_nothing_in_force(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    for _ in 0..8 {
        let request = ask(&store, &ann, 1).await;
        race(2, |number| {
            let (store, request, word) = (store.clone(), request.clone(), word(&ben, true, 1));
            async move {
                match number {
                    0 => drop(decide(&store, &request, &word).await),
                    _ => drop(end(&store, &request, 1).await),
                }
            }
        })
        .await;
        let kept = store.request(request.asked.id).await.unwrap().unwrap();
        assert_eq!((kept.state, kept.is_in_force(later(2))), (RequestState::Ended, false));
    }
}

async fn an_end_is_final(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let request = ask(&store, &ann, 1).await;
    decide(&store, &request, &word(&ben, true, 1)).await.unwrap();
    let request = end(&store, &request, 2).await.unwrap();
    assert_eq!((request.ended_at, request.end_reason.as_deref()), (Some(later(2)), Some("given back")));
    assert!(!request.is_in_force(later(2)));
    assert_eq!(conflict(end(&store, &request, 3).await), Conflict::Changed);
    assert_eq!(store.request(request.asked.id).await.unwrap(), Some(request));
}

async fn most_requests_hold_also_in_a_race(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let made = race(6, |_| {
        let (store, new) = (store.clone(), asked(&ann, RequestKind::Access, 1));
        async move { store.create_request(&new, 2, false, &[]).await.is_ok() }
    })
    .await;
    assert_eq!(made.iter().filter(|made| **made).count(), 2);
    let more = asked(&ann, RequestKind::Access, 1);
    assert_eq!(conflict(store.create_request(&more, 2, false, &[]).await), Conflict::TooMany);
    store.create_request(&asked(&ben, RequestKind::Access, 1), 2, false, &[]).await.unwrap();
}

async fn a_locked_person_asks_for_nothing(store: Store) {
    let [ann, ..] = people(&store).await;
    let lock = UserChange { locked: Some(true), ..Default::default() };
    store.change_user(ann.id, &lock, NOW, &[]).await.unwrap();
    for kind in [RequestKind::Access, RequestKind::BreakGlass] {
        let new = asked(&ann, kind, 1);
        assert_eq!(conflict(store.create_request(&new, 20, false, &[]).await), Conflict::Locked);
    }
}

async fn an_emergency_is_in_force_at_once(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let request = emergency(&store, &ann).await;
    assert_eq!((request.state, request.ends_at), (RequestState::Approved, Some(later(HOUR))));
    assert_eq!(request.asked.incident.as_deref(), Some("INC-7"));
    assert_eq!(conflict(decide(&store, &request, &word(&ben, false, 1)).await), Conflict::Changed);
}

async fn an_emergency_is_extended_by_somebody_else_once(store: Store) {
    let [ann, ben, cat, _] = people(&store).await;
    let request = emergency(&store, &ann).await;
    let (id, before, after) = (request.asked.id, later(HOUR), later(2 * HOUR));
    let extend = async |by: &User| store.extend_request(id, (by.id, &by.name), before, after, &[]).await;
    assert_eq!(conflict(extend(&ann).await), Conflict::OtherName);
    let extended = extend(&ben).await.unwrap();
    assert_eq!((extended.ends_at, extended.extended_by.as_deref()), (Some(after), Some("ben")));
    assert_eq!(conflict(extend(&cat).await), Conflict::Changed, "it has another end by now");
    end(&store, &request, 1).await.unwrap();
    let again = store.extend_request(id, (cat.id, &cat.name), after, later(3 * HOUR), &[]).await;
    assert_eq!(conflict(again), Conflict::Changed);
}

async fn an_emergency_is_reviewed_once_when_it_is_over_by_somebody_else(store: Store) {
    let [ann, ben, cat, _] = people(&store).await;
    let request = emergency(&store, &ann).await;
    let review = async |by: &User| store.review_request(request.asked.id, &finding(by), &events(1)).await;
    assert_eq!(conflict(review(&ben).await), Conflict::Changed, "it goes on");
    end(&store, &request, 1).await.unwrap();
    assert_eq!(conflict(review(&ann).await), Conflict::OtherName);
    assert_eq!(review(&ben).await.unwrap().review, Some(finding(&ben)));
    assert_eq!(conflict(review(&cat).await), Conflict::Changed);
    let ordinary = ask(&store, &ann, 1).await;
    end(&store, &ordinary, 1).await.unwrap();
    let none = store.review_request(ordinary.asked.id, &finding(&ben), &[]).await;
    assert_eq!(conflict(none), Conflict::Changed);
}

async fn the_next_emergency_waits_for_the_review(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let again =
        async |by: &User| store.create_request(&asked(by, RequestKind::BreakGlass, 0), 20, true, &[]).await;
    let first = again(&ann).await.unwrap();
    assert_eq!(conflict(again(&ann).await), Conflict::Changed);
    end(&store, &first, 1).await.unwrap();
    assert_eq!(conflict(again(&ann).await), Conflict::Changed);
    again(&ben).await.unwrap();
    store.review_request(first.asked.id, &finding(&ben), &[]).await.unwrap();
    again(&ann).await.unwrap();
    let raced = race(4, |_| {
        let (store, new) = (store.clone(), asked(&ben, RequestKind::BreakGlass, 0));
        async move { store.create_request(&new, 20, true, &[]).await.is_ok() }
    })
    .await;
    assert!(raced.iter().all(|made| !made));
}

async fn what_is_due_is_found_by_the_clock(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let (pending, approved) = (ask(&store, &ann, 1).await, ask(&store, &ann, 1).await);
    decide(&store, &approved, &word(&ben, true, 1)).await.unwrap();
    let denied = ask(&store, &ann, 1).await;
    decide(&store, &denied, &word(&ben, false, 1)).await.unwrap();
    let due = async |at: u64| -> Vec<RequestId> {
        let due = store.due_requests(later(at)).await.unwrap();
        due.into_iter().map(|request| request.asked.id).collect()
    };
    assert_eq!(due(59).await, []);
    assert_eq!(due(60).await, [pending.asked.id]);
    assert_eq!(due(HOUR).await, [pending.asked.id]);
    assert_eq!(due(1 + HOUR).await, [pending.asked.id, approved.asked.id]);
    end(&store, &pending, 60).await.unwrap();
    assert_eq!(due(1 + HOUR).await, [approved.asked.id]);
}

async fn lists_are_filtered_and_paged(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let (first, second) = (ask(&store, &ann, 1).await, ask(&store, &ben, 1).await);
    let (over, running) = (emergency(&store, &ann).await, emergency(&store, &ben).await);
    end(&store, &over, 1).await.unwrap();
    let list = async |filter: RequestFilter| -> Vec<RequestId> {
        let page = store.requests(&RequestFilter { limit: 10, ..filter }).await.unwrap();
        page.items.into_iter().map(|request| request.asked.id).collect()
    };
    let id = |request: &Request| request.asked.id;
    let all = [id(&running), id(&over), id(&second), id(&first)];
    assert_eq!(list(RequestFilter::default()).await, all);
    assert_eq!(list(RequestFilter { user: Some(ann.id), ..Default::default() }).await, [all[1], all[3]]);
    assert_eq!(list(RequestFilter { user: Some(UserId::generate()), ..Default::default() }).await, []);
    let kind = Some(RequestKind::Access);
    assert_eq!(list(RequestFilter { kind, ..Default::default() }).await, all[2..]);
    let state = Some(RequestState::Approved);
    assert_eq!(list(RequestFilter { state, ..Default::default() }).await, [all[0]]);
    assert_eq!(list(RequestFilter { unreviewed: true, ..Default::default() }).await, [all[1]], "over alone");
    let page = store.requests(&RequestFilter { limit: 3, ..Default::default() }).await.unwrap();
    assert_eq!((page.items.len(), page.next), (3, Some(all[2])));
    assert_eq!(list(RequestFilter { before: page.next, ..Default::default() }).await, all[3..]);
}

async fn a_page_is_of_what_somebody_may_see(store: Store) {
    let [ann, ben, cat, ..] = people(&store).await;
    let mut theirs = Vec::new();
    for number in 0..3 {
        for by in [&ann, &ben] {
            let rule = if number == 0 { "other" } else { "d_a" };
            let new = NewRequest { rule: rule.into(), ..asked(by, RequestKind::Access, 1) };
            theirs.push(store.create_request(&new, 20, false, &[]).await.unwrap().asked.id);
        }
    }
    let seen = |rules: &[&str], pending| SeenBy {
        person: cat.person,
        account: cat.id,
        approves: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        reviews: vec!["d_a".parse().unwrap()],
        pending,
    };
    let list = async |seen_by, limit| -> Vec<RequestId> {
        let filter = RequestFilter { seen_by: Some(seen_by), limit, ..Default::default() };
        let page = store.requests(&filter).await.unwrap();
        page.items.into_iter().map(|request| request.asked.id).collect()
    };
    assert_eq!(list(seen(&[], false), 10).await, [], "reviewing is of emergencies");
    assert_eq!(list(seen(&["other"], false), 10).await, [theirs[1], theirs[0]]);
    assert_eq!(list(seen(&["d_a"], false), 3).await, [theirs[5], theirs[4], theirs[3]], "a page is full");
    assert_eq!(list(seen(&[], true), 10).await.len(), 6);
    assert_eq!(list(SeenBy { person: ann.person, ..seen(&[], false) }, 10).await.len(), 3);
    let first = store.request(theirs[0]).await.unwrap().unwrap();
    decide(&store, &first, &word(&cat, true, 1)).await.unwrap();
    assert_eq!(list(seen(&[], false), 10).await, [theirs[0]], "what they said yes to");
    let filter = |user_name: &str, connection: &str| RequestFilter {
        user_name: Some(name(user_name)),
        connection: Some(ConnectionName::new(connection).unwrap()),
        limit: 10,
        ..Default::default()
    };
    let count = async |filter| store.requests(&filter).await.unwrap().items.len();
    assert_eq!(count(filter("ANN", "clinic")).await, 3);
    assert_eq!((count(filter("ann", "other")).await, count(filter("zoe", "clinic")).await), (0, 0));
}

async fn approvals_are_those_in_force_of_one_person_on_one_connection(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let request = ask(&store, &ann, 1).await;
    ask(&store, &ann, 1).await;
    let to = request.asked.connection;
    assert_eq!(store.approvals(ann.id, to, NOW).await.unwrap(), [], "pending");
    let request = decide(&store, &request, &word(&ben, true, 1)).await.unwrap();
    assert_eq!(store.approvals(ann.id, to, later(2)).await.unwrap(), std::slice::from_ref(&request));
    assert_eq!(store.approvals(ben.id, to, later(2)).await.unwrap(), []);
    assert_eq!(store.approvals(ann.id, ConnectionId::generate(), later(2)).await.unwrap(), []);
    assert_eq!(store.approvals(ann.id, to, later(1 + HOUR)).await.unwrap(), [], "over by the clock");
    end(&store, &request, 2).await.unwrap();
    assert_eq!(store.approvals(ann.id, to, later(2)).await.unwrap(), []);
}

async fn an_event_that_cannot_be_written_takes_the_change_with_it(store: Store) {
    let [ann, ben, ..] = people(&store).await;
    let request = ask(&store, &ann, 1).await;
    let size = store.ledger_head().await.unwrap().size;
    let absent =
        Request { asked: NewRequest { id: RequestId::generate(), ..request.asked.clone() }, ..request };
    assert!(decide(&store, &absent, &word(&ben, true, 1)).await.is_err());
    assert!(end(&store, &absent, 1).await.is_err());
    let refused = store.create_request(&asked(&ann, RequestKind::Access, 1), 1, false, &events(2)).await;
    assert_eq!(conflict(refused), Conflict::TooMany);
    assert_eq!(store.ledger_head().await.unwrap().size, size, "what was refused left no event");
    store.append(&[event(EventCode::LedgerRead)]).await.unwrap();
}

async fn an_approval_of_one_statement_is_good_for_one_session(store: Store) {
    let (ada, east) = (user(&store, "ada").await, agent(&store, "east").await);
    let session_of = |request: &Request| NewSession {
        request: Some(request.asked.id),
        ..new_session(&ada, &east, "clinic")
    };
    let open = async |new: NewSession| store.create_session(&new, 20, &events(1)).await;

    let one = ask(&store, &ada, 0).await;
    let (first, second) = (session_of(&one), session_of(&one));
    let before = size(&store).await;
    let both = tokio::join!(open(first), open(second));
    let refused = match both {
        (Ok(_), refused) | (refused, Ok(_)) => refused,
        (first, second) => panic!("{first:?} and {second:?}"),
    };
    assert_eq!(conflict(refused), Conflict::Used);
    assert_eq!(size(&store).await, before + 1);
    assert_eq!(conflict(open(session_of(&one)).await), Conflict::Used, "later as well");

    let whole = NewRequest { statement: None, ..asked(&ada, RequestKind::Access, 0) };
    let whole = store.create_request(&whole, 20, false, &[]).await.unwrap();
    for _ in 0..2 {
        open(session_of(&whole)).await.unwrap();
    }
}

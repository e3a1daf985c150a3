//! Sessions.

use hoop_model::{ConnectionName, SessionId};
use hoop_store::{
    Conflict, NewSession, RecordingEnd, RecordingEnding, SessionEnd, SessionFilter, SessionProgress,
    SessionState, Store, UserChange,
};

use crate::fixtures::*;

/// More than any case opens, but for the one about it.
const MOST: u64 = 100;

crate::cases![
    a_session_goes_its_way,
    a_session_of_someone_unknown_or_locked_is_refused,
    a_session_through_a_removed_agent_is_refused,
    no_more_than_the_most_are_open_however_many_try_at_once,
    a_state_is_left_once,
    the_first_reason_stands,
    a_seal_is_kept_once_and_may_come_late,
    an_agent_may_sign_late_for_what_broke_off,
    progress_never_goes_back,
    tickets_are_given_out_once,
    a_certificate_is_renewed_while_live,
    sessions_are_found,
    sessions_are_listed_in_pages,
];

async fn session(store: &Store) -> NewSession {
    let (user, agent) = (user(store, "ada").await, agent(store, "east").await);
    let new = new_session(&user, &agent, "pg");
    store.create_session(&new, MOST, &[]).await.unwrap();
    new
}

fn end(reason: &str) -> SessionEnd {
    SessionEnd { at: later(9), reason: reason.into(), code: "HOOP-4001".into() }
}

fn recording(ending: RecordingEnding) -> RecordingEnd {
    let manifest = matches!(ending, RecordingEnding::Sealed).then(|| b"manifest".to_vec());
    RecordingEnd { ending, manifest, trailer: None, at: later(10) }
}

async fn a_session_goes_its_way(store: Store) {
    let (user, agent) = (user(&store, "ada").await, agent(&store, "east").await);
    let new = new_session(&user, &agent, "pg");
    let made = store.create_session(&new, MOST, &events(2)).await.unwrap();
    assert_eq!((made.state, made.next_ticket, &made.grant), (SessionState::Opening, 0, &new.grant));
    assert_eq!(made.reason.as_deref(), Some("to see\u{fffd}"), "NUL is kept alike by both databases");
    let live =
        store.change_session_state(new.id, &[SessionState::Opening], SessionState::Live, &events(1)).await;
    assert_eq!(live.unwrap().state, SessionState::Live);
    let over = store.end_session(new.id, &end("killed"), &events(1)).await.unwrap();
    assert_eq!(
        (over.state, over.ended_at, over.end_reason.as_deref()),
        (SessionState::Ending, Some(later(9)), Some("killed"))
    );
    let sealed =
        store.end_recording(new.id, &recording(RecordingEnding::Sealed), &end("other"), &events(1)).await;
    let sealed = sealed.unwrap();
    assert_eq!(
        (sealed.state, sealed.end_reason.as_deref(), sealed.manifest_seq),
        (SessionState::Ended, Some("killed"), Some(4))
    );
    assert_eq!(sealed.recording, Some(recording(RecordingEnding::Sealed)));
    assert_eq!(store.session(new.id).await.unwrap(), Some(sealed));
}

async fn a_session_of_someone_unknown_or_locked_is_refused(store: Store) {
    let (mut user, agent) = (user(&store, "ada").await, agent(&store, "east").await);
    let lock = UserChange { locked: Some(true), ..Default::default() };
    store.change_user(user.id, &lock, NOW, &[]).await.unwrap();
    let refused = store.create_session(&new_session(&user, &agent, "pg"), MOST, &events(1)).await;
    assert_eq!(conflict(refused), Conflict::Locked);
    user.id = hoop_model::UserId::generate();
    not_found(store.create_session(&new_session(&user, &agent, "pg"), MOST, &events(1)).await);
    assert_eq!(size(&store).await, 0);
}

async fn a_session_through_a_removed_agent_is_refused(store: Store) {
    let (user, agent) = (user(&store, "ada").await, agent(&store, "east").await);
    store.remove_agent(agent.id, NOW, &[]).await.unwrap();
    let refused = store.create_session(&new_session(&user, &agent, "pg"), MOST, &events(1)).await;
    assert_eq!(conflict(refused), Conflict::Revoked);
    assert_eq!((size(&store).await, store.live_sessions().await.unwrap().len()), (0, 0));
}

async fn no_more_than_the_most_are_open_however_many_try_at_once(store: Store) {
    let (ada, eve, agent) =
        (user(&store, "ada").await, user(&store, "eve").await, agent(&store, "east").await);
    let refused = store.create_session(&new_session(&ada, &agent, "pg"), 0, &events(1)).await;
    assert_eq!(conflict(refused), Conflict::TooMany);
    let opened = race(16, |_| {
        let (store, new) = (store.clone(), new_session(&ada, &agent, "pg"));
        async move { (new.id, store.create_session(&new, 3, &events(1)).await) }
    })
    .await;
    let (good, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(|(_, result)| result.is_ok());
    assert_eq!((good.len(), size(&store).await), (3, 3));
    refused.into_iter().for_each(|(_, result)| assert_eq!(conflict(result), Conflict::TooMany));
    assert_eq!(store.live_sessions_of_user(ada.id).await.unwrap().len(), 3);
    // Another person's count is another, and a place is free again when a session is over.
    store.create_session(&new_session(&eve, &agent, "pg"), 1, &[]).await.unwrap();
    store.end_session(good[0].0, &end("done"), &[]).await.unwrap();
    store.create_session(&new_session(&ada, &agent, "pg"), 3, &[]).await.unwrap();
}

async fn a_state_is_left_once(store: Store) {
    let new = session(&store).await;
    let won = race(4, |_| {
        let (store, id) = (store.clone(), new.id);
        async move {
            store
                .change_session_state(id, &[SessionState::Opening], SessionState::Live, &events(1))
                .await
                .is_ok()
        }
    })
    .await;
    assert_eq!((won.iter().filter(|won| **won).count(), size(&store).await), (1, 1));
    let unknown = SessionId::generate();
    not_found(store.change_session_state(unknown, &[SessionState::Opening], SessionState::Live, &[]).await);
}

async fn the_first_reason_stands(store: Store) {
    let new = session(&store).await;
    let won = race(4, |n| {
        let (store, id) = (store.clone(), new.id);
        async move { store.end_session(id, &end(&format!("reason {n}")), &events(1)).await.is_ok() }
    })
    .await;
    assert_eq!((won.iter().filter(|won| **won).count(), size(&store).await), (1, 1));
    assert_eq!(conflict(store.end_session(new.id, &end("late"), &events(1)).await), Conflict::Changed);
    not_found(store.end_session(SessionId::generate(), &end("x"), &events(1)).await);
}

async fn a_seal_is_kept_once_and_may_come_late(store: Store) {
    let new = session(&store).await;
    let cut =
        store.end_recording(new.id, &recording(RecordingEnding::Interrupted), &end("lost"), &events(1)).await;
    let cut = cut.unwrap();
    assert_eq!(
        (cut.state, cut.end_reason.as_deref(), cut.manifest_seq),
        (SessionState::Interrupted, Some("lost"), None)
    );
    let again =
        store.end_recording(new.id, &recording(RecordingEnding::Interrupted), &end("x"), &events(1)).await;
    assert_eq!(conflict(again), Conflict::Changed);
    let late = store
        .end_recording(new.id, &recording(RecordingEnding::Sealed), &end("x"), &events(1))
        .await
        .unwrap();
    assert_eq!(
        (late.state, late.end_reason.as_deref(), late.manifest_seq),
        (SessionState::Ended, Some("lost"), Some(1))
    );
    for ending in [RecordingEnding::Sealed, RecordingEnding::Interrupted] {
        let refused = store.end_recording(new.id, &recording(ending), &end("x"), &events(1)).await;
        assert_eq!(conflict(refused), Conflict::Changed);
    }
    assert_eq!(size(&store).await, 2);
}

async fn an_agent_may_sign_late_for_what_broke_off(store: Store) {
    let new = session(&store).await;
    let unsigned = recording(RecordingEnding::Interrupted);
    store.end_recording(new.id, &unsigned, &end("lost"), &events(1)).await.unwrap();
    let signed = RecordingEnd { manifest: Some(b"manifest".to_vec()), ..unsigned };
    let late = store.end_recording(new.id, &signed, &end("x"), &events(1)).await.unwrap();
    assert_eq!((late.state, late.manifest_seq), (SessionState::Interrupted, Some(1)));
    let again = store.end_recording(new.id, &signed, &end("x"), &events(1)).await;
    assert_eq!(conflict(again), Conflict::Changed);
}

async fn progress_never_goes_back(store: Store) {
    let new = session(&store).await;
    let first = SessionProgress { requests: 5, rows: 10, bytes_out: 7, recording_bytes: 100 };
    let mixed = SessionProgress { requests: 6, rows: 9, bytes_out: 0, recording_bytes: 200 };
    store.session_progress(new.id, &first).await.unwrap();
    store.session_progress(new.id, &mixed).await.unwrap();
    let expected = SessionProgress { requests: 6, rows: 10, bytes_out: 7, recording_bytes: 200 };
    assert_eq!(store.session(new.id).await.unwrap().unwrap().progress, expected);
    not_found(store.session_progress(SessionId::generate(), &first).await);
}

async fn tickets_are_given_out_once(store: Store) {
    let new = session(&store).await;
    let mut firsts = race(8, |_| {
        let (store, id) = (store.clone(), new.id);
        async move { store.take_tickets(id, 3).await.unwrap() }
    })
    .await;
    firsts.sort_unstable();
    assert_eq!(firsts, (0..8).map(|n| n * 3).collect::<Vec<_>>());
    assert_eq!(conflict(store.take_tickets(new.id, u32::MAX).await), Conflict::TooMany);
    store.end_session(new.id, &end("over"), &[]).await.unwrap();
    assert_eq!(conflict(store.take_tickets(new.id, 1).await), Conflict::Changed);
    not_found(store.take_tickets(SessionId::generate(), 1).await);
}

async fn a_certificate_is_renewed_while_live(store: Store) {
    let new = session(&store).await;
    store.renew_session_certificate(new.id, later(900), &events(1)).await.unwrap();
    assert_eq!(store.session(new.id).await.unwrap().unwrap().certificate_expires_at, later(900));
    store.end_session(new.id, &end("over"), &[]).await.unwrap();
    let late = store.renew_session_certificate(new.id, later(999), &events(1)).await;
    assert_eq!((conflict(late), size(&store).await), (Conflict::Changed, 1));
}

async fn sessions_are_found(store: Store) {
    let (ada, eve) = (user(&store, "ada").await, user(&store, "eve").await);
    let (east, west) = (agent(&store, "east").await, agent(&store, "west").await);
    let first = new_session(&ada, &east, "pg-a");
    let second = NewSession { started_at: later(100), ..new_session(&eve, &west, "pg-b") };
    for new in [&first, &second] {
        store.create_session(new, MOST, &[]).await.unwrap();
    }
    store.end_session(first.id, &end("over"), &[]).await.unwrap();
    let all = SessionFilter { limit: 10, ..Default::default() };
    let filters = [
        (all.clone(), vec![second.id, first.id]),
        (SessionFilter { live: Some(true), ..all.clone() }, vec![second.id]),
        (SessionFilter { live: Some(false), ..all.clone() }, vec![first.id]),
        (SessionFilter { user: Some(ada.id), ..all.clone() }, vec![first.id]),
        (SessionFilter { user_name: Some(name("EVE")), ..all.clone() }, vec![second.id]),
        (
            SessionFilter { connection: Some(ConnectionName::new("pg-a").unwrap()), ..all.clone() },
            vec![first.id],
        ),
        (SessionFilter { agent: Some(west.id), ..all.clone() }, vec![second.id]),
        (SessionFilter { since: Some(later(100)), ..all.clone() }, vec![second.id]),
        (SessionFilter { until: Some(later(100)), ..all.clone() }, vec![first.id]),
        (SessionFilter { user: Some(ada.id), agent: Some(west.id), ..all.clone() }, vec![]),
        (SessionFilter { after: Some(second.id), ..all }, vec![first.id]),
    ];
    for (filter, expected) in filters {
        let found: Vec<_> = store.sessions(&filter).await.unwrap().items.iter().map(|s| s.id).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let ids = |sessions: Vec<hoop_store::SessionRecord>| sessions.iter().map(|s| s.id).collect::<Vec<_>>();
    assert_eq!(ids(store.live_sessions().await.unwrap()), [second.id]);
    assert_eq!(ids(store.open_sessions_of_agent(east.id).await.unwrap()), [first.id]);
    assert_eq!(ids(store.live_sessions_of_user(ada.id).await.unwrap()), []);
    assert_eq!(ids(store.live_sessions_of_user(eve.id).await.unwrap()), [second.id]);
}

async fn sessions_are_listed_in_pages(store: Store) {
    let (ada, east) = (user(&store, "ada").await, agent(&store, "east").await);
    let mut expected = Vec::new();
    for _ in 0..5 {
        let new = new_session(&ada, &east, "pg");
        store.create_session(&new, MOST, &[]).await.unwrap();
        expected.insert(0, new.id);
    }
    let mut found = Vec::new();
    let mut filter = SessionFilter { limit: 2, ..Default::default() };
    loop {
        let page = store.sessions(&filter).await.unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items.iter().map(|session| session.id));
        filter.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
}

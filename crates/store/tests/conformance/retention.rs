//! Recordings after their session: stored, kept, held, deleted with proof, erased.

use hoop_model::{HoldId, SessionId};
use hoop_store::{
    Conflict, HoldSubject, NewHold, NewSession, RecordingEnd, RecordingEnding, SessionEnd, Store,
};

use crate::fixtures::{agent, conflict, events, later, new_session, not_found, race, size, user};

crate::cases![
    a_recording_is_deleted_when_its_time_is_over,
    what_is_held_stays,
    a_hold_is_released_once,
    of_a_hold_and_a_deletion_one_is_first,
    objects_are_told_of_holds,
    nothing_is_deleted_that_is_kept_for_ever,
];

/// A session with a sealed recording that is kept for 100 s from `later(10)` on.
async fn recorded(store: &Store, retention_seconds: Option<u64>) -> NewSession {
    let user = match store.user_by_name(&"ada".parse().unwrap()).await.unwrap() {
        Some(user) => user,
        None => user(store, "ada").await,
    };
    let agent = match store.agent_by_name(&"east".parse().unwrap()).await.unwrap() {
        Some(agent) => agent,
        None => agent(store, "east").await,
    };
    let new = NewSession { retention_seconds, ..new_session(&user, &agent, "pg") };
    store.create_session(&new, 100, &[]).await.unwrap();
    let manifest = Some(br#"{"bytes":1000}"#.to_vec());
    let trailer = Some(vec![7; 50]);
    let recording = RecordingEnd { ending: RecordingEnding::Sealed, manifest, trailer, at: later(10) };
    let end = SessionEnd { at: later(9), reason: "over".into(), code: "closed".into() };
    store.end_recording(new.id, &recording, &end, &events(1)).await.unwrap();
    new
}

fn hold(subject: HoldSubject) -> NewHold {
    NewHold {
        id: HoldId::generate(),
        subject,
        subject_name: "ada".into(),
        reason: "case 17".into(),
        placed_by: "grace".into(),
        placed_at: later(20),
    }
}

async fn due(store: &Store, seconds: u64) -> Vec<SessionId> {
    store.recordings_due(later(seconds), 10).await.unwrap().iter().map(|session| session.id).collect()
}

async fn a_recording_is_deleted_when_its_time_is_over(store: Store) {
    let id = recorded(&store, Some(100)).await.id;
    let kept = store.session(id).await.unwrap().unwrap();
    assert_eq!(kept.keeping.retain_until, Some(later(110)));
    assert_eq!(kept.signed_length(), Some(1050));
    assert_eq!(store.trailer(id).await.unwrap(), Some(vec![7; 50]));
    assert_eq!(store.recordings_to_store(None, 10).await.unwrap().len(), 1);
    store.recording_stored(id, later(11), false, &events(1)).await.unwrap();
    assert_eq!(conflict(store.recording_stored(id, later(11), false, &[]).await), Conflict::Changed);
    assert!(store.recordings_to_store(None, 10).await.unwrap().is_empty());

    assert_eq!(due(&store, 109).await, []);
    let before = size(&store).await;
    assert_eq!(conflict(store.delete_recording(id, later(109), &events(1)).await), Conflict::Changed);
    assert_eq!(size(&store).await, before, "nothing is told of what did not happen");
    assert_eq!(due(&store, 110).await, [id]);
    store.delete_recording(id, later(110), &events(1)).await.unwrap();
    assert_eq!(conflict(store.delete_recording(id, later(111), &[]).await), Conflict::Changed);
    assert_eq!(due(&store, 200).await, []);

    assert_eq!(store.recordings_to_erase(None, 10).await.unwrap()[0].id, id);
    store.recording_erased(id, later(112)).await.unwrap();
    assert!(store.recordings_to_erase(None, 10).await.unwrap().is_empty());
    let keeping = store.session(id).await.unwrap().unwrap().keeping;
    assert_eq!((keeping.deleted_at, keeping.erased_at), (Some(later(110)), Some(later(112))));
    assert_eq!(store.trailer(id).await.unwrap(), Some(vec![7; 50]), "the proof stays");
    not_found(store.delete_recording(SessionId::generate(), later(1), &[]).await);
}

async fn nothing_is_deleted_that_is_kept_for_ever(store: Store) {
    let id = recorded(&store, None).await.id;
    assert_eq!(due(&store, 1_000_000_000).await, []);
    let refused = store.delete_recording(id, later(1_000_000_000), &events(1)).await;
    assert_eq!(conflict(refused), Conflict::Changed);
}

async fn what_is_held_stays(store: Store) {
    let session = recorded(&store, Some(100)).await;
    let other = recorded(&store, Some(100)).await;
    for subject in [
        HoldSubject::Session(session.id),
        HoldSubject::User(session.user),
        HoldSubject::Connection(session.connection),
    ] {
        let hold = hold(subject);
        store.place_hold(&hold, &events(1)).await.unwrap();
        assert!(store.is_held(session.id).await.unwrap());
        // The same person's other recording is on another connection.
        let covers_other = matches!(subject, HoldSubject::User(_));
        assert_eq!(store.is_held(other.id).await.unwrap(), covers_other, "{subject:?}");
        assert!(!due(&store, 110).await.contains(&session.id), "{subject:?}");
        let before = size(&store).await;
        let refused = store.delete_recording(session.id, later(110), &events(1)).await;
        assert_eq!(conflict(refused), Conflict::Held, "{subject:?}");
        assert_eq!(size(&store).await, before);
        store.release_hold(hold.id, ("grace", later(30), "settled"), &events(1)).await.unwrap();
        assert!(!store.is_held(session.id).await.unwrap());
    }
    store.delete_recording(session.id, later(110), &events(1)).await.unwrap();
}

async fn a_hold_is_released_once(store: Store) {
    let session = recorded(&store, Some(100)).await;
    let (first, second) = (hold(HoldSubject::Session(session.id)), hold(HoldSubject::User(session.user)));
    store.place_hold(&first, &events(1)).await.unwrap();
    store.place_hold(&second, &events(1)).await.unwrap();
    let release = || store.release_hold(first.id, ("grace", later(30), "settled"), &[]);
    release().await.unwrap();
    assert_eq!(conflict(release().await), Conflict::Changed);
    assert!(store.is_held(session.id).await.unwrap(), "by the other one");
    let listed = store.holds().await.unwrap();
    assert_eq!(listed.iter().map(|hold| hold.placed.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!(listed[1].released, Some(("grace".into(), later(30), "settled".into())));
    assert_eq!(store.hold(first.id).await.unwrap().unwrap().placed, first);
    not_found(store.release_hold(HoldId::generate(), ("grace", later(1), ""), &[]).await);
}

async fn of_a_hold_and_a_deletion_one_is_first(store: Store) {
    for _ in 0..10 {
        let id = recorded(&store, Some(100)).await.id;
        let ends = race(2, |number| {
            let store = store.clone();
            async move {
                match number {
                    0 => store.place_hold(&hold(HoldSubject::Session(id)), &events(1)).await.map(|()| "held"),
                    _ => store.delete_recording(id, later(110), &events(1)).await.map(|()| "deleted"),
                }
            }
        })
        .await;
        let deleted = store.session(id).await.unwrap().unwrap().keeping.deleted_at.is_some();
        assert_eq!(deleted, ends.iter().any(|end| matches!(end, Ok("deleted"))), "{ends:?}");
    }
}

async fn objects_are_told_of_holds(store: Store) {
    let session = recorded(&store, Some(100)).await;
    let hold = hold(HoldSubject::User(session.user));
    store.place_hold(&hold, &events(1)).await.unwrap();
    let wanted = || store.object_holds_to_change(10);
    assert_eq!(wanted().await.unwrap(), [], "it is no object yet");
    store.recording_stored(session.id, later(11), false, &events(1)).await.unwrap();
    assert_eq!(wanted().await.unwrap(), [(session.id, true)]);
    store.object_hold_changed(session.id, true).await.unwrap();
    assert_eq!(wanted().await.unwrap(), []);
    store.release_hold(hold.id, ("grace", later(30), "settled"), &events(1)).await.unwrap();
    assert_eq!(wanted().await.unwrap(), [(session.id, false)]);
    store.object_hold_changed(session.id, false).await.unwrap();
    assert_eq!(wanted().await.unwrap(), []);
}

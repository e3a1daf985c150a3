//! Recording keys: one in force, the older ones kept, and what needs them counted.

use hoop_ledger::{Draft, EventCode};
use hoop_model::Actor;
use hoop_store::{Conflict, NewEvent, NewRecordingKey, NewSession, RecordingKey, Store};

use crate::{
    cases,
    fixtures::{NOW, agent, conflict, later, new_session, size, user},
};

cases![
    one_is_in_force_at_a_time,
    the_first_is_that_of_all_before,
    what_needs_a_key_is_counted,
    the_same_key_moves
];

fn key(id: &str, keeper: &str) -> NewRecordingKey {
    NewRecordingKey {
        id: id.parse().unwrap(),
        keeper: keeper.into(),
        place: "there".into(),
        public_pem: format!("pem of {id}"),
        at: NOW,
    }
}

const A: &str = "00000000000000aa";
const B: &str = "00000000000000bb";

fn told() -> NewEvent {
    NewEvent::new(NOW, Draft::new(Actor::System, EventCode::RecordingKeyRotated))
}

async fn by_id(store: &Store, id: &str) -> RecordingKey {
    let keys = store.recording_keys().await.unwrap();
    keys.into_iter().find(|key| key.id.to_string() == id).unwrap()
}

async fn one_is_in_force_at_a_time(store: Store) {
    assert_eq!(store.recording_key_in_force().await.unwrap(), None);
    let (a, b) = (key(A, "file"), key(B, "file"));
    store.put_recording_key(&a, None, &[told()]).await.unwrap();
    let before = size(&store).await;
    // Two gateways at once, or two admins: one of them is told.
    for wrong in [None, Some(b.id)] {
        assert_eq!(conflict(store.put_recording_key(&b, wrong, &[told()]).await), Conflict::Changed);
    }
    assert_eq!((size(&store).await, store.recording_key(b.id).await.unwrap()), (before, None));
    store
        .put_recording_key(&NewRecordingKey { at: later(5), ..b.clone() }, Some(a.id), &[told()])
        .await
        .unwrap();
    assert_eq!(store.recording_key_in_force().await.unwrap().unwrap().id, b.id);
    assert_eq!(by_id(&store, A).await.retired_at, Some(later(5)));
    // And back again: nothing is lost.
    store.put_recording_key(&a, Some(b.id), &[told()]).await.unwrap();
    assert_eq!(store.recording_key_in_force().await.unwrap().unwrap().id, a.id);
    assert_eq!(store.recording_keys().await.unwrap().len(), 2);
    assert!(by_id(&store, B).await.retired_at.is_some());
}

async fn the_same_key_moves(store: Store) {
    let a = key(A, "file");
    store.put_recording_key(&a, None, &[]).await.unwrap();
    let handed_over = NewRecordingKey { keeper: "public".into(), place: String::new(), ..a.clone() };
    store.put_recording_key(&handed_over, Some(a.id), &[told()]).await.unwrap();
    let kept = store.recording_key_in_force().await.unwrap().unwrap();
    assert_eq!((kept.id, kept.keeper.as_str(), kept.retired_at), (a.id, "public", None));
    assert_eq!(kept.public_pem, a.public_pem);
}

async fn sessions(store: &Store, count: usize, key: Option<&str>) -> Vec<NewSession> {
    let name = format!("ada-{}", key.unwrap_or("none"));
    let (user, agent) = (user(store, &name).await, agent(store, &name).await);
    let mut made = Vec::new();
    for _ in 0..count {
        let new = NewSession {
            recording_key: key.map(|key| key.parse().unwrap()),
            ..new_session(&user, &agent, "pg")
        };
        store.create_session(&new, 100, &[]).await.unwrap();
        made.push(new);
    }
    made
}

async fn the_first_is_that_of_all_before(store: Store) {
    sessions(&store, 3, None).await;
    store.put_recording_key(&key(A, "file"), None, &[]).await.unwrap();
    store.put_recording_key(&key(B, "file"), Some(A.parse().unwrap()), &[]).await.unwrap();
    assert_eq!((by_id(&store, A).await.recordings, by_id(&store, B).await.recordings), (3, 0));
}

async fn what_needs_a_key_is_counted(store: Store) {
    store.put_recording_key(&key(A, "file"), None, &[]).await.unwrap();
    let made = sessions(&store, 2, Some(A)).await;
    store.put_recording_key(&key(B, "file"), Some(A.parse().unwrap()), &[]).await.unwrap();
    sessions(&store, 1, Some(B)).await;
    assert_eq!((by_id(&store, A).await.recordings, by_id(&store, B).await.recordings), (2, 1));
    // The recording's own word counts.
    store.session_recording_key(made[0].id, B.parse().unwrap()).await.unwrap();
    assert_eq!((by_id(&store, A).await.recordings, by_id(&store, B).await.recordings), (1, 2));
}

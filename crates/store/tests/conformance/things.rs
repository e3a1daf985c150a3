//! Flows, connections, the gateway's secrets.

use hoop_model::{ConnectionId, ConnectionName};
use hoop_store::{Conflict, DevicePoll, FlowKind, NewConnection, NewFlow, Store};
use serde_json::json;

use crate::fixtures::*;

crate::cases![
    a_flow_is_taken_once,
    a_flow_race_has_one_winner,
    a_flow_is_void_after_its_time_and_for_another_kind,
    a_device_sign_in_is_decided_and_given_out_once,
    a_device_race_has_one_winner,
    connections_are_made_replaced_and_removed,
    a_stale_replacement_is_refused,
    a_secret_is_set_once,
    the_store_answers,
];

fn flow(kind: FlowKind, seed: &str) -> NewFlow {
    NewFlow {
        kind,
        key: hash(seed),
        user_code: None,
        payload: json!({"seed": seed}),
        created_at: NOW,
        expires_at: later(60),
    }
}

async fn a_flow_is_taken_once(store: Store) {
    store.begin_flow(&flow(FlowKind::Oidc, "s")).await.unwrap();
    assert_eq!(conflict(store.begin_flow(&flow(FlowKind::Oidc, "s")).await), Conflict::NameTaken);
    assert_eq!(store.take_flow(FlowKind::Oidc, &hash("s"), NOW).await.unwrap(), Some(json!({"seed": "s"})));
    assert_eq!(store.take_flow(FlowKind::Oidc, &hash("s"), NOW).await.unwrap(), None);
}

async fn a_flow_race_has_one_winner(store: Store) {
    store.begin_flow(&flow(FlowKind::CliCode, "s")).await.unwrap();
    let taken = race(6, |_| {
        let store = store.clone();
        async move { store.take_flow(FlowKind::CliCode, &hash("s"), NOW).await.unwrap().is_some() }
    })
    .await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
}

async fn a_flow_is_void_after_its_time_and_for_another_kind(store: Store) {
    store.begin_flow(&flow(FlowKind::Oidc, "s")).await.unwrap();
    for (kind, seed, at) in [(FlowKind::Oidc, "s", 60), (FlowKind::CliCode, "s", 1), (FlowKind::Oidc, "t", 1)]
    {
        assert_eq!(
            store.take_flow(kind, &hash(seed), later(at)).await.unwrap(),
            None,
            "{kind:?} {seed} {at}"
        );
    }
    assert_eq!(store.sweep(later(60)).await.unwrap().flows, 1);
}

async fn a_device_sign_in_is_decided_and_given_out_once(store: Store) {
    let device = NewFlow { user_code: Some(hash("code")), ..flow(FlowKind::Device, "d") };
    store.begin_flow(&device).await.unwrap();
    let same_code = NewFlow { key: hash("other"), ..device.clone() };
    assert_eq!(conflict(store.begin_flow(&same_code).await), Conflict::NameTaken);
    assert_eq!(store.poll_flow(FlowKind::Device, &hash("d"), NOW).await.unwrap(), DevicePoll::Pending);
    assert_eq!(store.poll_flow(FlowKind::Device, &hash("code"), NOW).await.unwrap(), DevicePoll::Gone);
    assert_eq!(
        store.undecided_flow(FlowKind::Device, &hash("code"), NOW).await.unwrap(),
        Some(device.payload)
    );
    not_found(store.decide_flow(FlowKind::Device, &hash("guess"), &json!(true), NOW, &events(1)).await);
    not_found(store.decide_flow(FlowKind::Device, &hash("code"), &json!(true), later(60), &events(1)).await);
    store.decide_flow(FlowKind::Device, &hash("code"), &json!({"user": 1}), NOW, &events(1)).await.unwrap();
    not_found(store.decide_flow(FlowKind::Device, &hash("code"), &json!({"user": 2}), NOW, &events(1)).await);
    assert_eq!(store.undecided_flow(FlowKind::Device, &hash("code"), NOW).await.unwrap(), None);
    assert_eq!(
        store.poll_flow(FlowKind::Device, &hash("d"), NOW).await.unwrap(),
        DevicePoll::Decided(json!({"user": 1}))
    );
    assert_eq!(store.poll_flow(FlowKind::Device, &hash("d"), NOW).await.unwrap(), DevicePoll::Gone);
    assert_eq!(size(&store).await, 1);
}

async fn a_device_race_has_one_winner(store: Store) {
    let device = NewFlow { user_code: Some(hash("code")), ..flow(FlowKind::Device, "d") };
    store.begin_flow(&device).await.unwrap();
    store.decide_flow(FlowKind::Device, &hash("code"), &json!(1), NOW, &[]).await.unwrap();
    let polls = race(6, |_| {
        let store = store.clone();
        async move { store.poll_flow(FlowKind::Device, &hash("d"), NOW).await.unwrap() }
    })
    .await;
    assert_eq!(polls.iter().filter(|poll| matches!(poll, DevicePoll::Decided(_))).count(), 1);
}

fn connection(text: &str) -> NewConnection {
    NewConnection {
        id: ConnectionId::generate(),
        name: ConnectionName::new(text).unwrap(),
        definition: json!({"agent": "a", "text": "\u{0}é"}),
        created_at: NOW,
    }
}

async fn connections_are_made_replaced_and_removed(store: Store) {
    let new = connection("pg-b");
    let made = store.create_connection(&new, &events(1)).await.unwrap();
    assert_eq!((made.version, &made.definition), (1, &new.definition));
    assert_eq!(conflict(store.create_connection(&connection("pg-b"), &events(1)).await), Conflict::NameTaken);
    store.create_connection(&connection("pg-a"), &[]).await.unwrap();
    let names: Vec<_> = store.connections().await.unwrap().iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["pg-a", "pg-b"]);
    let replaced = store.replace_connection(made.id, 1, &json!({}), later(1), &events(1)).await.unwrap();
    assert_eq!((replaced.version, replaced.changed_at, replaced.created_at), (2, later(1), NOW));
    assert_eq!(store.connection_by_name(&new.name).await.unwrap(), Some(replaced));
    store.remove_connection(made.id, &events(1)).await.unwrap();
    not_found(store.remove_connection(made.id, &events(1)).await);
    not_found(store.replace_connection(made.id, 2, &json!({}), NOW, &events(1)).await);
    assert_eq!(store.connection(made.id).await.unwrap(), None);
    assert_eq!(size(&store).await, 3);
}

async fn a_stale_replacement_is_refused(store: Store) {
    let made = store.create_connection(&connection("pg"), &[]).await.unwrap();
    let won = race(4, |n| {
        let (store, id) = (store.clone(), made.id);
        async move { store.replace_connection(id, 1, &json!({"n": n}), NOW, &events(1)).await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let stale = store.replace_connection(made.id, 1, &json!({}), NOW, &events(1)).await;
    assert_eq!(conflict(stale), Conflict::Changed);
    assert_eq!(size(&store).await, 1);
}

async fn a_secret_is_set_once(store: Store) {
    let results = race(4, |n| {
        let store = store.clone();
        async move {
            store.put_secret_if_absent("ca", &[u8::try_from(n).unwrap()], NOW, &events(1)).await.unwrap()
        }
    })
    .await;
    assert_eq!(results.iter().filter(|(_, ours)| *ours).count(), 1);
    let kept = store.secret("ca").await.unwrap().unwrap();
    assert!(results.iter().all(|(sealed, _)| *sealed == kept));
    assert_eq!((store.secret("other").await.unwrap(), size(&store).await), (None, 1));
    not_found(store.replace_secret("other", b"x", NOW, &events(1)).await);
    store.replace_secret("ca", b"new", NOW, &events(1)).await.unwrap();
    assert_eq!(store.secret("ca").await.unwrap().as_deref(), Some(&b"new"[..]));
}

async fn the_store_answers(store: Store) {
    store.ping().await.unwrap();
    store.close().await;
    assert!(matches!(store.ping().await, Err(hoop_store::StoreError::Unavailable(_))));
}

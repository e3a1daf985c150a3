//! The ledger.

use std::collections::BTreeSet;

use hoop_ledger::{Draft, EventCode, Frontier, LedgerEvent, leaf_hash};
use hoop_model::{Actor, SessionId, UserId};
use hoop_store::{Conflict, EventFilter, NewEvent, Store, StoredCheckpoint};

use crate::fixtures::*;

crate::cases![
    an_event_is_kept_as_it_is_hashed,
    appending_at_once_leaves_no_holes,
    events_of_changes_and_others_share_one_order,
    events_are_found,
    an_event_is_appended_once,
    checkpoints_are_kept,
];

async fn an_event_is_kept_as_it_is_hashed(store: Store) {
    assert_eq!(store.append(&[]).await.unwrap(), 0);
    assert_eq!(store.append(&events(2)).await.unwrap(), 0);
    let third = event(EventCode::GatewayStarted);
    assert_eq!(store.append(std::slice::from_ref(&third)).await.unwrap(), 2);
    let stored = store.event(2).await.unwrap();
    assert_eq!((stored.seq, stored.id, stored.code.as_str()), (2, third.id, "gateway.started"));
    assert_eq!((stored.actor.as_str(), stored.at), ("system", NOW));
    let event = LedgerEvent::from_leaf(&stored.bytes).unwrap();
    assert_eq!((event.seq, event.id, event.facts), (2, third.id, third.draft.facts));
    assert_eq!(leaf_hash(&stored.bytes).as_bytes(), &stored.leaf_hash);
    assert_eq!(store.leaf_hashes(2, 9).await.unwrap(), [stored.leaf_hash]);
    not_found(store.event(3).await);
}

async fn appending_at_once_leaves_no_holes(store: Store) {
    let firsts = race(8, |_| {
        let store = store.clone();
        async move {
            let mut firsts = Vec::new();
            for count in 1..=5 {
                firsts.push(store.append(&events(count)).await.unwrap());
            }
            firsts
        }
    })
    .await;
    let firsts: Vec<_> = firsts.concat();
    assert_eq!(firsts.iter().collect::<BTreeSet<_>>().len(), 40, "each batch has a place of its own");
    let seqs: Vec<_> = store.events_from(0, 1000).await.unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (0..120).collect::<Vec<_>>());
    assert_chained(&store).await;
}

/// Each leaf names the one before it, and the head's root is that of all leaves.
async fn assert_chained(store: &Store) {
    let mut frontier = Frontier::default();
    let mut last = None;
    for stored in store.events_from(0, 1000).await.unwrap() {
        let event = LedgerEvent::from_leaf(&stored.bytes).unwrap();
        assert_eq!((event.seq, event.prev), (stored.seq, last));
        let hash = leaf_hash(&stored.bytes);
        assert_eq!(hash.as_bytes(), &stored.leaf_hash);
        frontier.append(hash);
        last = Some(hash);
    }
    let head = store.ledger_head().await.unwrap();
    assert_eq!((head.size, head.appender.frontier()), (frontier.size(), &frontier));
}

async fn events_of_changes_and_others_share_one_order(store: Store) {
    race(6, |n| {
        let store = store.clone();
        async move {
            if n % 2 == 0 {
                store.create_user(&new_user(&format!("u{n}")), &events(2)).await.map(|_| ())
            } else {
                store.append(&events(1)).await.map(|_| ())
            }
        }
    })
    .await;
    let seqs: Vec<_> = store.events_from(0, 1000).await.unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (0..9).collect::<Vec<_>>());
}

async fn events_are_found(store: Store) {
    let (a, b) = (UserId::generate(), SessionId::generate());
    let draft = |code| Draft::new(Actor::System, code);
    let (one, two) = (EventCode::LedgerRead, EventCode::GatewayStarted);
    let first = NewEvent::new(NOW, draft(one).about(a).about(b).about(a));
    let second = NewEvent::new(later(5), draft(two).about(b));
    let third = NewEvent::new(later(9), Draft::new(Actor::Anonymous, one));
    store.append(&[first, second, third]).await.unwrap();
    let all = EventFilter { limit: 10, ..Default::default() };
    let filters = [
        (all.clone(), vec![2, 1, 0]),
        (EventFilter { limit: 2, ..all.clone() }, vec![2, 1]),
        (EventFilter { before: Some(2), ..all.clone() }, vec![1, 0]),
        (EventFilter { code: Some("ledger.read".into()), ..all.clone() }, vec![2, 0]),
        (EventFilter { actor: Some("anonymous".into()), ..all.clone() }, vec![2]),
        (EventFilter { subject: Some(b.to_string()), ..all.clone() }, vec![1, 0]),
        (
            EventFilter { subject: Some(b.to_string()), code: Some("gateway.started".into()), ..all.clone() },
            vec![1],
        ),
        (EventFilter { subject: Some(UserId::generate().to_string()), ..all.clone() }, vec![]),
        (EventFilter { subject: Some("b' OR 1=1".into()), ..all.clone() }, vec![]),
        (EventFilter { since: Some(later(5)), ..all.clone() }, vec![2, 1]),
        (EventFilter { until: Some(later(5)), ..all }, vec![0]),
    ];
    for (filter, expected) in filters {
        let found: Vec<_> =
            store.search_events(&filter).await.unwrap().iter().map(|event| event.seq).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn an_event_is_appended_once(store: Store) {
    let event = event(EventCode::LedgerRead);
    store.append(std::slice::from_ref(&event)).await.unwrap();
    assert_eq!(conflict(store.append(&[event]).await), Conflict::NameTaken);
    assert_eq!(size(&store).await, 1);
}

async fn checkpoints_are_kept(store: Store) {
    assert_eq!(store.latest_checkpoint().await.unwrap(), None);
    let checkpoint =
        |size, seed| StoredCheckpoint { size, root: hash(seed), note: format!("note {size}"), at: NOW };
    for size in [1, 7, 3] {
        store.save_checkpoint(&checkpoint(size, "r")).await.unwrap();
    }
    store.save_checkpoint(&checkpoint(7, "r")).await.unwrap();
    assert_eq!(conflict(store.save_checkpoint(&checkpoint(7, "forged")).await), Conflict::Changed);
    assert_eq!(store.latest_checkpoint().await.unwrap(), Some(checkpoint(7, "r")));
}

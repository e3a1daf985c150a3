//! Who is told of checkpoints, proofs from few rows, and cosignatures.

use hoop_ledger::Hash;
use hoop_ledger::{
    Appender, Draft, EventCode, Plan,
    tree::{verify_consistency, verify_inclusion},
};
use hoop_model::{Actor, ChannelName};
use hoop_store::{Cosignature, NewEvent, Receiver, ReceiverKind, Store, StoredCheckpoint};

use crate::fixtures::*;

crate::cases![
    how_a_receiver_stands,
    proofs_of_a_grown_ledger_hold,
    a_proof_waits_for_what_is_not_kept_yet,
    cosignatures_are_kept_with_their_checkpoint,
];

const SINK: ReceiverKind = ReceiverKind::Sink;

fn called(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

async fn how_a_receiver_stands(store: Store) {
    let name = called("siem");
    assert_eq!(store.receiver(SINK, &name).await.unwrap(), Receiver::fresh(SINK, name.clone()));
    store.receiver_failed(SINK, &name, NOW, "away").await.unwrap();
    store.receiver_failed(SINK, &name, later(5), &"x".repeat(1000)).await.unwrap();
    let failing = store.receiver(SINK, &name).await.unwrap();
    assert_eq!((failing.failing_since, failing.attempts, failing.size), (Some(NOW), 2, 0));
    assert_eq!(failing.last_error.unwrap().len(), 300);
    store.receiver_took(SINK, &name, 7, later(9)).await.unwrap();
    let good = store.receiver(SINK, &name).await.unwrap();
    let expected = Receiver { size: 7, delivered_at: Some(later(9)), ..Receiver::fresh(SINK, name.clone()) };
    assert_eq!(good, expected);
    // A slower gateway comes after a faster one.
    store.receiver_took(SINK, &name, 5, later(10)).await.unwrap();
    assert_eq!(store.receiver(SINK, &name).await.unwrap(), expected);
    // A witness of the same name is somebody else.
    store.receiver_failed(ReceiverKind::Witness, &name, NOW, "away").await.unwrap();
    assert_eq!(store.receiver(SINK, &name).await.unwrap(), expected);
    let kinds: Vec<_> = store.receivers().await.unwrap().iter().map(|receiver| receiver.kind).collect();
    assert_eq!(kinds, [SINK, ReceiverKind::Witness]);
}

/// Appends so many, and answers the ledger's leaf hashes and roots.
async fn grow(store: &Store, count: usize) -> (Vec<Hash>, Vec<Hash>) {
    let (mut log, mut leaves, mut roots) = (Appender::default(), Vec::new(), vec![Hash::of(b"")]);
    let events: Vec<_> = (0..count)
        .map(|_| NewEvent::new(NOW, Draft::new(Actor::System, EventCode::GatewayStopped)))
        .collect();
    store.append(&events).await.unwrap();
    for event in events {
        leaves.push(log.append(event.draft, event.id, event.at).unwrap().hash);
        roots.push(log.frontier().root());
    }
    (leaves, roots)
}

async fn proofs_of_a_grown_ledger_hold(store: Store) {
    let (leaves, roots) = grow(&store, 700).await;
    assert!(store.keep_subtrees(100).await.unwrap());
    assert!(store.keep_subtrees(0).await.unwrap(), "they are kept already");
    for (index, size) in
        [(0_usize, 1_usize), (0, 700), (255, 256), (256, 700), (511, 699), (699, 700), (300, 513)]
    {
        let (seq, total) = (u64::try_from(index).unwrap(), u64::try_from(size).unwrap());
        let proof = store.proof(&Plan::inclusion(seq, total).unwrap()).await.unwrap().unwrap();
        assert!(verify_inclusion(&leaves[index], seq, total, &proof, &roots[size]), "{index} of {size}");
        let proof = store.proof(&Plan::consistency(seq, total).unwrap()).await.unwrap().unwrap();
        assert!(verify_consistency(seq, &roots[index], total, &roots[size], &proof), "{index} to {size}");
    }
}

async fn a_proof_waits_for_what_is_not_kept_yet(store: Store) {
    grow(&store, 600).await;
    let plan = Plan::inclusion(599, 600).unwrap();
    assert_eq!(store.proof(&plan).await.unwrap(), None);
    assert!(!store.keep_subtrees(1).await.unwrap());
    assert_eq!(store.proof(&plan).await.unwrap(), None);
    assert!(store.keep_subtrees(1).await.unwrap());
    assert!(store.proof(&plan).await.unwrap().is_some());
    // Two gateways may keep the same at once.
    let both = race(4, |_| {
        let store = store.clone();
        async move { store.keep_subtrees(10).await.unwrap() }
    });
    assert_eq!(both.await, [true; 4]);
    // What is beyond the ledger is not there.
    assert_eq!(store.proof(&Plan::inclusion(0, 900).unwrap()).await.unwrap(), None);
}

async fn cosignatures_are_kept_with_their_checkpoint(store: Store) {
    for size in [3, 9, 12] {
        let checkpoint = StoredCheckpoint { size, root: hash("r"), note: format!("note {size}"), at: NOW };
        store.save_checkpoint(&checkpoint).await.unwrap();
    }
    assert_eq!(store.checkpoint(9).await.unwrap().unwrap().note, "note 9");
    assert_eq!(store.checkpoint(8).await.unwrap(), None);
    let line = |size, witness: &str, line: &str| Cosignature {
        size,
        witness: called(witness),
        line: line.into(),
        signed_at: later(1),
    };
    let (a, b) = (line(3, "a", "\u{2014} a x"), line(3, "b", "\u{2014} b x"));
    for new in [&b, &line(3, "a", "old"), &a, &line(9, "a", "x")] {
        store.keep_cosignature(new).await.unwrap();
    }
    assert_eq!(store.cosignatures(3).await.unwrap(), [a, b]);
    assert_eq!(store.cosignatures(12).await.unwrap(), []);
    for (witnesses, size) in [(0, Some(9)), (1, Some(9)), (2, Some(3)), (3, None)] {
        let found = store.latest_witnessed(witnesses).await.unwrap().map(|checkpoint| checkpoint.size);
        assert_eq!(found, size, "{witnesses}");
    }
    assert!(store.keep_cosignature(&line(4, "a", "x")).await.is_err(), "there is no such checkpoint");
}

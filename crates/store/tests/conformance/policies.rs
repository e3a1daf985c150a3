//! Versions of the access rules.

use hoop_store::{Conflict, NewPolicy, PolicyBundle, PolicyVersion, Store, StoreError};
use serde_json::json;

use crate::fixtures::*;

crate::cases![
    there_are_none_at_first,
    versions_count_and_none_is_changed,
    what_was_replaced_meanwhile_is_refused,
    of_two_writers_one_wins,
    versions_are_paged,
    the_highest_bundle_counts_and_not_the_last,
];

fn rules(number: u64) -> NewPolicy {
    NewPolicy {
        document: json!({ "rules": [{ "name": format!("r{number}"), "text": "ü \u{1F511} \" \\" }] }),
        author: None,
        author_name: "ann".into(),
        note: (number > 1).then(|| format!("change {number}")),
        created_at: later(number),
        bundle: None,
        bundle_text: None,
    }
}

async fn write(store: &Store, number: u64) -> Result<PolicyVersion, StoreError> {
    store.replace_policy(number - 1, &rules(number), &events(1)).await
}

async fn there_are_none_at_first(store: Store) {
    assert_eq!(store.policy_number().await.unwrap(), 0);
    assert_eq!(store.policy().await.unwrap(), None);
    assert_eq!(store.policy_version(0).await.unwrap(), None);
    assert_eq!(store.policy_versions(None, 10).await.unwrap().items, []);
}

async fn versions_count_and_none_is_changed(store: Store) {
    let first = write(&store, 1).await.unwrap();
    assert_eq!((first.version, &first.document, &first.note), (1, &rules(1).document, &None));
    let second = write(&store, 2).await.unwrap();
    assert_eq!((second.version, second.note.as_deref()), (2, Some("change 2")));
    assert_eq!(store.policy_number().await.unwrap(), 2);
    assert_eq!(store.policy().await.unwrap(), Some(second));
    assert_eq!(store.policy_version(1).await.unwrap(), Some(first));
    assert_eq!(store.policy_version(3).await.unwrap(), None);
}

async fn what_was_replaced_meanwhile_is_refused(store: Store) {
    write(&store, 1).await.unwrap();
    let size = store.ledger_head().await.unwrap().size;
    for stale in [0, 2, u64::from(u32::MAX)] {
        assert_eq!(conflict(store.replace_policy(stale, &rules(2), &events(1)).await), Conflict::Changed);
    }
    assert_eq!((store.policy_number().await.unwrap(), store.ledger_head().await.unwrap().size), (1, size));
}

async fn of_two_writers_one_wins(store: Store) {
    let won = race(6, |_| {
        let store = store.clone();
        async move { write(&store, 1).await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(store.policy_number().await.unwrap(), 1);
}

async fn versions_are_paged(store: Store) {
    for number in 1..=5 {
        write(&store, number).await.unwrap();
    }
    let versions = async |before: Option<u64>| {
        let page = store.policy_versions(before, 2).await.unwrap();
        (page.items.iter().map(|policy| policy.version).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(versions(None).await, (vec![5, 4], Some(4)));
    assert_eq!(versions(Some(4)).await, (vec![3, 2], Some(2)));
    assert_eq!(versions(Some(2)).await, (vec![1], None));
}

async fn the_highest_bundle_counts_and_not_the_last(store: Store) {
    assert_eq!(store.policy_bundle_number().await.unwrap(), 0);
    let bundle = |version| Some(PolicyBundle { version, sha256: format!("{version:064}") });
    for (at, bundle) in [(1, None), (2, bundle(i64::MAX as u64)), (3, bundle(7)), (4, None)] {
        let bundle_text = bundle.as_ref().map(|bundle| format!("text of {}", bundle.version));
        let new = NewPolicy { bundle: bundle.clone(), bundle_text: bundle_text.clone(), ..rules(at) };
        let kept = store.replace_policy(at - 1, &new, &events(1)).await.unwrap();
        assert_eq!(kept.bundle, bundle);
        assert_eq!(store.policy_version(at).await.unwrap().unwrap().bundle, bundle);
        assert_eq!(store.policy_bundle_text(at).await.unwrap(), bundle_text);
    }
    assert_eq!(store.policy_bundle_number().await.unwrap(), i64::MAX as u64);
}

//! Sealed codes: all of a proof or none, once, of one set, of enough holders.

use hoop_model::{AuthMethod, CodeSetId};
use hoop_store::{
    Conflict, NewCodeSet, NewLogin, Proof, Sha256, SignedIn, Store, StoreError, User, UserChange,
};

use crate::fixtures::*;

crate::cases![
    enough_codes_sign_somebody_in,
    what_is_not_enough_spends_nothing,
    a_code_is_good_once_also_in_a_race,
    codes_of_two_sets_are_not_put_together,
    revoked_and_old_sets_are_void,
    a_locked_person_is_not_let_in_by_them,
    sets_are_listed_with_what_became_of_them,
    one_holder_has_one_code,
];

fn set(seed: &str, needed: u32) -> NewCodeSet {
    let holders = ["ben", "cat", "dan"];
    NewCodeSet {
        id: CodeSetId::generate(),
        needed,
        made_by: name("root"),
        made_at: NOW,
        expires_at: later(600),
        codes: holders.iter().map(|holder| (name(holder), code(seed, holder))).collect(),
    }
}

fn code(seed: &str, holder: &str) -> Sha256 {
    hash(&format!("{seed} {holder}"))
}

async fn made(store: &Store, seed: &str, needed: u32) -> NewCodeSet {
    let set = set(seed, needed);
    store.create_code_set(&set, &events(1)).await.unwrap();
    set
}

async fn sign_in(store: &Store, user: &User, codes: &[Sha256], at: u64) -> Result<SignedIn, StoreError> {
    let at = later(at);
    let login = NewLogin { method: AuthMethod::SealedCodes, created_at: at, ..new_login(user.id) };
    store.create_login(&login, &[], &Proof::SealedCodes(codes.to_vec()), &events(1)).await
}

async fn enough_codes_sign_somebody_in(store: Store) {
    let ada = user(&store, "ada").await;
    made(&store, "s", 2).await;
    let signed_in = sign_in(&store, &ada, &[code("s", "ben"), code("s", "dan")], 1).await.unwrap();
    assert_eq!((signed_in.user.id, signed_in.login.method), (ada.id, AuthMethod::SealedCodes));
    // More than needed are good too, and spent.
    made(&store, "t", 2).await;
    sign_in(&store, &ada, &["ben", "cat", "dan"].map(|holder| code("t", holder)), 1).await.unwrap();
    assert!(store.sealed_code(&code("t", "cat")).await.unwrap().unwrap().used_at.is_some());
}

async fn what_is_not_enough_spends_nothing(store: Store) {
    let ada = user(&store, "ada").await;
    made(&store, "s", 3).await;
    let size = store.ledger_head().await.unwrap().size;
    let (ben, cat, dan) = (code("s", "ben"), code("s", "cat"), code("s", "dan"));
    assert_eq!(conflict(sign_in(&store, &ada, &[], 1).await), Conflict::Revoked);
    assert_eq!(conflict(sign_in(&store, &ada, &[ben], 1).await), Conflict::Revoked);
    assert_eq!(conflict(sign_in(&store, &ada, &[ben, cat], 1).await), Conflict::Revoked);
    assert_eq!(conflict(sign_in(&store, &ada, &[ben, cat, cat], 1).await), Conflict::Used);
    assert_eq!(conflict(sign_in(&store, &ada, &[ben, cat, hash("unknown")], 1).await), Conflict::Used);
    assert_eq!(store.ledger_head().await.unwrap().size, size);
    sign_in(&store, &ada, &[ben, cat, dan], 1).await.unwrap();
}

async fn a_code_is_good_once_also_in_a_race(store: Store) {
    let ada = user(&store, "ada").await;
    made(&store, "s", 2).await;
    let won = race(4, |number| {
        // All want ben's code, with another holder's.
        let other = if number % 2 == 0 { "cat" } else { "dan" };
        let (store, ada, codes) = (store.clone(), ada.clone(), [code("s", "ben"), code("s", other)]);
        async move { sign_in(&store, &ada, &codes, 1).await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!(
        conflict(sign_in(&store, &ada, &[code("s", "cat"), code("s", "dan")], 2).await),
        Conflict::Used
    );
}

async fn codes_of_two_sets_are_not_put_together(store: Store) {
    let ada = user(&store, "ada").await;
    made(&store, "s", 2).await;
    made(&store, "t", 2).await;
    let mixed = sign_in(&store, &ada, &[code("s", "ben"), code("t", "cat")], 1).await;
    assert_eq!(conflict(mixed), Conflict::Revoked);
}

async fn revoked_and_old_sets_are_void(store: Store) {
    let ada = user(&store, "ada").await;
    let old = made(&store, "s", 2).await;
    let codes = [code("s", "ben"), code("s", "cat")];
    assert_eq!(conflict(sign_in(&store, &ada, &codes, 600).await), Conflict::Revoked);
    assert!(store.revoke_code_set(old.id, later(1), &events(1)).await.unwrap());
    assert!(!store.revoke_code_set(old.id, later(2), &events(1)).await.unwrap());
    assert_eq!(conflict(sign_in(&store, &ada, &codes, 3).await), Conflict::Revoked);
    not_found(store.revoke_code_set(CodeSetId::generate(), NOW, &[]).await);
}

async fn a_locked_person_is_not_let_in_by_them(store: Store) {
    let ada = user(&store, "ada").await;
    made(&store, "s", 2).await;
    let lock = UserChange { locked: Some(true), ..Default::default() };
    store.change_user(ada.id, &lock, NOW, &[]).await.unwrap();
    let codes = [code("s", "ben"), code("s", "cat")];
    assert_eq!(conflict(sign_in(&store, &ada, &codes, 1).await), Conflict::Locked);
    assert_eq!(store.sealed_code(&codes[0]).await.unwrap().unwrap().used_at, None);
}

async fn sets_are_listed_with_what_became_of_them(store: Store) {
    let ada = user(&store, "ada").await;
    let (first, second) = (made(&store, "s", 2).await, made(&store, "t", 3).await);
    sign_in(&store, &ada, &[code("s", "ben"), code("s", "cat")], 7).await.unwrap();
    let sets = store.code_sets().await.unwrap();
    assert_eq!(
        sets.iter().map(|set| (set.id, set.needed)).collect::<Vec<_>>(),
        [(second.id, 3), (first.id, 2)]
    );
    let used: Vec<_> = sets[1]
        .codes
        .iter()
        .map(|code| (code.holder.as_str(), code.used_at, code.used_by.as_deref()))
        .collect();
    let at = Some(later(7));
    assert_eq!(used, [("ben", at, Some("ada")), ("cat", at, Some("ada")), ("dan", None, None)]);
}

async fn one_holder_has_one_code(store: Store) {
    let mut twice = set("s", 2);
    twice.codes.push((name("ben"), hash("another of ben's")));
    assert!(store.create_code_set(&twice, &events(1)).await.is_err());
    assert_eq!(store.code_sets().await.unwrap(), []);
}

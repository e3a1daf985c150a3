//! Passkeys: one owner each, a counter that only goes on, and gone is gone.

use hoop_model::{AuthMethod, CodeSetId, FactorKind, LoginId, Mfa, PasskeyId, UserId};
use hoop_store::{
    Conflict, Factor, NewCodeSet, NewLogin, NewPasskey, PasskeyUse, Proof, Store, User, UserChange,
};
use serde_json::json;

use crate::fixtures::*;

crate::cases![
    a_credential_has_one_owner,
    twenty_are_enough,
    only_a_good_sign_in_adds_one,
    a_use_moves_the_counter_and_is_good_once,
    one_without_a_counter_is_used_again,
    a_passkey_alone_signs_a_built_in_account_in,
    a_step_up_says_what_it_was_by,
    renamed_and_removed_by_the_owner_alone,
    the_last_factor_stays,
    a_reset_or_removed_account_has_none,
    names_of_every_kind,
];

fn passkey(user: UserId, credential: &str) -> NewPasskey {
    NewPasskey {
        id: PasskeyId::generate(),
        user,
        name: "a key".into(),
        credential_id: credential.as_bytes().to_vec(),
        credential: json!({ "key": credential }),
        counter: 1,
        created_at: NOW,
    }
}

/// Somebody, signed in.
async fn signed_in(store: &Store, name: &str) -> (User, LoginId) {
    let user = user(store, name).await;
    let login = new_login(user.id);
    store.create_login(&login, &[], &Proof::factors(&user, 11), &[]).await.unwrap();
    (user, login.id)
}

fn usage(of: &NewPasskey, counter: u32) -> PasskeyUse {
    PasskeyUse { id: of.id, credential: json!({ "at": counter }), counter }
}

fn by_passkey(user: UserId) -> NewLogin {
    let mfa = Some(Mfa { at: NOW, by: FactorKind::Passkey });
    NewLogin { method: AuthMethod::Passkey, mfa, ..new_login(user) }
}

async fn a_credential_has_one_owner(store: Store) {
    let ((ada, hers), (eve, evil)) = (signed_in(&store, "ada").await, signed_in(&store, "eve").await);
    let first = passkey(ada.id, "one");
    let kept = store.add_passkey(&first, hers, &events(1)).await.unwrap();
    assert_eq!((kept.id, kept.user, kept.used_at), (first.id, ada.id, None));
    for (owner, login) in [(ada.id, hers), (eve.id, evil)] {
        let again = store.add_passkey(&passkey(owner, "one"), login, &events(1)).await;
        assert_eq!(conflict(again), Conflict::NameTaken);
    }
    assert_eq!(store.passkey_by_credential(b"one").await.unwrap(), Some(kept.clone()));
    assert_eq!(store.passkey_by_credential(b"on").await.unwrap(), None);
    assert_eq!(store.passkeys_of(ada.id).await.unwrap(), [kept]);
    assert_eq!(store.passkeys_of(eve.id).await.unwrap(), []);
    assert_eq!(size(&store).await, 1);
}

async fn twenty_are_enough(store: Store) {
    let (ada, login) = signed_in(&store, "ada").await;
    let kept = race(24, |number| {
        let (store, new) = (store.clone(), passkey(ada.id, &format!("key {number}")));
        async move { store.add_passkey(&new, login, &events(1)).await }
    })
    .await;
    let (good, refused): (Vec<_>, Vec<_>) = kept.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), refused.len()), (20, 4));
    for refusal in refused {
        assert_eq!(conflict(refusal), Conflict::TooMany);
    }
    assert_eq!((store.passkeys_of(ada.id).await.unwrap().len(), size(&store).await), (20, 20));
}

async fn only_a_good_sign_in_adds_one(store: Store) {
    let ((ada, hers), (_, evil)) = (signed_in(&store, "ada").await, signed_in(&store, "eve").await);
    for login in [evil, LoginId::generate()] {
        let added = store.add_passkey(&passkey(ada.id, "one"), login, &events(1)).await;
        assert_eq!(conflict(added), Conflict::Revoked);
    }
    let late = NewPasskey { created_at: later(600), ..passkey(ada.id, "one") };
    assert_eq!(conflict(store.add_passkey(&late, hers, &events(1)).await), Conflict::Revoked);
    store.revoke_login(hers, None, NOW, &[]).await.unwrap();
    let over = store.add_passkey(&passkey(ada.id, "one"), hers, &events(1)).await;
    assert_eq!(conflict(over), Conflict::Revoked);
    assert_eq!((store.passkeys_of(ada.id).await.unwrap().len(), size(&store).await), (0, 0));
}

async fn a_use_moves_the_counter_and_is_good_once(store: Store) {
    let (ada, login) = signed_in(&store, "ada").await;
    let key = passkey(ada.id, "one");
    store.add_passkey(&key, login, &[]).await.unwrap();
    let prove = |counter| {
        let (store, factor) = (store.clone(), Factor::Passkey(usage(&key, counter)));
        async move { store.prove_mfa(login, &factor, later(1), later(1), &events(1)).await }
    };
    // Where it stood, further back, none.
    for counter in [1, 0] {
        assert_eq!(conflict(prove(counter).await), Conflict::Used);
    }
    let both = race(2, |_| prove(5)).await;
    assert_eq!(both.iter().filter(|proven| proven.is_ok()).count(), 1, "one use, one proof: {both:?}");
    assert_eq!(conflict(prove(4).await), Conflict::Used);
    prove(6).await.unwrap();
    let kept = store.passkey_by_credential(b"one").await.unwrap().unwrap();
    assert_eq!((kept.credential, kept.used_at), (json!({ "at": 6 }), Some(later(1))));
    assert_eq!(size(&store).await, 2);
}

async fn one_without_a_counter_is_used_again(store: Store) {
    let (ada, login) = signed_in(&store, "ada").await;
    let key = NewPasskey { counter: 0, ..passkey(ada.id, "one") };
    store.add_passkey(&key, login, &[]).await.unwrap();
    for _ in 0..2 {
        let factor = Factor::Passkey(usage(&key, 0));
        store.prove_mfa(login, &factor, NOW, NOW, &[]).await.unwrap();
    }
    // Once it has one, it has it for good.
    store.prove_mfa(login, &Factor::Passkey(usage(&key, 7)), NOW, NOW, &[]).await.unwrap();
    let back = store.prove_mfa(login, &Factor::Passkey(usage(&key, 0)), NOW, NOW, &[]).await;
    assert_eq!(conflict(back), Conflict::Used);
}

async fn a_passkey_alone_signs_a_built_in_account_in(store: Store) {
    let ((ada, hers), (eve, _)) = (signed_in(&store, "ada").await, signed_in(&store, "eve").await);
    let key = passkey(ada.id, "one");
    store.add_passkey(&key, hers, &[]).await.unwrap();
    let sign_in = |user, counter| {
        let (store, login, proof) = (store.clone(), by_passkey(user), Proof::Passkey(usage(&key, counter)));
        async move { store.create_login(&login, &[], &proof, &events(1)).await }
    };
    assert_eq!(conflict(sign_in(eve.id, 2).await), Conflict::Revoked, "somebody else's");
    let signed_in = sign_in(ada.id, 2).await.unwrap();
    let mfa = Some(Mfa { at: NOW, by: FactorKind::Passkey });
    assert_eq!((signed_in.login.method, signed_in.login.mfa), (AuthMethod::Passkey, mfa));
    assert_eq!(conflict(sign_in(ada.id, 2).await), Conflict::Used, "the same once more");
    // People of an identity provider come in by it, whatever they proved here.
    let person = hoop_store::OidcUser {
        id: UserId::generate(),
        issuer: "https://idp".into(),
        subject: "s".into(),
        name: name("olga"),
        groups: Vec::new(),
        role: None,
        at: NOW,
    };
    let olga = store.upsert_oidc(&person, |_, _| Vec::new()).await.unwrap();
    let theirs = new_login(olga.id);
    store.create_login(&theirs, &[], &Proof::Provider, &[]).await.unwrap();
    let other = passkey(olga.id, "two");
    store.add_passkey(&other, theirs.id, &[]).await.unwrap();
    let proof = Proof::Passkey(usage(&other, 2));
    let refused = store.create_login(&by_passkey(olga.id), &[], &proof, &[]).await;
    assert_eq!(conflict(refused), Conflict::Revoked);
    store.prove_mfa(theirs.id, &Factor::Passkey(usage(&other, 2)), NOW, NOW, &[]).await.unwrap();
    let lock = UserChange { locked: Some(true), ..UserChange::default() };
    store.change_user(ada.id, &lock, NOW, &[]).await.unwrap();
    assert_eq!(conflict(sign_in(ada.id, 9).await), Conflict::Locked);
    assert_eq!(size(&store).await, 1);
}

async fn a_step_up_says_what_it_was_by(store: Store) {
    let (ada, login) = signed_in(&store, "ada").await;
    let browser = new_login(ada.id);
    store.create_login(&browser, &[], &Proof::factors(&ada, 12), &[]).await.unwrap();
    let key = passkey(ada.id, "one");
    store.add_passkey(&key, login, &[]).await.unwrap();
    let mfa = async |login| store.login(login).await.unwrap().unwrap().mfa.unwrap();
    assert_eq!(mfa(login).await, Mfa { at: NOW, by: FactorKind::Totp });
    store.prove_mfa(browser.id, &Factor::Passkey(usage(&key, 2)), later(1), later(1), &[]).await.unwrap();
    assert_eq!(mfa(browser.id).await, Mfa { at: later(1), by: FactorKind::Passkey });
    // Passed on to another sign-in, it is what it was.
    store.prove_mfa(login, &Factor::Login(browser.id), later(1), later(2), &[]).await.unwrap();
    assert_eq!(mfa(login).await, Mfa { at: later(1), by: FactorKind::Passkey });
    let totp = Factor::Totp { secret_sealed: b"sealed".to_vec(), step: 13 };
    // A proof of before (a clock that was set back) changes neither half.
    store.prove_mfa(login, &totp, NOW, NOW, &[]).await.unwrap();
    assert_eq!(mfa(login).await, Mfa { at: later(1), by: FactorKind::Passkey });
    store.replace_recovery_codes(ada.id, &[hash("r1")], NOW, &[]).await.unwrap();
    store.prove_mfa(login, &Factor::RecoveryCode(hash("r1")), later(3), later(3), &[]).await.unwrap();
    assert_eq!(mfa(login).await, Mfa { at: later(3), by: FactorKind::RecoveryCode });
}

async fn renamed_and_removed_by_the_owner_alone(store: Store) {
    let ((ada, hers), (eve, _)) = (signed_in(&store, "ada").await, signed_in(&store, "eve").await);
    let key = passkey(ada.id, "one");
    store.add_passkey(&key, hers, &[]).await.unwrap();
    not_found(store.rename_passkey(eve.id, key.id, "mine", &events(1)).await);
    not_found(store.remove_passkey(eve.id, key.id, &events(1)).await);
    not_found(store.remove_passkey(ada.id, PasskeyId::generate(), &events(1)).await);
    assert_eq!(store.rename_passkey(ada.id, key.id, "blue", &events(1)).await.unwrap().name, "blue");
    store.remove_passkey(ada.id, key.id, &events(1)).await.unwrap();
    not_found(store.remove_passkey(ada.id, key.id, &events(1)).await);
    // What was begun with it before it was removed proves nothing after.
    let proven = store.prove_mfa(hers, &Factor::Passkey(usage(&key, 9)), NOW, NOW, &events(1)).await;
    assert_eq!(conflict(proven), Conflict::Revoked);
    let proof = Proof::Passkey(usage(&key, 9));
    let signed_in = store.create_login(&by_passkey(ada.id), &[], &proof, &events(1)).await;
    assert_eq!(conflict(signed_in), Conflict::Revoked);
    assert_eq!(size(&store).await, 2);
}

async fn the_last_factor_stays(store: Store) {
    let (eve, login) = signed_in(&store, "eve").await;
    let hers = passkey(eve.id, "hers");
    store.add_passkey(&hers, login, &[]).await.unwrap();
    // With an authenticator beside it, the only passkey may go.
    store.remove_passkey(eve.id, hers.id, &events(1)).await.unwrap();
    // An account without one, which is signed in all the same: by sealed codes.
    let ada = store.create_user(&new_user("ada"), &[]).await.unwrap();
    let codes = vec![(name("ben"), hash("ben")), (name("cat"), hash("cat"))];
    let set = NewCodeSet {
        id: CodeSetId::generate(),
        needed: 2,
        made_by: name("root"),
        made_at: NOW,
        expires_at: later(600),
        codes,
    };
    store.create_code_set(&set, &[]).await.unwrap();
    let login = NewLogin { method: AuthMethod::SealedCodes, ..new_login(ada.id) };
    let proof = Proof::SealedCodes(vec![hash("ben"), hash("cat")]);
    store.create_login(&login, &[], &proof, &[]).await.unwrap();
    let (first, second) = (passkey(ada.id, "one"), passkey(ada.id, "two"));
    store.add_passkey(&first, login.id, &[]).await.unwrap();
    store.add_passkey(&second, login.id, &[]).await.unwrap();
    store.remove_passkey(ada.id, first.id, &events(1)).await.unwrap();
    let last = store.remove_passkey(ada.id, second.id, &events(1)).await;
    assert_eq!(conflict(last), Conflict::LastFactor);
    assert_eq!((store.passkeys_of(ada.id).await.unwrap().len(), size(&store).await), (1, 2));
}

async fn a_reset_or_removed_account_has_none(store: Store) {
    let (ada, login) = signed_in(&store, "ada").await;
    store.add_passkey(&passkey(ada.id, "one"), login, &[]).await.unwrap();
    store.reset_user(ada.id, &hash("again"), later(60), NOW, &[]).await.unwrap();
    assert_eq!(store.passkeys_of(ada.id).await.unwrap(), []);
    assert_eq!(store.passkey_by_credential(b"one").await.unwrap(), None);
    // Nor does what was under way at that moment bring one back.
    let late = store.add_passkey(&passkey(ada.id, "two"), login, &events(1)).await;
    assert_eq!(conflict(late), Conflict::Revoked);
}

async fn names_of_every_kind(store: Store) {
    let (ada, login) = signed_in(&store, "ada").await;
    let key = passkey(ada.id, "one");
    store.add_passkey(&key, login, &[]).await.unwrap();
    for text in ["'; DROP TABLE passkeys; --", "\u{202e}yek", "ключ 🔑", "a\"b\\c%_", "<script>", "e\u{301}"]
    {
        store.rename_passkey(ada.id, key.id, text, &[]).await.unwrap();
        assert_eq!(store.passkeys_of(ada.id).await.unwrap()[0].name, text);
    }
}

//! Passkeys, with an authenticator that answers right, and wrong in every way that we know (THREATS A2, A3, A7, A8).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Browser, PASSWORD, World, now, passkey::browser_of, problem};
use hoop_identity::token::{Kind, Token};
use hoop_model::{AuthMethod, FactorKind, LoginId, Mfa, Role, Timestamp, TokenId, UserId, UserName};
use hoop_store::{ClientKind, FlowKind, NewFlow, NewLogin, NewToken, OidcUser, Proof, TokenKind};
use hoop_testkit::authenticator::{Flaw, Passkey};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

fn nobody() -> (u16, String) {
    (401, "HOOP-3071".to_owned())
}

fn not_proven() -> (u16, String) {
    (403, "HOOP-3072".to_owned())
}

fn void() -> (u16, String) {
    (400, "HOOP-3023".to_owned())
}

async fn signed_in(world: &World, name: &str) -> Browser {
    let mut person = world.person(name, Role::User, &["dba"]).await;
    world.browser(&mut person).await
}

/// Another sign-in of whoever sits at this browser, with a second factor of another time (or none).
async fn like(world: &World, browser: &Browser, mfa: Option<Mfa>) -> Browser {
    let me = world.request(Method::GET, "/whoami").header("cookie", browser.pair()).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    let parent: LoginId = me["login"].as_str().unwrap().parse().unwrap();
    let parent = world.running.store().login(parent).await.unwrap().unwrap();
    keep(world, parent.user, parent.method, mfa, &Proof::Login(parent.id)).await
}

async fn keep(world: &World, user: UserId, method: AuthMethod, mfa: Option<Mfa>, proof: &Proof) -> Browser {
    let end = now().after(Duration::from_secs(3600));
    let cookie = Token::generate(Kind::Cookie).unwrap();
    let kept =
        NewToken { id: TokenId::generate(), kind: TokenKind::Cookie, hash: cookie.hash(), expires_at: end };
    let login = NewLogin {
        id: LoginId::generate(),
        user,
        method,
        mfa,
        created_at: now(),
        expires_at: end,
        idle_until: end,
        address: "127.0.0.1".into(),
        client: ClientKind::Browser,
    };
    world.running.store().create_login(&login, &[kept], proof, &[]).await.unwrap();
    let cookie = format!("__Host-hoop={}", cookie.secret().expose());
    let me = world.request(Method::GET, "/whoami").header("cookie", &cookie).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    Browser { cookie, csrf: me["csrf"].as_str().unwrap().to_owned() }
}

fn an_hour_ago(by: FactorKind) -> Option<Mfa> {
    Some(Mfa { at: Timestamp::from_micros(now().as_micros() - 3_600_000_000), by })
}

/// Somebody of an identity provider, signed in with a second factor.
async fn of_a_provider(world: &World, name: &str) -> Browser {
    let person = OidcUser {
        id: UserId::generate(),
        issuer: "https://idp.example".into(),
        subject: name.into(),
        name: UserName::new(name).unwrap(),
        groups: Vec::new(),
        role: Some(Role::User),
        at: now(),
    };
    let user = world.running.store().upsert_oidc(&person, |_, _| Vec::new()).await.unwrap();
    let mfa = Some(Mfa { at: now(), by: FactorKind::Idp });
    keep(world, user.id, AuthMethod::Oidc, mfa, &Proof::Provider).await
}

#[tokio::test]
async fn one_is_registered_signs_in_and_is_gone_when_it_is_removed() {
    let world = World::start().await;
    let ada = signed_in(&world, "ada").await;
    let (mut key, id) = world.passkey(&ada).await;
    let list = async |browser: &Browser| {
        let list = world.request(Method::GET, "/me/passkeys").header("cookie", browser.pair()).send().await;
        list.unwrap().json::<Value>().await.unwrap()["items"].clone()
    };
    assert_eq!(
        (&list(&ada).await[0]["name"], &list(&ada).await[0]["used_at"]),
        (&json!("a key"), &Value::Null)
    );
    let again = browser_of(world.sign_in_with(&mut key, Flaw::None).await).await;
    let me = world.request(Method::GET, "/whoami").header("cookie", again.pair()).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!(
        (&me["name"], &me["method"], &me["mfa_by"]),
        (&json!("ada"), &json!("passkey"), &json!("passkey"))
    );
    assert!(list(&again).await[0]["used_at"].is_string());
    // The ledger tells who came in by what, and of what they did next, by what they had proven it.
    let event = world.last_event("login.succeeded").await;
    assert_eq!((&event["facts"]["flow"], &event["actor"]["mfa_by"]), (&json!("passkey"), &json!("passkey")));
    assert_eq!(event["subjects"][2], json!(id));
    let rename = |browser: &Browser, id: &str, name: &str| {
        let change =
            world.request(Method::PATCH, &format!("/me/passkeys/{id}")).json(&json!({ "name": name }));
        browser.sign(change).send()
    };
    assert_eq!(rename(&again, &id, "blue").await.unwrap().status(), StatusCode::OK);
    assert_eq!(list(&again).await[0]["name"], "blue");
    let renamed = world.last_event("passkey.renamed").await;
    assert_eq!((&renamed["facts"]["name"], &renamed["actor"]["mfa_by"]), (&json!("blue"), &json!("passkey")));
    // Nobody else's business.
    let eve = signed_in(&world, "eve").await;
    let remove = |browser: &Browser, id: &str| {
        browser.sign(world.request(Method::DELETE, &format!("/me/passkeys/{id}"))).send()
    };
    assert_eq!(rename(&eve, &id, "mine").await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(remove(&eve, &id).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(remove(&eve, "pky_x").await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(remove(&again, &id).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(world.sign_in_with(&mut key, Flaw::None).await).await, nobody());
    let begin = world.post_by(Some(&ada), "/auth/step-up/passkey/begin", &json!({})).await;
    assert_eq!(begin.status(), StatusCode::NOT_FOUND, "there is none left to ask for");
    for code in ["passkey.added", "passkey.renamed", "passkey.removed"] {
        assert_eq!(world.events(code).await, 1, "{code}");
    }
}

#[tokio::test]
async fn an_answer_with_one_thing_wrong_signs_nobody_in_and_all_answers_are_alike() {
    let world = World::start().await;
    let ada = signed_in(&world, "ada").await;
    let (mut key, _) = world.passkey(&ada).await;
    let eve = signed_in(&world, "eve").await;
    let her_id: UserId = {
        let me = world.request(Method::GET, "/whoami").header("cookie", eve.pair()).send().await.unwrap();
        me.json::<Value>().await.unwrap()["id"].as_str().unwrap().parse().unwrap()
    };
    let flaws = [
        (Flaw::Origin("https://localhost"), "another origin"),
        (Flaw::Origin("https://localhost.evil.example"), "another origin"),
        (Flaw::CrossOrigin, "another origin"),
        (Flaw::RelyingParty("evil.example"), "another relying party"),
        (Flaw::Challenge, "another challenge"),
        (Flaw::Type, "another ceremony"),
        (Flaw::NotPresent, "nobody was there"),
        (Flaw::NotVerified, "its holder was not verified"),
        (Flaw::Signature, "wrong signature"),
        (Flaw::Counter(1), "its counter went back"),
        (Flaw::Handle(*her_id.as_bytes()), "another person's passkey"),
        (Flaw::Handle([9; 16]), "another person's passkey"),
        (Flaw::NoHandle, "it does not say whose it is"),
        (Flaw::Id([9; 16]), "unknown passkey"),
    ];
    let mut said = Vec::new();
    for (flaw, reason) in flaws {
        let answer = world.sign_in_with(&mut key, flaw).await;
        assert!(!answer.headers().contains_key("set-cookie"), "{flaw:?}");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{flaw:?}");
        said.push(answer.text().await.unwrap());
        assert_eq!(world.last_event("login.failed").await["facts"]["reason"], reason, "{flaw:?}");
        // A good one in between, so that no lock hides what comes next.
        assert_eq!(world.sign_in_with(&mut key, Flaw::None).await.status(), StatusCode::OK, "{flaw:?}");
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    // What is no answer at all.
    for credential in
        [json!(null), json!({}), json!([1]), json!("x"), json!({ "type": "public-key", "rawId": "AA" })]
    {
        let (ceremony, _) = world.begin(None, "/login/passkey").await;
        let body = json!({ "ceremony": ceremony, "credential": credential });
        assert_eq!(
            problem(world.post_by(None, "/login/passkey", &body).await).await,
            nobody(),
            "{credential}"
        );
    }
}

#[tokio::test]
async fn a_counter_that_goes_back_is_told_to_people_too() {
    let world = World::start().await;
    let ada = signed_in(&world, "ada").await;
    let (mut key, id) = world.passkey(&ada).await;
    assert_eq!(problem(world.sign_in_with(&mut key, Flaw::Counter(1)).await).await, nobody());
    let told = world.last_event("passkey.copied").await;
    assert_eq!((&told["facts"]["owner"], &told["subjects"][1]), (&json!("ada"), &json!(id)));
    assert_eq!(problem(world.step_up_with(&ada, &mut key, Flaw::Counter(0)).await).await, not_proven());
    assert_eq!(world.events("passkey.copied").await, 2);
    // The one whose counter goes on is not shut out by the copy.
    assert_eq!(world.sign_in_with(&mut key, Flaw::None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn guesses_lock_the_account_for_every_factor() {
    let world = World::start().await;
    let mut person = world.person("ada", Role::User, &[]).await;
    let ada = world.browser(&mut person).await;
    let (mut key, _) = world.passkey(&ada).await;
    for _ in 0..5 {
        assert_eq!(problem(world.sign_in_with(&mut key, Flaw::Signature).await).await, nobody());
    }
    assert_eq!(world.events("login.locked_out").await, 1);
    assert_eq!(problem(world.sign_in_with(&mut key, Flaw::None).await).await, nobody());
    assert_eq!(problem(world.step_up_with(&ada, &mut key, Flaw::None).await).await, not_proven());
    let body = json!({ "name": "ada", "password": PASSWORD, "code": person.code() });
    assert_eq!(world.post("/login/password", &body).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // The same by a stolen cookie, and guesses with it are told as such.
    let eve = signed_in(&world, "eve").await;
    let (mut hers, _) = world.passkey(&eve).await;
    for _ in 0..5 {
        assert_eq!(problem(world.step_up_with(&eve, &mut hers, Flaw::NotVerified).await).await, not_proven());
    }
    assert_eq!((world.events("login.locked_out").await, world.events("mfa.failed").await), (2, 6));
    assert_eq!(problem(world.sign_in_with(&mut hers, Flaw::None).await).await, nobody());
}

#[tokio::test]
async fn a_ceremony_is_good_once_in_time_and_for_what_it_was_begun() {
    let world = World::start().await;
    let ada = signed_in(&world, "ada").await;
    let (mut key, _) = world.passkey(&ada).await;
    let finish = async |ceremony: &str, credential: &Value| {
        let body = json!({ "ceremony": ceremony, "credential": credential });
        world.post_by(None, "/login/passkey", &body).await
    };
    // Replayed, with its own challenge and with another.
    let (ceremony, options) = world.begin(None, "/login/passkey").await;
    let credential = key.get(&options, &world.origin(), Flaw::None);
    assert_eq!(finish(&ceremony, &credential).await.status(), StatusCode::OK);
    assert_eq!(problem(finish(&ceremony, &credential).await).await, void());
    let (another, _) = world.begin(None, "/login/passkey").await;
    assert_eq!(problem(finish(&another, &credential).await).await, nobody());
    assert_eq!(problem(finish(&another, &credential).await).await, void(), "a failure uses it up too");
    // Twice at the same moment.
    let (ceremony, options) = world.begin(None, "/login/passkey").await;
    let credential = key.get(&options, &world.origin(), Flaw::None);
    let (one, two) = tokio::join!(finish(&ceremony, &credential), finish(&ceremony, &credential));
    let good = [one.status(), two.status()].iter().filter(|status| **status == StatusCode::OK).count();
    assert_eq!(good, 1);
    // Another kind's, and made-up ones.
    let (step_up, options) = world.begin(Some(&ada), "/auth/step-up/passkey").await;
    let credential = key.get(&options, &world.origin(), Flaw::None);
    for ceremony in
        [step_up.as_str(), "", "hoop_ce_x", &Token::generate(Kind::Code).unwrap().secret().expose().clone()]
    {
        assert_eq!(problem(finish(ceremony, &credential).await).await, void(), "{ceremony}");
    }
    // Too late, and the same a moment before.
    for (life, good) in [(-1_000_000, false), (60_000_000, true)] {
        let (ceremony, options) = world.begin(None, "/login/passkey").await;
        let secret = Token::parse(Kind::Ceremony, &ceremony).unwrap();
        let store = world.running.store();
        let payload = store.take_flow(FlowKind::PasskeySignIn, &secret.hash(), now()).await.unwrap().unwrap();
        let expires_at = Timestamp::from_micros(now().as_micros() + life);
        let flow = NewFlow {
            kind: FlowKind::PasskeySignIn,
            key: secret.hash(),
            user_code: None,
            payload,
            created_at: now(),
            expires_at,
        };
        store.begin_flow(&flow).await.unwrap();
        let credential = key.get(&options, &world.origin(), Flaw::None);
        let answer = finish(&ceremony, &credential).await;
        if good {
            assert_eq!(answer.status(), StatusCode::OK)
        } else {
            assert_eq!(problem(answer).await, void())
        }
    }
}

#[tokio::test]
async fn a_ceremony_is_its_sign_ins_own() {
    let world = World::start().await;
    let (ada, eve) = (signed_in(&world, "ada").await, signed_in(&world, "eve").await);
    let elsewhere = like(&world, &ada, Some(Mfa { at: now(), by: FactorKind::Totp })).await;
    let (mut key, _) = world.passkey(&ada).await;
    let (mut hers, _) = world.passkey(&eve).await;
    // Somebody else, and another sign-in of the same person.
    for other in [&eve, &elsewhere] {
        let (ceremony, options) = world.begin(Some(&ada), "/me/passkeys").await;
        let (_, credential) = Passkey::create(&options, &world.origin(), Flaw::None);
        let body = json!({ "ceremony": ceremony, "name": "x", "credential": credential });
        assert_eq!(problem(world.post_by(Some(other), "/me/passkeys", &body).await).await, void());
        let (ceremony, options) = world.begin(Some(&ada), "/auth/step-up/passkey").await;
        let body =
            json!({ "ceremony": ceremony, "credential": key.get(&options, &world.origin(), Flaw::None) });
        assert_eq!(problem(world.post_by(Some(other), "/auth/step-up/passkey", &body).await).await, void());
    }
    // Nor does one person's passkey prove anything for another, whatever it says of whose it is.
    for flaw in [Flaw::None, Flaw::NoHandle] {
        assert_eq!(problem(world.step_up_with(&ada, &mut hers, flaw).await).await, not_proven(), "{flaw:?}");
        let failed = world.last_event("mfa.failed").await;
        assert_eq!(failed["facts"]["reason"], "another person's passkey", "{flaw:?}");
    }
    // Ada's own may leave it out: it was asked for by name.
    assert_eq!(world.step_up_with(&ada, &mut key, Flaw::NoHandle).await.status(), StatusCode::OK);
    assert_eq!(world.events("passkey.added").await, 2);
}

#[tokio::test]
async fn a_registration_with_one_thing_wrong_keeps_nothing() {
    let world = World::start().await;
    let (ada, eve) = (signed_in(&world, "ada").await, signed_in(&world, "eve").await);
    for flaw in [
        Flaw::Origin("https://evil.example"),
        Flaw::CrossOrigin,
        Flaw::RelyingParty("evil.example"),
        Flaw::Challenge,
        Flaw::Type,
        Flaw::NotPresent,
        Flaw::NotVerified,
    ] {
        let (_, answer) = world.add_passkey(&ada, "x", flaw).await;
        assert_eq!(problem(answer).await, (400, "HOOP-3073".to_owned()), "{flaw:?}");
    }
    let long = "x".repeat(101);
    for name in ["", "  ", "a\nb", "a\0b", "\u{1b}[2J", &long] {
        let (_, answer) = world.add_passkey(&ada, name, Flaw::None).await;
        assert_eq!(problem(answer).await, (400, "HOOP-7003".to_owned()), "{name:?}");
    }
    assert_eq!(world.events("passkey.added").await, 0);
    for name in
        ["ключ 🔑", "'; DROP TABLE passkeys; --", "<script>alert(1)</script>", "\u{202e}yek", "é e\u{301}"]
    {
        let (_, answer) = world.add_passkey(&ada, name, Flaw::None).await;
        assert_eq!(answer.json::<Value>().await.unwrap()["name"], name);
    }
    // One key is one person's: an authenticator of Eve's that calls its key as Ada's is called.
    let (key, _) = world.passkey(&ada).await;
    let (ceremony, options) = world.begin(Some(&eve), "/me/passkeys").await;
    let (_, credential) = Passkey::create_as(key.id(), &options, &world.origin(), Flaw::None);
    let body = json!({ "ceremony": ceremony, "name": "x", "credential": credential });
    let taken = world.post_by(Some(&eve), "/me/passkeys", &body).await;
    assert_eq!(problem(taken).await, (403, "HOOP-3074".to_owned()));
    // And the twenty-first is none.
    for _ in 6..20 {
        world.passkey(&ada).await;
    }
    let more = world.post_by(Some(&ada), "/me/passkeys/begin", &json!({})).await;
    assert_eq!(problem(more).await, (409, "HOOP-7006".to_owned()));
}

#[tokio::test]
async fn factors_change_in_a_browser_with_a_fresh_factor_alone() {
    let world = World::start().await;
    let mut person = world.person("ada", Role::User, &[]).await;
    let ada = world.browser(&mut person).await;
    let tokens = world.tokens(&mut person).await;
    let (mut key, id) = world.passkey(&ada).await;
    let (old, never) =
        (like(&world, &ada, an_hour_ago(FactorKind::Totp)).await, like(&world, &ada, None).await);
    let ways = [
        (Method::POST, "/me/passkeys/begin".to_owned()),
        (Method::POST, "/me/passkeys".to_owned()),
        (Method::PATCH, format!("/me/passkeys/{id}")),
        (Method::DELETE, format!("/me/passkeys/{id}")),
    ];
    for (method, path) in &ways {
        let request = || world.request(method.clone(), path).json(&json!({}));
        for browser in [&old, &never] {
            let answer = browser.sign(request()).send().await.unwrap();
            assert_eq!(problem(answer).await, (403, "HOOP-2003".to_owned()), "{method} {path}");
        }
        let answer = request().bearer_auth(&tokens.access).send().await.unwrap();
        assert_eq!(problem(answer).await, (403, "HOOP-3004".to_owned()), "{method} {path}");
        let forged = request().header("cookie", ada.pair()).send().await.unwrap();
        assert_eq!(problem(forged).await, (403, "HOOP-3030".to_owned()), "{method} {path}");
    }
    // A passkey makes the old one fresh.
    assert_eq!(world.step_up_with(&old, &mut key, Flaw::None).await.status(), StatusCode::OK);
    let proven = world.last_event("mfa.proven").await;
    assert_eq!((&proven["facts"]["by"], &proven["subjects"][2]), (&json!("passkey"), &json!(id)));
    let gone = old.sign(world.request(Method::DELETE, &format!("/me/passkeys/{id}"))).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_rule_that_wants_a_passkey_wants_a_passkey() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    common::agent::Agent::join(&world, "east").await;
    assert_eq!(world.connection(&admin, json!({})).await.status(), StatusCode::OK);
    let wants = json!({ "conditions": { "mfa": { "methods": ["passkey"] } } });
    assert_eq!(world.rule(&admin, wants).send().await.unwrap().status(), StatusCode::OK);
    let mut ada = world.person("ada", Role::User, &["dba"]).await;
    let (browser, cli) = (world.browser(&mut ada).await, world.tokens(&mut ada).await);
    let refused = problem(world.open(&cli).send().await.unwrap()).await;
    assert_eq!(refused, (403, "HOOP-2003".to_owned()), "a code is no passkey");
    // In the browser, for the command line.
    let (mut key, _) = world.passkey(&browser).await;
    let start =
        world.post("/auth/step-up/browser", &json!({})).bearer_auth(&cli.access).send().await.unwrap();
    let started: Value = start.json().await.unwrap();
    assert_eq!(world.step_up_with(&browser, &mut key, Flaw::None).await.status(), StatusCode::OK);
    let approve = json!({ "user_code": started["user_code"], "approve": true });
    let approved = world.post_by(Some(&browser), "/auth/step-up/approve", &approve).await;
    assert_eq!(approved.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.whoami(&cli.access).await["mfa_by"], "passkey");
    let opened = problem(world.open(&cli).send().await.unwrap()).await;
    assert_ne!(opened.1, "HOOP-2003", "the rule is content now: {opened:?}");
}

#[tokio::test]
async fn people_of_a_provider_prove_themselves_and_do_not_sign_in_by_it() {
    let world = World::start().await;
    let olga = of_a_provider(&world, "olga").await;
    let (mut key, _) = world.passkey(&olga).await;
    assert_eq!(problem(world.sign_in_with(&mut key, Flaw::None).await).await, nobody());
    let old = like(&world, &olga, an_hour_ago(FactorKind::Idp)).await;
    assert_eq!(world.step_up_with(&old, &mut key, Flaw::None).await.status(), StatusCode::OK);
    let me = world.request(Method::GET, "/whoami").header("cookie", old.pair()).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!((&me["method"], &me["mfa_by"]), (&json!("oidc"), &json!("passkey")));
}

#[tokio::test]
async fn a_locked_or_reset_account_is_nobodys_way_in() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let (ada, bob) = (signed_in(&world, "ada").await, signed_in(&world, "bob").await);
    let ((mut hers, _), (mut his, _)) = (world.passkey(&ada).await, world.passkey(&bob).await);
    // An answer that was made before, and comes after.
    let (ceremony, options) = world.begin(None, "/login/passkey").await;
    let late = json!({ "ceremony": ceremony, "credential": hers.get(&options, &world.origin(), Flaw::None) });
    let lock = world.request(Method::PATCH, "/users/ada").json(&json!({ "locked": true }));
    assert_eq!(lock.bearer_auth(&admin.access).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(problem(world.post_by(None, "/login/passkey", &late).await).await, nobody());
    assert_eq!(problem(world.sign_in_with(&mut hers, Flaw::None).await).await, nobody());
    assert_eq!(world.last_event("login.failed").await["facts"]["reason"], "locked");
    let reset = world.post("/users/bob/reset", &json!({})).bearer_auth(&admin.access).send().await.unwrap();
    assert_eq!(reset.status(), StatusCode::OK);
    assert_eq!(problem(world.sign_in_with(&mut his, Flaw::None).await).await, nobody());
    assert_eq!(world.last_event("login.failed").await["facts"]["reason"], "unknown passkey");
}

#[tokio::test]
async fn another_site_signs_nobody_in_here() {
    let world = World::start().await;
    let ada = signed_in(&world, "ada").await;
    let (mut key, _) = world.passkey(&ada).await;
    let (ceremony, options) = world.begin(None, "/login/passkey").await;
    let body = json!({ "ceremony": ceremony, "credential": key.get(&options, &world.origin(), Flaw::None) });
    let forged =
        world.post("/login/passkey", &body).header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(problem(forged).await, (403, "HOOP-3031".to_owned()));
    // It was not used up by that.
    assert_eq!(world.post_by(None, "/login/passkey", &body).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_address_has_no_passkeys_and_says_why() {
    let world = World::with(|config| config.public_host = "127.0.0.1".into()).await;
    let ada = signed_in(&world, "ada").await;
    for (who, path) in [(Some(&ada), "/me/passkeys/begin"), (None, "/login/passkey/begin")] {
        let answer = world.post_by(who, path, &json!({})).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let said: Value = answer.json().await.unwrap();
        assert_eq!(said["code"], "HOOP-3070");
        assert!(said["message"].as_str().unwrap().contains("127.0.0.1 is an address"), "{said}");
        assert!(said["hint"].as_str().unwrap().contains("public_host"), "{said}");
    }
    let info = async |world: &World| {
        let info = world.request(Method::GET, "/info").send().await.unwrap();
        info.json::<Value>().await.unwrap()["passkeys"].clone()
    };
    assert_eq!(info(&world).await, false);
    assert_eq!(info(&World::start().await).await, true);
}

#[tokio::test]
async fn where_built_in_accounts_are_off_no_passkey_opens_one() {
    let world = World::with(|config| config.password_login = false).await;
    for path in ["/login/passkey/begin", "/login/passkey"] {
        let body = json!({ "ceremony": "x", "credential": {} });
        assert_eq!(problem(world.post_by(None, path, &body).await).await, (403, "HOOP-3007".to_owned()));
    }
}

#[tokio::test]
async fn attempts_are_bounded() {
    let world = World::with(|config| config.limits.login_attempts_per_minute = 3).await;
    let mut last = StatusCode::OK;
    for _ in 0..4 {
        last = world.post_by(None, "/login/passkey/begin", &json!({})).await.status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

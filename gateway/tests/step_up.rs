//! A second factor at the moment it is needed, recovery codes, and one's own sign-ins, as an attacker would try them
//! (THREATS A3, A7, A8, A16, E4).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{PASSWORD, Person, Tokens, World, agent::Agent, now, problem};
use hoop_identity::token::{Kind, Token};
use hoop_model::{FactorKind, LoginId, Mfa, Role, Timestamp, TokenId};
use hoop_store::{NewLogin, NewToken, Proof, TokenKind};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

fn long_ago() -> Timestamp {
    Timestamp::from_micros(now().as_micros() - 3_600_000_000)
}

/// A sign-in like that of `tokens`, whose second factor was proven an hour ago.
async fn stale(world: &World, tokens: &Tokens) -> Tokens {
    let store = world.running.store();
    let me = world.whoami(&tokens.access).await;
    let parent: LoginId = me["login"].as_str().unwrap().parse().unwrap();
    let parent = store.login(parent).await.unwrap().unwrap();
    let (access, refresh) = (Token::generate(Kind::Access).unwrap(), Token::generate(Kind::Refresh).unwrap());
    let kept = |kind, token: &Token| NewToken {
        id: TokenId::generate(),
        kind,
        hash: token.hash(),
        expires_at: parent.expires_at,
    };
    let login = NewLogin {
        id: LoginId::generate(),
        user: parent.user,
        method: parent.method,
        mfa: Some(Mfa { at: long_ago(), by: FactorKind::Totp }),
        created_at: now(),
        expires_at: parent.expires_at,
        idle_until: parent.idle_until,
        address: parent.address,
        client: parent.client,
    };
    let kept = [kept(TokenKind::Access, &access), kept(TokenKind::Refresh, &refresh)];
    store.create_login(&login, &kept, &Proof::Login(parent.id), &[]).await.unwrap();
    let text = |token: &Token| token.secret().expose().clone();
    Tokens { access: text(&access), refresh: text(&refresh) }
}

async fn admin(world: &World) -> (Person, Tokens) {
    let mut root = world.person("root", Role::Admin, &[]).await;
    let tokens = world.tokens(&mut root).await;
    (root, tokens)
}

async fn step_up(world: &World, who: &Tokens, code: &str) -> Response {
    world.post("/auth/step-up", &json!({ "code": code })).bearer_auth(&who.access).send().await.unwrap()
}

async fn add_user(world: &World, who: &Tokens, name: &str) -> Response {
    let new = world.post("/users", &json!({ "name": name, "role": "user", "groups": [] }));
    new.bearer_auth(&who.access).send().await.unwrap()
}

fn old() -> (u16, String) {
    (403, "HOOP-2003".to_owned())
}

#[tokio::test]
async fn every_change_of_privilege_wants_a_factor_of_this_moment() {
    let world = World::start().await;
    let (mut root, fresh) = admin(&world).await;
    let stale = stale(&world, &fresh).await;
    let mut fresh_routes = 0;
    for row in hoop_gateway::authorization() {
        // What gives or takes rights or credentials; ending a session or a sign-in is for a hurry,
        // and a try gives nothing.
        let tries = row.path == "/api/v1/connections/{name}/test";
        let ends = tries
            || row.path.ends_with("/kill")
            || (row.method == Method::DELETE && row.path.contains("/users/{name}/logins"));
        let changes = row.who == hoop_gateway::Who::Admin && !ends;
        assert!(
            !changes || row.method == Method::GET || row.fresh,
            "{row} is a change of privilege without `fresh`"
        );
        if !row.fresh || row.who == hoop_gateway::Who::Browser {
            continue;
        }
        fresh_routes += 1;
        let path = row.path.replace("{name}", "root").replace("{id}", "1");
        let url = format!("https://localhost:{}{path}", world.running.addr.port());
        let request = world.client.request(row.method.clone(), url).bearer_auth(&stale.access);
        assert_eq!(problem(request.json(&json!({})).send().await.unwrap()).await, old(), "{row}");
    }
    assert!(fresh_routes >= 8, "{fresh_routes}");
    // Looking is as before.
    let users = world.request(Method::GET, "/users").bearer_auth(&stale.access).send().await.unwrap();
    assert_eq!(users.status(), StatusCode::OK);
    // And a code makes it good again, for this sign-in.
    assert_eq!(step_up(&world, &stale, &root.code()).await.status(), StatusCode::OK);
    assert_eq!(add_user(&world, &stale, "bob").await.status(), StatusCode::OK);
    assert_eq!((world.events("mfa.proven").await, world.events("user.created").await), (1, 2));
}

#[tokio::test]
async fn a_code_is_good_once_and_for_ones_own_sign_in() {
    let world = World::start().await;
    let (root, fresh) = admin(&world).await;
    let used = root.totp.code(hoop_identity::totp::step_at(now()).unwrap());
    let (first, second) = (stale(&world, &fresh).await, stale(&world, &fresh).await);
    // The code of the sign-in is used up, another person's is none.
    let mut eve = world.person("eve", Role::Admin, &[]).await;
    for code in [used.as_str(), &eve.code(), "", "000000", "12345678901234567890"] {
        assert_eq!(
            problem(step_up(&world, &first, code).await).await,
            (403, "HOOP-3040".to_owned()),
            "{code}"
        );
        if code.is_empty() {
            break;
        }
    }
    let next = root.totp.code(hoop_identity::totp::step_at(now()).unwrap() + 1);
    let (a, b) = tokio::join!(step_up(&world, &first, &next), step_up(&world, &second, &next));
    let good = [a.status(), b.status()].iter().filter(|status| **status == StatusCode::OK).count();
    assert_eq!(good, 1, "one code, one proof");
    let added = [add_user(&world, &first, "x").await.status(), add_user(&world, &second, "x").await.status()];
    assert_eq!(added.iter().filter(|status| **status == StatusCode::OK).count(), 1);
}

#[tokio::test]
async fn guessing_with_a_stolen_token_locks() {
    let world = World::start().await;
    let (mut root, fresh) = admin(&world).await;
    let thief = stale(&world, &fresh).await;
    for _ in 0..5 {
        assert_eq!(problem(step_up(&world, &thief, "000000").await).await, (403, "HOOP-3040".to_owned()));
    }
    assert_eq!(world.events("login.locked_out").await, 1);
    // Now the right one does not help either, here or at sign-in.
    let right = root.code();
    assert_eq!(problem(step_up(&world, &thief, &right).await).await, (403, "HOOP-3040".to_owned()));
    let body = json!({ "name": "root", "password": PASSWORD, "code": right, "answer": "tokens" });
    let sign_in = world.post("/login/password", &body).send().await.unwrap();
    assert_eq!(sign_in.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(problem(add_user(&world, &thief, "x").await).await, old());
    assert_eq!(world.events("mfa.failed").await, 6);
}

#[tokio::test]
async fn attempts_are_bounded_whatever_the_lock() {
    let world = World::with(|config| config.limits.login_attempts_per_minute = 3).await;
    let (_, fresh) = admin(&world).await;
    let answers = [
        step_up(&world, &fresh, "1").await.status(),
        step_up(&world, &fresh, "2").await.status(),
        step_up(&world, &fresh, "3").await.status(),
    ];
    assert_eq!(answers[2], StatusCode::TOO_MANY_REQUESTS, "{answers:?}");
}

#[tokio::test]
async fn a_browser_proves_it_for_a_command_line_of_the_same_person_alone() {
    let world = World::start().await;
    let (mut root, fresh) = admin(&world).await;
    let cli = stale(&world, &fresh).await;
    let browser = world.browser(&mut root).await;
    let mut eve = world.person("eve", Role::Admin, &[]).await;
    let hers = world.browser(&mut eve).await;
    let start = async || {
        let started = world.post("/auth/step-up/browser", &json!({})).bearer_auth(&cli.access).send().await;
        let started: Value = started.unwrap().json().await.unwrap();
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        (text("poll_code"), text("user_code"))
    };
    let poll = async |code: String| {
        let body = json!({ "poll_code": code });
        world_poll(&world, &cli, &body).await
    };
    let approve = async |by: &common::Browser, code: &str, yes: bool| {
        let body = json!({ "user_code": code, "approve": yes });
        by.sign(world.post("/auth/step-up/approve", &body)).send().await
    };
    let (secret, code) = start().await;
    assert_eq!(problem(poll(secret.clone()).await).await, (400, "HOOP-3020".to_owned()));
    // Somebody else, a guess, a token in place of a browser.
    assert_eq!(approve(&hers, &code, true).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(approve(&browser, "BBBB-BBBB", true).await.unwrap().status(), StatusCode::NOT_FOUND);
    let by_token = world.post("/auth/step-up/approve", &json!({ "user_code": code, "approve": true }));
    let by_token = by_token.bearer_auth(&fresh.access).send().await.unwrap();
    assert_eq!(problem(by_token).await, (403, "HOOP-3004".to_owned()));
    // It is no sign-in: neither its secret nor its code makes tokens.
    assert!(world.poll(&secret).await.status().is_client_error());
    assert_eq!(world.approve(&browser, &code, true).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(problem(add_user(&world, &cli, "x").await).await, old());
    assert_eq!(approve(&browser, &code, true).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(approve(&browser, &code, true).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(poll(secret.clone()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(poll(secret).await).await, (400, "HOOP-3023".to_owned()));
    assert_eq!(add_user(&world, &cli, "x").await.status(), StatusCode::OK);
    // A refusal is told, and nothing is proven.
    let (secret, code) = start().await;
    assert_eq!(approve(&browser, &code, false).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(problem(poll(secret).await).await, (403, "HOOP-3022".to_owned()));
    assert_eq!(world.events("mfa.proven").await, 1);
}

async fn world_poll(world: &World, who: &Tokens, body: &Value) -> Response {
    world.post("/auth/step-up/poll", body).bearer_auth(&who.access).send().await.unwrap()
}

#[tokio::test]
async fn recovery_codes_are_shown_once_and_good_once() {
    let world = World::start().await;
    let (_, fresh) = admin(&world).await;
    let setup = world.invited(&fresh, "bob").await;
    let set_up = async |code: Option<String>| {
        let body = json!({ "token": setup, "password": PASSWORD, "code": code });
        world.post("/setup", &body).send().await.unwrap().json::<Value>().await.unwrap()
    };
    let shown = set_up(None).await;
    assert!(shown.get("recovery_codes").is_none());
    let url = shown["otpauth_url"].as_str().unwrap();
    let secret = url.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let totp = hoop_identity::totp::TotpSecret::from_base32(secret).unwrap();
    let step = hoop_identity::totp::step_at(now()).unwrap();
    let done = set_up(Some(totp.code(step))).await;
    let codes: Vec<String> = serde_json::from_value(done["recovery_codes"].clone()).unwrap();
    assert_eq!(codes.len(), 10);
    let sign_in = async |name: &str, code: String| {
        let body = json!({ "name": name, "password": PASSWORD, "code": code, "answer": "tokens" });
        world.post("/login/password", &body).send().await.unwrap()
    };
    // Somebody else's, a made-up one; then one that is right, and the same again.
    assert_eq!(sign_in("root", codes[0].clone()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in("bob", "BCDF-GHJK-LMNP-QRST".into()).await.status(), StatusCode::UNAUTHORIZED);
    let tokens = Tokens::of(&sign_in("bob", codes[0].to_lowercase()).await.json().await.unwrap());
    assert_eq!(sign_in("bob", codes[0].clone()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(step_up(&world, &tokens, &codes[1]).await.status(), StatusCode::OK);
    assert_eq!(problem(step_up(&world, &tokens, &codes[1]).await).await, (403, "HOOP-3040".to_owned()));
    let left = world.request(Method::GET, "/me/recovery-codes").bearer_auth(&tokens.access).send().await;
    assert_eq!(left.unwrap().json::<Value>().await.unwrap()["left"], 8);
    assert_eq!(world.events("recovery_codes.used").await, 2);
    // New ones make the old ones void.
    let renewed =
        world.post("/me/recovery-codes", &json!({})).bearer_auth(&tokens.access).send().await.unwrap();
    let renewed: Value = renewed.json().await.unwrap();
    assert_eq!(renewed["codes"].as_array().unwrap().len(), 10);
    assert_eq!(sign_in("bob", codes[2].clone()).await.status(), StatusCode::UNAUTHORIZED);
    // And neither ledger nor store knows them.
    assert_eq!(world.events("recovery_codes.made").await, 2);
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_sign_in_and_session_of_ones_own() {
    let world = World::start().await;
    let (_, admin) = admin(&world).await;
    let agent = Agent::join(&world, "east").await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let (here, there) = (world.tokens(&mut ada).await, world.browser(&mut ada).await);
    let id = world.whoami(&here.access).await["id"].as_str().unwrap().to_owned();
    let session = world.stored_session(&agent, &id).await;
    let own = world.whoami(&admin.access).await["id"].as_str().unwrap().to_owned();
    let other = world.stored_session(&agent, &own).await;
    let list = world.request(Method::GET, "/me/logins").bearer_auth(&here.access).send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    let clients: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| one["client"].clone()).collect();
    assert_eq!(clients, [json!("browser"), json!("cli")]);
    assert_eq!(list["items"][1]["current"], true);
    // A browser needs its CSRF token for this, too.
    let forged =
        world.request(Method::DELETE, "/me/logins").header("cookie", there.pair()).send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    let gone = world.request(Method::DELETE, "/me/logins").bearer_auth(&here.access).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    let whoami = || world.request(Method::GET, "/whoami");
    assert_eq!(whoami().bearer_auth(&here.access).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let there = whoami().header("cookie", there.pair()).send().await.unwrap();
    assert_eq!(there.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.refresh(&here.refresh).await.status(), StatusCode::UNAUTHORIZED);
    let why = async |id: String| {
        let show = world.request(Method::GET, &format!("/sessions/{id}")).bearer_auth(&admin.access).send();
        show.await.unwrap().json::<Value>().await.unwrap()["end_reason"].to_string()
    };
    assert!(why(session).await.contains("signed out everywhere"));
    assert!(!why(other).await.contains("signed out"), "somebody else's is no matter of this");
}

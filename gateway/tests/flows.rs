//! Sign-ins under way: nothing of one person's goes into another's (THREATS A3), and one that is not finished ends with
//! a reset or a lock.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Browser, PASSWORD, Tokens, World, problem};
use hoop_model::Role;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const VOID: (u16, &str) = (400, "HOOP-3023");

async fn refused_as(response: Response, expected: (u16, &str)) {
    let (status, code) = problem(response).await;
    assert_eq!((status, code.as_str()), expected);
}

fn with_password(world: &World, name: &str, password: &str, code: &str) -> reqwest::RequestBuilder {
    let body = json!({ "name": name, "password": password, "code": code, "answer": "tokens" });
    world.post("/login/password", &body)
}

async fn name_of(world: &World, answer: Response) -> String {
    assert_eq!(answer.status(), StatusCode::OK);
    let tokens = Tokens::of(&answer.json::<Value>().await.unwrap());
    world.whoami(&tokens.access).await["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_persons_password_and_anothers_code_sign_nobody_in() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let mut grace = world.person("grace", Role::Admin, &[]).await;
    let browser = world.browser(&mut ada).await;
    let (adas, graces) = (ada.code(), grace.code());
    for (name, code) in [("ada", &graces), ("grace", &adas), ("ADA", &graces)] {
        let alone = with_password(&world, name, PASSWORD, code).send().await.unwrap();
        refused_as(alone, (401, "HOOP-3001")).await;
        // Nor for somebody whose browser is signed in: the cookie is no factor.
        let signed = browser.sign(with_password(&world, name, PASSWORD, code)).send().await.unwrap();
        refused_as(signed, (401, "HOOP-3001")).await;
    }
    // And none of it has used the codes up, or locked anybody for somebody else's sake beyond the count of failures.
    let good = with_password(&world, "grace", PASSWORD, &graces).send().await.unwrap();
    assert_eq!(name_of(&world, good).await, "grace");
    let me = world.request(Method::GET, "/whoami").header("cookie", browser.pair()).send().await.unwrap();
    assert_eq!(me.json::<Value>().await.unwrap()["name"], "ada", "the browser is whose it was");
}

#[tokio::test]
async fn a_browser_that_changes_persons_keeps_nothing() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &["dba"]).await;
    let mut grace = world.person("grace", Role::Admin, &[]).await;
    let first = world.browser(&mut grace).await;
    // The next person signs in with the first one's cookie still in the jar.
    let body = json!({ "name": "ada", "password": PASSWORD, "code": ada.code(), "answer": "cookie" });
    let answer = first.sign(world.post("/login/password", &body)).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let me: Value = answer.json().await.unwrap();
    let second = Browser { cookie, csrf: me["csrf"].as_str().unwrap().to_owned() };
    assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some("ada"), Some("user")));
    assert!(second.pair() != first.pair() && second.csrf != first.csrf);
    let list = world.request(Method::GET, "/users").header("cookie", second.pair()).send().await.unwrap();
    assert_eq!(list.status(), StatusCode::FORBIDDEN);
    // One's CSRF token is nothing with the other's cookie.
    let mixed = Browser { cookie: second.cookie.clone(), csrf: first.csrf.clone() };
    let out = mixed.sign(world.request(Method::POST, "/logout")).send().await.unwrap();
    refused_as(out, (403, "HOOP-3030")).await;
}

#[tokio::test]
async fn a_code_of_one_flow_finishes_no_other() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let mut grace = world.person("grace", Role::Admin, &[]).await;
    let (adas, graces) = (world.browser(&mut ada).await, world.browser(&mut grace).await);
    // Grace's approval with the verifier of Ada's command line, and the other way round.
    let (one, other) = ("a".repeat(43), "g".repeat(43));
    let (for_ada, for_grace) = (world.cli_code(&adas, &one).await, world.cli_code(&graces, &other).await);
    refused_as(world.redeem_code(&for_grace, &one).await, VOID).await;
    refused_as(world.redeem_code(&for_grace, &other).await, VOID).await;
    assert_eq!(name_of(&world, world.redeem_code(&for_ada, &one).await).await, "ada");
    refused_as(world.redeem_code(&for_ada, &one).await, VOID).await;
    // Two devices: each gets who approved it, once; who comes second decides nothing.
    let (first, second) = (world.device().await, world.device().await);
    assert_eq!(world.approve(&adas, &first.1, true).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.approve(&graces, &first.1, true).await.status(), StatusCode::NOT_FOUND);
    refused_as(world.poll(&second.0).await, (400, "HOOP-3020")).await;
    assert_eq!(world.approve(&graces, &second.1, true).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(name_of(&world, world.poll(&first.0).await).await, "ada");
    assert_eq!(name_of(&world, world.poll(&second.0).await).await, "grace");
    refused_as(world.poll(&first.0).await, VOID).await;
}

#[tokio::test]
async fn a_set_up_link_takes_the_code_of_its_own_secret_alone() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let (bobs, eves) = (world.invited(&admin, "bob").await, world.invited(&admin, "eve").await);
    let set_up = |token: String, code: Option<String>| {
        world.post("/setup", &json!({ "token": token, "password": PASSWORD, "code": code })).send()
    };
    set_up(bobs.clone(), None).await.unwrap();
    let shown: Value = set_up(eves.clone(), None).await.unwrap().json().await.unwrap();
    let secret = shown["otpauth_url"].as_str().unwrap().split("secret=").nth(1).unwrap();
    let secret = secret.split('&').next().unwrap();
    let totp = hoop_identity::totp::TotpSecret::from_base32(secret).unwrap();
    let code = totp.code(hoop_identity::totp::step_at(common::now()).unwrap());
    refused_as(set_up(bobs, Some(code.clone())).await.unwrap(), (400, "HOOP-3009")).await;
    let done: Value = set_up(eves, Some(code)).await.unwrap().json().await.unwrap();
    assert_eq!((done["name"].as_str(), done["active"].as_bool()), (Some("eve"), Some(true)));
}

struct UnderWay {
    device: String,
    code: String,
    verifier: String,
    tokens: Tokens,
}

/// Everything that Ada can have under way at once, approved and not redeemed.
async fn under_way(world: &World, person: &mut common::Person) -> UnderWay {
    let (browser, tokens) = (world.browser(person).await, world.tokens(person).await);
    let (device, user_code) = world.device().await;
    assert_eq!(world.approve(&browser, &user_code, true).await.status(), StatusCode::NO_CONTENT);
    let verifier = "v".repeat(43);
    let code = world.cli_code(&browser, &verifier).await;
    UnderWay { device, code, verifier, tokens }
}

#[tokio::test]
async fn a_sign_in_under_way_ends_with_a_reset_or_a_lock() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let change = |method: Method, path: &str, body: Value| {
        world.request(method, path).json(&body).bearer_auth(&admin.access).send()
    };
    for (name, unlock) in [("ada", false), ("bob", false), ("eve", true)] {
        let mut person = world.person(name, Role::User, &[]).await;
        let begun = under_way(&world, &mut person).await;
        let path = format!("/users/{name}");
        let done = match name {
            "ada" => change(Method::POST, &format!("{path}/reset"), json!({})).await.unwrap(),
            _ => change(Method::PATCH, &path, json!({ "locked": true })).await.unwrap(),
        };
        assert_eq!(done.status(), StatusCode::OK);
        if unlock {
            // Being let in again revives nothing.
            let open = change(Method::PATCH, &path, json!({ "locked": false })).await.unwrap();
            assert_eq!(open.status(), StatusCode::OK);
        }
        refused_as(world.poll(&begun.device).await, VOID).await;
        refused_as(world.redeem_code(&begun.code, &begun.verifier).await, VOID).await;
        assert_eq!(world.refresh(&begun.tokens.refresh).await.status(), StatusCode::UNAUTHORIZED, "{name}");
        let logins = world.running.store().user_by_name(&name.parse().unwrap()).await.unwrap().unwrap();
        let logins = world.running.store().logins_of(logins.id, common::now()).await.unwrap();
        assert!(logins.is_empty(), "{name}: {logins:?}");
    }
}

/// The password is looked at for a while; whatever the order of the two, no sign-in is left that the reset did not see.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_password_that_is_being_checked_is_void_after_a_reset() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    for round in 0..4 {
        let name = format!("person-{round}");
        let mut person = world.person(&name, Role::User, &[]).await;
        let code = person.code();
        let signing_in = tokio::spawn(with_password(&world, &name, PASSWORD, &code).send());
        let path = format!("/users/{name}/reset");
        let reset = world.post(&path, &json!({})).bearer_auth(&admin.access).send().await.unwrap();
        assert_eq!(reset.status(), StatusCode::OK);
        let _ = signing_in.await.unwrap().unwrap();
        let user = world.running.store().user_by_name(&name.parse().unwrap()).await.unwrap().unwrap();
        assert!(!user.is_active());
        let left = world.running.store().logins_of(user.id, common::now()).await.unwrap();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
}

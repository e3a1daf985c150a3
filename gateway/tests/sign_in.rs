//! Sign-in as an attacker would try it (THREATS A3, A7, A8, A9, E4).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{PASSWORD, Tokens, World, problem};
use hoop_model::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn a_person_signs_in_and_out_and_the_token_is_dead() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &["dba"]).await;
    let tokens = world.tokens(&mut ada).await;
    let me: Value = world
        .request(Method::GET, "/whoami")
        .bearer_auth(&tokens.access)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!((me["name"].as_str(), me["groups"][0].as_str()), (Some("ada"), Some("dba")));
    let out = world.request(Method::POST, "/logout").bearer_auth(&tokens.access).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    let again = world.request(Method::GET, "/whoami").bearer_auth(&tokens.access).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    let refresh = json!({ "grant_type": "refresh_token", "refresh_token": tokens.refresh });
    assert_eq!(world.post("/token", &refresh).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!((world.events("login.succeeded").await, world.events("login.ended").await), (1, 1));
}

#[tokio::test]
async fn every_failure_looks_the_same() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let code = ada.code();
    let attempts = [
        json!({ "name": "nobody", "password": PASSWORD, "code": code }),
        json!({ "name": "ada", "password": "wrong horse battery", "code": code }),
        json!({ "name": "ada", "password": PASSWORD, "code": "000000" }),
        json!({ "name": "ada", "password": PASSWORD, "code": "" }),
    ];
    let mut answers = Vec::new();
    for attempt in attempts {
        let response = world.post("/login/password", &attempt).send().await.unwrap();
        answers.push((response.status(), response.text().await.unwrap()));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(world.events("login.failed").await, 4);
}

#[tokio::test]
async fn a_code_is_good_once_also_for_two_at_the_same_time() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let code = ada.code();
    let body = json!({ "name": "ada", "password": PASSWORD, "code": code, "answer": "tokens" });
    let (a, b) = tokio::join!(
        world.post("/login/password", &body).send(),
        world.post("/login/password", &body).send()
    );
    let good =
        [a.unwrap().status(), b.unwrap().status()].iter().filter(|status| **status == StatusCode::OK).count();
    assert_eq!(good, 1);
    let third = world.post("/login/password", &body).send().await.unwrap();
    assert_eq!(problem(third).await, (401, "HOOP-3001".to_owned()));
}

#[tokio::test]
async fn failures_lock_and_the_right_password_does_not_help() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    for _ in 0..5 {
        let body = json!({ "name": "ADA", "password": "wrong horse battery", "code": "123456" });
        assert_eq!(
            world.post("/login/password", &body).send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
    }
    let right = world.sign_in(&mut ada, "tokens").await;
    assert_eq!(problem(right).await, (401, "HOOP-3001".to_owned()));
    assert_eq!(world.events("login.locked_out").await, 1);
}

#[tokio::test]
async fn attempts_from_one_address_are_bounded() {
    let world = World::with(|config| config.limits.login_attempts_per_minute = 3).await;
    let body = json!({ "name": "x", "password": "y", "code": "z" });
    for _ in 0..3 {
        assert_eq!(
            world.post("/login/password", &body).send().await.unwrap().status(),
            StatusCode::UNAUTHORIZED
        );
    }
    let refused = world.post("/login/password", &body).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_sign_in() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let first = world.tokens(&mut ada).await;
    let body = json!({ "grant_type": "refresh_token", "refresh_token": first.refresh });
    let second = world.post("/token", &body).send().await.unwrap();
    let second = Tokens::of(&second.json().await.unwrap());
    let old = world.request(Method::GET, "/whoami").bearer_auth(&first.access).send().await.unwrap();
    assert_eq!(old.status(), StatusCode::UNAUTHORIZED, "the old access token is void");
    assert_eq!(world.post("/token", &body).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let thief = world.request(Method::GET, "/whoami").bearer_auth(&second.access).send().await.unwrap();
    assert_eq!(thief.status(), StatusCode::UNAUTHORIZED, "and now so is the new one");
    assert_eq!(world.events("token.revoked").await, 1);
}

#[tokio::test]
async fn a_token_of_another_kind_is_no_token() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let tokens = world.tokens(&mut ada).await;
    for wrong in [&tokens.refresh, "", "hoop_at_", "x", &format!("{}x", tokens.access)] {
        let response = world
            .request(Method::GET, "/whoami")
            .header("authorization", format!("Bearer {wrong}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let as_cookie =
        world.request(Method::GET, "/whoami").header("cookie", format!("__Host-hoop={}", tokens.access));
    assert_eq!(as_cookie.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_cookie_is_hard_to_misuse() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let browser = world.browser(&mut ada).await;
    for part in ["__Host-hoop=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(browser.cookie.contains(part), "{}", browser.cookie);
    }
    let get = || world.request(Method::GET, "/whoami").header("cookie", browser.pair());
    assert_eq!(get().send().await.unwrap().status(), StatusCode::OK);
    for (name, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        assert_eq!(
            get().header(name, value).send().await.unwrap().status(),
            StatusCode::FORBIDDEN,
            "{name} {value}"
        );
    }
    let own = format!("https://localhost:{}", world.running.addr.port());
    assert_eq!(get().header("origin", own).send().await.unwrap().status(), StatusCode::OK);
    let logout = || world.request(Method::POST, "/logout").header("cookie", browser.pair());
    assert_eq!(problem(logout().send().await.unwrap()).await, (403, "HOOP-3030".to_owned()));
    let wrong = logout().header("x-hoop-csrf", "guess").send().await.unwrap();
    assert_eq!(problem(wrong).await, (403, "HOOP-3030".to_owned()));
    let out = browser.sign(world.request(Method::POST, "/logout")).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert_eq!(get().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

/// Of a command line: when it was not refreshed for a while, and at its end, however often it was.
#[tokio::test]
async fn a_sign_in_ends_when_it_is_idle_and_at_its_absolute_end() {
    let limits = |idle, absolute| {
        World::with(move |config| {
            config.tokens.idle = std::time::Duration::from_millis(idle);
            config.tokens.absolute = std::time::Duration::from_millis(absolute);
        })
    };
    for (idle, absolute) in [(300, 3_600_000), (3_600_000, 1_500)] {
        let world = limits(idle, absolute).await;
        let mut ada = world.person("ada", Role::User, &[]).await;
        let began = std::time::Instant::now();
        let mut tokens = world.tokens(&mut ada).await;
        if idle < absolute {
            while began.elapsed().as_millis() < 400 {
                tokio::task::yield_now().await;
            }
            assert_eq!(world.refresh(&tokens.refresh).await.status(), StatusCode::UNAUTHORIZED);
            continue;
        }
        loop {
            let answer = world.refresh(&tokens.refresh).await;
            if answer.status() != StatusCode::OK {
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
                break;
            }
            tokens = Tokens::of(&answer.json().await.unwrap());
            assert!(began.elapsed().as_secs() < 20, "it is refreshed without end");
        }
        assert!(began.elapsed().as_millis() >= 1_000, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_idle_cookie_ends_though_its_page_asks_by_itself() {
    let world = World::with(|config| {
        config.tokens.cookie_idle = std::time::Duration::from_millis(300);
        config.tokens.absolute = std::time::Duration::from_secs(3600);
    })
    .await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let browser = world.browser(&mut ada).await;
    let ask = || world.request(Method::GET, "/whoami").header("cookie", browser.pair());
    let began = std::time::Instant::now();
    while ask().header("x-hoop-unattended", "1").send().await.unwrap().status() != StatusCode::UNAUTHORIZED {
        assert!(began.elapsed().as_secs() < 10, "a page that nobody looks at keeps its sign-in");
    }
    assert!(began.elapsed().as_millis() >= 250, "{:?}", began.elapsed());
    assert_eq!(ask().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn setup_makes_an_account_once() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let new = world
        .post("/users", &json!({ "name": "bob", "role": "user", "groups": ["dba"] }))
        .bearer_auth(&admin.access);
    let created: Value = new.send().await.unwrap().json().await.unwrap();
    assert_eq!(created["user"]["active"], false);
    let token = created["setup_url"].as_str().unwrap().split('#').nth(1).unwrap().to_owned();
    let short = world.post("/setup", &json!({ "token": token, "password": "short" })).send().await.unwrap();
    assert_eq!(problem(short).await, (400, "HOOP-3010".to_owned()));
    let first = world.post("/setup", &json!({ "token": token, "password": PASSWORD })).send().await.unwrap();
    let first: Value = first.json().await.unwrap();
    let url = first["otpauth_url"].as_str().unwrap();
    let secret = url.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let totp = hoop_identity::totp::TotpSecret::from_base32(secret).unwrap();
    let wrong = world
        .post("/setup", &json!({ "token": token, "password": PASSWORD, "code": "000000" }))
        .send()
        .await
        .unwrap();
    assert_eq!(problem(wrong).await, (400, "HOOP-3009".to_owned()));
    let step = hoop_identity::totp::step_at(common::now()).unwrap();
    let done = json!({ "token": token, "password": PASSWORD, "code": totp.code(step) });
    let active: Value = world.post("/setup", &done).send().await.unwrap().json().await.unwrap();
    assert_eq!(active["active"], true);
    let again = world.post("/setup", &done).send().await.unwrap();
    assert_eq!(problem(again).await, (403, "HOOP-3008".to_owned()), "the link is used up");
    let replay = json!({ "name": "bob", "password": PASSWORD, "code": totp.code(step) });
    assert_eq!(
        world.post("/login/password", &replay).send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let login = json!({ "name": "bob", "password": PASSWORD, "code": totp.code(step + 1) });
    assert_eq!(world.post("/login/password", &login).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_cli_signs_in_by_the_browser() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let browser = world.browser(&mut ada).await;
    let (verifier, challenge) =
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let approve = json!({ "code_challenge": challenge, "port": 4711, "state": "s-1" });
    let tokens = world.tokens(&mut ada).await;
    let by_token = world.post("/cli-login", &approve).bearer_auth(&tokens.access).send().await.unwrap();
    assert_eq!(problem(by_token).await, (403, "HOOP-3004".to_owned()), "a token makes no further sign-in");
    for wrong in [
        json!({ "code_challenge": "x", "port": 1, "state": "s" }),
        json!({ "code_challenge": challenge, "port": 0, "state": "s" }),
        json!({ "code_challenge": challenge, "port": 1, "state": "a&b\r\n" }),
    ] {
        let response = browser.sign(world.post("/cli-login", &wrong)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    let code = || async {
        let response = browser.sign(world.post("/cli-login", &approve)).send().await.unwrap();
        let to: Value = response.json().await.unwrap();
        let location = to["location"].as_str().unwrap().to_owned();
        assert!(
            location.starts_with("http://127.0.0.1:4711/callback?code=") && location.ends_with("&state=s-1")
        );
        location.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    };
    let trade = |code: String, verifier: &str| {
        world
            .post(
                "/token",
                &json!({ "grant_type": "authorization_code", "code": code, "code_verifier": verifier }),
            )
            .send()
    };
    let stolen = code().await;
    let wrong = trade(stolen.clone(), "x".repeat(43).as_str()).await.unwrap();
    assert_eq!(problem(wrong).await, (400, "HOOP-3023".to_owned()));
    assert_eq!(
        problem(trade(stolen, verifier).await.unwrap()).await.1,
        "HOOP-3023",
        "a wrong try uses it up"
    );
    let good = code().await;
    let traded = trade(good.clone(), verifier).await.unwrap();
    assert_eq!(traded.status(), StatusCode::OK);
    assert_eq!(problem(trade(good, verifier).await.unwrap()).await.1, "HOOP-3023", "once only");
}

#[tokio::test]
async fn a_device_signs_in_when_a_browser_approves() {
    let world = World::start().await;
    let mut ada = world.person("ada", Role::User, &[]).await;
    let browser = world.browser(&mut ada).await;
    let start =
        || async { world.post("/device", &json!({})).send().await.unwrap().json::<Value>().await.unwrap() };
    let poll = |started: &Value| {
        world
            .post("/token", &json!({ "grant_type": "device_code", "device_code": started["device_code"] }))
            .send()
    };
    let decide = |code: Value, approve: bool| {
        browser.sign(world.post("/device/approve", &json!({ "user_code": code, "approve": approve }))).send()
    };
    let started = start().await;
    assert_eq!(problem(poll(&started).await.unwrap()).await, (400, "HOOP-3020".to_owned()));
    assert_eq!(decide(json!("BBBB-BBBB"), true).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(decide(started["user_code"].clone(), true).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(poll(&started).await.unwrap().status(), StatusCode::OK);
    assert_eq!(problem(poll(&started).await.unwrap()).await.1, "HOOP-3023", "given out once");
    let refused = start().await;
    decide(refused["user_code"].clone(), false).await.unwrap();
    assert_eq!(problem(poll(&refused).await.unwrap()).await, (403, "HOOP-3022".to_owned()));
}

#[tokio::test]
async fn without_a_provider_its_callback_writes_nothing() {
    let world = World::start().await;
    for _ in 0..3 {
        let response = world.request(Method::GET, "/oidc/callback?state=x&code=y").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(world.events("login.failed").await, 0);
}

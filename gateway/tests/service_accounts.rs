//! Service accounts and their API tokens, as somebody would use them who has one and wants more (THREATS A4, A7, A12,
//! A14, A16, E4).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{
    ApiToken, Tokens, World,
    agent::{Agent, session_of},
    now, problem,
};
use hoop_identity::token::{Kind, Token};
use hoop_model::{Role, TokenId, TokenScope, UserName};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

async fn admin(world: &World) -> Tokens {
    let mut root = world.person("root", Role::Admin, &[]).await;
    world.tokens(&mut root).await
}

/// A rule that opens `pg` to the service account `ci` alone.
async fn ruled(world: &World, admin: &Tokens) {
    assert_eq!(world.connection(admin, json!({})).await.status(), StatusCode::OK);
    let rule = world.rule(admin, json!({ "subjects": { "service_accounts": ["ci"] } }));
    assert_eq!(rule.send().await.unwrap().status(), StatusCode::OK);
}

/// An account `ci` with a token that opens connections, a rule that lets it, an agent.
async fn scene(world: &World) -> (Tokens, ApiToken, Agent) {
    let admin = admin(world).await;
    let agent = Agent::join(world, "east").await;
    ruled(world, &admin).await;
    assert_eq!(world.service_account(&admin, "ci", "user").await.status(), StatusCode::OK);
    let token = world.api_token(&admin, "ci", "connect").await;
    (admin, token, agent)
}

async fn opened(world: &World, agent: &mut Agent, token: &ApiToken) -> (String, Value) {
    let opening = tokio::spawn(world.open(&token.bearer()).send());
    let asked = agent.asked().await;
    agent.confirm(&session_of(&asked)).await;
    let answer = opening.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    (answer["id"].as_str().unwrap().to_owned(), serde_json::from_slice(&asked.grant).unwrap())
}

async fn get(world: &World, path: &str, secret: &str) -> Response {
    world.request(Method::GET, path).bearer_auth(secret).send().await.unwrap()
}

async fn delete(world: &World, admin: &Tokens, path: &str) -> StatusCode {
    world.request(Method::DELETE, path).bearer_auth(&admin.access).send().await.unwrap().status()
}

async fn lock(world: &World, admin: &Tokens, locked: bool) {
    let change = world.request(Method::PATCH, "/service-accounts/ci").json(&json!({ "locked": locked }));
    assert_eq!(change.bearer_auth(&admin.access).send().await.unwrap().status(), StatusCode::OK);
}

fn out() -> (u16, String) {
    (401, "HOOP-3002".to_owned())
}

fn scope() -> (u16, String) {
    (403, "HOOP-3050".to_owned())
}

#[tokio::test]
async fn a_service_account_opens_what_rules_give_it_and_is_named_as_one() {
    let world = World::start().await;
    let (_, token, mut agent) = scene(&world).await;
    let listed: Value = get(&world, "/connections", &token.secret).await.json().await.unwrap();
    assert_eq!(
        (listed["items"][0]["name"].as_str(), listed["items"][0]["may_connect"].as_bool()),
        (Some("pg"), Some(true))
    );
    let (id, grant) = opened(&world, &mut agent, &token).await;
    assert_eq!((grant["method"].as_str(), grant["user_name"].as_str()), (Some("api_token"), Some("ci")));
    assert_eq!(grant["mfa_at"], Value::Null);
    let filter =
        hoop_store::EventFilter { code: Some("session.requested".into()), limit: 9, ..Default::default() };
    let event = &world.running.store().search_events(&filter).await.unwrap()[0];
    let event: Value = serde_json::from_slice(&event.bytes).unwrap();
    let actor = &event["actor"];
    assert_eq!(
        (actor["kind"].as_str(), actor["token"].as_str(), actor["scope"].as_str()),
        (Some("service_account"), Some(token.id.as_str()), Some("connect"))
    );
    // It sees its session, renews its certificate's way of asking, and ends it: that is no kill.
    let own: Value = get(&world, "/sessions", &token.secret).await.json().await.unwrap();
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    let renew = world.post(&format!("/sessions/{id}/certificate"), &json!({ "csr_pem": "x" }));
    assert_eq!(problem(renew.bearer_auth(&token.secret).send().await.unwrap()).await.1, "HOOP-7005");
    let end = world.post(&format!("/sessions/{id}/end"), &json!({})).bearer_auth(&token.secret);
    assert_eq!(end.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!((world.events("session.ended").await, world.events("session.killed").await), (1, 0));
}

/// For the key that the session was opened with, while it lives, and by whoever opened it.
#[tokio::test]
async fn a_sessions_certificate_is_renewed_for_its_own_key_alone() {
    let world = World::start().await;
    let (_, token, mut agent) = scene(&world).await;
    let (key, other) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let opening = tokio::spawn(world.open_for(&token.bearer(), &key).send());
    let id = common::agent::session_of(&agent.asked().await);
    agent.confirm(&id).await;
    assert_eq!(opening.await.unwrap().unwrap().status(), StatusCode::OK);
    let renew = async |key: &rcgen::KeyPair| {
        let request = rcgen::CertificateParams::default().serialize_request(key).unwrap().pem().unwrap();
        let renew = world.post(&format!("/sessions/{id}/certificate"), &json!({ "csr_pem": request }));
        renew.bearer_auth(&token.secret).send().await.unwrap()
    };
    assert_eq!(problem(renew(&other).await).await.1, "HOOP-4009");
    let issued = world.events("certificate.issued").await;
    let renewed: Value = renew(&key).await.json().await.unwrap();
    assert!(renewed["certificate_pem"].as_str().unwrap().contains("BEGIN CERTIFICATE"), "{renewed}");
    assert_eq!(world.events("certificate.issued").await, issued + 1);
    let end = world.post(&format!("/sessions/{id}/end"), &json!({})).bearer_auth(&token.secret);
    assert_eq!(end.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(!renew(&key).await.status().is_success(), "it is over");
}

#[tokio::test]
async fn whatever_ends_the_token_ends_its_sessions_in_two_seconds() {
    let world = World::start().await;
    let (admin, first, mut agent) = scene(&world).await;
    let ways: [(&str, &str); 4] = [
        ("DELETE", "/service-accounts/ci/tokens/{id}"),
        ("DELETE", "/service-accounts/ci/tokens"),
        ("PATCH", "/service-accounts/ci"),
        ("DELETE", "/service-accounts/ci"),
    ];
    let mut token = first;
    for (number, (method, path)) in ways.into_iter().enumerate() {
        let (id, _) = opened(&world, &mut agent, &token).await;
        let began = Instant::now();
        let method: Method = method.parse().unwrap();
        let request = world.request(method, &path.replace("{id}", &token.id));
        let request = request.bearer_auth(&admin.access).json(&json!({ "locked": true }));
        assert!(request.send().await.unwrap().status().is_success(), "{path}");
        assert_eq!(agent.told_to_end().await.session_id, id, "{path}");
        assert!(began.elapsed() < Duration::from_secs(2), "{path}: {:?}", began.elapsed());
        assert_eq!(problem(get(&world, "/whoami", &token.secret).await).await, out(), "{path}");
        assert_eq!(problem(world.open(&token.bearer()).send().await.unwrap()).await, out(), "{path}");
        if number == 2 {
            // Unlocked, the account needs a new token: the old one may have been the reason.
            lock(&world, &admin, false).await;
            assert_eq!(problem(get(&world, "/whoami", &token.secret).await).await, out());
        }
        if number < 3 {
            token = world.api_token(&admin, "ci", "connect").await;
        }
    }
    assert_eq!(delete(&world, &admin, "/service-accounts/ci").await, StatusCode::NOT_FOUND);
    let again = world.service_account(&admin, "CI", "user").await;
    assert_eq!(again.status(), StatusCode::CONFLICT, "rules that name it would mean another");
}

#[tokio::test]
async fn a_token_that_is_revoked_leaves_the_sessions_of_others() {
    let world = World::start().await;
    let (admin, kept, mut agent) = scene(&world).await;
    let gone = world.api_token(&admin, "ci", "connect").await;
    let (stays, _) = opened(&world, &mut agent, &kept).await;
    let (ends, _) = opened(&world, &mut agent, &gone).await;
    let path = format!("/service-accounts/ci/tokens/{}", gone.id);
    assert_eq!(delete(&world, &admin, &path).await, StatusCode::NO_CONTENT);
    assert_eq!(agent.told_to_end().await.session_id, ends);
    let live: Value = get(&world, "/sessions?state=live", &kept.secret).await.json().await.unwrap();
    let live: Vec<_> = live["items"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(live, [json!(stays)]);
}

#[tokio::test]
async fn a_session_ends_with_the_time_of_its_token() {
    let world = World::start().await;
    let (admin, _, mut agent) = scene(&world).await;
    let body = json!({ "name": "short", "scope": "connect", "ttl_seconds": 3 });
    let made: Value = world.make_api_token(&admin, "ci", body).await.json().await.unwrap();
    let token = ApiToken {
        id: made["view"]["id"].as_str().unwrap().to_owned(),
        scope: TokenScope::Connect,
        secret: made["token"].as_str().unwrap().to_owned(),
    };
    let (id, grant) = opened(&world, &mut agent, &token).await;
    assert_eq!(
        grant["ends_at"], made["view"]["expires_at"],
        "the rule gives eight hours, the token does not"
    );
    assert_eq!(agent.told_to_end().await.session_id, id);
    assert_eq!(problem(get(&world, "/whoami", &token.secret).await).await, out());
}

#[tokio::test]
async fn only_a_rule_that_names_it_lets_it_in() {
    let world = World::start().await;
    let (admin, token, _agent) = scene(&world).await;
    let denied = (403, "HOOP-2001".to_owned());
    for subjects in [
        json!({ "groups": ["dba", "ci"] }),
        json!({ "users": ["ci"] }),
        json!({ "service_accounts": ["ci2"], "users": ["ci"], "groups": ["everyone"] }),
    ] {
        let ruled = world.rule(&admin, json!({ "subjects": subjects })).send().await.unwrap();
        assert_eq!(ruled.status(), StatusCode::OK);
        assert_eq!(problem(world.open(&token.bearer()).send().await.unwrap()).await, denied, "{subjects}");
    }
    // Nor is a person let in by a rule for service accounts, whatever they are called.
    ruled(&world, &admin).await;
    let mut person = world.person("ci-person", Role::User, &["ci"]).await;
    let person = world.tokens(&mut person).await;
    assert_eq!(problem(world.open(&person).send().await.unwrap()).await, denied);
}

#[tokio::test]
async fn the_scope_is_all_that_a_token_opens() {
    let world = World::start().await;
    let admin = admin(&world).await;
    world.service_account(&admin, "reader", "auditor").await;
    let connect = world.api_token(&admin, "reader", "connect").await;
    let evidence = world.api_token(&admin, "reader", "evidence:read").await;
    let scim = world.api_token(&admin, "reader", "scim").await;
    let agent = Agent::join(&world, "east").await;
    let root = world.whoami(&admin.access).await["id"].as_str().unwrap().to_owned();
    let foreign = world.stored_session(&agent, &root).await;
    // The role of its account would see everybody's sessions; a token for connecting does not.
    let list = |token: &ApiToken| {
        let answer = world.request(Method::GET, "/sessions").bearer_auth(&token.secret).send();
        async move { answer.await.unwrap().json::<Value>().await.unwrap()["items"].as_array().unwrap().len() }
    };
    assert_eq!((list(&connect).await, list(&evidence).await), (0, 1));
    let show = format!("/sessions/{foreign}");
    assert_eq!(get(&world, &show, &connect.secret).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&world, &show, &evidence.secret).await.status(), StatusCode::OK);
    assert_eq!(get(&world, "/connections?all=true", &connect.secret).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(get(&world, "/audit/events", &evidence.secret).await.status(), StatusCode::OK);
    for token in [&connect, &scim] {
        assert_eq!(problem(get(&world, "/audit/events", &token.secret).await).await, scope());
    }
    assert_eq!(problem(world.open(&evidence.bearer()).send().await.unwrap()).await, scope());
    assert_eq!(problem(get(&world, "/whoami", &scim.secret).await).await, scope());
}

#[tokio::test]
async fn a_token_makes_no_token_proves_no_factor_approves_nothing_and_breaks_no_glass() {
    let world = World::start().await;
    let (_, token, _agent) = scene(&world).await;
    let session = "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let request = "req_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let attempts = [
        ("/service-accounts/ci/tokens".to_owned(), json!({ "name": "more", "scope": "connect" })),
        ("/service-accounts".to_owned(), json!({ "name": "more" })),
        ("/auth/step-up".to_owned(), json!({ "code": "000000" })),
        ("/auth/step-up/browser".to_owned(), json!({})),
        ("/me/recovery-codes".to_owned(), json!({})),
        ("/requests".to_owned(), json!({ "connection": "pg", "duration_seconds": 60, "reason": "x" })),
        (format!("/requests/{request}/approve"), json!({})),
        (format!("/requests/{request}/review"), json!({ "finding": "fine" })),
        ("/break-glass".to_owned(), json!({ "connection": "pg", "reason": "x", "incident": "x" })),
        ("/cli-login".to_owned(), json!({ "code_challenge": "x", "port": 1, "state": "s" })),
        ("/device/approve".to_owned(), json!({ "user_code": "BCDF-GHJK", "approve": true })),
        ("/agents/join-tokens".to_owned(), json!({ "agent": "west" })),
        ("/logout".to_owned(), json!({})),
        (format!("/sessions/{session}/kill"), json!({ "reason": "x" })),
    ];
    for (path, body) in attempts {
        let answer = world.post(&path, &body).bearer_auth(&token.secret).send().await.unwrap();
        assert_eq!(problem(answer).await, scope(), "{path}");
    }
    assert_eq!(get(&world, "/whoami", &token.secret).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_is_shown_in_one_header_and_nowhere_else() {
    let world = World::start().await;
    let (_, token, _agent) = scene(&world).await;
    let secret = &token.secret;
    let whoami = || world.request(Method::GET, "/whoami");
    let places = [
        world.request(Method::GET, &format!("/whoami?access_token={secret}&token={secret}")),
        whoami().header("cookie", format!("__Host-hoop={secret}")),
        whoami().header("authorization", format!("Basic {secret}")),
        whoami().header("authorization", secret),
        whoami().header("authorization", format!("Bearer  {secret}")),
        whoami().header("authorization", format!("Bearer {secret} ")).header("x-hoop-csrf", secret),
        whoami().header("x-api-key", secret),
    ];
    for (number, place) in places.into_iter().enumerate() {
        let answer = place.send().await.unwrap();
        // A trailing blank is no part of a header's value (RFC 9110 §5.5): that one is the token.
        let expected = if number == 5 { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(answer.status(), expected, "{number}");
    }
    let refreshed = world.refresh(secret).await;
    assert_eq!(problem(refreshed).await, out());
}

#[tokio::test]
async fn guessing_is_slowed_and_good_tokens_are_not() {
    let world = World::with(|config| config.limits.login_attempts_per_minute = 10).await;
    let (_, token, _agent) = scene(&world).await;
    for _ in 0..30 {
        assert_eq!(get(&world, "/whoami", &token.secret).await.status(), StatusCode::OK);
    }
    // What is no token costs no look-up; what could be one counts.
    assert_eq!(problem(get(&world, "/whoami", "hoop_sa_AAAA").await).await, out());
    for _ in 0..10 {
        let guess = Token::generate(Kind::Api).unwrap();
        assert_eq!(problem(get(&world, "/whoami", guess.secret().expose()).await).await, out());
    }
    let guess = Token::generate(Kind::Api).unwrap();
    assert_eq!(problem(get(&world, "/whoami", guess.secret().expose()).await).await.0, 429);
    assert_eq!(world.events("login.failed").await, 10);
}

#[tokio::test]
async fn accounts_and_people_do_not_share_names_and_never_become_admins() {
    let world = World::start().await;
    let admin = admin(&world).await;
    world.person("ada", Role::User, &[]).await;
    for name in ["ada", "ADA", "root"] {
        assert_eq!(
            world.service_account(&admin, name, "user").await.status(),
            StatusCode::CONFLICT,
            "{name}"
        );
    }
    // What looks alike and is not the same letter is no name at all.
    for name in ["аda", "ada\u{200b}", "ada ", "a\u{301}da", "-ada", ""] {
        let refused = world.service_account(&admin, name, "user").await.status();
        assert!(refused.is_client_error() && refused != StatusCode::CONFLICT, "{name:?}: {refused}");
    }
    let refused = world.service_account(&admin, "ci", "admin").await;
    assert_eq!(problem(refused).await, (403, "HOOP-3051".to_owned()));
    assert_eq!(world.service_account(&admin, "ci", "user").await.status(), StatusCode::OK);
    let taken = world.post("/users", &json!({ "name": "Ci", "role": "user" })).bearer_auth(&admin.access);
    assert_eq!(taken.send().await.unwrap().status(), StatusCode::CONFLICT);
    // The ways that change people do not find it.
    let raise = world.request(Method::PATCH, "/users/ci").json(&json!({ "role": "admin" }));
    assert_eq!(raise.bearer_auth(&admin.access).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let reset = world.post("/users/ci/reset", &json!({})).bearer_auth(&admin.access);
    assert_eq!(reset.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let body = json!({ "name": "ci", "password": common::PASSWORD, "code": "000000" });
    assert_eq!(problem(world.post("/login/password", &body).send().await.unwrap()).await.1, "HOOP-3001");
    assert_eq!(
        get(&world, "/users", &admin.access).await.json::<Value>().await.unwrap()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_token_is_made_within_bounds_by_whom_it_is_asked_of() {
    let world = World::start().await;
    let admin = admin(&world).await;
    world.service_account(&admin, "ci", "user").await;
    let make = |account: &'static str, body: Value| {
        let (world, admin) = (&world, &admin);
        async move { problem(world.make_api_token(admin, account, body).await).await }
    };
    let whole = json!({ "name": "x", "scope": "connect" });
    let with = |key: &str, value: Value| {
        let mut body = whole.clone();
        body[key] = value;
        body
    };
    for (body, code) in [
        (with("ttl_seconds", json!(0)), "HOOP-7003"),
        (with("ttl_seconds", json!(366 * 86400 + 1)), "HOOP-7003"),
        (with("ttl_seconds", json!(null)), "HOOP-7003"),
        (with("name", json!("")), "HOOP-7003"),
        (with("name", json!("a\nb")), "HOOP-7003"),
        (with("name", json!("x".repeat(101))), "HOOP-7003"),
        (with("scope", json!("admin")), "HOOP-7003"),
        (with("scope", json!("connect scim")), "HOOP-7003"),
        (with("scope", json!(["connect"])), "HOOP-7003"),
        (with("role", json!("admin")), "HOOP-7003"),
        (with("scope", json!("evidence:read")), "HOOP-3052"),
        (json!({ "name": "x" }), "HOOP-7003"),
    ] {
        assert_eq!(make("ci", body.clone()).await.1, code, "{body}");
    }
    for nobody in ["root", "etl"] {
        assert_eq!(make(nobody, whole.clone()).await.0, 404, "{nobody}");
    }
    let made: Value = world.make_api_token(&admin, "ci", whole.clone()).await.json().await.unwrap();
    let days = |value: &Value| value.as_str().unwrap().parse::<hoop_model::Timestamp>().unwrap();
    let life = days(&made["view"]["expires_at"]).since(days(&made["view"]["created_at"]));
    assert_eq!(life, Duration::from_secs(90 * 86400));
    for _ in 1..20 {
        world.api_token(&admin, "ci", "connect").await;
    }
    assert_eq!(make("ci", whole.clone()).await.0, 409, "as many as there may be");
    let listed = get(&world, "/service-accounts/ci/tokens", &admin.access).await.text().await.unwrap();
    assert!(listed.contains("tok_") && !listed.contains("hoop_sa_"), "a token is shown once");
    assert_eq!(world.events("api_token.created").await, 20);
}

#[tokio::test]
async fn a_token_of_another_account_is_not_reached_through_this_one() {
    let world = World::start().await;
    let admin = admin(&world).await;
    for name in ["ci", "etl"] {
        world.service_account(&admin, name, "user").await;
    }
    let (own, foreign) =
        (world.api_token(&admin, "ci", "connect").await, world.api_token(&admin, "etl", "connect").await);
    for id in
        [foreign.id.as_str(), "tok_aaaaaaaaaaaaaaaaaaaaaaaaaa", "lgn_aaaaaaaaaaaaaaaaaaaaaaaaaa", "..", "%00"]
    {
        let path = format!("/service-accounts/ci/tokens/{id}");
        assert!(delete(&world, &admin, &path).await.is_client_error(), "{id}");
    }
    // Nor is a person's sign-in revoked as if it were a token.
    let login = world.whoami(&admin.access).await["login"].as_str().unwrap().replace("lgn_", "tok_");
    assert!(login.parse::<TokenId>().is_ok());
    let path = format!("/service-accounts/ci/tokens/{login}");
    assert_eq!(delete(&world, &admin, &path).await, StatusCode::NOT_FOUND);
    for token in [&own, &foreign] {
        assert_eq!(get(&world, "/whoami", &token.secret).await.status(), StatusCode::OK);
    }
    let account =
        world.running.store().service_account(&UserName::new("ci").unwrap()).await.unwrap().unwrap();
    let kept = world.running.store().api_tokens(account.id).await.unwrap();
    assert!(kept[0].used_at.is_some_and(|used| now().since(used) < Duration::from_secs(60)));
}

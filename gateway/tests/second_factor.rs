//! No path around the second factor (THREATS A7): every route that opens a session or touches rights, credentials or
//! evidence refuses a sign-in that never proved one, and nothing made of such a sign-in is more than it was.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Browser, Tokens, World, agent::Agent, now, problem};
use hoop_gateway::Who;
use hoop_identity::token::{Kind, Token};
use hoop_model::{AuthMethod, GroupName, LoginId, Role, TokenId, UserId, UserName};
use hoop_store::{ClientKind, NewLogin, NewToken, OidcUser, Proof, TokenKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Signed in by a provider that says nothing about a second factor: tokens, and a browser.
async fn without_second_factor(world: &World, name: &str, role: Role) -> (Tokens, Browser) {
    let store = world.running.store();
    let person = OidcUser {
        id: UserId::generate(),
        issuer: "https://idp.example".into(),
        subject: name.into(),
        name: UserName::new(name).unwrap(),
        groups: vec![GroupName::new("dba").unwrap()],
        role: Some(role),
        at: now(),
    };
    let user = store.upsert_oidc(&person, |_, _| Vec::new()).await.unwrap();
    let end = now().after(Duration::from_secs(3600));
    let token =
        |kind, token: &Token| NewToken { id: TokenId::generate(), kind, hash: token.hash(), expires_at: end };
    let fresh = |kind| Token::generate(kind).unwrap();
    let (access, refresh, cookie) = (fresh(Kind::Access), fresh(Kind::Refresh), fresh(Kind::Cookie));
    let kept = [
        (ClientKind::Cli, vec![token(TokenKind::Access, &access), token(TokenKind::Refresh, &refresh)]),
        (ClientKind::Browser, vec![token(TokenKind::Cookie, &cookie)]),
    ];
    for (client, tokens) in kept {
        let login = NewLogin {
            id: LoginId::generate(),
            user: user.id,
            method: AuthMethod::Oidc,
            mfa: None,
            created_at: now(),
            expires_at: end,
            idle_until: end,
            address: "127.0.0.1".into(),
            client,
        };
        store.create_login(&login, &tokens, &Proof::Provider, &[]).await.unwrap();
    }
    let cookie = format!("__Host-hoop={}", cookie.secret().expose());
    let me = world.request(Method::GET, "/whoami").header("cookie", &cookie).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    let tokens =
        Tokens { access: access.secret().expose().clone(), refresh: refresh.secret().expose().clone() };
    (tokens, Browser { cookie, csrf: me["csrf"].as_str().unwrap().to_owned() })
}

/// What somebody signed in may do without a second factor: look at what is theirs, and leave.
const HARMLESS: [(&str, &str); 15] = [
    ("GET", "/api/v1/whoami"),
    ("GET", "/api/v1/me/logins"),
    ("DELETE", "/api/v1/me/logins"),
    ("DELETE", "/api/v1/me/logins/{id}"),
    ("GET", "/api/v1/me/recovery-codes"),
    ("GET", "/api/v1/me/passkeys"),
    // The ways to a second factor itself.
    ("POST", "/api/v1/auth/step-up"),
    ("POST", "/api/v1/auth/step-up/browser"),
    ("POST", "/api/v1/auth/step-up/poll"),
    ("POST", "/api/v1/logout"),
    ("GET", "/api/v1/connections"),
    ("GET", "/api/v1/sessions"),
    ("GET", "/api/v1/requests"),
    ("GET", "/api/v1/requests/{id}"),
    ("GET", "/api/v1/sessions/{id}"),
];
/// The provider decides whether it saw one.
const AT_THE_PROVIDER: (&str, &str) = ("GET", "/api/v1/auth/step-up/oidc");
/// The session that is opened by it asks for a factor like any other: the same decision.
const TERMINAL: (&str, &str) = ("GET", "/api/v1/terminals");
/// And this ends a session of one's own.
const ENDS: (&str, &str) = ("POST", "/api/v1/sessions/{id}/end");
/// These are for people who are about to sign in; a second factor is asked for behind them.
const OPEN: [(&str, &str); 12] = [
    ("GET", "/api/v1/info"),
    ("GET", "/api/v1/openapi.json"),
    ("POST", "/api/v1/login/password"),
    ("POST", "/api/v1/login/sealed-codes"),
    ("POST", "/api/v1/login/passkey/begin"),
    ("POST", "/api/v1/login/passkey"),
    ("GET", "/api/v1/oidc/start"),
    ("GET", "/api/v1/oidc/callback"),
    ("POST", "/api/v1/token"),
    ("POST", "/api/v1/device"),
    ("POST", "/api/v1/setup"),
    ("GET", "/api/v1/audit/checkpoint"),
];

#[tokio::test]
async fn every_route_that_matters_asks_for_a_second_factor() {
    let world = World::start().await;
    let mut ada = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut ada).await;
    let agent = Agent::join(&world, "east").await;
    assert_eq!(world.connection(&admin, json!({})).await.status(), StatusCode::OK);
    let (tokens, _) = without_second_factor(&world, "mallory", Role::Admin).await;
    // A session of theirs, as if it had been opened with a second factor: its certificate is not for this sign-in.
    let session =
        world.stored_session(&agent, world.whoami(&tokens.access).await["id"].as_str().unwrap()).await;
    for endpoint in hoop_gateway::authorization() {
        let (method, path, who) = (endpoint.method, endpoint.path, endpoint.who);
        let row = (method.as_str(), path.as_str());
        if HARMLESS.contains(&row) || row == ENDS {
            assert_eq!(who, Who::SignedIn, "{row:?}");
            continue;
        }
        if OPEN.contains(&row) {
            assert_eq!(who, Who::Anyone, "{row:?}");
            continue;
        }
        // Passing a sign-in on: with what it is worth, which the next test looks at. Passing a factor on wants a fresh one.
        if who == Who::Browser {
            let worth = matches!(row.1, "/api/v1/cli-login" | "/api/v1/device/approve");
            let the_way_to_one = row.1.starts_with("/api/v1/auth/step-up/passkey");
            let elsewhere = [AT_THE_PROVIDER, TERMINAL].contains(&row);
            assert!(worth || the_way_to_one || elsewhere || endpoint.fresh, "{row:?}");
            continue;
        }
        // For programs alone: whoever signed in, with whatever, gets nowhere.
        if who == Who::Program {
            assert!(path.starts_with("/scim/v2/"), "{row:?}");
            continue;
        }
        let place = path.replace("{id}", &session).replace("{name}", "pg");
        let url = format!("https://localhost:{}{place}", world.running.addr.port());
        let request = world.client.request(method.clone(), url).bearer_auth(&tokens.access);
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let body = match row.1 {
            "/api/v1/sessions" => json!({ "connection": "pg", "csr_pem": csr }),
            _ => json!({ "csr_pem": csr }),
        };
        let request = if method == Method::GET { request } else { request.json(&body) };
        assert_eq!(
            problem(request.send().await.unwrap()).await,
            (403, "HOOP-2003".to_owned()),
            "{row:?} can be reached without a second factor (or is new: say above what it is)"
        );
    }
    assert_eq!(world.events("session.requested").await, 0);
}

#[tokio::test]
async fn what_is_made_of_a_sign_in_is_worth_no_more_than_it() {
    let world = World::start().await;
    let (tokens, browser) = without_second_factor(&world, "mallory", Role::User).await;
    let refreshed = json!({ "grant_type": "refresh_token", "refresh_token": tokens.refresh });
    let mut made = vec![world.post("/token", &refreshed).send().await.unwrap()];
    let device: Value = world.post("/device", &json!({})).send().await.unwrap().json().await.unwrap();
    let approval = json!({ "user_code": device["user_code"], "approve": true });
    let approved = browser.sign(world.post("/device/approve", &approval)).send().await.unwrap();
    assert_eq!(approved.status(), StatusCode::NO_CONTENT);
    let redeem = json!({ "grant_type": "device_code", "device_code": device["device_code"] });
    made.push(world.post("/token", &redeem).send().await.unwrap());
    let verifier = "v".repeat(43);
    let code = world.cli_code(&browser, &verifier).await;
    made.push(world.redeem_code(&code, &verifier).await);
    for answer in made {
        assert_eq!(answer.status(), StatusCode::OK);
        let tokens: Value = answer.json().await.unwrap();
        assert_eq!(tokens["user"]["mfa_at"], Value::Null);
    }
}

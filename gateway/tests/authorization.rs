//! Every route × who calls × kind of credential, against a golden table: an endpoint that is not listed fails here
//! (THREATS A14, A15, E5).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fmt::Write as _;

use common::{ApiToken, Tokens, World};
use hoop_gateway::{Row, Who};
use hoop_model::{Role, TokenScope};
use reqwest::{Method, StatusCode};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/authorization.txt");

/// `refused` is 401 or 403 by our own authorization; anything else got past it.
async fn outcome(world: &World, method: &Method, path: &str, by: Option<&str>) -> &'static str {
    let path = path.replace("{id}", "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa").replace("{name}", "nothing-here");
    let url = format!("https://localhost:{}{path}", world.running.addr.port());
    let mut request =
        world.client.request(method.clone(), url).header("content-type", "application/json").body("not json");
    if let Some(token) = by {
        request = request.bearer_auth(token);
    }
    match request.send().await.unwrap().status() {
        StatusCode::UNAUTHORIZED => "401",
        StatusCode::FORBIDDEN => "403",
        _ => "in",
    }
}

/// One of each scope, and one whose account's role could do more than its scope says.
async fn api_tokens(world: &World, admin: &str) -> [ApiToken; 4] {
    let admin = Tokens { access: admin.to_owned(), refresh: String::new() };
    assert_eq!(world.service_account(&admin, "robot", "user").await.status(), StatusCode::OK);
    assert_eq!(world.service_account(&admin, "reader", "auditor").await.status(), StatusCode::OK);
    [
        world.api_token(&admin, "robot", "connect").await,
        world.api_token(&admin, "reader", "connect").await,
        world.api_token(&admin, "reader", "evidence:read").await,
        world.api_token(&admin, "reader", "scim").await,
    ]
}

/// What the table says, without the code that acts on it.
fn may_open(row: &Row, token: &ApiToken) -> bool {
    row.who == Who::Anyone || row.scopes.contains(&token.scope)
}

#[tokio::test]
async fn no_scope_opens_what_people_must_do_themselves() {
    for row in hoop_gateway::authorization() {
        if row.scopes.is_empty() {
            continue;
        }
        if row.who == Who::Program {
            assert!(row.scopes == [TokenScope::Scim] && row.path.starts_with("/scim/v2/"), "{row}");
            continue;
        }
        assert!(!row.fresh && matches!(row.who, Who::SignedIn | Who::Evidence), "{row}");
        assert!(!row.scopes.contains(&TokenScope::Scim), "{row}");
        // Nothing that gives, takes or asks for rights or credentials.
        let words =
            ["users", "service-accounts", "tokens", "agents", "rules", "requests", "break-glass", "login"];
        assert!(words.iter().all(|word| !row.path.contains(word)), "{row}");
        if row.who == Who::Evidence {
            assert_eq!(row.scopes, [TokenScope::EvidenceRead], "{row}");
        }
    }
}

#[tokio::test]
async fn the_matrix_is_the_golden_one() {
    let world = World::start().await;
    let mut found = String::from(
        "# method path who token:scopes | anonymous user approver auditor admin | API token of a service account: connect (a user's), \
         connect (an auditor's), evidence:read, scim\n\
         # (`in`: let through; people with a bearer token)\n",
    );
    let (mut tokens, mut others) = (Vec::new(), Vec::new());
    for (name, role) in [
        ("user", Role::User),
        ("approver", Role::Approver),
        ("auditor", Role::Auditor),
        ("admin", Role::Admin),
    ] {
        let mut person = world.person(name, role, &[]).await;
        tokens.push(world.tokens(&mut person).await.access);
        others.push(world.tokens(&mut person).await.access);
    }
    let api_tokens = api_tokens(&world, &tokens[3]).await;
    let mut rows = hoop_gateway::authorization();
    // Signing out comes last, everywhere at the very end: it ends the tokens.
    rows.sort_by_key(|row| match (row.method.as_str(), row.path.as_str()) {
        ("POST", "/api/v1/logout") => 1,
        ("DELETE", "/api/v1/me/logins") => 2,
        _ => 0,
    });
    for row in rows {
        let everywhere = row.method == Method::DELETE && row.path.ends_with("/me/logins");
        let tokens = if everywhere { &others } else { &tokens };
        let _ = write!(found, "{row} |");
        for token in std::iter::once(None).chain(tokens.iter().map(|token| Some(token.as_str()))) {
            // These answer 401 by their own rules; what counts here is that they are open.
            let outcome = outcome(&world, &row.method, &row.path, token).await;
            let _ = write!(found, " {outcome}");
        }
        found.push_str(" |");
        for token in &api_tokens {
            let outcome = outcome(&world, &row.method, &row.path, Some(&token.secret)).await;
            assert_eq!(outcome == "in", may_open(&row, token), "{row} by {token:?}");
            let _ = write!(found, " {outcome}");
        }
        found.push('\n');
    }
    if std::env::var_os("HOOP_WRITE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(golden == found, "the table changed: look at it, then run with HOOP_WRITE_GOLDEN=1\n{found}");
}

#[tokio::test]
async fn nobody_gets_past_their_role() {
    // The golden file could be wrong: the rule itself, once more.
    for row in hoop_gateway::authorization() {
        let (path, who) = (row.path, row.who);
        let evidence = path.contains("/audit/")
            || path.contains("/timeline")
            || path.ends_with("/recording")
            || path.contains("/verify")
            || path.contains("/export");
        if evidence && !path.ends_with("/checkpoint") {
            assert_eq!(who.to_string(), "evidence", "{path}");
        }
    }
}

#[tokio::test]
async fn nobody_raises_themselves_and_a_locked_person_is_out_at_once() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let mut bob = world.person("bob", Role::User, &[]).await;
    let admin = world.tokens(&mut root).await;
    let user = world.tokens(&mut bob).await;
    let change = |name: &str, body| {
        world.request(Method::PATCH, &format!("/users/{name}")).bearer_auth(&admin.access).json(&body).send()
    };
    let own = change("ROOT", serde_json::json!({ "groups": ["dba"] })).await.unwrap();
    assert_eq!(common::problem(own).await, (403, "HOOP-3006".to_owned()));
    let locked = change("bob", serde_json::json!({ "locked": true })).await.unwrap();
    assert_eq!(locked.status(), StatusCode::OK);
    let out = world.request(Method::GET, "/whoami").bearer_auth(&user.access).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.sign_in(&mut bob, "tokens").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_document_lists_every_route() {
    let document: serde_json::Value = serde_json::from_str(&hoop_gateway::openapi_json()).unwrap();
    for row in hoop_gateway::authorization() {
        let operation = &document["paths"][&row.path][row.method.as_str().to_lowercase()];
        assert!(operation.is_object(), "{row}");
    }
    for name in ["WhoAmI", "SessionView", "Problem", "ConnectionDefinition"] {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn every_answer_has_its_security_headers() {
    let world = World::start().await;
    let base = format!("https://localhost:{}", world.running.addr.port());
    for path in ["/", "/sessions/x", "/api/v1/info", "/api/v1/nothing", "/api/v1/whoami"] {
        let response = world.client.get(format!("{base}{path}")).send().await.unwrap();
        let headers = response.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("script-src 'self';"),
            "{path}: {policy}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(headers.contains_key("strict-transport-security"), "{path}");
        if path.starts_with("/api") {
            assert_eq!(headers["cache-control"], "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn every_page_of_the_ledger_that_is_read_is_an_event() {
    let world = World::start().await;
    let mut eve = world.person("eve", Role::Auditor, &[]).await;
    let token = world.tokens(&mut eve).await.access;
    for path in ["/audit/events", "/audit/events?before=2", "/audit/events?before=1&limit=1"] {
        let response = world.request(Method::GET, path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(world.events("ledger.read").await, 3);
}

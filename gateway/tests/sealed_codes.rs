//! Sealed codes: several holders let somebody in for an emergency, and for nothing else (THREATS A7, A13, A14).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Tokens, World, agent::Agent, now, problem};
use hoop_gateway::Who;
use hoop_model::Role;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

struct Scene {
    world: World,
    agent: Agent,
    admin: Tokens,
    codes: Vec<String>,
    set: String,
}

/// In an emergency ada may open `pg`; `sealed` is what the rule says of sealed codes.
fn rules(sealed: bool) -> Value {
    json!({
        "rules": [{ "name": "dba", "subjects": { "groups": ["dba"] }, "connections": { "names": ["pg"] } }],
        "break_glass": [{
            "name": "oncall", "subjects": { "groups": ["dba"] }, "connections": { "names": ["pg"] },
            "sealed_codes": sealed,
        }],
    })
}

impl Scene {
    async fn start() -> Self {
        let world = World::start().await;
        let mut root = world.person("root", Role::Admin, &["dba"]).await;
        world.person("ada", Role::User, &["dba"]).await;
        let admin = world.tokens(&mut root).await;
        let agent = Agent::join(&world, "east").await;
        assert_eq!(world.connection(&admin, json!({})).await.status(), StatusCode::OK);
        assert_eq!(world.rules(&admin, rules(true)).send().await.unwrap().status(), StatusCode::OK);
        let made = make(&world, &admin, &["ben", "cat", "dan"], 2).await;
        let made: Value = made.json().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let codes = made["codes"].as_array().unwrap().iter().map(|one| text(&one["code"])).collect();
        Self { world, agent, admin, codes, set: text(&made["id"]) }
    }

    async fn sign_in(&self, name: &str, codes: &[&str]) -> Response {
        self.world.post("/login/sealed-codes", &json!({ "name": name, "codes": codes })).send().await.unwrap()
    }

    async fn signed_in(&self, name: &str) -> Tokens {
        let answer = self.sign_in(name, &[&self.codes[0], &self.codes[2]]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let tokens: Value = answer.json().await.unwrap();
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Tokens { access: text("access_token"), refresh: text("refresh_token") }
    }

    async fn refused(&self, name: &str, codes: &[&str], what: &str) {
        let refused = problem(self.sign_in(name, codes).await).await;
        assert_eq!(refused, (403, "HOOP-3061".to_owned()), "{what}");
    }

    async fn glass(&self, who: &Tokens) -> Response {
        let body = json!({ "connection": "pg", "reason": "the wards are down", "incident": "INC-7" });
        self.world.post("/break-glass", &body).bearer_auth(&who.access).send().await.unwrap()
    }
}

async fn make(world: &World, admin: &Tokens, holders: &[&str], needed: u32) -> Response {
    let body = json!({ "holders": holders, "needed": needed, "valid_for_seconds": 3600 });
    world.post("/sealed-codes", &body).bearer_auth(&admin.access).send().await.unwrap()
}

#[tokio::test]
async fn codes_of_two_holders_open_an_emergency_and_nothing_else() {
    let mut scene = Scene::start().await;
    let ada = scene.signed_in("ada").await;
    let me = scene.world.request(Method::GET, "/whoami").bearer_auth(&ada.access).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!((&me["name"], &me["method"]), (&json!("ada"), &json!("sealed_codes")));
    let end: hoop_model::Timestamp = me["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(end <= now().after(Duration::from_secs(3600)), "{end}");
    // The rule that lets her in every day asks for a second factor of hers.
    assert_eq!(problem(scene.world.open(&ada).send().await.unwrap()).await.0, 403);
    assert_eq!(scene.glass(&ada).await.status(), StatusCode::OK);
    let session = scene.agent.opened(&scene.world, &ada).await;
    let kept = scene.world.running.store().session(session.parse().unwrap()).await.unwrap().unwrap();
    assert!(kept.allowed_because.contains("emergency"), "{}", kept.allowed_because);
    // Everybody is told, and the ledger has whose codes they were.
    let events = scene.world.request(Method::GET, "/audit/events?code=sealed_codes.used");
    let events = events.bearer_auth(&scene.admin.access).send().await.unwrap().text().await.unwrap();
    assert!(
        events.contains("\"ben\"") && events.contains("\"dan\"") && !events.contains("\"cat\""),
        "{events}"
    );
    for code in &scene.codes {
        assert!(!events.contains(code), "a secret in the ledger");
    }
}

#[tokio::test]
async fn every_other_way_is_closed_also_to_an_admin_by_codes() {
    let scene = Scene::start().await;
    let root = scene.signed_in("root").await;
    for row in hoop_gateway::authorization() {
        if row.who == Who::Anyone || row.emergency {
            continue;
        }
        let path =
            row.path.trim_start_matches("/api/v1").replace("{id}", &scene.set).replace("{name}", "ada");
        // For programs alone, in a place and with words of its own.
        if row.who == Who::Program {
            let url = format!("https://localhost:{}{path}", scene.world.running.addr.port());
            let request = scene.world.client.request(row.method.clone(), url).bearer_auth(&root.access);
            assert_eq!(request.send().await.unwrap().status(), 403, "{row}");
            continue;
        }
        let request = scene.world.request(row.method.clone(), &path).bearer_auth(&root.access);
        let answer = problem(request.json(&json!({})).send().await.unwrap()).await;
        assert_eq!(answer, (403, "HOOP-3060".to_owned()), "{row}");
    }
    let open: Vec<_> = hoop_gateway::authorization().into_iter().filter(|row| row.emergency).collect();
    assert!(open.iter().all(|row| !matches!(row.who, Who::Admin | Who::Evidence | Who::Browser)), "{open:?}");
    // Of what is open, an admin by codes sees no more than a user does.
    let glass = scene.glass(&root).await;
    assert_eq!(glass.status(), StatusCode::OK);
    let me = scene.world.request(Method::GET, "/whoami").bearer_auth(&root.access).send().await.unwrap();
    assert_eq!(me.json::<Value>().await.unwrap()["role"], "user");
    // Nor does a new pair of tokens widen it.
    let renewed = json!({ "grant_type": "refresh_token", "refresh_token": root.refresh });
    let renewed: Value = scene.world.post("/token", &renewed).send().await.unwrap().json().await.unwrap();
    let users =
        scene.world.request(Method::GET, "/users").bearer_auth(renewed["access_token"].as_str().unwrap());
    assert_eq!(problem(users.send().await.unwrap()).await, (403, "HOOP-3060".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_is_told_to_the_ledger_alone_and_spends_nothing() {
    let scene = Scene::start().await;
    let [ben, cat, dan] = [&*scene.codes[0], &*scene.codes[1], &*scene.codes[2]];
    let unknown = "BCDF-GHJK-LMNP-QRST";
    let typed_twice = ben.to_lowercase().replace('-', "");
    let table: [(&str, &[&str], &str); 9] = [
        ("ada", &[], "none"),
        ("ada", &[ben], "one holder alone"),
        ("ada", &[ben, ben], "one holder twice"),
        ("ada", &[ben, &typed_twice], "the same as people type it"),
        ("ada", &[ben, unknown], "an unknown one"),
        ("ada", &[ben, "123456"], "a TOTP code"),
        ("ada", &[ben, ""], "an empty one"),
        ("nobody", &[ben, cat], "for nobody"),
        ("ada", &[ben, "x' OR '1'='1"], "hostile text"),
    ];
    for (name, codes, what) in table {
        scene.refused(name, codes, what).await;
    }
    let many = vec![ben; 21];
    scene.refused("ada", &many, "too many").await;
    assert_eq!(scene.sign_in("ada", &[ben, cat]).await.status(), StatusCode::OK, "nothing was spent");
    scene.refused("ada", &[ben, cat], "used").await;
    scene.refused("ada", &[ben, dan], "one of them used").await;
    let failed = scene.world.request(Method::GET, "/audit/events?code=login.failed");
    let failed = failed.bearer_auth(&scene.admin.access).send().await.unwrap().text().await.unwrap();
    assert!(failed.contains("unknown code") && failed.contains("one code twice"), "{failed}");
}

#[tokio::test]
async fn a_revoked_set_a_locked_person_and_a_rule_without_the_word_let_nobody_in() {
    let scene = Scene::start().await;
    let admin = |method, path: &str, body: Value| {
        scene.world.request(method, path).bearer_auth(&scene.admin.access).json(&body).send()
    };
    // The rule does not say it: signed in, but the glass does not break.
    let without = scene.world.rules(&scene.admin, rules(false)).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::OK);
    let ada = scene.signed_in("ada").await;
    assert_eq!(problem(scene.glass(&ada).await).await.0, 403);

    let other: Value = make(&scene.world, &scene.admin, &["ben", "cat"], 2).await.json().await.unwrap();
    let codes: Vec<_> =
        other["codes"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    let locked = admin(Method::PATCH, "/users/ada", json!({ "locked": true })).await.unwrap();
    assert_eq!(locked.status(), StatusCode::OK);
    scene.refused("ada", &codes, "locked").await;
    let unlocked = admin(Method::PATCH, "/users/ada", json!({ "locked": false })).await.unwrap();
    assert_eq!(unlocked.status(), StatusCode::OK);
    let revoked = format!("/sealed-codes/{}", other["id"].as_str().unwrap());
    assert_eq!(admin(Method::DELETE, &revoked, json!({})).await.unwrap().status(), StatusCode::NO_CONTENT);
    scene.refused("ada", &codes, "revoked").await;
    let listed = admin(Method::GET, "/sealed-codes", json!({})).await.unwrap().text().await.unwrap();
    assert!(codes.iter().all(|code| !listed.contains(code)) && listed.contains("\"cat\""), "{listed}");
}

#[tokio::test]
async fn a_set_is_of_several_different_holders() {
    let scene = Scene::start().await;
    let table: [(&[&str], u32); 7] = [
        (&[], 0),
        (&["ben"], 1),
        (&["ben", "cat"], 1),
        (&["ben", "cat"], 3),
        (&["ben", "BEN"], 2),
        (&["ben", "ben", "cat"], 2),
        (
            &[
                "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b1", "b2", "b3", "b4", "b5", "b6",
                "b7", "b8", "b9", "c1", "c2", "c3",
            ],
            2,
        ),
    ];
    for (holders, needed) in table {
        let refused = problem(make(&scene.world, &scene.admin, holders, needed).await).await;
        assert_eq!(refused, (400, "HOOP-3062".to_owned()), "{needed} of {holders:?}");
    }
    let long = json!({ "holders": ["ben", "cat"], "needed": 2, "valid_for_seconds": 366 * 24 * 3600 + 1 });
    let long =
        scene.world.post("/sealed-codes", &long).bearer_auth(&scene.admin.access).send().await.unwrap();
    assert_eq!(long.status(), StatusCode::BAD_REQUEST);
}

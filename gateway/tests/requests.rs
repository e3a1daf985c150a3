//! Access that others approve, and emergencies: never by oneself, never twice by one, never for something else (THREATS
//! A13), and whatever ends takes its sessions with it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Instant;

use common::{Tokens, World, agent::Agent, problem};
use hoop_model::Role;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

struct Scene {
    world: World,
    agent: Agent,
    admin: Tokens,
    ada: Tokens,
    bob: Tokens,
    cyd: Tokens,
}

/// Ada may open `pg` when two leads approve; in an emergency she may at once. She is a lead herself, as are bob and cyd.
fn rules() -> Value {
    json!({
        "rules": [{
            "name": "asked", "subjects": { "groups": ["dba"] }, "connections": { "names": ["pg"] },
            "conditions": { "approval": { "approvers": { "groups": ["leads"] }, "count": 2, "longest": "4h" } },
        }],
        "break_glass": [{
            "name": "oncall", "subjects": { "groups": ["dba"] }, "connections": { "names": ["pg"] },
            "reviewers": { "groups": ["leads"] },
        }],
    })
}

impl Scene {
    async fn start() -> Self {
        let world = World::start().await;
        let people = [
            ("root", Role::Admin, vec![]),
            ("ada", Role::User, vec!["dba", "leads"]),
            ("bob", Role::User, vec!["leads"]),
            ("cyd", Role::User, vec!["leads"]),
        ];
        let mut tokens = Vec::new();
        for (name, role, groups) in people {
            let mut person = world.person(name, role, &groups).await;
            tokens.push(world.tokens(&mut person).await);
        }
        let [admin, ada, bob, cyd]: [Tokens; 4] = tokens.try_into().ok().unwrap();
        let agent = Agent::join(&world, "east").await;
        assert_eq!(world.connection(&admin, json!({})).await.status(), StatusCode::OK);
        let ruled = world.rules(&admin, rules()).send().await.unwrap();
        assert_eq!(ruled.status(), StatusCode::OK);
        Self { world, agent, admin, ada, bob, cyd }
    }

    async fn post(&self, who: &Tokens, path: &str, body: Value) -> Response {
        self.world.post(path, &body).bearer_auth(&who.access).send().await.unwrap()
    }

    async fn ask(&self) -> String {
        let body = json!({ "connection": "pg", "duration_seconds": 7200, "reason": "a slow report" });
        let asked: Value = self.post(&self.ada, "/requests", body).await.json().await.unwrap();
        assert_eq!(
            (asked["state"].as_str(), asked["needed"].as_u64()),
            (Some("pending"), Some(2)),
            "{asked}"
        );
        asked["id"].as_str().unwrap().to_owned()
    }

    async fn word(&self, who: &Tokens, id: &str, word: &str) -> Response {
        self.post(who, &format!("/requests/{id}/{word}"), json!({})).await
    }

    async fn glass(&self, who: &Tokens) -> Response {
        let body = json!({ "connection": "pg", "reason": "the wards are down", "incident": "INC-7" });
        self.post(who, "/break-glass", body).await
    }

    async fn open(&mut self) -> String {
        self.agent.opened(&self.world, &self.ada).await
    }

    async fn refused(&self) -> String {
        let (status, code) = problem(self.world.open(&self.ada).send().await.unwrap()).await;
        assert_eq!(status, 403);
        code
    }
}

#[tokio::test]
async fn two_others_open_the_way_and_its_end_closes_it() {
    let mut scene = Scene::start().await;
    assert_eq!(scene.refused().await, "HOOP-2007");
    let id = scene.ask().await;
    assert_eq!(scene.word(&scene.bob, &id, "approve").await.status(), StatusCode::OK);
    assert_eq!(scene.refused().await, "HOOP-2007", "one is not two");
    let approved: Value = scene.word(&scene.cyd, &id, "approve").await.json().await.unwrap();
    assert_eq!(approved["state"], "approved", "{approved}");
    let session = scene.open().await;
    let more = scene.world.rules(&scene.admin, {
        let mut more = rules();
        more["rules"][0]["description"] = json!("said better");
        more
    });
    assert_eq!(more.send().await.unwrap().status(), StatusCode::OK);
    let live = scene.world.running.store().session(session.parse().unwrap()).await.unwrap().unwrap();
    assert!(live.state.is_live(), "a change of words ends nothing");
    let began = Instant::now();
    let ended = scene.post(&scene.bob, &format!("/requests/{id}/end"), json!({ "reason": "enough" })).await;
    assert_eq!(ended.status(), StatusCode::OK);
    scene.world.is_over(&session, began, "its end").await;
    assert_eq!(scene.refused().await, "HOOP-2007");
    assert_eq!(scene.world.events("request.approved").await, 2);
    assert_eq!(scene.world.events("request.ended").await, 1);
}

#[tokio::test]
async fn nobody_approves_their_own_or_twice_or_without_being_named() {
    let scene = Scene::start().await;
    let id = scene.ask().await;
    let own = scene.word(&scene.ada, &id, "approve").await;
    assert_eq!(problem(own).await, (403, "HOOP-2023".to_owned()));
    assert_eq!(scene.word(&scene.bob, &id, "approve").await.status(), StatusCode::OK);
    let twice = scene.word(&scene.bob, &id, "approve").await;
    assert_eq!(problem(twice).await, (403, "HOOP-2024".to_owned()));
    // An admin sees it, and is no approver.
    let admin = scene.word(&scene.admin, &id, "approve").await;
    assert_eq!(problem(admin).await, (403, "HOOP-2026".to_owned()));
    assert_eq!(scene.refused().await, "HOOP-2007");
}

#[tokio::test]
async fn two_approvers_at_the_same_time_count_as_two() {
    for _ in 0..4 {
        let scene = Scene::start().await;
        let id = scene.ask().await;
        let (bob, cyd) = (scene.word(&scene.bob, &id, "approve"), scene.word(&scene.cyd, &id, "approve"));
        let (one, other) = tokio::join!(bob, cyd);
        assert_eq!((one.status(), other.status()), (StatusCode::OK, StatusCode::OK));
        let shown =
            scene.world.request(Method::GET, &format!("/requests/{id}")).bearer_auth(&scene.ada.access);
        let shown: Value = shown.send().await.unwrap().json().await.unwrap();
        let words = shown["decisions"].as_array().unwrap().len();
        assert_eq!((shown["state"].as_str(), words), (Some("approved"), 2));
    }
}

#[tokio::test]
async fn approval_and_denial_at_the_same_time_leave_one_truth() {
    let scene = Scene::start().await;
    let id = scene.ask().await;
    let (yes, no) = tokio::join!(scene.word(&scene.bob, &id, "approve"), scene.word(&scene.cyd, &id, "deny"));
    assert_eq!(no.status(), StatusCode::OK);
    assert!(matches!(yes.status(), StatusCode::OK | StatusCode::CONFLICT), "{}", yes.status());
    assert_eq!(scene.refused().await, "HOOP-2007");
    assert!(!scene.word(&scene.bob, &id, "approve").await.status().is_success());
}

#[tokio::test]
async fn a_request_for_what_is_not_allowed_or_needs_no_approval_is_refused() {
    let scene = Scene::start().await;
    let body = |reason: &str| json!({ "connection": "pg", "duration_seconds": 60, "reason": reason });
    let stranger = scene.post(&scene.bob, "/requests", body("curious")).await;
    assert_eq!(problem(stranger).await, (403, "HOOP-2001".to_owned()));
    let nowhere = json!({ "connection": "nowhere", "duration_seconds": 60, "reason": "curious" });
    let unknown = scene.post(&scene.ada, "/requests", nowhere).await;
    assert_eq!(problem(unknown).await, (403, "HOOP-2001".to_owned()), "like one that may not be seen");
    for reason in ["", " ", "two\nlines", &"x".repeat(1001)] {
        let refused = scene.post(&scene.ada, "/requests", body(reason)).await;
        assert_eq!(problem(refused).await, (400, "HOOP-7016".to_owned()), "{reason:?}");
    }
    assert_eq!(scene.world.rule(&scene.admin, json!({})).send().await.unwrap().status(), StatusCode::OK);
    let open = scene.post(&scene.ada, "/requests", body("curious")).await;
    assert_eq!(problem(open).await, (400, "HOOP-2020".to_owned()));
}

#[tokio::test]
async fn a_request_is_seen_by_those_it_concerns() {
    let scene = Scene::start().await;
    let mut eve = scene.world.person("eve", Role::User, &["dba"]).await;
    let eve = scene.world.tokens(&mut eve).await;
    let id = scene.ask().await;
    for (who, status) in [(&scene.ada, 200), (&scene.bob, 200), (&scene.admin, 200), (&eve, 404)] {
        let shown = scene.world.request(Method::GET, &format!("/requests/{id}")).bearer_auth(&who.access);
        assert_eq!(shown.send().await.unwrap().status(), status);
    }
    assert_eq!(scene.word(&eve, &id, "deny").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_emergency_is_in_at_once_and_reviewed_by_another() {
    let mut scene = Scene::start().await;
    let started: Value = scene.glass(&scene.ada).await.json().await.unwrap();
    let kind_and_state = (started["kind"].as_str(), started["state"].as_str());
    assert_eq!(kind_and_state, (Some("break_glass"), Some("approved")), "{started}");
    let id = started["id"].as_str().unwrap().to_owned();
    let session = scene.open().await;
    let grant = scene.world.running.store().session(session.parse().unwrap()).await.unwrap().unwrap().grant;
    let grant: Value = serde_json::from_slice(&grant).unwrap();
    assert_eq!(
        (grant["recording"].as_str(), grant["opened_by"].as_str()),
        (Some("strict"), Some("break_glass"))
    );
    assert_eq!(grant["ends_at"], started["ends_at"]);
    // A change that has nothing to do with it ends nothing.
    let groups = json!({ "groups": ["leads", "dba", "choir"] });
    let joined =
        scene.world.request(Method::PATCH, "/users/ada").json(&groups).bearer_auth(&scene.admin.access);
    assert_eq!(joined.send().await.unwrap().status(), StatusCode::OK);
    let live = scene.world.running.store().session(session.parse().unwrap()).await.unwrap().unwrap();
    assert!(live.state.is_live());
    // Not by oneself, not before it is over.
    let finding = json!({ "finding": "restarted the report server" });
    let (review, extend) = (format!("/requests/{id}/review"), format!("/requests/{id}/extend"));
    let own = scene.post(&scene.ada, &review, finding.clone()).await;
    assert_eq!(problem(own).await, (403, "HOOP-2026".to_owned()));
    assert_eq!(scene.post(&scene.bob, &review, finding.clone()).await.status(), StatusCode::CONFLICT);
    let own = scene.post(&scene.ada, &extend, json!({ "seconds": 60 })).await;
    assert_eq!(problem(own).await, (403, "HOOP-2026".to_owned()));
    assert_eq!(scene.post(&scene.bob, &extend, json!({ "seconds": 60 })).await.status(), StatusCode::OK);
    let began = Instant::now();
    let ended = scene.post(&scene.ada, &format!("/requests/{id}/end"), json!({ "reason": "solved" })).await;
    assert_eq!(ended.status(), StatusCode::OK);
    scene.world.is_over(&session, began, "its end").await;
    assert_eq!(scene.refused().await, "HOOP-2007");
    // The next one waits for the review.
    assert_eq!(problem(scene.glass(&scene.ada).await).await, (403, "HOOP-2022".to_owned()));
    let reviewed: Value = scene.post(&scene.bob, &review, finding.clone()).await.json().await.unwrap();
    assert_eq!(reviewed["review"]["finding"], "restarted the report server", "{reviewed}");
    assert_eq!(scene.post(&scene.cyd, &review, finding).await.status(), StatusCode::CONFLICT);
    assert_eq!(scene.glass(&scene.ada).await.status(), StatusCode::OK);
    for code in ["break_glass.extended", "break_glass.ended", "break_glass.reviewed"] {
        assert_eq!(scene.world.events(code).await, 1, "{code}");
    }
    assert_eq!(scene.world.events("break_glass.started").await, 2);
}

#[tokio::test]
async fn who_is_not_eligible_breaks_no_glass() {
    let scene = Scene::start().await;
    for who in [&scene.bob, &scene.admin] {
        assert_eq!(problem(scene.glass(who).await).await, (403, "HOOP-2001".to_owned()));
    }
    assert_eq!(scene.world.events("break_glass.started").await, 0);
}

const FIX: &str = "update bed set free = true where id = 7 -- röom 'nine'";

impl Scene {
    async fn ask_for(&self, statement: Value) -> Response {
        let body = json!({
            "connection": "pg", "duration_seconds": 600, "reason": "a bed is stuck", "statement": statement,
        });
        self.post(&self.ada, "/requests", body).await
    }

    async fn approved_for(&self, statement: Value) -> String {
        let asked: Value = self.ask_for(statement).await.json().await.unwrap();
        let id = asked["id"].as_str().unwrap().to_owned();
        for who in [&self.bob, &self.cyd] {
            assert_eq!(self.word(who, &id, "approve").await.status(), StatusCode::OK);
        }
        id
    }

    fn open_for(&self, statement: &Value) -> reqwest::RequestBuilder {
        let mut body = self.world.opening();
        body["statement"] = statement.clone();
        self.world.post("/sessions", &body).bearer_auth(&self.ada.access)
    }
}

/// THREATS A13: one statement was approved; nothing else is, and that only once.
#[tokio::test]
async fn one_approved_statement_opens_one_session_for_it_alone() {
    let mut scene = Scene::start().await;
    let fix = json!({ "text": FIX, "database": "clinic" });
    let id = scene.approved_for(fix.clone()).await;
    assert_eq!(scene.refused().await, "HOOP-2007", "no whole session");
    for other in [
        json!({ "text": FIX.replace('7', "8"), "database": "clinic" }),
        json!({ "text": format!("{FIX}; drop table bed"), "database": "clinic" }),
        json!({ "text": FIX, "database": "billing" }),
    ] {
        let refused = scene.open_for(&other).send().await.unwrap();
        assert_eq!(problem(refused).await, (403, "HOOP-2007".to_owned()), "{other}");
    }

    let opening = tokio::spawn(scene.open_for(&fix).send());
    let asked = scene.agent.asked().await;
    let session = common::agent::session_of(&asked);
    let grant: Value = serde_json::from_slice(&asked.grant).unwrap();
    assert_eq!(grant["only"]["database"], "clinic", "{grant}");
    assert_eq!(grant["only"]["sha256"].as_str().unwrap().len(), 64);
    assert!(!grant.to_string().contains("update bed"), "the text may hold what nobody else is to read");
    scene.agent.confirm(&session).await;
    assert_eq!(opening.await.unwrap().unwrap().status(), StatusCode::OK);

    let again = scene.open_for(&fix).send().await.unwrap();
    assert_eq!(problem(again).await, (403, "HOOP-2028".to_owned()));
    let began = Instant::now();
    let ended = scene.post(&scene.bob, &format!("/requests/{id}/end"), json!({ "reason": "enough" })).await;
    assert_eq!(ended.status(), StatusCode::OK);
    scene.world.is_over(&session, began, "its end").await;
}

/// Who decides reads every character; nobody else does, and no event holds it.
#[tokio::test]
async fn the_text_is_for_those_who_decide() {
    let scene = Scene::start().await;
    let asked: Value =
        scene.ask_for(json!({ "text": FIX, "database": "clinic" })).await.json().await.unwrap();
    let path = format!("/requests/{}", asked["id"].as_str().unwrap());
    let shown = scene.world.request(Method::GET, &path).bearer_auth(&scene.bob.access);
    let shown: Value = shown.send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["statement"], json!({ "text": FIX, "database": "clinic" }));
    let mut eve = scene.world.person("eve", Role::User, &["dba"]).await;
    let eve = scene.world.tokens(&mut eve).await;
    let hidden = scene.world.request(Method::GET, &path).bearer_auth(&eve.access);
    assert_eq!(hidden.send().await.unwrap().status(), 404);
    let filter = hoop_store::EventFilter { limit: 500, ..Default::default() };
    for event in scene.world.running.store().search_events(&filter).await.unwrap() {
        assert!(!format!("{event:?}").contains("update bed"), "{event:?}");
    }
}

#[tokio::test]
async fn a_statement_that_nobody_can_approve_is_refused() {
    let scene = Scene::start().await;
    for wrong in [
        json!({ "text": "", "database": "clinic" }),
        json!({ "text": " ;\n", "database": "clinic" }),
        json!({ "text": "select 1\0", "database": "clinic" }),
        json!({ "text": "x".repeat(64 * 1024 + 1), "database": "clinic" }),
        json!({ "text": "select 1", "database": "" }),
        json!({ "text": "select 1", "database": "cli\nnic" }),
    ] {
        let refused = scene.ask_for(wrong.clone()).await;
        assert_eq!(problem(refused).await, (400, "HOOP-2029".to_owned()), "{wrong:.60}");
    }
    let unknown = scene.ask_for(json!({ "text": "select 1", "database": "clinic", "twice": true })).await;
    assert_eq!(unknown.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

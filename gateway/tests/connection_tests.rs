//! A connection is tested at its agent: one at a time, by admins, answered by the agent that was asked and by no other.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Tokens, World, agent::Agent, problem};
use hoop_control::{features, order, v1};
use hoop_model::Role;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

struct Scene {
    world: World,
    admin: Tokens,
}

impl Scene {
    /// `pg` leads through the agent `east`, which is not there yet.
    async fn start() -> Self {
        let world = World::start().await;
        let mut root = world.person("root", Role::Admin, &[]).await;
        let admin = world.tokens(&mut root).await;
        assert_eq!(world.connection(&admin, json!({})).await.status(), StatusCode::OK);
        Self { world, admin }
    }

    fn test(&self) -> RequestBuilder {
        self.world.post("/connections/pg/test", &json!({})).bearer_auth(&self.admin.access)
    }

    async fn agent(&self, name: &str) -> Agent {
        Agent::join_knowing(&self.world, name, &[features::TEST_CONNECTION]).await
    }
}

fn good(id: &str) -> v1::ConnectionTested {
    v1::ConnectionTested {
        test_id: id.to_owned(),
        steps: vec![v1::TestStep { name: "connect".into(), micros: 1500 }],
        server_version: "PostgreSQL 18.1".into(),
        ..Default::default()
    }
}

fn id_of(asked: &v1::TestConnection) -> String {
    let order: Value = serde_json::from_slice(&asked.order).unwrap();
    order["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_that_is_away_or_old_is_not_asked() {
    let scene = Scene::start().await;
    assert_eq!(problem(scene.test().send().await.unwrap()).await.1, "HOOP-4002");
    let mut old = Agent::join(&scene.world, "east").await;
    assert_eq!(problem(scene.test().send().await.unwrap()).await.1, "HOOP-4034");
    // It would have hung up at such a message; it is there still.
    let made = scene.world.stored_session(&old, scene.admin_id().await.as_str()).await;
    let ended = scene.world.post(&format!("/sessions/{made}/kill"), &json!({ "reason": "x" }));
    assert_eq!(ended.bearer_auth(&scene.admin.access).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(old.told_to_end().await.session_id, made);
    let unknown = scene.world.post("/connections/nothing/test", &json!({})).bearer_auth(&scene.admin.access);
    assert_eq!(problem(unknown.send().await.unwrap()).await, (404, "HOOP-7002".to_owned()));
    assert_eq!(scene.world.events("connection.tested").await, 0);
}

#[tokio::test]
async fn the_answer_is_the_agents_and_an_event() {
    let scene = Scene::start().await;
    let (mut agent, mut other) = (scene.agent("east").await, scene.agent("west").await);
    let testing = tokio::spawn(scene.test().send());
    let asked = agent.asked_to_test().await;
    let key = agent.grant_key.clone();
    let me = agent.id.parse().unwrap();
    let order = order::verify(&asked.order, &asked.signature, &key, me, common::now()).unwrap();
    assert_eq!((order.by.as_str(), order.settings["password"].as_str()), ("root", Some("env:DB")));
    let (twice, code) = problem(scene.test().send().await.unwrap()).await;
    assert_eq!((twice, code.as_str()), (400, "HOOP-4035"), "one at a time");
    // Somebody else's word is no answer (THREATS A18).
    let wrong = v1::Fault { code: "HOOP-4030".into(), message: "no".into(), ..Default::default() };
    other.tested(v1::ConnectionTested { fault: Some(wrong), ..good(&id_of(&asked)) }).await;
    agent.tested(good("tst_aaaaaaaaaaaaaaaaaaaaaaaaaa")).await;
    agent.tested(good(&id_of(&asked))).await;
    let answer: Value = testing.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(
        (answer["ok"].as_bool(), answer["server_version"].as_str()),
        (Some(true), Some("PostgreSQL 18.1"))
    );
    assert_eq!(answer["steps"], json!([{ "name": "connect", "micros": 1500 }]));
    assert_eq!(scene.world.events("connection.tested").await, 1);
}

#[tokio::test]
async fn what_failed_is_told_and_an_agent_that_goes_away_is_not_waited_for() {
    let scene = Scene::start().await;
    let mut agent = scene.agent("east").await;
    let testing = tokio::spawn(scene.test().send());
    let asked = agent.asked_to_test().await;
    let fault = v1::Fault {
        code: "HOOP-5007".into(),
        message: "refused\u{1b}[2J".into(),
        hint: "look".into(),
        blame: "target".into(),
    };
    let failed = v1::ConnectionTested {
        test_id: id_of(&asked),
        fault: Some(fault),
        failed_step: "log in".into(),
        ..Default::default()
    };
    agent.tested(failed).await;
    let answer: Value = testing.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!((answer["ok"].as_bool(), answer["failed_step"].as_str()), (Some(false), Some("log in")));
    assert_eq!(
        (answer["problem"]["code"].as_str(), answer["problem"]["message"].as_str()),
        (Some("HOOP-5007"), Some("refused[2J"))
    );
    let testing = tokio::spawn(scene.test().send());
    agent.asked_to_test().await;
    drop(agent);
    let answer: Value = testing.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["problem"]["code"], "HOOP-4002");
    assert_eq!(scene.world.events("connection.tested").await, 2);
}

#[tokio::test]
async fn nobody_tests_without_end() {
    let scene = Scene::start().await;
    let mut last = String::new();
    for _ in 0..21 {
        last = problem(scene.test().send().await.unwrap()).await.1;
    }
    assert_eq!(last, "HOOP-7007");
}

impl Scene {
    async fn admin_id(&self) -> String {
        self.world.whoami(&self.admin.access).await["id"].as_str().unwrap().to_owned()
    }
}

//! A session never lives on against the rules: what changes while it opens refuses it, what changes while it is open ends
//! it within two seconds, also when whoever made the change has gone away.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{
    Person, Tokens, World,
    agent::{Agent, session_of},
    problem,
};
use hoop_model::Role;
use hoop_store::SessionState;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

struct Scene {
    world: World,
    agent: Agent,
    admin: Tokens,
    ada: Tokens,
    _people: [Person; 2],
}

impl Scene {
    async fn start() -> Self {
        Self::with(World::start().await).await
    }

    async fn with(world: World) -> Self {
        let mut root = world.person("root", Role::Admin, &[]).await;
        let mut ada = world.person("ada", Role::User, &["dba"]).await;
        let (admin, tokens) = (world.tokens(&mut root).await, world.tokens(&mut ada).await);
        let agent = Agent::join(&world, "east").await;
        let put = world.connection(&admin, json!({})).await;
        assert_eq!(put.status(), StatusCode::OK);
        let ruled = world.rule(&admin, json!({ "allow_replication": true })).send().await.unwrap();
        assert_eq!(ruled.status(), StatusCode::OK);
        Self { world, agent, admin, ada: tokens, _people: [root, ada] }
    }

    fn ask(&self, method: Method, path: &str, body: Value) -> RequestBuilder {
        self.world.request(method, path).json(&body).bearer_auth(&self.admin.access)
    }

    fn put(&self, changes: Value) -> RequestBuilder {
        let mut definition = json!({
            "agent": "east", "protocol": "postgres",
            "settings": { "host": "db", "user": "app", "password": "env:DB" },
        });
        for (key, value) in changes.as_object().unwrap() {
            definition[key] = value.clone();
        }
        self.ask(Method::PUT, "/connections/pg", definition)
    }

    fn rule(&self, changes: Value) -> RequestBuilder {
        let mut rule = json!({ "allow_replication": true });
        for (key, value) in changes.as_object().unwrap() {
            rule[key] = value.clone();
        }
        self.world.rule(&self.admin, rule)
    }

    /// Opens one that its agent confirms.
    async fn open(&mut self) -> String {
        self.agent.opened(&self.world, &self.ada).await
    }

    async fn state(&self, id: &str) -> SessionState {
        self.world.running.store().session(id.parse().unwrap()).await.unwrap().unwrap().state
    }
}

type Change = fn(&Scene) -> RequestBuilder;

/// What an admin may do that ends ada's session, or keeps it from beginning.
const CHANGES: [(&str, Change); 11] = [
    ("the connection is removed", |s| s.ask(Method::DELETE, "/connections/pg", json!({}))),
    ("it is for others", |s| s.rule(json!({ "subjects": { "groups": ["oncall"] } }))),
    ("it is for nobody", |s| s.world.rules(&s.admin, json!({}))),
    ("it goes through another agent", |s| s.put(json!({ "agent": "west" }))),
    ("it leads to another host", |s| {
        s.put(json!({ "settings": { "host": "other", "user": "app", "password": "env:DB" } }))
    }),
    ("it becomes another user", |s| {
        s.put(json!({ "settings": { "host": "db", "user": "reader", "password": "env:DB" } }))
    }),
    ("it allows no replication", |s| s.rule(json!({ "allow_replication": false }))),
    ("it is for a shorter time", |s| s.rule(json!({ "limits": { "duration": "1m" } }))),
    ("its idle limit is shorter", |s| s.rule(json!({ "limits": { "idle": "1m" } }))),
    ("the person leaves the group", |s| s.ask(Method::PATCH, "/users/ada", json!({ "groups": ["x"] }))),
    ("the person is locked", |s| s.ask(Method::PATCH, "/users/ada", json!({ "locked": true }))),
];

#[tokio::test]
async fn what_changes_while_a_session_is_open_ends_it() {
    for (what, change) in CHANGES {
        let mut scene = Scene::start().await;
        let id = scene.open().await;
        let began = Instant::now();
        let done = change(&scene).send().await.unwrap();
        assert!(done.status().is_success(), "{what}: {}", done.status());
        scene.world.is_over(&id, began, what).await;
        assert_eq!(scene.agent.told_to_end().await.session_id, id, "{what}");
    }
}

#[tokio::test]
async fn what_changes_while_a_session_is_opening_refuses_it() {
    for (what, change) in CHANGES {
        let mut scene = Scene::start().await;
        let opening = tokio::spawn(scene.world.open(&scene.ada).send());
        // It is with its agent, whose word is still out.
        let id = session_of(&scene.agent.asked().await);
        let began = Instant::now();
        assert!(change(&scene).send().await.unwrap().status().is_success(), "{what}");
        let refused = opening.await.unwrap().unwrap();
        assert!(refused.status().is_client_error(), "{what}: {}", refused.status());
        scene.world.is_over(&id, began, what).await;
        // The agent's word comes too late.
        scene.agent.confirm(&id).await;
        assert_eq!(scene.agent.told_to_end().await.session_id, id, "{what}");
        assert!(!scene.state(&id).await.is_live(), "{what}");
    }
}

/// Somebody asks for many sessions while the rule changes: whatever the order was, none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_between_opening_and_a_change_leaves_no_session() {
    for (what, change) in CHANGES {
        let mut scene = Scene::start().await;
        let openings: Vec<_> = (0..6).map(|_| tokio::spawn(scene.world.open(&scene.ada).send())).collect();
        let began = Instant::now();
        assert!(change(&scene).send().await.unwrap().status().is_success(), "{what}");
        let asked = async {
            loop {
                let id = session_of(&scene.agent.asked().await);
                scene.agent.confirm(&id).await;
            }
        };
        let answers = async {
            for opening in openings {
                let _ = opening.await.unwrap().unwrap();
            }
        };
        tokio::select! {
            () = answers => {}
            () = asked => {}
        }
        // One that was opened under the new rules alone may go on: of those there are none here.
        let live = scene.world.running.store().live_sessions().await.unwrap();
        let may_live = what.starts_with("it leads")
            || what.starts_with("it becomes")
            || what.starts_with("it allows")
            || what.starts_with("it is for a shorter")
            || what.starts_with("its idle");
        assert!(may_live || live.is_empty(), "{what}: {} live on", live.len());
        for session in live {
            let grant: Value = serde_json::from_slice(&session.grant).unwrap();
            let old = grant["settings"]["host"] == "db"
                && grant["settings"]["user"] == "app"
                && grant["allow_replication"] == true
                && session.ends_at.since(session.started_at) > Duration::from_secs(60)
                && grant["idle_timeout_seconds"].as_u64().unwrap() > 60;
            assert!(!old, "{what}: a session of the old rules lives on");
        }
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_removed_agent_has_no_sessions_and_gets_none() {
    let mut scene = Scene::start().await;
    let (open, began) = (scene.open().await, Instant::now());
    let opening = tokio::spawn(scene.world.open(&scene.ada).send());
    let half = session_of(&scene.agent.asked().await);
    let removed = scene.ask(Method::DELETE, "/agents/east", json!({})).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert!(!opening.await.unwrap().unwrap().status().is_success());
    for id in [open, half] {
        scene.world.is_over(&id, began, "the agent is removed").await;
    }
    let next = scene.world.open(&scene.ada).send().await.unwrap();
    assert_eq!(problem(next).await, (503, "HOOP-4002".to_owned()));
}

#[tokio::test]
async fn a_change_is_carried_out_when_who_made_it_goes_away() {
    let mut scene = Scene::start().await;
    let id = scene.open().await;
    // Sent, and let go before the answer comes.
    let lock = scene.ask(Method::PATCH, "/users/ada", json!({ "locked": true })).send();
    let user = hoop_model::UserName::new("ada").unwrap();
    let store = scene.world.running.store().clone();
    let written = async {
        while !store.user_by_name(&user).await.unwrap().unwrap().locked {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = lock => {}
        () = written => {}
    }
    scene.world.is_over(&id, Instant::now(), "the lock").await;
}

#[tokio::test]
async fn what_changes_nothing_ends_nothing() {
    let mut scene = Scene::start().await;
    let id = scene.open().await;
    let harmless: [Change; 5] = [
        |s| s.put(json!({ "description": "the clinic's" })),
        |s| s.put(json!({ "settings": { "host": "db", "user": "app", "password": "env:NEXT" } })),
        |s| s.rule(json!({ "subjects": { "groups": ["dba", "oncall"] } })),
        |s| s.rule(json!({ "limits": { "duration": "24h", "idle": "24h" } })),
        |s| s.rule(json!({ "name": "renamed", "conditions": { "mfa": { "max_age": "1m" } } })),
    ];
    for (at, change) in harmless.iter().enumerate() {
        assert_eq!(change(&scene).send().await.unwrap().status(), StatusCode::OK, "{at}");
        assert_eq!(scene.state(&id).await, SessionState::Live, "{at}");
    }
}

#[tokio::test]
async fn a_sign_in_that_ended_opens_nothing_more() {
    let mut scene = Scene::start().await;
    let reset = scene.ask(Method::POST, "/users/ada/reset", json!({})).send().await.unwrap();
    assert_eq!(reset.status(), StatusCode::OK);
    let refused = scene.world.open(&scene.ada).send().await.unwrap();
    assert_eq!(problem(refused).await, (401, "HOOP-3002".to_owned()));
    assert!(scene.world.running.store().live_sessions().await.unwrap().is_empty());
    let _ = &mut scene.agent;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_open_no_more_than_a_person_may_have() {
    let world = World::with(|config| config.limits.sessions_per_user = 3).await;
    let mut scene = Scene::with(world).await;
    let openings: Vec<_> = (0..12).map(|_| tokio::spawn(scene.world.open(&scene.ada).send())).collect();
    let answers = async {
        let mut codes = Vec::new();
        for opening in openings {
            let response = opening.await.unwrap().unwrap();
            codes.push(match response.status() {
                StatusCode::OK => "opened".to_owned(),
                _ => problem(response).await.1,
            });
        }
        codes
    };
    let confirming = async {
        loop {
            let id = session_of(&scene.agent.asked().await);
            scene.agent.confirm(&id).await;
        }
    };
    let codes = tokio::select! {
        codes = answers => codes,
        () = confirming => unreachable!("it confirms without end"),
    };
    let count = |wanted: &str| codes.iter().filter(|code| *code == wanted).count();
    assert_eq!((count("opened"), count("HOOP-4006")), (3, 9), "{codes:?}");
}

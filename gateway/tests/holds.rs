//! Legal holds over HTTP: who may place and release them, and on what.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Tokens, World, problem};
use hoop_model::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn place(world: &World, by: &Tokens, body: Value) -> reqwest::Response {
    world.post("/holds", &body).bearer_auth(&by.access).send().await.unwrap()
}

async fn release(world: &World, by: &Tokens, id: &str) -> reqwest::Response {
    let path = format!("/holds/{id}/release");
    world.post(&path, &json!({"reason": "settled"})).bearer_auth(&by.access).send().await.unwrap()
}

async fn signed_in(world: &World, name: &str, role: Role) -> Tokens {
    let mut person = world.person(name, role, &[]).await;
    world.tokens(&mut person).await
}

#[tokio::test]
async fn an_auditor_keeps_evidence_and_only_an_admin_lets_it_go() {
    let world = World::start().await;
    let (root, olga) =
        (signed_in(&world, "root", Role::Admin).await, signed_in(&world, "olga", Role::Auditor).await);
    let ada = signed_in(&world, "ada", Role::User).await;
    let body = json!({"user": "ada", "reason": "case 17"});
    assert_eq!(place(&world, &ada, body.clone()).await.status(), StatusCode::FORBIDDEN);
    let placed = place(&world, &olga, body).await;
    assert_eq!(placed.status(), StatusCode::OK);
    let placed: Value = placed.json().await.unwrap();
    assert_eq!(
        (&placed["kind"], &placed["name"], &placed["placed_by"]),
        (&json!("user"), &json!("ada"), &json!("olga"))
    );
    let id = placed["id"].as_str().unwrap();
    assert_eq!(release(&world, &olga, id).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(release(&world, &root, id).await.status(), StatusCode::OK);
    assert_eq!(release(&world, &root, id).await.status(), StatusCode::CONFLICT, "once");
    assert_eq!((world.events("hold.placed").await, world.events("hold.released").await), (1, 1));
}

#[tokio::test]
async fn a_hold_is_on_one_thing_that_is_there_and_has_a_reason() {
    let world = World::start().await;
    let root = signed_in(&world, "root", Role::Admin).await;
    for body in [
        json!({"reason": "case"}),
        json!({"user": "root", "connection": "pg", "reason": "case"}),
        json!({"user": "root", "reason": ""}),
        json!({"user": "root", "reason": "two\nlines"}),
        json!({"user": "root", "reason": "case", "until": "tomorrow"}),
        json!({"session": "ses_../../etc", "reason": "case"}),
    ] {
        let (status, code) = problem(place(&world, &root, body.clone()).await).await;
        assert!(matches!(status, 400 | 422) && code.starts_with("HOOP-7"), "{body}: {status} {code}");
    }
    for body in [
        json!({"user": "nobody", "reason": "case"}),
        json!({"connection": "none", "reason": "case"}),
        json!({"session": hoop_model::SessionId::generate(), "reason": "case"}),
    ] {
        assert_eq!(place(&world, &root, body.clone()).await.status(), StatusCode::NOT_FOUND, "{body}");
    }
    let unknown = hoop_model::HoldId::generate().to_string();
    assert_eq!(release(&world, &root, &unknown).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.events("hold.placed").await, 0);
}

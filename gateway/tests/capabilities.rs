//! Ways in while the gateway is down, as far as the gateway goes: who gets one, and what it believes of a use.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use common::{Tokens, World, agent::Agent, now};
use hoop_control::{
    capability::{Capability, HolderKey, Statement},
    v1::EmergencyUsed,
};
use hoop_model::{CapabilityId, Redacted, Role, SessionId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

struct Site {
    world: World,
    admin: Tokens,
    agent: Agent,
}

async fn site() -> Site {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    world.person("ada", Role::User, &["dba"]).await;
    let agent = Agent::join(&world, "east").await;
    assert_eq!(world.connection(&admin, json!({})).await.status(), StatusCode::OK);
    let rules = json!({"version": 1, "rules": [], "break_glass": [
        {"name": "oncall", "subjects": {"groups": ["dba"]}, "connections": {"names": ["pg"]}, "limits": {"duration": "1h"}},
    ]});
    assert_eq!(world.rules(&admin, rules).send().await.unwrap().status(), StatusCode::OK);
    Site { world, admin, agent }
}

impl Site {
    async fn make(&self, changes: Value) -> (StatusCode, Value) {
        let mut body = json!({
            "connection": "pg", "holder": "ada", "valid_seconds": 3600, "session_seconds": 86400, "uses": 1,
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let answer =
            self.world.post("/capabilities", &body).bearer_auth(&self.admin.access).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

/// What an agent would tell of a use of it now.
fn used(made: &Value, change: impl FnOnce(&mut Statement)) -> EmergencyUsed {
    let bytes =
        URL_SAFE_NO_PAD.decode(made["capability"].as_str().unwrap().split('.').nth(1).unwrap()).unwrap();
    let capability: Capability = serde_json::from_slice(&bytes).unwrap();
    let mut said = Statement {
        capability: capability.id,
        reason: "wards are down".into(),
        incident: "INC-7".into(),
        at: now(),
        nonce: "n".into(),
    };
    change(&mut said);
    let code = Redacted::new(made["code"].as_str().unwrap().to_owned());
    let (statement, signature) = HolderKey::from_code(&code).unwrap().sign(&said).unwrap();
    EmergencyUsed {
        session_id: SessionId::generate().to_string(),
        capability: bytes.into(),
        statement: statement.into(),
        statement_signature: signature.into(),
        started_at_us: now().as_micros(),
        away_seconds: 99,
    }
}

#[tokio::test]
async fn it_is_made_for_those_whom_an_emergency_rule_lets_in_and_within_its_limits() {
    let site = site().await;
    let (status, made) = site.make(json!({})).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(made["session_seconds"], json!(3600), "the rule allows no more");
    assert_eq!(site.world.events("capability.made").await, 1);
    for (changes, expected) in [
        (json!({"holder": "root"}), StatusCode::FORBIDDEN),
        (json!({"holder": "nobody"}), StatusCode::NOT_FOUND),
        (json!({"connection": "other"}), StatusCode::NOT_FOUND),
        (json!({"uses": 0}), StatusCode::BAD_REQUEST),
        (json!({"uses": 11}), StatusCode::BAD_REQUEST),
        (json!({"session_seconds": 0}), StatusCode::BAD_REQUEST),
        (json!({"valid_seconds": 0}), StatusCode::BAD_REQUEST),
        (json!({"valid_seconds": 91 * 86400}), StatusCode::BAD_REQUEST),
    ] {
        let (status, answer) = site.make(changes.clone()).await;
        assert_eq!(status, expected, "{changes}: {answer}");
    }
    assert_eq!(site.world.events("capability.made").await, 1);
}

#[tokio::test]
async fn a_revocation_reaches_the_agent() {
    let mut site = site().await;
    let (_, made) = site.make(json!({})).await;
    let id = made["id"].as_str().unwrap();
    let revoke =
        || site.world.post(&format!("/capabilities/{id}/revoke"), &json!({})).bearer_auth(&site.admin.access);
    assert_eq!(revoke().send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(revoke().send().await.unwrap().status(), StatusCode::CONFLICT);
    assert_eq!(site.agent.revoked().await, [id]);
}

#[tokio::test]
async fn a_use_is_an_emergency_with_its_session_once() {
    let mut site = site().await;
    let (_, made) = site.make(json!({})).await;
    let heard = used(&made, |_| {});
    for _ in 0..2 {
        assert_eq!(site.agent.tells_of(heard.clone()).await.refused, None);
    }
    assert_eq!(site.world.events("break_glass.offline").await, 1);
    let list = |path: &str| site.world.request(Method::GET, path).bearer_auth(&site.admin.access);
    let requests: Value = list("/requests").send().await.unwrap().json().await.unwrap();
    let emergency = &requests["items"][0];
    assert_eq!(
        (&emergency["kind"], &emergency["state"]),
        (&json!("break_glass"), &json!("approved")),
        "{emergency}"
    );
    let sessions: Value = list("/sessions").send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&sessions["items"][0]["id"], &sessions["items"][0]["state"]),
        (&json!(heard.session_id), &json!("live"))
    );
}

#[tokio::test]
async fn what_an_agent_makes_up_is_not_believed() {
    let mut site = site().await;
    let (_, made) = site.make(json!({})).await;
    let mut other = Agent::join(&site.world, "west").await;
    let foreign = other.tells_of(used(&made, |_| {})).await;
    assert!(foreign.refused.is_some(), "another agent's capability");
    let mut wider = used(&made, |_| {});
    let mut capability: Capability = serde_json::from_slice(&wider.capability).unwrap();
    capability.longest_seconds = 999_999;
    wider.capability = serde_json::to_vec(&capability).unwrap().into();
    let mut words = used(&made, |_| {});
    words.statement = String::from_utf8(words.statement.to_vec()).unwrap().replace("wards", "words").into();
    let unsigned = EmergencyUsed { statement_signature: Vec::new().into(), ..used(&made, |_| {}) };
    let unknown = used(&made, |said| said.capability = CapabilityId::generate());
    let nothing = EmergencyUsed { capability: b"{}".to_vec().into(), ..used(&made, |_| {}) };
    for lie in [wider, words, unsigned, unknown, nothing] {
        let known = site.agent.tells_of(lie).await;
        assert_eq!(known.refused.map(|fault| fault.code), Some("HOOP-4018".to_owned()));
    }
    assert_eq!(site.world.events("capability.refused").await, 6);
    assert_eq!(site.world.events("break_glass.offline").await, 0);
}

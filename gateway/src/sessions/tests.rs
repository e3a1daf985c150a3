//! Ends of sessions against a whole gateway, with an agent of which only the link is there.

use std::{sync::Arc, time::Duration};

use hoop_control::v1::{ToAgent, to_agent::Message};
use hoop_model::{
    Actor, AgentId, AgentName, Blame, ConnectionId, ConnectionName, Fault, JoinTokenId, LoginId, ProtocolId,
    Redacted, Role, SessionId, UserId, UserName,
};
use hoop_store::{NewAgent, NewJoinToken, NewSession, NewUser, SessionEnd, SessionState};
use hoop_tunnel::ticket::{ClaimSecret, SessionSecret};
use tokio::sync::mpsc;

use super::{code_label, end_as, open::Orphan};
use crate::{
    Gateway, Running,
    agents::Link,
    config::Config,
    hub::{Shared, now},
    live::Live,
    relay,
};

struct World {
    running: Running,
    agent: AgentId,
    outbox: mpsc::Receiver<ToAgent>,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::in_folder(folder.path()).unwrap();
        config.listen = "127.0.0.1:0".parse().unwrap();
        let running = Gateway::start(config).await.unwrap();
        let (agent, at, name) = (AgentId::generate(), now(), AgentName::new("east").unwrap());
        let expires_at = at.after(Duration::from_secs(60));
        let token = NewJoinToken {
            id: JoinTokenId::generate(),
            hash: [1; 32],
            agent: name.clone(),
            created_at: at,
            expires_at,
        };
        running.hub.store.create_join_token(&token, &[]).await.unwrap();
        let new = NewAgent {
            id: agent,
            name: name.clone(),
            certificate_serial: "01".into(),
            certificate_expires_at: expires_at,
            sealing_key: vec![1; 32],
            signing_key: vec![2; 32],
            version: "0".into(),
            enrolled_at: at,
        };
        running.hub.store.enrol_agent(&token.hash, &new, &[]).await.unwrap();
        let secret = ClaimSecret::from_bytes([7; 32]);
        let (link, outbox) = Link::new(agent, name, 1, ("0".into(), Vec::new()), secret);
        running.hub.agents.connect(&link);
        Self { running, agent, outbox, folder }
    }

    fn hub(&self) -> &Shared {
        &self.running.hub
    }

    async fn session(&self) -> SessionId {
        let (at, id, user) = (now(), SessionId::generate(), UserId::generate());
        let (name, ends_at) = (UserName::new("ada").unwrap(), at.after(Duration::from_secs(600)));
        let new = NewUser {
            id: user,
            name: name.clone(),
            role: Role::User,
            groups: Vec::new(),
            setup_token_hash: [3; 32],
            setup_expires_at: ends_at,
            created_at: at,
        };
        let store = &self.hub().store;
        store.create_user(&new, &[]).await.unwrap();
        store.stage_totp(&[3; 32], b"sealed", at).await.unwrap();
        let password = Redacted::new("$argon2id$x".to_owned());
        store.finish_setup(&[3; 32], &password, 0, at, &[]).await.unwrap();
        let secret = SessionSecret::from_bytes([9; 32]);
        let new = NewSession {
            id,
            user,
            user_name: name,
            login: Some(LoginId::generate()),
            connection: ConnectionId::generate(),
            connection_name: ConnectionName::new("pg").unwrap(),
            protocol: ProtocolId::new("postgres").unwrap(),
            agent: self.agent,
            agent_name: AgentName::new("east").unwrap(),
            grant: vec![1],
            grant_signature: vec![2],
            secret_sealed: self.hub().keys.seal_session_secret(id, &secret).unwrap(),
            connector_key_sha256: [4; 32],
            certificate_expires_at: ends_at,
            address: "127.0.0.1".into(),
            reason: None,
            allowed_because: "test".into(),
            request: None,
            recording_key: None,
            started_at: at,
            ends_at,
            retention_seconds: None,
        };
        store.create_session(&new, 100, &[]).await.unwrap();
        id
    }

    fn keep_live(&self, id: SessionId) -> Arc<Live> {
        let ends_at = now().after(Duration::from_secs(600));
        let live = Live::new(id, self.agent, ends_at, SessionSecret::from_bytes([9; 32]));
        self.hub().live.insert(live)
    }
}

fn killed() -> Fault {
    Fault::new("HOOP-4001", Blame::Policy, "root ended this session")
}

#[tokio::test]
async fn a_kill_whose_telling_was_lost_is_told_by_the_next_one() {
    let mut world = World::start().await;
    let id = world.session().await;
    let live = world.keep_live(id);
    let end = SessionEnd { at: now(), reason: "killed".into(), code: "HOOP-4001".into() };
    world.hub().store.end_session(id, &end, &[]).await.unwrap();
    let again = end_as(world.hub(), id, &Actor::System, "again", "HOOP-4001", Some(&killed())).await;
    assert!(!again.unwrap(), "the first reason stands");
    let told = world.outbox.recv().await.unwrap();
    assert!(matches!(told.message, Some(Message::EndSession(end)) if end.session_id == id.to_string()));
    assert!(world.hub().live.find(id).is_none());
    live.cut.cancelled().await;
}

#[tokio::test]
async fn a_kill_goes_on_when_who_asked_for_it_goes_away() {
    let mut world = World::start().await;
    let id = world.session().await;
    let live = world.keep_live(id);
    let fault = killed();
    {
        let mut ending =
            Box::pin(end_as(world.hub(), id, &Actor::System, "killed", "HOOP-4001", Some(&fault)));
        // Asked for, and let go.
        assert!(futures::poll!(&mut ending).is_pending());
    }
    let told = world.outbox.recv().await.unwrap();
    assert!(matches!(told.message, Some(Message::EndSession(end)) if end.session_id == id.to_string()));
    live.cut.cancelled().await;
    let session = world.hub().store.session(id).await.unwrap().unwrap();
    assert_eq!(session.state, SessionState::Ending);
}

#[tokio::test]
async fn a_ticket_brings_no_session_back_that_was_ended() {
    let world = World::start().await;
    let id = world.session().await;
    let found = relay::find(world.hub(), id).await.unwrap();
    assert_eq!(found.id, id);
    end_as(world.hub(), id, &Actor::System, "killed", "HOOP-4001", Some(&killed())).await.unwrap();
    found.cut.cancelled().await;
    assert!(relay::find(world.hub(), id).await.is_err());
    assert!(world.hub().live.find(id).is_none());
}

#[tokio::test]
async fn a_session_that_nobody_takes_over_is_ended() {
    let mut world = World::start().await;
    let id = world.session().await;
    Orphan::new(world.hub(), id).taken_over();
    let session = world.hub().store.session(id).await.unwrap().unwrap();
    assert_eq!(session.state, SessionState::Opening);
    drop(Orphan::new(world.hub(), id));
    let told = world.outbox.recv().await.unwrap();
    assert!(matches!(told.message, Some(Message::EndSession(end)) if end.session_id == id.to_string()));
    let session = world.hub().store.session(id).await.unwrap().unwrap();
    assert_eq!(session.end_reason.as_deref(), Some("the caller went away"));
}

#[test]
fn labels_are_of_few_values() {
    assert_eq!(code_label("HOOP-4001"), "HOOP-4001");
    for made_up in ["", "closed", "HOOP-", "HOOP-40011", "HOOP-400a", "hoop-4001"] {
        assert_eq!(code_label(made_up), "other", "{made_up}");
    }
}

#[tokio::test]
async fn a_sessions_secret_is_on_disk_under_the_master_key_alone() {
    let world = World::start().await;
    world.session().await;
    let files = std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let stores = files.filter(|path| path.to_string_lossy().contains("hoop.db"));
    let stored: Vec<u8> = stores.flat_map(|path| std::fs::read(path).unwrap()).collect();
    let holds = |secret: [u8; 32]| stored.windows(32).any(|bytes| bytes == secret);
    assert!(!holds([9; 32]));
    assert!(holds([4; 32]), "the hash of the connector's key is in the clear, and found");
}

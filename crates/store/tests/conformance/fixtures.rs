//! Things to put into a store, and a way to race for them.

use std::{future::Future, time::Duration};

use hoop_ledger::{Draft, EventCode};
use hoop_model::{
    Actor, AgentId, AgentName, AuthMethod, ConnectionId, ConnectionName, FactorKind, GroupName, JoinTokenId,
    LoginId, Mfa, ProtocolId, Redacted, Role, SessionId, Timestamp, TokenId, UserId, UserName,
};
use hoop_store::{
    Agent, ClientKind, Conflict, NewAgent, NewEvent, NewJoinToken, NewLogin, NewSession, NewToken, NewUser,
    Sha256, Store, StoreError, TokenKind, User,
};

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

pub(crate) fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

pub(crate) fn groups(names: &[&str]) -> Vec<GroupName> {
    names.iter().map(|name| GroupName::new(*name).unwrap()).collect()
}

pub(crate) fn hash(seed: &str) -> Sha256 {
    let mut hash = [7; 32];
    hash.iter_mut().zip(seed.bytes()).for_each(|(to, from)| *to = from);
    hash
}

pub(crate) fn event(code: EventCode) -> NewEvent {
    NewEvent::new(NOW, Draft::new(Actor::System, code))
}

pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| event(EventCode::LedgerRead)).collect()
}

pub(crate) fn new_user(text: &str) -> NewUser {
    NewUser {
        id: UserId::generate(),
        name: name(text),
        role: Role::User,
        groups: groups(&["dba"]),
        setup_token_hash: hash(text),
        setup_expires_at: later(60),
        created_at: NOW,
    }
}

/// A built-in account that has been set up; step 10 is used.
pub(crate) async fn user(store: &Store, text: &str) -> User {
    let new = new_user(text);
    store.create_user(&new, &[]).await.unwrap();
    store.stage_totp(&new.setup_token_hash, b"sealed", NOW).await.unwrap();
    let password = Redacted::new("$argon2id$x".to_owned());
    store.finish_setup(&new.setup_token_hash, &password, 10, NOW, &[]).await.unwrap()
}

pub(crate) fn new_login(user: UserId) -> NewLogin {
    NewLogin {
        id: LoginId::generate(),
        user,
        method: AuthMethod::PasswordTotp,
        mfa: Some(Mfa { at: NOW, by: FactorKind::Totp }),
        created_at: NOW,
        expires_at: later(3600),
        idle_until: later(600),
        address: "127.0.0.1".into(),
        client: ClientKind::Cli,
    }
}

pub(crate) fn token(kind: TokenKind, seed: &str) -> NewToken {
    NewToken { id: TokenId::generate(), kind, hash: hash(seed), expires_at: later(1800) }
}

pub(crate) fn join_token(seed: &str, agent: &str) -> NewJoinToken {
    NewJoinToken {
        id: JoinTokenId::generate(),
        hash: hash(seed),
        agent: AgentName::new(agent).unwrap(),
        created_at: NOW,
        expires_at: later(60),
    }
}

pub(crate) fn new_agent(text: &str) -> NewAgent {
    NewAgent {
        id: AgentId::generate(),
        name: AgentName::new(text).unwrap(),
        certificate_serial: "01".into(),
        certificate_expires_at: later(3600),
        sealing_key: vec![1; 32],
        signing_key: vec![2; 32],
        version: "0.1.0".into(),
        enrolled_at: NOW,
    }
}

pub(crate) async fn agent(store: &Store, text: &str) -> Agent {
    let token = join_token(text, text);
    store.create_join_token(&token, &[]).await.unwrap();
    store.enrol_agent(&token.hash, &new_agent(text), &[]).await.unwrap()
}

pub(crate) fn new_session(user: &User, agent: &Agent, connection: &str) -> NewSession {
    NewSession {
        id: SessionId::generate(),
        user: user.id,
        user_name: user.name.clone(),
        login: Some(LoginId::generate()),
        connection: ConnectionId::generate(),
        connection_name: ConnectionName::new(connection).unwrap(),
        protocol: ProtocolId::new("postgres").unwrap(),
        agent: agent.id,
        agent_name: agent.name.clone(),
        grant: b"{}".to_vec(),
        grant_signature: vec![3; 64],
        secret_sealed: vec![4; 60],
        connector_key_sha256: hash("key"),
        certificate_expires_at: later(300),
        address: "127.0.0.1".into(),
        reason: Some("to see\0".into()),
        allowed_because: "member of dba".into(),
        request: None,
        recording_key: None,
        started_at: NOW,
        ends_at: later(3600),
        retention_seconds: None,
    }
}

/// Size of the ledger.
pub(crate) async fn size(store: &Store) -> u64 {
    store.ledger_head().await.unwrap().size
}

pub(crate) fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Conflict {
    match result {
        Err(StoreError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

pub(crate) fn not_found<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound(_))), "{result:?}");
}

/// Runs `count` tasks that all start together.
pub(crate) async fn race<T, F>(count: usize, mut task: impl FnMut(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let line = std::sync::Arc::new(tokio::sync::Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (line, run) = (line.clone(), task(number));
            tokio::spawn(async move {
                line.wait().await;
                run.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

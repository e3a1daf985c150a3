//! Ways in while the gateway is down: made, revoked, heard of.

use hoop_ledger::EventCode;
use hoop_model::{CapabilityId, ConnectionId, ConnectionName, RequestId, UserName};
use hoop_store::{
    Agent, CapabilityUse, Conflict, NewCapability, NewRequest, RequestKind, RequestState, SessionState,
    Store, StoreError, User, UserChange,
};

use crate::fixtures::*;

crate::cases![
    a_capability_is_kept_as_it_was_made,
    a_locked_person_gets_none,
    one_is_revoked_once_and_its_agent_told,
    a_use_is_kept_once_with_its_emergency_and_session,
    what_was_never_made_is_not_used,
    an_event_that_cannot_be_written_takes_the_use_with_it,
];

fn made(agent: &Agent, holder: &User) -> NewCapability {
    NewCapability {
        id: CapabilityId::generate(),
        agent: agent.id,
        holder: holder.id,
        holder_name: holder.name.clone(),
        connection: ConnectionId::generate(),
        connection_name: ConnectionName::new("clinic").unwrap(),
        body: vec![0, 1, 255],
        made_by: "röot".into(),
        made_at: NOW,
        valid_until: later(3600),
        most_uses: 2,
    }
}

fn heard(agent: &Agent, holder: &User, capability: CapabilityId) -> CapabilityUse {
    let mut session = new_session(holder, agent, "clinic");
    let emergency = NewRequest {
        id: RequestId::generate(),
        kind: RequestKind::BreakGlass,
        user: holder.id,
        user_name: UserName::new("ada").unwrap(),
        connection: session.connection,
        connection_name: session.connection_name.clone(),
        rule: "oncall".into(),
        become_user: None,
        statement: None,
        reason: "wards are down".into(),
        incident: Some("INC-7".into()),
        duration_seconds: 60,
        needed: 0,
        created_at: NOW,
        decide_until: NOW,
    };
    (session.request, session.login) = (Some(emergency.id), None);
    CapabilityUse { capability, emergency, ends_at: later(60), session }
}

async fn site(store: &Store) -> (Agent, User, NewCapability) {
    let (agent, holder) = (agent(store, "east").await, user(store, "ada").await);
    let new = made(&agent, &holder);
    store.create_capability(&new, &events(1)).await.unwrap();
    (agent, holder, new)
}

async fn a_capability_is_kept_as_it_was_made(store: Store) {
    let (_, _, new) = site(&store).await;
    let kept = store.capability(new.id).await.unwrap().unwrap();
    assert_eq!((kept.made.clone(), kept.uses, kept.revoked_at), (new, 0, None));
    assert_eq!(store.capabilities().await.unwrap(), [kept]);
    assert_eq!(store.capability(CapabilityId::generate()).await.unwrap(), None);
}

async fn a_locked_person_gets_none(store: Store) {
    let (agent, holder) = (agent(&store, "east").await, user(&store, "ada").await);
    let change = UserChange { locked: Some(true), ..UserChange::default() };
    store.change_user(holder.id, &change, NOW, &[]).await.unwrap();
    let refused = store.create_capability(&made(&agent, &holder), &events(1)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::Locked))), "{refused:?}");
    assert!(store.capabilities().await.unwrap().is_empty());
}

async fn one_is_revoked_once_and_its_agent_told(store: Store) {
    let (agent, holder, new) = site(&store).await;
    store.create_capability(&made(&agent, &holder), &[]).await.unwrap();
    assert!(store.revoked_capabilities(agent.id, NOW).await.unwrap().is_empty());
    store.revoke_capability(new.id, later(1), &events(1)).await.unwrap();
    let again = store.revoke_capability(new.id, later(2), &events(1)).await;
    assert!(matches!(again, Err(StoreError::Conflict(Conflict::Changed))), "{again:?}");
    let unknown = store.revoke_capability(CapabilityId::generate(), NOW, &events(1)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound(_))), "{unknown:?}");
    assert_eq!(store.revoked_capabilities(agent.id, NOW).await.unwrap(), [new.id]);
    assert!(
        store.revoked_capabilities(agent.id, later(3600)).await.unwrap().is_empty(),
        "it ended by itself"
    );
    assert_eq!(store.capability(new.id).await.unwrap().unwrap().revoked_at, Some(later(1)));
}

async fn a_use_is_kept_once_with_its_emergency_and_session(store: Store) {
    let (agent, holder, new) = site(&store).await;
    // It has happened, whatever became of person and capability.
    store.revoke_capability(new.id, later(1), &[]).await.unwrap();
    let change = UserChange { locked: Some(true), ..UserChange::default() };
    store.change_user(holder.id, &change, NOW, &[]).await.unwrap();
    let one = heard(&agent, &holder, new.id);
    assert!(store.use_capability(&one, &events(1)).await.unwrap());
    assert!(!store.use_capability(&one, &events(1)).await.unwrap());
    assert_eq!(store.capability(new.id).await.unwrap().unwrap().uses, 1);
    let session = store.session(one.session.id).await.unwrap().unwrap();
    assert_eq!((session.state, session.request), (SessionState::Live, Some(one.emergency.id)));
    let emergency = store.request(one.emergency.id).await.unwrap().unwrap();
    assert_eq!((emergency.state, emergency.ends_at), (RequestState::Approved, Some(later(60))));
    assert_eq!(store.due_requests(later(60)).await.unwrap().len(), 1);
}

async fn what_was_never_made_is_not_used(store: Store) {
    let (agent, holder, _) = site(&store).await;
    let refused = store.use_capability(&heard(&agent, &holder, CapabilityId::generate()), &events(1)).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
}

async fn an_event_that_cannot_be_written_takes_the_use_with_it(store: Store) {
    let (agent, holder, new) = site(&store).await;
    let mut one = heard(&agent, &holder, new.id);
    // The emergency is there already, so the whole of it fails.
    store.create_request(&one.emergency, 20, false, &[]).await.unwrap();
    let failed = store.use_capability(&one, &[event(EventCode::BreakGlassOffline)]).await;
    assert!(failed.is_err());
    assert_eq!(store.capability(new.id).await.unwrap().unwrap().uses, 0);
    assert_eq!(store.session(one.session.id).await.unwrap(), None);
    one.emergency.id = RequestId::generate();
    assert!(store.use_capability(&one, &events(1)).await.unwrap());
}

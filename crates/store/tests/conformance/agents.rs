//! Agents and join tokens.

use hoop_model::AgentId;
use hoop_store::{Conflict, NewAgent, Store};

use crate::fixtures::*;

crate::cases![
    an_agent_enrols_once_per_token,
    a_join_race_has_one_winner,
    a_join_token_is_good_for_its_name_and_time,
    a_taken_name_leaves_the_token_good,
    a_certificate_is_renewed_from_the_one_in_force,
    a_removed_agent_stays_out,
    an_older_stream_does_not_end_a_newer_one,
];

async fn an_agent_enrols_once_per_token(store: Store) {
    let token = join_token("j", "east");
    store.create_join_token(&token, &events(1)).await.unwrap();
    let new = new_agent("east");
    let agent = store.enrol_agent(&token.hash, &new, &events(1)).await.unwrap();
    assert_eq!(store.agent(new.id).await.unwrap(), Some(agent.clone()));
    assert_eq!(store.agent_by_name(&new.name).await.unwrap(), Some(agent.clone()));
    assert_eq!(store.agents().await.unwrap(), [agent]);
    assert_eq!(
        conflict(store.enrol_agent(&token.hash, &new_agent("east"), &events(1)).await),
        Conflict::Used
    );
    assert_eq!(store.join_token(&token.hash).await.unwrap().unwrap().used_at, Some(NOW));
    not_found(store.enrol_agent(&hash("guess"), &new_agent("east"), &events(1)).await);
    assert_eq!(size(&store).await, 2);
}

async fn a_join_race_has_one_winner(store: Store) {
    let token = join_token("j", "east");
    store.create_join_token(&token, &[]).await.unwrap();
    let won = race(6, |_| {
        let (store, hash, new) = (store.clone(), token.hash, new_agent("east"));
        async move { store.enrol_agent(&hash, &new, &events(1)).await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    assert_eq!((store.agents().await.unwrap().len(), size(&store).await), (1, 1));
}

async fn a_join_token_is_good_for_its_name_and_time(store: Store) {
    let token = join_token("j", "east");
    store.create_join_token(&token, &[]).await.unwrap();
    let late = NewAgent { enrolled_at: later(60), ..new_agent("east") };
    for (new, expected) in [(late, Conflict::Expired), (new_agent("west"), Conflict::OtherName)] {
        assert_eq!(conflict(store.enrol_agent(&token.hash, &new, &events(1)).await), expected);
    }
    assert!(store.agents().await.unwrap().is_empty());
    assert_eq!(size(&store).await, 0);
}

async fn a_taken_name_leaves_the_token_good(store: Store) {
    let first = agent(&store, "east").await;
    let token = join_token("again", "east");
    store.create_join_token(&token, &[]).await.unwrap();
    assert_eq!(
        conflict(store.enrol_agent(&token.hash, &new_agent("east"), &events(1)).await),
        Conflict::NameTaken
    );
    assert!(store.remove_agent(first.id, NOW, &events(1)).await.unwrap());
    store.enrol_agent(&token.hash, &new_agent("east"), &events(1)).await.unwrap();
    assert_eq!(size(&store).await, 2);
}

async fn a_certificate_is_renewed_from_the_one_in_force(store: Store) {
    let agent = agent(&store, "east").await;
    let renewed = store.renew_agent_certificate(agent.id, "01", "02", later(7200), &events(1)).await.unwrap();
    assert_eq!((renewed.certificate_serial.as_str(), renewed.certificate_expires_at), ("02", later(7200)));
    let stale = store.renew_agent_certificate(agent.id, "01", "03", later(7200), &events(1)).await;
    assert_eq!(conflict(stale), Conflict::Changed);
    not_found(store.renew_agent_certificate(AgentId::generate(), "01", "03", NOW, &events(1)).await);
    assert_eq!(size(&store).await, 1);
}

async fn a_removed_agent_stays_out(store: Store) {
    let agent = agent(&store, "east").await;
    assert!(store.remove_agent(agent.id, NOW, &events(1)).await.unwrap());
    assert!(!store.remove_agent(agent.id, NOW, &events(1)).await.unwrap());
    not_found(store.remove_agent(AgentId::generate(), NOW, &events(1)).await);
    assert_eq!(conflict(store.agent_connected(agent.id, "g", "1", NOW, &events(1)).await), Conflict::Revoked);
    let renewal = store.renew_agent_certificate(agent.id, "01", "02", NOW, &events(1)).await;
    assert_eq!(conflict(renewal), Conflict::Revoked);
    assert!(store.agents().await.unwrap().is_empty());
    assert_eq!(store.agent(agent.id).await.unwrap().unwrap().removed_at, Some(NOW));
    assert_eq!(size(&store).await, 1);
}

async fn an_older_stream_does_not_end_a_newer_one(store: Store) {
    let agent = agent(&store, "east").await;
    let first = store.agent_connected(agent.id, "g1", "0.2.0", NOW, &events(1)).await.unwrap();
    let second = store.agent_connected(agent.id, "g2", "0.2.0", later(1), &events(1)).await.unwrap();
    assert!(second > first);
    assert!(!store.agent_disconnected(agent.id, first, later(2), &events(1)).await.unwrap());
    let now = store.agent(agent.id).await.unwrap().unwrap();
    assert_eq!((now.gateway.as_deref(), now.version.as_str()), (Some("g2"), "0.2.0"));
    assert!(store.agent_disconnected(agent.id, second, later(3), &events(1)).await.unwrap());
    assert!(!store.agent_disconnected(agent.id, second, later(4), &events(1)).await.unwrap());
    assert_eq!(store.agent(agent.id).await.unwrap().unwrap().gateway, None);
    assert_eq!(size(&store).await, 3);
}

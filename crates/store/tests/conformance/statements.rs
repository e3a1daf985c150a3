//! Statements of recordings, to be searched.

use hoop_model::{ConnectionName, Timestamp};
use hoop_store::{
    IndexOutcome, NewStatement, NotIndexed, RecordingEnd, RecordingEnding, SessionEnd, SessionRecord,
    StatementFilter, StatementOutcome, Store,
};

use crate::fixtures::*;

crate::cases![
    statements_are_found_by_everything_that_is_known_of_them,
    pages_show_every_statement_once,
    what_is_not_indexed_is_counted_and_tried_again,
    nothing_in_a_search_is_a_pattern_or_sql,
];

fn statement(at: Timestamp, text: &str, tables: &[&str]) -> NewStatement {
    NewStatement {
        at,
        text: text.to_owned(),
        tables: tables.iter().map(|table| (*table).to_owned()).collect(),
        outcome: StatementOutcome::Done,
        rows: 3,
    }
}

/// A session that is over, with its recording.
async fn ended(store: &Store, person: &str, connection: &str) -> SessionRecord {
    let agent = match store.agent_by_name(&"agent-1".parse().unwrap()).await.unwrap() {
        Some(agent) => agent,
        None => agent(store, "agent-1").await,
    };
    let user = match store.user_by_name(&name(person)).await.unwrap() {
        Some(user) => user,
        None => user(store, person).await,
    };
    let session = store.create_session(&new_session(&user, &agent, connection), 100, &[]).await.unwrap();
    let recording =
        RecordingEnd { ending: RecordingEnding::Sealed, manifest: None, trailer: None, at: later(50) };
    let end = SessionEnd { at: later(50), reason: "closed".into(), code: "closed".into() };
    let told = [event(hoop_ledger::EventCode::RecordingSealed)];
    store.end_recording(session.id, &recording, &end, &told).await.unwrap()
}

fn all() -> StatementFilter {
    StatementFilter { limit: 100, ..StatementFilter::default() }
}

async fn texts(store: &Store, filter: &StatementFilter) -> Vec<String> {
    store.search_statements(filter).await.unwrap().into_iter().map(|found| found.text).collect()
}

fn connection(text: &str) -> Option<ConnectionName> {
    Some(ConnectionName::new(text).unwrap())
}

async fn statements_are_found_by_everything_that_is_known_of_them(store: Store) {
    let (ada, bob) = (ended(&store, "Ada", "pg").await, ended(&store, "bob", "other").await);
    let first = [
        statement(later(1), "select * from Patients where id = ?", &["patients"]),
        statement(later(2), "delete from visits", &["visits", "public.visits"]),
    ];
    store.index_recording(&ada, &first, IndexOutcome::Whole, later(60)).await.unwrap();
    let second = [statement(later(3), "select * from patients", &["patients"])];
    store.index_recording(&bob, &second, IndexOutcome::Whole, later(60)).await.unwrap();
    // Twice is once.
    store.index_recording(&bob, &second, IndexOutcome::Whole, later(61)).await.unwrap();
    let [a, b, c] = [first[0].text.as_str(), first[1].text.as_str(), second[0].text.as_str()];
    let filters = [
        (all(), vec![c, b, a]),
        (StatementFilter { user: Some(name("aDA")), ..all() }, vec![b, a]),
        (StatementFilter { connection: connection("other"), ..all() }, vec![c]),
        (StatementFilter { table: Some("patients".into()), ..all() }, vec![c, a]),
        (StatementFilter { table: Some("public.visits".into()), ..all() }, vec![b]),
        (StatementFilter { table: Some("patients".into()), user: Some(name("ada")), ..all() }, vec![a]),
        (StatementFilter { text: Some("FROM PATIENTS".into()), ..all() }, vec![c, a]),
        (StatementFilter { since: Some(later(2)), ..all() }, vec![c, b]),
        (StatementFilter { until: Some(later(2)), ..all() }, vec![a]),
        (StatementFilter { table: Some("Patients".into()), ..all() }, vec![]),
    ];
    for (filter, expected) in filters {
        assert_eq!(texts(&store, &filter).await, expected, "{filter:?}");
    }
    let found = store.search_statements(&all()).await.unwrap().remove(0);
    assert_eq!((found.session, found.user_name.as_str(), found.rows, found.at), (bob.id, "bob", 3, later(3)));
    store.forget_statements(ada.id).await.unwrap();
    assert_eq!(texts(&store, &all()).await, [c]);
}

async fn pages_show_every_statement_once(store: Store) {
    let session = ended(&store, "ada", "pg").await;
    // At the same time too, and more than one transaction takes.
    let many: Vec<_> =
        (0..450).map(|n| statement(later(n / 100), &format!("select ?, c{n}"), &["t"])).collect();
    store.index_recording(&session, &many, IndexOutcome::Whole, later(60)).await.unwrap();
    for table in [None, Some("t".to_owned())] {
        let (mut filter, mut seen) = (StatementFilter { limit: 70, table, ..all() }, Vec::new());
        loop {
            let page = store.search_statements(&filter).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.before = Some(last.place.clone());
            seen.extend(page.into_iter().map(|found| found.text));
        }
        let expected: Vec<_> = many.iter().rev().map(|new| new.text.clone()).collect();
        assert_eq!(seen, expected);
    }
}

async fn what_is_not_indexed_is_counted_and_tried_again(store: Store) {
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(ended(&store, "ada", "pg").await);
    }
    let due = async |again| store.sessions_to_index(again, 10).await.unwrap().len();
    assert_eq!(due(later(0)).await, 4);
    let outcomes = [IndexOutcome::Whole, IndexOutcome::Partly, IndexOutcome::NoKey];
    for (session, outcome) in sessions.iter().zip(outcomes) {
        store.index_recording(session, &[], outcome, later(60)).await.unwrap();
    }
    let counted = NotIndexed { waiting: 1, partly: 1, no_key: 1, unreadable: 0 };
    assert_eq!(store.not_indexed(&all()).await.unwrap(), counted);
    assert_eq!(due(later(10)).await, 1);
    // An hour later somebody may have the key.
    assert_eq!(due(later(61)).await, 2);
    for filter in [
        StatementFilter { user: Some(name("bob")), ..all() },
        StatementFilter { connection: connection("other"), ..all() },
        StatementFilter { since: Some(later(51)), ..all() },
        StatementFilter { until: Some(NOW), ..all() },
    ] {
        assert_eq!(store.not_indexed(&filter).await.unwrap(), NotIndexed::default(), "{filter:?}");
    }
    // One that goes on counts, whatever the time.
    let (user, agent) = (
        store.user_by_name(&name("ada")).await.unwrap().unwrap(),
        store.agent_by_name(&"agent-1".parse().unwrap()).await.unwrap().unwrap(),
    );
    store.create_session(&new_session(&user, &agent, "pg"), 100, &[]).await.unwrap();
    let late = StatementFilter { since: Some(later(1_000)), ..all() };
    assert_eq!(store.not_indexed(&late).await.unwrap().waiting, 1);
}

async fn nothing_in_a_search_is_a_pattern_or_sql(store: Store) {
    let session = ended(&store, "ada", "pg").await;
    let some = [statement(later(1), "select a_b, 100%!", &["t"]), statement(later(2), "select axb", &["t"])];
    store.index_recording(&session, &some, IndexOutcome::Whole, later(60)).await.unwrap();
    let by = |text: &str| StatementFilter { text: Some(text.into()), ..all() };
    assert_eq!(texts(&store, &by("a_b")).await, ["select a_b, 100%!"]);
    assert_eq!(texts(&store, &by("0%!")).await, ["select a_b, 100%!"]);
    for nothing in ["%zzz", "' OR 1=1 --", "!", "\\"] {
        let expected = if nothing == "!" { 1 } else { 0 };
        assert_eq!(texts(&store, &by(nothing)).await.len(), expected, "{nothing}");
    }
    let table = StatementFilter { table: Some("t' OR '1'='1".into()), ..all() };
    assert!(texts(&store, &table).await.is_empty());
    let before = StatementFilter { before: Some("' OR 1=1".into()), ..all() };
    assert!(texts(&store, &before).await.is_empty());
}

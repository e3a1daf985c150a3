//! What both databases must do alike: each case gets an empty store, once in SQLite and once in a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod agents;
mod capabilities;
mod copy;
mod crash;
mod fixtures;
mod ledger;
mod logins;
mod notices;
mod passkeys;
mod persons;
mod policies;
mod providers;
mod receivers;
mod recording_keys;
mod requests;
mod retention;
mod scim;
mod sealed_codes;
mod services;
mod sessions;
mod statements;
mod things;
mod users;

use std::{future::Future, pin::Pin};

use hoop_store::Store;
use hoop_testkit::{Postgres, PostgresOptions};

/// A story told to an empty store.
struct Case {
    name: &'static str,
    run: fn(Store) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Lists stories by name.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[$crate::Case] = &[$(
            $crate::Case { name: concat!(module_path!(), "::", stringify!($name)), run: |store| Box::pin($name(store)) }
        ),*];
    };
}
pub(crate) use cases;

fn every_case() -> impl Iterator<Item = &'static Case> {
    [
        users::CASES,
        persons::CASES,
        sealed_codes::CASES,
        services::CASES,
        scim::CASES,
        logins::CASES,
        things::CASES,
        agents::CASES,
        capabilities::CASES,
        copy::CASES,
        sessions::CASES,
        statements::CASES,
        ledger::CASES,
        notices::CASES,
        passkeys::CASES,
        policies::CASES,
        providers::CASES,
        receivers::CASES,
        recording_keys::CASES,
        requests::CASES,
        retention::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Runs every case, also after one has failed; panics with the names of those that did.
async fn run_all<F: Future<Output = String>>(mut url_of_case: impl FnMut(usize) -> F) {
    let mut failed = Vec::new();
    for (number, case) in every_case().enumerate() {
        let store = Store::open(&url_of_case(number).await).await.unwrap();
        let outcome = tokio::spawn((case.run)(store.clone())).await;
        store.close().await;
        if outcome.is_err() {
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    run_all(|number| {
        let path = folder.path().join(format!("{number}.db"));
        async move { format!("sqlite:{}", path.display()) }
    })
    .await;
}

/// What stands in the tables before anybody has written to them.
const SEED: &str = "\
create schema seed;
do $$ declare one record; begin
  for one in select tablename as name from pg_tables where schemaname = 'public' loop
    execute format('create table seed.%I as table public.%I', one.name, one.name);
  end loop;
end $$";

const RESET: &str = "\
set session_replication_role = replica;
do $$ declare one record; begin
  for one in select tablename as name from pg_tables where schemaname = 'public' loop
    execute format('delete from public.%I', one.name);
    execute format('insert into public.%I overriding system value select * from seed.%I', one.name, one.name);
  end loop;
end $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres() {
    let server = Postgres::start(&PostgresOptions { tls: false, ..PostgresOptions::default() });
    // One database for all of them: to make and remove one each takes far longer than what is tested.
    let url = server.url("clinic");
    Store::open(&url).await.unwrap().close().await;
    server.script(SEED);
    run_all(|_| {
        server.script(RESET);
        let url = url.clone();
        async move { url }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_url_is_the_operators_fault() {
    for url in
        ["", "mysql://x", "sqlite:", "sqlite::memory:", "sqlite:a?mode=ro", "postgres://[", "/var/lib/x.db"]
    {
        let error = Store::open(url).await.unwrap_err();
        assert!(matches!(error, hoop_store::StoreError::Setting(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn no_error_shows_the_password() {
    let error = Store::open("postgres://hoop:canary-91c4@127.0.0.1:1/x").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn what_was_kept_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("x.db").display());
    let store = Store::open(&url).await.unwrap();
    store.append(&fixtures::events(3)).await.unwrap();
    store.close().await;
    assert_eq!(Store::open(&url).await.unwrap().ledger_head().await.unwrap().size, 3);
}

/// In a release it is withheld and counted; in a debug build, on which all tests run, nobody overlooks it.
#[tokio::test]
#[should_panic(expected = "does not name")]
async fn an_event_with_a_fact_that_the_catalogue_does_not_name_fails_the_test() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}", folder.path().join("x.db").display())).await.unwrap();
    let draft = hoop_ledger::Draft::new(hoop_model::Actor::System, hoop_ledger::EventCode::LedgerRead);
    let event = hoop_store::NewEvent::new(fixtures::NOW, draft.fact("password", "canary"));
    let _ = store.append(&[event]).await;
}

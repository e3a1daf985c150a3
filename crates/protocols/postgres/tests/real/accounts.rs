//! Accounts of sessions at real servers: made, used, removed; and everything that could go wrong with them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::gate::unmasked;
use bytes::BytesMut;
use hoop_engine::{Account, Accounts, Credential, Errand, ErrandOutput, Outcome, Protocol as _};
use hoop_model::{Fault, SessionId, UserName};
use hoop_testkit::{PASSWORD, Postgres, PostgresOptions, wait_until};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::gate::{Gate, now};

/// As a managed service has it: a user that may make roles, and is no superuser.
const MANAGED: &str = "alter role app createrole; create role clinic_read; create role clinic_write; \
    grant clinic_read, clinic_write to app with admin option";

struct Site {
    server: Postgres,
    gate: Gate,
}

impl Site {
    fn start(version: Option<u16>, prepare: &str) -> Self {
        let server = Postgres::start(&PostgresOptions { tls: false, version, ..PostgresOptions::default() });
        server.sql(prepare);
        let gate = Gate::open(server.port, PASSWORD, unmasked());
        Self { server, gate }
    }

    fn accounts(&self, changes: Value) -> std::sync::Arc<dyn Accounts> {
        let mut accounts = json!({"in_roles": ["clinic_read"]});
        accounts.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let settings =
            json!({"host": "127.0.0.1", "port": self.server.port, "user": "app", "accounts": accounts});
        hoop_postgres::Postgres.configure(&settings).unwrap().accounts().unwrap()
    }

    /// Carries an errand's bytes through the engine, as the agent does.
    fn run(&self, mut errand: Box<dyn Errand>) -> Result<Outcome, Fault> {
        let connect = || TcpStream::connect(("127.0.0.1", self.gate.port)).unwrap();
        let (mut socket, mut input, mut buffer) = (connect(), BytesMut::new(), vec![0; 64 << 10]);
        loop {
            match errand.poll_output() {
                ErrandOutput::Send(bytes) => socket.write_all(&bytes).unwrap(),
                ErrandOutput::Reconnect => (socket, input) = (connect(), BytesMut::new()),
                ErrandOutput::Done(outcome) => return Ok(outcome),
                ErrandOutput::Idle => {
                    let count = socket.read(&mut buffer).unwrap();
                    assert!(count > 0, "the server hung up");
                    input.extend_from_slice(&buffer[..count]);
                    errand.handle_input(&mut input)?;
                }
            }
        }
    }

    fn make(&self, accounts: &dyn Accounts, person: &str) -> (Account, Credential) {
        let person = UserName::new(person).unwrap();
        let mut account = accounts.name(&person, SessionId::generate()).unwrap();
        let (errand, credential) = accounts.make(&account, now().after(Duration::from_secs(600))).unwrap();
        let Outcome::Made { number } = self.run(errand).unwrap() else { panic!("it was not made") };
        account.number = Some(number);
        (account, credential)
    }

    /// SQL as an account, on a connection of its own.
    fn sql_as(&self, credential: &Credential, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.server.client("psql");
        psql.env("PGUSER", &credential.user)
            .env("PGPASSWORD", credential.password.as_ref().unwrap().expose())
            .env("PGDATABASE", database)
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let done = psql.output().unwrap();
        let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
        if done.status.success() { Ok(out.trim().to_owned()) } else { Err(err) }
    }

    fn roles(&self) -> String {
        self.server
            .sql("select string_agg(rolname, ',') from pg_roles where rolname like 'hoop%'")
            .trim()
            .to_owned()
    }
}

fn lives_and_dies(version: Option<u16>) {
    let site = Site::start(version, MANAGED);
    let accounts = site.accounts(json!({
        "connection_limit": 3, "search_path": ["clinic", "public"], "settings": {"statement_timeout": "7min"},
    }));
    let (account, credential) = site.make(accounts.as_ref(), "ada");
    let seen = site.sql_as(
        &credential,
        "clinic",
        "select current_user, current_setting('search_path'), current_setting('statement_timeout')",
    );
    assert_eq!(seen.unwrap(), format!("{}|clinic, public|7min", account.name));
    let flags = format!(
        "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil > now() \
         from pg_roles where rolname = '{}'",
        account.name
    );
    assert_eq!(site.server.sql(&flags).trim(), "f|f|f|f|f|3|t");
    let log = site.server.log();
    assert!(
        log.contains("SCRAM-SHA-256$4096:") && !log.contains(credential.password.as_ref().unwrap().expose())
    );
    assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Removed { handed_over: 0 });
    assert_eq!(site.roles(), "");
    assert!(site.sql_as(&credential, "clinic", "select 1").is_err());
    assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Absent);
}

#[test]
fn a_user_that_may_make_roles_is_enough() {
    lives_and_dies(None);
}

#[test]
fn a_user_that_may_make_roles_is_enough_since_version_16() {
    lives_and_dies(Some(16));
}

#[test]
fn a_user_that_may_make_roles_is_enough_in_version_18() {
    lives_and_dies(Some(18));
}

fn keeps_what_it_made(version: Option<u16>) {
    let site = Site::start(version, MANAGED);
    site.server.script(
        "create schema shared; grant create, usage on schema shared to clinic_read; \
         create table patients(id int); grant select on patients to clinic_read",
    );
    site.server.sql("create database archive; grant create on database archive to clinic_read");
    let accounts = site.accounts(json!({}));
    let (account, credential) = site.make(accounts.as_ref(), "ada");
    let made = "create table shared.findings as select 1 as id; \
        create function shared.mine() returns text language sql security definer as 'select current_user::text'; \
        grant select on shared.findings to public";
    site.sql_as(&credential, "clinic", made).unwrap();
    site.sql_as(&credential, "archive", "create schema mine").unwrap();
    let removed = site.run(accounts.remove(&account)).unwrap();
    assert!(matches!(removed, Outcome::Removed { handed_over: 3 }), "{removed:?}");
    assert_eq!(site.roles(), "");
    let owners = "select relowner::regrole from pg_class where relname = 'findings'; \
        select proowner::regrole from pg_proc where proname = 'mine'; select shared.mine()";
    let owners = site.server.script(owners);
    // Not the connection's own user: what was a person's function must not get that user's rights.
    assert_eq!(owners.split_whitespace().collect::<Vec<_>>(), ["clinic_read"; 3]);
}

#[test]
fn what_a_session_made_is_kept_and_gains_no_rights() {
    keeps_what_it_made(None);
}

#[test]
fn what_a_session_made_is_kept_and_gains_no_rights_since_version_16() {
    keeps_what_it_made(Some(16));
}

#[test]
fn what_runs_as_it_ends_with_it() {
    let site = Site::start(None, MANAGED);
    let accounts = site.accounts(json!({}));
    let (account, credential) = site.make(accounts.as_ref(), "ada");
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| site.sql_as(&credential, "clinic", "select pg_sleep(600)"));
        wait_until("the statement at the server", || {
            let running = site
                .server
                .sql("select count(*) from pg_stat_activity where usename like 'hoop%' and state = 'active'");
            (running.trim() == "1").then_some(())
        });
        assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Removed { handed_over: 0 });
        assert!(sleeper.join().unwrap().unwrap_err().contains("terminating connection"));
    });
}

#[test]
fn what_is_not_ours_stays() {
    let site = Site::start(None, MANAGED);
    let accounts = site.accounts(json!({}));
    let person = UserName::new("ada").unwrap();
    let account = accounts.name(&person, SessionId::generate()).unwrap();
    // Somebody else's, of the same name; then with a comment that almost is our mark.
    site.server.sql(&format!("create role {} login", account.name));
    assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Foreign);
    let again = accounts.name(&person, SessionId::generate()).unwrap();
    site.server.sql(&format!("comment on role {} is '{}'", account.name, again.mark));
    assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Foreign);
    // The right mark on another role than the one that was made.
    site.server.sql(&format!("comment on role {} is '{}'", account.name, account.mark));
    let numbered = Account { number: Some(1), ..account.clone() };
    assert_eq!(site.run(accounts.remove(&numbered)).unwrap(), Outcome::Foreign);
    assert_eq!(site.roles(), account.name);
    // And nothing is made where there is one already.
    let (errand, _) = accounts.make(&account, now().after(Duration::from_secs(60))).unwrap();
    let fault = site.run(errand).unwrap_err();
    assert_eq!(fault.code.as_str(), "HOOP-5016", "{fault:?}");
    assert_eq!(site.roles(), account.name);
}

#[test]
fn a_renamed_account_is_found() {
    let site = Site::start(None, MANAGED);
    let accounts = site.accounts(json!({}));
    let (account, _) = site.make(accounts.as_ref(), "ada");
    site.server.sql(&format!("alter role {} rename to hoop_hidden", account.name));
    assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Removed { handed_over: 0 });
    assert_eq!(site.roles(), "");
}

#[test]
fn functions_that_people_planted_are_not_run() {
    let site = Site::start(
        None,
        &format!("{MANAGED}; alter role app superuser; alter database postgres set search_path = public"),
    );
    // Better matches for the call than the server's own, where `public` comes after `pg_catalog`.
    site.server.sql(
        "create table caught(who text); \
         create function public.shobj_description(oid, text) returns text language sql as 'insert into public.caught values (current_user) returning who'; \
         create function public.pg_has_role(name, oid, varchar) returns boolean language sql as 'insert into public.caught values (current_user) returning true'",
    );
    let accounts = site.accounts(json!({}));
    let (account, _) = site.make(accounts.as_ref(), "ada");
    assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Removed { handed_over: 0 });
    assert_eq!(site.server.sql("select count(*) from public.caught").trim(), "0");
}

fn refused(prepare: &str, changes: Value) -> Fault {
    let site = Site::start(None, prepare);
    let accounts = site.accounts(changes);
    let account = accounts.name(&UserName::new("ada").unwrap(), SessionId::generate()).unwrap();
    let (errand, _) = accounts.make(&account, now().after(Duration::from_secs(60))).unwrap();
    let fault = site.run(errand).unwrap_err();
    assert_eq!(site.roles(), "", "nothing is left behind");
    fault
}

#[test]
fn who_may_not_make_roles_is_told_so() {
    let fault = refused("create role clinic_read; grant clinic_read to app", json!({}));
    assert_eq!(fault.code.as_str(), "HOOP-5015", "{fault:?}");
    assert!(fault.message.contains("CREATEROLE"), "{fault:?}");
    let fault = refused("create role clinic_read; alter role app createrole", json!({}));
    assert_eq!(fault.code.as_str(), "HOOP-5015", "{fault:?}");
    assert!(fault.message.contains("not a member"), "{fault:?}");
    let fault = refused("alter role app createrole", json!({}));
    assert!(fault.message.contains("does not exist"), "{fault:?}");
    let fault = refused(
        "create role clinic_read superuser; grant clinic_read to app; alter role app createrole",
        json!({}),
    );
    assert!(fault.message.contains("superuser"), "{fault:?}");
    let fault = refused(MANAGED, json!({"settings": {"statement_timeout": "soon"}}));
    assert_eq!(fault.code.as_str(), "HOOP-5016", "{fault:?}");
    let fault = refused(MANAGED, json!({"settings": {"log_statement": "none"}}));
    assert_eq!(fault.code.as_str(), "HOOP-5015", "{fault:?}");
}

#[test]
fn names_of_any_kind_stay_names() {
    // Settings with names of one's own are for superusers.
    let site = Site::start(None, &format!("{MANAGED}; alter role app superuser"));
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 40, ..ProptestConfig::default() });
    let person = "[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}";
    // Quotes, backslashes, percent signs, comments, dollars, and anything else that is no NUL.
    let role = r#"(["'\\%$;-]|--|/\*|\$\$|[^\x00]){1,12}"#;
    let value = r#"(["'\\%$;,-]|--|[^\x00]){0,40}"#;
    let outcome = runner.run(&(person, role, value), |(person, role, value)| {
        let quoted = role.replace('"', "\"\"");
        let script = format!("create role \"{quoted}\"; grant \"{quoted}\" to app with admin option;");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        let mut psql = site.server.client("psql");
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file.path());
        prop_assume!(psql.output().unwrap().status.success());
        let accounts = site.accounts(json!({"in_roles": [role, "clinic_read"], "settings": {"hoop.test": value}, "search_path": [role]}));
        let (account, credential) = site.make(accounts.as_ref(), &person);
        prop_assert!(account.name.len() <= 63);
        let seen = site.sql_as(&credential, "clinic", "select current_setting('hoop.test')").unwrap();
        prop_assert_eq!(seen.trim(), value.trim());
        let path = site.sql_as(&credential, "clinic", "select current_setting('search_path')").unwrap();
        prop_assert!(path == role || path == format!("\"{quoted}\""), "{} {}", path, role);
        prop_assert_eq!(site.run(accounts.remove(&account)).unwrap(), Outcome::Removed { handed_over: 0 });
        prop_assert_eq!(site.roles(), "");
        Ok(())
    });
    outcome.unwrap();
}

//! An account (role) of its own for each session: its settings, its name, and the errands that make and remove it.
//!
//! ```text
//!   make:    log in as the connection's user ─▶ may it? ─▶ CREATE ROLE, COMMENT, settings (one transaction)
//!   remove:  found by name *and* mark ─▶ NOLOGIN ─▶ end its backends ─▶ in each database: REASSIGN, DROP OWNED ─▶ DROP ROLE
//! ```
//! - An admin writes roles and settings, never SQL; every name and value is quoted by [`sql`].
//! - The password stays at the agent: the server is told its SCRAM verifier.
//! - What the account made goes to a role whose member it was. Given to the connection's own user, a function or view
//!   of the person's would run with that user's rights from then on.

mod look;
mod scan;
mod sql;
mod wire;
mod work;

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use aws_lc_rs::rand;
use hoop_engine::{Account, Accounts, Credential, Errand, SettingsError};
use hoop_model::{Blame, Fault, Redacted, SessionId, Timestamp, UserName};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use self::{look::Look, scan::Scan, sql::literal};
use crate::settings::wrong;

/// PostgreSQL cuts names that are longer, and two that differ behind the cut would be one.
const LONGEST_NAME: usize = 63;

/// What a person's name may take of an account's.
const LONGEST_PERSON: usize = 32;

/// Characters of the session's id in an account's name: 50 random bits.
const SESSION_PART: usize = 10;

/// Bytes of a password.
const PASSWORD: usize = 32;

/// Connections of an account at a time, where the settings say nothing.
const CONNECTIONS: u32 = 100;

/// Settings that would undo what an account is for.
const FORBIDDEN: [&str; 2] = ["role", "session_authorization"];

/// An account of its own for each session, made when it begins and removed when it ends.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSettings {
    /// Roles whose rights the account has. The connection's user must hold them WITH ADMIN OPTION.
    #[schemars(length(min = 1))]
    in_roles: Vec<String>,
    /// Who owns what a session made once it is over: one of `in_roles` (default: the first).
    #[serde(default)]
    objects_to: Option<String>,
    /// Connections at a time (default 100).
    #[serde(default)]
    connection_limit: Option<u32>,
    /// The account's `search_path`, one schema an entry.
    #[serde(default)]
    search_path: Vec<String>,
    /// Other settings of the account, such as `statement_timeout: 5min`.
    #[serde(default)]
    settings: BTreeMap<String, String>,
}

/// Settings that were checked.
#[derive(Debug)]
pub(crate) struct AccountTerms {
    pub(crate) in_roles: Vec<String>,
    pub(crate) objects_to: String,
    pub(crate) connection_limit: u32,
    pub(crate) search_path: Vec<String>,
    pub(crate) settings: BTreeMap<String, String>,
    /// Where the connection's user logs in to make accounts.
    pub(crate) database: String,
}

impl AccountSettings {
    /// Checks them. `user` is the connection's own.
    pub(crate) fn check(self, user: &str, database: Option<&str>) -> Result<AccountTerms, SettingsError> {
        let name = |field: &str, value: &str| match value {
            "" => Err(wrong(format!("accounts.{field}: must not be empty"))),
            v if v.len() > LONGEST_NAME => {
                Err(wrong(format!("accounts.{field}: longer than {LONGEST_NAME} bytes")))
            }
            v if v.contains('\0') => Err(wrong(format!("accounts.{field}: must not contain a NUL"))),
            _ => Ok(()),
        };
        let Some(first) = self.in_roles.first() else {
            return Err(wrong("accounts.in_roles: must name at least one role"));
        };
        for role in &self.in_roles {
            name("in_roles", role)?;
            if role == user {
                return Err(wrong("accounts.in_roles: must not name the connection's own user"));
            }
        }
        let objects_to = self.objects_to.as_ref().unwrap_or(first).clone();
        if !self.in_roles.contains(&objects_to) {
            return Err(wrong("accounts.objects_to: must be one of in_roles"));
        }
        let connection_limit = self.connection_limit.unwrap_or(CONNECTIONS);
        if !(1..=10_000).contains(&connection_limit) {
            return Err(wrong("accounts.connection_limit: must be 1 to 10000"));
        }
        self.search_path.iter().try_for_each(|schema| name("search_path", schema))?;
        self.settings.iter().try_for_each(|(name, value)| check_setting(name, value))?;
        Ok(AccountTerms {
            objects_to,
            in_roles: self.in_roles,
            connection_limit,
            search_path: self.search_path,
            settings: self.settings,
            database: database.unwrap_or("postgres").to_owned(),
        })
    }
}

fn check_setting(name: &str, value: &str) -> Result<(), SettingsError> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if name.len() > LONGEST_NAME || !name.split('.').all(part) {
        return Err(wrong(format!("accounts.settings: {name:?} is not the name of a setting")));
    }
    if FORBIDDEN.contains(&name) || name == "search_path" {
        return Err(wrong(format!("accounts.settings: {name} cannot be set here")));
    }
    if value.contains('\0') || value.len() > 1024 {
        return Err(wrong(format!("accounts.settings: the value of {name} cannot be")));
    }
    Ok(())
}

/// Accounts at one server.
#[derive(Debug, Clone)]
pub(crate) struct PostgresAccounts(pub(crate) Arc<AccountTerms>);

impl Accounts for PostgresAccounts {
    fn name(&self, person: &UserName, session: SessionId) -> Result<Account, Fault> {
        let mark = format!("hoop: session {session} of {person}, {}", hex(&random::<16>()?));
        Ok(Account { name: account_name(person, session), mark, number: None })
    }

    fn make(&self, account: &Account, until: Timestamp) -> Result<(Box<dyn Errand>, Credential), Fault> {
        let password = Redacted::new(hex(&random::<PASSWORD>()?));
        let verifier = crate::login::scram_verifier(&password, &random::<16>()?);
        let statements = sql::make(account, &self.0, until, &verifier);
        let credential = Credential { user: account.name.clone(), password: Some(password) };
        Ok((Box::new(work::Make::new(Arc::clone(&self.0), statements)), credential))
    }

    fn remove(&self, account: &Account) -> Box<dyn Errand> {
        Box::new(work::Remove::new(Arc::clone(&self.0), account.clone()))
    }

    fn describe(&self) -> String {
        format!("member of {}", self.0.in_roles.join(", "))
    }
}

/// `hoop_ada_k3f6…`: readable in the server's own views, and never longer than a name may be.
fn account_name(person: &UserName, session: SessionId) -> String {
    let person: String = person
        .as_str()
        .chars()
        .take(LONGEST_PERSON)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let session = session.to_string();
    let part = session.get(session.len().saturating_sub(SESSION_PART)..).unwrap_or(&session);
    format!("hoop_{person}_{part}")
}

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)
        .map_err(|_| Fault::new("HOOP-9004", Blame::System, "the agent has no random numbers"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn check(settings: Value) -> Result<AccountTerms, String> {
        let settings: AccountSettings = serde_json::from_value(settings).map_err(|e| e.to_string())?;
        settings.check("app", None).map_err(|e| e.to_string())
    }

    #[test]
    fn the_least_names_a_role() {
        let terms = check(json!({"in_roles": ["clinic_read", "clinic_write"]})).unwrap();
        assert_eq!((terms.objects_to.as_str(), terms.connection_limit), ("clinic_read", 100));
        assert_eq!(terms.database, "postgres");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "x".repeat(64);
        let cases = [
            (json!({}), "in_roles"),
            (json!({"in_roles": []}), "in_roles"),
            (json!({"in_roles": [""]}), "in_roles"),
            (json!({"in_roles": ["a\0b"]}), "in_roles"),
            (json!({"in_roles": [long]}), "in_roles"),
            (json!({"in_roles": ["a", "app"]}), "own user"),
            (json!({"in_roles": ["a"], "objects_to": "postgres"}), "objects_to"),
            (json!({"in_roles": ["a"], "connection_limit": 0}), "connection_limit"),
            (json!({"in_roles": ["a"], "connection_limit": -1}), "u32"),
            (json!({"in_roles": ["a"], "search_path": [""]}), "search_path"),
            (json!({"in_roles": ["a"], "settings": {"role": "postgres"}}), "role"),
            (json!({"in_roles": ["a"], "settings": {"session_authorization": "x"}}), "session_authorization"),
            (json!({"in_roles": ["a"], "settings": {"search_path": "x"}}), "search_path"),
            (json!({"in_roles": ["a"], "settings": {"x = 1; drop": "x"}}), "drop"),
            (json!({"in_roles": ["a"], "settings": {"Role": "postgres"}}), "Role"),
            (json!({"in_roles": ["a"], "settings": {"a..b": "x"}}), "a..b"),
            (json!({"in_roles": ["a"], "settings": {"a": "\0"}}), "value"),
            (json!({"in_roles": ["a"], "template": "CREATE ROLE x"}), "template"),
        ];
        for (settings, named) in cases {
            let error = check(settings.clone()).err().unwrap_or_default();
            assert!(error.contains(named), "{settings}: {error:?}");
        }
    }

    #[test]
    fn two_accounts_of_one_session_differ_in_their_mark() {
        let accounts = PostgresAccounts(Arc::new(check(json!({"in_roles": ["a"]})).unwrap()));
        let (ada, session) = (UserName::new("Ada.L+x@example.org").unwrap(), SessionId::generate());
        let (one, two) = (accounts.name(&ada, session).unwrap(), accounts.name(&ada, session).unwrap());
        assert_eq!(one.name, two.name);
        assert_ne!(one.mark, two.mark);
        assert!(one.name.starts_with("hoop_ada_l_x_example_org_"), "{}", one.name);
        assert!(session.to_string().ends_with(&one.name["hoop_ada_l_x_example_org_".len()..]));
    }

    proptest! {
        #[test]
        fn a_name_fits_and_needs_no_quotes(person in "[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}") {
            let name = account_name(&UserName::new(person).unwrap(), SessionId::generate());
            prop_assert!(name.len() <= LONGEST_NAME);
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        }
    }
}

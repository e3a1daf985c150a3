//! The statements of an account's life. Names and values come in through [`identifier`] and [`literal`] alone.

use hoop_engine::Account;
use hoop_model::{Redacted, Timestamp};

use super::AccountTerms;

/// First on every connection. With another `search_path`, what people have put into schemas of theirs could be taken
/// for the server's own functions, and run with the rights of the connection's user.
pub(super) const PREPARE: &str = "SET search_path = pg_catalog; SET lock_timeout = '5s'; \
    SET statement_timeout = '20s'; SET default_transaction_read_only = off";

/// A name in quotes.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in quotes. The form with escapes means the same whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn list(items: &[String], quote: fn(&str) -> String) -> String {
    items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", ")
}

/// One row: may the connection's user make roles at all? Then one row a role: its name, whether the user has its
/// rights, whether it is a superuser.
pub(super) fn check(terms: &AccountTerms) -> String {
    format!(
        "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user; \
         SELECT rolname, pg_has_role(current_user, oid, 'USAGE'), rolsuper FROM pg_roles WHERE rolname IN ({})",
        list(&terms.in_roles, literal)
    )
}

/// Makes the account. The statements of one message are one transaction: there is never a role without its mark.
pub(super) fn make(
    account: &Account,
    terms: &AccountTerms,
    until: Timestamp,
    verifier: &Redacted<String>,
) -> Redacted<String> {
    let role = identifier(&account.name);
    let mut all = vec![
        format!(
            "CREATE ROLE {role} WITH LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS \
             CONNECTION LIMIT {} PASSWORD {} VALID UNTIL {} IN ROLE {}",
            terms.connection_limit,
            literal(verifier.expose()),
            literal(&until.to_string()),
            list(&terms.in_roles, identifier),
        ),
        format!("COMMENT ON ROLE {role} IS {}", literal(&account.mark)),
    ];
    if !terms.search_path.is_empty() {
        all.push(format!("ALTER ROLE {role} SET search_path = {}", list(&terms.search_path, literal)));
    }
    let settings = terms.settings.iter();
    all.extend(settings.map(|(name, value)| format!("ALTER ROLE {role} SET {name} = {}", literal(value))));
    all.push(format!("SELECT oid FROM pg_roles WHERE rolname = {}", literal(&account.name)));
    Redacted::new(all.join("; "))
}

/// A row for each role that could be the account: number, name, mark; then the server's version, and whether the
/// connection's user is a superuser.
pub(super) fn find(account: &Account) -> String {
    let number = account.number.map_or_else(String::new, |number| format!(" OR r.oid = {number}"));
    format!(
        "SELECT r.oid, r.rolname, coalesce(shobj_description(r.oid, 'pg_authid'), ''), \
         current_setting('server_version_num'), me.rolsuper \
         FROM pg_roles r, pg_roles me WHERE me.rolname = current_user AND (r.rolname = {}{number})",
        literal(&account.name)
    )
}

/// Nobody logs in as it from here on, whatever becomes of the rest.
pub(super) fn shut(role: &str) -> String {
    format!("ALTER ROLE {} WITH NOLOGIN PASSWORD NULL CONNECTION LIMIT 0", identifier(role))
}

/// Who is no superuser must be a member of the account to end its backends and to give away what it has.
pub(super) fn join(role: &str, version: u32) -> String {
    let inherit = if version >= 160_000 { " WITH INHERIT TRUE" } else { "" };
    format!("GRANT {} TO CURRENT_USER{inherit}", identifier(role))
}

/// One row: how many backends were told to end.
pub(super) fn terminate(number: u64) -> String {
    format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usesysid = {number}")
}

/// A row for each database in which the account has or owns something: its name, how much it owns there. Without a
/// name: what belongs to no database.
pub(super) fn databases(number: u64) -> String {
    format!(
        "SELECT d.datname, count(*) FILTER (WHERE s.deptype = 'o') FROM pg_shdepend s \
         LEFT JOIN pg_database d ON d.oid = s.dbid \
         WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {number} GROUP BY d.datname"
    )
}

/// In one database: what it owns goes to another owner, what it was granted is taken back.
pub(super) fn empty(role: &str, owner: &str) -> String {
    let role = identifier(role);
    format!("REASSIGN OWNED BY {role} TO {}; DROP OWNED BY {role}", identifier(owner))
}

/// The end.
pub(super) fn drop(role: &str) -> String {
    format!("DROP ROLE {}", identifier(role))
}

//! The completeness proof: a corpus of statements, by every wire form and driver we have, against a PostgreSQL that logs
//! everything. Its own log and our recording are equal, statement by statement, with bind values (THREATS C3, C4).
//!
//! What is compared, and what cannot be:
//! - Statements that ran, in the order of their connection, with text to the last byte, bind values, and whether they failed.
//! - Statements that the server could not read or bind: it logs text and error, and never values.
//! - The server logs each `Execute` of a portal that is fetched in parts; so do we.
//! - It logs nothing for an empty statement by the extended protocol, nor for what it skips behind an error. We record
//!   both, as answered with nothing and as not run.
//! - Of a function call it logs the function and no values. Of COPY it logs the statement and no data. We have both; here
//!   only what both have is compared.
//! - Values: the recording keeps them as they came, the log as their type writes them. A value sent as text is compared as it
//!   is, or as the same number, time, truth or document in another spelling; a binary one must be the binary form of what is logged.
//! - Statements inside functions and DO blocks are nobody's request: neither has them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod compare;
mod drivers;
mod ours;
mod rust;
mod theirs;
mod values;

const STATEMENTS: &str = include_str!("corpus/statements.sql");

/// The statements that every driver runs.
fn statements() -> Vec<&'static str> {
    STATEMENTS.trim_end_matches('\n').split("\n%%\n").collect()
}

#[test]
fn the_corpus_is_large() {
    let distinct: std::collections::BTreeSet<_> = statements().into_iter().collect();
    assert!(distinct.len() >= 180, "{}", distinct.len());
}

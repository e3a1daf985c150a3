//! PostgreSQL: the engine that stands between a person's client and the server, sans-IO.
//!
//! ```text
//!   client ─▶ startup ─▶ login (TLS, SCRAM, as the credential's user) ─▶ relay ◀─▶ target
//! ```
//! - `wire` cuts and writes messages and knows no meaning; `startup` reads a client's first packets; `login` gets in at
//!   the target; `relay` moves requests and answers, asks policy, and tells the recording; `engine` joins the phases.
//! - `account` makes a role for a session and removes it, as a client of this same engine.
//! - `masking` rewrites what the target answers, where the session's rules say so.
//! - Other bytes go on as they came. Only log-in, cancel keys and refusals are ours.
//! - It must not know sockets, clocks, files or other protocols.
//!
//! Protocol: <https://www.postgresql.org/docs/current/protocol.html>

mod account;
mod engine;
mod fault;
#[doc(hidden)]
pub mod fuzz;
mod login;
mod masking;
mod outbox;
mod relay;
mod settings;
mod startup;
mod wire;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod testing;

pub use settings::Postgres;

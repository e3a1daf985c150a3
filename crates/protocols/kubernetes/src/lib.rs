//! Kubernetes: an API server to the person's client, a client to the cluster, and between them policy and the recording.
//!
//! ```text
//!   kubectl ◀─ HTTP ─▶ engine ─▶ call ──ask──▶ Permit ──▶ upstream ◀─ HTTP, TLS ─▶ API server
//!                        │         └── the answer is recorded, then shown
//!                        ├─▶ exec     a program in a container, like one on a host
//!                        └─▶ forward  ports of a pod
//! ```
//! - `settings` is what an admin writes; `credential` is what the agent shows the cluster; `identity` says who the person is there.
//! - `request` reads what is asked for, and refuses what can be read in two ways.
//! - `call` answers one request; `fields` tells what it writes, whatever the encoding; `secrets` hides what Secrets hold.
//! - `exec` and `forward` carry streams: `streams` are their legs, each in its own transport, `spdy` is the codec of SPDY/3.1 without
//!   I/O, `files` reads the archives that `kubectl cp` moves.
//! - `upstream` connects to the cluster, as the person and with the agent's proof. It is the only way there, and takes a permit.
//! - hyper owns its event loop, so this engine is hosted (see [`hoop_engine::hosted`]): it links tokio, but opens no socket, reads no
//!   file and knows no other clock than its timers.
//!
//! What comes from the client is HTTP without TLS: it is inside the session's tunnel, which proved who it is.

mod answer;
mod call;
mod credential;
mod engine;
mod exec;
mod fault;
mod fields;
mod files;
mod forward;
#[doc(hidden)]
pub mod fuzz;
mod identity;
mod look;
mod request;
mod secrets;
mod settings;
pub mod spdy;
pub mod streams;
mod upstream;

pub use settings::Kubernetes;

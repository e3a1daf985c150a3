//! SSH: an SSH server to the person's client, an SSH client to the host, and between them policy and the recording.
//!
//! ```text
//!   client ◀─▶ server (russh) ─▶ channel ──ask──▶ Permit ──▶ upstream (russh) ◀─▶ host
//!                                   └── relay: what the host says is recorded, then shown
//! ```
//! - `settings` is what an admin writes; `trust` says which host key is right, and derives our own.
//! - `server` answers the client's library; `channel` prepares one channel and asks; `relay` moves its bytes.
//! - `forward` carries what is forwarded, both ways, to and from what `place` knows as registered.
//! - `sftp` reads what a transfer does to files, as its packets pass.
//! - `upstream` logs in at the host. A connection carries one channel at a time: russh stops reading a connection while one of
//!   its channels is full, and one that nobody reads must not hold up another.
//! - The library owns its event loop, so this engine is hosted (see [`hoop_engine::hosted`]): it links tokio, but opens no
//!   socket, reads no file and knows no other clock than its timers.
//!
//! Protocol: RFC 4251 to 4254, and OpenSSH's PROTOCOL for sockets and the agent.

mod channel;
mod engine;
mod fault;
mod forward;
mod place;
mod relay;
mod server;
mod settings;
mod sftp;
mod stream;
mod tally;
mod trust;
mod upstream;

pub use settings::Ssh;
pub use trust::host_key_line;

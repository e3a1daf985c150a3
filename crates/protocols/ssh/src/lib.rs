//! SSH: an SSH server to the person's client, an SSH client to the host, and between them policy and the recording.
//!
//! ```text
//!   client ◀─▶ server (russh) ─▶ channel ──ask──▶ Permit ──▶ upstream (russh) ◀─▶ host
//!                                   └── relay: what the host says is recorded, then shown
//! ```
//! - `settings` is what an admin writes; `trust` says which host key is right, and derives our own.
//! - `server` answers the client's library; `channel` prepares one channel and asks; `relay` moves its bytes.
//! - `forward` carries what is forwarded, both ways, to and from what `place` knows as registered.
//! - `sftp` and `scp` read what a transfer does to files, as it passes.
//! - `refusals` tells the recording which channels a side wanted in vain.
//! - `backlog` bounds what a client has sent and no program has taken.
//! - What hosts print is masked, where the rule says so, and files are summed up, by what hosted engines share.
//! - `login` proves to the host that hoop may come in.
//! - `upstream` connects to the host. A connection carries one channel at a time: russh stops reading a connection while one of
//!   its channels is full, and one that nobody reads must not hold up another.
//! - `machine` is what stands in a host's place for connections of the protocol `exec`: programs on the agent's own machine, which
//!   the engine's host starts. `exec` is what an admin writes of those.
//! - The library owns its event loop, so this engine is hosted (see [`hoop_engine::hosted`]): it links tokio, but opens no
//!   socket, reads no file and knows no other clock than its timers.
//!
//! Protocol: RFC 4251 to 4254, and OpenSSH's PROTOCOL for sockets and the agent.

mod backlog;
mod channel;
mod engine;
mod exec;
mod fault;
mod forward;
#[doc(hidden)]
pub mod fuzz;
mod login;
mod machine;
mod place;
mod refusals;
mod relay;
mod scp;
mod server;
mod settings;
mod sftp;
mod trust;
mod upstream;

use hoop_hosted::{content, course, files, mask, stream, tally};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use exec::Exec;
pub use settings::Ssh;
pub use trust::host_key_line;

/// What another task left behind when it panicked is as good as before: each change of ours is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

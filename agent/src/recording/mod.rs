//! The agent's side of evidence: the tape of each session, the spool it is written to, and its way to the gateway.
//!
//! ```text
//!  drive ─▶ SessionTape ─ encrypts, appends ─▶ spool/<session>.hoopr ─▶ upload ─▶ gateway
//!                ▲                                                        │ acknowledged when durable there
//!                └───────────── stalls while too far behind ◀─────────────┘
//! ```
//! What is committed survives this process at once (it is in the kernel's hands), and this machine once the gateway
//! has acknowledged it, or, while the gateway is away, once the keeper has synced the file.

mod handle;
mod keeper;
mod restore;
mod tape;
#[cfg(feature = "bench-unrecorded")]
pub(crate) mod unrecorded;
mod upload;

pub(crate) use handle::TapeHandle;
pub(crate) use keeper::Spool;
pub(crate) use tape::{SessionTape, TapeLimits};
pub(crate) use upload::upload;

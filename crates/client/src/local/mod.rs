//! The local end of a connector: a loopback port and a Unix socket that no other user of this machine can use.

mod listener;
mod peer;
mod tls;

pub use listener::{Accepted, LocalListener, LocalSocket, LocalStream, Locals, OtherUsers};
pub use tls::{Authority, ClientCertificate, LocalTls};

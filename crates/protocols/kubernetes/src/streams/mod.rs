//! The legs of `exec`, `attach` and `portforward`: HTTP/1.1 requests that become streams.
//!
//! ```text
//!   client ◀─ SPDY, or channels in WebSocket messages ─▶ client's leg
//!                                                             │  ToPod ▼   ▲ FromPod          (exec, attach)
//!                                                             │  a Forward each, both ways    (portforward)
//!   cluster ◀─ SPDY, or WebSocket ────────────────────▶ cluster's leg
//! ```
//! Each leg speaks what was agreed on with its peer, whatever the other one speaks; between them stands one neutral form, which can be
//! recorded, masked and refused.
//!
//! - `negotiate` says from the headers of a request what a client wants, and asks a cluster.
//! - `exec` and `forward` are the neutral forms, and what a peer must open for each.
//! - `spdy` carries the streams of a SPDY connection, `channels` those of WebSocket messages, `tunnel` is SPDY in such messages.
//! - `pipe` is one stream, whatever carries it: a queue of few pieces each way.
//!
//! Nothing is held without bound: a full queue stops the reading of its connection. SPDY as Kubernetes uses it has no flow control, and
//! neither do channels: **one stream that nobody reads stalls all of its connection**, answers to pings among them. Of exec there is
//! one on a connection. Forwards share one, as clients do it; whoever must not let one stall the others opens a connection to the
//! cluster for each.
//!
//! A leg comes with its [`Driver`], which moves the bytes: whoever makes a leg owns and polls it.

mod channels;
mod driver;
mod error;
mod exec;
mod forward;
mod negotiate;
mod pipe;
mod resize;
mod spdy;
mod status;
#[cfg(test)]
mod tests;
mod tunnel;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use driver::Driver;
pub use error::StreamError;
pub use exec::{
    Asked, ClientExec, ClusterExec, FromClient, FromCluster, FromPod, ToClient, ToCluster, ToPod,
    client_exec, cluster_exec,
};
pub use forward::{
    ClientForwards, ClusterForwards, Forward, FromForward, ToForward, client_forwards, cluster_forwards,
};
pub use negotiate::{Agreed, BadAnswer, BadUpgrade, Offer, Over, Upgrade, Wanted};

/// A connection once it was upgraded.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Forwards at a time on one connection.
pub const MOST_FORWARDS: usize = 64;
/// For so long a peer may take to open or accept the streams that belong together: what kubelets grant too.
const PATIENCE: Duration = Duration::from_secs(30);
/// For so long a peer may take to close, once all is said.
const LINGER: Duration = Duration::from_secs(10);
/// For so long a client may take to read what was said before nobody was left: people read output in pagers.
const UNREAD: Duration = Duration::from_secs(600);
/// So often a cluster hears from us: what stands between may give up on a connection that says nothing.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Read at once.
const PIECE: usize = 16 << 10;
/// Written at once, if so much waits.
const BATCH: usize = 64 << 10;

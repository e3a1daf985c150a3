//! Kubernetes: what stands between a client and a cluster's API server.
//!
//! - `spdy` is the codec of SPDY/3.1, without I/O.
//! - `streams` are the legs of `exec`, `attach` and `portforward`: the client's and the cluster's, each in its own transport, and
//!   one neutral form between them.

#[doc(hidden)]
pub mod fuzz;
pub mod spdy;
pub mod streams;

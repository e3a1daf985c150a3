//! The client's side of hoop: the profile, the API as typed calls, sign-in, and the connector of a session.
//!
//! The `hoop` command is a thin shell over this. It knows no terminal: what to print and ask is the command's matter.

pub mod address;
mod calls;
pub mod connector;
pub mod detector;
pub mod error;
pub mod events;
pub mod http;
pub mod kube;
pub mod local;
pub mod login;
pub mod profile;
pub mod ssh;
pub mod step_up;
pub mod tls;

pub use address::GatewayUrl;
pub use calls::{ExportFormat, Query};
pub use detector::Detector;
pub use error::{Class, ClientError, Result};
pub use http::{Api, Body};
pub use profile::{Profile, ProfileStore};

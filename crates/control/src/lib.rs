//! The contract between gateway and agent: messages (generated from `proto/`), signed grants, sealed credentials.
//!
//! Transport is gRPC over mutual TLS under ALPN [`ALPN`] on the gateway's public port. The agent dials; the gateway
//! never does. Both sides import this crate; it opens no socket itself.

pub mod capability;
pub mod grant;
pub mod order;
pub mod seal;

/// ALPN protocol of the control connection.
pub const ALPN: &[u8] = b"hoop-control/1";

/// What an agent says that it knows, in its hello: messages that older ones do not.
pub mod features {
    /// [`super::v1::TestConnection`].
    pub const TEST_CONNECTION: &str = "test_connection";
    /// [`super::order::TestOrder::scan`].
    pub const SCAN_CONNECTION: &str = "scan_connection";
}

/// Generated messages and gRPC stubs.
#[expect(missing_docs, clippy::allow_attributes, reason = "generated code; the .proto file documents it")]
pub mod v1 {
    include!("generated/hoop.control.v1.rs");
}

use hoop_model::{Blame, Fault};

macro_rules! hide_secrets {
    ($($message:ident),*) => {$(
        impl std::fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}
hide_secrets!(EnrolRequest, Welcome, OpenSession);

impl From<&Fault> for v1::Fault {
    fn from(fault: &Fault) -> Self {
        Self {
            code: fault.code.to_string(),
            message: fault.message.clone(),
            hint: fault.hint.clone().unwrap_or_default(),
            blame: match fault.blame {
                Blame::Caller => "caller",
                Blame::Policy => "policy",
                Blame::Target => "target",
                Blame::Network => "network",
                Blame::System => "system",
            }
            .to_owned(),
        }
    }
}

impl v1::Fault {
    /// The fault as the rest of the system knows it. Unknown blame counts as our own.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let blame = match self.blame.as_str() {
            "caller" => Blame::Caller,
            "policy" => Blame::Policy,
            "target" => Blame::Target,
            "network" => Blame::Network,
            _ => Blame::System,
        };
        let code = serde_json::from_value(serde_json::Value::String(self.code.clone()))
            .unwrap_or(hoop_model::Code::new("HOOP-9001"));
        let hint = (!self.hint.is_empty()).then(|| self.hint.clone());
        Fault { code, blame, message: self.message.clone(), hint }
    }
}

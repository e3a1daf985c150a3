//! Terminals in the browser: `GET /terminals`, a WebSocket. Binary messages are what is typed and what is shown; text messages are
//! JSON, and these.

use hoop_model::{ConnectionName, DnsLabel, DnsName, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// The browser's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenTerminal {
    /// To which connection.
    #[schema(value_type = String)]
    pub connection: ConnectionName,
    /// In which pod, if it is a cluster.
    #[serde(default)]
    pub pod: Option<PodPlace>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// The CSRF token of the sign-in: only the console's own page knows it.
    pub csrf: String,
    /// Width in characters.
    pub columns: u32,
    /// Height in characters.
    pub rows: u32,
}

/// Where in a cluster `sh` is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PodPlace {
    /// The pod's namespace.
    #[schema(value_type = String)]
    pub namespace: DnsLabel,
    /// The pod.
    #[schema(value_type = String)]
    pub name: DnsName,
    /// Which of its containers; the only one, or the usual one, if none is named.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub container: Option<DnsLabel>,
}

/// What the browser says later, besides what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BrowserSays {
    /// Its terminal has another size.
    Resize {
        /// Width in characters.
        columns: u32,
        /// Height in characters.
        rows: u32,
    },
    /// So many bytes were drawn since the beginning: the gateway sends about 1 MiB ahead of it.
    Drawn {
        /// How many.
        bytes: u64,
    },
}

/// What the gateway says besides what is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TerminalSays {
    /// There is a shell.
    Opened {
        /// Its session.
        #[schema(value_type = String)]
        session: SessionId,
        /// Ends then, whatever happens.
        #[schema(value_type = String)]
        ends_at: Timestamp,
    },
    /// There is none, or there is none any more, and why. The last message.
    Failed {
        /// What went wrong.
        problem: Problem,
    },
    /// The shell ended. The last message.
    Ended {
        /// Its exit code, if it said one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<u32>,
    },
}

//! How an agent is told what to do: flags, each of which can be an environment variable.

use std::{path::PathBuf, time::Duration};

use hoop_model::{AgentName, NameError, Redacted};

/// What an agent runs with.
#[derive(Debug, Clone, clap::Args)]
pub struct AgentConfig {
    /// Where the gateway listens: HOST:PORT.
    #[arg(long, env = "HOOP_AGENT_GATEWAY", value_parser = parse_gateway)]
    pub gateway: GatewayAddress,

    /// Folder for the agent's keys, certificate and spool. Must belong to the agent alone.
    #[arg(long, env = "HOOP_AGENT_STATE_DIR", default_value = "/var/lib/hoop-agent")]
    pub state_dir: PathBuf,

    /// This agent's name, for which its join token was made. Needed once, to enrol.
    #[arg(long, env = "HOOP_AGENT_NAME", value_parser = parse_name)]
    pub name: Option<AgentName>,

    /// File with a one-use join token (`hoop admin join-token NAME`). Needed once, to enrol.
    #[arg(long, env = "HOOP_AGENT_JOIN_TOKEN_FILE")]
    pub join_token_file: Option<PathBuf>,

    /// The join token itself, from the environment only: a flag would show in the process list.
    #[arg(skip)]
    pub join_token: Option<Redacted<String>>,

    /// Dial only these targets, HOST:PORT each. Without it: whatever connections the gateway registers for this agent.
    #[arg(long = "allow-target", env = "HOOP_AGENT_ALLOW_TARGETS", value_delimiter = ',')]
    pub allow_targets: Vec<String>,

    /// Environment variables and files that credentials may come from must start with one of these, such as
    /// `env:HOOP_` or `file:/etc/hoop/`. Without it: any that the agent's own user can read.
    #[arg(long = "allow-secret", env = "HOOP_AGENT_ALLOW_SECRETS", value_delimiter = ',')]
    pub allow_secrets: Vec<String>,

    /// Let connections of the protocol `exec` run programs on this machine as this account (may be repeated). Without it: none.
    /// Better none that can read the agent's own folder, or become somebody who can.
    #[arg(long, env = "HOOP_AGENT_ALLOW_EXEC", value_delimiter = ',', value_name = "ACCOUNT")]
    pub allow_exec: Vec<String>,

    /// Let --allow-exec name root and the agent's own account. Whoever may open such a connection can read every secret that
    /// this agent has, and change what it records.
    #[arg(long, env = "HOOP_AGENT_EXEC_MAY_READ_SECRETS")]
    pub exec_may_read_secrets: bool,

    /// This process is `hoop-agent`, which can be run again to keep a program. Its `main` says so.
    #[arg(skip)]
    pub is_own_binary: bool,

    /// Worker threads. One is the cheapest; more help where many sessions move much data.
    #[arg(long, env = "HOOP_AGENT_WORKER_THREADS", default_value_t = 1)]
    pub worker_threads: usize,

    /// How everything travels: `tcp`, or `websocket` where something in front of the gateway terminates TLS.
    #[arg(long, env = "HOOP_AGENT_TRANSPORT", value_enum, default_value_t = TransportChoice::Tcp)]
    pub transport: TransportChoice,

    /// How far the gateway may be behind with a recording before its session stalls, in bytes.
    #[arg(long, env = "HOOP_AGENT_SPOOL_BEHIND_BYTES", default_value_t = 8 << 20)]
    pub spool_behind_bytes: u64,

    /// The same in seconds.
    #[arg(long, env = "HOOP_AGENT_SPOOL_BEHIND_SECONDS", default_value_t = 10)]
    pub spool_behind_seconds: u64,

    /// A session that stalled for so many seconds ends.
    #[arg(long, env = "HOOP_AGENT_STALL_LIMIT_SECONDS", default_value_t = 120)]
    pub stall_limit_seconds: u64,

    /// `hoop-agent break-glass` opens a way in once the gateway has been away for so many seconds.
    #[arg(long, env = "HOOP_AGENT_BREAK_GLASS_AFTER_SECONDS", default_value_t = 60)]
    pub break_glass_after_seconds: u64,

    /// A stream whose network path is gone waits so many seconds for its client to come back.
    #[arg(long, env = "HOOP_AGENT_RESUME_SECONDS", default_value_t = 300)]
    pub resume_seconds: u64,
}

/// How data travels to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TransportChoice {
    /// TCP to its public port.
    Tcp,
    /// A WebSocket over ordinary HTTPS.
    Websocket,
}

/// Host and port of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAddress {
    /// Name or address; also the name that its certificate must have.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl AgentConfig {
    /// Waiting for a client that lost its network path.
    #[must_use]
    pub const fn resume_for(&self) -> Duration {
        Duration::from_secs(self.resume_seconds)
    }
}

fn parse_name(text: &str) -> Result<AgentName, NameError> {
    AgentName::new(text)
}

fn parse_gateway(text: &str) -> Result<GatewayAddress, String> {
    let example = "expected HOST:PORT, for example gateway.example.com:8443";
    let (host, port) = text.rsplit_once(':').ok_or(example)?;
    let port = port.parse().map_err(|_| format!("{port:?} is no port: {example}"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(example.to_owned());
    }
    Ok(GatewayAddress { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_a_host_and_a_port() {
        assert_eq!(parse_gateway("gw:8443"), Ok(GatewayAddress { host: "gw".into(), port: 8443 }));
        assert_eq!(parse_gateway("[::1]:1"), Ok(GatewayAddress { host: "::1".into(), port: 1 }));
        for wrong in ["gw", ":1", "gw:", "gw:70000", "https://gw"] {
            assert!(parse_gateway(wrong).is_err(), "{wrong}");
        }
    }
}

//! `hoop-agent`: reads its configuration, runs, drains.

use clap::{Parser, Subcommand};
use hoop_agent::{config::AgentConfig, emergency::ask::BreakGlass};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves connections inside a private network through a hoop gateway. Dials out; opens no port.
///
/// First run:  hoop-agent run --gateway gateway.example.com:8443 --name db-west --join-token-file token
/// Later runs: hoop-agent run --gateway gateway.example.com:8443
#[derive(Debug, Parser)]
#[command(name = "hoop-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How to log: pretty or json.
    #[arg(long, global = true, env = "HOOP_AGENT_LOG_FORMAT", default_value = "pretty")]
    log_format: hoop_telemetry::LogFormat,
    /// What to log, such as `info` or `hoop_agent=debug`.
    #[arg(long, global = true, env = "HOOP_AGENT_LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol if need be, then serve until stopped.
    Run(AgentConfig),
    /// A way in on this host while the gateway is down.
    #[command(subcommand)]
    BreakGlass(BreakGlass),
    /// What the agent runs itself as, to keep a program of the protocol `exec`. Of no use to people.
    #[command(hide = true)]
    ProgramKeeper,
    /// The same, to become that program.
    #[command(hide = true)]
    ProgramStarter,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::ProgramKeeper => return Ok(hoop_agent::machine::keep()?),
        Command::ProgramStarter => return Ok(hoop_agent::machine::start()?),
        Command::Run(_) | Command::BreakGlass(_) => {}
    }
    hoop_telemetry::forbid_core_dumps()?;
    hoop_telemetry::start_logs(arguments.log_format, &arguments.log)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another cryptographic provider is installed"))?;
    let mut config = match arguments.command {
        Command::Run(config) => config,
        Command::BreakGlass(BreakGlass::Open(args)) => return hoop_agent::emergency::ask::open(&args),
        Command::BreakGlass(BreakGlass::Pipe(args)) => return hoop_agent::emergency::ask::pipe(&args),
        Command::ProgramKeeper | Command::ProgramStarter => return Ok(()),
    };
    config.is_own_binary = true;
    config.join_token = std::env::var("HOOP_AGENT_JOIN_TOKEN").ok().map(Into::into);
    let runtime = match config.worker_threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        count => tokio::runtime::Builder::new_multi_thread().worker_threads(count).enable_all().build()?,
    };
    runtime.block_on(run(config))
}

async fn run(config: AgentConfig) -> anyhow::Result<()> {
    let running = hoop_agent::start(config).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    running.shutdown().await;
    Ok(())
}

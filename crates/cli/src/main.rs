//! The `hoop` command: reads arguments, asks the client library, prints. Everything worth testing lives below.

mod args;
mod child;
mod commands;
mod failure;
mod output;
mod paste;
mod prompt;
mod replay;
mod screen;
mod stdio;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Cli, failure::Failure, output::Out};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Tokens and keys stay off the disk. (Not to be dumped at all would take `/dev/stdin` away as well.) What it starts inherits
    // the limit, and may lift it.
    let least = rustix::process::getrlimit(rustix::process::Resource::Core);
    let none = rustix::process::Rlimit { current: Some(0), ..least };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    start_log();
    let out = Out::new(cli.format());
    // One thread: the connector's work is copying, and a second thread costs more than it brings.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(commands::run(cli, &out));
            // A read of the terminal that nobody will answer must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::from(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(&out),
    }
}

/// `HOOP_LOG=debug` shows on stderr what the libraries do.
fn start_log() {
    if let Ok(filter) = std::env::var("HOOP_LOG") {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(std::io::stderr)
            .try_init();
    }
}

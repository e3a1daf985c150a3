//! Everything a developer runs, as `cargo xtask …`: checks, tests, the demo, benches, fuzzing.
//!
//! It knows the product only from outside: it starts the built binaries and reads what they print. No crate of the
//! product is a dependency, so that it builds in seconds on a machine that has nothing yet.
#![expect(clippy::print_stdout, reason = "results of a command go to stdout")]
#![expect(clippy::print_stderr, reason = "progress goes to stderr, so that --json output stays clean")]

mod arch;
mod bench;
#[cfg(feature = "codegen")]
mod codegen;
mod console;
mod demo;
mod faults;
mod fuzz;
mod kubernetes;
mod packages;
mod process;
mod shell;
mod test;
mod totp;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "What a developer of hoop runs", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Arch(arch::Options),
    Test(test::Options),
    Demo(demo::Options),
    Bench(bench::Options),
    Faults(faults::Options),
    Fuzz(fuzz::Options),
    Console(console::Options),
    #[cfg(feature = "codegen")]
    /// Make Rust from crates/control/proto/*.proto; the result is committed.
    Codegen,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Arch(options) => arch::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Console(options) => console::run(&options),
        #[cfg(feature = "codegen")]
        Command::Codegen => codegen::run(),
    }
}

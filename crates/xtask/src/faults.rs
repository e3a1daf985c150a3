//! `cargo xtask faults`: breaks what can break at random moments, in rounds, and holds the evidence against what was seen.

use anyhow::Result;

use crate::{
    packages,
    shell::{self, say},
};

/// Break agent, gateway, store, command lines, network, disk and clocks at random, and check the evidence after each round.
///
/// Runs tests/tests/faults on a whole hoop of its own, which it takes down again. `cargo xtask test` runs five rounds of it,
/// each fault once; this runs for longer. It prints its seed: the same seed makes the same choices, at about the same moments.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Make the choices of an earlier run again.
    #[arg(long)]
    seed: Option<u64>,
}

/// The subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    packages::ensure(&[&packages::POSTGRESQL, &packages::OPENSSL, &packages::FAKETIME])?;
    say("building every program");
    shell::run(shell::command("cargo")?.args(["build", "--workspace", "--bins"]))?;
    let mut test = shell::command("cargo")?;
    test.args(["test", "--quiet", "-p", "hoop-tests", "--test", "faults", "--", "--nocapture"]);
    test.env("HOOP_FAULTS_MINUTES", options.minutes.to_string());
    test.envs(options.seed.map(|seed| ("HOOP_FAULTS_SEED", seed.to_string())));
    shell::run(&mut test)
}

//! `cargo xtask fuzz`: runs one fuzz target for a while.

use anyhow::{Context, Result, bail};

use crate::{
    packages,
    shell::{self, say},
};

/// Fuzz one target for a while; without a name, list the targets.
///
/// Installs cargo-fuzz if it is missing and runs on the stable toolchain. What it finds is kept in fuzz/artifacts/TARGET
/// (a failing input is printed, with the command that shows it again); inputs worth keeping grow in fuzz/corpus/TARGET.
/// Keep a failing input there as `finding-…`: `cargo xtask test` replays it and all seeds, without a fuzzer.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which target; see fuzz/Cargo.toml.
    target: Option<String>,
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Largest input in bytes.
    #[arg(long, default_value_t = 65_536)]
    max_len: u64,
}

/// The subcommand.
pub(crate) fn run(options: &Options) -> Result<()> {
    let manifest =
        std::fs::read_to_string(shell::root()?.join("fuzz/Cargo.toml")).context("fuzz/Cargo.toml")?;
    let targets = targets(&manifest);
    let Some(target) = &options.target else {
        println!("{}", targets.join("\n"));
        return Ok(());
    };
    if !targets.contains(&target.as_str()) {
        bail!("there is no fuzz target {target}; there are: {}", targets.join(", "));
    }
    packages::ensure_cargo_tool("cargo-fuzz", &[], "builds with the sanitizer and drives libFuzzer")?;
    say(format!("fuzzing {target} for {} s", options.seconds));
    let mut fuzz = shell::command("cargo")?;
    // The sanitizer flags are unstable ones; with this, the stable compiler takes them.
    fuzz.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", target]);
    if needs_the_gateway(&manifest, target) {
        fuzz.args(["--features", "gateway"]);
    }
    fuzz.arg("--");
    fuzz.args([
        format!("-max_total_time={}", options.seconds),
        format!("-max_len={}", options.max_len),
        "-rss_limit_mb=2048".into(),
        "-timeout=10".into(),
        "-print_final_stats=1".into(),
    ]);
    shell::run(&mut fuzz)
}

/// Names of the `[[bin]]`s.
fn targets(manifest: &str) -> Vec<&str> {
    let bins = manifest.split("[[bin]]").skip(1);
    bins.filter_map(|bin| {
        bin.lines().find_map(|line| line.trim().strip_prefix("name = \"")?.strip_suffix('"'))
    })
    .collect()
}

/// Whether it is one of those that only the `gateway` feature builds.
fn needs_the_gateway(manifest: &str, target: &str) -> bool {
    let name = format!("name = \"{target}\"");
    manifest.split("[[bin]]").any(|bin| {
        let says = |line: &str| bin.lines().any(|known| known.trim() == line);
        says(&name) && says("required-features = [\"gateway\"]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_from_the_manifest() {
        let manifest =
            "[package]\nname = \"fuzz\"\n[[bin]]\nname = \"a\"\npath = \"x\"\n[[bin]]\nname = \"b\"\n";
        assert_eq!(targets(manifest), ["a", "b"]);
        let more = "[[bin]]\nname = \"c\"\nrequired-features = [\"gateway\"]\n";
        let manifest = format!("{manifest}{more}");
        assert!(needs_the_gateway(&manifest, "c") && !needs_the_gateway(&manifest, "b"));
        assert_eq!(targets("[package]\nname = \"fuzz\"\n"), [] as [&str; 0]);
    }
}

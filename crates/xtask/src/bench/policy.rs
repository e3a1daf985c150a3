//! `cargo xtask bench policy`: how long policy takes to decide, with as many rules and people as issue 3 asks for.
//!
//! The measuring is an example of the policy crate, so that nothing of the product becomes a dependency here.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{rows::Rows, write_json};
use crate::shell;

/// Access rules: 10,000 rules, 100,000 people in 20 groups each; load, and the latency of a decision.
///
/// Rows of --json: {"case", "path": "hoop", "value", "unit"}.
#[derive(clap::Args)]
pub(super) struct Policy {
    /// Write the rows to this file, as a JSON list.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Issue 3: p99 of a decision, in µs.
const GOAL: f64 = 1000.0;

pub(super) fn run(options: &Policy) -> Result<()> {
    let mut example = shell::command("cargo")?;
    example.args(["run", "--release", "--quiet", "-p", "hoop-policy", "--example", "decide"]);
    let (rows, met) = read(&shell::capture(&mut example)?)?;
    print!("{}", rows.lines());
    if let Some(file) = &options.json {
        write_json(file, &rows)?;
    }
    if !met {
        bail!("GOAL MISSED: a p99 is above {GOAL} us");
    }
    println!("goal reached  every p99 is at most {GOAL} us");
    Ok(())
}

/// Lines of `case value unit`, and whether the goal is met.
fn read(printed: &str) -> Result<(Rows, bool)> {
    let (mut rows, mut judged, mut met) = (Rows::default(), 0, true);
    for line in printed.lines() {
        let [case, value, unit] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("not a figure: {line:?}");
        };
        let unit = match unit {
            "ms" => "ms",
            "us" => "us",
            "people" => "people",
            other => bail!("not a unit: {other:?}"),
        };
        let value: f64 = value.parse().with_context(|| format!("not a number: {line:?}"))?;
        if case.ends_with(".p99") {
            judged += 1;
            met &= value <= GOAL;
        }
        rows.add(case.to_owned(), "hoop", value, unit);
    }
    if judged == 0 {
        bail!("nothing was measured");
    }
    Ok((rows, met))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p99_is_judged() {
        assert!(read("policy.decide.p99 999.9 us\npolicy.decide.p999 5000 us\n").unwrap().1);
        assert!(!read("policy.decide.p99 1000.1 us\n").unwrap().1);
    }

    #[test]
    fn what_is_no_measurement_is_an_error() {
        for printed in
            ["", "policy.decide.p50 1 us", "policy.decide.p99 x us", "policy.decide.p99 1", "a 1 furlong"]
        {
            assert!(read(printed).is_err(), "{printed:?}");
        }
    }
}

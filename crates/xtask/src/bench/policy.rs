//! `cargo xtask bench policy`: how long policy takes to decide, with as many rules and people as issue 3 asks for, and how
//! long it takes to hold a statement against statement rules.
//!
//! The measuring is in examples of the policy crate, so that nothing of the product becomes a dependency here.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{
    rows::{Rows, figures},
    write_json,
};
use crate::shell;

/// Access rules: 10,000 rules, 100,000 people in 20 groups each; load, and the latency of a decision. Statement rules: the
/// latency of reading and deciding a statement of 50 bytes to 2 KB, first seen and seen before.
///
/// Rows of --json: {"case", "path": "hoop", "value", "unit"}.
#[derive(clap::Args)]
pub(super) struct Policy {
    /// Write the rows to this file, as a JSON list.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The examples, and the p99 in µs that issues 3 and 5 ask for.
const PARTS: [(&str, f64); 2] = [("decide", 1000.0), ("statements", 100.0)];

pub(super) fn run(options: &Policy) -> Result<()> {
    let (mut rows, mut missed) = (Rows::default(), Vec::new());
    for (part, goal) in PARTS {
        let mut example = shell::command("cargo")?;
        example.args(["run", "--release", "--quiet", "-p", "hoop-policy", "--example", part]);
        if !read(&shell::capture(&mut example)?, goal, &mut rows)? {
            missed.push(format!("{part}: a p99 is above {goal} us"));
        }
    }
    print!("{}", rows.lines());
    if let Some(file) = &options.json {
        write_json(file, &rows)?;
    }
    if !missed.is_empty() {
        bail!("GOAL MISSED: {}", missed.join("; "));
    }
    println!(
        "goals reached  {}",
        PARTS.map(|(part, goal)| format!("{part}: every p99 is at most {goal} us")).join("; ")
    );
    Ok(())
}

/// Takes lines of `case value unit`: is the goal met?
fn read(printed: &str, goal: f64, rows: &mut Rows) -> Result<bool> {
    let (mut judged, mut met) = (0, true);
    for (case, value, unit) in figures(printed)? {
        if case.ends_with(".p99") {
            judged += 1;
            met &= value <= goal;
        }
        rows.add(case.to_owned(), "hoop", value, unit);
    }
    if judged == 0 {
        bail!("nothing was measured");
    }
    Ok(met)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p99_is_judged() {
        let met = |printed| read(printed, 1000.0, &mut Rows::default()).unwrap();
        assert!(met("policy.decide.p99 999.9 us\npolicy.decide.p999 5000 us\n"));
        assert!(!met("policy.decide.p99 1000.1 us\n"));
        assert!(!met("a.p99 1 us\nstatement.made.first.p99 2000 us\n"));
    }

    #[test]
    fn what_is_no_measurement_is_an_error() {
        for printed in
            ["", "policy.decide.p50 1 us", "policy.decide.p99 x us", "policy.decide.p99 1", "a 1 furlong"]
        {
            assert!(read(printed, 1000.0, &mut Rows::default()).is_err(), "{printed:?}");
        }
    }
}

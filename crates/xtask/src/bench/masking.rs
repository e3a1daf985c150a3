//! `cargo xtask bench masking`: how fast answers are masked on one core.
//!
//! The measuring is in an example of the protocol's crate, so that nothing of the product becomes a dependency here.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{
    rows::{Rows, figures},
    write_json,
};
use crate::shell;

/// Rows of 20 columns in text and binary, of which 0, 1 or 5 are masked by a rule that names them; and detectors on notes.
///
/// Rows of --json: {"case", "path": "hoop", "value", "unit"}. Goals, in MB/s a core: 500 where no column comes under a
/// rule, 150 with all detectors on notes.
#[derive(clap::Args)]
pub(super) struct Masking {
    /// Write the rows to this file, as a JSON list.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Cases, and the throughput in MB/s that issue 5 asks for.
const GOALS: [(&str, f64); 3] = [
    ("masking.text.0_of_20.throughput", 500.0),
    ("masking.binary.0_of_20.throughput", 500.0),
    ("masking.detectors.notes.throughput", 150.0),
];

pub(super) fn run(options: &Masking) -> Result<()> {
    let mut example = shell::command("cargo")?;
    example.args(["run", "--release", "--quiet", "-p", "hoop-postgres", "--example", "masking_speed"]);
    let printed = shell::capture(&mut example)?;
    let mut rows = Rows::default();
    let missed = read(&printed, &mut rows)?;
    print!("{}", rows.lines());
    if let Some(file) = &options.json {
        write_json(file, &rows)?;
    }
    if !missed.is_empty() {
        bail!("GOAL MISSED: {}", missed.join("; "));
    }
    println!(
        "goals reached  {}",
        GOALS.map(|(case, goal)| format!("{case}: at least {goal} MB/s")).join("; ")
    );
    Ok(())
}

/// Takes lines of `case value unit`: the goals that are missed.
fn read(printed: &str, rows: &mut Rows) -> Result<Vec<String>> {
    let (mut judged, mut missed) = (0, Vec::new());
    for (case, value, unit) in figures(printed)? {
        if let Some((_, goal)) = GOALS.iter().find(|(goal, _)| *goal == case) {
            judged += 1;
            if value < *goal {
                missed.push(format!("{case}: {value} MB/s, goal {goal}"));
            }
        }
        rows.add(case.to_owned(), "hoop", value, unit);
    }
    if judged < GOALS.len() {
        bail!("not everything was measured");
    }
    Ok(missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(values: [u32; 3]) -> String {
        GOALS.iter().zip(values).map(|((case, _), value)| format!("{case} {value} MB/s\n")).collect()
    }

    #[test]
    fn the_goals_are_judged() {
        assert!(read(&printed([500, 900, 150]), &mut Rows::default()).unwrap().is_empty());
        assert_eq!(read(&printed([499, 900, 149]), &mut Rows::default()).unwrap().len(), 2);
        assert!(read("masking.text.0_of_20.throughput 900 MB/s\n", &mut Rows::default()).is_err());
    }
}

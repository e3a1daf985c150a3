//! What was measured: rows for machines, a table with ratios and goals for people.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    case: String,
    path: &'static str,
    value: f64,
    unit: &'static str,
}

/// All figures, in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

/// Reads lines of `case value unit`, as the measuring examples print them.
pub(super) fn figures(printed: &str) -> Result<Vec<(&str, f64, &'static str)>> {
    const UNITS: [&str; 6] = ["ms", "us", "people", "bytes", "MB/s", "rows/s"];
    let figure = |line| {
        let [case, value, unit] = str::split_whitespace(line).collect::<Vec<_>>()[..] else {
            bail!("not a figure: {line:?}");
        };
        let known = UNITS.into_iter().find(|known| *known == unit);
        let unit = known.with_context(|| format!("not a unit: {unit:?}"))?;
        Ok((case, value.parse().with_context(|| format!("not a number: {line:?}"))?, unit))
    };
    printed.lines().map(figure).collect()
}

/// What is asked for: a case, what it is compared with, and the bound.
const GOALS: [(&str, Goal); 19] = [
    ("select.prepared.c16.rate", Goal::AtLeast(0.6, "pgbouncer")),
    ("select.prepared.c16.cpu.total", Goal::AtMost(6.5)),
    ("select.prepared.c1.latency_mean", Goal::AtMost(350.0)),
    ("copy_out.rate", Goal::AtLeast(0.7, "direct")),
    ("connect.simple.c1.rate", Goal::AtLeast(0.8, "direct")),
    ("connect.simple.c16.rate", Goal::AtLeast(0.8, "direct")),
    ("idle.gateway", Goal::AtMost(48.0)),
    ("idle.agent", Goal::AtMost(160.0)),
    ("idle_sessions.gateway", Goal::AtMost(48.0)),
    ("idle_sessions.agent", Goal::AtMost(160.0)),
    ("open.p50", Goal::AtMost(25.0)),
    ("ssh.out.rate", Goal::AtLeast(0.7, "direct")),
    ("ssh.in.rate", Goal::AtLeast(0.7, "direct")),
    ("ssh.true.p50", Goal::TimesAtMost(1.3, "direct")),
    ("ssh.echo.p99", Goal::MoreByAtMost(5.0, "direct")),
    ("ssh.idle.agent", Goal::AtMost(400.0)),
    ("kubernetes.get.p50", Goal::MoreByAtMost(5.0, "direct")),
    ("kubernetes.exec.p50", Goal::MoreByAtMost(15.0, "direct")),
    ("kubernetes.out.rate", Goal::AtLeast(0.7, "direct")),
];

enum Goal {
    /// So many times another path's figure, or more.
    AtLeast(f64, &'static str),
    /// So many times another path's figure, or less.
    TimesAtMost(f64, &'static str),
    /// So much more than another path's figure, or less.
    MoreByAtMost(f64, &'static str),
    /// So much or less.
    AtMost(f64),
}

impl Rows {
    /// Adds one.
    pub(super) fn add(&mut self, case: String, path: &'static str, value: f64, unit: &'static str) {
        self.0.push(Row { case, path, value, unit });
    }

    /// Takes them apart.
    pub(super) fn into_each(self, mut each: impl FnMut(String, &'static str, f64, &'static str)) {
        self.0.into_iter().for_each(|row| each(row.case, row.path, row.value, row.unit));
    }

    /// The list of `--json`.
    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(&self.0).unwrap_or_else(|error| format!("[] // {error}"))
    }

    fn value(&self, case: &str, path: &str) -> Option<f64> {
        self.0.iter().find(|row| row.case == case && row.path == path).map(|row| row.value)
    }

    /// A line a figure, where there is nothing to compare with.
    pub(super) fn lines(&self) -> String {
        let line = |row: &Row| format!("{:<34} {:>10} {}\n", row.case, number(Some(row.value)), row.unit);
        self.0.iter().map(line).collect()
    }

    /// A line a case, then the goals.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "{:<34} {:>10} {:>10} {:>10} {:>9} {:>12}  unit\n",
            "case", "direct", "pgbouncer", "hoop", "hoop/dir", "hoop/bouncer"
        );
        let mut seen: Vec<&str> = Vec::new();
        for row in &self.0 {
            if seen.contains(&row.case.as_str()) {
                continue;
            }
            seen.push(&row.case);
            let [direct, bouncer, hoop] =
                ["direct", "pgbouncer", "hoop"].map(|path| self.value(&row.case, path));
            let ratio = |other: Option<f64>| Some(hoop? / other.filter(|other| *other != 0.0)?);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<34} {:>10} {:>10} {:>10} {:>9} {:>12}  {}",
                row.case,
                number(direct),
                number(bouncer),
                number(hoop),
                number(ratio(direct)),
                number(ratio(bouncer)),
                row.unit
            );
        }
        text.push('\n');
        for (case, goal) in &GOALS {
            if let Some(line) = self.goal(case, goal) {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    fn goal(&self, case: &str, goal: &Goal) -> Option<String> {
        let hoop = self.value(case, "hoop")?;
        let (reached, wanted, good) = match goal {
            Goal::AtLeast(times, path) => {
                let reached = hoop / self.value(case, path)?;
                (reached, format!("at least {times} of {path}"), reached >= *times)
            }
            Goal::TimesAtMost(times, path) => {
                let reached = hoop / self.value(case, path)?;
                (reached, format!("at most {times} of {path}"), reached <= *times)
            }
            Goal::MoreByAtMost(more, path) => {
                let reached = hoop - self.value(case, path)?;
                (reached, format!("at most {more} more than {path}"), reached <= *more)
            }
            Goal::AtMost(most) => (hoop, format!("at most {most}"), hoop <= *most),
        };
        let verdict = if good { "goal reached" } else { "GOAL MISSED " };
        Some(format!("{verdict}  {case:<34} {:>10}  ({wanted})", number(Some(reached))))
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value >= 1000.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::default();
        for (path, value) in [("direct", 20_000.0), ("pgbouncer", 10_000.0), ("hoop", 7_000.0)] {
            rows.add("select.prepared.c16.rate".into(), path, value, "tx/s");
        }
        rows.add("open.p50".into(), "hoop", 30.0, "ms");
        rows
    }

    #[test]
    fn the_rows_have_the_promised_form() {
        let json: serde_json::Value = serde_json::from_str(&rows().json()).unwrap();
        let expected = serde_json::json!({"case": "open.p50", "path": "hoop", "value": 30.0, "unit": "ms"});
        assert_eq!(json.as_array().unwrap().last().unwrap(), &expected);
    }

    #[test]
    fn the_table_shows_ratios_and_goals() {
        let table = rows().table();
        assert!(table.contains("0.35") && table.contains("0.70"), "{table}");
        assert!(table.contains("goal reached  select.prepared.c16.rate"), "{table}");
        assert!(table.contains("GOAL MISSED   open.p50"), "{table}");
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(!rows().table().contains("copy_out"));
        assert_eq!(Rows::default().table().lines().count(), 2);
    }
}

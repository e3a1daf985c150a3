//! What was found, by statement and place: kinds and counts, never a value.

use std::{collections::BTreeMap, sync::Arc};

use hoop_masking::{Counts, Detectors, MaskingKey, Mode, Rule, mask_column};
use serde::Serialize;

use super::shown::{Place, Shown, Told};
use crate::{
    failure::Result,
    output::{Look, Out, Table, text},
};

/// Rows that a report has; what is beyond is counted under no statement.
const MOST_ROWS: usize = 10_000;

/// Who found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finder {
    /// Our own detectors.
    Hoop,
    /// The one that was named.
    Detector,
}

/// Findings of one kind, in one place of the answers to one statement.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    statement: Arc<str>,
    place: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    by: Finder,
    kind: String,
    /// How many.
    count: u64,
    /// In how many texts.
    texts: u64,
}

type Key = (Arc<str>, Place, Finder, String);

/// Counts.
pub(super) struct Findings {
    detectors: Detectors,
    rule: Rule,
    rows: BTreeMap<Key, (u64, u64)>,
    texts: u64,
    bytes: u64,
}

impl Findings {
    pub(super) fn new() -> Result<Self> {
        // Nothing is masked with it: masking counts by kind.
        let key = MaskingKey::new(&[0; 32])
            .map_err(|_| hoop_client::ClientError::own("HOOP-9001", "the detectors cannot be set up"))?;
        let rule = Rule::new(Mode::Redact, key);
        Ok(Self { detectors: Detectors::all(), rule, rows: BTreeMap::new(), texts: 0, bytes: 0 })
    }

    /// Looks through it with our own detectors; a column's name counts as a label, as where answers are masked.
    pub(super) fn look(&mut self, shown: &Shown) {
        self.texts += 1;
        self.bytes += shown.text.len() as u64;
        let label = shown.place.parts().1.unwrap_or_default();
        let masked = mask_column(label.as_bytes(), shown.text.as_bytes(), &self.detectors, &self.rule);
        let counts = masked.map_or_else(Counts::default, |masked| masked.counts);
        for (kind, count) in counts.iter() {
            self.add(shown, Finder::Hoop, kind.name(), count);
        }
    }

    pub(super) fn add(&mut self, shown: &Shown, by: Finder, kind: &str, count: u64) {
        let mut key = (Arc::clone(&shown.statement), shown.place.clone(), by, kind.to_owned());
        if self.rows.len() >= MOST_ROWS && !self.rows.contains_key(&key) {
            (key.0, key.1) = ("(other statements)".into(), Place::Column("?".into()));
        }
        let (counted, texts) = self.rows.entry(key).or_default();
        *counted += count;
        *texts += 1;
    }

    pub(super) fn report(
        self,
        session: String,
        ending: String,
        told: Told,
        detector: Option<String>,
    ) -> Report {
        let row = |((statement, place, by, kind), (count, texts)): (Key, (u64, u64))| {
            let (place, name) = place.parts();
            Row { statement, place, name: name.map(str::to_owned), by, kind, count, texts }
        };
        let mut findings: Vec<Row> = self.rows.into_iter().map(row).collect();
        findings.sort_by_key(|row| std::cmp::Reverse(row.count));
        let Told { gaps, curtailed, masked } = told;
        Report {
            session,
            ending,
            detector,
            texts: self.texts,
            bytes: self.bytes,
            findings,
            masked,
            gaps,
            curtailed,
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    session: String,
    ending: String,
    /// The address of the one that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    detector: Option<String>,
    texts: u64,
    bytes: u64,
    findings: Vec<Row>,
    /// What was masked, of which nothing is found here, unless it was by `fake`.
    masked: BTreeMap<String, u64>,
    /// What is missing in the recording.
    gaps: Vec<String>,
    curtailed: u64,
}

impl Report {
    pub(super) const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// For people.
    pub(super) fn render(&self, out: &Out) -> String {
        let mut shown = String::new();
        if self.findings.is_empty() {
            shown.push_str(&out.look(Look::Green, "Nothing was found"));
            shown.push_str(&format!(" in {} texts ({} bytes).\n", self.texts, self.bytes));
        } else {
            shown.push_str(&self.table());
            shown.push_str(&format!(
                "\nFound in {} texts ({} bytes) that were shown.\n",
                self.texts, self.bytes
            ));
        }
        for line in self.notes() {
            shown.push_str(&out.look(Look::Yellow, &text::line(&line)));
            shown.push('\n');
        }
        shown
    }

    fn table(&self) -> String {
        let mut table = Table::new(["KIND", "COUNT", "TEXTS", "BY", "WHERE", "STATEMENT"]);
        for row in &self.findings {
            let place = row
                .name
                .as_ref()
                .map_or_else(|| row.place.to_owned(), |name| format!("{} {name}", row.place));
            let by = if row.by == Finder::Hoop { "hoop" } else { "detector" };
            table.row([
                row.kind.as_str(),
                &row.count.to_string(),
                &row.texts.to_string(),
                by,
                &text::short(&place, 40),
                &text::short(&row.statement, 80),
            ]);
        }
        table.render()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.masked.is_empty() {
            let kinds: Vec<String> =
                self.masked.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            notes.push(format!("Masked before it was shown: {}.", kinds.join(", ")));
        }
        notes.extend(self.gaps.iter().map(|gap| format!("Missing in the recording: {gap}")));
        if self.curtailed > 0 {
            notes.push(format!("{} answers were too long to be recorded in full.", self.curtailed));
        }
        match self.ending.as_str() {
            "sealed" => {}
            "live" => notes.push("The session goes on: this is what there was until now.".to_owned()),
            _ => notes.push(format!(
                "The recording is {}: what came after is missing.",
                self.ending.replace('_', " ")
            )),
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(place: Place, text: &str) -> Shown {
        Shown { statement: "select note from clinic.notes".into(), place, text: text.to_owned() }
    }

    #[test]
    fn kinds_and_counts_are_told_and_no_value() {
        let mut findings = Findings::new().unwrap();
        for text in ["SSN 536-90-4399, write to ada@example.org", "SSN 536-90-4398", "all is well", "[ssn]"] {
            findings.look(&shown(Place::Column("note".into()), text));
        }
        findings.look(&shown(Place::Column("birth_date".into()), "1975-03-04"));
        findings.add(&shown(Place::Error, "x"), Finder::Detector, "PERSON", 3);
        let told = Told {
            gaps: vec!["the spool was full".into()],
            curtailed: 1,
            masked: BTreeMap::from([("ssn".into(), 2)]),
        };
        let report = findings.report("ses_x".into(), "cut_off".into(), told, Some("127.0.0.1:5002".into()));
        let rows: Vec<_> =
            report.findings.iter().map(|row| (row.kind.as_str(), row.place, row.count, row.texts)).collect();
        assert_eq!(rows.len(), 4, "{rows:?}");
        for row in [
            ("ssn", "column", 2, 2),
            ("email", "column", 1, 1),
            ("birth_date", "column", 1, 1),
            ("PERSON", "error", 3, 1),
        ] {
            assert!(rows.contains(&row), "{row:?} {rows:?}");
        }
        let both = [serde_json::to_string(&report).unwrap(), report.render(&Out::plain())];
        for form in both {
            assert!(!form.contains("536-90") && !form.contains("ada@") && !form.contains("1975"), "{form}");
            assert!(form.contains("the spool was full") && form.contains("birth_date"), "{form}");
        }
    }

    #[test]
    fn a_report_is_bounded() {
        let mut findings = Findings::new().unwrap();
        for number in 0..MOST_ROWS + 10 {
            findings.add(
                &shown(Place::Column(number.to_string().into()), "x"),
                Finder::Detector,
                "PERSON",
                1,
            );
        }
        let report = findings.report(String::new(), "sealed".into(), Told::default(), None);
        assert_eq!(report.findings.len(), MOST_ROWS + 1);
        assert_eq!(report.findings[0].count, 10);
    }
}

//! How much is found, and how much of what is found is right: by kind, over lines with labels, of which a part was
//! written apart from the detectors.
//!
//! A label is found when findings of its kind cover all of it; a finding is right when it touches a label of its kind.
//! `HOOP_WRITE_CORPUS=1` writes the lines anew. `cargo test -p hoop-masking --test quality -- --nocapture` prints the table.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints"
)]

mod generate;

use std::{fs, ops::Range, path::Path};

use generate::Part;
use hoop_masking::{Detectors, Kind};

#[derive(Default, Clone, Copy)]
struct Score {
    labels: usize,
    found: usize,
    /// Of any kind: what matters to the patient.
    hidden: usize,
    findings: usize,
    right: usize,
}

impl Score {
    fn recall(self) -> f64 {
        ratio(self.found, self.labels)
    }

    fn precision(self) -> f64 {
        ratio(self.right, self.findings)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a small corpus")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn committed(part: Part) -> Vec<String> {
    let (name, count) = if part == Part::Seen { ("seen.txt", 1000) } else { ("held-out.txt", 600) };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let lines = generate::lines(part, count);
    if std::env::var_os("HOOP_WRITE_CORPUS").is_some() {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let kept: Vec<String> = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    assert!(kept == lines, "{name} is not what the generator writes");
    kept
}

/// The line without its marks, and what they say.
fn parse(line: &str) -> (String, Vec<(Kind, Range<usize>)>) {
    let (mut text, mut labels, mut rest) = (String::new(), Vec::new(), line);
    while let Some((before, after)) = rest.split_once("[[") {
        text += before;
        let (label, behind) = after.split_once("]]").unwrap();
        let (kind, value) = label.split_once('|').unwrap();
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).unwrap();
        labels.push((kind, text.len()..text.len() + value.len()));
        text += value;
        rest = behind;
    }
    (text + rest, labels)
}

fn measure(part: Part) -> [Score; Kind::ALL.len()] {
    let detectors = Detectors::all();
    let mut scores = [Score::default(); Kind::ALL.len()];
    let shown = std::env::var_os("HOOP_SHOW_MISSES").is_some() && part == Part::Seen;
    for line in committed(part) {
        let (text, labels) = parse(&line);
        let findings = detectors.find(text.as_bytes());
        for (kind, label) in &labels {
            let covers = |any: bool| {
                label
                    .clone()
                    .all(|byte| findings.iter().any(|f| f.range.contains(&byte) && (any || f.kind == *kind)))
            };
            let score = &mut scores[*kind as usize];
            score.labels += 1;
            score.found += usize::from(covers(false));
            score.hidden += usize::from(covers(true));
            if shown && !covers(false) {
                println!("missed {kind} {:?} in {text}", &text[label.clone()]);
            }
        }
        for finding in &findings {
            let touches =
                |label: &Range<usize>| label.start < finding.range.end && finding.range.start < label.end;
            let right = labels.iter().any(|(kind, label)| *kind == finding.kind && touches(label));
            let score = &mut scores[finding.kind as usize];
            score.findings += 1;
            score.right += usize::from(right);
            if shown && !right {
                println!("wrong {} {:?} in {text}", finding.kind, &text[finding.range.clone()]);
            }
        }
    }
    scores
}

/// Recall and precision that are reached; a change that makes either worse fails.
///
/// Names are as good as the lists: with other seeds the part held out reaches 0.79 to 0.83. One of the templates held out is a row of a table, in which nothing says that the date
/// is one of birth: such a column is masked because a policy names it, not because it is found.
fn floors(part: Part, kind: Kind) -> (f64, f64) {
    match (kind, part) {
        (Kind::Name, Part::Seen) => (0.90, 0.95),
        (Kind::Name, Part::HeldOut) => (0.78, 0.95),
        (Kind::BirthDate, Part::HeldOut) => (0.75, 0.95),
        _ => (0.95, 0.90),
    }
}

fn check(part: Part, name: &str) {
    println!("{name:<12} labels  recall  hidden  findings  precision");
    let scores = measure(part);
    for (kind, score) in Kind::ALL.into_iter().zip(scores) {
        println!(
            "{:<12} {:>6}  {:>6.3}  {:>6.3}  {:>8}  {:>9.3}",
            kind.name(),
            score.labels,
            score.recall(),
            ratio(score.hidden, score.labels),
            score.findings,
            score.precision()
        );
    }
    for (kind, score) in Kind::ALL.into_iter().zip(scores) {
        let (recall, precision) = floors(part, kind);
        assert!(score.labels >= 10, "{kind}: too few to measure");
        assert!(score.recall() >= recall, "{kind}: recall {:.3}", score.recall());
        assert!(score.precision() >= precision, "{kind}: precision {:.3}", score.precision());
    }
}

#[test]
fn the_part_that_was_seen() {
    check(Part::Seen, "seen");
}

#[test]
fn the_part_that_was_held_out() {
    check(Part::HeldOut, "held out");
}

//! What the evidence says, held against what was seen and what ran.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use hoop_testkit::{World, run};
use serde_json::Value;

use crate::workers::Journal;

/// What was found in one round.
pub(crate) struct Found {
    pub(crate) answered: usize,
    ran: usize,
    recorded: usize,
    sessions: usize,
    interrupted: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, ran, recorded, sessions, interrupted } = self;
        write!(
            f,
            "{answered} answers seen, {ran} statements ran, {recorded} are recorded; {sessions} sessions, {interrupted} interrupted"
        )
    }
}

/// Nothing of the one is missing in the other.
fn none_of(of: &BTreeSet<u64>, within: &BTreeSet<u64>, what: &str) {
    let missing: Vec<_> = of.difference(within).collect();
    assert!(missing.is_empty(), "{what}: {missing:?}");
}

/// All recordings, as far as they were read.
#[derive(Default)]
pub(crate) struct Book {
    /// How each session ended that was read.
    read: BTreeMap<String, String>,
    /// Statements that were recorded before they ran; of these, those with their answer.
    recorded: BTreeSet<u64>,
    answers: BTreeSet<u64>,
    answered_before: usize,
}

impl Book {
    pub(crate) fn read(&mut self, world: &World, sessions: &[Value]) {
        for session in sessions {
            let id = session["id"].as_str().unwrap();
            let state = session["state"].as_str().unwrap();
            // A recording that came late is read again.
            if self.read.get(id).is_some_and(|known| known == state) || session["recording_bytes"] == 0 {
                continue;
            }
            let report =
                world.hoop(&world.admin).args(["sessions", "verify", id, "-o", "json"]).output().unwrap();
            let report: Value = serde_json::from_slice(&report.stdout).unwrap_or_default();
            // Without its agent's signature it is cut off, and says so: the agent was killed before it began to write.
            let known = report["clean"] == true || report["gateway"]["ending"] == "cut_off";
            assert!(known, "{id} ({state}): {report}");
            for statement in world.statements(id) {
                self.statement(&statement);
            }
            self.read.insert(id.to_owned(), state.to_owned());
        }
    }

    fn statement(&mut self, statement: &Value) {
        let text = statement["text"].as_str().unwrap_or_default();
        let number =
            text.split_once("values (").and_then(|(_, rest)| rest.split_once(')')?.0.parse::<u64>().ok());
        let Some(number) = number else { return };
        self.recorded.insert(number);
        if statement["rows"] == serde_json::json!([[number.to_string()]]) {
            self.answers.insert(number);
        }
    }

    pub(crate) fn compare(&mut self, world: &World, journal: &Journal) -> Found {
        let answered = journal.answered.lock().unwrap().clone();
        let strictly = journal.strictly.lock().unwrap().clone();
        let ran = world.postgres.script("select n from marks");
        let ran: BTreeSet<u64> = ran.lines().map(|line| line.parse().unwrap()).collect();
        none_of(&answered, &self.recorded, "answered, and not recorded");
        none_of(&ran, &self.recorded, "ran, and not recorded");
        none_of(&answered, &ran, "answered, and did not run");
        none_of(&strictly, &self.answers, "seen in a strict session, and not in its recording");
        run(world.hoop(&world.admin).args(["audit", "verify"]));
        let new = answered.len() - std::mem::replace(&mut self.answered_before, answered.len());
        let interrupted = self.read.values().filter(|state| *state == "interrupted").count();
        let (ran, recorded, sessions) = (ran.len(), self.recorded.len(), self.read.len());
        Found { answered: new, ran, recorded, sessions, interrupted }
    }

    pub(crate) fn check_offline(&self, world: &World, sessions: &[Value], folder: &Path) {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let export = folder.join("ledger.jsonl");
        let recordings = folder.join("recordings");
        fs::create_dir(&recordings).unwrap();
        for session in sessions {
            let id = session["id"].as_str().unwrap();
            let file = text(&recordings.join(format!("{id}.hoopr")));
            let mut download = world.hoop(&world.admin);
            let _ = download.args(["sessions", "export", id, "--format", "raw", "--out", &file]).output();
        }
        run(world.hoop(&world.admin).args(["audit", "export", "--out", &text(&export)]));
        let key =
            world.json(&world.admin, &["audit", "checkpoint"])["verifier_key"].as_str().unwrap().to_owned();
        let mut verify = world.hoop(&world.admin);
        verify.args(["audit", "verify", "--export", &text(&export), "--key", &key]);
        run(verify.args(["--recordings", &text(&recordings)]));
    }
}

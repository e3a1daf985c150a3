//! Reads a backup from end to end before a byte of it is written anywhere: the seal, the counts, the ledger's chain and tree
//! against its checkpoints, and each recording's chain against its agent's key.

use std::{
    collections::{BTreeMap, HashMap},
    io::BufRead,
};

use hoop_ledger::{CheckpointKey, Frontier, LedgerEvent, SignedCheckpoint, leaf_hash};
use hoop_model::{AgentId, SessionId};
use hoop_recording::{Finding, Hash, Trust, VerifyingKey, verify_chain};
use hoop_store::Table;

use super::{
    BackupError, Counts, FORMAT,
    items::{Begin, Items, Line},
    ledger_key, ledger_name,
    rows::Row,
};

/// Findings that are told; more are counted.
const MOST_FINDINGS: usize = 100;

/// What a backup holds.
#[derive(Debug, Clone)]
pub struct Checked {
    /// How much.
    pub counts: Counts,
    /// Size of the ledger.
    pub ledger: u64,
    /// Size of the latest checkpoint, which its tree was held against.
    pub checkpoint: Option<u64>,
    /// Who signed it, by its own account.
    pub signed_by: CheckpointKey,
    /// Its ledger is the one that this key signed, as far as the latest checkpoint goes.
    pub(super) proven: bool,
    /// The numbers of the migrations that its tables are of.
    pub(super) schema: Vec<u64>,
    /// What was not as it should be when the backup was made.
    pub findings: Vec<String>,
}

#[derive(Default)]
struct Check {
    counts: Counts,
    begin: Option<Begin>,
    table: Option<Table>,
    rows: u64,
    agents: HashMap<AgentId, VerifyingKey>,
    sessions: HashMap<SessionId, (AgentId, bool)>,
    roots: BTreeMap<u64, Hash>,
    note: Option<SignedCheckpoint>,
    tree: Frontier,
    /// The latest checkpoint that the tree agreed with.
    agreed: Option<u64>,
    last: Option<Hash>,
    findings: Vec<String>,
    done: bool,
}

fn unusable(what: &str) -> BackupError {
    BackupError::Unusable(what.to_owned())
}

/// Reads all of it. `signer` made the backup, and must be who signs the ledger.
pub(super) fn check(input: impl BufRead, signer: &VerifyingKey) -> Result<Checked, BackupError> {
    let mut items = Items::new(input);
    let mut check = Check::default();
    while let Some(line) = items.next().map_err(|error| BackupError::reading(&error))? {
        check.line(line, &mut items)?;
    }
    check.end(signer)
}

impl Check {
    fn line<R: BufRead>(&mut self, line: Line, items: &mut Items<R>) -> Result<(), BackupError> {
        if self.done || (self.begin.is_none() && !matches!(line, Line::Begin(_))) {
            return Err(unusable("its lines are not in order"));
        }
        match line {
            Line::Begin(begin) if self.begin.is_none() => {
                if begin.backup > FORMAT {
                    let version: String =
                        begin.version.chars().filter(|c| !c.is_control()).take(40).collect();
                    return Err(BackupError::Unusable(format!("it was made by a newer version ({version})")));
                }
                self.begin = Some(begin);
            }
            Line::Begin(_) => return Err(unusable("it begins twice")),
            Line::Table(table) => {
                self.counts.tables += 1;
                (self.table, self.rows) = (Some(table), 0);
            }
            Line::Row(cells) => {
                self.counts.rows += 1;
                self.rows += 1;
                let table = self.table.take().ok_or_else(|| unusable("a row stands in no table"))?;
                let row = Row { table: &table, cells: &cells };
                self.row(&row)?;
                self.table = Some(table);
            }
            Line::Rows { rows } => {
                if self.table.take().is_none() || rows != self.rows {
                    return Err(unusable("a table has another number of rows than it says"));
                }
            }
            Line::Recording { recording, bytes } => {
                self.counts.recordings += 1;
                let session = recording.parse().map_err(|_| unusable("a recording has no session"))?;
                self.recording(session, items.bytes(bytes))?;
            }
            Line::Elsewhere { elsewhere } => {
                let session = elsewhere.parse().ok();
                let session = session.and_then(|session| self.sessions.get_mut(&session));
                session.ok_or_else(|| unusable("what is kept elsewhere has no session"))?.1 = false;
            }
            Line::Key { key, bytes } => {
                self.counts.keys += 1;
                if !is_key_name(&key) {
                    return Err(unusable("a key file has a name that none has"));
                }
                std::io::copy(&mut items.bytes(bytes), &mut std::io::sink())
                    .map_err(|error| BackupError::reading(&error))?;
            }
            Line::End { end } => {
                if end != self.counts {
                    return Err(unusable("it holds another number of things than it says"));
                }
                self.done = true;
            }
        }
        Ok(())
    }

    fn find(&mut self, what: String) {
        match self.findings.len() {
            count if count < MOST_FINDINGS => self.findings.push(what),
            MOST_FINDINGS => self.findings.push("and more".to_owned()),
            _ => {}
        }
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), BackupError> {
        let odd = || unusable("a row is not as it should be");
        match row.table.table.as_str() {
            "agents" => {
                let key = row.bytes("signing_key").and_then(|key| key.try_into().ok()).ok_or_else(odd)?;
                let id = row.id("id").map(AgentId::from_bytes).ok_or_else(odd)?;
                self.agents.insert(id, VerifyingKey::from_bytes(key));
            }
            "sessions" => {
                let session = row.session().ok_or_else(odd)?;
                self.sessions.insert(session.id, (session.agent, session.whole));
            }
            // The ledger is held against them as it is read.
            "checkpoints" if self.tree.size() > 0 => return Err(unusable("its tables are not in order")),
            "checkpoints" => {
                let size = row.int("size").and_then(|size| u64::try_from(size).ok()).ok_or_else(odd)?;
                let root = row.bytes("root").and_then(|root| root.try_into().ok()).ok_or_else(odd)?;
                if self.roots.keys().next_back().is_none_or(|last| *last < size) {
                    self.note = row.text("note").and_then(|note| note.parse().ok());
                }
                self.roots.insert(size, Hash::from_bytes(root));
            }
            "ledger_events" => self.event(row).ok_or_else(odd)?,
            _ => {}
        }
        Ok(())
    }

    fn event(&mut self, row: &Row<'_>) -> Option<()> {
        let (seq, leaf) = (self.tree.size(), row.bytes("event")?);
        let stored =
            row.bytes("leaf_hash").and_then(|hash| <[u8; 32]>::try_from(hash).ok()).map(Hash::from_bytes)?;
        let hash = leaf_hash(leaf);
        let event = LedgerEvent::from_leaf(leaf).ok();
        let fits = event.is_some_and(|event| event.seq == seq && event.prev == self.last);
        if hash != stored || !fits || row.int("seq") != i64::try_from(seq).ok() {
            self.find(format!("event {seq} of the ledger was altered, or is not in its place"));
        }
        self.last = Some(stored);
        self.tree.append(stored);
        match self.roots.get(&self.tree.size()) {
            Some(root) if *root == self.tree.root() => self.agreed = Some(self.tree.size()),
            Some(_) => {
                self.find(format!("the ledger is not the one that was signed at size {}", self.tree.size()));
            }
            None => {}
        }
        Some(())
    }

    fn recording(&mut self, session: SessionId, mut input: impl std::io::Read) -> Result<(), BackupError> {
        let known = self.sessions.get(&session).copied();
        let key = known.and_then(|(agent, _)| self.agents.get(&agent)).copied();
        let trust = key.as_ref().map_or(Trust::Header, Trust::Key);
        let report = verify_chain(&mut input, trust).map_err(|error| BackupError::reading(&error))?;
        std::io::copy(&mut input, &mut std::io::sink()).map_err(|error| BackupError::reading(&error))?;
        let sealed = known.is_some_and(|(_, sealed)| sealed);
        // A session that went on, or was interrupted, has no end: that is no damage.
        let damage = |finding: &&Finding| sealed || !matches!(finding, Finding::CutOff { .. });
        let findings: Vec<_> = report.findings.iter().filter(damage).map(ToString::to_string).collect();
        for finding in findings {
            self.find(format!("recording {session}: {finding}"));
        }
        if sealed && report.session != Some(session) {
            self.find(format!("recording {session}: it is another session's"));
        }
        self.sessions.remove(&session);
        Ok(())
    }

    fn end(mut self, signer: &VerifyingKey) -> Result<Checked, BackupError> {
        if !self.done {
            return Err(unusable("it has no end"));
        }
        let missing: Vec<_> =
            self.sessions.iter().filter(|(_, (_, sealed))| *sealed).map(|(session, _)| *session).collect();
        for session in missing {
            self.find(format!("recording {session}: it is not there"));
        }
        let begin = self.begin.take().ok_or_else(|| unusable("it has no beginning"))?;
        let name = self.note.as_ref().map(|note| note.unverified().origin.clone());
        let signed_by = ledger_key(&name.unwrap_or_else(|| ledger_name(&begin.origin)), *signer)?;
        let checkpoint = self.roots.keys().next_back().copied();
        let mut proven = self.tree.size() == 0;
        if let Some(size) = checkpoint {
            let signed = self.note.as_ref().and_then(|note| note.verify(&signed_by).ok());
            let signed = signed
                .is_some_and(|signed| signed.size == size && Some(&signed.root) == self.roots.get(&size));
            proven = signed && self.agreed == Some(size);
            if !signed {
                self.find(format!("the checkpoint of size {size} is not signed by who made the backup"));
            }
            if size > self.tree.size() {
                self.find(format!(
                    "the ledger was signed at size {size} and has {} events",
                    self.tree.size()
                ));
            }
        }
        Ok(Checked {
            counts: self.counts,
            ledger: self.tree.size(),
            checkpoint,
            signed_by,
            proven,
            schema: begin.schema,
            findings: self.findings,
        })
    }
}

/// `master.key`, `recording*.pem`: nothing that leads elsewhere.
pub(super) fn is_key_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    plain && (name == "master.key" || (name.starts_with("recording") && name.ends_with(".pem")))
}

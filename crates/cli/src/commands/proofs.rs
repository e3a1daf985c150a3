//! `hoop audit prove`, `consistency`, `sinks`: the gateway gives a proof, and we check it without believing the gateway.

use std::path::Path;

use hoop_api::audit::{ConsistencyProof, InclusionProof, SinkView};
use hoop_client::{Api, ClientError};
use hoop_ledger::{
    Checkpoint, CheckpointKey, Hash, SignedCheckpoint, Witnesses, leaf_hash,
    tree::{verify_consistency, verify_inclusion},
};
use serde::{Deserialize, Serialize};

use super::{
    api,
    audit::{read_checkpoint, verifier, witnesses_of},
    file,
    verify::verdict,
};
use crate::{
    args::{AuditConsistency, AuditProve},
    failure::{Failure, Result},
    output::{Out, Table, facts, text},
};

/// The outcome for programs; with the proof, so that somebody else can check it.
#[derive(Debug, Serialize, Deserialize)]
struct Shown<P> {
    holds: bool,
    findings: Vec<String>,
    witnesses: Vec<String>,
    proof: P,
}

impl<P: Serialize> Shown<P> {
    fn print(&self, what: &[(&str, String)], out: &Out) -> Result {
        let who =
            if self.witnesses.is_empty() { "none asked for".to_owned() } else { self.witnesses.join(", ") };
        out.data(self, |shown| {
            let mut rows = what.to_vec();
            rows.push(("witnesses", who.clone()));
            format!("{}\n{}", facts(&rows), verdict("our own check", shown.holds, &shown.findings, out))
        })?;
        if self.holds { Ok(()) } else { Err(Failure::Found) }
    }
}

pub(super) async fn prove(args: &AuditProve, out: &Out) -> Result {
    let witnesses = witnesses_of(&args.witnesses)?;
    let kept = args.checkpoint.as_deref().map(read_checkpoint).transpose()?;
    let (proof, key) = match (&args.proof, args.seq) {
        (Some(path), _) => (read_proof(path)?, verifier(args.key.as_deref().unwrap_or_default())?),
        (None, seq) => {
            let api = api()?;
            let key = trusted(&api, args.key.as_deref(), out).await?;
            let size = kept.as_ref().map(|kept| kept.unverified().size);
            let asking = api.prove_inclusion(seq.unwrap_or_default(), size);
            (out.waiting("Asking the gateway", asking).await?, key)
        }
    };
    let mut findings = Vec::new();
    let note = given(kept, &proof.checkpoint, &mut findings);
    check_inclusion(&proof, note.as_ref(), &key, &mut findings);
    let by = check_witnesses(note.as_ref(), &witnesses, &mut findings);
    let event = text::short(&text::line(&proof.leaf), 200);
    let what =
        [("event", proof.seq.to_string()), ("leaf", event), ("ledger", format!("{} events", proof.size))];
    Shown { holds: findings.is_empty(), findings, witnesses: by, proof }.print(&what, out)
}

/// The key that was named, or what the gateway says: then it is believed for once, and told so.
async fn trusted(api: &Api, key: Option<&str>, out: &Out) -> Result<CheckpointKey> {
    if let Some(key) = key {
        return verifier(key);
    }
    let told = api.checkpoint(None).await?.verifier_key;
    out.note(format!("verifier key, as the gateway says: {}", text::line(&told)));
    verifier(&told)
}

/// A proof as `hoop audit prove -o json` or the API gave it.
fn read_proof(path: &Path) -> Result<InclusionProof> {
    let held = file::read_text(path)?;
    let shown = serde_json::from_str::<Shown<InclusionProof>>(&held).map(|shown| shown.proof);
    Ok(shown.or_else(|_| serde_json::from_str(&held)).map_err(|_| {
        ClientError::usage("HOOP-1016", format!("{} holds no proof", path.display()))
            .hint("keep what `hoop audit prove SEQ -o json` prints")
    })?)
}

/// The checkpoint that was kept, else the one that came with the proof.
fn given(kept: Option<SignedCheckpoint>, came: &str, findings: &mut Vec<String>) -> Option<SignedCheckpoint> {
    kept.or_else(|| {
        let read = came.parse();
        read.inspect_err(|error| findings.push(format!("the checkpoint of the proof: {error}"))).ok()
    })
}

fn signed<'a>(
    note: Option<&'a SignedCheckpoint>,
    key: &CheckpointKey,
    findings: &mut Vec<String>,
) -> Option<&'a Checkpoint> {
    note?.verify(key).inspect_err(|error| findings.push(error.to_string())).ok()
}

fn hashes(texts: &[String], findings: &mut Vec<String>) -> Option<Vec<Hash>> {
    let read: Option<Vec<Hash>> = texts.iter().take(65).map(|text| text.parse().ok()).collect();
    if read.is_none() {
        findings.push("the proof has something that is no hash".to_owned());
    }
    read
}

fn check_inclusion(
    proof: &InclusionProof,
    note: Option<&SignedCheckpoint>,
    key: &CheckpointKey,
    findings: &mut Vec<String>,
) {
    let (Some(signed), Some(path)) = (signed(note, key, findings), hashes(&proof.proof, findings)) else {
        return;
    };
    let leaf = leaf_hash(proof.leaf.as_bytes());
    if !verify_inclusion(&leaf, proof.seq, signed.size, &path, &signed.root) {
        findings.push(format!(
            "event {} as it is here is not in the ledger of {} events",
            proof.seq, signed.size
        ));
    }
    // What is proven are bytes at a place: they say themselves which event they are.
    let says = serde_json::from_str::<serde_json::Value>(&proof.leaf).ok();
    if says.and_then(|leaf| leaf.get("seq")?.as_u64()) != Some(proof.seq) {
        findings.push(format!("the event says that it is another one than {}", proof.seq));
    }
}

fn check_witnesses(
    note: Option<&SignedCheckpoint>,
    witnesses: &Witnesses,
    findings: &mut Vec<String>,
) -> Vec<String> {
    let by: Vec<String> =
        note.map(|note| witnesses.of(note).into_iter().map(str::to_owned).collect()).unwrap_or_default();
    if by.len() < witnesses.needed {
        findings.push(format!(
            "{} of the witnesses signed it, and {} are needed",
            by.len(),
            witnesses.needed
        ));
    }
    by
}

/// A size, or a checkpoint that was kept.
enum Point {
    Size(u64),
    Kept(SignedCheckpoint),
}

impl Point {
    fn read(text: &str) -> Result<Self> {
        text.parse().map(Self::Size).or_else(|_| Ok(Self::Kept(read_checkpoint(Path::new(text))?)))
    }

    fn size(&self) -> u64 {
        match self {
            Self::Size(size) => *size,
            Self::Kept(kept) => kept.unverified().size,
        }
    }

    fn kept(self) -> Option<SignedCheckpoint> {
        match self {
            Self::Size(_) => None,
            Self::Kept(kept) => Some(kept),
        }
    }
}

pub(super) async fn consistency(args: &AuditConsistency, out: &Out) -> Result {
    let (from, to) = (Point::read(&args.from)?, args.to.as_deref().map(Point::read).transpose()?);
    let api = api()?;
    let key = trusted(&api, args.key.as_deref(), out).await?;
    let asking = api.prove_consistency(from.size(), to.as_ref().map(Point::size));
    let proof = out.waiting("Asking the gateway", asking).await?;
    let mut findings = Vec::new();
    let older = older(from, &proof, &mut findings);
    let newer = given(to.and_then(Point::kept), &proof.checkpoint, &mut findings);
    check_consistency(&proof, older.as_ref(), newer.as_ref(), &key, &mut findings);
    let what = [("from", format!("{} events", proof.from)), ("to", format!("{} events", proof.to))];
    Shown { holds: findings.is_empty(), findings, witnesses: Vec::new(), proof }.print(&what, out)
}

fn older(from: Point, proof: &ConsistencyProof, findings: &mut Vec<String>) -> Option<SignedCheckpoint> {
    let came = proof.older.as_deref();
    if let (Point::Size(size), None) = (&from, came) {
        findings.push(format!("no checkpoint was signed at {size} events: keep one, and name its file"));
    }
    let kept = from.kept();
    if kept.is_none() && came.is_none() { None } else { given(kept, came.unwrap_or_default(), findings) }
}

fn check_consistency(
    proof: &ConsistencyProof,
    older: Option<&SignedCheckpoint>,
    newer: Option<&SignedCheckpoint>,
    key: &CheckpointKey,
    findings: &mut Vec<String>,
) {
    let (older, newer) = (signed(older, key, findings), signed(newer, key, findings));
    let (Some(older), Some(newer), Some(path)) = (older, newer, hashes(&proof.proof, findings)) else {
        return;
    };
    if !verify_consistency(older.size, &older.root, newer.size, &newer.root, &path) {
        findings.push(format!(
            "the ledger of {} events is not the beginning of that of {}: it was rewritten",
            older.size, newer.size
        ));
    }
}

pub(super) async fn sinks(out: &Out) -> Result {
    let api = api()?;
    let sinks = out.waiting("Asking the gateway", api.sinks()).await?.items;
    out.data(&sinks, |sinks| if sinks.is_empty() { NO_SINKS.to_owned() } else { table(sinks) })?;
    Ok(())
}

const NO_SINKS: &str =
    "Nobody gets checkpoints: see [[ledger.publish]] and [[ledger.witnesses]] in docs/CONFIG.md.";

fn table(sinks: &[SinkView]) -> String {
    let mut table = Table::new(["NAME", "KIND", "SIZE", "BEHIND", "DELIVERED", "FAILING SINCE", "ERROR"]);
    let shown = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    for sink in sinks {
        table.row([
            &sink.name,
            &sink.kind,
            &sink.size.to_string(),
            &sink.behind.to_string(),
            &shown(&sink.delivered_at),
            &shown(&sink.failing_since),
            &text::short(&shown(&sink.last_error), 60),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use hoop_ledger::{Appender, Draft, EventCode, tree::inclusion_proof};
    use hoop_model::{Actor, EventId, Timestamp};
    use hoop_recording::SigningKey;

    use super::*;

    /// A proof of event 3 of 9, and the key that signed.
    fn honest() -> (InclusionProof, CheckpointKey) {
        let (mut log, mut leaves, mut hashes) = (Appender::default(), Vec::new(), Vec::new());
        for _ in 0..9 {
            let draft = Draft::new(Actor::System, EventCode::GatewayStopped);
            let appended = log.append(draft, EventId::generate(), Timestamp::EPOCH).unwrap();
            leaves.push(String::from_utf8(appended.leaf).unwrap());
            hashes.push(appended.hash);
        }
        let key = SigningKey::generate().unwrap();
        let checkpoint = Checkpoint::new("log", 9, log.frontier().root()).unwrap().sign(&key);
        let path = inclusion_proof(hashes.as_slice(), 3, 9).unwrap();
        let proof = path.iter().map(ToString::to_string).collect();
        let (leaf, checkpoint) = (leaves.remove(3), checkpoint.to_string());
        let trusted = CheckpointKey::new("log", key.verifying_key()).unwrap();
        (InclusionProof { seq: 3, leaf, size: 9, proof, checkpoint }, trusted)
    }

    fn found(proof: &InclusionProof, key: &CheckpointKey) -> Vec<String> {
        let mut findings = Vec::new();
        let note = given(None, &proof.checkpoint, &mut findings);
        check_inclusion(proof, note.as_ref(), key, &mut findings);
        findings
    }

    #[test]
    fn an_honest_proof_holds_and_a_bent_one_does_not() {
        let (proof, key) = honest();
        assert!(found(&proof, &key).is_empty());
        let other = honest();
        let bent = [
            InclusionProof { leaf: proof.leaf.replace("stopped", "started"), ..proof.clone() },
            InclusionProof { seq: 4, ..proof.clone() },
            InclusionProof { proof: proof.proof[1..].to_vec(), ..proof.clone() },
            InclusionProof { proof: vec!["nonsense".into()], ..proof.clone() },
            InclusionProof { proof: vec!["00".repeat(32); 1000], ..proof.clone() },
            InclusionProof { checkpoint: other.0.checkpoint.clone(), ..proof.clone() },
            InclusionProof { checkpoint: "nonsense".into(), ..proof.clone() },
        ];
        for bent in bent {
            assert!(!found(&bent, &key).is_empty(), "{bent:?}");
        }
        assert!(!found(&proof, &other.1).is_empty());
    }

    #[test]
    fn a_saved_proof_is_read_again_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proof.json");
        let (proof, _) = honest();
        let bare = serde_json::to_string(&proof).unwrap();
        let shown = Shown { holds: true, findings: Vec::new(), witnesses: Vec::new(), proof };
        for text in [bare, serde_json::to_string(&shown).unwrap()] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_proof(&path).unwrap().seq, 3);
        }
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(read_proof(&path).unwrap_err().code(), 2);
    }
}

//! THREATS F5: who holds the key signs another history, and the witnesses did not. They count in an offline check.
#![expect(clippy::unwrap_used, reason = "tests")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_ledger::{
    Appender, Checkpoint, CheckpointKey, Draft, EventCode, ExportWriter, Finding, Hash, Report,
    SignedCheckpoint, Witnesses, verify_witnessed,
};
use hoop_model::{Actor, EventId, Timestamp};
use hoop_recording::SigningKey;

const ORIGIN: &str = "hoop.test/ledger";

/// A witness that signs whatever it is given: what it should not sign is for others to test.
struct Witness(SigningKey, &'static str);

impl Witness {
    fn new(name: &'static str) -> Self {
        Self(SigningKey::generate().unwrap(), name)
    }

    fn id(&self) -> [u8; 4] {
        let bytes = [self.1.as_bytes(), b"\n\x04", self.0.verifying_key().as_bytes()].concat();
        Hash::of(&bytes).as_bytes()[..4].try_into().unwrap()
    }

    fn key(&self) -> String {
        let blob = STANDARD.encode([&[4][..], self.0.verifying_key().as_bytes()].concat());
        format!("{}+{}+{blob}", self.1, hoop_recording::hex::encode(&self.id()))
    }

    fn sign(&self, note: &SignedCheckpoint) -> SignedCheckpoint {
        let text = note.to_string();
        let body = text.split("\n\n").next().unwrap();
        let signature = self.0.sign(format!("cosignature/v1\ntime 7\n{body}\n").as_bytes());
        let blob = [&self.id()[..], &7_u64.to_be_bytes(), &signature].concat();
        format!("{text}\u{2014} {} {}\n", self.1, STANDARD.encode(blob)).parse().unwrap()
    }
}

struct Ledger {
    key: SigningKey,
    log: Appender,
    leaves: Vec<Vec<u8>>,
}

impl Ledger {
    fn new(key: &SigningKey, events: usize) -> Self {
        let key = SigningKey::from_pem(key.to_pem().expose()).unwrap();
        let mut ledger = Self { key, log: Appender::default(), leaves: Vec::new() };
        ledger.grow(events);
        ledger
    }

    fn grow(&mut self, events: usize) {
        for _ in 0..events {
            let draft = Draft::new(Actor::System, EventCode::GatewayStopped);
            self.leaves.push(self.log.append(draft, EventId::generate(), Timestamp::EPOCH).unwrap().leaf);
        }
    }

    fn sign(&self) -> SignedCheckpoint {
        let frontier = self.log.frontier();
        Checkpoint::new(ORIGIN, frontier.size(), frontier.root()).unwrap().sign(&self.key)
    }

    fn verify(&self, witnessed: &[&SignedCheckpoint], witnesses: &[&Witness], needed: usize) -> Report {
        let key = CheckpointKey::new(ORIGIN, self.key.verifying_key()).unwrap();
        let mut out = ExportWriter::new(Vec::new(), &key, Timestamp::EPOCH, Vec::new()).unwrap();
        self.leaves.iter().for_each(|leaf| out.leaf(leaf).unwrap());
        witnessed.iter().for_each(|note| out.witnessed(note).unwrap());
        let export = out.finish(&self.sign()).unwrap();
        let keys = witnesses.iter().map(|witness| witness.key().parse().unwrap()).collect();
        verify_witnessed(export.as_slice(), &key, None, None, &Witnesses { keys, needed }).unwrap()
    }
}

#[test]
fn a_witnessed_ledger_is_clean_and_says_how_far() {
    let (one, two) = (Witness::new("one.test"), Witness::new("two.test"));
    let mut ledger = Ledger::new(&SigningKey::generate().unwrap(), 5);
    let both = two.sign(&one.sign(&ledger.sign()));
    ledger.grow(3);
    let alone = one.sign(&ledger.sign());
    let report = ledger.verify(&[&both, &alone], &[&one, &two], 2);
    assert!(report.is_clean(), "{:?}", report.findings);
    let witnessed = report.witnessed.unwrap();
    assert_eq!((witnessed.size, witnessed.by.len()), (5, 2));
    // Where one is enough, the larger one counts.
    assert_eq!(ledger.verify(&[&both, &alone], &[&one, &two], 1).witnessed.unwrap().size, 8);
    // Who asks for none is told of none.
    assert_eq!(ledger.verify(&[&both], &[], 0).witnessed, None);
}

#[test]
fn too_few_witnesses_are_a_finding() {
    let (one, two, stranger) = (Witness::new("one.test"), Witness::new("two.test"), Witness::new("one.test"));
    let ledger = Ledger::new(&SigningKey::generate().unwrap(), 5);
    let alone = one.sign(&ledger.sign());
    for (lines, by) in [(vec![&alone], 1), (vec![], 0)] {
        let report = ledger.verify(&lines, &[&one, &two], 2);
        assert_eq!(report.findings, [Finding::Unwitnessed { by, needed: 2 }]);
    }
    let forged = stranger.sign(&ledger.sign());
    assert_eq!(ledger.verify(&[&forged], &[&one], 1).findings, [Finding::Unwitnessed { by: 0, needed: 1 }]);
}

#[test]
fn a_history_that_was_signed_again_has_the_witnesses_against_it() {
    let (witness, key) = (Witness::new("one.test"), SigningKey::generate().unwrap());
    let honest = witness.sign(&Ledger::new(&key, 5).sign());
    let rewritten = Ledger::new(&key, 8);
    // With the honest line in it the two do not agree; without it nobody signed.
    assert_eq!(
        rewritten.verify(&[&honest], &[&witness], 1).findings,
        [Finding::Root { after: 0, size: 5 }, Finding::Unwitnessed { by: 0, needed: 1 }]
    );
    assert_eq!(rewritten.verify(&[], &[&witness], 1).findings, [Finding::Unwitnessed { by: 0, needed: 1 }]);
    // Also for whoever names no witness.
    assert!(!rewritten.verify(&[&honest], &[], 0).is_clean());
}

#[test]
fn a_witness_under_another_logs_checkpoint_is_no_witness_of_this_one() {
    let witness = Witness::new("one.test");
    let (ours, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let foreign = witness.sign(&Ledger::new(&other, 5).sign());
    let report = Ledger::new(&ours, 5).verify(&[&foreign], &[&witness], 1);
    assert!(matches!(report.findings[..], [Finding::Checkpoint { .. }, Finding::Unwitnessed { .. }]));
    // A flood of them is cut.
    let ledger = Ledger::new(&ours, 5);
    let good = witness.sign(&ledger.sign());
    assert!(!ledger.verify(&vec![&good; 70], &[&witness], 1).is_clean());
}

//! An export damaged in every way: `verify_export` finds it, or what was read from it is the same to the last byte.
//!
//! What may change and says nothing else: white space between the parts of a line (a leaf's own bytes are hashed as they
//! stand, and so is a trailer), and facts of the first line that describe the export and prove nothing: when it was made and
//! which sessions still went on. That list is believed only to leave sessions without a recording aside, and is told.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{self, BufReader, Read},
    sync::OnceLock,
};

use hoop_ledger::{
    Appender, Checkpoint, CheckpointKey, Draft, EventCode, ExportWriter, Report, recording_facts,
    verify_export,
};
use hoop_model::{Actor, AgentId, EventId, SessionId, Timestamp};
use hoop_recording::{Compression, Frame, RecordingPrivateKey, SigningKey, Start, Writer};
use proptest::{prelude::*, sample::Index};

/// An export, and whom it is checked against.
struct Made {
    export: Vec<u8>,
    key: CheckpointKey,
}

/// Sign-ins, and sessions with their recordings' ends.
fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let (key, agent) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let recording_key = RecordingPrivateKey::generate().unwrap();
        let (mut log, mut leaves, mut trailers) = (Appender::default(), Vec::new(), Vec::new());
        let mut add =
            |draft| leaves.push(log.append(draft, EventId::generate(), Timestamp::EPOCH).unwrap().leaf);
        let agent_id = AgentId::generate();
        let key_of_agent = data_encoding::HEXLOWER.encode(agent.verifying_key().as_bytes());
        let enrolled = Draft::new(Actor::System, EventCode::AgentEnrolled).about(agent_id);
        add(enrolled.fact("signing_key", key_of_agent));
        for _ in 0..3 {
            let session = SessionId::generate();
            add(Draft::new(Actor::Anonymous, EventCode::LoginSucceeded).fact("name", "ada"));
            add(Draft::new(Actor::Anonymous, EventCode::SessionOpened).about(session).about(agent_id));
            let start = Start {
                session,
                at: Timestamp::EPOCH,
                facts: Vec::new(),
                signer: agent.verifying_key(),
                compression: Compression::Off,
            };
            let (writer, _) = Writer::create(start, recording_key.public()).unwrap();
            let trailer = writer.finish(Timestamp::EPOCH, "closed", &agent).unwrap().trailer_frame;
            let trailer = Frame::parse(trailer).unwrap();
            add(Draft::new(Actor::System, EventCode::SessionEnded).about(session));
            let mut sealed = Draft::new(Actor::System, EventCode::RecordingSealed).about(session);
            sealed.facts = recording_facts(&trailer, &agent.verifying_key());
            add(sealed);
            trailers.push((session, trailer));
        }
        let frontier = log.frontier();
        let note = Checkpoint::new("hoop.test", frontier.size(), frontier.root()).unwrap().sign(&key);
        let key = CheckpointKey::new("hoop.test", key.verifying_key()).unwrap();
        let mut out = ExportWriter::new(Vec::new(), &key, Timestamp::EPOCH, Vec::new()).unwrap();
        leaves.iter().for_each(|leaf| out.leaf(leaf).unwrap());
        trailers.iter().for_each(|(session, trailer)| out.recording(*session, trailer).unwrap());
        Made { export: out.finish(&note).unwrap(), key }
    })
}

fn verify(export: &[u8]) -> Report {
    verify_export(export, &made().key, None, None).unwrap()
}

fn lines() -> Vec<Vec<u8>> {
    made().export.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Found; or each line says the same as before, and the leaves are the same bytes.
fn is_found(damaged: &[u8]) -> Result<(), TestCaseError> {
    if damaged == made().export || !verify(damaged).is_clean() {
        return Ok(());
    }
    let damaged = damaged.strip_suffix(b"\n").unwrap_or(damaged);
    let (theirs, ours): (Vec<&[u8]>, Vec<Vec<u8>>) =
        (damaged.split(|byte| *byte == b'\n').collect(), lines());
    prop_assert_eq!(theirs.len(), ours.len());
    for (number, (theirs, ours)) in theirs.iter().zip(&ours).enumerate().skip(1) {
        let parsed = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap();
        prop_assert_eq!(
            parsed(theirs),
            parsed(ours),
            "line {}: {}",
            number + 1,
            String::from_utf8_lossy(theirs)
        );
    }
    Ok(())
}

#[test]
fn what_was_made_is_clean() {
    let report = verify(&made().export);
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.events, report.sessions), (13, 3));
}

/// One of every byte; which one, goes round. Any bit at all: see below.
#[test]
fn a_flipped_bit_of_any_byte_is_found() {
    let export = &made().export;
    for at in 0..export.len() {
        let mut damaged = export.clone();
        damaged[at] ^= 1 << (at % 8);
        is_found(&damaged).unwrap_or_else(|error| panic!("byte {at}: {error}"));
    }
}

#[test]
fn any_cut_is_found() {
    let export = &made().export;
    // The line feed at the very end says nothing.
    for at in 0..export.len() - 1 {
        assert!(!verify(&export[..at]).is_clean(), "cut at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_flipped_bit_is_found(at in any::<Index>(), bit in 0..8_u8) {
        let mut damaged = made().export.clone();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        is_found(&damaged)?;
    }

    #[test]
    fn any_insertion_and_any_hole_is_found(at in any::<Index>(), more in proptest::collection::vec(any::<u8>(), 1..40)) {
        let export = &made().export;
        let at = at.index(export.len() - 1);
        is_found(&[&export[..at], &more, &export[at..]].concat())?;
        let end = (at + more.len()).min(export.len() - 1);
        is_found(&[&export[..at], &export[end..]].concat())?;
        is_found(&[&export[..], &more].concat())?;
    }

    #[test]
    fn lines_in_any_other_order_or_number_are_found(one in any::<Index>(), two in any::<Index>()) {
        let lines = lines();
        let (one, two) = (one.index(lines.len()), two.index(lines.len()));
        let changed = |what: &str, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut lines = lines.clone();
            change(&mut lines);
            let damaged = lines.concat();
            if damaged == made().export {
                return Ok(());
            }
            // A line about a recording names its session: it says the same wherever it stands before the checkpoint.
            let same = said(&lines) == said(&self::lines()) && lines.last() == self::lines().last();
            prop_assert!(!verify(&damaged).is_clean() || same, "{} {} {}", what, one, two);
            Ok(())
        };
        changed("removed", &|lines| drop(lines.remove(one)))?;
        changed("doubled", &|lines| lines.insert(two, lines[one].clone()))?;
        changed("swapped", &|lines| lines.swap(one, two))?;
        changed("reversed", &|lines| lines[one.min(two)..].reverse())?;
    }
}

/// The first line and the events in order, and the rest in any.
fn said(lines: &[Vec<u8>]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (others, ordered) = lines.iter().cloned().partition(|line| line.starts_with(b"{\"recording\""));
    let mut others: Vec<Vec<u8>> = others;
    others.sort();
    (ordered, others)
}

/// Says `x` without end, and counts.
struct Endless(u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(b'x');
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn a_line_without_end_is_read_up_to_its_bound() {
    let mut endless = Endless(0);
    let report =
        verify_export(BufReader::new(made().export.as_slice().chain(&mut endless)), &made().key, None, None)
            .unwrap();
    assert!(!report.is_clean());
    assert!(endless.0 < 2 << 20, "{} bytes", endless.0);
}

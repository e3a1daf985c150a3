//! Verifies an export offline: was anything altered, dropped, swapped, inserted, rolled back, or left out?
//!
//! What is believed is one key. With it come the checkpoint at the export's end and those inside the log; the tree's
//! root says *whether* all events are those that were signed, the `prev` of each event says *which* is not. An older
//! checkpoint, kept elsewhere, shows a ledger that was rolled back or rewritten by the holder of the key himself. Each
//! finished recording is held against the manifest that the ledger names, and each opened session must have one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Read},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hoop_model::{AgentId, EventId, SessionId, Timestamp};
use hoop_recording::{Carried, Frame, Hash, Manifest, Tag, Trailer, Trust, VerifyingKey, verify_chain};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    checkpoint::{Checkpoint, CheckpointKey, SignedCheckpoint},
    cosignature::Witnesses,
    event::{EventCode, Facts},
    export::{EXPORT_VERSION, ExportHeader, Line, RecordingLine},
    finding::{Finding, Report, Witnessed},
    order::{Order, Place},
    tree::{Frontier, leaf_hash},
};

/// Longest line: a trailer in base64 is the longest thing in an export.
const MAX_LINE: u64 = 1024 * 1024;

/// An export has one for the witnesses, and more than these are nonsense.
const MOST_WITNESSED: usize = 64;

/// Where the recordings' files are.
pub trait Recordings {
    /// Opens the recording of a session; `None` if there is none.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    fn open(&mut self, session: &SessionId) -> io::Result<Option<Box<dyn Read + '_>>>;
}

/// Verifies an export against the trusted key, an older checkpoint if one was kept, and the recordings if they are at
/// hand.
///
/// # Errors
/// When the input or a recording cannot be read; what is wrong with them stands in the report.
pub fn verify_export(
    input: impl BufRead,
    key: &CheckpointKey,
    older: Option<&SignedCheckpoint>,
    recordings: Option<&mut dyn Recordings>,
) -> io::Result<Report> {
    verify_witnessed(input, key, older, recordings, &Witnesses::default())
}

/// The same, and as many witnesses as are needed must have signed one of the checkpoints that hold: the last of the
/// export, the older one, or one that stands in the export for that.
///
/// # Errors
/// As [`verify_export`].
pub fn verify_witnessed(
    mut input: impl BufRead,
    key: &CheckpointKey,
    older: Option<&SignedCheckpoint>,
    recordings: Option<&mut dyn Recordings>,
    witnesses: &Witnesses,
) -> io::Result<Report> {
    let mut check = Check::new(key);
    check.witnessed.extend(older.cloned());
    let mut line = Vec::new();
    let mut number = 0;
    while read_line(&mut input, &mut line)? {
        number += 1;
        if line.len() as u64 > MAX_LINE {
            let reason = format!("it is longer than {MAX_LINE} bytes");
            check.report.find(Finding::Unreadable { line: number, reason });
            break;
        }
        match number {
            1 => check.header(&line),
            _ => check.line(&line, number),
        }
    }
    check.end_of_events(older);
    check.count_witnesses(witnesses);
    check.sessions(recordings)?;
    Ok(check.report)
}

fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    input.take(MAX_LINE + 1).read_until(b'\n', line)?;
    let more = !line.is_empty();
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(more)
}

/// What is read of a leaf. Codes and facts that this version does not know are no harm.
#[derive(Deserialize)]
struct Stored {
    id: EventId,
    seq: u64,
    prev: Option<Hash>,
    at: Timestamp,
    code: String,
    subjects: Vec<String>,
    facts: Facts,
}

impl Stored {
    fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).and_then(Value::as_str)
    }

    fn agent(&self) -> Option<AgentId> {
        self.subjects.iter().find_map(|subject| subject.parse().ok())
    }

    fn hash(&self, name: &str) -> Option<Hash> {
        self.fact(name)?.parse().ok()
    }
}

#[derive(Default)]
struct Session {
    first: u64,
    /// Whose it is to record.
    agent: Option<AgentId>,
    /// How long its recording is kept; `Some(None)`: for ever.
    retention: Option<Option<u64>>,
    /// Granted: its agent may have begun it, also when its word that it did was lost.
    requested: Option<u64>,
    opened: Option<u64>,
    ended: bool,
    unrecorded: bool,
    recording: Option<Named>,
    /// No signed end will come.
    unsigned: Option<Unsigned>,
    deleted: Option<Deleted>,
}

impl Session {
    /// Until when its recording is kept, as far as the events so far say; `None`: for ever.
    fn retain_until(&self) -> Option<Timestamp> {
        match (&self.recording, &self.unsigned) {
            (Some(named), _) => named.retain_until,
            (None, unsigned) => unsigned.as_ref()?.retain_until,
        }
    }

    /// Whether an end of its recording may still be told: the gateway accepts a seal after an interruption, and a signature
    /// after none, and nothing of a recording that was deleted.
    fn is_closed(&self, signed: bool, sealed: bool) -> bool {
        let before = match &self.recording {
            Some(named) => named.sealed || !sealed,
            None => self.unsigned.is_some() && !signed,
        };
        before || self.deleted.is_some()
    }
}

/// A recording without a signed end: the event that says so, and the bytes that the gateway has.
struct Unsigned {
    seq: u64,
    bytes: u64,
    retain_until: Option<Timestamp>,
    relay: Option<Relay>,
}

/// A recording as the ledger names it.
struct Named {
    seq: u64,
    sealed: bool,
    manifest: Option<Hash>,
    signer: Option<VerifyingKey>,
    /// It must not be deleted before; never, if that is not said.
    retain_until: Option<Timestamp>,
    /// What the gateway's relay carried; `None`: it does not know.
    relay: Option<Relay>,
}

/// What a gateway's relay says that it carried for a session.
#[derive(Clone, Copy, Deserialize)]
struct Relay {
    to_agent: u64,
    to_person: u64,
    connections: u64,
}

/// Whether a recording's end lets it go before the time that its session began with; `None` there: nothing is known.
fn is_shorter(until: Option<Timestamp>, retention: Option<Option<u64>>, ended: Timestamp) -> bool {
    match (until, retention) {
        (None, _) | (_, None) => false,
        (Some(_), Some(None)) => true,
        (Some(until), Some(Some(seconds))) => until.after(MOMENT) < ended.after(Duration::from_secs(seconds)),
    }
}

/// Between two readings of one clock.
const MOMENT: Duration = Duration::from_secs(60);
/// Clocks of several gateways.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);
/// So much of a connection may be on its way when it is cut, in each direction.
const ON_ITS_WAY: u64 = 16 << 20;
/// A first message that was passed on, and once more because the connection it was for broke: counted once by the relay.
const FIRST_MESSAGE: u64 = 16 << 10;

impl Relay {
    /// Whether the agent can have received and sent what it says. Nobody receives what was not sent; what was sent and not
    /// received was on its way when connections broke, and that is not much.
    fn agrees_with(&self, agent: Carried) -> bool {
        let lost = self.connections.saturating_mul(ON_ITS_WAY);
        let twice = self.connections.saturating_mul(FIRST_MESSAGE);
        let fits = |sent: u64, received: u64| {
            received <= sent.saturating_add(twice) && sent.saturating_sub(received) <= lost
        };
        fits(self.to_agent, agent.received) && fits(agent.sent, self.to_person)
    }
}

/// A recording that was deleted, as the ledger tells of it.
struct Deleted {
    seq: u64,
    at: Timestamp,
    /// What was known of it by then: whether its manifest was another, and until when it was to be kept.
    altered: bool,
    retain_until: Option<Timestamp>,
    /// The event of a legal hold that was in force on it.
    hold: Option<u64>,
}

/// Legal holds in force while the events are read: by their id, what they are on and the event that placed them.
#[derive(Default)]
struct Holds(BTreeMap<String, (Vec<String>, u64)>);

impl Holds {
    fn note(&mut self, code: EventCode, stored: &Stored) {
        let Some(hold) = stored.fact("hold") else { return };
        match code {
            EventCode::HoldPlaced => {
                self.0.insert(hold.to_owned(), (stored.subjects.clone(), stored.seq));
            }
            EventCode::HoldReleased => {
                self.0.remove(hold);
            }
            _ => {}
        }
    }

    /// One that is on any of these: a session's event names its person and its connection too.
    fn on(&self, subjects: &[String]) -> Option<u64> {
        let covers = |on: &Vec<String>| on.iter().any(|one| subjects.contains(one));
        self.0.values().find(|(on, _)| covers(on)).map(|(_, seq)| *seq)
    }
}

struct Check<'a> {
    key: &'a CheckpointKey,
    report: Report,
    order: Order,
    leaves: Vec<Hash>,
    /// Checkpoints that were written into the log.
    inner: Vec<Checkpoint>,
    /// The roots at the sizes that were signed for.
    roots: BTreeMap<u64, Hash>,
    /// Up to so many events a signed root was seen to hold.
    proven: u64,
    checkpoint: Option<Checkpoint>,
    /// The line of the last checkpoint was there: nothing may follow it.
    ended: bool,
    sessions: BTreeMap<SessionId, Session>,
    trailers: BTreeMap<SessionId, Frame>,
    live: Vec<SessionId>,
    holds: Holds,
    /// The keys that agents enrolled with.
    signers: BTreeMap<AgentId, Vec<VerifyingKey>>,
    /// The times of the events from the first deletion on.
    after_deletion: Vec<(u64, Timestamp)>,
    /// Checkpoints with what witnesses signed under them.
    witnessed: Vec<SignedCheckpoint>,
}

impl<'a> Check<'a> {
    fn new(key: &'a CheckpointKey) -> Self {
        Self {
            key,
            report: Report::default(),
            order: Order::default(),
            leaves: Vec::new(),
            inner: Vec::new(),
            roots: BTreeMap::new(),
            proven: 0,
            checkpoint: None,
            ended: false,
            sessions: BTreeMap::new(),
            trailers: BTreeMap::new(),
            live: Vec::new(),
            holds: Holds::default(),
            signers: BTreeMap::new(),
            after_deletion: Vec::new(),
            witnessed: Vec::new(),
        }
    }

    fn header(&mut self, line: &[u8]) {
        match serde_json::from_slice::<ExportHeader>(line) {
            Ok(header) if header.hoop_ledger_export == EXPORT_VERSION => self.live = header.live,
            Ok(header) => {
                let reason = format!("the export has version {}", header.hoop_ledger_export);
                self.report.find(Finding::Unreadable { line: 1, reason });
            }
            Err(error) => self.report.find(Finding::Unreadable { line: 1, reason: error.to_string() }),
        }
    }

    fn line(&mut self, line: &[u8], number: u64) {
        if self.ended {
            let reason = "it stands behind the checkpoint that ends the export".to_owned();
            self.report.find(Finding::Unreadable { line: number, reason });
        }
        match serde_json::from_slice(line) {
            Ok(Line::Leaf(leaf)) => self.leaf(leaf.get().as_bytes()),
            Ok(Line::Recording(line)) => self.recording(line, number),
            Ok(Line::Witnessed(note)) => self.keep_witnessed(note, number),
            Ok(Line::Checkpoint(note)) => self.final_checkpoint(&note),
            Err(_) if line.starts_with(b"{\"leaf\"") => self.leaf(line),
            Err(error) => {
                self.report.find(Finding::Unreadable { line: number, reason: error.to_string() });
            }
        }
    }

    fn leaf(&mut self, leaf: &[u8]) {
        let hash = leaf_hash(leaf);
        match serde_json::from_slice::<Stored>(leaf) {
            Ok(stored) => {
                self.inner_checkpoint(&stored);
                let place = Place { seq: stored.seq, id: Some(stored.id) };
                if self.order.take(place, stored.prev, hash, &mut self.report) {
                    self.note(&stored);
                }
            }
            Err(_) => self.order.unreadable(hash, &mut self.report),
        }
        self.leaves.push(hash);
        self.report.events += 1;
    }

    /// A checkpoint that was written into the log signs for all events before it.
    fn inner_checkpoint(&mut self, stored: &Stored) {
        if stored.code != EventCode::LedgerCheckpoint.as_str() || self.order.is_broken() {
            return;
        }
        let note = stored.fact("note").unwrap_or_default();
        let Ok(note) = note.parse::<SignedCheckpoint>() else { return };
        match note.verify(self.key) {
            Ok(checkpoint) => self.inner.push(checkpoint.clone()),
            Err(error) => {
                let reason = format!("event {}: {error}", stored.seq);
                self.report.find(Finding::Checkpoint { reason });
            }
        }
    }

    /// Holds the first events against a signed root.
    fn prove(&mut self, signed: &Checkpoint) -> bool {
        if self.roots.get(&signed.size) == Some(&signed.root) {
            self.proven = self.proven.max(signed.size);
            return true;
        }
        self.report.find(Finding::Root { after: self.proven, size: signed.size });
        false
    }

    /// Goes over the leaves once, whatever the number of checkpoints.
    fn compute_roots(&mut self, older: Option<&SignedCheckpoint>) {
        let witnessed = self.witnessed.iter().map(SignedCheckpoint::unverified);
        let signed = self.inner.iter().chain(&self.checkpoint).chain(older.map(SignedCheckpoint::unverified));
        let signed = signed.chain(witnessed);
        let sizes: BTreeSet<u64> = signed.map(|checkpoint| checkpoint.size).collect();
        let mut frontier = Frontier::default();
        if sizes.contains(&0) {
            self.roots.insert(0, frontier.root());
        }
        for leaf in &self.leaves {
            frontier.append(*leaf);
            if sizes.contains(&frontier.size()) {
                self.roots.insert(frontier.size(), frontier.root());
            }
        }
    }

    fn prove_inner(&mut self) -> bool {
        let mut inner = std::mem::take(&mut self.inner);
        inner.sort_by_key(|checkpoint| checkpoint.size);
        self.order.is_broken() || inner.iter().all(|checkpoint| self.prove(checkpoint))
    }

    fn keep_witnessed(&mut self, note: SignedCheckpoint, number: u64) {
        if self.witnessed.len() >= MOST_WITNESSED {
            let reason = format!("there are more than {MOST_WITNESSED} witnessed checkpoints");
            return self.report.find(Finding::Unreadable { line: number, reason });
        }
        match note.verify(self.key) {
            Ok(checkpoint) => {
                // It signs for all events before it, like one that was written into the log.
                self.inner.push(checkpoint.clone());
                self.witnessed.push(note);
            }
            Err(error) => {
                let reason = format!("line {number}: {error}");
                self.report.find(Finding::Checkpoint { reason });
            }
        }
    }

    /// A cosignature is good for a root that these events have: one under a checkpoint of another history is worth nothing.
    fn count_witnesses(&mut self, witnesses: &Witnesses) {
        if witnesses.keys.is_empty() {
            return;
        }
        let mut best = Witnessed { needed: witnesses.needed, ..Witnessed::default() };
        for note in &self.witnessed {
            let signed = note.unverified();
            let holds = note.verify(self.key).is_ok() && self.roots.get(&signed.size) == Some(&signed.root);
            let by: Vec<String> = witnesses.of(note).into_iter().map(str::to_owned).collect();
            let rank = (by.len().min(witnesses.needed), signed.size);
            if holds && rank > (best.by.len().min(witnesses.needed), best.size) {
                best = Witnessed { size: signed.size, by, needed: witnesses.needed };
            }
        }
        if best.by.len() < witnesses.needed {
            self.report.find(Finding::Unwitnessed { by: best.by.len(), needed: witnesses.needed });
        }
        self.report.witnessed = Some(best);
    }

    fn final_checkpoint(&mut self, note: &SignedCheckpoint) {
        self.ended = true;
        self.witnessed.push(note.clone());
        match note.verify(self.key) {
            Ok(checkpoint) => self.checkpoint = Some(checkpoint.clone()),
            Err(error) => self.report.find(Finding::Checkpoint { reason: error.to_string() }),
        }
    }

    fn recording(&mut self, line: RecordingLine, number: u64) {
        let frame =
            STANDARD.decode(&line.trailer).ok().and_then(|bytes| Frame::parse(Bytes::from(bytes)).ok());
        match frame {
            Some(frame) if frame.tag == Tag::Trailer => {
                if self.trailers.insert(line.session, frame).is_some() {
                    let reason = format!("the manifest of session {} is there twice", line.session);
                    self.report.find(Finding::Unreadable { line: number, reason });
                }
            }
            _ => {
                let reason = format!("the manifest of session {} is no trailer", line.session);
                self.report.find(Finding::Unreadable { line: number, reason });
            }
        }
    }

    fn note(&mut self, stored: &Stored) {
        if !self.after_deletion.is_empty() {
            self.after_deletion.push((stored.seq, stored.at));
        }
        let Ok(code) = stored.code.parse::<EventCode>() else { return };
        self.holds.note(code, stored);
        if code == EventCode::AgentEnrolled {
            self.enrolled(stored);
        }
        let Some(session) = stored.subjects.iter().find_map(|subject| subject.parse::<SessionId>().ok())
        else {
            return;
        };
        let known = || Session { first: stored.seq, ..Session::default() };
        match code {
            EventCode::SessionRequested => {
                let state = self.sessions.entry(session).or_insert_with(known);
                state.requested = Some(stored.seq);
                state.agent = stored.agent();
                state.retention = stored.facts.get("retention_seconds").map(Value::as_u64);
            }
            EventCode::SessionOpened => {
                let state = self.sessions.entry(session).or_insert_with(known);
                state.opened = Some(stored.seq);
                state.agent = state.agent.or(stored.agent());
            }
            EventCode::SessionEnded => {
                let state = self.sessions.entry(session).or_insert_with(known);
                state.ended = true;
                state.unrecorded = stored.facts.get("recorded") == Some(&Value::Bool(false));
            }
            EventCode::RecordingSealed | EventCode::RecordingInterrupted => {
                self.recording_ended(session, code, stored);
            }
            EventCode::RecordingDeleted => self.recording_deleted(session, stored),
            _ => {}
        }
    }

    fn enrolled(&mut self, stored: &Stored) {
        let key =
            stored.fact("signing_key").and_then(|text| data_encoding::HEXLOWER.decode(text.as_bytes()).ok());
        let key = key.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(VerifyingKey::from_bytes);
        if let (Some(agent), Some(key)) = (stored.agent(), key) {
            self.signers.entry(agent).or_default().push(key);
        }
    }

    fn recording_ended(&mut self, session: SessionId, code: EventCode, stored: &Stored) {
        let seq = stored.seq;
        let sealed = code == EventCode::RecordingSealed;
        let manifest = stored.hash("manifest");
        let retain_until = stored.fact("retain_until").and_then(|text| text.parse().ok());
        let relay = stored.facts.get("relay").and_then(|relay| Relay::deserialize(relay).ok());
        let signers = &self.signers;
        let state =
            self.sessions.entry(session).or_insert_with(|| Session { first: seq, ..Session::default() });
        if state.is_closed(sealed || manifest.is_some(), sealed) {
            return self.report.find(Finding::NamedAgain { session, seq });
        }
        if is_shorter(retain_until, state.retention, stored.at) {
            self.report.find(Finding::KeptTooShort { session, seq });
        }
        if !sealed && manifest.is_none() {
            let bytes = stored.facts.get("bytes").and_then(Value::as_u64).unwrap_or(u64::MAX);
            state.unsigned = Some(Unsigned { seq, bytes, retain_until, relay });
            return;
        }
        let signer: Option<VerifyingKey> = stored.fact("signer").and_then(|text| text.parse().ok());
        let enrolled = state.agent.and_then(|agent| signers.get(&agent));
        if !signer.is_some_and(|signer| enrolled.is_some_and(|keys| keys.contains(&signer))) {
            self.report.find(Finding::SignerUnknown { session, seq });
        }
        // What an earlier word said of the relay is not forgotten.
        let before = state.recording.as_ref().and_then(|named| named.relay);
        let relay = relay.or(before).or(state.unsigned.as_ref().and_then(|unsigned| unsigned.relay));
        state.recording = Some(Named { seq, sealed, manifest, signer, retain_until, relay });
    }

    fn recording_deleted(&mut self, session: SessionId, stored: &Stored) {
        let (seq, at, manifest) = (stored.seq, stored.at, stored.hash("manifest"));
        let hold = self.holds.on(&stored.subjects);
        let state =
            self.sessions.entry(session).or_insert_with(|| Session { first: seq, ..Session::default() });
        let altered = state.recording.as_ref().and_then(|named| named.manifest) != manifest;
        let retain_until = state.retain_until();
        state.deleted.get_or_insert(Deleted { seq, at, altered, retain_until, hold });
        if self.after_deletion.is_empty() {
            self.after_deletion.push((seq, at));
        }
    }

    /// The earliest time that an event from this one on tells: whoever sets one event's time ahead has not set the rest.
    fn earliest_from(&self, seq: u64) -> Option<Timestamp> {
        let from = self.after_deletion.partition_point(|(known, _)| *known < seq);
        self.after_deletion.get(from..)?.iter().map(|(_, at)| *at).min()
    }

    fn end_of_events(&mut self, older: Option<&SignedCheckpoint>) {
        self.order.settle(&mut self.report);
        self.compute_roots(older);
        let inner_hold = self.prove_inner();
        let events = self.leaves.len() as u64;
        match self.checkpoint.clone() {
            None => {
                let reason = "the export has none that the trusted key signed".to_owned();
                self.report.find(Finding::Checkpoint { reason });
            }
            Some(signed) => {
                self.report.origin = Some(signed.origin.clone());
                self.signed_end(&signed, events, inner_hold);
            }
        }
        if let Some(older) = older {
            self.older(older, events);
        }
    }

    fn signed_end(&mut self, signed: &Checkpoint, events: u64, inner_hold: bool) {
        let next = self.order.expected();
        if signed.size > next {
            self.report.find(Finding::Missing { first: next, last: signed.size - 1 });
        } else if self.order.is_broken() {
            // The root cannot hold, and why is named already.
        } else if signed.size < events {
            let reason = format!("it signs for {} of {events} events", signed.size);
            self.report.find(Finding::Checkpoint { reason });
        } else if inner_hold && self.prove(signed) {
            self.report.root = Some(signed.root);
        }
    }

    fn older(&mut self, older: &SignedCheckpoint, events: u64) {
        let older = match older.verify(self.key) {
            Ok(older) => older,
            Err(error) => {
                let reason = format!("the older one: {error}");
                return self.report.find(Finding::Checkpoint { reason });
            }
        };
        let signed = self.checkpoint.as_ref().map_or(events, |signed| signed.size);
        if older.size > signed {
            self.report.find(Finding::RolledBack { had: older.size, has: signed });
        } else if self.roots.get(&older.size) != Some(&older.root) {
            self.report.find(Finding::Rewritten { within: older.size });
        }
    }

    fn sessions(&mut self, mut recordings: Option<&mut dyn Recordings>) -> io::Result<()> {
        self.report.sessions = self.sessions.len() as u64;
        for (id, state) in std::mem::take(&mut self.sessions) {
            let Some(opened) = state.opened.or(state.requested) else {
                self.report.find(Finding::SessionNeverOpened { session: id, seq: state.first });
                continue;
            };
            let live = self.live.contains(&id);
            if live {
                self.report.live_sessions.push(id);
            }
            if let Some(deleted) = &state.deleted {
                self.deleted(id, deleted);
            }
            match state.recording {
                Some(named) => {
                    let there = recordings.as_deref_mut().filter(|_| state.deleted.is_none());
                    self.named(id, &named, there)?;
                }
                None if state.unsigned.is_some() => {
                    // One that its agent never confirmed, and nothing came of: there was no recording.
                    let lost = |unsigned: &Unsigned| state.opened.is_some() || unsigned.bytes > 0;
                    if let Some(Unsigned { seq, bytes, .. }) = state.unsigned.filter(lost)
                        && state.deleted.is_none()
                    {
                        self.report.find(Finding::RecordingUnsigned { session: id, seq, bytes });
                    }
                }
                // What was opened was recorded, whatever its end says.
                None if state.ended && !(state.unrecorded && state.opened.is_none()) && !live => {
                    self.report.find(Finding::SessionUnrecorded { session: id, seq: opened });
                }
                None => {}
            }
            if !state.ended && !live {
                self.report.find(Finding::SessionUnended { session: id, seq: opened });
            }
        }
        Ok(())
    }

    /// A deletion is fine when its time was over, no hold was on it, and it says which recording it was.
    fn deleted(&mut self, session: SessionId, deleted: &Deleted) {
        let seq = deleted.seq;
        self.report.recordings_deleted += 1;
        // Clocks of several gateways differ, and are set: not by hours.
        let known = self.earliest_from(seq).unwrap_or(deleted.at).after(CLOCKS_DIFFER).min(deleted.at);
        if deleted.retain_until.is_none_or(|until| until > known) {
            self.report.find(Finding::DeletedEarly { session, seq });
        }
        if let Some(hold) = deleted.hold {
            self.report.find(Finding::DeletedOnHold { session, seq, hold });
        }
        if deleted.altered {
            self.report.find(Finding::ManifestAltered { session, seq });
        }
    }

    fn named(
        &mut self,
        session: SessionId,
        named: &Named,
        recordings: Option<&mut (dyn Recordings + '_)>,
    ) -> io::Result<()> {
        let seq = named.seq;
        let trailer = match self.manifest(session, named) {
            Ok(trailer) => trailer,
            Err(finding) => {
                self.report.find(finding);
                None
            }
        };
        self.bytes(session, named, trailer.as_ref());
        let Some(recordings) = recordings else { return Ok(()) };
        let Some(file) = recordings.open(&session)? else {
            self.report.find(Finding::RecordingAbsent { session, seq });
            return Ok(());
        };
        let trust = named.signer.as_ref().map_or(Trust::Header, Trust::Key);
        let read = verify_chain(file, trust)?;
        self.report.recordings_checked += 1;
        let same = read.manifest.is_some() && (trailer.is_none() || read.manifest == trailer);
        if !same || !read.is_clean() || read.session != Some(session) {
            self.report.find(Finding::RecordingDiffers { session, seq, findings: read.findings });
        }
        Ok(())
    }

    /// What the agent counted, held against what the relay did.
    fn bytes(&mut self, session: SessionId, named: &Named, manifest: Option<&Manifest>) {
        let Some(manifest) = manifest else { return };
        // One that was sealed says what was carried; one that a crash interrupted may not know.
        let carried = manifest.contents.as_ref().and_then(|contents| contents.carried);
        let carried = carried.or_else(|| named.sealed.then(Carried::default));
        if let (Some(relay), Some(agent)) = (&named.relay, carried)
            && !relay.agrees_with(agent)
        {
            let relay = Carried { received: relay.to_agent, sent: relay.to_person };
            self.report.find(Finding::BytesDiffer { session, seq: named.seq, agent, relay });
        }
    }

    /// The manifest in the export, held against what the ledger says of it.
    fn manifest(&self, session: SessionId, named: &Named) -> Result<Option<Manifest>, Finding> {
        let seq = named.seq;
        let Some(frame) = self.trailers.get(&session) else {
            return Err(Finding::ManifestMissing { session, seq });
        };
        let altered = Finding::ManifestAltered { session, seq };
        let Ok(trailer) = Trailer::from_frame(frame) else { return Err(altered) };
        let signed = named.signer.is_some_and(|signer| trailer.is_signed_by(&signer));
        if named.manifest != Some(frame.hash()) || !signed || trailer.manifest.session != session {
            return Err(altered);
        }
        Ok(Some(trailer.manifest))
    }
}

//! THREATS F5: evidence is changed or left out. We are the attacker, and `verify_export` names each attack.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use hoop_ledger::{
    Appender, Checkpoint, CheckpointKey, Draft, EventCode, ExportWriter, Finding, Recordings, Report,
    SignedCheckpoint, recording_facts, verify_export,
};
use hoop_model::{Actor, AgentId, EventId, SessionId, Timestamp};
use hoop_recording::{
    Compression, Event, Frame, Record, RecordingPrivateKey, RequestId, SigningKey, Start, Writer, event::Form,
};

const ORIGIN: &str = "hoop.test/ledger";

/// A ledger with its recordings, as it stands at the gateway.
struct World {
    key: SigningKey,
    agent: SigningKey,
    log: Appender,
    leaves: Vec<Vec<u8>>,
    trailers: Vec<(SessionId, Frame)>,
    files: Files,
    live: Vec<SessionId>,
    /// Who records, and enrolled at the beginning.
    agent_id: AgentId,
    /// Until when recordings are kept that are made from now on.
    retain_until: Option<Timestamp>,
    /// What agent and relay say was carried, of sessions from now on.
    carried: Option<hoop_recording::Carried>,
    relay: Option<serde_json::Map<String, serde_json::Value>>,
    /// For how long recordings are promised to be kept, from now on; `Some(None)`: for ever.
    promised: Option<Option<u64>>,
    /// The event with which a session begins.
    opened_as: EventCode,
}

#[derive(Default, Clone)]
struct Files(BTreeMap<SessionId, Vec<u8>>);

impl Recordings for Files {
    fn open(&mut self, session: &SessionId) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(self.0.get(session).map(|file| Box::new(file.as_slice()) as Box<dyn Read>))
    }
}

impl World {
    /// Some sign-ins, and this many recorded sessions.
    fn new(sessions: usize) -> Self {
        let mut world = Self {
            key: SigningKey::generate().unwrap(),
            agent: SigningKey::generate().unwrap(),
            log: Appender::default(),
            leaves: Vec::new(),
            trailers: Vec::new(),
            files: Files::default(),
            live: Vec::new(),
            agent_id: AgentId::generate(),
            retain_until: None,
            carried: None,
            relay: None,
            promised: None,
            opened_as: EventCode::SessionOpened,
        };
        world.enrol(&world.agent.verifying_key());
        let recording_key = RecordingPrivateKey::generate().unwrap();
        for _ in 0..sessions {
            world.add(Draft::new(Actor::Anonymous, EventCode::LoginSucceeded).fact("name", "ada"));
            world.session(&recording_key);
        }
        world
    }

    /// The agent enrolled with this key.
    fn enrol(&mut self, key: &hoop_recording::VerifyingKey) {
        let key = data_encoding::HEXLOWER.encode(key.as_bytes());
        let draft = Draft::new(Actor::System, EventCode::AgentEnrolled).about(self.agent_id);
        self.add(draft.fact("signing_key", key));
    }

    fn add(&mut self, draft: Draft) {
        let at = Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(self.leaves.len()).unwrap());
        self.leaves.push(self.log.append(draft, EventId::generate(), at).unwrap().leaf);
    }

    fn session(&mut self, recording_key: &RecordingPrivateKey) {
        let session = SessionId::generate();
        let opened = Draft::new(Actor::Anonymous, self.opened_as).about(session).about(self.agent_id);
        self.add(match self.promised {
            Some(seconds) => opened.fact("retention_seconds", seconds),
            None => opened,
        });
        let start = Start {
            session,
            at: Timestamp::EPOCH,
            facts: Vec::new(),
            signer: self.agent.verifying_key(),
            compression: Compression::default(),
        };
        let (mut writer, header) = Writer::create(start, recording_key.public()).unwrap();
        let mut file = header.bytes.to_vec();
        for id in 0..3 {
            let event = Event::Request {
                id: RequestId(id),
                form: Form::Query,
                text: "SELECT 1".into(),
                parameters: Vec::new(),
            };
            let _ = writer.append(&Record { at: Timestamp::EPOCH, stream: None, event }).unwrap();
            file.extend_from_slice(&writer.seal_chunk().unwrap().unwrap().bytes);
        }
        self.carried.into_iter().for_each(|carried| writer.note_carried(carried));
        let trailer = writer.finish(Timestamp::EPOCH, "closed", &self.agent).unwrap().trailer_frame;
        file.extend_from_slice(&trailer);
        let trailer = Frame::parse(trailer).unwrap();
        self.add(Draft::new(Actor::System, EventCode::SessionEnded).about(session));
        let mut sealed = Draft::new(Actor::System, EventCode::RecordingSealed).about(session);
        sealed.facts = recording_facts(&trailer, &self.agent.verifying_key());
        sealed
            .facts
            .extend(self.retain_until.map(|until| ("retain_until".to_owned(), until.to_string().into())));
        sealed.facts.extend(self.relay.clone().map(|relay| ("relay".to_owned(), relay.into())));
        self.add(sealed);
        self.trailers.push((session, trailer));
        self.files.0.insert(session, file);
    }

    fn checkpoint(&self) -> SignedCheckpoint {
        let frontier = self.log.frontier();
        Checkpoint::new(ORIGIN, frontier.size(), frontier.root()).unwrap().sign(&self.key)
    }

    /// Writes a checkpoint into the log.
    fn mark(&mut self) {
        let note = self.checkpoint().to_string();
        self.add(Draft::new(Actor::System, EventCode::LedgerCheckpoint).fact("note", note));
    }

    fn trusted(&self) -> CheckpointKey {
        CheckpointKey::new(ORIGIN, self.key.verifying_key()).unwrap()
    }

    fn export_with(&self, checkpoint: &SignedCheckpoint) -> Vec<u8> {
        let mut out =
            ExportWriter::new(Vec::new(), &self.trusted(), Timestamp::EPOCH, self.live.clone()).unwrap();
        self.leaves.iter().for_each(|leaf| out.leaf(leaf).unwrap());
        self.trailers.iter().for_each(|(session, trailer)| out.recording(*session, trailer).unwrap());
        out.finish(checkpoint).unwrap()
    }

    fn verify(&self) -> Report {
        self.verify_export(&self.export_with(&self.checkpoint()))
    }

    fn verify_export(&self, export: &[u8]) -> Report {
        verify_export(export, &self.trusted(), None, Some(&mut self.files.clone())).unwrap()
    }

    /// As an attacker who can sign would: all events anew, from those that are left.
    fn remake(&mut self, keep: impl Fn(&hoop_ledger::LedgerEvent) -> bool) {
        let old = std::mem::take(&mut self.leaves);
        self.log = Appender::default();
        for leaf in old {
            let event = hoop_ledger::LedgerEvent::from_leaf(&leaf).unwrap();
            if keep(&event) {
                let draft = Draft {
                    actor: event.actor,
                    code: event.code,
                    subjects: event.subjects,
                    facts: event.facts,
                };
                self.leaves.push(self.log.append(draft, event.id, event.at).unwrap().leaf);
            }
        }
    }
}

/// Lines of an export that the attacker edits.
fn edited(export: &[u8], edit: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let mut lines: Vec<String> =
        String::from_utf8(export.to_vec()).unwrap().lines().map(str::to_owned).collect();
    edit(&mut lines);
    lines.join("\n").into_bytes()
}

#[test]
fn an_honest_ledger_is_clean() {
    let mut world = World::new(3);
    world.mark();
    let report = world.verify();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.sessions, report.recordings_checked, report.events), (3, 3, 14));
    assert_eq!(report.origin.as_deref(), Some(ORIGIN));
    assert!(serde_json::to_value(&report).unwrap()["findings"].as_array().unwrap().is_empty());
}

/// One session whose agent counted 1,000 bytes each way, and whose relay counted these.
fn relayed(to_agent: u64, to_person: u64, connections: u64) -> Report {
    let mut world = World::new(0);
    world.carried = Some(hoop_recording::Carried { received: 1000, sent: 1000 });
    let counts = [("to_agent", to_agent), ("to_person", to_person), ("connections", connections)];
    world.relay = Some(counts.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect());
    world.session(&RecordingPrivateKey::generate().unwrap());
    world.verify()
}

#[test]
fn what_the_relay_carried_fits_what_the_agent_signed_for() {
    for (to_agent, to_person) in [(1000, 1000), (1500, 1000), (1000, 400)] {
        let report = relayed(to_agent, to_person, 1);
        assert!(report.is_clean(), "{to_agent} {to_person}: {:?}", report.findings);
    }
}

#[test]
fn say_that_less_was_carried_than_the_relay_saw() {
    let much = 40 << 20;
    assert!(relayed(much, 1000, 3).is_clean(), "three connections that broke under load");
    for (to_agent, to_person, connections) in [(much, 1000, 1), (1000, much, 1), (0, 1000, 0), (1000, 0, 0)] {
        let findings = relayed(to_agent, to_person, connections).findings;
        assert!(
            matches!(&findings[..], [Finding::BytesDiffer { .. }]),
            "{to_agent} {to_person}: {findings:?}"
        );
    }
}

/// Deletes the only session's recording, as the gateway does when its time is over.
fn delete(world: &mut World, change: impl FnOnce(&mut Draft)) {
    let (session, trailer) = world.trailers[0].clone();
    world.files.0.remove(&session);
    let mut draft = Draft::new(Actor::System, EventCode::RecordingDeleted)
        .about(session)
        .fact("manifest", trailer.hash().to_string());
    change(&mut draft);
    world.add(draft);
}

/// One session whose recording's time is over at once.
fn short_lived() -> World {
    let mut world = World::new(0);
    world.retain_until = Some(Timestamp::from_micros(1_700_000_000_000_000));
    world.session(&RecordingPrivateKey::generate().unwrap());
    world
}

#[test]
fn a_recording_whose_time_is_over_is_gone_with_proof() {
    let mut world = short_lived();
    delete(&mut world, |_| ());
    let report = world.verify();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!((report.recordings_deleted, report.recordings_checked), (1, 0));
}

#[test]
fn delete_a_recording_without_a_word() {
    let mut world = short_lived();
    let (session, _) = world.trailers[0];
    world.files.0.remove(&session);
    assert!(matches!(&world.verify().findings[..], [Finding::RecordingAbsent { .. }]));
}

#[test]
fn delete_a_recording_before_its_time() {
    for until in [None, Some(Timestamp::from_micros(1_900_000_000_000_000))] {
        let mut world = World::new(0);
        world.retain_until = until;
        world.session(&RecordingPrivateKey::generate().unwrap());
        delete(&mut world, |_| ());
        let findings = world.verify().findings;
        assert!(matches!(&findings[..], [Finding::DeletedEarly { seq: 4, .. }]), "{findings:?}");
    }
}

#[test]
fn delete_a_recording_under_a_legal_hold() {
    let person = hoop_model::UserId::generate();
    let hold = |code| Draft::new(Actor::System, code).about(person).fact("hold", "hld_1");
    let mut world = short_lived();
    world.add(hold(EventCode::HoldPlaced));
    let before = world.leaves.len();
    delete(&mut world, |draft| draft.subjects.push(person.into()));
    let findings = world.verify().findings;
    let placed = before as u64 - 1;
    assert!(
        matches!(&findings[..], [Finding::DeletedOnHold { hold, .. }] if *hold == placed),
        "{findings:?}"
    );

    let mut world = short_lived();
    world.add(hold(EventCode::HoldPlaced));
    world.add(hold(EventCode::HoldReleased));
    delete(&mut world, |draft| draft.subjects.push(person.into()));
    assert!(world.verify().is_clean(), "released in time");
}

#[test]
fn set_the_clock_ahead_for_a_deletion() {
    let mut world = World::new(0);
    let until = Timestamp::from_micros(1_800_000_000_000_000);
    world.retain_until = Some(until);
    world.session(&RecordingPrivateKey::generate().unwrap());
    let (session, trailer) = world.trailers[0].clone();
    let draft = Draft::new(Actor::System, EventCode::RecordingDeleted).about(session);
    let draft = draft.fact("manifest", trailer.hash().to_string());
    let leaf = world.log.append(draft, EventId::generate(), until).unwrap().leaf;
    world.leaves.push(leaf);
    world.files.0.remove(&session);
    assert!(world.verify().is_clean(), "by its own word");
    world.add(Draft::new(Actor::System, EventCode::GatewayStopped));
    assert!(matches!(&world.verify().findings[..], [Finding::DeletedEarly { seq: 4, .. }]));
}

#[test]
fn say_again_how_a_recording_ended() {
    // With an earlier end of its time, so that it may be deleted.
    let mut world = World::new(1);
    let (session, trailer) = world.trailers[0].clone();
    let again = |world: &mut World, key: &SigningKey, trailer: &Frame| {
        let mut draft = Draft::new(Actor::System, EventCode::RecordingSealed).about(session);
        draft.facts = recording_facts(trailer, &key.verifying_key());
        draft.facts.insert("retain_until".to_owned(), Timestamp::EPOCH.to_string().into());
        world.add(draft);
    };
    let agent = std::mem::replace(&mut world.agent, SigningKey::generate().unwrap());
    again(&mut world, &agent, &trailer);
    let findings = world.verify().findings;
    assert!(matches!(&findings[..], [Finding::NamedAgain { seq: 5, .. }]), "{findings:?}");
    delete(&mut world, |_| ());
    let findings = world.verify().findings;
    assert!(
        findings.iter().any(|finding| matches!(finding, Finding::DeletedEarly { seq: 6, .. })),
        "{findings:?}"
    );
    // After it is gone, for a recording of one's own.
    let mut world = short_lived();
    let (gone, trailer) = world.trailers[0].clone();
    delete(&mut world, |_| ());
    let mut draft = Draft::new(Actor::System, EventCode::RecordingSealed).about(gone);
    draft.facts = recording_facts(&trailer, &world.agent.verifying_key());
    world.add(draft);
    let findings = world.verify().findings;
    assert!(matches!(&findings[..], [Finding::NamedAgain { .. }]), "{findings:?}");
}

#[test]
fn sign_a_recording_in_the_agents_name() {
    let mut world = World::new(0);
    world.agent = SigningKey::generate().unwrap();
    world.session(&RecordingPrivateKey::generate().unwrap());
    let findings = world.verify().findings;
    assert!(matches!(&findings[..], [Finding::SignerUnknown { .. }]), "{findings:?}");
    // It enrols once more, as the same, with a key of its own choice: the ledger says so.
    world.enrol(&world.agent.verifying_key());
    assert!(!world.verify().is_clean(), "an enrolment later says nothing of before");
}

#[test]
fn keep_a_recording_shorter_than_was_promised() {
    let kept = |seconds: Option<u64>, until: Option<i64>| {
        let mut world = World::new(0);
        world.opened_as = EventCode::SessionRequested;
        world.promised = Some(seconds);
        world.retain_until =
            until.map(|until| Timestamp::from_micros(1_700_000_000_000_000 + until * 1_000_000));
        world.session(&RecordingPrivateKey::generate().unwrap());
        world.verify().findings
    };
    assert_eq!(kept(Some(3600), Some(3600)), []);
    assert_eq!(kept(Some(3600), None), [], "for ever is not shorter");
    assert!(matches!(&kept(Some(3600), Some(3000))[..], [Finding::KeptTooShort { .. }]));
    assert!(
        matches!(&kept(None, Some(1 << 30))[..], [Finding::KeptTooShort { .. }]),
        "for ever was promised"
    );
}

#[test]
fn delete_a_recording_and_call_it_another() {
    let mut world = short_lived();
    let other = hoop_recording::Hash::of(b"another").to_string();
    delete(&mut world, |draft| {
        draft.facts.insert("manifest".to_owned(), other.into());
    });
    assert!(matches!(&world.verify().findings[..], [Finding::ManifestAltered { .. }]));
}

#[test]
fn an_empty_ledger_is_clean() {
    let mut world = World::new(0);
    world.leaves.clear();
    world.log = Appender::default();
    assert!(world.verify().is_clean());
}

#[test]
fn flip_a_byte_of_an_event() {
    let world = World::new(2);
    let export = world.export_with(&world.checkpoint());
    for seq in 0..world.leaves.len() {
        let forged = edited(&export, |lines| {
            let line = lines[seq + 1].replacen("\"kind\":\"", "\"kind\": \"", 1);
            assert_ne!(line, lines[seq + 1]);
            lines[seq + 1] = line;
        });
        let report = world.verify_export(&forged);
        assert!(!report.is_clean());
        let seq = seq as u64;
        let last = seq + 1 == world.leaves.len() as u64;
        let named = report.findings.iter().any(|finding| match finding {
            Finding::Altered { seq: named, .. } => *named == seq,
            Finding::Root { after: 0, .. } => last,
            _ => false,
        });
        assert!(named, "event {seq}: {:?}", report.findings);
    }
}

#[test]
fn flip_any_byte_of_an_export() {
    let world = World::new(1);
    let export = world.export_with(&world.checkpoint());
    let header = export.iter().position(|byte| *byte == b'\n').unwrap();
    for at in header + 1..export.len() - 1 {
        let mut forged = export.clone();
        forged[at] ^= 1;
        let report = world.verify_export(&forged);
        assert!(!report.is_clean(), "byte {at}: {}", String::from_utf8_lossy(&forged[at - 20..at + 20]));
    }
}

#[test]
fn drop_an_event() {
    let world = World::new(2);
    let export = world.export_with(&world.checkpoint());
    for seq in 0..world.leaves.len() {
        let report = world.verify_export(&edited(&export, |lines| drop(lines.remove(seq + 1))));
        let seq = seq as u64;
        assert!(
            report.findings.contains(&Finding::Missing { first: seq, last: seq }),
            "{:?}",
            report.findings
        );
    }
}

#[test]
fn drop_a_whole_session() {
    let world = World::new(3);
    let export = world.export_with(&world.checkpoint());
    let victim = world.trailers[1].0.to_string();
    let report = world.verify_export(&edited(&export, |lines| lines.retain(|line| !line.contains(&victim))));
    assert!(report.findings.contains(&Finding::Missing { first: 6, last: 8 }), "{:?}", report.findings);
}

#[test]
fn drop_a_whole_session_and_sign_again() {
    let mut world = World::new(3);
    let kept_elsewhere = world.checkpoint();
    let victim = world.trailers[1].0;
    world.remake(|event| !event.subjects.contains(&victim.into()));
    world.trailers.remove(1);
    assert!(world.verify().is_clean(), "the holder of the key fools whoever kept no checkpoint");
    let export = world.export_with(&world.checkpoint());
    let report = verify_export(export.as_slice(), &world.trusted(), Some(&kept_elsewhere), None).unwrap();
    assert_eq!(report.findings, [Finding::RolledBack { had: 13, has: 10 }]);
}

#[test]
fn rewrite_history_and_sign_again() {
    let mut world = World::new(2);
    let kept_elsewhere = world.checkpoint();
    let victim = world.trailers[0].0;
    world.remake(|event| !event.subjects.contains(&victim.into()));
    (0..5).for_each(|_| world.add(Draft::new(Actor::System, EventCode::LedgerRead)));
    let export = world.export_with(&world.checkpoint());
    let report = verify_export(export.as_slice(), &world.trusted(), Some(&kept_elsewhere), None).unwrap();
    assert_eq!(report.findings, [Finding::Rewritten { within: 9 }]);
}

#[test]
fn a_grown_ledger_continues_the_older_checkpoint() {
    let mut world = World::new(1);
    let kept = world.checkpoint();
    world.add(Draft::new(Actor::System, EventCode::GatewayStopped));
    let export = world.export_with(&world.checkpoint());
    assert!(verify_export(export.as_slice(), &world.trusted(), Some(&kept), None).unwrap().is_clean());
    let stranger = World::new(0).checkpoint();
    let report = verify_export(export.as_slice(), &world.trusted(), Some(&stranger), None).unwrap();
    assert!(matches!(report.findings[..], [Finding::Checkpoint { .. }]));
}

#[test]
fn roll_back() {
    let mut world = World::new(2);
    let earlier = world.export_with(&world.checkpoint());
    world.add(Draft::new(Actor::System, EventCode::UserLocked));
    let kept = world.checkpoint();
    let report = verify_export(earlier.as_slice(), &world.trusted(), Some(&kept), None).unwrap();
    assert_eq!(report.findings, [Finding::RolledBack { had: 10, has: 9 }]);
}

#[test]
fn cut_off_the_last_events() {
    let mut world = World::new(2);
    let signed = world.checkpoint();
    world.leaves.truncate(7);
    let report = world.verify_export(&world.export_with(&signed));
    assert!(report.findings.contains(&Finding::Missing { first: 7, last: 8 }), "{:?}", report.findings);
}

#[test]
fn swap_two() {
    let world = World::new(2);
    let export = world.export_with(&world.checkpoint());
    let report = world.verify_export(&edited(&export, |lines| lines.swap(4, 5)));
    let found = &report.findings;
    assert!(found.contains(&Finding::Missing { first: 3, last: 3 }), "{found:?}");
    assert!(found.iter().any(|finding| matches!(finding, Finding::Moved { seq: 3, .. })), "{found:?}");
}

#[test]
fn insert_one() {
    let world = World::new(1);
    let export = world.export_with(&world.checkpoint());
    let report = world.verify_export(&edited(&export, |lines| {
        let copy = lines[3].clone();
        lines.insert(4, copy);
    }));
    assert!(matches!(report.findings[0], Finding::Inserted { seq: 2, .. }), "{:?}", report.findings);
}

#[test]
fn append_unsigned_events() {
    let mut world = World::new(1);
    let signed = world.checkpoint();
    world.add(Draft::new(Actor::System, EventCode::UserCreated));
    let report = world.verify_export(&world.export_with(&signed));
    assert!(matches!(report.findings[..], [Finding::Checkpoint { .. }]), "{:?}", report.findings);
}

#[test]
fn remake_the_end_without_the_key() {
    let mut world = World::new(2);
    world.mark();
    world.add(Draft::new(Actor::System, EventCode::UserChanged).fact("role", "admin"));
    world.add(Draft::new(Actor::System, EventCode::GatewayStopped));
    let signed = world.checkpoint();
    world.remake(|event| event.code != EventCode::UserChanged);
    world.add(Draft::new(Actor::System, EventCode::LedgerRead));
    let report = world.verify_export(&world.export_with(&signed));
    assert_eq!(
        report.findings,
        [Finding::Root { after: 9, size: 12 }],
        "what an inner checkpoint proves stays proven"
    );
}

#[test]
fn sign_with_another_key() {
    let mut world = World::new(1);
    let trusted = world.trusted();
    world.key = SigningKey::generate().unwrap();
    let export = world.export_with(&world.checkpoint());
    let report = verify_export(export.as_slice(), &trusted, None, None).unwrap();
    assert!(
        matches!(report.findings[..], [Finding::Checkpoint { .. }, Finding::Checkpoint { .. }]),
        "{:?}",
        report.findings
    );
}

#[test]
fn leave_out_the_checkpoint() {
    let world = World::new(1);
    let export = world.export_with(&world.checkpoint());
    let report = world.verify_export(&edited(&export, |lines| drop(lines.pop())));
    assert!(matches!(report.findings[..], [Finding::Checkpoint { .. }]));
}

#[test]
fn remove_a_recording() {
    let mut world = World::new(2);
    let victim = world.trailers[0].0;
    world.files.0.remove(&victim);
    assert_eq!(world.verify().findings, [Finding::RecordingAbsent { session: victim, seq: 4 }]);
}

#[test]
fn flip_a_byte_of_a_recording() {
    let mut world = World::new(2);
    let victim = world.trailers[0].0;
    let file = world.files.0.get_mut(&victim).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    let findings = world.verify().findings;
    assert!(
        matches!(&findings[..], [Finding::RecordingDiffers { session, seq: 4, findings }] if *session == victim && !findings.is_empty()),
        "{findings:?}"
    );
}

#[test]
fn drop_the_last_chunk_of_a_recording() {
    let mut world = World::new(1);
    let (victim, trailer) = world.trailers[0].clone();
    let file = world.files.0.get_mut(&victim).unwrap();
    let chunks = hoop_recording::scan(file.as_slice()).unwrap().chain.chunks();
    let mut frames = hoop_recording::frames::FrameReader::new(file.as_slice());
    let mut kept = Vec::new();
    for _ in 0..chunks {
        let hoop_recording::frames::Next::Frame { frame, .. } = frames.next_frame().unwrap() else {
            continue;
        };
        kept.extend_from_slice(&frame.bytes);
    }
    kept.extend_from_slice(&trailer.bytes);
    *file = kept;
    let findings = world.verify().findings;
    let missing = |finding: &hoop_recording::Finding| {
        matches!(finding, hoop_recording::Finding::Missing { first: 2, last: 2, .. })
    };
    assert!(
        matches!(&findings[..], [Finding::RecordingDiffers { findings, .. }] if findings.iter().any(missing)),
        "{findings:?}"
    );
}

#[test]
fn swap_two_recordings() {
    let mut world = World::new(2);
    let (one, two) = (world.trailers[0].0, world.trailers[1].0);
    let (first, second) = (world.files.0.remove(&one).unwrap(), world.files.0.remove(&two).unwrap());
    world.files.0.insert(one, second);
    world.files.0.insert(two, first);
    let findings = world.verify().findings;
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings.iter().all(|finding| matches!(finding, Finding::RecordingDiffers { .. })));
}

#[test]
fn put_a_shorter_recording_in_its_place() {
    let mut world = World::new(1);
    let session = world.trailers[0].0;
    let start = Start {
        session,
        at: Timestamp::EPOCH,
        facts: Vec::new(),
        signer: world.agent.verifying_key(),
        compression: Compression::Off,
    };
    let key = RecordingPrivateKey::generate().unwrap();
    let (writer, header) = Writer::create(start, key.public()).unwrap();
    let trailer = writer.finish(Timestamp::EPOCH, "closed", &world.agent).unwrap().trailer_frame;
    world.files.0.insert(session, [header.bytes, trailer.clone()].concat());
    assert!(
        matches!(world.verify().findings[..], [Finding::RecordingDiffers { .. }]),
        "well signed, but another"
    );
    world.trailers[0].1 = Frame::parse(trailer).unwrap();
    assert!(world.verify().findings.contains(&Finding::ManifestAltered { session, seq: 4 }));
}

#[test]
fn leave_out_a_manifest() {
    let mut world = World::new(2);
    let (session, _) = world.trailers.remove(0);
    assert_eq!(world.verify().findings, [Finding::ManifestMissing { session, seq: 4 }]);
}

#[test]
fn a_session_without_an_end_or_recording_is_named() {
    let mut world = World::new(0);
    let [unended, unrecorded, before_recording, live, unopened] =
        std::array::from_fn(|_| SessionId::generate());
    // What was opened was recorded, whatever its end says.
    for (session, code) in [
        (unended, EventCode::SessionOpened),
        (unrecorded, EventCode::SessionOpened),
        (before_recording, EventCode::SessionRequested),
        (live, EventCode::SessionOpened),
    ] {
        world.add(Draft::new(Actor::Anonymous, code).about(session));
    }
    for session in [unrecorded, before_recording] {
        world.add(Draft::new(Actor::System, EventCode::SessionEnded).about(session).fact("recorded", false));
    }
    world.add(Draft::new(Actor::System, EventCode::SessionEnded).about(unopened));
    world.live.push(live);
    let report = world.verify();
    assert_eq!(report.live_sessions, [live]);
    assert_eq!(report.findings.len(), 3, "{:?}", report.findings);
    for expected in [
        Finding::SessionUnended { session: unended, seq: 1 },
        Finding::SessionUnrecorded { session: unrecorded, seq: 2 },
        Finding::SessionNeverOpened { session: unopened, seq: 7 },
    ] {
        assert!(report.findings.contains(&expected), "{expected:?}");
    }
}

#[test]
fn a_session_that_was_granted_may_be_recorded_though_its_agents_word_was_lost() {
    let mut world = World::new(0);
    world.opened_as = EventCode::SessionRequested;
    world.session(&RecordingPrivateKey::generate().unwrap());
    let report = world.verify();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.recordings_checked, 1);
    world.files.0.clear();
    assert!(
        matches!(&world.verify().findings[..], [Finding::RecordingAbsent { .. }]),
        "it is missed all the same"
    );
}

#[test]
fn say_that_a_recording_was_lost() {
    let lost = |opened_as, bytes: u64| {
        let mut world = World::new(0);
        let session = SessionId::generate();
        world.add(Draft::new(Actor::Anonymous, opened_as).about(session));
        world.add(Draft::new(Actor::System, EventCode::SessionEnded).about(session));
        world.add(
            Draft::new(Actor::System, EventCode::RecordingInterrupted).about(session).fact("bytes", bytes),
        );
        world.verify().findings
    };
    for (opened_as, bytes) in [(EventCode::SessionOpened, 0), (EventCode::SessionRequested, 9)] {
        let findings = lost(opened_as, bytes);
        assert!(
            matches!(&findings[..], [Finding::RecordingUnsigned { seq: 3, bytes: told, .. }] if *told == bytes),
            "{findings:?}"
        );
    }
    assert_eq!(lost(EventCode::SessionRequested, 0), [], "its agent never began");
}

#[test]
fn hostile_lines_end_in_findings() {
    let world = World::new(1);
    let long = format!("{{\"leaf\":\"{}\"}}", "x".repeat(2_000_000));
    for hostile in [
        "",
        "\n\n\n",
        "{}",
        "[]",
        "{\"leaf\":1}",
        "{\"leaf\":{}}",
        "\u{0}",
        "{\"recording\":{\"session\":\"x\"}}",
        &long,
    ] {
        let export = format!("{hostile}\n{hostile}\n");
        assert!(!world.verify_export(export.as_bytes()).is_clean(), "{:.40}", hostile);
    }
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(data in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        hoop_ledger::fuzz_reader(&data);
    }

    #[test]
    fn garbage_lines_never_panic(lines in proptest::collection::vec("(\\{\"(leaf|checkpoint|recording)\":)?.{0,60}\\}?", 0..8)) {
        hoop_ledger::fuzz_reader(lines.join("\n").as_bytes());
    }
}

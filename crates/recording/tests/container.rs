//! Recordings cut, flipped, dropped, swapped and inserted: we are the attacker, and each attack is named.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::OnceLock;

use bytes::Bytes;
use hoop_model::{SessionId, StreamId, Timestamp};
use hoop_recording::{
    Chain, ChainError, Compression, Ended, Ending, Event, Finding, Frame, Header, ReadError, Reader, Record,
    RecordingPrivateKey, RequestId, SigningKey, Start, Trust, Writer,
    event::{Direction, Form, Parameter},
    scan, verify_chain,
};
use proptest::prelude::*;

struct Made {
    frames: Vec<Bytes>,
    records: Vec<Record>,
}

impl Made {
    fn file(&self) -> Vec<u8> {
        self.frames.concat()
    }

    fn without(&self, index: usize) -> Vec<u8> {
        let mut frames = self.frames.clone();
        frames.remove(index);
        frames.concat()
    }
}

fn key() -> &'static RecordingPrivateKey {
    static KEY: OnceLock<RecordingPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RecordingPrivateKey::generate().unwrap())
}

fn signer() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap())
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros)
}

fn start() -> Start {
    Start {
        session: SessionId::generate(),
        at: at(0),
        facts: vec![("person".into(), "ada".into()), ("connection".into(), "pg-prod".into())],
        signer: signer().verifying_key(),
        compression: Compression::default(),
    }
}

fn writer() -> (Writer, Bytes) {
    let (writer, header) = Writer::create(start(), key().public()).unwrap();
    (writer, header.bytes)
}

fn request(number: u64) -> Record {
    let text = Bytes::from(format!("SELECT * FROM patients WHERE id = {number}"));
    let event = Event::Request { id: RequestId(number), form: Form::Query, text, parameters: Vec::new() };
    Record { at: at(number.cast_signed()), stream: Some(StreamId(1)), event }
}

/// A header, `chunks` chunks of some requests each, and a trailer.
fn made(chunks: u64) -> Made {
    let (mut writer, header) = writer();
    let (mut frames, mut records) = (vec![header], Vec::new());
    for chunk in 0..chunks {
        // Every third chunk is long enough to be compressed.
        for number in 0..if chunk % 3 == 2 { 40 } else { 2 } {
            let record = request(chunk * 100 + number);
            assert!(writer.append(&record).unwrap().is_empty());
            records.push(record);
        }
        frames.push(writer.seal_chunk().unwrap().unwrap().bytes);
    }
    let finished = writer.finish(at(9_999), "closed", signer()).unwrap();
    assert!(finished.last.is_none());
    frames.push(finished.trailer_frame);
    Made { frames, records }
}

fn play(file: &[u8]) -> (Vec<Record>, Result<Ending, ReadError>) {
    let mut reader = match Reader::open(file, key()) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut records = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, Ok(reader.ending().unwrap().clone())),
            Err(error) => return (records, Err(error)),
        }
    }
}

fn findings(file: &[u8]) -> Vec<Finding> {
    let report = verify_chain(file, Trust::Key(&signer().verifying_key())).unwrap();
    assert_eq!(report.is_clean(), report.findings.is_empty());
    report.findings
}

#[test]
fn a_recording_plays_as_it_was_made() {
    let made = made(5);
    let (records, ending) = play(&made.file());
    assert_eq!(records, made.records);
    let Ok(Ending::Sealed(manifest)) = ending else { panic!("{ending:?}") };
    assert_eq!(manifest.chunks, 5);
    assert_eq!(manifest.contents.as_ref().unwrap().requests, made.records.len() as u64);
    assert_eq!(manifest.ended, Ended::Sealed { reason: "closed".into() });
    let report = verify_chain(made.file().as_slice(), Trust::Header).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.manifest, Some(manifest));
    assert_eq!(report.chunks, 5);
}

#[test]
fn an_empty_recording_is_whole() {
    let made = made(0);
    assert!(matches!(play(&made.file()), (records, Ok(Ending::Sealed(_))) if records.is_empty()));
    assert_eq!(findings(&made.file()), []);
}

#[test]
fn large_events_come_back_whole_or_in_parts() {
    let (mut writer, header) = writer();
    let mut file = header.to_vec();
    let row = |length: u32| [&b"D"[..], &(length + 4).to_be_bytes(), &vec![b'x'; length as usize]].concat();
    let rows = Bytes::from((0..10).flat_map(|_| row(100_000)).collect::<Vec<_>>());
    let giant = Bytes::from(row(3_000_000));
    let text = Bytes::from(vec![b's'; 700_000]);
    let copy = Bytes::from(vec![b'c'; 1_000_000]);
    let id = RequestId(7);
    let parameters = vec![Parameter { binary: true, value: None }];
    let events = [
        Event::Request { id, form: Form::Query, text: text.clone(), parameters },
        Event::Rows { id, count: 10, data: rows.clone() },
        Event::Rows { id, count: 1, data: giant.clone() },
        Event::Copy { id, direction: Direction::Out, data: copy.clone() },
        Event::Rows { id, count: 1, data: Bytes::from(vec![9; 20_000_000]) },
        Event::Request { id, form: Form::Query, text: vec![b'z'; 30_000_000].into(), parameters: Vec::new() },
    ];
    for event in events {
        for chunk in writer.append(&Record { at: at(1), stream: None, event }).unwrap() {
            file.extend_from_slice(&chunk.bytes);
        }
        assert!(writer.pending_bytes() <= 256 * 1024);
    }
    let finished = writer.finish(at(2), "closed", signer()).unwrap();
    file.extend_from_slice(&finished.last.unwrap().bytes);
    file.extend_from_slice(&finished.trailer_frame);

    let (records, ending) = play(&file);
    let Ok(Ending::Sealed(manifest)) = ending else { panic!("{ending:?}") };
    assert_eq!(manifest.gaps.len(), 2, "{:?}", manifest.gaps);
    let (mut got_rows, mut got_copy, mut counted, mut gaps) = (Vec::new(), Vec::new(), 0, 0);
    for record in &records {
        match &record.event {
            Event::Rows { data, count, .. } => {
                got_rows.extend_from_slice(data);
                counted += count;
            }
            Event::Copy { data, .. } => got_copy.extend_from_slice(data),
            Event::Gap { .. } => gaps += 1,
            _ => {}
        }
    }
    assert!(matches!(&records[0].event, Event::Request { text: got, .. } if *got == text));
    assert!(got_rows == [rows, giant].concat());
    assert_eq!(counted, 11);
    assert!(got_copy == copy);
    assert_eq!(gaps, 2);
    assert_eq!(findings(&file), []);
}

#[test]
fn an_idle_writer_holds_little() {
    assert!(size_of::<Writer>() < 1024, "{}", size_of::<Writer>());
    let (mut writer, _) = writer();
    let _ = writer.append(&request(1)).unwrap();
    let _ = writer.seal_chunk().unwrap();
    assert_eq!(writer.pending_bytes(), 0);
    assert!(writer.seal_chunk().unwrap().is_none());
}

#[test]
fn a_dropped_chunk_is_named() {
    let made = made(4);
    assert!(matches!(findings(&made.without(2))[..], [Finding::Missing { first: 1, last: 1, .. }]));
    assert!(matches!(
        play(&made.without(2)).1,
        Err(ReadError::Chain { chunk: 1, error: ChainError::Order { expected: 1, found: 2 }, .. })
    ));
}

#[test]
fn a_dropped_last_chunk_is_named() {
    let made = made(4);
    assert!(matches!(findings(&made.without(4))[..], [Finding::Missing { first: 3, last: 3, .. }]));
    assert!(matches!(play(&made.without(4)).1, Err(ReadError::Chain { chunk: 3, .. })));
}

#[test]
fn a_dropped_trailer_is_a_cut() {
    let made = made(4);
    assert!(matches!(findings(&made.without(5))[..], [Finding::CutOff { after_chunk: Some(3), .. }]));
    let (records, ending) = play(&made.without(5));
    assert_eq!(records, made.records);
    assert!(matches!(ending, Ok(Ending::CutOff { after_chunk: Some(3), .. })));
}

#[test]
fn swapped_chunks_are_named() {
    let mut made = made(4);
    made.frames.swap(2, 3);
    let found = findings(&made.file());
    assert!(
        matches!(
            found[..],
            [Finding::Missing { first: 1, last: 1, .. }, Finding::Moved { chunk: 1, .. }, ..]
        ),
        "{found:?}"
    );
    assert!(matches!(play(&made.file()).1, Err(ReadError::Chain { chunk: 1, .. })));
}

#[test]
fn a_doubled_chunk_is_named() {
    let mut made = made(4);
    made.frames.insert(3, made.frames[2].clone());
    assert!(matches!(findings(&made.file())[..], [Finding::Inserted { chunk: 1, .. }]));
    assert!(matches!(play(&made.file()).1, Err(ReadError::Chain { chunk: 2, .. })));
}

#[test]
fn a_chunk_of_another_recording_is_named() {
    let (mut one, other) = (made(4), made(4));
    one.frames[2] = other.frames[2].clone();
    assert!(findings(&one.file()).iter().any(|f| matches!(f, Finding::Altered { chunk: 1, .. })));
    assert!(play(&one.file()).1.is_err());
}

#[test]
fn a_made_up_chunk_at_the_end_is_named() {
    let made = made(2);
    let mut forged = made.frames[2].to_vec();
    forged[8..16].copy_from_slice(&2_u64.to_be_bytes());
    let last = Frame::parse(made.frames[2].clone()).unwrap().hash();
    forged[16..48].copy_from_slice(last.as_bytes());
    let mut frames = made.frames.clone();
    frames.insert(3, Bytes::from(forged));
    assert!(matches!(findings(&frames.concat())[..], [Finding::Inserted { chunk: 2, .. }, ..]));
    frames.pop();
    let (records, ending) = play(&frames.concat());
    assert_eq!(records, made.records);
    assert!(matches!(ending, Err(ReadError::Altered { chunk: 2, .. })), "without a trailer the cipher tells");
}

#[test]
fn something_after_the_end_is_named() {
    let made = made(2);
    for tail in [&b"x"[..], &made.frames[1], &made.frames[0], b"HRc1\0\0\0\xff"] {
        let file = [&made.file(), tail].concat();
        assert!(matches!(findings(&file)[..], [Finding::AfterEnd { .. }]), "{:?}", findings(&file));
        assert!(play(&file).1.is_err());
    }
}

#[test]
fn a_recording_remade_by_another_is_named() {
    let forger = SigningKey::generate().unwrap();
    let own = Start { signer: forger.verifying_key(), ..start() };
    let (writer, header) = Writer::create(own, key().public()).unwrap();
    let trailer = writer.finish(at(5), "nothing happened", &forger).unwrap().trailer_frame;
    let found = findings(&[header.bytes, trailer].concat());
    assert!(matches!(found[..], [Finding::WrongSigner { .. }, Finding::Signature { .. }]), "{found:?}");
}

#[test]
fn an_agent_without_the_data_key_can_still_sign() {
    let made = made(4);
    let whole: usize = made.frames[..4].iter().map(Bytes::len).sum();
    let cut = &made.file()[..whole + 9];
    let scanned = scan(cut).unwrap();
    assert_eq!(scanned.chain.bytes(), whole as u64);
    assert_eq!(scanned.chain.chunks(), 3);
    assert_eq!(scanned.header.fact("person"), Some("ada"));
    let trailer =
        scanned.chain.interrupted(at(9), "the agent was killed", "chunk 3", Vec::new(), signer()).unwrap();
    let file = [&cut[..whole], &trailer.to_frame().unwrap().bytes].concat();
    assert_eq!(findings(&file), []);
    let (records, ending) = play(&file);
    assert_eq!(records[..], made.records[..records.len()]);
    assert!(matches!(ending, Ok(Ending::Interrupted(manifest)) if manifest.contents.is_none()));
    assert!(scan(file.as_slice()).unwrap().trailer.is_some());
}

#[test]
fn a_gateway_takes_the_next_chunk_only() {
    let made = made(3);
    let frame = |index: usize| Frame::parse(made.frames[index].clone()).unwrap();
    let (mut chain, header) = Chain::begin(&frame(0)).unwrap();
    assert_eq!(header, Header::from_frame(&frame(0)).unwrap());
    assert_eq!(chain.accept(&frame(2)).unwrap_err(), ChainError::Order { expected: 0, found: 1 });
    chain.accept(&frame(1)).unwrap();
    assert!(chain.accept(&frame(1)).is_err());
    assert!(matches!(chain.close(&frame(4)), Err(ChainError::Manifest { field: "number of chunks", .. })));
    chain.accept(&frame(2)).unwrap();
    let stored: Chain = serde_json::from_str(&serde_json::to_string(&chain).unwrap()).unwrap();
    chain = stored;
    chain.accept(&frame(3)).unwrap();
    assert!(chain.accept(&frame(4)).is_err());
    chain.close(&frame(4)).unwrap();
    assert_eq!(chain.close(&frame(4)).unwrap_err(), ChainError::Ended);
}

#[test]
fn lost_pieces_are_signed_statements() {
    let (mut writer, header) = writer();
    let hostile = format!("spool full\x1b[2J{}", "x".repeat(1_000));
    (0..2_000).for_each(|n| writer.note_gap(at(n), &hostile));
    let finished = writer.finish(at(5), "closed", signer()).unwrap();
    let gaps = &finished.trailer.manifest.gaps;
    assert_eq!(gaps.len(), 251);
    assert!(gaps[0].reason.starts_with("spool full\\x1b[2J") && gaps[0].reason.len() <= 256);
    assert_eq!(findings(&[header, finished.trailer_frame].concat()), []);
}

#[test]
fn the_wrong_private_key_says_which_is_needed() {
    let made = made(1);
    let other = RecordingPrivateKey::generate().unwrap();
    let Err(error) = Reader::open(made.file().as_slice(), &other) else { panic!("opened") };
    let needed = key().public().id().to_string();
    assert!(error.to_string().contains(&needed), "{error}");
}

#[test]
fn the_ciphertext_shows_nothing() {
    let file = made(6).file();
    for canary in [&b"patients"[..], b"SELECT"] {
        assert!(!file.windows(canary.len()).any(|window| window == canary));
    }
}

#[test]
fn flipping_any_byte_is_found() {
    let made = made(3);
    let file = made.file();
    for index in 0..file.len() {
        let mut file = file.clone();
        file[index] ^= 0x20;
        let found = findings(&file);
        assert!(!found.is_empty(), "byte {index}");
        let (records, ending) = play(&file);
        assert_eq!(records[..], made.records[..records.len()], "byte {index}: only what was recorded plays");
        assert!(!matches!(ending, Ok(Ending::Sealed(_) | Ending::Interrupted(_))), "byte {index}");
    }
}

#[test]
fn a_flipped_ciphertext_names_its_chunk() {
    let made = made(4);
    for chunk in 0..4_u64 {
        let mut frames = made.frames.clone();
        let index = usize::try_from(chunk).unwrap() + 1;
        for byte in [16, 47, 48, 49, frames[index].len() - 1] {
            let mut bytes = made.frames[index].to_vec();
            bytes[byte] ^= 1;
            frames[index] = Bytes::from(bytes);
            let found = findings(&frames.concat());
            assert!(
                matches!(found[..], [Finding::Altered { chunk: named, .. }] if named == chunk),
                "chunk {chunk} byte {byte}: {found:?}"
            );
            assert!(matches!(
                play(&frames.concat()).1,
                Err(ReadError::Altered { chunk: named, .. } | ReadError::Chain { chunk: named, .. }) if named == chunk
            ));
        }
    }
}

#[test]
fn a_flipped_number_names_its_chunk() {
    let made = made(4);
    let mut frames = made.frames.clone();
    let mut bytes = frames[2].to_vec();
    bytes[15] ^= 0x40;
    frames[2] = Bytes::from(bytes);
    assert!(matches!(findings(&frames.concat())[0], Finding::Altered { chunk: 1, .. }));
}

#[test]
fn a_cut_at_any_byte_plays_up_to_there() {
    let made = made(4);
    let file = made.file();
    let header = made.frames[0].len();
    for length in 0..file.len() {
        let (records, ending) = play(&file[..length]);
        assert!(!findings(&file[..length]).is_empty());
        if length < header {
            assert!(matches!(ending, Err(ReadError::NotARecording(_))));
            continue;
        }
        let Ok(Ending::CutOff { after_chunk, offset }) = ending else { panic!("{length}: {ending:?}") };
        let whole = made.frames.iter().scan(0, |sum, frame| {
            *sum += frame.len();
            Some(*sum)
        });
        let chunks = whole.take_while(|end| *end <= length).count() - 1;
        assert_eq!(after_chunk, (chunks as u64).checked_sub(1));
        assert!(offset <= length as u64);
        assert_eq!(records[..], made.records[..records.len()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..500)) {
        hoop_recording::fuzz_reader(&data);
    }

    #[test]
    fn damaged_recordings_never_panic(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut file = made(3).file();
        for (index, with) in flips {
            let index = index.index(file.len());
            file[index] ^= with;
        }
        file.truncate(cut.index(file.len()));
        hoop_recording::fuzz_reader(&file);
        let _ = play(&file);
    }
}

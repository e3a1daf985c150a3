//! Recordings of every shape, damaged in every way: each damage is found, nothing panics, and no length that lies makes
//! anybody allocate.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{io::Read, sync::OnceLock};

use bytes::Bytes;
use hoop_model::{SessionId, StreamId, Timestamp};
use hoop_recording::{
    Compression, Ending, Event, ReadError, Reader, Record, RecordingPrivateKey, RequestId, SigningKey, Start,
    Trust, Writer, event::Form, scan, verify_chain,
};
use proptest::{prelude::*, sample::Index};

fn key() -> &'static RecordingPrivateKey {
    static KEY: OnceLock<RecordingPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RecordingPrivateKey::generate().unwrap())
}

fn signer() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap())
}

/// A recording: how long each chunk's text is, how it is compressed, how it ends.
#[derive(Debug, Clone)]
struct Shape {
    chunks: Vec<usize>,
    compression: Compression,
    gaps: usize,
    interrupted: bool,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let compression = prop_oneof![Just(Compression::Off), Just(Compression::default())];
    (proptest::collection::vec(0..3_000_usize, 0..6), compression, 0..4_usize, any::<bool>())
        .prop_map(|(chunks, compression, gaps, interrupted)| Shape { chunks, compression, gaps, interrupted })
}

/// Its frames.
fn made(shape: &Shape) -> Vec<Bytes> {
    let start = Start {
        session: SessionId::from_bytes([3; 16]),
        at: Timestamp::EPOCH,
        facts: vec![("person".into(), "ada".into())],
        signer: signer().verifying_key(),
        compression: shape.compression,
    };
    let (mut writer, header) = Writer::create(start, key().public()).unwrap();
    let mut frames = vec![header.bytes];
    for (number, length) in shape.chunks.iter().enumerate() {
        let text = Bytes::from("select name ".repeat(*length / 12));
        let event =
            Event::Request { id: RequestId(number as u64), form: Form::Query, text, parameters: Vec::new() };
        let record = Record { at: Timestamp::EPOCH, stream: Some(StreamId(1)), event };
        assert!(writer.append(&record).unwrap().is_empty());
        frames.push(writer.seal_chunk().unwrap().unwrap().bytes);
    }
    (0..shape.gaps).for_each(|_| writer.note_gap(Timestamp::EPOCH, "the spool was full"));
    if shape.interrupted {
        let chain = scan(frames.concat().as_slice()).unwrap().chain;
        let trailer = chain.interrupted(Timestamp::EPOCH, "killed", "the end", Vec::new(), signer()).unwrap();
        frames.push(trailer.to_frame().unwrap().bytes);
    } else {
        let finished = writer.finish(Timestamp::EPOCH, "closed", signer()).unwrap();
        frames.extend(finished.last.map(|last| last.bytes));
        frames.push(finished.trailer_frame);
    }
    frames
}

/// What of it plays, and how it ends.
fn play(file: &[u8]) -> (Vec<Record>, Result<Ending, ReadError>) {
    let mut records = Vec::new();
    let ending = Reader::open(file, key()).and_then(|mut reader| {
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
        Ok(reader.ending().unwrap().clone())
    });
    (records, ending)
}

fn is_clean(file: &[u8]) -> bool {
    verify_chain(file, Trust::Key(&signer().verifying_key())).is_ok_and(|report| report.is_clean())
}

/// Without a key, with the key, and as an agent's restart does: none says that it is whole, and what plays was recorded.
fn is_found(whole: &[u8], damaged: &[u8]) -> Result<(), TestCaseError> {
    prop_assert!(!is_clean(damaged), "the chain says nothing");
    let (records, ending) = play(damaged);
    prop_assert!(!matches!(ending, Ok(Ending::Sealed(_) | Ending::Interrupted(_))), "{ending:?}");
    let recorded = play(whole).0;
    prop_assert_eq!(records.as_slice(), recorded.get(..records.len()).unwrap_or_default());
    // What is scanned anew is at most what was whole.
    if let Ok(scanned) = scan(damaged) {
        prop_assert!(scanned.chain.bytes() <= damaged.len() as u64);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_made_is_whole(shape in shapes()) {
        let file = made(&shape).concat();
        prop_assert!(is_clean(&file));
        let (records, ending) = play(&file);
        prop_assert!(records.len() >= shape.chunks.len());
        match ending.unwrap() {
            Ending::Sealed(manifest) => prop_assert_eq!(manifest.gaps.len(), shape.gaps),
            Ending::Interrupted(_) => prop_assert!(shape.interrupted),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_flipped_bit_is_found(shape in shapes(), bits in proptest::collection::vec((any::<Index>(), 0..8_u8), 12)) {
        let file = made(&shape).concat();
        for (at, bit) in bits {
            let mut damaged = file.clone();
            damaged[at.index(file.len())] ^= 1 << bit;
            is_found(&file, &damaged)?;
        }
    }

    #[test]
    fn any_cut_and_any_insertion_is_found(
        shape in shapes(),
        places in proptest::collection::vec(any::<Index>(), 8),
        more in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let file = made(&shape).concat();
        for place in places {
            let at = place.index(file.len());
            is_found(&file, &file[..at])?;
            let inserted = [&file[..at], &more, &file[at..]].concat();
            if inserted != file {
                is_found(&file, &inserted)?;
            }
            let end = (at + more.len()).min(file.len());
            is_found(&file, &[&file[..at], &file[end..]].concat())?;
        }
        is_found(&file, &[&file[..], &more].concat())?;
    }

    #[test]
    fn frames_in_any_other_order_or_number_are_found(
        shape in shapes(),
        other in shapes(),
        one in any::<Index>(),
        two in any::<Index>(),
    ) {
        let (frames, others) = (made(&shape), made(&other));
        let file = frames.concat();
        let (one, two) = (one.index(frames.len()), two.index(frames.len()));
        let changed = |change: &dyn Fn(&mut Vec<Bytes>)| {
            let mut frames = frames.clone();
            change(&mut frames);
            if frames.concat() == file { Ok(()) } else { is_found(&file, &frames.concat()) }
        };
        changed(&|frames| drop(frames.remove(one)))?;
        changed(&|frames| frames.insert(two, frames[one].clone()))?;
        changed(&|frames| frames.swap(one, two))?;
        changed(&|frames| frames[one.min(two)..].reverse())?;
        // A frame of another recording of the same session and signer.
        changed(&|frames| frames[one] = others[two % others.len()].clone())?;
        changed(&|frames| frames.insert(one, others[two % others.len()].clone()))?;
    }
}

/// Gives what it has and then zeros without end, and counts what was asked of it.
struct Endless<'a> {
    begin: &'a [u8],
    given: u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut count = self.begin.read(buffer)?;
        if count == 0 {
            buffer.fill(0);
            count = buffer.len();
        }
        self.given += count as u64;
        Ok(count)
    }
}

/// The longest frame that there can be: nobody reads more of one that lies.
const LONGEST: u64 = 1 << 20;

#[test]
fn a_length_that_lies_is_not_believed() {
    let shape =
        Shape { chunks: vec![100, 2_000], compression: Compression::Off, gaps: 0, interrupted: false };
    let frames = made(&shape);
    for at in 0..frames.len() {
        for length in [u32::MAX, 1 << 31, 64 << 20, 600_000] {
            let mut lie = frames[at].to_vec();
            lie[4..8].copy_from_slice(&length.to_be_bytes());
            let begin = [frames[..at].concat(), lie].concat();
            let read = |reading: &dyn Fn(&mut Endless<'_>)| {
                let mut input = Endless { begin: &begin, given: 0 };
                reading(&mut input);
                assert!(input.given < begin.len() as u64 + LONGEST, "{} bytes of frame {at}", input.given);
            };
            read(&|input| {
                let report = verify_chain(input.take(1 << 30), Trust::Header);
                assert!(report.is_err() || !report.unwrap().is_clean());
            });
            read(&|input| drop(scan(input.take(1 << 30))));
            read(&|input| {
                if let Ok(mut reader) = Reader::open(input.take(1 << 30), key()) {
                    while let Ok(Some(_)) = reader.next_record() {}
                }
            });
        }
    }
}

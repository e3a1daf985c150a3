//! How long sealing takes: `cargo run --release -p hoop-recording --example seal_speed`.
#![expect(clippy::print_stdout, reason = "a measurement for a person to read")]

use std::time::Instant;

use bytes::Bytes;
use hoop_model::{SessionId, StreamId, Timestamp};
use hoop_recording::{
    Compression, Event, Record, RecordingPrivateKey, RequestId, SigningKey, Start, Writer,
    event::{Direction, Form},
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn writer(key: &RecordingPrivateKey, compression: Compression) -> Outcome<Writer> {
    let start = Start {
        session: SessionId::generate(),
        at: Timestamp::EPOCH,
        facts: Vec::new(),
        signer: SigningKey::generate()?.verifying_key(),
        compression,
    };
    Ok(Writer::create(start, key.public())?.0)
}

fn record(event: Event) -> Record {
    Record { at: Timestamp::from_micros(1_700_000_000_000_000), stream: Some(StreamId(0)), event }
}

fn small(writer: &mut Writer, rounds: u32) -> Outcome<f64> {
    let id = RequestId(1);
    let rows = Bytes::from(vec![b'r'; 110]);
    let text = Bytes::from_static(b"SELECT abalance FROM pgbench_accounts WHERE aid = 4711;");
    let chunk = [
        record(Event::Request { id, form: Form::Query, text, parameters: Vec::new() }),
        record(Event::Rows { id, count: 1, data: rows }),
        record(Event::Completed {
            id,
            tag: Bytes::from_static(b"SELECT 1"),
            rows: 1,
            bytes: 110,
            duration_us: 80,
        }),
    ];
    let begin = Instant::now();
    for _ in 0..rounds {
        for record in &chunk {
            writer.append(record)?;
        }
        std::hint::black_box(writer.seal_chunk()?);
    }
    Ok(begin.elapsed().as_secs_f64() * 1e9 / f64::from(rounds))
}

fn bulk(writer: &mut Writer, source: &Bytes, rounds: u32) -> Outcome<(f64, f64)> {
    const PIECE: usize = 64 << 10;
    let pieces = (0..source.len() / PIECE).map(|at| source.slice(at * PIECE..(at + 1) * PIECE));
    let copy = |data| record(Event::Copy { id: RequestId(1), direction: Direction::Out, data });
    let records: Vec<Record> = pieces.map(copy).collect();
    let (mut stored, begin) = (0_usize, Instant::now());
    for data in records.iter().cycle().take(usize::try_from(rounds)?) {
        stored += writer.append(data)?.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
    }
    stored += writer.seal_chunk()?.map_or(0, |chunk| chunk.bytes.len());
    let bytes = f64::from(rounds) * f64::from(u32::try_from(PIECE)?);
    Ok((bytes / begin.elapsed().as_secs_f64() / 1e6, f64::from(u32::try_from(stored)?) / bytes))
}

/// Lines like those of a COPY of a table.
fn table_text(length: usize) -> Bytes {
    let mut text = String::new();
    let mut number = 1_u64;
    while text.len() < length {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = number >> 40;
        text.push_str(&format!("{id}\t{}\tpatient {id}\t1970-01-01\tmail{id}@example.org\n", id % 9999));
    }
    Bytes::from(text)
}

fn noise(length: usize) -> Bytes {
    let mut number = 1_u64;
    let bytes = (0..length).map(|_| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 56).to_le_bytes()[0]
    });
    bytes.collect()
}

fn main() -> Outcome<()> {
    let key = RecordingPrivateKey::generate()?;
    let mut one = writer(&key, Compression::default())?;
    small(&mut one, 100_000)?;
    println!("small chunk (3 events, about 270 bytes): {:.0} ns", small(&mut one, 300_000)?);
    for (name, piece) in [("table text", table_text(8 << 20)), ("noise", noise(8 << 20))] {
        for compression in [Compression::Off, Compression::Zstd(1), Compression::Zstd(-3)] {
            let (speed, ratio) = bulk(&mut writer(&key, compression)?, &piece, 16_384)?;
            println!("{name:>10} in 64 KiB pieces, {compression:?}: {speed:.0} MB/s, stored {ratio:.2}");
        }
    }
    Ok(())
}

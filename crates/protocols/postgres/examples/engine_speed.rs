//! How fast the engine is by itself: `cargo run --release -p hoop-postgres --example engine_speed`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a measurement, not the product"
)]

use std::{sync::Arc, time::Duration, time::Instant};

use bytes::BytesMut;
use hoop_engine::{Credential, Engine, LoginCache, Output, Protocol as _, Side, StreamContext};
use hoop_masking::MaskingKey;
use hoop_model::{Redacted, SessionId, StreamId, Timestamp, UserName};
use hoop_policy::{Masking, Rules, Warrant};
use hoop_postgres::Postgres;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

#[derive(Default)]
struct Counts {
    sends: u64,
    bytes: u64,
    records: u64,
}

fn drain(engine: &mut dyn Engine, warrant: &Warrant, counts: &mut Counts) {
    loop {
        match engine.poll_output() {
            Output::Idle { .. } => return,
            Output::Send { bytes, .. } => {
                counts.sends += 1;
                counts.bytes += bytes.len() as u64;
            }
            Output::Record(_) => counts.records += 1,
            Output::Decide { id, question } => {
                let verdict = warrant.decide(&question.as_action(), NOW);
                engine.handle_verdict(id, verdict, NOW);
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Bench {
    engine: Box<dyn Engine>,
    warrant: Warrant,
    inputs: [BytesMut; 2],
    counts: Counts,
}

impl Bench {
    fn new() -> Self {
        let settings = serde_json::json!({"host": "db", "user": "app", "tls": {"mode": "disabled"}});
        let stream = StreamContext {
            groups: Vec::new(),
            session: SessionId::from_bytes([1; 16]),
            stream: StreamId(0),
            person: UserName::new("ada").unwrap(),
            rules: Arc::new(Rules { masking: Masking::None, ..Rules::default() }),
            masking_key: MaskingKey::new(&[7; 32]).unwrap(),
            cancel_seed: Redacted::new((0..36).collect()),
            login_cache: Arc::new(LoginCache::default()),
            login_timeout: Duration::from_secs(10),
        };
        let credential = Credential { user: "app".into(), password: None };
        let engine = Postgres.configure(&settings).unwrap().start(stream, credential, NOW).fed().unwrap();
        let inputs = [BytesMut::with_capacity(1 << 16), BytesMut::with_capacity(1 << 16)];
        let mut bench = Self {
            engine,
            warrant: Warrant::new(
                Rules { masking: Masking::None, ..Rules::default() },
                NOW.after(Duration::from_secs(9)),
            ),
            inputs,
            counts: Counts::default(),
        };
        bench.feed(Side::Client, b"\0\0\0\x10\0\x03\0\0user\0a\0\0");
        bench.feed(Side::Target, &[frame(b'R', b"\0\0\0\0"), frame(b'Z', b"I")].concat());
        bench
    }

    fn feed(&mut self, from: Side, bytes: &[u8]) {
        let input = &mut self.inputs[from as usize];
        input.reserve(1 << 16);
        input.extend_from_slice(bytes);
        self.engine.handle_input(from, input, NOW).unwrap();
        drain(self.engine.as_mut(), &self.warrant, &mut self.counts);
    }
}

fn transactions() {
    let mut bench = Bench::new();
    let row_description = frame(b'T', b"\0\x01abalance\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    let prepare = [frame(b'P', b"P0\0select\0\0\0"), frame(b'D', b"SP0\0"), frame(b'S', b"")].concat();
    bench.feed(Side::Client, &prepare);
    bench.feed(
        Side::Target,
        &[frame(b'1', b""), frame(b't', b"\0\0"), row_description.clone(), frame(b'Z', b"I")].concat(),
    );
    let ask =
        [frame(b'B', b"\0P0\0\0\0\0\x01\0\0\0\x0512345\0\0"), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")]
            .concat();
    let answer =
        [frame(b'2', b""), frame(b'D', b"\0\x01\0\0\0\x010"), frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I")]
            .concat();
    for (name, ask, answer) in [
        ("prepared", ask, answer),
        (
            "simple",
            frame(b'Q', b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;\0"),
            [
                row_description,
                frame(b'D', b"\0\x01\0\0\0\x010"),
                frame(b'C', b"SELECT 1\0"),
                frame(b'Z', b"I"),
            ]
            .concat(),
        ),
    ] {
        let (rounds, start) = (1_000_000_u32, Instant::now());
        bench.counts = Counts::default();
        for _ in 0..rounds {
            bench.feed(Side::Client, &ask);
            bench.feed(Side::Target, &answer);
        }
        let each = start.elapsed() / rounds;
        println!(
            "{name:>8} select: {each:?} a transaction, {} sends, {} records",
            bench.counts.sends / u64::from(rounds),
            bench.counts.records / u64::from(rounds)
        );
    }
}

fn bulk(name: &str, begin: &[u8], one: &[u8], chunk: usize) {
    let mut bench = Bench::new();
    bench.feed(Side::Client, &frame(b'Q', b"copy t to stdout\0"));
    bench.feed(Side::Target, begin);
    let stream: Vec<u8> = one.iter().copied().cycle().take(one.len() * (8 << 20) / one.len()).collect();
    let (start, mut bytes) = (Instant::now(), 0_u64);
    let mut copying = Duration::ZERO;
    while bytes < 4 << 30 {
        for piece in stream.chunks(chunk) {
            // Stands for the read from a socket, and is not counted.
            let read = Instant::now();
            let input = &mut bench.inputs[1];
            input.reserve(piece.len());
            input.extend_from_slice(piece);
            copying += read.elapsed();
            bench.engine.handle_input(Side::Target, input, NOW).unwrap();
            drain(bench.engine.as_mut(), &bench.warrant, &mut bench.counts);
            bytes += piece.len() as u64;
        }
    }
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e9;
    let all = start.elapsed();
    println!(
        "{name}: {:.1} GB/s in the engine ({:.1} GB/s with the copy into its input)",
        rate(all - copying),
        rate(all)
    );
}

fn main() {
    transactions();
    let begin = frame(b'H', b"\0\0\x01\0\0");
    bulk("COPY out, lines of 100 bytes", &begin, &frame(b'd', &[b'x'; 123]), 64 << 10);
    bulk("COPY out, pieces of 8 KiB", &begin, &frame(b'd', &[b'x'; 8187]), 64 << 10);
    bulk("rows of 60 bytes", b"", &frame(b'D', &[&b"\0\x01\0\0\0\x35"[..], &[b'x'; 53]].concat()), 64 << 10);
}

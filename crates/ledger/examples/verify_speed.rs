//! How fast an export of the ledger is verified: `cargo run --release -p hoop-ledger --example verify_speed -- full`.
#![expect(clippy::print_stdout, reason = "a measurement for a program or a person to read")]

use std::time::Instant;

use hoop_ledger::{Appender, Checkpoint, CheckpointKey, Draft, EventCode, ExportWriter, verify_export};
use hoop_model::{Actor, EventId, Timestamp};
use hoop_recording::SigningKey;

const ORIGIN: &str = "hoop.test/ledger";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events = if std::env::args().any(|argument| argument == "full") { 500_000 } else { 20_000 };
    let key = SigningKey::generate()?;
    let trusted = CheckpointKey::new(ORIGIN, key.verifying_key())?;
    let mut log = Appender::default();
    let mut out = ExportWriter::new(Vec::new(), &trusted, Timestamp::EPOCH, Vec::new())?;
    let began = Instant::now();
    for number in 0..events {
        let draft =
            Draft::new(Actor::System, EventCode::GatewayStarted).fact("version", format!("0.1.{number}"));
        let at = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(number));
        out.leaf(&log.append(draft, EventId::generate(), at)?.leaf)?;
    }
    println!("ledger.append.memory {:.0} events/s", f64::from(events) / began.elapsed().as_secs_f64());
    let frontier = log.frontier();
    let export = out.finish(&Checkpoint::new(ORIGIN, frontier.size(), frontier.root())?.sign(&key))?;
    let began = Instant::now();
    let report = verify_export(export.as_slice(), &trusted, None, None)?;
    let seconds = began.elapsed().as_secs_f64();
    assert!(report.is_clean(), "{:?}", report.findings);
    println!("ledger.verify {:.0} events/s", f64::from(events) / seconds);
    println!("ledger.verify.bytes {:.1} MB/s", export.len() as f64 / 1e6 / seconds);
    Ok(())
}

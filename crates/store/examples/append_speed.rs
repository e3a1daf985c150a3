//! How many events a second the ledger takes, each durable before it is answered:
//! `HOOP_BENCH_SQLITE=sqlite:/tmp/x.db cargo run --release -p hoop-store --example append_speed -- full`.
//!
//! One after the other, then from 16 tasks at once, then in transactions of 10.
#![expect(clippy::print_stdout, reason = "a measurement for a program or a person to read")]

use std::time::{Duration, Instant};

use hoop_ledger::{Draft, EventCode};
use hoop_model::{Actor, Timestamp};
use hoop_store::{NewEvent, Store};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn event() -> NewEvent {
    let draft = Draft::new(Actor::System, EventCode::GatewayStarted).fact("version", "0.1.0");
    NewEvent::new(Timestamp::from_micros(1_700_000_000_000_000), draft)
}

/// Appends for so long from so many tasks; events a second.
async fn rate(store: &Store, tasks: usize, together: usize, time: Duration) -> Outcome<f64> {
    let began = Instant::now();
    let one = |store: Store| async move {
        let mut count = 0_u32;
        while began.elapsed() < time {
            let events: Vec<NewEvent> = std::iter::repeat_with(event).take(together).collect();
            store.append(&events).await?;
            count += u32::try_from(together).unwrap_or(u32::MAX);
        }
        Ok::<_, hoop_store::StoreError>(count)
    };
    let running: Vec<_> = (0..tasks).map(|_| tokio::spawn(one(store.clone()))).collect();
    let mut count = 0;
    for task in running {
        count += task.await??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let time = Duration::from_secs(if std::env::args().any(|argument| argument == "full") { 10 } else { 1 });
    for (name, variable) in [("sqlite", "HOOP_BENCH_SQLITE"), ("postgres", "HOOP_BENCH_POSTGRES")] {
        let Ok(url) = std::env::var(variable) else { continue };
        let store = Store::open(&url).await?;
        for (case, tasks, together) in [("alone", 1, 1), ("at_once", 16, 1), ("in_tens", 1, 10)] {
            let rate = rate(&store, tasks, together, time).await?;
            println!("ledger.append.{name}.{case} {rate:.0} events/s");
        }
        store.close().await;
    }
    Ok(())
}

//! Faults at random moments, in rounds, while people work: kill -9 of agent, gateway, store and command lines, a full disk,
//! clocks that jump, a network that is cut or hangs, many short sessions. After each round everything that was answered is
//! recorded, everything that ran is recorded, and the ledger and all recordings verify (THREATS F4, F5).
//!
//! `cargo xtask faults` runs it for longer, and with a seed again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evidence;
mod place;
mod workers;

use std::{
    env,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use place::Place;

/// What a round does, at random.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillAgent,
    KillGateway,
    KillStore,
    KillCommandLine,
    CutNetwork,
    HangNetwork,
    FillDisk,
    MoveAgentClock,
    MoveGatewayClock,
    ManyShortSessions,
}

const FAULTS: [Fault; 10] = [
    Fault::KillAgent,
    Fault::KillGateway,
    Fault::KillStore,
    Fault::KillCommandLine,
    Fault::CutNetwork,
    Fault::HangNetwork,
    Fault::FillDisk,
    Fault::MoveAgentClock,
    Fault::MoveGatewayClock,
    Fault::ManyShortSessions,
];

/// Numbers that a seed makes again (Knuth's MMIX).
pub(crate) struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Work goes on for this long before something happens.
    fn moment(&mut self) -> Duration {
        Duration::from_millis(u64::try_from(self.below(1500)).unwrap())
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn after_each_round_everything_is_there() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = number("HOOP_FAULTS_SEED", u64::try_from(now % 1_000_000_007).unwrap());
    let end = env::var("HOOP_FAULTS_MINUTES")
        .ok()
        .map(|text| Instant::now() + Duration::from_secs(60 * text.parse::<u64>().unwrap()));
    // A bounded run has each fault once.
    let rounds = number("HOOP_FAULTS_ROUNDS", if end.is_some() { u64::MAX } else { 5 });
    eprintln!("faults: seed {seed} (HOOP_FAULTS_SEED={seed} makes the same choices again)");
    let mut dice = Dice(seed);
    let mut place = Place::start();
    let mut left = Vec::new();
    let (mut round, mut told) = (0, 0);
    while round < rounds && end.is_none_or(|end| Instant::now() < end) {
        round += 1;
        place.begin_work();
        for _ in 0..2 {
            if left.is_empty() {
                left = FAULTS.to_vec();
            }
            let fault = left.swap_remove(dice.below(left.len()));
            std::thread::park_timeout(dice.moment());
            eprintln!("faults: round {round}: {fault:?}");
            place.suffer(fault, &mut dice);
        }
        std::thread::park_timeout(dice.moment());
        place.heal();
        let found = place.check();
        told += found.answered;
        eprintln!("faults: round {round}: {found}");
    }
    place.check_offline();
    eprintln!("faults: {round} rounds, {told} answers, all of them there; seed {seed}");
    assert!(told > 0, "nobody got an answer in {round} rounds");
}

//! Where it happens: a whole hoop with its state in a PostgreSQL of its own, behind a proxy that cuts and hangs, its recordings
//! on a small disk, and clocks that can be moved.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use hoop_testkit::{Cutter, Postgres, PostgresOptions, SmallDisk, World, WorldOptions, wait_until};
use serde_json::json;

use crate::{
    Dice, Fault,
    evidence::{Book, Found},
    workers::{Crew, Way, kill},
};

/// Moves the clock of a process (libfaketime, from Debian).
const CLOCKS: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// Sessions of one statement each, in one go.
const SHORT: usize = 40;

pub(crate) struct Place {
    pub(crate) world: World,
    store: Postgres,
    network: Arc<Cutter>,
    disk: SmallDisk,
    clocks: tempfile::TempDir,
    crew: Crew,
    book: Book,
}

fn clock(folder: &tempfile::TempDir, of: &str) -> Vec<(&'static str, String)> {
    assert!(fs::exists(CLOCKS).unwrap(), "{CLOCKS} is missing: `cargo xtask test` installs it");
    let file = folder.path().join(of);
    fs::write(&file, "+0\n").unwrap();
    vec![
        ("LD_PRELOAD", CLOCKS.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

impl Place {
    pub(crate) fn start() -> Self {
        let store = Postgres::start(&PostgresOptions { tls: false, ..PostgresOptions::default() });
        let clocks = tempfile::tempdir().unwrap();
        let mut gateway_env = clock(&clocks, "gateway");
        gateway_env.push(("HOOP_GATEWAY_STORE_URL", store.create_database("hoop")));
        let network = Arc::<std::sync::OnceLock<Arc<Cutter>>>::default();
        let slot = Arc::clone(&network);
        let behind = move |port| {
            let cutter = Arc::new(Cutter::to(port));
            let outside = cutter.port;
            assert!(slot.set(cutter).is_ok());
            outside
        };
        let mut world = World::with(WorldOptions {
            gateway_env,
            agent_env: clock(&clocks, "agent"),
            agent: &["--stall-limit-seconds", "20"],
            behind: Some(Box::new(behind)),
            ..WorldOptions::default()
        });
        let network = Arc::clone(network.get().unwrap());
        world.postgres.script("create table marks (n bigint primary key); alter table marks owner to app");
        world.put_connection("strict", json!({"labels": {"app": "strict"}}));
        world.apply(
            &json!({"version": 1, "rules": [
                {"name": "work", "subjects": {"groups": ["engineers"]}, "connections": {"labels": {"app": ["clinic"]}},
                 "masking": "none"},
                {"name": "strictly", "subjects": {"groups": ["engineers"]}, "connections": {"labels": {"app": ["strict"]}},
                 "limits": {"recording": "strict"}, "masking": "none"},
            ]})
            .to_string(),
        );
        world.stop_gateway();
        let disk = SmallDisk::over(&world.folder.path().join("gateway/recordings"), "512m");
        world.start_gateway();
        world.wait_for_agent();
        let way = |connection| Way {
            profile: world.engineer.profile.clone(),
            folder: world.folder.path().to_owned(),
            connection,
        };
        let crew = Crew::new(vec![way("pg"), way("pg"), way("strict")]);
        Self { store, network, disk, clocks, crew, book: Book::default(), world }
    }

    pub(crate) fn begin_work(&mut self) {
        self.crew.begin();
    }

    pub(crate) fn suffer(&mut self, fault: Fault, dice: &mut Dice) {
        match fault {
            Fault::KillAgent => self.world.crash_agent(),
            Fault::KillGateway => self.world.crash_gateway(),
            Fault::KillStore => self.store.crash(),
            Fault::KillCommandLine => {
                self.crew.journal.one_of_them(dice.below(100)).into_iter().for_each(kill);
            }
            Fault::CutNetwork => {
                for _ in 0..5 {
                    self.network.cut();
                    std::thread::park_timeout(Duration::from_millis(200));
                }
            }
            Fault::HangNetwork => {
                self.network.hold();
                std::thread::park_timeout(dice.moment() * 2);
                // What hung is dead by then, or goes on.
                if dice.below(2) == 0 {
                    self.network.cut();
                }
                self.network.release();
            }
            Fault::FillDisk => {
                self.disk.fill();
                std::thread::park_timeout(dice.moment());
                self.disk.make_room();
            }
            Fault::MoveAgentClock => self.move_clock("agent", dice),
            Fault::MoveGatewayClock => self.move_clock("gateway", dice),
            Fault::ManyShortSessions => self.crew.short_sessions(SHORT),
        }
    }

    fn move_clock(&self, of: &str, dice: &mut Dice) {
        let minutes = i64::try_from(dice.below(20)).unwrap() - 10;
        self.set_clock(of, &format!("{minutes:+}m"));
        std::thread::park_timeout(dice.moment());
    }

    fn set_clock(&self, of: &str, to: &str) {
        let (file, new) = (self.clocks.path().join(of), self.clocks.path().join("new"));
        fs::write(&new, format!("{to}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// Everything works again, and every session is over with its recording at the gateway.
    pub(crate) fn heal(&mut self) {
        self.set_clock("agent", "+0");
        self.set_clock("gateway", "+0");
        self.crew.end();
        self.world.wait_for_agent();
        wait_until("the end of every session", || {
            let sessions = self.sessions();
            let open: Vec<_> = sessions
                .iter()
                .filter(|session| !matches!(session["state"].as_str(), Some("ended" | "interrupted")))
                .filter_map(|session| session["id"].as_str())
                .collect();
            for id in &open {
                let _ = self.world.hoop(&self.world.admin).args(["sessions", "kill", id]).output();
            }
            open.is_empty().then_some(())
        });
    }

    fn sessions(&self) -> Vec<serde_json::Value> {
        let list = self.world.json(&self.world.admin, &["sessions", "ls", "--limit", "10000"]);
        list.as_array().unwrap().clone()
    }

    pub(crate) fn check(&mut self) -> Found {
        let sessions = self.sessions();
        self.book.read(&self.world, &sessions);
        self.book.compare(&self.world, &self.crew.journal)
    }

    /// The whole ledger with every recording, without the gateway.
    pub(crate) fn check_offline(&self) {
        let folder: PathBuf = self.world.folder.path().join("evidence");
        fs::create_dir(&folder).unwrap();
        self.book.check_offline(&self.world, &self.sessions(), &folder);
    }
}

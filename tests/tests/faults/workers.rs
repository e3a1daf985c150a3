//! People who work through it all: each statement has a number of its own, and whoever sees its answer writes it down.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use hoop_testkit::binary;

/// What was seen by those who work.
#[derive(Default)]
pub(crate) struct Journal {
    next: AtomicU64,
    pub(crate) answered: Mutex<BTreeSet<u64>>,
    /// Of these, those whose session is recorded strictly.
    pub(crate) strictly: Mutex<BTreeSet<u64>>,
    stop: AtomicBool,
    /// Command lines that run, by process.
    running: Mutex<BTreeSet<u32>>,
}

impl Journal {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn note(&self, number: u64, strictly: bool) {
        self.answered.lock().unwrap().insert(number);
        if strictly {
            self.strictly.lock().unwrap().insert(number);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The process of one command line, chosen by a number.
    pub(crate) fn one_of_them(&self, choice: usize) -> Option<u32> {
        let running = self.running.lock().unwrap();
        running.iter().nth(choice % running.len().max(1)).copied()
    }
}

/// Somebody's way in.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) profile: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) connection: &'static str,
}

impl Way {
    fn strictly(&self) -> bool {
        self.connection == "strict"
    }

    fn psql(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("hoop"));
        command
            .env("HOOP_CONFIG_DIR", &self.profile)
            .env("PGDATABASE", "clinic")
            .env_remove("HTTPS_PROXY")
            .current_dir(&self.folder)
            .args(["connect", self.connection, "--", "psql", "-X", "-q", "-A", "-t"])
            .args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

fn statement(number: u64) -> String {
    format!("insert into marks values ({number}) returning n;")
}

/// All that work.
pub(crate) struct Crew {
    pub(crate) journal: Arc<Journal>,
    ways: Vec<Way>,
    working: Vec<JoinHandle<()>>,
}

impl Crew {
    pub(crate) fn new(ways: Vec<Way>) -> Self {
        Self { journal: Arc::default(), ways, working: Vec::new() }
    }

    pub(crate) fn begin(&mut self) {
        self.journal.stop.store(false, Ordering::Relaxed);
        for way in &self.ways {
            let (way, journal) = (way.clone(), Arc::clone(&self.journal));
            self.working.push(std::thread::spawn(move || work(&way, &journal)));
        }
    }

    /// Ends all work; whoever hangs is ended.
    pub(crate) fn end(&mut self) {
        self.journal.stop.store(true, Ordering::Relaxed);
        let patience = std::time::Instant::now() + Duration::from_secs(5);
        while self.working.iter().any(|worker| !worker.is_finished()) {
            if std::time::Instant::now() > patience {
                let running: Vec<u32> = self.journal.running.lock().unwrap().iter().copied().collect();
                running.into_iter().for_each(kill);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        self.working.drain(..).for_each(|worker| worker.join().unwrap());
    }

    /// As many sessions of one statement each.
    pub(crate) fn short_sessions(&self, count: usize) {
        let each = |way: &Way| {
            for _ in 0..count.div_ceil(self.ways.len()) {
                let number = self.journal.number();
                let done = way.psql(&["-c", &statement(number)]).stdin(Stdio::null()).output().unwrap();
                if String::from_utf8_lossy(&done.stdout).trim() == number.to_string() {
                    self.journal.note(number, way.strictly());
                }
            }
        };
        std::thread::scope(|scope| self.ways.iter().for_each(|way| drop(scope.spawn(move || each(way)))));
    }
}

pub(crate) fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
}

/// One session after another, each until it breaks.
fn work(way: &Way, journal: &Journal) {
    while !journal.is_over() {
        let mut child = way.psql(&[]).spawn().unwrap();
        let pid = child.id();
        journal.running.lock().unwrap().insert(pid);
        type_on(&mut child, way, journal);
        // Its end of input is psql's end; whoever hangs is ended by the crew.
        drop(child.stdin.take());
        let _ = child.wait();
        journal.running.lock().unwrap().remove(&pid);
    }
}

fn type_on(child: &mut Child, way: &Way, journal: &Journal) {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !journal.is_over() {
        let number = journal.number();
        let Some(input) = child.stdin.as_mut() else { return };
        if writeln!(input, "{}", statement(number)).is_err() {
            return;
        }
        line.clear();
        match output.read_line(&mut line) {
            Ok(1..) if line.trim() == number.to_string() => journal.note(number, way.strictly()),
            _ => return,
        }
    }
}

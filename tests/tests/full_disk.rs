//! Full disks, as small file systems of their own: at the agent's spool and at the gateway's recordings (THREATS F4).
//! Nothing acknowledged is lost, nothing runs unrecorded, and when there is room again hoop serves again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use hoop_testkit::{Psql, World, WorldOptions, run, wait_until};

/// A file system in memory over a folder; unmounted when dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn over(folder: &Path, size: &str) -> Self {
        let owner = std::os::unix::fs::MetadataExt::uid(&folder.metadata().unwrap());
        let options = format!("size={size},mode=0700,uid={owner}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "hoop-test"]).arg(folder));
        Self { folder: folder.to_owned() }
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let mut filler = File::create(self.folder.join("filler")).unwrap();
        for piece in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.folder.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open keeps it, and the folder can be removed.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn texts(world: &World, session: &str) -> Vec<String> {
    world.statements(session).iter().filter_map(|s| Some(s["text"].as_str()?.to_owned())).collect()
}

/// Rows that reached the target.
fn kept(world: &World) -> Vec<u32> {
    let rows = world.postgres.script("select n from kept order by n");
    rows.lines().map(|line| line.parse().unwrap()).collect()
}

fn world(agent: &'static [&'static str]) -> World {
    let world = World::with(WorldOptions { agent, ..WorldOptions::default() });
    world.postgres.script("create table kept (n int); alter table kept owner to app");
    world
}

fn insert(n: u32) -> String {
    // Long, so that a few of them are chunks of a recording.
    format!("insert into kept /* {} */ values ({n}) returning n;", "x".repeat(20_000))
}

#[test]
fn a_full_disk_at_the_agent_ends_the_session_with_its_reason() {
    let mut world = world(&[]);
    world.agent.kill();
    let spool = SmallDisk::over(&world.folder.path().join("agent/spool"), "4m");
    world.crash_agent();
    world.wait_for_agent();
    let mut psql = Psql::start(&world);
    for n in 0..3 {
        assert_eq!(psql.try_ask(&insert(n)), Some(n.to_string()));
    }
    spool.fill();
    let mut answered = 3;
    while psql.try_ask(&insert(answered)) == Some(answered.to_string()) {
        answered += 1;
        assert!(answered < 2000, "it goes on without a recording");
    }
    let words = psql.last_words();
    assert!(words.contains("FATAL") && words.contains("recording of this session"), "{words}");
    // The next ones are told, too: nothing begins that cannot be recorded.
    let refused = world.through(&["psql", "-X", "-c", "select 1"]).output().unwrap();
    assert!(!refused.status.success());
    spool.make_room();
    let (id, statements) = wait_until("the recording of the session that ended", || {
        let sessions = world.sessions();
        let first = sessions.last()?;
        matches!(first["state"].as_str(), Some("ended" | "interrupted")).then_some(())?;
        let id = first["id"].as_str()?.to_owned();
        let statements = texts(&world, &id);
        Some((id, statements))
    });
    // Everything that the target did was answered or is at least recorded; nothing ran without being recorded.
    let recorded = |n: u32| {
        statements.iter().any(|text| {
            text.ends_with(&format!("values ({n}) returning n;"))
                || text.ends_with(&format!("values ({n}) returning n"))
        })
    };
    let rows = kept(&world);
    assert!(rows.len() >= usize::try_from(answered).unwrap(), "{rows:?}");
    for n in &rows {
        assert!(recorded(*n), "{n} ran and is not recorded, of {} statements", statements.len());
    }
    // How it ended is in the evidence: not as if nothing had happened.
    let report = world.json(&world.admin, &["sessions", "verify", &id]);
    let session = world.json(&world.admin, &["sessions", "show", &id]);
    assert!(
        report["gateway"]["ending"] == "interrupted"
            || session["end_reason"].as_str().unwrap().contains("record"),
        "{report} {session}"
    );
    run(world.hoop(&world.admin).args(["audit", "verify"]));
    assert_eq!(world.psql("select 'again'"), "again\n");
}

#[test]
fn a_full_disk_at_the_gateway_loses_nothing() {
    let mut world = world(&[]);
    world.gateway.kill();
    let disk = SmallDisk::over(&world.folder.path().join("gateway/recordings"), "4m");
    world.crash_gateway();
    world.wait_for_agent();
    disk.fill();
    // The agent keeps what the gateway cannot: short work goes on, and its recording waits.
    let mut psql = Psql::start(&world);
    for n in 0..5 {
        assert_eq!(psql.try_ask(&insert(n)), Some(n.to_string()));
    }
    assert_eq!(psql.last_words(), "");
    wait_until("the failure in the metrics", || {
        let metrics = world.metrics();
        metrics
            .lines()
            .any(|line| line.starts_with("hoop_recording_failures_total") && !line.ends_with(" 0"))
            .then_some(())
    });
    let newest = world.sessions().first().unwrap().clone();
    assert!(!matches!(newest["state"].as_str(), Some("ended" | "interrupted")), "{newest}");
    disk.make_room();
    let session = world.ended_session();
    assert_eq!(session["state"], "ended", "sealed: {session}");
    let id = session["id"].as_str().unwrap();
    let statements = texts(&world, id);
    assert_eq!(statements.iter().filter(|text| text.contains("insert into kept")).count(), 5);
    assert_eq!(world.json(&world.admin, &["sessions", "verify", id])["clean"], true);
    assert_eq!(kept(&world), [0, 1, 2, 3, 4]);
    assert_eq!(world.psql("select 'again'"), "again\n");
}

#[test]
fn a_full_disk_at_the_gateway_stops_a_session_that_is_far_behind() {
    let mut world = world(&["--spool-behind-bytes", "65536", "--stall-limit-seconds", "3"]);
    world.gateway.kill();
    let disk = SmallDisk::over(&world.folder.path().join("gateway/recordings"), "4m");
    world.crash_gateway();
    world.wait_for_agent();
    disk.fill();
    let mut psql = Psql::start(&world);
    let mut answered = 0;
    // Text that does not shrink, so that it is behind by its length.
    let noise = |n: u32| {
        let mut state = u64::from(n) + 1;
        (0..40_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b'a' + u8::try_from((state >> 40) % 26).unwrap())
            })
            .collect::<String>()
    };
    while psql
        .try_ask(&format!("insert into kept /* {} */ values ({answered}) returning n;", noise(answered)))
        == Some(answered.to_string())
    {
        answered += 1;
        assert!(answered < 500, "it goes on although nobody keeps its recording");
    }
    let words = psql.last_words();
    assert!(words.contains("FATAL"), "{words}");
    disk.make_room();
    let session = world.ended_session();
    let statements = texts(&world, session["id"].as_str().unwrap());
    for n in kept(&world) {
        assert!(
            statements.iter().any(|text| text.contains(&format!("values ({n}) returning"))),
            "{n} is not recorded"
        );
    }
    assert_eq!(
        world.json(&world.admin, &["sessions", "verify", session["id"].as_str().unwrap()])["clean"],
        true
    );
    assert_eq!(world.psql("select 'again'"), "again\n");
}

//! Bulk: half a gigabyte out, half a gigabyte in, one row of 300 MB, and many idle connections; the agent's memory stays where it
//! is, for nothing is ever held whole. Debug builds copy some 50 MB/s, so it is not more; a megabyte is a million bytes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use hoop_testkit::{World, resident, run};

/// What the agent may need more than before.
const ROOM: u64 = 64 << 20;
const ROWS: u64 = 500_000;
const ROW: u64 = 1_000;

/// The most that a process grew by while something was done.
fn growth<T>(pid: u32, work: impl FnOnce() -> T) -> (u64, T) {
    let (before, most, done) = (resident(pid), AtomicU64::new(0), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(resident(pid), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(10));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        result
    });
    (most.load(Ordering::Relaxed).saturating_sub(before), result.unwrap())
}

fn psql(world: &World, sql: &str) -> Command {
    // A first session has warmed everything up before anything is measured.
    let mut command = world.through(&["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// How many bytes a command prints.
fn printed(mut command: Command) -> u64 {
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let (mut out, mut buffer, mut total) = (child.stdout.take().unwrap(), vec![0; 1 << 20], 0);
    loop {
        match out.read(&mut buffer).unwrap() {
            0 => break,
            count => total += u64::try_from(count).unwrap(),
        }
    }
    assert!(child.wait().unwrap().success());
    total
}

#[test]
fn half_a_gigabyte_goes_out_and_memory_stays() {
    let world = World::start();
    world.psql("select 1");
    let sql = format!("copy (select repeat('x', {}) from generate_series(1, {ROWS})) to stdout", ROW - 1);
    let (more, total) = growth(world.agent.pid(), || printed(psql(&world, &sql)));
    assert_eq!(total, ROWS * ROW);
    assert!(more < ROOM, "the agent grew by {} KiB", more / 1024);
}

#[test]
fn half_a_gigabyte_goes_in_and_memory_stays() {
    let world = World::start();
    world.psql("create table bulk(line text)");
    let (more, ()) = growth(world.agent.pid(), || {
        // The server parses every row and keeps none: the disk is not what is tried here.
        let mut child = psql(&world, "copy bulk from stdin where line = 'last'").spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut line = vec![b'x'; usize::try_from(ROW).unwrap()];
        *line.last_mut().unwrap() = b'\n';
        let block = line.repeat(1_000);
        for _ in 0..ROWS / 1_000 {
            input.write_all(&block).unwrap();
        }
        input.write_all(b"last\n").unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
    });
    assert_eq!(world.psql("select count(*) from bulk"), "1\n");
    assert!(more < ROOM, "the agent grew by {} KiB", more / 1024);
}

#[test]
fn one_row_of_300_megabytes_passes_and_memory_stays() {
    let world = World::start();
    world.psql("select 1");
    let (more, total) = growth(world.agent.pid(), || printed(psql(&world, "select repeat('x', 300000000)")));
    assert_eq!(total, 300_000_001);
    assert!(more < ROOM, "the agent grew by {} KiB", more / 1024);
}

#[test]
fn idle_connections_cost_little() {
    let world = World::start();
    world.psql("select 1");
    let script = "
import psycopg
held = [psycopg.connect('') for _ in range(180)]
assert [c.execute('select %s::int', [n]).fetchone()[0] for n, c in enumerate(held)] == list(range(180))
print(len(held))";
    let (more, out) =
        growth(world.agent.pid(), || run(&mut world.through(&["/usr/bin/python3", "-c", script])));
    assert_eq!(out, "180\n");
    assert!(more < ROOM, "the agent grew by {} KiB for 180 connections", more / 1024);
}

//! Streams, exit codes, and channels beside each other.

use std::{
    io::{Read as _, Write as _},
    process::Stdio,
    time::{Duration, Instant},
};

use hoop_testkit::{Sshd, World, run, wait_until};
use serde_json::json;

use super::{Running, done, events, hospital, master, noise, of_kind, shared, text};

#[test]
fn a_command_has_its_own_streams_and_exit_code() {
    let (world, _sshd) = hospital();
    let (out, err, code) = done(&mut world.ssh(&["web", "echo out; echo err >&2; exit 7"]));
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\n", Some(7)));
    let (out, err, code) = done(&mut world.ssh(&["web", "true"]));
    assert_eq!((out.as_str(), err.as_str(), code), ("", "", Some(0)));
    let (_, _, code) = done(&mut world.ssh(&["web", "no-such-program-at-all"]));
    assert_eq!(code, Some(127));
    // A program that dies of a signal has no exit code: OpenSSH says 255.
    let (_, _, code) = done(&mut world.ssh(&["web", "kill -KILL $$"]));
    assert_eq!(code, Some(255));
    assert_eq!(of_kind(&events(&world), "completed")[0]["tag"], "signal KILL");
}

#[test]
fn the_end_of_input_is_passed_on_and_output_goes_on() {
    let (world, _sshd) = hospital();
    let mut client = Running::start(&mut world.ssh(&["web", "cat; echo after"]));
    client.0.stdin.take().unwrap().write_all(b"before\n").unwrap();
    let mut out = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "before\nafter\n");
    assert!(client.0.wait().unwrap().success());
    // And the other way: the program closes its output, and reads on.
    let seen = world.folder.path().join("seen");
    let command = format!("exec >&- 2>&-; cat > {}", seen.display());
    let mut client = Running::start(&mut world.ssh(&["web", &command]));
    let mut input = client.0.stdin.take().unwrap();
    let mut nothing = Vec::new();
    client.0.stdout.take().unwrap().read_to_end(&mut nothing).unwrap();
    input.write_all(b"heard\n").unwrap();
    drop(input);
    client.0.wait().unwrap();
    assert_eq!(std::fs::read_to_string(seen).unwrap(), "heard\n");
}

/// A client of a shared connection closes its channel as soon as both ways are at their end: that of the program's output must not
/// reach it before the program's own.
#[test]
fn a_program_that_closes_its_output_early_tells_its_end_over_a_shared_connection_too() {
    let (world, _sshd) = hospital();
    let master = master(&world);
    let mut client = shared(&world, &["exec >&- 2>&-; sleep 1; exit 3"]);
    let (_, _, code) = done(client.stdin(Stdio::null()));
    assert_eq!(code, Some(3));
    let mut cat = shared(&world, &["cat; exit 4"]);
    let (out, _, code) = done(cat.stdin(Stdio::null()));
    assert_eq!((out.as_str(), code), ("", Some(4)));
    drop(master);
    let events = events(&world);
    let tags: Vec<_> = of_kind(&events, "completed").iter().map(|event| &event["tag"]).collect();
    assert_eq!(tags, ["exit 3", "exit 4"]);
}

#[test]
fn twenty_megabytes_pass_both_ways_at_once_unchanged() {
    let (world, _sshd) = hospital();
    let path = world.folder.path().join("noise");
    let noise = noise(&path, 20);
    let mut cat = world.ssh(&["web", "cat"]);
    let done = cat.stdin(std::fs::File::open(&path).unwrap()).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(done.stdout == noise, "{} bytes came back", done.stdout.len());
}

/// Both sides ask for new keys again and again, in the middle of both directions.
#[test]
fn new_keys_in_the_middle_of_a_transfer_change_nothing() {
    let (world, sshd) = (World::start(), Sshd::with("RekeyLimit 1M"));
    world.put_host("web", &sshd, json!({}));
    let path = world.folder.path().join("noise");
    let noise = noise(&path, 8);
    let mut cat = world.ssh(&["-o", "RekeyLimit=1M", "web", "cat"]);
    let done = cat.stdin(std::fs::File::open(&path).unwrap()).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(done.stdout == noise, "{} bytes came back", done.stdout.len());
}

#[test]
fn a_channel_that_nobody_reads_holds_up_no_other() {
    let (world, _sshd) = hospital();
    let _master = master(&world);
    // Output that nobody reads: far more than all windows and buffers on the way.
    let stalled = Running::start(&mut shared(&world, &["head -c 200000000 /dev/zero"]));
    let began = world.folder.path().join("began");
    let command = format!("touch {}; sleep 600", began.display());
    // Input that the program does not read, within what a channel may have waiting.
    let mut deaf = Running::start(&mut shared(&world, &[&command]));
    deaf.0.stdin.as_mut().unwrap().write_all(&vec![0; 3 << 20]).unwrap();
    wait_until("the program that does not read", || began.exists().then_some(()));
    for round in 0..5 {
        let start = Instant::now();
        let out = run(shared(&world, &["echo beside"]).stdin(Stdio::null()));
        assert_eq!(out, "beside\n");
        // One that is held up waits for a minute at least.
        assert!(start.elapsed() < Duration::from_secs(25), "round {round}: {:?}", start.elapsed());
    }
    drop((stalled, deaf));
}

#[test]
fn many_channels_of_one_connection_keep_apart() {
    let (world, _sshd) = hospital();
    let _master = master(&world);
    let clients: Vec<_> = (0..12)
        .map(|number| {
            let command = format!("head -c 300000 /dev/zero | tr '\\0' {} ; exit {number}", number % 10);
            (number, Running::start(&mut shared(&world, &[&command])))
        })
        .collect();
    for (number, mut client) in clients {
        let mut out = String::new();
        client.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let digit = char::from_digit(number % 10, 10).unwrap();
        assert!(out.len() == 300_000 && out.chars().all(|c| c == digit), "{number}: {}", out.len());
        assert_eq!(client.0.wait().unwrap().code(), Some(number.cast_signed()));
    }
}

//! What a terminal showed, played again and watched while it happens: it draws, and does nothing else.

use std::time::{Duration, Instant};

use expectrl::{Expect as _, session::OsSession};
use hoop_testkit::{World, run, wait_until};

use super::{done, hospital, terminal::shell};

/// What a host may print to act on whoever looks at it.
const HOSTILE: &str = concat!(
    r"\033]52;c;ZXZpbA==\007\033]0;evil-title\007\033]8;;http://evil.example\007link\033]8;;\007",
    r#"\033P$q"p\033\\\033[8;9999;9999t\033[6n</script>\377"#
);

/// `hoop sessions …` of the admin on a terminal of their own.
fn on_a_terminal(world: &World, words: &[&str]) -> OsSession {
    let mut command = world.hoop(&world.admin);
    command.arg("sessions").args(words).env("TERM", "xterm-256color");
    let mut session = OsSession::spawn(command).unwrap();
    session.set_expect_timeout(Some(Duration::from_secs(30)));
    session
}

/// All that is printed until the end.
fn all_of(mut session: OsSession) -> String {
    let found = session.expect(expectrl::Eof).unwrap();
    String::from_utf8_lossy(found.as_bytes()).into_owned()
}

/// The session that is open, by its id.
fn live(world: &World) -> String {
    wait_until("the session", || {
        let live = world.json(&world.admin, &["sessions", "ls", "--live"]);
        live[0]["id"].as_str().map(str::to_owned)
    })
}

/// A session with one shell that printed this, by its id.
fn printed(world: &World, script: &str) -> String {
    let path = world.folder.path().join("script");
    std::fs::write(&path, script).unwrap();
    let mut shell = shell(world);
    shell.send_line(format!("PS1=; stty -echo; sh {}; exit 3", path.display())).unwrap();
    shell.expect(expectrl::Eof).unwrap();
    world.ended_session()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_shell_is_played_on_a_terminal_and_is_text_elsewhere() {
    let (world, _sshd) = hospital();
    let id = printed(&world, &format!("printf 'be\\033[1mgin {HOSTILE} \\033[?1049hen''d\\n'"));

    let shown = all_of(on_a_terminal(&world, &["replay", &id, "--speed", "100"]));
    assert!(shown.contains("be\u{1b}[1mgin") && shown.contains("\u{1b}[?1049hend"), "it draws: {shown:?}");
    assert!(shown.contains("</script>\u{fffd}") && shown.contains("exit 3"), "{shown:?}");
    for acts in ["\u{1b}]", "\u{1b}P", "evil", "9999t", "\u{1b}[6n"] {
        assert!(!shown.contains(acts), "{acts:?} in {shown:?}");
    }
    let left = shown.rfind("\u{1b}[?1049l").unwrap();
    assert!(left > shown.find("\u{1b}[?1049h").unwrap(), "the terminal is as it was: {shown:?}");

    let text = run(world.hoop(&world.admin).args(["sessions", "replay", &id, "--no-wait"]));
    assert!(text.contains("begin") && text.contains("end") && !text.contains('\u{1b}'), "{text:?}");
    // Offline, from the recording and the organisation's key, it is the same.
    let (file, key) =
        (world.folder.path().join("a.hoopr"), world.folder.path().join("gateway/keys/recording.pem"));
    let (file, key) = (file.to_str().unwrap(), key.to_str().unwrap());
    run(world.hoop(&world.admin).args(["sessions", "export", &id, "-f", "raw", "-o", file]));
    let words = ["replay", "--file", file, "--key", key, "--speed", "100"];
    let offline = all_of(on_a_terminal(&world, &words));
    assert!(offline.contains("be\u{1b}[1mgin") && offline.contains("exit 3"), "{offline:?}");
    assert!(!offline.contains("\u{1b}]") && !offline.contains("evil"), "{offline:?}");

    let reads = run(world.hoop(&world.admin).args(["audit", "ls", "--code", "recording.read", "-o", "json"]));
    assert!(reads.contains("\"terminal\""), "looking at it is an event: {reads}");
}

#[test]
fn a_replay_begins_where_it_is_wanted_and_waits_no_longer_than_wanted() {
    let (world, _sshd) = hospital();
    let id = printed(&world, "echo fir''st; sleep 4; echo sec''ond; sleep 4; echo thi''rd");
    // From the first word to the last, however long the program took to start.
    let took = |words: &[&str]| {
        let mut replay = on_a_terminal(&world, &[&["replay", &id], words].concat());
        replay.expect("first").unwrap();
        let began = Instant::now();
        replay.expect("third").unwrap();
        began.elapsed()
    };
    let usual = took(&[]);
    assert!(usual > Duration::from_millis(3900), "two pauses of two seconds each: {usual:?}");
    let cut = took(&["--idle-limit", "0.1"]);
    assert!(cut < Duration::from_secs(3), "{cut:?}");
    let late = took(&["--from", "7"]);
    assert!(late < usual - Duration::from_secs(1), "what was before is drawn at once: {late:?} of {usual:?}");
    let fast = took(&["--speed", "100"]);
    assert!(fast < Duration::from_secs(3), "a hundred times as fast: {fast:?}");
    let refused = done(world.hoop(&world.admin).args(["sessions", "replay", &id, "--from", "1:99"]));
    assert!(refused.1.contains("1:30"), "{refused:?}");
}

#[test]
fn what_text_leaves_out_is_said_and_the_terminal_has_all_of_it() {
    let (world, _sshd) = hospital();
    let id = printed(&world, "seq 1 40000");
    let text = run(world.hoop(&world.admin).args(["sessions", "replay", &id, "--no-wait"]));
    assert!(!text.contains("\n40000\n"), "it is cut");
    assert!(
        text.contains("more bytes were printed") && text.contains("export SESSION -f jsonl"),
        "and says so"
    );
    let shown = all_of(on_a_terminal(&world, &["replay", &id, "--speed", "1000"]));
    assert!(shown.contains("\n40000\r"), "played, it is whole: {} bytes", shown.len());
}

#[test]
fn of_several_terminals_each_is_played() {
    let (world, _sshd) = hospital();
    let _master = super::master(&world);
    for word in ["one", "two"] {
        let (shown, ..) = done(&mut super::shared(&world, &["-tt", "echo", word]));
        assert!(shown.contains(word), "{shown}");
    }
    drop(_master);
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let shown = all_of(on_a_terminal(&world, &["replay", &id, "--speed", "1000"]));
    let (one, two) = (shown.find("\none\r\n").unwrap(), shown.find("\ntwo\r\n").unwrap());
    assert!(one < two && shown.matches("exit 0").count() == 2, "{shown}");
}

#[test]
fn who_may_not_look_any_more_sees_no_more() {
    let (world, _sshd) = hospital();
    let mut shell = shell(&world);
    shell.send_line("PS1=; echo re''ady").unwrap();
    shell.expect("ready").unwrap();
    let mut watcher = on_a_terminal(&world, &["tail", &live(&world)]);
    watcher.expect("ready").unwrap();
    run(world.hoop(&world.admin).arg("logout"));
    // The shell goes on; the watching does not.
    let began = Instant::now();
    let rest = all_of(watcher);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {rest}", began.elapsed());
    shell.send_line("echo al''ive").unwrap();
    shell.expect("alive").unwrap();
}

#[test]
fn a_running_shell_is_watched_until_it_is_ended() {
    let (world, _sshd) = hospital();
    let mut shell = shell(&world);
    shell.send_line("PS1=; echo re''ady").unwrap();
    shell.expect("ready").unwrap();
    let id = live(&world);
    let mut watcher = on_a_terminal(&world, &["tail", &id]);
    watcher.expect("ready").unwrap();
    shell.send_line("printf 'see\\033[31mn %s\\n' $((40+2)); printf '\\033]52;c;ZXZpbA==\\007'").unwrap();
    watcher.expect("see\u{1b}[31mn 42").unwrap();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "seen enough"]));
    let rest = all_of(watcher);
    assert!(rest.contains("over") && !rest.contains("\u{1b}]52"), "{rest:?}");
}

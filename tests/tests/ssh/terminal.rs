//! A shell in a terminal, typed into.

use std::time::Duration;

use expectrl::{Expect as _, session::OsSession};
use hoop_testkit::{World, run};
use serde_json::Value;

use super::{events, hospital, of_kind, said};

pub(crate) fn shell(world: &World) -> OsSession {
    let mut command = world.ssh(&["web"]);
    command.env("TERM", "xterm-256color");
    let mut shell = OsSession::spawn(command).unwrap();
    shell.set_expect_timeout(Some(Duration::from_secs(30)));
    shell.get_process_mut().set_window_size(101, 37).unwrap();
    shell
}

#[test]
fn a_shell_has_a_terminal_of_the_clients_size_and_ctrl_c_interrupts() {
    let (world, _sshd) = hospital();
    let mut shell = shell(&world);
    shell.send_line("PS1=; stty -echo; echo re''ady; stty size; echo $TERM").unwrap();
    shell.expect("ready").unwrap();
    shell.expect("xterm-256color").unwrap();
    // The client says a new size; the program there is told by its kernel.
    let script = world.folder.path().join("watch");
    let text = "trap 'stty size; echo resized' WINCH; echo waiting; while :; do sleep 0.1; done";
    std::fs::write(&script, text).unwrap();
    shell.send_line(format!("sh {}", script.display())).unwrap();
    shell.expect("waiting").unwrap();
    shell.get_process_mut().set_window_size(90, 24).unwrap();
    shell.expect("24 90").unwrap();
    shell.expect("resized").unwrap();
    shell.send("\u{3}").unwrap();
    shell.send_line("echo al''ive").unwrap();
    shell.expect("alive").unwrap();
    shell.send_line("exit 5").unwrap();
    shell.expect(expectrl::Eof).unwrap();
    let status = shell.get_process().wait().unwrap();
    assert!(format!("{status:?}").ends_with(", 5)"), "{status:?}");

    let events = events(&world);
    let request = of_kind(&events, "request")[0];
    assert_eq!(
        (&request["form"], &request["names"]["terminal"]),
        (&"shell".into(), &"xterm-256color".into())
    );
    let shown = said(&events, "out");
    assert!(shown.contains("24 90") && shown.contains("resized") && shown.contains("alive"), "{shown}");
    assert_eq!(said(&events, "in"), "", "what is typed is kept where it is shown");
    let resized = of_kind(&events, "resized");
    assert!(resized.iter().any(|event| event["columns"] == 90 && event["rows"] == 24), "{resized:?}");
    assert_eq!(of_kind(&events, "completed")[0]["tag"], "exit 5");

    // A player of terminal recordings plays it, with its size and times; and people read it as text.
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let cast = run(world.hoop(&world.admin).args(["sessions", "export", &id, "-f", "asciicast"]));
    let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["version"], &lines[0]["term"]["type"]), (&3.into(), &"xterm-256color".into()));
    let of = |code: &str| {
        lines[1..]
            .iter()
            .filter(|line| line[1] == code)
            .map(|line| line[2].as_str().unwrap())
            .collect::<String>()
    };
    assert!(of("o").contains("resized") && of("r").ends_with("90x24") && of("x") == "5", "{cast}");
    let replay = run(world.hoop(&world.admin).args(["sessions", "replay", &id, "--no-wait"]));
    assert!(replay.contains("resized\n") && replay.contains("exit 5"), "{replay}");
}

#[test]
fn what_is_typed_unseen_is_in_no_recording() {
    let (world, _sshd) = hospital();
    let mut shell = shell(&world);
    shell.send_line("PS1=; echo re''ady; read -rs SECRET; echo $((${#SECRET}+100))").unwrap();
    shell.expect("ready").unwrap();
    shell.send_line("canary-typed-unseen").unwrap();
    shell.expect("119").unwrap();
    shell.send_line("exit").unwrap();
    shell.expect(expectrl::Eof).unwrap();
    let all = format!("{:?}", events(&world));
    assert!(all.contains("119") && !all.contains("canary-typed-unseen"), "{all}");
}

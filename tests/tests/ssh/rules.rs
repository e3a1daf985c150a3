//! Rules that are about hosts: commands that are listed, and output that is masked as well as it can be.

use std::time::Duration;

use expectrl::{Expect as _, session::OsSession};
use serde_json::json;

use super::{Running, done, events, hospital, of_kind, said};

#[test]
fn where_commands_are_listed_nothing_else_reaches_the_host() {
    let (world, _sshd) = hospital();
    let ran = world.folder.path().join("ran");
    let touch = format!("touch {}", ran.display());
    world.rule(json!({"commands": [
        {"name": "not-now", "action": "deny", "text": ["echo never"], "message": "ask the operators"},
        {"name": "say", "action": "allow", "text": ["echo [a-z ]+"]},
    ]}));
    assert_eq!(
        done(&mut world.ssh(&["web", "echo fine day"])),
        ("fine day\n".into(), String::new(), Some(0))
    );
    assert_eq!(of_kind(&events(&world), "denied").len(), 0);
    let refused = |words: &[&str], code: &str| {
        let (out, err, status) = done(&mut world.ssh(words));
        assert!(out.is_empty() && err.contains(code) && status == Some(255), "{words:?}: {out} {err}");
        assert_eq!(of_kind(&events(&world), "denied")[0]["code"], code);
        err
    };
    for text in
        [&touch, &format!("echo fine; {touch}"), &format!("echo $({touch})"), &format!("echo a\n{touch}")]
    {
        refused(&["web", text], "HOOP-2046");
    }
    assert!(
        refused(&["web", "echo never"], "HOOP-2046")
            .contains("not-now does not allow this command: ask the operators")
    );
    refused(&["web", "scp -f /etc/passwd"], "HOOP-2046");
    refused(&["web"], "HOOP-2047");
    refused(&["-tt", "web"], "HOOP-2047");
    refused(&["-s", "web", "sftp"], "HOOP-2047");
    assert!(!ran.exists(), "it ran");
}

#[test]
fn a_session_ends_when_its_command_rules_change() {
    let (world, _sshd) = hospital();
    let allow = |text: &str| json!({"commands": [{"name": "a", "action": "allow", "text": [text]}]});
    world.rule(allow("echo begun; sleep 600"));
    let mut client = Running::start(&mut world.ssh(&["web", "echo begun; sleep 600"]));
    let mut begun = [0; 6];
    std::io::Read::read_exact(client.0.stdout.as_mut().unwrap(), &mut begun).unwrap();
    world.rule(allow("uptime"));
    assert_eq!(client.0.wait().unwrap().code(), Some(255));
}

#[test]
fn output_is_masked_where_the_rule_says_so_and_the_recording_has_what_was_shown() {
    let (world, _sshd) = hospital();
    world.rule(json!({"masking": {"hosts": "detect"}}));
    let script = "printf 'ssn 123-45-6789\\nssn 1\\033[31m23-45-\\033[0m6789\\n'; printf 'm.g@example.org\\n' >&2; exit 3";
    let (out, err, code) = done(&mut world.ssh(&["web", script]));
    assert_eq!(out, "ssn [ssn]\nssn [ssn]\u{1b}[31m\u{1b}[0m\n");
    assert_eq!((err.as_str(), code), ("[email]\n", Some(3)));
    let events = events(&world);
    assert_eq!((said(&events, "out"), said(&events, "error")), (out, err));
    assert_eq!(of_kind(&events, "masked")[0]["counts"], json!({"ssn": 2, "email": 1}));
    // A large output, in whatever pieces it comes. It is there before any of it is printed: a host that stands still amid a number
    // is another matter.
    let large = world.folder.path().join("large");
    let command =
        format!("yes 'my ssn 123-45-6789, and more' | head -n 40000 > {0}; cat {0}", large.display());
    let (out, ..) = done(&mut world.ssh(&["web", &command]));
    assert!(out == "my ssn [ssn], and more\n".repeat(40_000), "{} bytes", out.len());
    for words in [&["-s", "web", "sftp"][..], &["web", "scp -f /etc/passwd"]] {
        let (_, err, code) = done(&mut world.ssh(words));
        assert!(err.contains("HOOP-2045") && code == Some(255), "{words:?}: {err}");
    }
}

#[test]
fn a_masked_terminal_answers_while_somebody_waits() {
    let (world, _sshd) = hospital();
    world.rule(json!({"masking": {"hosts": "detect"}}));
    let mut shell = OsSession::spawn(world.ssh(&["web"])).unwrap();
    shell.set_expect_timeout(Some(Duration::from_secs(30)));
    // Nothing follows a prompt: it must not wait for more to be decided.
    shell.send_line("PS1='his ssn? '; stty -echo").unwrap();
    shell.expect("his ssn? ").unwrap();
    shell.send_line("echo 123-45-67''89").unwrap();
    shell.expect("[ssn]").unwrap();
    shell.send_line("exit").unwrap();
    shell.expect(expectrl::Eof).unwrap();
    let shown = said(&events(&world), "out");
    assert!(shown.contains("[ssn]") && !shown.contains("123-45-6789"), "{shown}");
}

//! Rule files in a folder, and what the commands say of them. The worked example of docs/POLICY.md is one of them.

use std::{fs, path::Path};

use clap::Parser as _;
use tempfile::TempDir;

use super::*;
use crate::args::{Bundle, Cli, Command};

const RULES: &str = "version: 1
rules:
- {name: a, subjects: {groups: [g]}, connections: {names: [pg]}}
- {name: b, subjects: {groups: [h]}, connections: {names: [pg]}}
";
const CASES: &str = "version: 1
given: {at: 2026-03-02T09:30:00Z, address: 10.0.0.1, mfa: {by: totp}, connection: {name: pg}}
cases:
- {name: first, given: {person: {name: ada, groups: [g]}}, expect: {allow: a}}
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn policy(arguments: &[&str]) -> Policy {
    let whole = ["hoop", "policy"].iter().chain(arguments);
    match Cli::try_parse_from(whole).unwrap().command {
        Command::Policy(policy) => policy,
        other => panic!("{other:?}"),
    }
}

fn check(paths: &[&str]) -> Vec<Checked> {
    match policy(&[&["check"], paths].concat()) {
        Policy::Check(args) => super::check(&args).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What a command prints, and the exit code that goes with it.
fn printed(arguments: &[&str], at: &Path) -> Result<(String, u8)> {
    let at = |path: PathBuf| at.join(path);
    match policy(arguments) {
        Policy::Test(args) => {
            let tested = trial::run(&at(args.folder), args.min_coverage)?;
            Ok((tested.shown(), if tested.passed { 0 } else { Failure::Found.code() }))
        }
        Policy::Explain(mut args) => {
            (args.rules, args.tests) = (at(args.rules), args.tests.map(at));
            Ok((explain::run(*args)?.shown(), 0))
        }
        other => panic!("{other:?}"),
    }
}

fn refusal(arguments: &[&str], at: &Path) -> (String, String) {
    match printed(arguments, at) {
        Err(Failure::Error(error)) => (error.fault.code.to_string(), error.fault.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_check_names_file_line_and_rule() {
    let twice = format!("{RULES}- {{name: a, subjects: {{groups: [g]}}, connections: {{names: [pg]}}}}\n");
    let folder = folder(&[
        ("good.yaml", RULES),
        ("good.test.yaml", CASES),
        ("twice.yml", &twice),
        ("unknown.yaml", "version: 1\nrules:\n- {name: a, who: ada}\n"),
        ("notes.txt", "not read"),
    ]);
    let checked = check(&[folder.path().to_str().unwrap()]);
    let shown: Vec<_> = checked
        .iter()
        .map(|file| {
            let name = Path::new(&file.file).file_name().unwrap().to_str().unwrap();
            let line = file.problem.as_ref().and_then(|problem| problem.line);
            (name, file.holds.as_deref(), line, file.problem.as_ref().map(|problem| problem.code.as_str()))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("good.test.yaml", Some("1 case"), None, None),
            ("good.yaml", Some("2 rules"), None, None),
            ("twice.yml", None, Some(5), Some("HOOP-2014")),
            ("unknown.yaml", None, Some(3), Some("HOOP-2013")),
        ]
    );
    let table = checked_table(&checked);
    assert!(table.contains("line 5, column 3: rule a: another rule has this name"), "{table}");
    assert_eq!(found(checked.iter().all(|file| file.problem.is_none())).unwrap_err().code(), 6);
}

#[test]
fn a_case_that_fails_fails_the_command() {
    let wrong =
        format!("{CASES}- {{name: second, given: {{person: {{name: ada}}}}, expect: {{allow: b}}}}\n");
    let folder = folder(&[("r.yaml", RULES), ("r.test.yaml", &wrong)]);
    let (shown, code) = printed(&["test", "."], folder.path()).unwrap();
    assert_eq!(code, 6);
    let failed = "second       FAILED  expected rule b to allow it, but it is refused with HOOP-2001";
    assert!(shown.contains(failed) && shown.contains("1 passed, 1 failed"), "{shown}");
}

#[test]
fn coverage_below_the_minimum_fails_the_command() {
    let folder = folder(&[("r.yaml", RULES), ("r.test.yaml", CASES)]);
    for (minimum, code, said) in [("50", 0, "1 of 2 rules have decided, 50 %\n"), ("51", 6, "50 %: BELOW")] {
        let (shown, ended) = printed(&["test", ".", "--min-coverage", minimum], folder.path()).unwrap();
        assert_eq!(ended, code, "{shown}");
        assert!(shown.contains(said), "{shown}");
    }
    assert_eq!(printed(&["test", "."], folder.path()).unwrap().1, 0, "without a minimum none is asked for");
    assert!(Cli::try_parse_from(["hoop", "policy", "test", ".", "--min-coverage", "101"]).is_err());
}

#[test]
fn a_rule_file_without_tests_is_not_covered() {
    let named = format!("rules: r.yaml\n{CASES}");
    let folder = folder(&[("r.yaml", RULES), ("untested.yaml", RULES), ("r.test.yaml", &named)]);
    let (shown, code) = printed(&["test", ".", "--min-coverage", "1"], folder.path()).unwrap();
    assert!(code == 6 && shown.contains("0 of 2 rules have decided, 0 %: BELOW"), "{shown}");
}

#[test]
fn what_cannot_be_tested_is_no_success() {
    let named = format!("rules: other.yaml\n{CASES}");
    let many: &[(&str, &str)] = &[("a.yaml", RULES), ("b.yaml", RULES), ("x.test.yaml", CASES)];
    for (files, code, message) in [
        (&[("r.yaml", RULES)] as &[_], "HOOP-2016", "holds no case"),
        (&[("r.yaml", RULES), ("r.test.yaml", "version: 1\ncases: []\n")], "HOOP-2016", "holds no case"),
        (&[("r.test.yaml", CASES)], "HOOP-2016", "no rule file beside it"),
        (&[("r.yaml", RULES), ("r.test.yaml", &named)], "HOOP-2016", "\"other.yaml\", and there is no such"),
        (many, "HOOP-2016", "several rule files"),
        (&[("r.yaml", "version: 1\nrules: 7\n"), ("r.test.yaml", CASES)], "HOOP-2013", "r.yaml: line 2"),
        (&[("r.yaml", RULES), ("r.test.yaml", "cases: 7\n")], "HOOP-2013", "r.test.yaml: line 1"),
        (&[("r.txt", "")], "HOOP-1016", "no YAML files"),
    ] {
        let folder = folder(files);
        let (found, said) = refusal(&["test", "."], folder.path());
        assert!(found == code && said.contains(message), "{found}: {said}");
    }
}

#[test]
fn explain_takes_facts_from_flags() {
    let folder = folder(&[("r.yaml", RULES)]);
    let flags =
        "explain r.yaml --person ada --group h --connection pg --address 10.0.0.1 --at 2026-03-02T09:30:00Z";
    let asked = |more: &str| {
        let line = format!("{flags}{more}");
        printed(&line.split(' ').collect::<Vec<_>>(), folder.path()).unwrap().0
    };
    let allowed = asked(" --mfa passkey:30m --statement drop");
    assert!(allowed.starts_with("Rule b allows it.\n"), "{allowed}");
    assert!(allowed.contains("a     no       it is not about this person"), "{allowed}");
    assert!(allowed.ends_with("\nThe statement may run.\n"), "{allowed}");
    let old = asked(" --mfa totp:13h --statement drop");
    assert!(old.starts_with("It is refused with HOOP-2003, nearest is rule b:"), "{old}");
    assert!(!old.contains("statement"), "{old}");
    let service = asked(" --service");
    assert!(service.starts_with("It is refused with HOOP-2001:"), "{service}");
    for wrong in [" --mfa fax", " --mfa totp:soon", " --label app", " --case x", " --tests x --case y"] {
        let line = format!("hoop policy {flags}{wrong}");
        assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{wrong}");
    }
}

#[test]
fn those_who_write_rules_are_told_what_failed() {
    let rules = "version: 1
modules:
  m: |
    package m
    open if no_such_function(1)
rules:
- {name: a, subjects: {groups: [g]}, connections: {names: [pg]}, conditions: {when: data.m.open}}
";
    let folder = folder(&[("r.yaml", rules), ("r.test.yaml", CASES)]);
    let what = "could not be decided: it failed (m, line 2: could not find function no_such_function)";
    let (tested, code) = printed(&["test", "."], folder.path()).unwrap();
    assert!(code == 6 && tested.contains(what), "{tested}");
    let explained = ["explain", "r.yaml", "--tests", "r.test.yaml", "--case", "first"];
    let (explained, _) = printed(&explained, folder.path()).unwrap();
    assert!(explained.lines().any(|line| line.starts_with("a     no") && line.contains(what)), "{explained}");
}

fn bundle(arguments: &[&str], at: &Path) -> Result {
    let whole = [&["bundle"], arguments].concat();
    let Policy::Bundle(mut command) = policy(&whole) else { panic!("{arguments:?}") };
    let at = |path: &mut PathBuf| *path = at.join(&path);
    match &mut command {
        Bundle::Keygen(args) => at(&mut args.out),
        Bundle::Make(args) => [&mut args.folder, &mut args.out, &mut args.key].into_iter().for_each(at),
        Bundle::Verify(args) => [&mut args.file, &mut args.key].into_iter().for_each(at),
    }
    super::bundle::run(&command, &Out::plain())
}

fn code(outcome: Result) -> String {
    match outcome {
        Ok(()) => "done".to_owned(),
        Err(Failure::Found) => "found".to_owned(),
        Err(Failure::Error(error)) => error.fault.code.to_string(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_bundle_is_made_of_what_passes_its_tests_and_verified_by_its_key() {
    let folder = folder(&[
        ("good/r.yaml", RULES),
        ("good/r.test.yaml", CASES),
        ("bad/r.yaml", RULES),
        ("bad/r.test.yaml", &CASES.replace("allow: a", "allow: b")),
        ("two/r.yaml", RULES),
        ("two/s.yaml", RULES),
    ]);
    let run = |line: &str| code(bundle(&line.split(' ').collect::<Vec<_>>(), folder.path()));
    assert_eq!(run("keygen --out k.pem"), "done");
    assert_eq!(run("keygen --out k.pem"), "HOOP-1016", "a key is not written over");
    assert_eq!(run("keygen --out other.pem"), "done");
    assert_eq!(run("make good --key k.pem --version 7 -o good.bundle"), "done");
    assert_eq!(run("make good --key k.pem --version 8 -o good.bundle"), "HOOP-1016", "nor is a bundle");
    assert_eq!(run("verify good.bundle --key k.pub.pem"), "done");
    assert_eq!(run("verify good.bundle --key other.pub.pem"), "HOOP-2018");
    assert_eq!(run("verify good.bundle --key k.pem"), "HOOP-1016", "the private half is no public one");
    assert_eq!(run("verify good/r.yaml --key k.pub.pem"), "HOOP-2018");
    assert_eq!(run("make bad --key k.pem -o bad.bundle"), "found");
    assert!(!folder.path().join("bad.bundle").exists(), "what fails is not released");
    assert_eq!(run("make two --key k.pem -o two.bundle"), "HOOP-1016");
    assert_eq!(run("make good --key k.pub.pem -o x.bundle"), "HOOP-1016");
    for wrong in ["make good --key k.pem", "make good --key k.pem -o x --version 0", "verify good.bundle"] {
        let line = format!("hoop policy bundle {wrong}");
        assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{wrong}");
    }
}

#[test]
fn the_profile_that_ships_passes_its_tests_and_they_cover_it() {
    let folder = tempfile::tempdir().unwrap();
    let init = || {
        let Policy::Init(mut args) = policy(&["init", "hipaa", "new/policy"]) else { panic!("init") };
        args.folder = folder.path().join(&args.folder);
        code(super::init::run(&args, &Out::plain()))
    };
    assert_eq!(init(), "done");
    let (shown, exit) = printed(&["test", "new/policy", "--min-coverage", "100"], folder.path()).unwrap();
    assert_eq!(exit, 0, "{shown}");
    let checked = check(&[folder.path().join("new/policy").to_str().unwrap()]);
    assert!(checked.len() == 2 && checked.iter().all(|file| file.problem.is_none()), "{checked:?}");
    assert_eq!(init(), "HOOP-1016", "what somebody has changed is not written over");
}

/// What stands in the fences of a page: what follows the opening ones, and the lines up to the closing ones.
fn fenced(page: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut open = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(info) if !open => blocks.push((info, String::new())),
            Some(_) => {}
            None if open => blocks.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            None => continue,
        }
        open = line.strip_prefix("```").map_or(open, |_| !open);
    }
    blocks
}

/// Words, of which some stand in quotes.
fn words(line: &str) -> Vec<&str> {
    let pieces = line.split('"').enumerate();
    pieces
        .flat_map(|(at, piece)| if at % 2 == 1 { vec![piece] } else { piece.split_whitespace().collect() })
        .collect()
}

#[test]
fn the_worked_example_says_what_the_page_says() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/POLICY.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut commands = 0;
    for (info, text) in fenced(&page) {
        if let Some(name) = info.strip_prefix("yaml ") {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        } else if info == "console" {
            let (command, expected) = text.split_once('\n').unwrap();
            let arguments = words(command.strip_prefix("$ hoop policy ").unwrap());
            let (shown, _) = printed(&arguments, folder.path()).unwrap();
            assert_eq!(shown.trim_end(), expected.trim_end(), "{command}");
            commands += 1;
        }
    }
    assert!(commands >= 3, "the page has lost its example");
    let (shown, code) = printed(&["test", "clinic", "--min-coverage", "100"], folder.path()).unwrap();
    assert_eq!(code, 0, "{shown}");
}

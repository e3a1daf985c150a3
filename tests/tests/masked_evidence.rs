//! An agent is killed with -9 in the midst of masked answers: what was seen is recorded, what is missing is named, and what is
//! masked lies in clear nowhere: not in the spool as the crash left it, not in what the gateway keeps, not in the recording.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, io::Read as _, path::Path};

use hoop_testkit::{Psql, World, run, wait_until};
use serde_json::{Value, json};

/// A hundred thousand people; of each, every masked value is their own.
const TABLES: &str = "\
create table people (id int primary key, ssn text unique, name text, born date, note text);
insert into people select n, 'CANARY-SSN-' || n, 'CANARY-NAME-' || n, '1970-01-01'::date + n % 9000,
  'write to canary.mail.' || n || '@example.org, call (212) 555-' || lpad((n % 10000)::text, 4, '0') || ' and be well' from generate_series(1, 100000) n;
alter table people owner to app";

/// Of masked values, what would be found if any of them lay in clear; by rows, columns and detectors.
const CANARIES: [&str; 4] = ["CANARY-SSN-", "CANARY-NAME-", "canary.mail.", "(212) 555-"];

fn world() -> World {
    let world = World::start();
    world.postgres.script(TABLES);
    let columns = json!([
        {"columns": ["people.ssn"], "kind": "ssn"},
        {"columns": ["people.name"], "kind": "name", "mode": "hash"},
        {"columns": ["people.born"], "kind": "birth_date", "mode": "fake"},
    ]);
    world.rule(json!({"masking": {"columns": columns}, "limits": {"recording": "strict"}}));
    world
}

/// Files below a folder that hold any of these.
fn holding(folder: &Path, values: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, values));
        } else if let Ok(bytes) = fs::read(&path) {
            let held = values
                .iter()
                .filter(|value| bytes.windows(value.len()).any(|window| window == value.as_bytes()));
            found.extend(held.map(|value| format!("{value} in {}", path.display())));
        }
    }
    found
}

/// Bytes below a folder.
fn size(folder: &Path) -> u64 {
    let sizes = fs::read_dir(folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { size(&path) } else { path.metadata().map_or(0, |data| data.len()) }
    });
    sizes.sum()
}

/// What a session shows until its agent is killed: statements with one line of answer, then lines of a COPY that is far from its end.
fn seen_until_the_crash(world: &mut World) -> (Vec<(String, String)>, Vec<String>) {
    let mut psql = Psql::start(world);
    let mut answered = Vec::new();
    for sql in [
        "select 'one', ssn, name, born, note from people where id = 1;",
        "select 'two', max(ssn), count(*) from people;",
        "select 'three', string_agg(note, ',') from people where id < 100;",
    ] {
        let answer = psql.ask(sql);
        answered.push((sql.to_owned(), answer));
    }
    // An error that tells a value, and a notice that would.
    psql.say("insert into people select 0, ssn, name, born, note from people where id = 7;");
    psql.say("do $$ begin raise notice 'look: %', (select note from people where id = 8); end $$;");
    psql.say("copy people (id, ssn, name, note) to stdout;");
    let mut copied: Vec<String> = (0..2_000).map(|_| psql.hear()).collect();
    world.kill_agent();
    world.stop_gateway();
    let _ = psql.child.kill();
    // What was on its way to the person is seen as well, to the last whole line.
    let mut rest = String::new();
    psql.output.read_to_string(&mut rest).unwrap();
    copied.extend(rest.split_inclusive('\n').filter_map(|line| Some(line.strip_suffix('\n')?.to_owned())));
    psql.child.wait().unwrap();
    (answered, copied)
}

/// The COPY data of an export.
fn copied_in(export: &str) -> String {
    let events = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["kind"] == "copy")
        .map(|event| event["data"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_agent_killed_in_the_midst_of_masked_answers_leaves_whole_evidence_and_nothing_in_clear() {
    let mut world = world();
    let (answered, copied) = seen_until_the_crash(&mut world);
    assert!(
        answered[0].1.starts_with("one|[ssn]|")
            && answered[0].1.ends_with("write to [email], call [phone] and be well"),
        "{answered:?}"
    );
    assert_eq!(answered[1].1, "two|[masked]|100000");
    assert_eq!(answered[2].1, "three|[masked]");
    assert!((2_000..100_000).contains(&copied.len()), "it was in the midst: {}", copied.len());
    for line in answered.iter().map(|(_, answer)| answer).chain(&copied) {
        assert!(!CANARIES.iter().any(|canary| line.contains(canary)), "{line}");
    }

    // As the crash left it: the spool holds what was shown, and nothing lies in clear.
    let folder = world.folder.path().to_owned();
    let spool = size(&folder.join("agent"));
    assert!(spool > 20_000, "the spool holds {spool} bytes");
    let planted = folder.join("agent/planted");
    fs::write(&planted, "xxCANARY-SSN-7xx").unwrap();
    assert_eq!(holding(&folder, &CANARIES).len(), 1, "what lies there is found");
    fs::remove_file(planted).unwrap();
    assert_eq!(holding(&folder, &CANARIES), Vec::<String>::new());

    world.start_gateway();
    world.start_agent();
    let session = wait_until("the interrupted session", || {
        let newest = world.sessions().first()?.clone();
        (newest["state"] == "interrupted").then_some(newest)
    });
    let id = session["id"].as_str().unwrap();

    // Every answer that was seen is there, as it was seen; what may be missing is said and signed for.
    let statements = world.statements(id);
    for (sql, answer) in &answered {
        let cells: Vec<&str> = answer.split('|').collect();
        let of = |one: &&Value| {
            one["text"].as_str().is_some_and(|text| sql.starts_with(text.trim_end_matches(';')))
        };
        let one =
            statements.iter().find(of).unwrap_or_else(|| panic!("{sql} is not recorded: {statements:#?}"));
        assert_eq!(one["rows"], json!([cells]), "{sql}");
    }
    assert!(
        statements.iter().any(|one| one["masked"]["email"] == 1 && one["masked"]["ssn"] == 1),
        "{statements:#?}"
    );
    let export = run(world.hoop(&world.admin).args(["sessions", "export", id, "-f", "jsonl"]));
    let recorded = copied_in(&export);
    let recorded: BTreeSet<&str> = recorded.lines().collect();
    let lost: Vec<_> = copied.iter().filter(|line| !recorded.contains(line.as_str())).collect();
    assert_eq!(lost, Vec::<&String>::new(), "seen, and not recorded");
    let replayed = run(world.hoop(&world.admin).args(["sessions", "replay", id, "--no-wait"]));
    assert!(
        replayed.contains("What may be missing: ") && replayed.contains("was interrupted"),
        "{replayed:.2000}"
    );
    for form in [&export, &replayed] {
        let shown = CANARIES.iter().find(|canary| form.contains(**canary));
        assert_eq!(shown, None);
    }
    assert_eq!(holding(&folder, &CANARIES), Vec::<String>::new());

    // And it is proven: by the gateway, by ourselves, and offline.
    let report = world.json(&world.admin, &["sessions", "verify", id]);
    assert_eq!(
        (&report["clean"], &report["gateway"]["ending"]),
        (&json!(true), &json!("interrupted")),
        "{report}"
    );
    proven_offline(&world, id);
    world.wait_for_agent();
    assert_eq!(world.psql("select ssn from people where id = 1"), "[ssn]\n");
}

fn proven_offline(world: &World, session: &str) {
    let folder = world.folder.path().join("evidence");
    let (ledger, recordings) = (folder.join("ledger.jsonl"), folder.join("recordings"));
    fs::create_dir_all(&recordings).unwrap();
    let file = recordings.join(format!("{session}.hoopr"));
    run(world
        .hoop(&world.admin)
        .args(["sessions", "export", session, "--format", "raw", "--out"])
        .arg(&file));
    run(world.hoop(&world.admin).args(["audit", "export", "--out"]).arg(&ledger));
    let checkpoint = world.json(&world.admin, &["audit", "checkpoint"]);
    let mut verify = world.hoop(&world.admin);
    verify
        .args(["audit", "verify", "--key", checkpoint["verifier_key"].as_str().unwrap(), "--export"])
        .arg(&ledger);
    run(verify.arg("--recordings").arg(&recordings));
    assert_eq!(holding(&folder, &CANARIES), Vec::<String>::new());
}

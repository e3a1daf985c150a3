//! What recordings show that is personal: found by our detectors and by Presidio's, told by statement and column, and no value.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use hoop_testkit::{Presidio, World, run, wait_until};
use serde_json::{Value, json};

const TABLES: &str = "\
create table people (id int primary key, ssn text, note text);
insert into people values (1, '536-90-4399', 'Jürgen, write to ada@example.org'), (2, '536-90-4398', 'card 4111 1111 1111 1111, (212) 555-0187');
alter table people owner to app";

/// A person sees all but one column as it is.
fn world() -> World {
    let world = World::start();
    world.postgres.script(TABLES);
    let columns = json!([{"columns": ["people.ssn"], "kind": "ssn", "mode": "partial"}]);
    world.rule(json!({"masking": {"detect": false, "columns": columns}}));
    world
}

fn findings(world: &World, more: &[&str]) -> Output {
    let mut command = world.hoop(&world.admin);
    command.args(["sessions", "findings", "-o", "json"]).args(more);
    command.output().unwrap()
}

fn report(done: &Output, code: i32) -> Value {
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{said}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Kind, where, and how many.
fn rows(report: &Value, by: &str) -> Vec<(String, String, u64)> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| {
        (
            text(row, "kind"),
            format!("{} {}", text(row, "place"), text(row, "name")),
            row["count"].as_u64().unwrap(),
        )
    };
    let rows = report["findings"].as_array().unwrap();
    let mut rows: Vec<_> = rows.iter().filter(|row| row["by"] == by).map(row).collect();
    rows.sort();
    rows
}

#[test]
fn both_detectors_tell_what_got_through_and_nobody_tells_a_value() {
    let world = world();
    let mut presidio = Presidio::start(world.folder.path());
    let url = presidio.url.clone();
    world.psql("select id, ssn, note from people where note <> 'secret-literal'");
    world.psql("copy people (note) to stdout");
    let sessions = world.sessions();
    let ids: Vec<&str> = sessions.iter().map(|session| session["id"].as_str().unwrap()).collect();
    wait_until("the end of both", || {
        world.sessions().iter().all(|one| one["state"] == "ended").then_some(())
    });
    let (copied, selected) = (ids[0], ids[1]);

    let own = report(&findings(&world, &[selected]), 6);
    let found = [("card", 1), ("email", 1), ("name", 1), ("phone", 1)];
    let wanted = found.map(|(kind, count)| (kind.to_owned(), "column note".to_owned(), count));
    assert_eq!(rows(&own, "hoop"), wanted);
    assert_eq!(own["masked"], json!({"ssn": 2}));
    assert_eq!((&own["ending"], &own["gaps"]), (&json!("sealed"), &json!([])));
    assert_eq!(rows(&own, "detector"), [], "none was named");

    let asked = [selected, "--detector", &url, "--least-score", "0.4"];
    let both = report(&findings(&world, &asked), 6);
    assert_eq!(rows(&both, "hoop"), wanted);
    let theirs = rows(&both, "detector");
    for kind in ["CREDIT_CARD", "EMAIL_ADDRESS", "PHONE_NUMBER"] {
        assert!(theirs.contains(&(kind.to_owned(), "column note".to_owned(), 1)), "{kind}: {theirs:?}");
    }
    assert!(theirs.iter().all(|(kind, ..)| kind != "US_SSN"), "{theirs:?}");
    let in_copy = report(&findings(&world, &[copied, "--detector", &url]), 6);
    assert!(
        rows(&in_copy, "detector").contains(&("EMAIL_ADDRESS".to_owned(), "copy ".to_owned(), 1)),
        "{in_copy}"
    );

    for report in [own, both, in_copy] {
        let told = report.to_string();
        for value in ["ada@", "4111", "555-0187", "4399", "secret-literal", "Jürgen"] {
            assert!(!told.contains(value), "{value}: {told}");
        }
    }
    let codes = run(world.hoop(&world.admin).args(["audit", "ls", "-o", "json"]));
    assert!(codes.contains("recording.exported"), "reading is an event");

    presidio.kill();
    let away = findings(&world, &asked);
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert_eq!((away.status.code(), away.stdout.len()), (Some(5), 0), "nothing of a report: {said}");
    assert!(said.contains("HOOP-1061"), "{said}");
}

#[test]
fn a_recording_is_looked_through_offline_and_a_damaged_one_is_an_error() {
    let world = world();
    world.psql("select note from people");
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let file = world.folder.path().join("a.hoopr");
    run(world.hoop(&world.admin).args(["sessions", "export", &id, "-f", "raw", "-o"]).arg(&file));
    let key = world.folder.path().join("gateway/keys/recording.pem");
    let (file_text, key) = (file.to_str().unwrap(), key.to_str().unwrap());

    let offline = ["--file", file_text, "--key", key];
    let found = report(&findings(&world, &offline), 6);
    assert_eq!(found["session"], id.as_str());
    assert_eq!(rows(&found, "hoop"), rows(&report(&findings(&world, &[&id]), 6), "hoop"));
    assert_eq!(rows(&found, "hoop"), rows(&report(&findings(&world, &[&id, "--key", key]), 6), "hoop"));

    let mut bytes = std::fs::read(&file).unwrap();
    let place = bytes.windows(4).position(|tag| tag == b"HRc1").unwrap() + 60;
    bytes[place] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let broken = findings(&world, &offline);
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(broken.stdout.is_empty() && said.contains("HOOP-1018"), "{said}");
    let elsewhere = findings(&world, &[&id, "--detector", "http://presidio.example.org"]);
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("HOOP-1060"));
    assert_eq!(elsewhere.status.code(), Some(2));
}

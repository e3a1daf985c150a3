//! A connection is tried at a real PostgreSQL through a real agent: what works, and each way in which it does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use hoop_testkit::{World, free_port};
use serde_json::{Value, json};

/// What `hoop admin connections test` says, and its exit code.
fn tried(world: &World, changes: Value) -> (Value, i32) {
    world.put_connection("pg", changes);
    let mut test = world.hoop(&world.admin);
    let done = test.args(["admin", "connections", "test", "pg", "-o", "json"]).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let all = format!("{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(!all.contains(hoop_testkit::PASSWORD), "{all}");
    let answer = serde_json::from_str(&text);
    assert!(answer.is_ok(), "{all}");
    (answer.unwrap(), done.status.code().unwrap())
}

fn failed(answer: &Value) -> (&str, &str) {
    (answer["failed_step"].as_str().unwrap(), answer["problem"]["code"].as_str().unwrap())
}

/// Something that is no server.
fn listener(talk: fn(&mut std::net::TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            talk(&mut stream);
            kept.push(stream);
        }
    });
    port
}

#[test]
fn what_works_is_told_with_its_times_and_what_does_not_with_its_step() {
    let world = World::start();
    let (good, code) = tried(&world, json!({}));
    assert_eq!((good["ok"].as_bool(), code), (Some(true), 0), "{good}");
    let names: Vec<_> =
        good["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["prepare", "connect", "tls", "log in", "version"]);
    assert!(good["server_version"].as_str().unwrap().starts_with("PostgreSQL "), "{good}");
    assert_eq!(good["tls"]["version"], "TLSv1.3");
    assert!(good["tls"]["certificate"].as_str().unwrap().contains("until"), "{good}");

    let closed = free_port();
    let silent = listener(|_| ());
    let plain = listener(|stream| {
        let _ = stream.read(&mut [0; 8]);
        let _ = stream.write_all(b"N");
    });
    let endless = listener(|stream| {
        let _ = stream.read(&mut [0; 8]);
        for _ in 0..64 {
            let _ = stream.write_all(&[b'R'; 64 << 10]);
        }
    });
    let wrong = world.folder.path().join("wrong");
    std::fs::write(&wrong, "another").unwrap();
    let settings = |changes: Value| json!({ "settings": changes });
    let cases = [
        (json!({ "password": format!("file:{}", wrong.display()) }), "log in", "HOOP-5007"),
        (json!({ "password": "env:NOT_THERE" }), "prepare", "HOOP-4020"),
        (json!({ "host": "no-such-host.invalid" }), "connect", "HOOP-4030"),
        (json!({ "port": closed }), "connect", "HOOP-4030"),
        (json!({ "port": plain }), "tls", "HOOP-5005"),
        (json!({ "port": endless }), "tls", "HOOP-5006"),
        (json!({ "tls": { "ca_file": null } }), "tls", "HOOP-4031"),
        (json!({ "database": "not_there" }), "log in", "HOOP-5012"),
    ];
    for (changes, step, problem) in cases {
        let (answer, code) = tried(&world, settings(changes.clone()));
        assert_eq!((failed(&answer), code), ((step, problem), 5), "{changes}: {answer}");
    }
    // One that says nothing is left after 10 s, and everybody else goes on.
    let began = Instant::now();
    let (answer, _) = tried(&world, settings(json!({ "port": silent })));
    assert_eq!(failed(&answer), ("tls", "HOOP-4033"));
    assert!((9..25).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(tried(&world, json!({})).1, 0);
    assert!(began.elapsed() < Duration::from_secs(9), "nothing waits for the silent one");
}

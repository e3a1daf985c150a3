//! What is not a statement and is told all the same: clients that ask for what is not spoken, the server's notices, the end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoop_testkit::{World, libpq18_packages, run};

fn replay(world: &World) -> String {
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "replay", &id, "--no-wait"]))
}

#[test]
fn libpq_18_through_hoop_and_its_direct_tls_is_refused_in_words() {
    let world = World::start();
    let script = "
import psycopg
with psycopg.connect('min_protocol_version=3.2') as c:
    assert c.pgconn.full_protocol_version == 30002
    c.execute('do $$ begin raise notice $n$take care$n$; end $$')
for asked in ('sslmode=require', 'sslmode=require sslnegotiation=direct'):
    try: psycopg.connect(asked + ' connect_timeout=20'); raise SystemExit('let in')
    except psycopg.OperationalError as error: print(error)";
    let mut python = world.through(&["python3", "-c", script]);
    let done = python.env("PYTHONPATH", libpq18_packages()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}\n{err}");
    assert!(out.contains("server does not support SSL"), "{out}");
    assert!(out.contains("alert no application protocol"), "{out}");
    assert!(err.contains("HOOP-5002") && err.contains("sslnegotiation"), "{err}");

    let replay = replay(&world);
    let places =
        ["opened: ", "client_version=3.2", "notice: take care", "closed: ", "the client began with TLS"]
            .map(|told| replay.find(told).unwrap_or_else(|| panic!("{told:?} is not in\n{replay}")));
    assert!(places.is_sorted(), "{replay}");
    assert!(replay.contains("It ended: ") && replay.trim_end().ends_with("this is all of it."), "{replay}");
}

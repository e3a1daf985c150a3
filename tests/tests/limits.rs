//! What an evidence endpoint answers is bounded, whatever number it is asked with, and a flood of strangers at the public
//! port does not keep anybody from their work.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use hoop_testkit::{Psql, SOON, World, connections_to, wait_until};

#[test]
fn evidence_is_read_in_bounded_pages_with_any_numbers() {
    let world = World::start();
    let statements: String = (0..12).map(|n| format!("select {n};\n")).collect();
    world.psql(&statements);
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let browser = world.signed_in_browser(&world.admin);
    let whole = browser.get(&format!("/api/v1/sessions/{id}/timeline?limit=500"));
    let all = whole.json()["statements"].as_array().unwrap().len();
    assert!(whole.status == 200 && all > 0, "{whole:?}");
    let numbers = [
        "0",
        "1",
        "501",
        "9223372036854775807",
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "1e3",
        "x",
    ];
    for limit in numbers {
        for after in numbers {
            let url = format!("/api/v1/sessions/{id}/timeline?limit={limit}&after={after}");
            let reply = browser.get(&url);
            assert!(matches!(reply.status, 200 | 400), "{url}: {reply:?}");
            if reply.status == 200 {
                let page = reply.json();
                assert!(page["statements"].as_array().unwrap().len() <= all, "{url}");
            }
        }
    }
    for wrong in ["format=../../etc/passwd", "format=", "", "format=jsonl&limit=1", "format=jsonl&format=sql"]
    {
        let reply = browser.get(&format!("/api/v1/sessions/{id}/export?{wrong}"));
        assert_eq!(reply.status, 400, "{wrong}: {reply:?}");
    }
    // One page after the other, of one each: everything once.
    let (mut next, mut seen) = (Some(0), 0);
    while let Some(after) = next {
        let page = browser.get(&format!("/api/v1/sessions/{id}/timeline?limit=1&after={after}")).json();
        seen += page["statements"].as_array().unwrap().len();
        next = page["next"].as_u64();
        assert!(seen <= all);
    }
    assert_eq!(seen, all);
}

#[test]
fn a_session_has_as_many_local_connections_as_its_gateway_says() {
    let mut world = World::start();
    world.reconfigure("[limits]\nstreams_per_session = 3\n");
    world.wait_for_agent();
    let home = tempfile::tempdir().unwrap();
    // Three stay open until the file is there; the fourth is told no; when one has gone, there is room.
    let script = r#"
cd "$0"
for n in 1 2 3; do
  { echo "select 'up';"; until [ -e "$n.done" ]; do sleep 0.02; done; } | psql -At >> up &
done
until [ "$(grep -c up up)" = 3 ]; do sleep 0.02; done
psql -Atc "select 'fourth'" && exit 1
touch 2.done
until psql -Atc "select 'there is room'" 2> /dev/null; do sleep 0.02; done
touch 1.done 3.done
wait
"#;
    let mut command = world.through(&["sh", "-c", script]);
    let output = command.arg(home.path()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out, "there is room\n", "{err}");
    assert!(err.contains("HOOP-4102"), "whoever runs it is told why: {err}");
}

/// What strangers send, again and again.
fn strangers(port: u16, stop: &AtomicBool, count: &AtomicUsize) {
    let mut hello = vec![0x16, 3, 1, 0x02, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(100, 7);
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff],
        &[0; 5000],
        b"\x16\x03\x01\x00\x05hello",
        &hello,
    ];
    let mut half_open = Vec::new();
    for (number, bytes) in garbage.iter().cycle().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        count.fetch_add(1, Ordering::Relaxed);
        let _ = stream.write_all(bytes);
        if number % 2 == 0 {
            // Left half-open; the oldest is let go, so that we do not run out ourselves.
            half_open.push(stream);
            if half_open.len() > 200 {
                half_open.remove(0);
            }
        } else {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn sessions_go_on_in_a_flood_of_strangers() {
    let world = World::start();
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| strangers(world.port, &stop, &count));
        }
        hoop_testkit::wait_until("the flood", || (count.load(Ordering::Relaxed) > 300).then_some(()));
        let began = Instant::now();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // New sessions, and many statements in one that is open.
            for n in 0..5 {
                assert_eq!(world.psql(&format!("select {n}")), format!("{n}\n"));
            }
            let many: String = (0..200).map(|n| format!("select {n};\n")).collect();
            assert_eq!(world.psql(&many).lines().count(), 200);
        }));
        let (spent, strangers) = (began.elapsed(), count.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
        assert!(outcome.is_ok(), "after {strangers} strangers");
        assert!(spent < Duration::from_secs(60), "{spent:?}");
        assert!(strangers > 400, "the flood was over before the work: {strangers}");
    });
    let refused: f64 = world
        .metrics()
        .lines()
        .filter(|line| line.starts_with("hoop_connections_refused_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(refused > 100.0, "{refused} were counted");
}

/// What a thousand of these cost the gateway is one connection each, beside the agent's: the one that opened the session is let go.
#[test]
fn an_idle_session_has_one_connection_to_the_gateway() {
    let world = World::start();
    let mut psql = Psql::start(&world);
    psql.ask("select 1;");
    let began = Instant::now();
    let hoop = psql.child.id();
    wait_until("one connection", || (connections_to(world.port, hoop) == 1).then_some(()));
    assert!(began.elapsed() < SOON, "{:?}: by then the gateway closes it", began.elapsed());
    assert_eq!(psql.ask("select 2;"), "2");
}

//! What is agreed before the first query, with real servers and clients: channel binding, protocol 3.2, TLS that is not
//! spoken here.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::gate::unmasked;
use hoop_engine::CloseReason;
use hoop_testkit::{PASSWORD, Postgres, PostgresOptions, libpq18, run, wait_until};

use crate::{
    Server,
    gate::{Gate, Tls},
    world,
};

const BOTH: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

fn over_tls(meddle: impl FnOnce(&mut Tls)) -> (Postgres, Gate) {
    let settings = &["log_connections=on"];
    let postgres = Postgres::start(&PostgresOptions { settings, ..PostgresOptions::default() });
    let mut tls = Tls { authority: postgres.ca_file(), certificate: |same| same, said: |same| same };
    meddle(&mut tls);
    let gate = Gate::with(postgres.port, PASSWORD, unmasked(), Some(tls));
    (postgres, gate)
}

fn psql(gate: &Gate) -> std::process::Output {
    let mut psql = Command::new(hoop_testkit::program("psql"));
    let port = gate.port.to_string();
    psql.args(["-XAtc", "select current_user", "-h", "127.0.0.1", "-p", &port, "-U", "ada", "clinic"]);
    psql.output().unwrap()
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

fn is_bound(gate: &Gate) -> bool {
    contains(&gate.to_target(), b"SCRAM-SHA-256-PLUS\0")
        && contains(&gate.to_target(), b"p=tls-server-end-point,,n=")
}

/// An offer of mechanisms with another list in its place.
fn offering(said: Vec<u8>, list: &[u8]) -> Vec<u8> {
    if !contains(&said, BOTH) {
        return said;
    }
    assert_eq!(said.len(), 9 + BOTH.len(), "the offer came alone");
    let length = u32::try_from(8 + list.len()).unwrap().to_be_bytes();
    [b"R", &length[..], &said[5..9], list].concat()
}

#[test]
fn over_tls_the_log_in_is_bound_to_the_channel() {
    let (postgres, gate) = over_tls(|_| ());
    assert_eq!(String::from_utf8_lossy(&psql(&gate).stdout), "app\n");
    assert!(is_bound(&gate), "the real server checked the binding, and let us in");
    assert!(!contains(&gate.to_target(), PASSWORD.as_bytes()));
    let log = postgres.log();
    assert!(log.contains("identity=\"app\" method=scram-sha-256"), "{log}");
}

#[test]
fn a_server_that_takes_nothing_but_channel_binding() {
    let (_postgres, gate) = over_tls(|tls| tls.said = |said| offering(said, b"SCRAM-SHA-256-PLUS\0\0"));
    assert_eq!(String::from_utf8_lossy(&psql(&gate).stdout), "app\n");
    assert!(is_bound(&gate));
}

#[test]
fn somebody_who_hides_channel_binding_is_found_out_by_the_server() {
    let (postgres, gate) = over_tls(|tls| tls.said = |said| offering(said, b"SCRAM-SHA-256\0\0"));
    assert!(!psql(&gate).status.success());
    assert!(!is_bound(&gate) && contains(&gate.to_target(), b"y,,n="), "we say that we could have");
    assert!(postgres.log().contains("channel binding negotiation"), "{}", postgres.log());
}

#[test]
fn somebody_in_between_with_another_certificate_is_found_out_by_the_server() {
    let other = |mut certificate: Vec<u8>| {
        *certificate.last_mut().unwrap() ^= 1;
        certificate
    };
    let (postgres, gate) = over_tls(|tls| tls.certificate = other);
    assert!(!psql(&gate).status.success());
    assert!(is_bound(&gate));
    assert!(postgres.log().contains("channel binding check failed"), "{}", postgres.log());
}

/// A client of our own, for what no program at hand can be made to say.
struct Raw(TcpStream);

impl Raw {
    fn send(gate: &Gate, code: u32, body: &[u8]) -> Self {
        let length = u32::try_from(8 + body.len()).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()).unwrap();
        Self(stream)
    }

    fn query(&mut self, text: &str) {
        let length = u32::try_from(5 + text.len()).unwrap();
        self.0.write_all(&[b"Q", &length.to_be_bytes()[..], text.as_bytes(), b"\0"].concat()).unwrap();
    }

    /// Messages up to the next that says ready.
    fn answer(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
            let mut body = vec![0; length - 4];
            self.0.read_exact(&mut body).unwrap();
            messages.push((head[0], body));
            if head[0] == b'Z' {
                return messages;
            }
        }
    }
}

const V3_2: u32 = 0x0003_0002;
const CANCEL: u32 = 80_877_102;

#[test]
fn protocol_3_2_with_its_long_key_cancels_and_a_key_that_is_nearly_right_does_not() {
    let (server, gate) = world("scram-sha-256");
    let mut client = Raw::send(&gate, V3_2, b"user\0ada\0database\0postgres\0\0");
    let messages = client.answer();
    assert!(messages.iter().all(|(kind, _)| *kind != b'v'), "3.2 is spoken, whatever the server speaks");
    let (_, key) = messages.iter().find(|(kind, _)| *kind == b'K').unwrap();
    assert_eq!(key.len(), 4 + 32);
    client.query("select pg_sleep(60)");
    let active = || {
        let count =
            "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
        server.postgres.sql(count) == "1\n"
    };
    wait_until("the query to run", || active().then_some(()));
    for wrong in [
        [&key[..35], &[key[35] ^ 1]].concat(),
        key[..8].to_vec(),
        [&key[..], &[0; 4]].concat(),
        [&[0x55; 4], &key[4..]].concat(),
    ] {
        let _ = Raw::send(&gate, CANCEL, &wrong).0.read(&mut [0]);
        assert!(active(), "{wrong:?}");
    }
    let _ = Raw::send(&gate, CANCEL, key).0.read(&mut [0]);
    let answer = client.answer();
    assert!(answer.iter().any(|(kind, body)| *kind == b'E' && contains(body, b"C57014")), "{answer:?}");
    client.query("select 1");
    assert!(client.answer().iter().any(|(kind, _)| *kind == b'D'), "the stream goes on");
    assert_eq!(gate.closed(), vec![CloseReason::CancelSent; 5]);
}

fn python(server: &Server, gate: &Gate, script: &str) -> Command {
    let mut python = libpq18(script);
    python.env("PGHOST", "127.0.0.1").env("PGPORT", gate.port.to_string()).env("PGUSER", "ada");
    python.env("PGDATABASE", "postgres").env("SERVER", server.port.to_string());
    python
}

#[test]
fn libpq_18_speaks_3_2_to_us_and_cancels() {
    let (server, gate) = world("scram-sha-256");
    let script = "
import psycopg, threading
assert psycopg.pq.version() >= 180000
for asked in ('min_protocol_version=3.2', 'max_protocol_version=latest', 'max_protocol_version=3.0', ''):
    with psycopg.connect(asked, autocommit=True) as c:
        version = c.pgconn.full_protocol_version
        assert version == (30000 if asked in ('', 'max_protocol_version=3.0') else 30002), (asked, version)
        watcher = psycopg.connect('', autocommit=True)
        def cancel():
            running = 'select count(*) from pg_stat_activity where pid = %s and state = $$active$$ and query ~ $$pg_sleep$$'
            while watcher.execute(running, [pid]).fetchone()[0] == 0: pass
            c.cancel_safe()
        pid = c.execute('select pg_backend_pid()').fetchone()[0]
        thread = threading.Thread(target=cancel); thread.start()
        try: c.execute('select pg_sleep(60)'); raise SystemExit('it was not cancelled')
        except psycopg.errors.QueryCanceled: pass
        thread.join()
        assert c.execute('select 1').fetchone()[0] == 1
print('done')";
    assert_eq!(run(&mut python(&server, &gate, script)), "done\n");
}

#[test]
fn libpq_18_that_asks_for_encryption() {
    let (server, gate) = world("scram-sha-256");
    let script = "
import psycopg, time
def refused(asked):
    began = time.monotonic()
    try: psycopg.connect(asked + ' connect_timeout=20'); raise SystemExit(asked + ' was let in')
    except psycopg.OperationalError as error:
        assert time.monotonic() - began < 5, 'it takes long'
        return str(error)
for asked in ('sslmode=prefer', 'sslmode=allow', 'sslmode=disable', 'gssencmode=prefer'):
    psycopg.connect(asked).close()
print(refused('sslmode=require'))
print(refused('sslmode=require sslnegotiation=direct'))";
    let said = run(&mut python(&server, &gate, script));
    assert!(said.contains("server does not support SSL, but SSL was required"), "{said}");
    assert!(said.contains("alert no application protocol"), "{said}");
    let direct = gate.closed().into_iter().filter_map(|reason| match reason {
        CloseReason::Fault(fault) => Some(fault.code.as_str().to_owned()),
        _ => None,
    });
    assert_eq!(direct.collect::<Vec<_>>(), ["HOOP-5002"]);
}

#[test]
fn openssl_is_told_by_an_alert_and_at_once() {
    let (_server, gate) = world("scram-sha-256");
    for version in ["-tls1_2", "-tls1_3"] {
        let place = format!("127.0.0.1:{}", gate.port);
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", version, "-alpn", "postgresql", "-connect", &place]).stdin(Stdio::null());
        let done = openssl.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            !done.status.success() && said.contains("alert no application protocol"),
            "{version}: {said}"
        );
    }
}

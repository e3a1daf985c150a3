//! Checkpoints outside of the gateway: a real syslog server, a witness in another language, and somebody who rolls the
//! ledger back (THREATS F5).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use hoop_testkit::{Witness, World, free_port, run, wait_until};
use serde_json::Value;

/// Debian's rsyslogd (`cargo xtask test` installs it), as nobody in particular: TCP in, RFC 5424 as it came out into a file.
struct Rsyslog {
    child: Child,
    port: u16,
    log: std::path::PathBuf,
}

impl Rsyslog {
    fn start(folder: &Path) -> Self {
        let (port, log) = (free_port(), folder.join("syslog.out"));
        let config = format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"16k\")\nmodule(load=\"imtcp\")\n\
             input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
             action(type=\"omfile\" file=\"{0}/syslog.out\" template=\"RSYSLOG_SyslogProtocol23Format\")\n",
            folder.display()
        );
        fs::write(folder.join("rsyslog.conf"), config).unwrap();
        let child = Command::new("/usr/sbin/rsyslogd")
            .args(["-n", "-f"])
            .arg(folder.join("rsyslog.conf"))
            .arg("-i")
            .arg(folder.join("rsyslog.pid"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("rsyslogd", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { child, port, log }
    }

    /// Notes that it got, by their size.
    fn notes(&self) -> Vec<(u64, String)> {
        let held = fs::read_to_string(&self.log).unwrap_or_default();
        let ours =
            held.lines().filter(|line| line.contains(" hoop-gateway ") && line.contains(" checkpoint "));
        let note = |line: &str| {
            assert!(line.starts_with("<109>1 "), "{line}");
            let body: Value = serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap();
            (body["size"].as_u64().unwrap(), body["note"].as_str().unwrap().to_owned())
        };
        ours.map(note).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn key_of(world: &World) -> String {
    let told = world.json(&world.admin, &["audit", "checkpoint"]);
    told["verifier_key"].as_str().unwrap().to_owned()
}

fn witness(world: &mut World) -> Witness {
    let witness = Witness::start(&world.folder.path().join("witness.json"), "witness.test", &[key_of(world)]);
    let lines = format!(
        "[[ledger.witnesses]]\nname = \"partner\"\nurl = \"{}\"\npublic_key = \"{}\"\n",
        witness.url, witness.key
    );
    world.reconfigure(&lines);
    witness
}

fn sink(world: &World, name: &str) -> Value {
    let sinks = world.json(&world.admin, &["audit", "sinks"]);
    sinks.as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap().clone()
}

/// Waits until a receiver has taken a checkpoint of so many events.
fn taken(world: &World, name: &str, size: u64) -> u64 {
    wait_until("the checkpoint at its receiver", || {
        sink(world, name)["size"].as_u64().filter(|taken| *taken >= size)
    })
}

#[test]
fn a_real_syslog_server_and_a_witness_have_it_and_an_event_is_proven_without_the_gateway() {
    let mut world = World::start();
    world.psql("select 1");
    let (rsyslog, key) = (Rsyslog::start(world.folder.path()), key_of(&world));
    let lines = format!(
        "[[ledger.publish]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"tcp:127.0.0.1:{}\"\n",
        rsyslog.port
    );
    world.reconfigure(&lines);
    let partner = witness(&mut world);
    taken(&world, "siem", 1);
    taken(&world, "partner", 1);
    assert!(run(world.hoop(&world.admin).args(["audit", "sinks"])).contains("siem"));

    // An auditor who has nothing but the syslog server's file proves an event in what stands there.
    let (size, note) = wait_until("a note in the log", || rsyslog.notes().pop());
    let (kept, proof) = (world.folder.path().join("kept.txt"), world.folder.path().join("proof.json"));
    fs::write(&kept, note).unwrap();
    let seq = (size / 2).to_string();
    let shown =
        world.json(&world.admin, &["audit", "prove", &seq, "--checkpoint", text(&kept), "--key", &key]);
    assert_eq!((&shown["holds"], shown["proof"]["size"].as_u64()), (&true.into(), Some(size)), "{shown}");
    fs::write(&proof, shown.to_string()).unwrap();
    let grown = world.json(&world.admin, &["audit", "consistency", text(&kept), "--key", &key]);
    assert_eq!(grown["holds"], true, "{grown}");

    // And the whole ledger, with what the witness signed.
    let export = world.folder.path().join("ledger.jsonl");
    run(world.hoop(&world.admin).args(["audit", "export", "-o", text(&export)]));
    world.stop_gateway();
    let mut offline = world.hoop(&world.admin);
    assert!(
        run(offline.args(["audit", "prove", "--proof", text(&proof), "--key", &key]))
            .contains("nothing found")
    );
    let mut verify = world.hoop(&world.admin);
    verify.args(["audit", "verify", "--export", text(&export), "--key", &key, "--witness", &partner.key]);
    let said = run(&mut verify);
    assert!(said.contains("witness.test signed for the first"), "{said}");
    // A bent proof does not hold.
    let bent = fs::read_to_string(&proof).unwrap().replace("\\\"at\\\":\\\"2", "\\\"at\\\":\\\"1");
    fs::write(&proof, bent).unwrap();
    let mut offline = world.hoop(&world.admin);
    let done = offline.args(["audit", "prove", "--proof", text(&proof), "--key", &key]).output().unwrap();
    assert_eq!(done.status.code(), Some(6));
}

/// Copies the database as it lies on the disk of a gateway that does not run.
fn copy_database(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in ["hoop.db", "hoop.db-wal", "hoop.db-shm"] {
        let _ = fs::remove_file(to.join(file));
        if from.join(file).exists() {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}

#[test]
fn a_ledger_that_is_rolled_back_is_refused_by_the_witness_and_people_see_it() {
    let mut world = World::start();
    let _partner = witness(&mut world);
    let key = key_of(&world);
    taken(&world, "partner", 1);
    world.stop_gateway();
    let (data, copy) = (world.folder.path().join("gateway"), world.folder.path().join("copy"));
    copy_database(&data, &copy);
    world.start_gateway();
    world.wait_for_agent();
    world.psql("select 'what somebody wants to hide'");
    let signed = taken(&world, "partner", sink(&world, "partner")["size"].as_u64().unwrap() + 3);
    let kept = world.folder.path().join("kept.txt");
    fs::write(&kept, run(world.hoop(&world.admin).args(["audit", "checkpoint", "--witnessed", "1"])))
        .unwrap();

    // The database of before, under the same key.
    world.stop_gateway();
    copy_database(&copy, &data);
    world.start_gateway();
    let refused = wait_until("the witness's refusal", || {
        let stands = sink(&world, "partner");
        let error = stands["last_error"].as_str()?.to_owned();
        (error.contains("rolled back") || error.contains("another history")).then_some(error)
    });
    assert!(!refused.is_empty());
    assert!(world.metrics().contains("hoop_ledger_witness_alarms_total{receiver=\"partner\"}"));
    // It may grow again past what was signed: it is another history all the same.
    wait_until("a ledger that is larger than it was", || {
        // Reading is an event: so it grows.
        run(world.hoop(&world.admin).args(["audit", "ls", "-n", "1"]));
        let mut prove = world.hoop(&world.admin);
        let done = prove.args(["audit", "consistency", text(&kept), "--key", &key]).output().unwrap();
        (done.status.code() == Some(6)).then(|| {
            let said = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(said.contains("it was rewritten"), "{said}");
        })
    });
    assert!(sink(&world, "partner")["size"].as_u64() < Some(signed), "and the witness has signed none of it");
}

//! The fuzzers' seeds, replayed as ordinary tests: every input in `fuzz/corpus/TARGET` goes through that target's body,
//! which asserts its own bounds. A finding is kept there as `finding-…`, and is a test from then on.
//!
//! `HOOP_WRITE_CORPUS=1` makes the `seed-…` files anew, with our own encoders.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use hoop_ledger::{Appender, Checkpoint, CheckpointKey, Draft, EventCode, ExportWriter, recording_facts};
use hoop_model::{Actor, AgentId, EventId, SessionId, StreamId, Timestamp};
use hoop_recording::{
    Compression, Event, Frame, Record, RecordingPrivateKey, RequestId, SigningKey, Start, Writer,
    event::Form, sealed::SealedWriter,
};
use hoop_tunnel::{
    core::frame::{Control, Header, Kind, Notice, Opening, Position},
    dispatch::{ALPN_CONTROL, claim_protocols, session_protocols},
    ticket::{Claim, ClaimSecret, SessionSecret, Ticket},
};

/// A target's body, and how its seeds are made.
struct Target {
    name: &'static str,
    body: fn(&[u8]),
    seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
}

const TARGETS: [Target; 20] = [
    Target { name: "backup_lines", body: hoop_gateway::backup::fuzz_lines, seeds: lines_of_backups },
    Target { name: "client_hello", body: hoop_tunnel::fuzz_client_hello, seeds: hellos },
    Target { name: "host_output", body: hoop_ssh::fuzz::output, seeds: outputs },
    Target {
        name: "kubernetes_archive",
        body: hoop_kubernetes::fuzz::archive,
        seeds: hoop_kubernetes::fuzz::archive_seeds,
    },
    Target {
        name: "kubernetes_body",
        body: hoop_kubernetes::fuzz::body,
        seeds: hoop_kubernetes::fuzz::body_seeds,
    },
    Target {
        name: "kubernetes_path",
        body: hoop_kubernetes::fuzz::path,
        seeds: hoop_kubernetes::fuzz::path_seeds,
    },
    Target {
        name: "kubernetes_spdy",
        body: hoop_kubernetes::fuzz::spdy,
        seeds: hoop_kubernetes::fuzz::spdy_seeds,
    },
    Target { name: "ledger_reader", body: hoop_ledger::fuzz_reader, seeds: ledgers },
    Target { name: "masking", body: hoop_masking::fuzz, seeds: answers },
    Target { name: "postgres_client", body: hoop_postgres::fuzz::client, seeds: client_messages },
    Target { name: "postgres_target", body: hoop_postgres::fuzz::target, seeds: target_messages },
    Target { name: "recording_reader", body: hoop_recording::fuzz_reader, seeds: recordings },
    Target { name: "scim_reader", body: hoop_scim::fuzz_reader, seeds: provisioning },
    Target { name: "scp", body: hoop_ssh::fuzz::scp, seeds: scp },
    Target { name: "sealed_reader", body: hoop_recording::fuzz_sealed, seeds: backups },
    Target { name: "sftp", body: hoop_ssh::fuzz::sftp, seeds: sftp },
    Target { name: "statements", body: hoop_sql::fuzz, seeds: statements },
    Target { name: "terminal", body: hoop_recording::fuzz_terminal, seeds: outputs },
    Target { name: "tunnel_frames", body: hoop_tunnel::fuzz_frames, seeds: frames },
    Target { name: "witness_proofs", body: hoop_ledger::fuzz::proofs, seeds: proofs },
];

/// A seed corpus is small: it is in the repository.
const MOST: usize = 16 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn kept(name: &str) -> bool {
    name.starts_with("seed-") || name.starts_with("finding-")
}

#[test]
fn every_target_is_replayed() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let bins = manifest.split("[[bin]]").skip(1);
    let known: BTreeSet<&str> =
        bins.map(|bin| bin.split("name = \"").nth(1).unwrap().split('"').next().unwrap()).collect();
    assert_eq!(known, TARGETS.iter().map(|target| target.name).collect());
    for target in TARGETS {
        let source = fuzz().join(format!("fuzz_targets/{}.rs", target.name));
        let source = fs::read_to_string(source).unwrap();
        assert!(source.contains("fuzz_target!(|"), "{}: the target is more than its body", target.name);
    }
}

#[test]
fn seeds_and_past_findings_pass() {
    for target in TARGETS {
        let folder = fuzz().join("corpus").join(target.name);
        if std::env::var_os("HOOP_WRITE_CORPUS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            for (name, bytes) in (target.seeds)() {
                fs::write(folder.join(format!("seed-{name}")), bytes).unwrap();
            }
        }
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            assert!(!kept(&name) || bytes.len() <= MOST, "{}: {} bytes", path.display(), bytes.len());
            // Cut anywhere, too: a peer that stops in the middle.
            for end in [bytes.len(), bytes.len() / 2, bytes.len().saturating_sub(1), bytes.len().min(3)] {
                (target.body)(&bytes[..end]);
            }
            names.insert(name);
        }
        for (name, bytes) in (target.seeds)() {
            assert!(names.contains(&format!("seed-{name}")), "{} has no seed-{name}", target.name);
            // What our encoders make today, which is not what they made when the file was written.
            (target.body)(&bytes);
        }
    }
}

/// What hosts print.
fn outputs() -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        ("colours", "ssn 1\u{1b}[1;31m23-45-\u{1b}[0m6789 and m.g@exam\u{1b}[Kple.org\r\n"),
        (
            "screen",
            "\u{1b}[?1049h\u{1b}[2J\u{1b}[5;9H123-45-6789\u{1b}[6;1H(212) 555-0123\u{1b}M\u{1b}7\u{1b}(B\u{9b}3D",
        ),
        (
            "unseen",
            "\u{1b}]0;title\u{7}\u{1b}]52;c;aGk=\u{1b}\\\u{1b}P1$r\u{1b}\\\u{90}x\u{9c}\u{1b}[6n\u{e}\u{0}",
        ),
    ];
    texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect()
}

/// A piece of a channel: whose it is, and how long.
fn piece(by_client: bool, bytes: &[u8]) -> Vec<u8> {
    let head = u8::try_from(bytes.len() << 1).unwrap() | u8::from(by_client);
    [&[head], bytes].concat()
}

fn scp() -> Vec<(&'static str, Vec<u8>)> {
    let run = |to_host: bool| {
        let said: [(bool, &[u8]); 14] = [
            (false, b"\0"),
            (true, b"T1700000000 0 1700000000 0\n"),
            (false, b"\0"),
            (true, b"D0755 0 site\n"),
            (false, b"\0"),
            (true, b"C0644 5 a b\n"),
            (false, b"\0"),
            (true, b"hello\0"),
            (false, b"\0"),
            (true, b"C0644 9 no\n"),
            (false, b"\x01scp: no: Permission denied\n"),
            (true, b"\x01scp: gone: No such file\n"),
            (true, b"E\n"),
            (false, b"\0"),
        ];
        let pieces = said.into_iter().flat_map(|(by_source, bytes)| piece(by_source == to_host, bytes));
        [u8::from(!to_host)].into_iter().chain(pieces).collect()
    };
    vec![("put", run(true)), ("get", run(false))]
}

fn sftp() -> Vec<(&'static str, Vec<u8>)> {
    let text = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let packet = |by_client: bool, kind: u8, asked_by: u32, rest: &[&[u8]]| {
        let body = [&[kind][..], &asked_by.to_be_bytes(), &rest.concat()].concat();
        piece(by_client, &text(&body))
    };
    let number = |number: u32| number.to_be_bytes();
    let done = |asked_by| packet(false, 101, asked_by, &[&number(0), &text(b""), &text(b"")]);
    let open = |flags: u32| {
        let opened = packet(true, 3, 1, &[&text(b"/a"), &number(flags), &number(0)]);
        [packet(true, 1, 3, &[]), packet(false, 2, 3, &[]), opened, packet(false, 102, 1, &[&text(b"h")])]
            .concat()
    };
    let write =
        |asked_by, at: u64| packet(true, 6, asked_by, &[&text(b"h"), &at.to_be_bytes(), &text(b"hello")]);
    let close = [packet(true, 4, 9, &[&text(b"h")]), done(9)].concat();
    let read = |asked_by, at: u64| packet(true, 5, asked_by, &[&text(b"h"), &at.to_be_bytes(), &number(5)]);
    let data = |asked_by| packet(false, 103, asked_by, &[&text(b"hello")]);
    let rename = packet(true, 200, 4, &[&text(b"posix-rename@openssh.com"), &text(b"/a"), &text(b"/b")]);
    vec![
        (
            "put",
            [open(2), write(2, 5), write(3, 0), done(2), done(3), close.clone(), rename, done(4)].concat(),
        ),
        ("get", [open(1), read(2, 0), read(3, 5), data(3), data(2), close].concat()),
    ]
}

/// What providers send: filters, paths, resources, patches.
fn provisioning() -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        ("filter", r#"userName eq "ada@example.org""#),
        ("path", r#"members[value eq "usr_a]\"b"].display"#),
        ("user", r#"{"userName":"ada","externalId":"00u1","active":"True","name":{"givenName":"Ada"}}"#),
        ("group", r#"{"displayName":"dba","members":[{"value":"usr_a"},"usr_b"]}"#),
        (
            "patch",
            r#"{"Operations":[{"op":"Remove","path":"members[value eq \"usr_a\"]"},{"op":"replace","value":{"active":false,"displayName":"x"}}]}"#,
        ),
    ];
    texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect()
}

/// The first flight of a TLS client with these application protocols.
fn hello(alpn: Vec<Vec<u8>>) -> Vec<u8> {
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn;
    let name = "gateway.example".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn hellos() -> Vec<(&'static str, Vec<u8>)> {
    let ticket = Ticket::derive(&SessionSecret::from_bytes([1; 32]), SessionId::from_bytes([2; 16]), 3);
    let claim = Claim::derive(&ClaimSecret::from_bytes([1; 32]), AgentId::from_bytes([2; 16]), 4, 5);
    let session = hello(session_protocols(&ticket));
    let mut in_pieces = Vec::new();
    for piece in session[5..].chunks(100) {
        in_pieces.extend_from_slice(&[22, 3, 1, 0, u8::try_from(piece.len()).unwrap()]);
        in_pieces.extend_from_slice(piece);
    }
    vec![
        ("https", hello(vec![b"h2".to_vec(), b"http/1.1".to_vec()])),
        ("control", hello(vec![ALPN_CONTROL.to_vec()])),
        ("claim", hello(claim_protocols(&claim))),
        ("plain", hello(Vec::new())),
        ("session", session),
        ("session-in-records-of-100", in_pieces),
        ("long-lie", [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 64]].concat()),
    ]
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let position = |received, consumed| Position { window: 4096, received, consumed };
    let notice = |code| Notice { code, message: "no".to_owned() };
    let encoded = |controls: &[Control]| {
        // The first byte says where the input is cut in two.
        let mut bytes = vec![9];
        controls.iter().for_each(|control| control.encode(&mut bytes));
        bytes
    };
    let data = |text: &[u8]| {
        let length = u16::try_from(text.len()).unwrap();
        let header = Header { kind: Kind::Data, length: length.into() };
        [&header.encode()[..], text].concat()
    };
    let opening = |resume| Opening { stream: StreamId(0), resume, position: position(0, 0) };
    let mut flow = encoded(&[Control::Accepted(position(0, 0)), Control::Ack { consumed: 5 }]);
    flow.extend(data(b"hello"));
    flow.extend(data(&[7; 300]));
    Control::Fin { length: 305 }.encode(&mut flow);
    vec![
        ("open", encoded(&[Control::Opening(opening(false)), Control::Ping, Control::Pong])),
        ("resume", encoded(&[Control::Opening(opening(true)), Control::Ack { consumed: u64::MAX }])),
        ("accepted-ahead", encoded(&[Control::Accepted(position(u64::MAX, u64::MAX))])),
        ("refused", encoded(&[Control::Refused(notice(4))])),
        ("reset", encoded(&[Control::Accepted(position(0, 0)), Control::Reset(notice(9))])),
        ("flow", flow),
    ]
}

const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A recording of a few requests: its file, and its trailer.
fn recording(key: &RecordingPrivateKey, agent: &SigningKey, compression: Compression) -> (Vec<u8>, Frame) {
    let start = Start {
        session: SessionId::from_bytes([2; 16]),
        at: AT,
        facts: vec![("person".into(), "ada".into())],
        signer: agent.verifying_key(),
        compression,
    };
    let (mut writer, header) = Writer::create(start, key.public()).unwrap();
    let mut file = header.bytes.to_vec();
    for id in 0..3 {
        let event = Event::Request {
            id: RequestId(id),
            form: Form::Query,
            text: "SELECT name FROM patients WHERE id = 1".into(),
            parameters: Vec::new(),
        };
        let _ = writer.append(&Record { at: AT, stream: Some(StreamId(1)), event }).unwrap();
        file.extend_from_slice(&writer.seal_chunk().unwrap().unwrap().bytes);
    }
    writer.note_gap(AT, "a chunk is missing");
    let trailer = writer.finish(AT, "closed", agent).unwrap().trailer_frame;
    file.extend_from_slice(&trailer);
    (file, Frame::parse(trailer).unwrap())
}

fn recordings() -> Vec<(&'static str, Vec<u8>)> {
    let (key, agent) = (RecordingPrivateKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (whole, _) = recording(&key, &agent, Compression::default());
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let cut = whole[..whole.len() - 100].to_vec();
    let sql = b"select 'it''s', $$a$$, E'\\x00', 1.5e3 -- x\n/* y */ from \"t\"".to_vec();
    vec![("whole", whole), ("flipped", flipped), ("cut-off", cut), ("statement", sql)]
}

fn ledgers() -> Vec<(&'static str, Vec<u8>)> {
    let (key, agent) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (_, trailer) = recording(&RecordingPrivateKey::generate().unwrap(), &agent, Compression::default());
    let session = SessionId::from_bytes([2; 16]);
    let mut sealed = Draft::new(Actor::System, EventCode::RecordingSealed).about(session);
    sealed.facts = recording_facts(&trailer, &agent.verifying_key());
    let drafts = [
        Draft::new(Actor::System, EventCode::GatewayStarted),
        Draft::new(Actor::Anonymous, EventCode::LoginFailed).fact("name", "ada"),
        Draft::new(Actor::Anonymous, EventCode::SessionOpened).about(session),
        sealed,
    ];
    let mut log = Appender::default();
    let leaves = drafts.map(|draft| log.append(draft, EventId::from_bytes([1; 16]), AT).unwrap().leaf);
    let frontier = log.frontier();
    let note = Checkpoint::new("fuzz", frontier.size(), frontier.root()).unwrap().sign(&key);
    let trusted = CheckpointKey::new("fuzz", key.verifying_key()).unwrap();
    let mut out = ExportWriter::new(Vec::new(), &trusted, AT, vec![session]).unwrap();
    leaves.iter().for_each(|leaf| out.leaf(leaf).unwrap());
    out.recording(session, &trailer).unwrap();
    let export = out.finish(&note).unwrap();
    let headless = export.splitn(2, |byte| *byte == b'\n').nth(1).unwrap().to_vec();
    vec![
        ("export", export),
        ("headless", headless),
        ("leaf", leaves[1].clone()),
        ("checkpoint", note.to_string().into_bytes()),
        ("key", trusted.to_string().into_bytes()),
    ]
}

/// Sealed files of no piece and of some, and pieces as they are once decrypted.
fn backups() -> Vec<(&'static str, Vec<u8>)> {
    let (key, signer) = (RecordingPrivateKey::generate().unwrap(), SigningKey::generate().unwrap());
    let sealed = |content: &[u8]| {
        let facts = vec![("of".to_owned(), "a test".to_owned())];
        let mut writer =
            SealedWriter::begin(Vec::new(), key.public(), signer.verifying_key(), AT, facts).unwrap();
        writer.write_all(content).unwrap();
        writer.finish(&signer).unwrap().0
    };
    let whole = sealed(b"{\"table\":\"people\"}\n{\"name\":\"ada\"}\n");
    let mut lie = sealed(b"");
    lie[10..14].copy_from_slice(&[0xff; 4]);
    vec![("empty", sealed(b"")), ("whole", whole), ("length-of-lies", lie)]
}

/// Tables with an agent, a session and a ledger of two events, then a recording, and what announces too much.
fn lines_of_backups() -> Vec<(&'static str, Vec<u8>)> {
    let hex = |bytes: &[u8]| format!("[\"{}\"]", data_encoding::HEXLOWER.encode(bytes));
    let begin = r#"{"backup":1,"version":"0.1.0","schema":[1],"origin":"gateway.test"}"#;
    let agents = r#"{"table":"agents","columns":[["id","bytes"],["signing_key","bytes"]]}"#;
    let sessions = r#"{"table":"sessions","columns":[["id","bytes"],["agent_id","bytes"],["state","text"],["manifest","bytes"]]}"#;
    let ledger =
        r#"{"table":"ledger_events","columns":[["seq","int"],["event","bytes"],["leaf_hash","bytes"]]}"#;
    let checkpoints =
        r#"{"table":"checkpoints","columns":[["size","int"],["root","bytes"],["note","text"]]}"#;
    let (agent, session) = (hex(&[1; 16]), hex(&[2; 16]));
    let event = |seq| format!("[{seq},{},{}]", hex(b"{}"), hex(hoop_ledger::Hash::of(b"\0{}").as_bytes()));
    let note = Checkpoint::new("fuzz", 2, hoop_ledger::Hash::of(b"root")).unwrap();
    let note = note.sign(&SigningKey::generate().unwrap()).to_string();
    let checkpoint = format!("[2,{},{}]", hex(&[3; 32]), serde_json::to_string(&note).unwrap());
    let id = SessionId::from_bytes([2; 16]);
    let recording = format!(r#"{{"recording":"{id}","bytes":8}}"#);
    let lines = [
        begin,
        agents,
        &format!("[{agent},{}]", hex(&[4; 32])),
        r#"{"rows":1}"#,
        sessions,
        &format!("[{session},{agent},\"ended\",{}]", hex(b"{}")),
        r#"{"rows":1}"#,
        checkpoints,
        &checkpoint,
        r#"{"rows":1}"#,
        ledger,
        &event(0),
        &event(1),
        r#"{"rows":2}"#,
        &recording,
        r#"not one.
{"key":"master.key","bytes":3}"#,
        r#"abc{"end":{"tables":4,"rows":5,"recordings":1,"keys":1}}"#,
    ];
    let whole = lines.join("\n").replace("not one.\n", "not one.") + "\n";
    let greedy = format!("{begin}\n{{\"key\":\"master.key\",\"bytes\":{}}}\nabc", u64::MAX);
    let elsewhere = format!("{begin}\n{{\"elsewhere\":\"{id}\"}}\n");
    [("whole", whole), ("greedy", greedy), ("elsewhere", elsewhere)]
        .map(|(name, text)| (name, text.into_bytes()))
        .into()
}

/// Text, JSON and an array with what is looked for, and with what only looks so.
fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        (
            "note",
            "Mr. Adam Smith, DOB 02/03/1961, SSN 123-45-6789, MRN: 00123456, call (555) 010-7788 or adam@example.org",
        ),
        (
            "json",
            r#"{"patient":{"name":"Eve Miller","card":"4111 1111 1111 1111"},"n":[1,"12 Oak Street, 90210",null]}"#,
        ),
        ("array", r#"{"Dr. Ann Lee",NULL,"a\"b","E11.9"}"#),
        (
            "hard",
            "v1.2.3 2026-01-02 550e8400-e29b-41d4-a716-446655440000 vitamin B12 order 123-45-678 password=hunter2hunter2",
        ),
    ];
    texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect()
}

/// How texts are read, then a text.
fn statements() -> Vec<(&'static str, Vec<u8>)> {
    let texts = [
        (
            "select",
            "\0select a.b, lower(c) from s.t x join \"U\" on true where id = $1 and n <> 'o''hara' -- x",
        ),
        (
            "with",
            "\0with recursive d as (delete from t returning *) select * from d; /* /* */ */ drop table t",
        ),
        ("quotes", "\0select E'\\'', $a$ ' $a$, U&\"\\0061\", b'1' 'x'\n'y', 1e5, 0x1f, 1..2"),
        ("old-strings", "\u{1}select '\\'; --'"),
        ("copy", "\0copy t (a) to program 'x'; set role r; explain (analyze) create table t as select 1"),
    ];
    texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect()
}

/// A witness's key, a checkpoint with lines under it; numbers and hashes.
fn proofs() -> Vec<(&'static str, Vec<u8>)> {
    let key = SigningKey::generate().unwrap();
    let note = Checkpoint::new("fuzz", 7, hoop_ledger::Hash::of(b"root")).unwrap().sign(&key);
    let blob = [&[4][..], key.verifying_key().as_bytes()].concat();
    let id = hoop_ledger::Hash::of(&[b"w.test\n\x04", &key.verifying_key().as_bytes()[..]].concat());
    let id = data_encoding::HEXLOWER.encode(&id.as_bytes()[..4]);
    let witness = format!("w.test+{id}+{}", data_encoding::BASE64.encode(&blob));
    let line = format!("\u{2014} w.test {}\n", data_encoding::BASE64.encode(&[7; 76]));
    let inclusion = [&3_u64.to_be_bytes()[..], &7_u64.to_be_bytes(), &[1; 96]].concat();
    let huge = [&u64::MAX.to_be_bytes()[..], &u64::MAX.to_be_bytes(), &[1; 640]].concat();
    vec![
        ("answer", format!("{witness}\n{note}{line}").into_bytes()),
        ("inclusion", inclusion),
        ("huge", huge),
    ]
}

/// A PostgreSQL message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// The same before log-in, where messages have no kind.
fn startup(body: &[u8]) -> Vec<u8> {
    message(0, body).split_off(1)
}

/// Which phase, cut into pieces of which length, and then the bytes.
fn input(phase: u8, piece: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    [&[phase, piece][..], &parts.concat()].concat()
}

fn client_messages() -> Vec<(&'static str, Vec<u8>)> {
    let log_in = startup(b"\0\x03\0\0user\0ada\0database\0clinic\0application_name\0psql\0\0");
    let extended = [
        message(b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
        message(b'B', b"\0s\0\0\0\0\x01\0\0\0\x011\0\0"),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'C', b"Ss\0"),
        message(b'H', b""),
        message(b'S', b""),
    ];
    let copy = [
        message(b'Q', b"copy t from stdin\0"),
        message(b'd', b"1\t2\n"),
        message(b'c', b""),
        message(b'f', b"no\0"),
    ];
    vec![
        ("log-in", input(0, 255, std::slice::from_ref(&log_in))),
        ("ssl-then-log-in", input(0, 3, &[startup(b"\x04\xd2\x16\x2f"), log_in.clone()])),
        (
            "gss-then-cancel",
            input(0, 255, &[startup(b"\x04\xd2\x16\x30"), startup(b"\x04\xd2\x16\x2eabcdefgh")]),
        ),
        ("second-log-in", input(0, 1, &[log_in.clone(), log_in])),
        ("query", input(1, 255, &[message(b'Q', b"select 'it''s'; set role x\0"), message(b'X', b"")])),
        ("extended", input(1, 2, &extended)),
        ("copy", input(1, 255, &copy)),
        ("function-call", input(1, 255, &[message(b'F', b"\0\0\0\x01\0\0\0\0\0\0")])),
        ("length-of-lies", input(1, 255, &[vec![b'Q', 0xff, 0xff, 0xff, 0xff], vec![0; 32]])),
        ("length-too-short", input(1, 255, &[vec![b'Q', 0, 0, 0, 3]])),
    ]
}

fn target_messages() -> Vec<(&'static str, Vec<u8>)> {
    let ready = || message(b'Z', b"I");
    let scram = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0\0");
    let hostile = b"\0\0\0\x0br=x,s=AAAA,i=4294967295";
    let rows = [
        message(b'T', b"\0\x01name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"),
        message(b'D', b"\0\x01\0\0\0\x03ada"),
        message(b'D', b"\0\x01\xff\xff\xff\xff"),
        message(b'C', b"SELECT 2\0"),
        ready(),
    ];
    let extended =
        [message(b'1', b""), message(b'2', b""), message(b'n', b""), message(b'C', b"SELECT 0\0"), ready()];
    let copy = [message(b'H', b"\0\0\x01\0\0"), message(b'd', b"1\n"), message(b'c', b""), ready()];
    vec![
        ("cleartext", input(0, 255, &[message(b'R', b"\0\0\0\x03")])),
        ("md5", input(0, 255, &[message(b'R', b"\0\0\0\x05salt"), message(b'R', b"\0\0\0\0"), ready()])),
        ("scram", input(0, 1, &[scram.clone(), message(b'R', hostile)])),
        ("scram-never-ends", input(0, 255, &[scram.clone(), scram])),
        ("error-at-log-in", input(0, 255, &[message(b'E', b"SFATAL\0C28P01\0Mno\0\0")])),
        ("rows", input(1, 5, &rows)),
        ("extended", input(1, 255, &extended)),
        ("copy", input(1, 255, &copy)),
        (
            "unasked",
            input(
                1,
                255,
                &[message(b'N', b"SNOTICE\0\0"), message(b'A', b"\0\0\0\x01a\0b\0"), ready(), ready()],
            ),
        ),
        ("second-authentication", input(1, 255, &[message(b'R', b"\0\0\0\x03")])),
        (
            "row-of-2-gib",
            input(1, 255, &[vec![b'D', 0x7f, 0xff, 0xff, 0xff, 0, 1, 0x7f, 0xff, 0, 0], vec![0; 64]]),
        ),
        ("copy-both", input(1, 255, &[message(b'W', b"\0\0\0")])),
    ]
}

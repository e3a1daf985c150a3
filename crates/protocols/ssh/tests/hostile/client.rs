//! Clients that do what no OpenSSH does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hoop_engine::CloseReason;
use russh::{
    ChannelMsg,
    keys::{PrivateKey, PrivateKeyWithHashAlg, ssh_key::private::Ed25519Keypair},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::{Person, Stage, heard, host::PASSWORD, wait_for};

#[tokio::test]
async fn bytes_of_another_protocol_are_answered_by_nothing_but_a_version() {
    let mut stage = Stage::new(PASSWORD).await;
    stage.client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stage.client.write_all(&[0xff; 4096]).await.unwrap();
    stage.client.shutdown().await.unwrap();
    let mut said = Vec::new();
    stage.client.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"SSH-2.0-hoop\r\n");
    assert_eq!(stage.running.await.unwrap().reason, CloseReason::Client);
    assert_eq!(stage.host.course.ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_gets_in_by_password_or_key() {
    let stage = Stage::new(PASSWORD).await;
    let config = Arc::new(russh::client::Config::default());
    let mut handle = russh::client::connect_stream(config, stage.client, Person).await.unwrap();
    assert!(!handle.authenticate_password("deploy", PASSWORD).await.unwrap().success());
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[5; 32]));
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    assert!(!handle.authenticate_publickey("deploy", key).await.unwrap().success());
    assert!(!stage.notes.all().contains(PASSWORD));
}

#[tokio::test]
async fn channels_without_end_are_refused_and_those_that_are_open_go_on() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..80 {
        match person.handle.channel_open_session().await {
            Ok(channel) => open.push(channel),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((open.len(), refused), (64, 16));
    let one = open.pop().unwrap();
    one.exec(true, "hello").await.unwrap();
    assert_eq!(heard(one).await.0, "ran hello");
    let told = "the client wanted to open a channel (session), and was refused: there are too many";
    assert_eq!(person.notes.all().matches(told).count(), 1, "{}", person.notes.all());
}

/// What only a host opens. The recording has it.
#[tokio::test]
async fn a_client_opens_nothing_that_is_not_its_to_open() {
    let person = Stage::new(PASSWORD).await.connect().await;
    for _ in 0..3 {
        assert!(person.handle.channel_open_x11("127.0.0.1", 1).await.is_err());
    }
    let told = "the client wanted to open a channel (x11), and was refused: it was not granted";
    assert_eq!(person.notes.all().matches(told).count(), 1, "{}", person.notes.all());
    assert_eq!(person.command("hello").await.0, "ran hello");
}

#[tokio::test]
async fn a_command_longer_than_any_is_not_passed_on() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let (_, err, status) = person.command(&"x".repeat(200 << 10)).await;
    assert!(err.contains("HOOP-5035") && status == Some(255), "{err}");
    assert_eq!(person.host.course.ran.load(Ordering::SeqCst), 0);
    assert_eq!(person.command("hello").await.0, "ran hello");
}

/// Of two programs that read nothing one is ended, so that what is beside them goes on.
#[tokio::test]
async fn what_nobody_reads_is_bounded_and_holds_up_the_others_for_a_while_only() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut channel = person.handle.channel_open_session().await.unwrap();
        channel.exec(true, "deaf").await.unwrap();
        while !matches!(channel.wait().await.unwrap(), ChannelMsg::Success) {}
        deaf.push(channel);
    }
    let accepted = AtomicUsize::new(0);
    let [one, other] = <[_; 2]>::try_from(deaf).unwrap();
    let flood = |write: russh::ChannelWriteHalf<russh::client::Msg>| {
        let accepted = &accepted;
        async move {
            while write.data_bytes(vec![0; 32 << 10]).await.is_ok() {
                accepted.fetch_add(32 << 10, Ordering::SeqCst);
            }
        }
    };
    let (mut one, write) = one.split();
    let (mut other, other_write) = other.split();
    // From here on a minute passes as soon as nothing moves any more.
    tokio::time::pause();
    let ended = async {
        let said = |message| match message {
            Some(ChannelMsg::ExtendedData { data, .. }) => String::from_utf8_lossy(&data).into_owned(),
            _ => String::new(),
        };
        loop {
            let text = tokio::select! { one = one.wait() => said(one), other = other.wait() => said(other) };
            if text.contains("HOOP-5037") {
                return;
            }
        }
    };
    tokio::select! {
        () = ended => {}
        _ = async { tokio::join!(flood(write), flood(other_write)) } => panic!("it took all of it"),
    }
    tokio::time::resume();
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted < 40 << 20, "{accepted} bytes were taken for programs that read nothing");
    assert_eq!(person.command("hello").await.0, "ran hello");
}

/// Input before it is said what it is for, a second program on one channel, signals to nothing: no answer, and no harm.
#[tokio::test]
async fn requests_in_no_order_do_no_harm() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let channel = person.handle.channel_open_session().await.unwrap();
    channel.signal(russh::Sig::Custom("\u{1b}]0;x\u{7}".repeat(100))).await.unwrap();
    channel.window_change(u32::MAX, u32::MAX, u32::MAX, u32::MAX).await.unwrap();
    for number in 0..200 {
        channel.set_env(false, format!("LC_{number}"), "x".repeat(10_000)).await.unwrap();
    }
    channel.exec(true, "hello").await.unwrap();
    channel.exec(true, "again").await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), heard(channel)).await.unwrap();
    assert_eq!(heard.0, "ran hello");
    assert_eq!(person.host.course.ran.load(Ordering::SeqCst), 1);
}

/// Reads a packet that is not encrypted: its payload (RFC 4253 §6).
async fn packet(from: &mut DuplexStream) -> Vec<u8> {
    let length = from.read_u32().await.unwrap() as usize;
    let mut packet = vec![0; length];
    from.read_exact(&mut packet).await.unwrap();
    let padding = usize::from(packet.remove(0));
    packet.truncate(length - 1 - padding);
    packet
}

/// The lists of names in a KEXINIT (RFC 4253 §7.1).
fn lists(payload: &[u8]) -> Vec<Vec<String>> {
    let mut rest = &payload[17..];
    let lists = (0..10).map(|_| {
        let (length, tail) = rest.split_at(4);
        let (names, tail) = tail.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
        rest = tail;
        std::str::from_utf8(names).unwrap().split(',').map(str::to_owned).collect()
    });
    lists.collect()
}

/// B11: nothing can be made large by compression, nothing slipped in before the keys (CVE-2023-48795), and a length is not believed.
#[tokio::test]
async fn nothing_is_compressed_keys_are_exchanged_strictly_and_lengths_are_not_believed() {
    let beside = Stage::new(PASSWORD).await.connect().await;
    for lie in [u32::MAX, 1 << 31, 300 << 10, 0, 3] {
        let mut stage = Stage::new(PASSWORD).await;
        stage.client.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        let mut version = [0; 14];
        stage.client.read_exact(&mut version).await.unwrap();
        assert_eq!(&version, b"SSH-2.0-hoop\r\n");
        let payload = packet(&mut stage.client).await;
        assert_eq!(payload[0], 20, "KEXINIT");
        let lists = lists(&payload);
        assert!(lists[0].iter().any(|name| name == "kex-strict-s-v00@openssh.com"), "{:?}", lists[0]);
        assert_eq!((&lists[6][..], &lists[7][..]), (&["none".to_owned()][..], &["none".to_owned()][..]));
        stage.client.write_u32(lie).await.unwrap();
        // No more than a little is taken of it: more than that does not go in.
        let _ = stage.client.write_all(&[0; 4096]).await;
        let ended = tokio::time::timeout(Duration::from_secs(20), stage.running).await;
        assert_eq!(ended.expect("it waits for what was announced").unwrap().reason, CloseReason::Client);
        assert_eq!(stage.host.course.ran.load(Ordering::SeqCst), 0);
    }
    assert_eq!(beside.command("hello").await.0, "ran hello");
}

/// B11: what a client does not let in waits at the host, not here.
#[tokio::test]
async fn a_window_of_nothing_lets_nothing_pile_up() {
    let stage = Stage::new(PASSWORD).await;
    let config = russh::client::Config { window_size: 0, ..russh::client::Config::default() };
    let mut handle = russh::client::connect_stream(Arc::new(config), stage.client, Person).await.unwrap();
    assert!(handle.authenticate_none("whoever").await.unwrap().success());
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "flood").await.unwrap();
    let sent = || stage.host.course.sent.load(Ordering::SeqCst);
    wait_for("the first of it", || sent() > 0).await;
    // From here on a minute passes as soon as nothing moves any more.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(sent() < 16 << 20, "{} bytes were taken for a client that takes none", sent());
}

//! Commands, through every pair of transports.

use super::*;

type Query<'a> = &'a [(&'a str, &'a str)];

#[test]
fn a_query_asks_as_api_servers_read_it() {
    let cases: [(Query<'_>, [bool; 4]); 6] = [
        (&[], [false; 4]),
        (&[("stdin", "true"), ("stdout", "1"), ("stderr", ""), ("tty", "no")], [true; 4]),
        (&[("stdin", "false"), ("stdout", "0"), ("stderr", "False"), ("tty", "FALSE")], [false; 4]),
        (&[("stdin", "True"), ("STDOUT", "true"), ("command", "tty")], [true, false, false, false]),
        (&[("tty", "0"), ("tty", "1")], [false; 4]),
        (&[("tty", "1"), ("tty", "0")], [false, false, false, true]),
    ];
    for (query, expected) in cases {
        let Asked { stdin, stdout, stderr, tty } = Asked::of(query.iter().copied());
        assert_eq!([stdin, stdout, stderr, tty], expected, "{query:?}");
    }
}

/// How a client speaks.
#[derive(Debug, Clone, Copy)]
struct Speech {
    over: Over,
    protocol: &'static str,
    is_base64: bool,
    has_ends: bool,
    /// Its status is JSON.
    has_json: bool,
}

const fn speech(
    over: Over,
    protocol: &'static str,
    is_base64: bool,
    has_ends: bool,
    has_json: bool,
) -> Speech {
    Speech { over, protocol, is_base64, has_ends, has_json }
}

const CLIENTS: [Speech; 7] = [
    speech(Over::Spdy, "v4.channel.k8s.io", false, true, true),
    speech(Over::Spdy, "v3.channel.k8s.io", false, true, false),
    speech(Over::WebSocket, "v5.channel.k8s.io", false, true, true),
    speech(Over::WebSocket, "v4.channel.k8s.io", false, false, true),
    speech(Over::WebSocket, "v4.base64.channel.k8s.io", true, false, true),
    speech(Over::WebSocket, "channel.k8s.io", false, false, false),
    speech(Over::WebSocket, "base64.channel.k8s.io", true, false, false),
];

#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Vec<u8>,
}

impl Heard {
    fn add(&mut self, channel: u8, bytes: &[u8]) {
        assert!(channel == 3 || bytes.is_empty() || self.status.is_empty(), "the status was not the last");
        match channel {
            1 => self.stdout.extend_from_slice(bytes),
            2 => self.stderr.extend_from_slice(bytes),
            3 => self.status.extend_from_slice(bytes),
            other => panic!("{other}"),
        }
    }
}

/// Says all there is to say, and hears what is answered.
async fn client(io: DuplexStream, speech: Speech, asked: Asked, input: Vec<u8>) -> Heard {
    let mut heard = Heard::default();
    if speech.over == Over::WebSocket {
        let mut peer = Channels::new(io, Role::Client, speech.is_base64).await;
        if asked.tty {
            peer.send(4, br#"{"Width":80,"Height":24}"#).await;
        }
        for piece in input.chunks(70_000) {
            peer.send(0, piece).await;
        }
        if speech.has_ends {
            peer.socket.send(Message::binary(vec![255, 0])).await.unwrap();
        }
        while let Some((channel, bytes)) = peer.next().await {
            heard.add(channel, &bytes);
        }
        return heard;
    }
    let mut peer = Spdy::new(io);
    let wanted = [("error", true), ("stdin", asked.stdin), ("stdout", asked.stdout)];
    let more = [("stderr", asked.stderr && !asked.tty), ("resize", asked.tty)];
    let mut names = Vec::new();
    for (name, _) in wanted.into_iter().chain(more).filter(|(_, is_wanted)| *is_wanted) {
        names.push(name);
        peer.open(u32::try_from(names.len() * 2 - 1).unwrap(), &[("streamtype", name)]).await;
    }
    let number = |wanted| {
        names.iter().position(|name| *name == wanted).map(|place| u32::try_from(place * 2 + 1).unwrap())
    };
    if let Some(resize) = number("resize") {
        peer.send(data(resize, "{\"Width\":80,", false)).await;
        peer.send(data(resize, "\"Height\":24}\n", false)).await;
    }
    if let Some(stdin) = number("stdin") {
        peer.send(data(stdin, input, false)).await;
        peer.send(data(stdin, "", true)).await;
    }
    // That of the status is the last: then the client closes.
    loop {
        let Some(Frame::Data { stream, data, fin }) = peer.next().await else { panic!("{heard:?}") };
        let name = names[(stream.number() as usize - 1) / 2];
        match name {
            "stdout" => heard.add(1, &data),
            "stderr" => heard.add(2, &data),
            "error" => heard.add(3, &data),
            _ => assert!(data.is_empty()),
        }
        if fin && name == "error" {
            return heard;
        }
    }
}

/// A kubelet whose command echoes all its input, once it has it.
async fn pod(
    io: DuplexStream,
    over: Over,
    asked: Asked,
    length: usize,
    waits_for_end: bool,
    status: &str,
) -> String {
    let (mut input, mut has_ended, mut sizes) = (Vec::new(), false, Vec::new());
    let has_stderr = asked.stderr && !asked.tty;
    let is_all = |input: &Vec<u8>, has_ended: bool, sizes: &Vec<u8>| {
        input.len() == length && (has_ended || !waits_for_end) && (!asked.tty || sizes.ends_with(b"\n"))
    };
    if over == Over::WebSocket {
        let mut peer = Channels::new(io, Role::Server, false).await;
        // As kubelets begin.
        peer.send(1, b"").await;
        while !is_all(&input, has_ended, &sizes) {
            match peer.next().await.unwrap() {
                (0, bytes) => input.extend(bytes),
                (4, bytes) => sizes.extend(bytes),
                (255, channel) => has_ended |= channel == [0],
                other => panic!("{other:?}"),
            }
        }
        for piece in input.chunks(900_000) {
            peer.send(1, piece).await;
        }
        if has_stderr {
            peer.send(2, b"oops").await;
        }
        peer.send(3, status.as_bytes()).await;
        peer.close().await;
        while peer.socket.next().await.is_some_and(|message| message.is_ok()) {}
        return String::from_utf8(sizes).unwrap();
    }
    let mut peer = Spdy::new(io);
    let mut names = Vec::new();
    for _ in
        0..1 + [asked.stdin, asked.stdout, has_stderr, asked.tty].iter().filter(|is_asked| **is_asked).count()
    {
        let (number, headers) = peer.take().await;
        names.push((String::from_utf8(headers.value("streamtype").unwrap().to_vec()).unwrap(), number));
    }
    let order: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [("error", true), ("stdin", asked.stdin), ("stdout", asked.stdout)].into_iter();
    let expected = expected.chain([("stderr", has_stderr), ("resize", asked.tty)]);
    assert_eq!(order, expected.filter(|(_, is_asked)| *is_asked).map(|(name, _)| name).collect::<Vec<_>>());
    let number = |wanted| names.iter().find(|(name, _)| name == wanted).map(|(_, number)| *number).unwrap();
    while !is_all(&input, has_ended, &sizes) {
        let Some(Frame::Data { stream, data, fin }) = peer.next().await else { panic!() };
        let name = &names.iter().find(|(_, number)| *number == stream.number()).unwrap().0;
        match name.as_str() {
            "stdin" => {
                input.extend_from_slice(&data);
                has_ended |= fin;
            }
            "resize" => sizes.extend_from_slice(&data),
            other => panic!("{other}"),
        }
    }
    peer.send(data(number("stdout"), input, false)).await;
    if has_stderr {
        peer.send(data(number("stderr"), "oops", false)).await;
    }
    peer.send(data(number("error"), status.to_owned(), false)).await;
    for (_, number) in &names {
        peer.send(Frame::RstStream { stream: id(*number), status: 5 }).await;
    }
    peer.send(Frame::GoAway { last: 0, status: 0 }).await;
    String::from_utf8(sizes).unwrap()
}

/// What an engine does between the legs, without deciding anything.
async fn relay(
    (mut from_client, mut to_client): (FromClient, ToClient),
    (mut from_pod, mut to_pod): (FromCluster, ToCluster),
) -> Vec<ToPod> {
    let mut passed = Vec::new();
    let up = async {
        while let Some(piece) = from_client.next().await.unwrap() {
            passed.push(piece.clone());
            to_pod.send(piece).await.unwrap();
        }
    };
    let down = async {
        while let Some(piece) = from_pod.next().await.unwrap() {
            to_client.send(piece).await.unwrap();
        }
        to_client.finish().await.unwrap();
    };
    tokio::join!(up, down);
    passed
}

#[tokio::test(start_paused = true)]
async fn a_command_runs_through_every_pair_of_transports() {
    for speech in CLIENTS {
        for over in [Over::Spdy, Over::WebSocket] {
            for asked in [ALL, TERMINAL] {
                run(speech, over, asked).await;
            }
        }
    }
}

async fn run(speech: Speech, over: Over, asked: Asked) {
    let input: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0] ^ 0x5a).collect();
    let status = r#"{"status":"Failure","message":"exit code 3","reason":"NonZeroExitCode"}"#;
    let ((a, b), (c, d)) = (tokio::io::duplex(3000), tokio::io::duplex(3000));
    let client = tokio::spawn(client(a, speech, asked, input.clone()));
    let pod = tokio::spawn(pod(d, over, asked, input.len(), speech.has_ends, status));
    let (client_leg, client_driver) =
        client_exec(b, &upgrade(speech.over, Wanted::Exec, speech.protocol), asked);
    let (cluster_leg, cluster_driver) = cluster_exec(c, &agreed(over, Wanted::Exec), asked);
    let drivers = [drive(client_driver), drive(cluster_driver)];
    let (client_leg, cluster_leg) = tokio::join!(client_leg.ready(), cluster_leg.ready());
    let passed = relay(client_leg.unwrap(), cluster_leg.unwrap()).await;

    let heard = client.await.unwrap();
    let case = format!("{speech:?} {over:?} {asked:?}");
    assert!(heard.stdout == input, "{case}");
    assert_eq!(heard.stderr, if asked.tty { &b""[..] } else { b"oops" }, "{case}");
    let words = if speech.has_json { status } else { "exit code 3" };
    assert_eq!(String::from_utf8_lossy(&heard.status), words, "{case}");
    assert_eq!(pod.await.unwrap(), if asked.tty { "{\"Width\":80,\"Height\":24}\n" } else { "" }, "{case}");
    let resize = ToPod::Resize { columns: 80, rows: 24 };
    assert_eq!(passed.iter().filter(|piece| **piece == resize).count(), usize::from(asked.tty), "{case}");
    let ends = passed.iter().filter(|piece| **piece == ToPod::StdinEnd).count();
    assert_eq!(ends, usize::from(speech.has_ends), "{case}");
    for driver in drivers {
        assert_eq!(driver.await.unwrap(), Ok(()), "{case}");
    }
}

/// A client's leg that is ready, its peer, and its driver.
async fn spdy_client_leg(asked: Asked) -> (FromClient, ToClient, Spdy, JoinHandle<Result<(), StreamError>>) {
    let (a, b) = tokio::io::duplex(1 << 16);
    let (leg, driver) = client_exec(b, &upgrade(Over::Spdy, Wanted::Exec, "v4.channel.k8s.io"), asked);
    let driver = drive(driver);
    let mut peer = Spdy::new(a);
    let opens = async {
        peer.open(1, &[("streamtype", "error")]).await;
        if asked.stdin {
            peer.open(3, &[("streamtype", "stdin")]).await;
        }
        if asked.stdout {
            peer.open(5, &[("streamtype", "stdout")]).await;
        }
    };
    let (ready, ()) = tokio::join!(leg.ready(), opens);
    let (from, to) = ready.unwrap();
    (from, to, peer, driver)
}

const OUTPUT: Asked = Asked { stdin: false, stdout: true, stderr: false, tty: false };
const BOTH: Asked = Asked { stdin: true, stdout: true, stderr: false, tty: false };

async fn status_of(mut peer: Spdy) -> String {
    let mut status = Vec::new();
    loop {
        match peer.next().await.unwrap() {
            Frame::Data { stream, data, fin } if stream == id(1) => {
                status.extend_from_slice(&data);
                if fin {
                    return String::from_utf8(status).unwrap();
                }
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_never_left_with_what_it_takes_for_success() {
    for is_dropped in [true, false] {
        let (_from, to, peer, _driver) = spdy_client_leg(OUTPUT).await;
        if is_dropped {
            drop(to);
        } else {
            to.finish().await.unwrap();
        }
        assert!(status_of(peer).await.contains(r#""status":"Failure""#), "{is_dropped}");
    }
}

#[tokio::test(start_paused = true)]
async fn over_channels_it_is_not_either() {
    let (a, b) = tokio::io::duplex(1 << 16);
    let (leg, driver) = client_exec(b, &upgrade(Over::WebSocket, Wanted::Exec, "v4.channel.k8s.io"), OUTPUT);
    let driver = drive(driver);
    let mut peer = Channels::new(a, Role::Client, false).await;
    let (_from, mut to) = leg.ready().await.unwrap();
    to.send(FromPod::Stdout(Bytes::from_static(b"half"))).await.unwrap();
    drop(to);
    assert_eq!(peer.next().await.unwrap(), (1, b"half".to_vec()));
    let (channel, status) = peer.next().await.unwrap();
    assert!(channel == 3 && String::from_utf8(status).unwrap().contains("Failure"));
    assert_eq!(peer.next().await, None);
    assert_eq!(driver.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_is_said_is_out_before_the_connection_ends_and_the_client_closes() {
    let (_from, mut to, mut peer, driver) = spdy_client_leg(OUTPUT).await;
    to.send(FromPod::Stdout(Bytes::from_static(b"done"))).await.unwrap();
    to.send(FromPod::Status(Bytes::from_static(SUCCESS.as_bytes()))).await.unwrap();
    to.finish().await.unwrap();
    let mut frames = Vec::new();
    while !matches!(frames.last(), Some(Frame::Data { fin: true, stream, .. }) if *stream == id(1)) {
        frames.push(peer.next().await.unwrap());
    }
    assert!(frames.contains(&data(5, "done", false)) && frames.contains(&data(1, SUCCESS, false)));
    // The connection stands until the client closes it.
    assert!(tokio::time::timeout(LINGER / 2, peer.next()).await.is_err());
    drop(peer);
    assert_eq!(driver.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_is_not_waited_for_long() {
    let (_from, to, peer, driver) = spdy_client_leg(OUTPUT).await;
    to.finish().await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(driver.await.unwrap(), Ok(()));
    assert_eq!(begun.elapsed().as_secs(), LINGER.as_secs());
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_is_told_from_one_whose_input_is_broken_off() {
    let (mut from, _to, peer, _driver) = spdy_client_leg(BOTH).await;
    drop(peer);
    assert_eq!(from.next().await, Ok(None));

    let (mut from, _to, mut peer, _driver) = spdy_client_leg(BOTH).await;
    peer.send(data(3, "half a fi", false)).await;
    peer.send(Frame::RstStream { stream: id(3), status: 5 }).await;
    assert_eq!(from.next().await, Ok(Some(ToPod::Stdin(Bytes::from_static(b"half a fi")))));
    assert_eq!(from.next().await, Err(StreamError::Reset));

    // In the midst of a frame.
    let (mut from, _to, mut peer, _driver) = spdy_client_leg(BOTH).await;
    peer.io.write_all(b"\0\0\0\x03\0\0\0\x09half").await.unwrap();
    drop(peer);
    assert_eq!(from.next().await, Ok(Some(ToPod::Stdin(Bytes::from_static(b"half")))));
    assert_eq!(from.next().await, Err(StreamError::Cut));
}

#[tokio::test(start_paused = true)]
async fn one_who_says_nothing_is_seen_to_go() {
    let (mut from, _to, peer, driver) = spdy_client_leg(OUTPUT).await;
    assert!(tokio::time::timeout(SHORT, from.next()).await.is_err());
    drop(peer);
    assert_eq!(from.next().await, Ok(None));
    assert_eq!(driver.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_dropped_cuts_its_leg() {
    let (mut from, mut to, _peer, driver) = spdy_client_leg(BOTH).await;
    driver.abort();
    assert_eq!(from.next().await, Err(StreamError::Cut));
    assert_eq!(to.send(FromPod::Stdout(Bytes::from_static(b"x"))).await, Err(StreamError::Cut));
}

/// A cluster's leg that is ready, over SPDY; stdin is stream 3, stdout 5.
async fn spdy_cluster_leg() -> (FromCluster, ToCluster, Spdy, JoinHandle<Result<(), StreamError>>) {
    let (a, b) = tokio::io::duplex(1 << 16);
    let (leg, driver) = cluster_exec(a, &agreed(Over::Spdy, Wanted::Exec), BOTH);
    let driver = drive(driver);
    let mut peer = Spdy::new(b);
    let takes = async {
        for _ in 0..3 {
            peer.take().await;
        }
    };
    let (ready, ()) = tokio::join!(leg.ready(), takes);
    let (from, to) = ready.unwrap();
    (from, to, peer, driver)
}

#[tokio::test(start_paused = true)]
async fn a_command_that_reads_no_more_can_still_answer() {
    let (mut from, mut to, mut peer, _driver) = spdy_cluster_leg().await;
    peer.send(Frame::RstStream { stream: id(3), status: 5 }).await;
    peer.send(data(5, "still here", false)).await;
    assert_eq!(from.next().await, Ok(Some(FromPod::Stdout(Bytes::from_static(b"still here")))));
    for piece in [ToPod::Stdin(Bytes::from_static(b"x")), ToPod::StdinEnd, ToPod::StdinEnd] {
        assert_eq!(to.send(piece).await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_comes_last_and_whole() {
    let (mut from, _to, mut peer, driver) = spdy_cluster_leg().await;
    let (first, rest) = SUCCESS.split_at(10);
    peer.send(data(1, first, false)).await;
    peer.send(data(1, rest, true)).await;
    peer.send(data(5, "late", true)).await;
    assert_eq!(from.next().await, Ok(Some(FromPod::Stdout(Bytes::from_static(b"late")))));
    assert_eq!(from.next().await, Ok(Some(FromPod::Status(Bytes::from_static(SUCCESS.as_bytes())))));
    assert_eq!(from.next().await, Ok(None));
    assert_eq!(from.next().await, Ok(None));
    drop(peer);
    assert_eq!(driver.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_goes_before_the_end_is_an_error() {
    let (mut from, _to, mut peer, _driver) = spdy_cluster_leg().await;
    peer.send(data(1, "{\"status\":\"Succ", false)).await;
    drop(peer);
    assert_eq!(from.next().await, Err(StreamError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_nobody_holds_says_so_to_the_cluster_and_closes() {
    let (from, to, mut peer, driver) = spdy_cluster_leg().await;
    drop((from, to));
    let mut frames = Vec::new();
    while let Some(frame) = peer.next().await {
        frames.push(frame);
    }
    let resets = frames.iter().filter(|frame| matches!(frame, Frame::RstStream { .. })).count();
    assert_eq!((resets, frames.last()), (3, Some(&Frame::GoAway { last: 0, status: 0 })));
    assert_eq!(driver.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_cluster_hears_from_us() {
    let (_from, _to, mut peer, _driver) = spdy_cluster_leg().await;
    assert_eq!(peer.next().await, Some(Frame::Ping(1)));
    assert_eq!(peer.next().await, Some(Frame::Ping(3)));
    // Nothing is answered to its answer; its own is answered.
    peer.send(Frame::Ping(1)).await;
    peer.send(Frame::Ping(2)).await;
    assert_eq!(peer.next().await, Some(Frame::Ping(2)));
}

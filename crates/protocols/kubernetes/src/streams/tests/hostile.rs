//! Peers that mean ill.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

fn exec_leg(
    over: Over,
    protocol: &str,
    asked: Asked,
    room: usize,
) -> (ClientExec, DuplexStream, JoinHandle<Result<(), StreamError>>) {
    let (a, b) = tokio::io::duplex(room);
    let (leg, driver) = client_exec(b, &upgrade(over, Wanted::Exec, protocol), asked);
    (leg, a, drive(driver))
}

fn spdy_leg() -> (ClientExec, Spdy, JoinHandle<Result<(), StreamError>>) {
    let (leg, io, driver) = exec_leg(Over::Spdy, "v4.channel.k8s.io", ALL, 1 << 20);
    (leg, Spdy::new(io), driver)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_the_rules_of_spdy_ends_with_a_reason() {
    let error = ("streamtype", "error");
    let stdin = ("streamtype", "stdin");
    let cases: [(&[Frame], StreamError); 11] = [
        (&[syn(1, &[error]), syn(1, &[stdin])], StreamError::StreamNumber(1)),
        (&[syn(3, &[error]), syn(1, &[stdin])], StreamError::StreamNumber(1)),
        (&[syn(2, &[error])], StreamError::StreamNumber(2)),
        (&[syn(1, &[error]), syn(3, &[error])], StreamError::UnexpectedStream),
        (&[data(1, "x", false)], StreamError::UnknownStream(1)),
        (&[syn(1, &[error]), data(3, "x", false)], StreamError::UnknownStream(3)),
        (&[syn(1, &[error]), data(2, "x", false)], StreamError::UnknownStream(2)),
        (&[Frame::RstStream { stream: id(5), status: 1 }], StreamError::UnknownStream(5)),
        (
            &[Frame::SynReply { stream: id(1), fin: false, headers: Headers::new() }],
            StreamError::UnexpectedStream,
        ),
        (
            &[Frame::Headers { stream: id(9), fin: true, headers: Headers::new() }],
            StreamError::UnknownStream(9),
        ),
        (&[syn(1, &[error])], StreamError::Late),
    ];
    for (frames, reason) in cases {
        let (leg, mut peer, _driver) = spdy_leg();
        for frame in frames {
            peer.send(frame.clone()).await;
        }
        assert_eq!(leg.ready().await.err(), Some(reason), "{frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_spdy_end_with_a_reason() {
    let mut bomb = flate2::Compress::new(flate2::Compression::best(), true);
    let mut block = Vec::with_capacity(1 << 16);
    // The dictionary does not matter: it is read before.
    bomb.compress_vec(&vec![0; 4 << 20], &mut block, flate2::FlushCompress::Sync).unwrap();
    let bomb = [
        &b"\x80\x03\0\x01\0"[..],
        &u32::try_from(block.len() + 10).unwrap().to_be_bytes()[1..],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        &block,
    ]
    .concat();
    let cases: [(&[u8], BadFrame); 4] = [
        (b"GET / HTTP/1.1\r\n\r\n", BadFrame::Flags { kind: 0, flags: b'/' }),
        (b"\x80\x03\0\x01\0\xff\xff\xff", BadFrame::TooLong(0xff_ffff)),
        (b"\x80\x04\0\x01\0\0\0\0", BadFrame::Version(4)),
        (&bomb, BadFrame::BlockTooLong),
    ];
    for (bytes, reason) in cases {
        let (leg, mut peer, driver) = spdy_leg();
        peer.io.write_all(bytes).await.unwrap();
        assert_eq!(leg.ready().await.err(), Some(StreamError::Spdy(reason)));
        assert_eq!(driver.await.unwrap(), Err(StreamError::Spdy(reason)));
        assert_eq!(peer.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_after_a_goaway_and_of_unknown_types_are_refused_and_the_rest_goes_on() {
    let (leg, mut peer, _driver) = spdy_leg();
    let asks = async {
        for (number, kind) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
            peer.open(number, &[("streamtype", kind)]).await;
        }
        peer.send(syn(7, &[("streamtype", "more")])).await;
        assert_eq!(peer.next().await, Some(Frame::RstStream { stream: id(7), status: 3 }));
        peer.open(9, &[("streamtype", "stderr")]).await;
    };
    let (ready, ()) = tokio::join!(leg.ready(), asks);
    let (mut from, _to) = ready.unwrap();
    peer.send(Frame::GoAway { last: 0, status: 0 }).await;
    peer.send(syn(11, &[("streamtype", "stdin")])).await;
    assert_eq!(peer.next().await, Some(Frame::RstStream { stream: id(11), status: 3 }));
    // What it still says on what was refused is thrown away.
    peer.send(data(11, "lost", true)).await;
    peer.send(data(3, "heard", false)).await;
    assert_eq!(from.next().await, Ok(Some(ToPod::Stdin(Bytes::from_static(b"heard")))));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_streams_are_not_taken() {
    let (a, b) = tokio::io::duplex(1 << 16);
    let upgrade = upgrade(Over::Spdy, Wanted::PortForward, "portforward.k8s.io");
    let (mut leg, driver) = client_forwards(b, &upgrade, &[]);
    let _driver = drive(driver);
    let accepts = tokio::spawn(async move { leg.accept().await });
    let (read, write) = tokio::io::split(a);
    let (mut says, mut hears) = (
        Spdy::new(tokio::io::join(tokio::io::empty(), write)),
        Spdy::new(tokio::io::join(read, tokio::io::sink())),
    );
    let says = tokio::spawn(async move {
        for number in 0..10_000_u32 {
            let request = number.to_string();
            says.send(syn(
                number * 2 + 1,
                &[("streamtype", "error"), ("port", "80"), ("requestid", &request)],
            ))
            .await;
        }
        says.send(Frame::Ping(7)).await;
        says
    });
    let (mut taken, mut refused) = (0, 0);
    loop {
        match hears.next().await.unwrap() {
            Frame::SynReply { .. } => taken += 1,
            Frame::RstStream { .. } => refused += 1,
            // The last that was said, and it is still answered.
            Frame::Ping(7) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(taken == MOST_FORWARDS && taken + refused >= 9_900, "{taken} {refused}");
    assert!(!accepts.is_finished());
    drop(says.await.unwrap());
}

/// Bytes of a frame without end, or of messages, that are taken before the leg reads no more.
async fn taken(mut io: DuplexStream, piece: &[u8]) -> usize {
    let mut taken = 0;
    while tokio::time::timeout(SHORT, io.write_all(piece)).await.is_ok() {
        taken += piece.len();
        assert!(taken < 8 << 20, "there is no bound");
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_not_held() {
    // Input of a client that the command does not read.
    let (leg, io, _driver) =
        exec_leg(Over::Spdy, "v4.channel.k8s.io", Asked { stdout: false, stderr: false, ..ALL }, 4096);
    let mut peer = Spdy::new(io);
    let opens = async {
        peer.open(1, &[("streamtype", "error")]).await;
        peer.open(3, &[("streamtype", "stdin")]).await;
    };
    let (ready, ()) = tokio::join!(leg.ready(), opens);
    let held = ready.unwrap();
    peer.io.write_all(b"\0\0\0\x03\0\xff\xff\xff").await.unwrap();
    let length = taken(peer.io, &[7; 1000]).await;
    assert!(length < 256 << 10, "{length}");
    drop(held);

    // The same in messages.
    let (leg, io, _driver) = exec_leg(Over::WebSocket, "v5.channel.k8s.io", ALL, 4096);
    let held = leg.ready().await.unwrap();
    let mut message = vec![0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0, 0];
    message.extend([7; 1000]);
    let length = taken(io, &message).await;
    assert!(length < 256 << 10, "{length}");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_stops_whoever_writes() {
    for (over, protocol) in [(Over::Spdy, "v4.channel.k8s.io"), (Over::WebSocket, "v4.channel.k8s.io")] {
        let asked = Asked { stdin: false, stderr: false, ..ALL };
        let (leg, io, driver) = exec_leg(over, protocol, asked, 4096);
        let mut peer = Spdy::new(io);
        let opens = async {
            if over == Over::Spdy {
                peer.open(1, &[("streamtype", "error")]).await;
                peer.open(3, &[("streamtype", "stdout")]).await;
            }
        };
        let (ready, ()) = tokio::join!(leg.ready(), opens);
        let (from, mut to) = ready.unwrap();
        let mut sent = 0;
        let piece = Bytes::from(vec![7; 10_000]);
        while tokio::time::timeout(SHORT, to.send(FromPod::Stdout(piece.clone()))).await.is_ok() {
            sent += piece.len();
            assert!(sent < 8 << 20, "{over:?} there is no bound");
        }
        assert!(sent < 256 << 10, "{over:?} {sent}");
        // Once nobody holds the leg, it is not waited for that client for ever.
        drop((from, to));
        assert!(driver.await.unwrap().is_ok());
        drop(peer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_the_rules_of_channels_ends_with_a_reason() {
    let long = vec![0; (1 << 20) + 1];
    let close = |code| Message::Close(Some(CloseFrame { code, reason: "".into() }));
    let cases: [(&str, Message, StreamError); 10] = [
        ("v5.channel.k8s.io", Message::text("0ls"), StreamError::UnknownChannel(b'0')),
        ("v5.channel.k8s.io", Message::binary(vec![5, 1]), StreamError::UnknownChannel(5)),
        ("v4.channel.k8s.io", Message::binary(vec![255, 0]), StreamError::UnknownChannel(255)),
        ("v5.channel.k8s.io", Message::binary(vec![255, 9]), StreamError::UnknownChannel(9)),
        (
            "v5.channel.k8s.io",
            Message::binary(vec![255]),
            StreamError::BadMessage("it ends a channel and does not say which"),
        ),
        (
            "v5.channel.k8s.io",
            Message::binary(vec![255, 0, 1]),
            StreamError::BadMessage("it ends a channel and does not say which"),
        ),
        ("v4.base64.channel.k8s.io", Message::text("0%%%"), StreamError::BadMessage("it is not base64")),
        (
            "v4.base64.channel.k8s.io",
            Message::text(" bHM="),
            StreamError::BadMessage("its first character is no channel"),
        ),
        ("v5.channel.k8s.io", Message::binary(long), StreamError::TooLong((1 << 20) + 1)),
        ("v5.channel.k8s.io", close(CloseCode::Error), StreamError::Abandoned(1011)),
    ];
    for (protocol, message, reason) in cases {
        let (leg, io, driver) = exec_leg(Over::WebSocket, protocol, ALL, 4 << 20);
        let mut peer = Channels::new(io, Role::Client, false).await;
        let (mut from, _to) = leg.ready().await.unwrap();
        peer.socket.send(message).await.unwrap();
        assert_eq!(from.next().await, Err(reason.clone()), "{protocol}");
        if !matches!(reason, StreamError::Abandoned(_)) {
            assert_eq!(driver.await.unwrap(), Err(reason), "{protocol}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_no_web_socket_end_with_a_reason() {
    let cases: [(&[u8], StreamError); 3] = [
        // Not masked; with a bit that means nothing; and cut off.
        (b"\x82\x02\0x", StreamError::WebSocket("Received an unmasked frame from client".into())),
        (b"\xc2\x82\0\0\0\0\0x", StreamError::WebSocket("Reserved bits are non-zero".into())),
        (b"\x82\x82\0\0", StreamError::Cut),
    ];
    for (bytes, reason) in cases {
        let (leg, mut io, _driver) = exec_leg(Over::WebSocket, "v5.channel.k8s.io", ALL, 4096);
        let (mut from, _to) = leg.ready().await.unwrap();
        io.write_all(bytes).await.unwrap();
        drop(io);
        assert_eq!(from.next().await, Err(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_in_fragments_and_pings_between_them_are_fine() {
    let (leg, mut io, _driver) = exec_leg(Over::WebSocket, "v5.channel.k8s.io", ALL, 4096);
    let (mut from, _to) = leg.ready().await.unwrap();
    // Text that nobody asked for on a channel that is not read is thrown away, and so are empty messages.
    for frame in [&b"\x82\x82\0\0\0\0\x01x"[..], b"\x82\x80\0\0\0\0", b"\x82\x81\0\0\0\0\0"] {
        io.write_all(frame).await.unwrap();
    }
    io.write_all(b"\x02\x83\0\0\0\0\0ab").await.unwrap();
    io.write_all(b"\x89\x81\0\0\0\0p").await.unwrap();
    io.write_all(b"\x80\x82\0\0\0\0cd").await.unwrap();
    assert_eq!(from.next().await, Ok(Some(ToPod::Stdin(Bytes::from_static(b"abcd")))));
    let mut pong = [0; 3];
    io.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\x8a\x01p");
}

#[tokio::test(start_paused = true)]
async fn sizes_that_are_none_end_with_a_reason() {
    let (leg, io, _driver) = exec_leg(Over::WebSocket, "v5.channel.k8s.io", TERMINAL, 4096);
    let mut peer = Channels::new(io, Role::Client, false).await;
    let (mut from, _to) = leg.ready().await.unwrap();
    peer.send(4, b"{\"Width\":-1,\"Height\":24}").await;
    assert_eq!(from.next().await, Err(StreamError::BadSize));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_breaks_the_rules_ends_with_a_reason() {
    let cases: [(Frame, StreamError); 3] = [
        (syn(2, &[("streamtype", "stdout")]), StreamError::UnexpectedStream),
        (data(9, "x", false), StreamError::UnknownStream(9)),
        (data(1, vec![b' '; 300 << 10], false), StreamError::StatusTooLong),
    ];
    for (frame, reason) in cases {
        let (a, b) = tokio::io::duplex(1 << 20);
        let asked = Asked { stdin: false, stderr: false, ..ALL };
        let (leg, driver) = cluster_exec(a, &agreed(Over::Spdy, Wanted::Exec), asked);
        let _driver = drive(driver);
        let mut peer = Spdy::new(b);
        let takes = async {
            peer.take().await;
            peer.take().await;
        };
        let (ready, ()) = tokio::join!(leg.ready(), takes);
        let (mut from, _to) = ready.unwrap();
        peer.send(frame).await;
        assert_eq!(from.next().await, Err(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_accepts_nothing_or_refuses_is_told_apart() {
    let leg = || {
        let (a, b) = tokio::io::duplex(1 << 16);
        let (leg, driver) = cluster_exec(a, &agreed(Over::Spdy, Wanted::Exec), ALL);
        (leg, Spdy::new(b), drive(driver))
    };
    let (late, _peer, _driver) = leg();
    assert_eq!(late.ready().await.err(), Some(StreamError::Late));

    let (refused, mut peer, _driver) = leg();
    peer.send(Frame::Ping(2)).await;
    let refuses = async {
        while !matches!(peer.next().await, Some(Frame::SynStream { .. })) {}
        peer.send(Frame::RstStream { stream: id(1), status: 3 }).await;
    };
    assert_eq!(tokio::join!(refused.ready(), refuses).0.err(), Some(StreamError::Reset));

    let (cut, peer, _driver) = leg();
    drop(peer);
    assert_eq!(cut.ready().await.err(), Some(StreamError::Closed));
}

#[tokio::test(start_paused = true)]
async fn text_in_a_tunnel_ends_with_a_reason_and_messages_may_be_cut_anywhere() {
    let upgrade = upgrade(Over::WebSocket, Wanted::PortForward, "SPDY/3.1+portforward.k8s.io");
    let (a, b) = tokio::io::duplex(1 << 16);
    let (mut leg, driver) = client_forwards(b, &upgrade, &[]);
    let driver = drive(driver);
    let mut peer = Channels::new(a, Role::Client, false).await;
    let ping = b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x01";
    for piece in [&ping[..3], &ping[3..3], &ping[3..]] {
        peer.socket.send(Message::binary(piece.to_vec())).await.unwrap();
    }
    assert_eq!(peer.socket.next().await.unwrap().unwrap(), Message::binary(ping.to_vec()));
    peer.socket.send(Message::text("x")).await.unwrap();
    assert_eq!(leg.accept().await.err(), Some(StreamError::WrongKind));
    assert_eq!(driver.await.unwrap(), Err(StreamError::WrongKind));
}

/// Hears so many bytes and no more, and still says what it has said.
struct Deaf(DuplexStream, usize);

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self.1.checked_sub(from.len()) {
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(left) => {
                self.1 = left;
                Pin::new(&mut self.0).poll_write(cx, from)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_said_before_it_went_deaf_is_heard() {
    let (a, b) = tokio::io::duplex(1 << 20);
    let asked = Asked { stderr: false, ..ALL };
    let (leg, driver) = cluster_exec(Deaf(a, 1000), &agreed(Over::Spdy, Wanted::Exec), asked);
    let driver = drive(driver);
    let mut peer = Spdy::new(b);
    let takes = async {
        for _ in 0..3 {
            peer.take().await;
        }
    };
    let (ready, ()) = tokio::join!(leg.ready(), takes);
    let (mut from, mut to) = ready.unwrap();
    // More than is heard, and than waits.
    for _ in 0..100 {
        to.send(ToPod::Stdin(Bytes::from(vec![7; 10_000]))).await.unwrap();
    }
    peer.send(data(5, "last words", true)).await;
    peer.send(data(1, SUCCESS, true)).await;
    assert_eq!(from.next().await, Ok(Some(FromPod::Stdout(Bytes::from_static(b"last words")))));
    assert_eq!(from.next().await, Ok(Some(FromPod::Status(Bytes::from_static(SUCCESS.as_bytes())))));
    assert_eq!(from.next().await, Ok(None));
    drop((from, to));
    assert_eq!(driver.await.unwrap(), Err(StreamError::Io(io::ErrorKind::BrokenPipe)));
}

#[tokio::test(start_paused = true)]
async fn text_is_taken_of_clients_and_not_of_clusters() {
    for (protocol, message) in [
        ("v5.channel.k8s.io", Message::text("\0ls \u{e4}")),
        ("v4.base64.channel.k8s.io", Message::binary("0bHMgw6Q=")),
    ] {
        let (leg, io, _driver) = exec_leg(Over::WebSocket, protocol, ALL, 4096);
        let mut peer = Channels::new(io, Role::Client, false).await;
        let (mut from, _to) = leg.ready().await.unwrap();
        peer.socket.send(message).await.unwrap();
        assert_eq!(from.next().await, Ok(Some(ToPod::Stdin(Bytes::from("ls \u{e4}")))), "{protocol}");
    }

    let (a, b) = tokio::io::duplex(4096);
    let (leg, driver) = cluster_exec(a, &agreed(Over::WebSocket, Wanted::Exec), ALL);
    let _driver = drive(driver);
    let mut peer = Channels::new(b, Role::Server, false).await;
    let (mut from, _to) = leg.ready().await.unwrap();
    peer.socket.send(Message::text("\u{1}ls")).await.unwrap();
    assert_eq!(from.next().await, Err(StreamError::WrongKind));
}

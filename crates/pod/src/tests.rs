//! Against a small API server in the same process.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

use super::*;

type Peer = WebSocketStream<DuplexStream>;

fn command(stdin: bool, tty: bool) -> PodCommand {
    PodCommand {
        namespace: "lab".into(),
        pod: "web".into(),
        container: None,
        words: vec!["sh".into()],
        stdin,
        tty,
    }
}

#[expect(clippy::result_large_err, reason = "the library's type")]
async fn accept(io: DuplexStream, protocol: &'static str) -> Peer {
    let answer = move |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().path(), "/api/v1/namespaces/lab/pods/web/exec");
        assert_eq!(request.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
        response.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        Ok(response)
    };
    accept_hdr_async(io, answer).await.unwrap()
}

async fn next(peer: &mut Peer) -> Vec<u8> {
    peer.next().await.unwrap().unwrap().into_data().to_vec()
}

async fn send(peer: &mut Peer, bytes: &[u8]) {
    peer.send(Message::binary(bytes.to_vec())).await.unwrap();
}

fn ends<I>(stdin: Option<I>) -> (Ends<I, DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
    let ((stdout, out), (stderr, complaints)) = (duplex(1 << 20), duplex(1 << 20));
    (Ends { stdin, stdout, stderr, size: None }, out, complaints)
}

async fn all(mut from: DuplexStream) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn input_goes_in_output_comes_out_and_the_exit_code_is_the_commands() {
    let (ours, theirs) = duplex(1 << 16);
    let (ends, out, complaints) = ends(Some(&b"some input"[..]));
    let serving = async {
        let mut peer = accept(theirs, "v5.channel.k8s.io").await;
        assert_eq!(next(&mut peer).await, b"\0some input");
        assert_eq!(next(&mut peer).await, [255, 0]);
        for frame in [&b"\x01"[..], b"\x02", b"\x01out ", b"\x02oops", b"\x01put", b"\xff\x01"] {
            send(&mut peer, frame).await;
        }
        let status = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        send(&mut peer, &[b"\x03", &status[..]].concat()).await;
        assert!(matches!(peer.next().await, Some(Ok(Message::Close(_)))), "a word of farewell");
    };
    let what = command(true, false);
    let (code, ()) = tokio::join!(run(ours, &what, ends), serving);
    assert_eq!(code.unwrap(), 3);
    assert_eq!((all(out).await.as_str(), all(complaints).await.as_str()), ("out put", "oops"));
}

#[tokio::test]
async fn a_terminal_tells_its_size_at_once_and_whenever_it_changes() {
    let (ours, theirs) = duplex(1 << 16);
    let (keys, typed) = duplex(64);
    let (mut ends, out, _complaints) = ends(Some(typed));
    let (resize, size) = watch::channel(Size { width: 80, height: 24 });
    ends.size = Some(size);
    let serving = async {
        let mut peer = accept(theirs, "v5.channel.k8s.io").await;
        assert_eq!(next(&mut peer).await, b"\x04{\"Width\":80,\"Height\":24}");
        resize.send(Size { width: 132, height: 50 }).unwrap();
        assert_eq!(next(&mut peer).await, b"\x04{\"Width\":132,\"Height\":50}");
        let mut keys = keys;
        keys.write_all(&[3]).await.unwrap();
        assert_eq!(next(&mut peer).await, [0, 3], "Ctrl-C is a byte like any other");
        send(&mut peer, b"\x01^C").await;
        send(&mut peer, b"\x03{\"status\":\"Success\"}").await;
        keys
    };
    let what = command(true, true);
    let (code, _keys) = tokio::join!(run(ours, &what, ends), serving);
    assert_eq!(code.unwrap(), 0);
    assert_eq!(all(out).await, "^C");
}

#[tokio::test]
async fn much_input_and_much_output_do_not_wait_for_each_other() {
    const LENGTH: usize = 600_000;
    let (ours, theirs) = duplex(4096);
    let input = vec![b'x'; LENGTH];
    let ((stdout, out), (stderr, _complaints)) = (duplex(4096), duplex(64));
    let ends = Ends { stdin: Some(&input[..]), stdout, stderr, size: None };
    // Sends all that it gets back, while it gets it.
    let serving = async {
        let mut peer = accept(theirs, "v5.channel.k8s.io").await;
        loop {
            let mut frame = next(&mut peer).await;
            if frame == [255, 0] {
                break;
            }
            frame[0] = 1;
            send(&mut peer, &frame).await;
        }
        send(&mut peer, b"\x03{\"status\":\"Success\"}").await;
    };
    let what = command(true, false);
    let (code, (), seen) = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::join!(run(ours, &what, ends), serving, all(out))
    })
    .await
    .unwrap();
    assert_eq!((code.unwrap(), seen.len()), (0, LENGTH));
}

#[tokio::test]
async fn an_end_that_nobody_explains_is_an_error() {
    for (protocol, code) in [("v5.channel.k8s.io", "the stream"), ("v4.channel.k8s.io", "v5.channel.k8s.io")]
    {
        let (ours, theirs) = duplex(1 << 16);
        let (ends, _out, _complaints) = ends(None::<&[u8]>);
        let serving = async {
            let mut peer = accept(theirs, protocol).await;
            let _ = peer.send(Message::binary(&b"\x01half"[..])).await;
            let _ = peer.close(None).await;
        };
        let what = command(false, false);
        let (ended, ()) = tokio::join!(run(ours, &what, ends), serving);
        let error = ended.unwrap_err();
        assert!(matches!(error, PodError::Broke(_)) && error.to_string().contains(code), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_however_it_comes_in() {
    let body = r#"{"kind":"Status","status":"Failure","message":"no rule allows exec (HOOP-2001)","reason":"Forbidden","code":403}"#;
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (ours, mut theirs) = duplex(1 << 16);
    let (ends, _out, _complaints) = ends(None::<&[u8]>);
    let serving = async {
        let mut request = vec![0; 4096];
        let _ = theirs.read(&mut request).await.unwrap();
        for piece in answer.as_bytes().chunks(7) {
            theirs.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        theirs
    };
    let what = command(false, false);
    let (ended, _theirs) = tokio::join!(run(ours, &what, ends), serving);
    let error = ended.unwrap_err();
    assert_eq!(error.to_string(), "no rule allows exec (HOOP-2001) [Forbidden]");
    assert!(matches!(error, PodError::Refused(Refusal { http: Some(403), .. })));
}

#[tokio::test]
async fn a_peer_that_is_gone_is_an_error() {
    let (ours, theirs) = duplex(1 << 16);
    drop(theirs);
    let (ends, _out, _complaints) = ends(None::<&[u8]>);
    let outcome = run(ours, &command(false, false), ends).await;
    assert!(matches!(outcome, Err(PodError::Broke(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_reader_that_has_had_enough_ends_it_without_a_word() {
    let (ours, theirs) = duplex(1 << 16);
    let (ends, out, _complaints) = ends(None::<&[u8]>);
    drop(out);
    let serving = async {
        let mut peer = accept(theirs, "v5.channel.k8s.io").await;
        send(&mut peer, b"\x01much").await;
        peer
    };
    let what = command(false, false);
    let (code, _peer) = tokio::join!(run(ours, &what, ends), serving);
    assert_eq!(code.unwrap(), 141);
}

//! A shell in a pod, from an API server that gives one, from one that refuses, and from those that break off.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use hoop_model::{DnsLabel, DnsName};
use hoop_terminal::{Keys, Pod, Said, ShellError, Shown, Size, open_in_pod};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

type Server = WebSocketStream<DuplexStream>;

fn pod() -> Pod {
    Pod {
        namespace: DnsLabel::new("shop").unwrap(),
        name: DnsName::new("web-1").unwrap(),
        container: Some(DnsLabel::new("app").unwrap()),
    }
}

#[expect(clippy::result_large_err, reason = "the library's type")]
async fn accept(io: DuplexStream) -> Server {
    let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(
            request.uri().to_string(),
            "/api/v1/namespaces/shop/pods/web-1/exec?stdin=true&stdout=true&stderr=false&tty=true&container=app&command=sh"
        );
        response.headers_mut().insert("sec-websocket-protocol", "v5.channel.k8s.io".parse().unwrap());
        Ok(response)
    };
    accept_hdr_async(io, answer).await.unwrap()
}

async fn shell() -> (Keys, Shown, Server) {
    let (ours, theirs) = duplex(64 << 10);
    let target = pod();
    let opening = open_in_pod(ours, &target, Size::new(0, 1_000_000));
    let (opened, server) = tokio::join!(opening, accept(theirs));
    let (keys, shown) = opened.unwrap();
    (keys, shown, server)
}

async fn next(server: &mut Server) -> Vec<u8> {
    server.next().await.unwrap().unwrap().into_data().to_vec()
}

async fn send(server: &mut Server, frame: &'static [u8]) {
    server.send(Message::binary(Bytes::from_static(frame))).await.unwrap();
}

#[tokio::test]
async fn it_has_a_bounded_terminal_is_typed_into_and_says_how_it_ended() {
    let (mut keys, mut shown, mut server) = shell().await;
    assert_eq!(next(&mut server).await, b"\x04{\"Width\":1,\"Height\":300}");
    keys.resize(Size::new(90, 25)).await.unwrap();
    assert_eq!(next(&mut server).await, b"\x04{\"Width\":90,\"Height\":25}");
    keys.press(Bytes::from_static(b"ls\r")).await.unwrap();
    assert_eq!(next(&mut server).await, b"\0ls\r");
    for frame in [&b"\x01"[..], b"\x01a b", b"\xff\x01"] {
        send(&mut server, frame).await;
    }
    send(
        &mut server,
        b"\x03{\"status\":\"Failure\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"5\"}]}}",
    )
    .await;
    assert_eq!(shown.next().await, Some(Said::Shown(Bytes::new())));
    assert_eq!(shown.next().await, Some(Said::Shown(Bytes::from_static(b"a b"))));
    assert_eq!(shown.next().await, Some(Said::Exit(5)));
    assert_eq!(shown.next().await, None);
    let (closing, farewell) = tokio::join!(keys.close(), server.next());
    let ((), Some(Ok(Message::Close(_)))) = (closing, farewell) else { panic!("it says good-bye") };
}

#[tokio::test]
async fn what_the_cluster_has_against_it_is_told_in_its_words() {
    let (ours, mut theirs) = duplex(64 << 10);
    let body = r#"{"kind":"Status","status":"Failure","message":"pods \"web-1\" not found","reason":"NotFound","code":404}"#;
    let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let serving = async {
        let mut request = vec![0; 4096];
        let _ = theirs.read(&mut request).await.unwrap();
        theirs.write_all(answer.as_bytes()).await.unwrap();
        theirs
    };
    let target = pod();
    let (outcome, _theirs) = tokio::join!(open_in_pod(ours, &target, Size::new(80, 24)), serving);
    let Err(ShellError::NotInPod(refusal)) = outcome else { panic!("it is refused") };
    assert_eq!(refusal.to_string(), "pods \"web-1\" not found [NotFound]");
}

#[tokio::test]
async fn an_end_that_has_no_exit_code_is_told_or_is_none() {
    let (_keys, mut shown, mut server) = shell().await;
    send(
        &mut server,
        b"\x03{\"status\":\"Failure\",\"message\":\"container is gone\",\"reason\":\"InternalError\"}",
    )
    .await;
    let Some(Said::Stopped(refusal)) = shown.next().await else { panic!("it was stopped") };
    assert_eq!(refusal.to_string(), "container is gone [InternalError]");
    assert_eq!(shown.next().await, None);

    let (mut keys, mut shown, server) = shell().await;
    drop(server);
    assert_eq!(shown.next().await, None, "a stream that broke off says nothing");
    assert!(matches!(keys.press(Bytes::from_static(b"x")).await, Err(ShellError::Lost)));
}

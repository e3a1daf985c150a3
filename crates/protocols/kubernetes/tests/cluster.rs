//! The legs against a real cluster, and real clients against the legs: the node that runs while tests run (`cargo xtask test` starts one),
//! with its pod `shell` in the namespace `default`. `HOOP_TEST_KUBERNETES` is its folder.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use hoop_kubernetes::streams::{
    Agreed, Asked, BadAnswer, Driver, FromClient, FromCluster, FromPod, Offer, Over, StreamError, ToClient,
    ToCluster, ToPod, Upgrade, Wanted, client_exec, client_forwards, cluster_exec, cluster_forwards,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const EXEC: &str = "/api/v1/namespaces/default/pods/shell/exec?container=main&";

/// The folder of the node that runs.
fn node() -> PathBuf {
    PathBuf::from(std::env::var_os("HOOP_TEST_KUBERNETES").unwrap())
}

/// Of its API server.
fn address() -> String {
    let config = std::fs::read_to_string(node().join("admin.kubeconfig")).unwrap();
    config.split("https://").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

async fn connect() -> TlsStream<TcpStream> {
    let pki = node().join("pki");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.join("ca.crt")).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(pki.join("admin.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pki.join("admin.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    let stream = TcpStream::connect(address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Status or path, headers, and no byte of what follows.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> (String, HeaderMap) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.trim_end().split("\r\n");
    let first = lines.next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers
            .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    (first, headers)
}

fn lines(headers: &HeaderMap) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect()
}

async fn upgraded(
    over: Over,
    wanted: Wanted,
    path: &str,
) -> Result<(TlsStream<TcpStream>, Agreed), (BadAnswer, String)> {
    let mut stream = connect().await;
    let offer = Offer::new(over, wanted);
    let method = if over == Over::Spdy { "POST" } else { "GET" };
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{}\r\n", lines(&offer.headers()));
    stream.write_all(request.as_bytes()).await.unwrap();
    let (first, headers) = head(&mut stream).await;
    let status: StatusCode = first.split(' ').nth(1).unwrap().parse().unwrap();
    match offer.check(status, &headers) {
        Ok(agreed) => Ok((stream, agreed)),
        Err(error) => {
            let mut body = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut body)).await;
            Err((error, format!("{first}\n{headers:#?}\n{}", String::from_utf8_lossy(&body))))
        }
    }
}

async fn exec(query: &str, asked: Asked) -> (FromCluster, ToCluster) {
    let path = format!("{EXEC}{query}&{}", flags(asked));
    let (stream, agreed) = upgraded(Over::Spdy, Wanted::Exec, &path).await.unwrap();
    let (leg, driver) = cluster_exec(stream, &agreed, asked);
    tokio::spawn(driver);
    leg.ready().await.unwrap()
}

fn flags(asked: Asked) -> String {
    let Asked { stdin, stdout, stderr, tty } = asked;
    format!("stdin={stdin}&stdout={stdout}&stderr={stderr}&tty={tty}")
}

#[derive(Debug, Default)]
struct Heard {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: String,
}

async fn hear(mut from: FromCluster) -> Heard {
    let mut heard = Heard::default();
    while let Some(piece) = from.next().await.unwrap() {
        match piece {
            FromPod::Stdout(data) => heard.stdout.extend_from_slice(&data),
            FromPod::Stderr(data) => heard.stderr.extend_from_slice(&data),
            FromPod::Status(status) => heard.status = String::from_utf8(status.to_vec()).unwrap(),
        }
    }
    heard
}

const ALL: Asked = Asked { stdin: true, stdout: true, stderr: true, tty: false };

#[tokio::test]
async fn input_can_be_ended_and_comes_back_whole() {
    let (from, mut to) = exec("command=cat", ALL).await;
    let input = Bytes::from((0..3_000_000_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>());
    let says = async {
        for piece in input.chunks(100_000) {
            to.send(ToPod::Stdin(Bytes::copy_from_slice(piece))).await.unwrap();
        }
        to.send(ToPod::StdinEnd).await.unwrap();
    };
    let (heard, ()) = tokio::join!(hear(from), says);
    assert!(heard.stdout == input, "{} bytes", heard.stdout.len());
    assert!(heard.status.contains(r#""status":"Success""#), "{heard:?}");
}

#[tokio::test]
async fn a_command_that_fails_says_how() {
    let command = "command=sh&command=-c&command=echo%20out%3B%20echo%20err%20%3E%262%3B%20exit%203";
    let (from, _to) = exec(command, Asked { stdin: false, ..ALL }).await;
    let heard = hear(from).await;
    assert_eq!((&heard.stdout[..], &heard.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert!(
        heard.status.contains("NonZeroExitCode") && heard.status.contains(r#""message":"3""#),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_terminal_has_the_size_that_was_said() {
    let (from, mut to) = exec("command=sh", Asked { tty: true, ..ALL }).await;
    to.send(ToPod::Resize { columns: 91, rows: 33 }).await.unwrap();
    // Its answer comes when it has been resized; there is no other sign of it.
    to.send(ToPod::Stdin(Bytes::from_static(b"until stty size | grep '33 91'; do :; done; exit 4\n")))
        .await
        .unwrap();
    let heard = hear(from).await;
    assert!(String::from_utf8_lossy(&heard.stdout).contains("\n33 91"), "{heard:?}");
    assert!(heard.status.contains(r#""message":"4""#), "{heard:?}");
}

#[tokio::test]
async fn how_a_cluster_answers_an_offer_of_version_5() {
    let path = format!("{EXEC}command=true&{}", flags(ALL));
    match upgraded(Over::WebSocket, Wanted::Exec, &path).await {
        Ok((stream, agreed)) => {
            let (leg, driver) = cluster_exec(stream, &agreed, ALL);
            tokio::spawn(driver);
            let (from, _to) = leg.ready().await.unwrap();
            assert!(hear(from).await.status.contains("Success"));
        }
        Err((error, answer)) => println!("{error}\n{answer}"),
    }
}

#[tokio::test]
async fn how_a_cluster_answers_an_offer_of_a_tunnel() {
    let path = "/api/v1/namespaces/default/pods/shell/portforward?ports=18099";
    if let Err((error, answer)) = upgraded(Over::WebSocket, Wanted::PortForward, path).await {
        println!("{error}\n{answer}");
    }
}

#[tokio::test]
async fn a_command_that_reads_no_more_is_heard_to_its_end() {
    // Not more than fits into pipes: kubelets wait for the rest to be read.
    let (from, mut to) = exec("command=head&command=-c&command=1", ALL).await;
    for _ in 0..10 {
        to.send(ToPod::Stdin(Bytes::from_static(b"xyz"))).await.unwrap();
    }
    let heard = hear(from).await;
    assert_eq!(heard.stdout, b"x");
    assert!(heard.status.contains(r#""status":"Success""#), "{heard:?}");
}

/// Port 18099 of the pod answers with files of this folder, until what is returned is dropped.
async fn serve_files(folder: &str) -> (FromCluster, ToCluster) {
    let script = format!(
        "httpd -f -p 127.0.0.1:18099 -h {folder} & until nc 127.0.0.1 18099 </dev/null; do :; done; echo up; cat; kill $!"
    );
    let script: String = script.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (mut from, to) = exec(&format!("command=sh&command=-c&command={script}"), ALL).await;
    loop {
        if let Some(FromPod::Stdout(data)) = from.next().await.unwrap()
            && data.ends_with(b"up\n")
        {
            return (from, to);
        }
    }
}

#[tokio::test]
async fn a_port_answers_and_one_that_is_closed_says_so() {
    let _held = serve_files("/etc").await;
    let path = "/api/v1/namespaces/default/pods/shell/portforward";
    let (stream, agreed) = upgraded(Over::Spdy, Wanted::PortForward, path).await.unwrap();
    let (mut leg, driver) = cluster_forwards(stream, &agreed);
    tokio::spawn(driver);
    for _ in 0..3 {
        let mut forward = leg.open(18099).await.unwrap();
        forward.to.send(Bytes::from_static(b"GET /passwd HTTP/1.0\r\n\r\n")).await.unwrap();
        forward.to.end().await.unwrap();
        let mut answer = BytesMut::new();
        while let Some(data) = forward.from.next().await.unwrap() {
            answer.extend_from_slice(&data);
        }
        assert!(answer.ends_with(b"root:x:0:0:root:/root:/bin/sh\n"), "{answer:?}");
        assert_eq!(forward.from.failure().await, Ok(None));
    }
    let mut closed = leg.open(18098).await.unwrap();
    assert_eq!(closed.from.next().await, Ok(None));
    let words = closed.from.failure().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&words).contains("refused"), "{words:?}");
}

// --- clients

async fn relay(
    (mut from_client, mut to_client): (FromClient, ToClient),
    (mut from_pod, mut to_pod): (FromCluster, ToCluster),
) -> Result<(), StreamError> {
    let up = async {
        while let Some(piece) = from_client.next().await? {
            to_pod.send(piece).await?;
        }
        Err::<(), _>(StreamError::Closed)
    };
    let down = async {
        while let Some(piece) = from_pod.next().await? {
            to_client.send(piece).await?;
        }
        to_client.finish().await
    };
    tokio::select! {
        up = up => up,
        down = down => down,
    }
}

fn asked(path: &str) -> Asked {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    Asked::of(query.split('&').filter_map(|pair| pair.split_once('=')))
}

async fn both(client: impl Future<Output = ()>, drivers: [Driver; 2]) {
    let [a, b] = drivers;
    let _ = tokio::join!(client, a, b);
}

/// What an engine does with one connection of a client, without deciding anything.
async fn serve(mut client: TcpStream, over: Over) {
    let (first, mut headers) = head(&mut client).await;
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let wanted = if path.contains("/portforward") { Wanted::PortForward } else { Wanted::Exec };
    let Some(upgrade) = Upgrade::of(&headers, wanted).unwrap() else {
        let mut cluster = connect().await;
        headers.insert("connection", HeaderValue::from_static("close"));
        cluster.write_all(format!("{first}\r\n{}\r\n", lines(&headers)).as_bytes()).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut cluster).await;
        return;
    };
    let (cluster, agreed) = upgraded(Over::Spdy, wanted, &path).await.unwrap();
    assert_eq!(upgrade.name(), if over == Over::Spdy { "SPDY/3.1" } else { "websocket" });
    let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n", lines(&upgrade.answer()));
    client.write_all(answer.as_bytes()).await.unwrap();
    if wanted == Wanted::Exec {
        let asked = asked(&path);
        let (client, a) = client_exec(client, &upgrade, asked);
        let (cluster, b) = cluster_exec(cluster, &agreed, asked);
        let run = async {
            let (client, cluster) = tokio::join!(client.ready(), cluster.ready());
            // A client that closes first has heard all.
            let _ = relay(client.unwrap(), cluster.unwrap()).await;
        };
        both(run, [a, b]).await;
    } else {
        let (mut client, a) = client_forwards(client, &upgrade, &[18099]);
        let (mut cluster, b) = cluster_forwards(cluster, &agreed);
        let run = async {
            let mut tasks = tokio::task::JoinSet::new();
            while let Some(mut near) = client.accept().await.unwrap() {
                let mut far = cluster.open(near.port).await.unwrap();
                tasks.spawn(async move {
                    let up = async {
                        while let Ok(Some(data)) = near.from.next().await {
                            far.to.send(data).await.unwrap();
                        }
                        let _ = far.to.end().await;
                    };
                    let down = async {
                        while let Ok(Some(data)) = far.from.next().await {
                            near.to.send(data).await.unwrap();
                        }
                        let failure = far.from.failure().await.unwrap();
                        let _ = near.to.close(failure).await;
                    };
                    tokio::join!(up, down);
                });
            }
        };
        both(run, [a, b]).await;
    }
}

/// Where a client finds one that is to speak so.
async fn proxy(over: Over) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, over));
        }
    });
    format!("http://{address}")
}

async fn run(command: &mut Command, input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let says = tokio::spawn(async move {
        let _ = stdin.write_all(&input).await;
    });
    let output =
        tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await.unwrap().unwrap();
    says.await.unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn kubectl(over: Over, server: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    let is_web_socket = (over == Over::WebSocket).to_string();
    command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", &is_web_socket);
    command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", &is_web_socket);
    command.env("KUBECONFIG", "/dev/null").args(["--server", server]).args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_runs_commands() {
    for over in [Over::WebSocket, Over::Spdy] {
        runs_commands(over).await;
    }
}

async fn runs_commands(over: Over) {
    let server = proxy(over).await;
    let input: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (code, stdout, stderr) =
        run(&mut kubectl(over, &server, &["exec", "-i", "shell", "--", "cat"]), &input).await;
    assert!((code, stdout == input) == (Some(0), true), "{code:?} {stderr}");
    for _ in 0..20 {
        let command = ["exec", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 7"];
        let (code, stdout, stderr) = run(&mut kubectl(over, &server, &command), b"").await;
        assert_eq!((code, &stdout[..]), (Some(7), &b"out\n"[..]), "{stderr}");
        assert!(stderr.starts_with("err\n"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_forwards_ports() {
    for over in [Over::WebSocket, Over::Spdy] {
        forwards_ports(over).await;
    }
}

async fn forwards_ports(over: Over) {
    let _held = serve_files("/bin").await;
    let server = proxy(over).await;
    let mut command = kubectl(over, &server, &["port-forward", "pod/shell", ":18099"]);
    let mut forward = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = tokio::io::BufReader::new(forward.stdout.take().unwrap());
    tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut line).await.unwrap();
    let port: String =
        line.chars().skip_while(|char| *char != ':').skip(1).take_while(char::is_ascii_digit).collect();
    let mut gets = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = format!("http://127.0.0.1:{port}/busybox");
        gets.spawn(async move { run(Command::new("curl").args(["-sS", "--noproxy", "*", &url]), b"").await });
    }
    let mut lengths = std::collections::BTreeSet::new();
    while let Some(got) = gets.join_next().await {
        let (code, body, stderr) = got.unwrap();
        assert_eq!(code, Some(0), "{stderr}");
        lengths.insert(body.len());
    }
    assert!(lengths.len() == 1 && *lengths.first().unwrap() > 500_000, "{lengths:?}");
}

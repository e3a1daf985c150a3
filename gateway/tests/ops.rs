//! Metrics and health: what they say when something is wrong, and that nobody can block them.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{sync::Arc, time::Duration};

use common::World;
use hoop_testkit::Postgres;
use reqwest::StatusCode;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

async fn world(change: impl FnOnce(&mut hoop_gateway::config::Config)) -> World {
    World::with(|config| {
        config.ops_listen = Some("127.0.0.1:0".parse().unwrap());
        change(config);
    })
    .await
}

async fn get(world: &World, path: &str) -> (StatusCode, String) {
    let url = format!("http://{}{path}", world.running.ops_addr.unwrap());
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let response = client.get(url).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

async fn tls(world: &World) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(world.running.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(world.running.addr).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap()
}

#[tokio::test]
async fn whoever_holds_connections_open_is_pushed_out_by_who_asks() {
    let world = world(|config| config.limits.handshake_timeout = Duration::from_secs(600)).await;
    let address = world.running.ops_addr.unwrap();
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"G").await.unwrap();
        held.push(stream);
    }
    let (status, metrics) = get(&world, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let line = "hoop_connections_refused_total{reason=\"pushed_out_ops\"} ";
    let pushed_out = metrics.lines().find_map(|it| it.strip_prefix(line)?.parse::<f64>().ok());
    assert!(pushed_out.is_some_and(|count| count >= 100.0), "{metrics}");
    // The first of them has heard of it.
    timeout(Duration::from_secs(10), held[0].read(&mut [0; 64])).await.unwrap().ok();
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let world = world(|config| config.limits.handshake_timeout = Duration::from_millis(300)).await;
    let mut slow = TcpStream::connect(world.running.ops_addr.unwrap()).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    timeout(Duration::from_secs(10), slow.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    assert_eq!(get(&world, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
}

#[tokio::test]
async fn ready_is_who_has_its_store() {
    let mut postgres = Postgres::start(&Default::default());
    let world = world(|config| config.store_url = postgres.create_database("hoop").into()).await;
    assert_eq!(get(&world, "/readyz").await.0, StatusCode::OK);
    postgres.kill();
    assert_eq!(get(&world, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        get(&world, "/healthz").await.0,
        StatusCode::OK,
        "it lives, and starting it anew would help nobody"
    );
    postgres.start_again();
    let ready = async { while get(&world, "/readyz").await.0 != StatusCode::OK {} };
    timeout(Duration::from_secs(30), ready).await.unwrap();
}

/// Whoever balances load looks elsewhere, while those who are here are answered.
#[tokio::test]
async fn a_gateway_that_stops_says_that_it_is_not_ready() {
    let world = world(|_| ()).await;
    let ops = world.running.ops_addr.unwrap();
    // Somebody's request that does not end, and is being read: it has some seconds.
    let mut request = tls(&world).await;
    let head = "POST /api/v1/login/password HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 9\r\nexpect: 100-continue\r\n\r\n";
    request.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 12];
    request.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100");
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let ready = || async { client.get(format!("http://{ops}/readyz")).send().await.unwrap().status() };
    assert_eq!(ready().await, StatusCode::OK);
    let stopped = tokio::spawn(world.running.shutdown());
    let seen = async { while ready().await != StatusCode::SERVICE_UNAVAILABLE {} };
    timeout(Duration::from_secs(4), seen).await.unwrap();
    assert!(!stopped.is_finished());
    drop(request);
    timeout(Duration::from_secs(20), stopped).await.unwrap().unwrap();
}

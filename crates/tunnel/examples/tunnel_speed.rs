//! What the tunnel costs: CPU of connector, gateway and agent for a 100-byte round trip, bulk speed, memory when idle.
//!
//! `cargo run --release -p hoop-tunnel --example tunnel_speed`. Each part runs on a thread of its own with a one-thread
//! runtime; CPU is the scheduler's account of that thread. `raw` is the same TLS and relay without the stream.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::as_conversions, reason = "a measurement")]
#![expect(clippy::cast_precision_loss, reason = "a measurement")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use hoop_model::AgentId;
use hoop_tunnel::{
    core::Limits,
    inner::{InnerAcceptor, PeerIdentity, agent_config, claim_record},
    lanes::Way,
    stream::{Attached, Connector, Dial as _, SessionStreams, Sharing},
    ticket::{Claim, ClaimSecret, Ticket},
};
use support::{Ca, HOST, Session, TestDial};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::JoinSet,
};

const MESSAGE: usize = 100;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// CPU nanoseconds of the thread with this /proc path.
fn cpu(path: &str) -> u64 {
    std::fs::read_to_string(path).unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn own_path() -> String {
    let link = std::fs::read_link("/proc/thread-self").unwrap();
    format!("/proc/{}/schedstat", link.display())
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count) = stream.read(&mut buffer).await else { return };
        if count == 0 {
            let _ = stream.shutdown().await;
            return;
        }
        // Bulk goes one way: a message that begins with 1 is swallowed.
        if buffer[0] != 1 && stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn agent_loop(ca: Ca, id: AgentId, gateway: std::net::SocketAddr, raw: bool) {
    let acceptor = InnerAcceptor::new(
        agent_config(ca.roots(), ca.issue(PeerIdentity::Agent(id))).unwrap(),
        Duration::from_secs(5),
    );
    let claims = ClaimSecret::generate().unwrap();
    let streams = SessionStreams::new(Limits::default(), 100_000);
    let mut tasks = JoinSet::new();
    for counter in 0.. {
        let Ok(mut tcp) = TcpStream::connect(gateway).await else { return };
        tcp.set_nodelay(true).unwrap();
        tcp.write_all(&claim_record(HOST, &Claim::derive(&claims, id, 1, counter)).unwrap()).await.unwrap();
        let Ok(offer) = acceptor.wait(tcp).await else { return };
        let streams = streams.clone();
        tasks.spawn(async move {
            let carrier = offer.accept().await.unwrap();
            if raw {
                return serve(carrier).await;
            }
            if let Ok(Attached::New(stream)) = streams.attach(Way::Alone(carrier)).await {
                serve(stream).await;
            }
        });
    }
}

struct Bench {
    session: Session,
    gateway: std::net::SocketAddr,
    threads: [String; 3],
}

impl Bench {
    fn start(raw: bool) -> Self {
        let ca = Ca::new();
        let id = AgentId::generate();
        let session = Session::new(&ca, id);
        let (tx, rx) = mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let mut gateway = support::gateway(None).await;
                tx.send((gateway.address, own_path())).unwrap();
                gateway.tasks.join_next().await;
            });
        });
        let (gateway, gateway_path) = rx.recv().unwrap();
        let (tx, rx) = mpsc::channel();
        std::thread::spawn(move || {
            tx.send(own_path()).unwrap();
            runtime().block_on(agent_loop(ca, id, gateway, raw));
        });
        Self { session, gateway, threads: [own_path(), gateway_path, rx.recv().unwrap()] }
    }

    fn cpu(&self) -> [u64; 3] {
        [cpu(&self.threads[0]), cpu(&self.threads[1]), cpu(&self.threads[2])]
    }

    fn report(&self, what: &str, before: [u64; 3], rounds: f64, started: Instant) {
        let wall = started.elapsed().as_secs_f64();
        let after = self.cpu();
        let each: Vec<f64> = (0..3).map(|i| (after[i] - before[i]) as f64 / rounds / 1000.0).collect();
        println!(
            "{what:<28} connector {:6.2}  gateway {:6.2}  agent {:6.2} us CPU a round; {:7.2} us a round",
            each[0],
            each[1],
            each[2],
            wall * 1e6 / rounds
        );
    }
}

async fn rounds<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, count: usize) {
    let mut buffer = vec![0; 8 * 1024];
    for _ in 0..count {
        stream.write_all(&[0; MESSAGE]).await.unwrap();
        let mut seen = 0;
        while seen < MESSAGE {
            seen += stream.read(&mut buffer).await.unwrap();
        }
    }
}

async fn bulk<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: usize) {
    let block = vec![1; 64 * 1024];
    for _ in 0..bytes / block.len() {
        stream.write_all(&block).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    while stream.read(&mut [0; 64]).await.unwrap_or(0) > 0 {}
}

fn measure<S, F>(bench: &Bench, name: &str, open: impl Fn() -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = S>,
{
    let runtime = runtime();
    for clients in [1usize, 16] {
        runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..clients {
                let mut stream = open().await;
                rounds(&mut stream, 200).await;
                streams.push(stream);
            }
            let (before, started) = (bench.cpu(), Instant::now());
            let each = 60_000 / clients;
            let mut tasks = JoinSet::new();
            for mut stream in streams {
                tasks.spawn(async move {
                    rounds(&mut stream, each).await;
                    stream
                });
            }
            let _kept: Vec<S> = tasks.join_all().await;
            let what = format!("{name}, 100 B, {clients} streams");
            bench.report(&what, before, (each * clients) as f64, started);
        });
    }
    runtime.block_on(async {
        let mut stream = open().await;
        rounds(&mut stream, 10).await;
        let bytes = 2 << 30;
        let (before, started) = (bench.cpu(), Instant::now());
        bulk(&mut stream, bytes).await;
        let wall = started.elapsed().as_secs_f64();
        let after = bench.cpu();
        let each: Vec<f64> =
            (0..3).map(|i| (after[i] - before[i]) as f64 / 1e9 / (bytes as f64 / 1e9)).collect();
        println!(
            "{name}, bulk: {:.2} GB/s; CPU s a GB: connector {:.2}, gateway {:.2}, agent {:.2}",
            bytes as f64 / 1e9 / wall,
            each[0],
            each[1],
            each[2]
        );
    });
}

fn main() {
    if !std::env::args().any(|argument| argument == "open") {
        measure_raw();
    }
    let bench = Bench::start(false);
    let (session, limits) = (&bench.session, Limits::default());
    let connector = support::connector_that(Sharing::Never, bench.gateway, session, limits);
    if !std::env::args().any(|argument| argument == "open") {
        measure(&bench, "stream", || async { connector.open().await.unwrap() });
    }
    measure_open(&bench, &connector);
}

fn measure_raw() {
    let bench = Bench::start(true);
    let dial = TestDial { gateway: bench.gateway, tls: bench.session.tls.clone() };
    let counter = std::sync::atomic::AtomicU32::new(0);
    measure(&bench, "raw", || async {
        let counter = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        dial.dial(Ticket::derive(&bench.session.secret, bench.session.id, counter)).await.unwrap()
    });
}

fn measure_open(bench: &Bench, connector: &Connector<TestDial>) {
    runtime().block_on(async {
        let (before, started) = (bench.cpu(), Instant::now());
        let mut kept = Vec::new();
        let resident_before = resident();
        for _ in 0..1000 {
            let mut stream = connector.open().await.unwrap();
            rounds(&mut stream, 2).await;
            kept.push(stream);
        }
        bench.report("open (resumed) + 2 rounds", before, 1000.0, started);
        let each = (resident() - resident_before) / kept.len();
        println!(
            "idle: {each} bytes resident a stream, the three parts together with both TLS ends and the relay"
        );
        println!("idle: {} bytes held by a stream beside its carrier", kept[0].held());
    });
}

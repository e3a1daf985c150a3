//! What the plain design costs with nothing in it: three processes that copy bytes, TLS 1.3 between the outer two.
//!
//! No tunnel, no policy, no recording: the floor that `cargo xtask bench postgres` is to be read against on a machine.
//!
//! ```text
//! bare_loops agent     LISTEN TARGET  CERTIFICATE   writes its certificate to the file CERTIFICATE
//! bare_loops gateway   LISTEN AGENT
//! bare_loops connector LISTEN GATEWAY CERTIFICATE
//! pgbench -h 127.0.0.1 -p LISTEN …
//! ```
//!
//! All on 127.0.0.1, each on one thread; they run until they are ended.

#![expect(clippy::print_stderr, reason = "a program for a person at a terminal")]

use std::{error::Error, future::Future, net::Ipv4Addr, sync::Arc};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Failure = Box<dyn Error + Send + Sync>;

const BUFFER: usize = 128 * 1024;
const NAME: &str = "agent.example";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port =
        |at: usize| arguments.get(at).ok_or("a port is missing")?.parse::<u16>().map_err(Failure::from);
    let file = || arguments.get(3).ok_or("the certificate's file is missing");
    let (listen, next) = (port(1)?, port(2)?);
    match arguments.first().map(String::as_str) {
        Some("gateway") => serve(listen, move |client| relay(client, next)).await,
        Some("agent") => {
            let acceptor = acceptor(file()?)?;
            serve(listen, move |client| open(acceptor.clone(), client, next)).await
        }
        Some("connector") => {
            let connector = connector(file()?)?;
            serve(listen, move |client| seal(connector.clone(), client, next)).await
        }
        _ => Err("the first word is agent, gateway or connector".into()),
    }
}

async fn serve<F, R>(port: u16, handle: F) -> Result<(), Failure>
where
    F: Fn(TcpStream) -> R,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let handling = handle(client);
        tokio::spawn(async move {
            if let Err(error) = handling.await {
                eprintln!("{error}");
            }
        });
    }
}

async fn dial(port: u16) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn copy<A, B>(mut a: A, mut b: B) -> Result<(), Failure>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    copy_bidirectional_with_sizes(&mut a, &mut b, BUFFER, BUFFER).await?;
    Ok(())
}

async fn relay(client: TcpStream, next: u16) -> Result<(), Failure> {
    copy(client, dial(next).await?).await
}

async fn open(acceptor: TlsAcceptor, client: TcpStream, next: u16) -> Result<(), Failure> {
    copy(acceptor.accept(client).await?, dial(next).await?).await
}

async fn seal(connector: TlsConnector, client: TcpStream, next: u16) -> Result<(), Failure> {
    let name = ServerName::try_from(NAME)?;
    copy(client, connector.connect(name, dial(next).await?).await?).await
}

fn acceptor(file: &str) -> Result<TlsAcceptor, Failure> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    std::fs::write(file, made.cert.der())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn connector(file: &str) -> Result<TlsConnector, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(std::fs::read(file)?))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

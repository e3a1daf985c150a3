//! A way to the target that is plain at first, and TLS from when it is told so. The near end stays plain.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use hoop_engine::TargetTls;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    sync::oneshot,
};
use tokio_rustls::TlsConnector;

/// The far end, to be told.
pub(crate) struct Bridge {
    start: std::cell::Cell<Option<oneshot::Sender<PathBuf>>>,
    started: mpsc::Receiver<TargetTls>,
}

impl Bridge {
    /// Shakes hands with the target; what came of it.
    pub(crate) fn start_tls(&self, authority: &Path) -> TargetTls {
        self.start.take().expect("once").send(authority.to_owned()).unwrap();
        self.started.recv().expect("the handshake is done")
    }
}

/// The near end of a way to the server at `port`.
pub(crate) fn to(port: u16) -> (TcpStream, Bridge) {
    let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (inner, _) = listener.accept().unwrap();
    let (start, told) = oneshot::channel();
    let (tell, started) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let own = |stream: TcpStream| {
                stream.set_nonblocking(true).unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::net::TcpStream::from_std(stream).unwrap()
            };
            // A side that breaks ends both.
            let _ = carry(own(inner), own(far), told, &tell).await;
        });
    });
    (near, Bridge { start: std::cell::Cell::new(Some(start)), started })
}

async fn carry(
    mut near: tokio::net::TcpStream,
    mut far: tokio::net::TcpStream,
    told: oneshot::Receiver<PathBuf>,
    tell: &mpsc::Sender<TargetTls>,
) -> std::io::Result<()> {
    let Some(authority) = plain(&mut near, &mut far, told).await? else { return Ok(()) };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(authority).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut far = TlsConnector::from(Arc::new(config)).connect(name, far).await?;
    let (_, session) = far.get_ref();
    let certificate = session.peer_certificates().unwrap()[0].to_vec();
    let (version, cipher) = ("TLSv1.3".to_owned(), "any".to_owned());
    tell.send(TargetTls { version, cipher, certificate }).unwrap();
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

/// Until told to start TLS; `None`: it ended before.
async fn plain(
    near: &mut tokio::net::TcpStream,
    far: &mut tokio::net::TcpStream,
    mut told: oneshot::Receiver<PathBuf>,
) -> std::io::Result<Option<PathBuf>> {
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            biased;
            Ok(authority) = &mut told, if !told.is_terminated() => return Ok(Some(authority)),
            read = near.read(&mut up) => match read? {
                0 => { far.shutdown().await?; return finish(far, near).await },
                count => far.write_all(&up[..count]).await?,
            },
            read = far.read(&mut down) => match read? {
                0 => { near.shutdown().await?; return finish(near, far).await },
                count => near.write_all(&down[..count]).await?,
            },
        }
    }
}

/// One way has ended: the other goes on to its end.
async fn finish(
    from: &mut tokio::net::TcpStream,
    into: &mut tokio::net::TcpStream,
) -> std::io::Result<Option<PathBuf>> {
    tokio::io::copy(from, into).await?;
    into.shutdown().await?;
    Ok(None)
}

//! Listens on 127.0.0.1 and on a Unix socket, and hands out only the connections of the person who runs this.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

use super::{peer, tls::LocalTls};
use crate::error::{ClientError, Result};

/// Whether a connection of another user of this machine may be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherUsers {
    /// Never, and neither may one whose owner cannot be determined.
    Refuse,
    /// The person asked for it.
    Allow,
}

impl OtherUsers {
    /// For a port that demands a certificate: where owners of connections cannot be determined, that is enough.
    #[must_use]
    pub const fn behind_certificates(allowed: bool) -> Self {
        if allowed || !cfg!(target_os = "linux") { Self::Allow } else { Self::Refuse }
    }
}

/// A listening loopback port.
#[derive(Debug)]
pub struct LocalListener {
    listener: TcpListener,
    address: SocketAddr,
    other_users: OtherUsers,
}

/// A listening Unix socket in a folder of its own, removed with it.
#[derive(Debug)]
pub struct LocalSocket {
    #[cfg(unix)]
    listener: UnixListener,
    folder: PathBuf,
    name: String,
}

/// A connection that was let in.
#[derive(Debug)]
pub enum LocalStream {
    /// Through the port.
    Tcp(TcpStream),
    /// Through the socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// What came of waiting for a connection.
#[derive(Debug)]
pub enum Accepted {
    /// One of ours.
    Stream(LocalStream),
    /// One that was turned away, and why.
    TurnedAway(ClientError),
}

impl LocalListener {
    /// Listens on the port that the person named.
    ///
    /// # Errors
    /// When it is taken, or may not be used.
    pub async fn on(port: u16, other_users: OtherUsers) -> Result<Self> {
        if other_users == OtherUsers::Refuse {
            guard_works()?;
        }
        Self::bind(port, other_users).await.map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::AddrInUse {
                "another program has it; leave --port away to take a free one"
            } else {
                "choose another with --port"
            };
            ClientError::own("HOOP-1011", format!("port {port} cannot be opened: {error}")).hint(hint)
        })
    }

    /// Listens on the preferred port, or on a free one if that is taken.
    ///
    /// # Errors
    /// When there is none.
    pub async fn near(preferred: u16, other_users: OtherUsers) -> Result<Self> {
        match Self::on(preferred, other_users).await {
            Err(_) if preferred != 0 => Self::on(0, other_users).await,
            listening => listening,
        }
    }

    async fn bind(port: u16, other_users: OtherUsers) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, other_users })
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// When the port itself fails.
    pub async fn accept(&self) -> Result<Accepted> {
        let (stream, peer) = accept_patiently(|| self.listener.accept()).await?;
        if self.other_users == OtherUsers::Refuse
            && let Err(why) = Self::guard(&stream, peer)
        {
            return Ok(Accepted::TurnedAway(turned_away(&why.to_string())));
        }
        let _ = stream.set_nodelay(true);
        Ok(Accepted::Stream(LocalStream::Tcp(stream)))
    }
}

impl LocalListener {
    fn guard(stream: &TcpStream, peer: SocketAddr) -> Result<(), peer::NotOurs> {
        let local = stream.local_addr().map_err(|_| peer::NotOurs::Unknown)?;
        peer::check(peer, local)
    }
}

/// Checks early, once, that the guard works here: better to say so than to turn everybody away.
///
/// # Errors
/// Where owners of connections cannot be determined.
fn guard_works() -> Result<()> {
    if cfg!(target_os = "linux") {
        return Ok(());
    }
    Err(ClientError::own("HOOP-1012", "on this system a local port cannot be kept from other local users")
        .hint("if you are the only user of this machine: --allow-local-users; else --socket or --stdio"))
}

#[cfg(unix)]
impl LocalSocket {
    /// Listens on `name` in a fresh folder that only its owner can enter.
    ///
    /// # Errors
    /// When the folder or socket cannot be made.
    pub fn create(name: &str) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let failed =
            |error: io::Error| ClientError::own("HOOP-1011", format!("no local socket can be made: {error}"));
        let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        let base = base.unwrap_or_else(std::env::temp_dir);
        let mut random = [0_u8; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| failed(io::Error::other("no randomness")))?;
        let folder = base.join(format!("hoop-{:016x}", u64::from_be_bytes(random)));
        // Not recursive: an existing folder, whosever it is, is an error.
        std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let listener = UnixListener::bind(folder.join(name)).map_err(|error| {
            let _ = std::fs::remove_dir(&folder);
            failed(error)
        })?;
        Ok(Self { listener, folder, name: name.to_owned() })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// When the socket itself fails.
    pub async fn accept(&self) -> Result<Accepted> {
        let (stream, _) = accept_patiently(|| self.listener.accept()).await?;
        let ours = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == ours => Ok(Accepted::Stream(LocalStream::Unix(stream))),
            Ok(peer) => Ok(Accepted::TurnedAway(turned_away(&peer::NotOurs::Other(peer.uid()).to_string()))),
            Err(_) => Ok(Accepted::TurnedAway(turned_away(&peer::NotOurs::Unknown.to_string()))),
        }
    }
}

#[cfg(not(unix))]
impl LocalSocket {
    /// There are none here.
    ///
    /// # Errors
    /// Always.
    pub fn create(_: &str) -> Result<Self> {
        Err(ClientError::usage("HOOP-1011", "Unix sockets are not available on this system"))
    }

    /// Never ends.
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self) -> Result<Accepted> {
        std::future::pending().await
    }
}

impl LocalSocket {
    /// The folder it stands in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.folder.join(&self.name));
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// Everything that one connection listens on.
#[derive(Debug, Default)]
pub struct Locals {
    /// The loopback port.
    pub port: Option<LocalListener>,
    /// The Unix socket.
    pub socket: Option<LocalSocket>,
    /// What the port speaks besides, where clients insist on TLS. The socket needs none.
    pub tls: Option<LocalTls>,
}

impl Locals {
    /// Whether only programs of one user get a connection at all.
    #[must_use]
    pub fn lets_in_one_user(&self) -> bool {
        self.port.as_ref().is_none_or(|port| port.other_users == OtherUsers::Refuse)
    }

    /// Waits for a connection on any.
    ///
    /// # Errors
    /// When a port or socket fails.
    pub async fn accept(&self) -> Result<Accepted> {
        tokio::select! {
            accepted = async { match &self.port { Some(port) => port.accept().await, None => std::future::pending().await } } => accepted,
            accepted = async { match &self.socket { Some(socket) => socket.accept().await, None => std::future::pending().await } } => accepted,
        }
    }
}

fn turned_away(why: &str) -> ClientError {
    ClientError::denied("HOOP-1012", format!("a local connection was refused: {why}"))
}

/// A client that is gone before it was accepted, or a moment without descriptors, must not end a session.
async fn accept_patiently<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut failures = 0;
    loop {
        match accept().await {
            Ok(accepted) => return Ok(accepted),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                failures += 1;
                if failures > 200 {
                    return Err(ClientError::own("HOOP-1011", format!("the local port failed: {error}")));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_replaced_unless_it_was_asked_for() {
        let taken = LocalListener::on(0, OtherUsers::Refuse).await.unwrap();
        let other = LocalListener::near(taken.port(), OtherUsers::Refuse).await.unwrap();
        assert_ne!(other.port(), taken.port());
        let error = LocalListener::on(taken.port(), OtherUsers::Refuse).await.unwrap_err();
        assert!(error.is("HOOP-1011") && error.to_string().contains("--port"), "{error}");
    }

    #[tokio::test]
    async fn our_own_connections_are_let_in() {
        let port = LocalListener::on(0, OtherUsers::Refuse).await.unwrap();
        let _client = TcpStream::connect(("127.0.0.1", port.port())).await.unwrap();
        assert!(matches!(port.accept().await.unwrap(), Accepted::Stream(LocalStream::Tcp(_))));
    }

    #[tokio::test]
    async fn one_that_was_let_go_of_is_turned_away() {
        let port = LocalListener::on(0, OtherUsers::Refuse).await.unwrap();
        drop(TcpStream::connect(("127.0.0.1", port.port())).await.unwrap());
        assert!(matches!(port.accept().await.unwrap(), Accepted::TurnedAway(error) if error.is("HOOP-1012")));
    }

    #[tokio::test]
    async fn the_socket_stands_in_a_private_folder_and_goes_with_it() {
        let socket = LocalSocket::create(".s.PGSQL.5432").unwrap();
        let folder = socket.folder().to_owned();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        let _client = UnixStream::connect(folder.join(".s.PGSQL.5432")).await.unwrap();
        let locals = Locals { port: None, socket: Some(socket), tls: None };
        assert!(matches!(locals.accept().await.unwrap(), Accepted::Stream(LocalStream::Unix(_))));
        drop(locals);
        assert!(!folder.exists());
    }
}

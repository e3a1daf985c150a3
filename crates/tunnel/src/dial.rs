//! Connects to the gateway, through the environment's HTTP proxy where there is one (RFC 9110 §9.3.6).
//!
//! Knows nothing of TLS or tickets: it gives a TCP connection to the gateway's host and port.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use data_encoding::BASE64;
use hoop_model::Redacted;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

/// Longest answer of a proxy that is read.
const ANSWER_LIMIT: usize = 8 * 1024;

/// Why the gateway could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The name is unknown, or nobody listens there.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port, the proxy's if there is one.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("cannot connect to {address} within {within:?}")]
    Timeout {
        /// Host and port, the proxy's if there is one.
        address: String,
        /// The limit.
        within: Duration,
    },
    /// The proxy's address in the environment is none.
    #[error("{variable} is no proxy address such as http://proxy.example:3128")]
    ProxyAddress {
        /// Which variable.
        variable: &'static str,
    },
    /// The proxy refuses.
    #[error("the proxy {address} refuses to connect to the gateway: status {status}")]
    ProxyRefused {
        /// The proxy.
        address: String,
        /// Its status; 407 wants a user and password.
        status: u16,
    },
    /// What answered is no HTTP proxy.
    #[error("{address} does not answer as an HTTP proxy")]
    ProxyAnswer {
        /// The proxy.
        address: String,
    },
}

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    credentials: Option<Redacted<String>>,
}

/// How to reach the gateway. Clones share what they learn of its address.
#[derive(Debug, Clone)]
pub struct Reach {
    host: String,
    port: u16,
    proxy: Option<Proxy>,
    within: Duration,
    known: Arc<Known>,
}

/// The address that took a connection last: names are not looked up for each stream.
#[derive(Debug, Default)]
struct Known(Mutex<Option<(SocketAddr, Instant)>>);

/// So long an address is used again. Names change, and a gateway moves.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// An address that does not answer by then may have moved: the name is looked up again.
const KNOWN_ANSWERS: Duration = Duration::from_secs(2);

impl Known {
    fn get(&self) -> Option<SocketAddr> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(_, since)| since.elapsed() < KNOWN_FOR).map(|(address, _)| address)
    }

    fn put(&self, address: Option<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            address.map(|address| (address, Instant::now()));
    }

    /// To host and port: by the address that is known, or by name.
    async fn open(&self, host: &str, port: u16) -> Result<TcpStream, ReachError> {
        if let Some(address) = self.get() {
            match tokio::time::timeout(KNOWN_ANSWERS, open(&address.ip().to_string(), address.port())).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(_)) | Err(_) => self.put(None),
            }
        }
        let stream = open(host, port).await?;
        self.put(stream.peer_addr().ok());
        Ok(stream)
    }
}

impl Reach {
    /// Directly.
    #[must_use]
    pub fn direct(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, proxy: None, within: Duration::from_secs(10), known: Arc::default() }
    }

    /// Through the proxy that `HTTPS_PROXY` or `https_proxy` names, unless `NO_PROXY` or `no_proxy` excepts the host.
    ///
    /// # Errors
    /// [`ReachError::ProxyAddress`].
    pub fn from_environment(host: impl Into<String>, port: u16) -> Result<Self, ReachError> {
        Self::from_variables(host, port, |name| std::env::var(name).ok())
    }

    fn from_variables(
        host: impl Into<String>,
        port: u16,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ReachError> {
        let mut reach = Self::direct(host, port);
        let exceptions = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default();
        if is_excepted(&reach.host, reach.port, &exceptions) {
            return Ok(reach);
        }
        for name in ["HTTPS_PROXY", "https_proxy"] {
            if let Some(text) = variable(name).filter(|text| !text.is_empty()) {
                reach.proxy = Some(Proxy::parse(&text).ok_or(ReachError::ProxyAddress { variable: name })?);
                break;
            }
        }
        Ok(reach)
    }

    /// With another limit for the whole of it. The default is 10 s.
    #[must_use]
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// The gateway's host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host and port, as an `https` request names them (RFC 9110 §7.2).
    pub(crate) fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// What answered was not what was looked for: the name is looked up again.
    pub fn forget_address(&self) {
        self.known.put(None);
    }

    /// Connects. Cancel safe: nothing is left behind.
    ///
    /// # Errors
    /// [`ReachError`].
    pub async fn connect(&self) -> Result<TcpStream, ReachError> {
        let connecting = async {
            match &self.proxy {
                None => self.known.open(&self.host, self.port).await,
                Some(proxy) => proxy.tunnel(&self.known, &self.host, self.port).await,
            }
        };
        let first = self.proxy.as_ref().map_or((&self.host, self.port), |proxy| (&proxy.host, proxy.port));
        match tokio::time::timeout(self.within, connecting).await {
            Ok(outcome) => outcome.inspect_err(|_| self.forget_address()),
            Err(_) => Err(ReachError::Timeout { address: authority(first.0, first.1), within: self.within }),
        }
    }
}

/// Notices within a minute that the other end of a quiet connection is gone, and keeps it in the memory of what forwards it: a
/// connection that an agent dialled ahead says nothing until somebody needs it.
///
/// # Errors
/// The system's.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let pace = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket2::SockRef::from(stream).set_tcp_keepalive(&pace)
}

async fn open(host: &str, port: u16) -> Result<TcpStream, ReachError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let connect_error = |source| ReachError::Connect { address: authority(host, port), source };
    let stream = TcpStream::connect((bare, port)).await.map_err(connect_error)?;
    stream.set_nodelay(true).map_err(connect_error)?;
    keep_alive(&stream).map_err(connect_error)?;
    Ok(stream)
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl Proxy {
    /// `http://[user:password@]host[:port][/]`; the scheme may be missing.
    fn parse(text: &str) -> Option<Self> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return None,
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let parsed: http::uri::Authority = address.parse().ok()?;
        if parsed.host().is_empty() {
            return None;
        }
        let credentials = match user {
            Some(user) => Some(Redacted::new(decode_percent(user)?)),
            None => None,
        };
        Some(Self { host: parsed.host().to_owned(), port: parsed.port_u16().unwrap_or(80), credentials })
    }

    async fn tunnel(&self, known: &Known, host: &str, port: u16) -> Result<TcpStream, ReachError> {
        let address = authority(&self.host, self.port);
        let connect_error = |source| ReachError::Connect { address: address.clone(), source };
        let mut stream = known.open(&self.host, self.port).await?;
        stream.write_all(self.request(host, port).expose().as_bytes()).await.map_err(connect_error)?;
        match read_status(&mut stream).await.map_err(connect_error)? {
            Some(status) if (200..300).contains(&status) => Ok(stream),
            Some(status) => Err(ReachError::ProxyRefused { address, status }),
            None => Err(ReachError::ProxyAnswer { address }),
        }
    }

    fn request(&self, host: &str, port: u16) -> Redacted<String> {
        let target = authority(host, port);
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&BASE64.encode(credentials.expose().as_bytes()));
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Redacted::new(request)
    }
}

/// Reads to the end of the answer's head and not a byte further: the next ones are the gateway's.
async fn read_status(stream: &mut TcpStream) -> io::Result<Option<u16>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= ANSWER_LIMIT {
            return Ok(None);
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(parse_status(&head))
}

fn parse_status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let status = rest.split(' ').next()?;
    (version.starts_with("HTTP/1.") && status.len() == 3).then(|| status.parse().ok()).flatten()
}

fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    let decoded = String::from_utf8(bytes).ok()?;
    (!decoded.chars().any(char::is_control)).then_some(decoded)
}

/// `NO_PROXY`: names with their sub-domains, addresses, networks are not; `*` is everything.
fn is_excepted(host: &str, port: u16, exceptions: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let (name, only) = match entry.rsplit_once(':') {
            Some((name, only)) if !name.contains(':') => (name.to_owned(), only.parse::<u16>().ok()),
            _ => (entry, None),
        };
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        if name.is_empty() || only.is_some_and(|only| only != port) {
            return false;
        }
        name == "*" || host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn from(variables: &[(&str, &str)]) -> Result<Reach, ReachError> {
        Reach::from_variables("gateway.example", 443, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_names_the_proxy() {
        assert_eq!(from(&[]).unwrap().proxy, None);
        let proxy = from(&[("HTTPS_PROXY", "http://ada:p%40ss@proxy.example:3128/")]).unwrap().proxy.unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        assert_eq!(proxy.credentials.as_ref().unwrap().expose(), "ada:p@ss");
        assert!(!format!("{proxy:?}").contains("p@ss"));
        assert_eq!(from(&[("https_proxy", "proxy.example")]).unwrap().proxy.unwrap().port, 80);
        assert_eq!(from(&[("https_proxy", "[::1]:8080")]).unwrap().proxy.unwrap().host, "[::1]");
    }

    #[test]
    fn a_wrong_proxy_address_is_named_and_not_shown() {
        for wrong in
            ["https://proxy:1", "socks5://x", "http://", "http://a b", "http://u:%zz@p", "http://u:%0d%0a@p"]
        {
            let error = from(&[("HTTPS_PROXY", wrong)]).unwrap_err();
            assert!(matches!(error, ReachError::ProxyAddress { variable: "HTTPS_PROXY" }), "{wrong}");
        }
    }

    #[test]
    fn exceptions() {
        for (list, expected) in [
            ("*", true),
            ("gateway.example", true),
            ("GATEWAY.example:443", true),
            ("gateway.example:8443", false),
            (".example", true),
            ("*.example", true),
            ("example", true),
            ("way.example", false),
            ("other, gateway.example", true),
            ("", false),
            (",", false),
        ] {
            let reach = from(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", list)]).unwrap();
            assert_eq!(reach.proxy.is_none(), expected, "{list}");
        }
    }

    /// A proxy that answers once with `answer`; gives the request it got.
    async fn proxied(answer: &'static [u8]) -> (Result<TcpStream, ReachError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(request).unwrap()
        };
        let reach = from(&[("HTTPS_PROXY", &format!("http://ada:secret@{address}"))]).unwrap();
        tokio::join!(reach.connect(), serving)
    }

    #[tokio::test]
    async fn an_address_is_used_again_until_it_fails() {
        let (gone, here) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let (old, new) = (gone.local_addr().unwrap(), here.local_addr().unwrap());
        drop(gone);
        let reach = Reach::direct("localhost", new.port());
        reach.known.put(Some(old));
        for _ in 0..2 {
            assert_eq!(reach.connect().await.unwrap().peer_addr().unwrap(), new);
            assert_eq!(reach.clone().known.get(), Some(new));
        }
        // The name is not asked while the address answers.
        let elsewhere = Reach { host: "no-such-host.invalid".to_owned(), ..reach };
        assert_eq!(elsewhere.connect().await.unwrap().peer_addr().unwrap(), new);
    }

    #[tokio::test]
    async fn a_proxy_is_asked_and_leaves_the_gateways_first_bytes() {
        let (stream, request) = proxied(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n\x16\x03").await;
        assert!(request.starts_with("CONNECT gateway.example:443 HTTP/1.1\r\nHost: gateway.example:443\r\n"));
        assert!(request.contains("Proxy-Authorization: Basic YWRhOnNlY3JldA==\r\n"));
        let mut first = [0; 2];
        stream.unwrap().read_exact(&mut first).await.unwrap();
        assert_eq!(first, [0x16, 3]);
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_or_is_none_is_told_apart() {
        let (stream, _) = proxied(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(matches!(stream, Err(ReachError::ProxyRefused { status: 407, .. })), "{stream:?}");
        let (stream, _) = proxied(b"SSH-2.0-x\r\n\r\n").await;
        assert!(matches!(stream, Err(ReachError::ProxyAnswer { .. })), "{stream:?}");
        let (stream, _) = proxied(b"").await;
        assert!(stream.is_err());
    }

    #[tokio::test]
    async fn nobody_listening_is_an_error_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = Reach::direct("127.0.0.1", port).connect().await.unwrap_err();
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }
}

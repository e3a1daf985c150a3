//! Where a forward leads: a port or a socket, as an admin registers it and as a client asks for it.

use std::{fmt, net::IpAddr};

/// Longest name of a host, bytes (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 253;
/// Longest path of a socket, bytes: what `sun_path` takes.
const LONGEST_PATH: usize = 107;
/// What stands for every address of the host, as OpenSSH has it.
const EVERYWHERE: &str = "*";

/// A port of a host, or a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The host as it was written, and its port.
    Port(String, u16),
    /// A path on the host.
    Socket(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Port(host, port) => write!(f, "{host}:{port}"),
            Self::Socket(path) => f.write_str(path),
        }
    }
}

impl Place {
    /// As a client asks for it. `None`: nothing that could be forwarded to or from.
    pub(crate) fn port(host: &str, port: u32) -> Option<Self> {
        let port = u16::try_from(port).ok()?;
        (host.is_empty() || is_host(host)).then(|| Self::Port(host.to_owned(), port))
    }

    /// The same of a socket.
    pub(crate) fn socket(path: &str) -> Option<Self> {
        is_socket(path).then(|| Self::Socket(path.to_owned()))
    }
}

/// What an admin registered. Names are compared as they are: whoever may forward to `localhost` may not to `127.0.0.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    place: Place,
    /// Whatever the port.
    any_port: bool,
}

impl Registered {
    /// `host:port`, `host:*`, `[address]:port`, `/path/of/a.sock`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            let place = Place::socket(text)
                .ok_or("a socket's path has at most 107 bytes, no `..` and no control characters");
            return Ok(Self { place: place?, any_port: false });
        }
        let form = "expected `host:port`, `host:*`, `[address]:port` or the path of a socket";
        let (host, port) = text.rsplit_once(':').ok_or(form)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err("an IPv6 address stands in brackets".to_owned());
        }
        let (host, any_port) = (bare.unwrap_or(host), port == "*");
        let port = if any_port { 1 } else { port.parse().map_err(|_| form)? };
        if port == 0 || !is_host(host) {
            return Err(form.to_owned());
        }
        Ok(Self { place: Place::Port(host.to_owned(), port), any_port })
    }

    /// Whether it is this. A port that the host is to choose (0) is only one of any.
    pub(crate) fn is(&self, asked: &Place) -> bool {
        match (&self.place, asked) {
            (Place::Port(host, port), Place::Port(asked, at)) => {
                (self.any_port || port == at) && plain(host) == plain(asked)
            }
            (Place::Socket(path), Place::Socket(asked)) => path == asked,
            _ => false,
        }
    }
}

/// One spelling of what means the same: case, the dot of the root, forms of an address, "" for all addresses.
fn plain(host: &str) -> String {
    if host.is_empty() {
        return EVERYWHERE.to_owned();
    }
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    }
}

fn is_host(host: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    host == EVERYWHERE
        || host.parse::<IpAddr>().is_ok()
        || (!host.is_empty() && host.len() <= LONGEST_HOST && host.chars().all(named))
}

fn is_socket(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && !path.chars().any(char::is_control)
        && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host: &str, port: u32) -> Place {
        Place::port(host, port).unwrap()
    }

    #[test]
    fn what_is_registered_is_found_however_it_is_spelled() {
        for (registered, asked, is) in [
            ("db-1.internal:5432", port("DB-1.internal.", 5432), true),
            ("db-1.internal:5432", port("db-1.internal", 5433), false),
            ("db-1.internal:5432", port("db-1.internal.evil.example", 5432), false),
            ("db-1.internal:*", port("db-1.internal", 1), true),
            ("[::1]:80", port("0:0:0:0:0:0:0:1", 80), true),
            ("[::1]:80", port("127.0.0.1", 80), false),
            ("localhost:80", port("127.0.0.1", 80), false),
            ("127.0.0.1:80", port("127.0.0.1", 80), true),
            ("*:8080", port("", 8080), true),
            ("*:8080", port("localhost", 8080), false),
            ("localhost:*", port("localhost", 0), true),
            ("/run/app.sock", Place::socket("/run/app.sock").unwrap(), true),
            ("/run/app.sock", Place::socket("/run/app.sock2").unwrap(), false),
            ("/run/app.sock", port("run", 1), false),
        ] {
            assert_eq!(Registered::parse(registered).unwrap().is(&asked), is, "{registered} {asked}");
        }
    }

    #[test]
    fn what_could_be_read_otherwise_is_refused() {
        for text in [
            "", "db", "db:", "db:0", "db:65536", "db:x", "::1:80", "[::1]", "a b:1", "a,b:1", "/a/../b",
            "/a\0b", "a/b:1", "u@db:1",
        ] {
            assert!(Registered::parse(text).is_err(), "{text:?}");
        }
        for host in ["a b", "a\n", "a,b", "é", "169.254.169.254/", "-oProxyCommand=x y"] {
            assert_eq!(Place::port(host, 1), None, "{host:?}");
        }
        assert_eq!(Place::port("db", 65_536), None);
        for path in ["run/x", "/run/../x", "/run/\u{1b}x", ""] {
            assert_eq!(Place::socket(path), None, "{path:?}");
        }
    }

    #[test]
    fn it_is_shown_as_it_is_written() {
        assert_eq!(port("::1", 22).to_string(), "[::1]:22");
        assert_eq!(port("db", 22).to_string(), "db:22");
    }
}

//! Whose process is at the other end of a loopback connection.
//!
//! On Linux the kernel is asked for exactly that socket (sock_diag, netlink(7)); where it does not answer, the tables in
//! `/proc/net` are read. A socket that is not found, or that no process holds any more (its owner then reads as root),
//! counts as a stranger's. Knows nothing of sessions.

use std::net::SocketAddr;

/// Why a connection is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOurs {
    /// It belongs to somebody else.
    #[error("it comes from another user of this machine (uid {0})")]
    Other(u32),
    /// Nobody can say whose it is.
    #[error("whose it is cannot be determined")]
    Unknown,
}

/// Checks that the socket at `peer`, connected to our `local` address, belongs to the user of this process.
///
/// # Errors
/// [`NotOurs`]; when in doubt as well.
#[cfg(target_os = "linux")]
pub(super) fn check(peer: SocketAddr, local: SocketAddr) -> Result<(), NotOurs> {
    compare(linux::owner(peer, local))
}

/// Elsewhere nobody can say.
#[cfg(not(target_os = "linux"))]
pub(super) fn check(_: SocketAddr, _: SocketAddr) -> Result<(), NotOurs> {
    Err(NotOurs::Unknown)
}

#[cfg(target_os = "linux")]
fn compare(owner: Option<u32>) -> Result<(), NotOurs> {
    let ours = rustix::process::geteuid().as_raw();
    match owner {
        Some(uid) if uid == ours => Ok(()),
        Some(uid) => Err(NotOurs::Other(uid)),
        None => Err(NotOurs::Unknown),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs::File,
        io::{BufRead as _, BufReader},
        net::{IpAddr, Ipv4Addr, SocketAddr},
    };

    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
        recv, sendto, socket_with,
    };

    /// The uid that holds the socket at `peer`.
    pub(super) fn owner(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
        by_netlink(peer, local).or_else(|| by_proc(peer, local))
    }

    // include/uapi/linux/netlink.h, inet_diag.h, sock_diag.h
    const HEADER: usize = 16;
    const REQUEST: usize = HEADER + 56;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const IPPROTO_TCP: u8 = 6;
    const UID_AT: usize = HEADER + 64;
    const INODE_AT: usize = HEADER + 68;
    /// INET_DIAG_NOCOOKIE: any socket with these addresses.
    const NO_COOKIE: [u8; 8] = [0xff; 8];

    pub(super) fn by_netlink(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
        let request = request(peer, local)?;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).ok()?;
        sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
        let mut answer = [0_u8; 1024];
        // The kernel answers within the send: nothing there means no answer.
        let (length, _) = recv(&socket, &mut answer, RecvFlags::DONTWAIT).ok()?;
        read_answer(answer.get(..length)?)
    }

    /// `nlmsghdr` and `inet_diag_req_v2` for one socket: ours to ask about is the peer's, so the peer is the source.
    fn request(peer: SocketAddr, local: SocketAddr) -> Option<Vec<u8>> {
        let family = u8::try_from(AddressFamily::INET.as_raw()).ok()?;
        let (IpAddr::V4(peer_ip), IpAddr::V4(local_ip)) = (peer.ip(), local.ip()) else { return None };
        let mut bytes = Vec::with_capacity(REQUEST);
        bytes.extend_from_slice(&u32::try_from(REQUEST).ok()?.to_ne_bytes());
        bytes.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]); // sequence, port
        bytes.extend_from_slice(&[family, IPPROTO_TCP, 0, 0]);
        bytes.extend_from_slice(&u32::MAX.to_ne_bytes()); // any state
        bytes.extend_from_slice(&peer.port().to_be_bytes());
        bytes.extend_from_slice(&local.port().to_be_bytes());
        for address in [peer_ip, local_ip] {
            bytes.extend_from_slice(&address.octets());
            bytes.extend_from_slice(&[0; 12]);
        }
        bytes.extend_from_slice(&[0; 4]); // any interface
        bytes.extend_from_slice(&NO_COOKIE);
        Some(bytes)
    }

    fn read_answer(answer: &[u8]) -> Option<u32> {
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        if kind != SOCK_DIAG_BY_FAMILY {
            return None;
        }
        let field = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
        held(field(UID_AT)?, u64::from(field(INODE_AT)?))
    }

    /// A socket without an inode is held by no process: the kernel then says root, which would let anyone pass for root.
    fn held(uid: u32, inode: u64) -> Option<u32> {
        (inode != 0).then_some(uid)
    }

    pub(super) fn by_proc(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
        ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| {
            let lines = BufReader::new(File::open(table).ok()?).lines();
            lines.map_while(Result::ok).find_map(|line| owner_in_line(&line, peer, local))
        })
    }

    /// A line of `/proc/net/tcp`: `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …` (proc(5)).
    pub(super) fn owner_in_line(line: &str, peer: SocketAddr, local: SocketAddr) -> Option<u32> {
        let mut fields = line.split_ascii_whitespace();
        let source = address(fields.nth(1)?)?;
        let target = address(fields.next()?)?;
        if source != peer || target != local {
            return None;
        }
        let uid = fields.nth(4)?.parse().ok()?;
        held(uid, fields.nth(1)?.parse().ok()?)
    }

    /// `0100007F:1F90`: the address's 32-bit words in the machine's byte order, the port in hex.
    fn address(text: &str) -> Option<SocketAddr> {
        let (ip, port) = text.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
        match ip.len() {
            8 => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(word(0)?)), port)),
            32 => {
                let mut bytes = [0; 16];
                for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                    four.copy_from_slice(&word(at * 8)?);
                }
                // Programs with dual-stack sockets reach us under a mapped address.
                Some(SocketAddr::new(IpAddr::from(bytes).to_canonical(), port))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::{
        io::Read as _,
        net::{TcpListener, TcpStream},
        process::{Command, Stdio},
    };

    use super::*;

    fn pair() -> (TcpStream, SocketAddr, SocketAddr, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let local = server.local_addr().unwrap();
        (client, peer, local, server)
    }

    fn ours() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn our_own_connection_is_known_by_both_ways() {
        let (_client, peer, local, _server) = pair();
        assert_eq!(linux::by_netlink(peer, local), Some(ours()));
        assert_eq!(linux::by_proc(peer, local), Some(ours()));
        assert_eq!(check(peer, local), Ok(()));
    }

    #[test]
    fn a_connection_that_its_owner_let_go_of_is_nobodys() {
        let (client, peer, local, _server) = pair();
        drop(client);
        assert_eq!(linux::by_netlink(peer, local), None);
        assert_eq!(linux::by_proc(peer, local), None);
        assert_eq!(check(peer, local), Err(NotOurs::Unknown));
    }

    #[test]
    fn half_closed_is_still_ours() {
        let (client, peer, local, _server) = pair();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(check(peer, local), Ok(()));
    }

    #[test]
    fn a_connection_that_does_not_exist_is_nobodys() {
        let (_client, peer, local, _server) = pair();
        let other = SocketAddr::new(peer.ip(), peer.port() ^ 1);
        assert_eq!(check(other, local), Err(NotOurs::Unknown));
        assert_eq!(check(local, peer), Ok(()), "the other end of the pair is ours too");
    }

    #[test]
    fn an_owner_that_is_not_us_is_refused() {
        assert_eq!(compare(Some(ours() + 1)), Err(NotOurs::Other(ours() + 1)));
        assert_eq!(compare(None), Err(NotOurs::Unknown));
    }

    /// Only root can become somebody else: where all must be shown, as another user nothing is.
    #[test]
    fn another_user_of_this_machine_is_refused() {
        if ours() != 0 {
            assert!(std::env::var_os("CI").is_none(), "run the tests as root: another user is to be tried");
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo go >&3; read -r line <&3; exit 0");
        let mut child = Command::new("setpriv")
            .args(["--reuid", "65534", "--clear-groups", "--", "bash", "-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        let local = server.local_addr().unwrap();
        let (netlink, proc) = (linux::by_netlink(peer, local), linux::by_proc(peer, local));
        let verdict = check(peer, local);
        drop(server);
        child.wait().unwrap();
        assert_eq!((netlink, proc), (Some(65534), Some(65534)));
        assert_eq!(verdict, Err(NotOurs::Other(65534)));
    }

    #[test]
    fn lines_of_the_table_are_read_or_passed_over() {
        let (peer, local) = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:5432".parse().unwrap());
        let read = |line: &str| linux::owner_in_line(line, peer, local);
        let v4 = "   1: 0100007F:1F90 0100007F:1538 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        let mapped = "   1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:1538 01 \
                      00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        if cfg!(target_endian = "little") {
            assert_eq!((read(v4), read(mapped)), (Some(1000), Some(1000)));
        }
        for line in [
            "",
            "sl local_address rem_address st",
            "1: 0100007F:1F90",
            "1: xyz:1F90 0100007F:1538 01",
            "1: 0100007F:1538 0100007F:1F90 01 0:0 0:0 0 1000 0 4711",
            "1: 0100007F:1F90 0100007F:1538 01 0:0 0:0 0 x 0 4711",
            "1: 0100007F:1F90 0100007F:1538 06 0:0 0:0 0 0 0 0",
            "1: €€€:1F90 0100007F:1538 01 0:0 0:0 0 0 0 1",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}

//! Looks into a TLS ClientHello without terminating TLS: which server name and which application protocols it offers.
//!
//! The gateway decides by this where a new connection goes, before anybody is authenticated; so every length is
//! bounded, nothing here can panic, and no byte is altered. It knows nothing of tickets (see [`crate::dispatch`]),
//! sockets or clocks: the caller bounds the time.

/// Bytes of a ClientHello, record headers included, that are looked at before giving up.
pub const HELLO_LIMIT: usize = 16 * 1024;

/// Application protocols that are kept; a hello with more is malformed to us.
const ALPN_LIMIT: usize = 16;

/// `handshake`, the content type of a record (RFC 8446 §5.1).
const RECORD_HANDSHAKE: u8 = 22;
/// `client_hello`, the type of a handshake message (RFC 8446 §4).
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
/// `server_name` (RFC 6066 §3).
const EXTENSION_SERVER_NAME: u16 = 0;
/// `application_layer_protocol_negotiation` (RFC 7301 §3.1).
const EXTENSION_ALPN: u16 = 16;

/// What a ClientHello says that matters to us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The server name, if there is one and it is ASCII.
    pub sni: Option<String>,
    /// The application protocols, in the client's order.
    pub alpn: Vec<Vec<u8>>,
    /// How many bytes, from the first of the connection, the ClientHello and its record headers take.
    pub length: usize,
}

/// What is known after some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// The ClientHello is not complete yet.
    NeedMore,
    /// It is complete.
    Hello(Hello),
    /// The first bytes are no TLS handshake: plain HTTP, a port scan.
    NotTls,
    /// TLS, but no ClientHello that can be understood, or one beyond the limits.
    Malformed(&'static str),
}

/// Looks at the bytes of a connection from its first on.
///
/// Stateless: call it again with all bytes so far when more came. A hello is a few hundred bytes to 2 KiB, so that
/// looking again costs less than keeping state.
#[must_use]
pub fn peek(bytes: &[u8]) -> Peek {
    match try_peek(bytes) {
        Ok(hello) => Peek::Hello(hello),
        Err(Stop::NeedMore) if bytes.len() >= HELLO_LIMIT => Peek::Malformed("a ClientHello beyond 16 KiB"),
        Err(Stop::NeedMore) => Peek::NeedMore,
        Err(Stop::NotTls) => Peek::NotTls,
        Err(Stop::Malformed(why)) => Peek::Malformed(why),
    }
}

enum Stop {
    NeedMore,
    NotTls,
    Malformed(&'static str),
}

/// Feeds a peek from a connection: keeps the bytes, which are to be forwarded as they came.
#[derive(Debug, Default)]
pub struct HelloPeek {
    bytes: Vec<u8>,
}

impl HelloPeek {
    /// Adds bytes that were read, and looks.
    pub fn feed(&mut self, bytes: &[u8]) -> Peek {
        let room = HELLO_LIMIT.saturating_sub(self.bytes.len());
        if bytes.len() > room {
            return Peek::Malformed("a ClientHello beyond 16 KiB");
        }
        self.bytes.extend_from_slice(bytes);
        peek(&self.bytes)
    }

    /// All bytes fed so far.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn try_peek(bytes: &[u8]) -> Result<Hello, Stop> {
    let (message, length) = gather_records(bytes)?;
    let mut body = Reader(&message);
    let mut hello = client_hello(&mut body)?;
    hello.length = length;
    Ok(hello)
}

/// Joins the fragments of the first handshake message; a ClientHello may be split over records (RFC 8446 §5.1).
fn gather_records(bytes: &[u8]) -> Result<(Vec<u8>, usize), Stop> {
    let mut rest = bytes;
    let mut message = Vec::new();
    loop {
        match rest.first() {
            None => return Err(Stop::NeedMore),
            Some(&RECORD_HANDSHAKE) => {}
            Some(_) if message.is_empty() => return Err(Stop::NotTls),
            Some(_) => return Err(Stop::Malformed("another record inside the ClientHello")),
        }
        match rest.get(1) {
            None => return Err(Stop::NeedMore),
            Some(3) => {}
            Some(_) => return Err(Stop::NotTls),
        }
        let header = rest.get(..5).ok_or(Stop::NeedMore)?;
        let [_, _, _, high, low] = header else { return Err(Stop::NeedMore) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > 1 << 14 {
            return Err(Stop::Malformed("a record of forbidden length"));
        }
        let available = rest.get(5..).unwrap_or_default();
        let fragment = available.get(..length.min(available.len())).unwrap_or_default();
        message.extend_from_slice(fragment);
        check_handshake_header(&message)?;
        if available.len() < length {
            // Even the last fragment must be whole: a ClientHello ends with its record.
            return Err(Stop::NeedMore);
        }
        rest = available.get(length..).unwrap_or_default();
        if let Some(wanted) = message_length(&message) {
            if message.len() > wanted {
                return Err(Stop::Malformed("bytes after the ClientHello"));
            }
            if message.len() == wanted {
                return Ok((message, bytes.len() - rest.len()));
            }
        }
    }
}

fn check_handshake_header(message: &[u8]) -> Result<(), Stop> {
    match message.first() {
        Some(&HANDSHAKE_CLIENT_HELLO) | None => {}
        Some(_) => return Err(Stop::Malformed("the first handshake message is no ClientHello")),
    }
    match message_length(message) {
        Some(wanted) if wanted > HELLO_LIMIT => Err(Stop::Malformed("a ClientHello beyond 16 KiB")),
        _ => Ok(()),
    }
}

/// Length of the handshake message with its header, once that has come.
fn message_length(message: &[u8]) -> Option<usize> {
    match message {
        [_, a, b, c, ..] => {
            usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).ok().map(|length| length + 4)
        }
        _ => None,
    }
}

/// `ClientHello` of RFC 8446 §4.1.2, behind its handshake header.
fn client_hello(body: &mut Reader<'_>) -> Result<Hello, Stop> {
    body.take(4, "handshake header")?;
    body.take(2, "legacy_version")?;
    body.take(32, "random")?;
    body.short_vector("legacy_session_id")?;
    body.long_vector("cipher_suites")?;
    body.short_vector("legacy_compression_methods")?;
    let mut hello = Hello::default();
    if body.0.is_empty() {
        return Ok(hello); // before TLS 1.2 a hello could end here
    }
    let mut extensions = Reader(body.long_vector("extensions")?);
    if !body.0.is_empty() {
        return Err(Stop::Malformed("bytes after the extensions"));
    }
    let (mut seen_name, mut seen_alpn) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.u16("extension type")?;
        let mut data = Reader(extensions.long_vector("extension")?);
        match kind {
            EXTENSION_SERVER_NAME if !std::mem::replace(&mut seen_name, true) => {
                hello.sni = server_name(&mut data)?;
            }
            EXTENSION_ALPN if !std::mem::replace(&mut seen_alpn, true) => hello.alpn = alpn(&mut data)?,
            // RFC 8446 §4.2: not more than one of a type. Two would let two parsers see two different tickets.
            EXTENSION_SERVER_NAME | EXTENSION_ALPN => return Err(Stop::Malformed("an extension twice")),
            _ => {}
        }
    }
    Ok(hello)
}

fn server_name(data: &mut Reader<'_>) -> Result<Option<String>, Stop> {
    let mut list = Reader(data.long_vector("server_name_list")?);
    let mut name = None;
    while !list.0.is_empty() {
        let kind = list.take(1, "name_type")?;
        let value = list.long_vector("host_name")?;
        if kind == [0] && name.is_none() && value.len() <= 255 && value.is_ascii() {
            name = std::str::from_utf8(value).ok().map(str::to_owned);
        }
    }
    Ok(name)
}

fn alpn(data: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, Stop> {
    let mut list = Reader(data.long_vector("protocol_name_list")?);
    let mut names = Vec::new();
    while !list.0.is_empty() {
        let name = list.short_vector("protocol_name")?;
        if name.is_empty() {
            return Err(Stop::Malformed("an empty protocol name"));
        }
        if names.len() == ALPN_LIMIT {
            return Err(Stop::Malformed("too many protocol names"));
        }
        names.push(name.to_vec());
    }
    Ok(names)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Stop> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Stop::Malformed(what))?;
        self.0 = rest;
        Ok(head)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, Stop> {
        match self.take(2, what)? {
            [high, low] => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(Stop::Malformed(what)),
        }
    }

    fn short_vector(&mut self, what: &'static str) -> Result<&'a [u8], Stop> {
        let length = self.take(1, what)?.first().copied().unwrap_or(0);
        self.take(usize::from(length), what)
    }

    fn long_vector(&mut self, what: &'static str) -> Result<&'a [u8], Stop> {
        let length = self.u16(what)?;
        self.take(usize::from(length), what)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello as rustls writes it.
    pub(crate) fn rustls_hello(alpn: &[&[u8]], name: &'static str) -> Vec<u8> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let mut connection =
            rustls::ClientConnection::new(std::sync::Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same handshake message in records of `size` bytes.
    fn fragmented(hello: &[u8], size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for fragment in hello[5..].chunks(size) {
            bytes.extend_from_slice(&[22, 3, 1]);
            bytes.extend_from_slice(&u16::try_from(fragment.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(fragment);
        }
        bytes
    }

    #[test]
    fn a_real_hello_is_understood() {
        let bytes = rustls_hello(&[b"hoop-session/1", b"h2"], "gateway.example");
        let Peek::Hello(hello) = peek(&bytes) else { panic!("{:?}", peek(&bytes)) };
        assert_eq!(hello.sni.as_deref(), Some("gateway.example"));
        assert_eq!(hello.alpn, [b"hoop-session/1".to_vec(), b"h2".to_vec()]);
        assert_eq!(hello.length, bytes.len());
    }

    #[test]
    fn what_follows_the_hello_is_left_alone() {
        let hello = rustls_hello(&[b"h2"], "a.example");
        let mut bytes = hello.clone();
        bytes.extend_from_slice(&[20, 3, 3, 0, 1, 1]);
        let Peek::Hello(seen) = peek(&bytes) else { panic!() };
        assert_eq!(seen.length, hello.len());
    }

    #[test]
    fn what_is_not_tls_is_told_at_the_first_byte_that_shows_it() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Peek::NotTls),
            (&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], Peek::NotTls),
            (&b""[..], Peek::NeedMore),
            (&b"\x16"[..], Peek::NeedMore),
            (&b"\x16\x02"[..], Peek::NotTls),
            (&b"\x16\x03\x01\x00\x00"[..], Peek::Malformed("a record of forbidden length")),
            (&b"\x16\x03\x01\x40\x01"[..], Peek::Malformed("a record of forbidden length")),
            (
                &b"\x16\x03\x01\x00\x04\x02"[..],
                Peek::Malformed("the first handshake message is no ClientHello"),
            ),
            (&b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"[..], Peek::Malformed("a ClientHello beyond 16 KiB")),
        ] {
            assert_eq!(peek(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn an_extension_twice_is_malformed() {
        let mut bytes = rustls_hello(&[b"h2"], "a.example");
        let extension = [0u8, 16, 0, 5, 0, 3, 2, b'h', b'2'];
        bytes.extend_from_slice(&extension);
        let add = u16::try_from(extension.len()).unwrap();
        let bump = |bytes: &mut [u8], at: usize| {
            let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            bytes[at..at + 2].copy_from_slice(&(old + add).to_be_bytes());
        };
        bump(&mut bytes, 3);
        bump(&mut bytes, 7);
        let mut at = 9 + 34;
        at += 1 + usize::from(bytes[at]);
        at += 2 + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        at += 1 + usize::from(bytes[at]);
        bump(&mut bytes, at);
        assert_eq!(peek(&bytes), Peek::Malformed("an extension twice"));
    }

    #[test]
    fn one_byte_a_time_never_passes_the_limit() {
        let mut feed = HelloPeek::default();
        let mut fed = 0;
        // Records of one byte each, for ever.
        let outcome = loop {
            let byte = if fed == 0 { [22, 3, 1, 0, 1, 1] } else { [22, 3, 1, 0, 1, 0] };
            fed += 6;
            match feed.feed(&byte) {
                Peek::NeedMore => assert!(fed <= HELLO_LIMIT),
                other => break other,
            }
        };
        assert!(matches!(outcome, Peek::Malformed(_)), "{outcome:?}");
    }

    proptest! {
        #[test]
        fn any_split_over_records_and_reads_gives_the_same(size in 1usize..600, step in 1usize..400) {
            let plain = rustls_hello(&[b"hoop-session/1", b"hoop-ticket/abc"], "gateway.example");
            let Peek::Hello(expected) = peek(&plain) else { panic!() };
            let bytes = fragmented(&plain, size);
            if bytes.len() <= HELLO_LIMIT {
                let mut feed = HelloPeek::default();
                let mut last = Peek::NeedMore;
                for part in bytes.chunks(step) {
                    prop_assert_eq!(&last, &Peek::NeedMore);
                    last = feed.feed(part);
                }
                let Peek::Hello(seen) = last else { panic!("{last:?}") };
                prop_assert_eq!(seen.length, bytes.len());
                prop_assert_eq!((seen.sni, seen.alpn), (expected.sni, expected.alpn));
                prop_assert_eq!(feed.into_bytes(), bytes);
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = peek(&bytes);
        }

        #[test]
        fn a_perturbed_hello_never_panics(at in 0usize..300, to in any::<u8>(), cut in 0usize..2000) {
            let mut bytes = rustls_hello(&[b"h2", b"http/1.1"], "gateway.example");
            let length = bytes.len();
            bytes[at % length] = to;
            let _ = peek(&bytes);
            let _ = peek(&bytes[..cut.min(length)]);
        }
    }
}

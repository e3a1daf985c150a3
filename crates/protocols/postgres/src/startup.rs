//! The first packets of a client, before anything is known of it: bounded to what PostgreSQL itself allows.
//!
//! ```text
//!   SSLRequest, GSSENCRequest ─▶ 'N' (once each)     CancelRequest ─▶ cancel     StartupMessage ─▶ log-in
//!   TLS ClientHello (sslnegotiation=direct) ─▶ TLS alert, end
//! ```
//! The client came through the inner tunnel, which is encrypted: it needs no TLS of its own here.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use hoop_engine::CancelKey;
use hoop_model::UserName;
use hoop_sql::postgres::is_harmless_setting;

use crate::{
    fault::{self, Failure},
    wire::{Malformed, Reader, code, version},
};

/// PostgreSQL's own limit for a start-up packet.
const LONGEST: usize = 10_000;

/// First byte of a TLS ClientHello.
const TLS_HANDSHAKE: u8 = 0x16;

/// Longest `application_name` (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

/// What a client's packet asks for.
#[derive(Debug)]
pub(crate) enum Packet {
    /// Encryption of this leg.
    Encryption,
    /// To cancel what another stream runs.
    Cancel(CancelKey),
    /// To log in.
    Startup(Box<Startup>),
}

/// What a client wants to replicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replication {
    /// Nothing: an ordinary session.
    None,
    /// The whole cluster.
    Physical,
    /// A database.
    Logical,
}

/// A client's StartupMessage, checked.
#[derive(Debug)]
pub(crate) struct Startup {
    /// The version to speak with it.
    pub(crate) version: u32,
    /// It asked for more than we speak: the newest, and the options unknown to us.
    pub(crate) negotiate: Option<(u32, Vec<Bytes>)>,
    /// The database it names.
    pub(crate) database: Option<String>,
    /// The user it names: for the record, never for the target.
    pub(crate) user: Option<String>,
    /// Does it want to replicate?
    pub(crate) replication: Replication,
    /// Its `application_name`.
    pub(crate) application: String,
    /// Everything else, in its order: for the target.
    pub(crate) parameters: Vec<(Bytes, Bytes)>,
}

/// Reads the client's packets up to the one that matters.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    asked_tls: bool,
    asked_gss: bool,
}

impl Greeting {
    /// The next packet; `None`: more bytes are needed.
    pub(crate) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, Failure> {
        match input.first() {
            None => return Ok(None),
            Some(0) => {}
            Some(&TLS_HANDSHAKE) => return Err(fault::direct_tls()),
            Some(_) => return Err(fault::startup("these first bytes are not PostgreSQL's")),
        }
        let Some(length) = input.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if !(8..=LONGEST).contains(&length) {
            return Err(fault::startup("the start-up packet's length cannot be"));
        }
        if input.len() < length {
            return Ok(None);
        }
        let packet = input.split_to(length).freeze();
        self.packet(&packet).map(Some)
    }

    fn packet(&mut self, packet: &Bytes) -> Result<Packet, Failure> {
        let mut reader = Reader::new(packet, 4, packet.len());
        let malformed =
            |why: Malformed| fault::startup(format!("the start-up packet is malformed: {}", why.0));
        match reader.u32().map_err(malformed)? {
            code::SSL if !self.asked_tls && reader.left() == 0 => {
                self.asked_tls = true;
                Ok(Packet::Encryption)
            }
            code::GSS if !self.asked_gss && reader.left() == 0 => {
                self.asked_gss = true;
                Ok(Packet::Encryption)
            }
            code::SSL | code::GSS => Err(fault::startup("encryption was asked for twice")),
            code::CANCEL => cancel(reader).map(Packet::Cancel).map_err(malformed),
            asked if asked >> 16 == 3 => startup(asked, reader).map(|s| Packet::Startup(Box::new(s))),
            asked => {
                let what = format!("protocol version {}.{} is not spoken", asked >> 16, asked & 0xffff);
                Err(fault::unsupported(&what, "use a client that speaks protocol 3.0 or 3.2"))
            }
        }
    }
}

fn cancel(mut reader: Reader<'_>) -> Result<CancelKey, Malformed> {
    let process = reader.u32()?;
    let secret = reader.take_rest();
    if (4..=256).contains(&secret.len()) {
        Ok(CancelKey { process, secret })
    } else {
        Err(Malformed("the key's length cannot be"))
    }
}

fn startup(asked: u32, mut reader: Reader<'_>) -> Result<Startup, Failure> {
    let mut found = Startup {
        version: if asked >= version::V3_2 { version::V3_2 } else { version::V3_0 },
        negotiate: None,
        database: None,
        user: None,
        replication: Replication::None,
        application: String::new(),
        parameters: Vec::new(),
    };
    let mut unknown = Vec::new();
    let mut seen = HashSet::new();
    let malformed = |why: Malformed| fault::startup(format!("the start-up packet is malformed: {}", why.0));
    loop {
        let name = reader.text().map_err(malformed)?;
        if name.is_empty() {
            break;
        }
        let value = reader.text().map_err(malformed)?;
        if !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) {
            return Err(fault::startup("a start-up parameter's name holds a character that cannot be"));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(fault::startup(format!(
                "start-up parameter {} is given twice",
                text(&name, "name")?
            )));
        }
        if name.starts_with(b"_pq_.") {
            unknown.push(name);
        } else {
            found.add(name, value)?;
        }
    }
    reader.finish().map_err(malformed)?;
    if asked != found.version || !unknown.is_empty() {
        found.negotiate = Some((found.version, unknown));
    }
    Ok(found)
}

fn text(bytes: &[u8], what: &str) -> Result<String, Failure> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| fault::startup(format!("the {what} is not UTF-8")))
}

impl Startup {
    fn add(&mut self, name: Bytes, value: Bytes) -> Result<(), Failure> {
        match &name[..] {
            b"user" => self.user = Some(text(&value, "user's name")?),
            b"database" if value.is_empty() => {}
            b"database" => self.database = Some(text(&value, "database's name")?),
            // A setting, whose name the server reads in any case: sent on beside ours, it would win.
            name if name.eq_ignore_ascii_case(b"application_name") => {
                self.application = text(&value, "application's name")?;
            }
            b"replication" => {
                self.replication = match value.to_ascii_lowercase().as_slice() {
                    b"true" | b"on" | b"yes" | b"1" | b"t" | b"y" => Replication::Physical,
                    b"false" | b"off" | b"no" | b"0" | b"f" | b"n" => Replication::None,
                    b"database" => Replication::Logical,
                    _ => return Err(fault::startup("start-up parameter replication has no such value")),
                };
            }
            _ => self.parameters.push((name, value)),
        }
        Ok(())
    }

    /// The first parameter after which the server may read the same text differently than without it.
    pub(crate) fn setting(&self) -> Option<String> {
        let harmless = |name: &[u8], value: &[u8]| {
            // Texts come to us in UTF-8, and so are approved.
            name.eq_ignore_ascii_case(b"client_encoding")
                && [&b"utf8"[..], b"utf-8", b"unicode"].iter().any(|same| value.eq_ignore_ascii_case(same))
        };
        let mut settings = self.parameters.iter().filter(|(name, value)| !harmless(name, value));
        settings.next().map(|(name, _)| String::from_utf8_lossy(name).into_owned())
    }

    /// The first parameter that may change how texts are read, or who the session is.
    pub(crate) fn risk(&self) -> Option<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut settings = self.parameters.iter().map(|(name, value)| (text(name), text(value)));
        settings.find(|(name, value)| !is_harmless_setting(name, value)).map(|(name, _)| name)
    }

    /// The name under which the person shows in the target's own views and log.
    pub(crate) fn application_name(&self, person: &UserName) -> String {
        let mark = format!("hoop:{person}");
        let room = LONGEST_NAME.saturating_sub(mark.len() + " ()".len());
        let app = &self.application[..floor_char(&self.application, room)];
        if app.is_empty() {
            mark[..floor_char(&mark, LONGEST_NAME)].to_owned()
        } else {
            format!("{app} ({mark})")
        }
    }
}

/// The largest place up to `most` where `text` may be cut.
fn floor_char(text: &str, most: usize) -> usize {
    let most = most.min(text.len());
    (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write;

    fn read(bytes: &[u8]) -> Result<Option<Packet>, Failure> {
        Greeting::default().read(&mut BytesMut::from(bytes))
    }

    fn packet(version: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 8).unwrap();
        [&length.to_be_bytes()[..], &version.to_be_bytes(), body].concat()
    }

    fn started(version: u32, body: &[u8]) -> Startup {
        match read(&packet(version, body)).unwrap().unwrap() {
            Packet::Startup(startup) => *startup,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_ordinary_start() {
        let startup = started(
            version::V3_0,
            b"user\0ada\0database\0clinic\0application_name\0psql\0client_encoding\0UTF8\0\0",
        );
        assert_eq!(startup.database.as_deref(), Some("clinic"));
        assert_eq!(startup.user.as_deref(), Some("ada"));
        assert_eq!(
            startup.parameters,
            [(Bytes::from_static(b"client_encoding"), Bytes::from_static(b"UTF8"))]
        );
        assert!(startup.negotiate.is_none());
        assert_eq!(startup.application_name(&UserName::new("ada").unwrap()), "psql (hoop:ada)");
    }

    #[test]
    fn an_application_name_in_another_case_is_still_one() {
        let startup = started(version::V3_0, b"user\0ada\0Application_Name\0psql\0\0");
        assert!(startup.parameters.is_empty());
        assert_eq!(startup.application_name(&UserName::new("ada").unwrap()), "psql (hoop:ada)");
    }

    #[test]
    fn hostile_first_packets() {
        let startup = |body: &[u8]| packet(version::V3_0, body);
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "HOOP-5003"),
            ("direct TLS", b"\x16\x03\x01\x02".to_vec(), "HOOP-5002"),
            ("length 0", b"\0\0\0\0".to_vec(), "HOOP-5003"),
            ("length 7", b"\0\0\0\x07\0\x03\0".to_vec(), "HOOP-5003"),
            ("length too large", b"\0\0\x27\x11".to_vec(), "HOOP-5003"),
            ("version 2", packet(0x0002_0000, b"user\0a\0\0"), "HOOP-5002"),
            ("version 4", packet(0x0004_0000, b"user\0a\0\0"), "HOOP-5002"),
            ("no end", startup(b"user\0a\0"), "HOOP-5003"),
            ("no value", startup(b"user\0"), "HOOP-5003"),
            ("no body", startup(b""), "HOOP-5003"),
            ("bytes behind", startup(b"user\0a\0\0x"), "HOOP-5003"),
            ("user twice", startup(b"user\0a\0user\0b\0\0"), "HOOP-5003"),
            ("twice in another case", startup(b"user\0a\0USER\0b\0\0"), "HOOP-5003"),
            ("database twice", startup(b"database\0a\0database\0b\0\0"), "HOOP-5003"),
            ("name with a space", startup(b"us er\0a\0\0"), "HOOP-5003"),
            ("name with a quote", startup(b"us'er\0a\0\0"), "HOOP-5003"),
            ("name not ASCII", startup(b"\xffser\0a\0\0"), "HOOP-5003"),
            ("database not UTF-8", startup(b"database\0\xff\0\0"), "HOOP-5003"),
            ("replication of what", startup(b"replication\0maybe\0\0"), "HOOP-5003"),
            ("cancel without key", packet(code::CANCEL, b"\0\0\0\x01"), "HOOP-5003"),
            ("cancel with a long key", packet(code::CANCEL, &[1; 300]), "HOOP-5003"),
            ("SSLRequest with a body", packet(code::SSL, b"x"), "HOOP-5003"),
        ];
        for (what, bytes, expected) in cases {
            let failure = read(&bytes).err().unwrap_or_else(|| panic!("{what} is accepted"));
            assert_eq!(failure.fault.code.as_str(), expected, "{what}");
        }
    }

    #[test]
    fn a_half_packet_waits() {
        let whole = packet(version::V3_0, b"user\0a\0\0");
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn encryption_is_asked_for_once() {
        let mut greeting = Greeting::default();
        let mut input = BytesMut::from(&[&write::ssl_request()[..], &write::ssl_request()].concat()[..]);
        assert!(matches!(greeting.read(&mut input), Ok(Some(Packet::Encryption))));
        assert!(greeting.read(&mut input).is_err());
    }

    #[test]
    fn versions() {
        let end = b"user\0a\0\0";
        assert_eq!(started(version::V3_2, end).version, version::V3_2);
        assert!(started(version::V3_2, end).negotiate.is_none());
        let newer = started(0x0003_270f, b"user\0a\0_pq_.x\x001\0\0");
        assert_eq!(newer.negotiate, Some((version::V3_2, vec![Bytes::from_static(b"_pq_.x")])));
        assert_eq!(started(0x0003_0001, end).negotiate, Some((version::V3_0, vec![])));
    }

    #[test]
    fn the_name_keeps_the_person_and_its_limit() {
        let startup =
            |app: &str| Startup { application: app.to_owned(), ..started(version::V3_0, b"user\0a\0\0") };
        let (ada, long) = (UserName::new("ada").unwrap(), UserName::new("x".repeat(128)).unwrap());
        for app in ["", "psql", &"é".repeat(100), &"y".repeat(200)] {
            let name = startup(app).application_name(&ada);
            assert!(name.len() <= 63 && name.contains("hoop:ada"), "{name}");
            assert!(startup(app).application_name(&long).len() <= 63);
        }
    }
}

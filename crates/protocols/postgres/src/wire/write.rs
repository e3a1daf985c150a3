//! The messages that are ours: errors, the little that start-up and log-in need.

use bytes::{BufMut, Bytes, BytesMut};
use hoop_model::Fault;

use super::{code, version};

/// Writes one message: type byte, length, body.
pub(crate) fn message(kind: u8, body: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    out.put_u8(kind);
    put_sized(&mut out, body);
    out.freeze()
}

fn put_sized(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let mut rest = out.split_off(out.len());
    rest.put_u32(0);
    body(&mut rest);
    let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    if let Some(place) = rest.first_chunk_mut::<4>() {
        *place = length.to_be_bytes();
    }
    out.unsplit(rest);
}

pub(crate) fn put_text(out: &mut BytesMut, text: &[u8]) {
    // A NUL inside would end the text early and let what follows pass for the next field.
    let end = memchr::memchr(0, text).unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or_default());
    out.put_u8(0);
}

/// How bad an error is for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The connection goes on.
    Error,
    /// It ends.
    Fatal,
}

/// `ErrorResponse`: SQLSTATE, the fault's message and hint, its stable code as detail.
pub(crate) fn error(severity: Severity, sqlstate: &str, fault: &Fault) -> Bytes {
    let severity: &[u8] = match severity {
        Severity::Error => b"ERROR",
        Severity::Fatal => b"FATAL",
    };
    let hint = fault.hint.as_ref().map(|hint| (b'H', hint.as_bytes()));
    let detail = (b'D', fault.code.as_str().as_bytes());
    said(b'E', severity, sqlstate, &fault.message, [detail].into_iter().chain(hint))
}

/// `NoticeResponse`: a warning, with its stable code as detail.
pub(crate) fn notice(code: &str, text: &str) -> Bytes {
    said(b'N', b"WARNING", "01000", text, [(b'D', code.as_bytes())])
}

fn said<'a>(
    kind: u8,
    severity: &[u8],
    sqlstate: &str,
    text: &str,
    more: impl IntoIterator<Item = (u8, &'a [u8])>,
) -> Bytes {
    message(kind, |out| {
        let mut field = |name: u8, text: &[u8]| {
            out.put_u8(name);
            put_text(out, text);
        };
        field(b'S', severity);
        field(b'V', severity);
        field(b'C', sqlstate.as_bytes());
        field(b'M', text.as_bytes());
        more.into_iter().for_each(|(name, text)| field(name, text));
        out.put_u8(0);
    })
}

/// `ReadyForQuery`.
pub(crate) fn ready(status: u8) -> Bytes {
    message(b'Z', |out| out.put_u8(status))
}

/// `AuthenticationOk`.
pub(crate) fn authentication_ok() -> Bytes {
    message(b'R', |out| out.put_u32(0))
}

/// `BackendKeyData`.
pub(crate) fn key_data(process: u32, secret: &[u8]) -> Bytes {
    message(b'K', |out| {
        out.put_u32(process);
        out.put_slice(secret);
    })
}

/// `NegotiateProtocolVersion`: the newest we speak, and the options we do not know.
pub(crate) fn negotiate(newest: u32, unknown: &[Bytes]) -> Bytes {
    message(b'v', |out| {
        out.put_u32(newest);
        out.put_u32(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
        for name in unknown {
            put_text(out, name);
        }
    })
}

/// `SSLRequest`.
pub(crate) fn ssl_request() -> Bytes {
    let mut out = BytesMut::with_capacity(8);
    put_sized(&mut out, |out| out.put_u32(code::SSL));
    out.freeze()
}

/// `CancelRequest`.
pub(crate) fn cancel_request(process: u32, secret: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    put_sized(&mut out, |out| {
        out.put_u32(code::CANCEL);
        out.put_u32(process);
        out.put_slice(secret);
    });
    out.freeze()
}

/// `StartupMessage`.
pub(crate) fn startup<'a>(version: u32, parameters: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Bytes {
    debug_assert!(version == version::V3_0 || version == version::V3_2, "no other is spoken");
    let mut out = BytesMut::with_capacity(256);
    put_sized(&mut out, |out| {
        out.put_u32(version);
        for (name, value) in parameters {
            put_text(out, name);
            put_text(out, value);
        }
        out.put_u8(0);
    });
    out.freeze()
}

/// `PasswordMessage`: a NUL-ended text.
pub(crate) fn password(text: &[u8]) -> Bytes {
    message(b'p', |out| put_text(out, text))
}

/// `SASLInitialResponse`.
pub(crate) fn sasl_initial(mechanism: &str, data: &[u8]) -> Bytes {
    message(b'p', |out| {
        put_text(out, mechanism.as_bytes());
        out.put_u32(u32::try_from(data.len()).unwrap_or(u32::MAX));
        out.put_slice(data);
    })
}

/// `SASLResponse`.
pub(crate) fn sasl_response(data: &[u8]) -> Bytes {
    message(b'p', |out| out.put_slice(data))
}

/// `Flush`.
pub(crate) fn flush() -> Bytes {
    Bytes::from_static(b"H\0\0\0\x04")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoop_model::Blame;

    #[test]
    fn exact_bytes() {
        assert_eq!(&ready(b'T')[..], b"Z\0\0\0\x05T");
        assert_eq!(&authentication_ok()[..], b"R\0\0\0\x08\0\0\0\0");
        assert_eq!(&ssl_request()[..], b"\0\0\0\x08\x04\xd2\x16\x2f");
        assert_eq!(&cancel_request(1, b"abcd")[..], b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01abcd");
        assert_eq!(
            &startup(version::V3_0, [(&b"user"[..], &b"a"[..])])[..],
            b"\0\0\0\x10\0\x03\0\0user\0a\0\0"
        );
        assert_eq!(&negotiate(version::V3_2, &[])[..], b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0");
    }

    #[test]
    fn an_error_cannot_smuggle_a_field() {
        let fault = Fault::new("HOOP-5001", Blame::Caller, "bad\0CXXXXX").with_hint("none");
        assert_eq!(
            &error(Severity::Error, "08P01", &fault)[..],
            b"E\0\0\0\x30SERROR\0VERROR\0C08P01\0Mbad\0DHOOP-5001\0Hnone\0\0".as_slice()
        );
    }
}

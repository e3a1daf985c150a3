//! The bytes of PostgreSQL's protocol 3: reading them with every bound checked, writing the few messages that are ours,
//! and cutting a stream into frames. Knows nothing of what a message means to a session.
//!
//! Formats: <https://www.postgresql.org/docs/current/protocol-message-formats.html>

pub(crate) mod intake;
pub(crate) mod read;
pub(crate) mod write;

pub(crate) use intake::{HEADER, Header, Intake, Refusal};
pub(crate) use read::{Malformed, Reader};

/// What the first packet of a connection asks for, in place of a version.
pub(crate) mod code {
    /// `CancelRequest`.
    pub(crate) const CANCEL: u32 = 80_877_102;
    /// `SSLRequest`.
    pub(crate) const SSL: u32 = 80_877_103;
    /// `GSSENCRequest`.
    pub(crate) const GSS: u32 = 80_877_104;
}

/// A protocol version, `major << 16 | minor`.
pub(crate) mod version {
    /// Spoken since PostgreSQL 7.4.
    pub(crate) const V3_0: u32 = 0x0003_0000;
    /// PostgreSQL 18: cancel keys may be longer than 4 bytes.
    pub(crate) const V3_2: u32 = 0x0003_0002;
}

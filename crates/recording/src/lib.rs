//! The encrypted, hash-chained recording of a session: events, container, writer, reader, exports.
//!
//! - [`event`]: what is recorded. [`codec`]: its binary form.
//! - [`container`]: the file's bytes. [`chain`]: the hash chain, checked without a key.
//! - [`writer`]: at the agent. [`reader`]: wherever the organisation's private key is.
//! - [`verify`]: is it whole and unaltered? Needs no key either.
//! - [`cells`], [`timeline`], [`terminal`], [`export`]: what a person sees.
//! - [`redact`]: statement text for lists, without its literals.
//!
//! Nothing here knows a socket, a clock, a store or a runtime: `now` is an argument, input is [`std::io::Read`].
//! Cryptography is aws-lc-rs: RSA-OAEP-256, AES-256-GCM, SHA-256, Ed25519. The layout is in [`container`], and for
//! auditors in `docs/RECORDING.md`.

pub mod cells;
pub mod chain;
pub mod codec;
pub mod container;
pub mod event;
pub mod export;
pub mod frames;
pub mod hash;
pub mod hex;
pub mod keys;
pub mod reader;
pub mod redact;
pub mod sealed;
pub mod terminal;
pub mod timeline;
pub mod verify;
pub mod visible;
pub mod writer;

mod names;
mod scratch;
mod split;
mod tables;

#[cfg(test)]
mod testing;

pub use chain::{Chain, ChainError, scan};
pub use container::{Carried, Ended, Frame, GapStatement, Header, Manifest, Tag, Trailer};
pub use event::{Event, Record, RequestId};
pub use hash::Hash;
pub use keys::{KeyId, OpenedKey, RecordingPrivateKey, RecordingPublicKey, SigningKey, Unwrap, VerifyingKey};
pub use reader::{Ending, Player, ReadError, Reader, read_header};
pub use redact::redact_literals;
pub use split::MAX_EVENT;
pub use tables::tables_of;
pub use timeline::{Limits, StatementView, Timeline, timeline};
pub use verify::{Finding, Report, Trust, verify_chain};
pub use writer::{Compression, Finished, SealedChunk, Start, WriteError, Writer};

/// For the fuzzer: reads anything as each thing that comes from outside, and must not panic.
#[doc(hidden)]
pub fn fuzz_reader(data: &[u8]) {
    let _ = codec::decode_body(bytes::Bytes::copy_from_slice(data));
    let _ = verify_chain(data, Trust::Header);
    let _ = tables_of(&redact_literals(data));
    let _ = scan(data);
    if let Ok(reader) = Reader::open(data, &NullKey) {
        reader.take(10_000).for_each(drop);
    }
}

/// The same for what a terminal showed: what is left only draws, and where it was cut changes nothing.
#[doc(hidden)]
pub fn fuzz_terminal(data: &[u8]) {
    let (head, tail) = data.split_at(data.len() / 2);
    let mut harmless = terminal::Harmless::for_terminals();
    let pieces = harmless.show(head) + &harmless.show(tail);
    assert!(pieces == terminal::Harmless::for_terminals().show(data), "a cut changes what is shown");
    let hidden = |c: char| matches!(c, '\0'..='\u{7}' | '\u{10}'..='\u{1a}' | '\u{1c}'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    assert!(!pieces.contains(hidden) && !pieces.contains("\u{1b}]") && !pieces.contains("\u{1b}P"));
    let again = terminal::Harmless::for_terminals().show(pieces.as_bytes());
    assert!(again == pieces, "what only draws passes as it is");
    let text = terminal::Text::default().show(data);
    assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "text drives a terminal");
}

/// The same for a sealed backup: as a file, and as the bytes of a piece that was decrypted. What it gives was signed for.
#[doc(hidden)]
pub fn fuzz_sealed(data: &[u8]) {
    if let Ok(mut reader) = sealed::SealedReader::open(data, &NullKey) {
        let copied = std::io::copy(&mut reader, &mut std::io::sink());
        assert_eq!(copied.ok(), reader.end().map(|end| end.bytes));
    }
    let plain = scratch::decompress(data);
    assert!(plain.is_none_or(|plain| plain.len() <= container::MAX_PLAINTEXT));
}

/// Opens every wrapped key as zeros, so that a fuzzer gets past the header.
struct NullKey;

impl Unwrap for NullKey {
    fn unwrap(&self, _: &KeyId, _: &[u8]) -> Result<keys::DataKey, keys::KeyError> {
        Ok(keys::DataKey::new([0; 32]))
    }
}

//! The ledger: an append-only Merkle log of everything that happened, and its verification anywhere.
//!
//! - [`event`]: what a leaf holds, and giving it its place. [`catalogue`]: the facts of each code.
//! - [`tree`]: RFC 6962, with proofs; [`plan`]: with few reads.
//! - [`checkpoint`]: the root, signed, in the C2SP form that other tools read. [`cosignature`]: by witnesses too.
//! - [`export`]: the log as a file. [`ocsf`]: events in the form of others. [`verify`]: is it whole and unaltered, and are the recordings there?
//!
//! Nothing here knows a store, a clock or a socket: the gateway stores [`Appended`] and [`Appender`] in the transaction
//! of the change that an event tells about. The forms are in the modules and, for auditors, in `docs/LEDGER.md`.

pub mod catalogue;
pub mod checkpoint;
pub mod cosignature;
pub mod event;
pub mod export;
pub mod finding;
#[doc(hidden)]
pub mod fuzz;
pub mod ocsf;
mod order;
pub mod plan;
pub mod tree;
pub mod verify;

pub use checkpoint::{Checkpoint, CheckpointError, CheckpointKey, SignatureLine, SignedCheckpoint};
pub use cosignature::{WitnessKey, Witnesses};
pub use event::{Appended, Appender, Draft, EventCode, Facts, LedgerEvent, Subject, recording_facts};
pub use export::ExportWriter;
pub use finding::{Finding, Report, Witnessed};
pub use hoop_recording::Hash;
pub use plan::Plan;
pub use tree::{Frontier, LeafHashes, leaf_hash};
pub use verify::{Recordings, verify_export, verify_witnessed};

/// For the fuzzer: reads anything as each thing that comes from outside, and must not panic.
#[doc(hidden)]
pub fn fuzz_reader(data: &[u8]) {
    let key = hoop_recording::VerifyingKey::from_bytes([7; 32]);
    if let Ok(key) = CheckpointKey::new("fuzz", key) {
        let _ = verify_export(data, &key, None, None);
    }
    let text = String::from_utf8_lossy(data);
    let _ = text.parse::<SignedCheckpoint>();
    let _ = text.parse::<CheckpointKey>();
    let _ = text.parse::<WitnessKey>();
    let _ = text.parse::<SignatureLine>();
    let _ = ocsf::plain(data, catalogue::Class::Personal);
    let _ = ocsf::ocsf(data, catalogue::Class::Public, "fuzz");
    let _ = LedgerEvent::from_leaf(data);
}

//! What the fuzzers call: bytes of anybody, as each thing that is read of a channel. Where they are cut must change nothing.

use std::{cell::Cell, collections::BTreeMap};

use bytes::Bytes;
use hoop_engine::{Event, RequestId, Timestamp};
use hoop_masking::MaskingKey;

use crate::{
    content::{Source, Transfer, Unreadable},
    mask::{Mask, Veil},
    scp::{Scp, ScpCommand},
    sftp::Sftp,
};

/// Bytes of each file that are copied: some files are longer.
const COPIES: u64 = 20;

/// A transfer by sftp. Each piece is a byte, whose lowest bit is set for the client's, and so many bytes as the others say.
pub fn sftp(data: &[u8]) {
    any_cut(data, || Box::new(Sftp::new(COPIES)));
}

/// One by scp, to the host if the first byte is even; then as [`sftp`].
pub fn scp(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let _ = ScpCommand::of(&Bytes::copy_from_slice(data));
    let text = if first % 2 == 0 { "scp -t /a" } else { "scp -f /a" };
    let Some(command) = ScpCommand::of(&Bytes::from(text)) else { return };
    any_cut(data, || Box::new(Scp::new(command.clone(), COPIES)));
}

/// What a host prints, masked.
pub fn output(data: &[u8]) {
    let masking = serde_json::from_str(r#"{"hosts": "detect"}"#);
    let (Ok(masking), Ok(key)) = (masking, MaskingKey::new(&[7; 32])) else { return };
    let Some(mask) = Mask::of(&masking, &key) else { return };
    let shown = |pieces: [&[u8]; 2]| {
        let mut veil = Veil::new(&mask);
        let mut out: Vec<u8> = pieces.into_iter().flat_map(|piece| veil.push(piece)).collect();
        out.extend(veil.end());
        let (taken, answered) = veil.progress();
        assert!(taken == answered, "text is held back at the end");
        out
    };
    let whole = shown([data, b""]);
    // More of what waits is let go, wherever that is.
    if data.len() < 4096 {
        assert!(whole == shown(data.split_at(data.len() / 2).into()), "a cut changes what is shown");
    }
}

struct Numbers(Cell<u64>);

impl Source for Numbers {
    fn next(&self) -> RequestId {
        self.0.set(self.0.get() + 1);
        RequestId(self.0.get())
    }

    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}

/// What is told, and the copies.
type Told = (Vec<Event>, BTreeMap<(RequestId, bool), Vec<u8>>);

fn any_cut(data: &[u8], make: impl Fn() -> Box<dyn Transfer>) {
    let whole = told(make(), data, usize::MAX);
    let cut = told(make(), data, 3);
    assert!(whole == cut, "a cut changes what is told");
    if let Ok((_, copies)) = whole {
        assert!(copies.values().all(|copy| copy.len() as u64 <= COPIES), "a copy is too long");
    }
}

fn told(mut transfer: Box<dyn Transfer>, mut data: &[u8], cut: usize) -> Result<Told, Unreadable> {
    let source = Numbers(Cell::new(0));
    let mut told = Vec::new();
    while let Some((head, rest)) = data.split_first() {
        let (piece, rest) = rest.split_at(usize::from(head >> 1).min(rest.len()));
        for piece in piece.chunks(cut) {
            let piece = Bytes::copy_from_slice(piece);
            let way =
                if head & 1 == 1 { transfer.up(&piece, &source) } else { transfer.down(&piece, &source) };
            told.extend(way?);
        }
        data = rest;
    }
    told.extend(transfer.finish(&source));
    let mut copies = BTreeMap::<_, Vec<u8>>::new();
    told.retain(|event| {
        let Event::Copy { id, direction, data } = event else { return true };
        let is_read = *direction == hoop_recording::event::Direction::Out;
        copies.entry((*id, is_read)).or_default().extend_from_slice(data);
        false
    });
    Ok((told, copies))
}

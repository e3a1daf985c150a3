//! Is a recording whole and unaltered? Answered without its key, from the chain and the manifest's signature.
//!
//! The check goes on after a finding, so that a report names everything that is wrong, each with its place. An
//! attacker who rewrites a whole recording with a key of his own is found by naming the agent's key in [`Trust`], and
//! one who removes it by the ledger.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, Read},
};

use hoop_model::SessionId;
use serde::Serialize;

use crate::{
    container::{Chunk, Frame, Header, Manifest, Tag, Trailer},
    frames::{FrameReader, Next},
    hash::Hash,
    keys::{KeyId, VerifyingKey},
};

/// Findings that a report names one by one.
const MAX_FINDINGS: usize = 200;
/// Missing chunks remembered, to tell a moved one from an inserted one.
const MAX_MISSING: u64 = 10_000;

/// Whom to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// The key that the recording itself names: shows damage, not a forger.
    Header,
    /// The agent's key, from its enrolment or from the ledger.
    Key(&'a VerifyingKey),
}

/// Something wrong, and where. `offset` is the byte at which the frame begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// No frame can be read here, nor anything behind it.
    Unreadable {
        /// Where.
        offset: u64,
        /// Why.
        reason: String,
    },
    /// The header's bytes are not those that chunk 0 follows.
    HeaderAltered,
    /// A chunk's bytes are not those that were recorded.
    Altered {
        /// Which.
        chunk: u64,
        /// Where.
        offset: u64,
    },
    /// Chunks are missing.
    Missing {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
        /// Where they belong.
        offset: u64,
    },
    /// A chunk stands behind one that came later.
    Moved {
        /// Which.
        chunk: u64,
        /// Where it stands.
        offset: u64,
    },
    /// A chunk stands where none belongs: a copy, or a made one.
    Inserted {
        /// The number it has.
        chunk: u64,
        /// Where it stands.
        offset: u64,
    },
    /// There is no trailer.
    CutOff {
        /// The last whole chunk.
        after_chunk: Option<u64>,
        /// Where the recording ends.
        offset: u64,
    },
    /// The manifest is not signed by the key it should be.
    Signature {
        /// Where the trailer stands.
        offset: u64,
    },
    /// The recording names another signing key than the one trusted.
    WrongSigner {
        /// The key trusted.
        trusted: VerifyingKey,
        /// The key that the recording names.
        named: VerifyingKey,
    },
    /// The manifest tells of something else than what is there.
    Manifest {
        /// Which field.
        field: &'static str,
        /// As signed.
        said: String,
        /// As found.
        found: String,
    },
    /// Something stands behind the trailer.
    AfterEnd {
        /// Where.
        offset: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { offset, reason } => write!(f, "unreadable from byte {offset}: {reason}"),
            Self::HeaderAltered => f.write_str("the header was altered"),
            Self::Altered { chunk, offset } => write!(f, "chunk {chunk} at byte {offset} was altered"),
            Self::Missing { first, last, offset } => {
                write!(f, "chunks {first} to {last} are missing at byte {offset}")
            }
            Self::Moved { chunk, offset } => write!(f, "chunk {chunk} was moved to byte {offset}"),
            Self::Inserted { chunk, offset } => write!(f, "a chunk {chunk} was inserted at byte {offset}"),
            Self::CutOff { after_chunk: Some(chunk), offset } => {
                write!(f, "cut off after chunk {chunk}, at byte {offset}")
            }
            Self::CutOff { after_chunk: None, offset } => {
                write!(f, "cut off at byte {offset}, before any chunk")
            }
            Self::Signature { offset } => {
                write!(f, "the manifest at byte {offset} is not signed by the agent")
            }
            Self::WrongSigner { trusted, named } => {
                write!(f, "the recording is by key {named}; the agent's is {trusted}")
            }
            Self::Manifest { field, said, found } => {
                write!(f, "the manifest's {field} is {said}; found was {found}")
            }
            Self::AfterEnd { offset } => write!(f, "something follows the trailer at byte {offset}"),
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Whose recording it says it is.
    pub session: Option<SessionId>,
    /// The signing key it names.
    pub signer: Option<VerifyingKey>,
    /// The recording key that it says it was encrypted for.
    pub recording_key: Option<KeyId>,
    /// Chunks found.
    pub chunks: u64,
    /// Bytes of header and chunks.
    pub bytes: u64,
    /// Hash of the last chunk in the chain.
    pub head: Option<Hash>,
    /// The manifest, if its signature is good.
    pub manifest: Option<Manifest>,
    /// What is wrong, in the order found; at most 200.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing wrong, and signed to its end?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.manifest.is_some()
    }
}

/// Checks chain and signature.
///
/// # Errors
/// When the input itself fails; what is wrong with the recording stands in the report.
pub fn verify_chain(input: impl Read, trust: Trust<'_>) -> io::Result<Report> {
    let mut frames = FrameReader::new(input);
    let mut walk = Walk::default();
    let header = match frames.next_frame()? {
        Next::Frame { frame, .. } => match Header::from_frame(&frame) {
            Ok(header) => walk.begin(&frame, header, trust),
            Err(error) => return Ok(walk.unreadable(0, error.to_string())),
        },
        Next::Bad { error, .. } => return Ok(walk.unreadable(0, error.to_string())),
        Next::End { .. } | Next::Cut { .. } => {
            walk.find(Finding::CutOff { after_chunk: None, offset: 0 });
            return Ok(walk.report);
        }
    };
    loop {
        match frames.next_frame()? {
            Next::Frame { offset, frame } => match frame.tag {
                _ if walk.trailer_seen => {
                    walk.find(Finding::AfterEnd { offset });
                    break;
                }
                Tag::Header => {
                    walk.find(Finding::Unreadable { offset, reason: "a second header".into() });
                    break;
                }
                Tag::Chunk => match Chunk::from_frame(&frame) {
                    Ok(chunk) => walk.chunk(&chunk, &frame, offset),
                    Err(error) => walk.find(Finding::Unreadable { offset, reason: error.to_string() }),
                },
                Tag::Trailer => walk.trailer(&frame, offset, &header, trust),
            },
            Next::Cut { offset } | Next::Bad { offset, .. } if walk.trailer_seen => {
                walk.find(Finding::AfterEnd { offset });
                break;
            }
            Next::Bad { offset, error } => {
                walk.find(Finding::Unreadable { offset, reason: error.to_string() });
                break;
            }
            Next::Cut { offset } | Next::End { offset } => {
                if !walk.trailer_seen {
                    walk.find(Finding::CutOff { after_chunk: walk.expected.checked_sub(1), offset });
                }
                break;
            }
        }
    }
    Ok(walk.end())
}

/// A link of the chain that does not hold: which of its two ends was altered shows at the next link.
#[derive(Clone, Copy)]
struct BrokenLink {
    /// The frame before it; `None`: the header.
    before: Option<(u64, u64)>,
    /// The number and place of the chunk that names it.
    after: (u64, u64),
}

#[derive(Default)]
struct Walk {
    report: Report,
    head: Option<Hash>,
    header: Option<Hash>,
    expected: u64,
    last: Option<(u64, u64)>,
    broken: Option<BrokenLink>,
    /// After a missing chunk the next link cannot be checked.
    unlinked: bool,
    missing: BTreeSet<u64>,
    trailer_seen: bool,
}

impl Walk {
    fn find(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        }
    }

    fn unreadable(mut self, offset: u64, reason: String) -> Report {
        self.find(Finding::Unreadable { offset, reason });
        self.report
    }

    fn begin(&mut self, frame: &Frame, header: Header, trust: Trust<'_>) -> Header {
        self.report.session = Some(header.session);
        self.report.signer = Some(header.signer);
        self.report.recording_key = Some(header.key_id);
        self.report.bytes = frame.bytes.len() as u64;
        self.head = Some(frame.hash());
        self.header = self.head;
        if let Trust::Key(trusted) = trust
            && *trusted != header.signer
        {
            self.find(Finding::WrongSigner { trusted: *trusted, named: header.signer });
        }
        header
    }

    fn chunk(&mut self, chunk: &Chunk, frame: &Frame, offset: u64) {
        self.report.chunks += 1;
        self.report.bytes += frame.bytes.len() as u64;
        let linked = Some(chunk.prev) == self.head && !self.unlinked;
        if chunk.seq == self.expected {
            self.link(linked || self.unlinked, (chunk.seq, offset));
            self.take(chunk.seq, frame, offset);
        } else if linked {
            // It follows the chunk before it, so it is the next one, and its number alone was altered.
            self.find(Finding::Altered { chunk: self.expected, offset });
            self.broken = None;
            self.take(self.expected, frame, offset);
            self.unlinked = true;
        } else if chunk.seq > self.expected {
            self.skip_to(chunk.seq, offset);
            self.take(chunk.seq, frame, offset);
        } else if self.missing.remove(&chunk.seq) {
            self.find(Finding::Moved { chunk: chunk.seq, offset });
        } else {
            self.find(Finding::Inserted { chunk: chunk.seq, offset });
        }
    }

    fn take(&mut self, seq: u64, frame: &Frame, offset: u64) {
        self.head = Some(frame.hash());
        self.last = Some((seq, offset));
        self.expected = seq.saturating_add(1);
        self.unlinked = false;
    }

    fn skip_to(&mut self, seq: u64, offset: u64) {
        self.settle();
        let (first, last) = (self.expected, seq.saturating_sub(1));
        self.find(Finding::Missing { first, last, offset });
        let remembered = first..=last.min(first.saturating_add(MAX_MISSING));
        if self.missing.is_empty() {
            self.missing.extend(remembered);
        }
    }

    /// The chunk at `here` names its predecessor, rightly or not.
    fn link(&mut self, holds: bool, here: (u64, u64)) {
        match (self.broken.take(), holds) {
            (None, true) => {}
            (None, false) => self.broken = Some(BrokenLink { before: self.last, after: here }),
            (Some(broken), true) => self.altered(broken.before),
            (Some(broken), false) => self.altered(Some(broken.after)),
        }
    }

    fn altered(&mut self, which: Option<(u64, u64)>) {
        self.find(match which {
            Some((chunk, offset)) => Finding::Altered { chunk, offset },
            None => Finding::HeaderAltered,
        });
    }

    /// Nothing more will be learnt about a broken link: its earlier end is named.
    fn settle(&mut self) {
        if let Some(broken) = self.broken.take() {
            self.altered(broken.before);
        }
    }

    fn trailer(&mut self, frame: &Frame, offset: u64, header: &Header, trust: Trust<'_>) {
        self.trailer_seen = true;
        let trailer = match Trailer::from_frame(frame) {
            Ok(trailer) => trailer,
            Err(error) => return self.find(Finding::Unreadable { offset, reason: error.to_string() }),
        };
        let key = match trust {
            Trust::Header => &header.signer,
            Trust::Key(key) => key,
        };
        if !trailer.is_signed_by(key) {
            return self.find(Finding::Signature { offset });
        }
        self.manifest(&trailer.manifest, offset, header);
        self.report.manifest = Some(trailer.manifest);
    }

    fn manifest(&mut self, manifest: &Manifest, offset: u64, header: &Header) {
        if manifest.chunks > self.expected {
            let last = manifest.chunks - 1;
            self.find(Finding::Missing { first: self.expected, last, offset });
        } else if manifest.chunks < self.expected {
            let at = self.last.map_or(offset, |(_, at)| at);
            self.find(Finding::Inserted { chunk: manifest.chunks, offset: at });
        } else {
            self.link(Some(manifest.head) == self.head || self.unlinked, (manifest.chunks, offset));
            self.settle();
        }
        if manifest.session != header.session {
            let (said, found) = (manifest.session.to_string(), header.session.to_string());
            self.find(Finding::Manifest { field: "session", said, found });
        }
        let header_hash = self.header.map_or_else(String::new, |hash| hash.to_string());
        if manifest.header.to_string() != header_hash
            && !self.report.findings.contains(&Finding::HeaderAltered)
        {
            self.find(Finding::HeaderAltered);
        }
        if self.report.findings.is_empty() && manifest.bytes != self.report.bytes {
            let (said, found) = (manifest.bytes.to_string(), self.report.bytes.to_string());
            self.find(Finding::Manifest { field: "number of bytes", said, found });
        }
    }

    fn end(mut self) -> Report {
        self.settle();
        self.report.head = self.head;
        self.report
    }
}

//! What the fuzz targets call: one peer says whatever it likes, cut at any place, before and after log-in.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use hoop_engine::{Credential, Engine as _, LoginCache, Output, RecordingLimits, Side, StreamContext};
use hoop_masking::MaskingKey;
use hoop_model::{Redacted, SessionId, StreamId, Timestamp, UserName};
use hoop_policy::{Masking, Rules, StatementRule, Warrant};

use crate::{engine::PostgresEngine, settings::EngineSettings};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const STARTUP: &[u8] = b"\0\0\0\x10\0\x03\0\0user\0a\0\0";
const LOGGED_IN: &[u8] = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01abcdZ\0\0\0\x05I";
/// What a server answers to the look-up of masked columns: `public.t`, whose first column holds an SSN.
const LOOKED_UP: &[u8] =
    b"D\0\0\0\x3a\0\x08\0\0\0\x0516400\0\0\0\x06public\0\0\0\x01t\0\0\0\x011\0\0\0\x03ssn\
    \0\0\0\x0225\0\0\0\x010\0\0\0\x01fD\0\0\0\x0f\0\x01\0\0\0\x0516400Z\0\0\0\x05I";
/// One of each kind of request, so that a target has something to answer.
const REQUESTS: &[u8] = b"Q\0\0\0\x06a\0P\0\0\0\x09\0a\0\0\0B\0\0\0\x0c\0\0\0\0\0\0\0\0D\0\0\0\x06P\0\
    E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04F\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0";

/// The client's bytes: the first says in which phase they come, the second in what pieces.
pub fn client(data: &[u8]) {
    let Some((&[phase, piece], rest)) = data.split_first_chunk::<2>() else { return };
    let Some(mut stand) = Stand::new(phase) else { return };
    if phase & 1 == 1 {
        stand.feed(Side::Client, STARTUP, usize::MAX);
        stand.log_in(phase);
    }
    stand.feed(Side::Client, rest, usize::from(piece));
}

/// The target's bytes: as with [`client`].
pub fn target(data: &[u8]) {
    let Some((&[phase, piece], rest)) = data.split_first_chunk::<2>() else { return };
    let Some(mut stand) = Stand::new(phase) else { return };
    stand.feed(Side::Client, STARTUP, usize::MAX);
    if phase & 1 == 1 {
        stand.log_in(phase);
        stand.feed(Side::Client, REQUESTS, usize::MAX);
    }
    stand.feed(Side::Target, rest, usize::from(piece));
}

/// Nothing is masked, what detectors find (4), or columns by name as well (2).
fn masking(phase: u8) -> Option<Masking> {
    Some(match phase & 6 {
        0 => Masking::None,
        4 => Masking::default(),
        _ => serde_json::from_str(r#"{"columns": [{"columns": ["t.ssn"], "kind": "ssn"}]}"#).ok()?,
    })
}

/// None, or one that is looked at again (8).
fn statements(phase: u8) -> Option<Vec<StatementRule>> {
    if phase & 8 == 0 {
        return Some(Vec::new());
    }
    let rules = r#"[{"name": "w", "action": "warn", "verbs": ["a"]},
        {"name": "a", "action": "allow", "at_most": {"rows": 2}, "rate": {"statements": 5, "per": "1m"}}]"#;
    serde_json::from_str(rules).ok()
}

/// An engine and what decides for it.
struct Stand {
    engine: PostgresEngine,
    warrant: Warrant,
}

impl Stand {
    fn new(phase: u8) -> Option<Self> {
        let limits = RecordingLimits { rows_per_request: 100, copy_per_request: 100, value: 100 };
        let settings = EngineSettings { database: None, tls: false, allow_md5_without_tls: true, limits };
        let rules = Rules {
            allow_replication: true,
            masking: masking(phase)?,
            statements: statements(phase)?,
            ..Rules::default()
        };
        let stream = StreamContext {
            groups: Vec::new(),
            session: SessionId::from_bytes([1; 16]),
            stream: StreamId(0),
            person: UserName::new("ada").ok()?,
            rules: Arc::new(rules.clone()),
            masking_key: MaskingKey::new(&[7; 32]).ok()?,
            cancel_seed: Redacted::new((0..36).collect()),
            login_cache: Arc::new(LoginCache::default()),
            login_timeout: Duration::from_secs(10),
        };
        let credential = Credential { user: "app".to_owned(), password: Some(Redacted::new("p".to_owned())) };
        Some(Self {
            engine: PostgresEngine::new(Arc::new(settings), stream, credential, NOW),
            // What is seen of a text matters more than who may replicate.
            warrant: Warrant::new(Rules { masking: masking(2)?, ..rules }, NOW.after(Duration::from_secs(1))),
        })
    }

    fn log_in(&mut self, phase: u8) {
        self.feed(Side::Target, LOGGED_IN, usize::MAX);
        if phase & 2 == 2 {
            self.feed(Side::Target, LOOKED_UP, usize::MAX);
        }
    }

    fn feed(&mut self, from: Side, bytes: &[u8], piece: usize) {
        let mut input = BytesMut::new();
        for piece in bytes.chunks(piece.max(1)) {
            input.extend_from_slice(piece);
            if self.engine.handle_input(from, &mut input, NOW).is_err() || !self.drain() {
                return;
            }
        }
    }

    /// False once the stream is closed.
    fn drain(&mut self) -> bool {
        loop {
            match self.engine.poll_output() {
                Output::Idle { .. } => return true,
                Output::Close { .. } => return false,
                Output::Decide { id, question } => {
                    let verdict = self.warrant.decide(&question.as_action(), NOW);
                    self.engine.handle_verdict(id, verdict, NOW);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_understood_and_answered() {
        let mut stand = Stand::new(0).unwrap();
        stand.feed(Side::Client, STARTUP, usize::MAX);
        stand.feed(Side::Target, LOGGED_IN, 1);
        stand.feed(Side::Client, REQUESTS, 1);
        let answers = b"Z\0\0\0\x05I1\0\0\0\x042\0\0\0\x04n\0\0\0\x04I\0\0\0\x04Z\0\0\0\x05IZ\0\0\0\x05I";
        let mut input = BytesMut::from(&answers[..]);
        assert_eq!(stand.engine.handle_input(Side::Target, &mut input, NOW), Ok(()));
        assert!(stand.drain());
    }

    #[test]
    fn masked_columns_are_known_by_their_number() {
        let mut stand = Stand::new(2).unwrap();
        stand.feed(Side::Client, STARTUP, usize::MAX);
        stand.log_in(2);
        stand.feed(Side::Client, b"Q\0\0\0\x06a\0", usize::MAX);
        let described = b"T\0\0\0\x1a\0\x01x\0\0\0@\x10\0\x01\0\0\0\x19\0\0\0\0\0\0\0\0";
        let row = b"D\0\0\0\x15\0\x01\0\0\0\x0b123-45-6789";
        let mut input = BytesMut::from(&[&described[..], row].concat()[..]);
        assert_eq!(stand.engine.handle_input(Side::Target, &mut input, NOW), Ok(()));
        let sent = std::iter::from_fn(|| match stand.engine.poll_output() {
            Output::Idle { .. } => None,
            Output::Send { bytes, .. } => Some(bytes.to_vec()),
            _ => Some(Vec::new()),
        });
        assert!(sent.collect::<Vec<_>>().concat().ends_with(b"D\0\0\0\x0f\0\x01\0\0\0\x05[ssn]"));
    }

    #[test]
    fn more_than_a_rule_allows_ends_the_stream() {
        let mut stand = Stand::new(8).unwrap();
        stand.feed(Side::Client, STARTUP, usize::MAX);
        stand.log_in(8);
        stand.feed(Side::Client, b"Q\0\0\0\x06a\0", usize::MAX);
        let described = b"T\0\0\0\x1a\0\x01x\0\0\0@\x10\0\x01\0\0\0\x19\0\0\0\0\0\0\0\0";
        let row = b"D\0\0\0\x0b\0\x01\0\0\0\x01a";
        let mut input = BytesMut::from(&[&described[..], row, row].concat()[..]);
        assert!(stand.engine.handle_input(Side::Target, &mut input, NOW).is_ok() && stand.drain());
        let mut input = BytesMut::from(&row[..]);
        assert!(stand.engine.handle_input(Side::Target, &mut input, NOW).is_err());
    }

    #[test]
    fn garbage() {
        for phase in 0..16 {
            client(&[&[phase, 3], REQUESTS, b"garbage"].concat());
            target(&[&[phase, 3], LOGGED_IN, b"garbage"].concat());
        }
    }
}

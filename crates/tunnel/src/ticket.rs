//! One-use tickets: the connector's, which name a session, and the agent's claims for connections it dialled ahead.
//!
//! Both are short, derived from a secret that the gateway minted, and travel in the clear in a ClientHello (see
//! [`crate::dispatch`]). They only decide *which* two connections the gateway pairs; who is at their ends is proven by
//! the inner TLS. Knows no socket and no clock: a ticket is late by its counter, not by its time.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use hoop_model::{AgentId, Redacted, SessionId};
use subtle::ConstantTimeEq as _;

/// Bytes of a secret.
const SECRET: usize = 32;
/// HMAC-SHA-256 cut to 128 bits (RFC 2104 §5 allows half): a forger has one try a connection.
const TAG: usize = 16;
const TICKET: usize = 16 + 4 + TAG;
const CLAIM: usize = 16 + 8 + 4 + TAG;

const TICKET_LABEL: &[u8] = b"hoop ticket v1";
const CLAIM_LABEL: &[u8] = b"hoop claim v1";
const STREAM_LABEL: &[u8] = b"hoop stream key v1";

/// Why a ticket or claim is refused. What the peer learns is a closed connection, nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not the form of one.
    #[error("not a ticket")]
    Malformed,
    /// The MAC is wrong: another session's, or made up.
    #[error("the ticket was not made with this secret")]
    Forged,
    /// Its counter was used.
    #[error("the ticket was used before")]
    Used,
    /// Its counter lies so far behind that it is no longer known whether it was used.
    #[error("the ticket is too old")]
    TooOld,
    /// Its counter lies too far ahead.
    #[error("the ticket's counter is too far ahead")]
    TooFarAhead,
    /// All 2^32 counters are used up.
    #[error("no tickets are left for this session")]
    Exhausted,
}

/// What tickets of one session are derived from; the gateway mints it, connector and agent are told.
#[derive(Clone)]
pub struct SessionSecret(Redacted<[u8; SECRET]>);

/// What claims of one agent are derived from, for one epoch of its control stream.
#[derive(Clone)]
pub struct ClaimSecret(Redacted<[u8; SECRET]>);

macro_rules! secret {
    ($name:ident) => {
        impl $name {
            /// From 32 bytes that came over an authenticated channel.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; SECRET]) -> Self {
                Self(Redacted::new(bytes))
            }

            /// The bytes, to be sent over an authenticated channel. Each call is a place to look at in review.
            #[must_use]
            pub const fn expose(&self) -> &[u8; SECRET] {
                self.0.expose()
            }

            /// A new one.
            ///
            /// # Errors
            /// [`NoRandomness`] if the system has none.
            pub fn generate() -> Result<Self, NoRandomness> {
                let mut bytes = [0; SECRET];
                aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
                Ok(Self(Redacted::new(bytes)))
            }

            fn tag(&self, label: &[u8], parts: &[&[u8]]) -> [u8; TAG] {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
                let mut context = hmac::Context::with_key(&key);
                context.update(label);
                for part in parts {
                    context.update(part);
                }
                let mut tag = [0; TAG];
                for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
                    *to = *from;
                }
                tag
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}
secret!(SessionSecret);
secret!(ClaimSecret);

impl SessionSecret {
    /// What protocols derive their own proofs from, inside the session's streams. It tells nothing about tickets.
    #[must_use]
    pub fn stream_key(&self) -> Redacted<[u8; SECRET]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose());
        let mut derived = [0; SECRET];
        for (to, from) in derived.iter_mut().zip(hmac::sign(&key, STREAM_LABEL).as_ref()) {
            *to = *from;
        }
        Redacted::new(derived)
    }
}

/// The system's source of randomness failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system has no randomness to make a secret from")]
pub struct NoRandomness;

/// One use of a session's path through the gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    session: SessionId,
    counter: u32,
    tag: [u8; TAG],
}

impl Ticket {
    /// Derives the ticket with this counter.
    #[must_use]
    pub fn derive(secret: &SessionSecret, session: SessionId, counter: u32) -> Self {
        let tag = secret.tag(TICKET_LABEL, &[session.as_bytes(), &counter.to_be_bytes()]);
        Self { session, counter, tag }
    }

    /// The session it claims to be of. Unproven until [`Ticket::verify`].
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Its counter. Unproven until [`Ticket::verify`].
    #[must_use]
    pub const fn counter(&self) -> u32 {
        self.counter
    }

    /// Whether the MAC is this secret's, compared in constant time.
    ///
    /// # Errors
    /// [`TicketError::Forged`].
    pub fn verify(&self, secret: &SessionSecret) -> Result<(), TicketError> {
        let expected = Self::derive(secret, self.session, self.counter);
        bool::from(expected.tag.ct_eq(&self.tag)).then_some(()).ok_or(TicketError::Forged)
    }

    /// The written form: base64url without padding (RFC 4648 §5).
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(TICKET);
        bytes.extend_from_slice(self.session.as_bytes());
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.tag);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads the written form.
    ///
    /// # Errors
    /// [`TicketError::Malformed`].
    pub fn decode(text: &[u8]) -> Result<Self, TicketError> {
        let bytes: [u8; TICKET] = decode(text)?;
        let (session, rest) = bytes.split_first_chunk::<16>().ok_or(TicketError::Malformed)?;
        let (counter, tag) = rest.split_first_chunk::<4>().ok_or(TicketError::Malformed)?;
        Ok(Self {
            session: SessionId::from_bytes(*session),
            counter: u32::from_be_bytes(*counter),
            tag: tag.try_into().map_err(|_| TicketError::Malformed)?,
        })
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("session", &self.session)
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

/// One connection that an agent dialled ahead.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    agent: AgentId,
    epoch: u64,
    counter: u32,
    tag: [u8; TAG],
}

impl Claim {
    /// Derives the claim with this counter. `epoch` names the control stream that the secret was given on.
    #[must_use]
    pub fn derive(secret: &ClaimSecret, agent: AgentId, epoch: u64, counter: u32) -> Self {
        let parts: [&[u8]; 3] = [agent.as_bytes(), &epoch.to_be_bytes(), &counter.to_be_bytes()];
        Self { agent, epoch, counter, tag: secret.tag(CLAIM_LABEL, &parts) }
    }

    /// The agent it claims to be of. Unproven until [`Claim::verify`].
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// The control stream's epoch. Unproven until [`Claim::verify`].
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its counter. Unproven until [`Claim::verify`].
    #[must_use]
    pub const fn counter(&self) -> u32 {
        self.counter
    }

    /// Whether the MAC is this secret's, compared in constant time.
    ///
    /// # Errors
    /// [`TicketError::Forged`].
    pub fn verify(&self, secret: &ClaimSecret) -> Result<(), TicketError> {
        let expected = Self::derive(secret, self.agent, self.epoch, self.counter);
        bool::from(expected.tag.ct_eq(&self.tag)).then_some(()).ok_or(TicketError::Forged)
    }

    /// The written form: base64url without padding.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(CLAIM);
        bytes.extend_from_slice(self.agent.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.tag);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Reads the written form.
    ///
    /// # Errors
    /// [`TicketError::Malformed`].
    pub fn decode(text: &[u8]) -> Result<Self, TicketError> {
        let bytes: [u8; CLAIM] = decode(text)?;
        let (agent, rest) = bytes.split_first_chunk::<16>().ok_or(TicketError::Malformed)?;
        let (epoch, rest) = rest.split_first_chunk::<8>().ok_or(TicketError::Malformed)?;
        let (counter, tag) = rest.split_first_chunk::<4>().ok_or(TicketError::Malformed)?;
        Ok(Self {
            agent: AgentId::from_bytes(*agent),
            epoch: u64::from_be_bytes(*epoch),
            counter: u32::from_be_bytes(*counter),
            tag: tag.try_into().map_err(|_| TicketError::Malformed)?,
        })
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("agent", &self.agent)
            .field("epoch", &self.epoch)
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

fn decode<const N: usize>(text: &[u8]) -> Result<[u8; N], TicketError> {
    if text.len() > N * 2 {
        return Err(TicketError::Malformed);
    }
    let bytes = BASE64URL_NOPAD.decode(text).map_err(|_| TicketError::Malformed)?;
    bytes.try_into().map_err(|_| TicketError::Malformed)
}

/// Hands out a session's tickets, each once. Shared by all streams of a connector.
#[derive(Debug)]
pub struct TicketMint {
    session: SessionId,
    secret: SessionSecret,
    next: std::sync::atomic::AtomicU64,
}

impl TicketMint {
    /// Tickets from `first` on: where the API answered a ticket with counter 0 already, start at 1.
    #[must_use]
    pub const fn new(session: SessionId, secret: SessionSecret, first: u32) -> Self {
        #[expect(clippy::as_conversions, reason = "u64::from is not const")]
        Self { session, secret, next: std::sync::atomic::AtomicU64::new(first as u64) }
    }

    /// The next ticket.
    ///
    /// # Errors
    /// [`TicketError::Exhausted`] after 2^32.
    pub fn next_ticket(&self) -> Result<Ticket, TicketError> {
        let counter = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let counter = u32::try_from(counter).map_err(|_| TicketError::Exhausted)?;
        Ok(Ticket::derive(&self.secret, self.session, counter))
    }

    /// The session whose tickets these are.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }
}

/// Counters behind the highest one whose use is remembered.
const WINDOW: u32 = 1024;
const WORDS: usize = 16;
/// How far a counter may jump. Dials that failed before they came here use counters up too, so this is generous; it
/// keeps one wrong ticket from using up a session's counters.
const AHEAD: u32 = 1 << 20;

/// Which counters were used: 128 bytes, whatever the traffic (as the replay window of RFC 4303 §3.4.3).
#[derive(Debug, Clone)]
pub struct TicketWindow {
    /// One above the highest counter used; 0 while none was.
    edge: u64,
    used: [u64; WORDS],
}

impl Default for TicketWindow {
    fn default() -> Self {
        Self { edge: 0, used: [0; WORDS] }
    }
}

impl TicketWindow {
    /// Marks a counter as used. Call it only for a ticket whose MAC was verified.
    ///
    /// # Errors
    /// [`TicketError::Used`], [`TicketError::TooOld`] or [`TicketError::TooFarAhead`]; nothing is changed then.
    pub fn admit(&mut self, counter: u32) -> Result<(), TicketError> {
        let at = u64::from(counter);
        if at >= self.edge {
            if at - self.edge >= u64::from(AHEAD) {
                return Err(TicketError::TooFarAhead);
            }
            self.clear_from(self.edge, at);
            self.edge = at + 1;
        } else if self.edge - at > u64::from(WINDOW) {
            return Err(TicketError::TooOld);
        } else if self.bit(at).is_some_and(|(word, mask)| *word & mask != 0) {
            return Err(TicketError::Used);
        }
        if let Some((word, mask)) = self.bit(at) {
            *word |= mask;
        }
        Ok(())
    }

    /// Whether a counter was used, or may have been.
    #[must_use]
    pub fn is_used(&self, counter: u32) -> bool {
        let at = u64::from(counter);
        if at >= self.edge {
            return false;
        }
        self.edge - at > u64::from(WINDOW)
            || self.clone().bit(at).is_some_and(|(word, mask)| *word & mask != 0)
    }

    fn clear_from(&mut self, from: u64, to: u64) {
        if to - from >= u64::from(WINDOW) {
            self.used = [0; WORDS];
            return;
        }
        for at in from..=to {
            if let Some((word, mask)) = self.bit(at) {
                *word &= !mask;
            }
        }
    }

    fn bit(&mut self, at: u64) -> Option<(&mut u64, u64)> {
        let slot = at % u64::from(WINDOW);
        let word = self.used.get_mut(usize::try_from(slot / 64).ok()?)?;
        Some((word, 1 << (slot % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(byte: u8) -> SessionSecret {
        SessionSecret::from_bytes([byte; 32])
    }

    #[test]
    fn a_ticket_survives_its_written_form() {
        let ticket = Ticket::derive(&secret(1), SessionId::generate(), 7);
        let text = ticket.encode();
        assert_eq!(text.len(), 48);
        let back = Ticket::decode(text.as_bytes()).unwrap();
        assert_eq!(back, ticket);
        assert_eq!(back.verify(&secret(1)), Ok(()));
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let text = Ticket::derive(&secret(1), SessionId::generate(), 7).encode();
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = Ticket::decode(BASE64URL_NOPAD.encode(&forged).as_bytes()).unwrap();
            assert_eq!(forged.verify(&secret(1)), Err(TicketError::Forged), "bit {bit}");
        }
    }

    #[test]
    fn another_sessions_secret_is_refused() {
        let ticket = Ticket::derive(&secret(1), SessionId::generate(), 0);
        assert_eq!(ticket.verify(&secret(2)), Err(TicketError::Forged));
    }

    #[test]
    fn a_ticket_is_no_claim_even_under_the_same_secret() {
        let id = [9; 16];
        let ticket = Ticket::derive(&secret(1), SessionId::from_bytes(id), 0);
        let claim = Claim::derive(&ClaimSecret::from_bytes([1; 32]), AgentId::from_bytes(id), 0, 0);
        assert_ne!(ticket.tag, claim.tag);
        assert!(Claim::decode(ticket.encode().as_bytes()).is_err());
        assert!(Ticket::decode(claim.encode().as_bytes()).is_err());
    }

    #[test]
    fn a_claim_is_bound_to_agent_epoch_and_counter() {
        let key = ClaimSecret::from_bytes([3; 32]);
        let claim = Claim::derive(&key, AgentId::generate(), 5, 6);
        let back = Claim::decode(claim.encode().as_bytes()).unwrap();
        assert_eq!((back.agent(), back.epoch(), back.counter()), (claim.agent(), 5, 6));
        assert_eq!(back.verify(&key), Ok(()));
        for wrong in [
            Claim { agent: AgentId::generate(), ..claim.clone() },
            Claim { epoch: 6, ..claim.clone() },
            Claim { counter: 7, ..claim.clone() },
        ] {
            assert_eq!(wrong.verify(&key), Err(TicketError::Forged));
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        let good = Ticket::derive(&secret(1), SessionId::generate(), 0).encode();
        for text in ["", "a", "!!!", &good[1..], &format!("{good}A"), &format!("{good}="), &good.repeat(100)]
        {
            assert_eq!(Ticket::decode(text.as_bytes()), Err(TicketError::Malformed), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SessionSecret::from_bytes([0xab; 32]);
        let ticket = Ticket::derive(&key, SessionId::generate(), 0);
        let shown =
            format!("{key:?} {ticket:?} {:?}", TicketMint::new(SessionId::generate(), key.clone(), 0));
        assert!(!shown.contains("171"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", ticket.tag)));
        assert!(!shown.contains("tag"));
    }

    #[test]
    fn a_counter_is_admitted_once() {
        let mut window = TicketWindow::default();
        assert_eq!(window.admit(0), Ok(()));
        assert_eq!(window.admit(0), Err(TicketError::Used));
        assert_eq!(window.admit(5), Ok(()));
        assert_eq!(window.admit(3), Ok(()), "late but within the window");
        assert_eq!(window.admit(3), Err(TicketError::Used));
        assert_eq!(window.admit(5), Err(TicketError::Used));
    }

    #[test]
    fn late_and_far_counters_are_refused() {
        let mut window = TicketWindow::default();
        assert_eq!(window.admit(5000), Ok(()));
        assert_eq!(window.admit(5000 - 1024), Err(TicketError::TooOld));
        assert_eq!(window.admit(5000 - 1023), Ok(()));
        assert_eq!(window.admit(5001 + AHEAD), Err(TicketError::TooFarAhead));
        assert_eq!(window.admit(u32::MAX), Err(TicketError::TooFarAhead));
        assert_eq!(window.admit(5001), Ok(()), "a refused counter moved nothing");
    }

    #[test]
    fn the_mint_never_repeats_and_ends() {
        let mint = TicketMint::new(SessionId::generate(), secret(1), u32::MAX - 1);
        assert_eq!(mint.next_ticket().unwrap().counter(), u32::MAX - 1);
        assert_eq!(mint.next_ticket().unwrap().counter(), u32::MAX);
        assert_eq!(mint.next_ticket(), Err(TicketError::Exhausted));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(counters in proptest::collection::vec(0u32..4000, 0..600)) {
            let mut window = TicketWindow::default();
            let mut used = std::collections::HashSet::new();
            for counter in counters {
                let seen = used.contains(&counter);
                prop_assert!(!seen || window.is_used(counter));
                match window.admit(counter) {
                    Ok(()) => prop_assert!(used.insert(counter), "{} twice", counter),
                    Err(TicketError::Used) => prop_assert!(seen),
                    Err(TicketError::TooOld) => {
                        prop_assert!(used.iter().max().is_some_and(|highest| highest - counter >= WINDOW));
                    }
                    Err(other) => prop_assert!(false, "{other}"),
                }
            }
        }
    }
}

//! Where a new connection goes, by the application protocols of its ClientHello (RFC 7301).
//!
//! The ticket rides in ALPN and not in the server name, see `docs/decisions/0002-ticket-in-alpn.md`. Nothing here
//! says that a ticket is good; see [`crate::ticket`].

use crate::{
    hello::Hello,
    ticket::{Claim, Ticket, TicketError},
};

/// Session data: what the inner TLS of connector and agent agrees on.
pub const ALPN_SESSION: &[u8] = b"hoop-session/1";
/// The agent's control stream, terminated by the gateway.
pub const ALPN_CONTROL: &[u8] = b"hoop-control/1";
/// Before a connector's ticket.
pub const ALPN_TICKET_PREFIX: &[u8] = b"hoop-ticket/";
/// Before an agent's claim.
pub const ALPN_CLAIM_PREFIX: &[u8] = b"hoop-claim/";

const OURS: &[u8] = b"hoop-";

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dispatch {
    /// HTTPS: API and console. Also what offers names that nobody knows; its TLS refuses them.
    Http,
    /// An agent's control stream.
    Control,
    /// Session data from a connector.
    Session(Ticket),
    /// A connection that an agent dialled ahead.
    Claim(Claim),
}

/// Why a connection goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// A ticket or claim that is none.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Names that do not go together, or of a version we do not speak.
    #[error("application protocols that do not go together")]
    Mixed,
}

impl Dispatch {
    /// Decides.
    ///
    /// # Errors
    /// [`DispatchError`]: close the connection without an answer.
    pub fn of(hello: &Hello) -> Result<Self, DispatchError> {
        Self::of_protocols(hello.alpn.iter().map(Vec::as_slice))
    }

    /// Decides by the names alone, in the client's order.
    ///
    /// # Errors
    /// As [`Dispatch::of`].
    pub fn of_protocols<'a>(names: impl Iterator<Item = &'a [u8]>) -> Result<Self, DispatchError> {
        let names: Vec<&[u8]> = names.take(17).collect();
        if !names.iter().any(|name| name.starts_with(OURS)) {
            return Ok(Self::Http);
        }
        match names.as_slice() {
            [name] if *name == ALPN_CONTROL => Ok(Self::Control),
            [name] => {
                let claim = name.strip_prefix(ALPN_CLAIM_PREFIX).ok_or(DispatchError::Mixed)?;
                Ok(Self::Claim(Claim::decode(claim)?))
            }
            [session, ticket] if *session == ALPN_SESSION => {
                let ticket = ticket.strip_prefix(ALPN_TICKET_PREFIX).ok_or(DispatchError::Mixed)?;
                Ok(Self::Session(Ticket::decode(ticket)?))
            }
            _ => Err(DispatchError::Mixed),
        }
    }
}

/// The application protocols of a connector's ClientHello.
#[must_use]
pub fn session_protocols(ticket: &Ticket) -> Vec<Vec<u8>> {
    vec![ALPN_SESSION.to_vec(), [ALPN_TICKET_PREFIX, ticket.encode().as_bytes()].concat()]
}

/// The application protocols of an agent's claim.
#[must_use]
pub fn claim_protocols(claim: &Claim) -> Vec<Vec<u8>> {
    vec![[ALPN_CLAIM_PREFIX, claim.encode().as_bytes()].concat()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::{ClaimSecret, SessionSecret};
    use hoop_model::{AgentId, SessionId};

    fn of(names: &[&[u8]]) -> Result<Dispatch, DispatchError> {
        Dispatch::of(&Hello { alpn: names.iter().map(|name| name.to_vec()).collect(), ..Hello::default() })
    }

    #[test]
    fn each_kind_finds_its_place() {
        for names in [&[][..], &[&b"h2"[..]], &[b"h2", b"http/1.1"], &[b"acme-tls/1"]] {
            assert_eq!(of(names), Ok(Dispatch::Http));
        }
        assert_eq!(of(&[ALPN_CONTROL]), Ok(Dispatch::Control));
        let ticket = Ticket::derive(&SessionSecret::from_bytes([1; 32]), SessionId::generate(), 3);
        let names = session_protocols(&ticket);
        assert_eq!(of(&[&names[0], &names[1]]), Ok(Dispatch::Session(ticket)));
        let claim = Claim::derive(&ClaimSecret::from_bytes([1; 32]), AgentId::generate(), 1, 2);
        assert_eq!(of(&[&claim_protocols(&claim)[0]]), Ok(Dispatch::Claim(claim)));
    }

    #[test]
    fn what_does_not_go_together_goes_nowhere() {
        let ticket = Ticket::derive(&SessionSecret::from_bytes([1; 32]), SessionId::generate(), 3);
        let names = session_protocols(&ticket);
        let (session, ticket) = (names[0].as_slice(), names[1].as_slice());
        for wrong in [
            &[session][..],
            &[ticket],
            &[ticket, session],
            &[session, ticket, b"h2"],
            &[session, ticket, ticket],
            &[b"h2", ALPN_CONTROL],
            &[session, b"hoop-ticket/"],
            &[session, b"hoop-ticket/****"],
            &[b"hoop-claim/AAAA"],
            &[b"hoop-control/2"],
            &[b"hoop-"],
        ] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}

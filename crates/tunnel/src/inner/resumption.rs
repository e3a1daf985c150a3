//! Where a session's connector keeps its TLS tickets.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use rustls::{
    NamedGroup,
    client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
};

/// TLS tickets that the agent sends after a handshake. Each is used once, so two let the number of streams grow.
pub(super) const TICKETS_A_HANDSHAKE: usize = 2;
/// Tickets kept: enough for a burst of new streams, some 2 KiB each.
const KEPT: usize = 16;

/// One store a session. The server's name is always the gateway's, so nothing is keyed by it.
#[derive(Default)]
pub(super) struct SessionTickets {
    tickets: Mutex<VecDeque<Tls13ClientSessionValue>>,
}

impl std::fmt::Debug for SessionTickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionTickets").finish_non_exhaustive()
    }
}

impl ClientSessionStore for SessionTickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    /// The configuration's own, also for a resumed handshake: an agent that is offered less asks for it (RFC 8446 §4.1.4), and
    /// that is one more way to the agent and back.
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() == KEPT {
            tickets.pop_front();
        }
        tickets.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).pop_back()
    }
}

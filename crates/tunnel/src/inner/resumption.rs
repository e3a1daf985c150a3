//! Where a session's connector keeps its TLS tickets.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
    resuming: AtomicBool,
}

impl std::fmt::Debug for SessionTickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionTickets").finish_non_exhaustive()
    }
}

impl ClientSessionStore for SessionTickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    /// The hybrid post-quantum group for a full handshake, which is the default; plain X25519 for a resumed one.
    ///
    /// A resumed handshake mixes in the secret of the full one (RFC 8446 §7.1), and with it that one's post-quantum
    /// share, so that the cheaper exchange gives up nothing.
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.resuming.load(Ordering::Relaxed).then_some(NamedGroup::X25519)
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
        let ticket = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).pop_back();
        self.resuming.store(ticket.is_some(), Ordering::Relaxed);
        ticket
    }
}

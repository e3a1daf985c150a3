//! Things begun and to be finished once: OIDC redirects, CLI codes, device sign-ins.

use hoop_model::Timestamp;

use crate::{NewEvent, Sha256, Store, StoreError};

/// What kind of thing was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowKind {
    /// A redirect to an identity provider: keyed by `state`; nonce and PKCE verifier in the payload.
    Oidc,
    /// A code for the CLI's loopback redirect.
    CliCode,
    /// A device sign-in: keyed by the device code, decided by the user code.
    Device,
}

/// Something begun.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFlow {
    /// What.
    pub kind: FlowKind,
    /// SHA-256 of the code or state that finishes it.
    pub key: Sha256,
    /// SHA-256 of what the person types (device flow only).
    pub user_code: Option<Sha256>,
    /// What to remember; seal what is secret in it.
    pub payload: serde_json::Value,
    /// Now.
    pub created_at: Timestamp,
    /// Void after.
    pub expires_at: Timestamp,
}

/// Where a device sign-in stands.
#[derive(Debug, Clone, PartialEq)]
pub enum DevicePoll {
    /// Nobody has decided yet.
    Pending,
    /// Decided: the decision, given out once.
    Decided(serde_json::Value),
    /// Unknown, void, or given out before.
    Gone,
}

impl Store {
    /// Remembers a flow.
    ///
    /// # Errors
    /// `Conflict(TooMany)` above 10,000 open ones of a kind, `Conflict(NameTaken)` for a key in use.
    pub async fn begin_flow(&self, flow: &NewFlow) -> Result<(), StoreError> {
        todo!()
    }

    /// Takes a flow's payload out, once.
    ///
    /// # Errors
    /// The usual ones. `None`: unknown, void or taken.
    pub async fn take_flow(
        &self,
        kind: FlowKind,
        key: &Sha256,
        now: Timestamp,
    ) -> Result<Option<serde_json::Value>, StoreError> {
        todo!()
    }

    /// What a device flow was begun with, by the user's code, while it is undecided (to show it before approval).
    ///
    /// # Errors
    /// The usual ones.
    pub async fn device_flow(
        &self,
        user_code: &Sha256,
        now: Timestamp,
    ) -> Result<Option<serde_json::Value>, StoreError> {
        todo!()
    }

    /// Decides a device flow, once.
    ///
    /// # Errors
    /// `NotFound` when unknown, void or decided.
    pub async fn decide_device(
        &self,
        user_code: &Sha256,
        decision: &serde_json::Value,
        now: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Asks for the decision; it is given out once.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn poll_device(&self, key: &Sha256, now: Timestamp) -> Result<DevicePoll, StoreError> {
        todo!()
    }
}

//! Things begun and to be finished once: OIDC redirects, CLI codes, device sign-ins.

use hoop_model::Timestamp;

use crate::{
    Conflict, NewEvent, Sha256, Store, StoreError,
    db::{args, words},
};

/// What kind of thing was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowKind {
    /// A redirect to an identity provider: keyed by `state`; nonce and PKCE verifier in the payload.
    Oidc,
    /// A code for the CLI's loopback redirect.
    CliCode,
    /// A device sign-in: keyed by the device code, decided by the user code.
    Device,
    /// A second factor that a command line waits for: the same, for a sign-in that there is.
    StepUp,
    /// A passkey that somebody signed in registers; with its challenge in the payload, as the next two.
    PasskeyRegistration,
    /// A passkey that whoever has it signs in with.
    PasskeySignIn,
    /// A passkey that somebody signed in proves their second factor with.
    PasskeyStepUp,
}

/// Something begun.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFlow {
    /// What.
    pub kind: FlowKind,
    /// SHA-256 of the code or state that finishes it.
    pub key: Sha256,
    /// SHA-256 of what the person types (device flow and step-up).
    pub user_code: Option<Sha256>,
    /// What to remember; seal what is secret in it.
    pub payload: serde_json::Value,
    /// Now.
    pub created_at: Timestamp,
    /// Void after.
    pub expires_at: Timestamp,
}

/// Where a device sign-in or a step-up stands.
#[derive(Debug, Clone, PartialEq)]
pub enum DevicePoll {
    /// Nobody has decided yet.
    Pending,
    /// Decided: the decision, given out once.
    Decided(serde_json::Value),
    /// Unknown, void, or given out before.
    Gone,
}

/// Anybody can begin a flow, so there is a bound; those void are swept.
const MOST_OPEN: u32 = 10_000;

words!(FlowKind { Oidc = "oidc", CliCode = "cli_code", Device = "device", StepUp = "step_up", PasskeyRegistration = "passkey_registration", PasskeySignIn = "passkey_sign_in", PasskeyStepUp = "passkey_step_up" });

impl Store {
    /// Remembers a flow.
    ///
    /// # Errors
    /// `Conflict(TooMany)` above 10,000 open ones of a kind, `Conflict(NameTaken)` for a key in use.
    pub async fn begin_flow(&self, flow: &NewFlow) -> Result<(), StoreError> {
        let sql = "INSERT INTO flows (kind, key_hash, user_code_hash, payload, created_at, expires_at) \
             SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT COUNT(*) FROM flows WHERE kind = $1 AND expires_at > $5) < $7 \
             RETURNING kind";
        let values = args![
            flow.kind,
            &flow.key,
            flow.user_code.as_ref().map(<[u8; 32]>::as_slice),
            &flow.payload,
            flow.created_at,
            flow.expires_at,
            MOST_OPEN,
        ];
        if self.write(sql, values).await?.is_empty() { Err(Conflict::TooMany.into()) } else { Ok(()) }
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
        let sql = "DELETE FROM flows WHERE kind = $1 AND key_hash = $2 AND expires_at > $3 RETURNING payload";
        let row = self.write(sql, args![kind, key, now]).await?.into_iter().next();
        row.map(|row| row.json("payload")).transpose()
    }

    /// What a flow was begun with, by the user's code, while it is undecided (to look at it before approval).
    ///
    /// # Errors
    /// The usual ones.
    pub async fn undecided_flow(
        &self,
        kind: FlowKind,
        user_code: &Sha256,
        now: Timestamp,
    ) -> Result<Option<serde_json::Value>, StoreError> {
        let sql = "SELECT payload FROM flows \
             WHERE kind = $1 AND user_code_hash = $2 AND expires_at > $3 AND decision IS NULL";
        self.read_one(sql, args![kind, user_code, now]).await?.map(|row| row.json("payload")).transpose()
    }

    /// Decides a device flow or a step-up, once.
    ///
    /// # Errors
    /// `NotFound` when unknown, void or decided.
    pub async fn decide_flow(
        &self,
        kind: FlowKind,
        user_code: &Sha256,
        decision: &serde_json::Value,
        now: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE flows SET decision = $2 \
             WHERE kind = $4 AND user_code_hash = $1 AND expires_at > $3 AND decision IS NULL RETURNING kind";
        tx.run_one(sql, args![user_code, decision, now, kind]).await?.ok_or(StoreError::NotFound("code"))?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// Asks for the decision; it is given out once.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn poll_flow(
        &self,
        kind: FlowKind,
        key: &Sha256,
        now: Timestamp,
    ) -> Result<DevicePoll, StoreError> {
        let sql = "DELETE FROM flows \
             WHERE kind = $3 AND key_hash = $1 AND expires_at > $2 AND decision IS NOT NULL RETURNING decision";
        if let Some(row) = self.write(sql, args![key, now, kind]).await?.into_iter().next() {
            return row.json("decision").map(DevicePoll::Decided);
        }
        let sql = "SELECT kind FROM flows WHERE kind = $3 AND key_hash = $1 AND expires_at > $2";
        let pending = self.read_one(sql, args![key, now, kind]).await?;
        Ok(pending.map_or(DevicePoll::Gone, |_| DevicePoll::Pending))
    }
}

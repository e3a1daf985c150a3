//! Agents and the one-use tokens they enrol with.

use hoop_model::{AgentId, AgentName, JoinTokenId, Timestamp};

use crate::{NewEvent, Sha256, Store, StoreError};

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Its name, unique among those not removed.
    pub name: AgentName,
    /// Serial number of its certificate in force, hex. Another one of the same agent is stale.
    pub certificate_serial: String,
    /// That certificate ends then.
    pub certificate_expires_at: Timestamp,
    /// Key that credentials are sealed to.
    pub sealing_key: Vec<u8>,
    /// Key that its manifests are signed with.
    pub signing_key: Vec<u8>,
    /// Its version, as it said.
    pub version: String,
    /// Enrolled when.
    pub enrolled_at: Timestamp,
    /// Removed when: may not connect any more.
    pub removed_at: Option<Timestamp>,
    /// The gateway that holds its control stream.
    pub gateway: Option<String>,
    /// Counts its control streams; an older one's messages are stale.
    pub epoch: u64,
    /// When its control stream last came or went.
    pub seen_at: Option<Timestamp>,
}

/// An agent to enrol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAgent {
    /// Its id.
    pub id: AgentId,
    /// Its name, which must be the join token's.
    pub name: AgentName,
    /// Serial number of its first certificate, hex.
    pub certificate_serial: String,
    /// That certificate ends then.
    pub certificate_expires_at: Timestamp,
    /// Key that credentials are sealed to.
    pub sealing_key: Vec<u8>,
    /// Key that its manifests are signed with.
    pub signing_key: Vec<u8>,
    /// Its version, as it said.
    pub version: String,
    /// Now.
    pub enrolled_at: Timestamp,
}

/// A join token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJoinToken {
    /// Its id.
    pub id: JoinTokenId,
    /// SHA-256 of it.
    pub hash: Sha256,
    /// The only agent name it is good for.
    pub agent: AgentName,
    /// Now.
    pub created_at: Timestamp,
    /// Void after.
    pub expires_at: Timestamp,
}

/// A join token as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Its id.
    pub id: JoinTokenId,
    /// The only agent name it is good for.
    pub agent: AgentName,
    /// Void after.
    pub expires_at: Timestamp,
    /// Used when.
    pub used_at: Option<Timestamp>,
}

impl Store {
    /// Keeps a join token.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn create_join_token(&self, new: &NewJoinToken, events: &[NewEvent]) -> Result<(), StoreError> {
        todo!()
    }

    /// A join token by its hash, good or not: to refuse early, and to say why in the ledger.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn join_token(&self, hash: &Sha256) -> Result<Option<JoinToken>, StoreError> {
        todo!()
    }

    /// Uses a join token up and enrols the agent.
    ///
    /// # Errors
    /// `NotFound` (unknown token); `Conflict`: `Used`, `Expired`, `OtherName`, or `NameTaken` by an agent not removed.
    /// After an error the token is as good as before.
    pub async fn enrol_agent(
        &self,
        join_token: &Sha256,
        new: &NewAgent,
        events: &[NewEvent],
    ) -> Result<Agent, StoreError> {
        todo!()
    }

    /// By id, removed ones too.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn agent(&self, id: AgentId) -> Result<Option<Agent>, StoreError> {
        todo!()
    }

    /// By name, among those not removed.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn agent_by_name(&self, name: &AgentName) -> Result<Option<Agent>, StoreError> {
        todo!()
    }

    /// All that are not removed, by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        todo!()
    }

    /// Puts a new certificate in force.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Revoked)` for a removed agent; `Conflict(Changed)` when `old_serial` is not the one in force.
    pub async fn renew_agent_certificate(
        &self,
        id: AgentId,
        old_serial: &str,
        new_serial: &str,
        expires_at: Timestamp,
        events: &[NewEvent],
    ) -> Result<Agent, StoreError> {
        todo!()
    }

    /// Removes an agent. `false`: it was removed already, nothing is appended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_agent(&self, id: AgentId, at: Timestamp, events: &[NewEvent]) -> Result<bool, StoreError> {
        todo!()
    }

    /// Its control stream came up at `gateway`. Answers the epoch of this stream.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Revoked)` for a removed agent.
    pub async fn agent_connected(
        &self,
        id: AgentId,
        gateway: &str,
        version: &str,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<u64, StoreError> {
        todo!()
    }

    /// The control stream of `epoch` went away. `false`: a newer one is up, nothing is appended.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn agent_disconnected(
        &self,
        id: AgentId,
        epoch: u64,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        todo!()
    }
}

//! Agents and the one-use tokens they enrol with.

use hoop_model::{AgentId, AgentName, JoinTokenId, Timestamp};

use crate::{
    Conflict, NewEvent, Sha256, Store, StoreError,
    db::{Row, Tx, args},
};

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

macro_rules! columns {
    () => {
        "id, name, certificate_serial, certificate_expires_at, sealing_key, signing_key, version, enrolled_at, \
         removed_at, gateway, epoch, seen_at"
    };
}

const JOIN_TOKEN: &str = "SELECT id, agent_name, expires_at, used_at FROM join_tokens WHERE hash = $1";

impl Agent {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            name: row.name("name")?,
            certificate_serial: row.text("certificate_serial")?,
            certificate_expires_at: row.time("certificate_expires_at")?,
            sealing_key: row.bytes("sealing_key")?,
            signing_key: row.bytes("signing_key")?,
            version: row.text("version")?,
            enrolled_at: row.time("enrolled_at")?,
            removed_at: row.maybe_time("removed_at")?,
            gateway: row.maybe_text("gateway")?,
            epoch: row.count("epoch")?,
            seen_at: row.maybe_time("seen_at")?,
        })
    }
}

impl JoinToken {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            agent: row.name("agent_name")?,
            expires_at: row.time("expires_at")?,
            used_at: row.maybe_time("used_at")?,
        })
    }

    fn good_for(&self, agent: &NewAgent) -> Result<(), Conflict> {
        if self.used_at.is_some() {
            Err(Conflict::Used)
        } else if self.expires_at <= agent.enrolled_at {
            Err(Conflict::Expired)
        } else if self.agent != agent.name {
            Err(Conflict::OtherName)
        } else {
            Ok(())
        }
    }
}

impl Tx {
    async fn agent(&mut self, id: AgentId) -> Result<Agent, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM agents WHERE id = $1");
        Agent::of(&self.run_one(sql, args![id]).await?.ok_or(StoreError::NotFound("agent"))?)
    }

    /// Refuses an agent that was removed.
    pub(crate) async fn present_agent(&mut self, id: AgentId) -> Result<Agent, StoreError> {
        let agent = self.agent(id).await?;
        if agent.removed_at.is_some() { Err(Conflict::Revoked.into()) } else { Ok(agent) }
    }

    async fn insert_agent(&mut self, new: &NewAgent) -> Result<Agent, StoreError> {
        let sql = concat!(
            "INSERT INTO agents (id, name, certificate_serial, certificate_expires_at, sealing_key, signing_key, \
             version, enrolled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING ",
            columns!()
        );
        let values = args![
            new.id,
            &new.name,
            new.certificate_serial.as_str(),
            new.certificate_expires_at,
            new.sealing_key.as_slice(),
            new.signing_key.as_slice(),
            new.version.as_str(),
            new.enrolled_at,
        ];
        Agent::of(&self.run_one(sql, values).await?.ok_or(StoreError::NotFound("agent"))?)
    }
}

impl Store {
    /// Keeps a join token.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn create_join_token(&self, new: &NewJoinToken, events: &[NewEvent]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO join_tokens (id, hash, agent_name, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
        tx.run(sql, args![new.id, &new.hash, &new.agent, new.created_at, new.expires_at]).await?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// A join token by its hash, good or not: to refuse early, and to say why in the ledger.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn join_token(&self, hash: &Sha256) -> Result<Option<JoinToken>, StoreError> {
        self.read_one(JOIN_TOKEN, args![hash]).await?.as_ref().map(JoinToken::of).transpose()
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
        let mut tx = self.begin().await?;
        let row =
            tx.run_one(JOIN_TOKEN, args![join_token]).await?.ok_or(StoreError::NotFound("join token"))?;
        JoinToken::of(&row)?.good_for(new)?;
        tx.run("UPDATE join_tokens SET used_at = $2 WHERE hash = $1", args![join_token, new.enrolled_at])
            .await?;
        let agent = tx.insert_agent(new).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(agent)
    }

    /// By id, removed ones too.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn agent(&self, id: AgentId) -> Result<Option<Agent>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM agents WHERE id = $1");
        self.read_one(sql, args![id]).await?.as_ref().map(Agent::of).transpose()
    }

    /// By name, among those not removed.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn agent_by_name(&self, name: &AgentName) -> Result<Option<Agent>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM agents WHERE name = $1 AND removed_at IS NULL");
        self.read_one(sql, args![name]).await?.as_ref().map(Agent::of).transpose()
    }

    /// All that are not removed, by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn agents(&self) -> Result<Vec<Agent>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM agents WHERE removed_at IS NULL ORDER BY name");
        self.read(sql, Vec::new()).await?.iter().map(Agent::of).collect()
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
        let mut tx = self.begin().await?;
        tx.present_agent(id).await?;
        let sql = concat!(
            "UPDATE agents SET certificate_serial = $3, certificate_expires_at = $4 \
             WHERE id = $1 AND certificate_serial = $2 RETURNING ",
            columns!()
        );
        let row =
            tx.run_one(sql, args![id, old_serial, new_serial, expires_at]).await?.ok_or(Conflict::Changed)?;
        let agent = Agent::of(&row)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(agent)
    }

    /// Removes an agent. `false`: it was removed already, nothing is appended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_agent(
        &self,
        id: AgentId,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if tx.agent(id).await?.removed_at.is_some() {
            return Ok(false);
        }
        tx.run("UPDATE agents SET removed_at = $2, gateway = NULL WHERE id = $1", args![id, at]).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(true)
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
        let mut tx = self.begin().await?;
        tx.present_agent(id).await?;
        let sql = "UPDATE agents SET epoch = epoch + 1, gateway = $2, version = $3, seen_at = $4 WHERE id = $1 \
             RETURNING epoch";
        let row =
            tx.run_one(sql, args![id, gateway, version, at]).await?.ok_or(StoreError::NotFound("agent"))?;
        let epoch = row.count("epoch")?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(epoch)
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
        let mut tx = self.begin().await?;
        let sql = "UPDATE agents SET gateway = NULL, seen_at = $3 \
             WHERE id = $1 AND epoch = $2 AND gateway IS NOT NULL RETURNING id";
        if tx.run_one(sql, args![id, epoch, at]).await?.is_none() {
            return Ok(false);
        }
        tx.append(events).await?;
        tx.commit().await?;
        Ok(true)
    }
}

//! Ways in while the gateway is down: made, revoked, and what is heard of their use afterwards.

use hoop_model::{
    AgentId, CapabilityId, ConnectionId, ConnectionName, SessionId, Timestamp, UserId, UserName,
};

use crate::{
    Conflict, NewEvent, NewRequest, NewSession, RequestState, Store, StoreError,
    db::{Row, Tx, args},
};

/// A capability that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCapability {
    /// Its id.
    pub id: CapabilityId,
    /// The only agent at which it is good.
    pub agent: AgentId,
    /// Whose it is.
    pub holder: UserId,
    /// Their name.
    pub holder_name: UserName,
    /// To what.
    pub connection: ConnectionId,
    /// Its name.
    pub connection_name: ConnectionName,
    /// The bytes that were signed.
    pub body: Vec<u8>,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub made_at: Timestamp,
    /// Good until then.
    pub valid_until: Timestamp,
    /// How often.
    pub most_uses: u32,
}

/// A capability as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// As it was made.
    pub made: NewCapability,
    /// How many uses were heard of.
    pub uses: u32,
    /// Not good since then.
    pub revoked_at: Option<Timestamp>,
}

/// A use that an agent tells of.
#[derive(Debug, Clone)]
pub struct CapabilityUse {
    /// What was used.
    pub capability: CapabilityId,
    /// The emergency that it was: in force from its beginning to `ends_at`, to be reviewed when it is over.
    pub emergency: NewRequest,
    /// Its absolute end.
    pub ends_at: Timestamp,
    /// The session.
    pub session: NewSession,
}

/// Longest list.
const MOST: u32 = 1000;

macro_rules! columns {
    () => {
        "id, agent_id, user_id, user_name, connection_id, connection_name, body, made_by, made_at, valid_until, \
         most_uses, uses, revoked_at"
    };
}

impl Capability {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let made = NewCapability {
            id: row.id("id")?,
            agent: row.id("agent_id")?,
            holder: row.id("user_id")?,
            holder_name: row.name("user_name")?,
            connection: row.id("connection_id")?,
            connection_name: row.name("connection_name")?,
            body: row.bytes("body")?,
            made_by: row.text("made_by")?,
            made_at: row.time("made_at")?,
            valid_until: row.time("valid_until")?,
            most_uses: row.count("most_uses")?,
        };
        Ok(Self { made, uses: row.count("uses")?, revoked_at: row.maybe_time("revoked_at")? })
    }
}

impl Tx {
    async fn knows_session(&mut self, id: SessionId) -> Result<bool, StoreError> {
        Ok(self.run_one("SELECT id FROM sessions WHERE id = $1", args![id]).await?.is_some())
    }
}

impl Store {
    /// Keeps a capability.
    ///
    /// # Errors
    /// `Conflict(Locked)` when its holder was locked meanwhile.
    pub async fn create_capability(
        &self,
        new: &NewCapability,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if tx.user(new.holder).await?.locked {
            return Err(Conflict::Locked.into());
        }
        let sql = "INSERT INTO capabilities (id, agent_id, user_id, user_name, connection_id, connection_name, body, \
                   made_by, made_at, valid_until, most_uses) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let values = args![
            new.id,
            new.agent,
            new.holder,
            &new.holder_name,
            new.connection,
            &new.connection_name,
            new.body.as_slice(),
            new.made_by.as_str(),
            new.made_at,
            new.valid_until,
            new.most_uses,
        ];
        tx.run(sql, values).await?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn capability(&self, id: CapabilityId) -> Result<Option<Capability>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM capabilities WHERE id = $1");
        self.read_one(sql, args![id]).await?.as_ref().map(Capability::of).transpose()
    }

    /// All of them, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn capabilities(&self) -> Result<Vec<Capability>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM capabilities ORDER BY id DESC LIMIT $1");
        self.read(sql, args![MOST]).await?.iter().map(Capability::of).collect()
    }

    /// Those of an agent that are revoked and would be good otherwise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoked_capabilities(
        &self,
        agent: AgentId,
        now: Timestamp,
    ) -> Result<Vec<CapabilityId>, StoreError> {
        let sql =
            "SELECT id FROM capabilities WHERE agent_id = $1 AND revoked_at IS NOT NULL AND valid_until > $2";
        self.read(sql, args![agent, now]).await?.iter().map(|row| row.id("id")).collect()
    }

    /// Revokes one.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it was revoked before.
    pub async fn revoke_capability(
        &self,
        id: CapabilityId,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<Capability, StoreError> {
        let mut tx = self.begin().await?;
        let known = tx.run_one("SELECT id FROM capabilities WHERE id = $1", args![id]).await?;
        known.ok_or(StoreError::NotFound("capability"))?;
        let sql = concat!(
            "UPDATE capabilities SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING ",
            columns!()
        );
        let row = tx.run_one(sql, args![id, at]).await?.ok_or(Conflict::Changed)?;
        let capability = Capability::of(&row)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(capability)
    }

    /// Keeps what an agent tells of a use: the emergency and its session, live. `false`: it is known.
    ///
    /// Nothing refuses it: it has happened.
    ///
    /// # Errors
    /// `NotFound` when there is no such capability.
    pub async fn use_capability(
        &self,
        heard: &CapabilityUse,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if tx.knows_session(heard.session.id).await? {
            return Ok(false);
        }
        let sql = "UPDATE capabilities SET uses = uses + 1 WHERE id = $1 RETURNING id";
        let known = tx.run_one(sql, args![heard.capability]).await?;
        known.ok_or(StoreError::NotFound("capability"))?;
        tx.insert_request(&heard.emergency).await?;
        let (id, at) = (heard.emergency.id, heard.emergency.created_at);
        tx.settle(id, RequestState::Approved, at, Some(heard.ends_at)).await?;
        tx.insert_session(&heard.session).await?;
        tx.run("UPDATE sessions SET state = 'live' WHERE id = $1", args![heard.session.id]).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(true)
    }
}

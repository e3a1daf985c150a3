//! Passkeys (WebAuthn): the public keys that people sign in and step up with.
//!
//! A credential is kept as the caller wrote it. That it is used up to where its counter stands, and no further back, is
//! decided here, in the transaction that the use counts for.

use hoop_model::{LoginId, PasskeyId, Timestamp, UserId};

use crate::{
    Conflict, NewEvent, Store, StoreError, UserSource,
    db::{Row, Tx, args},
};

/// A passkey to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPasskey {
    /// Its id.
    pub id: PasskeyId,
    /// Whose.
    pub user: UserId,
    /// What its owner calls it.
    pub name: String,
    /// What the authenticator calls it.
    pub credential_id: Vec<u8>,
    /// The public key and what belongs to it.
    pub credential: serde_json::Value,
    /// Where its counter stands; 0 for authenticators that have none.
    pub counter: u32,
    /// Now.
    pub created_at: Timestamp,
}

/// A passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id.
    pub id: PasskeyId,
    /// Whose.
    pub user: UserId,
    /// What its owner calls it.
    pub name: String,
    /// What the authenticator calls it.
    pub credential_id: Vec<u8>,
    /// The public key and what belongs to it.
    pub credential: serde_json::Value,
    /// Made when.
    pub created_at: Timestamp,
    /// Last used when.
    pub used_at: Option<Timestamp>,
}

/// A use of one: what is kept of it afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyUse {
    /// Which.
    pub id: PasskeyId,
    /// The credential as it is after this use.
    pub credential: serde_json::Value,
    /// Where its counter stands after this use.
    pub counter: u32,
}

/// Of one person.
const MOST: u64 = 20;

macro_rules! columns {
    () => {
        "id, user_id, name, credential_id, credential, created_at, used_at"
    };
}

impl Passkey {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            user: row.id("user_id")?,
            name: row.text("name")?,
            credential_id: row.bytes("credential_id")?,
            credential: row.json("credential")?,
            created_at: row.time("created_at")?,
            used_at: row.maybe_time("used_at")?,
        })
    }
}

impl Tx {
    /// Notes a use of a person's passkey, whose counter went on by it (or is none).
    pub(crate) async fn use_passkey(
        &mut self,
        user: UserId,
        usage: &PasskeyUse,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE passkeys SET credential = $3, counter = $4, used_at = $5 WHERE id = $1 AND user_id = $2 \
             AND (counter < $4 OR (counter = 0 AND $4 = 0)) RETURNING id";
        let values = args![usage.id, user, &usage.credential, usage.counter, at];
        if self.run_one(sql, values).await?.is_some() {
            return Ok(());
        }
        let there =
            self.run_one("SELECT id FROM passkeys WHERE id = $1 AND user_id = $2", args![usage.id, user]);
        Err(there.await?.map_or(Conflict::Revoked, |_| Conflict::Used).into())
    }

    async fn count_passkeys(&mut self, user: UserId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM passkeys WHERE user_id = $1";
        self.run_one(sql, args![user]).await?.map_or(Ok(0), |row| row.count("count"))
    }

    /// Removes all of a person.
    pub(crate) async fn remove_passkeys(&mut self, user: UserId) -> Result<(), StoreError> {
        self.run("DELETE FROM passkeys WHERE user_id = $1", args![user]).await.map(|_| ())
    }
}

impl Store {
    /// Keeps a passkey of the person who is signed in by `login`.
    ///
    /// # Errors
    /// `Conflict(NameTaken)` when the credential is known, whoever has it; `Conflict(TooMany)` above 20 of a person;
    /// `Conflict(Revoked)` when that sign-in is over or another's, `Conflict(Locked)`.
    pub async fn add_passkey(
        &self,
        new: &NewPasskey,
        login: LoginId,
        events: &[NewEvent],
    ) -> Result<Passkey, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "SELECT id FROM logins \
             WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3 AND idle_until > $3";
        tx.run_one(sql, args![login, new.user, new.created_at]).await?.ok_or(Conflict::Revoked)?;
        if tx.user(new.user).await?.locked {
            return Err(Conflict::Locked.into());
        }
        if tx.count_passkeys(new.user).await? >= MOST {
            return Err(Conflict::TooMany.into());
        }
        let sql = concat!(
            "INSERT INTO passkeys (id, user_id, name, credential_id, credential, counter, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ",
            columns!()
        );
        let values = args![
            new.id,
            new.user,
            new.name.as_str(),
            new.credential_id.as_slice(),
            &new.credential,
            new.counter,
            new.created_at,
        ];
        let row = tx.run_one(sql, values).await?.ok_or(StoreError::NotFound("passkey"))?;
        let passkey = Passkey::of(&row)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(passkey)
    }

    /// A person's passkeys, the oldest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn passkeys_of(&self, user: UserId) -> Result<Vec<Passkey>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM passkeys WHERE user_id = $1 ORDER BY id");
        self.read(sql, args![user]).await?.iter().map(Passkey::of).collect()
    }

    /// By what the authenticator calls it, whoever has it.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn passkey_by_credential(&self, credential_id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM passkeys WHERE credential_id = $1");
        self.read_one(sql, args![credential_id]).await?.as_ref().map(Passkey::of).transpose()
    }

    /// Gives one of a person's passkeys another name.
    ///
    /// # Errors
    /// `NotFound` also for somebody else's.
    pub async fn rename_passkey(
        &self,
        user: UserId,
        id: PasskeyId,
        name: &str,
        events: &[NewEvent],
    ) -> Result<Passkey, StoreError> {
        let mut tx = self.begin().await?;
        let sql =
            concat!("UPDATE passkeys SET name = $3 WHERE id = $1 AND user_id = $2 RETURNING ", columns!());
        let row = tx.run_one(sql, args![id, user, name]).await?.ok_or(StoreError::NotFound("passkey"))?;
        let passkey = Passkey::of(&row)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(passkey)
    }

    /// Removes one of a person's passkeys.
    ///
    /// # Errors
    /// `NotFound` also for somebody else's; `Conflict(LastFactor)` when a built-in account would be left without any.
    pub async fn remove_passkey(
        &self,
        user: UserId,
        id: PasskeyId,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM passkeys WHERE id = $1 AND user_id = $2 RETURNING id";
        tx.run_one(sql, args![id, user]).await?.ok_or(StoreError::NotFound("passkey"))?;
        let owner = tx.user(user).await?;
        let alone = owner.source == UserSource::Builtin && owner.totp_secret_sealed.is_none();
        if alone && tx.count_passkeys(user).await? == 0 {
            return Err(Conflict::LastFactor.into());
        }
        tx.append(events).await?;
        tx.commit().await
    }
}

//! Service accounts and their API tokens.
//!
//! An API token is a sign-in of its own, with a scope: both have the same id, and what ends one ends the other.

use hoop_model::{AuthMethod, LoginId, Role, Timestamp, TokenId, TokenScope, UserId, UserName};

use crate::{
    ClientKind, Conflict, Login, NewEvent, NewToken, Sha256, Store, StoreError, TokenKind, User, UserSource,
    db::{Row, Tx, args},
    users::{changed, user_columns},
};

/// A service account to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServiceAccount {
    /// Its id.
    pub id: UserId,
    /// Its name; nobody else's, neither a person's nor a removed account's.
    pub name: UserName,
    /// User or auditor: the database takes no other.
    pub role: Role,
    /// Now.
    pub created_at: Timestamp,
}

/// A service account, and what can be used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The account.
    pub user: User,
    /// How many of its tokens are good.
    pub tokens: u64,
    /// When one of its tokens was last used, to the minute.
    pub used_at: Option<Timestamp>,
}

/// An API token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiToken {
    /// Its id.
    pub id: TokenId,
    /// Whose.
    pub account: UserId,
    /// What people call it.
    pub name: String,
    /// All that it opens.
    pub scope: TokenScope,
    /// SHA-256 of it.
    pub hash: Sha256,
    /// Who made it.
    pub made_by: UserName,
    /// From where.
    pub address: String,
    /// Now.
    pub created_at: Timestamp,
    /// Void after.
    pub expires_at: Timestamp,
}

/// An API token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// All that it opens.
    pub scope: TokenScope,
    /// Who made it.
    pub made_by: UserName,
    /// When.
    pub created_at: Timestamp,
    /// Void after.
    pub expires_at: Timestamp,
    /// Last use, to the minute.
    pub used_at: Option<Timestamp>,
    /// Ended early.
    pub revoked_at: Option<Timestamp>,
}

/// Most accounts, and most tokens of one, that a list shows.
const LIST: u64 = 500;

impl Login {
    /// The API token that this sign-in is, if it is one, and what it opens.
    #[must_use]
    pub fn api_token(&self) -> Option<(TokenId, TokenScope)> {
        self.scope.map(|scope| (TokenId::from_bytes(*self.id.as_bytes()), scope))
    }
}

impl ApiToken {
    /// The sign-in that an API token is.
    #[must_use]
    pub const fn login_of(token: TokenId) -> LoginId {
        LoginId::from_bytes(*token.as_bytes())
    }

    fn of(row: &Row) -> Result<Self, StoreError> {
        let (created_at, used_at) = (row.time("created_at")?, row.time("used_at")?);
        Ok(Self {
            id: row.id("id")?,
            name: row.text("token_name")?,
            scope: row.word("scope")?,
            made_by: row.name("made_by")?,
            created_at,
            expires_at: row.time("expires_at")?,
            used_at: (used_at != created_at).then_some(used_at),
            revoked_at: row.maybe_time("revoked_at")?,
        })
    }
}

impl Tx {
    async fn good_tokens(&mut self, account: UserId, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM logins \
             WHERE user_id = $1 AND scope IS NOT NULL AND revoked_at IS NULL AND expires_at > $2";
        self.run_one(sql, args![account, now]).await?.map_or(Ok(0), |row| row.count("count"))
    }

    async fn insert_api_token(&mut self, new: &NewApiToken) -> Result<ApiToken, StoreError> {
        let sql = "INSERT INTO logins (id, user_id, method, created_at, used_at, expires_at, idle_until, address, client, \
             scope, token_name, made_by) VALUES ($1, $2, $3, $4, $4, $5, $5, $6, $7, $8, $9, $10) \
             RETURNING id, token_name, scope, made_by, created_at, used_at, expires_at, revoked_at";
        let login = ApiToken::login_of(new.id);
        let values = args![
            login,
            new.account,
            AuthMethod::ApiToken,
            new.created_at,
            new.expires_at,
            new.address.as_str(),
            ClientKind::Service,
            new.scope,
            new.name.as_str(),
            &new.made_by,
        ];
        let row = self.run_one(sql, values).await?.ok_or(StoreError::NotFound("API token"))?;
        let token = NewToken { id: new.id, kind: TokenKind::Api, hash: new.hash, expires_at: new.expires_at };
        self.insert_tokens(login, &[token]).await?;
        ApiToken::of(&row)
    }
}

impl Store {
    /// Makes a service account.
    ///
    /// # Errors
    /// `Conflict(NameTaken)`, whatever the case of the letters, by whatever account there is or was.
    pub async fn create_service_account(
        &self,
        new: &NewServiceAccount,
        events: &[NewEvent],
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let sql = concat!(
            "INSERT INTO users (id, name, folded_name, role, source, group_names, created_at) \
             VALUES ($1, $2, $3, $4, 'service', '[]', $5) RETURNING ",
            user_columns!()
        );
        let values = args![new.id, &new.name, new.name.folded(), new.role, new.created_at];
        let user = changed(tx.run_one(sql, values).await?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// A service account by name, whatever the case, unless it was removed.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn service_account(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE folded_name = $1 AND source = 'service' AND removed_at IS NULL"
        );
        self.read_one(sql, args![name.folded()]).await?.as_ref().map(User::of).transpose()
    }

    /// All of them by name (at most 500), without those that were removed.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn service_accounts(&self, now: Timestamp) -> Result<Vec<ServiceAccount>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            ", (SELECT COUNT(*) FROM logins l WHERE l.user_id = users.id AND l.revoked_at IS NULL \
             AND l.expires_at > $1) AS good_tokens, \
             (SELECT MAX(l.used_at) FROM logins l WHERE l.user_id = users.id AND l.used_at > l.created_at) AS used_at \
             FROM users WHERE source = 'service' AND removed_at IS NULL ORDER BY folded_name LIMIT $2"
        );
        let rows = self.read(sql, args![now, LIST]).await?;
        let one = |row: &Row| {
            Ok(ServiceAccount {
                user: User::of(row)?,
                tokens: row.count("good_tokens")?,
                used_at: row.maybe_time("used_at")?,
            })
        };
        rows.iter().map(one).collect()
    }

    /// Removes a service account: it stays as a name, locked for good, and its tokens are revoked.
    ///
    /// # Errors
    /// `NotFound`, also for a person and for one that was removed before.
    pub async fn remove_service_account(
        &self,
        id: UserId,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE users SET removed_at = $2, locked = 1 \
             WHERE id = $1 AND source = 'service' AND removed_at IS NULL RETURNING id";
        tx.run_one(sql, args![id, at]).await?.ok_or(StoreError::NotFound("service account"))?;
        tx.revoke_logins(id, at).await?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// Keeps an API token of a service account that has fewer than `most` good ones.
    ///
    /// # Errors
    /// `NotFound` for what is no service account; `Conflict(Locked)`, also for one that was removed;
    /// `Conflict(TooMany)`.
    pub async fn create_api_token(
        &self,
        new: &NewApiToken,
        most: u64,
        events: &[NewEvent],
    ) -> Result<ApiToken, StoreError> {
        let mut tx = self.begin().await?;
        let account = tx.user(new.account).await?;
        if account.source != UserSource::Service {
            return Err(StoreError::NotFound("service account"));
        }
        if account.locked {
            return Err(Conflict::Locked.into());
        }
        if tx.good_tokens(new.account, new.created_at).await? >= most {
            return Err(Conflict::TooMany.into());
        }
        let token = tx.insert_api_token(new).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// An account's tokens, newest first (at most 500): also those that are void, for 30 days after their end.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn api_tokens(&self, account: UserId) -> Result<Vec<ApiToken>, StoreError> {
        let sql = "SELECT id, token_name, scope, made_by, created_at, used_at, expires_at, revoked_at FROM logins \
             WHERE user_id = $1 AND scope IS NOT NULL ORDER BY id DESC LIMIT $2";
        self.read(sql, args![account, LIST]).await?.iter().map(ApiToken::of).collect()
    }
}

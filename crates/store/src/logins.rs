//! Sign-ins and their tokens: one login per person and device, tokens as hashes alone.

use hoop_model::{AuthMethod, LoginId, Mfa, Redacted, Role, Timestamp, TokenId, TokenScope, UserId};

use crate::{
    Conflict, Factor, NewEvent, PasskeyUse, Sha256, Store, StoreError, User, UserSource,
    db::{Row, Tx, args, words},
};

/// What signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// A browser, by cookie.
    Browser,
    /// The `hoop` command, by tokens.
    Cli,
    /// A service account, by an API token.
    Service,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Bearer token for the API.
    Access,
    /// For the next pair; one use.
    Refresh,
    /// A browser's cookie.
    Cookie,
    /// A service account's token, for the API and within its scope.
    Api,
}

/// A sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its id.
    pub id: LoginId,
    /// Whose.
    pub user: UserId,
    /// How they proved who they are.
    pub method: AuthMethod,
    /// The second factor that was proven last.
    pub mfa: Option<Mfa>,
    /// When it began.
    pub created_at: Timestamp,
    /// Last use.
    pub used_at: Timestamp,
    /// Over then, whatever happens.
    pub expires_at: Timestamp,
    /// Over then unless used before.
    pub idle_until: Timestamp,
    /// From where.
    pub address: String,
    /// With what.
    pub client: ClientKind,
    /// All that it opens, if it is an API token.
    pub scope: Option<TokenScope>,
    /// Ended early.
    pub revoked_at: Option<Timestamp>,
}

impl Login {
    /// It was not ended, and its time is not over.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at > now && self.idle_until > now
    }
}

/// A sign-in to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLogin {
    /// Its id.
    pub id: LoginId,
    /// Whose.
    pub user: UserId,
    /// How they proved who they are.
    pub method: AuthMethod,
    /// The second factor that was proven.
    pub mfa: Option<Mfa>,
    /// Now.
    pub created_at: Timestamp,
    /// Over then, whatever happens.
    pub expires_at: Timestamp,
    /// Over then unless used before.
    pub idle_until: Timestamp,
    /// From where.
    pub address: String,
    /// With what.
    pub client: ClientKind,
}

/// A token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// What for.
    pub kind: TokenKind,
    /// SHA-256 of it.
    pub hash: Sha256,
    /// Void after.
    pub expires_at: Timestamp,
}

/// A good token's login and person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The sign-in.
    pub login: Login,
    /// The person, as they are now.
    pub user: User,
}

impl SignedIn {
    /// The role in force under this sign-in: whoever opened some envelopes may be let in, and that gives no role.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self.login.method {
            AuthMethod::SealedCodes => Role::User,
            _ => self.user.role,
        }
    }
}

/// What a sign-in was proven with. It is checked again in the transaction that keeps the sign-in: what was right when
/// it was looked at, and is not in force any more, proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Password and second factor of a built-in account.
    Factors {
        /// The password hash that was verified against.
        password_hash: Option<Redacted<String>>,
        /// The second factor: good once.
        factor: Factor,
    },
    /// A passkey of a built-in account, and nothing else: it verified its holder.
    Passkey(PasskeyUse),
    /// The word of an identity provider, just now.
    Provider,
    /// Sealed codes, which are used up: of one set, of as many holders as it needs.
    SealedCodes(Vec<Sha256>),
    /// Another sign-in of the same person, which must still be good.
    Login(LoginId),
}

impl Proof {
    /// By the password and TOTP code of this account as it was read.
    #[must_use]
    pub fn factors(user: &User, totp_step: u64) -> Self {
        let secret_sealed = user.totp_secret_sealed.clone().unwrap_or_default();
        Self::of(user, Factor::Totp { secret_sealed, step: totp_step })
    }

    /// By the password of this account as it was read, and a second factor.
    #[must_use]
    pub fn of(user: &User, factor: Factor) -> Self {
        Self::Factors { password_hash: user.password_hash.clone(), factor }
    }
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was good; the new tokens are in force, the login's old access tokens are void.
    Rotated(Box<SignedIn>),
    /// It had been used before: someone else has it. The login is revoked by this call.
    Reused(Box<SignedIn>),
    /// Unknown, expired, or its login is over.
    Refused,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tokens.
    pub tokens: u64,
    /// Pending flows.
    pub flows: u64,
    /// Logins long over.
    pub logins: u64,
}

/// Logins are kept for 30 days after their end, for people who ask what signed in.
const KEEP_LOGINS: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

words!(AuthMethod { PasswordTotp = "password_totp", Oidc = "oidc", ApiToken = "api_token", SealedCodes = "sealed_codes", Passkey = "passkey" });
words!(ClientKind { Browser = "browser", Cli = "cli", Service = "service" });
words!(TokenKind { Access = "access", Refresh = "refresh", Cookie = "cookie", Api = "api" });
words!(TokenScope { Connect = "connect", EvidenceRead = "evidence:read", Scim = "scim" });

macro_rules! columns {
    ($from:literal) => {
        concat!(
            $from,
            "id, ",
            $from,
            "user_id, ",
            $from,
            "method, ",
            $from,
            "mfa_at, ",
            $from,
            "mfa_by, ",
            $from,
            "created_at, ",
            $from,
            "used_at, ",
            $from,
            "expires_at, ",
            $from,
            "idle_until, ",
            $from,
            "address, ",
            $from,
            "client, ",
            $from,
            "scope, ",
            $from,
            "revoked_at"
        )
    };
}

/// A refresh token that is not void, used or not, of a login that is not over.
const REFRESH: &str = concat!(
    "SELECT t.used_at AS token_used_at, ",
    columns!("l."),
    " FROM tokens t JOIN logins l ON l.id = t.login_id WHERE t.hash = $1 AND t.kind = 'refresh' AND t.expires_at > $2 \
     AND l.revoked_at IS NULL AND l.expires_at > $2 AND l.idle_until > $2"
);

impl Login {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            user: row.id("user_id")?,
            method: row.word("method")?,
            mfa: row.maybe_time("mfa_at")?.zip(row.maybe_word("mfa_by")?).map(|(at, by)| Mfa { at, by }),
            created_at: row.time("created_at")?,
            used_at: row.time("used_at")?,
            expires_at: row.time("expires_at")?,
            idle_until: row.time("idle_until")?,
            address: row.text("address")?,
            client: row.word("client")?,
            scope: row.maybe_word("scope")?,
            revoked_at: row.maybe_time("revoked_at")?,
        })
    }
}

impl Tx {
    async fn insert_login(&mut self, login: &NewLogin) -> Result<Login, StoreError> {
        let sql = concat!(
            "INSERT INTO logins \
             (id, user_id, method, mfa_at, mfa_by, created_at, used_at, expires_at, idle_until, address, client) \
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10) RETURNING ",
            columns!("")
        );
        let values = args![
            login.id,
            login.user,
            login.method,
            login.mfa.map(|mfa| mfa.at),
            login.mfa.map(|mfa| mfa.by),
            login.created_at,
            login.expires_at,
            login.idle_until,
            login.address.as_str(),
            login.client,
        ];
        let row = self.run_one(sql, values).await?;
        Login::of(&row.ok_or(StoreError::NotFound("login"))?)
    }

    /// What a sign-in was proven with is still in force; a TOTP step is used up.
    async fn still_proven(&mut self, user: &User, proof: &Proof, at: Timestamp) -> Result<(), StoreError> {
        match proof {
            Proof::Factors { password_hash, factor } => {
                let same = user.is_active()
                    && user.source == UserSource::Builtin
                    && user.password_hash == *password_hash;
                if !same {
                    return Err(Conflict::Revoked.into());
                }
                self.accept(user, factor, at, at).await.map(|_| ())
            }
            Proof::Passkey(usage) if user.is_active() && user.source == UserSource::Builtin => {
                self.use_passkey(user.id, usage, at).await
            }
            Proof::Passkey(_) => Err(Conflict::Revoked.into()),
            Proof::Provider if matches!(user.source, UserSource::Oidc { .. }) => Ok(()),
            Proof::Provider => Err(Conflict::Revoked.into()),
            Proof::SealedCodes(hashes) => self.use_sealed_codes(user, hashes, at).await,
            Proof::Login(id) => {
                let sql = "SELECT id FROM logins \
                     WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3 AND idle_until > $3";
                let good = self.run_one(sql, args![*id, user.id, at]).await?;
                good.map(|_| ()).ok_or_else(|| Conflict::Revoked.into())
            }
        }
    }

    pub(crate) async fn insert_tokens(
        &mut self,
        login: LoginId,
        tokens: &[NewToken],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens (id, login_id, kind, hash, expires_at) VALUES ($1, $2, $3, $4, $5)";
        for token in tokens {
            self.run(sql, args![token.id, login, token.kind, &token.hash, token.expires_at]).await?;
        }
        Ok(())
    }

    /// Uses a refresh token up. Used ones stay until they are void, so that a second use is noticed.
    async fn use_refresh(
        &mut self,
        login: &Login,
        hash: &Sha256,
        tokens: &[NewToken],
        now: Timestamp,
        idle_until: Timestamp,
    ) -> Result<Option<Login>, StoreError> {
        self.run("UPDATE tokens SET used_at = $2 WHERE hash = $1", args![hash, now]).await?;
        self.run("DELETE FROM tokens WHERE login_id = $1 AND kind = 'access'", args![login.id]).await?;
        self.insert_tokens(login.id, tokens).await?;
        let sql =
            concat!("UPDATE logins SET used_at = $2, idle_until = $3 WHERE id = $1 RETURNING ", columns!(""));
        self.run_one(sql, args![login.id, now, idle_until]).await?.as_ref().map(Login::of).transpose()
    }

    /// Ends a login; `None` when it was over.
    async fn revoke(&mut self, id: LoginId, at: Timestamp) -> Result<Option<Login>, StoreError> {
        let sql = concat!(
            "UPDATE logins SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING ",
            columns!("")
        );
        self.run_one(sql, args![id, at]).await?.as_ref().map(Login::of).transpose()
    }

    /// Ends every login of a person; answers how many.
    pub(crate) async fn revoke_logins(&mut self, user: UserId, at: Timestamp) -> Result<u64, StoreError> {
        let sql = "UPDATE logins SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL RETURNING id";
        let rows = self.run(sql, args![user, at]).await?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }
}

impl Store {
    /// Keeps a sign-in and its tokens, clears failures, notes the time. What it was proven with is checked again, and a
    /// TOTP step is used up, in the same transaction.
    ///
    /// # Errors
    /// `Conflict(Used)` when that step or a later one was accepted before; `Conflict(Locked)` when the account is locked
    /// (also for a time); `Conflict(Revoked)` when password, second factor or the other sign-in are not in force any
    /// more (the account was reset meanwhile, say); `NotFound`.
    pub async fn create_login(
        &self,
        login: &NewLogin,
        tokens: &[NewToken],
        proof: &Proof,
        events: &[NewEvent],
    ) -> Result<SignedIn, StoreError> {
        let mut tx = self.begin().await?;
        let user = tx.user(login.user).await?;
        let locked_for_a_time = user.locked_until.is_some_and(|until| until > login.created_at);
        if user.locked || locked_for_a_time {
            return Err(Conflict::Locked.into());
        }
        tx.still_proven(&user, proof, login.created_at).await?;
        let kept = tx.insert_login(login).await?;
        tx.insert_tokens(login.id, tokens).await?;
        let sql =
            "UPDATE users SET failed_attempts = 0, locked_until = NULL, last_login_at = $2 WHERE id = $1";
        tx.run(sql, args![user.id, login.created_at]).await?;
        let user = tx.user(user.id).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(SignedIn { login: kept, user })
    }

    /// Who holds this token: only if it, its login and its person are all good at `now`.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn login_by_token(
        &self,
        kind: TokenKind,
        hash: &Sha256,
        now: Timestamp,
    ) -> Result<Option<SignedIn>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!("l."),
            " FROM tokens t JOIN logins l ON l.id = t.login_id JOIN users u ON u.id = l.user_id \
             WHERE t.hash = $1 AND t.kind = $2 AND t.expires_at > $3 AND t.used_at IS NULL \
             AND l.revoked_at IS NULL AND l.expires_at > $3 AND l.idle_until > $3 AND u.locked = 0"
        );
        let Some(row) = self.read_one(sql, args![hash, kind, now]).await? else { return Ok(None) };
        let login = Login::of(&row)?;
        let user = self.user(login.user).await?.filter(|user| !user.locked);
        Ok(user.map(|user| SignedIn { login, user }))
    }

    /// Notes a use. Call it at most once a minute or so per login.
    ///
    /// # Errors
    /// The usual ones; a login that is over is left alone.
    pub async fn touch_login(
        &self,
        id: LoginId,
        used_at: Timestamp,
        idle_until: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE logins SET used_at = $2, idle_until = $3 \
             WHERE id = $1 AND revoked_at IS NULL AND used_at < $2 AND idle_until > $2 AND expires_at > $2";
        self.write(sql, args![id, used_at, idle_until]).await.map(|_| ())
    }

    /// Uses a refresh token up, for new tokens. `events` gets the outcome; for [`Rotation::Refused`] it is not called.
    ///
    /// # Errors
    /// The usual ones. Of two at once with one token, the first wins and the second revokes.
    pub async fn rotate_refresh(
        &self,
        hash: &Sha256,
        tokens: &[NewToken],
        now: Timestamp,
        idle_until: Timestamp,
        events: impl FnOnce(&Rotation) -> Vec<NewEvent> + Send,
    ) -> Result<Rotation, StoreError> {
        let mut tx = self.begin().await?;
        let Some(row) = tx.run_one(REFRESH, args![hash, now]).await? else { return Ok(Rotation::Refused) };
        let reused = row.maybe_time("token_used_at")?.is_some();
        let before = Login::of(&row)?;
        let login = match reused {
            true => tx.revoke(before.id, now).await?,
            false => tx.use_refresh(&before, hash, tokens, now, idle_until).await?,
        };
        let user = tx.user(before.user).await?;
        if user.locked {
            return Ok(Rotation::Refused);
        }
        let signed_in = Box::new(SignedIn { login: login.unwrap_or(before), user });
        let rotation = if reused { Rotation::Reused(signed_in) } else { Rotation::Rotated(signed_in) };
        tx.append(&events(&rotation)).await?;
        tx.commit().await?;
        Ok(rotation)
    }

    /// Ends a login; with `owner`, only if it is theirs. `false`: it was over already, nothing is appended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_login(
        &self,
        id: LoginId,
        owner: Option<UserId>,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "SELECT user_id, revoked_at FROM logins WHERE id = $1 AND ($2 IS NULL OR user_id = $2)";
        tx.run_one(sql, args![id, owner]).await?.ok_or(StoreError::NotFound("login"))?;
        if tx.revoke(id, at).await?.is_none() {
            return Ok(false);
        }
        tx.append(events).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends all logins of a person; answers how many. The events are appended even if there was none.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn revoke_logins_of(
        &self,
        user: UserId,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let count = tx.revoke_logins(user, at).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(count)
    }

    /// By id, live or over.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn login(&self, id: LoginId) -> Result<Option<Login>, StoreError> {
        let sql = concat!("SELECT ", columns!(""), " FROM logins WHERE id = $1");
        self.read_one(sql, args![id]).await?.as_ref().map(Login::of).transpose()
    }

    /// A person's live logins, newest first (at most 200).
    ///
    /// # Errors
    /// The usual ones.
    pub async fn logins_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Login>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(""),
            " FROM logins WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_until > $2 \
             ORDER BY id DESC LIMIT 200"
        );
        self.read(sql, args![user, now]).await?.iter().map(Login::of).collect()
    }

    /// Removes tokens and flows that are void, logins over for more than 30 days, and the identity provider's tokens of
    /// people who are not signed in any more.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let mut tx = self.begin().await?;
        let long_ago = now.before(KEEP_LOGINS);
        let tokens =
            tx.run("DELETE FROM tokens WHERE expires_at <= $1 RETURNING 1 AS gone", args![now]).await?;
        let flows =
            tx.run("DELETE FROM flows WHERE expires_at <= $1 RETURNING 1 AS gone", args![now]).await?;
        let sql = "DELETE FROM logins WHERE expires_at <= $1 RETURNING 1 AS gone";
        let logins = tx.run(sql, args![long_ago]).await?;
        let sql = "DELETE FROM provider_tokens WHERE claimed_until <= $1 AND NOT EXISTS (\
                   SELECT 1 FROM logins l WHERE l.user_id = provider_tokens.user_id AND l.revoked_at IS NULL \
                   AND l.expires_at > $1 AND l.idle_until > $1) AND NOT EXISTS (\
                   SELECT 1 FROM sessions s WHERE s.user_id = provider_tokens.user_id \
                   AND s.state IN ('opening', 'live')) RETURNING 1 AS gone";
        tx.run(sql, args![now]).await?;
        tx.commit().await?;
        let count = |rows: &[Row]| u64::try_from(rows.len()).unwrap_or(u64::MAX);
        Ok(Swept { tokens: count(&tokens), flows: count(&flows), logins: count(&logins) })
    }
}

//! Refresh tokens of the identity provider, sealed by the gateway: one for each person who signed in there last.
//!
//! A provider may take the second use of a token for a theft. So whoever asks claims the token first, for a time; what is
//! learnt is written only if nobody signed in meanwhile and brought a newer one.

use hoop_model::{Timestamp, UserId};

use crate::{
    Store, StoreError,
    db::{Row, args},
};

/// A token, claimed: nobody else has it until the claim is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderToken {
    /// Whose.
    pub user: UserId,
    /// As it was sealed.
    pub sealed: String,
    claimed_until: Timestamp,
}

impl ProviderToken {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            user: row.id("user_id")?,
            sealed: row.text("sealed")?,
            claimed_until: row.time("claimed_until")?,
        })
    }
}

impl Store {
    /// Keeps the token of a new sign-in, in place of the one before.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn keep_provider_token(
        &self,
        user: UserId,
        sealed: &str,
        now: Timestamp,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO provider_tokens (user_id, sealed, asked_at, due_at, claimed_until) \
                   VALUES ($1, $2, $3, $4, 0) ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, \
                   asked_at = excluded.asked_at, due_at = excluded.due_at, claimed_until = 0 RETURNING user_id";
        tx.run(sql, args![user, sealed, now, due_at]).await?;
        tx.commit().await
    }

    /// Claims tokens that are due, of people who are signed in or have a live session; the longest due first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn claim_provider_tokens(
        &self,
        now: Timestamp,
        until: Timestamp,
        most: u32,
    ) -> Result<Vec<ProviderToken>, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE provider_tokens SET claimed_until = $2 WHERE user_id IN (\
                   SELECT user_id FROM provider_tokens p WHERE due_at <= $1 AND claimed_until <= $1 AND (\
                   EXISTS (SELECT 1 FROM logins l WHERE l.user_id = p.user_id AND l.revoked_at IS NULL \
                   AND l.expires_at > $1 AND l.idle_until > $1) OR \
                   EXISTS (SELECT 1 FROM sessions s WHERE s.user_id = p.user_id AND s.state IN ('opening', 'live'))) \
                   ORDER BY due_at LIMIT $3) RETURNING user_id, sealed, claimed_until";
        let rows = tx.run(sql, args![now, until, most]).await?;
        tx.commit().await?;
        rows.iter().map(ProviderToken::of).collect()
    }

    /// Claims the token of one person, if the provider was last asked at `not_since` or before.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn claim_provider_token(
        &self,
        user: UserId,
        not_since: Timestamp,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<ProviderToken>, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE provider_tokens SET claimed_until = $4 WHERE user_id = $1 AND asked_at <= $2 \
                   AND claimed_until <= $3 RETURNING user_id, sealed, claimed_until";
        let row = tx.run_one(sql, args![user, not_since, now, until]).await?;
        tx.commit().await?;
        row.as_ref().map(ProviderToken::of).transpose()
    }

    /// The provider answered at `asked_at`, perhaps with a new token.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn renew_provider_token(
        &self,
        claim: &ProviderToken,
        sealed: Option<&str>,
        asked_at: Timestamp,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE provider_tokens SET sealed = COALESCE($3, sealed), asked_at = $4, due_at = $5, \
                   claimed_until = 0 WHERE user_id = $1 AND claimed_until = $2 RETURNING user_id";
        tx.run(sql, args![claim.user, claim.claimed_until, sealed, asked_at, due_at]).await?;
        tx.commit().await
    }

    /// The provider did not answer: it is asked again at `due_at`.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn release_provider_token(
        &self,
        claim: &ProviderToken,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE provider_tokens SET due_at = $3, claimed_until = 0 \
                   WHERE user_id = $1 AND claimed_until = $2 RETURNING user_id";
        tx.run(sql, args![claim.user, claim.claimed_until, due_at]).await?;
        tx.commit().await
    }

    /// The provider does not take it any more. `false`: a newer one was kept meanwhile.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn drop_provider_token(&self, claim: &ProviderToken) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM provider_tokens WHERE user_id = $1 AND claimed_until = $2 RETURNING user_id";
        let dropped = tx.run_one(sql, args![claim.user, claim.claimed_until]).await?.is_some();
        tx.commit().await?;
        Ok(dropped)
    }
}

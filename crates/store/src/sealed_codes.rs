//! Sealed codes: printed beforehand and kept by several holders, for a way in while nobody can sign in as usual.

use hoop_model::{CodeSetId, Timestamp, UserName};

use crate::{
    Conflict, NewEvent, Sha256, Store, StoreError, User,
    db::{Row, Tx, args},
};

/// Codes to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCodeSet {
    /// Its id.
    pub id: CodeSetId,
    /// How many holders it takes.
    pub needed: u32,
    /// Who makes it.
    pub made_by: UserName,
    /// Now.
    pub made_at: Timestamp,
    /// Void after.
    pub expires_at: Timestamp,
    /// Each holder's code, hashed.
    pub codes: Vec<(UserName, Sha256)>,
}

/// Codes that were made together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSet {
    /// Its id.
    pub id: CodeSetId,
    /// How many holders it takes.
    pub needed: u32,
    /// Who made it.
    pub made_by: UserName,
    /// When.
    pub made_at: Timestamp,
    /// Void after.
    pub expires_at: Timestamp,
    /// Void since.
    pub revoked_at: Option<Timestamp>,
    /// By holder.
    pub codes: Vec<SealedCode>,
}

/// One code, without the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCode {
    /// The set it is of.
    pub set: CodeSetId,
    /// Who keeps it.
    pub holder: UserName,
    /// Used when.
    pub used_at: Option<Timestamp>,
    /// For whose sign-in.
    pub used_by: Option<String>,
}

impl SealedCode {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            set: row.id("set_id")?,
            holder: row.name("holder")?,
            used_at: row.maybe_time("used_at")?,
            used_by: row.maybe_text("used_by")?,
        })
    }
}

impl CodeSet {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id("id")?,
            needed: row.count("needed")?,
            made_by: row.name("made_by")?,
            made_at: row.time("made_at")?,
            expires_at: row.time("expires_at")?,
            revoked_at: row.maybe_time("revoked_at")?,
            codes: Vec::new(),
        })
    }
}

/// Most sets that a list shows: the newest.
const LIST: u32 = 200;

impl Tx {
    /// Uses codes up for somebody's sign-in. All of them or none: whoever fails has not spent any.
    pub(crate) async fn use_sealed_codes(
        &mut self,
        user: &User,
        hashes: &[Sha256],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut sets = Vec::new();
        for hash in hashes {
            let sql = "UPDATE sealed_codes SET used_at = $2, used_by = $3 WHERE hash = $1 AND used_at IS NULL \
                       RETURNING set_id, holder, used_at, used_by";
            let row = self.run_one(sql, args![hash, at, user.name.as_str()]).await?.ok_or(Conflict::Used)?;
            sets.push(SealedCode::of(&row)?.set);
        }
        let Some(&set) = sets.first().filter(|first| sets.iter().all(|set| set == *first)) else {
            return Err(Conflict::Revoked.into());
        };
        let sql = "SELECT id, needed, made_by, made_at, expires_at, revoked_at FROM code_sets \
                   WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2";
        let row = self.run_one(sql, args![set, at]).await?.ok_or(Conflict::Revoked)?;
        // Each is another holder's: a set has one code for each, and each was used once.
        let enough =
            u32::try_from(sets.len()).is_ok_and(|count| count >= row.count("needed").unwrap_or(u32::MAX));
        if enough { Ok(()) } else { Err(Conflict::Revoked.into()) }
    }
}

impl Store {
    /// Keeps codes.
    ///
    /// # Errors
    /// `Conflict` when two are of one holder.
    pub async fn create_code_set(&self, new: &NewCodeSet, events: &[NewEvent]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO code_sets (id, needed, made_by, made_at, expires_at) VALUES ($1, $2, $3, $4, $5) \
                   RETURNING id";
        tx.run(sql, args![new.id, new.needed, &new.made_by, new.made_at, new.expires_at]).await?;
        for (holder, hash) in &new.codes {
            let sql = "INSERT INTO sealed_codes (hash, set_id, holder) VALUES ($1, $2, $3) RETURNING hash";
            tx.run(sql, args![hash, new.id, holder]).await?;
        }
        tx.append(events).await?;
        tx.commit().await
    }

    /// Makes all codes of a set void. `false`: they were.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_code_set(
        &self,
        id: CodeSetId,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        tx.run_one("SELECT id FROM code_sets WHERE id = $1", args![id])
            .await?
            .ok_or(StoreError::NotFound("set of sealed codes"))?;
        let sql = "UPDATE code_sets SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id";
        if tx.run_one(sql, args![id, at]).await?.is_none() {
            return Ok(false);
        }
        tx.append(events).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whose code this is, used or not.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn sealed_code(&self, hash: &Sha256) -> Result<Option<SealedCode>, StoreError> {
        let sql = "SELECT set_id, holder, used_at, used_by FROM sealed_codes WHERE hash = $1";
        self.read_one(sql, args![hash]).await?.as_ref().map(SealedCode::of).transpose()
    }

    /// All sets, the newest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn code_sets(&self) -> Result<Vec<CodeSet>, StoreError> {
        let sql = "SELECT id, needed, made_by, made_at, expires_at, revoked_at FROM code_sets \
                   ORDER BY id DESC LIMIT $1";
        let rows = self.read(sql, args![LIST]).await?;
        let mut sets = rows.iter().map(CodeSet::of).collect::<Result<Vec<_>, _>>()?;
        for set in &mut sets {
            let sql =
                "SELECT set_id, holder, used_at, used_by FROM sealed_codes WHERE set_id = $1 ORDER BY holder";
            let rows = self.read(sql, args![set.id]).await?;
            set.codes = rows.iter().map(SealedCode::of).collect::<Result<_, _>>()?;
        }
        Ok(sets)
    }
}

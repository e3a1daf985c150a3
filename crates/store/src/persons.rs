//! Which accounts are the same person's: so that nobody decides for themself under another name.
//!
//! Flat: one account stands for all of a person's, and the others name it. Service accounts are no people.

use std::collections::BTreeMap;

use hoop_model::{PersonId, UserId, UserName};

use crate::{
    Conflict, NewEvent, Store, StoreError, User,
    db::{Tx, args},
    users::user_columns,
};

/// Most accounts of one person.
const MOST: usize = 10;

/// The accounts of the person for whom the account `$id` stands.
macro_rules! accounts {
    ($id:literal) => {
        concat!("(SELECT id FROM users WHERE id = ", $id, " OR same_person_as = ", $id, ")")
    };
}

pub(crate) use accounts;

impl Tx {
    async fn accounts(&mut self, person: PersonId) -> Result<Vec<UserId>, StoreError> {
        let sql = concat!("SELECT id FROM users WHERE id IN ", accounts!("$1"), " ORDER BY id");
        self.run(sql, args![person.account()]).await?.iter().map(|row| row.id("id")).collect()
    }

    /// Lets `accounts` be one person's, and no others with them.
    async fn join(&mut self, accounts: &[UserId]) -> Result<(), StoreError> {
        let Some((first, others)) = accounts.split_first() else { return Ok(()) };
        self.run("UPDATE users SET same_person_as = NULL WHERE id = $1", args![*first]).await?;
        for other in others {
            self.run("UPDATE users SET same_person_as = $2 WHERE id = $1", args![*other, *first]).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Notes that two accounts are the same person's, with all that were of either.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(TooMany)` when these would be too many of one person.
    pub async fn link_accounts(
        &self,
        one: UserId,
        other: UserId,
        events: &[NewEvent],
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let (person, joined) = (tx.user(one).await?.person, tx.user(other).await?.person);
        if person != joined {
            let mut accounts = tx.accounts(person).await?;
            accounts.extend(tx.accounts(joined).await?);
            if accounts.len() > MOST {
                return Err(Conflict::TooMany.into());
            }
            tx.join(&accounts).await?;
            tx.append(events).await?;
        }
        let user = tx.user(one).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Takes an account out: it is nobody's second one any more.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it is a person's only one.
    pub async fn unlink_account(&self, id: UserId, events: &[NewEvent]) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let person = tx.user(id).await?.person;
        let mut others = tx.accounts(person).await?;
        others.retain(|account| *account != id);
        if others.is_empty() {
            return Err(Conflict::Changed.into());
        }
        tx.join(&[id]).await?;
        tx.join(&others).await?;
        tx.append(events).await?;
        let user = tx.user(id).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// The other accounts of the person whose account this is.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn other_accounts(&self, user: &User) -> Result<Vec<User>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE id <> $2 AND id IN ",
            accounts!("$1"),
            " ORDER BY folded_name"
        );
        self.read(sql, args![user.person.account(), user.id]).await?.iter().map(User::of).collect()
    }

    /// Everybody who has several accounts, with the names of these.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn linked_accounts(&self) -> Result<BTreeMap<PersonId, Vec<UserName>>, StoreError> {
        let sql = "SELECT id, same_person_as, name FROM users WHERE same_person_as IS NOT NULL \
                   OR id IN (SELECT same_person_as FROM users WHERE same_person_as IS NOT NULL) ORDER BY folded_name";
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in self.read(sql, Vec::new()).await? {
            let person = PersonId::of(row.id("id")?, row.maybe_id("same_person_as")?);
            found.entry(person).or_default().push(row.name("name")?);
        }
        Ok(found)
    }
}

//! Requests for access and emergencies: who asked, who decided, until when, and what a reviewer found.

use hoop_model::{ConnectionId, ConnectionName, PersonId, RequestId, RuleName, Timestamp, UserId, UserName};

use crate::{
    Conflict, NewEvent, Page, Store, StoreError,
    db::{Row, Tx, args, words},
    persons::accounts,
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Good once enough others approve.
    Access,
    /// Good at once; reviewed afterwards.
    BreakGlass,
}

words!(RequestKind { Access = "access", BreakGlass = "break_glass" });

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// Waits for others.
    Pending,
    /// In force until its end.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time, or its time is over.
    Expired,
    /// Given back or taken away before its time was over.
    Ended,
}

words!(RequestState {
    Pending = "pending",
    Approved = "approved",
    Denied = "denied",
    Expired = "expired",
    Ended = "ended"
});

/// A request, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What was asked.
    pub asked: NewRequest,
    /// Who asked, whichever of their accounts they used.
    pub person: PersonId,
    /// How far it has come.
    pub state: RequestState,
    /// Decided when.
    pub decided_at: Option<Timestamp>,
    /// In force until then, whatever happens.
    pub ends_at: Option<Timestamp>,
    /// Over since.
    pub ended_at: Option<Timestamp>,
    /// Why.
    pub end_reason: Option<String>,
    /// Who extended it.
    pub extended_by: Option<String>,
    /// What the reviewer of an emergency found.
    pub review: Option<Review>,
}

/// The review of an emergency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Who reviewed.
    pub by: UserId,
    /// Their name.
    pub by_name: String,
    /// When.
    pub at: Timestamp,
    /// What they found.
    pub finding: String,
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Its id.
    pub id: RequestId,
    /// Which of the two.
    pub kind: RequestKind,
    /// Who asks.
    pub user: UserId,
    /// Their name.
    pub user_name: UserName,
    /// For what.
    pub connection: ConnectionId,
    /// Its name.
    pub connection_name: ConnectionName,
    /// Under which rule.
    pub rule: String,
    /// As whom at the target.
    pub become_user: Option<String>,
    /// For this statement alone, in one session.
    pub statement: Option<AskedStatement>,
    /// Why.
    pub reason: String,
    /// Which emergency.
    pub incident: Option<String>,
    /// For how long.
    pub duration_seconds: u64,
    /// Approvals that it takes; 0 puts it in force at once.
    pub needed: u32,
    /// Now.
    pub created_at: Timestamp,
    /// Void then, if nobody decided.
    pub decide_until: Timestamp,
}

/// The only statement that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedStatement {
    /// Its text, sealed by the caller: it may hold patients' data.
    pub sealed: Vec<u8>,
    /// The text's hash, as policy writes it.
    pub sha256: String,
    /// In which database.
    pub database: String,
    /// The statement rule whose approvers are asked; those of the rule are if absent.
    pub rule: Option<String>,
}

/// One word on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whose.
    pub by: UserId,
    /// Their name at the time.
    pub by_name: UserName,
    /// Yes or no.
    pub approves: bool,
    /// In their words.
    pub note: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Which requests to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Of this account.
    pub user: Option<UserId>,
    /// Of the account that has this name, whatever the case.
    pub user_name: Option<UserName>,
    /// For a connection of this name.
    pub connection: Option<ConnectionName>,
    /// Only what somebody may see; everything if absent.
    pub seen_by: Option<SeenBy>,
    /// Of this kind.
    pub kind: Option<RequestKind>,
    /// In this state.
    pub state: Option<RequestState>,
    /// Emergencies that are over and that nobody has reviewed.
    pub unreviewed: bool,
    /// Older than this one.
    pub before: Option<RequestId>,
    /// At most so many.
    pub limit: u32,
}

/// What somebody may see who does not see everything: what they asked for, what the rules let them decide or review, and
/// what they said yes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenBy {
    /// Whose account it is.
    pub person: PersonId,
    /// The account.
    pub account: UserId,
    /// Rules that name them as approver.
    pub approves: Vec<RuleName>,
    /// Rules that name them as reviewer.
    pub reviews: Vec<RuleName>,
    /// Everything that waits for a decision, too.
    pub pending: bool,
}

impl SeenBy {
    /// `"one","two"`, which SQL looks for `"one"` in. What it may find besides, where `_` stands for any letter, is for
    /// the caller to leave out.
    fn listed(rules: &[RuleName]) -> String {
        rules.iter().map(|rule| format!("\"{rule}\"")).collect::<Vec<_>>().join(",")
    }
}

macro_rules! columns {
    () => {
        "id, kind, user_id, user_name, connection_id, connection_name, rule, become, statement_sealed, \
         statement_sha256, statement_database, statement_rule, reason, incident, duration_seconds, needed, state, created_at, \
         decide_until, decided_at, ends_at, ended_at, end_reason, extended_by, reviewed_by, reviewed_by_name, reviewed_at, finding, \
         (SELECT same_person_as FROM users WHERE users.id = requests.user_id) AS same_person_as"
    };
}

/// How many different people approved a request, the one who asked not among them.
macro_rules! approved_by {
    () => {
        "(SELECT COUNT(DISTINCT COALESCE(who.same_person_as, who.id)) FROM decisions said \
         JOIN users who ON who.id = said.user_id JOIN users asker ON asker.id = requests.user_id \
         WHERE said.request_id = requests.id AND said.approves <> 0 \
         AND COALESCE(who.same_person_as, who.id) <> COALESCE(asker.same_person_as, asker.id))"
    };
}

impl Request {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let review = match row.maybe_time("reviewed_at")? {
            None => None,
            Some(at) => Some(Review {
                by: row.id("reviewed_by")?,
                by_name: row.text("reviewed_by_name")?,
                at,
                finding: row.text("finding")?,
            }),
        };
        let statement = match row.maybe_bytes("statement_sealed")? {
            None => None,
            Some(sealed) => Some(AskedStatement {
                sealed,
                sha256: row.text("statement_sha256")?,
                database: row.text("statement_database")?,
                rule: row.maybe_text("statement_rule")?,
            }),
        };
        let asked = NewRequest {
            id: row.id("id")?,
            kind: row.word("kind")?,
            user: row.id("user_id")?,
            user_name: row.name("user_name")?,
            connection: row.id("connection_id")?,
            connection_name: row.name("connection_name")?,
            rule: row.text("rule")?,
            become_user: row.maybe_text("become")?,
            statement,
            reason: row.text("reason")?,
            incident: row.maybe_text("incident")?,
            duration_seconds: row.count("duration_seconds")?,
            needed: row.count("needed")?,
            created_at: row.time("created_at")?,
            decide_until: row.time("decide_until")?,
        };
        Ok(Self {
            person: PersonId::of(asked.user, row.maybe_id("same_person_as")?),
            asked,
            state: row.word("state")?,
            decided_at: row.maybe_time("decided_at")?,
            ends_at: row.maybe_time("ends_at")?,
            ended_at: row.maybe_time("ended_at")?,
            end_reason: row.maybe_text("end_reason")?,
            extended_by: row.maybe_text("extended_by")?,
            review,
        })
    }

    /// In force at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.state == RequestState::Approved && self.ends_at.is_some_and(|end| now < end)
    }

    fn ends_after(&self, from: Timestamp) -> Timestamp {
        from.after(std::time::Duration::from_secs(self.asked.duration_seconds))
    }
}

impl Tx {
    async fn request(&mut self, id: RequestId) -> Result<Request, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM requests WHERE id = $1");
        let row = self.run_one(sql, args![id]).await?;
        Request::of(&row.ok_or(StoreError::NotFound("request"))?)
    }

    /// Whose account it is; `Conflict(OtherName)` when the request is their own.
    async fn another(&mut self, account: UserId, request: &Request) -> Result<PersonId, StoreError> {
        let person = self.user(account).await?.person;
        if person == request.person { Err(Conflict::OtherName.into()) } else { Ok(person) }
    }

    pub(crate) async fn insert_request(&mut self, new: &NewRequest) -> Result<Request, StoreError> {
        let sql = concat!(
            "INSERT INTO requests (id, kind, user_id, user_name, connection_id, connection_name, rule, become, \
             statement_sealed, statement_sha256, statement_database, statement_rule, reason, incident, duration_seconds, needed, \
             state, created_at, decide_until) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'pending', $17, $18) RETURNING ",
            columns!()
        );
        let values = args![
            new.id,
            new.kind,
            new.user,
            &new.user_name,
            new.connection,
            &new.connection_name,
            new.rule.as_str(),
            new.become_user.as_deref(),
            new.statement.as_ref().map(|statement| statement.sealed.as_slice()),
            new.statement.as_ref().map(|statement| statement.sha256.as_str()),
            new.statement.as_ref().map(|statement| statement.database.as_str()),
            new.statement.as_ref().and_then(|statement| statement.rule.as_deref()),
            new.reason.as_str(),
            new.incident.as_deref(),
            new.duration_seconds,
            new.needed,
            new.created_at,
            new.decide_until
        ];
        let row = self.run_one(sql, values).await?.ok_or(StoreError::NotFound("request"))?;
        Request::of(&row)
    }

    pub(crate) async fn settle(
        &mut self,
        id: RequestId,
        state: RequestState,
        at: Timestamp,
        ends_at: Option<Timestamp>,
    ) -> Result<Request, StoreError> {
        let sql = concat!(
            "UPDATE requests SET state = $2, decided_at = $3, ends_at = $4 WHERE id = $1 RETURNING ",
            columns!()
        );
        let row = self.run_one(sql, args![id, state, at, ends_at]).await?;
        Request::of(&row.ok_or(StoreError::NotFound("request"))?)
    }
}

impl Store {
    /// Keeps a request. One that needs no approval is in force from now on.
    ///
    /// # Errors
    /// `Conflict(Locked)` when the person was locked meanwhile; `Conflict(TooMany)` when they have `most` pending or in
    /// force; `Conflict(Changed)` when `review_first` and an emergency of theirs has not been reviewed.
    pub async fn create_request(
        &self,
        new: &NewRequest,
        most: u64,
        review_first: bool,
        events: &[NewEvent],
    ) -> Result<Request, StoreError> {
        let mut tx = self.begin().await?;
        let asker = tx.user(new.user).await?;
        if asker.locked {
            return Err(Conflict::Locked.into());
        }
        let person = asker.person;
        let open = concat!(
            "SELECT COUNT(*) AS count FROM requests WHERE state IN ('pending', 'approved') AND user_id IN ",
            accounts!("$1")
        );
        let open: u64 =
            tx.run_one(open, args![person.account()]).await?.map_or(Ok(0), |row| row.count("count"))?;
        if open >= most {
            return Err(Conflict::TooMany.into());
        }
        let unreviewed = concat!(
            "SELECT COUNT(*) AS count FROM requests WHERE kind = 'break_glass' AND reviewed_at IS NULL AND user_id IN ",
            accounts!("$1")
        );
        let unreviewed: u64 =
            tx.run_one(unreviewed, args![person.account()]).await?.map_or(Ok(0), |row| row.count("count"))?;
        if review_first && unreviewed > 0 {
            return Err(Conflict::Changed.into());
        }
        let mut request = tx.insert_request(new).await?;
        if new.needed == 0 {
            let until = request.ends_after(new.created_at);
            request = tx.settle(new.id, RequestState::Approved, new.created_at, Some(until)).await?;
        }
        tx.append(events).await?;
        tx.commit().await?;
        Ok(request)
    }

    /// Takes one person's word. The last approval that is needed puts the request in force, from then on; one no ends it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it is not pending any more; `Conflict(Expired)` when it is too late;
    /// `Conflict(Used)` when this person has decided already; `Conflict(OtherName)` when it is their own.
    pub async fn decide_request(
        &self,
        id: RequestId,
        word: &Decision,
        events: &[NewEvent],
    ) -> Result<Request, StoreError> {
        let mut tx = self.begin().await?;
        let request = tx.request(id).await?;
        if request.state != RequestState::Pending {
            return Err(Conflict::Changed.into());
        }
        if word.at >= request.asked.decide_until {
            return Err(Conflict::Expired.into());
        }
        let decider = tx.another(word.by, &request).await?;
        let said =
            concat!("SELECT user_id FROM decisions WHERE request_id = $1 AND user_id IN ", accounts!("$2"));
        if !tx.run(said, args![id, decider.account()]).await?.is_empty() {
            return Err(Conflict::Used.into());
        }
        let sql = "INSERT INTO decisions (request_id, user_id, user_name, approves, note, decided_at) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING approves";
        let values = args![id, word.by, &word.by_name, word.approves, word.note.as_deref(), word.at];
        tx.run_one(sql, values).await?.ok_or(Conflict::Used)?;
        let count = concat!("SELECT ", approved_by!(), " AS count FROM requests WHERE id = $1");
        let approvals: u32 = tx.run_one(count, args![id]).await?.map_or(Ok(0), |row| row.count("count"))?;
        let request = if !word.approves {
            tx.settle(id, RequestState::Denied, word.at, None).await?
        } else if approvals >= request.asked.needed {
            let until = request.ends_after(word.at);
            tx.settle(id, RequestState::Approved, word.at, Some(until)).await?
        } else {
            request
        };
        tx.append(events).await?;
        tx.commit().await?;
        Ok(request)
    }

    /// Ends a request that is pending or in force before its time, or marks that its time is over.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it is over already.
    pub async fn end_request(
        &self,
        id: RequestId,
        state: RequestState,
        at: Timestamp,
        reason: &str,
        events: &[NewEvent],
    ) -> Result<Request, StoreError> {
        let mut tx = self.begin().await?;
        if !matches!(tx.request(id).await?.state, RequestState::Pending | RequestState::Approved) {
            return Err(Conflict::Changed.into());
        }
        let sql = concat!(
            "UPDATE requests SET state = $2, ended_at = $3, end_reason = $4 WHERE id = $1 RETURNING ",
            columns!()
        );
        let row = tx.run_one(sql, args![id, state, at, reason]).await?;
        let request = Request::of(&row.ok_or(StoreError::NotFound("request"))?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(request)
    }

    /// Lets an emergency go on until `ends_at`; somebody else's word.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it is not in force, or was extended by another meanwhile;
    /// `Conflict(OtherName)` when it is their own.
    pub async fn extend_request(
        &self,
        id: RequestId,
        by: (UserId, &UserName),
        before: Timestamp,
        ends_at: Timestamp,
        events: &[NewEvent],
    ) -> Result<Request, StoreError> {
        let mut tx = self.begin().await?;
        let request = tx.request(id).await?;
        tx.another(by.0, &request).await?;
        if request.state != RequestState::Approved || request.ends_at != Some(before) {
            return Err(Conflict::Changed.into());
        }
        let sql = concat!(
            "UPDATE requests SET ends_at = $2, extended_by = $3 WHERE id = $1 RETURNING ",
            columns!()
        );
        let row = tx.run_one(sql, args![id, ends_at, by.1.as_str()]).await?;
        let request = Request::of(&row.ok_or(StoreError::NotFound("request"))?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(request)
    }

    /// Closes the review of an emergency that is over.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(Changed)` when it is no emergency, goes on still, or was reviewed; `Conflict(OtherName)`
    /// when it is their own.
    pub async fn review_request(
        &self,
        id: RequestId,
        review: &Review,
        events: &[NewEvent],
    ) -> Result<Request, StoreError> {
        let mut tx = self.begin().await?;
        let request = tx.request(id).await?;
        tx.another(review.by, &request).await?;
        let over = matches!(request.state, RequestState::Ended | RequestState::Expired);
        if request.asked.kind != RequestKind::BreakGlass || !over || request.review.is_some() {
            return Err(Conflict::Changed.into());
        }
        let sql = concat!(
            "UPDATE requests SET reviewed_by = $2, reviewed_by_name = $3, reviewed_at = $4, finding = $5 \
             WHERE id = $1 RETURNING ",
            columns!()
        );
        let values = args![id, review.by, review.by_name.as_str(), review.at, review.finding.as_str()];
        let row = tx.run_one(sql, values).await?;
        let request = Request::of(&row.ok_or(StoreError::NotFound("request"))?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(request)
    }

    /// By id.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn request(&self, id: RequestId) -> Result<Option<Request>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM requests WHERE id = $1");
        self.read_one(sql, args![id]).await?.as_ref().map(Request::of).transpose()
    }

    /// What was said on a request, in order.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn decisions(&self, id: RequestId) -> Result<Vec<Decision>, StoreError> {
        let sql = "SELECT user_id, user_name, approves, note, decided_at FROM decisions WHERE request_id = $1 \
                   ORDER BY decided_at, user_id";
        let decision = |row: &Row| {
            Ok(Decision {
                by: row.id("user_id")?,
                by_name: row.name("user_name")?,
                approves: row.flag("approves")?,
                note: row.maybe_text("note")?,
                at: row.time("decided_at")?,
            })
        };
        self.read(sql, args![id]).await?.iter().map(decision).collect()
    }

    /// Requests, the newest first.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn requests(&self, filter: &RequestFilter) -> Result<Page<Request, RequestId>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM requests WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR kind = $2) \
             AND ($3 IS NULL OR state = $3) \
             AND ($4 = 0 OR (kind = 'break_glass' AND state IN ('ended', 'expired') AND reviewed_at IS NULL)) \
             AND ($5 IS NULL OR id < $5) \
             AND ($6 IS NULL OR user_id IN (SELECT id FROM users WHERE folded_name = $6)) \
             AND ($7 IS NULL OR connection_name = $7) \
             AND ($8 IS NULL OR user_id IN ",
            accounts!("$8"),
            " OR (kind = 'access' AND $9 LIKE '%\"' || rule || '\"%') \
             OR (kind = 'break_glass' AND $10 LIKE '%\"' || rule || '\"%') \
             OR ($11 = 1 AND state = 'pending') \
             OR EXISTS (SELECT 1 FROM decisions said WHERE said.request_id = requests.id \
             AND said.user_id = $12 AND said.approves <> 0)) \
             ORDER BY id DESC LIMIT $13"
        );
        let seen = filter.seen_by.as_ref();
        let values = args![
            filter.user,
            filter.kind,
            filter.state,
            filter.unreviewed,
            filter.before,
            filter.user_name.as_ref().map(UserName::folded).as_deref(),
            filter.connection.as_ref(),
            seen.map(|seen| seen.person.account()),
            seen.map(|seen| SeenBy::listed(&seen.approves)).as_deref(),
            seen.map(|seen| SeenBy::listed(&seen.reviews)).as_deref(),
            seen.is_some_and(|seen| seen.pending),
            seen.map(|seen| seen.account),
            filter.limit + 1
        ];
        let rows = self.read(sql, values).await?;
        let all = rows.iter().map(Request::of).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(all, filter.limit, |request| request.asked.id))
    }

    /// Those whose time is over at `now` by the clock alone: nobody decided, or they were in force.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn due_requests(&self, now: Timestamp) -> Result<Vec<Request>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM requests WHERE (state = 'pending' AND decide_until <= $1) \
             OR (state = 'approved' AND (ends_at IS NULL OR ends_at <= $1)) ORDER BY id"
        );
        self.read(sql, args![now]).await?.iter().map(Request::of).collect()
    }

    /// Those of one person on one connection that are in force at `now`. Whatever was found out since about who is whose
    /// second account: words of the person themself, and several of one other, are not counted.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn approvals(
        &self,
        user: UserId,
        connection: ConnectionId,
        now: Timestamp,
    ) -> Result<Vec<Request>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM requests WHERE user_id = $1 AND connection_id = $2 AND state = 'approved' AND ends_at > $3 AND needed <= ",
            approved_by!(),
            " ORDER BY id"
        );
        self.read(sql, args![user, connection, now]).await?.iter().map(Request::of).collect()
    }
}

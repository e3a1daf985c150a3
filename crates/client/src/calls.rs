//! What there is to ask a gateway: one method an endpoint, typed by [`hoop_api`].

use hoop_api::{
    Info, Page,
    audit::{
        CheckpointView, ConsistencyProof, EventView, InclusionProof, LedgerReport, SinkView, StatementPage,
    },
    auth::{DeviceStart, LoginView, RecoveryCodes, RecoveryCodesLeft, WhoAmI},
    capabilities::{CapabilityMade, CapabilityView, NewCapability},
    holds::{HoldView, PlaceHold, ReleaseHold},
    manage::{
        AgentView, ConnectionDefinition, ConnectionScan, ConnectionTest, ConnectionView, JoinToken,
        JoinTokenRequest, LinkAccount, NewUser, NewUserCreated, UserChange, UserView,
    },
    recording_keys::{RecordingKeyView, RecordingKeys},
    requests::{BreakGlass, EndRequest, Extend, NewRequest, RequestView, ReviewFinding, Word},
    rules::{ReachView, RulesChange, RulesChanged, RulesVersion, RulesView},
    sealed_codes::{CodeSetMade, CodeSetView, NewCodeSet},
    services::{
        ApiTokenMade, ApiTokenView, NewApiToken, NewServiceAccount, ServiceAccountChange, ServiceAccountView,
    },
    sessions::{
        KillSession, OpenSession, RenewCertificate, RenewedCertificate, SessionOpened, SessionView, Timeline,
        VerifyReport,
    },
};
use hoop_model::{
    AgentName, CapabilityId, CodeSetId, ConnectionName, HoldId, LoginId, RequestId, SessionId, TokenId,
    UserName,
};
use reqwest::Method;

use crate::{
    error::Result,
    http::{Api, Body},
};

/// Name and value of a query's parameters.
pub type Query<'a> = [(&'a str, String)];

/// How a recording is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line.
    JsonLines,
    /// SQL text.
    Sql,
    /// asciicast v2.
    Asciicast,
}

impl ExportFormat {
    /// As the API names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Sql => "sql",
            Self::Asciicast => "asciicast",
        }
    }
}

/// Errors of every method: what the gateway says, or that it cannot be reached.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Api {
    /// What a client must know before sign-in.
    pub async fn info(&self) -> Result<Info> {
        self.get("/info", &[]).await
    }

    /// Who is signed in.
    pub async fn whoami(&self) -> Result<WhoAmI> {
        self.get("/whoami", &[]).await
    }

    /// One's own sign-ins.
    pub async fn logins(&self) -> Result<Page<LoginView>> {
        self.get("/me/logins", &[]).await
    }

    /// Ends a sign-in.
    pub async fn end_login(&self, id: LoginId) -> Result<()> {
        self.command(Method::DELETE, &format!("/me/logins/{id}"), None).await
    }

    /// Ends every sign-in of one's own, this one too, and every live session.
    pub async fn end_all_logins(&self) -> Result<()> {
        self.command(Method::DELETE, "/me/logins", None).await
    }

    /// How many recovery codes are left.
    pub async fn recovery_codes_left(&self) -> Result<RecoveryCodesLeft> {
        self.get("/me/recovery-codes", &[]).await
    }

    /// New recovery codes; the old ones are void.
    pub async fn renew_recovery_codes(&self) -> Result<RecoveryCodes> {
        self.send(Method::POST, "/me/recovery-codes", &serde_json::json!({})).await
    }

    /// Starts a device sign-in.
    pub async fn device_start(&self) -> Result<DeviceStart> {
        self.send(Method::POST, "/device", &serde_json::json!({})).await
    }

    /// Connections that the caller may open, or all.
    pub async fn connections(&self, all: bool) -> Result<Page<ConnectionView>> {
        let query: &Query<'_> = if all { &[("all", "true".to_owned())] } else { &[] };
        self.get("/connections", query).await
    }

    /// Makes or replaces a connection.
    pub async fn put_connection(
        &self,
        name: &ConnectionName,
        wanted: &ConnectionDefinition,
    ) -> Result<ConnectionView> {
        self.send(Method::PUT, &format!("/connections/{name}"), wanted).await
    }

    /// Lets a connection's agent look for columns that seem to hold personal data.
    pub async fn scan_connection(&self, name: &ConnectionName) -> Result<ConnectionScan> {
        self.send(Method::POST, &format!("/connections/{name}/scan"), &serde_json::json!({})).await
    }

    /// Lets a connection's agent log in at the target once.
    pub async fn test_connection(&self, name: &ConnectionName) -> Result<ConnectionTest> {
        self.send(Method::POST, &format!("/connections/{name}/test"), &serde_json::json!({})).await
    }

    /// Removes a connection.
    pub async fn delete_connection(&self, name: &ConnectionName) -> Result<()> {
        self.command(Method::DELETE, &format!("/connections/{name}"), None).await
    }

    /// Asks for access that others approve.
    pub async fn ask(&self, new: &NewRequest) -> Result<RequestView> {
        self.send(Method::POST, "/requests", new).await
    }

    /// Opens an emergency.
    pub async fn break_glass(&self, new: &BreakGlass) -> Result<RequestView> {
        self.send(Method::POST, "/break-glass", new).await
    }

    /// Requests that concern the caller: their own alone, or emergencies that wait for a review.
    pub async fn requests(&self, mine: bool, unreviewed: bool) -> Result<Page<RequestView>> {
        let query = [("mine", mine.to_string()), ("unreviewed", unreviewed.to_string())];
        self.get("/requests", &query).await
    }

    /// One request.
    pub async fn request_of(&self, id: RequestId) -> Result<RequestView> {
        self.get(&format!("/requests/{id}"), &[]).await
    }

    /// Says yes or no.
    pub async fn decide_request(&self, id: RequestId, approves: bool, word: &Word) -> Result<RequestView> {
        let verdict = if approves { "approve" } else { "deny" };
        self.send(Method::POST, &format!("/requests/{id}/{verdict}"), word).await
    }

    /// Withdraws or revokes.
    pub async fn end_request(&self, id: RequestId, end: &EndRequest) -> Result<RequestView> {
        self.send(Method::POST, &format!("/requests/{id}/end"), end).await
    }

    /// Lets an emergency go on.
    pub async fn extend_request(&self, id: RequestId, extend: &Extend) -> Result<RequestView> {
        self.send(Method::POST, &format!("/requests/{id}/extend"), extend).await
    }

    /// Closes the review of an emergency.
    pub async fn review_request(&self, id: RequestId, finding: &ReviewFinding) -> Result<RequestView> {
        self.send(Method::POST, &format!("/requests/{id}/review"), finding).await
    }

    /// The access rules in force.
    pub async fn rules(&self) -> Result<RulesView> {
        self.get("/rules", &[]).await
    }

    /// The access rules as they were.
    pub async fn rules_version(&self, version: u64) -> Result<RulesView> {
        self.get(&format!("/rules/versions/{version}"), &[]).await
    }

    /// Versions of the access rules, the newest first.
    pub async fn rules_versions(&self) -> Result<Page<RulesVersion>> {
        self.get("/rules/versions", &[]).await
    }

    /// Puts access rules in force, or says what would change.
    pub async fn change_rules(&self, change: &RulesChange) -> Result<RulesChanged> {
        self.send(Method::PUT, "/rules", change).await
    }

    /// Who reaches a connection.
    pub async fn who_reaches(&self, connection: &ConnectionName) -> Result<Page<ReachView>> {
        self.get("/rules/reach", &[("connection", connection.to_string())]).await
    }

    /// What a person reaches.
    pub async fn what_reaches(&self, person: &UserName) -> Result<Page<ReachView>> {
        self.get("/rules/reach", &[("person", person.to_string())]).await
    }

    /// Agents.
    pub async fn agents(&self) -> Result<Page<AgentView>> {
        self.get("/agents", &[]).await
    }

    /// Removes an agent.
    pub async fn remove_agent(&self, name: &AgentName) -> Result<()> {
        self.command(Method::DELETE, &format!("/agents/{name}"), None).await
    }

    /// Ways in while the gateway is down.
    pub async fn capabilities(&self) -> Result<Page<CapabilityView>> {
        self.get("/capabilities", &[]).await
    }

    /// Makes one.
    pub async fn make_capability(&self, wanted: &NewCapability) -> Result<CapabilityMade> {
        self.send(Method::POST, "/capabilities", wanted).await
    }

    /// Takes one back.
    pub async fn revoke_capability(&self, id: CapabilityId) -> Result<()> {
        self.command(Method::POST, &format!("/capabilities/{id}/revoke"), None).await
    }

    /// Legal holds, those in force first.
    pub async fn holds(&self) -> Result<Page<HoldView>> {
        self.get("/holds", &[]).await
    }

    /// Keeps recordings from being deleted.
    pub async fn place_hold(&self, wanted: &PlaceHold) -> Result<HoldView> {
        self.send(Method::POST, "/holds", wanted).await
    }

    /// Lets them be deleted when their time is over.
    pub async fn release_hold(&self, id: HoldId, wanted: &ReleaseHold) -> Result<HoldView> {
        self.send(Method::POST, &format!("/holds/{id}/release"), wanted).await
    }

    /// A token with which an agent enrols.
    pub async fn join_token(&self, wanted: &JoinTokenRequest) -> Result<JoinToken> {
        self.send(Method::POST, "/agents/join-tokens", wanted).await
    }

    /// People.
    pub async fn users(&self) -> Result<Page<UserView>> {
        self.get("/users", &[]).await
    }

    /// One person.
    pub async fn user(&self, name: &UserName) -> Result<UserView> {
        self.get(&format!("/users/{name}"), &[]).await
    }

    /// Says that two accounts are the same person's.
    pub async fn link_accounts(&self, name: &UserName, account: &UserName) -> Result<UserView> {
        let other = LinkAccount { account: account.clone() };
        self.send(Method::POST, &format!("/users/{name}/link"), &other).await
    }

    /// Takes an account out of a person's again.
    pub async fn unlink_account(&self, name: &UserName) -> Result<()> {
        self.command(Method::DELETE, &format!("/users/{name}/link"), None).await
    }

    /// Somebody's sign-ins.
    pub async fn logins_of(&self, name: &UserName) -> Result<Page<LoginView>> {
        self.get(&format!("/users/{name}/logins"), &[]).await
    }

    /// Ends one of somebody's sign-ins, or all with every live session.
    pub async fn end_logins_of(&self, name: &UserName, one: Option<LoginId>) -> Result<()> {
        let one = one.map(|id| format!("/{id}")).unwrap_or_default();
        self.command(Method::DELETE, &format!("/users/{name}/logins{one}"), None).await
    }

    /// Makes a built-in account.
    pub async fn add_user(&self, user: &NewUser) -> Result<NewUserCreated> {
        self.send(Method::POST, "/users", user).await
    }

    /// Changes an account.
    pub async fn change_user(&self, name: &UserName, change: &UserChange) -> Result<UserView> {
        self.send(Method::PATCH, &format!("/users/{name}"), change).await
    }

    /// Opens the set-up of a built-in account again: a new one-use link.
    pub async fn reset_user(&self, name: &UserName) -> Result<NewUserCreated> {
        self.send(Method::POST, &format!("/users/{name}/reset"), &serde_json::json!({})).await
    }

    /// Sets of sealed codes, without the codes.
    pub async fn sealed_codes(&self) -> Result<Page<CodeSetView>> {
        self.get("/sealed-codes", &[]).await
    }

    /// Makes a set; its codes are shown this once.
    ///
    /// # Errors
    /// [`ClientError`](crate::ClientError).
    pub async fn make_sealed_codes(&self, new: &NewCodeSet) -> Result<CodeSetMade> {
        self.send(Method::POST, "/sealed-codes", new).await
    }

    /// Makes a set void.
    ///
    /// # Errors
    /// [`ClientError`](crate::ClientError).
    pub async fn revoke_sealed_codes(&self, id: CodeSetId) -> Result<()> {
        self.command(Method::DELETE, &format!("/sealed-codes/{id}"), None).await
    }

    /// Recording keys, and what needs them.
    ///
    /// # Errors
    /// [`ClientError`](crate::ClientError).
    pub async fn recording_keys(&self) -> Result<RecordingKeys> {
        self.get("/recording-keys", &[]).await
    }

    /// Puts the next recording key in force.
    ///
    /// # Errors
    /// [`ClientError`](crate::ClientError).
    pub async fn rotate_recording_key(&self) -> Result<RecordingKeyView> {
        self.send(Method::POST, "/recording-keys/rotate", &serde_json::json!({})).await
    }

    /// Service accounts.
    ///
    /// # Errors
    /// [`ClientError`](crate::ClientError).
    pub async fn service_accounts(&self) -> Result<Page<ServiceAccountView>> {
        self.get("/service-accounts", &[]).await
    }

    /// Makes a service account.
    pub async fn add_service_account(&self, new: &NewServiceAccount) -> Result<ServiceAccountView> {
        self.send(Method::POST, "/service-accounts", new).await
    }

    /// Locks or unlocks a service account.
    pub async fn change_service_account(
        &self,
        name: &UserName,
        change: &ServiceAccountChange,
    ) -> Result<ServiceAccountView> {
        self.send(Method::PATCH, &format!("/service-accounts/{name}"), change).await
    }

    /// Removes a service account.
    pub async fn remove_service_account(&self, name: &UserName) -> Result<()> {
        self.command(Method::DELETE, &format!("/service-accounts/{name}"), None).await
    }

    /// A service account's API tokens.
    pub async fn api_tokens(&self, account: &UserName) -> Result<Page<ApiTokenView>> {
        self.get(&format!("/service-accounts/{account}/tokens"), &[]).await
    }

    /// Makes an API token.
    pub async fn make_api_token(&self, account: &UserName, new: &NewApiToken) -> Result<ApiTokenMade> {
        self.send(Method::POST, &format!("/service-accounts/{account}/tokens"), new).await
    }

    /// Revokes one API token, or all of an account.
    pub async fn revoke_api_tokens(&self, account: &UserName, one: Option<TokenId>) -> Result<()> {
        let one = one.map(|id| format!("/{id}")).unwrap_or_default();
        self.command(Method::DELETE, &format!("/service-accounts/{account}/tokens{one}"), None).await
    }

    /// Opens a session.
    pub async fn open_session(&self, wanted: &OpenSession) -> Result<SessionOpened> {
        self.send(Method::POST, "/sessions", wanted).await
    }

    /// A new certificate for the connector of a session.
    pub async fn renew_certificate(&self, id: SessionId, csr_pem: String) -> Result<RenewedCertificate> {
        self.send(Method::POST, &format!("/sessions/{id}/certificate"), &RenewCertificate { csr_pem }).await
    }

    /// Sessions, newest first.
    pub async fn sessions(&self, query: &Query<'_>) -> Result<Page<SessionView>> {
        self.get("/sessions", query).await
    }

    /// One session.
    pub async fn session(&self, id: SessionId) -> Result<SessionView> {
        self.get(&format!("/sessions/{id}"), &[]).await
    }

    /// Ends a session.
    pub async fn kill_session(&self, id: SessionId, reason: String) -> Result<()> {
        let body = serde_json::to_value(KillSession { reason }).unwrap_or_default();
        self.command(Method::POST, &format!("/sessions/{id}/kill"), Some(&body)).await
    }

    /// Closes one's own session, which is of no further use.
    pub async fn close_session(&self, id: SessionId) -> Result<()> {
        self.command(Method::POST, &format!("/sessions/{id}/end"), None).await
    }

    /// A piece of what happened.
    pub async fn timeline(&self, id: SessionId, after: u64, limit: u32) -> Result<Timeline> {
        let query = [("after", after.to_string()), ("limit", limit.to_string())];
        self.get(&format!("/sessions/{id}/timeline"), &query).await
    }

    /// What happens, as it happens: server-sent events.
    pub async fn follow_timeline(&self, id: SessionId, after: u64) -> Result<Body> {
        let query = [("follow", "true".to_owned()), ("after", after.to_string())];
        self.stream(&format!("/sessions/{id}/timeline"), &query).await
    }

    /// What one of its terminals showed, as an asciicast; with `follow` also what it shows from now on.
    pub async fn terminal(&self, id: SessionId, stream: u32, request: u64, follow: bool) -> Result<Body> {
        let query = [
            ("stream", stream.to_string()),
            ("request", request.to_string()),
            ("follow", follow.to_string()),
        ];
        self.stream(&format!("/sessions/{id}/terminal"), &query).await
    }

    /// The gateway checks a recording.
    pub async fn verify_session(&self, id: SessionId) -> Result<VerifyReport> {
        self.send(Method::POST, &format!("/sessions/{id}/verify"), &serde_json::json!({})).await
    }

    /// The recording itself, encrypted.
    pub async fn recording(&self, id: SessionId) -> Result<Body> {
        self.stream(&format!("/sessions/{id}/recording"), &[]).await
    }

    /// The recording as text.
    pub async fn export_session(&self, id: SessionId, format: ExportFormat) -> Result<Body> {
        self.stream(&format!("/sessions/{id}/export"), &[("format", format.as_str().to_owned())]).await
    }

    /// Events of the ledger, newest first.
    pub async fn events(&self, query: &Query<'_>) -> Result<Page<EventView>> {
        self.get("/audit/events", query).await
    }

    /// The latest checkpoint, or the latest that so many witnesses signed.
    pub async fn checkpoint(&self, witnessed: Option<u32>) -> Result<CheckpointView> {
        let query: Vec<_> = witnessed.map(|count| ("witnessed", count.to_string())).into_iter().collect();
        self.get("/audit/checkpoint", &query).await
    }

    /// The proof that an event is in the ledger of a checkpoint: that of a size, or the latest.
    pub async fn prove_inclusion(&self, seq: u64, size: Option<u64>) -> Result<InclusionProof> {
        let mut query = vec![("seq", seq.to_string())];
        query.extend(size.map(|size| ("size", size.to_string())));
        self.get("/audit/proof/inclusion", &query).await
    }

    /// The proof that the ledger grew from one size to a checkpoint: that of a size, or the latest.
    pub async fn prove_consistency(&self, from: u64, to: Option<u64>) -> Result<ConsistencyProof> {
        let mut query = vec![("from", from.to_string())];
        query.extend(to.map(|size| ("to", size.to_string())));
        self.get("/audit/proof/consistency", &query).await
    }

    /// Statements of finished recordings, newest first, and what the answer cannot know.
    pub async fn search_statements(&self, query: &Query<'_>) -> Result<StatementPage> {
        self.get("/audit/statements", query).await
    }

    /// Who gets checkpoints, and how far each got.
    pub async fn sinks(&self) -> Result<Page<SinkView>> {
        self.get("/audit/sinks", &[]).await
    }

    /// The gateway checks its own ledger.
    pub async fn verify_ledger(&self) -> Result<LedgerReport> {
        self.get("/audit/verify", &[]).await
    }

    /// The ledger: for an offline check, or with `format`, `class` and `from` to be searched elsewhere.
    pub async fn export_ledger(&self, query: &Query<'_>) -> Result<Body> {
        self.stream("/audit/export", query).await
    }
}

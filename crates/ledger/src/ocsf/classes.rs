//! Which class of OCSF each code becomes. A new code does not compile before it stands here.

use crate::event::EventCode as Code;

/// A class of OCSF 1.3, with what else of it an event needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 3001.
    AccountChange,
    /// 3002.
    Authentication,
    /// 3003.
    AuthorizeSession,
    /// 3004.
    EntityManagement,
    /// 3006.
    GroupManagement,
    /// 6002.
    ApplicationLifecycle,
    /// 6003.
    ApiActivity,
    /// 6005.
    DatastoreActivity,
    /// 2004.
    DetectionFinding,
}

impl Class {
    /// Its number.
    #[must_use]
    pub const fn uid(self) -> u32 {
        match self {
            Self::AccountChange => 3001,
            Self::Authentication => 3002,
            Self::AuthorizeSession => 3003,
            Self::EntityManagement => 3004,
            Self::GroupManagement => 3006,
            Self::ApplicationLifecycle => 6002,
            Self::ApiActivity => 6003,
            Self::DatastoreActivity => 6005,
            Self::DetectionFinding => 2004,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccountChange => "Account Change",
            Self::Authentication => "Authentication",
            Self::AuthorizeSession => "Authorize Session",
            Self::EntityManagement => "Entity Management",
            Self::GroupManagement => "Group Management",
            Self::ApplicationLifecycle => "Application Lifecycle",
            Self::ApiActivity => "API Activity",
            Self::DatastoreActivity => "Datastore Activity",
            Self::DetectionFinding => "Detection Finding",
        }
    }
}

/// How bad it is (`severity_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 1.
    Informational,
    /// 3.
    Medium,
    /// 4.
    High,
}

/// What came of it (`status_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 1.
    Success,
    /// 2.
    Failure,
}

/// What a code becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Its class.
    pub class: Class,
    /// `activity_id`; 99: another one, whose name is the code.
    pub activity: u32,
    /// How bad it is.
    pub severity: Severity,
    /// What came of it.
    pub status: Status,
}

const OTHER: u32 = 99;

const fn good(class: Class, activity: u32) -> Mapped {
    Mapped { class, activity, severity: Severity::Informational, status: Status::Success }
}

const fn failed(class: Class, activity: u32) -> Mapped {
    Mapped { class, activity, severity: Severity::Medium, status: Status::Failure }
}

/// Something that people are to look at: a finding, created.
const fn finding(severity: Severity) -> Mapped {
    Mapped { class: Class::DetectionFinding, activity: 1, severity, status: Status::Success }
}

/// What a code becomes.
#[must_use]
pub const fn mapped(code: Code) -> Mapped {
    use Class::{
        AccountChange, ApiActivity, ApplicationLifecycle, Authentication, AuthorizeSession,
        DatastoreActivity, EntityManagement, GroupManagement,
    };
    match code {
        Code::LoginSucceeded => good(Authentication, 1),
        Code::LoginFailed => failed(Authentication, 1),
        Code::LoginEnded => good(Authentication, 2),
        Code::TokenRefreshed | Code::MfaProven | Code::RecoveryCodeUsed => good(Authentication, OTHER),
        Code::MfaFailed => failed(Authentication, OTHER),
        Code::LoginLockedOut => good(AccountChange, 9),
        Code::UserCreated => good(AccountChange, 1),
        Code::UserRemoved => good(AccountChange, 6),
        Code::TotpEnrolled | Code::PasskeyAdded => good(AccountChange, 10),
        Code::PasskeyRemoved => good(AccountChange, 11),
        // Locked or unlocked: the fact `locked` says which.
        Code::UserLocked
        | Code::UserChanged
        | Code::UserLinked
        | Code::UserUnlinked
        | Code::PasskeyRenamed
        | Code::RecoveryCodesMade
        | Code::ApiTokenCreated
        | Code::TokenRevoked => good(AccountChange, OTHER),
        Code::GroupCreated => good(GroupManagement, 6),
        Code::GroupRemoved => good(GroupManagement, 5),
        Code::GroupChanged => good(GroupManagement, OTHER),
        Code::ConnectionCreated
        | Code::AgentEnrolled
        | Code::JoinTokenCreated
        | Code::SealedCodesMade
        | Code::CapabilityMade
        | Code::CertificateIssued => good(EntityManagement, 1),
        Code::ConnectionChanged | Code::AgentRenewed | Code::RulesChanged => good(EntityManagement, 3),
        Code::ConnectionDeleted
        | Code::AgentRemoved
        | Code::SealedCodesRevoked
        | Code::CapabilityRevoked
        | Code::JoinTokenUsed => good(EntityManagement, 4),
        Code::RequestApproved => good(AuthorizeSession, 1),
        Code::RulesRefused => failed(EntityManagement, 3),
        Code::RequestCreated | Code::RequestEnded | Code::SessionRequested => good(AuthorizeSession, OTHER),
        Code::RequestDenied | Code::SessionDenied => failed(AuthorizeSession, OTHER),
        Code::SessionOpened => good(DatastoreActivity, 3),
        Code::SessionEnded | Code::SessionKilled => good(DatastoreActivity, OTHER),
        Code::AccountMade => good(DatastoreActivity, 6),
        Code::AccountRemoved => good(DatastoreActivity, 7),
        Code::RecordingDeleted => good(ApiActivity, 4),
        Code::HoldPlaced | Code::HoldReleased => good(ApiActivity, 3),
        Code::RecordingKeyAdded => good(EntityManagement, 1),
        Code::RecordingKeyRotated | Code::RecordingKeyMoved => good(EntityManagement, 3),
        Code::GatewayBackedUp | Code::GatewayRestored => good(ApplicationLifecycle, OTHER),
        Code::RecordingRead
        | Code::RecordingExported
        | Code::RecordingVerified
        | Code::StatementsSearched
        | Code::LedgerRead => good(ApiActivity, 2),
        Code::ConnectionTested
        | Code::ConnectionScanned
        | Code::RecordingSealed
        | Code::RecordingStored
        | Code::LedgerCheckpoint
        | Code::NoticeTested
        | Code::AgentConnected
        | Code::AgentDisconnected
        | Code::BreakGlassReviewed => good(ApiActivity, OTHER),
        Code::GatewayStarted => good(ApplicationLifecycle, 3),
        Code::GatewayStopped => good(ApplicationLifecycle, 4),
        Code::JoinTokenRefused
        | Code::TicketRefused
        | Code::NoticeFailed
        | Code::AccountLeft
        | Code::OtherHostKey => finding(Severity::Medium),
        Code::PasskeyCopied
        | Code::SealedCodesUsed
        | Code::BreakGlassStarted
        | Code::BreakGlassExtended
        | Code::BreakGlassEnded
        | Code::BreakGlassOffline
        | Code::CapabilityRefused
        | Code::RecordingInterrupted
        | Code::RecordingKeyRefused
        | Code::RecordingGap => finding(Severity::High),
    }
}

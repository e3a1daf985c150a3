//! Which facts each code has. A new code does not compile before it stands here.

use super::{Fact, facts::*};
use crate::event::EventCode as Code;

/// The facts that a code may have.
#[must_use]
pub const fn schema(code: Code) -> &'static [Fact] {
    match code {
        Code::LoginSucceeded => &[ADDRESS, CLIENT, FLOW],
        Code::LoginFailed | Code::LoginLockedOut => &[PERSON_NAME, ADDRESS, FLOW, REASON, PASSKEY],
        Code::LoginEnded => &[EVERYWHERE],
        Code::TokenRefreshed => &[ADDRESS, REUSED],
        Code::TokenRevoked => &[ADDRESS, REUSED, PERSON_NAME, ACCOUNT, ALL, REASON],
        Code::UserCreated => &[PERSON_NAME, ROLE, GROUPS, SOURCE, ACTIVE, ISSUER, SUBJECT, BY],
        Code::UserChanged | Code::UserLocked => {
            &[PERSON_NAME, ROLE, GROUPS, LOCKED, SOURCE, ACTIVE, ISSUER, SUBJECT, BEFORE, RESET, SET_UP]
        }
        Code::UserRemoved => &[PERSON_NAME, SOURCE],
        Code::UserLinked => &[ACCOUNTS],
        Code::UserUnlinked => &[ACCOUNT, OTHERS],
        Code::ApiTokenCreated => &[ACCOUNT, TOKEN_NAME, SCOPE, EXPIRES_AT],
        Code::GroupCreated | Code::GroupRemoved => &[GROUP_NAME, MEMBERS, SOURCE],
        Code::GroupChanged => &[GROUP, GROUP_NAME, ADDED, REMOVED, MEMBERS, SOURCE],
        Code::MfaProven => &[BY, ADDRESS, PERSON_NAME],
        Code::MfaFailed => &[ADDRESS, REASON],
        Code::PasskeyAdded | Code::PasskeyRenamed => &[PASSKEY_NAME],
        Code::PasskeyCopied => &[PASSKEY_NAME, OWNER, ADDRESS],
        Code::RecoveryCodesMade => &[CODES],
        Code::TotpEnrolled | Code::RecoveryCodeUsed => &[ADDRESS],
        Code::SealedCodesMade => &[SET, HOLDERS, NEEDED, EXPIRES_AT],
        Code::SealedCodesUsed => &[PERSON_NAME, SET, HOLDERS, ADDRESS],
        Code::SealedCodesRevoked => &[SET],
        Code::JoinTokenCreated => &[AGENT, EXPIRES_AT, BY],
        Code::JoinTokenUsed | Code::AgentRemoved => &[AGENT_NAME],
        Code::JoinTokenRefused => &[AGENT_NAME, AGENT_ADDRESS, REASON],
        Code::AgentEnrolled => {
            &[AGENT_NAME, AGENT_ADDRESS, JOIN_TOKEN, CERTIFICATE_SERIAL, VERSION, SIGNING_KEY]
        }
        Code::AgentConnected => &[AGENT_NAME, VERSION, GATEWAY],
        Code::AgentDisconnected => &[AGENT_NAME, REASON],
        Code::AgentRenewed | Code::CertificateIssued => &[CERTIFICATE_SERIAL, EXPIRES_AT],
        Code::ConnectionCreated | Code::ConnectionChanged => &[CONNECTION_NAME, DEFINITION],
        Code::ConnectionDeleted => &[CONNECTION_NAME],
        Code::ConnectionTested => {
            &[CONNECTION_NAME, AGENT, OK, TARGET_VERSION, FAILED_STEP, CODE, MILLISECONDS]
        }
        Code::ConnectionScanned => &[CONNECTION_NAME, AGENT, OK, SCANNED_COLUMNS, COLUMNS_FOUND, CODE],
        Code::RulesChanged => &[RULES_VERSION, POLICY_SHA256, BUNDLE_VERSION, BUNDLE_SHA256, CHANGES, NOTE],
        Code::RulesRefused => &[CODE, REASON, BUNDLE_VERSION, BUNDLE_SHA256, ADDRESS],
        Code::RequestCreated => &[
            REQUEST,
            PERSON,
            CONNECTION,
            RULE,
            PERSON_REASON,
            DURATION,
            APPROVALS_NEEDED,
            TARGET_USER,
            ONLY,
            STATEMENT_RULE,
        ],
        Code::RequestApproved | Code::RequestDenied => {
            &[REQUEST, PERSON, CONNECTION, RULE, NOTE, APPROVALS_NEEDED]
        }
        Code::RequestEnded | Code::BreakGlassEnded => &[REQUEST, PERSON, CONNECTION, RULE, PERSON_REASON],
        Code::BreakGlassStarted => {
            &[REQUEST, PERSON, CONNECTION, RULE, PERSON_REASON, INCIDENT, ENDS_AT, ADDRESS]
        }
        Code::BreakGlassExtended => &[REQUEST, PERSON, CONNECTION, RULE, ENDS_AT],
        Code::BreakGlassReviewed => &[REQUEST, PERSON, CONNECTION, RULE, FINDING],
        Code::SessionRequested => SESSION_REQUESTED,
        Code::SessionDenied => &[CONNECTION, DENIAL, ADDRESS],
        Code::SessionOpened => &[USER, CONNECTION, AGENT, RULE, POLICY_VERSION, POLICY_SHA256],
        Code::SessionEnded => &[SESSION_REASON, CODE, RECORDED],
        Code::OtherHostKey => &[USER, CONNECTION, SESSION_REASON],
        Code::SessionKilled => &[SESSION_REASON, CODE],
        Code::RecordingSealed | Code::RecordingInterrupted => {
            &[MANIFEST, SIGNER, CONTENTS, FINDINGS, OWN, ENDING, SESSION_REASON, BYTES, RETAIN_UNTIL, RELAY]
        }
        Code::RecordingStored => &[BUCKET, OBJECT, BYTES, STORED_AT, LOCK, LOCKED_UNTIL],
        Code::RecordingDeleted => {
            &[MANIFEST, BYTES, RETENTION_SECONDS, RETAIN_UNTIL, RECORDED_BY, MANIFEST_SEQ]
        }
        Code::RecordingKeyAdded
        | Code::RecordingKeyRotated
        | Code::RecordingKeyMoved
        | Code::RecordingKeyRefused => &[RECORDING_KEY, KEEPER, KEY_PLACE, KEY_IN_FORCE, KEPT_BEFORE],
        Code::GatewayBackedUp => &[BACKUP_KEY, WITH_KEYS],
        Code::GatewayRestored => &[CHECKPOINT_SIZE, LEDGER_SIZE, MADE_AT, FINDING_COUNT, BACKUP_SIGNER],
        Code::HoldPlaced => &[HOLD, HELD_NAME, HOLD_REASON],
        Code::HoldReleased => &[HOLD, HELD_NAME, HOLD_REASON, PLACED_BY, PLACED_AT],
        Code::RecordingRead => &[FOLLOW, AFTER, LIMIT, TERMINAL],
        Code::RecordingExported => &[FORMAT],
        Code::RecordingVerified => &[CLEAN, FINDINGS, HEAD],
        Code::AccountMade | Code::AccountRemoved | Code::AccountLeft => {
            &[TARGET_ACCOUNT, CHANGE, DETAIL, USER, CONNECTION]
        }
        Code::CapabilityMade => &[
            CAPABILITY,
            CAPABILITY_SHA256,
            HOLDER,
            CONNECTION,
            AGENT,
            RULE,
            POLICY_VERSION,
            POLICY_SHA256,
            VALID_UNTIL,
            SESSION_SECONDS,
            USES,
        ],
        Code::CapabilityRevoked => &[CAPABILITY, HOLDER, CONNECTION],
        Code::CapabilityRefused => &[SESSION, AGENT, REASON],
        Code::BreakGlassOffline => BREAK_GLASS_OFFLINE,
        Code::LedgerCheckpoint => &[CHECKPOINT_NOTE],
        Code::LedgerRead => &[
            WHAT,
            ASKED_CODE,
            ACTOR,
            ASKED_SUBJECT,
            SINCE,
            UNTIL,
            BEFORE_SEQ,
            CLEAN,
            EVENTS,
            SEQ,
            SIZE,
            FROM,
            FORMAT,
            CLASS,
        ],
        Code::StatementsSearched => {
            &[ASKED_PERSON, ASKED_CONNECTION, ASKED_TABLE, ASKED_TEXT, SINCE, UNTIL, AFTER_PLACE]
        }
        Code::GatewayStarted => &[VERSION, GATEWAY_NAME, LISTEN],
        Code::NoticeFailed => &[NOTICE, CHANNEL, TOPIC, ATTEMPTS, WRITTEN_AT, ERROR],
        Code::NoticeTested => &[NOTICE, CHANNEL, CHANNEL_KIND],
        Code::TicketRefused => &[REASON, ADDRESS, COUNTER],
        Code::PasskeyRemoved | Code::RecordingGap | Code::GatewayStopped => &[],
    }
}

const SESSION_REQUESTED: &[Fact] = &[
    SESSION,
    RETENTION_SECONDS,
    GRANT,
    GRANT_SHA256,
    USER,
    CONNECTION,
    CONNECTION_VERSION,
    PROTOCOL,
    AGENT,
    ADDRESS,
    PERSON_REASON,
    ALLOWED_BECAUSE,
    ENDS_AT,
    IDLE_TIMEOUT,
    CONNECTOR_KEY,
    RULE,
    POLICY_VERSION,
    POLICY_SHA256,
    RECORDING,
    REQUEST,
    BREAK_GLASS,
    TARGET_USER,
    RETENTION,
    ONLY,
    STATEMENT_RULE,
    READ_ONLY,
    FORWARDING,
    END_TO_END,
];

const BREAK_GLASS_OFFLINE: &[Fact] = &[
    REQUEST,
    SESSION,
    CAPABILITY,
    CAPABILITY_SHA256,
    PERSON,
    CONNECTION,
    AGENT,
    RULE,
    POLICY_VERSION,
    POLICY_SHA256,
    PERSON_REASON,
    INCIDENT,
    STARTED_AT,
    HEARD_AT,
    ENDS_AT,
    AWAY,
];

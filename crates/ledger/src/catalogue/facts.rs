//! The facts that codes have, each written once. Knows what they mean, not which code has them.

use super::{
    Class::{Internal, Personal, Public},
    Fact,
    Kind::{self, Fields, Flag, Id, List, Number, Object, Text, Time},
};

const fn public(name: &'static str, kind: Kind, meaning: &'static str) -> Fact {
    Fact { name, kind, class: Public, meaning }
}

const fn internal(name: &'static str, kind: Kind, meaning: &'static str) -> Fact {
    Fact { name, kind, class: Internal, meaning }
}

const fn personal(name: &'static str, kind: Kind, meaning: &'static str) -> Fact {
    Fact { name, kind, class: Personal, meaning }
}

macro_rules! facts {
    ($($name:ident = $class:ident $text:literal $kind:expr, $meaning:literal;)*) => {
        $(pub(super) const $name: Fact = $class($text, $kind, $meaning);)*
    };
}

facts! {
    // Who, and from where.
    PERSON_NAME = personal "name" Text, "The account's name.";
    PERSON = personal "person" Text, "Whose request it is.";
    USER = personal "user" Text, "Whose session it is.";
    HOLDER = personal "holder" Text, "Who holds it.";
    HOLDERS = personal "holders" List, "Who holds the codes.";
    OWNER = personal "owner" Text, "Whose passkey it is.";
    ADDRESS = personal "address" Text, "The address it came from.";
    ACCOUNTS = personal "accounts" List, "The two accounts.";
    ACCOUNT = personal "account" Text, "The account's name.";
    OTHERS = personal "from" List, "The accounts that it was linked with.";
    ISSUER = internal "issuer" Text, "The identity provider.";
    SUBJECT = personal "subject" Text, "Who it is at the identity provider (`sub`).";
    ACTOR = personal "actor" Text, "Events of this actor were asked for.";
    TARGET_USER = internal "target_user" Text, "The account at the target.";

    // Sign-ins and accounts.
    CLIENT = public "client" Text, "Browser or command line.";
    FLOW = public "flow" Text, "By which way somebody signs in.";
    EVERYWHERE = public "everywhere" Flag, "All sign-ins of the account ended.";
    REUSED = public "reused" Flag, "A refresh token came a second time: all tokens of its sign-in are void.";
    ALL = public "all" Flag, "All tokens of the account.";
    ROLE = public "role" Text, "Its role from now on.";
    GROUPS = internal "groups" List, "Its groups from now on.";
    LOCKED = public "locked" Flag, "Whether it is locked from now on.";
    ACTIVE = public "active" Flag, "Whether the identity provider has it as active.";
    SOURCE = public "source" Text, "Where it comes from: `builtin`, `oidc`, `scim`, `service`.";
    BEFORE = personal "before" Fields(&[
        Fact { meaning: "Its name before.", ..PERSON_NAME },
        Fact { meaning: "Its role before.", ..ROLE },
        Fact { meaning: "Its groups before.", ..GROUPS },
        Fact { meaning: "Whether it was locked before.", ..LOCKED },
    ]), "How it stood before.";
    RESET = public "reset" Flag, "Password and second factor are void, and are to be set up again.";
    SET_UP = public "set_up" Flag, "Its owner set it up: password and second factor.";
    PASSKEY = public "passkey" Id, "The passkey.";
    PASSKEY_NAME = personal "name" Text, "What its owner calls it.";
    BY = public "by" Text, "With what it was done.";
    CODES = public "codes" Number, "How many.";
    SET = public "set" Id, "The set of codes.";
    NEEDED = public "needed" Number, "How many of them are needed together.";
    SCOPE = public "scope" Text, "What the token opens.";
    TOKEN_NAME = internal "name" Text, "What the token is called.";
    EXPIRES_AT = public "expires_at" Time, "When it ends.";

    // Groups of the identity provider.
    GROUP_NAME = internal "name" Text, "The group's name; for a change, its new one.";
    GROUP = internal "group" Text, "The group's name before.";
    MEMBERS = public "members" List, "Its members' ids; for a change, all of them if they were set anew.";
    ADDED = public "added" List, "Ids of accounts that came.";
    REMOVED = public "removed" List, "Ids of accounts that went.";

    // Agents.
    AGENT = internal "agent" Text, "The agent's name.";
    AGENT_NAME = internal "name" Text, "The agent's name.";
    JOIN_TOKEN = public "join_token" Id, "The token it came with.";
    CERTIFICATE_SERIAL = public "certificate_serial" Text, "Serial number of its certificate.";
    SIGNING_KEY = public "signing_key" Text, "The public key that it signs recordings with, hex.";
    VERSION = public "version" Text, "The program's version.";
    GATEWAY = internal "gateway" Text, "The gateway's name.";
    AGENT_ADDRESS = internal "address" Text, "The address it came from.";

    // Connections, rules, requests.
    CONNECTION = internal "connection" Text, "The connection's name.";
    CONNECTION_NAME = internal "name" Text, "The connection's name.";
    DEFINITION = internal "definition" Object, "All of it, as it is from now on; secrets by their source or sealed.";
    OK = public "ok" Flag, "Whether the agent could log in.";
    TARGET_VERSION = internal "version" Text, "What the target says it is.";
    FAILED_STEP = public "failed_step" Text, "Where it failed.";
    CODE = public "code" Text, "The code of the error (docs/ERRORS.md), or `closed`.";
    MILLISECONDS = public "ms" Number, "How long it took, in ms.";
    SCANNED_COLUMNS = public "columns" Number, "How many columns were looked at.";
    COLUMNS_FOUND = public "findings" Number, "How many of them seem to hold personal data.";
    RULES_VERSION = public "version" Number, "The version in force from now on.";
    BUNDLE_VERSION = public "bundle_version" Number, "The number of the bundle, if rules came in one and it could be read.";
    BUNDLE_SHA256 = public "bundle_sha256" Text, "SHA-256 of the bundle's file.";
    CHANGES = internal "changes" Object, "Which rules came, went, changed, moved.";
    NOTE = personal "note" Text, "What the person wrote to it.";
    REQUEST = public "request" Id, "The request.";
    RULE = internal "rule" Text, "The access rule.";
    PERSON_REASON = personal "reason" Text, "Why, as the person says.";
    DURATION = public "duration_seconds" Number, "For how long, in s.";
    APPROVALS_NEEDED = public "needed" Number, "How many must approve.";
    ONLY = internal "only" Fields(&[
        public("sha256", Text, "SHA-256 of its text."),
        internal("database", Text, "In which database."),
    ]), "The one statement that is asked for.";
    STATEMENT_RULE = internal "statement_rule" Text, "The statement rule that asks for an approval of it, if one does.";
    FORWARDING = public "forwarding" List, "What may be forwarded: `local`, `remote`, `agent`, `x11`.";
    READ_ONLY = public "read_only" Flag, "Whether the database itself refuses changes.";
    INCIDENT = personal "incident" Text, "The incident's name, as the person says.";
    FINDING = personal "finding" Text, "What the review found.";
    ENDS_AT = public "ends_at" Time, "When it ends.";

    // Sessions.
    SESSION = public "session" Id, "The session.";
    GRANT = public "grant" Id, "The grant.";
    GRANT_SHA256 = public "grant_sha256" Text, "SHA-256 of the grant as signed.";
    CONNECTION_VERSION = public "connection_version" Number, "Which version of the connection.";
    PROTOCOL = public "protocol" Text, "The target's protocol.";
    ALLOWED_BECAUSE = internal "allowed_because" Text, "Why policy allowed it.";
    IDLE_TIMEOUT = public "idle_timeout_seconds" Number, "Ends after so long without use, in s.";
    CONNECTOR_KEY = public "connector_key_sha256" Text, "SHA-256 of the key that the session is bound to.";
    POLICY_VERSION = public "rules_version" Number, "Which version of the rules.";
    POLICY_SHA256 = public "rules_sha256" Text, "SHA-256 of that version's document (docs/POLICY.md).";
    RECORDING = public "recording" Text, "How it is recorded: `strict` or `bounded`.";
    BREAK_GLASS = public "break_glass" Flag, "Whether it rests on an emergency.";
    END_TO_END = public "end_to_end" Flag, "Whether the gateway reads none of it.";
    REASON = public "reason" Text, "Why, in our words.";
    DENIAL = internal "reason" Text, "Which condition of which rule did not hold.";
    SESSION_REASON = personal "reason" Text, "Why: in our words, the agent's, or those of whoever ended it.";
    RECORDED = public "recorded" Flag, "No: it ended before the agent began a recording.";
    COUNTER = public "counter" Number, "The ticket's number.";

    // Recordings.
    MANIFEST = public "manifest" Text, "SHA-256 of the trailer frame, hex.";
    SIGNER = public "signer" Text, "The agent's Ed25519 key, base64.";
    CONTENTS = public "contents" Object, "The signed manifest: chunks, bytes, hashes, gaps, how it ended.";
    FINDINGS = public "findings" List, "What is wrong with it.";
    OWN = public "own" Flag, "Whether it is this session's.";
    ENDING = public "ending" Text, "How it ended.";
    BYTES = public "bytes" Number, "How long it is.";
    FOLLOW = public "follow" Flag, "Whether it was watched while it was made.";
    AFTER = public "after" Number, "From which event on.";
    LIMIT = public "limit" Number, "At most so many.";
    TERMINAL = public "terminal" Text, "Which terminal: its stream, and its number there.";
    FORMAT = public "format" Text, "In which form.";
    CLEAN = public "clean" Flag, "Whether nothing is wrong.";
    HEAD = public "head" Text, "Hash of its last chunk, hex.";
    TARGET_ACCOUNT = internal "account" Text, "The account at the target.";
    CHANGE = public "change" Text, "What the agent says it did.";
    DETAIL = internal "detail" Text, "Its rights, or what was in the way.";

    // Ways in while the gateway is down.
    CAPABILITY = public "capability" Id, "The capability.";
    CAPABILITY_SHA256 = public "capability_sha256" Text, "SHA-256 of it as signed.";
    VALID_UNTIL = public "valid_until" Time, "Until when it can be used.";
    SESSION_SECONDS = public "session_seconds" Number, "Longest session, in s.";
    USES = public "uses" Number, "How often it can be used.";
    STARTED_AT = public "started_at" Time, "When it was used, by the agent's clock.";
    HEARD_AT = public "heard_at" Time, "When the gateway heard of it, by its own.";
    AWAY = public "gateway_away_seconds" Number, "How long the gateway had been away, in s.";

    // Where recordings are, for how long, and what keeps them.
    RETAIN_UNTIL = public "retain_until" Time, "It is not deleted before; never, if null.";
    RELAY = public "relay" Fields(&[TO_AGENT, TO_PERSON, CONNECTIONS]), "What the gateway's relay carried; null if a restart hides a part of it.";
    TO_AGENT = public "to_agent" Number, "Bytes passed to the agent.";
    TO_PERSON = public "to_person" Number, "Bytes passed from it.";
    CONNECTIONS = public "connections" Number, "On so many connections.";
    BUCKET = internal "bucket" Text, "The bucket.";
    OBJECT = internal "key" Text, "The object's name.";
    STORED_AT = public "stored_at" Time, "Seen there at this time.";
    LOCK = public "lock" Text, "`governance` or `compliance`; null without a lock.";
    LOCKED_UNTIL = public "locked_until" Time, "Nobody can delete the object before.";
    RETENTION = public "retention" Text, "How long the recording is kept after the session; for ever, if null.";
    RETENTION_SECONDS = public "retention_seconds" Number, "How long it is to be kept after its end; for ever, if null.";
    RECORDED_BY = internal "recorded_by" Text, "The agent that recorded it.";
    MANIFEST_SEQ = public "manifest_seq" Number, "Place of the event that told of its end.";
    HOLD = public "hold" Id, "The legal hold.";
    HELD_NAME = personal "name" Text, "What it is on, by its name at the time.";
    HOLD_REASON = personal "reason" Text, "Why, as the person says.";
    PLACED_BY = personal "placed_by" Text, "Who placed it.";
    PLACED_AT = public "placed_at" Time, "When.";

    // Recording keys and backups.
    RECORDING_KEY = public "key" Text, "The recording key's id: the first half of the SHA-256 of its public half.";
    KEEPER = public "keeper" Text, "Who keeps it: `file`, `public`, `vault`, `aws-kms`.";
    KEY_PLACE = internal "place" Text, "Where: a file, a version, an ARN.";
    KEY_IN_FORCE = public "in_force" Text, "The key that was in force.";
    KEPT_BEFORE = public "kept_before" Text, "Who kept that one.";
    BACKUP_KEY = public "key" Text, "The backup key's id.";
    WITH_KEYS = public "with_keys" Flag, "Whether key files are in the backup.";
    CHECKPOINT_SIZE = public "checkpoint" Number, "Size of the latest checkpoint in it.";
    LEDGER_SIZE = public "ledger" Number, "Events in it.";
    MADE_AT = public "made_at" Time, "When the backup was made.";
    FINDING_COUNT = public "findings" Number, "How much was not as it should be when it was made.";
    BACKUP_SIGNER = public "signer" Text, "Who made it: the key that signs checkpoints, base64.";

    // Search.
    ASKED_PERSON = personal "person" Text, "Statements of this person were asked for.";
    ASKED_CONNECTION = internal "connection" Text, "Statements on this connection.";
    ASKED_TABLE = internal "table" Text, "Statements that name this table.";
    ASKED_TEXT = personal "text" Text, "Statements that hold this text; what could be a literal is left out here.";
    AFTER_PLACE = public "after" Text, "The page after this place.";

    // The ledger, the gateway, notices.
    CHECKPOINT_NOTE = public "note" Text, "The signed checkpoint.";
    WHAT = public "what" Text, "What was read: `events`, `export`, `verify`, `inclusion`, `consistency`.";
    SEQ = public "seq" Number, "That this event is in it was to be proven.";
    SIZE = public "size" Number, "In the ledger of this size.";
    FROM = public "from" Number, "Export: from this event on. Proof: that it grew from this size was to be proven.";
    CLASS = public "class" Text, "Facts up to this class were exported.";
    ASKED_CODE = public "code" Text, "Events of this code were asked for.";
    ASKED_SUBJECT = public "subject" Text, "Events about this id were asked for.";
    SINCE = public "since" Time, "Not before this.";
    UNTIL = public "until" Time, "Before this.";
    BEFORE_SEQ = public "before" Number, "Before this place.";
    EVENTS = public "events" Number, "How many there were.";
    GATEWAY_NAME = internal "name" Text, "The gateway's name.";
    LISTEN = internal "address" Text, "Where it listens.";
    NOTICE = public "notice" Id, "The notice.";
    CHANNEL = internal "channel" Text, "The channel's name.";
    CHANNEL_KIND = public "kind" Text, "The channel's kind.";
    TOPIC = public "topic" Text, "What the notice tells of.";
    ATTEMPTS = public "attempts" Number, "How often it was tried.";
    WRITTEN_AT = public "written_at" Time, "When it was written.";
    ERROR = internal "error" Text, "The last error.";
}

//! What can go wrong here, as a person is told it, and the SQLSTATE a PostgreSQL client is told with it.

use bytes::Bytes;
use hoop_engine::{CloseReason, Output};
use hoop_model::{Blame, Fault};

use crate::{
    masking::LONGEST,
    outbox::Outbox,
    wire::{Malformed, write},
};

/// A record of one fatal alert, `no_application_protocol` (<https://www.rfc-editor.org/rfc/rfc8446#section-6.2>,
/// <https://www.rfc-editor.org/rfc/rfc7301#section-3.2>): unlike `handshake_failure` it does not send people looking
/// for ciphers and certificates.
const TLS_ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 120];

/// A fault and its SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) sqlstate: String,
    pub(crate) fault: Fault,
    /// The client speaks TLS, so that is how it is told.
    in_tls: bool,
}

impl Failure {
    fn new(sqlstate: &str, fault: Fault) -> Self {
        Self { sqlstate: sqlstate.to_owned(), fault, in_tls: false }
    }

    /// Tells the client and ends the stream.
    pub(crate) fn tell(self, out: &mut Outbox) -> Fault {
        out.send_client(if self.in_tls {
            Bytes::from_static(TLS_ALERT)
        } else {
            write::error(write::Severity::Fatal, &self.sqlstate, &self.fault)
        });
        self.end(out)
    }

    /// Ends the stream without a word: the client is in the middle of a frame.
    pub(crate) fn end(self, out: &mut Outbox) -> Fault {
        out.push(Output::Close { reason: CloseReason::Fault(self.fault.clone()) });
        self.fault
    }
}

/// The client's bytes are no protocol.
pub(crate) fn client_broke(kind: u8, why: Malformed) -> Failure {
    let message = format!("the client sent a message of type {} that cannot be: {}", shown(kind), why.0);
    Failure::new("08P01", Fault::new("HOOP-5001", Blame::Caller, message))
}

/// A client that wants what is not spoken here.
pub(crate) fn unsupported(what: &str, hint: &str) -> Failure {
    Failure::new("0A000", Fault::new("HOOP-5002", Blame::Caller, what).with_hint(hint))
}

/// A client that begins with TLS (`sslnegotiation=direct`). It can read nothing but TLS, so an alert is all it is told;
/// the recording has the words.
pub(crate) fn direct_tls() -> Failure {
    let failure = unsupported(
        "the client began with TLS, which is not spoken here: the tunnel that it came through is encrypted",
        "leave sslnegotiation at its default, or set sslmode=disable",
    );
    Failure { in_tls: true, ..failure }
}

/// A start-up packet that is refused.
pub(crate) fn startup(what: impl Into<String>) -> Failure {
    Failure::new("08P01", Fault::new("HOOP-5003", Blame::Caller, what))
}

/// A statement over the limit. The connection goes on.
pub(crate) fn statement_too_large(limit: usize) -> Failure {
    let message = format!("the statement is larger than {} MiB", limit >> 20);
    let hint = "send bulk data as bind values or with COPY";
    Failure::new("54000", Fault::new("HOOP-5004", Blame::Caller, message).with_hint(hint))
}

/// The target does not want TLS.
pub(crate) fn no_tls() -> Failure {
    let fault = Fault::new("HOOP-5005", Blame::Target, "the database server does not offer TLS")
        .with_hint("an admin can enable `ssl` on the server, or set tls.mode to disabled on this connection");
    Failure::new("08001", fault)
}

/// Bytes came before the TLS handshake: somebody in between, or no PostgreSQL.
pub(crate) fn before_tls() -> Failure {
    let message = "the database server answered the request for TLS with what is no answer";
    let fault = Fault::new("HOOP-5006", Blame::Target, message).with_hint(
        "somebody may be tampering with the network between the agent and the server; tell an admin",
    );
    Failure::new("08P01", fault)
}

/// The credential does not work.
pub(crate) fn login_refused() -> Failure {
    let message = "the database server refused the credential that is configured for this connection";
    let fault = Fault::new("HOOP-5007", Blame::Target, message).with_hint(
        "your own sign-in is fine; an admin must check the connection's user, password and pg_hba.conf",
    );
    Failure::new("28000", fault)
}

/// A way to log in that is not done.
pub(crate) fn login_method(what: &str, hint: &str) -> Failure {
    Failure::new("28000", Fault::new("HOOP-5008", Blame::Target, what).with_hint(hint))
}

/// The target took too long.
pub(crate) fn login_timeout(waiting_for: &str) -> Failure {
    let message = format!("the log-in took too long: waited for {waiting_for}");
    Failure::new("08006", Fault::new("HOOP-5009", Blame::Target, message))
}

/// The target hung up.
pub(crate) fn target_gone() -> Failure {
    let message = "the database server closed the connection before the log-in was done";
    Failure::new("08006", Fault::new("HOOP-5010", Blame::Target, message))
}

/// The target's bytes are no protocol.
pub(crate) fn target_broke(kind: u8, why: &str) -> Failure {
    let message = format!("the database server sent a message of type {} that cannot be: {why}", shown(kind));
    Failure::new("08P01", Fault::new("HOOP-5011", Blame::Target, message))
}

/// The target let us in and then said no, for a reason that is the client's business (no such database).
pub(crate) fn target_said(sqlstate: &str, message: &str) -> Failure {
    Failure::new(
        sqlstate,
        Fault::new("HOOP-5012", Blame::Target, format!("the database server says: {message}")),
    )
}

/// The target proved not to know the password: it is not the one the credential belongs to.
pub(crate) fn target_unproven(why: &str) -> Failure {
    let fault =
        Fault::new("HOOP-5014", Blame::Target, format!("the database server did not prove who it is: {why}"))
            .with_hint("somebody may be posing as the server; tell an admin");
    Failure::new("28000", fault)
}

/// Which columns are masked is not known.
pub(crate) fn look_up(why: &str) -> Failure {
    let message = format!("which columns are masked could not be looked up: {why}");
    let fault = Fault::new("HOOP-5017", Blame::Target, message)
        .with_hint("an admin looks at the masking of the access rule, and whether the connection's user may read the catalog");
    Failure::new("58000", fault)
}

/// An answer that is too large to be held.
pub(crate) fn unmaskable(what: &str) -> Failure {
    let message = format!("{what} is too large to be masked: at most {} MiB are held", LONGEST >> 20);
    let fault = Fault::new("HOOP-5018", Blame::Caller, message).with_hint("ask for fewer or shorter columns");
    Failure::new("54000", fault)
}

/// `COPY` data that is not what its statement said.
pub(crate) fn copy_broke() -> Failure {
    let message = "the database server sends COPY data in another form than its statement asked for";
    let fault = Fault::new("HOOP-5019", Blame::Target, message)
        .with_hint("send COPY alone, in text, CSV or binary with the usual delimiters and quotes");
    Failure::new("0A000", fault)
}

/// Policy said no where the whole stream ends with it.
pub(crate) fn denied(fault: Fault) -> Failure {
    Failure::new("42501", fault)
}

/// An answer is more than policy lets through: the stream ends, and the server undoes what was open.
pub(crate) fn too_much(fault: Fault) -> Failure {
    Failure::new("54000", fault)
}

/// The session reads only, and the server does not say that it keeps to that.
pub(crate) fn not_read_only() -> Failure {
    let message = "this session only reads, and the database server does not say that it keeps to that";
    let fault = Fault::new("HOOP-5020", Blame::Target, message)
        .with_hint("PostgreSQL 14 and newer do; an admin can take `read_only` off the access rule");
    Failure::new("0A000", fault)
}

/// The session reads only, and something has let it write.
pub(crate) fn may_write() -> Failure {
    let message = "this session only reads, and something has turned that off at the database server";
    let fault = Fault::new("HOOP-5021", Blame::Policy, message)
        .with_hint("leave default_transaction_read_only as it is; connect again");
    Failure::new("25006", fault)
}

/// Ended from outside.
pub(crate) fn ended(fault: Fault) -> Failure {
    Failure::new("57P01", fault)
}

fn shown(kind: u8) -> String {
    if kind.is_ascii_graphic() { format!("'{}'", kind as char) } else { format!("0x{kind:02x}") }
}

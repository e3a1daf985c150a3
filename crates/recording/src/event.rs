//! What a recording holds: one [`Record`] an event, in the order things happened.
//!
//! A request is recorded before it goes to the target; an answer as the person saw it. Engines make events from the
//! bytes they forward, so payloads are [`Bytes`]: a reference into the buffer that was read, not a copy.

use bytes::Bytes;
use hoop_model::{StreamId, Timestamp};
use serde::{Deserialize, Serialize};

/// Counts the requests of one stream from 0; an answer names the request it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// One event, when it happened, and on which stream of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, by the agent's clock.
    pub at: Timestamp,
    /// The stream; `None` for what concerns the whole session.
    pub stream: Option<StreamId>,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stream began: facts such as database, user, application name, TLS version of each leg.
    Opened {
        /// Name and value, in a stable order.
        facts: Vec<(String, String)>,
    },
    /// The client asks something of the target.
    Request {
        /// Its number.
        id: RequestId,
        /// By which wire form.
        form: Form,
        /// Statement text as sent (session's encoding), empty where the form has none.
        text: Bytes,
        /// Bind values in order.
        parameters: Vec<Parameter>,
    },
    /// The shape of the rows that follow.
    Columns {
        /// The request answered.
        id: RequestId,
        /// One a column.
        columns: Vec<Column>,
    },
    /// Rows as the person saw them, several at a time.
    Rows {
        /// The request answered.
        id: RequestId,
        /// How many.
        count: u32,
        /// The rows as they stood on the wire, whole frames back to back (so that none is copied). Each is PostgreSQL's
        /// `DataRow`: `u8` always `b'D'`, `i32` length (counts itself, not the `D`; the body is length - 4 bytes), then
        /// the body: `u16` number of cells, each cell an `i32` length (-1: NULL) and so many bytes. Big endian
        /// throughout. The body comes from the target and may lie about its cells: read it with bounds checked.
        data: Bytes,
    },
    /// Bulk data in either direction (COPY, a command's streams, what a terminal shows): the payload alone, without frame
    /// headers; pieces may split a line.
    Copy {
        /// The request it belongs to.
        id: RequestId,
        /// Which way.
        direction: Direction,
        /// The bytes.
        data: Bytes,
    },
    /// From here on this request's data is counted but not kept: the configured limit was reached.
    Curtailed {
        /// The request.
        id: RequestId,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A statement ended well. `Prepare` and `Bind` that succeed have no such event: nothing has run yet. A `Query` that
    /// holds several statements has one for each, all with the query's id.
    Completed {
        /// The request.
        id: RequestId,
        /// What the target said (`SELECT 42`).
        tag: Bytes,
        /// Rows returned or changed, by our own count of rows sent where there were any, else by the tag.
        rows: u64,
        /// Bytes of rows or COPY data, both ways.
        bytes: u64,
        /// From the request's first byte at the agent to its last answer, in microseconds.
        duration_us: u64,
    },
    /// A request failed at the target, or (with an empty code) was not run because an earlier one of its pipeline failed.
    Failed {
        /// The request; `None` for an error of the whole stream.
        id: Option<RequestId>,
        /// The protocol's code (`42P01`).
        code: Bytes,
        /// The message as shown.
        message: Bytes,
        /// From request to error, in microseconds.
        duration_us: u64,
    },
    /// A request was refused by policy: it never reached the target.
    Denied {
        /// The request.
        id: RequestId,
        /// Stable code (`HOOP-2005`).
        code: String,
        /// The reason as told.
        message: String,
    },
    /// The client's terminal has another size from here on.
    Resized {
        /// The request that has the terminal.
        id: RequestId,
        /// Width in characters.
        columns: u32,
        /// Height in characters.
        rows: u32,
    },
    /// So much of a request's answer was masked, since the last such event. Comes before the request's end.
    Masked {
        /// The request.
        id: RequestId,
        /// What, and how many: kinds as policy names them, `hidden` for what was not shown whatever it is.
        counts: Vec<(String, u64)>,
    },
    /// Said by the target outside any request: notice, notification, changed setting.
    Said {
        /// What kind.
        kind: Said,
        /// The text as shown.
        text: Bytes,
    },
    /// A stream ended.
    Closed {
        /// Why, for a person to read.
        reason: String,
        /// Bytes from the client.
        bytes_in: u64,
        /// Bytes to the client.
        bytes_out: u64,
    },
    /// Something is missing here, and why.
    Gap {
        /// What happened.
        reason: String,
    },
}

/// By which wire form a request came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Statement text that runs at once (simple query; may hold several statements).
    Query,
    /// Statement text kept under a name; nothing runs yet.
    Prepare {
        /// The name, empty for the unnamed statement.
        name: Bytes,
    },
    /// Values bound to a prepared statement.
    Bind {
        /// The portal made.
        portal: Bytes,
        /// The statement bound.
        statement: Bytes,
    },
    /// A portal runs.
    Execute {
        /// The portal.
        portal: Bytes,
        /// At most so many rows; 0: all.
        max_rows: u32,
    },
    /// A function called by number.
    FunctionCall {
        /// Its object id.
        function: u32,
    },
    /// A cancel request.
    Cancel,
    /// Log-in at the target.
    LogIn,
    /// A shell of a host; the text is empty.
    Shell {
        /// The terminal it got; `None`: none.
        terminal: Option<Terminal>,
    },
    /// A command of a host; the text is the command.
    Command {
        /// The terminal it got; `None`: none.
        terminal: Option<Terminal>,
    },
    /// A subsystem of a host; the text is its name.
    Subsystem,
    /// A connection onward or back; the text says where.
    Forward,
    /// A request of a cluster's API; the text is verb, resource and name. The first parameter is its path and query; of what writes,
    /// each further one is a field that it sets, `spec.replicas = 3`.
    Api,
    /// Something done to a file or folder of a host; the text is its path, the first parameter a second path.
    File {
        /// What.
        operation: FileOperation,
    },
}

impl Form {
    /// The terminal of what runs in one.
    #[must_use]
    pub const fn terminal(&self) -> Option<&Terminal> {
        match self {
            Self::Shell { terminal } | Self::Command { terminal } => terminal.as_ref(),
            _ => None,
        }
    }
}

/// What is done to a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOperation {
    /// Its content is read.
    Read,
    /// Its content is written.
    Write,
    /// Both.
    ReadWrite,
    /// What is in it is listed.
    List,
    /// It is removed.
    Remove,
    /// It gets another name.
    Rename,
    /// A folder is made.
    MakeFolder,
    /// A folder is removed.
    RemoveFolder,
    /// Its size, owner, rights or times change.
    Attributes,
    /// Another name for it is made.
    Link,
}

impl FileOperation {
    /// In the order of their numbers in a recording.
    pub(crate) const ALL: [Self; 10] = [
        Self::Read,
        Self::Write,
        Self::ReadWrite,
        Self::List,
        Self::Remove,
        Self::Rename,
        Self::MakeFolder,
        Self::RemoveFolder,
        Self::Attributes,
        Self::Link,
    ];
}

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its kind, as `TERM` has it.
    pub name: Bytes,
    /// Width in characters.
    pub columns: u32,
    /// Height in characters.
    pub rows: u32,
}

/// One bind value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// In the protocol's binary form?
    pub binary: bool,
    /// The value; `None`: NULL.
    pub value: Option<Bytes>,
}

/// One column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As shown.
    pub name: Bytes,
    /// The protocol's number of its type.
    pub type_id: u32,
    /// In the protocol's binary form?
    pub binary: bool,
}

/// Which way bulk data went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the target.
    In,
    /// From the target to the client.
    Out,
    /// From the target to the client, apart from the rest (a command's standard error).
    Error,
}

/// What a target says outside any request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A notice or warning.
    Notice,
    /// A NOTIFY payload.
    Notification,
    /// A setting changed (`TimeZone=UTC`).
    Setting,
}

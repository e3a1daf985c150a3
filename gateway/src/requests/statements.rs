//! Approvals of a single statement: what is asked for, how its text is kept, and who gets to read it.
//!
//! An approval is bound to the text by its hash. The text itself may hold patients' data: it is kept sealed, for those
//! who decide and for the auditor, and stands in no event and in no notice.

use hoop_api::{manage::ConnectionDefinition, requests::SingleStatement};
use hoop_model::{Blame, Fault, RequestId, RuleName};
use hoop_policy::OnlyStatement;
use hoop_sql::Reading;
use hoop_store::{AskedStatement, NewRequest};
use serde_json::Value;

use crate::{http::problem::Problematic, hub::Shared};

/// Longest text that somebody is asked to read and approve, bytes.
const LONGEST: usize = 64 * 1024;
/// Longest name of a database, bytes.
const LONGEST_NAME: usize = 256;

/// A statement that a session is to be for, and nothing else.
pub(crate) struct Single {
    /// What the session is bound to.
    pub(crate) only: OnlyStatement,
    /// What was read of it; nothing where texts of the protocol are not read.
    pub(crate) reading: Option<Reading>,
}

/// What a session for this statement alone is bound to.
pub(crate) fn single(
    definition: &ConnectionDefinition,
    statement: &SingleStatement,
) -> Result<Single, Problematic> {
    let wrong = |message: String, hint: &'static str| {
        Problematic::from(Fault::new("HOOP-2029", Blame::Caller, message).with_hint(hint))
    };
    let text = &statement.text;
    if text.len() > LONGEST || text.contains('\0') || !text.contains(|c: char| c.is_alphanumeric()) {
        let message = format!("a statement to be approved is 1 to {LONGEST} bytes of text");
        return Err(wrong(message, "ask for a session instead: leave out --statement"));
    }
    let own = definition.settings.get("database").and_then(Value::as_str);
    let Some(database) = statement.database.as_deref().or(own) else {
        let message = "the connection has no database of its own".to_owned();
        return Err(wrong(message, "say in which it is to run: --database NAME"));
    };
    if database.is_empty() || database.len() > LONGEST_NAME || database.chars().any(char::is_control) {
        return Err(wrong(
            "the database's name cannot be".to_owned(),
            "say in which it is to run: --database NAME",
        ));
    }
    // The agent reads it again, as the database then reads texts.
    let dialect = hoop_protocols::find(&definition.protocol).and_then(|protocol| protocol.dialect());
    let reading = dialect.map(|dialect| hoop_sql::read(text.as_bytes(), dialect));
    Ok(Single { only: OnlyStatement::new(text, database), reading })
}

/// How the store keeps it.
pub(super) fn seal(
    hub: &Shared,
    request: RequestId,
    statement: &SingleStatement,
    only: &OnlyStatement,
    rule: Option<&RuleName>,
) -> Result<AskedStatement, Problematic> {
    let sealed = hub.keys.seal_statement(request, &statement.text).map_err(Problematic::internal)?;
    Ok(AskedStatement {
        sealed,
        sha256: only.sha256().to_string(),
        database: only.database().to_owned(),
        rule: rule.map(ToString::to_string),
    })
}

/// For somebody who may see the request.
pub(crate) fn open(hub: &Shared, asked: &NewRequest) -> Result<Option<SingleStatement>, Problematic> {
    let Some(kept) = &asked.statement else { return Ok(None) };
    let text = hub.keys.open_statement(asked.id, &kept.sealed).map_err(Problematic::internal)?;
    Ok(Some(SingleStatement { text, database: Some(kept.database.clone()) }))
}

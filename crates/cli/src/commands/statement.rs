//! `--statement`: the text as it is to be approved, and to be sent.

use std::path::Path;

use hoop_api::requests::SingleStatement;

use super::file;
use crate::{args::OneStatement, failure::Result, output::text};

/// What was asked for on the command line.
pub(super) fn wanted(args: &OneStatement) -> Result<Option<SingleStatement>> {
    let Some(given) = &args.statement else { return Ok(None) };
    let text = match given.strip_prefix('@') {
        Some(path) => file::read_text(Path::new(path))?,
        None => given.clone(),
    };
    Ok(Some(SingleStatement { text, database: args.database.clone() }))
}

/// Is a request for what is wanted? The gateway knows which database is meant where none is said.
pub(super) fn is_for(asked: Option<&SingleStatement>, wanted: Option<&SingleStatement>) -> bool {
    match (asked, wanted) {
        (None, None) => true,
        (Some(asked), Some(wanted)) => {
            asked.text == wanted.text && (wanted.database.is_none() || asked.database == wanted.database)
        }
        _ => false,
    }
}

/// For those who decide: every character of it, and nothing that hides or moves any.
pub(super) fn shown(statement: &SingleStatement) -> String {
    let database = statement.database.as_deref().map(text::line).unwrap_or_default();
    let text = text::block(statement.text.trim());
    let lines: Vec<_> = text.lines().map(|line| format!("    {line}")).collect();
    format!("  for this statement alone, once, in database {database}:\n{}", lines.join("\n"))
}

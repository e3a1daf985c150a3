//! Search over statements of finished recordings, without their literals. Each search is an event, and each answer says
//! what it cannot know.

use axum::extract::{Query, State};
use hoop_api::audit::{NotIndexedView, StatementPage, StatementRow};
use hoop_ledger::event::EventCode;
use hoop_model::{ConnectionName, Timestamp, UserName};
use hoop_recording::redact_literals;
use hoop_store::{FoundStatement, StatementFilter, StatementOutcome};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::Evidence,
    problem::{Answer, Problematic},
};
use crate::hub::{Shared, event};

const MOST: u32 = 200;
const LONGEST: usize = 200;

/// Query of the search.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    person: Option<UserName>,
    connection: Option<ConnectionName>,
    table: Option<String>,
    text: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn statements(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<StatementPage>> {
    for text in [&wanted.table, &wanted.text, &wanted.before].into_iter().flatten() {
        if text.is_empty() || text.len() > LONGEST {
            return Err(Problematic::bad_request(format!("`table` and `text` are 1 to {LONGEST} bytes")));
        }
    }
    let limit = wanted.limit.unwrap_or(100).clamp(1, MOST);
    // What was looked for is told without what could be a literal: nothing of it is in the index anyway.
    let looked_for = wanted.text.as_ref().map(|text| redact_literals(text.as_bytes()));
    let facts = json!({
        "person": wanted.person, "connection": wanted.connection, "table": wanted.table,
        "text": looked_for, "since": wanted.since, "until": wanted.until, "after": wanted.before,
    });
    let told = event(&caller.actor, EventCode::StatementsSearched, [caller.signed_in.user.id.into()], facts);
    hub.store.append(&[told]).await?;
    let filter = StatementFilter {
        user: wanted.person,
        connection: wanted.connection,
        table: wanted.table,
        text: wanted.text,
        since: wanted.since,
        until: wanted.until,
        before: wanted.before,
        limit,
    };
    let found = hub.store.search_statements(&filter).await?;
    let missing = hub.store.not_indexed(&filter).await?;
    let full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = found.last().filter(|_| full).map(|last| last.place.clone());
    let not_indexed = NotIndexedView {
        waiting: missing.waiting,
        partly: missing.partly,
        no_key: missing.no_key,
        unreadable: missing.unreadable,
    };
    Ok(Json(StatementPage { items: found.into_iter().map(row).collect(), next, not_indexed }))
}

fn row(found: FoundStatement) -> StatementRow {
    let outcome = match found.outcome {
        StatementOutcome::Done => "done",
        StatementOutcome::Failed => "failed",
        StatementOutcome::Denied => "denied",
    };
    StatementRow {
        session: found.session.to_string(),
        at: found.at.to_string(),
        person: found.user_name.to_string(),
        connection: found.connection_name.to_string(),
        text: found.text,
        outcome: outcome.to_owned(),
        rows: found.rows,
    }
}

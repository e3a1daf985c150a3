//! `hoop audit search`.

use hoop_api::audit::{NotIndexedView, StatementPage, StatementRow};
use hoop_client::Api;

use super::api;
use crate::{
    args::AuditSearch,
    failure::Result,
    output::{Out, Table, text},
};

/// As many as the API gives at once.
const PAGE: usize = 200;

pub(super) async fn run(args: &AuditSearch, out: &Out) -> Result {
    let api = api()?;
    let mut query = Vec::new();
    query.extend(args.person.as_ref().map(|person| ("person", person.to_string())));
    query.extend(args.connection.as_ref().map(|connection| ("connection", connection.to_string())));
    query.extend(args.table.clone().map(|table| ("table", table)));
    query.extend(args.text.clone().map(|text| ("text", text)));
    query.extend(args.span.since.map(|since| ("since", since.to_string())));
    query.extend(args.span.until.map(|until| ("until", until.to_string())));
    let found = out.waiting("Asking the gateway", pages(&api, &query, args.span.limit)).await?;
    out.data(&found, |found| match found.items.as_slice() {
        [] => "No statements.".to_owned(),
        items => table(items),
    })?;
    if let Some(missing) = missing(found.not_indexed) {
        out.note(missing);
    }
    Ok(())
}

async fn pages(api: &Api, filter: &[(&str, String)], limit: usize) -> Result<StatementPage> {
    let mut all = StatementPage { items: Vec::new(), next: None, not_indexed: NotIndexedView::default() };
    while all.items.len() < limit {
        let mut query = filter.to_vec();
        query.push(("limit", (limit - all.items.len()).min(PAGE).to_string()));
        query.extend(all.next.clone().map(|next| ("before", next)));
        let page = api.search_statements(&query).await?;
        all.items.extend(page.items);
        (all.next, all.not_indexed) = (page.next, page.not_indexed);
        if all.next.is_none() {
            break;
        }
    }
    all.items.truncate(limit);
    Ok(all)
}

fn table(items: &[StatementRow]) -> String {
    let mut table = Table::new(["AT", "PERSON", "CONNECTION", "SESSION", "OUTCOME", "ROWS", "STATEMENT"]);
    for found in items {
        let rows = found.rows.to_string();
        let statement = text::short(&found.text, 80);
        table.row([
            &found.at,
            &found.person,
            &found.connection,
            &found.session,
            &found.outcome,
            &rows,
            &statement,
        ]);
    }
    table.render()
}

/// What the answer cannot know, for people.
fn missing(of: NotIndexedView) -> Option<String> {
    let parts = [
        (of.waiting, "go on or are about to be indexed"),
        (of.partly, "are indexed in part"),
        (of.no_key, "cannot be decrypted by the gateway"),
        (of.unreadable, "are gone or broken"),
    ];
    let told: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    (!told.is_empty()).then(|| format!("not complete: of the recordings in this range {}", told.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_and_nothing_else() {
        assert_eq!(missing(NotIndexedView::default()), None);
        let told = missing(NotIndexedView { no_key: 2, waiting: 1, ..NotIndexedView::default() }).unwrap();
        assert!(
            told.contains("1 go on") && told.contains("2 cannot be decrypted") && !told.contains("0 "),
            "{told}"
        );
    }

    #[test]
    fn a_statement_is_one_harmless_line() {
        let row = StatementRow {
            session: "ses_x".into(),
            at: "t".into(),
            person: "ada".into(),
            connection: "pg".into(),
            text: "select\n\u{1b}[2J ?".into(),
            outcome: "done".into(),
            rows: 1,
        };
        let shown = table(&[row]);
        assert!(shown.lines().count() == 2 && !shown.contains('\u{1b}'), "{shown}");
    }
}

//! `hoop request|requests|break-glass`: access that others approve, emergencies that others review.

use hoop_api::requests::{
    BreakGlass, EndRequest, Extend, NewRequest, RequestKind, RequestState, RequestView, ReviewFinding,
    SingleStatement, Word,
};
use hoop_client::Api;
use hoop_model::{ConnectionName, RequestId};

use super::{
    account::{span, until, word},
    api, statement,
};
use crate::{
    args::{Ask, BreakGlassArgs, Requests, RequestsList},
    failure::Result,
    output::{Out, Table, text},
};

pub(super) async fn ask(args: Ask, out: &Out) -> Result {
    let api = api()?;
    let new = NewRequest {
        connection: args.name,
        duration_seconds: args.duration.as_secs(),
        reason: args.reason,
        statement: statement::wanted(&args.only)?,
    };
    let request = api.ask(&new).await?;
    out.data(&request, |request| {
        format!(
            "{} waits for {} of those who may approve. They see it in the console and with `hoop requests`.\n\
             `hoop connect {}{}` waits for them.",
            request.id,
            approvals(request.needed),
            request.connection,
            if request.statement.is_some() { " --statement …" } else { "" }
        )
    })?;
    Ok(())
}

fn approvals(count: u32) -> String {
    if count == 1 { "the approval of one".to_owned() } else { format!("the approvals of {count}") }
}

pub(super) async fn break_glass(args: BreakGlassArgs, out: &Out) -> Result {
    let api = api()?;
    let new = BreakGlass { connection: args.name, reason: args.reason, incident: args.incident };
    let request = api.break_glass(&new).await?;
    out.data(&request, |request| {
        let ends = request.ends_at.map(until).unwrap_or_default();
        format!(
            "The glass is broken: {} is open to you for {ends}. Everybody in charge was told; everything is recorded.\n\n  \
             hoop connect {}\n\nIt ends by itself, or with `hoop requests end {} --reason …`; then somebody else reviews it.",
            request.connection, request.connection, request.id
        )
    })?;
    Ok(())
}

pub(super) async fn run(command: Option<Requests>, list: &RequestsList, out: &Out) -> Result {
    let api = api()?;
    let Some(command) = command else { return ls(list, &api, out).await };
    let request = match command {
        Requests::Show(args) => api.request_of(args.id).await?,
        Requests::Approve(args) => api.decide_request(args.id, true, &Word { note: args.note }).await?,
        Requests::Deny(args) => api.decide_request(args.id, false, &Word { note: args.note }).await?,
        Requests::End(args) => api.end_request(args.id, &EndRequest { reason: args.reason }).await?,
        Requests::Extend(args) => api.extend_request(args.id, &Extend { seconds: args.by.as_secs() }).await?,
        Requests::Review(args) => {
            api.review_request(args.id, &ReviewFinding { finding: args.finding }).await?
        }
    };
    out.data(&request, details)?;
    Ok(())
}

async fn ls(list: &RequestsList, api: &Api, out: &Out) -> Result {
    let page = api.requests(list.mine, list.reviews).await?;
    out.data(&page.items, |items| {
        if items.is_empty() { "No requests that concern you.".to_owned() } else { table(items) }
    })?;
    Ok(())
}

fn table(items: &[RequestView]) -> String {
    let mut table = Table::new(["ID", "PERSON", "CONNECTION", "STATE", "REASON"]);
    for item in items {
        let id = item.id.to_string();
        table.row([&id, item.person.as_str(), item.connection.as_str(), &state(item), &item.reason]);
    }
    table.render()
}

fn state(item: &RequestView) -> String {
    let yes = item.decisions.iter().filter(|decision| decision.approves).count();
    let state = match item.state {
        RequestState::Pending => format!("{yes} of {} approved", item.needed),
        RequestState::Approved => {
            item.ends_at.map_or_else(String::new, |at| format!("open for {}", until(at)))
        }
        other => word(&other),
    };
    match (item.kind, item.state, &item.review) {
        (RequestKind::Access, ..) => state,
        (_, RequestState::Approved, _) => format!("emergency, {state}"),
        (_, _, None) => "emergency, to be reviewed".to_owned(),
        (_, _, Some(_)) => "emergency, reviewed".to_owned(),
    }
}

fn details(item: &RequestView) -> String {
    let mut lines = vec![
        format!("{}  {} → {}  ({})", item.id, item.person, item.connection, state(item)),
        match &item.statement_rule {
            Some(statement) => format!("  rule      {}, statement rule {}", item.rule, statement),
            None => format!("  rule      {}", item.rule),
        },
        format!("  reason    {}", text::line(&item.reason)),
        format!("  for       {}", span(item.duration_seconds)),
    ];
    lines.extend(item.statement.as_ref().map(statement::shown));
    lines.extend(item.incident.as_ref().map(|incident| format!("  incident  {}", text::line(incident))));
    for decision in &item.decisions {
        let verdict = if decision.approves { "approved" } else { "denied" };
        let note = decision.note.as_deref().map(|note| format!(": {}", text::line(note))).unwrap_or_default();
        lines.push(format!("  {verdict} by {}{note}", decision.by));
    }
    lines.extend(item.extended_by.as_ref().map(|by| format!("  extended by {}", text::line(by))));
    lines.extend(item.end_reason.as_ref().map(|reason| format!("  ended     {}", text::line(reason))));
    lines.extend(
        item.review.as_ref().map(|review| {
            format!("  reviewed by {}: {}", text::line(&review.by), text::line(&review.finding))
        }),
    );
    lines.join("\n")
}

/// The caller's own request for a connection that is pending, or was approved while the gateway was being asked.
pub(super) async fn open_request(
    api: &Api,
    name: &ConnectionName,
    only: Option<&SingleStatement>,
) -> Result<Option<RequestView>> {
    let page = api.requests(true, false).await?;
    let is_open = |state| matches!(state, RequestState::Pending | RequestState::Approved);
    let is_it = |item: &RequestView| {
        is_open(item.state) && item.connection == *name && statement::is_for(item.statement.as_ref(), only)
    };
    Ok(page.items.into_iter().find(is_it))
}

/// Waits until a request is decided.
pub(super) async fn decided(api: &Api, id: RequestId) -> Result<RequestView> {
    loop {
        let request = api.request_of(id).await?;
        if request.state != RequestState::Pending {
            return Ok(request);
        }
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
}

//! `hoop admin holds`: legal holds on recordings.

use hoop_api::holds::{HoldKind, HoldView, PlaceHold, ReleaseHold};
use hoop_client::Api;

use crate::{
    args::Holds,
    failure::Result,
    output::{Out, Table, text},
};

pub(super) async fn run(command: Holds, api: &Api, out: &Out) -> Result {
    match command {
        Holds::Ls(_) => {
            let page = api.holds().await?;
            out.data(&page.items, |items| table(items))?;
        }
        Holds::Place(args) => {
            let wanted = PlaceHold {
                session: args.session,
                user: args.user,
                connection: args.connection,
                reason: args.reason,
            };
            let placed = api.place_hold(&wanted).await?;
            out.data(&placed, |hold: &HoldView| {
                format!("{}: recordings of {} are kept until it is released.", hold.id, covered(hold))
            })?;
        }
        Holds::Release(args) => {
            let released = api.release_hold(args.id, &ReleaseHold { reason: args.reason }).await?;
            out.data(&released, |hold: &HoldView| {
                format!("{} is released: what it covered is deleted when its time is over.", hold.id)
            })?;
        }
    }
    Ok(())
}

fn covered(hold: &HoldView) -> String {
    let kind = match hold.kind {
        HoldKind::Session => "session",
        HoldKind::User => "person",
        HoldKind::Connection => "connection",
    };
    format!("{kind} {}", text::line(&hold.name))
}

fn table(items: &[HoldView]) -> String {
    if items.is_empty() {
        return "None: hoop admin holds place --help".to_owned();
    }
    let mut table = Table::new(["ID", "COVERS", "REASON", "PLACED BY", "PLACED AT", "STATE"]);
    for hold in items {
        let state = hold.released_by.as_ref().map(|by| format!("released by {}", text::line(by)));
        table.row([
            &hold.id.to_string(),
            &covered(hold),
            &text::line(&hold.reason),
            &text::line(&hold.placed_by),
            &hold.placed_at.to_string(),
            &state.unwrap_or_else(|| "in force".to_owned()),
        ]);
    }
    table.render()
}

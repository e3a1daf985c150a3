//! `hoop ls`.

use hoop_api::manage::ConnectionView;

use super::api;
use crate::{
    failure::Result,
    output::{Out, Table},
};

pub(super) async fn ls(all: bool, out: &Out) -> Result {
    let api = api()?;
    let page = out.waiting("Asking the gateway", api.connections(all)).await?;
    out.data(&page.items, |items| {
        if items.is_empty() {
            return "There is no connection that you may open. Ask an admin for an access rule that names you or your group."
                .to_owned();
        }
        table(items)
    })?;
    Ok(())
}

pub(super) fn table(items: &[ConnectionView]) -> String {
    let mut table = Table::new(["NAME", "PROTOCOL", "STATE", "NEEDS", "DESCRIPTION"]);
    for item in items {
        table.row([item.name.as_str(), item.protocol.as_str(), state(item), &needs(item), &item.description]);
    }
    table.render()
}

/// Everybody needs a second factor; what a rule wants besides is worth the room.
fn needs(item: &ConnectionView) -> String {
    let besides = item.needs.iter().filter(|need| !need.starts_with("a second factor"));
    besides.map(String::as_str).collect::<Vec<_>>().join("; ")
}

const fn state(item: &ConnectionView) -> &'static str {
    match (item.may_connect, item.online) {
        (true, true) => "ready",
        (true, false) => "agent away",
        (false, _) if item.break_glass => "emergency only",
        (false, _) => "not allowed",
    }
}

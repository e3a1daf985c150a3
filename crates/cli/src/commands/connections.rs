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
            return "There is no connection that you may open. Ask an admin to put you into a group that may.".to_owned();
        }
        table(items)
    })?;
    Ok(())
}

pub(super) fn table(items: &[ConnectionView]) -> String {
    let mut table = Table::new(["NAME", "PROTOCOL", "STATE", "DESCRIPTION"]);
    for item in items {
        table.row([item.name.as_str(), item.protocol.as_str(), state(item), &item.description]);
    }
    table.render()
}

const fn state(item: &ConnectionView) -> &'static str {
    match (item.may_connect, item.online) {
        (true, true) => "ready",
        (true, false) => "agent away",
        (false, _) => "not allowed",
    }
}

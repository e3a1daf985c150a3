//! `hoop admin emergency`: ways in while the gateway is down, made beforehand.

use std::path::Path;

use hoop_api::capabilities::{CapabilityMade, CapabilityView, NewCapability};
use hoop_client::Api;
use serde_json::json;

use super::{account::until, file};
use crate::{
    args::{Emergency, MakeCapability},
    failure::Result,
    output::{Out, Table, text},
};

pub(super) async fn run(command: Emergency, api: &Api, out: &Out) -> Result {
    match command {
        Emergency::Make(args) => make(args, api, out).await,
        Emergency::Ls(_) => {
            let page = api.capabilities().await?;
            out.data(&page.items, |items| table(items))?;
            Ok(())
        }
        Emergency::Revoke(args) => {
            api.revoke_capability(args.id).await?;
            out.data(&json!({ "revoked": args.id }), |_| {
                format!("{} is revoked. An agent that is away hears of it when it is back.", args.id)
            })?;
            Ok(())
        }
    }
}

async fn make(args: MakeCapability, api: &Api, out: &Out) -> Result {
    let wanted = NewCapability {
        connection: args.connection,
        holder: args.holder,
        valid_seconds: args.valid_for.as_secs(),
        session_seconds: args.session.as_secs(),
        uses: args.uses,
    };
    let made = api.make_capability(&wanted).await?;
    if let Some(path) = &args.out {
        file::keep_secret(path, &made.capability)?;
    }
    out.data(&made, |made: &CapabilityMade| shown(made, args.out.as_deref()))?;
    Ok(())
}

fn shown(made: &CapabilityMade, saved: Option<&Path>) -> String {
    let place = match saved {
        Some(path) => format!("in {}", path.display()),
        None => made.capability.clone(),
    };
    format!(
        "Capability {}, good within {}; shown only now.\n\nFor the host of the agent {}:\n{place}\n\n\
         For the holder alone, kept apart from it:\n{}\n\n\
         In an emergency, there: hoop-agent break-glass open --capability FILE --reason … --incident …",
        made.id,
        until(made.valid_until),
        made.agent,
        text::line(&made.code),
    )
}

fn table(items: &[CapabilityView]) -> String {
    if items.is_empty() {
        return "None yet: hoop admin emergency make --help".to_owned();
    }
    let mut table = Table::new(["ID", "HOLDER", "CONNECTION", "MADE BY", "USES", "STATE"]);
    for item in items {
        let state = match item.revoked_at {
            Some(_) => "revoked".to_owned(),
            None => format!("ends in {}", until(item.valid_until)),
        };
        table.row([
            &item.id.to_string(),
            item.holder.as_str(),
            item.connection.as_str(),
            &text::line(&item.made_by),
            &format!("{}/{}", item.uses, item.most_uses),
            &state,
        ]);
    }
    table.render()
}

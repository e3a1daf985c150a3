//! `hoop admin sealed-codes`.

use hoop_api::sealed_codes::{CodeSetMade, CodeSetView, NewCodeSet};
use hoop_client::Api;
use serde_json::json;

use super::account::until;
use crate::{
    args::SealedCodes,
    failure::Result,
    output::{Out, Table},
};

pub(super) async fn run(command: SealedCodes, api: &Api, out: &Out) -> Result {
    match command {
        SealedCodes::Ls(_) => {
            let page = api.sealed_codes().await?;
            out.data(&page.items, |sets| {
                if sets.is_empty() {
                    "No sealed codes yet: hoop admin sealed-codes make --help".to_owned()
                } else {
                    table(sets)
                }
            })?;
        }
        SealedCodes::Make(args) => {
            let new = NewCodeSet {
                holders: args.holders,
                needed: args.needed,
                valid_for_seconds: args.life.as_secs(),
            };
            let made = api.make_sealed_codes(&new).await?;
            if !out.is_json() {
                out.note(format!(
                    "Set {}: {} of {} holders are needed; good for {}; shown only now:",
                    made.id,
                    made.needed,
                    made.codes.len(),
                    until(made.expires_at)
                ));
            }
            out.data(&made, codes)?;
        }
        SealedCodes::Revoke(args) => {
            api.revoke_sealed_codes(args.id).await?;
            out.data(&json!({ "set": args.id, "revoked": true }), |_| {
                format!("The codes of {} are void.", args.id)
            })?;
        }
    }
    Ok(())
}

fn codes(made: &CodeSetMade) -> String {
    let mut table = Table::new(["HOLDER", "CODE"]);
    for one in &made.codes {
        table.row([one.holder.as_str(), &one.code]);
    }
    table.render()
}

fn table(sets: &[CodeSetView]) -> String {
    let mut table = Table::new(["SET", "STATE", "NEEDED", "MADE BY", "HOLDERS"]);
    for set in sets {
        let state = match (set.revoked_at, set.good) {
            (Some(_), _) => "revoked".to_owned(),
            (None, true) => format!("ends in {}", until(set.expires_at)),
            (None, false) => "expired or used up".to_owned(),
        };
        let holders = set.codes.iter().map(|code| match &code.used_by {
            Some(person) => format!("{} (used for {person})", code.holder),
            None => code.holder.to_string(),
        });
        let holders = holders.collect::<Vec<_>>().join(", ");
        table.row([
            set.id.to_string().as_str(),
            &state,
            &set.needed.to_string(),
            set.made_by.as_str(),
            &holders,
        ]);
    }
    table.render()
}

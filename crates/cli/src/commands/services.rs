//! `hoop admin service-accounts` and `hoop admin tokens`.

use hoop_api::services::{
    ApiTokenMade, ApiTokenView, NewApiToken, NewServiceAccount, ServiceAccountChange, ServiceAccountView,
};
use hoop_client::Api;
use serde_json::json;

use super::account::{ago, until, word};
use crate::{
    args::{AddApiToken, ApiTokens, RevokeApiToken, ServiceAccounts},
    failure::Result,
    output::{Out, Table, text},
};

pub(super) async fn accounts(command: ServiceAccounts, api: &Api, out: &Out) -> Result {
    let locked = matches!(command, ServiceAccounts::Lock(_));
    match command {
        ServiceAccounts::Ls(_) => {
            let page = api.service_accounts().await?;
            out.data(&page.items, |items| {
                if items.is_empty() {
                    "No service accounts yet: hoop admin service-accounts add NAME".to_owned()
                } else {
                    account_table(items)
                }
            })?;
        }
        ServiceAccounts::Add(args) => {
            let new = NewServiceAccount { name: args.name, role: args.role.into() };
            let made = api.add_service_account(&new).await?;
            out.data(&made, |made| account_table(std::slice::from_ref(made)))?;
            if !out.is_json() {
                out.note(format!(
                    "Next: a token (hoop admin tokens add {0} --name ...), and a rule with subjects: {{service_accounts: [{0}]}}",
                    made.name
                ));
            }
        }
        ServiceAccounts::Lock(args) | ServiceAccounts::Unlock(args) => {
            let changed = api.change_service_account(&args.name, &ServiceAccountChange { locked }).await?;
            out.data(&changed, |account| {
                let name = &account.name;
                if locked {
                    format!("{name} is locked: its tokens are void, its sessions have ended.")
                } else {
                    format!("{name} may have tokens again: hoop admin tokens add {name} --name ...")
                }
            })?;
        }
        ServiceAccounts::Rm(args) => {
            api.remove_service_account(&args.name).await?;
            out.data(&json!({ "service_account": args.name, "removed": true }), |_| {
                format!("{} was removed: its tokens are void, its sessions have ended.", args.name)
            })?;
        }
    }
    Ok(())
}

fn account_table(items: &[ServiceAccountView]) -> String {
    let mut table = Table::new(["NAME", "ROLE", "STATE", "TOKENS", "LAST USED"]);
    for item in items {
        let used = item.used_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at)));
        let state = if item.locked { "locked" } else { "active" };
        table.row([item.name.as_str(), &word(&item.role), state, &item.tokens.to_string(), &used]);
    }
    table.render()
}

pub(super) async fn tokens(command: ApiTokens, api: &Api, out: &Out) -> Result {
    match command {
        ApiTokens::Ls(args) => {
            let page = api.api_tokens(&args.name).await?;
            out.data(&page.items, |items| token_table(items))?;
        }
        ApiTokens::Add(args) => add(args, api, out).await?,
        ApiTokens::Revoke(args) => revoke(args, api, out).await?,
    }
    Ok(())
}

async fn add(args: AddApiToken, api: &Api, out: &Out) -> Result {
    let new = NewApiToken { name: args.name, scope: args.scope, ttl_seconds: args.life.as_secs() };
    let made = api.make_api_token(&args.account, &new).await?;
    if !out.is_json() {
        out.note(format!(
            "Token {} of {} is good for {}; shown only now:",
            made.view.id,
            args.account,
            until(made.view.expires_at)
        ));
    }
    out.data(&made, |made: &ApiTokenMade| text::line(&made.token).into_owned())?;
    Ok(())
}

async fn revoke(args: RevokeApiToken, api: &Api, out: &Out) -> Result {
    api.revoke_api_tokens(&args.account, args.id).await?;
    let which = args.id.map_or_else(|| format!("All tokens of {}", args.account), |id| format!("Token {id}"));
    let shown = json!({ "service_account": args.account, "token": args.id.map(|id| id.to_string()), "revoked": true });
    out.data(&shown, |_| format!("{which}: void from now on; sessions that rested on it have ended."))?;
    Ok(())
}

fn token_table(items: &[ApiTokenView]) -> String {
    let mut table = Table::new(["ID", "NAME", "SCOPE", "STATE", "MADE BY", "LAST USED"]);
    for item in items {
        let state = match (item.revoked_at, item.good) {
            (Some(_), _) => "revoked".to_owned(),
            (None, true) => format!("ends in {}", until(item.expires_at)),
            (None, false) => "expired".to_owned(),
        };
        let used = item.used_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at)));
        table.row([
            item.id.to_string().as_str(),
            &text::line(&item.name),
            item.scope.as_str(),
            &state,
            item.made_by.as_str(),
            &used,
        ]);
    }
    table.render()
}

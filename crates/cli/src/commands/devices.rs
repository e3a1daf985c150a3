//! `hoop devices` and `hoop recovery-codes`: what belongs to one's own account.

use hoop_api::auth::LoginView;

use super::{account::ago, api};
use crate::{
    args::{Devices, RecoveryCodes},
    failure::Result,
    output::{Out, Table},
};

pub(super) async fn devices(command: Devices, out: &Out) -> Result {
    let api = api()?;
    match command {
        Devices::Ls(_) => {
            let page = out.waiting("Asking the gateway", api.logins()).await?;
            out.data(&page.items, |items| table(items))?;
        }
        Devices::Revoke(args) => {
            out.waiting("Ending the sign-in", api.end_login(args.id)).await?;
            out.data(&serde_json::json!({ "revoked": args.id.to_string() }), |_| "Ended.".to_owned())?;
        }
    }
    Ok(())
}

pub(super) fn table(items: &[LoginView]) -> String {
    let mut table = Table::new(["ID", "WITH", "FROM", "SINCE", "LAST USED", ""]);
    for login in items {
        let (since, used) = (ago(login.created_at), ago(login.used_at));
        table.row([
            &login.id.to_string(),
            &login.client,
            &login.address,
            &format!("{since} ago"),
            &format!("{used} ago"),
            if login.current { "this one" } else { "" },
        ]);
    }
    table.render()
}

pub(super) async fn recovery_codes(command: RecoveryCodes, out: &Out) -> Result {
    let api = api()?;
    match command {
        RecoveryCodes::Left(_) => {
            let left = out.waiting("Asking the gateway", api.recovery_codes_left()).await?;
            out.data(&left, |left| match (left.available, left.left) {
                (false, _) => "Your identity provider has its own way back.".to_owned(),
                (true, 0) => "No recovery code is left. Next: hoop recovery-codes new".to_owned(),
                (true, count) => format!("{count} recovery codes are left."),
            })?;
        }
        RecoveryCodes::New(_) => {
            let made = out.waiting("Making recovery codes", api.renew_recovery_codes()).await?;
            out.note(
                "Keep these where your authenticator is not. Each is good once; they are not shown again.",
            );
            out.data(&made, |made| made.codes.join("\n"))?;
        }
    }
    Ok(())
}

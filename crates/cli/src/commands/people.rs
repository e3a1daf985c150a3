//! `hoop admin users`.

use hoop_api::manage::{NewUser, NewUserCreated, UserChange, UserView};
use hoop_client::Api;
use hoop_model::UserName;
use serde_json::json;

use super::{
    account::{ago, word},
    devices,
};
use crate::{
    args::{self, AddUser, EndSignIns, SetUser, Users},
    failure::Result,
    output::{Out, Table, text},
};

pub(super) async fn run(command: Users, api: &Api, out: &Out) -> Result {
    match command {
        Users::Ls(_) => {
            let page = api.users().await?;
            out.data(&page.items, |users| user_table(users))?;
        }
        Users::Add(AddUser { name, role, groups, .. }) => {
            let created = api.add_user(&NewUser { name, role: role.into(), groups }).await?;
            out.data(&created, show_link)?;
        }
        Users::Reset(args) => out.data(&api.reset_user(&args.name).await?, show_link)?,
        Users::Set(args) => {
            let name = args.name.clone();
            show(&api.change_user(&name, &change(args)).await?, out)?;
        }
        Users::Lock(args) => lock(api, &args, true, out).await?,
        Users::Unlock(args) => lock(api, &args, false, out).await?,
        Users::Show(args) => show(&api.user(&args.name).await?, out)?,
        Users::Link(args) => show(&api.link_accounts(&args.name, &args.account).await?, out)?,
        Users::Unlink(args) => {
            api.unlink_account(&args.name).await?;
            out.data(&json!({ "user": args.name, "unlinked": true }), |_| {
                format!("{} is nobody's second account.", args.name)
            })?;
        }
        Users::SignIns(args) => {
            let page = api.logins_of(&args.name).await?;
            out.data(&page.items, |items| devices::table(items))?;
        }
        Users::SignOut(args) => sign_out(api, &args, out).await?,
    }
    Ok(())
}

fn show(user: &UserView, out: &Out) -> Result {
    Ok(out.data(user, |user| user_table(std::slice::from_ref(user)))?)
}

async fn sign_out(api: &Api, args: &EndSignIns, out: &Out) -> Result {
    api.end_logins_of(&args.name, args.id).await?;
    let id = args.id.map(|id| id.to_string());
    out.data(&json!({ "user": args.name, "sign_in": id, "ended": true }), |_| match id {
        Some(_) => format!("That sign-in of {} has ended.", args.name),
        None => format!("{} is signed out everywhere, and has no live session.", args.name),
    })?;
    Ok(())
}

fn change(args: SetUser) -> UserChange {
    let groups = (args.no_groups || !args.groups.is_empty()).then_some(args.groups);
    UserChange { role: args.role.map(Into::into), groups, locked: None }
}

async fn lock(api: &Api, args: &args::OneUser, locked: bool, out: &Out) -> Result {
    let change = UserChange { locked: Some(locked), ..UserChange::default() };
    let user = api.change_user(&args.name, &change).await?;
    out.data(&user, |user| {
        let name = &user.name;
        if locked {
            format!("{name} is locked: sign-ins and sessions have ended.")
        } else {
            format!("{name} may sign in again.")
        }
    })?;
    Ok(())
}

fn show_link(created: &NewUserCreated) -> String {
    format!(
        "{} ({}) sets password and second factor here, once, within a day:\n\n  {}",
        created.user.name,
        word(&created.user.role),
        text::line(&created.setup_url)
    )
}

fn user_table(users: &[UserView]) -> String {
    let mut table =
        Table::new(["NAME", "ROLE", "GROUPS", "SOURCE", "STATE", "LAST SIGN-IN", "SAME PERSON AS"]);
    for user in users {
        let state = match (user.locked, user.active) {
            (true, _) => "locked",
            (false, false) => "not set up",
            (false, true) => "active",
        };
        let others: Vec<_> = user.other_accounts.iter().map(UserName::as_str).collect();
        let seen = user.last_login_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", ago(at)));
        table.row([
            user.name.as_str(),
            &word(&user.role),
            &user.groups.join(", "),
            &user.source,
            state,
            &seen,
            &others.join(", "),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_replaced_only_if_asked() {
        use clap::Parser as _;
        for (line, wanted) in [
            ("--role admin", None),
            ("--no-groups", Some(0)),
            ("-g dba", Some(1)),
            ("-g a -g b --role user", Some(2)),
        ] {
            let words = "hoop admin users set ada".split(' ').chain(line.split(' '));
            let args::Command::Admin(args::Admin::Users(Users::Set(parsed))) =
                args::Cli::parse_from(words).command
            else {
                panic!()
            };
            assert_eq!(change(parsed).groups.map(|groups| groups.len()), wanted, "{line}");
        }
    }
}

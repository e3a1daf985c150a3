//! `hoop whoami`, `hoop status`, `hoop logout`.

use hoop_api::{auth::WhoAmI, sessions::SessionView};
use hoop_client::{Api, Class, ClientError, ProfileStore, login};
use hoop_model::Timestamp;
use serde::Serialize;

use super::{api, sessions};
use crate::{
    args::Logout,
    failure::Result,
    output::{Out, facts},
};

/// Who is signed in, as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct Identity<'a> {
    gateway: Option<String>,
    id: String,
    name: &'a str,
    role: hoop_model::Role,
    groups: &'a [String],
    method: hoop_model::AuthMethod,
    mfa_at: Option<Timestamp>,
    mfa_by: Option<hoop_model::FactorKind>,
    expires_at: Timestamp,
}

pub(super) fn identity(user: &WhoAmI) -> Identity<'_> {
    Identity {
        gateway: None,
        id: user.id.to_string(),
        name: user.name.as_str(),
        role: user.role,
        groups: &user.groups,
        method: user.method,
        mfa_at: user.mfa_at,
        mfa_by: user.mfa_by,
        expires_at: user.expires_at,
    }
}

/// The word that serde writes for a plain enum.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        _ => String::from("?"),
    }
}

/// When the second factor was proven, and with what.
fn factor(identity: &Identity<'_>) -> String {
    let Some(at) = identity.mfa_at else { return "not proven".to_owned() };
    let by = identity.mfa_by.map_or_else(String::new, |by| format!(" ({})", word(&by)));
    format!("{} ago{by}", ago(at))
}

pub(super) async fn whoami(out: &Out) -> Result {
    let api = api()?;
    let user = out.waiting("Asking the gateway", api.whoami()).await?;
    let identity = Identity { gateway: Some(api.gateway().to_string()), ..identity(&user) };
    out.data(&identity, |identity| {
        facts(&[
            ("name", identity.name.to_owned()),
            ("role", word(&identity.role)),
            ("groups", identity.groups.join(", ")),
            ("signed in by", word(&identity.method)),
            ("second factor", factor(identity)),
            ("ends in", until(identity.expires_at)),
            ("gateway", identity.gateway.clone().unwrap_or_default()),
        ])
    })?;
    Ok(())
}

/// The gateway and the sign-in, as JSON shows them.
#[derive(Debug, Serialize)]
struct Status<'a> {
    gateway: String,
    version: String,
    protocols: &'a [String],
    user: Identity<'a>,
    live_sessions: &'a [SessionView],
}

pub(super) async fn status(out: &Out) -> Result {
    let api = api()?;
    let query = [("state", "live".to_owned())];
    let asked = Box::pin(async { tokio::try_join!(api.info(), api.whoami(), api.sessions(&query)) });
    let (info, user, live) = out.waiting("Asking the gateway", asked).await?;
    let own: Vec<SessionView> = live.items.into_iter().filter(|session| session.user == user.name).collect();
    let status = Status {
        gateway: api.gateway().to_string(),
        version: info.version,
        protocols: &info.protocols,
        user: identity(&user),
        live_sessions: &own,
    };
    out.data(&status, |status| {
        let mut shown = facts(&[
            ("gateway", format!("{} (version {})", status.gateway, status.version)),
            ("protocols", status.protocols.join(", ")),
            (
                "signed in",
                format!("{} ({}), ends in {}", user.name, word(&user.role), until(user.expires_at)),
            ),
        ]);
        shown.push('\n');
        if own.is_empty() {
            shown.push_str("You have no live session.");
        } else {
            shown.push_str(&sessions::table(&own));
        }
        shown
    })?;
    Ok(())
}

pub(super) async fn logout(args: &Logout, out: &Out) -> Result {
    let store = ProfileStore::from_environment()?;
    let ended = match Api::signed_in(store.clone()) {
        Ok(api) => out.waiting("Signing out", end(&api, args.everywhere)).await,
        Err(error) => Err(error),
    };
    login::forget(&store)?;
    match ended {
        Ok(()) => {}
        Err(error) if error.class == Class::NotSignedIn => {}
        Err(error) => {
            return Err(ClientError { class: error.class, ..error }
                .hint("the tokens are gone here, but the gateway may still take them until they expire")
                .into());
        }
    }
    let done =
        if args.everywhere { "Signed out everywhere; your sessions have ended." } else { "Signed out." };
    out.data(&serde_json::json!({ "signed_out": true, "everywhere": args.everywhere }), |_| done.to_owned())?;
    Ok(())
}

async fn end(api: &Api, everywhere: bool) -> hoop_client::Result<()> {
    if everywhere {
        return api.end_all_logins().await;
    }
    let user = api.whoami().await?;
    api.end_login(user.login).await
}

/// `3 h 20 min`, from now until then.
pub(super) fn until(then: Timestamp) -> String {
    let left = then.since(hoop_client::http::now());
    if left.is_zero() { "no time: it has ended".to_owned() } else { span(left.as_secs()) }
}

/// `3 h 20 min`, since then.
pub(super) fn ago(then: Timestamp) -> String {
    span(hoop_client::http::now().since(then).as_secs())
}

/// A length of time in two units at most.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (12_000, "3 h 20 min"),
            (86_400, "1 d"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), shown);
        }
    }
}

//! What the identity provider says of people now: a group or an account that is taken away there takes its rights and
//! sessions here with it, without a new sign-in.
//!
//! Everybody who is signed in or has a live session is asked about every `oidc.recheck`, and when they refresh their
//! tokens. A provider that does not answer changes nothing: sign-ins have an absolute end of their own, and an outage
//! must not lock everybody out at once. A provider that does not stand by a sign-in any more ends it, with its sessions.

use std::time::Duration;

use futures::StreamExt as _;
use hoop_identity::oidc::{Identity, OidcError};
use hoop_ledger::EventCode;
use hoop_model::{Actor, Fault, GroupName, Redacted, Role, UserId};
use hoop_store::{ProviderToken, StoreError, User, UserSource};
use serde_json::json;
use tokio::{runtime::Handle, time::MissedTickBehavior};

use crate::{
    http::{
        oidc::{account, aside, redirect_url, role},
        problem::Problematic,
    },
    hub::{Hub, Shared, event, now},
    jobs, sessions,
};

/// A claimed token is free again then, whatever happened to whoever claimed it. Longer than three calls may take.
const CLAIM: Duration = Duration::from_secs(60);
/// Asked about at once.
const AT_ONCE: usize = 4;
/// Claimed at once.
const BATCH: u32 = 64;
/// After a failure, asked again no sooner.
const RETRY: Duration = Duration::from_secs(15);
/// When tokens are refreshed, an answer as old as this will do.
const RECENT: Duration = Duration::from_secs(30);

/// Runs until the gateway stops, if there is a provider.
pub(crate) async fn run(hub: Shared) {
    let Some(recheck) = hub.oidc.recheck() else { return };
    let mut tick = tokio::time::interval((recheck / 10).clamp(Duration::from_millis(100), RETRY));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = hub.stopping.cancelled() => return,
            _ = tick.tick() => super::report("reread", due(&hub).await),
        }
    }
}

async fn due(hub: &Shared) -> Result<(), StoreError> {
    let at = now();
    let claimed = hub.store.claim_provider_tokens(at, at.after(CLAIM), BATCH).await?;
    let looking = claimed.into_iter().map(|token| async move {
        if let Err(problem) = look(hub, &token).await {
            tracing::warn!(code = problem.code(), user.id = %token.user, "somebody could not be asked about");
        }
    });
    futures::stream::iter(looking).buffer_unordered(AT_ONCE).collect::<()>().await;
    Ok(())
}

/// Somebody refreshes their tokens: what they are is asked first, unless that was done a moment ago.
pub(crate) async fn before_refresh(hub: &Shared, user: UserId) -> Result<(), Problematic> {
    let at = now();
    let not_since = at.before(RECENT);
    match hub.store.claim_provider_token(user, not_since, at, at.after(CLAIM)).await? {
        Some(token) => look(hub, &token).await,
        None => Ok(()),
    }
}

async fn look(hub: &Shared, token: &ProviderToken) -> Result<(), Problematic> {
    let Some(user) = hub.store.user(token.user).await? else { return Ok(()) };
    match ask(hub, token, &user).await {
        Ok(identity) => {
            keep(hub, token, identity.refresh_token.as_ref()).await?;
            follow(hub, user, identity).await
        }
        Err(Answer::Ended) => {
            metrics::counter!("hoop_reread_total", "outcome" => "ended").increment(1);
            if hub.store.drop_provider_token(token).await? { end(hub, user).await } else { Ok(()) }
        }
        Err(Answer::Failed(problem)) => {
            metrics::counter!("hoop_reread_total", "outcome" => "failed").increment(1);
            let at = now();
            let retry = hub.oidc.recheck().map_or(RETRY, |recheck| recheck.min(RETRY));
            hub.store.release_provider_token(token, at.after(retry)).await?;
            tracing::warn!(code = problem.code(), "the identity provider cannot be asked about people");
            Ok(())
        }
    }
}

enum Answer {
    /// It does not stand by the sign-in any more.
    Ended,
    /// That says nothing about the person.
    Failed(Problematic),
}

impl From<Problematic> for Answer {
    fn from(problem: Problematic) -> Self {
        Self::Failed(problem)
    }
}

async fn ask(hub: &Hub, token: &ProviderToken, user: &User) -> Result<Identity, Answer> {
    let (provider, http, _) = hub.oidc.current(redirect_url(hub)).await?;
    let secret = hub.keys.open_flow("provider", &token.sealed).map_err(Problematic::internal)?;
    let UserSource::Oidc { subject, .. } = user.source.clone() else { return Err(Answer::Ended) };
    let asking = move |runtime: &Handle| runtime.block_on(provider.again(&secret, &subject, now(), &*http));
    aside(asking).await?.map_err(|error| match error {
        OidcError::Ended => Answer::Ended,
        other => {
            tracing::warn!(error = %other, "the identity provider's answer about somebody cannot be used");
            Answer::Failed(Fault::from(&other).into())
        }
    })
}

/// First of all: the one before may be void already.
async fn keep(hub: &Hub, token: &ProviderToken, next: Option<&Redacted<String>>) -> Result<(), Problematic> {
    let sealed = next.map(|next| hub.keys.seal_flow("provider", next.expose()));
    let sealed = sealed.transpose().map_err(Problematic::internal)?;
    let (at, recheck) = (now(), hub.oidc.recheck().unwrap_or(RETRY));
    Ok(hub.store.renew_provider_token(token, sealed.as_deref(), at, at.after(recheck)).await?)
}

/// What changed is written, and what it no longer allows ends. A new name waits for the next sign-in: it may belong to
/// somebody here, and that must not keep groups from being taken away.
async fn follow(hub: &Shared, user: User, identity: Identity) -> Result<(), Problematic> {
    let Some(settings) = hub.oidc.settings().cloned() else { return Ok(()) };
    let same = |groups: &[GroupName], role: Role| user.groups == groups && user.role == role;
    let count = |outcome| metrics::counter!("hoop_reread_total", "outcome" => outcome).increment(1);
    if same(&identity.groups, role(&identity, &settings).unwrap_or(user.role)) {
        count("same");
        return Ok(());
    }
    let after = account(hub, Identity { name: user.name.clone(), ..identity }, &settings).await?;
    if same(&after.groups, after.role) {
        // The provider provisions this person, and their claim is not asked.
        count("same");
        return Ok(());
    }
    count("changed");
    // It is written; now it is carried out, as often as it takes.
    if let Err(error) = jobs::sweep_sessions(hub).await {
        hub.sweep_again.notify_one();
        return Err(error.into());
    }
    Ok(())
}

async fn end(hub: &Shared, user: User) -> Result<(), Problematic> {
    let task = hub.clone();
    jobs::change(hub, async move {
        let facts = json!({ "name": user.name, "reason": "the identity provider ended the sign-in" });
        let told = event(&Actor::System, EventCode::TokenRevoked, [user.id.into()], facts);
        task.store.revoke_logins_of(user.id, now(), &[told]).await?;
        sessions::end_of_user(&task, user.id, &Actor::System, &Fault::from(&OidcError::Ended)).await?;
        Ok(())
    })
    .await
}

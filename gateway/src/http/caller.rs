//! Who calls: finds the sign-in of a request, by bearer token or cookie, and says whether it may come from there.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use hoop_api::{CSRF_HEADER, UNATTENDED_HEADER};
use hoop_identity::token::{Kind, Token};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, ClientAddress, Role, Timestamp, TokenScope};
use hoop_store::{SignedIn, TokenKind};
use serde_json::json;

use super::{problem::Problematic, tokens};
use crate::hub::{Shared, event, now};

/// The cookie: `__Host-` ties it to this very host, to TLS and to the root path (RFC 6265bis §4.1.3.2).
pub(crate) const COOKIE: &str = "__Host-hoop";

/// What a request was signed in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    /// `Authorization: Bearer`.
    Bearer,
    /// The browser's cookie.
    Cookie,
    /// A service account's token, in the same header: opens the endpoints of its scope.
    ApiToken(TokenScope),
}

/// A signed-in person, as they are at this moment.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) signed_in: SignedIn,
    pub(crate) actor: Actor,
    pub(crate) credential: Credential,
    pub(crate) csrf: Option<String>,
}

impl Caller {
    pub(crate) fn new(signed_in: SignedIn, credential: Credential, csrf: Option<String>) -> Self {
        let actor = actor(&signed_in);
        Self { signed_in, actor, credential, csrf }
    }

    pub(crate) fn role(&self) -> Role {
        self.signed_in.role()
    }

    /// May see everybody's sessions and the ledger. An API token only if it was made for that.
    pub(crate) fn sees_all(&self) -> bool {
        let made_for_it = match self.credential {
            Credential::ApiToken(scope) => scope == TokenScope::EvidenceRead,
            Credential::Bearer | Credential::Cookie => true,
        };
        made_for_it && matches!(self.role(), Role::Admin | Role::Auditor)
    }
}

/// The person or service account as the ledger writes them.
pub(crate) fn actor(signed_in: &SignedIn) -> Actor {
    if let Some((token, scope)) = signed_in.login.api_token() {
        return Actor::ServiceAccount {
            id: signed_in.user.id,
            name: signed_in.user.name.clone(),
            role: signed_in.role(),
            token,
            scope,
        };
    }
    Actor::User {
        id: signed_in.user.id,
        name: signed_in.user.name.clone(),
        login: signed_in.login.id,
        role: signed_in.role(),
        groups: signed_in.user.groups.clone(),
        method: signed_in.login.method,
        mfa_at: signed_in.login.mfa.map(|mfa| mfa.at),
        mfa_by: signed_in.login.mfa.map(|mfa| mfa.by),
    }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Finds the caller; `None` when there is no credential or a bad one. A credential that must not be used so (another
/// origin, a missing CSRF token) is an error.
pub(crate) async fn find(hub: &Shared, parts: &Parts) -> Result<Option<Caller>, Problematic> {
    let (at, headers) = (now(), &parts.headers);
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        // A wrong token is not made good by a cookie.
        let text = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        if let Ok(token) = Token::parse(Kind::Api, text) {
            return by_api_token(hub, parts, &token, at).await;
        }
        let Ok(token) = Token::parse(Kind::Access, text) else { return Ok(None) };
        let found = hub.store.login_by_token(TokenKind::Access, &token.hash(), at).await?;
        return Ok(found.map(|signed_in| Caller::new(signed_in, Credential::Bearer, None)));
    }
    let Some(value) = cookie(headers, COOKIE) else { return Ok(None) };
    let Ok(token) = Token::parse(Kind::Cookie, value) else { return Ok(None) };
    let found = hub.store.login_by_token(TokenKind::Cookie, &token.hash(), at).await?;
    let Some(signed_in) = found else { return Ok(None) };
    let csrf = tokens::csrf(value);
    check_origin(hub, parts)?;
    if !parts.method.is_safe() {
        let given = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !tokens::same(given, &csrf) {
            metrics::counter!("hoop_http_refused_total", "reason" => "csrf").increment(1);
            return Err(Problematic::forbidden("HOOP-3030", "the CSRF token is missing or wrong")
                .hint("reload the page"));
        }
    }
    if !headers.contains_key(UNATTENDED_HEADER) {
        touch(hub, &signed_in, at).await?;
    }
    Ok(Some(Caller::new(signed_in, Credential::Cookie, Some(csrf))))
}

/// How often the use of an API token is written down.
const TOKEN_USE: Duration = Duration::from_secs(60);

async fn by_api_token(
    hub: &Shared,
    parts: &Parts,
    token: &Token,
    at: Timestamp,
) -> Result<Option<Caller>, Problematic> {
    let From(address) = From::of(parts)?;
    if !hub.throttle.api_token(address) {
        metrics::counter!("hoop_logins_refused_total", "reason" => "throttled").increment(1);
        return Err(Problematic::too_many(60));
    }
    let found = hub.store.login_by_token(TokenKind::Api, &token.hash(), at).await?;
    let scope = found.as_ref().and_then(|signed_in| signed_in.login.scope);
    let (Some(signed_in), Some(scope)) = (found, scope) else {
        hub.throttle.wrong_api_token(address);
        metrics::counter!("hoop_logins_refused_total", "reason" => "api token").increment(1);
        let facts = json!({ "address": address.to_string(), "flow": "api token" });
        hub.store.append(&[event(&Actor::Anonymous, EventCode::LoginFailed, [], facts)]).await?;
        return Ok(None);
    };
    let login = &signed_in.login;
    // Its first use is noted at once: whoever made it wants to see that it works.
    if login.used_at == login.created_at || at.since(login.used_at) >= TOKEN_USE {
        hub.store.touch_login(login.id, at, login.idle_until).await?;
    }
    Ok(Some(Caller::new(signed_in, Credential::ApiToken(scope), None)))
}

/// A browser says where a request comes from; another place may not use the cookie, not even to read.
pub(crate) fn check_origin(hub: &Shared, parts: &Parts) -> Result<(), Problematic> {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let own = match text("origin") {
        None => true,
        Some(origin) => {
            // HTTP/2 has the host in the target, HTTP/1.1 in a header.
            let host = parts.uri.authority().map(axum::http::uri::Authority::as_str).or_else(|| text("host"));
            origin == hub.origin() || host.is_some_and(|host| origin == format!("https://{host}"))
        }
    };
    let cross_site = text("sec-fetch-site").is_some_and(|site| matches!(site, "cross-site" | "same-site"));
    if own && !cross_site {
        return Ok(());
    }
    metrics::counter!("hoop_http_refused_total", "reason" => "origin").increment(1);
    Err(Problematic::forbidden("HOOP-3031", "this request comes from another site"))
}

/// Notes the use of a browser's sign-in, not at every request.
async fn touch(hub: &Shared, signed_in: &SignedIn, at: Timestamp) -> Result<(), Problematic> {
    let idle = hub.config.tokens.cookie_idle;
    if at.since(signed_in.login.used_at) < idle / 30 {
        return Ok(());
    }
    Ok(hub.store.touch_login(signed_in.login.id, at, at.after(idle)).await?)
}

/// Somebody is signed in. The route's row in the table decided that they may call it.
#[derive(Debug, Clone)]
pub(crate) struct SignedInCaller(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for SignedInCaller {
    type Rejection = Problematic;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problematic> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(Problematic::unauthenticated)
    }
}

/// An admin.
#[derive(Debug, Clone)]
pub(crate) struct Admin(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problematic;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problematic> {
        let SignedInCaller(caller) = SignedInCaller::from_request_parts(parts, state).await?;
        match caller.role() {
            Role::Admin => Ok(Self(caller)),
            Role::User | Role::Approver | Role::Auditor => Err(wrong_role("an admin")),
        }
    }
}

/// An admin or an auditor: may read evidence.
#[derive(Debug, Clone)]
pub(crate) struct Evidence(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for Evidence {
    type Rejection = Problematic;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problematic> {
        let SignedInCaller(caller) = SignedInCaller::from_request_parts(parts, state).await?;
        if caller.sees_all() { Ok(Self(caller)) } else { Err(wrong_role("an admin or auditor")) }
    }
}

pub(crate) fn wrong_role(who: &str) -> Problematic {
    Problematic::forbidden("HOOP-3003", format!("only {who} may do this"))
}

/// From where, as our socket saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From(pub(crate) IpAddr);

impl From {
    fn of(parts: &Parts) -> Result<Self, Problematic> {
        let address = parts.extensions.get::<ClientAddress>();
        address
            .map(|address| Self(address.0))
            .ok_or_else(|| Problematic::internal("a request without an address"))
    }
}

impl<S: Sync> FromRequestParts<S> for From {
    type Rejection = Problematic;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problematic> {
        Self::of(parts)
    }
}

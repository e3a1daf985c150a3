//! Sign-in with a built-in account, and what every sign-in has in common.

use std::net::IpAddr;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hoop_api::auth::{Answer as Wanted, PasswordLogin, Tokens, WhoAmI};
use hoop_identity::{
    lockout,
    password::{self, PasswordHash},
    token::{Kind, Token},
};
use hoop_ledger::event::EventCode;
use hoop_model::{
    Actor, AuthMethod, FactorKind, LoginId, Mfa, Redacted, Timestamp, TokenId, UserId, UserName,
};
use hoop_store::{
    ClientKind, Factor, NewEvent, NewLogin, NewToken, Proof, SignedIn, TokenKind, User, UserSource,
};
use serde_json::json;

use super::{
    body::Json,
    caller::{self, COOKIE, Caller, Credential, From, SignedInCaller},
    problem::{Answer, Problematic},
    sealed_codes, step_up, tokens,
};
use crate::{
    hub::{Hub, Shared, event, now},
    jobs::reread,
    notices::{Notice, Topic},
};

/// A sign-in that was proven, and is to be kept.
pub(super) struct Proven {
    pub(super) user: User,
    pub(super) method: AuthMethod,
    pub(super) mfa: Option<Mfa>,
    pub(super) proof: Proof,
    pub(super) address: IpAddr,
    /// How it was done, for the ledger.
    pub(super) flow: &'static str,
    /// What else the ledger is told.
    pub(super) told: Option<NewEvent>,
}

/// Keeps a sign-in and answers as wanted.
pub(super) async fn keep(hub: &Hub, proven: &Proven, wanted: Wanted) -> Answer<Response> {
    let at = now();
    let lives = hub.config.tokens;
    let (client, idle) = match wanted {
        Wanted::Cookie => (ClientKind::Browser, lives.cookie_idle),
        Wanted::Tokens => (ClientKind::Cli, lives.idle),
    };
    let longest = match proven.method {
        AuthMethod::SealedCodes => lives.absolute.min(sealed_codes::SIGN_IN),
        _ => lives.absolute,
    };
    let login = NewLogin {
        id: LoginId::generate(),
        user: proven.user.id,
        method: proven.method,
        mfa: proven.mfa,
        created_at: at,
        expires_at: at.after(longest),
        idle_until: at.after(idle.min(longest)),
        address: proven.address.to_string(),
        client,
    };
    let secrets = Secrets::fresh(hub, wanted, at, login.expires_at)?;
    let actor = Actor::User {
        id: proven.user.id,
        name: proven.user.name.clone(),
        login: login.id,
        role: proven.user.role,
        groups: proven.user.groups.clone(),
        method: proven.method,
        mfa_at: proven.mfa.map(|mfa| mfa.at),
        mfa_by: proven.mfa.map(|mfa| mfa.by),
    };
    let facts = json!({ "address": login.address, "client": client_name(client), "flow": proven.flow });
    let subjects = [proven.user.id.into(), login.id.into()];
    let by_passkey = match &proven.proof {
        Proof::Passkey(usage) => Some(usage.id.into()),
        _ => None,
    };
    let all = subjects.into_iter().chain(by_passkey);
    let mut told = vec![event(&actor, EventCode::LoginSucceeded, all, facts)];
    if matches!(proven.proof, Proof::Factors { factor: Factor::RecoveryCode(_), .. }) {
        told.push(event(&actor, EventCode::RecoveryCodeUsed, subjects, json!({ "address": login.address })));
    }
    told.extend(proven.told.clone());
    let signed_in = hub.store.create_login(&login, &secrets.kept, &proven.proof, &told).await?;
    metrics::counter!("hoop_logins_total", "flow" => proven.flow).increment(1);
    secrets.answer(hub, signed_in)
}

/// Tokens in clear, to be answered, and what the store keeps of them.
pub(super) struct Secrets {
    wanted: Wanted,
    first: Token,
    refresh: Option<Token>,
    pub(super) kept: Vec<NewToken>,
}

impl Secrets {
    pub(super) fn fresh(hub: &Hub, wanted: Wanted, at: Timestamp, ends: Timestamp) -> Answer<Self> {
        let lives = hub.config.tokens;
        let token = |kind, token: &Token, expires_at: Timestamp| NewToken {
            id: TokenId::generate(),
            kind,
            hash: token.hash(),
            expires_at: expires_at.min(ends),
        };
        match wanted {
            Wanted::Cookie => {
                let cookie = tokens::fresh(Kind::Cookie)?;
                let kept = vec![token(TokenKind::Cookie, &cookie, ends)];
                Ok(Self { wanted, first: cookie, refresh: None, kept })
            }
            Wanted::Tokens => {
                let (access, refresh) = (tokens::fresh(Kind::Access)?, tokens::fresh(Kind::Refresh)?);
                let kept = vec![
                    token(TokenKind::Access, &access, at.after(lives.access)),
                    token(TokenKind::Refresh, &refresh, at.after(lives.idle)),
                ];
                Ok(Self { wanted, first: access, refresh: Some(refresh), kept })
            }
        }
    }

    pub(super) fn answer(self, hub: &Hub, signed_in: SignedIn) -> Answer<Response> {
        let secret = self.first.secret().expose();
        match (self.wanted, self.refresh) {
            (Wanted::Tokens, Some(refresh)) => {
                let caller = Caller::new(signed_in, Credential::Bearer, None);
                Ok(Json(Tokens {
                    access_token: secret.clone(),
                    expires_in: hub.config.tokens.access.as_secs(),
                    refresh_token: refresh.secret().expose().clone(),
                    user: who_am_i(&caller),
                })
                .into_response())
            }
            _ => {
                let caller = Caller::new(signed_in, Credential::Cookie, Some(tokens::csrf(secret)));
                let mut response = Json(who_am_i(&caller)).into_response();
                let cookie = format!("{COOKIE}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict");
                let cookie = HeaderValue::from_str(&cookie).map_err(Problematic::internal)?;
                response.headers_mut().append(header::SET_COOKIE, cookie);
                Ok(response)
            }
        }
    }
}

pub(super) const fn client_name(client: ClientKind) -> &'static str {
    match client {
        ClientKind::Browser => "browser",
        ClientKind::Cli => "cli",
        ClientKind::Service => "service",
    }
}

pub(super) fn who_am_i(caller: &Caller) -> WhoAmI {
    let SignedIn { login, user } = &caller.signed_in;
    WhoAmI {
        id: user.id,
        name: user.name.clone(),
        role: caller.role(),
        groups: user.groups.iter().map(ToString::to_string).collect(),
        method: login.method,
        login: login.id,
        mfa_at: login.mfa.map(|mfa| mfa.at),
        mfa_by: login.mfa.map(|mfa| mfa.by),
        expires_at: login.expires_at,
        csrf: caller.csrf.clone(),
    }
}

pub(super) async fn whoami(SignedInCaller(caller): SignedInCaller) -> Json<WhoAmI> {
    Json(who_am_i(&caller))
}

/// Another site must not sign its own account in here (login CSRF).
pub(super) fn from_this_site(headers: &HeaderMap) -> Answer<()> {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return Err(Problematic::forbidden("HOOP-3031", "this request comes from another site"));
    }
    Ok(())
}

/// `POST /login/password`.
pub(super) async fn password(
    State(hub): State<Shared>,
    From(address): From,
    headers: HeaderMap,
    Json(request): Json<PasswordLogin>,
) -> Answer<Response> {
    if !hub.config.password_login {
        return Err(Problematic::forbidden("HOOP-3007", "sign-in with a password is off here")
            .hint("use single sign-on"));
    }
    if request.answer == Wanted::Cookie {
        from_this_site(&headers)?;
    }
    if !hub.throttle.address(address) || !hub.throttle.name(&request.name.folded()) {
        metrics::counter!("hoop_logins_refused_total", "reason" => "throttled").increment(1);
        return Err(Problematic::too_many(60));
    }
    let user = hub.store.user_by_name(&request.name).await?;
    match check(&hub, user, &request).await? {
        Ok((user, factor)) => {
            let at = now();
            let name = user.name.clone();
            let (flow, by) = match factor {
                Factor::RecoveryCode(_) => ("recovery code", FactorKind::RecoveryCode),
                _ => ("password", FactorKind::Totp),
            };
            let proven = Proven {
                flow,
                proof: Proof::of(&user, factor),
                user,
                method: AuthMethod::PasswordTotp,
                mfa: Some(Mfa { at, by }),
                address,
                told: None,
            };
            match keep_once(&hub, &proven, request.answer).await? {
                Some(response) => Ok(response),
                None => fail(&hub, Some(&proven.user), &name, address, "code used before").await,
            }
        }
        Err((user, reason)) => fail(&hub, user.as_ref(), &request.name, address, reason).await,
    }
}

/// `None`: the code was used before, or the account was locked or reset meanwhile.
async fn keep_once(hub: &Hub, proven: &Proven, wanted: Wanted) -> Answer<Option<Response>> {
    // `keep` turns a conflict into a problem; here it is a failed sign-in like any other.
    match keep(hub, proven, wanted).await {
        Ok(response) => Ok(Some(response)),
        Err(problem) if problem.is_conflict() => Ok(None),
        Err(problem) => Err(problem),
    }
}

type Failure = (Option<User>, &'static str);

/// Password and code. Takes as long for somebody who is not there as for somebody who is.
async fn check(
    hub: &Shared,
    user: Option<User>,
    request: &PasswordLogin,
) -> Answer<Result<(User, Factor), Failure>> {
    let stored = user.as_ref().and_then(|user| user.password_hash.clone()).map(PasswordHash::from_stored);
    let right = verify(hub, request.password.clone(), stored).await?;
    let Some(user) = user else { return Ok(Err((None, "unknown name"))) };
    if user.source != UserSource::Builtin || !user.is_active() {
        return Ok(Err((Some(user), "not an active built-in account")));
    }
    let at = now();
    if user.locked || user.locked_until.is_some_and(|until| until > at) {
        return Ok(Err((Some(user), "locked")));
    }
    match (right, step_up::factor(hub, &user, &request.code, at).await?) {
        (true, Some(factor)) => Ok(Ok((user, factor))),
        (false, _) => Ok(Err((Some(user), "wrong password"))),
        (true, None) => Ok(Err((Some(user), "wrong code"))),
    }
}

async fn verify(hub: &Shared, password: Redacted<String>, stored: Option<PasswordHash>) -> Answer<bool> {
    let _one_of_few = hub.hashing.acquire().await.map_err(Problematic::internal)?;
    tokio::task::spawn_blocking(move || password::verify(&password, stored.as_ref()))
        .await
        .map_err(Problematic::internal)
}

async fn fail(
    hub: &Hub,
    user: Option<&User>,
    name: &UserName,
    address: IpAddr,
    reason: &'static str,
) -> Answer<Response> {
    metrics::counter!("hoop_logins_refused_total", "reason" => reason).increment(1);
    let facts = json!({ "name": name, "address": address.to_string(), "reason": reason });
    let guessed = matches!(reason, "wrong password" | "wrong code" | "code used before");
    failed(hub, user, facts, guessed, Vec::new()).await?;
    Err(Problematic::wrong_credentials())
}

/// The ledger is told of a sign-in that failed, and of what else came with it. `guessed`: it counts towards the lock of
/// the account.
pub(super) async fn failed(
    hub: &Hub,
    user: Option<&User>,
    facts: serde_json::Value,
    guessed: bool,
    also: Vec<NewEvent>,
) -> Answer<()> {
    let subject = user.map(|user| user.id.into());
    let mut told = vec![event(&Actor::Anonymous, EventCode::LoginFailed, subject, facts.clone())];
    told.extend(also);
    match user.filter(|_| guessed) {
        Some(user) => {
            let locked = locked_out(hub, user, facts);
            hub.store.record_failed_attempt(user.id, now(), lockout::lock_for, &told, &[locked]).await?;
        }
        None => {
            hub.store.append(&told).await?;
        }
    }
    Ok(())
}

/// The event of an account that is locked for a while, with the notice of it.
pub(super) fn locked_out(hub: &Hub, user: &User, facts: serde_json::Value) -> NewEvent {
    let title =
        format!("Too many wrong passwords or codes for {}: the account is locked for a while", user.name);
    let mut notice = Notice::new(Topic::LoginLockedOut, now(), title);
    if let Some(address) = facts["address"].as_str() {
        notice = notice.fact("address", address);
    }
    hub.notices.tell(event(&Actor::System, EventCode::LoginLockedOut, [user.id.into()], facts), &notice)
}

/// `POST /logout`.
pub(super) async fn logout(
    State(hub): State<Shared>,
    SignedInCaller(caller): SignedInCaller,
) -> Answer<Response> {
    end(&hub, &caller, caller.signed_in.user.id, caller.signed_in.login.id).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    response
        .headers_mut()
        .append(header::SET_COOKIE, HeaderValue::from_str(&gone).map_err(Problematic::internal)?);
    Ok(response)
}

/// Ends a sign-in of the caller's own.
pub(super) async fn end(hub: &Hub, caller: &Caller, user: UserId, login: LoginId) -> Answer<()> {
    let told = event(&caller.actor, EventCode::LoginEnded, [user.into(), login.into()], json!({}));
    hub.store.revoke_login(login, Some(user), now(), &[told]).await?;
    Ok(())
}

/// Uses a refresh token up for a new pair (RFC 6749 §6, rotated as RFC 9700 §4.14.2 asks).
pub(super) async fn refresh(hub: &Shared, address: IpAddr, token: &Redacted<String>) -> Answer<Response> {
    let token = Token::parse(Kind::Refresh, token.expose()).map_err(|_| Problematic::unauthenticated())?;
    if let Some(known) = hub.store.login_by_token(TokenKind::Refresh, &token.hash(), now()).await? {
        reread::before_refresh(hub, known.user.id).await?;
    }
    let at = now();
    let lives = hub.config.tokens;
    let secrets = Secrets::fresh(hub, Wanted::Tokens, at, at.after(lives.absolute))?;
    let events = |outcome: &hoop_store::Rotation| {
        let (signed_in, code) = match outcome {
            hoop_store::Rotation::Rotated(signed_in) => (signed_in, EventCode::TokenRefreshed),
            hoop_store::Rotation::Reused(signed_in) => (signed_in, EventCode::TokenRevoked),
            hoop_store::Rotation::Refused => return Vec::new(),
        };
        let subjects = [signed_in.user.id.into(), signed_in.login.id.into()];
        let reused = code == EventCode::TokenRevoked;
        let facts = json!({ "address": address.to_string(), "reused": reused });
        vec![event(&caller::actor(signed_in), code, subjects, facts)]
    };
    let rotation =
        hub.store.rotate_refresh(&token.hash(), &secrets.kept, at, at.after(lives.idle), events).await?;
    match rotation {
        hoop_store::Rotation::Rotated(signed_in) => secrets.answer(hub, *signed_in),
        hoop_store::Rotation::Reused(signed_in) => {
            tracing::warn!(user.id = %signed_in.user.id, login.id = %signed_in.login.id, "a refresh token was used twice: sign-in ended");
            metrics::counter!("hoop_logins_refused_total", "reason" => "refresh token used twice")
                .increment(1);
            Err(Problematic::unauthenticated())
        }
        hoop_store::Rotation::Refused => Err(Problematic::unauthenticated()),
    }
}

impl Problematic {
    /// Somebody was faster, or it is not as it was.
    pub(super) fn is_conflict(&self) -> bool {
        self.status() == StatusCode::CONFLICT
    }
}

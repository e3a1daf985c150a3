//! A ceremony: a challenge that we make, and an answer that is held against it. In between its state is in the store,
//! under the hash of a secret that only who began it has; it is taken out once, whatever comes of it.

use std::time::Duration;

use hoop_api::passkeys::PasskeyCeremony;
use hoop_identity::{
    passkey::{Assertion, Begun, PasskeyError, RelyingParty},
    token::{Kind, Token},
};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, Blame, Fault, LoginId, Redacted, UserId};
use hoop_store::{FlowKind, NewEvent, NewFlow, Passkey, PasskeyUse, User};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    http::{
        body::Json,
        problem::{Answer, Problematic},
        tokens,
    },
    hub::{Hub, event, now},
    notices::{Notice, Topic},
};

/// As long as browsers wait for people (WebAuthn §15.1 recommends 5 to 10 minutes).
const LIFE: Duration = Duration::from_secs(300);

/// The gateway as passkeys know it.
pub(super) fn relying_party(hub: &Hub) -> Answer<RelyingParty> {
    RelyingParty::at(&hub.origin()).map_err(|error| {
        Problematic::forbidden("HOOP-3070", format!("there are no passkeys at this gateway: {error}")).hint(
            "use the six-digit code; an admin can set `public_host` to a name that people open the console by",
        )
    })
}

/// What is kept of a ceremony.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    /// The sign-in that began it, and alone may end it; none for one that is to become a sign-in.
    login: Option<LoginId>,
    state: Value,
}

/// Keeps the state of a ceremony and answers with the rest.
pub(super) async fn begin(
    hub: &Hub,
    kind: FlowKind,
    login: Option<LoginId>,
    begun: Begun,
) -> Answer<Json<PasskeyCeremony>> {
    let secret = tokens::fresh(Kind::Ceremony)?;
    let at = now();
    let flow = NewFlow {
        kind,
        key: secret.hash(),
        user_code: None,
        payload: serde_json::to_value(Remembered { login, state: begun.state })
            .map_err(Problematic::internal)?,
        created_at: at,
        expires_at: at.after(LIFE),
    };
    hub.store.begin_flow(&flow).await?;
    Ok(Json(PasskeyCeremony { ceremony: secret.secret().expose().clone(), options: begun.options }))
}

/// The state of a ceremony that this very sign-in (or nobody yet) began, once.
pub(super) async fn take(
    hub: &Hub,
    kind: FlowKind,
    secret: &Redacted<String>,
    login: Option<LoginId>,
) -> Answer<Value> {
    let void = || {
        let fault = Fault::new("HOOP-3023", Blame::Caller, "this is void: it was used, or took too long");
        Problematic::from(fault).hint("begin again")
    };
    let secret = Token::parse(Kind::Ceremony, secret.expose()).map_err(|_| void())?;
    let taken = hub.store.take_flow(kind, &secret.hash(), now()).await?.ok_or_else(void)?;
    let remembered: Remembered = serde_json::from_value(taken).map_err(Problematic::internal)?;
    if remembered.login == login { Ok(remembered.state) } else { Err(void()) }
}

/// An answer that is right.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) passkey: Passkey,
    pub(super) usage: PasskeyUse,
}

/// One that is not.
#[derive(Debug)]
pub(super) struct Refused {
    /// For the ledger.
    pub(super) reason: &'static str,
    /// The passkey that it names, if there is one.
    pub(super) passkey: Option<Passkey>,
    /// There may be a copy of that.
    pub(super) copied: bool,
}

impl Refused {
    pub(super) const fn because(reason: &'static str) -> Self {
        Self { reason, passkey: None, copied: false }
    }

    /// The answer was right, and something else was not.
    pub(super) const fn all_the_same(passkey: Passkey, reason: &'static str) -> Self {
        Self { reason, passkey: Some(passkey), copied: false }
    }
}

/// Holds an answer against its challenge and the key that it names. `asked` is whose key was asked for; when nobody's in
/// particular was, the answer must say itself whose it is.
pub(super) async fn hold(
    hub: &Hub,
    state: Value,
    answer: Value,
    asked: Option<UserId>,
) -> Answer<Result<Held, Refused>> {
    let party = relying_party(hub)?;
    let read = Assertion::parse(answer).and_then(|answer| Ok((answer.user()?.or(asked), answer)));
    let (owner, answer) = match read {
        Ok((Some(owner), answer)) => (owner, answer),
        Ok((None, _)) => return Ok(Err(Refused::because("it does not say whose it is"))),
        Err(PasskeyError::Refused(reason)) => return Ok(Err(Refused::because(reason))),
        Err(error) => return Err(Problematic::internal(error)),
    };
    let Some(passkey) = hub.store.passkey_by_credential(answer.credential_id()).await? else {
        return Ok(Err(Refused::because("unknown passkey")));
    };
    if passkey.user != owner || asked.is_some_and(|asked| asked != owner) {
        return Ok(Err(Refused::because("another person's passkey")));
    }
    let (reason, copied) = match party.finish_assertion(state, &answer, passkey.credential.clone()) {
        Ok(kept) => {
            let usage = PasskeyUse { id: passkey.id, credential: kept.credential, counter: kept.counter };
            return Ok(Ok(Held { passkey, usage }));
        }
        Err(PasskeyError::Refused(reason)) => (reason, false),
        Err(PasskeyError::Copied) => ("its counter went back", true),
        Err(error) => return Err(Problematic::internal(error)),
    };
    Ok(Err(Refused { reason, passkey: Some(passkey), copied }))
}

/// There may be a copy of a passkey: the ledger and people are told.
pub(super) fn alarm(
    hub: &Hub,
    actor: &Actor,
    owner: &User,
    refused: &Refused,
    address: &str,
) -> Vec<NewEvent> {
    let Some(passkey) = refused.passkey.as_ref().filter(|_| refused.copied) else { return Vec::new() };
    metrics::counter!("hoop_passkeys_copied_total").increment(1);
    tracing::warn!(user.id = %owner.id, passkey.id = %passkey.id, "a passkey's counter went back: there may be a copy");
    let facts = json!({ "name": passkey.name, "owner": owner.name, "address": address });
    let told = event(actor, EventCode::PasskeyCopied, [owner.id.into(), passkey.id.into()], facts);
    let title = format!("There may be a copy of a passkey of {}", owner.name);
    let notice = Notice::new(Topic::PasskeyCopied, now(), title)
        .text("Its counter went back, and it was refused. Its owner should remove it and register another.")
        .fact("passkey", &passkey.name)
        .fact("address", address);
    vec![hub.notices.tell(told, &notice)]
}

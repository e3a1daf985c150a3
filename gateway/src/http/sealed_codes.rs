//! Sealed codes: a way in while the identity provider is away. Printed beforehand, one for each of several holders; some
//! of them together sign somebody in, for an hour, to break the glass and for nothing else.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    extract::{Path, State},
    http::{Method, StatusCode},
    response::Response,
};
use hoop_api::{
    Page,
    auth::{Answer as Wanted, SealedCodesLogin, Tokens},
    sealed_codes::{CodeSetMade, CodeSetView, CodeView, HolderCode, NewCodeSet},
};
use hoop_identity::recovery::RecoveryCode;
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, AuthMethod, Blame, CodeSetId, FactorKind, Fault, Mfa, Redacted, Role};
use hoop_store::{CodeSet, Proof, SealedCode, Sha256, User};
use serde_json::json;

use super::{
    body::Json,
    caller::{Admin, Evidence, From},
    login::{self, Proven},
    problem::{Answer, Problematic},
    table::{Endpoint, Who},
};
use crate::{
    hub::{Hub, Shared, event, now},
    notices::{Notice, Topic},
};

/// A sign-in by sealed codes ends after this, whatever happens.
pub(super) const SIGN_IN: Duration = Duration::from_secs(3600);
/// Of one person alone it would be no more than a password.
const LEAST_HOLDERS: u32 = 2;
const MOST_HOLDERS: usize = 20;
const LONGEST_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    const ALL: &str = "/sealed-codes";
    vec![
        Endpoint::get(ALL, Who::Evidence, "Sets of sealed codes, without the codes.", list)
            .answers_page::<CodeSetView>(),
        Endpoint::post(ALL, Who::Admin, "Makes a set: its codes are shown once.", make)
            .takes::<NewCodeSet>()
            .answers::<CodeSetMade>()
            .fresh(),
        Endpoint::new(Method::DELETE, "/sealed-codes/{id}", Who::Admin, "Makes a set void.", revoke)
            .answers_nothing()
            .fresh(),
        Endpoint::post("/login/sealed-codes", Who::Anyone, "Signs in for an emergency.", sign_in)
            .takes::<SealedCodesLogin>()
            .answers::<Tokens>(),
    ]
}

/// `GET /sealed-codes`.
async fn list(State(hub): State<Shared>, _: Evidence) -> Answer<Json<Page<CodeSetView>>> {
    let sets = hub.store.code_sets().await?;
    Ok(Json(Page { items: sets.into_iter().map(view).collect(), next: None }))
}

fn view(set: CodeSet) -> CodeSetView {
    let unused = set.codes.iter().filter(|code| code.used_at.is_none()).count();
    CodeSetView {
        good: set.revoked_at.is_none()
            && set.expires_at > now()
            && u32::try_from(unused).is_ok_and(|unused| unused >= set.needed),
        id: set.id,
        needed: set.needed,
        made_by: set.made_by,
        made_at: set.made_at,
        expires_at: set.expires_at,
        revoked_at: set.revoked_at,
        codes: set
            .codes
            .into_iter()
            .map(|code| CodeView { holder: code.holder, used_at: code.used_at, used_by: code.used_by })
            .collect(),
    }
}

/// `POST /sealed-codes`.
async fn make(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Json(request): Json<NewCodeSet>,
) -> Answer<Json<CodeSetMade>> {
    let mut different = BTreeSet::new();
    for holder in request.holders.iter().take(MOST_HOLDERS) {
        // Two accounts of one person are one holder. Who has none here is known by their name alone.
        let account = hub.store.user_by_name(holder).await?;
        different.insert(account.map_or_else(|| Err(holder.folded()), |account| Ok(account.person)));
    }
    let count = u32::try_from(request.holders.len()).unwrap_or(u32::MAX);
    let right = different.len() == request.holders.len()
        && request.holders.len() <= MOST_HOLDERS
        && (LEAST_HOLDERS..=count).contains(&request.needed);
    if !right {
        let what = format!(
            "sealed codes are for {LEAST_HOLDERS} to {MOST_HOLDERS} different holders, of whom at least {LEAST_HOLDERS} are needed"
        );
        return Err(Fault::new("HOOP-3062", Blame::Caller, what).into());
    }
    let life = Duration::from_secs(request.valid_for_seconds);
    if life.is_zero() || life > LONGEST_LIFE {
        let most = LONGEST_LIFE.as_secs();
        return Err(Problematic::bad_request(format!("valid_for_seconds must be 1 to {most}")));
    }
    let codes = request.holders.iter().map(|holder| Ok((holder.clone(), RecoveryCode::generate()?)));
    let codes = codes.collect::<Result<Vec<_>, hoop_identity::NoRandomness>>();
    let codes = codes.map_err(Problematic::internal)?;
    let at = now();
    let new = hoop_store::NewCodeSet {
        id: CodeSetId::generate(),
        needed: request.needed,
        made_by: caller.signed_in.user.name.clone(),
        made_at: at,
        expires_at: at.after(life),
        codes: codes.iter().map(|(holder, code)| (holder.clone(), code.hash())).collect(),
    };
    let facts = json!({
        "set": new.id, "holders": request.holders, "needed": new.needed, "expires_at": new.expires_at,
    });
    let told = event(&caller.actor, EventCode::SealedCodesMade, [], facts);
    hub.store.create_code_set(&new, &[told]).await?;
    Ok(Json(CodeSetMade {
        id: new.id,
        needed: new.needed,
        expires_at: new.expires_at,
        codes: codes.into_iter().map(|(holder, code)| HolderCode { holder, code: code.shown() }).collect(),
    }))
}

/// `DELETE /sealed-codes/{id}`.
async fn revoke(
    State(hub): State<Shared>,
    Admin(caller): Admin,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let id: CodeSetId = id.parse().map_err(|_| Problematic::not_found("set of sealed codes"))?;
    let told = event(&caller.actor, EventCode::SealedCodesRevoked, [], json!({ "set": id }));
    hub.store.revoke_code_set(id, now(), &[told]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /login/sealed-codes`. One answer for everything that is wrong; the ledger has the reason.
async fn sign_in(
    State(hub): State<Shared>,
    From(address): From,
    Json(request): Json<SealedCodesLogin>,
) -> Answer<Response> {
    if !hub.throttle.address(address) || !hub.throttle.name(&request.name.folded()) {
        metrics::counter!("hoop_logins_refused_total", "reason" => "throttled").increment(1);
        return Err(Problematic::too_many(60));
    }
    let refused = async |reason: &'static str| -> Answer<Response> {
        metrics::counter!("hoop_logins_refused_total", "reason" => "sealed codes").increment(1);
        let facts = json!({
            "name": request.name, "address": address.to_string(), "flow": "sealed codes", "reason": reason,
        });
        hub.store.append(&[event(&Actor::Anonymous, EventCode::LoginFailed, [], facts)]).await?;
        Err(Problematic::forbidden("HOOP-3061", "the sealed codes were refused")
            .hint("ask further holders; the ledger says why"))
    };
    let (hashes, codes) = match read(&hub, &request.codes).await? {
        Ok(read) => read,
        Err(reason) => return refused(reason).await,
    };
    let Some(user) = hub.store.user_by_name(&request.name).await?.filter(User::is_active) else {
        return refused("unknown name").await;
    };
    if hub.config.separate_admins && user.role == Role::Admin {
        return refused("an account for administration alone").await;
    }
    let holders: Vec<_> = codes.iter().map(|code| &code.holder).collect();
    let set = codes.first().map(|code| code.set);
    let facts = json!({
        "name": user.name, "holders": holders, "set": set, "address": address.to_string(),
    });
    let told = event(&Actor::System, EventCode::SealedCodesUsed, [user.id.into()], facts);
    let names: Vec<_> = holders.iter().map(ToString::to_string).collect();
    let notice = Notice::new(
        Topic::SealedCodesUsed,
        now(),
        format!("{} signed in with sealed codes for an emergency", user.name),
    );
    let notice = notice.text(format!("codes of {}", names.join(", "))).fact("address", address.to_string());
    let told = hub.notices.tell(told, &notice);
    tracing::warn!(person = %user.name, "sealed codes were used");
    let proven = Proven {
        user,
        method: AuthMethod::SealedCodes,
        mfa: Some(Mfa { at: now(), by: FactorKind::SealedCodes }),
        proof: Proof::SealedCodes(hashes),
        address,
        flow: "sealed codes",
        told: Some(told),
    };
    match login::keep(&hub, &proven, Wanted::Tokens).await {
        Err(problem) if problem.is_conflict() => {
            refused("used, revoked, over, too few, or a locked account").await
        }
        other => other,
    }
}

/// Codes as they were typed: each known, none twice.
async fn read(
    hub: &Hub,
    typed: &[Redacted<String>],
) -> Answer<Result<(Vec<Sha256>, Vec<SealedCode>), &'static str>> {
    if typed.len() > MOST_HOLDERS {
        return Ok(Err("too many codes"));
    }
    let (mut hashes, mut codes) = (Vec::new(), Vec::new());
    for text in typed {
        let Ok(code) = RecoveryCode::parse(text.expose()) else { return Ok(Err("no code")) };
        let hash = code.hash();
        if hashes.contains(&hash) {
            return Ok(Err("one code twice"));
        }
        let Some(known) = hub.store.sealed_code(&hash).await? else { return Ok(Err("unknown code")) };
        hashes.push(hash);
        codes.push(known);
    }
    Ok(Ok((hashes, codes)))
}

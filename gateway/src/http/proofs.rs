//! Checkpoints, proofs against them, and who gets them.
//!
//! A proof reads some thousand hashes at most, whatever the size of the ledger: see [`hoop_ledger::plan`].

use axum::extract::{Query, State};
use hoop_api::{
    Page,
    audit::{CheckpointView, ConsistencyProof, InclusionProof, SinkView},
};
use hoop_ledger::{Hash, Plan, event::EventCode};
use hoop_model::{Blame, Fault, Timestamp};
use hoop_store::{Receiver, ReceiverKind, StoredCheckpoint};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::{Caller, Evidence},
    problem::{Answer, Problematic},
};
use crate::{
    checkpoints::cosigned,
    hub::{Hub, Shared, event},
    jobs,
};

/// Subtrees that a request may hash itself.
const AHEAD: u32 = 16;

/// Query of the checkpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    witnessed: Option<u32>,
}

pub(super) async fn checkpoint(
    State(hub): State<Shared>,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<CheckpointView>> {
    let checkpoint = match wanted.witnessed {
        Some(witnesses) => {
            // Anybody may ask: what cannot be is not looked for.
            let possible = usize::try_from(witnesses).is_ok_and(|count| count <= hub.config.witnesses.len());
            let found = if possible { hub.store.latest_witnessed(witnesses).await? } else { None };
            found.ok_or_else(|| Problematic::not_found("checkpoint with so many witnesses"))?
        }
        None => latest(&hub).await?,
    };
    Ok(Json(CheckpointView {
        note: note(&hub, &checkpoint).await?,
        verifier_key: jobs::checkpoint_key(&hub).map_err(Problematic::internal)?.to_string(),
    }))
}

/// The latest checkpoint; one is signed if there is none.
async fn latest(hub: &Shared) -> Answer<StoredCheckpoint> {
    if let Some(latest) = hub.store.latest_checkpoint().await? {
        return Ok(latest);
    }
    jobs::sign_checkpoint(hub).await?;
    hub.store
        .latest_checkpoint()
        .await?
        .ok_or_else(|| Problematic::internal("a checkpoint was signed and is gone"))
}

async fn note(hub: &Hub, checkpoint: &StoredCheckpoint) -> Answer<String> {
    Ok(cosigned(&hub.store, checkpoint).await.map_err(Problematic::internal)?.to_string())
}

/// The checkpoint of this size, or the latest.
async fn signed(hub: &Shared, size: Option<u64>) -> Answer<StoredCheckpoint> {
    match size {
        None => latest(hub).await,
        Some(size) => hub.store.checkpoint(size).await?.ok_or_else(|| {
            let fault =
                Fault::new("HOOP-7031", Blame::Caller, format!("no checkpoint was signed at {size} events"));
            fault.with_hint("name the size of a checkpoint that you kept, or none for the latest").into()
        }),
    }
}

async fn prove(
    hub: &Hub,
    plan: Result<Plan, hoop_ledger::tree::ProofError>,
    size: u64,
) -> Answer<Vec<String>> {
    let plan = plan.map_err(|_| {
        let fault = Fault::new(
            "HOOP-7032",
            Blame::Caller,
            format!("the checkpoint signs for {size} events, and not for that"),
        );
        fault.with_hint("wait some seconds for the next checkpoint, or name a larger one")
    })?;
    let mut proof = hub.store.proof(&plan).await?;
    if proof.is_none() {
        // A checkpoint of this moment may be ahead of the job by some subtrees.
        hub.store.keep_subtrees(AHEAD).await?;
        proof = hub.store.proof(&plan).await?;
    }
    let proof = proof.ok_or_else(|| {
        Fault::new("HOOP-7033", Blame::Network, "the ledger is being prepared for proofs")
            .with_hint("try again: after an update this takes a few minutes for a large ledger")
    })?;
    Ok(proof.iter().map(Hash::to_string).collect())
}

async fn read(hub: &Hub, caller: &Caller, facts: serde_json::Value) -> Answer<()> {
    let told = event(&caller.actor, EventCode::LedgerRead, [caller.signed_in.user.id.into()], facts);
    hub.store.append(&[told]).await?;
    Ok(())
}

/// Query of the proof of inclusion.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Included {
    seq: u64,
    size: Option<u64>,
}

pub(super) async fn inclusion(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Query(Included { seq, size }): Query<Included>,
) -> Answer<Json<InclusionProof>> {
    let checkpoint = signed(&hub, size).await?;
    let proof = prove(&hub, Plan::inclusion(seq, checkpoint.size), checkpoint.size).await?;
    // It carries the event: whoever asks has read it.
    read(&hub, &caller, json!({ "what": "inclusion", "seq": seq, "size": checkpoint.size })).await?;
    let leaf = String::from_utf8(hub.store.event(seq).await?.bytes).map_err(Problematic::internal)?;
    let (size, checkpoint) = (checkpoint.size, note(&hub, &checkpoint).await?);
    Ok(Json(InclusionProof { seq, leaf, size, proof, checkpoint }))
}

/// Query of the proof of consistency.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consistent {
    from: u64,
    to: Option<u64>,
}

pub(super) async fn consistency(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Query(Consistent { from, to }): Query<Consistent>,
) -> Answer<Json<ConsistencyProof>> {
    let newer = signed(&hub, to).await?;
    let proof = prove(&hub, Plan::consistency(from, newer.size), newer.size).await?;
    read(&hub, &caller, json!({ "what": "consistency", "from": from, "size": newer.size })).await?;
    let older = match hub.store.checkpoint(from).await? {
        Some(older) => Some(note(&hub, &older).await?),
        None => None,
    };
    Ok(Json(ConsistencyProof { from, to: newer.size, proof, older, checkpoint: note(&hub, &newer).await? }))
}

pub(super) async fn sinks(State(hub): State<Shared>, _: Evidence) -> Answer<Json<Page<SinkView>>> {
    let newest = hub.store.latest_checkpoint().await?.map_or(0, |checkpoint| checkpoint.size);
    let mut stands = hub.store.receivers().await?;
    let mut items = Vec::new();
    for receiver in hub.publishing.receivers() {
        let at = stands.iter().position(|known| known.kind == receiver.kind && known.name == receiver.name);
        let state = match at {
            Some(at) => stands.remove(at),
            None => Receiver::fresh(receiver.kind, receiver.name.clone()),
        };
        items.push(view(state, receiver.word, newest));
    }
    // One that nobody has in the configuration any more is not forgotten: that it is gone is worth knowing.
    items.extend(stands.into_iter().map(|state| view(state, "gone", newest)));
    Ok(Json(Page { items, next: None }))
}

fn view(state: Receiver, word: &str, newest: u64) -> SinkView {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let kind = match (word, state.kind) {
        ("gone", ReceiverKind::Witness) => "gone witness",
        _ => word,
    };
    SinkView {
        name: state.name.to_string(),
        kind: kind.to_owned(),
        size: state.size,
        behind: newest.saturating_sub(state.size),
        delivered_at: time(state.delivered_at),
        failing_since: time(state.failing_since),
        attempts: state.attempts,
        last_error: state.last_error,
    }
}

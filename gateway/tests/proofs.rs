//! Proofs over the API, checked with nothing of the gateway; receivers while the gateway runs.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{path::Path, time::Duration};

use common::{Tokens, World};
use hoop_gateway::config::{Config, Layers};
use hoop_ledger::{
    CheckpointKey, Hash, SignedCheckpoint, leaf_hash,
    tree::{verify_consistency, verify_inclusion},
};
use hoop_model::Role;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

async fn get(world: &World, admin: &Tokens, path: &str) -> (StatusCode, Value) {
    let answer = world.request(Method::GET, path).bearer_auth(&admin.access).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().parse().unwrap()).collect()
}

fn note(value: &Value, key: &CheckpointKey) -> (u64, Hash) {
    let note: SignedCheckpoint = value.as_str().unwrap().parse().unwrap();
    let signed = note.verify(key).unwrap();
    (signed.size, signed.root)
}

/// A world with an admin, and the ledger's key as it was written down.
async fn world(change: impl FnOnce(&mut Config)) -> (World, Tokens, CheckpointKey) {
    let world = World::with(|config| {
        config.checkpoint_interval = Duration::from_millis(50);
        change(config);
    })
    .await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let (_, told) = get(&world, &admin, "/audit/checkpoint").await;
    let key = told["verifier_key"].as_str().unwrap().parse().unwrap();
    (world, admin, key)
}

/// Waits until a checkpoint has so many events.
async fn signed_for(world: &World, size: u64) -> u64 {
    let waiting = async {
        loop {
            match world.running.store().latest_checkpoint().await.unwrap() {
                Some(latest) if latest.size >= size => return latest.size,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(SOON, waiting).await.unwrap()
}

#[tokio::test]
async fn every_event_is_proven_in_every_checkpoint_that_signs_for_it() {
    let (world, admin, key) = world(|_| ()).await;
    let first = signed_for(&world, 3).await;
    for _ in 0..5 {
        get(&world, &admin, "/audit/events").await;
    }
    let second = signed_for(&world, first + 5).await;
    for size in [first, second] {
        for seq in 0..size {
            let (_, proof) =
                get(&world, &admin, &format!("/audit/proof/inclusion?seq={seq}&size={size}")).await;
            let (signed, root) = note(&proof["checkpoint"], &key);
            let leaf = leaf_hash(proof["leaf"].as_str().unwrap().as_bytes());
            assert!(verify_inclusion(&leaf, seq, signed, &hashes(&proof["proof"]), &root), "{seq} of {size}");
        }
    }
    let (_, proof) = get(&world, &admin, &format!("/audit/proof/consistency?from={first}&to={second}")).await;
    let ((old, old_root), (new, new_root)) = (note(&proof["older"], &key), note(&proof["checkpoint"], &key));
    assert!(verify_consistency(old, &old_root, new, &new_root, &hashes(&proof["proof"])));
}

#[tokio::test]
async fn what_is_not_signed_is_not_proven_and_every_proof_is_an_event() {
    let (world, admin, _) = world(|_| ()).await;
    let size = signed_for(&world, 2).await;
    for (query, status, code) in [
        ("inclusion?seq=0&size=1000000", 400, "HOOP-7031"),
        ("inclusion?seq=1000000", 400, "HOOP-7032"),
        (&*format!("inclusion?seq={size}&size={size}"), 400, "HOOP-7032"),
        ("consistency?from=1000000", 400, "HOOP-7032"),
        ("consistency?from=0&to=1000000", 400, "HOOP-7031"),
    ] {
        let (answered, problem) = get(&world, &admin, &format!("/audit/proof/{query}")).await;
        assert_eq!((answered.as_u16(), problem["code"].as_str()), (status, Some(code)), "{query}: {problem}");
    }
    for wrong in
        ["inclusion", "inclusion?seq=-1", "inclusion?seq=x", "consistency?to=1", "inclusion?seq=0&x=1"]
    {
        let url = world.url(&format!("/audit/proof/{wrong}"));
        let answer = world.client.get(url).bearer_auth(&admin.access).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    get(&world, &admin, &format!("/audit/proof/inclusion?seq=1&size={size}")).await;
    let (_, events) = get(&world, &admin, "/audit/events?code=ledger.read").await;
    let facts = |event: &Value| event["event"]["facts"].clone();
    let read =
        events["items"].as_array().unwrap().iter().map(facts).find(|facts| facts["what"] == "inclusion");
    assert_eq!(read.unwrap()["seq"], 1);
}

async fn lines(world: &World, admin: &Tokens, query: &str) -> Vec<Value> {
    let request = world.request(Method::GET, &format!("/audit/export?{query}")).bearer_auth(&admin.access);
    let text = request.send().await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_ledger_is_exported_for_others_up_to_a_class_and_from_a_place() {
    let (world, admin, _) = world(|_| ()).await;
    let all = lines(&world, &admin, "format=jsonl").await;
    let seqs: Vec<_> = all.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (0..all.len() as u64).collect::<Vec<_>>());
    let of = |code: &str| all.iter().find(|event| event["code"] == code).unwrap().clone();
    assert_eq!(of("user.created")["facts"]["name"], "root");
    // The export itself is the last event in it.
    let facts = all.last().unwrap()["facts"].clone();
    assert_eq!(
        (&facts["what"], &facts["format"], &facts["from"]),
        (&"export".into(), &"jsonl".into(), &0.into())
    );
    let hidden = lines(&world, &admin, "format=ocsf&class=internal").await;
    assert!(hidden.iter().all(|event| !event.to_string().contains("\"root\"")), "{hidden:?}");
    let created = hidden.iter().find(|event| event["metadata"]["event_code"] == "user.created").unwrap();
    assert_eq!(
        (&created["class_uid"], &created["unmapped"]["name"]["withheld"]),
        (&3001.into(), &"personal".into())
    );
    let later = lines(&world, &admin, &format!("format=ocsf&from={}", all.len())).await;
    assert_eq!(later[0]["metadata"]["sequence"], all.len() as u64);
    assert!(lines(&world, &admin, "format=jsonl&from=1000000").await.is_empty());
    for wrong in
        ["format=xml", "class=internal", "format=ocsf&class=secret", "from=0", "format=jsonl&from=-1"]
    {
        let url = world.url(&format!("/audit/export?{wrong}"));
        let answer = world.client.get(url).bearer_auth(&admin.access).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_running_gateway_tells_its_receivers_and_how_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("out.txt");
    let text = format!(
        "[[ledger.publish]]\nname='good'\nkind='file'\npath={place:?}\n\
         [[ledger.publish]]\nname='bad'\nkind='file'\npath='/proc/none/x'\n"
    );
    let mut layers = Layers::default();
    layers.read_toml(&text, Path::new("gw.toml")).unwrap();
    let publish = Config::from_layers(&layers).unwrap().publish;
    let (world, admin, key) = world(|config| config.publish = publish).await;
    let size = signed_for(&world, 3).await;
    let both = async {
        loop {
            let (_, page) = get(&world, &admin, "/audit/sinks").await;
            let sinks = page["items"].as_array().unwrap().clone();
            if sinks[0]["size"].as_u64() >= Some(size) && sinks[1]["attempts"].as_u64() > Some(0) {
                return sinks;
            }
        }
    };
    let sinks = timeout(SOON, both).await.unwrap();
    assert_eq!((&sinks[0]["name"], &sinks[0]["kind"]), (&"good".into(), &"file".into()));
    assert!(sinks[0]["failing_since"].is_null() && sinks[1]["failing_since"].is_string());
    assert!(sinks[1]["behind"].as_u64() >= Some(size) && sinks[1]["last_error"].is_string(), "{sinks:?}");
    // The last words of the gateway go out too.
    world.running.shutdown().await;
    let held = std::fs::read_to_string(&place).unwrap();
    // Text, empty line, signatures, empty line, and so on.
    let parts: Vec<_> = held.trim_end().split("\n\n").collect();
    let last = parts.chunks_exact(2).last().unwrap();
    let note: SignedCheckpoint = format!("{}\n\n{}\n", last[0], last[1]).parse().unwrap();
    let store = hoop_store::Store::open(world.config.store_url.expose()).await.unwrap();
    assert_eq!(note.verify(&key).unwrap().size, store.ledger_head().await.unwrap().size);
}

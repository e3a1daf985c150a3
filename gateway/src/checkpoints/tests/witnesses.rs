//! THREATS F5: who holds the ledger and its key rolls it back or forks it, and a witness that shares no code with us
//! refuses to sign. And witnesses that lie.

use axum::{Router, routing};
use hoop_ledger::{WitnessKey, Witnesses};
use hoop_store::ReceiverKind;
use hoop_testkit::Witness;
use http::StatusCode;
use tokio::net::TcpListener;

use super::*;
use crate::checkpoints::cosigned;

fn asked(bench: &Bench, url: &str, key: &str) -> std::sync::Arc<Receiver> {
    let text = format!("[[ledger.witnesses]]\nname='partner'\nurl='{url}'\npublic_key='{key}'\n");
    bench.receivers(&text).remove(0)
}

/// A witness that knows the bench's log.
fn witness(bench: &Bench) -> (Witness, std::sync::Arc<Receiver>) {
    let witness =
        Witness::start(&bench.path("witness.json"), "witness.test", &[bench.verifier().to_string()]);
    let receiver = asked(bench, &witness.url, &witness.key);
    (witness, receiver)
}

fn key_pem(bench: &Bench) -> SigningKey {
    SigningKey::from_pem(bench.key.to_pem().expose()).unwrap()
}

#[tokio::test]
async fn a_growing_ledger_is_cosigned_and_the_lines_go_out_with_it() {
    let bench = Bench::new().await;
    let (server, receiver) = witness(&bench);
    for (more, size) in [(1, 1), (2, 3), (300, 303), (1, 304)] {
        bench.grow(more).await;
        assert_eq!(bench.turn(&receiver).await, Turn::Delivered(size));
    }
    assert_eq!(bench.turn(&receiver).await, Turn::Idle);
    let checkpoint = bench.store.checkpoint(304).await.unwrap().unwrap();
    let note = cosigned(&bench.store, &checkpoint).await.unwrap();
    let witnesses = Witnesses { keys: vec![server.key.parse().unwrap()], needed: 1 };
    assert!(witnesses.suffice(&note) && note.verify(&bench.verifier()).is_ok());
    // A file that is told afterwards has them.
    bench.turn(&bench.sink("kind='file'\npath='DIR/out.txt'")).await;
    assert_eq!(std::fs::read_to_string(bench.path("out.txt")).unwrap(), format!("{note}\n"));
}

#[tokio::test]
async fn a_gateway_that_forgot_how_far_the_witness_is_asks_once_more() {
    let bench = Bench::new().await;
    let (_server, receiver) = witness(&bench);
    bench.grow(5).await;
    bench.turn(&receiver).await;
    bench.grow(5).await;
    // Under another name, nothing is known of it.
    let text = "[[ledger.witnesses]]\nname='again'\nurl='URL'\npublic_key='KEY'\n";
    let again = bench.receivers(&text.replace("URL", &_server.url).replace("KEY", &_server.key)).remove(0);
    assert_eq!(bench.turn(&again).await, Turn::Delivered(10));
}

/// Two gateways on one store: what one of them is sending was overtaken by what the other sent.
#[tokio::test]
async fn a_checkpoint_that_another_gateway_overtook_is_no_rollback() {
    let bench = Bench::new().await;
    let (_server, receiver) = witness(&bench);
    bench.grow(12).await;
    let slow = bench.store.checkpoint(12).await.unwrap().unwrap();
    bench.grow(8).await;
    assert_eq!(bench.turn(&receiver).await, Turn::Delivered(20));
    // The store has what the witness has, and then more than that.
    receiver.deliver(&bench.store, &slow, 0, bench.now()).await.unwrap();
    assert!(bench.store.cosignatures(12).await.unwrap().is_empty());
    bench.grow(5).await;
    receiver.deliver(&bench.store, &slow, 12, bench.now()).await.unwrap();
    assert_eq!(bench.store.cosignatures(25).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_ledger_that_was_rolled_back_is_refused_by_the_witness() {
    let bench = Bench::new().await;
    let (server, receiver) = witness(&bench);
    bench.grow(20).await;
    bench.turn(&receiver).await;
    // The database of last week, with the same key.
    let old = Bench::signed_by(key_pem(&bench)).await;
    let receiver = asked(&old, &server.url, &server.key);
    old.grow(12).await;
    let error = old.failure(&receiver).await;
    assert!(error.contains("rolled back") && error.contains("20") && error.contains("12"), "{error}");
    assert!(old.store.cosignatures(12).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_ledger_that_was_forked_is_refused_by_the_witness_also_when_it_is_longer() {
    let bench = Bench::new().await;
    let (server, receiver) = witness(&bench);
    bench.grow(20).await;
    bench.turn(&receiver).await;
    let other = Bench::signed_by(key_pem(&bench)).await;
    let receiver = asked(&other, &server.url, &server.key);
    for more in [20, 10] {
        // As long as the true one, and longer.
        other.grow(more).await;
        let error = other.failure(&receiver).await;
        assert!(error.contains("another history"), "{error}");
    }
    // The true one goes on.
    bench.grow(1).await;
    let (size, truly) = (21, asked(&bench, &server.url, &server.key));
    assert_eq!(bench.turn(&truly).await, Turn::Delivered(size));
}

#[tokio::test]
async fn a_witness_remembers_over_a_restart() {
    let bench = Bench::new().await;
    let (server, receiver) = witness(&bench);
    bench.grow(20).await;
    bench.turn(&receiver).await;
    let key = server.key.clone();
    drop(server);
    bench.grow(1).await;
    assert!(bench.failure(&receiver).await.contains("cannot be reached"));
    let (server, receiver) = witness(&bench);
    assert_eq!(server.key, key);
    assert_eq!(bench.turn(&receiver).await, Turn::Delivered(21));
}

#[tokio::test]
async fn a_log_that_the_witness_does_not_know_is_not_signed() {
    let (bench, stranger) = (Bench::new().await, Bench::new().await);
    let (server, _) = witness(&bench);
    stranger.grow(1).await;
    let receiver = asked(&stranger, &server.url, &server.key);
    assert!(stranger.failure(&receiver).await.contains("does not know this ledger"));
}

/// Whatever a lying witness answers, nothing of it is kept, and nobody waits for its last byte.
#[tokio::test]
async fn a_witness_that_lies_counts_for_nothing() {
    let bench = Bench::new().await;
    let (true_one, _) = witness(&bench);
    bench.grow(3).await;
    let line = |blob: &str| format!("\u{2014} witness.test {blob}\n");
    let answers = [
        (200, String::new(), "without a cosignature"),
        (200, "nonsense".to_owned(), "without a cosignature"),
        (200, line(&"A".repeat(104)), "without a cosignature"),
        (200, "x".repeat(1 << 20), "without a cosignature"),
        (409, "soon\n".to_owned(), "409"),
        (409, "-1\n".to_owned(), "409"),
        (409, "0\n".to_owned(), "another history"),
        (409, "2\n".to_owned(), "another history"),
        (409, "18446744073709551615\n".to_owned(), "rolled back"),
        (422, String::new(), "another history"),
        (404, "canary".to_owned(), "does not know"),
        (302, String::new(), "redirects"),
        (500, "canary".to_owned(), "500"),
    ];
    for (status, body, word) in answers {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let (status, answer) = (StatusCode::from_u16(status).unwrap(), body.clone());
        let router = Router::new().route("/add-checkpoint", routing::post(async move || (status, answer)));
        let serving = tokio::spawn(async move { axum::serve(socket, router).await });
        let error = bench.failure(&asked(&bench, &url, &true_one.key)).await;
        serving.abort();
        assert!(error.contains(word) && !error.contains("canary"), "{status} {body:.40}: {error}");
    }
    assert!(bench.store.cosignatures(3).await.unwrap().is_empty());
    let stands = bench.store.receivers().await.unwrap();
    assert!(stands.iter().all(|receiver| receiver.kind == ReceiverKind::Witness && receiver.size == 0));
}

#[tokio::test]
async fn a_cosignature_of_another_key_is_not_kept() {
    let bench = Bench::new().await;
    let (server, _) = witness(&bench);
    let other = Witness::start(&bench.path("other.json"), "witness.test", &[bench.verifier().to_string()]);
    bench.grow(3).await;
    assert_ne!(server.key.parse::<WitnessKey>(), other.key.parse());
    let error = bench.failure(&asked(&bench, &other.url, &server.key)).await;
    assert!(error.contains("without a cosignature"), "{error}");
}

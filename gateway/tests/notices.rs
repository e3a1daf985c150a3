//! Notices from end to end: written with a change, out at once, while another channel hangs and after a restart; a test
//! that an admin asks for, and the list.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{path::Path, time::Duration};

use common::{World, base_config, now, problem};
use hoop_gateway::{
    Gateway,
    config::{Channel, Config, Layers},
};
use hoop_ledger::{Draft, EventCode};
use hoop_model::{Actor, ChannelName, NoticeId, Role};
use hoop_store::{NewEvent, NewNotice, NoticeState, Store};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);

/// A server that takes everything, or hangs.
async fn server(status: Option<u16>) -> (String, mpsc::Receiver<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/canary-url", socket.local_addr().unwrap().port());
    let (sender, receiver) = mpsc::channel(100);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"}") {
                stream.read_buf(&mut bytes).await.unwrap();
            }
            sender.send(String::from_utf8(bytes).unwrap()).await.unwrap();
            match status {
                None => held.push(stream),
                Some(status) => {
                    let answer =
                        format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        }
    });
    (url, receiver)
}

fn channels(rows: &[(&str, &str)]) -> Vec<Channel> {
    let row = |(name, url): &(&str, &str)| {
        format!("[[notices.channels]]\nname='{name}'\nkind='slack'\nurl='{url}'\n")
    };
    let mut layers = Layers::default();
    layers.read_toml(&rows.iter().map(row).collect::<String>(), Path::new("gw.toml")).unwrap();
    Config::from_layers(&layers).unwrap().channels
}

/// A change that is told by a channel.
fn told(channel: &str) -> NewEvent {
    let payload = json!({
        "topic": "request.created", "severity": "info", "title": "ada asks", "text": "", "facts": [], "url": null,
        "at": now(),
    });
    let notice = NewNotice {
        id: NoticeId::generate(),
        channel: ChannelName::new(channel).unwrap(),
        topic: "request.created".into(),
        payload,
        created_at: now(),
        queued: true,
    };
    NewEvent::new(now(), Draft::new(Actor::System, EventCode::LedgerRead)).with_notices([notice])
}

#[tokio::test]
async fn a_change_is_told_at_once_and_a_channel_that_hangs_holds_up_none() {
    let ((stuck, mut hung), (good, mut heard)) = (server(None).await, server(Some(200)).await);
    let world = World::with(|config| config.channels = channels(&[("stuck", &stuck), ("good", &good)])).await;
    for _ in 0..3 {
        let began = std::time::Instant::now();
        world.running.store().append(&[told("stuck"), told("good")]).await.unwrap();
        assert!(timeout(SOON, heard.recv()).await.unwrap().unwrap().contains("ada asks"));
        // Woken, not found by looking now and then.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    assert!(timeout(SOON, hung.recv()).await.unwrap().is_some());
    world.running.shutdown().await;
}

#[tokio::test]
async fn what_was_written_before_the_gateway_died_is_told_after_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (url, mut heard) = server(Some(204)).await;
    let mut config = base_config(folder.path());
    // The change is committed, and nobody lives to tell of it.
    let store = Store::open(config.store_url.expose()).await.unwrap();
    store.append(&[told("good")]).await.unwrap();
    store.close().await;
    config.channels = channels(&[("good", &url)]);
    let running = Gateway::start(config).await.unwrap();
    assert!(timeout(SOON, heard.recv()).await.unwrap().unwrap().contains("ada asks"));
    let delivered = async {
        loop {
            let kept = running.store().notices(None, 10).await.unwrap().items.remove(0);
            if matches!(kept.state, NoticeState::Delivered(_)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, delivered).await.unwrap();
    running.shutdown().await;
}

#[tokio::test]
async fn an_admin_tries_a_channel_and_sees_what_became_of_it() {
    let ((good, mut heard), (bad, _bad)) = (server(Some(200)).await, server(Some(500)).await);
    let world = World::with(|config| config.channels = channels(&[("good", &good), ("bad", &bad)])).await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let test = |channel: &str| {
        world.post("/notices/test", &json!({ "channel": channel })).bearer_auth(&admin.access).send()
    };
    let sent: Value = test("good").await.unwrap().json().await.unwrap();
    assert_eq!((&sent["delivered"], &sent["error"]), (&json!(true), &Value::Null));
    assert!(timeout(SOON, heard.recv()).await.unwrap().unwrap().contains("sent by: root"));
    let failed: Value = test("bad").await.unwrap().json().await.unwrap();
    assert_eq!(
        (&failed["delivered"], &failed["error"]),
        (&json!(false), &json!("it answered with status 500"))
    );
    for nobody in ["none", "", "../good", "good\u{0}", "<!channel>", "GOOD", &"x".repeat(5000)] {
        assert_eq!(problem(test(nobody).await.unwrap()).await, (404, "HOOP-7002".to_owned()), "{nobody:?}");
    }
    assert_eq!(world.events("notice.tested").await, 2);

    let list = world.request(Method::GET, "/notices").bearer_auth(&admin.access).send().await.unwrap();
    let text = list.text().await.unwrap();
    assert!(!text.contains("canary-url"), "{text}");
    let list: Value = serde_json::from_str(&text).unwrap();
    let outcomes: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["outcome"]).collect();
    assert_eq!(outcomes, [&json!("failed"), &json!("delivered")]);
    assert_eq!(list["items"][0]["last_error"], "it answered with status 500");
    for query in ["?limit=x", "?after=usr_x", "?nonsense=1"] {
        let wrong = world.request(Method::GET, &format!("/notices{query}")).bearer_auth(&admin.access);
        assert_eq!(wrong.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{query}");
    }
}

/// The profile that ships tells of what docs/HIPAA.md says.
#[tokio::test]
async fn the_profile_for_health_information_tells_of_other_rules_and_of_guessing() {
    let (url, mut heard) = server(Some(200)).await;
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("file:{}", path.display())
    };
    let profile = include_str!("../../profiles/hipaa/gateway.toml")
        .replace("https://alerts.example.org/hoop", &url)
        .replace("env:HOOP_WEBHOOK_SECRET", &secret("webhook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        .replace("env:HOOP_MAIL_PASSWORD", &secret("mail", "canary"));
    let mut layers = Layers::default();
    layers.read_toml(&profile, Path::new("gateway.toml")).unwrap();
    let profile = Config::from_layers(&layers).unwrap();
    assert_eq!(profile.recordings.retention.unwrap().to_string(), "6y");
    let channels: Vec<_> = profile.channels.into_iter().skip(1).collect();
    let world = World::with(|config| config.channels = channels).await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    world.rule(&admin, json!({})).send().await.unwrap();
    let said = timeout(SOON, heard.recv()).await.unwrap().unwrap();
    assert!(said.contains("rules.changed") && said.contains("access rules is in force"), "{said}");
    world.person("ada", Role::User, &[]).await;
    for _ in 0..5 {
        let guess = json!({ "name": "ada", "password": "wrong horse battery", "code": "123456" });
        world.post("/login/password", &guess).send().await.unwrap();
    }
    let said = timeout(SOON, heard.recv()).await.unwrap().unwrap();
    assert!(said.contains("login.locked_out") && said.contains("ada"), "{said}");
}

#[tokio::test]
async fn only_admins_try_channels_and_people_see_no_notices() {
    let (url, mut heard) = server(Some(200)).await;
    let world = World::with(|config| config.channels = channels(&[("good", &url)])).await;
    for (name, role, sees) in [("bob", Role::User, 403), ("eve", Role::Auditor, 200)] {
        let mut person = world.person(name, role, &[]).await;
        let token = world.tokens(&mut person).await.access;
        let tried =
            world.post("/notices/test", &json!({ "channel": "good" })).bearer_auth(&token).send().await;
        assert_eq!(tried.unwrap().status(), StatusCode::FORBIDDEN);
        let list = world.request(Method::GET, "/notices").bearer_auth(&token).send().await.unwrap();
        assert_eq!(list.status().as_u16(), sees);
    }
    assert!(heard.try_recv().is_err());
}

//! Channels and the worker against real servers, some of which misbehave. The clock is the test's own.

mod http;
mod mail;

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use hoop_ledger::EventCode;
use hoop_model::{Actor, Timestamp};
use hoop_store::{EventFilter, NoticeState, Store, StoredNotice};
use serde_json::json;

use super::{
    Notice, Notices, Outlet, Topic,
    worker::{self, Turn},
};
use crate::{
    config::{Channel, Config, Layers},
    hub::event,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const START: i64 = 1_700_000_000_000_000;
/// Far more than any answer here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store, a clock, and a folder for secrets.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    micros: AtomicI64,
}

impl Bench {
    async fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        std::fs::write(folder.path().join("password"), "canary-pw").unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("x.db").display())).await.unwrap();
        Self { folder, store, micros: AtomicI64::new(START) }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Channels as they stand in a file; `DIR` is the folder.
    fn channels(&self, text: &str) -> Vec<Channel> {
        let text = text.replace("DIR", &self.folder.path().display().to_string());
        let mut layers = Layers::default();
        layers.read_toml(&text, Path::new("gw.toml")).unwrap();
        Config::from_layers(&layers).unwrap().channels
    }

    fn outlet(&self, lines: &str, patience: Duration) -> Outlet {
        let channels = self.channels(&format!("[[notices.channels]]\nname='ops'\n{lines}"));
        Outlet::new(channels.first().unwrap(), "hoop.example", patience)
    }

    fn webhook(&self, url: &str) -> Outlet {
        self.outlet(&format!("kind='webhook'\nurl='{url}'\nsecret='file:DIR/secret'"), PATIENCE)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::Relaxed))
    }

    fn later(&self, seconds: u64) {
        self.micros.store(self.now().after(Duration::from_secs(seconds)).as_micros(), Ordering::Relaxed);
    }

    /// Writes a notice in the way of the gateway.
    async fn write(&self, outlet: &Outlet, notice: &Notice) {
        let notices = Notices(vec![std::sync::Arc::new(Outlet::new(&outlet.channel, "x", PATIENCE))]);
        let told = event(&Actor::System, EventCode::ConnectionCreated, [], json!({}));
        self.store.append(&[notices.tell(told, notice)]).await.unwrap();
    }

    async fn turn(&self, outlet: &Outlet) -> Turn {
        worker::deliver_one(&self.store, outlet, &|| self.now()).await.unwrap()
    }

    async fn kept(&self) -> StoredNotice {
        let mut all = self.store.notices(None, 10).await.unwrap().items;
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Writes a notice, has it sent once, and answers the error, or nothing when it arrived.
    async fn try_once(&self, outlet: &Outlet, notice: &Notice) -> Option<String> {
        self.write(outlet, notice).await;
        self.turn(outlet).await;
        self.store.notices(None, 1).await.unwrap().items.remove(0).last_error
    }

    fn notice(&self, title: &str) -> Notice {
        Notice::new(Topic::RequestCreated, self.now(), title)
            .text("for 2 h")
            .fact("reason", "ticket 7")
            .link("https://hoop.example/requests/req_x")
    }
}

#[test]
fn pauses_grow_from_30_s_to_an_hour() {
    for chance in [0, 128, 255] {
        let pauses: Vec<_> = (0..80).map(|attempts| worker::pause(attempts, chance).as_secs_f64()).collect();
        assert!((24.0..=36.0).contains(&pauses[1]), "{pauses:?}");
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((2880.0..=4320.0).contains(&pauses[79]));
    }
    assert!(worker::pause(u32::MAX, 0) > Duration::from_secs(2000));
}

#[tokio::test]
async fn each_channel_gets_what_it_wants_and_all_get_emergencies() {
    let bench = Bench::new().await;
    let slack = |name: &str, topics: &str| {
        format!("[[notices.channels]]\nname='{name}'\nkind='slack'\nurl='http://x'\ntopics={topics}\n")
    };
    let text = [slack("all", "['*']"), slack("some", "['request.denied']"), slack("none", "[]")].concat();
    let notices = Notices::new(&bench.channels(&text), "x");
    let told = |topic| {
        let event = event(&Actor::System, EventCode::ConnectionCreated, [], json!({}));
        let event = notices.tell(event, &Notice::new(topic, bench.now(), "x"));
        event.notices.iter().map(|row| row.channel.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(told(Topic::RequestCreated), ["all"]);
    assert_eq!(told(Topic::RequestDenied), ["all", "some"]);
    assert_eq!(told(Topic::BreakGlassStarted), ["all", "some", "none"]);
    assert!(
        Notices::new(&[], "x")
            .tell(event(&Actor::System, EventCode::ConnectionCreated, [], json!({})), &bench.notice("x"))
            .notices
            .is_empty()
    );
}

#[tokio::test]
async fn what_never_arrives_is_given_up_after_a_day_with_an_event() {
    let bench = Bench::new().await;
    // Nobody listens there.
    let outlet = bench.webhook("http://127.0.0.1:9/");
    bench.write(&outlet, &bench.notice("ada asks")).await;
    let mut attempts = 0;
    for _ in 0..3000 {
        attempts += u32::from(bench.turn(&outlet).await == Turn::Failed);
        worker::tidy(&bench.store, bench.now()).await.unwrap();
        bench.later(30);
    }
    let kept = bench.kept().await;
    assert_eq!((kept.state, kept.attempts), (NoticeState::Failed, attempts));
    // 30 s doubled up to an hour, for a day.
    assert!((24..=40).contains(&attempts), "{attempts}");
    let filter = EventFilter { code: Some("notice.failed".into()), limit: 10, ..EventFilter::default() };
    let events = bench.store.search_events(&filter).await.unwrap();
    assert_eq!(events.len(), 1);
    let facts = String::from_utf8(events[0].bytes.clone()).unwrap();
    assert!(facts.contains("\"channel\":\"ops\"") && facts.contains("cannot be reached"), "{facts}");
    bench.later(31 * 86_400);
    worker::tidy(&bench.store, bench.now()).await.unwrap();
    assert!(bench.store.notices(None, 10).await.unwrap().items.is_empty());
}

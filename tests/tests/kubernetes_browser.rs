//! A shell in a pod, in the browser: by the WebSocket that the console opens, on a real node.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod page;

use std::time::Instant;

use hoop_testkit::{Browser, Cluster, SOON, World, run};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use self::page::{Asking, Page, live, nothing_is_left};

/// A world with a cluster in it, and a pod `web` in that.
fn shop() -> (World, Cluster) {
    let (world, cluster) = (World::start(), Cluster::find());
    world.put_cluster("k8s", &cluster, json!({}));
    cluster.pod("web", &json!({"app": "web"}));
    (world, cluster)
}

fn open(world: &World, cluster: &Cluster, browser: &Browser, pod: &str) -> Page {
    let place = json!({"pod": {"namespace": cluster.namespace, "name": pod, "container": "main"}});
    Page::open_with(world, browser, "k8s", &place)
}

/// The events of the newest session's recording, once it has ended.
fn events(world: &World) -> Vec<Value> {
    let session = world.ended_session();
    let id = session["id"].as_str().unwrap();
    let lines = run(world.hoop(&world.admin).args(["sessions", "export", id]));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_shell_in_a_pod_is_typed_into_resized_and_recorded() {
    let (world, cluster) = shop();
    let browser = world.signed_in_browser(&world.engineer);
    let mut page = open(&world, &cluster, &browser, "web");
    let session = page.told("opened")["session"].as_str().unwrap().to_owned();
    page.press("PS1=; stty -echo; echo re''ady; stty size\r");
    page.expect("25 90");
    page.say(&json!({"kind": "resize", "columns": 100, "rows": 30}));
    page.press("while [ \"$(stty size)\" != '30 100' ]; do :; done; echo re''sized\r");
    page.expect("resized");
    page.press("exit 7\r");
    assert_eq!(page.told("ended")["exit"], 7);

    let ended = world.ended_session();
    assert_eq!((ended["id"].as_str(), ended["user"].as_str()), (Some(session.as_str()), Some("ada")));
    let statements = world.statements(&session);
    let shell = statements.iter().find(|one| !one["terminal"].is_null()).unwrap();
    let shown = shell["output"].as_str().unwrap();
    assert!(shown.contains("ready") && shown.contains("resized"), "{shown}");
    let path = format!("/api/v1/namespaces/{}/pods/web/exec", cluster.namespace);
    let text = Value::from(events(&world)).to_string();
    assert!(text.contains(&path), "the request stands in the recording: {text}");
    let asked = world.json(&world.admin, &["audit", "ls", "--code", "session.requested"]);
    assert_eq!(
        asked[0]["event"]["facts"]["end_to_end"], false,
        "the ledger says who could read along: {asked}"
    );
    run(world.hoop(&world.admin).args(["sessions", "verify", &session]));
}

#[test]
fn what_the_cluster_or_a_rule_has_against_it_is_told_in_their_words() {
    let (world, cluster) = shop();
    let browser = world.signed_in_browser(&world.engineer);
    let outcome = |namespace: &str, pod: &str, container: &str| {
        let place = json!({"pod": {"namespace": namespace, "name": pod, "container": container}});
        let problem = Page::open_with(&world, &browser, "k8s", &place).problem();
        nothing_is_left(&world);
        (problem["code"].as_str().unwrap().to_owned(), problem["message"].as_str().unwrap().to_owned())
    };
    for (namespace, pod, container, words) in [
        (cluster.namespace.as_str(), "nowhere", "main", "pods \"nowhere\" not found [NotFound]"),
        (&cluster.namespace, "web", "other", "container other"),
        ("kube-system", "web", "main", "cannot"),
    ] {
        let (code, message) = outcome(namespace, pod, container);
        assert!(code == "HOOP-7090" && message.contains(words), "{code}: {message}");
    }
    world.rule(json!({"cluster": [
        {"name": "no-shells", "action": "deny", "resources": ["pods/exec"], "message": "ask the platform team"},
        {"name": "rest", "action": "allow"},
    ]}));
    let (code, message) = outcome(&cluster.namespace, "web", "main");
    assert!(code == "HOOP-7090" && message.contains("ask the platform team"), "{code}: {message}");
}

#[test]
fn only_a_name_is_a_name() {
    let (world, cluster) = (World::start(), Cluster::find());
    world.put_cluster("k8s", &cluster, json!({}));
    let browser = world.signed_in_browser(&world.engineer);
    let long = "a".repeat(254);
    let hostile = [
        "",
        ".",
        "..",
        "a/../b",
        "a%2fb",
        "a?command=id",
        "a&tty=false",
        "A",
        "a_b",
        "a b",
        "a\n",
        "-a",
        &long,
    ];
    for name in hostile {
        for (namespace, pod, container) in
            [(name, "web", "main"), ("shop", name, "main"), ("shop", "web", name)]
        {
            let place = json!({"pod": {"namespace": namespace, "name": pod, "container": container}});
            let mut page = Page::open_with(&world, &browser, "k8s", &place);
            assert_eq!(page.failed(), "HOOP-4242", "{place}");
        }
    }
    let more = json!({"pod": {"namespace": "shop", "name": "web", "command": ["id"]}});
    assert_eq!(Page::open_with(&world, &browser, "k8s", &more).failed(), "HOOP-4242", "it is always sh");
    assert_eq!(Page::open(&world, &browser, "k8s").failed(), "HOOP-4242", "a cluster itself has no shell");
    let nobody = Asking { cookie: &browser.cookie(), origin: Some("https://evil.example") };
    assert!(Page::connect(&world, &browser, &nobody).is_err());
    assert!(world.sessions().is_empty(), "no session was made");
}

#[test]
fn who_may_not_open_it_gets_no_shell() {
    let (world, cluster) = shop();
    let browser = world.signed_in_browser(&world.engineer);
    world.rule(json!({"conditions": {"end_to_end_only": true}}));
    assert_eq!(open(&world, &cluster, &browser, "web").failed(), "HOOP-2011", "the gateway would read along");
    world.rule(json!({"conditions": {"reason": true}}));
    assert_eq!(open(&world, &cluster, &browser, "web").failed(), "HOOP-2006", "no reason was given");
    assert!(live(&world).is_empty());
}

#[test]
fn whoever_ends_it_it_is_over_in_two_seconds() {
    let (world, cluster) = shop();
    let browser = world.signed_in_browser(&world.engineer);
    let running = || {
        let mut page = open(&world, &cluster, &browser, "web");
        let session = page.told("opened")["session"].as_str().unwrap().to_owned();
        page.press("PS1=; echo re''ady\r");
        page.expect("ready");
        (page, session)
    };
    let ended = |how: &dyn Fn(&str), code: &str| {
        let (mut page, session) = running();
        how(&session);
        let began = Instant::now();
        assert_eq!(page.failed(), code, "{}", page.shown);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        nothing_is_left(&world);
    };
    let kill = |session: &str| {
        run(world.hoop(&world.admin).args(["sessions", "kill", session, "--reason", "enough"]));
    };
    ended(&kill, "HOOP-4245");
    // The page goes, and the session with it.
    drop(running());
    nothing_is_left(&world);
    let (mut page, _) = running();
    page.send(Message::text("[]"));
    assert_eq!(page.failed(), "HOOP-4242");
    nothing_is_left(&world);
    ended(&|_| assert_eq!(browser.post("/api/v1/logout", &json!({})).status, 204), "HOOP-4243");
}

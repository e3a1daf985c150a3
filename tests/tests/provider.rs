//! Sign-in through the company's identity provider, over real processes: groups of the day, forged and repeated
//! callbacks, and what is taken away there while somebody works here (THREATS A7, A8, A9, A11).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use hoop_testkit::{
    Browser, LoginWaiting, Person, Provider, Reply, World, WorldOptions, free_port, run, wait_until,
};
use serde_json::{Value, json};

const SECRET: &str = "canary-client-secret-4e1b";

fn people(groups: &[&str]) -> Value {
    json!([
        { "name": "ada", "email": "ada@example.test", "groups": groups, "amr": ["pwd", "otp"] },
        { "name": "bob", "email": "bob@example.test", "groups": groups, "amr": ["pwd", "otp"] },
        { "name": "mallory", "email": "grace@example.test", "email_verified": false, "groups": ["admins"] },
    ])
}

fn with_provider() -> (World, Provider) {
    asked_again_every("5m")
}

/// The provider is asked about people so often.
fn asked_again_every(recheck: &str) -> (World, Provider) {
    let port = free_port();
    // A test leaks its configuration: it does not live long.
    let gateway = String::leak(format!(
        "[oidc]\nissuer = \"http://127.0.0.1:{port}\"\nclient_id = \"hoop\"\nclient_secret = \"env:TEST_OIDC_SECRET\"\n\
         scopes = [\"email\", \"groups\"]\nadmin_groups = [\"admins\"]\nrecheck = \"{recheck}\"\n\
         [limits]\nlogin_attempts_per_minute = 1000\n"
    ));
    let world = World::with(WorldOptions {
        gateway,
        gateway_env: vec![("TEST_OIDC_SECRET", SECRET.to_owned())],
        ..WorldOptions::default()
    });
    let redirect = format!("https://localhost:{}/api/v1/oidc/callback", world.port);
    let provider = Provider::start(port, SECRET, &redirect, &people(&["engineers", "on-call"]));
    (world, provider)
}

/// Ada of the company at a terminal of hers, by way of her browser.
fn at_a_terminal(world: &World, provider: &Provider) -> Person {
    let mut browser = world.browser("hers");
    let callback = provider.consent(&browser, &start(&browser), "ada");
    assert_eq!(browser.get(&callback).status, 303);
    browser.whoami();
    let mut login = LoginWaiting::start(world, "company", "--device");
    let code = login.after("Type").trim_start_matches("Type").trim().to_owned();
    let approval = json!({ "user_code": code, "approve": true });
    assert_eq!(browser.post("/api/v1/device/approve", &approval).status, 204);
    assert_eq!(login.finish().0, Some(0));
    world.profile("company")
}

/// Her psql, in the middle of a statement that takes ten minutes.
fn at_work(world: &World, ada: &Person) -> Child {
    let mut psql = world.hoop(ada);
    psql.args(["connect", "pg", "--", "psql", "-XAtq", "-c", "SELECT pg_sleep(600)"]);
    let psql = psql.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the statement at the target", || (running(world) == "1").then_some(()));
    psql
}

fn running(world: &World) -> String {
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
    world.postgres.sql(sql).trim().to_owned()
}

/// It ends, soon after the provider was asked again, and says why.
fn is_over(psql: Child, since: Instant) -> String {
    let done = psql.wait_with_output().unwrap();
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    assert!(!done.status.success());
    String::from_utf8(done.stderr).unwrap()
}

fn start(browser: &Browser) -> Reply {
    browser.get("/api/v1/oidc/start?return=%2Fconnections")
}

#[test]
fn the_companys_provider_signs_people_in_with_their_groups_of_the_day() {
    let (world, provider) = with_provider();
    let mut browser = world.browser("first");
    let callback = provider.consent(&browser, &start(&browser), "ada");
    let back = browser.get(&callback);
    assert_eq!((back.status, back.redirect), (303, format!("{}/connections", browser.origin())));
    let me = browser.whoami().json();
    assert_eq!(
        (&me["name"], &me["role"], &me["method"]),
        (&json!("ada@example.test"), &json!("user"), &json!("oidc"))
    );
    assert_eq!(me["groups"], json!(["engineers", "on-call"]));
    assert!(me["mfa_at"].is_string(), "the provider proved a second factor: {me}");
    assert!(browser.get("/api/v1/connections").body.contains("\"pg\""));

    // A group taken away at the provider is gone with the next sign-in, for every sign-in of that person.
    provider.users(&people(&["on-call"]));
    let mut again = world.browser("second");
    let callback = provider.consent(&again, &start(&again), "ada");
    assert_eq!(again.get(&callback).status, 303);
    let now = again.whoami().json();
    assert_eq!((&now["id"], &now["groups"]), (&me["id"], &json!(["on-call"])));
    for browser in [&browser, &again] {
        assert!(!browser.get("/api/v1/connections").body.contains("\"pg\""));
    }
    assert!(!world.gateway.log().contains(SECRET));
}

#[test]
fn a_stolen_or_repeated_callback_signs_nobody_in() {
    let (world, provider) = with_provider();
    // The victim is led to a callback that the attacker's browser began, and the other way round.
    let (attacker, mut victim) = (world.browser("attacker"), world.browser("victim"));
    let callback = provider.consent(&attacker, &start(&attacker), "ada");
    let refused = |reply: &Reply, code: &str| {
        assert_eq!(reply.status, 303, "{reply:?}");
        assert!(reply.redirect.ends_with(&format!("/login?error={code}")), "{reply:?}");
    };
    refused(&victim.get(&callback), "HOOP-3105");
    assert_eq!(victim.whoami().status, 401);
    // The state is used up by that, also for the browser that it belongs to.
    refused(&attacker.get(&callback), "HOOP-3105");

    let mut ada = world.browser("ada");
    let callback = provider.consent(&ada, &start(&ada), "ada");
    assert_eq!(ada.get(&callback).status, 303);
    assert_eq!(ada.whoami().status, 200);
    refused(&world.browser("replay").get(&callback), "HOOP-3105");
    refused(&ada.get(&callback), "HOOP-3105");

    for made_up in
        ["/api/v1/oidc/callback?code=x&state=y", "/api/v1/oidc/callback?code=x", "/api/v1/oidc/callback"]
    {
        refused(&world.browser("nobody").get(made_up), "HOOP-3105");
    }
    // A state of one's own with a code of somebody else's: the provider refuses it, for the PKCE verifier is another.
    let (mine, theirs) = (world.browser("mine"), world.browser("theirs"));
    let of = |url: &str, key: &str| {
        url.split(['?', '&']).find_map(|part| Some(part.strip_prefix(key)?.to_owned())).unwrap()
    };
    let (my, their) =
        (provider.consent(&mine, &start(&mine), "ada"), provider.consent(&theirs, &start(&theirs), "ada"));
    let mixed = my.replace(&of(&my, "code="), &of(&their, "code="));
    let reply = mine.get(&mixed);
    assert!(reply.redirect.contains("/login?error=HOOP-31"), "{reply:?}");
}

#[test]
fn the_way_back_stays_at_the_gateway() {
    let (world, provider) = with_provider();
    for (n, evil) in
        ["//evil.test", "/\\evil.test", "https://evil.test/", "/%09/evil.test", "javascript:alert(1)"]
            .into_iter()
            .enumerate()
    {
        let browser = world.browser(&format!("lured-{n}"));
        let encoded: String = evil.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let callback =
            provider.consent(&browser, &browser.get(&format!("/api/v1/oidc/start?return={encoded}")), "ada");
        let back = browser.get(&callback);
        let host =
            back.redirect.trim_start_matches("https://").split(['/', '\\', '?']).next().unwrap().to_owned();
        assert_eq!(
            (back.status, host),
            (303, format!("localhost:{}", world.port)),
            "{evil}: {}",
            back.redirect
        );
    }
}

#[test]
fn an_unverified_address_is_nobody() {
    let (world, provider) = with_provider();
    let mut browser = world.browser("mallory");
    let callback = provider.consent(&browser, &start(&browser), "mallory");
    assert!(browser.get(&callback).redirect.ends_with("/login?error=HOOP-3106"));
    assert_eq!(browser.whoami().status, 401);
    let users = run(world.hoop(&world.admin).args(["admin", "users", "ls", "-o", "json"]));
    assert!(!users.contains("example.test"), "{users}");
}

#[test]
fn a_group_taken_away_there_ends_here_without_a_new_sign_in() {
    let (world, provider) = asked_again_every("1s");
    let ada = at_a_terminal(&world, &provider);
    let psql = at_work(&world, &ada);
    let since = Instant::now();
    provider.users(&people(&["on-call"]));
    let told = is_over(psql, since);
    assert!(told.contains("HOOP-"), "{told}");
    wait_until("the end of the statement at the target", || (running(&world) == "0").then_some(()));
    assert_eq!(world.json(&ada, &["whoami"])["groups"], json!(["on-call"]), "she is still signed in");
    let refused = world.hoop(&ada).args(["connect", "pg", "--", "psql"]).output().unwrap();
    assert!(String::from_utf8(refused.stderr).unwrap().contains("HOOP-2001"));
    // It comes back as it went.
    provider.users(&people(&["engineers"]));
    wait_until("the group", || {
        (world.json(&ada, &["whoami"])["groups"] == json!(["engineers"])).then_some(())
    });
    drop(at_work(&world, &ada).kill());
}

#[test]
fn an_account_taken_away_there_ends_its_sign_ins_and_sessions() {
    let (world, provider) = asked_again_every("1s");
    let ada = at_a_terminal(&world, &provider);
    let psql = at_work(&world, &ada);
    let since = Instant::now();
    provider.users(&json!([]));
    let told = is_over(psql, since);
    assert!(told.contains("HOOP-3108"), "{told}");
    let refused = world.hoop(&ada).arg("whoami").output().unwrap();
    assert!(!refused.status.success());
    let events = run(world.hoop(&world.admin).args(["audit", "ls", "--code", "token.revoked", "-o", "json"]));
    assert!(events.contains("the identity provider ended the sign-in"), "{events}");
}

#[test]
fn a_provider_that_is_down_ends_nothing() {
    let (world, provider) = asked_again_every("1s");
    let ada = at_a_terminal(&world, &provider);
    let mut psql = at_work(&world, &ada);
    drop(provider);
    wait_until("a question without an answer", || {
        let failed = "hoop_reread_total{outcome=\"failed\"}";
        world.metrics().lines().any(|line| line.starts_with(failed)).then_some(())
    });
    assert_eq!(world.json(&ada, &["whoami"])["groups"], json!(["engineers", "on-call"]));
    assert!(psql.try_wait().unwrap().is_none());
    psql.kill().unwrap();
    assert!(!world.gateway.log().contains(SECRET));
}

/// A drill: the provider is taken down, two envelopes are opened, and everything else stays shut.
#[test]
fn while_the_provider_is_down_sealed_codes_open_an_emergency() {
    let (world, provider) = with_provider();
    world.apply(
        "version: 1\nrules:\n  - name: daily\n    subjects: {groups: [engineers]}\n    connections: {names: [pg]}\n\
         break_glass:\n  - name: oncall\n    subjects: {groups: [engineers]}\n    connections: {names: [pg]}\n    sealed_codes: true\n",
    );
    at_a_terminal(&world, &provider);
    let make = ["admin", "sealed-codes", "make", "--holder", "ben", "--holder", "cat", "--needed", "2"];
    let made = world.json(&world.admin, &make);
    let code = |at: usize| made["codes"][at]["code"].as_str().unwrap();
    drop(provider);

    let ada = world.profile("emergency");
    let sign_in = |codes: String| {
        let mut login = world.hoop(&ada);
        login.args(["login", &format!("https://localhost:{}", world.port), "--sealed-codes"]);
        login.args(["--user", "ada@example.test", "--ca"]).arg(world.folder.path().join("gateway-ca.pem"));
        let mut login = login.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(login.stdin.as_mut().unwrap(), codes.as_bytes()).unwrap();
        login.wait_with_output().unwrap()
    };
    let alone = sign_in(format!("{}\n\n", code(0)));
    assert!(String::from_utf8(alone.stderr).unwrap().contains("HOOP-3061"));
    assert!(sign_in(format!("{}\n{}\n\n", code(0), code(1))).status.success());

    let query = || {
        let mut psql = world.hoop(&ada);
        psql.args(["connect", "pg", "--", "psql", "-XAtq", "-c", "SELECT 'in'"]).output().unwrap()
    };
    assert!(!query().status.success(), "the rule of every day asks for a second factor of hers");
    let glass = ["break-glass", "pg", "--reason", "the provider is down", "--incident", "INC-9"];
    let glass = world.json(&ada, &glass);
    let id = glass["id"].as_str().unwrap();
    assert_eq!(String::from_utf8(query().stdout).unwrap().trim(), "in");
    let listed = world.hoop(&ada).args(["admin", "users", "ls"]).output().unwrap();
    assert!(String::from_utf8(listed.stderr).unwrap().contains("HOOP-3060"));
    world.json(&ada, &["requests", "end", id, "--reason", "it is back"]);
    world.json(&world.admin, &["requests", "review", id, "--finding", "as it should be"]);
    let used =
        run(world.hoop(&world.admin).args(["audit", "ls", "--code", "sealed_codes.used", "-o", "json"]));
    assert!(used.contains("\"ben\"") && used.contains("\"cat\"") && !used.contains(code(0)), "{used}");
}

/// A second factor that is too old is proven again where it was proven first, by the same person, and counts at the
/// terminal that asked for it.
#[test]
fn a_fresh_second_factor_is_proven_at_the_provider() {
    const ANEW: &str = "/api/v1/auth/step-up/oidc?return=%2Fstep-up";
    let (world, provider) = with_provider();
    let ada = at_a_terminal(&world, &provider);
    world.rule(json!({ "conditions": { "mfa": { "max_age": "15s" } } }));
    let psql = || {
        let mut psql = world.hoop(&ada);
        psql.args(["connect", "pg", "--", "psql", "-XAtqc", "SELECT 'in'"]);
        psql.output().unwrap()
    };
    wait_until("a second factor that is too old", || {
        String::from_utf8(psql().stderr).unwrap().contains("HOOP-2003").then_some(())
    });
    let mut waiting = LoginWaiting::of(world.hoop(&ada).args(["step-up", "--browser"]));
    let page = waiting.after("https://");
    let code = page.rsplit("code=").next().unwrap().to_owned();

    let mut browser = world.browser("hers");
    let before = browser.whoami().json();
    let somebody_else = provider.consent(&world.browser("his"), &browser.get(ANEW), "bob");
    let refused = browser.get(&somebody_else);
    assert!(refused.redirect.contains("error=HOOP-3043"), "{refused:?}");
    assert_eq!(browser.whoami().json()["mfa_at"], before["mfa_at"]);
    assert_eq!(browser.whoami().json()["name"], "ada@example.test", "nobody changed places");

    let callback = provider.consent(&browser, &browser.get(ANEW), "ada");
    let back = browser.get(&callback);
    assert_eq!((back.status, back.redirect), (303, format!("{}/step-up", browser.origin())));
    let after = browser.whoami().json();
    assert!(after["mfa_at"].as_str() > before["mfa_at"].as_str(), "{before} {after}");
    assert_eq!((&after["login"], &after["id"]), (&before["login"], &before["id"]));

    let approval = json!({ "user_code": code, "approve": true });
    assert_eq!(browser.post("/api/v1/auth/step-up/approve", &approval).status, 204);
    let (status, told) = waiting.finish();
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(String::from_utf8(psql().stdout).unwrap().trim(), "in");
}

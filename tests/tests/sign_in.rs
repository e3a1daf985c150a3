//! Every way to sign in here, over real processes: the command line's flows, set-up, tokens; and
//! what somebody would try who is not entitled to it (THREATS A3, A7, A8, A9, E4).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoop_testkit::{Browser, LoginWaiting, Person, Reply, World, WorldOptions, run, totp_ahead, totp_now};
use serde_json::{Value, json};

// --- the command line's flows

fn query(url: &str, key: &str) -> String {
    url.split(['?', '&']).find_map(|part| part.strip_prefix(&format!("{key}="))).unwrap().to_owned()
}

#[test]
fn the_browser_approves_a_command_line() {
    let world = World::start();
    let mut browser = world.signed_in_browser(&world.engineer);
    let mut login = LoginWaiting::start(&world, "by-browser", "--no-browser");
    let url = login.after("https://");
    assert!(url.starts_with(&format!("{}/cli?", browser.origin())), "{url}");
    let (port, state) = (query(&url, "port"), query(&url, "state"));
    let approval = json!({ "code_challenge": query(&url, "challenge"), "port": port.parse::<u16>().unwrap(), "state": state });

    // Nobody approves without being signed in, or from another site.
    assert_eq!(world.browser("nobody").post("/api/v1/cli-login", &approval).status, 401);
    browser.forget_csrf();
    assert_eq!(browser.post("/api/v1/cli-login", &approval).problem(), (403, "HOOP-3030".to_owned()));
    browser.whoami();
    // Nor with a bearer token: one sign-in does not breed others.
    let token = token_of(&world.engineer, "access");
    assert_ne!(post_as(&world, "/api/v1/cli-login", &token, &approval).status, 200);

    let location =
        browser.post("/api/v1/cli-login", &approval).json()["location"].as_str().unwrap().to_owned();
    assert!(location.starts_with(&format!("http://127.0.0.1:{port}/callback?")), "{location}");
    // Another page that guessed the port brings a code of its own: told apart by the state.
    for wrong in [location.replace(&state, "guessed"), location.replace("/callback", "/")] {
        assert_eq!(browser.get(&wrong).status, 404, "{wrong}");
    }
    assert_eq!(browser.get(&location).status, 200);
    let (code, told) = login.finish();
    assert_eq!(code, Some(0), "{told}");
    let me = world.json(&world.profile("by-browser"), &["whoami"]);
    assert_eq!((&me["name"], &me["method"]), (&json!("ada"), &json!("password_totp")), "{me}");

    // The code was used: without the verifier it would not have been good either.
    let reuse = json!({ "grant_type": "authorization_code", "code": query(&location, "code"), "code_verifier": "a".repeat(43) });
    assert_eq!(browser.post("/api/v1/token", &reuse).problem(), (400, "HOOP-3023".to_owned()));
}

#[test]
fn a_code_is_worth_nothing_without_its_verifier() {
    let world = World::start();
    let browser = world.signed_in_browser(&world.engineer);
    let mut login = LoginWaiting::start(&world, "robbed", "--no-browser");
    let url = login.after("https://");
    let approval = json!({ "code_challenge": query(&url, "challenge"), "port": query(&url, "port").parse::<u16>().unwrap(), "state": query(&url, "state") });
    let location =
        browser.post("/api/v1/cli-login", &approval).json()["location"].as_str().unwrap().to_owned();
    // A thief who saw the redirect is first; that uses the code up, and the ledger says so.
    let theft = json!({ "grant_type": "authorization_code", "code": query(&location, "code"), "code_verifier": "a".repeat(43) });
    assert_eq!(browser.post("/api/v1/token", &theft).problem(), (400, "HOOP-3023".to_owned()));
    assert_eq!(browser.get(&location).status, 200);
    let (code, told) = login.finish();
    assert!(code != Some(0) && told.contains("HOOP-3023"), "{code:?} {told}");
    let events = run(world.hoop(&world.admin).args(["audit", "ls", "--code", "login.failed", "-o", "json"]));
    assert!(events.contains("PKCE"), "{events}");
}

#[test]
fn a_device_is_approved_or_refused_by_its_code() {
    let world = World::start();
    let browser = world.signed_in_browser(&world.engineer);
    let mut login = LoginWaiting::start(&world, "device", "--device");
    assert_eq!(login.after("Open"), format!("Open  {}/device", browser.origin()));
    let code = login.after("Type").trim_start_matches("Type").trim().to_owned();
    let decide = |code: &str, approve: bool| json!({ "user_code": code, "approve": approve });
    assert_eq!(world.browser("nobody").post("/api/v1/device/approve", &decide(&code, true)).status, 401);
    for guess in ["BCDF-GHJK", "", "x"] {
        assert_eq!(
            browser.post("/api/v1/device/approve", &decide(guess, true)).problem(),
            (404, "HOOP-7002".to_owned())
        );
    }
    // As people type: lower case, without the dash.
    let typed = code.to_lowercase().replace('-', "");
    assert_eq!(browser.post("/api/v1/device/approve", &decide(&typed, true)).status, 204);
    assert_eq!(browser.post("/api/v1/device/approve", &decide(&code, false)).status, 404, "decided once");
    let (status, told) = login.finish();
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(world.json(&world.profile("device"), &["whoami"])["name"], "ada");

    let mut login = LoginWaiting::start(&world, "refused", "--device");
    let code = login.after("Type").trim_start_matches("Type").trim().to_owned();
    assert_eq!(browser.post("/api/v1/device/approve", &decide(&code, false)).status, 204);
    let (status, told) = login.finish();
    assert!(status == Some(3) && told.contains("HOOP-3022"), "{status:?} {told}");
    assert!(!world.folder.path().join("profiles/refused/profile.toml").exists(), "nothing is kept");
}

// --- tokens

/// A field of a profile.
fn token_of(person: &Person, field: &str) -> String {
    let profile = std::fs::read_to_string(person.profile.join("profile.toml")).unwrap();
    let line = profile.lines().find(|line| line.trim_start().starts_with(field)).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

fn post_as(world: &World, path: &str, token: &str, body: &Value) -> Reply {
    world.browser("bearer").post_as(path, token, body)
}

fn refresh(browser: &Browser, token: &str) -> Reply {
    browser.post("/api/v1/token", &json!({ "grant_type": "refresh_token", "refresh_token": token }))
}

#[test]
fn tokens_are_renewed_and_a_stolen_one_ends_the_sign_in() {
    let world =
        World::with(WorldOptions { gateway: "[tokens]\naccess = \"2s\"\n", ..WorldOptions::default() });
    let client = world.browser("client");
    let (access, stolen) = (token_of(&world.engineer, "access"), token_of(&world.engineer, "refresh"));
    hoop_testkit::wait_until("the end of the access token's life", || {
        (client.get_as("/api/v1/whoami", &access).status == 401).then_some(())
    });
    // The command line does not notice: it renews, and keeps the new pair.
    assert_eq!(world.json(&world.engineer, &["whoami"])["name"], "ada");
    let renewed = token_of(&world.engineer, "refresh");
    assert!(renewed != stolen && token_of(&world.engineer, "access") != access);
    // Whoever has the old one now gives himself away: nobody keeps the sign-in.
    assert_eq!(refresh(&client, &stolen).status, 401);
    assert_eq!(refresh(&client, &renewed).status, 401);
    let done = world.hoop(&world.engineer).arg("whoami").output().unwrap();
    assert_eq!(done.status.code(), Some(4), "{done:?}");
    let events = run(world.hoop(&world.admin).args(["audit", "ls", "--code", "token.revoked", "-o", "json"]));
    assert!(events.contains("\"reused\":true") || events.contains("\"reused\": true"), "{events}");
}

#[test]
fn sign_out_voids_the_tokens() {
    let world = World::start();
    let client = world.browser("client");
    let (access, renewal) = (token_of(&world.engineer, "access"), token_of(&world.engineer, "refresh"));
    assert_eq!(client.get_as("/api/v1/whoami", &access).status, 200);
    run(world.hoop(&world.engineer).arg("logout"));
    assert_eq!(client.get_as("/api/v1/whoami", &access).status, 401);
    assert_eq!(refresh(&client, &renewal).status, 401);
    let profile = std::fs::read_to_string(world.engineer.profile.join("profile.toml")).unwrap();
    assert!(!profile.contains(&access) && !profile.contains(&renewal));
    // A browser too: the cookie that somebody copied is void.
    let mut browser = world.signed_in_browser(&world.admin);
    assert_eq!(browser.post("/api/v1/logout", &json!({})).status, 204);
    assert_eq!(browser.whoami().status, 401);
}

fn attempt(browser: &Browser, person: &Person, password: &str, code: &str) -> Reply {
    browser.post(
        "/api/v1/login/password",
        &json!({ "name": person.name, "password": password, "code": code, "answer": "tokens" }),
    )
}

#[test]
fn a_code_is_good_once_and_failures_lock() {
    let world = World::start();
    let (browser, ada) = (world.browser("x"), &world.engineer);
    let code = totp_ahead(&ada.totp_secret, 1);
    assert_eq!(attempt(&browser, ada, &ada.password, &code).status, 200);
    let refused = (401, "HOOP-3001".to_owned());
    assert_eq!(attempt(&browser, ada, &ada.password, &code).problem(), refused, "the same code again");
    assert_eq!(
        attempt(&browser, ada, &ada.password, &totp_now(&ada.totp_secret)).problem(),
        refused,
        "an older one"
    );
    for _ in 0..3 {
        assert_eq!(attempt(&browser, ada, "wrong-horse-battery", "000000").problem(), refused);
    }
    let events =
        run(world.hoop(&world.admin).args(["audit", "ls", "--code", "login.locked_out", "-o", "json"]));
    assert!(events.contains("login.locked_out"), "{events}");
    // And the answer does not tell a lock from a wrong password, nor from a person who is not there.
    let nobody = Person { name: "nobody".to_owned(), ..ada.clone() };
    let bodies = [
        attempt(&browser, ada, &ada.password, &code).body,
        attempt(&browser, &nobody, &ada.password, &code).body,
    ];
    assert_eq!(bodies[0], bodies[1]);
    // The sign-in that ada has goes on: a lock-out is no way to throw somebody out.
    assert_eq!(world.json(ada, &["whoami"])["name"], "ada");
}

// --- a new account

#[test]
fn a_new_person_sets_up_their_account_with_the_link_once() {
    let world = World::start();
    let added = world.json(&world.admin, &["admin", "users", "add", "lin", "--group", "engineers"]);
    let link = added.to_string();
    let token = link
        .split(['#', '=', '"', '/', '?', '\\'])
        .find(|part| part.starts_with("hoop_"))
        .unwrap_or_else(|| panic!("{link}"))
        .to_owned();
    let mut browser = world.browser("lin");
    let set_up = |body: Value| browser.post("/api/v1/setup", &body);
    assert_eq!(set_up(json!({ "token": token, "password": "short" })).status, 400);
    assert_eq!(
        set_up(
            json!({ "token": format!("{}x", &token[..token.len() - 1]), "password": "long-enough-for-lin" })
        )
        .problem(),
        (403, "HOOP-3008".to_owned())
    );
    let first = set_up(json!({ "token": token, "password": "long-enough-for-lin" }));
    assert_eq!((first.status, first.json()["active"].clone()), (200, json!(false)), "{first:?}");
    let url = first.json()["otpauth_url"].as_str().unwrap().to_owned();
    let secret = query(&url, "secret");
    let lin = Person {
        name: "lin".to_owned(),
        password: "long-enough-for-lin".to_owned(),
        totp_secret: secret,
        profile: world.folder.path().join("profiles/lin"),
    };
    // Not active yet: no sign-in; and a wrong code activates nothing.
    assert_eq!(attempt(&browser, &lin, &lin.password, &totp_now(&lin.totp_secret)).status, 401);
    assert_eq!(
        set_up(json!({ "token": token, "password": lin.password, "code": "000000" })).problem().1,
        "HOOP-3009"
    );
    let done =
        set_up(json!({ "token": token, "password": lin.password, "code": totp_now(&lin.totp_secret) }));
    assert_eq!(done.json()["active"], true, "{done:?}");
    // The link is used up, and so is that code.
    assert_eq!(
        set_up(json!({ "token": token, "password": "another-password-of-somebody" })).problem(),
        (403, "HOOP-3008".to_owned())
    );
    assert_eq!(attempt(&browser, &lin, &lin.password, &totp_now(&lin.totp_secret)).status, 401);
    let signed_in = browser.post(
        "/api/v1/login/password",
        &json!({ "name": "lin", "password": lin.password, "code": totp_ahead(&lin.totp_secret, 1) }),
    );
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    assert_eq!(browser.whoami().json()["groups"], json!(["engineers"]));
}

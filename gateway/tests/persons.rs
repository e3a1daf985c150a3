//! Several accounts of one person, and administration apart from access: nobody raises themself under a second name
//! (THREATS A16).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Instant;

use common::{Tokens, World, agent::Agent, now, problem};
use hoop_model::{Role, UserName};
use hoop_store::UserChange;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// `root` and `guard` administer. `ada` is root's own account for work; bob and cyd are others. Leads approve and review.
struct Scene {
    world: World,
    agent: Agent,
    root: Tokens,
    guard: Tokens,
    ada: Tokens,
    bob: Tokens,
    eve: Tokens,
}

fn rules() -> Value {
    json!({
        "rules": [{
            "name": "asked", "subjects": { "groups": ["dba"] }, "connections": { "names": ["pg"] },
            "conditions": { "approval": {
                "approvers": { "groups": ["leads"], "roles": ["approver", "admin"] }, "count": 2, "longest": "4h" } },
        }],
        "break_glass": [{
            "name": "oncall", "subjects": { "groups": ["dba"] }, "connections": { "names": ["pg"] },
        }],
    })
}

impl Scene {
    async fn start(separate: bool) -> Self {
        let world = World::with(|config| config.separate_admins = separate).await;
        let mut tokens = Vec::new();
        for (name, role, groups) in [
            ("root", Role::Admin, vec!["dba"]),
            ("guard", Role::Admin, vec![]),
            ("ada", Role::User, vec!["dba"]),
            ("bob", Role::User, vec!["leads"]),
            ("eve", Role::Approver, vec![]),
        ] {
            let mut person = world.person(name, role, &groups).await;
            tokens.push(world.tokens(&mut person).await);
        }
        let [root, guard, ada, bob, eve]: [Tokens; 5] = tokens.try_into().ok().unwrap();
        let agent = Agent::join(&world, "east").await;
        assert_eq!(world.connection(&guard, json!({})).await.status(), StatusCode::OK);
        assert_eq!(world.rules(&guard, rules()).send().await.unwrap().status(), StatusCode::OK);
        Self { world, agent, root, guard, ada, bob, eve }
    }

    async fn call(&self, method: Method, who: &Tokens, path: &str, body: Value) -> Response {
        self.world.request(method, path).json(&body).bearer_auth(&who.access).send().await.unwrap()
    }

    async fn post(&self, who: &Tokens, path: &str, body: Value) -> Response {
        self.call(Method::POST, who, path, body).await
    }

    async fn link(&self, who: &Tokens, one: &str, other: &str) -> Response {
        self.post(who, &format!("/users/{one}/link"), json!({ "account": other })).await
    }

    /// Root is ada, as somebody else has said.
    async fn linked(separate: bool) -> Self {
        let scene = Self::start(separate).await;
        let linked = scene.link(&scene.guard, "root", "ada").await;
        assert_eq!(linked.status(), StatusCode::OK);
        let linked: Value = linked.json().await.unwrap();
        assert_eq!(linked["other_accounts"], json!(["ada"]));
        scene
    }

    async fn ask(&self, who: &Tokens) -> Response {
        let body = json!({ "connection": "pg", "duration_seconds": 7200, "reason": "a slow report" });
        self.post(who, "/requests", body).await
    }

    async fn word(&self, who: &Tokens, id: &str, word: &str) -> (u16, String) {
        let answer = self.post(who, &format!("/requests/{id}/{word}"), json!({})).await;
        if answer.status() == StatusCode::OK { (200, String::new()) } else { problem(answer).await }
    }

    async fn glass(&self, who: &Tokens) -> Response {
        let body = json!({ "connection": "pg", "reason": "the wards are down", "incident": "INC-7" });
        self.post(who, "/break-glass", body).await
    }
}

async fn id(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    body["id"].as_str().unwrap().to_owned()
}

fn refused(code: &str, status: u16) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_second_account_approves_nothing_for_the_first() {
    let scene = Scene::linked(false).await;
    let asked = id(scene.ask(&scene.ada).await).await;
    assert_eq!(scene.word(&scene.root, &asked, "approve").await, refused("HOOP-2023", 403));
    assert_eq!(scene.word(&scene.root, &asked, "deny").await, refused("HOOP-2023", 403));
    let shown: Value = scene
        .call(Method::GET, &scene.root, &format!("/requests/{asked}"), json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(shown["may_decide"], false, "{shown}");
    // Two others are needed still.
    assert_eq!(scene.word(&scene.bob, &asked, "approve").await.0, 200);
    assert_eq!(scene.word(&scene.eve, &asked, "approve").await.0, 200);
    let shown: Value = scene
        .call(Method::GET, &scene.ada, &format!("/requests/{asked}"), json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(shown["state"], "approved");
}

#[tokio::test]
async fn two_accounts_of_one_person_are_one_approver() {
    let scene = Scene::start(false).await;
    assert_eq!(scene.link(&scene.root, "bob", "eve").await.status(), StatusCode::OK);
    let asked = id(scene.ask(&scene.ada).await).await;
    assert_eq!(scene.word(&scene.bob, &asked, "approve").await.0, 200);
    assert_eq!(scene.word(&scene.eve, &asked, "approve").await, refused("HOOP-2024", 403));
    assert_eq!(scene.word(&scene.eve, &asked, "deny").await, refused("HOOP-2024", 403));
    assert_eq!(problem(scene.world.open(&scene.ada).send().await.unwrap()).await, refused("HOOP-2007", 403));
}

#[tokio::test]
async fn what_stood_on_ones_own_word_ends_when_that_is_known() {
    let mut scene = Scene::start(false).await;
    let asked = id(scene.ask(&scene.ada).await).await;
    for who in [&scene.bob, &scene.root] {
        assert_eq!(scene.word(who, &asked, "approve").await.0, 200);
    }
    let session = scene.agent.opened(&scene.world, &scene.ada).await;
    let since = Instant::now();
    assert_eq!(scene.link(&scene.guard, "root", "ada").await.status(), StatusCode::OK);
    scene.world.is_over(&session, since, "approved by oneself").await;
    assert_eq!(problem(scene.world.open(&scene.ada).send().await.unwrap()).await, refused("HOOP-2007", 403));
}

#[tokio::test]
async fn nobody_reviews_or_extends_their_own_emergency_nor_opens_the_next_under_another_name() {
    let scene = Scene::linked(false).await;
    let broken = id(scene.glass(&scene.ada).await).await;
    let extend = json!({ "seconds": 60 });
    let extended = scene.post(&scene.root, &format!("/requests/{broken}/extend"), extend).await;
    assert_eq!(problem(extended).await, refused("HOOP-2026", 403));
    // root is in `dba` too.
    assert_eq!(problem(scene.glass(&scene.root).await).await, refused("HOOP-2022", 403));
    let ended = scene.post(&scene.ada, &format!("/requests/{broken}/end"), json!({ "reason": "over" })).await;
    assert_eq!(ended.status(), StatusCode::OK);
    let finding = json!({ "finding": "as it should be" });
    let review = format!("/requests/{broken}/review");
    assert_eq!(
        problem(scene.post(&scene.root, &review, finding.clone()).await).await,
        refused("HOOP-2026", 403)
    );
    assert_eq!(
        problem(scene.post(&scene.eve, &review, finding.clone()).await).await,
        refused("HOOP-7002", 404)
    );
    assert_eq!(scene.post(&scene.guard, &review, finding).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_raises_or_frees_the_account_that_is_their_own_too() {
    let scene = Scene::linked(false).await;
    let own = || refused("HOOP-3006", 403);
    for change in [
        json!({ "role": "admin" }),
        json!({ "role": "approver" }),
        json!({ "groups": ["dba", "leads"] }),
        json!({ "locked": false }),
    ] {
        let changed = scene.call(Method::PATCH, &scene.root, "/users/ADA", change.clone()).await;
        assert_eq!(problem(changed).await, own(), "{change}");
    }
    assert_eq!(problem(scene.post(&scene.root, "/users/ada/reset", json!({})).await).await, own());
    for name in ["ada", "root"] {
        let unlinked =
            scene.call(Method::DELETE, &scene.root, &format!("/users/{name}/link"), json!({})).await;
        assert_eq!(problem(unlinked).await, own(), "{name}");
    }
    let capability = json!({ "connection": "pg", "holder": "ada", "valid_seconds": 3600, "session_seconds": 600, "uses": 1 });
    assert_eq!(problem(scene.post(&scene.root, "/capabilities", capability).await).await, own());
    // Neither by rules that are about that account, to and fro, nor on trial.
    let mut wider = rules();
    wider["rules"][0]["conditions"] = json!({});
    let mut new = rules();
    new["rules"][0] =
        json!({ "name": "new", "subjects": { "users": ["Ada"] }, "connections": { "names": ["*"] } });
    for changed in [wider, new, json!({})] {
        let put = scene.world.rules(&scene.root, changed.clone()).send().await.unwrap();
        assert_eq!(problem(put).await, own(), "{changed}");
    }
    // Nor by a connection that the account reaches: it could lead anywhere.
    let definition =
        json!({ "agent": "east", "protocol": "postgres", "settings": { "host": "other", "user": "a" } });
    let put = scene.call(Method::PUT, &scene.root, "/connections/pg", definition.clone()).await;
    assert_eq!(problem(put).await, own());
    // What is about others is theirs to change, and others change this.
    let put = scene.call(Method::PUT, &scene.root, "/connections/elsewhere", definition.clone()).await;
    assert_eq!(put.status(), StatusCode::OK);
    let mut others = rules();
    let leads =
        json!({ "name": "leads", "subjects": { "groups": ["leads"] }, "connections": { "names": ["*"] } });
    others["rules"].as_array_mut().unwrap().push(leads);
    assert_eq!(scene.world.rules(&scene.root, others).send().await.unwrap().status(), StatusCode::OK);
    let put = scene.call(Method::PUT, &scene.guard, "/connections/pg", definition).await;
    assert_eq!(put.status(), StatusCode::OK);
    let raised = scene.call(Method::PATCH, &scene.guard, "/users/ada", json!({ "groups": ["dba"] })).await;
    assert_eq!(raised.status(), StatusCode::OK);
    let unlinked = scene.call(Method::DELETE, &scene.guard, "/users/ada/link", json!({})).await;
    assert_eq!(unlinked.status(), StatusCode::NO_CONTENT);
    let again = scene.call(Method::DELETE, &scene.guard, "/users/ada/link", json!({})).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let count = (scene.world.events("user.linked").await, scene.world.events("user.unlinked").await);
    assert_eq!(count, (1, 1), "what was refused changed nothing");
}

#[tokio::test]
async fn two_holders_of_sealed_codes_are_two_people() {
    let scene = Scene::linked(false).await;
    let codes = |holders: Value| json!({ "holders": holders, "needed": 2, "valid_for_seconds": 3600 });
    let one = scene.post(&scene.guard, "/sealed-codes", codes(json!(["ada", "Root"]))).await;
    assert_eq!(problem(one).await, refused("HOOP-3062", 400));
    let two = scene.post(&scene.guard, "/sealed-codes", codes(json!(["ada", "bob"]))).await;
    assert_eq!(two.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_admins_account_opens_nothing_where_administration_is_apart() {
    let mut scene = Scene::start(true).await;
    let own = || refused("HOOP-2015", 403);
    assert_eq!(problem(scene.world.open(&scene.root).send().await.unwrap()).await, own());
    assert_eq!(problem(scene.ask(&scene.root).await).await, own());
    assert_eq!(problem(scene.glass(&scene.root).await).await, own());
    let capability = json!({ "connection": "pg", "holder": "root", "valid_seconds": 3600, "session_seconds": 600, "uses": 1 });
    assert_eq!(problem(scene.post(&scene.guard, "/capabilities", capability).await).await, own());
    let seen: Value =
        scene.call(Method::GET, &scene.root, "/connections", json!({})).await.json().await.unwrap();
    assert_eq!(seen["items"], json!([]));
    let reach: Value = scene
        .call(Method::GET, &scene.guard, "/rules/reach?person=root", json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(reach["items"], json!([]));
    // They administer and decide, and everybody else works as before.
    let asked = id(scene.ask(&scene.ada).await).await;
    for who in [&scene.root, &scene.bob] {
        assert_eq!(scene.word(who, &asked, "approve").await.0, 200);
    }
    let session = scene.agent.opened(&scene.world, &scene.ada).await;
    // Whoever becomes an admin meanwhile leaves.
    let since = Instant::now();
    let raised = scene.call(Method::PATCH, &scene.guard, "/users/ada", json!({ "role": "admin" })).await;
    assert_eq!(raised.status(), StatusCode::OK);
    scene.world.is_over(&session, since, "became an admin").await;
}

#[tokio::test]
async fn sealed_codes_lead_around_nothing() {
    let scene = Scene::start(true).await;
    let made = json!({ "holders": ["ada", "bob"], "needed": 2, "valid_for_seconds": 3600 });
    let made: Value = scene.post(&scene.guard, "/sealed-codes", made).await.json().await.unwrap();
    let codes: Vec<&str> =
        made["codes"].as_array().unwrap().iter().map(|code| code["code"].as_str().unwrap()).collect();
    let sign_in =
        |name: &str| scene.world.post("/login/sealed-codes", &json!({ "name": name, "codes": codes })).send();
    assert_eq!(problem(sign_in("root").await.unwrap()).await, refused("HOOP-3061", 403));
    // The codes are good still, and a role that came after them gives nothing.
    let signed_in = sign_in("ada").await.unwrap();
    assert_eq!(signed_in.status(), StatusCode::OK);
    let ada = Tokens::of(&signed_in.json().await.unwrap());
    let store = scene.world.running.store();
    let user = store.user_by_name(&UserName::new("ada").unwrap()).await.unwrap().unwrap();
    let raise = UserChange { role: Some(Role::Admin), ..UserChange::default() };
    store.change_user(user.id, &raise, now(), &[]).await.unwrap();
    assert_eq!(problem(scene.glass(&ada).await).await, refused("HOOP-2015", 403));
    assert_eq!(scene.call(Method::GET, &ada, "/users", json!({})).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn approvers_see_what_waits_decide_where_a_rule_says_so_and_take_back_what_they_gave() {
    let scene = Scene::start(false).await;
    let asked = id(scene.ask(&scene.ada).await).await;
    let seen = async |who: &Tokens| {
        let page: Value = scene.call(Method::GET, who, "/requests", json!({})).await.json().await.unwrap();
        page["items"].as_array().unwrap().iter().map(|item| item["may_decide"] == true).collect::<Vec<_>>()
    };
    assert_eq!(seen(&scene.eve).await, [true]);
    // Without the role in the rule they look on.
    let mut by_group = rules();
    by_group["rules"][0]["conditions"]["approval"]["approvers"] = json!({ "groups": ["leads"] });
    by_group["rules"][0]["conditions"]["approval"]["count"] = json!(1);
    assert_eq!(scene.world.rules(&scene.guard, by_group).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(seen(&scene.eve).await, [false]);
    assert_eq!(scene.word(&scene.eve, &asked, "approve").await, refused("HOOP-2026", 403));
    assert_eq!(
        scene.word(&scene.root, &asked, "approve").await,
        refused("HOOP-2026", 403),
        "an admin neither"
    );
    let ended = scene.post(&scene.eve, &format!("/requests/{asked}/end"), json!({ "reason": "no" })).await;
    assert_eq!(problem(ended).await, refused("HOOP-2026", 403), "what they did not give they do not take");
    // What they gave they take back, also when the rule names them no more.
    assert_eq!(scene.world.rules(&scene.guard, rules()).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(scene.word(&scene.eve, &asked, "approve").await.0, 200);
    let mut without = rules();
    without["rules"][0]["conditions"]["approval"]["approvers"] = json!({ "groups": ["leads"] });
    assert_eq!(scene.world.rules(&scene.guard, without).send().await.unwrap().status(), StatusCode::OK);
    let ended = scene.post(&scene.eve, &format!("/requests/{asked}/end"), json!({ "reason": "no" })).await;
    assert_eq!(ended.status(), StatusCode::OK);
    // Settled requests of others are not theirs to see, and nothing else is.
    let other = id(scene.ask(&scene.ada).await).await;
    assert_eq!(scene.word(&scene.bob, &other, "deny").await.0, 200);
    assert_eq!(seen(&scene.eve).await, [false], "the one that they decided on");
    for path in ["/users", "/rules", "/audit/events", "/agents"] {
        assert_eq!(
            scene.call(Method::GET, &scene.eve, path, json!({})).await.status(),
            StatusCode::FORBIDDEN
        );
    }
}

#[tokio::test]
async fn an_admin_sees_and_ends_the_sign_ins_of_others() {
    let scene = Scene::start(false).await;
    let path = "/users/bob/logins";
    for who in [&scene.bob, &scene.eve] {
        assert_eq!(scene.call(Method::GET, who, path, json!({})).await.status(), StatusCode::FORBIDDEN);
    }
    let list: Value = scene.call(Method::GET, &scene.root, path, json!({})).await.json().await.unwrap();
    let login = list["items"][0]["id"].as_str().unwrap();
    assert_eq!(list["items"][0]["current"], false);
    let wrong =
        scene.call(Method::DELETE, &scene.root, &format!("/users/eve/logins/{login}"), json!({})).await;
    assert_eq!(wrong.status(), StatusCode::NOT_FOUND, "it is not hers");
    assert_eq!(scene.call(Method::GET, &scene.bob, "/whoami", json!({})).await.status(), StatusCode::OK);
    let ended = scene.call(Method::DELETE, &scene.root, &format!("{path}/{login}"), json!({})).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        scene.call(Method::GET, &scene.bob, "/whoami", json!({})).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let all = scene.call(Method::DELETE, &scene.root, "/users/eve/logins", json!({})).await;
    assert_eq!(all.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        scene.call(Method::GET, &scene.eve, "/whoami", json!({})).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(scene.call(Method::GET, &scene.root, "/whoami", json!({})).await.status(), StatusCode::OK);
}

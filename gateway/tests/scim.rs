//! Provisioning as Okta and Entra do it, and as somebody would who has the provider's token and wants more (THREATS A5,
//! A11, A12, A14, A16).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{
    ApiToken, Tokens, World,
    agent::{Agent, session_of},
    now,
};
use hoop_gateway::config::Oidc;
use hoop_identity::token::{Kind, Token};
use hoop_model::{AuthMethod, FactorKind, LoginId, Mfa, Role, TokenId, UserId, UserName};
use hoop_store::{ClientKind, NewLogin, NewToken, OidcUser, Proof, TokenKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const ISSUER: &str = "https://idp.example";

struct Scene {
    world: World,
    admin: Tokens,
    token: ApiToken,
}

impl Scene {
    async fn start() -> Self {
        let world = World::with(|config| {
            config.oidc = Some(Oidc {
                issuer: ISSUER.into(),
                client_id: "hoop".into(),
                client_secret: None,
                label: "IdP".into(),
                groups_claim: "groups".into(),
                scopes: Vec::new(),
                mfa_amr: Vec::new(),
                mfa_acr: Vec::new(),
                admin_groups: Vec::new(),
                auditor_groups: Vec::new(),
                approver_groups: Vec::new(),
                recheck: Duration::from_secs(3600),
            });
        })
        .await;
        let mut root = world.person("root", Role::Admin, &[]).await;
        let admin = world.tokens(&mut root).await;
        world.service_account(&admin, "okta", "user").await;
        let token = world.api_token(&admin, "okta", "scim").await;
        Self { world, admin, token }
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.raw(method, path, body.to_string().into_bytes()).await
    }

    async fn raw(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Value) {
        let url = format!("https://localhost:{}/scim/v2{path}", self.world.running.addr.port());
        let request = self.world.client.request(method.parse().unwrap(), url).bearer_auth(&self.token.secret);
        let request = if method == "GET" { request } else { request.body(body) };
        let answer = request.header("content-type", "application/scim+json").send().await.unwrap();
        let status = answer.status();
        if status == StatusCode::NO_CONTENT {
            return (204, Value::Null);
        }
        assert_eq!(answer.headers()["content-type"], "application/scim+json", "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let body: Value = answer.json().await.unwrap();
        if !status.is_success() {
            assert_eq!(body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
            assert_eq!(body["status"], status.as_str());
        }
        (status.as_u16(), body)
    }

    async fn find(&self, place: &str, filter: &str) -> (u16, Value) {
        let encoded: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
        self.call("GET", &format!("{place}?filter={encoded}"), json!(null)).await
    }

    async fn add(&self, name: &str, subject: &str) -> String {
        let (status, made) = self
            .call("POST", "/Users", json!({ "userName": name, "externalId": subject, "active": true }))
            .await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    async fn add_group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let (status, made) =
            self.call("POST", "/Groups", json!({ "displayName": name, "members": members })).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    async fn patch(&self, path: &str, operations: Value) -> (u16, Value) {
        self.call("PATCH", path, json!({ "Operations": operations })).await
    }

    /// What the provider says of somebody who signs in.
    async fn signs_in(&self, name: &str, subject: &str, role: Option<Role>) -> hoop_store::User {
        let person = OidcUser {
            id: UserId::generate(),
            issuer: ISSUER.into(),
            subject: subject.into(),
            name: UserName::new(name).unwrap(),
            groups: Vec::new(),
            role,
            at: now(),
        };
        self.world.running.store().upsert_oidc(&person, |_, _| Vec::new()).await.unwrap()
    }

    /// The tokens of such a sign-in, with a second factor.
    async fn tokens_of(&self, user: &hoop_store::User) -> Tokens {
        let end = now().after(Duration::from_secs(3600));
        let access = Token::generate(Kind::Access).unwrap();
        let login = NewLogin {
            id: LoginId::generate(),
            user: user.id,
            method: AuthMethod::Oidc,
            mfa: Some(Mfa { at: now(), by: FactorKind::Idp }),
            created_at: now(),
            expires_at: end,
            idle_until: end,
            address: "127.0.0.1".into(),
            client: ClientKind::Cli,
        };
        let kept = NewToken {
            id: TokenId::generate(),
            kind: TokenKind::Access,
            hash: access.hash(),
            expires_at: end,
        };
        self.world.running.store().create_login(&login, &[kept], &Proof::Provider, &[]).await.unwrap();
        Tokens { access: access.secret().expose().clone(), refresh: String::new() }
    }
}

async fn open(world: &World, agent: &mut Agent, who: &Tokens) -> String {
    let opening = tokio::spawn(world.open(who).send());
    let asked = agent.asked().await;
    agent.confirm(&session_of(&asked)).await;
    let answer: Value = opening.await.unwrap().unwrap().json().await.unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_is_switched_off_or_taken_out_of_a_group_loses_sessions_in_two_seconds() {
    let scene = Scene::start().await;
    let mut agent = Agent::join(&scene.world, "east").await;
    assert_eq!(scene.world.connection(&scene.admin, json!({})).await.status(), StatusCode::OK);
    let id = scene.add("ada@example.org", "00u1").await;
    let group = scene.add_group("dba", &[&id]).await;
    let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    let out = json!([{ "op": "Remove", "path": format!("members[value eq \"{id}\"]") }]);
    let ways = [
        ("PATCH", format!("/Groups/{group}"), json!({ "Operations": out })),
        ("PATCH", format!("/Users/{id}"), json!({ "Operations": off })),
        ("PUT", format!("/Groups/{group}"), json!({ "displayName": "dba", "members": [] })),
        (
            "PATCH",
            format!("/Groups/{group}"),
            json!({ "Operations": [{ "op": "replace", "value": { "displayName": "x" } }] }),
        ),
        ("DELETE", format!("/Users/{id}"), json!(null)),
    ];
    for (method, path, body) in ways {
        // As it was: on, in the group, signed in.
        scene.patch(&format!("/Users/{id}"), json!([{ "op": "replace", "value": { "active": true } }])).await;
        let back = json!({ "displayName": "dba", "members": [{ "value": id }] });
        assert_eq!(scene.call("PUT", &format!("/Groups/{group}"), back).await.0, 200);
        let user = scene.signs_in("whatever", "00u1", None).await;
        assert_eq!(user.name.as_str(), "ada@example.org", "the provisioned name stays");
        let tokens = scene.tokens_of(&user).await;
        let session = open(&scene.world, &mut agent, &tokens).await;
        let began = Instant::now();
        assert!(scene.call(method, &path, body).await.0 < 300, "{path}");
        assert_eq!(agent.told_to_end().await.session_id, session, "{path}");
        assert!(began.elapsed() < Duration::from_secs(2), "{path}: {:?}", began.elapsed());
        assert_ne!(scene.world.open(&tokens).send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(scene.call("GET", &format!("/Users/{id}"), json!(null)).await.0, 404);
    // Evidence stays, and names the service account that did it.
    let filter = hoop_store::EventFilter { actor: Some("okta".into()), limit: 100, ..Default::default() };
    let events = scene.world.running.store().search_events(&filter).await.unwrap();
    for code in ["user.created", "user.locked", "user.removed", "group.created", "group.changed"] {
        assert!(events.iter().any(|event| event.code == code), "{code}");
    }
}

#[tokio::test]
async fn a_provider_finds_makes_and_pages() {
    let scene = Scene::start().await;
    let id = scene.add("Ada@example.org", "00u1").await;
    for number in 2..5 {
        scene.add(&format!("p{number}"), &format!("00u{number}")).await;
    }
    for filter in ["userName eq \"ada@EXAMPLE.org\"", "externalId eq \"00u1\"", &format!("id eq \"{id}\"")] {
        let (status, found) = scene.find("/Users", filter).await;
        assert_eq!(
            (status, &found["totalResults"], &found["Resources"][0]["id"]),
            (200, &json!(1), &json!(id))
        );
    }
    for nobody in ["userName eq \"root\"", "userName eq \"no name\"", "externalId eq \"\"", "id eq \"usr_x\""]
    {
        assert_eq!(scene.find("/Users", nobody).await.1["totalResults"], 0, "{nobody}");
    }
    let (_, page) = scene.call("GET", "/Users?startIndex=2&count=2", json!(null)).await;
    assert_eq!(
        (&page["totalResults"], &page["itemsPerPage"], &page["startIndex"]),
        (&json!(4), &json!(2), &json!(2))
    );
    for (query, items) in [
        ("startIndex=0&count=-1", 0),
        ("startIndex=-5&count=99999999999", 4),
        ("startIndex=9999999999999", 0),
        ("startIndex=x&count=y", 4),
    ] {
        let (status, page) = scene.call("GET", &format!("/Users?{query}"), json!(null)).await;
        assert_eq!((status, page["Resources"].as_array().unwrap().len()), (200, items), "{query}");
    }
    let group = scene.add_group("dba", &[&id]).await;
    let (_, found) = scene.find("/Groups", "displayName eq \"dba\"").await;
    assert_eq!(found["Resources"][0]["members"][0]["value"], json!(id));
    let (_, bare) =
        scene.call("GET", &format!("/Groups/{group}?excludedAttributes=members"), json!(null)).await;
    assert!(bare.get("members").is_none() && bare["displayName"] == "dba");
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
        assert_eq!(scene.call("GET", path, json!(null)).await.0, 200, "{path}");
    }
    assert_eq!(scene.call("DELETE", &format!("/Groups/{group}"), json!(null)).await.0, 204);
    assert_eq!(scene.call("GET", &format!("/Groups/{group}"), json!(null)).await.0, 404);
}

#[tokio::test]
async fn nobody_is_taken_over_by_name_and_admins_are_out_of_reach() {
    let scene = Scene::start().await;
    let conflict = |body: Value| {
        let scene = &scene;
        async move {
            let (status, told) = scene.call("POST", "/Users", body).await;
            (status, told["scimType"].as_str().unwrap_or_default().to_owned())
        }
    };
    let taken = (409, "uniqueness".to_owned());
    // Names of a built-in admin and of a service account.
    assert_eq!(conflict(json!({ "userName": "ROOT", "externalId": "x1" })).await, taken);
    assert_eq!(conflict(json!({ "userName": "okta", "externalId": "x2" })).await, taken);
    // An admin of the provider, known by issuer and subject.
    scene.signs_in("boss", "00boss", Some(Role::Admin)).await;
    assert_eq!(conflict(json!({ "userName": "other", "externalId": "00boss" })).await, (403, String::new()));
    assert_eq!(scene.find("/Users", "userName eq \"boss\"").await.1["totalResults"], 0);
    // A role in the body is no role; another subject is another person.
    let eve = scene.add("eve", "00eve").await;
    let words = json!({ "roles": ["admin"], "role": "admin", "userType": "admin", "groups": ["admins"] });
    let (status, _) = scene.patch(&format!("/Users/{eve}"), json!([{ "op": "add", "value": words }])).await;
    assert_eq!(status, 200);
    let (status, told) = scene
        .patch(
            &format!("/Users/{eve}"),
            json!([{ "op": "replace", "path": "externalId", "value": "00boss" }]),
        )
        .await;
    assert_eq!((status, &told["scimType"]), (400, &json!("mutability")));
    let user = scene.world.running.store().user(eve.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((user.role, user.groups.len()), (Role::User, 0));
    // Ids of people who are not provisioned are ids of nobody.
    let root = scene.world.whoami(&scene.admin.access).await["id"].as_str().unwrap().to_owned();
    let off = json!([{ "op": "replace", "value": { "active": false } }]);
    assert_eq!(scene.patch(&format!("/Users/{root}"), off.clone()).await.0, 404);
    assert_eq!(scene.call("DELETE", &format!("/Users/{root}"), json!(null)).await.0, 404);
    let group = json!({ "displayName": "dba", "members": [{ "value": root }] });
    assert_eq!(scene.call("POST", "/Groups", group).await.0, 400);
    // Raised later by an admin: out of reach from then on.
    let raise = scene.world.request(Method::PATCH, "/users/eve").json(&json!({ "role": "admin" }));
    assert_eq!(raise.bearer_auth(&scene.admin.access).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(scene.patch(&format!("/Users/{eve}"), off).await.0, 403);
    assert_eq!(scene.call("DELETE", &format!("/Users/{eve}"), json!(null)).await.0, 403);
}

#[tokio::test]
async fn what_the_provider_gives_an_admin_is_not_given_and_what_it_takes_is_gone() {
    let scene = Scene::start().await;
    let (eve, bob) = (scene.add("eve", "00eve").await, scene.add("bob", "00bob").await);
    let members = json!([{ "value": eve }, { "value": bob }]);
    let (_, dba) = scene.call("POST", "/Groups", json!({ "displayName": "dba", "members": members })).await;
    let (_, leads) = scene.call("POST", "/Groups", json!({ "displayName": "leads" })).await;
    let raise = scene.world.request(Method::PATCH, "/users/eve").json(&json!({ "role": "admin" }));
    assert_eq!(raise.bearer_auth(&scene.admin.access).send().await.unwrap().status(), StatusCode::OK);
    let place = |group: &Value| format!("/Groups/{}", group["id"].as_str().unwrap());
    let join = json!([{ "op": "add", "path": "members", "value": [{ "value": eve }] }]);
    assert_eq!(scene.patch(&place(&leads), join).await.0, 403);
    let list = json!({ "displayName": "leads", "members": [{ "value": eve }, { "value": bob }] });
    let (status, told) = scene.call("PUT", &place(&leads), list).await;
    assert_eq!((status, told["members"].as_array().map(Vec::len)), (200, Some(1)), "{told}");
    // The list that leaves everybody out takes everybody out.
    let (status, told) =
        scene.call("PUT", &place(&dba), json!({ "displayName": "dba", "members": [] })).await;
    assert_eq!(status, 200, "{told}");
    let user = scene.world.running.store().user(eve.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((user.role, user.groups.len()), (Role::Admin, 0));
}

#[tokio::test]
async fn hostile_requests_get_an_answer_in_scims_words() {
    let scene = Scene::start().await;
    let id = scene.add("ada", "00u1").await;
    let long = format!("userName eq \"{}\"", "x".repeat(10_000));
    for filter in ["userName sw \"a\"", "userName eq \"a\" or id pr", "password eq \"x\"", "((((", &long, ""]
    {
        let (status, told) = scene.find("/Users", filter).await;
        assert_eq!(
            (status, &told["scimType"]),
            (400, &json!("invalidFilter")),
            "{}",
            &filter[..filter.len().min(40)]
        );
    }
    for body in [
        json!({ "userName": "a\u{202e}b", "externalId": "x" }),
        json!({ "userName": "a,b", "externalId": "x" }),
        json!({ "userName": "new" }),
        json!({ "externalId": "x" }),
        json!([]),
        json!("x"),
    ] {
        let (status, told) = scene.call("POST", "/Users", body.clone()).await;
        assert_eq!(status, 400, "{body}: {told}");
    }
    for name in ["a,b", "*", "a\nb", "", "\u{430}dmins"] {
        assert_eq!(scene.call("POST", "/Groups", json!({ "displayName": name })).await.0, 400, "{name:?}");
    }
    assert_eq!(scene.raw("POST", "/Users", "[".repeat(500_000).into_bytes()).await.0, 400);
    for wrong in ["usr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "x", "%00", "grp_aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert_eq!(scene.call("GET", &format!("/Users/{wrong}"), json!(null)).await.0, 404, "{wrong}");
        assert_eq!(scene.call("DELETE", &format!("/Groups/{wrong}"), json!(null)).await.0, 404, "{wrong}");
    }
    let half = json!([{ "op": "replace", "value": { "active": false } }, { "op": "explode" }]);
    assert_eq!(scene.patch(&format!("/Users/{id}"), half).await.0, 400);
    assert_eq!(scene.call("GET", &format!("/Users/{id}"), json!(null)).await.1["active"], true);
    // Without the token, and with a person's: SCIM's words too.
    for secret in ["", scene.admin.access.as_str()] {
        let url = format!("https://localhost:{}/scim/v2/Users", scene.world.running.addr.port());
        let answer = scene.world.client.get(url).bearer_auth(secret).send().await.unwrap();
        let expected = if secret.is_empty() { 401 } else { 403 };
        assert_eq!(answer.status(), expected);
        assert_eq!(answer.headers()["content-type"], "application/scim+json");
    }
}

#[tokio::test]
async fn a_new_name_is_no_lock_and_a_lock_hides_no_switch() {
    let scene = Scene::start().await;
    let path = format!("/Users/{}", scene.add("ada@example.org", "00u1").await);
    let renamed = json!({ "userName": "eda@example.org", "externalId": "00u1", "active": true });
    assert_eq!(scene.call("PUT", &path, renamed).await.0, 200);
    assert_eq!((scene.world.events("user.changed").await, scene.world.events("user.locked").await), (1, 0));
    // Switched off at the provider while an admin's lock is on: the admin's unlocking does not switch it on.
    let lock = async |locked: bool| {
        let change = scene.world.request(reqwest::Method::PATCH, "/users/eda@example.org");
        let change = change.bearer_auth(&scene.admin.access).json(&json!({ "locked": locked }));
        assert_eq!(change.send().await.unwrap().status(), StatusCode::OK);
    };
    lock(true).await;
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    assert_eq!(scene.patch(&path, off).await.0, 200);
    lock(false).await;
    assert_eq!(scene.call("GET", &path, json!(null)).await.1["active"], false);
}

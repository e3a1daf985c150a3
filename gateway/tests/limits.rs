//! Lists and evidence are bounded whatever is asked for (THREATS E5, F2): hostile limits, cursors and ids are refused or
//! cut to size, and never fail inside.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{Tokens, World, agent::Agent, now};
use hoop_ledger::{Draft, EventCode};
use hoop_model::{Actor, Role, UserId, UserName};
use reqwest::{Method, StatusCode};
use serde_json::Value;

struct Scene {
    world: World,
    admin: Tokens,
}

/// More than any page holds, of everything.
const MANY: usize = 520;

impl Scene {
    async fn start() -> Self {
        let world = World::start().await;
        let mut root = world.person("root", Role::Admin, &[]).await;
        let admin = world.tokens(&mut root).await;
        let agent = Agent::join(&world, "east").await;
        let store = world.running.store();
        let event = || hoop_store::NewEvent::new(now(), Draft::new(Actor::System, EventCode::LedgerRead));
        store.append(&(0..MANY).map(|_| event()).collect::<Vec<_>>()).await.unwrap();
        for number in 0..MANY {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            let new = hoop_store::NewUser {
                id: UserId::generate(),
                name: UserName::new(format!("person-{number}")).unwrap(),
                role: Role::User,
                groups: Vec::new(),
                setup_token_hash: hash,
                setup_expires_at: now(),
                created_at: now(),
            };
            store.create_user(&new, &[]).await.unwrap();
        }
        let me = world.whoami(&admin.access).await;
        for _ in 0..260 {
            world.stored_session(&agent, me["id"].as_str().unwrap()).await;
        }
        Self { world, admin }
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = self.world.request(Method::GET, path).bearer_auth(&self.admin.access);
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }
}

/// A list, the most that a page of it holds, and how its cursor is called.
const LISTS: [(&str, usize, &str); 3] =
    [("/users", 500, "after"), ("/sessions", 200, "after"), ("/audit/events", 500, "before")];

const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "501",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "99999999999999999999999",
    "-1",
    "1e9",
    "NaN",
    "%00",
    "",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_is_longer_than_its_bound_whatever_is_asked_for() {
    let scene = Scene::start().await;
    for (list, most, cursor) in LISTS {
        let mut full = 0;
        for number in NUMBERS {
            for query in [format!("limit={number}"), format!("limit={number}&{cursor}={number}")] {
                let (status, page) = scene.get(&format!("{list}?{query}")).await;
                assert!(!status.is_server_error(), "{list}?{query}: {status} {page}");
                let length = page["items"].as_array().map_or(0, Vec::len);
                assert!(length <= most, "{list}?{query}: {length} items");
                full += usize::from(length == most);
            }
        }
        assert!(full > 0, "{list}: no page was as long as it may be");
        // What is not known is refused, not left out: a filter with a slip in it must not show everything.
        assert_eq!(scene.get(&format!("{list}?limits=1")).await.0, StatusCode::BAD_REQUEST, "{list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_everything_once() {
    let scene = Scene::start().await;
    for (list, _, cursor) in LISTS.into_iter().take(2) {
        let (mut seen, mut next, mut count) = (BTreeSet::new(), None::<String>, 0);
        loop {
            let after = next.map(|next| format!("&{cursor}={next}")).unwrap_or_default();
            let (status, page) = scene.get(&format!("{list}?limit=100{after}")).await;
            assert_eq!(status, StatusCode::OK);
            for item in page["items"].as_array().unwrap() {
                count += 1;
                seen.insert(item["id"].as_str().unwrap().to_owned());
            }
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        let expected = if list == "/users" { MANY + 1 } else { 260 };
        assert_eq!((seen.len(), count), (expected, expected), "{list}");
    }
}

#[tokio::test]
async fn ids_of_any_kind_are_only_not_there() {
    let world = World::start().await;
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let long = "a".repeat(20_000);
    let ids = [
        "x",
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "ses_",
        "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "usr_aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "18446744073709551616",
        "%F0%9F%92%A9",
        "%ff%fe",
        "'%20or%201=1--",
        &long,
    ];
    for row in hoop_gateway::authorization() {
        let (method, path) = (row.method, row.path);
        let Some(at) = path.find('{') else { continue };
        if path.contains("/logins/") || method == Method::PUT {
            continue;
        }
        let (front, rest) = path.split_at(at);
        let behind = &rest[rest.find('}').unwrap() + 1..];
        for id in ids {
            let url = format!("https://localhost:{}{front}{id}{behind}", world.running.addr.port());
            let request = world.client.request(method.clone(), url).bearer_auth(&admin.access);
            let request = if method == Method::GET { request } else { request.json(&serde_json::json!({})) };
            match request.send().await {
                Ok(response) => {
                    let status = response.status();
                    assert!(
                        status.is_client_error(),
                        "{method} {path} {}: {status}",
                        &id[..id.len().min(40)]
                    );
                }
                // An address that is too long for HTTP itself.
                Err(error) => assert!(id.len() > 10_000, "{path} {id}: {error}"),
            }
        }
    }
    let events = world.events("connection.deleted").await + world.events("agent.removed").await;
    assert_eq!(events, 0);
}

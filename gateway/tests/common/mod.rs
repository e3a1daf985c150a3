//! A gateway in this process, and a client that trusts its CA: what the tests of this folder share.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test file uses some of it"
)]

pub mod agent;
pub mod passkey;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use hoop_gateway::{Gateway, Running, bootstrap, config::Config};
use hoop_identity::{token, totp::TotpSecret};
use hoop_model::{GroupName, Redacted, Role, Timestamp, TokenScope, UserName};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

pub const PASSWORD: &str = "correct horse battery";

pub fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// A person who can sign in.
pub struct Person {
    pub name: String,
    pub totp: TotpSecret,
    /// The last step used: each is good once.
    step: u64,
}

impl Person {
    /// A code that was not used yet: this step's, or the next one's.
    pub fn code(&mut self) -> String {
        let current = hoop_identity::totp::step_at(now()).unwrap();
        self.step = current.max(self.step + 1);
        assert!(self.step <= current + 1, "too many sign-ins of {} in one step", self.name);
        self.totp.code(self.step)
    }
}

pub struct World {
    pub folder: tempfile::TempDir,
    pub running: Running,
    pub client: Client,
    pub config: Config,
}

pub fn base_config(folder: &Path) -> Config {
    let mut config = Config::in_folder(folder).unwrap();
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.limits.login_attempts_per_minute = 1000;
    config
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = base_config(folder.path());
        change(&mut config);
        let running = Gateway::start(config.clone()).await.unwrap();
        let client = client(running.ca_pem());
        Self { folder, running, client, config }
    }

    pub async fn person(&self, name: &str, role: Role, groups: &[&str]) -> Person {
        let groups = groups.iter().map(|group| GroupName::new(*group).unwrap()).collect();
        let password = Some(Redacted::new(PASSWORD.to_owned()));
        let name_ = UserName::new(name).unwrap();
        let added = bootstrap::add_user(&self.config, name_, role, groups, password).await.unwrap();
        let totp = TotpSecret::from_base32(added.totp_secret.expose()).unwrap();
        Person { name: name.to_owned(), totp, step: 0 }
    }

    /// A session is over within two seconds of `since`.
    pub async fn is_over(&self, session: &str, since: Instant, what: &str) {
        let id = session.parse().unwrap();
        while self.running.store().session(id).await.unwrap().unwrap().state.is_live() {
            assert!(since.elapsed() < Duration::from_secs(2), "{what}: it lives on");
            tokio::task::yield_now().await;
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/api/v1{path}", self.running.addr.port())
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    pub async fn sign_in(&self, person: &mut Person, answer: &str) -> Response {
        let code = person.code();
        let body = json!({ "name": person.name, "password": PASSWORD, "code": code, "answer": answer });
        self.post("/login/password", &body).send().await.unwrap()
    }

    pub async fn tokens(&self, person: &mut Person) -> Tokens {
        let response = self.sign_in(person, "tokens").await;
        assert_eq!(response.status(), StatusCode::OK);
        Tokens::of(&response.json().await.unwrap())
    }

    pub async fn browser(&self, person: &mut Person) -> Browser {
        let response = self.sign_in(person, "cookie").await;
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        let me: Value = response.json().await.unwrap();
        Browser { cookie, csrf: me["csrf"].as_str().unwrap().to_owned() }
    }

    /// Starts a sign-in of a device: its secret, and what a person types.
    pub async fn device(&self) -> (String, String) {
        let started: Value = self.post("/device", &json!({})).send().await.unwrap().json().await.unwrap();
        let text = |name: &str| started[name].as_str().unwrap().to_owned();
        (text("device_code"), text("user_code"))
    }

    pub async fn approve(&self, browser: &Browser, user_code: &str, approve: bool) -> Response {
        let approval = json!({ "user_code": user_code, "approve": approve });
        browser.sign(self.post("/device/approve", &approval)).send().await.unwrap()
    }

    pub async fn poll(&self, device_code: &str) -> Response {
        let body = json!({ "grant_type": "device_code", "device_code": device_code });
        self.post("/token", &body).send().await.unwrap()
    }

    /// A code for a command line that has this verifier, approved in a browser.
    pub async fn cli_code(&self, browser: &Browser, verifier: &str) -> String {
        let challenge = data_encoding::BASE64URL_NOPAD.encode(&token::sha256(verifier.as_bytes()));
        let approval = json!({ "code_challenge": challenge, "port": 4000, "state": "s" });
        let answer = browser.sign(self.post("/cli-login", &approval)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let code = answer["location"].as_str().unwrap().split("code=").nth(1).unwrap();
        code.split('&').next().unwrap().to_owned()
    }

    pub async fn redeem_code(&self, code: &str, verifier: &str) -> Response {
        let body = json!({ "grant_type": "authorization_code", "code": code, "code_verifier": verifier });
        self.post("/token", &body).send().await.unwrap()
    }

    pub async fn refresh(&self, token: &str) -> Response {
        let body = json!({ "grant_type": "refresh_token", "refresh_token": token });
        self.post("/token", &body).send().await.unwrap()
    }

    /// An account that is not set up: its set-up token.
    pub async fn invited(&self, admin: &Tokens, name: &str) -> String {
        let new = self.post("/users", &json!({ "name": name, "role": "user", "groups": [] }));
        let made: Value = new.bearer_auth(&admin.access).send().await.unwrap().json().await.unwrap();
        made["setup_url"].as_str().unwrap().split('#').nth(1).unwrap().to_owned()
    }

    /// A session that is in the store alone.
    pub async fn stored_session(&self, agent: &agent::Agent, user: &str) -> String {
        let at = now();
        let new = hoop_store::NewSession {
            id: hoop_model::SessionId::generate(),
            user: user.parse().unwrap(),
            user_name: UserName::new("somebody").unwrap(),
            login: Some(hoop_model::LoginId::generate()),
            connection: hoop_model::ConnectionId::generate(),
            connection_name: hoop_model::ConnectionName::new("pg").unwrap(),
            protocol: hoop_model::ProtocolId::new("postgres").unwrap(),
            agent: agent.id.parse().unwrap(),
            agent_name: hoop_model::AgentName::new("east").unwrap(),
            grant: Vec::new(),
            grant_signature: Vec::new(),
            secret_sealed: Vec::new(),
            connector_key_sha256: [0; 32],
            certificate_expires_at: at,
            address: "127.0.0.1".into(),
            reason: None,
            allowed_because: "test".into(),
            request: None,
            recording_key: None,
            started_at: at,
            ends_at: at.after(Duration::from_secs(600)),
            retention_seconds: None,
        };
        self.running.store().create_session(&new, 1000, &[]).await.unwrap();
        new.id.to_string()
    }

    pub async fn whoami(&self, access: &str) -> Value {
        let me = self.request(Method::GET, "/whoami").bearer_auth(access).send().await.unwrap();
        me.json().await.unwrap()
    }

    /// A connection `pg` through the agent `east`, with changes of its definition, and a rule that opens it to `dba`.
    pub async fn connection(&self, admin: &Tokens, changes: Value) -> Response {
        let mut definition = json!({
            "agent": "east", "protocol": "postgres",
            "settings": { "host": "db", "user": "app", "password": "env:DB" },
        });
        merge(&mut definition, &changes);
        let put = self.request(Method::PUT, "/connections/pg").json(&definition);
        let put = put.bearer_auth(&admin.access).send().await.unwrap();
        let ruled = self.rule(admin, json!({})).send().await.unwrap();
        assert_eq!(ruled.status(), StatusCode::OK);
        put
    }

    /// Makes a service account.
    pub async fn service_account(&self, admin: &Tokens, name: &str, role: &str) -> Response {
        let made = self.post("/service-accounts", &json!({ "name": name, "role": role }));
        made.bearer_auth(&admin.access).send().await.unwrap()
    }

    /// Asks for an API token.
    pub async fn make_api_token(&self, admin: &Tokens, account: &str, body: Value) -> Response {
        let made = self.post(&format!("/service-accounts/{account}/tokens"), &body);
        made.bearer_auth(&admin.access).send().await.unwrap()
    }

    /// An API token of an account.
    pub async fn api_token(&self, admin: &Tokens, account: &str, scope: &str) -> ApiToken {
        let made = self.make_api_token(admin, account, json!({ "name": "a test", "scope": scope })).await;
        assert_eq!(made.status(), StatusCode::OK);
        let made: Value = made.json().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        ApiToken {
            id: text(&made["view"]["id"]),
            scope: scope.parse().unwrap(),
            secret: text(&made["token"]),
        }
    }

    /// Puts one rule in force, with changes: `dba` may open `pg`.
    pub fn rule(&self, admin: &Tokens, changes: Value) -> RequestBuilder {
        let mut rule = json!({
            "name": "dba", "subjects": { "groups": ["dba"] }, "connections": { "names": ["pg"] },
            "limits": { "duration": "8h", "idle": "30m" },
        });
        merge(&mut rule, &changes);
        self.rules(admin, json!({ "rules": [rule] }))
    }

    /// Puts rules in force.
    pub fn rules(&self, admin: &Tokens, rules: Value) -> RequestBuilder {
        let mut document = json!({ "version": 1, "rules": [] });
        merge(&mut document, &rules);
        let put = self.request(Method::PUT, "/rules").json(&json!({ "document": document }));
        put.bearer_auth(&admin.access)
    }

    /// Asks for a session on `pg`.
    pub fn open(&self, who: &Tokens) -> RequestBuilder {
        let key = rcgen::KeyPair::generate().unwrap();
        self.open_for(who, &key)
    }

    /// The same for a key of one's own.
    pub fn open_for(&self, who: &Tokens, key: &rcgen::KeyPair) -> RequestBuilder {
        self.post("/sessions", &opening(key)).bearer_auth(&who.access)
    }

    /// What is sent to open the world's connection.
    pub fn opening(&self) -> Value {
        opening(&rcgen::KeyPair::generate().unwrap())
    }

    pub async fn events(&self, code: &str) -> usize {
        let filter =
            hoop_store::EventFilter { code: Some(code.to_owned()), limit: 500, ..Default::default() };
        self.running.store().search_events(&filter).await.unwrap().len()
    }
}

pub fn client(ca: &str) -> Client {
    // As command lines do; what HTTP/2 has no words for (upgrades, blanks in headers) is tried too.
    Client::builder()
        .http1_only()
        .tls_certs_only([Certificate::from_pem(ca.as_bytes()).unwrap()])
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

#[derive(Debug, Clone)]
pub struct ApiToken {
    pub id: String,
    pub scope: TokenScope,
    pub secret: String,
}

impl ApiToken {
    /// As those tests have it that show a bearer token.
    pub fn bearer(&self) -> Tokens {
        Tokens { access: self.secret.clone(), refresh: String::new() }
    }
}

#[derive(Debug, Clone)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
}

impl Tokens {
    pub fn of(value: &Value) -> Self {
        Self {
            access: value["access_token"].as_str().unwrap().to_owned(),
            refresh: value["refresh_token"].as_str().unwrap().to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Browser {
    pub cookie: String,
    pub csrf: String,
}

impl Browser {
    /// The pair that goes into `cookie:`.
    pub fn pair(&self) -> &str {
        self.cookie.split(';').next().unwrap()
    }

    pub fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("cookie", self.pair()).header("x-hoop-csrf", &self.csrf)
    }
}

pub async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn merge(into: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn opening(key: &rcgen::KeyPair) -> Value {
    let request = rcgen::CertificateParams::default().serialize_request(key).unwrap();
    json!({ "connection": "pg", "csr_pem": request.pem().unwrap() })
}

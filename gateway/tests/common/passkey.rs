//! A browser with an authenticator, before our gateway.

use hoop_testkit::authenticator::{Flaw, Passkey};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Browser, World};

impl World {
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.running.addr.port())
    }

    /// The browser posts, or somebody who is not signed in.
    pub async fn post_by(&self, who: Option<&Browser>, path: &str, body: &Value) -> Response {
        let request = self.post(path, body);
        who.map_or_else(|| self.post(path, body), |browser| browser.sign(request)).send().await.unwrap()
    }

    /// Begins a ceremony: its secret and its options.
    pub async fn begin(&self, who: Option<&Browser>, path: &str) -> (String, Value) {
        let answer = self.post_by(who, &format!("{path}/begin"), &json!({})).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let begun: Value = answer.json().await.unwrap();
        (begun["ceremony"].as_str().unwrap().to_owned(), begun["options"].clone())
    }

    /// Asks to register what the authenticator made.
    pub async fn add_passkey(&self, who: &Browser, name: &str, flaw: Flaw) -> (Passkey, Response) {
        let (ceremony, options) = self.begin(Some(who), "/me/passkeys").await;
        let (key, credential) = Passkey::create(&options, &self.origin(), flaw);
        let body = json!({ "ceremony": ceremony, "name": name, "credential": credential });
        (key, self.post_by(Some(who), "/me/passkeys", &body).await)
    }

    /// A passkey of whoever is signed in there, and its id.
    pub async fn passkey(&self, who: &Browser) -> (Passkey, String) {
        let (key, answer) = self.add_passkey(who, "a key", Flaw::None).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let view: Value = answer.json().await.unwrap();
        (key, view["id"].as_str().unwrap().to_owned())
    }

    /// Signs in with it, or tries to.
    pub async fn sign_in_with(&self, key: &mut Passkey, flaw: Flaw) -> Response {
        let (ceremony, options) = self.begin(None, "/login/passkey").await;
        let credential = key.get(&options, &self.origin(), flaw);
        let body = json!({ "ceremony": ceremony, "credential": credential });
        self.post_by(None, "/login/passkey", &body).await
    }

    /// Proves the second factor with it, or tries to.
    pub async fn step_up_with(&self, who: &Browser, key: &mut Passkey, flaw: Flaw) -> Response {
        let (ceremony, options) = self.begin(Some(who), "/auth/step-up/passkey").await;
        let credential = key.get(&options, &self.origin(), flaw);
        let body = json!({ "ceremony": ceremony, "credential": credential });
        self.post_by(Some(who), "/auth/step-up/passkey", &body).await
    }

    /// The newest event of this code, as the ledger has it.
    pub async fn last_event(&self, code: &str) -> Value {
        let filter = hoop_store::EventFilter { code: Some(code.to_owned()), limit: 1, ..Default::default() };
        let found = self.running.store().search_events(&filter).await.unwrap();
        serde_json::from_slice(&found[0].bytes).unwrap()
    }
}

/// The browser that an answer signs in.
pub async fn browser_of(answer: Response) -> Browser {
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    let me: Value = answer.json().await.unwrap();
    Browser { cookie, csrf: me["csrf"].as_str().unwrap().to_owned() }
}

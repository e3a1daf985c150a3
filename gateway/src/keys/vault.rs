//! Vault's transit engine: an RSA key whose private half never leaves it. Each of its versions is a recording key.
//!
//! <https://developer.hashicorp.com/vault/api-docs/secret/transit>: `GET /v1/MOUNT/keys/NAME` has the public halves by
//! version; `POST /v1/MOUNT/decrypt/NAME` takes `vault:vN:BASE64` and answers base64. Its RSA is OAEP with SHA-256, for
//! MGF1 too, without a label: what our wrapping is.

use std::{collections::BTreeMap, future::ready};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::FutureExt as _;
use hoop_model::Redacted;
use hoop_recording::RecordingPublicKey;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    calls::{self, Answered},
    keeper::{KeeperError, Named},
};
use crate::config::recording_keys::Vault as Config;

/// A key in Vault.
#[derive(Debug)]
pub(super) struct Vault {
    config: Config,
    client: Client,
}

#[derive(Deserialize)]
struct Enveloped<T> {
    data: T,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    latest_version: u64,
    keys: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: Redacted<String>,
}

impl Vault {
    pub(super) fn new(config: &Config) -> Result<Self, KeeperError> {
        Ok(Self { client: calls::client(config.ca.as_ref())?, config: config.clone() })
    }

    /// The newest version's public half.
    pub(super) async fn latest(&self) -> Result<Named, KeeperError> {
        let answered = self.ask(Method::GET, "keys", "", None).await?;
        let Enveloped { data } = read::<Enveloped<Key>>(&answered)?;
        if !data.kind.starts_with("rsa-") {
            let kind: String = data.kind.chars().filter(char::is_ascii_graphic).take(40).collect();
            return Err(KeeperError::Refused(format!(
                "its key is of type {kind}, and rsa-3072 or rsa-4096 is needed"
            )));
        }
        let version = data.latest_version.to_string();
        let pem = data.keys.get(&version).and_then(|key| key.get("public_key")).and_then(Value::as_str);
        let public = RecordingPublicKey::from_pem(pem.unwrap_or_default());
        Named::of_service(public.map_err(|error| error.to_string()), version)
    }

    /// Asks for a new version.
    pub(super) async fn rotate(&self) -> Result<(), KeeperError> {
        self.ask(Method::POST, "keys", "/rotate", Some(json!({}))).await.map(|_| ())
    }

    /// Opens what was wrapped for a version.
    pub(super) async fn decrypt(
        &self,
        version: &str,
        wrapped: &[u8],
    ) -> Result<Redacted<Vec<u8>>, KeeperError> {
        let ciphertext = format!("vault:v{version}:{}", STANDARD.encode(wrapped));
        let answered =
            self.ask(Method::POST, "decrypt", "", Some(json!({ "ciphertext": ciphertext }))).await?;
        let Enveloped { data } = read::<Enveloped<Decrypted>>(&answered)?;
        let plain = STANDARD.decode(data.plaintext.expose());
        plain.map(Redacted::new).map_err(|_| not_understood())
    }

    async fn ask(
        &self,
        method: Method,
        what: &str,
        more: &str,
        body: Option<Value>,
    ) -> Result<Answered, KeeperError> {
        let Config { address, mount, key, .. } = &self.config;
        let url = format!("{}/v1/{mount}/{what}/{key}{more}", address.trim_end_matches('/'));
        let answered =
            calls::call(|| ready(self.request(method.clone(), &url, body.as_ref())).boxed()).await?;
        match answered.status {
            status if status.is_success() => Ok(answered),
            StatusCode::FORBIDDEN => Err(KeeperError::Refused(
                "Vault says 403: the token is not good, or may not do this".to_owned(),
            )),
            StatusCode::NOT_FOUND => {
                Err(KeeperError::Refused("Vault says 404: there is no such key".to_owned()))
            }
            // Also for a version that is below `min_decryption_version`.
            StatusCode::BAD_REQUEST => Err(bad_request(&answered)),
            StatusCode::SERVICE_UNAVAILABLE => {
                Err(KeeperError::Away("Vault is sealed or in maintenance".to_owned()))
            }
            status => Err(KeeperError::Away(format!("Vault says {}", status.as_u16()))),
        }
    }

    /// The token is read each time: whoever renews it writes it anew.
    fn request(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<RequestBuilder, KeeperError> {
        let token = self.config.token.follow().map_err(KeeperError::Refused)?;
        let mut request = self.client.request(method, url).header("X-Vault-Request", "true");
        request = request.header("X-Vault-Token", token.expose());
        if let Some(namespace) = &self.config.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }
}

/// What cannot be decrypted was altered; what is asked of a version that Vault keeps from us is a refusal.
fn bad_request(answered: &Answered) -> KeeperError {
    let text = String::from_utf8_lossy(&answered.body);
    if text.contains("version") {
        return KeeperError::Refused("Vault says 400: this version of the key is not to be used".to_owned());
    }
    KeeperError::Altered
}

fn read<'a, T: Deserialize<'a>>(answered: &'a Answered) -> Result<T, KeeperError> {
    serde_json::from_slice(&answered.body).map_err(|_| not_understood())
}

fn not_understood() -> KeeperError {
    KeeperError::Away("Vault's answer is not understood".to_owned())
}

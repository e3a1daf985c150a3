//! AWS KMS: an asymmetric RSA key for ENCRYPT_DECRYPT, whose private half never leaves it. Each key (ARN) is a recording
//! key; such keys do not rotate, a new one follows the old.
//!
//! Two actions of its JSON protocol (<https://docs.aws.amazon.com/kms/latest/APIReference/>): `GetPublicKey`, and `Decrypt`
//! with `RSAES_OAEP_SHA_256`. Signed with SigV4 by `object_store`, whose credential chain (environment, web identity,
//! container, instance) is the one that recordings in S3 use.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::FutureExt as _;
use hoop_model::Redacted;
use hoop_recording::RecordingPublicKey;
use object_store::{
    aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider},
    client::{HttpRequest, HttpRequestBody},
};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    calls::{self, Answered},
    keeper::{KeeperError, Named},
};
use crate::config::recording_keys::Kms as Config;

const MEDIA: &str = "application/x-amz-json-1.1";

/// A key in KMS.
#[derive(Debug)]
pub(super) struct Kms {
    config: Config,
    client: Client,
    credentials: AwsCredentialProvider,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKey {
    key_id: String,
    public_key: String,
    key_usage: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted {
    plaintext: Redacted<String>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(rename = "__type")]
    kind: String,
}

impl Kms {
    pub(super) fn new(config: &Config) -> Result<Self, KeeperError> {
        // There is no bucket: only the chain of credentials is wanted.
        let chain = AmazonS3Builder::from_env().with_bucket_name("none").with_region(&config.region).build();
        let chain = chain.map_err(|_| KeeperError::Away("AWS credentials are set up wrongly".to_owned()))?;
        Ok(Self {
            client: calls::client(config.ca.as_ref())?,
            credentials: std::sync::Arc::clone(chain.credentials()),
            config: config.clone(),
        })
    }

    /// The configured key's public half.
    pub(super) async fn configured(&self) -> Result<Named, KeeperError> {
        let answered = self.ask("GetPublicKey", &json!({ "KeyId": self.config.key })).await?;
        let key: PublicKey = read(&answered)?;
        if key.key_usage != "ENCRYPT_DECRYPT" {
            let what = "its key is not for ENCRYPT_DECRYPT".to_owned();
            return Err(KeeperError::Refused(what));
        }
        let der = STANDARD.decode(&key.public_key).map_err(|_| not_understood())?;
        let public = RecordingPublicKey::from_der(&der).map_err(|error| error.to_string());
        // AWS answers the ARN, also to an id.
        let arn = if self.config.key.starts_with("arn:") { self.config.key.clone() } else { key.key_id };
        Named::of_service(public, arn)
    }

    /// Opens what was wrapped for a key.
    pub(super) async fn decrypt(&self, arn: &str, wrapped: &[u8]) -> Result<Redacted<Vec<u8>>, KeeperError> {
        let body = json!({
            "KeyId": arn, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256", "CiphertextBlob": STANDARD.encode(wrapped),
        });
        let answered = self.ask("Decrypt", &body).await?;
        let plain = STANDARD.decode(read::<Decrypted>(&answered)?.plaintext.expose());
        plain.map(Redacted::new).map_err(|_| not_understood())
    }

    async fn ask(&self, action: &str, body: &Value) -> Result<Answered, KeeperError> {
        let body = body.to_string();
        let answered = calls::call(|| self.signed(action, &body).boxed()).await?;
        if answered.status.is_success() {
            return Ok(answered);
        }
        let kind =
            serde_json::from_slice::<Complaint>(&answered.body).map(|told| told.kind).unwrap_or_default();
        let kind: String =
            kind.rsplit('#').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
        Err(match kind.as_str() {
            "InvalidCiphertextException" => KeeperError::Altered,
            "KMSInternalException" | "DependencyTimeoutException" | "ThrottlingException" | "" => {
                KeeperError::Away(format!("KMS says {} {kind}", answered.status.as_u16()))
            }
            kind => KeeperError::Refused(format!("KMS says {kind}")),
        })
    }

    /// Signed anew for each try: signatures are good for minutes, credentials may have been renewed.
    async fn signed(&self, action: &str, body: &str) -> Result<RequestBuilder, KeeperError> {
        let credential = self.credentials.get_credential().await;
        // Its own words could hold what the chain was told.
        let credential =
            credential.map_err(|_| KeeperError::Away("there are no AWS credentials".to_owned()))?;
        let url = match &self.config.endpoint {
            Some(endpoint) => format!("{}/", endpoint.trim_end_matches('/')),
            None => format!("https://kms.{}.amazonaws.com/", self.config.region),
        };
        let wrong = |_| KeeperError::Away("the request cannot be made".to_owned());
        let mut request: HttpRequest = http::Request::post(&url)
            .header("content-type", MEDIA)
            .header("x-amz-target", format!("TrentService.{action}"))
            .body(HttpRequestBody::from(body.to_owned()))
            .map_err(|_| KeeperError::Away("the request cannot be made".to_owned()))?;
        AwsAuthorizer::new(&credential, "kms", &self.config.region)
            .try_authorize(&mut request, None)
            .map_err(wrong)?;
        Ok(self.client.post(&url).headers(request.headers().clone()).body(body.to_owned()))
    }
}

fn read<'a, T: Deserialize<'a>>(answered: &'a Answered) -> Result<T, KeeperError> {
    serde_json::from_slice(&answered.body).map_err(|_| not_understood())
}

fn not_understood() -> KeeperError {
    KeeperError::Away("the answer of KMS is not understood".to_owned())
}

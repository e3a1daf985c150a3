//! What kubectl is told by its credential plugin: a certificate and its key (client.authentication.k8s.io).

use hoop_model::{Redacted, Timestamp};
use serde::{Deserialize, Serialize};

use super::kubeconfig::EXEC_VERSION;
use crate::local::ClientCertificate;

/// A certificate for as long as a tunnel may live. Its form on disk is the one that kubectl reads, less the version.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecCredential {
    expiration_timestamp: String,
    client_certificate_data: String,
    client_key_data: String,
}

impl std::fmt::Debug for ExecCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecCredential").field("until", &self.expiration_timestamp).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'a str,
    kind: &'a str,
    status: &'a ExecCredential,
}

impl ExecCredential {
    /// Good until then: a client that lives longer asks again.
    #[must_use]
    pub fn new(shown: &ClientCertificate, until: Timestamp) -> Self {
        Self {
            expiration_timestamp: until.to_string(),
            client_certificate_data: shown.certificate_pem.clone(),
            client_key_data: shown.key_pem.expose().clone(),
        }
    }

    /// What is printed for a client that asks so: `exec_info` is what it put into `KUBERNETES_EXEC_INFO`.
    ///
    /// # Errors
    /// None that happens.
    pub fn answer(&self, exec_info: Option<&str>) -> serde_json::Result<Redacted<String>> {
        let answer = Answer { api_version: version(exec_info), kind: "ExecCredential", status: self };
        serde_json::to_string(&answer).map(Redacted::new)
    }
}

/// The answer must be of the version that the kubeconfig names: ours, unless somebody has written another one there.
fn version(exec_info: Option<&str>) -> &'static str {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Info {
        api_version: String,
    }
    const LATER: &str = "client.authentication.k8s.io/v1";
    let asked = exec_info.and_then(|text| serde_json::from_str::<Info>(text).ok());
    if asked.is_some_and(|info| info.api_version == LATER) { LATER } else { EXEC_VERSION }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_of_the_version_that_was_asked_for_and_printing_shows_no_key() {
        let shown =
            ClientCertificate { certificate_pem: "CERT\n".into(), key_pem: Redacted::new("canary".into()) };
        let credential = ExecCredential::new(&shown, Timestamp::from_micros(1_700_000_000_000_000));
        let read = |info: Option<&str>| -> serde_json::Value {
            serde_json::from_str(credential.answer(info).unwrap().expose()).unwrap()
        };
        assert_eq!(
            read(None),
            serde_json::json!({
                "apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": {
                    "expirationTimestamp": "2023-11-14T22:13:20.000000Z",
                    "clientCertificateData": "CERT\n", "clientKeyData": "canary",
                },
            })
        );
        let later = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{}}"#;
        assert_eq!(read(Some(later))["apiVersion"], "client.authentication.k8s.io/v1");
        assert_eq!(read(Some("nonsense"))["apiVersion"], "client.authentication.k8s.io/v1beta1");
        assert!(!format!("{credential:?}").contains("canary"));
    }
}

//! What the agent shows the cluster: a token, a client certificate, or what a kubeconfig has of them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_engine::{Credential, hosted::TlsKeys};
use hoop_model::{Fault, Redacted};
use http::HeaderValue;
use serde::Deserialize;

use crate::fault;

/// What the credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A bearer token.
    Token,
    /// A kubeconfig.
    Kubeconfig,
    /// A client certificate, which TLS shows by itself.
    Certificate,
}

/// How the agent proves who it is.
#[derive(Clone, Default)]
pub(crate) struct Proof {
    /// `Authorization`, marked as secret.
    pub(crate) authorization: Option<HeaderValue>,
    /// In place of the files that the settings name.
    pub(crate) keys: Option<TlsKeys>,
}

/// Names no secret.
impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof")
            .field("token", &self.authorization.is_some())
            .field("keys", &self.keys.is_some())
            .finish()
    }
}

impl Proof {
    /// # Errors
    /// What the credential lacks; no secret is in it.
    pub(crate) fn of(form: Form, credential: &Credential) -> Result<Self, Fault> {
        let secret = || {
            let secret = credential.password.as_ref().map(|secret| secret.expose().as_str());
            secret.filter(|secret| !secret.is_empty()).ok_or_else(|| fault::credential("it is empty"))
        };
        match form {
            Form::Certificate => Ok(Self::default()),
            Form::Token => Ok(Self { authorization: Some(bearer(secret()?)?), keys: None }),
            Form::Kubeconfig => kubeconfig(secret()?),
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Fault> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
    let mut value =
        value.map_err(|_| fault::credential("the token has characters that no header carries"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What is used of a kubeconfig.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: Option<String>,
    #[serde(default)]
    contexts: Vec<Named<Context>>,
    #[serde(default)]
    clusters: Vec<Named<Cluster>>,
    #[serde(default)]
    users: Vec<Named<User>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    value: T,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    certificate_authority_data: Option<String>,
    certificate_authority: Option<String>,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    client_certificate: Option<String>,
    #[serde(alias = "tokenFile")]
    token_file: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    username: Option<serde::de::IgnoredAny>,
}

fn named<T>(entries: Vec<Named<T>>, name: &str) -> Option<T> {
    entries.into_iter().find(|entry| entry.name == name).map(|entry| entry.value)
}

fn kubeconfig(text: &str) -> Result<Proof, Fault> {
    let wrong = fault::credential;
    // What the parser says could quote the secret.
    let config: Kubeconfig =
        serde_saphyr::from_str(text).map_err(|_| wrong("the kubeconfig cannot be read as one"))?;
    let name = config.current_context.ok_or_else(|| wrong("the kubeconfig has no current-context"))?;
    let context =
        named(config.contexts, &name).ok_or_else(|| wrong("the kubeconfig lacks its current context"))?;
    let cluster =
        named(config.clusters, &context.cluster).ok_or_else(|| wrong("the kubeconfig lacks its cluster"))?;
    let user = named(config.users, &context.user).ok_or_else(|| wrong("the kubeconfig lacks its user"))?;
    if cluster.insecure_skip_tls_verify {
        return Err(wrong("the kubeconfig would trust any server (insecure-skip-tls-verify)"));
    }
    if cluster.certificate_authority.is_some()
        || user.client_certificate.is_some()
        || user.token_file.is_some()
    {
        return Err(wrong(
            "the kubeconfig names files: make it by `kubectl config view --minify --flatten --raw`",
        ));
    }
    if user.exec.is_some() || user.auth_provider.is_some() || user.username.is_some() {
        return Err(wrong("the kubeconfig's user has neither a token nor a client certificate of its own"));
    }
    let pem = |text: Option<String>| {
        let decoded = text.map(|text| STANDARD.decode(text.trim())).transpose();
        decoded.map_err(|_| wrong("data in the kubeconfig is no base64"))
    };
    let identity = match (pem(user.client_certificate_data)?, pem(user.client_key_data)?) {
        (Some(certificate), Some(key)) => {
            let key = String::from_utf8(key).map_err(|_| wrong("the kubeconfig's key is no PEM"))?;
            Some((certificate, Redacted::new(key)))
        }
        (None, None) => None,
        _ => {
            return Err(wrong(
                "the kubeconfig has a client certificate without its key, or the other way round",
            ));
        }
    };
    let authorization = user.token.as_deref().map(bearer).transpose()?;
    if authorization.is_none() && identity.is_none() {
        return Err(wrong("the kubeconfig's user has neither a token nor a client certificate"));
    }
    let authorities = pem(cluster.certificate_authority_data)?;
    let server_name = cluster.tls_server_name;
    Ok(Proof { authorization, keys: Some(TlsKeys { authorities, server_name, identity }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(form: Form, secret: &str) -> Result<Proof, Fault> {
        Proof::of(form, &Credential { user: String::new(), password: Some(secret.to_owned().into()) })
    }

    fn config(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://a', {cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    #[test]
    fn each_form_is_read() {
        let token = proof(Form::Token, "abc\n").unwrap();
        assert_eq!(token.authorization.as_ref().unwrap().to_str().unwrap(), "Bearer abc");
        assert!(!format!("{token:?}{:?}", token.authorization).contains("abc"));
        let config = config(
            "certificate-authority-data: UEVN",
            "client-certificate-data: Q0VSVA==, client-key-data: S0VZ",
        );
        let keys = proof(Form::Kubeconfig, &config).unwrap().keys.unwrap();
        assert_eq!(keys.authorities.as_deref(), Some(&b"PEM"[..]));
        let (certificate, key) = keys.identity.unwrap();
        assert_eq!((&certificate[..], key.expose().as_str()), (&b"CERT"[..], "KEY"));
    }

    #[test]
    fn what_cannot_be_used_is_named_and_no_secret_is() {
        for (config, named) in [
            (config("insecure-skip-tls-verify: true", "token: s3cret"), "insecure"),
            (config("certificate-authority: /ca", "token: s3cret"), "files"),
            (config("", "client-certificate: /c, client-key: /k"), "files"),
            (config("", "tokenFile: /t"), "files"),
            (config("", "exec: {command: id}"), "neither"),
            (config("", "username: a, password: s3cret"), "neither"),
            (config("", ""), "neither"),
            (config("", "client-certificate-data: Q0VSVA=="), "without its key"),
            (config("certificate-authority-data: '%'", "token: s3cret"), "base64"),
            ("s3cret".to_owned(), "cannot be read"),
            (
                config("", "token: s3cret").replace("current-context: c", "current-context: x"),
                "current context",
            ),
        ] {
            let fault = proof(Form::Kubeconfig, &config).unwrap_err();
            assert!(fault.message.contains(named), "{config}: {fault}");
            assert!(!fault.to_string().contains("s3cret"), "{fault}");
        }
        assert!(proof(Form::Token, "").is_err() && proof(Form::Token, "a\u{7f}b").is_err());
    }
}

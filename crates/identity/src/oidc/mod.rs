//! Sign-in through an OpenID Connect provider: the code flow with PKCE, state and nonce.
//!
//! [`Provider::discover`] reads what the provider says about itself; [`Provider::begin`] makes the URL to send the browser
//! to and what to remember ([`Pending`]); [`Provider::finish`] turns the browser's return into an [`Identity`], or says why
//! not. The store must give a [`Pending`] out once: that is what makes a replay useless.

mod claims;
mod error;
#[cfg(test)]
mod tests;
mod token;

use std::{future::Future, pin::Pin, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hoop_model::{GroupName, Redacted, Timestamp, UserName};
use openidconnect::{
    AdditionalProviderMetadata, AsyncHttpClient, AuthType, AuthenticationContextClass, AuthenticationFlow,
    ClientId, ClientSecret, CsrfToken, DiscoveryError, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, ProviderMetadata, RedirectUrl, Scope,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode,
        CoreResponseType, CoreSubjectIdentifierType,
    },
    url::Url,
};
use serde::{Deserialize, Serialize};

pub use claims::MAX_GROUPS;
pub use error::{HttpFailure, OidcError};

use crate::random;

/// The answer to one HTTP request.
pub type HttpAnswer = Pin<Box<dyn Future<Output = Result<http::Response<Vec<u8>>, HttpFailure>> + Send>>;

/// Makes one HTTP request. The caller bounds time and size, follows no redirects (they could lead inside), and trusts the
/// right certificates.
pub type Http = dyn Fn(http::Request<Vec<u8>>) -> HttpAnswer + Send + Sync;

/// [`Http`] as the library calls it. A type of its own, since the compiler cannot prove a closure's future `Send` for every
/// lifetime.
struct Calls<'h>(&'h Http);

impl<'c> AsyncHttpClient<'c> for Calls<'_> {
    type Error = HttpFailure;
    type Future = HttpAnswer;

    fn call(&'c self, request: http::Request<Vec<u8>>) -> HttpAnswer {
        (self.0)(request)
    }
}

/// Which of the provider's words count as a second factor. Empty: none does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MfaEvidence {
    /// Values of `amr` (RFC 8176), such as `otp` or `hwk`.
    pub amr: Vec<String>,
    /// Values of `acr`.
    pub acr: Vec<String>,
}

/// How the provider is configured.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// Issuer URL, exactly as the provider writes it.
    pub issuer: String,
    /// Our id there.
    pub client_id: String,
    /// Our secret there; none for a public client.
    pub client_secret: Option<Redacted<String>>,
    /// Our callback's URL.
    pub redirect_url: String,
    /// Scopes beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that lists groups.
    pub groups_claim: Option<String>,
    /// What counts as a second factor.
    pub mfa: MfaEvidence,
    /// Values of `acr` to ask for.
    pub acr_values: Vec<String>,
}

/// What one sign-in asks for beyond the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// The person must prove themselves again, whatever session they have at the provider.
    pub fresh: bool,
    /// They must have proven themselves within this time.
    pub max_age: Option<Duration>,
}

/// What to remember until the browser returns. Secret: seal it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Comes back in the callback; its hash is a good key to keep the rest under.
    pub state: Redacted<String>,
    nonce: Redacted<String>,
    pkce_verifier: Redacted<String>,
    max_age: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
struct PendingForm {
    state: String,
    nonce: String,
    pkce_verifier: String,
    max_age: Option<Duration>,
}

impl Pending {
    fn new(max_age: Option<Duration>) -> Result<Self, OidcError> {
        let secret = || {
            let bytes = random::<32>().map_err(|_| OidcError::NoRandomness)?;
            Ok(Redacted::new(URL_SAFE_NO_PAD.encode(bytes)))
        };
        Ok(Self { state: secret()?, nonce: secret()?, pkce_verifier: secret()?, max_age })
    }

    /// To be sealed.
    #[must_use]
    pub fn to_secret(&self) -> Redacted<Vec<u8>> {
        let form = PendingForm {
            state: self.state.expose().clone(),
            nonce: self.nonce.expose().clone(),
            pkce_verifier: self.pkce_verifier.expose().clone(),
            max_age: self.max_age,
        };
        Redacted::new(serde_json::to_vec(&form).unwrap_or_default())
    }

    /// From what was sealed.
    #[must_use]
    pub fn from_secret(secret: &Redacted<Vec<u8>>) -> Option<Self> {
        let form: PendingForm = serde_json::from_slice(secret.expose()).ok()?;
        Some(Self {
            state: Redacted::new(form.state),
            nonce: Redacted::new(form.nonce),
            pkce_verifier: Redacted::new(form.pkce_verifier),
            max_age: form.max_age,
        })
    }
}

/// What the browser brought back, as the query of the callback.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Callback {
    /// One-use code.
    #[serde(default)]
    pub code: Option<Redacted<String>>,
    /// As sent.
    #[serde(default)]
    pub state: Option<Redacted<String>>,
    /// Issuer (RFC 9207).
    #[serde(default)]
    pub iss: Option<String>,
    /// Error code instead.
    #[serde(default)]
    pub error: Option<String>,
}

/// Who the provider says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Issuer URL.
    pub issuer: String,
    /// `sub`: with the issuer, the person.
    pub subject: String,
    /// Login name.
    pub name: UserName,
    /// Groups, sorted.
    pub groups: Vec<GroupName>,
    /// The provider saw a second factor.
    pub mfa: bool,
    /// When the person proved themselves, if the provider says.
    pub auth_time: Option<Timestamp>,
    /// For [`Provider::again`], if the provider gives one. It replaces the one before.
    pub refresh_token: Option<Redacted<String>>,
    /// What was left out of the claims, for the log.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Extra {
    /// RFC 9207 §3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Client = token::Client<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider, as it described itself. Discover again after a while: its keys and endpoints change.
#[derive(Debug, Clone)]
pub struct Provider {
    config: OidcConfig,
    metadata: Metadata,
    redirect: RedirectUrl,
}

impl Provider {
    /// Reads the provider's metadata and keys.
    ///
    /// # Errors
    /// [`OidcError::Setting`], [`OidcError::Unreachable`]; [`OidcError::Untrusted`] when it calls itself by another issuer,
    /// or offers an endpoint without TLS.
    pub async fn discover(config: OidcConfig, http: &Http) -> Result<Self, OidcError> {
        let setting = |what: &str| OidcError::Setting(format!("the {what} is no URL with https"));
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|_| setting("issuer"))?;
        let redirect = RedirectUrl::new(config.redirect_url.clone()).map_err(|_| setting("redirect URL"))?;
        if !is_safe(issuer.url()) {
            return Err(setting("issuer"));
        }
        let call = Calls(http);
        let metadata = Metadata::discover_async(issuer, &call).await.map_err(|error| discovery(&error))?;
        let token_endpoint = metadata.token_endpoint().map(|url| url.url());
        let token_endpoint =
            token_endpoint.ok_or_else(|| OidcError::Untrusted("it has no token endpoint".into()))?;
        let endpoints = [metadata.authorization_endpoint().url(), metadata.jwks_uri().url(), token_endpoint];
        if !endpoints.into_iter().all(is_safe) {
            return Err(OidcError::Untrusted("an endpoint is not https".into()));
        }
        Ok(Self { config, metadata, redirect })
    }

    /// Where to send the browser, and what to remember.
    ///
    /// # Errors
    /// [`OidcError::NoRandomness`].
    pub fn begin(&self, wish: Wish) -> Result<(String, Pending), OidcError> {
        let pending = Pending::new(wish.max_age)?;
        let (state, nonce) = (pending.state.expose().clone(), pending.nonce.expose().clone());
        let verifier = PkceCodeVerifier::new(pending.pkce_verifier.expose().clone());
        let client = self.client();
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(self.config.scopes.iter().cloned().map(Scope::new));
        for acr in &self.config.acr_values {
            request = request.add_auth_context_value(AuthenticationContextClass::new(acr.clone()));
        }
        if wish.fresh {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        if let Some(max_age) = wish.max_age {
            request = request.set_max_age(max_age);
        }
        Ok((request.url().0.to_string(), pending))
    }

    fn client(&self) -> Client {
        let secret =
            self.config.client_secret.as_ref().map(|secret| ClientSecret::new(secret.expose().clone()));
        let id = ClientId::new(self.config.client_id.clone());
        let client = token::Client::from_provider_metadata(self.metadata.clone(), id, secret);
        let client = client.set_redirect_uri(self.redirect.clone());
        match self.metadata.token_endpoint_auth_methods_supported() {
            Some(methods) if !methods.contains(&CoreClientAuthMethod::ClientSecretBasic) => {
                client.set_auth_type(AuthType::RequestBody)
            }
            _ => client,
        }
    }
}

/// TLS, or a provider on this very machine (development, tests).
fn is_safe(url: &Url) -> bool {
    let here = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    url.scheme() == "https" || (url.scheme() == "http" && here)
}

/// Bodies stay out: a provider's page is nothing for our log.
fn discovery(error: &DiscoveryError<HttpFailure>) -> OidcError {
    match error {
        DiscoveryError::Request(failure) => OidcError::Unreachable(failure.to_string()),
        DiscoveryError::Response(status, _, _) => OidcError::Unreachable(format!("it answered {status}")),
        DiscoveryError::Validation(what) => OidcError::Untrusted(what.clone()),
        _ => OidcError::Untrusted("its metadata cannot be read".into()),
    }
}

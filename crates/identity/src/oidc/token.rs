//! The way back from the provider: the callback, the code's exchange, the ID token.
//!
//! openidconnect checks signature, `iss`, `aud`, `exp` and the nonce; what it leaves to its user is done here: `azp`,
//! `at_hash`, `auth_time`, the age of the token, and the issuer in the callback (RFC 9207).

use std::time::{Duration, UNIX_EPOCH};

use hoop_model::{Redacted, Timestamp};
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalClaims, AuthorizationCode, ClaimsVerificationError, ClientId,
    EmptyExtraTokenFields, IdTokenFields, IdTokenVerifier, JsonWebKeySet, Nonce, NonceVerifier,
    OAuth2TokenResponse, PkceCodeVerifier, RefreshToken, RequestTokenError, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, TokenResponse, UserInfoClaims, UserInfoError,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::{Callback, Calls, Http, HttpFailure, Identity, OidcError, Pending, Provider, claims};

/// How far the provider's clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(60);
/// An ID token older than this was not made for this sign-in.
const OLDEST: Duration = Duration::from_secs(600);
/// OpenID Connect Core §2: `sub` has at most 255 ASCII characters.
const LONGEST_SUBJECT: usize = 255;

/// Every claim beyond the standard ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Claims {}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Response = StandardTokenResponse<Fields, CoreTokenType>;
type IdToken = openidconnect::IdToken<
    Claims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type IdClaims = openidconnect::IdTokenClaims<Claims, CoreGenderClaim>;
type Verifier = IdTokenVerifier<'static, CoreJsonWebKey>;

pub(super) type Client<A, B, C, D, E, F> = openidconnect::Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Response,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    A,
    B,
    C,
    D,
    E,
    F,
>;

/// Only signatures that a public key verifies: with HS256 whoever knows that public key could sign, with `none` anybody.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What an ID token and userinfo both tell of a person.
struct Told<'a> {
    subject: &'a str,
    preferred_username: Option<&'a str>,
    email: Option<&'a str>,
    email_verified: Option<bool>,
    more: &'a Map<String, Value>,
}

/// The two are different types with the same methods.
macro_rules! told {
    ($claims:ident) => {
        Told {
            subject: $claims.subject().as_str(),
            preferred_username: $claims.preferred_username().map(|name| name.as_str()),
            email: $claims.email().map(|email| email.as_str()),
            email_verified: $claims.email_verified(),
            more: &$claims.additional_claims().all,
        }
    };
}

impl Provider {
    /// Turns the browser's return into a person.
    ///
    /// # Errors
    /// [`OidcError`]; nobody is signed in then.
    pub async fn finish(
        &self,
        callback: &Callback,
        pending: &Pending,
        now: Timestamp,
        http: &Http,
    ) -> Result<Identity, OidcError> {
        let code = self.check_callback(callback, pending)?;
        let response = self.exchange(code, pending, http).await?;
        let id_token = response.id_token().ok_or_else(|| untrusted("there is no ID token"))?;
        let nonce = Nonce::new(pending.nonce.expose().clone());
        let claims = self.verified(id_token, &nonce, &response, now, http).await?;
        let auth_time = check_auth_time(claims, pending.max_age, now)?;
        Ok(Identity { refresh_token: refresh_token(&response), ..self.identity(claims, auth_time)? })
    }

    /// Asks about somebody who signed in before: what they are now. (OpenID Connect Core §12; without an ID token in the
    /// answer, §5.3.) No second factor is proven by this.
    ///
    /// # Errors
    /// [`OidcError::Ended`] when the provider does not stand by the sign-in any more; the others say nothing about it.
    pub async fn again(
        &self,
        token: &Redacted<String>,
        subject: &str,
        now: Timestamp,
        http: &Http,
    ) -> Result<Identity, OidcError> {
        let (client, call, token) = (self.client(), Calls(http), RefreshToken::new(token.expose().clone()));
        let request = client.exchange_refresh_token(&token);
        let request = request.map_err(|_| untrusted("it has no token endpoint"))?;
        let response = request.request_async(&call).await.map_err(|error| match not_exchanged(&error) {
            OidcError::Callback(_) => OidcError::Ended,
            other => other,
        })?;
        let identity = match response.id_token() {
            Some(id_token) => {
                // There was no request of a browser that a nonce could bind it to.
                let any = |_: Option<&Nonce>| Ok(());
                let claims = self.verified(id_token, any, &response, now, http).await?;
                self.identity(claims, None)?
            }
            None => self.user_info(response.access_token(), http).await?,
        };
        if identity.subject != subject {
            return Err(untrusted("it answered about somebody else"));
        }
        Ok(Identity { mfa: false, refresh_token: refresh_token(&response), ..identity })
    }

    async fn user_info(&self, token: &AccessToken, http: &Http) -> Result<Identity, OidcError> {
        let (client, call) = (self.client(), Calls(http));
        let request = client.user_info(token.clone(), None);
        let request = request.map_err(|_| untrusted("it gives neither an ID token nor has it userinfo"))?;
        let claims: UserInfoClaims<Claims, CoreGenderClaim> =
            request.request_async(&call).await.map_err(|error| match error {
                UserInfoError::Request(failure) => OidcError::Unreachable(failure.to_string()),
                UserInfoError::Response(status, ..) => {
                    OidcError::Unreachable(format!("its userinfo answered {status}"))
                }
                _ => untrusted("its userinfo cannot be read"),
            })?;
        self.person(&told!(claims))
    }

    /// The claims of an ID token that is the provider's, for us, and belongs to this answer.
    async fn verified<'t>(
        &self,
        id_token: &'t IdToken,
        nonce: impl NonceVerifier + Copy,
        response: &Response,
        now: Timestamp,
        http: &Http,
    ) -> Result<&'t IdClaims, OidcError> {
        let mut verifier = self.verifier(self.metadata.jwks().clone(), now);
        if matches!(id_token.claims(&verifier, nonce), Err(ref error) if is_unknown_key(error)) {
            // Keys are rotated; whatever says so is believed only after a look at the provider's list of today.
            let call = Calls(http);
            let keys = JsonWebKeySet::fetch_async(self.metadata.jwks_uri(), &call).await;
            verifier = self.verifier(keys.map_err(|error| super::discovery(&error))?, now);
        }
        let claims = id_token.claims(&verifier, nonce).map_err(|error| not_verified(&error))?;
        self.check_authorized_party(claims)?;
        check_access_token(id_token, claims, &verifier, response)?;
        Ok(claims)
    }

    fn check_callback(&self, callback: &Callback, pending: &Pending) -> Result<AuthorizationCode, OidcError> {
        let state = callback.state.as_ref().ok_or(OidcError::Callback("no state"))?;
        if !bool::from(state.expose().as_bytes().ct_eq(pending.state.expose().as_bytes())) {
            return Err(OidcError::Callback("another state"));
        }
        let announced = self.metadata.additional_metadata().authorization_response_iss_parameter_supported;
        match &callback.iss {
            Some(iss) if iss != self.metadata.issuer().as_str() => {
                return Err(OidcError::Callback("another issuer"));
            }
            None if announced => return Err(OidcError::Callback("no issuer")),
            _ => {}
        }
        if let Some(error) = &callback.error {
            // Registered codes are such words; anything else is somebody's text in our page.
            let word = error.len() <= 64 && error.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
            return Err(OidcError::Refused(if word { error.clone() } else { "unknown".into() }));
        }
        let code = callback.code.as_ref().ok_or(OidcError::Callback("no code"))?;
        Ok(AuthorizationCode::new(code.expose().clone()))
    }

    async fn exchange(
        &self,
        code: AuthorizationCode,
        pending: &Pending,
        http: &Http,
    ) -> Result<Response, OidcError> {
        let client = self.client();
        let request = client.exchange_code(code).map_err(|_| untrusted("it has no token endpoint"))?;
        let request =
            request.set_pkce_verifier(PkceCodeVerifier::new(pending.pkce_verifier.expose().clone()));
        let call = Calls(http);
        request.request_async(&call).await.map_err(|error| not_exchanged(&error))
    }

    fn verifier(&self, keys: JsonWebKeySet<CoreJsonWebKey>, now: Timestamp) -> Verifier {
        let id = ClientId::new(self.config.client_id.clone());
        let at = UNIX_EPOCH + now.since(Timestamp::EPOCH);
        IdTokenVerifier::new_public_client(id, self.metadata.issuer().clone(), keys)
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || at.into())
            .set_issue_time_verifier_fn(move |issued| {
                let issued = Timestamp::from_micros(issued.timestamp_micros());
                if issued > now.after(SKEW) {
                    Err("the ID token is of the future".into())
                } else if now.since(issued) > OLDEST {
                    Err("the ID token is old".into())
                } else {
                    Ok(())
                }
            })
    }

    /// OpenID Connect Core §3.1.3.7 items 4 and 5. Further audiences are refused already.
    fn check_authorized_party(&self, claims: &IdClaims) -> Result<(), OidcError> {
        match claims.authorized_party() {
            Some(party) if party.as_str() != self.config.client_id => {
                Err(untrusted("it is for another client (azp)"))
            }
            None if claims.audiences().len() > 1 => Err(untrusted("it has several audiences and no azp")),
            _ => Ok(()),
        }
    }

    fn identity(&self, claims: &IdClaims, auth_time: Option<Timestamp>) -> Result<Identity, OidcError> {
        let methods = claims.auth_method_refs().into_iter().flatten().map(|method| method.as_str());
        let context = claims.auth_context_ref().map(|context| context.as_str());
        let mfa = claims::mfa(&self.config.mfa, methods, context);
        Ok(Identity { mfa, auth_time, ..self.person(&told!(claims))? })
    }

    fn person(&self, told: &Told<'_>) -> Result<Identity, OidcError> {
        let subject = told.subject;
        if subject.is_empty()
            || subject.len() > LONGEST_SUBJECT
            || !subject.bytes().all(|c| (b' '..=b'~').contains(&c))
        {
            return Err(OidcError::Claims("sub is not 1 to 255 ASCII characters".into()));
        }
        let name = claims::name(told.preferred_username, told.email, told.email_verified)?;
        let (groups, notes) = claims::groups(told.more, self.config.groups_claim.as_deref());
        Ok(Identity {
            issuer: self.metadata.issuer().to_string(),
            subject: subject.to_owned(),
            name,
            groups,
            mfa: false,
            auth_time: None,
            refresh_token: None,
            notes,
        })
    }
}

fn refresh_token(response: &Response) -> Option<Redacted<String>> {
    response.refresh_token().map(|token| Redacted::new(token.secret().clone()))
}

/// The access token must be the one that the ID token was made with.
fn check_access_token(
    id_token: &IdToken,
    claims: &IdClaims,
    verifier: &Verifier,
    response: &Response,
) -> Result<(), OidcError> {
    let Some(expected) = claims.access_token_hash() else { return Ok(()) };
    let algorithm = id_token.signing_alg().map_err(|_| untrusted("at_hash cannot be checked"))?;
    let key = id_token.signing_key(verifier).map_err(|_| untrusted("at_hash cannot be checked"))?;
    match AccessTokenHash::from_token(response.access_token(), algorithm, key) {
        Ok(actual) if actual == *expected => Ok(()),
        _ => Err(untrusted("the access token is another one (at_hash)")),
    }
}

/// With a greatest age asked for, the provider must say when, and keep to it.
fn check_auth_time(
    claims: &IdClaims,
    max_age: Option<Duration>,
    now: Timestamp,
) -> Result<Option<Timestamp>, OidcError> {
    let auth_time = claims.auth_time().map(|at| Timestamp::from_micros(at.timestamp_micros()));
    if auth_time.is_some_and(|at| at > now.after(SKEW)) {
        return Err(untrusted("auth_time is of the future"));
    }
    match (max_age, auth_time) {
        (Some(_), None) => Err(untrusted("auth_time was asked for and is not there")),
        (Some(max_age), Some(at)) if now.since(at) > max_age + SKEW => Err(untrusted("the proof is too old")),
        _ => Ok(auth_time),
    }
}

fn untrusted(what: &str) -> OidcError {
    OidcError::Untrusted(what.to_owned())
}

const fn is_unknown_key(error: &ClaimsVerificationError) -> bool {
    matches!(error, ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey))
}

fn not_verified(error: &ClaimsVerificationError) -> OidcError {
    match error {
        ClaimsVerificationError::SignatureVerification(inner) => {
            OidcError::Untrusted(format!("{error}: {inner}"))
        }
        other => OidcError::Untrusted(other.to_string()),
    }
}

/// The provider's own words about a code stay out of the log but for the registered error.
fn not_exchanged(
    error: &RequestTokenError<HttpFailure, StandardErrorResponse<CoreErrorResponseType>>,
) -> OidcError {
    match error {
        RequestTokenError::ServerResponse(answer) => match answer.error() {
            CoreErrorResponseType::InvalidGrant => OidcError::Callback("the code is void"),
            CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient => {
                OidcError::Setting("the provider does not accept the client's id or secret".into())
            }
            _ => OidcError::Unreachable("it refused the code's exchange".into()),
        },
        RequestTokenError::Request(failure) => OidcError::Unreachable(failure.to_string()),
        RequestTokenError::Parse(..) => untrusted("its token response cannot be read"),
        RequestTokenError::Other(_) => OidcError::Unreachable("the code could not be exchanged".into()),
    }
}

//! A provider of our own, which lies in one thing at a time.

use std::sync::{Arc, Mutex};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://idp.example";
const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const NOW_SECONDS: i64 = 1_700_000_000;

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn jwk(key: &EcdsaKeyPair, id: &str) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "alg": "ES256", "x": encode(x), "y": encode(y)})
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

fn sign(key: &EcdsaKeyPair, id: &str, claims: &Value) -> String {
    let text = unsigned(&json!({"alg": "ES256", "kid": id}), claims);
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", encode(signature.as_ref()))
}

/// Answers each path with a document; counts nothing, trusts nobody.
#[derive(Clone)]
struct Idp {
    metadata: Value,
    keys: Arc<Mutex<Value>>,
    token: Arc<Mutex<(u16, Value)>>,
    userinfo: Arc<Mutex<(u16, Value)>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Idp {
    fn new(key: &EcdsaKeyPair) -> Self {
        let metadata = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://idp.example/authorize",
            "token_endpoint": "https://idp.example/token",
            "jwks_uri": "https://idp.example/keys",
            "userinfo_endpoint": "https://idp.example/userinfo",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
        });
        Self {
            metadata,
            keys: Arc::new(Mutex::new(json!({"keys": [jwk(key, "1")]}))),
            token: Arc::new(Mutex::new((200, Value::Null))),
            userinfo: Arc::new(Mutex::new((200, Value::Null))),
            seen: Arc::default(),
        }
    }

    fn http(&self) -> Box<Http> {
        let idp = self.clone();
        Box::new(move |request: http::Request<Vec<u8>>| {
            let (status, body) = match request.uri().path() {
                "/.well-known/openid-configuration" => (200, idp.metadata.clone()),
                "/keys" => (200, idp.keys.lock().unwrap().clone()),
                "/userinfo" => idp.userinfo.lock().unwrap().clone(),
                "/token" => idp.token.lock().unwrap().clone(),
                _ => (404, Value::Null),
            };
            idp.seen.lock().unwrap().push(String::from_utf8_lossy(request.body()).into_owned());
            let response =
                http::Response::builder().status(status).header("content-type", "application/json");
            let response = response.body(body.to_string().into_bytes()).unwrap();
            Box::pin(async move { Ok(response) })
        })
    }

    async fn provider(&self) -> Provider {
        Provider::discover(config(), &*self.http()).await.unwrap()
    }

    fn answer(&self, id_token: &str) {
        *self.token.lock().unwrap() =
            (200, json!({"access_token": "at", "token_type": "Bearer", "id_token": id_token}));
    }
}

fn config() -> OidcConfig {
    OidcConfig {
        issuer: ISSUER.into(),
        client_id: "hoop".into(),
        client_secret: Some(Redacted::new("canary-secret".into())),
        redirect_url: "https://hoop.example/callback".into(),
        scopes: vec!["profile".into(), "email".into()],
        groups_claim: Some("groups".into()),
        mfa: MfaEvidence { amr: vec!["otp".into()], acr: vec![] },
        acr_values: vec!["urn:mfa".into()],
    }
}

fn claims(pending: &Pending) -> Value {
    json!({
        "iss": ISSUER, "aud": "hoop", "sub": "42", "exp": NOW_SECONDS + 60, "iat": NOW_SECONDS,
        "auth_time": NOW_SECONDS - 5, "nonce": pending.nonce.expose(), "preferred_username": "ada",
        "groups": ["dba", "a,b"], "amr": ["pwd", "otp"],
    })
}

fn callback(pending: &Pending) -> Callback {
    Callback {
        code: Some(Redacted::new("code".into())),
        state: Some(pending.state.clone()),
        ..Callback::default()
    }
}

fn untrusted<T: std::fmt::Debug>(result: Result<T, OidcError>, what: &str) {
    assert!(matches!(result, Err(OidcError::Untrusted(_))), "{what}: {result:?}");
}

#[tokio::test]
async fn a_person_signs_in() {
    let key = key();
    let idp = Idp::new(&key);
    let provider = idp.provider().await;
    let (url, pending) =
        provider.begin(Wish { fresh: true, max_age: Some(Duration::from_secs(60)) }).unwrap();
    let url = Url::parse(&url).unwrap();
    let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    let challenge = crate::token::PkceChallenge::parse(&query["code_challenge"]).unwrap();
    assert!(challenge.matches(&pending.pkce_verifier));
    let expected = [
        ("response_type", "code"),
        ("client_id", "hoop"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
        ("max_age", "60"),
        ("acr_values", "urn:mfa"),
        ("scope", "openid profile email"),
        ("redirect_uri", "https://hoop.example/callback"),
        ("state", pending.state.expose()),
        ("nonce", pending.nonce.expose()),
    ];
    for (name, value) in expected {
        assert_eq!(query[name], value, "{name}");
    }

    idp.answer(&sign(&key, "1", &claims(&pending)));
    let pending = Pending::from_secret(&pending.to_secret()).unwrap();
    let identity = provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await.unwrap();
    assert_eq!(
        (identity.issuer.as_str(), identity.subject.as_str(), identity.name.as_str()),
        (ISSUER, "42", "ada")
    );
    assert_eq!(
        (identity.groups, identity.mfa, identity.notes.len()),
        (vec![GroupName::new("dba").unwrap()], true, 1)
    );
    assert_eq!(identity.auth_time, Some(Timestamp::from_micros((NOW_SECONDS - 5) * 1_000_000)));
    let exchanged = idp.seen.lock().unwrap().pop().unwrap();
    assert!(exchanged.contains(&format!("code_verifier={}", pending.pkce_verifier.expose())));
    assert!(!format!("{pending:?} {provider:?}").contains("canary"));
}

#[tokio::test]
async fn a_lie_in_one_claim_is_refused() {
    let key = key();
    let idp = Idp::new(&key);
    let provider = idp.provider().await;
    let (_, pending) = provider.begin(Wish::default()).unwrap();
    let lies = [
        ("iss", json!("https://evil.example")),
        ("iss", json!("https://idp.example/")),
        ("iss", Value::Null),
        ("aud", json!("other")),
        ("aud", json!(["hoop", "other"])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("azp", json!("other")),
        ("exp", json!(NOW_SECONDS)),
        ("exp", json!(NOW_SECONDS - 1)),
        ("exp", Value::Null),
        ("iat", json!(NOW_SECONDS + 61)),
        ("iat", json!(NOW_SECONDS - 601)),
        ("nonce", json!("other")),
        ("nonce", json!("")),
        ("nonce", Value::Null),
        ("auth_time", json!(NOW_SECONDS + 61)),
        ("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
    ];
    for (name, value) in lies {
        let mut claims = claims(&pending);
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
        idp.answer(&sign(&key, "1", &claims));
        untrusted(
            provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await,
            &format!("{name}: {value}"),
        );
    }
    let mut good = claims(&pending);
    good["azp"] = json!("hoop");
    // SHA-256("at"), left half.
    good["at_hash"] = json!(encode(&crate::token::sha256(b"at")[..16]));
    idp.answer(&sign(&key, "1", &good));
    provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await.unwrap();
}

#[tokio::test]
async fn a_signature_that_is_not_the_providers_is_refused() {
    let key = key();
    let idp = Idp::new(&key);
    let provider = idp.provider().await;
    let (_, pending) = provider.begin(Wish::default()).unwrap();
    let claims = claims(&pending);
    let hs256 = |secret: &[u8]| {
        let text = unsigned(&json!({"alg": "HS256", "kid": "1"}), &claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        format!("{text}.{}", encode(tag.as_ref()))
    };
    let good = sign(&key, "1", &claims);
    let (body, signature) = good.rsplit_once('.').unwrap();
    let other = self::key();
    let tokens = [
        ("another key", sign(&other, "1", &claims)),
        ("another key under another id", sign(&other, "2", &claims)),
        ("none", format!("{}.", unsigned(&json!({"alg": "none"}), &claims))),
        ("None", format!("{}.", unsigned(&json!({"alg": "None"}), &claims))),
        ("none with a signature", format!("{}.{signature}", unsigned(&json!({"alg": "none"}), &claims))),
        ("no signature", format!("{body}.")),
        ("HS256 with the public key", hs256(key.public_key().as_ref())),
        ("HS256 with the client's secret", hs256(b"canary-secret")),
        (
            "changed claims",
            format!(
                "{}.{signature}",
                unsigned(
                    &json!({"alg": "ES256", "kid": "1"}),
                    &json!({
                        "iss": ISSUER, "aud": "hoop", "sub": "root", "exp": NOW_SECONDS + 60, "iat": NOW_SECONDS,
                        "nonce": pending.nonce.expose(), "preferred_username": "root",
                    })
                )
            ),
        ),
        ("a critical header", {
            let text = unsigned(&json!({"alg": "ES256", "kid": "1", "crit": ["x"], "x": 1}), &claims);
            format!("{text}.{}", encode(key.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref()))
        }),
        ("garbage", "x.y.z".into()),
        ("nothing", String::new()),
    ];
    for (what, token) in tokens {
        idp.answer(&token);
        untrusted(provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await, what);
    }
    *idp.token.lock().unwrap() = (200, json!({"access_token": "at", "token_type": "Bearer"}));
    untrusted(provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await, "no ID token");
}

#[tokio::test]
async fn a_rotated_key_is_fetched() {
    let (old, new) = (key(), key());
    let idp = Idp::new(&old);
    let provider = idp.provider().await;
    let (_, pending) = provider.begin(Wish::default()).unwrap();
    *idp.keys.lock().unwrap() = json!({"keys": [jwk(&new, "2")]});
    idp.answer(&sign(&new, "2", &claims(&pending)));
    provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await.unwrap();
}

#[tokio::test]
async fn a_callback_of_another_sign_in_is_refused() {
    let key = key();
    let mut idp = Idp::new(&key);
    idp.metadata["authorization_response_iss_parameter_supported"] = json!(true);
    let provider = idp.provider().await;
    let ((_, ours), (_, theirs)) =
        (provider.begin(Wish::default()).unwrap(), provider.begin(Wish::default()).unwrap());
    idp.answer(&sign(&key, "1", &claims(&ours)));
    let good = Callback { iss: Some(ISSUER.into()), ..callback(&ours) };
    let wrong = [
        ("no state", Callback { state: None, ..good.clone() }),
        ("another browser's state", Callback { state: Some(theirs.state.clone()), ..good.clone() }),
        ("an empty state", Callback { state: Some(Redacted::new(String::new())), ..good.clone() }),
        ("another issuer", Callback { iss: Some("https://evil.example".into()), ..good.clone() }),
        ("no issuer though announced", Callback { iss: None, ..good.clone() }),
        ("no code", Callback { code: None, ..good.clone() }),
    ];
    for (what, callback) in wrong {
        let result = provider.finish(&callback, &ours, NOW, &*idp.http()).await;
        assert!(matches!(result, Err(OidcError::Callback(_))), "{what}: {result:?}");
    }
    // The other browser's sign-in with our code: its nonce is another.
    let stolen = Callback { state: Some(theirs.state.clone()), ..good.clone() };
    untrusted(provider.finish(&stolen, &theirs, NOW, &*idp.http()).await, "a code of another sign-in");
    for (error, shown) in
        [("access_denied", "access_denied"), ("<script>", "unknown"), (&*"x".repeat(65), "unknown")]
    {
        let refused = Callback { error: Some(error.into()), ..good.clone() };
        let result = provider.finish(&refused, &ours, NOW, &*idp.http()).await;
        assert_eq!(result, Err(OidcError::Refused(shown.into())));
    }
    provider.finish(&good, &ours, NOW, &*idp.http()).await.unwrap();
}

#[tokio::test]
async fn an_age_asked_for_is_kept_to() {
    let key = key();
    let idp = Idp::new(&key);
    let provider = idp.provider().await;
    let (_, pending) = provider.begin(Wish { fresh: false, max_age: Some(Duration::from_secs(60)) }).unwrap();
    for (auth_time, good) in [(Some(0), true), (Some(-100), true), (Some(-121), false), (None, false)] {
        let mut claims = claims(&pending);
        claims.as_object_mut().unwrap().remove("auth_time");
        if let Some(ago) = auth_time {
            claims["auth_time"] = json!(NOW_SECONDS + ago);
        }
        idp.answer(&sign(&key, "1", &claims));
        let result = provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await;
        assert_eq!(result.is_ok(), good, "{auth_time:?}: {result:?}");
    }
}

#[tokio::test]
async fn claims_that_make_no_account_are_refused() {
    let key = key();
    let idp = Idp::new(&key);
    let provider = idp.provider().await;
    let (_, pending) = provider.begin(Wish::default()).unwrap();
    let mut unverified = claims(&pending);
    unverified.as_object_mut().unwrap().remove("preferred_username");
    unverified["email"] = json!("ada@example.org");
    unverified["email_verified"] = json!(false);
    let mut injecting = claims(&pending);
    injecting["preferred_username"] = json!("ada\nadmin");
    let mut nobody = claims(&pending);
    nobody["sub"] = json!("");
    let mut endless = claims(&pending);
    endless["sub"] = json!("x".repeat(256));
    for claims in [unverified, injecting, nobody, endless] {
        idp.answer(&sign(&key, "1", &claims));
        let result = provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await;
        assert!(matches!(result, Err(OidcError::Claims(_))), "{claims}: {result:?}");
    }
}

#[tokio::test]
async fn a_code_is_exchanged_by_the_provider_alone() {
    let idp = Idp::new(&key());
    let provider = idp.provider().await;
    let (_, pending) = provider.begin(Wish::default()).unwrap();
    let answers = [
        (400, json!({"error": "invalid_grant"}), OidcError::Callback("the code is void")),
        (
            401,
            json!({"error": "invalid_client"}),
            OidcError::Setting("the provider does not accept the client's id or secret".into()),
        ),
        (
            500,
            json!({"error": "server_error"}),
            OidcError::Unreachable("it refused the code's exchange".into()),
        ),
    ];
    for (status, body, expected) in answers {
        *idp.token.lock().unwrap() = (status, body);
        let result = provider.finish(&callback(&pending), &pending, NOW, &*idp.http()).await;
        assert_eq!(result, Err(expected));
    }
}

#[tokio::test]
async fn a_provider_that_lies_about_itself_is_refused() {
    let lies = [
        ("issuer", json!("https://evil.example")),
        ("token_endpoint", json!("http://idp.example/token")),
        ("jwks_uri", json!("http://idp.example/keys")),
        ("authorization_endpoint", json!("ftp://idp.example/")),
        ("token_endpoint", Value::Null),
    ];
    for (name, value) in lies {
        let mut idp = Idp::new(&key());
        idp.metadata[name] = value.clone();
        untrusted(Provider::discover(config(), &*idp.http()).await, &format!("{name}: {value}"));
    }
    let idp = Idp::new(&key());
    for issuer in ["", "idp.example", "http://idp.example", "file:///etc/passwd"] {
        let config = OidcConfig { issuer: issuer.into(), ..config() };
        let result = Provider::discover(config, &*idp.http()).await;
        assert!(matches!(result, Err(OidcError::Setting(_))), "{issuer}: {result:?}");
    }
}

/// Somebody who signed in before, as the provider tells of them now: no nonce.
fn now_claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "hoop", "sub": "42", "exp": NOW_SECONDS + 60, "iat": NOW_SECONDS,
        "preferred_username": "ada", "groups": ["readers"], "amr": ["pwd", "otp"],
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn again(idp: &Idp) -> Result<Identity, OidcError> {
    let token = Redacted::new("canary-refresh".to_owned());
    idp.provider().await.again(&token, "42", NOW, &*idp.http()).await
}

#[tokio::test]
async fn somebody_is_asked_about_again() {
    let key = key();
    let idp = Idp::new(&key);
    *idp.token.lock().unwrap() = (
        200,
        json!({
            "access_token": "at", "token_type": "Bearer", "refresh_token": "next",
            "id_token": sign(&key, "1", &now_claims(json!({}))),
        }),
    );
    let identity = again(&idp).await.unwrap();
    assert_eq!((identity.name.as_str(), identity.groups), ("ada", vec![GroupName::new("readers").unwrap()]));
    assert!(!identity.mfa, "nobody proved anything just now");
    assert_eq!(identity.refresh_token, Some(Redacted::new("next".into())));
    let sent = idp.seen.lock().unwrap().pop().unwrap();
    assert!(sent.contains("grant_type=refresh_token&refresh_token=canary-refresh"), "{sent}");

    // Without an ID token the provider's userinfo tells.
    *idp.token.lock().unwrap() = (200, json!({"access_token": "at", "token_type": "Bearer"}));
    *idp.userinfo.lock().unwrap() =
        (200, json!({"sub": "42", "preferred_username": "ada", "groups": ["leads"], "email": "a@b.org"}));
    let identity = again(&idp).await.unwrap();
    assert_eq!(identity.groups, [GroupName::new("leads").unwrap()]);
    assert_eq!((identity.mfa, identity.refresh_token), (false, None));
}

#[tokio::test]
async fn what_is_told_again_is_believed_no_more_than_at_first() {
    let (key, stranger) = (key(), key());
    let idp = Idp::new(&key);
    let lies = [
        ("somebody else", sign(&key, "1", &now_claims(json!({"sub": "43"})))),
        ("another issuer", sign(&key, "1", &now_claims(json!({"iss": "https://other.example"})))),
        ("another client", sign(&key, "1", &now_claims(json!({"aud": "other"})))),
        ("another party", sign(&key, "1", &now_claims(json!({"azp": "other"})))),
        ("over", sign(&key, "1", &now_claims(json!({"exp": NOW_SECONDS - 1})))),
        ("old", sign(&key, "1", &now_claims(json!({"iat": NOW_SECONDS - 3600})))),
        ("another key", sign(&stranger, "1", &now_claims(json!({})))),
        ("another access token", sign(&key, "1", &now_claims(json!({"at_hash": "AAAA"})))),
        ("no signature", format!("{}.", unsigned(&json!({"alg": "none"}), &now_claims(json!({}))))),
    ];
    for (what, token) in lies {
        idp.answer(&token);
        untrusted(again(&idp).await, what);
    }
    *idp.token.lock().unwrap() = (200, json!({"access_token": "at", "token_type": "Bearer"}));
    for (status, body) in [
        (200, json!({"sub": "43", "preferred_username": "ada", "groups": ["dba"]})),
        (200, json!({"preferred_username": "ada", "groups": ["dba"]})),
        (200, json!("dba")),
    ] {
        *idp.userinfo.lock().unwrap() = (status, body.clone());
        untrusted(again(&idp).await, &body.to_string());
    }
}

#[tokio::test]
async fn only_a_void_token_is_the_end_of_a_sign_in() {
    let idp = Idp::new(&key());
    let table = [
        (400, json!({"error": "invalid_grant"}), Some(OidcError::Ended)),
        (400, json!({"error": "invalid_request"}), None),
        (401, json!({"error": "invalid_client"}), None),
        (503, json!({}), None),
        (200, json!("nonsense"), None),
    ];
    for (status, body, expected) in table {
        *idp.token.lock().unwrap() = (status, body.clone());
        let error = again(&idp).await.unwrap_err();
        assert_eq!(matches!(error, OidcError::Ended), expected.is_some(), "{body}: {error}");
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
    *idp.token.lock().unwrap() = (200, json!({"access_token": "at", "token_type": "Bearer"}));
    *idp.userinfo.lock().unwrap() = (503, json!({}));
    assert!(matches!(again(&idp).await, Err(OidcError::Unreachable(_))));
}

//! Passkeys: WebAuthn (<https://www.w3.org/TR/webauthn-3/>) as a relying party, over `webauthn-rs`.
//!
//! A ceremony has two halves. `begin_…` makes a challenge: options for the browser, and a state that stays here. `finish_…`
//! holds the browser's answer against that state. Whoever calls keeps the state where no client reaches it, for minutes,
//! gives it out once, and knows for whom it was begun: this file knows no person's sign-in and no store.
//!
//! Every passkey verifies its holder (by PIN, finger or face), so it is two factors in one; it is discoverable, so that a
//! sign-in needs no name; and nothing is asked about its make (attestation `none`). What counts is compared here: challenge,
//! origin, relying party, both flags, signature, counter.

use std::net::IpAddr;

use hoop_model::{UserId, UserName};
use serde_json::Value;
use uuid::Uuid;
use webauthn_rs::prelude::{
    CreationChallengeResponse, Credential, DiscoverableAuthentication, Passkey, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse, Url, Webauthn,
    WebauthnBuilder, WebauthnError,
};

/// The longest credential id that there is (WebAuthn §4, "credential ID").
const LONGEST_ID: usize = 1023;

/// Why a ceremony failed, and whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// The operator's: a passkey is bound to a host name, and this is an address (WebAuthn §5.1.3: "effective domain").
    #[error("a passkey is bound to a host name, and {0} is an address")]
    Address(IpAddr),
    /// The operator's: browsers know no passkeys for such an origin.
    #[error("{0:?} is not an origin that a passkey can be bound to")]
    Origin(String),
    /// The browser's, or an attacker's. For the ledger, not for who asked.
    #[error("{0}")]
    Refused(&'static str),
    /// The counter went back: there may be a copy of the key.
    #[error("its counter went back")]
    Copied,
    /// Ours: what was kept cannot be read.
    #[error("what was kept of a passkey cannot be read")]
    Kept,
}

/// The first half of a ceremony.
#[derive(Debug, Clone)]
pub struct Begun {
    /// For `PublicKeyCredential.parse…OptionsFromJSON` of the browser.
    pub options: Value,
    /// Stays here.
    pub state: Value,
}

/// A public key, as it is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// What the authenticator calls it.
    pub credential_id: Vec<u8>,
    /// The key and what belongs to it.
    pub credential: Value,
    /// Where its counter stands; 0 for authenticators that have none.
    pub counter: u32,
}

/// Who passkeys are registered with: the gateway, by the host name that people know it by.
#[derive(Debug, Clone)]
pub struct RelyingParty(Webauthn);

/// A browser's answer to a challenge. Nothing of it is proven yet.
#[derive(Debug, Clone)]
pub struct Assertion(PublicKeyCredential);

impl Assertion {
    /// Reads what `PublicKeyCredential.toJSON` made.
    ///
    /// # Errors
    /// [`PasskeyError::Refused`].
    pub fn parse(answer: Value) -> Result<Self, PasskeyError> {
        let answer: PublicKeyCredential = read(answer)?;
        checked_id(&answer.raw_id)?;
        Ok(Self(answer))
    }

    /// The key that it says it was made with.
    #[must_use]
    pub fn credential_id(&self) -> &[u8] {
        &self.0.raw_id
    }

    /// Whose key it says that is; `None` when the authenticator was told which key to use and says nothing more.
    ///
    /// # Errors
    /// [`PasskeyError::Refused`] for a handle that we never gave.
    pub fn user(&self) -> Result<Option<UserId>, PasskeyError> {
        let Some(handle) = self.0.get_user_unique_id() else { return Ok(None) };
        let bytes = handle.try_into().map_err(|_| PasskeyError::Refused("another user handle"))?;
        Ok(Some(UserId::from_bytes(bytes)))
    }
}

impl RelyingParty {
    /// The gateway at this origin (`https://host:port`). The host is what passkeys are bound to, for good.
    ///
    /// # Errors
    /// [`PasskeyError::Address`] and [`PasskeyError::Origin`].
    pub fn at(origin: &str) -> Result<Self, PasskeyError> {
        let unfit = || PasskeyError::Origin(origin.to_owned());
        let url = Url::parse(origin).map_err(|_| unfit())?;
        let host = url.host_str().ok_or_else(unfit)?;
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Err(PasskeyError::Address(address));
        }
        let builder = WebauthnBuilder::new(host, &url).map_err(|_| unfit())?;
        builder.rp_name("hoop").build().map(Self).map_err(|_| unfit())
    }

    /// Asks for a new passkey of a person, on an authenticator that has none of the `known` ones.
    ///
    /// # Errors
    /// [`PasskeyError::Kept`].
    pub fn begin_registration(
        &self,
        user: UserId,
        name: &UserName,
        known: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Begun, PasskeyError> {
        let known = known.into_iter().collect();
        let handle = Uuid::from_bytes(*user.as_bytes());
        let begun = self.0.start_passkey_registration(handle, name.as_str(), name.as_str(), Some(known));
        let (CreationChallengeResponse { public_key }, state) = begun.map_err(|_| PasskeyError::Kept)?;
        let mut options = json(&public_key)?;
        // The library asks authenticators not to store the key; but then there is no sign-in without a name.
        options["authenticatorSelection"] = serde_json::json!({
            "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
        });
        Ok(Begun { options, state: json(&state)? })
    }

    /// The new passkey, if `answer` is what was asked for.
    ///
    /// # Errors
    /// [`PasskeyError::Refused`] and [`PasskeyError::Kept`].
    pub fn finish_registration(&self, state: Value, answer: Value) -> Result<Kept, PasskeyError> {
        let state: PasskeyRegistration = serde_json::from_value(state).map_err(|_| PasskeyError::Kept)?;
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let passkey = self.0.finish_passkey_registration(&answer, &state).map_err(|error| refusal(&error))?;
        checked_id(passkey.cred_id())?;
        kept(&passkey)
    }

    /// Asks for one of the `allowed` passkeys; for any that the browser finds when none are named.
    ///
    /// # Errors
    /// [`PasskeyError::Kept`].
    pub fn begin_assertion(&self, allowed: impl IntoIterator<Item = Vec<u8>>) -> Result<Begun, PasskeyError> {
        let begun = self.0.start_discoverable_authentication().map_err(|_| PasskeyError::Kept)?;
        let (RequestChallengeResponse { public_key, .. }, state) = begun;
        let mut options = json(&public_key)?;
        let named = |id: Vec<u8>| serde_json::json!({ "type": "public-key", "id": data_encoding::BASE64URL_NOPAD.encode(&id) });
        options["allowCredentials"] = allowed.into_iter().map(named).collect();
        Ok(Begun { options, state: json(&state)? })
    }

    /// Holds an answer against the challenge and the key that it says it was made with, as it was kept; gives what is to
    /// be kept after this use.
    ///
    /// # Errors
    /// [`PasskeyError::Refused`], [`PasskeyError::Copied`] and [`PasskeyError::Kept`].
    pub fn finish_assertion(
        &self,
        state: Value,
        answer: &Assertion,
        credential: Value,
    ) -> Result<Kept, PasskeyError> {
        if in_a_frame(&answer.0.response.client_data_json) {
            return Err(PasskeyError::Refused("another origin"));
        }
        let state: DiscoverableAuthentication =
            serde_json::from_value(state).map_err(|_| PasskeyError::Kept)?;
        let mut passkey: Passkey = serde_json::from_value(credential).map_err(|_| PasskeyError::Kept)?;
        let proven = self.0.finish_discoverable_authentication_v2(&answer.0, state, &passkey);
        let proven = proven.map_err(|error| refusal(&error))?;
        // The library asks for both; a passkey that does not verify its holder is one factor, so: once more.
        if !proven.user_verified() {
            return Err(PasskeyError::Refused("its holder was not verified"));
        }
        passkey.update_credential(&proven);
        kept(&passkey)
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, PasskeyError> {
    if answer.get("type").and_then(Value::as_str) != Some("public-key") {
        return Err(PasskeyError::Refused("malformed"));
    }
    serde_json::from_value(answer).map_err(|_| PasskeyError::Refused("malformed"))
}

/// Was the page in a frame of another site? The library looks at this when a passkey is registered, and not when it is
/// used. What cannot be read is refused by it.
fn in_a_frame(client_data: &[u8]) -> bool {
    let data: Option<Value> = serde_json::from_slice(client_data).ok();
    data.and_then(|data| data.get("crossOrigin")?.as_bool()).unwrap_or(false)
}

fn checked_id(id: &[u8]) -> Result<(), PasskeyError> {
    if id.is_empty() || id.len() > LONGEST_ID { Err(PasskeyError::Refused("malformed")) } else { Ok(()) }
}

fn json(value: &impl serde::Serialize) -> Result<Value, PasskeyError> {
    serde_json::to_value(value).map_err(|_| PasskeyError::Kept)
}

fn kept(passkey: &Passkey) -> Result<Kept, PasskeyError> {
    let counter = Credential::from(passkey.clone()).counter;
    Ok(Kept { credential_id: passkey.cred_id().to_vec(), credential: json(passkey)?, counter })
}

/// In our words: the library's tell about its insides.
fn refusal(error: &WebauthnError) -> PasskeyError {
    PasskeyError::Refused(match error {
        WebauthnError::CredentialPossibleCompromise => return PasskeyError::Copied,
        WebauthnError::InvalidClientDataType => "another ceremony",
        WebauthnError::MismatchedChallenge => "another challenge",
        WebauthnError::InvalidRPOrigin | WebauthnError::CredentialCrossOrigin => "another origin",
        WebauthnError::InvalidRPIDHash => "another relying party",
        WebauthnError::UserNotPresent => "nobody was there",
        WebauthnError::UserNotVerified => "its holder was not verified",
        WebauthnError::CredentialBackupEligibilityInconsistent
        | WebauthnError::CredentialMayNotBeHardwareBound => "its flags contradict what was registered",
        // The library says the same for both.
        WebauthnError::CredentialAlteredAlgFromRequest => {
            "registered before, or of an algorithm not asked for"
        }
        WebauthnError::AuthenticationFailure
        | WebauthnError::SignatureInvalid
        | WebauthnError::EcdsaPointInvalid => "wrong signature",
        _ => "malformed",
    })
}

#[cfg(test)]
mod tests {
    use hoop_testkit::authenticator::{Flaw, Passkey as Key};
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: &str = "https://hoop.example:8443";

    fn party() -> RelyingParty {
        RelyingParty::at(ORIGIN).unwrap()
    }

    fn ada() -> (UserId, UserName) {
        (UserId::from_bytes([5; 16]), UserName::new("ada").unwrap())
    }

    fn registered() -> (Key, Kept) {
        let (user, name) = ada();
        let begun = party().begin_registration(user, &name, []).unwrap();
        let (key, answer) = Key::create(&begun.options, ORIGIN, Flaw::None);
        let kept = party().finish_registration(begun.state, answer).unwrap();
        (key, kept)
    }

    fn refused(reason: &'static str) -> PasskeyError {
        PasskeyError::Refused(reason)
    }

    #[test]
    fn only_a_host_name_can_have_passkeys() {
        for origin in ["https://10.0.0.1", "https://10.0.0.1:8443", "https://[::1]:8443"] {
            assert!(matches!(RelyingParty::at(origin), Err(PasskeyError::Address(_))), "{origin}");
        }
        for origin in ["", "hoop.example", "https://", "data:x"] {
            assert!(matches!(RelyingParty::at(origin), Err(PasskeyError::Origin(_))), "{origin}");
        }
        for origin in ["https://localhost:8443", "https://HOOP.example", "https://a.b.c"] {
            assert!(RelyingParty::at(origin).is_ok(), "{origin}");
        }
    }

    #[test]
    fn a_passkey_is_asked_to_verify_and_to_be_discoverable() {
        let (user, name) = ada();
        let begun = party().begin_registration(user, &name, [vec![1, 2, 3]]).unwrap();
        let options = begun.options;
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(options["attestation"], "none");
        assert_eq!(options["rp"]["id"], "hoop.example");
        assert_eq!(options["excludeCredentials"][0]["id"], "AQID");
        let begun = party().begin_assertion([]).unwrap();
        assert_eq!(begun.options["userVerification"], "required");
        assert_eq!(begun.options["allowCredentials"], serde_json::json!([]));
        assert_ne!(begun.options["challenge"], party().begin_assertion([]).unwrap().options["challenge"]);
    }

    #[test]
    fn what_is_kept_signs_in_again_and_its_counter_goes_on() {
        let (mut key, mut kept) = registered();
        assert_eq!(kept.counter, 1);
        for counter in [2, 3] {
            let begun = party().begin_assertion([]).unwrap();
            let answer = Assertion::parse(key.get(&begun.options, ORIGIN, Flaw::None)).unwrap();
            assert_eq!(answer.user(), Ok(Some(ada().0)));
            assert_eq!(answer.credential_id(), kept.credential_id);
            kept = party().finish_assertion(begun.state, &answer, kept.credential).unwrap();
            assert_eq!(kept.counter, counter);
        }
    }

    #[test]
    fn a_registration_with_one_thing_wrong_is_none() {
        let (user, name) = ada();
        for (flaw, reason) in [
            (Flaw::Origin("https://hoop.example"), "another origin"),
            (Flaw::Origin("https://evil.hoop.example:8443"), "another origin"),
            (Flaw::Origin("http://hoop.example:8443"), "another origin"),
            (Flaw::CrossOrigin, "another origin"),
            (Flaw::RelyingParty("example"), "another relying party"),
            (Flaw::Challenge, "another challenge"),
            (Flaw::Type, "another ceremony"),
            (Flaw::NotPresent, "nobody was there"),
            (Flaw::NotVerified, "its holder was not verified"),
        ] {
            let begun = party().begin_registration(user, &name, []).unwrap();
            let (_, answer) = Key::create(&begun.options, ORIGIN, flaw);
            assert_eq!(party().finish_registration(begun.state, answer), Err(refused(reason)), "{flaw:?}");
        }
        let begun = party().begin_registration(user, &name, [vec![9; 16]]).unwrap();
        let (_, known) = Key::create_as(&[9; 16], &begun.options, ORIGIN, Flaw::None);
        assert_eq!(
            party().finish_registration(begun.state.clone(), known),
            Err(refused("registered before, or of an algorithm not asked for"))
        );
        let (_, long) = Key::create_as(&[9; 1024], &begun.options, ORIGIN, Flaw::None);
        assert_eq!(party().finish_registration(begun.state, long), Err(refused("malformed")));
    }

    #[test]
    fn an_assertion_with_one_thing_wrong_proves_nothing() {
        let (mut key, kept) = registered();
        for (flaw, refusal) in [
            (Flaw::Origin("https://hoop.example"), refused("another origin")),
            (Flaw::Origin("https://hoop.example.evil:8443"), refused("another origin")),
            (Flaw::CrossOrigin, refused("another origin")),
            (Flaw::RelyingParty("evil"), refused("another relying party")),
            (Flaw::Challenge, refused("another challenge")),
            (Flaw::Type, refused("another ceremony")),
            (Flaw::NotPresent, refused("nobody was there")),
            (Flaw::NotVerified, refused("its holder was not verified")),
            (Flaw::Signature, refused("wrong signature")),
            (Flaw::Counter(1), PasskeyError::Copied),
            (Flaw::Counter(0), PasskeyError::Copied),
        ] {
            let begun = party().begin_assertion([]).unwrap();
            let answer = Assertion::parse(key.get(&begun.options, ORIGIN, flaw)).unwrap();
            let finished = party().finish_assertion(begun.state, &answer, kept.credential.clone());
            assert_eq!(finished, Err(refusal), "{flaw:?}");
        }
    }

    #[test]
    fn the_answer_to_another_challenge_and_another_key_prove_nothing() {
        let ((mut key, kept), (mut other, _)) = (registered(), registered());
        let (first, second) = (party().begin_assertion([]).unwrap(), party().begin_assertion([]).unwrap());
        let replayed = Assertion::parse(key.get(&first.options, ORIGIN, Flaw::None)).unwrap();
        let finished = party().finish_assertion(second.state.clone(), &replayed, kept.credential.clone());
        assert_eq!(finished, Err(refused("another challenge")));
        let id = kept.credential_id.clone();
        let mut forged = other.get(&second.options, ORIGIN, Flaw::None);
        forged["rawId"] = Value::from(data_encoding::BASE64URL_NOPAD.encode(&id));
        let forged = Assertion::parse(forged).unwrap();
        let finished = party().finish_assertion(second.state, &forged, kept.credential);
        assert_eq!(finished, Err(refused("wrong signature")));
    }

    #[test]
    fn one_without_a_counter_stays_without() {
        let (key, kept) = registered();
        let mut key = key.without_counter();
        let mut credential = kept.credential;
        credential["cred"]["counter"] = Value::from(0);
        for _ in 0..2 {
            let begun = party().begin_assertion([]).unwrap();
            let answer = Assertion::parse(key.get(&begun.options, ORIGIN, Flaw::None)).unwrap();
            let kept = party().finish_assertion(begun.state, &answer, credential.clone()).unwrap();
            assert_eq!(kept.counter, 0);
        }
    }

    proptest! {
        /// Nobody is signed in yet who sends these.
        #[test]
        fn bytes_of_anybody_are_refused_and_nothing_else(
            id in prop::collection::vec(any::<u8>(), 0..40),
            data in prop::collection::vec(any::<u8>(), 0..200),
            client in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let text = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
            let answer = serde_json::json!({
                "id": text(&id), "rawId": text(&id), "type": "public-key",
                "response": {
                    "clientDataJSON": text(&client), "authenticatorData": text(&data), "signature": text(&data),
                    "attestationObject": text(&data), "userHandle": text(&id),
                },
            });
            let (user, name) = ada();
            let begun = party().begin_registration(user, &name, []).unwrap();
            prop_assert!(matches!(party().finish_registration(begun.state, answer.clone()), Err(PasskeyError::Refused(_))));
            if let Ok(answer) = Assertion::parse(answer) {
                let (_, kept) = registered();
                let begun = party().begin_assertion([]).unwrap();
                let finished = party().finish_assertion(begun.state, &answer, kept.credential);
                prop_assert!(matches!(finished, Err(PasskeyError::Refused(_))));
            }
        }
    }
}

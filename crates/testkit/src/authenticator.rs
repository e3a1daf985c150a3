//! An authenticator of passkeys and the browser in front of it, in software: what it makes is right, or wrong in exactly
//! the way that a test asks for. Byte layouts: WebAuthn §6.1 (authenticator data), §6.5.4 (attestation object), RFC 9053
//! §7.1.1 (COSE key), each written out by hand, so that nothing is shared with the code that reads them.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
const HAS_KEY: u8 = 0x40;

/// What is wrong about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// The page was elsewhere.
    Origin(&'static str),
    /// The page was in a frame of another site.
    CrossOrigin,
    /// The key is bound to another site.
    RelyingParty(&'static str),
    /// Another challenge was answered.
    Challenge,
    /// `webauthn.create` for `webauthn.get`, and the other way round.
    Type,
    /// Nobody touched it.
    NotPresent,
    /// It did not look who touched it.
    NotVerified,
    /// One bit of the signature.
    Signature,
    /// Its counter stands where it did before, or further back.
    Counter(u32),
    /// Says that the key is somebody else's.
    Handle([u8; 16]),
    /// Does not say whose the key is.
    NoHandle,
    /// Names another key than the one that signed.
    Id([u8; 16]),
}

/// A key on it.
pub struct Passkey {
    id: Vec<u8>,
    pair: EcdsaKeyPair,
    handle: Vec<u8>,
    counter: u32,
    counts: bool,
}

impl std::fmt::Debug for Passkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passkey").field("counter", &self.counter).finish_non_exhaustive()
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64URL_NOPAD.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// What the browser says of the page that asked.
fn client_data(kind: &str, options: &Value, origin: &str, flaw: Flaw) -> Vec<u8> {
    let kind = match (flaw, kind) {
        (Flaw::Type, "webauthn.get") => "webauthn.create",
        (Flaw::Type, _) => "webauthn.get",
        _ => kind,
    };
    let challenge = match flaw {
        Flaw::Challenge => text(&[7; 32]),
        _ => options["challenge"].as_str().unwrap().to_owned(),
    };
    let origin = if let Flaw::Origin(other) = flaw { other } else { origin };
    let data = json!({
        "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": flaw == Flaw::CrossOrigin,
    });
    data.to_string().into_bytes()
}

impl Passkey {
    /// A new key, and the browser's answer to `navigator.credentials.create` with these options.
    pub fn create(options: &Value, origin: &str, flaw: Flaw) -> (Self, Value) {
        let mut id = [0; 32];
        aws_lc_rs::rand::fill(&mut id).unwrap();
        Self::create_as(&id, options, origin, flaw)
    }

    /// The same with an id of one's choice, which no honest authenticator lets anybody choose.
    pub fn create_as(id: &[u8], options: &Value, origin: &str, flaw: Flaw) -> (Self, Value) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let handle = bytes(&options["user"]["id"]);
        let passkey = Self { id: id.to_vec(), pair, handle, counter: 1, counts: true };
        let data = client_data("webauthn.create", options, origin, flaw);
        let mut authenticator = passkey.data(options["rp"]["id"].as_str().unwrap(), flaw, HAS_KEY);
        authenticator.extend([0; 16]);
        authenticator.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
        authenticator.extend(id);
        authenticator.extend(passkey.cose_key());
        let answer = json!({
            "id": text(id), "rawId": text(id), "type": "public-key", "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": text(&data), "attestationObject": text(&attestation(&authenticator)),
                "transports": ["internal"],
            },
        });
        (passkey, answer)
    }

    /// One that has no counter, as those that are kept in several places.
    #[must_use]
    pub fn without_counter(mut self) -> Self {
        self.counts = false;
        self.counter = 0;
        self
    }

    /// The browser's answer to `navigator.credentials.get` with these options.
    pub fn get(&mut self, options: &Value, origin: &str, flaw: Flaw) -> Value {
        if self.counts {
            self.counter += 1;
        }
        let data = client_data("webauthn.get", options, origin, flaw);
        let authenticator = self.data(options["rpId"].as_str().unwrap(), flaw, 0);
        let signed = [authenticator.clone(), sha256(&data)].concat();
        let mut signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec();
        if flaw == Flaw::Signature {
            *signature.last_mut().unwrap() ^= 1;
        }
        let handle = match &flaw {
            Flaw::Handle(other) => Some(text(other)),
            Flaw::NoHandle => None,
            _ => Some(text(&self.handle)),
        };
        let id = if let Flaw::Id(other) = &flaw { other.as_slice() } else { &self.id };
        json!({
            "id": text(id), "rawId": text(id), "type": "public-key", "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
            "response": {
                "clientDataJSON": text(&data), "authenticatorData": text(&authenticator),
                "signature": text(&signature), "userHandle": handle,
            },
        })
    }

    /// What the authenticator calls the key.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    fn data(&self, relying_party: &str, flaw: Flaw, more: u8) -> Vec<u8> {
        let relying_party = if let Flaw::RelyingParty(other) = flaw { other } else { relying_party };
        let flags = match flaw {
            Flaw::NotPresent => VERIFIED,
            Flaw::NotVerified => PRESENT,
            _ => PRESENT | VERIFIED,
        };
        let counter = if let Flaw::Counter(other) = flaw { other } else { self.counter };
        let mut data = sha256(relying_party.as_bytes());
        data.push(flags | more);
        data.extend(counter.to_be_bytes());
        data
    }

    /// `{1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}`.
    fn cose_key(&self) -> Vec<u8> {
        // 0x04, x, y (SEC 1 §2.3.3).
        let point = self.pair.public_key().as_ref();
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        key.extend(&point[1..33]);
        key.extend([0x22, 0x58, 0x20]);
        key.extend(&point[33..65]);
        key
    }
}

/// `{"fmt": "none", "attStmt": {}, "authData": …}`.
fn attestation(authenticator_data: &[u8]) -> Vec<u8> {
    let mut object = vec![0xa3, 0x63];
    object.extend(b"fmt");
    object.push(0x64);
    object.extend(b"none");
    object.push(0x67);
    object.extend(b"attStmt");
    object.extend([0xa0, 0x68]);
    object.extend(b"authData");
    object.push(0x59);
    object.extend(u16::try_from(authenticator_data.len()).unwrap().to_be_bytes());
    object.extend(authenticator_data);
    object
}

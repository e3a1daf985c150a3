//! The access rules in force, compiled; and the people and connections of the store as rules see them.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use hoop_api::manage::ConnectionDefinition;
use hoop_model::{FactorKind, Mfa, RequestId, Role, UserName};
use hoop_policy::{
    OnlyStatement, Sha256,
    bundle::{Bundle, BundlePublicKey},
    rules::{
        AccessPolicy, Approval, Asking, ConnectionFacts, MfaMethod, MfaProof, Person, PersonKind, Policy,
        TargetUser,
    },
};
use hoop_store::{
    Connection, PolicyVersion, Request, RequestKind, SignedIn, Store, StoreError, User, UserSource,
};

use crate::{hub::now, requests::statements::Single};

/// What a version of the rules is named by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edition {
    /// 0: none were ever written, and everything is denied.
    pub(crate) version: u64,
    /// Of the document as it is kept.
    pub(crate) sha256: Sha256,
}

impl Edition {
    /// `None`: none were ever written.
    pub(crate) fn of(version: Option<&PolicyVersion>) -> Self {
        let (version, document) = match version {
            Some(version) => (version.version, version.document.clone()),
            None => (0, serde_json::to_value(AccessPolicy::default()).unwrap_or_default()),
        };
        Self { version, sha256: AccessPolicy::sha256_of(&document) }
    }
}

/// One version of the rules, ready to decide.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) edition: Edition,
    pub(crate) policy: Policy,
    /// Admins open nothing.
    separate_admins: bool,
}

impl InForce {
    /// Somebody as they are in the store; `mfa` is what they proved, and when.
    pub(crate) fn person(&self, user: &User, mfa: Option<Mfa>) -> Person {
        Person {
            name: user.name.clone(),
            kind: match user.source {
                UserSource::Service => PersonKind::Service,
                UserSource::Builtin | UserSource::Oidc { .. } => PersonKind::Human,
            },
            groups: user.groups.iter().cloned().collect(),
            locked: user.locked,
            only_administers: self.separate_admins && user.role == Role::Admin,
            mfa: mfa.map(|mfa| MfaProof { at: mfa.at, method: method_of(mfa.by) }),
        }
    }

    /// Whoever is signed in.
    pub(crate) fn caller(&self, signed_in: &SignedIn) -> Person {
        let SignedIn { login, user } = signed_in;
        self.person(user, login.mfa)
    }
}

/// Keeps the version in force compiled.
#[derive(Debug)]
pub(crate) struct Rules {
    separate_admins: bool,
    /// Whoever signs the bundles in which alone rules come.
    key: Option<BundlePublicKey>,
    compiled: Mutex<Option<Arc<InForce>>>,
}

impl Rules {
    pub(crate) const fn new(separate_admins: bool, key: Option<BundlePublicKey>) -> Self {
        Self { separate_admins, key, compiled: Mutex::new(None) }
    }

    /// The rules in force at this moment, whichever gateway wrote them.
    ///
    /// # Errors
    /// The store's. Rules that cannot be read allow nothing: they are an error too.
    pub(crate) async fn in_force(&self, store: &Store) -> Result<Arc<InForce>, StoreError> {
        let number = store.policy_number().await?;
        let separate_admins = self.separate_admins;
        let known = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.edition.version == number) {
            return Ok(known);
        }
        let latest = store.policy().await?;
        let document = self.trusted(store, latest.as_ref()).await?;
        let edition = Edition::of(latest.as_ref());
        let fresh = Arc::new(InForce { edition, policy: Policy::compile(document), separate_admins });
        *self.compiled.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        Ok(fresh)
    }
}

impl Rules {
    /// Where rules come in signed bundles, the store's word is not enough: what nobody signed allows nothing.
    async fn trusted(
        &self,
        store: &Store,
        latest: Option<&PolicyVersion>,
    ) -> Result<AccessPolicy, StoreError> {
        let Some(version) = latest else { return Ok(AccessPolicy::default()) };
        let document = document_of(version)?;
        let Some(key) = &self.key else { return Ok(document) };
        let text = store.policy_bundle_text(version.version).await?;
        let is_signed = text.is_some_and(|text| {
            Bundle::verify(&text, key).is_ok_and(|verified| *verified.policy() == document)
        });
        if is_signed {
            return Ok(document);
        }
        tracing::error!(
            version = version.version,
            code = "HOOP-2018",
            "the rules in force are not those of a bundle that `policy_key` signed: nothing is allowed until one is applied"
        );
        Ok(AccessPolicy::default())
    }
}

/// The rules of a version.
pub(crate) fn document_of(version: &PolicyVersion) -> Result<AccessPolicy, StoreError> {
    serde_json::from_value(version.document.clone())
        .map_err(|error| StoreError::Corrupt(format!("rules of version {}: {error}", version.version)))
}

const fn method_of(factor: FactorKind) -> MfaMethod {
    match factor {
        // The one stands in for the other.
        FactorKind::Totp | FactorKind::RecoveryCode => MfaMethod::Totp,
        FactorKind::Passkey => MfaMethod::Passkey,
        FactorKind::Idp => MfaMethod::Idp,
        FactorKind::SealedCodes => MfaMethod::SealedCodes,
    }
}

/// A connection as rules see it.
pub(crate) fn facts(connection: &Connection, definition: &ConnectionDefinition) -> ConnectionFacts {
    ConnectionFacts { name: connection.name.clone(), labels: definition.labels.clone() }
}

/// Somebody who wants to open a connection, or did.
#[derive(Debug)]
pub(crate) struct Question {
    person: Person,
    connection: ConnectionFacts,
    address: IpAddr,
}

impl Question {
    pub(crate) fn new(
        person: Person,
        connection: &Connection,
        definition: &ConnectionDefinition,
        address: IpAddr,
    ) -> Self {
        Self { person, connection: facts(connection, definition), address }
    }

    /// By a connector that keeps the gateway from reading along; whoever has another says so.
    pub(crate) fn asking<'a>(
        &'a self,
        reason: Option<&'a str>,
        single: Option<&'a Single>,
        approvals: &'a [Approval],
        live_sessions: u32,
    ) -> Asking<'a> {
        let Self { person, connection, address } = self;
        let (address, end_to_end) = (*address, true);
        let (only, reading) =
            (single.map(|single| &single.only), single.and_then(|single| single.reading.as_ref()));
        Asking { person, connection, address, reason, end_to_end, only, reading, approvals, live_sessions }
    }
}

/// What others have let somebody do on a connection, and what they let themselves do in an emergency; in force now.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    approved: Vec<Request>,
    /// One for each of those.
    pub(crate) approvals: Vec<Approval>,
    pub(crate) emergency: Option<Request>,
}

impl Standing {
    pub(crate) async fn load(
        store: &Store,
        user: &User,
        connection: &Connection,
    ) -> Result<Self, StoreError> {
        let mut standing = Self::default();
        for request in store.approvals(user.id, connection.id, now()).await? {
            match request.asked.kind {
                RequestKind::BreakGlass => standing.emergency = standing.emergency.or(Some(request)),
                RequestKind::Access => {
                    let Some(approval) = approval(&request, &user.name) else { continue };
                    standing.approved.push(request);
                    standing.approvals.push(approval);
                }
            }
        }
        Ok(standing)
    }

    /// The request that an approval came from.
    pub(crate) fn behind(&self, approval: usize) -> Option<RequestId> {
        self.approved.get(approval).map(|request| request.asked.id)
    }

    pub(crate) fn find(&self, id: RequestId) -> Option<&Request> {
        self.approved.iter().chain(&self.emergency).find(|request| request.asked.id == id)
    }
}

/// Something unreadable in it makes it good for nothing.
fn approval(request: &Request, person: &UserName) -> Option<Approval> {
    let asked = &request.asked;
    let target_user = match &asked.become_user {
        None => None,
        Some(name) => Some(name.parse::<TargetUser>().ok()?),
    };
    let only = match &asked.statement {
        None => None,
        Some(one) => Some(OnlyStatement::from_parts(one.sha256.parse().ok()?, one.database.clone())),
    };
    let statement_rule = match asked.statement.as_ref().and_then(|one| one.rule.as_ref()) {
        None => None,
        Some(name) => Some(name.parse().ok()?),
    };
    Some(Approval {
        person: person.clone(),
        rule: asked.rule.parse().ok()?,
        connection: asked.connection_name.clone(),
        target_user,
        only,
        statement_rule,
        until: request.ends_at?,
    })
}

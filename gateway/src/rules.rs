//! The access rules in force, compiled; and the people and connections of the store as rules see them.

use std::sync::{Arc, Mutex, PoisonError};

use hoop_api::manage::ConnectionDefinition;
use hoop_model::{AuthMethod, Timestamp, UserName};
use hoop_policy::rules::{
    AccessPolicy, Approval, ConnectionFacts, MfaMethod, MfaProof, Person, PersonKind, Policy, TargetUser,
};
use hoop_store::{Connection, PolicyVersion, Request, RequestKind, SignedIn, Store, StoreError, User};

use crate::hub::now;

/// One version of the rules, ready to decide.
#[derive(Debug)]
pub(crate) struct InForce {
    /// 0: none were ever written, and everything is denied.
    pub(crate) version: u64,
    pub(crate) policy: Policy,
}

/// Keeps the version in force compiled.
#[derive(Debug, Default)]
pub(crate) struct Rules(Mutex<Option<Arc<InForce>>>);

impl Rules {
    /// The rules in force at this moment, whichever gateway wrote them.
    ///
    /// # Errors
    /// The store's. Rules that cannot be read allow nothing: they are an error too.
    pub(crate) async fn in_force(&self, store: &Store) -> Result<Arc<InForce>, StoreError> {
        let number = store.policy_number().await?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.version == number) {
            return Ok(known);
        }
        let latest = store.policy().await?;
        let fresh = Arc::new(match &latest {
            None => InForce { version: 0, policy: Policy::compile(AccessPolicy::default()) },
            Some(latest) => {
                InForce { version: latest.version, policy: Policy::compile(document_of(latest)?) }
            }
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        Ok(fresh)
    }
}

/// The rules of a version.
pub(crate) fn document_of(version: &PolicyVersion) -> Result<AccessPolicy, StoreError> {
    serde_json::from_value(version.document.clone())
        .map_err(|error| StoreError::Corrupt(format!("rules of version {}: {error}", version.version)))
}

/// Somebody as they are in the store; `mfa` is what they proved, and when.
pub(crate) fn person(user: &User, mfa: Option<(Timestamp, AuthMethod)>) -> Person {
    Person {
        name: user.name.clone(),
        kind: PersonKind::Human,
        groups: user.groups.iter().cloned().collect(),
        locked: user.locked,
        mfa: mfa.map(|(at, method)| MfaProof { at, method: method_of(method) }),
    }
}

/// Whoever is signed in.
pub(crate) fn caller(signed_in: &SignedIn) -> Person {
    let SignedIn { login, user } = signed_in;
    person(user, login.mfa_at.map(|at| (at, login.method)))
}

const fn method_of(method: AuthMethod) -> MfaMethod {
    match method {
        AuthMethod::PasswordTotp => MfaMethod::Totp,
        AuthMethod::Oidc => MfaMethod::Idp,
    }
}

/// A connection as rules see it.
pub(crate) fn facts(connection: &Connection, definition: &ConnectionDefinition) -> ConnectionFacts {
    ConnectionFacts { name: connection.name.clone(), labels: definition.labels.clone() }
}

/// What enough others have approved for somebody on a connection, and is in force.
pub(crate) async fn approvals(
    store: &Store,
    user: &User,
    connection: &Connection,
) -> Result<Vec<(Request, Approval)>, StoreError> {
    let requests = store.approvals(user.id, connection.id, now()).await?;
    let ordinary = requests.into_iter().filter(|request| request.kind == RequestKind::Access);
    Ok(ordinary
        .filter_map(|request| approval(&request, &user.name).map(|approval| (request, approval)))
        .collect())
}

/// The emergency of somebody on a connection that is in force.
pub(crate) async fn emergency(
    store: &Store,
    user: &User,
    connection: &Connection,
) -> Result<Option<Request>, StoreError> {
    let requests = store.approvals(user.id, connection.id, now()).await?;
    Ok(requests.into_iter().find(|request| request.kind == RequestKind::BreakGlass))
}

/// Something unreadable in it makes it good for nothing.
fn approval(request: &Request, person: &UserName) -> Option<Approval> {
    let target_user = match &request.become_user {
        None => None,
        Some(name) => Some(name.parse::<TargetUser>().ok()?),
    };
    Some(Approval {
        person: person.clone(),
        rule: request.rule.parse().ok()?,
        connection: request.connection_name.clone(),
        target_user,
        until: request.ends_at?,
    })
}

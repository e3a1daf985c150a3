//! Who a person is in the cluster: the headers of impersonation, which come from here and from nowhere else.
//!
//! The cluster's own rules and its own audit log then see the person and not the agent. Kubernetes reads `Impersonate-*`, and front
//! proxies' `X-Remote-*`; whatever a client brings of either, or to prove who it is, goes no further, however it is spelled and wherever
//! it is named.

use std::collections::{BTreeMap, BTreeSet};

use hoop_engine::StreamContext;
use hoop_model::GroupName;
use http::{HeaderMap, HeaderName, HeaderValue, header};

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
/// What the cluster's audit log has beside the name.
const SESSION: HeaderName = HeaderName::from_static("impersonate-extra-hoop-session");

/// What browsers send as a protocol of a WebSocket, because they cannot send `Authorization` with one.
/// https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/authentication/request/websocket/protocol.go
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// Who people are in the cluster.
#[derive(Debug, Clone)]
pub(crate) enum Mapping {
    /// The credential's own account.
    AsAgent,
    /// Themselves.
    People {
        /// All of them are this one.
        user: Option<String>,
        /// Before their own names.
        prefix: String,
        /// Their groups in the cluster, by their own.
        groups: BTreeMap<GroupName, Vec<String>>,
    },
}

/// One person in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// `None`: nobody is impersonated.
    headers: Option<HeaderMap>,
    name: String,
}

impl Identity {
    /// `None`: a name that no header can carry, which the settings' check and the rules of names exclude.
    pub(crate) fn of(mapping: &Mapping, stream: &StreamContext) -> Option<Self> {
        let Mapping::People { user, prefix, groups } = mapping else {
            return Some(Self::nobody());
        };
        let name = user.clone().unwrap_or_else(|| format!("{prefix}{}", stream.person));
        if name.starts_with("system:") {
            return None;
        }
        let mut headers = HeaderMap::new();
        headers.insert(USER, HeaderValue::from_str(&name).ok()?);
        let own: BTreeSet<&String> =
            stream.groups.iter().filter_map(|group| groups.get(group)).flatten().collect();
        for group in own {
            headers.append(GROUP, HeaderValue::from_str(group).ok()?);
        }
        headers.insert(SESSION, HeaderValue::from_str(&stream.session.to_string()).ok()?);
        Some(Self { headers: Some(headers), name })
    }

    /// The credential's own account.
    pub(crate) fn nobody() -> Self {
        Self { headers: None, name: "the agent's own account".to_owned() }
    }

    /// As the recording has it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn put(&self, into: &mut HeaderMap) {
        // The map of `http` says a name once for all of its values.
        for (name, value) in self.headers.iter().flatten() {
            into.append(name, value.clone());
        }
    }
}

/// Whether a header of this name proves who one is, rather than says it.
pub(crate) fn is_proof(name: &str) -> bool {
    matches!(name, "authorization" | "proxy-authorization" | "cookie" | "sec-websocket-protocol")
}

/// Whether a token stands among the protocols of a WebSocket.
fn has_bearer(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    protocols.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(|protocol| {
        let start = protocol.trim_ascii_start().get(..BEARER.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(BEARER.as_bytes()))
    })
}

/// Takes out what a client says of who it is, and what is between it and us alone. Answers what it had no business to send.
pub(crate) fn strip(headers: &mut HeaderMap) -> Vec<String> {
    let mut found = Vec::new();
    // What `Connection` names is for this hop, too.
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let has_bearer = has_bearer(headers);
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names {
        let text = name.as_str();
        let claims = text.starts_with("impersonate") || text.starts_with("x-remote") || text == "front-proxy";
        let proves = is_proof(text) && (name != header::SEC_WEBSOCKET_PROTOCOL || has_bearer);
        let of_this_hop = matches!(
            name,
            header::CONNECTION
                | header::TE
                | header::TRAILER
                | header::TRANSFER_ENCODING
                | header::UPGRADE
                | header::HOST
        ) || text == "keep-alive"
            || text == "proxy-connection"
            || text.starts_with("x-forwarded")
            || text == "forwarded"
            || text.starts_with("sec-websocket")
            || text == "x-stream-protocol-version"
            || text == "expect"
            // The cluster's audit log numbers its own entries.
            || text == "audit-id";
        if claims || proves {
            found.push(text.to_owned());
        }
        if claims || proves || of_this_hop {
            headers.remove(&name);
        }
    }
    for name in named {
        if !matches!(name, header::UPGRADE | header::CONTENT_LENGTH | header::HOST) {
            headers.remove(&name).map(drop).unwrap_or_default();
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hoop_model::{Redacted, SessionId, StreamId};

    use super::*;

    fn stream(person: &str, groups: &[&str]) -> StreamContext {
        StreamContext {
            session: SessionId::generate(),
            stream: StreamId(1),
            person: person.parse().unwrap(),
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
            rules: Arc::default(),
            masking_key: hoop_masking::MaskingKey::new(&[1; 32]).unwrap(),
            cancel_seed: Redacted::new(vec![0; 36]),
            login_cache: Arc::default(),
            login_timeout: std::time::Duration::from_secs(1),
        }
    }

    fn put(identity: &Identity) -> Vec<String> {
        let mut headers = HeaderMap::new();
        identity.put(&mut headers);
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_person_is_themselves_with_the_groups_that_are_mapped() {
        let groups = BTreeMap::from([
            ("engineers".parse().unwrap(), vec!["view".to_owned(), "shop".to_owned()]),
            ("admins".parse().unwrap(), vec!["edit".to_owned()]),
        ]);
        let mapping = Mapping::People { user: None, prefix: "hoop:".into(), groups };
        let stream = stream("ada", &["engineers", "nurses"]);
        let identity = Identity::of(&mapping, &stream).unwrap();
        assert_eq!(identity.name(), "hoop:ada");
        let session = format!("impersonate-extra-hoop-session: {}", stream.session);
        assert_eq!(
            put(&identity),
            ["impersonate-user: hoop:ada", "impersonate-group: shop", "impersonate-group: view", &session]
        );
        assert!(put(&Identity::of(&Mapping::AsAgent, &stream).unwrap()).is_empty());
    }

    #[test]
    fn what_a_client_says_of_itself_goes_no_further() {
        let hostile = [
            ("Impersonate-User", "system:admin"),
            ("IMPERSONATE-GROUP", "system:masters"),
            ("impersonate-group", "again"),
            ("Impersonate-Extra-scopes", "all"),
            ("Impersonate-Uid", "0"),
            ("X-Remote-User", "root"),
            ("x-remote-group", "system:masters"),
            ("X-Remote-Extra-a", "b"),
            ("Authorization", "Bearer stolen"),
            ("Cookie", "a=b"),
            ("Connection", "impersonate-user, x-secret, Upgrade"),
            ("X-Secret", "named for this hop"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("Sec-WebSocket-Protocol", "v5.channel.k8s.io"),
            ("Sec-WebSocket-Protocol", "v4.channel.k8s.io, Base64url.bearer.authorization.k8s.io.c3RvbGVu"),
            ("Accept", "application/json"),
            ("User-Agent", "kubectl"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in hostile {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let found = strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "user-agent"]);
        for name in [
            "authorization",
            "impersonate-user",
            "impersonate-group",
            "x-remote-user",
            "cookie",
            "sec-websocket-protocol",
        ] {
            assert!(found.iter().any(|found| found == name), "{name} was not told: {found:?}");
        }
        // A WebSocket that names protocols alone says nothing of who it is.
        let protocols = HeaderValue::from_static("v5.channel.k8s.io, v4.channel.k8s.io");
        let mut headers = HeaderMap::from_iter([(header::SEC_WEBSOCKET_PROTOCOL, protocols)]);
        assert!(strip(&mut headers).is_empty() && headers.is_empty());
    }
}

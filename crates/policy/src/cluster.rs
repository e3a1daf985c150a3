//! Which requests a session may make of a cluster's API: the cluster rules of an access rule.
//!
//! The first rule that fits decides; a request that none fits is denied. A rule that allows must be sure of what it allows, and one that
//! denies need not be: a list over all namespaces is in none for the first kind, and in each of them for the second. What is said of
//! verbs and resources is Kubernetes' own (`RequestInfo`); `namespaces/shop` is a request in namespace `shop`, as it is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use hoop_model::RuleName;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    AllowOrDeny, Message,
    rules::{filled, present},
};

/// One rule about requests of a cluster's API. What it does not name is not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterRule {
    /// What a refusal calls it.
    pub name: RuleName,
    /// What is done.
    pub action: AllowOrDeny,
    /// Verbs of Kubernetes: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub verbs: BTreeSet<ClusterVerb>,
    /// Resources: `pods`, `pods/log`, `deployments.apps`, `*.apps`, `*/scale`, `*`.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<ResourcePattern>,
    /// Namespaces, or beginnings of their names and `*`. What is in no namespace fits none.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub namespaces: BTreeSet<ObjectPattern>,
    /// Names of objects, or beginnings of them and `*`.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<ObjectPattern>,
    /// Labels of the object: each must be there with one of its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// Paths that are no resource, or beginnings of them and `*`: `/metrics`. What clients learn an API by needs no rule.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<PathPattern>,
    /// What whoever asks is told; for rules that deny.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
}

/// A request of a cluster's API, as policy looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterRequest {
    /// Of Kubernetes, or the method in small letters where the path is no resource.
    pub verb: String,
    /// Of the API; empty: the core.
    #[serde(default)]
    pub group: String,
    /// In the plural; empty: the path is none.
    #[serde(default)]
    pub resource: String,
    /// Empty: the resource itself.
    #[serde(default)]
    pub subresource: String,
    /// Empty: none, or all of them.
    #[serde(default)]
    pub namespace: String,
    /// Empty: it is about many objects, or a new one without a name.
    #[serde(default)]
    pub name: String,
    /// The path, where it is no resource.
    #[serde(default)]
    pub path: String,
    /// What is known of the object's labels.
    #[serde(default)]
    pub labels: KnownLabels,
}

/// What is known of an object's labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KnownLabels {
    /// These are all: what is not among them is not there.
    pub all: bool,
    /// The ones that are known.
    pub known: BTreeMap<String, String>,
}

impl ClusterRequest {
    /// It reads, and starts nothing.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch" | "head" | "options")
    }

    /// What clients learn an API by, and whether it is there. It says nothing of any object.
    #[must_use]
    pub fn is_discovery(&self) -> bool {
        let path = self.path.trim_end_matches('/');
        let is_group = || {
            let mut parts = path.strip_prefix("/apis/").unwrap_or_default().split('/');
            parts.next().is_some_and(|group| !group.is_empty()) && parts.count() <= 1
        };
        self.resource.is_empty()
            && matches!(self.verb.as_str(), "get" | "head")
            && (matches!(path, "/api" | "/apis" | "/version" | "/healthz" | "/livez" | "/readyz")
                || path == "/api/v1"
                || path == "/openapi"
                || path.starts_with("/openapi/")
                || is_group())
    }
}

/// `pods.apps/log in shop named web-1`, for people.
impl fmt::Display for ClusterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, subresource, namespace, name, path, .. } = self;
        if resource.is_empty() {
            return write!(f, "{verb} {path}");
        }
        write!(f, "{verb} {resource}")?;
        let part = |f: &mut fmt::Formatter<'_>, before: &str, text: &str| match text {
            "" => Ok(()),
            _ => write!(f, "{before}{text}"),
        };
        part(f, ".", group)?;
        part(f, "/", subresource)?;
        part(f, " ", name)?;
        part(f, " in ", namespace)
    }
}

/// What becomes of a request, and by which rule.
pub(crate) fn decided<'r>(
    rules: &'r [ClusterRule],
    request: &ClusterRequest,
) -> (AllowOrDeny, Option<&'r ClusterRule>) {
    // What is behind a proxy is nobody's API: only a rule that names it lets it through.
    if request.is_discovery() || (rules.is_empty() && request.subresource != "proxy") {
        return (AllowOrDeny::Allow, None);
    }
    let by = rules.iter().find(|rule| rule.fits(request));
    (by.map_or(AllowOrDeny::Deny, |rule| rule.action), by)
}

/// Somebody must look at the object's labels before this is decided.
pub(crate) fn want_labels(rules: &[ClusterRule], request: &ClusterRequest) -> bool {
    !request.labels.all
        && !request.name.is_empty()
        && rules.iter().any(|rule| {
            let without = ClusterRule { labels: BTreeMap::new(), ..rule.clone() };
            !rule.labels.is_empty() && without.fits(request)
        })
}

impl ClusterRule {
    fn fits(&self, request: &ClusterRequest) -> bool {
        let sure = self.action == AllowOrDeny::Allow;
        let ClusterRequest { verb, resource, subresource, namespace, name, path, labels, .. } = request;
        if !self.verbs.is_empty() && !self.verbs.iter().any(|known| known.as_str() == verb) {
            return false;
        }
        if resource.is_empty() {
            let about_resources =
                !self.resources.is_empty() || !self.namespaces.is_empty() || !self.names.is_empty();
            return if self.paths.is_empty() {
                !about_resources && self.labels.is_empty()
            } else {
                self.paths.iter().any(|known| known.fits(path))
            };
        }
        if !self.paths.is_empty() {
            return false;
        }
        // What runs something else behind the API is meant only by who names it.
        let is_named = |pattern: &ResourcePattern| pattern.subresource.as_deref() == Some(subresource);
        if subresource == "proxy"
            && sure
            && !self.resources.iter().any(|one| is_named(one) && one.fits(request))
        {
            return false;
        }
        if !self.resources.is_empty() && !self.resources.iter().any(|known| known.fits(request)) {
            return false;
        }
        // A list over all namespaces, or of many names, is about each of them; one object without a namespace is in none.
        let over_many = name.is_empty() && verb != "create";
        let in_any = |patterns: &BTreeSet<ObjectPattern>, text: &str, open: bool| {
            patterns.is_empty()
                || if text.is_empty() { open && !sure } else { patterns.iter().any(|known| known.fits(text)) }
        };
        in_any(&self.namespaces, namespace, over_many)
            && in_any(&self.names, name, true)
            && self.labels.iter().all(|(key, values)| match labels.known.get(key) {
                Some(value) => values.contains(value),
                None => !labels.all && !sure,
            })
    }
}

/// Why a text is no part of a cluster rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOfACluster {
    /// No verb.
    #[error("{0:?} is no verb: get, list, watch, create, update, patch, delete, deletecollection")]
    Verb(String),
    /// No resource.
    #[error("{0:?} is no resource: write pods, pods/log, deployments.apps, *.apps, */scale or *")]
    Resource(String),
    /// No name.
    #[error("{0:?} is no name: small letters, digits, `-`, `.`, `:`; `*` only at its end")]
    Name(String),
    /// No path.
    #[error("{0:?} is no path: it begins with `/`, and has `*` only at its end")]
    Path(String),
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A type that is read from one text and written as it.
macro_rules! text_form {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A verb of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterVerb(&'static str);

impl ClusterVerb {
    const ALL: [&'static str; 8] =
        ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

    /// As it is written.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        self.0
    }
}

impl FromStr for ClusterVerb {
    type Err = NotOfACluster;
    fn from_str(text: &str) -> Result<Self, NotOfACluster> {
        let known = Self::ALL.into_iter().find(|known| *known == text);
        known.map(Self).ok_or_else(|| NotOfACluster::Verb(shown(text)))
    }
}

impl fmt::Display for ClusterVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

text_form!(ClusterVerb);

/// Which resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourcePattern {
    /// `None`: any.
    resource: Option<String>,
    /// `None`: any.
    group: Option<String>,
    /// `None`: any, and the resource itself; empty: the resource itself.
    subresource: Option<String>,
}

impl ResourcePattern {
    fn fits(&self, request: &ClusterRequest) -> bool {
        let is = |known: &Option<String>, text: &str| known.as_deref().is_none_or(|known| known == text);
        is(&self.resource, &request.resource)
            && is(&self.group, &request.group)
            && is(&self.subresource, &request.subresource)
    }
}

impl FromStr for ResourcePattern {
    type Err = NotOfACluster;
    fn from_str(text: &str) -> Result<Self, NotOfACluster> {
        let wrong = || NotOfACluster::Resource(shown(text));
        let is_word = |part: &str| {
            !part.is_empty()
                && part.len() <= 253
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let is_group = |part: &str| part.split('.').all(is_word);
        let (whole, subresource) = match text.split_once('/') {
            Some((whole, part)) => (whole, Some(part)),
            None => (text, None),
        };
        let (resource, group) = match whole.split_once('.') {
            Some((resource, group)) if is_group(group) => (resource, Some(group.to_owned())),
            Some(_) => return Err(wrong()),
            None if whole == "*" => (whole, None),
            None => (whole, Some(String::new())),
        };
        let resource = match resource {
            "*" => None,
            word if is_word(word) => Some(word.to_owned()),
            _ => return Err(wrong()),
        };
        let subresource = match subresource {
            // `*` alone is everything; `pods` is no `pods/exec`.
            None if whole == "*" => None,
            None => Some(String::new()),
            Some("*") => None,
            Some(word) if is_word(word) => Some(word.to_owned()),
            Some(_) => return Err(wrong()),
        };
        Ok(Self { resource, group, subresource })
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource.as_deref().unwrap_or("*"))?;
        if let Some(group) = self.group.as_deref().filter(|group| !group.is_empty()) {
            write!(f, ".{group}")?;
        }
        match self.subresource.as_deref() {
            None if self.resource.is_none() && self.group.is_none() => Ok(()),
            None => f.write_str("/*"),
            Some("") => Ok(()),
            Some(subresource) => write!(f, "/{subresource}"),
        }
    }
}

text_form!(ResourcePattern);

/// A name, or the beginning of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectPattern {
    text: String,
    open: bool,
}

impl ObjectPattern {
    fn fits(&self, name: &str) -> bool {
        if self.open { name.starts_with(&self.text) } else { name == self.text }
    }
}

impl FromStr for ObjectPattern {
    type Err = NotOfACluster;
    fn from_str(text: &str) -> Result<Self, NotOfACluster> {
        let (name, open) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
        let is_plain = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':'));
        if !is_plain || name.len() > 253 || (name.is_empty() && !open) {
            return Err(NotOfACluster::Name(shown(text)));
        }
        Ok(Self { text: name.to_owned(), open })
    }
}

impl fmt::Display for ObjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.open { "*" } else { "" })
    }
}

text_form!(ObjectPattern);

/// A path, or the beginning of paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathPattern {
    text: String,
    open: bool,
}

impl PathPattern {
    fn fits(&self, path: &str) -> bool {
        if self.open { path.starts_with(&self.text) } else { path == self.text }
    }
}

impl FromStr for PathPattern {
    type Err = NotOfACluster;
    fn from_str(text: &str) -> Result<Self, NotOfACluster> {
        let (path, open) = text.strip_suffix('*').map_or((text, false), |path| (path, true));
        let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'*' | b'%' | b'?' | b'#'));
        if !path.starts_with('/') || !is_plain || path.len() > 500 {
            return Err(NotOfACluster::Path(shown(text)));
        }
        Ok(Self { text: path.to_owned(), open })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.open { "*" } else { "" })
    }
}

text_form!(PathPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(yaml: &str) -> Vec<ClusterRule> {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn request(text: &str) -> ClusterRequest {
        serde_saphyr::from_str(text).unwrap()
    }

    fn by(rules: &[ClusterRule], text: &str) -> Option<AllowOrDeny> {
        let (action, by) = decided(rules, &request(text));
        assert_eq!(action, by.map_or(AllowOrDeny::Deny, |rule| rule.action), "{text}");
        by.map(|rule| rule.action)
    }

    const ALLOW: Option<AllowOrDeny> = Some(AllowOrDeny::Allow);
    const DENY: Option<AllowOrDeny> = Some(AllowOrDeny::Deny);

    #[test]
    fn a_rule_fits_what_it_names_and_nothing_beside_it() {
        let rules = rules(
            "[{name: look, action: allow, verbs: [get, list], resources: [pods, pods/log, deployments.apps], namespaces: [shop, team-*]}]",
        );
        for (text, wanted) in [
            ("{verb: get, resource: pods, namespace: shop, name: web}", ALLOW),
            ("{verb: list, resource: pods, namespace: team-a}", ALLOW),
            ("{verb: get, resource: pods, subresource: log, namespace: shop, name: web}", ALLOW),
            ("{verb: get, group: apps, resource: deployments, namespace: shop, name: web}", ALLOW),
            ("{verb: get, resource: deployments, namespace: shop, name: web}", None),
            ("{verb: get, group: other, resource: pods, namespace: shop, name: web}", None),
            ("{verb: create, resource: pods, subresource: exec, namespace: shop, name: web}", None),
            ("{verb: watch, resource: pods, namespace: shop}", None),
            ("{verb: list, resource: pods}", None),
            ("{verb: list, resource: pods, namespace: shopping}", None),
            ("{verb: get, path: /metrics}", None),
        ] {
            assert_eq!(by(&rules, text), wanted, "{text}");
        }
    }

    #[test]
    fn what_denies_need_not_be_sure() {
        let rules = rules(
            "[{name: no, action: deny, resources: [secrets], namespaces: [kube-system]},
              {name: not-that, action: deny, resources: [configmaps], names: [keys]},
              {name: not-theirs, action: deny, resources: [pods], labels: {team: [billing]}},
              {name: all, action: allow}]",
        );
        for (text, wanted) in [
            ("{verb: get, resource: secrets, namespace: kube-system, name: a}", DENY),
            ("{verb: list, resource: secrets}", DENY),
            ("{verb: watch, resource: secrets}", DENY),
            ("{verb: deletecollection, resource: secrets}", DENY),
            ("{verb: list, resource: secrets, namespace: shop}", ALLOW),
            ("{verb: list, resource: configmaps, namespace: shop}", DENY),
            ("{verb: create, resource: configmaps, namespace: shop}", DENY),
            ("{verb: get, resource: configmaps, namespace: shop, name: other}", ALLOW),
            ("{verb: get, resource: pods, namespace: shop, name: a}", DENY),
            ("{verb: get, resource: pods, namespace: shop, name: a, labels: {all: true}}", ALLOW),
            ("{verb: list, resource: pods, namespace: shop, labels: {known: {team: shop}}}", ALLOW),
            ("{verb: list, resource: pods, namespace: shop, labels: {known: {team: billing}}}", DENY),
            ("{verb: get, path: /metrics}", ALLOW),
        ] {
            assert_eq!(by(&rules, text), wanted, "{text}");
        }
    }

    #[test]
    fn labels_that_allow_must_be_known() {
        let rules = rules("[{name: ours, action: allow, resources: [pods/*], labels: {app: [web, api]}}]");
        let exec = "verb: create, resource: pods, subresource: exec, namespace: shop, name: a";
        assert_eq!(by(&rules, &format!("{{{exec}}}")), None);
        assert!(want_labels(&rules, &request(&format!("{{{exec}}}"))));
        assert_eq!(by(&rules, &format!("{{{exec}, labels: {{all: true, known: {{app: web}}}}}}")), ALLOW);
        assert_eq!(by(&rules, &format!("{{{exec}, labels: {{all: true, known: {{app: db}}}}}}")), None);
        assert!(
            !want_labels(&rules, &request("{verb: get, resource: nodes, name: a}")),
            "no rule turns on them"
        );
        assert!(!want_labels(&rules, &request("{verb: list, resource: pods, subresource: exec}")));
    }

    #[test]
    fn a_proxy_is_meant_by_its_name_alone() {
        let proxy = "{verb: get, resource: services, subresource: proxy, namespace: shop, name: web}";
        for (resources, wanted) in [("services/proxy", ALLOW), ("'*'", None), ("services/*", None)] {
            let rules = rules(&format!("[{{name: r, action: allow, resources: [{resources}]}}]"));
            assert_eq!(by(&rules, proxy), wanted, "{resources}");
        }
        assert_eq!(by(&rules("[{name: r, action: allow}]"), proxy), None);
        assert_eq!(decided(&[], &request(proxy)).0, AllowOrDeny::Deny);
        assert_eq!(decided(&[], &request("{verb: get, resource: services, name: a}")).0, AllowOrDeny::Allow);
        assert_eq!(by(&rules("[{name: r, action: deny}]"), proxy), DENY);
    }

    #[test]
    fn an_api_may_always_be_learned() {
        let nothing = rules("[{name: none, action: deny}]");
        for path in [
            "/api",
            "/api/v1",
            "/apis",
            "/apis/apps",
            "/apis/apps/v1",
            "/version",
            "/openapi/v3/api/v1",
            "/readyz",
        ] {
            let request =
                ClusterRequest { verb: "get".into(), path: path.into(), ..ClusterRequest::default() };
            assert_eq!(decided(&nothing, &request), (AllowOrDeny::Allow, None), "{path}");
            let post = ClusterRequest { verb: "post".into(), ..request };
            assert_eq!(decided(&nothing, &post).0, AllowOrDeny::Deny, "{path}");
        }
        for path in ["/metrics", "/logs", "/apis/a/b/c", "/apis/", "/apix", "/debug/pprof", "/healthz/etcd"] {
            let request =
                ClusterRequest { verb: "get".into(), path: path.into(), ..ClusterRequest::default() };
            let expected = if path == "/apis/" { AllowOrDeny::Allow } else { AllowOrDeny::Deny };
            assert_eq!(decided(&nothing, &request).0, expected, "{path}");
        }
    }

    #[test]
    fn each_part_is_written_as_it_is_read_and_what_is_none_is_refused() {
        for text in
            ["pods", "pods/log", "pods/*", "deployments.apps", "*.apps", "*/scale", "*", "a.b.c/status"]
        {
            assert_eq!(text.parse::<ResourcePattern>().unwrap().to_string(), text);
        }
        for text in ["", "Pods", "pods/", "/log", "pods/log/x", "pods.", ".apps", "po*", "pods/l*", "a b"] {
            assert!(text.parse::<ResourcePattern>().is_err(), "{text}");
        }
        for text in ["", "A", "a*b", "a/b", "a b", "**"] {
            assert!(text.parse::<ObjectPattern>().is_err(), "{text}");
        }
        for text in ["metrics", "/a%2e", "/a?b", "/a*b", ""] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
        assert!("*".parse::<ClusterVerb>().is_err() && "impersonate".parse::<ClusterVerb>().is_err());
    }
}

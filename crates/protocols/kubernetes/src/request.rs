//! What a request to an API server asks for, read from its method, path and query as Kubernetes reads them (`RequestInfo`).
//!
//! What Kubernetes and we could read differently is refused: encoded and doubled slashes, dots, paths of old versions, subresources
//! that nobody knows. A request goes on as the very path that was judged.

use bytes::Bytes;
use hoop_policy::{ClusterRequest, KnownLabels};
use http::{HeaderMap, Method, Uri, header, uri::PathAndQuery};

/// Longest path with its query, bytes. Commands of `exec` stand in it.
const LONGEST: usize = 32 << 10;

/// Subresources that belong to resources of any API, and those of Kubernetes' own.
const OF_ANY: [&str; 2] = ["status", "scale"];
const KNOWN: [(&str, &str, &[&str]); 8] = [
    (
        "",
        "pods",
        &[
            "log",
            "exec",
            "attach",
            "portforward",
            "proxy",
            "eviction",
            "binding",
            "ephemeralcontainers",
            "resize",
        ],
    ),
    ("", "services", &["proxy"]),
    ("", "namespaces", &["finalize"]),
    ("", "serviceaccounts", &["token"]),
    ("certificates.k8s.io", "certificatesigningrequests", &["approval"]),
    ("apps", "deployments", &["rollback"]),
    ("extensions", "deployments", &["rollback"]),
    ("policy", "pods", &["eviction"]),
];

/// A request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    /// As policy looks at it.
    pub(crate) request: ClusterRequest,
    /// What it is for us.
    pub(crate) kind: Kind,
    /// The path of the object itself, where it has a name.
    pub(crate) object: Option<PathAndQuery>,
}

/// What has to be done for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is asked and answered.
    Call,
    /// A program is run in a container, or its main one is joined.
    Exec(Exec),
    /// Ports of a pod are reached: `ports` of the query.
    Forward(Vec<u16>),
}

/// A program in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exec {
    /// Empty: the container's own program is joined.
    pub(crate) command: Vec<String>,
    /// The one that is named, if any is.
    pub(crate) container: Option<String>,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) terminal: bool,
}

impl Exec {
    /// As a person would type it: words that a shell would take apart are quoted, so that two commands never read alike.
    pub(crate) fn text(&self) -> Bytes {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
        let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', r"'\''")),
        };
        self.command.iter().map(word).collect::<Vec<_>>().join(" ").into()
    }
}

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unclear {
    /// The path can be read in two ways.
    #[error("this path can be read in two ways: {0}")]
    Path(&'static str),
    /// The method says nothing here.
    #[error("{0} is no method of the API")]
    Method(String),
    /// What would go through it cannot be recorded.
    #[error("{0} is not let through: what goes through it cannot be recorded")]
    Unrecordable(String),
    /// The query says what it cannot mean.
    #[error("the query cannot be used: {0}")]
    Query(&'static str),
}

/// The parts of a query, decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As Kubernetes reads a flag: there, and neither `false` nor `0`. Said twice, it must be the same.
    fn flag(&self, name: &'static str) -> Result<bool, Unclear> {
        let mut said = self.all(name).map(|value| !value.eq_ignore_ascii_case("false") && value != "0");
        let first = said.next().unwrap_or(false);
        if said.all(|other| other == first) { Ok(first) } else { Err(Unclear::Query("a flag is said twice")) }
    }

    fn one(&self, name: &'static str) -> Result<Option<&str>, Unclear> {
        let mut all = self.all(name);
        let first = all.next();
        if all.next().is_some() { Err(Unclear::Query("a name is said twice")) } else { Ok(first) }
    }
}

/// Whether everybody reads the same in it: Go has taken `;` for `&`, and drops what is not encoded well.
fn is_plain(query: &str) -> bool {
    let (mut bytes, mut decoded) = (query.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        decoded.push(match byte {
            b';' | b'#' | 0..=b' ' | 0x7f.. => return false,
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                _ => return false,
            },
            other => other,
        });
    }
    std::str::from_utf8(&decoded).is_ok_and(|text| !text.contains('\0'))
}

/// Reads a request.
///
/// # Errors
/// [`Unclear`].
pub(crate) fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Read, Unclear> {
    if uri.path_and_query().is_none_or(|all| all.as_str().len() > LONGEST) {
        return Err(Unclear::Path("it is too long"));
    }
    if !is_plain(uri.query().unwrap_or_default()) {
        return Err(Unclear::Query("it can be read in two ways"));
    }
    let (path, query) = (uri.path(), Query::of(uri));
    let segments = segments(path)?;
    let upgrades = headers.contains_key(header::UPGRADE);
    let Some(mut parsed) = resource(&segments)? else {
        let verb = match *method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::POST => "post",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => return Err(Unclear::Method(method.to_string())),
        };
        if upgrades {
            return Err(Unclear::Unrecordable("an upgrade of this path".to_owned()));
        }
        let request =
            ClusterRequest { verb: verb.to_owned(), path: path.to_owned(), ..ClusterRequest::default() };
        return Ok(Read { request, kind: Kind::Call, object: None });
    };
    let many = parsed.name.is_empty();
    let object = if many { None } else { object_path(&segments, &parsed) };
    let watches = query.flag("watch")?;
    parsed.verb = match *method {
        Method::GET | Method::HEAD if !many => "get",
        Method::GET | Method::HEAD if watches => "watch",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if many => "deletecollection",
        Method::DELETE => "delete",
        _ => return Err(Unclear::Method(method.to_string())),
    }
    .to_owned();
    if many {
        // Kubernetes' own rules take a name from here, too.
        parsed.name = named_by_field(&query)?;
        parsed.labels = pinned_labels(&query)?;
    }
    let kind = match (parsed.resource.as_str(), parsed.group.as_str(), parsed.subresource.as_str()) {
        ("pods", "", "exec" | "attach") => Kind::Exec(exec(&parsed.subresource, &query)?),
        ("pods", "", "portforward") => Kind::Forward(ports(&query)?),
        _ => Kind::Call,
    };
    if kind == Kind::Call {
        if upgrades {
            return Err(Unclear::Unrecordable(format!("an upgrade of {parsed}")));
        }
    } else {
        if !matches!(*method, Method::GET | Method::POST) {
            return Err(Unclear::Method(method.to_string()));
        }
        // By whatever method: it starts something.
        "create".clone_into(&mut parsed.verb);
    }
    Ok(Read { request: parsed, kind, object })
}

/// The path of an object, whatever of it a request is about.
fn object_path(segments: &[&str], request: &ClusterRequest) -> Option<PathAndQuery> {
    let base = if segments.first() == Some(&"api") { 2 } else { 3 };
    let is_within = !request.namespace.is_empty() && request.resource != "namespaces";
    let name = if is_within { base + 3 } else { base + 1 };
    format!("/{}", segments.get(..=name)?.join("/")).parse().ok()
}

/// The parts of a path, none of which means anything to a file system.
fn segments(path: &str) -> Result<Vec<&str>, Unclear> {
    if path.contains('%') {
        return Err(Unclear::Path("it is percent-encoded"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b';') {
        return Err(Unclear::Path("it has other characters than names have"));
    }
    let inner = path.strip_prefix('/').ok_or(Unclear::Path("it does not begin with a slash"))?;
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    // `/` alone is an empty part.
    let inner = inner.strip_suffix('/').filter(|inner| !inner.is_empty()).unwrap_or(inner);
    let segments: Vec<&str> = inner.split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err(Unclear::Path("it has an empty part"));
    }
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Err(Unclear::Path("it has a part of dots"));
    }
    Ok(segments)
}

/// The resource that a path names; `None`: it names none.
fn resource(segments: &[&str]) -> Result<Option<ClusterRequest>, Unclear> {
    let (group, parts) = match segments {
        ["api", _, parts @ ..] => ("", parts),
        ["apis", group, _, parts @ ..] => (*group, parts),
        _ => return Ok(None),
    };
    let (namespace, parts) = match parts {
        [] => return Ok(None),
        // What was of old: a verb before the resource.
        ["watch" | "proxy" | "redirect", ..] => {
            return Err(Unclear::Unrecordable("a path of Kubernetes before 1.10".to_owned()));
        }
        ["namespaces", namespace, rest @ ..] => match rest {
            [] | ["status" | "finalize", ..] => (*namespace, parts),
            _ => (*namespace, rest),
        },
        _ => ("", parts),
    };
    let mut parts = parts.iter().copied();
    let [resource, name, subresource] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let more = parts.next().is_some();
    let all = [group, resource, subresource];
    let is_word = |text: &str| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    };
    if !all.into_iter().all(is_word) {
        return Err(Unclear::Path(
            "a resource or group has other characters than small letters, digits and dashes",
        ));
    }
    let is_known = subresource.is_empty()
        || OF_ANY.contains(&subresource)
        || KNOWN.iter().any(|(of, known, subresources)| {
            *of == group && *known == resource && subresources.contains(&subresource)
        });
    if !is_known || (more && subresource != "proxy") {
        return Err(Unclear::Unrecordable(format!("{resource}/{subresource}")));
    }
    Ok(Some(ClusterRequest {
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..ClusterRequest::default()
    }))
}

/// The name that a field selector is about, if it is about one.
fn named_by_field(query: &Query) -> Result<String, Unclear> {
    let selector = query.one("fieldSelector")?.unwrap_or_default();
    let names = selector.split(',').filter_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (!value.is_empty() && !value.contains(['=', '\\', '!'])).then_some(value)
    });
    let mut names = names;
    let first = names.next().unwrap_or_default();
    Ok(if names.next().is_some() { String::new() } else { first.to_owned() })
}

/// Labels that a selector pins to one value: every object in the answer has them.
fn pinned_labels(query: &Query) -> Result<KnownLabels, Unclear> {
    let selector = query.one("labelSelector")?.unwrap_or_default();
    let mut labels = KnownLabels::default();
    // A set in brackets has commas of its own; what it pins is not looked at.
    if selector.contains(['(', ')']) {
        return Ok(labels);
    }
    for term in selector.split(',') {
        let Some((key, value)) = term.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.strip_prefix('=').unwrap_or(value).trim());
        if !key.is_empty() && !key.contains('!') && !value.contains(['=', '!']) {
            labels.known.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(labels)
}

fn exec(subresource: &str, query: &Query) -> Result<Exec, Unclear> {
    let command: Vec<String> = query.all("command").map(str::to_owned).collect();
    if command.is_empty() != (subresource == "attach") {
        return Err(Unclear::Query("an exec needs a command, and an attach has none"));
    }
    let terminal = query.flag("tty")?;
    let exec = Exec {
        command,
        container: query.one("container")?.filter(|name| !name.is_empty()).map(str::to_owned),
        stdin: query.flag("stdin")?,
        stdout: query.flag("stdout")?,
        // A terminal has one output.
        stderr: query.flag("stderr")? && !terminal,
        terminal,
    };
    if !(exec.stdin || exec.stdout || exec.stderr) {
        return Err(Unclear::Query("neither stdin nor stdout nor stderr is asked for"));
    }
    Ok(exec)
}

fn ports(query: &Query) -> Result<Vec<u16>, Unclear> {
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let ports = query.all("ports").flat_map(|list| list.split(',')).map(port);
    ports.collect::<Option<_>>().ok_or(Unclear::Query("a port is no number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, uri: &str) -> Result<Read, Unclear> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        read(&method, &uri.parse().unwrap(), &HeaderMap::new())
    }

    fn told(method: &str, uri: &str) -> String {
        ask(method, uri).map_or_else(|error| format!("refused: {error}"), |read| read.request.to_string())
    }

    #[test]
    fn requests_are_read_as_kubernetes_reads_them() {
        for (method, uri, wanted) in [
            ("GET", "/api/v1/pods", "list pods"),
            ("GET", "/api/v1/pods?watch=1", "watch pods"),
            ("GET", "/api/v1/pods?watch=false", "list pods"),
            ("GET", "/api/v1/namespaces/shop/pods?watch", "watch pods in shop"),
            ("GET", "/api/v1/namespaces/shop/pods/web?watch=true", "get pods web in shop"),
            ("HEAD", "/api/v1/namespaces/shop/pods/web", "get pods web in shop"),
            ("GET", "/api/v1/namespaces/shop/pods/web/log", "get pods/log web in shop"),
            ("GET", "/api/v1/namespaces/shop", "get namespaces shop in shop"),
            ("PUT", "/api/v1/namespaces/shop/finalize", "update namespaces/finalize shop in shop"),
            ("GET", "/api/v1/namespaces", "list namespaces"),
            ("GET", "/api/v1/nodes/a/status", "get nodes/status a"),
            ("POST", "/apis/apps/v1/namespaces/shop/deployments", "create deployments.apps in shop"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/shop/deployments/web/scale",
                "patch deployments.apps/scale web in shop",
            ),
            ("DELETE", "/api/v1/namespaces/shop/pods", "deletecollection pods in shop"),
            ("DELETE", "/api/v1/namespaces/shop/pods/web", "delete pods web in shop"),
            (
                "GET",
                "/api/v1/namespaces/shop/pods/web/exec?command=ls&stdout=1",
                "create pods/exec web in shop",
            ),
            ("POST", "/api/v1/namespaces/shop/pods/web/attach?stdout=1", "create pods/attach web in shop"),
            (
                "GET",
                "/api/v1/namespaces/shop/pods/web/portforward?ports=80",
                "create pods/portforward web in shop",
            ),
            ("GET", "/api/v1/namespaces/shop/services/web:80/proxy/a/b", "get services/proxy web:80 in shop"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dweb", "list pods web"),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name!%3Dweb", "list pods"),
            ("GET", "/version", "get /version"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("GET", "/", "get /"),
            ("POST", "/metrics", "post /metrics"),
        ] {
            assert_eq!(told(method, uri), wanted, "{method} {uri}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for uri in [
            "/api/v1/namespaces/shop/pods/web%2fexec",
            "/api/v1/namespaces/shop/pods/web/%65xec?command=id&stdout=1",
            "/api/v1//pods",
            "//",
            "//api/v1/pods",
            "/api/v1/pods//",
            "/api/v1/namespaces/shop/../kube-system/secrets",
            "/api/v1/namespaces/./secrets",
            "/api/v1/namespaces/shop/pods/web;x/log",
            "/api/v1/namespaces/shop/Pods/web/log",
            "/api/v1/watch/namespaces/shop/secrets",
            "/api/v1/proxy/nodes/a/exec",
            "/api/v1/nodes/a/proxy/exec/default/web/main",
            "/api/v1/namespaces/shop/pods/web/exec/more?command=id&stdout=1",
            "/api/v1/namespaces/shop/pods/web/secret",
            "/apis/apps/v1/namespaces/shop/pods/web/exec?command=id&stdout=1",
            "/apis/subresources.kubevirt.io/v1/namespaces/a/virtualmachineinstances/b/console",
            "/api/v1/pods?watch=0&watch=1",
            "/api/v1/pods?a=b;watch=1",
            "/api/v1/pods?watch=%zz",
            "/api/v1/pods?watch=1%",
            "/api/v1/namespaces/shop/pods/web/exec?command=%ff&stdout=1",
            "/api/v1/namespaces/shop/pods/web/exec",
            "/api/v1/namespaces/shop/pods/web/exec?command=id",
            "/api/v1/namespaces/shop/pods/web/attach?command=id&stdout=1",
            "/api/v1/namespaces/shop/pods/web/portforward?ports=80,0",
        ] {
            assert!(ask("GET", uri).is_err(), "{uri}: {}", told("GET", uri));
        }
        for method in ["OPTIONS", "TRACE", "CONNECT", "EXEC"] {
            assert!(ask(method, "/api/v1/pods").is_err() && ask(method, "/version").is_err(), "{method}");
        }
        for method in ["PUT", "PATCH", "DELETE"] {
            assert!(ask(method, "/api/v1/namespaces/a/pods/b/exec?command=id&stdout=1").is_err(), "{method}");
        }
    }

    #[test]
    fn the_object_behind_a_request_has_a_path() {
        for (uri, wanted) in [
            ("/api/v1/namespaces/shop/pods/web/log?follow=1", Some("/api/v1/namespaces/shop/pods/web")),
            ("/api/v1/namespaces/pods/pods/pods/status", Some("/api/v1/namespaces/pods/pods/pods")),
            ("/apis/apps/v1/namespaces/a/deployments/b", Some("/apis/apps/v1/namespaces/a/deployments/b")),
            ("/api/v1/namespaces/namespaces", Some("/api/v1/namespaces/namespaces")),
            ("/api/v1/nodes/a", Some("/api/v1/nodes/a")),
            ("/api/v1/pods", None),
        ] {
            let object = ask("GET", uri).unwrap().object;
            assert_eq!(object.as_ref().map(PathAndQuery::as_str), wanted, "{uri}");
        }
    }

    #[test]
    fn what_is_not_recorded_is_not_upgraded() {
        let upgrade = HeaderMap::from_iter([(header::UPGRADE, "websocket".parse().unwrap())]);
        for uri in [
            "/api/v1/namespaces/a/pods/b/log?follow=1",
            "/api/v1/namespaces/a/services/b/proxy/ws",
            "/apis/g/v1/things/x",
            "/version",
            "/api/v1/pods?watch=1",
        ] {
            assert!(read(&Method::GET, &uri.parse().unwrap(), &upgrade).is_err(), "{uri}");
        }
        let exec = "/api/v1/namespaces/a/pods/b/exec?command=id&stdout=1".parse().unwrap();
        assert!(read(&Method::GET, &exec, &upgrade).is_ok());
    }

    #[test]
    fn labels_that_a_selector_pins_are_known() {
        let pinned = |selector: &str| {
            let uri = format!("/api/v1/pods?labelSelector={selector}");
            ask("GET", &uri)
                .unwrap()
                .request
                .labels
                .known
                .into_iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (selector, wanted) in [
            ("app%3Dweb", "app=web"),
            ("app%3D%3Dweb,tier%3Da", "app=web tier=a"),
            ("app!%3Dweb", ""),
            ("app", ""),
            ("app%20in%20(web,api)", ""),
            ("x%20in%20(a,app%3Dweb)", ""),
        ] {
            assert_eq!(pinned(selector), wanted, "{selector}");
        }
    }

    #[test]
    fn two_commands_never_read_alike() {
        let text = |command: &[&str]| {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            let exec =
                Exec { command, container: None, stdin: false, stdout: true, stderr: true, terminal: false };
            String::from_utf8(exec.text().to_vec()).unwrap()
        };
        assert_eq!(text(&["ls", "-l", "/srv/a.b"]), "ls -l /srv/a.b");
        assert_eq!(text(&["sh", "-c", "id; ls"]), "sh -c 'id; ls'");
        assert_ne!(text(&["ls", "a b"]), text(&["ls", "a", "b"]));
        assert_eq!(text(&["echo", "it's", ""]), r"echo 'it'\''s' ''");
    }
}

//! A kubeconfig: read, changed where it is ours, and written. Pure: knows no file.
//!
//! An entry is a cluster, a user and a context of one name. What is not ours stays, value for value; comments and styles of writing
//! go, as they do when kubectl writes. An entry of that name that somebody else made is never replaced.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::ConnectionName;
use serde_saphyr::{DefaultMessageFormatter, MessageFormatter as _, options::DuplicateKeyPolicy};

use super::tree::Tree;
use crate::{
    error::{ClientError, Result},
    local::ClientCertificate,
};

/// A kubeconfig of a thousand clusters has some five megabytes.
pub(super) const LARGEST: usize = 16 << 20;
/// kubectl 1.11 and all later ones know it.
pub(super) const EXEC_VERSION: &str = "client.authentication.k8s.io/v1beta1";

/// Where the API server is.
#[derive(Debug, Clone, Copy)]
pub struct Cluster<'a> {
    /// Local port.
    pub port: u16,
    /// Whom to trust there.
    pub authority_pem: &'a str,
}

/// The program that gives a client its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// This program, by absolute path.
    pub command: String,
    /// For which connection.
    pub connection: ConnectionName,
    /// The profile's folder, where it is not the usual one.
    pub config_folder: Option<String>,
}

/// How a client shows that it may.
#[derive(Debug, Clone, Copy)]
pub enum User<'a> {
    /// With this certificate.
    Certificate(&'a ClientCertificate),
    /// By asking a program.
    Plugin(&'a Plugin),
}

/// Cluster, user and context of one name.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a str,
    /// The cluster.
    pub cluster: Cluster<'a>,
    /// The user.
    pub user: User<'a>,
    /// The namespace that clients start in; the one that is there stays where none is given.
    pub namespace: Option<&'a str>,
}

/// A kubeconfig.
#[derive(Debug, Clone, PartialEq)]
pub struct KubeConfig(Tree);

const KINDS: [(&str, &str); 3] = [("clusters", "cluster"), ("users", "user"), ("contexts", "context")];

impl KubeConfig {
    /// One without any entry.
    #[must_use]
    pub fn empty() -> Self {
        Self(Tree::from([("apiVersion", "v1".into()), ("kind", "Config".into())]))
    }

    /// Reads one; an empty text is an empty one.
    ///
    /// # Errors
    /// `HOOP-1069` when it is no YAML, or no kubeconfig.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > LARGEST {
            return Err(unusable("it is larger than 16 MiB"));
        }
        let tree: Tree = serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
            let place = error.location().map_or(String::new(), |at| format!(" (line {})", at.line()));
            unusable(&format!("{}{place}", DefaultMessageFormatter.format_message(error.without_snippet())))
        })?;
        match &tree {
            Tree::Null => return Ok(Self::empty()),
            Tree::Map(_) => {}
            _ => return Err(unusable("it is no map")),
        }
        if tree.at("kind").is_some_and(|kind| kind.text() != Some("Config")) {
            return Err(unusable("its kind is not Config"));
        }
        for (list, _) in KINDS {
            let sound = match tree.at(list) {
                None | Some(Tree::Null) => true,
                Some(Tree::List(items)) => items.iter().all(|item| item.at("name").is_some()),
                Some(_) => false,
            };
            if !sound {
                return Err(unusable(&format!("{list} is no list of named items")));
            }
        }
        Ok(Self(tree))
    }

    /// As YAML. What it says is read back and compared before it is given out.
    ///
    /// # Errors
    /// When it cannot be said in YAML.
    pub fn to_yaml(&self) -> Result<String> {
        let style = serde_saphyr::ser_options! { prefer_block_scalars: false };
        let text = serde_saphyr::to_string_with_options(&self.0, style)
            .map_err(|error| unusable(&format!("it cannot be written: {error}")))?;
        match Self::parse(&text) {
            Ok(same) if same == *self => Ok(text),
            _ => Err(unusable("something in it cannot be written as it was")),
        }
    }

    /// Puts an entry, and makes its context the current one. Gives the one that was current before.
    ///
    /// # Errors
    /// `HOOP-1069` when somebody else has an entry of that name.
    pub fn put(&mut self, entry: &Entry<'_>) -> Result<Option<String>> {
        let taken = KINDS.iter().any(|(list, _)| self.find(list, entry.name).is_some());
        if taken && self.plugin(entry.name).is_none() {
            let what = format!("it has an entry {:?} that hoop did not make", entry.name);
            return Err(unusable(&what).hint("choose another name with --context"));
        }
        let before = self.0.at("current-context").and_then(Tree::text);
        let before = before.filter(|before| !before.is_empty() && *before != entry.name).map(str::to_owned);
        let namespace = entry.namespace.map(Tree::from);
        let namespace =
            namespace.or_else(|| self.find("contexts", entry.name)?.at("context")?.at("namespace").cloned());
        let mut context = Tree::from([("cluster", entry.name.into()), ("user", entry.name.into())]);
        if let Some(namespace) = namespace {
            context.put("namespace", namespace);
        }
        self.replace("clusters", "cluster", entry.name, cluster(&entry.cluster));
        self.replace("users", "user", entry.name, user(entry.user));
        self.replace("contexts", "context", entry.name, context);
        self.0.put("current-context", entry.name.into());
        Ok(before)
    }

    /// Sets the port of an entry of ours.
    pub fn move_to(&mut self, name: &str, port: u16) {
        if self.plugin(name).is_none() {
            return;
        }
        if let Some(cluster) = self.find_mut("clusters", name).and_then(|item| item.at_mut("cluster")) {
            cluster.put("server", server(port).as_str().into());
        }
    }

    /// Takes an entry of ours away; if it was the current one, the one before it is again, if it is still there.
    pub fn remove(&mut self, name: &str, connection: &ConnectionName, before: Option<&str>) {
        if self.plugin(name).is_none_or(|of| of != connection.as_str()) {
            return;
        }
        self.drop_from("contexts", name);
        for (list, kind) in [("users", "user"), ("clusters", "cluster")] {
            let contexts = self.0.at("contexts").map_or(&[][..], Tree::list);
            let used =
                contexts.iter().filter_map(|item| item.at("context")?.at(kind)?.text()).any(|it| it == name);
            if !used {
                self.drop_from(list, name);
            }
        }
        if self.0.at("current-context").and_then(Tree::text) == Some(name) {
            let before = before.filter(|before| self.find("contexts", before).is_some()).unwrap_or_default();
            self.0.put("current-context", before.into());
        }
    }

    /// For which connection the user of that name asks us, if it does.
    fn plugin(&self, name: &str) -> Option<&str> {
        let words = self.find("users", name)?.at("user")?.at("exec")?.at("args")?.list();
        match words {
            [kube, credentials, connection]
                if kube.text() == Some("kube") && credentials.text() == Some("credentials") =>
            {
                connection.text()
            }
            _ => None,
        }
    }

    fn find(&self, list: &str, name: &str) -> Option<&Tree> {
        self.0.at(list)?.list().iter().find(|item| item.at("name").and_then(Tree::text) == Some(name))
    }

    fn find_mut(&mut self, list: &str, name: &str) -> Option<&mut Tree> {
        match self.0.at_mut(list)? {
            Tree::List(items) => {
                items.iter_mut().find(|item| item.at("name").and_then(Tree::text) == Some(name))
            }
            _ => None,
        }
    }

    fn replace(&mut self, list: &str, kind: &str, name: &str, value: Tree) {
        if let Some(item) = self.find_mut(list, name) {
            item.put(kind, value);
            return;
        }
        let item = Tree::from([(kind, value), ("name", name.into())]);
        match self.0.at_mut(list) {
            Some(Tree::List(items)) => items.push(item),
            _ => self.0.put(list, Tree::List(vec![item])),
        }
    }

    fn drop_from(&mut self, list: &str, name: &str) {
        if let Some(Tree::List(items)) = self.0.at_mut(list) {
            items.retain(|item| item.at("name").and_then(Tree::text) != Some(name));
        }
    }
}

fn cluster(cluster: &Cluster<'_>) -> Tree {
    let authority = STANDARD.encode(cluster.authority_pem);
    Tree::from([
        ("certificate-authority-data", authority.as_str().into()),
        ("server", server(cluster.port).as_str().into()),
    ])
}

fn server(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn user(user: User<'_>) -> Tree {
    match user {
        User::Certificate(shown) => Tree::from([
            ("client-certificate-data", STANDARD.encode(&shown.certificate_pem).as_str().into()),
            ("client-key-data", STANDARD.encode(shown.key_pem.expose()).as_str().into()),
        ]),
        User::Plugin(plugin) => Tree::from([("exec", exec(plugin))]),
    }
}

fn exec(plugin: &Plugin) -> Tree {
    let words = ["kube", "credentials", plugin.connection.as_str()].map(Tree::from);
    let hint = format!(
        "This context goes through hoop, which is not at {}.\nInstall it there, or run `hoop kube login {}` with the one you have.",
        plugin.command, plugin.connection
    );
    let mut exec = Tree::from([
        ("apiVersion", EXEC_VERSION.into()),
        ("command", plugin.command.as_str().into()),
        ("args", Tree::List(words.into())),
        ("installHint", hint.as_str().into()),
        ("interactiveMode", "IfAvailable".into()),
        ("provideClusterInfo", false.into()),
    ]);
    if let Some(folder) = &plugin.config_folder {
        let variable = Tree::from([("name", "HOOP_CONFIG_DIR".into()), ("value", folder.as_str().into())]);
        exec.put("env", Tree::List(vec![variable]));
    }
    exec
}

/// As lenient as kubectl about how a value is written, strict about what could be read in two ways, and bounded.
fn options() -> serde_saphyr::Options {
    let mut aliases = serde_saphyr::options::AliasLimits::default();
    aliases.max_total_replayed_events = 50_000;
    aliases.max_replay_stack_depth = 8;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 1_000_000,
            max_nodes: 500_000,
            max_depth: 64,
            max_documents: 1,
            max_total_scalar_bytes: 2 * LARGEST,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        alias_limits: aliases,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn unusable(why: &str) -> ClientError {
    let why: String = why.chars().filter(|c| !c.is_control()).take(300).collect();
    ClientError::usage("HOOP-1069", format!("the kubeconfig cannot be changed: {why}"))
        .hint("nothing was changed; mend it, or name another file with --kubeconfig")
}

#[cfg(test)]
mod tests;

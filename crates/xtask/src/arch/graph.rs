//! What cargo would build: the workspace's crates in their order, every package, and who depends on whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Why a package is depended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Linked into the product.
    Normal,
    /// Run while building.
    Build,
    /// Tests alone.
    Dev,
}

/// One crate of the workspace.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Cargo's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its folder below the root, such as `crates/model`.
    pub folder: String,
    /// Its place in the list of the root Cargo.toml.
    pub order: usize,
}

/// Any package.
#[derive(Debug)]
pub(super) struct Package {
    /// Its name.
    pub name: String,
    /// Cargo's ids of what it depends on here.
    pub dependencies: Vec<(String, Kind)>,
}

/// The whole graph.
#[derive(Debug)]
pub(super) struct Graph {
    /// The workspace's crates, in order.
    pub members: Vec<Member>,
    /// Every package by cargo's id.
    pub packages: BTreeMap<String, Package>,
    /// Names of what is compiled for this platform. `cargo metadata` alone says too much: it counts an optional
    /// dependency that only a weak feature (`ring?/std`) mentions; `cargo tree` resolves as the build does.
    pub compiled: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_members: BTreeSet<String>,
    workspace_root: String,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    manifest_path: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Graph {
    /// Reads the output of `cargo metadata`, that of `cargo tree --prefix none`, and the root's Cargo.toml, which alone
    /// has the order of the members.
    pub(super) fn parse(metadata: &str, tree: &str, root_manifest: &str) -> Result<Self> {
        let metadata: Metadata = serde_json::from_str(metadata).context("reading `cargo metadata`")?;
        let order = member_list(root_manifest)?;
        let mut members = Vec::new();
        for package in metadata.packages.iter().filter(|p| metadata.workspace_members.contains(&p.id)) {
            let folder = package
                .manifest_path
                .strip_prefix(&metadata.workspace_root)
                .and_then(|path| path.trim_start_matches('/').strip_suffix("/Cargo.toml"))
                .with_context(|| format!("{} is outside the workspace", package.manifest_path))?;
            let order = order.iter().position(|listed| listed == folder).with_context(|| {
                format!("{folder} is not in the members of the root Cargo.toml, one path a line")
            })?;
            members.push(Member {
                id: package.id.clone(),
                name: package.name.clone(),
                folder: folder.to_owned(),
                order,
            });
        }
        members.sort_by_key(|member| member.order);
        let mut names: BTreeMap<String, String> =
            metadata.packages.into_iter().map(|p| (p.id, p.name)).collect();
        let mut packages = BTreeMap::new();
        for node in metadata.resolve.nodes {
            let Some(name) = names.remove(&node.id) else {
                bail!("cargo resolved {} without describing it", node.id)
            };
            packages.insert(node.id, Package { name, dependencies: edges(node.deps)? });
        }
        let compiled =
            tree.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
        Ok(Self { members, packages, compiled })
    }

    /// What `id` depends on for one of `kinds`.
    pub(super) fn dependencies<'a>(&'a self, id: &str, kinds: &'a [Kind]) -> impl Iterator<Item = &'a str> {
        let edges = self.packages.get(id).map(|package| package.dependencies.as_slice()).unwrap_or_default();
        edges.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(id, _)| id.as_str())
    }

    /// The name of a package.
    pub(super) fn name(&self, id: &str) -> &str {
        self.packages.get(id).map_or("?", |package| package.name.as_str())
    }

    /// The crate of the workspace with this id.
    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The shortest way from `start` to a package that `wanted` names, over normal dependencies.
    pub(super) fn path_to(&self, start: &str, wanted: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        self.search([start], &[Kind::Normal], wanted, |_| false)
    }

    /// As [`Graph::path_to`], but not through those that `avoid` names by id.
    pub(super) fn path_around(
        &self,
        start: &str,
        wanted: impl Fn(&str) -> bool,
        avoid: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        self.search([start], &[Kind::Normal], wanted, avoid)
    }

    /// As [`Graph::path_to`], from any crate of the workspace and over every kind of dependency.
    pub(super) fn path_from_anywhere(&self, wanted: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let starts = self.members.iter().map(|member| member.id.as_str());
        self.search(starts, &[Kind::Normal, Kind::Build, Kind::Dev], wanted, |_| false)
    }

    fn search<'a>(
        &'a self,
        starts: impl IntoIterator<Item = &'a str>,
        kinds: &'a [Kind],
        wanted: impl Fn(&str) -> bool,
        avoid: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        let mut open: VecDeque<&str> = VecDeque::new();
        for start in starts {
            came_from.insert(start, None);
            open.push_back(start);
        }
        while let Some(id) = open.pop_front() {
            if wanted(self.name(id)) {
                let mut path = vec![self.name(id).to_owned()];
                let mut step = id;
                while let Some(Some(before)) = came_from.get(step) {
                    path.push(self.name(before).to_owned());
                    step = before;
                }
                path.reverse();
                return Some(path);
            }
            for next in self.dependencies(id, kinds).filter(|next| !avoid(next)) {
                came_from.entry(next).or_insert_with(|| {
                    open.push_back(next);
                    Some(id)
                });
            }
        }
        None
    }
}

fn edges(dependencies: Vec<NodeDependency>) -> Result<Vec<(String, Kind)>> {
    let mut edges = Vec::new();
    for dependency in dependencies {
        for kind in dependency.dep_kinds {
            let kind = match kind.kind.as_deref() {
                None => Kind::Normal,
                Some("build") => Kind::Build,
                Some("dev") => Kind::Dev,
                Some(other) => bail!("a kind of dependency this check does not know: {other}"),
            };
            edges.push((dependency.pkg.clone(), kind));
        }
    }
    Ok(edges)
}

/// The `members` of a root Cargo.toml that lists them one a line.
fn member_list(manifest: &str) -> Result<Vec<String>> {
    let (_, rest) = manifest.split_once("members = [").context("the root Cargo.toml has no `members = [`")?;
    let (list, _) = rest.split_once(']').context("the list of members does not end")?;
    Ok(list
        .lines()
        .filter_map(|line| {
            Some(line.split('#').next()?.trim().trim_end_matches(',').trim_matches('"').to_owned())
        })
        .filter(|line| !line.is_empty())
        .collect())
}

#[cfg(test)]
pub(super) mod testing {
    //! Made-up workspaces.
    use super::*;

    /// A workspace from `(folder, name, [dependency or "dev:dependency"])`, in order, and packages from outside in the
    /// same form without a folder.
    pub(crate) fn graph(members: &[(&str, &str, &[&str])], outside: &[(&str, &[&str])]) -> Graph {
        let all = members.iter().map(|(_, name, deps)| (*name, *deps)).chain(outside.iter().copied());
        let nodes: Vec<_> = all
            .clone()
            .map(|(name, deps)| {
                let deps: Vec<_> = deps
                    .iter()
                    .map(|dep| {
                        let (kind, dep) =
                            dep.split_once(':').map_or((None, *dep), |(kind, dep)| (Some(kind), dep));
                        serde_json::json!({"pkg": dep, "dep_kinds": [{"kind": kind, "target": null}]})
                    })
                    .collect();
                serde_json::json!({"id": name, "deps": deps})
            })
            .collect();
        let packages: Vec<_> = all
            .map(|(name, _)| {
                let folder = members.iter().find(|(_, n, _)| *n == name).map_or("elsewhere", |(folder, ..)| folder);
                serde_json::json!({"id": name, "name": name, "manifest_path": format!("/w/{folder}/Cargo.toml")})
            })
            .collect();
        let metadata = serde_json::json!({
            "packages": packages,
            "workspace_members": members.iter().map(|(_, name, _)| name).collect::<Vec<_>>(),
            "workspace_root": "/w",
            "resolve": {"nodes": nodes},
        });
        let names = members.iter().map(|(_, name, _)| *name).chain(outside.iter().map(|(name, _)| *name));
        let tree: String = names.map(|name| format!("{name} v1.0.0\n")).collect();
        let list: String = members.iter().map(|(folder, ..)| format!("    \"{folder}\",\n")).collect();
        Graph::parse(&metadata.to_string(), &tree, &format!("[workspace]\nmembers = [\n{list}]\n")).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_may_have_comments() {
        let list =
            member_list("[workspace]\nmembers = [\n  # first\n  \"a\", # why\n  \"b/c\"\n]\n").unwrap();
        assert_eq!(list, ["a", "b/c"]);
    }

    #[test]
    fn a_manifest_without_a_list_is_refused() {
        assert!(member_list("[package]").is_err());
        assert!(member_list("members = [ \"a\"").is_err());
    }

    #[test]
    fn the_shortest_way_is_shown() {
        let graph = testing::graph(
            &[("crates/a", "a", &["b", "c"]), ("crates/b", "b", &["d"])],
            &[("c", &["tokio"]), ("d", &["e"]), ("e", &["tokio"]), ("tokio", &[])],
        );
        assert_eq!(graph.path_to("a", |name| name == "tokio").unwrap(), ["a", "c", "tokio"]);
        assert_eq!(graph.path_to("a", |name| name == "hyper"), None);
    }

    #[test]
    fn dev_dependencies_are_not_on_the_normal_way() {
        let graph = testing::graph(&[("crates/a", "a", &["dev:tokio"])], &[("tokio", &[])]);
        assert_eq!(graph.path_to("a", |name| name == "tokio"), None);
        assert!(graph.path_from_anywhere(|name| name == "tokio").is_some());
    }

    #[test]
    fn a_cycle_ends() {
        let graph = testing::graph(&[("crates/a", "a", &["b"]), ("crates/b", "b", &["dev:a"])], &[]);
        assert_eq!(graph.path_from_anywhere(|name| name == "x"), None);
    }
}

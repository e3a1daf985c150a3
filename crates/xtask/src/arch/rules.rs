//! The rules about who may depend on whom.

use super::{
    Violation,
    graph::{Graph, Kind, Member},
};

/// Folders of crates that do no I/O: time, sockets and storage belong to whoever drives them.
const PURE: [&str; 8] = [
    "crates/model",
    "crates/sql",
    "crates/policy",
    "crates/masking",
    "crates/scim",
    "crates/recording",
    "crates/ledger",
    "crates/engine",
];
/// Protocols live below this folder; each is pure too, but for those below.
const PROTOCOLS: &str = "crates/protocols/";
/// Protocols whose library owns its event loop (docs/decisions/0021): they link one, and nothing else that is impure. That they
/// open nothing themselves, `sources` looks for.
pub(super) const HOSTED: [&str; 2] = ["crates/protocols/ssh", "crates/protocols/kubernetes"];
/// What a hosted protocol may link besides: the loop, and what it stands on.
const OF_A_LOOP: [(&str, bool); 3] = [("tokio", true), ("mio", false), ("socket2", false)];
/// And its library, which is no other protocol's.
const LIBRARIES: [(&str, &[(&str, bool)]); 2] = [
    ("crates/protocols/ssh", &[("russh", true)]),
    ("crates/protocols/kubernetes", &[("hyper", true), ("h2", false), ("tungstenite", false)]),
];
/// The one place that lists the protocols.
const REGISTRY: &str = "crates/protocols/registry";
/// The only crate with SQL.
const STORE: &str = "crates/store";
/// Who may use the store: the gateway, and tests.
const STORE_USERS: [&str; 3] = ["gateway", "crates/testkit", "tests"];
const DAEMONS: [&str; 2] = ["gateway", "agent"];

/// What makes a crate impure: an event loop, a socket, an HTTP stack, a database. A name, and whether names that begin
/// with it and a dash count as well.
const IMPURE: [(&str, bool); 18] = [
    ("tokio", true),
    ("async-std", false),
    ("smol", false),
    ("async-io", false),
    ("mio", false),
    ("socket2", false),
    ("hyper", true),
    ("h2", false),
    ("axum", true),
    ("tonic", true),
    ("reqwest", false),
    ("rustls", true),
    ("sqlx", true),
    ("rusqlite", false),
    ("libsqlite3-sys", false),
    ("tungstenite", false),
    ("russh", true),
    ("quinn", true),
];
/// Crypto other than aws-lc: never compiled for Linux, whatever Cargo.lock lists for other platforms.
const FOREIGN_CRYPTO: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "boring-sys"];
/// Crates that the whole workspace does without, and why.
const BANNED: [(&str, &str); 2] =
    [("tikv-jemalloc-sys", "the allocator is mimalloc"), ("serde_yml", "unsound and unmaintained")];

/// Every rule.
pub(super) fn check(graph: &Graph) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in &graph.members {
        found.extend(pure(graph, member));
        found.extend(protocol_alone(graph, member));
        found.extend(sql_in_store_only(graph, member));
        found.extend(store_for_gateway_only(graph, member));
        found.extend(points_down(graph, member));
    }
    found.extend(registered(graph));
    found.extend(crypto(graph));
    found
}

fn manifest(member: &Member) -> String {
    format!("{}/Cargo.toml", member.folder)
}

fn is_protocol(member: &Member) -> bool {
    member.folder.starts_with(PROTOCOLS) && member.folder != REGISTRY
}

fn is_one_of(list: &[(&str, bool)], name: &str) -> bool {
    list.iter().any(|(crate_name, family)| {
        name.strip_prefix(crate_name)
            .is_some_and(|rest| rest.is_empty() || (*family && rest.starts_with('-')))
    })
}

fn is_impure(name: &str) -> bool {
    is_one_of(&IMPURE, name)
}

fn is_hosted(member: &Member) -> bool {
    HOSTED.contains(&member.folder.as_str())
}

fn pure(graph: &Graph, member: &Member) -> Option<Violation> {
    if !PURE.contains(&member.folder.as_str()) && !member.folder.starts_with(PROTOCOLS) {
        return None;
    }
    let path = if is_hosted(member) {
        let library = LIBRARIES
            .iter()
            .find(|(folder, _)| *folder == member.folder)
            .map_or(&[][..], |(_, library)| library);
        let is_its_own = |name: &str| is_one_of(&OF_A_LOOP, name) || is_one_of(library, name);
        graph.path_to(&member.id, |name| is_impure(name) && !is_its_own(name))?
    } else {
        // What a hosted protocol links is its own matter: the registry lists it, and does nothing with it.
        let hosted = |id: &str| graph.member(id).is_some_and(is_hosted);
        graph.path_around(&member.id, is_impure, hosted)?
    };
    Some(Violation {
        rule: "pure-crates",
        what: format!("{} must do no I/O, but links {}", member.name, path.join(" → ")),
        place: manifest(member),
        remedy: "take bytes and `now` as arguments, and move the I/O to `session`, `tunnel` or a daemon; or turn off \
                 the feature of the dependency that pulls it in"
            .into(),
    })
}

fn protocol_alone(graph: &Graph, member: &Member) -> Vec<Violation> {
    if !is_protocol(member) {
        return Vec::new();
    }
    let others =
        graph.dependencies(&member.id, &[Kind::Normal, Kind::Build]).filter_map(|id| graph.member(id));
    others
        .filter(|other| other.folder.starts_with(PROTOCOLS) || DAEMONS.contains(&other.folder.as_str()))
        .map(|other| Violation {
            rule: "protocol-alone",
            what: format!("the protocol {} depends on {}", member.name, other.name),
            place: manifest(member),
            remedy: "a protocol knows neither another protocol, nor the registry, nor a daemon: put what both need into \
                     `engine` or below"
                .into(),
        })
        .collect()
}

fn sql_in_store_only(graph: &Graph, member: &Member) -> Option<Violation> {
    let sql = |id: &&str| graph.name(id) == "sqlx" || graph.name(id).starts_with("sqlx-");
    if member.folder == STORE {
        return None;
    }
    graph.dependencies(&member.id, &[Kind::Normal, Kind::Build, Kind::Dev]).find(sql)?;
    Some(Violation {
        rule: "sql-in-store",
        what: format!("{} depends on sqlx", member.name),
        place: manifest(member),
        remedy: "only `store` speaks SQL: add a method there that answers in types of `model`".into(),
    })
}

fn store_for_gateway_only(graph: &Graph, member: &Member) -> Option<Violation> {
    if STORE_USERS.contains(&member.folder.as_str()) {
        return None;
    }
    graph
        .dependencies(&member.id, &[Kind::Normal, Kind::Build, Kind::Dev])
        .filter_map(|id| graph.member(id))
        .find(|other| other.folder == STORE)?;
    Some(Violation {
        rule: "store-for-gateway",
        what: format!("{} depends on the store", member.name),
        place: manifest(member),
        remedy: "only the gateway (and tests) use the store: ask the gateway by its API".into(),
    })
}

fn points_down(graph: &Graph, member: &Member) -> Vec<Violation> {
    let others =
        graph.dependencies(&member.id, &[Kind::Normal, Kind::Build]).filter_map(|id| graph.member(id));
    others
        .filter(|other| other.order >= member.order)
        .map(|other| Violation {
            rule: "points-down",
            what: format!("{} depends on {}, which stands below it in the list", member.name, other.name),
            place: format!("{}, and `members` in the root Cargo.toml", manifest(member)),
            remedy:
                "a crate uses only crates listed before it: move the shared part up into the earlier crate"
                    .into(),
        })
        .collect()
}

fn registered(graph: &Graph) -> Vec<Violation> {
    let Some(registry) = graph.members.iter().find(|member| member.folder == REGISTRY) else {
        return Vec::new();
    };
    let listed: Vec<&str> = graph.dependencies(&registry.id, &[Kind::Normal]).collect();
    let missing =
        graph.members.iter().filter(|member| is_protocol(member) && !listed.contains(&member.id.as_str()));
    missing
        .map(|member| Violation {
            rule: "registered",
            what: format!("no connection can use {}: the registry does not depend on it", member.name),
            place: manifest(registry),
            remedy: "add the dependency and the protocol's one line in the registry".into(),
        })
        .collect()
}

fn crypto(graph: &Graph) -> Vec<Violation> {
    let foreign = FOREIGN_CRYPTO.map(|name| (name, "all cryptography is aws-lc's, which has a FIPS build"));
    foreign
        .into_iter()
        .chain(BANNED)
        .filter(|(name, _)| graph.compiled.contains(*name))
        .filter_map(|(name, why)| {
            let path = graph.path_from_anywhere(|package| package == name)?;
            Some(Violation {
                rule: "banned-crates",
                what: format!("{name} would be compiled, but {why}"),
                place: path.join(" → "),
                remedy:
                    "turn off the feature that pulls it in (default-features = false), or use another crate"
                        .into(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::graph::testing::graph;
    use super::*;

    fn broken(graph: &Graph) -> Vec<&'static str> {
        check(graph).iter().map(|violation| violation.rule).collect()
    }

    type Members<'a> = &'a [(&'a str, &'a str, &'a [&'a str])];
    type Outside<'a> = &'a [(&'a str, &'a [&'a str])];

    const CLEAN: Members<'_> = &[
        ("crates/model", "hoop-model", &["serde"]),
        ("crates/engine", "hoop-engine", &["hoop-model"]),
        ("crates/protocols/postgres", "hoop-postgres", &["hoop-engine", "dev:tokio"]),
        ("crates/protocols/registry", "hoop-protocols", &["hoop-postgres"]),
        ("crates/session", "hoop-session", &["hoop-engine", "tokio"]),
        ("crates/store", "hoop-store", &["hoop-model", "sqlx"]),
        ("gateway", "hoop-gateway", &["hoop-store", "tokio", "rustls"]),
        ("agent", "hoop-agent", &["hoop-session", "hoop-protocols"]),
        ("crates/testkit", "hoop-testkit", &["hoop-gateway", "hoop-store"]),
    ];
    const OUTSIDE: Outside<'_> = &[
        ("serde", &[]),
        ("tokio", &["mio"]),
        ("mio", &[]),
        ("sqlx", &["sqlx-core"]),
        ("sqlx-core", &["tokio"]),
        ("rustls", &["aws-lc-rs"]),
        ("aws-lc-rs", &[]),
        // In the lock file, as for another platform, but nobody depends on it here.
        ("ring", &[]),
    ];

    #[test]
    fn a_workspace_in_order_has_nothing_to_say() {
        assert_eq!(check(&graph(CLEAN, OUTSIDE)), []);
    }

    /// `CLEAN` with one more dependency of one crate.
    fn with(name: &str, dependency: &str) -> Vec<&'static str> {
        let mut members: Vec<(&str, &str, Vec<&str>)> =
            CLEAN.iter().map(|(folder, name, deps)| (*folder, *name, deps.to_vec())).collect();
        members.iter_mut().find(|(_, n, _)| *n == name).unwrap().2.push(dependency);
        let members: Vec<(&str, &str, &[&str])> =
            members.iter().map(|(f, n, d)| (*f, *n, d.as_slice())).collect();
        broken(&graph(&members, OUTSIDE))
    }

    #[test]
    fn each_broken_rule_is_found() {
        for (name, dependency, expected) in [
            ("hoop-model", "tokio", &["pure-crates"; 4] as &[_]),
            ("hoop-engine", "mio", &["pure-crates"; 3]),
            ("hoop-postgres", "rustls", &["pure-crates"; 2]),
            ("hoop-protocols", "tokio", &["pure-crates"]),
            ("hoop-session", "sqlx", &["sql-in-store"]),
            ("hoop-session", "dev:sqlx", &["sql-in-store"]),
            ("hoop-agent", "hoop-store", &["store-for-gateway"]),
            ("hoop-agent", "dev:hoop-store", &["store-for-gateway"]),
            ("hoop-session", "hoop-agent", &["points-down"]),
            ("hoop-gateway", "hoop-agent", &["points-down"]),
            ("hoop-gateway", "ring", &["banned-crates"]),
            ("hoop-agent", "dev:ring", &["banned-crates"]),
            ("hoop-agent", "build:ring", &["banned-crates"]),
        ] {
            assert_eq!(with(name, dependency), expected, "{name} → {dependency}");
        }
    }

    #[test]
    fn a_hosted_protocol_links_its_loop_and_nothing_else() {
        let members = |more: &'static str| -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
            vec![
                ("crates/protocols/ssh", "hoop-ssh", vec!["russh", "tokio-util", more]),
                ("crates/protocols/registry", "hoop-protocols", vec!["hoop-ssh"]),
            ]
        };
        let outside: Outside<'_> =
            &[("russh", &["tokio"]), ("tokio", &["mio"]), ("mio", &[]), ("tokio-util", &[]), ("hyper", &[])];
        for (more, expected) in [("mio", &[] as &[&str]), ("hyper", &["pure-crates"])] {
            let members = members(more);
            let members: Vec<_> = members.iter().map(|(f, n, d)| (*f, *n, d.as_slice())).collect();
            assert_eq!(broken(&graph(&members, outside)), expected, "{more}");
        }
    }

    #[test]
    fn what_tests_alone_use_does_not_make_a_crate_impure() {
        assert_eq!(with("hoop-model", "dev:tokio"), [] as [&str; 0]);
    }

    #[test]
    fn a_protocol_that_knows_a_daemon_or_another_protocol_is_found() {
        let members: Members<'_> = &[
            ("gateway", "hoop-gateway", &[]),
            ("crates/protocols/mysql", "hoop-mysql", &[]),
            ("crates/protocols/postgres", "hoop-postgres", &["hoop-mysql", "hoop-gateway"]),
            ("crates/protocols/registry", "hoop-protocols", &["hoop-mysql", "hoop-postgres"]),
        ];
        assert_eq!(broken(&graph(members, &[])), ["protocol-alone", "protocol-alone"]);
    }

    #[test]
    fn a_protocol_that_nobody_can_use_is_found() {
        let members: Members<'_> = &[
            ("crates/protocols/mysql", "hoop-mysql", &[]),
            ("crates/protocols/registry", "hoop-protocols", &[]),
        ];
        assert_eq!(broken(&graph(members, &[])), ["registered"]);
    }

    #[test]
    fn a_weak_feature_that_compiles_nothing_is_innocent() {
        let members: Members<'_> = &[("gateway", "hoop-gateway", &["rustls-webpki"])];
        let mut graph = graph(members, &[("rustls-webpki", &["ring"]), ("ring", &[])]);
        assert_eq!(broken(&graph), ["banned-crates"]);
        graph.compiled.remove("ring");
        assert_eq!(broken(&graph), [] as [&str; 0]);
    }

    #[test]
    fn the_message_shows_the_way_and_the_file() {
        let members: Members<'_> = &[("crates/model", "hoop-model", &["x"])];
        let found = check(&graph(members, &[("x", &["tokio-util"]), ("tokio-util", &[])]));
        let text = found.first().unwrap().to_string();
        assert!(
            text.contains("hoop-model → x → tokio-util") && text.contains("crates/model/Cargo.toml"),
            "{text}"
        );
    }

    #[test]
    fn names_that_only_begin_alike_are_innocent() {
        for name in ["tokiota", "hyperloglog", "h2o", "miow", "rustlsx"] {
            assert!(!is_impure(name), "{name}");
        }
        for name in ["tokio", "tokio-rustls", "hyper-util", "sqlx-core", "mio"] {
            assert!(is_impure(name), "{name}");
        }
    }
}

//! Whatever else is in a kubeconfig is there afterwards, and no name breaks out of its value.

use hoop_model::Redacted;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn plugin(connection: &str) -> Plugin {
    Plugin {
        command: "/opt/my tools/hoop".into(),
        connection: ConnectionName::new(connection).unwrap(),
        config_folder: Some("/home/a b/$(id)'\"\n%h".into()),
    }
}

fn entry<'a>(name: &'a str, plugin: &'a Plugin, namespace: Option<&'a str>) -> Entry<'a> {
    Entry {
        name,
        cluster: Cluster { port: 21_000, authority_pem: "PEM" },
        user: User::Plugin(plugin),
        namespace,
    }
}

/// As another reader sees it.
fn seen(config: &KubeConfig) -> Value {
    serde_saphyr::from_str(&config.to_yaml().unwrap()).unwrap()
}

const THEIRS: &str = "\
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- cluster: {server: 'https://10.0.0.1:6443', insecure-skip-tls-verify: yes}
  name: theirs
contexts:
- context: {cluster: theirs, user: them, namespace: '007'}
  name: theirs
current-context: theirs
users:
- name: them
  user: {token: \"0x1F\", as-groups: [a, 'on', '1.30']}
extensions:
- name: x
  extension: {last: 'Mon', count: 3, ratio: 0.5, nothing: null}
";

#[test]
fn an_entry_stands_beside_what_was_there() {
    let mut config = KubeConfig::parse(THEIRS).unwrap();
    let plugin = plugin("k8s");
    assert_eq!(config.put(&entry("hoop-k8s", &plugin, None)).unwrap().as_deref(), Some("theirs"));
    let shown = seen(&config);
    let before: Value = serde_saphyr::from_str(THEIRS).unwrap();
    for list in ["clusters", "contexts", "users"] {
        assert_eq!(shown[list][0], before[list][0], "{list}");
        assert_eq!(shown[list][1]["name"], "hoop-k8s");
    }
    assert_eq!(
        (&shown["extensions"], &shown["preferences"]),
        (&before["extensions"], &before["preferences"])
    );
    assert_eq!(shown["current-context"], "hoop-k8s");
    assert_eq!(shown["clusters"][1]["cluster"]["server"], "https://127.0.0.1:21000");
    let exec = &shown["users"][1]["user"]["exec"];
    assert_eq!(exec["args"], json!(["kube", "credentials", "k8s"]));
    assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1beta1");
    assert_eq!(exec["env"], json!([{"name": "HOOP_CONFIG_DIR", "value": "/home/a b/$(id)'\"\n%h"}]));
    let text = config.to_yaml().unwrap();
    assert!(
        !text.contains("client-key-data") && text.matches("insecure-skip-tls-verify").count() == 1,
        "{text}"
    );
    config.remove("hoop-k8s", &ConnectionName::new("other").unwrap(), None);
    assert_eq!(seen(&config), shown, "it is not that connection's");
    config.remove("hoop-k8s", &plugin.connection, Some("theirs"));
    assert_eq!(seen(&config), before);
}

#[test]
fn an_entry_of_somebody_else_is_never_replaced() {
    for name in ["theirs", "them"] {
        let mut config = KubeConfig::parse(THEIRS).unwrap();
        let error = config.put(&entry(name, &plugin("k8s"), None)).unwrap_err();
        assert!(error.is("HOOP-1069") && error.to_string().contains("--context"), "{error}");
        config.remove(name, &ConnectionName::new("k8s").unwrap(), None);
        config.move_to(name, 1);
        assert_eq!(config, KubeConfig::parse(THEIRS).unwrap());
    }
}

#[test]
fn a_second_login_replaces_the_first_and_keeps_the_namespace() {
    let mut config = KubeConfig::empty();
    let plugin = plugin("k8s");
    config.put(&entry("c", &plugin, Some("lab"))).unwrap();
    assert_eq!(config.put(&entry("c", &plugin, None)).unwrap(), None);
    assert_eq!(seen(&config)["contexts"][0]["context"]["namespace"], "lab");
    config.put(&entry("c", &plugin, Some("ward"))).unwrap();
    config.move_to("c", 4);
    let shown = seen(&config);
    assert_eq!(shown["contexts"][0]["context"]["namespace"], "ward");
    assert_eq!(shown["clusters"].as_array().unwrap().len(), 1);
    assert_eq!(shown["clusters"][0]["cluster"]["server"], "https://127.0.0.1:4");
}

#[test]
fn what_another_context_uses_stays() {
    let mut config = KubeConfig::empty();
    let plugin = plugin("k8s");
    config.put(&entry("c", &plugin, None)).unwrap();
    let copy = Tree::from([("cluster", "c".into()), ("user", "c".into()), ("namespace", "own".into())]);
    config.replace("contexts", "context", "copy", copy);
    config.remove("c", &plugin.connection, Some("gone"));
    let shown = seen(&config);
    assert_eq!(
        shown["contexts"],
        json!([{"context": {"cluster": "c", "user": "c", "namespace": "own"}, "name": "copy"}])
    );
    assert_eq!((&shown["clusters"][0]["name"], &shown["current-context"]), (&json!("c"), &json!("")));
}

#[test]
fn a_session_of_its_own_has_a_certificate_in_it() {
    let shown = ClientCertificate { certificate_pem: "C".into(), key_pem: Redacted::new("K".into()) };
    let mut config = KubeConfig::empty();
    let cluster = Cluster { port: 1, authority_pem: "PEM" };
    config.put(&Entry { name: "k8s", cluster, user: User::Certificate(&shown), namespace: None }).unwrap();
    let user = &seen(&config)["users"][0]["user"];
    assert_eq!(
        (&user["client-certificate-data"], &user["client-key-data"]),
        (&json!("Qw=="), &json!("Sw=="))
    );
}

/// What a kubeconfig may hold anywhere.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Texts that YAML, shells and Go could read as something else.
fn text() -> impl Strategy<Value = String> {
    const NASTY: &[&str] = &[
        "yes",
        "on",
        "~",
        "null",
        "0123",
        "1e3",
        "1.30",
        "12:30",
        "0x1F",
        "=",
        "<<",
        "- a",
        "a: b",
        "#",
        "",
        " ",
        "'",
        "\"",
        "a\nb",
        "\n",
        "$(id)",
        "`id`",
        "!!int 3",
        "*a",
        "&a",
        "%TAG",
        "---",
        "...",
        "\u{feff}",
        "\u{85}",
        "é\u{2028}",
    ];
    prop_oneof![proptest::sample::select(NASTY).prop_map(str::to_owned), "[ -~]{0,20}", ".{0,12}"]
}

fn item(kind: &'static str) -> impl Strategy<Value = Value> {
    (text(), value()).prop_map(move |(name, value)| json!({"name": format!("x{name}"), kind: value}))
}

fn kubeconfig() -> impl Strategy<Value = Value> {
    let lists = |kind| proptest::collection::vec(item(kind), 0..4);
    let rest = proptest::collection::btree_map(text().prop_map(|key| format!("x{key}")), value(), 0..4);
    (lists("cluster"), lists("user"), lists("context"), rest).prop_map(|(clusters, users, contexts, rest)| {
        let mut all = json!({"clusters": clusters, "users": users, "contexts": contexts});
        rest.into_iter().for_each(|(key, value)| all[key] = value);
        all
    })
}

/// YAML knows JSON, and `\U` besides; what is not printable stands there escaped.
fn escaped(json: &Value) -> String {
    let escape = |c: char| match c {
        ' '..='~' => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    json.to_string().chars().map(escape).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What is put in, changed and taken out again is what it was.
    #[test]
    fn whatever_else_was_in_it_is_there_afterwards(before in kubeconfig(), name in text(), namespace in text()) {
        let mut config = KubeConfig::parse(&escaped(&before)).unwrap();
        let name = format!("hoop-{name}");
        let plugin = plugin("k8s");
        config.put(&entry(&name, &plugin, Some(&namespace))).unwrap();
        let mut read = KubeConfig::parse(&config.to_yaml().unwrap()).unwrap();
        prop_assert_eq!(&read, &config);
        let shown = seen(&read);
        prop_assert_eq!(&shown["current-context"], &Value::from(name.as_str()));
        let context = shown["contexts"].as_array().unwrap().last().unwrap();
        prop_assert_eq!(&context["context"]["namespace"], &Value::from(namespace.as_str()));
        read.remove(&name, &plugin.connection, None);
        let mut after = seen(&read);
        after.as_object_mut().unwrap().remove("current-context");
        prop_assert_eq!(after, before);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-\\[\\]{}:,#&*!|>'\"%@` a-z\n]{0,80}") {
        if let Ok(mut config) = KubeConfig::parse(&text) {
            let _ = config.put(&entry("c", &plugin("k8s"), None));
            let _ = config.to_yaml();
        }
    }
}

//! Events in the form of others: OCSF 1.3 (<https://schema.ocsf.io>), and plain lines.
//!
//! Nothing is in either that the catalogue does not name. Whoever may not see persons gets ids in place of names. This is
//! for searching and alarms: what proves something is the ledger's own export ([`crate::export`]).

mod classes;

use hoop_model::Timestamp;
use serde_json::{Map, Value, json};

pub use classes::{Class, Mapped, Severity, Status, mapped};

use crate::{
    catalogue::{self, Class as Privacy},
    event::{EventCode, Facts, LedgerEvent},
};

const VERSION: &str = "1.3.0";

/// An event as a plain line: the leaf's fields, with facts up to a class.
///
/// A leaf that this version cannot read (it is of a later one) is told by its place alone.
#[must_use]
pub fn plain(leaf: &[u8], most: Privacy) -> Value {
    let Ok(event) = LedgerEvent::from_leaf(leaf) else { return unknown(leaf) };
    json!({
        "id": event.id, "seq": event.seq, "at": event.at, "actor": actor(&event, most), "code": event.code,
        "subjects": event.subjects, "facts": catalogue::shown(event.code, &event.facts, most),
    })
}

/// An event as OCSF.
#[must_use]
pub fn ocsf(leaf: &[u8], most: Privacy, product: &str) -> Value {
    let Ok(event) = LedgerEvent::from_leaf(leaf) else { return unknown_ocsf(leaf, product) };
    let (to, facts) = (mapped(event.code), catalogue::shown(event.code, &event.facts, most));
    let mut told = base(to, &event, product);
    told.insert("actor".to_owned(), json!({ "user": acting_user(&event, most), "app_name": "hoop" }));
    told.insert("src_endpoint".to_owned(), endpoint(&facts));
    own_objects(&mut told, to.class, &event, &facts);
    if !facts.is_empty() {
        told.insert("unmapped".to_owned(), Value::Object(facts));
    }
    Value::Object(told)
}

/// Place and time, where they can be read.
fn known(leaf: &[u8]) -> (Value, Value, Value) {
    let read: Value = serde_json::from_slice(leaf).unwrap_or_default();
    let field = |name: &str| read.get(name).cloned().unwrap_or_default();
    (field("seq"), field("at"), field("code"))
}

fn unknown(leaf: &[u8]) -> Value {
    let (seq, at, code) = known(leaf);
    json!({ "seq": seq, "at": at, "code": code, "facts": { "withheld": "unclassified" } })
}

fn unknown_ocsf(leaf: &[u8], product: &str) -> Value {
    let (seq, at, code) = known(leaf);
    let at = at.as_str().and_then(|at| at.parse().ok()).unwrap_or(Timestamp::EPOCH);
    json!({
        "category_uid": 0, "class_uid": 0, "activity_id": 0, "type_uid": 0, "severity_id": 1, "time": at.as_micros() / 1000,
        "message": "an event of a later version",
        "metadata": metadata(product, &Value::Null, &code, &seq),
    })
}

fn metadata(product: &str, id: &Value, code: &Value, seq: &Value) -> Value {
    json!({
        "version": VERSION, "uid": id, "event_code": code, "sequence": seq, "log_name": "ledger",
        "product": { "name": "hoop", "vendor_name": "hoop", "version": product },
    })
}

fn base(to: Mapped, event: &LedgerEvent, product: &str) -> Map<String, Value> {
    let Mapped { class, activity, severity, status } = to;
    let severity = match severity {
        Severity::Informational => 1,
        Severity::Medium => 3,
        Severity::High => 4,
    };
    let status = match status {
        Status::Success => 1,
        Status::Failure => 2,
    };
    let base = json!({
        "category_uid": class.uid() / 1000, "class_uid": class.uid(), "class_name": class.name(),
        "activity_id": activity, "activity_name": event.code, "type_uid": class.uid() * 100 + activity,
        "severity_id": severity, "status_id": status, "time": event.at.as_micros() / 1000,
        "message": event.code.description(),
        "metadata": metadata(product, &json!(event.id), &json!(event.code), &json!(event.seq)),
    });
    match base {
        Value::Object(base) => base,
        _ => Map::new(),
    }
}

/// Who did it: names are for those who may see persons. An agent is none.
fn actor(event: &LedgerEvent, most: Privacy) -> Value {
    let mut shown = serde_json::to_value(&event.actor).unwrap_or_default();
    let person = shown.get("kind").is_some_and(|kind| kind != "agent");
    let hidden: &[&str] = match most {
        Privacy::Personal => &[],
        Privacy::Internal if !person => &[],
        Privacy::Internal => &["name"],
        Privacy::Public => &["name", "groups"],
    };
    if let Some(fields) = shown.as_object_mut() {
        hidden.iter().for_each(|name| drop(fields.remove(*name)));
    }
    shown
}

fn acting_user(event: &LedgerEvent, most: Privacy) -> Value {
    let shown = actor(event, most);
    let kind = shown.get("kind").and_then(Value::as_str).unwrap_or("unknown");
    // 1: User, 2: Admin, 3: System, 0: Unknown.
    let type_id = match (kind, shown.get("role").and_then(Value::as_str)) {
        ("user", Some("admin")) => 2,
        ("user", _) => 1,
        ("anonymous", _) => 0,
        _ => 3,
    };
    let uid = shown.get("id").cloned().unwrap_or_else(|| json!(kind));
    let mut user = json!({ "uid": uid, "type": kind, "type_id": type_id });
    if let (Some(user), Some(name)) = (user.as_object_mut(), shown.get("name")) {
        user.insert("name".to_owned(), name.clone());
    }
    user
}

fn text<'a>(facts: &'a Facts, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| facts.get(*name).and_then(Value::as_str))
}

/// Where it came from, as far as that is known and may be told.
fn endpoint(facts: &Facts) -> Value {
    match text(facts, &["address"]).filter(|address| address.parse::<std::net::IpAddr>().is_ok()) {
        Some(address) => json!({ "ip": address }),
        None => json!({ "svc_name": "hoop" }),
    }
}

/// The account that an event is about: the first of its subjects that is one, with its name if that is a fact.
fn user(event: &LedgerEvent, facts: &Facts) -> Value {
    let subject = event.subjects.iter().map(ToString::to_string).find(|id| id.starts_with("usr_"));
    let mut user = json!({ "uid": subject.unwrap_or_else(|| "unknown".to_owned()), "type_id": 1 });
    if let (Some(fields), Some(name)) =
        (user.as_object_mut(), text(facts, &["name", "account", "user", "person", "holder"]))
    {
        fields.insert("name".to_owned(), json!(name));
    }
    user
}

/// What else the class requires.
fn own_objects(told: &mut Map<String, Value>, class: Class, event: &LedgerEvent, facts: &Facts) {
    let subject = event.subjects.first().map_or_else(|| event.id.to_string(), ToString::to_string);
    let mut add = |name: &str, value: Value| drop(told.insert(name.to_owned(), value));
    match class {
        Class::Authentication => {
            add("user", user(event, facts));
            add("service", json!({ "name": "hoop" }));
            add("is_mfa", json!(event.code != EventCode::LoginFailed));
        }
        Class::AccountChange | Class::AuthorizeSession => add("user", user(event, facts)),
        Class::EntityManagement => {
            let kind = event.code.as_str().split('.').next().unwrap_or_default();
            let name = text(facts, &["name", "connection", "agent", "certificate_serial"]);
            add("entity", json!({ "uid": subject, "type": kind, "name": name.unwrap_or(kind) }));
        }
        Class::GroupManagement => {
            add(
                "group",
                json!({ "uid": subject, "name": text(facts, &["name", "group"]).unwrap_or("unknown") }),
            );
        }
        Class::ApplicationLifecycle => add("app", json!({ "name": "hoop-gateway", "vendor_name": "hoop" })),
        Class::ApiActivity => add("api", json!({ "operation": event.code, "service": { "name": "hoop" } })),
        Class::DatastoreActivity => {
            let name = text(facts, &["connection"]).unwrap_or("unknown");
            add("database", json!({ "name": name, "type_id": 1 }));
            add("type_id", json!(1));
        }
        Class::DetectionFinding => {
            let description = event.code.description();
            add("finding_info", json!({ "uid": event.id, "title": event.code, "desc": description }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Appender, Draft};
    use hoop_model::{Actor, AgentId, AuthMethod, EventId, LoginId, Role, SessionId, UserId};

    fn ada() -> Actor {
        Actor::User {
            id: UserId::generate(),
            name: "ada".parse().unwrap(),
            login: LoginId::generate(),
            role: Role::Admin,
            groups: vec!["canary-group".parse().unwrap()],
            method: AuthMethod::Oidc,
            mfa_at: None,
            mfa_by: None,
        }
    }

    fn leaf(draft: Draft) -> Vec<u8> {
        Appender::default()
            .append(draft, EventId::generate(), Timestamp::from_micros(1_700_000_000_123_456))
            .unwrap()
            .leaf
    }

    /// What OCSF 1.3 requires of each class, written down from the schema.
    fn required(class: Class) -> &'static [&'static str] {
        match class {
            Class::AccountChange | Class::AuthorizeSession => &["user"],
            Class::Authentication => &["user", "service"],
            Class::EntityManagement => &["entity"],
            Class::GroupManagement => &["group"],
            Class::ApplicationLifecycle => &["app"],
            Class::ApiActivity => &["actor", "api", "src_endpoint"],
            Class::DatastoreActivity => &["actor", "src_endpoint", "database"],
            Class::DetectionFinding => &["finding_info"],
        }
    }

    #[test]
    fn every_code_has_all_that_its_class_requires() {
        for code in EventCode::all() {
            let told =
                ocsf(&leaf(Draft::new(ada(), *code).about(SessionId::generate())), Privacy::Personal, "1");
            let class = mapped(*code).class;
            let base =
                ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];
            for name in base.iter().chain(required(class)) {
                assert!(told.get(*name).is_some_and(|value| !value.is_null()), "{code}: {name}: {told}");
            }
            let number = |name: &str| told[name].as_u64().unwrap();
            assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
            assert_eq!(number("category_uid"), number("class_uid") / 1000);
            assert_eq!(number("time"), 1_700_000_000_123);
        }
    }

    #[test]
    fn a_failed_sign_in_is_an_authentication_that_failed_from_an_address() {
        let draft = Draft::new(Actor::Anonymous, EventCode::LoginFailed)
            .about(UserId::generate())
            .fact("name", "ada")
            .fact("address", "10.0.0.7")
            .fact("reason", "wrong password");
        let told = ocsf(&leaf(draft), Privacy::Personal, "1");
        assert_eq!(
            (&told["class_uid"], &told["activity_id"], &told["status_id"]),
            (&json!(3002), &json!(1), &json!(2))
        );
        assert_eq!((&told["user"]["name"], &told["src_endpoint"]["ip"]), (&json!("ada"), &json!("10.0.0.7")));
        assert_eq!(told["unmapped"]["reason"], "wrong password");
    }

    #[test]
    fn whoever_may_not_see_persons_or_the_inside_gets_neither() {
        let draft = || {
            Draft::new(ada(), EventCode::SessionRequested)
                .fact("user", "ada")
                .fact("address", "10.0.0.7")
                .fact("connection", "canary-db")
                .fact("reason", "ticket of ada")
                .fact("protocol", "postgres")
        };
        let both = |most| {
            let leaf = leaf(draft());
            format!("{}{}", plain(&leaf, most), ocsf(&leaf, most, "1"))
        };
        assert!(both(Privacy::Personal).contains("ticket of ada"));
        let internal = both(Privacy::Internal);
        assert!(
            !internal.contains("\"ada\"")
                && !internal.contains("of ada")
                && !internal.contains("10.0.0.7")
                && internal.contains("canary-db")
        );
        let public = both(Privacy::Public);
        assert!(
            !public.contains("canary") && !public.contains("\"ada\"") && public.contains("postgres"),
            "{public}"
        );
        let agent = Actor::Agent { id: AgentId::generate(), name: "agent-1".parse().unwrap() };
        let shown = plain(&leaf(Draft::new(agent, EventCode::AgentConnected)), Privacy::Internal);
        assert_eq!(shown["actor"]["name"], "agent-1");
    }

    #[test]
    fn what_an_older_gateway_wrote_without_a_class_does_not_go_out() {
        let leaf = leaf(Draft::new(Actor::System, EventCode::GatewayStarted).fact("version", "1"));
        let old = String::from_utf8(leaf).unwrap().replace("\"version\"", "\"canary-old\"");
        for told in [plain(old.as_bytes(), Privacy::Personal), ocsf(old.as_bytes(), Privacy::Personal, "1")] {
            assert!(
                told.to_string().contains("unclassified") && !told.to_string().contains("\"1\",\"v"),
                "{told}"
            );
        }
        let later = old.replace("gateway.started", "gateway.danced").replace("canary-old", "canary-secret");
        for told in
            [plain(later.as_bytes(), Privacy::Personal), ocsf(later.as_bytes(), Privacy::Personal, "1")]
        {
            assert!(
                told.to_string().contains("gateway.danced") && !told.to_string().contains("canary"),
                "{told}"
            );
        }
        assert_eq!(plain(b"nonsense", Privacy::Personal)["seq"], Value::Null);
    }
}

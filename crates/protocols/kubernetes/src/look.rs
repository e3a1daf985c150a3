//! Whether a cluster is there, lets the agent in, and lets it impersonate: what an admin's test of a connection asks.

use std::sync::Arc;

use bytes::Bytes;
use hoop_engine::{
    Credential,
    hosted::{Doing, Host, HostedLook},
};
use hoop_model::Fault;
use http::{Method, StatusCode, uri::PathAndQuery};
use serde_json::{Value, json};

use crate::{
    credential::Proof,
    fault,
    identity::{Identity, Mapping},
    settings::ClusterSettings,
    upstream::Upstream,
};

const VERSION: PathAndQuery = PathAndQuery::from_static("/version");
const MAY_I: PathAndQuery =
    PathAndQuery::from_static("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
/// Bytes of an answer.
const ANSWER: usize = 64 << 10;
/// Groups that are asked about.
const SAMPLE: usize = 20;

/// A look at a cluster.
pub(crate) struct Look(pub(crate) Arc<ClusterSettings>);

impl HostedLook for Look {
    fn run(self: Box<Self>, host: Host, credential: Credential) -> Doing<Result<String, Fault>> {
        Box::pin(async move {
            let proof = Proof::of(self.0.form, &credential)?;
            let cluster = Upstream::new(host, &self.0, proof, Identity::nobody());
            let version = ask(&cluster, Method::GET, &VERSION, Bytes::new()).await?;
            let version =
                version.get("gitVersion").and_then(Value::as_str).unwrap_or("of a version it does not tell");
            for right in rights(&self.0.mapping) {
                may_impersonate(&cluster, &right).await?;
            }
            Ok(format!("Kubernetes {version}"))
        })
    }
}

async fn ask(cluster: &Upstream, method: Method, path: &PathAndQuery, body: Bytes) -> Result<Value, Fault> {
    let answer = cluster.look(method, path, body, ANSWER).await?;
    match answer.status() {
        StatusCode::UNAUTHORIZED => Err(fault::credential("the cluster does not know it")),
        status if !status.is_success() => Err(fault::lost(&format!("it answers {status}"))),
        _ => serde_json::from_slice(answer.body()).map_err(|_| fault::lost("what it answers is no JSON")),
    }
}

/// What the agent's account must be allowed to impersonate. A sample, if there are many groups: it is a test, not the fence.
fn rights(mapping: &Mapping) -> Vec<Value> {
    let Mapping::People { groups, .. } = mapping else { return Vec::new() };
    let mut rights = vec![
        json!({"verb": "impersonate", "resource": "users"}),
        json!({
            "verb": "impersonate", "group": "authentication.k8s.io", "resource": "userextras", "subresource": "hoop-session",
        }),
    ];
    let group = |name: &String| json!({"verb": "impersonate", "resource": "groups", "name": name});
    rights.extend(groups.values().flatten().take(SAMPLE).map(group));
    rights
}

async fn may_impersonate(cluster: &Upstream, right: &Value) -> Result<(), Fault> {
    let question = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": right},
    });
    let answer = ask(cluster, Method::POST, &MAY_I, question.to_string().into()).await?;
    match answer.pointer("/status/allowed").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        _ => {
            let word = |name: &str| right.get(name).and_then(Value::as_str).unwrap_or_default();
            let what = [word("resource"), word("subresource"), word("name")];
            Err(fault::may_not_impersonate(
                &what.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
            ))
        }
    }
}

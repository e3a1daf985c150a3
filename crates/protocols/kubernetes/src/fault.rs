//! What can go wrong here, as a person is told it.

use hoop_model::{Blame, Fault};

use crate::request::Unclear;

/// A request that is not read, or not let through.
pub(crate) fn unclear(why: &Unclear) -> Fault {
    match why {
        Unclear::Unrecordable(_) => Fault::new("HOOP-5051", Blame::Policy, why.to_string())
            .with_hint("`kubectl port-forward`, `exec`, `attach` and `logs` are let through; ask an admin for a connection to what you need"),
        Unclear::Path(_) | Unclear::Method(_) | Unclear::Query(_) => {
            Fault::new("HOOP-5050", Blame::Caller, why.to_string())
                .with_hint("kubectl, helm and the client libraries write it in the one way that is taken")
        }
    }
}

/// The client wants what no client wants.
pub(crate) fn request(what: &str) -> Fault {
    Fault::new("HOOP-5050", Blame::Caller, what.to_owned())
        .with_hint("kubectl, helm and the client libraries write it in the one way that is taken")
}

/// What the agent finds as credential is none.
pub(crate) fn credential(what: &str) -> Fault {
    Fault::new("HOOP-5052", Blame::System, format!("the cluster's credential cannot be used: {what}"))
        .with_hint("the agent's owner provides it; docs/KUBERNETES.md says in which form")
}

/// The person's name cannot stand in a header.
pub(crate) fn name() -> Fault {
    Fault::new("HOOP-5052", Blame::System, "this person cannot be impersonated in the cluster")
        .with_hint("an admin looks at user_prefix and groups of the connection")
}

/// The connection to the cluster broke, or spoke no HTTP.
pub(crate) fn lost(what: &str) -> Fault {
    Fault::new("HOOP-5053", Blame::Target, format!("the cluster's API server could not be asked: {what}"))
        .with_hint("is the API server there, and is it one? the agent's log says more")
}

/// What is sent is too large, or in no form that is read.
pub(crate) fn body(what: &str) -> Fault {
    Fault::new("HOOP-5054", Blame::Caller, format!("what is sent cannot be taken: {what}"))
        .with_hint("what is written is read for the recording: JSON, YAML, CBOR or protobuf, at most 3 MiB, not compressed")
}

/// The cluster's end of a stream.
pub(crate) fn cluster_stream(what: &str) -> Fault {
    Fault::new("HOOP-5055", Blame::Target, format!("the stream with the cluster ended: {what}"))
        .with_hint("the pod or its node may be gone; a proxy before the API server may not let streams through: see `streams` of the connection")
}

/// The client's end of a stream.
pub(crate) fn client_stream(what: &str) -> Fault {
    Fault::new("HOOP-5056", Blame::Caller, format!("the client's stream ended: {what}"))
        .with_hint("kubectl from 1.16 on speaks what is taken; a proxy between it and hoop may not")
}

/// Secrets are hidden, and this could show or overwrite them.
pub(crate) fn hidden(what: &str) -> Fault {
    Fault::new("HOOP-5057", Blame::Policy, what.to_owned())
        .with_hint("an admin can show what Secrets hold by a rule that has `masking: none`")
}

/// Secrets are hidden, and the cluster did not do what was asked.
pub(crate) fn withheld() -> Fault {
    hidden("the cluster refuses this; what it says is withheld, for it could hold what the Secret holds")
}

/// The agent's account lacks a right.
pub(crate) fn may_not_impersonate(what: &str) -> Fault {
    Fault::new(
        "HOOP-5058",
        Blame::System,
        format!("the agent's account in the cluster may not impersonate {what}"),
    )
    .with_hint("deploy/kubernetes/rbac.yaml has the rights that it needs")
}

/// Whether it is more than one request's own end: a recording that is broken, and whatever else is not known to be less.
pub(crate) fn ends_stream(fault: &Fault) -> bool {
    !matches!(
        fault.code.as_str(),
        "HOOP-5050"
            | "HOOP-5051"
            | "HOOP-5053"
            | "HOOP-5054"
            | "HOOP-5055"
            | "HOOP-5056"
            | "HOOP-5057"
            | "HOOP-4030"
            | "HOOP-4031"
    )
}

//! The protocols this build speaks, one line each. Adding one touches its own folder and this list.

use hoop_engine::Protocol;
use hoop_model::ProtocolId;

/// Every protocol.
#[must_use]
pub fn all() -> Vec<&'static dyn Protocol> {
    vec![&hoop_postgres::Postgres, &hoop_ssh::Ssh, &hoop_ssh::Exec, &hoop_kubernetes::Kubernetes]
}

/// The protocol of that name.
#[must_use]
pub fn find(id: &ProtocolId) -> Option<&'static dyn Protocol> {
    all().into_iter().find(|protocol| protocol.id() == *id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_is_found_by_its_own_name() {
        let names: BTreeSet<ProtocolId> = all().iter().map(|protocol| protocol.id()).collect();
        assert_eq!(names.len(), all().len(), "two protocols share a name");
        assert!(names.iter().all(|name| find(name).is_some_and(|protocol| protocol.id() == *name)));
    }

    #[test]
    fn what_is_not_spoken_is_not_found() {
        assert!(find(&ProtocolId::new("gopher").unwrap()).is_none());
    }
}

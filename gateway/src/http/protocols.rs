//! What this build's protocols say about a connection's settings.

use hoop_model::ProtocolId;

/// Checks settings by the protocol's own type.
pub(super) fn check(protocol: &ProtocolId, settings: &serde_json::Value) -> Result<(), String> {
    let known = || names().join(", ");
    let found = hoop_protocols::find(protocol)
        .ok_or_else(|| format!("this gateway does not know the protocol {protocol}; it knows {}", known()))?;
    found.configure(settings).map(drop).map_err(|error| error.to_string())
}

/// Names of the protocols of this build.
pub(super) fn names() -> Vec<String> {
    hoop_protocols::all().iter().map(|protocol| protocol.id().to_string()).collect()
}

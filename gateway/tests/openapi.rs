//! The console's client is generated from a committed document; this is the same one that the gateway serves.

#[test]
fn the_consoles_document_is_the_gateways() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../console/openapi.json");
    let committed: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let served: serde_json::Value = serde_json::from_str(&hoop_gateway::openapi_json()).unwrap();
    assert!(
        committed == served,
        "the API changed: run `hoop-gateway openapi > console/openapi.json`, then `npm run generate` in console/"
    );
}

//! How a gateway with its own CA comes to be trusted: by a file, or by a fingerprint compared out of band.

use std::path::Path;

use crate::{
    address::GatewayUrl,
    error::{ClientError, Result},
    http::Api,
    tls::{Fingerprint, certificates, pick, to_pem},
};

/// Reads the CA to pin from a file.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn pin_from_file(path: &Path) -> Result<String> {
    let pem = std::fs::read_to_string(path).map_err(|error| {
        ClientError::usage("HOOP-1016", format!("{} cannot be read: {error}", path.display()))
    })?;
    Ok(certificates(&pem)?.iter().map(to_pem).collect())
}

/// Asks the gateway for its CA over a connection that proves nothing, and believes it only if the fingerprint is right.
///
/// # Errors
/// When the gateway is away, or its CA is another one.
pub async fn fetch_pinned_ca(gateway: &GatewayUrl, wanted: Fingerprint) -> Result<String> {
    let info = Api::unverified(gateway.clone())?.info().await?;
    pick(&info.ca_pem, wanted).map(|certificate| to_pem(&certificate))
}

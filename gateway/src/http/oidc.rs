//! Sign-in through an OpenID Connect provider: the gateway is the relying party.

use axum::{extract::State, response::Response};

use super::problem::{Answer, Problematic};
use crate::{config::Oidc, hub::Shared};

/// The provider, as it is configured.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) settings: Option<Oidc>,
}

impl Provider {
    pub(crate) const fn new(settings: Option<Oidc>) -> Self {
        Self { settings }
    }
}

fn off() -> Problematic {
    Problematic::not_found("identity provider")
}

pub(super) async fn start(State(hub): State<Shared>) -> Answer<Response> {
    let _ = hub.oidc.settings.as_ref().ok_or_else(off)?;
    Err(off())
}

pub(super) async fn callback(State(hub): State<Shared>) -> Answer<Response> {
    let _ = hub.oidc.settings.as_ref().ok_or_else(off)?;
    Err(off())
}

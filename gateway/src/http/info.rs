//! What anybody may know: the API's own description, and what a client needs before sign-in.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use hoop_api::Info;

use super::{body::Json, passkeys, protocols};
use crate::hub::Shared;

pub(super) async fn info(State(hub): State<Shared>) -> Json<Info> {
    Json(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        public_host: hub.config.public_host.clone(),
        public_port: hub.public_port(),
        ca_pem: hub.keys.authority.pem().to_owned(),
        password_login: hub.config.password_login,
        passkeys: passkeys::are_possible(&hub),
        oidc_label: hub.config.oidc.as_ref().map(|oidc| oidc.label.clone()),
        protocols: protocols::names(),
    })
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi_text()).into_response()
}

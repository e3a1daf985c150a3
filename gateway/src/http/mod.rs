//! The HTTP side: API, console, the WebSocket fallback. Only types of `hoop_api` cross it.
//!
//! Every endpoint is one row of [`endpoints`]; see [`table`].

mod audit;
mod body;
pub(crate) mod caller;
mod capabilities;
mod console;
mod devices;
mod evidence;
mod export;
mod flows;
mod holds;
mod info;
mod login;
mod manage;
mod notices;
pub(crate) mod oidc;
mod passkeys;
mod people;
pub(crate) mod problem;
mod proofs;
mod protocols;
mod recording_keys;
mod recovery;
mod requests;
mod rules;
mod scim;
mod sealed_codes;
mod search;
mod services;
mod sessions;
mod setup;
mod step_up;
mod table;
mod terminals;
pub(crate) mod throttle;
pub(crate) mod tokens;
mod trial;

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
    routing,
};
use hoop_api::{
    Info, audit as audit_api, auth, manage as manage_api, notices as notices_api, rules as rules_api,
    sessions::{self as sessions_api, VerifyReport},
};
use hoop_model::TokenScope;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
use utoipa::openapi::Type;

use self::table::Endpoint;
pub use self::table::{Row, Who};
use crate::{hub::Shared, relay::websocket};

/// From a request's head to its answer's head; bodies of answers may stream for longer.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// A rule file, with what JSON adds to it.
const RULES_BODY: usize = 2 * hoop_policy::rules::LONGEST_FILE;

/// What API tokens open. Everything else is closed to them.
const CONNECT: &[TokenScope] = &[TokenScope::Connect];
const EVIDENCE: &[TokenScope] = &[TokenScope::EvidenceRead];
const CONNECT_OR_EVIDENCE: &[TokenScope] = &[TokenScope::Connect, TokenScope::EvidenceRead];

const LIST: [(&str, Type); 2] = [("after", Type::String), ("limit", Type::Integer)];

/// All endpoints of the API.
fn endpoints() -> Vec<Endpoint> {
    [
        open_endpoints(),
        sign_in_endpoints(),
        own_endpoints(),
        passkeys::endpoints(),
        manage_endpoints(),
        people::endpoints(),
        sealed_codes::endpoints(),
        recording_keys::endpoints(),
        services::endpoints(),
        scim::endpoints(),
        rules_endpoints(),
        requests::endpoints(),
        capabilities::endpoints(),
        holds::endpoints(),
        session_endpoints(),
        audit_endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn open_endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/info", Who::Anyone, "What a client must know before sign-in.", info::info)
            .answers::<Info>(),
        Endpoint::get("/openapi.json", Who::Anyone, "This document.", info::openapi)
            .answers_media("application/json"),
    ]
}

fn sign_in_endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post("/login/password", Who::Anyone, "Signs in with a built-in account.", login::password)
            .takes::<auth::PasswordLogin>()
            .answers::<auth::WhoAmI>(),
        Endpoint::get("/oidc/start", Who::Anyone, "Goes to the identity provider.", oidc::start)
            .query(&[("return", Type::String)])
            .answers_media("text/plain"),
        Endpoint::get(
            "/oidc/callback",
            Who::Anyone,
            "Comes back from the identity provider.",
            oidc::callback,
        )
        .query(&[
            ("code", Type::String),
            ("state", Type::String),
            ("iss", Type::String),
            ("error", Type::String),
        ])
        .answers_media("text/html"),
        Endpoint::post("/token", Who::Anyone, "Trades a code or refresh token for tokens.", flows::token)
            .takes::<auth::TokenRequest>()
            .answers::<auth::Tokens>(),
        Endpoint::post("/cli-login", Who::Browser, "Approves a CLI's browser sign-in.", flows::cli_login)
            .takes::<auth::CliLoginApproval>()
            .answers::<auth::RedirectTo>(),
        Endpoint::post("/device", Who::Anyone, "Starts a sign-in without a browser.", flows::device_start)
            .answers::<auth::DeviceStart>(),
        Endpoint::post("/device/approve", Who::Browser, "Approves or refuses it.", flows::device_approve)
            .takes::<auth::DeviceApproval>()
            .answers_nothing(),
        Endpoint::post("/setup", Who::Anyone, "Sets up a new account.", setup::set_up)
            .takes::<auth::SetUp>()
            .answers::<auth::SetUpStep>(),
        Endpoint::post("/logout", Who::SignedIn, "Ends this sign-in.", login::logout)
            .answers_nothing()
            .in_emergency(),
        Endpoint::get("/whoami", Who::SignedIn, "Who is signed in.", login::whoami)
            .answers::<auth::WhoAmI>()
            .token(CONNECT_OR_EVIDENCE)
            .in_emergency(),
        Endpoint::post("/auth/step-up", Who::SignedIn, "Proves the second factor again.", step_up::by_code)
            .takes::<auth::StepUp>()
            .answers::<auth::WhoAmI>(),
        Endpoint::get("/auth/step-up/oidc", Who::Browser, "The same at the provider.", oidc::step_up)
            .query(&[("return", Type::String)])
            .answers_media("text/plain"),
        Endpoint::post(
            "/auth/step-up/browser",
            Who::SignedIn,
            "Asks for it in a browser, for a command line.",
            step_up::start,
        )
        .answers::<auth::StepUpStarted>(),
        Endpoint::post("/auth/step-up/poll", Who::SignedIn, "Whether that was approved.", step_up::poll)
            .takes::<auth::StepUpPoll>()
            .answers_nothing(),
        Endpoint::post("/auth/step-up/approve", Who::Browser, "Approves or refuses it.", step_up::approve)
            .takes::<auth::DeviceApproval>()
            .answers_nothing()
            .fresh(),
    ]
}

fn own_endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/me/logins", Who::SignedIn, "One's own sign-ins.", devices::list)
            .answers_page::<auth::LoginView>(),
        Endpoint::new(Method::DELETE, "/me/logins", Who::SignedIn, "Signs out everywhere.", devices::end_all)
            .answers_nothing(),
        Endpoint::new(
            Method::DELETE,
            "/me/logins/{id}",
            Who::SignedIn,
            "Ends one of them.",
            devices::end_one,
        )
        .answers_nothing(),
        Endpoint::get("/me/recovery-codes", Who::SignedIn, "How many are left.", recovery::left)
            .answers::<auth::RecoveryCodesLeft>(),
        Endpoint::post("/me/recovery-codes", Who::SignedIn, "Makes new ones.", recovery::renew)
            .answers::<auth::RecoveryCodes>()
            .fresh(),
    ]
}

fn manage_endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/connections",
            Who::SignedIn,
            "Connections that one may open, or all.",
            manage::connections,
        )
        .query(&[("all", Type::Boolean)])
        .answers_page::<manage_api::ConnectionView>()
        .in_emergency()
        .token(CONNECT),
        Endpoint::new(
            Method::PUT,
            "/connections/{name}",
            Who::Admin,
            "Makes or replaces one.",
            manage::put_connection,
        )
        .takes::<manage_api::ConnectionDefinition>()
        .answers::<manage_api::ConnectionView>()
        .fresh(),
        Endpoint::new(
            Method::DELETE,
            "/connections/{name}",
            Who::Admin,
            "Removes one.",
            manage::delete_connection,
        )
        .answers_nothing()
        .fresh(),
        Endpoint::post(
            "/connections/{name}/test",
            Who::Admin,
            "Lets its agent log in at the target once.",
            manage::test_connection,
        )
        .answers::<manage_api::ConnectionTest>(),
        Endpoint::post(
            "/connections/{name}/scan",
            Who::Admin,
            "Lets its agent look for columns that seem to hold personal data.",
            manage::scan_connection,
        )
        .answers::<manage_api::ConnectionScan>()
        .fresh(),
        Endpoint::get("/agents", Who::Evidence, "Agents.", manage::agents)
            .answers_page::<manage_api::AgentView>(),
        Endpoint::post(
            "/agents/join-tokens",
            Who::Admin,
            "A token to enrol an agent with.",
            manage::join_token,
        )
        .takes::<manage_api::JoinTokenRequest>()
        .answers::<manage_api::JoinToken>()
        .fresh(),
        Endpoint::new(
            Method::DELETE,
            "/agents/{name}",
            Who::Admin,
            "Removes an agent.",
            manage::remove_agent,
        )
        .answers_nothing()
        .fresh(),
    ]
}

fn rules_endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/rules", Who::Evidence, "The access rules in force.", rules::show)
            .answers::<rules_api::RulesView>(),
        Endpoint::new(
            Method::PUT,
            "/rules",
            Who::Admin,
            "Puts rules in force, or tries them.",
            rules::change,
        )
        .body(RULES_BODY)
        .takes::<rules_api::RulesChange>()
        .answers::<rules_api::RulesChanged>()
        .fresh(),
        Endpoint::get("/rules/versions", Who::Evidence, "All versions, the newest first.", rules::versions)
            .query(&[("after", Type::Integer), ("limit", Type::Integer)])
            .answers_page::<rules_api::RulesVersion>(),
        Endpoint::get("/rules/versions/{version}", Who::Evidence, "The rules as they were.", rules::version)
            .answers::<rules_api::RulesView>(),
        Endpoint::get(
            "/rules/reach",
            Who::Evidence,
            "Who reaches a connection, or what a person.",
            rules::reach,
        )
        .query(&[("connection", Type::String), ("person", Type::String)])
        .answers_page::<rules_api::ReachView>(),
        Endpoint::post("/rules/try", Who::Evidence, "What rules say of statements.", trial::run)
            .body(RULES_BODY + trial::TEXTS_BODY)
            .takes::<rules_api::TryRules>()
            .answers::<rules_api::RulesTried>(),
    ]
}

fn session_endpoints() -> Vec<Endpoint> {
    let filter = [
        ("state", Type::String),
        ("user", Type::String),
        ("connection", Type::String),
        ("request", Type::String),
        ("since", Type::String),
        ("until", Type::String),
        ("after", Type::String),
        ("limit", Type::Integer),
    ];
    let timeline = [("after", Type::Integer), ("limit", Type::Integer), ("follow", Type::Boolean)];
    vec![
        Endpoint::post("/sessions", Who::SignedIn, "Opens a connection.", sessions::open)
            .takes::<sessions_api::OpenSession>()
            .answers::<sessions_api::SessionOpened>()
            .token(CONNECT)
            .in_emergency(),
        Endpoint::get("/sessions", Who::SignedIn, "Sessions: one's own, or all.", sessions::list)
            .query(&filter)
            .answers_page::<sessions_api::SessionView>()
            .token(CONNECT_OR_EVIDENCE)
            .in_emergency(),
        Endpoint::get("/sessions/{id}", Who::SignedIn, "One session.", sessions::show)
            .answers::<sessions_api::SessionView>()
            .token(CONNECT_OR_EVIDENCE)
            .in_emergency(),
        Endpoint::post("/sessions/{id}/end", Who::SignedIn, "Ends one's own session.", sessions::end)
            .answers_nothing()
            .token(CONNECT)
            .in_emergency(),
        Endpoint::post("/sessions/{id}/kill", Who::Admin, "Ends a session.", sessions::kill)
            .takes::<sessions_api::KillSession>()
            .answers_nothing(),
        Endpoint::post(
            "/sessions/{id}/certificate",
            Who::SignedIn,
            "Renews its certificate.",
            sessions::renew_certificate,
        )
        .takes::<sessions_api::RenewCertificate>()
        .answers::<sessions_api::RenewedCertificate>()
        .token(CONNECT)
        .in_emergency(),
        Endpoint::get("/sessions/{id}/timeline", Who::Evidence, "What happened in it.", evidence::timeline)
            .query(&timeline)
            .answers::<sessions_api::Timeline>()
            .token(EVIDENCE),
        Endpoint::get(
            "/sessions/{id}/terminal",
            Who::Evidence,
            "What one of its terminals showed, and shows.",
            evidence::terminal::terminal,
        )
        .query(&[("stream", Type::Integer), ("request", Type::Integer), ("follow", Type::Boolean)])
        .answers_media("application/x-asciicast")
        .token(EVIDENCE),
        Endpoint::get(
            "/sessions/{id}/recording",
            Who::Evidence,
            "Its recording, encrypted.",
            evidence::recording,
        )
        .answers_media("application/octet-stream")
        .token(EVIDENCE),
        Endpoint::get("/sessions/{id}/export", Who::Evidence, "Its recording as text.", evidence::export)
            .query(&[("format", Type::String)])
            .answers_media("text/plain")
            .token(EVIDENCE),
        Endpoint::get(
            "/terminals",
            Who::Browser,
            "Opens a host in a terminal of the browser: a WebSocket.",
            terminals::open,
        )
        .answers_nothing(),
        Endpoint::post("/sessions/{id}/verify", Who::Evidence, "Checks its recording.", evidence::verify)
            .answers::<VerifyReport>()
            .token(EVIDENCE),
    ]
}

fn audit_endpoints() -> Vec<Endpoint> {
    let filter = [
        ("before", Type::Integer),
        ("limit", Type::Integer),
        ("code", Type::String),
        ("actor", Type::String),
        ("subject", Type::String),
        ("since", Type::String),
        ("until", Type::String),
    ];
    vec![
        Endpoint::get("/audit/events", Who::Evidence, "Events, newest first.", audit::events)
            .query(&filter)
            .answers_page::<audit_api::EventView>()
            .token(EVIDENCE),
        Endpoint::get("/audit/checkpoint", Who::Anyone, "The latest signed checkpoint.", proofs::checkpoint)
            .query(&[("witnessed", Type::Integer)])
            .answers::<audit_api::CheckpointView>(),
        Endpoint::get("/audit/proof/inclusion", Who::Evidence, "That an event is in it.", proofs::inclusion)
            .query(&[("seq", Type::Integer), ("size", Type::Integer)])
            .answers::<audit_api::InclusionProof>()
            .token(EVIDENCE),
        Endpoint::get(
            "/audit/proof/consistency",
            Who::Evidence,
            "That it grew from an older one.",
            proofs::consistency,
        )
        .query(&[("from", Type::Integer), ("to", Type::Integer)])
        .answers::<audit_api::ConsistencyProof>()
        .token(EVIDENCE),
        Endpoint::get(
            "/audit/statements",
            Who::Evidence,
            "Statements of all recordings.",
            search::statements,
        )
        .query(&[
            ("person", Type::String),
            ("connection", Type::String),
            ("table", Type::String),
            ("text", Type::String),
            ("since", Type::String),
            ("until", Type::String),
            ("before", Type::String),
            ("limit", Type::Integer),
        ])
        .answers::<audit_api::StatementPage>()
        .token(EVIDENCE),
        Endpoint::get("/audit/sinks", Who::Evidence, "Who gets checkpoints, and how far.", proofs::sinks)
            .answers_page::<audit_api::SinkView>()
            .token(EVIDENCE),
        Endpoint::get("/audit/verify", Who::Evidence, "Checks the whole ledger.", audit::verify)
            .answers::<audit_api::LedgerReport>()
            .token(EVIDENCE),
        Endpoint::get("/notices", Who::Evidence, "What people were told, newest first.", notices::list)
            .query(&LIST)
            .answers_page::<notices_api::NoticeView>(),
        Endpoint::post("/notices/test", Who::Admin, "Sends a test to one channel.", notices::test)
            .takes::<notices_api::TestNotice>()
            .answers::<notices_api::TestNoticeSent>()
            .fresh(),
        Endpoint::get(
            "/audit/export",
            Who::Evidence,
            "The ledger, to be checked or searched.",
            export::export,
        )
        .query(&[("format", Type::String), ("class", Type::String), ("from", Type::Integer)])
        .answers_media("application/jsonl")
        .token(EVIDENCE),
    ]
}

/// Every route and who may call it, sorted by path.
#[must_use]
pub fn authorization() -> Vec<Row> {
    let mut rows: Vec<_> = endpoints().iter().map(Endpoint::row).collect();
    rows.sort_by(|a, b| (&a.path, a.method.as_str()).cmp(&(&b.path, b.method.as_str())));
    rows
}

/// The OpenAPI document, as JSON.
#[must_use]
pub fn openapi_json() -> String {
    openapi_text().to_owned()
}

/// Made once: anybody may ask for it, and it does not change.
fn openapi_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| table::openapi(endpoints()).to_pretty_json().unwrap_or_else(|_| "{}".to_owned()))
}

/// Everything that is served over HTTPS.
pub(crate) fn router(hub: &Shared) -> Router {
    table::router(endpoints(), hub)
        .layer(TimeoutLayer::with_status_code(http::StatusCode::REQUEST_TIMEOUT, REQUEST_TIME))
        .layer(DefaultBodyLimit::max(hub.config.limits.body))
        .route(
            hoop_tunnel::websocket::PATH,
            routing::get({
                let hub = hub.clone();
                move |request: Request| websocket::upgrade(hub, request)
            }),
        )
        .fallback(console::serve)
        .layer(axum::middleware::from_fn(measure))
        .layer(axum::middleware::from_fn(headers))
        .layer(CatchPanicLayer::new())
        .with_state(hub.clone())
}

/// Counts requests by route, never by path: ids are no labels.
async fn measure(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("console", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("hoop_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("hoop_http_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}

/// Anybody can make up methods, and each label is kept for good.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The console's page adds a nonce for styles.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'; trusted-types default; require-trusted-types-for 'script'";

/// What a browser must know about everything that comes from here.
async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let api = path.starts_with(hoop_api::PREFIX) || path.starts_with(scim::PREFIX);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(CSP));
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::STRICT_TRANSPORT_SECURITY, "max-age=63072000");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if api {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_few_labels() {
        assert_eq!(method_label(&Method::DELETE), "DELETE");
        for made_up in ["X1", "get", "PROPFIND"] {
            assert_eq!(method_label(&Method::from_bytes(made_up.as_bytes()).unwrap()), "other");
        }
    }
}

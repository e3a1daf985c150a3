//! One row an endpoint: path, who may call it, what it takes and answers. Router, authorization, the OpenAPI document
//! and the golden table of the tests are all made from these rows, so none can know an endpoint that another does not.

use std::{fmt, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    handler::Handler,
    http::{Method, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
    routing,
};
use hoop_model::{AuthMethod, Role, TokenScope};
use hoop_policy::Denial;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Content, Object, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
        path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder},
    },
};

use super::{
    caller::{self, Caller, Credential},
    problem::Problematic,
};
use crate::hub::{Shared, now};

/// Most of a refused request's body that is read, and for how long.
const REFUSED_BODY: usize = 64 << 10;
const REFUSED_TIME: Duration = Duration::from_secs(1);

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody, signed in or not.
    Anyone,
    /// Anybody who is signed in.
    SignedIn,
    /// Anybody who is signed in with a second factor.
    Proven,
    /// Somebody signed in with a browser: tokens are not good for making further sign-ins.
    Browser,
    /// Admins and auditors.
    Evidence,
    /// Admins.
    Admin,
    /// Nobody but API tokens of the row's scopes.
    Program,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "anyone",
            Self::SignedIn => "signed-in",
            Self::Proven => "proven",
            Self::Browser => "browser",
            Self::Evidence => "evidence",
            Self::Admin => "admin",
            Self::Program => "program",
        })
    }
}

/// A route and who may call it: `GET /api/v1/whoami signed-in`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Method.
    pub method: Method,
    /// Path, with its parameters in braces.
    pub path: String,
    /// Who may call it.
    pub who: Who,
    /// Only with a second factor that was proven a moment ago.
    pub fresh: bool,
    /// API tokens of these scopes open it; of no other, and by default none.
    pub scopes: &'static [TokenScope],
    /// Also for who signed in with sealed codes.
    pub emergency: bool,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fresh = if self.fresh { "+fresh" } else { "" };
        write!(f, "{} {} {}{fresh}", self.method, self.path, self.who)?;
        self.scopes.iter().try_for_each(|scope| write!(f, " token:{scope}"))?;
        if self.emergency { f.write_str(" emergency") } else { Ok(()) }
    }
}

/// One endpoint.
pub(crate) struct Endpoint {
    method: Method,
    prefix: &'static str,
    /// How the guard's refusals are told.
    refusal: fn(Problematic) -> Response,
    path: &'static str,
    who: Who,
    fresh: bool,
    scopes: &'static [TokenScope],
    emergency: bool,
    router: routing::MethodRouter<Shared>,
    operation: OperationBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
    answers: ResponseBuilder,
    status: &'static str,
}

impl Endpoint {
    pub(crate) fn new<H, T>(method: Method, path: &'static str, who: Who, about: &str, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let mut operation =
            OperationBuilder::new().summary(Some(about)).operation_id(Some(operation_id(&method, path)));
        for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let parameter =
                ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
            operation = operation.parameter(parameter.schema(Some(text())).build());
        }
        let filter = routing::MethodFilter::try_from(method.clone()).unwrap_or(routing::MethodFilter::GET);
        Self {
            method,
            prefix: hoop_api::PREFIX,
            refusal: IntoResponse::into_response,
            path,
            who,
            fresh: false,
            scopes: &[],
            emergency: false,
            router: routing::on(filter, handler),
            operation,
            schemas: Vec::new(),
            answers: ResponseBuilder::new().description("done"),
            status: "200",
        }
    }

    pub(crate) fn get<H: Handler<T, Shared>, T: 'static>(
        path: &'static str,
        who: Who,
        about: &str,
        handler: H,
    ) -> Self {
        Self::new(Method::GET, path, who, about, handler)
    }

    pub(crate) fn post<H: Handler<T, Shared>, T: 'static>(
        path: &'static str,
        who: Who,
        about: &str,
        handler: H,
    ) -> Self {
        Self::new(Method::POST, path, who, about, handler)
    }

    /// Takes a larger body than others: bytes.
    pub(crate) fn body(mut self, most: usize) -> Self {
        self.router = self.router.layer(DefaultBodyLimit::max(most));
        self
    }

    /// The body it takes, as JSON.
    pub(crate) fn takes<T: ToSchema + 'static>(mut self) -> Self {
        let content = Content::new(Some(self.reference::<T>()));
        let body =
            RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// The body it answers, as JSON.
    pub(crate) fn answers<T: ToSchema + 'static>(mut self) -> Self {
        let content = Content::new(Some(self.reference::<T>()));
        self.answers = self.answers.content("application/json", content);
        self
    }

    /// One page of these, as JSON.
    pub(crate) fn answers_page<T: ToSchema + 'static>(mut self) -> Self {
        let items = ArrayBuilder::new().items(self.reference::<T>());
        let page = ObjectBuilder::new().property("items", items).required("items").property("next", text());
        let content = Content::new(Some(RefOr::T(Schema::Object(page.build()))));
        self.answers = self.answers.content("application/json", content);
        self
    }

    /// Another kind of body.
    pub(crate) fn answers_media(mut self, media: &'static str) -> Self {
        self.answers = self.answers.content(media, Content::new(Some(text())));
        self
    }

    /// It answers 204 with no body.
    pub(crate) const fn answers_nothing(mut self) -> Self {
        self.status = "204";
        self
    }

    /// Query parameters that it knows; all are optional.
    pub(crate) fn query(mut self, names: &[(&str, Type)]) -> Self {
        for (name, kind) in names {
            let schema = Object::with_type(kind.clone());
            let parameter = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query);
            self.operation =
                self.operation.parameter(parameter.required(Required::False).schema(Some(schema)).build());
        }
        self
    }

    /// Who calls must have proven a second factor a moment ago: for every change of privilege.
    pub(crate) const fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Whoever signed in with sealed codes may call it too: what an emergency takes, and nothing else.
    pub(crate) const fn in_emergency(mut self) -> Self {
        self.emergency = true;
        self
    }

    /// API tokens of these scopes open it too.
    pub(crate) const fn token(mut self, scopes: &'static [TokenScope]) -> Self {
        self.scopes = scopes;
        self
    }

    /// Elsewhere than the rest of the API, with refusals in a form of its own.
    pub(crate) const fn under(mut self, prefix: &'static str, refusal: fn(Problematic) -> Response) -> Self {
        self.prefix = prefix;
        self.refusal = refusal;
        self
    }

    fn reference<T: ToSchema + 'static>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        T::schemas(&mut self.schemas);
        self.schemas.push((name.clone(), <T as PartialSchema>::schema()));
        RefOr::Ref(Ref::from_schema_name(name))
    }

    pub(crate) fn row(&self) -> Row {
        Row {
            method: self.method.clone(),
            path: format!("{}{}", self.prefix, self.path),
            who: self.who,
            fresh: self.fresh,
            scopes: self.scopes,
            emergency: self.emergency,
        }
    }
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(Object::with_type(Type::String)))
}

/// `post_sessions_id_kill`.
fn operation_id(method: &Method, path: &str) -> String {
    let words =
        path.split(['/', '-', '.']).map(|word| word.trim_matches(['{', '}'])).filter(|word| !word.is_empty());
    words.fold(method.as_str().to_ascii_lowercase(), |id, word| format!("{id}_{word}"))
}

/// The router: each endpoint behind the check that its row asks for.
pub(crate) fn router(endpoints: Vec<Endpoint>, hub: &Shared) -> Router<Shared> {
    endpoints.into_iter().fold(Router::new(), |router, endpoint| {
        let Endpoint { who, fresh, scopes, emergency, refusal, .. } = endpoint;
        let asks = Asks { who, fresh, scopes, emergency };
        let hub = hub.clone();
        let guard = axum::middleware::from_fn(move |request: Request, next: Next| {
            let hub = hub.clone();
            async move { guarded(&hub, asks, request, next).await.map_err(refusal) }
        });
        router.route(&format!("{}{}", endpoint.prefix, endpoint.path), endpoint.router.layer(guard))
    })
}

/// What an endpoint asks of who calls it.
#[derive(Debug, Clone, Copy)]
struct Asks {
    who: Who,
    fresh: bool,
    scopes: &'static [TokenScope],
    emergency: bool,
}

async fn guarded(hub: &Shared, asks: Asks, request: Request, next: Next) -> Result<Response, Problematic> {
    let (mut parts, body) = request.into_parts();
    let admitted = admit(hub, asks, &parts).await.and_then(|caller| match &caller {
        Some(one) if asks.fresh => proven_lately(hub, one).map(|()| caller),
        _ => Ok(caller),
    });
    match admitted {
        Ok(Some(caller)) => {
            parts.extensions.insert(caller);
        }
        Ok(None) => {}
        Err(refusal) => {
            drain(body).await;
            return Err(refusal);
        }
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Who calls, if they may; nobody in particular where anybody may.
async fn admit(hub: &Shared, asks: Asks, parts: &Parts) -> Result<Option<Caller>, Problematic> {
    let who = asks.who;
    if who == Who::Anyone {
        return Ok(None);
    }
    let caller = caller::find(hub, parts).await?.ok_or_else(Problematic::unauthenticated)?;
    if let Credential::ApiToken(scope) = caller.credential {
        return opened_by(asks, scope, &caller).map(|()| Some(caller));
    }
    if caller.signed_in.login.method == AuthMethod::SealedCodes && !asks.emergency {
        metrics::counter!("hoop_http_refused_total", "reason" => "sealed codes").increment(1);
        let what = "a sign-in by sealed codes is good for an emergency alone";
        return Err(Problematic::forbidden("HOOP-3060", what).hint("`hoop break-glass NAME`"));
    }
    let allowed = match who {
        Who::Anyone | Who::SignedIn | Who::Proven => true,
        Who::Browser => caller.credential == Credential::Cookie,
        Who::Evidence => matches!(caller.role(), Role::Admin | Role::Auditor),
        Who::Admin => caller.role() == Role::Admin,
        Who::Program => false,
    };
    if allowed {
        // Rights, credentials and evidence are not for somebody who proved a password alone, wherever that was.
        let protected = matches!(who, Who::Proven | Who::Evidence | Who::Admin);
        if protected && caller.signed_in.login.mfa.is_none() {
            return Err(Denial::MfaMissing.to_fault().into());
        }
        return Ok(Some(caller));
    }
    Err(match who {
        Who::Browser => Problematic::forbidden("HOOP-3004", "this is to be done in the console"),
        Who::Evidence => caller::wrong_role("an admin or auditor"),
        Who::Program => caller::wrong_role("a service account with an API token for it"),
        _ => caller::wrong_role("an admin"),
    })
}

/// An API token opens what its scope is for, if its account's role does too. No second factor stands behind it, so it
/// never opens what asks for one, nor what is for a person at a screen, whatever a row says.
fn opened_by(asks: Asks, scope: TokenScope, caller: &Caller) -> Result<(), Problematic> {
    let for_programs = match asks.who {
        Who::SignedIn | Who::Program => true,
        Who::Evidence => caller.sees_all(),
        Who::Anyone | Who::Proven | Who::Browser | Who::Admin => false,
    };
    if for_programs && !asks.fresh && asks.scopes.contains(&scope) {
        return Ok(());
    }
    metrics::counter!("hoop_http_refused_total", "reason" => "scope").increment(1);
    Err(Problematic::forbidden("HOOP-3050", format!("an API token of the scope {scope} does not open this"))
        .hint("the scope is chosen when the token is made, and what people must do themselves is in none"))
}

/// A change of privilege is for somebody who is there now: not for a stolen token, nor for an unattended screen.
fn proven_lately(hub: &Shared, caller: &Caller) -> Result<(), Problematic> {
    let max_age = hub.config.tokens.fresh_mfa;
    let denial = match caller.signed_in.login.mfa {
        None => Denial::MfaMissing,
        Some(mfa) if now().since(mfa.at) > max_age => Denial::MfaTooOld { max_age },
        Some(_) => return Ok(()),
    };
    Err(Problematic::from(denial.to_fault()).hint("prove it again: `hoop step-up`, or in the console"))
}

/// Reads what a refused request still brings, a little and not for long. An answer that overtakes its request ends the
/// HTTP/2 stream under it, and there are clients (curl 7.88) that then show this end and not the answer.
async fn drain(body: Body) {
    let reading = axum::body::to_bytes(body, REFUSED_BODY);
    let _ = tokio::time::timeout(REFUSED_TIME, reading).await;
}

/// The OpenAPI document.
pub(crate) fn openapi(endpoints: Vec<Endpoint>) -> OpenApi {
    let mut paths = Paths::new();
    let mut problem = Vec::new();
    <hoop_api::Problem as ToSchema>::schemas(&mut problem);
    problem.push(("Problem".to_owned(), <hoop_api::Problem as PartialSchema>::schema()));
    let mut components = ComponentsBuilder::new().schemas_from_iter(problem);
    for endpoint in endpoints {
        let Row { path, who, fresh, scopes, .. } = endpoint.row();
        let tokens: String = scopes.iter().map(|scope| format!(", or an API token `{scope}`")).collect();
        let fresh = if fresh { ", with a second factor that was proven a moment ago" } else { "" };
        components = components.schemas_from_iter(endpoint.schemas);
        let failed = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        let failed =
            ResponseBuilder::new().description("what went wrong").content("application/json", failed);
        let operation = endpoint
            .operation
            .description(Some(format!("For: {who}{fresh}{tokens}.")))
            .response(endpoint.status, endpoint.answers.build())
            .response("default", failed.build());
        paths.add_path_operation(path, vec![http_method(&endpoint.method)], operation.build());
    }
    let info = utoipa::openapi::Info::new("hoop", env!("CARGO_PKG_VERSION"));
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

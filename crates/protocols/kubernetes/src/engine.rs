//! One stream: the API server that the client speaks with, and its end.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use hoop_engine::{
    CloseReason, Credential, Event, StreamContext,
    hosted::{Doing, HostedEngine, HostedParts, Keep},
};
use hoop_hosted::{course::Course, mask::Mask, stream::Stream};
use hoop_model::Fault;
use hoop_policy::Rules;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};

use crate::{
    answer::{self, Body},
    call,
    credential::Proof,
    fault,
    identity::Identity,
    settings::ClusterSettings,
    upstream::Upstream,
};

/// From a connection's first byte, or the end of an answer, to the head of a request. Clients keep connections for the next one.
const GREETING: Duration = Duration::from_secs(300);
/// Requests at the same time on one connection of HTTP/2: no more than API servers take on one of theirs. Clients open another.
const MOST_AT_ONCE: u32 = 90;
/// Headers of a request, bytes; and how many in HTTP/1.1.
const HEADERS: u32 = 64 << 10;
const MOST_HEADERS: usize = 100;
/// What one request may have under way, and all of a connection. Bytes.
const WINDOW: u32 = 256 << 10;
const WINDOWS: u32 = 2 << 20;
/// Bytes of answers that wait to be sent, of one request.
const WAITING: usize = 256 << 10;
/// Afterwards a connection takes no new request: the next one comes with a proof that was looked up anew.
const LONGEST: Duration = Duration::from_secs(600);
/// Tasks have so long to say good-bye.
const LAST_WORDS: Duration = Duration::from_millis(600);

/// Kubernetes for one stream.
pub(crate) struct KubernetesEngine {
    settings: Arc<ClusterSettings>,
    credential: Credential,
    stream: StreamContext,
}

impl KubernetesEngine {
    pub(crate) const fn new(
        settings: Arc<ClusterSettings>,
        credential: Credential,
        stream: StreamContext,
    ) -> Self {
        Self { settings, credential, stream }
    }
}

impl HostedEngine for KubernetesEngine {
    fn run(self: Box<Self>, parts: HostedParts) -> Doing<CloseReason> {
        Box::pin(self.serve(parts))
    }
}

/// What all requests of a stream share.
pub(crate) struct Shared {
    pub(crate) settings: Arc<ClusterSettings>,
    pub(crate) course: Course,
    pub(crate) upstream: Upstream,
    pub(crate) rules: Arc<Rules>,
    /// What programs print is masked.
    pub(crate) mask: Option<Mask>,
    /// Where the client had a proof of who it is, as far as the recording says so by now.
    pub(crate) told: Mutex<BTreeSet<String>>,
}

impl KubernetesEngine {
    async fn serve(self: Box<Self>, parts: HostedParts) -> CloseReason {
        let Self { settings, credential, stream } = *self;
        let course = Course::new(parts.host);
        let _stop = course.stop.clone().drop_guard();
        // What is wrong here is told to every request, so that a person sees it.
        let ready = Proof::of(settings.form, &credential).and_then(|proof| {
            let identity = Identity::of(&settings.mapping, &stream).ok_or_else(fault::name)?;
            let upstream = Upstream::new(course.host.clone(), &settings, proof, identity);
            let mask = Mask::of(&stream.rules.masking, &stream.masking_key);
            Ok(Arc::new(Shared {
                settings,
                course,
                upstream,
                rules: stream.rules,
                mask,
                told: Mutex::default(),
            }))
        });
        let client = TokioIo::new(Stream(parts.client));
        match ready {
            Ok(shared) => {
                let facts = vec![("user".to_owned(), shared.upstream.identity().name().to_owned())];
                match shared.course.host.note(Event::Opened { facts }, Keep::IfStrict).await {
                    Ok(()) => Self::answer_all(shared, client).await,
                    Err(fault) => CloseReason::Fault(fault),
                }
            }
            Err(fault) => {
                let refused = fault.clone();
                let refuse = service_fn(move |request: Request<Incoming>| {
                    let refusal = answer::of(&refused, request.uri().path());
                    async move { Ok::<_, Infallible>(refusal) }
                });
                let builder = server(Tasks(None));
                let serving = builder.serve_connection(client, refuse);
                let _ = tokio::time::timeout(LAST_WORDS * 5, serving).await;
                CloseReason::Fault(fault)
            }
        }
    }

    async fn answer_all(shared: Arc<Shared>, client: TokioIo<Stream>) -> CloseReason {
        let all = Arc::clone(&shared);
        let serve = service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&all);
            async move { Ok::<Response<Body>, Infallible>(call::answer(&shared, request).await) }
        });
        let builder = server(Tasks(Some(Arc::clone(&shared))));
        let serving = builder.serve_connection_with_upgrades(client, serve);
        tokio::pin!(serving);
        let mut aged = std::pin::pin!(tokio::time::sleep(LONGEST));
        let mut warm = Some(Box::pin(shared.upstream.warm()));
        let mut fresh = true;
        let fault: Fault = loop {
            tokio::select! {
                biased;
                fault = shared.course.ended() => break fault,
                _ = &mut serving => {
                    // Streams that left HTTP go on; what requests have to record yet, they do.
                    drop(warm);
                    shared.upstream.rest().await;
                    return Self::streams(&shared).await;
                }
                () = async { match &mut warm { Some(warm) => warm.await, None => std::future::pending().await } } => warm = None,
                () = &mut aged, if fresh => {
                    fresh = false;
                    serving.as_mut().graceful_shutdown();
                }
            }
        };
        // Streams tell their own clients; requests that run are broken off.
        shared.course.finish(LAST_WORDS).await;
        CloseReason::Fault(fault)
    }

    /// A connection that became a stream is over when the stream is.
    async fn streams(shared: &Shared) -> CloseReason {
        tokio::select! {
            biased;
            fault = shared.course.ended() => {
                shared.course.finish(LAST_WORDS).await;
                CloseReason::Fault(fault)
            }
            () = shared.course.finish(Duration::MAX) => CloseReason::Client,
        }
    }
}

/// What HTTP/2 runs beside its connection.
#[derive(Clone)]
struct Tasks(Option<Arc<Shared>>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        let Some(shared) = &self.0 else {
            tokio::spawn(work);
            return;
        };
        let stop = shared.course.stop.clone();
        tokio::spawn(async move { drop(stop.run_until_cancelled(work).await) });
    }
}

fn server(tasks: Tasks) -> auto::Builder<Tasks> {
    let mut builder = auto::Builder::new(tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(GREETING)
        .max_headers(MOST_HEADERS)
        .max_buf_size(HEADERS as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_AT_ONCE)
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .max_send_buf_size(WAITING);
    builder
}

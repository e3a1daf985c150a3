//! One stream: the server that the client speaks with, its channels, and its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hoop_engine::{
    CloseReason, StreamContext,
    hosted::{Doing, Host, HostedEngine, HostedParts},
};
use hoop_model::{Fault, Redacted};
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId, cipher, mac, server};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    backlog::{Backlog, MESSAGES},
    course::Course,
    fault,
    forward::{self, Back, Forwards},
    login::Login,
    machine::{Machine, MachineSettings},
    mask::Mask,
    refusals::{Refusals, TOO_MANY},
    server::ClientSide,
    settings::{HostSettings, Offer},
    stream::Stream,
    trust::own_key,
    upstream::Upstreams,
};

/// From the client's first byte until it is let in.
const GREETING: Duration = Duration::from_secs(30);
/// Channels of one connection at the same time.
const MOST_CHANNELS: usize = 64;
/// Channels that hosts opened and that nobody has looked at yet.
const MOST_BACK: usize = 16;
/// Channels have so long to say good-bye.
const LAST_WORDS: Duration = Duration::from_millis(600);
/// What a channel may have under way. Bytes.
const WINDOW: u32 = 1 << 20;
/// Messages of all channels that wait for the library, each of a packet at most. It encrypts all that wait, then writes all of
/// that: so a key's echo waits behind twice as many, and channels that have much to send take turns here, one by one.
const AHEAD: usize = 2;

/// SSH for one stream.
pub(crate) struct SshEngine {
    offer: Arc<Offer>,
    way: Way,
    stream: StreamContext,
}

/// Where programs run.
pub(crate) enum Way {
    /// On a host, which is logged into.
    Host(Arc<HostSettings>, Login),
    /// On the agent's own machine.
    Machine(Arc<MachineSettings>),
}

impl SshEngine {
    pub(crate) const fn new(offer: Arc<Offer>, way: Way, stream: StreamContext) -> Self {
        Self { offer, way, stream }
    }
}

impl HostedEngine for SshEngine {
    fn run(self: Box<Self>, parts: HostedParts) -> Doing<CloseReason> {
        Box::pin(self.serve(parts))
    }
}

/// What all channels of a stream share.
pub(crate) struct Shared {
    pub(crate) settings: Arc<Offer>,
    pub(crate) course: Course,
    pub(crate) upstream: Upstream,
    pub(crate) forwards: Forwards,
    pub(crate) backlog: Arc<Backlog>,
    /// Channels that were refused by us: of the client, and of hosts where there was no room.
    pub(crate) refusals: Refusals,
    /// What hosts print is masked.
    pub(crate) mask: Option<Mask>,
    /// Who it is.
    pub(crate) person: String,
    /// Channels that run.
    pub(crate) channels: AtomicUsize,
    /// The client has hung up.
    pub(crate) gone: CancellationToken,
    pub(crate) let_in: Notify,
}

impl Shared {
    /// The recording has a channel that somebody wanted in vain.
    pub(crate) async fn refused(&self, side: &str, kind: &'static str, why: &'static str) {
        if let Err(fault) = self.refusals.tell(&self.course.host, side, kind, why).await {
            self.course.break_off(fault);
        }
    }
}

/// See [`Way`].
pub(crate) enum Upstream {
    Hosts(Upstreams),
    Machine(Machine),
}

impl Upstream {
    fn new(way: Way, host: Host, opened: mpsc::Sender<Back>) -> Self {
        match way {
            Way::Host(settings, login) => Self::Hosts(Upstreams::new(settings, login, host, opened)),
            Way::Machine(settings) => Self::Machine(Machine::new(settings, host)),
        }
    }

    /// The connections to the host.
    pub(crate) fn hosts(&self) -> Result<&Upstreams, Fault> {
        match self {
            Self::Hosts(hosts) => Ok(hosts),
            Self::Machine(_) => Err(fault::no_forwards()),
        }
    }

    /// What runs whatever a client asks for, if anything does.
    pub(crate) fn fixed(&self) -> Option<Bytes> {
        match self {
            Self::Hosts(_) => None,
            Self::Machine(machine) => machine.fixed(),
        }
    }

    /// Where programs run, and as whom.
    pub(crate) fn facts(&self) -> [(&'static str, String); 2] {
        match self {
            Self::Hosts(hosts) => hosts.facts(),
            Self::Machine(machine) => machine.facts(),
        }
    }
}

impl SshEngine {
    async fn serve(self: Box<Self>, parts: HostedParts) -> CloseReason {
        let Self { offer, way, stream } = *self;
        let course = Course::new(parts.host);
        let _stop = course.stop.clone().drop_guard();
        let (opened, back) = mpsc::channel(MOST_BACK);
        let shared = Arc::new(Shared {
            upstream: Upstream::new(way, course.host.clone(), opened),
            forwards: Forwards::default(),
            backlog: Arc::default(),
            refusals: Refusals::default(),
            mask: Mask::of(&stream.rules.masking, &stream.masking_key),
            settings: offer,
            course,
            person: stream.person.to_string(),
            channels: AtomicUsize::new(0),
            gone: CancellationToken::new(),
            let_in: Notify::new(),
        });
        let config = Arc::new(config(&parts.stream_key));
        let side = ClientSide::new(Arc::clone(&shared));
        let greeting = server::run_stream(config, Stream(parts.client), side);
        let running = tokio::select! {
            biased;
            fault = shared.course.ended() => return CloseReason::Fault(fault),
            running = tokio::time::timeout(GREETING, greeting) => running,
        };
        let mut running = match running {
            Ok(Ok(running)) => running,
            Ok(Err(_)) => return CloseReason::Client,
            Err(_) => return CloseReason::Fault(fault::client("said nothing for too long")),
        };
        let handle = running.handle();
        take_back(&shared, &handle, back);
        let late = async {
            if tokio::time::timeout(GREETING, shared.let_in.notified()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        let fault = tokio::select! {
            biased;
            fault = shared.course.ended() => fault,
            _ = &mut running => {
                // What its channels have to record yet, they do; whatever they move ends with it.
                shared.gone.cancel();
                shared.course.finish(LAST_WORDS).await;
                return CloseReason::Client;
            }
            () = late => fault::client("did not ask to be let in for too long"),
        };
        say_good_bye(&shared, &handle, &fault).await;
        // Until the client has hung up, or the host of this engine has had enough.
        let _ = running.await;
        CloseReason::Fault(fault)
    }
}

/// What hosts open towards the client, each as a channel of its own.
fn take_back(shared: &Arc<Shared>, client: &server::Handle, mut opened: mpsc::Receiver<Back>) {
    let (all, client, stop) = (Arc::clone(shared), client.clone(), shared.course.stop.clone());
    let taking = async move {
        while let Some(back) = opened.recv().await {
            // Without a seat it is dropped, which refuses it.
            let Some(seat) = Seat::take(&all) else {
                all.refused("the host", back.kind.channel(), TOO_MANY).await;
                continue;
            };
            let client = client.clone();
            all.course.spawn(async move {
                forward::back(&seat.0, &client, back).await;
            });
        }
    };
    // Not among the tasks whose end is waited for: it has none of its own.
    tokio::spawn(async move {
        let _ = stop.run_until_cancelled(taking).await;
    });
}

/// One of the channels that a stream may have at a time.
pub(crate) struct Seat(pub(crate) Arc<Shared>);

impl Seat {
    pub(crate) fn take(shared: &Arc<Shared>) -> Option<Self> {
        let seat = Self(Arc::clone(shared));
        (shared.channels.fetch_add(1, Ordering::AcqRel) < MOST_CHANNELS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Channels tell their own clients; then the connection ends, with the reason.
async fn say_good_bye(shared: &Shared, handle: &server::Handle, fault: &Fault) {
    shared.course.finish(LAST_WORDS).await;
    let text = format!("{} ({})", fault.message, fault.code);
    let _ = handle.disconnect(Disconnect::ByApplication, text, String::new()).await;
}

/// The client has proven its session to the tunnel; inside, `none` lets it in. No compression: it is a way to make a small
/// packet large. Strict key exchange is part of the library's list.
fn config(stream_key: &Redacted<[u8; 32]>) -> server::Config {
    server::Config {
        server_id: SshId::Standard("SSH-2.0-hoop".into()),
        methods: MethodSet::from(&[MethodKind::None][..]),
        auth_rejection_time: Duration::from_millis(100),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![own_key(stream_key)],
        window_size: WINDOW,
        maximum_packet_size: 32 << 10,
        channel_buffer_size: MESSAGES,
        event_buffer_size: AHEAD,
        preferred: Preferred {
            cipher: vec![cipher::AES_256_GCM, cipher::AES_256_CTR].into(),
            mac: vec![mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM].into(),
            compression: vec![russh::compression::NONE].into(),
            ..Preferred::DEFAULT
        },
        max_auth_attempts: 6,
        // The session has limits of its own, and its tunnel outlives network paths.
        inactivity_timeout: None,
        keepalive_interval: None,
        ..server::Config::default()
    }
}

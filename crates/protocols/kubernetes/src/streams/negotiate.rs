//! What a client's request asks for, and what we ask a cluster for: headers, and nothing else.
//!
//! Kubernetes: `k8s.io/apimachinery/pkg/util/httpstream` and `k8s.io/apiserver/pkg/util/wsstream`; RFC 6455, section 4.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
        UPGRADE,
    },
};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::channels::Framing;

const SPDY: &str = "SPDY/3.1";
const WEB_SOCKET: &str = "websocket";
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const PORT_FORWARD: &str = "portforward.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// `exec`, and `attach`, which is the same from here on.
    Exec,
    /// `portforward`
    PortForward,
}

/// How it is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// As each cluster understands it.
    Spdy,
    /// As clusters from 1.30 on understand it.
    WebSocket,
}

/// What a client and we have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Spdy {
        version: u8,
    },
    /// SPDY in messages.
    Tunnel,
    Channels {
        framing: Framing,
        version: u8,
    },
}

/// What a cluster and we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cluster {
    Spdy,
    Tunnel,
    Channels { framing: Framing },
}

/// An upgrade that cannot be had. The client may read why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUpgrade {
    /// Neither SPDY/3.1 nor WebSocket.
    #[error("only SPDY/3.1 and websocket are upgraded to")]
    Unknown,
    /// The connection header does not say so.
    #[error("the Connection header does not name the upgrade")]
    NotOfConnection,
    /// No protocol that it offers is known.
    #[error("none of the protocols that are offered is known")]
    Protocol,
    /// Not version 13.
    #[error("only version 13 of WebSocket is known")]
    Version,
    /// No key, or not one.
    #[error("the Sec-WebSocket-Key header is missing or wrong")]
    Key,
}

/// What a client asks to be upgraded to, and may be.
#[derive(Debug, Clone)]
pub struct Upgrade {
    client: Client,
    /// Protocol to be answered with, if one was offered.
    protocol: Option<&'static str>,
    accept: Option<String>,
}

impl Upgrade {
    /// What these headers ask for; `None` if they ask for no upgrade.
    ///
    /// # Errors
    /// They ask for what cannot be had.
    pub fn of(headers: &HeaderMap, wanted: Wanted) -> Result<Option<Self>, BadUpgrade> {
        if !headers.contains_key(UPGRADE) {
            return Ok(None);
        }
        if !has(headers, &CONNECTION, "upgrade") {
            return Err(BadUpgrade::NotOfConnection);
        }
        if has(headers, &UPGRADE, SPDY) {
            Self::spdy(headers, wanted).map(Some)
        } else if has(headers, &UPGRADE, WEB_SOCKET) {
            Self::web_socket(headers, wanted).map(Some)
        } else {
            Err(BadUpgrade::Unknown)
        }
    }

    fn spdy(headers: &HeaderMap, wanted: Wanted) -> Result<Self, BadUpgrade> {
        let known: &[(&'static str, u8)] = match wanted {
            Wanted::Exec => {
                &[(V4, 4), ("v3.channel.k8s.io", 3), ("v2.channel.k8s.io", 2), ("channel.k8s.io", 1)]
            }
            Wanted::PortForward => &[(PORT_FORWARD, 1)],
        };
        let chosen = chosen(headers, &PROTOCOL, known)?;
        // Who offers none speaks the first.
        let (protocol, version) = chosen.map_or((None, 1), |(protocol, version)| (Some(protocol), version));
        Ok(Self { client: Client::Spdy { version }, protocol, accept: None })
    }

    fn web_socket(headers: &HeaderMap, wanted: Wanted) -> Result<Self, BadUpgrade> {
        if !has(headers, &SEC_WEBSOCKET_VERSION, "13") {
            return Err(BadUpgrade::Version);
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let is_key = |key: &&[u8]| data_encoding::BASE64.decode(key).is_ok_and(|key| key.len() == 16);
        let key = key.filter(is_key).ok_or(BadUpgrade::Key)?;
        let channels = |is_base64, version| {
            let framing = Framing { is_base64, has_ends: version >= 5 };
            Client::Channels { framing, version }
        };
        let known: &[(&'static str, Client)] = match wanted {
            Wanted::Exec => &[
                (V5, channels(false, 5)),
                (V4, channels(false, 4)),
                ("v4.base64.channel.k8s.io", channels(true, 4)),
                ("channel.k8s.io", channels(false, 1)),
                ("base64.channel.k8s.io", channels(true, 1)),
            ],
            Wanted::PortForward => &[
                (TUNNEL, Client::Tunnel),
                (V4, channels(false, 4)),
                ("v4.base64.channel.k8s.io", channels(true, 4)),
            ],
        };
        let chosen = chosen(headers, &SEC_WEBSOCKET_PROTOCOL, known)?;
        let (protocol, client) =
            chosen.map_or((None, channels(false, 1)), |(protocol, client)| (Some(protocol), client));
        Ok(Self { client, protocol, accept: Some(derive_accept_key(key)) })
    }

    /// The headers of the answer, whose status is 101.
    #[must_use]
    pub fn answer(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(self.name()));
        let accept = self.accept.as_ref().and_then(|accept| HeaderValue::from_str(accept).ok());
        let name = if accept.is_some() { SEC_WEBSOCKET_PROTOCOL } else { PROTOCOL };
        if let Some(accept) = accept {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = self.protocol {
            headers.insert(name, HeaderValue::from_static(protocol));
        }
        headers
    }

    /// What it is upgraded to.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.accept.is_some() { WEB_SOCKET } else { SPDY }
    }

    /// The protocol within, as the answer names it, if it does.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    pub(super) fn client(&self) -> Client {
        self.client
    }
}

/// What the headers of that name list, over all of them.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|value| !value.is_empty())
}

fn has(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    listed(headers, name).any(|value| value.eq_ignore_ascii_case(wanted))
}

/// The first that is offered and known; `None` if nothing is offered. What else is offered may be a secret: it is not looked at.
fn chosen<T: Copy>(
    headers: &HeaderMap,
    name: &HeaderName,
    known: &[(&'static str, T)],
) -> Result<Option<(&'static str, T)>, BadUpgrade> {
    if !headers.contains_key(name) {
        return Ok(None);
    }
    let find = |offered| known.iter().find(|(protocol, _)| *protocol == offered).copied();
    listed(headers, name).find_map(find).map(Some).ok_or(BadUpgrade::Protocol)
}

/// What we ask a cluster for.
#[derive(Debug)]
pub struct Offer {
    over: Over,
    wanted: Wanted,
    key: String,
}

/// A cluster that does not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// It answers with something else: why, its body says.
    #[error("the cluster answered {0} and did not upgrade")]
    Status(StatusCode),
    /// It upgrades to something else.
    #[error("the cluster upgraded to something else")]
    Upgrade,
    /// It has not understood the offer.
    #[error("the cluster's Sec-WebSocket-Accept is wrong")]
    Accept,
    /// It chose what was not offered, or nothing.
    #[error("the cluster chose a protocol that was not offered")]
    Protocol,
}

/// What a cluster has agreed to.
#[derive(Debug, Clone)]
pub struct Agreed(Cluster);

impl Offer {
    /// For one request: a WebSocket has a key of its own.
    #[must_use]
    pub fn new(over: Over, wanted: Wanted) -> Self {
        Self { over, wanted, key: generate_key() }
    }

    /// The headers of the request, beside those of any.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(self.name()));
        let protocol = HeaderValue::from_static(self.protocol());
        match self.over {
            Over::Spdy => {
                headers.insert(PROTOCOL, protocol);
            }
            Over::WebSocket => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
                if let Ok(key) = HeaderValue::from_str(&self.key) {
                    headers.insert(SEC_WEBSOCKET_KEY, key);
                }
            }
        }
        headers
    }

    /// Whether the cluster has agreed.
    ///
    /// # Errors
    /// It has not, or to something else.
    pub fn check(&self, status: StatusCode, headers: &HeaderMap) -> Result<Agreed, BadAnswer> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(BadAnswer::Status(status));
        }
        if !has(headers, &CONNECTION, "upgrade") || !has(headers, &UPGRADE, self.name()) {
            return Err(BadAnswer::Upgrade);
        }
        let protocol = match self.over {
            Over::Spdy => PROTOCOL,
            Over::WebSocket => {
                let accept = headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
                if accept != Some(derive_accept_key(self.key.as_bytes()).as_bytes()) {
                    return Err(BadAnswer::Accept);
                }
                SEC_WEBSOCKET_PROTOCOL
            }
        };
        if listed(headers, &protocol).ne([self.protocol()]) {
            return Err(BadAnswer::Protocol);
        }
        Ok(Agreed(match (self.over, self.wanted) {
            (Over::Spdy, _) => Cluster::Spdy,
            (Over::WebSocket, Wanted::PortForward) => Cluster::Tunnel,
            (Over::WebSocket, Wanted::Exec) => {
                Cluster::Channels { framing: Framing { is_base64: false, has_ends: true } }
            }
        }))
    }

    fn name(&self) -> &'static str {
        match self.over {
            Over::Spdy => SPDY,
            Over::WebSocket => WEB_SOCKET,
        }
    }

    /// One alone: of exec over WebSocket, those before 5 cannot end the input.
    fn protocol(&self) -> &'static str {
        match (self.over, self.wanted) {
            (Over::Spdy, Wanted::Exec) => V4,
            (Over::Spdy, Wanted::PortForward) => PORT_FORWARD,
            (Over::WebSocket, Wanted::Exec) => V5,
            (Over::WebSocket, Wanted::PortForward) => TUNNEL,
        }
    }
}

impl Agreed {
    pub(super) fn cluster(&self) -> Cluster {
        self.0
    }
}

//! How a session's data gets from the connector to the agent, through a gateway that cannot read it.
//!
//! From the outside in: a TCP connection ([`gateway`], [`dial`], or [`websocket`] where only that passes), whose first bytes
//! name a one-use [`ticket`] that the gateway reads without terminating anything ([`hello`], [`dispatch`]) to pair
//! it with a connection the agent dialled ahead ([`relay`]); through both, mutual TLS between connector and agent
//! ([`inner`]); in that, the frames of a [`stream`] that outlives its connections ([`core`]), or of many, each in one of its [`lanes`].
//!
//! [`ahead`] stands between a connection and its TLS. [`trust`] is for whoever dials with TLS and a rule of their own about certificates.
//!
//! `hello`, `dispatch`, `ticket` and `core` do no I/O and read no clock. Nothing here knows what the bytes mean.

pub mod ahead;
pub mod core;
pub mod dial;
pub mod dispatch;
pub mod gateway;
pub mod hello;
pub mod inner;
pub mod lanes;
pub mod relay;
pub mod stream;
pub mod ticket;
pub mod trust;
pub mod websocket;

#[doc(hidden)]
pub fn fuzz_frames(bytes: &[u8]) {
    self::core::fuzz(bytes);
    lanes::fuzz(bytes);
}

#[doc(hidden)]
pub fn fuzz_client_hello(bytes: &[u8]) {
    let whole = hello::peek(bytes);
    if let hello::Peek::Hello(hello) = &whole {
        let _ = dispatch::Dispatch::of(hello);
        assert_eq!(bytes.get(..hello.length).map(hello::peek), Some(whole.clone()));
    }
    let mut feed = hello::HelloPeek::default();
    for part in bytes.chunks(7) {
        let _ = feed.feed(part);
    }
}

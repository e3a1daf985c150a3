//! The agent's connection to its gateway: TLS with what is trusted, enrolment, renewal, the control stream.

pub(crate) mod control;
pub(crate) mod enrol;
pub(crate) mod tls;

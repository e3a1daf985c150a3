//! The gRPC service that agents call. Who calls is told by the certificate of the connection, never by a message.

use hoop_control::v1::{
    EnrolRequest, EnrolResponse, FromAgent, RecordingAck, RecordingPart, RenewRequest, RenewResponse,
    ToAgent, gateway_server::Gateway,
};
use hoop_model::{AgentId, Blame, Fault, Timestamp};
use hoop_store::Agent;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{control, enrol, record};
use crate::hub::{Shared, now};

/// What TLS proved about a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The agent of its certificate, if it showed one.
    pub(crate) agent: Option<AgentId>,
    /// The certificate ends then.
    pub(crate) expires_at: Timestamp,
    /// From where.
    pub(crate) address: std::net::IpAddr,
}

/// The service.
#[derive(Debug)]
pub(crate) struct Service(pub(crate) Shared);

/// A fault as gRPC carries it: the code in front, for people.
pub(crate) fn status(fault: &Fault) -> Status {
    let text = fault.to_string();
    match fault.blame {
        Blame::Caller => Status::invalid_argument(text),
        Blame::Policy => Status::permission_denied(text),
        Blame::Target | Blame::Network => Status::unavailable(text),
        Blame::System => Status::internal(text),
    }
}

/// The store failed: nothing is decided, the agent is to come back.
pub(crate) fn unavailable(error: &hoop_store::StoreError) -> Status {
    tracing::error!(%error, "store failed");
    Status::unavailable("the gateway's store is not available")
}

impl Service {
    fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
        request.extensions().get::<Peer>().cloned().ok_or_else(|| Status::internal("no connection facts"))
    }

    /// The agent that calls: its certificate names it, is still good, and the store knows it and has not removed it.
    async fn agent<T>(&self, request: &Request<T>) -> Result<(Agent, Peer), Status> {
        let refuse = |why: &'static str| {
            metrics::counter!("hoop_agent_refused_total", "reason" => why).increment(1);
            Status::unauthenticated("this call needs the certificate of an enrolled agent")
        };
        let peer = Self::peer(request)?;
        let id = peer.agent.ok_or_else(|| refuse("no_certificate"))?;
        if peer.expires_at <= now() {
            return Err(refuse("expired_certificate"));
        }
        let agent = self.0.store.agent(id).await.map_err(|error| unavailable(&error))?;
        match agent {
            Some(agent) if agent.removed_at.is_none() => Ok((agent, peer)),
            Some(_) => Err(refuse("removed")),
            None => Err(refuse("unknown")),
        }
    }
}

#[tonic::async_trait]
impl Gateway for Service {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolResponse>, Status> {
        let peer = Self::peer(&request)?;
        enrol::enrol(&self.0, peer.address, request.into_inner()).await.map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (agent, _) = self.agent(&request).await?;
        enrol::renew(&self.0, &agent, request.into_inner()).await.map(Response::new)
    }

    type ControlStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn control(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::ControlStream>, Status> {
        let (agent, peer) = self.agent(&request).await?;
        control::accept(&self.0, agent, peer, request.into_inner()).await.map(Response::new)
    }

    type RecordStream = ReceiverStream<Result<RecordingAck, Status>>;

    async fn record(
        &self,
        request: Request<Streaming<RecordingPart>>,
    ) -> Result<Response<Self::RecordStream>, Status> {
        let (agent, _) = self.agent(&request).await?;
        Ok(Response::new(record::accept(&self.0, agent, request.into_inner())))
    }
}

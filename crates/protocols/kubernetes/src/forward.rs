//! Ports of a pod: each connection is asked, counted and recorded, and has a connection of its own to the cluster, so that none that
//! stands still holds up another.

use std::sync::Arc;

use bytes::Bytes;
use hoop_engine::{Event, Question, RequestId, hosted::Keep};
use hoop_hosted::{course, tally::Tally};
use hoop_model::{Fault, Timestamp};
use hoop_policy::{Channel, Forwarding, Permit};
use hoop_recording::event::{Direction, Form};
use http::{Request, Response, uri::PathAndQuery};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use crate::{
    answer::Body,
    engine::Shared,
    exec::{ask, path_of, switching},
    fault,
    streams::{Forward, FromForward, ToForward, Upgrade, Wanted, client_forwards, cluster_forwards},
    upstream::Streaming,
};

const QUESTION: Question = Question::Channel(Channel::Forward(Forwarding::Local));

/// Asks once before the client is answered, so that a refusal is seen at once.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    ports: &[u16],
    upgrade: Upgrade,
    mut request: Request<Incoming>,
    _: Permit,
) -> Result<Response<Body>, Fault> {
    let path = path_of(&request);
    let id = shared.course.next();
    let pod = pod_of(&path);
    let permit = ask(shared, id, Form::Forward, format!("ports of {pod}").into(), &QUESTION).await?;
    let forwards = Forwards { shared: Arc::clone(shared), id, began: shared.course.host.now(), path, pod };
    let client = hyper::upgrade::on(&mut request);
    let response = switching(&upgrade);
    let ports = ports.to_vec();
    shared.course.spawn(async move { forwards.run(client, &upgrade, &ports, permit).await });
    Ok(response)
}

/// `shop/web`, of a path that was read.
fn pod_of(path: &PathAndQuery) -> String {
    let mut parts = path.path().trim_matches('/').split('/').skip(3);
    let namespace = parts.next().unwrap_or_default();
    format!("{namespace}/{}", parts.nth(1).unwrap_or_default())
}

/// The ports of one pod, over one connection of the client.
struct Forwards {
    shared: Arc<Shared>,
    id: RequestId,
    began: Timestamp,
    path: PathAndQuery,
    pod: String,
}

impl Forwards {
    async fn run(self, client: OnUpgrade, upgrade: &Upgrade, ports: &[u16], _: Permit) {
        let shared = Arc::clone(&self.shared);
        let outcome = tokio::select! {
            biased;
            fault = shared.course.ended() => Err(fault),
            outcome = self.accept(client, upgrade, ports) => outcome,
        };
        let duration_us = shared.course.micros(self.began);
        let event = match outcome {
            Ok(count) => Event::Completed {
                id: self.id,
                tag: format!("{count} connections").into(),
                rows: 0,
                bytes: 0,
                duration_us,
            },
            Err(fault) => course::failed(self.id, &fault, duration_us),
        };
        if let Err(fault) = shared.course.host.note(event, Keep::IfStrict).await {
            shared.course.break_off(fault);
        }
    }

    async fn accept(&self, client: OnUpgrade, upgrade: &Upgrade, ports: &[u16]) -> Result<u64, Fault> {
        let client = client.await.map_err(|_| fault::client_stream("it hung up"))?;
        let (mut forwards, driver) = client_forwards(TokioIo::new(client), upgrade, ports);
        self.shared.course.spawn(async { drop(driver.await) });
        let mut count = 0;
        loop {
            match forwards.accept().await {
                Ok(Some(forward)) => {
                    count += 1;
                    let one = One {
                        shared: Arc::clone(&self.shared),
                        path: self.path.clone(),
                        pod: self.pod.clone(),
                    };
                    self.shared.course.spawn(one.run(forward));
                }
                Ok(None) => return Ok(count),
                Err(error) => return Err(fault::client_stream(&error.to_string())),
            }
        }
    }
}

/// How connections end, where nothing went wrong.
const CLOSED: &str = "closed";
const LEFT: &str = "closed, when the client left";

/// Why no more comes from a client.
enum Up {
    /// All is said.
    Said,
    /// It has gone, or broke the connection off.
    Left,
}

/// One connection.
struct One {
    shared: Arc<Shared>,
    path: PathAndQuery,
    pod: String,
}

impl One {
    async fn run(self, forward: Forward) {
        let Forward { port, from: mut from_client, to: mut to_client, .. } = forward;
        let course = &self.shared.course;
        course.host.touch();
        let id = course.next();
        let text = format!("{} port {port}", self.pod);
        let permit = match ask(&self.shared, id, Form::Forward, text.into(), &QUESTION).await {
            Ok(permit) => permit,
            Err(fault) => return close(to_client, Some(&fault)).await,
        };
        let began = course.host.now();
        let tally = Tally::new(id, Some(self.shared.settings.forward_bytes));
        let outcome = tokio::select! {
            biased;
            fault = course.ended() => Err(fault),
            outcome = self.relay(port, &permit, &tally, &mut from_client, &mut to_client) => outcome,
        };
        let duration_us = course.micros(began);
        let event = match &outcome {
            Ok(how) => {
                let tag = Bytes::from_static(how.as_bytes());
                Event::Completed { id, tag, rows: 0, bytes: tally.total(), duration_us }
            }
            Err(fault) => course::failed(id, fault, duration_us),
        };
        if let Err(fault) = course.host.note(event, Keep::IfStrict).await {
            course.break_off(fault);
        }
        close(to_client, outcome.as_ref().err()).await;
    }

    async fn relay(
        &self,
        port: u16,
        permit: &Permit,
        tally: &Tally,
        from_client: &mut FromForward,
        to_client: &mut ToForward,
    ) -> Result<&'static str, Fault> {
        let (io, agreed) = match self
            .shared
            .upstream
            .stream(&self.path, Wanted::PortForward, &self.shared.settings, permit)
            .await?
        {
            Streaming::Open(io, agreed) => (io, agreed),
            Streaming::Refused(refused) => {
                let what = format!("the cluster answers {}", refused.status());
                return Err(fault::cluster_stream(&what));
            }
        };
        let lost = |error: crate::streams::StreamError| fault::cluster_stream(&error.to_string());
        let (mut cluster, driver) = cluster_forwards(io, &agreed);
        self.shared.course.spawn(async { drop(driver.await) });
        let Forward { from: mut from_cluster, to: mut to_cluster, .. } =
            cluster.open(port).await.map_err(lost)?;
        let host = &self.shared.course.host;
        let up = async {
            loop {
                match from_client.next().await {
                    Ok(Some(data)) => {
                        host.touch();
                        if let Some(event) = tally.take(Direction::In, &data).event() {
                            host.note(event, Keep::IfStrict).await?;
                        }
                        if to_cluster.send(data).await.is_err() {
                            return Ok(Up::Said);
                        }
                    }
                    ended => {
                        // The pod may have something to say yet, and has to hear what came before.
                        let _ = to_cluster.end().await;
                        return Ok::<_, Fault>(if ended.is_ok() { Up::Said } else { Up::Left });
                    }
                }
            }
        };
        let down = async {
            loop {
                match from_cluster.next().await {
                    Ok(Some(data)) => self.show(tally, data, to_client).await?,
                    Ok(None) => break,
                    Err(error) => return Err(lost(error)),
                }
            }
            match from_cluster.failure().await {
                Ok(None) => Ok(CLOSED),
                Ok(Some(words)) => Err(fault::cluster_stream(&String::from_utf8_lossy(&words))),
                Err(error) => Err(lost(error)),
            }
        };
        // The pod's end is the end; the client's half-close is not. A client that has gone hears nothing more.
        tokio::pin!(up, down);
        let mut up_over = false;
        loop {
            tokio::select! {
                biased;
                outcome = &mut down => return outcome,
                outcome = &mut up, if !up_over => match outcome? {
                    Up::Said => up_over = true,
                    Up::Left => return Ok(LEFT),
                },
            }
        }
    }

    async fn show(&self, tally: &Tally, data: Bytes, to_client: &mut ToForward) -> Result<(), Fault> {
        let event = tally.take(Direction::Out, &data).event();
        let shown = self.shared.course.host.show(data, event).await?;
        let gone = |_| fault::client_stream("it closed the connection");
        to_client.send(shown.into_bytes()).await.map_err(gone)
    }
}

async fn close(to_client: ToForward, fault: Option<&Fault>) {
    let words = fault.map(|fault| Bytes::from(format!("{} ({})", fault.message, fault.code)));
    let _ = to_client.close(words).await;
}

//! `hoop kube credentials`: what each kubectl runs first. While the tunnel runs, `hoop-credentials` answers it alone.

use hoop_client::ClientError;
use hoop_model::ConnectionName;

use super::{folder, not_logged_in, start};
use crate::{failure::Result, output::Out};

pub(super) async fn credentials(name: &ConnectionName, out: &Out) -> Result {
    let tunnel = folder()?.tunnel(name);
    if tunnel.login()?.is_none() && tunnel.running()?.is_none() {
        return Err(not_logged_in(name).into());
    }
    let started = start::ensure(&tunnel, None).await?;
    if let Some(before) = started.moved_from {
        // Who asks has read the old port already.
        let now = started.running.port;
        let what =
            format!("another program has port {before}: the tunnel of {name} is on port {now} from now on");
        return Err(ClientError::own("HOOP-1071", what)
            .hint("the context says so already: run it again")
            .into());
    }
    let asked = std::env::var("KUBERNETES_EXEC_INFO").ok();
    let answer = started.running.credential.answer(asked.as_deref()).map_err(std::io::Error::other)?;
    Ok(out.line(answer.expose())?)
}

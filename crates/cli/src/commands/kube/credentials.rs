//! `hoop kube credentials`: what each kubectl runs first. While the tunnel runs, it reads two small files and is done.

use std::{ffi::OsString, process::ExitCode};

use hoop_client::{
    ClientError,
    kube::{KubeFolder, Running},
};
use hoop_model::ConnectionName;

use super::{folder, not_logged_in, start};
use crate::{
    failure::Result,
    output::{Format, Out},
};

/// Answers before anything else is set up, if this is what was asked for and the tunnel runs. In any other case the ordinary way
/// is taken, which also says what is wrong.
pub(crate) fn at_once(mut words: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let (_, kube, credentials, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if kube != "kube" || credentials != "credentials" || words.next().is_some() {
        return None;
    }
    let running = find(&folder().ok()?, name.to_str()?)?;
    print(&running, &Out::new(Format::Table)).ok()?;
    Some(ExitCode::SUCCESS)
}

fn find(folder: &KubeFolder, name: &str) -> Option<Running> {
    folder.tunnel(&ConnectionName::new(name).ok()?).running().ok()?
}

fn print(running: &Running, out: &Out) -> Result {
    let asked = std::env::var("KUBERNETES_EXEC_INFO").ok();
    let answer = running.credential.answer(asked.as_deref()).map_err(std::io::Error::other)?;
    Ok(out.line(answer.expose())?)
}

pub(super) async fn credentials(name: &ConnectionName, out: &Out) -> Result {
    let tunnel = folder()?.tunnel(name);
    if tunnel.login()?.is_none() {
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
    print(&started.running, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exactly_this_is_answered_at_once() {
        for line in [
            "hoop",
            "hoop kube",
            "hoop kube credentials",
            "hoop kube credentials k8s --help",
            "hoop kube credentials ../x",
            "hoop kube tunnel k8s",
            "hoop -o json kube credentials",
        ] {
            assert!(at_once(line.split(' ').map(OsString::from)).is_none(), "{line}");
        }
    }
}

//! The client of shells in pods: `sh` with a terminal, by the API server's `exec`.

use hoop_pod::{Input, Output, PodCommand, PodError};

use crate::{Pod, Said, ShellError, Size};

/// There is no other: what has none of this name has no shell here.
const SHELL: &str = "sh";

pub(crate) struct Keys(Input);

/// What the pod shows, until its end.
pub(crate) struct Shown(Option<Output>);

pub(crate) async fn open<S>(stream: S, pod: &Pod, size: Size) -> Result<(Keys, Shown), ShellError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let command = PodCommand {
        namespace: pod.namespace.as_str().to_owned(),
        pod: pod.name.as_str().to_owned(),
        container: pod.container.as_ref().map(|name| name.as_str().to_owned()),
        words: vec![SHELL.to_owned()],
        stdin: true,
        tty: true,
    };
    let (input, output) = hoop_pod::open(stream, &command).await.map_err(unopened)?;
    let mut keys = Keys(input);
    keys.resize(size).await?;
    Ok((keys, Shown(Some(output))))
}

fn unopened(error: PodError) -> ShellError {
    match error {
        PodError::Refused(refusal) => refusal.into(),
        _ => ShellError::Lost,
    }
}

impl Keys {
    pub(crate) async fn press(&mut self, keys: &[u8]) -> Result<(), ShellError> {
        self.0.stdin(keys).await.map_err(|_| ShellError::Lost)
    }

    pub(crate) async fn resize(&mut self, size: Size) -> Result<(), ShellError> {
        let size = hoop_pod::Size { width: size.columns, height: size.rows };
        self.0.resize(size).await.map_err(|_| ShellError::Lost)
    }

    pub(crate) async fn close(mut self) {
        self.0.close().await;
    }
}

impl Shown {
    pub(crate) async fn next(&mut self) -> Option<Said> {
        let said = self.0.as_mut()?.next().await;
        let last = match said {
            Ok(hoop_pod::Said::Stdout(data) | hoop_pod::Said::Stderr(data)) => {
                return Some(Said::Shown(data));
            }
            Ok(hoop_pod::Said::Exit(code)) => Some(Said::Exit(code.into())),
            Err(PodError::Refused(refusal)) => Some(Said::Stopped(refusal)),
            Err(_) => None,
        };
        self.0 = None;
        last
    }
}

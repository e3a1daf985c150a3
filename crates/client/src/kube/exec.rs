//! A command in a pod, and what to tell the person if it does not run to its end.

use hoop_model::{Blame, Fault};
pub use hoop_pod::{Ends, PodCommand, Size};
use hoop_pod::{PodError, Refusal};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Class, ClientError, Result};

/// Runs it to its end, and gives its exit code. Not cancel safe: whoever drops it leaves the command to the API server.
///
/// # Errors
/// What the API server says, or that the stream or an end broke.
pub async fn run<S, I, O, E>(stream: S, command: &PodCommand, ends: Ends<I, O, E>) -> Result<u8>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    hoop_pod::run(stream, command, ends).await.map_err(told)
}

fn told(error: PodError) -> ClientError {
    let text = error.to_string();
    match error {
        PodError::TooLong => ClientError::usage("HOOP-1015", text),
        PodError::Refused(refusal) => refused(&refusal),
        PodError::Broke(_) => ClientError::away("HOOP-1074", text)
            .hint("it may still run there; `hoop sessions ls` shows whether the session lives"),
        PodError::Local(..) => ClientError::own("HOOP-1016", text),
    }
}

/// What the API server, or the agent in its place, has against it.
fn refused(refusal: &Refusal) -> ClientError {
    let class = match refusal.http {
        Some(401 | 403 | 404) => Class::Denied,
        Some(400..=499) => Class::Usage,
        _ => Class::Away,
    };
    let error = ClientError { class, fault: Fault::new("HOOP-1073", Blame::Target, refusal.to_string()) };
    match (refusal.http, refusal.reason.as_str()) {
        (Some(400), _) if refusal.message.contains("container") => error.hint("name one with -c"),
        (Some(404), _) => error.hint("is it in another namespace? -n"),
        (Some(401), _) | (Some(403), "Forbidden") if !refusal.message.contains("HOOP-") => {
            error.hint("what the connection may do in the cluster, an admin decides there")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(http: u16, message: &str, reason: &str) -> ClientError {
        let (message, reason) = (message.to_owned(), reason.to_owned());
        told(PodError::Refused(Refusal { http: Some(http), message, reason }))
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let error = refusal(404, "pods \"x\" not found", "NotFound");
        assert_eq!(error.class, Class::Denied);
        assert_eq!(
            error.to_string(),
            "pods \"x\" not found [NotFound] (HOOP-1073)\nhint: is it in another namespace? -n"
        );
        assert_eq!(refusal(503, "x", "").class, Class::Away);
        assert!(refusal(400, "a container name must be specified", "").to_string().contains("-c"));
        let denied = refusal(403, "no rule allows exec (HOOP-2001)", "Forbidden");
        assert_eq!(denied.to_string(), "no rule allows exec (HOOP-2001) [Forbidden] (HOOP-1073)");
    }

    #[test]
    fn an_end_that_is_not_known_is_no_refusal() {
        let error = told(PodError::Broke("the stream broke off"));
        assert!(error.is("HOOP-1074"));
        assert!(
            error.to_string().contains("the command's end is not known: the stream broke off"),
            "{error}"
        );
    }
}

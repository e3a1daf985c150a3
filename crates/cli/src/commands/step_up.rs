//! `hoop step-up`, and the same question in the middle of any other command that needs a fresh second factor.

use std::{
    future::Future,
    io::{self, IsTerminal as _, Write as _},
    pin::Pin,
};

use hoop_api::auth::WhoAmI;
use hoop_client::{
    Api, ClientError,
    step_up::{BrowserStepUp, StepUp, by_code},
};
use hoop_model::AuthMethod;

use super::account::ago;
use crate::{
    args,
    failure::{Failure, Result},
    output::{Out, text},
    prompt,
};

/// Asks whoever sits there.
pub(super) struct AtTheTerminal;

impl StepUp for AtTheTerminal {
    fn is_possible(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn prove<'a>(
        &'a self,
        api: &'a Api,
    ) -> Pin<Box<dyn Future<Output = hoop_client::Result<()>> + Send + 'a>> {
        Box::pin(async move {
            // A spinner may stand there: the question begins on a clean line.
            tell("\r\u{1b}[2K");
            match ask(api, false).await {
                Ok(_) => Ok(()),
                Err(Failure::Error(error)) => Err(error),
                Err(_) => Err(ClientError::own("HOOP-1016", "the terminal is gone")),
            }
        })
    }
}

fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// By code, or in the browser for those whose second factor is elsewhere.
pub(super) async fn ask(api: &Api, browser: bool) -> Result<WhoAmI> {
    let me = api.whoami().await?;
    if browser || matches!(me.method, AuthMethod::Oidc | AuthMethod::Passkey) {
        return in_browser(api).await;
    }
    let code = prompt::secret("This needs your second factor. Code:")?;
    Ok(by_code(api, &code).await?)
}

async fn in_browser(api: &Api) -> Result<WhoAmI> {
    let started = BrowserStepUp::start(api).await?;
    let url = started.url().to_owned();
    let opened = io::stderr().is_terminal() && webbrowser::open(&url).is_ok();
    let how = if opened { "Your browser was opened. If it was not, open:" } else { "Open in a browser:" };
    let code = text::line(started.code());
    let page = text::line(&url);
    tell(&format!("This needs your second factor. {how}\n  {page}\nIt must show the code {code}.\n"));
    started.wait(api).await?;
    Ok(api.whoami().await?)
}

pub(super) async fn step_up(args: &args::StepUp, out: &Out) -> Result {
    let me = ask(&super::api()?, args.browser).await?;
    out.data(&super::account::identity(&me), |_| {
        let since = me.mfa_at.map_or_else(String::new, |at| format!(", {} ago", ago(at)));
        format!("Second factor proven{since}.")
    })?;
    Ok(())
}

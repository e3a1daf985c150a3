//! `hoop login`.

use std::io::IsTerminal as _;

use hoop_api::auth::Tokens;
use hoop_client::{
    Api, ClientError, GatewayUrl, Profile, ProfileStore,
    login::{self, BrowserLogin, DeviceLogin, PasswordAndCode},
};
use hoop_model::UserName;

use super::account;
use crate::{
    args::Login,
    failure::Result,
    output::{Look, Out, text},
    prompt,
};

pub(super) async fn login(args: Login, out: &Out) -> Result {
    let store = ProfileStore::from_environment()?;
    // A damaged or exposed profile is no obstacle to a new one: it is replaced.
    let before = store.load().ok().flatten();
    let gateway = gateway(&args, before.as_ref())?;
    let ca_pem = ca(&args, &gateway, before.as_ref()).await?;
    let api = Api::anonymous(gateway.clone(), ca_pem.as_deref())?;
    let tokens = if args.password {
        by_password(&args, &api, before.as_ref(), out).await?
    } else if args.sealed_codes {
        by_sealed_codes(&args, &api, before.as_ref(), out).await?
    } else if args.device {
        by_device(&api, out).await?
    } else {
        by_browser(&args, &api, out).await?
    };
    login::keep(&store, &gateway, ca_pem, &tokens)?;
    let next =
        if args.sealed_codes { "hoop break-glass NAME --reason ... --incident ..." } else { "hoop ls" };
    out.data(&account::identity(&tokens.user), |_| {
        let name = out.look(Look::Bold, &text::line(tokens.user.name.as_str()));
        format!("Signed in at {gateway} as {name}. Next: {next}")
    })?;
    Ok(())
}

fn gateway(args: &Login, before: Option<&Profile>) -> Result<GatewayUrl> {
    let url = args.url.as_deref().or_else(|| before.map(|profile| profile.gateway.as_str()));
    let url = url.ok_or_else(|| {
        ClientError::usage("HOOP-1005", "which gateway?").hint("hoop login https://hoop.example.org")
    })?;
    Ok(GatewayUrl::parse(url)?)
}

async fn ca(args: &Login, gateway: &GatewayUrl, before: Option<&Profile>) -> Result<Option<String>> {
    if let Some(file) = &args.ca {
        return Ok(Some(login::pin_from_file(file)?));
    }
    if let Some(fingerprint) = &args.ca_fingerprint {
        return Ok(Some(login::fetch_pinned_ca(gateway, fingerprint.parse()?).await?));
    }
    Ok(before
        .filter(|profile| profile.gateway == gateway.to_string())
        .and_then(|profile| profile.ca_pem.clone()))
}

async fn by_password(args: &Login, api: &Api, before: Option<&Profile>, out: &Out) -> Result<Tokens> {
    let name = name(args, before)?;
    let password = prompt::secret("Password:")?;
    let code = prompt::secret("Code of the second factor:")?;
    let secret = PasswordAndCode { name, password, code };
    Ok(out.waiting("Signing in", login::with_password(api, &secret)).await?)
}

async fn by_sealed_codes(args: &Login, api: &Api, before: Option<&Profile>, out: &Out) -> Result<Tokens> {
    let name = name(args, before)?;
    let mut codes = Vec::new();
    loop {
        let code = prompt::secret(&format!("Code of holder {} (empty: that is all):", codes.len() + 1))?;
        if code.expose().trim().is_empty() {
            break;
        }
        codes.push(code);
    }
    Ok(out.waiting("Signing in", login::with_sealed_codes(api, &name, &codes)).await?)
}

fn name(args: &Login, before: Option<&Profile>) -> Result<UserName> {
    match &args.user {
        Some(name) => Ok(name.clone()),
        None => ask_name(before.and_then(|profile| profile.user.as_deref())),
    }
}

fn ask_name(before: Option<&str>) -> Result<UserName> {
    let text = prompt::text("Name:", before)?;
    Ok(UserName::new(text.trim()).map_err(|error| ClientError::usage("HOOP-1015", error.to_string()))?)
}

async fn by_device(api: &Api, out: &Out) -> Result<Tokens> {
    let started = DeviceLogin::start(api).await?;
    let prompt = started.prompt();
    out.note(format!("Open  {}", text::line(&prompt.page)));
    out.note(format!("Type  {}", out.look(Look::Bold, &text::line(&prompt.code))));
    out.note(format!("The code is good for {} minutes.", prompt.expires_in.as_secs() / 60));
    Ok(out.waiting("Waiting for the approval", started.wait(api)).await?)
}

async fn by_browser(args: &Login, api: &Api, out: &Out) -> Result<Tokens> {
    let started = BrowserLogin::start(api).await?;
    let url = started.url().to_owned();
    let opened = !args.no_browser && std::io::stderr().is_terminal() && webbrowser::open(&url).is_ok();
    if opened {
        out.note(format!("Your browser was opened. If it was not, open:\n  {url}"));
    } else {
        out.note(format!("Open in a browser on this machine (elsewhere: hoop login --device):\n  {url}"));
    }
    Ok(out.waiting("Waiting for the browser", started.wait(api)).await?)
}

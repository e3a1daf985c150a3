//! The token of a service account, from the environment: programs have no profile, and get none.

use std::{ffi::OsString, path::Path};

use hoop_api::services::TOKEN_PREFIX;
use hoop_client::{Api, ClientError, GatewayUrl, ProfileStore};
use hoop_model::Redacted;

use super::file;
use crate::failure::Result;

const TOKEN: &str = "HOOP_TOKEN";
const TOKEN_FILE: &str = "HOOP_TOKEN_FILE";

/// The gateway, asked as a service account; `None` if the environment has no token.
pub(super) fn api() -> Result<Option<Api>> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let Some(token) = token(variable)? else { return Ok(None) };
    let profile = || ProfileStore::from_environment().and_then(|store| store.load());
    // The gateway of somebody's profile serves as well, with the CA that they trust for it; their sign-in is left alone.
    let (gateway, ca) = match variable("HOOP_GATEWAY").map(OsString::into_string) {
        Some(Ok(gateway)) => (gateway, None),
        Some(Err(_)) => {
            return Err(ClientError::usage("HOOP-1005", "HOOP_GATEWAY holds no address").into());
        }
        None => {
            let known = profile()?.ok_or_else(|| {
                ClientError::usage("HOOP-1005", "there is a token, and no gateway to show it to")
                    .hint("set HOOP_GATEWAY=https://...")
            })?;
            (known.gateway, known.ca_pem)
        }
    };
    let ca = match variable("HOOP_CA") {
        Some(path) => Some(file::read_text(Path::new(&path))?),
        None => ca,
    };
    Ok(Some(Api::with_token(GatewayUrl::parse(&gateway)?, ca.as_deref(), token)?))
}

fn token(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Redacted<String>>> {
    let (name, text) = match (variable(TOKEN), variable(TOKEN_FILE)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let error = ClientError::usage("HOOP-1015", "HOOP_TOKEN and HOOP_TOKEN_FILE are both set");
            return Err(error.hint("leave one of them").into());
        }
        (Some(text), None) => (TOKEN, Redacted::new(text.into_string().unwrap_or_default())),
        (None, Some(path)) => (TOKEN_FILE, Redacted::new(file::read_text(Path::new(&path))?)),
    };
    let text = Redacted::new(text.expose().trim().to_owned());
    let right = text.expose().starts_with(TOKEN_PREFIX)
        && text.expose().bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'));
    if !right {
        let error = ClientError::usage("HOOP-1025", format!("{name} holds no API token"));
        return Err(error
            .hint("it begins with hoop_sa_; an admin makes one: `hoop admin tokens add`")
            .into());
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn read(set: &[(&str, &str)]) -> Result<Option<Redacted<String>>> {
        token(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn a_token_comes_from_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hoop_sa_abc-_1\n").unwrap();
        let path = path.display().to_string();
        assert_eq!(read(&[]).unwrap(), None);
        for set in [(TOKEN, "hoop_sa_abc-_1"), (TOKEN_FILE, path.as_str())] {
            assert_eq!(read(&[set]).unwrap().unwrap().expose(), "hoop_sa_abc-_1");
        }
        assert!(read(&[(TOKEN, "hoop_sa_abc"), (TOKEN_FILE, &path)]).is_err());
    }

    #[test]
    fn what_is_no_api_token_is_refused_and_not_shown() {
        for wrong in [
            "canary",
            "hoop_at_canary",
            "Bearer hoop_sa_canary",
            "hoop_sa_canary\r\nx: y",
            "hoop_sa_canary ü",
        ] {
            let failure = read(&[(TOKEN, wrong)]).unwrap_err();
            let Failure::Error(error) = failure else { panic!() };
            assert!(error.is("HOOP-1025") && !format!("{error:?}").contains("canary"), "{error:?}");
        }
        assert!(read(&[(TOKEN_FILE, "/nowhere/at-all")]).is_err());
    }
}

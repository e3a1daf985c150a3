//! `hoop policy init`: profiles that come with the program.

use std::path::Path;

use hoop_client::ClientError;
use serde_json::json;

use super::file;
use crate::{
    args::{InitPolicy, Profile},
    failure::Result,
    output::{Out, text},
};

/// Its files: those of `profiles/` in the sources.
const fn files(profile: Profile) -> [(&'static str, &'static str); 3] {
    match profile {
        Profile::Hipaa => [
            ("rules.yaml", include_str!("../../../../../profiles/hipaa/rules.yaml")),
            ("rules.test.yaml", include_str!("../../../../../profiles/hipaa/rules.test.yaml")),
            ("gateway.toml", include_str!("../../../../../profiles/hipaa/gateway.toml")),
        ],
    }
}

pub(super) fn run(args: &InitPolicy, out: &Out) -> Result {
    let unusable = |path: &Path, error: &dyn std::fmt::Display| {
        ClientError::usage("HOOP-1016", format!("{} cannot be written: {error}", path.display()))
    };
    std::fs::create_dir_all(&args.folder).map_err(|error| unusable(&args.folder, &error))?;
    let files = files(args.profile).map(|(name, text)| (args.folder.join(name), text));
    if let Some((there, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(unusable(there, &"it is there already").into());
    }
    files.iter().try_for_each(|(path, text)| file::keep(path, text))?;
    let paths = files.map(|(path, _)| text::line(&path.display().to_string()).into_owned());
    out.data(&json!({ "files": paths }), |_| {
        format!(
            "{}\nTry them: hoop policy test {}",
            paths.join("\n"),
            text::line(&args.folder.display().to_string())
        )
    })?;
    Ok(())
}

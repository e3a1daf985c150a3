//! `hoop admin keys`, and `hoop audit keygen`.

use std::path::Path;

use hoop_api::recording_keys::{RecordingKeyView, RecordingKeys};
use hoop_client::{Api, ClientError};
use hoop_recording::RecordingPrivateKey;
use serde_json::json;

use super::file;
use crate::{
    args::{Keygen, RecordingKeysCommand},
    failure::Result,
    output::{Look, Out, Table, text},
};

pub(super) async fn run(command: RecordingKeysCommand, api: &Api, out: &Out) -> Result {
    match command {
        RecordingKeysCommand::Ls(_) => {
            let keys = out.waiting("Asking the gateway", api.recording_keys()).await?;
            out.data(&keys, |keys| format!("{}\n{}", table(&keys.keys), standing(keys, out)))?;
        }
        RecordingKeysCommand::Rotate(_) => {
            let key = out.waiting("Rotating", api.rotate_recording_key()).await?;
            out.data(&key, |key| {
                format!(
                    "New recordings are made for key {}. Keep the older ones: recordings need them.",
                    text::line(&key.id)
                )
            })?;
        }
    }
    Ok(())
}

fn table(keys: &[RecordingKeyView]) -> String {
    let mut table = Table::new(["KEY", "STATE", "KEPT BY", "PLACE", "OPENS HERE", "RECORDINGS"]);
    for key in keys {
        let state = key.retired_at.map_or_else(|| "in force".to_owned(), |at| format!("retired {at}"));
        table.row([
            &key.id,
            &state,
            &key.keeper,
            if key.place.is_empty() { "-" } else { &key.place },
            if key.opens_here { "yes" } else { "no" },
            &key.recordings.to_string(),
        ]);
    }
    table.render()
}

fn standing(keys: &RecordingKeys, out: &Out) -> String {
    let (look, what) = match keys.state.as_str() {
        "good" => (Look::Green, "Recordings can be opened here."),
        "elsewhere" => (Look::Yellow, "By design."),
        "other_key" => (Look::Red, "The keeper names another key."),
        _ => (Look::Red, "The keeper does not answer; recording goes on."),
    };
    let told = keys.told.as_deref().map(|told| format!(" ({})", text::line(told))).unwrap_or_default();
    format!("{}{told}", out.look(look, what))
}

/// Makes an auditor's pair of keys: the private half is for the auditor alone.
pub(super) fn keygen(args: &Keygen, out: &Out) -> Result {
    let public = args.public.clone().unwrap_or_else(|| args.out.with_extension("pub.pem"));
    if public == args.out || public.exists() {
        let what = format!("{} is there already", public.display());
        return Err(ClientError::usage("HOOP-1016", what).hint("name another file with --public").into());
    }
    let key = RecordingPrivateKey::generate()
        .map_err(|error| ClientError::own("HOOP-1018", format!("no key could be made: {error}")))?;
    file::keep_secret(&args.out, key.to_pem().expose())?;
    file::keep(&public, &key.public().to_pem())?;
    let made = json!({ "key": key.public().id(), "private": shown(&args.out), "public": shown(&public) });
    out.data(&made, |_| {
        format!(
            "Key {}\n{}  the private half: keep it, and a copy of it, where nobody else comes\n\
             {}  the public half: for the gateway's keys.recording_public_file",
            key.public().id(),
            shown(&args.out),
            shown(&public)
        )
    })?;
    Ok(())
}

fn shown(path: &Path) -> String {
    text::line(&path.display().to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_pair_of_keys_is_made_once_and_the_private_half_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let args = |name: &str| Keygen::for_test(folder.path().join(name));
        keygen(&args("auditor.pem"), &Out::plain()).unwrap();
        let private = folder.path().join("auditor.pem");
        assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        let key = RecordingPrivateKey::from_pem(&std::fs::read_to_string(&private).unwrap()).unwrap();
        let public = std::fs::read_to_string(folder.path().join("auditor.pub.pem")).unwrap();
        assert_eq!(hoop_recording::RecordingPublicKey::from_pem(&public).unwrap().id(), key.public().id());
        assert!(!public.contains("PRIVATE"));
        // Nothing is written over.
        assert_eq!(keygen(&args("auditor.pem"), &Out::plain()).unwrap_err().code(), 2);
        std::fs::remove_file(folder.path().join("auditor.pub.pem")).unwrap();
        assert_eq!(keygen(&args("auditor.pem"), &Out::plain()).unwrap_err().code(), 2);
        assert_eq!(std::fs::read_to_string(&private).unwrap(), *key.to_pem().expose());
    }
}

//! The organisation's recording keys over the API: looked at, and rotated.

use axum::extract::State;
use hoop_api::recording_keys::{RecordingKeyView, RecordingKeys};
use hoop_store::RecordingKey;

use super::{
    body::Json,
    caller::{Admin, Evidence},
    problem::{Answer, Problematic},
    table::{Endpoint, Who},
};
use crate::{
    hub::{Hub, Shared},
    keys::RecordingKeyState as KeyState,
};

/// The rows of the table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/recording-keys", Who::Evidence, "Recording keys, and what needs them.", list)
            .answers::<RecordingKeys>(),
        Endpoint::post("/recording-keys/rotate", Who::Admin, "Puts the next recording key in force.", rotate)
            .answers::<RecordingKeyView>()
            .fresh(),
    ]
}

/// `GET /recording-keys`.
async fn list(State(hub): State<Shared>, _: Evidence) -> Answer<Json<RecordingKeys>> {
    let recording = &hub.keys.recording;
    recording.look(&hub.store).await?;
    let keys = hub.store.recording_keys().await?;
    let (state, told) = match recording.state() {
        KeyState::Good => ("good", None),
        KeyState::Elsewhere => {
            ("elsewhere", Some("this gateway cannot open recordings: the auditor has the key".to_owned()))
        }
        KeyState::Other(id) => (
            "other_key",
            Some(format!("the keeper names key {id}, which is not used; if it is right, rotate")),
        ),
        KeyState::Away(why) => ("away", Some(why)),
    };
    Ok(Json(RecordingKeys {
        keeper: recording.keeper().to_owned(),
        state: state.to_owned(),
        told,
        keys: keys.into_iter().map(|key| view(&hub, key)).collect(),
    }))
}

fn view(hub: &Hub, key: RecordingKey) -> RecordingKeyView {
    RecordingKeyView {
        opens_here: hub.keys.recording.opens(&key),
        id: key.id.to_string(),
        in_force: key.retired_at.is_none(),
        keeper: key.keeper,
        place: key.place,
        recordings: key.recordings,
        added_at: key.added_at,
        retired_at: key.retired_at,
        public_pem: key.public_pem,
    }
}

/// `POST /recording-keys/rotate`. Sessions that run go on with the key that they began with.
async fn rotate(State(hub): State<Shared>, Admin(caller): Admin) -> Answer<Json<RecordingKeyView>> {
    let id = hub.keys.recording.rotate(&hub.store, &caller.actor).await?;
    let key = hub
        .store
        .recording_key(id)
        .await?
        .ok_or_else(|| Problematic::internal("a key that was just made"))?;
    Ok(Json(view(&hub, key)))
}

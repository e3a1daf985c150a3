//! The organisation's recording key: which is in force, and how a recording is opened.
//!
//! The store says what is in force, since its public half was first seen there: recording needs that alone, so a key
//! service that is away stops reading and not recording. A keeper that suddenly names another key is not believed:
//! recordings for a key that somebody slipped in could be read by them, and by nobody else. Only a rotation changes it.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hoop_ledger::event::EventCode;
use hoop_model::Actor;
use hoop_recording::{Header, KeyId, OpenedKey, RecordingPublicKey};
use hoop_store::{Conflict, NewEvent, NewRecordingKey, RecordingKey, Store, StoreError};
use serde_json::json;

use super::{
    KeysError,
    keeper::{Keeper, KeeperError, Named},
};
use crate::{
    config::recording_keys::RecordingKeys as Config,
    http::problem::Problematic,
    hub::{Shared, event, now},
};

/// How often the keeper is asked which key it names.
const LOOK: Duration = Duration::from_secs(300);

/// How the keeper stands to what is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It names the key in force.
    Good,
    /// Nothing is opened here, by design.
    Elsewhere,
    /// It names another key, which is not used.
    Other(KeyId),
    /// It cannot be asked: why.
    Away(String),
}

/// The recording key and its keeper.
#[derive(Debug)]
pub(crate) struct RecordingKeys {
    keeper: Keeper,
    state: Mutex<State>,
}

impl RecordingKeys {
    /// # Errors
    /// When the settings cannot be used.
    pub(super) fn new(config: &Config) -> Result<Self, KeysError> {
        Ok(Self { keeper: Keeper::new(config)?, state: Mutex::new(State::Good) })
    }

    /// As the configuration calls it.
    pub(crate) const fn keeper(&self) -> &'static str {
        self.keeper.word()
    }

    /// How the keeper stood when it was last asked.
    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key that new recordings are made for.
    pub(crate) async fn in_force(&self, store: &Store) -> Result<RecordingPublicKey, StoreError> {
        let key = store.recording_key_in_force().await?.ok_or(StoreError::NotFound("recording key"))?;
        let public = RecordingPublicKey::from_pem(&key.public_pem);
        let public = public.map_err(|_| StoreError::Corrupt("the recording key in force".to_owned()))?;
        // Whoever changed one of the two in the database has not changed the other.
        if public.id() == key.id {
            Ok(public)
        } else {
            Err(StoreError::Corrupt("the recording key in force".to_owned()))
        }
    }

    /// Opens the data key of a recording.
    pub(crate) async fn open(&self, store: &Store, header: &Header) -> Result<OpenedKey, Problematic> {
        let key = store.recording_key(header.key_id).await?;
        self.keeper.open(key.as_ref(), header).await.map_err(|error| {
            if !matches!(error, KeeperError::Elsewhere) {
                tracing::warn!(%error, key = %header.key_id, "a recording cannot be opened");
            }
            error.to_fault().into()
        })
    }

    /// Whether anything at all can be opened here.
    ///
    /// # Errors
    /// When the private half is elsewhere.
    pub(crate) fn can_open(&self) -> Result<(), Problematic> {
        match self.keeper {
            Keeper::Public(_) => Err(KeeperError::Elsewhere.to_fault().into()),
            Keeper::File(_) | Keeper::Vault(..) | Keeper::Kms(..) => Ok(()),
        }
    }

    /// Can recordings for this key be opened here, as far as is known without asking?
    pub(crate) fn opens(&self, key: &RecordingKey) -> bool {
        self.keeper.opens(key)
    }

    /// At the start: takes the first key that there ever was; afterwards looks whether the keeper still names it.
    pub(crate) async fn prepare(&self, store: &Store) -> Result<(), KeysError> {
        if store.recording_key_in_force().await?.is_none() {
            let named = self.keeper.named(None).await;
            let named = named.map_err(|error| KeysError::RecordingKey(error.to_string()))?;
            let told = self.told(EventCode::RecordingKeyAdded, &Actor::System, &named, None);
            match store.put_recording_key(&self.new_key(&named), None, &[told]).await {
                // Another gateway was faster.
                Ok(()) | Err(StoreError::Conflict(Conflict::Changed)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.look(store).await?)
    }

    /// Asks the keeper which key it names, and says so where that is news.
    pub(crate) async fn look(&self, store: &Store) -> Result<(), StoreError> {
        let Some(in_force) = store.recording_key_in_force().await? else { return Ok(()) };
        let state = match self.keeper.named(Some(in_force.id)).await {
            Ok(named) if named.public.id() != in_force.id => {
                self.other(store, &in_force, &named).await?;
                State::Other(named.public.id())
            }
            Ok(named) => {
                self.moved(store, &in_force, &named).await?;
                if matches!(self.keeper, Keeper::Public(_)) { State::Elsewhere } else { State::Good }
            }
            Err(error) => {
                let state = State::Away(error.to_string());
                if self.state() != state {
                    tracing::warn!(%error, "recordings cannot be opened for now; recording goes on");
                }
                state
            }
        };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    /// The same key, kept by somebody else from now on: it was handed over.
    async fn moved(&self, store: &Store, in_force: &RecordingKey, named: &Named) -> Result<(), StoreError> {
        if in_force.keeper == self.keeper() && in_force.place == named.place {
            return Ok(());
        }
        let told = self.told(EventCode::RecordingKeyMoved, &Actor::System, named, Some(in_force));
        match store.put_recording_key(&self.new_key(named), Some(in_force.id), &[told]).await {
            Err(StoreError::Conflict(Conflict::Changed)) => Ok(()),
            other => other,
        }
    }

    async fn other(&self, store: &Store, in_force: &RecordingKey, named: &Named) -> Result<(), StoreError> {
        if self.state() == State::Other(named.public.id()) {
            return Ok(());
        }
        tracing::error!(
            in_force = %in_force.id, named = %named.public.id(),
            "the keeper of the recording key names another key, which is not used; if it is right: hoop admin keys rotate"
        );
        let told = self.told(EventCode::RecordingKeyRefused, &Actor::System, named, Some(in_force));
        store.append(&[told]).await.map(|_| ())
    }

    /// Puts the next key in force; its id.
    pub(crate) async fn rotate(&self, store: &Store, actor: &Actor) -> Result<KeyId, Problematic> {
        let before = store.recording_key_in_force().await?.ok_or(StoreError::NotFound("recording key"))?;
        let next = self.keeper.next(Some(before.id)).await;
        let next = next.map_err(|error| Problematic::from(error.to_fault()))?;
        let told = self.told(EventCode::RecordingKeyRotated, actor, &next, Some(&before));
        store.put_recording_key(&self.new_key(&next), Some(before.id), &[told]).await?;
        let good = if matches!(self.keeper, Keeper::Public(_)) { State::Elsewhere } else { State::Good };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = good;
        tracing::info!(key = %next.public.id(), "the recording key was rotated");
        Ok(next.public.id())
    }

    fn new_key(&self, named: &Named) -> NewRecordingKey {
        NewRecordingKey {
            id: named.public.id(),
            keeper: self.keeper().to_owned(),
            place: named.place.clone(),
            public_pem: named.public.to_pem(),
            at: now(),
        }
    }

    fn told(&self, code: EventCode, actor: &Actor, named: &Named, before: Option<&RecordingKey>) -> NewEvent {
        let facts = json!({
            "key": named.public.id(), "keeper": self.keeper(), "place": named.place,
            "in_force": before.map(|key| key.id), "kept_before": before.map(|key| &key.keeper),
        });
        event(actor, code, [], facts)
    }
}

/// Looks now and then, until the gateway stops.
pub(crate) async fn watch(hub: Shared) {
    loop {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Err(error) = hub.keys.recording.look(&hub.store).await {
            tracing::error!(%error, "the recording key cannot be looked at");
        }
    }
}

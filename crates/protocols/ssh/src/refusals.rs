//! Channels that a side wants to open and does not get. The recording says so, for a host that tries what it was not granted is
//! not what it was; once for each kind of channel, for it may try without end.

use std::{collections::BTreeSet, sync::Mutex};

use hoop_engine::{
    Event,
    hosted::{Host, Keep},
};
use hoop_model::Fault;
use hoop_recording::event::Said;

use crate::locked;

/// Nobody granted it, or it is none that there is.
pub(crate) const NOT_GRANTED: &str = "it was not granted";
/// Another one might have been opened.
pub(crate) const TOO_MANY: &str = "there are too many";

/// What one connection was refused, from one side of it. Kinds and reasons are words of ours, so they are few.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeSet<(&'static str, &'static str)>>);

impl Refusals {
    /// `side` wanted a channel of this kind: told the first time.
    ///
    /// # Errors
    /// When the recording is broken.
    pub(crate) async fn tell(
        &self,
        host: &Host,
        side: &str,
        kind: &'static str,
        why: &'static str,
    ) -> Result<(), Fault> {
        if !locked(&self.0).insert((kind, why)) {
            return Ok(());
        }
        let text = format!("{side} wanted to open a channel ({kind}), and was refused: {why}");
        host.note(Event::Said { kind: Said::Notice, text: text.into() }, Keep::First).await
    }
}

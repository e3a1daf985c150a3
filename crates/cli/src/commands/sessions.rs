//! To be written.
use crate::{args::Sessions, failure::Result, output::Out};
pub(super) async fn run(_command: Sessions, _out: &Out) -> Result {
    Ok(())
}
pub(super) fn table(_: &[hoop_api::sessions::SessionView]) -> String {
    String::new()
}

//! To be written.
use crate::{args::Audit, failure::Result, output::Out};
pub(super) async fn run(_command: Audit, _out: &Out) -> Result {
    Ok(())
}

//! To be written.
use crate::{args::Admin, failure::Result, output::Out};
pub(super) async fn run(_command: Admin, _out: &Out) -> Result {
    Ok(())
}

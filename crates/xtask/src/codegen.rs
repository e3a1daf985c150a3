//! Makes Rust from the protobuf contract. The result is committed: an ordinary build needs no generator.

use anyhow::{Context, Result};

use crate::shell;

/// Writes `crates/control/src/generated/hoop.control.v1.rs`.
pub(crate) fn run() -> Result<()> {
    let root = shell::root()?.join("crates/control");
    let descriptors =
        protox::compile(["hoop_control_v1.proto"], [root.join("proto")]).context("reading the contract")?;
    let out = root.join("src/generated");
    std::fs::create_dir_all(&out)?;
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug([
            "hoop.control.v1.EnrolRequest",
            "hoop.control.v1.Welcome",
            "hoop.control.v1.OpenSession",
        ])
        .out_dir(&out)
        .compile_fds(descriptors)
        .context("generating")?;
    Ok(())
}

//! Everything a developer runs, as `cargo xtask …`.
#[cfg(feature = "codegen")]
mod codegen;

fn main() -> anyhow::Result<()> {
    #[cfg(feature = "codegen")]
    codegen::run()?;
    Ok(())
}

//! `--statement`: one statement, by its exact text.

use clap::Args;

/// What `hoop request` and `hoop connect` take.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OneStatement {
    /// For this statement alone, once, exactly as written; `@FILE` takes it from a file, `@-` from stdin
    #[arg(long, value_name = "TEXT")]
    pub(crate) statement: Option<String>,
    /// Run it in this database; in the connection's own if left out
    #[arg(long, value_name = "NAME", requires = "statement")]
    pub(crate) database: Option<String>,
}

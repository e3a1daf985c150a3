//! What the daemons leave of themselves: logs, metrics, and no core dumps. One call each at start-up.
//!
//! Knows nothing of what is logged or counted. Logs go to standard error; metrics are rendered on demand by whoever
//! holds the [`Metrics`] handle (there is no listener here).

use std::{fmt, io::IsTerminal as _, str::FromStr, sync::OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = SetUpError;
    fn from_str(text: &str) -> Result<Self, SetUpError> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(SetUpError::Format(text.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        })
    }
}

/// Why logs or metrics cannot be set up. Always the operator's configuration, or a second set-up in one process.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// Not a format.
    #[error("`{0}` is not a log format: use `pretty` or `json`")]
    Format(String),
    /// Not a filter.
    #[error("`{filter}` is not a log filter: {reason}; write a level (`info`) or `target=level` pairs")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody was faster.
    #[error("logs or metrics are set up already in this process")]
    Twice,
}

/// Keeps what is in memory off the disk when the process crashes, and out of the hands of other processes of the same user:
/// keys and credentials are in clear there. Handlers of core dumps that are programs of their own get none either.
///
/// # Errors
/// The kernel's: then the process should not go on.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Checks a filter such as `info` or `hoop_gateway=debug,info` without installing it.
///
/// # Errors
/// When it is not a filter.
pub fn check_filter(filter: &str) -> Result<(), SetUpError> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, SetUpError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| SetUpError::Filter { filter: filter.to_owned(), reason: error.to_string() })
}

/// Starts logging to standard error. `RUST_LOG`, when set, wins over `filter`.
///
/// # Errors
/// When the filter is wrong, or logging was started already.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<(), SetUpError> {
    let given = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    // The SSH library warns with words of its peers in them. Who names it in a filter hears it.
    let filter = format!("russh=off,{filter}");
    let filter = parse_filter(given.as_deref().unwrap_or(&filter))?;
    let registry = tracing_subscriber::registry().with(filter);
    let mut layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Colours (which `NO_COLOR` takes away, too) are for eyes: in a file or a container's log they are noise.
    if !std::io::stderr().is_terminal() {
        layer.set_ansi(false);
    }
    let started = match format {
        LogFormat::Pretty => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_span_list(false)).try_init(),
    };
    started.map_err(|_| SetUpError::Twice)
}

/// Renders what was counted.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds histogram samples; to be called now and then so that memory stays bounded.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Histogram bounds in seconds: from a loopback hop to a slow disk.
const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Installs the process-wide recorder; later calls give the same one.
///
/// # Errors
/// When another recorder was installed by someone else.
pub fn start_metrics() -> Result<Metrics, SetUpError> {
    static INSTALLED: OnceLock<Option<Metrics>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let builder =
            builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS).ok()?;
        builder.install_recorder().ok().map(Metrics)
    });
    installed.clone().ok_or(SetUpError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_filters_are_checked() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("pretty"));
        assert!(check_filter("hoop_gateway=debug,info").is_ok());
        assert!(check_filter("hoop=loud").is_err());
    }

    #[test]
    fn what_is_counted_is_rendered_and_a_second_start_gives_the_same() {
        let first = start_metrics().unwrap();
        let second = start_metrics().unwrap();
        metrics::counter!("hoop_test_total", "reason" => "a test").increment(2);
        metrics::histogram!("hoop_test_seconds").record(0.003);
        for text in [first.render(), second.render()] {
            assert!(text.contains("hoop_test_total{reason=\"a test\"} 2"), "{text}");
            assert!(text.contains("hoop_test_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        }
    }
}

//! How much waits for the store of objects, and since when it has taken nothing. Beyond a limit no more is taken in.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::config::S3;

/// What waits.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Bytes, and time; `None`: nothing ever waits.
    limits: Option<(u64, Duration)>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Waiting {
    bytes: u64,
    /// Something waits since, and nothing has been taken.
    since: Option<Instant>,
}

impl Backlog {
    pub(super) fn new(config: Option<&S3>) -> Self {
        Self { limits: config.map(|s3| (s3.behind_bytes, s3.behind)), waiting: Mutex::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// So much waits now.
    pub(super) fn measured(&self, bytes: u64) {
        self.with(|waiting| {
            waiting.bytes = bytes;
            waiting.since = (bytes > 0).then(|| waiting.since.unwrap_or_else(Instant::now));
        });
        metrics::gauge!("hoop_recordings_waiting_bytes")
            .set(u32::try_from(bytes >> 10).map_or(f64::MAX, f64::from) * 1024.0);
    }

    /// The store took something.
    pub(super) fn moved(&self) {
        self.with(|waiting| waiting.since = waiting.since.map(|_| Instant::now()));
    }

    /// Why no more may be taken in; `None`: it may.
    pub(crate) fn too_much(&self) -> Option<String> {
        let (most, longest) = self.limits?;
        let Waiting { bytes, since } = self.with(|waiting| *waiting);
        let stuck = since.map_or(Duration::ZERO, |since| since.elapsed());
        if bytes > most {
            return Some(format!("{bytes} bytes of recordings wait for the object store"));
        }
        (stuck > longest).then(|| format!("the object store has taken nothing for {} s", stuck.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(bytes: u64, longest: Duration) -> Backlog {
        Backlog { limits: Some((bytes, longest)), waiting: Mutex::default() }
    }

    #[test]
    fn a_folder_alone_has_none() {
        let backlog = Backlog { limits: None, waiting: Mutex::default() };
        backlog.measured(u64::MAX);
        assert_eq!(backlog.too_much(), None);
    }

    #[test]
    fn too_many_bytes_are_too_much_until_they_are_gone() {
        let backlog = backlog(100, Duration::MAX);
        backlog.measured(100);
        assert_eq!(backlog.too_much(), None);
        backlog.measured(101);
        assert!(backlog.too_much().unwrap().contains("101 bytes"));
        backlog.measured(0);
        assert_eq!(backlog.too_much(), None);
    }

    #[test]
    fn a_store_that_takes_nothing_is_too_much_until_it_takes_something() {
        let backlog = backlog(100, Duration::ZERO);
        assert_eq!(backlog.too_much(), None, "nothing waits");
        backlog.measured(1);
        assert!(backlog.too_much().unwrap().contains("taken nothing"));
        let long = self::backlog(100, Duration::from_secs(3600));
        long.measured(1);
        long.moved();
        long.measured(1);
        assert_eq!(long.too_much(), None);
    }
}

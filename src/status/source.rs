//! What the threads tell each other and the admin about the source.
//!
//! Owns shared counters and the state of the source. It measures nothing itself.

use super::snapshot::{Row, Value};
use super::windows::Windows;
use crate::moment::Moment;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// FIPS 140-2 blocks of which chance alone fails one (1 in 1,250), with much to spare ...
const FIPS_BLOCKS_A_FAILURE: u64 = 400;
/// ... and failed blocks that say nothing yet.
const FIPS_FAILURES_FREE: u64 = 8;

/// How the source is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SourceHealth {
    /// Being opened for the first time, or in its start-up test.
    #[default]
    Starting,
    /// Passed, and nothing wrong since.
    Good,
    /// Out of order: a short name of the failure, and the sentence for the log.
    Failed {
        /// The counter's name, as `health-test`, `eof`, `stalled`.
        kind: &'static str,
        /// What happened, for people.
        text: String,
    },
}

/// FIPS 140-2 counters of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FipsCounts {
    /// Blocks of 2,500 bytes that passed all tests.
    pub passed: u64,
    /// Blocks that failed at least one.
    pub failed: u64,
}

/// Five minutes, and the present.
#[derive(Debug)]
struct Recent(Windows);

impl Default for Recent {
    fn default() -> Self {
        Recent(Windows::new(61))
    }
}

#[derive(Debug, Default)]
struct Slow {
    health: SourceHealth,
    failures: BTreeMap<&'static str, u64>,
    last_failure: Option<(Moment, String)>,
    description: String,
    device: String,
    generator: String,
    fips: FipsCounts,
    recent: Recent,
}

/// The source as all threads see it: written by the reader, read by the event loop and
/// status.
#[derive(Debug, Default)]
pub struct SourceStatus {
    bytes_read: AtomicU64,
    nanos_in_read: AtomicU64,
    progress_at_nanos: AtomicU64,
    /// Grows with every change of `health`.
    changes: AtomicU64,
    slow: Mutex<Slow>,
}

impl SourceStatus {
    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books a read.
    pub fn record_read(&self, bytes: usize, span: Duration, now: Moment) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.nanos_in_read.fetch_add(nanos, Ordering::Relaxed);
        self.slow().recent.0.add(bytes as u64, now);
        self.record_progress(now);
    }

    /// Notes that the reader is alive.
    pub fn record_progress(&self, now: Moment) {
        if self.progress_at_nanos.swap(now.as_nanos(), Ordering::Relaxed) == 0 {
            self.slow().recent.0.begin(now);
        }
    }

    /// When the reader last got somewhere.
    pub fn progress_at(&self) -> Moment {
        Moment::from_nanos(self.progress_at_nanos.load(Ordering::Relaxed))
    }

    /// Bytes read since the start, start-up tests included, and the time spent inside reads.
    pub fn read_so_far(&self) -> (u64, Duration) {
        let nanos = self.nanos_in_read.load(Ordering::Relaxed);
        (self.bytes_read.load(Ordering::Relaxed), Duration::from_nanos(nanos))
    }

    /// The source passed its start-up test.
    pub fn set_good(&self) {
        self.slow().health = SourceHealth::Good;
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// The source failed. `false` if it had failed already.
    pub fn set_failed(&self, kind: &'static str, text: &str, now: Moment) -> bool {
        let mut slow = self.slow();
        *slow.failures.entry(kind).or_default() += 1;
        slow.last_failure = Some((now, text.to_owned()));
        let failed_before = matches!(slow.health, SourceHealth::Failed { .. });
        slow.health = SourceHealth::Failed { kind, text: text.to_owned() };
        drop(slow);
        self.changes.fetch_add(1, Ordering::Release);
        !failed_before
    }

    /// How the source is.
    pub fn health(&self) -> SourceHealth {
        self.slow().health.clone()
    }

    /// Whether it is out of order.
    pub fn has_failed(&self) -> bool {
        matches!(self.slow().health, SourceHealth::Failed { .. })
    }

    /// A number that differs whenever [`SourceStatus::health`] may have changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Failures so far, by kind.
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.slow().failures.clone()
    }

    /// The last failure and when it happened.
    pub fn last_failure(&self) -> Option<(Moment, String)> {
        self.slow().last_failure.clone()
    }

    /// Sets what the source is called: path, and the kernel's name of the generator if there is
    /// one.
    pub fn set_name(&self, device: String, generator: &str) {
        let mut slow = self.slow();
        slow.description = match generator {
            "" => device.clone(),
            name => format!("{device} ({name})"),
        };
        slow.device = device;
        slow.generator = generator.to_owned();
    }

    /// What the source is called.
    pub fn description(&self) -> String {
        self.slow().description.clone()
    }

    /// Sets the FIPS 140-2 counters.
    pub fn set_fips(&self, fips: FipsCounts) {
        self.slow().fips = fips;
    }

    /// The FIPS 140-2 counters.
    pub fn fips(&self) -> FipsCounts {
        self.slow().fips
    }

    /// All that is known here, for status.
    pub fn report(&self, now: Moment) -> Row {
        let read_bytes = self.bytes_read.load(Ordering::Relaxed);
        let slow = self.slow();
        let mut row = Row::default();
        let is_good = slow.health == SourceHealth::Good;
        row.word("device", &slow.device);
        row.word("generator", &slow.generator);
        row.word(
            "health",
            match &slow.health {
                SourceHealth::Starting => "starting",
                SourceHealth::Good => "good",
                SourceHealth::Failed { kind, .. } => kind,
            },
        );
        row.flag("up", is_good);
        row.count("read_bytes", read_bytes);
        row.gauge("rate_bytes_per_second", slow.recent.0.bytes_per_s(now));
        row.put("rate_history", Value::List(slow.recent.0.history(now)));
        let FipsCounts { passed, failed } = slow.fips;
        let fips = vec![("passed".to_owned(), passed), ("failed".to_owned(), failed)];
        row.put("fips_blocks", Value::Counts("result", fips));
        let most = FIPS_FAILURES_FREE + (passed + failed) / FIPS_BLOCKS_A_FAILURE;
        row.flag("fips_as_chance", failed <= most);
        let failures = slow.failures.iter().map(|(kind, times)| ((*kind).to_owned(), *times));
        row.put("failures", Value::Counts("kind", failures.collect()));
        let (age, text) = match &slow.last_failure {
            Some((at, text)) => (Some(now.since(*at)), text.as_str()),
            None => (None, ""),
        };
        row.age("last_failure_age_seconds", age);
        row.note("last_failure", text);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_every_change_is_seen() {
        let status = SourceStatus::default();
        let before = status.changes();
        assert!(status.set_failed("eof", "the device ended", Moment::ZERO));
        assert!(!status.set_failed("eof", "again", Moment::ZERO), "had failed already");
        status.set_good();
        assert_eq!(status.health(), SourceHealth::Good);
        assert_eq!(status.failures()["eof"], 2);
        assert_ne!(status.changes(), before);
    }
}

//! Waiting for an event, with a deadline. The tests' only clock and only sleep.
#![allow(clippy::disallowed_methods, reason = "the one place of the tests that looks at the clock")]

use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything here takes, even on a machine that does other work: only a
/// failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a condition that cannot wake us.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `look` finds something.
///
/// # Panics
/// After `limit`, naming `what` was waited for.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(LOOK_EVERY);
    }
}

/// [`until`] for a plain condition, with [`PATIENCE`].
#[track_caller]
pub fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, PATIENCE, || holds().then_some(()));
}

/// The value of `read` once it has stayed the same for `quiet`.
///
/// # Panics
/// If it never does.
#[track_caller]
pub fn until_settled<T: PartialEq + Copy>(
    what: &str,
    quiet: Duration,
    mut read: impl FnMut() -> T,
) -> T {
    let mut last = read();
    let mut since = Instant::now();
    until(what, PATIENCE, || {
        let value = read();
        if value != last {
            (last, since) = (value, Instant::now());
        }
        (since.elapsed() >= quiet).then_some(last)
    })
}

/// Lets `span` pass: for things that must *not* happen meanwhile, and for pacing a peer.
pub fn pause(span: Duration) {
    thread::sleep(span);
}

/// Counts time, for tests that run for a while rather than until something.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

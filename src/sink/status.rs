//! What the feed thread counts, for whoever wants to show it.
//!
//! Owns the counters; `status` renders them.

use crate::moment::Moment;
use crate::status::{Row, Value};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What the feed thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum FeedState {
    /// Brings the sink up.
    #[default]
    Starting,
    /// The sink wants bytes; there are none yet.
    Hungry,
    /// The sink wants nothing for now. The normal state: sinks take little.
    Full,
    /// The child ended; waits before it is started again.
    Restarting,
    /// Has ended.
    Stopped,
}

const STATES: [(FeedState, &str); 5] = [
    (FeedState::Starting, "starting"),
    (FeedState::Hungry, "hungry"),
    (FeedState::Full, "full"),
    (FeedState::Restarting, "restarting"),
    (FeedState::Stopped, "stopped"),
];

/// The counters of the sink.
#[derive(Debug, Default)]
pub struct FeedStatus {
    /// Bytes written to the sink. What waits unread in a pipe counts.
    pub bytes: AtomicU64,
    /// How often the child had to be started again.
    pub restarts: AtomicU64,
    /// Entropy that the kernel was credited, bits.
    pub credited_bits: AtomicU64,
    /// Blocks that failed FIPS 140-2 and were thrown away before the kernel.
    pub blocks_failed: AtomicU64,
    state: AtomicU8,
    child: AtomicU32,
    last_feed_nanos: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// The figures of a sink as they go from one process to another: state, bytes, bits credited,
/// blocks failed, restarts, child or 0, milliseconds since the last feed or the most there are;
/// and the last error or nothing.
pub type Figures = ([u64; 7], String);

/// Adds the figures to a row; `None`: whoever feeds the sink does not answer.
pub fn put_figures(figures: Option<Figures>, row: &mut Row) {
    let Some((numbers, last_error)) = figures else { return row.word("state", "unknown") };
    let [state, bytes, credited_bits, blocks_failed, restarts, child, last_feed] = numbers;
    let (state, name) = usize::try_from(state)
        .ok()
        .and_then(|state| STATES.get(state))
        .copied()
        .unwrap_or((FeedState::Stopped, "unknown"));
    row.word("state", name);
    row.flag("up", !matches!(state, FeedState::Restarting | FeedState::Stopped));
    row.count("fed_bytes", bytes);
    row.count("credited_bits", credited_bits);
    row.count("blocks_failed", blocks_failed);
    row.count("restarts", restarts);
    row.put("child_pid", Value::Gauge((child > 0).then_some(child)));
    let last_feed = (last_feed < u64::MAX).then_some(Duration::from_millis(last_feed));
    row.age("last_feed_age_seconds", last_feed);
    row.note("last_error", &last_error);
}

impl FeedStatus {
    /// What the thread is doing.
    pub fn state(&self) -> FeedState {
        STATES[usize::from(self.state.load(Relaxed))].0
    }

    /// The figures at `now`, as numbers: see [`Figures`].
    pub fn figures(&self, now: Moment) -> Figures {
        let last_feed = self
            .last_feed()
            .map_or(u64::MAX, |at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX));
        let numbers = [
            self.state.load(Relaxed).into(),
            self.bytes.load(Relaxed),
            self.credited_bits.load(Relaxed),
            self.blocks_failed.load(Relaxed),
            self.restarts.load(Relaxed),
            self.child.load(Relaxed).into(),
            last_feed,
        ];
        (numbers, self.last_error().unwrap_or_default())
    }

    /// The process that reads, if it is a child of ours and runs.
    pub fn child(&self) -> Option<u32> {
        match self.child.load(Relaxed) {
            0 => None,
            pid => Some(pid),
        }
    }

    /// When the sink last took bytes; `None`: not yet.
    pub fn last_feed(&self) -> Option<Moment> {
        match self.last_feed_nanos.load(Relaxed) {
            0 => None,
            nanos => Some(Moment::from_nanos(nanos)),
        }
    }

    /// What last went wrong.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn enter(&self, state: FeedState) {
        self.state.store(state as u8, Relaxed);
    }

    pub(super) fn set_child(&self, pid: Option<u32>) {
        self.child.store(pid.unwrap_or(0), Relaxed);
    }

    pub(super) fn count_bytes(&self, len: usize, now: Moment) {
        self.bytes.fetch_add(len as u64, Relaxed);
        self.last_feed_nanos.store(now.as_nanos().max(1), Relaxed);
    }

    pub(super) fn note_error(&self, text: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_as_it_was_stored() {
        let status = FeedStatus::default();
        for (state, _) in STATES {
            status.enter(state);
            assert_eq!(status.state(), state);
        }
    }
}

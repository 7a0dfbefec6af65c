//! What the feed thread counts, for whoever wants to show it.
//!
//! Owns the counters; `status` renders them.

use crate::moment::Moment;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

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

const STATES: [FeedState; 5] = [
    FeedState::Starting,
    FeedState::Hungry,
    FeedState::Full,
    FeedState::Restarting,
    FeedState::Stopped,
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

impl FeedStatus {
    /// What the thread is doing.
    pub fn state(&self) -> FeedState {
        STATES.get(usize::from(self.state.load(Relaxed))).copied().unwrap_or_default()
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
        for state in STATES {
            status.enter(state);
            assert_eq!(status.state(), state);
        }
    }
}

//! What a fetch thread counts, for whoever wants to show it.
//!
//! Owns the counters; `status` renders them.

use crate::moment::Moment;
use crate::status::Row;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a fetch thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum FetchState {
    /// Looks the name up, connects, proves keys.
    #[default]
    Connecting,
    /// Has asked and waits for bytes.
    Asking,
    /// Has asked; the server says it has nothing to give for now.
    Waiting,
    /// Holds bytes that the sink does not want yet. The normal state: sinks take little.
    Full,
    /// Failed; waits before the next attempt.
    BackingOff,
    /// Has ended.
    Stopped,
}

const STATES: [(FetchState, &str); 6] = [
    (FetchState::Connecting, "connecting"),
    (FetchState::Asking, "asking"),
    (FetchState::Waiting, "waiting"),
    (FetchState::Full, "full"),
    (FetchState::BackingOff, "backing-off"),
    (FetchState::Stopped, "stopped"),
];

/// The counters of one upstream.
#[derive(Debug, Default)]
pub struct FetchStatus {
    /// The upstream's name.
    pub name: String,
    /// Handshakes completed.
    pub sessions: AtomicU64,
    /// Attempts and sessions that failed.
    pub failures: AtomicU64,
    /// Bytes received.
    pub bytes: AtomicU64,
    /// Samples received.
    pub samples: AtomicU64,
    state: AtomicU8,
    last_sample_nanos: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl FetchStatus {
    pub(super) fn new(name: &str) -> Self {
        FetchStatus { name: name.to_owned(), ..FetchStatus::default() }
    }

    /// What the thread is doing.
    pub fn state(&self) -> FetchState {
        STATES[usize::from(self.state.load(Relaxed))].0
    }

    /// All of it at `now`.
    pub fn report(&self, now: Moment) -> Row {
        use FetchState::{Asking, Full, Waiting};
        let (state, name) = STATES[usize::from(self.state.load(Relaxed))];
        let mut row = Row::default();
        row.note("name", &self.name);
        row.word("state", name);
        row.flag("up", matches!(state, Asking | Waiting | Full));
        row.count("sessions", self.sessions.load(Relaxed));
        row.count("failures", self.failures.load(Relaxed));
        row.count("received_bytes", self.bytes.load(Relaxed));
        row.count("received_samples", self.samples.load(Relaxed));
        row.age("last_sample_age_seconds", self.last_sample().map(|at| now.since(at)));
        row.note("last_error", &self.last_error().unwrap_or_default());
        row
    }

    /// When the last sample came; `None`: none yet.
    pub fn last_sample(&self) -> Option<Moment> {
        match self.last_sample_nanos.load(Relaxed) {
            0 => None,
            nanos => Some(Moment::from_nanos(nanos)),
        }
    }

    /// Why the last attempt or session failed.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn enter(&self, state: FetchState) {
        self.state.store(state as u8, Relaxed);
    }

    pub(super) fn count_sample(&self, len: usize, now: Moment) {
        self.samples.fetch_add(1, Relaxed);
        self.bytes.fetch_add(len as u64, Relaxed);
        self.last_sample_nanos.store(now.as_nanos().max(1), Relaxed);
    }

    pub(super) fn count_failure(&self, text: String) {
        self.failures.fetch_add(1, Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_back_as_it_was_stored() {
        let status = FetchStatus::new("a");
        for (state, _) in STATES {
            status.enter(state);
            assert_eq!(status.state(), state);
        }
    }
}

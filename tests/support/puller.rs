//! Clients that always want bytes: a thread each, that asks and keeps every answer.

use super::deal::Deal;
use super::ledger::Book;
use super::raw::RawClient;
use netrng::wire::{Answer, ByeReason, Request};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// How a client asks.
#[derive(Debug, Clone, Copy)]
pub struct Habit {
    /// Bytes of a request.
    pub ask: u32,
    /// Bytes it keeps outstanding, as far as whole requests go.
    pub keep: u32,
}

impl Habit {
    /// Wants bytes at every moment.
    pub const STEADY: Habit = Habit { ask: 2048, keep: 32 * 1024 };
}

/// A client that pulls until the server ends its session or it is told to stop.
pub struct Puller {
    thread: JoinHandle<Vec<Vec<u8>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
    answers: AtomicU64,
    bye: Mutex<Option<ByeReason>>,
}

impl Puller {
    /// Starts asking.
    pub fn start(raw: RawClient, habit: Habit) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || pull(raw, habit, &shared)
        });
        Puller { thread, shared }
    }

    /// Bytes it got so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Answers with bytes so far.
    pub fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// How the server sent it away, if it did.
    pub fn bye(&self) -> Option<ByeReason> {
        *self.shared.bye.lock().expect("no puller panics with it")
    }

    /// Lets it ask no more, and waits for what is due.
    pub fn stop(self) -> Vec<Vec<u8>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// All it got, answer by answer, once the server has ended its session.
    ///
    /// # Panics
    /// If it failed.
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.thread.join().expect("the server is honest")
    }
}

fn pull(mut raw: RawClient, habit: Habit, shared: &Shared) -> Vec<Vec<u8>> {
    let mut hand = Vec::new();
    let mut outstanding = 0;
    loop {
        let stopped = shared.stop.load(Ordering::Relaxed);
        while !stopped && outstanding + habit.ask <= habit.keep {
            outstanding += habit.ask;
            let request = raw.sealed(Request::Bytes(habit.ask));
            // If the server has closed, its last words are still to be read.
            let _ = raw.stream.write_all(&request);
        }
        if stopped && outstanding == 0 {
            return hand;
        }
        match raw.try_answer() {
            Some(Answer::Sample(sample)) => {
                let len = u32::try_from(sample.len()).expect("a sample");
                let left = outstanding.checked_sub(len);
                outstanding = left.expect("an answer is not more than was asked");
                shared.bytes.fetch_add(len.into(), Ordering::Relaxed);
                shared.answers.fetch_add(1, Ordering::Relaxed);
                hand.push(sample.as_bytes().to_vec());
            }
            Some(Answer::Bye(reason, _)) => {
                *shared.bye.lock().expect("nobody panics with it") = Some(reason);
            }
            Some(_) => {}
            None => return hand,
        }
    }
}

/// What pullers got, in the order in which it was given, once all their sessions have ended.
///
/// # Panics
/// If one failed, or bytes were given twice.
#[track_caller]
pub fn deal(book: &impl Book, pullers: impl IntoIterator<Item = Puller>) -> Deal {
    let hands: Vec<_> = pullers.into_iter().map(Puller::finish).collect();
    Deal::new(book, &hands)
}

//! A FIFO as source, fed by the test: it knows how many bytes the server has taken, and can
//! go bad in every way a device can.
#![allow(unsafe_code, reason = "FIONREAD and F_SETPIPE_SZ: to know what was taken")]

use super::numbered;
use super::wait::{self, Stopwatch};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes per write: what the source gives is exact to this many.
const CHUNK: usize = 512;
/// The least a pipe can hold.
const PIPE_SIZE: i32 = 4096;
const NAP: Duration = Duration::from_millis(2);
/// A paced feeder that fell behind, on a machine that does other work, makes up for so much:
/// its pace is exact over time, and no burst fools who measures it.
const CATCH_UP: Duration = Duration::from_millis(50);

/// What the source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Gives the numbered stream as fast as it is taken.
    Good,
    /// Stays open and gives nothing.
    Silent,
    /// Gives this byte for ever.
    Stuck(u8),
    /// No writer: a reader sees the end.
    Closed,
}

/// A feeder thread behind a FIFO. Ends with the test.
pub struct Feed {
    path: PathBuf,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    mood: Mood,
    stop: bool,
    /// Bytes per second, if it shall not be as fast as it can.
    pace: Option<u64>,
    /// Bytes of the numbered stream that it still gives; then it stays open, silent.
    budget: u64,
    /// Next word of the numbered stream.
    next: u64,
    /// Bytes written, of any kind.
    written: u64,
    /// Writes that found the pipe full.
    refused: u64,
    pipe: Option<File>,
}

/// What follows a step.
enum Rest {
    None,
    Nap(Duration),
    /// A write that should take this long.
    Pace(Duration),
}

impl Feed {
    /// Makes the FIFO and starts feeding it.
    ///
    /// # Panics
    /// If the FIFO cannot be made.
    pub fn new(path: &Path, mood: Mood) -> Self {
        let made = Command::new("mkfifo").arg("-m").arg("600").arg(path).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", path.display());
        let shared = Arc::new(Mutex::new(Shared {
            mood,
            stop: false,
            pace: None,
            budget: u64::MAX,
            next: 0,
            written: 0,
            refused: 0,
            pipe: None,
        }));
        let thread = thread::spawn({
            let (path, shared) = (path.to_owned(), Arc::clone(&shared));
            move || run(&path, &shared)
        });
        Feed { path: path.to_owned(), shared, thread: Some(thread) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Changes what it does.
    pub fn set(&self, mood: Mood) {
        lock(&self.shared).mood = mood;
    }

    /// From now on, at most this many bytes per second.
    pub fn set_pace(&self, bytes_per_s: u64) {
        lock(&self.shared).pace = Some(bytes_per_s);
    }

    /// From now on gives this many bytes more of the numbered stream and then falls silent.
    ///
    /// # Panics
    /// If it is no multiple of the size of a write.
    pub fn give_only(&self, bytes: u64) {
        assert_eq!(bytes % CHUNK as u64, 0, "a multiple of {CHUNK}");
        let mut shared = lock(&self.shared);
        shared.budget = bytes;
        shared.mood = Mood::Good;
    }

    /// Bytes of the numbered stream that were put into the pipe.
    pub fn fed(&self) -> u64 {
        lock(&self.shared).next * numbered::WORD
    }

    /// How often a write found the pipe full: a server that always wants bytes leaves this as
    /// it is.
    pub fn refused(&self) -> u64 {
        lock(&self.shared).refused
    }

    /// Bytes that the server has read from the pipe. Bytes that died in a pipe which its
    /// reader closed count as read.
    pub fn taken(&self) -> u64 {
        let shared = lock(&self.shared);
        let waiting = shared.pipe.as_ref().map_or(0, unread);
        shared.written - waiting
    }

    /// [`Feed::taken`] once the server has filled its stock and rests.
    pub fn taken_at_rest(&self) -> u64 {
        wait::until_settled("the source is left alone", Duration::from_millis(400), || self.taken())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        lock(&self.shared).stop = true;
        let feeder = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(feeder, Some(Ok(()))), "the feeder failed");
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("the feeder does not panic")
}

fn run(path: &Path, shared: &Mutex<Shared>) {
    let clock = Stopwatch::start();
    let mut due = Duration::ZERO;
    loop {
        let rest = {
            let mut shared = lock(shared);
            if shared.stop {
                return;
            }
            step(path, &mut shared)
        };
        // Unlocked, so that whoever wants to change our mood can.
        thread::yield_now();
        match rest {
            Rest::None => {}
            Rest::Nap(span) => wait::pause(span),
            Rest::Pace(span) => {
                due = (due + span).max(clock.elapsed().saturating_sub(CATCH_UP));
                wait::pause(due.saturating_sub(clock.elapsed()));
            }
        }
    }
}

/// One write, or none; says how long to rest after it.
fn step(path: &Path, shared: &mut Shared) -> Rest {
    if shared.mood == Mood::Closed {
        shared.pipe = None;
        return Rest::Nap(NAP);
    }
    if shared.pipe.is_none() {
        // Fails while nobody reads (ENXIO).
        shared.pipe = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).ok();
        if let Some(pipe) = &shared.pipe {
            // SAFETY: a plain fcntl on a descriptor we own.
            unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_SIZE) };
        }
    }
    let words = CHUNK as u64 / numbered::WORD;
    let chunk: Vec<u8> = match shared.mood {
        Mood::Good if shared.budget == 0 => return Rest::Nap(NAP),
        Mood::Good => (shared.next..shared.next + words).flat_map(numbered::word).collect(),
        Mood::Stuck(byte) => vec![byte; CHUNK],
        Mood::Silent | Mood::Closed => return Rest::Nap(NAP),
    };
    let Some(pipe) = &mut shared.pipe else { return Rest::Nap(NAP) };
    // At most PIPE_BUF, so all or nothing.
    match pipe.write(&chunk) {
        Ok(count) => {
            assert_eq!(count, CHUNK, "a short write to a pipe");
            shared.written += CHUNK as u64;
            if shared.mood == Mood::Good {
                shared.next += words;
                shared.budget -= CHUNK as u64;
            }
            shared.pace.map_or(Rest::None, |pace| {
                Rest::Pace(Duration::from_nanos(CHUNK as u64 * 1_000_000_000 / pace))
            })
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            shared.refused += 1;
            Rest::Nap(NAP / 8)
        }
        // The reader is gone; what was in the pipe may or may not have been read, and is
        // never written again.
        Err(_) => {
            shared.pipe = None;
            Rest::None
        }
    }
}

fn unread(pipe: &File) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD fills one int.
    unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut count) };
    u64::try_from(count).unwrap_or(0)
}

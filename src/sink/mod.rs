//! Where bytes go on the client: rngd, the kernel's pool, a FIFO, stdout.
//!
//! Owns the feed thread and what it writes to. It does not know where bytes come from. It
//! takes a sample only when the sink has room for it: with a sink that never reads, one
//! sample waits in the pipe and none here. Sinks take little (an initialised kernel makes
//! rngd read 64 bytes a minute or fewer), so a full sink is the normal state and no fault.
//!
//! ```text
//! pump.rs       samples into a pipe, one at a time
//! supervise.rs  a child that reads the pipe: started, restarted, ended
//! rngd.rs       which rngd, and which arguments it takes
//! kernel.rs     the kernel's pool, with credit
//! block.rs      its bytes: tested, and handed out 64 at a time
//! fifo.rs, stdout.rs   the other sinks
//! ```

mod block;
mod fifo;
mod kernel;
mod pump;
mod rngd;
mod status;
mod stdout;
mod supervise;

pub use kernel::{DEFAULT_CREDIT, KernelWrite};
pub use status::{FeedState, FeedStatus, Figures, put_figures};

use crate::sample::Sample;
use crate::sys::latch::Latch;
use crossbeam_channel::{Receiver, Sender, select};
use pump::PumpEnd;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which sink, and what it needs to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Sink {
    /// A supervised `rngd`; `command` overrides how it is started.
    Rngd {
        /// Program and arguments; reads random bytes from its stdin.
        command: Option<Vec<String>>,
    },
    /// A named pipe that another program reads.
    Fifo {
        /// Where; made with mode 0600 if missing.
        path: PathBuf,
    },
    /// Standard output.
    Stdout,
    /// The kernel's pool: blocks that pass FIPS 140-2, with credit where we may.
    Kernel {
        /// Entropy credited for each byte, bits, 0 to 8.
        credit: f64,
        /// Between two feeds of a kernel that does not ask.
        interval: Duration,
    },
}

impl Sink {
    /// As in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Sink::Rngd { .. } => "rngd",
            Sink::Fifo { .. } => "fifo",
            Sink::Stdout => "stdout",
            Sink::Kernel { .. } => "kernel",
        }
    }

    /// What it needs and this machine has not, for who wants to know before it is started.
    pub fn missing(&self) -> Option<SinkError> {
        let is_missing = matches!(self, Sink::Rngd { command: None }) && rngd::path().is_none();
        is_missing.then_some(SinkError::RngdMissing)
    }

    /// What it takes at once of each of so many upstreams, bytes: the size of a request.
    pub fn request_size(&self, upstreams: usize) -> u32 {
        match self {
            Sink::Rngd { .. } | Sink::Fifo { .. } | Sink::Stdout => 2048,
            Sink::Kernel { .. } => kernel::request_size(upstreams),
        }
    }

    /// Whether each upstream is to give the same: one that lies must not be all that is credited.
    pub fn is_even(&self) -> bool {
        matches!(self, Sink::Kernel { .. })
    }
}

/// Why there is no sink, or none any more. A child's end is none of these: it is restarted.
#[derive(Debug)]
pub enum SinkError {
    /// No rngd on this machine.
    RngdMissing,
    /// An rngd whose version we do not know.
    RngdUnknown(String),
    /// An empty `rngd-command`.
    CommandEmpty,
    /// What stands at the FIFO's path is something else.
    NotFifo(PathBuf),
    /// The FIFO cannot be made or opened.
    Fifo(PathBuf, io::Error),
    /// The kernel's pool cannot be fed.
    Kernel(io::Error),
    /// Standard output cannot be written to.
    Stdout(io::Error),
    /// The reader of standard output left: for a pipeline, the orderly end.
    Closed,
    /// No thread or descriptor is left.
    System(io::Error),
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkError::RngdMissing => f.write_str(
                "rngd is not installed: install `rng-tools-debian` (Debian, Ubuntu), \
                 `rng-tools` (Fedora, RHEL, Arch, Alpine, OpenWrt) or `sys-apps/rng-tools` \
                 (Gentoo), or set `rngd-command`",
            ),
            SinkError::RngdUnknown(said) => write!(
                f,
                "`rngd --version` says {said:?}, not 2.x, 5 or 6.x: set `rngd-command` to what \
                 starts it in the foreground, reading from /dev/stdin"
            ),
            SinkError::CommandEmpty => {
                f.write_str("`rngd-command` is empty: name a program and its arguments")
            }
            SinkError::NotFifo(path) => write!(
                f,
                "{} is not a FIFO: remove it, or name a path where netrng may make one",
                path.display()
            ),
            SinkError::Fifo(path, error) => {
                write!(f, "cannot use the FIFO {}: {error}", path.display())
            }
            SinkError::Kernel(error) => write!(f, "cannot feed {}: {error}", kernel::PATH),
            SinkError::Stdout(error) => write!(f, "cannot write to standard output: {error}"),
            SinkError::Closed => f.write_str("the reader of standard output has left"),
            SinkError::System(error) => write!(f, "the system refuses the sink: {error}"),
        }
    }
}

impl std::error::Error for SinkError {}

/// The running feed thread.
#[derive(Debug)]
pub struct Feed {
    /// What it does.
    pub status: Arc<FeedStatus>,
    /// Receives once, when the thread has ended: by the stop latch, or because the sink is
    /// no more. Children are gone by then.
    pub ended: Receiver<Result<(), SinkError>>,
}

/// Where a sink's samples come from.
#[derive(Debug)]
pub struct Intake {
    /// The samples.
    pub samples: Receiver<Sample>,
    /// Told each time when the sink wants one; of capacity one. For whoever must not fetch
    /// before.
    pub wishes: Option<Sender<()>>,
}

impl From<Receiver<Sample>> for Intake {
    /// From those who fetch ahead.
    fn from(samples: Receiver<Sample>) -> Self {
        Intake { samples, wishes: None }
    }
}

/// What every sink's loop works with.
struct Context {
    intake: Intake,
    /// Wished for and not yet received.
    has_wished: Cell<bool>,
    stop: Latch,
    random: fn() -> u64,
    status: Arc<FeedStatus>,
}

impl Context {
    fn new(intake: Intake, stop: Latch, random: fn() -> u64, status: Arc<FeedStatus>) -> Self {
        Context { intake, has_wished: Cell::new(false), stop, random, status }
    }

    /// Waits for a sample, for as long as `gone` is not released and we are not to end.
    fn take_sample(&self, gone: &Latch) -> Result<Sample, PumpEnd> {
        self.status.enter(FeedState::Hungry);
        if let Some(wishes) = self.intake.wishes.as_ref().filter(|_| !self.has_wished.get()) {
            // There is room for the only one.
            let _ = wishes.try_send(());
            self.has_wished.set(true);
        }
        select! {
            recv(self.intake.samples) -> sample => {
                self.has_wished.set(false);
                sample.map_err(|_| PumpEnd::Stopped)
            }
            recv(self.stop.receiver()) -> _ => Err(PumpEnd::Stopped),
            recv(gone.receiver()) -> _ => Err(PumpEnd::Gone),
        }
    }
}

/// Opens `sink` and starts the feed thread, which ends when `stop` is released: then a child
/// gets SIGTERM, two seconds later SIGKILL. `random` draws from a generator that never blocks
/// (for backoff).
///
/// # Errors
/// [`SinkError`] when the sink cannot be had: a missing rngd, a FIFO that is none.
pub fn start(
    sink: &Sink,
    intake: impl Into<Intake>,
    stop: &Latch,
    random: fn() -> u64,
) -> Result<Feed, SinkError> {
    let status = Arc::new(FeedStatus::default());
    let context = Context::new(intake.into(), stop.clone(), random, Arc::clone(&status));
    let work: Box<dyn FnOnce() -> Result<(), SinkError> + Send> = match sink {
        Sink::Rngd { command } => {
            let program = supervise::Program::new(command.clone())?;
            Box::new(move || supervise::run(&program, context))
        }
        Sink::Fifo { path } => {
            let (fifo, path) = (fifo::open(path)?, path.clone());
            Box::new(move || fifo::run(&fifo, path, context))
        }
        Sink::Stdout => {
            let stdout = stdout::open()?;
            Box::new(move || stdout::run(&stdout, context))
        }
        Sink::Kernel { credit, interval } => {
            let (pool, interval) = (kernel::Pool::open(*credit)?, *interval);
            Box::new(move || kernel::run(pool, interval, &context))
        }
    };
    let (sender, ended) = crossbeam_channel::bounded(1);
    let feed = Feed { status: Arc::clone(&status), ended };
    let feeding = move || {
        let result = work();
        status.enter(FeedState::Stopped);
        // Nobody may be listening any more.
        let _ = sender.send(result);
    };
    crate::sys::thread::spawn("feed", Box::new(feeding)).map_err(SinkError::System)?;
    Ok(feed)
}

//! The client's side: one fetch thread an upstream, which asks when the sink has room.
//!
//! Owns connections to servers, children that give bytes, and the asking. It does not know where the bytes go: it puts
//! them into a channel of capacity zero, and asks for more only when they have been taken.
//!
//! ```text
//! upstream.rs  what an upstream is: a server, a host behind ssh, a command
//! fetch.rs     the thread: attempts, backoff, what the log says
//! session.rs   one connection in native frames: handshake, request, samples, signs of life
//! netrng02.rs  what is peculiar to a session with a server of the original NetRNG
//! discover.rs  servers of the local network, by their keys (feature mdns)
//! link.rs      what frames travel through: TCP, or the pipes of an ssh
//! raw.rs       one child whose output is random bytes
//! worker.rs    a child that bytes come from, and why it ended
//! ssh.rs       OpenSSH's command line, and what its words mean
//! trial.rs     the health tests on our side
//! turns.rs     whose turn it is, where none may give more than another
//! seat.rs      threads that wait for theirs
//! patience.rs  how much that is no sample a server may send
//! error.rs     why it ended, in a sentence
//! ```

#[cfg(feature = "mdns")]
mod discover;
mod error;
mod fetch;
mod link;
mod netrng02;
mod patience;
mod raw;
mod seat;
mod session;
mod ssh;
mod status;
mod trial;
mod turns;
mod upstream;
mod worker;

pub use error::FetchError;
pub use ssh::SshFault;
pub use status::{FetchState, FetchStatus};
pub use upstream::{
    Address, Command, Kind, Location, Netrng02, Remote, Ssh, Upstream, show_address,
};

use crate::sample::Sample;
use crate::sys::latch::Latch;
use crate::wire::{ClientCodec, CodecError};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// For a child to end: longer than `child` takes to go from SIGTERM through SIGKILL to giving up.
pub const CHILD_PATIENCE: Duration = Duration::from_secs(5);

/// Makes our side of the native protocol for one connection.
type MakeCodec = dyn Fn(&Address) -> Result<Box<dyn ClientCodec>, CodecError> + Send + Sync;

/// The fetch threads, one an upstream.
#[derive(Debug)]
pub struct Fetchers {
    /// What each does, in the order of the upstreams.
    pub statuses: Vec<Arc<FetchStatus>>,
    /// Disconnected when the threads that look names up have ended.
    lookups: Receiver<Infallible>,
    /// The same for the threads with children.
    children: Receiver<Infallible>,
}

/// What the sink wants of its upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Of each at a time, bytes.
    pub request_size: u32,
    /// Of all of them the same, though the fast then wait for the slow.
    pub is_even: bool,
}

/// Starts a fetch thread for each upstream. All put what they get into `samples`, which is to
/// be of capacity zero: then each holds at most one answer, and upstreams take turns.
///
/// `make_codec` makes
/// the protocol for one connection; `random` draws from a generator that never blocks (for
/// backoff and ping tokens, which need not be secret). The threads end when `stop` is
/// released.
///
/// # Errors
/// When the system has no thread left.
pub fn start<C, M>(
    upstreams: Vec<Upstream>,
    demand: Demand,
    samples: &Sender<Sample>,
    stop: &Latch,
    make_codec: M,
    random: fn() -> u64,
) -> io::Result<Fetchers>
where
    C: ClientCodec,
    M: Fn(&Address) -> Result<C, CodecError> + Send + Sync + 'static,
    C: 'static,
{
    let (looks_up, lookups) = crossbeam_channel::bounded(0);
    let (has_child, children) = crossbeam_channel::bounded(0);
    let make_codec: Arc<MakeCodec> = Arc::new(move |address| {
        make_codec(address).map(|codec| Box::new(codec) as Box<dyn ClientCodec>)
    });
    let mut statuses = Vec::with_capacity(upstreams.len());
    let mut seats = seat::seats(upstreams.len(), demand.request_size, crate::sys::now());
    for upstream in upstreams {
        let status = Arc::new(FetchStatus::new(&upstream.name));
        statuses.push(Arc::clone(&status));
        let alive = if upstream.has_child() { has_child.clone() } else { looks_up.clone() };
        let fetcher = fetch::Fetcher {
            upstream,
            make_codec: Arc::clone(&make_codec),
            request_size: demand.request_size.max(1),
            seat: seats.next().filter(|_| demand.is_even),
            samples: samples.clone(),
            stop: stop.clone(),
            random,
            status,
        };
        let work = move || {
            let _alive: Sender<Infallible> = alive;
            fetcher.run();
        };
        crate::sys::thread::spawn("fetch", Box::new(work))?;
    }
    Ok(Fetchers { statuses, lookups, children })
}

impl Fetchers {
    /// Waits until all threads have ended; answers whether they have. Release the stop latch
    /// first. A name that is being looked up cannot be interrupted: for that `patience` is the
    /// most. A child is given [`CHILD_PATIENCE`].
    pub fn wait(&self, patience: Duration) -> bool {
        let has_ended = |ended: &Receiver<Infallible>, patience| {
            ended.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
        };
        has_ended(&self.children, CHILD_PATIENCE) & has_ended(&self.lookups, patience)
    }
}

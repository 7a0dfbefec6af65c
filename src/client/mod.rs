//! The client's side: one fetch thread an upstream, which asks when the sink has room.
//!
//! Owns connections to servers and the asking. It does not know where the bytes go: it puts
//! them into a channel of capacity zero, and asks for more only when they have been taken.
//!
//! ```text
//! fetch.rs     the thread: attempts, backoff, what the log says
//! session.rs   one connection: handshake, request, samples, signs of life
//! patience.rs  how much that is no sample a server may send
//! ```

mod fetch;
mod patience;
mod session;
mod status;

pub use session::FetchError;
pub use status::{FetchState, FetchStatus};

use crate::keys::{PrivateKey, Psk, PublicKey};
use crate::sample::Sample;
use crate::sys::latch::Latch;
use crate::wire::{ClientCodec, CodecError};
use crossbeam_channel::{Receiver, Sender};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// One server to draw from, over the native protocol.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// How the log and status call it: by default `host:port`.
    pub name: String,
    /// Name or address; resolved again at each attempt.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The server must prove that it holds this key.
    pub server_key: PublicKey,
    /// Our own key.
    pub private_key: PrivateKey,
    /// Shared with the server; all zeros on the wire when absent.
    pub psk: Option<Psk>,
}

/// The fetch threads, one an upstream.
#[derive(Debug)]
pub struct Fetchers {
    /// What each does, in the order of the upstreams.
    pub statuses: Vec<Arc<FetchStatus>>,
    ended: Receiver<()>,
}

/// Starts a fetch thread for each upstream. All put what they get into `samples`, which is to
/// be of capacity zero: then each holds at most one answer, and upstreams take turns.
///
/// An answer is `request_size` bytes, as much as the sink takes at once. `make_codec` makes
/// the protocol for one connection; `random` draws from a generator that never blocks (for
/// backoff and ping tokens, which need not be secret). The threads end when `stop` is
/// released.
///
/// # Errors
/// When the system has no thread left.
pub fn start<C, M>(
    upstreams: Vec<Upstream>,
    request_size: u32,
    samples: &Sender<Sample>,
    stop: &Latch,
    make_codec: M,
    random: fn() -> u64,
) -> io::Result<Fetchers>
where
    C: ClientCodec,
    M: Fn(&Upstream) -> Result<C, CodecError> + Clone + Send + 'static,
{
    let (alive, ended) = crossbeam_channel::bounded(0);
    let mut statuses = Vec::with_capacity(upstreams.len());
    for upstream in upstreams {
        let status = Arc::new(FetchStatus::new(&upstream.name));
        statuses.push(Arc::clone(&status));
        let fetcher = fetch::Fetcher {
            upstream,
            request_size: request_size.max(1),
            samples: samples.clone(),
            stop: stop.clone(),
            random,
            status,
        };
        let (alive, make_codec) = (alive.clone(), make_codec.clone());
        std::thread::Builder::new().name("fetch".into()).spawn(move || {
            let _alive: Sender<()> = alive;
            fetcher.run(make_codec);
        })?;
    }
    Ok(Fetchers { statuses, ended })
}

impl Fetchers {
    /// Waits until all threads have ended, `patience` at most (a name that is being looked up
    /// cannot be interrupted); answers whether they have. Release the stop latch first.
    pub fn wait(&self, patience: Duration) -> bool {
        self.ended.recv_timeout(patience) == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
    }
}

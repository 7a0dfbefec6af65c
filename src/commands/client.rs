//! `client`: fetch threads and the feed thread, joined by a channel; for as long as is asked.

use super::{Exit, Failure, signals};
use crate::client::{self, Address};
use crate::config::ClientConfig;
use crate::sink::{self, SinkError};
use crate::sys;
use crate::sys::latch::{Latch, latch};
use crate::wire::CodecError;
use crate::wire::hedge::Hedge;
use crate::wire::native::Initiator;
use ::log::{info, warn};
use crossbeam_channel::{Receiver, select};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the threads may take to end. Looking a name up cannot be interrupted.
const END_PATIENCE: Duration = Duration::from_millis(200);

/// How long a client runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until it is told to stop.
    Stopped,
    /// Until the kernel's generator is initialised: for what must not start before.
    Seeded,
}

/// Runs the client until SIGTERM, SIGINT, the end of its sink, or what `until` says.
///
/// # Errors
/// A sentence and a code: the sink cannot be had, or is no more; it was stopped before the
/// kernel's generator was initialised.
pub fn run(config: ClientConfig, until: Until) -> Result<(), Failure> {
    if until == Until::Seeded && sys::random::kernel_is_seeded() {
        info!("the kernel's generator is initialised");
        return Ok(());
    }
    let stop_signal = signals::stop()?;
    let (trigger, stop) = latch()?;
    let (samples, received) = crossbeam_channel::bounded(0);
    let feed = sink::start(&config.sink, received, &stop, sys::random::jitter)?;
    let names: Vec<_> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    info!("drawing from {}", names.join(", "));
    let fetchers = client::start(
        config.upstreams,
        config.sink.request_size(names.len()),
        &samples,
        &stop,
        make_codec,
        sys::random::jitter,
    )?;
    drop(samples);
    let (signalled, signal) = crossbeam_channel::bounded(1);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        signals::wait(&stop_signal);
        let _ = signalled.send(());
    })?;
    let seeded = match until {
        Until::Stopped => crossbeam_channel::never(),
        Until::Seeded => wait_until_seeded(&stop)?,
    };
    let (ended, is_seeded) = select! {
        recv(signal) -> _ => {
            info!("stopping");
            drop(trigger);
            (feed.ended.recv(), sys::random::kernel_is_seeded())
        }
        recv(seeded) -> _ => {
            info!("the kernel's generator is initialised; stopping");
            drop(trigger);
            (feed.ended.recv(), true)
        }
        recv(feed.ended) -> ended => {
            drop(trigger);
            (ended, sys::random::kernel_is_seeded())
        }
    };
    fetchers.wait(END_PATIENCE);
    match ended {
        Ok(Ok(()) | Err(SinkError::Closed)) if until == Until::Stopped || is_seeded => Ok(()),
        Ok(Ok(()) | Err(SinkError::Closed)) => {
            let text = "stopped before the kernel's generator was initialised";
            Err(Failure::new(Exit::NotSeeded, text))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::new(Exit::System, "the feed thread died; this is a bug")),
    }
}

/// Receives once, when the kernel's generator is initialised.
fn wait_until_seeded(stop: &Latch) -> Result<Receiver<()>, Failure> {
    let (sender, seeded) = crossbeam_channel::bounded(1);
    let stop = stop.clone();
    std::thread::Builder::new().name("seeded".into()).spawn(move || {
        match sys::random::wait_until_seeded(&stop) {
            Ok(true) => drop(sender.send(())),
            // Nobody listens any more.
            Ok(false) => {}
            Err(error) => {
                warn!("cannot tell when the kernel's generator is initialised: {error}");
                // To hang up would say that it is.
                let _ = stop.receiver().recv();
            }
        }
    })?;
    Ok(seeded)
}

/// The client's side of a connection to the server `upstream`.
pub(super) fn make_codec(upstream: &Address) -> Result<Initiator, CodecError> {
    // Keyed with our own secret: where the pool is empty the ephemeral key is still not to be
    // guessed.
    let hedge = Hedge::new(upstream.private_key.clone(), sys::random::gather);
    Ok(Initiator::new(
        &upstream.private_key,
        &upstream.server_key,
        upstream.psk.as_ref(),
        Arc::new(Mutex::new(hedge)),
    ))
}

//! `client`: fetch threads and the feed thread, joined by a channel; for as long as is asked.

use super::{Exit, Failure, signals};
use crate::client::{self, Address};
use crate::config::ClientConfig;
use crate::sink::{self, Feed, Sink, SinkError};
use crate::sys;
use crate::sys::latch::{Latch, Trigger, latch};
use crate::wire::CodecError;
use crate::wire::hedge::Hedge;
use crate::wire::native::Initiator;
use ::log::{info, warn};
use crossbeam_channel::{Receiver, RecvTimeoutError, never, select, tick};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the sink may take to end: a child gets two seconds between TERM and KILL.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
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
    let reload_signal = signals::reload()?;
    std::thread::Builder::new().name("hangup".into()).spawn(move || {
        while signals::wait(&reload_signal) {
            info!("SIGHUP: a client reads its configuration only when it starts; restart it");
        }
    })?;
    if config.sink == Sink::Stdout && std::io::stdout().is_terminal() {
        return Err(Failure::new(
            Exit::Sink,
            "standard output is a terminal, and random bytes would garble it: send it to a file or \
             a program",
        ));
    }
    let (trigger, stop) = latch()?;
    let (samples, received) = crossbeam_channel::bounded(0);
    let feed = sink::start(&config.sink, received, &stop, sys::random::jitter)?;
    let names: Vec<_> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    info!("will draw from {}", names.join(", "));
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
        Until::Stopped => never(),
        Until::Seeded => wait_until_seeded(&stop)?,
    };
    sys::notify::notify(sys::notify::WELL);
    let ended = wait_for_end(&signal, &seeded, &feed, trigger);
    fetchers.wait(END_PATIENCE);
    if !ended? && until == Until::Seeded && !sys::random::kernel_is_seeded() {
        let text = "stopped before the kernel's generator was initialised";
        return Err(Failure::new(Exit::NotSeeded, text));
    }
    Ok(())
}

/// Waits for the first reason to end, and for the end of the sink; answers whether the reason
/// is that the kernel's generator is initialised.
fn wait_for_end(
    signal: &Receiver<()>,
    seeded: &Receiver<()>,
    feed: &Feed,
    trigger: Trigger,
) -> Result<bool, Failure> {
    let beats = sys::notify::watchdog_span().map_or_else(never, tick);
    let mut is_seeded = false;
    let ended = loop {
        break select! {
            recv(beats) -> _ => {
                sys::notify::notify(sys::notify::WELL);
                continue;
            }
            recv(signal) -> _ => {
                info!("stopping");
                drop(trigger);
                feed.ended.recv_timeout(STOP_PATIENCE)
            }
            recv(seeded) -> _ => {
                info!("the kernel's generator is initialised; stopping");
                is_seeded = true;
                drop(trigger);
                feed.ended.recv_timeout(STOP_PATIENCE)
            }
            recv(feed.ended) -> ended => {
                drop(trigger);
                ended.map_err(|_| RecvTimeoutError::Disconnected)
            }
        };
    };
    match ended {
        Ok(Ok(()) | Err(SinkError::Closed)) => Ok(is_seeded),
        Ok(Err(error)) => Err(error.into()),
        // A terminal that takes no more output (Ctrl-S) keeps the feed thread: go without it.
        Err(RecvTimeoutError::Timeout) => Ok(is_seeded),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Failure::new(Exit::System, "the feed thread died; this is a bug"))
        }
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

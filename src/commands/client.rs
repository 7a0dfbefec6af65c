//! `client`: fetch threads and the feed thread, joined by a channel.

use super::{Exit, Failure, signals};
use crate::client::{self, Upstream};
use crate::config::ClientConfig;
use crate::sink::{self, Sink, SinkError};
use crate::sys::{self, latch::latch};
use crate::wire::CodecError;
use crate::wire::hedge::Hedge;
use crate::wire::native::Initiator;
use ::log::info;
use crossbeam_channel::{RecvTimeoutError, select};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the sink may take to end: a child gets two seconds between TERM and KILL.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long the threads may take to end. Looking a name up cannot be interrupted.
const END_PATIENCE: Duration = Duration::from_millis(200);

/// Runs the client until SIGTERM, SIGINT, or the end of its sink.
///
/// # Errors
/// A sentence and a code: the sink cannot be had, or is no more.
pub fn run(config: ClientConfig) -> Result<(), Failure> {
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
        config.sink.request_size(),
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
    let ended = select! {
        recv(signal) -> _ => {
            info!("stopping");
            drop(trigger);
            // A terminal that takes no more output (Ctrl-S) keeps the feed thread: go without it.
            match feed.ended.recv_timeout(STOP_PATIENCE) {
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => Err(crossbeam_channel::RecvError),
                Ok(ended) => Ok(ended),
            }
        }
        recv(feed.ended) -> ended => {
            drop(trigger);
            ended
        }
    };
    fetchers.wait(END_PATIENCE);
    match ended {
        Ok(Ok(()) | Err(SinkError::Closed)) => Ok(()),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::new(Exit::System, "the feed thread died; this is a bug")),
    }
}

/// The client's side of a connection to `upstream`.
pub(super) fn make_codec(upstream: &Upstream) -> Result<Initiator, CodecError> {
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

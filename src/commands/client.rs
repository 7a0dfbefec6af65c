//! `client`: fetch threads and the feed thread, joined by a channel, or by a link between two
//! processes; for as long as is asked.

use super::client_status::{self, SinkView, Told};
use super::halves::{self, Half, NeedsRoot};
use super::{Exit, Failure, signals};
use crate::client::{self, Address, Demand, Fetchers, Kind, Upstream};
use crate::config::ClientConfig;
use crate::hop;
use crate::sample::Sample;
use crate::sink::{self, Intake, Sink, SinkError};
use crate::sys::latch::{Latch, Trigger, latch};
use crate::sys::thread::spawn;
use crate::sys::{self, pool};
use crate::wire::CodecError;
use crate::wire::hedge::Hedge;
use crate::wire::native::Initiator;
use ::log::{Level, debug, info, log, warn};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, never, select, tick};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
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
    if until == Until::Seeded {
        warn_if_nothing_counts(&config.sink);
    }
    if config.sink == Sink::Stdout && std::io::stdout().is_terminal() {
        return Err(Failure::new(
            Exit::Sink,
            "standard output is a terminal, and random bytes would garble it: send it to a file or \
             a program",
        ));
    }
    let user = config.user.as_deref().map(halves::look_up).transpose()?;
    // Whoever runs until the kernel is seeded may do so beside the daemon proper.
    let socket = config.status_socket.as_deref().filter(|_| until == Until::Stopped);
    let (_status_socket, status_listener) =
        socket.and_then(|path| client_status::open(path, user.as_ref())).unzip();
    let needs = match (&config.sink, until) {
        (Sink::Stdout, _) => NeedsRoot::Never,
        (_, Until::Stopped) => NeedsRoot::Sink,
        (_, Until::Seeded) => NeedsRoot::SinkUntilSeeded,
    };
    let Some(part) = halves::part(user.as_ref(), needs)? else { return Ok(()) };
    let (stop_signal, reload_signal) = (part.stop, part.reload);
    let hangup = move || {
        while signals::wait(&reload_signal) {
            info!("SIGHUP: a client reads its configuration only when it starts; restart it");
        }
    };
    spawn("hangup", Box::new(hangup))?;
    let (trigger, stop) = latch()?;
    let (until, level) = match part.half {
        Half::Whole => (until, Level::Info),
        // Who watches over both halves says it.
        Half::Root(_) => (until, Level::Debug),
        Half::Network(_) => (Until::Stopped, Level::Debug),
    };
    let sink_kind = config.sink.kind();
    let (ended, network) = start(config, part.half, &stop)?;
    let fetchers = match network {
        None => None,
        Some((fetchers, sink)) => {
            let upstreams = fetchers.statuses.clone();
            let told = Told { started: sys::now(), sink_kind, sink, upstreams };
            if let Some(listener) = status_listener {
                client_status::answer(listener, told)?;
            }
            Some(fetchers)
        }
    };
    let (signalled, signal) = crossbeam_channel::bounded(1);
    let wait_for_signal = move || {
        signals::wait(&stop_signal);
        log!(level, "stopping");
        let _ = signalled.send(());
    };
    spawn("signals", Box::new(wait_for_signal))?;
    let seeded = match until {
        Until::Stopped => never(),
        Until::Seeded => wait_until_seeded(&stop)?,
    };
    sys::notify::notify(sys::notify::WELL);
    let ended = wait_for_end(&signal, &seeded, &ended, trigger);
    if let Some(fetchers) = fetchers {
        fetchers.wait(END_PATIENCE);
    }
    match ended? || until == Until::Stopped {
        true => Ok(()),
        false => halves::check_seeded(),
    }
}

/// For who waits for the kernel's generator: what is fed without credit does not initialise it.
fn warn_if_nothing_counts(sink: &Sink) {
    let Sink::Kernel { credit, .. } = sink else { return };
    // No bit, to hear whether we may.
    let ask = |random: File| pool::add_entropy(random.as_fd(), &[0; pool::FEED_LEN], 0);
    let refused = File::open("/dev/random").and_then(ask).err();
    let is_refused = refused.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    if *credit <= 0.0 || is_refused {
        warn!(
            "--wait-seeded: the kernel counts nothing of what we give, for which it takes \
             `credit` and root or CAP_SYS_ADMIN: others have to initialise its generator"
        );
    }
}

/// How the feeding ended; see [`sink::Feed`].
type FeedEnded = Receiver<Result<(), SinkError>>;

/// Starts the threads that this process has, by the half that it is. Where the network is, the
/// fetch threads and where the sink's figures are.
fn start(
    config: ClientConfig,
    half: Half,
    stop: &Latch,
) -> Result<(FeedEnded, Option<(Fetchers, SinkView)>), Failure> {
    let (samples, received) = crossbeam_channel::bounded(0);
    let request_size = config.sink.request_size(config.upstreams.len());
    let demand = Demand { request_size, is_even: config.sink.is_even() };
    let fetch = |upstreams: Vec<Upstream>| {
        let names: Vec<_> = upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        info!("will draw from {}", names.join(", "));
        for upstream in &upstreams {
            if matches!(&upstream.kind, Kind::Netrng02(server) if server.is_exposed()) {
                warn!(
                    "{} is not encrypted: whoever is on the way can read and change what is sent \
                     (allow-plaintext)",
                    upstream.name
                );
            }
        }
        client::start(upstreams, demand, &samples, stop, make_codec, sys::random::jitter)
    };
    match half {
        Half::Whole => {
            let feed = sink::start(&config.sink, received, stop, sys::random::jitter)?;
            Ok((feed.ended, Some((fetch(config.upstreams)?, SinkView::Here(feed.status)))))
        }
        Half::Network([link, figures]) => {
            let ended = give(link, received, stop.clone())?;
            Ok((ended, Some((fetch(config.upstreams)?, SinkView::There(figures)))))
        }
        Half::Root([link, figures]) => {
            // With all keys: this half needs none.
            drop(config.upstreams);
            let (wish, wishes) = crossbeam_channel::bounded(1);
            let intake = Intake { samples: received, wishes: Some(wish) };
            let feed = sink::start(&config.sink, intake, stop, sys::random::jitter)?;
            spawn("draw", Box::new(move || draw(&link, &wishes, &samples)))?;
            client_status::tell_the_other(figures, feed.status)?;
            Ok((feed.ended, None))
        }
    }
}

/// The half with the network: the other one is its sink.
fn give(link: UnixStream, samples: Receiver<Sample>, stop: Latch) -> io::Result<FeedEnded> {
    let (sender, ended) = crossbeam_channel::bounded(1);
    let work = move || {
        let given = match hop::give(&link, &samples, &stop) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            _ => {
                // The other one may have ended. Who watches over both ends this one as well, and
                // must not find it gone first: then it would be the culprit.
                let _ = stop.receiver().recv();
                Ok(())
            }
        };
        let _ = sender.send(given.map_err(SinkError::System));
    };
    spawn("give", Box::new(work))?;
    Ok(ended)
}

/// The half with the sink: the other one is its upstream.
fn draw(link: &UnixStream, wishes: &Receiver<()>, samples: &Sender<Sample>) {
    if let Err(error) = hop::draw(link, wishes, samples) {
        match error.kind() {
            io::ErrorKind::InvalidData => warn!("the network half gives no samples: {error}"),
            _ => debug!("the network half has ended: {error}"),
        }
        // It ends now, if it has not yet, and both are started again. Until then the sink waits.
        let _ = link.shutdown(Shutdown::Both);
        let _ = crossbeam_channel::never::<()>().recv();
    }
}

/// Waits for the first reason to end, and for the end of the sink; answers whether the reason
/// is that the kernel's generator is initialised.
fn wait_for_end(
    signal: &Receiver<()>,
    seeded: &Receiver<()>,
    feed_ended: &FeedEnded,
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
                drop(trigger);
                feed_ended.recv_timeout(STOP_PATIENCE)
            }
            recv(seeded) -> _ => {
                info!("the kernel's generator is initialised; stopping");
                is_seeded = true;
                drop(trigger);
                feed_ended.recv_timeout(STOP_PATIENCE)
            }
            recv(feed_ended) -> ended => {
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
    let wait = move || match sys::random::wait_until_seeded(&stop) {
        Ok(true) => drop(sender.send(())),
        // Nobody listens any more.
        Ok(false) => {}
        Err(error) => {
            warn!("cannot tell when the kernel's generator is initialised: {error}");
            // To hang up would say that it is.
            let _ = stop.receiver().recv();
        }
    };
    spawn("seeded", Box::new(wait))?;
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

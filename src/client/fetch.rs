//! The fetch thread of one upstream: attempts, backoff, and what the log says of them.
//!
//! Owns the life of sessions; what happens inside one is `session`'s.

use super::error::FailureKind;
use super::link::Link;
use super::netrng02::Netrng02Session;
use super::raw::RawSession;
use super::seat::Seat;
use super::session::{News, Session};
use super::trial::Trial;
use super::upstream::{Address, Command, Kind, Location, Netrng02, Remote, Ssh};
use super::worker::Program;
use super::{FetchError, FetchState, FetchStatus, MakeCodec, Upstream};
use crate::moment::Moment;
use crate::retry::{Backoff, Outage};
use crate::sample::Sample;
use crate::sys::latch::Latch;
use crate::wire::netrng02::Netrng02Client;
use crate::wire::plain::PlainClient;
use crate::wire::{ByeReason, WaitReason};
use crossbeam_channel::{Sender, select};
use log::{Level, debug, info, log};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The longest that a server's BYE can keep us away: a month in that field is a fault.
const BYE_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Addresses of one server that are tried in an attempt; of more, others the next time.
const ADDRESSES_MAX: usize = 8;
/// How often one upstream's WAIT is said aloud.
const SAY_WAIT_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Bytes without a fault that an upstream gives, after it once failed the health tests, before
/// its next failure counts as the first: or it could spoil the start of each session.
const TRUST_AFTER_BYTES: u64 = 64 * 1024;

/// One upstream's thread, not yet running.
pub(super) struct Fetcher {
    pub(super) upstream: Upstream,
    pub(super) make_codec: Arc<MakeCodec>,
    pub(super) request_size: u32,
    /// Where upstreams are to give the same.
    pub(super) seat: Option<Seat>,
    pub(super) samples: Sender<Sample>,
    pub(super) stop: Latch,
    pub(super) random: fn() -> u64,
    pub(super) status: Arc<FetchStatus>,
}

/// What outlives a session.
struct History {
    outage: Outage<FailureKind>,
    backoff: Backoff,
    wait_said: Option<Moment>,
    /// How loudly a child's words are said: what repeats a failure that was said is said quietly.
    words_level: Level,
    /// It failed the health tests, and has not given [`TRUST_AFTER_BYTES`] since.
    is_distrusted: bool,
}

/// Opens a session at one address of a server; `None` if told to stop.
type Open<'a> = dyn Fn(SocketAddr) -> Result<Option<Opened>, FetchError> + 'a;

/// A session of any kind.
enum Opened {
    Framed(Session),
    Netrng02(Netrng02Session),
    Raw(RawSession),
}

impl Opened {
    fn next(&mut self, request_size: u32, ping_token: u64) -> Result<News, FetchError> {
        match self {
            Opened::Framed(session) => session.next(request_size, ping_token),
            Opened::Netrng02(session) => session.next(request_size as usize),
            Opened::Raw(session) => session.next(request_size as usize),
        }
    }

    fn close(self) {
        match self {
            Opened::Framed(session) => session.close(),
            Opened::Netrng02(session) => session.close(),
            Opened::Raw(session) => session.close(),
        }
    }
}

impl Fetcher {
    /// Attempts, draws and retries until told to stop, or until nobody takes samples.
    pub(super) fn run(self) {
        let mut history = History {
            outage: Outage::new(),
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_MAX),
            wait_said: None,
            words_level: Level::Info,
            is_distrusted: false,
        };
        while !self.stop.is_released() {
            self.status.enter(FetchState::Connecting);
            self.tell_others(Seat::handle_connecting);
            let ended = match self.open(history.words_level) {
                Ok(Some(session)) => self.draw(session, &mut history),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            self.tell_others(Seat::handle_absent);
            let Err(error) = ended else { break };
            let delay = self.handle_failure(&error, &mut history);
            self.status.enter(FetchState::BackingOff);
            select! {
                recv(self.stop.receiver()) -> _ => break,
                default(delay) => {}
            }
        }
        self.status.enter(FetchState::Stopped);
    }

    /// A new session; `None` if told to stop.
    fn open(&self, level: Level) -> Result<Option<Opened>, FetchError> {
        let (name, stop, trial) = (&self.upstream.name, &self.stop, self.trial());
        let opened = match &self.upstream.kind {
            Kind::Address(address) => {
                let greet = |place| Ok(self.greet(address, place)?.map(Opened::Framed));
                return self.connect(self.places(address)?, &greet);
            }
            Kind::Netrng02(Netrng02 { host, port }) => {
                // It says nothing before it is asked.
                let open = |place| Ok(Some(self.open_netrng02(Link::connect(place)?, place)));
                return self.connect(resolve(host, *port)?, &open);
            }
            Kind::Command(Command { argv, stall_timeout }) => {
                let started = Program::Command(argv).start_writer(name, level)?;
                Opened::Raw(RawSession::new(started, trial, *stall_timeout, stop))
            }
            Kind::Ssh(ssh @ Ssh { remote: Remote::Raw { stall_timeout, .. }, .. }) => {
                let started = Program::Ssh(ssh).start_writer(name, level)?;
                Opened::Raw(RawSession::new(started, trial, *stall_timeout, stop))
            }
            Kind::Ssh(ssh) => {
                let (worker, input, output) = Program::Ssh(ssh).start_peer(name, level)?;
                let link = Link::Child(worker, input, output);
                // ssh has proved both ends: the plain protocol begins with the first request.
                Opened::Framed(Session::new(link, Box::new(PlainClient), trial, stop))
            }
        };
        self.status.sessions.fetch_add(1, Relaxed);
        Ok(Some(opened))
    }

    fn trial(&self) -> Trial {
        Trial::new(self.upstream.claimed_min_entropy())
    }

    /// Tries every address of the server; `None` if told to stop.
    fn connect(
        &self,
        places: Vec<SocketAddr>,
        open: &Open<'_>,
    ) -> Result<Option<Opened>, FetchError> {
        let name = &self.upstream.name;
        let mut error = FetchError::Resolve(std::io::ErrorKind::NotFound.into());
        for place in self.shuffled(places) {
            if self.stop.is_released() {
                return Ok(None);
            }
            match open(place) {
                Ok(opened) => return Ok(opened),
                Err(bye @ FetchError::Bye(..)) => return Err(bye),
                Err(failed) => {
                    debug!("{name}: {place}: {failed}");
                    error = failed;
                }
            }
        }
        // Stopped while it looked: nothing failed.
        if self.stop.is_released() { Ok(None) } else { Err(error) }
    }

    /// Where the server is now.
    fn places(&self, address: &Address) -> Result<Vec<SocketAddr>, FetchError> {
        match &address.location {
            Location::At(host, port) => resolve(host, *port),
            #[cfg(feature = "mdns")]
            Location::Discovered => {
                super::discover::find(&address.server_key, &self.upstream.name, &self.stop)
            }
        }
    }

    /// Some of `places`. The first is drawn: resolvers sort, so many clients of one name would
    /// else all come to the same.
    fn shuffled(&self, mut places: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let first = (self.random)() % places.len().max(1) as u64;
        places.rotate_left(usize::try_from(first).unwrap_or(0));
        places.truncate(ADDRESSES_MAX);
        places
    }

    fn greet(&self, address: &Address, place: SocketAddr) -> Result<Option<Session>, FetchError> {
        let codec = (self.make_codec)(address).map_err(FetchError::Handshake)?;
        let link = Link::connect(place)?;
        let mut session = Session::new(link, codec, self.trial(), &self.stop);
        let Some(welcome) = session.shake_hands()? else { return Ok(None) };
        self.status.sessions.fetch_add(1, Relaxed);
        debug!(
            "{}: connected; samples of {} bytes, {} bytes/s guaranteed",
            self.upstream.name, welcome.sample_size, welcome.guarantee_bytes_per_s
        );
        Ok(Some(session))
    }

    fn open_netrng02(&self, link: Link, place: SocketAddr) -> Opened {
        self.status.sessions.fetch_add(1, Relaxed);
        let session = Session::new(link, Box::new(Netrng02Client), self.trial(), &self.stop);
        Opened::Netrng02(Netrng02Session::new(session, place))
    }

    /// Asks, and hands over, until the session ends or we are to end.
    fn draw(&self, mut session: Opened, history: &mut History) -> Result<(), FetchError> {
        let mut given = 0;
        loop {
            self.status.enter(FetchState::Asking);
            let sample = loop {
                match session.next(self.request_size, (self.random)())? {
                    News::Sample(sample) => break sample,
                    News::Wait(reason, span) => self.handle_wait(Some(reason), span, history),
                    News::Nothing => self.handle_wait(None, Duration::ZERO, history),
                    News::Stopped => {
                        session.close();
                        return Ok(());
                    }
                }
            };
            let now = crate::sys::now();
            self.status.count_sample(sample.len(), now);
            if given == 0 {
                self.handle_first_sample(now, history);
            }
            given += sample.len() as u64;
            if !history.is_distrusted || given >= TRUST_AFTER_BYTES {
                history.is_distrusted = false;
                history.backoff.reset();
            }
            self.status.enter(FetchState::Full);
            if !self.give(sample) {
                session.close();
                return Ok(());
            }
        }
    }

    /// Hands it over when the sink wants it; `false` if we are to end. Dropping a sample wipes it:
    /// one that is still in hand then goes nowhere.
    fn give(&self, sample: Sample) -> bool {
        let len = sample.len();
        if self.seat.as_ref().is_some_and(|seat| !seat.wait_for_turn(&self.stop)) {
            return false;
        }
        let is_taken = select! {
            send(self.samples, sample) -> sent => sent.is_ok(),
            recv(self.stop.receiver()) -> _ => false,
        };
        self.tell_others(|seat, now| seat.handle_given(len, now));
        is_taken
    }

    fn tell_others(&self, tell: impl FnOnce(&Seat, Moment)) {
        if let Some(seat) = &self.seat {
            tell(seat, crate::sys::now());
        }
    }

    fn handle_first_sample(&self, now: Moment, history: &mut History) {
        let name = &self.upstream.name;
        match history.outage.handle_success(now) {
            Some(down) => info!("{name}: gives bytes again, after {} s", down.as_secs()),
            None if self.status.sessions.load(Relaxed) == 1 => info!("{name}: gives bytes"),
            None => debug!("{name}: gives bytes again"),
        }
    }

    fn handle_wait(&self, reason: Option<WaitReason>, span: Duration, history: &mut History) {
        self.status.enter(FetchState::Waiting);
        self.tell_others(Seat::handle_absent);
        let now = crate::sys::now();
        let said = history.wait_said;
        let level = if said.is_none_or(|said| now.since(said) >= SAY_WAIT_AGAIN_AFTER) {
            Level::Info
        } else {
            Level::Debug
        };
        // While it goes on, each WAIT renews what was said: aloud only when it begins.
        history.wait_said = Some(now);
        let name = &self.upstream.name;
        match reason {
            Some(WaitReason::InLine) => {
                log!(
                    level,
                    "{name}: all places are taken; we are number {} in line",
                    span.as_millis()
                );
            }
            Some(reason) => log!(level, "{name}: has nothing to give for now: {reason}"),
            None => log!(level, "{name}: has nothing to give for now"),
        }
    }

    /// Counts and logs; answers how long to stay away.
    fn handle_failure(&self, error: &FetchError, history: &mut History) -> Duration {
        let name = &self.upstream.name;
        let delay = history.backoff.next_delay((self.random)());
        let delay = match error {
            FetchError::Bye(_, after) => delay + (*after).min(BYE_WAIT_MAX),
            _ => delay,
        };
        // Who wants nothing gives its place to who does: as it should be.
        if let FetchError::Bye(ByeReason::Idle, _) = error {
            debug!("{name}: {error}; back in {} ms", delay.as_millis());
            return delay;
        }
        self.status.count_failure(error.to_string());
        history.is_distrusted |= matches!(error, FetchError::Health(_));
        let level = history.outage.handle_failure(error.kind(), crate::sys::now());
        history.words_level = if level == Level::Warn { Level::Info } else { Level::Debug };
        log!(level, "{name}: {error}; next attempt in {} ms", delay.as_millis());
        delay
    }
}

/// The addresses that the name has now.
fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
    Ok((host, port).to_socket_addrs().map_err(FetchError::Resolve)?.collect())
}

//! The fetch thread of one upstream: attempts, backoff, and what the log says of them.
//!
//! Owns the life of sessions; what happens inside one is `session`'s.

use super::session::{FetchError, News, Session};
use super::{FetchState, FetchStatus, Upstream};
use crate::moment::Moment;
use crate::retry::{Backoff, Outage};
use crate::sample::Sample;
use crate::sys::latch::Latch;
use crate::wire::{ByeReason, ClientCodec, CodecError, WaitReason, Welcome};
use crossbeam_channel::{Sender, select};
use log::{Level, debug, info, log};
use std::mem::{Discriminant, discriminant};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// The longest that a server's BYE can keep us away: a month in that field is a fault.
const BYE_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Addresses of one name that are tried in an attempt.
const ADDRESSES_MAX: usize = 8;
/// How often one upstream's WAIT is said aloud.
const SAY_WAIT_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// One upstream's thread, not yet running.
pub(super) struct Fetcher {
    pub(super) upstream: Upstream,
    pub(super) request_size: u32,
    pub(super) samples: Sender<Sample>,
    pub(super) stop: Latch,
    pub(super) random: fn() -> u64,
    pub(super) status: Arc<FetchStatus>,
}

/// What the log tells apart: the variant, and within BYE the reason that it gives.
type FailureKind = (Discriminant<FetchError>, Option<ByeReason>);

/// What outlives a session.
struct History {
    outage: Outage<FailureKind>,
    backoff: Backoff,
    wait_said: Option<Moment>,
}

impl Fetcher {
    /// Attempts, draws and retries until told to stop, or until nobody takes samples.
    pub(super) fn run<C, M>(self, make_codec: M)
    where
        C: ClientCodec,
        M: Fn(&Upstream) -> Result<C, CodecError>,
    {
        let mut history = History {
            outage: Outage::new(),
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_MAX),
            wait_said: None,
        };
        while !self.stop.is_released() {
            self.status.enter(FetchState::Connecting);
            let ended = match self.connect(&make_codec) {
                Ok(Some((session, welcome))) => {
                    self.handle_welcome(welcome);
                    self.draw(session, &mut history)
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
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

    /// Tries every address of the upstream; `None` if told to stop.
    fn connect<C, M>(&self, make_codec: &M) -> Result<Option<(Session<C>, Welcome)>, FetchError>
    where
        C: ClientCodec,
        M: Fn(&Upstream) -> Result<C, CodecError>,
    {
        let mut error = FetchError::Resolve(std::io::ErrorKind::NotFound.into());
        for address in self.resolve()? {
            if self.stop.is_released() {
                return Ok(None);
            }
            let codec = make_codec(&self.upstream).map_err(FetchError::Handshake)?;
            match Session::open(address, codec, &self.stop) {
                Ok(opened) => return Ok(opened),
                Err(bye @ FetchError::Bye(..)) => return Err(bye),
                Err(failed) => {
                    debug!("{}: {address}: {failed}", self.upstream.name);
                    error = failed;
                }
            }
        }
        Err(error)
    }

    fn resolve(&self) -> Result<Vec<SocketAddr>, FetchError> {
        let addresses = (self.upstream.host.as_str(), self.upstream.port).to_socket_addrs();
        Ok(addresses.map_err(FetchError::Resolve)?.take(ADDRESSES_MAX).collect())
    }

    fn handle_welcome(&self, welcome: Welcome) {
        self.status.sessions.fetch_add(1, Relaxed);
        debug!(
            "{}: connected; samples of {} bytes, {} bytes/s guaranteed",
            self.upstream.name, welcome.sample_size, welcome.guarantee_bytes_per_s
        );
    }

    /// Asks, and hands over, until the session ends or we are to end.
    fn draw<C: ClientCodec>(
        &self,
        mut session: Session<C>,
        history: &mut History,
    ) -> Result<(), FetchError> {
        let mut is_first = true;
        loop {
            self.status.enter(FetchState::Asking);
            let sample = loop {
                match session.next(self.request_size, (self.random)())? {
                    News::Sample(sample) => break sample,
                    News::Wait(reason, span) => self.handle_wait(reason, span, history),
                    News::Stopped => {
                        session.close();
                        return Ok(());
                    }
                }
            };
            let now = crate::sys::now();
            self.status.count_sample(sample.len(), now);
            if std::mem::take(&mut is_first) {
                self.handle_first_sample(now, history);
            }
            self.status.enter(FetchState::Full);
            // Dropping a sample wipes it: one that is still in hand at the end goes nowhere.
            let taken = select! {
                send(self.samples, sample) -> sent => sent.is_ok(),
                recv(self.stop.receiver()) -> _ => false,
            };
            if !taken {
                session.close();
                return Ok(());
            }
        }
    }

    fn handle_first_sample(&self, now: Moment, history: &mut History) {
        history.backoff.reset();
        let name = &self.upstream.name;
        match history.outage.handle_success(now) {
            Some(down) => info!("{name}: gives bytes again, after {} s", down.as_secs()),
            None if self.status.sessions.load(Relaxed) == 1 => info!("{name}: gives bytes"),
            None => debug!("{name}: gives bytes again"),
        }
    }

    fn handle_wait(&self, reason: WaitReason, span: Duration, history: &mut History) {
        self.status.enter(FetchState::Waiting);
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
            WaitReason::InLine => {
                log!(
                    level,
                    "{name}: all places are taken; we are number {} in line",
                    span.as_millis()
                );
            }
            _ => log!(level, "{name}: has nothing to give for now: {reason}"),
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
        let reason = match error {
            FetchError::Bye(reason, _) => Some(*reason),
            _ => None,
        };
        let kind = (discriminant(error), reason);
        let level = history.outage.handle_failure(kind, crate::sys::now());
        log!(level, "{name}: {error}; next attempt in {} ms", delay.as_millis());
        delay
    }
}

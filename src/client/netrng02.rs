//! A session with a server of the original NetRNG, 0.2: one request, one answer, in clear.
//!
//! Owns what is peculiar to that server. It tests nothing, so its bytes pass a raw source's tests
//! here, start-up test included. It sends samples of its own size, so what is more than was wanted
//! waits here. And it hangs up on whoever says nothing for 3 s: that is left to it. Heartbeats
//! would hold one of its few places (two, unless it is told otherwise) and wake us each second for
//! a sink that wants nothing; and whoever hangs up first makes it spin until those 3 s are over.
//! So the connection dies while the sink wants nothing, and a new one is made when it does.

use super::FetchError;
use super::link::Link;
use super::session::{News, Session};
use crate::moment::Moment;
use crate::sample::Sample;
use crate::source::health::STARTUP_BYTES;
use crate::wire::Answer;
use std::net::SocketAddr;
use std::time::Duration;

/// A connection that ends after we asked for nothing for so long ended for that: the server's 3 s
/// began when it had sent its last answer, and its clock may be slow to be looked at.
const IDLE_MIN: Duration = Duration::from_secs(2);
/// From a heartbeat, by which a server says that it has no bytes yet, to the next request.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A connection, or the memory of one.
pub(super) struct Netrng02Session {
    session: Session,
    place: SocketAddr,
    /// Bytes that the start-up test still has to see and throw away.
    startup_left: usize,
    /// Tested, and more than was wanted.
    rest: Sample,
    answered_at: Moment,
    /// When the server may have bytes, if it had none.
    ask_at: Option<Moment>,
}

impl Netrng02Session {
    /// Over `session`, which is connected to `place`.
    pub(super) fn new(session: Session, place: SocketAddr) -> Self {
        Netrng02Session {
            session,
            place,
            startup_left: STARTUP_BYTES,
            rest: Sample::default(),
            answered_at: crate::sys::now(),
            ask_at: None,
        }
    }

    /// Waits for at most `request_size` tested bytes.
    ///
    /// # Errors
    /// [`FetchError`]: the session is over.
    pub(super) fn next(&mut self, request_size: usize) -> Result<News, FetchError> {
        loop {
            if self.startup_left > 0 {
                self.startup_left -= self.rest.split_front(self.startup_left).len();
            }
            if !self.rest.is_empty() {
                return Ok(News::Sample(self.rest.split_front(request_size)));
            }
            let may_ask = match self.ask_at.take() {
                Some(at) => self.session.pause(at)?,
                None => true,
            };
            if !may_ask {
                return Ok(News::Stopped);
            }
            match self.ask()? {
                None => return Ok(News::Stopped),
                Some(Answer::Sample(sample)) if sample.is_empty() => {
                    return Err(FetchError::SourceEnded);
                }
                Some(Answer::Sample(sample)) => {
                    self.session.test(&sample)?;
                    self.rest = sample;
                }
                Some(_) => {
                    self.ask_at = Some(self.answered_at + ASK_AGAIN_AFTER);
                    return Ok(News::Nothing);
                }
            }
        }
    }

    /// One request and its answer; `None` if told to stop.
    fn ask(&mut self) -> Result<Option<Answer>, FetchError> {
        let idle = crate::sys::now().since(self.answered_at);
        let answer = match self.session.exchange() {
            Err(FetchError::Closed | FetchError::Lost(_)) if idle >= IDLE_MIN => {
                // The tests go on where they were: it is the same source.
                self.session.replace_link(Link::connect(self.place)?);
                self.session.exchange()
            }
            answer => answer,
        };
        self.answered_at = crate::sys::now();
        answer
    }

    /// Hangs up. There is no word for it.
    pub(super) fn close(self) {
        self.session.close();
    }
}

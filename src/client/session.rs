//! One connection to a server, from connect to its end: the handshake, the requests, the signs
//! of life while an answer is due, and the tests on what comes.
//!
//! Owns a link and its protocol. It does not retry, log or know what the bytes are for.

use super::FetchError;
use super::link::Link;
use super::patience::Patience;
use super::trial::Trial;
use crate::moment::Moment;
use crate::sample::Sample;
use crate::sys::latch::Latch;
use crate::sys::pipe::{self, Interest};
use crate::wire::{Answer, ClientCodec, CodecError, Request, WaitReason, Welcome};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// With an answer due: how long a server may say nothing before it is pinged, and then again
/// before it counts as dead.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// Bytes taken from the socket at once.
const READ_LEN: usize = 16 * 1024;

/// What a session has to tell.
pub(super) enum News {
    /// Bytes: at most what was asked for.
    Sample(Sample),
    /// The server has nothing to give for now; what was asked for is still due.
    Wait(WaitReason, Duration),
    /// The server has nothing to give for now, does not say why, and is to be asked again.
    Nothing,
    /// We are to end.
    Stopped,
}

enum Heard {
    Answer(Answer),
    Deadline,
    Stopped,
}

/// A session whose server has proved its key.
pub(super) struct Session {
    link: Link,
    codec: Box<dyn ClientCodec>,
    trial: Trial,
    stop: Latch,
    input: Zeroizing<Vec<u8>>,
    output: Vec<u8>,
    chunk: Zeroizing<Vec<u8>>,
    outstanding: u32,
    patience: Patience,
    last_heard: Moment,
    pinged: bool,
}

impl Session {
    /// A session over `link`; nothing is said yet.
    pub(super) fn new(link: Link, codec: Box<dyn ClientCodec>, trial: Trial, stop: &Latch) -> Self {
        let now = crate::sys::now();
        Session {
            link,
            codec,
            trial,
            stop: stop.clone(),
            input: Zeroizing::default(),
            output: Vec::new(),
            chunk: Zeroizing::new(vec![0; READ_LEN]),
            outstanding: 0,
            patience: Patience::new(now),
            last_heard: now,
            pinged: false,
        }
    }

    /// Completes the handshake; `None` if told to stop meanwhile.
    ///
    /// # Errors
    /// [`FetchError`]: the session is over.
    pub(super) fn shake_hands(&mut self) -> Result<Option<Welcome>, FetchError> {
        let deadline = crate::sys::now() + HANDSHAKE_TIMEOUT;
        self.greet(deadline).map_err(|error| match error {
            FetchError::Protocol(error) => FetchError::Handshake(error),
            FetchError::Closed | FetchError::Lost(_) => FetchError::Refused,
            other => other,
        })
    }

    fn greet(&mut self, deadline: Moment) -> Result<Option<Welcome>, FetchError> {
        self.codec.start(&mut self.output).map_err(FetchError::Protocol)?;
        self.flush()?;
        match self.hear(deadline)? {
            Heard::Answer(Answer::Welcome(welcome)) => Ok(Some(welcome)),
            Heard::Answer(Answer::Bye(reason, after)) => Err(FetchError::Bye(reason, after)),
            Heard::Answer(_) => Err(FetchError::Protocol(CodecError::OutOfOrder)),
            Heard::Deadline => Err(FetchError::HandshakeTimeout),
            Heard::Stopped => Ok(None),
        }
    }

    /// Asks for `request_size` bytes if nothing is due any more, and waits for what comes.
    /// `ping_token` is what a ping would carry.
    ///
    /// # Errors
    /// [`FetchError`]: the session is over.
    pub(super) fn next(&mut self, request_size: u32, ping_token: u64) -> Result<News, FetchError> {
        self.ask(request_size, ping_token).map_err(|error| self.link.explain(error))
    }

    fn ask(&mut self, request_size: u32, ping_token: u64) -> Result<News, FetchError> {
        if self.outstanding == 0 {
            self.outstanding = request_size;
            self.say(Request::Bytes(request_size))?;
        }
        // The time since the last call was ours: the sink wanted nothing.
        self.heard_something();
        loop {
            let answer = match self.hear(self.last_heard + SILENCE)? {
                Heard::Answer(answer) => answer,
                Heard::Stopped => return Ok(News::Stopped),
                Heard::Deadline if self.pinged => return Err(FetchError::Silent),
                Heard::Deadline => {
                    self.say(Request::Ping(ping_token))?;
                    self.last_heard = crate::sys::now();
                    self.pinged = true;
                    continue;
                }
            };
            self.heard_something();
            if let Answer::Sample(sample) = answer {
                return self.take(sample);
            }
            if self.patience.handle_barren(self.last_heard) {
                return Err(FetchError::Flood);
            }
            match answer {
                Answer::Wait(reason, span) => return Ok(News::Wait(reason, span)),
                Answer::Bye(reason, after) => return Err(FetchError::Bye(reason, after)),
                Answer::Welcome(_) => return Err(FetchError::Protocol(CodecError::OutOfOrder)),
                Answer::Pong(_) | Answer::Sample(_) => {}
            }
        }
    }

    fn take(&mut self, sample: Sample) -> Result<News, FetchError> {
        let got = sample.len();
        let rest = u32::try_from(got).ok().and_then(|got| self.outstanding.checked_sub(got));
        match rest {
            Some(rest) if got > 0 => {
                self.trial.check(sample.as_bytes()).map_err(FetchError::Health)?;
                self.outstanding = rest;
                self.patience.handle_sample();
                Ok(News::Sample(sample))
            }
            _ => Err(FetchError::SampleLength { asked: self.outstanding, got }),
        }
    }

    /// For a protocol in which each request for a sample has one answer: asks and waits for that;
    /// `None`: we are to end. A second question before the answer would break such a protocol, so
    /// there is no ping.
    ///
    /// # Errors
    /// [`FetchError`]: the session is over.
    pub(super) fn exchange(&mut self) -> Result<Option<Answer>, FetchError> {
        self.say(Request::Sample)?;
        match self.hear(crate::sys::now() + 2 * SILENCE)? {
            Heard::Answer(answer) => Ok(Some(answer)),
            Heard::Deadline => Err(FetchError::Silent),
            Heard::Stopped => Ok(None),
        }
    }

    /// Tests what came.
    ///
    /// # Errors
    /// [`FetchError::Health`]: none of it may be used, and the session is over.
    pub(super) fn test(&mut self, sample: &Sample) -> Result<(), FetchError> {
        self.patience.handle_sample();
        self.trial.check(sample.as_bytes()).map_err(FetchError::Health)
    }

    /// Says nothing and hears nothing until `until`; `false`: we are to end.
    ///
    /// # Errors
    /// [`FetchError::Local`].
    pub(super) fn pause(&self, until: Moment) -> Result<bool, FetchError> {
        let stopped = pipe::wait([(self.stop.as_fd(), Interest::Readable)], Some(until));
        stopped.map(|[is_stopped]| !is_stopped).map_err(FetchError::Local)
    }

    /// Goes on over another connection to the same server: nothing is due.
    pub(super) fn replace_link(&mut self, link: Link) {
        self.link = link;
        self.input = Zeroizing::default();
    }

    fn heard_something(&mut self) {
        self.last_heard = crate::sys::now();
        self.pinged = false;
    }

    /// Says goodbye. Whether it arrives makes no difference to us.
    pub(super) fn close(mut self) {
        if self.codec.encode(Request::Bye, &mut self.output).is_ok() {
            let _ = self.link.write_all(&self.output);
        }
    }

    fn say(&mut self, request: Request) -> Result<(), FetchError> {
        self.codec.encode(request, &mut self.output).map_err(FetchError::Protocol)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), FetchError> {
        let written = self.link.write_all(&self.output);
        self.output.clear();
        let Err(error) = written else { return Ok(()) };
        // A server that closed while we wanted nothing may have said why.
        match self.hear(Moment::ZERO) {
            Ok(Heard::Answer(Answer::Bye(reason, after))) => Err(FetchError::Bye(reason, after)),
            _ => Err(FetchError::Lost(error)),
        }
    }

    /// The next complete message, waited for until `deadline`.
    fn hear(&mut self, deadline: Moment) -> Result<Heard, FetchError> {
        loop {
            if let Some(answer) =
                self.codec.decode(&mut self.input).map_err(FetchError::Protocol)?
            {
                return Ok(Heard::Answer(answer));
            }
            let ready = pipe::wait(
                [(self.link.as_fd(), Interest::Readable), (self.stop.as_fd(), Interest::Readable)],
                Some(deadline),
            );
            match ready.map_err(FetchError::Local)? {
                [_, true] => return Ok(Heard::Stopped),
                [false, false] => return Ok(Heard::Deadline),
                [true, false] => self.read()?,
            }
        }
    }

    fn read(&mut self) -> Result<(), FetchError> {
        if self.patience.handle_barren(crate::sys::now()) {
            return Err(FetchError::Flood);
        }
        match self.link.read(&mut self.chunk) {
            Ok(0) => Err(FetchError::Closed),
            Ok(count) => {
                self.input.extend_from_slice(&self.chunk[..count]);
                self.chunk[..count].zeroize();
                Ok(())
            }
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(FetchError::Lost(error)),
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

//! One connection to a server, from connect to its end: the handshake, the requests, and the
//! signs of life while an answer is due.
//!
//! Owns a socket and its protocol. It does not retry, log or know what the bytes are for.

use super::patience::Patience;
use crate::moment::Moment;
use crate::sample::Sample;
use crate::sys::latch::Latch;
use crate::sys::pipe::{self, Interest};
use crate::wire::{Answer, ByeReason, ClientCodec, CodecError, Request, WaitReason, Welcome};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests are some tens of bytes: whoever does not take one for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// With an answer due: how long a server may say nothing before it is pinged, and then again
/// before it counts as dead.
const SILENCE: Duration = Duration::from_secs(15);
/// While nothing is due nobody speaks; the kernel then probes the peer.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes taken from the socket at once.
const READ_LEN: usize = 16 * 1024;

/// Why an attempt or a session ended.
#[derive(Debug)]
pub enum FetchError {
    /// The name has no address.
    Resolve(io::Error),
    /// No connection.
    Connect(io::Error),
    /// Our own side could not begin.
    Local(io::Error),
    /// The server ended the connection before it proved its key.
    Refused,
    /// The server did not answer the handshake in time.
    HandshakeTimeout,
    /// The server's handshake message makes no sense with our keys.
    Handshake(CodecError),
    /// The server broke the protocol.
    Protocol(CodecError),
    /// More bytes than were asked for, or none.
    SampleLength {
        /// What was outstanding.
        asked: u32,
        /// What came.
        got: usize,
    },
    /// Message after message without a sample.
    Flood,
    /// No sign of life although an answer was due.
    Silent,
    /// The connection ended.
    Closed,
    /// The connection failed.
    Lost(io::Error),
    /// The server said goodbye.
    Bye(ByeReason, Duration),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Resolve(error) => write!(f, "cannot find its address: {error}"),
            FetchError::Connect(error) => write!(f, "cannot connect: {error}"),
            FetchError::Local(error) => write!(f, "cannot use the connection: {error}"),
            FetchError::Refused => f.write_str(
                "the server ended the handshake: is `public-key` its public key, and does its \
                 clients file list ours? (Or it is too busy for newcomers.)",
            ),
            FetchError::HandshakeTimeout => write!(
                f,
                "no answer to the handshake within {} s: is it a netrng server?",
                HANDSHAKE_TIMEOUT.as_secs()
            ),
            FetchError::Handshake(CodecError::NoRandomness) => {
                f.write_str("no ephemeral key could be made")
            }
            FetchError::Handshake(error) => {
                write!(f, "the handshake failed ({error}): check `public-key` and `psk`")
            }
            FetchError::Protocol(error) => write!(f, "the server broke the protocol ({error})"),
            FetchError::SampleLength { asked, got } => {
                write!(f, "the server sent {got} bytes where up to {asked} were due")
            }
            FetchError::Flood => f.write_str("the server floods us with messages without bytes"),
            FetchError::Silent => {
                write!(f, "the server says nothing since {} s", 2 * SILENCE.as_secs())
            }
            FetchError::Closed => f.write_str("the server closed the connection"),
            FetchError::Lost(error) => write!(f, "the connection failed: {error}"),
            FetchError::Bye(ByeReason::Replaced, _) => f.write_str(
                "the server said goodbye: another client came with our key; is this configuration \
                 on two machines?",
            ),
            FetchError::Bye(ByeReason::NoCapacity, _) => f.write_str(
                "the server said goodbye: our guarantee does not fit beside the others'",
            ),
            FetchError::Bye(reason, _) => write!(f, "the server said goodbye: {reason}"),
        }
    }
}

impl std::error::Error for FetchError {}

/// What a session has to tell.
pub(super) enum News {
    /// Bytes: at most what was asked for.
    Sample(Sample),
    /// The server has nothing to give for now; what was asked for is still due.
    Wait(WaitReason, Duration),
    /// We are to end.
    Stopped,
}

enum Heard {
    Answer(Answer),
    Deadline,
    Stopped,
}

/// A session whose server has proved its key.
pub(super) struct Session<C> {
    stream: TcpStream,
    codec: C,
    stop: Latch,
    input: Zeroizing<Vec<u8>>,
    output: Vec<u8>,
    chunk: Zeroizing<Vec<u8>>,
    outstanding: u32,
    patience: Patience,
    last_heard: Moment,
    pinged: bool,
}

impl<C: ClientCodec> Session<C> {
    /// Connects to `address` and completes the handshake; `None` if told to stop meanwhile.
    ///
    /// # Errors
    /// Every [`FetchError`] but `Resolve`.
    pub(super) fn open(
        address: SocketAddr,
        codec: C,
        stop: &Latch,
    ) -> Result<Option<(Self, Welcome)>, FetchError> {
        let stream =
            TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(FetchError::Connect)?;
        prepare(&stream).map_err(FetchError::Local)?;
        let now = crate::sys::now();
        let mut session = Session {
            stream,
            codec,
            stop: stop.clone(),
            input: Zeroizing::default(),
            output: Vec::new(),
            chunk: Zeroizing::new(vec![0; READ_LEN]),
            outstanding: 0,
            patience: Patience::new(now),
            last_heard: now,
            pinged: false,
        };
        let welcome = session.greet(now + HANDSHAKE_TIMEOUT).map_err(|error| match error {
            FetchError::Protocol(error) => FetchError::Handshake(error),
            FetchError::Closed | FetchError::Lost(_) => FetchError::Refused,
            other => other,
        })?;
        Ok(welcome.map(|welcome| (session, welcome)))
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
                self.outstanding = rest;
                self.patience.handle_sample();
                Ok(News::Sample(sample))
            }
            _ => Err(FetchError::SampleLength { asked: self.outstanding, got }),
        }
    }

    fn heard_something(&mut self) {
        self.last_heard = crate::sys::now();
        self.pinged = false;
    }

    /// Says goodbye. Whether it arrives makes no difference to us.
    pub(super) fn close(mut self) {
        if self.codec.encode(Request::Bye, &mut self.output).is_ok() {
            let _ = self.stream.write_all(&self.output);
        }
    }

    fn say(&mut self, request: Request) -> Result<(), FetchError> {
        self.codec.encode(request, &mut self.output).map_err(FetchError::Protocol)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), FetchError> {
        let written = self.stream.write_all(&self.output);
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
                [
                    (self.stream.as_fd(), Interest::Readable),
                    (self.stop.as_fd(), Interest::Readable),
                ],
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
        match self.stream.read(&mut self.chunk) {
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

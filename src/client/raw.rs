//! A session with a raw upstream: a child whose output is random bytes and nothing else.
//!
//! Owns the child's output and the tests on it. It reads only when it is asked to, so behind a
//! sink that wants nothing the child waits, one page ahead. It does not retry.

use super::FetchError;
use super::session::News;
use super::trial::Trial;
use super::worker::Worker;
use crate::moment::Moment;
use crate::sample::Sample;
use crate::source::health::STARTUP_BYTES;
use crate::sys::latch::Latch;
use crate::sys::pipe::{self, Interest};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::Duration;
use zeroize::Zeroizing;

/// A sample that has been filling for this long goes on as it is: from a slow generator
/// nobody waits for 2,048 bytes who could use 64.
const SAMPLE_SPAN: Duration = Duration::from_millis(250);

/// A raw upstream that was started.
#[derive(Debug)]
pub(super) struct RawSession {
    worker: Worker,
    output: File,
    stop: Latch,
    trial: Trial,
    stall_timeout: Duration,
    /// Bytes that the start-up test still has to see and throw away.
    startup_left: usize,
}

enum Got {
    Bytes(usize),
    End,
    Deadline,
    Stopped,
}

impl RawSession {
    pub(super) fn new(
        (worker, output): (Worker, File),
        trial: Trial,
        stall_timeout: Duration,
        stop: &Latch,
    ) -> Self {
        let stop = stop.clone();
        RawSession { worker, output, stop, trial, stall_timeout, startup_left: STARTUP_BYTES }
    }

    /// Waits for at most `request_size` tested bytes.
    ///
    /// # Errors
    /// [`FetchError`]: the session is over.
    pub(super) fn next(&mut self, request_size: usize) -> Result<News, FetchError> {
        while self.startup_left > 0 {
            let Some(discarded) = self.fill(self.startup_left)? else { return Ok(News::Stopped) };
            self.startup_left -= discarded.len();
        }
        Ok(self.fill(request_size)?.map_or(News::Stopped, News::Sample))
    }

    /// The next bytes: `want`, or as many as came in [`SAMPLE_SPAN`] or before the end. `None`:
    /// we are to end.
    fn fill(&mut self, want: usize) -> Result<Option<Sample>, FetchError> {
        let mut bytes = Zeroizing::new(vec![0; want]);
        let mut filled = 0;
        let mut deadline = crate::sys::now() + self.stall_timeout;
        while filled < want {
            match self.read(&mut bytes[filled..], deadline)? {
                Got::Bytes(count) => {
                    if filled == 0 {
                        deadline = crate::sys::now() + SAMPLE_SPAN;
                    }
                    filled += count;
                }
                Got::Deadline if filled == 0 => {
                    return Err(FetchError::Stalled(self.stall_timeout));
                }
                Got::End if filled == 0 => return Err(self.worker.why()),
                Got::Deadline | Got::End => break,
                Got::Stopped => return Ok(None),
            }
        }
        bytes.truncate(filled);
        Ok(Some(Sample::new(std::mem::take(&mut *bytes))))
    }

    /// One read, through the tests.
    fn read(&mut self, buffer: &mut [u8], deadline: Moment) -> Result<Got, FetchError> {
        let ready = pipe::wait(
            [(self.output.as_fd(), Interest::Readable), (self.stop.as_fd(), Interest::Readable)],
            Some(deadline),
        );
        match ready.map_err(FetchError::Local)? {
            [_, true] => return Ok(Got::Stopped),
            [false, false] => return Ok(Got::Deadline),
            [true, false] => {}
        }
        loop {
            match self.output.read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(count) => {
                    self.trial.check(&buffer[..count]).map_err(FetchError::Health)?;
                    return Ok(Got::Bytes(count));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(FetchError::Lost(error)),
            }
        }
    }

    /// Ends the child and what it started.
    pub(super) fn close(self) {
        self.worker.end();
    }
}

//! What native frames travel through: a TCP connection, or the pipes of an ssh.
//!
//! Owns the two descriptors and their deadlines. It does not know what is said.

use super::FetchError;
use super::worker::Worker;
use crate::sys::pipe::{self, Interest};
use crate::wire::ByeReason;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests are some tens of bytes: whoever does not take one for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// While nothing is due nobody speaks; the kernel then probes the peer. ssh has its own way.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// A connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each thread has one")]
pub(super) enum Link {
    /// To a server.
    Tcp(TcpStream),
    /// To a child: what it reads, and what it writes.
    Child(Worker, File, File),
}

impl Link {
    pub(super) fn connect(address: SocketAddr) -> Result<Link, FetchError> {
        let stream =
            TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(FetchError::Connect)?;
        prepare(&stream).map_err(FetchError::Local)?;
        Ok(Link::Tcp(stream))
    }

    /// Polls readable when [`Link::read`] does not wait.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Link::Tcp(stream) => stream.as_fd(),
            Link::Child(_, _, output) => output.as_fd(),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Tcp(stream) => stream.read(buffer),
            Link::Child(_, _, output) => output.read(buffer),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Link::Tcp(stream) => stream.write_all(bytes),
            Link::Child(_, input, _) => write_all(input, bytes),
        }
    }

    /// The reason behind `error`, if there is one to be found.
    pub(super) fn explain(&self, error: FetchError) -> FetchError {
        match (self, error) {
            (Link::Child(worker, ..), FetchError::Closed | FetchError::Lost(_)) => worker.why(),
            // `netrng tap` tells who it is there that the server does not serve.
            (
                Link::Child(worker, ..),
                FetchError::Bye(ByeReason::NotAllowed | ByeReason::NameNeeded, _),
            ) => worker.why(),
            (Link::Child(worker, ..), error @ FetchError::Protocol(_)) => worker.why_garbled(error),
            (_, error) => error,
        }
    }
}

/// Into a pipe whose writes do not wait.
fn write_all(pipe: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    let deadline = crate::sys::now() + WRITE_TIMEOUT;
    while !bytes.is_empty() {
        match pipe.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match pipe::wait([(pipe.as_fd(), Interest::Writable)], Some(deadline))? {
                    [true] => {}
                    [false] => return Err(ErrorKind::TimedOut.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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

//! The asking side of EGD, the Entropy Gathering Daemon's protocol: how bytes are had from an
//! EGD server such as Entropy Key's `ekeyd`.
//!
//! Owns what is asked when, and how many bytes of it are still to come. Only command 2 is used:
//! its reply is nothing but bytes, and waits for them, so nothing polls.

use super::device::DeviceError;
use crate::sys;
use crate::sys::pipe::{self, Interest};
use socket2::SockRef;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The command that is answered with as many bytes as were asked for, when they are there.
const READ: u8 = 2;

/// Connects to an EGD server, within `timeout`.
///
/// # Errors
/// As the system says.
pub(super) fn connect(address: SocketAddr, timeout: Duration) -> io::Result<File> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    Ok(File::from(OwnedFd::from(stream)))
}

/// What was asked of the server at the other end of a socket.
#[derive(Debug)]
pub(super) struct Replies {
    /// Bytes of the last reply that are still to come.
    owed: usize,
}

impl Replies {
    /// Nothing was asked yet. A server that says nothing for `timeout` is given up.
    ///
    /// # Errors
    /// As the system says of what is no socket.
    pub(super) fn new(socket: &File, timeout: Duration) -> io::Result<Self> {
        SockRef::from(socket).set_read_timeout(Some(timeout))?;
        Ok(Replies { owed: 0 })
    }

    /// Reads at least one byte, and asks first if none is owed: for no more than is wanted now.
    ///
    /// # Errors
    /// [`DeviceError`]. The connection is worth nothing then: what comes after would be out of
    /// step.
    pub(super) fn read(
        &mut self,
        mut socket: &File,
        buffer: &mut [u8],
    ) -> Result<usize, DeviceError> {
        if self.owed == 0 {
            // What is there now nobody has asked for, unless it is the end.
            if pipe::wait([(socket.as_fd(), Interest::Readable)], Some(sys::now()))?[0] {
                self.receive(socket, &mut [0])?;
                return Err(DeviceError::Unasked);
            }
            let count = u8::try_from(buffer.len()).unwrap_or(u8::MAX);
            socket.write_all(&[READ, count]).map_err(|error| self.error(error))?;
            self.owed = count.into();
        }
        let len = buffer.len().min(self.owed);
        let count = self.receive(socket, &mut buffer[..len])?;
        self.owed -= count;
        Ok(count)
    }

    fn receive(&self, mut socket: &File, buffer: &mut [u8]) -> Result<usize, DeviceError> {
        loop {
            match socket.read(buffer) {
                Ok(0) => return Err(DeviceError::HungUp { owed: self.owed }),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    fn error(&self, error: io::Error) -> DeviceError {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                DeviceError::HungUp { owed: self.owed }
            }
            io::ErrorKind::WouldBlock => DeviceError::Silent,
            _ => DeviceError::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::thread::{JoinHandle, spawn};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// What we read with, what remembers, and the server's end.
    fn talk() -> (File, Replies, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = File::from(OwnedFd::from(ours));
        let replies = Replies::new(&socket, PATIENCE).unwrap();
        (socket, replies, theirs)
    }

    /// Answers one request, once it is there.
    fn answer(theirs: &UnixStream, answer: &[u8]) -> JoinHandle<[u8; 2]> {
        let (mut theirs, answer) = (theirs.try_clone().unwrap(), answer.to_owned());
        spawn(move || {
            let mut request = [0; 2];
            theirs.read_exact(&mut request).unwrap();
            theirs.write_all(&answer).unwrap();
            request
        })
    }

    #[test]
    fn a_reply_in_pieces_is_read_to_its_end_before_more_is_asked() {
        let (socket, mut replies, mut theirs) = talk();
        let reply: Vec<u8> = (0..255).collect();
        let mut buffer = [0; 300];
        let server = answer(&theirs, &reply[..200]);
        assert_eq!(replies.read(&socket, &mut buffer).unwrap(), 200);
        assert_eq!(server.join().unwrap(), [READ, 255]);
        theirs.write_all(&reply[200..]).unwrap();
        assert_eq!(replies.read(&socket, &mut buffer[200..250]).unwrap(), 50);
        assert_eq!(replies.read(&socket, &mut buffer[250..]).unwrap(), 5);
        assert_eq!(buffer[..255], reply);
        let server = answer(&theirs, &[1; 7]);
        assert_eq!(replies.read(&socket, &mut buffer[..7]).unwrap(), 7);
        assert_eq!(server.join().unwrap(), [READ, 7], "as few as are wanted");
        theirs.set_nonblocking(true).unwrap();
        assert_eq!(theirs.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn bytes_that_nobody_asked_for_are_not_taken_before_a_request_or_after_a_reply() {
        let (socket, mut replies, mut theirs) = talk();
        theirs.write_all(b"SSH-2.0").unwrap();
        let error = replies.read(&socket, &mut [0; 64]).unwrap_err();
        assert_eq!(error.kind(), "unasked-bytes");
        let (socket, mut replies, theirs) = talk();
        let server = answer(&theirs, &[0; 65]);
        assert_eq!(replies.read(&socket, &mut [0; 64]).unwrap(), 64);
        server.join().unwrap();
        let error = replies.read(&socket, &mut [0; 64]).unwrap_err();
        assert_eq!(error.kind(), "unasked-bytes");
    }

    #[test]
    fn an_end_between_two_replies_and_in_one_are_told_apart() {
        let (socket, mut replies, theirs) = talk();
        let server = answer(&theirs, &[0; 60]);
        assert_eq!(replies.read(&socket, &mut [0; 64]).unwrap(), 60);
        server.join().unwrap();
        drop(theirs);
        let error = replies.read(&socket, &mut [0; 64]).unwrap_err();
        assert_eq!(error.kind(), "peer-closed");
        assert!(error.to_string().contains("with 4 of the bytes that"), "{error}");
        let (socket, mut replies, theirs) = talk();
        drop(theirs);
        let error = replies.read(&socket, &mut [0; 64]).unwrap_err();
        assert_eq!(error.to_string(), "the EGD server closed the connection");
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let socket = File::from(OwnedFd::from(ours));
        let mut replies = Replies::new(&socket, Duration::from_millis(20)).unwrap();
        let error = replies.read(&socket, &mut [0; 64]).unwrap_err();
        assert!(matches!(error, DeviceError::Silent), "{error}");
    }
}

//! Pipes and readiness: a pipe that holds one page, a named pipe, and waiting for several
//! descriptors at once.
//!
//! Owns the calls; who waits for what, and why, is decided in `client` and `sink`.

use crate::moment::Moment;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// What a shrunk pipe holds: one page, in one slot, so that it is writable only when empty.
pub const SHRUNK_PIPE_LEN: usize = 4096;

/// The most that `write` puts into a pipe that polls writable without waiting (`PIPE_BUF`).
pub const WRITE_LEN_MAX: usize = 4096;

/// A pipe, both ends closed on exec: what is written to the second comes out of the first.
///
/// # Errors
/// When the process or the system has no descriptor left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors that the call stores.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so both are open descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Shrinks a pipe to [`SHRUNK_PIPE_LEN`]; answers what it holds now.
///
/// Only Linux can (`F_SETPIPE_SZ`); elsewhere a pipe keeps its size, and that many bytes may
/// wait in it.
///
/// # Errors
/// When `pipe` is no pipe, or holds more than a page at this moment.
pub fn shrink(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    super::platform::shrink_pipe(pipe, SHRUNK_PIPE_LEN)
}

/// Writes to `fd` answer `WouldBlock` from now on instead of waiting. Holds for everybody who
/// shares the open file, so only for descriptors that we opened ourselves.
///
/// # Errors
/// When `fd` does not allow it.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor, touches no memory of ours.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    let code = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    if flags < 0 || code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a named pipe that only its owner may open.
///
/// # Errors
/// `AlreadyExists` when something stands there already; else what the file system says.
pub fn make_fifo(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a C string that lives through the call.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What to wait for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Bytes, or the end of them.
    Readable,
    /// Room for at least [`WRITE_LEN_MAX`] bytes (a pipe), or nobody left to read them.
    Writable,
}

/// Waits until one of `fds` is ready or in error, or `deadline` passes; answers for each
/// whether it is ready. All `false`: the deadline has passed.
///
/// # Errors
/// When the kernel is out of memory.
pub fn wait<const N: usize>(
    fds: [(BorrowedFd<'_>, Interest); N],
    deadline: Option<Moment>,
) -> io::Result<[bool; N]> {
    let mut entries = fds.map(|(fd, interest)| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: match interest {
            Interest::Readable => libc::POLLIN,
            Interest::Writable => libc::POLLOUT,
        },
        revents: 0,
    });
    loop {
        let left = deadline.map(|deadline| deadline - super::now());
        // SAFETY: pointer and length describe `entries`, which the call may write to; the
        // descriptors are borrowed, so they stay open until it returns.
        let count = unsafe {
            libc::poll(entries.as_mut_ptr(), N as libc::nfds_t, milliseconds_to_wait(left))
        };
        match count {
            1.. => return Ok(entries.map(|entry| entry.revents != 0)),
            0 if left.is_some_and(|left| left.is_zero()) => return Ok([false; N]),
            0 => {}
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Whether nobody is left to read what is written to `fd`.
pub fn is_broken(fd: BorrowedFd<'_>) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: `entry` is one valid entry, and its descriptor is borrowed through the call.
    let count = unsafe { libc::poll(&mut entry, 1, 0) };
    count > 0 && entry.revents & libc::POLLERR != 0
}

/// For `poll`: -1 waits for ever; a part of a millisecond counts as one, or it would spin.
fn milliseconds_to_wait(left: Option<Duration>) -> libc::c_int {
    match left {
        None => -1,
        Some(left) => {
            libc::c_int::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    fn is_writable(fd: &File) -> bool {
        wait([(fd.as_fd(), Interest::Writable)], Some(Moment::ZERO)).unwrap()[0]
    }

    #[test]
    fn a_shrunk_pipe_is_writable_only_when_empty() {
        let (reader, writer) = pipe().unwrap();
        let (mut reader, mut writer) = (File::from(reader), File::from(writer));
        assert_eq!(shrink(writer.as_fd()).unwrap(), SHRUNK_PIPE_LEN);
        assert!(is_writable(&writer));
        writer.write_all(&[1; 10]).unwrap();
        assert!(!is_writable(&writer), "ten bytes fill the one slot");
        reader.read_exact(&mut [0; 9]).unwrap();
        assert!(!is_writable(&writer), "one byte still does");
        reader.read_exact(&mut [0; 1]).unwrap();
        assert!(is_writable(&writer));
    }

    #[test]
    fn a_pipe_without_a_reader_wakes_its_writer() {
        let (reader, writer) = pipe().unwrap();
        assert!(!is_broken(writer.as_fd()));
        drop(reader);
        assert!(is_broken(writer.as_fd()));
        assert_eq!(wait([(writer.as_fd(), Interest::Writable)], None).unwrap(), [true]);
    }

    #[test]
    fn the_deadline_is_kept_and_says_that_nothing_is_ready() {
        let (reader, _writer) = pipe().unwrap();
        let start = crate::sys::now();
        let deadline = start + Duration::from_millis(30);
        assert_eq!(wait([(reader.as_fd(), Interest::Readable)], Some(deadline)).unwrap(), [false]);
        assert!(crate::sys::now() >= deadline);
    }

    #[test]
    fn a_part_of_a_millisecond_does_not_spin() {
        assert_eq!(milliseconds_to_wait(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds_to_wait(Some(Duration::ZERO)), 0);
        assert_eq!(milliseconds_to_wait(Some(Duration::MAX)), libc::c_int::MAX);
        assert_eq!(milliseconds_to_wait(None), -1);
    }
}

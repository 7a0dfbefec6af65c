//! Users by their numbers: who we are, and who is at the other end of a unix socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The user whose process made this connection of a unix socket, as of when it did.
///
/// # Errors
/// When `socket` is none.
#[cfg(target_os = "linux")]
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut who = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of_val(&who)).unwrap_or_default();
    // SAFETY: `who` is valid for `len` bytes, which the call fills in.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut who).cast(),
            &mut len,
        )
    };
    if code == 0 { Ok(who.uid) } else { Err(io::Error::last_os_error()) }
}

/// See the Linux version (`getpeereid(3)`, which asks LOCAL_PEERCRED).
///
/// # Errors
/// When `socket` is none.
#[cfg(not(target_os = "linux"))]
pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: both are valid for the call to fill in.
    let code = unsafe { libc::getpeereid(socket.as_raw_fd(), &mut uid, &mut gid) };
    if code == 0 { Ok(uid) } else { Err(io::Error::last_os_error()) }
}

/// The user that this process acts as.
pub fn own_uid() -> u32 {
    // SAFETY: a plain question that cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn our_own_other_end_is_us() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(peer_uid(one.as_fd()).unwrap(), own_uid());
        let file = tempfile::tempfile().unwrap();
        assert!(peer_uid(file.as_fd()).is_err());
    }
}

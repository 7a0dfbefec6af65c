//! Users: who is at the other end of a unix socket, and which number a name has.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Longest entry of a user that is read, bytes: names, home and shell fit many times over.
const ENTRY_LEN_MAX: usize = 16 * 1024;

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

/// The number of the user that is called so (`getpwnam_r(3)`); `None` if there is none.
///
/// # Errors
/// When the system cannot look it up now.
pub fn uid_of(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    // SAFETY: all zeros is a valid passwd for the call to overwrite.
    let mut entry = unsafe { std::mem::zeroed::<libc::passwd>() };
    let mut text = vec![0; ENTRY_LEN_MAX];
    let mut found = std::ptr::null_mut();
    // SAFETY: `name` is a C string; `entry`, `text` with its length and `found` are valid for
    // the call to fill in, and outlive what it stores.
    let code = unsafe {
        libc::getpwnam_r(name.as_ptr(), &mut entry, text.as_mut_ptr(), text.len(), &mut found)
    };
    match code {
        _ if !found.is_null() => Ok(Some(entry.pw_uid)),
        // Not found, in the words of different systems.
        0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => Ok(None),
        code => Err(io::Error::from_raw_os_error(code)),
    }
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

    #[test]
    fn root_has_number_0_and_nobody_is_called_like_this() {
        assert_eq!(uid_of("root").unwrap(), Some(0));
        assert_eq!(uid_of("no-such-user-here").unwrap(), None);
        assert!(uid_of("a\0b").is_err());
    }
}

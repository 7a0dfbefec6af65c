//! What differs between systems: what Linux has, how the others do without, and where files
//! stand. The one place that asks which system or processor this is.
//!
//! The rest calls these functions and knows no system. Linux's versions stand first and say
//! what each does; the others' below have the same names and arguments.

/// Where the configuration stands unless `-c` says otherwise.
pub const CONFIG_PATH: &str =
    if IS_FREEBSD { "/usr/local/etc/netrng.toml" } else { "/etc/netrng.toml" };
/// Where a server's clients stand unless `clients-file` says otherwise.
pub const CLIENTS_PATH: &str =
    if IS_FREEBSD { "/usr/local/etc/netrng/clients.toml" } else { "/etc/netrng/clients.toml" };
/// Where a server listens for `netrng tap` unless `tap-socket` says otherwise.
pub const TAP_SOCKET: &str =
    if IS_FREEBSD { "/var/run/netrng/tap.sock" } else { "/run/netrng/tap.sock" };
/// Where a server listens for `netrng status` unless `status-socket` says otherwise.
pub const SERVER_STATUS: &str =
    if IS_FREEBSD { "/var/run/netrng/server.sock" } else { "/run/netrng/server.sock" };
/// The same for a client.
pub const CLIENT_STATUS: &str =
    if IS_FREEBSD { "/var/run/netrng/client.sock" } else { "/run/netrng/client.sock" };

const IS_FREEBSD: bool = cfg!(target_os = "freebsd");

/// Whether `/proc` tells root everything about every process, where it is mounted at all.
pub const HAS_PROC: bool = cfg!(target_os = "linux");

/// Gives memory that was freed back to the system. Only glibc has to be told: it keeps what
/// another thread has freed in small pieces.
#[cfg(feature = "mdns")]
pub fn return_memory() {
    // SAFETY: takes an integer only, and no memory that is in use.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{
    add_entropy, end_with_parent, forbid_new_privileges, forbid_tracing, notify_address, peer_uid,
    reseed, shrink_pipe, user_timeout,
};
#[cfg(target_os = "linux")]
pub use linux::{
    add_entropy, end_with_parent, forbid_new_privileges, forbid_tracing, notify_address, peer_uid,
    reseed, shrink_pipe, user_timeout,
};

#[cfg(target_os = "linux")]
mod linux {
    use crate::sys::pool::FEED_LEN;
    use socket2::SockRef;
    use std::ffi::OsStr;
    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    use std::time::Duration;

    /// The system's answer where 0 means that it went well.
    fn checked(code: libc::c_int) -> io::Result<()> {
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// No other process of the same user may read our memory, and no core dump is made of it.
    pub fn forbid_tracing() {
        // SAFETY: this option takes one integer and touches no memory of ours.
        let _ = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    }

    /// No program that we start gets more rights than we have, as a setuid one would.
    pub fn forbid_new_privileges() {
        let (yes, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
        // SAFETY: takes integers only. Kernels before 3.5 do not have it.
        let _ = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, unused, unused, unused) };
    }

    /// The calling process gets SIGTERM when the thread that started it ends.
    ///
    /// # Errors
    /// As the system says.
    pub fn end_with_parent() -> io::Result<()> {
        let signal = libc::c_ulong::try_from(libc::SIGTERM).unwrap_or_default();
        // SAFETY: takes integers only.
        checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) })
    }

    /// The user whose process made this connection of a unix socket, as of when it did.
    ///
    /// # Errors
    /// When `socket` is none.
    pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
        let mut who = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut len = libc::socklen_t::try_from(size_of_val(&who)).unwrap_or_default();
        // SAFETY: `who` is valid for `len` bytes, which the call fills in.
        checked(unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut who).cast(),
                &mut len,
            )
        })?;
        Ok(who.uid)
    }

    /// Has the kernel break a connection whose peer acknowledges nothing of what was sent for
    /// this long: keepalive does not look at those (`tcp(7)`, TCP_USER_TIMEOUT; RFC 5482).
    ///
    /// # Errors
    /// As the system says.
    pub fn user_timeout(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
        socket.set_tcp_user_timeout(Some(timeout))
    }

    /// Shrinks a pipe to `len` bytes, or a page if that is more; answers what it holds now.
    ///
    /// # Errors
    /// When `pipe` is no pipe, or holds more than that at this moment.
    pub fn shrink_pipe(pipe: BorrowedFd<'_>, len: usize) -> io::Result<usize> {
        let want = libc::c_int::try_from(len).unwrap_or(libc::c_int::MAX);
        // SAFETY: takes a descriptor and an integer, touches no memory of ours.
        let got = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, want) };
        usize::try_from(got).map_err(|_| io::Error::last_os_error())
    }

    /// The address of the service manager's socket: a path, or a name after an `@` for one
    /// that has no file (`unix(7)`, abstract).
    ///
    /// # Errors
    /// When the name is too long for an address.
    pub fn notify_address(name: &OsStr) -> io::Result<SocketAddr> {
        match name.as_encoded_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(name),
        }
    }

    /// `struct rand_pool_info` of include/uapi/linux/random.h, its array as long as a feed.
    #[repr(C)]
    struct PoolInfo {
        entropy_count: libc::c_int,
        buf_size: libc::c_int,
        buf: [u8; FEED_LEN],
    }

    /// How an ioctl's number says that it takes data, and that it takes none: `_IOC_WRITE` and
    /// `_IOC_NONE`, shifted by `_IOC_DIRSHIFT`: arch/{mips,powerpc,sparc}/include/uapi/asm/ioctl.h
    /// and, for all others, include/uapi/asm-generic/ioctl.h.
    const DIRECTIONS: (u32, u32) = if cfg!(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc",
        target_arch = "sparc64",
    )) {
        (4 << 29, 1 << 29)
    } else {
        (1 << 30, 0)
    };

    /// `_IOW('R', 0x03, int [2])`, include/uapi/linux/random.h: 0x40085203 on most machines.
    const RNDADDENTROPY: u32 = DIRECTIONS.0 | (8 << 16) | 0x5203;
    /// `_IO('R', 0x07)`, include/uapi/linux/random.h, since Linux 4.14.
    const RNDRESEEDCRNG: u32 = DIRECTIONS.1 | 0x5207;

    /// Mixes `bytes` into the pool of `random` (`/dev/random`) and credits it `bits` of entropy,
    /// at most as many as there are. Our copy is wiped.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_SYS_ADMIN; else what the system says.
    pub fn add_entropy(
        random: BorrowedFd<'_>,
        bytes: &[u8; FEED_LEN],
        bits: u32,
    ) -> io::Result<()> {
        // The kernel would believe more bits than there are.
        let most = 8 * FEED_LEN;
        let mut info = PoolInfo {
            entropy_count: i32::try_from(most.min(bits as usize)).unwrap_or(0),
            buf_size: libc::c_int::try_from(FEED_LEN).unwrap_or(0),
            buf: *bytes,
        };
        // SAFETY: the request takes a pointer to a rand_pool_info, which `info` is, with
        // `buf_size` bytes behind its head; the kernel only reads them, and the descriptor is
        // borrowed.
        let result = checked(unsafe {
            libc::ioctl(random.as_raw_fd(), RNDADDENTROPY as _, &raw const info)
        });
        zeroize::Zeroize::zeroize(&mut info.buf);
        result
    }

    /// Makes the kernel's generator take what is in its pool now, and not within a minute.
    ///
    /// # Errors
    /// `PermissionDenied` without CAP_SYS_ADMIN, ENODATA while the generator is not initialised,
    /// EINVAL before Linux 4.14.
    pub fn reseed(random: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: takes no argument and touches no memory of ours; the descriptor is borrowed.
        checked(unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG as _) })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_pools_numbers_are_those_of_the_kernels_header() {
            if DIRECTIONS == (1 << 30, 0) {
                assert_eq!((RNDADDENTROPY, RNDRESEEDCRNG), (0x4008_5203, 0x5207));
            } else {
                assert_eq!((RNDADDENTROPY, RNDRESEEDCRNG), (0x8008_5203, 0x2000_5207));
            }
            assert_eq!(std::mem::offset_of!(PoolInfo, buf), 8);
            assert_eq!(std::mem::size_of::<PoolInfo>(), 8 + FEED_LEN);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use crate::sys::pool::FEED_LEN;
    use socket2::SockRef;
    use std::ffi::OsStr;
    use std::io;
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::os::unix::net::SocketAddr;
    use std::time::Duration;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Only the limit on core dumps, which all systems have.
    pub fn forbid_tracing() {}

    /// Whoever gave root up starts only programs of its own choice all the same.
    pub fn forbid_new_privileges() {}

    /// A child whose parent is killed learns of it by the end of its stdin.
    ///
    /// # Errors
    /// Never.
    pub fn end_with_parent() -> io::Result<()> {
        Ok(())
    }

    /// `getpeereid(3)`, which asks LOCAL_PEERCRED.
    ///
    /// # Errors
    /// When `socket` is none.
    pub fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
        let (mut uid, mut gid) = (0, 0);
        // SAFETY: both are valid for the call to fill in.
        let code = unsafe { libc::getpeereid(socket.as_raw_fd(), &mut uid, &mut gid) };
        if code == 0 { Ok(uid) } else { Err(io::Error::last_os_error()) }
    }

    /// The kernel's own patience has to do.
    ///
    /// # Errors
    /// Never.
    pub fn user_timeout(_socket: &SockRef<'_>, _timeout: Duration) -> io::Result<()> {
        Ok(())
    }

    /// A pipe keeps its size, and that many bytes may wait in it.
    ///
    /// # Errors
    /// Always: unsupported.
    pub fn shrink_pipe(_pipe: BorrowedFd<'_>, _len: usize) -> io::Result<usize> {
        unsupported()
    }

    /// A path: every socket has a file.
    ///
    /// # Errors
    /// When the path is too long for an address.
    pub fn notify_address(name: &OsStr) -> io::Result<SocketAddr> {
        SocketAddr::from_pathname(name)
    }

    /// Nothing is credited: whoever may write to the pool is believed.
    ///
    /// # Errors
    /// Always: unsupported.
    pub fn add_entropy(
        _random: BorrowedFd<'_>,
        _bytes: &[u8; FEED_LEN],
        _bits: u32,
    ) -> io::Result<()> {
        unsupported()
    }

    /// The pool is always in use.
    ///
    /// # Errors
    /// Always: unsupported.
    pub fn reseed(_random: BorrowedFd<'_>) -> io::Result<()> {
        unsupported()
    }
}

//! The kernel's pool: entropy with credit, and reseeding (random(4)).
//!
//! Owns the two ioctls. What may be credited is decided in `sink::kernel`.

use std::io;
use std::os::fd::BorrowedFd;

/// Bytes of one feed: what every rngd gives at a time. One of them, credited half of its bits,
/// initialises the generator of Linux 5.18 and later, which wants 256 bits.
pub const FEED_LEN: usize = 64;

/// `struct rand_pool_info` of include/uapi/linux/random.h, its array made as long as a feed.
#[cfg(target_os = "linux")]
#[repr(C)]
struct PoolInfo {
    entropy_count: libc::c_int,
    buf_size: libc::c_int,
    buf: [u8; FEED_LEN],
}

/// How an ioctl's number says that it takes data, and that it takes none: `_IOC_WRITE` and
/// `_IOC_NONE`, shifted by `_IOC_DIRSHIFT`, of include/uapi/asm-generic/ioctl.h.
#[cfg(all(
    target_os = "linux",
    not(any(target_arch = "mips", target_arch = "mips64", target_arch = "powerpc")),
    not(any(target_arch = "powerpc64", target_arch = "sparc", target_arch = "sparc64")),
))]
const DIRECTIONS: (u32, u32) = (1 << 30, 0);
/// The same of arch/{mips,powerpc,sparc}/include/uapi/asm/ioctl.h.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc",
        target_arch = "sparc64",
    ),
))]
const DIRECTIONS: (u32, u32) = (4 << 29, 1 << 29);

/// `_IOW('R', 0x03, int [2])`, include/uapi/linux/random.h: 0x40085203 on most machines.
#[cfg(target_os = "linux")]
const RNDADDENTROPY: u32 = DIRECTIONS.0 | (8 << 16) | 0x5203;
/// `_IO('R', 0x07)`, include/uapi/linux/random.h, since Linux 4.14.
#[cfg(target_os = "linux")]
const RNDRESEEDCRNG: u32 = DIRECTIONS.1 | 0x5207;

/// Mixes `bytes` into the pool of `random` (`/dev/random`) and credits it `bits` of entropy, at
/// most as many as there are. Our copy is wiped.
///
/// # Errors
/// `PermissionDenied` without CAP_SYS_ADMIN; else what the system says.
#[cfg(target_os = "linux")]
pub fn add_entropy(random: BorrowedFd<'_>, bytes: &[u8; FEED_LEN], bits: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // The kernel would believe more bits than there are.
    let most = 8 * FEED_LEN;
    let mut info = PoolInfo {
        entropy_count: i32::try_from(most.min(bits as usize)).unwrap_or(0),
        buf_size: libc::c_int::try_from(FEED_LEN).unwrap_or(0),
        buf: *bytes,
    };
    // SAFETY: the request takes a pointer to a rand_pool_info, which `info` is, with `buf_size`
    // bytes behind its head; the kernel only reads them, and the descriptor is borrowed.
    let code = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY as _, &raw const info) };
    let result = if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    zeroize::Zeroize::zeroize(&mut info.buf);
    result
}

/// See the Linux version; elsewhere nothing is credited.
///
/// # Errors
/// Always: unsupported.
#[cfg(not(target_os = "linux"))]
pub fn add_entropy(_: BorrowedFd<'_>, _: &[u8; FEED_LEN], _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes the kernel's generator take what is in its pool now, and not within a minute.
///
/// # Errors
/// `PermissionDenied` without CAP_SYS_ADMIN, ENODATA while the generator is not initialised,
/// EINVAL before Linux 4.14.
#[cfg(target_os = "linux")]
pub fn reseed(random: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: takes no argument and touches no memory of ours; the descriptor is borrowed.
    let code = unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG as _) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// See the Linux version.
///
/// # Errors
/// Always: unsupported.
#[cfg(not(target_os = "linux"))]
pub fn reseed(_: BorrowedFd<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    #[cfg(any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "arm",
        target_arch = "aarch64"
    ))]
    fn the_numbers_are_those_of_the_kernels_header() {
        assert_eq!((RNDADDENTROPY, RNDRESEEDCRNG), (0x4008_5203, 0x5207));
        assert_eq!(std::mem::offset_of!(PoolInfo, buf), 8);
        assert_eq!(std::mem::size_of::<PoolInfo>(), 8 + FEED_LEN);
    }

    #[test]
    fn what_is_no_pool_refuses() {
        let null = File::open("/dev/null").unwrap();
        assert_eq!(
            add_entropy(null.as_fd(), &[0; FEED_LEN], 0).unwrap_err().raw_os_error(),
            Some(libc::ENOTTY)
        );
        assert!(reseed(null.as_fd()).is_err());
    }
}

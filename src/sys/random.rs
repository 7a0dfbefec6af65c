//! The kernel's generator, asked in the one way that never waits.

use super::latch::Latch;
use super::pipe::{self, Interest};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// Between two looks at a generator whose device does not say when it is initialised.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Fills `buffer` from the kernel's generator if that is initialised; `false`, and `buffer`
/// untouched or partly filled, if it is not. Never blocks (`getrandom(2)`, GRND_NONBLOCK).
#[must_use]
pub fn try_random(buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: pointer and length describe `rest`, which is writable.
        let got =
            unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), libc::GRND_NONBLOCK) };
        match usize::try_from(got) {
            Ok(count) if count > 0 => filled += count,
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            _ => return false,
        }
    }
    true
}

/// Whether the kernel's generator is initialised, so that what it gives is unpredictable.
pub fn kernel_is_seeded() -> bool {
    try_random(&mut [0; 1])
}

/// Waits until the kernel's generator is initialised (`true`) or `stop` is released (`false`).
/// It sleeps in `poll`, not in `getrandom`: `/dev/random` polls readable from then on.
///
/// Before Linux 5.6 it does so earlier, as soon as there is some entropy, and there a look a
/// second has to do.
///
/// # Errors
/// When there is no `/dev/random`.
pub fn wait_until_seeded(stop: &Latch) -> io::Result<bool> {
    let device = File::open("/dev/random")?;
    let stopped = (stop.as_fd(), Interest::Readable);
    while !kernel_is_seeded() {
        if pipe::wait([(device.as_fd(), Interest::Readable), stopped], None)?[1] {
            return Ok(false);
        }
        let look_again = super::now() + LOOK_AGAIN_AFTER;
        if !kernel_is_seeded() && pipe::wait([stopped], Some(look_again))?[0] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fresh material for [`crate::wire::hedge::Hedge`]: kernel output if there is any, the clock,
/// the process. Never blocks.
pub fn gather(fresh: &mut [u8; crate::wire::hedge::FRESH_LEN]) {
    let (kernel, rest) = fresh.split_at_mut(32);
    let _ = try_random(kernel);
    rest[..8].copy_from_slice(&super::now().as_nanos().to_le_bytes());
    rest[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    // Addresses differ from start to start where the kernel lays memory out at random.
    let here = std::ptr::from_ref(&rest[0]) as usize as u64;
    rest[12..20].copy_from_slice(&here.to_le_bytes());
}

/// 64 bits for jitter: need not be secret, must not block, must differ between machines that
/// start together.
pub fn jitter() -> u64 {
    let mut bytes = [0; 8];
    if try_random(&mut bytes) {
        return u64::from_le_bytes(bytes);
    }
    // FNV-1a (Fowler, Noll, Vo) over what little there is.
    let mut fresh = [0; crate::wire::hedge::FRESH_LEN];
    gather(&mut fresh);
    fresh.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

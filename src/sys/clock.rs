//! The one clock: monotonic, read by shells and handed down as a [`Moment`].

use crate::moment::Moment;

/// Monotonic time (`CLOCK_MONOTONIC`). Never the wall clock.
pub fn now() -> Moment {
    let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `spec` is a valid timespec for the call to fill, and this clock always exists.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut spec) };
    assert_eq!(code, 0, "CLOCK_MONOTONIC exists on every system netrng builds for");
    let seconds = u64::try_from(spec.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(spec.tv_nsec).unwrap_or(0);
    Moment::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

//! The one clock: monotonic, read by shells and handed down as a [`Moment`].

use crate::moment::Moment;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The first reading. Far from zero, so that looking back some minutes stays above it.
const ORIGIN: Duration = Duration::from_secs(3600);

/// Monotonic time since an hour before the process first asked. Never the wall clock.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Moment {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    Moment::ZERO + ORIGIN + since
}

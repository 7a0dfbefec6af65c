//! What a process that holds keys and unpublished random bytes does about itself: no core
//! dumps.

/// No core dump of this process, and no other process of the same user may read its memory.
/// Best effort: a system that refuses is no reason not to run.
pub fn forbid_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a valid rlimit that the call only reads.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    super::platform::forbid_tracing();
}

/// Raises the limit of open files as far as the system lets us; what it is then.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the call to fill.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return u64::MAX;
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit that the call only reads.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } == 0;
    let reached = if raised { limit.rlim_cur } else { before };
    #[allow(clippy::useless_conversion, reason = "the type differs between systems")]
    #[allow(clippy::unnecessary_fallible_conversions, reason = "signed on FreeBSD")]
    u64::try_from(reached).unwrap_or(u64::MAX)
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: always succeeds and touches nothing.
    unsafe { libc::geteuid() == 0 }
}

//! What a process that holds keys and unpublished random bytes does about itself: no core
//! dumps.

/// No core dump of this process, and no other process of the same user may read its memory.
/// Best effort: a system that refuses is no reason not to run.
pub fn forbid_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a valid rlimit that the call only reads.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    #[cfg(target_os = "linux")]
    // SAFETY: this option takes one integer and touches no memory of ours.
    let _ = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: always succeeds and touches nothing.
    unsafe { libc::geteuid() == 0 }
}

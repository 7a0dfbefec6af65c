//! The kernel's generator, asked in the one way that never waits.

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

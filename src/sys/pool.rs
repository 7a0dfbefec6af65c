//! The kernel's pool: entropy with credit, and reseeding (random(4)).
//!
//! Owns how much is given at a time; the two ioctls are in `platform`. What may be credited is decided in `sink::kernel`.

pub use super::platform::{add_entropy, reseed};

/// Bytes of one feed: what every rngd gives at a time. One of them, credited half of its bits,
/// initialises the generator of Linux 5.18 and later, which wants 256 bits.
pub const FEED_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

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

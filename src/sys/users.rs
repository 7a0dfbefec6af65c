//! Users by their numbers: who we are, and who is at the other end of a unix socket.

pub use super::platform::peer_uid;

/// The user that this process acts as.
pub fn own_uid() -> u32 {
    // SAFETY: a plain question that cannot fail.
    unsafe { libc::geteuid() }
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
}

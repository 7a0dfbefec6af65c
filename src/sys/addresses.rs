//! Whether the kernel tells us this machine's own addresses.
//!
//! Multicast DNS goes out at each of them, and where none can be seen it goes nowhere and says
//! nothing. So it is asked before.

use std::io;

/// Fails if they are kept from us.
///
/// # Errors
/// With the reason, and what to do.
pub fn are_visible() -> io::Result<()> {
    if_addrs::get_if_addrs().map(drop).map_err(|error| {
        io::Error::other(format!(
            "this machine's own addresses are kept from us ({error}); in a systemd unit, allow \
             them with RestrictAddressFamilies=AF_NETLINK"
        ))
    })
}

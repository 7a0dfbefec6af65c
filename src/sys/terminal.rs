//! How large the terminal is.

use std::io;
use std::os::fd::AsRawFd;

/// Columns and rows of the terminal behind stdout; `None` if there is none that says.
pub fn size() -> Option<(usize, usize)> {
    let mut found = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call fills one struct that lives through it.
    let code =
        unsafe { libc::ioctl(io::stdout().as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut found) };
    (code == 0 && found.ws_col > 0 && found.ws_row > 0)
        .then(|| (found.ws_col.into(), found.ws_row.into()))
}

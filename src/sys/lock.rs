//! One at a time: an advisory lock on a folder, gone with the process that holds it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Waits until no other process holds the folder's lock, and holds it until the result is
/// dropped (`flock(2)`).
///
/// # Errors
/// When the folder cannot be opened, or its file system has no locks.
pub fn lock_folder(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    loop {
        // SAFETY: takes an open descriptor and a flag, touches no memory of ours.
        if unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX) } == 0 {
            return Ok(folder);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

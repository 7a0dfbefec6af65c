//! Threads: started in one place, so that the code which starts one is there once.

use std::io;

/// Starts a thread that nobody joins.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

//! Signals as bytes in a socket: a handler only writes one.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where the end of the process is announced (SIGTERM, SIGINT).
///
/// # Errors
/// When the system has no descriptor left.
pub fn stop() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    pipe::register(SIGINT, write.try_clone()?)?;
    pipe::register(SIGTERM, write)?;
    Ok(read)
}

/// From now on a SIGHUP ends nobody, even if it comes before there is anything to reload: a
/// service manager may be quick.
///
/// # Errors
/// When the system refuses.
pub fn forgive_early_hangups() -> io::Result<()> {
    signal_hook::flag::register(SIGHUP, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Where SIGHUP is announced.
///
/// # Errors
/// When the system has no descriptor left.
pub fn reload() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    pipe::register(SIGHUP, write)?;
    Ok(read)
}

/// Waits for a signal; `false` if none can come any more.
pub fn wait(mut stream: &UnixStream) -> bool {
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(count) => return count > 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

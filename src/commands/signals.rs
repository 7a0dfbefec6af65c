//! Signals as bytes in a socket: a handler only writes one.

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where the end of the process is announced (SIGTERM, SIGINT).
///
/// # Errors
/// When the system has no descriptor left.
pub fn stop() -> io::Result<UnixStream> {
    register(&[SIGINT, SIGTERM]).map(|(stream, _)| stream)
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
    register(&[SIGHUP]).map(|(stream, _)| stream)
}

/// Both, for a process that makes copies of itself. To be dropped in the copy, whose signals
/// would be announced here.
#[derive(Debug)]
pub struct Watch {
    /// As [`stop`].
    pub stop: UnixStream,
    /// As [`reload`].
    pub reload: UnixStream,
    ids: Vec<SigId>,
}

impl Watch {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn start() -> io::Result<Watch> {
        let ((stop, mut ids), (reload, more)) =
            (register(&[SIGINT, SIGTERM])?, register(&[SIGHUP])?);
        ids.extend(more);
        Ok(Watch { stop, reload, ids })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            unregister(id);
        }
    }
}

fn register(signals: &[i32]) -> io::Result<(UnixStream, Vec<SigId>)> {
    let (read, write) = UnixStream::pair()?;
    let ids = signals.iter().map(|signal| pipe::register(*signal, write.try_clone()?));
    let ids = ids.collect::<io::Result<_>>()?;
    Ok((read, ids))
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

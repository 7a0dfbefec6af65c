//! A latch: something that happens once and wakes every waiting thread, whether it waits on
//! a channel or in `poll`.
//!
//! Owns the two faces of one event. It does not know what the event means: here it is "the
//! process stops" and "the child has ended".

use super::pipe;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The one who makes it happen: dropping this releases the latch. So a thread that dies
/// cannot forget to.
#[derive(Debug)]
pub struct Trigger {
    _sender: Sender<Infallible>,
    _writer: OwnedFd,
}

/// Those who wait for it. A clone waits for the same event.
#[derive(Debug, Clone)]
pub struct Latch {
    receiver: Receiver<Infallible>,
    reader: Arc<OwnedFd>,
}

/// A new latch, not yet released.
///
/// # Errors
/// When no descriptor is left.
pub fn latch() -> io::Result<(Trigger, Latch)> {
    let (reader, writer) = pipe::pipe()?;
    let (sender, receiver) = crossbeam_channel::bounded(0);
    Ok((Trigger { _sender: sender, _writer: writer }, Latch { receiver, reader: Arc::new(reader) }))
}

impl Latch {
    /// Whether it has happened.
    pub fn is_released(&self) -> bool {
        self.receiver.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// For `select!`: receives nothing, and is disconnected when it has happened.
    pub fn receiver(&self) -> &Receiver<Infallible> {
        &self.receiver
    }
}

impl AsFd for Latch {
    /// For `poll`: readable (at its end) when it has happened. Nobody reads from it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe::{Interest, wait};

    #[test]
    fn dropping_the_trigger_wakes_those_who_poll_and_those_who_receive() {
        let (trigger, latch) = latch().unwrap();
        let others = latch.clone();
        let polling =
            std::thread::spawn(move || wait([(others.as_fd(), Interest::Readable)], None).unwrap());
        assert!(!latch.is_released());
        drop(trigger);
        assert_eq!(polling.join().unwrap(), [true]);
        assert!(latch.receiver().recv().is_err());
        assert!(latch.is_released());
    }
}

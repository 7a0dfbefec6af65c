//! The kernel's pool by a plain write to `/dev/urandom`: mixed in, never credited.
//!
//! Owns that one descriptor. Crediting (`RNDADDENTROPY`) needs privilege and tested blocks
//! and is not here yet.

use super::{Context, FeedState, SinkError};
use crate::sample::Sample;
use crossbeam_channel::select;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

pub(super) const PATH: &str = "/dev/urandom";

/// The kernel's pool, open for writing.
#[derive(Debug)]
pub struct KernelWrite {
    device: File,
}

impl KernelWrite {
    /// Opens it; anybody may.
    ///
    /// # Errors
    /// [`SinkError::Kernel`], where there is no such device.
    pub fn open() -> Result<Self, SinkError> {
        let device = OpenOptions::new().write(true).open(PATH).map_err(SinkError::Kernel)?;
        Ok(KernelWrite { device })
    }

    /// Mixes `sample` into the pool; answers its length.
    ///
    /// # Errors
    /// [`SinkError::Kernel`], if the device refuses.
    pub fn feed(&mut self, sample: Sample) -> Result<usize, SinkError> {
        self.device.write_all(sample.as_bytes()).map_err(SinkError::Kernel)?;
        Ok(sample.len())
    }
}

/// A sample at once and then one every `interval`, until we are to end.
pub(super) fn run(
    mut pool: KernelWrite,
    interval: Duration,
    context: &Context,
) -> Result<(), SinkError> {
    loop {
        context.status.enter(FeedState::Hungry);
        let sample = select! {
            recv(context.samples) -> sample => sample,
            recv(context.stop.receiver()) -> _ => return Ok(()),
        };
        let Ok(sample) = sample else { return Ok(()) };
        context.status.count_bytes(pool.feed(sample)?, crate::sys::now());
        context.status.enter(FeedState::Full);
        select! {
            recv(context.stop.receiver()) -> _ => return Ok(()),
            default(interval) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anybody_may_write_to_the_pool() {
        let mut pool = KernelWrite::open().unwrap();
        assert_eq!(pool.feed(Sample::new(vec![1; 64])).unwrap(), 64);
    }
}

//! The kernel's pool: tested bytes, with credit where we may (`RNDADDENTROPY`).
//!
//! Owns that one descriptor, and when it is fed: at once; again while `/dev/random` polls
//! writable, which is how a kernel says that it wants entropy; and every `interval`. A kernel of
//! today whose generator is initialised never asks, and takes 64 bytes a minute at most.

use super::block::{Block, Filled};
use super::{Context, FeedState, SinkError};
use crate::sample::Sample;
use crate::source::fips::BLOCK_BYTES;
use crate::sys::pipe::{self, Interest};
use crate::sys::pool::{self, FEED_LEN};
use log::{debug, info, warn};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub(super) const PATH: &str = "/dev/random";

/// What one byte counts by default, bits: half of what it holds. So 64 bytes count 256 bits,
/// which is just what initialises a generator (Linux 5.18 and later), and they are worth that
/// even if every second byte is known to somebody: one of two upstreams that give may lie, or the
/// source may hold half of the entropy that it seems to.
pub const DEFAULT_CREDIT: f64 = 4.0;

/// Feeds in a row that the kernel may ask for before we let `interval` pass: far more than any
/// pool holds. One that still asks does not count what it gets.
const FEEDS_AT_ONCE_MAX: u32 = 256;

/// Blocks in a row that fail FIPS 140-2 before it is said aloud. A perfect source fails three
/// in a row once in two thousand million blocks.
const FAILURES_SAID: u32 = 3;

/// What the kernel sink asks for in all at a time, shared among the upstreams: a block.
pub(super) fn request_size(upstreams: usize) -> u32 {
    u32::try_from(BLOCK_BYTES.div_ceil(upstreams.max(1))).unwrap_or(u32::MAX)
}

/// The kernel's pool, open for feeding.
#[derive(Debug)]
pub(super) struct Pool {
    device: File,
    /// For each feed; 0: it is written and credits nothing.
    credit_bits: u32,
}

impl Pool {
    /// Opens it; anybody may. `credit`: bits per byte, 0 to 8.
    #[expect(clippy::cast_possible_truncation, reason = "at most 512")]
    #[expect(clippy::cast_sign_loss, reason = "clamped to what is positive")]
    pub(super) fn open(credit: f64) -> Result<Self, SinkError> {
        let device = OpenOptions::new().read(true).write(true).open(PATH);
        let credit_bits = (credit.clamp(0.0, 8.0) * FEED_LEN as f64) as u32;
        Ok(Pool { device: device.map_err(SinkError::Kernel)?, credit_bits })
    }

    /// Answers the bits that were credited.
    fn feed(&mut self, bytes: &[u8; FEED_LEN]) -> Result<u32, SinkError> {
        if self.credit_bits > 0 {
            match pool::add_entropy(self.device.as_fd(), bytes, self.credit_bits) {
                Ok(()) => {
                    // Before it is initialised it cannot, and then it needs not.
                    if let Err(error) = pool::reseed(self.device.as_fd()) {
                        debug!("kernel: does not reseed now: {error}");
                    }
                    return Ok(self.credit_bits);
                }
                Err(error) if is_refusal(&error) => {
                    warn!(
                        "kernel: takes no credit from us ({error}): run netrng as root, or give \
                         it CAP_SYS_ADMIN; until then bytes are mixed in without credit"
                    );
                    self.credit_bits = 0;
                }
                Err(error) => return Err(SinkError::Kernel(error)),
            }
        }
        self.device.write_all(bytes).map_err(SinkError::Kernel)?;
        Ok(0)
    }
}

/// No privilege, or no such call on this system.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(libc::ENOTTY)
}

/// Feeds until we are to end.
pub(super) fn run(mut pool: Pool, interval: Duration, context: &Context) -> Result<(), SinkError> {
    let mut supply = Supply { block: Block::new(), failures: 0, context };
    let mut at_once = 0;
    let mut is_first = true;
    loop {
        let Some(feed) = supply.next_feed() else { return Ok(()) };
        let bits = pool.feed(&feed)?;
        drop(feed);
        context.status.count_bytes(FEED_LEN, crate::sys::now());
        context.status.credited_bits.fetch_add(bits.into(), Relaxed);
        if std::mem::take(&mut is_first) && bits > 0 {
            info!("kernel: fed {FEED_LEN} bytes, credited {bits} bits");
        }
        context.status.enter(FeedState::Full);
        let may_ask = pool.credit_bits > 0 && at_once < FEEDS_AT_ONCE_MAX;
        let due = crate::sys::now() + interval;
        let stop = (context.stop.as_fd(), Interest::Readable);
        // Without credit the kernel would ask for ever.
        let (asks, stopped) = if may_ask {
            let ready = pipe::wait([(pool.device.as_fd(), Interest::Writable), stop], Some(due));
            ready.map(|[asks, stopped]| (asks, stopped))
        } else {
            pipe::wait([stop], Some(due)).map(|[stopped]| (false, stopped))
        }
        .map_err(SinkError::Kernel)?;
        if stopped {
            return Ok(());
        }
        at_once = if asks { at_once + 1 } else { 0 };
    }
}

/// Blocks one after the other, as they are needed.
struct Supply<'a> {
    block: Block,
    /// Blocks that failed, one after the other.
    failures: u32,
    context: &'a Context,
}

impl Supply<'_> {
    /// Waits for the next feed; `None` if we are to end.
    fn next_feed(&mut self) -> Option<super::block::Feed> {
        loop {
            if let Some(feed) = self.block.next_feed() {
                return Some(feed);
            }
            let sample = self.context.take_sample(&self.context.stop).ok()?;
            match self.block.fill(sample) {
                Filled::No => {}
                Filled::Passed => self.failures = 0,
                Filled::Failed => self.handle_failure(),
            }
        }
    }

    fn handle_failure(&mut self) {
        self.context.status.blocks_failed.fetch_add(1, Relaxed);
        self.failures = self.failures.saturating_add(1);
        if self.failures == FAILURES_SAID {
            let text = "what the upstreams give fails FIPS 140-2, block after block, and is \
                        thrown away";
            warn!("kernel: {text}");
            self.context.status.note_error(text.into());
        } else {
            debug!("kernel: a block failed FIPS 140-2 and was thrown away");
        }
    }
}

/// The pool by plain writes, which need no privilege and credit nothing.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::FeedStatus;
    use crate::sys::latch::latch;
    use std::sync::Arc;

    #[test]
    fn anybody_may_write_to_the_pool() {
        let mut pool = KernelWrite::open().unwrap();
        assert_eq!(pool.feed(Sample::new(vec![1; 64])).unwrap(), 64);
    }

    #[test]
    fn the_default_credits_just_what_initialises() {
        assert_eq!(Pool::open(DEFAULT_CREDIT).unwrap().credit_bits, 256);
        assert_eq!(Pool::open(0.0).unwrap().credit_bits, 0);
        assert_eq!(Pool::open(99.0).unwrap().credit_bits, 512, "no more than there is");
    }

    #[test]
    fn all_requests_together_are_a_block() {
        for upstreams in 1..=16 {
            let all = request_size(upstreams) * u32::try_from(upstreams).unwrap();
            assert!((2500..2516).contains(&all), "{upstreams} ask for {all}");
        }
    }

    #[test]
    fn what_fails_is_thrown_away_and_counted_and_what_passes_is_fed() {
        let (samples, receiver) = crossbeam_channel::unbounded();
        let (trigger, stop) = latch().unwrap();
        let status = Arc::new(FeedStatus::default());
        let context = Context::new(receiver.into(), stop, || 0, Arc::clone(&status));
        for _ in 0..FAILURES_SAID {
            samples.send(Sample::new(vec![0; BLOCK_BYTES])).unwrap();
        }
        let mut good = vec![0; BLOCK_BYTES];
        // One block in 1,250 fails by chance: a few of them do not all.
        for _ in 0..3 {
            assert!(crate::sys::random::try_random(&mut good));
            samples.send(Sample::new(good.clone())).unwrap();
        }
        let pool = Pool {
            device: OpenOptions::new().write(true).open("/dev/null").unwrap(),
            credit_bits: 0,
        };
        let fed = std::thread::spawn(move || run(pool, Duration::from_secs(3600), &context));
        while status.state() != FeedState::Full {
            std::thread::yield_now();
        }
        assert_eq!(status.bytes.load(Relaxed), 64);
        assert!(status.blocks_failed.load(Relaxed) >= u64::from(FAILURES_SAID));
        assert!(status.last_error().unwrap().contains("fails FIPS 140-2"));
        drop(trigger);
        fed.join().unwrap().unwrap();
    }

    #[test]
    fn without_the_right_to_credit_it_writes_and_does_not_try_again() {
        // No pool: the ioctl is refused, the write is not.
        let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
        let mut pool = Pool { device: null, credit_bits: 256 };
        assert_eq!(pool.feed(&[1; FEED_LEN]).unwrap(), 0);
        assert_eq!(pool.credit_bits, 0);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut pool = Pool { device: full, credit_bits: 0 };
        assert!(matches!(pool.feed(&[1; FEED_LEN]), Err(SinkError::Kernel(_))));
    }
}

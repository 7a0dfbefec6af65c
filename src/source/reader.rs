//! The reader: a thread that reads the device, tests what it read and stocks samples.
//!
//! Owns the way from `read` to the stock, and the recovery from every failure. A full stock
//! blocks it, so a device that nobody asks is not read.

use super::Settings;
use super::device::{Device, DeviceError};
use super::fips::FipsCounters;
use super::health::{HealthTests, STARTUP_BYTES, default_min_entropy};
use crate::moment::Moment;
use crate::sample::Sample;
use crate::status::{FipsCounts, SourceStatus};
use crate::stock::Stock;
use crate::sys;
use log::{info, warn};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A read that takes longer than this is made smaller, a faster one larger, up to a sample:
/// a slow device is seen to live, and a fast one costs few calls.
const READ_SPAN: Duration = Duration::from_millis(50);
/// The smallest read, bytes.
const READ_MIN: usize = 64;
/// A sample that has been filling for this long goes out as it is, so that whoever waits for
/// 64 bytes from a slow device does not wait for 2,048.
const SAMPLE_SPAN: Duration = Duration::from_millis(250);
/// How often the kernel is asked whether its generator is still the same.
const CURRENT_CHECK_SPAN: Duration = Duration::from_secs(1);
/// First and longest wait before a failed source is opened again.
const REOPEN_MIN: Duration = Duration::from_secs(1);
/// See [`REOPEN_MIN`].
const REOPEN_MAX: Duration = Duration::from_secs(60);
/// Good bytes after which a failure counts as the first again.
const REOPEN_RESET_BYTES: u64 = 64 * 1024;

/// Wakes whoever serves the samples.
pub type Wake = Box<dyn Fn() + Send>;

/// The reader's side of the stock, and what it needs to report.
pub struct Reader {
    settings: Settings,
    stock: Arc<Stock>,
    status: Arc<SourceStatus>,
    wake: Wake,
    /// Position in a file or disk: its bytes are read once.
    offset: u64,
    fips: FipsCounters,
    fips_told: FipsCounts,
    good_bytes: u64,
    /// Kinds of failure that the log heard of in this outage.
    kinds_told: BTreeSet<&'static str>,
}

/// Why reading stopped.
enum Stop {
    Failed {
        kind: &'static str,
        text: String,
    },
    /// The event loop declared the source stalled while a read hung; what came after that is
    /// not trusted before the source passes its start-up test again.
    WrittenOff,
}

impl From<DeviceError> for Stop {
    fn from(error: DeviceError) -> Self {
        if let DeviceError::Silent = error {
            // It comes long after the event loop's word.
            return Stop::WrittenOff;
        }
        Stop::Failed { kind: error.kind(), text: error.to_string() }
    }
}

impl Reader {
    /// Makes the stock and its reader.
    pub fn new(settings: Settings, status: Arc<SourceStatus>, wake: Wake) -> (Self, Arc<Stock>) {
        let stock = Arc::new(Stock::new(settings.stock));
        status.set_name(settings.origin.to_string(), "");
        let reader = Reader {
            settings,
            stock: Arc::clone(&stock),
            status,
            wake,
            offset: 0,
            fips: FipsCounters::new(),
            fips_told: FipsCounts::default(),
            good_bytes: 0,
            kinds_told: BTreeSet::new(),
        };
        (reader, stock)
    }

    /// Reads until the process ends. A thread that hangs in `read` cannot be joined; nobody
    /// tries.
    pub fn run(mut self) {
        let mut pause = REOPEN_MIN;
        loop {
            self.good_bytes = 0;
            let Err(stop) = self.read_on();
            if self.good_bytes >= REOPEN_RESET_BYTES {
                pause = REOPEN_MIN;
            }
            match stop {
                Stop::Failed { kind, text } => self.fail(kind, &text, pause),
                Stop::WrittenOff => self.stock.wipe(),
            }
            // A wait on a channel: no core is kept busy.
            let _ = crossbeam_channel::after(pause).recv();
            pause = (pause * 2).min(REOPEN_MAX);
        }
    }

    fn fail(&mut self, kind: &'static str, text: &str, pause: Duration) {
        self.stock.wipe();
        let source = &self.settings.origin;
        self.status.set_failed(kind, text, sys::now());
        // Once an outage and kind: a source that stays away is tried again for days.
        if self.kinds_told.insert(kind) {
            warn!("source {source} failed ({kind}): {text}; next attempt in {} s", pause.as_secs());
        }
        (self.wake)();
    }

    /// Opens, tests, reads until something is wrong.
    fn read_on(&mut self) -> Result<Infallible, Stop> {
        self.status.record_progress(sys::now());
        let device = Device::open(&self.settings.origin, self.offset, self.settings.stall_timeout)?;
        self.status.set_name(self.settings.origin.to_string(), device.generator());
        if device.is_seekable() && self.offset == 0 {
            warn!(
                "source {} is a file: after a restart it gives the same bytes again. For tests only",
                device.description()
            );
        }
        let min_entropy =
            self.settings.min_entropy.unwrap_or_else(|| default_min_entropy(device.quality()));
        if min_entropy == 0.0 {
            warn!("min-entropy = 0: the health tests are switched off, whatever the source gives");
        }
        let mut run = Run {
            health: HealthTests::new(min_entropy),
            alarms: min_entropy > 0.0,
            read_len: READ_MIN,
            buffer: Zeroizing::new(vec![0; self.settings.sample_size]),
            current_checked_at: sys::now(),
            device,
        };
        self.fips.restart();
        let mut discard = STARTUP_BYTES;
        while discard > 0 {
            discard -= self.read_tested(&mut run, discard)?.len();
        }
        info!(
            "source {} passed its start-up test; claimed min-entropy {min_entropy:.2} bits per byte",
            run.device.description()
        );
        self.status.set_good();
        self.kinds_told.clear();
        (self.wake)();
        loop {
            self.stock.wait_for_room();
            let sample = self.fill(&mut run)?;
            // The event loop declared the source stalled while we hung in `read`.
            if self.status.has_failed() {
                return Err(Stop::WrittenOff);
            }
            self.good_bytes += sample.len() as u64;
            if self.stock.put(sample) {
                (self.wake)();
            }
        }
    }

    /// The next sample: whole, or as much as a slow source gave in [`SAMPLE_SPAN`].
    fn fill(&mut self, run: &mut Run) -> Result<Sample, Stop> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.settings.sample_size));
        let mut started: Option<Moment> = None;
        while bytes.len() < self.settings.sample_size {
            let want = self.settings.sample_size - bytes.len();
            bytes.extend_from_slice(self.read_tested(run, want)?);
            let now = self.status.progress_at();
            if now.since(*started.get_or_insert(now)) >= SAMPLE_SPAN {
                break;
            }
        }
        Ok(Sample::new(std::mem::take(&mut *bytes)))
    }

    /// One read of at most `want` bytes, through all tests.
    fn read_tested<'run>(&mut self, run: &'run mut Run, want: usize) -> Result<&'run [u8], Stop> {
        let started = sys::now();
        if started.since(run.current_checked_at) >= CURRENT_CHECK_SPAN {
            run.device.check_current()?;
            run.current_checked_at = started;
        }
        let want = want.min(run.read_len);
        let count = run.device.read(&mut run.buffer[..want])?;
        let now = sys::now();
        let span = now - started;
        self.status.record_read(count, span, now);
        if run.device.is_seekable() {
            self.offset += count as u64;
        }
        run.fit(span);
        let bytes = &run.buffer[..count];
        if let Err(failure) = run.health.check(bytes) {
            return Err(Stop::Failed { kind: failure.kind(), text: failure.to_string() });
        }
        self.fips.update(bytes);
        let report = self.fips.report();
        let fips = FipsCounts { passed: report.blocks_ok, failed: report.blocks_failed };
        if fips != self.fips_told {
            self.fips_told = fips;
            self.status.set_fips(fips);
        }
        if let Some(alarm) = self.fips.rate_alarm().filter(|_| run.alarms) {
            return Err(Stop::Failed { kind: alarm.kind(), text: alarm.to_string() });
        }
        Ok(&run.buffer[..count])
    }
}

/// What lives from one opening of the source to its failure.
struct Run {
    device: Device,
    health: HealthTests,
    /// Off for a claimed min-entropy of 0: nothing can fail then.
    alarms: bool,
    read_len: usize,
    buffer: Zeroizing<Vec<u8>>,
    current_checked_at: Moment,
}

impl Run {
    /// Adapts the size of reads to the speed of the device.
    fn fit(&mut self, span: Duration) {
        if span > READ_SPAN {
            self.read_len = (self.read_len / 2).max(READ_MIN);
        } else if span < READ_SPAN / 4 {
            self.read_len *= 2;
        }
        self.read_len = self.read_len.min(self.buffer.len());
    }
}

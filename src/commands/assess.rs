//! `assess SOURCE`: how fast a source is, and how many clients it carries at which guarantee.

use super::demo::verdict::Grouped;
use super::{Exit, Failure};
use crate::server::Limits;
use crate::server::admission::{Capacity, promisable};
use crate::source::draw::{Chunks, DrawError};
use crate::source::fips::FipsCounters;
use crate::source::health::{HealthFailure, HealthTests, STARTUP_BYTES, default_min_entropy};
use crate::sys;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// Guarantees that the table lists, bytes per second: from what a kernel of today takes (64
/// bytes a minute) to what an old rngd drinks.
const GUARANTEES: [u64; 6] = [2, 100, 500, 1_000, 5_000, 20_000];
/// Bytes read at once: the default sample.
const READ_LEN: usize = 2048;
/// Between two looks at the progress line.
const PROGRESS_SPAN: Duration = Duration::from_millis(200);

/// A source that gives nothing for this long is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What was measured.
struct Measured {
    capacity: Capacity,
    fips: FipsCounters,
    health: HealthTests,
    failure: Option<HealthFailure>,
    bytes: u64,
    in_read: Duration,
}

/// Reads `path` for `span` and prints what it carries.
///
/// # Errors
/// A source that cannot be read or fails a health test.
pub fn assess(path: &Path, span: Duration) -> Result<(), Failure> {
    let chunks = Chunks::open(path, READ_LEN, STALL_TIMEOUT)?;
    let min_entropy = default_min_entropy(chunks.quality);
    let mut measured = Measured {
        capacity: Capacity::default(),
        fips: FipsCounters::new(),
        health: HealthTests::new(min_entropy),
        failure: None,
        bytes: 0,
        in_read: Duration::ZERO,
    };
    let ended = measured.read(&chunks, span)?;
    let Measured { capacity, fips, failure, bytes, in_read, .. } = measured;
    if bytes < STARTUP_BYTES as u64 {
        if let Some(why) = ended {
            return Err(why.into());
        }
    }
    let report = fips.report();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", chunks.description)?;
    let rate = capacity.bytes_per_s().unwrap_or_else(|| average(bytes, in_read));
    writeln!(out, "  rate          {} bytes/s ({} bytes read)", Grouped(rate), Grouped(bytes))?;
    if let Some(why) = ended {
        writeln!(out, "  ended early   {why}")?;
    }
    let health = failure.map_or_else(
        || format!("passed (SP 800-90B, claimed min-entropy {min_entropy:.2} bits per byte)"),
        |failure| format!("FAILED: {failure}"),
    );
    writeln!(out, "  health tests  {health}")?;
    writeln!(
        out,
        "  FIPS 140-2    {} of {} blocks failed; chance alone fails 1 in 1,250",
        Grouped(report.blocks_failed),
        Grouped(report.blocks_ok + report.blocks_failed)
    )?;
    match failure {
        None => Ok(table(&mut out, rate)?),
        Some(failure) => {
            Err(Failure::new(Exit::Source, format_args!("source {}: {failure}", path.display())))
        }
    }
}

impl Measured {
    /// Reads for `span`; why it ended before, if it did.
    fn read(&mut self, chunks: &Chunks, span: Duration) -> Result<Option<DrawError>, Failure> {
        let start = sys::now();
        let mut shown = start;
        // Time that the device had, not time that others kept us from it; but a source so fast
        // that reading takes none of it must not keep us either.
        while self.in_read < span && sys::now().since(start) < span * 2 {
            let chunk = match chunks.next() {
                Ok(chunk) => chunk,
                Err(why) => return Ok(Some(why)),
            };
            let bytes = chunk.bytes.as_bytes();
            self.bytes += bytes.len() as u64;
            self.in_read += chunk.span;
            self.capacity.handle_reading(bytes.len() as u64, chunk.span);
            self.fips.update(bytes);
            if self.failure.is_none() {
                self.failure = self.health.check(bytes).err();
            }
            let now = sys::now();
            if now.since(shown) >= PROGRESS_SPAN {
                shown = now;
                progress(self.in_read.as_secs_f64() / span.as_secs_f64(), self.bytes)?;
            }
        }
        progress(1.0, self.bytes)?;
        Ok(None)
    }
}

/// How many clients fit at which guarantee.
fn table(out: &mut impl Write, rate: u64) -> std::io::Result<()> {
    let headroom = Limits::default().headroom;
    let most = promisable(rate, headroom);
    writeln!(
        out,
        "\nIt carries, with {:.0} % of its rate promised (headroom = {headroom}):",
        headroom * 100.0
    )?;
    for guarantee in GUARANTEES {
        let clients = most / guarantee;
        let word = if clients == 1 { "client" } else { "clients" };
        writeln!(out, "  {:>12} {word:<7} at guarantee = \"{guarantee} B/s\"", Grouped(clients))?;
    }
    Ok(())
}

/// One line on the terminal, overwritten; nothing where nobody looks.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn progress(done: f64, bytes: u64) -> std::io::Result<()> {
    let mut err = std::io::stderr().lock();
    if !err.is_terminal() {
        return Ok(());
    }
    let filled = ((done * 30.0) as usize).min(30);
    let bar = "█".repeat(filled) + &"░".repeat(30 - filled);
    write!(err, "\r{bar} {} bytes", Grouped(bytes))?;
    if done >= 1.0 {
        write!(err, "\r\x1b[2K")?;
    }
    err.flush()
}

fn average(bytes: u64, span: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / span.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

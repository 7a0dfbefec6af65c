//! `assess SOURCE`: how fast a source is, and how many clients it carries at which guarantee.

use super::demo::verdict::Grouped;
use super::{Exit, Failure};
use crate::server::Limits;
use crate::server::admission::{Capacity, promisable};
use crate::source::device::Device;
use crate::source::fips::FipsCounters;
use crate::source::health::{HealthTests, STARTUP_BYTES, default_min_entropy};
use crate::sys;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// Guarantees that the table lists, bytes per second: from what a kernel of today takes (64
/// bytes a minute) to what an old rngd drinks.
const GUARANTEES: [u64; 6] = [2, 100, 500, 1_000, 5_000, 20_000];
/// Bytes read at once: the default sample.
const READ_LEN: usize = 2048;
/// Between two looks at the progress line.
const PROGRESS_SPAN: Duration = Duration::from_millis(200);

/// Reads `path` for `span` and prints what it carries.
///
/// # Errors
/// A source that cannot be read, ends, or fails a health test.
pub fn assess(path: &Path, span: Duration) -> Result<(), Failure> {
    let source = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Source, format_args!("source {}: {why}", path.display()))
    };
    let mut device = Device::open(path, 0).map_err(|error| source(&error))?;
    let min_entropy = default_min_entropy(device.quality());
    let mut health = HealthTests::new(min_entropy);
    let (mut capacity, mut fips) = (Capacity::default(), FipsCounters::new());
    let mut buffer = Zeroizing::new([0; READ_LEN]);
    let (mut bytes, mut in_read) = (0, Duration::ZERO);
    let start = sys::now();
    let mut shown = start;
    let mut failure = None;
    while in_read < span || bytes < STARTUP_BYTES as u64 {
        let before = sys::now();
        let count = device.read(&mut buffer[..]).map_err(|error| source(&error))?;
        let now = sys::now();
        bytes += count as u64;
        in_read += now - before;
        capacity.handle_reading(count as u64, now - before);
        fips.update(&buffer[..count]);
        if failure.is_none() {
            failure = health.check(&buffer[..count]).err();
        }
        if now.since(shown) >= PROGRESS_SPAN {
            shown = now;
            progress(in_read.as_secs_f64() / span.as_secs_f64(), bytes)?;
        }
        // A source so fast that reading takes no time must not keep us.
        if now.since(start) > span * 2 {
            break;
        }
    }
    progress(1.0, bytes)?;
    let report = fips.report();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", device.description())?;
    let rate = capacity.bytes_per_s().unwrap_or_else(|| average(bytes, in_read));
    writeln!(out, "  rate          {} bytes/s ({} bytes read)", Grouped(rate), Grouped(bytes))?;
    let health = failure.map_or_else(
        || format!("passed (SP 800-90B, claimed min-entropy {min_entropy:.2} bits per byte)"),
        |failure| format!("FAILED: {failure}"),
    );
    writeln!(out, "  health tests  {health}")?;
    writeln!(
        out,
        "  FIPS 140-2    {} of {} blocks failed; chance alone fails 1 in 1,250",
        report.blocks_failed,
        report.blocks_ok + report.blocks_failed
    )?;
    table(&mut out, rate)?;
    match failure {
        None => Ok(()),
        Some(failure) => Err(source(&failure)),
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

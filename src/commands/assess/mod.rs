//! `assess SOURCE`: is this generator any good, and how many clients does it carry?
//!
//! Owns the reading, its end and the progress line. What the bytes tell is [`crate::assess`];
//! how it is printed is `report`.

mod report;

use super::{Exit, Failure, signals};
use crate::assess::Tally;
use crate::assess::sheet::{Form, Sheet};
use crate::assess::verdict::Verdict;
use crate::cli::Assess;
use crate::server::admission::Capacity;
use crate::source::draw::{Chunks, DrawError};
use crate::source::health::{STARTUP_BYTES, default_min_entropy};
use crate::source::origin::{EGD_NAMES, Origin};
use crate::status::words::Grouped;
use crate::sys;
use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a device is read, unless told otherwise.
const USUAL_SPAN: Duration = Duration::from_secs(5);
/// Bytes read at once: the default sample.
const READ_LEN: usize = 2048;
/// Between two looks at the progress line and at Ctrl-C.
const PROGRESS_SPAN: Duration = Duration::from_millis(200);
/// A source that gives nothing for this long is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Columns of the progress bar.
const BAR: usize = 30;

/// What was read.
struct Measured {
    tally: Tally,
    capacity: Capacity,
    bytes: u64,
    in_read: Duration,
    elapsed: Duration,
}

/// When reading ends, if nothing else ends it.
struct Limits {
    span: Option<Duration>,
    bytes: Option<u64>,
}

/// Why reading ended.
enum End {
    /// A limit was reached, or a file read to its end.
    Due,
    /// Ctrl-C.
    Stopped,
    /// The source gives no more.
    Lost(DrawError),
}

/// Reads the source, prints what can be said of it, draws it if asked.
///
/// # Errors
/// A source that cannot be read or is broken; a file for the drawing that cannot be written.
pub fn assess(what: &Assess) -> Result<(), Failure> {
    let plot = what.plot.as_deref().map(|path| form_of(path).map(|form| (path, form)));
    let plot = plot.transpose()?;
    let claim = what.min_entropy.as_deref().map(claim_of).transpose()?;
    let source = what.source.display();
    let origin = Origin::parse(&what.source)
        .ok_or_else(|| Failure::new(Exit::Usage, format_args!("{source}: want {EGD_NAMES}")))?;
    let chunks = Chunks::open(&origin, READ_LEN, STALL_TIMEOUT)?;
    // From here on Ctrl-C ends the reading only; looked at between reads, never waited for.
    let stop = signals::stop()?;
    stop.set_nonblocking(true)?;
    let mut measured = Measured {
        tally: Tally::new(claim.unwrap_or_else(|| default_min_entropy(chunks.quality))),
        capacity: Capacity::default(),
        bytes: 0,
        in_read: Duration::ZERO,
        elapsed: Duration::ZERO,
    };
    let end = measured.read(&chunks, &limits_of(what, &chunks), &stop)?;
    if measured.bytes < STARTUP_BYTES as u64 {
        return Err(match end {
            End::Lost(why) if !why.is_end => why.into(),
            _ => too_short(&origin, measured.bytes),
        });
    }
    let verdict = Verdict::of(&measured.tally);
    // Whoever reads our output may have seen enough; the drawing is still wanted.
    let printed = report::print(&chunks, &measured, &end, &verdict);
    if let Some((path, form)) = plot {
        draw(path, form, &measured, &chunks, &verdict)?;
    }
    if verdict.broken.is_empty() {
        return Ok(printed?);
    }
    Err(Failure::new(Exit::Source, format_args!("source {source}: {}", verdict.broken.join("; "))))
}

/// What the file's ending says.
fn form_of(path: &Path) -> Result<Form, Failure> {
    let ending = path.extension().unwrap_or_default();
    if ending.eq_ignore_ascii_case("png") {
        return Ok(Form::Png);
    }
    if ending.eq_ignore_ascii_case("svg") {
        return Ok(Form::Svg);
    }
    let path = path.display();
    Err(Failure::new(Exit::Usage, format_args!("--plot {path}: the name must end in .svg or .png")))
}

/// Bits per byte that a source is said to hold.
fn claim_of(text: &str) -> Result<f64, Failure> {
    text.parse().ok().filter(|claim| (0.0..=8.0).contains(claim)).ok_or_else(|| {
        Failure::new(Exit::Usage, "--min-entropy: want a number of bits from 0 to 8, as 1 or 0.5")
    })
}

fn limits_of(what: &Assess, chunks: &Chunks) -> Limits {
    let is_open = what.span.is_none() && what.bytes.is_none() && !chunks.is_seekable;
    Limits { span: if is_open { Some(USUAL_SPAN) } else { what.span }, bytes: what.bytes }
}

fn too_short(source: &Origin, bytes: u64) -> Failure {
    Failure::new(
        Exit::Source,
        format_args!(
            "source {source}: it gave {bytes} bytes, and at least {STARTUP_BYTES} are needed"
        ),
    )
}

impl Measured {
    /// Reads until a limit, the end or Ctrl-C.
    fn read(
        &mut self,
        chunks: &Chunks,
        limits: &Limits,
        stop: &UnixStream,
    ) -> Result<End, Failure> {
        let start = sys::now();
        let mut progress = Progress::new(chunks, limits);
        let mut heard = start;
        let end = loop {
            let now = sys::now();
            self.elapsed = now - start;
            if limits.are_reached(self) {
                break End::Due;
            }
            if signals::wait(stop) {
                break End::Stopped;
            }
            progress.show(self)?;
            match chunks.wait(PROGRESS_SPAN) {
                Ok(Some(chunk)) => {
                    heard = sys::now();
                    let left = limits.bytes.map_or(u64::MAX, |most| most - self.bytes);
                    let bytes = chunk.bytes.as_bytes();
                    let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.count(&bytes[..len]);
                    self.in_read += chunk.span;
                    self.capacity.handle_reading(bytes.len() as u64, chunk.span);
                    self.tally.rates.add(heard - start, chunk.span, len);
                }
                Ok(None) if now.since(heard) >= STALL_TIMEOUT => break End::Lost(chunks.stalled()),
                Ok(None) => {}
                Err(why) if why.is_end && chunks.is_seekable => break End::Due,
                Err(why) => break End::Lost(why),
            }
        };
        progress.clear()?;
        Ok(end)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.tally.update(bytes);
    }

    /// Bytes per second of the time that the source had.
    fn rate(&self) -> u64 {
        let average = || {
            let rate = u128::from(self.bytes) * 1_000_000_000 / self.in_read.as_nanos().max(1);
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        self.capacity.bytes_per_s().unwrap_or_else(average)
    }
}

impl Limits {
    /// Time that the device had, not time that others kept us from it; but a source so fast
    /// that reading takes none of it must not keep us either.
    fn are_reached(&self, so_far: &Measured) -> bool {
        self.bytes.is_some_and(|most| so_far.bytes >= most)
            || self.span.is_some_and(|span| so_far.in_read >= span || so_far.elapsed >= span * 2)
    }
}

/// One line on the terminal, overwritten; nothing where nobody looks.
struct Progress {
    is_terminal: bool,
    span: Option<Duration>,
    bytes: Option<u64>,
    shown: Duration,
}

impl Progress {
    fn new(chunks: &Chunks, limits: &Limits) -> Self {
        let bytes = match (limits.bytes, chunks.len) {
            (Some(most), Some(len)) => Some(most.min(len)),
            (most, len) => most.or(len),
        };
        let is_terminal = std::io::stderr().is_terminal();
        Progress { is_terminal, span: limits.span, bytes, shown: Duration::ZERO }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 30")]
    #[expect(clippy::cast_precision_loss, reason = "a bar of 30")]
    fn show(&mut self, so_far: &Measured) -> std::io::Result<()> {
        if !self.is_terminal || so_far.elapsed < self.shown + PROGRESS_SPAN {
            return Ok(());
        }
        self.shown = so_far.elapsed;
        let by_time =
            self.span.map_or(0.0, |span| so_far.in_read.as_secs_f64() / span.as_secs_f64());
        let by_bytes = self.bytes.map_or(0.0, |bytes| so_far.bytes as f64 / bytes as f64);
        let filled = ((by_time.max(by_bytes) * BAR as f64) as usize).min(BAR);
        let mut err = std::io::stderr().lock();
        write!(
            err,
            "\r\x1b[2K{}{} {} bytes, {} s; Ctrl-C ends it",
            "█".repeat(filled),
            "░".repeat(BAR - filled),
            Grouped(so_far.bytes),
            so_far.elapsed.as_secs()
        )?;
        err.flush()
    }

    fn clear(&self) -> std::io::Result<()> {
        if self.is_terminal {
            write!(std::io::stderr(), "\r\x1b[2K")?;
        }
        Ok(())
    }
}

/// Writes the sheet.
fn draw(
    path: &Path,
    form: Form,
    measured: &Measured,
    chunks: &Chunks,
    verdict: &Verdict,
) -> Result<(), Failure> {
    let summary = format!(
        "{} bytes; verdict: {}{}",
        Grouped(measured.bytes),
        verdict.headline(),
        verdict.reasons().next().map_or(String::new(), |reason| format!(": {reason}"))
    );
    let sheet = Sheet::new(&measured.tally, &chunks.description, &summary);
    std::fs::write(path, sheet.encode(form)).map_err(|error| {
        let path = path.display();
        Failure::new(Exit::System, format_args!("--plot {path}: cannot write it: {error}"))
    })
}

//! The demo's screen: redrawn in place on a terminal, a line at a time elsewhere.

use crate::status::words::Grouped;
use std::io::{IsTerminal, Write};

/// Columns of the narrowest terminal that is still usual.
const COLUMNS: usize = 79;
/// Columns of the bar that shows a client's share.
const BAR: usize = 30;

/// What is shown.
pub(super) struct Frame<'a> {
    pub seconds: f64,
    pub rate_bytes_per_s: f64,
    pub read_bytes: u64,
    pub health: &'a str,
    pub fips_passed: u64,
    pub fips_failed: u64,
    /// Name and bytes.
    pub clients: &'a [(&'a str, u64)],
    pub kernel: &'a str,
}

pub(super) struct Screen {
    redraws: bool,
    lines: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Screen { redraws: std::io::stdout().is_terminal(), lines: 0 }
    }

    pub(super) fn show(&mut self, frame: &Frame<'_>) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if !self.redraws {
            let clients: Vec<String> = frame
                .clients
                .iter()
                .map(|(name, bytes)| {
                    format!("{name} {} B ({})", Grouped(*bytes), share(*bytes, frame))
                })
                .collect();
            return writeln!(
                out,
                "{:5.1} s  source {:>9}  {}  {}  FIPS {}/{}  {}",
                frame.seconds,
                rate(frame.rate_bytes_per_s),
                clients.join("  "),
                frame.health,
                frame.fips_passed,
                frame.fips_passed + frame.fips_failed,
                frame.kernel
            );
        }
        if self.lines > 0 {
            write!(out, "\x1b[{}A", self.lines)?;
        }
        let mut lines = vec![
            format!(
                "  source  {:>10}  {:>12} bytes read",
                rate(frame.rate_bytes_per_s),
                Grouped(frame.read_bytes)
            ),
            format!(
                "  tests   {}; FIPS 140-2: {} of {} blocks failed",
                frame.health,
                frame.fips_failed,
                frame.fips_passed + frame.fips_failed
            ),
        ];
        for (name, bytes) in frame.clients {
            let filled = bar(*bytes, frame);
            lines.push(format!(
                "  {name:<8}{:>10}  {:>12} bytes  {}{}",
                share(*bytes, frame),
                Grouped(*bytes),
                "█".repeat(filled),
                "░".repeat(BAR - filled)
            ));
        }
        lines.push(kernel_line(frame.kernel));
        lines.push(format!("  {:.1} s; Ctrl-C ends it early", frame.seconds));
        for line in &lines {
            writeln!(out, "\r\x1b[2K{}", cut(line))?;
        }
        self.lines = lines.len();
        out.flush()
    }
}

pub(super) fn kernel_line(text: &str) -> String {
    format!("  kernel  {text}")
}

/// Cut where a narrow terminal would wrap: the picture must keep its height.
pub(super) fn cut(line: &str) -> String {
    line.chars().take(COLUMNS).collect()
}

fn total(frame: &Frame<'_>) -> u64 {
    frame.clients.iter().map(|(_, bytes)| bytes).sum()
}

#[expect(clippy::cast_precision_loss)]
fn share(bytes: u64, frame: &Frame<'_>) -> String {
    match total(frame) {
        0 => "-".to_owned(),
        total => format!("{:.1} %", 100.0 * bytes as f64 / total as f64),
    }
}

fn bar(bytes: u64, frame: &Frame<'_>) -> usize {
    let filled = (bytes * BAR as u64).checked_div(total(frame)).unwrap_or(0);
    usize::try_from(filled).unwrap_or(BAR).min(BAR)
}

fn rate(bytes_per_s: f64) -> String {
    if bytes_per_s >= 1e6 {
        format!("{:.1} MB/s", bytes_per_s / 1e6)
    } else {
        format!("{:.1} kB/s", bytes_per_s / 1e3)
    }
}

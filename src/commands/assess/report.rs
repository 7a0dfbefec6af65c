//! What `assess` prints: figures beside what chance alone gives, a verdict, who can be served.
//!
//! Owns the words and the columns. It measures nothing.

use super::{End, Measured};
use crate::assess::blocks::CHANCE;
use crate::assess::verdict::Verdict;
use crate::server::Limits;
use crate::server::admission::promisable;
use crate::source::draw::Chunks;
use crate::status::words::Grouped;
use std::io::{self, Write};

/// Guarantees that the table lists, bytes per second: from what a kernel of today takes (64
/// bytes a minute) to what an old rngd drinks.
const GUARANTEES: [u64; 6] = [2, 100, 500, 1_000, 5_000, 20_000];

/// Prints it all.
pub(super) fn print(
    chunks: &Chunks,
    measured: &Measured,
    end: &End,
    verdict: &Verdict,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    print_reading(&mut out, chunks, measured, end)?;
    print_blocks(&mut out, measured)?;
    print_distribution(&mut out, measured)?;
    print_estimates(&mut out, measured)?;
    print_verdict(&mut out, verdict)?;
    if verdict.broken.is_empty() && !chunks.is_seekable {
        print_clients(&mut out, measured.rate())?;
    }
    Ok(())
}

fn print_reading(
    out: &mut impl Write,
    chunks: &Chunks,
    measured: &Measured,
    end: &End,
) -> io::Result<()> {
    writeln!(out, "{}", chunks.description)?;
    let (bytes, seconds) = (Grouped(measured.bytes), measured.elapsed.as_secs_f64());
    if chunks.is_seekable {
        // How fast a disk is says nothing.
        writeln!(out, "  read          {bytes} bytes of a file")?;
    } else {
        let rate = Grouped(measured.rate());
        writeln!(out, "  rate          {rate} bytes/s ({bytes} bytes read in {seconds:.1} s)")?;
    }
    match end {
        End::Due => {}
        End::Stopped => writeln!(out, "  ended early   by Ctrl-C")?,
        End::Lost(why) => writeln!(out, "  ended early   {why}")?,
    }
    let tally = &measured.tally;
    let claim = tally.claim;
    match tally.failure {
        None => writeln!(
            out,
            "  health tests  passed (SP 800-90B, claimed min-entropy {claim:.2} bits per byte)"
        ),
        Some(failure) => writeln!(out, "  health tests  FAILED: {failure}"),
    }
}

fn print_blocks(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    let report = measured.tally.blocks.report();
    let tests = report.statistical;
    writeln!(
        out,
        "  FIPS 140-2    {} of {} blocks failed; chance alone fails 1 in 1,250\n",
        Grouped(report.failed),
        Grouped(report.blocks)
    )?;
    writeln!(out, "{:<32}{:>12}   by chance alone", "FIPS 140-2, blocks that fail", "counted")?;
    let rows = [
        ("monobit", tests.monobit, CHANCE.monobit),
        ("poker", tests.poker, CHANCE.poker),
        ("runs", tests.runs, CHANCE.runs),
        ("long run", tests.long_run, CHANCE.long_run),
        ("continuous run", report.continuous, CHANCE.continuous),
    ];
    for (name, counted, share) in rows {
        #[expect(clippy::cast_precision_loss, reason = "a count of blocks")]
        let chance = share * report.blocks as f64;
        writeln!(out, "  {name:<30}{:>12}   about {chance:.1}", Grouped(counted))?;
    }
    Ok(())
}

fn print_distribution(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    let distribution = &measured.tally.distribution;
    let chance = distribution.by_chance();
    let correlation = match distribution.serial_correlation() {
        Some(correlation) => format!("{correlation:.6}"),
        None => "undefined".to_owned(),
    };
    writeln!(out, "\n{:<32}{:>12}   by chance alone", "Bytes", "measured")?;
    let rows = [
        ("entropy, bits per byte", format!("{:.6}", distribution.entropy()), chance.entropy, 6),
        ("chi-square", format!("{:.2}", distribution.chi_square()), chance.chi_square, 0),
        (
            "  exceeded by chance, % of times",
            format!("{:.2}", 100.0 * distribution.chi_square_p()),
            (0.01, 99.99),
            2,
        ),
        ("arithmetic mean", format!("{:.4}", distribution.mean()), chance.mean, 2),
        ("serial correlation", correlation, chance.serial_correlation, 4),
    ];
    for (name, value, (least, most), digits) in rows {
        writeln!(out, "  {name:<31}{value:>11}   {least:.digits$} to {most:.digits$}")?;
    }
    Ok(())
}

fn print_estimates(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    let estimates = measured.tally.estimates();
    writeln!(
        out,
        "\n{:<32}{:>12}   SP 800-90B, 99 % confidence",
        "Min-entropy, bits per byte", "at least"
    )?;
    let rows = [
        ("most common byte", Some(estimates.common_byte), "§6.3.1"),
        ("most common bit", Some(estimates.common_bit), "§6.3.1"),
        ("collision of bits", Some(estimates.collision), "§6.3.2"),
        ("Markov, bits", Some(estimates.markov), "§6.3.3, no bound"),
        ("compression, 6 bits", estimates.compression, "§6.3.4"),
        ("lowest of these", Some(estimates.lowest()), "which is the one that counts"),
    ];
    for (name, value, section) in rows {
        let value = value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        writeln!(out, "  {name:<30}{value:>12}   {section}")?;
    }
    // Medians of a perfect source, counted.
    writeln!(
        out,
        "The fewer bytes, the lower: a perfect source shows about 6.4 of 50 kB, 7.1 of 1 MB."
    )
}

fn print_verdict(out: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    writeln!(out, "\nVerdict: {}.", verdict.headline())?;
    for reason in verdict.reasons() {
        writeln!(out, "  - {reason}")?;
    }
    if !verdict.broken.is_empty() {
        return writeln!(out, "Do not use this source.");
    }
    if !verdict.uneven.is_empty() {
        writeln!(
            out,
            "Nothing here shows that it has less entropy than it claims. A kernel's pool mixes what\n\
             it is fed; do not use these bytes as they are."
        )?;
    }
    writeln!(
        out,
        "That is all these tests can say: they show that a source is broken, never that it is\n\
         good. Numbers that somebody can predict pass them as well."
    )
}

/// How many clients fit at which guarantee.
fn print_clients(out: &mut impl Write, rate: u64) -> io::Result<()> {
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

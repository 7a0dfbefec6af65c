//! What `netrng assess` finds, beside what `ent` and `rngtest` find in the same bytes: good,
//! biased, stuck, periodic, counting, text, and the real `/dev/hwrng` through strace. Needs
//! root, ent, strace and `NETRNG_RNGTEST`; plain `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::Read;
use std::path::Path;
use support::assessment::number;
use support::process::{command, finish, finish_with_input, netrng};
use support::rngd::{recorded, recording_options};
use support::trace::{Trace, traced};

/// Exit code for a source that is broken.
const BROKEN: Option<i32> = Some(4);

/// What follows `label` on its line, up to the next space.
#[track_caller]
fn value<'a>(text: &'a str, label: &str) -> &'a str {
    let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("no {label:?} in\n{text}"));
    rest.split_whitespace().next().unwrap_or_else(|| panic!("nothing after {label:?} in\n{text}"))
}

/// All figures of `printed` are those of rngtest and ent on `bytes`.
fn check_figures(printed: &str, bytes: &[u8]) {
    check_rngtest(printed, bytes);
    check_ent(printed, bytes);
}

fn check_rngtest(printed: &str, bytes: &[u8]) {
    let rngtest = std::env::var_os("NETRNG_RNGTEST")
        .expect("NETRNG_RNGTEST is not set: run `tests/run assess`");
    // It keeps the first word for the continuous test and starts its blocks after it.
    let mut input: Vec<u8> = bytes[..4].iter().map(|byte| !byte).collect();
    input.extend_from_slice(bytes);
    let found = finish_with_input(&mut command(rngtest), &input).stderr;
    let blocks = number(&found, "FIPS 140-2 successes:") + number(&found, "FIPS 140-2 failures:");
    assert_eq!(blocks, bytes.len() as u64 / 2500, "{found}");
    let (summary, table) = printed.split_once("blocks that fail").unwrap();
    let (_, summary) = summary.split_once("  FIPS 140-2 ").unwrap();
    assert_eq!(number(summary, ""), number(&found, "FIPS 140-2 failures:"), "{printed}");
    assert_eq!(number(summary, " of "), blocks, "{printed}");
    for (ours, theirs) in [
        ("\n  monobit", "Monobit:"),
        ("\n  poker", "Poker:"),
        ("\n  runs", "Runs:"),
        ("\n  long run", "Long run:"),
        ("\n  continuous run", "Continuous run:"),
    ] {
        let counted = value(table, ours).replace(',', "");
        assert_eq!(counted, value(&found, theirs), "{ours} in\n{printed}\n{found}");
    }
}

fn check_ent(printed: &str, bytes: &[u8]) {
    let found = finish_with_input(&mut command("ent"), bytes).success();
    let chi_square = value(&found, &format!("for {} samples is", bytes.len()));
    let p = match value(&found, "would exceed this value") {
        "less" => "0.00",
        "more" => "100.00",
        p => p,
    };
    let correlation = value(&found, "correlation coefficient is");
    for (ours, theirs) in [
        ("entropy, bits per byte", value(&found, "Entropy =")),
        ("chi-square", chi_square.trim_end_matches(',')),
        ("exceeded by chance, % of times", p),
        ("arithmetic mean", value(&found, "Arithmetic mean value of data bytes is")),
        ("serial correlation", correlation),
    ] {
        assert_eq!(value(printed, ours), theirs, "{ours} in\n{printed}\n{found}");
    }
}

/// Assesses a file of these bytes; checks every figure, the verdict and the exit code. Answers
/// what was printed.
#[track_caller]
fn check(bytes: &[u8], headline: &str, reason: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let finished = finish(&mut netrng(&["assess", file.path().to_str().unwrap()]));
    assert!(finished.stdout.contains(&format!("\nVerdict: {headline}.")), "{finished:#?}");
    assert!(finished.stdout.contains(reason), "{finished:#?}");
    assert!(!finished.stdout.contains("carries"), "a file serves nobody: {finished:#?}");
    let code = if headline == "broken" { BROKEN } else { Some(0) };
    assert_eq!(finished.code, code, "{finished:#?}");
    check_figures(&finished.stdout, bytes);
    finished.stdout
}

/// Bytes of the kernel's generator.
fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

/// Random bits, of which `part` of 256 more are ones than should be.
fn biased(part: u8, len: usize) -> Vec<u8> {
    let bit = |noise: &u8| u8::from(*noise >= 128 - part);
    random(8 * len)
        .chunks(8)
        .map(|noise| noise.iter().fold(0, |byte, noise| byte << 1 | bit(noise)))
        .collect()
}

#[test]
fn a_good_source_has_no_fault() {
    check(&random(2_000_001), "no fault found", "never that it is\ngood");
    check(&random(1024), "no fault found", "0 of 0 blocks");
}

#[test]
fn a_biased_source_is_broken_or_uneven() {
    check(&biased(12, 1_000_000), "broken", "FIPS 140-2: 8 of the last");
    let printed = check(&biased(1, 1_000_000), "uneven", "more often than chance explains");
    assert!(printed.contains("never that it is\ngood"), "the limits are told: {printed}");
}

#[test]
fn a_stuck_source_is_broken() {
    check(&[0xA5; 300_000], "broken", "repetition count test");
    check(&[0; 5_000], "broken", "undefined");
}

#[test]
fn a_periodic_source_is_broken() {
    check(&random(4_000).repeat(50), "broken", "come again at offset 4000");
    let late = [random(100), random(50_000).repeat(20)].concat();
    check(&late, "broken", "the 16 bytes at offset 65520 come again at offset 115520");
    let counter: Vec<u8> = (0..=255).cycle().take(400_000).collect();
    check(&counter, "broken", "more evenly than chance");
}

#[test]
fn text_is_broken() {
    let mut text = String::new();
    for file in ["src/assess/entropy.rs", "README.md", "docs/design.md", "docs/protocol.md"] {
        text += &fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    }
    check(text.as_bytes(), "broken", "each byte tells something about the next");
}

#[test]
fn the_device_is_judged_by_the_bytes_it_gave() {
    const DEVICE: &str = "/dev/hwrng";
    const BYTES: usize = 40_000;
    let folder = tempfile::tempdir().unwrap();
    let (log, sheet) = (folder.path().join("trace"), folder.path().join("sheet.png"));
    let sheet_name = sheet.to_str().unwrap();
    let arguments = ["assess", DEVICE, "--bytes", &BYTES.to_string(), "--plot", sheet_name];
    let mut command = traced(&netrng(&arguments), &recording_options(DEVICE), &log);
    let printed = finish(&mut command).success();
    assert!(printed.contains("(40,000 bytes read in"), "{printed}");
    assert!(printed.contains("Verdict: no fault found."), "{printed}");
    // It was read ahead; what was not asked for was not judged.
    let read = recorded(&Trace(log));
    assert!((BYTES..BYTES + 2 * 2048).contains(&read.len()), "{} bytes read", read.len());
    check_figures(&printed, &read[..BYTES]);
    assert_eq!(fs::read(sheet).unwrap()[..8], *b"\x89PNG\r\n\x1a\n");
}

#[test]
fn both_drawings_are_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let bytes = biased(12, 100_000);
    fs::write(&source, &bytes).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["sheet.svg", "sheet.PNG"] {
        let arguments = ["assess", source.to_str().unwrap(), "--plot", &path(name)];
        assert_eq!(finish(&mut netrng(&arguments)).code, BROKEN);
    }
    // An SVG renderer reads the one, libpng the other: in grey, without a header.
    let svg = ["--width", "1240", "--output", &path("svg.png"), &path("sheet.svg")];
    finish(command("rsvg-convert").args(svg)).success();
    let dark = |name: &str| {
        let file = fs::File::open(path(name)).unwrap();
        let grey = command("pngtopnm").stdin(file).output().unwrap();
        assert!(grey.status.success(), "{name}: {}", String::from_utf8_lossy(&grey.stderr));
        let pixels = &grey.stdout[grey.stdout.len() - 3 * 1240 * 716..];
        // The picture: two by two pixels a bit, from (80, 140).
        let pixel = |bit: usize| 3 * ((141 + bit / 256 * 2) * 1240 + 81 + bit % 256 * 2);
        (0..65_536).map(|bit| pixels[pixel(bit)] < 128).collect::<Vec<_>>()
    };
    let bits: Vec<bool> = (0..65_536).map(|bit| bytes[bit / 8] >> (7 - bit % 8) & 1 == 1).collect();
    assert!(dark("sheet.PNG") == bits, "the PNG shows other bits");
    assert!(dark("svg.png") == bits, "the SVG shows other bits");
}

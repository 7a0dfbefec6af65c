//! `netrng assess`: figures that agree with each other and with the source, and exit codes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::assessment::{check_table, number};
use support::feed::{Feed, Mood};
use support::numbered::byte_at;
use support::process::{Finished, Process, binary, command, finish, netrng};
use support::wait;

/// Exit code for a source that cannot be read or is no good.
const SOURCE: Option<i32> = Some(4);

fn assess(path: &str, seconds: &str) -> Finished {
    finish(&mut netrng(&["assess", path, "--seconds", seconds]))
}

/// Assesses a FIFO that is fed at `bytes_per_s`.
fn assess_feed(mood: Mood, bytes_per_s: u64) -> Finished {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::new(&dir.path().join("source"), mood);
    feed.set_pace(bytes_per_s);
    assess(&feed.path().display().to_string(), "2")
}

#[test]
fn the_rate_is_the_sources_and_the_table_follows_from_it() {
    for pace in [8_000, 64_000] {
        let printed = assess_feed(Mood::Good, pace).success();
        let rate = number(&printed, "rate");
        assert!((pace * 8 / 10..pace * 12 / 10).contains(&rate), "{rate} of {pace}:\n{printed}");
        check_table(&printed, rate);
        assert!(printed.contains("passed"), "{printed}");
    }
}

#[test]
fn a_source_that_fails_its_tests_is_measured_and_refused() {
    let finished = assess_feed(Mood::Stuck(0x55), 64_000);
    assert_eq!(finished.code, SOURCE, "{finished:#?}");
    assert!(finished.stdout.contains("FAILED"), "{finished:#?}");
    assert!(finished.stderr.contains("repetition count test"), "{finished:#?}");
    assert!(number(&finished.stdout, "rate") > 0, "{finished:#?}");
    assert!(!finished.stdout.contains("carries"), "it carries nobody: {finished:#?}");
}

#[test]
fn ctrl_c_ends_it_with_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::new(&dir.path().join("source"), Mood::Good);
    feed.set_pace(64_000);
    let path = feed.path().display().to_string();
    let mut process = Process::start(&mut netrng(&["assess", &path, "--seconds", "3600"]));
    wait::until_true("some bytes", || feed.taken() >= 20_000);
    process.signal(libc::SIGINT);
    assert_eq!(process.wait(wait::PATIENCE).code(), Some(0));
    let printed = String::from_utf8(process.stdout_at_end()).unwrap();
    assert!(printed.contains("ended early   by Ctrl-C"), "{printed}");
    assert!(printed.contains("Verdict: no fault found."), "{printed}");
    assert_eq!(process.log_at_end(), "", "no progress where nobody looks");
    check_table(&printed, number(&printed, "rate"));
}

#[test]
fn a_terminal_sees_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::new(&dir.path().join("source"), Mood::Good);
    feed.set_pace(64_000);
    let words = format!("{} assess {} -s 1", binary().display(), feed.path().display());
    let printed = finish(command("script").args(["-qec", &words, "/dev/null"])).success();
    assert!(printed.contains("Ctrl-C ends it") && printed.contains('█'), "{printed}");
    assert!(printed.contains("Verdict: no fault found."), "{printed}");
}

#[test]
fn a_file_is_read_to_its_end_and_must_have_one_worth_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    for (len, says) in [(1023, "it gave 1023 bytes, and at least 1024 are needed"), (1024, "")] {
        std::fs::write(&file, vec![7; len]).unwrap();
        let finished = finish(&mut netrng(&["assess", &file.display().to_string()]));
        assert_eq!(finished.code, SOURCE, "{finished:#?}");
        assert!(finished.stderr.contains(says), "{finished:#?}");
        let is_read = finished.stdout.contains("1,024 bytes of a file");
        assert_eq!(is_read, len == 1024, "{finished:#?}");
    }
}

/// Noise in which one byte is more common than a claim of 7 bits allows.
fn uneven_noise() -> Vec<u8> {
    (0..200_000).map(|at| if at % 100 == 0 { 0xa5 } else { byte_at(at) }).collect()
}

#[test]
fn raw_noise_is_judged_by_the_claim_that_is_made_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let judge = |bytes: &[u8], claim: &[&str]| {
        std::fs::write(&file, bytes).unwrap();
        finish(netrng(&["assess"]).arg(&file).args(claim))
    };
    let noise = uneven_noise();
    let finished = judge(&noise, &[]);
    assert_eq!(finished.code, SOURCE, "{finished:#?}");
    assert!(finished.stderr.contains("less than the 7.00 claimed"), "{finished:#?}");
    let printed = judge(&noise, &["--min-entropy", "1"]).success();
    assert!(printed.contains("claimed min-entropy 1.00 bits per byte"), "{printed}");
    assert!(printed.contains("Verdict: uneven."), "{printed}");
    let finished = judge(&noise, &["--min-entropy", "7.9"]);
    assert_eq!(finished.code, SOURCE, "{finished:#?}");
    assert!(finished.stderr.contains("less than the 7.90 claimed"), "{finished:#?}");
    // What claims nothing keeps its claim, as with a server.
    for (claim, code) in [("0", Some(0)), ("1", SOURCE)] {
        let finished = judge(&[7; 50_000], &["--min-entropy", claim]);
        assert_eq!(finished.code, code, "{finished:#?}");
    }
    for claim in ["8.1", "-1", "NaN", "much"] {
        let finished = judge(&noise, &[&format!("--min-entropy={claim}")]);
        assert_eq!(finished.code, Some(2), "{finished:#?}");
        let says = "--min-entropy: want a number of bits from 0 to 8";
        assert!(finished.stderr.contains(says), "{finished:#?}");
    }
}

#[test]
fn a_device_that_is_not_there_was_named_here() {
    let finished = assess("/dev/hwrgn", "1");
    assert!(finished.stderr.contains("name another device"), "{finished:#?}");
}

#[test]
fn a_drawing_of_another_kind_is_refused_before_anything_is_read() {
    for name in ["sheet.pdf", "sheet", "png"] {
        let finished = finish(&mut netrng(&["assess", "/nonexistent", "--plot", name]));
        assert_eq!(finished.code, Some(2), "{finished:#?}");
        let says = format!("--plot {name}: the name must end in .svg or .png");
        assert!(finished.stderr.contains(&says), "{finished:#?}");
    }
    let arguments = ["assess", "/dev/urandom", "--bytes", "5000", "--plot", "/nonexistent/a.svg"];
    let finished = finish(&mut netrng(&arguments));
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(
        finished.stderr.contains("--plot /nonexistent/a.svg: cannot write it"),
        "{finished:#?}"
    );
    assert!(finished.stdout.contains("Verdict"), "the figures are not lost: {finished:#?}");
}

#[test]
fn a_source_that_cannot_be_read_is_named() {
    for path in ["/nonexistent/hwrng", "/dev/null"] {
        let finished = assess(path, "1");
        assert_eq!(finished.code, SOURCE, "{finished:#?}");
        assert!(finished.stderr.contains(path), "{finished:#?}");
        assert_eq!(finished.stdout, "", "figures of nothing");
    }
}

//! `netrng assess`: figures that agree with each other and with the source, and exit codes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::assessment::{check_table, number};
use support::feed::{Feed, Mood};
use support::process::{Finished, finish, netrng};

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
fn a_source_that_cannot_be_read_is_named() {
    for path in ["/nonexistent/hwrng", "/dev/null"] {
        let finished = assess(path, "1");
        assert_eq!(finished.code, SOURCE, "{finished:#?}");
        assert!(finished.stderr.contains(path), "{finished:#?}");
        assert_eq!(finished.stdout, "", "figures of nothing");
    }
}

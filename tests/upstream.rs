//! Upstreams that are children, with sh, cat and dd in their places: raw bytes, frames through
//! an ssh that is none, and several at once of which some are bad. Needs nothing installed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
mod support;

use common::{Running, SAMPLE_LEN, TestServer, fetch, pause, upstream};
use netrng::client::{Command, FetchState, Kind, Remote, Ssh, Upstream};
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use support::feed::{Feed, Mood};
use support::numbered::byte_at;
use support::process::Process;
use support::rngd::is_alive;
use support::wait;

/// SP 800-90B: what the start-up test throws away.
const STARTUP: usize = 1024;
const PAGE: u64 = 4096;
/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(600);

impl Running {
    fn draw(&self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            bytes.extend_from_slice(self.sample().as_bytes());
        }
        bytes
    }

    /// Waits until upstream `index` fails with a text that contains `part`; answers it.
    #[track_caller]
    fn fails_with(&self, index: usize, part: &str) -> String {
        wait::until(part, wait::PATIENCE, || {
            self.fetchers.statuses[index].last_error().filter(|text| text.contains(part))
        })
    }

    fn given(&self, index: usize) -> u64 {
        self.fetchers.statuses[index].bytes.load(SeqCst)
    }

    fn end(self) {
        drop(self.stop);
        assert!(self.fetchers.wait(LONG), "a thread goes on");
    }
}

fn command(name: &str, words: &[&str], stall_timeout: Duration) -> Upstream {
    let argv = words.iter().map(ToString::to_string).collect();
    let kind = Kind::Command(Command { argv, stall_timeout });
    Upstream { name: name.into(), kind, min_entropy: None }
}

fn sh(script: &str) -> Upstream {
    command("sh", &["/bin/sh", "-c", script], LONG)
}

fn cat(path: &Path) -> Upstream {
    command("cat", &["cat", path.to_str().unwrap()], LONG)
}

/// An ssh whose command line is passed over: a script.
fn ssh(folder: &Path, script: &str, remote: Remote) -> Upstream {
    let program = folder.join("ssh");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    let made = std::process::Command::new("chmod").arg("755").arg(&program).status();
    assert!(made.unwrap().success());
    let kind = Kind::Ssh(Ssh {
        destination: "rng@board".into(),
        port: None,
        identity_file: None,
        known_hosts_file: None,
        program: program.to_str().unwrap().into(),
        remote,
    });
    Upstream { name: "board".into(), kind, min_entropy: None }
}

fn read_pid(path: &Path) -> u32 {
    wait::until("a pid", wait::PATIENCE, || fs::read_to_string(path).ok()?.trim().parse().ok())
}

#[test]
fn every_byte_after_the_start_up_test_comes_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes");
    let bytes: Vec<u8> = (0..50_000).map(byte_at).collect();
    fs::write(&path, &bytes).unwrap();
    let running = fetch(vec![cat(&path)]);
    let drawn = running.draw(bytes.len() - STARTUP);
    assert!(drawn == bytes[STARTUP..], "{} bytes, not the ones expected", drawn.len());
    running.fails_with(0, "exited with code 0");
    running.end();
}

#[test]
fn behind_a_sink_that_wants_nothing_the_source_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let feed = Feed::new(&folder.path().join("fifo"), Mood::Good);
    // dd holds 64 bytes of its own.
    let input = format!("if={}", feed.path().display());
    let words = ["dd", &input, "bs=64", "status=none"];
    let running = fetch(vec![command("dd", &words, LONG)]);
    let taken = feed.taken_at_rest();
    let in_hand = u64::from(SAMPLE_LEN);
    assert!(taken > STARTUP as u64 + in_hand, "{taken}: nothing was taken");
    assert!(taken <= STARTUP as u64 + in_hand + PAGE + 64, "{taken} bytes were taken");
    let drawn = running.draw(4 * SAMPLE_LEN as usize).len() as u64;
    let more = feed.taken_at_rest() - taken;
    assert!(more.abs_diff(drawn) <= PAGE, "{more} more were taken for {drawn}");
    running.end();
}

#[test]
fn zeros_are_refused_and_honest_bytes_flow() {
    let zeros = command("zeros", &["cat", "/dev/zero"], LONG);
    let honest = command("honest", &["cat", "/dev/urandom"], LONG);
    let running = fetch(vec![zeros, honest]);
    for _ in 0..100 {
        let sample = running.sample();
        assert!(sample.as_bytes().windows(16).all(|window| window.iter().any(|byte| *byte != 0)));
    }
    running.fails_with(0, "its bytes are not random");
    assert_eq!(running.given(0), 0, "a byte of the zeros was used");
    running.end();
}

#[test]
fn a_server_that_lies_is_refused_on_our_side_too() {
    let (zeros, honest) = (TestServer::honest(0), sh("exec cat /dev/urandom"));
    let mut zeros = upstream(zeros.address);
    zeros.min_entropy = None;
    let running = fetch(vec![zeros, honest]);
    for _ in 0..50 {
        assert!(running.sample().as_bytes().iter().any(|byte| *byte != 0));
    }
    running.fails_with(0, "repetition count test: 2048 equal bytes");
    assert_eq!(running.given(0), 0);
    running.end();
}

#[test]
fn bytes_that_go_bad_are_not_used() {
    let running = fetch(vec![sh("head -c 5000 /dev/urandom; exec cat /dev/zero")]);
    for _ in 0..6 {
        let sample = running.sample();
        let longest = sample.as_bytes().chunk_by(|a, b| a == b).map(<[u8]>::len).max();
        assert!(longest < Some(9), "{longest:?} equal bytes in a row");
    }
    running.fails_with(0, "repetition count test");
    running.end();
}

#[test]
fn one_that_dies_and_one_that_is_silent_stop_nobody() {
    let dying = sh("head -c 4000 /dev/urandom; echo out of order >&2; exit 3");
    let silent = command("silent", &["sleep", "1000"], Duration::from_millis(200));
    let honest = command("honest", &["cat", "/dev/urandom"], LONG);
    let running = fetch(vec![dying, silent, honest]);
    let failures = |index: usize| running.fetchers.statuses[index].failures.load(SeqCst);
    while failures(0) < 3 || failures(1) < 3 || running.given(2) < 100_000 {
        running.sample();
    }
    running.fails_with(0, "exited with code 3; it last said \"out of order\"");
    running.fails_with(1, "gives nothing since 200 ms");
    assert!(running.given(0) >= 3 * (4000 - STARTUP as u64), "what it gave before is used");
    running.end();
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let running = fetch(vec![command("none", &["/no/such/rng"], LONG)]);
    running.fails_with(0, "`/no/such/rng` cannot be started: No such file");
    running.end();
}

#[test]
fn at_the_end_nothing_is_left_running() {
    let folder = tempfile::tempdir().unwrap();
    let (own, child) = (folder.path().join("own"), folder.path().join("child"));
    let running = fetch(vec![sh(&format!(
        "echo $$ > {}; sleep 1000 & echo $! > {}; cat /dev/urandom",
        own.display(),
        child.display()
    ))]);
    running.sample();
    let pids = [read_pid(&own), read_pid(&child)];
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    running.end();
    for pid in pids {
        wait::until_true("the end of what was started", || !is_alive(pid));
    }
}

#[test]
fn frames_come_through_the_pipes_of_an_ssh_one_request_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    // A request has 7 bytes; a sample of 2048 has length 2049 and type 81.
    let tap = ssh(
        folder.path(),
        &format!(
            "echo \"$*\" >&2\nwhile [ \"$(dd bs=7 count=1 2>/dev/null | tee -a {} | wc -c)\" = 7 ]\n\
             do printf '\\010\\001\\201'; head -c 2048 /dev/urandom\ndone",
            asked.display()
        ),
        Remote::Tap,
    );
    let running = fetch(vec![tap]);
    assert_eq!(running.draw(5 * 2048).len(), 5 * 2048);
    let status = &running.fetchers.statuses[0];
    wait::until_true("a sample in hand", || status.state() == FetchState::Full);
    pause(Duration::from_millis(100));
    let asked = fs::read(asked).unwrap();
    assert_eq!(asked, [0, 5, 1, 0, 0, 8, 0].repeat(6), "five were taken and one is in hand");
    assert_eq!(status.failures.load(SeqCst), 0);
    running.end();
}

#[test]
fn what_an_ssh_says_becomes_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |script: &str, part: &str| {
        let running = fetch(vec![ssh(folder.path(), script, Remote::Tap)]);
        running.fails_with(0, part);
        running.end();
    };
    fails("echo 'sh: 1: netrng: not found' >&2; exit 127", "board has no netrng in the PATH");
    fails("echo 'No ED25519 host key is known for x' >&2; exit 255", "`ssh-keyscan board`");
    fails("printf '\\377\\377\\377'; exec sleep 1000", "is no netrng");
    fails("echo Welcome; echo sorry >&2; exit 1", "`netrng tap` on board exited with code 1");
    let mut missing = ssh(folder.path(), "", Remote::Tap);
    let Kind::Ssh(ssh) = &mut missing.kind else { unreachable!() };
    ssh.program = "/no/such/ssh".into();
    fetch(vec![missing]).fails_with(0, "/no/such/ssh is not installed: install `openssh-client`");
}

/// The real binary from here on.
fn start(folder: &Path, upstream: &str) -> Process {
    let path = folder.join("netrng.toml");
    let text = format!("mode = 'client'\n[[upstream]]\n{upstream}\n[sink]\ntype = 'stdout'\n");
    fs::write(&path, text).unwrap();
    Process::start(support::process::netrng(&["client", "-c"]).arg(path))
}

#[test]
fn the_binary_logs_its_words_survives_its_death_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pid_path = folder.path().join("pid");
    let upstream = format!(
        "command = ['sh', '-c', 'echo noise is warm >&2; echo $$ > {}; exec cat /dev/urandom']",
        pid_path.display()
    );
    let mut client = start(folder.path(), &upstream);
    client.wait_for("sh: noise is warm");
    client.wait_for("sh: gives bytes");
    let first = read_pid(&pid_path);
    let mark = client.mark();
    support::rngd::kill(first);
    client.wait_for_after(mark, "sh: was ended by signal 9");
    client.wait_for_after(mark, "sh: gives bytes again");
    client.wait_for_bytes(100_000);
    let second = read_pid(&pid_path);
    assert_ne!(first, second);
    assert_eq!(client.terminate().code(), Some(0));
    assert!(!is_alive(second), "it outlives the client");
}

#[test]
fn a_child_dies_with_a_client_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pid_path = folder.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", pid_path.display());
    let mut client = start(folder.path(), &format!("command = ['sh', '-c', '{script}']"));
    let pid = read_pid(&pid_path);
    client.kill();
    wait::until_true("the end of its child", || !is_alive(pid));
}

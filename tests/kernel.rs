//! The last step into the kernel: the sink `kernel` under strace, on a kernel that lets us and
//! on one that does not; `--wait-seeded`; and the FIFO under real rngd. Needs root, strace and
//! what `tests/run kernel` unpacks; plain `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::ledger::{Ledger, Numbered};
use support::numbered::byte_at;
use support::process::{Process, command, finish};
use support::rngd::{Rngd, is_alive};
use support::ssh::client;
use support::trace::{HEX, Trace, quoted_bytes, traced};
use support::wait;

const STARTUP: usize = 1024;
const BLOCK: usize = 2500;
const FEED: usize = 64;
const FEEDS: usize = BLOCK / FEED;
const FILE_LEN: usize = 1 << 20;
const CREDITED: &str = "RNDADDENTROPY, {entropy_count=256";
const KERNEL: &str = "type = \"kernel\"\ninterval = \"1 s\"";

/// A file of the numbered stream and the upstream that gives it.
fn numbered_upstream(dir: &Path) -> String {
    let path = dir.join("bytes");
    let bytes: Vec<u8> = (0..FILE_LEN as u64).map(byte_at).collect();
    fs::write(&path, bytes).unwrap();
    format!("[[upstream]]\ncommand = [\"cat\", {path:?}]\n")
}

/// Feed `number` of the numbered stream.
fn feed(number: usize) -> Vec<u8> {
    let start = STARTUP + number / FEEDS * BLOCK + number % FEEDS;
    (0..FEED).map(|row| byte_at((start + row * FEEDS) as u64)).collect()
}

fn watch(command: &Command, more: &[&str], dir: &Path) -> (Process, Trace) {
    let log = dir.join("trace");
    let options = [&[HEX, "-y"], more].concat();
    (Process::start(&mut traced(command, &options, &log)), Trace(log))
}

#[test]
fn our_very_bytes_are_credited_and_the_generator_reseeded() {
    let dir = tempfile::tempdir().unwrap();
    let command = client(dir.path(), &numbered_upstream(dir.path()), KERNEL);
    let (mut client, trace) = watch(&command, &["-e", "trace=ioctl,write"], dir.path());
    trace.wait_for("RNDRESEEDCRNG", 3);
    client.wait_for("kernel: fed 64 bytes, credited 256 bits");
    assert_eq!(client.terminate().code(), Some(0));

    let lines = trace.lines();
    let calls: Vec<&String> = lines.iter().filter(|line| line.contains(", RND")).collect();
    for (number, pair) in calls.chunks_exact(2).enumerate() {
        let [credit, reseed] = pair else { unreachable!() };
        println!("{}", &credit[..100]);
        assert!(credit.contains("RNDADDENTROPY, {entropy_count=256, buf_size=64"), "{credit}");
        assert!(credit.ends_with(" = 0") && reseed.ends_with(" = 0"), "{credit}\n{reseed}");
        assert_eq!(quoted_bytes(credit.split_once("RND").unwrap().1).unwrap(), feed(number));
        assert!(reseed.contains("RNDRESEEDCRNG"), "{reseed}");
    }
    assert!(calls.len() >= 6);
}

#[test]
fn a_fast_upstream_has_no_more_of_a_feed_than_a_slow_one() {
    let dir = tempfile::tempdir().unwrap();
    let slow = "while :; do head -c 250 /dev/urandom; sleep 0.1; done";
    let upstreams = format!(
        "{}\n[[upstream]]\nname = \"slow\"\ncommand = [\"sh\", \"-c\", {slow:?}]\n",
        numbered_upstream(dir.path())
    );
    let command = client(dir.path(), &upstreams, KERNEL);
    let (mut client, trace) = watch(&command, &["-e", "trace=ioctl"], dir.path());
    trace.wait_for("RNDADDENTROPY", 3);
    assert_eq!(client.terminate().code(), Some(0));
    let lines = trace.lines();
    let mut fed = lines.iter().filter(|line| line.contains("RNDADDENTROPY"));
    let first = quoted_bytes(fed.next().unwrap().split_once("RND").unwrap().1).unwrap();
    // Whoever gives first has the first half of the block: rows of 39 bytes, one of each row.
    let known = |from: usize| {
        let place = |row: usize| (STARTUP + row * FEEDS).checked_sub(from).unwrap() as u64;
        (0..FEED).filter(|&row| row * FEEDS >= from && first[row] == byte_at(place(row))).count()
    };
    let most = known(0).max(known(BLOCK / 2));
    println!("{most} of {FEED} bytes are the fast one's");
    assert!((28..=36).contains(&most), "{most} of {FEED} bytes");
}

#[test]
fn without_the_privilege_it_writes_and_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let netrng = client(dir.path(), &numbered_upstream(dir.path()), KERNEL);
    let mut powerless = command("setpriv");
    powerless.args(["--bounding-set", "-sys_admin", "--"]);
    powerless.arg(netrng.get_program()).args(netrng.get_args());
    let (mut client, trace) = watch(&powerless, &["-e", "trace=ioctl,write"], dir.path());
    let device = support::trace::in_hex("/dev/random");
    let writes = || -> Vec<String> {
        let lines = trace.lines().into_iter();
        lines.filter(|line| line.contains("write(") && line.contains(&device)).collect()
    };
    wait::until_true("three writes", || writes().len() >= 3);
    client.terminate();
    let log = client.log_at_end();
    assert_eq!(log.matches("takes no credit from us").count(), 1, "{log}");
    assert!(log.contains("CAP_SYS_ADMIN"), "{log}");
    for (number, line) in writes().iter().enumerate() {
        let bytes = line.split_once(", ").unwrap().1;
        assert_eq!(quoted_bytes(bytes).unwrap(), feed(number));
    }
    let refused = trace.lines().iter().filter(|line| line.contains("RNDADDENTROPY")).count();
    assert_eq!(refused, 1, "it tried again");
}

#[test]
fn waiting_for_an_initialised_generator_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = numbered_upstream(dir.path());
    let waiting = |dir: &Path| {
        let mut command = client(dir, &upstream, KERNEL);
        command.arg("--wait-seeded");
        command
    };
    let at_once = finish(&mut waiting(dir.path()));
    assert_eq!(at_once.code, Some(0));
    assert!(at_once.stderr.contains("the kernel's generator is initialised"), "{at_once:?}");
    assert!(!at_once.stderr.contains("will draw from"), "it began: {at_once:?}");

    // A kernel that is not initialised for the first ten who ask, and then is.
    let inject = ["-e", "trace=getrandom,ioctl", "-e", "inject=getrandom:error=EAGAIN:when=1..10"];
    let (mut client, trace) = watch(&waiting(dir.path()), &inject, dir.path());
    client.wait_for("the kernel's generator is initialised; stopping");
    assert_eq!(client.wait(wait::PATIENCE).code(), Some(0));
    trace.wait_for(CREDITED, 1);
    // Of a call that another thread interrupted, the second line has the flags.
    let text = trace.text();
    let mut calls = text.lines().filter(|line| {
        line.contains("getrandom resumed")
            || line.contains("getrandom(") && !line.contains("unfinished")
    });
    assert_eq!(calls.find(|line| !line.contains("GRND_NONBLOCK")), None, "a call that can block");

    // One that never is, and an end from outside: whoever waits learns it.
    let dir = tempfile::tempdir().unwrap();
    let inject = ["-e", "trace=getrandom,ioctl", "-e", "inject=getrandom:error=EAGAIN"];
    let (mut client, trace) = watch(&waiting(dir.path()), &inject, dir.path());
    trace.wait_for(CREDITED, 2);
    assert_eq!(client.terminate().code(), Some(7));
    let log = client.log_at_end();
    assert!(log.contains("stopped before the kernel's generator"));
    assert!(!log.contains("--wait-seeded"), "{log}");
}

#[test]
fn who_waits_hears_that_what_it_gives_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = numbered_upstream(dir.path());
    let powerless = ["setpriv", "--bounding-set", "-sys_admin", "--"];
    for (by, credit) in [(&powerless[..0], 0), (&powerless[..], 4)] {
        let netrng = client(dir.path(), &upstream, &format!("{KERNEL}\ncredit = {credit}"));
        let mut command = command("env");
        command.args(by).arg(netrng.get_program()).args(netrng.get_args()).arg("--wait-seeded");
        let inject = ["-e", "trace=getrandom", "-e", "inject=getrandom:error=EAGAIN"];
        let (mut client, _trace) = watch(&command, &inject, dir.path());
        client.wait_for("--wait-seeded: the kernel counts nothing of what we give");
        client.wait_for("will draw from");
        assert_eq!(client.terminate().code(), Some(7));
    }
}

fn start_rngd(program: &Path, variant: &Rngd, fifo: &Path) -> Process {
    let mut rngd = command(program.join("rngd"));
    rngd.args(match variant.package {
        "rng-tools5" => &["-f", "-d", "1", "-n", "1", "-s", "64", "-r"][..],
        _ => &["-f", "-T", "0", "-S", "30", "-t", "60", "-s", "64", "-r"],
    });
    Process::start(rngd.arg(fifo))
}

#[test]
fn rngd_reads_the_fifo_comes_goes_and_is_killed() {
    for variant in Rngd::all() {
        let dir = tempfile::tempdir().unwrap();
        let fifo: PathBuf = dir.path().join("fifo");
        let watched_dir = dir.path().join("bin");
        let watched = variant.install_watched(&watched_dir);
        let sink = format!("type = \"fifo\"\npath = {fifo:?}");
        let mut client =
            Process::start(&mut client(dir.path(), &numbered_upstream(dir.path()), &sink));
        wait::until_true("the FIFO", || fifo.exists());
        for _ in 0..2 {
            let rngd = start_rngd(&watched_dir, &variant, &fifo);
            watched.wait_for_credit(20);
            let pid = watched.running_pid();
            support::rngd::kill(pid);
            wait::until_true("the end of rngd", || !is_alive(pid));
            drop(rngd);
        }
        assert_eq!(client.terminate().code(), Some(0));
        let credited = watched.credited().concat();
        println!("{}: {} bytes credited through the FIFO", variant.package, credited.len());
        let mut ledger = Ledger::new(Numbered { len: FILE_LEN as u64 });
        ledger.enter("rngd", &credited).unwrap();
    }
}

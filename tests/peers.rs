//! The main job on real input: two clients with real rngd draw from the real /dev/hwrng, and
//! strace shows our very bytes in RNDADDENTROPY. Needs root, strace and what `tests/run
//! peers` unpacks; plain `cargo test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::{Answer, Request};
use std::net::TcpStream;
use std::time::Duration;
use support::ledger::{Ledger, Recorded};
use support::process::{Process, finish, netrng};
use support::raw::RawClient;
use support::rngd::{self, Rngd};
use support::site::{READY, Site};
use support::trace::{HEX, Trace, in_hex, quoted_bytes, returned, traced};
use support::wait;

const DEVICE: &str = "/dev/hwrng";
/// rngd credits 64 bytes at a time, and tests 2,500 at a time: more than one block.
const CREDITS: usize = 60;

/// A server that reads the real device under strace.
fn start_recorded_server(site: &Site, name: &str) -> (Process, Trace) {
    let log = site.path(name);
    let options = rngd::recording_options(DEVICE);
    let server = Process::start(&mut traced(&site.server_command(), &options, &log));
    server.wait_for(READY);
    (server, Trace(log))
}

#[test]
fn our_very_bytes_reach_the_kernel() {
    for variant in Rngd::all() {
        let site = Site::new(DEVICE);
        let names = ["alice", "bob"];
        let enrolled = names.map(|name| site.enroll(name));
        let watched = names.map(|name| variant.install_watched(&site.path(&format!("bin-{name}"))));
        let (mut server, trace) = start_recorded_server(&site, "server.trace");
        let mut clients = [0, 1].map(|who| watched[who].start_client(&site, &enrolled[who]));
        for watch in &watched {
            watch.wait_for_credit(CREDITS);
        }
        let pids: Vec<u32> = watched.iter().map(rngd::Watched::running_pid).collect();
        for client in &mut clients {
            assert_eq!(client.terminate().code(), Some(0));
        }
        for pid in pids {
            wait::until_true("rngd ends with its client", || !rngd::is_alive(pid));
        }
        assert_eq!(server.terminate().code(), Some(0));

        let mut ledger = Ledger::new(Recorded::new(rngd::recorded(&trace)));
        for (name, watch) in names.iter().zip(&watched) {
            let credited = watch.credited().concat();
            println!("{}, {name}: {} bytes credited", variant.package, credited.len());
            println!("  rngd {}", watch.arguments().trim());
            assert!(credited.len() >= CREDITS * 64);
            ledger.enter(name, &credited).unwrap();
        }
    }
}

#[test]
fn the_flow_resumes_after_each_part_was_killed() {
    for variant in Rngd::all() {
        let site = Site::new(DEVICE);
        let alice = site.enroll("alice");
        let watched = variant.install_watched(&site.path("bin"));
        let (mut server, first) = start_recorded_server(&site, "first.trace");
        let mut client = watched.start_client(&site, &alice);
        watched.wait_for_credit(2);

        let before = watched.running_pid();
        rngd::kill(before);
        wait::until_true("the dead rngd is reaped", || rngd::state(before).is_none());
        wait::until_true("a new rngd", || watched.running_pid() != before);
        watched.wait_for_credit(2);

        server.kill();
        let (_server, second) = start_recorded_server(&site, "second.trace");
        watched.wait_for_credit(CREDITS);

        let orphan = watched.running_pid();
        client.kill();
        wait::until_true("rngd does not outlive its client", || !rngd::is_alive(orphan));
        let client = watched.start_client(&site, &alice);
        watched.wait_for_credit(CREDITS);
        drop(client);

        // All that was ever credited came from the device, once.
        let read = [first, second].map(|trace| rngd::recorded(&trace)).concat();
        Ledger::new(Recorded::new(read)).enter("alice", &watched.credited().concat()).unwrap();
    }
}

/// On the real device: nothing but the start-up test and one sample is read before the first
/// sample leaves. The reader may by then be busy with the next one.
#[test]
fn the_first_client_waits_for_the_start_up_test_and_one_sample_only() {
    const SAMPLE: u32 = 2048;
    let site = Site::new(DEVICE);
    let alice = site.enroll("alice");
    let log = site.path("server.trace");
    let options = [HEX, "-y", "-e", "trace=read,readv,write,writev,sendto,sendmsg"];
    let _server = Process::start(&mut traced(&site.server_command(), &options, &log));
    wait::until_true("the server listens", || TcpStream::connect(&site.address).is_ok());
    let mut session = RawClient::open(&site, &alice);
    let sample = session.draw(SAMPLE);

    // strace writes its lines a moment later than it answers for them.
    let trace = Trace(log);
    let read_bytes = wait::until("the first sample in the trace", Duration::from_secs(10), || {
        read_before_first_sample(&trace, sample.len())
    });
    assert_eq!(sample.len() as u64, u64::from(SAMPLE));
    assert!(read_bytes >= 1024 + sample.len(), "{read_bytes}: not what was traced");
    assert!(read_bytes <= 1024 + 2 * sample.len(), "{read_bytes} bytes before the first");
}

/// Bytes read from the device before the first write of more than `sample_len` bytes to a
/// socket; `None` if there is no such write yet. Two threads run, so a call may stand in two
/// lines, of which the second says how it ended.
fn read_before_first_sample(trace: &Trace, sample_len: usize) -> Option<usize> {
    let mut read_bytes = 0;
    let (device, socket) = (in_hex(DEVICE), in_hex("socket:["));
    for line in trace.lines() {
        let count = returned(&line).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let sends = line.contains(&socket)
            || ["write resumed", "sendto resumed"].iter().any(|end| line.contains(end));
        if line.contains(&device) || line.contains("read resumed") {
            read_bytes += quoted_bytes(&line).map_or(0, |bytes| bytes.len().min(count));
        } else if sends && count > sample_len {
            return Some(read_bytes);
        }
    }
    None
}

/// The machines that need netrng most have an empty pool: getrandom fails for the whole
/// process tree, and all works.
#[test]
fn a_starved_client_delivers_and_never_waits_for_randomness() {
    let site = Site::new(DEVICE);
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let [variant, _] = Rngd::all();
    let rngd = variant.install(&site.path("bin"));
    for sink in ["stdout", "rngd"] {
        let log = site.path(&format!("{sink}.trace"));
        let command = site.client_command(&alice, &format!("type = \"{sink}\""));
        let mut command = starved(&command, &log);
        let client = Process::start(command.env("PATH", rngd.search_path()));
        let trace = Trace(log);
        match sink {
            "stdout" => client.wait_for_bytes(8192),
            _ => trace.wait_for(rngd::CREDIT, 1),
        }
        drop(client);
        never_waited(&trace);
    }
}

#[test]
fn lasting_keys_are_not_made_from_an_empty_pool() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("genkey.trace");
    let refused = finish(&mut starved(&netrng(&["genkey"]), &log));
    assert_ne!(refused.code, Some(0));
    assert_eq!(refused.stdout, "");
    assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
    never_waited(&Trace(log));
}

/// `command`, for which no getrandom call gives anything.
fn starved(command: &std::process::Command, log: &std::path::Path) -> std::process::Command {
    let calls = "trace=getrandom,read,readv,pread64,ioctl";
    let mut starved =
        traced(command, &["-y", "-e", calls, "-e", "inject=getrandom:error=EAGAIN"], log);
    starved.env("RUST_LOG", "netrng=debug");
    starved
}

/// No getrandom that could block, no read of /dev/random; and getrandom was called at all.
fn never_waited(trace: &Trace) {
    let text = trace.text();
    // Of a call that another thread interrupted, the second line has the flags.
    let is_call = |line: &&str| {
        line.contains("getrandom resumed")
            || line.contains("getrandom(") && !line.contains("unfinished")
    };
    let calls: Vec<&str> = text.lines().filter(is_call).collect();
    assert!(calls.iter().any(|line| line.contains("INJECTED")), "nobody asked for randomness");
    for call in calls {
        let patient = call.contains("GRND_NONBLOCK") || call.contains("GRND_INSECURE");
        assert!(patient, "a call that can block: {call}");
    }
    let blocking = text.lines().find(|line| {
        line.contains("</dev/random") && (line.contains("read(") || line.contains("readv("))
    });
    assert_eq!(blocking, None, "a read of /dev/random");
}

#[test]
fn the_protocol_of_a_real_session_holds_on_the_real_device() {
    let site = Site::new(DEVICE);
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let mut session = RawClient::open(&site, &alice);
    session.send(Request::Ping(42));
    assert!(matches!(session.answer(), Answer::Pong(42)));
    assert_eq!(session.draw(64).len(), 64);
}

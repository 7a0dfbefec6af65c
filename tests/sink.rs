//! The sinks with real children and real readers, and client and sink together. No rngd
//! here: /bin/sh and /bin/cat take its place.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::*;
use crossbeam_channel::{Sender, bounded};
use netrng::client::{self, Demand, FetchState};
use netrng::sample::Sample;
use netrng::sink::{self, Feed, FeedState, Sink};
use netrng::sys::latch::{Trigger, latch};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

struct Running {
    feed: Feed,
    samples: Sender<Sample>,
    stop: Trigger,
}

fn start(sink: &Sink) -> Running {
    let (samples, receiver) = bounded(0);
    let (stop, latch) = latch().unwrap();
    let feed = sink::start(sink, receiver, &latch, little_jitter).unwrap();
    Running { feed, samples, stop }
}

fn sh(script: &str) -> Sink {
    Sink::Rngd { command: Some(["/bin/sh", "-c", script].map(String::from).into()) }
}

impl Running {
    fn give(&self, bytes: Vec<u8>) {
        self.samples.send_timeout(Sample::new(bytes), Duration::from_secs(10)).expect("taken");
    }

    /// Ends it; answers how long that took.
    fn end(self) -> Duration {
        let start = netrng::sys::now();
        drop(self.stop);
        self.feed.ended.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        assert_eq!(self.feed.status.state(), FeedState::Stopped);
        netrng::sys::now() - start
    }
}

#[test]
fn a_sleeping_child_costs_the_server_two_samples_one_in_the_pipe_and_one_in_hand() {
    let server = TestServer::honest(1);
    let sink = Sink::Rngd { command: Some(vec!["/bin/sleep".into(), "1000".into()]) };
    let (samples, receiver) = bounded(0);
    let (stop, latch) = latch().unwrap();
    let feed = sink::start(&sink, receiver, &latch, little_jitter).unwrap();
    let fetchers = client::start(
        vec![upstream(server.address)],
        Demand { request_size: sink.request_size(1), is_even: sink.is_even() },
        &samples,
        &latch,
        |_| Ok(TestCodec),
        little_jitter,
    )
    .unwrap();
    eventually("two samples have left", || server.asked() == 4096);
    eventually("the fetch thread has one in hand", || {
        fetchers.statuses[0].state() == FetchState::Full && feed.status.state() == FeedState::Full
    });
    pause(Duration::from_millis(500));
    assert_eq!(server.asked(), 4096);
    assert_eq!(feed.status.bytes.load(SeqCst), 2048);
    drop(stop);
    assert!(fetchers.wait(Duration::from_secs(2)));
    assert!(feed.ended.recv_timeout(Duration::from_secs(2)).unwrap().is_ok());
}

#[test]
fn cat_gets_every_byte_in_order_and_the_end_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got");
    let running = start(&sh(&format!("exec cat > {}", file.display())));
    let mut sent = Vec::new();
    for number in 0..200u16 {
        let bytes = vec![u8::try_from(number).unwrap(); usize::from(number) * 50 + 1];
        sent.extend_from_slice(&bytes);
        running.give(bytes);
    }
    eventually("all has arrived", || std::fs::read(&file).is_ok_and(|got| got == sent));
    assert_eq!(running.feed.status.bytes.load(SeqCst), sent.len() as u64);
    let took = running.end();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn sh_that_exits_with_code_0_is_started_again_and_is_fed_again() {
    let running = start(&sh("head -c 100 > /dev/null; echo done"));
    for _ in 0..5 {
        running.give(vec![1; 100]);
    }
    eventually("restarts", || running.feed.status.restarts.load(SeqCst) >= 3);
    let error = running.feed.status.last_error().unwrap();
    assert_eq!(error, "exited with code 0; it last said \"done\"");
    running.end();
}

#[test]
fn sh_that_is_killed_while_it_wants_nothing_is_started_again() {
    let running = start(&sh("exec sleep 1000"));
    running.give(vec![1; 100]);
    eventually("a full pipe", || running.feed.status.state() == FeedState::Full);
    let pid = running.feed.status.child().unwrap();
    let kill = std::process::Command::new("/bin/kill").args(["-9", &pid.to_string()]).status();
    assert!(kill.unwrap().success());
    eventually("another child", || running.feed.status.child().is_some_and(|new| new != pid));
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "a zombie remains");
    assert_eq!(running.feed.status.last_error().unwrap(), "was ended by signal 9");
    running.give(vec![2; 100]);
    running.end();
}

#[test]
fn sh_that_closes_its_stdin_and_lives_on_is_replaced() {
    let running = start(&sh("exec <&-; exec sleep 1000"));
    running.give(vec![1; 100]);
    eventually("a restart", || running.feed.status.restarts.load(SeqCst) >= 1);
    running.end();
}

#[test]
fn sh_that_ignores_sigterm_ends_after_two_seconds() {
    let running = start(&sh("trap '' TERM; echo ready; while :; do sleep 1000; done"));
    running.give(vec![1; 10]);
    pause(Duration::from_millis(300));
    let took = running.end();
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[test]
fn sh_that_may_not_feed_the_kernel_says_so_once_and_we_say_what_to_do() {
    let running = start(&sh(
        "while read -r line; do echo 'RNDADDENTROPY failed: Operation not permitted'; done",
    ));
    running.give(b"1\n2\n3\n".to_vec());
    eventually("the advice", || {
        running.feed.status.last_error().is_some_and(|text| text.contains("as root"))
    });
    assert_eq!(running.feed.status.restarts.load(SeqCst), 0);
    running.end();
}

#[test]
fn sh_that_may_not_lock_its_memory_is_not_said_to_lack_the_kernel() {
    let running =
        start(&sh("echo 'rngd: cannot lock buffers: Operation not permitted'; exec sleep 1000"));
    eventually("the advice", || {
        running.feed.status.last_error().is_some_and(|text| text.contains("CAP_IPC_LOCK"))
    });
    assert!(!running.feed.status.last_error().unwrap().contains("CAP_SYS_ADMIN"));
    running.end();
}

#[test]
fn a_program_that_is_not_there_is_tried_again() {
    let running = start(&Sink::Rngd { command: Some(vec!["/no/such/program".into()]) });
    eventually("restarts", || running.feed.status.restarts.load(SeqCst) >= 2);
    assert!(running.feed.status.last_error().unwrap().starts_with("cannot be started"));
    running.end();
}

#[test]
fn an_empty_command_is_refused() {
    let (_samples, receiver) = bounded(0);
    let (_stop, latch) = latch().unwrap();
    let sink = Sink::Rngd { command: Some(vec![]) };
    let error = sink::start(&sink, receiver, &latch, little_jitter).unwrap_err();
    assert!(error.to_string().contains("`rngd-command` is empty"), "{error}");
}

#[test]
fn the_fifos_reader_comes_leaves_and_comes_again_and_no_byte_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    let running = start(&Sink::Fifo { path: path.clone() });
    let status = &running.feed.status;
    running.give(vec![0; 1000]);
    eventually("one sample waits for a reader", || status.state() == FeedState::Full);
    assert!(running.samples.try_send(Sample::new(vec![9; 1])).is_err(), "and no second one");
    for round in 0..3u8 {
        let mut reader = std::fs::File::open(&path).unwrap();
        let mut half = [0xff; 600];
        reader.read_exact(&mut half).unwrap();
        assert_eq!(half, [round; 600]);
        drop(reader);
        let mut rest = [0xff; 400];
        std::fs::File::open(&path).unwrap().read_exact(&mut rest).unwrap();
        assert_eq!(rest, [round; 400]);
        running.give(vec![round + 1; 1000]);
        eventually("the next one waits", || status.state() == FeedState::Full);
    }
    assert!(running.end() < Duration::from_millis(500));
}

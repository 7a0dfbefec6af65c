//! A source that fails in every way a device can: it is taken out with its own reason,
//! clients hear WAIT, and all goes on by itself when it is well again.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::{Answer, Request, WaitReason};
use std::fs;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::process::Process;
use support::raw::RawClient;
use support::site::Site;
use support::wait;

/// A server that has served a client once from a good source.
struct Scene {
    feed: Feed,
    server: Process,
    session: RawClient,
    /// All that the client got.
    got: Vec<u8>,
    _site: Site,
}

impl Scene {
    fn new() -> Self {
        let site =
            Site::with_fifo("source").source("stall-timeout = \"500 ms\"").source("stock = 2");
        let feed = Feed::new(&site.path("source"), Mood::Good);
        let alice = site.enroll("alice");
        let server = site.start_server();
        let mut session = RawClient::open(&site, &alice);
        let got = session.draw(2048).as_bytes().to_vec();
        Scene { feed, server, session, got, _site: site }
    }

    /// Turns the source bad, draws until the server says so, turns it good again and draws:
    /// every byte received must be the good source's, none twice.
    #[track_caller]
    fn fails_with(mut self, mood: Mood, reason: &str) {
        let mark = self.server.mark();
        self.feed.set(mood);
        self.got.extend(self.session.draw_until(WaitReason::SourceFailed));
        let line = self.server.wait_for_after(mark, reason);
        assert!(!line.contains("panicked"), "{line}");

        self.feed.set(Mood::Good);
        for _ in 0..20 {
            self.got.extend_from_slice(self.session.draw(2048).as_bytes());
        }
        let mut ledger = Ledger::new(Numbered { len: self.feed.fed() });
        ledger.enter("alice", &self.got).unwrap();
    }
}

#[test]
fn stuck_bytes() {
    Scene::new().fails_with(Mood::Stuck(0x55), "repetition-count");
}

#[test]
fn the_end_of_the_stream() {
    Scene::new().fails_with(Mood::Closed, "(eof)");
}

#[test]
fn a_stall() {
    Scene::new().fails_with(Mood::Silent, "(stalled)");
}

#[test]
fn a_device_that_comes_late() {
    let site = Site::with_fifo("source");
    let alice = site.enroll("alice");
    let server = site.spawn_server();
    server.wait_for("not-found");
    wait::until_true("the server listens", || std::net::TcpStream::connect(&site.address).is_ok());
    let mut session = RawClient::open(&site, &alice);
    session.send(Request::Bytes(64));
    let Answer::Wait(..) = session.answer() else { panic!("no WAIT without a device") };
    let _feed = Feed::new(&site.path("source"), Mood::Good);
    server.wait_for(support::site::READY);
    while !matches!(session.answer(), Answer::Sample(_)) {}
}

#[test]
fn a_source_that_is_bad_from_the_start_serves_nobody() {
    let site = Site::with_fifo("source");
    let feed = Feed::new(&site.path("source"), Mood::Stuck(0));
    let alice = site.enroll("alice");
    let server = site.spawn_server();
    server.wait_for("repetition-count");
    let mut session = RawClient::open(&site, &alice);
    session.send(Request::Bytes(64));
    let Answer::Wait(..) = session.answer() else { panic!("no WAIT from a bad source") };
    assert!(!server.log_text().contains(support::site::READY), "ready with a bad source");
    feed.set(Mood::Good);
    server.wait_for(support::site::READY);
    while !matches!(session.answer(), Answer::Sample(_)) {}
}

#[test]
fn a_device_full_of_zeros_is_refused_unless_the_alarms_are_off() {
    let site = Site::new("/dev/zero");
    let server = site.spawn_server();
    server.wait_for("repetition-count");
    drop(server);

    let site = site.source("min-entropy = 0");
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let sample = RawClient::open(&site, &alice).draw(2048);
    assert!(sample.as_bytes().iter().all(|byte| *byte == 0));
}

/// A file ends, and is there again when it is opened again: its bytes must not go round.
#[test]
fn the_bytes_of_a_file_are_given_once() {
    let site = Site::with_fifo("file");
    let bytes: Vec<u8> = (0..64 * 1024).map(support::numbered::byte_at).collect();
    fs::write(site.path("file"), &bytes).unwrap();
    let alice = site.enroll("alice");
    let server = site.start_server();
    let client = site.start_client(&alice);
    server.wait_for("(eof)");
    let got = wait::until_settled("all is given", std::time::Duration::from_secs(3), || {
        client.stdout_len()
    });
    assert!(got > 0);
    let mut ledger = Ledger::new(Numbered { len: bytes.len() as u64 });
    ledger.enter("alice", &client.stdout()).unwrap();
}

//! A load balancer by hand, against the real binary: PROXY protocol, version 2, from those who
//! may speak it and from those who may not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::TcpStream;
use support::feed::{Feed, Mood};
use support::process::Process;
use support::raw::{RawClient, until_closed};
use support::site::{Enrolled, Site, free_port};
use support::wait;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// In the name of 198.51.100.7, port 4321.
fn header() -> Vec<u8> {
    let addresses = [198, 51, 100, 7, 192, 0, 2, 10, 0x10, 0xE1, 0x23, 0x1D];
    [SIGNATURE, &[0x21, 0x11, 0, 12], &addresses].concat()
}

/// In the balancer's own name, as HAProxy's `check-send-proxy` has it.
fn check() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

/// A server that hears balancers from here at one port, and from elsewhere only at another.
struct Scene {
    site: Site,
    feed: Feed,
    server: Process,
    alice: Enrolled,
    listed: u16,
    unlisted: u16,
}

impl Scene {
    fn new() -> Self {
        let (listed, unlisted) = (free_port(), free_port());
        let listener = |port, balancer| {
            format!(
                "protocol = \"netrng\"\naddress = \"127.0.0.1:{port}\"\nbalancers = [{balancer:?}]"
            )
        };
        let site = Site::with_fifo("source")
            .server("handshake-timeout = \"1 s\"")
            .listener(&listener(listed, "127.0.0.1"))
            .listener(&listener(unlisted, "192.0.2.10"));
        let feed = Feed::new(&site.path("source"), Mood::Good);
        let alice = site.enroll("alice");
        let server = site.start_server();
        Scene { site, feed, server, alice, listed, unlisted }
    }

    fn connect(port: u16) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Alice, at this port, with nothing said; and what she says first.
    fn alice_at(&self, port: u16) -> (RawClient, Vec<u8>) {
        let mut raw = RawClient::new(&self.site, &self.alice);
        raw.stream = Self::connect(port);
        let hello = raw.hello();
        (raw, hello)
    }

    fn says(port: u16, bytes: &[u8]) -> TcpStream {
        let mut stream = Self::connect(port);
        stream.write_all(bytes).unwrap();
        stream
    }

    /// Lines that an administrator sees without -v.
    fn aloud(&self) -> Vec<String> {
        let log = self.server.log_text();
        let quiet = ["debug: ", "the source gives"];
        let is_quiet = |line: &&str| quiet.iter().any(|word| line.contains(word));
        log.lines().filter(|line| !is_quiet(line)).map(str::to_owned).collect()
    }
}

#[test]
fn a_client_behind_a_listed_balancer_has_its_own_address() {
    let scene = Scene::new();
    let (mut raw, hello) = scene.alice_at(scene.listed);
    raw.send_raw(&[header(), hello].concat());
    raw.answer();
    raw.draw(64);
    scene.server.wait_for("client alice proved who it is from 198.51.100.7:4321");
    drop(raw);
    // Each byte in a segment of its own.
    let mark = scene.server.mark();
    let (mut raw, hello) = scene.alice_at(scene.listed);
    for byte in [header(), hello].concat() {
        raw.send_raw(&[byte]);
    }
    raw.answer();
    raw.draw(64);
    scene.server.wait_for_after(mark, "client alice proved who it is from 198.51.100.7:4321");
}

#[test]
fn a_header_from_anybody_else_is_garbage() {
    let scene = Scene::new();
    let taken = scene.feed.taken_at_rest();
    let (mut raw, hello) = scene.alice_at(scene.unlisted);
    raw.send_raw(&[header(), hello].concat());
    assert_eq!(until_closed(&raw.stream), []);
    scene.server.wait_for("bad-length");
    assert_eq!(scene.feed.taken_at_rest(), taken, "it cost device bytes");
    assert!(!scene.server.log_text().contains("198.51.100.7"), "it was believed");
    // Without one, a client that comes there is served.
    let (mut raw, hello) = scene.alice_at(scene.unlisted);
    raw.send_raw(&hello);
    raw.answer();
    raw.draw(64);
}

#[test]
fn a_balancer_that_does_not_say_who_comes_is_told_of_once() {
    let scene = Scene::new();
    let before = scene.aloud().len();
    let (mut raw, hello) = scene.alice_at(scene.listed);
    raw.send_raw(&hello);
    assert_eq!(until_closed(&raw.stream), []);
    scene.server.wait_for("send-proxy-v2");
    for bytes in [&hello[..], b"PROXY TCP4 198.51.100.7 192.0.2.10 4321 8989\r\n"] {
        until_closed(&Scene::says(scene.listed, bytes));
    }
    // Half a header, and a byte now and then: the deadline stands.
    let mut slow = Scene::says(scene.listed, &header()[..13]);
    for byte in &header()[13..20] {
        wait::pause(std::time::Duration::from_millis(50));
        slow.write_all(&[*byte]).unwrap();
    }
    until_closed(&slow);
    scene.server.wait_for("handshake-timeout");
    assert_eq!(scene.aloud().len(), before + 1, "{:#?}", scene.aloud());
}

#[test]
fn checks_of_health_do_not_fill_the_log() {
    let scene = Scene::new();
    let before = scene.aloud().len();
    for bytes in [&check()[..], b""] {
        for _ in 0..30 {
            drop(Scene::says(scene.listed, bytes));
        }
    }
    // One that stays is ended like any that has not said who it is.
    until_closed(&Scene::says(scene.listed, &check()));
    scene.server.wait_for("handshake-timeout");
    assert_eq!(scene.aloud().len(), before, "{:#?}", scene.aloud());
    let (mut raw, hello) = scene.alice_at(scene.listed);
    raw.send_raw(&[header(), hello].concat());
    raw.answer();
    raw.draw(64);
}

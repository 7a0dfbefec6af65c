//! Bad input against the real binary: the session ends with its own reason, within its
//! deadline, costs no device byte and no place, and nobody else notices.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::keys::{PrivateKey, Psk, PublicKey};
use netrng::wire::{Answer, Request};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use support::feed::{Feed, Mood};
use support::numbered;
use support::process::Process;
use support::raw::{RawClient, connect, until_closed};
use support::site::{Enrolled, Site, fresh_keys};
use support::wait;

/// Bytes of the first handshake message, without its length.
const HELLO_LEN: usize = 96;

/// A server with short deadlines, one place and one honest client that has it.
struct Scene {
    site: Site,
    feed: Feed,
    server: Process,
    /// Connected all the time, idle unless asked.
    honest: RawClient,
    /// Enrolled as well, but not connected.
    mallory: Enrolled,
}

impl Scene {
    fn new() -> Self {
        let site = Site::with_fifo("source")
            .server("handshake-timeout = \"1 s\"")
            .server("write-timeout = \"1 s\"")
            .server("idle-timeout = \"1 h\"")
            .server("max-clients = 2");
        let feed = Feed::new(&site.path("source"), Mood::Good);
        let [alice, mallory] = ["alice", "mallory"].map(|name| site.enroll(name));
        let server = site.start_server();
        let mut honest = RawClient::open(&site, &alice);
        honest.draw(64);
        Scene { site, feed, server, honest, mallory }
    }

    /// Runs an attack and checks that the server ended it, said why, and that it cost no
    /// byte of the device, no place, and the honest client nothing.
    #[track_caller]
    fn suffers(&mut self, reason: &str, attack: impl FnOnce(&Scene) -> TcpStream) {
        let taken = self.feed.taken_at_rest();
        let mark = self.server.mark();
        let stream = attack(self);
        until_closed(&stream);
        self.server.wait_for_after(mark, reason);
        assert_eq!(self.feed.taken_at_rest(), taken, "it cost device bytes");
        self.honest.draw(64);
    }

    /// A new connection that says `bytes`.
    fn says(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = connect(&self.site);
        stream.write_all(bytes).unwrap();
        stream
    }
}

/// Bytes that mean nothing.
fn noise(len: usize) -> Vec<u8> {
    (0..).map(|at| numbered::byte_at(1 << 50 | at)).take(len).collect()
}

/// `bytes` behind their length.
fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

#[test]
fn garbage_of_any_shape() {
    let mut scene = Scene::new();
    scene.suffers("bad-length", |scene| scene.says(&noise(4096)));
    scene.suffers("bad-length", |scene| scene.says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    scene.suffers("bad-length", |scene| scene.says(&[0; 2]));
    scene.suffers("bad-length", |scene| scene.says(&[0xff; 70_000]));
    scene.suffers("bad-length", |scene| scene.says(&framed(&noise(HELLO_LEN + 1))));
    scene.suffers("bad-message", |scene| scene.says(&framed(&noise(HELLO_LEN))));
    scene.suffers("bad-message", |scene| scene.says(&framed(&[0; HELLO_LEN])));
}

#[test]
fn silence_and_trickles_end_at_the_deadline() {
    let mut scene = Scene::new();
    scene.suffers("handshake-timeout", |scene| scene.says(&[]));
    scene.suffers("handshake-timeout", |scene| scene.says(&framed(&noise(HELLO_LEN))[..50]));
    // A byte now and then does not move the deadline of the handshake.
    scene.suffers("handshake-timeout", |scene| {
        let mut stream = connect(&scene.site);
        let hello = RawClient::new(&scene.site, &scene.mallory).hello();
        for byte in &hello[..40] {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            wait::pause(Duration::from_millis(50));
        }
        stream
    });
    // A hello that is never followed by the proof.
    scene.suffers("handshake-timeout", |scene| RawClient::open(&scene.site, &scene.mallory).stream);
}

#[test]
fn a_hello_cut_short() {
    let mut scene = Scene::new();
    let taken = scene.feed.taken_at_rest();
    for len in [0, 1, 2, 3, 50, HELLO_LEN + 1] {
        let hello = RawClient::new(&scene.site, &scene.mallory).hello();
        let stream = scene.says(&hello[..len]);
        stream.shutdown(Shutdown::Write).unwrap();
        until_closed(&stream);
    }
    assert_eq!(scene.feed.taken_at_rest(), taken, "it cost device bytes");
    scene.honest.draw(64);
}

#[test]
fn keys_that_are_wrong() {
    let mut scene = Scene::new();
    let private = PrivateKey::from_text(&scene.mallory.text("private-key")).unwrap();
    let server = PublicKey::from_text(&scene.mallory.text("public-key")).unwrap();
    let psk = Psk::from_text(&scene.mallory.text("psk")).unwrap();
    let (strange_private, strange_public) = fresh_keys();
    let strange_private = PrivateKey::from_text(&strange_private).unwrap();
    let strange_public = PublicKey::from_text(&strange_public).unwrap();

    // Nobody the server knows.
    scene.suffers("unknown-key", |scene| {
        let mut raw = RawClient::with_keys(&scene.site, &strange_private, &server, Some(&psk));
        let hello = raw.hello();
        raw.send_raw(&hello);
        raw.stream
    });
    // Somebody who takes our server for another one.
    scene.suffers("bad-message", |scene| {
        let mut raw = RawClient::with_keys(&scene.site, &private, &strange_public, Some(&psk));
        let hello = raw.hello();
        raw.send_raw(&hello);
        raw.stream
    });
    // The right key without the pre-shared one: the client cannot read the welcome, so what
    // it says next cannot be read either.
    for wrong in [None, Some(Psk::new([7; 32]))] {
        scene.suffers("bad-message", |scene| {
            let mut raw = RawClient::with_keys(&scene.site, &private, &server, wrong.as_ref());
            let hello = raw.hello();
            raw.send_raw(&hello);
            raw.send_raw(&framed(&noise(21)));
            raw.stream
        });
    }
}

#[test]
fn a_replayed_session_costs_nothing_and_does_not_replace_the_real_one() {
    let mut scene = Scene::new();
    let mut real = RawClient::new(&scene.site, &scene.mallory);
    let mut recording = real.hello();
    real.send_raw(&recording.clone());
    assert!(matches!(real.answer(), Answer::Welcome(_)));
    let request = real.sealed(Request::Bytes(64));
    real.send_raw(&request);
    assert!(matches!(real.answer(), Answer::Sample(_)));
    recording.extend_from_slice(&request);

    scene.suffers("bad-message", |scene| scene.says(&recording));
    // Only the hello, and then nothing.
    scene.suffers("handshake-timeout", |scene| scene.says(&recording[..2 + HELLO_LEN]));
    real.draw(64);
}

#[test]
fn frames_replayed_bent_or_oversized_inside_a_session() {
    let mut scene = Scene::new();
    // The same sealed request twice.
    scene.attacks_from_within("bad-message", |raw| {
        let request = raw.sealed(Request::Bytes(0));
        raw.send_raw(&request);
        raw.send_raw(&request);
    });
    // Two requests in the wrong order.
    scene.attacks_from_within("bad-message", |raw| {
        let first = raw.sealed(Request::Ping(1));
        let second = raw.sealed(Request::Ping(2));
        raw.send_raw(&second);
        raw.send_raw(&first);
    });
    // One bit changed.
    scene.attacks_from_within("bad-message", |raw| {
        let mut request = raw.sealed(Request::Bytes(64));
        request[5] ^= 1;
        raw.send_raw(&request);
    });
    scene.attacks_from_within("bad-length", |raw| raw.send_raw(&[0xff; 300]));
    scene.attacks_from_within("bad-length", |raw| raw.send_raw(&[0, 0]));
    scene.attacks_from_within("bad-message", |raw| raw.send_raw(&framed(&noise(100))));
}

impl Scene {
    /// [`Scene::suffers`] for a session that is well opened and then breaks the protocol.
    #[track_caller]
    fn attacks_from_within(&mut self, reason: &str, attack: impl FnOnce(&mut RawClient)) {
        self.suffers(reason, |scene| {
            let mut raw = RawClient::open(&scene.site, &scene.mallory);
            raw.send(Request::Ping(0));
            while !matches!(raw.answer(), Answer::Pong(_)) {}
            attack(&mut raw);
            raw.stream
        });
    }
}

#[test]
fn whoever_never_reads_is_dropped_at_the_write_deadline() {
    let mut scene = Scene::new();
    let mark = scene.server.mark();
    let mut deaf = RawClient::open(&scene.site, &scene.mallory);
    // What it may have outstanding is capped and fits into the sockets' buffers: it asks again
    // and again.
    wait::until_true("the server gives up", || {
        let request = deaf.sealed(Request::Bytes(u32::MAX));
        deaf.stream.write_all(&request).is_err()
    });
    scene.server.wait_for_after(mark, "write-timeout");
    // The place is free again.
    RawClient::open(&scene.site, &scene.mallory).draw(64);
    scene.honest.draw(64);
}

#[test]
fn a_flood_of_pings_that_nobody_reads_answers_of_is_bounded() {
    let mut scene = Scene::new();
    let taken = scene.feed.taken_at_rest();
    let mark = scene.server.mark();
    let mut flood = RawClient::open(&scene.site, &scene.mallory);
    flood.stream.set_write_timeout(Some(wait::PATIENCE)).unwrap();
    // Far more than sockets buffer; the server stops reading or ends it.
    let mut refused = false;
    for token in 0..2_000_000 {
        let ping = flood.sealed(Request::Ping(token));
        if flood.stream.write_all(&ping).is_err() {
            refused = true;
            break;
        }
    }
    assert!(refused, "the server swallowed two million pings without a word");
    scene.server.wait_for_after(mark, "flood");
    assert_eq!(scene.feed.taken_at_rest(), taken, "it cost device bytes");
    scene.honest.draw(64);
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let mut scene = Scene::new();
    let crowd: Vec<TcpStream> = (0..200).map(|_| connect(&scene.site)).collect();
    scene.honest.draw(64);
    for stream in &crowd {
        until_closed(stream);
    }
    RawClient::open_in_the_end(&scene.site, &scene.mallory).draw(64);
    scene.honest.draw(64);
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let mut scene = Scene::new();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", scene.server.pid()));
    // Not readable for a process that hides its memory, unless we are root; then the crowd
    // itself is the test.
    let before = descriptors().map(Iterator::count).ok();
    for _ in 0..500 {
        drop(connect(&scene.site));
    }
    if let Some(before) = before {
        wait::until_true("all descriptors are closed", || descriptors().unwrap().count() <= before);
    }
    RawClient::open_in_the_end(&scene.site, &scene.mallory).draw(64);
    scene.honest.draw(64);
}

/// All of it at once, while a real client draws.
#[test]
fn a_real_client_does_not_notice() {
    let scene = Scene::new();
    let bob = scene.site.enroll("bob");
    scene.server.signal(libc::SIGHUP);
    let client = scene.site.start_client(&bob);
    client.wait_for_bytes(64 * 1024);
    let mark = client.mark();
    let _crowd: Vec<TcpStream> = (0..10)
        .flat_map(|_| {
            [
                scene.says(&noise(4096)),
                scene.says(&framed(&noise(HELLO_LEN))),
                scene.says(&[0xff; 70_000]),
                scene.says(&[1]),
                scene.says(&[]),
            ]
        })
        .collect();
    client.wait_for_bytes(256 * 1024);
    scene.server.wait_for("handshake-timeout");
    client.wait_for_bytes(256 * 1024);
    let log = client.log_text();
    let since = log.lines().skip(mark).collect::<Vec<_>>().join("\n");
    assert!(!since.contains("connect"), "the client noticed:\n{since}");
}

/// What an administrator sees of a client whose keys are wrong: a line that says which.
#[test]
fn a_client_with_wrong_keys_is_told_and_gets_nothing() {
    let scene = Scene::new();
    let (strange_private, strange_public) = fresh_keys();
    let changes = [
        ("private-key", &strange_private, "public-key"),
        ("public-key", &strange_public, "public-key"),
        ("psk", &strange_public, "psk"),
    ];
    let taken = scene.feed.taken_at_rest();
    // The hint names a key of the client's own config.
    for (key, text, hint) in changes {
        let client = scene.site.start_client(&scene.mallory.with(key, text));
        client.wait_for(&format!("`{hint}`"));
        assert_eq!(client.stdout_len(), 0);
    }
    assert_eq!(scene.feed.taken_at_rest(), taken, "it cost device bytes");
}

//! The fetch threads against servers that serve, fall silent, misbehave and vanish.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::*;
use crossbeam_channel::bounded;
use netrng::client::{FetchState, Kind, Location};
use std::net::TcpListener;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

impl Running {
    fn last_error(&self) -> String {
        self.fetchers.statuses[0].last_error().unwrap_or_default()
    }

    /// Waits for a failure whose text contains `part`.
    fn fails_with(&self, part: &str) {
        eventually(part, || self.last_error().contains(part));
    }
}

#[test]
fn nobody_takes_samples_so_one_request_leaves_and_no_more() {
    let server = TestServer::honest(7);
    let running = fetch(vec![upstream(server.address)]);
    let status = &running.fetchers.statuses[0];
    eventually("a sample in hand", || status.state() == FetchState::Full);
    pause(Duration::from_millis(200));
    assert_eq!(server.asked(), 2048);
    assert_eq!(running.sample().as_bytes(), [7; 2048]);
    eventually("the next request", || server.asked() == 4096);
    pause(Duration::from_millis(100));
    assert_eq!(server.asked(), 4096);
    assert_eq!(status.bytes.load(SeqCst), 4096);
}

#[test]
fn upstreams_take_turns_and_a_dead_one_stops_nobody() {
    let (one, two) = (TestServer::honest(1), TestServer::honest(2));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let running = fetch([one.address, two.address, closed].map(upstream).into());
    let mut counts = [0; 3];
    for _ in 0..100 {
        // Turns are among those who have something: let both.
        eventually("both to have a sample in hand", || {
            running.fetchers.statuses[..2].iter().all(|s| s.state() == FetchState::Full)
        });
        counts[usize::from(running.sample().as_bytes()[0])] += 1;
    }
    assert!(counts[1] >= 40 && counts[2] >= 40, "{counts:?}");
}

#[test]
fn the_end_is_quick_says_bye_and_reaches_threads_wherever_they_wait() {
    let (heard, said) = bounded(10);
    let server = TestServer::start(move |mut peer| {
        peer.greet();
        // The first is served; the others wait for an answer that never comes.
        let is_first = peer.number == 0;
        while let Some((kind, _)) = peer.read() {
            match kind {
                REQUEST if is_first => _ = peer.send(SAMPLE, &[1; 2048]),
                BYE => heard.send(BYE).unwrap(),
                _ => {}
            }
        }
    });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [server.address, server.address, silent.local_addr().unwrap()];
    let running = fetch(addresses.map(upstream).into());
    eventually("both have asked", || server.asked() == 4096);
    pause(Duration::from_millis(50));
    let start = netrng::sys::now();
    drop(running.stop);
    assert!(running.fetchers.wait(Duration::from_secs(2)), "a thread goes on");
    assert!(netrng::sys::now() - start < Duration::from_millis(500));
    for _ in 0..2 {
        assert_eq!(said.recv_timeout(Duration::from_secs(1)), Ok(BYE));
    }
    for status in &running.fetchers.statuses {
        assert_eq!(status.state(), FetchState::Stopped);
    }
}

#[test]
fn a_connection_that_dies_is_made_again() {
    let server = TestServer::start(|mut peer| {
        peer.greet();
        peer.read();
        peer.send(SAMPLE, &[u8::try_from(peer.number).unwrap(); 2048]);
    });
    let running = fetch(vec![upstream(server.address)]);
    for number in 0..5 {
        assert_eq!(running.sample().as_bytes()[0], number);
    }
    assert!(running.fetchers.statuses[0].failures.load(SeqCst) >= 4);
}

#[test]
fn a_bye_is_honoured_even_if_said_while_we_wanted_nothing() {
    let server = TestServer::start(|mut peer| {
        peer.greet();
        peer.read();
        peer.send(SAMPLE, &[1; 2048]);
        // Idle (3), come back in 700 ms.
        peer.send(BYE, &[3, 7]);
    });
    let running = fetch(vec![upstream(server.address)]);
    running.sample();
    pause(Duration::from_millis(300));
    let start = netrng::sys::now();
    running.sample();
    let away = netrng::sys::now() - start;
    assert!(away >= Duration::from_millis(300), "came back after {away:?}");
    let status = &running.fetchers.statuses[0];
    assert_eq!(status.failures.load(SeqCst), 0, "giving up an unused place is no failure");
}

#[test]
fn waiting_is_no_failure() {
    let server = TestServer::start(|mut peer| {
        peer.greet();
        peer.read();
        for _ in 0..3 {
            peer.send(WAIT, &[]);
            pause(Duration::from_millis(50));
        }
        peer.send(SAMPLE, &[1; 2048]);
        peer.serve(1);
    });
    let running = fetch(vec![upstream(server.address)]);
    let status = &running.fetchers.statuses[0];
    eventually("it waits", || status.state() == FetchState::Waiting);
    assert_eq!(running.sample().len(), 2048);
    assert_eq!(status.failures.load(SeqCst), 0);
}

fn misbehaves(part: &str, misdeed: impl Fn(&mut Peer) + Clone + Send + 'static) {
    let server = TestServer::start(move |mut peer| {
        peer.greet();
        peer.read();
        misdeed(&mut peer);
        while peer.read().is_some() {}
    });
    let running = fetch(vec![upstream(server.address)]);
    running.fails_with(part);
    assert!(running.samples.try_recv().is_err(), "a byte of it was used");
}

#[test]
fn a_sample_longer_than_asked_ends_the_session() {
    misbehaves("2049 bytes where up to 2048", |peer| _ = peer.send(SAMPLE, &[1; 2049]));
}

#[test]
fn an_empty_sample_ends_the_session() {
    misbehaves("sent 0 bytes", |peer| _ = peer.send(SAMPLE, &[]));
}

#[test]
fn a_flood_of_waits_or_pongs_ends_the_session() {
    misbehaves("floods", |peer| while peer.send(WAIT, &[]) {});
    misbehaves("floods", |peer| while peer.send(PING, &[]) {});
}

#[test]
fn garbage_ends_the_session() {
    misbehaves("broke the protocol (bad-message)", |peer| _ = peer.send(b'?', &[1]));
}

#[test]
fn each_way_to_fail_the_handshake_has_its_reason() {
    let refuses = TestServer::start(|mut peer| drop(peer.read()));
    fetch(vec![upstream(refuses.address)]).fails_with("ended the handshake");
    let garbles = TestServer::start(|mut peer| {
        peer.send(b'?', &[1]);
        while peer.read().is_some() {}
    });
    fetch(vec![upstream(garbles.address)]).fails_with("check `public-key` and `psk`");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    fetch(vec![upstream(silent.local_addr().unwrap())]).fails_with("is it a netrng server");
}

#[test]
fn a_name_without_address_and_a_closed_port_have_their_reasons() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fetch(vec![upstream(closed)]).fails_with("cannot connect");
    let mut nowhere = upstream(closed);
    let Kind::Address(address) = &mut nowhere.kind else { panic!("no address") };
    address.location = Location::At("no-such-host.invalid".into(), closed.port());
    fetch(vec![nowhere]).fails_with("cannot find its address");
}

/// Takes half a minute: the bounds are the product's, not the test's.
#[test]
fn a_server_that_falls_silent_is_pinged_and_then_left() {
    let (heard, said) = bounded(10);
    let server = TestServer::start(move |mut peer| {
        peer.greet();
        if peer.number > 0 {
            peer.serve(1);
        }
        while let Some((kind, _)) = peer.read() {
            heard.send(kind).unwrap();
        }
    });
    let running = fetch(vec![upstream(server.address)]);
    let sample = running.samples.recv_timeout(Duration::from_secs(40)).expect("left the silent");
    assert_eq!(sample.len(), 2048);
    assert_eq!(said.try_iter().collect::<Vec<_>>(), [REQUEST, PING]);
    running.fails_with("says nothing since 30 s");
}

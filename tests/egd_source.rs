//! An EGD server as source: another netrng's listener in a chain, and servers by hand that fall
//! silent, hang up, talk unasked or let nobody in.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::WaitReason;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::numbered;
use support::process::{Process, finish, netrng};
use support::raw::RawClient;
use support::site::{READY, Site, free_port};
use support::wait::PATIENCE;

const SAMPLE: usize = 2048;
const START_UP_TEST: usize = 1024;
const UNIX: &str = "protocol = \"egd\"\npath = \"egd.sock\"";

fn tcp(port: u16) -> String {
    format!("protocol = \"egd\"\naddress = \"127.0.0.1:{port}\"")
}

/// A server that reads from an EGD server at this place.
fn site_on(place: &str) -> Site {
    Site::new(format!("egd:{place}")).source("stock = 2").source("stall-timeout = \"500 ms\"")
}

/// `samples` samples, one after the other.
fn draw(session: &mut RawClient, samples: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < samples * SAMPLE {
        got.extend_from_slice(session.draw(2048).as_bytes());
    }
    got
}

/// A source, a server that gives it as EGD, and a server that reads there.
fn chain(first: Site, place: &str) {
    let feed = Feed::new(&first.path("source"), Mood::Good);
    let mut giving = first.start_server();
    let site = site_on(place);
    let alice = site.enroll("alice");
    let server = site.start_server();
    let mut session = RawClient::open(&site, &alice);
    let mut got = draw(&mut session, 40);

    let mark = server.mark();
    assert_eq!(giving.terminate().code(), Some(0));
    got.extend(session.draw_until(WaitReason::SourceFailed));
    server.wait_for_after(mark, "(peer-closed): the EGD server closed the connection");
    let _giving = first.start_server();
    server.wait_for_after(mark, "passed its start-up test");
    got.extend(draw(&mut session, 40));

    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("alice", &got).unwrap();
    // In the source's order, and without a gap but for the restart.
    assert_eq!(ledger.runs(), 2);
    assert_eq!(ledger.gaps().len(), 2, "{:?}", ledger.gaps());
}

#[test]
fn bytes_pass_through_two_servers_in_order_and_the_second_outlives_the_first() {
    let port = free_port();
    chain(Site::with_fifo("source").listener(&tcp(port)), &format!("127.0.0.1:{port}"));
}

#[test]
fn over_a_unix_socket_as_well() {
    let first = Site::with_fifo("source").listener(UNIX);
    let place = first.path("egd.sock").display().to_string();
    chain(first, &place);
}

/// An EGD server by hand: the test says what it does.
struct Hand {
    listener: TcpListener,
    /// Bytes of the numbered stream given so far.
    given: u64,
    /// Those who may ask further, and get no answer.
    kept: Vec<TcpStream>,
}

impl Hand {
    fn new() -> (Self, Site) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = site_on(&listener.local_addr().unwrap().to_string());
        (Hand { listener, given: 0, kept: Vec::new() }, site)
    }

    fn accept(&self) -> TcpStream {
        let (peer, _) = self.listener.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let start = self.given;
        self.given += count as u64;
        (start..self.given).map(numbered::byte_at).collect()
    }

    /// Answers requests until the reader has passed its start-up test and has a sample; what it
    /// asks for then.
    fn serve(&mut self, peer: &mut TcpStream) -> usize {
        let (mut given, mut asked) = (0, request(peer));
        while given < START_UP_TEST + SAMPLE {
            peer.write_all(&self.take(asked)).unwrap();
            given += asked;
            asked = request(peer);
        }
        asked
    }
}

/// How many bytes the next request is for.
fn request(peer: &mut TcpStream) -> usize {
    let mut request = [0; 2];
    peer.read_exact(&mut request).unwrap();
    assert_eq!(request[0], 2, "the blocking read and no other command");
    assert!(request[1] > 0);
    request[1].into()
}

/// Serves once more on a new connection, and draws.
fn recover(hand: &mut Hand, server: &Process, session: &mut RawClient) -> Vec<u8> {
    let mark = server.mark();
    let mut peer = hand.accept();
    hand.serve(&mut peer);
    hand.kept.push(peer);
    server.wait_for_after(mark, "passed its start-up test");
    session.draw(2048).as_bytes().to_vec()
}

#[test]
fn one_that_falls_silent_is_reported_given_up_and_called_again() {
    let (mut hand, site) = Hand::new();
    let alice = site.enroll("alice");
    let server = site.spawn_server();
    let mut peer = hand.accept();
    let asked = hand.serve(&mut peer);
    server.wait_for(READY);
    let mut session = RawClient::open(&site, &alice);
    let mut got = session.draw(2048).as_bytes().to_vec();

    // Half an answer, and then nothing.
    let half = hand.take(asked / 2);
    peer.write_all(&half).unwrap();
    got.extend(session.draw_until(WaitReason::SourceFailed));
    let line = server.wait_for("(stalled): no bytes for 0.5 s");
    assert!(
        line.contains(&format!("source egd:{}", hand.listener.local_addr().unwrap())),
        "{line}"
    );
    // What it did not say in time is not waited for.
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "the connection is closed");
    got.extend(recover(&mut hand, &server, &mut session));
    assert_eq!(server.log_text().matches("failed (").count(), 1, "told once");
    Ledger::new(Numbered { len: hand.given }).enter("alice", &got).unwrap();
}

#[test]
fn one_that_hangs_up_within_an_answer_is_told_and_called_again() {
    let (mut hand, site) = Hand::new();
    let alice = site.enroll("alice");
    let server = site.spawn_server();
    let mut peer = hand.accept();
    let asked = hand.serve(&mut peer);
    server.wait_for(READY);
    let mut session = RawClient::open(&site, &alice);
    let mut got = session.draw(2048).as_bytes().to_vec();
    let most = hand.take(asked - 1);
    peer.write_all(&most).unwrap();
    drop(peer);
    server.wait_for("(peer-closed): the EGD server closed the connection with 1 of the bytes");
    got.extend(recover(&mut hand, &server, &mut session));
    Ledger::new(Numbered { len: hand.given }).enter("alice", &got).unwrap();
}

#[test]
fn one_that_says_more_than_it_was_asked_is_not_believed() {
    let (mut hand, site) = Hand::new();
    let alice = site.enroll("alice");
    let server = site.spawn_server();
    let mut peer = hand.accept();
    let asked = hand.serve(&mut peer);
    server.wait_for(READY);
    let more = hand.take(asked + 1);
    peer.write_all(&more).unwrap();
    server.wait_for("(unasked-bytes): it sends bytes that nobody asked for");
    let mut session = RawClient::open(&site, &alice);
    let got = recover(&mut hand, &server, &mut session);
    Ledger::new(Numbered { len: hand.given }).enter("alice", &got).unwrap();
}

#[test]
fn a_netrng_that_greets_is_told_of_before_a_byte_is_served() {
    let port = free_port();
    let first = Site::with_fifo("source").listener(&format!("{}\ngreet = 64", tcp(port)));
    let _feed = Feed::new(&first.path("source"), Mood::Good);
    let _giving = first.start_server();
    let site = site_on(&format!("127.0.0.1:{port}"));
    let server = site.spawn_server();
    let line = server.wait_for("(unasked-bytes)");
    assert!(line.contains("or one that greets (`greet` of a netrng)"), "{line}");
    assert!(!server.log_text().contains("passed its start-up test"), "{}", server.log_text());
}

/// A listener with room for one, and the one who took it: whoever comes now waits outside.
fn full(domain: Domain, address: &SockAddr) -> (Socket, Socket) {
    let listener = Socket::new(domain, Type::STREAM, None).unwrap();
    listener.bind(address).unwrap();
    listener.listen(0).unwrap();
    let first = Socket::new(domain, Type::STREAM, None).unwrap();
    first.connect(&listener.local_addr().unwrap()).unwrap();
    (listener, first)
}

/// Answers whoever comes, for as long as the test runs.
fn open_up((listener, first): (Socket, Socket)) {
    drop(first);
    thread::spawn(move || {
        loop {
            let (mut peer, _) = listener.accept().unwrap();
            thread::spawn(move || {
                let mut at = 0;
                let mut request = [0; 2];
                while peer.read_exact(&mut request).is_ok() {
                    let end = at + u64::from(request[1]);
                    let bytes: Vec<u8> = (at..end).map(numbered::byte_at).collect();
                    at = end;
                    let _ = peer.write_all(&bytes);
                }
            });
        }
    });
}

#[test]
fn an_address_that_does_not_answer_is_told_in_time() {
    let any = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)));
    let door = full(Domain::IPV4, &any);
    let address = door.0.local_addr().unwrap().as_socket().unwrap();
    let site = site_on(&address.to_string());
    let server = site.spawn_server();
    server.wait_for("(no-connection): cannot connect: connection timed out");
    open_up(door);
    server.wait_for(READY);
}

#[test]
fn a_socket_that_lets_nobody_in_is_told_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("egd.sock");
    let door = full(Domain::UNIX, &SockAddr::unix(&path).unwrap());
    let site = site_on(path.to_str().unwrap());
    let server = site.spawn_server();
    server.wait_for("(stalled): no bytes for 0.5 s");
    open_up(door);
    server.wait_for(READY);
}

#[test]
fn one_that_comes_late_is_waited_for_and_its_bytes_are_judged_and_make_keys() {
    let first = Site::with_fifo("source").listener(UNIX);
    let _feed = Feed::new(&first.path("source"), Mood::Good);
    let place = first.path("egd.sock").display().to_string();
    let site = site_on(&place);
    let server = site.spawn_server();
    let line = server.wait_for("(no-connection): cannot connect: No such file or directory");
    assert!(line.contains("see that the EGD server runs"), "{line}");
    let _giving = first.start_server();
    server.wait_for(READY);

    let name = format!("egd:{place}");
    let judged = finish(&mut netrng(&["assess", &name, "--bytes", "20000"])).success();
    assert!(judged.starts_with(&name), "{judged}");
    assert!(judged.contains("(20,000 bytes read in"), "{judged}");
    assert!(judged.contains("Verdict: no fault found."), "{judged}");
    let config = site.path("server.toml").display().to_string();
    let enrolled = finish(&mut netrng(&["enroll", "bob", "-c", &config])).success();
    assert!(enrolled.contains("psk = \""), "{enrolled}");
    assert!(fs::read_to_string(site.path("clients.toml")).unwrap().contains("bob"));

    let refused = finish(&mut netrng(&["assess", "egd:localhost:8888"]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("egd:localhost:8888: want \"egd:127.0.0.1:8888\""));
}

#[test]
fn bytes_over_a_network_are_warned_of_at_the_start_and_make_no_keys() {
    // Not the loopback's address, but leads nowhere else.
    let (hand, _) = Hand::new();
    let name = format!("egd:0.0.0.0:{}", hand.listener.local_addr().unwrap().port());
    let site = Site::new(&name).source("allow-plaintext = true");
    let server = site.spawn_server();
    server.wait_for(&format!(
        "source {name} is not encrypted: whoever is on the way can read and change what is sent \
         (allow-plaintext)"
    ));
    hand.accept();
    let config = site.path("server.toml").display().to_string();
    let refused = finish(&mut netrng(&["enroll", "bob", "-c", &config]));
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("its bytes can be read on their way here"), "{refused:?}");
}

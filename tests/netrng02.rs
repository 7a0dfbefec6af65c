//! NetRNG 0.2 against the real binary, by hand: its requests to the byte, heartbeats in time, and
//! peers that mean no good; and our own client at our own listener.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::process::{Process, netrng};
use support::site::{Site, free_port};
use support::wait;

const DELIMITER: &[u8] = b"--NETRNG-SOCKET-DELIMITER";
const GET_SAMPLE: &[u8] = b"\x81\xa3get\xa6sample";
const GET_HEARTBEAT: &[u8] = b"\x81\xa3get\xa9heartbeat";
const HEARTBEAT: &[u8] = b"\x81\xa4push\xa9heartbeat";
const SAMPLE: &[u8] = b"\x82\xa4push\xa6sample\xa6sample\xda";

/// A peer by hand.
struct Peer {
    socket: TcpStream,
    heard: Vec<u8>,
}

impl Peer {
    fn connect(port: u16) -> Peer {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        Peer { socket, heard: Vec::new() }
    }

    fn say(&mut self, messages: &[&[u8]]) {
        let all: Vec<u8> =
            messages.iter().flat_map(|message| [message, DELIMITER]).flatten().copied().collect();
        self.socket.write_all(&all).unwrap();
    }

    /// The next message, without its delimiter; `None` if the connection ends instead.
    fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            let found = self.heard.windows(DELIMITER.len()).position(|it| it == DELIMITER);
            if let Some(len) = found {
                let rest = self.heard.split_off(len + DELIMITER.len());
                self.heard.truncate(len);
                return Some(std::mem::replace(&mut self.heard, rest));
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.heard.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    fn hear_sample(&mut self) -> Vec<u8> {
        let message = self.hear().expect("an answer");
        let sample = message.strip_prefix(SAMPLE).unwrap_or_else(|| panic!("{message:02x?}"));
        let (len, sample) = sample.split_first_chunk().unwrap();
        assert_eq!(usize::from(u16::from_be_bytes(*len)), sample.len());
        sample.to_vec()
    }
}

/// A server on a FIFO, and where it speaks NetRNG 0.2.
fn site(more: &str) -> (Site, u16) {
    let port = free_port();
    let listener = format!("protocol = \"netrng-0.2\"\naddress = \"127.0.0.1:{port}\"\n{more}");
    (Site::with_fifo("source").listener(&listener), port)
}

#[test]
fn requests_are_answered_in_their_order_however_they_come() {
    let (site, port) = site("");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let _server = site.start_server();
    let mut peer = Peer::connect(port);
    // The original closes the connection on two at once.
    let newer = b"\x82\xa7version\xcd\x01\x00\xc4\x03get\xd9\x06sample";
    peer.say(&[GET_SAMPLE, GET_HEARTBEAT, b"\x81\xa3get\xa4news", newer]);
    let mut ledger = Ledger::new(Numbered { len: u64::MAX });
    let first = peer.hear_sample();
    assert_eq!(first.len(), 2048);
    ledger.enter("first", &first).unwrap();
    assert_eq!(peer.hear().unwrap(), HEARTBEAT);
    ledger.enter("second", &peer.hear_sample()).unwrap();
    // One byte a segment.
    peer.socket.set_nodelay(true).unwrap();
    for byte in GET_SAMPLE.iter().chain(DELIMITER) {
        peer.socket.write_all(&[*byte]).unwrap();
    }
    ledger.enter("third", &peer.hear_sample()).unwrap();
    assert_eq!(ledger.bytes(), 3 * 2048);
    drop(feed);
}

#[test]
fn whoever_cannot_be_served_hears_so_in_time_and_is_given_nothing_unasked() {
    let (site, port) = site("");
    let site = site.source("stall-timeout = \"1 h\"");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    feed.taken_at_rest();
    feed.set(Mood::Silent);
    let (mut peer, mut seen) = (Peer::connect(port), 0);
    // The stock, and what the pipe held.
    let heard = loop {
        peer.say(&[GET_SAMPLE]);
        let heard = peer.hear().unwrap();
        if heard == HEARTBEAT {
            break heard;
        }
        seen += 1;
        assert!(seen < 100, "a source that is silent");
    };
    assert_eq!(heard, HEARTBEAT, "within a second; the original would have hung up after two");
    feed.set(Mood::Good);
    feed.taken_at_rest();
    // Whatever were given for the request that was put off would come before this.
    peer.say(&[GET_HEARTBEAT]);
    assert_eq!(peer.hear().unwrap(), HEARTBEAT);
    peer.say(&[GET_SAMPLE]);
    assert_eq!(peer.hear_sample().len(), 2048);
    assert_eq!(server.log_text().matches(" left: ").count(), 0);
}

#[test]
fn peers_that_make_no_sense_are_sent_away_and_those_that_flood_are_bounded() {
    let (site, port) = site("");
    let _feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    for (message, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "bad-message"),
        (b"\x80", "bad-body"),
        (&[0x91; 2048], "bad-length"),
    ] {
        let (mark, mut peer) = (server.mark(), Peer::connect(port));
        peer.say(&[message]);
        assert_eq!(peer.hear(), None);
        server.wait_for_after(mark, reason);
    }
    let (mark, mut peer) = (server.mark(), Peer::connect(port));
    let flood = [GET_HEARTBEAT, DELIMITER].concat().repeat(100_000);
    // It does not read the answers; whichever bound it meets first.
    let _ = peer.socket.set_write_timeout(Some(wait::PATIENCE));
    let _ = peer.socket.write_all(&flood);
    server.wait_for_after(mark, "left: flood");
    let mut peer = Peer::connect(port);
    peer.say(&[GET_SAMPLE]);
    assert_eq!(peer.hear_sample().len(), 2048);
}

#[test]
fn our_client_draws_from_our_listener_and_both_say_that_it_is_in_clear() {
    let port = free_port();
    let listener = format!(
        "protocol = \"netrng-0.2\"\naddress = \"0.0.0.0:{port}\"\nallow-plaintext = true\n\
         allowed = [\"127.0.0.1\"]"
    );
    let site = Site::with_fifo("source").listener(&listener);
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let mut server = site.start_server();
    server.wait_for("netrng-0.2 on 0.0.0.0");
    server.wait_for("is not encrypted: whoever is on the way can read and change");
    // An address of this machine that is not known to stay on it.
    let text = format!(
        "mode = \"client\"\n[client]\nstatus-socket = \"none\"\n[[upstream]]\n\
         address = \"0.0.0.0:{port}\"\nprotocol = \"netrng-0.2\"\nallow-plaintext = true\n\
         [sink]\ntype = \"stdout\"\n"
    );
    let config = site.path("old.toml");
    fs::write(&config, text).unwrap();
    let mut client = Process::start(netrng(&["client", "-c"]).arg(config));
    client.wait_for(&format!("0.0.0.0:{port} is not encrypted: whoever is on the way can read"));
    client.wait_for_bytes(200_000);
    // Bytes that stop for a while are no failure.
    feed.set(Mood::Stuck(9));
    client.wait_for("has nothing to give for now");
    feed.set(Mood::Good);
    client.wait_for_bytes(100_000);
    assert_eq!(client.log_text().matches("next attempt").count(), 0);
    assert_eq!(client.terminate().code(), Some(0));
    assert_eq!(server.terminate().code(), Some(0));
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("our client", &client.stdout_at_end()).unwrap();
}

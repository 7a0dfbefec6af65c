//! Places: who is served when there are more clients than places, who waits where in the
//! line, and what it costs when idle clients swap places.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::{Answer, ByeReason, Request, WaitReason};
use std::fs::File;
use std::io::Read;
use std::time::Duration;
use support::process::Process;
use support::raw::{Deafness, RawClient};
use support::site::{Enrolled, Site};
use support::wait;

const IDLE: Duration = Duration::from_millis(300);
/// Far longer than it takes to answer.
const QUIET: Duration = Duration::from_millis(500);

/// A server with two places and two in line, and clients for all of them and more.
struct Scene {
    site: Site,
    server: Process,
    clients: Vec<Enrolled>,
}

impl Scene {
    fn new(idle_timeout: &str) -> Self {
        let site = Site::new("/dev/urandom")
            .server("max-clients = 2")
            .server("max-waiting = 2")
            .server(&format!("idle-timeout = \"{idle_timeout}\""))
            .server("handshakes-per-s-per-address = 1000");
        let clients = ["ann", "ben", "cleo", "dan", "eve"].map(|name| site.enroll(name)).to_vec();
        let server = site.start_server();
        Scene { site, server, clients }
    }

    /// A session that has asked for 64 bytes.
    fn ask(&self, client: usize) -> RawClient {
        let mut raw = RawClient::open(&self.site, &self.clients[client]);
        raw.send(Request::Bytes(64));
        raw
    }

    /// A session that has a place.
    #[track_caller]
    fn seated(&self, client: usize) -> RawClient {
        let mut raw = self.ask(client);
        assert_eq!(raw.next(), Said::Bytes(64));
        raw
    }

    /// Connections on which a key was proved, since the server started.
    fn handshakes(&self) -> usize {
        self.server.log_text().matches(" connected from ").count()
    }
}

/// An answer, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Bytes(usize),
    /// The place in the line.
    Wait(u128),
    Other(String),
}

trait Next {
    fn next(&mut self) -> Said;
    fn is_silent(&mut self) -> bool;
}

impl Next for RawClient {
    #[track_caller]
    fn next(&mut self) -> Said {
        match self.answer() {
            Answer::Sample(sample) => Said::Bytes(sample.len()),
            Answer::Wait(WaitReason::InLine, place) => Said::Wait(place.as_millis()),
            other => Said::Other(format!("{other:?}")),
        }
    }

    fn is_silent(&mut self) -> bool {
        matches!(self.hear(QUIET), Err(Deafness::Silence))
    }
}

#[test]
fn the_line_is_bounded_first_come_and_everybody_knows_their_place() {
    let scene = Scene::new("1 h");
    let (mut ann, ben) = (scene.seated(0), scene.seated(1));
    let (mut cleo, mut dan) = (scene.ask(2), scene.ask(3));
    assert_eq!(cleo.next(), Said::Wait(1));
    assert_eq!(dan.next(), Said::Wait(2));
    let (reason, retry) = scene.ask(4).until_bye();
    assert_eq!(reason, ByeReason::Full);
    assert!(retry > Duration::ZERO, "no time to try again");
    assert!(cleo.is_silent() && dan.is_silent(), "told twice, or served without a place");

    drop(ben);
    assert_eq!(cleo.next(), Said::Bytes(64), "the first in line has the place");
    assert_eq!(dan.next(), Said::Wait(1), "and the second moves up");
    let mut eve = scene.ask(4);
    assert_eq!(eve.next(), Said::Wait(2));
    // Whoever leaves the line makes room in it.
    drop(dan);
    assert_eq!(eve.next(), Said::Wait(1));
    ann.draw(64);
    cleo.draw(64);
    drop(ann);
    assert_eq!(eve.next(), Said::Bytes(64));
}

#[test]
fn an_idle_session_keeps_its_place_while_nobody_waits() {
    let scene = Scene::new("300 ms");
    let (mut ann, mut ben) = (scene.seated(0), scene.seated(1));
    wait::pause(4 * IDLE);
    for raw in [&mut ann, &mut ben] {
        raw.send(Request::Bytes(64));
        assert_eq!(raw.next(), Said::Bytes(64), "had to wait");
    }
}

#[test]
fn a_session_that_lost_its_place_keeps_its_connection_and_goes_to_the_end_of_the_line() {
    let scene = Scene::new("300 ms");
    let (mut ann, mut ben) = (scene.seated(0), scene.seated(1));
    let mut cleo = scene.ask(2);
    assert_eq!(cleo.next(), Said::Wait(1));
    // Ben stays busy all along, so the place is Ann's.
    let mut busy = || {
        ben.send(Request::Bytes(64));
        assert_eq!(ben.next(), Said::Bytes(64), "a busy session lost its place");
    };
    wait::until_true("the idle session makes room", || {
        busy();
        matches!(cleo.hear(Duration::from_millis(20)), Ok(Answer::Sample(_)))
    });
    let mut dan = scene.ask(3);
    assert_eq!(dan.next(), Said::Wait(1));
    busy();
    ann.send(Request::Bytes(64));
    assert_eq!(ann.next(), Said::Wait(2), "Dan was there before");
    // Cleo has been idle since her 64 bytes.
    wait::until_true("the next idle one makes room", || {
        busy();
        matches!(dan.hear(Duration::from_millis(20)), Ok(Answer::Sample(_)))
    });
    assert_eq!(ann.next(), Said::Wait(1));
    wait::until_true("and the one after that", || {
        busy();
        matches!(ann.hear(Duration::from_millis(20)), Ok(Answer::Sample(_)))
    });
    assert_eq!(scene.handshakes(), 4);
}

/// The README of the original describes it: more clients than places, all idle most of the
/// time, take the places from each other for ever.
#[test]
fn idle_clients_that_swap_places_cost_no_handshakes() {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 5;
    let scene = Scene::new("100 ms");
    let mut sessions: Vec<RawClient> =
        (0..CLIENTS).map(|c| RawClient::open(&scene.site, &scene.clients[c])).collect();
    let mut waits = 0;
    for _ in 0..ROUNDS {
        for raw in &mut sessions {
            raw.send(Request::Bytes(64));
            while !matches!(raw.next(), Said::Bytes(64)) {
                waits += 1;
            }
        }
    }
    assert!(waits >= CLIENTS * (ROUNDS - 1), "they hardly ever swapped: {waits} waits");
    println!("{waits} waits, {} handshakes", scene.handshakes());
    assert_eq!(scene.handshakes(), CLIENTS);
    assert!(!scene.server.log_text().contains(" left: "), "a session ended");
}

/// The same by real clients whose sinks are full most of the time.
#[test]
fn real_clients_that_swap_places_stay_connected() {
    const SWAPS: usize = 4;
    // More than a pipe and the client hold: it must ask again.
    const BITE: usize = 256 * 1024;
    let scene = Scene::new("100 ms");
    let start = |client: &Enrolled| {
        let path = scene.site.path(&format!("{}.fifo", client.name));
        let sink = format!("type = \"fifo\"\npath = {:?}", path.display().to_string());
        let process = Process::start(&mut scene.site.client_command(client, &sink));
        wait::until_true("the client makes its FIFO", || path.exists());
        (process, File::open(path).unwrap())
    };
    let mut clients: Vec<_> = scene.clients[..4].iter().map(start).collect();
    let mut buffer = vec![0; BITE];
    for _ in 0..SWAPS {
        for (_, fifo) in &mut clients {
            fifo.read_exact(&mut buffer).unwrap();
        }
    }
    let ended = scene.server.log_text().matches(" left: ").count();
    assert_eq!((scene.handshakes(), ended), (4, 0), "handshakes, and sessions that ended");
    for (process, _) in &clients {
        let log = process.log_text();
        assert!(log.contains("in line"), "it never waited:\n{log}");
        assert_eq!(log.matches(": connected;").count(), 1, "{log}");
    }
}

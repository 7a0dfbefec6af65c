//! `netrng tap` and the socket it finds its server by: who is served there, as whom, and what
//! those hear who are not. A script stands in for ssh; `ssh.rs` has the real one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::sys::users::own_uid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::process::{Process, Stdout, binary, command, finish, netrng};
use support::raw::RawClient;
use support::site::{READY, Site};
use support::wait::{self, Stopwatch};

const PLENTY: usize = 128 * 1024;
const SAMPLE: u64 = 2048;
const STARTUP: u64 = 1024;

fn numbered_site(lines: &[&str]) -> (Site, Feed) {
    let site = Site::with_fifo("source").source("stock = 2");
    let site = lines.iter().fold(site, |site, line| site.server(line));
    let feed = Feed::new(&site.path("source"), Mood::Good);
    (site, feed)
}

fn us() -> String {
    own_uid().to_string()
}

/// `netrng client` whose ssh is a tap on this site's socket, under this name.
fn client(site: &Site, name: &str, stdout: Stdout) -> Process {
    let script = site.path(&format!("ssh-{name}"));
    let (netrng, socket) = (binary().into_string().unwrap(), site.path("tap.sock"));
    let line =
        format!("#!/bin/sh\nexec {netrng} tap --socket {} --name {name}\n", socket.display());
    fs::write(&script, line).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let config = site.path(&format!("{name}.toml"));
    let lines = format!(
        "mode = \"client\"\n[[upstream]]\nssh = \"{name}@board\"\nssh-program = {script:?}\n\
         name = \"board\"\n[sink]\ntype = \"stdout\"\n"
    );
    fs::write(&config, lines).unwrap();
    let mut command = netrng_command(&config);
    Process::start_with(&mut command, Stdio::null(), stdout)
}

fn netrng_command(config: &std::path::Path) -> std::process::Command {
    let mut command = netrng(&["client", "-c"]);
    command.arg(config);
    command
}

/// `netrng tap`, whose far side says this and stays.
fn tap(site: &Site, words: &[&str], input: &[u8]) -> Process {
    let mut command = netrng(&["tap", "--socket"]);
    command.arg(site.path("tap.sock")).args(words);
    let mut tap = Process::start_with(&mut command, Stdio::piped(), Stdout::Keep);
    tap.write(input);
    tap
}

#[track_caller]
fn assert_fails(mut tap: Process, code: i32, words: &[&str]) {
    assert_eq!(tap.wait(wait::PATIENCE).code(), Some(code));
    let said = tap.log_at_end();
    assert_eq!(said.lines().count(), 1, "one sentence: {said:?}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said:?}");
    }
}

#[test]
fn through_the_tap_and_over_the_network_every_byte_reaches_one_client() {
    let (site, feed) = numbered_site(&[]);
    let alice = site.enroll("alice");
    site.add_local("bob", &us(), &[]);
    site.add_local("carol", &us(), &[]);
    let mut server = site.start_server();
    let mut clients = [
        site.start_client(&alice),
        client(&site, "bob", Stdout::Keep),
        client(&site, "carol", Stdout::Keep),
    ];
    clients.iter().for_each(|client| client.wait_for_bytes(PLENTY));
    let line = server.wait_for("client bob connected from");
    assert!(line.ends_with(&format!("from uid {}", us())), "{line}");
    // The server goes, says so, and comes back: so do they.
    assert_eq!(server.terminate().code(), Some(0));
    assert!(!site.path("tap.sock").exists(), "the socket outlives its server");
    clients.iter().for_each(|client| drop(client.wait_for("said goodbye: shutting-down")));
    let server = site.start_server();
    for client in &clients {
        client.wait_for("gives bytes again");
        client.wait_for_bytes(PLENTY);
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.terminate().code(), Some(0)));
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    for (client, name) in clients.iter_mut().zip(["alice", "bob", "carol"]) {
        ledger.enter(name, &client.stdout_at_end()).unwrap();
    }
    drop(server);
}

#[test]
fn rules_of_the_clients_file_hold_for_local_users_and_sighup_changes_them() {
    let (site, feed) = numbered_site(&[]);
    feed.set_pace(40_000);
    site.add_local("small", &us(), &["limit = \"4 kB/s\""]);
    site.add_local("promised", &us(), &["guarantee = \"30 kB/s\""]);
    site.add_local("greedy", &us(), &[]);
    site.add_local("too-much", &us(), &["guarantee = \"20 kB/s\""]);
    let server = site.start_server();
    feed.taken_at_rest();
    let names = ["small", "promised", "greedy"];
    let clients = names.map(|name| client(&site, name, Stdout::Keep));
    clients.iter().for_each(|client| drop(client.wait_for("gives bytes")));
    let before = clients.each_ref().map(Process::stdout_len);
    clients[1].wait_for_bytes(90_000);
    let got: Vec<usize> =
        clients.iter().zip(before).map(|(client, before)| client.stdout_len() - before).collect();
    println!("small, promised, greedy got {got:?}");
    assert!(got[0] > 0 && got[0] * 5 < got[1], "4 kB/s is the limit: {got:?}");
    assert!(got[2] < got[1] / 2, "30 kB/s are promised: {got:?}");
    let refused = client(&site, "too-much", Stdout::Keep);
    refused.wait_for("our guarantee does not fit beside the others'");

    site.set_rule("promised", &[]);
    let text = fs::read_to_string(site.path("clients.toml")).unwrap();
    site.write_secret("clients.toml", &text.replace("\"small\"", "\"tiny\""));
    server.signal(libc::SIGHUP);
    let line = clients[0].wait_for("`netrng tap` on board: ");
    assert!(line.contains("no client with name = \"small\" and user ="), "{line}");
    clients[1].wait_for_bytes(1);
}

/// A request for 2,048 bytes.
const REQUEST: [u8; 7] = [0, 5, 1, 0, 0, 8, 0];
/// "I am eve", and the same request.
const EVE: [u8; 13] = [0, 4, 4, b'e', b'v', b'e', 0, 5, 1, 0, 0, 8, 0];

#[test]
fn who_is_not_in_the_clients_file_gets_nothing_and_hears_why() {
    let (site, _feed) = numbered_site(&[]);
    site.add_local("other", "4000000", &[]);
    let _server = site.start_server();
    assert_fails(tap(&site, &[], &REQUEST), 10, &["no client with user = ", "add one to its"]);
    let words = ["no client with name = \"other\" and user = "];
    assert_fails(tap(&site, &["--name", "other"], &REQUEST), 10, &words);
    let client = client(&site, "other", Stdout::Keep);
    let line = client.wait_for("`netrng tap` on board: ");
    assert!(line.contains("no client with name = \"other\""), "{line}");
    assert_eq!(client.stdout_len(), 0);
}

#[test]
fn a_name_that_comes_from_the_far_side_changes_nothing() {
    let (site, _feed) = numbered_site(&[]);
    site.add_local("bob", &us(), &[]);
    site.add_local("eve", &us(), &[]);
    let server = site.start_server();
    let eve = tap(&site, &["--name", "bob"], &EVE);
    eve.wait_for_bytes(2048 + 3);
    server.wait_for("client bob connected from");
    assert!(!server.log_text().contains("client eve connected"), "it chose its name");
    // Without a name there is no saying which: not even for one that says it afterwards.
    assert_fails(tap(&site, &[], &EVE), 10, &["has several clients with user = ", "by --name"]);
}

#[test]
fn without_a_server_the_sentence_says_where_it_was_looked_for() {
    let site = Site::new("/dev/urandom");
    assert_fails(tap(&site, &[], b""), 9, &["no netrng server listens at", "tap.sock"]);
    let words = ["--name: \"a b\" is none: 1 to 64 letters"];
    assert_fails(tap(&site, &["--name", "a b"], b""), 2, &words);
    let client = client(&site, "bob", Stdout::Keep);
    let line = client.wait_for("next attempt");
    assert!(line.contains("`netrng tap` on board: no netrng server listens at"), "{line}");
}

#[test]
fn a_server_without_the_socket_serves_all_others_and_says_why() {
    let (site, feed) = numbered_site(&[]);
    let alice = site.enroll("alice");
    // A dead server's socket is replaced; a live one's is not.
    drop(std::os::unix::net::UnixListener::bind(site.path("tap.sock")).unwrap());
    let mut server = site.start_server();
    assert!(UnixStream::connect(site.path("tap.sock")).is_ok());
    let other =
        Site::new("/dev/urandom").server(&format!("tap-socket = {:?}", site.path("tap.sock")));
    let bob = other.enroll("bob");
    let mut second = other.start_server();
    let line = second.wait_for("will find no server at");
    assert!(line.contains("another netrng listens there"), "{line}");
    other.start_client(&bob).wait_for_bytes(1);
    second.terminate();
    assert!(UnixStream::connect(site.path("tap.sock")).is_ok(), "taken away by another server");
    site.start_client(&alice).wait_for_bytes(1);
    server.kill();
    assert!(site.path("tap.sock").exists());
    site.spawn_server().wait_for(READY);
    drop(feed);
    let off = Site::new("/dev/urandom").server("tap-socket = \"none\"");
    let server = off.start_server();
    assert!(!server.log_text().contains("netrng tap"), "{}", server.log_text());
}

#[test]
fn a_sink_that_waits_takes_two_samples_through_the_tap() {
    let (site, feed) = numbered_site(&[]);
    site.add_local("bob", &us(), &[]);
    let server = site.start_server();
    let stocked = feed.taken_at_rest();
    let blocked = client(&site, "bob", Stdout::Blocked);
    blocked.wait_for("gives bytes");
    let taken = feed.taken_at_rest();
    println!("{taken} bytes taken, {stocked} before the client");
    // Rests with half its stock gone at the most, so what left is seen at a grain of a sample.
    assert!(taken - stocked <= 2 * SAMPLE, "{} bytes for a sink that waits", taken - stocked);
    assert!(taken <= STARTUP + 2 * SAMPLE + 2 * SAMPLE, "{taken}");
    drop(server);
}

#[test]
fn a_tap_ends_with_either_side() {
    let (site, _feed) = numbered_site(&[]);
    site.add_local("bob", &us(), &[]);
    let mut server = site.start_server();
    let mut command = netrng(&["tap", "--socket"]);
    assert_eq!(finish(command.arg(site.path("tap.sock"))).code, Some(0), "its far side is gone");
    let mut first = tap(&site, &[], &REQUEST);
    first.wait_for_bytes(2048 + 3);
    // The far side vanished and came again before its first ssh noticed.
    let second = tap(&site, &[], b"");
    assert_eq!(first.wait(wait::PATIENCE).code(), Some(0), "{}", first.log_text());
    assert_eq!(first.stdout_at_end()[2048 + 3..][..4], [0, 6, 0x84, 2], "BYE, replaced");
    server.kill();
    assert_fails(second, 9, &["the netrng server ended the connection without a word"]);
}

#[test]
fn who_asks_nothing_and_ends_at_once_hears_whether_it_is_allowed() {
    let (site, _feed) = numbered_site(&[]);
    site.add_local("bob", &us(), &[]);
    let _server = site.start_server();
    let tap = |name: &str| {
        let mut command = netrng(&["tap", "--name", name, "--socket"]);
        Process::start(command.arg(site.path("tap.sock")))
    };
    // Either end could be first; each time the answer is the same. Not so often that the gate
    // has a word in it.
    for _ in 0..5 {
        let mut allowed = tap("bob");
        assert_eq!(allowed.wait(wait::PATIENCE).code(), Some(0), "{}", allowed.log_text());
        assert_eq!(allowed.log_at_end(), "");
        assert_fails(tap("eve"), 10, &["no client with name = \"eve\""]);
    }
}

#[test]
fn a_terminal_gets_a_sentence_and_no_bytes() {
    let (site, _feed) = numbered_site(&[]);
    let words = format!("{} tap --socket {}", binary().display(), site.path("tap.sock").display());
    let refused = finish(command("script").args(["-qec", &words, "/dev/null"]));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stdout.contains("standard output is a terminal"), "{refused:?}");
    assert_eq!(refused.stdout.lines().count(), 1, "{refused:?}");
}

/// Each connection of one user beyond its rate is closed as soon as it is accepted. That costs
/// little, but a program can connect faster than anybody can refuse.
#[test]
fn who_knocks_without_end_is_not_refused_without_end() {
    /// Refused in a second: a batch of 32 every 50 ms is 640; the queue holds 128 and a burst is
    /// let in.
    const REFUSED_PER_S: u64 = 1000;
    const SPAN: Duration = Duration::from_secs(2);
    let site = Site::new("/dev/urandom");
    let alice = site.enroll("alice");
    let mut command = site.server_command();
    // A line for each would be a flood of its own.
    let server = Process::start(command.env("RUST_LOG", "netrng=info"));
    server.wait_for(READY);
    let (path, stop) = (site.path("tap.sock"), Arc::new(AtomicBool::new(false)));
    let flood = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let clock = Stopwatch::start();
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                made += u64::from(UnixStream::connect(&path).is_ok());
            }
            (made, clock.elapsed())
        })
    };
    let mut drawn = 0;
    let clock = Stopwatch::start();
    let mut alice = RawClient::open(&site, &alice);
    while clock.elapsed() < SPAN {
        drawn += alice.draw(2048).len();
    }
    stop.store(true, Ordering::Relaxed);
    let (made, span) = flood.join().unwrap();
    println!("{made} connections in {span:?}; meanwhile {drawn} bytes over the network");
    assert!(made > 200, "no flood: {made}");
    assert!(made <= (span.as_secs() + 1) * REFUSED_PER_S, "{made} refused in {span:?}");
    // Who does wait there is served when the flood is over.
    site.add_local("bob", &us(), &[]);
    server.signal(libc::SIGHUP);
    client(&site, "bob", Stdout::Keep).wait_for_bytes(1);
}

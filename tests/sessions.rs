//! A server and its clients from start to end: who gets which bytes, and what becomes of
//! them when one side goes.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::{Answer, ByeReason, Request, WaitReason};
use std::fs;
use std::net::TcpStream;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::process::Process;
use support::raw::RawClient;
use support::site::{READY, Site, free_port};
use support::wait::{self, PATIENCE};

/// Enough samples to see a pattern.
const PLENTY: usize = 256 * 1024;
const START_UP_TEST: u64 = 1024;
const SAMPLE: u64 = 2048;

/// A site with a FIFO that gives the numbered stream.
fn numbered_site() -> (Site, Feed) {
    let site = Site::with_fifo("source");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    (site, feed)
}

fn ledger(feed: &Feed) -> Ledger<Numbered> {
    Ledger::new(Numbered { len: feed.fed() })
}

#[test]
fn every_byte_reaches_one_client_once() {
    let (site, feed) = numbered_site();
    let names = ["alice", "bob", "carol"];
    let enrolled = names.map(|name| site.enroll(name));
    let mut server = site.start_server();
    let mut clients = enrolled.each_ref().map(|client| site.start_client(client));
    for client in &clients {
        client.wait_for_bytes(PLENTY);
    }
    let streams = clients.each_mut().map(|client| {
        client.terminate();
        client.stdout_at_end()
    });
    assert_eq!(server.terminate().code(), Some(0));

    let mut ledger = ledger(&feed);
    for (name, stream) in names.iter().zip(&streams) {
        ledger.enter(name, stream).unwrap();
    }
    // The start-up test is discarded, and nothing else: what follows it reaches somebody.
    assert_eq!(ledger.gaps().first(), Some(&(0..START_UP_TEST)));
}

#[test]
fn the_first_client_waits_for_the_start_up_test_and_one_sample_only() {
    let (site, feed) = numbered_site();
    feed.give_only(START_UP_TEST + SAMPLE);
    let alice = site.enroll("alice");
    let server = site.spawn_server();
    wait::until_true("the server listens", || TcpStream::connect(&site.address).is_ok());
    let mut raw = RawClient::open(&site, &alice);
    let sample = raw.draw(u32::try_from(SAMPLE).unwrap());
    assert_eq!(sample.len() as u64, SAMPLE);
    assert_eq!(feed.taken(), START_UP_TEST + SAMPLE);
    server.wait_for(READY);
}

#[test]
fn an_answer_is_never_more_than_was_asked_nor_than_a_sample() {
    let (site, _feed) = numbered_site();
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let mut raw = RawClient::new(&site, &alice);
    assert_eq!(u64::from(raw.handshake().sample_size), SAMPLE);
    for count in [1, 64, 100, 2048] {
        let mut left = count;
        let mut sample = raw.draw(left);
        loop {
            assert!(sample.len() as u64 <= SAMPLE);
            left = left.checked_sub(u32::try_from(sample.len()).unwrap()).unwrap();
            if left == 0 {
                break;
            }
            let Answer::Sample(next) = raw.answer() else { panic!("no sample") };
            sample = next;
        }
    }
}

#[test]
fn a_server_that_nobody_asks_leaves_the_device_alone() {
    let (site, feed) = numbered_site();
    let site = site.source("stock = 4");
    let _server = site.start_server();
    // The stock, and one sample in the hands of the blocked reader.
    let taken = feed.taken_at_rest();
    assert!(taken <= START_UP_TEST + 5 * SAMPLE, "{taken} bytes for nobody");
}

#[test]
fn a_client_whose_sink_is_blocked_costs_a_few_samples() {
    let (site, feed) = numbered_site();
    let site = site.source("stock = 4");
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let idle = feed.taken_at_rest();
    let client = site.start_blocked_client(&alice);
    wait::until_true("the client draws", || feed.taken() > idle);
    let taken = feed.taken_at_rest() - idle;
    // What a pipe holds that nobody reads, and what the client says it keeps.
    let pipe = 64 * 1024;
    assert!(taken <= pipe + 8 * SAMPLE, "{taken} bytes for a sink that takes none");
    drop(client);
}

#[test]
fn both_families_are_served() {
    let port = free_port();
    let site = Site::at(&format!("127.0.0.1:{port}\", \"[::1]:{port}"), "/dev/urandom");
    let mut alice = site.enroll_at("alice", &format!("[::1]:{port}"));
    let _server = site.start_server();
    for address in
        [format!("[::1]:{port}"), format!("127.0.0.1:{port}"), format!("localhost:{port}")]
    {
        alice = alice.with("address", &address);
        site.start_client(&alice).wait_for_bytes(PLENTY);
    }
}

#[test]
fn a_stopping_server_says_so_and_ends_well() {
    let (site, _feed) = numbered_site();
    let [alice, bob] = ["alice", "bob"].map(|name| site.enroll(name));
    let mut server = site.start_server();
    let mut idle = RawClient::open(&site, &alice);
    idle.draw(64);
    let mut greedy = RawClient::open(&site, &bob);
    greedy.send(Request::Bytes(u32::MAX));
    assert!(matches!(greedy.answer(), Answer::Sample(_)));
    server.signal(libc::SIGTERM);
    assert_eq!(idle.until_bye().0, ByeReason::ShuttingDown);
    assert_eq!(greedy.until_bye().0, ByeReason::ShuttingDown);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[test]
fn a_client_that_does_not_read_cannot_keep_a_server_from_stopping() {
    let (site, _feed) = numbered_site();
    let site = site.server("write-timeout = \"1 h\"");
    let alice = site.enroll("alice");
    let mut server = site.start_server();
    let mut deaf = RawClient::open(&site, &alice);
    deaf.send(Request::Bytes(u32::MAX));
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    drop(deaf);
}

#[test]
fn a_client_ends_well_when_told_to() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let site = Site::new("/dev/urandom");
        let alice = site.enroll("alice");
        let server = site.start_server();
        let mut client = site.start_client(&alice);
        client.wait_for_bytes(PLENTY);
        client.signal(signal);
        assert_eq!(client.wait(PATIENCE).code(), Some(0));
        drop(server);
    }
}

#[test]
fn a_reload_adds_and_removes_clients_and_disturbs_nobody_else() {
    let (site, _feed) = numbered_site();
    let [alice, bob] = ["alice", "bob"].map(|name| site.enroll(name));
    let server = site.start_server();
    let only_old = fs::read_to_string(site.path("clients.toml")).unwrap();
    let mut alice_session = RawClient::open(&site, &alice);
    let mut bob_session = RawClient::open(&site, &bob);
    alice_session.draw(64);
    bob_session.draw(64);

    // Carol is in the file, but the server has not read it yet.
    let carol = site.enroll("carol");
    assert_eq!(refusal(&site, &carol), None, "carol got in before the reload");
    let with_carol = fs::read_to_string(site.path("clients.toml")).unwrap();
    let carols_part = with_carol.strip_prefix(&only_old).expect("enroll appends");

    // Alice goes, Bob stays, Carol comes.
    let bobs_part = &only_old[only_old.rfind("[[client]]").unwrap()..];
    assert!(bobs_part.contains("bob"));
    site.write_secret("clients.toml", &format!("{bobs_part}\n{carols_part}"));
    server.signal(libc::SIGHUP);
    assert_eq!(alice_session.until_bye().0, ByeReason::NotAllowed);
    RawClient::open(&site, &carol).draw(64);
    bob_session.draw(64);
    refusal(&site, &alice);
}

/// How the server turns `client` away: with a BYE, or without a word.
///
/// # Panics
/// If it does not.
fn refusal(site: &Site, client: &support::site::Enrolled) -> Option<ByeReason> {
    let mut raw = RawClient::new(site, client);
    let hello = raw.hello();
    raw.send_raw(&hello);
    match raw.try_answer() {
        None => None,
        Some(Answer::Bye(reason, _)) => Some(reason),
        Some(other) => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_reload_of_a_broken_file_changes_nothing() {
    let (site, _feed) = numbered_site();
    let alice = site.enroll("alice");
    let server = site.start_server();
    let mut session = RawClient::open(&site, &alice);
    session.draw(64);
    let mark = server.mark();
    site.write_secret("clients.toml", "[[client]]\nnome = \"alice\"\n");
    server.signal(libc::SIGHUP);
    let line = server.wait_for_after(mark, "clients.toml");
    assert!(line.contains("nome"), "{line}");
    session.draw(64);
    drop(session);
    RawClient::open(&site, &alice).draw(64);
}

#[test]
fn a_new_session_of_the_same_key_replaces_the_old_one() {
    let (site, _feed) = numbered_site();
    let alice = site.enroll("alice");
    let _server = site.start_server();
    let mut old = RawClient::open(&site, &alice);
    old.draw(64);
    let mut new = RawClient::open(&site, &alice);
    new.draw(64);
    assert_eq!(old.until_bye().0, ByeReason::Replaced);
    new.draw(64);
}

#[test]
fn newcomers_wait_in_line_and_move_up() {
    let (site, _feed) = numbered_site();
    let site = site.server("max-clients = 1").server("idle-timeout = \"1 h\"");
    let [alice, bob] = ["alice", "bob"].map(|name| site.enroll(name));
    let _server = site.start_server();
    let mut first = RawClient::open(&site, &alice);
    first.draw(64);
    let mut second = RawClient::open(&site, &bob);
    second.send(Request::Bytes(64));
    let Answer::Wait(reason, _) = second.answer() else { panic!("no WAIT") };
    assert_eq!(reason, WaitReason::InLine);
    first.send(Request::Bye);
    drop(first);
    loop {
        if let Answer::Sample(_) = second.answer() {
            break;
        }
    }
}

#[test]
fn an_idle_session_makes_room_for_one_that_waits() {
    let (site, _feed) = numbered_site();
    let site = site.server("max-clients = 1").server("idle-timeout = \"200 ms\"");
    let [alice, bob] = ["alice", "bob"].map(|name| site.enroll(name));
    let _server = site.start_server();
    let mut idle = RawClient::open(&site, &alice);
    idle.draw(64);
    let mut waiting = RawClient::open(&site, &bob);
    waiting.draw(64);
    // It keeps its session, and stands at the end of the line.
    idle.send(Request::Bytes(64));
    let Answer::Wait(reason, _) = idle.answer() else { panic!("no WAIT") };
    assert_eq!(reason, WaitReason::InLine);
    while !matches!(idle.answer(), Answer::Sample(_)) {}
}

#[test]
fn clients_come_back_to_a_server_that_was_killed() {
    let (site, feed) = numbered_site();
    let names = ["alice", "bob"];
    let enrolled = names.map(|name| site.enroll(name));
    let mut server = site.start_server();
    let mut clients = enrolled.each_ref().map(|client| site.start_client(client));
    for client in &clients {
        client.wait_for_bytes(PLENTY);
    }
    server.kill();
    let _server = site.start_server();
    for client in &clients {
        client.wait_for_bytes(PLENTY);
    }
    let streams = clients.each_mut().map(|client| {
        client.terminate();
        client.stdout_at_end()
    });
    let mut ledger = ledger(&feed);
    for (name, stream) in names.iter().zip(&streams) {
        ledger.enter(name, stream).unwrap();
    }
}

#[test]
fn a_client_that_was_killed_comes_back_and_the_others_go_on() {
    let (site, feed) = numbered_site();
    let [alice, bob] = ["alice", "bob"].map(|name| site.enroll(name));
    let _server = site.start_server();
    let mut steady = site.start_client(&alice);
    let mut doomed = site.start_client(&bob);
    doomed.wait_for_bytes(PLENTY);
    doomed.kill();
    steady.wait_for_bytes(PLENTY);
    let mut reborn = site.start_client(&bob);
    reborn.wait_for_bytes(PLENTY);
    steady.wait_for_bytes(PLENTY);

    steady.terminate();
    reborn.terminate();
    let mut ledger = ledger(&feed);
    let streams: [(&str, &mut Process); 3] =
        [("alice", &mut steady), ("bob's first", &mut doomed), ("bob's second", &mut reborn)];
    for (name, process) in streams {
        ledger.enter(name, &process.stdout_at_end()).unwrap();
    }
}

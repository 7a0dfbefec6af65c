//! The original NetRNG, 0.2b1 as PyPI has it, unmodified: its client draws on the real binary, and
//! our client on its server. Needs root, strace, and what `tests/run netrng02` gets; plain `cargo
//! test` leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]

mod support;

use std::fs;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::numbered;
use support::original::{self, HEARTBEAT, RECEIVED, count};
use support::process::{Process, netrng};
use support::rngd::Rngd;
use support::site::{Site, free_port};
use support::wait;

/// rngd credits 64 bytes at a time, and tests 2,500 at a time: more than one block.
const CREDITS: usize = 60;
/// What our start-up test takes of a source.
const STARTUP: u64 = 1024;

/// A server of ours on a FIFO that speaks to the original's clients at this port.
fn our_site(port: u16, more: &str) -> Site {
    let listener = format!("protocol = \"netrng-0.2\"\naddress = \"127.0.0.1:{port}\"\n{more}");
    Site::with_fifo("source").listener(&listener)
}

/// Our client of the original's server at this port, in `dir`.
fn our_client(dir: &Path, port: u16, sink: &str) -> Process {
    let config = dir.join("client.toml");
    let text = format!(
        "mode = \"client\"\n[client]\nstatus-socket = \"none\"\n[[upstream]]\nname = \"old\"\n\
         address = \"127.0.0.1:{port}\"\nprotocol = \"netrng-0.2\"\n[sink]\n{sink}\n"
    );
    fs::write(&config, text).unwrap();
    Process::start(netrng(&["client", "-c"]).arg(config))
}

/// One run without a hole: all that was read but for the start-up test.
fn assert_in_order(bytes: &[u8], fed: u64) {
    let mut ledger = Ledger::new(Numbered { len: fed });
    ledger.enter("our client", bytes).unwrap();
    let startup = 0..STARTUP;
    assert_eq!((ledger.runs(), ledger.gaps()), (1, vec![startup]));
}

#[test]
fn the_originals_clients_and_ours_draw_from_one_server_and_no_byte_twice() {
    let port = free_port();
    let site = our_site(port, "");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let alice = site.enroll("alice");
    let mut server = site.start_server();
    let [rngd, _] = Rngd::all();
    let names = ["bin-1", "bin-2"];
    let installed = names.map(|name| original::install(&rngd, &site.path(name), true));
    let mut old = installed.each_ref().map(|(_, path)| original::start_client(port, path));
    let mut new = site.start_client(&alice);
    new.wait_for_bytes(100_000);
    for (watched, _) in &installed {
        watched.wait_for_credit(CREDITS);
    }
    for client in &mut old {
        assert_eq!(count(client, "server socket timeout"), 0);
        client.kill();
    }
    assert_eq!(new.terminate().code(), Some(0));
    assert_eq!(server.terminate().code(), Some(0));
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("alice", &new.stdout_at_end()).unwrap();
    for (name, (watched, _)) in names.iter().zip(&installed) {
        let credited = watched.credited().concat();
        println!(
            "{name}: {} bytes credited by rngd {}",
            credited.len(),
            watched.arguments().trim()
        );
        assert!(credited.len() >= CREDITS * 64);
        ledger.enter(name, &credited).unwrap();
    }
}

#[test]
fn the_originals_clients_stay_while_there_is_nothing_and_while_they_want_nothing() {
    let port = free_port();
    let site = our_site(port, "").source("stall-timeout = \"1 h\"");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    feed.give_only(STARTUP);
    let server = site.spawn_server();
    server.wait_for("listening on");
    let [rngd, _] = Rngd::all();
    // This rngd takes what an initialised kernel lets it: little.
    let (_, path) = original::install(&rngd, &site.path("bin"), false);
    let clients = [(); 3].map(|()| original::start_client(port, &path));
    let beats = |count_to: usize, what: &str| {
        let before = clients.each_ref().map(|client| count(client, HEARTBEAT));
        wait::until_true(what, || {
            let now = clients.each_ref().map(|client| count(client, HEARTBEAT));
            now.iter().zip(before).all(|(now, before)| *now >= before + count_to)
        });
    };
    beats(3, "heartbeats instead of bytes that are late");
    assert!(clients.iter().all(|client| count(client, RECEIVED) == 0));
    feed.set(Mood::Good);
    feed.give_only(1 << 30);
    // Its pipe and its queue fill, and it asks for heartbeats.
    for client in &clients {
        client.wait_for(RECEIVED);
        client.wait_for("NetRNG client: sending heartbeat message");
    }
    beats(3, "heartbeats that were asked for");
    for client in &clients {
        assert_eq!(count(client, "reconnecting") + count(client, "timeout"), 0);
        assert_eq!(count(client, "NetRNG client: connected to"), 1);
    }
    assert_eq!(count(&server, "client netrng-0.2 127.0.0.1 connected"), clients.len());
    assert_eq!(count(&server, "client netrng-0.2 127.0.0.1 at"), 0, "nobody left");
}

#[test]
fn on_a_source_that_fails_or_is_slow_none_of_them_is_dropped() {
    const CLIENTS: usize = 8;
    let port = free_port();
    let site = our_site(port, "");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    let [rngd, _] = Rngd::all();
    let (_, path) = original::install(&rngd, &site.path("bin"), false);
    feed.taken_at_rest();
    feed.set(Mood::Stuck(7));
    let clients: Vec<_> = (0..CLIENTS).map(|_| original::start_client(port, &path)).collect();
    server.wait_for("failed (");
    for client in &clients {
        client.wait_for(HEARTBEAT);
    }
    let mark = server.mark();
    // Back, at a rate at which the original's server would drop all but one.
    feed.set_pace(4_000);
    feed.set(Mood::Good);
    server.wait_for_after(mark, "passed its start-up test");
    let samples = || clients.iter().map(|client| count(client, RECEIVED)).min().unwrap();
    let before = samples();
    wait::until_true("bytes for each of them", || samples() >= before + 3);
    for client in &clients {
        assert_eq!(count(client, "reconnecting") + count(client, "timeout"), 0);
        assert_eq!(count(client, "NetRNG client: connected to"), 1);
    }
    assert_eq!(count(&server, "client netrng-0.2 127.0.0.1 connected"), CLIENTS);
}

#[test]
fn our_client_draws_from_the_originals_server_in_order_and_comes_back_when_that_does() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let source = dir.path().join("source");
    let feed = Feed::new(&source, Mood::Good);
    let mut server = original::start_server(port, &source, 2);
    let mut client = our_client(dir.path(), port, "type = \"stdout\"");
    client.wait_for("old: gives bytes");
    client.wait_for_bytes(300_000);
    server.kill();
    // Closed or reset, as it happens.
    client.wait_for("; next attempt in");
    let first = client.stdout_len();
    let server = original::start_server(port, &source, 2);
    client.wait_for("old: gives bytes again");
    client.wait_for_bytes(100_000);
    assert_eq!(client.terminate().code(), Some(0));
    let all = client.stdout_at_end();
    // Sent and not yet written out when the first server went: less than a sample or two.
    let (before, after) = all.split_at(first.min(290_000));
    assert_in_order(before, feed.fed());
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    ledger.enter("before", before).unwrap();
    ledger.enter("after", after).unwrap();
    assert!(ledger.runs() <= 3, "{} runs", ledger.runs());
    assert_eq!(count(&server, "Traceback"), 0);
    println!("{} bytes from two lives of the original's server", all.len());
}

#[test]
fn our_client_leaves_while_its_sink_is_full_and_goes_on_where_it_was() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let source = dir.path().join("source");
    let feed = Feed::new(&source, Mood::Good);
    let server = original::start_server(port, &source, 2);
    let fifo = dir.path().join("fifo");
    let client = our_client(dir.path(), port, &format!("type = \"fifo\"\npath = {fifo:?}"));
    client.wait_for("will draw from old");
    wait::until_true("the pipe", || fifo.exists());
    let mut reader = File::open(&fifo).unwrap();
    let mut bytes = vec![0; 10_000];
    reader.read_exact(&mut bytes).unwrap();
    // Its pipe fills, and it asks no more.
    server.wait_for("NetRNG server: client socket timeout");
    assert_eq!(count(&server, "NetRNG server: client connected"), 1);
    let mark = bytes.len();
    bytes.resize(mark + 200_000, 0);
    reader.read_exact(&mut bytes[mark..]).unwrap();
    assert_eq!(count(&server, "NetRNG server: client connected"), 2);
    assert_in_order(&bytes, feed.fed());
    assert_eq!(count(&client, "next attempt"), 0, "that is no failure");
    assert_eq!(count(&server, "Traceback"), 0);
}

#[test]
fn the_end_of_the_originals_source_is_told_in_a_sentence() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let source: PathBuf = dir.path().join("source");
    let bytes: Vec<u8> = (0..8192 / numbered::WORD).flat_map(numbered::word).collect();
    fs::write(&source, bytes).unwrap();
    let _server = original::start_server(port, &source, 2);
    let mut client = our_client(dir.path(), port, "type = \"stdout\"");
    client.wait_for("old: the server's source has ended: it sends samples without bytes");
    assert_eq!(client.terminate().code(), Some(0));
    assert_in_order(&client.stdout_at_end(), 8192);
}

//! What a server tells of itself, beside what the test's own clients know: guests' offers and
//! greetings, shares, places and promises.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::{Answer, Request, WaitReason};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use support::feed::{Feed, Mood};
use support::process::{Process, finish, netrng};
use support::puller::Habit;
use support::raw::RawClient;
use support::scene::{PLAIN, Scene};
use support::site::{Site, free_port};
use support::wait;

const EGD: &str = "protocol = \"egd\"\npath = \"egd.sock\"";

fn status(site: &Site, face: &str) -> String {
    let mut command = netrng(&["status", face, "--socket"]);
    finish(command.arg(site.path("server.sock"))).success()
}

/// Samples by name and labels, without `netrng_`.
fn figures(site: &Site) -> BTreeMap<String, String> {
    let text = status(site, "--prometheus");
    let samples = text.lines().filter_map(|line| line.strip_prefix("netrng_")?.rsplit_once(' '));
    samples.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn number(site: &Site, name: &str) -> u64 {
    let figures = figures(site);
    let value = figures.get(name).unwrap_or_else(|| panic!("no {name} in {figures:?}"));
    value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
}

/// These of the server's figures.
#[track_caller]
fn assert_server(site: &Site, expected: &[(&str, u64)]) {
    let found = figures(site);
    for (name, value) in expected {
        let found = &found[&format!("server_{name}")];
        assert_eq!(*found, value.to_string(), "{name}");
    }
}

/// A guest at the site's EGD socket.
fn guest(site: &Site) -> UnixStream {
    let guest = UnixStream::connect(site.path("egd.sock")).unwrap();
    guest.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    guest
}

fn ask(guest: &mut UnixStream, request: &[u8], len: usize) -> Vec<u8> {
    guest.write_all(request).unwrap();
    let mut answer = vec![0; len];
    guest.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn what_guests_offer_is_counted_and_nobody_gets_it() {
    let port = free_port();
    let site = Site::with_fifo("source")
        .listener(EGD)
        .listener(&format!("protocol = \"egd\"\naddress = \"127.0.0.1:{port}\""));
    let _feed = Feed::new(&site.path("source"), Mood::Good);
    let _server = site.start_server();
    let offer = |len: u8| [&[3, 0, 8, len][..], &vec![0xA5; len.into()]].concat();
    let (mut one, mut other) = (guest(&site), guest(&site));
    for len in [255, 0, 1] {
        one.write_all(&offer(len)).unwrap();
    }
    // The answer to the next question tells that all before it was heard.
    let drawn =
        [ask(&mut one, &[2, 64], 64), ask(&mut other, &[&offer(44)[..], &[2, 16]].concat(), 16)];
    assert_server(
        &site,
        &[("offered_bytes_total", 300), ("given_bytes_total", 80), ("given_samples_total", 2)],
    );
    assert!(!drawn.concat().windows(8).any(|bytes| bytes == [0xA5; 8]), "{drawn:?}");
    // Half of one is none yet.
    one.write_all(&offer(9)[..12]).unwrap();
    ask(&mut other, &[2, 16], 16);
    assert_server(&site, &[("offered_bytes_total", 300)]);
    one.write_all(&[0xA5]).unwrap();
    ask(&mut one, &[2, 16], 16);
    assert_server(&site, &[("offered_bytes_total", 309)]);
}

#[test]
fn a_greeting_waits_for_the_source_and_all_else_waits_for_it() {
    let site = Site::with_fifo("source").listener(&format!("{EGD}\ngreet = 64"));
    let feed = Feed::new(&site.path("source"), Mood::Silent);
    let server = site.spawn_server();
    server.wait_for("(status)");
    let mut guest = guest(&site);
    // Its question is heard after the greeting: the answer could not be told from that.
    guest.write_all(&[1, 1, 2, 8, 4]).unwrap();
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    let of_guest = |name: &str| format!("client_{name}{{client=\"egd uid {uid}\"}}");
    wait::until_true("the guest has a place", || {
        figures(&site).contains_key(&of_guest("wanted_bytes"))
    });
    assert_eq!(number(&site, &of_guest("wanted_bytes")), 64);
    assert_server(&site, &[("places", 1), ("ready", 0), ("given_bytes_total", 0)]);
    guest.set_nonblocking(true).unwrap();
    assert!(guest.read(&mut [0; 1]).is_err(), "an answer before the source had given anything");
    guest.set_nonblocking(false).unwrap();
    feed.set(Mood::Good);
    let greeting = ask(&mut guest, &[], 64);
    assert_ne!(greeting, [0; 64]);
    let count = ask(&mut guest, &[], 1)[0];
    assert!(count <= 1, "as many as there are to spare: {count}");
    let pid = server.pid().to_string();
    let rest = ask(&mut guest, &[], usize::from(count) + 8 + 1 + pid.len());
    assert_eq!(rest[usize::from(count) + 9..], *pid.as_bytes());
    assert_eq!(number(&site, &of_guest("given_bytes_total")), 64 + 8 + u64::from(count));
    assert_eq!(number(&site, &of_guest("wanted_bytes")), 0);
}

/// A client's figure in the JSON.
fn of_client(json: &str, client: &str, name: &str) -> String {
    let (_, row) = json.split_once(&format!("\"name\":\"{client}\"")).unwrap();
    let row = row.split("\"name\":").next().unwrap();
    let (_, value) = row.split_once(&format!("\"{name}\":")).unwrap();
    value.split([',', '}']).next().unwrap().to_owned()
}

#[test]
fn each_clients_share_is_its_part_of_all() {
    let site = Site::new("/dev/urandom").listener(EGD);
    let (alice, bob) = (site.enroll("alice"), site.enroll("bob"));
    let _server = site.start_server();
    let mut sessions = [RawClient::open(&site, &alice), RawClient::open(&site, &bob)];
    let shares = || {
        let json = status(&site, "--json");
        ["alice", "bob"].map(|client| of_client(&json, client, "share"))
    };
    assert_eq!(shares(), ["0", "0"]);
    for (client, count) in [(0, 2000), (0, 1000), (1, 1000)] {
        assert_eq!(sessions[client].draw(count).len(), count as usize);
    }
    assert_eq!(shares(), ["0.750", "0.250"]);
    // A guest's part is one of all as well.
    let mut guest = guest(&site);
    for _ in 0..16 {
        ask(&mut guest, &[2, 250], 250);
    }
    assert_eq!(shares(), ["0.375", "0.125"]);
}

/// A server with one place, and three clients.
fn one_place(idle_timeout: &str) -> (Site, Process, [RawClient; 3]) {
    let site = Site::new("/dev/urandom")
        .server("max-clients = 1")
        .server("max-waiting = 7")
        .server(&format!("idle-timeout = \"{idle_timeout}\""));
    let clients = ["ann", "ben", "cleo"].map(|name| site.enroll(name));
    let server = site.start_server();
    let sessions = clients.map(|client| RawClient::open(&site, &client));
    (site, server, sessions)
}

fn state(site: &Site, client: &str) -> String {
    of_client(&status(site, "--json"), client, "state")
}

#[test]
fn places_and_the_line_are_told() {
    let (site, _server, [mut ann, mut ben, mut cleo]) = one_place("1 h");
    ann.draw(64);
    for raw in [&mut ben, &mut cleo] {
        raw.send(Request::Bytes(64));
        assert!(matches!(raw.answer(), Answer::Wait(WaitReason::InLine, _)));
    }
    let knocking = support::raw::connect(&site);
    wait::until_true("a stranger", || number(&site, "server_handshaking") == 1);
    assert_server(
        &site,
        &[
            ("places", 1),
            ("places_max", 1),
            ("waiting", 2),
            ("waiting_max", 7),
            ("parked", 0),
            ("places_given_up_total", 0),
            ("clients_known", 3),
            ("clients_connected", 3),
        ],
    );
    drop((knocking, cleo));
    wait::until_true("both are gone", || {
        number(&site, "server_waiting") == 1 && number(&site, "server_handshaking") == 0
    });
    assert_eq!(
        ["ann", "ben", "cleo"].map(|client| state(&site, client)),
        ["\"served\"", "\"in-line\"", "\"absent\""]
    );
    assert_server(&site, &[("clients_known", 3), ("clients_connected", 2)]);
}

#[test]
fn idle_sessions_that_gave_their_place_up_are_told() {
    let (site, _server, [mut ann, mut ben, cleo]) = one_place("100 ms");
    drop(cleo);
    ann.draw(64);
    // She has the only place until she has been idle for long enough.
    ben.draw(64);
    assert_server(&site, &[("places", 1), ("waiting", 0), ("parked", 1)]);
    assert_eq!(["ann", "ben"].map(|client| state(&site, client)), ["\"parked\"", "\"served\""]);
    let before = number(&site, "server_places_given_up_total");
    ann.draw(64);
    assert_server(
        &site,
        &[("places", 1), ("waiting", 0), ("parked", 1), ("places_given_up_total", before + 1)],
    );
    assert_eq!(["ann", "ben"].map(|client| state(&site, client)), ["\"served\"", "\"parked\""]);
}

#[test]
fn a_promise_that_is_not_kept_is_told() {
    let rules: [&[&str]; 3] = [&["guarantee = \"12 kB/s\""], &["guarantee = \"6 kB/s\""], PLAIN];
    let scene = Scene::with(|site| site.source("sample-size = 512"), 40_000, &rules);
    assert_server(&scene.site, &[("guarantees_kept", 1), ("promised_bytes_per_second", 0)]);
    let pullers = scene.pull(&[Habit::STEADY; 3]);
    scene.wait_for_given(&pullers, 60_000);
    let kept = [("guarantees_kept", 1), ("promised_bytes_per_second", 18_000)];
    assert_server(&scene.site, &kept);
    let capacity = number(&scene.site, "source_capacity_bytes_per_second");
    assert!((34_000..46_000).contains(&capacity), "{capacity} of 40,000");
    let most = number(&scene.site, "server_promisable_bytes_per_second");
    assert!(most.abs_diff(capacity * 9 / 10) < 5_000, "nine tenths of {capacity} are {most}");

    let mark = scene.server.mark();
    scene.feed.set_pace(9_000);
    scene.server.wait_for_after(mark, "shares shrink in proportion");
    let broken = [("guarantees_kept", 0), ("promised_bytes_per_second", 18_000)];
    assert_server(&scene.site, &broken);
    assert!(number(&scene.site, "source_capacity_bytes_per_second") < 18_000);

    let mark = scene.server.mark();
    scene.feed.set_pace(40_000);
    scene.server.wait_for_after(mark, "all guarantees are kept again");
    assert_server(&scene.site, &kept);

    // What a source in failure gives keeps no promise.
    scene.feed.set(Mood::Stuck(0));
    wait::until_true("the failure is told", || number(&scene.site, "source_up") == 0);
    assert_server(&scene.site, &broken);
    drop(pullers);
}

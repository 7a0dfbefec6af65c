//! EGD against the real binary, by hand: every command to the byte, fair shares, what is spare,
//! and guests that mean no good.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use netrng::wire::{Answer, Request};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use support::deal::Deal;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::puller::Habit;
use support::raw::RawClient;
use support::scene::{PLAIN, Scene};
use support::site::{Site, free_port};
use support::wait;

/// Larger than what sockets hold of questions and answers.
const CROWD: usize = 1 << 20;

fn ask(socket: &mut (impl Read + Write), request: &[u8], len: usize) -> Vec<u8> {
    socket.write_all(request).unwrap();
    let mut answer = vec![0; len];
    socket.read_exact(&mut answer).unwrap();
    answer
}

/// A guest at a unix socket of the site.
fn guest(socket: &Path) -> UnixStream {
    let guest = UnixStream::connect(socket).unwrap();
    guest.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    guest.set_write_timeout(Some(wait::PATIENCE)).unwrap();
    guest
}

/// Whether the server closes the connection without another word.
fn is_turned_away(mut guest: UnixStream) -> bool {
    matches!(guest.read(&mut [0; 1]), Ok(0) | Err(_))
}

const UNIX: &str = "protocol = \"egd\"\npath = \"egd.sock\"";

#[test]
fn each_command_is_answered_to_the_byte() {
    let port = free_port();
    let site = Site::with_fifo("source")
        .listener(&format!("protocol = \"egd\"\naddress = \"127.0.0.1:{port}\""))
        .listener(&format!("{UNIX}\nmode = \"0600\"\ngreet = 64"));
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    feed.taken_at_rest();
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let first = ask(&mut tcp, &[2, 255], 255);
    let level = ask(&mut tcp, &[0], 4);
    assert!(u32::from_be_bytes(level.try_into().unwrap()) >= 2048 * 8, "a stock of 16 samples");
    let pid = server.pid().to_string();
    let answer = ask(&mut tcp, &[4], 1 + pid.len());
    assert_eq!((usize::from(answer[0]), &answer[1..]), (pid.len(), pid.as_bytes()));
    // What it writes is dropped, and what follows is heard.
    let spare = ask(&mut tcp, &[3, 0, 8, 1, 77, 1, 255], 256);
    assert_eq!(spare[0], 255, "all that was asked: nobody waits");
    // Many at once are answered in their order: one, none, nothing, level, one.
    let many = ask(&mut tcp, &[1, 1, 1, 0, 2, 0, 0, 1, 1], 2 + 1 + 4 + 2);
    assert_eq!((many[0], many[2], many[7]), (1, 0, 1), "{many:?}");
    // A command in two pieces.
    tcp.write_all(&[2]).unwrap();
    let second = ask(&mut tcp, &[9], 9);
    let mut unix = guest(&site.path("egd.sock"));
    let greeting = ask(&mut unix, &[], 64);
    let third = ask(&mut unix, &[2, 64], 64);
    // An unknown command ends it.
    tcp.write_all(&[5]).unwrap();
    assert_eq!(tcp.read(&mut [0; 1]).unwrap(), 0);
    server.wait_for("bad-message");
    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    let spare = spare[1..].to_vec();
    let all = [("first", first), ("spare", spare), ("second", second), ("unix", greeting)];
    for (owner, bytes) in all.into_iter().chain([("third", third)]) {
        ledger.enter(owner, &bytes).unwrap();
    }
}

/// How a guest asks: so many bytes, so many times at once, and whether on a new connection each time.
type Manner = (u8, usize, bool);

/// A guest that keeps every answer until the server is gone.
fn pull(socket: &Path, (count, times, reconnects): Manner) -> Vec<Vec<u8>> {
    let (request, len) = ([2, count].repeat(times), usize::from(count));
    let (mut hand, mut answer) = (Vec::new(), vec![0; len * times]);
    let mut connection = guest(socket);
    while connection.write_all(&request).is_ok() && connection.read_exact(&mut answer).is_ok() {
        hand.extend(answer.chunks(len).map(<[u8]>::to_vec));
        if reconnects {
            let Ok(next) = UnixStream::connect(socket) else { break };
            connection = next;
        }
    }
    hand
}

/// Guests against one native client that always wants bytes; what each got, the client first.
fn share(rule: &str, guests: &[Manner]) -> Vec<u64> {
    let change = |site: Site| site.listener(&format!("{UNIX}\n{rule}"));
    let mut scene = Scene::with(change, 100_000, &[PLAIN]);
    let pullers = scene.pull(&[Habit::STEADY]);
    let path = scene.site.path("egd.sock");
    let threads = guests.iter().map(|&manner| {
        let path = path.clone();
        thread::spawn(move || pull(&path, manner))
    });
    let threads: Vec<_> = threads.collect();
    scene.wait_for_given(&pullers, 250 * 1024);
    assert_eq!(scene.server.terminate().code(), Some(0));
    let book = Numbered { len: scene.feed.fed() };
    let mut hands: Vec<_> = pullers.into_iter().map(|puller| puller.finish()).collect();
    let of_guests = threads.into_iter().flat_map(|thread| thread.join().unwrap());
    hands.push(of_guests.collect());
    let deal = Deal::new(&book, &hands);
    let mut window = deal.window();
    // The stock that lay ready goes to whoever asks faster.
    window.start += 32 * 1024;
    deal.shares(&window)
}

fn assert_ratio(shares: &[u64], due: f64) {
    #[allow(clippy::cast_precision_loss, reason = "a few megabytes")]
    let ratio = shares[1] as f64 / shares[0] as f64;
    assert!((ratio / due - 1.0).abs() < 0.07, "{shares:?}: {ratio:.3} where {due} is due");
}

#[test]
fn a_guest_and_a_client_with_a_key_are_equals() {
    // As QEMU asks, and one after the other.
    assert_ratio(&share("", &[(64, 4, false)]), 1.0);
}

#[test]
fn many_connections_of_one_guest_are_one_and_coming_again_gains_nothing() {
    let one = (255, 1, false);
    assert_ratio(&share("", &[one, one, one, (255, 2, true)]), 1.0);
}

#[test]
fn a_guests_weight_and_limit_hold() {
    let heavy = share("weight = 3", &[(255, 6, false)]);
    assert_ratio(&heavy, 3.0);
    // 100,000 a second, of which it may have 10,000.
    let limited = share("limit = \"10000 B/s\"", &[(255, 1, false)]);
    assert_ratio(&limited, 10.0 / 90.0);
}

#[test]
fn what_is_waited_for_is_not_to_spare() {
    let scene = Scene::with(|site| site.listener(UNIX), 4_000, &[PLAIN]);
    let mut hungry = scene.open(0);
    hungry.send(Request::Bytes(64 * 1024));
    hungry.send(Request::Ping(1));
    // It waits for bytes from here on: the stock is less than that.
    while !matches!(hungry.answer(), Answer::Pong(1)) {}
    let mut guest = guest(&scene.site.path("egd.sock"));
    assert_eq!(ask(&mut guest, &[0], 4), [0; 4], "there is nothing that nobody waits for");
    assert_eq!(ask(&mut guest, &[1, 255], 1), [0]);
    drop(hungry);
    wait::until_true("something to spare", || {
        let count = ask(&mut guest, &[1, 255], 1)[0];
        ask(&mut guest, &[], count.into());
        count > 0
    });
}

#[test]
fn a_source_that_gives_nothing_keeps_nobody_from_asking() {
    let site = Site::with_fifo("source").listener(UNIX);
    let feed = Feed::new(&site.path("source"), Mood::Silent);
    let server = site.spawn_server();
    server.wait_for("listening on");
    wait::until_true("the socket", || UnixStream::connect(site.path("egd.sock")).is_ok());
    let mut polite = guest(&site.path("egd.sock"));
    assert_eq!(ask(&mut polite, &[1, 255, 0], 5), [0; 5]);
    // Whoever can wait does, until there is something.
    let mut patient = guest(&site.path("egd.sock"));
    patient.write_all(&[2, 64]).unwrap();
    assert_eq!(ask(&mut polite, &[0], 4), [0; 4]);
    feed.set(Mood::Good);
    assert_eq!(ask(&mut patient, &[], 64).len(), 64);
}

#[test]
fn a_guest_that_pipelines_and_does_not_read_is_bounded() {
    let site = Site::with_fifo("source").server("write-timeout = \"1 s\"").listener(UNIX);
    let _feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    let path = site.path("egd.sock");
    // Each answer is longer than its question, or costs a look into the stock.
    for (request, reason) in
        [(&[2, 255][..], "write-timeout"), (&[4], "flood"), (&[0], "flood"), (&[2, 0], "flood")]
    {
        let mark = server.mark();
        let mut rude = guest(&path);
        let _ = rude.write_all(&request.repeat(CROWD / request.len()));
        server.wait_for_after(mark, reason);
        // Others do not notice.
        assert_eq!(ask(&mut guest(&path), &[2, 64], 64).len(), 64);
    }
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
    let peak: u32 = peak.unwrap().parse().unwrap();
    assert!(peak < 32 << 10, "{peak} KiB of memory");
}

#[test]
fn a_hundred_come_at_once_and_one_more_is_told_by_the_log() {
    let site = Site::with_fifo("source").listener(UNIX);
    let _feed = Feed::new(&site.path("source"), Mood::Good);
    let server = site.start_server();
    let path = site.path("egd.sock");
    let mut guests: Vec<_> = (0..100).map(|_| guest(&path)).collect();
    for guest in &mut guests {
        assert_eq!(ask(guest, &[2, 64], 64).len(), 64);
    }
    assert!(is_turned_away(guest(&path)));
    server.wait_for("has 100 sessions already, one more is refused; for more raise max-sessions");
    // A place that becomes free is given again, to the next who comes.
    guests.pop().unwrap().shutdown(Shutdown::Both).unwrap();
    wait::until_true("a place", || {
        let mut next = guest(&path);
        next.write_all(&[2, 8]).is_ok() && next.read_exact(&mut [0; 8]).is_ok()
    });
}

#[test]
fn guests_never_keep_a_client_with_a_key_out() {
    let site = Site::with_fifo("source")
        .server("max-clients = 4")
        .server("max-waiting = 2")
        .server("idle-timeout = \"1 h\"")
        .listener(UNIX);
    // Enough for the start, and then nothing: every guest waits for bytes.
    let feed = Feed::new(&site.path("source"), Mood::Good);
    let alice = site.enroll("alice");
    let mut server = site.start_server();
    let taken = feed.taken_at_rest();
    let path = site.path("egd.sock");
    let mut guests: Vec<_> = (0..6).map(|_| guest(&path)).collect();
    for guest in &mut guests[..4] {
        ask(guest, &[2, 255], 255);
    }
    // Four are served and two wait: there is no room for a seventh.
    assert!(is_turned_away(guest(&path)));
    let mut client = RawClient::open(&site, &alice);
    assert_eq!(client.draw(64).len(), 64);
    assert!(feed.taken_at_rest() >= taken);
    server.wait_for("full");
    // Nobody of them holds up the end, which they cannot be told.
    drop(client);
    let watch = wait::Stopwatch::start();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(watch.elapsed() < std::time::Duration::from_secs(2), "the whole drain time");
    for guest in guests {
        assert!(is_turned_away(guest));
    }
}

#[test]
fn guests_stay_when_the_files_are_read_again() {
    let scene = Scene::with(|site| site.listener(UNIX), 100_000, &[PLAIN]);
    let mut guest = guest(&scene.site.path("egd.sock"));
    ask(&mut guest, &[2, 64], 64);
    scene.reload();
    assert_eq!(ask(&mut guest, &[2, 64], 64).len(), 64);
}

//! What strangers and bad neighbours cost those that draw: next to nothing. Runs by name, one
//! test at a time, as a flood beside another test would be felt there.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::cast_precision_loss, reason = "a few megabytes")]

mod support;

use netrng::wire::Request;
use socket2::{Domain, SockRef, Socket, Type};
use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use support::deal::Deal;
use support::ledger::Numbered;
use support::process::limit_descriptors;
use support::puller::{Habit, Puller};
use support::raw::RawClient;
use support::scene::{PLAIN, Scene};
use support::wait::{self, Stopwatch};

const SAMPLE: u64 = 2048;
/// The flood's address; clients come from another.
const FLOOD_FROM: &str = "127.0.0.2:0";

/// Makes connections from [`FLOOD_FROM`] while it is on, a thousand a second.
struct Flood {
    on: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    const PER_SECOND: u32 = 1000;
    /// Connections it keeps open: more than one address may have in handshake.
    const OPEN: usize = 100;

    fn new(target: &str) -> Self {
        let target: SocketAddr = target.parse().unwrap();
        let (on, stop, made) = <(Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let thread = thread::spawn({
            let (on, stop, made) = (Arc::clone(&on), Arc::clone(&stop), Arc::clone(&made));
            move || {
                let mut open = VecDeque::new();
                let clock = Stopwatch::start();
                let mut due = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    if !on.load(Ordering::Relaxed) {
                        open.clear();
                        wait::pause(Duration::from_millis(1));
                        continue;
                    }
                    let behind = clock.elapsed().saturating_sub(Duration::from_millis(20));
                    due = (due + Duration::from_secs(1) / Self::PER_SECOND).max(behind);
                    wait::pause(due.saturating_sub(clock.elapsed()));
                    if let Some(socket) = knock(target) {
                        made.fetch_add(1, Ordering::Relaxed);
                        open.push_back(socket);
                    }
                    if open.len() > Self::OPEN {
                        open.pop_front();
                    }
                }
            }
        });
        Flood { on, stop, made, thread: Some(thread) }
    }

    fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(thread::JoinHandle::join);
    }
}

/// A connection that says what looks like a hello, and costs a handshake to find out.
fn knock(target: SocketAddr) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&FLOOD_FROM.parse::<SocketAddr>().unwrap().into()).ok()?;
    socket.connect_timeout(&target.into(), Duration::from_millis(100)).ok()?;
    let mut hello = vec![0, 96];
    hello.extend((0..96).map(|at| support::numbered::byte_at(1 << 40 | at)));
    let _ = (&socket).write(&hello);
    Some(socket)
}

#[test]
fn a_flood_from_one_address_leaves_clients_their_rate() {
    const ROUNDS: u32 = 3;
    const PHASE: Duration = Duration::from_secs(2);
    // As it runs in service: a line for each stranger would be a flood of its own.
    let quiet = |command: &mut std::process::Command| {
        command.env("RUST_LOG", "netrng=info");
    };
    let scene = Scene::with_command(
        |site| site.server("handshakes-per-s-per-address = 20"),
        quiet,
        200_000,
        &[PLAIN; 3],
    );
    let pullers = scene.pull(&[Habit::STEADY; 2]);
    scene.wait_for_given(&pullers, 20 * SAMPLE);
    let flood = Flood::new(&scene.site.address);
    let given = || pullers.iter().map(Puller::bytes).sum::<u64>();
    let rate_over = |span: Duration| {
        let (before, clock) = (given(), Stopwatch::start());
        wait::pause(span);
        (given() - before) as f64 / clock.elapsed().as_secs_f64()
    };
    let mark = scene.server.mark();
    let (mut calm, mut flooded) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        calm += rate_over(PHASE);
        flood.set(true);
        flooded += rate_over(PHASE);
        // Another address is let in all the same.
        RawClient::open(&scene.site, &scene.clients[2]).draw(64);
        flood.set(false);
    }
    let lines = scene.server.mark() - mark;
    let per_second = flood.made() as f64 / (PHASE * ROUNDS).as_secs_f64();
    let ratio = flooded / calm;
    println!(
        "{per_second:.0} connections/s; {:.0} bytes/s calm, {:.1} % of it in the flood; {lines} lines",
        calm / f64::from(ROUNDS),
        ratio * 100.0
    );
    assert!(per_second >= 700.0, "that was no flood: {per_second} connections/s");
    assert!(ratio >= 0.95, "the flood took {:.1} %", (1.0 - ratio) * 100.0);
    assert!(lines <= 20, "{lines} lines in the log");
    drop(scene.end(pullers));
}

/// Whether a newcomer and the order to stop arrive together is chance: many short lives.
#[test]
fn it_stops_in_order_while_connections_pour_in() {
    const LIVES: usize = 40;
    let site = support::site::Site::new("/dev/urandom");
    for life in 0..LIVES {
        let mut server = site.start_server();
        let stop = Arc::new(AtomicBool::new(false));
        let target: SocketAddr = site.address.parse().unwrap();
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    drop(knock(target));
                }
            }
        });
        server.wait_for("127.0.0.2");
        assert_eq!(server.terminate().code(), Some(0), "life {life}");
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }
}

#[test]
fn without_descriptors_it_neither_spins_nor_dies_and_accepts_again_afterwards() {
    const MOST: u64 = 40;
    const PHASE: Duration = Duration::from_secs(4);
    // Strangers may stay, so that it is the descriptors that run out.
    let patient = |site: support::site::Site| {
        site.server("max-handshakes = 1000")
            .server("max-handshakes-per-address = 1000")
            .server("handshake-timeout = \"1 h\"")
    };
    let limited = |command: &mut std::process::Command| limit_descriptors(command, MOST);
    let mut scene = Scene::with_command(patient, limited, 20_000, &[PLAIN; 2]);
    let puller = Puller::start(scene.open(0), Habit::STEADY);
    scene.wait_for_given([&puller], SAMPLE);
    let calm = {
        let before = scene.server.cpu_time();
        wait::pause(PHASE);
        scene.server.cpu_time() - before
    };

    let mark = scene.server.mark();
    let crowd: Vec<TcpStream> = (0..2 * MOST).map(|_| support::raw::connect(&scene.site)).collect();
    scene.server.wait_for_after(mark, "cannot accept connections");
    let (bytes, cpu) = (puller.bytes(), scene.server.cpu_time());
    wait::pause(PHASE);
    let cpu = scene.server.cpu_time() - cpu;
    let bytes = puller.bytes() - bytes;
    let log = scene.server.log_text();
    let lines = log.lines().skip(mark).filter(|line| line.contains("cannot accept")).count();
    println!("{cpu:?} of {PHASE:?}, {calm:?} before; {bytes} bytes meanwhile, {lines} warnings");
    assert!(scene.server.try_wait().is_none(), "it died");
    assert!(cpu < PHASE / 5, "it spins: {cpu:?} of {PHASE:?}");
    assert!(bytes >= 4 * SAMPLE, "the session got {bytes} bytes");
    // One a second.
    assert!(lines <= 6, "{lines} warnings");

    drop(crowd);
    RawClient::open_in_the_end(&scene.site, &scene.clients[1]).draw(64);
    scene.wait_for_given([&puller], SAMPLE);
    drop(scene.end([puller]));
}

#[test]
fn whoever_does_not_read_is_dropped_and_the_others_do_not_notice() {
    let impatient = |site: support::site::Site| site.server("write-timeout = \"1 s\"");
    let scene = Scene::with(impatient, 1_500_000, &[PLAIN; 2]);
    let mut deaf = scene.open(0);
    SockRef::from(&deaf.stream).set_recv_buffer_size(4096).unwrap();
    let puller = Puller::start(scene.open(1), Habit::STEADY);
    scene.wait_for_given([&puller], SAMPLE);
    let start = scene.position();
    let begun = scene.server.mark();
    wait::until_true("the server gives up", || {
        let request = deaf.sealed(Request::Bytes(u32::MAX));
        wait::pause(Duration::from_millis(10));
        deaf.stream.write_all(&request).is_err()
    });
    let line = scene.server.wait_for_after(begun, "write-timeout");
    assert!(line.contains("client-0"), "{line}");
    let dropped = scene.position();
    scene.wait_for_given([&puller], 100 * SAMPLE);
    let len = scene.feed.fed();
    let book = Numbered { len: len + 1_000_000 };
    let mut scene = scene;
    assert_eq!(scene.server.terminate().code(), Some(0));
    let deal = Deal::new(&book, &[puller.finish()]);

    // What lies between two answers went to the one that does not read.
    let before = deal.longest_wait(&(start..dropped));
    let after = deal.longest_wait(&(dropped..deal.end()));
    println!("{before} bytes between two answers while it was there, {after} after; {line}");
    assert!(before <= SAMPLE, "the other one had to wait: {before} bytes");
    assert_eq!(after, 0, "bytes went to a session that was dropped");
}

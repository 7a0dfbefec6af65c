//! Ten thousand sessions: what each costs in memory, and what happens when all come back at
//! once.
//!
//!     cargo bench --bench sessions [-- --quick] [--sessions COUNT] [--binary FILE]
//!
//! Resident memory of the server idle, with 1,000 and with 10,000 encrypted sessions that
//! were served once and rest. Then the storm: all of these die in one instant and connect
//! again in the next, from one address and without any backoff, while 50 others draw 20 kB/s
//! each as they did before. All must be served, and those 50 must miss nothing.
#![allow(clippy::print_stdout, reason = "what a bench finds is printed")]

mod rig;

use rig::load::{Plan, SAMPLE, Then};
use rig::{Load, Options, Server, Site};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

/// Clients that draw all the time, and what each gets, bytes per second.
const STAYERS: u32 = 50;
const STAYER_BYTES_PER_S: u32 = 20_000;
/// What they must get of that through the storm.
const KEPT_MIN: f64 = 0.95;
/// Clients whose sessions the memory is measured with: 1,000 each at most.
const MEMORY_KEYS: u32 = 20;
/// Descriptors beside those of the sessions.
const SPARE: u64 = 200;

fn main() -> ExitCode {
    if rig::run_part() {
        return ExitCode::SUCCESS;
    }
    let options = Options::from_args();
    let asked = options.value("--sessions").map(|text| text.parse().expect("a count"));
    let wanted = asked.unwrap_or(if options.quick { 1_000 } else { 10_000 });
    let most = rig::descriptors_max().saturating_sub(SPARE + u64::from(STAYERS));
    let count = wanted.min(u32::try_from(most).unwrap_or(u32::MAX));
    if count < wanted {
        println!("only {count} sessions: the machine allows no more descriptors");
    }

    let server = Server::netrng(&options.binary, &site(MEMORY_KEYS, 0));
    let idle = server.process.rss_kib();
    println!("resident, idle:                      {idle:>7} KiB");
    for count in [count.min(1_000), count] {
        memory(&server, idle, count);
    }
    let server = Server::netrng(&options.binary, &site(STAYERS + count, STAYERS));
    let idle = server.process.rss_kib();
    println!("resident, idle, {:>6} clients known: {idle:>7} KiB", STAYERS + count);
    let holds = storm(&server, count);
    println!("{}", if holds { "holds" } else { "DOES NOT HOLD" });
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn site(clients: u32, limited: u32) -> Site {
    let source = "/dev/zero".to_owned();
    Site { source, clients, limited, limit_bytes_per_s: STAYER_BYTES_PER_S }
}

/// Sessions that are served one sample and rest.
fn crowd(server: &Server, first: u32, count: u32, keys: u32, connecting_max: usize) -> Load {
    Load::arm(&Plan {
        address: server.address,
        server_key: server.key,
        first,
        count,
        keys,
        window: SAMPLE,
        connecting_max,
        then: Then::Rest,
    })
}

/// Prints the server's memory with `count` sessions that rest. They share a few keys, so that
/// what is measured is not the clients file: reading a large one leaves free memory behind.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn memory(server: &Server, idle_kib: u64, count: u32) {
    let mut load = crowd(server, 0, count, MEMORY_KEYS, 64);
    let span = load.go();
    load.begin();
    let rss = server.process.rss_kib();
    let each = rss.saturating_sub(idle_kib) as f64 / f64::from(count);
    println!(
        "resident, {count:>6} sessions at rest:    {rss:>7} KiB: {each:.2} KiB each; all served \
         within {:.2} s",
        span.as_secs_f64()
    );
}

/// All but the stayers go and come back at once. Whether everybody was served and the stayers
/// missed nothing.
fn storm(server: &Server, count: u32) -> bool {
    let mut old = crowd(server, STAYERS, count, count, 64);
    old.go();
    let mut stayers = Load::arm(&Plan {
        address: server.address,
        server_key: server.key,
        first: 0,
        count: STAYERS,
        keys: STAYERS,
        window: SAMPLE,
        connecting_max: 64,
        then: Then::Draw,
    });
    let mut again = crowd(server, STAYERS, count, count, usize::MAX);
    stayers.go();
    stayers.begin();
    let cpu_before = server.process.cpu();
    old.kill();
    let span = again.go();
    let cpu = server.process.cpu() - cpu_before;
    // A second of calm, in which what the storm owes is made good.
    let (_never, calm) = mpsc::channel::<()>();
    let _ = calm.recv_timeout(Duration::from_secs(1));
    let got = stayers.stop();
    let due = f64::from(STAYERS * STAYER_BYTES_PER_S) * got.span.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a share of three digits")]
    let kept = got.bytes as f64 / due;
    println!(
        "storm of {count}: all served again after {:.2} s ({:.2} s of the server's CPU); resident {} KiB",
        span.as_secs_f64(),
        cpu.as_secs_f64(),
        server.process.rss_kib()
    );
    println!(
        "those {STAYERS} that stayed: {:.1} % of their rate over {:.1} s, {} connections lost",
        kept * 100.0,
        got.span.as_secs_f64(),
        got.closed
    );
    again.begin();
    let lost = again.stop().closed;
    println!("connections lost of those that came back: {lost}");
    kept >= KEPT_MIN && got.closed == 0 && lost == 0
}

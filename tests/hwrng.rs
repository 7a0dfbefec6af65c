//! Shares of the real `/dev/hwrng`, and its assessment. strace records what this server read,
//! whoever else draws from the device meanwhile. Needs root and strace; plain `cargo test`
//! leaves it out.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::cast_precision_loss, reason = "a few megabytes")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]

mod support;

use std::time::Duration;
use support::assessment::{check_table, number};
use support::deal::{Deal, jain};
use support::ledger::Recorded;
use support::process::{Process, finish, netrng};
use support::puller::{Habit, Puller};
use support::raw::RawClient;
use support::rngd::{recorded, recording_options};
use support::site::{READY, Site};
use support::trace::{Trace, traced};
use support::wait;

const DEVICE: &str = "/dev/hwrng";
const START_UP_TEST: u64 = 1024;
const SAMPLE: u64 = 2048;
/// Samples in the stock, the one in the reader's hand included.
const STOCK: u64 = 4;
/// Answers a client: so many that one more or less does not show in Jain's index.
const ANSWERS: u64 = 30;
/// The device gives some 10 kB/s, and other tests draw from it too.
const LONG: Duration = Duration::from_secs(300);

#[test]
fn five_clients_share_the_device() {
    share(5);
}

#[test]
fn twenty_clients_share_the_device() {
    share(20);
}

#[test]
fn fifty_clients_share_the_device() {
    share(50);
}

fn share(count: usize) {
    let site = Site::new(DEVICE)
        .server("max-handshakes-per-address = 64")
        .server("handshakes-per-s-per-address = 1000")
        .source(&format!("stock = {STOCK}"));
    let clients: Vec<_> = (0..count).map(|who| site.enroll(&format!("client-{who}"))).collect();
    let log = site.path("server.trace");
    let options = recording_options(DEVICE);
    let mut server = Process::start(&mut traced(&site.server_command(), &options, &log));
    server.wait_for(READY);

    // All are connected before the first asks.
    let sessions: Vec<_> = clients.iter().map(|client| RawClient::open(&site, client)).collect();
    let pullers: Vec<_> = sessions
        .into_iter()
        .map(|raw| Puller::start(raw, Habit { ask: 2048, keep: 4096 }))
        .collect();
    wait::until("everybody gets enough", LONG, || {
        let answers: u64 = pullers.iter().map(Puller::answers).sum();
        let fewest = pullers.iter().map(Puller::answers).min()?;
        (answers >= ANSWERS * count as u64 && fewest > 0).then_some(())
    });
    assert_eq!(server.terminate().code(), Some(0));
    let read = recorded(&Trace(log));
    let read_len = read.len() as u64;
    let hands: Vec<_> = pullers.into_iter().map(Puller::finish).collect();
    let totals: Vec<u64> = hands.iter().map(|hand| hand.concat().len() as u64).collect();
    let deal = Deal::new(&Recorded::new(read), &hands);

    // From the first request on: whoever got a whole sample before the others had asked waits
    // for them to draw level.
    let index = jain(&totals);
    let delivered = totals.iter().sum::<u64>();
    let due = deal.end() - START_UP_TEST;
    println!(
        "{count} clients: Jain {index:.5} over {delivered} bytes, {} to {} each; {due} bytes read \
         up to the last one delivered, of which nobody got {:?}, and {} more",
        totals.iter().min().unwrap(),
        totals.iter().max().unwrap(),
        deal.gaps(START_UP_TEST),
        read_len - deal.end(),
    );
    assert!(index >= 0.999, "Jain's index {index}: {totals:?}");
    assert!(totals.iter().all(|total| *total > 0), "somebody got nothing: {totals:?}");
    assert!(
        delivered as f64 >= due as f64 * 0.999,
        "{delivered} of {due} bytes, not {:?}",
        deal.gaps(START_UP_TEST)
    );
    // In the stock, in the reader's hand, and one begun.
    let left = read_len - deal.end();
    assert!(left <= (STOCK + 1) * SAMPLE, "{left} bytes were read for nobody");
}

#[test]
fn assess_says_what_the_device_carries() {
    let printed = finish(&mut netrng(&["assess", DEVICE, "--seconds", "5"])).success();
    println!("{printed}");
    let rate = number(&printed, "rate");
    assert!((500..1_000_000).contains(&rate), "{rate} bytes/s is no rate of this device");
    assert!(printed.contains("passed"), "{printed}");
    check_table(&printed, rate);
    // What the server measures on its own is of the same size.
    let site = Site::new(DEVICE);
    let alice = site.enroll("alice");
    let server = site.start_server();
    let _session = Puller::start(RawClient::open(&site, &alice), Habit::STEADY);
    let line = server.wait_for("the source gives");
    let measured = number(&line, "the source gives");
    assert!(measured > rate / 4 && measured < rate * 4, "{line}, but assessed {rate}");
}

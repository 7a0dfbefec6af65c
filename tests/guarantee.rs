//! Guarantees: who is admitted, what was promised is kept, and what happens when it cannot be.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::cast_precision_loss, reason = "a few megabytes")]

mod support;

use netrng::wire::{Answer, ByeReason, Request};
use std::time::Duration;
use support::puller::{Habit, Puller};
use support::raw::RawClient;
use support::scene::{PLAIN, Scene};
use support::site::Site;
use support::wait;

const SAMPLE: u64 = 2048;
const REFUSED: &str = "is refused";

/// What becomes of a client that asks for bytes: a session, or a BYE.
fn ask(scene: &Scene, client: usize) -> Result<RawClient, (ByeReason, Duration)> {
    let mut raw = scene.open(client);
    raw.send(Request::Bytes(64));
    loop {
        match raw.answer() {
            Answer::Sample(_) => return Ok(raw),
            Answer::Bye(reason, retry) => return Err((reason, retry)),
            _ => {}
        }
    }
}

#[track_caller]
fn assert_refused(answer: Result<RawClient, (ByeReason, Duration)>) {
    let Err((reason, retry)) = answer else { panic!("was admitted") };
    assert_eq!(reason, ByeReason::NoCapacity);
    assert!(retry > Duration::ZERO, "no time to try again");
}

#[test]
fn exactly_the_client_that_would_break_the_promise_is_refused() {
    // 36 kB/s may be promised: 14 + 14 fit, a third 14 does not, 3 do.
    let rules: [&[&str]; 5] = [
        &["guarantee = \"14 kB/s\""],
        &["guarantee = \"14 kB/s\""],
        &["guarantee = \"14 kB/s\""],
        &["guarantee = \"3 kB/s\""],
        PLAIN,
    ];
    let scene = Scene::with(|site| site.source("stock = 16"), 40_000, &rules);
    let welcome = RawClient::new(&scene.site, &scene.clients[0]).handshake();
    assert_eq!(welcome.guarantee_bytes_per_s, 14_000);

    let first = ask(&scene, 0).unwrap();
    let second = ask(&scene, 1).unwrap();
    for _ in 0..3 {
        assert_refused(ask(&scene, 2));
    }
    let line = scene.server.wait_for(REFUSED);
    for figure in ["client-2", "14000", "28000"] {
        assert!(line.contains(figure), "no {figure} in {line:?}");
    }
    let small = ask(&scene, 3).unwrap();
    let none = ask(&scene, 4).unwrap();

    // A second session of an admitted client promises nothing more.
    drop(small);
    let small = ask(&scene, 3).unwrap();

    // One leaves, and there is room.
    let mark = scene.server.mark();
    drop(first);
    scene.server.wait_for_after(mark, "client-0 at");
    let third = ask(&scene, 2).unwrap();
    // Now the one that left is one too many; that is another refusal.
    assert_refused(ask(&scene, 0));
    scene.server.wait_for("client-0 is refused");
    let log = scene.server.log_text();
    assert_eq!(log.matches("client-2 is refused").count(), 1, "three tries, one line");
    drop((second, third, small, none));
}

#[test]
fn a_source_that_fills_the_stock_at_once_keeps_nobody_waiting() {
    let site = Site::new("/dev/urandom");
    let alice = site.enroll("alice");
    site.set_rule("alice", &["guarantee = \"1 kB/s\""]);
    let server = site.start_server();
    RawClient::open(&site, &alice).draw(64);
    server.wait_for("the source gives");
}

#[test]
fn whoever_comes_while_the_stock_fills_is_admitted_as_soon_as_the_rate_is_known() {
    let site = Site::with_fifo("source");
    let feed = support::feed::Feed::new(&site.path("source"), support::feed::Mood::Good);
    feed.set_pace(20_000);
    let alice = site.enroll("alice");
    site.set_rule("alice", &["guarantee = \"10 kB/s\""]);
    let server = site.spawn_server();
    server.wait_for("listening");
    let mut raw = RawClient::open(&site, &alice);
    raw.draw(64);
    // And long before the stock was full.
    assert!(feed.taken() < 1024 + 15 * SAMPLE, "{} bytes were read", feed.taken());
}

#[test]
fn a_guarantee_is_kept_against_any_weight_and_the_rest_is_shared() {
    const RATE: u64 = 100_000;
    const GUARANTEE: u64 = 50_000;
    let rules: [&[&str]; 3] =
        [&["guarantee = \"50 kB/s\"", "weight = 1"], &["weight = 9"], &["weight = 9"]];
    // A stock from which the rate is known when the first comes.
    let scene = Scene::with(|site| site.source("stock = 16"), RATE, &rules);
    let pullers = scene.pull(&[Habit::STEADY; 3]);
    scene.wait_for_given(&pullers, 50 * SAMPLE);
    let start = scene.position();
    scene.wait_for_given(&pullers, 300 * SAMPLE);
    let deal = scene.end(pullers);

    let part = start..deal.window().end;
    let shares = deal.shares(&part);
    let all: u64 = shares.iter().sum();
    println!("shares {shares:?} of {all}");
    // The source gives its rate at the most, so this is what the guarantee amounts to at the
    // least.
    let due = (all as f64) * GUARANTEE as f64 / RATE as f64;
    assert!(shares[0] as f64 >= due * 0.98, "{} where {due} are promised", shares[0]);
    assert!((shares[0] as f64) <= due * 1.2, "much more than promised: {shares:?}");
    let drift = deal.drift(&part, (1, 9.0), (2, 9.0));
    assert!(drift <= 2.0 * SAMPLE as f64 / 9.0, "the others drifted {drift} bytes apart");
}

#[test]
fn when_the_source_slows_down_promises_shrink_in_proportion_and_no_new_one_is_made() {
    let rules: [&[&str]; 4] = [
        &["guarantee = \"12 kB/s\""],
        &["guarantee = \"6 kB/s\""],
        &["weight = 100"],
        &["guarantee = \"100 B/s\""],
    ];
    let scene = Scene::with(|site| site.source("sample-size = 512"), 40_000, &rules);
    let pullers: Vec<Puller> = scene.pull(&[Habit::STEADY; 3]);
    scene.server.wait_for("the source gives");
    scene.wait_for_given(&pullers, 30 * SAMPLE);
    // It would fit.
    drop(ask(&scene, 3).unwrap());

    let mark = scene.server.mark();
    scene.feed.set_pace(9_000);
    let line = scene.server.wait_for_after(mark, "shares shrink in proportion");
    assert!(line.contains("warning") && line.contains("18000"), "{line}");
    let start = scene.position();
    assert_refused(ask(&scene, 3));
    scene.wait_for_given(&pullers, 20 * SAMPLE);

    let mark = scene.server.mark();
    scene.feed.set_pace(40_000);
    let end = scene.position() - 3 * SAMPLE;
    scene.server.wait_for_after(mark, "all guarantees are kept again");
    // The promises that stand are kept a little before there is room for one more.
    wait::until_true("there is room for one more promise", || ask(&scene, 3).is_ok());
    let deal = scene.end(pullers);

    let shares = deal.shares(&(start..end));
    println!("shares {shares:?} of {}", end - start);
    let ratio = shares[0] as f64 / shares[1] as f64;
    // Some seventy answers of 512 bytes: two at either end are six percent. The scheduler's own
    // tests are exact.
    assert!((1.8..=2.2).contains(&ratio), "{ratio} where 2 was promised: {shares:?}");
    assert!(shares[2] * 50 <= shares[0], "nothing was promised to the third: {shares:?}");
}

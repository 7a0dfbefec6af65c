//! Fair shares: who gets how much of a source that cannot give everybody what they want,
//! judged by the order in which its bytes were given away.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::cast_precision_loss, reason = "a few megabytes")]

mod support;

use netrng::wire::{Answer, Request};
use std::time::Duration;
use support::deal::jain;
use support::feed::Mood;
use support::puller::{Habit, Puller};
use support::scene::{PLAIN, Scene};
use support::wait::{self, Stopwatch};

const SAMPLE: u64 = 2048;
/// Far longer than it takes to answer or to ask.
const QUIET: Duration = Duration::from_millis(500);

#[test]
fn shares_follow_weights() {
    let weights = [1.0, 2.0, 4.0];
    // Small samples, many of them: one more or less is half a percent.
    const SAMPLE: u64 = 512;
    let rules: [&[&str]; 3] = [&["weight = 1"], &["weight = 2"], &["weight = 4"]];
    let scene =
        Scene::with(|site| site.source(&format!("sample-size = {SAMPLE}")), 200_000, &rules);
    let pullers = scene.pull(&[Habit::STEADY; 3]);
    scene.wait_for_given(&pullers, 1600 * SAMPLE);
    let deal = scene.end(pullers);

    let window = deal.window();
    let shares = deal.shares(&window);
    let all = shares.iter().sum::<u64>() as f64;
    println!("shares {shares:?} of {all}");
    for (share, weight) in shares.iter().zip(weights) {
        let due = all * weight / 7.0;
        let off = (*share as f64 - due).abs() / due;
        assert!(off <= 0.02, "{share} bytes where {due} are due: {:.1} % off", off * 100.0);
    }
    // And never far from it on the way: both have a sample more than is due at the most.
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let drift = deal.drift(&window, (one, weights[one]), (other, weights[other]));
        let most = SAMPLE as f64 / weights[one] + SAMPLE as f64 / weights[other];
        assert!(drift <= most, "clients {one} and {other} drifted {drift} bytes apart");
    }
}

#[test]
fn equal_clients_are_never_more_than_a_sample_apart_whatever_they_ask() {
    let habits = [
        // Half a second's worth, so that nobody runs out because its thread was not called up.
        Habit::STEADY,
        Habit { ask: 32, keep: 64 * 1024 },
        // Greedy: as much outstanding as the server books.
        Habit { ask: 8 * 1024, keep: 64 * 1024 },
    ];
    let scene = Scene::new(200_000, &[PLAIN; 3]);
    let pullers = scene.pull(&habits);
    scene.wait_for_given(&pullers, 300 * SAMPLE);
    let deal = scene.end(pullers);

    let mut window = deal.window();
    // Until its many small requests have come in, the second one has gaps between them.
    window.start += 32 * SAMPLE;
    println!("shares {:?} of {}", deal.shares(&window), window.end - window.start);
    assert!(window.end - window.start >= 220 * SAMPLE, "never wanted bytes together: {window:?}");
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let drift = deal.drift(&window, (one, 1.0), (other, 1.0));
        // One may be a sample ahead when the window opens and a sample behind later.
        let most = 2.0 * SAMPLE as f64;
        assert!(drift <= most, "clients {one} and {other} drifted {drift} bytes apart");
    }
}

/// As real clients do: the next request only after the answer. Between the two a client wants
/// nothing; what it misses in so short a gap is made good, but for the stock that lay ready when
/// they began, which goes to whoever asks faster.
#[test]
fn one_small_request_after_the_other_gets_as_much_as_large_ones() {
    let habits = [Habit { ask: 2048, keep: 2048 }, Habit { ask: 64, keep: 64 }];
    // So slow that a busy machine, too, asks 32 times while a sample comes in.
    let scene = Scene::new(15_000, &[PLAIN; 2]);
    let pullers = scene.pull(&habits);
    scene.wait_for_given(&pullers, 100 * SAMPLE);
    let deal = scene.end(pullers);

    let window = deal.window();
    let shares = deal.shares(&window);
    println!("shares {shares:?}");
    for slice in deal.slices(&window) {
        let asked = u64::from(habits[slice.owner].ask);
        assert_eq!(slice.len, asked, "not what was asked");
    }
    assert!(shares[1] * 100 >= shares[0] * 95, "64 bytes at a time is pushed aside: {shares:?}");
}

#[test]
fn an_answer_is_exactly_what_was_asked() {
    let scene = Scene::new(400_000, &[PLAIN]);
    let mut raw = scene.open(0);
    for asked in [1, 2, 63, 64, 65, 100, 1000, 2047, 2048] {
        assert_eq!(raw.draw(asked).len(), asked as usize);
    }
    // More than a sample comes in whole samples and a rest, and not a byte more.
    raw.send(Request::Bytes(5000));
    let mut lens = Vec::new();
    while lens.iter().sum::<usize>() < 5000 {
        match raw.answer() {
            Answer::Sample(sample) => lens.push(sample.len()),
            other => panic!("no sample: {other:?}"),
        }
    }
    assert_eq!(lens, [2048, 2048, 904]);
    raw.send(Request::Ping(7));
    assert!(matches!(raw.answer(), Answer::Pong(7)));
}

#[test]
fn with_many_waiting_slices_shrink_and_a_round_takes_a_second() {
    const CLIENTS: usize = 50;
    const RATE: u64 = 10_000;
    const ROUNDS: u64 = 8;
    let scene = Scene::new(RATE, &[PLAIN; CLIENTS + 1]);
    // Whoever comes to a full stock gets whole samples, and is that much ahead afterwards. Let
    // all find an empty one.
    let mut first = scene.open(CLIENTS);
    scene.feed.set(Mood::Silent);
    first.send(Request::Bytes(64 * 1024));
    while first.hear(QUIET).is_ok() {}
    drop(first);
    let pullers = scene.pull(&[Habit { ask: 2048, keep: 4096 }; CLIENTS]);
    wait::pause(QUIET);
    scene.feed.set(Mood::Good);
    scene.wait_for_given(&pullers, ROUNDS * RATE);
    let deal = scene.end(pullers);

    let window = deal.window();
    let shares = deal.shares(&window);
    let longest = deal.longest_wait(&window);
    let lens = || deal.slices(&window).map(|slice| slice.len);
    println!(
        "Jain {:.5}, at most {longest} bytes between two answers, slices of {:?} to {:?}",
        jain(&shares),
        lens().min(),
        lens().max()
    );
    // The rate is measured, and a busy machine reads its FIFO in bursts. Whole samples would make
    // it ten times the rate.
    let most = 2 * RATE;
    assert!(longest <= most, "{longest} bytes went to others between two answers");
    assert!(lens().all(|len| len >= 64), "answers of less than 64 bytes");
    let largest = lens().max().unwrap();
    for client in 1..CLIENTS {
        let drift = deal.drift(&window, (0, 1.0), (client, 1.0));
        assert!(
            drift <= 2.0 * largest as f64,
            "clients 0 and {client} drifted {drift} bytes apart"
        );
    }
}

#[test]
fn a_limit_holds_and_the_others_get_the_rest() {
    const RATE: u64 = 40_000;
    const LIMIT: u64 = 1000;
    // Six seconds of the limited client.
    const ENOUGH: u64 = SAMPLE + 6 * LIMIT;
    let scene = Scene::new(RATE, &[&["limit = \"1 kB/s\""], &[], &[]]);
    let (sessions, clock) = ([0, 1, 2].map(|client| scene.open(client)), Stopwatch::start());
    let refused = scene.feed.refused();
    let pullers = sessions.map(|raw| Puller::start(raw, Habit::STEADY));
    let mut fastest = 0.0_f64;
    wait::until_true("the limited client gets what it may", || {
        let bytes = pullers[0].bytes();
        let may = SAMPLE as f64 + LIMIT as f64 * clock.elapsed().as_secs_f64();
        fastest = fastest.max(bytes as f64 / may);
        bytes >= ENOUGH
    });
    let seconds = clock.elapsed().as_secs_f64();
    let refused = scene.feed.refused() - refused;
    let deal = scene.end(pullers);
    let window = deal.window();
    let shares = deal.shares(&window);
    println!("{seconds:.1} s, {:.0} % of the limit at most, shares {shares:?}", fastest * 100.0);
    assert!(fastest <= 1.0, "over the limit");
    assert!(shares[1] > 4 * shares[0], "the limit did not matter: {shares:?}");
    let drift = deal.drift(&window, (1, 1.0), (2, 1.0));
    assert!(drift <= SAMPLE as f64, "the others drifted {drift} bytes apart");
    // What the limited one leaves is not left lying: the source is never kept waiting.
    assert!(refused < 20, "the source was not read {refused} times");
}

#[test]
fn whoever_comes_back_from_idle_has_no_claim_and_no_penalty() {
    let scene = Scene::new(200_000, &[PLAIN; 2]);
    let mut late = scene.open(1);
    late.draw(64);
    let steady = Puller::start(scene.open(0), Habit::STEADY);
    wait::until_true("one is ahead by far", || steady.bytes() >= 100 * SAMPLE);
    let pullers = [steady, Puller::start(late, Habit::STEADY)];
    scene.wait_for_given(&pullers, 200 * SAMPLE);
    let deal = scene.end(pullers);

    let window = deal.window();
    let drift = deal.drift(&window, (0, 1.0), (1, 1.0));
    println!("shares {:?}, drifted {drift} bytes apart", deal.shares(&window));
    assert!(drift <= SAMPLE as f64);
}

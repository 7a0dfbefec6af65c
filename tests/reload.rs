//! SIGHUP: new rules hold for living sessions at once.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::cast_precision_loss, reason = "a few megabytes")]
#![allow(clippy::print_stdout, reason = "the figures of a run")]

mod support;

use netrng::wire::{Answer, ByeReason, Request};
use support::puller::{Habit, Puller};
use support::raw::RawClient;
use support::scene::{PLAIN, Scene};
use support::wait::Stopwatch;

const RATE: u64 = 200_000;
const SAMPLE: u64 = 512;
/// Bytes between two reloads: enough to tell ratios.
const PHASE: u64 = 300 * SAMPLE;

fn scene(rules: &[&[&str]]) -> Scene {
    Scene::with(|site| site.source(&format!("sample-size = {SAMPLE}")), RATE, rules)
}

/// Changes the first client's rule and lets a phase pass; returns where it began and ended.
fn phase(scene: &Scene, pullers: &[Puller], rule: &[&str]) -> std::ops::Range<u64> {
    scene.site.set_rule("client-0", rule);
    scene.reload();
    // What lies in pipe and stock may still be given out under the old rule.
    let start = scene.position();
    scene.wait_for_given(pullers, PHASE);
    start..start + PHASE - 16 * SAMPLE
}

#[track_caller]
fn assert_near(what: &str, is: f64, due: f64) {
    println!("{what}: {is:.3} where {due:.3} is due");
    assert!((is / due - 1.0).abs() <= 0.04, "{what}: {is} where {due} is due");
}

#[test]
fn a_weight_and_a_guarantee_hold_for_a_living_session() {
    let scene = scene(&[PLAIN, PLAIN]);
    let pullers = scene.pull(&[Habit::STEADY; 2]);
    let equal = phase(&scene, &pullers, &[]);
    let heavy = phase(&scene, &pullers, &["weight = 3"]);
    let promised = phase(&scene, &pullers, &["guarantee = \"160 kB/s\""]);
    let equal_again = phase(&scene, &pullers, &[]);
    scene.wait_for_given(&pullers, 32 * SAMPLE);
    let log = scene.server.log_text();
    let deal = scene.end(pullers);

    let part = |range| {
        let shares = deal.shares(&range);
        shares[0] as f64 / (shares[0] + shares[1]) as f64
    };
    assert_near("equal", part(equal), 0.5);
    assert_near("weight = 3", part(heavy), 0.75);
    let promised = part(promised);
    // The source may be a little slower than its pace, the promise is not.
    assert!((0.78..0.9).contains(&promised), "guarantee = 160 kB/s of 200: {promised}");
    assert_near("equal again", part(equal_again), 0.5);
    assert_eq!(log.matches(" connected from ").count(), 2, "somebody had to come back");
}

#[test]
fn a_limit_holds_for_a_living_session_and_can_be_lifted() {
    let scene = scene(&[PLAIN, PLAIN]);
    let pullers = scene.pull(&[Habit::STEADY; 2]);
    let free = phase(&scene, &pullers, &[]);
    let clock = Stopwatch::start();
    let limited = phase(&scene, &pullers, &["limit = \"1 kB/s\""]);
    let seconds = clock.elapsed().as_secs_f64();
    let free_again = phase(&scene, &pullers, &[]);
    scene.wait_for_given(&pullers, 32 * SAMPLE);
    let deal = scene.end(pullers);

    assert_near("free", deal.shares(&free)[0] as f64, deal.shares(&free)[1] as f64);
    let bytes = deal.shares(&limited)[0] as f64;
    assert!(bytes <= SAMPLE as f64 + 1000.0 * seconds, "{bytes} bytes in {seconds} s");
    let shares = deal.shares(&free_again);
    assert_near("free again", shares[0] as f64, shares[1] as f64);
}

#[test]
fn promises_that_a_reload_makes_and_the_source_cannot_keep_are_told() {
    let scene = scene(&[PLAIN, PLAIN]);
    let pullers = scene.pull(&[Habit::STEADY; 2]);
    phase(&scene, &pullers, &[]);
    let mark = scene.server.mark();
    phase(&scene, &pullers, &["guarantee = \"500 kB/s\""]);
    let line = scene.server.wait_for_after(mark, "shares shrink in proportion");
    assert!(line.contains("500000"), "{line}");
}

#[test]
fn fewer_sessions_send_the_oldest_away_and_more_let_them_stay() {
    let scene = scene(&[&["max-sessions = 2"]]);
    let [mut first, mut second] = [0, 1].map(|_| scene.open(0));
    first.draw(64);
    second.draw(64);
    scene.site.set_rule("client-0", &["max-sessions = 1"]);
    scene.reload();
    assert_eq!(first.until_bye().0, ByeReason::Replaced);
    second.draw(64);
    scene.site.set_rule("client-0", &["max-sessions = 3"]);
    scene.reload();
    let mut others = [0, 1].map(|_| scene.open(0));
    for raw in &mut others {
        raw.draw(64);
    }
    second.draw(64);
}

#[test]
fn an_address_that_is_allowed_no_more_ends_the_session() {
    let scene = scene(&[PLAIN, PLAIN]);
    let [mut moved, mut other] = [0, 1].map(|client| scene.open(client));
    moved.draw(64);
    other.draw(64);
    scene.site.set_rule("client-0", &["allowed = [\"192.0.2.0/24\"]"]);
    scene.site.set_rule("client-1", &["allowed = [\"192.0.2.0/24\", \"127.0.0.0/8\"]"]);
    scene.reload();
    assert_eq!(moved.until_bye().0, ByeReason::NotAllowed);
    other.draw(64);
    // And it does not come in again before the next change.
    let mut again = RawClient::new(&scene.site, &scene.clients[0]);
    let hello = again.hello();
    again.send_raw(&hello);
    assert!(again.try_answer().is_none(), "it came in from a forbidden address");
    scene.site.set_rule("client-0", &[]);
    scene.reload();
    let mut again = scene.open(0);
    again.send(Request::Bytes(64));
    assert!(matches!(again.answer(), Answer::Sample(_)));
}

//! A minute of random kills, and every byte of every client compared. Left out of plain
//! `cargo test`; `tests/run soak` runs it. `NETRNG_SEED` repeats a run, `NETRNG_SOAK_SECONDS`
//! makes it longer.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered};
use support::numbered;
use support::process::Process;
use support::site::{Enrolled, Site};
use support::wait::{self, Stopwatch};

const CLIENTS: usize = 6;
/// Bytes per second: enough for all clients to be busy, and to compare in reasonable time.
const PACE: u64 = 4_000_000;

/// Numbers of a seed: words of the numbered stream, far from where it is used as a source.
struct Dice {
    at: u64,
}

impl Dice {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.at += 1;
        u64::from_le_bytes(numbered::word(self.at)) % bound
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// A client's place: its process of the moment.
struct Place {
    client: Enrolled,
    process: Option<Process>,
    lives: usize,
}

#[test]
fn a_minute_of_random_kills_gives_no_byte_twice() {
    let seed = number("NETRNG_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        assert!(netrng::sys::random::try_random(&mut bytes));
        u32::from_le_bytes(bytes).into()
    });
    println!("NETRNG_SEED={seed} repeats this run");
    let mut dice = Dice { at: seed << 20 | 1 << 60 };
    let duration = Duration::from_secs(number("NETRNG_SOAK_SECONDS").unwrap_or(60));

    let site = Site::with_fifo("source");
    let feed = Feed::new(&site.path("source"), Mood::Good);
    feed.set_pace(PACE);
    let mut places: Vec<Place> = (0..CLIENTS)
        .map(|who| Place { client: site.enroll(&format!("client-{who}")), process: None, lives: 0 })
        .collect();
    let mut server = site.start_server();
    let mut streams: Vec<(String, Vec<u8>)> = Vec::new();
    let mut kills = 0;

    let watch = Stopwatch::start();
    while watch.elapsed() < duration {
        wait::pause(Duration::from_millis(50 + dice.below(400)));
        let place = &mut places[usize::try_from(dice.below(CLIENTS as u64)).unwrap()];
        match (dice.below(10), &mut place.process) {
            (0, _) => {
                println!("server killed after {:?}", watch.elapsed());
                if dice.below(4) == 0 {
                    server.terminate()
                } else {
                    server.kill()
                };
                server = site.spawn_server();
                kills += 1;
            }
            (1, _) => server.signal(libc::SIGHUP),
            (2, Some(process)) => {
                process.signal(libc::SIGSTOP);
                wait::pause(Duration::from_millis(dice.below(1000)));
                process.signal(libc::SIGCONT);
            }
            (_, Some(process)) => {
                if dice.below(3) == 0 {
                    process.terminate()
                } else {
                    process.kill()
                };
                let name = format!("{}, life {}", place.client.name, place.lives);
                streams.push((name, process.stdout_at_end()));
                place.process = None;
                kills += 1;
            }
            (_, empty) => {
                *empty = Some(site.start_client(&place.client));
                place.lives += 1;
            }
        }
    }

    // Whoever still runs must still get bytes.
    for place in &mut places {
        let process = place.process.get_or_insert_with(|| site.start_client(&place.client));
        wait::until("bytes after all that", Duration::from_secs(120), || {
            let before = process.stdout_len();
            wait::pause(Duration::from_millis(50));
            (process.stdout_len() > before).then_some(())
        });
        process.terminate();
        streams.push((format!("{}, last life", place.client.name), process.stdout_at_end()));
    }

    let mut ledger = Ledger::new(Numbered { len: feed.fed() });
    let mut total = 0;
    for (name, stream) in &streams {
        ledger.enter(name, stream).unwrap_or_else(|e| panic!("NETRNG_SEED={seed}: {e}"));
        total += stream.len();
    }
    println!(
        "{kills} kills, {} lives, {total} bytes of {} fed compared, no duplicate",
        streams.len(),
        feed.fed()
    );
    assert!(total > 1_000_000, "{total} bytes prove little");
    assert!(kills > 20, "{kills} kills prove little");
}

//! The harness itself: a ledger that finds nothing wrong in everything would prove nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use proptest::prelude::*;
use support::feed::{Feed, Mood};
use support::ledger::{Ledger, Numbered, Recorded};
use support::{numbered, trace, wait};

fn stream(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(numbered::byte_at).collect()
}

fn ledger() -> Ledger<Numbered> {
    Ledger::new(Numbered { len: 1 << 20 })
}

#[test]
fn a_word_says_where_it_stands() {
    for number in (0..1000).chain(1 << 40..(1 << 40) + 1000) {
        assert_eq!(numbered::place(numbered::word(number)), number);
    }
}

#[test]
fn a_ledger_accepts_what_is_given_once() {
    let mut ledger = ledger();
    let alice = [stream(1024..3072), stream(5120..7168)].concat();
    ledger.enter("alice", &alice).unwrap();
    ledger.enter("bob", &stream(3072..5120)).unwrap();
    assert_eq!(ledger.bytes(), 6144);
    assert_eq!(ledger.runs(), 3);
}

#[test]
fn a_ledger_refuses_what_is_given_twice() {
    let mut one = ledger();
    let twice = [stream(0..64), stream(0..64)].concat();
    assert!(one.enter("alice", &twice).unwrap_err().contains("went to alice"));

    let mut two = ledger();
    two.enter("alice", &stream(1024..3072)).unwrap();
    let refusal = two.enter("bob", &stream(3008..3200)).unwrap_err();
    assert!(refusal.contains("went to bob") && refusal.contains("went to alice"), "{refusal}");
}

#[test]
fn a_ledger_refuses_what_is_not_the_sources() {
    let mut ledger = ledger();
    let mut bytes = stream(0..2048);
    bytes[1000] ^= 1;
    assert!(ledger.enter("alice", &bytes).unwrap_err().contains("not the source's"));
    assert!(ledger.enter("bob", &[0; 64]).unwrap_err().contains("not the source's"));
    let beyond = stream(1 << 20..(1 << 20) + 64);
    assert!(ledger.enter("carol", &beyond).unwrap_err().contains("not the source's"));
}

#[test]
fn a_recording_serves_as_well_as_numbers() {
    let mut ledger = Ledger::new(Recorded::new(stream(0..10_000)));
    ledger.enter("alice", &stream(13..2061)).unwrap();
    ledger.enter("bob", &stream(2061..4109)).unwrap();
    assert!(ledger.enter("carol", &stream(4000..4100)).is_err());
    assert!(ledger.enter("dave", &stream(10_000..10_064)).is_err());
}

proptest! {
    /// Samples of any lengths, dealt to three clients, are accepted; one dealt twice is not.
    #[test]
    fn dealing_is_accepted_and_dealing_twice_is_not(
        cuts in proptest::collection::vec((8u64..400, 0usize..3), 4..60),
        again in any::<prop::sample::Index>(),
    ) {
        let mut hands = vec![Vec::new(); 3];
        let mut runs = Vec::new();
        let mut at = 0;
        for (words, owner) in cuts {
            let end = at + words * numbered::WORD;
            hands[owner].extend(stream(at..end));
            runs.push(stream(at..end));
            at = end;
        }
        let mut ledger = ledger();
        for (name, hand) in ["alice", "bob", "carol"].iter().zip(&hands) {
            prop_assert_eq!(ledger.enter(name, hand), Ok(()));
        }
        prop_assert_eq!(ledger.bytes(), at);
        prop_assert!(ledger.enter("mallory", again.get::<Vec<u8>>(&runs)).is_err());
    }

    /// The same where samples may start and end anywhere.
    #[test]
    fn samples_of_odd_lengths_are_accepted(
        cuts in proptest::collection::vec((64u64..3000, 0usize..3), 4..60),
    ) {
        let mut hands = vec![Vec::new(); 3];
        let mut at = 0;
        for (bytes, owner) in cuts {
            hands[owner].extend(stream(at..at + bytes));
            at += bytes;
        }
        let mut ledger = ledger();
        for (name, hand) in ["alice", "bob", "carol"].iter().zip(&hands) {
            prop_assert_eq!(ledger.enter(name, hand), Ok(()));
        }
    }
}

#[test]
fn a_feed_knows_what_was_taken() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    let feed = Feed::new(&dir.path().join("source"), Mood::Good);
    let mut reader = std::fs::File::open(feed.path()).unwrap();
    let mut bytes = vec![0; 3000];
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, stream(0..3000));
    assert_eq!(feed.taken_at_rest(), 3000);

    feed.set(Mood::Closed);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    drop(reader);
    assert_eq!(feed.fed(), 3000 + rest.len() as u64);
    wait::until_true("all is taken", || feed.taken() == feed.fed());
}

#[test]
fn straces_bytes_are_read() {
    let line = r#"12 read(3, "\x00\xff\x10", 4096) = 3"#;
    assert_eq!(trace::quoted_bytes(line), Some(vec![0, 255, 16]));
    assert_eq!(trace::returned(line), Some(3));
}

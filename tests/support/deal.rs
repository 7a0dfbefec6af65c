//! In what order a server gave the source's bytes away: it gives them as it reads them, so
//! where an answer's bytes stand in the source says what was given before it. Exact, whatever
//! the threads and sockets between make of the time.

use super::ledger::Book;
use std::ops::Range;

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// Where its first byte stands in the source.
    pub start: u64,
    /// Bytes.
    pub len: u64,
    /// Who got it.
    pub owner: usize,
}

impl Slice {
    fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// All answers of a run, in the order in which they were given.
pub struct Deal {
    slices: Vec<Slice>,
    owners: usize,
}

/// Fewer bytes cannot be found by their eight-byte words: what a request left over.
const FOUND_LEN: usize = 16;

impl Deal {
    /// Finds each answer of each owner in the source.
    ///
    /// # Panics
    /// If one is not there, or bytes were given twice.
    #[track_caller]
    pub fn new(book: &impl Book, hands: &[Vec<Vec<u8>>]) -> Self {
        let mut slices: Vec<Slice> = Vec::new();
        for (owner, answers) in hands.iter().enumerate() {
            for answer in answers.iter().filter(|answer| answer.len() >= FOUND_LEN) {
                let start = locate(book, answer).unwrap_or_else(|| {
                    panic!("client {owner} has bytes that are not the source's")
                });
                slices.push(Slice { start, len: answer.len() as u64, owner });
            }
        }
        let all: usize = hands.iter().map(Vec::len).sum();
        let small = all - slices.len();
        assert!(
            small <= all / 20 + 8,
            "{small} of {all} answers are of less than {FOUND_LEN} bytes"
        );
        slices.sort_unstable();
        for pair in slices.windows(2) {
            assert!(pair[0].end() <= pair[1].start, "given twice: {pair:?}");
        }
        Deal { slices, owners: hands.len() }
    }

    /// The part of the source in which everybody wanted bytes: from where the last one got
    /// the first, to where the first one got the last.
    ///
    /// # Panics
    /// If somebody got nothing, or they never wanted bytes together.
    #[track_caller]
    pub fn window(&self) -> Range<u64> {
        let own = |owner| self.slices.iter().filter(move |slice| slice.owner == owner);
        let starts = (0..self.owners).map(|owner| own(owner).next().map(|slice| slice.start));
        let ends = (0..self.owners).map(|owner| own(owner).next_back().map(Slice::end));
        let starts: Option<Vec<u64>> = starts.collect();
        let ends: Option<Vec<u64>> = ends.collect();
        let start = starts.expect("everybody got bytes").into_iter().max();
        let end = ends.expect("everybody got bytes").into_iter().min();
        let (start, end) = start.zip(end).expect("there are owners");
        assert!(start < end, "never all at once: {start}..{end}");
        start..end
    }

    /// The answers that begin in this part of the source.
    pub fn slices(&self, part: &Range<u64>) -> impl Iterator<Item = &Slice> {
        self.slices.iter().filter(move |slice| part.contains(&slice.start))
    }

    /// The parts of the source from `start` on that nobody got, up to the last byte that
    /// somebody got.
    pub fn gaps(&self, start: u64) -> Vec<Range<u64>> {
        let mut at = start;
        let mut gaps = Vec::new();
        for slice in &self.slices {
            if slice.start > at {
                gaps.push(at..slice.start);
            }
            at = slice.end();
        }
        gaps
    }

    /// Where the last byte that somebody got stands.
    pub fn end(&self) -> u64 {
        self.slices.last().map_or(0, Slice::end)
    }

    /// Bytes of each owner in this part of the source.
    pub fn shares(&self, part: &Range<u64>) -> Vec<u64> {
        let mut shares = vec![0; self.owners];
        for slice in self.slices(part) {
            shares[slice.owner] += slice.len;
        }
        shares
    }

    /// How far two owners drifted apart in this part, in bytes by weight: the most that one
    /// was ever ahead of the other, to the most that it was ever behind.
    pub fn drift(&self, part: &Range<u64>, one: (usize, f64), other: (usize, f64)) -> f64 {
        let (mut apart, mut least, mut most) = (0.0_f64, 0.0_f64, 0.0_f64);
        for slice in self.slices(part) {
            #[allow(clippy::cast_precision_loss, reason = "a few kilobytes")]
            let bytes = slice.len as f64;
            if slice.owner == one.0 {
                apart += bytes / one.1;
            } else if slice.owner == other.0 {
                apart -= bytes / other.1;
            }
            least = least.min(apart);
            most = most.max(apart);
        }
        most - least
    }

    /// The most bytes that were given to others between two answers of one owner.
    pub fn longest_wait(&self, part: &Range<u64>) -> u64 {
        let mut last_end: Vec<Option<u64>> = vec![None; self.owners];
        let mut longest = 0;
        for slice in self.slices(part) {
            let before = last_end[slice.owner].replace(slice.end());
            longest = longest.max(before.map_or(0, |end| slice.start - end));
        }
        longest
    }
}

fn locate(book: &impl Book, answer: &[u8]) -> Option<u64> {
    (0..8u64).zip(answer.windows(8)).find_map(|(offset, word)| {
        let position = book.position(word.try_into().ok()?)?;
        let start = position.checked_sub(offset)?;
        let same = (start..).zip(answer).all(|(at, byte)| book.byte_at(at) == Some(*byte));
        same.then_some(start)
    })
}

/// Jain's index of fairness: 1 if all have the same, 1/n if one has all.
#[allow(clippy::cast_precision_loss, reason = "a few megabytes")]
pub fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    sum * sum / (squares * shares.len() as f64)
}

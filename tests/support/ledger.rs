//! Who got which bytes of the source: every byte of every client is accounted for, and none
//! twice.

use super::numbered;
use std::collections::{BTreeMap, HashMap};

/// Where bytes can be looked up.
pub trait Book {
    /// The position of eight bytes in the source, if they can stand there.
    fn position(&self, bytes: [u8; 8]) -> Option<u64>;
    /// The byte at a position of the source.
    fn byte_at(&self, position: u64) -> Option<u8>;
}

/// The stream of [`numbered`], of which the first `len` bytes have been fed.
pub struct Numbered {
    /// Bytes fed so far.
    pub len: u64,
}

impl Book for Numbered {
    fn position(&self, bytes: [u8; 8]) -> Option<u64> {
        let place = numbered::place(bytes);
        (place < self.len / numbered::WORD).then(|| place * numbered::WORD)
    }

    fn byte_at(&self, position: u64) -> Option<u8> {
        (position < self.len).then(|| numbered::byte_at(position))
    }
}

/// What a real device gave, as recorded.
pub struct Recorded {
    bytes: Vec<u8>,
    /// Of every eight bytes in a row.
    positions: HashMap<[u8; 8], u64>,
}

impl Recorded {
    /// Indexes a recording.
    pub fn new(bytes: Vec<u8>) -> Self {
        let positions = (0u64..).zip(bytes.windows(8)).map(|(at, w)| (eight(w), at)).collect();
        Recorded { bytes, positions }
    }
}

impl Book for Recorded {
    fn position(&self, bytes: [u8; 8]) -> Option<u64> {
        self.positions.get(&bytes).copied()
    }

    fn byte_at(&self, position: u64) -> Option<u8> {
        self.bytes.get(usize::try_from(position).ok()?).copied()
    }
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes.try_into().expect("eight bytes")
}

/// Bytes at the end of a killed client's stream, or between two samples, that are too few to
/// be found by their eight-byte words.
const SLACK: usize = 15;

/// Collects what clients got, and refuses bytes that are not the source's or were given
/// before.
pub struct Ledger<B> {
    book: B,
    /// Start to end (exclusive) and owner of every run of whole words given so far.
    given: BTreeMap<u64, (u64, String)>,
    runs: usize,
}

impl<B: Book> Ledger<B> {
    /// Nothing given yet.
    pub fn new(book: B) -> Self {
        Ledger { book, given: BTreeMap::new(), runs: 0 }
    }

    /// Runs of consecutive source bytes seen so far.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// Stretches of the source, up to the last byte given, that nobody got.
    pub fn gaps(&self) -> Vec<std::ops::Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = 0;
        for (start, (end, _)) in &self.given {
            if *start > at {
                gaps.push(at..*start);
            }
            at = *end;
        }
        gaps
    }

    /// Bytes claimed so far, in whole words.
    pub fn bytes(&self) -> u64 {
        self.given.iter().map(|(start, (end, _))| end - start).sum()
    }

    /// Enters all that `owner` received.
    ///
    /// # Errors
    /// If a byte is not the source's, or somebody (perhaps the owner itself) had it before.
    pub fn enter(&mut self, owner: &str, stream: &[u8]) -> Result<(), String> {
        let mut at = 0;
        while at < stream.len() {
            let Some((anchor, position)) = self.find_run(stream, at) else {
                if stream.len() - at <= SLACK {
                    break;
                }
                return Err(format!("{owner}: bytes from {at} on are not the source's"));
            };
            let end = self.follow(&stream[anchor..], position);
            self.claim(owner, position, end)?;
            at = anchor + usize::try_from(end - position).expect("a run fits in memory");
        }
        Ok(())
    }

    /// The next place in `stream`, from a little before `at` on, where a run of the source
    /// starts: two words in a row; and its position. All bytes from `at` to it must belong to
    /// the same run.
    fn find_run(&self, stream: &[u8], at: usize) -> Option<(usize, u64)> {
        // The run before may have swallowed the first bytes of this one by chance (1 in 256),
        // so look back by a word.
        let first = at.saturating_sub(8);
        (first..=at + SLACK).find_map(|anchor| {
            let words = stream.get(anchor..anchor + 16)?;
            let position = self.book.position(eight(&words[..8]))?;
            let follows = (8..16u64).zip(&words[8..]);
            let consecutive = follows
                .into_iter()
                .all(|(offset, byte)| self.book.byte_at(position + offset) == Some(*byte));
            let explained = (at..anchor).all(|index| {
                let back = u64::try_from(anchor - index).expect("a few bytes");
                position.checked_sub(back).and_then(|p| self.book.byte_at(p)) == Some(stream[index])
            });
            let ahead = anchor + 16 > at;
            (consecutive && explained && ahead).then_some((anchor, position))
        })
    }

    /// The position up to which `stream` follows the source from `position` on.
    fn follow(&self, stream: &[u8], position: u64) -> u64 {
        let same = (position..)
            .zip(stream)
            .take_while(|(p, byte)| self.book.byte_at(*p) == Some(**byte))
            .count();
        position + u64::try_from(same).expect("a run fits in memory")
    }

    /// Only whole words count: one byte more at the end may be a coincidence.
    fn claim(&mut self, owner: &str, start: u64, end: u64) -> Result<(), String> {
        self.runs += 1;
        let (start, end) = (start.next_multiple_of(8), end / 8 * 8);
        if start >= end {
            return Ok(());
        }
        let before = self.given.range(..end).next_back();
        if let Some((other_start, (other_end, other))) = before
            && *other_end > start
        {
            return Err(format!(
                "bytes {start}..{end} went to {owner}, but {other_start}..{other_end} went to {other}"
            ));
        }
        self.given.insert(start, (end, owner.to_owned()));
        Ok(())
    }
}

//! `Sample`: the move-only bytes that travel from the source to one client.
//!
//! Owns the uniqueness of bytes inside the process: a sample cannot be cloned, giving it
//! away consumes it, splitting it moves bytes, and dropping it wipes them. It does not know
//! where bytes come from or go to.

use std::fmt;
use zeroize::zeroize_bytes;

/// The least and the most bytes a sample may hold. A Noise message carries at most 65,535
/// bytes; 32 KiB leaves room for the tag and the type byte and for a u16 length.
pub const SAMPLE_SIZE_MIN: usize = 64;
/// See [`SAMPLE_SIZE_MIN`].
pub const SAMPLE_SIZE_MAX: usize = 32 * 1024;

/// A run of consecutive bytes read from one source, not yet given to anybody.
///
/// Deliberately neither `Clone` nor `Copy`, and its `Debug` shows only the length.
#[derive(Default)]
pub struct Sample {
    bytes: Vec<u8>,
    /// Bytes before this index were split off and are already wiped.
    start: usize,
}

impl Sample {
    /// Takes ownership of freshly read bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Sample { bytes, start: 0 }
    }

    /// Bytes left in the sample.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, to be written to exactly one place by whoever consumes the sample.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Moves all of `other` to the end: the bytes were read right after these.
    pub fn append(&mut self, mut other: Sample) {
        if self.is_empty() {
            std::mem::swap(self, &mut other);
            return;
        }
        // Grow into a buffer of its own, so that no unwiped copy stays behind.
        let mut joined = Vec::with_capacity(self.len() + other.len());
        joined.extend_from_slice(self.as_bytes());
        joined.extend_from_slice(other.as_bytes());
        *self = Sample::new(joined);
    }

    /// Moves at most `count` bytes from the front into a sample of their own; they are wiped
    /// here.
    #[must_use = "bytes that are split off and dropped are lost"]
    pub fn split_front(&mut self, count: usize) -> Sample {
        if count >= self.len() && self.start == 0 {
            return Sample::new(std::mem::take(&mut self.bytes));
        }
        let end = self.start + count.min(self.len());
        let front = self.bytes[self.start..end].to_vec();
        zeroize_bytes(&mut self.bytes[self.start..end]);
        self.start = end;
        Sample::new(front)
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        zeroize_bytes(&mut self.bytes);
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sample({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn debug_never_shows_the_bytes() {
        assert_eq!(format!("{:?}", Sample::new(vec![42; 3])), "Sample(3 bytes)");
    }

    #[test]
    fn what_is_split_off_is_wiped_from_the_rest() {
        let mut sample = Sample::new(vec![7; 10]);
        let front = sample.split_front(4);
        assert_eq!(front.as_bytes(), [7; 4]);
        assert_eq!(sample.bytes, [0, 0, 0, 0, 7, 7, 7, 7, 7, 7]);
    }

    #[test]
    fn appending_keeps_the_order() {
        let mut sample = Sample::new(vec![1, 2, 3]);
        let _ = sample.split_front(1);
        sample.append(Sample::new(vec![4, 5]));
        assert_eq!(sample.as_bytes(), [2, 3, 4, 5]);
        let mut empty = Sample::default();
        empty.append(sample);
        assert_eq!(empty.as_bytes(), [2, 3, 4, 5]);
    }

    proptest! {
        #[test]
        fn splitting_moves_every_byte_once_and_in_order(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec(0usize..120, 1..20),
        ) {
            let mut sample = Sample::new(bytes.clone());
            let mut seen = Vec::new();
            for cut in cuts {
                let want = cut.min(sample.len());
                let front = sample.split_front(cut);
                prop_assert_eq!(front.len(), want);
                seen.extend_from_slice(front.as_bytes());
            }
            seen.extend_from_slice(sample.as_bytes());
            prop_assert_eq!(seen, bytes);
        }
    }
}

//! A stream that looks random and in which any eight aligned bytes say where they stand.
//!
//! Word number `i` is `i` sent through a bijection (the finalizer of SplitMix64), so it can
//! be turned back: a client's bytes need no recording of the source to be compared with.

/// Bytes of a word.
pub const WORD: u64 = 8;

/// A number that makes the streams of different tests differ, and small numbers look wild.
const SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The word at place `number`.
pub fn word(number: u64) -> [u8; 8] {
    let mut z = number.wrapping_add(SALT);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// The place of a word: the inverse of [`word`]. Any eight bytes have one; that of bytes
/// from elsewhere is absurdly large.
pub fn place(word: [u8; 8]) -> u64 {
    let mut z = u64::from_le_bytes(word);
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    (z ^ (z >> 30) ^ (z >> 60)).wrapping_sub(SALT)
}

/// The byte at `position` of the stream.
pub fn byte_at(position: u64) -> u8 {
    let index = usize::try_from(position % WORD).expect("less than eight");
    word(position / WORD)[index]
}

//! Skein-256-256 of 2008 (version 1.1), with the constants that were changed a year later: what
//! Entropy Keys and their daemon hash with.

const BLOCK: usize = 32;
/// Of each round of eight, for its two mixes.
const ROTATIONS: [(u32, u32); 8] =
    [(5, 56), (36, 28), (13, 46), (58, 44), (26, 20), (53, 35), (11, 42), (59, 50)];
const PARITY: u64 = 0x5555_5555_5555_5555;

/// Kinds of block, in the tweak's second word.
const KEY: u64 = 0;
const CONFIG: u64 = 4 << 56;
const PERSONAL: u64 = 8 << 56;
const MESSAGE: u64 = 48 << 56;
const OUTPUT: u64 = 63 << 56;
const FIRST: u64 = 1 << 62;
const FINAL: u64 = 1 << 63;

/// A hash under way.
#[derive(Clone)]
pub struct Skein {
    state: [u64; 4],
    message: Vec<u8>,
}

impl Skein {
    /// Begins with a key.
    pub fn new(key: &[u8]) -> Self {
        let state = chain([0; 4], KEY, key, FINAL);
        // "SHA3", version 1, 256 bits.
        let mut config = [0; BLOCK];
        config[..8].copy_from_slice(&0x0000_0001_3341_4853_u64.to_le_bytes());
        config[8..16].copy_from_slice(&256_u64.to_le_bytes());
        Skein { state: chain(state, CONFIG, &config, FINAL), message: Vec::new() }
    }

    /// Says what it is for, in whole blocks of which none counts as the last.
    pub fn personal(mut self, text: &[u8]) -> Self {
        self.state = chain(self.state, PERSONAL, text, 0);
        self
    }

    /// Goes on with these bytes.
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.message.extend_from_slice(bytes);
        self
    }

    /// The state after the last byte, without the output's stage: a MAC.
    pub fn state(&self) -> [u8; BLOCK] {
        bytes(chain(self.state, MESSAGE, &self.message, FINAL))
    }

    /// The hash.
    pub fn hash(&self) -> [u8; BLOCK] {
        let state = chain(self.state, MESSAGE, &self.message, FINAL);
        bytes(chain(state, OUTPUT, &[0; 8], FINAL))
    }
}

/// Takes a string of one kind block by block.
fn chain(mut state: [u64; 4], kind: u64, text: &[u8], last: u64) -> [u64; 4] {
    let (mut first, mut done) = (FIRST, 0);
    let count = text.chunks(BLOCK).len();
    for (number, part) in (1..).zip(text.chunks(BLOCK)) {
        done += part.len() as u64;
        let end = if number == count { last } else { 0 };
        let mut block = [0; BLOCK];
        block[..part.len()].copy_from_slice(part);
        state = mix(state, [done, kind | first | end], words(block));
        first = 0;
    }
    state
}

/// Threefish-256, 72 rounds, and what it was given on top.
fn mix(state: [u64; 4], tweak: [u64; 2], block: [u64; 4]) -> [u64; 4] {
    let key = [state[0], state[1], state[2], state[3], state.iter().fold(PARITY, |all, w| all ^ w)];
    let tweak = [tweak[0], tweak[1], tweak[0] ^ tweak[1]];
    let mut x = block;
    let inject = |x: &mut [u64; 4], number: usize| {
        for (i, word) in x.iter_mut().enumerate() {
            *word = word.wrapping_add(key[(number + i) % 5]);
        }
        x[1] = x[1].wrapping_add(tweak[number % 3]);
        x[2] = x[2].wrapping_add(tweak[(number + 1) % 3]);
        x[3] = x[3].wrapping_add(number as u64);
    };
    inject(&mut x, 0);
    for round in 0..72 {
        let (one, other) = ROTATIONS[round % 8];
        x[0] = x[0].wrapping_add(x[1]);
        x[1] = x[1].rotate_left(one) ^ x[0];
        x[2] = x[2].wrapping_add(x[3]);
        x[3] = x[3].rotate_left(other) ^ x[2];
        x.swap(1, 3);
        if round % 4 == 3 {
            inject(&mut x, round / 4 + 1);
        }
    }
    [0, 1, 2, 3].map(|i| x[i] ^ block[i])
}

fn words(block: [u8; BLOCK]) -> [u64; 4] {
    [0, 8, 16, 24].map(|at| u64::from_le_bytes(block[at..at + 8].try_into().expect("eight")))
}

fn bytes(words: [u64; 4]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block
        .chunks_mut(8)
        .zip(words)
        .for_each(|(part, word)| part.copy_from_slice(&word.to_le_bytes()));
    block
}

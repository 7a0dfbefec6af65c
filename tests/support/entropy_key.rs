//! An Entropy Key, played on a unix socket to its daemon, `ekeyd`: frames, session keys and
//! encryption of version 0 of its protocol (README.protocol of Debian's package). Its entropy is
//! the stream of [`numbered`].

use super::numbered;
use super::skein::Skein;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

const SERIAL: [u8; 12] = *b"netrng-tests";
const LONG_TERM_KEY: [u8; 32] = [0x5a; 32];
/// Before a session has one.
const NO_KEY: [u8; 32] = [0; 32];
/// Bytes in a frame of entropy.
const BLOCK: usize = 32;
/// Frames before the daemon wants a new session key.
const FRAMES_MAX: u16 = 4095;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What a hash is for.
const MAC: &str = "MessageAuthenticationCodeState";
const SESSION: &str = "ReKeyingState";
const ENTROPY: &str = "EntropyEncryptionState";

/// A key that has found its daemon, or waits for it.
pub struct EntropyKey {
    frames: Sender<u16>,
}

impl EntropyKey {
    /// Waits at `socket` for a daemon, to which its secret comes by `keyring`. It has nothing to
    /// give yet.
    ///
    /// # Panics
    /// If a file cannot be made.
    pub fn plug_in(socket: &Path, keyring: &Path) -> Self {
        let entry = format!("1\n{} {}\n", pem(&SERIAL), pem(&LONG_TERM_KEY));
        fs::write(keyring, entry).expect("can write the keyring");
        let listener = UnixListener::bind(socket).expect("can listen");
        let (frames, orders) = channel();
        thread::spawn(move || {
            let (daemon, _) = listener.accept().expect("a daemon");
            serve(daemon, &orders);
        });
        EntropyKey { frames }
    }

    /// Gives so many bytes more, whole frames of 32; in all less than 128 KiB.
    ///
    /// # Panics
    /// If it has fallen out with its daemon.
    pub fn give(&self, bytes: usize) {
        self.frames.send(u16::try_from(bytes / BLOCK).expect("few")).expect("it lives");
    }
}

fn serve(mut daemon: UnixStream, orders: &Receiver<u16>) {
    say(&mut daemon, &NO_KEY, &format!("S!AA{}", pem(&SERIAL)));
    say(&mut daemon, &NO_KEY, "k>Please re-key session.");
    let mut request = [0; 18];
    daemon.read_exact(&mut request).expect("a request for a session key");
    assert_eq!((request[0], request[17]), (b'K', b'.'));
    let nonce = from_pem(&request[1..17]);
    let ours = [0x77; 32];
    say(&mut daemon, &NO_KEY, &format!("K!{}{}", twelve_bits(12), pem(&ours)));
    let key = hash(&LONG_TERM_KEY, SESSION).with(&ours).with(&nonce).hash();
    let mut frame = 0;
    for frames in orders {
        for _ in 0..frames {
            assert!(frame < FRAMES_MAX, "one session key is for less");
            let number = twelve_bits(frame);
            let pad = hash(&key, ENTROPY).with(number.as_bytes()).hash();
            let start = u64::from(frame) * BLOCK as u64;
            let block = (start..).zip(pad).map(|(at, pad)| numbered::byte_at(at) ^ pad);
            say(&mut daemon, &key, &format!("E!{number}{}", pem(&block.collect::<Vec<_>>())));
            frame += 1;
        }
    }
}

/// A frame of 64 bytes. A daemon that has gone is the test's to see.
fn say(daemon: &mut UnixStream, key: &[u8; 32], content: &str) {
    let content = format!("{content:52}");
    let mac = hash(key, MAC).with(content.as_bytes()).state();
    let frame = format!("* {content}{}{}\r\n", pem(&mac[..3]), pem(&mac[29..]));
    let _ = daemon.write_all(frame.as_bytes());
}

/// The hash that a key and a purpose begin.
fn hash(key: &[u8; 32], purpose: &str) -> Skein {
    let purpose = format!("20090609 support@simtec.co.uk EntropyKey/v1/{purpose}");
    // The daemon leaves its last block out.
    Skein::new(&[&SERIAL[..], key].concat()).personal(&format!("{purpose:96}").as_bytes()[..64])
}

fn twelve_bits(number: u16) -> String {
    let digit = |value: u16| char::from(ALPHABET[usize::from(value & 63)]);
    [digit(number), digit(number >> 6)].iter().collect()
}

/// Base64.
fn pem(bytes: &[u8]) -> String {
    let quads = bytes.chunks(3).flat_map(|three| {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - three.len()));
        let digit = |shift: u32| char::from(ALPHABET[(word >> shift & 63) as usize]);
        let fill = |needed: usize, digit: char| if three.len() < needed { '=' } else { digit };
        [digit(18), digit(12), fill(2, digit(6)), fill(3, digit(0))]
    });
    quads.collect()
}

/// Back, for whole quads.
fn from_pem(text: &[u8]) -> Vec<u8> {
    let value = |byte: &u8| ALPHABET.iter().position(|a| a == byte).expect("base64");
    let three = |quad: &[u8]| {
        let word = quad.iter().fold(0, |word, digit| word << 6 | value(digit));
        [16, 8, 0].map(|shift| u8::try_from(word >> shift & 255).expect("a byte"))
    };
    text.chunks(4).flat_map(three).collect()
}

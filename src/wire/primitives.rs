//! What Noise is made of here: X25519, ChaCha20-Poly1305, BLAKE2s, and where randomness comes
//! from.
//!
//! Owns the choice and the wiping: pure-Rust primitives, ephemeral keys from the hedge, keys
//! overwritten when their owner is dropped. It knows no protocol.

use super::native::SharedHedge;
use blake2::{Blake2s256, Digest};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use std::sync::{Arc, PoisonError};
use zeroize::Zeroize;

/// Bytes of a Poly1305 tag (RFC 8439 §2.5).
pub const TAG_LEN: usize = 16;
/// Bytes of a ChaCha20 block (RFC 8439 §2.3). The first of a message makes the Poly1305 key.
const BLOCK_LEN: u64 = 64;

/// Hands the primitives to snow.
pub struct Resolver {
    /// The generator of ephemeral keys.
    pub hedge: SharedHedge,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(HedgedRandom(Arc::clone(&self.hedge))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(WipingDh(DefaultResolver.resolve_dh(choice)?)))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::Blake2s => Some(Box::new(Blake2s(Blake2s256::new()))),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::ChaChaPoly => Some(Box::new(ChaChaPoly { key: [0; 32] })),
            _ => None,
        }
    }
}

struct HedgedRandom(SharedHedge);

impl Random for HedgedRandom {
    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), snow::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(target);
        Ok(())
    }
}

struct WipingDh(Box<dyn Dh>);

impl Drop for WipingDh {
    fn drop(&mut self) {
        self.0.set(&[0; 32]);
    }
}

impl Dh for WipingDh {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }
    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }
    fn set(&mut self, private: &[u8]) {
        self.0.set(private);
    }
    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        self.0.generate(rng)
    }
    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }
    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.dh(public, out)
    }
}

/// BLAKE2s (RFC 7693) as Noise §12.6 wants it. snow's own comes with BLAKE2b, which nobody here
/// needs, in one function: 20 kB.
struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }
    fn block_len(&self) -> usize {
        64
    }
    fn hash_len(&self) -> usize {
        32
    }
    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }
    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }
    fn result(&mut self, out: &mut [u8]) {
        let hash = std::mem::replace(&mut self.0, Blake2s256::new()).finalize();
        out[..hash.len()].copy_from_slice(&hash);
    }
}

/// ChaCha20-Poly1305 (RFC 8439) as Noise §12.3 wants it.
struct ChaChaPoly {
    key: [u8; 32],
}

impl Drop for ChaChaPoly {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// 32 zero bits, then the counter in little-endian (Noise §12.3).
fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    bytes
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key.copy_from_slice(key);
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (sealed, rest) = out.split_at_mut(plaintext.len());
        sealed.copy_from_slice(plaintext);
        let tag = ChaCha20Poly1305::new(&self.key.into())
            .encrypt_in_place_detached(&nonce_bytes(nonce).into(), authtext, sealed)
            .expect("a Noise message is far shorter than 256 GiB");
        rest[..TAG_LEN].copy_from_slice(&tag);
        sealed.len() + TAG_LEN
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let (sealed, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(snow::Error::Decrypt)?;
        let opened = &mut out[..sealed.len()];
        opened.copy_from_slice(sealed);
        ChaCha20Poly1305::new(&self.key.into())
            .decrypt_in_place_detached(&nonce_bytes(nonce).into(), authtext, opened, tag.into())
            .map_err(|_| snow::Error::Decrypt)?;
        Ok(opened.len())
    }

    /// Noise §4.2: the new key is the first 32 bytes of zeros encrypted under the last nonce,
    /// so it is the keystream there. Its tag, which nobody would see, is not computed.
    fn rekey(&mut self) {
        let mut stream = ChaCha20::new(&self.key.into(), &nonce_bytes(u64::MAX).into());
        stream.seek(BLOCK_LEN);
        self.key.zeroize();
        stream.apply_keystream(&mut self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// snow's own cipher, with the rekeying that Noise describes and snow does by default.
    fn reference() -> Box<dyn Cipher> {
        DefaultResolver.resolve_cipher(&CipherChoice::ChaChaPoly).unwrap()
    }

    #[test]
    fn the_hash_is_that_of_noise_and_starts_afresh() {
        let ours: Box<dyn Hash> = Box::new(Blake2s(Blake2s256::new()));
        let theirs = DefaultResolver.resolve_hash(&HashChoice::Blake2s).unwrap();
        let [ours, theirs] = [ours, theirs].map(|mut hash| {
            let told = (hash.name(), hash.block_len(), hash.hash_len());
            let (mut first, mut again, mut derived) = ([0; 32], [0; 32], ([0; 32], [0; 32]));
            hash.input(b"of these");
            hash.result(&mut first);
            hash.input(b"not of these");
            hash.reset();
            hash.input(&[7; 200]);
            hash.result(&mut again);
            hash.hkdf(&[1; 32], b"key", 2, &mut derived.0, &mut derived.1, &mut []);
            (told, first, again, derived)
        });
        assert_eq!(ours, theirs);
    }

    #[test]
    fn it_is_the_cipher_of_noise_through_many_keys() {
        let (mut ours, mut theirs) = (ChaChaPoly { key: [9; 32] }, reference());
        theirs.set(&[9; 32]);
        for nonce in 0..50 {
            let text = vec![3; 41 * usize::try_from(nonce).unwrap()];
            let (mut a, mut b) = (vec![0; text.len() + TAG_LEN], vec![0; text.len() + TAG_LEN]);
            assert_eq!(ours.encrypt(nonce, b"with", &text, &mut a), a.len());
            assert_eq!(theirs.encrypt(nonce, b"with", &text, &mut b), b.len());
            assert_eq!(a, b);
            let mut opened = vec![0; text.len()];
            assert_eq!(ours.decrypt(nonce, b"with", &b, &mut opened), Ok(text.len()));
            assert_eq!(opened, text);
            a[text.len() / 2] ^= 1;
            assert_eq!(ours.decrypt(nonce, b"with", &a, &mut opened), Err(snow::Error::Decrypt));
            ours.rekey();
            theirs.rekey();
        }
    }
}

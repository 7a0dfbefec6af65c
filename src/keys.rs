//! Keys as WireGuard writes them: 32 bytes in base64. Secret ones are wiped on drop and
//! print as `(hidden)`.
//!
//! Owns their text form and nothing else: `wire` uses them, `config` reads the files they
//! stand in.

use base64ct::{Base64, Encoding};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of an X25519 key (RFC 7748 §5) and of a Noise pre-shared key (Noise §9.2).
pub const KEY_LEN: usize = 32;
/// Characters of its base64 form, with padding.
pub const KEY_TEXT_LEN: usize = 44;
/// Bytes of a fingerprint.
#[cfg(feature = "mdns")]
const FINGERPRINT_LEN: usize = 16;

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a key: want 32 bytes in base64, 44 characters that end in `=`")
    }
}

impl std::error::Error for KeyError {}

fn decode(text: &str) -> Result<[u8; KEY_LEN], KeyError> {
    let mut bytes = [0; KEY_LEN];
    // Constant time in the characters, so that reading a key leaks nothing of it.
    match Base64::decode(text.trim(), &mut bytes) {
        Ok(decoded) if decoded.len() == KEY_LEN => Ok(bytes),
        _ => {
            bytes.zeroize();
            Err(KeyError)
        }
    }
}

/// The public half of a static key pair: names a server or a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; KEY_LEN]);

impl PublicKey {
    /// Reads the base64 form.
    ///
    /// # Errors
    /// [`KeyError`] if the text is anything else than 32 bytes in base64.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        decode(text).map(PublicKey)
    }

    /// The first eight characters of the text form: enough to tell keys apart in a log.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }

    /// What a server announces of its key: the first 16 bytes of its BLAKE2s-256, in hexadecimal.
    /// Whoever has the key recognises it, nobody learns the key from it, and to find another key
    /// with the same takes 2^128 tries.
    #[cfg(feature = "mdns")]
    pub fn fingerprint(&self) -> String {
        use blake2::{Blake2s256, Digest};
        let digest = Blake2s256::digest(self.0);
        digest.iter().take(FINGERPRINT_LEN).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; KEY_LEN]);

        impl $name {
            /// Takes the bytes over.
            pub fn new(bytes: [u8; KEY_LEN]) -> Self {
                $name(bytes)
            }

            /// Reads the base64 form.
            ///
            /// # Errors
            /// [`KeyError`] if the text is anything else than 32 bytes in base64.
            pub fn from_text(text: &str) -> Result<Self, KeyError> {
                decode(text).map($name)
            }

            /// The bytes, for the cipher.
            pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
                &self.0
            }

            /// The base64 form, for the one file or screen it is meant for: never the log.
            pub fn to_text(&self) -> zeroize::Zeroizing<String> {
                zeroize::Zeroizing::new(Base64::encode_string(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    };
}

secret_key! {
    /// The private half of a static key pair (X25519, RFC 7748).
    PrivateKey
}

secret_key! {
    /// A pre-shared key (Noise §9, `psk2`): keeps a recorded session closed even to someone
    /// who later breaks X25519.
    Psk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree_both_ways() {
        let key = PublicKey([0x5a; KEY_LEN]);
        assert_eq!(key.to_string().len(), KEY_TEXT_LEN);
        assert_eq!(PublicKey::from_text(&key.to_string()), Ok(key));
        let psk = Psk::new([1; KEY_LEN]);
        assert_eq!(Psk::from_text(&psk.to_text()), Ok(psk));
    }

    /// As Python's hashlib.blake2s and `openssl blake2s256` have it.
    #[cfg(feature = "mdns")]
    #[test]
    fn a_fingerprint_is_the_start_of_the_blake2s_of_the_key() {
        let key = PublicKey([0x5a; KEY_LEN]);
        assert_eq!(key.fingerprint(), "350fbd1b6f636a97e4b5a13a9c1c34c9");
    }

    #[test]
    fn anything_but_32_bytes_is_refused() {
        for text in ["", "AAAA", "not base64 at all, not even close to it....", &"A".repeat(44)] {
            assert_eq!(PublicKey::from_text(text), Err(KeyError), "{text:?}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", PrivateKey::new([9; 32])), "PrivateKey(hidden)");
    }
}

//! What a server says of itself in DNS-SD (RFC 6763), and what a client makes of it.
//!
//! Pure: texts in, texts and a verdict out. It owns no socket. An announcement proves nothing, for
//! anybody can repeat it: it tells whom to ask, and the handshake tells who answered.

use crate::keys::PublicKey;

/// The type of service (RFC 6763 §7), in the domain of multicast DNS.
pub const SERVICE: &str = "_netrng._tcp.local.";
/// The protocol that is spoken there.
const PROTOCOL: &str = "netrng/1";

const VERSION_KEY: &str = "version";
const PROTOCOL_KEY: &str = "protocol";
const FINGERPRINT_KEY: &str = "key";

/// The TXT record (RFC 6763 §6) of a server with this key: names and values.
pub fn texts(key: &PublicKey) -> [(&'static str, String); 3] {
    [
        (VERSION_KEY, env!("CARGO_PKG_VERSION").to_owned()),
        (PROTOCOL_KEY, PROTOCOL.to_owned()),
        (FINGERPRINT_KEY, key.fingerprint()),
    ]
}

/// Whom an announcement claims to be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The server whose key is trusted.
    Trusted,
    /// That server, speaking something else.
    OtherProtocol,
    /// Another server, or nobody says who.
    Stranger,
}

/// Judges an announcement, whose TXT record `text` looks values up in, by the key that is trusted.
pub fn judge<'t>(text: impl Fn(&str) -> Option<&'t [u8]>, trusted: &PublicKey) -> Claim {
    if text(FINGERPRINT_KEY) != Some(trusted.fingerprint().as_bytes()) {
        return Claim::Stranger;
    }
    match text(PROTOCOL_KEY) == Some(PROTOCOL.as_bytes()) {
        true => Claim::Trusted,
        false => Claim::OtherProtocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::native::PROLOGUE;
    use proptest::prelude::*;

    const OURS: PublicKey = PublicKey([7; 32]);

    fn judge_texts(texts: &[(&str, &[u8])]) -> Claim {
        judge(|name| texts.iter().find(|(n, _)| *n == name).map(|(_, value)| *value), &OURS)
    }

    #[test]
    fn what_a_server_says_is_trusted_by_those_who_have_its_key_and_by_nobody_else() {
        let said = |key: PublicKey| {
            let texts = texts(&key);
            let texts: Vec<_> = texts.iter().map(|(n, value)| (*n, value.as_bytes())).collect();
            judge_texts(&texts)
        };
        assert_eq!(said(OURS), Claim::Trusted);
        assert_eq!(said(PublicKey([8; 32])), Claim::Stranger);
        let mut last_bit = OURS;
        last_bit.0[31] ^= 1;
        assert_eq!(said(last_bit), Claim::Stranger);
        assert_eq!(PROTOCOL.as_bytes(), PROLOGUE);
    }

    #[test]
    fn what_is_missing_cut_or_more_is_not_trusted() {
        let print = OURS.fingerprint();
        let (print, longer) = (print.as_bytes(), print.clone() + "0");
        let right = ("protocol", PROTOCOL.as_bytes());
        for (claim, texts) in [
            (Claim::Trusted, &[right, ("key", print)][..]),
            (Claim::OtherProtocol, &[("key", print)]),
            (Claim::OtherProtocol, &[("protocol", b"netrng/2"), ("key", print)]),
            (Claim::Stranger, &[]),
            (Claim::Stranger, &[right]),
            (Claim::Stranger, &[right, ("key", b"")]),
            (Claim::Stranger, &[right, ("key", &print[..31])]),
            (Claim::Stranger, &[right, ("key", longer.as_bytes())]),
        ] {
            assert_eq!(judge_texts(texts), claim, "{texts:?}");
        }
    }

    proptest! {
        #[test]
        fn no_other_text_is_trusted(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assume!(value != OURS.fingerprint().as_bytes());
            let texts = [("protocol", PROTOCOL.as_bytes()), ("key", &value[..])];
            prop_assert_eq!(judge_texts(&texts), Claim::Stranger);
        }
    }
}

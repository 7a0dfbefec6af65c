//! The PROXY protocol, version 2: what a load balancer says of the connection it passes on.
//!
//! Owns the binary header of HAProxy's `doc/proxy-protocol.txt`, section 2.2. Whether the peer
//! may be believed is for others to know. Version 1, a line of text, is not spoken.

use super::CodecError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Twelve bytes that begin no other protocol.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, and length of the rest.
const HEAD_LEN: usize = 16;
/// Addresses and extensions, bytes: the longest addresses are 216, TLS details some hundred.
const REST_MAX: usize = 1024;

/// In whose name a balancer connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxied {
    /// Its own: it looks whether we are well.
    Itself,
    /// A client's that has no address, as one of its own machine.
    Somebody,
    /// A client's.
    For {
        /// Where the client is.
        address: IpAddr,
        /// Its port.
        port: u16,
    },
}

/// What the header at the front of `input` says, and its length. `None`: more bytes are needed.
///
/// # Errors
/// [`CodecError::BadMessage`] if it is none, [`CodecError::BadLength`] if it is too long or too
/// short for its addresses.
pub fn decode(input: &[u8]) -> Result<Option<(Proxied, usize)>, CodecError> {
    let known = input.len().min(SIGNATURE.len());
    if input[..known] != SIGNATURE[..known] {
        return Err(CodecError::BadMessage);
    }
    let Some(&[command, family, high, low]) = input.get(known..HEAD_LEN) else { return Ok(None) };
    let rest_len = usize::from(u16::from_be_bytes([high, low]));
    if rest_len > REST_MAX {
        return Err(CodecError::BadLength);
    }
    let Some(rest) = input.get(HEAD_LEN..HEAD_LEN + rest_len) else { return Ok(None) };
    let found = match (command, family >> 4) {
        (0x20, _) => Proxied::Itself,
        (0x21, 1) => {
            let octets: [u8; 4] = part(rest, 0)?;
            Proxied::For { address: Ipv4Addr::from(octets).into(), port: port(rest, 8)? }
        }
        (0x21, 2) => {
            let octets: [u8; 16] = part(rest, 0)?;
            Proxied::For { address: Ipv6Addr::from(octets).into(), port: port(rest, 32)? }
        }
        // Unix sockets, or unspecified: there is no address to go by.
        (0x21, 0 | 3) => Proxied::Somebody,
        _ => return Err(CodecError::BadMessage),
    };
    Ok(Some((found, HEAD_LEN + rest_len)))
}

fn part<const N: usize>(rest: &[u8], at: usize) -> Result<[u8; N], CodecError> {
    let bytes = rest.get(at..at + N).ok_or(CodecError::BadLength)?;
    bytes.try_into().map_err(|_| CodecError::BadLength)
}

fn port(rest: &[u8], at: usize) -> Result<u16, CodecError> {
    part(rest, at).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn says_who_is_behind_the_balancer() {
        let four = header(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x1F, 0x90, 0, 80]);
        let six = [&[0x20, 1, 0xD, 0xB8][..], &[0; 11], &[9], &[0; 16], &[1, 2, 0, 80]].concat();
        let six = header(0x21, 0x21, &six);
        for (header, expected) in [
            (four, Proxied::For { address: "192.0.2.7".parse().unwrap(), port: 8080 }),
            (six, Proxied::For { address: "2001:db8::9".parse().unwrap(), port: 258 }),
            (header(0x20, 0, b"anything"), Proxied::Itself),
            (header(0x21, 0, b""), Proxied::Somebody),
            (header(0x21, 0x31, &[0; 216]), Proxied::Somebody),
        ] {
            for cut in 0..header.len() {
                assert_eq!(decode(&header[..cut]), Ok(None), "{cut}");
            }
            let input = [&header[..], b"rest"].concat();
            assert_eq!(decode(&input), Ok(Some((expected, header.len()))));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let bad = CodecError::BadMessage;
        for (input, error) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(), bad),
            (header(0x11, 0x11, &[0; 12]), bad),
            (header(0x22, 0x11, &[0; 12]), bad),
            (header(0x21, 0x41, &[0; 12]), bad),
            (header(0x21, 0x11, &[0; 9]), CodecError::BadLength),
            (header(0x20, 0, &[0; REST_MAX + 1]), CodecError::BadLength),
        ] {
            assert_eq!(decode(&input), Err(error), "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(rest in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&rest);
            let _ = decode(&[&SIGNATURE[..], &rest].concat());
        }
    }
}

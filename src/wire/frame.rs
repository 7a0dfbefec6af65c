//! Frames: what stands inside a message of the native protocol, with Noise or without.
//!
//! Owns the u16 big-endian length before each message, the type byte and the bodies. It does
//! not encrypt.

use super::{Answer, ByeReason, CodecError, Reply, Request, WaitReason};
use crate::sample::{SAMPLE_SIZE_MAX, Sample};
use std::time::Duration;

/// Bytes of the length before each message.
pub const LENGTH_LEN: usize = 2;
/// Longest message a client may send, bytes. What this version knows needs 25; the rest is
/// room for types that later versions add and older ones ignore.
pub const REQUEST_MESSAGE_MAX: usize = 256;
/// Longest message a server may send, bytes: a sample, its type byte and a Noise tag.
pub const ANSWER_MESSAGE_MAX: usize = SAMPLE_SIZE_MAX + 1 + 16;

const REQUEST: u8 = 0x01;
const PING: u8 = 0x02;
const CLIENT_BYE: u8 = 0x03;
const NAME: u8 = 0x04;
/// The type byte of a SAMPLE; its body is written in place, without a copy.
pub const SAMPLE: u8 = 0x81;
const PONG: u8 = 0x82;
const WAIT: u8 = 0x83;
const BYE: u8 = 0x84;

/// The length of the next message, if it is there whole; the message stands behind its
/// length.
///
/// # Errors
/// [`CodecError::BadLength`] if the length lies outside `min..=max`.
pub fn next_len(input: &[u8], min: usize, max: usize) -> Result<Option<usize>, CodecError> {
    let Some(length) = input.first_chunk::<LENGTH_LEN>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if !(min..=max).contains(&length) {
        return Err(CodecError::BadLength);
    }
    Ok((input.len() >= LENGTH_LEN + length).then_some(length))
}

/// Appends the length of a message.
///
/// # Panics
/// If the message is longer than [`ANSWER_MESSAGE_MAX`]; no caller makes one.
pub fn push_len(length: usize, output: &mut Vec<u8>) {
    let length = u16::try_from(length).expect("messages are shorter than 64 KiB");
    output.extend_from_slice(&length.to_be_bytes());
}

/// Longest name of a client, bytes: it fits a line of status.
const NAME_LEN_MAX: usize = 64;

/// Whether a client may be called so: 1 to 64 letters A-Z a-z, digits, `.`, `_` or `-`.
pub fn is_client_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// Reads the NAME by which a client of the plain protocol begins; it may be empty.
///
/// # Errors
/// [`CodecError::OutOfOrder`] for anything else, [`CodecError::BadBody`] for what is no name.
pub fn parse_name(message: &[u8]) -> Result<String, CodecError> {
    let Some((&NAME, body)) = message.split_first() else { return Err(CodecError::OutOfOrder) };
    let name =
        std::str::from_utf8(body).ok().filter(|name| name.is_empty() || is_client_name(name));
    name.map(str::to_owned).ok_or(CodecError::BadBody)
}

/// Reads what a client says. NAME counts as unknown: see [`parse_name`].
///
/// # Errors
/// [`CodecError`] for an empty message or a known type with a wrong body.
pub fn parse_request(message: &[u8]) -> Result<Request, CodecError> {
    let (&kind, body) = message.split_first().ok_or(CodecError::BadLength)?;
    Ok(match kind {
        REQUEST => Request::Bytes(u32::from_be_bytes(exactly(body)?)),
        PING => Request::Ping(u64::from_be_bytes(exactly(body)?)),
        CLIENT_BYE => {
            exactly::<0>(body)?;
            Request::Bye
        }
        _ => Request::Unknown,
    })
}

/// Reads what a server says. `None`: a type that this version does not know.
///
/// # Errors
/// [`CodecError`] for an empty message, an empty sample or a known type with a wrong body.
pub fn parse_answer(message: &[u8]) -> Result<Option<Answer>, CodecError> {
    let (&kind, body) = message.split_first().ok_or(CodecError::BadLength)?;
    Ok(Some(match kind {
        SAMPLE if body.is_empty() => return Err(CodecError::BadBody),
        SAMPLE => Answer::Sample(Sample::new(body.to_vec())),
        PONG => Answer::Pong(u64::from_be_bytes(exactly(body)?)),
        WAIT => {
            let (reason, span) = parse_reason(body)?;
            Answer::Wait(WaitReason::from_code(reason), span)
        }
        BYE => {
            let (reason, span) = parse_reason(body)?;
            Answer::Bye(ByeReason::from_code(reason), span)
        }
        _ => return Ok(None),
    }))
}

/// Appends type and body of a request.
pub fn push_request(request: &Request, message: &mut Vec<u8>) {
    match request {
        Request::Bytes(count) => {
            message.push(REQUEST);
            message.extend_from_slice(&count.to_be_bytes());
        }
        Request::Ping(token) => {
            message.push(PING);
            message.extend_from_slice(&token.to_be_bytes());
        }
        Request::Bye => message.push(CLIENT_BYE),
        Request::Name(name) => {
            message.push(NAME);
            message.extend_from_slice(name.as_bytes());
        }
        // `Hello`, `Proved` and `Unknown` have no frame, nor what only guests say.
        _ => {}
    }
}

/// Appends type and body of a reply. `Welcome` has no frame of its own.
pub fn push_reply(reply: &Reply, message: &mut Vec<u8>) {
    match reply {
        Reply::Sample(sample) => {
            message.push(SAMPLE);
            message.extend_from_slice(sample.as_bytes());
        }
        Reply::Pong(token) => {
            message.push(PONG);
            message.extend_from_slice(&token.to_be_bytes());
        }
        Reply::Wait(reason, span) => push_reason(WAIT, reason.code(), *span, message),
        Reply::Bye(reason, span) => push_reason(BYE, reason.code(), *span, message),
        // Nor what only guests hear.
        Reply::Welcome(..) | Reply::Spare(_) | Reply::Level(_) | Reply::Page(_) => {}
    }
}

fn exactly<const N: usize>(body: &[u8]) -> Result<[u8; N], CodecError> {
    body.try_into().map_err(|_| CodecError::BadBody)
}

fn parse_reason(body: &[u8]) -> Result<(u8, Duration), CodecError> {
    let [reason, a, b, c, d] = exactly(body)?;
    Ok((reason, Duration::from_millis(u32::from_be_bytes([a, b, c, d]).into())))
}

fn push_reason(kind: u8, reason: u8, span: Duration, message: &mut Vec<u8>) {
    let millis = u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
    message.extend_from_slice(&[kind, reason]);
    message.extend_from_slice(&millis.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_and_their_frames_agree_both_ways() {
        for request in [Request::Bytes(u32::MAX), Request::Ping(7), Request::Bye] {
            let mut message = Vec::new();
            push_request(&request, &mut message);
            assert_eq!(parse_request(&message), Ok(request));
        }
    }

    #[test]
    fn replies_and_their_frames_agree_both_ways() {
        let mut message = Vec::new();
        push_reply(
            &Reply::Wait(WaitReason::SourceFailed, Duration::from_millis(1500)),
            &mut message,
        );
        assert_eq!(message, [0x83, 2, 0, 0, 5, 220]);
        let answer = parse_answer(&message).unwrap().unwrap();
        assert!(
            matches!(answer, Answer::Wait(WaitReason::SourceFailed, span) if span.as_millis() == 1500)
        );

        message.clear();
        push_reply(&Reply::Sample(Sample::new(vec![1, 2, 3])), &mut message);
        let answer = parse_answer(&message).unwrap().unwrap();
        assert!(matches!(answer, Answer::Sample(sample) if sample.as_bytes() == [1, 2, 3]));
    }

    #[test]
    fn unknown_types_are_passed_over_and_wrong_bodies_are_not() {
        assert_eq!(parse_request(&[0x7f, 1, 2, 3]), Ok(Request::Unknown));
        assert_eq!(parse_request(&[]), Err(CodecError::BadLength));
        assert_eq!(parse_request(&[REQUEST, 0, 0, 1]), Err(CodecError::BadBody));
        assert_eq!(parse_request(&[CLIENT_BYE, 0]), Err(CodecError::BadBody));
        assert!(matches!(parse_answer(&[SAMPLE]), Err(CodecError::BadBody)));
        assert!(matches!(parse_answer(&[0xff]), Ok(None)));
    }

    #[test]
    fn a_name_is_one_or_none_and_nothing_else() {
        let longest = "a".repeat(64);
        for name in ["", "a", "vm-1.example_2", &longest] {
            let mut message = Vec::new();
            push_request(&Request::Name(name.into()), &mut message);
            assert_eq!(parse_name(&message), Ok(name.to_owned()));
            assert_eq!(parse_request(&message), Ok(Request::Unknown), "not over Noise");
        }
        for name in ["a b", "a\n", "\u{e9}", "a/b", &"a".repeat(65)] {
            let message = [&[NAME], name.as_bytes()].concat();
            assert_eq!(parse_name(&message), Err(CodecError::BadBody), "{name:?}");
        }
        assert_eq!(parse_name(&[NAME, 0xff]), Err(CodecError::BadBody));
        assert_eq!(parse_name(&[REQUEST, 0, 0, 8, 0]), Err(CodecError::OutOfOrder));
    }

    #[test]
    fn codes_this_version_does_not_know_survive() {
        assert_eq!(ByeReason::from_code(200), ByeReason::Unknown(200));
        assert_eq!(ByeReason::from_code(ByeReason::Idle.code()), ByeReason::Idle);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(message in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_request(&message);
            let _ = parse_name(&message);
            let _ = parse_answer(&message);
            let _ = next_len(&message, 1, REQUEST_MESSAGE_MAX);
        }
    }
}

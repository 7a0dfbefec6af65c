//! NetRNG 0.2, what the original Python daemon speaks: a MessagePack map, and a delimiter.
//!
//! Owns both sides and the part of MessagePack that they need. Answers carry no mark of what they
//! answer, so a request is heard only when the one before has its answer. Strings and bytes are
//! one to the original, and it writes both in the form that the first MessagePack had.

use super::{Answer, ClientCodec, CodecError, Reply, Request, ServerCodec};
use crate::sample::Sample;
use zeroize::Zeroize;

/// Ends each message.
const DELIMITER: &[u8] = b"--NETRNG-SOCKET-DELIMITER";
const GET_SAMPLE: &[u8] = b"\x81\xa3get\xa6sample";
const GET_HEARTBEAT: &[u8] = b"\x81\xa3get\xa9heartbeat";
const PUSH_HEARTBEAT: &[u8] = b"\x81\xa4push\xa9heartbeat";
/// Then the sample's length, u16 big-endian, and the sample.
const PUSH_SAMPLE: &[u8] = b"\x82\xa4push\xa6sample\xa6sample\xda";

/// Longest message of a client, bytes, its delimiter included: the original's have 40.
const REQUEST_MAX: usize = 1024;
/// Longest message of a server: the original's samples have 2,048 bytes unless its configuration
/// says otherwise, and this is room for 32 times that.
const ANSWER_MAX: usize = 64 * 1024 + 256;

/// The server's side.
#[derive(Debug, Default)]
pub struct Netrng02Server {
    /// Whether a sample was asked for and the answer is still to come.
    is_asked: bool,
}

impl ServerCodec for Netrng02Server {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        _output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        if self.is_asked {
            return Ok(None);
        }
        let Some(len) = message_len(input, REQUEST_MAX)? else { return Ok(None) };
        let request = match Message::read(&input[..len])?.get {
            Some(b"sample") => Request::Sample,
            Some(b"heartbeat") => Request::Ping(0),
            // The original passes over it as well.
            Some(_) => Request::Unknown,
            None => return Err(CodecError::BadBody),
        };
        self.is_asked = request == Request::Sample;
        input.drain(..len + DELIMITER.len());
        Ok(Some(request))
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        match reply {
            Reply::Sample(sample) if self.is_asked => {
                let len = u16::try_from(sample.len()).map_err(|_| CodecError::BadLength)?;
                output.reserve(PUSH_SAMPLE.len() + 2 + sample.len() + DELIMITER.len());
                output.extend_from_slice(PUSH_SAMPLE);
                output.extend_from_slice(&len.to_be_bytes());
                push(sample.as_bytes(), output);
                self.is_asked = false;
            }
            // The original takes it for an answer, and asks again in a second.
            Reply::Wait(..) if self.is_asked => {
                push(PUSH_HEARTBEAT, output);
                self.is_asked = false;
            }
            Reply::Pong(_) => push(PUSH_HEARTBEAT, output),
            // Unasked, there is no way to say it.
            Reply::Wait(..) | Reply::Bye(..) => {}
            _ => return Err(CodecError::OutOfOrder),
        }
        Ok(())
    }
}

/// The client's side. One request has one answer, a sample of any length or a heartbeat.
#[derive(Debug, Default)]
pub struct Netrng02Client;

impl ClientCodec for Netrng02Client {
    fn start(&mut self, _output: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(&mut self, input: &mut Vec<u8>) -> Result<Option<Answer>, CodecError> {
        while let Some(len) = message_len(input, ANSWER_MAX)? {
            let message = Message::read(&input[..len])?;
            let answer = match (message.push, message.sample) {
                (Some(b"sample"), Some(sample)) => Some(Answer::Sample(Sample::new(sample.into()))),
                (Some(b"heartbeat"), _) => Some(Answer::Pong(0)),
                (Some(b"sample") | None, _) => return Err(CodecError::BadBody),
                _ => None,
            };
            let end = len + DELIMITER.len();
            input[..end].zeroize();
            input.drain(..end);
            if answer.is_some() {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    fn encode(&mut self, request: Request, output: &mut Vec<u8>) -> Result<(), CodecError> {
        match request {
            Request::Sample => push(GET_SAMPLE, output),
            Request::Ping(_) => push(GET_HEARTBEAT, output),
            // It has no word for it: the connection's end must do.
            Request::Bye => {}
            _ => return Err(CodecError::OutOfOrder),
        }
        Ok(())
    }
}

/// Appends the rest of a message and its delimiter.
fn push(rest: &[u8], output: &mut Vec<u8>) {
    output.extend_from_slice(rest);
    output.extend_from_slice(DELIMITER);
}

/// The length of the message at the front without its delimiter, once that is there. One that a
/// sample holds by chance, in 2^200 cases, ends the session.
///
/// # Errors
/// [`CodecError::BadLength`] if the delimiter does not end within `max` bytes.
fn message_len(input: &[u8], max: usize) -> Result<Option<usize>, CodecError> {
    let seen = &input[..input.len().min(max)];
    match seen.windows(DELIMITER.len()).position(|window| window == DELIMITER) {
        None if seen.len() == max => Err(CodecError::BadLength),
        found => Ok(found),
    }
}

/// What stands at the keys that matter, if it is a text or bytes. Of a key that comes twice the
/// last holds, as in Python.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message<'a> {
    get: Option<&'a [u8]>,
    push: Option<&'a [u8]>,
    sample: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads one map and nothing more.
    fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader(bytes);
        let message = reader.message().filter(|_| reader.0.is_empty());
        message.ok_or(CodecError::BadMessage)
    }
}

/// A value of MessagePack, as far as it matters here.
enum Value<'a> {
    /// `str` or `bin`.
    Text(&'a [u8]),
    /// So many entries, each a key and a value, stand behind.
    Map(u64),
    /// So many values stand behind.
    Array(u64),
    Other,
}

/// Takes values of MessagePack off the front; `None` where they break off or make no sense.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn message(&mut self) -> Option<Message<'a>> {
        let Value::Map(entries) = self.value()? else { return None };
        let mut message = Message::default();
        // Each entry takes two bytes or more, so a wrong number soon comes to the end.
        for _ in 0..entries {
            let key = self.whole()?;
            let value = self.whole()?;
            match key {
                Some(b"get") => message.get = value,
                Some(b"push") => message.push = value,
                Some(b"sample") => message.sample = value,
                _ => {}
            }
        }
        Some(message)
    }

    /// A value with all that is in it, however deep; the text if it is one.
    fn whole(&mut self) -> Option<Option<&'a [u8]>> {
        let mut left = match self.value()? {
            Value::Text(text) => return Some(Some(text)),
            other => other.inside(),
        };
        // No more is kept of the depth than a number.
        while left > 0 {
            left = left - 1 + self.value()?.inside();
        }
        Some(None)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let kind = self.number(1)?;
        let text = |bytes| Some(Value::Text(bytes));
        let other = |_| Some(Value::Other);
        match kind {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Some(Value::Other),
            0x80..=0x8f => Some(Value::Map(kind & 0x0f)),
            0x90..=0x9f => Some(Value::Array(kind & 0x0f)),
            0xa0..=0xbf => self.take(kind & 0x1f).and_then(text),
            0xc4..=0xc6 => self.sized(kind - 0xc4, 0).and_then(text),
            0xc7..=0xc9 => self.sized(kind - 0xc7, 1).and_then(other),
            0xca => self.take(4).and_then(other),
            0xcb => self.take(8).and_then(other),
            0xcc..=0xd3 => self.take(1 << (kind & 3)).and_then(other),
            0xd4..=0xd8 => self.take(1 + (1 << (kind - 0xd4))).and_then(other),
            0xd9..=0xdb => self.sized(kind - 0xd9, 0).and_then(text),
            0xdc | 0xdd => self.number(2 << (kind - 0xdc)).map(Value::Array),
            0xde | 0xdf => self.number(2 << (kind - 0xde)).map(Value::Map),
            _ => None,
        }
    }

    /// Bytes behind their number, which has 1, 2 or 4 bytes; and so many `more`.
    fn sized(&mut self, log_width: u64, more: u64) -> Option<&'a [u8]> {
        let len = self.number(1 << log_width)?;
        self.take(len + more)
    }

    fn number(&mut self, width: u64) -> Option<u64> {
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(front)
    }
}

impl Value<'_> {
    /// Values that stand behind and belong to it.
    fn inside(&self) -> u64 {
        match *self {
            Value::Map(entries) => 2 * entries,
            Value::Array(count) => count,
            Value::Text(_) | Value::Other => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::WaitReason;
    use proptest::prelude::*;
    use std::time::Duration;

    fn message(map: &[u8]) -> Vec<u8> {
        [map, DELIMITER].concat()
    }

    fn server(input: &mut Vec<u8>) -> Result<Option<Request>, CodecError> {
        Netrng02Server::default().decode(input, &mut Vec::new())
    }

    fn encode(server: &mut Netrng02Server, reply: Reply) -> Result<Vec<u8>, CodecError> {
        let mut output = Vec::new();
        server.encode(reply, &mut output).map(|()| output)
    }

    const WAIT: Reply = Reply::Wait(WaitReason::SourceFailed, Duration::ZERO);

    #[test]
    fn each_request_and_its_answer_one_at_a_time() {
        let mut codec = Netrng02Server::default();
        let all = [GET_SAMPLE, GET_HEARTBEAT, GET_SAMPLE, b"\x81\xa3get\xa4more"];
        let mut input: Vec<u8> = all.into_iter().flat_map(message).collect();
        let mut next = |codec: &mut Netrng02Server| codec.decode(&mut input, &mut Vec::new());
        assert_eq!(next(&mut codec), Ok(Some(Request::Sample)));
        assert_eq!(next(&mut codec), Ok(None), "two requests at once are answered in turn");
        let sample = encode(&mut codec, Reply::Sample(Sample::new(vec![7; 300]))).unwrap();
        let expected = b"\x82\xa4push\xa6sample\xa6sample\xda\x01\x2c";
        assert_eq!(sample, message(&[&expected[..], &[7; 300]].concat()));
        assert_eq!(next(&mut codec), Ok(Some(Request::Ping(0))));
        let heartbeat = message(b"\x81\xa4push\xa9heartbeat");
        assert_eq!(encode(&mut codec, Reply::Pong(0)).unwrap(), heartbeat);
        assert_eq!(next(&mut codec), Ok(Some(Request::Sample)));
        assert_eq!(encode(&mut codec, WAIT).unwrap(), heartbeat, "which is the answer");
        assert_eq!(next(&mut codec), Ok(Some(Request::Unknown)));
        assert_eq!(next(&mut codec), Ok(None));
    }

    #[test]
    fn nothing_is_said_unasked() {
        let mut codec = Netrng02Server::default();
        assert_eq!(encode(&mut codec, WAIT), Ok(Vec::new()));
        let sample = Reply::Sample(Sample::new(vec![1]));
        assert_eq!(encode(&mut codec, sample), Err(CodecError::OutOfOrder));
    }

    #[test]
    fn every_form_of_the_words_is_understood_and_what_else_there_is_is_passed_over() {
        for map in [
            // str8, str16, str32, bin8, bin16, bin32.
            &b"\x81\xd9\x03get\xd9\x06sample"[..],
            b"\x81\xda\x00\x03get\xda\x00\x06sample",
            b"\x81\xdb\x00\x00\x00\x03get\xdb\x00\x00\x00\x06sample",
            b"\x81\xc4\x03get\xc4\x06sample",
            b"\x81\xc5\x00\x03get\xc5\x00\x06sample",
            b"\x81\xc6\x00\x00\x00\x03get\xc6\x00\x00\x00\x06sample",
            // map16, map32.
            b"\xde\x00\x01\xa3get\xa6sample",
            b"\xdf\x00\x00\x00\x01\xa3get\xa6sample",
            // Of two the last.
            b"\x82\xa3get\xa1x\xa3get\xa6sample",
            // Entries with every other type, as keys and as values, and maps in arrays in maps.
            b"\x85\x01\xc0\xc2\xc3\xff\xca1234\xa3get\xa6sample\xcb12345678\xcc1",
            b"\x84\xcd12\xce1234\xcf12345678\xd01\xd112\xd21234\xa3get\xa6sample",
            b"\x84\xd312345678\xd4t1\xd5t12\xd6t1234\xd7t12345678\xa1x\xa3get\xa6sample",
            b"\x84\xd8t1234567890123456\xc7\x01t1\xc8\x00\x01t1\x00\xa3get\xa6sample\x07\x08",
            b"\x83\xc9\x00\x00\x00\x01t1\x01\x91\x81\xa1a\x92\x01\xdc\x00\x01\x80\x02\xa3get\xa6sample",
            b"\x82\xdd\x00\x00\x00\x02\x01\x02\xdf\x00\x00\x00\x01\x01\x02\xa3get\xa6sample",
        ] {
            assert_eq!(server(&mut message(map)), Ok(Some(Request::Sample)), "{map:02x?}");
        }
    }

    #[test]
    fn what_is_no_request_ends_the_session() {
        for (map, error) in [
            (&b""[..], CodecError::BadMessage),
            (b"\xa3get", CodecError::BadMessage),
            (b"\x81\xa3get", CodecError::BadMessage),
            (b"\x81\xa3get\xc1", CodecError::BadMessage),
            (b"\x81\xa3get\xd9\xffsample", CodecError::BadMessage),
            (b"\xdf\xff\xff\xff\xff\xa3get\xa6sample", CodecError::BadMessage),
            (b"\x81\xa3get\xdd\xff\xff\xff\xff", CodecError::BadMessage),
            (b"\x81\xa3get\xa6sample\x00", CodecError::BadMessage),
            (b"\x80", CodecError::BadBody),
            (b"\x81\xa3got\xa6sample", CodecError::BadBody),
            (b"\x81\xa3get\x01", CodecError::BadBody),
        ] {
            assert_eq!(server(&mut message(map)), Err(error), "{map:02x?}");
        }
    }

    #[test]
    fn a_message_is_bounded_and_so_is_what_is_inside_it() {
        assert_eq!(server(&mut vec![0x90; REQUEST_MAX - 1]), Ok(None), "more may come");
        assert_eq!(server(&mut vec![0x90; REQUEST_MAX]), Err(CodecError::BadLength));
        let deep = [&[0x82, 0xa1, b'x'][..], &[0x91; 900], &[0], &GET_SAMPLE[1..]].concat();
        assert_eq!(server(&mut message(&deep)), Ok(Some(Request::Sample)));
        let mut endless = vec![0; ANSWER_MAX];
        assert!(matches!(Netrng02Client.decode(&mut endless), Err(CodecError::BadLength)));
    }

    #[test]
    fn the_client_hears_samples_of_any_length_and_passes_over_what_it_does_not_know() {
        for len in [0, 1, 31, 2048, 65_535] {
            let header =
                if len < 32 { vec![0xa0 | u8::try_from(len).unwrap()] } else { vec![0xdb] };
            let width = if len < 32 { 0 } else { 4 };
            let number = &u32::try_from(len).unwrap().to_be_bytes()[4 - width..];
            let map = &PUSH_SAMPLE[..PUSH_SAMPLE.len() - 1];
            let map = [map, &header, number, &vec![9; len]].concat();
            let unknown = b"\x82\xa4push\xa4news\xa6sample\xa1x";
            let mut input = [message(unknown), message(&map), message(PUSH_HEARTBEAT)].concat();
            let answer = Netrng02Client.decode(&mut input).unwrap();
            let Some(Answer::Sample(sample)) = answer else { panic!("{answer:?}") };
            assert_eq!(sample.as_bytes(), vec![9; len]);
            assert!(matches!(Netrng02Client.decode(&mut input), Ok(Some(Answer::Pong(0)))));
            assert!(input.is_empty());
        }
        for map in [&b"\x80"[..], b"\x81\xa4push\xa6sample", b"\x81\xa4push\x01"] {
            let answer = Netrng02Client.decode(&mut message(map));
            assert!(matches!(answer, Err(CodecError::BadBody)), "{answer:?}");
        }
    }

    #[test]
    fn both_sides_understand_each_other() {
        let (mut codec, mut wire) = (Netrng02Server::default(), Vec::new());
        Netrng02Client.encode(Request::Sample, &mut wire).unwrap();
        assert_eq!(codec.decode(&mut wire, &mut Vec::new()), Ok(Some(Request::Sample)));
        codec.encode(Reply::Sample(Sample::new(vec![5; 32 * 1024])), &mut wire).unwrap();
        let answer = Netrng02Client.decode(&mut wire).unwrap();
        let is_whole = |sample: &Sample| sample.as_bytes() == [5; 32 * 1024];
        assert!(matches!(answer, Some(Answer::Sample(sample)) if is_whole(&sample)));
        Netrng02Client.encode(Request::Ping(0), &mut wire).unwrap();
        assert_eq!(codec.decode(&mut wire, &mut Vec::new()), Ok(Some(Request::Ping(0))));
    }

    /// Some bytes that are nearly messages.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(message(GET_SAMPLE)),
            Just(message(GET_HEARTBEAT)),
            Just(message(PUSH_HEARTBEAT)),
            Just([PUSH_SAMPLE, &[0, 2, 7, 7], DELIMITER].concat()),
            Just(b"\x82\x01\x02\xa3get".to_vec()),
            Just(DELIMITER.to_vec()),
            proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    type Talk = (Vec<Request>, Vec<u8>, Option<CodecError>);

    /// What the server hears and says; every request is answered at once.
    fn talk(bytes: &[u8], cut: usize) -> Talk {
        let (mut server, mut input) = (Netrng02Server::default(), Vec::new());
        let (mut seen, mut output) = (Vec::new(), Vec::new());
        for piece in bytes.chunks(cut) {
            input.extend_from_slice(piece);
            loop {
                match server.decode(&mut input, &mut output) {
                    Ok(None) => break,
                    Err(error) => return (seen, output, Some(error)),
                    Ok(Some(request)) => {
                        let reply = match request {
                            Request::Sample if seen.len() % 2 == 0 => WAIT,
                            Request::Sample => Reply::Sample(Sample::new(vec![1; 9])),
                            _ => Reply::Pong(0),
                        };
                        server.encode(reply, &mut output).unwrap();
                        seen.push(request);
                    }
                }
            }
        }
        (seen, output, None)
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_requests(bytes in nearly(), cut in 1usize..60) {
            prop_assert_eq!(talk(&bytes, cut), talk(&bytes, usize::MAX));
            let hear = |cut| {
                let (mut input, mut heard) = (Vec::new(), Vec::new());
                for piece in bytes.chunks(cut) {
                    input.extend_from_slice(piece);
                    loop {
                        match Netrng02Client.decode(&mut input) {
                            Ok(None) => break,
                            Ok(Some(answer)) => heard.push(Ok(format!("{answer:?}"))),
                            Err(error) => {
                                heard.push(Err(error));
                                return heard;
                            }
                        }
                    }
                }
                heard
            };
            prop_assert_eq!(hear(cut), hear(usize::MAX));
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = talk(&bytes, 7);
            // As whole messages they get further.
            let _ = talk(&message(&bytes), 7);
            let _ = Message::read(&bytes);
            let _ = Netrng02Client.decode(&mut message(&bytes));
        }
    }
}

//! The plain protocol: native frames without Noise, for unix sockets and the SSH tunnels
//! that end there.
//!
//! Owns no identity: the shell tells the user at the other end by the socket's credentials, and
//! the first frame says which of that user's clients it is. `netrng tap` says so before anything
//! from the far side gets through, so whoever sits there can choose no name.

use super::frame::{self, LENGTH_LEN};
use super::{Answer, ClientCodec, CodecError, Reply, Request, ServerCodec};
use zeroize::Zeroize;

/// The server's side.
#[derive(Debug, Default)]
pub struct PlainServer {
    is_named: bool,
}

impl ServerCodec for PlainServer {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        _output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        let Some(length) = frame::next_len(input, 1, frame::REQUEST_MESSAGE_MAX)? else {
            return Ok(None);
        };
        let message = &input[LENGTH_LEN..LENGTH_LEN + length];
        let request = match self.is_named {
            true => frame::parse_request(message)?,
            false => Request::Name(frame::parse_name(message)?),
        };
        self.is_named = true;
        input.drain(..LENGTH_LEN + length);
        Ok(Some(request))
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        if matches!(reply, Reply::Welcome(..) | Reply::Page(_)) {
            return Err(CodecError::OutOfOrder);
        }
        push_framed(output, |message| frame::push_reply(&reply, message));
        Ok(())
    }
}

/// The client's side.
#[derive(Debug, Default)]
pub struct PlainClient;

impl ClientCodec for PlainClient {
    fn start(&mut self, _output: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(&mut self, input: &mut Vec<u8>) -> Result<Option<Answer>, CodecError> {
        while let Some(length) = frame::next_len(input, 1, frame::ANSWER_MESSAGE_MAX)? {
            let end = LENGTH_LEN + length;
            let answer = frame::parse_answer(&input[LENGTH_LEN..end])?;
            input[..end].zeroize();
            input.drain(..end);
            if answer.is_some() {
                return Ok(answer);
            }
        }
        Ok(None)
    }

    fn encode(&mut self, request: Request, output: &mut Vec<u8>) -> Result<(), CodecError> {
        push_framed(output, |message| frame::push_request(&request, message));
        Ok(())
    }
}

/// Appends a message whose length is known only once it is written.
fn push_framed(output: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = output.len();
    frame::push_len(0, output);
    write(output);
    let length = u16::try_from(output.len() - start - LENGTH_LEN).expect("frames fit a u16");
    output[start..start + LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_requests(
            counts in proptest::collection::vec(any::<u32>(), 1..20),
            cut in 1usize..9,
        ) {
            let mut bytes = Vec::new();
            let name = Request::Name("vm1".into());
            PlainClient.encode(name.clone(), &mut bytes).unwrap();
            for &count in &counts {
                PlainClient.encode(Request::Bytes(count), &mut bytes).unwrap();
            }
            let (mut server, mut input) = (PlainServer::default(), Vec::new());
            let mut seen = Vec::new();
            for piece in bytes.chunks(cut) {
                input.extend_from_slice(piece);
                while let Some(request) = server.decode(&mut input, &mut Vec::new()).unwrap() {
                    seen.push(request);
                }
            }
            let counts = counts.into_iter().map(Request::Bytes);
            let expected: Vec<_> = std::iter::once(name).chain(counts).collect();
            prop_assert_eq!(seen, expected);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for is_named in [false, true] {
                let (mut server, mut input) = (PlainServer { is_named }, bytes.clone());
                while let Ok(Some(_)) = server.decode(&mut input, &mut Vec::new()) {}
            }
            let mut client_input = bytes;
            while let Ok(Some(_)) = PlainClient.decode(&mut client_input) {}
        }
    }

    #[test]
    fn the_name_comes_first_and_once() {
        let decode = |requests: &[Request]| {
            let (mut server, mut input) = (PlainServer::default(), Vec::new());
            for request in requests {
                PlainClient.encode(request.clone(), &mut input).unwrap();
            }
            let mut next = || server.decode(&mut input, &mut Vec::new());
            (next(), next())
        };
        let name = |text: &str| Request::Name(text.into());
        assert_eq!(decode(&[Request::Bytes(1)]).0, Err(CodecError::OutOfOrder));
        let (first, second) = decode(&[name(""), name("other")]);
        assert_eq!(first, Ok(Some(name(""))));
        assert_eq!(second, Ok(Some(Request::Unknown)), "a name from the far side is passed over");
    }

    #[test]
    fn a_sample_arrives_whole() {
        let mut wire = Vec::new();
        PlainServer::default()
            .encode(Reply::Sample(Sample::new(vec![9; 2048])), &mut wire)
            .unwrap();
        let answer = PlainClient.decode(&mut wire).unwrap();
        assert!(matches!(answer, Some(Answer::Sample(sample)) if sample.as_bytes() == [9; 2048]));
    }
}

//! The plain protocol: native frames without Noise, for unix sockets and the SSH tunnels
//! that end there.
//!
//! Owns no identity: the shell names the peer by its socket credentials.

use super::frame::{self, LENGTH_LEN};
use super::{Answer, ClientCodec, CodecError, Reply, Request, ServerCodec};
use zeroize::Zeroize;

/// The server's side.
#[derive(Debug, Default)]
pub struct PlainServer;

impl ServerCodec for PlainServer {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        _output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        let Some(length) = frame::next_len(input, 1, frame::REQUEST_MESSAGE_MAX)? else {
            return Ok(None);
        };
        let request = frame::parse_request(&input[LENGTH_LEN..LENGTH_LEN + length])?;
        input.drain(..LENGTH_LEN + length);
        Ok(Some(request))
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        if matches!(reply, Reply::Welcome(..)) {
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
            for &count in &counts {
                PlainClient.encode(Request::Bytes(count), &mut bytes).unwrap();
            }
            let (mut input, mut seen) = (Vec::new(), Vec::new());
            for piece in bytes.chunks(cut) {
                input.extend_from_slice(piece);
                while let Some(request) = PlainServer.decode(&mut input, &mut Vec::new()).unwrap() {
                    seen.push(request);
                }
            }
            let expected: Vec<_> = counts.into_iter().map(Request::Bytes).collect();
            prop_assert_eq!(seen, expected);
            prop_assert!(input.is_empty());
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut server_input = bytes.clone();
            while let Ok(Some(_)) = PlainServer.decode(&mut server_input, &mut Vec::new()) {}
            let mut client_input = bytes;
            while let Ok(Some(_)) = PlainClient.decode(&mut client_input) {}
        }
    }

    #[test]
    fn a_sample_arrives_whole() {
        let mut wire = Vec::new();
        PlainServer.encode(Reply::Sample(Sample::new(vec![9; 2048])), &mut wire).unwrap();
        let answer = PlainClient.decode(&mut wire).unwrap();
        assert!(matches!(answer, Some(Answer::Sample(sample)) if sample.as_bytes() == [9; 2048]));
    }
}

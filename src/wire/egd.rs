//! EGD, the protocol of the Entropy Gathering Daemon: what QEMU's `rng-egd`, ekeyd-egd-linux and
//! EntropyBroker speak.
//!
//! Owns the five commands (EGD 0.9, `README`, "The network interface"). Answers carry no mark of
//! what they answer, so a command is heard only when the one before has its whole answer.

use super::{CodecError, Reply, Request, ServerCodec};

/// How many bits could be had: u32, big-endian.
const LEVEL: u8 = 0;
/// So many bytes as are there now: their number in a byte, then they.
const READ: u8 = 1;
/// So many bytes, however long it takes.
const READ_BLOCKING: u8 = 2;
/// Bytes for the pool, with the bits of entropy that are said to be in them.
const WRITE: u8 = 3;
/// The daemon's process, as text with its length in front.
const PID: u8 = 4;

/// The server's side.
#[derive(Debug)]
pub struct EgdServer {
    /// Bytes of a blocking read, or of the greeting, that are still to come.
    owed: usize,
    /// Whether an answer is being found to [`LEVEL`] or [`READ`].
    is_asking: bool,
    pid: u32,
}

impl EgdServer {
    /// For a peer that is given `greet_len` bytes before it asks, from the process `pid`.
    pub fn new(greet_len: u8, pid: u32) -> Self {
        EgdServer { owed: greet_len.into(), is_asking: false, pid }
    }
}

impl ServerCodec for EgdServer {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        if self.owed > 0 || self.is_asking {
            return Ok(None);
        }
        // Every command is a request, so that whoever bounds those bounds them all.
        let (len, request) = match *input.as_slice() {
            [LEVEL, ..] => (1, Request::Level),
            [READ, 0, ..] => {
                output.push(0);
                (2, Request::Unknown)
            }
            [READ, count, ..] => (2, Request::Spare(count.into())),
            [READ_BLOCKING, 0, ..] => (2, Request::Unknown),
            [READ_BLOCKING, count, ..] => (2, Request::Bytes(count.into())),
            // The claim of entropy is two bytes, and nothing to us.
            [WRITE, _, _, count, ref rest @ ..] if rest.len() >= usize::from(count) => {
                (4 + usize::from(count), Request::Offer(count.into()))
            }
            [PID, ..] => {
                let text = self.pid.to_string();
                output.push(u8::try_from(text.len()).unwrap_or(0));
                output.extend_from_slice(text.as_bytes());
                (1, Request::Unknown)
            }
            [READ | READ_BLOCKING | WRITE, ..] | [] => return Ok(None),
            _ => return Err(CodecError::BadMessage),
        };
        input.drain(..len);
        match request {
            Request::Bytes(count) => self.owed = count as usize,
            Request::Level | Request::Spare(_) => self.is_asking = true,
            _ => {}
        }
        Ok(Some(request))
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        match reply {
            Reply::Sample(sample) => {
                self.owed = self.owed.saturating_sub(sample.len());
                output.extend_from_slice(sample.as_bytes());
            }
            Reply::Spare(sample) => {
                self.is_asking = false;
                output.push(u8::try_from(sample.len()).map_err(|_| CodecError::BadLength)?);
                output.extend_from_slice(sample.as_bytes());
            }
            Reply::Level(bits) => {
                self.is_asking = false;
                output.extend_from_slice(&bits.to_be_bytes());
            }
            // There is no way to say it: the peer waits, or sees the connection close.
            Reply::Wait(..) | Reply::Bye(..) => {}
            Reply::Welcome(..) | Reply::Pong(_) | Reply::Page(_) => {
                return Err(CodecError::OutOfOrder);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use proptest::prelude::*;

    fn decode(egd: &mut EgdServer, input: &mut Vec<u8>) -> (Option<Request>, Vec<u8>) {
        let mut output = Vec::new();
        (egd.decode(input, &mut output).unwrap(), output)
    }

    fn encode(egd: &mut EgdServer, reply: Reply) -> Vec<u8> {
        let mut output = Vec::new();
        egd.encode(reply, &mut output).unwrap();
        output
    }

    #[test]
    fn each_command_and_its_answer() {
        let egd = &mut EgdServer::new(0, 4711);
        let mut input = vec![0, 1, 9, 2, 200, 3, 0, 16, 2, 7, 7, 4, 1, 0, 2, 0, 2];
        assert_eq!(decode(egd, &mut input), (Some(Request::Level), vec![]));
        assert_eq!(decode(egd, &mut input), (None, vec![]), "one at a time");
        assert_eq!(encode(egd, Reply::Level(0x0102_0304)), [1, 2, 3, 4]);
        assert_eq!(decode(egd, &mut input), (Some(Request::Spare(9)), vec![]));
        assert_eq!(encode(egd, Reply::Spare(Sample::new(vec![5, 6]))), [2, 5, 6]);
        assert_eq!(decode(egd, &mut input), (Some(Request::Bytes(200)), vec![]));
        assert_eq!(encode(egd, Reply::Sample(Sample::new(vec![8; 150]))), [8; 150]);
        assert_eq!(decode(egd, &mut input), (None, vec![]), "50 are still to come");
        assert_eq!(encode(egd, Reply::Sample(Sample::new(vec![9; 50]))), [9; 50]);
        assert_eq!(decode(egd, &mut input), (Some(Request::Offer(2)), vec![]));
        assert_eq!(decode(egd, &mut input), (Some(Request::Unknown), b"\x044711".to_vec()));
        assert_eq!(decode(egd, &mut input), (Some(Request::Unknown), vec![0]), "none of nothing");
        assert_eq!(decode(egd, &mut input), (Some(Request::Unknown), vec![]), "nothing");
        assert_eq!(decode(egd, &mut input), (None, vec![]));
        assert_eq!(input, [2], "half a command");
    }

    #[test]
    fn a_greeting_comes_before_all_answers() {
        let egd = &mut EgdServer::new(64, 1);
        let mut input = vec![2, 64];
        assert_eq!(decode(egd, &mut input), (None, vec![]));
        assert_eq!(encode(egd, Reply::Sample(Sample::new(vec![1; 64]))).len(), 64);
        assert_eq!(decode(egd, &mut input), (Some(Request::Bytes(64)), vec![]));
    }

    #[test]
    fn an_unknown_command_is_an_error() {
        let mut input = vec![5];
        let result = EgdServer::new(0, 1).decode(&mut input, &mut Vec::new());
        assert_eq!(result, Err(CodecError::BadMessage));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 1usize..9,
        ) {
            let (mut egd, mut input, mut output) = (EgdServer::new(0, 1), Vec::new(), Vec::new());
            'all: for piece in bytes.chunks(cut) {
                input.extend_from_slice(piece);
                loop {
                    let reply = match egd.decode(&mut input, &mut output) {
                        Ok(Some(Request::Bytes(count))) => {
                            Reply::Sample(Sample::new(vec![0; count as usize]))
                        }
                        Ok(Some(Request::Spare(_))) => Reply::Spare(Sample::default()),
                        Ok(Some(Request::Level)) => Reply::Level(0),
                        Ok(Some(_)) => continue,
                        Ok(None) => break,
                        Err(_) => break 'all,
                    };
                    egd.encode(reply, &mut output).unwrap();
                }
            }
        }
    }
}

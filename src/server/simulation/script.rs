//! What the simulation plays with: dice, and a protocol that needs no cryptography.

use super::SAMPLE;
use crate::keys::PublicKey;
use crate::wire::{CodecError, Reply, Request, ServerCodec};
use std::sync::{Arc, Mutex};

/// What the codecs saw leave, in order.
pub(super) type Log = Arc<Mutex<Vec<(u64, Vec<u8>)>>>;

/// One byte a request, so that the simulation needs no cryptography: a tag, and for some an
/// argument.
pub(super) struct ScriptCodec {
    pub(super) serial: u64,
    pub(super) proved: bool,
    pub(super) log: Log,
}

pub(super) const HELLO: u8 = 1;
pub(super) const PROVE: u8 = 2;
pub(super) const WANT: u8 = 3;
pub(super) const PING: u8 = 4;
pub(super) const BYE: u8 = 5;
pub(super) const NAME: u8 = 6;

impl ServerCodec for ScriptCodec {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        _output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        let Some((&tag, rest)) = input.split_first() else { return Ok(None) };
        let Some(&argument) = rest.first() else { return Ok(None) };
        input.drain(..2);
        Ok(Some(match tag {
            HELLO => Request::Hello(key(argument)),
            PROVE => {
                self.proved = true;
                Request::Proved
            }
            WANT => Request::Bytes(u32::from(argument) * u32::from(argument)),
            NAME => {
                self.proved = true;
                Request::Name(name(argument))
            }
            PING => Request::Ping(argument.into()),
            BYE => Request::Bye,
            _ => return Err(CodecError::BadMessage),
        }))
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        match reply {
            Reply::Sample(sample) => {
                assert!(self.proved, "bytes before the key was proved");
                assert!((1..=SAMPLE).contains(&sample.len()));
                output.extend_from_slice(sample.as_bytes());
                self.log.lock().unwrap().push((self.serial, sample.as_bytes().to_vec()));
            }
            _ => output.extend_from_slice(&[0; 9]),
        }
        Ok(())
    }
}

pub(super) fn key(number: u8) -> PublicKey {
    PublicKey([number; 32])
}

pub(super) fn name(number: u8) -> String {
    format!("client-{number}")
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, good enough to choose steps.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

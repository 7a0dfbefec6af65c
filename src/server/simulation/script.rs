//! What the simulation plays with: dice, clients and guests, a protocol that needs no
//! cryptography, and those of guests, watched.

use super::{CLIENTS, SAMPLE};
use crate::keys::PublicKey;
use crate::server::guests::ListenerRule;
use crate::server::session::Peer;
use crate::server::{ClientRule, Identity};
use crate::wire::{CodecError, Protocol, Reply, Request, ServerCodec};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

/// What the codecs saw leave, in order.
pub(in crate::server) type Log = Arc<Mutex<Vec<Given>>>;

/// Bytes that a codec saw leave.
pub(in crate::server) struct Given {
    pub(in crate::server) serial: u64,
    pub(in crate::server) bytes: Vec<u8>,
    /// Whether they were for whoever takes only what nobody waits for.
    pub(in crate::server) is_spare: bool,
}

/// One byte a request, so that the simulation needs no cryptography: a tag, and for some an
/// argument.
pub(in crate::server) struct ScriptCodec {
    pub(in crate::server) serial: u64,
    pub(in crate::server) proved: bool,
    pub(in crate::server) log: Log,
}

pub(in crate::server) const HELLO: u8 = 1;
pub(in crate::server) const PROVE: u8 = 2;
pub(in crate::server) const WANT: u8 = 3;
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
                let (serial, bytes) = (self.serial, sample.as_bytes().to_vec());
                self.log.lock().unwrap().push(Given { serial, bytes, is_spare: false });
            }
            _ => output.extend_from_slice(&[0; 9]),
        }
        Ok(())
    }
}

/// The real thing, watched.
pub(super) struct GuestCodec {
    pub(super) serial: u64,
    pub(super) codec: Box<dyn ServerCodec + Send>,
    pub(super) log: Log,
    /// What was heard that must have one answer, and had none yet.
    pub(super) pending: Option<Request>,
}

impl ServerCodec for GuestCodec {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        let request = self.codec.decode(input, output);
        if let Ok(Some(asked @ (Request::Spare(_) | Request::Level | Request::Sample))) = &request {
            assert_eq!(self.pending.replace(asked.clone()), None, "one command at a time");
        }
        request
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        let bytes = match &reply {
            Reply::Sample(sample) | Reply::Spare(sample) => sample.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let is_spare = matches!(reply, Reply::Spare(_));
        let asked = self.pending == Some(Request::Sample);
        match (&reply, &self.pending) {
            (Reply::Spare(_) | Reply::Level(_), asked) => {
                assert!(asked.is_some(), "an answer to no question");
                self.pending = None;
            }
            (Reply::Sample(_) | Reply::Wait(..), Some(Request::Sample)) => self.pending = None,
            _ => {}
        }
        let is_put_off = asked && matches!(reply, Reply::Wait(..));
        if !bytes.is_empty() || is_put_off {
            self.log.lock().unwrap().push(Given { serial: self.serial, bytes, is_spare });
        }
        self.codec.encode(reply, output).expect("nothing is said unasked");
        Ok(())
    }
}

/// The first of two local users; each has two clients.
const UID: u32 = 1000;

/// Every third is a local user's.
pub(super) fn identity(number: u8) -> Identity {
    match number % 3 {
        2 => Identity::User { uid: UID + u32::from(number / 6), user: String::new() },
        _ => Identity::Key { key: key(number), psk: None },
    }
}

/// Where the world's server listens: clients with keys, and guests of three kinds.
pub(super) fn listeners() -> [Arc<ListenerRule>; 4] {
    let egd = ListenerRule { max_sessions: 3, ..ListenerRule::new(Protocol::Egd) };
    let limited = ListenerRule {
        name: "limited".into(),
        weight: 3,
        limit_bytes_per_s: Some(1000),
        greet_len: 64,
        ..egd.clone()
    };
    let old = ListenerRule { max_sessions: 3, ..ListenerRule::new(Protocol::Netrng02) };
    [ListenerRule::new(Protocol::Native), egd, limited, old].map(Arc::new)
}

/// Commands of EGD; seldom one that it does not have.
pub(super) fn egd_words(dice: &mut Dice) -> Vec<u8> {
    let mut words = Vec::new();
    for _ in 0..=dice.below(4) {
        let count = dice.below(256) as u8;
        match dice.below(40) {
            0 => words.push(9),
            1..4 => words.push(4),
            4..10 => words.push(0),
            10..20 => words.extend([1, count]),
            20..24 => {
                words.extend([3, 0, 8, count]);
                words.extend(std::iter::repeat_n(7, count.into()));
            }
            _ => words.extend([2, count]),
        }
    }
    words
}

/// Requests of the original NetRNG; seldom one that it does not have.
pub(super) fn netrng02_words(dice: &mut Dice) -> Vec<u8> {
    let mut words = Vec::new();
    for _ in 0..=dice.below(3) {
        words.extend_from_slice(match dice.below(40) {
            0 => b"\x81\xa3got",
            1..4 => b"\x81\xa3get\xa1x",
            4..10 => b"\x81\xa3get\xa9heartbeat",
            _ => b"\x81\xa3get\xa6sample",
        });
        words.extend_from_slice(b"--NETRNG-SOCKET-DELIMITER");
    }
    words
}

pub(super) fn origin(number: u8) -> Peer {
    match number.checked_sub(3) {
        Some(user) => Peer::Local { uid: UID + u32::from(user) },
        None => Peer::Remote { address: Ipv4Addr::new(192, 0, 2, number).into(), port: 1000 },
    }
}

pub(super) fn rules(dice: &mut Dice) -> Vec<ClientRule> {
    (0..CLIENTS)
        .map(|number| ClientRule {
            name: name(number),
            identity: identity(number),
            weight: if number < 6 { 1 } else { 1 + dice.below(5) as u32 },
            // Never 0: a promise taken back leaves its client ahead of its equals for a while.
            guarantee_bytes_per_s: if number % 4 == 3 { 1 + dice.below(4000) } else { 0 },
            limit_bytes_per_s: (number % 4 == 2).then(|| 100 + dice.below(5000)),
            max_sessions: 1 + u32::from(number % 3 == 0),
            allowed: Vec::new(),
        })
        .collect()
}

pub(in crate::server) fn key(number: u8) -> PublicKey {
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

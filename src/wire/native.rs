//! The native protocol `netrng/1`: frames inside Noise, one key a sample.
//!
//! Owns both sides of the handshake and the transport. `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s`
//! (The Noise Protocol Framework, revision 34): the client knows the server's key, proves its
//! own in the first message, and the pre-shared key enters in the second. After every sample
//! both sides rekey that direction (Noise §11.3), so each sample has a key of its own that is
//! gone once used. It does not know clients' rules, sockets or time.

use super::frame::{self, LENGTH_LEN};
use super::hedge::Hedge;
use super::primitives::{Resolver, TAG_LEN};
use super::{Answer, ClientCodec, CodecError, Reply, Request, ServerCodec, Welcome};
use crate::keys::{PrivateKey, Psk, PublicKey};
use snow::params::{DHChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::{Builder, HandshakeState, TransportState};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use zeroize::zeroize_bytes;

/// The Noise protocol by its full name (Noise §8).
pub const NOISE_NAME: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// Mixed into the handshake by both sides: another version cannot be talked into this one.
pub const PROLOGUE: &[u8] = b"netrng/1";
/// First message: ephemeral key, encrypted static key, tag of the empty payload.
const HELLO_LEN: usize = 32 + 32 + TAG_LEN + TAG_LEN;
/// Payload of the second message: sample size and guarantee, u32 big-endian each.
const WELCOME_PAYLOAD_LEN: usize = 8;
/// Second message: ephemeral key, payload, tag. Later versions may append to the payload.
const WELCOME_LEN_MIN: usize = 32 + WELCOME_PAYLOAD_LEN + TAG_LEN;
const WELCOME_LEN_MAX: usize = WELCOME_LEN_MIN + 256;
/// Where the pre-shared key stands in the pattern (`psk2`).
const PSK_LOCATION: usize = 2;

/// The hedged generator that all handshakes of a process share.
pub type SharedHedge = Arc<Mutex<Hedge>>;

/// The public key that belongs to a private one.
///
/// # Panics
/// Never: the curve is compiled in.
pub fn public_key(private: &PrivateKey) -> PublicKey {
    let mut dh = DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("X25519 is compiled in");
    dh.set(private.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(dh.pubkey());
    dh.set(&[0; 32]);
    PublicKey(bytes)
}

/// The server's side of one session.
pub struct Responder {
    state: ResponderState,
}

enum ResponderState {
    /// No curve arithmetic before the first message is there whole: connecting alone costs
    /// nothing.
    AwaitHello(PrivateKey, SharedHedge),
    /// The key was reported; the caller decides whether to welcome it.
    Judged(Box<HandshakeState>),
    AwaitProof(Box<TransportState>),
    /// Holds the request that came with the proof, until it is asked for.
    Proved(Box<TransportState>, Request),
    Open(Box<TransportState>),
    Broken,
}

impl Responder {
    /// A session that waits for the client's first message.
    pub fn new(private: &PrivateKey, hedge: SharedHedge) -> Self {
        Responder { state: ResponderState::AwaitHello(private.clone(), hedge) }
    }

    fn hello(
        private: PrivateKey,
        hedge: SharedHedge,
        input: &mut Vec<u8>,
    ) -> Result<(ResponderState, Option<Request>), CodecError> {
        if frame::next_len(input, HELLO_LEN, HELLO_LEN)?.is_none() {
            return Ok((ResponderState::AwaitHello(private, hedge), None));
        }
        let mut handshake = builder(&private, hedge)
            .build_responder()
            .expect("keys have the right length and all primitives are compiled in");
        let mut payload = [0; TAG_LEN];
        handshake
            .read_message(&input[LENGTH_LEN..LENGTH_LEN + HELLO_LEN], &mut payload)
            .map_err(|_| CodecError::BadMessage)?;
        input.drain(..LENGTH_LEN + HELLO_LEN);
        let key = handshake.get_remote_static().and_then(|key| key.try_into().ok());
        let key = PublicKey(key.ok_or(CodecError::BadMessage)?);
        Ok((ResponderState::Judged(Box::new(handshake)), Some(Request::Hello(key))))
    }

    fn welcome(
        mut handshake: Box<HandshakeState>,
        psk: &Psk,
        welcome: Welcome,
        output: &mut Vec<u8>,
    ) -> Result<ResponderState, CodecError> {
        handshake.set_psk(PSK_LOCATION, psk.as_bytes()).map_err(|_| CodecError::OutOfOrder)?;
        let mut payload = [0; WELCOME_PAYLOAD_LEN];
        payload[..4].copy_from_slice(&welcome.sample_size.to_be_bytes());
        payload[4..].copy_from_slice(&welcome.guarantee_bytes_per_s.to_be_bytes());
        frame::push_len(WELCOME_LEN_MIN, output);
        let start = output.len();
        output.resize(start + WELCOME_LEN_MIN, 0);
        handshake
            .write_message(&payload, &mut output[start..])
            .map_err(|_| CodecError::NoRandomness)?;
        into_transport(handshake).map(ResponderState::AwaitProof)
    }
}

impl ServerCodec for Responder {
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        _output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError> {
        match std::mem::replace(&mut self.state, ResponderState::Broken) {
            ResponderState::AwaitHello(private, hedge) => {
                let (state, request) = Self::hello(private, hedge, input)?;
                self.state = state;
                Ok(request)
            }
            ResponderState::Judged(handshake) => {
                self.state = ResponderState::Judged(handshake);
                Ok(None)
            }
            ResponderState::AwaitProof(mut transport) => {
                let Some(message) = open(&mut transport, input, frame::REQUEST_MESSAGE_MAX)? else {
                    self.state = ResponderState::AwaitProof(transport);
                    return Ok(None);
                };
                let request = frame::parse_request(&message)?;
                self.state = ResponderState::Proved(transport, request);
                Ok(Some(Request::Proved))
            }
            ResponderState::Proved(transport, request) => {
                self.state = ResponderState::Open(transport);
                Ok(Some(request))
            }
            ResponderState::Open(mut transport) => {
                let message = open(&mut transport, input, frame::REQUEST_MESSAGE_MAX)?;
                let request = message.map(|message| frame::parse_request(&message)).transpose()?;
                self.state = ResponderState::Open(transport);
                Ok(request)
            }
            ResponderState::Broken => Err(CodecError::OutOfOrder),
        }
    }

    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError> {
        if let Reply::Welcome(psk, welcome) = &reply {
            let state = std::mem::replace(&mut self.state, ResponderState::Broken);
            let ResponderState::Judged(handshake) = state else {
                return Err(CodecError::OutOfOrder);
            };
            self.state = Self::welcome(handshake, psk, *welcome, output)?;
            return Ok(());
        }
        let transport = match &mut self.state {
            ResponderState::AwaitProof(transport)
            | ResponderState::Proved(transport, _)
            | ResponderState::Open(transport) => transport,
            _ => return Err(CodecError::OutOfOrder),
        };
        let mut message = Plaintext::default();
        if let Reply::Sample(sample) = &reply {
            message.0.reserve_exact(1 + sample.len());
        }
        frame::push_reply(&reply, &mut message.0);
        seal(transport, &message, output)?;
        if matches!(reply, Reply::Sample(_)) {
            transport.rekey_outgoing();
        }
        Ok(())
    }
}

/// The client's side of one session.
pub struct Initiator {
    state: InitiatorState,
}

enum InitiatorState {
    Handshake(Box<HandshakeState>),
    Open(Box<TransportState>),
    Broken,
}

impl Initiator {
    /// A session with the server that holds `server`.
    pub fn new(
        private: &PrivateKey,
        server: &PublicKey,
        psk: Option<&Psk>,
        hedge: SharedHedge,
    ) -> Self {
        let zeros = [0; 32];
        let handshake = builder(private, hedge)
            .remote_public_key(&server.0)
            .and_then(|builder| builder.psk(2, psk.map_or(&zeros, Psk::as_bytes)))
            .and_then(Builder::build_initiator)
            .expect("keys have the right length and all primitives are compiled in");
        Initiator { state: InitiatorState::Handshake(Box::new(handshake)) }
    }

    fn welcome(
        mut handshake: Box<HandshakeState>,
        input: &mut Vec<u8>,
    ) -> Result<(InitiatorState, Option<Answer>), CodecError> {
        let Some(length) = frame::next_len(input, WELCOME_LEN_MIN, WELCOME_LEN_MAX)? else {
            return Ok((InitiatorState::Handshake(handshake), None));
        };
        let mut payload = [0; WELCOME_LEN_MAX];
        let payload_len = handshake
            .read_message(&input[LENGTH_LEN..LENGTH_LEN + length], &mut payload)
            .map_err(|_| CodecError::BadMessage)?;
        input.drain(..LENGTH_LEN + length);
        let [a, b, c, d, e, f, g, h] =
            *payload[..payload_len].first_chunk().ok_or(CodecError::BadBody)?;
        let welcome = Welcome {
            sample_size: u32::from_be_bytes([a, b, c, d]),
            guarantee_bytes_per_s: u32::from_be_bytes([e, f, g, h]),
        };
        Ok((InitiatorState::Open(into_transport(handshake)?), Some(Answer::Welcome(welcome))))
    }
}

impl ClientCodec for Initiator {
    fn start(&mut self, output: &mut Vec<u8>) -> Result<(), CodecError> {
        let InitiatorState::Handshake(handshake) = &mut self.state else {
            return Err(CodecError::OutOfOrder);
        };
        frame::push_len(HELLO_LEN, output);
        let start = output.len();
        output.resize(start + HELLO_LEN, 0);
        handshake
            .write_message(&[], &mut output[start..])
            .map(drop)
            .map_err(|_| CodecError::NoRandomness)
    }

    fn decode(&mut self, input: &mut Vec<u8>) -> Result<Option<Answer>, CodecError> {
        match std::mem::replace(&mut self.state, InitiatorState::Broken) {
            InitiatorState::Handshake(handshake) => {
                let (state, answer) = Self::welcome(handshake, input)?;
                self.state = state;
                Ok(answer)
            }
            InitiatorState::Open(mut transport) => {
                while let Some(message) = open(&mut transport, input, frame::ANSWER_MESSAGE_MAX)? {
                    if message.first() == Some(&frame::SAMPLE) {
                        transport.rekey_incoming();
                    }
                    if let Some(answer) = frame::parse_answer(&message)? {
                        self.state = InitiatorState::Open(transport);
                        return Ok(Some(answer));
                    }
                }
                self.state = InitiatorState::Open(transport);
                Ok(None)
            }
            InitiatorState::Broken => Err(CodecError::OutOfOrder),
        }
    }

    fn encode(&mut self, request: Request, output: &mut Vec<u8>) -> Result<(), CodecError> {
        let InitiatorState::Open(transport) = &mut self.state else {
            return Err(CodecError::OutOfOrder);
        };
        let mut message = Vec::new();
        frame::push_request(&request, &mut message);
        seal(transport, &message, output)
    }
}

/// A message outside its cipher; wiped on drop.
#[derive(Default)]
struct Plaintext(Vec<u8>);

impl Deref for Plaintext {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        // In one go; `Zeroizing` goes byte by byte, a tenth of the cost of a sample.
        zeroize_bytes(&mut self.0);
    }
}

/// Appends `message`, encrypted, behind its length.
fn seal(
    transport: &mut TransportState,
    message: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let sealed_len = message.len() + TAG_LEN;
    output.reserve(LENGTH_LEN + sealed_len);
    frame::push_len(sealed_len, output);
    let start = output.len();
    output.resize(start + sealed_len, 0);
    transport.write_message(message, &mut output[start..]).map_err(|_| CodecError::OutOfOrder)?;
    Ok(())
}

/// Takes the next message from `input` and decrypts it, if it is there whole.
fn open(
    transport: &mut TransportState,
    input: &mut Vec<u8>,
    max: usize,
) -> Result<Option<Plaintext>, CodecError> {
    let Some(length) = frame::next_len(input, TAG_LEN + 1, max.max(TAG_LEN + 1))? else {
        return Ok(None);
    };
    let mut message = Plaintext(vec![0; length]);
    let opened_len = transport
        .read_message(&input[LENGTH_LEN..LENGTH_LEN + length], &mut message.0)
        .map_err(|_| CodecError::BadMessage)?;
    message.0.truncate(opened_len);
    input.drain(..LENGTH_LEN + length);
    Ok(Some(message))
}

fn into_transport(mut handshake: Box<HandshakeState>) -> Result<Box<TransportState>, CodecError> {
    // The pre-shared key has done its part: overwrite snow's copy.
    handshake.set_psk(PSK_LOCATION, &[0; 32]).map_err(|_| CodecError::OutOfOrder)?;
    handshake.into_transport_mode().map(Box::new).map_err(|_| CodecError::OutOfOrder)
}

fn builder(private: &PrivateKey, hedge: SharedHedge) -> Builder<'_> {
    let params: NoiseParams = NOISE_NAME.parse().expect("snow knows this protocol name");
    Builder::with_resolver(params, Box::new(Resolver { hedge }))
        .prologue(PROLOGUE)
        .and_then(|builder| builder.local_private_key(private.as_bytes()))
        .expect("prologue and key are set once")
}

//! How requests and samples travel: one small interface, one module a protocol.
//!
//! A wire protocol here is a state machine without I/O, time or peers: bytes in, requests
//! out; replies in, bytes out. It owns framing and encryption. It does not decide who is
//! served, and it keeps no timer.

#[cfg(feature = "mdns")]
pub mod announcement;
pub mod egd;
pub mod frame;
pub mod hedge;
pub mod http;
pub mod native;
#[cfg(test)]
mod native_tests;
pub mod netrng02;
pub mod plain;
mod primitives;
pub mod proxy;

use crate::keys::{Psk, PublicKey};
use crate::sample::Sample;
use crate::status::{Answer as PageAnswer, Page};
use std::fmt;
use std::time::Duration;

/// The protocols that a listener can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// [`native`]: frames inside Noise, for networks.
    Native,
    /// [`plain`]: the same frames as they are, for unix sockets only.
    Plain,
    /// [`egd`]: for QEMU and others that know the Entropy Gathering Daemon.
    Egd,
    /// [`netrng02`]: for clients of the original NetRNG.
    Netrng02,
    /// [`http`]: status, for people and monitors. It gives no random bytes.
    Http,
}

impl Protocol {
    /// Whether its peers prove nothing: they are told by where they come from.
    pub fn has_guests(self) -> bool {
        matches!(self, Protocol::Egd | Protocol::Netrng02)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Native => "netrng",
            Protocol::Plain => "plain",
            Protocol::Egd => "egd",
            Protocol::Netrng02 => "netrng-0.2",
            Protocol::Http => "http",
        })
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The peer claims this key (first handshake message). Nothing is proved yet: the
    /// message may be a replay.
    Hello(PublicKey),
    /// The first transport message decrypted: the peer holds the key it claimed, and is here
    /// now. Comes before the request that this message carries.
    Proved,
    /// The peer, whom its socket tells by user, says which of that user's clients it is; empty:
    /// the only one. Nothing else proves anything in the plain protocol.
    Name(String),
    /// Wants this many bytes more.
    Bytes(u32),
    /// Wants one answer: as many bytes as its turn brings, or soon [`Reply::Wait`], which ends the
    /// request.
    Sample,
    /// Wants up to so many bytes at once, and only what nobody waits for.
    Spare(u32),
    /// Wants to know how much there is.
    Level,
    /// Brings so many bytes, which nobody asked for.
    Offer(u32),
    /// Wants its token back.
    Ping(u64),
    /// Goes away.
    Bye,
    /// Wants to see this. All that a session of [`http`] ever says.
    Page(Page),
    /// Something that this version does not know: passed over, but it counts.
    Unknown,
}

/// What a server answers.
#[derive(Debug)]
pub enum Reply {
    /// Answers [`Request::Hello`]: the pre-shared key that this client must also know, and
    /// what it may expect.
    Welcome(Psk, Welcome),
    /// Random bytes: at most what is outstanding, at most one sample.
    Sample(Sample),
    /// What there was to spare: at most what was asked, or nothing.
    Spare(Sample),
    /// Bits that could be had at once.
    Level(u32),
    /// The token of a ping.
    Pong(u64),
    /// Nothing to give for about this long; what is outstanding stays so, but for
    /// [`Request::Sample`].
    Wait(WaitReason, Duration),
    /// The session ends; come back no sooner than this.
    Bye(ByeReason, Duration),
    /// Answers [`Request::Page`].
    Page(PageAnswer),
}

/// What the server tells a client about itself in the second handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Welcome {
    /// The largest sample it sends, bytes.
    pub sample_size: u32,
    /// What this client is guaranteed, bytes per second; 0 for none.
    pub guarantee_bytes_per_s: u32,
}

/// What a client hears.
#[derive(Debug)]
pub enum Answer {
    /// The handshake is complete: the server holds the key we expect.
    Welcome(Welcome),
    /// See [`Reply::Sample`].
    Sample(Sample),
    /// See [`Reply::Pong`].
    Pong(u64),
    /// See [`Reply::Wait`].
    Wait(WaitReason, Duration),
    /// See [`Reply::Bye`].
    Bye(ByeReason, Duration),
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A code that this version does not know; protocols grow.
            Unknown(u8),
        }

        impl $name {
            /// The byte on the wire.
            pub fn code(self) -> u8 {
                match self { $($name::$variant => $code,)* $name::Unknown(code) => code }
            }

            /// From the byte on the wire.
            pub fn from_code(code: u8) -> Self {
                match code { $($code => $name::$variant,)* other => $name::Unknown(other) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($name::$variant => f.write_str($text),)*
                    $name::Unknown(code) => write!(f, "reason {code}"),
                }
            }
        }
    };
}

reasons! {
    /// Why there is nothing to give now.
    WaitReason {
        /// The source has not passed its start-up test yet.
        SourceStarting = 1, "source-starting";
        /// The source failed; the server tries to bring it back.
        SourceFailed = 2, "source-failed";
        /// All places are taken; the milliseconds carry the place in the line instead of a time.
        InLine = 3, "in-line";
    }
}

reasons! {
    /// Why a session ends.
    ByeReason {
        /// The server stops or restarts.
        ShuttingDown = 1, "shutting-down";
        /// A new session of the same client took its place.
        Replaced = 2, "replaced";
        /// Was idle while somebody waited for the place.
        Idle = 3, "idle";
        /// Both the places and the waiting line are full.
        Full = 4, "full";
        /// Admission would break a guarantee given to others.
        NoCapacity = 5, "no-capacity";
        /// The client is no longer in the server's clients file, or may not come from this address.
        NotAllowed = 6, "not-allowed";
        /// The client broke the protocol.
        Protocol = 7, "protocol-error";
        /// The local user has several clients and did not say which it is.
        NameNeeded = 8, "name-needed";
    }
}

/// Why a peer's bytes make no sense. Each is counted under its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodecError {
    /// A length that no message of this state can have.
    BadLength,
    /// A message does not decrypt: garbage, a replay, a wrong key or pre-shared key.
    BadMessage,
    /// A known type with a body of the wrong size.
    BadBody,
    /// A message that does not belong in this state.
    OutOfOrder,
    /// No ephemeral key could be made.
    NoRandomness,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CodecError::BadLength => "bad-length",
            CodecError::BadMessage => "bad-message",
            CodecError::BadBody => "bad-body",
            CodecError::OutOfOrder => "out-of-order",
            CodecError::NoRandomness => "no-randomness",
        })
    }
}

impl std::error::Error for CodecError {}

/// The server's side of a protocol.
pub trait ServerCodec {
    /// Takes the next complete message from the front of `input`, leaving the rest. Protocol
    /// answers that need no decision go straight to `output`. `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`CodecError`]: the peer broke the protocol; the session cannot go on.
    fn decode(
        &mut self,
        input: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<Option<Request>, CodecError>;

    /// Appends the wire form of `reply` to `output`; a sample in it is consumed and wiped.
    ///
    /// # Errors
    /// [`CodecError`]: the reply does not fit the state, or no ephemeral key could be made.
    fn encode(&mut self, reply: Reply, output: &mut Vec<u8>) -> Result<(), CodecError>;
}

/// The client's side of a protocol.
pub trait ClientCodec {
    /// Appends what the client says first, if its protocol has it speak first.
    ///
    /// # Errors
    /// [`CodecError::NoRandomness`] if no ephemeral key could be made.
    fn start(&mut self, output: &mut Vec<u8>) -> Result<(), CodecError>;

    /// As [`ServerCodec::decode`], for what the server answers.
    ///
    /// # Errors
    /// [`CodecError`]: the server broke the protocol.
    fn decode(&mut self, input: &mut Vec<u8>) -> Result<Option<Answer>, CodecError>;

    /// Appends the wire form of `request` to `output`.
    ///
    /// # Errors
    /// [`CodecError::OutOfOrder`] before the handshake is complete.
    fn encode(&mut self, request: Request, output: &mut Vec<u8>) -> Result<(), CodecError>;
}

//! Why an attempt or a session ended, in one sentence each.
//!
//! Owns the sentences. What ssh's words mean is `ssh`'s.

use super::session::{HANDSHAKE_TIMEOUT, SILENCE};
use super::ssh::SshFault;
use crate::source::health::HealthFailure;
use crate::wire::{ByeReason, CodecError};
use std::fmt;
use std::io;
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

/// Why an attempt or a session ended.
#[derive(Debug)]
pub enum FetchError {
    /// The name has no address.
    Resolve(io::Error),
    /// No server with its key is announced.
    #[cfg(feature = "mdns")]
    NotAnnounced {
        /// The fingerprint of its key.
        fingerprint: String,
        /// Announcements of others, which were left alone.
        others: usize,
    },
    /// No connection.
    Connect(io::Error),
    /// Our own side could not begin.
    Local(io::Error),
    /// The server ended the connection before it proved its key.
    Refused,
    /// The server did not answer the handshake in time.
    HandshakeTimeout,
    /// The server's handshake message makes no sense with our keys.
    Handshake(CodecError),
    /// The server broke the protocol.
    Protocol(CodecError),
    /// More bytes than were asked for, or none.
    SampleLength {
        /// What was outstanding.
        asked: u32,
        /// What came.
        got: usize,
    },
    /// A sample without bytes: the original NetRNG's way to say that its source has ended.
    SourceEnded,
    /// Message after message without a sample.
    Flood,
    /// No sign of life although an answer was due.
    Silent,
    /// The connection ended.
    Closed,
    /// The connection failed.
    Lost(io::Error),
    /// The server said goodbye.
    Bye(ByeReason, Duration),
    /// A command cannot be started.
    Start(String, io::Error),
    /// A command ended; how, and its last words.
    Ended(String),
    /// A command's bytes were wanted and none came for so long.
    Stalled(Duration),
    /// ssh, or what it ran on the host; the sentence.
    Ssh(SshFault, String),
    /// Bytes that are not random.
    Health(HealthFailure),
}

/// What the log tells apart: the variant, and the reason within it.
pub(super) type FailureKind = (Discriminant<FetchError>, u8);

impl FetchError {
    pub(super) fn kind(&self) -> FailureKind {
        let reason = match self {
            FetchError::Bye(reason, _) => reason.code(),
            FetchError::Ssh(fault, _) => *fault as u8,
            #[cfg(feature = "mdns")]
            FetchError::NotAnnounced { others, .. } => u8::from(*others > 0),
            _ => 0,
        };
        (discriminant(self), reason)
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Resolve(error) => write!(f, "cannot find its address: {error}"),
            #[cfg(feature = "mdns")]
            FetchError::NotAnnounced { fingerprint, others: 0 } => write!(
                f,
                "no netrng server is announced here, so not the one with key={fingerprint}: does \
                 it run with `announce = true`, and in this network?"
            ),
            #[cfg(feature = "mdns")]
            FetchError::NotAnnounced { fingerprint, others } => write!(
                f,
                "no server with key={fingerprint} is announced here, only others ({others}), which \
                 are left alone: is `public-key` the server's?"
            ),
            FetchError::Connect(error) => write!(f, "cannot connect: {error}"),
            FetchError::Local(error) => write!(f, "cannot use the connection: {error}"),
            FetchError::Refused => f.write_str(
                "the server ended the handshake: is `public-key` its public key, and does its \
                 clients file list ours? (Or it is too busy for newcomers.)",
            ),
            FetchError::HandshakeTimeout => write!(
                f,
                "no answer to the handshake within {} s: is it a netrng server?",
                HANDSHAKE_TIMEOUT.as_secs()
            ),
            FetchError::Handshake(CodecError::NoRandomness) => {
                f.write_str("no ephemeral key could be made")
            }
            // No key changes how long an answer to the handshake is.
            FetchError::Handshake(CodecError::BadLength) => f.write_str(
                "the handshake failed (bad-length): what answers there is no netrng server: \
                 check the address",
            ),
            FetchError::Handshake(error) => {
                write!(f, "the handshake failed ({error}): check `public-key` and `psk`")
            }
            FetchError::Protocol(error) => write!(f, "the server broke the protocol ({error})"),
            FetchError::SampleLength { asked, got } => {
                write!(f, "the server sent {got} bytes where up to {asked} were due")
            }
            FetchError::SourceEnded => {
                f.write_str("the server's source has ended: it sends samples without bytes")
            }
            FetchError::Flood => f.write_str("the server floods us with messages without bytes"),
            FetchError::Silent => {
                write!(f, "the server says nothing since {} s", 2 * SILENCE.as_secs())
            }
            FetchError::Closed => f.write_str("the server closed the connection"),
            FetchError::Lost(error) => write!(f, "the connection failed: {error}"),
            FetchError::Bye(ByeReason::Replaced, _) => f.write_str(
                "the server said goodbye: another client came with our key; is this configuration \
                 on two machines?",
            ),
            FetchError::Bye(ByeReason::NoCapacity, _) => f.write_str(
                "the server said goodbye: our guarantee does not fit beside the others'",
            ),
            FetchError::Bye(reason, _) => write!(f, "the server said goodbye: {reason}"),
            FetchError::Start(program, error) => {
                write!(f, "`{program}` cannot be started: {error}")
            }
            FetchError::Ended(how) => f.write_str(how),
            FetchError::Stalled(span) => write!(f, "gives nothing since {} ms", span.as_millis()),
            FetchError::Ssh(_, sentence) => f.write_str(sentence),
            FetchError::Health(failure) => {
                write!(f, "its bytes are not random, and it is left alone for now: {failure}")
            }
        }
    }
}

impl std::error::Error for FetchError {}

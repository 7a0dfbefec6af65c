//! One session, from accept to close: its state, its buffers, its deadline.
//!
//! Owns what a single connection knows. `core` decides what happens to it.

use super::gate::{Origin, Refusal};
use super::guests::ListenerRule;
use super::schedule::FlowId;
use crate::moment::Moment;
use crate::wire::{ByeReason, CodecError, Reply, ServerCodec};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use zeroize::zeroize_bytes;

/// Messages a client may send at once beyond what its samples earn it: requests of 32 bytes for
/// all that may be outstanding are 2,048 ...
pub const MESSAGES_BURST: u32 = 3000;
/// ... and per second.
const MESSAGES_PER_S: u64 = 100;

/// A session's place in the table, used again after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub usize);

/// Who is at the other end, before any key is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network.
    Remote {
        /// Its address.
        address: IpAddr,
        /// Its port.
        port: u16,
    },
    /// A user of this machine, as the kernel says.
    Local {
        /// Its number.
        uid: u32,
    },
}

impl Peer {
    /// What the gate counts as one.
    pub fn origin(&self) -> Origin {
        match *self {
            Peer::Remote { address, .. } => Origin::of(address),
            Peer::Local { uid } => Origin::User(uid),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Remote { address: IpAddr::V4(address), port } => write!(f, "{address}:{port}"),
            Peer::Remote { address: IpAddr::V6(address), port } => write!(f, "[{address}]:{port}"),
            Peer::Local { uid } => write!(f, "uid {uid}"),
        }
    }
}

/// Why a session ended. Feeds the log and a counter each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// Closed as soon as it was accepted.
    Refused(Refusal),
    /// The peer broke the protocol.
    Codec(CodecError),
    /// It claimed a key that the clients file does not have.
    UnknownKey,
    /// Its key may not come from this address.
    AddressNotAllowed,
    /// It has no key, and more of its kind are here than can be told apart.
    TooManyGuests,
    /// No proof of the key within the handshake timeout.
    HandshakeTimeout,
    /// Made room for a newer connection while it had proved nothing.
    Crowded,
    /// It did not take what was sent within the write timeout.
    WriteTimeout,
    /// It sent more messages than a client has reason to.
    Flood,
    /// It said BYE.
    PeerBye,
    /// It closed the connection.
    PeerClosed,
    /// The connection broke.
    Io,
    /// We said BYE.
    Bye(ByeReason),
    /// It was shown what it asked to see.
    Shown,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::Refused(refusal) => refusal.fmt(f),
            EndReason::Codec(error) => error.fmt(f),
            EndReason::Bye(reason) => reason.fmt(f),
            EndReason::UnknownKey => f.write_str("unknown-key"),
            EndReason::AddressNotAllowed => f.write_str("address-not-allowed"),
            EndReason::TooManyGuests => f.write_str("too-many-guests"),
            EndReason::HandshakeTimeout => f.write_str("handshake-timeout"),
            EndReason::Crowded => f.write_str("crowded"),
            EndReason::WriteTimeout => f.write_str("write-timeout"),
            EndReason::Flood => f.write_str("flood"),
            EndReason::PeerBye => f.write_str("peer-bye"),
            EndReason::PeerClosed => f.write_str("peer-closed"),
            EndReason::Io => f.write_str("io-error"),
            EndReason::Shown => f.write_str("shown"),
        }
    }
}

/// A wish that is granted at once or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// Up to so many bytes.
    Bytes(u32),
    /// How much there is.
    Level,
}

/// Where a session stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Has not proved a key; ends at the deadline.
    Handshaking {
        /// When it ends.
        deadline: Moment,
    },
    /// Proved, and waits in line for a place.
    InLine,
    /// Proved; gave its place up while idle, and joins the line when it asks again.
    Parked,
    /// Has a place.
    Served,
    /// Wants to see a page, not bytes, and has not said which; ends at the deadline.
    Visiting {
        /// When it ends.
        deadline: Moment,
    },
    /// Is shown its page; ends when that is sent, or at the deadline.
    Shown {
        /// When it ends unsent.
        deadline: Moment,
    },
    /// BYE is said; ends when that is sent, or at the deadline.
    Closing {
        /// When it ends unsent.
        deadline: Moment,
        /// Why.
        reason: ByeReason,
    },
}

/// One connection.
pub struct Session {
    /// Who is there.
    pub peer: Peer,
    /// Its life cycle.
    pub state: State,
    /// What its listener lets it be.
    pub rule: Arc<ListenerRule>,
    /// Its first words must be a balancer's.
    pub awaits_proxy: bool,
    /// Whether the gate counts it, while it has proved nothing.
    pub is_at_gate: bool,
    /// What it wants of that which nobody waits for.
    pub spare: Option<Spare>,
    /// The state of that, from its first byte on.
    pub codec: Option<Box<dyn ServerCodec + Send>>,
    /// Received and not yet decoded.
    pub input: Vec<u8>,
    /// Encoded and not yet sent.
    pub output: Vec<u8>,
    /// The client, once its key is claimed; proved in any state but `Handshaking`.
    pub flow: Option<FlowId>,
    /// Bytes asked for and not yet given.
    pub outstanding: u32,
    /// When whoever is to be given one answer, whatever its length, is told that there is none
    /// yet. `None`: bytes are given until as many were as it asked for.
    pub answer_by: Option<Moment>,
    /// When it was last given bytes or a place, or told that there are none; of a visit, when it
    /// came or asked.
    pub active_at: Moment,
    /// Whether it ever had a place: only then the log tells of it.
    pub was_served: bool,
    /// The place in the line it was last told, from 1.
    pub told_place: usize,
    /// Since when `output` has made no progress; `None` while it is empty.
    pub stuck_since: Option<Moment>,
    /// What the timer set holds for this session.
    pub timer: Option<Moment>,
    /// Messages it may still send; see `core`.
    pub message_allowance: u32,
    /// When the allowance was last filled up.
    pub allowance_at: Moment,
    /// Whether it stands on the list of sessions to flush.
    pub dirty: bool,
    /// Bytes given to it.
    pub given_bytes: u64,
    /// When it proved its key.
    pub proved_at: Moment,
}

impl Session {
    /// The nearest moment at which it must end, or be answered, if nothing happens before.
    pub fn deadline(&self, write_timeout: Duration) -> Option<Moment> {
        let stuck = self.stuck_since.map(|since| since + write_timeout);
        let state = match self.state {
            State::Handshaking { deadline }
            | State::Closing { deadline, .. }
            | State::Visiting { deadline }
            | State::Shown { deadline } => Some(deadline),
            _ => None,
        };
        [stuck, state, self.answer_by].into_iter().flatten().min()
    }

    /// Appends the wire form of `reply` to the output.
    ///
    /// # Errors
    /// As [`ServerCodec::encode`].
    pub fn encode(&mut self, reply: Reply) -> Result<(), CodecError> {
        let codec = self.codec.as_mut().ok_or(CodecError::OutOfOrder)?;
        codec.encode(reply, &mut self.output)
    }

    /// Lets it send messages again, at the rate that clients are allowed.
    pub fn fill_allowance(&mut self, now: Moment) {
        let millis = u64::try_from(now.since(self.allowance_at).as_millis()).unwrap_or(u64::MAX);
        let earned = millis.saturating_mul(MESSAGES_PER_S) / 1000;
        if earned > 0 {
            self.earn_messages(u32::try_from(earned).unwrap_or(MESSAGES_BURST));
            self.allowance_at = now;
        }
    }

    /// Adds to the messages it may send.
    pub fn earn_messages(&mut self, count: u32) {
        self.message_allowance = self.message_allowance.saturating_add(count).min(MESSAGES_BURST);
    }

    /// Whether it is told by where it comes from, and proves nothing.
    pub fn is_guest(&self) -> bool {
        self.rule.protocol.has_guests()
    }

    /// Whether it has proved a key.
    pub fn is_proved(&self) -> bool {
        !matches!(self.state, State::Handshaking { .. } | State::Visiting { .. })
    }

    /// Whether it is not heard any more.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, State::Closing { .. } | State::Shown { .. })
    }

    /// Whether it has a place and wants bytes.
    pub fn wants_bytes(&self) -> bool {
        self.state == State::Served && self.outstanding > 0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What was encoded and not sent is given to nobody else.
        zeroize_bytes(&mut self.output);
        zeroize_bytes(&mut self.input);
    }
}

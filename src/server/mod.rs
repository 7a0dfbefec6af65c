//! Who gets the bytes: the pure core of the server and its one shell, the event loop.
//!
//! Owns sessions, shares, places and admission. It does not read devices or sockets.

pub mod admission;
#[cfg(test)]
mod balancer_tests;
pub mod core;
pub mod event_loop;
pub mod gate;
mod giving;
pub mod guests;
#[cfg(test)]
mod heartbeat_tests;
mod lifecycle;
mod places;
mod report;
mod requests;
pub mod roster;
pub mod schedule;
#[cfg(test)]
mod schedule_tests;
pub mod session;
#[cfg(test)]
mod simulation;
pub mod sockets;
mod visits;

use crate::keys::{Psk, PublicKey};
use std::net::IpAddr;
use std::time::Duration;

/// The server's named bounds. `config` fills them; every default stands in `Limits::default`.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Largest sample, bytes.
    pub sample_size: usize,
    /// Sessions that are served at once.
    pub max_clients: usize,
    /// Newcomers that wait for a place when all are taken.
    pub max_waiting: usize,
    /// Connections that have not proved a key yet, all addresses together.
    pub max_handshakes: usize,
    /// The same, from one address.
    pub max_handshakes_per_address: usize,
    /// Handshakes begun per second in all, with a burst of as many: what they may cost.
    pub handshakes_per_s: u32,
    /// Connections per second from one address, with a burst of as many.
    pub handshakes_per_s_per_address: u32,
    /// From accept to the first transport message.
    pub handshake_timeout: Duration,
    /// Without a request, while somebody waits for the place.
    pub idle_timeout: Duration,
    /// Without progress in sending what stands in the output.
    pub write_timeout: Duration,
    /// How long one round through all who want bytes may take; slices shrink to keep it.
    pub max_round: Duration,
    /// The part of the measured capacity that may be promised as guarantees, 0 to 1.
    pub headroom: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sample_size: 2048,
            max_clients: 100,
            max_waiting: 100,
            max_handshakes: 64,
            max_handshakes_per_address: 16,
            handshakes_per_s: 50,
            handshakes_per_s_per_address: 20,
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            max_round: Duration::from_secs(1),
            headroom: 0.9,
        }
    }
}

/// What the clients file says of one client.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientRule {
    /// How log and status call it; unique.
    pub name: String,
    /// How it proves that it is this client.
    pub identity: Identity,
    /// Its part of what is to be shared, against the others' weights. At least 1.
    pub weight: u32,
    /// Bytes per second that it can always get once admitted; 0 for none.
    pub guarantee_bytes_per_s: u64,
    /// Bytes per second that it never exceeds.
    pub limit_bytes_per_s: Option<u64>,
    /// Sessions at once; one more replaces the oldest.
    pub max_sessions: u32,
    /// Where it may come from; empty for anywhere.
    pub allowed: Vec<AddressRange>,
}

/// How a client proves who it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Identity {
    /// Over the network, by its key.
    Key {
        /// Its public key; unique.
        key: PublicKey,
        /// Shared with it; all zeros on the wire when absent.
        psk: Option<Psk>,
    },
    /// On the local socket, by the user that the kernel says is there. Clients of one user are
    /// told apart by their names.
    User {
        /// The user's number: what the kernel says.
        uid: u32,
        /// As the clients file has it.
        user: String,
    },
    /// In no way: it is whoever comes from there to a listener whose protocol has no keys.
    Guest {
        /// The listener's name.
        listener: String,
        /// Where from.
        origin: gate::Origin,
    },
}

/// A block of addresses, as in `192.0.2.0/24`; a single address is a block of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    /// Any address in the block.
    pub address: IpAddr,
    /// Leading bits that count: at most 32 (IPv4) or 128 (IPv6).
    pub prefix_len: u8,
}

/// A text is neither an address nor a block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRangeError;

impl std::str::FromStr for AddressRange {
    type Err = AddressRangeError;

    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a single address.
    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| AddressRangeError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|len| *len <= most).ok_or(AddressRangeError)?
            }
            Some(_) => return Err(AddressRangeError),
        };
        Ok(AddressRange { address, prefix_len })
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

//! The gate: how many strangers may knock, and how often.
//!
//! Owns the caps on connections that have not proved a key and on handshakes per second, by
//! address or local user. It holds no connection; a refusal is a reason.

use crate::moment::Moment;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Origins remembered at once. Above it those that are idle are forgotten; if none is, a
/// new address is refused.
const ORIGINS_MAX: usize = 4096;
/// Milli-tokens of one handshake.
const HANDSHAKE: u64 = 1000;

/// Why a connection is closed as soon as it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// This address begins handshakes faster than allowed.
    HandshakeRate,
    /// All addresses together do, or more than this machine is to spend on it.
    AllHandshakesRate,
    /// More addresses knock than are remembered.
    TooManyAddresses,
    /// Too many connections are in the middle of a handshake.
    Crowded,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::HandshakeRate => "handshake-rate",
            Refusal::AllHandshakesRate => "all-handshakes-rate",
            Refusal::Crowded => "crowded",
            Refusal::TooManyAddresses => "too-many-addresses",
        })
    }
}

/// Where a connection comes from, as far as it counts: many from one place are one knocker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An IPv4 address, or an IPv6 /64: a host usually has one of those to itself.
    Address(IpAddr),
    /// A user of this machine.
    User(u32),
}

impl Origin {
    /// What an address counts as.
    pub fn of(address: IpAddr) -> Self {
        Origin::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(six) => match six.to_ipv4_mapped() {
                Some(four) => IpAddr::V4(four),
                None => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64))),
            },
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Address(address) => address.fmt(f),
            Origin::User(uid) => write!(f, "uid {uid}"),
        }
    }
}

/// A token bucket for handshakes; it holds one second's worth.
#[derive(Debug)]
struct Bucket {
    milli_tokens: u64,
    filled_at: Moment,
}

#[derive(Debug)]
struct Knocker {
    /// Connections from here that have not proved a key.
    pending: usize,
    bucket: Bucket,
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    handshakes_per_s: u64,
    per_address_per_s: u64,
    all: Bucket,
    knockers: BTreeMap<Origin, Knocker>,
}

impl Gate {
    /// A gate for so many handshakes per second, and so many connections per second from each
    /// address; bursts of as many.
    pub fn new(handshakes_per_s: u32, per_address_per_s: u32) -> Self {
        Gate {
            handshakes_per_s: handshakes_per_s.into(),
            per_address_per_s: per_address_per_s.into(),
            all: Bucket::full(handshakes_per_s.into(), Moment::ZERO),
            knockers: BTreeMap::new(),
        }
    }

    /// Changes the rates.
    pub fn set_rates(&mut self, handshakes_per_s: u32, per_address_per_s: u32) {
        self.handshakes_per_s = handshakes_per_s.into();
        self.per_address_per_s = per_address_per_s.into();
    }

    /// Somebody begins a handshake: from here on it costs.
    ///
    /// # Errors
    /// [`Refusal::AllHandshakesRate`], if that is one too many for now.
    pub fn begin_handshake(&mut self, now: Moment) -> Result<(), Refusal> {
        if self.all.take(self.handshakes_per_s, now) {
            Ok(())
        } else {
            Err(Refusal::AllHandshakesRate)
        }
    }

    /// A connection from `origin`.
    ///
    /// # Errors
    /// [`Refusal`], if it is one too many.
    pub fn enter(&mut self, origin: Origin, now: Moment) -> Result<(), Refusal> {
        if !self.knockers.contains_key(&origin) && self.knockers.len() >= ORIGINS_MAX {
            self.forget_idle(now);
            if self.knockers.len() >= ORIGINS_MAX {
                return Err(Refusal::TooManyAddresses);
            }
        }
        let rate = self.per_address_per_s;
        let knocker = self
            .knockers
            .entry(origin)
            .or_insert_with(|| Knocker { pending: 0, bucket: Bucket::full(rate, now) });
        if !knocker.bucket.take(rate, now) {
            return Err(Refusal::HandshakeRate);
        }
        knocker.pending += 1;
        Ok(())
    }

    /// A connection from `origin` proved its key, or ended before.
    pub fn leave(&mut self, origin: Origin) {
        if let Some(knocker) = self.knockers.get_mut(&origin) {
            knocker.pending = knocker.pending.saturating_sub(1);
        }
    }

    /// Connections from `origin` that have not proved a key.
    pub fn pending(&self, origin: Origin) -> usize {
        self.knockers.get(&origin).map_or(0, |knocker| knocker.pending)
    }

    fn forget_idle(&mut self, now: Moment) {
        let rate = self.per_address_per_s;
        self.knockers.retain(|_, knocker| {
            knocker.bucket.fill(rate, now);
            knocker.pending > 0 || knocker.bucket.milli_tokens < rate * HANDSHAKE
        });
    }
}

impl Bucket {
    fn full(rate: u64, now: Moment) -> Self {
        Bucket { milli_tokens: rate * HANDSHAKE, filled_at: now }
    }

    fn take(&mut self, rate: u64, now: Moment) -> bool {
        self.fill(rate, now);
        let left = self.milli_tokens.checked_sub(HANDSHAKE);
        self.milli_tokens = left.unwrap_or(self.milli_tokens);
        left.is_some()
    }

    fn fill(&mut self, rate: u64, now: Moment) {
        let millis = u64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let tokens = millis.saturating_mul(rate);
        self.milli_tokens = self.milli_tokens.saturating_add(tokens).min(rate * HANDSHAKE);
        self.filled_at = self.filled_at + Duration::from_millis(millis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn host(number: u32) -> Origin {
        Origin::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut gate = Gate::new(100, 5);
        let mut now = Moment::from_nanos(0);
        let entered = (0..20).filter(|_| gate.enter(host(1), now).is_ok()).count();
        assert_eq!(entered, 5);
        assert_eq!(gate.enter(host(1), now), Err(Refusal::HandshakeRate));
        assert_eq!(gate.enter(host(2), now), Ok(()), "others are not touched");
        now = now + Duration::from_millis(400);
        let entered = (0..20).filter(|_| gate.enter(host(1), now).is_ok()).count();
        assert_eq!(entered, 2);
    }

    #[test]
    fn often_asked_it_still_fills_at_its_rate() {
        let mut gate = Gate::new(100, 5);
        let mut now = Moment::ZERO;
        let mut entered = 0;
        for _ in 0..10_000 {
            now = now + Duration::from_micros(700);
            entered += usize::from(gate.enter(host(1), now).is_ok());
        }
        assert!((39..=40).contains(&entered), "7 s at 5 per second after a burst of 5: {entered}");
    }

    #[test]
    fn an_ipv6_host_cannot_hide_in_its_64() {
        let mut gate = Gate::new(100, 1);
        let address = |last: u16| Origin::of([0x2001, 0xdb8, 0, 1, 0, 0, 0, last].into());
        assert_eq!(gate.enter(address(1), Moment::ZERO), Ok(()));
        assert_eq!(gate.enter(address(2), Moment::ZERO), Err(Refusal::HandshakeRate));
        assert_eq!(gate.pending(address(3)), 1);
    }

    #[test]
    fn all_addresses_together_have_a_rate_of_their_own() {
        let mut gate = Gate::new(3, 100);
        let begun = (0..10).filter(|_| gate.begin_handshake(Moment::ZERO).is_ok()).count();
        assert_eq!(begun, 3);
        let later = Moment::ZERO + Duration::from_millis(400);
        assert_eq!(gate.begin_handshake(later), Ok(()));
        assert_eq!(gate.begin_handshake(later), Err(Refusal::AllHandshakesRate));
    }

    #[test]
    fn memory_is_bounded_and_idle_addresses_are_forgotten() {
        let mut gate = Gate::new(100, 10);
        for number in 0..4096 {
            assert_eq!(gate.enter(host(number), Moment::ZERO), Ok(()));
        }
        assert_eq!(gate.enter(host(9999), Moment::ZERO), Err(Refusal::TooManyAddresses));
        gate.leave(host(7));
        let later = Moment::ZERO + Duration::from_secs(1);
        assert_eq!(gate.enter(host(9999), later), Ok(()));
    }
}

//! Where in the local network a server with a known key is announced: multicast DNS (RFC 6762).
//!
//! Owns one search, from its thread and sockets to their end: between searches there is nothing
//! that could wake up. What an announcement must say is judged by `wire::announcement`, and
//! whether it is true by the handshake: here nobody is trusted.
//!
//! The crate ages what it has heard when the wall clock jumps, as it does while a machine sleeps:
//! that can cost the search in which it happens, and no other.

use super::FetchError;
use crate::keys::PublicKey;
use crate::moment::Moment;
use crate::sys::latch::Latch;
use crate::wire::announcement::{Claim, SERVICE, judge};
use log::debug;
use mdns_sd::{
    Error, Receiver, RecvTimeoutError, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// The whole search. Questions are asked at once, after 1 s and after 3 s, for packets get lost.
const SEARCH: Duration = Duration::from_secs(5);
/// After the first address: others of the same server, and other servers that claim its key, get
/// the chance to be drawn as well.
const SETTLE: Duration = Duration::from_millis(300);
/// Between two looks whether we are to end: what the search comes by is no descriptor to poll.
const STOP_CHECK: Duration = Duration::from_millis(100);
/// For the thread to end: it is never more than a packet away.
const END_PATIENCE: Duration = Duration::from_secs(1);
/// Instances of either sort that one search remembers. Whoever announces more is up to no good.
const INSTANCES_MAX: usize = 64;
/// Of those that are left alone, how many the log names a search.
const SAY_MAX: usize = 4;

/// The addresses that servers with this key are announced at; none if told to stop. `name`: the
/// upstream's, for the log.
///
/// # Errors
/// [`FetchError::NotAnnounced`], or that no search can be made.
pub(super) fn find(
    key: &PublicKey,
    name: &str,
    stop: &Latch,
) -> Result<Vec<SocketAddr>, FetchError> {
    crate::sys::addresses::are_visible().map_err(FetchError::Resolve)?;
    let cannot = |error: Error| FetchError::Resolve(io::Error::other(error));
    let daemon = Daemon(ServiceDaemon::new().map_err(cannot)?);
    let events = daemon.0.browse(SERVICE).map_err(cannot)?;
    let mut found = Found::default();
    let mut deadline = crate::sys::now() + SEARCH;
    while let Some(event) = next(&events, deadline, stop) {
        let now = crate::sys::now();
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let first = found.places.is_empty();
                found.handle(&service, key);
                if first && !found.places.is_empty() {
                    deadline = deadline.min(now + SETTLE);
                }
            }
            ServiceEvent::ServiceRemoved(_, instance) => found.remove(&instance),
            _ => {}
        }
    }
    found.tell(name);
    let places: BTreeSet<_> = found.places.into_values().flatten().collect();
    if places.is_empty() && !stop.is_released() {
        let (fingerprint, others) = (key.fingerprint(), found.others.len());
        return Err(FetchError::NotAnnounced { fingerprint, others });
    }
    Ok(places.into_iter().collect())
}

/// The thread of the search, and its end.
struct Daemon(ServiceDaemon);

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(ended) = self.0.shutdown() {
            let _ = ended.recv_timeout(END_PATIENCE);
        }
    }
}

/// What comes before `deadline`; `None` as well if told to stop.
fn next(events: &Receiver<ServiceEvent>, deadline: Moment, stop: &Latch) -> Option<ServiceEvent> {
    loop {
        let left = deadline.since(crate::sys::now());
        if left.is_zero() || stop.is_released() {
            return None;
        }
        match events.recv_timeout(left.min(STOP_CHECK)) {
            Ok(event) => return Some(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// What has been heard, by the names of instances.
#[derive(Default)]
struct Found {
    places: BTreeMap<String, Vec<SocketAddr>>,
    others: BTreeMap<String, Claim>,
}

impl Found {
    /// Takes in what is known of an instance by now: it may come in pieces.
    fn handle(&mut self, service: &ResolvedService, key: &PublicKey) {
        let instance = service.get_fullname();
        self.remove(instance);
        let claim = judge(|text| service.get_property_val(text).flatten(), key);
        if claim != Claim::Trusted {
            if self.others.len() < INSTANCES_MAX {
                self.others.insert(instance.to_owned(), claim);
            }
            return;
        }
        let port = service.get_port();
        let places = service.get_addresses().iter().filter_map(|ip| place(ip, port));
        let places: Vec<_> = places.collect();
        if self.places.len() < INSTANCES_MAX && !places.is_empty() {
            self.places.insert(instance.to_owned(), places);
        }
    }

    fn remove(&mut self, instance: &str) {
        self.places.remove(instance);
        self.others.remove(instance);
    }

    /// Tells of those that are left alone.
    fn tell(&self, name: &str) {
        for (instance, claim) in self.others.iter().take(SAY_MAX) {
            let why = match claim {
                Claim::OtherProtocol => "speaks another protocol",
                _ => "does not have the key that we trust",
            };
            debug!("{name}: {} {why}, and is left alone", instance.escape_debug());
        }
    }
}

/// Where to connect. Addresses that hold within a link only are of the one it was heard on.
fn place(ip: &ScopedIp, port: u16) -> Option<SocketAddr> {
    let place = match (ip, ip.to_ip_addr()) {
        (ScopedIp::V6(six), IpAddr::V6(address)) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, port, 0, six.scope_id().index).into()
        }
        (_, address) => SocketAddr::new(address, port),
    };
    let ip = place.ip();
    (port != 0 && !ip.is_multicast() && !ip.is_unspecified()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::ServiceInfo;

    const OURS: PublicKey = PublicKey([7; 32]);

    fn service(name: &str, key: &PublicKey, port: u16) -> ResolvedService {
        let texts = &crate::wire::announcement::texts(key)[..];
        let addresses = "192.0.2.1,2001:db8::1,224.0.0.1,0.0.0.0";
        let info = ServiceInfo::new(SERVICE, name, "board.local.", addresses, port, texts);
        info.unwrap().as_resolved_service()
    }

    #[test]
    fn only_places_of_the_trusted_key_are_found() {
        let mut found = Found::default();
        found.handle(&service("stranger", &PublicKey([8; 32]), 1), &OURS);
        assert!(found.places.is_empty() && found.others.len() == 1);
        found.handle(&service("board", &OURS, 9000), &OURS);
        let mut places = found.places.values().next().unwrap().clone();
        places.sort();
        let wanted = ["192.0.2.1:9000", "[2001:db8::1]:9000"].map(|text| text.parse().unwrap());
        assert_eq!(places, wanted);
        // The same instance, once its key has become another.
        found.handle(&service("board", &PublicKey([8; 32]), 9000), &OURS);
        assert!(found.places.is_empty() && found.others.len() == 2);
        found.handle(&service("board", &OURS, 9000), &OURS);
        found.remove(service("board", &OURS, 9000).get_fullname());
        assert!(found.places.is_empty() && found.others.len() == 1);
        found.handle(&service("nowhere", &OURS, 0), &OURS);
        assert!(found.places.is_empty());
    }

    #[test]
    fn no_number_of_strangers_keeps_the_trusted_one_out_or_is_remembered() {
        let mut found = Found::default();
        for number in 0..3 * INSTANCES_MAX {
            let name = format!("stranger {number}");
            found.handle(&service(&name, &PublicKey([8; 32]), 1), &OURS);
        }
        assert_eq!(found.others.len(), INSTANCES_MAX);
        for number in 0..3 * INSTANCES_MAX {
            found.handle(&service(&format!("board {number}"), &OURS, 1), &OURS);
        }
        assert_eq!(found.places.len(), INSTANCES_MAX);
    }
}

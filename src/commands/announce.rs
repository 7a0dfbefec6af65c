//! Announces the server in the local network: multicast DNS (RFC 6762), DNS-SD (RFC 6763).
//!
//! Owns the thread that answers there, and the goodbye at the end. What is said of the server's key
//! is `wire::announcement`'s. A server that cannot announce serves all the same.
//!
//! The crate keeps what others announce, asked for or not, without a limit, and of some of it
//! nothing is ever dropped. So it is looked at now and then, and made anew when it holds too much.

use super::enroll::host_name;
use crate::keys::PublicKey;
use crate::retry::Outage;
use crate::server::sockets::{Bound, Listening};
use crate::sys;
use crate::wire::Protocol;
use crate::wire::announcement::{SERVICE, texts};
use ::log::{debug, info, log, warn};
use mdns_sd::{
    DaemonEvent, Error, IfKind, Metrics, Receiver, RecvTimeoutError, ServiceDaemon, ServiceInfo,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks whether this machine has other addresses, and whether the crate holds too
/// much: the one thing that wakes us up, so it is seldom. A machine whose network comes up late is
/// found so much later.
const LOOK_EVERY_S: u32 = 30;
/// The next look after one that found too much.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Records of others, and the crate's timers for them: up to three for each record, so these are
/// far more records than the machines of a network send unasked.
const HELD_MAX: i64 = 16_384;
/// For an answer from the crate's thread. One that is so busy holds too much.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// For the goodbye to be on its way.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);
/// Of our name, so that a number and the end of the machine's name find room in a label of 63 bytes.
const NAME_LEN_MAX: usize = 48;
/// The name of a machine that has none.
const NAMELESS: &str = "netrng";

/// A server that is announced; dropping this takes it back.
pub(super) struct Announcement(Arc<Mutex<Option<Speaker>>>);

impl Announcement {
    /// Announces the first of these listeners for netrng clients. `None`: it cannot be, and the log
    /// says why.
    pub(super) fn publish(listeners: &[Listening], key: &PublicKey) -> Option<Self> {
        let published = Self::try_publish(&addresses(listeners), key);
        published.inspect_err(|error| warn!("not announced (announce): {error}")).ok()
    }

    fn try_publish(addresses: &[SocketAddr], key: &PublicKey) -> Result<Self, Error> {
        let message = |error: io::Error| Error::Msg(error.to_string());
        sys::addresses::are_visible().map_err(message)?;
        let info = describe(addresses, key)?;
        let speaker = Speaker(ServiceDaemon::new()?);
        let events = speaker.announce(info.clone())?;
        let named = info.get_fullname().to_owned();
        let announcement = Announcement(Arc::new(Mutex::new(Some(speaker))));
        let place = Arc::clone(&announcement.0);
        let work = move || watch_over(&place, &info, events);
        sys::thread::spawn("announce", Box::new(work)).map_err(message)?;
        info!("announced by mDNS as {named}, key={}", key.fingerprint());
        Ok(announcement)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The crate's thread; dropping this has it say goodbye for what it announced.
struct Speaker(ServiceDaemon);

impl Speaker {
    fn announce(&self, info: ServiceInfo) -> Result<Receiver<DaemonEvent>, Error> {
        self.0.set_ip_check_interval(LOOK_EVERY_S)?;
        let events = self.0.monitor()?;
        self.0.register(info)?;
        Ok(events)
    }

    /// Whether it holds more of others than it may.
    fn is_full(&self) -> bool {
        let metrics = self.0.get_metrics().ok();
        let metrics = metrics.and_then(|metrics| metrics.recv_timeout(ANSWER_PATIENCE).ok());
        metrics.is_none_or(|metrics| held(&metrics) > HELD_MAX)
    }

    /// Puts a new one in its place, without a goodbye: nobody who knows the server misses it.
    fn renew(&mut self, info: &ServiceInfo) -> Result<Receiver<DaemonEvent>, Error> {
        // First, so that there is always one.
        let new = Speaker(ServiceDaemon::new()?);
        self.end_silently()?;
        let events = new.announce(info.clone())?;
        *self = new;
        Ok(events)
    }

    /// Ends it as one that has no interface to say goodbye at.
    fn end_silently(&self) -> Result<(), Error> {
        let ended = self.0.disable_interface(IfKind::All).and_then(|()| self.0.shutdown());
        let late = |_| Error::Msg("its thread does not end".to_owned());
        match ended {
            Ok(ended) => ended.recv_timeout(ANSWER_PATIENCE).map(drop).map_err(late),
            Err(Error::DaemonShutdown) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if let Ok(ended) = self.0.shutdown() {
            let _ = ended.recv_timeout(GOODBYE_PATIENCE);
        }
    }
}

/// Of the crate's figures those that others make grow.
fn held(metrics: &Metrics) -> i64 {
    let of_others = |name: &str| name.starts_with("cached-") || name == "timer";
    metrics.iter().filter(|(name, _)| of_others(name)).map(|(_, count)| count).sum()
}

/// Of the listeners for netrng clients, those at the port of the first.
fn addresses(listeners: &[Listening]) -> Vec<SocketAddr> {
    let native = listeners.iter().filter(|listener| listener.rule.protocol == Protocol::Native);
    let mut addresses: Vec<SocketAddr> = native
        .filter_map(|listener| match &listener.socket {
            Bound::Tcp(socket) => socket.local_addr().ok(),
            Bound::Unix(_) => None,
        })
        .collect();
    let port = addresses.first().map(SocketAddr::port);
    addresses.retain(|address| Some(address.port()) == port);
    addresses
}

/// Who listens on all addresses of a family has those that the machine has, whichever they are.
fn describe(addresses: &[SocketAddr], key: &PublicKey) -> Result<ServiceInfo, Error> {
    let nobody = || Error::Msg("no listener for netrng clients".to_owned());
    let port = addresses.first().ok_or_else(nobody)?.port();
    let name = instance_name(&host_name());
    // Not the machine's own name: that is for others to announce, with addresses of their choice.
    let host = format!("{name}-netrng.local.");
    let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
    let families = ips.iter().filter(|ip| ip.is_unspecified());
    let families = families.map(|ip| if ip.is_ipv4() { IfKind::IPv4 } else { IfKind::IPv6 });
    let families: Vec<IfKind> = families.collect();
    let texts = &texts(key)[..];
    if families.is_empty() {
        return ServiceInfo::new(SERVICE, &name, &host, &ips[..], port, texts);
    }
    let mut info = ServiceInfo::new(SERVICE, &name, &host, "", port, texts)?.enable_addr_auto();
    info.set_interfaces(families);
    Ok(info)
}

/// The first label of the machine's name, as far as a name in the DNS can hold it.
fn instance_name(host: &str) -> String {
    let label = host.split('.').next().unwrap_or_default();
    let plain = label.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-');
    let name: String = plain.take(NAME_LEN_MAX).collect();
    if name.is_empty() { NAMELESS.to_owned() } else { name }
}

/// Tells what becomes of it, and makes it anew when it must be, until it is taken back.
fn watch_over(
    place: &Mutex<Option<Speaker>>,
    info: &ServiceInfo,
    mut events: Receiver<DaemonEvent>,
) {
    let look_every = Duration::from_secs(LOOK_EVERY_S.into());
    let mut outage = Outage::new();
    let mut next_look = sys::now() + look_every;
    let mut was_full = false;
    loop {
        let left = next_look - sys::now();
        // Events that never end keep no look waiting.
        let is_over = match (!left.is_zero()).then(|| events.recv_timeout(left)) {
            Some(Ok(event)) => {
                tell(event, &mut outage);
                continue;
            }
            Some(Err(RecvTimeoutError::Disconnected)) => true,
            Some(Err(RecvTimeoutError::Timeout)) | None => false,
        };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(speaker) = &mut *place else { return };
        if std::mem::take(&mut was_full) {
            // The old thread's, which has ended by now.
            sys::platform::return_memory();
        }
        if !is_over && !speaker.is_full() {
            next_look = sys::now() + look_every;
            continue;
        }
        match speaker.renew(info) {
            Ok(new) => {
                events = new;
                let level = outage.handle_failure("full", sys::now());
                log!(level, "mDNS: others send too much; announced anew, without all of that");
            }
            Err(error) if is_over => {
                warn!("no longer announced (announce): {error}");
                return;
            }
            Err(error) => {
                let level = outage.handle_failure("stuck", sys::now());
                log!(level, "mDNS: others send too much, and it cannot be dropped: {error}");
            }
        }
        was_full = true;
        next_look = sys::now() + LOOK_AGAIN;
    }
}

/// Others can cause any of these, so each sort is told once.
fn tell(event: DaemonEvent, outage: &mut Outage<&str>) {
    match event {
        DaemonEvent::NameChange(change) => {
            let level = outage.handle_failure("name", sys::now());
            let (old, new) = (change.original.escape_debug(), change.new_name.escape_debug());
            log!(level, "mDNS: {old} is somebody else's, so it is {new} here");
        }
        DaemonEvent::Error(error) => {
            log!(outage.handle_failure("error", sys::now()), "mDNS: {error}");
        }
        DaemonEvent::Announce(name, place) => debug!("mDNS: announced {name} at {place}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_machine_has_a_name_that_fits() {
        for (host, name) in [
            ("board", "board"),
            ("Board-2.example.org", "Board-2"),
            ("", "netrng"),
            (".x", "netrng"),
            ("a b\u{e4}\"\\c", "abc"),
        ] {
            assert_eq!(instance_name(host), name);
        }
        assert_eq!(instance_name(&"x".repeat(64)).len(), NAME_LEN_MAX);
    }

    #[test]
    fn what_is_announced_is_what_is_listened_on() {
        let key = PublicKey([1; 32]);
        let describe = |addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            describe(&addresses, &key).unwrap()
        };
        let any = describe(&["0.0.0.0:8989", "[::]:8989"]);
        assert!(any.is_addr_auto());
        assert_eq!(any.get_port(), 8989);
        assert_eq!(any.get_property_val_str("key"), Some(key.fingerprint().as_str()));
        let one = describe(&["192.0.2.1:9000"]);
        assert!(!one.is_addr_auto());
        assert_eq!(one.get_addresses().len(), 1);
        assert!(super::describe(&[], &key).is_err());
    }
}

//! Announces the server in the local network: multicast DNS (RFC 6762), DNS-SD (RFC 6763).
//!
//! Owns the thread that answers there, and the goodbye at the end. What is said of the server's key
//! is `wire::announcement`'s. A server that cannot announce serves all the same.

use super::enroll::host_name;
use crate::keys::PublicKey;
use crate::retry::Outage;
use crate::server::sockets::{Bound, Listening};
use crate::sys;
use crate::wire::Protocol;
use crate::wire::announcement::{SERVICE, texts};
use ::log::{debug, info, log, warn};
use mdns_sd::{DaemonEvent, Error, IfKind, Receiver, ServiceDaemon, ServiceInfo};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Between two looks whether this machine has other addresses: the one thing that wakes it up, so
/// it is seldom. A machine whose network comes up late is found so much later.
const LOOK_EVERY_S: u32 = 30;
/// For the goodbye to be on its way.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);
/// Of our name, so that a number and the end of the machine's name find room in a label of 63 bytes.
const NAME_LEN_MAX: usize = 48;
/// The name of a machine that has none.
const NAMELESS: &str = "netrng";

/// A server that is announced; dropping this takes it back.
pub(super) struct Announcement(ServiceDaemon);

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
        let announcement = Announcement(ServiceDaemon::new()?);
        let daemon = &announcement.0;
        daemon.set_ip_check_interval(LOOK_EVERY_S)?;
        let events = daemon.monitor()?;
        let named = info.get_fullname().to_owned();
        daemon.register(info)?;
        let listen = move || tell(&events);
        sys::thread::spawn("announce", Box::new(listen)).map_err(message)?;
        info!("announced by mDNS as {named}, key={}", key.fingerprint());
        Ok(announcement)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Ok(ended) = self.0.shutdown() {
            let _ = ended.recv_timeout(GOODBYE_PATIENCE);
        }
    }
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

/// Tells what becomes of it, until its end. Others can cause that, so each sort is told once.
fn tell(events: &Receiver<DaemonEvent>) {
    let mut outage = Outage::new();
    while let Ok(event) = events.recv() {
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

//! The tables `[[listen]]`: further addresses of a server, each with the protocol spoken there.
//!
//! Owns their keys, and the rule that nothing travels in clear over a network unless somebody
//! wrote that it may.

use super::clients::{LIMIT, MAX_SESSIONS, WEIGHT, read_ranges};
use super::error::ConfigError;
use super::server::{LISTEN_MAX, parse_listen, read_socket_path};
use super::table::{Entry, Table};
use crate::server::guests::ListenerRule;
use crate::wire::Protocol;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// The keys of `[[listen]]`.
pub(super) const LISTEN_KEYS: &[&str] = &[
    "protocol",
    "address",
    "path",
    "mode",
    "allow-plaintext",
    "allowed",
    "weight",
    "limit",
    "max-sessions",
    "greet",
    "balancers",
    "names",
];
/// Keys for peers that the clients file does not know.
const GUEST_KEYS: &[&str] = &["weight", "limit", "max-sessions"];
/// Keys for addresses of a network.
const NETWORK_KEYS: &[&str] = &["allow-plaintext", "allowed", "balancers"];
/// What a name looks like.
const NAMES: &str = "a name such as \"rng.example.org\"";
/// What EGD can say at once.
const GREET: RangeInclusive<u32> = 0..=255;
/// A socket that everybody may use: who draws there gets a share, and no more.
const SOCKET_MODE: u32 = 0o666;
/// One that shows who the clients are, and where.
const STATUS_MODE: u32 = 0o660;

/// Where it is listened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address of a network; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A path of this machine, with the permissions of the socket.
    Unix(PathBuf, u32),
}

/// One table, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenConfig {
    /// Where.
    pub place: Place,
    /// What is spoken there, and what peers may be.
    pub rule: ListenerRule,
    /// Whether what is secret travels in clear over a network, as somebody wrote that it may.
    pub is_exposed: bool,
}

pub(super) fn read(top: &Table<'_>) -> Result<Vec<ListenConfig>, ConfigError> {
    let tables = top.tables("listen")?;
    if let Some(entry) = top.entry("listen").filter(|_| tables.len() > LISTEN_MAX) {
        let count = tables.len();
        return Err(entry.fail(format!("{count} tables; want at most {LISTEN_MAX}; remove some")));
    }
    let mut listeners: Vec<ListenConfig> = Vec::new();
    for table in &tables {
        let mut listener = read_one(table)?;
        listener.rule.name = name(&listener.rule, &listeners);
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Where guests are worth the same, they are the same; elsewhere each listener's rule holds.
fn name(rule: &ListenerRule, others: &[ListenConfig]) -> String {
    let worth = |rule: &ListenerRule| (rule.weight, rule.limit_bytes_per_s, rule.max_sessions);
    let others = || others.iter().map(|o| &o.rule).filter(|o| o.protocol == rule.protocol);
    match others().find(|other| worth(other) == worth(rule)) {
        Some(same) => same.name.clone(),
        None if others().next().is_none() => rule.name.clone(),
        None => format!("{}-{}", rule.name, others().count() + 1),
    }
}

fn read_one(table: &Table<'_>) -> Result<ListenConfig, ConfigError> {
    table.allow(LISTEN_KEYS, super::SERVER_TABLES)?;
    let entry = table.entry("protocol");
    let entry = entry.ok_or_else(|| table.missing("protocol", "say what is spoken there"))?;
    let protocol = match entry.text() {
        Some("netrng") => Protocol::Native,
        Some("egd") => Protocol::Egd,
        Some("netrng-0.2") => Protocol::Netrng02,
        Some("http") => Protocol::Http,
        _ => return Err(entry.want("\"netrng\", \"netrng-0.2\", \"egd\" or \"http\"")),
    };
    refuse_keys(table, protocol)?;
    let (place, is_exposed) = read_place(table, protocol)?;
    let mut rule = ListenerRule::new(protocol);
    if let Some(entry) = table.entry("allowed") {
        rule.allowed = read_ranges(&entry, "addresses; to allow any address, leave the key out")?;
    }
    if let Some(entry) = table.entry("balancers") {
        rule.balancers = read_ranges(&entry, "addresses of load balancers")?;
    }
    if let Some(entry) = table.entry("weight") {
        rule.weight = entry.count(WEIGHT)?;
    }
    if let Some(entry) = table.entry("limit").filter(|entry| entry.text() != Some("none")) {
        rule.limit_bytes_per_s = Some(entry.rate(LIMIT).map_err(|error| error.or("none"))?);
    }
    if let Some(entry) = table.entry("max-sessions") {
        rule.max_sessions = entry.count(MAX_SESSIONS)?;
    }
    if let Some(entry) = table.entry("greet") {
        rule.greet_len = u8::try_from(entry.count(GREET)?).expect("within GREET");
    }
    if let Some(entry) = table.entry("names") {
        let mut names = Vec::new();
        for item in entry.list(LISTEN_MAX, "names of this machine")? {
            let name = item.text().filter(|name| is_host_name(name));
            names.push(name.ok_or_else(|| item.want(NAMES))?.to_owned());
        }
        rule.names = names.into();
    }
    Ok(ListenConfig { place, rule, is_exposed })
}

/// No port, URL or pattern: none of them would ever match.
pub(super) fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Refuses what would have no effect.
fn refuse_keys(table: &Table<'_>, protocol: Protocol) -> Result<(), ConfigError> {
    let refuse = |keys: &[&'static str], why: &str| {
        let found = keys.iter().find_map(|key| table.entry(key));
        found.map_or(Ok(()), |entry| Err(entry.fail(why)))
    };
    if protocol != Protocol::Egd {
        refuse(&["greet"], "is only for protocol = \"egd\"; remove it")?;
    }
    if protocol == Protocol::Http {
        let why = "has no effect with protocol = \"http\"; remove it";
        refuse(GUEST_KEYS, why)?;
        refuse(&["balancers"], why)?;
    } else {
        refuse(&["names"], "is only for protocol = \"http\"; remove it")?;
    }
    if !protocol.has_guests() {
        refuse(GUEST_KEYS, "stands in the clients file for those who have keys; remove it here")?;
    }
    match table.entry("path") {
        Some(_) => refuse(NETWORK_KEYS, "has no effect with `path`; remove one of the two"),
        None => refuse(&["mode"], "is only for a `path`; remove it"),
    }
}

fn read_place(table: &Table<'_>, protocol: Protocol) -> Result<(Place, bool), ConfigError> {
    let exclusive = |entry: &Entry<'_>| {
        Err(entry.fail("stands beside address; a listener has one place, so give it two tables"))
    };
    let address = match (table.entry("address"), table.entry("path")) {
        (Some(_), Some(path)) => return exclusive(&path),
        (None, Some(path)) if protocol == Protocol::Native => {
            return Err(path.fail("is not for netrng clients; for `netrng tap` see tap-socket"));
        }
        (None, Some(path)) => {
            let usual = if protocol == Protocol::Http { STATUS_MODE } else { SOCKET_MODE };
            let mode = table.entry("mode").map_or(Ok(usual), |entry| read_mode(&entry))?;
            return Ok((Place::Unix(read_socket_path(&path)?, mode), false));
        }
        (None, None) => {
            let advice = "give it, or for a unix socket `path`";
            return Err(table.missing("address", advice));
        }
        (Some(address), None) => address,
    };
    let port = (protocol == Protocol::Native).then_some(super::DEFAULT_PORT);
    let found = address.text().and_then(|text| parse_listen(text, port)).ok_or_else(|| {
        address.want(
            "a numeric address and a port such as \"127.0.0.1:8888\" or \"[::1]:8888\"; ports go \
             up to 65535",
        )
    })?;
    let is_plain = protocol != Protocol::Native && !found.ip().to_canonical().is_loopback();
    let allow = table.entry("allow-plaintext").map_or(Ok(false), |entry| entry.flag())?;
    if is_plain && !allow {
        let risk = match protocol {
            Protocol::Http => {
                "http shows who the clients are and where, to all who reach it".to_owned()
            }
            _ => format!(
                "{protocol} sends the bytes in clear: whoever is on the way can read and change them"
            ),
        };
        return Err(address.fail(format!(
            "{found} is not this machine alone, and {risk}; use 127.0.0.1 or a `path`, or write \
             allow-plaintext = true"
        )));
    }
    Ok((Place::Tcp(found), is_plain))
}

/// As `chmod` has it.
fn read_mode(entry: &Entry<'_>) -> Result<u32, ConfigError> {
    let digits = entry.text().filter(|text| matches!(text.len(), 3 | 4));
    let mode = digits.and_then(|text| u32::from_str_radix(text, 8).ok());
    mode.filter(|mode| *mode <= 0o777).ok_or_else(|| entry.want("permissions such as \"0660\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_share_guests_that_are_worth_the_same() {
        let mut listeners: Vec<ListenConfig> = Vec::new();
        for (protocol, weight) in [
            (Protocol::Egd, 1),
            (Protocol::Native, 1),
            (Protocol::Egd, 2),
            (Protocol::Egd, 1),
            (Protocol::Egd, 3),
            (Protocol::Egd, 2),
        ] {
            let mut rule = ListenerRule { weight, ..ListenerRule::new(protocol) };
            rule.name = name(&rule, &listeners);
            let place = Place::Unix(PathBuf::from("/run/socket"), SOCKET_MODE);
            listeners.push(ListenConfig { place, rule, is_exposed: false });
        }
        let names: Vec<_> = listeners.iter().map(|listener| listener.rule.name.as_str()).collect();
        assert_eq!(names, ["egd", "netrng", "egd-2", "egd", "egd-4", "egd-2"]);
    }
}

//! The clients file: who may draw from this server, and how much.
//!
//! Owns the `[[client]]` tables and the `[defaults]` they fall back on. It is read again at
//! SIGHUP. It does not know which of them is connected.

use super::error::ConfigError;
use super::file::{File, reason};
use super::table::{self, Table};
use crate::keys::{Psk, PublicKey};
use crate::server::{AddressRange, ClientRule, Identity};
use crate::sys::privilege::find_user;
use crate::wire::frame::is_client_name;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::Path;

/// The keys of `[[client]]`.
pub(super) const CLIENT_KEYS: &[&str] = &[
    "name",
    "user",
    "public-key",
    "psk",
    "psk-file",
    "weight",
    "guarantee",
    "limit",
    "max-sessions",
    "allowed",
];

/// Those of clients on the network, which a local user has no use for.
const NETWORK_KEYS: &[&str] = &["public-key", "psk", "psk-file", "allowed"];

/// The keys of `[defaults]`.
pub(super) const DEFAULTS_KEYS: &[&str] = &["weight", "guarantee", "limit", "max-sessions"];

/// Over 1:1000 the lighter one would not see a byte for minutes on a slow source.
pub(super) const WEIGHT: RangeInclusive<u32> = 1..=1000;
/// Up to what the welcome message can say in 32 bits.
const GUARANTEE: RangeInclusive<u64> = 0..=4_000_000_000;
/// A limit below one slice (64 bytes) a minute is a mistake.
pub(super) const LIMIT: RangeInclusive<u64> = 1..=4_000_000_000;
/// Sessions of one key.
pub(super) const MAX_SESSIONS: RangeInclusive<u32> = 1..=1000;
/// Blocks a client may come from.
const ALLOWED_MAX: usize = 64;
/// As many as there can be sessions.
const CLIENTS_MAX: usize = 65_536;

/// What a client's name may be ([`is_client_name`]), for messages.
pub const CLIENT_NAME_RULE: &str = "1 to 64 letters A-Z a-z, digits, `.`, `_` or `-`";

/// For what a client's entry leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDefaults {
    /// Its part against the others' weights.
    pub weight: u32,
    /// Bytes per second; 0 for none.
    pub guarantee_bytes_per_s: u64,
    /// Bytes per second; `None` for no limit.
    pub limit_bytes_per_s: Option<u64>,
    /// Sessions at once.
    pub max_sessions: u32,
}

impl Default for ClientDefaults {
    fn default() -> Self {
        ClientDefaults {
            weight: 1,
            guarantee_bytes_per_s: 0,
            limit_bytes_per_s: None,
            max_sessions: 1,
        }
    }
}

/// What the clients file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clients {
    /// One a client, in the file's order.
    pub rules: Vec<ClientRule>,
    /// Why there are none, in a sentence for the log: the file does not exist.
    pub missing: Option<ConfigError>,
}

/// Reads a clients file. One that does not exist holds nobody, and says so in
/// [`Clients::missing`].
///
/// # Errors
/// [`ConfigError`] for the first mistake in the file, and if it cannot be read.
pub fn load_clients(path: &Path, defaults: &ClientDefaults) -> Result<Clients, ConfigError> {
    match File::read(path) {
        Ok(file) => read_clients(&file, defaults),
        Err(error) => {
            let empty = File::from_text("", path);
            if error.kind() != ErrorKind::NotFound {
                return Err(empty.error(None, "", reason(&error)));
            }
            let said = "no such file, so no client may connect; `netrng enroll NAME` makes it";
            Ok(Clients { rules: Vec::new(), missing: Some(empty.error(None, "", said)) })
        }
    }
}

/// As [`load_clients`], from a text that stands for the file at `path`.
///
/// # Errors
/// [`ConfigError`] for the first mistake.
pub fn parse_clients(
    text: &str,
    path: &Path,
    defaults: &ClientDefaults,
) -> Result<Clients, ConfigError> {
    read_clients(&File::from_text(text, path), defaults)
}

/// Where names and keys were first seen, to find the second.
#[derive(Default)]
struct Seen {
    names: BTreeMap<String, usize>,
    keys: BTreeMap<PublicKey, usize>,
}

fn read_clients(file: &File, defaults: &ClientDefaults) -> Result<Clients, ConfigError> {
    let document = table::parse(file)?;
    let top = Table::top(file, &document);
    top.allow(&["client"], &[("[client]", CLIENT_KEYS)])?;
    let tables = top.tables("client")?;
    if tables.len() > CLIENTS_MAX {
        let said = format!("found {} clients; want at most {CLIENTS_MAX}", tables.len());
        return Err(file.error(None, "", said));
    }
    let mut seen = Seen::default();
    let rule = |table: &Table<'_>| read_rule(file, table, defaults, &mut seen);
    let rules = tables.iter().map(rule).collect::<Result<_, _>>()?;
    Ok(Clients { rules, missing: None })
}

fn read_rule(
    file: &File,
    table: &Table<'_>,
    defaults: &ClientDefaults,
    seen: &mut Seen,
) -> Result<ClientRule, ConfigError> {
    table.allow(CLIENT_KEYS, &[])?;
    let entry = table
        .entry("name")
        .ok_or_else(|| table.missing("name", "give each client a name of its own"))?;
    let name = entry.text().filter(|name| is_client_name(name));
    let name = name.ok_or_else(|| entry.want(CLIENT_NAME_RULE))?.to_owned();
    if let Some(first) = seen.names.insert(name.clone(), entry.offset) {
        let line = file.line(first);
        return Err(entry.fail(format!("\"{name}\" stands in line {line} already; change one")));
    }
    let identity = read_identity(file, table, seen)?;
    let shares = read_shares(table, defaults)?;
    Ok(ClientRule {
        name,
        identity,
        weight: shares.weight,
        guarantee_bytes_per_s: shares.guarantee_bytes_per_s,
        limit_bytes_per_s: shares.limit_bytes_per_s,
        max_sessions: shares.max_sessions,
        allowed: read_allowed(table)?,
    })
}

/// A local user, or a key.
fn read_identity(file: &File, table: &Table<'_>, seen: &mut Seen) -> Result<Identity, ConfigError> {
    if let Some(user) = table.entry("user") {
        if let Some(entry) = NETWORK_KEYS.iter().find_map(|key| table.entry(key)) {
            return Err(entry.fail("is only for clients without `user`; remove one of the two"));
        }
        return read_user(&user);
    }
    let advice = "give the client's public key; `netrng pubkey` on the client prints it; or give \
                  `user`, for a client that comes by SSH";
    let (key, entry) = read_public_key(table, advice)?;
    if let Some(first) = seen.keys.insert(key, entry.offset) {
        let line = file.line(first);
        return Err(entry.fail(format!(
            "line {line} has the same key; each client needs its own, see `netrng enroll`"
        )));
    }
    Ok(Identity::Key { key, psk: table.secret("psk", "psk-file", Psk::from_text)? })
}

/// By name, or by number where none has the name.
fn read_user(entry: &table::Entry<'_>) -> Result<Identity, ConfigError> {
    let wrong = || entry.want("the name of a user that this machine has, in quotes");
    let user = entry.text().filter(|user| !user.contains(char::is_control)).ok_or_else(wrong)?;
    let found = find_user(user).map_err(|error| entry.fail(error.to_string()))?;
    let uid = found.map(|found| found.uid()).or_else(|| user.parse().ok()).ok_or_else(wrong)?;
    Ok(Identity::User { uid, user: user.to_owned() })
}

/// The required `public-key`, and its entry.
pub(super) fn read_public_key<'t>(
    table: &Table<'t>,
    advice: &str,
) -> Result<(PublicKey, table::Entry<'t>), ConfigError> {
    let entry = table.entry("public-key").ok_or_else(|| table.missing("public-key", advice))?;
    // What was found is not shown: it may be the private key, mistaken for the public one.
    let key = PublicKey::from_text(entry.text().unwrap_or(""));
    key.map_err(|error| entry.fail(error.to_string())).map(|key| (key, entry))
}

/// The table `[defaults]` of the server's own file.
pub(super) fn read_defaults(table: &Table<'_>) -> Result<ClientDefaults, ConfigError> {
    table.allow(DEFAULTS_KEYS, super::SERVER_TABLES)?;
    read_shares(table, &ClientDefaults::default())
}

fn read_shares(table: &Table<'_>, default: &ClientDefaults) -> Result<ClientDefaults, ConfigError> {
    let guarantee = table.entry("guarantee");
    let limit = table.entry("limit");
    let shares = ClientDefaults {
        weight: table.entry("weight").map_or(Ok(default.weight), |entry| entry.count(WEIGHT))?,
        guarantee_bytes_per_s: guarantee
            .as_ref()
            .map_or(Ok(default.guarantee_bytes_per_s), |entry| entry.rate(GUARANTEE))?,
        limit_bytes_per_s: match &limit {
            None => default.limit_bytes_per_s,
            Some(entry) if entry.text() == Some("none") => None,
            Some(entry) => Some(entry.rate(LIMIT).map_err(|error| error.or("none"))?),
        },
        max_sessions: table
            .entry("max-sessions")
            .map_or(Ok(default.max_sessions), |entry| entry.count(MAX_SESSIONS))?,
    };
    let over = |limit: &u64| shares.guarantee_bytes_per_s > *limit;
    match (shares.limit_bytes_per_s.filter(over), guarantee.or(limit)) {
        (Some(most), Some(entry)) => {
            let most = super::units::show_rate(most);
            let promised = super::units::show_rate(shares.guarantee_bytes_per_s);
            Err(entry.fail(format!("the guarantee of {promised} is over the limit of {most}")))
        }
        _ => Ok(shares),
    }
}

fn read_allowed(table: &Table<'_>) -> Result<Vec<AddressRange>, ConfigError> {
    let Some(entry) = table.entry("allowed") else { return Ok(Vec::new()) };
    read_ranges(&entry, "addresses; to allow any address, leave the key out")
}

/// A list of addresses and blocks of them; `of` says what it is a list of.
pub(super) fn read_ranges(
    entry: &table::Entry<'_>,
    of: &str,
) -> Result<Vec<AddressRange>, ConfigError> {
    let range = |item: &table::Entry<'_>| {
        let range = item.text().and_then(|text| text.parse().ok());
        range.ok_or_else(|| item.want("an address or block such as \"192.0.2.0/24\""))
    };
    entry.list(ALLOWED_MAX, of)?.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_addresses_read_back() {
        for (text, shown) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("10.0.0.7", "10.0.0.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            let range: AddressRange = text.parse().unwrap();
            assert_eq!(range.to_string(), shown);
            assert_eq!(shown.parse(), Ok(range));
        }
        for text in ["", "/", "10.0.0.7/", "10.0.0.7/33", "::/129", "10/8", "::/+1", "::/1/1"] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn many_clients_read_in_a_blink() {
        let entry = |i: u32| {
            let mut bytes = [0; crate::keys::KEY_LEN];
            bytes[..4].copy_from_slice(&i.to_le_bytes());
            format!("[[client]]\nname = \"c{i}\"\npublic-key = \"{}\"\n", PublicKey(bytes))
        };
        let text: String = (0..10_000).map(entry).collect();
        let clients = parse_clients(&text, Path::new("/c"), &ClientDefaults::default()).unwrap();
        assert_eq!(clients.rules.len(), 10_000);
    }
}

//! What a client's file says of its upstreams: the tables `[[upstream]]`.
//!
//! Owns their keys, defaults and bounds. It resolves no names and starts nothing.

use super::clients::{CLIENT_NAME_RULE, read_public_key};
use super::error::ConfigError;
use super::listen::is_host_name;
use super::server::{TIMEOUT, read_min_entropy};
use super::table::{Entry, Table};
use crate::client::{Address, Command, Kind, Location, Netrng02, Remote, Ssh, Upstream};
use crate::keys::{PrivateKey, Psk};
use crate::wire::frame::is_client_name;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

/// The keys of `[[upstream]]`. The first [`KINDS`] say what it is.
pub(super) const UPSTREAM_KEYS: &[&str] = &[
    "address",
    "discover",
    "ssh",
    "command",
    "protocol",
    "allow-plaintext",
    "public-key",
    "private-key",
    "private-key-file",
    "psk",
    "psk-file",
    "ssh-port",
    "identity-file",
    "known-hosts-file",
    "ssh-program",
    "raw",
    "stall-timeout",
    "min-entropy",
    "name",
];

/// Keys of which an upstream has one.
const KINDS: usize = 4;
/// Keys that only upstreams with `address` have.
const PROTOCOL_KEYS: &[&str] = &["protocol", "allow-plaintext"];
/// Keys that only netrng servers have.
const SERVER_KEYS: &[&str] = &["public-key", "private-key", "private-key-file", "psk", "psk-file"];
/// Keys that only upstreams with `ssh` have.
const SSH_KEYS: &[&str] = &["ssh-port", "identity-file", "known-hosts-file", "ssh-program", "raw"];

/// A program and its arguments.
const COMMAND_MAX: usize = 64;
/// Of a name in the DNS (RFC 1035 §2.3.4).
const HOST_LEN_MAX: usize = 253;
/// How long a raw upstream may give nothing: longer than ssh takes to connect.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// OpenSSH's client.
pub(super) const SSH_PROGRAM: &str = "ssh";

const GIVE_ADDRESS: &str = "give the server's name or address, as in address = \
                            \"rng.example.org\"; or ssh = \"user@host\", or command = [\"program\"]";
const SSH_RULE: &str = "\"host\" or \"user@host\", or a name from ssh's configuration; the port \
                        goes into ssh-port";
const WORD_RULE: &str = "a word of the command in quotes";

/// Reads one table. `own_key`: the one in `[client]`, which is `client`.
pub(super) fn read(
    table: &Table<'_>,
    own_key: Option<&PrivateKey>,
    client: &Table<'_>,
    earlier: &[Upstream],
) -> Result<Upstream, ConfigError> {
    table.allow(UPSTREAM_KEYS, super::CLIENT_TABLES)?;
    let is_discovered = table.entry("discover").map_or(Ok(false), |entry| {
        super::read_mdns(&entry, "give the server's `address` instead")
    })?;
    let kinds = UPSTREAM_KEYS[..KINDS].iter().filter(|key| **key != "discover" || is_discovered);
    let mut kinds = kinds.filter_map(|&key| Some((key, table.entry(key)?)));
    let Some((key, entry)) = kinds.next() else {
        return Err(table.missing("address", GIVE_ADDRESS));
    };
    if let Some((_, other)) = kinds.next() {
        return Err(other.fail(format!(
            "stands beside {key}; give only one of the two, and another [[upstream]] for the other"
        )));
    }
    refuse_keys_of_others(table, key)?;
    let kind = match key {
        "address" if is_netrng02(table)? => Kind::Netrng02(read_netrng02(table, &entry)?),
        "address" => {
            let location = read_location(&entry)?;
            Kind::Address(read_address(table, location, own_key, client, earlier)?)
        }
        #[cfg(feature = "mdns")]
        "discover" => {
            Kind::Address(read_address(table, Location::Discovered, own_key, client, earlier)?)
        }
        "ssh" => Kind::Ssh(read_ssh(table, &entry)?),
        _ => Kind::Command(Command {
            argv: read_command(&entry)?,
            stall_timeout: read_stall_timeout(table)?,
        }),
    };
    let name = read_name(table, &entry, &kind, earlier)?;
    let min_entropy =
        table.entry("min-entropy").map_or(Ok(None), |entry| read_min_entropy(&entry))?;
    Ok(Upstream { name, kind, min_entropy })
}

/// Keys without effect would mislead.
fn refuse_keys_of_others(table: &Table<'_>, kind: &str) -> Result<(), ConfigError> {
    for (owners, keys) in [
        (&["address"][..], PROTOCOL_KEYS),
        (&["address", "discover"], SERVER_KEYS),
        (&["ssh"], SSH_KEYS),
    ] {
        if owners.contains(&kind) {
            continue;
        }
        if let Some(entry) = keys.iter().find_map(|key| table.entry(key)) {
            let owners = owners.join(" or ");
            return Err(entry.fail(format!("is only for upstreams with {owners}; remove it")));
        }
    }
    match table.entry("stall-timeout") {
        Some(entry) if kind != "command" && table.entry("raw").is_none() => {
            Err(entry.fail("is only for raw bytes, of command or of ssh with raw; remove it"))
        }
        _ => Ok(()),
    }
}

/// Whether the original NetRNG's protocol is spoken there.
fn is_netrng02(table: &Table<'_>) -> Result<bool, ConfigError> {
    let refuse = |keys: &[&'static str], why: &str| {
        let found = keys.iter().find_map(|key| table.entry(key));
        found.map_or(Ok(()), |entry| Err(entry.fail(why)))
    };
    let entry = table.entry("protocol");
    match entry.as_ref().map(|entry| entry.text()) {
        None | Some(Some("netrng")) => {
            let why = "is only for protocol = \"netrng-0.2\"; \"netrng\" encrypts; remove it";
            refuse(&["allow-plaintext"], why)?;
            Ok(false)
        }
        Some(Some("netrng-0.2")) => {
            let why =
                "has no effect with protocol = \"netrng-0.2\", which knows no keys; remove it";
            refuse(SERVER_KEYS, why)?;
            Ok(true)
        }
        _ => entry.map_or(Ok(false), |entry| Err(entry.want("\"netrng\" or \"netrng-0.2\""))),
    }
}

/// `host:port`, and nothing else.
fn read_host(entry: &Entry<'_>) -> Result<(String, u16), ConfigError> {
    entry.text().and_then(parse_address).ok_or_else(|| {
        entry.want(
            "\"host\", \"host:port\", \"192.0.2.1:8989\" or \"[2001:db8::1]:8989\"; ports go up to \
             65535",
        )
    })
}

fn read_netrng02(table: &Table<'_>, entry: &Entry<'_>) -> Result<Netrng02, ConfigError> {
    let (host, port) = read_host(entry)?;
    let server = Netrng02 { host, port };
    let allow = table.entry("allow-plaintext").map_or(Ok(false), |entry| entry.flag())?;
    if server.is_exposed() && !allow {
        return Err(entry.fail(
            "netrng-0.2 sends the bytes in clear, and whoever is on the way can read and change \
             them; use another protocol, or write allow-plaintext = true",
        ));
    }
    Ok(server)
}

fn read_location(entry: &Entry<'_>) -> Result<Location, ConfigError> {
    let (host, port) = read_host(entry)?;
    Ok(Location::At(host, port))
}

fn read_address(
    table: &Table<'_>,
    location: Location,
    own_key: Option<&PrivateKey>,
    client: &Table<'_>,
    earlier: &[Upstream],
) -> Result<Address, ConfigError> {
    let advice = "give the server's public key; `netrng pubkey` on the server prints it";
    let (server_key, entry) = read_public_key(table, advice)?;
    let is_same = |other: &&Upstream| matches!(&other.kind, Kind::Address(address) if address.server_key == server_key);
    if let Some(other) = earlier.iter().find(is_same) {
        let name = &other.name;
        return Err(entry.fail(format!("upstream {name} is the same server; remove one of them")));
    }
    let private_key = table
        .secret("private-key", "private-key-file", PrivateKey::from_text)?
        .or_else(|| own_key.cloned())
        .ok_or_else(|| client.missing("private-key", super::GIVE_PRIVATE_KEY))?;
    let psk = table.secret("psk", "psk-file", Psk::from_text)?;
    Ok(Address { location, server_key, private_key, psk })
}

fn read_ssh(table: &Table<'_>, entry: &Entry<'_>) -> Result<Ssh, ConfigError> {
    let destination = entry.text().filter(|text| is_destination(text));
    let program = table.entry("ssh-program");
    let program = match &program {
        Some(entry) => read_word(entry, "the name or path of OpenSSH's client in quotes")?,
        None => SSH_PROGRAM.to_owned(),
    };
    let path = |key| table.entry(key).map(|entry| read_plain_path(&entry)).transpose();
    let remote = match table.entry("raw") {
        Some(entry) => Remote::Raw {
            command: read_word(
                &entry,
                "a command for the host's shell, as \"dd if=/dev/hwrng bs=64 status=none\"",
            )?,
            stall_timeout: read_stall_timeout(table)?,
        },
        None => Remote::Tap,
    };
    Ok(Ssh {
        destination: destination.ok_or_else(|| entry.want(SSH_RULE))?.to_owned(),
        port: table.entry("ssh-port").map(|entry| entry.count(1..=u16::MAX)).transpose()?,
        identity_file: path("identity-file")?,
        known_hosts_file: path("known-hosts-file")?,
        program,
        remote,
    })
}

/// Neither an option, nor a URI, nor more than one word; neither part may look like an option, and
/// no port stands behind it.
fn is_destination(text: &str) -> bool {
    let (user, host) =
        text.rsplit_once('@').map_or((None, text), |(user, host)| (Some(user), host));
    let plain = |part: &str| {
        !part.is_empty()
            && part.len() <= HOST_LEN_MAX
            && !part.starts_with('-')
            && part
                .chars()
                .all(|letter| letter.is_ascii_graphic() && !"/\"'`$&;|<>(){}*?!#".contains(letter))
    };
    // A colon is one of IPv6's: ssh would take `host:port` for a name.
    let is_six = || host.split('%').next().is_some_and(|six| six.parse::<Ipv6Addr>().is_ok());
    plain(host) && user.is_none_or(plain) && (!host.contains(':') || is_six())
}

/// ssh expands and splits what it reads of a path in its own way.
fn read_plain_path(entry: &Entry<'_>) -> Result<PathBuf, ConfigError> {
    let path = entry.path()?;
    let shown = path.display().to_string();
    match shown.chars().any(|letter| letter.is_whitespace() || "\"'\\%$#".contains(letter)) {
        true => {
            Err(entry.fail("ssh reads spaces, quotes and \\ % $ # its own way; use another path"))
        }
        false => Ok(path),
    }
}

/// One text, not empty, that a process can be given.
fn read_word(entry: &Entry<'_>, what: &str) -> Result<String, ConfigError> {
    let word = entry.text().filter(|word| !word.is_empty() && !word.contains('\0'));
    word.map(str::to_owned).ok_or_else(|| entry.want(what))
}

fn read_stall_timeout(table: &Table<'_>) -> Result<Duration, ConfigError> {
    table.entry("stall-timeout").map_or(Ok(STALL_TIMEOUT), |entry| entry.time(TIMEOUT))
}

/// `entry`: what says the kind, to blame if no name is given and the default one is taken.
fn read_name(
    table: &Table<'_>,
    entry: &Entry<'_>,
    kind: &Kind,
    earlier: &[Upstream],
) -> Result<String, ConfigError> {
    let is_taken = |name: &str| earlier.iter().any(|other| other.name == name);
    let Some(entry) = table.entry("name") else {
        let name = kind.default_name();
        return match is_taken(&name) {
            true => {
                Err(entry
                    .fail(format!("another upstream is called {name:?}; give this one a name")))
            }
            false => Ok(name),
        };
    };
    let name = entry.text().filter(|name| is_client_name(name));
    let name = name.ok_or_else(|| entry.want(CLIENT_NAME_RULE))?;
    match is_taken(name) {
        true => Err(entry.fail(format!("\"{name}\" is another upstream's name; change one"))),
        false => Ok(name.to_owned()),
    }
}

/// A program and its arguments.
pub(super) fn read_command(entry: &Entry<'_>) -> Result<Vec<String>, ConfigError> {
    let word = |item: &Entry<'_>| {
        let word = item.text().filter(|word| !word.contains('\0')).map(str::to_owned);
        word.ok_or_else(|| item.want(WORD_RULE))
    };
    let words = "words: the program and its arguments";
    let command: Vec<String> =
        entry.list(COMMAND_MAX, words)?.iter().map(word).collect::<Result<_, _>>()?;
    match command.first() {
        Some(program) if !program.is_empty() => Ok(command),
        _ => Err(entry.fail("the program's name is empty; want its name or path first")),
    }
}

/// A server's `host`, `host:port`, `192.0.2.1:8989` or `[2001:db8::1]:8989`; the port is 8989
/// unless it is given. The brackets of IPv6 are taken off.
pub fn parse_address(text: &str) -> Option<(String, u16)> {
    let six = |host: &str| host.parse::<Ipv6Addr>().is_ok();
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) if six(host) => (host, None),
        Some((host, rest)) if six(host) => (host, Some(rest.strip_prefix(':')?)),
        Some(_) => return None,
        None if six(text) => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if !six(host) && (host.len() > HOST_LEN_MAX || !is_host_name(host)) {
        return None;
    }
    let port = port.map_or(Some(super::DEFAULT_PORT), |port| port.parse().ok())?;
    (port != 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::show_address;

    #[test]
    fn addresses_read_with_and_without_a_port() {
        for (text, host, port) in [
            ("rng", "rng", 8989),
            ("rng.example.org:9000", "rng.example.org", 9000),
            ("192.0.2.1", "192.0.2.1", 8989),
            ("2001:db8::1", "2001:db8::1", 8989),
            ("[2001:db8::1]", "2001:db8::1", 8989),
            ("[2001:db8::1]:9000", "2001:db8::1", 9000),
        ] {
            let read = parse_address(text);
            assert_eq!(read, Some((host.to_owned(), port)), "{text}");
            assert_eq!(parse_address(&show_address(host, port)), read, "{text}");
        }
        for text in
            ["", ":1", "a:", "a:0", "a:1:2", "a b", "[a]", "[::1", "[::1]1", "http://a", "a/b"]
        {
            assert_eq!(parse_address(text), None, "{text}");
        }
        assert_eq!(parse_address(&"a".repeat(254)), None);
    }

    #[test]
    fn a_destination_is_one_plain_word_and_no_option() {
        for text in [
            "board",
            "rng@board.example",
            "DOM\\rng@192.0.2.1",
            "rng@2001:db8::1",
            "fe80::1%eth0",
            "a@b@c",
        ] {
            assert!(is_destination(text), "{text}");
        }
        for text in [
            "",
            "@board",
            "rng@",
            "-oProxyCommand=x",
            "rng@-oX",
            "-x@board",
            "a b",
            "ssh://board",
            "board:2222",
            "rng@192.0.2.1:22",
            "[2001:db8::1]:22",
            "b;x",
            "b\n",
            "$(x)",
        ] {
            assert!(!is_destination(text), "{text}");
        }
    }
}

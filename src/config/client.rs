//! What a client's file says: the tables `[client]`, `[[upstream]]` and `[sink]`.
//!
//! Owns their keys, defaults and bounds. It resolves no names and starts nothing.

use super::clients::{CLIENT_NAME_RULE, is_client_name, read_public_key};
use super::error::ConfigError;
use super::table::{Entry, Table};
use crate::client::Upstream;
use crate::keys::{PrivateKey, Psk};
use crate::sink::Sink;
use std::net::Ipv6Addr;

/// The keys of `[client]`.
pub(super) const OWN_KEYS: &[&str] = &["private-key", "private-key-file"];

/// The keys of `[[upstream]]`.
pub(super) const UPSTREAM_KEYS: &[&str] =
    &["address", "public-key", "private-key", "private-key-file", "psk", "psk-file", "name"];

/// The keys of `[sink]`.
pub(super) const SINK_KEYS: &[&str] = &["type", "rngd-command", "path"];

/// Each costs a thread.
const UPSTREAMS_MAX: usize = 16;
/// A program and its arguments.
const COMMAND_MAX: usize = 64;
/// Of a name in the DNS (RFC 1035 §2.3.4).
const HOST_LEN_MAX: usize = 253;

/// A client, checked.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// All of them are drawn from at once; at least one.
    pub upstreams: Vec<Upstream>,
    /// Where the bytes go.
    pub sink: Sink,
}

/// Reads the client's tables from the top of the file.
pub(super) fn read(top: &Table<'_>) -> Result<ClientConfig, ConfigError> {
    let client = top.table("client")?;
    client.allow(OWN_KEYS, super::CLIENT_TABLES)?;
    let own_key = client.secret("private-key", "private-key-file", PrivateKey::from_text)?;
    let tables = top.tables("upstream")?;
    if tables.is_empty() {
        return Err(
            top.missing("upstream", "a client needs at least one [[upstream]] to draw from")
        );
    }
    if tables.len() > UPSTREAMS_MAX {
        let said = format!("{} are given; use at most {UPSTREAMS_MAX}", tables.len());
        return Err(top.missing("upstream", &said));
    }
    let mut upstreams: Vec<Upstream> = Vec::with_capacity(tables.len());
    for table in &tables {
        let upstream = read_upstream(table, own_key.as_ref(), &client, &upstreams)?;
        upstreams.push(upstream);
    }
    Ok(ClientConfig { upstreams, sink: read_sink(&top.table("sink")?)? })
}

fn read_upstream(
    table: &Table<'_>,
    own_key: Option<&PrivateKey>,
    client: &Table<'_>,
    earlier: &[Upstream],
) -> Result<Upstream, ConfigError> {
    table.allow(UPSTREAM_KEYS, super::CLIENT_TABLES)?;
    let advice = "give the server's name or address, as in address = \"rng.example.org\"";
    let address = table.entry("address").ok_or_else(|| table.missing("address", advice))?;
    let (host, port) = address.text().and_then(parse_address).ok_or_else(|| {
        address.want("\"host\", \"host:port\", \"192.0.2.1:8989\" or \"[2001:db8::1]:8989\"")
    })?;
    let name = read_name(table, &host, port, earlier)?;
    let advice = "give the server's public key; `netrng pubkey` on the server prints it";
    let (server_key, entry) = read_public_key(table, advice)?;
    if let Some(other) = earlier.iter().find(|other| other.server_key == server_key) {
        let name = &other.name;
        return Err(entry.fail(format!("upstream {name} is the same server; remove one of them")));
    }
    let private_key = table
        .secret("private-key", "private-key-file", PrivateKey::from_text)?
        .or_else(|| own_key.cloned())
        .ok_or_else(|| client.missing("private-key", super::GIVE_PRIVATE_KEY))?;
    let psk = table.secret("psk", "psk-file", Psk::from_text)?;
    Ok(Upstream { name, host, port, server_key, private_key, psk })
}

fn read_name(
    table: &Table<'_>,
    host: &str,
    port: u16,
    earlier: &[Upstream],
) -> Result<String, ConfigError> {
    let Some(entry) = table.entry("name") else { return Ok(show_address(host, port)) };
    let name = entry.text().filter(|name| is_client_name(name));
    let name = name.ok_or_else(|| entry.want(CLIENT_NAME_RULE))?;
    match earlier.iter().any(|other| other.name == name) {
        true => Err(entry.fail(format!("\"{name}\" is another upstream's name; change one"))),
        false => Ok(name.to_owned()),
    }
}

/// As it is written in the file, port included.
pub(super) fn show_address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Host and port; the brackets of IPv6 are taken off.
/// A server's `host`, `host:port`, `192.0.2.1:8989` or `[2001:db8::1]:8989`; the port is 8989
/// unless it is given.
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
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !six(host) && (host.is_empty() || host.len() > HOST_LEN_MAX || !host.bytes().all(allowed)) {
        return None;
    }
    let port = port.map_or(Some(super::DEFAULT_PORT), |port| port.parse().ok())?;
    (port != 0).then(|| (host.to_owned(), port))
}

fn read_sink(table: &Table<'_>) -> Result<Sink, ConfigError> {
    table.allow(SINK_KEYS, super::CLIENT_TABLES)?;
    let kind = table.entry("type");
    let text = kind.as_ref().map_or(Some("rngd"), Entry::text);
    let only_for = |key: &'static str, sink: &str| match table.entry(key) {
        Some(entry) => Err(entry.fail(format!("is only for type = \"{sink}\"; remove it"))),
        None => Ok(()),
    };
    if text != Some("rngd") {
        only_for("rngd-command", "rngd")?;
    }
    if text != Some("fifo") {
        only_for("path", "fifo")?;
    }
    match (text, kind) {
        (Some("rngd"), _) => {
            let command = table.entry("rngd-command").map(read_command).transpose()?;
            Ok(Sink::Rngd { command })
        }
        (Some("fifo"), _) => {
            let advice = "say where the FIFO is, as in path = \"/run/netrng.fifo\"";
            let entry = table.entry("path").ok_or_else(|| table.missing("path", advice))?;
            Ok(Sink::Fifo { path: entry.path()? })
        }
        (Some("stdout"), _) => Ok(Sink::Stdout),
        (_, Some(entry)) => Err(entry.want("\"rngd\", \"fifo\" or \"stdout\"")),
        // Not reached: without the key it is "rngd".
        (_, None) => Ok(Sink::Rngd { command: None }),
    }
}

fn read_command(entry: Entry<'_>) -> Result<Vec<String>, ConfigError> {
    let word = |item: &Entry<'_>| {
        let word = item.text().filter(|word| !word.contains('\0')).map(str::to_owned);
        word.ok_or_else(|| item.want("a word of the command in quotes"))
    };
    let words = "words: the program and its arguments";
    let command: Vec<String> =
        entry.list(COMMAND_MAX, words)?.iter().map(word).collect::<Result<_, _>>()?;
    match command.first() {
        Some(program) if !program.is_empty() => Ok(command),
        _ => Err(entry.fail("the program's name is empty; want its name or path first")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

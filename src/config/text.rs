//! Configuration as text again: the effective one that `netrng check` prints, and what
//! `netrng enroll` hands out.
//!
//! Owns that these texts are valid TOML that reads back as the same values. Secrets show only
//! in what `enroll` hands out. It writes no file.

use super::units::{show_rate, show_size, show_time};
use super::{ClientConfig, ClientDefaults, Config, ListenConfig, LogTo, Place, ServerConfig};
use crate::client::{Command, Kind, Location, Remote, Ssh, Upstream, show_address};
use crate::keys::{PrivateKey, Psk, PublicKey};
use crate::server::{ClientRule, Identity};
use crate::sink::Sink;
use crate::wire::Protocol;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use zeroize::Zeroizing;

/// What stands for a secret.
const HIDDEN: &str = "\"(hidden)\"";
/// Longer than both texts for `enroll`: growing would leave copies of secrets behind.
const ENROLL_TEXT_MAX: usize = 4096;

/// The effective configuration: every key, defaults included, secrets as "(hidden)".
impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Config::Server(server) => server.fmt(f),
            Config::Client(client) => client.fmt(f),
        }
    }
}

impl Display for LogTo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogTo::Auto => "auto",
            LogTo::Stderr => "stderr",
            LogTo::Syslog => "syslog",
        })
    }
}

impl Display for ServerConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let limits = &self.limits;
        writeln!(f, "mode = \"server\"")?;
        write_user(f, self.user.as_deref())?;
        writeln!(f, "log-to = \"{}\"\n\n[server]", self.log_to)?;
        writeln!(f, "listen = {}", list(&self.listen))?;
        writeln!(f, "announce = {}", self.announce)?;
        write_socket(f, "tap-socket", self.tap_socket.as_deref())?;
        write_socket(f, "status-socket", self.status_socket.as_deref())?;
        writeln!(f, "private-key = {HIDDEN}")?;
        writeln!(f, "clients-file = {}", quoted(self.clients_file.display()))?;
        writeln!(f, "max-clients = {}", limits.max_clients)?;
        writeln!(f, "max-waiting = {}", limits.max_waiting)?;
        writeln!(f, "max-handshakes = {}", limits.max_handshakes)?;
        writeln!(f, "max-handshakes-per-address = {}", limits.max_handshakes_per_address)?;
        writeln!(f, "handshakes-per-s = {}", limits.handshakes_per_s)?;
        writeln!(f, "handshakes-per-s-per-address = {}", limits.handshakes_per_s_per_address)?;
        writeln!(f, "handshake-timeout = \"{}\"", show_time(limits.handshake_timeout))?;
        writeln!(f, "idle-timeout = \"{}\"", show_time(limits.idle_timeout))?;
        writeln!(f, "write-timeout = \"{}\"", show_time(limits.write_timeout))?;
        writeln!(f, "max-round = \"{}\"", show_time(limits.max_round))?;
        writeln!(f, "headroom = {}", limits.headroom)?;
        writeln!(f, "\n[source]\ndevice = {}", quoted(&self.source.origin))?;
        if self.source.origin.is_exposed() {
            writeln!(f, "allow-plaintext = true")?;
        }
        writeln!(f, "sample-size = \"{}\"", show_size(self.source.sample_size as u64))?;
        writeln!(f, "stock = {}", self.source.stock)?;
        write_min_entropy(f, self.source.min_entropy)?;
        writeln!(f, "stall-timeout = \"{}\"", show_time(self.source.stall_timeout))?;
        writeln!(f, "\n[defaults]\n{}", self.defaults)?;
        self.listeners.iter().try_for_each(|listener| write_listener(f, listener))?;
        match &self.clients.missing {
            Some(missing) => return writeln!(f, "# No clients: {missing}"),
            None => writeln!(f, "# Clients: {}", self.clients.rules.len())?,
        }
        self.clients.rules.iter().try_for_each(|rule| write_rule(f, rule))
    }
}

impl Display for ClientDefaults {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "weight = {}", self.weight)?;
        writeln!(f, "guarantee = \"{}\"", show_rate(self.guarantee_bytes_per_s))?;
        writeln!(f, "limit = \"{}\"", show_limit(self.limit_bytes_per_s))?;
        writeln!(f, "max-sessions = {}", self.max_sessions)
    }
}

fn write_socket(f: &mut Formatter<'_>, key: &str, path: Option<&Path>) -> fmt::Result {
    match path {
        Some(path) => writeln!(f, "{key} = {}", quoted(path.display())),
        None => writeln!(f, "{key} = \"none\""),
    }
}

fn write_user(f: &mut Formatter<'_>, user: Option<&str>) -> fmt::Result {
    user.map_or(Ok(()), |user| writeln!(f, "user = \"{user}\""))
}

fn write_listener(f: &mut Formatter<'_>, listener: &ListenConfig) -> fmt::Result {
    let rule = &listener.rule;
    writeln!(f, "[[listen]]\nprotocol = \"{}\"", rule.protocol)?;
    match &listener.place {
        Place::Tcp(address) => writeln!(f, "address = \"{address}\"")?,
        Place::Unix(path, mode) => {
            writeln!(f, "path = {}\nmode = \"{mode:04o}\"", quoted(path.display()))?;
        }
    }
    if listener.is_exposed {
        writeln!(f, "allow-plaintext = true")?;
    }
    for (key, ranges) in [("allowed", &rule.allowed), ("balancers", &rule.balancers)] {
        if !ranges.is_empty() {
            writeln!(f, "{key} = {}", list(ranges))?;
        }
    }
    if rule.protocol.has_guests() {
        writeln!(f, "weight = {}", rule.weight)?;
        writeln!(f, "limit = \"{}\"", show_limit(rule.limit_bytes_per_s))?;
        writeln!(f, "max-sessions = {}", rule.max_sessions)?;
    }
    if !rule.names.is_empty() {
        writeln!(f, "names = {}", list(&rule.names))?;
    }
    if rule.protocol == Protocol::Egd {
        writeln!(f, "greet = {}", rule.greet_len)?;
    }
    writeln!(f)
}

/// A comment, for the clients stand in a file of their own.
fn write_rule(f: &mut Formatter<'_>, rule: &ClientRule) -> fmt::Result {
    write!(f, "#   {} ", rule.name)?;
    match &rule.identity {
        Identity::Key { key, psk: Some(_) } => write!(f, "{key}, with psk")?,
        Identity::Key { key, psk: None } => write!(f, "{key}, without psk")?,
        Identity::User { uid, user } => write!(f, "user {user} (uid {uid})")?,
        Identity::Guest { listener, origin } => write!(f, "{listener} {origin}")?,
    }
    write!(f, ", weight {}", rule.weight)?;
    write!(f, ", guarantee {}", show_rate(rule.guarantee_bytes_per_s))?;
    write!(f, ", limit {}", show_limit(rule.limit_bytes_per_s))?;
    write!(f, ", max-sessions {}, ", rule.max_sessions)?;
    match (&rule.identity, rule.allowed.is_empty()) {
        (Identity::User { .. }, _) => writeln!(f, "through netrng tap"),
        (_, true) => writeln!(f, "from anywhere"),
        (_, false) => writeln!(f, "from {}", list(&rule.allowed)),
    }
}

impl Display for ClientConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "mode = \"client\"")?;
        write_user(f, self.user.as_deref())?;
        writeln!(f, "log-to = \"{}\"", self.log_to)?;
        let own_key = self.upstreams.iter().find_map(|upstream| match &upstream.kind {
            Kind::Address(address) => Some(&address.private_key),
            _ => None,
        });
        writeln!(f, "\n[client]")?;
        if own_key.is_some() {
            writeln!(f, "private-key = {HIDDEN}")?;
        }
        write_socket(f, "status-socket", self.status_socket.as_deref())?;
        self.upstreams.iter().try_for_each(|upstream| write_upstream(f, upstream, own_key))?;
        write_sink(f, &self.sink)
    }
}

fn write_upstream(
    f: &mut Formatter<'_>,
    upstream: &Upstream,
    own_key: Option<&PrivateKey>,
) -> fmt::Result {
    writeln!(f, "\n[[upstream]]")?;
    match &upstream.kind {
        Kind::Address(address) => {
            match &address.location {
                Location::At(host, port) => {
                    writeln!(f, "address = \"{}\"", show_address(host, *port))?;
                }
                #[cfg(feature = "mdns")]
                Location::Discovered => writeln!(f, "discover = true")?,
            }
            writeln!(f, "public-key = \"{}\"", address.server_key)?;
            if Some(&address.private_key) != own_key {
                writeln!(f, "private-key = {HIDDEN}")?;
            }
            if address.psk.is_some() {
                writeln!(f, "psk = {HIDDEN}")?;
            }
        }
        Kind::Netrng02(server) => {
            writeln!(f, "address = \"{}\"", show_address(&server.host, server.port))?;
            writeln!(f, "protocol = \"netrng-0.2\"")?;
            if server.is_exposed() {
                writeln!(f, "allow-plaintext = true")?;
            }
        }
        Kind::Ssh(ssh) => write_ssh(f, ssh)?,
        Kind::Command(Command { argv, stall_timeout }) => {
            writeln!(f, "command = {}", list(argv))?;
            writeln!(f, "stall-timeout = \"{}\"", show_time(*stall_timeout))?;
        }
    }
    write_min_entropy(f, upstream.min_entropy)?;
    // The default name may be one that cannot be given.
    match upstream.name == upstream.kind.default_name() {
        true => Ok(()),
        false => writeln!(f, "name = \"{}\"", upstream.name),
    }
}

fn write_ssh(f: &mut Formatter<'_>, ssh: &Ssh) -> fmt::Result {
    writeln!(f, "ssh = {}", quoted(&ssh.destination))?;
    if let Some(port) = ssh.port {
        writeln!(f, "ssh-port = {port}")?;
    }
    if let Some(path) = &ssh.identity_file {
        writeln!(f, "identity-file = {}", quoted(path.display()))?;
    }
    if let Some(path) = &ssh.known_hosts_file {
        writeln!(f, "known-hosts-file = {}", quoted(path.display()))?;
    }
    writeln!(f, "ssh-program = {}", quoted(&ssh.program))?;
    match &ssh.remote {
        Remote::Tap => Ok(()),
        Remote::Raw { command, stall_timeout } => {
            writeln!(f, "raw = {}", quoted(command))?;
            writeln!(f, "stall-timeout = \"{}\"", show_time(*stall_timeout))
        }
    }
}

fn write_min_entropy(f: &mut Formatter<'_>, min_entropy: Option<f64>) -> fmt::Result {
    match min_entropy {
        Some(bits) => writeln!(f, "min-entropy = {bits}"),
        None => writeln!(f, "min-entropy = \"auto\""),
    }
}

fn write_sink(f: &mut Formatter<'_>, sink: &Sink) -> fmt::Result {
    writeln!(f, "\n[sink]")?;
    match sink {
        Sink::Rngd { command: None } => writeln!(f, "type = \"rngd\""),
        Sink::Rngd { command: Some(words) } => {
            writeln!(f, "type = \"rngd\"\nrngd-command = {}", list(words))
        }
        Sink::Fifo { path } => {
            writeln!(f, "type = \"fifo\"\npath = {}", quoted(path.display()))
        }
        Sink::Stdout => writeln!(f, "type = \"stdout\""),
        Sink::Kernel { credit, interval } => {
            let interval = show_time(*interval);
            writeln!(f, "type = \"kernel\"\ncredit = {credit}\ninterval = \"{interval}\"")
        }
    }
}

/// The block that makes the server know a client, to be appended to its clients file. `name`
/// must follow [`super::CLIENT_NAME_RULE`]. Holds the pre-shared key: wiped on drop.
pub fn client_entry_text(name: &str, key: &PublicKey, psk: &Psk) -> Zeroizing<String> {
    enroll_text(&[
        "\n[[client]]\nname = ",
        &quoted(name),
        "\npublic-key = \"",
        &key.to_string(),
        "\"\npsk = \"",
        &psk.to_text(),
        "\"\n",
    ])
}

/// A complete configuration for the client `name`. `address` is the server's, as it may stand
/// in `[[upstream]]`. Holds the client's private key: wiped on drop.
pub fn client_config_text(
    name: &str,
    address: &str,
    server_key: &PublicKey,
    private_key: &PrivateKey,
    psk: &Psk,
) -> Zeroizing<String> {
    enroll_text(&[
        "# netrng: the configuration of client ",
        &quoted(name),
        ", as /etc/netrng.toml with mode 0640 or 0600.\n\
         # It holds secret keys: it is for this one machine only.\n\
         mode = \"client\"\n\n[client]\nprivate-key = \"",
        &private_key.to_text(),
        "\"\n\n[[upstream]]\naddress = ",
        &quoted(address),
        "\npublic-key = \"",
        &server_key.to_string(),
        "\"\npsk = \"",
        &psk.to_text(),
        "\"\n\n[sink]\ntype = \"rngd\"\n",
    ])
}

fn enroll_text(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(ENROLL_TEXT_MAX));
    parts.iter().for_each(|part| text.push_str(part));
    text
}

fn show_limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), show_rate)
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// As a basic string of TOML.
fn quoted(text: impl ToString) -> String {
    let mut quoted = String::from("\"");
    for letter in text.to_string().chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            _ if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            _ => quoted.push(letter),
        }
    }
    quoted + "\""
}

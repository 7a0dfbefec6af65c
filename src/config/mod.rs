//! From a TOML file to a checked configuration.
//!
//! Owns every key, its default, its bounds and the sentence that says what is wrong with it.
//! What it hands out is complete and checked: nobody looks at the file again. It fills the
//! small settings types that the other modules define, and starts nothing.
//!
//! - `file` reads and guards files, `table` reads single values, `units` their numbers.
//! - `server`, `clients`, `client` and `upstream` know the keys; `text` writes them out again.

mod client;
mod clients;
mod error;
mod file;
mod listen;
mod server;
mod table;
mod text;
pub mod units;
mod upstream;

use crate::sys::platform;
pub use crate::wire::frame::is_client_name;
pub use client::ClientConfig;
pub use clients::{CLIENT_NAME_RULE, ClientDefaults, Clients, load_clients, parse_clients};
pub use error::ConfigError;
pub use listen::{ListenConfig, Place};
pub use server::ServerConfig;
pub use text::{client_config_text, client_entry_text};
pub use upstream::parse_address;

use file::File;
use std::io::ErrorKind;
use std::path::Path;
use table::{Entry, Table};

/// Where the configuration stands unless `-c` says otherwise.
pub const DEFAULT_PATH: &str = platform::CONFIG_PATH;
/// Where a server's clients stand unless `clients-file` says otherwise.
pub const DEFAULT_CLIENTS_PATH: &str = platform::CLIENTS_PATH;
/// Where a server listens for `netrng tap` unless `tap-socket` says otherwise.
pub const DEFAULT_TAP_SOCKET: &str = platform::TAP_SOCKET;
/// Where a server listens for `netrng status` unless `status-socket` says otherwise.
pub const DEFAULT_SERVER_STATUS: &str = platform::SERVER_STATUS;
/// The same for a client.
pub const DEFAULT_CLIENT_STATUS: &str = platform::CLIENT_STATUS;
/// The native protocol's TCP port.
pub const DEFAULT_PORT: u16 = 8989;

/// Tables and keys, to tell where a misplaced one belongs. The top has the empty name.
type Tables = [(&'static str, &'static [&'static str])];
/// The keys at the top, of both modes.
const TOP_KEYS: &[&str] = &["mode", "user", "log-to"];
const SERVER_TABLES: &Tables = &[
    ("", TOP_KEYS),
    ("server", server::SERVER_KEYS),
    ("source", server::SOURCE_KEYS),
    ("defaults", clients::DEFAULTS_KEYS),
    ("[listen]", listen::LISTEN_KEYS),
];
const CLIENT_TABLES: &Tables = &[
    ("", TOP_KEYS),
    ("client", client::OWN_KEYS),
    ("sink", client::SINK_KEYS),
    ("[upstream]", upstream::UPSTREAM_KEYS),
];

const GIVE_PRIVATE_KEY: &str = "give private-key or private-key-file; `netrng genkey` makes a key";

/// Where a daemon's log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    /// To stderr, or to syslog if stderr is /dev/null.
    Auto,
    /// To stderr.
    Stderr,
    /// To the local syslogd, and to stderr while there is none.
    Syslog,
}

/// What the file says, by its `mode`.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one, made at the start")]
pub enum Config {
    /// `mode = "server"`
    Server(ServerConfig),
    /// `mode = "client"`
    Client(ClientConfig),
}

impl Config {
    /// Reads and checks the file, and the key files and clients file it names.
    ///
    /// # Errors
    /// [`ConfigError`] for the first mistake, and if a file cannot be read.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let file = File::read(path).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => {
                    "; start from conf/netrng.toml, or for a client run \
                     `netrng enroll NAME` on its server"
                }
                _ => "",
            };
            File::from_text("", path).error(None, "", file::reason(&error) + remedy)
        })?;
        read(&file)
    }

    /// Whom the half with the network is to run as; `None`: whoever starts it.
    pub fn user(&self) -> Option<&str> {
        match self {
            Config::Server(server) => server.user.as_deref(),
            Config::Client(client) => client.user.as_deref(),
        }
    }

    /// Where the log is wanted.
    pub fn log_to(&self) -> LogTo {
        match self {
            Config::Server(server) => server.log_to,
            Config::Client(client) => client.log_to,
        }
    }

    /// As [`Config::load`], from a text that will stand in the file at `path`, on a machine that
    /// has the files it names by then: they are not looked at, and keys in them are made up.
    ///
    /// # Errors
    /// [`ConfigError`] for the first mistake.
    pub fn draft(text: &str, path: &Path) -> Result<Config, ConfigError> {
        read(&File::draft(text, path))
    }

    /// Where it listens for `netrng status`, if anywhere.
    pub fn status_socket(&self) -> Option<&Path> {
        match self {
            Config::Server(server) => server.status_socket.as_deref(),
            Config::Client(client) => client.status_socket.as_deref(),
        }
    }

    /// As [`Config::load`], from a text that stands for the file at `path`. The text itself
    /// may hold secrets, whatever the permissions at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] for the first mistake.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        read(&File::from_text(text, path))
    }
}

/// A mistake that only this machine shows, in the line of the file at `path` that has `key` and,
/// in its value, `value`.
pub fn mistake_at(path: &Path, key: &str, value: &str, message: String) -> ConfigError {
    let has_both = |line: &str| line.trim_start().starts_with(key) && line.contains(value);
    let before = File::read(path).ok().and_then(|file| file.text.lines().position(has_both));
    let line = before.map(|before| before + 1);
    ConfigError { file: path.to_owned(), line, key: None, message }
}

/// The keys and tables at the top, by mode.
const SERVER_TOP: &[&str] = &["mode", "user", "log-to", "server", "source", "defaults", "listen"];
const CLIENT_TOP: &[&str] = &["mode", "user", "log-to", "client", "upstream", "sink"];

fn read(file: &File) -> Result<Config, ConfigError> {
    let document = table::parse(file)?;
    let top = Table::top(file, &document);
    let all: Vec<&str> = SERVER_TOP.iter().chain(&CLIENT_TOP[TOP_KEYS.len()..]).copied().collect();
    // Some keys belong in tables of both modes: what fits the mode goes first.
    let (first, second) = match top.entry("mode").and_then(|mode| mode.text()) {
        Some("client") => (CLIENT_TABLES, SERVER_TABLES),
        _ => (SERVER_TABLES, CLIENT_TABLES),
    };
    let inner: Vec<_> = first[1..].iter().chain(&second[1..]).copied().collect();
    top.allow(&all, &inner)?;
    let advice = "begin the file with mode = \"server\" or mode = \"client\"";
    let mode = top.entry("mode").ok_or_else(|| top.missing("mode", advice))?;
    match mode.text() {
        Some("server") => {
            refuse_other(&top, "server", &CLIENT_TOP[TOP_KEYS.len()..])?;
            server::read(&top).map(Config::Server)
        }
        Some("client") => {
            refuse_other(&top, "client", &SERVER_TOP[TOP_KEYS.len()..])?;
            client::read(&top).map(Config::Client)
        }
        _ => Err(mode.want("\"server\" or \"client\"")),
    }
}

/// A flag that wants multicast DNS, which not every build has. `instead`: how to do without.
fn read_mdns(entry: &Entry<'_>, instead: &str) -> Result<bool, ConfigError> {
    match entry.flag()? {
        true if !cfg!(feature = "mdns") => Err(entry.fail(format!(
            "this netrng was built without mDNS; build it with `cargo build --release --features \
             mdns`, or {instead}"
        ))),
        wanted => Ok(wanted),
    }
}

fn read_log_to(top: &Table<'_>) -> Result<LogTo, ConfigError> {
    let Some(entry) = top.entry("log-to") else { return Ok(LogTo::Auto) };
    match entry.text() {
        Some("auto") => Ok(LogTo::Auto),
        Some("stderr") => Ok(LogTo::Stderr),
        Some("syslog") => Ok(LogTo::Syslog),
        _ => Err(entry.want("\"auto\", \"stderr\" or \"syslog\"")),
    }
}

/// The user that the half with the network runs as. Whether there is one is a question for the
/// machine that runs it.
fn read_user(top: &Table<'_>) -> Result<Option<String>, ConfigError> {
    let Some(entry) = top.entry("user") else { return Ok(None) };
    match entry.text().filter(|name| is_client_name(name)) {
        Some(name) => Ok(Some(name.to_owned())),
        None => Err(entry.want(format_args!("a user's name, {CLIENT_NAME_RULE}"))),
    }
}

/// Refuses the tables of the other mode: they would have no effect.
fn refuse_other(top: &Table<'_>, mode: &str, others: &[&'static str]) -> Result<(), ConfigError> {
    match others.iter().find_map(|key| top.entry(key)) {
        Some(entry) => Err(entry.fail(format!(
            "has no effect with mode = \"{mode}\"; remove it, or use a file of its own"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

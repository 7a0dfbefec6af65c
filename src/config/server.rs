//! What a server's file says: the tables `[server]`, `[source]` and `[defaults]`.
//!
//! Owns their keys, defaults and bounds. The clients stand in a file of their own, which
//! `clients` reads.

use super::LogTo;
use super::clients::{self, ClientDefaults, Clients};
use super::error::ConfigError;
use super::listen::{self, ListenConfig, Place};
use super::table::{Entry, Table};
use crate::keys::PrivateKey;
use crate::sample::{SAMPLE_SIZE_MAX, SAMPLE_SIZE_MIN};
use crate::server::Limits;
use crate::source::Settings;
use crate::source::origin::{EGD_NAMES, Origin};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The keys of `[server]`.
pub(super) const SERVER_KEYS: &[&str] = &[
    "listen",
    "announce",
    "tap-socket",
    "status-socket",
    "private-key",
    "private-key-file",
    "clients-file",
    "max-clients",
    "max-waiting",
    "max-handshakes",
    "max-handshakes-per-address",
    "handshakes-per-s",
    "handshakes-per-s-per-address",
    "handshake-timeout",
    "idle-timeout",
    "write-timeout",
    "max-round",
    "headroom",
];

/// The keys of `[source]`.
pub(super) const SOURCE_KEYS: &[&str] =
    &["device", "allow-plaintext", "sample-size", "stock", "min-entropy", "stall-timeout"];

/// Of `allow-plaintext` where it has no effect.
const NOT_EGD: &str = "is only for a device such as \"egd:192.0.2.1:8888\"; remove it";
/// Of a unix socket's path, on the system with the least room for it (`sockaddr_un`).
const SOCKET_PATH_LEN_MAX: usize = 103;
/// Sockets listened on: more would be a mistake.
pub(super) const LISTEN_MAX: usize = 16;
/// More sessions than one process has file descriptors for.
const CLIENTS: RangeInclusive<usize> = 1..=65_536;
/// An X25519 handshake costs 75 ms on the smallest board and 0.1 ms on a fast machine.
const HANDSHAKES_PER_S: RangeInclusive<u32> = 1..=10_000;
/// Below, a busy board breaks it by itself; above, it is no timeout.
pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);
/// Under a tenth hardly anybody would be admitted.
const HEADROOM: RangeInclusive<f64> = 0.1..=1.0;
/// Bits in a byte.
const MIN_ENTROPY: RangeInclusive<f64> = 0.0..=8.0;
/// Samples; together with their size, [`STOCK_BYTES_MAX`] holds.
const STOCK: RangeInclusive<usize> = 1..=65_536;
/// What a small board can spare at the very most.
const STOCK_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A server, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Where clients connect; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Whether the first of these addresses is announced by multicast DNS.
    pub announce: bool,
    /// Further addresses, with what is spoken there.
    pub listeners: Vec<ListenConfig>,
    /// Where `netrng tap` finds the server; `None`: nowhere.
    pub tap_socket: Option<PathBuf>,
    /// Where `netrng status` finds it; `None`: nowhere.
    pub status_socket: Option<PathBuf>,
    /// The server's own key.
    pub private_key: PrivateKey,
    /// Where the clients stand; `netrng enroll` appends to it.
    pub clients_file: PathBuf,
    /// What it says; see [`super::load_clients`] to read it again.
    pub clients: Clients,
    /// For what a client's entry leaves out.
    pub defaults: ClientDefaults,
    /// The event loop's bounds.
    pub limits: Limits,
    /// The reader thread's settings.
    pub source: Settings,
    /// Whom all but the opening of files runs as; `None`: whoever started it.
    pub user: Option<String>,
    /// Where the log goes.
    pub log_to: LogTo,
}

/// Reads the server's tables from the top of the file.
pub(super) fn read(top: &Table<'_>) -> Result<ServerConfig, ConfigError> {
    let (user, log_to) = (super::read_user(top)?, super::read_log_to(top)?);
    let server = top.table("server")?;
    server.allow(SERVER_KEYS, super::SERVER_TABLES)?;
    let source_table = top.table("source")?;
    let source = read_source(&source_table)?;
    let defaults = clients::read_defaults(&top.table("defaults")?)?;
    let limits = read_limits(&server, source.sample_size)?;
    let listen = server.entry("listen").map_or_else(|| Ok(default_listen()), read_listen)?;
    let instead = "remove it and tell clients the address";
    let announce =
        server.entry("announce").map_or(Ok(false), |entry| super::read_mdns(&entry, instead))?;
    let private_key = server
        .secret("private-key", "private-key-file", PrivateKey::from_text)?
        .ok_or_else(|| server.missing("private-key", super::GIVE_PRIVATE_KEY))?;
    let clients_file = server.entry("clients-file").map(|entry| entry.path()).transpose()?;
    let clients_file = clients_file.unwrap_or_else(|| PathBuf::from(super::DEFAULT_CLIENTS_PATH));
    let clients = match top.is_draft() {
        true => Clients::default(),
        false => clients::load_clients(&clients_file, &defaults)?,
    };
    let tap_socket = read_socket(&server, "tap-socket", super::DEFAULT_TAP_SOCKET)?;
    let status_socket = read_socket(&server, "status-socket", super::DEFAULT_SERVER_STATUS)?;
    let listeners = listen::read(top)?;
    refuse_ourselves(&source_table, &source.origin, &listeners)?;
    let sockets = [&tap_socket, &status_socket].map(Option::as_ref);
    refuse_taken(&top.tables("listen")?, &listeners, &listen, sockets)?;
    if let Some(entry) = server.entry("announce").filter(|_| announce) {
        if listen[0].ip().is_loopback() {
            return Err(entry.fail(format!(
                "{} is this machine alone; put an address that others reach first in `listen`",
                listen[0]
            )));
        }
    }
    Ok(ServerConfig {
        listen,
        announce,
        listeners,
        tap_socket,
        status_socket,
        private_key,
        clients_file,
        clients,
        defaults,
        limits,
        source,
        user,
        log_to,
    })
}

/// All addresses of both families.
fn default_listen() -> Vec<SocketAddr> {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    any.map(|address| SocketAddr::new(address, super::DEFAULT_PORT)).to_vec()
}

fn read_listen(entry: Entry<'_>) -> Result<Vec<SocketAddr>, ConfigError> {
    let mut listen = Vec::new();
    for item in entry.list(LISTEN_MAX, "addresses")? {
        let address = item
            .text()
            .and_then(|text| parse_listen(text, Some(super::DEFAULT_PORT)))
            .ok_or_else(|| {
                item.want(
                    "a numeric address such as \"0.0.0.0:8989\", \"[::]:8989\" or \"192.0.2.1\"; \
                     ports go up to 65535",
                )
            })?;
        if listen.contains(&address) {
            return Err(item.fail(format!("{address} stands twice in the list; remove one")));
        }
        listen.push(address);
    }
    Ok(listen)
}

/// The path of a unix socket; `None` for "none".
pub(super) fn read_socket(
    table: &Table<'_>,
    key: &'static str,
    default: &str,
) -> Result<Option<PathBuf>, ConfigError> {
    let Some(entry) = table.entry(key) else { return Ok(Some(default.into())) };
    if entry.text() == Some("none") {
        return Ok(None);
    }
    read_socket_path(&entry).map(Some).map_err(|error| error.or("none"))
}

pub(super) fn read_socket_path(entry: &Entry<'_>) -> Result<PathBuf, ConfigError> {
    check_socket_path(entry, entry.path()?)
}

fn check_socket_path(entry: &Entry<'_>, path: PathBuf) -> Result<PathBuf, ConfigError> {
    match path.as_os_str().len() <= SOCKET_PATH_LEN_MAX {
        true => Ok(path),
        false => Err(entry.fail(format!(
            "a socket's path has at most {SOCKET_PATH_LEN_MAX} bytes; choose a shorter one"
        ))),
    }
}

/// With a port, or without for `port` if there is one; IPv6 without a port with or without brackets.
pub(super) fn parse_listen(text: &str, port: Option<u16>) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = |bare: &str| Some(SocketAddr::new(bare.parse().ok()?, port?));
    text.parse().ok().or_else(|| address(bare))
}

fn read_limits(server: &Table<'_>, sample_size: usize) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let count = |key, default, allowed: RangeInclusive<usize>| {
        server.entry(key).map_or(Ok(default), |entry| entry.count(allowed))
    };
    let time = |key, default| server.entry(key).map_or(Ok(default), |entry| entry.time(TIMEOUT));
    Ok(Limits {
        sample_size,
        max_clients: count("max-clients", default.max_clients, CLIENTS)?,
        max_waiting: count("max-waiting", default.max_waiting, 0..=*CLIENTS.end())?,
        max_handshakes: count("max-handshakes", default.max_handshakes, CLIENTS)?,
        max_handshakes_per_address: count(
            "max-handshakes-per-address",
            default.max_handshakes_per_address,
            CLIENTS,
        )?,
        handshakes_per_s: server
            .entry("handshakes-per-s")
            .map_or(Ok(default.handshakes_per_s), |e| e.count(HANDSHAKES_PER_S))?,
        handshakes_per_s_per_address: server
            .entry("handshakes-per-s-per-address")
            .map_or(Ok(default.handshakes_per_s_per_address), |e| e.count(HANDSHAKES_PER_S))?,
        handshake_timeout: time("handshake-timeout", default.handshake_timeout)?,
        idle_timeout: time("idle-timeout", default.idle_timeout)?,
        write_timeout: time("write-timeout", default.write_timeout)?,
        max_round: time("max-round", default.max_round)?,
        headroom: server
            .entry("headroom")
            .map_or(Ok(default.headroom), |entry| entry.number(HEADROOM))?,
    })
}

fn read_source(source: &Table<'_>) -> Result<Settings, ConfigError> {
    source.allow(SOURCE_KEYS, super::SERVER_TABLES)?;
    let default = default_source();
    let origin = read_origin(source, default.origin)?;
    let sample_size = source
        .entry("sample-size")
        .map_or(Ok(default.sample_size), |entry| entry.size(SAMPLE_SIZE_MIN..=SAMPLE_SIZE_MAX))?;
    let stock = source.entry("stock").map_or(Ok(default.stock), |entry| entry.count(STOCK))?;
    if let Some(entry) = source.entry("stock").filter(|_| stock * sample_size > STOCK_BYTES_MAX) {
        let most = STOCK_BYTES_MAX / sample_size;
        return Err(entry.want(format_args!("at most {most}: 128 MiB of samples of this size")));
    }
    let min_entropy =
        source.entry("min-entropy").map_or(Ok(None), |entry| read_min_entropy(&entry))?;
    let stall_timeout = source
        .entry("stall-timeout")
        .map_or(Ok(default.stall_timeout), |entry| entry.time(TIMEOUT))?;
    Ok(Settings { origin, min_entropy, sample_size, stock, stall_timeout })
}

/// Where the bytes come from. Over a network only with leave: others could read and change them.
fn read_origin(source: &Table<'_>, default: Origin) -> Result<Origin, ConfigError> {
    let allow = source.entry("allow-plaintext");
    let may = allow.as_ref().map_or(Ok(false), Entry::flag)?;
    let Some(entry) = source.entry("device") else {
        return allow.map_or(Ok(default), |allow| Err(allow.fail(NOT_EGD)));
    };
    let origin = match entry.text().map(|text| Origin::parse(Path::new(text))) {
        Some(None) => return Err(entry.want(EGD_NAMES)),
        Some(Some(Origin::EgdTcp(address))) => Origin::EgdTcp(address),
        Some(Some(Origin::EgdUnix(path))) => {
            Origin::EgdUnix(check_socket_path(&entry, entry.resolve(&path))?)
        }
        _ => Origin::Path(entry.path()?),
    };
    if origin.is_exposed() && !may {
        return Err(entry.fail(format!(
            "{origin} is not this machine, and EGD sends the bytes in clear: whoever is on the way \
             can read and change them; run netrng where they come from, or write \
             allow-plaintext = true"
        )));
    }
    match (&origin, allow) {
        (Origin::Path(_) | Origin::EgdUnix(_), Some(allow)) => Err(allow.fail(NOT_EGD)),
        _ => Ok(origin),
    }
}

/// Two listeners in one place: the second would find it taken, and blame another program.
fn refuse_taken(
    tables: &[Table<'_>],
    listeners: &[ListenConfig],
    listen: &[SocketAddr],
    sockets: [Option<&PathBuf>; 2],
) -> Result<(), ConfigError> {
    for (index, (table, listener)) in tables.iter().zip(listeners).enumerate() {
        let earlier = listeners[..index].iter().map(|other| &other.place);
        let is_taken = match &listener.place {
            Place::Tcp(ours) => {
                let others = earlier.filter_map(|place| match place {
                    Place::Tcp(address) => Some(address),
                    Place::Unix(..) => None,
                });
                others.chain(listen).any(|theirs| overlap(ours, theirs))
            }
            Place::Unix(ours, _) => {
                let is_ours = |place: &Place| matches!(place, Place::Unix(path, _) if path == ours);
                sockets.contains(&Some(ours)) || earlier.into_iter().any(is_ours)
            }
        };
        let entry = table.entry("address").or_else(|| table.entry("path"));
        if let Some(entry) = entry.filter(|_| is_taken) {
            return Err(entry.fail("another listener of this file is there; give it another place"));
        }
    }
    Ok(())
}

/// Whether one socket there leaves no room for the other.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (is_any || one.ip() == other.ip())
}

/// A source that is our own listener would wait for itself.
fn refuse_ourselves(
    source: &Table<'_>,
    origin: &Origin,
    listeners: &[ListenConfig],
) -> Result<(), ConfigError> {
    let is_source = |listener: &ListenConfig| match (&listener.place, origin) {
        (Place::Tcp(ours), Origin::EgdTcp(theirs)) => {
            let is_any = ours.ip().is_unspecified() && !origin.is_exposed();
            ours.port() == theirs.port() && (is_any || ours.ip() == theirs.ip())
        }
        (Place::Unix(ours, _), Origin::EgdUnix(theirs)) => ours == theirs,
        _ => false,
    };
    match source.entry("device").filter(|_| listeners.iter().any(is_source)) {
        Some(entry) => {
            Err(entry.fail("is a [[listen]] of this very server, which would wait for itself"))
        }
        None => Ok(()),
    }
}

/// Bits per byte; `None` for "auto".
pub(super) fn read_min_entropy(entry: &Entry<'_>) -> Result<Option<f64>, ConfigError> {
    match entry.text() {
        Some("auto") => Ok(None),
        _ => entry.number(MIN_ENTROPY).map(Some).map_err(|error| error.or("auto")),
    }
}

/// The kernel's hardware generator, as its own estimate of quality says.
pub(super) fn default_source() -> Settings {
    Settings {
        origin: Origin::Path("/dev/hwrng".into()),
        min_entropy: None,
        sample_size: Limits::default().sample_size,
        stock: 16,
        stall_timeout: Duration::from_secs(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_be_left_out() {
        for (text, address) in [
            ("0.0.0.0", "0.0.0.0:8989"),
            ("192.0.2.1:0", "192.0.2.1:0"),
            ("::", "[::]:8989"),
            ("[::]", "[::]:8989"),
            ("[::1]:9000", "[::1]:9000"),
        ] {
            assert_eq!(
                parse_listen(text, Some(crate::config::DEFAULT_PORT)),
                address.parse().ok(),
                "{text}"
            );
        }
        for text in ["", "[", "[]", "localhost", ":8989", "*:8989", "1.2.3.4:", "1.2.3.4:65536"] {
            assert_eq!(parse_listen(text, Some(crate::config::DEFAULT_PORT)), None, "{text}");
        }
    }
}
